//! The plan: what routing decided, as data. The proxy only executes plans.

use crate::binding::Binding;
use crate::flow::{Flow, Transport};
use crate::identity::Caller;
use crate::locate::NextHop;
use crate::reject::Reject;
use crate::snapshot::Snapshot;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use ringway_wire::{Host, SipUri, Uri};

/// Groups of branches, tried one after another, and what to say when there is nothing to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tried in this order; the branches of one group ring together.
    pub groups: Vec<Group>,
    /// The answer where there is no group at all.
    pub otherwise: Reject,
}

/// Branches that are tried at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The branches.
    pub branches: Vec<PlannedBranch>,
    /// After so many seconds without a final answer the next group is tried, if there is one.
    pub timeout_s: u32,
}

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBranch {
    /// The Request-URI it gets.
    pub target: Box<[u8]>,
    /// How to reach it.
    pub way: Way,
    /// The rule that produced it.
    pub rule: Rule,
}

/// How to reach a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over this flow and no other: a registered contact, or a call's own flow.
    Flow(Flow),
    /// To this far address, from whichever of our sockets fits.
    Address {
        /// Where.
        remote: core::net::SocketAddr,
        /// How.
        transport: Transport,
    },
    /// To a host that must be looked up first (RFC 3263).
    Lookup(NextHop),
}

/// The rule that produced a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A contact the user registered, with its preference in thousandths.
    Registered {
        /// Preference.
        q: u16,
    },
    /// The next hop that the dialog's route set says.
    InDialog,
    /// The next Route header.
    RouteHeader,
    /// The Request-URI itself: a domain that is not ours.
    RequestUri,
}

impl Rule {
    /// What it means if its target cannot be reached: a phone is away, but another server is
    /// as good as one that answers 503, which goes back as a 500.
    //= RFC 3261 16.9
    // "the proxy MUST behave as if the forwarded"
    pub(crate) const fn unreachable(self) -> Reject {
        match self {
            Self::Registered { .. } | Self::InDialog => Reject::TemporarilyUnavailable,
            Self::RouteHeader | Self::RequestUri => Reject::NextHopFailed,
        }
    }
}

impl Plan {
    /// Nothing to try.
    pub const fn refuse(otherwise: Reject) -> Self {
        Self { groups: Vec::new(), otherwise }
    }

    /// One branch.
    pub fn single(target: &[u8], way: Way, rule: Rule) -> Self {
        let branch = PlannedBranch { target: target.into(), way, rule };
        let group = Group { branches: [branch].into(), timeout_s: 0 };
        Self { groups: [group].into(), otherwise: Reject::TemporarilyUnavailable }
    }

    /// The contacts of a user: highest preference first, equal ones together. `secure`: the
    /// Request-URI is a SIPS URI, so only contacts that are may be tried.
    pub fn for_user(bindings: &[Binding], snapshot: &Snapshot, secure: bool) -> Self {
        let mut order: Vec<&Binding> = bindings.iter().collect();
        //= RFC 3261 16.6
        // "highest qvalue"
        order.sort_by(|a, b| b.q.cmp(&a.q).then(b.refreshed.cmp(&a.refreshed)));
        let branches = |same: &[&Binding]| {
            let all = same.iter().filter_map(|b| PlannedBranch::registered(b, snapshot, secure));
            Group { branches: all.collect(), timeout_s: snapshot.settings.ring_s }
        };
        let mut groups: Vec<Group> = order.chunk_by(|a, b| a.q == b.q).map(branches).collect();
        groups.retain(|group| !group.branches.is_empty());
        let otherwise = match (bindings.is_empty() || !groups.is_empty(), secure) {
            (true, _) => Reject::TemporarilyUnavailable,
            (false, true) => Reject::SipsNotAllowed,
            (false, false) => Reject::SipsRequired,
        };
        Self { groups, otherwise }
    }

    /// How many branches there are in all groups.
    pub fn len(&self) -> usize {
        self.groups.iter().map(|g| g.branches.len()).sum()
    }

