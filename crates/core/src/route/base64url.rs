//! base64url without padding (RFC 4648 §5): every character is legal in a SIP user part.

use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What each letter stands for; what is none of the alphabet has a bit that no letter has.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NONE: u8 = 0x80;

/// Appends the text of some bytes.
pub(crate) fn encode(raw: &[u8], out: &mut Vec<u8>) {
    let letter = |bits: u32| ALPHABET[bits as usize & 63];
    let (chunks, rest) = raw.as_chunks::<3>();
    out.reserve(chunks.len() * 4 + 4);
    for &[a, b, c] in chunks {
        let word = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[18, 12, 6, 0].map(|shift| letter(word >> shift)));
    }
    match *rest {
        [a, b] => {
            let word = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[18, 12, 6].map(|shift| letter(word >> shift)));
        }
        [a] => {
            let word = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[18, 12].map(|shift| letter(word >> shift)));
        }
        _ => {}
    }
}

/// Hands the bytes of a text to `put`, which may refuse them; `None` if it does, or if there is
/// no such text: each text stands for other bytes.
pub(crate) fn decode(text: &[u8], mut put: impl FnMut(&[u8]) -> Option<()>) -> Option<()> {
    let (chunks, rest) = text.as_chunks::<4>();
    for &letters in chunks {
        let [_, a, b, c] = bytes_of(letters)?;
        put(&[a, b, c])?;
    }
    // One text for one cookie: bits that carry nothing must be zero.
    match *rest {
        [] => Some(()),
        [a, b, c] => match bytes_of([a, b, c, b'A'])? {
            [_, a, b, 0] => put(&[a, b]),
            _ => None,
        },
        [a, b] => match bytes_of([a, b, b'A', b'A'])? {
            [_, a, 0, 0] => put(&[a]),
            _ => None,
        },
        _ => None,
    }
}

/// The three bytes of four letters, behind a zero.
fn bytes_of(letters: [u8; 4]) -> Option<[u8; 4]> {
    let values = letters.map(|letter| VALUES[usize::from(letter)]);
    let [a, b, c, d] = values;
    let word = values.iter().fold(0, |word, &value| word << 6 | u32::from(value));
    ((a | b | c | d) & NONE == 0).then_some(word.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn texts_of_rfc_4648() {
        for (raw, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("\u{7f}\u{7f}\u{7f}", "f39_"),
            ("~~~", "fn5-"),
        ] {
            let mut out = Vec::new();
            encode(raw.as_bytes(), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), text);
            let mut back = Vec::new();
            let put = |bytes: &[u8]| {
                back.extend_from_slice(bytes);
                Some(())
            };
            assert_eq!(decode(text.as_bytes(), put), Some(()));
            assert_eq!(back, raw.as_bytes());
        }
        for bad in ["Z", "Zh", "Zm9", "Zm9vY", "Zm+v", "Zm/v", "Zg==", "Zm v", "Zm\u{e9}"] {
            assert_eq!(decode(bad.as_bytes(), |_| Some(())), None, "{bad}");
        }
        assert_eq!(decode(b"Zm9v", |_| None), None, "whoever puts may refuse");
    }
}
