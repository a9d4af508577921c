//! A stream of bytes. The first byte chooses how it is cut; however it is, the same messages
//! must come out, and the parser must see the same boundaries as the framer.

use ringway_wire::{Frame, FrameError, Framer, Framing, Index, parse};

/// What came out of a stream.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    Message(Vec<u8>),
    Ping,
    Pong,
    Lost(FrameError),
}

pub(crate) fn check(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let whole = frames(bytes.chunks(bytes.len().max(1)));
    assert_eq!(frames(Uneven { bytes, random: choice.into() }), whole, "cut by {choice}");
    let size = usize::from(choice % 16) + 1;
    assert_eq!(frames(bytes.chunks(size)), whole, "cut into pieces of {size}");
    for found in &whole {
        if let Found::Message(bytes) = found {
            same_boundary(bytes);
        }
    }
}

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(frame) = framer.next() {
            match frame {
                Ok(Frame::Message(bytes)) => found.push(Found::Message(bytes.to_vec())),
                Ok(Frame::Ping) => found.push(Found::Ping),
                Ok(Frame::Pong) => found.push(Found::Pong),
                Err(error) => {
                    found.push(Found::Lost(error));
                    return found;
                }
            }
        }
        let most = ringway_wire::limits::MESSAGE + chunk.len();
        assert!(framer.rest().len() <= most, "no more than a message is collected");
    }
    found
}

/// A2: where the framer ends a message, the parser does too, or a second one hides in its body.
fn same_boundary(bytes: &[u8]) {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index, Framing::Stream) else { return };
    if message.check().is_ok() {
        let blank = bytes.strip_suffix(message.bytes()).expect("they end at the same byte");
        // RFC 3261 §7.5: line ends before the start line are ignored.
        assert!(blank.iter().all(|b| b"\r\n".contains(b)), "and begin at the same one");
    }
}

/// Chunks of 1 to 64 bytes, their sizes from a generator of random numbers.
pub(crate) struct Uneven<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) random: u32,
}

impl<'a> Iterator for Uneven<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.is_empty() {
            return None;
        }
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let size = ((self.random >> 26) as usize + 1).min(self.bytes.len());
        let (chunk, rest) = self.bytes.split_at(size);
        self.bytes = rest;
        Some(chunk)
    }
}
