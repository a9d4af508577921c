//! What the administrator decides about targets: how a domain is served, and where targets go
//! that are none of our users. Data, without any order of evaluation: of the routes that fit, the
//! most specific one counts.

use crate::snapshot::Peer;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How the users of a domain of ours are served.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Service {
    /// Requests are forwarded to their contacts, with state.
    #[default]
    Proxy,
    /// Those of peers are forwarded to one of their contacts, without state (RFC 3261 §16.11).
    Stateless,
    /// Who asks is told their contacts (RFC 3261 §8.3).
    Redirect(Redirection),
}

/// The redirections of RFC 3261 §21.3 that a server decides on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redirection {
    /// 301 Moved Permanently.
    Permanent,
    /// 302 Moved Temporarily.
    Temporary,
    /// 305 Use Proxy: the contact is the proxy to ask.
    UseProxy,
    /// 380 Alternative Service.
    Alternative,
}

/// Where targets go that are none of our users: another domain, or a name or number of ours that
/// nobody has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Its name in explanations.
    pub name: String,
    /// The domain of the targets, in lower case; any if there is none.
    pub domain: Option<Box<[u8]>>,
    /// What their user part begins with.
    pub prefix: Box<[u8]>,
    /// The methods it is for; all if there are none.
    pub methods: Vec<Box<[u8]>>,
    /// What happens to them.
    pub action: Action,
    /// Whether those of peers that are forwarded are so without state (RFC 3261 §16.11): if there
    /// are several peers to send to, one is chosen by the Call-ID.
    pub stateless: bool,
}

/// What happens to the requests of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// They go to these peers, the next one if the one before cannot be reached.
    Forward(Vec<Upstream>),
    /// They go where they would go without this route.
    Onward,
    /// Whoever asks is told these URIs, in this order; `{user}` in them is the user asked for.
    Redirect(Redirection, Vec<Box<[u8]>>),
    /// Nobody gets there.
    Refuse,
}

/// A server that requests are sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// The peer's name.
    pub peer: Arc<str>,
    /// Its SIP URI.
    pub address: Box<[u8]>,
}

impl Route {
    /// The most specific of the routes that fit: the longest prefix, then the one that names the
    /// domain, then the one that names the method, then the first one.
    pub(crate) fn choose<'a>(
        routes: &'a [Self],
        domain: &[u8],
        user: &[u8],
        method: &[u8],
    ) -> Option<&'a Self> {
        let fits = |route: &&Self| {
            route.domain.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(domain))
                && user.starts_with(&route.prefix)
                && (route.methods.is_empty() || route.methods.iter().any(|m| **m == *method))
        };
        let rank =
            |route: &&Self| (route.prefix.len(), route.domain.is_some(), !route.methods.is_empty());
        // Of equals `max_by_key` takes the last one.
        routes.iter().rev().filter(fits).max_by_key(rank)
    }
}

impl Upstream {
    /// The peer as somebody to send to, if it says where.
    pub fn of(peer: &Peer) -> Option<Self> {
        let address = peer.address.clone()?;
        Some(Self { peer: peer.name.as_str().into(), address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_most_specific_route_counts_wherever_it_stands() {
        let route = |name: &str, domain: Option<&str>, prefix: &str, methods: &[&str]| Route {
            name: name.into(),
            domain: domain.map(|d| d.as_bytes().into()),
            prefix: prefix.as_bytes().into(),
            methods: methods.iter().map(|m| m.as_bytes().into()).collect(),
            action: Action::Refuse,
            stateless: false,
        };
        let mut routes = vec![
            route("all", None, "", &[]),
            route("abroad", None, "+", &[]),
            route("france", None, "+33", &[]),
            route("texts", None, "+33", &["MESSAGE"]),
            route("home", Some("example.org"), "+33", &[]),
            route("again", None, "+33", &[]),
        ];
        for _ in 0..2 {
            for (domain, user, method, name) in [
                ("far.example", "bob", "INVITE", "all"),
                ("far.example", "", "INVITE", "all"),
                ("far.example", "+49", "INVITE", "abroad"),
                ("far.example", "+331", "MESSAGE", "texts"),
                ("EXAMPLE.org", "+331", "MESSAGE", "home"),
            ] {
                let chosen =
                    Route::choose(&routes, domain.as_bytes(), user.as_bytes(), method.as_bytes());
                assert_eq!(chosen.map(|route| &*route.name), Some(name), "{user} {method}");
            }
            routes.reverse();
        }
        let chosen = Route::choose(&routes, b"x", b"+331", b"INVITE");
        assert_eq!(chosen.map(|route| &*route.name), Some("france"), "the first of equal ones");
        routes.remove(0);
        assert!(Route::choose(&routes, b"x", b"bob", b"INVITE").is_none());
    }
}
