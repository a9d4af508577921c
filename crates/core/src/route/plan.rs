//! The plan: what routing decided, as data. The proxy only executes plans.

use crate::binding::Binding;
use crate::flow::{Flow, Transport};
use crate::identity::Caller;
use crate::locate::NextHop;
use crate::reject::Reject;
use crate::route::rules::Redirection;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use ringway_wire::{Host, NameAddr, SipUri, Uri};

/// Groups of branches, tried one after another, and what to say when there is nothing to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Tried in this order; the branches of one group ring together.
    pub groups: Vec<Group>,
    /// The answer where there is no group at all.
    pub otherwise: Reject,
    /// The answer in place of any branch: who asks shall ask there.
    pub redirect: Option<Redirect>,
}

/// A redirection (RFC 3261 §8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Which one.
    pub how: Redirection,
    /// Where to ask, the preferred one first.
    pub places: Vec<Place>,
}

/// One place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its URI.
    pub uri: Box<[u8]>,
    /// Its preference in thousandths, if it has one.
    pub q: Option<u16>,
    /// Until when it is good, if that is known.
    pub expires: Option<Instant>,
}

/// Branches that are tried at the same time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The branches.
    pub branches: Vec<PlannedBranch>,
    /// After so many seconds without a final answer the next group is tried, if there is one.
    pub timeout_s: u32,
    /// Only tried if nobody was reached before: another answer counts, even a no.
    pub is_substitute: bool,
    /// Its contacts are looked up again when its turn comes: by then a phone may have come back
    /// over another connection, or be gone.
    pub looks_again: bool,
}

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBranch {
    /// The Request-URI it gets.
    pub target: Box<[u8]>,
    /// How to reach it.
    pub way: Way,
    /// Route values that go in front of those it has: the Path of a contact (RFC 3327 §5.4). May
    /// be empty.
    pub route: Box<[u8]>,
    /// The device it leads to, as in [`Binding::instance`]; may be empty.
    pub device: Box<[u8]>,
    /// The rule that produced it.
    pub rule: Rule,
    /// The peer that a route of the configuration sends it to.
    pub peer: Option<Arc<str>>,
    /// Other flows to the same device, the best one first: each is tried only if the one before
    /// did not lead there (RFC 5626 §7).
    pub other_flows: Vec<Self>,
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
    /// A route of the configuration.
    Configured,
}

impl Rule {
    /// What it means if its target cannot be reached: a phone is away, but another server is
    /// as good as one that answers 503, which goes back as a 500.
    //= RFC 3261 16.9
    // "the proxy MUST behave as if the forwarded"
    pub(crate) const fn unreachable(self) -> Reject {
        match self {
            Self::Registered { .. } => Reject::TemporarilyUnavailable,
            //= RFC 5626 5.3.1
            // "send a 430 (Flow Failed) response to the request."
            Self::InDialog => Reject::FlowFailed,
            Self::RouteHeader | Self::RequestUri | Self::Configured => Reject::NextHopFailed,
        }
    }
}

impl Plan {
    /// Nothing to try.
    pub const fn refuse(otherwise: Reject) -> Self {
        Self { groups: Vec::new(), otherwise, redirect: None }
    }

    /// The answer is where else to ask.
    pub const fn redirect(redirect: Redirect) -> Self {
        let otherwise = Reject::TemporarilyUnavailable;
        Self { groups: Vec::new(), otherwise, redirect: Some(redirect) }
    }

    /// One branch.
    pub fn single(target: &[u8], way: Way, rule: Rule) -> Self {
        let branch = PlannedBranch::new(target, way, rule);
        let group = Group {
            branches: [branch].into(),
            timeout_s: 0,
            is_substitute: false,
            looks_again: false,
        };
        let otherwise = Reject::TemporarilyUnavailable;
        Self { groups: [group].into(), otherwise, redirect: None }
    }

