//! What all partitions read and none writes: domains, accounts, peers, settings. Replaced whole.

use crate::account::Account;
use crate::address_of_record::AddressOfRecord;
use crate::flow::{CertifiedName, Flow, Transport};
use crate::identity::PeerLogin;
use crate::keys::Keys;
use crate::limits;
use crate::locate::{Reach, reach};
use crate::route::rules::{Route, Service};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use hashbrown::HashTable;

/// Everything a decision may look at besides the request and the bindings.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The domains we are responsible for, in lower case (RFC 3261 §16.5).
    pub domains: BTreeSet<Box<[u8]>>,
    /// The domain that our own addresses stand for: who dials `bob@192.0.2.1` means `bob` here.
    pub default_domain: Option<Box<[u8]>>,
    /// The accounts.
    pub accounts: Accounts,
    /// Who needs no password because of where it calls from.
    pub peers: Vec<Peer>,
    /// The domains of ours that are not served in the usual way.
    pub services: BTreeMap<Box<[u8]>, Service>,
    /// Where targets go that are none of our users.
    pub routes: Vec<Route>,
    /// Numbers and choices.
    pub settings: Settings,
}

impl Snapshot {
    /// Whether a request may be sent to an address because somebody named it. This machine and the
    /// wire it hangs on are for the administrator to name, as a peer or among the exceptions.
    pub fn may_reach(&self, ip: IpAddr) -> bool {
        let is_excepted = || {
            let (ip, peers) = (ip.to_canonical(), &self.peers);
            let networks = peers.iter().flat_map(|peer| &peer.networks);
            let mut networks = networks.chain(&self.settings.reach);
            networks.any(|&(network, prefix)| contains(network, prefix, ip))
        };
        reach(ip) == Reach::Ordinary || is_excepted()
    }
}

impl Snapshot {
    /// Makes the names of peers comparable with those of flows.
    pub fn certify_peers(&mut self, keys: &Keys) {
        for peer in &mut self.peers {
            let names = peer.tls_names.iter();
            peer.certified = names.map(|name| keys.certified_name(name.as_bytes())).collect();
        }
    }
}

/// A configured peer: requests from its networks, or over TLS from whoever proves one of its
/// names, are not challenged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its name in logs and explanations.
    pub name: String,
    /// Its networks, as address and prefix length.
    pub networks: Vec<(IpAddr, u8)>,
    /// Its domains, one of which its certificate proves (RFC 5922 §7.1).
    pub tls_names: Vec<String>,
    /// The same as flows have them: see [`Snapshot::certify_peers`].
    pub certified: Vec<CertifiedName>,
    /// The SIP URI that requests for it are sent to.
    pub address: Option<Box<[u8]>>,
    /// An account of ours: who proves to hold it is this peer, wherever it calls from.
    pub account: Option<AddressOfRecord>,
    /// Who we are there, if it asks.
    pub login: Option<PeerLogin>,
    /// Whether it may also register anybody's contacts, at whatever address they name.
    pub may_register: bool,
    /// Whether it is of our trust domain (RFC 3325 §2.3): we believe what it says about who
    /// somebody is, and it keeps to itself what that person wants to be private.
    pub trust_identity: bool,
    /// Whether its address is believed over UDP, too, where anybody can forge it (C12).
    pub trust_udp: bool,
}

impl Snapshot {
    /// Whether anything at all is forwarded without state.
    pub(crate) fn has_stateless(&self) -> bool {
        self.routes.iter().any(|route| route.stateless)
            || self.services.values().any(|service| *service == Service::Stateless)
    }

    /// The peer that whoever proves to hold this account is.
    pub fn peer_of(&self, account: &AddressOfRecord) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.account.as_ref() == Some(account))
    }

    /// How a domain of ours is served.
    pub fn service(&self, domain: &[u8]) -> Service {
        self.services.get(domain).copied().unwrap_or_default()
    }
}

