//! One partition of the server. Its heart is the life of a request: read
//! [`Node::live`] first.

use crate::address_of_record::AddressOfRecord;
use crate::arena::{Arena, Id};
use crate::binding::Binding;
use crate::boundary::{
    Answer, AskId, Command, DropReason, Event, Input, Outbox, Output, TransactionRef,
};
use crate::calls::{Call, CallKey, Calls};
use crate::check;
use crate::clients::{Client, Clients};
use crate::counters::Counters;
use crate::flow::{CertifiedName, ConnectionId, Flow, Listener, Transport};
use crate::identity::{Authentication, Caller, ReplayWindows, Side, Verdict};
use crate::keep_alive::{Guard, Guarded, GuardedFlows};
use crate::keys::Keys;
use crate::location::Location;
use crate::proxy::log_in::NonceCounts;
use crate::proxy::privacy;
use crate::proxy::response_context::ResponseContext;
use crate::proxy::stateless::Passing;
use crate::proxy::targets::Admitted;
use crate::reject::Reject;
use crate::role::Role;
use crate::route::ours::{Ours, claims_to_be_verified, is_anonymous};
use crate::route::own_route::OwnRoute;
use crate::servers::{Server, Servers};
use crate::snapshot::Snapshot;
use crate::status;
use crate::time::{Duration, Instant};
use crate::timers::Wheel;
use crate::waiting::Open;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hashbrown::HashMap;
use ringway_wire::{Message, Method, Name, Scratch};

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The keys of the installation, the same in all partitions.
    pub keys: Arc<Keys>,
    /// All listening sockets; [`SocketId`](crate::flow::SocketId) counts into them.
    pub listeners: Arc<[Listener]>,
    /// The number of this partition …
    pub partition: u32,
    /// … of so many.
    pub partitions: u32,
    /// From which branches are made; never the same twice in one installation.
    pub seed: u64,
    /// When the process started: nonces from before are stale, for their replay windows are
    /// gone.
    pub started: Instant,
}

/// One partition: its transactions and calls, and the bindings it owns.
#[derive(Debug)]
pub struct Node {
    pub(crate) setup: Setup,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) timers: Wheel<Timer>,
    pub(crate) servers: Servers,
    pub(crate) clients: Clients,
    pub(crate) contexts: Arena<ResponseContext>,
    pub(crate) open: HashMap<AskId, Open, foldhash::fast::FixedState>,
    pub(crate) last_ask: u64,
    pub(crate) location: Location,
    pub(crate) replay: ReplayWindows,
    pub(crate) guarded: GuardedFlows,
    pub(crate) nonces: NonceCounts,
    pub(crate) calls: Calls,
    pub(crate) counters: Counters,
    /// Memory for the next copy of a message.
    pub(crate) scratch: Scratch,
    /// Set while the server stops: the Retry-After of refusals.
    draining: Option<u32>,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    Server(Id<Server>),
    Client(Id<Client>),
    Cancel(Id<Client>),
    C(Id<ResponseContext>, u8),
    Silence(Id<ResponseContext>, u8),
    Group(Id<ResponseContext>),
    Ask(AskId),
    CallSilence(CallKey),
    Ping(Id<Guarded>),
}

/// The hash of the partition that owns a message, to be taken modulo their number: that of the
/// address-of-record for a REGISTER that we answer, that of the Call-ID for all else.
pub fn home_of(setup: &Setup, snapshot: &Snapshot, message: &Message<'_>) -> u64 {
    let ours = Ours { setup, snapshot };
    if message.is_request()
        && message.method() == Method::Register
        && let Some(aor) = message.to().ok().and_then(|to| ours.address_of_record(&to.uri().ok()?))
        // One that goes on to another registrar has responses, and they know the Call-ID only.
        && OwnRoute::read(ours, message)
            .is_ok_and(|route| Role::of(ours, message, &route) == Role::Registrar)
    {
        return setup.keys.partition_of(&aor);
    }
    setup.keys.hash64(b"call-id", &[message.call_id()])
}

/// The hash of the partition that guards a flow of datagrams, to be taken modulo their number.
pub fn home_of_flow(setup: &Setup, flow: &Flow) -> u64 {
    setup.keys.home_of_flow(flow)
}