    /// The contacts of a user: highest preference first, equal ones together. `secure`: the
    /// Request-URI is a SIPS URI, so only contacts that are may be tried.
    //= RFC 3261 16.5
    // "of equality for the URI type), it MUST NOT be added again."
    // "As above, any given URI MUST NOT be added to the set more than once."
    // "applying all of the above, the proxy MUST return an error response, which SHOULD be"
    pub fn for_user(bindings: &[Binding], snapshot: &Snapshot, secure: bool) -> Self {
        let registered = |b| PlannedBranch::registered(b, snapshot, secure);
        let mut devices: Vec<(u16, Instant, PlannedBranch)> = Vec::new();
        for device in devices_of(bindings) {
            let q = device.first().map_or(0, |best| best.q);
            let refreshed = device.first().map(|best| best.refreshed).unwrap_or_default();
            let mut flows = device.into_iter().filter_map(registered);
            if let Some(mut first) = flows.next() {
                first.other_flows.extend(flows);
                devices.push((q, refreshed, first));
            }
        }
        //= RFC 3261 16.6
        // "highest qvalue"
        devices.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.cmp(&a.1)));
        let mut groups: Vec<Group> = Vec::new();
        let mut last = None;
        for (q, _, branch) in devices {
            match groups.last_mut().filter(|_| last == Some(q)) {
                Some(group) => group.branches.push(branch),
                None => {
                    let timeout_s = snapshot.settings.ring_s;
                    groups.push(Group {
                        branches: [branch].into(),
                        timeout_s,
                        is_substitute: false,
                        looks_again: !groups.is_empty(),
                    });
                }
            }
            last = Some(q);
        }
        let otherwise = match (bindings.is_empty() || !groups.is_empty(), secure) {
            (true, _) => Reject::TemporarilyUnavailable,
            (false, true) => Reject::SipsNotAllowed,
            (false, false) => Reject::SipsRequired,
        };
        Self { groups, otherwise, redirect: None }
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

/// The bindings of each device; one that names no device is one of its own. The flow to be tried
/// first stands first.
//= RFC 5626 7
// "The proxy MUST NOT populate the target set with more than one"
pub(crate) fn devices_of(bindings: &[Binding]) -> Vec<Vec<&Binding>> {
    let mut devices: Vec<Vec<&Binding>> = Vec::new();
    for binding in bindings {
        let same = |device: &&mut Vec<&Binding>| {
            !binding.instance.is_empty()
                && device.first().is_some_and(|known| known.instance == binding.instance)
        };
        match devices.iter_mut().find(same) {
            Some(device) => device.push(binding),
            None => devices.push([binding].into()),
        }
    }
    for device in &mut devices {
        // A device without flows that has several contacts has started anew (RFC 5627 §6.1).
        let by_q = device.iter().all(|binding| binding.reg_id > 0);
        let q = |binding: &Binding| if by_q { binding.q } else { 0 };
        device.sort_by(|a, b| q(b).cmp(&q(a)).then(b.refreshed.cmp(&a.refreshed)));
    }
    devices
}

impl PlannedBranch {
    /// One that has neither a Path nor other flows.
    pub fn new(target: &[u8], way: Way, rule: Rule) -> Self {
        let (route, device, other_flows) = (Box::default(), Box::default(), Vec::new());
        Self { target: target.into(), way, route, device, rule, peer: None, other_flows }
    }

    /// Whether both are one target: flows of different devices are not, even where their contacts
    /// say the same (RFC 5626 §7).
    pub(crate) fn is_same_target(&self, other: &Self) -> bool {
        let same_uri = || match (Uri::parse(&self.target), Uri::parse(&other.target)) {
            (Ok(one), Ok(another)) => ringway_wire::equal(&one, &another),
            _ => self.target == other.target,
        };
        self.device == other.device && same_uri()
    }

    /// Whether it goes to where a user of ours registered.
    pub(crate) const fn is_registered(&self) -> bool {
        matches!((&self.way, self.rule), (Way::Flow(_), Rule::Registered { .. }))
    }

    /// The next flow to the same device, with those that are left after it.
    pub(crate) fn next_flow(mut self) -> Option<Self> {
        if self.other_flows.is_empty() {
            return None;
        }
        let mut next = self.other_flows.remove(0);
        next.other_flows = self.other_flows;
        Some(next)
    }

