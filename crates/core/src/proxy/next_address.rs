//! RFC 3261 §16.6 step 7, RFC 3263 §4.3: a next hop that has several addresses is tried at one
//! after another until one of them answers.

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

/// The addresses of a branch that were not tried yet.
#[derive(Debug)]
pub(crate) struct NextAddresses {
    planned: PlannedBranch,
    /// Its share of Max-Breadth.
    share: u32,
    /// The best one last.
    flows: Vec<Flow>,
}

impl NextAddresses {
    /// What is left of a look-up's result when its first address is tried.
    pub(crate) fn behind_first(
        planned: &PlannedBranch,
        share: u32,
        flows: &[Flow],
    ) -> Option<Box<Self>> {
        let rest = flows.iter().take(limits::ADDRESSES_PER_HOP).skip(1);
        let flows: Vec<Flow> = rest.rev().copied().collect();
        (!flows.is_empty()).then(|| Box::new(Self { planned: planned.clone(), share, flows }))
    }
}

impl Node {
    /// A branch has failed at one address: the same request goes to the next one, as a branch of
    /// its own. What the failed one said stays among the answers.
    //= RFC 3263 4.3
    // "different value of the Via branch ID than the previous (and"
    pub(crate) fn try_next_address(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        let may = !context.closed
            && context.branches.len() < limits::BRANCHES_PER_REQUEST
            && self.servers.exists(context.server);
        let next = context.branches.get_mut(at).and_then(|branch| branch.next_addresses.take());
        let (true, Some(mut next)) = (may, next) else { return };
        let Some(flow) = next.flows.pop() else { return };
        let (planned, share) = (next.planned.clone(), next.share);
        let branch = context.branches.len();
        context.branches.push(Branch {
            client: None,
            state: BranchState::Locating,
            timer_c: None,
            next_addresses: Some(next),
        });
        self.forward(now, (id, branch), (&planned, flow, share), out);
    }
}
