//! Boxes that translate addresses (RFC 4787): what is behind one is reached only through a mapping
//! that it made itself, and only while the mapping lives.

use crate::world::{EndpointId, World};
use ringway_core::flow::{Flow, SocketId, Transport};
use ringway_core::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// How a box behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NatKind {
    /// Each of the server's sockets sees another address (RFC 4787 §4.1: address and port
    /// dependent mapping).
    pub symmetric: bool,
    /// Only who was sent something may answer (§5).
    pub filters: bool,
    /// A mapping of datagrams is forgotten after so much silence (§4.3).
    pub life: Duration,
    /// Whether what comes in keeps a mapping alive, too.
    pub kept_by_inbound: bool,
}

/// One box.
#[derive(Debug)]
pub(super) struct Nat {
    kind: NatKind,
    public: IpAddr,
    mappings: Vec<Mapping>,
    next_port: u16,
}

#[derive(Debug)]
struct Mapping {
    endpoint: EndpointId,
    inside: SocketAddr,
    /// For which socket of the server; `None`: for all.
    to: Option<SocketId>,
    port: u16,
    last: Instant,
    /// To whom it was used.
    known: BTreeSet<SocketId>,
}

impl Nat {
    fn port(&mut self) -> u16 {
        self.next_port = self.next_port.checked_add(1).unwrap_or(20_000);
        self.next_port
    }

    pub(super) fn retime(&mut self, set: impl Fn(Instant) -> Instant) {
        self.mappings.iter_mut().for_each(|mapping| mapping.last = set(mapping.last));
    }

    /// A datagram goes out: which address the far side sees.
    fn out(
        &mut self,
        now: Instant,
        (endpoint, inside): (EndpointId, SocketAddr),
        to: SocketId,
    ) -> SocketAddr {
        let kind = self.kind;
        self.mappings.retain(|mapping| mapping.is_alive(now, kind));
        let scope = kind.symmetric.then_some(to);
        let same = |m: &&mut Mapping| (m.endpoint, m.inside, m.to) == (endpoint, inside, scope);
        if let Some(mapping) = self.mappings.iter_mut().find(same) {
            mapping.last = now;
            mapping.known.insert(to);
            return SocketAddr::new(self.public, mapping.port);
        }
        let (port, known) = (self.port(), BTreeSet::from([to]));
        self.mappings.push(Mapping { endpoint, inside, to: scope, port, last: now, known });
        SocketAddr::new(self.public, port)
    }

    /// A datagram comes in: whom it is for.
    fn inward(&self, now: Instant, flow: &Flow) -> Option<usize> {
        let passes = |m: &Mapping| {
            m.port == flow.remote.port()
                && m.is_alive(now, self.kind)
                && m.to.is_none_or(|to| to == flow.socket)
                && (!self.kind.filters || m.known.contains(&flow.socket))
        };
        (self.public == flow.remote.ip()).then(|| self.mappings.iter().position(passes))?
    }
}

impl Mapping {
    fn is_alive(&self, now: Instant, kind: NatKind) -> bool {
        now < self.last + kind.life
    }
}

impl World {
    /// Puts endpoints behind a box of their own with this address. What they [open](World::open)
    /// from then on is inside.
    pub fn put_behind_nat(&mut self, kind: NatKind, public: IpAddr, inside: &[EndpointId]) {
        let at = self.nats.len();
        self.nats.push(Nat { kind, public, mappings: Vec::new(), next_port: 30_000 });
        self.behind.extend(inside.iter().map(|endpoint| (*endpoint, at)));
    }

    /// The box of an endpoint loses its power for a moment: it forgets all mappings and all
    /// connections, and has perhaps another address.
    pub fn reboot_nat(&mut self, endpoint: EndpointId, public: Option<IpAddr>) {
        let Some(&at) = self.behind.get(&endpoint) else { return };
        let nat = &mut self.nats[at];
        nat.mappings.clear();
        nat.public = public.unwrap_or(nat.public);
        let same = self.behind.iter().filter(|(_, box_)| **box_ == at);
        for endpoint in same.map(|(endpoint, _)| *endpoint).collect::<Vec<_>>() {
            self.lose_connections(endpoint);
        }
    }

