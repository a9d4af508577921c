//! What does not leave us with a message: credentials that were meant for us (RFC 3261 §22.3),
//! and identities that only a trusted side may assert (RFC 3325 §5, B1 and B3 of the threat
//! list).

use crate::flow::Flow;
use crate::identity::{Caller, realm_of};
use crate::route::ours::Ours;
use crate::snapshot::Snapshot;
use ringway_wire::{Editor, Message, Name};

/// Takes off the credentials that were meant for us.
pub(crate) fn drop_own_credentials(ours: Ours<'_>, request: &Message<'_>, edit: &mut Editor<'_>) {
    for (at, value) in request.all(Name::ProxyAuthorization).enumerate() {
        let realm = realm_of(value);
        if realm.is_some_and(|realm| ours.snapshot.domains.contains(realm)) {
            edit.remove_nth(Name::ProxyAuthorization, at);
        }
    }
}

/// Takes off what the sender of a message says about who somebody is, unless it is a peer.
//= RFC 3325 5
// "contains a SIP or SIPS URI, the proxy MUST replace that SIP or SIPS"
pub(crate) fn drop_asserted(
    snapshot: &Snapshot,
    source: &Flow,
    message: &Message<'_>,
    edit: &mut Editor<'_>,
) {
    let trusted = matches!(Caller::by_flow(snapshot, source), Caller::Peer(_));
    let others = message.headers().filter(|header| header.name == Name::Other);
    for (at, header) in others.enumerate() {
        if is_preferred(header.raw_name) || !trusted && is_asserted(header.raw_name) {
            edit.remove_nth(Name::Other, at);
        }
    }
}

/// A wish to the first proxy alone.
//= RFC 3325 6
// "The proxy MUST remove the user-"
fn is_preferred(name: &[u8]) -> bool {
    starts(name, b"p-preferred-")
}

fn is_asserted(name: &[u8]) -> bool {
    match name.first() {
        Some(b'p' | b'P') => [
            &b"p-asserted-"[..],
            b"p-charg",
            b"p-dcs-",
            b"p-served-user",
            b"p-profile-key",
            b"p-associated-uri",
            b"p-called-party-id",
        ]
        .iter()
        .any(|prefix| starts(name, prefix)),
        Some(b'r' | b'R') => name.eq_ignore_ascii_case(b"Remote-Party-ID"),
        Some(b'd' | b'D') => name.eq_ignore_ascii_case(b"Diversion"),
        Some(b'h' | b'H') => name.eq_ignore_ascii_case(b"History-Info"),
        _ => false,
    }
}

fn starts(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
