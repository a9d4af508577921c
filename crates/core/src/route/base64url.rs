//! base64url without padding (RFC 4648 §5): every character is legal in a SIP user part.

use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Appends the text of some bytes.
pub(crate) fn encode(raw: &[u8], out: &mut Vec<u8>) {
    for chunk in raw.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..=chunk.len() {
            out.push(ALPHABET[(word >> (18 - 6 * i) & 63) as usize]);
        }
    }
}

/// Hands the bytes of a text to `put`, which may refuse them; `None` if it does, or if there is
/// no such text: each text stands for other bytes.
pub(crate) fn decode(text: &[u8], mut put: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    for chunk in text.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut word = 0;
        for (i, byte) in chunk.iter().enumerate() {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'-' => 62,
                b'_' => 63,
                _ => return None,
            };
            word |= u32::from(value) << (18 - 6 * i);
        }
        let bytes = [(word >> 16) as u8, (word >> 8) as u8, word as u8];
        let (used, spare) = bytes.split_at(chunk.len() - 1);
        // One text for one cookie: bits that carry nothing must be zero.
        if spare.iter().any(|&b| b != 0) {
            return None;
        }
        put(used)?;
    }
    Some(())
}
