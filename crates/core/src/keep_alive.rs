//! Flows of datagrams that lead to phones, and what keeps them open on the way (RFC 5626 §5.4).
//!
//! Most phones keep their flow alive themselves: with STUN, which is answered, or with a few bytes
//! that mean nothing, which are not. A phone behind address translation that sends neither would
//! be lost a minute after it registered; it gets an OPTIONS now and then, and what it says to that
//! is not looked at: a phone that is silent may still ring.

use crate::arena::{Arena, Id};
use crate::binding::Binding;
use crate::boundary::{Answer, DropReason, Event, Outbox, Output};
use crate::flow::{Flow, SocketId, Transport};
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::forward::write_via;
use crate::route::ours::{Ours, address_of};
use crate::time::{Duration, Instant};
use crate::timers::TimerId;
use crate::transaction::key::ClientBranch;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ringway_wire::{Message, Method, RequestWriter, Uri, stun};

/// A datagram that says nothing but that its flow lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepAlive {
    /// Wants no answer.
    Silent,
    /// A STUN Binding request, which wants to hear from where it came.
    Stun(stun::TransactionId),
}

impl KeepAlive {
    /// What a datagram is; `None` if it is something else.
    pub fn read(datagram: &[u8]) -> Option<Self> {
        // A CRLF or two (RFC 5626 §3.5), and in practice some zeros.
        if datagram.len() <= 4 && datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Some(Self::Silent);
        }
        stun::binding_request(datagram).map(Self::Stun)
    }
}

/// A flow that leads to a phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guard {
    /// The flow.
    pub flow: Flow,
    /// A contact behind it.
    pub contact: Box<[u8]>,
    /// Until when it is registered ([`Binding::guarded_until`]).
    pub until: Instant,
    /// Whether the contact says another address than that of the flow.
    pub is_translated: bool,
    /// Whether it was known before the server started: all of those come at the same moment.
    pub is_restored: bool,
}

impl Guard {
    /// What is to be guarded of a binding; nothing of one that is reached by a stream, which keeps
    /// itself alive, or by way of other proxies.
    pub(crate) fn of(binding: &Binding, is_restored: bool) -> Option<Self> {
        let flow = binding.flow;
        if flow.transport != Transport::Udp || !binding.path.is_empty() {
            return None;
        }
        let named = match Uri::parse(&binding.contact) {
            Ok(Uri::Sip(sip)) => address_of(&sip.host)
                .map(|ip| SocketAddr::new(ip.to_canonical(), sip.port.unwrap_or(5060))),
            _ => None,
        };
        let source = SocketAddr::new(flow.remote.ip().to_canonical(), flow.remote.port());
        let (contact, until) = (binding.contact.clone(), binding.guarded_until());
        Some(Self { flow, contact, until, is_translated: named != Some(source), is_restored })
    }
}

#[derive(Debug)]
pub(crate) struct Guarded {
    guard: Guard,
    /// The last keep-alive.
    heard: Option<Instant>,
    /// Answers since this moment, so many.
    answers: (Instant, u32),
    pings: u32,
    timer: Option<TimerId>,
}

/// The flows that this partition guards.
#[derive(Debug)]
pub(crate) struct GuardedFlows {
    all: Arena<Guarded>,
    by_flow: BTreeMap<(SocketId, SocketAddr), Id<Guarded>>,
    /// At how many those that have ended are cleared away.
    sweep_at: usize,
}

/// So few are not worth a sweep.
const SWEEP_LEAST: usize = 1_024;

impl GuardedFlows {
    pub(crate) const fn new() -> Self {
        Self { all: Arena::new(), by_flow: BTreeMap::new(), sweep_at: SWEEP_LEAST }
    }

    /// Clears away what has ended, at a cost that is small for each that came since.
    fn sweep(&mut self, now: Instant) {
        if self.all.len() < self.sweep_at {
            return;
        }
        let all = &mut self.all;
        self.by_flow.retain(|_, id| {
            let stays = all.find(*id).is_some_and(|guarded| guarded.guard.until > now);
            if !stays {
                all.remove(*id);
            }
            stays
        });
        self.sweep_at = (2 * self.all.len()).max(SWEEP_LEAST);
    }
}

impl Node {
    /// Another partition has a binding over this flow.
    pub(crate) fn guard(&mut self, now: Instant, guard: Guard) -> Answer {
        self.guarded.sweep(now);
        let key = (guard.flow.socket, guard.flow.remote);
        let id = match self.guarded.by_flow.get(&key) {
            Some(&id) => {
                if let Some(known) = self.guarded.all.find_mut(id) {
                    let until = known.guard.until.max(guard.until);
                    known.guard = Guard { until, ..guard };
                }
                id
            }
            None if self.guarded.all.len() >= limits::GUARDED_FLOWS => return Answer::Failed,
            None => {
                let (heard, answers, timer) = (None, (now, 0), None);
                let id =
                    self.guarded.all.insert(Guarded { guard, heard, answers, pings: 0, timer });
                self.guarded.by_flow.insert(key, id);
                id
            }
        };
        self.plan_ping(now, id);
        Answer::Guarded
    }

