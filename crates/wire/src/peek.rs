//! What can be told of a message before it is read: enough to say how much it is worth when
//! there is more to do than can be done. A look costs a quarter of reading (2,535 of
//! 10,805 instructions for an INVITE of 902 bytes), and reading a part of serving.

use crate::limits;
use crate::scan::trim;
use memchr::{memchr, memrchr};

/// What a look at a message shows. Whatever can be read as another message (folds in odd places,
/// bare line ends) may be seen wrongly: nothing but its worth follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peek<'a> {
    /// The method as written; empty for a response.
    pub method: &'a [u8],
    /// The Request-URI; empty for a response.
    pub uri: &'a [u8],
    /// The tag in To: the request is inside a dialog (RFC 3261 §12.2).
    pub to_tag: Option<&'a [u8]>,
    /// The Call-ID; empty if there is none.
    pub call_id: &'a [u8],
    /// Whether it brings credentials for somebody (RFC 3261 §20.7, §20.28).
    pub has_credentials: bool,
    /// Whether it says that lives hang on it: a Resource-Priority (RFC 4412 §3.1), or the
    /// Priority `emergency` (RFC 3261 §20.26).
    pub is_urgent: bool,
    /// Whether it says by which way it goes (RFC 3261 §20.34).
    pub has_route: bool,
    /// The topmost Via header.
    pub via: &'a [u8],
}

impl<'a> Peek<'a> {
    /// Looks at a datagram; `None` if it has no start line of SIP.
    pub fn at(bytes: &'a [u8]) -> Option<Self> {
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n'))?;
        let end = start + memchr(b'\n', &bytes[start..])?;
        let line = trim(&bytes[start..end]);
        let mut peek = Self::default();
        if !line.get(..4)?.eq_ignore_ascii_case(b"SIP/") {
            let (first, last) = (memchr(b' ', line)?, memrchr(b' ', line)?);
            peek.method = &line[..first];
            peek.uri = line.get(first + 1..last)?;
            peek.headers(bytes, end + 1);
        }
        Some(peek)
    }

    /// Looks at the header lines from `at` on, as far as the empty line.
    fn headers(&mut self, bytes: &'a [u8], mut at: usize) {
        for _ in 0..limits::HEADERS {
            let Some(&first) = bytes.get(at) else { return };
            let end = end_of_line(bytes, at);
            self.header(first, &bytes[at..end]);
            at = end + 1;
            if matches!(first, b'\r' | b'\n') {
                return;
            }
        }
    }

    fn header(&mut self, first: u8, line: &'a [u8]) {
        match first {
            b't' | b'T' => {
                if let Some(value) = value_of(line, b"To").or_else(|| value_of(line, b"t")) {
                    self.to_tag = self.to_tag.or_else(|| tag_of(value));
                }
            }
            b'i' | b'I' => note(&mut self.call_id, value_of(line, b"i")),
            b'c' | b'C' => note(&mut self.call_id, value_of(line, b"Call-ID")),
            b'v' | b'V' => {
                note(&mut self.via, value_of(line, b"Via").or_else(|| value_of(line, b"v")));
            }
            b'a' | b'A' => self.has_credentials |= value_of(line, b"Authorization").is_some(),
            b'p' | b'P' => {
                self.has_credentials |= value_of(line, b"Proxy-Authorization").is_some();
                let priority = value_of(line, b"Priority");
                self.is_urgent |= priority.is_some_and(|p| p.eq_ignore_ascii_case(b"emergency"));
            }
            b'r' | b'R' => {
                self.has_route |= value_of(line, b"Route").is_some();
                self.is_urgent |= value_of(line, b"Resource-Priority").is_some();
            }
            _ => {}
        }
    }
}

/// The value of a header line, if its name is this one.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    let colon = rest.iter().position(|b| !matches!(b, b' ' | b'\t'))?;
    (rest[colon] == b':').then(|| trim(&rest[colon + 1..]))
}

/// Notes the first value.
fn note<'a>(first: &mut &'a [u8], found: Option<&'a [u8]>) {
    if first.is_empty() {
        *first = found.unwrap_or_default();
    }
}

/// Where the line at `at` ends, its folds included: the place of the last line feed, or the end.
fn end_of_line(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        let Some(found) = memchr(b'\n', &bytes[end..]) else { return bytes.len() };
        end += found;
        if !matches!(bytes.get(end + 1), Some(b' ' | b'\t')) {
            return end;
        }
        end += 1;
    }
}

/// The tag of a To value.
fn tag_of(value: &[u8]) -> Option<&[u8]> {
    let params = memrchr(b'>', value).map_or(value, |end| &value[end..]);
    let mut rest = params;
    while let Some(semicolon) = memchr(b';', rest) {
        rest = &rest[semicolon + 1..];
        let param = &rest[..memchr(b';', rest).unwrap_or(rest.len())];
        let Some(equals) = memchr(b'=', param) else { continue };
        if trim(&param[..equals]).eq_ignore_ascii_case(b"tag") {
            let tag = trim(&param[equals + 1..]);
            return (!tag.is_empty()).then_some(tag);
        }
    }
    None
}

#[cfg(test)]
mod tests;
