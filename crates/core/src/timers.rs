//! One timer wheel for everything in a partition.
//!
//! Seven levels of 64 slots each, the lowest slot a tick of 1,024 µs wide, each level 64 times
//! as wide as the one below. Setting and cancelling a timer costs the same however many there
//! are. Times are exact to the microsecond: what comes due within a tick is put in order before
//! it is handed out, so nothing is early and nothing overtakes.

use crate::time::Instant;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Names a timer; one that has fired or was cancelled is no longer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimerId {
    slot: u32,
    used: u32,
}

/// All timers of one owner. `T` says what each is for.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The tick up to which all slots were emptied.
    tick: u64,
    /// Heads of the lists of entries, by level and slot.
    heads: [[u32; SLOTS]; LEVELS],
    /// Which slots are not empty.
    occupied: [u64; LEVELS],
    entries: Vec<Entry<T>>,
    free: u32,
    /// Entries whose tick has come, by exact time and then by the order of setting.
    ready: BinaryHeap<Reverse<(Instant, u64, u32, u32)>>,
    sequence: u64,
    len: usize,
}

#[derive(Debug)]
struct Entry<T> {
    at: Instant,
    sequence: u64,
    used: u32,
    place: Place,
    previous: u32,
    next: u32,
    what: Option<T>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    Slot { level: u8, slot: u8 },
    Ready,
}

const SLOTS: usize = 64;
const LEVELS: usize = 7;
const BITS: u32 = 6;
const TICK_BITS: u32 = 10;
const NONE: u32 = u32::MAX;

impl<T: Copy> Default for Wheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy> Wheel<T> {
    /// No timers.
    pub const fn new() -> Self {
        Self {
            tick: 0,
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            entries: Vec::new(),
            free: NONE,
            ready: BinaryHeap::new(),
            sequence: 0,
            len: 0,
        }
    }

    /// How many timers run.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none runs.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Sets a timer. A time in the past comes due at once.
    pub fn schedule(&mut self, at: Instant, what: T) -> TimerId {
        self.sequence += 1;
        self.len += 1;
        let slot = self.place_for_entry(at, what);
        self.put(slot);
        TimerId { slot, used: self.entries[slot as usize].used }
    }

    fn place_for_entry(&mut self, at: Instant, what: T) -> u32 {
        let (sequence, what) = (self.sequence, Some(what));
        if self.free == NONE {
            let place = Place::Free;
            self.entries.push(Entry {
                at,
                sequence,
                used: 0,
                place,
                previous: NONE,
                next: NONE,
                what,
            });
            return (self.entries.len() - 1) as u32;
        }
        let slot = self.free;
        let entry = &mut self.entries[slot as usize];
        self.free = entry.next;
        *entry = Entry {
            at,
            sequence,
            used: entry.used,
            place: Place::Free,
            previous: NONE,
            next: NONE,
            what,
        };
        slot
    }

    /// Stops a timer; tells whether it was still running.
    pub fn cancel(&mut self, id: TimerId) -> bool {
        match self.entries.get(id.slot as usize) {
            Some(entry) if entry.used == id.used && entry.place != Place::Free => {}
            _ => return false,
        }
        self.unlink(id.slot);
        self.release(id.slot);
        true
    }

    /// A time not later than when the next timer comes due, and exactly that once its tick has
    /// come.
    pub fn next_due(&mut self) -> Option<Instant> {
        self.drop_dead();
        if let Some(Reverse((at, ..))) = self.ready.peek() {
            return Some(*at);
        }
        self.earliest().map(|(_, _, tick)| Instant::from_micros(tick << TICK_BITS))
    }

