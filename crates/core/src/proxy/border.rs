//! What is said about who somebody is, when a message crosses the border of our trust domain: the
//! peers with `trust_identity`, and we (RFC 3325 §5 to §7; rows B1 and B3 of the threat list).

use crate::address_of_record::AddressOfRecord;
use crate::flow::Flow;
use crate::identity::Caller;
use crate::proxy::privacy::Privacy;
use crate::route::ours::{is_anonymous, unescaped};
use crate::snapshot::Snapshot;
use alloc::vec::Vec;
use ringway_wire::{Editor, Message, Name, NameAddr, Uri};

/// One message on its way through us.
#[derive(Clone, Copy)]
pub(crate) struct Crossing<'a> {
    /// Where it came from …
    pub(crate) source: &'a Flow,
    /// … and where it goes.
    pub(crate) next: &'a Flow,
    /// The account that proved to have sent it.
    pub(crate) caller: Option<&'a AddressOfRecord>,
    /// Whether the request was proved to be from a peer that is trusted, whatever its address.
    pub(crate) trusted: bool,
    /// Whether it goes to where a user of ours registered.
    pub(crate) registered: bool,
}

/// Who may say something, and who may hear it.
#[derive(Clone, Copy)]
enum Rule {
    /// A wish to the first proxy, which keeps it.
    Wish,
    /// Only a trusted side may say it; it goes on unless the sender hides who it is.
    Identity,
    /// The same, unless the sender hides for whom it was before.
    History,
    /// Only a trusted side may say it.
    Told,
    /// It stays inside: only trusted sides may say it or hear it.
    Inside,
    /// Only a trusted side may hear it.
    Place,
}

/// The headers that are meant, by the beginning of their names. P-Asserted-Identity has a place
/// of its own in a message.
const RULES: [(&[u8], Rule); 20] = [
    (b"p-preferred-", Rule::Wish),
    (b"p-asserted-", Rule::Inside),
    (b"p-charg", Rule::Inside),
    (b"p-dcs-", Rule::Inside),
    (b"p-served-user", Rule::Inside),
    (b"p-profile-key", Rule::Inside),
    (b"p-user-database", Rule::Inside),
    (b"p-visited-network-id", Rule::Inside),
    (b"p-private-network-indication", Rule::Inside),
    (b"p-associated-uri", Rule::Told),
    (b"p-called-party-id", Rule::Told),
    (b"p-access-network-info", Rule::Place),
    (b"remote-party-id", Rule::Identity),
    (b"rpid-privacy", Rule::Identity),
    (b"additional-identity", Rule::Identity),
    (b"diversion", Rule::History),
    (b"cc-diversion", Rule::History),
    (b"history-info", Rule::History),
    (b"attestation-info", Rule::Inside),
    (b"origination-id", Rule::Inside),
];

impl<'a> Crossing<'a> {
    /// Nothing is known but the way.
    pub(crate) const fn between(source: &'a Flow, next: &'a Flow) -> Self {
        Self { source, next, caller: None, trusted: false, registered: false }
    }

    fn believes(&self, snapshot: &Snapshot, message: &Message<'_>) -> bool {
        trusts(snapshot, self.source) || self.trusted && message.is_request()
    }

    fn tells(&self, snapshot: &Snapshot, message: &Message<'_>) -> bool {
        trusts(snapshot, self.next) || self.trusted && !message.is_request()
    }

    /// Takes off what may not cross, and says in our own name who called.
    pub(crate) fn edit(&self, snapshot: &Snapshot, message: &Message<'_>, edit: &mut Editor<'_>) {
        let believed = self.believes(snapshot, message);
        let private = Privacy::of(message);
        let others = message.headers().filter(|header| header.name == Name::Other);
        for (at, header) in others.enumerate() {
            let Some(rule) = rule_for(header.raw_name) else { continue };
            let hears = || self.tells(snapshot, message);
            let hidden = || says_private(header.value);
            let stays = match rule {
                //= RFC 3325 6
                // "The proxy MUST remove the user-"
                Rule::Wish => true,
                Rule::Identity => !believed || (private.identity || hidden()) && !hears(),
                Rule::History => !believed || (private.history || hidden()) && !hears(),
                Rule::Told => !believed,
                //= RFC 6050 5.1.2
                // "domain, there MUST NOT be a P-Asserted-Service header field in the"
                Rule::Inside => !believed || !hears(),
                //= RFC 7315 4.4.2.2
                // "when the SIP signaling is forwarded to a SIP server located in an"
                Rule::Place => !hears(),
            };
            if stays {
                edit.remove_nth(Name::Other, at);
            }
        }
        if let (false, true, Some(from)) =
            (believed, message.is_request(), message.header(Name::From))
            && let Some(unverified) = unverified(from)
        {
            edit.set(Name::From, &unverified);
        }
        self.edit_identity(snapshot, (message, &private, believed), edit);
    }

