//! What will happen, in order of time; what is due at the same moment, in the order it was said.

use ringway_core::time::Instant;
use std::collections::BTreeMap;

/// A queue of events ordered by time, then by the order of their making.
#[derive(Debug)]
pub struct Agenda<T> {
    events: BTreeMap<(Instant, u64), T>,
    made: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), made: 0 }
    }
}

impl<T> Agenda<T> {
    /// Adds an event.
    pub fn add(&mut self, at: Instant, event: T) {
        self.made += 1;
        self.events.insert((at, self.made), event);
    }

    /// Gives all events other times that have the same order.
    pub fn retime(&mut self, time: impl Fn(Instant) -> Instant) {
        let events = std::mem::take(&mut self.events).into_iter();
        self.events = events.map(|((at, made), event)| ((time(at), made), event)).collect();
    }

    /// All of them, in order.
    pub fn events(&mut self) -> impl Iterator<Item = &mut T> {
        self.events.values_mut()
    }

    /// When the first one is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.events.keys().next().map(|&(at, _)| at)
    }

    /// The first one, if it is due by then.
    pub fn pop_due(&mut self, by: Instant) -> Option<(Instant, T)> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= by)?;
        let ((at, _), event) = entry.remove_entry();
        Some((at, event))
    }
}

/// A stream of numbers that a seed determines (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    #[allow(clippy::should_implement_trait, reason = "it never ends")]
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// True in so many of a thousand cases.
    pub const fn permille(&mut self, chance: u32) -> bool {
        self.below(1_000) < chance as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_comes_first_and_then_the_order_of_making() {
        let mut agenda = Agenda::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            agenda.add(Instant::from_millis(at), name);
        }
        assert_eq!(agenda.next_due(), Some(Instant::from_millis(1)));
        let mut names = String::new();
        while let Some((_, name)) = agenda.pop_due(Instant::from_millis(5)) {
            names.push_str(name);
        }
        assert_eq!(names, "abcd");
    }
}
