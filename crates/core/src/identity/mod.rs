//! Who is the caller (RFC 3261 §22; RFC 7616; RFC 8760)?
//!
//! ```text
//! request -> credentials -> digest ─┬─ Missing, Stale, Wrong -> challenge (401, 407)
//!                           nonce ──┘
//!                                   └─ Right -> replay: is its nonce count new? -> Caller
//! ```
//!
//! Up to the last step nothing is remembered: strangers cost a hash and an answer. The last step
//! belongs to the partition of the account, which keeps [`ReplayWindows`].

pub(crate) mod credentials;
pub(crate) mod nonce;
pub(crate) mod digest;
pub(crate) mod replay;
mod respond;

pub(crate) use credentials::realm_is;
pub use credentials::realm_of;
pub use digest::{Authentication, Challenge, Claim, Side, Verdict};
pub use replay::ReplayWindows;
pub(crate) use respond::Offer;
pub use respond::{Asked, Login, PeerLogin};

use crate::address_of_record::AddressOfRecord;
use crate::flow::{CertifiedName, Flow};
use crate::keys::Keys;
use crate::snapshot::Snapshot;

/// Who sent a request, and how we know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Caller {
    /// The holder of this account: it answered a challenge, or its certificate says so.
    Account(AddressOfRecord),
    /// A configured peer, known by its address or its certificate: its place in
    /// [`Snapshot::peers`] as it was when the request was judged.
    Peer(usize),
    /// Nobody we know.
    Stranger,
}

impl Caller {
    /// Who it is as far as its address and its certificate tell: a peer or a stranger.
    pub fn by_flow(snapshot: &Snapshot, flow: &Flow) -> Self {
        let peer = snapshot.peers.iter().position(|peer| peer.is_behind(flow));
        peer.map_or(Self::Stranger, Self::Peer)
    }

    /// Whether the certificate of the far side says that it is a device of this account.
    pub fn is_device(
        (keys, snapshot): (&Keys, &Snapshot),
        flow: &Flow,
        aor: &AddressOfRecord,
    ) -> bool {
        flow.certified != CertifiedName::NONE
            && flow.certified == keys.certified_account(aor)
            && snapshot.accounts.find(aor).is_some_and(|account| account.enabled)
    }

    /// Whether it may change the bindings of this address-of-record.
    //= RFC 3261 10.3
    // "The registrar SHOULD determine if the authenticated user is"
    pub fn may_register(&self, snapshot: &Snapshot, aor: &AddressOfRecord) -> bool {
        match self {
            Self::Account(account) => account == aor,
            Self::Peer(_) | Self::Stranger => self.may_register_others(snapshot),
        }
    }

    /// Whether it may write bindings that are not its own: it answers for others.
    pub fn may_register_others(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Peer(at) => snapshot.peers.get(*at).is_some_and(|peer| peer.may_register),
            Self::Account(_) | Self::Stranger => false,
        }
    }

    /// Whether it may call itself `from`. Peers answer for what they send; an account is itself.
    /// `None` stands for somebody who is not of our domains.
    pub fn may_call_itself(&self, from: Option<&AddressOfRecord>) -> bool {
        match self {
            Self::Account(account) => from == Some(account),
            Self::Peer(_) => true,
            Self::Stranger => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{CertifiedName, ConnectionId, SocketId, Transport};
    use crate::snapshot::Peer;

    #[test]
    fn what_callers_may() {
        let mut snapshot = Snapshot::default();
        let network = |ip: &str, bits| (ip.parse().expect("an address"), bits);
        snapshot.peers = alloc::vec![
            Peer {
                name: "edge".into(),
                networks: alloc::vec![network("192.0.2.0", 24)],
                may_register: true,
                ..Peer::default()
            },
            Peer {
                name: "trunk".into(),
                networks: alloc::vec![network("2001:db8::", 32)],
                certified: alloc::vec![CertifiedName(7)],
                ..Peer::default()
            },
        ];
        let by = |ip: &str, certified| {
            let flow = Flow {
                socket: SocketId(0),
                transport: Transport::Tls,
                connection: ConnectionId(1),
                remote: (ip.parse::<core::net::IpAddr>().expect("an address"), 5061).into(),
                certified: CertifiedName(certified),
            };
            Caller::by_flow(&snapshot, &flow)
        };
        let alice = AddressOfRecord::from_text("alice@example.org").expect("valid");
        let bob = AddressOfRecord::from_text("bob@example.org").expect("valid");
        for (caller, wanted, registers, calls_itself) in [
            (by("192.0.2.9", 0), Caller::Peer(0), true, true),
            (by("::ffff:192.0.2.9", 0), Caller::Peer(0), true, true),
            (by("2001:db8:1::1", 0), Caller::Peer(1), false, true),
            (by("198.51.100.1", 0), Caller::Stranger, false, false),
            (by("198.51.100.1", 7), Caller::Peer(1), false, true),
            (by("198.51.100.1", 8), Caller::Stranger, false, false),
            (by("192.0.2.9", 7), Caller::Peer(0), true, true),
            (Caller::Account(alice.clone()), Caller::Account(alice.clone()), true, true),
            (Caller::Account(bob.clone()), Caller::Account(bob), false, false),
        ] {
            assert_eq!(caller, wanted);
            assert_eq!(caller.may_register(&snapshot, &alice), registers, "{caller:?}");
            assert_eq!(caller.may_call_itself(Some(&alice)), calls_itself, "{caller:?}");
        }
        assert!(!Caller::Account(alice).may_call_itself(None), "nobody of ours");
    }

    #[test]
    fn c12_an_address_on_a_datagram_is_no_proof() {
        let mut snapshot = Snapshot::default();
        let networks = alloc::vec![("192.0.2.0".parse().expect("an address"), 24)];
        let certified = alloc::vec![CertifiedName(7)];
        snapshot.peers = alloc::vec![Peer { networks, certified, ..Peer::default() }];
        let by = |snapshot: &Snapshot, transport, certified| {
            let flow = Flow {
                socket: SocketId(0),
                transport,
                connection: ConnectionId::NONE,
                remote: "192.0.2.9:5060".parse().expect("an address"),
                certified: CertifiedName(certified),
            };
            Caller::by_flow(snapshot, &flow)
        };
        use Transport::{Tcp, Tls, Udp, Ws, Wss};
        assert_eq!(by(&snapshot, Udp, 0), Caller::Stranger);
        for transport in [Tcp, Tls, Ws, Wss] {
            assert_eq!(by(&snapshot, transport, 0), Caller::Peer(0), "{transport}");
        }
        assert_eq!(by(&snapshot, Tls, 7), Caller::Peer(0));
        snapshot.peers[0].trust_udp = true;
        assert_eq!(by(&snapshot, Udp, 0), Caller::Peer(0));
    }
}
