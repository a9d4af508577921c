//! The four transaction machines (RFC 3261 §17, RFC 6026, RFC 4320), one type and file each.
//!
//! They know no messages: they are told what happened and when, and say what to do. The state
//! of each owns its timers, so a timer that does not run in a state cannot be written there.

pub mod invite_client;
pub mod client;
pub mod invite_server;
pub mod server;
pub mod key;

use crate::time::Duration;

/// Estimate of the round-trip time (RFC 3261 §17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// The longest interval between retransmissions of non-INVITE requests and INVITE responses.
pub const T2: Duration = Duration::from_secs(4);
/// The longest a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// How long anything may take: timers B, F, H, J, L and M.
pub const T1_64: Duration = Duration::from_secs(32);
/// Timer D over unreliable transports (RFC 3261 §17.1.1.2: at least 32 s).
pub const TIMER_D: Duration = Duration::from_secs(32);
