//! What the sender of a message wants kept to itself (RFC 3323 §4.2), and how much of it we can
//! see to: that what others assert of it does not leave the trust domain (RFC 3325 §7, RFC 5379).

use crate::reject::Reject;
use ringway_wire::{Message, Name};

/// The Privacy header of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Privacy {
    /// Who sent it: `id` (RFC 3325 §7), `header` (RFC 5379 §5.1.8).
    pub(crate) identity: bool,
    /// For whom it was before: `history`, `header`, `session` (RFC 5379 §5.1.5).
    pub(crate) history: bool,
    /// Nothing at all is to be hidden: `none`.
    pub(crate) none: bool,
    /// Something that we do not do.
    more: bool,
    critical: bool,
}

impl Privacy {
    /// What a message asks for. Who asks for `none` and for more gets the more.
    pub(crate) fn of(message: &Message<'_>) -> Self {
        let mut asked = Self::default();
        let all = message.all(Name::Privacy);
        for value in all.flat_map(|all| all.split(|byte| b";,".contains(byte))) {
            let value = value.trim_ascii();
            let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
            match () {
                () if value.is_empty() => {}
                () if is(b"none") => asked.none = true,
                () if is(b"id") => asked.identity = true,
                () if is(b"history") => asked.history = true,
                () if is(b"critical") => asked.critical = true,
                () if is(b"header") => {
                    (asked.identity, asked.history, asked.more) = (true, true, true);
                }
                () if is(b"session") => (asked.history, asked.more) = (true, true),
                () => asked.more = true,
            }
        }
        asked.none &= !(asked.identity || asked.history || asked.more);
        asked
    }
}

/// Refuses what must be hidden and what we cannot hide.
//= RFC 3323 5
// "of the levels of privacy specified in the Privacy header then it MUST"
pub(crate) fn check(request: &Message<'_>) -> Result<(), Reject> {
    if request.header(Name::Privacy).is_none() {
        return Ok(());
    }
    match Privacy::of(request) {
        Privacy { critical: true, more: true, .. } => Err(Reject::PrivacyNotProvided),
        _ => Ok(()),
    }
}
