//! Headers with a grammar of their own, read on demand.

pub(crate) mod params;
pub(crate) mod address;
pub(crate) mod via;
pub(crate) mod cseq;
pub(crate) mod session_id;
