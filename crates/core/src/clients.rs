//! The client transactions of a partition: what was sent on, and what is waited for.

use crate::arena::{Arena, Id};
use crate::boundary::{Outbox, Output, TransactionRef};
use crate::flow::{ConnectionId, Flow, Transport};
use crate::node::{Node, Timer};
use crate::proxy::response_context::{BranchState, ResponseContext};
use crate::reject::Reject;
use crate::time::Instant;
use crate::timers::{TimerId, Wheel};
use crate::transaction::key::ClientBranch;
use crate::transaction::{client, invite_client};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use ringway_wire::{Framing, Index, Message, head_of, parse, write_ack, write_cancel};

/// One client transaction, and the CANCEL that may follow it.
#[derive(Debug)]
pub(crate) struct Client {
    machine: Machine,
    cancel: Option<Cancel>,
    flow: Flow,
    /// The datagram to go back to where a stream for a large request cannot be had.
    fallback: Option<Fallback>,
    sent: Box<[u8]>,
    pub(crate) purpose: Purpose,
    /// All of its branch: a response must repeat it, and nobody can guess it.
    pub(crate) branch: Option<ClientBranch>,
    timer: Option<TimerId>,
}

#[derive(Clone, Copy, Debug)]
enum Machine {
    Invite(invite_client::State),
    Other(client::State),
}

#[derive(Debug)]
struct Cancel {
    machine: client::State,
    timer: Option<TimerId>,
}

/// The same request as a datagram.
#[derive(Debug)]
pub(crate) struct Fallback {
    pub(crate) flow: Flow,
    pub(crate) bytes: Box<[u8]>,
}

/// Whose branch it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose {
    pub(crate) context: Id<ResponseContext>,
    pub(crate) branch: usize,
    /// Whether it goes to a phone that registered.
    pub(crate) registered: bool,
    /// What it means if its request cannot be sent.
    pub(crate) unreachable: Reject,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Clients {
    all: Arena<Client>,
    /// What went down which stream, and is not over.
    down: BTreeSet<(Line, u64)>,
}

/// A stream as a request that goes down it knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Line {
    /// This connection and no other.
    Connection(ConnectionId),
    /// Whichever connection leads there.
    Address(Transport, SocketAddr),
}

impl Line {
    fn of(flow: &Flow) -> Option<Self> {
        match flow.connection {
            _ if !flow.transport.is_reliable() => None,
            ConnectionId::NONE => Some(Self::Address(flow.transport, flow.remote)),
            connection => Some(Self::Connection(connection)),
        }
    }
}

/// What a client transaction tells its user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// Nobody answered in time.
    TimedOut,
    /// It could not be sent.
    Unreachable(Reject),
}

