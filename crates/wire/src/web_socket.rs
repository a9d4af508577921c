//! The frames of RFC 6455 §5, as a server sees them: bytes in, whole messages and pings out.
//! No socket, no clock.

use crate::limits;
use alloc::vec::Vec;
use core::ops::Range;

/// What a frame is (RFC 6455 §11.8).
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the far side said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole message.
    Message {
        /// What is in it.
        bytes: &'a [u8],
        /// Whether it came as a binary one.
        binary: bool,
    },
    /// To be answered with a pong of the same content.
    Ping(&'a [u8]),
    /// The answer to a ping of ours.
    Pong,
    /// The far side wants to end.
    Close,
}

/// Why a connection ends: the far side broke a rule (RFC 6455 §7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Violation {
    /// A frame that may not be: 1002.
    Protocol(&'static str),
    /// Text that is no UTF-8: 1007.
    NotUtf8,
    /// More than we take of something: 1008.
    Policy(&'static str),
    /// A message of more than [`limits::WS_MESSAGE`] bytes: 1009.
    TooLong,
}

impl Violation {
    /// The close code of RFC 6455 §7.4.1.
    pub const fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::NotUtf8 => 1007,
            Self::Policy(_) => 1008,
            Self::TooLong => 1009,
        }
    }

    /// What was wrong, for the log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Protocol(reason) | Self::Policy(reason) => reason,
            Self::NotUtf8 => "text that is no UTF-8",
            Self::TooLong => "a message too long",
        }
    }
}

/// Takes frames apart and puts messages together.
#[derive(Debug, Default)]
pub struct Frames {
    /// Received, and not used yet but for `done` bytes.
    buffer: Vec<u8>,
    done: usize,
    /// The fragments of a message so far.
    message: Vec<u8>,
    fragments: usize,
    /// Whether the message that is being put together is a binary one.
    binary: bool,
    /// The message was handed out, and goes with the next call.
    handed_out: bool,
}

/// One frame whose header is there, and where its payload stands in the buffer.
struct Header {
    fin: bool,
    opcode: u8,
    mask: [u8; 4],
    payload: Range<usize>,
}

impl Frames {
    /// Adds what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether something has begun and not ended.
    pub fn is_partial(&self) -> bool {
        self.done < self.buffer.len() || self.fragments > 0 && !self.handed_out
    }

    /// The next that is whole; after an error nothing more may be asked.
    ///
    /// # Errors
    /// The rule that the far side broke.
    pub fn take(&mut self) -> Result<Option<Event<'_>>, Violation> {
        if core::mem::take(&mut self.handed_out) {
            self.message.clear();
            self.fragments = 0;
        }
        loop {
            let Some(Header { fin, opcode, mask, payload }) = self.header()? else {
                return Ok(None);
            };
            // A ping between the pieces of a message is no part of it.
            let is_control = matches!(opcode, CLOSE | PING | PONG);
            if !is_control && self.message.len() + payload.len() > limits::WS_MESSAGE {
                return Err(Violation::TooLong);
            }
            if self.buffer.len() < payload.end {
                return Ok(None);
            }
            self.done = payload.end;
            let masked = self.buffer[payload.clone()].iter_mut();
            masked.zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
            match opcode {
                PING => return Ok(Some(Event::Ping(&self.buffer[payload]))),
                PONG => return Ok(Some(Event::Pong)),
                CLOSE => return Ok(Some(Event::Close)),
                _ => {}
            }
            self.fragments += 1;
            if self.fragments > limits::WS_FRAGMENTS {
                return Err(Violation::Policy("too many fragments"));
            }
            self.message.extend_from_slice(&self.buffer[payload]);
            if opcode != CONTINUATION {
                self.binary = opcode == BINARY;
            }
            if !fin {
                continue;
            }
            //= RFC 6455 8.1
            // "that the byte stream is not, in fact, a valid UTF-8 stream, that"
            if !self.binary && core::str::from_utf8(&self.message).is_err() {
                return Err(Violation::NotUtf8);
            }
            self.handed_out = true;
            return Ok(Some(Event::Message { bytes: &self.message, binary: self.binary }));
        }
    }

    /// The header of the next frame, if it is all there.
    fn header(&self) -> Result<Option<Header>, Violation> {
        let rest = &self.buffer[self.done..];
        let &[first, second, ..] = rest else { return Ok(None) };
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        self.check(first, second, opcode)?;
        let (extra, least) = match second & 0x7f {
            126 => (2, 126),
            127 => (8, 1 << 16),
            _ => (0, 0),
        };
        let Some(said) = rest.get(2..2 + extra) else { return Ok(None) };
        let length = match extra {
            0 => u64::from(second & 0x7f),
            _ => said.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        //= RFC 6455 5.2
        // "in all cases, the minimal number of bytes MUST be used to encode"
        if length < least {
            return Err(Violation::Protocol("a length in more bytes than it needs"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > limits::WS_MESSAGE {
            return Err(Violation::TooLong);
        }
        let start = self.done + 2 + extra;
        let Some(mask) = self.buffer.get(start..start + 4) else { return Ok(None) };
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        let payload = start + 4..start + 4 + length;
        Ok(Some(Header { fin, opcode, mask, payload }))
    }

    /// What the first two bytes may not say.
    fn check(&self, first: u8, second: u8, opcode: u8) -> Result<(), Violation> {
        let is_wrong = if first & 0x70 != 0 {
            Some("reserved bits are set")
        } else if second & 0x80 == 0 {
            //= RFC 6455 5.1
            // "over TLS.)  The server MUST close the connection upon receiving a"
            Some("a frame is not masked")
        } else {
            let control = matches!(opcode, CLOSE | PING | PONG);
            match opcode {
                //= RFC 6455 5.5
                // "All control frames MUST have a payload length of 125 bytes or less"
                _ if control && (first & 0x80 == 0 || second & 0x7f > 125) => {
                    Some("a control frame in pieces or too long")
                }
                CONTINUATION if self.fragments == 0 => Some("a fragment of nothing"),
                TEXT | BINARY if self.fragments > 0 => Some("a message inside of a message"),
                CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG => None,
                _ => Some("an unknown kind of frame"),
            }
        };
        is_wrong.map_or(Ok(()), |reason| Err(Violation::Protocol(reason)))
    }
}

/// A message as one frame. A binary one stays binary; text that is no UTF-8 must become it.
//= RFC 7118 4.2
// "If there is at least one non-UTF-8 symbol in the whole SIP message"
pub fn message(bytes: &[u8], binary: bool) -> Vec<u8> {
    let text = !binary && core::str::from_utf8(bytes).is_ok();
    frame(if text { TEXT } else { BINARY }, bytes)
}

/// A ping without content.
pub fn ping() -> Vec<u8> {
    frame(PING, &[])
}

/// The answer to a ping.
pub fn pong(content: &[u8]) -> Vec<u8> {
    frame(PONG, content)
}

/// The last frame, with its reason.
pub fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// A whole frame; a server does not mask.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

#[cfg(test)]
mod tests;
