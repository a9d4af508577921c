//! Which nonce counts were used: a response that proved a password once proves nothing when it
//! is heard again (RFC 7616 §3.4, §5.4).

use crate::address_of_record::AddressOfRecord;
use crate::limits;
use crate::time::{Duration, Instant};
use alloc::collections::BTreeMap;

/// The nonce counts used by the accounts of one partition, for as long as their nonces live.
///
/// What is not remembered must not be accepted: nonces from before the process began, and those
/// as old as the oldest that had to make room, count as used.
#[derive(Debug)]
pub struct ReplayWindows {
    /// Ordered by the end of the nonce, which follows from the nonce: the key finds a window,
    /// and the first entry is the one to go.
    windows: BTreeMap<(Instant, u64), Window>,
    /// Nonces that end before this and have no window are not accepted.
    floor: Instant,
}

/// One nonce used by one account: the highest count, and which of the 64 up to it were used.
#[derive(Clone, Copy, Debug)]
struct Window {
    highest: u32,
    used: u64,
}

impl ReplayWindows {
    /// Nothing used yet. `started` is when the process began to make nonces.
    pub fn new(started: Instant) -> Self {
        Self { windows: BTreeMap::new(), floor: started + limits::NONCE_LIFE }
    }

    /// Notes the use of a nonce count by an account; tells whether it was new.
    ///
    /// `false` is no proof of an attack: a nonce older than what is remembered, and a repeated
    /// datagram, look the same. The answer is a new challenge with `stale=true`.
    ///
    /// `nonce` is a keyed hash of nonce and account, as [`Claim`](super::Claim) has it, so
    /// accounts behind one address do not share counts.
    //= RFC 7616 3.4
    // "if the same nc value is seen twice, then the request is a replay"
    pub fn spend(
        &mut self,
        now: Instant,
        account: &AddressOfRecord,
        nonce: u64,
        nc: u32,
        ends: Instant,
    ) -> bool {
        // The account chose the partition; its name is in the hash already.
        let _ = account;
        self.forget_ended(now);
        if ends <= now {
            return false;
        }
        if let Some(window) = self.windows.get_mut(&(ends, nonce)) {
            return window.spend(nc);
        }
        if ends < self.floor {
            return false;
        }
        if self.windows.len() >= limits::REPLAY_WINDOWS {
            self.make_room();
            if ends < self.floor {
                return false;
            }
        }
        self.windows.insert((ends, nonce), Window { highest: nc, used: 1 });
        true
    }

    /// How many nonces are remembered.
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    fn forget_ended(&mut self, now: Instant) {
        while let Some(oldest) = self.windows.first_entry() {
            if oldest.key().0 > now {
                return;
            }
            oldest.remove();
        }
    }

    /// Lets the oldest window go; from then on its nonce, and all that are as old, are stale.
    fn make_room(&mut self) {
        if let Some(((ends, _), _)) = self.windows.pop_first() {
            self.floor = self.floor.max(ends + Duration::from_micros(1));
        }
    }
}

impl Window {
    /// Counts may come out of order, since several requests can be under way, but not by more
    /// than the window is wide.
    fn spend(&mut self, nc: u32) -> bool {
        if nc > self.highest {
            let ahead = nc - self.highest;
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = nc;
            return true;
        }
        let Some(bit) = 1u64.checked_shl(self.highest - nc) else { return false };
        let new = self.used & bit == 0;
        self.used |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_secs(s)
    }

    fn alice() -> AddressOfRecord {
        AddressOfRecord::from_text("alice@example.org").expect("valid")
    }

    /// A nonce issued at this second ends here.
    fn ends(issued: u64) -> Instant {
        at(issued) + limits::NONCE_LIFE
    }

    #[test]
    //= RFC 7616 3.4 type=test
    fn a_count_is_good_once_in_any_order() {
        let mut windows = ReplayWindows::new(at(0));
        for (nc, new) in [
            (1, true),
            (1, false),
            (2, true),
            (5, true),
            (4, true),
            (3, true),
            (4, false),
            (5, false),
            (68, true),
            (5, false),
            (6, true),
            (4, false),
            (132, true),
            (68, false),
            (67, false),
            (69, true),
            (u32::MAX, true),
            (u32::MAX, false),
            (132, false),
            (u32::MAX - 63, true),
            (u32::MAX - 64, false),
        ] {
            let spent = windows.spend(at(1), &alice(), 9, nc, ends(1));
            assert_eq!(spent, new, "nc {nc}");
        }
        assert!(windows.spend(at(1), &alice(), 10, 1, ends(1)), "another nonce, other counts");
        assert_eq!(windows.len(), 2);
    }

    #[test]
    fn nonces_from_before_the_start_are_stale() {
        let mut windows = ReplayWindows::new(at(100));
        assert!(!windows.spend(at(101), &alice(), 1, 1, ends(99)));
        assert!(windows.spend(at(101), &alice(), 2, 1, ends(100)));
    }

    #[test]
    fn windows_end_with_their_nonces() {
        let mut windows = ReplayWindows::new(at(0));
        assert!(windows.spend(at(1), &alice(), 1, 1, ends(1)));
        let moment = Duration::from_micros(1);
        assert!(windows.spend(ends(1) - moment, &alice(), 1, 2, ends(1)));
        assert!(!windows.spend(ends(1), &alice(), 1, 3, ends(1)), "over");
        assert!(windows.is_empty());
    }

    #[test]
    fn the_oldest_makes_room_and_is_stale_from_then_on() {
        let mut windows = ReplayWindows::new(at(0));
        let (now, last) = (at(10), limits::REPLAY_WINDOWS as u64);
        for n in 0..=last {
            let issued = at(1) + Duration::from_micros(n);
            assert!(windows.spend(now, &alice(), n, 1, issued + limits::NONCE_LIFE));
        }
        assert_eq!(windows.len(), limits::REPLAY_WINDOWS);
        assert!(!windows.spend(now, &alice(), 0, 1, ends(1)), "forgotten, so refused");
        assert!(!windows.spend(now, &alice(), 0, 2, ends(1)), "whatever its count");
        assert!(!windows.spend(now, &alice(), 77, 1, ends(1)), "as old as the forgotten one");
        let newest = at(1) + Duration::from_micros(last) + limits::NONCE_LIFE;
        assert!(!windows.spend(now, &alice(), last, 1, newest), "remembered");
        assert!(windows.spend(now, &alice(), last, 2, newest));
        assert!(windows.len() <= limits::REPLAY_WINDOWS);
    }
}