impl Clients {
    pub(crate) const fn new() -> Self {
        Self { all: Arena::new(), down: BTreeSet::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Bytes of requests that may have to be sent again.
    #[cfg(test)]
    pub(crate) fn kept_bytes(&self) -> usize {
        self.all.iter().map(|client| client.sent.len()).sum()
    }

    pub(crate) fn find(&self, id: Id<Client>) -> Option<&Client> {
        self.all.find(id)
    }

    pub(crate) fn remove(&mut self, id: Id<Client>) -> Option<Client> {
        let client = self.all.remove(id)?;
        if let Some(line) = Line::of(&client.flow) {
            self.down.remove(&(line, id.bits()));
        }
        Some(client)
    }

    /// Where a transaction sends from now on.
    fn redirect(&mut self, id: Id<Client>, flow: Flow) {
        let Some(client) = self.all.find_mut(id) else { return };
        let before = core::mem::replace(&mut client.flow, flow);
        if let Some(line) = Line::of(&before) {
            self.down.remove(&(line, id.bits()));
        }
        if let Some(line) = Line::of(&flow) {
            self.down.insert((line, id.bits()));
        }
    }

    /// The transactions that nobody will answer now that this connection has ended.
    fn lost_with(&self, flow: &Flow) -> Vec<Id<Client>> {
        let over = |line| self.down.range((line, 0)..=(line, u64::MAX)).map(|(_, id)| *id);
        let same = over(Line::Connection(flow.connection));
        //= RFC 3261 18.2.2
        // "If that connection is no longer open, the server SHOULD open a"
        // So whoever can be reached by its address, and has shown that it got the request, may
        // still answer over another one.
        let unheard = |bits: &u64| {
            let client = self.all.find(Id::from_bits(*bits));
            client.is_some_and(|client| client.heard_nothing())
        };
        let there = over(Line::Address(flow.transport, flow.remote)).filter(unheard);
        same.chain(there).map(Id::from_bits).collect()
    }

    /// A transaction whose request is still to be written: its branch names its place.
    pub(crate) fn reserve(
        &mut self,
        now: Instant,
        is_invite: bool,
        flow: Flow,
        purpose: Purpose,
    ) -> Id<Client> {
        let reliable = flow.transport.is_reliable();
        let machine = if is_invite {
            Machine::Invite(invite_client::State::start(now, reliable).0)
        } else {
            Machine::Other(client::State::start(now, reliable).0)
        };
        self.all.insert(Client {
            machine,
            cancel: None,
            flow,
            fallback: None,
            sent: Box::default(),
            purpose,
            branch: None,
            timer: None,
        })
    }

    /// The request was written and goes out.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        id: Id<Client>,
        (flow, fallback, branch): (Flow, Option<Fallback>, ClientBranch),
        bytes: &[u8],
        timers: &mut Wheel<Timer>,
    ) {
        let Some(client) = self.all.find_mut(id) else { return };
        client.fallback = fallback;
        client.sent = bytes.into();
        client.branch = Some(branch);
        self.redirect(id, flow);
        let Some(client) = self.all.find_mut(id) else { return };
        client.restart(now);
        client.set_timer(id, timers);
    }
}

impl Client {
    /// Where its request went.
    pub(crate) const fn flow(&self) -> Flow {
        self.flow
    }

    fn restart(&mut self, now: Instant) {
        let reliable = self.flow.transport.is_reliable();
        match &mut self.machine {
            Machine::Invite(state) => *state = invite_client::State::start(now, reliable).0,
            Machine::Other(state) => *state = client::State::start(now, reliable).0,
        }
    }

    fn set_timer(&mut self, id: Id<Self>, timers: &mut Wheel<Timer>) {
        if let Some(timer) = self.timer.take() {
            timers.cancel(timer);
        }
        let next = match &self.machine {
            Machine::Invite(state) => state.next_timeout(),
            Machine::Other(state) => state.next_timeout(),
        };
        self.timer = next.map(|at| timers.schedule(at, Timer::Client(id)));
    }

    const fn is_over(&self) -> bool {
        let over = match &self.machine {
            Machine::Invite(state) => state.is_over(),
            Machine::Other(state) => state.is_over(),
        };
        over && self.cancel.is_none()
    }

    /// Whether the far side has said nothing yet.
    pub(crate) const fn heard_nothing(&self) -> bool {
        matches!(
            &self.machine,
            Machine::Invite(invite_client::State::Calling { .. })
                | Machine::Other(client::State::Trying { .. })
        )
    }

    /// Lets go of the request once nothing can want it again: it is not repeated, and neither a
    /// CANCEL nor the ACK of a failed INVITE will be made from it.
    fn shrink(&mut self) {
        let is_done = match &self.machine {
            Machine::Invite(state) => matches!(state, invite_client::State::Accepted { .. }),
            Machine::Other(state) => matches!(state, client::State::Completed { .. }),
        };
        if is_done && self.cancel.is_none() {
            self.sent = Box::default();
            self.fallback = None;
        }
    }

    /// Whether it is an INVITE that a CANCEL could still reach.
    pub(crate) const fn can_be_cancelled(&self) -> bool {
        self.cancel.is_none()
            && matches!(&self.machine, Machine::Invite(invite_client::State::Proceeding { .. }))
    }

