//! A binding: one contact of an address-of-record (RFC 3261 §10).

use crate::flow::Flow;
use crate::time::Instant;
use alloc::boxed::Box;

/// One contact under which an address-of-record can be reached, as a REGISTER left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The contact URI, as received.
    pub contact: Box<[u8]>,
    /// Parameters of the Contact header other than `q` and `expires`, each with its `;`.
    pub params: Box<[u8]>,
    /// Preference in thousandths, 0 to 1000 (RFC 3261 §20.10); 1000 where none was given.
    pub q: u16,
    /// When it ends.
    pub expires: Instant,
    /// When it was made or last refreshed.
    pub refreshed: Instant,
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
