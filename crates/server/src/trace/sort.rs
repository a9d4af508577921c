//! Which messages somebody wants to see, and which belong together: those of one call, and those
//! of calls with an end in common (Session-ID, RFC 7989).
//!
//! A call is wanted when all that was asked for has been met by it, by one message or another.
//! What was seen of it before is shown then.

use super::Record;
use super::facts::{Facts, Uuid};
use crate::limits;
use ringway_core::time::Instant;
use ringway_wire::Index;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Something that a call must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Criterion {
    /// A Call-ID that begins so.
    Call(String),
    /// A number or user, of the caller or of who is called.
    Number(String),
    /// A message from or to this address, and this port if there is one.
    Address(IpAddr, Option<u16>),
    /// One of them all.
    Any(Vec<Self>),
}

impl Criterion {
    /// An address, with or without its port; IPv6 may stand in brackets.
    pub fn address(text: &str) -> Option<Self> {
        if let Ok(both) = text.parse::<SocketAddr>() {
            return Some(Self::Address(both.ip().to_canonical(), Some(both.port())));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let ip = bare.unwrap_or(text).parse::<IpAddr>().ok()?;
        Some(Self::Address(ip.to_canonical(), None))
    }

    /// A word that may be any of them.
    pub fn word(text: &str) -> Self {
        Self::address(text).unwrap_or_else(|| {
            Self::Any(vec![Self::Number(text.to_owned()), Self::Call(text.to_owned())])
        })
    }

    fn is_met(&self, facts: &Facts, record: &Record) -> bool {
        match self {
            Self::Call(begin) => facts.call_id.starts_with(begin.as_bytes()),
            Self::Number(number) => facts.users.iter().any(|user| is_number(user, number)),
            Self::Address(ip, port) => {
                let remote = record.flow.remote;
                remote.ip().to_canonical() == *ip && port.is_none_or(|port| port == remote.port())
            }
            Self::Any(some) => some.iter().any(|criterion| criterion.is_met(facts, record)),
        }
    }

    fn names_call(&self) -> bool {
        matches!(self, Self::Call(_))
    }
}

/// Whether `user@host` is who is looked for: the user, with the host if one was given; of a number
/// its last digits are enough, whatever stands for the country before them.
fn is_number(known: &str, wanted: &str) -> bool {
    let user = known.split('@').next().unwrap_or_default();
    let digits = |text: &str| -> String { text.chars().filter(char::is_ascii_digit).collect() };
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || "+-. ()".contains(c));
    let end = digits(wanted).trim_start_matches('0').to_owned();
    if is_number(wanted) && is_number(user) && end.len() >= limits::TRACE_NUMBER {
        return digits(user).ends_with(&end);
    }
    let whole = if wanted.contains('@') { known } else { user };
    whole.eq_ignore_ascii_case(wanted)
}

/// Sorts messages as they come.
#[derive(Debug)]
pub struct Sorter {
    criteria: Vec<Criterion>,
    /// Registrations and pings as well.
    all: bool,
    calls: HashMap<Box<[u8]>, Call>,
    ends: HashMap<Uuid, u64>,
    /// The wanted ones of the groups that calls are in.
    wanted: HashSet<u64>,
    next: u64,
    index: Index,
}

#[derive(Debug)]
struct Call {
    group: u64,
    /// A bit for each criterion that was met.
    met: u32,
    /// The number of its last message.
    last: u64,
    /// Messages that would be shown if it were wanted.
    pending: Vec<Record>,
}

/// Messages of calls that belong together, by the number of their group, in order of time.
pub type Groups = Vec<(u64, Vec<Record>)>;

impl Sorter {
    /// For calls that meet all criteria; with `all` also for registrations and pings.
    pub fn new(mut criteria: Vec<Criterion>, all: bool) -> Self {
        criteria.truncate(limits::TRACE_CRITERIA);
        Self {
            all: all || criteria.iter().any(Criterion::names_call),
            criteria,
            calls: HashMap::new(),
            ends: HashMap::new(),
            wanted: HashSet::new(),
            next: 1,
            index: Index::new(),
        }
    }

