//! From a checked request to branches: RFC 3261 §16.5, and the execution of the plan.

use crate::address_of_record::AddressOfRecord;
use crate::arena::Id;
use crate::binding::Binding;
use crate::boundary::{Outbox, Question};
use crate::calls::CallKey;
use crate::flow::{CertifiedName, Flow};
use crate::identity::Claim;
use crate::limits;
use crate::locate::NextHop;
use crate::node::{Node, Timer};
use crate::proxy::device;
use crate::proxy::next_address::Untried;
use crate::proxy::response_context::{Branch, BranchState, Outcome, ResponseContext};
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{Plan, PlannedBranch, Rule, Way};
use crate::route::rules::Service;
use crate::route::target_set::{Silent, Targets, plan_for_user, targets};
use crate::status;
use crate::time::{Duration, Instant};
use crate::waiting::Waiting;
use alloc::vec::Vec;
use ringway_wire::{Message, Method, Name, NameAddr, StoredMessage, Uri};

/// What the first half of a request's life found out.
pub(crate) struct Admitted {
    pub(crate) route: OwnRoute,
    /// The account that proved to have sent it, unless it is that of a peer.
    pub(crate) caller: Option<AddressOfRecord>,
    /// The nonce count that is spent with this request.
    pub(crate) claim: Option<Claim>,
    /// Whether the peer that proved to have sent it is of our trust domain.
    pub(crate) trusted: bool,
}

impl Admitted {
    /// Its route is enough, or the peer that it comes from.
    pub(crate) fn by_way(route: OwnRoute) -> Self {
        Self { route, caller: None, claim: None, trusted: false }
    }
}

