//! Who is worth to be served when an overload ends.
//!
//! Whoever heard nothing repeats its request for 32 s, at longer and longer distances (RFC 3261
//! §17.1.1.2, §17.1.2.2). When the load falls, far more of these come than new ones: calls
//! that nobody waits for any more, which would keep everybody else waiting. They cannot be told
//! from new ones, except by this: a new request is repeated after half a second, an old one is
//! not. So for as long as requests that were shed are still repeated, a request that would have
//! been among them is served when it comes for the second time, and soon.

use crate::limits;
use crate::overload::class::{CLASSES, Class};
use crate::overload::lot;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use alloc::vec;

/// What was shed in the last 32 s, and who has come since.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt {
    /// For each stretch of time, the least part of each class that was shed all through it.
    past: [[f64; CLASSES]; STRETCHES],
    /// The stretch that runs.
    now: u64,
    least: Option<[f64; CLASSES]>,
    /// The most of the past.
    most: [f64; CLASSES],
    /// Who came, and when in milliseconds; empty while there is no doubt.
    seen: Box<[(u32, u32)]>,
}

/// A shorter peak leaves few behind that repeat.
const STRETCH: Duration = Duration::from_secs(2);
/// Stretches in which whoever was shed still repeats its request.
const STRETCHES: usize = 17;
/// Whoever comes again within this time is new: the second and the third time (RFC 3261
/// §17.1.1.1: T1, 2·T1).
const SOON: Duration = Duration::from_millis(1_200);
/// Where no more than this part was shed, all are new.
const SLACK: f64 = 0.02;

impl Doubt {
    /// Whether anybody may be old.
    pub(super) fn is_any(&self) -> bool {
        !self.seen.is_empty()
    }

    /// An interval has ended; from now on so much of each class is shed.
    pub(super) fn note(&mut self, now: Instant, shed: &[f64; CLASSES]) {
        let stretch = now.as_micros() / STRETCH.as_micros();
        if stretch != self.now {
            let passed = (stretch - self.now.min(stretch)).min(STRETCHES as u64);
            for n in 0..passed {
                let is_whole = n == 0 && passed == 1;
                let least = self.least.take().filter(|_| is_whole).unwrap_or_default();
                self.past[((self.now + n) % STRETCHES as u64) as usize] = least;
            }
            self.now = stretch;
            self.least = Some(*shed);
            self.remember();
        }
        if let Some(least) = &mut self.least {
            for (least, shed) in least.iter_mut().zip(shed) {
                *least = least.min(*shed);
            }
        }
    }

    fn remember(&mut self) {
        self.most = [0.0; CLASSES];
        for past in &self.past {
            for (most, shed) in self.most.iter_mut().zip(past) {
                *most = most.max(*shed);
            }
        }
        let is_any = self.most.iter().any(|most| *most > SLACK);
        if is_any != self.is_any() {
            let room = if is_any { limits::OVERLOAD_SEEN } else { 0 };
            self.seen = vec![(0, 0); room].into_boxed_slice();
        }
    }

    /// Whether a request that is not shed now is new, as far as can be told.
    pub(super) fn is_fresh(&mut self, now: Instant, class: Class, lot: u32) -> bool {
        if lot::share(lot) >= self.most[class as usize] || self.seen.is_empty() {
            return true;
        }
        let place = lot.wrapping_mul(0x9e37_79b9) as usize % self.seen.len();
        let at = now.as_millis() as u32;
        let (before, when) = core::mem::replace(&mut self.seen[place], (lot, at));
        before == lot && u64::from(at.wrapping_sub(when)) <= SOON.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_peak_whoever_comes_twice_and_soon_is_new() {
        let (mut doubt, half) = (Doubt::default(), [0.0, 0.0, 0.5, 0.0, 0.0]);
        let (low, high) = (u32::MAX / 4, u32::MAX / 4 * 3);
        for s in 10..20 {
            doubt.note(Instant::from_secs(s), &half);
        }
        doubt.note(Instant::from_secs(20), &[0.0; CLASSES]);
        assert!(doubt.is_any());
        for (ms, class, lot, fresh) in [
            (20_000, Class::Call, high, true),
            (20_000, Class::Refresh, low, true),
            (20_000, Class::Call, low, false),
            (20_500, Class::Call, low, true),
            (21_500, Class::Call, low, true),
            (24_000, Class::Call, low, false),
            (25_201, Class::Call, low, false),
            (26_401, Class::Call, low, true),
        ] {
            let found = doubt.is_fresh(Instant::from_millis(ms), class, lot);
            assert_eq!(found, fresh, "{ms} {class:?} {lot}");
        }
        // For as long as anybody repeats what was shed, and not longer.
        for (s, is_any) in [(48, true), (52, true), (54, false)] {
            doubt.note(Instant::from_secs(s), &[0.0; CLASSES]);
            assert_eq!(doubt.is_any(), is_any, "after {s} s");
        }
    }

    #[test]
    fn a_short_peak_leaves_no_doubt() {
        let mut doubt = Doubt::default();
        for ms in (0..10_000).step_by(100) {
            let shed = if (4_500..5_500).contains(&ms) { 0.9 } else { 0.0 };
            doubt.note(Instant::from_millis(ms), &[shed; CLASSES]);
        }
        assert!(!doubt.is_any());
    }
}
