//! Finds the lines of a message: start line, header lines with their folds, the empty line.

use crate::class::{self, BLANK, ELEMENT, TOKEN};
use crate::error::{Fault, Malformed};
use crate::facts::Facts;
use crate::header::params::skip_blanks;
use crate::limits;
use crate::name::{Method, Name};
use crate::uri::UriMarks;
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

/// A part of a text of at most 65,535 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start: start as u16, end: end as u16 }
    }

    pub(crate) fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[usize::from(self.start)..usize::from(self.end)]
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What stands there, if it is not empty.
    pub(crate) fn filled<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (!self.is_empty()).then(|| self.of(text))
    }
}

/// The positions of everything in a message. Made once and used for message after message.
#[derive(Clone, Debug)]
pub struct Index {
    pub(crate) places: Vec<Place>,
    pub(crate) names: Names,
    /// Whether it is a request.
    pub(crate) is_request: bool,
    /// Its method, if it is one that we know.
    pub(crate) method: Option<Method<'static>>,
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
    /// The first thing that is wrong.
    pub(crate) fault: Option<Malformed>,
    pub(crate) facts: Facts,
}

/// Which headers there are: a bit for each name, and the place of the first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    present: u64,
    pub(crate) repeated: u64,
    /// Holds only for names that are present.
    first: [u8; Name::COUNT],
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Names {
    /// The number of the first place of a name.
    pub(crate) fn first(&self, name: Name) -> Option<usize> {
        let is_present = self.present & name.bit() != 0;
        is_present.then(|| self.first[name as usize].into())
    }

    pub(crate) const fn is_repeated(&self, name: Name) -> bool {
        self.repeated & name.bit() != 0
    }

    fn note(&mut self, name: Name, place: usize) {
        if self.present & name.bit() == 0 {
            self.present |= name.bit();
            self.first[name as usize] = place as u8;
        } else {
            self.repeated |= name.bit();
        }
    }
}

const _: () = assert!(limits::HEADERS <= 256 && Name::COUNT <= 64, "a byte, and a bit");

/// A line that was found: where it ends, where the next begins, and what has to be looked at.
struct Line {
    end: usize,
    next: usize,
    /// Control characters in it that are no blanks.
    is_odd: bool,
}

