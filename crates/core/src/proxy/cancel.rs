//! CANCEL: RFC 3261 §9, §16.10; and Timer C (§16.8), which ends a branch in the same way.

use crate::arena::Id;
use crate::boundary::{DropReason, Event, Outbox};
use crate::flow::Flow;
use crate::node::Node;
use crate::proxy::response_context::{BranchState, Outcome, ResponseContext};
use crate::reject::Reject;
use crate::servers::Server;
use crate::status;
use crate::time::Instant;
use crate::transaction::key::ServerKey;
use ringway_wire::{Message, Method};

impl Node {
    /// A CANCEL. It is answered at once, and never challenged (§22.1).
    //= RFC 3261 16.10
    // "matching response context is found, the element MUST immediately return a 200 (OK)"
    pub(crate) fn on_cancel(
        &mut self,
        now: Instant,
        flow: Flow,
        cancel: &Message<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let key = ServerKey::of(&self.setup.keys, cancel, &Method::Invite);
        let server = key.and_then(|key| self.servers.by_key(&key));
        //= RFC 3261 22.1
        // "server if it comes from the same hop that sent the request being"
        let server = server.filter(|&server| self.servers.came_from(server, flow.remote.ip()));
        let Some(server) = server else {
            if self.pass_follower(now, flow, cancel, out)? {
                return Ok(());
            }
            if flow.transport.is_reliable() {
                //= RFC 3261 9.2
                // "it SHOULD respond to the CANCEL with a 481"
                return Err(Reject::NoSuchTransaction);
            }
            //= RFC 3261 8.2.7
            // "o  A stateless UAS MUST ignore CANCEL requests."
            let (reason, source) = (DropReason::StrayCancel, flow.remote);
            out.event(Event::Dropped { reason, source });
            return Ok(());
        };
        self.send_stateless(flow, cancel, status::OK, out);
        self.give_up_server(now, server, out);
        Ok(())
    }

    fn give_up_server(&mut self, now: Instant, server: Id<Server>, out: &mut Outbox) {
        if let Some(context) = self.servers.context(server)
            && self.contexts.find(context).is_some_and(|context| !context.answered)
        {
            self.give_up(now, context, out);
        }
    }

    /// The connection of a caller ended. One that can be reached by its address gets its answer
    /// over another (§18.2.2), and nothing changes for those it called. A WebSocket client has no
    /// address (RFC 7118 §5): nobody would hear an answer, so nobody rings for it any longer.
    //= RFC 3261 16.10
    // "A stateful proxy MAY generate a CANCEL to any other request it has"
    pub(crate) fn callers_lost(&mut self, now: Instant, flow: &Flow, out: &mut Outbox) {
        for server in self.servers.unanswerable_with(flow.connection) {
            self.give_up_server(now, server, out);
        }
    }

    /// The caller wants no more: all that rings is cancelled, and nothing else tried.
    //= RFC 3261 16.10
    // "A proxy MUST cancel any pending client transactions associated with a response context"
    // "Furthermore, the element MUST generate CANCEL requests for all pending client"
    fn give_up(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        let nobody_asked = self.contexts.find(id).is_some_and(|c| c.branches.is_empty());
        self.close(now, id, out);
        let Some(context) = self.contexts.find_mut(id) else { return };
        context.cancelled = true;
        context.drop_unsent();
        let locating = context.branches.iter().all(|branch| branch.client.is_none());
        if nobody_asked || (locating && context.all_done()) {
            //= RFC 3261 9.2
            // "SHOULD immediately respond to the INVITE with a 487"
            return self.answer(now, id, status::REQUEST_TERMINATED, out);
        }
        self.conclude(now, id, out);
    }

    /// §16.7 step 10: cancels what still rings, and tries nobody else.
    //= RFC 3261 16.7
    // "response was a final response, the proxy MUST generate a CANCEL request for all"
    pub(crate) fn close(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        self.shut(id);
        let branches = self.contexts.find(id).map_or(0, |context| context.branches.len());
        for at in 0..branches {
            self.cancel_branch(now, id, at, out);
        }
    }

    /// Cancels one branch: at once if it has answered provisionally, else as soon as it does.
    fn cancel_branch(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        at: usize,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        if !context.is_invite {
            return;
        }
        let Some(branch) = context.branches.get_mut(at) else { return };
        branch.untried = None;
        match branch.state {
            BranchState::Calling { .. } => branch.state = BranchState::Calling { cancel: true },
            BranchState::Proceeding => {
                branch.state = BranchState::Cancelling;
                if let Some(client) = branch.client {
                    self.client_cancel(now, client, out);
                }
            }
            //= RFC 3261 9.1
            // "NOT be sent; rather, the client MUST wait for the arrival of a"
            BranchState::Silent { .. } => branch.state = BranchState::Silent { cancel: true },
            BranchState::Locating | BranchState::Cancelling | BranchState::Done(_) => {}
        }
    }

    /// A group has rung long enough: its branches are cancelled, and the next group tried when
    /// they have ended.
    pub(crate) fn on_group_timer(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        context.group_timer = None;
        if context.closed {
            return;
        }
        context.drop_unsent();
        for at in 0..context.branches.len() {
            self.cancel_branch(now, id, at, out);
        }
        self.conclude(now, id, out);
    }

    /// §16.8: Timer C of a branch.
    //= RFC 3261 16.8
    // "If timer C should fire, the proxy MUST either reset the timer with any value it"
    // "has received a provisional response, the proxy MUST generate a CANCEL request matching"
    // "not received a provisional response, the proxy MUST behave as if the transaction"
    pub(crate) fn on_timer_c(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        let Some(branch) = context.branches.get_mut(at) else { return };
        branch.timer_c = None;
        match branch.state {
            //= RFC 3261 16.8
            // "the proxy MUST generate a CANCEL request matching that transaction"
            BranchState::Proceeding => self.cancel_branch(now, id, at, out),
            BranchState::Calling { .. } | BranchState::Silent { .. } => {
                self.branch_done(id, at, Outcome::TimedOut);
                self.conclude(now, id, out);
            }
            BranchState::Locating | BranchState::Cancelling | BranchState::Done(_) => {}
        }
    }
}
