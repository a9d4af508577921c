//! RFC 3261 §16.5: the target set of a request that no Route header has a word in. The one
//! function that decides live calls and explains them.

use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::reject::Reject;
use crate::role::redirect::places_of;
use crate::route::ours::{Ours, unescaped, write_ip};
use crate::route::plan::{Group, Place, Plan, PlannedBranch, Redirect, Rule, Way};
use crate::route::rules::{Action, Route, Service, Upstream};
use alloc::borrow::Cow;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Arguments;
use ringway_wire::{Host, Uri};

/// Hears what each step of a decision found. Live calls have nobody who listens, and then
/// nothing is written either.
pub(crate) trait Witness {
    /// The name of a step, and what it found.
    fn found(&mut self, step: &'static str, what: Arguments<'_>);
}

/// Nobody listens.
pub(crate) struct Silent;

impl Witness for Silent {
    fn found(&mut self, _step: &'static str, _what: Arguments<'_>) {}
}

/// What a target comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Targets {
    /// All is known.
    Known(Plan),
    /// One of our users: the plan follows from the bindings ([`Plan::for_user`]).
    User(AddressOfRecord),
}

/// Where a request of this method for `target` goes.
//= RFC 3261 16.5
// "element is not responsible for, the Request-URI MUST be placed into the target set as"
// "A proxy MUST NOT add additional targets to the target set if the Request-URI of the"
// "proxy that does not exist, the proxy MUST return a 404 (Not Found) response."
pub(crate) fn targets(
    ours: Ours<'_>,
    (method, target): (&[u8], &[u8]),
    witness: &mut impl Witness,
) -> Targets {
    let Ok(uri) = Uri::parse(target) else {
        witness.found("target", format_args!("no URI"));
        return Targets::Known(Plan::refuse(Reject::Malformed("Request-URI")));
    };
    if let Some(way) = by_maddr(ours, &uri) {
        witness.found("maddr", format_args!("not one of ours"));
        return Targets::Known(Plan::single(target, way, Rule::RequestUri));
    }
    if !is_ours(ours, &uri) {
        witness.found("domain", format_args!("not one of ours"));
        if let Some(plan) = by_route(ours, (method, target), &uri, witness) {
            return Targets::Known(plan);
        }
        let bare = without_own_maddr(&uri);
        let target = bare.as_deref().unwrap_or(target);
        return Targets::Known(match Uri::parse(target).ok().and_then(|uri| Way::of_uri(&uri)) {
            Some(way) => Plan::single(target, way, Rule::RequestUri),
            None => Plan::refuse(Reject::NotOurDomain),
        });
    }
    let Some(aor) = ours.address_of_record(&uri) else {
        witness.found("user", format_args!("none is named"));
        return Targets::Known(Plan::refuse(Reject::NoSuchUser));
    };
    let domain = core::str::from_utf8(aor.domain()).unwrap_or_default();
    witness.found("domain", format_args!("{domain} is ours"));
    // A disabled account is answered as if it did not exist.
    if ours.snapshot.accounts.find(&aor).is_none_or(|account| !account.enabled) {
        witness.found("user", format_args!("{aor} has no account"));
        if let Some(plan) = by_route(ours, (method, target), &uri, witness) {
            return Targets::Known(plan);
        }
        //= RFC 3261 16.5
        // "MUST return a 404 (Not Found) response"
        return Targets::Known(Plan::refuse(Reject::NoSuchUser));
    }
    witness.found("user", format_args!("{aor} has an account"));
    Targets::User(aor)
}

/// The plan for one of our users, from what is registered.
pub(crate) fn plan_for_user(
    ours: Ours<'_>,
    service: Service,
    (bindings, target): (&[Binding], &[u8]),
    witness: &mut impl Witness,
) -> Plan {
    match service {
        Service::Proxy | Service::Stateless => {
            if service == Service::Stateless {
                witness.found("service", format_args!("{ONE_OF_THEM} of these"));
            }
            let secure = matches!(Uri::parse(target), Ok(Uri::Sip(sip)) if sip.secure);
            Plan::for_user(bindings, ours.snapshot, secure)
        }
        Service::Redirect(how) => {
            witness.found("service", format_args!("this domain redirects"));
            Redirect::plan(how, places_of(bindings), target)
        }
    }
}