impl Index {
    /// An empty index.
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            names: Names { present: 0, repeated: 0, first: [0; Name::COUNT] },
            is_request: false,
            method: None,
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
            facts: Facts::NONE,
        }
    }

    /// Finds all lines. Fails only where there is nothing to answer to.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.places.clear();
        (self.names.present, self.names.repeated) = (0, 0);
        self.fault = None;
        self.has_empty_line = false;
        self.facts = Facts::NONE;
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
                line = Line { is_odd: line.is_odd | fold.is_odd, ..fold };
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
        let mut is_odd = false;
        loop {
            let found = class::find_below(bytes, from, b' ')?;
            match bytes[found] {
                b'\r' if bytes.get(found + 1) == Some(&b'\n') => {
                    return Some(Line { end: found, next: found + 2, is_odd });
                }
                b'\t' => {}
                b'\n' => {
                    self.note(Malformed::grammar("line end"));
                    return Some(Line { end: found, next: found + 1, is_odd });
                }
                control => {
                    is_odd = true;
                    if control == b'\r' {
                        self.note(Malformed::grammar("line end"));
                    }
                }
            }
            from = found + 1;
        }
    }

    fn start_line(&mut self, bytes: &[u8], start: usize, found: &Line) -> Result<(), Malformed> {
        let line = &bytes[start..found.end];
        let wrong = Malformed::grammar("start line");
        let word = class::run(line, 0, TOKEN);
        let is_request = line.get(word) == Some(&b' ') && line.ends_with(b" SIP/2.0");
        if line.len() > limits::START_LINE {
            self.note(Malformed::new("start line", Fault::TooLarge));
        }
        let place = |at: usize| (start + at) as u16;
        (self.start, self.start_end) = (place(0), place(line.len()));
        if !is_request || word == 0 || word + 9 > line.len() {
            return self.other_start_line(line, found.is_odd);
        }
        let uri = &line[word + 1..line.len() - 8];
        self.is_request = true;
        self.word_end = place(word);
        (self.uri, self.uri_end) = (place(word + 1), place(line.len() - 8));
        self.method = Method::known(&line[..word]);
        self.facts.uri = UriMarks::read(uri).filter(|marks| marks.end() == uri.len());
        if self.facts.uri.is_none() && !is_clean(uri) {
            self.note(wrong);
        }
        Ok(())
    }

    /// A start line that is not that of a good request.
    fn other_start_line(&mut self, line: &[u8], is_odd: bool) -> Result<(), Malformed> {
        let wrong = Malformed::grammar("start line");
        let one = memchr::memchr(b' ', line).ok_or(wrong)?;
        let is_response = starts_with_sip(line);
        // Where the version of a request begins.
        let version = if is_response { one } else { version_start(line).ok_or(wrong)? };
        let place = |at: usize| self.start + at as u16;
        (self.is_request, self.method) = (!is_response, None);
        let uri =
            if is_response { line.len()..line.len() } else { one + 1..(version - 1).max(one + 1) };
        (self.word_end, self.uri, self.uri_end) = (place(one), place(uri.start), place(uri.end));
        let sip =
            if is_response { &line[..one] } else { line[version..].get(..7).unwrap_or_default() };
        if !sip.eq_ignore_ascii_case(b"SIP/2.0") {
            self.note(Malformed::new("start line", Fault::Version));
        }
        if is_response {
            if is_odd {
                self.note(wrong);
            }
            return Ok(());
        }
        let uri = &line[uri];
        if !is_clean(uri) || line.len() != version + 7 || !is_token(&line[..one]) {
            self.note(wrong);
        }
        self.facts.uri = UriMarks::read(uri).filter(|marks| marks.end() == uri.len());
        self.method = Method::known(&line[..one]);
        Ok(())
    }

    fn header(&mut self, bytes: &[u8], start: usize, found: &Line) {
        let line = &bytes[start..found.end];
        if line.len() > limits::HEADER_LINE || self.places.len() >= limits::HEADERS {
            return self.note(Malformed::new("header", Fault::TooLarge));
        }
        let known = if found.is_odd { None } else { Name::before_colon(&bytes[start..]) };
        let Some((name, name_len, colon)) = known.or_else(|| read_name(line)) else {
            return self.note(Malformed::grammar("header"));
        };
        let value = skip_blanks(line, colon + 1);
        let value_end = value + trim_end(line.get(value..).unwrap_or_default()).len();
        if found.is_odd && has_bare_nul(&line[value..value_end]) {
            self.note(Malformed::grammar("header"));
        }
        self.names.note(name, self.places.len());
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

/// The name at the start of a header line, its length, and the place of the colon.
fn read_name(line: &[u8]) -> Option<(Name, usize, usize)> {
    let len = class::run(line, 0, TOKEN);
    // RFC 3261 §25.1 HCOLON: blanks may stand before the colon, nothing else may (A8).
    let mut colon = len;
    while matches!(line.get(colon), Some(b' ' | b'\t')) {
        colon += 1;
    }
    let is_one = line.get(colon) == Some(&b':') && (1..=255).contains(&len);
    is_one.then(|| (Name::from_bytes(&line[..len]), len, colon))
}

/// Whether a Request-URI has nothing in it that would make its line another one.
fn is_clean(uri: &[u8]) -> bool {
    !uri.is_empty() && uri.iter().all(|&b| b.is_ascii_graphic() || b >= 0x80)
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
    class::is(byte, BLANK)
}

/// RFC 3261 §25.1 token, not empty.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && class::all(text, TOKEN)
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
    loop {
        at = class::run(text, at, ELEMENT);
        match text.get(at) {
            None => return text.len(),
            Some(b',') => return at,
            Some(b'"') => at = quoted_end(text, at) + 1,
            Some(_) => at += memchr::memchr(b'>', &text[at..]).unwrap_or(text.len() - at),
        }
    }
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
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(text.get(skip_blanks(text, 0)..).unwrap_or_default())
}

fn trim_end(mut text: &[u8]) -> &[u8] {
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
