//! What must hold in every world, whatever chance does.

use crate::random::answer::Served;
use crate::random::client::Client;
use crate::random::phone::{Kind, Phone};
use crate::random::{Outcome, address};
use crate::scenario::sip::{Sip, uri_of};
use crate::world::{OnWire, World};
use ringway_core::time::{Duration, Instant};
use std::collections::{BTreeMap, BTreeSet};

/// What does not hold, and the Call-ID it concerns.
pub(super) type Broken = (String, String);

/// Watches the server's door.
#[derive(Debug, Default)]
pub(super) struct Witness {
    wire: Vec<OnWire>,
    /// Requests that arrived: Call-ID and From tag, method, CSeq number → body and Max-Forwards.
    requests: BTreeMap<(String, String, u32), (String, u32)>,
    /// Branches that arrived; no two phones have the same.
    branches: BTreeSet<String>,
    /// 2xx that arrived for INVITEs: Call-ID, CSeq number, To tag → how many.
    successes: BTreeMap<(String, u32, String), u64>,
    /// And that were sent on.
    passed: BTreeMap<(String, u32, String), u64>,
    /// Branches of INVITEs whose caller was told 2xx.
    told: BTreeSet<String>,
    /// Names of phones whose requests nobody may ever get.
    unknown: Vec<String>,
    restarts: Vec<Instant>,
    hash: u64,
}

impl Witness {
    pub(super) fn new(phones: &[Phone]) -> Self {
        let unknown = |phone: &&Phone| matches!(phone.kind, Kind::Stranger | Kind::WrongPassword);
        let unknown = phones.iter().filter(unknown).map(|phone| format!("-{}-", phone.name));
        Self { unknown: unknown.collect(), ..Self::default() }
    }

    pub(super) fn restarted(&mut self, now: Instant) {
        self.restarts.push(now);
        self.told.clear();
    }

    /// Looks at what has passed since it last looked.
    pub(super) fn look(&mut self, world: &mut World) -> Result<(), Broken> {
        let new = world.wire.as_mut().map(std::mem::take).unwrap_or_default();
        for message in new {
            self.note(&message);
            let sip = Sip::read(&message.bytes).or_else(|| half(&message.bytes));
            self.wire.push(message);
            let Some(sip) = sip else { continue };
            let call_id = sip.get("Call-ID").unwrap_or_default().to_owned();
            let arrived = self.wire.last().is_some_and(|message| message.arrived);
            let judged = match (arrived, sip.status()) {
                (true, _) => {
                    self.arrives(&sip, call_id.clone());
                    Ok(())
                }
                (false, None) => self.request_leaves(&sip, &call_id),
                (false, Some(status)) => self.response_leaves(world, &sip, (status, &call_id)),
            };
            judged.map_err(|what| (what, call_id))?;
        }
        Ok(())
    }

