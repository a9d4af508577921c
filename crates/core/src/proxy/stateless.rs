//! RFC 3261 §16.11: requests that pass without leaving anything behind.
//!
//! Only peers are served like this, who need no challenge: who answers one spends a nonce count
//! with it, and its repetitions would spend it again.
//! Where a request goes depends on itself and on what is configured or registered, so that what
//! comes again, and the CANCEL and the ACK that belong to it, take the same way with the same
//! branch (`docs/decisions/0020-stateless.md`).

use crate::binding::Binding;
use crate::boundary::{DropReason, Event, Outbox, Output, Question};
use crate::check;
use crate::flow::{CertifiedName, ConnectionId, Flow};
use crate::identity::Caller;
use crate::keys::Keys;
use crate::locate::NextHop;
use crate::node::Node;
use crate::proxy::device;
use crate::proxy::forward::{Copy, begins_dialog};
use crate::proxy::targets::{breadth_of, next_way};
use crate::proxy::way_back::{Marked, WayBack};
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{Plan, PlannedBranch, Way};
use crate::route::rules::Action;
use crate::route::target_set::{Stateless, onward, stateless, upstream_way};
use crate::time::Instant;
use crate::transaction::key::{StatelessBranch, is_unique};
use crate::waiting::Waiting;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use ringway_wire::{Message, Method, Name, StoredMessage, Uri, head_of};

/// A request on its way through us.
#[derive(Clone, Copy)]
pub(crate) struct Passing<'a> {
    pub(crate) request: &'a Message<'a>,
    pub(crate) route: &'a OwnRoute,
    pub(crate) source: Flow,
}

/// The same, while it waits to hear where it goes.
#[derive(Debug)]
pub(crate) struct WaitingPassing {
    request: StoredMessage,
    route: OwnRoute,
    source: Flow,
    /// What is known already, if only the next hop is not.
    target: Option<Target<'static>>,
}

/// Where it goes.
#[derive(Clone, Debug)]
struct Target<'a> {
    /// The Request-URI it gets.
    uri: Cow<'a, [u8]>,
    /// Route values that go in front of those it has.
    path: Cow<'a, [u8]>,
    way: Way,
    /// Whether it goes to where a user of ours registered.
    registered: bool,
}

impl<'a> Target<'a> {
    const fn new(uri: Cow<'a, [u8]>, way: Way) -> Self {
        Self { uri, path: Cow::Borrowed(b""), way, registered: false }
    }

    fn into_owned(self) -> Target<'static> {
        let Target { uri, path, way, registered } = self;
        let (uri, path) = (Cow::Owned(uri.into_owned()), Cow::Owned(path.into_owned()));
        Target { uri, path, way, registered }
    }
}

impl Passing<'_> {
    fn wait(self, target: Option<Target<'_>>) -> Waiting {
        let Passing { request, route, source } = self;
        let (request, route) = (request.to_stored(), route.clone());
        let target = target.map(Target::into_owned);
        Waiting::Passing(Box::new(WaitingPassing { request, route, source, target }))
    }
}

impl WaitingPassing {
    const fn go_on<'a>(&'a self, request: &'a Message<'a>) -> Passing<'a> {
        Passing { request, route: &self.route, source: self.source }
    }
}

