//! How much is let in: one number that follows from how long messages wait.

use crate::limits;
use crate::overload::class::{CLASSES, Class};
use crate::overload::doubt::Doubt;
use crate::overload::lot;
use crate::time::{Duration, Instant};

/// What becomes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is served.
    Admit,
    /// It is turned away, and whoever sent it may be told.
    Refuse,
    /// It is dropped: whoever sent it sends it again, or has given up.
    Ignore,
}

/// What a batch of messages says of the queue that it was taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Queue {
    /// How long its oldest message has waited; nothing, if there was none.
    pub oldest: Duration,
    /// How many were taken.
    pub taken: u32,
    /// How many the queue had no room for since the batch before.
    pub lost: u32,
}

/// What one queue lets in.
///
/// The shortest wait of an interval counts, for a burst passes and a queue that stands does not. It
/// steers which part of the offered work is let in: that falls as long as messages wait for longer
/// than they should, or wait longer and longer, and rises again.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// The part of the work that is let in, of all that may be shed.
    open: f64,
    /// The interval that runs.
    began: Instant,
    least: Option<Duration>,
    taken: u32,
    lost: u32,
    offered: [u32; CLASSES],
    /// The shortest wait of the one before, in seconds.
    before: f64,
    /// Intervals in a row at whose best moment nothing waited.
    calm: u32,
    /// Messages of each class in an interval, over the last ones.
    mix: [f64; CLASSES],
    /// The part of each class that is shed.
    shed: [f64; CLASSES],
    doubt: Doubt,
}

impl Default for Throttle {
    fn default() -> Self {
        Self {
            open: 1.0,
            began: Instant::default(),
            least: None,
            taken: 0,
            lost: 0,
            offered: [0; CLASSES],
            before: 0.0,
            calm: 0,
            mix: [0.0; CLASSES],
            shed: [0.0; CLASSES],
            doubt: Doubt::default(),
        }
    }
}

impl Throttle {
    /// A batch was taken from the queue. Tells whether an interval has ended, so that what is
    /// shed has changed.
    pub fn look(&mut self, now: Instant, queue: Queue) -> bool {
        let oldest = queue.oldest;
        let ends = self.is_over(now, oldest);
        if ends {
            self.close(now);
            self.began = now;
        }
        self.least = Some(self.least.map_or(oldest, |least| least.at_most(oldest)));
        self.taken = self.taken.saturating_add(queue.taken);
        self.lost = self.lost.saturating_add(queue.lost);
        ends
    }

    /// What waits for so long is no burst, and is looked at twice as often.
    fn is_over(&self, now: Instant, oldest: Duration) -> bool {
        let long = limits::OVERLOAD_TARGET.times(3);
        let interval = limits::OVERLOAD_INTERVAL;
        let stands = oldest > long && self.least.is_some_and(|least| least > long);
        now.since(self.began).times(if stands { 2 } else { 1 }) >= interval
    }

    /// Whether all is let in, so that nobody has to look at messages.
    pub fn is_open(&self) -> bool {
        self.open >= 1.0 && !self.doubt.is_any()
    }

    /// What becomes of a request that has waited for so long and has drawn this lot. Whoever
    /// repeats a request draws the same lot, so that no repetition gets through by luck.
    pub fn judge(&mut self, (now, waited): (Instant, Duration), class: Class, lot: u32) -> Verdict {
        let verdict = if class == Class::Going || self.is_open() {
            Verdict::Admit
        } else if lot::share(lot) < self.shed(class) {
            Verdict::Refuse
        } else if waited > limits::OVERLOAD_OLD || !self.doubt.is_fresh(now, class, lot) {
            // Whoever sent it has sent it again, or has given up.
            Verdict::Ignore
        } else {
            Verdict::Admit
        };
        if verdict != Verdict::Ignore {
            let offered = &mut self.offered[class as usize];
            *offered = offered.saturating_add(1);
        }
        verdict
    }

    /// The part of all requests that is turned away, in percent: what peers are asked to hold
    /// back (RFC 7339 §5.3).
    pub fn percent(&self) -> u8 {
        let (mut all, mut shed) = (0.0, 0.0);
        for (messages, part) in self.mix.iter().zip(&self.shed) {
            all += messages;
            shed += messages * part;
        }
        if all > 0.0 { (100.0 * shed / all + 0.5) as u8 } else { 0 }
    }

