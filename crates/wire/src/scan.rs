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
    /// First byte of the start line, its end, and where the body starts and ends.
    pub(crate) start: u16,
    pub(crate) start_end: u16,
    pub(crate) body: u16,
    pub(crate) body_end: u16,
    /// The start line: end of the first word, start of the last word.
    pub(crate) word_one_end: u16,
    pub(crate) word_last: u16,
    /// The first thing found wrong while scanning.
    pub(crate) fault: Option<Malformed>,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    /// An empty index.
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            first: [0; Name::COUNT],
            start: 0,
            start_end: 0,
            body: 0,
            body_end: 0,
            word_one_end: 0,
            word_last: 0,
            fault: None,
        }
    }

    /// Finds all lines. Fails only where there is nothing to answer to.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.places.clear();
        self.first = [0; Name::COUNT];
        self.fault = None;
        if bytes.len() > limits::MESSAGE {
            return Err(Malformed::new("message", Fault::TooLarge));
        }
        //= RFC 3261 7.5
        // "SHOULD ignore any CRLF appearing before the start-line"
        let start = bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len());
        let (line_end, mut at) = self.line(bytes, start);
        self.start = start as u16;
        self.start_end = line_end as u16;
        self.start_line(&bytes[start..line_end])?;
        let mut last_starts_with_blank = false;
        while at < bytes.len() {
            let (mut end, mut next) = self.line(bytes, at);
            if end == at {
                self.body = next as u16;
                self.body_end = bytes.len() as u16;
                return Ok(());
            }
            while matches!(bytes.get(next), Some(b' ' | b'\t')) {
                (end, next) = self.line(bytes, next);
            }
            last_starts_with_blank |= matches!(bytes[at], b' ' | b'\t');
            self.header(bytes, at, end, next);
            at = next;
        }
        // The empty line is missing: whatever follows was cut off.
        if last_starts_with_blank {
            self.note(Malformed::grammar("header"));
        }
        self.note(Malformed::new("message", Fault::Length));
        self.body = bytes.len() as u16;
        self.body_end = bytes.len() as u16;
        Ok(())
    }

    pub(crate) fn note(&mut self, malformed: Malformed) {
        self.fault.get_or_insert(malformed);
    }

    /// The end of the line at `at`, and the start of the next.
    fn line(&mut self, bytes: &[u8], at: usize) -> (usize, usize) {
        let Some(lf) = memchr::memchr(b'\n', &bytes[at..]).map(|n| at + n) else {
            return (bytes.len(), bytes.len());
        };
        if lf > at && bytes[lf - 1] == b'\r' {
            (lf - 1, lf + 1)
        } else {
            // A9: two readers must never see different lines.
            self.note(Malformed::grammar("line end"));
            (lf, lf + 1)
        }
    }

    fn start_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let wrong = Malformed::grammar("start line");
        let one = memchr::memchr(b' ', line).ok_or(wrong)?;
        if line.len() > limits::START_LINE {
            self.note(Malformed::new("start line", Fault::TooLarge));
        }
        self.word_one_end = self.start + one as u16;
        self.word_last = self.start_end;
        if line.starts_with(b"SIP/") {
            return Ok(());
        }
        let trimmed = line.trim_ascii_end();
        let last = memchr::memrchr(b' ', trimmed).ok_or(wrong)?;
        let version = &trimmed[last + 1..];
        let sip = version.get(..4).is_some_and(|v| v.eq_ignore_ascii_case(b"SIP/"));
        if !sip || last <= one {
            return Err(wrong);
        }
        self.word_last = self.start + last as u16 + 1;
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            self.note(Malformed::new("start line", Fault::Version));
        }
        let uri = &line[one + 1..last];
        let clean = !uri.is_empty() && uri.iter().all(|&b| b.is_ascii_graphic() || b >= 0x80);
        if !clean || trimmed.len() != line.len() || !is_token(&line[..one]) {
            self.note(wrong);
        }
        Ok(())
    }

    fn header(&mut self, bytes: &[u8], start: usize, end: usize, next: usize) {
        let line = &bytes[start..end];
        if line.len() > limits::HEADER_LINE || self.places.len() >= limits::HEADERS {
            return self.note(Malformed::new("header", Fault::TooLarge));
        }
        let Some(colon) = memchr::memchr(b':', line) else {
            return self.note(Malformed::grammar("header"));
        };
        // RFC 3261 §25.1 HCOLON: blanks may stand before the colon, nothing else may (A8).
        let mut name = &line[..colon];
        while let [head @ .., b' ' | b'\t'] = name {
            name = head;
        }
        if !is_token(name) || name.len() > 255 {
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
        if has_stray_control(&line[value..value_end]) {
            self.note(Malformed::grammar("header"));
        }
        let known = Name::from_bytes(name);
        let first = &mut self.first[known as usize];
        if *first == 0 {
            *first = self.places.len() as u16 + 1;
        }
        self.places.push(Place {
            name: known,
            name_len: name.len() as u8,
            start: start as u16,
            value: (start + value) as u16,
            value_end: (start + value_end) as u16,
            end: next as u16,
        });
    }
}

/// Bare CR, bare LF and NUL have no place in a header, but a quoted NUL is legal
/// (RFC 3261 §25.1 quoted-pair, RFC 4475 §3.1.1.2).
fn has_stray_control(value: &[u8]) -> bool {
    if memchr::memchr3(0, b'\r', b'\n', value).is_none() {
        return false;
    }
    let mut quoted = false;
    let mut at = 0;
    while at < value.len() {
        match value[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            0 => return true,
            // Folds are CRLF and a blank; the scanner made sure of the blank.
            b'\r' if value.get(at + 1) == Some(&b'\n') => at += 1,
            b'\r' | b'\n' => return true,
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
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

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
    let mut angle = false;
    while let Some(found) = text[at..].iter().position(|b| matches!(b, b',' | b'"' | b'<' | b'>')) {
        at += found;
        match text[at] {
            b',' if !angle => return at,
            b'<' => angle = true,
            b'>' => angle = false,
            b'"' if !angle => at = quoted_end(text, at),
            _ => {}
        }
        at = (at + 1).min(text.len());
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
