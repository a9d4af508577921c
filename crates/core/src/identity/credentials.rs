//! Credentials: the value of an Authorization or Proxy-Authorization header
//! (RFC 3261 §20.7, §25.1; RFC 7616 §3.4; RFC 8760 §2.7). A challenge has the same grammar.

use crate::limits;
use crate::snapshot::Algorithm;

/// What one header says. A parameter that is not there is `None`; nothing is judged but the
/// grammar.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Credentials<'a> {
    pub(crate) username: Option<Text<'a>>,
    pub(crate) realm: Option<Text<'a>>,
    pub(crate) nonce: Option<Text<'a>>,
    pub(crate) uri: Option<Text<'a>>,
    pub(crate) response: Option<Text<'a>>,
    pub(crate) algorithm: Option<Text<'a>>,
    pub(crate) cnonce: Option<Text<'a>>,
    pub(crate) qop: Option<Text<'a>>,
    pub(crate) nc: Option<Text<'a>>,
    pub(crate) opaque: Option<Text<'a>>,
    /// Only in challenges.
    pub(crate) stale: Option<Text<'a>>,
    pub(crate) userhash: Option<Text<'a>>,
    /// Something in it is against the grammar, said twice, or more than we support. What was
    /// read up to there still tells for which realm it was meant.
    pub(crate) broken: bool,
}

impl<'a> Credentials<'a> {
    /// Reads a header value; `None` if its scheme is another one than Digest.
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|&b| is_blank(b))?;
        let (scheme, mut rest) = value.split_at(end);
        if !scheme.eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let mut credentials = Self::default();
        for _ in 0..limits::CREDENTIAL_PARAMS {
            rest = skip(rest, |b| is_blank(b) || b == b',');
            if rest.is_empty() {
                return Some(credentials);
            }
            let Some((name, value, after)) = parameter(rest) else { break };
            credentials.note(name, value);
            rest = after;
        }
        credentials.broken = true;
        Some(credentials)
    }

    /// The algorithm it was made with: MD5 if it does not say (RFC 7616 §3.3); `None` for one
    /// that we do not know, as all `-sess` variants.
    pub(crate) fn algorithm(&self) -> Option<Algorithm> {
        let Some(name) = self.algorithm else { return Some(Algorithm::Md5) };
        [Algorithm::Md5, Algorithm::Sha256, Algorithm::Sha512_256]
            .into_iter()
            .find(|algorithm| name.raw().eq_ignore_ascii_case(algorithm.token().as_bytes()))
    }

    /// The nonce count; it is at least one.
    pub(crate) fn nonce_count(&self) -> Option<u32> {
        let text = self.nc?.raw();
        if text.is_empty() || text.len() > 8 {
            return None;
        }
        let digit = |b: &u8| char::from(*b).to_digit(16);
        let count = text.iter().try_fold(0, |n, b| Some(n << 4 | digit(b)?))?;
        (count > 0).then_some(count)
    }

    fn note(&mut self, name: &[u8], value: Text<'a>) {
        let place = match name.len() {
            2 if name.eq_ignore_ascii_case(b"nc") => &mut self.nc,
            3 if name.eq_ignore_ascii_case(b"uri") => &mut self.uri,
            3 if name.eq_ignore_ascii_case(b"qop") => &mut self.qop,
            5 if name.eq_ignore_ascii_case(b"realm") => &mut self.realm,
            5 if name.eq_ignore_ascii_case(b"nonce") => &mut self.nonce,
            5 if name.eq_ignore_ascii_case(b"stale") => &mut self.stale,
            6 if name.eq_ignore_ascii_case(b"cnonce") => &mut self.cnonce,
            6 if name.eq_ignore_ascii_case(b"opaque") => &mut self.opaque,
            8 if name.eq_ignore_ascii_case(b"username") => &mut self.username,
            8 if name.eq_ignore_ascii_case(b"response") => &mut self.response,
            8 if name.eq_ignore_ascii_case(b"userhash") => &mut self.userhash,
            9 if name.eq_ignore_ascii_case(b"algorithm") => &mut self.algorithm,
            // Our challenges offer no charset (RFC 7616 §3.4): who names a user by it cannot be
            // found.
            9 if name.eq_ignore_ascii_case(b"username*") => {
                self.broken = true;
                return;
            }
            _ => return,
        };
        self.broken |= place.replace(value).is_some();
    }
}

