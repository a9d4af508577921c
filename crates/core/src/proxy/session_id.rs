//! What a proxy does about Session-ID (RFC 7989 §7): nearly nothing. It passes untouched; in what
//! we say ourselves there is none, for we do not remember who is at the other end.

use alloc::vec::Vec;
use ringway_wire::{Editor, Message, Name, SessionId};

/// Takes off one whose first identifier has another length; what else may be wrong with it passes.
pub(crate) fn drop_malformed(response: &Message<'_>, edit: &mut Editor<'_>) {
    let is_malformed = |value: &[u8]| {
        let local = value.split(|&b| b == b';').next().unwrap_or_default();
        local.trim_ascii().len() != SessionId::NIL.len()
    };
    //= RFC 7989 7
    // "misbehaving implementation, and its Session-ID header field MUST be"
    if response.header(Name::SessionId).is_some_and(is_malformed) {
        edit.remove(Name::SessionId);
    }
}

/// A response that is put together from several comes from nobody in particular.
pub(crate) fn of_nobody(response: &Message<'_>, edit: &mut Editor<'_>) {
    let Some(value) = response.header(Name::SessionId) else { return };
    //= RFC 7989 7
    // "intermediary MUST set the local-uuid field to the nil UUID value when"
    let Ok(session) = SessionId::parse(value) else { return edit.remove(Name::SessionId) };
    let rest = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    if session.local != SessionId::NIL {
        let value: Vec<u8> = [SessionId::NIL, &value[rest..]].concat();
        edit.set(Name::SessionId, &value);
    }
}