impl Peer {
    /// Whether what comes over a flow comes from it.
    pub fn is_behind(&self, flow: &Flow) -> bool {
        let certified = flow.certified;
        let named = certified != CertifiedName::NONE && self.certified.contains(&certified);
        let is_proved = self.trust_udp || flow.transport != Transport::Udp;
        named || is_proved && self.holds(flow.remote.ip())
    }

    /// Whether what is sent over a flow goes to it, as far as the configuration tells.
    pub fn is_at(&self, flow: &Flow) -> bool {
        let certified = flow.certified;
        let named = certified != CertifiedName::NONE && self.certified.contains(&certified);
        named || self.holds(flow.remote.ip())
    }

    /// Whether `source` is in one of its networks. A v4 address in v6 clothes counts as v4.
    pub fn holds(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.networks.iter().any(|&(network, prefix)| contains(network, prefix, source))
    }
}

/// Whether an address is in a network. A v4 `source` must not come in v6 clothes
/// ([`IpAddr::to_canonical`]).
pub fn contains(network: IpAddr, prefix: u8, source: IpAddr) -> bool {
    match (network.to_canonical(), source) {
        (IpAddr::V4(n), IpAddr::V4(s)) => {
            let shift = 32 - u32::from(prefix.min(32));
            u32::from(n).checked_shr(shift) == u32::from(s).checked_shr(shift)
        }
        (IpAddr::V6(n), IpAddr::V6(s)) => {
            let shift = 128 - u32::from(prefix.min(128));
            u128::from(n).checked_shr(shift) == u128::from(s).checked_shr(shift)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// A digest algorithm (RFC 8760 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Algorithm {
    /// `SHA-256`
    Sha256,
    /// `SHA-512-256`
    Sha512_256,
    /// `MD5`
    Md5,
}

impl Algorithm {
    /// Its name in headers (RFC 8760 §2.7).
    pub const fn token(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }

    /// How many bytes its hash has.
    pub const fn length(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha512_256 => 32,
            Self::Md5 => 16,
        }
    }
}

/// Numbers and choices, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The challenges we send, in order of preference (RFC 8760 §2.3).
    pub algorithms: Vec<Algorithm>,
    /// Shortest binding in seconds.
    pub expires_min_s: u32,
    /// Binding time where the phone asks for none, in seconds.
    pub expires_default_s: u32,
    /// Longest binding in seconds.
    pub expires_max_s: u32,
    /// Up to so many percent are taken off a binding time, so that phones that came together do
    /// not come back together (D8 of the threat list).
    pub expires_spread_percent: u32,
    /// Contacts one address-of-record may have.
    pub contacts_per_aor: usize,
    /// After so many seconds of silence a client with a stream shall send a keep-alive; 0: as it
    /// likes (RFC 5626 §5.4).
    pub flow_timer_s: u32,
    /// So much later than that its connection is taken for dead, in seconds.
    pub flow_grace_s: u32,
    /// Seconds between pings to a phone behind address translation that does not keep its own flow
    /// alive; 0: none are sent.
    pub nat_ping_s: u32,
    /// Whether clients are told to send their requests through us (RFC 3608).
    pub service_route: bool,
    /// Seconds a group of branches may ring before the next group is tried.
    pub ring_s: u32,
    /// Whether a redirection (301, 302) by a phone to other users of ours is followed.
    pub follow_redirects: bool,
    /// Networks that may be called although they are this machine or its wire
    /// ([`Snapshot::may_reach`]).
    pub reach: Vec<(IpAddr, u8)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // What every phone knows: docs/decisions/0008.
            algorithms: [Algorithm::Md5].into(),
            expires_min_s: limits::EXPIRES_MIN_S,
            expires_default_s: limits::EXPIRES_DEFAULT_S,
            expires_max_s: limits::EXPIRES_MAX_S,
            expires_spread_percent: limits::EXPIRES_SPREAD_PERCENT,
            contacts_per_aor: limits::CONTACTS_PER_AOR,
            flow_timer_s: limits::FLOW_TIMER_S,
            flow_grace_s: limits::FLOW_GRACE_S,
            nat_ping_s: limits::NAT_PING_S,
            service_route: false,
            ring_s: 60,
            follow_redirects: false,
            reach: Vec::new(),
        }
    }
}

