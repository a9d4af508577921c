//! What must hold of every message at the server's door.
//!
//! The watch sees what reaches the server and what leaves it, in that order, and remembers for
//! each request that came in what was made of it. It knows nothing of how the server works.

use crate::random::identity::is_asserted;
use crate::random::phone::{ELSEWHERE, SERVER};
use crate::scenario::sip::{Sip, param, uri_of};
use crate::world::{EndpointId, OnWire};
use ringway_core::flow::{ConnectionId, Flow, Transport};
use ringway_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// Something that must hold does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The Call-ID it is about; may be empty.
    pub call_id: String,
    /// What.
    pub what: String,
}

impl Broken {
    pub(crate) fn new(call_id: &str, what: impl Into<String>) -> Self {
        Self { call_id: call_id.to_owned(), what: what.into() }
    }
}

/// The branch of a Via, and the method: what tells transactions apart (RFC 3261 §17.1.3).
pub(crate) type Key = (String, String);

/// A request that came in.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) sip: Sip,
    /// Where it came from, each time.
    pub(crate) from: BTreeSet<SocketAddr>,
    /// When it came first.
    pub(crate) since: Instant,
    /// Whether its sender was one whose requests may be sent on.
    pub(crate) trusted: bool,
    /// Whether the server began a transaction for it, as far as that can be seen.
    tried: bool,
    /// Whether it was sent on without state: what becomes of it is for others to see to.
    pub(crate) stateless: bool,
    cancelled: bool,
    final_status: Option<u16>,
    /// Responses that came for it, and those that were sent on: status, To tag, body.
    heard: BTreeMap<Words, u32>,
    told: BTreeMap<Words, u32>,
}

type Words = (u16, Option<String>, String);

/// A request that went out.
#[derive(Debug)]
struct Sent {
    asked: Key,
    /// The connection it went down.
    over: ConnectionId,
    transport: Transport,
    remote: SocketAddr,
    since: Instant,
    call_id: String,
    provisional: bool,
    final_status: Option<u16>,
    cancelled: bool,
    /// Its connection has ended: nobody can be told anything over it any more.
    lost: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Whose requests may be sent on.
    pub(crate) trusted: BTreeSet<EndpointId>,
    /// Whose are sent on without state: each is judged for itself.
    pub(crate) without_state: BTreeSet<EndpointId>,
    /// Whose never, not even inside of dialogs: they have none.
    pub(crate) strangers: BTreeSet<IpAddr>,
    pub(crate) asked: BTreeMap<Key, Asked>,
    sent: BTreeMap<Key, Sent>,
    /// Who sent what is no message: the answers to that cannot be foreseen.
    pub(crate) babbling: BTreeSet<EndpointId>,
    /// From where.
    babblers: BTreeSet<IpAddr>,
    /// What the name service has answered, or will have by then.
    pub(crate) resolved: Vec<(Instant, Vec<Flow>)>,
    /// How often what is rare was seen.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// Looks at one message.
    pub(crate) fn look(&mut self, wire: &OnWire, sip: Option<&Sip>) -> Result<(), Broken> {
        let ip = wire.flow.remote.ip();
        if wire.arrived && wire.endpoint.is_some_and(|who| self.babbling.contains(&who)) {
            self.babblers.insert(ip);
        }
        let Some(sip) = sip.filter(|sip| sip.branch().is_some() && sip.get("CSeq").is_some())
        else {
            let expected = wire.arrived || self.babblers.contains(&ip);
            return if expected { Ok(()) } else { Err(Broken::new("", "nonsense was sent")) };
        };
        match (wire.arrived, sip.status()) {
            (true, None) => self.request_in(wire, sip),
            (true, Some(status)) => self.response_in(wire.at, status, sip),
            (false, None) => return self.request_out(wire, sip),
            (false, Some(status)) => return self.response_out(wire.flow, status, sip),
        }
        Ok(())
    }

