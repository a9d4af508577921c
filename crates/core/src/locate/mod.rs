//! RFC 3263: from the host of a URI to addresses that can be tried one after another.
//!
//! ```text
//! NextHop -> Search ── wanted ──> the name service, or what a cache or a simulated zone knows
//!              ^ └── answer <─────────┘
//!              └─> targets -> Avoided: those that failed lately come last -> egress, per address
//! ```
//!
//! A [`Search`] is a state machine that waits for nothing and knows no clock. Whoever drives it
//! asks what it wants, in any way and order, and hands back one [`Records`] for each [`Query`]:
//!
//! ```
//! use ringway_core::flow::Transport;
//! use ringway_core::locate::{Kind, NextHop, Records, Search, Srv, Usable};
//! use std::net::IpAddr;
//!
//! let host = (*b"example.com").into();
//! let transport = Some(Transport::Tcp);
//! let hop = NextHop { host, port: None, transport, secure: false, seed: None };
//! let usable = Usable::from_iter([(Transport::Tcp, true)]);
//! let mut search = Search::new(&hop, &usable, 7);
//! while !search.wanted().is_empty() {
//!     let zone = |kind| match kind {
//!         Kind::Srv => Records::Srv(vec![Srv::new(10, 0, 5070, "one.example.com")]),
//!         Kind::A => Records::Addresses(vec![IpAddr::from([192, 0, 2, 1])]),
//!         Kind::Aaaa | Kind::Naptr => Records::Nothing,
//!     };
//!     let answers = search.wanted().iter().map(|query| zone(query.kind)).collect();
//!     search.answer(answers);
//! }
//! assert_eq!(search.targets()[0].remote, "192.0.2.1:5070".parse().unwrap());
//! ```

mod avoided;
mod egress;
mod order;
mod records;
mod search;
#[cfg(test)]
mod tests;

pub use avoided::Avoided;
pub use egress::{Reach, embedded, reach};
pub use records::{Kind, Naptr, Query, Records, Srv};
pub use search::{Search, Target, Usable};

use crate::flow::Transport;
use alloc::boxed::Box;
use alloc::format;
use core::net::SocketAddr;

/// A next hop that is known by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// TARGET in the words of RFC 3263 §4: a host name, or an address as text.
    pub host: Box<[u8]>,
    /// The port, if the URI gives one.
    pub port: Option<u16>,
    /// The transport, if the URI gives one; for a SIPS URI already a secure one.
    pub transport: Option<Transport>,
    /// Whether it must be reached over a secure transport.
    pub secure: bool,
    /// Decides among records of the same priority, in place of chance: who asks again with the
    /// same one gets the same order, whatever failed meanwhile (RFC 3263 §4.4).
    pub seed: Option<u64>,
}

impl NextHop {
    /// An address of which only our own side is not known yet.
    pub(crate) fn numeric(remote: SocketAddr, transport: Transport) -> Self {
        let host = format!("{}", remote.ip()).into_bytes().into();
        let (port, transport) = (Some(remote.port()), Some(transport));
        Self { host, port, transport, secure: false, seed: None }
    }
}
