//! RFC 3261 §16.7: what happens to a response, and §16.8, §16.9: to its absence.

use crate::arena::Id;
use crate::boundary::{DropReason, Event, Outbox};
use crate::clients::{Client, Purpose, Report};
use crate::flow::Flow;
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::border::Crossing;
use crate::proxy::next_address::retry_after;
use crate::proxy::record_route;
use crate::proxy::response_context::{Best, BranchState, Outcome, ResponseContext};
use crate::proxy::session_id;
use crate::reject::Reject;
use crate::route::ours::{Ours, address_of};
use crate::servers::Outgoing;
use crate::status;
use crate::time::Instant;
use crate::transaction::key::{ClientBranch, StatelessBranch};
use alloc::vec::Vec;
use core::ops::Range;
use ringway_wire::{Editor, Header, Message, Method, Name, Via};

impl Node {
    /// A response: to whom does it belong (§16.7 steps 1 and 2)?
    //= RFC 3261 16.7
    // "If none is found, the element MUST process the response (even if it is an"
    // "response was meant for this element and MUST NOT be forwarded."
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        flow: Flow,
        response: &Message<'_>,
        out: &mut Outbox,
    ) {
        let source = flow.remote;
        self.counters.received(response.status());
        if response.check().is_err() {
            let reason = DropReason::MalformedResponse;
            return out.event(Event::Dropped { reason, source });
        }
        if self.answers_ping(&flow, response) {
            return;
        }
        let branch = response.top_via().ok().and_then(|via| via.branch());
        if let Some(branch) = branch.and_then(StatelessBranch::parse) {
            return self.pass_back((response, &flow), &branch, out);
        }
        let Some((id, purpose)) = self.client_of(response) else {
            //= RFC 6026 7.3
            // "The proxy MUST NOT forward the response if there is no matching"
            let reason = DropReason::StrayResponse;
            return out.event(Event::Dropped { reason, source });
        };
        //= RFC 3261 17.1.3
        // "The method is needed since a CANCEL request constitutes a different transaction, but shares the same value of the branch parameter"
        if matches!(response.method(), Method::Cancel) {
            self.cancel_response(now, id, response.status());
            return;
        }
        //= RFC 3261 16.7
        // "If no Via header field values remain in the response, the"
        if response.values(Name::Via).nth(1).is_none() {
            let reason = DropReason::MalformedResponse;
            return out.event(Event::Dropped { reason, source });
        }
        if self.client_response(now, id, response, out) {
            self.take_response(now, purpose, (response, &flow), out);
        }
        self.drop_if_over(id);
    }

    /// §17.1.3: the transaction whose request, or whose CANCEL, a response answers.
    fn client_of(&self, response: &Message<'_>) -> Option<(Id<Client>, Purpose)> {
        let via = response.top_via().ok()?;
        //= RFC 3261 18.1.2
        // "the response MUST be silently discarded"
        if !self.is_sent_by(&via) {
            return None;
        }
        let branch = ClientBranch::parse(via.branch()?)?;
        let id = Id::from_bits(branch.client);
        let client = self.clients.find(id).filter(|client| client.branch == Some(branch))?;
        let context = self.contexts.find(client.purpose.context)?;
        let method = response.method();
        let fits = match context.request() {
            Some(request) => method == request.method(),
            // It is answered: what still comes is a late answer to an INVITE, or goes nowhere.
            None => context.is_invite == (method == Method::Invite),
        };
        let fits = fits || context.is_invite && method == Method::Cancel;
        fits.then_some((id, client.purpose))
    }

    /// Whether we put this sent-by into requests.
    pub(crate) fn is_sent_by(&self, via: &Via<'_>) -> bool {
        let Some(ip) = address_of(&via.host) else { return false };
        self.setup.listeners.iter().any(|listener| {
            let public = listener.public();
            public.ip() == ip && public.port() == via.port.unwrap_or(5060)
        })
    }

    /// §16.7 steps 2 to 5.
    //= RFC 3261 16.7
    // "to the proxy layer, the following processing MUST take place:"
    // "The following processing MUST be performed on each response that is forwarded."
    // "on the server transaction, the following responses MUST be forwarded immediately:"
    // "on the server transaction, the following responses MUST be forwarded immediately:"
    // "A stateful proxy MUST NOT immediately forward any other responses."
    fn take_response(
        &mut self,
        now: Instant,
        Purpose { context: id, branch: at, registered, .. }: Purpose,
        (response, source): (&Message<'_>, &Flow),
        out: &mut Outbox,
    ) {
        let status = response.status();
        let Some(context) = self.contexts.find_mut(id) else { return };
        let is_invite = context.is_invite;
        //= RFC 4320 4.2
        // "not forward any \"late\" non-INVITE responses."
        if !is_invite && status >= 200 && !self.servers.exists(context.server) {
            let (reason, source) = (DropReason::LateResponse, source.remote);
            out.event(Event::Dropped { reason, source });
        }
        if registered && self.follow(now, (id, at), response, out) {
            return;
        }
        if status::is_challenge(status) && self.log_in(now, (id, at), (response, source), out) {
            return;
        }
        let Some(context) = self.contexts.find_mut(id) else { return };
        match status {
            100..=199 => self.take_provisional(now, (id, at), (response, source), out),
            200..=299 => {
                self.branch_done(id, at, Outcome::Answered);
                self.send_back(now, (id, at), (response, source), out);
                self.close(now, id, out);
            }
            _ => {
                let mut bytes = Vec::new();
                let mut edit = Editor::new(response);
                edit.pop_via();
                let trusted = context.trusted;
                let crossing = Crossing { trusted, ..Crossing::between(source, &context.flow) };
                crossing.edit(&self.snapshot, response, &mut edit);
                session_id::drop_malformed(response, &mut edit);
                edit.finish(&mut bytes);
                let bytes = bytes.into_boxed_slice();
                let outcome = match status {
                    //= RFC 4320 4.2
                    // "A transaction-stateful SIP element MUST NOT send a response with"
                    status::REQUEST_TIMEOUT if !is_invite => Outcome::TimedOut,
                    _ => Outcome::Response { status, bytes },
                };
                self.branch_done(id, at, outcome);
                match status {
                    status::SERVICE_UNAVAILABLE => {
                        self.next_hop_failed((id, at), retry_after(response), out);
                        self.try_next_address(now, (id, at), out);
                    }
                    //= RFC 5626 7
                    // "408 (Request Timeout) or a 430 (Flow Failed) response, the proxy"
                    status::REQUEST_TIMEOUT | status::FLOW_FAILED => {
                        self.try_other_flow(now, (id, at), out);
                    }
                    _ => {}
                }
                if status >= 600 {
                    //= RFC 3261 16.7
                    // "the stateful proxy SHOULD cancel all client pending transactions"
                    self.close(now, id, out);
                }
                self.conclude(now, id, out);
            }
        }
    }

    /// §16.7 step 2, and a CANCEL that waited for it (§9.1).
    //= RFC 3261 16.7
    // "inclusive (i.e., anything but 100), the proxy MUST reset timer C for that client"
    // "to a different value, but this value MUST be greater than 3 minutes."
    // "In particular, a stateful proxy MUST NOT forward any 100 (Trying) response."
    fn take_provisional(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        (response, source): (&Message<'_>, &Flow),
        out: &mut Outbox,
    ) {
        let status = response.status();
        let Some(context) = self.contexts.find_mut(id) else { return };
        let is_invite = context.is_invite;
        let Some(branch) = context.branches.get_mut(at) else { return };
        if let (true, 101..) = (is_invite, status) {
            //= RFC 3261 16.7
            // "the proxy MUST reset timer C for that client"
            if let Some(timer) = branch.timer_c.take() {
                self.timers.cancel(timer);
                let again = Timer::C(id, at as u8);
                let due = now + limits::TIMER_C;
                branch.timer_c = Some(self.timers.schedule(due, again));
            }
        }
        let cancel = match branch.state {
            BranchState::Calling { cancel } => cancel,
            // Who speaks after all is waited for like others, or not wanted any more.
            BranchState::Silent { cancel } => cancel || context.closed,
            _ => false,
        };
        let client = branch.client;
        if matches!(branch.state, BranchState::Calling { .. } | BranchState::Silent { .. }) {
            branch.state = BranchState::Proceeding;
        }
        if cancel {
            branch.state = BranchState::Cancelling;
            if let Some(client) = client {
                self.client_cancel(now, client, out);
            }
        }
        //= RFC 3261 16.7
        // "Any provisional response other than 100 (Trying)"
        if status > 100 && is_invite {
            self.send_back(now, (id, at), (response, source), out);
        }
    }

    /// What a client transaction says in place of a response (§16.8, §16.9).
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        purpose: Purpose,
        report: Report,
        out: &mut Outbox,
    ) {
        let outcome = match report {
            Report::TimedOut => Outcome::TimedOut,
            Report::Unreachable(reject) => Outcome::Local(reject),
        };
        let (id, at) = (purpose.context, purpose.branch);
        let branch = self.contexts.find(id).and_then(|context| context.branches.get(at));
        //= RFC 3263 4.3
        // "Failure also occurs if the transaction layer times out without ever"
        let heard_nothing =
            branch.is_some_and(|branch| matches!(branch.state, BranchState::Calling { .. }));
        self.branch_done(id, at, outcome);
        if heard_nothing {
            self.next_hop_failed((id, at), None, out);
        }
        if !(heard_nothing && self.try_next_address(now, (id, at), out)) {
            self.try_other_flow(now, (id, at), out);
        }
        self.conclude(now, id, out);
    }

    /// A branch has its outcome; a later one does not change it.
    pub(crate) fn branch_done(&mut self, id: Id<ResponseContext>, at: usize, outcome: Outcome) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        let Some(branch) = context.branches.get_mut(at) else { return };
        if let Some(timer) = branch.timer_c.take() {
            self.timers.cancel(timer);
        }
        if !matches!(branch.state, BranchState::Done(_)) {
            branch.state = BranchState::Done(outcome);
        }
    }

    /// §16.7 steps 6 to 9, once all branches are done: the next group, or the best answer.
    //= RFC 3261 16.7
    // "as described in Section 10, and it MUST NOT create any new branches in this context."
    // "A stateful proxy MUST send a final response to a response context's server transaction"
    // "The stateful proxy MUST choose the \"best\" final response among those received and"
    // "final responses in the context, the proxy MUST send a 408 (Request Timeout) response"
    // "Otherwise, the proxy MUST forward a response from the responses stored in the response"
    pub(crate) fn conclude(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        if context.answered || context.looking_again {
            return;
        }
        if !context.closed && !context.has_6xx() && context.is_next_groups_turn() {
            return self.next_groups_turn(now, id, out);
        }
        if !context.all_done() {
            return;
        }
        context.closed = true;
        match context.best() {
            Best::Response(at) => self.send_best(now, id, at, out),
            // Whatever became of the branches, the caller wanted their end.
            Best::Local(_) | Best::TimedOut if context.cancelled => {
                self.answer(now, id, status::REQUEST_TERMINATED, out);
            }
            Best::Local(reject) => self.refuse_context(now, id, reject, out),
            Best::TimedOut => {
                if context.is_invite {
                    //= RFC 3261 16.7
                    // "the proxy MUST send a 408 (Request Timeout)"
                    self.answer(now, id, status::REQUEST_TIMEOUT, out);
                } else {
                    //= RFC 4320 4.2
                    // "A transaction-stateful SIP element MUST NOT send a response with Status-Code of 408 to a non-INVITE request"
                    context.answered = true;
                }
            }
        }
    }

    /// Sends a response on as it came, our Via taken off.
    //= RFC 3261 16.7
    // "Any response chosen for immediate forwarding MUST be processed as described in steps"
    // "A proxy MUST NOT insert a tag into the To header field of a 1xx or 2xx response if the"
    // "A proxy MUST NOT modify the tag in the To header field of a 1xx or 2xx response."
    // "A proxy MUST NOT modify the To tag in any forwarded response to a request that"
    // "The proxy MUST NOT add to, modify, or remove the message body."
    // "Unless otherwise specified, the proxy MUST NOT remove any header field values other"
    // "In particular, the proxy MUST NOT remove any \"received\" parameter it may have added to"
    fn send_back(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        (response, source): (&Message<'_>, &Flow),
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        let server = context.server;
        let mut edit = Editor::reusing(core::mem::take(&mut self.scratch), response);
        edit.pop_via();
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let login = context.branches.get(at).and_then(|branch| branch.login.as_ref());
        let peer = login.map_or(0, |login| login.tag(&self.setup.keys));
        let sides = (&context.flow, context.record_routes, peer);
        record_route::face_callee(ours, response, sides, &mut edit);
        let trusted = context.trusted;
        let crossing = Crossing { trusted, ..Crossing::between(source, &context.flow) };
        crossing.edit(&self.snapshot, response, &mut edit);
        session_id::drop_malformed(response, &mut edit);
        if context.flow.transport.is_reliable() {
            edit.complete_content_length();
        }
        let (bytes, scratch) = edit.finish_and_return(&mut out.bytes);
        self.scratch = scratch;
        self.reply(now, (id, server), Outgoing { status: response.status(), bytes }, out);
    }

    /// Sends any response of a context, and notes what it means.
    //= RFC 3261 16.7
    // "The proxy MUST pass the response to the server transaction associated with the"
    pub(crate) fn reply(
        &mut self,
        now: Instant,
        (id, server): (Id<ResponseContext>, Id<crate::servers::Server>),
        response: Outgoing,
        out: &mut Outbox,
    ) {
        let status = response.status;
        let sent = self.server_send(now, server, response, out);
        let Some(context) = self.contexts.find_mut(id) else { return };
        if status >= 200 {
            context.answered = true;
            // What only waits for repetitions needs no more than the response.
            context.request = None;
            if let Some(timer) = context.group_timer.take() {
                self.timers.cancel(timer);
            }
        }
        if let (true, Some(call)) = (sent, context.call) {
            self.calls.responded(now, (call, status), &mut self.timers, out);
        }
    }

    /// A response of our own to the request of a context.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        status: u16,
        out: &mut Outbox,
    ) {
        let Some(server) = self.contexts.find(id).map(|context| context.server) else { return };
        if let Some(bytes) = self.write_answer(id, status, out) {
            self.reply(now, (id, server), Outgoing { status, bytes }, out);
        }
    }

    pub(crate) fn write_answer(
        &self,
        id: Id<ResponseContext>,
        status: u16,
        out: &mut Outbox,
    ) -> Option<Range<usize>> {
        let context = self.contexts.find(id)?;
        let request = context.request()?;
        let mut response = self.respond(&mut out.bytes, &request, status, context.flow.remote);
        if status == status::TRYING {
            //= RFC 3261 8.2.6.1
            // "Timestamp header field present in the request MUST be copied into"
            let is_it = |h: &Header<'_>| h.raw_name.eq_ignore_ascii_case(b"Timestamp");
            let others = request.headers().filter(|header| header.name == Name::Other);
            for header in others.filter(is_it).take(1) {
                response.header("Timestamp", header.value);
            }
        }
        Some(response.finish(None))
    }

    /// Refuses the request of a context.
    pub(crate) fn refuse_context(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        reject: Reject,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        let (server, source) = (context.server, context.flow.remote);
        let Some(request) = context.request() else { return };
        // What a proxy may make up for, with another flow, says nothing to an end point.
        let reject = match reject {
            Reject::FlowFailed if request.values(Name::Via).nth(1).is_none() => {
                Reject::TemporarilyUnavailable
            }
            other => other,
        };
        let bytes = self.write_refusal(&mut out.bytes, &request, reject, source);
        out.event(Event::Refused { reject, source });
        self.reply(now, (id, server), Outgoing { status: reject.status(), bytes }, out);
    }

    /// Something inside did not answer in time.
    pub(crate) fn no_answer(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        if self.contexts.find(id).is_some_and(|context| !context.closed) {
            self.shut(id);
            self.refuse_context(now, id, Reject::NoAnswerInside, out);
        }
    }

    /// No further branches will be tried.
    pub(crate) fn shut(&mut self, id: Id<ResponseContext>) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        context.closed = true;
        context.groups = Default::default();
        if let Some(timer) = context.group_timer.take() {
            self.timers.cancel(timer);
        }
    }

    /// A context goes when none of its transactions is left.
    //= RFC 3261 16.7
    // "The proxy MUST maintain the response context until all of its associated transactions"
    pub(crate) fn let_go(&mut self, id: Id<ResponseContext>) {
        let Some(context) = self.contexts.find(id) else { return };
        let alive = self.servers.exists(context.server)
            || context.branches.iter().any(|branch| {
                branch.client.is_some_and(|client| self.clients.find(client).is_some())
            });
        if alive {
            return;
        }
        self.shut(id);
        if let Some(context) = self.contexts.remove(id) {
            for timer in context.branches.iter().filter_map(|branch| branch.timer_c) {
                self.timers.cancel(timer);
            }
        }
    }
}
