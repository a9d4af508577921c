//! Finds the lines of a message: start line, header lines with their folds, the empty line.

use crate::error::{Fault, Malformed};
use crate::limits;
use crate::name::Name;
use alloc::vec::Vec;

/// One header as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: Name,
    /// Length of the name as written.
    pub(crate) name_len: u8,
    /// Where the line starts.
    pub(crate) start: u16,
    /// Where the value starts and ends, blanks around it left off; folds are inside.
    pub(crate) value: u16,
    pub(crate) value_end: u16,
    /// Where the next line starts.
    pub(crate) end: u16,
}

/// The positions of everything in a message. Made once and used for message after message.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) places: Vec<Place>,
    /// For each name the number of its first place, plus one; 0 where there is none.
    pub(crate) first: [u16; Name::COUNT],
    /// Whether it is a request.
    pub(crate) is_request: bool,
    /// The start line, and the end of its first word.
    pub(crate) start: u16,
    pub(crate) start_end: u16,
    pub(crate) word_end: u16,
    /// The Request-URI; empty for a response.
    pub(crate) uri: u16,
    pub(crate) uri_end: u16,
    /// Where the last header line ends, and whether the empty line follows there.
    pub(crate) head_end: u16,
    pub(crate) has_empty_line: bool,
    /// The body.
    pub(crate) body: u16,
    pub(crate) body_end: u16,
    /// The first thing found wrong while scanning.
    pub(crate) fault: Option<Malformed>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// A line that was found: where it ends, where the next begins, and what has to be looked at.
struct Line {
    end: usize,
    next: usize,
    has_nul: bool,
}

impl Index {
    /// An empty index.
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            first: [0; Name::COUNT],
            is_request: false,
            start: 0,
            start_end: 0,
            word_end: 0,
            uri: 0,
            uri_end: 0,
            head_end: 0,
            has_empty_line: false,
            body: 0,
            body_end: 0,
            fault: None,
        }
    }

    /// Finds all lines. Fails only where there is nothing to answer to.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.places.clear();
        self.first = [0; Name::COUNT];
        self.fault = None;
        self.has_empty_line = false;
        if bytes.len() > limits::MESSAGE {
            return Err(Malformed::new("message", Fault::TooLarge));
        }
        //= RFC 3261 7.5
        // "MUST ignore any CRLF appearing before the start-line"
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
        let cut_off = Malformed::new("message", Fault::Length);
        let line = self.line(bytes, start).ok_or(cut_off)?;
        self.start_line(bytes, start, &line)?;
        let mut at = line.next;
        while let Some(mut line) = self.line(bytes, at) {
            if line.end == at {
                self.has_empty_line = true;
                self.head_end = at as u16;
                self.body = line.next as u16;
                self.body_end = bytes.len() as u16;
                return Ok(());
            }
            while matches!(bytes.get(line.next), Some(b' ' | b'\t')) {
                let Some(fold) = self.line(bytes, line.next) else { break };
                line = Line { has_nul: line.has_nul | fold.has_nul, ..fold };
            }
            self.header(bytes, at, &line);
            at = line.next;
        }
        // The empty line is missing: what follows the last whole line was cut off.
        self.note(cut_off);
        (self.head_end, self.body, self.body_end) = (at as u16, at as u16, at as u16);
        Ok(())
    }

    pub(crate) fn note(&mut self, malformed: Malformed) {
        self.fault.get_or_insert(malformed);
    }

    /// The line at `at`; `None` if it has no end. A9: bare CR and bare LF are noted, because two
    /// readers must never see different lines.
    fn line(&mut self, bytes: &[u8], at: usize) -> Option<Line> {
        let mut from = at;
        let mut has_nul = false;
        loop {
            let found = from + memchr::memchr3(b'\r', b'\n', 0, &bytes[from..])?;
            match bytes[found] {
                b'\r' if bytes.get(found + 1) == Some(&b'\n') => {
                    return Some(Line { end: found, next: found + 2, has_nul });
                }
                0 => has_nul = true,
                stray => {
                    self.note(Malformed::grammar("line end"));
                    if stray == b'\n' {
                        return Some(Line { end: found, next: found + 1, has_nul });
                    }
                }
            }
            from = found + 1;
        }
    }

    fn start_line(&mut self, bytes: &[u8], start: usize, found: &Line) -> Result<(), Malformed> {
        let line = &bytes[start..found.end];
        let wrong = Malformed::grammar("start line");
        let one = memchr::memchr(b' ', line).ok_or(wrong)?;
        let is_response = starts_with_sip(line);
        // Where the version of a request begins.
        let version = if is_response { one } else { version_start(line).ok_or(wrong)? };
        let place = |at: usize| (start + at) as u16;
        self.is_request = !is_response;
        (self.start, self.start_end, self.word_end) = (place(0), place(line.len()), place(one));
        (self.uri, self.uri_end) = (place(line.len()), place(line.len()));
        if line.len() > limits::START_LINE {
            self.note(Malformed::new("start line", Fault::TooLarge));
        }
        if is_response {
            if !line[..one].eq_ignore_ascii_case(b"SIP/2.0") {
                self.note(Malformed::new("start line", Fault::Version));
            }
            if line.iter().any(|&b| b < b' ' && b != b'\t') {
                self.note(wrong);
            }
            return Ok(());
        }
        let uri_end = (version - 1).max(one + 1);
        (self.uri, self.uri_end) = (place(one + 1), place(uri_end));
        let sip = line[version..].get(..7).unwrap_or_default();
        if !sip.eq_ignore_ascii_case(b"SIP/2.0") {
            self.note(Malformed::new("start line", Fault::Version));
        }
        let uri = &line[one + 1..uri_end];
        let clean = !uri.is_empty() && uri.iter().all(|&b| b.is_ascii_graphic() || b >= 0x80);
        if !clean || line.len() != version + 7 || !is_token(&line[..one]) {
            self.note(wrong);
        }
        Ok(())
    }

    fn header(&mut self, bytes: &[u8], start: usize, found: &Line) {
        let line = &bytes[start..found.end];
        if line.len() > limits::HEADER_LINE || self.places.len() >= limits::HEADERS {
            return self.note(Malformed::new("header", Fault::TooLarge));
        }
        let name_len = line.iter().position(|&b| !is_token_byte(b)).unwrap_or(line.len());
        // RFC 3261 §25.1 HCOLON: blanks may stand before the colon, nothing else may (A8).
        let mut colon = name_len;
        while matches!(line.get(colon), Some(b' ' | b'\t')) {
            colon += 1;
        }
        if line.get(colon) != Some(&b':') || !(1..=255).contains(&name_len) {
            return self.note(Malformed::grammar("header"));
        }
        let mut value = colon + 1;
        let mut value_end = line.len();
        while value < value_end && is_blank(line[value]) {
            value += 1;
        }
        while value_end > value && is_blank(line[value_end - 1]) {
            value_end -= 1;
        }
        if found.has_nul && has_bare_nul(&line[value..value_end]) {
            self.note(Malformed::grammar("header"));
        }
        let name = Name::from_bytes(&line[..name_len]);
        let first = &mut self.first[name as usize];
        if *first == 0 {
            *first = self.places.len() as u16 + 1;
        }
        self.places.push(Place {
            name,
            name_len: name_len as u8,
            start: start as u16,
            value: (start + value) as u16,
            value_end: (start + value_end) as u16,
            end: found.next as u16,
        });
    }
}

