//! What passed lately, up to so many bytes and for so long.
//!
//! The room is divided into parts, so that threads seldom meet, and each part into two shares:
//! phones that register again and again do not push out calls.

use super::{Record, Way};
use crate::limits;
use foldhash::quality::RandomState;
use ringway_core::flow::Flow;
use ringway_core::time::Instant;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Parts, each behind a lock: far more than threads that use it in the same microsecond.
const PARTS: usize = 16;
/// Of the room of a part so many quarters are for calls.
const CALLS: usize = 3;
/// Messages of which a part remembers that they passed, in so many places …
const PLACES: usize = 1_024;
/// … of so many each: those of some seconds under load.
const PER_PLACE: usize = 4;
/// Bytes that a message costs besides its own.
const OVERHEAD: usize = size_of::<Kept>() + 32;

#[derive(Debug)]
pub(super) struct Ring {
    parts: Vec<Mutex<Part>>,
    /// Bytes for each part.
    room: usize,
    keep_us: u64,
    /// Random, so that nobody can make messages that look alike.
    hasher: RandomState,
    /// When old messages were last forgotten, in microseconds.
    expired: AtomicU64,
}

#[derive(Debug, Default)]
struct Part {
    calls: Share,
    others: Share,
    /// Hash and number of messages, each at the place that its hash says, the newest first.
    seen: Vec<[(u64, u64); PER_PLACE]>,
}

#[derive(Debug, Default)]
struct Share {
    kept: VecDeque<Kept>,
    bytes: usize,
}

/// A message, or a repetition of one.
#[derive(Debug)]
struct Kept {
    record: Record,
    /// The number of the first one; its bytes are not kept again.
    repeats: Option<u64>,
}

impl Kept {
    fn cost(&self) -> usize {
        self.record.bytes.len() + OVERHEAD
    }
}

impl Ring {
    pub(super) fn new(bytes: usize, keep: Duration) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            room: bytes / PARTS,
            keep_us: keep.as_micros() as u64,
            hasher: RandomState::default(),
            expired: AtomicU64::new(0),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.room > 0
    }

    fn part(&self, partition: u32) -> MutexGuard<'_, Part> {
        let part = &self.parts[partition as usize % PARTS];
        // Nothing that can panic runs under this lock.
        part.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a message; tells whether the same one passed the same way before.
    pub(super) fn note(
        &self,
        partition: u32,
        (number, at): (u64, Instant),
        (way, flow): (Way, Flow),
        bytes: &[u8],
    ) -> bool {
        let hash = self.hasher.hash_one((way, flow.remote, bytes));
        let is_call = is_call(bytes);
        let copy: Arc<[u8]> = if self.is_on() { bytes.into() } else { Arc::default() };
        let mut part = self.part(partition);
        let first = part.first_of(hash, number);
        if !self.is_on() {
            return first.is_some();
        }
        let room = if is_call { self.room * CALLS / 4 } else { self.room - self.room * CALLS / 4 };
        let share = if is_call { &mut part.calls } else { &mut part.others };
        let oldest = share.kept.front().map_or(number, |kept| kept.record.number);
        // One that is forgotten already is kept again.
        let repeats = first.filter(|first| *first >= oldest);
        let bytes = if repeats.is_some() { Arc::default() } else { copy };
        let record = Record { number, at, way, flow, again: first.is_some(), bytes };
        share.push(Kept { record, repeats }, room);
        share.forget(at.as_micros().saturating_sub(self.keep_us));
        first.is_some()
    }

    /// All that is kept, oldest first.
    pub(super) fn read(&self, now: Instant) -> Vec<Record> {
        let mut records = Vec::new();
        let since = now.as_micros().saturating_sub(self.keep_us);
        for part in 0..PARTS {
            let mut part = self.part(part as u32);
            let Part { calls, others, .. } = &mut *part;
            for share in [calls, others] {
                share.forget(since);
                share.read(&mut records);
            }
        }
        records.sort_by_key(|record| (record.at, record.number));
        records
    }

    /// Forgets what is too old; looks at it at intervals only.
    pub(super) fn expire(&self, now: Instant) {
        let (now, interval) = (now.as_micros(), limits::TRACE_EXPIRE.as_micros() as u64);
        let before = self.expired.load(Ordering::Relaxed);
        let is_due = self.is_on() && now >= before.saturating_add(interval);
        let mine = || {
            let (set, read) = (Ordering::Relaxed, Ordering::Relaxed);
            self.expired.compare_exchange(before, now, set, read).is_ok()
        };
        if is_due && mine() {
            for part in 0..PARTS {
                let mut part = self.part(part as u32);
                part.calls.forget(now.saturating_sub(self.keep_us));
                part.others.forget(now.saturating_sub(self.keep_us));
            }
        }
    }
}

