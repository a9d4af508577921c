//! Targets that did not serve lately (RFC 3263 §4.3): others are tried first.

use crate::flow::{Flow, Transport};
use crate::limits;
use crate::time::{Duration, Instant};
use alloc::vec::Vec;
use core::net::SocketAddr;
use hashbrown::HashMap;

/// Which ones, and until when. Nothing is refused because of it: where there is no other, they
/// are tried all the same.
#[derive(Debug, Default)]
pub struct Avoided {
    until: HashMap<(Transport, SocketAddr), Instant, foldhash::fast::FixedState>,
}

impl Avoided {
    /// One has failed. `retry_after_s`: what it said itself.
    //= RFC 3261 21.5.4
    // "SHOULD NOT forward any other requests to that server for the duration"
    pub fn note(&mut self, now: Instant, flow: &Flow, retry_after_s: Option<u32>) {
        let usual = limits::AVOIDED;
        let asked = retry_after_s.map(|s| Duration::from_secs(u64::from(s)));
        let time = asked.map_or(usual, |asked| asked.min(limits::AVOIDED_MAX));
        let key = (flow.transport, flow.remote);
        if self.until.len() >= limits::AVOIDED_TARGETS && !self.until.contains_key(&key) {
            self.until.retain(|_, until| *until > now);
            if self.until.len() >= limits::AVOIDED_TARGETS {
                return;
            }
        }
        self.until.insert(key, now + time);
    }

    /// Puts those that failed lately behind the others, and keeps the order otherwise.
    pub fn put_last(&self, now: Instant, flows: &mut [Flow]) {
        if !self.until.is_empty() {
            flows.sort_by_key(|flow| self.is_avoided(now, flow));
        }
    }

    /// Whether one failed lately.
    pub fn is_avoided(&self, now: Instant, flow: &Flow) -> bool {
        self.until.get(&(flow.transport, flow.remote)).is_some_and(|until| *until > now)
    }

    /// Which ones failed lately, in order.
    pub fn list(&self, now: Instant) -> Vec<(Transport, SocketAddr)> {
        let failed = self.until.iter().filter(|(_, until)| **until > now);
        let mut list: Vec<_> = failed.map(|(target, _)| *target).collect();
        list.sort();
        list
    }
}
