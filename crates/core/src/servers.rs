//! The server transactions of a partition: what came in, and what was answered.

use crate::arena::{Arena, Id};
use crate::boundary::{Outbox, Output, TransactionRef};
use crate::flow::{ConnectionId, Flow, Transport};
use crate::node::{Node, Timer};
use crate::proxy::response_context::ResponseContext;
use crate::status;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};
use crate::transaction::key::ServerKey;
use crate::transaction::{invite_server, server};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use hashbrown::HashMap;
use ringway_wire::{Message, Method};

/// One server transaction.
#[derive(Debug)]
pub(crate) struct Server {
    key: Option<ServerKey>,
    machine: Machine,
    /// Where responses go.
    flow: Flow,
    /// Where they go once the connection that the request came over has ended.
    fallback: Option<Flow>,
    /// The last response that may have to be repeated.
    kept: Box<[u8]>,
    context: Option<Id<ResponseContext>>,
    timer: Option<TimerId>,
}

#[derive(Clone, Copy, Debug)]
enum Machine {
    Invite(invite_server::State),
    Other(server::State),
}

/// All of them, by place and by key.
#[derive(Debug)]
pub(crate) struct Servers {
    all: Arena<Server>,
    by_key: HashMap<ServerKey, Id<Server>, foldhash::fast::FixedState>,
    /// The INVITEs that nobody can answer once their connection has ended.
    one_way: BTreeSet<(ConnectionId, u64)>,
}

impl Servers {
    pub(crate) fn new() -> Self {
        Self { all: Arena::new(), by_key: HashMap::default(), one_way: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of responses that may have to be repeated.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.all.iter().map(|server| server.kept.len()).sum()
    }

    pub(crate) fn by_key(&self, key: &ServerKey) -> Option<Id<Server>> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn context(&self, id: Id<Server>) -> Option<Id<ResponseContext>> {
        self.all.find(id)?.context
    }

    /// Whether the request came from this address.
    pub(crate) fn came_from(&self, id: Id<Server>, source: IpAddr) -> bool {
        self.all.find(id).is_some_and(|server| server.flow.remote.ip() == source)
    }

    /// Whether an INVITE was answered with nothing yet, not even a 100.
    pub(crate) fn owes_trying(&self, id: Id<Server>) -> bool {
        let machine = self.all.find(id).map(|server| server.machine);
        matches!(
            machine,
            Some(Machine::Invite(invite_server::State::Proceeding { trying: Some(_) }))
        )
    }

    pub(crate) fn exists(&self, id: Id<Server>) -> bool {
        self.all.find(id).is_some()
    }

    /// The INVITEs over this connection whose answers could go nowhere else.
    pub(crate) fn unanswerable_with(&self, connection: ConnectionId) -> Vec<Id<Server>> {
        let over = self.one_way.range((connection, 0)..=(connection, u64::MAX));
        over.map(|(_, id)| Id::from_bits(*id)).collect()
    }

    pub(crate) fn belongs_to(&mut self, id: Id<Server>, context: Id<ResponseContext>) {
        if let Some(server) = self.all.find_mut(id) {
            server.context = Some(context);
        }
    }
}

/// What a response is to its transaction.
pub(crate) struct Outgoing {
    pub(crate) status: u16,
    /// Where it stands in the outbox.
    pub(crate) bytes: Range<usize>,
}

impl Node {
    /// Makes the server transaction of a request.
    pub(crate) fn serve(&mut self, now: Instant, flow: Flow, request: &Message<'_>) -> Id<Server> {
        let method = request.method();
        let machine = match method {
            Method::Invite => Machine::Invite(invite_server::State::start(now)),
            _ => Machine::Other(server::State::start(now)),
        };
        let key = ServerKey::of(&self.setup.keys, request, &method);
        let (flow, fallback) = (reply_flow(flow, request), fallback_flow(flow, request));
        let (kept, context, timer) = (Box::default(), None, None);
        let server = Server { key, machine, flow, fallback, kept, context, timer };
        let id = self.servers.all.insert(server);
        if let Some(key) = key {
            self.servers.by_key.insert(key, id);
        }
        if method == Method::Invite && has_no_address(&flow) {
            self.servers.one_way.insert((flow.connection, id.bits()));
        }
        self.server_timer(id);
        id
    }

