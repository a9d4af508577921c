//! The name service: hosts and the flows that lead to them. It can be slow and silent.

use ringway_core::boundary::Answer;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::locate::{Avoided, NextHop};
use ringway_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What is known of one host.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where it is, best first.
    pub places: Vec<(Transport, SocketAddr)>,
    /// How long the answer takes.
    pub delay: Duration,
    /// Whether there is never an answer.
    pub silent: bool,
}

/// All hosts that are known. One that is not has no places.
#[derive(Debug, Default)]
pub struct Names {
    /// By name, in lower case.
    pub hosts: BTreeMap<String, Host>,
    /// Next hops that failed lately: others are named before them.
    pub avoided: Avoided,
}

impl Names {
    /// The answer to a question, and after what time it comes; `None`: never.
    pub fn resolve(
        &self,
        now: Instant,
        listeners: &[Listener],
        hop: &NextHop,
    ) -> Option<(Duration, Answer)> {
        let name = String::from_utf8_lossy(&hop.host).to_ascii_lowercase();
        let by_scheme = hop.secure.then_some(Transport::Tls);
        let transport = hop.transport.or(by_scheme);
        let known = match name.parse::<IpAddr>() {
            Ok(ip) => {
                let transport = transport.unwrap_or(Transport::Udp);
                let place =
                    (transport, SocketAddr::new(ip, hop.port.unwrap_or(transport.default_port())));
                Host { places: vec![place], ..Host::default() }
            }
            Err(_) => self.hosts.get(&name).cloned().unwrap_or_default(),
        };
        let flows =
            known.places.iter().filter(|(t, _)| transport.is_none_or(|wanted| wanted == *t));
        let flows = flows.filter_map(|&(transport, remote)| flow_to(listeners, transport, remote));
        let mut flows: Vec<Flow> = flows.collect();
        self.avoided.put_last(now, &mut flows);
        (!known.silent).then_some((known.delay, Answer::Resolved(flows)))
    }
}

fn flow_to(listeners: &[Listener], transport: Transport, remote: SocketAddr) -> Option<Flow> {
    let fits = |l: &Listener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
    let socket = SocketId(listeners.iter().position(fits)? as u16);
    Some(Flow {
        socket,
        transport,
        connection: ConnectionId::NONE,
        remote,
        certified: CertifiedName::NONE,
    })
}