    /// P-Asserted-Identity: what a trusted side says, or what we found out, or nothing.
    //= RFC 3325 5
    // "contains a SIP or SIPS URI, the proxy MUST replace that SIP or SIPS"
    fn edit_identity(
        &self,
        snapshot: &Snapshot,
        (message, private, believed): (&Message<'_>, &Privacy, bool),
        edit: &mut Editor<'_>,
    ) {
        let said = message.header(Name::PAssertedIdentity).is_some();
        let hears = || self.tells(snapshot, message);
        if !believed {
            match self.caller.filter(|_| hears() || self.registered && !hides(message, private)) {
                Some(caller) => edit.set(Name::PAssertedIdentity, &written(snapshot, caller)),
                None if said => edit.remove(Name::PAssertedIdentity),
                None => {}
            }
        } else if said && private.identity && !hears() {
            //= RFC 3325 7
            // "If this token is present, proxies MUST remove all the P-Asserted-"
            edit.remove(Name::PAssertedIdentity);
        } else if said {
            match regular(message) {
                Regular::All => {}
                Regular::None => edit.remove(Name::PAssertedIdentity),
                Regular::Some(kept) => edit.set(Name::PAssertedIdentity, &kept),
            }
        }
    }
}

/// A From without `verstat`, with which networks say that they verified the number in it (3GPP TS
/// 24.229 §7.2A.20); `None`: it has none. Dialogs are known by their tags, so nobody misses it.
fn unverified(from: &[u8]) -> Option<Vec<u8>> {
    const CLAIM: &[u8] = b"verstat";
    // Most have nothing that looks like it, and are not copied.
    let mut words = from.windows(CLAIM.len());
    if !from.contains(&b'%') && !words.any(|word| word.eq_ignore_ascii_case(CLAIM)) {
        return None;
    }
    let (mut kept, mut quoted, mut at) = (Vec::new(), false, 0);
    while let Some(&byte) = from.get(at) {
        let length = match byte {
            b'\\' if quoted => 2,
            b';' if !quoted => {
                let rest = &from[at + 1..];
                let end = rest.iter().position(|byte| b";>@?\"".contains(byte));
                let end = end.unwrap_or(rest.len());
                let name = rest[..end].split(|&byte| byte == b'=').next().unwrap_or_default();
                // A value in quotes is no parameter of a URI.
                let claims = unescaped(name.trim_ascii()).eq_ignore_ascii_case(CLAIM);
                if claims && rest.get(end) != Some(&b'"') {
                    at += 1 + end;
                    continue;
                }
                1
            }
            _ => 1,
        };
        quoted ^= byte == b'"';
        kept.extend(from[at..].iter().take(length));
        at += length;
    }
    (kept.len() < from.len()).then_some(kept)
}

/// Whether what is behind a flow is of our trust domain.
fn trusts(snapshot: &Snapshot, flow: &Flow) -> bool {
    match Caller::by_flow(snapshot, flow) {
        Caller::Peer(at) => snapshot.peers.get(at).is_some_and(|peer| peer.trust_identity),
        Caller::Account(_) | Caller::Stranger => false,
    }
}

fn rule_for(name: &[u8]) -> Option<Rule> {
    // Most headers have none.
    if !matches!(name.first()?.to_ascii_lowercase(), b'a' | b'c' | b'd' | b'h' | b'o' | b'p' | b'r')
    {
        return None;
    }
    RULES.iter().find(|(start, _)| begins(name, start)).map(|&(_, rule)| rule)
}

fn begins(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

/// Whether a value says of itself that it is private: `privacy=full` in Remote-Party-ID and
/// Diversion (RFC 5806 §4), `Privacy=history` in the URI of History-Info (RFC 7044 §10.1.1).
fn says_private(value: &[u8]) -> bool {
    const KEY: &[u8] = b"privacy=";
    let mut said = (0..value.len()).map(|at| &value[at..]).filter(|rest| begins(rest, KEY));
    said.any(|rest| {
        let said = &rest[KEY.len()..];
        let said = said.strip_prefix(b"\"").unwrap_or(said);
        !begins(said, b"off") && !begins(said, b"none")
    })
}

/// Whether the sender hides who it is: it says so, or gives no name and does not say otherwise.
fn hides(message: &Message<'_>, private: &Privacy) -> bool {
    let nameless = || {
        let uri = message.from().ok().and_then(|from| from.uri().ok());
        uri.is_some_and(|uri| is_anonymous(&uri))
    };
    private.identity || !private.none && nameless()
}

/// The identity of an account.
fn written(snapshot: &Snapshot, caller: &AddressOfRecord) -> Vec<u8> {
    let account = snapshot.accounts.find(caller);
    let mut value = Vec::with_capacity(64);
    if let Some(account) = account.filter(|account| !account.display_name.is_empty()) {
        value.push(b'"');
        for byte in account.display_name.bytes() {
            if matches!(byte, b'"' | b'\\') {
                value.push(b'\\');
            }
            // What cannot stand in a quoted string (RFC 3261 §25.1).
            value.push(if byte.is_ascii_control() { b' ' } else { byte });
        }
        value.extend_from_slice(b"\" ");
    }
    value.extend_from_slice(alloc::format!("<sip:{caller}>").as_bytes());
    value
}

/// Which of the identities in a message may go on.
enum Regular {
    All,
    None,
    Some(Vec<u8>),
}

/// One SIP or SIPS URI and one tel URI; others are not for us, nor for anybody behind us.
//= RFC 5876 4.5
// "A proxy MUST NOT forward a URI when forwarding a request if that URI"
fn regular(message: &Message<'_>) -> Regular {
    let values = || message.values(Name::PAssertedIdentity);
    if values().all(firsts()) {
        return Regular::All;
    }
    let mut kept = Vec::new();
    let mut may_stay = firsts();
    for value in values().filter(|value| may_stay(value)) {
        if !kept.is_empty() {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(value);
    }
    if kept.is_empty() { Regular::None } else { Regular::Some(kept) }
}

/// Tells of one identity after another whether it is the first of its kind.
fn firsts() -> impl FnMut(&[u8]) -> bool {
    let (mut sip, mut tel) = (false, false);
    move |value| {
        let seen = match NameAddr::parse(value).ok().and_then(|value| value.uri().ok()) {
            Some(Uri::Sip(_)) => &mut sip,
            Some(Uri::Tel(_)) => &mut tel,
            Some(Uri::Other { .. }) | None => return false,
        };
        !core::mem::replace(seen, true)
    }
}
