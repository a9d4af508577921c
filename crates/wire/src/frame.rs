//! Cuts a byte stream into messages (RFC 3261 §18.3, §7.5; RFC 5626 §3.5.1 keep-alives).

use crate::limits;
use crate::name::Name;
use crate::scan::{number, trim};
use alloc::vec::Vec;

/// Collects what a stream brings and hands out whole messages. Holds no more than one message
/// and what was pushed behind it.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// What of the buffer was handed out already.
    used: usize,
    /// How far behind `used` the end of the header was looked for.
    looked: usize,
    /// The whole length of the message at `used`, once its header is there.
    length: Option<usize>,
}

/// One thing found in a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// A whole message.
    Message(&'a [u8]),
    /// CRLFCRLF: the far side wants to hear that we live.
    Ping,
    /// CRLF: the answer to a ping.
    Pong,
}

/// The boundary between messages is lost: answer what can be answered, and close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// Larger than a message may be.
    TooLarge,
    /// No Content-Length, several, or one that is no number.
    NoLength,
}

impl Framer {
    /// Nothing collected yet.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), used: 0, looked: 0, length: None }
    }

    /// Whether it holds nothing, not even a part of something.
    pub fn is_empty(&self) -> bool {
        self.used == self.buffer.len()
    }

    /// Empties it. What it held goes on in one of its own, if it held anything.
    pub fn split_rest(&mut self) -> Option<Self> {
        let Self { looked, length, .. } = *self;
        let rest = (!self.is_empty()).then(|| Self {
            buffer: self.rest().to_vec(),
            used: 0,
            looked,
            length,
        });
        self.buffer.clear();
        (self.used, self.looked, self.length) = (0, 0, None);
        rest
    }

    /// Adds what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.used == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.used);
        }
        self.used = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message, or part of one, is waiting.
    pub fn is_partial(&self) -> bool {
        !self.rest().iter().all(|b| matches!(b, b'\r' | b'\n'))
    }

    /// What the stream holds that could not be cut, so that it can be answered.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// The next whole thing, or `None` until more arrives.
    #[allow(clippy::should_implement_trait, reason = "what is handed out borrows the framer")]
    pub fn next(&mut self) -> Option<Result<Frame<'_>, FrameError>> {
        let rest = &self.buffer[self.used..];
        if self.length.is_none() {
            if let Some(keep_alive) = keep_alive(rest) {
                return self.keep_alive(keep_alive);
            }
            let from = self.looked.saturating_sub(3);
            let head = blank_line_end(&rest[from..]).map(|at| from + at);
            let Some(head) = head else {
                self.looked = rest.len();
                // A header without end is never answered with a wait without end.
                let too_large = rest.len() > limits::MESSAGE;
                return too_large.then_some(Err(FrameError::TooLarge));
            };
            match content_length(&rest[..head]) {
                Ok(body) if body <= limits::MESSAGE - head.min(limits::MESSAGE) => {
                    self.length = Some(head + body);
                }
                Ok(_) => return Some(Err(FrameError::TooLarge)),
                Err(error) => return Some(Err(error)),
            }
        }
        let length = self.length.filter(|&length| length <= rest.len())?;
        let start = self.used;
        self.used += length;
        self.looked = 0;
        self.length = None;
        Some(Ok(Frame::Message(&self.buffer[start..start + length])))
    }

    fn keep_alive(&mut self, found: Alive) -> Option<Result<Frame<'_>, FrameError>> {
        let (length, frame) = match found {
            Alive::Ping => (4, Frame::Ping),
            Alive::Pong => (2, Frame::Pong),
            Alive::Unsure => return None,
        };
        self.used += length;
        self.looked = 0;
        Some(Ok(frame))
    }
}

enum Alive {
    Ping,
    Pong,
    Unsure,
}

/// What a stream's CRLFs in front of a message mean; `None` if there are none.
fn keep_alive(rest: &[u8]) -> Option<Alive> {
    match rest {
        [b'\r', b'\n', b'\r', b'\n', ..] => Some(Alive::Ping),
        // The second half of a ping may still be on its way.
        [b'\r'] | [b'\r', b'\n'] | [b'\r', b'\n', b'\r'] => Some(Alive::Unsure),
        [b'\r', b'\n', ..] => Some(Alive::Pong),
        _ => None,
    }
}

/// The one Content-Length of a message head (A1 to A3: never guess a boundary).
fn content_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut found = None;
    let mut at = 0;
    while at < head.len() {
        let line = &head[at..at + header_end(&head[at..])];
        at += line.len();
        // Few lines begin as the name or its short name does.
        if !matches!(line.first(), Some(b'C' | b'c' | b'L' | b'l' | b' ' | b'\t' | b'\r' | b'\n')) {
            continue;
        }
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let name = trim(&line[..colon]);
        if name.len() != 1 && name.len() != 14 || Name::from_bytes(name) != Name::ContentLength {
            continue;
        }
        let value = number(trim(&line[colon + 1..]), u64::from(u32::MAX));
        let value = value.ok_or(FrameError::NoLength)? as usize;
        if found.is_some_and(|other| other != value) {
            return Err(FrameError::NoLength);
        }
        found = Some(value);
    }
    found.ok_or(FrameError::NoLength)
}

