//! A group whose turn comes late: its contacts are looked up again, for a phone that rings nowhere
//! yet may have come back over another connection, moved, or gone (RFC 5626 §7).

use crate::arena::Id;
use crate::binding::Binding;
use crate::boundary::{Outbox, Question};
use crate::node::Node;
use crate::proxy::response_context::ResponseContext;
use crate::route::ours::Ours;
use crate::route::plan::{Group, Plan, PlannedBranch, Rule};
use crate::route::target_set::{Silent, Targets, targets};
use crate::time::Instant;
use crate::waiting::Waiting;
use alloc::vec::Vec;
use ringway_wire::Uri;

impl Node {
    /// The next group is to be tried.
    pub(crate) fn next_groups_turn(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        out: &mut Outbox,
    ) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(context) = self.contexts.find_mut(id) else { return };
        let next = context.groups.front_mut();
        let looks_again = next.is_some_and(|next| core::mem::take(&mut next.looks_again));
        let Some(request) = context.request().filter(|_| looks_again) else {
            return self.next_group(now, id, out);
        };
        let target = context.route.strict_target.as_deref().unwrap_or(request.request_uri());
        let user = targets(ours, (request.method().as_bytes(), target), &mut Silent);
        let Targets::User(aor) = user else { return self.next_group(now, id, out) };
        context.looking_again = true;
        self.ask(now, Question::Locate(aor), Waiting::LookedAgain { context: id }, out);
    }

    /// Where the phones of the next group are now; `None`: nobody knows, so it is tried as it was.
    pub(crate) fn on_looked_again(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        bindings: Option<&[Binding]>,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        context.looking_again = false;
        let secure = context.request().is_some_and(|request| {
            let target = context.route.strict_target.as_deref().unwrap_or(request.request_uri());
            matches!(Uri::parse(target), Ok(Uri::Sip(sip)) if sip.secure)
        });
        //= RFC 5626 7
        // "flow, then the proxy MUST invalidate all the bindings in the target"
        if let (Some(bindings), Some(group)) = (bindings, context.groups.front_mut()) {
            let plan = Plan::for_user(bindings, &self.snapshot, secure);
            bring_up_to_date(group, plan.groups);
            if group.branches.is_empty() {
                context.groups.pop_front();
            }
        }
        self.conclude(now, id, out);
    }
}

/// The same devices over the flows that they have now, without those that are gone.
fn bring_up_to_date(group: &mut Group, now: Vec<Group>) {
    let mut now: Vec<PlannedBranch> = now.into_iter().flat_map(|group| group.branches).collect();
    group.branches.retain_mut(|planned| {
        if !matches!(planned.rule, Rule::Registered { .. }) {
            return true;
        }
        let same = |other: &PlannedBranch| match planned.device.is_empty() {
            true => other.device.is_empty() && other.target == planned.target,
            false => other.device == planned.device,
        };
        match now.iter().position(same) {
            Some(at) => *planned = now.swap_remove(at),
            None => return false,
        }
        true
    });
}
