//! ACK: absorbed by the transaction it ends, or passed on as the end of a 2xx's handshake.

use crate::binding::Binding;
use crate::boundary::{DropReason, Event, Outbox, Output, Question};
use crate::flow::{CertifiedName, ConnectionId, Flow};
use crate::identity::{Authentication, Caller, Side, Verdict};
use crate::limits;
use crate::locate::NextHop;
use crate::node::Node;
use crate::proxy::border::Crossing;
use crate::proxy::device;
use crate::proxy::forward::{edit_routes, write_via};
use crate::proxy::kept_here::drop_own_credentials;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{PlannedBranch, Way};
use crate::time::Instant;
use crate::transaction::key::{ClientBranch, ServerKey};
use crate::waiting::Waiting;
use alloc::boxed::Box;
use ringway_wire::{Editor, Message, Method, Name, NameAddr, StoredMessage, Uri};

/// An ACK whose next hop is being looked up.
#[derive(Debug)]
pub(crate) struct WaitingAck {
    request: StoredMessage,
    route: OwnRoute,
    source: Flow,
    /// Where it goes if not where its own Request-URI says.
    branch: Option<PlannedBranch>,
}

/// The same, while it need not wait.
#[derive(Clone, Copy)]
struct Ack<'a> {
    request: &'a Message<'a>,
    route: &'a OwnRoute,
    source: Flow,
    branch: Option<&'a PlannedBranch>,
}

impl Ack<'_> {
    fn wait(self) -> Waiting {
        let Ack { request, route, source, branch } = self;
        let (request, route, branch) = (request.to_stored(), route.clone(), branch.cloned());
        Waiting::Ack(Box::new(WaitingAck { request, route, source, branch }))
    }
}

impl Node {
    /// An ACK. Nothing ever answers it, so what is wrong with it is only counted.
    pub(crate) fn on_ack(&mut self, now: Instant, flow: Flow, ack: &Message<'_>, out: &mut Outbox) {
        let key = ServerKey::of(&self.setup.keys, ack, &Method::Invite);
        if let Some(server) = key.and_then(|key| self.servers.by_key(&key))
            && !self.server_ack(now, server)
        {
            return;
        }
        let stray = Event::Dropped { reason: DropReason::StrayAck, source: flow.remote };
        match self.pass_follower(now, flow, ack, out) {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => return out.event(stray),
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        // Only a dialog that was let through here may send through here.
        let may = |route: &OwnRoute| route.signed && self.may_ack(now, flow, ack, route);
        let route = OwnRoute::read(ours, ack).ok().filter(may);
        let (Some(route), false) = (route, ack.max_forwards() == Some(0)) else {
            return out.event(stray);
        };
        let target = route.strict_target.as_deref().unwrap_or(ack.request_uri());
        let gruu = device::called(ours, &route, (ack, target)).and_then(Result::ok);
        let next = route.next(ack);
        let way = match (next, route.flow) {
            (Some(next), _) => NameAddr::parse(next).ok().and_then(|n| way_of(n.uri)),
            (None, Some(flow)) => Some(Way::Flow(flow)),
            (None, None) => way_of(target),
        };
        let ack = Ack { request: ack, route: &route, source: flow, branch: None };
        match (gruu, way) {
            (Some(gruu), _) => self.ask(now, Question::Locate(gruu.aor), ack.wait(), out),
            (None, Some(way)) => self.send_ack(now, ack, way, out),
            (None, None) => out.event(stray),
        }
    }

    /// The device that an ACK is for is known.
    pub(crate) fn on_ack_located(
        &mut self,
        now: Instant,
        ack: &WaitingAck,
        bindings: &[Binding],
        out: &mut Outbox,
    ) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let request = ack.request.message();
        let target = ack.route.strict_target.as_deref().unwrap_or(request.request_uri());
        let called = device::called(ours, &ack.route, (&request, target)).and_then(Result::ok);
        let Some(gruu) = called else { return };
        let plan = device::plan(ours, (&gruu, bindings), &ack.route, (&request, target));
        let first = plan.groups.into_iter().next().and_then(|g| g.branches.into_iter().next());
        if let Some(branch) = first {
            let WaitingAck { route, source, .. } = ack;
            let ack = Ack { request: &request, route, source: *source, branch: Some(&branch) };
            self.send_ack(now, ack, branch.way.clone(), out);
        }
    }