    /// RFC 3261 §17.2: a request that was here before is answered as it was then.
    pub(crate) fn is_retransmission(&mut self, request: &Message<'_>, out: &mut Outbox) -> bool {
        let key = ServerKey::of(&self.setup.keys, request, &request.method());
        let Some(id) = key.and_then(|key| self.servers.by_key(&key)) else { return false };
        let Some(server) = self.servers.all.find_mut(id) else { return false };
        let again = match server.machine {
            Machine::Invite(state) => state.on_request().1 == invite_server::Action::Resend,
            Machine::Other(state) => state.on_request().1 == server::Action::Resend,
        };
        if again {
            server.resend(id, out);
        }
        true
    }

    /// An ACK for this INVITE transaction. Tells whether it is to be passed on: the ACK for a
    /// 2xx is a request of its own, and so is one that no transaction knows.
    pub(crate) fn server_ack(&mut self, now: Instant, id: Id<Server>) -> bool {
        let Some(server) = self.servers.all.find_mut(id) else { return true };
        let Machine::Invite(state) = server.machine else { return false };
        let (state, action) = state.on_ack(now, server.flow.transport.is_reliable());
        server.machine = Machine::Invite(state);
        self.server_timer(id);
        action == invite_server::Action::PassUp
    }

    /// Sends a response, if the transaction lets it.
    pub(crate) fn server_send(
        &mut self,
        now: Instant,
        id: Id<Server>,
        response: Outgoing,
        out: &mut Outbox,
    ) -> bool {
        let Some(server) = self.servers.all.find_mut(id) else { return false };
        let reliable = server.flow.transport.is_reliable();
        let (send, keep) = match server.machine {
            Machine::Invite(state) => {
                let (state, action) = state.on_send(now, reliable, response.status);
                server.machine = Machine::Invite(state);
                let keep = action == invite_server::Action::SendAndKeep;
                (keep || action == invite_server::Action::Send, keep)
            }
            Machine::Other(state) => {
                let (state, action) = state.on_send(now, reliable, response.status);
                server.machine = Machine::Other(state);
                let keep = action == server::Action::SendAndKeep;
                (keep, keep)
            }
        };
        if keep {
            server.kept = out.bytes[response.bytes.clone()].into();
        } else if send {
            // Whoever sent the 2xx repeats it, and what went before is not wanted any more.
            server.kept = Box::default();
        }
        if send {
            let (flow, on_failure) = (server.flow, server.on_failure(id));
            out.outputs.push(Output::Send { flow, bytes: response.bytes, on_failure });
        }
        self.server_timer(id);
        send
    }

    /// A response did not leave the house: the connection of its request has ended.
    //= RFC 3261 18.2.2
    // "If that connection is no longer open, the server SHOULD open a"
    pub(crate) fn response_undelivered(&mut self, id: Id<Server>, out: &mut Outbox) {
        let Some(server) = self.servers.all.find_mut(id) else { return };
        // A 2xx to an INVITE is not kept here: its sender sends it again.
        if let Some(flow) = server.fallback.take() {
            server.flow = flow;
            server.resend(id, out);
        }
    }

    //= RFC 3261 17.2.1
    // "transaction is in the \"Terminated\" state, it MUST be destroyed immediately."
    //= RFC 3261 17.2.2
    // "The server transaction MUST be destroyed the instant it enters the \"Terminated\" state."
    pub(crate) fn on_server_timer(&mut self, now: Instant, id: Id<Server>, out: &mut Outbox) {
        let Some(server) = self.servers.all.find_mut(id) else { return };
        server.timer = None;
        let context = server.context;
        let mut trying = false;
        match server.machine {
            Machine::Invite(state) => {
                let (state, action) = state.on_timeout(now);
                server.machine = Machine::Invite(state);
                match action {
                    invite_server::Action::Resend => server.resend(id, out),
                    invite_server::Action::SendTrying => trying = true,
                    _ => {}
                }
            }
            Machine::Other(state) => {
                let (state, action) = state.on_timeout(now);
                server.machine = Machine::Other(state);
                trying = action == server::Action::SendTrying;
            }
        }
        if let (true, Some(context)) = (trying, context) {
            self.send_trying(id, context, out);
        }
        self.server_timer(id);
    }

