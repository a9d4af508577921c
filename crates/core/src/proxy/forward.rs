//! RFC 3261 §16.6: one copy of the request for one target.

use crate::arena::Id;
use crate::boundary::{Outbox, Output, TransactionRef};
use crate::check;
use crate::clients::{Fallback, Purpose};
use crate::flow::{ConnectionId, Flow, Listener, Transport};
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::record_route::{self, Text};
use crate::proxy::response_context::{BranchState, Outcome, ResponseContext};
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::plan::{PlannedBranch, Way};
use crate::time::Instant;
use crate::transaction::key::ClientBranch;
use alloc::vec::Vec;
use core::ops::Range;
use ringway_wire::{Editor, Message, Method, Name, NameAddr, Uri};

/// Requests longer than this go over TCP where the path MTU is unknown (§18.1.1).
const DATAGRAM_MAX: usize = 1_300;

/// One copy to be written: which request, for whom, over which flow.
pub(crate) struct Copy<'a> {
    pub(crate) context: &'a ResponseContext,
    pub(crate) target: &'a [u8],
    /// The flow that was planned. Later requests of the dialog take it, too: each is as large as
    /// it is.
    pub(crate) planned: Flow,
    /// The flow this copy takes.
    pub(crate) flow: Flow,
    pub(crate) branch: ClientBranch,
    pub(crate) share: u32,
}

impl Node {
    /// Sends the request to one target.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        (id, branch): (Id<ResponseContext>, usize),
        (planned, flow, share): (&PlannedBranch, Flow, u32),
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        let Some(stored) = context.request() else { return };
        let is_invite = context.is_invite;
        let unreachable = planned.rule.unreachable();
        let purpose = Purpose { context: id, branch, unreachable };
        let client = self.clients.reserve(now, is_invite, flow, purpose);
        let loop_hash = check::loop_hash(&self.setup.keys, &stored);
        let random = self
            .setup
            .keys
            .hash64(b"branch", &[&self.setup.seed.to_be_bytes(), &client.bits().to_be_bytes()]);
        let mark = ClientBranch { client: client.bits(), random: random as u32, loop_hash };
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let target = &planned.target;
        let mut copy = Copy { context, target, planned: flow, flow, branch: mark, share };
        let Some(mut bytes) = copy.write(ours, &mut out.bytes) else {
            self.clients.remove(client);
            self.branch_done(id, branch, Outcome::Local(Reject::Malformed("target")));
            return;
        };
        let mut fallback = None;
        if bytes.len() > DATAGRAM_MAX
            && may_use_tcp(planned, &flow)
            && let Some(stream) = over_tcp(ours, flow)
        {
            //= RFC 3261 18.1.1
            // "the request MUST be sent using an RFC 2914"
            copy.flow = stream;
            if let Some(again) = copy.write(ours, &mut out.bytes) {
                let datagram = out.bytes[bytes].into();
                bytes = again;
                fallback = Some(Fallback { flow, bytes: datagram });
            }
        }
        let sent_over = if fallback.is_some() { copy.flow } else { flow };
        let on_failure = Some(TransactionRef::Client(client.bits()));
        let sent = &out.bytes[bytes.clone()];
        let how = (sent_over, fallback, mark);
        self.clients.sent(now, client, how, sent, &mut self.timers);
        out.outputs.push(Output::Send { flow: sent_over, bytes, on_failure });
        let timer_c = is_invite
            .then(|| self.timers.schedule(now + limits::TIMER_C, Timer::C(id, branch as u8)));
        if let Some(branch) = self.contexts.find_mut(id).and_then(|c| c.branches.get_mut(branch)) {
            branch.client = Some(client);
            branch.state = BranchState::Calling { cancel: false };
            branch.timer_c = timer_c;
        }
    }
}