fn starts_with_sip(text: &[u8]) -> bool {
    text.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"SIP/"))
}

/// Where the version begins in a request line, which may be wrong behind it; `None` if there is
/// none, so that it is the line of another protocol.
fn version_start(line: &[u8]) -> Option<usize> {
    let mut end = line.len();
    while let Some(blank) = memchr::memrchr(b' ', &line[..end]) {
        if starts_with_sip(&line[blank + 1..]) {
            return Some(blank + 1);
        }
        end = blank;
    }
    None
}

/// NUL has no place in a header, but a quoted one is legal (RFC 3261 §25.1 quoted-pair, RFC 4475
/// §3.1.1.2).
fn has_bare_nul(value: &[u8]) -> bool {
    let mut quoted = false;
    let mut at = 0;
    while at < value.len() {
        match value[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            0 => return true,
            _ => {}
        }
        at += 1;
    }
    false
}

pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// RFC 3261 §25.1 token, not empty.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| is_token_byte(b))
}

pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// One look-up per byte instead of a chain of comparisons: each header name passes here.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
        byte += 1;
    }
    table
};

/// The number that a run of digits says, however long it is; `None` if it is anything else or
/// larger than `max`.
pub(crate) fn number(text: &[u8], max: u64) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (value <= max).then_some(value)
}

/// The end of the element at the start of `text`: a comma outside quotes and angle brackets.
pub(crate) fn element_end(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr3(b',', b'"', b'<', &text[at..]) {
        at += found;
        match text[at] {
            b',' => return at,
            b'"' => at = (quoted_end(text, at) + 1).min(text.len()),
            _ => at += memchr::memchr(b'>', &text[at..]).unwrap_or(text.len() - at),
        }
    }
    text.len()
}

/// The place of the closing quote of the quoted string that opens at `at`, or the last byte.
pub(crate) fn quoted_end(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at,
            _ => at += 1,
        }
    }
    text.len()
}

/// Cuts blanks, folds included, off both ends.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_blank(*first) {
            break;
        }
        text = rest;
    }
    while let [rest @ .., last] = text {
        if !is_blank(*last) {
            break;
        }
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [`element_end`] one byte at a time.
    fn plain_end(text: &[u8]) -> usize {
        let (mut at, mut angle) = (0, false);
        while at < text.len() {
            match text[at] {
                b',' if !angle => return at,
                b'<' => angle = true,
                b'>' => angle = false,
                b'"' if !angle => at = quoted_end(text, at),
                _ => {}
            }
            at += 1;
        }
        text.len()
    }

    #[test]
    fn a_comma_ends_an_element_unless_it_is_inside_something() {
        for (text, end) in [
            ("a, b", 1),
            ("a", 1),
            ("", 0),
            (",", 0),
            ("<a,b>,c", 5),
            ("\"a,b\" <c>,d", 9),
            ("\"a\\\",b\",c", 7),
            ("<\">,c", 3),
            ("<a,b", 4),
            ("\"a,b", 4),
            ("\"a,\\", 4),
            ("a>b,c", 3),
        ] {
            assert_eq!(element_end(text.as_bytes()), end, "{text}");
        }
        let mut seed = 1u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut text = [0; 12];
            for (at, byte) in text.iter_mut().enumerate() {
                *byte = b",,\"<>\\a "[(seed >> (20 + 3 * at) & 7) as usize];
            }
            assert_eq!(element_end(&text), plain_end(&text), "{text:?}");
        }
    }
}
