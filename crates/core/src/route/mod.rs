//! Where a request goes: our own Route headers (RFC 3261 §16.4), the targets (§16.5) as a
//! [`Plan`](plan::Plan), and which address is ours.

pub(crate) mod ours;
mod base64url;
pub(crate) mod cookie;
pub(crate) mod gruu;
pub(crate) mod own_route;
pub mod rules;
pub mod plan;
pub(crate) mod target_set;
pub mod explain;