    /// Hands out one timer that has come due by `now`, the earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.advance(now);
        self.drop_dead();
        let Reverse((at, _, slot, _)) = *self.ready.peek()?;
        if at > now {
            return None;
        }
        self.ready.pop();
        let what = self.entries[slot as usize].what.take();
        self.release(slot);
        what.map(|what| (at, what))
    }

    fn put(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        let tick = entry.at.as_micros() >> TICK_BITS;
        if tick <= self.tick {
            entry.place = Place::Ready;
            self.ready.push(Reverse((entry.at, entry.sequence, slot, entry.used)));
            return;
        }
        // The highest bit in which the ticks differ says how far away it is.
        let highest = 63 - (tick ^ self.tick).leading_zeros();
        let level = ((highest / BITS) as usize).min(LEVELS - 1);
        let shift = BITS * level as u32;
        // What is more than a whole turn of the highest level away waits in its last slot, and is
        // put anew when that comes.
        let turns = ((tick >> shift) - (self.tick >> shift)).min(SLOTS as u64 - 1);
        let at = ((self.tick >> shift) + turns) as usize % SLOTS;
        let head = &mut self.heads[level][at];
        entry.place = Place::Slot { level: level as u8, slot: at as u8 };
        entry.previous = NONE;
        entry.next = *head;
        let next = *head;
        *head = slot;
        if next != NONE {
            self.entries[next as usize].previous = slot;
        }
        self.occupied[level] |= 1 << at;
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { place, previous, next, .. } = self.entries[slot as usize];
        // What is ready stays in the heap and is skipped there.
        let Place::Slot { level, slot: at } = place else { return };
        let (level, at) = (usize::from(level), usize::from(at));
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
        } else {
            self.heads[level][at] = next;
            if next == NONE {
                self.occupied[level] &= !(1 << at);
            }
        }
    }

    fn release(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.used = entry.used.wrapping_add(1);
        entry.place = Place::Free;
        entry.what = None;
        entry.next = self.free;
        self.free = slot;
        self.len -= 1;
    }

    fn drop_dead(&mut self) {
        while let Some(Reverse((_, _, slot, used))) = self.ready.peek() {
            if self.entries[*slot as usize].used == *used {
                return;
            }
            self.ready.pop();
        }
    }

    /// The first slot that is not empty: its level, its number, and the tick it starts with.
    /// Lower levels are always earlier than higher ones.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|&slots| slots != 0)?;
        let shift = BITS * level as u32;
        // The highest level alone can have turned round.
        let here = (self.tick >> shift) as u32 % SLOTS as u32;
        let ahead = self.occupied[level].rotate_right(here).trailing_zeros();
        let slot = (here + ahead) as usize % SLOTS;
        let start = ((self.tick >> shift) + u64::from(ahead)) << shift;
        Some((level, slot, start))
    }

    fn advance(&mut self, now: Instant) {
        let target = now.as_micros() >> TICK_BITS;
        while let Some((level, slot, start)) = self.earliest() {
            if start > target {
                break;
            }
            self.tick = self.tick.max(start);
            let mut entry = core::mem::replace(&mut self.heads[level][slot], NONE);
            self.occupied[level] &= !(1 << slot);
            while entry != NONE {
                let next = self.entries[entry as usize].next;
                self.put(entry);
                entry = next;
            }
        }
        self.tick = self.tick.max(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    const fn us(us: u64) -> Instant {
        Instant::from_micros(us)
    }

    #[test]
    fn in_order_of_time_and_then_of_setting() {
        let mut wheel = Wheel::new();
        for (at, what) in [(5_000_000, 'c'), (300, 'b'), (299, 'a'), (5_000_000, 'd')] {
            wheel.schedule(us(at), what);
        }
        assert_eq!(wheel.pop_due(us(298)), None);
        assert_eq!(wheel.pop_due(us(300)), Some((us(299), 'a')));
        assert_eq!(wheel.pop_due(us(300)), Some((us(300), 'b')));
        assert_eq!(wheel.pop_due(us(4_999_999)), None);
        assert_eq!(wheel.next_due(), Some(us(5_000_000)));
        assert_eq!(wheel.pop_due(us(9_000_000)), Some((us(5_000_000), 'c')));
        assert_eq!(wheel.pop_due(us(9_000_000)), Some((us(5_000_000), 'd')));
        assert_eq!((wheel.next_due(), wheel.len()), (None, 0));
    }

    #[test]
    fn a_cancelled_timer_never_fires() {
        let mut wheel = Wheel::new();
        let a = wheel.schedule(us(10_000), 'a');
        let b = wheel.schedule(us(10_000), 'b');
        assert!(wheel.cancel(a));
        assert!(!wheel.cancel(a));
        assert_eq!(wheel.pop_due(us(10_000)), Some((us(10_000), 'b')));
        assert!(!wheel.cancel(b), "it has fired");
        let late = wheel.schedule(us(1), 'x');
        assert!(wheel.cancel(late), "due, and not yet handed out");
        assert_eq!(wheel.pop_due(us(20_000)), None);
    }

    struct Random(u64);
    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    /// Neither milliseconds beyond 32 bits nor a century of sleep confuses it.
    #[test]
    fn e10_a_century_is_no_longer_than_it_is() {
        const YEAR: u64 = 365 * 86_400 * 1_000_000;
        for start in [0, (1 << 32) * 1_000 - 7, (1 << 48) - 3, u64::MAX - 101 * YEAR] {
            let mut wheel = Wheel::new();
            let after = [1, 500_000, (1 << 32) * 1_000, YEAR, 100 * YEAR];
            for (n, later) in after.iter().enumerate() {
                wheel.schedule(us(start + later), n);
            }
            for (n, later) in after.iter().enumerate() {
                let at = us(start + later);
                assert_eq!(wheel.pop_due(us(start + later - 1)), None, "{start} {n}");
                assert_eq!(wheel.pop_due(at), Some((at, n)), "{start} {n}");
            }
            assert!(wheel.is_empty());
        }
    }

    /// The wheel against an ordered map, with times from microseconds to years.
    #[test]
    fn equals_an_ordered_map() {
        for seed in 1..=60 {
            let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (seed << 20));
            let mut wheel = Wheel::new();
            let mut model: BTreeMap<(Instant, u64), TimerId> = BTreeMap::new();
            let mut now = us(1_700_000_000_000_000 + random.below(1 << 40));
            for step in 0..400u64 {
                match random.below(10) {
                    0..=5 => {
                        let reach = 1 << random.below(48);
                        let at = us(now.as_micros() + random.below(reach));
                        let id = wheel.schedule(at, step);
                        model.insert((at, step), id);
                    }
                    6..=7 => {
                        let nth = random.below(model.len() as u64 + 1) as usize;
                        if let Some((&key, &id)) = model.iter().nth(nth) {
                            assert!(wheel.cancel(id));
                            model.remove(&key);
                        }
                    }
                    _ => {
                        let reach = 1 << random.below(44);
                        now = us(now.as_micros() + random.below(reach));
                        while let Some((at, what)) = wheel.pop_due(now) {
                            let (key, _) = model.pop_first().expect("one in the model");
                            assert_eq!((at, what), key, "seed {seed}");
                        }
                        assert!(model.first_key_value().is_none_or(|((at, _), _)| *at > now));
                    }
                }
                let first = model.first_key_value().map(|((at, _), _)| *at);
                assert_eq!(wheel.len(), model.len());
                match (wheel.next_due(), first) {
                    (None, None) => {}
                    (Some(told), Some(first)) => assert!(told <= first, "seed {seed}"),
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        }
    }
}