    fn request_in(&mut self, wire: &OnWire, sip: &Sip) {
        let key = key(sip, 0);
        if key.1 == "CANCEL"
            && let Some(invite) = self.asked.get_mut(&(key.0.clone(), "INVITE".into()))
        {
            invite.cancelled = true;
        }
        let is_in =
            |all: &BTreeSet<EndpointId>| wire.endpoint.is_some_and(|who| all.contains(&who));
        let (trusted, stateless) = (is_in(&self.trusted), is_in(&self.without_state));
        let asked = self.asked.entry(key).or_insert_with(|| Asked {
            sip: sip.clone(),
            from: BTreeSet::new(),
            since: wire.at,
            trusted,
            tried: false,
            stateless,
            cancelled: false,
            final_status: None,
            heard: BTreeMap::new(),
            told: BTreeMap::new(),
        });
        asked.from.insert(wire.flow.remote);
        // What was refused without a transaction is judged anew when it comes again.
        asked.trusted |= trusted;
        if !asked.tried {
            asked.final_status = None;
        }
    }

    fn response_in(&mut self, at: Instant, status: u16, sip: &Sip) {
        let Some(sent) = self.sent.get_mut(&key(sip, 0)) else { return };
        if sip.method() == "CANCEL" {
            return;
        }
        // Later nobody waits for the first response any more (timers B and F).
        let in_time = at < sent.since + Duration::from_secs(32);
        if status < 200 {
            sent.provisional |= in_time && sent.final_status.is_none();
        } else if sent.final_status.is_none() {
            sent.final_status = Some(status);
        }
        if let Some(asked) = self.asked.get_mut(&sent.asked) {
            *asked.heard.entry(words(status, sip)).or_default() += 1;
        }
    }

    fn request_out(&mut self, wire: &OnWire, sip: &Sip) -> Result<(), Broken> {
        let (at, over) = (wire.at, wire.flow.connection);
        let (call_id, method) = (sip.get("Call-ID").unwrap_or_default(), sip.method());
        let broken = |what: String| Err(Broken::new(call_id, format!("{method}: {what}")));
        let vias = sip.all("Via");
        if !SERVER.iter().any(|at| vias[0].contains(&at.to_string())) {
            return broken(format!("the Via on top is not the server's: {}", vias[0]));
        }
        if vias.len() == 1 {
            return self.own_request(sip).or_else(|what| broken(what.into()));
        }
        let from = key(sip, 1);
        let Some(asked) = self.asked.get_mut(&from) else {
            return broken("it was invented: nobody sent it".into());
        };
        match same_request(&asked.sip, sip).and_then(|()| is_asserted(&asked.sip, sip)) {
            Err(what) => return broken(what),
            Ok(true) => *self.seen.entry("an asserted identity").or_default() += 1,
            Ok(false) => {}
        }
        let unknown = |from: &SocketAddr| self.strangers.contains(&from.ip());
        if asked.from.iter().any(unknown) || !asked.trusted && sip.tag("To").is_none() {
            return broken("it is from a stranger".into());
        }
        asked.tried = true;
        asked.stateless |= passes(vias[0]);
        let (own, inside) = (key(sip, 0), sip.tag("To").is_some());
        if !self.sent.contains_key(&own) {
            let name = match (method, inside) {
                ("INVITE", true) => "a re-INVITE",
                ("INVITE", false) if self.sent.values().any(|sent| sent.asked == from) => {
                    if sip.uri().contains(ELSEWHERE) { "a failover" } else { "a fork" }
                }
                ("ACK", _) => "the ACK of a 2xx",
                _ if passes(vias[0]) => "a request without state",
                _ => "another request",
            };
            *self.seen.entry(name).or_default() += 1;
        }
        let known = self.sent.entry(own).or_insert_with(|| Sent {
            asked: from.clone(),
            over,
            transport: wire.flow.transport,
            remote: wire.flow.remote,
            since: at,
            call_id: call_id.to_owned(),
            provisional: false,
            final_status: None,
            cancelled: false,
            lost: false,
        });
        // RFC 3261 §18.1.1: a large request that goes back to UDP begins anew.
        if known.transport != wire.flow.transport {
            (known.transport, known.since) = (wire.flow.transport, at);
        }
        if known.asked != from {
            return broken("two requests have one branch".into());
        }
        let is_late = known.since == at && asked.final_status.is_some();
        if is_late && method != "ACK" && !asked.stateless {
            return broken("a new branch after the final response".into());
        }
        Ok(())
    }