impl Copy<'_> {
    /// Writes the copy; `None` if it cannot be written (our socket is gone).
    pub(crate) fn write(&self, ours: Ours<'_>, out: &mut Vec<u8>) -> Option<Range<usize>> {
        let context = self.context;
        let request = context.request()?;
        let mut edit = Editor::new(&request);
        // Steps 2 and 3.
        edit.set_request_uri(request_uri(self.target));
        edit.set_max_forwards(request.max_forwards().map_or(limits::MAX_FORWARDS, |n| n - 1));
        edit.set(Name::MaxBreadth, decimal(self.share).as_bytes());
        // What was said to us alone stays here (§22.3).
        drop_own_credentials(ours, &request, &mut edit);
        // §16.4, §16.6 step 6.
        edit.pop_routes(context.route.pops);
        if context.route.strict_target.is_some() {
            edit.pop_last_route();
        } else {
            self.feed_strict_router(&request, &mut edit);
        }
        // Step 4.
        if begins_dialog(&request) {
            let (caller, callee) = (&context.flow, &self.planned);
            let value = record_route::value(ours, &request, caller, callee, self.target);
            edit.push_record_route(&value);
        }
        // Step 8, and §18.2.1 for the Via below ours.
        edit.set_received(context.flow.remote);
        let branch = alloc::format!("{}", self.branch);
        edit.push_via(&via(ours.listener(&self.flow)?, branch.as_bytes()));
        // Step 9.
        if self.flow.transport.is_reliable() && request.header(Name::ContentLength).is_none() {
            edit.append("Content-Length", decimal(request.body().len() as u32).as_bytes());
        }
        Some(edit.finish(out))
    }

    /// §16.6 step 6: a next hop without `lr` wants to find itself in the Request-URI.
    fn feed_strict_router(&self, request: &Message<'_>, edit: &mut Editor<'_>) {
        let next = request.values(Name::Route).nth(self.context.route.pops);
        let Some(next) = next.and_then(|value| NameAddr::parse(value).ok()) else { return };
        let is_loose = match next.uri() {
            Ok(Uri::Sip(sip)) => sip.params.get(b"lr").is_some(),
            _ => true,
        };
        if !is_loose {
            //= RFC 3261 16.6
            // "place the Request-URI into the Route header field as the last value"
            edit.pop_routes(self.context.route.pops + 1);
            let mut last = Vec::with_capacity(self.target.len() + 2);
            last.push(b'<');
            last.extend_from_slice(self.target);
            last.push(b'>');
            edit.append_route(&last);
            edit.set_request_uri(next.uri);
        }
    }
}

/// The Via value that we put on top.
pub(crate) fn via(listener: &Listener, branch: &[u8]) -> Vec<u8> {
    use core::fmt::Write;
    let mut value = Vec::with_capacity(112);
    let name = listener.transport.via_name();
    // Writing to memory cannot fail.
    let _ = write!(Text(&mut value), "SIP/2.0/{name} {};branch=", listener.public());
    value.extend_from_slice(branch);
    //= RFC 3581 3
    // "A client, compliant to this specification (clients include UACs and proxies), MAY include an \"rport\" parameter"
    value.extend_from_slice(b";rport");
    value
}

/// Requests that make or refresh a dialog usage from outside one get our Record-Route.
fn begins_dialog(request: &Message<'_>) -> bool {
    let outside = request.to().is_ok_and(|to| to.tag().is_none());
    let makes = matches!(
        request.method(),
        Method::Invite | Method::Subscribe | Method::Refer | Method::Notify
    );
    outside && makes
}

/// A Request-URI holds no headers (§19.1.1 table 1: they are not allowed there).
fn request_uri(target: &[u8]) -> &[u8] {
    // A `?` in the user part is part of the name.
    match Uri::parse(target) {
        Ok(Uri::Sip(sip)) => {
            let bare = target.strip_suffix(sip.headers).unwrap_or(target);
            bare.strip_suffix(b"?").unwrap_or(bare)
        }
        _ => target,
    }
}

/// Takes off the credentials that were meant for us.
pub(crate) fn drop_own_credentials(ours: Ours<'_>, request: &Message<'_>, edit: &mut Editor<'_>) {
    for (at, value) in request.all(Name::ProxyAuthorization).enumerate() {
        let realm = crate::identity::realm_of(value);
        if realm.is_some_and(|realm| ours.snapshot.domains.contains(realm)) {
            edit.remove_nth(Name::ProxyAuthorization, at);
        }
    }
}

/// A contact whose own address is where its flow leads can be tried over TCP; one behind
/// address translation only hears its flow.
fn may_use_tcp(planned: &PlannedBranch, flow: &Flow) -> bool {
    let leads_there = match &planned.way {
        Way::Flow(_) => Uri::parse(&planned.target).ok().and_then(|uri| match Way::of_uri(&uri)? {
            Way::Address { remote, .. } => Some(remote == flow.remote),
            Way::Flow(_) | Way::Lookup { .. } => Some(false),
        }),
        Way::Address { .. } | Way::Lookup { .. } => Some(true),
    };
    flow.transport == Transport::Udp && leads_there == Some(true)
}

fn over_tcp(ours: Ours<'_>, flow: Flow) -> Option<Flow> {
    let socket = ours.socket_for(Transport::Tcp, flow.remote, flow.socket)?;
    let connection = ConnectionId::NONE;
    Some(Flow { socket, transport: Transport::Tcp, connection, remote: flow.remote })
}

fn decimal(n: u32) -> alloc::string::String {
    alloc::format!("{n}")
}

#[cfg(test)]
mod tests {
    use super::request_uri;

    #[test]
    fn only_headers_are_taken_off_a_target() {
        for (target, expected) in [
            ("sip:a@h", "sip:a@h"),
            ("sip:a@h;lr?x=y&z=?", "sip:a@h;lr"),
            ("sip:a?b@h", "sip:a?b@h"),
            ("sip:a?b@h?x=y", "sip:a?b@h"),
            ("sip:h?", "sip:h"),
            ("tel:+1", "tel:+1"),
        ] {
            assert_eq!(request_uri(target.as_bytes()), expected.as_bytes(), "{target}");
        }
    }
}
