//! URIs (RFC 3261 §19.1, §25.1; RFC 3966; RFC 5954) and their comparison (§19.1.4).

use crate::class;
use crate::error::Malformed;
use crate::header::params::{self, Params};
pub(crate) use crate::host::Host;
use crate::host::HostMarks;
use crate::limits;
use alloc::vec::Vec;

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

const WRONG: Malformed = Malformed::grammar("URI");
const WRONG_TEL: Malformed = Malformed::grammar("tel URI");

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Scheme {
    Sip,
    Sips,
    Tel,
    #[default]
    Other,
}

/// Where the parts of a URI stand in its text: what reading it leaves behind, to look at it again
/// without reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct UriMarks {
    scheme: Scheme,
    host: HostMarks,
    /// What follows the colon of the scheme.
    rest: u16,
    /// Where the user ends; 0 if there is none. A password may follow.
    user_end: u16,
    /// Parameters and, behind a `?`, headers, as long as they are not empty.
    params: u16,
    params_end: u16,
    end: u16,
}

impl<'a> Uri<'a> {
    /// Reads a URI; all of `text` must be one.
    ///
    /// # Errors
    /// If it has no scheme, or is a `sip:`, `sips:` or `tel:` URI against the grammar.
    pub fn parse(text: &'a [u8]) -> Result<Self, Malformed> {
        match UriMarks::read(text) {
            Some(marks) if usize::from(marks.end) == text.len() => Ok(marks.uri(text)),
            _ if class::all(text, class::URI) && is_tel(text) => Err(WRONG_TEL),
            _ => Err(WRONG),
        }
    }
}

fn is_tel(text: &[u8]) -> bool {
    matches!(text, [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', ..])
}

impl UriMarks {
    /// Reads the URI at the start of `text`, as far as the grammar goes.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        if text.len() > limits::MESSAGE {
            return None;
        }
        match text {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', ..] => Self::read_sip(text, 4),
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', ..] => {
                Self::read_sip(text, 5)
            }
            _ if is_tel(text) => Self::read_tel(text),
            _ => Self::read_other(text),
        }
    }

    /// Where it ends.
    pub(crate) fn end(&self) -> usize {
        self.end.into()
    }

    /// Whether it is a SIP or SIPS URI with headers behind it.
    pub(crate) fn has_headers(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips) && self.params_end + 1 < self.end
    }

    fn read_sip(text: &[u8], rest: usize) -> Option<Self> {
        let scheme = if rest == 4 { Scheme::Sip } else { Scheme::Sips };
        // `?` and `;` may stand in a user part, so the `@` is looked for first.
        let at = class::run(text, rest, class::USER);
        let (user_end, host) = match text.get(at) {
            Some(b'@') if at > rest => (at, at + 1),
            None | Some(b'>') => (0, rest),
            _ => match class::run(text, at, class::BEFORE_AT) {
                at if text.get(at) == Some(&b'@') => (read_userinfo(text, rest, at)?, at + 1),
                _ => (0, rest),
            },
        };
        let (host, at) = HostMarks::read(text, host)?;
        let params = at;
        let params_end = params::read_uri(text, params)?;
        let end = match text.get(params_end) {
            Some(b'?') => class::run(text, params_end + 1, class::URI),
            _ => params_end,
        };
        Some(Self {
            scheme,
            host,
            rest: rest as u16,
            user_end: user_end as u16,
            params: params as u16,
            params_end: params_end as u16,
            end: end as u16,
        })
    }

    fn read_tel(text: &[u8]) -> Option<Self> {
        let start = if text.get(4) == Some(&b'+') { 5 } else { 4 };
        let legal = |b: &u8| b.is_ascii_hexdigit() || b"*#-.()".contains(b);
        let number = text.get(start..)?.iter().take_while(|b| legal(b)).count();
        if number == 0 {
            return None;
        }
        let params = start + number;
        let end = params::read_uri(text, params)? as u16;
        let params = params as u16;
        Some(Self { scheme: Scheme::Tel, rest: 4, params, params_end: end, end, ..Self::default() })
    }

    fn read_other(text: &[u8]) -> Option<Self> {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let colon = text.iter().take_while(|b| legal(b)).count();
        if !text.first()?.is_ascii_alphabetic() || text.get(colon) != Some(&b':') {
            return None;
        }
        let (rest, end) = (colon as u16 + 1, class::run(text, colon + 1, class::URI) as u16);
        Some(Self { rest, end, ..Self::default() })
    }

    /// The URI, of the text that was read.
    pub(crate) fn uri<'a>(&self, text: &'a [u8]) -> Uri<'a> {
        let part = |from: u16, to: u16| &text[usize::from(from)..usize::from(to)];
        let params = Params::of(part(self.params, self.params_end));
        match self.scheme {
            Scheme::Sip | Scheme::Sips => {
                let (user, password) = match self.user_end {
                    0 => (None, None),
                    end => {
                        let user = Some(part(self.rest, end));
                        let at = self.host.start - 1;
                        (user, (end < at).then(|| part(end + 1, at)))
                    }
                };
                let headers = if self.has_headers() { self.params_end + 1 } else { self.end };
                Uri::Sip(SipUri {
                    secure: self.scheme == Scheme::Sips,
                    user,
                    password,
                    host: self.host.host(text),
                    port: self.host.port(),
                    params,
                    headers: part(headers, self.end),
                })
            }
            Scheme::Tel => Uri::Tel(TelUri { number: part(self.rest, self.params), params }),
            Scheme::Other => {
                Uri::Other { scheme: part(0, self.rest - 1), rest: part(self.rest, self.end) }
            }
        }
    }
}

/// Where the user ends that begins at `start`, if what stands before the `@` at `end` is a user
/// with or without a password.
fn read_userinfo(text: &[u8], start: usize, end: usize) -> Option<usize> {
    let user_end = read_user(text, start)?;
    let password = text.get(user_end) == Some(&b':');
    let all = if password { read_password(text, user_end + 1)? } else { user_end };
    (user_end > start && all == end).then_some(user_end)
}

/// RFC 3261 §25.1 user: unreserved, escaped, user-unreserved; bytes above ASCII are let pass.
fn read_user(text: &[u8], start: usize) -> Option<usize> {
    let mut at = class::run(text, start, class::USER);
    while text.get(at) == Some(&b'%') {
        let hex = text.get(at + 1..at + 3)?;
        if !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        at = class::run(text, at + 3, class::USER);
    }
    Some(at)
}

/// The same, and colons.
fn read_password(text: &[u8], start: usize) -> Option<usize> {
    let mut at = read_user(text, start)?;
    while text.get(at) == Some(&b':') {
        at = read_user(text, at + 1)?;
    }
    Some(at)
}

impl<'a> SipUri<'a> {
    /// The host in the `maddr` parameter, which overrides the host (RFC 3261 §19.1.1).
    pub fn maddr(&self) -> Option<Host<'a>> {
        let (host, port) = Host::parse_with_port(self.params.get(b"maddr").flatten()?)?;
        port.is_none().then_some(host)
    }
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
