//! RFC 3261 §16.6 step 4: our Record-Route entries.
//!
//! One entry where both sides use the same socket and can be reached by what their Contact
//! says; two entries, one facing each side (RFC 5658 §5), where sockets differ or where only the
//! flow leads back. Of two, the entry that is taken off last by a later request faces the side
//! that the request goes to, so its cookie holds the way there.
//!
//! A cookie also names the next hop that its requests may go to. That of the caller is known from
//! its request; that of the callee comes with the responses, and is written into our entry there
//! (RFC 3261 §16.7 step 8).

use crate::flow::{Flow, Listener, SocketId, Transport};
use crate::identity::Caller;
use crate::route::cookie::{Cookie, Tag, hop_tag, peer_tag, source_tag};
use crate::route::ours::{Ours, address_of};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ringway_wire::{Editor, Message, Name, NameAddr, Uri};

/// The two sides of a dialog as its first request knows them.
pub(crate) struct Sides<'a> {
    /// Where the request came from.
    pub(crate) caller: &'a Flow,
    /// Where it goes.
    pub(crate) callee: &'a Flow,
    /// Whether the callee registered from there, so that its requests come from there, too.
    pub(crate) registered: bool,
    /// The Request-URI it gets.
    pub(crate) target: &'a [u8],
}

/// Adds our entries, the topmost first: one, or the one that faces the callee and the one that
/// faces the caller. Each becomes a header of its own: Linphone 5.1 doubles the last of several in
/// one header when it answers.
pub(crate) fn push_entries(
    ours: Ours<'_>,
    request: &Message<'_>,
    sides: &Sides<'_>,
    edit: &mut Editor<'_>,
) {
    let &Sides { caller, callee, .. } = sides;
    let contact = request.contacts().next().and_then(|c| c.ok());
    // Where nobody's URI may lead (F3), the flow still does: a phone on our own machine.
    let direct = |uri: &Uri<'_>, flow: &Flow| {
        names(uri, flow) && !looks_ours(ours, uri) && ours.may_send_to(flow.remote)
    };
    let one = caller.socket == callee.socket
        && contact.and_then(|contact| contact.uri().ok()).is_some_and(|uri| direct(&uri, caller))
        && Uri::parse(sides.target).is_ok_and(|uri| direct(&uri, callee));
    let flow = |side: &Flow| (!one).then_some(*side);
    // What the callee brings back is used to reach the caller.
    let source = if sides.registered { sender(ours, callee) } else { 0 };
    // Ours is not there yet, so what will be behind it stands where it will be.
    let hop = next_hop(ours, request, 1);
    let to_caller = Cookie { source, hop, peer: peer_behind(ours, caller), flow: flow(caller) };
    // Where the callee wants to be reached is not known yet.
    let source = sender(ours, caller);
    let to_callee = Cookie { source, flow: flow(callee), ..Cookie::default() };
    if !one {
        push_entry(ours, request, (callee, to_callee), edit);
    }
    push_entry(ours, request, (caller, to_caller), edit);
}

/// Writes into our entry of a response where the callee wants to be reached, for the requests
/// that the caller will send. `caller` is where the request came from, and `before` how many
/// entries it had when it came; `peer` is that of [`Cookie::peer`].
//= RFC 3261 16.7
// "When a proxy does decide to modify the Record-Route header"
//= RFC 3261 16.7
// "The new URI provided by the proxy MUST satisfy the same constraints on URIs placed in"
pub(crate) fn face_callee(
    ours: Ours<'_>,
    response: &Message<'_>,
    (caller, before, peer): (&Flow, usize, Tag),
    edit: &mut Editor<'_>,
) {
    let lowest = response.values(Name::RecordRoute).count().checked_sub(before + 1);
    let Some(lowest) = lowest else { return };
    let Some(mut found) = own_entry(ours, response, lowest) else { return };
    let mut at = lowest;
    // Two entries of ours hold a flow each, and the upper one faces the callee.
    if found.cookie.flow.is_some() {
        let upper = at.checked_sub(1).and_then(|at| own_entry(ours, response, at));
        let Some(upper) = upper.filter(|upper| upper.cookie.flow.is_some()) else { return };
        (found, at) = (upper, at - 1);
    }
    let source = sender(ours, caller);
    let hop = next_hop(ours, response, at);
    let cookie = Cookie { source, hop, peer, flow: found.cookie.flow };
    edit.replace_part_with(found.text, |out| {
        cookie.write(&ours.setup.keys, response.call_id(), out);
    });
}

struct OwnEntry<'m> {
    cookie: Cookie,
    /// The cookie as it stands there.
    text: &'m [u8],
}

