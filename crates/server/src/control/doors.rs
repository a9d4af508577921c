//! What leads into the server, as it is told to administrators: sockets and certificates.

use crate::exposure::Reach;
use crate::metrics::{self, Metrics};
use crate::tls::Description;
use ringway_core::flow::Listener;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

/// One listening socket.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct ListenerView {
    /// `udp`, `tcp`, …
    pub transport: String,
    /// The address with its port.
    pub address: SocketAddr,
    /// What others are told instead, behind address translation.
    pub advertised: Option<SocketAddr>,
    /// Who can reach it: `this machine`, `private networks` or `anybody`.
    pub open_to: String,
}

impl From<&Listener> for ListenerView {
    fn from(listener: &Listener) -> Self {
        Self {
            transport: listener.transport.to_string(),
            address: listener.local,
            advertised: listener.advertised,
            open_to: Reach::of(listener).to_string(),
        }
    }
}

/// A certificate that is shown to those who connect.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct CertificateView {
    /// The domains that it proves.
    pub domains: Vec<String>,
    /// When it ends, in seconds since the Unix epoch.
    pub ends_at_s: u64,
    /// The whole days until then; negative afterwards.
    pub days_left: i64,
    /// The same in words.
    pub left: String,
}

impl CertificateView {
    /// As it is at this time.
    pub fn at(now: SystemTime, said: &Description) -> Self {
        let ends = said.ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            domains: said.names.clone(),
            ends_at_s: ends.as_secs(),
            days_left: said.days_left(now),
            left: said.time_left(now),
        }
    }
}

/// What became of connections and handshakes since the start, but for what was never counted.
pub fn connections(metrics: &Metrics) -> BTreeMap<String, u64> {
    metrics::connection_counters(metrics).into_iter().map(|(name, n)| (name.into(), n)).collect()
}
