//! RFC 3261 §16.6 step 7, RFC 3263 §4.3: a next hop that has several addresses is tried at one
//! after another until one of them answers. RFC 5626 §7: a device that has several flows is tried
//! over one after another until one of them leads there.
//!
//! The transaction layer reports silence after half a minute, and by then most callers have given
//! up. So the next address is asked sooner, beside the silent one, whose answer still counts if
//! it comes (`docs/decisions/0015-next-hops.md`).

use crate::arena::Id;
use crate::boundary::{Outbox, Output};
use crate::flow::Flow;
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::response_context::{Branch, BranchState, ResponseContext};
use crate::route::plan::PlannedBranch;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ringway_wire::{Message, Name};

/// What was not tried yet in place of a branch: other addresses of its next hop, other flows of
/// its device.
#[derive(Debug)]
pub(crate) struct Untried {
    planned: PlannedBranch,
    /// Its share of Max-Breadth.
    share: u32,
    /// The best address last.
    addresses: Vec<Flow>,
    /// Whether a look-up led there.
    looked_up: bool,
}

impl Untried {
    /// What is left of a look-up's result when its first address is tried; of a branch without a
    /// look-up, with none.
    pub(crate) fn behind_first(
        planned: &PlannedBranch,
        share: u32,
        found: &[Flow],
    ) -> Option<Box<Self>> {
        let rest = found.iter().take(limits::ADDRESSES_PER_HOP).skip(1);
        let addresses: Vec<Flow> = rest.rev().copied().collect();
        let looked_up = !found.is_empty();
        let wanted = looked_up || !planned.other_flows.is_empty();
        wanted.then(|| Box::new(Self { planned: planned.clone(), share, addresses, looked_up }))
    }
}

impl Node {
    /// A branch was sent to one of several addresses: silence there is not waited out.
    pub(crate) fn expect_word(&mut self, now: Instant, (id, at): (Id<ResponseContext>, usize)) {
        let Some(context) = self.contexts.find(id) else { return };
        let untried = context.branches.get(at).and_then(|branch| branch.untried.as_ref());
        if untried.is_some_and(|untried| !untried.addresses.is_empty()) {
            let patience = match context.is_invite {
                true => limits::SILENCE_OF_INVITE,
                false => limits::SILENCE_OF_OTHERS,
            };
            self.timers.schedule(now + patience, Timer::Silence(id, at as u8));
        }
    }

    /// Nothing was heard of an address in all that time: the next one is tried beside it.
    pub(crate) fn on_silence(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        out: &mut Outbox,
    ) {
        let calling = BranchState::Calling { cancel: false };
        let branch = self.contexts.find(id).and_then(|context| context.branches.get(at));
        if branch.is_none_or(|branch| branch.state != calling) {
            return;
        }
        self.next_hop_failed((id, at), None, out);
        if self.try_next_address(now, (id, at), out)
            && let Some(context) = self.contexts.find_mut(id)
        {
            context.branches[at].state = BranchState::Silent { cancel: false };
            self.conclude(now, id, out);
        }
    }

    /// Whoever looks next hops up hears that one did not serve.
    pub(crate) fn next_hop_failed(
        &self,
        (id, at): (Id<ResponseContext>, usize),
        retry_after_s: Option<u32>,
        out: &mut Outbox,
    ) {
        let branch = self.contexts.find(id).and_then(|context| context.branches.get(at));
        let looked_up = |branch: &&Branch| branch.untried.as_ref().is_some_and(|u| u.looked_up);
        let client = branch.filter(looked_up).and_then(|branch| branch.client);
        if let Some(client) = client.and_then(|client| self.clients.find(client)) {
            out.outputs.push(Output::Avoid { flow: client.flow(), retry_after_s });
        }
    }

    /// A branch has failed at one address: the same request goes to the next one, as a branch of
    /// its own. What the failed one said stays among the answers. `false`: there is none.
    //= RFC 3263 4.3
    // "different value of the Via branch ID than the previous (and"
    //= RFC 3261 16.6
    // "As described in [4], the proxy MUST attempt to deliver the message to the first tuple"
    // "For each tuple attempted, the proxy MUST format the message as appropriate for the"
    pub(crate) fn try_next_address(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        out: &mut Outbox,
    ) -> bool {
        let has_address = |untried: &Untried| !untried.addresses.is_empty();
        let Some(mut untried) = self.untried((id, at), has_address) else { return false };
        let Some(flow) = untried.addresses.pop() else { return false };
        let Some(context) = self.contexts.find_mut(id) else { return false };
        let (planned, share) = (untried.planned.clone(), untried.share);
        let branch = context.branches.len();
        context.branches.push(Branch {
            client: None,
            state: BranchState::Locating,
            timer_c: None,
            untried: Some(untried),
            login: None,
        });
        self.forward(now, (id, branch), (&planned, flow, share), out);
        true
    }

    /// A flow did not lead to its device: the request goes over another one, if there is any.
    //= RFC 5626 7
    // "(Flow Failed) response, the proxy SHOULD replace the failed branch"
    pub(crate) fn try_other_flow(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        out: &mut Outbox,
    ) {
        let Some(untried) = self.untried((id, at), |_| true) else { return };
        let share = untried.share;
        if let Some(next) = untried.planned.next_flow() {
            self.start_branch(now, id, &next, share, out);
        }
    }

    /// What may be tried in place of a branch if it is wanted, for the one time that it is.
    fn untried(
        &mut self,
        (id, at): (Id<ResponseContext>, usize),
        wanted: impl Fn(&Untried) -> bool,
    ) -> Option<Box<Untried>> {
        let context = self.contexts.find_mut(id)?;
        let may = !context.closed
            && context.branches.len() < limits::BRANCHES_PER_REQUEST
            && self.servers.exists(context.server);
        let untried = &mut context.branches.get_mut(at)?.untried;
        untried.take_if(|untried| may && wanted(untried))
    }
}

/// For how long a server that is overloaded wants to be left alone, in seconds.
//= RFC 3261 20.33
// "made.  The value of this field is a positive integer number of"
pub(crate) fn retry_after(response: &Message<'_>) -> Option<u32> {
    let value = response.header(Name::RetryAfter)?;
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    core::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}