    /// A connection has ended for the server.
    pub(crate) fn connection_ended(&mut self, connection: ConnectionId) {
        let mut lost = false;
        for sent in self.sent.values_mut().filter(|sent| sent.over == connection) {
            sent.lost = true;
            lost |= sent.provisional && sent.final_status.is_none();
        }
        if lost {
            *self.seen.entry("a lost connection").or_default() += 1;
        }
    }

    /// CANCEL and ACK that the server makes itself (RFC 3261 §9.1, §17.1.1.3).
    fn own_request(&mut self, sip: &Sip) -> Result<(), &'static str> {
        let invite = (sip.branch().unwrap_or_default(), "INVITE".to_owned());
        let method = sip.method().to_owned();
        let Some(sent) = self.sent.get_mut(&invite) else {
            return Err("it was invented: there was no such INVITE");
        };
        if sip.get("Call-ID") != Some(&sent.call_id) {
            return Err("it is of another call than its INVITE");
        }
        match method.as_str() {
            "CANCEL" if sent.cancelled => Ok(()),
            "CANCEL" if !sent.provisional => Err("before any provisional response"),
            "CANCEL" if sent.final_status.is_some() => Err("after the final response"),
            "CANCEL" => {
                sent.cancelled = true;
                *self.seen.entry("a CANCEL").or_default() += 1;
                Ok(())
            }
            "ACK" if sent.final_status.is_some_and(|status| status >= 300) => Ok(()),
            "ACK" => Err("there was nothing to acknowledge"),
            _ => Err("it was invented: it has no Via of a phone"),
        }
    }

    fn response_out(&mut self, flow: Flow, status: u16, sip: &Sip) -> Result<(), Broken> {
        let (call_id, method) = (sip.get("Call-ID").unwrap_or_default(), sip.method());
        let broken =
            |what: &str| Err(Broken::new(call_id, format!("{status} to {method}: {what}")));
        let Some(asked) = self.asked.get_mut(&key(sip, 0)) else {
            return match self.babblers.contains(&flow.remote.ip()) {
                true => Ok(()),
                false => broken("nobody asked"),
            };
        };
        let babbler = self.babblers.contains(&flow.remote.ip()) && status >= 400;
        if let Err(what) = same_transaction(asked, flow, sip) {
            return if babbler { Ok(()) } else { broken(what) };
        }
        if let Err(what) = is_asserted(&asked.sip, sip) {
            return broken(&what);
        }
        let (is_invite, words) = (method == "INVITE", words(status, sip));
        let ours = method == "CANCEL" || matches!(method, "REGISTER" | "OPTIONS") && kept(asked);
        if matches!(status, 101..=299) && !ours {
            let heard = asked.heard.get(&words).copied().unwrap_or(0);
            let others = |said: &&Words| said.0 / 100 == 2 && **said != words;
            if is_invite && status >= 200 && asked.told.keys().any(|said| others(&said)) {
                *self.seen.entry("a second 2xx").or_default() += 1;
            }
            if is_invite && status >= 200 && asked.cancelled {
                *self.seen.entry("a 2xx after a CANCEL").or_default() += 1;
            }
            let told = asked.told.entry(words).or_default();
            *told += 1;
            if heard == 0 {
                return broken("it was invented, or changed: no phone said this");
            }
            if is_invite && status >= 200 && *told > heard {
                return broken("more often than it came");
            }
        }
        asked.tried |= status == 100;
        // What the far side says passes in the order in which it comes.
        if asked.stateless {
            return Ok(());
        }
        if status < 200 {
            return match asked.final_status.filter(|_| is_invite) {
                Some(_) => broken("after the final response"),
                None => Ok(()),
            };
        }
        let before = *asked.final_status.get_or_insert(status);
        let forked = is_invite && before < 300 && status < 300;
        // The registrar keeps no transaction: what comes again is judged anew.
        let anew = method == "REGISTER" && ours;
        if before != status && !forked && !anew && !babbler {
            return broken(&format!("after a {before}"));
        }
        let local = |asked: &Asked| {
            !asked.cancelled && !asked.heard.contains_key(&self::words(status, sip))
        };
        let asked = self.asked.get(&key(sip, 0)).filter(|asked| is_invite && local(asked));
        match asked.and_then(|asked| self.untried(asked, sip)) {
            Some(remote) => broken(&format!("{remote} was not tried")),
            None => Ok(()),
        }
    }

    /// An address that a request to the other domain could have been sent to and was not, although
    /// all others failed (RFC 3263 §4.3).
    fn untried(&self, asked: &Asked, response: &Sip) -> Option<SocketAddr> {
        if !asked.sip.uri().ends_with(ELSEWHERE) {
            return None;
        }
        let key = key(response, 0);
        let tried: Vec<&Sent> = self.sent.values().filter(|sent| sent.asked == key).collect();
        // Who answers at all has not failed, unless it is with a 503.
        let answered =
            |sent: &&&Sent| sent.provisional || sent.final_status.is_some_and(|s| s != 503);
        if tried.iter().any(|sent| answered(&sent)) {
            return None;
        }
        let first = tried.iter().map(|sent| sent.since).min()?;
        let known = self.resolved.iter().filter(|(at, _)| *at == first);
        let usable = |flow: &&Flow| !flow.remote.ip().is_loopback();
        let missing = |flows: &Vec<Flow>| {
            let used = |flow: &&Flow| tried.iter().any(|sent| sent.remote == flow.remote);
            flows.iter().filter(usable).find(|flow| !used(flow)).map(|flow| flow.remote)
        };
        // Of several answers at the same moment any may have been for this request.
        let missing: Option<Vec<SocketAddr>> = known.map(|(_, flows)| missing(flows)).collect();
        missing?.first().copied()
    }

    /// How many requests came from who may ask, and how many copies went out.
    pub(crate) fn counts(&self) -> (usize, usize) {
        // Inside of a dialog its route set speaks for who has no account any more.
        let known = |asked: &&Asked| {
            let stranger = |from: &SocketAddr| self.strangers.contains(&from.ip());
            asked.trusted || asked.sip.tag("To").is_some() && !asked.from.iter().any(stranger)
        };
        (self.asked.values().filter(known).count(), self.sent.len())
    }

    /// Since when the request is there that this answers, if it was sent on to nobody.
    pub(crate) fn was_nobody_tried(&self, response: &Sip) -> Option<Instant> {
        let key = key(response, 0);
        let tried = self.sent.values().any(|sent| sent.asked == key);
        self.asked.get(&key).filter(|asked| !tried && asked.trusted).map(|asked| asked.since)
    }

    /// What must hold when the server has had the time to end everything.
    pub(crate) fn settled(&self) -> Result<(), Broken> {
        for ((_, method), asked) in &self.asked {
            let call_id = asked.sip.get("Call-ID").unwrap_or_default();
            let has_state = asked.tried && !asked.stateless;
            if method == "INVITE" && has_state && asked.final_status.is_none() {
                return Err(Broken::new(call_id, "an INVITE that never ended"));
            }
        }
        for ((branch, method), sent) in &self.sent {
            let rings =
                sent.provisional && sent.final_status.is_none() && !sent.cancelled && !sent.lost;
            let has_state = |asked: &Asked| !asked.stateless;
            if method == "INVITE" && rings && self.asked.get(&sent.asked).is_none_or(has_state) {
                let what = format!("the branch {branch} was left ringing");
                return Err(Broken::new(&sent.call_id, what));
            }
        }
        Ok(())
    }

    /// The server starts anew: it knows nothing of what was before, and needs to know nothing of
    /// what has no state.
    pub(crate) fn forget(&mut self) {
        self.asked.retain(|_, asked| asked.stateless);
        self.sent.retain(|_, sent| self.asked.contains_key(&sent.asked));
        self.resolved.clear();
    }
}