    /// The part of a class that is shed, of 1.
    pub fn shed(&self, class: Class) -> f64 {
        self.shed[class as usize]
    }

    /// An interval is over.
    fn close(&mut self, now: Instant) {
        let least = self.least.take().unwrap_or_default();
        let step = self.step(least.as_micros() as f64 / 1e6);
        self.open = (self.open * (1.0 - step)).clamp(limits::OVERLOAD_LEAST_OPEN, 1.0);
        for (place, offered) in self.offered.iter_mut().enumerate() {
            let offered = f64::from(core::mem::take(offered));
            self.mix[place] = (self.mix[place] + offered) / 2.0;
        }
        self.share_out();
        self.doubt.note(now, &self.shed);
    }

    /// By which part less is let in from now on; by which part more, if negative.
    fn step(&mut self, least: f64) -> f64 {
        let (taken, lost) = (core::mem::take(&mut self.taken), core::mem::take(&mut self.lost));
        let lost = f64::from(lost) / f64::from(taken.saturating_add(lost).max(1));
        let grown = least - core::mem::replace(&mut self.before, least);
        if lost > LOST_FROM {
            self.calm = 0;
            return lost.min(FALL_MOST);
        }
        if least < IDLE {
            // The longer nothing waits, the faster it opens: a moment without a queue is what
            // steering around the target brings, and a second of it is the end of the overload.
            self.calm = (self.calm + 1).min(8);
            let most = if self.doubt.is_any() { DOUBT_MOST } else { CALM_MOST };
            return -(CALM * f64::from(1 << (self.calm - 1))).min(most);
        }
        self.calm = 0;
        let target = limits::OVERLOAD_TARGET.as_micros() as f64 / 1e6;
        let step = PER_EXCESS * (least - target) + PER_CHANGE * grown;
        step.clamp(-CALM_MOST, FALL_MOST)
    }

    /// Shares what is let in among the classes. A tenth is kept for registrations of those we know,
    /// or calls would leave nobody whom they could reach; otherwise calls come first, then all
    /// registrations, then the rest.
    fn share_out(&mut self) {
        let work = Class::ALL.map(|class| match class {
            Class::Going => 0.0,
            _ => self.mix[class as usize] * class.work(),
        });
        let mut left = self.open * work.iter().sum::<f64>();
        let kept = (left * REFRESHES).min(work[Class::Refresh as usize]);
        left -= kept;
        let mut granted = [0.0; CLASSES];
        granted[Class::Refresh as usize] = kept;
        for class in [Class::Call, Class::Refresh, Class::Begin, Class::Rest] {
            let place = class as usize;
            let more = (work[place] - granted[place]).min(left);
            granted[place] += more;
            left -= more;
        }
        for (place, shed) in self.shed.iter_mut().enumerate() {
            let is_shed = self.open < 1.0 && work[place] > 0.0;
            *shed = if is_shed { (1.0 - granted[place] / work[place]).max(0.0) } else { 0.0 };
        }
    }
}

/// Waits shorter than this, in seconds, are no queue: it is how long a batch takes.
const IDLE: f64 = 0.005;
/// The part that is let in rises by this much in the first interval without a queue …
const CALM: f64 = 0.04;
/// … and by twice as much in each one that follows, up to this.
const CALM_MOST: f64 = 0.3;
/// The same while it shows only half a second later what was let in ([`Doubt`]).
const DOUBT_MOST: f64 = 0.1;
/// How much less is let in for each second above the target, and for each second by which the wait
/// has grown. The queue is the integral of what is let in, so the second one is what keeps both
/// from swinging: with an interval of 0.1 s the two make a loop that settles within a second,
/// damped by 0.7.
const PER_EXCESS: f64 = 0.9;
const PER_CHANGE: f64 = 4.2;
/// The most that the part that is let in falls in an interval.
const FALL_MOST: f64 = 0.7;
/// A queue that loses less than this part is only short.
const LOST_FROM: f64 = 0.02;
/// The part of the work that is kept for registrations of those we know.
const REFRESHES: f64 = 0.1;

#[cfg(test)]
mod tests;
