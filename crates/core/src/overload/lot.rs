//! The lot that a request draws: the same whenever its bytes are, and nobody can choose it.

use crate::keys::Keys;

/// Draws lots: a sum of products of some words of the datagram, each with a secret factor of its
/// own, which costs little and is what a packet filter of the kernel can compute, too.
#[derive(Clone, Debug)]
pub struct Lots {
    factors: [u32; WORDS],
}

/// The words stand where the topmost Via has its branch and the other headers what makes them
/// different: behind the shortest request line, and as far as no real request ends.
const FIRST: usize = 64;
const WORDS: usize = 35;

/// Which part of all lots is below this one, of 1.
pub(super) fn share(lot: u32) -> f64 {
    f64::from(lot) / 4_294_967_296.0
}

impl Lots {
    /// Lots of this installation.
    pub fn new(keys: &Keys) -> Self {
        let factor = |n: usize| keys.hash64(b"lot", &[&[n as u8]]) as u32 | 1;
        Self { factors: core::array::from_fn(factor) }
    }

    /// The lot of a message; words that it has not count as zero.
    pub fn of(&self, message: &[u8]) -> u32 {
        let (words, rest) = message.get(FIRST..).unwrap_or_default().as_chunks();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        let words = words.iter().chain([&last]).zip(&self.factors);
        words.fold(0, |sum: u32, (word, factor)| {
            sum.wrapping_add(u32::from_be_bytes(*word).wrapping_mul(*factor))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use alloc::format;
    use alloc::vec::Vec;

    /// Where the words end.
    const END: usize = FIRST + 4 * WORDS;

    #[test]
    fn lots_are_even_and_the_same_for_the_same() {
        let (lots, others) = (Lots::new(&Keys::new(&[1; 32])), Lots::new(&Keys::new(&[2; 32])));
        let request = |n: u32| {
            format!(
                "INVITE sip:u{:05}@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;\
                 branch=z9hG4bK{n:x}\r\nMax-Forwards: 70\r\nFrom: <sip:a@example.org>;tag={n}\r\n\
                 To: <sip:b@example.org>\r\nCall-ID: {n}@host\r\nCSeq: 1 INVITE\r\n\r\n",
                n % 10
            )
        };
        let mut tenths = [0; 10];
        for n in 0..10_000 {
            let lot = lots.of(request(n).as_bytes());
            assert_eq!(lot, lots.of(request(n).as_bytes()));
            tenths[((u64::from(lot) * 10) >> 32) as usize] += 1;
        }
        assert!(tenths.iter().all(|&n| (800..1_200).contains(&n)), "{tenths:?}");
        let drawn: Vec<_> = [&lots, &others].map(|lots| lots.of(request(7).as_bytes())).into();
        assert_ne!(drawn[0], drawn[1], "nobody outside can compute them");
    }

    #[test]
    fn short_messages_have_lots_too() {
        let lots = Lots::new(&Keys::new(&[1; 32]));
        let bytes = [7; END + 9];
        assert_eq!([lots.of(b""), lots.of(&bytes[..FIRST])], [0, 0]);
        let different = (FIRST + 1..END).all(|n| lots.of(&bytes[..n]) != lots.of(&bytes[..n - 1]));
        assert!(different);
        assert_eq!(lots.of(&bytes[..END]), lots.of(&bytes), "the rest does not matter");
    }
}
