//! `;name=value` lists, of headers and of URIs (RFC 3261 §25.1 generic-param, uri-parameter).

use crate::limits;
use crate::scan::{is_blank, is_token_byte, quoted_end, trim};

/// A list of parameters, checked once and read on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a> {
    text: &'a [u8],
}

impl<'a> Params<'a> {
    /// Parameters of a header: blanks and quoted strings are allowed. `text` is empty or begins
    /// with the first `;`.
    pub(crate) fn parse_header(text: &'a [u8]) -> Option<Self> {
        let params = Self { text: trim(text) };
        let well = |(name, value): (&[u8], Option<&[u8]>)| {
            !name.is_empty() && name.iter().all(|&b| is_token_byte(b)) && value_fits(value)
        };
        (params.text.is_empty() || params.text[0] == b';').then_some(())?;
        params.iter().all(well).then_some(params)
    }

    /// Parameters of a URI: no blanks and no quotes, but `%HH` and a few more signs.
    pub(crate) fn parse_uri(text: &'a [u8]) -> Option<Self> {
        let params = Self { text };
        let legal = |text: &[u8]| {
            !text.is_empty()
                && text.iter().all(|&b| is_token_byte(b) || b >= 0x80 || b"[]/:&$()".contains(&b))
        };
        for (at, (name, value)) in params.iter().enumerate() {
            //= RFC 3261 19.1.1
            // "any given parameter-name MUST NOT appear more than once"
            let repeated = || params.iter().take(at).any(|(n, _)| n.eq_ignore_ascii_case(name));
            let well = legal(name) && value.is_none_or(legal);
            if !well || at >= limits::URI_PARAMS || repeated() {
                return None;
            }
        }
        Some(params)
    }

    /// The value of a parameter, names in any case: `None` if it is not there, `Some(None)` if
    /// it has no value. Quotes are left on.
    pub fn get(&self, name: &[u8]) -> Option<Option<&'a [u8]>> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether a parameter is there more than once.
    pub(crate) fn repeats(&self, name: &[u8]) -> bool {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).nth(1).is_some()
    }

    /// All of them, in order.
    pub fn iter(&self) -> Iter<'a> {
        Iter { rest: self.text }
    }

    /// The text, with its leading `;`; empty if there are none.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.text
    }
}

fn value_fits(value: Option<&[u8]>) -> bool {
    match value {
        None => true,
        Some(text @ [b'"', ..]) => quoted_end(text, 0) == text.len() - 1,
        Some(value) => {
            let host = |b: u8| is_token_byte(b) || b >= 0x80 || b"[]:/@$&?()=".contains(&b);
            !value.is_empty() && value.iter().all(|&b| host(b))
        }
    }
}

/// Iterates over parameters as `(name, value)`.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl Iter<'_> {
    /// How many bytes are left after what was handed out.
    pub(crate) fn rest_len(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.strip_prefix(b";")?;
        let mut at = 0;
        let mut equals = None;
        loop {
            let found = match equals {
                None => memchr::memchr3(b';', b'=', b'"', &text[at..]),
                Some(_) => memchr::memchr2(b';', b'"', &text[at..]),
            };
            at += found.unwrap_or(text.len() - at);
            match text.get(at) {
                None | Some(b';') => break,
                Some(b'=') => {
                    equals = Some(at);
                    at += 1;
                }
                Some(_) => at = (quoted_end(text, at) + 1).min(text.len()),
            }
        }
        self.rest = &text[at..];
        let param = &text[..at];
        Some(match equals {
            Some(equals) => (trim(&param[..equals]), Some(trim(&param[equals + 1..]))),
            None => (trim(param), None),
        })
    }
}

/// Skips blanks at the start of `text` from `at` on.
pub(crate) fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|&b| is_blank(b)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_told_apart() {
        type Pair = (&'static str, Option<&'static str>);
        let cases: [(&str, &[Pair]); 8] = [
            ("", &[]),
            (";a", &[("a", None)]),
            (";a=1;b", &[("a", Some("1")), ("b", None)]),
            ("; a = 1 ;b=", &[("a", Some("1")), ("b", Some(""))]),
            (";a=\"x;y=z\";b", &[("a", Some("\"x;y=z\"")), ("b", None)]),
            (";a=b=c;d", &[("a", Some("b=c")), ("d", None)]),
            (";\"a;b\"=c", &[("\"a;b\"", Some("c"))]),
            (";a=\"x;y", &[("a", Some("\"x;y"))]),
        ];
        for (text, expected) in cases {
            let found = Params { text: text.as_bytes() };
            let expected = expected.iter().map(|(n, v)| (n.as_bytes(), v.map(str::as_bytes)));
            assert!(found.iter().eq(expected), "{text}");
        }
    }
}