    /// Whether there is no branch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PlannedBranch {
    /// `None`: the contact may not be tried, for it cannot be reached securely.
    fn registered(binding: &Binding, snapshot: &Snapshot, secure: bool) -> Option<Self> {
        let way = Way::to_contact(binding, snapshot);
        let bare = strip_sips(&binding.contact);
        if (secure || bare.is_some()) && !way.is_secure() {
            return None;
        }
        let target = match bare {
            //= RFC 5630 5.3
            // "MUST only forward or retarget the request to a SIPS Request-URI"
            None if secure => return None,
            //= RFC 5630 5.3
            // "SIPS scheme with a SIP scheme while leaving the rest of the URI as"
            Some(bare) if !secure => [b"sip:", bare].concat().into(),
            _ => binding.contact.clone(),
        };
        Some(Self { target, way, rule: Rule::Registered { q: binding.q } })
    }
}

/// What follows `sips:`.
fn strip_sips(uri: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = uri.split_at_checked(5)?;
    scheme.eq_ignore_ascii_case(b"sips:").then_some(rest)
}

impl Way {
    /// The way to a registered contact. A phone is reached where its REGISTER came from: that
    /// address has proved that it wants to be called, and behind address translation nothing else
    /// leads there. Only a peer that may register anybody may name a third address (D5,
    /// `docs/decisions/0010-contacts.md`).
    fn to_contact(binding: &Binding, snapshot: &Snapshot) -> Self {
        let flow = Self::Flow(binding.flow);
        if !Caller::by_flow(snapshot, &binding.flow).may_register_others(snapshot) {
            return flow;
        }
        //= RFC 3261 16.6
        // "applies the procedures listed in [4] as follows to determine"
        match Uri::parse(&binding.contact).ok().and_then(|uri| Self::of_uri(&uri)) {
            Some(Self::Address { remote, .. }) if remote == binding.flow.remote => flow,
            Some(named) => named,
            None => flow,
        }
    }

    const fn is_secure(&self) -> bool {
        match self {
            Self::Flow(Flow { transport, .. }) | Self::Address { transport, .. } => {
                transport.is_secure()
            }
            Self::Lookup(NextHop { transport, secure, .. }) => match transport {
                Some(transport) => transport.is_secure(),
                None => *secure,
            },
        }
    }

    /// The way that a URI names by itself (RFC 3261 §16.6 step 7, RFC 3263 §4), or `None` for
    /// URIs that name no host.
    pub fn of_uri(uri: &Uri<'_>) -> Option<Self> {
        let Uri::Sip(sip) = uri else { return None };
        Self::of_sip(sip, sip.secure)
    }

    /// The same, and over a secure transport if the request is for a SIPS URI.
    //= RFC 3261 16.6
    // "if the Request-URI specifies a SIPS resource, the"
    pub(crate) fn of_route(uri: &Uri<'_>, secure: bool) -> Option<Self> {
        let Uri::Sip(sip) = uri else { return None };
        Self::of_sip(sip, secure || sip.secure)
    }

