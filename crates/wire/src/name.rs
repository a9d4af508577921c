//! Names of methods and headers, long and compact (RFC 3261 §7.3.3, §20).

/// A request method. Methods are case-sensitive (RFC 3261 §7.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Prack,
    Update,
    Info,
    Subscribe,
    Notify,
    Refer,
    Message,
    Publish,
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// The method of this name.
    pub fn from_bytes(name: &'a [u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"REGISTER" => Self::Register,
            b"OPTIONS" => Self::Options,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"SUBSCRIBE" => Self::Subscribe,
            b"NOTIFY" => Self::Notify,
            b"REFER" => Self::Refer,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other => Self::Other(other),
        }
    }

    /// Its name.
    pub const fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Invite => b"INVITE",
            Self::Ack => b"ACK",
            Self::Bye => b"BYE",
            Self::Cancel => b"CANCEL",
            Self::Register => b"REGISTER",
            Self::Options => b"OPTIONS",
            Self::Prack => b"PRACK",
            Self::Update => b"UPDATE",
            Self::Info => b"INFO",
            Self::Subscribe => b"SUBSCRIBE",
            Self::Notify => b"NOTIFY",
            Self::Refer => b"REFER",
            Self::Message => b"MESSAGE",
            Self::Publish => b"PUBLISH",
            Self::Other(name) => name,
        }
    }
}

macro_rules! names {
    ($($variant:ident $text:literal $($compact:literal)?),* $(,)?) => {
        /// The headers this server reads or writes; all others are `Other` and pass untouched.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names say it")]
        pub enum Name { $($variant),*, Other }

        impl Name {
            /// How many there are, `Other` included.
            pub(crate) const COUNT: usize = Self::Other as usize + 1;

            /// The full name, as it is written; empty for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),*, Self::Other => "" }
            }

            const ALL: [Self; Self::COUNT] = [$(Self::$variant),*, Self::Other];

            const fn from_letter(letter: u8) -> Self {
                match letter {
                    $($($compact => Self::$variant,)?)*
                    _ => Self::Other,
                }
            }
        }
    };
}

names! {
    Via "Via" b'v',
    From "From" b'f',
    To "To" b't',
    CallId "Call-ID" b'i',
    CSeq "CSeq",
    Contact "Contact" b'm',
    MaxForwards "Max-Forwards",
    ContentLength "Content-Length" b'l',
    ContentType "Content-Type" b'c',
    Route "Route",
    RecordRoute "Record-Route",
    Expires "Expires",
    UserAgent "User-Agent",
    Allow "Allow",
    Supported "Supported" b'k',
    Authorization "Authorization",
    ProxyAuthorization "Proxy-Authorization",
    WwwAuthenticate "WWW-Authenticate",
    ProxyAuthenticate "Proxy-Authenticate",
    AuthenticationInfo "Authentication-Info",
    Require "Require",
    ProxyRequire "Proxy-Require",
    Unsupported "Unsupported",
    MinExpires "Min-Expires",
    MaxBreadth "Max-Breadth",
    RetryAfter "Retry-After",
    Server "Server",
    Accept "Accept",
    Date "Date",
    Path "Path",
    ServiceRoute "Service-Route",
    Subject "Subject" b's',
    Event "Event" b'o',
    ContentEncoding "Content-Encoding" b'e',
    ReferTo "Refer-To" b'r',
    ReferredBy "Referred-By" b'b',
    Reason "Reason",
    Warning "Warning",
    Replaces "Replaces",
    Privacy "Privacy",
    PAssertedIdentity "P-Asserted-Identity",
    SessionId "Session-ID",
}

/// The names by [`slot`]; `Other` is an empty slot.
static TABLE: [Name; 128] = {
    let mut table = [Name::Other; 128];
    let mut at = 0;
    while at < Name::COUNT - 1 {
        let mut slot = slot(Name::ALL[at].as_str().as_bytes());
        while !matches!(table[slot], Name::Other) {
            slot = (slot + 1) % table.len();
        }
        table[slot] = Name::ALL[at];
        at += 1;
    }
    table
};

/// Length, first and last letter tell nearly all names apart, in any case.
const fn slot(name: &[u8]) -> usize {
    let (first, last) = (name[0] | 0x20, name[name.len() - 1] | 0x20);
    (name.len() + first as usize * 17 + last as usize * 11) % 128
}

impl Name {
    /// The header of this name, long or compact, in any case.
    pub fn from_bytes(name: &[u8]) -> Self {
        if let [letter] = name {
            return Self::from_letter(letter.to_ascii_lowercase());
        }
        if name.is_empty() {
            return Self::Other;
        }
        let mut slot = slot(name);
        loop {
            let candidate = TABLE[slot];
            let text = candidate.as_str().as_bytes();
            if candidate == Self::Other || text.eq_ignore_ascii_case(name) {
                return candidate;
            }
            slot = (slot + 1) % TABLE.len();
        }
    }

    /// Whether the header may stand in a message once only (RFC 3261 §7.3.1, RFC 4475 §3.3.8).
    pub(crate) const fn is_single(self) -> bool {
        matches!(
            self,
            Self::From
                | Self::To
                | Self::CallId
                | Self::CSeq
                | Self::MaxForwards
                | Self::ContentLength
                | Self::ContentType
                | Self::Expires
                | Self::MinExpires
                | Self::MaxBreadth
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_by_itself() {
        for name in Name::ALL {
            assert_eq!(Name::from_bytes(name.as_str().as_bytes()), name);
            assert_eq!(Name::from_bytes(&name.as_str().as_bytes().to_ascii_uppercase()), name);
        }
    }

    #[test]
    fn names_in_any_form() {
        for (text, name) in [
            (&b"via"[..], Name::Via),
            (b"V", Name::Via),
            (b"CALL-ID", Name::CallId),
            (b"i", Name::CallId),
            (b"content-LENGTH", Name::ContentLength),
            (b"x", Name::Other),
            (b"Vja", Name::Other),
            (b"", Name::Other),
        ] {
            assert_eq!(Name::from_bytes(text), name, "{text:?}");
        }
    }
}