/// Whether a Via of the server is of a request that it keeps no state of.
pub(crate) fn passes(via: &str) -> bool {
    param(via, "flow").is_some()
}

/// Whether a request was for the server itself.
pub(crate) fn kept(asked: &Asked) -> bool {
    let uri = uri_of(asked.sip.uri());
    !uri.contains('@') && !uri.contains(ELSEWHERE)
}

/// What tells the transaction of a message: the branch of its Via at this place.
pub(crate) fn key(sip: &Sip, via: usize) -> Key {
    let branch = sip.all("Via").get(via).and_then(|via| param(via, "branch"));
    (branch.unwrap_or_default(), sip.method().to_owned())
}

fn words(status: u16, sip: &Sip) -> Words {
    (status, sip.tag("To"), sip.body.clone())
}

/// What the server may not change in what it sends on.
fn same_request(asked: &Sip, sent: &Sip) -> Result<(), String> {
    for name in ["From", "To", "Call-ID", "CSeq", "Contact", "Content-Type"] {
        if asked.get(name) != sent.get(name) {
            return Err(format!("{name} was {:?}, is {:?}", asked.get(name), sent.get(name)));
        }
    }
    if asked.body != sent.body {
        return Err("the body was changed".into());
    }
    let hops = |sip: &Sip| sip.get("Max-Forwards").and_then(|n| n.trim().parse::<u32>().ok());
    // RFC 3261 §16.6 step 3: what came without one leaves with 70.
    if hops(sent) != Some(hops(asked).map_or(70, |hops| hops.saturating_sub(1))) {
        return Err(format!("Max-Forwards was {:?}, is {:?}", hops(asked), hops(sent)));
    }
    let (before, after) = (asked.all("Via"), sent.all("Via"));
    let below = after.len() == before.len() + 1 && after[2..] == before[1..];
    if !below || !same_via(before[0], after[1]) {
        return Err(format!("the Vias were {before:?}, are {after:?}"));
    }
    Ok(())
}

/// The same Via but for `received` and `rport`.
fn same_via(before: &str, after: &str) -> bool {
    before.split(';').next() == after.split(';').next()
        && param(before, "branch") == param(after, "branch")
}

/// A response goes to who asked, as it asked.
fn same_transaction(asked: &Asked, flow: Flow, sip: &Sip) -> Result<(), &'static str> {
    let (before, after) = (asked.sip.all("Via"), sip.all("Via"));
    if before.len() != after.len() || !same_via(before[0], after[0]) || before[1..] != after[1..] {
        return Err("the Vias are not those of the request");
    }
    for name in ["From", "Call-ID", "CSeq"] {
        if asked.sip.get(name) != sip.get(name) {
            return Err("it is not as the request was");
        }
    }
    let bare = |sip: &Sip| sip.get("To").map(uri_of).map(str::to_owned);
    if bare(&asked.sip) != bare(sip) {
        return Err("it has another To");
    }
    let same_port = flow.transport != Transport::Udp || asked.from.contains(&flow.remote);
    if asked.from.iter().all(|from| from.ip() != flow.remote.ip()) || !same_port {
        return Err("it goes to somebody else");
    }
    Ok(())
}