impl Node {
    /// An ACK or a CANCEL that belongs to no transaction of ours. Tells whether it was for who is
    /// served without state.
    //= RFC 3261 16.11
    // "Stateless proxies MUST NOT perform special processing for CANCEL"
    pub(crate) fn pass_follower(
        &mut self,
        now: Instant,
        source: Flow,
        request: &Message<'_>,
        out: &mut Outbox,
    ) -> Result<bool, Reject> {
        if !self.snapshot.has_stateless() {
            return Ok(false);
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Ok(route) = OwnRoute::read(ours, request) else { return Ok(false) };
        let passing = Passing { request, route: &route, source };
        if service(ours, &passing).is_none() {
            return Ok(false);
        }
        //= RFC 3261 16.11
        // "A stateless proxy MUST validate a request as described in Section"
        check::scheme(request)?;
        check::hops(request)?;
        check::not_looped(&self.setup.keys, request)?;
        self.pass(now, passing, out)
    }

    /// Sends a request on at once, or asks where it goes. `false`: it is to have state.
    //= RFC 3261 16.11
    // "A stateless proxy MUST follow the request processing steps described"
    pub(crate) fn pass(
        &mut self,
        now: Instant,
        passing: Passing<'_>,
        out: &mut Outbox,
    ) -> Result<bool, Reject> {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(service) = service(ours, &passing) else { return Ok(false) };
        let Passing { request, route, .. } = passing;
        if breadth_of(request) == 0 {
            return Err(Reject::MaxBreadthExceeded);
        }
        if matches!(request.method(), Method::Bye) && route.signed {
            self.calls.bye(&self.setup.keys, request, &mut self.timers, out);
        }
        let uri = target_of(&passing);
        let target = match (next_way(route, request, uri), service) {
            (Some(way), _) => Target::new(uri.into(), way?.0),
            (None, Stateless::User(aor)) => {
                self.ask(now, Question::Locate(aor), passing.wait(None), out);
                return Ok(true);
            }
            (None, Stateless::Route(Action::Forward(peers))) => {
                let peer = choose(&ours.setup.keys, request, peers, |peer| peer.peer.as_bytes());
                let (peer, parsed) = (peer.ok_or(Reject::NextHopFailed)?, Uri::parse(uri));
                let parsed = parsed.map_err(|_| Reject::Malformed("Request-URI"))?;
                let found = upstream_way(ours, peer, (uri, &parsed));
                let (uri, way) = found.ok_or(Reject::NextHopFailed)?;
                Target::new(uri, way)
            }
            (None, Stateless::Route(_)) => {
                let (uri, way) = onward(ours, uri)?;
                Target::new(uri, way)
            }
        };
        self.pass_to(now, passing, target, out)?;
        Ok(true)
    }

    /// The contacts of the user who is called are known: one of them gets the request.
    //= RFC 3261 16.11
    // "target set.  This choice MUST only rely on fields in the"
    pub(crate) fn on_passing_located(
        &mut self,
        now: Instant,
        waiting: &WaitingPassing,
        bindings: &[Binding],
        out: &mut Outbox,
    ) {
        let request = waiting.request.message();
        let passing = waiting.go_on(&request);
        let secure = matches!(Uri::parse(target_of(&passing)), Ok(Uri::Sip(sip)) if sip.secure);
        let Plan { groups, otherwise, .. } = Plan::for_user(bindings, &self.snapshot, secure);
        let best = groups.first().map(|group| &group.branches[..]).unwrap_or_default();
        let chosen = choose(&self.setup.keys, &request, best, |branch| &branch.target);
        let passed = match chosen {
            Some(branch) => {
                let PlannedBranch { target, way, route, .. } = branch;
                let (uri, path) = (Cow::Borrowed(&**target), Cow::Borrowed(&**route));
                let (way, registered) = (way.clone(), branch.is_registered());
                let target = Target { uri, path, way, registered };
                self.pass_to(now, passing, target, out)
            }
            None => Err(otherwise),
        };
        if let Err(reject) = passed {
            self.refuse_passing(passing, reject, out);
        }
    }

    /// The next hop is known.
    //= RFC 3261 16.11
    // "In particular, a retransmitted request MUST be forwarded to the"
    pub(crate) fn on_passing_resolved(
        &mut self,
        waiting: &WaitingPassing,
        flows: &[Flow],
        out: &mut Outbox,
    ) {
        let request = waiting.request.message();
        let passing = waiting.go_on(&request);
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let allowed = flows.iter().find(|flow| ours.may_send_to(flow.remote));
        let passed = match (&waiting.target, allowed) {
            (Some(target), Some(&to)) => self.send_on(passing, target, to, out),
            _ if flows.is_empty() => Err(Reject::NextHopFailed),
            _ => Err(Reject::ForbiddenAddress),
        };
        if let Err(reject) = passed {
            self.refuse_passing(passing, reject, out);
        }
    }

    /// What was asked for a request that passes was not answered.
    pub(crate) fn on_passing_unknown(&self, waiting: &WaitingPassing, out: &mut Outbox) {
        let request = waiting.request.message();
        self.refuse_passing(waiting.go_on(&request), Reject::NoAnswerInside, out);
    }

    /// Nothing ever answers an ACK.
    fn refuse_passing(&self, passing: Passing<'_>, reject: Reject, out: &mut Outbox) {
        let Passing { request, source, .. } = passing;
        if request.method() == Method::Ack {
            let (reason, source) = (DropReason::StrayAck, source.remote);
            return out.event(Event::Dropped { reason, source });
        }
        self.refuse(source, request, reject, out);
    }

    /// §16.6 step 7, and for names RFC 3263 §4.4.
    //= RFC 3261 16.11
    // "described for stateful proxies in Section 16.6 Item 10.  The"
    fn pass_to(
        &mut self,
        now: Instant,
        passing: Passing<'_>,
        target: Target<'_>,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let mut hop = match &target.way {
            Way::Flow(to) => return self.send_on(passing, &target, *to, out),
            Way::Address { remote, .. } if !ours.may_send_to(*remote) => {
                return Err(Reject::ForbiddenAddress);
            }
            Way::Address { remote, transport } => {
                let (remote, transport) = (*remote, *transport);
                let socket = ours.socket_for(transport, remote, passing.source.socket);
                if let Some(socket) = socket {
                    let (connection, certified) = (ConnectionId::NONE, CertifiedName::NONE);
                    let to = Flow { socket, transport, connection, remote, certified };
                    return self.send_on(passing, &target, to, out);
                }
                NextHop::numeric(remote, transport)
            }
            Way::Lookup(hop) => hop.clone(),
        };
        //= RFC 3263 4.4
        // "proxy MUST define a deterministic order to the records in that case,"
        let keys = &self.setup.keys;
        hop.seed = Some(keys.hash64(b"stateless seed", &[passing.request.call_id()]));
        self.ask(now, Question::Resolve(hop), passing.wait(Some(target)), out);
        Ok(())
    }