    fn send(&self, id: Id<Self>, out: &mut Outbox) {
        let start = out.bytes.len();
        out.bytes.extend_from_slice(&self.sent);
        let bytes = start..out.bytes.len();
        let on_failure = Some(TransactionRef::Client(id.bits()));
        out.outputs.push(Output::Send { flow: self.flow, bytes, on_failure });
    }
}

impl Node {
    /// A response to what was sent. Tells whether the transaction user is to see it.
    //= RFC 3261 16.6
    // "CANCEL and ACK requests (for non-2xx responses) MUST have the same branch value as the"
    //= RFC 3261 17.1.1.2
    // "The ACK MUST be sent to the same address, port, and transport to which the original"
    pub(crate) fn client_response(
        &mut self,
        now: Instant,
        id: Id<Client>,
        response: &Message<'_>,
        out: &mut Outbox,
    ) -> bool {
        let Some(client) = self.clients.all.find_mut(id) else { return false };
        let reliable = client.flow.transport.is_reliable();
        let status = response.status();
        let (ack, pass) = match client.machine {
            Machine::Invite(state) => {
                use invite_client::Action;
                let (state, action) = state.on_response(now, reliable, status);
                client.machine = Machine::Invite(state);
                let ack = matches!(action, Action::Ack | Action::AckAndPassUp);
                (ack, matches!(action, Action::PassUp | Action::AckAndPassUp))
            }
            Machine::Other(state) => {
                let (state, action) = state.on_response(now, reliable, status);
                client.machine = Machine::Other(state);
                (false, action == client::Action::PassUp)
            }
        };
        if ack {
            let mut index = Index::new();
            if let Ok(invite) = parse(head_of(&client.sent), &mut index, Framing::Datagram) {
                let bytes = write_ack(&mut out.bytes, &invite, response);
                out.outputs.push(Output::Send { flow: client.flow, bytes, on_failure: None });
            }
        }
        client.shrink();
        client.set_timer(id, &mut self.timers);
        pass
    }

    /// A response to the CANCEL of this transaction.
    pub(crate) fn cancel_response(&mut self, now: Instant, id: Id<Client>, status: u16) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        let reliable = client.flow.transport.is_reliable();
        if let Some(cancel) = &mut client.cancel {
            cancel.machine = cancel.machine.on_response(now, reliable, status).0;
        }
        self.cancel_timer(id);
    }

