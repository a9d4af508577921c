//! URIs (RFC 3261 §19.1, §25.1; RFC 3966; RFC 5954) and their comparison (§19.1.4).

use crate::error::Malformed;
use crate::header::params::Params;
use crate::limits;
use crate::scan::number;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};

/// A URI, as positions in the text it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Uri<'a> {
    /// `sip:` and `sips:`
    Sip(SipUri<'a>),
    /// `tel:` (RFC 3966)
    Tel(TelUri<'a>),
    /// Any other scheme; legal everywhere but where we must route (RFC 4475 §3.3.4).
    Other {
        /// The scheme.
        scheme: &'a [u8],
        /// What follows the colon.
        rest: &'a [u8],
    },
}

/// A SIP or SIPS URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SipUri<'a> {
    /// Whether it is `sips:`.
    pub secure: bool,
    /// The user part, escapes still in it.
    pub user: Option<&'a [u8]>,
    /// The password after the user part.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
    /// What follows the `?`; empty if there is none.
    pub headers: &'a [u8],
}

/// A telephone number as URI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TelUri<'a> {
    /// The number as written, with `+` and visual separators.
    pub number: &'a [u8],
    /// The parameters.
    pub params: Params<'a>,
}

/// A host: an address or a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'a> {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in text it stands in brackets.
    V6(Ipv6Addr),
    /// A name.
    Name(&'a [u8]),
}

const WRONG: Malformed = Malformed::grammar("URI");

impl<'a> Uri<'a> {
    /// Reads a URI; all of `text` must be one.
    ///
    /// # Errors
    /// If it has no scheme, or is a `sip:`, `sips:` or `tel:` URI against the grammar.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let colon = memchr::memchr(b':', text).ok_or(WRONG)?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        // All bytes are looked at, without an exit: so it is done sixteen at a time.
        let illegal = |b: u8| (b <= b' ') | (b == 0x7f) | (b == b'<') | (b == b'>') | (b == b'"');
        if text.iter().fold(false, |found, &b| found | illegal(b)) {
            return Err(WRONG);
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            return SipUri::parse(rest, false).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case(b"sips") {
            return SipUri::parse(rest, true).map(Self::Sip);
        }
        if scheme.eq_ignore_ascii_case(b"tel") {
            return TelUri::parse(rest).map(Self::Tel);
        }
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let starts_well = scheme.first().is_some_and(u8::is_ascii_alphabetic);
        if starts_well && scheme.iter().all(legal) {
            Ok(Self::Other { scheme, rest })
        } else {
            Err(WRONG)
        }
    }
}

impl<'a> SipUri<'a> {
    /// The host in the `maddr` parameter, which overrides the host (RFC 3261 §19.1.1).
    pub fn maddr(&self) -> Option<Host<'a>> {
        let (host, port) = Host::parse_with_port(self.params.get(b"maddr").flatten()?)?;
        port.is_none().then_some(host)
    }

    fn parse(text: &'a [u8], secure: bool) -> Result<Self, Malformed> {
        // `?` and `;` may stand in a user part, so the `@` is looked for first.
        let (userinfo, rest) = match memchr::memchr(b'@', text) {
            Some(at) => (Some(&text[..at]), &text[at + 1..]),
            None => (None, text),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(info) => match memchr::memchr(b':', info) {
                Some(at) => (Some(&info[..at]), Some(&info[at + 1..])),
                None => (Some(info), None),
            },
        };
        if user.is_some_and(|user| user.is_empty() || !is_user(user))
            || password.is_some_and(|password| !is_user(password))
        {
            return Err(WRONG);
        }
        let (rest, headers) = match memchr::memchr(b'?', rest) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &b""[..]),
        };
        let (hostport, params) = match memchr::memchr(b';', rest) {
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, &b""[..]),
        };
        let (host, port) = Host::parse_with_port(hostport).ok_or(WRONG)?;
        let params = Params::parse_uri(params).ok_or(WRONG)?;
        Ok(Self { secure, user, password, host, port, params, headers })
    }
}

/// RFC 3261 §25.1 user: unreserved, escaped, user-unreserved; bytes above ASCII are let pass.
fn is_user(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'%' => {
                let hex = text.get(at + 1..at + 3);
                if !hex.is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit)) {
                    return false;
                }
                at += 2;
            }
            b'[' | b']' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'@' => return false,
            _ => {}
        }
        at += 1;
    }
    true
}

impl<'a> TelUri<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        let (number, params) = match memchr::memchr(b';', text) {
            Some(at) => (&text[..at], &text[at..]),
            None => (text, &b""[..]),
        };
        let digits = number.strip_prefix(b"+").unwrap_or(number);
        let legal = |b: &u8| b.is_ascii_hexdigit() || b"*#-.()".contains(b);
        if digits.is_empty() || !digits.iter().all(legal) {
            return Err(Malformed::grammar("tel URI"));
        }
        let params = Params::parse_uri(params).ok_or(Malformed::grammar("tel URI"))?;
        Ok(Self { number, params })
    }
}

