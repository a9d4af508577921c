//! RFC 5627 §6.1: a request for one device of a user, in a dialog or outside of one.

use crate::binding::Binding;
use crate::proxy::targets::next_hop;
use crate::reject::Reject;
use crate::route::gruu::Gruu;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{Plan, Rule, Way};
use ringway_wire::{Message, NameAddr, Uri};

/// The device that a request is for, if it names one of ours and nothing else says where it goes.
/// Inside a dialog the device counts and not the flow that the dialog began with: it may have come
/// back over another one.
pub(crate) fn called(
    ours: Ours<'_>,
    route: &OwnRoute,
    (request, target): (&Message<'_>, &[u8]),
) -> Option<Result<Gruu, Reject>> {
    let called = Gruu::called(ours, &Uri::parse(target).ok()?)?;
    let inside = request.to().is_ok_and(|to| to.tag().is_some());
    let has_way = route.next(request).is_some() || route.flow.is_some();
    match called {
        Ok(_) if has_way && !inside => None,
        // A GRUU may end before the dialog in which it is used.
        Err(_) if has_way => None,
        called => Some(called),
    }
}

/// The plan for a request to this device.
pub(crate) fn plan(
    ours: Ours<'_>,
    (gruu, bindings): (&Gruu, &[Binding]),
    route: &OwnRoute,
    (request, target): (&Message<'_>, &[u8]),
) -> Plan {
    let secure = matches!(Uri::parse(target), Ok(Uri::Sip(sip)) if sip.secure);
    let mut plan = gruu.plan(ours, bindings, secure);
    if plan.is_empty() {
        // The dialog may know a way that the registrar has lost.
        return next_hop(route, request, target).unwrap_or(plan);
    }
    let Some(next) = route.next(request) else { return plan };
    let way = NameAddr::parse(next).ok().and_then(|next| Way::of_route(&next.uri().ok()?, secure));
    let Some(way) = way else { return Plan::refuse(Reject::Malformed("Route")) };
    //= RFC 5627 6.1
    // "mid-dialog request), the Path URI MUST be discarded.  This is"
    for branch in plan.groups.iter_mut().flat_map(|group| &mut group.branches) {
        branch.way = way.clone();
        branch.rule = Rule::RouteHeader;
        branch.route = Default::default();
        branch.other_flows.clear();
    }
    plan
}
