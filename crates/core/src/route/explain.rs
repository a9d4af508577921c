//! Why a call would go where it would go: the plan for it, and the rules that were passed on the
//! way. The same functions decide live calls.

use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::reject::Reject;
use crate::route::plan::{Plan, Rule, Way};
use crate::snapshot::Snapshot;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use ringway_wire::{Host, Uri};

/// The steps of a decision, and the plan that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked, in order: the name of the step and what it found.
    pub steps: Vec<(&'static str, String)>,
    /// What would be done.
    pub plan: Plan,
}

/// Explains a call of `from` to `to`, both as `user@domain`, a URI, or for `to` a mere user
/// of the caller's domain. `bindings` answers where an address-of-record can be reached.
pub fn explain(
    snapshot: &Snapshot,
    from: &str,
    to: &str,
    bindings: impl FnOnce(&AddressOfRecord) -> Vec<Binding>,
) -> Explanation {
    let mut steps = Vec::new();
    let plan = decide(snapshot, (from, to), bindings, &mut steps);
    Explanation { steps, plan }
}

fn decide(
    snapshot: &Snapshot,
    (from, to): (&str, &str),
    bindings: impl FnOnce(&AddressOfRecord) -> Vec<Binding>,
    steps: &mut Vec<(&'static str, String)>,
) -> Plan {
    let Some(caller) = AddressOfRecord::from_text(from) else {
        steps.push(("caller", format!("{from} is no address like user@domain")));
        return Plan::refuse(Reject::Malformed("From"));
    };
    match snapshot.accounts.find(&caller).filter(|account| account.enabled) {
        Some(_) => steps.push(("caller", format!("{caller} has an account here"))),
        None => {
            steps.push(("caller", format!("{caller} has no account: challenged, and refused")));
            return Plan::refuse(Reject::ProxyAuthenticationRequired);
        }
    }
    let full = if to.contains('@') {
        String::from(to)
    } else {
        format!("{to}@{}", String::from_utf8_lossy(caller.domain()))
    };
    let text = if full.contains(':') { full } else { format!("sip:{full}") };
    let Ok(uri) = Uri::parse(text.as_bytes()) else {
        steps.push(("target", format!("{text} is no URI")));
        return Plan::refuse(Reject::Malformed("Request-URI"));
    };
    let here = match &uri {
        Uri::Sip(sip) => match sip.host {
            Host::Name(name) => snapshot.domains.contains(&*name.to_ascii_lowercase()),
            Host::V4(_) | Host::V6(_) => AddressOfRecord::from_text(&text)
                .is_some_and(|aor| snapshot.domains.contains(aor.domain())),
        },
        Uri::Tel(_) | Uri::Other { .. } => false,
    };
    if !here {
        steps.push(("domain", format!("{text} is not in a domain of ours")));
        return match Way::of_uri(&uri) {
            Some(way) => Plan::single(text.as_bytes(), way, Rule::RequestUri),
            None => Plan::refuse(Reject::UnsupportedScheme),
        };
    }
    let Some(aor) = AddressOfRecord::from_text(text.split([';', '?']).next().unwrap_or_default())
    else {
        steps.push(("user", format!("{text} names no user")));
        return Plan::refuse(Reject::NoSuchUser);
    };
    steps.push(("domain", format!("{} is ours", String::from_utf8_lossy(aor.domain()))));
    if snapshot.accounts.find(&aor).is_none_or(|account| !account.enabled) {
        steps.push(("user", format!("{aor} has no account")));
        return Plan::refuse(Reject::NoSuchUser);
    }
    let found = bindings(&aor);
    steps.push(("location", format!("{aor} has {} registered contacts", found.len())));
    Plan::for_user(&found, snapshot.settings.ring_s)
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
    use crate::flow::{ConnectionId, Flow, SocketId, Transport};
    use crate::time::Instant;
    use alloc::string::ToString;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.domains.insert((*b"example.org").into());
        for name in ["alice", "bob"] {
            let aor = AddressOfRecord::from_text(&format!("{name}@example.org")).expect("valid");
            let display_name = String::new();
            snapshot.accounts.put(Account {
                aor,
                ha1: Ha1::default(),
                display_name,
                enabled: true,
            });
        }
        snapshot
    }

    fn binding(contact: &str, q: u16) -> Binding {
        Binding {
            contact: contact.as_bytes().into(),
            params: [].into(),
            q,
            expires: Instant::from_secs(9),
            refreshed: Instant::from_secs(1),
            call_id: [].into(),
            cseq: 1,
            transaction: 0,
            flow: Flow {
                socket: SocketId(0),
                transport: Transport::Udp,
                connection: ConnectionId::NONE,
                remote: "192.0.2.9:5060".parse().expect("an address"),
            },
            user_agent: [].into(),
        }
    }

    #[test]
    fn the_plan_and_its_reasons() {
        let contacts = || {
            [binding("sip:b@d", 500), binding("sip:b@p", 1000), binding("sip:b@q", 1000)].to_vec()
        };
        let told = explain(&snapshot(), "alice@example.org", "bob", |_| contacts());
        let groups: Vec<usize> = told.plan.groups.iter().map(|g| g.branches.len()).collect();
        assert_eq!(groups, [2, 1], "highest q first, equal ones together");
        let text = told.to_string();
        assert!(
            text.contains("sip:b@p over udp to 192.0.2.9:5060  [registered, q=1.000]"),
            "{text}"
        );
        let otherwise = |from, to| explain(&snapshot(), from, to, |_| Vec::new()).plan.otherwise;
        assert_eq!(otherwise("alice@example.org", "carol"), Reject::NoSuchUser);
        assert_eq!(otherwise("alice@example.org", "bob"), Reject::TemporarilyUnavailable);
        assert_eq!(otherwise("eve@example.org", "bob"), Reject::ProxyAuthenticationRequired);
        let away = explain(&snapshot(), "alice@example.org", "x@198.51.100.1", |_| Vec::new());
        assert_eq!(away.plan.groups[0].branches[0].rule, Rule::RequestUri);
    }
}
