//! RFC 3261 §16.5: the target set of a request that no Route header has a word in. The one
//! function that decides live calls and explains them.

use crate::address_of_record::AddressOfRecord;
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::plan::{Plan, Rule, Way};
use alloc::format;
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

/// Where a request for `target` goes.
//= RFC 3261 16.5
// "element is not responsible for, the Request-URI MUST be placed into the target set as"
// "A proxy MUST NOT add additional targets to the target set if the Request-URI of the"
// "proxy that does not exist, the proxy MUST return a 404 (Not Found) response."
pub(crate) fn targets(ours: Ours<'_>, target: &[u8], witness: &mut impl Witness) -> Targets {
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
        //= RFC 3261 16.5
        // "MUST return a 404 (Not Found) response"
        witness.found("user", format_args!("{aor} has no account"));
        return Targets::Known(Plan::refuse(Reject::NoSuchUser));
    }
    witness.found("user", format_args!("{aor} has an account"));
    Targets::User(aor)
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
