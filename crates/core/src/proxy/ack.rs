//! ACK: absorbed by the transaction it ends, or passed on as the end of a 2xx's handshake.

use crate::boundary::{DropReason, Event, Outbox, Output, Question};
use crate::flow::{CertifiedName, ConnectionId, Flow};
use crate::identity::{Authentication, Caller, Side, Verdict};
use crate::limits;
use crate::locate::NextHop;
use crate::node::Node;
use crate::proxy::border::Crossing;
use crate::proxy::forward::{edit_routes, via};
use crate::proxy::kept_here::drop_own_credentials;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::Way;
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
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        // Only a dialog that was let through here may send through here.
        let may = |route: &OwnRoute| route.signed && self.may_ack(now, flow, ack, route);
        let route = OwnRoute::read(ours, ack).ok().filter(may);
        let (Some(route), false) = (route, ack.max_forwards() == Some(0)) else {
            return out.event(stray);
        };
        let target = route.strict_target.as_deref().unwrap_or(ack.request_uri());
        let next = route.next(ack);
        let way = match (next, route.flow) {
            (Some(next), _) => NameAddr::parse(next).ok().and_then(|n| way_of(n.uri)),
            (None, Some(flow)) => Some(Way::Flow(flow)),
            (None, None) => way_of(target),
        };
        let hop = match way {
            None => return out.event(stray),
            Some(Way::Flow(to)) => return self.pass_ack(flow, ack, &route, to, out),
            Some(Way::Address { remote, .. }) if !ours.may_send_to(remote) => {
                return out.event(stray);
            }
            Some(Way::Address { remote, transport }) => {
                match ours.socket_for(transport, remote, flow.socket) {
                    Some(socket) => {
                        let connection = ConnectionId::NONE;
                        let to = Flow {
                            socket,
                            transport,
                            connection,
                            remote,
                            certified: CertifiedName::NONE,
                        };
                        return self.pass_ack(flow, ack, &route, to, out);
                    }
                    None => NextHop::numeric(remote, transport),
                }
            }
            Some(Way::Lookup(hop)) => hop,
        };
        let waiting = WaitingAck { request: ack.to_stored(), route, source: flow };
        self.ask(now, Question::Resolve(hop), Waiting::Ack(Box::new(waiting)), out);
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
        match flows.iter().find(|flow| ours.may_send_to(flow.remote)) {
            Some(&to) => self.pass_ack(ack.source, &ack.request.message(), &ack.route, to, out),
            None => {
                let (reason, source) = (DropReason::StrayAck, ack.source.remote);
                out.event(Event::Dropped { reason, source });
            }
        }
    }

    /// RFC 3261 §16.11 in small: no state, and the same branch for the same ACK.
    fn pass_ack(
        &self,
        source: Flow,
        ack: &Message<'_>,
        route: &OwnRoute,
        to: Flow,
        out: &mut Outbox,
    ) {
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
        let target = route.strict_target.as_deref().unwrap_or(ack.request_uri());
        edit_routes(ack, route, target, &mut edit);
        // It has the credentials of the INVITE (§13.2.2.4), and they stay here, too.
        drop_own_credentials(ours, ack, &mut edit);
        let crossing = Crossing { source: &source, next: &to, caller: None, registered: false };
        crossing.edit(ours.snapshot, ack, &mut edit);
        edit.set_max_forwards(ack.max_forwards().map_or(limits::MAX_FORWARDS, |n| n - 1));
        edit.set_received(source.remote);
        edit.push_via(&via(listener, alloc::format!("{branch}").as_bytes()));
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
