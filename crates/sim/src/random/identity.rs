//! Who phones say that they are although nobody believes it (RFC 3325 §5), and that it goes no
//! further: what the server says in its own name is whom it asked for a password.

use crate::clock::Random;
use crate::random::phone::DOMAIN;
use crate::scenario::sip::{Sip, uri_of};

/// What stands in every claim, and in nothing else: cookies and nonces have no dot.
const CLAIM: &str = "the.boss";

/// How claims are spelled.
const NAMES: [&str; 8] = [
    "P-Asserted-Identity",
    "p-ASSERTED-identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Diversion",
    "History-Info",
    "P-Charging-Vector",
    "P-Asserted-Service",
];

/// Claims something now and then, and sometimes hides.
pub(crate) fn claim(random: &mut Random, sip: &mut Sip) {
    for name in NAMES {
        if random.permille(50) {
            sip.add(name, format!("<sip:{CLAIM}@{DOMAIN}>;index=1"));
        }
    }
    if random.permille(100) {
        sip.add("Privacy", "id");
    }
}

/// Claims everything, as whoever answers may.
pub(crate) fn claim_all(sip: &mut Sip) {
    NAMES.iter().for_each(|name| sip.add(name, format!("<sip:{CLAIM}@{DOMAIN}>")));
}

/// What the server may not say: what was claimed, and, in its own name, anything but the account
/// that a new request is from, if that does not hide. `Ok(true)`: it did say that.
pub(crate) fn is_asserted(asked: &Sip, sent: &Sip) -> Result<bool, String> {
    if let Some((name, value)) = sent.headers.iter().find(|(_, value)| value.contains(CLAIM)) {
        return Err(format!("a claim was believed: {name}: {value}"));
    }
    let said = sent.all("P-Asserted-Identity");
    let hides = || asked.get("Privacy").is_some();
    let is_new = || sent.status().is_none() && asked.tag("To").is_none();
    let caller = asked.get("From").map(uri_of).unwrap_or_default();
    match said[..] {
        [] => Ok(false),
        [one] if is_new() && !hides() && one == format!("<{caller}>") => Ok(true),
        _ => Err(format!("it asserts {said:?} of {caller}")),
    }
}
