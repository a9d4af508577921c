//! How much a message is worth when there is more to do than can be done.

use ringway_wire::Peek;

/// The classes of work, most worth first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// What is under way, and emergencies: to serve it ends work, to shed it wastes what was done.
    Going,
    /// A registration by somebody we know: without it, others stop to reach that phone.
    Refresh,
    /// A new call or a message.
    Call,
    /// First registrations, subscriptions, what is published: whoever begins can begin later.
    Begin,
    /// Whether we are there, and what we do not know.
    Rest,
}

/// How many there are.
pub const CLASSES: usize = 5;

impl Class {
    /// All of them.
    pub const ALL: [Self; CLASSES] =
        [Self::Going, Self::Refresh, Self::Call, Self::Begin, Self::Rest];

    /// The class of a message; `known` says that its source is a peer, or showed by a connection
    /// that its address is its own. What anybody may write is believed of nobody else.
    pub fn of(peek: &Peek<'_>, known: bool) -> Self {
        let inside = peek.to_tag.is_some();
        match peek.method {
            // A response.
            b"" => Self::Going,
            b"ACK" | b"BYE" | b"CANCEL" | b"PRACK" => Self::Going,
            // Inside of a dialog, what reaches us names us as its way.
            _ if inside && (known || peek.has_route) => Self::Going,
            _ if inside => Self::Rest,
            b"INVITE" | b"MESSAGE" if is_emergency(peek) => match known {
                true => Self::Going,
                // Ahead of all other calls; but who floods must not be ahead of what is under way.
                false => Self::Refresh,
            },
            b"REGISTER" if known || peek.has_credentials => Self::Refresh,
            b"INVITE" | b"MESSAGE" | b"REFER" => Self::Call,
            b"REGISTER" | b"SUBSCRIBE" | b"PUBLISH" => Self::Begin,
            _ => Self::Rest,
        }
    }

    /// The name in counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Going => "going",
            Self::Refresh => "refresh",
            Self::Call => "call",
            Self::Begin => "begin",
            Self::Rest => "rest",
        }
    }

    /// What a message of this class costs with all that follows from it, in units of a small one:
    /// a call is eleven more messages. Only how classes share what there is depends on it.
    pub(super) const fn work(self) -> f64 {
        match self {
            Self::Going | Self::Rest => 1.0,
            Self::Refresh | Self::Begin => 2.0,
            Self::Call => 6.0,
        }
    }
}

/// Whether a request says that it is for an emergency (RFC 5031 §4.2, RFC 4412 §3.1).
fn is_emergency(peek: &Peek<'_>) -> bool {
    const SOS: &[u8] = b"urn:service:sos";
    let called = peek.uri.get(..SOS.len()).is_some_and(|uri| uri.eq_ignore_ascii_case(SOS));
    let whole = peek.uri.get(SOS.len()).is_none_or(|&next| next == b'.');
    peek.is_urgent || called && whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn what_messages_are_worth() {
        use Class::{Begin, Call, Going, Refresh, Rest};
        let inside = "To: <sip:b@h>;tag=1\r\n";
        let routed = "To: <sip:b@h>;tag=1\r\nRoute: <sip:us;lr>\r\n";
        let by_name = "Authorization: Digest username=\"a\"\r\n";
        let rph = "Resource-Priority: esnet.1\r\n";
        for (line, headers, known, unknown) in [
            ("SIP/2.0 200 OK", "", Going, Going),
            ("ACK sip:b@h SIP/2.0", "", Going, Going),
            ("BYE sip:b@h SIP/2.0", "", Going, Going),
            ("CANCEL sip:b@h SIP/2.0", "", Going, Going),
            ("PRACK sip:b@h SIP/2.0", "", Going, Going),
            ("INVITE sip:b@h SIP/2.0", inside, Going, Rest),
            ("INVITE sip:b@h SIP/2.0", routed, Going, Going),
            ("SUBSCRIBE sip:b@h SIP/2.0", routed, Going, Going),
            ("INFO sip:b@h SIP/2.0", inside, Going, Rest),
            ("INVITE urn:service:sos SIP/2.0", "", Going, Refresh),
            ("INVITE urn:service:SOS.fire SIP/2.0", "", Going, Refresh),
            ("INVITE urn:service:sossage SIP/2.0", "", Call, Call),
            ("INVITE sip:b@h SIP/2.0", "Priority: emergency\r\n", Going, Refresh),
            ("INVITE sip:b@h SIP/2.0", "Priority: urgent\r\n", Call, Call),
            ("MESSAGE sip:b@h SIP/2.0", rph, Going, Refresh),
            ("OPTIONS sip:b@h SIP/2.0", rph, Rest, Rest),
            ("REGISTER sip:h SIP/2.0", "", Refresh, Begin),
            ("REGISTER sip:h SIP/2.0", by_name, Refresh, Refresh),
            ("INVITE sip:b@h SIP/2.0", "", Call, Call),
            ("INVITE sip:b@h SIP/2.0", by_name, Call, Call),
            ("MESSAGE sip:b@h SIP/2.0", "", Call, Call),
            ("REFER sip:b@h SIP/2.0", "", Call, Call),
            ("SUBSCRIBE sip:b@h SIP/2.0", "", Begin, Begin),
            ("PUBLISH sip:b@h SIP/2.0", "", Begin, Begin),
            ("OPTIONS sip:b@h SIP/2.0", "", Rest, Rest),
            ("INFO sip:b@h SIP/2.0", "", Rest, Rest),
            ("Invite sip:b@h SIP/2.0", "", Rest, Rest),
        ] {
            let text = format!("{line}\r\nTo: <sip:b@h>\r\n{headers}\r\n");
            let peek = Peek::at(text.as_bytes()).expect("a start line");
            assert_eq!(Class::of(&peek, true), known, "{text}");
            assert_eq!(Class::of(&peek, false), unknown, "{text}");
        }
        assert!(Class::ALL.is_sorted());
    }
}