impl Node {
    /// Gives the request its transaction and its response context. From here on there is state,
    /// so its sender has proved that it hears us.
    //= RFC 3261 16.1
    // "is forwarded to more than one location MUST be handled statefully."
    // "reliable delivery on one of the transports MUST be forwarded transaction statefully."
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        admitted: Admitted,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let full = self.servers.len() >= limits::TRANSACTIONS
            || self.contexts.len() >= limits::TRANSACTIONS;
        if full {
            return Err(Reject::Overloaded);
        }
        let Admitted { route, caller, claim, trusted } = admitted;
        let is_invite = matches!(request.method(), Method::Invite);
        if matches!(request.method(), Method::Bye) && route.signed {
            self.calls.bye(&self.setup.keys, request, &mut self.timers, out);
        }
        let server = self.serve(now, flow, request);
        let context = self.contexts.insert(ResponseContext {
            server,
            flow,
            caller,
            trusted,
            request: Some(request.to_stored()),
            record_routes: request.values(Name::RecordRoute).count(),
            route,
            is_invite,
            breadth: breadth_of(request),
            groups: Default::default(),
            otherwise: Reject::TemporarilyUnavailable,
            followed: Vec::new(),
            tried: Vec::new(),
            looking_again: false,
            branches: Vec::new(),
            answered: false,
            closed: false,
            cancelled: false,
            group_timer: None,
            call: None,
        });
        self.servers.belongs_to(server, context);
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        // A redirection is there at once, so it comes without a 100 (RFC 3261 17.2.1).
        if is_invite && !ours.redirects(request) {
            //= RFC 3261 16.2
            // "MUST behave as a UAS with respect to sending an immediate provisional"
            self.answer(now, context, status::TRYING, out);
        }
        match claim {
            Some(Claim { account, nonce, nc, ends }) => {
                let question = Question::Spend { account, nonce, nc, ends };
                self.ask(now, question, Waiting::Spent { context }, out);
            }
            None => self.find_targets(now, context, out),
        }
        Ok(())
    }

    /// The nonce count was new, or it was not.
    pub(crate) fn on_spent(
        &mut self,
        now: Instant,
        context: Id<ResponseContext>,
        fresh: bool,
        out: &mut Outbox,
    ) {
        if fresh {
            self.find_targets(now, context, out);
        } else {
            self.refuse_replayed(now, context, out);
        }
    }

    /// RFC 3261 §16.5: where the request goes.
    fn find_targets(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        let Some(context) = self.contexts.find(id) else { return };
        if context.closed {
            return;
        }
        let Some(stored) = context.request() else { return };
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let target = context.route.strict_target.as_deref().unwrap_or(stored.request_uri());
        match device::called(ours, &context.route, (&stored, target)) {
            Some(Ok(gruu)) => {
                let waiting = Waiting::Located { context: id, service: Service::Proxy };
                return self.ask(now, Question::Locate(gruu.aor), waiting, out);
            }
            Some(Err(reject)) => return self.execute(now, id, Plan::refuse(reject), out),
            None => {}
        }
        let plan = match next_hop(&context.route, &stored, target) {
            Some(plan) => plan,
            None => match targets(ours, (stored.method().as_bytes(), target), &mut Silent) {
                Targets::Known(plan) => plan,
                Targets::User(aor) => {
                    let service = self.snapshot.service(aor.domain());
                    let waiting = Waiting::Located { context: id, service };
                    return self.ask(now, Question::Locate(aor), waiting, out);
                }
            },
        };
        self.execute(now, id, plan, out);
    }

    /// The contacts of the user who is called are known.
    pub(crate) fn on_located(
        &mut self,
        now: Instant,
        (id, service): (Id<ResponseContext>, Service),
        bindings: &[Binding],
        out: &mut Outbox,
    ) {
        let Some(found) = self.contexts.find(id) else { return };
        let Some(request) = found.request() else { return };
        let target = found.route.strict_target.as_deref().unwrap_or(request.request_uri());
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let plan = match device::called(ours, &found.route, (&request, target)) {
            Some(Ok(gruu)) => {
                device::plan(ours, (&gruu, bindings), &found.route, (&request, target))
            }
            _ => plan_for_user(ours, service, (bindings, target), &mut Silent),
        };
        self.execute(now, id, plan, out);
    }

    /// Takes a plan and tries its first group.
    pub(crate) fn execute(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        mut plan: Plan,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        if context.closed {
            return;
        }
        if let Some(redirect) = &plan.redirect {
            return self.redirect(now, id, redirect, out);
        }
        let mut room = limits::BRANCHES_PER_REQUEST;
        for group in &mut plan.groups {
            group.branches.truncate(room);
            room -= group.branches.len();
        }
        plan.groups.retain(|group| !group.branches.is_empty());
        context.otherwise = plan.otherwise;
        context.groups = plan.groups.into();
        let (server, begins_call) =
            (context.server, context.is_invite && !context.groups.is_empty());
        if let Some(request) = context.request.as_ref().map(StoredMessage::message)
            && begins_call
            && request.to().is_ok_and(|to| to.tag().is_none())
        {
            let key = CallKey::of_invite(&self.setup.keys, &request);
            if self.calls.start((now, key), &request, &mut self.timers, out) {
                context.call = Some(key);
            }
        }
        // What was taken for a redirection is forwarded after all.
        if begins_call && self.servers.owes_trying(server) {
            self.answer(now, id, status::TRYING, out);
        }
        self.next_group(now, id, out);
    }

    /// Tries the next group; without one the best answer so far goes back.
    pub(crate) fn next_group(&mut self, now: Instant, id: Id<ResponseContext>, out: &mut Outbox) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        if let Some(timer) = context.group_timer.take() {
            self.timers.cancel(timer);
        }
        let group = if context.closed { None } else { context.groups.pop_front() };
        let Some(group) = group else { return self.conclude(now, id, out) };
        let breadth = context.breadth.saturating_sub(context.open());
        if breadth < group.branches.len() as u32 {
            //= RFC 5393 5.3.3
            // "that proxy MUST return a 440 (Max-Breadth"
            context.closed = true;
            let outcome = Outcome::Local(Reject::MaxBreadthExceeded);
            let state = BranchState::Done(outcome);
            let (timer_c, untried, login) = (None, None, None);
            context.branches.push(Branch { client: None, state, timer_c, untried, login });
            return self.conclude(now, id, out);
        }
        if context.is_invite && !context.groups.is_empty() && group.timeout_s > 0 {
            let at = now + Duration::from_secs(u64::from(group.timeout_s));
            context.group_timer = Some(self.timers.schedule(at, Timer::Group(id)));
        }
        if self.snapshot.settings.follow_redirects {
            context.tried.extend(group.branches.iter().cloned());
        }
        let shares = shares(breadth, group.branches.len() as u32);
        // Most requests have one branch.
        context.branches.reserve_exact(group.branches.len());
        for (planned, share) in group.branches.into_iter().zip(shares) {
            self.start_branch(now, id, &planned, share, out);
        }
        self.conclude(now, id, out);
    }

    pub(crate) fn start_branch(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        planned: &PlannedBranch,
        share: u32,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        let branch = context.branches.len();
        context.branches.push(Branch {
            client: None,
            state: BranchState::Locating,
            timer_c: None,
            untried: Untried::behind_first(planned, share, &[]),
            login: None,
        });
        let first = context.flow.socket;
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let hop = match &planned.way {
            Way::Flow(flow) => {
                let flow = *flow;
                return self.forward(now, (id, branch), (planned, flow, share), out);
            }
            Way::Address { remote, .. } if !ours.may_send_to(*remote) => {
                let outcome = Outcome::Local(Reject::ForbiddenAddress);
                return self.branch_done(id, branch, outcome);
            }
            Way::Address { remote, transport } => {
                if let Some(socket) = ours.socket_for(*transport, *remote, first) {
                    let flow = Flow {
                        socket,
                        transport: *transport,
                        connection: crate::flow::ConnectionId::NONE,
                        remote: *remote,
                        certified: CertifiedName::NONE,
                    };
                    return self.forward(now, (id, branch), (planned, flow, share), out);
                }
                NextHop::numeric(*remote, *transport)
            }
            Way::Lookup(hop) => hop.clone(),
        };
        let question = Question::Resolve(hop);
        let waiting = Waiting::Resolved { context: id, branch, planned: planned.clone(), share };
        self.ask(now, question, waiting, out);
    }

    /// The next hop of a branch is known.
    pub(crate) fn on_resolved(
        &mut self,
        now: Instant,
        (id, branch): (Id<ResponseContext>, usize),
        (planned, share): (&PlannedBranch, u32),
        flows: &[Flow],
        out: &mut Outbox,
    ) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let allowed = flows.iter().filter(|flow| ours.may_send_to(flow.remote));
        let allowed: Vec<Flow> = allowed.copied().collect();
        let branches = self.contexts.find_mut(id).filter(|context| !context.closed);
        let found = branches.and_then(|context| context.branches.get_mut(branch));
        let found = found.filter(|branch| branch.state == BranchState::Locating);
        match (allowed.first(), found) {
            (Some(&flow), Some(found)) => {
                found.untried = Untried::behind_first(planned, share, &allowed);
                self.forward(now, (id, branch), (planned, flow, share), out);
            }
            _ => {
                let reject = match flows.is_empty() {
                    true => planned.rule.unreachable(),
                    false => Reject::ForbiddenAddress,
                };
                self.branch_done(id, branch, Outcome::Local(reject));
                self.try_other_flow(now, (id, branch), out);
            }
        }
        self.conclude(now, id, out);
    }
}

