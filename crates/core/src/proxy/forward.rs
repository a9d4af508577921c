//! RFC 3261 §16.6: one copy of the request for one target.

use crate::address_of_record::AddressOfRecord;
use crate::arena::Id;
use crate::boundary::{Outbox, Output, TransactionRef};
use crate::check;
use crate::clients::{Fallback, Purpose};
use crate::flow::{CertifiedName, ConnectionId, Flow, Listener, Transport};
use crate::limits;
use crate::node::{Node, Timer};
use crate::proxy::border::Crossing;
use crate::proxy::edge;
use crate::proxy::kept_here::drop_own_credentials;
use crate::proxy::log_in::BranchLogin;
use crate::proxy::record_route::{self, Sides, Text};
use crate::proxy::response_context::{BranchState, Outcome, ResponseContext};
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use crate::route::plan::{PlannedBranch, Way};
use crate::time::Instant;
use crate::transaction::key::ClientBranch;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use ringway_wire::{Editor, Message, Method, Name, NameAddr, Scratch, Uri, head_of};

/// Requests longer than this go over TCP where the path MTU is unknown (§18.1.1).
const DATAGRAM_MAX: usize = 1_300;

/// One copy to be written: which request, for whom, over which flow.
pub(crate) struct Copy<'a> {
    /// The request as it came, …
    pub(crate) request: &'a Message<'a>,
    /// … where it came from, …
    pub(crate) source: &'a Flow,
    /// … what its Route headers say of us, …
    pub(crate) route: &'a OwnRoute,
    /// … and which account proved to have sent it.
    pub(crate) caller: Option<&'a AddressOfRecord>,
    /// Whether a peer of our trust domain proved to have sent it.
    pub(crate) trusted: bool,
    /// The Request-URI it gets.
    pub(crate) target: &'a [u8],
    /// Route values that go in front of those it has.
    pub(crate) path: &'a [u8],
    /// Whether it goes to where a user of ours registered.
    pub(crate) registered: bool,
    /// The flow that was planned. Later requests of the dialog take it, too: each is as large as
    /// it is.
    pub(crate) planned: Flow,
    /// The flow this copy takes.
    pub(crate) flow: Flow,
    /// The branch, and parameters of our Via that go with it.
    pub(crate) branch: &'a dyn fmt::Display,
    pub(crate) share: u32,
    /// The credentials that it goes with.
    pub(crate) login: Option<&'a BranchLogin>,
}

impl Node {
    /// Sends the request to one target.
    //= RFC 3261 16.6
    // "For each tuple attempted, the proxy MUST format the message as appropriate for the"
    // "Via header field inserted in step 8 MUST be different for each attempt."
    // "A stateful proxy MUST create a new client transaction for this request as described in"
    // "Timer C MUST be set for each client transaction when an INVITE request is proxied."
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
        let registered = planned.is_registered();
        let purpose = Purpose { context: id, branch, unreachable, registered };
        let client = self.clients.reserve(now, is_invite, flow, purpose);
        let loop_hash = check::loop_hash(&self.setup.keys, &stored);
        let random = self
            .setup
            .keys
            .hash64(b"branch", &[&self.setup.seed.to_be_bytes(), &client.bits().to_be_bytes()]);
        let mark = ClientBranch { client: client.bits(), random: random as u32, loop_hash };
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let mut copy = Copy::of((context, &stored), planned, flow, (&mark, share));
        copy.login = context.branches.get(branch).and_then(|branch| branch.login.as_deref());
        let scratch = &mut self.scratch;
        let Some(mut bytes) = copy.write(ours, scratch, &mut out.bytes) else {
            self.clients.remove(client);
            self.branch_done(id, branch, Outcome::Local(Reject::Malformed("target")));
            return;
        };
        // From more than that no CANCEL and no ACK could be made.
        if head_of(&out.bytes[bytes.clone()]).len() > ringway_wire::limits::MESSAGE {
            self.clients.remove(client);
            self.branch_done(id, branch, Outcome::Local(Reject::TooLarge));
            return;
        }
        let mut fallback = None;
        if bytes.len() > DATAGRAM_MAX
            && may_use_tcp(planned, &flow)
            && let Some(stream) = over_tcp(ours, flow)
        {
            //= RFC 3261 18.1.1
            // "the request MUST be sent using an RFC 2914"
            copy.flow = stream;
            if let Some(again) = copy.write(ours, scratch, &mut out.bytes) {
                let datagram = out.bytes[bytes].into();
                bytes = again;
                fallback = Some(Fallback { flow, bytes: datagram });
            }
        }
        let sent_over = if fallback.is_some() { copy.flow } else { flow };
        self.note_login((id, branch), (planned, flow, share), &out.bytes[bytes.clone()]);
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
        self.expect_word(now, (id, branch));
    }
}

