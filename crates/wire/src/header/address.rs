//! `name-addr` and `addr-spec`: From, To, Contact, Route and their like (RFC 3261 §20.10, §25.1;
//! RFC 8217).

use crate::error::Malformed;
use crate::header::params::{Params, skip_blanks};
use crate::scan::{is_blank, is_token_byte, quoted_end, trim};
use crate::uri::Uri;

/// A URI with an optional display name and header parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes and all.
    pub display: Option<&'a [u8]>,
    /// The URI text.
    pub uri: &'a [u8],
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
}

const WRONG: Malformed = Malformed::grammar("address");

impl<'a> NameAddr<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// Where quotes or brackets are not closed, a display name is against the grammar, or there
    /// is no URI.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let value = trim(value);
        let (display, rest) = match value.first() {
            Some(b'"') => {
                let close = quoted_end(value, 0);
                if close >= value.len() {
                    return Err(WRONG);
                }
                let after = skip_blanks(value, close + 1);
                if value.get(after) != Some(&b'<') {
                    return Err(WRONG);
                }
                (Some(&value[..=close]), &value[after..])
            }
            _ => match memchr::memchr(b'<', value) {
                Some(at) => {
                    let display = trim(&value[..at]);
                    // A display name without quotes is a list of tokens: a comma, a semicolon
                    // or a URI in it makes it something else.
                    if !display.iter().all(|&b| is_token_byte(b) || is_blank(b) || b >= 0x80) {
                        return Err(WRONG);
                    }
                    ((!display.is_empty()).then_some(display), &value[at..])
                }
                None => return Self::parse_bare(value),
            },
        };
        let close = memchr::memchr(b'>', rest).ok_or(WRONG)?;
        let uri = &rest[1..close];
        if uri.is_empty() || uri.iter().any(|&b| is_blank(b) || b == b'<') {
            return Err(WRONG);
        }
        let params = Params::parse_header(&rest[close + 1..]).ok_or(WRONG)?;
        Ok(Self { display, uri, params })
    }

    /// An `addr-spec` without brackets: what follows a `;` belongs to the header.
    //= RFC 3261 20.10
    // "If the URI is not enclosed in angle brackets, any semicolon-delimited"
    fn parse_bare(value: &'a [u8]) -> Result<Self, Malformed> {
        let end = memchr::memchr2(b';', b'?', value).unwrap_or(value.len());
        // RFC 8217 §3: a URI with `?` or `,` in it must be in brackets.
        if value.get(end) == Some(&b'?') {
            return Err(WRONG);
        }
        let uri = trim(&value[..end]);
        if uri.is_empty() || uri.iter().any(|&b| is_blank(b) || matches!(b, b',' | b'"' | b'>')) {
            return Err(WRONG);
        }
        let params = Params::parse_header(&value[end..]).ok_or(WRONG)?;
        Ok(Self { display: None, uri, params })
    }

    /// The URI.
    ///
    /// # Errors
    /// If it is none.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::parse(self.uri)
    }

    /// The `tag` parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.get(b"tag").flatten().filter(|tag| !tag.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_addresses() {
        for (text, display, uri, tag) in [
            ("<sip:a@b>;tag=1", None, "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
            ("\"A, \\\" <x>\" <sip:a@b;lr>", Some("\"A, \\\" <x>\""), "sip:a@b;lr", None),
            ("caller<sip:a@b> ; TAG = 4", Some("caller"), "sip:a@b", Some("4")),
            ("A b c\t<sip:a@b>", Some("A b c"), "sip:a@b", None),
            ("<sip:a@b;user=phone?x=y>;tag=", None, "sip:a@b;user=phone?x=y", None),
        ] {
            if text.ends_with("tag=") {
                assert!(NameAddr::parse(text.as_bytes()).is_err(), "{text}");
                continue;
            }
            let read = NameAddr::parse(text.as_bytes()).expect(text);
            assert_eq!(read.display, display.map(str::as_bytes), "{text}");
            assert_eq!(read.uri, uri.as_bytes(), "{text}");
            assert_eq!(read.tag(), tag.map(str::as_bytes), "{text}");
        }
        for bad in [
            "",
            "<>",
            "< sip:a@b >",
            "\"a <sip:a@b>",
            "Bell, A <sip:a@b>",
            "<sip:a@b",
            "sip:a@b?x=y",
            "\"a\" sip:a@b",
            "<sip:a@b>x",
            "\"a\\\"",
            "\"",
        ] {
            assert!(NameAddr::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