/// A next hop that was settled before any routing: the dialog's flow, or a Route header.
//= RFC 3261 16.6
// "described in step 6 above, the proxy MUST apply those procedures to the Request-URI of"
// "Otherwise, the proxy MUST apply the procedures to the first value in the Route header"
// "Request-URI specifies a SIPS resource, the proxy MUST follow the procedures of [4] as"
pub(crate) fn next_hop(route: &OwnRoute, request: &Message<'_>, target: &[u8]) -> Option<Plan> {
    Some(match next_way(route, request, target)? {
        Ok((way, rule)) => Plan::single(target, way, rule),
        Err(reject) => Plan::refuse(reject),
    })
}

/// The same as the one way there, and what says so.
pub(crate) fn next_way(
    route: &OwnRoute,
    request: &Message<'_>,
    target: &[u8],
) -> Option<Result<(Way, Rule), Reject>> {
    match (route.next(request), route.flow) {
        (Some(value), _) => {
            let Ok(next) = NameAddr::parse(value) else {
                return Some(Err(Reject::Malformed("Route")));
            };
            let secure = is_sips(target);
            let way = next.uri().ok().and_then(|uri| Way::of_route(&uri, secure));
            Some(way.map(|way| (way, Rule::RouteHeader)).ok_or(Reject::UnsupportedScheme))
        }
        (None, Some(flow)) => Some(Ok((Way::Flow(flow), Rule::InDialog))),
        (None, None) => None,
    }
}

fn is_sips(uri: &[u8]) -> bool {
    matches!(Uri::parse(uri), Ok(Uri::Sip(sip)) if sip.secure)
}

/// RFC 5393 §5.3.3: what a request may be forked to at the same time.
pub(crate) fn breadth_of(request: &Message<'_>) -> u32 {
    let said = request
        .header(Name::MaxBreadth)
        .and_then(|value| core::str::from_utf8(value).ok()?.trim().parse::<u32>().ok());
    //= RFC 5393 5.3.3
    // "it MUST add one, with a value that is RECOMMENDED to be 60"
    said.unwrap_or(limits::MAX_BREADTH).min(limits::MAX_BREADTH)
}

/// Divides the breadth among branches, the first ones getting what is left over.
fn shares(breadth: u32, branches: u32) -> impl Iterator<Item = u32> {
    let (each, over) = (breadth / branches.max(1), breadth % branches.max(1));
    (0..branches).map(move |at| each + u32::from(at < over))
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn breadth_is_divided_without_loss() {
        assert!(shares(60, 3).eq([20, 20, 20]));
        assert!(shares(7, 3).eq([3, 2, 2]));
        assert!(shares(1, 1).eq([1]));
    }
}
