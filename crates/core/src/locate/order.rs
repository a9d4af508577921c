//! In which order records are tried.

use super::records::{Naptr, Srv};
use alloc::vec::Vec;

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number from 0 to `most`.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % (most + 1)
    }
}

/// The most preferred NAPTR first.
pub(super) fn by_preference(records: &mut [Naptr]) {
    records.sort_by(|a, b| (a.order, a.preference, a).cmp(&(b.order, b.preference, b)));
}

/// The first `most` SRV records to try: by priority, and by weight among those of the same one.
pub(super) fn by_weight(mut records: Vec<Srv>, dice: &mut Dice, most: usize) -> Vec<Srv> {
    //= RFC 3263 4.4
    // "alphabetize them, or, more generally, sort them by ASCII-compatible"
    records.sort();
    records.dedup();
    let mut ordered = Vec::new();
    for same in records.chunk_by(|a, b| a.priority == b.priority) {
        // Weights of 0 stand first: they were sorted.
        let mut left: Vec<&Srv> = same.iter().collect();
        while !left.is_empty() && ordered.len() < most {
            let next = left.remove(pick(&left, dice));
            ordered.push(next.clone());
        }
    }
    ordered
}

/// RFC 2782, "Weight": which one is next.
fn pick(left: &[&Srv], dice: &mut Dice) -> usize {
    let sum: u64 = left.iter().map(|record| u64::from(record.weight)).sum();
    //= RFC 2782 0
    // "uniform random number between 0 and the sum computed"
    let chosen = dice.up_to(sum);
    let mut running = 0;
    let reaches = |record: &&Srv| {
        running += u64::from(record.weight);
        running >= chosen
    };
    left.iter().position(reaches).unwrap_or(0)
}
