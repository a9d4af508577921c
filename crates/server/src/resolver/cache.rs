//! What the name service said, and for how long it counts: answers, that there is nothing, and
//! that nobody answered. What is too old is kept for when nobody does (RFC 8767).

use crate::limits;
use ringway_core::locate::{Query, Records};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is known, bounded.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: HashMap<Query, Entry>,
    room: usize,
}

#[derive(Debug)]
struct Entry {
    /// The last answer, and until when it is good.
    answer: Option<(Records, Instant)>,
    /// Nobody answered; until then nobody is asked again.
    silent_until: Option<Instant>,
    /// When it was last of use.
    used: Instant,
}

/// What the cache has on a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// An answer that counts.
    Fresh(Records),
    /// Nobody answered a moment ago: what was said before, if anything was.
    Silent(Option<Records>),
    /// It must be asked.
    Unknown,
}

impl Cache {
    pub(crate) fn new(room: usize) -> Self {
        Self { entries: HashMap::new(), room }
    }

    pub(crate) fn find(&mut self, query: &Query, now: Instant) -> Known {
        let Some(entry) = self.entries.get_mut(query) else { return Known::Unknown };
        entry.used = now;
        match &entry.answer {
            Some((records, until)) if *until > now => Known::Fresh(records.clone()),
            _ if entry.silent_until.is_some_and(|until| until > now) => {
                Known::Silent(entry.stale(now))
            }
            _ => Known::Unknown,
        }
    }

    /// The last answer however old, as far as it is of any use.
    pub(crate) fn stale(&self, query: &Query, now: Instant) -> Option<Records> {
        self.entries.get(query)?.stale(now)
    }

    /// An answer came, good for `ttl`.
    pub(crate) fn answered(&mut self, now: Instant, query: Query, records: Records, ttl: Duration) {
        let most = match records {
            Records::Nothing => limits::DNS_NEGATIVE_TTL_MAX,
            _ => limits::DNS_TTL_MAX,
        };
        let until = now + ttl.clamp(limits::DNS_TTL_MIN, most);
        self.make_room(&query);
        let entry = Entry { answer: Some((records, until)), silent_until: None, used: now };
        self.entries.insert(query, entry);
    }

    /// Nobody answered.
    pub(crate) fn was_silent(&mut self, now: Instant, query: &Query) {
        let silent_until = Some(now + limits::DNS_SILENCE);
        match self.entries.get_mut(query) {
            Some(entry) => entry.silent_until = silent_until,
            None => {
                self.make_room(query);
                let entry = Entry { answer: None, silent_until, used: now };
                self.entries.insert(query.clone(), entry);
            }
        }
    }

    /// Somebody waited in vain, and the question is still open. Where an older answer will do, the
    /// next one need not wait as well.
    pub(crate) fn is_slow(&mut self, now: Instant, query: &Query) {
        if self.stale(query, now).is_some() {
            self.was_silent(now, query);
        }
    }

    /// Takes out a tenth of what is of least use: names that lead nowhere before others, and of
    /// the same kind what was not asked for longest.
    fn make_room(&mut self, query: &Query) {
        if self.entries.len() < self.room || self.entries.contains_key(query) {
            return;
        }
        let mut uses: Vec<_> = self.entries.values().map(Entry::use_of).collect();
        let (_, &mut last, _) = uses.select_nth_unstable(self.room / 10);
        self.entries.retain(|_, entry| entry.use_of() > last);
    }
}

impl Entry {
    fn stale(&self, now: Instant) -> Option<Records> {
        let (records, until) = self.answer.as_ref()?;
        (*until + limits::DNS_STALE > now).then(|| records.clone())
    }

    fn use_of(&self) -> (bool, Instant) {
        let leads = self.answer.as_ref().is_some_and(|(said, _)| *said != Records::Nothing);
        (leads, self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::locate::Kind;

    fn query(n: usize) -> Query {
        Query { name: format!("h{n}.example").into(), kind: Kind::A }
    }

    fn address(n: u8) -> Records {
        Records::Addresses(vec![[192, 0, 2, n].into()])
    }

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_counts_for_its_time_and_helps_out_for_a_day() {
        let (mut cache, start) = (Cache::new(8), Instant::now());
        assert_eq!(cache.find(&query(1), start), Known::Unknown);
        cache.answered(start, query(1), address(1), 60 * S);
        assert_eq!(cache.find(&query(1), start + 59 * S), Known::Fresh(address(1)));
        let late = start + 61 * S;
        assert_eq!(cache.find(&query(1), late), Known::Unknown);
        cache.was_silent(late, &query(1));
        assert_eq!(cache.find(&query(1), late), Known::Silent(Some(address(1))));
        let again = late + limits::DNS_SILENCE;
        assert_eq!(cache.find(&query(1), again), Known::Unknown, "it is asked again");
        assert_eq!(cache.stale(&query(1), again), Some(address(1)));
        let next_day = start + 60 * S + limits::DNS_STALE;
        assert_eq!(cache.stale(&query(1), next_day), None);
        cache.was_silent(next_day, &query(1));
        assert_eq!(cache.find(&query(1), next_day), Known::Silent(None));
        cache.answered(next_day, query(1), address(2), S);
        assert_eq!(cache.find(&query(1), next_day), Known::Fresh(address(2)));
    }

    // A zone that says 0 or a hundred years is held to what is sensible.
    #[test]
    fn times_are_bounded() {
        let (mut cache, start) = (Cache::new(8), Instant::now());
        let century = 3_000_000_000 * S;
        for (records, ttl, good, over) in [
            (address(1), Duration::ZERO, limits::DNS_TTL_MIN / 2, limits::DNS_TTL_MIN),
            (address(1), century, limits::DNS_TTL_MAX - S, limits::DNS_TTL_MAX),
            (Records::Nothing, century, limits::DNS_TTL_MIN, limits::DNS_NEGATIVE_TTL_MAX),
        ] {
            cache.answered(start, query(1), records.clone(), ttl);
            assert_eq!(cache.find(&query(1), start + good), Known::Fresh(records), "{ttl:?}");
            assert_eq!(cache.find(&query(1), start + over), Known::Unknown, "{ttl:?}");
        }
    }

    // Whoever asks for a thousand names that lead nowhere puts out none that does.
    #[test]
    fn it_is_bounded_and_lets_go_of_what_is_of_least_use() {
        let (mut cache, start) = (Cache::new(20), Instant::now());
        for n in 0..10 {
            cache.answered(start + n * S, query(n as usize), address(1), 600 * S);
        }
        for n in 0..1_000 {
            cache.was_silent(start + 20 * S, &query(10_000 + n));
            cache.answered(start + 20 * S, query(20_000 + n), Records::Nothing, 600 * S);
            assert!(cache.entries.len() <= 20);
        }
        let now = start + 30 * S;
        for n in 0..10 {
            assert_eq!(cache.find(&query(n), now), Known::Fresh(address(1)), "{n}");
        }
        // Of those that lead somewhere, what is asked for stays.
        for n in 0..100 {
            assert_eq!(cache.find(&query(3), now + n * S), Known::Fresh(address(1)));
            cache.answered(now + n * S, query(30_000 + n as usize), address(2), 600 * S);
            assert!(cache.entries.len() <= 20);
        }
        assert_eq!(cache.find(&query(4), now), Known::Unknown);
    }
}