    /// FNV-1a over all that passes.
    fn note(&mut self, message: &OnWire) {
        let time = message.at.as_micros().to_be_bytes();
        for byte in time.iter().chain(&message.bytes) {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn arrives(&mut self, sip: &Sip, call_id: String) {
        if let Some(status) = sip.status() {
            if status / 100 == 2 && sip.method() == "INVITE" {
                let tag = sip.tag("To").unwrap_or_default();
                *self.successes.entry((call_id, sip.cseq(), tag)).or_default() += 1;
            }
            return;
        }
        if let Some(branch) = sip.branch() {
            self.branches.insert(branch);
        }
        let hops = sip.get("Max-Forwards").and_then(|v| v.parse().ok()).unwrap_or(70);
        let key = (side(sip, &call_id), sip.method().to_owned(), sip.cseq());
        self.requests.insert(key, (sip.body.clone(), hops));
    }

    /// A request that leaves is one that arrived, one hop shorter; only the ACK to a refusal and
    /// CANCEL are the server's own, and belong to an INVITE that arrived.
    fn request_leaves(&self, sip: &Sip, call_id: &str) -> Result<(), String> {
        if self.unknown.iter().any(|name| call_id.contains(name.as_str())) {
            return Err(format!("a {} of somebody unknown went on", sip.method()));
        }
        let key = |method: &str| (side(sip, call_id), method.to_owned(), sip.cseq());
        let own = ["ACK", "CANCEL"].contains(&sip.method()) && sip.all("Via").len() == 1;
        if own && self.requests.contains_key(&key("INVITE")) {
            return Ok(());
        }
        let Some((body, hops)) = self.requests.get(&key(sip.method())) else {
            return Err(format!("a {} that nobody sent", sip.method()));
        };
        if *body != sip.body {
            return Err(format!("the body of a {} was changed", sip.method()));
        }
        let left: Option<u32> = sip.get("Max-Forwards").and_then(|v| v.parse().ok());
        if left != Some(hops - 1) {
            return Err(format!("Max-Forwards is {left:?} after {hops}"));
        }
        if sip
            .get("Proxy-Authorization")
            .is_some_and(|value| value.contains("realm=\"example.org\""))
        {
            return Err("credentials for us went on".into());
        }
        Ok(())
    }

    fn response_leaves(
        &mut self,
        world: &World,
        sip: &Sip,
        (status, call_id): (u16, &str),
    ) -> Result<(), String> {
        let branch = sip.branch().unwrap_or_default();
        if !self.branches.contains(&branch) {
            return Err(format!("a {status} to what nobody asked"));
        }
        match (sip.method(), status) {
            ("REGISTER", 200) => Self::kept(world, sip),
            ("INVITE", 200..=299) => {
                self.told.insert(branch);
                let key = (call_id.to_owned(), sip.cseq(), sip.tag("To").unwrap_or_default());
                let passed = self.passed.entry(key.clone()).or_default();
                *passed += 1;
                if *passed > self.successes.get(&key).copied().unwrap_or(0) {
                    return Err("a 2xx that nobody sent, or sent less often".into());
                }
                Ok(())
            }
            ("INVITE", 300..) if self.told.contains(&branch) => {
                Err(format!("a {status} after a 2xx"))
            }
            _ => Ok(()),
        }
    }

    /// What a 200 to a REGISTER shows is on disk.
    fn kept(world: &World, sip: &Sip) -> Result<(), String> {
        let to = uri_of(sip.get("To").unwrap_or_default());
        let user = to.trim_start_matches("sip:").split('@').next().unwrap_or_default();
        let aor = address(user);
        for contact in sip.all("Contact") {
            let uri = uri_of(contact);
            let there = world
                .disk
                .bindings()
                .any(|(owner, binding)| *owner == aor && *binding.contact == *uri.as_bytes());
            if !there {
                return Err(format!("{uri} was acknowledged and is not kept"));
            }
        }
        Ok(())
    }

    /// What must hold when all has come to rest.
    pub(super) fn end(&self, world: &World, phones: &[Phone]) -> Result<(), Broken> {
        let census = world.census();
        let left = census.server_transactions
            + census.client_transactions
            + census.response_contexts
            + census.open_questions;
        if left > 0 {
            return Err((format!("something is left: {census:?}"), String::new()));
        }
        for phone in phones {
            let waits = |client: &&Client| {
                client.waits() && self.must_end((client.begun, Duration::ZERO), phone)
            };
            if let Some(client) = phone.clients.values().find(waits) {
                let request = &client.request;
                let call_id = request.get("Call-ID").unwrap_or_default().to_owned();
                return Err((format!("{} waits for ever: {}", phone.name, request.first), call_id));
            }
        }
        for phone in phones {
            // It may have been out of reach for as long as an INVITE is repeated.
            let lately = Duration::from_secs(33);
            let rings =
                |served: &&Served| served.rings() && self.must_end((served.begun, lately), phone);
            if let Some(served) = phone.served.values().find(rings) {
                let call_id = served.request.get("Call-ID").unwrap_or_default().to_owned();
                return Err((format!("{} rings for ever", phone.name), call_id));
            }
        }
        everything_shown_is_kept(world)
    }

    /// Whether nobody but the server can be blamed that a request found no end.
    fn must_end(&self, (begun, lately): (Instant, Duration), phone: &Phone) -> bool {
        let before = |at: &Instant| *at + lately < begun;
        self.restarts.iter().all(before) && phone.away.iter().all(before)
    }

    pub(super) fn outcome(&self) -> Outcome {
        let (messages, answered) = (self.wire.len() as u64, self.passed.len() as u64);
        Outcome { hash: self.hash, messages, answered, restarts: 0 }
    }

    /// What passed last, as it was.
    pub(super) fn last(&self) -> String {
        let last = self.wire.iter().rev().take(2);
        last.map(|message| format!("{message:?}\n{}\n", String::from_utf8_lossy(&message.bytes)))
            .collect()
    }

    /// All that passed of one call.
    pub(super) fn of_call(&self, call_id: &str) -> impl Iterator<Item = &OnWire> {
        let of_call = move |message: &&OnWire| {
            let sip = Sip::read(&message.bytes);
            !call_id.is_empty() && sip.is_some_and(|sip| sip.get("Call-ID") == Some(call_id))
        };
        self.wire.iter().filter(of_call)
    }
}

/// The side of a dialog that a request comes from: each counts its CSeq for itself.
fn side(sip: &Sip, call_id: &str) -> String {
    format!("{call_id} {}", sip.tag("From").unwrap_or_default())
}

/// A message that ends before its head does: it may be answered, too.
fn half(bytes: &[u8]) -> Option<Sip> {
    let whole = |bytes: &[u8]| Sip::read(&[bytes, b"\r\n\r\n"].concat());
    let line = bytes.windows(2).rposition(|pair| pair == b"\r\n")?;
    whole(bytes).or_else(|| whole(&bytes[..line]))
}

/// Every binding that the server would use is one that a restart would find.
fn everything_shown_is_kept(world: &World) -> Result<(), Broken> {
    for node in world.server().nodes() {
        for (aor, bindings) in node.bindings() {
            for binding in bindings.iter().filter(|binding| binding.expires > world.now()) {
                let kept = world.disk.bindings().any(|(owner, kept)| {
                    owner == aor
                        && kept.contact == binding.contact
                        && kept.expires == binding.expires
                });
                if !kept {
                    let what = format!("a binding of {aor} would be lost");
                    return Err((what, String::from_utf8_lossy(&binding.call_id).into_owned()));
                }
            }
        }
    }
    Ok(())
}