/// How long the text is up to its first empty line, with that line.
fn blank_line_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr(b'\n', &text[at..])? + 1;
        if text[at..].starts_with(b"\r\n") && text[..at].ends_with(b"\r\n") {
            return Some(at + 2);
        }
    }
}

/// The length of the header line that `head` begins with, folds included.
fn header_end(head: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\n', &head[at..]) {
        at += found + 1;
        if !matches!(head.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    head.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::{format, vec};

    fn all(chunks: &[&[u8]]) -> Vec<String> {
        let mut framer = Framer::new();
        let mut found = vec![];
        for chunk in chunks {
            framer.push(chunk);
            while let Some(frame) = framer.next() {
                let stop = frame.is_err();
                found.push(match frame {
                    Ok(Frame::Message(m)) => String::from_utf8_lossy(m).into_owned(),
                    other => format!("{other:?}"),
                });
                if stop {
                    return found;
                }
            }
        }
        found
    }

    #[test]
    fn what_has_begun_goes_on_elsewhere() {
        let mut shared = Framer::new();
        for cut in 0..TWO.len() {
            let (mut found, mut own) = (vec![], None);
            for chunk in [&TWO[..cut], &TWO[cut..]] {
                let framer = own.as_mut().unwrap_or(&mut shared);
                framer.push(chunk);
                while let Some(Ok(frame)) = framer.next() {
                    found.push(format!("{frame:?}"));
                }
                own = framer.split_rest();
                assert!(shared.is_empty(), "nothing of one stream is left for another");
            }
            assert_eq!((found.len(), own.is_none()), (3, true), "cut at {cut}");
        }
    }

    /// What the quick ways find is what reading every name would find.
    #[test]
    fn a1_the_one_length_is_found_by_whatever_name_it_has() {
        let slow = |head: &[u8]| {
            let (mut at, mut found) = (0, vec![]);
            while at < head.len() {
                let line = &head[at..at + header_end(&head[at..])];
                at += line.len();
                let colon = line.iter().position(|&b| b == b':');
                let Some((name, value)) = colon.map(|at| line.split_at(at)) else { continue };
                if Name::from_bytes(trim(name)) == Name::ContentLength {
                    found.push(number(trim(&value[1..]), u64::from(u32::MAX)));
                }
            }
            found.dedup();
            match found[..] {
                [Some(length)] => Ok(length as usize),
                _ => Err(FrameError::NoLength),
            }
        };
        let pieces = [
            "l",
            "L",
            "Content-Length",
            "CONTENT-length",
            "Contact",
            "Content-Type",
            "Label",
            "x",
            ":",
            ": 3",
            " :7",
            "3",
            " ",
            "\t",
            "\r",
            "\n",
            "\r\n",
            "\r\n",
            "\r\n\r\n",
        ];
        let mut state = 1_u64;
        for _ in 0..100_000 {
            let mut head = String::new();
            while head.len() < 60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                head += pieces[(state >> 33) as usize % pieces.len()];
            }
            let head = head.as_bytes();
            assert_eq!(content_length(head), slow(head), "{head:?}");
            let end = head.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            assert_eq!(blank_line_end(head), end, "{head:?}");
        }
    }

    const TWO: &[u8] =
        b"\r\n\r\nA x SIP/2.0\r\nl: 3\r\n\r\nabcB x SIP/2.0\r\nContent-Length : 0\r\n\r\n";

    #[test]
    fn any_cut_gives_the_same_messages() {
        let whole = all(&[TWO]);
        assert_eq!(whole.len(), 3);
        assert_eq!(whole[1], "A x SIP/2.0\r\nl: 3\r\n\r\nabc");
        for cut in 0..TWO.len() {
            assert_eq!(all(&[&TWO[..cut], &TWO[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = TWO.chunks(1).collect();
        assert_eq!(all(&bytes), whole);
    }

    #[test]
    fn a1_a2_a3_a_boundary_is_never_guessed() {
        for (length, error) in [
            ("l: 4294967330", "Err(NoLength)"),
            ("l: 70000", "Err(TooLarge)"),
            ("l: -1", "Err(NoLength)"),
            ("l: +5", "Err(NoLength)"),
            ("l: 0x10", "Err(NoLength)"),
            ("l: ", "Err(NoLength)"),
            ("l: 3\r\nContent-Length: 4", "Err(NoLength)"),
            ("l: 3\r\n 4", "Err(NoLength)"),
            ("x: 3", "Err(NoLength)"),
            (&format!("l: 1{}", "0".repeat(30)), "Err(NoLength)"),
        ] {
            let text = format!("A x SIP/2.0\r\n{length}\r\n\r\nabcd");
            assert_eq!(all(&[text.as_bytes()]), [error], "{length}");
        }
        assert_eq!(all(&[b"A x SIP/2.0\r\nl: 3\r\nl: 3\r\n\r\nabc"]).len(), 1);
    }

    #[test]
    fn a4_a_header_without_end_is_not_collected() {
        let line = [b'a'; 70_000];
        assert_eq!(all(&[&line]), ["Err(TooLarge)"]);
    }

    #[test]
    fn pings_and_pongs() {
        assert_eq!(all(&[b"\r\n\r\n"]), ["Ok(Ping)"]);
        assert_eq!(all(&[b"\r\n", b"A"]), ["Ok(Pong)"]);
        assert_eq!(all(&[b"\r", b"\n\r", b"\n"]), ["Ok(Ping)"]);
    }
}
