//! RFC 3261 §16.6 step 7, RFC 3263 §4.3: a next hop that has several addresses is tried at one
//! after another until one of them answers. RFC 5626 §7: a device that has several flows is tried
//! over one after another until one of them leads there.

use crate::arena::Id;
use crate::boundary::Outbox;
use crate::flow::Flow;
use crate::limits;
use crate::node::Node;
use crate::proxy::response_context::{Branch, BranchState, ResponseContext};
use crate::route::plan::PlannedBranch;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What was not tried yet in place of a branch: other addresses of its next hop, other flows of
/// its device.
#[derive(Debug)]
pub(crate) struct Untried {
    planned: PlannedBranch,
    /// Its share of Max-Breadth.
    share: u32,
    /// The best address last.
    addresses: Vec<Flow>,
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
        let nothing = addresses.is_empty() && planned.other_flows.is_empty();
        (!nothing).then(|| Box::new(Self { planned: planned.clone(), share, addresses }))
    }
}

impl Node {
    /// A branch has failed at one address: the same request goes to the next one, as a branch of
    /// its own. What the failed one said stays among the answers. `false`: there is none.
    //= RFC 3263 4.3
    // "different value of the Via branch ID than the previous (and"
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