/// A value: a token, or what stands between quotes, its escapes still in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// What stands between quotes, or a token.
    pub(crate) const fn new(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// As it was written.
    pub(crate) fn raw(self) -> &'a [u8] {
        self.0
    }

    /// What it means, in pieces without the backslashes (RFC 7616 §3.3, `unq`).
    pub(crate) fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let start = usize::from(*rest.first()? == b'\\');
            // The byte after a backslash is meant, whatever it is.
            let next = rest.iter().skip(start + 1).position(|&b| b == b'\\');
            let end = next.map_or(rest.len(), |at| at + start + 1);
            let piece = rest.get(start..end).unwrap_or_default();
            rest = &rest[end..];
            Some(piece)
        })
    }

    /// Whether it means exactly this.
    pub(crate) fn means(self, text: &[u8]) -> bool {
        self.pieces().flatten().eq(text)
    }
}

/// The realm in the value of an Authorization or Proxy-Authorization header, as written; `None`
/// if it is not Digest or names none.
pub fn realm_of(value: &[u8]) -> Option<&[u8]> {
    Credentials::parse(value)?.realm.map(Text::raw)
}

/// Whether the value of a challenge or of credentials is for this realm.
pub(crate) fn realm_is(value: &[u8], realm: &[u8]) -> bool {
    let said = Credentials::parse(value).and_then(|said| said.realm);
    said.is_some_and(|said| said.means(realm))
}

