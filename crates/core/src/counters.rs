//! What a partition has done so far, in numbers that only grow.

use crate::boundary::{
    AuthFailure, CallChange, CallEnd, DropReason, Event, LoginOutcome, RegistrationChange,
};
use alloc::collections::BTreeMap;
use ringway_wire::Method;

/// Counters of one partition; add those of all partitions for the server's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests received, by method; methods unknown to us count as `other`.
    pub requests: BTreeMap<&'static str, u64>,
    /// Responses received, by class 1 to 6.
    pub responses_received: [u64; 7],
    /// Responses sent, repetitions too, by class 1 to 6.
    pub responses_sent: [u64; 7],
    /// Requests refused, by the name of the refusal.
    pub refused: BTreeMap<&'static str, u64>,
    /// Messages dropped without an answer, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Wrong answers to challenges, by reason.
    pub auth_failures: BTreeMap<&'static str, u64>,
    /// Questions of peers who we are, by what came of them.
    pub logins: BTreeMap<&'static str, u64>,
    /// Changes of bindings.
    pub registrations: BTreeMap<&'static str, u64>,
    /// Calls begun, and calls ended by their end.
    pub calls: BTreeMap<&'static str, u64>,
}

impl Counters {
    pub(crate) fn request(&mut self, method: &Method<'_>) {
        *self.requests.entry(method_name(method)).or_default() += 1;
    }

    pub(crate) fn received(&mut self, status: u16) {
        self.responses_received[usize::from(status / 100).min(6)] += 1;
    }

    /// A message that leaves, first or again; requests are not counted.
    pub(crate) fn sent(&mut self, message: &[u8]) {
        if let Some([class @ b'1'..=b'6', ..]) = message.strip_prefix(b"SIP/2.0 ") {
            self.responses_sent[usize::from(class - b'0')] += 1;
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let (table, name) = match event {
            Event::Refused { reject, .. } => (&mut self.refused, reject.name()),
            Event::Dropped { reason, .. } => (&mut self.dropped, reason.name()),
            Event::AuthFailed { reason, .. } => (&mut self.auth_failures, reason.name()),
            Event::Login { outcome, .. } => (&mut self.logins, outcome.name()),
            Event::Registration { change, .. } => (&mut self.registrations, change.name()),
            Event::Call { change, .. } => match change {
                CallChange::Started { .. } => (&mut self.calls, "started"),
                CallChange::Ringing => (&mut self.calls, "ringing"),
                CallChange::Answered => (&mut self.calls, "answered"),
                CallChange::Ended { end } => (&mut self.calls, end.name()),
            },
        };
        *table.entry(name).or_default() += 1;
    }

    /// Adds those of another partition.
    pub fn add(&mut self, other: &Self) {
        for (to, from) in [
            (&mut self.requests, &other.requests),
            (&mut self.refused, &other.refused),
            (&mut self.dropped, &other.dropped),
            (&mut self.auth_failures, &other.auth_failures),
            (&mut self.logins, &other.logins),
            (&mut self.registrations, &other.registrations),
            (&mut self.calls, &other.calls),
        ] {
            for (name, count) in from {
                *to.entry(name).or_default() += count;
            }
        }
        for class in 0..7 {
            self.responses_received[class] += other.responses_received[class];
            self.responses_sent[class] += other.responses_sent[class];
        }
    }
}

fn method_name(method: &Method<'_>) -> &'static str {
    match method {
        Method::Invite => "INVITE",
        Method::Ack => "ACK",
        Method::Bye => "BYE",
        Method::Cancel => "CANCEL",
        Method::Register => "REGISTER",
        Method::Options => "OPTIONS",
        Method::Prack => "PRACK",
        Method::Update => "UPDATE",
        Method::Info => "INFO",
        Method::Subscribe => "SUBSCRIBE",
        Method::Notify => "NOTIFY",
        Method::Refer => "REFER",
        Method::Message => "MESSAGE",
        Method::Publish => "PUBLISH",
        Method::Other(_) => "other",
    }
}

impl DropReason {
    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotSip => "not_sip",
            Self::MalformedResponse => "malformed_response",
            Self::StrayResponse => "stray_response",
            Self::StrayAck => "stray_ack",
            Self::StrayCancel => "stray_cancel",
            Self::TooShort => "too_short",
            Self::UnknownFlow => "unknown_flow",
            Self::Overload => "overload",
            Self::LateResponse => "late_response",
        }
    }
}

impl AuthFailure {
    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::ForeignNonce => "foreign_nonce",
            Self::Replay => "replay",
            Self::Malformed => "malformed",
        }
    }
}

impl LoginOutcome {
    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::OtherRealm => "other_realm",
            Self::NotUnderstood => "not_understood",
            Self::Elsewhere => "elsewhere",
            Self::Refused => "refused",
        }
    }
}

impl RegistrationChange {
    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Refreshed => "refreshed",
            Self::Removed => "removed",
            Self::Expired => "expired",
            Self::FlowClosed => "flow_closed",
        }
    }
}

impl CallEnd {
    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByCaller => "by_caller",
            Self::ByCallee => "by_callee",
            Self::Cancelled => "cancelled",
            Self::Failed(_) => "failed",
            Self::Forgotten => "forgotten",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counters;

    #[test]
    fn responses_are_counted_by_class_and_requests_are_not() {
        let mut counters = Counters::default();
        for message in ["SIP/2.0 401 U\r\n", "SIP/2.0 407 P\r\n", "SIP/2.0 200 OK\r\n", "A sip:b"] {
            counters.sent(message.as_bytes());
        }
        assert_eq!(counters.responses_sent, [0, 0, 1, 0, 2, 0, 0]);
    }
}