/// What the configuration says of a target that is none of our users.
fn by_route(
    ours: Ours<'_>,
    (method, target): (&[u8], &[u8]),
    uri: &Uri<'_>,
    witness: &mut impl Witness,
) -> Option<Plan> {
    if ours.snapshot.routes.is_empty() {
        return None;
    }
    let route = route_for(ours, method, uri)?;
    witness.found("route", format_args!("{}", route.name));
    if route.stateless {
        witness.found("service", format_args!("{ONE_OF_THEM} of these"));
    }
    Some(match &route.action {
        Action::Onward => return None,
        Action::Refuse => Plan::refuse(Reject::Forbidden),
        Action::Redirect(how, contacts) => {
            // As it was written: what was decoded could say something else in a header.
            let user = match uri {
                Uri::Sip(sip) => sip.user.unwrap_or_default(),
                Uri::Tel(tel) => tel.number,
                Uri::Other { .. } => b"",
            };
            let place = |contact: &[u8]| Place {
                uri: replace(contact, b"{user}", user).into(),
                q: None,
                expires: None,
            };
            Redirect::plan(*how, contacts.iter().map(|contact| place(contact)).collect(), target)
        }
        Action::Forward(peers) => forward(ours, peers, (target, uri)),
    })
}

/// What is said of those whom peers reach without state.
const ONE_OF_THEM: &str = "for peers without state, at one";

/// What is forwarded without state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stateless<'a> {
    /// One of our users: where follows from the bindings.
    User(AddressOfRecord),
    /// What a route says.
    Route(&'a Action),
}

/// Whether requests of this method for `target` are forwarded without state, as far as the
/// configuration has a say: the same steps as in [`targets`].
pub(crate) fn stateless<'a>(
    ours: Ours<'a>,
    (method, target): (&[u8], &[u8]),
) -> Option<Stateless<'a>> {
    let uri = Uri::parse(target).ok()?;
    if by_maddr(ours, &uri).is_some() {
        return None;
    }
    if is_ours(ours, &uri) {
        let aor = ours.address_of_record(&uri)?;
        if ours.snapshot.accounts.find(&aor).is_some_and(|account| account.enabled) {
            let service = ours.snapshot.service(aor.domain());
            return (service == Service::Stateless).then_some(Stateless::User(aor));
        }
    }
    let route = route_for(ours, method, &uri).filter(|route| route.stateless)?;
    let logs_in = |to: &Upstream| {
        let peers = &ours.snapshot.peers;
        peers.iter().any(|peer| *peer.name == *to.peer && peer.login.is_some())
    };
    match &route.action {
        // Who asks who we are gets the request once more, and that needs it to be remembered.
        Action::Forward(peers) if peers.iter().any(logs_in) => None,
        action @ (Action::Forward(_) | Action::Onward) => Some(Stateless::Route(action)),
        Action::Redirect(..) | Action::Refuse => None,
    }
}

/// Where a target leads by itself.
pub(crate) fn onward<'m>(ours: Ours<'_>, target: &'m [u8]) -> Result<(Cow<'m, [u8]>, Way), Reject> {
    let uri = Uri::parse(target).map_err(|_| Reject::Malformed("Request-URI"))?;
    if is_ours(ours, &uri) {
        return Err(Reject::NoSuchUser);
    }
    let target = without_own_maddr(&uri).map_or(Cow::Borrowed(target), Cow::Owned);
    let way = Uri::parse(&target).ok().and_then(|uri| Way::of_uri(&uri));
    Ok((target, way.ok_or(Reject::NotOurDomain)?))
}

fn route_for<'a>(ours: Ours<'a>, method: &[u8], uri: &Uri<'_>) -> Option<&'a Route> {
    let mut space = [0; 48];
    let [user, domain] = user_and_domain(ours, uri, &mut space)?;
    Route::choose(&ours.snapshot.routes, &domain, &user, method)
}

/// The user and domain that routes look at: in what is ours the address-of-record.
fn user_and_domain<'m>(
    ours: Ours<'_>,
    uri: &Uri<'m>,
    space: &'m mut [u8; 48],
) -> Option<[Cow<'m, [u8]>; 2]> {
    if let Some(aor) = is_ours(ours, uri).then(|| ours.address_of_record(uri)).flatten() {
        return Some([aor.user().to_vec().into(), aor.domain().to_vec().into()]);
    }
    let Uri::Sip(sip) = uri else { return None };
    let domain = match sip.host {
        Host::Name(name) => Cow::Borrowed(name.strip_suffix(b".").unwrap_or(name)),
        Host::V4(ip) => Cow::Borrowed(write_ip(space, ip.into())),
        Host::V6(ip) => Cow::Borrowed(write_ip(space, ip.into())),
    };
    Some([unescaped(sip.user.unwrap_or_default()), domain])
}

/// One peer after another, as long as nobody is reached.
fn forward(ours: Ours<'_>, peers: &[Upstream], (target, uri): (&[u8], &Uri<'_>)) -> Plan {
    let group = |(at, upstream): (usize, &Upstream)| {
        let (target, way) = upstream_way(ours, upstream, (target, uri))?;
        let mut branch = PlannedBranch::new(&target, way, Rule::Configured);
        branch.peer = Some(Arc::clone(&upstream.peer));
        Some(Group {
            branches: [branch].into(),
            timeout_s: 0,
            is_substitute: at > 0,
            looks_again: false,
        })
    };
    let groups: Vec<Group> = peers.iter().enumerate().filter_map(group).collect();
    Plan { groups, otherwise: Reject::NextHopFailed, redirect: None }
}