    /// Sends a CANCEL for this INVITE.
    //= RFC 3261 9.1
    // "If no provisional response has been received, the CANCEL request MUST NOT be sent"
    pub(crate) fn client_cancel(&mut self, now: Instant, id: Id<Client>, out: &mut Outbox) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        let Machine::Invite(state) = client.machine else { return };
        if !client.can_be_cancelled() {
            return;
        }
        client.machine = Machine::Invite(state.on_cancelled(now));
        let reliable = client.flow.transport.is_reliable();
        let (machine, _) = client::State::start(now, reliable);
        client.cancel = Some(Cancel { machine, timer: None });
        client.set_timer(id, &mut self.timers);
        self.send_cancel(id, out);
        self.cancel_timer(id);
    }

    fn send_cancel(&self, id: Id<Client>, out: &mut Outbox) {
        let Some(client) = self.clients.all.find(id) else { return };
        let mut index = Index::new();
        if let Ok(invite) = parse(head_of(&client.sent), &mut index, Framing::Datagram) {
            let bytes = write_cancel(&mut out.bytes, &invite);
            out.outputs.push(Output::Send { flow: client.flow, bytes, on_failure: None });
        }
    }

    fn cancel_timer(&mut self, id: Id<Client>) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        let Some(cancel) = &mut client.cancel else { return };
        if let Some(timer) = cancel.timer.take() {
            self.timers.cancel(timer);
        }
        if cancel.machine.is_over() {
            client.cancel = None;
            self.drop_if_over(id);
        } else {
            let next = cancel.machine.next_timeout();
            cancel.timer = next.map(|at| self.timers.schedule(at, Timer::Cancel(id)));
        }
    }

    pub(crate) fn on_cancel_timer(&mut self, now: Instant, id: Id<Client>, out: &mut Outbox) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        let Some(cancel) = &mut client.cancel else { return };
        cancel.timer = None;
        let (machine, action) = cancel.machine.on_timeout(now);
        cancel.machine = machine;
        if action == client::Action::Send {
            self.send_cancel(id, out);
        }
        self.cancel_timer(id);
    }

    pub(crate) fn on_client_timer(&mut self, now: Instant, id: Id<Client>, out: &mut Outbox) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        client.timer = None;
        let (send, timed_out) = match client.machine {
            Machine::Invite(state) => {
                let (state, action) = state.on_timeout(now);
                client.machine = Machine::Invite(state);
                use invite_client::Action;
                (action == Action::Send, action == Action::ReportTimeout)
            }
            Machine::Other(state) => {
                let (state, action) = state.on_timeout(now);
                client.machine = Machine::Other(state);
                use client::Action;
                (action == Action::Send, action == Action::ReportTimeout)
            }
        };
        if send {
            client.send(id, out);
        }
        let purpose = client.purpose;
        client.set_timer(id, &mut self.timers);
        if timed_out {
            self.on_report(now, purpose, Report::TimedOut, out);
        }
        self.drop_if_over(id);
    }

    /// A connection ended, and with it all that waited for an answer over it: who called hears so
    /// now and not when a timer ends.
    //= RFC 3261 16.9
    // "forwarded request received a 503 (Service Unavailable) response."
    pub(crate) fn requests_lost(&mut self, now: Instant, flow: &Flow, out: &mut Outbox) {
        for id in self.clients.lost_with(flow) {
            let cancel = self.clients.all.find_mut(id).and_then(|client| client.cancel.take());
            if let Some(timer) = cancel.and_then(|cancel| cancel.timer) {
                self.timers.cancel(timer);
            }
            self.request_undelivered(now, id, out);
        }
    }

    /// A request did not leave the house.
    //= RFC 3261 16.9
    // "a request (see Section 18.4), the proxy MUST behave as if the forwarded request"
    pub(crate) fn request_undelivered(&mut self, now: Instant, id: Id<Client>, out: &mut Outbox) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        let Purpose { context, branch, .. } = client.purpose;
        // Who is not wanted any more is not called again, and who has answered does not need it.
        let wanted = self.contexts.find(context).is_some_and(|context| {
            let state = context.branches.get(branch).map(|branch| &branch.state);
            !context.answered && matches!(state, Some(BranchState::Calling { cancel: false }))
        });
        if let (true, Some(datagram)) = (wanted, client.fallback.take()) {
            //= RFC 3261 18.1.1
            // "the element SHOULD retry the request, using UDP"
            self.resend_over_udp(now, id, datagram, out);
            return;
        }
        let reported = match client.machine {
            Machine::Invite(state) => {
                let (state, action) = state.on_transport_error();
                client.machine = Machine::Invite(state);
                action == invite_client::Action::ReportTransportError
            }
            Machine::Other(state) => {
                let (state, action) = state.on_transport_error();
                client.machine = Machine::Other(state);
                action == client::Action::ReportTransportError
            }
        };
        let purpose = client.purpose;
        client.set_timer(id, &mut self.timers);
        if reported {
            let report = Report::Unreachable(purpose.unreachable);
            self.on_report(now, purpose, report, out);
        }
        self.drop_if_over(id);
    }

    /// The same request with the same branch as a datagram.
    fn resend_over_udp(
        &mut self,
        now: Instant,
        id: Id<Client>,
        datagram: Fallback,
        out: &mut Outbox,
    ) {
        let Some(client) = self.clients.all.find_mut(id) else { return };
        client.sent = datagram.bytes;
        self.clients.redirect(id, datagram.flow);
        let Some(client) = self.clients.all.find_mut(id) else { return };
        client.restart(now);
        client.set_timer(id, &mut self.timers);
        client.send(id, out);
    }

    /// Removes a transaction that has nothing more to do, and tells its context.
    //= RFC 3261 17.1.1.2
    // "The client transaction MUST be destroyed the instant it enters the \"Terminated\" state."
    //= RFC 3261 17.1.2.2
    // "transaction is in the terminated state, it MUST be destroyed immediately."
    pub(crate) fn drop_if_over(&mut self, id: Id<Client>) {
        let Some(client) = self.clients.all.find(id) else { return };
        if !client.is_over() {
            return;
        }
        if let Some(client) = self.clients.remove(id) {
            if let Some(timer) = client.timer {
                self.timers.cancel(timer);
            }
            self.let_go(client.purpose.context);
        }
    }
}