impl Part {
    /// The number under which this message passed first, if it did; else it is noted as the first
    /// one.
    fn first_of(&mut self, hash: u64, number: u64) -> Option<u64> {
        if self.seen.is_empty() {
            self.seen.resize(PLACES, [(0, 0); PER_PLACE]);
        }
        let place = &mut self.seen[hash as usize % PLACES];
        let known = place.iter().find(|(same, first)| *same == hash && *first > 0);
        if let Some((_, first)) = known {
            return Some(*first);
        }
        place.rotate_right(1);
        place[0] = (hash, number);
        None
    }
}

impl Share {
    fn push(&mut self, kept: Kept, room: usize) {
        self.bytes += kept.cost();
        self.kept.push_back(kept);
        while self.bytes > room {
            self.drop_oldest();
        }
    }

    /// Forgets what is older than this.
    fn forget(&mut self, since_us: u64) {
        while self.kept.front().is_some_and(|kept| kept.record.at.as_micros() < since_us) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        match self.kept.pop_front() {
            Some(kept) => self.bytes -= kept.cost(),
            None => self.bytes = 0,
        }
    }

    /// Copies what is kept; repetitions get the bytes of the first one.
    fn read(&self, records: &mut Vec<Record>) {
        let repeated: Vec<u64> = self.kept.iter().filter_map(|kept| kept.repeats).collect();
        let mut firsts: HashMap<u64, Arc<[u8]>> = HashMap::with_capacity(repeated.len());
        if !repeated.is_empty() {
            firsts.extend(repeated.iter().map(|number| (*number, Arc::default())));
            for Kept { record, .. } in &self.kept {
                if let Some(bytes) = firsts.get_mut(&record.number) {
                    *bytes = Arc::clone(&record.bytes);
                }
            }
        }
        for Kept { record, repeats } in &self.kept {
            let mut record = record.clone();
            if let Some(bytes) = repeats.and_then(|first| firsts.get(&first)) {
                record.bytes = Arc::clone(bytes);
            }
            // The first one may be gone.
            if !record.bytes.is_empty() {
                records.push(record);
            }
        }
    }
}

