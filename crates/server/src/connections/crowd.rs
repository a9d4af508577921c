//! Who shares the room there is for connections, and who leaves when there is no more: of those
//! who have not shown who they are the one that has had the most time for it (G2).

use ringway_core::flow::ConnectionId;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

/// Numbers grow, so the smallest of a set is the oldest.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    places: HashMap<IpAddr, Place>,
    unproved: BTreeSet<ConnectionId>,
    shaking_hands: BTreeSet<ConnectionId>,
    leaving: HashSet<ConnectionId>,
}

/// Those from one place.
#[derive(Debug, Default)]
struct Place {
    open: usize,
    unproved: BTreeSet<ConnectionId>,
}

/// What one customer of a network has: an address, or with IPv6 a network of 64 bits (RFC 6177).
fn place_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Crowd {
    /// Takes one in; `is_proved` if it is known who it is.
    pub(super) fn enter(&mut self, id: ConnectionId, ip: IpAddr, is_proved: bool) {
        let place = self.places.entry(place_of(ip)).or_default();
        place.open += 1;
        if !is_proved {
            place.unproved.insert(id);
            self.unproved.insert(id);
        }
    }

    /// One has shown who it is.
    pub(super) fn prove(&mut self, id: ConnectionId, ip: IpAddr) {
        if self.unproved.remove(&id)
            && let Some(place) = self.places.get_mut(&place_of(ip))
        {
            place.unproved.remove(&id);
        }
    }

    /// One has gone.
    pub(super) fn leave(&mut self, id: ConnectionId, ip: IpAddr) {
        self.prove(id, ip);
        self.leaving.remove(&id);
        self.shaking_hands.remove(&id);
        let place = place_of(ip);
        if let Some(others) = self.places.get_mut(&place) {
            others.open -= 1;
            if others.open == 0 {
                self.places.remove(&place);
            }
        }
    }

    /// Notes that one begins or has ended its handshake.
    pub(super) fn shakes_hands(&mut self, id: ConnectionId, begins: bool) {
        if begins {
            self.shaking_hands.insert(id);
        } else {
            self.shaking_hands.remove(&id);
        }
    }

    /// How many are from the place of this address, and how many of these are unproved.
    pub(super) fn from(&self, ip: IpAddr) -> (usize, usize) {
        self.places.get(&place_of(ip)).map_or((0, 0), |place| (place.open, place.unproved.len()))
    }

    /// How many shake hands.
    pub(super) fn handshakes(&self) -> usize {
        self.shaking_hands.len()
    }

    /// How many are unproved.
    pub(super) fn unproved(&self) -> usize {
        self.unproved.len()
    }

    /// How many have been told to leave and are still there.
    pub(super) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Who leaves for another from this address, or for anybody.
    pub(super) fn oldest_unproved(&self, ip: Option<IpAddr>) -> Option<ConnectionId> {
        match ip {
            Some(ip) => self.places.get(&place_of(ip))?.unproved.first().copied(),
            None => self.unproved.first().copied(),
        }
    }

    /// Who leaves for another handshake.
    pub(super) fn oldest_handshake(&self) -> Option<ConnectionId> {
        self.shaking_hands.first().copied()
    }

    /// One was told to leave: nobody need be told twice.
    pub(super) fn leaves(&mut self, id: ConnectionId, ip: IpAddr) {
        self.prove(id, ip);
        self.shaking_hands.remove(&id);
        self.leaving.insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_the_oldest_that_is_unproved_leaves_and_is_told_once() {
        let mut crowd = Crowd::default();
        let [one, two] = ["192.0.2.1", "::ffff:192.0.2.2"].map(|ip| ip.parse().expect("ip"));
        let id = ConnectionId;
        crowd.enter(id(1), one, false);
        crowd.enter(id(2), one, true);
        crowd.enter(id(3), two, false);
        crowd.enter(id(4), one, false);
        assert_eq!((crowd.from(one), crowd.from(two)), ((3, 2), (1, 1)));
        crowd.prove(id(1), one);
        assert_eq!(crowd.oldest_unproved(None), Some(id(3)));
        assert_eq!(crowd.oldest_unproved(Some(one)), Some(id(4)));
        crowd.leaves(id(3), two);
        assert_eq!(crowd.oldest_unproved(None), Some(id(4)));
        assert_eq!((crowd.from(two), crowd.leaving()), ((1, 0), 1), "it is still there");
        crowd.shakes_hands(id(4), true);
        assert_eq!(crowd.oldest_handshake(), Some(id(4)));
        for (n, ip) in [(1, one), (2, one), (3, two), (4, one)] {
            crowd.leave(id(n), ip);
        }
        assert!(crowd.places.is_empty() && crowd.unproved.is_empty());
        assert_eq!((crowd.leaving(), crowd.handshakes()), (0, 0));
    }

    #[test]
    fn g2_a_network_of_64_bits_is_one_place() {
        let place = |ip: &str| place_of(ip.parse().expect("an address"));
        assert_eq!(place("2001:db8:0:1::1"), place("2001:db8:0:1:ffff::2"));
        assert_ne!(place("2001:db8:0:1::1"), place("2001:db8:0:2::1"));
        assert_ne!(place("192.0.2.1"), place("192.0.2.2"));
        assert_eq!(place("::ffff:192.0.2.1"), place("192.0.2.1"));
    }
}
