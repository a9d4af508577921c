//! The network between endpoints and the server: how long a packet takes, and whether it comes.

use crate::clock::Random;
use crate::world::EndpointId;
use ringway_core::time::{Duration, Instant};
use std::collections::BTreeMap;

/// What happens to packets of one endpoint, in each direction. All zero: a perfect network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Conditions {
    /// The shortest time a packet takes.
    pub delay: Duration,
    /// Up to so much more, drawn for each datagram: they overtake one another. Streams keep
    /// their order.
    pub jitter: Duration,
    /// Of a thousand datagrams so many are lost. Streams lose nothing.
    pub loss: u32,
    /// Of a thousand datagrams so many come twice.
    pub duplicates: u32,
    /// Of a thousand writes to a stream so many come in pieces.
    pub pieces: u32,
    /// Nothing comes through. Streams try again and again.
    pub cut: bool,
}

/// The network.
#[derive(Debug)]
pub struct Network {
    random: Random,
    /// For endpoints without conditions of their own.
    pub default: Conditions,
    own: BTreeMap<EndpointId, Conditions>,
}

impl Network {
    /// A perfect one; what chance there will be follows from the seed.
    pub const fn new(seed: u64) -> Self {
        let default = Conditions {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0,
            duplicates: 0,
            pieces: 0,
            cut: false,
        };
        Self { random: Random::new(seed), default, own: BTreeMap::new() }
    }

    /// The conditions of one endpoint.
    pub fn conditions(&self, endpoint: EndpointId) -> Conditions {
        self.own.get(&endpoint).copied().unwrap_or(self.default)
    }

    /// Gives an endpoint conditions of its own.
    pub fn set(&mut self, endpoint: EndpointId, conditions: Conditions) {
        self.own.insert(endpoint, conditions);
    }

    /// When a datagram arrives: never, once or twice.
    pub fn datagram(&mut self, endpoint: EndpointId, now: Instant) -> Vec<Instant> {
        let conditions = self.conditions(endpoint);
        let copies = 1 + usize::from(self.random.permille(conditions.duplicates));
        let lost = self.random.permille(conditions.loss) || conditions.cut;
        let jitter = conditions.jitter.as_micros();
        let mut arrivals = Vec::new();
        for _ in 0..if lost { 0 } else { copies } {
            let late = Duration::from_micros(self.random.below(jitter + 1));
            arrivals.push(now + conditions.delay + late);
        }
        arrivals
    }

    /// When bytes of a stream arrive, if nothing is before them.
    pub fn stream(&mut self, endpoint: EndpointId, now: Instant) -> Instant {
        let conditions = self.conditions(endpoint);
        let late = Duration::from_micros(self.random.below(conditions.jitter.as_micros() + 1));
        now + conditions.delay + late
    }

    /// The pieces in which bytes travel: one, or several, cut anywhere.
    pub fn pieces(&mut self, endpoint: EndpointId, mut bytes: Vec<u8>) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        if self.random.permille(self.conditions(endpoint).pieces) {
            while bytes.len() > 1 && pieces.len() < 8 {
                let at = 1 + self.random.below(bytes.len() as u64 - 1) as usize;
                let rest = bytes.split_off(at);
                pieces.push(std::mem::replace(&mut bytes, rest));
            }
        }
        pieces.push(bytes);
        pieces
    }

    /// How long a sender tries to bring something over a connection.
    pub fn patience(&mut self) -> Duration {
        Duration::from_secs([5, 40, 900][self.random.below(3) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: EndpointId = EndpointId(0);

    fn arrivals(conditions: Conditions, packets: u64) -> Vec<u64> {
        let mut network = Network::new(7);
        network.default = conditions;
        let sent = (0..packets).map(|n| Instant::from_millis(1_000 + n));
        sent.flat_map(|now| network.datagram(PHONE, now)).map(Instant::as_millis).collect()
    }

    #[test]
    fn a_perfect_network_delivers_at_once_and_in_order() {
        assert_eq!(arrivals(Conditions::default(), 3), [1_000, 1_001, 1_002]);
    }

    #[test]
    fn loss_duplicates_and_jitter_do_what_they_say() {
        let lossy = Conditions { loss: 300, ..Conditions::default() };
        assert!((600..800).contains(&arrivals(lossy, 1_000).len()));
        let doubled = Conditions { duplicates: 300, ..Conditions::default() };
        assert!((1_200..1_400).contains(&arrivals(doubled, 1_000).len()));
        let jitter = Conditions { jitter: Duration::from_millis(50), ..Conditions::default() };
        assert!(!arrivals(jitter, 100).is_sorted());
        assert!(arrivals(Conditions { cut: true, ..jitter }, 100).is_empty());
    }

    #[test]
    fn the_same_seed_is_the_same_network() {
        let rough = Conditions {
            delay: Duration::from_millis(5),
            jitter: Duration::from_millis(50),
            loss: 200,
            duplicates: 100,
            pieces: 0,
            cut: false,
        };
        assert_eq!(arrivals(rough, 500), arrivals(rough, 500));
    }

    #[test]
    fn a_stream_comes_in_pieces_that_make_the_whole() {
        let mut network = Network::new(1);
        assert_eq!(network.pieces(PHONE, b"whole".to_vec()), [b"whole"]);
        network.default.pieces = 1_000;
        let lengths: Vec<usize> = (0..100)
            .map(|_| {
                let pieces = network.pieces(PHONE, b"a message".to_vec());
                assert_eq!(pieces.concat(), b"a message");
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
                pieces.len()
            })
            .collect();
        assert!(lengths.iter().all(|length| (2..=9).contains(length)), "{lengths:?}");
    }
}