    /// Sets the timer of the next OPTIONS, if there is none and one may be needed. No two phones
    /// have the same times, and after a start they begin anywhere in the interval.
    fn plan_ping(&mut self, now: Instant, id: Id<Guarded>) {
        let interval = u64::from(self.snapshot.settings.nat_ping_s) * 1_000;
        let Some(guarded) = self.guarded.all.find_mut(id) else { return };
        if guarded.timer.is_some() || !guarded.guard.is_translated || interval == 0 {
            return;
        }
        let seed = [guarded.guard.until.as_micros().to_be_bytes(), now.as_micros().to_be_bytes()];
        let chance = self.setup.keys.hash64(b"ping", &[&seed[0], &seed[1], &guarded.guard.contact]);
        let anywhere = guarded.guard.is_restored && guarded.pings == 0;
        let least = if anywhere { 0 } else { interval * 4 / 5 };
        let after = least + chance % (interval - least + 1);
        let at = now + Duration::from_millis(after);
        guarded.timer = Some(self.timers.schedule(at, Timer::Ping(id)));
    }

    /// Whether the phone has shown lately that it keeps its flow alive.
    pub(crate) fn on_ping_timer(&mut self, now: Instant, id: Id<Guarded>, out: &mut Outbox) {
        let Some(guarded) = self.guarded.all.find_mut(id) else { return };
        guarded.timer = None;
        if guarded.guard.until <= now {
            return;
        }
        guarded.pings += 1;
        let lately = |heard: Instant| now.since(heard) < limits::KEEP_ALIVE_SHOWN;
        if !guarded.heard.is_some_and(lately) {
            let (flow, contact) = (guarded.guard.flow, guarded.guard.contact.clone());
            self.ping(now, flow, &contact, out);
        }
        self.plan_ping(now, id);
    }

    /// A datagram that says that its flow lives.
    //= RFC 5626 5.4
    // "support for STUN NAT keep-alives on their SIP UDP ports as described"
    pub(crate) fn on_keep_alive(
        &mut self,
        now: Instant,
        (flow, what): (Flow, KeepAlive),
        out: &mut Outbox,
    ) {
        let id = self.guarded.by_flow.get(&(flow.socket, flow.remote)).copied();
        let guarded = id.and_then(|id| self.guarded.all.find_mut(id));
        let guarded = guarded.filter(|guarded| guarded.guard.until > now);
        let KeepAlive::Stun(id) = what else {
            guarded.into_iter().for_each(|guarded| guarded.heard = Some(now));
            return;
        };
        // I6: who has not proved that it hears us is not answered, nor is who asks too often.
        let Some(guarded) = guarded else {
            let (reason, source) = (DropReason::UnknownFlow, flow.remote);
            return out.event(Event::Dropped { reason, source });
        };
        guarded.heard = Some(now);
        if now.since(guarded.answers.0) >= Duration::from_secs(1) {
            guarded.answers = (now, 0);
        }
        if guarded.answers.1 >= limits::STUN_ANSWERS_PER_S {
            let (reason, source) = (DropReason::Overload, flow.remote);
            return out.event(Event::Dropped { reason, source });
        }
        guarded.answers.1 += 1;
        let start = out.bytes.len();
        stun::write_binding_response(&id, flow.remote, &mut out.bytes);
        let bytes = start..out.bytes.len();
        out.outputs.push(Output::Send { flow, bytes, on_failure: None });
    }

    /// Sends an OPTIONS that nobody waits for.
    fn ping(&self, now: Instant, flow: Flow, contact: &[u8], out: &mut Outbox) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(listener) = ours.listener(&flow) else { return };
        let keys = &self.setup.keys;
        let moment = now.as_micros().to_be_bytes();
        let id = keys.hash128(b"ping id", &[contact, &moment]);
        let us = format!("sip:ringway@{}", listener.public());
        let mut request = RequestWriter::new(&mut out.bytes, b"OPTIONS", contact);
        let mut via = Vec::with_capacity(96);
        write_via(listener, &self.ping_branch(&flow), &mut via);
        request.header("Via", &via);
        request.header("Max-Forwards", b"70");
        request.header("From", format!("<{us}>;tag={:08x}", id as u32).as_bytes());
        request.header("To", &[b"<", contact, b">"].concat());
        request.header("Call-ID", format!("{id:032x}").as_bytes());
        request.header("CSeq", b"1 OPTIONS");
        request.header("Contact", format!("<{us}>").as_bytes());
        let bytes = request.finish(None);
        out.outputs.push(Output::Send { flow, bytes, on_failure: None });
    }

    /// The branch of all pings over a flow: who answers proves that it got one.
    fn ping_branch(&self, flow: &Flow) -> ClientBranch {
        let mut address: Vec<u8> = format!("{}", flow.remote).into_bytes();
        address.extend_from_slice(&flow.socket.0.to_be_bytes());
        let hash = self.setup.keys.hash128(b"ping branch", &[&address]);
        ClientBranch { client: u64::MAX, random: (hash >> 64) as u32, loop_hash: hash as u64 }
    }

    /// Whether this is an answer to a ping, with which all is said.
    pub(crate) fn answers_ping(&self, flow: &Flow, response: &Message<'_>) -> bool {
        matches!(response.method(), Method::Options)
            && response
                .top_via()
                .ok()
                .and_then(|via| ClientBranch::parse(via.branch()?))
                .is_some_and(|branch| branch == self.ping_branch(flow))
    }
}