/// One `name=value` at the start of `text`, and what follows it.
fn parameter(text: &[u8]) -> Option<(&[u8], Text<'_>, &[u8])> {
    let name_end = text.iter().position(|&b| is_blank(b) || matches!(b, b'=' | b',' | b'"'))?;
    let (name, rest) = text.split_at(name_end);
    let rest = skip(rest, is_blank).strip_prefix(b"=")?;
    let rest = skip(rest, is_blank);
    if name.is_empty() {
        return None;
    }
    let (value, rest) = match rest.strip_prefix(b"\"") {
        Some(inner) => {
            let close = closing_quote(inner)?;
            (&inner[..close], &inner[close + 1..])
        }
        None => {
            let end = rest.iter().position(|&b| is_blank(b) || matches!(b, b',' | b'"'));
            rest.split_at(end.unwrap_or(rest.len()))
        }
    };
    let rest = skip(rest, is_blank);
    matches!(rest.first(), None | Some(b',')).then_some((name, Text(value), rest))
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

fn skip(text: &[u8], unwanted: impl Fn(u8) -> bool) -> &[u8] {
    let start = text.iter().position(|&b| !unwanted(b)).unwrap_or(text.len());
    &text[start..]
}

/// Blanks, and the line ends of a folded header (RFC 3261 §7.3.1).
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn parse(text: &str) -> Credentials<'_> {
        Credentials::parse(text.as_bytes()).expect("Digest")
    }

    fn is(text: Option<Text<'_>>, wanted: &str) -> bool {
        text.is_some_and(|text| text.means(wanted.as_bytes()))
    }

    #[test]
    fn the_example_of_rfc_3261() {
        let read = parse(
            "Digest username=\"bob\",\r\n        realm=\"biloxi.com\",\r\n\t\
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"sip:bob@biloxi.com\", \
             qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
             response=\"6629fae49393a05397450978507c4ef1\", \
             opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        assert!(is(read.username, "bob") && is(read.realm, "biloxi.com"));
        assert!(is(read.nonce, "dcd98b7102dd2f0e8b11d0f600bfb0c093"));
        assert!(is(read.uri, "sip:bob@biloxi.com") && is(read.qop, "auth"));
        assert!(is(read.cnonce, "0a4f113b"));
        assert!(is(read.response, "6629fae49393a05397450978507c4ef1"));
        assert_eq!((read.nonce_count(), read.algorithm()), (Some(1), Some(Algorithm::Md5)));
        assert!(!read.broken);
    }

    #[test]
    fn forms_that_phones_send() {
        let read = parse("dIgEsT  USERNAME = bob , ,realm=\"a\\\"b\\\\\" ,Algorithm=\"sha-256\"");
        assert!(is(read.username, "bob") && is(read.realm, "a\"b\\") && !read.broken);
        assert_eq!(read.algorithm(), Some(Algorithm::Sha256));
        let read = parse("Digest algorithm=SHA-512-256, nc=fFfFfFfF, x=\"a, b=c\", y=1");
        assert_eq!(read.algorithm(), Some(Algorithm::Sha512_256));
        assert_eq!(read.nonce_count(), Some(u32::MAX));
        assert!(!read.broken, "unknown parameters are ignored");
        assert_eq!(parse("Digest algorithm=MD5-sess").algorithm(), None);
        assert!(is(parse("Digest username=\"\"").username, ""));
        assert!(Credentials::parse(b"Basic YTpi").is_none());
        assert!(Credentials::parse(b"Digest").is_none());
        assert_eq!(realm_of(b"Digest a=b, realm=\"x.org\", q"), Some(&b"x.org"[..]));
        assert_eq!(realm_of(b"NoOneKnowsThis realm=\"x.org\""), None);
    }

    #[test]
    fn escapes_are_taken_out() {
        for (text, meant) in [
            ("", ""),
            ("plain", "plain"),
            ("\\a", "a"),
            ("a\\\\", "a\\"),
            ("\\\"q\\\"", "\"q\""),
            ("\\\\\\\\x\\y", "\\\\xy"),
        ] {
            let pieces: Vec<u8> = Text(text.as_bytes()).pieces().flatten().copied().collect();
            assert_eq!(pieces, meant.as_bytes(), "{text}");
            assert!(Text(text.as_bytes()).means(meant.as_bytes()));
            assert!(!Text(text.as_bytes()).means(b"other"));
        }
    }

    #[test]
    fn what_is_broken_is_said() {
        for bad in [
            "Digest realm",
            "Digest realm=\"a",
            "Digest realm=\"a\\\"",
            "Digest realm=\"a\" username=\"b\"",
            "Digest realm=\"a\"b",
            "Digest realm=a\"b\"",
            "Digest =a",
            "Digest \"a\"=b",
            "Digest realm=\"a\", realm=\"a\"",
            "Digest username=\"a\", username*=UTF-8''a",
            "Digest username*=UTF-8''a",
        ] {
            assert!(parse(bad).broken, "{bad}");
        }
        let read = parse("Digest realm=\"a\", nonce=\"n\", username*=UTF-8''J");
        assert!(is(read.realm, "a") && read.broken, "meant for this realm");
        let mut many = String::from("Digest realm=\"a\"");
        for _ in 0..limits::CREDENTIAL_PARAMS {
            many.push_str(", a=b");
        }
        assert!(parse(&many).broken, "a thousand parameters are no credentials");
        for (nc, count) in [
            ("1", Some(1)),
            ("00000010", Some(16)),
            ("00000000", None),
            ("000000001", None),
            ("0x1", None),
            ("-1", None),
            ("g", None),
            ("", None),
        ] {
            let text = alloc::format!("Digest nc={nc}");
            assert_eq!(parse(&text).nonce_count(), count, "{nc}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut seed = 1u64;
        let alphabet = b"Digest rm=\"\\,a \r\n\t'*\x00\xffnc";
        for _ in 0..20_000 {
            let mut text = Vec::from(&b"Digest "[..]);
            for _ in 0..24 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                text.push(alphabet[(seed >> 33) as usize % alphabet.len()]);
            }
            if let Some(read) = Credentials::parse(&text) {
                assert!(read.nc.is_none() || read.nonce_count() != Some(0));
            }
        }
    }
}
