//! `name-addr` and `addr-spec`: From, To, Contact, Route and their like (RFC 3261 §20.10, §25.1;
//! RFC 8217).

use crate::class::{self, DISPLAY};
use crate::error::Malformed;
use crate::header::params::{self, Params, is_named, skip_blanks};
use crate::limits;
use crate::scan::{Span, element_end, is_blank, quoted_end, trim};
use crate::uri::{Uri, UriMarks};

/// A URI with an optional display name and header parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes and all.
    pub display: Option<&'a [u8]>,
    /// The URI text.
    pub uri: &'a [u8],
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
    tag: Option<&'a [u8]>,
    marks: Option<UriMarks>,
}

/// Where the parts of an address stand in its text: what reading it leaves behind, to look at it
/// again without reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AddressMarks {
    display: Span,
    uri: Span,
    /// `None` if it is no URI.
    marks: Option<UriMarks>,
    params: Span,
    /// The value of `tag`.
    tag: Span,
    tags: Tags,
}

/// How many parameters `tag` there are: with several, two readers could see two of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tags {
    #[default]
    None,
    One,
    /// RFC 3261 §25.1 tag-param: a tag has a value.
    WithoutValue,
    Several,
}

const WRONG: Malformed = Malformed::grammar("address");

impl<'a> NameAddr<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// Where quotes or brackets are not closed, a display name is against the grammar, or there
    /// is no URI.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        match AddressMarks::read(value) {
            Some((marks, end)) if end == value.len() => Ok(marks.address(value)),
            _ => Err(WRONG),
        }
    }

    /// The URI.
    ///
    /// # Errors
    /// If it is none.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        self.marks.map_or_else(|| Uri::parse(self.uri), |marks| Ok(marks.uri(self.uri)))
    }

    /// The `tag` parameter; an empty one counts as none.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }
}

impl AddressMarks {
    /// Reads the value at the start of `text`, as far as the grammar goes; says where it ends.
    pub(crate) fn read(text: &[u8]) -> Option<(Self, usize)> {
        if text.len() > limits::MESSAGE {
            return None;
        }
        let start = skip_blanks(text, 0);
        let mut marks = Self::default();
        let open = match text.get(start)? {
            b'<' => start,
            b'"' => {
                let end = quoted_end(text, start) + 1;
                marks.display = Span::new(start, end);
                skip_blanks(text, end)
            }
            _ => {
                // A display name without quotes is a list of tokens: a comma, a semicolon or a
                // URI in it makes it something else.
                let open = class::run(text, start, DISPLAY);
                if text.get(open) != Some(&b'<') {
                    return marks.read_bare(text, start);
                }
                marks.display = Span::new(start, start + trim(&text[start..open]).len());
                open
            }
        };
        if text.get(open) != Some(&b'<') {
            return None;
        }
        let close = marks.read_bracketed(text, open + 1)?;
        marks.read_params(text, close + 1)
    }

    /// The URI in brackets from `start` on; says where the closing one is.
    fn read_bracketed(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let inside = &text[start..];
        if let Some(marks) = UriMarks::read(inside)
            && inside.get(marks.end()) == Some(&b'>')
        {
            self.marks = Some(marks);
            self.uri = Span::new(start, start + marks.end());
            return Some(start + marks.end());
        }
        let close = memchr::memchr(b'>', inside)?;
        let uri = &inside[..close];
        if uri.is_empty() || uri.iter().any(|&b| is_blank(b) || b == b'<') {
            return None;
        }
        self.uri = Span::new(start, start + close);
        Some(start + close)
    }

    /// An `addr-spec` without brackets: what follows a `;` belongs to the header.
    //= RFC 3261 20.10
    // "If the URI is not enclosed in angle brackets, any semicolon-delimited"
    fn read_bare(mut self, text: &[u8], start: usize) -> Option<(Self, usize)> {
        let value = &text[start..start + element_end(&text[start..])];
        let end = memchr::memchr2(b';', b'?', value).unwrap_or(value.len());
        // RFC 8217 §3: a URI with `?` or `,` in it must be in brackets.
        if value.get(end) == Some(&b'?') || value.contains(&b'<') {
            return None;
        }
        let uri = trim(&value[..end]);
        if uri.is_empty() || uri.iter().any(|&b| is_blank(b) || matches!(b, b',' | b'"' | b'>')) {
            return None;
        }
        self.uri = Span::new(start, start + uri.len());
        self.marks = UriMarks::read(uri).filter(|marks| marks.end() == uri.len());
        self.read_params(text, start + end)
    }

    fn read_params(mut self, text: &[u8], start: usize) -> Option<(Self, usize)> {
        let start = skip_blanks(text, start);
        let end = params::read_header(text, start, |name, value| {
            if is_named(name, b"tag") {
                (self.tag, self.tags) = match self.tags {
                    Tags::None if value.is_empty() => (value, Tags::WithoutValue),
                    Tags::None => (value, Tags::One),
                    _ => (self.tag, Tags::Several),
                };
            }
        })?;
        self.params = Span::new(start, start + trim(&text[start..end]).len());
        Some((self, end))
    }

    /// How many tags there are.
    pub(crate) fn tags(&self) -> Tags {
        self.tags
    }

    /// Whether its URI is one.
    pub(crate) fn has_uri(&self) -> bool {
        self.marks.is_some()
    }

    /// The address, of the text that was read.
    pub(crate) fn address<'a>(&self, text: &'a [u8]) -> NameAddr<'a> {
        NameAddr {
            display: self.display.filled(text),
            uri: self.uri.of(text),
            params: Params::of(self.params.of(text)),
            tag: self.tag.filled(text),
            marks: self.marks,
        }
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