/// All accounts. Cut into segments, so that a copy with one change copies one segment only; and
/// what is copied of an account is a pointer, so that thousands of changes, as an import makes
/// them, cost little more than one.
#[derive(Clone, Debug)]
pub struct Accounts {
    segments: Vec<Arc<HashTable<Arc<Account>>>>,
}

const SEGMENTS: usize = 256;

impl Default for Accounts {
    fn default() -> Self {
        Self { segments: alloc::vec![Arc::default(); SEGMENTS] }
    }
}

impl Accounts {
    /// The account of this address-of-record.
    pub fn find(&self, aor: &AddressOfRecord) -> Option<&Account> {
        let hash = hash(aor);
        let found = self.segments[segment_of(hash)].find(hash, |account| account.aor == *aor);
        found.map(|account| &**account)
    }

    /// Adds or replaces one.
    pub fn put(&mut self, account: Account) {
        let hashed = hash(&account.aor);
        let segment = Arc::make_mut(&mut self.segments[segment_of(hashed)]);
        match segment.find_mut(hashed, |known| known.aor == account.aor) {
            Some(known) => *known = Arc::new(account),
            None => {
                segment.insert_unique(hashed, Arc::new(account), |known| hash(&known.aor));
            }
        }
    }

    /// Removes one; tells whether it was there.
    pub fn remove(&mut self, aor: &AddressOfRecord) -> bool {
        let hash = hash(aor);
        let segment = Arc::make_mut(&mut self.segments[segment_of(hash)]);
        match segment.find_entry(hash, |account| account.aor == *aor) {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// All accounts, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Account> {
        self.segments.iter().flat_map(|segment| segment.iter()).map(|account| &**account)
    }

    /// All accounts, in order of their names.
    pub fn sorted(&self) -> Vec<&Account> {
        let mut all: Vec<_> = self.all().collect();
        all.sort_by(|a, b| a.aor.cmp(&b.aor));
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.segments.iter().map(|s| s.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn hash(aor: &AddressOfRecord) -> u64 {
    use core::hash::BuildHasher;
    // Only administrators make accounts, so a fixed seed gives nobody a weapon.
    foldhash::fast::FixedState::with_seed(0x5e9).hash_one(aor)
}

const fn segment_of(hash: u64) -> usize {
    (hash >> 32) as usize % SEGMENTS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Ha1;
    use alloc::format;

    fn account(n: u32, name: &str) -> Account {
        let aor = AddressOfRecord::from_text(&format!("u{n}@example.org")).expect("a name");
        Account { aor, ha1: Ha1::default(), display_name: name.into(), enabled: true }
    }

    #[test]
    fn a_copy_is_not_changed_with_the_original() {
        let mut accounts = Accounts::default();
        (0..2_000).for_each(|n| accounts.put(account(n, "before")));
        let before = accounts.clone();
        (0..2_000).step_by(2).for_each(|n| accounts.put(account(n, "after")));
        assert!(accounts.remove(&account(1, "").aor));
        assert!(!accounts.remove(&account(1, "").aor), "it is gone already");
        accounts.put(account(2_000, "new"));
        assert_eq!((before.len(), accounts.len()), (2_000, 2_000));
        assert!(before.sorted().iter().all(|account| account.display_name == "before"));
        let named = |n| accounts.find(&account(n, "").aor).map(|a| a.display_name.as_str());
        assert_eq!(
            [named(0), named(1), named(3), named(2_000), named(2_001)],
            [Some("after"), None, Some("before"), Some("new"), None]
        );
        let names: Vec<_> = accounts.sorted().iter().map(|account| account.aor.clone()).collect();
        assert!(names.is_sorted() && names.len() == 2_000);
    }
}