    /// Takes the next message; hands out what is to be shown because of it, each with the number
    /// of its group.
    pub fn take(&mut self, record: Record) -> Vec<(u64, Record)> {
        let Some(call_id) = self.learn(&record) else { return Vec::new() };
        let Some(call) = self.calls.get_mut(&call_id) else { return Vec::new() };
        let group = call.group;
        if call.pending.len() < limits::TRACE_PENDING {
            call.pending.push(record);
        }
        if !self.wanted.contains(&group) {
            return Vec::new();
        }
        let calls = self.calls.values_mut().filter(|call| call.group == group);
        let mut shown: Vec<_> = calls.flat_map(|call| std::mem::take(&mut call.pending)).collect();
        shown.sort_by_key(|record| record.number);
        shown.into_iter().map(|record| (group, record)).collect()
    }

    /// Only takes note of a message that was shown already, or is not to be shown.
    pub fn learn(&mut self, record: &Record) -> Option<Box<[u8]>> {
        let facts = Facts::read(&record.bytes, &mut self.index)?;
        if !self.all && !facts.is_call {
            return None;
        }
        self.make_room();
        let next = self.next;
        let call = self.calls.entry(facts.call_id.clone()).or_insert_with(|| {
            let pending = Vec::new();
            Call { group: next, met: 0, last: 0, pending }
        });
        call.last = record.number;
        for (nth, criterion) in self.criteria.iter().enumerate() {
            if call.met & 1 << nth == 0 && criterion.is_met(&facts, record) {
                call.met |= 1 << nth;
            }
        }
        let is_wanted = call.met.count_ones() as usize == self.criteria.len();
        let mut group = call.group;
        if group == next {
            self.next += 1;
        }
        for end in facts.ends {
            let other = *self.ends.entry(end).or_insert(group);
            group = self.join(group, other);
        }
        if is_wanted {
            self.wanted.insert(group);
        }
        Some(facts.call_id)
    }

    /// Two groups have an end in common: they are one.
    fn join(&mut self, one: u64, other: u64) -> u64 {
        if one == other {
            return one;
        }
        let (old, new) = (one.min(other), one.max(other));
        let calls = self.calls.values_mut().map(|call| &mut call.group);
        for group in calls.chain(self.ends.values_mut()).filter(|group| **group == new) {
            *group = old;
        }
        if self.wanted.remove(&new) {
            self.wanted.insert(old);
        }
        old
    }

    /// Forgets the calls of which nothing was heard for the longest time.
    fn make_room(&mut self) {
        if self.calls.len() < limits::TRACE_CALLS && self.ends.len() < 2 * limits::TRACE_CALLS {
            return;
        }
        let mut last: Vec<u64> = self.calls.values().map(|call| call.last).collect();
        let half = last.len() / 2;
        let (_, middle, _) = last.select_nth_unstable(half);
        let middle = *middle;
        self.calls.retain(|_, call| call.last >= middle);
        let known: HashSet<u64> = self.calls.values().map(|call| call.group).collect();
        self.ends.retain(|_, group| known.contains(group));
        self.wanted.retain(|group| known.contains(group));
    }

    /// What of the past is wanted: groups in the order in which they began.
    pub fn past(mut self, records: Vec<Record>) -> Groups {
        let call_ids: Vec<_> = records.iter().map(|record| self.learn(record)).collect();
        let mut groups: BTreeMap<u64, Vec<Record>> = BTreeMap::new();
        for (record, call_id) in records.into_iter().zip(call_ids) {
            let call = call_id.and_then(|call_id| self.calls.get(&call_id));
            if let Some(call) = call.filter(|call| self.wanted.contains(&call.group)) {
                groups.entry(call.group).or_default().push(record);
            }
        }
        let mut groups: Groups = groups.into_iter().collect();
        let began = |records: &[Record]| records.first().map_or(Instant::from_micros(0), |r| r.at);
        groups.sort_by_key(|(_, records)| began(records));
        groups
    }
}

#[cfg(test)]
mod tests;
