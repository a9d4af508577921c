use super::*;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// All that comes of these bytes, handed in in pieces of this size.
fn all(bytes: &[u8], piece: usize) -> Result<Vec<String>, Violation> {
    let mut frames = Frames::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(piece) {
        frames.push(piece);
        while let Some(event) = frames.take()? {
            events.push(match event {
                Event::Message { bytes, binary } => {
                    format!("{}{}", if binary { "b:" } else { "t:" }, bytes.escape_ascii())
                }
                Event::Ping(content) => format!("ping {}", content.escape_ascii()),
                Event::Pong => "pong".into(),
                Event::Close => "close".into(),
            });
        }
    }
    Ok(events)
}

#[test]
fn the_examples_of_the_rfc() {
    // §5.7, but for those that only a server may send.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(all(&hello, 1), Ok(vec!["t:Hello".into()]));
    let ping = [0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(all(&ping, 3), Ok(vec!["ping Hello".into()]));
    assert_eq!(message(b"Hello", false), *b"\x81\x05Hello");
    assert_eq!(pong(b"Hello"), *b"\x8a\x05Hello");
    assert_eq!(message(&[0; 256], true)[..4], [0x82, 0x7e, 0x01, 0x00]);
    let long = message(&[0; 65_536], true);
    assert_eq!(long[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn messages_come_in_any_pieces_and_pings_may_stand_in_between() {
    let mut bytes = masked(0x01, b"OPTIONS ");
    bytes.extend(masked(0x89, b"are you there"));
    bytes.extend(masked(0x00, b"sip:x "));
    bytes.extend(masked(0x80, b"SIP/2.0"));
    bytes.extend(masked(0x82, &[0xff, 0]));
    bytes.extend(masked(0x8a, b""));
    bytes.extend(masked(0x88, b""));
    let wanted = ["ping are you there", "t:OPTIONS sip:x SIP/2.0", "b:\\xff\\x00", "pong", "close"];
    for piece in [1, 2, 3, 7, 1_000] {
        assert_eq!(all(&bytes, piece), Ok(wanted.map(str::to_owned).to_vec()), "{piece}");
    }
}

#[test]
fn every_length_is_read_as_it_was_written() {
    for length in [0, 1, 125, 126, 127, 255, 256, 65_535, limits::WS_MESSAGE] {
        let bytes = vec![b'x'; length];
        let mut frames = Frames::default();
        frames.push(&masked(0x82, &bytes));
        let wanted = Event::Message { bytes: &bytes, binary: true };
        assert_eq!(frames.take(), Ok(Some(wanted)), "{length}");
        assert!(frames.take() == Ok(None) && !frames.is_partial());
    }
}

// G11: what is no message ends the connection, and nothing is guessed.
#[test]
fn g11_frames_that_break_a_rule_end_the_connection() {
    let with_length = |second: u8, length: &[u8]| [&[0x82, second], length, &[0; 4]].concat();
    for (bytes, code) in [
        (vec![0x81, 0x05, b'H', b'e'], 1002),
        (masked(0xc1, b"x"), 1002),
        (masked(0x83, b"x"), 1002),
        (masked(0x8b, b"x"), 1002),
        (masked(0x80, b"x"), 1002),
        (masked(0x09, b"x"), 1002),
        ([masked(0x01, b"x"), masked(0x81, b"y")].concat(), 1002),
        (masked(0x89, &[0; 126]), 1002),
        (with_length(0xfe, &[0, 5]), 1002),
        (with_length(0xff, &[0, 0, 0, 0, 0, 0, 1, 0]), 1002),
        (with_length(0xff, &[0x80, 0, 0, 0, 0, 0, 0, 0]), 1009),
        (with_length(0xff, &[0xff; 8]), 1009),
        (with_length(0xff, &[0, 0, 0, 0, 0, 1, 0, 1]), 1009),
        ([masked(0x02, &[0; 40_000]), masked(0x80, &[0; 40_000])].concat(), 1009),
        (masked(0x81, &[0xff]), 1007),
        ([masked(0x01, &[0xc3]), masked(0x80, b"(")].concat(), 1007),
    ] {
        for piece in [1, 1_000_000] {
            let result = all(&bytes, piece).map_err(Violation::close_code);
            assert_eq!(result, Err(code), "{}", bytes[..8.min(bytes.len())].escape_ascii());
        }
    }
}

#[test]
fn g11_a_message_has_sixteen_fragments_at_most() {
    let fragments = |count: usize| {
        let mut bytes = masked(0x01, b"a");
        (2..count).for_each(|_| bytes.extend(masked(0x00, b"a")));
        bytes.extend(masked(0x80, b"a"));
        bytes
    };
    assert_eq!(all(&fragments(16), 5), Ok(vec![format!("t:{}", "a".repeat(16))]));
    assert_eq!(all(&fragments(17), 5).map_err(Violation::close_code), Err(1008));
    // The count begins anew with each message.
    assert_eq!(all(&[fragments(16), fragments(16)].concat(), 9).map(|all| all.len()), Ok(2));
}

#[test]
fn the_longest_message_may_have_a_ping_between_its_pieces() {
    let (one, other) = (vec![7; 1_000], vec![8; limits::WS_MESSAGE - 1_000]);
    let bytes = [masked(0x02, &one), masked(0x89, b"?"), masked(0x80, &other)].concat();
    let found = all(&bytes, bytes.len()).expect("no rule is broken");
    assert_eq!((found.len(), found[0].as_str()), (2, "ping ?"));
}

#[test]
fn a_multibyte_character_may_be_cut_by_a_fragment() {
    let bytes = [masked(0x01, &[0xc3]), masked(0x80, &[0xbc])].concat();
    assert_eq!(all(&bytes, 2), Ok(vec!["t:\\xc3\\xbc".into()]));
}

#[test]
fn what_is_no_text_goes_out_binary() {
    assert_eq!(message(b"\xff", false)[0], 0x82);
    assert_eq!(message("ü".as_bytes(), false)[0], 0x81);
    assert_eq!(message(b"x", true)[0], 0x82);
    assert_eq!(close(1_002), [0x88, 2, 0x03, 0xea]);
}