impl Node {
    /// An empty partition.
    pub fn new(setup: Setup, snapshot: Arc<Snapshot>) -> Self {
        let replay = ReplayWindows::new(setup.started);
        let location = Location::new(Arc::clone(&setup.keys));
        Self {
            setup,
            snapshot,
            timers: Wheel::new(),
            servers: Servers::new(),
            clients: Clients::new(),
            contexts: Arena::new(),
            open: HashMap::default(),
            last_ask: 0,
            location,
            replay,
            guarded: GuardedFlows::new(),
            nonces: NonceCounts::default(),
            calls: Calls::default(),
            counters: Counters::default(),
            scratch: Scratch::default(),
            draining: None,
        }
    }

    /// Takes one input and puts all that follows into `out`; answers when it wants to be woken
    /// with [`Input::TimeIsUp`] at the latest.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) -> Option<Instant> {
        let before = out.outputs.len();
        // What is due comes first: nothing may overtake it.
        self.on_time(now, out);
        match input {
            Input::Message { flow, message } if message.is_request() => {
                self.on_request(now, flow, &message, out);
            }
            Input::Message { flow, message } => self.on_response(now, flow, &message, out),
            Input::KeptAlive(flow, what) => self.on_keep_alive(now, (flow, what), out),
            Input::FlowClosed(flow) => self.on_flow_closed(now, flow, out),
            Input::Undelivered(TransactionRef::Client(id)) => {
                self.request_undelivered(now, Id::from_bits(id), out);
            }
            Input::Undelivered(TransactionRef::Server(id)) => {
                self.response_undelivered(Id::from_bits(id), out);
            }
            // A new connection was tried for it, too, or had to be.
            Input::Undelivered(TransactionRef::Elsewhere(_)) => {}
            Input::Unreachable { remote, branch } => {
                self.on_unreachable(now, remote, branch, out);
            }
            Input::Asked { asker, question } => {
                let answer = self.know(now, question);
                out.outputs.push(Output::Answer { asker, answer });
            }
            Input::Answered { ask, answer } => self.on_answer(now, ask, answer, out),
            Input::Commanded(command) => self.on_command(now, command, out),
            Input::TimeIsUp => {}
        }
        for output in &out.outputs[before..] {
            match output {
                Output::Event(event) => self.counters.event(event),
                Output::Send { bytes, .. } => self.counters.sent(&out.bytes[bytes.clone()]),
                Output::Ask { .. }
                | Output::Answer { .. }
                | Output::Avoid { .. }
                | Output::Proved { .. }
                | Output::Expect { .. } => {}
            }
        }
        match (self.timers.next_due(), self.location.next_expiry()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    //= RFC 3261 16.3
    // "any of these checks fail, the element MUST behave as a user agent server (see Section"
    fn on_request(&mut self, now: Instant, flow: Flow, request: &Message<'_>, out: &mut Outbox) {
        let method = request.method();
        self.counters.request(&method);
        if let Err(reject) = self.live(now, flow, request, out) {
            if method == Method::Ack {
                let reason = DropReason::StrayAck;
                return out.event(Event::Dropped { reason, source: flow.remote });
            }
            self.refuse(flow, request, reject, out);
        }
    }

    /// The life of a request, in the order of RFC 3261 §16.3 to §16.6.
    //= RFC 3261 16.2
    // "an element intending to proxy the request MUST:"
    //= RFC 3261 16.3
    // "an element can proxy a request, it MUST verify the message's validity."
    // "not required to detect merged requests and MUST NOT treat merged requests as an error"
    // "An element MUST NOT refuse to proxy a request because it contains a method or header"
    fn live(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        check::grammar(request)?; // §16.3 step 1
        match request.method() {
            Method::Ack => {
                self.on_ack(now, flow, request, out);
                return Ok(());
            }
            Method::Cancel => return self.on_cancel(now, flow, request, out),
            _ => {}
        }
        if self.is_retransmission(request, out) {
            return Ok(());
        }
        check::scheme(request)?; // §16.3 step 2
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let route = OwnRoute::read(ours, request)?; // §16.4
        let role = Role::of(ours, request, &route);
        match role {
            Role::Registrar => {
                check::extensions(request, Name::Require, &check::REGISTRAR_EXTENSIONS)?;
                check::path(request, &Caller::by_flow(&self.snapshot, &flow))?;
                self.register(now, flow, request, out)
            }
            Role::Options => {
                check::extensions(request, Name::Require, &[])?;
                if let Caller::Peer(_) = Caller::by_flow(&self.snapshot, &flow) {
                    prove(flow, request, out);
                }
                self.send_stateless(flow, request, status::OK, out);
                Ok(())
            }
            Role::Ourselves | Role::Proxy => {
                check::hops(request)?; // §16.3 step 3
                check::not_looped(&self.setup.keys, request)?; // §16.3 step 4
                if !ours.redirects(request) {
                    check::extensions(request, Name::ProxyRequire, &[])?; // §16.3 step 5
                }
                let admitted = self.admit(now, flow, request, route, out)?; // §16.3 step 6
                let Some(admitted) = admitted else { return Ok(()) };
                prove(flow, request, out);
                if role == Role::Ourselves {
                    return Err(Reject::MethodNotAllowed);
                }
                self.refuse_new_while_draining(&admitted)?;
                privacy::check(request)?;
                let passing = Passing { request, route: &admitted.route, source: flow };
                if self.pass(now, passing, out)? {
                    return Ok(()); // §16.11
                }
                self.begin(now, flow, request, admitted, out) // §16.5, §16.6
            }
        }
    }

    /// Who sends this, and may they? `None`: a challenge went back.
    //= RFC 3261 16.3
    // "credentials before forwarding a request, the request MUST be inspected as described in"
    fn admit(
        &self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        route: OwnRoute,
        out: &mut Outbox,
    ) -> Result<Option<Admitted>, Reject> {
        if route.opens(&self.setup.keys, request, flow.remote.ip()) {
            return Ok(Some(Admitted::by_way(route)));
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        match Caller::by_flow(&self.snapshot, &flow) {
            Caller::Peer(_) => return Ok(Some(Admitted::by_way(route))),
            Caller::Account(_) | Caller::Stranger => {}
        }
        let keys = &self.setup.keys;
        let from = request.from().ok().and_then(|from| from.uri().ok());
        let aor = from.as_ref().and_then(|uri| ours.address_of_record(uri));
        // B1: nobody says that its own name was verified.
        let verified = from.as_ref().is_some_and(claims_to_be_verified);
        if let Some(aor) = &aor
            && Caller::is_device((keys, &self.snapshot), &flow, aor)
        {
            let caller = Some(aor.clone());
            let admitted = Admitted { route, caller, claim: None, trusted: false };
            return if verified { Err(Reject::NotYourIdentity) } else { Ok(Some(admitted)) };
        }
        let realm = ours.realm_for(request).ok_or(Reject::NotOurDomain)?;
        let gate = Authentication { keys, snapshot: &self.snapshot, side: Side::Proxy, realm };
        match gate.verify(now, &flow, request) {
            Verdict::Right(claim) if let Some(peer) = self.snapshot.peer_of(&claim.account) => {
                let trusted = peer.trust_identity;
                Ok(Some(Admitted { route, caller: None, claim: Some(claim), trusted }))
            }
            Verdict::Right(claim) => {
                let caller = Caller::Account(claim.account.clone());
                let nameless = from.as_ref().is_some_and(is_anonymous);
                // B3: nobody calls in another's name.
                if verified || !nameless && !caller.may_call_itself(aor.as_ref()) {
                    return Err(Reject::NotYourIdentity);
                }
                let caller = Some(claim.account.clone());
                Ok(Some(Admitted { route, caller, claim: Some(claim), trusted: false }))
            }
            verdict => self.challenge(now, (flow, &gate), request, verdict, out).map(|()| None),
        }
    }

    fn refuse_new_while_draining(&self, admitted: &Admitted) -> Result<(), Reject> {
        match self.draining {
            Some(_) if !admitted.route.signed => Err(Reject::Overloaded),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// The Retry-After of refusals while the server stops.
    pub(crate) const fn draining(&self) -> Option<u32> {
        self.draining
    }

    /// Whether what has this partition hash belongs here.
    pub(crate) fn is_home(&self, hash: u64) -> bool {
        hash % u64::from(self.setup.partitions.max(1)) == u64::from(self.setup.partition)
    }

    fn on_time(&mut self, now: Instant, out: &mut Outbox) {
        while let Some((_, timer)) = self.timers.pop_due(now) {
            match timer {
                Timer::Server(id) => self.on_server_timer(now, id, out),
                Timer::Client(id) => self.on_client_timer(now, id, out),
                Timer::Cancel(id) => self.on_cancel_timer(now, id, out),
                Timer::Silence(id, branch) => self.on_silence(now, (id, branch.into()), out),
                Timer::C(id, branch) => self.on_timer_c(now, (id, branch.into()), out),
                Timer::Group(id) => self.on_group_timer(now, id, out),
                Timer::Ask(ask) => self.on_answer(now, ask, Answer::Failed, out),
                Timer::Ping(id) => self.on_ping_timer(now, id, out),
                Timer::CallSilence(key) => self.calls.forget(key, &mut self.timers, out),
            }
        }
        self.expire_bindings(now, out);
    }

    fn on_command(&mut self, now: Instant, command: Command, out: &mut Outbox) {
        match command {
            Command::UseSnapshot(snapshot) => self.snapshot = snapshot,
            Command::Restore(aor, mut binding) => {
                // D7: a clock that was set back makes no binding live for days.
                let longest = u64::from(self.snapshot.settings.expires_max_s);
                binding.expires = binding.expires.min(now + Duration::from_secs(longest));
                self.guard_elsewhere(now, Guard::of(&binding, true), out);
                self.location.restore(&aor, *binding);
            }
            Command::Forget(aor) => self.forget(&aor, out),
            Command::Drain { retry_after_s } => self.draining = Some(retry_after_s),
        }
    }

    /// Calls that pass through this partition now, oldest first.
    pub fn calls(&self) -> Vec<&Call> {
        self.calls.sorted()
    }

    /// What this partition has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many bindings there are.
    pub fn registrations(&self) -> usize {
        self.location.contacts()
    }

    /// The live bindings of an address-of-record that this partition owns.
    pub fn locate(&self, aor: &AddressOfRecord, now: Instant) -> Vec<Binding> {
        self.location.live(aor, now)
    }

    /// Whether a request is unanswered or a question open. What is only kept for repetitions is
    /// not under way.
    pub fn is_busy(&self) -> bool {
        !self.open.is_empty() || self.contexts.iter().any(|context| !context.answered)
    }

    /// How full the tables are.
    pub fn census(&self) -> Census {
        Census {
            server_transactions: self.servers.len(),
            client_transactions: self.clients.len(),
            response_contexts: self.contexts.len(),
            open_questions: self.open.len(),
            timers: self.timers.len(),
            calls: self.calls.len(),
        }
    }
}

/// Tells that the sender of a request has shown who it is, where it came over a connection.
pub(crate) fn prove(flow: Flow, request: &Message<'_>, out: &mut Outbox) {
    if flow.connection == ConnectionId::NONE {
        return;
    }
    //= RFC 5923 9.2
    // "as if the \"alias\" header field parameter was not present in the"
    let certified = flow.transport == Transport::Tls && flow.certified != CertifiedName::NONE;
    let via = request.top_via().ok().filter(|via| certified && via.params.get(b"alias").is_some());
    //= RFC 5923 8.2
    // "port is the destination port."
    let alias = via.map(|via| via.port.unwrap_or(flow.transport.default_port()));
    out.outputs.push(Output::Proved { flow, alias });
}

/// How full the tables of a partition are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Server transactions.
    pub server_transactions: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Requests being proxied.
    pub response_contexts: usize,
    /// Questions without an answer yet.
    pub open_questions: usize,
    /// Timers that run.
    pub timers: usize,
    /// Calls in the live view.
    pub calls: usize,
}

impl Census {
    /// Adds that of another partition.
    pub fn add(&mut self, other: &Self) {
        self.server_transactions += other.server_transactions;
        self.client_transactions += other.client_transactions;
        self.response_contexts += other.response_contexts;
        self.open_questions += other.open_questions;
        self.timers += other.timers;
        self.calls += other.calls;
    }
}

#[cfg(test)]
mod tests;
