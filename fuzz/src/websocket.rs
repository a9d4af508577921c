//! The frames of a WebSocket, as a browser, or somebody else, sends them to us. Bytes as they are
//! must give the same events however they are cut; and whatever is framed by the rules, in pieces
//! and with pings between them, must come out as it was.

use crate::stream::Uneven;
use ringway_wire::limits::{WS_FRAGMENTS, WS_MESSAGE};
use ringway_wire::web_socket::{self, Event, Frames, Violation};

/// What came out of a stream.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    Message { bytes: Vec<u8>, binary: bool },
    Ping(Vec<u8>),
    Pong,
    Close,
    Broken(Violation),
}

pub(crate) fn check(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let whole = events([bytes].into_iter());
    assert_eq!(events(Uneven { bytes, random: choice.into() }), whole, "cut by {choice}");
    let size = usize::from(choice % 16) + 1;
    assert_eq!(events(bytes.chunks(size)), whole, "cut into pieces of {size}");
    for found in &whole {
        let Found::Message { bytes, binary } = found else { continue };
        // RFC 6455 §8.1 and G11.
        assert!(bytes.len() <= WS_MESSAGE);
        assert!(*binary || std::str::from_utf8(bytes).is_ok(), "text is UTF-8");
    }
    by_the_rules(choice, bytes);
}

fn events<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for chunk in chunks {
        frames.push(chunk);
        while let Some(event) = frames.take().transpose() {
            found.push(match event {
                Ok(Event::Message { bytes, binary }) => {
                    Found::Message { bytes: bytes.to_vec(), binary }
                }
                Ok(Event::Ping(content)) => Found::Ping(content.to_vec()),
                Ok(Event::Pong) => Found::Pong,
                Ok(Event::Close) => Found::Close,
                Err(violation) => Found::Broken(violation),
            });
            if let Some(Found::Close | Found::Broken(_)) = found.last() {
                return found;
            }
        }
    }
    found
}

/// Frames these bytes as the server would, and then as a client does: masked, and in pieces.
fn by_the_rules(choice: u8, bytes: &[u8]) {
    if bytes.len() > WS_MESSAGE {
        return;
    }
    let binary = choice & 1 != 0 || std::str::from_utf8(bytes).is_err();
    let message = || Found::Message { bytes: bytes.to_vec(), binary };
    let mask = [choice, 0, !choice, 0x55];
    let content = &bytes[..bytes.len().min(125)];
    let said = [
        web_socket::message(bytes, choice & 1 != 0),
        web_socket::ping(),
        web_socket::pong(content),
    ];
    let said = said.iter().flat_map(|frame| masked(frame, mask)).collect::<Vec<u8>>();
    let expected = [message(), Found::Ping(Vec::new()), Found::Pong];
    assert_eq!(events([&said[..]].into_iter()), expected);

    let pieces = usize::from(choice >> 4) % WS_FRAGMENTS + 1;
    let size = bytes.len().div_ceil(pieces).max(1);
    let count = bytes.len().div_ceil(size).max(1);
    let (mut said, mut expected) = (Vec::new(), Vec::new());
    for nth in 0..count {
        let piece = bytes.get(nth * size..).unwrap_or_default();
        let mut one = web_socket::message(&piece[..piece.len().min(size)], true);
        let opcode = if nth > 0 { 0 } else { 1 + u8::from(binary) };
        one[0] = opcode | if nth + 1 == count { 0x80 } else { 0 };
        if nth > 0 {
            said.extend(masked(&web_socket::ping(), mask));
            expected.push(Found::Ping(Vec::new()));
        }
        said.extend(masked(&one, mask));
    }
    expected.push(message());
    said.extend(masked(&web_socket::close(1000), mask));
    expected.push(Found::Close);
    assert_eq!(events([&said[..]].into_iter()), expected, "{count} pieces");
}

/// A frame of the server as one of a client (RFC 6455 §5.3).
fn masked(frame: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let mut out = frame[..head].to_vec();
    out[1] |= 0x80;
    out.extend(mask);
    out.extend(frame[head..].iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}
