//! RFC 3261 §16.6 step 4: our Record-Route entries.
//!
//! One entry where both sides use the same socket and can be reached by what their Contact
//! says; two entries, one facing each side (RFC 5658 §5), where sockets differ or where only the
//! flow leads back. Of two, the entry that is taken off last by a later request faces the side
//! that the request goes to, so its cookie holds the way there.

use crate::flow::{Flow, Transport};
use crate::route::cookie::Cookie;
use crate::route::ours::{Ours, address_of};
use alloc::vec::Vec;
use core::net::SocketAddr;
use ringway_wire::{Message, Uri};

/// Our entries, the topmost first: one, or the one that faces the callee and the one that faces
/// the caller. Each becomes a header of its own: Linphone 5.1 doubles the last of several in one
/// header when it answers.
pub(crate) fn entries(
    ours: Ours<'_>,
    request: &Message<'_>,
    caller: &Flow,
    callee: &Flow,
    target: &[u8],
) -> impl Iterator<Item = Vec<u8>> {
    let contact = request.contacts().next().and_then(|c| c.ok());
    let direct = |uri: &Uri<'_>, flow| names(uri, flow) && !looks_ours(ours, uri);
    let one = caller.socket == callee.socket
        && contact.and_then(|contact| contact.uri().ok()).is_some_and(|uri| direct(&uri, caller))
        && Uri::parse(target).is_ok_and(|uri| direct(&uri, callee));
    let sides = if one {
        [entry(ours, request, caller, None), None]
    } else {
        [callee, caller].map(|side| entry(ours, request, side, Some(*side)))
    };
    sides.into_iter().flatten()
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

fn entry(
    ours: Ours<'_>,
    request: &Message<'_>,
    side: &Flow,
    flow: Option<Flow>,
) -> Option<Vec<u8>> {
    use core::fmt::Write;
    let listener = ours.listener(side)?;
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(b"<sip:");
    Cookie { flow }.write(&ours.setup.keys, request.call_id(), &mut out);
    let mut text = Text(&mut out);
    // Writing to memory cannot fail.
    let _ = write!(text, "@{}", listener.public());
    match listener.transport {
        Transport::Udp => {}
        other => {
            let _ = write!(text, ";transport={}", other.uri_name());
        }
    }
    //= RFC 3261 16.6
    // "This URI MUST contain an lr parameter"
    out.extend_from_slice(b";lr>");
    Some(out)
}

/// Lets `write!` append to bytes.
pub(crate) struct Text<'a>(pub(crate) &'a mut Vec<u8>);

impl core::fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.0.extend_from_slice(s.as_bytes());
        Ok(())
    }
}