impl<'a> Host<'a> {
    /// Reads `host[:port]`, an IPv6 address being in brackets.
    pub fn parse_with_port(text: &'a [u8]) -> Option<(Self, Option<u16>)> {
        let (host, rest) = match text.strip_prefix(b"[") {
            Some(inner) => {
                let close = memchr::memchr(b']', inner)?;
                (Self::V6(parse_v6(&inner[..close])?), &inner[close + 1..])
            }
            None => {
                let end = memchr::memchr(b':', text).unwrap_or(text.len());
                (Self::parse_bare(&text[..end])?, &text[end..])
            }
        };
        match rest.split_first() {
            None => Some((host, None)),
            Some((b':', port)) => {
                let port = number(port, 65_535).filter(|&port| port > 0)?;
                Some((host, Some(port as u16)))
            }
            Some(_) => None,
        }
    }

    /// Reads a host without brackets: a name or an IPv4 address.
    fn parse_bare(text: &'a [u8]) -> Option<Self> {
        // F7: a name that ends like a number would be taken for an address by some resolvers.
        let rooted = text.strip_suffix(b".").unwrap_or(text);
        let last_label = rooted.rsplit(|&b| b == b'.').next().unwrap_or_default();
        if looks_like_number(last_label) {
            return parse_v4(text).map(Self::V4);
        }
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (!text.is_empty() && text.len() <= 255 && text.iter().all(legal))
            .then_some(Self::Name(text))
    }

    /// Whether two hosts are the same: names in any case, addresses by value (RFC 5954 §4.2).
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Host::V4(b)) => a == b,
            (Self::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

/// Decimal, octal, or hexadecimal with `0x`.
fn looks_like_number(label: &[u8]) -> bool {
    match label {
        [] => false,
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        _ => label.iter().all(u8::is_ascii_digit),
    }
}

pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let (mut nth, mut value, mut digits) = (0, 0u16, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && nth < 3 => {
                octets[nth] = u8::try_from(value).ok()?;
                (nth, value, digits) = (nth + 1, 0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(value).ok()?;
    (nth == 3 && digits > 0).then(|| octets.into())
}

pub(crate) fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// Appends `text` to `out` with its `%HH` escapes decoded once; a broken escape stays as it is.
pub fn unescape(text: &[u8], out: &mut Vec<u8>) {
    out.extend(Unescaped(text));
}

/// The bytes of a text with its escapes decoded.
pub(crate) struct Unescaped<'a>(pub(crate) &'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        if first == b'%'
            && let Some((&[high, low], rest)) = rest.split_first_chunk::<2>()
        {
            let digit = |b: u8| char::from(b).to_digit(16);
            if let (Some(high), Some(low)) = (digit(high), digit(low)) {
                self.0 = rest;
                return Some((high * 16 + low) as u8);
            }
        }
        Some(first)
    }
}

fn same_text(a: &[u8], b: &[u8]) -> bool {
    a == b || Unescaped(a).eq(Unescaped(b))
}

fn same_text_any_case(a: &[u8], b: &[u8]) -> bool {
    let lower = |text| Unescaped(text).map(|b: u8| b.to_ascii_lowercase());
    a.eq_ignore_ascii_case(b) || lower(a).eq(lower(b))
}

/// Whether two URIs are the same (RFC 3261 §19.1.4; RFC 3966 §4 for `tel:`; byte for byte after
/// the scheme for others).
pub fn equal(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => equal_sip(a, b),
        (Uri::Tel(a), Uri::Tel(b)) => equal_tel(a, b),
        (Uri::Other { scheme: s, rest: r }, Uri::Other { scheme, rest }) => {
            s.eq_ignore_ascii_case(scheme) && r == rest
        }
        _ => false,
    }
}

fn equal_sip(a: &SipUri<'_>, b: &SipUri<'_>) -> bool {
    //= RFC 3261 19.1.4
    // "A SIP and SIPS URI are never equivalent."
    let same_user = match (a.user, b.user) {
        (Some(a), Some(b)) => same_text(a, b),
        (a, b) => a == b,
    };
    let same_password = match (a.password, b.password) {
        (Some(a), Some(b)) => same_text(a, b),
        (a, b) => a == b,
    };
    //= RFC 3261 19.1.4
    // "A URI omitting any component with a default value will not match a URI explicitly"
    a.secure == b.secure
        && same_user
        && same_password
        && a.host.same(&b.host)
        && a.port == b.port
        && params_agree(&a.params, &b.params)
        && params_agree(&b.params, &a.params)
        && same_headers(a.headers, b.headers)
}