/// The Request-URI that a peer gets, and the way there.
pub(crate) fn upstream_way<'m>(
    ours: Ours<'_>,
    upstream: &Upstream,
    (target, uri): (&'m [u8], &Uri<'_>),
) -> Option<(Cow<'m, [u8]>, Way)> {
    let address = Uri::parse(&upstream.address).ok()?;
    let secure = matches!(uri, Uri::Sip(sip) if sip.secure);
    let way = Way::of_route(&address, secure)?;
    // A number of ours is a number of the gateway's; what belongs to others stays theirs.
    let moved = is_ours(ours, uri).then(|| at_host(uri, &address)).flatten();
    Some((moved.map_or(Cow::Borrowed(target), Cow::Owned), way))
}

/// The user of one URI at the host of another. A telephone number becomes a SIP URI
/// (RFC 3261 §19.1.6).
fn at_host(uri: &Uri<'_>, address: &Uri<'_>) -> Option<Vec<u8>> {
    let Uri::Sip(host) = address else { return None };
    let (user, is_phone, secure) = match uri {
        Uri::Sip(sip) => {
            let phone = sip.params.get(b"user").flatten();
            (sip.user?, phone.is_some_and(|p| p.eq_ignore_ascii_case(b"phone")), sip.secure)
        }
        Uri::Tel(tel) => (tel.number, true, false),
        Uri::Other { .. } => return None,
    };
    let mut out = if secure { b"sips:".to_vec() } else { b"sip:".to_vec() };
    out.extend_from_slice(user);
    out.push(b'@');
    match host.host {
        Host::Name(name) => out.extend_from_slice(name),
        Host::V4(ip) => out.extend_from_slice(format!("{ip}").as_bytes()),
        Host::V6(ip) => out.extend_from_slice(format!("[{ip}]").as_bytes()),
    }
    if let Some(port) = host.port {
        out.extend_from_slice(format!(":{port}").as_bytes());
    }
    if is_phone {
        out.extend_from_slice(b";user=phone");
    }
    Some(out)
}

/// A text with every `what` replaced.
fn replace(text: &[u8], what: &[u8], by: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + by.len());
    let mut rest = text;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(by);
        rest = &rest[at + what.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// A `maddr` that is not ours takes the request there; one that is ours says nothing new.
//= RFC 3261 16.5
// "If the Request-URI of the request contains an maddr parameter, the"
//= RFC 3261 16.4
// "Request-URI contains a maddr parameter, the proxy MUST check to see if its value is in"
//= RFC 3261 16.5
// "request contains an maddr parameter, the Request-URI MUST be placed into the target"
fn by_maddr(ours: Ours<'_>, uri: &Uri<'_>) -> Option<Way> {
    let Uri::Sip(sip) = uri else { return None };
    let host = sip.maddr().filter(|host| !ours.answers_to(host));
    host.and_then(|_| Way::of_uri(uri))
}

/// A URI of another domain whose `maddr` led to us, as it goes on from here.
//= RFC 3261 16.4
// "the proxy MUST strip the maddr and any non-default port or"
fn without_own_maddr(uri: &Uri<'_>) -> Option<Vec<u8>> {
    let Uri::Sip(sip) = uri else { return None };
    sip.maddr()?;
    let mut bare = if sip.secure { b"sips:".to_vec() } else { b"sip:".to_vec() };
    if let Some(user) = sip.user {
        bare.extend_from_slice(user);
        if let Some(password) = sip.password {
            bare.push(b':');
            bare.extend_from_slice(password);
        }
        bare.push(b'@');
    }
    match sip.host {
        Host::Name(name) => bare.extend_from_slice(name),
        Host::V4(ip) => bare.extend_from_slice(format!("{ip}").as_bytes()),
        Host::V6(ip) => bare.extend_from_slice(format!("[{ip}]").as_bytes()),
    }
    let goes = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"maddr") || name.eq_ignore_ascii_case(b"transport")
    };
    for (name, value) in sip.params.iter().filter(|(name, _)| !goes(name)) {
        bare.push(b';');
        bare.extend_from_slice(name);
        if let Some(value) = value {
            bare.push(b'=');
            bare.extend_from_slice(value);
        }
    }
    Some(bare)
}

fn is_ours(ours: Ours<'_>, uri: &Uri<'_>) -> bool {
    match uri {
        Uri::Sip(sip) => ours.is_here(sip),
        Uri::Tel(_) => true,
        Uri::Other { .. } => false,
    }
}