    fn of_sip(sip: &SipUri<'_>, secure: bool) -> Option<Self> {
        let named = match sip.params.get(b"transport").flatten() {
            Some(name) => Some(Transport::from_name(name)?),
            None => None,
        };
        let transport = match named {
            Some(Transport::Udp) if secure => return None,
            Some(Transport::Tcp) if secure => Some(Transport::Tls),
            Some(Transport::Ws) if secure => Some(Transport::Wss),
            named => named,
        };
        let address = match sip.maddr().unwrap_or(sip.host) {
            Host::V4(v4) => IpAddr::V4(v4),
            Host::V6(v6) => IpAddr::V6(v6),
            Host::Name(host) => {
                let (host, port) = (host.into(), sip.port);
                return Some(Self::Lookup(NextHop { host, port, transport, secure }));
            }
        };
        //= RFC 3263 4.1
        // "SHOULD use UDP for a SIP URI, and TCP for a SIPS URI"
        let unnamed = if secure { Transport::Tls } else { Transport::Udp };
        let transport = transport.unwrap_or(unnamed);
        let remote = (address, sip.port.unwrap_or(transport.default_port())).into();
        Some(Self::Address { remote, transport })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return writeln!(f, "answer {} ({})", self.otherwise.status(), self.otherwise);
        }
        for (i, group) in self.groups.iter().enumerate() {
            write!(f, "group {}", i + 1)?;
            if group.timeout_s > 0 {
                write!(f, ", for {} s", group.timeout_s)?;
            }
            writeln!(f)?;
            for branch in &group.branches {
                writeln!(f, "  {branch}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for PlannedBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in &*self.target {
            let shown = if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
            write!(f, "{shown}")?;
        }
        match &self.way {
            Way::Flow(flow) => write!(f, " over {} to {}", flow.transport, flow.remote)?,
            Way::Address { remote, transport } => write!(f, " over {transport} to {remote}")?,
            Way::Lookup(_) => write!(f, " after a look-up of its host")?,
        }
        match self.rule {
            Rule::Registered { q } => write!(f, "  [registered, q={}.{:03}]", q / 1000, q % 1000),
            Rule::InDialog => write!(f, "  [dialog]"),
            Rule::RouteHeader => write!(f, "  [Route header]"),
            Rule::RequestUri => write!(f, "  [Request-URI]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{CertifiedName, ConnectionId, SocketId};
    use crate::snapshot::Peer;
    use crate::time::Instant;
    use alloc::vec;

    /// The way to a contact that was registered from `192.0.2.9:5060`.
    fn way_to(contact: &str, transport: Transport, may_register: bool) -> (Way, Flow) {
        let flow = Flow {
            socket: SocketId(0),
            transport,
            connection: ConnectionId(u64::from(transport.is_reliable())),
            remote: "192.0.2.9:5060".parse().expect("an address"),
            certified: CertifiedName::NONE,
        };
        let binding = Binding {
            contact: contact.as_bytes().into(),
            params: [].into(),
            instance: [].into(),
            reg_id: 0,
            path: [].into(),
            gruus_since: Instant::from_secs(1),
            q: 1_000,
            expires: Instant::from_secs(9),
            refreshed: Instant::from_secs(1),
            call_id: [].into(),
            cseq: 1,
            transaction: 0,
            flow,
            user_agent: [].into(),
        };
        let networks = vec![("192.0.2.0".parse().expect("an address"), 24)];
        let peers = vec![Peer { name: "edge".into(), networks, may_register, ..Peer::default() }];
        let plan = Plan::for_user(&[binding], &Snapshot { peers, ..Snapshot::default() }, false);
        (plan.groups[0].branches[0].way.clone(), flow)
    }

    // D5: a contact that names a third address does not make us call there.
    #[test]
    fn d5_a_phone_is_reached_where_it_registered_from() {
        for contact in ["sip:bob@198.51.100.7", "sip:bob@victim.example", "sip:bob@192.0.2.9:9"] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let (way, flow) = way_to(contact, transport, false);
                assert_eq!(way, Way::Flow(flow), "{contact} over {transport}");
            }
        }
    }

    #[test]
    fn a_peer_that_registers_for_others_is_taken_at_its_word() {
        let remote = "198.51.100.7:5070".parse().expect("an address");
        for (params, transport) in [("", Transport::Udp), (";transport=tcp", Transport::Tcp)] {
            let contact = alloc::format!("sip:bob@198.51.100.7:5070{params}");
            for over in [Transport::Udp, Transport::Tcp] {
                let (way, _) = way_to(&contact, over, true);
                assert_eq!(way, Way::Address { remote, transport }, "{contact} over {over}");
            }
        }
        let (way, _) = way_to("sip:bob@phone.example", Transport::Udp, true);
        assert!(matches!(way, Way::Lookup(_)), "{way:?}");
    }

    // Its connection is there already, and a URI without a host leads nowhere else.
    #[test]
    fn a_peer_that_names_itself_is_reached_over_its_flow() {
        for contact in ["sip:bob@192.0.2.9", "sip:bob@192.0.2.9:5060;ob", "tel:+8490", "x"] {
            for transport in [Transport::Udp, Transport::Tcp] {
                let (way, flow) = way_to(contact, transport, true);
                assert_eq!(way, Way::Flow(flow), "{contact} over {transport}");
            }
        }
    }
}