    fn send_ack(&mut self, now: Instant, ack: Ack<'_>, way: Way, out: &mut Outbox) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let hop = match way {
            Way::Flow(to) => return self.pass_ack(ack, to, out),
            Way::Address { remote, .. } if !ours.may_send_to(remote) => {
                let (reason, source) = (DropReason::StrayAck, ack.source.remote);
                return out.event(Event::Dropped { reason, source });
            }
            Way::Address { remote, transport } => {
                match ours.socket_for(transport, remote, ack.source.socket) {
                    Some(socket) => {
                        let connection = ConnectionId::NONE;
                        let to = Flow {
                            socket,
                            transport,
                            connection,
                            remote,
                            certified: CertifiedName::NONE,
                        };
                        return self.pass_ack(ack, to, out);
                    }
                    None => NextHop::numeric(remote, transport),
                }
            }
            Way::Lookup(hop) => hop,
        };
        self.ask(now, Question::Resolve(hop), ack.wait(), out);
    }

    /// Whether the dialog, the sender's address or the credentials of the INVITE let an ACK
    /// through: one that goes elsewhere than its dialog began is not challenged (§22.1).
    fn may_ack(&self, now: Instant, flow: Flow, ack: &Message<'_>, route: &OwnRoute) -> bool {
        let source = flow.remote.ip();
        if route.opens(&self.setup.keys, ack, source)
            || matches!(Caller::by_flow(&self.snapshot, &flow), Caller::Peer(_))
        {
            return true;
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(realm) = ours.realm_of(ack) else { return false };
        let (keys, snapshot) = (&self.setup.keys, &*self.snapshot);
        let gate = Authentication { keys, snapshot, side: Side::Proxy, realm };
        matches!(gate.verify(now, &flow, ack), Verdict::Right(_))
    }

    pub(crate) fn on_ack_resolved(&self, ack: &WaitingAck, flows: &[Flow], out: &mut Outbox) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let WaitingAck { request, route, source, branch } = ack;
        let (request, branch) = (&request.message(), branch.as_ref());
        match flows.iter().find(|flow| ours.may_send_to(flow.remote)) {
            Some(&to) => self.pass_ack(Ack { request, route, source: *source, branch }, to, out),
            None => {
                let (reason, source) = (DropReason::StrayAck, source.remote);
                out.event(Event::Dropped { reason, source });
            }
        }
    }

    /// RFC 3261 §16.11 in small: no state, and the same branch for the same ACK.
    fn pass_ack(&self, ack: Ack<'_>, to: Flow, out: &mut Outbox) {
        let Ack { request: ack, route, source, branch: to_device } = ack;
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(listener) = ours.listener(&to) else { return };
        let keys = &self.setup.keys;
        let received = ack.values(Name::Via).next().unwrap_or_default();
        //= RFC 3261 16.11
        // "be computed as a combinatoric function of message parameters which are invariant on retransmission."
        let hash = keys.hash128(b"stateless branch", &[received, ack.call_id()]);
        let branch = ClientBranch {
            client: (hash >> 64) as u64 | 1 << 63,
            random: hash as u32,
            loop_hash: crate::check::loop_hash(keys, ack),
        };
        let mut edit = Editor::new(ack);
        let own = route.strict_target.as_deref().unwrap_or(ack.request_uri());
        let target = to_device.map_or(own, |branch| &branch.target);
        edit_routes(ack, route, target, &mut edit);
        if let Some(branch) = to_device.filter(|branch| !branch.route.is_empty()) {
            edit.push_route(&branch.route);
        }
        // It has the credentials of the INVITE (§13.2.2.4), and they stay here, too.
        drop_own_credentials(ours, ack, &mut edit);
        let crossing = Crossing::between(&source, &to);
        crossing.edit(ours.snapshot, ack, &mut edit);
        edit.set_max_forwards(ack.max_forwards().map_or(limits::MAX_FORWARDS, |n| n - 1));
        edit.set_received(source.remote);
        edit.push_via_with(|out| write_via(listener, &branch, out));
        if to.transport.is_reliable() {
            edit.complete_content_length();
        }
        let bytes = edit.finish(&mut out.bytes);
        out.outputs.push(Output::Send { flow: to, bytes, on_failure: None });
    }
}

fn way_of(uri: &[u8]) -> Option<Way> {
    Way::of_uri(&Uri::parse(uri).ok()?)
}
