//! Why a call would go where it would go: the plan for it, and the rules that were passed on the
//! way. The same functions decide live calls.

use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::node::Setup;
use crate::reject::Reject;
use crate::route::gruu::Gruu;
use crate::route::ours::Ours;
use crate::route::plan::Plan;
use crate::route::target_set::{Targets, Witness, plan_for_user, targets};
use crate::snapshot::Snapshot;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use ringway_wire::Uri;

/// The steps of a decision, and the plan that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked, in order: the name of the step and what it found.
    pub steps: Vec<(&'static str, String)>,
    /// What would be done.
    pub plan: Plan,
}

/// Explains a call of `from` to `to`, both as `user@domain`, a URI, or for `to` a mere user
/// of the caller's domain, as a node of this setup and snapshot would decide it. `bindings`
/// answers where an address-of-record can be reached.
pub fn explain(
    (setup, snapshot): (&Setup, &Snapshot),
    (from, to): (&str, &str),
    bindings: impl FnOnce(&AddressOfRecord) -> Vec<Binding>,
) -> Explanation {
    let mut steps = Steps(Vec::new());
    let plan = decide(Ours { setup, snapshot }, (from, to), bindings, &mut steps);
    Explanation { steps: steps.0, plan }
}

struct Steps(Vec<(&'static str, String)>);

impl Witness for Steps {
    fn found(&mut self, step: &'static str, what: fmt::Arguments<'_>) {
        self.0.push((step, what.to_string()));
    }
}

fn decide(
    ours: Ours<'_>,
    (from, to): (&str, &str),
    bindings: impl FnOnce(&AddressOfRecord) -> Vec<Binding>,
    steps: &mut Steps,
) -> Plan {
    let Some(caller) = AddressOfRecord::from_text(from) else {
        steps.found("caller", format_args!("{from} is no address like user@domain"));
        return Plan::refuse(Reject::Malformed("From"));
    };
    match ours.snapshot.accounts.find(&caller).filter(|account| account.enabled) {
        Some(_) => match ours.snapshot.peer_of(&caller) {
            Some(peer) => steps.found("caller", format_args!("{caller} is the peer {}", peer.name)),
            None => steps.found("caller", format_args!("{caller} has an account here")),
        },
        None => {
            steps.found("caller", format_args!("{caller} has no account: asked, and refused"));
            return Plan::refuse(Reject::ProxyAuthenticationRequired);
        }
    }
    let target = if has_scheme(to) {
        String::from(to)
    } else if to.contains('@') {
        format!("sip:{to}")
    } else {
        format!("sip:{to}@{}", String::from_utf8_lossy(caller.domain()))
    };
    steps.found("target", format_args!("{target}"));
    let secure = matches!(Uri::parse(target.as_bytes()), Ok(Uri::Sip(sip)) if sip.secure);
    let device = Uri::parse(target.as_bytes()).ok().and_then(|uri| Gruu::called(ours, &uri));
    match device {
        Some(Ok(gruu)) => {
            steps.found("device", format_args!("one of {}", gruu.aor));
            return gruu.plan(ours, &bindings(&gruu.aor), secure);
        }
        Some(Err(reject)) => {
            steps.found("device", format_args!("none that is known"));
            return Plan::refuse(reject);
        }
        None => {}
    }
    match targets(ours, (b"INVITE", target.as_bytes()), steps) {
        Targets::Known(plan) => plan,
        Targets::User(aor) => {
            let found = bindings(&aor);
            let contacts = if found.len() == 1 { "contact" } else { "contacts" };
            steps.found("location", format_args!("{} registered {contacts}", found.len()));
            let service = ours.snapshot.service(aor.domain());
            plan_for_user(ours, service, (&found, target.as_bytes()), steps)
        }
    }
}

/// `sip:`, `tel:` and the like; `bob@[2001:db8::1]` has a colon too, but after its host began.
fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+'))
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (step, found)) in self.steps.iter().enumerate() {
            writeln!(f, "{:2} {step:<10} {found}", i + 1)?;
        }
        write!(f, "{}", self.plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, Ha1};
    use crate::flow::Listener;
    use crate::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
    use crate::keys::Keys;
    use crate::route::plan::Rule;
    use crate::time::Instant;
    use alloc::sync::Arc;

    fn setup() -> Setup {
        let local = "192.0.2.1:5060".parse().expect("an address");
        Setup {
            keys: Arc::new(Keys::new(&[1; 32])),
            listeners: [Listener { transport: Transport::Udp, local, advertised: None }].into(),
            partition: 0,
            partitions: 1,
            seed: 1,
            started: Instant::from_secs(0),
        }
    }

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.domains.insert((*b"example.org").into());
        snapshot.default_domain = Some((*b"example.org").into());
        for name in ["alice", "bob", "gone"] {
            let aor = AddressOfRecord::from_text(&format!("{name}@example.org")).expect("valid");
            let display_name = String::new();
            snapshot.accounts.put(Account {
                aor,
                ha1: Ha1::default(),
                display_name,
                enabled: name != "gone",
            });
        }
        snapshot
    }

    fn binding(contact: &str, q: u16) -> Binding {
        Binding {
            contact: contact.as_bytes().into(),
            params: [].into(),
            instance: [].into(),
            reg_id: 0,
            path: [].into(),
            gruus_since: Instant::from_secs(1),
            q,
            expires: Instant::from_secs(9),
            lease_until: Instant::from_secs(9),
            refreshed: Instant::from_secs(1),
            call_id: [].into(),
            cseq: 1,
            transaction: 0,
            flow: Flow {
                socket: SocketId(0),
                transport: Transport::Udp,
                connection: ConnectionId::NONE,
                remote: "192.0.2.9:5060".parse().expect("an address"),
                certified: CertifiedName::NONE,
            },
            user_agent: [].into(),
        }
    }

    #[test]
    fn the_plan_and_its_reasons() {
        let contacts = || {
            [binding("sip:b@d", 500), binding("sip:b@p", 1000), binding("sip:b@q", 1000)].to_vec()
        };
        let told = explaining("alice@example.org", "bob", contacts());
        let groups: Vec<usize> = told.plan.groups.iter().map(|g| g.branches.len()).collect();
        assert_eq!(groups, [2, 1], "highest q first, equal ones together");
        let text = told.to_string();
        let branch = "sip:b@p over udp to 192.0.2.9:5060  [registered, q=1.000]";
        assert!(text.contains(branch), "{text}");
        let steps: Vec<_> = told.steps.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, ["caller", "target", "domain", "user", "location"]);
    }

    #[test]
    fn every_way_to_name_a_target() {
        for (to, groups, otherwise) in [
            ("bob", 1, Reject::TemporarilyUnavailable),
            ("bob@example.org", 1, Reject::TemporarilyUnavailable),
            ("sip:bob@EXAMPLE.org;transport=tcp", 1, Reject::TemporarilyUnavailable),
            ("bob@192.0.2.1", 1, Reject::TemporarilyUnavailable),
            ("bob@192.0.2.1:5060", 1, Reject::TemporarilyUnavailable),
            ("carol", 0, Reject::NoSuchUser),
            ("gone", 0, Reject::NoSuchUser),
            ("tel:+8490", 0, Reject::NoSuchUser),
            ("mailto:bob@example.org", 0, Reject::NotOurDomain),
            ("sip:bob@exa mple", 0, Reject::Malformed("Request-URI")),
        ] {
            let told = explaining("alice@example.org", to, [binding("sip:b@d", 1000)].to_vec());
            assert_eq!((told.plan.groups.len(), told.plan.otherwise), (groups, otherwise), "{to}");
        }
        for to in ["x@198.51.100.1", "x@[2001:db8::1]", "x@192.0.2.1:5080", "sip:x@other.example"] {
            let told = explaining("alice@example.org", to, Vec::new());
            assert_eq!(told.plan.groups[0].branches[0].rule, Rule::RequestUri, "{to}");
        }
    }

    #[test]
    fn who_may_not_call_is_told_so() {
        for (from, otherwise) in [
            ("eve@example.org", Reject::ProxyAuthenticationRequired),
            ("gone@example.org", Reject::ProxyAuthenticationRequired),
            ("alice", Reject::Malformed("From")),
        ] {
            let plan = explaining(from, "bob", Vec::new()).plan;
            assert_eq!((plan.groups.len(), plan.otherwise), (0, otherwise), "{from}");
        }
        let nobody = explaining("alice@example.org", "bob", Vec::new()).plan;
        assert_eq!(nobody.otherwise, Reject::TemporarilyUnavailable);
    }

    #[test]
    fn peers_are_named() {
        use crate::route::rules::{Action, Route, Upstream};
        use crate::snapshot::Peer;
        let mut snapshot = snapshot();
        let peer = Peer {
            name: "gateway".into(),
            address: Some((*b"sip:192.0.2.7").into()),
            account: AddressOfRecord::from_text("alice@example.org"),
            ..Peer::default()
        };
        snapshot.routes.push(Route {
            name: "numbers".into(),
            domain: None,
            prefix: (*b"+").into(),
            methods: Vec::new(),
            stateless: false,
            action: Action::Forward(Upstream::of(&peer).into_iter().collect()),
        });
        snapshot.peers.push(peer);
        let from_to = ("alice@example.org", "tel:+49");
        let told = explain((&setup(), &snapshot), from_to, |_| Vec::new()).to_string();
        assert!(told.contains("alice@example.org is the peer gateway"), "{told}");
        assert!(told.contains("[configured, peer gateway]"), "{told}");
    }

    fn explaining(from: &str, to: &str, bindings: Vec<Binding>) -> Explanation {
        explain((&setup(), &snapshot()), (from, to), |_| bindings)
    }
}