    /// `None`: the contact may not be tried, for it cannot be reached securely.
    fn registered(binding: &Binding, snapshot: &Snapshot, secure: bool) -> Option<Self> {
        let way = match first_of_path(&binding.path) {
            //= RFC 3327 5.4
            // "vector associated with the specific contact in the registrar database"
            Some(node) => Way::of_route(&NameAddr::parse(node).ok()?.uri().ok()?, secure)?,
            None => Way::to_contact(binding, snapshot),
        };
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
        let rule = Rule::Registered { q: binding.q };
        let (route, device) = (binding.path.clone(), binding.instance.clone());
        Some(Self { target, way, route, device, rule, peer: None, other_flows: Vec::new() })
    }
}

/// The proxy that a Path leads to first.
fn first_of_path(path: &[u8]) -> Option<&[u8]> {
    ringway_wire::split(path).next()
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
    /// URIs that name no host, or one that only its own connection leads to (RFC 7118).
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
        let transport = Transport::of_uri(named, secure)?;
        if !transport.may_be_opened() {
            return None;
        }
        let address = match sip.maddr().unwrap_or(sip.host) {
            Host::V4(v4) => IpAddr::V4(v4),
            Host::V6(v6) => IpAddr::V6(v6),
            Host::Name(host) if is_invalid(host) => return None,
            Host::Name(host) => {
                // Without a name the look-up chooses.
                let (host, port, transport) = (host.into(), sip.port, named.and(Some(transport)));
                return Some(Self::Lookup(NextHop { host, port, transport, secure, seed: None }));
            }
        };
        let remote = (address, sip.port.unwrap_or(transport.default_port())).into();
        Some(Self::Address { remote, transport })
    }
}

/// Whether a name leads nowhere by its nature (RFC 2606 §2): what browsers call themselves.
//= RFC 7118 8.1
// "made, this implementation uses a random \".invalid\" domain name for"
fn is_invalid(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let last = host.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    last.eq_ignore_ascii_case(b"invalid")
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(redirect) = &self.redirect {
            writeln!(f, "answer {}", redirect.how.status())?;
            for place in &redirect.places {
                f.write_str("  ")?;
                show(f, &place.uri)?;
                writeln!(f)?;
            }
            return Ok(());
        }
        if self.groups.is_empty() {
            return writeln!(f, "answer {} ({})", self.otherwise.status(), self.otherwise);
        }
        for (i, group) in self.groups.iter().enumerate() {
            write!(f, "group {}", i + 1)?;
            if group.timeout_s > 0 {
                write!(f, ", for {} s", group.timeout_s)?;
            }
            if group.is_substitute {
                f.write_str(", if nobody was reached")?;
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
        show(f, &self.target)?;
        match &self.way {
            Way::Flow(flow) => write!(f, " over {} to {}", flow.transport, flow.remote)?,
            Way::Address { remote, transport } => write!(f, " over {transport} to {remote}")?,
            Way::Lookup(_) => write!(f, " after a look-up of its host")?,
        }
        if !self.route.is_empty() {
            f.write_str(" along ")?;
            show(f, &self.route)?;
        }
        match self.rule {
            Rule::Registered { q } => write!(f, "  [registered, q={}.{:03}]", q / 1000, q % 1000),
            Rule::InDialog => write!(f, "  [dialog]"),
            Rule::RouteHeader => write!(f, "  [Route header]"),
            Rule::RequestUri => write!(f, "  [Request-URI]"),
            Rule::Configured => match &self.peer {
                Some(peer) => write!(f, "  [configured, peer {peer}]"),
                None => write!(f, "  [configured]"),
            },
        }?;
        for flow in &self.other_flows {
            write!(f, "\n    or, if that flow has failed, {flow}")?;
        }
        Ok(())
    }
}

/// Bytes from the network as something to read.
fn show(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    text.iter().try_for_each(|&byte| {
        let shown = if byte == b' ' || byte.is_ascii_graphic() { char::from(byte) } else { '?' };
        write!(f, "{shown}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{CertifiedName, ConnectionId, SocketId};
    use crate::snapshot::Peer;
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
            lease_until: Instant::from_secs(9),
            refreshed: Instant::from_secs(1),
            call_id: [].into(),
            cseq: 1,
            transaction: 0,
            flow,
            user_agent: [].into(),
        };
        let networks = vec![("192.0.2.0".parse().expect("an address"), 24)];
        let peers = vec![Peer {
            name: "edge".into(),
            networks,
            may_register,
            trust_udp: true,
            ..Peer::default()
        }];
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
