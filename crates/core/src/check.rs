//! RFC 3261 §16.3: what a request must pass before anything is decided about it.

use crate::identity::Caller;
use crate::keys::Keys;
use crate::registrar::supports;
use crate::reject::Reject;
use crate::transaction::key::loop_hash_in;
use ringway_wire::{Fault, Message, Method, Name, Uri};

/// §16.3 step 1: reasonable syntax, as far as this message is concerned.
//= RFC 3261 16.3
// "The request MUST be well-formed enough to be handled with a server transaction."
// "Validation steps or the Request Forwarding section MUST be well-formed."
pub(crate) fn grammar(request: &Message<'_>) -> Result<(), Reject> {
    let Err(malformed) = request.check() else { return Ok(()) };
    Err(match malformed.fault {
        Fault::Version => Reject::VersionNotSupported,
        //= RFC 4475 3.1.2.18
        // "501 (particularly at proxies) has better future-proof"
        Fault::MethodMismatch if matches!(request.method(), Method::Other(_)) => {
            Reject::UnknownMethodMismatch
        }
        Fault::MethodMismatch => Reject::MethodMismatch,
        //= RFC 3261 21.5.7
        // "The server was unable to process the request since the message length"
        Fault::TooLarge if malformed.what == "Content-Length" => Reject::TooLarge,
        _ => Reject::Malformed(malformed.what),
    })
}

/// §16.3 step 2: a scheme that we can route.
pub(crate) fn scheme(request: &Message<'_>) -> Result<(), Reject> {
    match request.uri() {
        Ok(Uri::Sip(_) | Uri::Tel(_)) => Ok(()),
        //= RFC 3261 16.3
        // "reject the request with a 416 (Unsupported URI Scheme) response"
        Ok(Uri::Other { .. }) => Err(Reject::UnsupportedScheme),
        Err(_) => Err(Reject::Malformed("Request-URI")),
    }
}

/// §16.3 step 3: hops left. A request for ourselves needs none.
//= RFC 3261 16.3
// "field value of zero (0), the element MUST NOT forward the request."
// "Otherwise, the element MUST return a 483 (Too many hops) response."
pub(crate) fn hops(request: &Message<'_>) -> Result<(), Reject> {
    //= RFC 3261 16.3
    // "If the request contains a Max-Forwards header field with a field value of zero (0)"
    if request.max_forwards() == Some(0) { Err(Reject::TooManyHops) } else { Ok(()) }
}

/// §16.3 step 4, RFC 5393 §4.2.2: it was here before, and nothing that decides has changed.
pub(crate) fn not_looped(keys: &Keys, request: &Message<'_>) -> Result<(), Reject> {
    let mut loop_hash = None;
    for via in request.vias() {
        let Some(before) = via.ok().and_then(|v| loop_hash_in(v.branch()?)) else {
            continue;
        };
        let here = *loop_hash.get_or_insert_with(|| self::loop_hash(keys, request));
        if before == here {
            return Err(Reject::LoopDetected);
        }
    }
    Ok(())
}

/// The second part of our branches: a keyed hash of all that our routing looks at
/// (RFC 5393 §4.2.1). It does not depend on the method, so CANCEL and ACK get the same.
//= RFC 3261 16.6
// "detect loops, the \"branch\" parameter it supplies MUST depend on all information"
// "The request method MUST NOT be included in the calculation of the branch parameter."
pub(crate) fn loop_hash(keys: &Keys, request: &Message<'_>) -> u64 {
    let mut hash = keys.hash64(b"loop", &[request.request_uri(), request.call_id()]);
    for route in request.values(Name::Route) {
        hash = keys.hash64(b"loop route", &[&hash.to_be_bytes(), route]);
    }
    hash
}

/// D6: a Path is followed only if somebody trusted has put it there; else it is refused, never
/// forgotten.
pub(crate) fn path(register: &Message<'_>, caller: &Caller) -> Result<(), Reject> {
    if register.values(Name::Path).next().is_none() {
        return Ok(());
    }
    //= RFC 3327 5.3
    // "policy is for the registrar to reject the request with a 420"
    if !supports(register, b"path") {
        return Err(Reject::PathNotSupported);
    }
    if matches!(caller, Caller::Peer(_)) { Ok(()) } else { Err(Reject::PathNotTrusted) }
}

/// What our registrar understands when it is required to (RFC 3327, RFC 5626, RFC 5627).
pub(crate) const REGISTRAR_EXTENSIONS: [&[u8]; 3] = [b"path", b"outbound", b"gruu"];

/// §16.3 step 5, §8.2.2.3: extensions that we would have to understand. We understand none
/// that a proxy must; what end points require of each other is not our affair.
//= RFC 3261 16.3
// "this element does not understand, the element MUST return a 420 (Bad Extension)"
pub(crate) fn extensions(
    request: &Message<'_>,
    header: Name,
    known: &[&[u8]],
) -> Result<(), Reject> {
    let is_known = |option: &[u8]| known.iter().any(|known| option.eq_ignore_ascii_case(known));
    match request.values(header).find(|option| !is_known(option)) {
        Some(_) if header == Name::ProxyRequire => Err(Reject::BadProxyExtension),
        Some(_) => Err(Reject::BadExtension),
        None => Ok(()),
    }
}