fn own_entry<'m>(ours: Ours<'_>, response: &Message<'m>, at: usize) -> Option<OwnEntry<'m>> {
    let entry = NameAddr::parse(response.values(Name::RecordRoute).nth(at)?).ok()?;
    let Ok(Uri::Sip(uri)) = entry.uri() else { return None };
    let (text, socket) = (uri.user?, ours.socket_of(&uri).unwrap_or(SocketId(0)));
    let cookie = Cookie::read(&ours.setup.keys, response.call_id(), text, socket)?;
    Some(OwnEntry { cookie, text })
}

/// Where requests of the dialog go behind the entry at `at`: to the proxy above it, or to the
/// Contact.
fn next_hop(ours: Ours<'_>, message: &Message<'_>, at: usize) -> Tag {
    let above = at.checked_sub(1).and_then(|at| message.values(Name::RecordRoute).nth(at));
    let above = above.and_then(|value| NameAddr::parse(value).ok());
    let next = above.or_else(|| message.contacts().next().and_then(|contact| contact.ok()));
    let next = next.and_then(|next| next.uri().ok());
    next.and_then(|uri| hop_tag(&ours.setup.keys, &uri)).unwrap_or(0)
}

/// The tag of who sends over this flow. A peer may send from elsewhere, and our own address
/// means that the request was here before.
fn sender(ours: Ours<'_>, side: &Flow) -> Tag {
    let ip: IpAddr = side.remote.ip();
    let anywhere =
        matches!(Caller::by_flow(ours.snapshot, side), Caller::Peer(_)) || ours.is_our_address(ip);
    if anywhere { 0 } else { source_tag(&ours.setup.keys, ip) }
}

/// The tag of the peer that calls, if we may be asked who we are when we send it something.
fn peer_behind(ours: Ours<'_>, side: &Flow) -> Tag {
    let Caller::Peer(at) = Caller::by_flow(ours.snapshot, side) else { return 0 };
    let peer = ours.snapshot.peers.get(at).filter(|peer| peer.login.is_some());
    peer.map_or(0, |peer| peer_tag(&ours.setup.keys, &peer.name, side.remote.ip()))
}

/// A phone at our own address that names no port could be taken for us.
fn looks_ours(ours: Ours<'_>, uri: &Uri<'_>) -> bool {
    matches!(uri, Uri::Sip(sip) if ours.is_here(sip))
}

/// Whether a URI leads by itself to where the flow leads: a datagram to that very address.
fn names(uri: &Uri<'_>, flow: &Flow) -> bool {
    let Uri::Sip(sip) = uri else { return false };
    let transport = sip.params.get(b"transport").flatten();
    let datagram = transport.is_none_or(|t| t.eq_ignore_ascii_case(b"udp"));
    let remote = address_of(&sip.host).map(|ip| SocketAddr::new(ip, sip.port.unwrap_or(5060)));
    flow.transport == Transport::Udp && datagram && !sip.secure && remote == Some(flow.remote)
}

//= RFC 3261 16.6
// "placed in the Record-Route header field value MUST be a SIP or SIPS URI."
// "URI placed in the Record-Route header field MUST resolve to the element inserting it"
// "back through in a response, the URI MUST be distinct enough to locate at that time."
fn push_entry(
    ours: Ours<'_>,
    request: &Message<'_>,
    (side, cookie): (&Flow, Cookie),
    edit: &mut Editor<'_>,
) {
    let Some(listener) = ours.listener(side) else { return };
    //= RFC 3261 16.6
    // "Request-URI contains a SIPS URI, or the topmost Route header"
    // To a side that is not secure nobody can send securely.
    let sips = matches!(request.uri(), Ok(Uri::Sip(sip)) if sip.secure);
    let secure = sips && listener.transport.is_secure();
    edit.push_record_route_with(|out| {
        out.extend_from_slice(if secure { b"<sips:" } else { b"<sip:" });
        cookie.write(&ours.setup.keys, request.call_id(), out);
        out.push(b'@');
        end_route(listener, secure, out);
    });
}

/// A Route that leads to us and means nothing else: what a Service-Route is made of (RFC 3608 §5).
pub(crate) fn service_route(listener: &Listener) -> Vec<u8> {
    let mut out = b"<sip:".to_vec();
    end_route(listener, false, &mut out);
    out
}

/// Ends the URI of a Route that leads to a listener of ours.
pub(crate) fn end_route(listener: &Listener, secure: bool, out: &mut Vec<u8>) {
    use core::fmt::Write;
    let mut text = Text(out);
    // Writing to memory cannot fail.
    let _ = write!(text, "{}", listener.public());
    match listener.transport {
        Transport::Udp => {}
        Transport::Tls if secure => {}
        // RFC 5630 §3.1.4 knows no name for TLS on one hop of a sip: URI, but every phone does.
        other => {
            let _ = write!(text, ";transport={}", other.uri_name());
        }
    }
    //= RFC 3261 16.6
    // "This URI MUST contain an lr parameter"
    out.extend_from_slice(b";lr>");
}

/// Lets `write!` append to bytes.
pub(crate) struct Text<'a>(pub(crate) &'a mut Vec<u8>);

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
