//! `;name=value` lists, of headers and of URIs (RFC 3261 §25.1 generic-param, uri-parameter).

use crate::class::{BLANK, PARAM, TOKEN, URI_PARAM, VALUE, is, run};
use crate::limits;
use crate::scan::{Span, quoted_end, trim};

/// A list of parameters, checked once and read on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a> {
    text: &'a [u8],
}

impl<'a> Params<'a> {
    /// Parameters that were read already, by [`read_header`] or [`read_uri`].
    pub(crate) const fn of(text: &'a [u8]) -> Self {
        Self { text }
    }

    /// Parameters of a header: blanks and quoted strings are allowed. `text` is empty or begins
    /// with the first `;`.
    pub(crate) fn parse_header(text: &'a [u8]) -> Option<Self> {
        let end = read_header(text, 0, |_, _| ())?;
        (end == text.len()).then_some(Self { text: trim(text) })
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

/// Reads the parameters of a header from `at` on, as far as the grammar goes: blanks and quoted
/// strings are allowed. Each is handed to `each` with the place of its value, an
/// empty one if it has none. Says where they end.
#[inline]
pub(crate) fn read_header<'a>(
    text: &'a [u8],
    at: usize,
    mut each: impl FnMut(&'a [u8], Span),
) -> Option<usize> {
    let mut at = skip_blanks(text, at);
    while text.get(at) == Some(&b';') {
        let start = skip_blanks(text, at + 1);
        let end = run(text, start, TOKEN);
        let name = text.get(start..end).filter(|name| !name.is_empty())?;
        at = skip_blanks(text, end);
        if text.get(at) != Some(&b'=') {
            each(name, Span::default());
            continue;
        }
        let start = skip_blanks(text, at + 1);
        let end = match text.get(start) {
            Some(b'"') => quoted_end(text, start) + 1,
            _ => run(text, start, VALUE),
        };
        if end == start || end > text.len() {
            return None;
        }
        each(name, Span::new(start, end));
        at = skip_blanks(text, end);
    }
    Some(at)
}

/// Reads the parameters of a URI from `at` on, as far as the grammar goes: no blanks and no
/// quotes, but `%HH` and a few more signs. Says where they end.
#[inline]
pub(crate) fn read_uri(text: &[u8], mut at: usize) -> Option<usize> {
    let first = at;
    let (mut seen, mut count) = (0u32, 0);
    while text.get(at) == Some(&b';') {
        let start = at + 1;
        at = run(text, start, URI_PARAM);
        let name = text.get(start..at).filter(|name| !name.is_empty())?;
        // Of names that are the same this is too, whatever their case.
        let mark = 1 << ((usize::from(name[0] | 0x20) + name.len()) % 32);
        //= RFC 3261 19.1.1
        // "any given parameter-name MUST NOT appear more than once"
        if count >= limits::URI_PARAMS
            || seen & mark != 0 && Params::of(&text[first..start - 1]).get(name).is_some()
        {
            return None;
        }
        seen |= mark;
        count += 1;
        if text.get(at) == Some(&b'=') {
            let value = at + 1;
            at = run(text, value, URI_PARAM);
            if at == value {
                return None;
            }
        }
    }
    Some(at)
}

/// Whether a token is this one, which is in lower case, in any case.
pub(crate) fn is_named<const N: usize>(token: &[u8], lower: &[u8; N]) -> bool {
    let Ok(token) = <&[u8; N]>::try_from(token) else { return false };
    token.iter().zip(lower).fold(0, |other, (a, b)| other | ((a | 0x20) ^ b)) == 0
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
            at = run(text, at, PARAM);
            match text.get(at) {
                None | Some(b';') => break,
                Some(b'=') => {
                    equals = equals.or(Some(at));
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
    while text.get(at).is_some_and(|&b| is(b, BLANK)) {
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
