//! What does not leave us with a message: credentials that were meant for us (RFC 3261 §22.3).

use crate::identity::realm_of;
use crate::route::ours::Ours;
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