/// Whether a message is about a call, or at least about neither a registration nor a ping. It is
/// a quick look: who is mistaken for the other only has another share of the room.
fn is_call(bytes: &[u8]) -> bool {
    let others = [&b"REGISTER"[..], b"OPTIONS"];
    if !bytes.starts_with(b"SIP/") {
        return !others.iter().any(|method| bytes.starts_with(method));
    }
    let mut lines = bytes.split(|&b| b == b'\n').skip(1).take(limits::TRACE_LINES);
    let cseq = lines.find(|line| line.get(..4).is_some_and(|n| n.eq_ignore_ascii_case(b"cseq")));
    let cseq = cseq.unwrap_or_default().trim_ascii_end();
    !others.iter().any(|method| cseq.ends_with(method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::flow::{CertifiedName, ConnectionId, SocketId, Transport};

    fn flow(port: u16) -> Flow {
        Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: ([192, 0, 2, 1], port).into(),
            certified: CertifiedName::NONE,
        }
    }

    fn note(ring: &Ring, number: u64, at_s: u64, text: &str) -> bool {
        let at = Instant::from_secs(at_s);
        ring.note(0, (number, at), (Way::In, flow(1)), text.as_bytes())
    }

    fn numbers(ring: &Ring, now_s: u64) -> Vec<u64> {
        let records = ring.read(Instant::from_secs(now_s));
        records.iter().map(|record| record.number).collect()
    }

    fn bytes(ring: &Ring) -> usize {
        ring.parts
            .iter()
            .map(|p| p.lock().expect("no panic"))
            .map(|p| p.calls.bytes + p.others.bytes)
            .sum()
    }

    #[test]
    fn the_room_and_the_time_are_bounded() {
        let ring = Ring::new(PARTS * 64 * 1_024, Duration::from_secs(900));
        for number in 1..=2_000 {
            note(&ring, number, number, &format!("INVITE {number} {}", "x".repeat(700)));
            assert!(bytes(&ring) <= 48 * 1_024, "three quarters of a part");
        }
        let kept = numbers(&ring, 2_000);
        assert!((50..70).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last(), Some(&2_000), "the newest are there");
        // Nothing comes any more, and yet all is forgotten.
        ring.expire(Instant::from_secs(2_000 + 901));
        assert_eq!(bytes(&ring), 0);
        assert!(numbers(&ring, 2_000 + 901).is_empty());
        // One that is larger than the room is not kept, and leaves none for others.
        note(&ring, 3_000, 3_000, &"INVITE".repeat(50_000));
        assert_eq!((bytes(&ring), numbers(&ring, 3_000)), (0, vec![]));
    }

    #[test]
    fn registrations_do_not_push_out_calls() {
        let ring = Ring::new(PARTS * 64 * 1_024, Duration::from_secs(900));
        note(&ring, 1, 1, "INVITE sip:bob@example.org SIP/2.0");
        note(&ring, 2, 1, "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n");
        for number in 3..2_000 {
            note(&ring, number, 1, &format!("REGISTER {number} {}", "x".repeat(700)));
            let answer = format!("SIP/2.0 200 {number}\r\nX: y\r\ncseq : 1 REGISTER \r\n");
            note(&ring, number + 10_000, 1, &answer);
        }
        assert_eq!(numbers(&ring, 1)[..2], [1, 2]);
    }

    #[test]
    fn a_repetition_is_counted_and_not_kept_twice() {
        let ring = Ring::new(PARTS << 20, Duration::from_secs(900));
        let text = format!("INVITE {}", "x".repeat(5_000));
        assert!(!note(&ring, 1, 1, &text));
        let once = bytes(&ring);
        assert!(note(&ring, 2, 2, &text) && note(&ring, 3, 3, &text));
        assert!(bytes(&ring) < once + 2 * 512);
        let at = Instant::from_secs(3);
        let other_way = ring.note(0, (4, at), (Way::Out, flow(1)), text.as_bytes());
        let other_host = ring.note(0, (5, at), (Way::In, flow(2)), text.as_bytes());
        assert!(!other_way && !other_host, "the same text elsewhere is another message");
        let records = ring.read(at);
        let again: Vec<_> = records.iter().map(|record| (record.number, record.again)).collect();
        assert_eq!(again, [(1, false), (2, true), (3, true), (4, false), (5, false)]);
        assert!(records.iter().all(|record| *record.bytes == *text.as_bytes()));
    }

    #[test]
    fn without_room_nothing_is_kept_and_repetitions_are_known() {
        let ring = Ring::new(0, Duration::from_secs(900));
        assert!(!ring.is_on());
        assert!(!note(&ring, 1, 1, "INVITE"));
        assert!(note(&ring, 2, 1, "INVITE"));
        assert!(numbers(&ring, 1).is_empty());
    }
}
