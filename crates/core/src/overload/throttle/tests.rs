use super::*;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A request in the queue of a server; times in µs.
#[derive(Clone, Copy)]
struct Waiting {
    since: u64,
    call: usize,
}

/// A server that does one thing after another, and the queue in front of it.
#[derive(Default)]
struct World {
    now: u64,
    throttle: Throttle,
    queue: VecDeque<Waiting>,
    repetitions: BTreeMap<(u64, usize), u32>,
    /// For each call: whether nothing is repeated any more.
    over: Vec<bool>,
    next: u64,
    lost: u32,
    served: u32,
    /// Whether who is turned away is told.
    tells: bool,
}

/// What a call costs, and what it costs to turn one away, in µs: a thousand calls in a second.
const SERVE: u64 = 1_000;
const SHED: u64 = 10;
const ROOM: usize = 4_000;

impl World {
    fn send(&mut self, since: u64, call: usize, tries: u32) {
        // RFC 3261 §17.1.1.2: T1, and twice as long each time, up to 64·T1.
        if tries < 6 {
            self.repetitions.insert((since + (500_000 << tries), call), tries + 1);
        }
        if self.queue.len() < ROOM {
            self.queue.push_back(Waiting { since, call });
        } else {
            self.lost += 1;
        }
    }

    fn arrive(&mut self, rate: u64) {
        while self.next <= self.now {
            self.over.push(false);
            self.send(self.next, self.over.len() - 1, 0);
            self.next += 1_000_000 / rate;
        }
        while let Some((&(at, call), &tries)) = self.repetitions.first_key_value() {
            if at > self.now {
                break;
            }
            self.repetitions.remove(&(at, call));
            if !self.over[call] {
                self.send(at, call, tries);
            }
        }
    }

    fn serve(&mut self, waiting: Waiting) {
        let lot = (waiting.call as u32).wrapping_mul(0x85eb_ca6b);
        let (now, call) = (Instant::from_micros(self.now), waiting.call);
        let waited = Duration::from_micros(self.now - waiting.since);
        let verdict = match self.over[call] {
            true => Verdict::Ignore,
            false => self.throttle.judge((now, waited), Class::Call, lot),
        };
        self.now += if verdict == Verdict::Admit { SERVE } else { SHED };
        self.served += u32::from(verdict == Verdict::Admit);
        self.over[call] |= verdict == Verdict::Admit || self.tells && verdict == Verdict::Refuse;
    }

    /// So many new calls a second come for so long; calls served in a second of it.
    fn run(&mut self, rate: u64, seconds: u64) -> f64 {
        let (end, served) = (self.now + seconds * 1_000_000, self.served);
        while self.now < end {
            self.arrive(rate);
            let batch: Vec<_> = self.queue.drain(..self.queue.len().min(8)).collect();
            let Some(first) = batch.first() else {
                let repeated = self.repetitions.first_key_value().map(|((at, _), _)| *at);
                self.now = repeated.map_or(self.next, |at| at.min(self.next));
                continue;
            };
            let oldest = Duration::from_micros(self.now - first.since);
            let lost = core::mem::take(&mut self.lost);
            let queue = Queue { oldest, taken: batch.len() as u32, lost };
            self.throttle.look(Instant::from_micros(self.now), queue);
            batch.into_iter().for_each(|waiting| self.serve(waiting));
        }
        f64::from(self.served - served) / seconds as f64
    }
}

#[test]
fn what_is_served_does_not_fall_with_what_is_asked_for() {
    // To hear a request and turn it away takes 10 µs here, so that the most that can be served is
    // 99, 96 and 91 percent; with repetitions of whoever is told nothing, less.
    for (tells, rate, least) in [
        (true, 900, 895.0),
        (true, 2_000, 980.0),
        (true, 5_000, 940.0),
        (true, 10_000, 870.0),
        (false, 900, 895.0),
        (false, 2_000, 920.0),
        (false, 5_000, 720.0),
    ] {
        let mut world = World { tells, ..World::default() };
        world.run(rate, 5);
        let served = world.run(rate, 20);
        assert!(served >= least, "{tells} {rate}: {served}");
        world.run(800, 4);
        let after = world.run(800, 4);
        let recovered = if tells { 0.99 } else { 0.9 };
        assert!(after >= 800.0 * recovered, "{tells} {rate}, afterwards: {after}");
    }
}

#[test]
fn a_burst_is_served() {
    let mut throttle = Throttle::default();
    for ms in (0..1_000).step_by(20) {
        // Every tenth of a second, one batch finds that nothing waits.
        let oldest = Duration::from_millis(if ms % 100 == 0 { 0 } else { 90 });
        throttle.look(Instant::from_millis(ms), Queue { oldest, taken: 64, lost: 0 });
        assert!(throttle.is_open(), "after {ms} ms");
    }
}

/// A throttle that let in `open` of this mix in the interval before.
fn sharing(open: f64, mix: [f64; CLASSES]) -> Throttle {
    let mut throttle = Throttle { open, mix, ..Throttle::default() };
    throttle.share_out();
    throttle
}

#[test]
fn classes_share_by_what_they_are_worth() {
    // Work: 120 for refreshes, 600 for calls, 80 for first registrations, 20 for the rest.
    let mix = [50.0, 60.0, 100.0, 40.0, 20.0];
    for (open, shed) in [
        (1.0, [0, 0, 0, 0, 0]),
        (0.98, [0, 0, 0, 0, 82]),
        (0.89, [0, 0, 0, 88, 100]),
        (0.85, [0, 19, 0, 100, 100]),
        (0.6, [0, 59, 26, 100, 100]),
        (0.1, [0, 93, 88, 100, 100]),
    ] {
        let throttle = sharing(open, mix);
        let found = Class::ALL.map(|class| (100.0 * throttle.shed(class)).round_ties_even() as u32);
        assert_eq!(found, shed, "{open}");
    }
    assert_eq!(sharing(0.6, mix).percent(), 45);
    assert_eq!([sharing(1.0, mix).percent(), sharing(0.5, [0.0; CLASSES]).percent()], [0, 0]);
}

#[test]
fn what_becomes_of_a_message() {
    use Class::{Call, Going, Rest};
    let mut throttle = sharing(0.5, [0.0, 0.0, 100.0, 0.0, 100.0]);
    let old = limits::OVERLOAD_OLD.as_millis();
    let low = u32::MAX / 4;
    for (waited, class, lot, verdict) in [
        (0, Going, 0, Verdict::Admit),
        (32_000, Going, 0, Verdict::Admit),
        (0, Call, u32::MAX, Verdict::Admit),
        (old, Call, u32::MAX, Verdict::Admit),
        (old + 1, Call, u32::MAX, Verdict::Ignore),
        (0, Call, low, Verdict::Refuse),
        (old + 1, Call, low, Verdict::Refuse),
        (0, Rest, u32::MAX, Verdict::Refuse),
    ] {
        let when = (Instant::from_secs(40), Duration::from_millis(waited));
        assert_eq!(throttle.judge(when, class, lot), verdict, "{waited} {class:?} {lot}");
    }
    let mut open = Throttle::default();
    let when = (Instant::from_secs(40), Duration::from_millis(old + 1));
    assert_eq!(open.judge(when, Rest, 0), Verdict::Admit, "nothing is shed, so nothing is old");
}