impl<'a> Copy<'a> {
    /// The copy for one branch of a context.
    fn of(
        (context, request): (&'a ResponseContext, &'a Message<'a>),
        planned: &'a PlannedBranch,
        flow: Flow,
        (branch, share): (&'a ClientBranch, u32),
    ) -> Self {
        let (source, route) = (&context.flow, &context.route);
        let (target, path, registered) =
            (&planned.target[..], &planned.route[..], planned.is_registered());
        let (planned, caller) = (flow, context.caller.as_ref());
        Self {
            request,
            source,
            route,
            caller,
            trusted: context.trusted,
            target,
            path,
            registered,
            planned,
            flow,
            branch,
            share,
            login: None,
        }
    }

    /// Writes the copy; `None` if it cannot be written (our socket is gone).
    //= RFC 3261 16.6
    // "The copy MUST initially contain all of the header fields from the received request."
    // "not detailed in the processing described below MUST NOT be removed."
    // "The proxy MUST NOT reorder field values with a common field name (See Section 7.3.1)."
    // "The proxy MUST NOT add to, modify, or remove the message body."
    // "contains a Max-Forwards header field, the proxy MUST decrement its value by one (1)."
    // "contain a Max-Forwards header field, the proxy MUST add one with a field value, which"
    // "(assuming the request creates a dialog), it MUST insert a Record-Route header field"
    // "was not received over TLS, the proxy MUST insert a Record-Route header field."
    // "(after the post processing of bullet 6), MUST insert a Record-Route header field that"
    // "The proxy MUST insert a Via header field value into the copy before the existing Via"
    // "The first part MUST satisfy the constraints of Section 8.1.1.7 as described above."
    // "contains no Content-Length header field, the proxy MUST insert one with the correct"
    pub(crate) fn write(
        &self,
        ours: Ours<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let &Self { request, source, flow: ref next, caller, registered, .. } = self;
        let listener = ours.listener(next)?;
        let mut edit = Editor::reusing(core::mem::take(scratch), request);
        // Step 3.
        edit.set_max_forwards(request.max_forwards().map_or(limits::MAX_FORWARDS, |n| n - 1));
        edit.set_number(Name::MaxBreadth, self.share.min(limits::MAX_BREADTH) as u16);
        // What was said to us alone stays here (§22.3).
        drop_own_credentials(ours, request, &mut edit);
        if let Some(login) = self.login {
            login.edit(request, &mut edit);
        }
        let crossing = Crossing { source, next, caller, trusted: self.trusted, registered };
        crossing.edit(ours.snapshot, request, &mut edit);
        // §16.4, §16.6 steps 2 and 6.
        edit_routes(request, self.route, self.target, &mut edit);
        if !self.path.is_empty() {
            edit.push_route(self.path);
        }
        // Step 4.
        if begins_dialog(request) {
            let (caller, callee, target) = (source, &self.planned, self.target);
            let sides = Sides { caller, callee, registered, target };
            record_route::push_entries(ours, request, &sides, &mut edit);
        }
        if let Some(path) = edge::path(ours, request, (source, next)) {
            edit.append("Path", &path);
        }
        // Step 8, and §18.2.1 for the Via below ours.
        edit.set_received(source.remote);
        edit.push_via_with(|out| write_via(listener, self.branch, out));
        // Step 9.
        if self.flow.transport.is_reliable() {
            edit.complete_content_length();
        }
        let (range, memory) = edit.finish_and_return(out);
        *scratch = memory;
        Some(range)
    }
}

/// §16.4: takes off what was ours; §16.6 step 6: a next hop without `lr` wants to find itself
/// in the Request-URI.
//= RFC 3261 16.6
// "The Request-URI in the copy's start line MUST be replaced with the URI for this"
// "contains a Route header field, the proxy MUST inspect the URI in its first value."
// "not contain an lr parameter, the proxy MUST modify the copy as follows:"
// "The proxy MUST place the Request-URI into the Route header field as the last value."
// "The proxy MUST then place the first Route header field value into the Request-URI and"
pub(crate) fn edit_routes(
    request: &Message<'_>,
    route: &OwnRoute,
    target: &[u8],
    edit: &mut Editor<'_>,
) {
    edit.set_request_uri(&request_uri(target));
    edit.pop_routes(route.pops);
    if route.strict_target.is_some() {
        edit.pop_last_route();
    }
    let next = route.next(request).and_then(|value| NameAddr::parse(value).ok());
    let Some(next) = next else { return };
    let is_strict = matches!(next.uri(), Ok(Uri::Sip(sip)) if sip.params.get(b"lr").is_none());
    if is_strict {
        //= RFC 3261 16.6
        // "place the Request-URI into the Route header field as the last value"
        edit.pop_routes(route.pops + 1);
        edit.append_route(&[b"<", target, b">"].concat());
        edit.set_request_uri(&request_uri(next.uri));
    }
}

/// Writes the Via value that we put on top.
pub(crate) fn write_via(listener: &Listener, branch: &dyn fmt::Display, out: &mut Vec<u8>) {
    use core::fmt::Write;
    let name = listener.transport.via_name();
    //= RFC 3581 3
    // "A client, compliant to this specification (clients include UACs and proxies), MAY include an \"rport\" parameter"
    // Writing to memory cannot fail.
    let _ = write!(Text(out), "SIP/2.0/{name} {};branch={branch};rport", listener.public());
}

/// Requests that make a dialog get our Record-Route. A NOTIFY may be the first that a subscriber
/// hears, although it stands in the dialog already.
pub(crate) fn begins_dialog(request: &Message<'_>) -> bool {
    let outside = request.to().is_ok_and(|to| to.tag().is_none());
    match request.method() {
        Method::Invite | Method::Subscribe | Method::Refer => outside,
        //= RFC 6665 4.3
        // "header field to the initial SUBSCRIBE request and all NOTIFY requests"
        Method::Notify => true,
        _ => false,
    }
}

/// A URI without what may not stand in a Request-URI: headers, and the method (§19.1.1 table 1).
//= RFC 3261 16.6
// "not allowed in a Request-URI, they MUST be removed."
//= RFC 3261 16.6
// "parameters not allowed in a Request-URI, they MUST be removed."
fn request_uri(target: &[u8]) -> Cow<'_, [u8]> {
    let Ok(Uri::Sip(sip)) = Uri::parse(target) else { return target.into() };
    // A `?` in the user part is part of the name.
    let bare = target.strip_suffix(sip.headers).unwrap_or(target);
    let bare = bare.strip_suffix(b"?").unwrap_or(bare);
    if sip.params.get(b"method").is_none() {
        return bare.into();
    }
    let mut kept = bare.strip_suffix(sip.params.as_bytes()).unwrap_or(bare).to_vec();
    for (name, value) in sip.params.iter().filter(|(n, _)| !n.eq_ignore_ascii_case(b"method")) {
        kept.push(b';');
        kept.extend_from_slice(name);
        if let Some(value) = value {
            kept.push(b'=');
            kept.extend_from_slice(value);
        }
    }
    kept.into()
}

/// A contact whose own address is where its flow leads can be tried over TCP; one behind
/// address translation only hears its flow.
fn may_use_tcp(planned: &PlannedBranch, flow: &Flow) -> bool {
    let leads_there = match &planned.way {
        Way::Flow(_) => Uri::parse(&planned.target).ok().and_then(|uri| match Way::of_uri(&uri)? {
            Way::Address { remote, .. } => Some(remote == flow.remote),
            Way::Flow(_) | Way::Lookup(_) => Some(false),
        }),
        Way::Address { .. } | Way::Lookup(_) => Some(true),
    };
    flow.transport == Transport::Udp && leads_there == Some(true)
}

fn over_tcp(ours: Ours<'_>, flow: Flow) -> Option<Flow> {
    let socket = ours.socket_for(Transport::Tcp, flow.remote, flow.socket)?;
    let connection = ConnectionId::NONE;
    Some(Flow {
        socket,
        transport: Transport::Tcp,
        connection,
        remote: flow.remote,
        certified: CertifiedName::NONE,
    })
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
