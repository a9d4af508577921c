//! The name service: hosts and the flows that lead to them, or zones of records in which the core's
//! own search looks (RFC 3263). It can be slow, silent and wrong.

use ringway_core::boundary::Answer;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::locate::{Avoided, NextHop, Query, Records, Search, Usable};
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

/// What a name server says to one query.
#[derive(Clone, Debug)]
pub struct Told {
    /// The records.
    pub records: Records,
    /// How long it takes.
    pub delay: Duration,
    /// Whether it never says anything.
    pub silent: bool,
}

/// How long a query waits for a name server that says nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// All hosts that are known. One that is not has no places.
#[derive(Debug, Default)]
pub struct Names {
    /// By name, in lower case.
    pub hosts: BTreeMap<String, Host>,
    /// What is said of other names.
    pub zone: BTreeMap<Query, Told>,
    /// What was answered, and from when on that is known: for those who watch.
    pub answered: Vec<(Instant, Vec<Flow>)>,
    /// The server is told the first way only, to try those who watch.
    pub hides_others: bool,
    searches: u64,
    /// Next hops that failed lately: others are named before them.
    pub avoided: Avoided,
}

impl Names {
    /// The answer to a question, and after what time it comes; `None`: never.
    pub fn resolve(
        &mut self,
        now: Instant,
        listeners: &[Listener],
        hop: &NextHop,
    ) -> Option<(Duration, Answer)> {
        let (delay, mut flows) = match self.find_host(listeners, hop) {
            Some(host) => host?,
            None => self.search(listeners, hop),
        };
        if hop.seed.is_none() {
            self.avoided.put_last(now, &mut flows);
        }
        self.answered.push((now + delay, flows.clone()));
        if self.hides_others {
            flows.truncate(1);
        }
        Some((delay, Answer::Resolved(flows)))
    }

    /// What the core's search finds in the zone.
    fn search(&mut self, listeners: &[Listener], hop: &NextHop) -> (Duration, Vec<Flow>) {
        self.searches += 1;
        let random = hop.seed.unwrap_or(self.searches);
        let mut search = Search::new(hop, &Usable::of(listeners), random);
        let mut took = Duration::ZERO;
        while !search.wanted().is_empty() {
            let mut longest = Duration::ZERO;
            let mut answers = Vec::new();
            for query in search.wanted() {
                let told = self.zone.get(query);
                let silent = told.is_some_and(|told| told.silent);
                let delay = told.map_or(Duration::ZERO, |told| told.delay);
                longest = longest.max(if silent { PATIENCE } else { delay });
                let records = told.filter(|_| !silent).map(|told| told.records.clone());
                answers.push(records.unwrap_or(Records::Nothing));
            }
            took = Duration::from_micros(took.as_micros() + longest.as_micros());
            search.answer(answers);
        }
        let targets = search.targets().iter();
        let flows = targets.filter_map(|t| flow_to(listeners, t.transport, t.remote)).collect();
        (took, flows)
    }

    /// The ways to an address or a host that is known with its places, unless that one is silent;
    /// `None`: it is neither.
    #[allow(clippy::option_option, reason = "silence is no answer, and no other name either")]
    fn find_host(
        &self,
        listeners: &[Listener],
        hop: &NextHop,
    ) -> Option<Option<(Duration, Vec<Flow>)>> {
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
            Err(_) => self.hosts.get(&name).cloned()?,
        };
        let flows =
            known.places.iter().filter(|(t, _)| transport.is_none_or(|wanted| wanted == *t));
        let flows = flows.filter_map(|&(transport, remote)| flow_to(listeners, transport, remote));
        let flows: Vec<Flow> = flows.collect();
        Some((!known.silent).then_some((known.delay, flows)))
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
