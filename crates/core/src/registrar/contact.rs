//! Which contacts are not taken (D4 of the threat list, RFC 5627 §5.1).

use crate::flow::Flow;
use crate::reject::Reject;
use crate::route::ours::{Ours, address_of};
use core::net::IpAddr;
use ringway_wire::{Message, SipUri, Uri};

/// Refuses contacts that would lead back here, and those that no request can be sent to.
/// `followed`: requests will go where the contact says, and not to where it was registered from.
pub(crate) fn check_contacts(
    ours: Ours<'_>,
    request: &Message<'_>,
    (flow, followed): (&Flow, bool),
) -> Result<(), Reject> {
    for contact in request.contacts().flatten() {
        let Ok(Uri::Sip(uri)) = contact.uri() else { continue };
        //= RFC 5627 5.1
        // "403, since this would cause a routing loop.  If the contact URI is a"
        // One with headers is no equal of the address-of-record (RFC 3261 §19.1.4, and the message
        // of RFC 4475 §3.3.14 that is to succeed); should it lead back here, the loop is found.
        let is_us = ours.is_our_route(&uri) && uri.headers.is_empty();
        if is_us || leads_nowhere(&uri) || followed && is_private_to(&uri, flow.remote.ip()) {
            return Err(Reject::ContactNotAllowed);
        }
    }
    Ok(())
}

/// An address that is nobody's, or everybody's.
fn leads_nowhere(uri: &SipUri<'_>) -> bool {
    let ip = address_of(&uri.host).map(|ip| ip.to_canonical());
    // No URI has port 0: the grammar refuses it.
    ip.is_some_and(|ip| match ip {
        // 0.0.0.0/8, and 240.0.0.0/4 with the broadcast address at its end.
        IpAddr::V4(v4) => v4.is_multicast() || matches!(v4.octets()[0], 0 | 240..),
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    })
}

/// An address that means something else at our place than at that of who named it.
fn is_private_to(uri: &SipUri<'_>, source: IpAddr) -> bool {
    let Some(ip) = address_of(&uri.host).map(|ip| ip.to_canonical()) else { return false };
    let source = source.to_canonical();
    let is_link_local = |ip| match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    ip.is_loopback() && !source.is_loopback() || is_link_local(ip) && !is_link_local(source)
}
