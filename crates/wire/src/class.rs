//! What each byte may be part of: one look-up in a table instead of a chain of comparisons.

/// RFC 3261 §25.1 token.
pub(crate) const TOKEN: u16 = 1;
/// Blanks, those of folds included.
pub(crate) const BLANK: u16 = 1 << 1;
/// A host name.
pub(crate) const HOST: u16 = 1 << 2;
/// A URI of any scheme; bytes above ASCII are let pass.
pub(crate) const URI: u16 = 1 << 3;
/// The same without `@`.
pub(crate) const BEFORE_AT: u16 = 1 << 4;
/// RFC 3261 §25.1 user, but `%` and what follows it.
pub(crate) const USER: u16 = 1 << 5;
/// RFC 3261 §25.1 uri-parameter: names and values.
pub(crate) const URI_PARAM: u16 = 1 << 6;
/// RFC 3261 §25.1 gen-value without quotes, and what is met there.
pub(crate) const VALUE: u16 = 1 << 7;
/// A display name without quotes: tokens and blanks; bytes above ASCII are let pass.
pub(crate) const DISPLAY: u16 = 1 << 8;
/// All but what ends or hides the end of an element of a comma list.
pub(crate) const ELEMENT: u16 = 1 << 9;
/// All but what ends or hides the end of a parameter or of its name.
pub(crate) const PARAM: u16 = 1 << 10;

static CLASSES: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classes(byte as u8);
        byte += 1;
    }
    table
};

const fn classes(b: u8) -> u16 {
    let above = b >= 0x80;
    let token = b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
    let blank = matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let uri = (b > b' ') & !matches!(b, 0x7f | b'<' | b'>' | b'"');
    let never_user = matches!(b, b'[' | b']' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'@');
    let mut found = 0;
    found |= TOKEN * token as u16;
    found |= BLANK * blank as u16;
    found |= HOST * (b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) as u16;
    found |= URI * uri as u16;
    found |= BEFORE_AT * (uri && b != b'@') as u16;
    found |= USER * (uri && !never_user && !matches!(b, b'%' | b':')) as u16;
    let more = matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'$' | b'(' | b')');
    found |= URI_PARAM * (token || above || more) as u16;
    found |= VALUE * (token || above || more || matches!(b, b'@' | b'?' | b'=')) as u16;
    found |= DISPLAY * (token || blank || above) as u16;
    found |= ELEMENT * !matches!(b, b',' | b'"' | b'<') as u16;
    found |= PARAM * !matches!(b, b';' | b'=' | b'"') as u16;
    found
}

const fn of(byte: u8) -> u16 {
    CLASSES[byte as usize]
}

/// Whether a byte is of a class.
pub(crate) const fn is(byte: u8, class: u16) -> bool {
    of(byte) & class != 0
}

/// Where the run of bytes of a class ends that begins at `at`; `at` itself if there is none.
#[inline]
pub(crate) fn run(text: &[u8], mut at: usize, class: u16) -> usize {
    let (fours, _) = text.get(at..).unwrap_or_default().as_chunks();
    for &[a, b, c, d] in fours {
        if of(a) & of(b) & of(c) & of(d) & class == 0 {
            break;
        }
        at += 4;
    }
    while text.get(at).is_some_and(|&b| is(b, class)) {
        at += 1;
    }
    at
}

/// Whether all of a text is of a class.
pub(crate) fn all(text: &[u8], class: u16) -> bool {
    run(text, 0, class) == text.len()
}

/// The place of the first byte below `limit` (at most 0x80) from `at` on; eight at a time.
#[inline]
pub(crate) fn find_below(text: &[u8], mut at: usize, limit: u8) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = text.get(at..)?.as_chunks();
    for &word in words {
        let word = u64::from_le_bytes(word);
        // A borrow goes upwards only: the lowest bit that is set is right.
        let below = word.wrapping_sub(ONES.wrapping_mul(limit.into())) & !word & (ONES << 7);
        if below != 0 {
            return Some(at + below.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    Some(at + rest.iter().position(|&b| b < limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_where_a_byte_is_of_another_class() {
        let mut seed = 1u64;
        for _ in 0..5_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mut text = [0; 21];
            for (at, byte) in text.iter_mut().enumerate() {
                *byte = b"aB3-@:\r \x80\xff"[(seed >> (at + 20)) as usize % 10];
            }
            for class in (0..=10).map(|bit| 1 << bit) {
                for at in 0..=text.len() {
                    let plain = text[at..].iter().position(|&b| !is(b, class));
                    assert_eq!(run(&text, at, class), at + plain.unwrap_or(text.len() - at));
                }
            }
            for limit in [0, 0x20, 0x21, 0x80] {
                for at in 0..=text.len() {
                    let plain = text[at..].iter().position(|&b| b < limit).map(|n| at + n);
                    assert_eq!(find_below(&text, at, limit), plain, "{text:?} {at}");
                }
            }
        }
        assert_eq!(run(b"a", 2, TOKEN), 2);
        assert_eq!(find_below(b"a", 2, 0x20), None);
    }
}