/// Every parameter of `a` that `b` has too says the same; what only one has is ignored, but
/// `user`, `ttl`, `method`, `maddr` and `transport` must then not be there at all (RFC 3261
/// errata and §19.1.4; `transport` as its examples show).
fn params_agree(a: &Params<'_>, b: &Params<'_>) -> bool {
    a.iter().all(|(name, value)| match b.get(name) {
        Some(other) => same_value(value, other),
        None => ![&b"user"[..], b"ttl", b"method", b"maddr", b"transport"]
            .iter()
            .any(|must| name.eq_ignore_ascii_case(must)),
    })
}

fn same_value(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_text_any_case(a, b),
        (a, b) => a == b,
    }
}

/// Header components are never ignored, and their order does not matter.
fn same_headers(a: &[u8], b: &[u8]) -> bool {
    fn parts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
        text.split(|&b| b == b'&').filter(|part| !part.is_empty())
    }
    let has = |list: &[u8], part: &[u8]| parts(list).any(|p| same_text_any_case(p, part));
    let (many_a, many_b) = (parts(a).count(), parts(b).count());
    many_a == many_b
        && many_a <= limits::URI_HEADERS
        && parts(a).all(|part| has(b, part))
        && parts(b).all(|part| has(a, part))
        || a == b
}

fn equal_tel(a: &TelUri<'_>, b: &TelUri<'_>) -> bool {
    fn digits(number: &[u8]) -> impl Iterator<Item = u8> {
        number.iter().filter(|b| !b"-.()".contains(b)).map(u8::to_ascii_lowercase)
    }
    //= RFC 3966 4
    // "Two \"tel\" URIs are equivalent according to the following rules"
    digits(a.number).eq(digits(b.number))
        && a.params.iter().count() == b.params.iter().count()
        && a.params.iter().all(|(name, value)| match b.params.get(name) {
            Some(other) => same_value(value, other),
            None => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    fn same(a: &str, b: &str) -> bool {
        let parse = |t: &'static [u8]| Uri::parse(t).expect("a URI");
        let leak = |t: &str| &*String::from(t).into_bytes().leak();
        let (a, b) = (parse(leak(a)), parse(leak(b)));
        assert_eq!(equal(&a, &b), equal(&b, &a), "comparison is symmetric");
        equal(&a, &b)
    }

    #[test]
    //= RFC 3261 19.1.4 type=test
    fn the_examples_of_the_rfc() {
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(same(a, b), "{a} = {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:a@b.com", "sips:a@b.com"),
        ] {
            assert!(!same(a, b), "{a} is not {b}");
        }
        assert!(same("sip:a@[2001:db8::0:1]", "sip:a@[2001:DB8:0::1]"));
        assert!(same("tel:+1-201-555-0123", "tel:+12015550123"));
        assert!(!same("tel:+12015550123", "tel:+12015550123;ext=5"));
    }

    #[test]
    fn bad_uris_are_refused() {
        for bad in [
            "",
            "sip:",
            "sip:@h",
            "sip:a@",
            "sip:a@b c",
            "sip:a@h:0",
            "sip:a@h:65536",
            "sip:a@h:+5",
            "sip:a@[::1",
            "sip:a@::1",
            "sip:a@2001:db8::10",
            "sip:a@h;=x",
            "sip:a@h;;x",
            "sip:a%4@h",
            "sip:a@[:::1]",
            "sip:a<@h",
            "tel:",
            "tel:x",
            "1a:b",
            "nocolon",
        ] {
            assert!(Uri::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_of_four_numbers() {
        for (text, address) in [
            ("192.0.2.1", Some([192, 0, 2, 1])),
            ("0.0.0.0", Some([0; 4])),
            ("255.255.255.255", Some([255; 4])),
            ("010.001.0.9", Some([10, 1, 0, 9])),
            ("256.0.0.1", None),
            ("1.2.3.256", None),
            ("1.2.3.999", None),
            ("1.2.3", None),
            ("1.2.3.", None),
            (".1.2.3", None),
            ("1..2.3", None),
            ("1.2.3.4.", None),
            ("1.2.3.4.5", None),
            ("0001.2.3.4", None),
            ("1.2.3.4a", None),
            ("", None),
        ] {
            assert_eq!(parse_v4(text.as_bytes()), address.map(Ipv4Addr::from), "{text}");
        }
    }

    #[test]
    fn parts_are_where_they_are() {
        let Ok(Uri::Sip(uri)) = Uri::parse(b"sips:a;b?c:pw@Host.example:5070;lr;x=1?h=v&i=w")
        else {
            panic!("a URI")
        };
        assert!(uri.secure);
        assert_eq!(uri.user, Some(&b"a;b?c"[..]));
        assert_eq!(uri.password, Some(&b"pw"[..]));
        assert_eq!(uri.host, Host::Name(b"Host.example"));
        assert_eq!(uri.port, Some(5070));
        assert_eq!(uri.params.get(b"LR"), Some(None));
        assert_eq!(uri.params.get(b"x"), Some(Some(&b"1"[..])));
        assert_eq!(uri.headers, b"h=v&i=w");
    }
}
