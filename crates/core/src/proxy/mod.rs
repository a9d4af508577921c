//! The proxy: executes plans (RFC 3261 §16.5 to §16.10), or passes on what is to leave no state
//! ([`stateless`], §16.11).
//!
//! A request that got this far has been checked and its caller is known. It gets a server
//! transaction and a [`ResponseContext`](response_context::ResponseContext); then, one after
//! another and each ending by saying what it waits for:
//! [`Node::begin`] → spend the nonce → [`Node::find_targets`] → locate → [`Node::execute`] →
//! [`Node::forward`] each branch → responses.
//!
//! [`Node::begin`]: crate::node::Node::begin
//! [`Node::find_targets`]: crate::node::Node::find_targets
//! [`Node::execute`]: crate::node::Node::execute
//! [`Node::forward`]: crate::node::Node::forward

pub(crate) mod best_response;
pub(crate) mod device;
pub(crate) mod edge;
pub(crate) mod forward;
pub(crate) mod kept_here;
pub(crate) mod privacy;
pub(crate) mod border;
pub(crate) mod next_address;
pub(crate) mod record_route;
pub(crate) mod response_context;
pub(crate) mod responses;
pub(crate) mod follow;
pub(crate) mod log_in;
pub(crate) mod session_id;
pub(crate) mod cancel;
pub(crate) mod ack;
pub(crate) mod targets;
mod late_group;
mod unreachable;
pub(crate) mod stateless;
pub(crate) mod way_back;