    /// Whether an endpoint sits behind a box.
    pub fn is_behind_nat(&self, endpoint: EndpointId) -> bool {
        self.behind.contains_key(&endpoint)
    }

    /// The address that the server sees of what an endpoint sends.
    pub(super) fn seen_from_outside(
        &mut self,
        endpoint: EndpointId,
        from: SocketAddr,
        to: SocketId,
    ) -> SocketAddr {
        let Some(&at) = self.behind.get(&endpoint) else { return from };
        let nat = &mut self.nats[at];
        if self.server.listeners()[usize::from(to.0)].transport == Transport::Udp {
            return nat.out(self.now, (endpoint, from), to);
        }
        SocketAddr::new(nat.public, nat.port())
    }

    /// Who receives a datagram of the server now. Nobody may.
    pub fn receiver(&self, flow: &Flow) -> Option<EndpointId> {
        if let Some(endpoint) = self.addresses.get(&(flow.transport, flow.remote)) {
            return Some(*endpoint);
        }
        let (nat, mapping) = self.through(flow)?;
        let mapping = &self.nats[nat].mappings[mapping];
        let inside = (mapping.endpoint, flow.transport, mapping.inside);
        self.inside.contains(&inside).then_some(mapping.endpoint)
    }

    fn through(&self, flow: &Flow) -> Option<(usize, usize)> {
        let mut boxes = self.nats.iter().enumerate();
        boxes.find_map(|(at, nat)| Some((at, nat.inward(self.now, flow)?)))
    }

    /// A datagram comes through.
    pub(super) fn came_in(&mut self, flow: &Flow) {
        let Some((nat, mapping)) = self.through(flow) else { return };
        let nat = &mut self.nats[nat];
        if nat.kind.kept_by_inbound {
            nat.mappings[mapping].last = self.now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::flow::{CertifiedName, ConnectionId};

    const PHONE: EndpointId = EndpointId(3);

    fn at(s: u64) -> Instant {
        Instant::from_secs(1_000 + s)
    }

    fn nat(symmetric: bool, filters: bool, kept_by_inbound: bool) -> Nat {
        let life = Duration::from_secs(30);
        let kind = NatKind { symmetric, filters, life, kept_by_inbound };
        let public = "203.0.113.7".parse().expect("an address");
        Nat { kind, public, mappings: Vec::new(), next_port: 30_000 }
    }

    fn back(to: SocketAddr, socket: u16) -> Flow {
        let (transport, connection) = (Transport::Udp, ConnectionId::NONE);
        let certified = CertifiedName::NONE;
        Flow { socket: SocketId(socket), transport, connection, remote: to, certified }
    }

    #[test]
    fn a_mapping_lives_as_long_as_it_is_used() {
        let mut nat = nat(false, true, false);
        let inside = "10.0.0.5:5060".parse().expect("an address");
        let first = nat.out(at(0), (PHONE, inside), SocketId(0));
        assert_eq!(nat.out(at(29), (PHONE, inside), SocketId(0)), first);
        assert!(nat.inward(at(58), &back(first, 0)).is_some());
        assert!(nat.inward(at(59), &back(first, 0)).is_none());
        assert_ne!(nat.out(at(59), (PHONE, inside), SocketId(0)), first);
    }

    #[test]
    fn who_may_come_in_is_as_the_box_says() {
        let inside = "10.0.0.5:5060".parse().expect("an address");
        for (symmetric, filters, stranger_passes) in
            [(false, false, true), (false, true, false), (true, false, false)]
        {
            let mut nat = nat(symmetric, filters, false);
            let seen = nat.out(at(0), (PHONE, inside), SocketId(0));
            assert!(nat.inward(at(1), &back(seen, 0)).is_some());
            assert_eq!(nat.inward(at(1), &back(seen, 4)).is_some(), stranger_passes);
            let again = nat.out(at(2), (PHONE, inside), SocketId(4));
            assert_eq!(again == seen, !symmetric);
            assert!(nat.inward(at(3), &back(again, 4)).is_some());
        }
    }
}
