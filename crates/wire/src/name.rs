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
        Method::known(name).unwrap_or(Self::Other(name))
    }
}

impl Method<'static> {
    /// The method of this name, if it is one that we know.
    pub(crate) fn known(name: &[u8]) -> Option<Self> {
        Some(match name {
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
            _ => return None,
        })
    }
}

impl<'a> Method<'a> {
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

            /// The names in long and in compact form.
            const FORMS: &'static [(&'static [u8], Self)] = &[
                $(($text.as_bytes(), Self::$variant), $((&[$compact], Self::$variant),)?)*
            ];

            #[cfg(test)]
            const ALL: [Self; Self::COUNT] = [$(Self::$variant),*, Self::Other];
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

/// A name of at most 24 bytes in lower case, as numbers that are compared at once.
type Packed = [u64; 3];

const LONGEST: usize = size_of::<Packed>();

/// Sets the bit that makes a letter small, and leaves `-` and digits as they are.
const SMALL: u64 = u64::from_le_bytes([0x20; 8]);

const fn pack(text: &[u8]) -> Packed {
    let mut packed = [0; 3];
    let mut at = 0;
    while at < text.len() {
        packed[at / 8] |= ((text[at] | 0x20) as u64) << (at % 8 * 8);
        at += 1;
    }
    packed
}

/// Where a name stands in [`SLOTS`].
const fn slot([a, b, c]: Packed, factor: u64) -> usize {
    let mixed = a ^ b.rotate_left(29) ^ c.rotate_left(47);
    (mixed.wrapping_mul(factor) >> 56) as usize
}

/// A factor by which each form has a slot of its own, so that one comparison tells.
const FACTOR: u64 = {
    let mut factor = 0x9e37_79b9_7f4a_7c15_u64;
    while slots(factor).is_none() {
        factor = factor.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(2);
    }
    factor
};

const fn slots(factor: u64) -> Option<[u8; 256]> {
    let mut slots = [u8::MAX; 256];
    let mut nth = 0;
    while nth < Name::FORMS.len() {
        let slot = slot(pack(Name::FORMS[nth].0), factor);
        if slots[slot] != u8::MAX {
            return None;
        }
        slots[slot] = nth as u8;
        nth += 1;
    }
    Some(slots)
}

/// For each slot the number of its form.
static SLOTS: [u8; 256] = slots(FACTOR).expect("the factor was tried");

static PACKED: [(Packed, Name); Name::FORMS.len()] = {
    let mut packed = [([0; 3], Name::Other); Name::FORMS.len()];
    let mut nth = 0;
    while nth < packed.len() {
        packed[nth] = (pack(Name::FORMS[nth].0), Name::FORMS[nth].1);
        nth += 1;
    }
    packed
};

fn find(packed: Packed) -> Option<Name> {
    let (form, name) = PACKED.get(usize::from(SLOTS[slot(packed, FACTOR)]))?;
    (*form == packed).then_some(*name)
}

impl Name {
    /// The header of this name, long or compact, in any case.
    pub fn from_bytes(name: &[u8]) -> Self {
        if name.len() > LONGEST || !crate::scan::is_token(name) {
            return Self::Other;
        }
        find(pack(name)).unwrap_or(Self::Other)
    }

    /// The name at the start of a line without control characters, if a colon follows at once and
    /// it is one that we know; its length, and the place of the colon, which is the same.
    pub(crate) fn before_colon(line: &[u8]) -> Option<(Self, usize, usize)> {
        let [mut a, mut b, mut c] = words(line);
        let (in_a, in_b) = (colon(a), colon(b));
        let len = if let Some(len) = in_a {
            (a, b, c) = (first(a, len), 0, 0);
            len
        } else if let Some(len) = in_b {
            (a, b, c) = (a | SMALL, first(b, len), 0);
            len + 8
        } else {
            let len = colon(c)?;
            (a, b, c) = (a | SMALL, b | SMALL, first(c, len));
            len + 16
        };
        Some((find([a, b, c])?, len, len))
    }

    /// A bit of its own.
    pub(crate) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// The headers that may stand in a message once only (RFC 3261 §7.3.1, RFC 4475 §3.3.8).
    pub(crate) const SINGLES: u64 = Self::From.bit()
        | Self::To.bit()
        | Self::CallId.bit()
        | Self::CSeq.bit()
        | Self::MaxForwards.bit()
        | Self::ContentLength.bit()
        | Self::ContentType.bit()
        | Self::Expires.bit()
        | Self::MinExpires.bit()
        | Self::MaxBreadth.bit();

    /// Whether the header may stand in a message once only.
    pub(crate) const fn is_single(self) -> bool {
        Self::SINGLES & self.bit() != 0
    }
}

/// The first 24 bytes of a text, and zeros if it is shorter.
fn words(text: &[u8]) -> Packed {
    let mut padded = [0; LONGEST];
    let bytes = text.first_chunk::<LONGEST>().unwrap_or_else(|| {
        padded[..text.len()].copy_from_slice(text);
        &padded
    });
    let word = |at: usize| bytes[at..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    [word(0), word(8), word(16)]
}

/// The place of the first colon in a word.
fn colon(word: u64) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let differs = word ^ u64::from_le_bytes([b':'; 8]);
    // A borrow goes upwards only: the lowest bit that is set is right.
    let found = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
    (found != 0).then(|| found.trailing_zeros() as usize / 8)
}

/// The first bytes of a word, fewer than eight, in lower case.
const fn first(word: u64, len: usize) -> u64 {
    (word | SMALL) & !(u64::MAX << (len * 8))
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
