//! The calls that pass through this partition, for the live view and the call records.

use crate::boundary::{CallChange, CallEnd, Event, Outbox};
use crate::keys::Keys;
use crate::limits;
use crate::node::Timer;
use crate::status;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};
use alloc::boxed::Box;
use alloc::vec::Vec;
use hashbrown::HashMap;
use ringway_wire::Message;

/// A call as seen from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number in this partition.
    pub id: u64,
    /// Call-ID.
    pub call_id: Box<[u8]>,
    /// The caller's URI, from the From header.
    pub from: Box<[u8]>,
    /// The URI that was called.
    pub to: Box<[u8]>,
    /// How far it is.
    pub state: CallState,
    /// When the INVITE came.
    pub started: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallState {
    /// Nobody rings yet.
    Trying,
    /// Somebody rings.
    Ringing,
    /// People talk.
    Answered,
}

/// The key of a call: its Call-ID and the caller's tag, hashed with our key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CallKey(u64);

impl CallKey {
    fn new(keys: &Keys, call_id: &[u8], caller_tag: &[u8]) -> Self {
        Self(keys.hash64(b"call", &[call_id, caller_tag]))
    }

    /// The key of the call that an INVITE begins.
    pub(crate) fn of_invite(keys: &Keys, invite: &Message<'_>) -> Self {
        let tag = invite.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        Self::new(keys, invite.call_id(), tag)
    }
}

/// All calls of a partition.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: HashMap<u64, Entry, foldhash::fast::FixedState>,
    last_id: u64,
}

#[derive(Debug)]
struct Entry {
    call: Call,
    /// When it is taken for over; stopped with the call, or hours of ended calls would wait.
    silence: TimerId,
}

impl Calls {
    /// Notes a new call; at the limit it is simply not shown.
    pub(crate) fn start(
        &mut self,
        (now, key): (Instant, CallKey),
        invite: &Message<'_>,
        timers: &mut Wheel<Timer>,
        out: &mut Outbox,
    ) -> bool {
        if self.calls.len() >= limits::CALLS || self.calls.contains_key(&key.0) {
            return false;
        }
        self.last_id += 1;
        let from = invite.from().map_or(&b""[..], |from| from.uri);
        let call = Call {
            id: self.last_id,
            call_id: invite.call_id().into(),
            from: from.into(),
            to: invite.request_uri().into(),
            state: CallState::Trying,
            started: now,
            answered: None,
        };
        let change = CallChange::Started {
            call_id: call.call_id.clone(),
            from: call.from.clone(),
            to: call.to.clone(),
        };
        out.event(Event::Call { call: call.id, change });
        let silence = timers.schedule(now + limits::CALL_SILENCE, Timer::CallSilence(key));
        self.calls.insert(key.0, Entry { call, silence });
        true
    }

    /// Notes a response to the INVITE that goes to the caller.
    pub(crate) fn responded(
        &mut self,
        now: Instant,
        (key, status): (CallKey, u16),
        timers: &mut Wheel<Timer>,
        out: &mut Outbox,
    ) {
        let Some(Entry { call, .. }) = self.calls.get_mut(&key.0) else { return };
        if call.state == CallState::Answered {
            return;
        }
        let id = call.id;
        match status {
            0..=100 => {}
            101..=199 => {
                if call.state == CallState::Trying {
                    call.state = CallState::Ringing;
                    out.event(Event::Call { call: id, change: CallChange::Ringing });
                }
            }
            200..=299 => {
                call.state = CallState::Answered;
                call.answered = Some(now);
                out.event(Event::Call { call: id, change: CallChange::Answered });
            }
            status::REQUEST_TERMINATED => self.end(key, CallEnd::Cancelled, timers, out),
            failed => self.end(key, CallEnd::Failed(failed), timers, out),
        }
    }

    /// Notes a BYE that passes.
    pub(crate) fn bye(
        &mut self,
        keys: &Keys,
        bye: &Message<'_>,
        timers: &mut Wheel<Timer>,
        out: &mut Outbox,
    ) {
        let tag_of = |party: Option<&[u8]>| party.map(|tag| CallKey::new(keys, bye.call_id(), tag));
        let from = tag_of(bye.from().ok().and_then(|a| a.tag()));
        let to = tag_of(bye.to().ok().and_then(|a| a.tag()));
        for (key, end) in [(from, CallEnd::ByCaller), (to, CallEnd::ByCallee)] {
            if let Some(key) = key {
                self.end(key, end, timers, out);
            }
        }
    }

    /// Takes a call of which nothing was heard for too long for over.
    pub(crate) fn forget(&mut self, key: CallKey, timers: &mut Wheel<Timer>, out: &mut Outbox) {
        self.end(key, CallEnd::Forgotten, timers, out);
    }

    fn end(&mut self, key: CallKey, end: CallEnd, timers: &mut Wheel<Timer>, out: &mut Outbox) {
        if let Some(Entry { call, silence }) = self.calls.remove(&key.0) {
            timers.cancel(silence);
            out.event(Event::Call { call: call.id, change: CallChange::Ended { end } });
        }
    }

    /// All calls, oldest first.
    pub(crate) fn sorted(&self) -> Vec<&Call> {
        let mut all: Vec<_> = self.calls.values().map(|entry| &entry.call).collect();
        all.sort_by_key(|call| call.id);
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }
}
