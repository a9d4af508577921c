//! A binding: one contact of an address-of-record (RFC 3261 §10).

use crate::flow::{ConnectionId, Flow};
use crate::time::Instant;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// One contact under which an address-of-record can be reached, as a REGISTER left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The contact URI, as received.
    pub contact: Box<[u8]>,
    /// Parameters of the Contact header other than `q` and `expires`, each with its `;`.
    pub params: Box<[u8]>,
    /// Which device it is: the URN in `+sip.instance` without `<>`, as [`instance_id`] writes it;
    /// empty where none was given (RFC 5626 §4.1).
    pub instance: Box<[u8]>,
    /// Which of its flows; 0: it is no outbound registration (RFC 5626 §6).
    pub reg_id: u32,
    /// The Path of the REGISTER, its values in order and separated by `, `; empty where there was
    /// none (RFC 3327 §5.3).
    pub path: Box<[u8]>,
    /// Temporary GRUUs of its instance that were made before this are void (RFC 5627 §5.1).
    pub gruus_since: Instant,
    /// Preference in thousandths, 0 to 1000 (RFC 3261 §20.10); 1000 where none was given.
    pub q: u16,
    /// When it ends.
    pub expires: Instant,
    /// When it was made or last refreshed.
    pub refreshed: Instant,
    /// Until when what the store has of it is good: not before `expires` (decision 0024).
    pub lease_until: Instant,
    /// Call-ID of the REGISTER that wrote it.
    pub call_id: Box<[u8]>,
    /// CSeq number of that REGISTER.
    pub cseq: u32,
    /// Hash of the top Via branch of that REGISTER: tells a retransmission from a new request.
    pub transaction: u64,
    /// Where that REGISTER came from: behind address translation the only way back.
    pub flow: Flow,
    /// User-Agent of that REGISTER, cut to 128 bytes; may be empty.
    pub user_agent: Box<[u8]>,
}

impl Binding {
    /// The end of the lease of a binding that is committed now: one interval after its own end.
    pub fn lease(refreshed: Instant, expires: Instant) -> Instant {
        expires + expires.since(refreshed)
    }

    /// Until when its flow is to be guarded. The end of a leased refresh is rounded up to a
    /// sixteenth of the interval, so that the guard need not hear of each.
    pub fn guarded_until(&self) -> Instant {
        if self.lease_until == Self::lease(self.refreshed, self.expires) {
            return self.expires;
        }
        let step = (self.expires.since(self.refreshed).as_micros() / 16).max(1);
        let rounded = Instant::from_micros(self.expires.as_micros().next_multiple_of(step));
        rounded.min(self.lease_until).max(self.expires)
    }

    /// Whether it differs from an older binding in nothing but its times and the numbers of its
    /// REGISTER.
    pub fn refreshes(&self, older: &Self) -> bool {
        let Self { contact, params, instance, reg_id, path, gruus_since, q, .. } = self;
        let Self { call_id, flow, user_agent, .. } = self;
        *contact == older.contact
            && *call_id == older.call_id
            && *flow == older.flow
            && (*reg_id, *q, *gruus_since) == (older.reg_id, older.q, older.gruus_since)
            && *params == older.params
            && *instance == older.instance
            && *path == older.path
            && *user_agent == older.user_agent
    }

    /// What is left of it when the process that had it is gone: its connection is, and nobody knows
    /// how much of its lease was used, so all of it counts.
    #[must_use]
    pub fn after_restart(mut self) -> Self {
        self.flow.connection = ConnectionId::NONE;
        self.expires = self.expires.max(self.lease_until);
        self
    }

    /// What is left of it where nobody knows any more whether the store has it: no refresh may lean
    /// on its lease, so the next one is committed.
    #[must_use]
    pub fn without_lease(mut self) -> Self {
        self.lease_until = self.expires;
        self
    }

    /// What tells it from the other bindings of its address-of-record: the flow of an outbound
    /// registration, written as `REG-ID INSTANCE`; else the contact URI. No URI begins with a
    /// digit, so neither is ever taken for the other.
    //= RFC 5626 6
    // "the corresponding binding is between an AOR and the"
    pub fn key(&self) -> Cow<'_, [u8]> {
        if self.reg_id == 0 {
            return Cow::Borrowed(&self.contact);
        }
        let mut key = format!("{} ", self.reg_id).into_bytes();
        key.extend_from_slice(&self.instance);
        Cow::Owned(key)
    }
}

/// The instance in the value of a `+sip.instance` parameter (`"<urn:…>"`), in one spelling for
/// equal URNs; empty if it is not of that form.
//= RFC 5626 4.1
// "extracted" from the value in the "sip.instance" media feature
pub fn instance_id(value: &[u8]) -> Box<[u8]> {
    let quoted = value.trim_ascii();
    let quoted = quoted.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let urn = quoted.and_then(|rest| rest.strip_prefix(b"<")?.strip_suffix(b">"));
    urn.map(|urn| spelling(urn).into()).unwrap_or_default()
}

/// The one spelling of a URN: `urn` and its namespace are the same in any case (RFC 2141 §5), and a
/// UUID is as a whole (RFC 4122 §3).
pub(crate) fn spelling(urn: &[u8]) -> Vec<u8> {
    let mut colons = urn.iter().enumerate().filter(|(_, byte)| **byte == b':');
    let (scheme, namespace) = (colons.next(), colons.next());
    let mut urn = urn.to_vec();
    let (Some((first, _)), Some((second, _))) = (scheme, namespace) else { return urn };
    if urn[..first].eq_ignore_ascii_case(b"urn") {
        let is_uuid = urn[first + 1..second].eq_ignore_ascii_case(b"uuid");
        let end = if is_uuid { urn.len() } else { second };
        urn[..end].make_ascii_lowercase();
    }
    urn
}

#[cfg(test)]
mod tests {
    use super::instance_id;

    #[test]
    fn equal_instances_have_one_spelling() {
        for (value, expected) in [
            ("\"<urn:uuid:F81D4FAE-7DEC>\"", "urn:uuid:f81d4fae-7dec"),
            (" \"<URN:UUID:f81d4fae-7dec>\" ", "urn:uuid:f81d4fae-7dec"),
            ("\"<URN:GSMA:imei:90420156-025763-A>\"", "urn:gsma:imei:90420156-025763-A"),
            ("\"<x:Y:Z>\"", "x:Y:Z"),
            ("\"<>\"", ""),
            ("<urn:uuid:1>", ""),
            ("\"urn:uuid:1\"", ""),
            ("\"", ""),
            ("", ""),
        ] {
            assert_eq!(*instance_id(value.as_bytes()), *expected.as_bytes(), "{value}");
        }
    }
}