    /// §16.6 without a transaction: the same edits, and the same branch for the same request.
    //= RFC 3261 16.11
    // "an element MUST NOT generate its own 100 (Trying) or any other"
    //= RFC 3261 16.11
    // "component of the branch parameter that makes it unique MUST be"
    //= RFC 3261 16.11
    // "for a stateless proxy, the branch parameter MUST be computed as"
    //= RFC 3261 16.11
    // "MUST result in the same transformation of a retransmitted"
    //= RFC 3261 16.11
    // "value or pushes URIs into the Route header field, it MUST place"
    //= RFC 3261 16.11
    // "MUST be based on time-invariant configuration or"
    fn send_on(
        &mut self,
        passing: Passing<'_>,
        target: &Target<'_>,
        to: Flow,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let Passing { request, route, ref source } = passing;
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let via = request.top_via().map_err(|_| Reject::Malformed("Via"))?;
        let keys = &self.setup.keys;
        let loop_hash = check::loop_hash(keys, request);
        let branch = StatelessBranch::of(keys, (&via, request.call_id()), loop_hash);
        let branch = branch.ok_or(Reject::Malformed("Via"))?;
        let before = request.values(Name::RecordRoute).count();
        let back = WayBack { flow: *source, before: begins_dialog(request).then_some(before) };
        let proof = back.proof_for(keys, (&via, request.call_id()), &branch);
        let copy = Copy {
            request,
            source,
            route,
            caller: None,
            trusted: false,
            target: &target.uri,
            path: &target.path,
            registered: target.registered,
            planned: to,
            flow: to,
            branch: &Marked { branch, back: &back, proof },
            share: breadth_of(request),
            login: None,
        };
        let bytes = copy.write(ours, &mut self.scratch, &mut out.bytes);
        let bytes = bytes.ok_or(Reject::Malformed("target"))?;
        // The answer would not fit.
        if head_of(&out.bytes[bytes.clone()]).len() > ringway_wire::limits::MESSAGE {
            out.bytes.truncate(bytes.start);
            return Err(Reject::TooLarge);
        }
        out.outputs.push(Output::Send { flow: to, bytes, on_failure: None });
        Ok(())
    }
}

/// How a request is served without state; `None`: it is to have state.
fn service<'a>(ours: Ours<'a>, passing: &Passing<'_>) -> Option<Stateless<'a>> {
    let Passing { request, route, ref source } = *passing;
    let is_peer = || matches!(Caller::by_flow(ours.snapshot, source), Caller::Peer(_));
    if !ours.snapshot.has_stateless() || !is_peer() {
        return None;
    }
    // What has a branch of RFC 2543 keeps its transaction: its response could not prove whose
    // it is, for the tag in To that §16.11 has us look at is new there.
    let via = request.top_via().ok()?;
    via.branch().filter(|branch| is_unique(branch))?;
    let uri = target_of(passing);
    if device::called(ours, route, (request, uri)).is_some() {
        return None;
    }
    //= RFC 3261 16.11
    // "CANCEL and non-Routed ACK requests MUST generate the same"
    let method = match request.method() {
        Method::Ack | Method::Cancel => Method::Invite,
        other => other,
    };
    stateless(ours, (method.as_bytes(), uri))
}

/// The URI that decides where a request goes.
fn target_of<'a>(passing: &Passing<'a>) -> &'a [u8] {
    let Passing { request, route, .. } = *passing;
    route.strict_target.as_deref().unwrap_or(request.request_uri())
}

/// One of several, the same for all messages of a call. Where one is added or taken away, calls
/// that have another keep theirs.
//= RFC 3261 16.11
// "A stateless proxy MUST choose one and only one target from the"
fn choose<'a, T>(
    keys: &Keys,
    request: &Message<'_>,
    among: &'a [T],
    name: impl Fn(&T) -> &[u8],
) -> Option<&'a T> {
    let rank = |one: &&T| keys.hash64(b"stateless choice", &[request.call_id(), name(one)]);
    among.iter().max_by_key(rank)
}