    /// The late 100 of a non-INVITE transaction: no state of the machine depends on it.
    fn send_trying(&mut self, id: Id<Server>, context: Id<ResponseContext>, out: &mut Outbox) {
        let Some(bytes) = self.write_answer(context, status::TRYING, out) else { return };
        let Some(server) = self.servers.all.find_mut(id) else { return };
        server.kept = out.bytes[bytes.clone()].into();
        let (flow, on_failure) = (server.flow, server.on_failure(id));
        out.outputs.push(Output::Send { flow, bytes, on_failure });
    }

    /// Sets the timer that the machine now wants; a machine that is over goes.
    fn server_timer(&mut self, id: Id<Server>) {
        let Some(server) = self.servers.all.find_mut(id) else { return };
        if let Some(timer) = server.timer.take() {
            self.timers.cancel(timer);
        }
        let (over, next) = match &server.machine {
            Machine::Invite(state) => (state.is_over(), state.next_timeout()),
            Machine::Other(state) => (state.is_over(), state.next_timeout()),
        };
        if !over {
            server.timer = next.map(|at| schedule(&mut self.timers, at, id));
            return;
        }
        if let Some(server) = self.servers.all.remove(id) {
            if let Some(key) = server.key {
                self.servers.by_key.remove(&key);
            }
            self.servers.one_way.remove(&(server.flow.connection, id.bits()));
            if let Some(context) = server.context {
                self.let_go(context);
            }
        }
    }
}

impl Server {
    /// Who is told that a response could not be sent: this transaction, if it knows what to do.
    fn on_failure(&self, id: Id<Self>) -> Option<TransactionRef> {
        self.fallback.map(|_| TransactionRef::Server(id.bits()))
    }

    fn resend(&self, id: Id<Self>, out: &mut Outbox) {
        if self.kept.is_empty() {
            return;
        }
        let start = out.bytes.len();
        out.bytes.extend_from_slice(&self.kept);
        let bytes = start..out.bytes.len();
        let on_failure = self.on_failure(id);
        out.outputs.push(Output::Send { flow: self.flow, bytes, on_failure });
    }
}

fn schedule(timers: &mut Wheel<Timer>, at: Instant, id: Id<Server>) -> TimerId {
    timers.schedule(at, Timer::Server(id))
}

/// Whether only its connection leads to the far side.
//= RFC 7118 5.3
// "Given the fact that SIP responses can only be sent over the existing"
const fn has_no_address(flow: &Flow) -> bool {
    matches!(flow.transport, Transport::Ws | Transport::Wss)
}

/// The address a stream request came from, with the port that its Via says it listens on.
fn fallback_flow(flow: Flow, request: &Message<'_>) -> Option<Flow> {
    let via = request.top_via().ok().filter(|_| flow.transport == Transport::Tcp)?;
    let remote = SocketAddr::new(flow.remote.ip(), via.port.unwrap_or(5060));
    Some(Flow { remote, connection: ConnectionId::NONE, ..flow })
}

/// Where the answer to a request goes (RFC 3261 §18.2.2, RFC 3581 §4).
pub(crate) fn reply_flow(flow: Flow, request: &Message<'_>) -> Flow {
    if flow.transport != Transport::Udp {
        return flow;
    }
    let Ok(via) = request.top_via() else { return flow };
    if via.rport().is_some() {
        return flow;
    }
    //= RFC 3261 18.2.2
    // "using the port indicated in the \"sent-by\" value, or using port 5060"
    // `maddr` is not followed: answers go to the address that asked, and to no third one.
    let ip: IpAddr = flow.remote.ip();
    let remote = SocketAddr::new(ip, via.port.unwrap_or(5060));
    Flow { remote, connection: ConnectionId::NONE, ..flow }
}
