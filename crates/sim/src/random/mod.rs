//! A random world: one seed makes a server, phones, a network, and all that happens to them.
//!
//! ```text
//! seed -> life ─┬─ phones: act, client, answer, talk     ─┐
//!               ├─ fate: network, boxes, store, names, clock ─┴─> World ─> watch: every message
//!               └─ at the end all must have ended                  └─> kept: every promise
//! ```
//!
//! What must hold is checked after everything that happens; [`live`] tells the first thing that
//! does not. The same seed is the same world, to the byte.

mod answer;
mod client;
mod fate;
mod identity;
mod kept;
mod ledger;
mod names;
mod phone;
mod talk;
mod watch;

use crate::clock::Random;
use crate::disk::Flaw;
use crate::random::kept::Promises;
use crate::random::ledger::{Told, Unproved};
use crate::random::phone::{Kind, Phone, listeners};
use crate::random::watch::Watch;
use crate::scenario::ladder::{Rung, draw};
use crate::scenario::sip::{Sip, uri_of};
use crate::world::{BEGINNING, OnWire, Sabotage, World};
use ringway_core::boundary::{CallChange, Event};
use ringway_core::counters::Counters;
use ringway_core::flow::Flow;
use ringway_core::snapshot::Snapshot;
use ringway_core::time::{Duration, Instant};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

pub use watch::Broken;

/// For how long phones do things.
const ACTIVE: Duration = Duration::from_secs(70);
/// Longer than any transaction or branch can take: Timer C, what follows it, and the next group.
const SETTLING: Duration = Duration::from_secs(900);
/// Longer than a call of which nothing is heard, and than any binding.
const SILENCE: Duration = Duration::from_secs(13 * 3_600);

/// How a server is broken on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flaws {
    /// What is done to its messages.
    pub sabotage: Option<Sabotage>,
    /// What its store does wrong.
    pub store: Option<Flaw>,
    /// It takes everybody for a trusted peer.
    pub trusts_all: bool,
    /// It has a transaction for each datagram of a stranger.
    pub keeps_strangers: bool,
    /// It does not try a second address.
    pub one_address: bool,
    /// It does not tell of the end of calls.
    pub hides_ends: bool,
}

/// What a world was like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// A hash of all that happened, with times.
    pub hash: u64,
    /// How many messages reached or left the server.
    pub messages: usize,
    /// What the server counted in all its lives.
    pub counters: Counters,
    /// How often what is rare was seen.
    pub seen: BTreeMap<&'static str, u64>,
}

/// A world in which something did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// How long after the beginning.
    pub at: Duration,
    /// What did not hold.
    pub broken: Broken,
    /// The messages of the call it is about.
    pub ladder: String,
}

impl Failure {
    /// Something in the world of this seed panicked; the panic has said what.
    pub fn panicked(seed: u64) -> Self {
        let broken = Broken::new("", "a panic");
        Self { seed, at: Duration::ZERO, broken, ladder: String::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, broken, ladder } = self;
        writeln!(f, "RINGWAY_SEEDS={seed} cargo test -p ringway-sim --test seeds worlds")?;
        writeln!(f, "at {at:?}, Call-ID {:?}: {}", broken.call_id, broken.what)?;
        f.write_str(ladder)
    }
}

/// Lives through the world of a seed.
///
/// # Errors
/// The first thing that did not hold.
pub fn live(seed: u64, flaws: Flaws) -> Result<Report, Box<Failure>> {
    let mut life = Life::new(seed, flaws);
    life.pass().map_err(|broken| {
        let at = life.world.now().since(BEGINNING);
        let ladder = life.ladder(&broken.call_id);
        Box::new(Failure { seed, at, broken, ladder })
    })
}

/// The world of one seed, and who watches it.
#[derive(Debug)]
pub(crate) struct Life {
    world: World,
    random: Random,
    phones: Vec<Phone>,
    snapshot: Snapshot,
    watch: Watch,
    promises: Promises,
    pub(crate) unproved: Unproved,
    told: Told,
    counted: Option<Counters>,
    /// What it counted in the lives before.
    before: Counters,
    restarted: bool,
    clock_jumped: bool,
    draining: bool,
    /// Phones on the far side of a partition.
    parted: Vec<usize>,
    removed: Vec<String>,
    /// All messages, for the ladder.
    past: Vec<OnWire>,
    hash: DefaultHasher,
    flaws: Flaws,
}

impl Life {
    fn new(seed: u64, flaws: Flaws) -> Self {
        let mut random = Random::new(seed);
        let snapshot = fate::snapshot(&mut random);
        let mut world = World::new(listeners(), 4, snapshot.clone(), random.next());
        world.network.default = fate::conditions(&mut random);
        world.wire = Some(Vec::new());
        world.ended = Some(Vec::new());
        world.sabotage = flaws.sabotage;
        world.disk.flaw = flaws.store;
        world.names.hides_others = flaws.one_address;
        let mut life = Self {
            world,
            random,
            phones: Vec::new(),
            snapshot,
            watch: Watch::default(),
            promises: Promises::default(),
            unproved: Unproved::default(),
            told: Told::default(),
            counted: None,
            before: Counters::default(),
            restarted: false,
            clock_jumped: false,
            draining: false,
            parted: Vec::new(),
            removed: Vec::new(),
            past: Vec::new(),
            hash: DefaultHasher::new(),
            flaws,
        };
        let accounts = fate::USERS + life.random.below(4);
        for n in 0..accounts {
            // Some users have several phones, and one of them most.
            let user = if n < fate::USERS { n } else { life.random.below(2) };
            life.add_phone(format!("user{user}"), Kind::Account);
        }
        life.add_phone("user0".into(), Kind::WrongPassword);
        life.add_phone("intruder".into(), Kind::Stranger);
        life.add_phone("trunk".into(), Kind::Peer);
        life.add_phone("other-trunk".into(), Kind::Peer);
        life.publish();
        life.change_names();
        life
    }

    fn add_phone(&mut self, user: String, kind: Kind) {
        let number = self.phones.len() as u16;
        let random = Random::new(self.random.next());
        self.phones.push(Phone::new(number, (user, kind), random, &mut self.world));
    }

    fn pass(&mut self) -> Result<Report, Broken> {
        let mut lived = Duration::ZERO;
        while lived < ACTIVE {
            let pause = Duration::from_millis(500 + self.random.below(9_000));
            self.run(self.world.now() + pause)?;
            self.tables_are_bounded()?;
            lived = Duration::from_micros(lived.as_micros() + pause.as_micros());
            self.strike();
            self.look()?;
            self.promises.hold(&self.world)?;
            self.count()?;
        }
        self.calm();
        self.run(self.world.now() + SETTLING)?;
        self.promises.hold(&self.world)?;
        self.watch.settled()?;
        self.all_phones_are_done()?;
        self.nothing_is_left(false)?;
        self.run(self.world.now() + SILENCE)?;
        self.nothing_is_left(true)?;
        self.told.all_ended()?;
        self.count()?;
        self.before.add(&self.counters());
        self.watch.seen.insert("a leased refresh", self.promises.leased);
        Ok(Report {
            hash: self.hash.finish(),
            messages: self.past.len(),
            counters: self.before.clone(),
            seen: self.watch.seen.clone(),
        })
    }

    fn run(&mut self, until: Instant) -> Result<(), Broken> {
        loop {
            let more = self.world.advance(until);
            self.look()?;
            while let Some(notice) = self.world.notice() {
                let at = notice.endpoint.0 as usize;
                let Some(phone) = self.phones.get_mut(at) else { continue };
                phone.notice(&mut self.world, notice);
                if phone.babbled {
                    self.watch.babbling.insert(phone.endpoint);
                }
                if let Some((call_id, what)) = phone.complaints.pop() {
                    return Err(Broken { call_id, what });
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Looks at what has passed the server's door.
    fn look(&mut self) -> Result<(), Broken> {
        for (at, partition, event) in self.world.events.drain(..) {
            (at.as_micros(), format!("{event:?}")).hash(&mut self.hash);
            let is_end = |change: &CallChange| matches!(change, CallChange::Ended { .. });
            let is_end = matches!(&event, Event::Call { change, .. } if is_end(change));
            if !(is_end && self.flaws.hides_ends) {
                self.told.hear(partition, &event)?;
            }
        }
        self.watch.resolved.append(&mut self.world.names.answered);
        let ended = self.world.ended.as_mut().map(std::mem::take).unwrap_or_default();
        let wire = self.world.wire.as_mut().map(std::mem::take).unwrap_or_default();
        for on_wire in wire {
            let flow = format!("{:?}", on_wire.flow);
            (on_wire.at.as_micros(), flow, &on_wire.bytes).hash(&mut self.hash);
            let sip = Sip::read(&on_wire.bytes);
            let is_request = sip.as_ref().is_some_and(|sip| sip.status().is_none());
            let looked = self.watch.look(&on_wire, sip.as_ref());
            let looked = looked.and_then(|()| self.unproved.look(&on_wire, is_request));
            let (arrived, flow, endpoint) = (on_wire.arrived, on_wire.flow, on_wire.endpoint);
            self.past.push(on_wire);
            looked?;
            let Some(sip) = sip else { continue };
            let inside = endpoint.is_some_and(|endpoint| self.world.is_behind_nat(endpoint));
            if inside && !arrived && is_request && sip.method() == "INVITE" {
                *self.watch.seen.entry("a call to behind a box").or_default() += 1;
            }
            self.promises_are_of_use(arrived, &flow, &sip)?;
            if sip.method() != "REGISTER" {
                continue;
            }
            match (arrived, sip.status()) {
                (true, None) => self.promises.asked(&sip),
                (false, Some(200..=299)) => {
                    let asked = self.watch.asked.get(&watch::key(&sip, 0));
                    if let Some(asked) = asked.filter(|asked| watch::kept(asked)) {
                        self.promises.acknowledged(&self.world, asked, &sip)?;
                    }
                }
                _ => {}
            }
        }
        ended.into_iter().for_each(|connection| self.watch.connection_ended(connection));
        Ok(())
    }

    /// Who is registered is tried, and where it registered from.
    fn promises_are_of_use(&self, arrived: bool, flow: &Flow, sip: &Sip) -> Result<(), Broken> {
        let outside = sip.tag("To").is_none() && !matches!(sip.method(), "ACK" | "CANCEL");
        match (arrived, sip.status()) {
            (false, None) if outside => {
                let since = self.watch.asked.get(&watch::key(sip, 1)).map(|asked| asked.since);
                let elsewhere =
                    |since| self.promises.leads_elsewhere(&self.world, (flow, sip), since);
                if !since.is_some_and(elsewhere) {
                    return Ok(());
                }
                let what = format!("it went to {}, which is not where it registered", flow.remote);
                Err(Broken::new(sip.get("Call-ID").unwrap_or_default(), what))
            }
            (false, Some(480)) => {
                let Some(since) = self.watch.was_nobody_tried(sip) else { return Ok(()) };
                let Some(contact) = self.promises.somebody(&self.world, sip, since) else {
                    return Ok(());
                };
                let what = format!("{contact} is registered, and nobody was tried");
                Err(Broken::new(sip.get("Call-ID").unwrap_or_default(), what))
            }
            _ => Ok(()),
        }
    }

    fn counters(&self) -> Counters {
        let mut all = Counters::default();
        self.world.server().nodes().iter().for_each(|node| all.add(node.counters()));
        all
    }

    /// The counters of the server only grow.
    fn count(&mut self) -> Result<(), Broken> {
        let now = self.counters();
        if let Some(before) = &self.counted {
            let tables = |c: &Counters| {
                [&c.requests, &c.refused, &c.dropped, &c.auth_failures, &c.registrations, &c.calls]
                    .map(Clone::clone)
            };
            for (before, now) in tables(before).iter().zip(&tables(&now)) {
                let fell = before.iter().find(|(name, n)| now.get(*name) < Some(n));
                if let Some((name, _)) = fell {
                    return Err(Broken::new("", format!("the counter {name} fell")));
                }
            }
            let fell =
                |before: &[u64; 7], now: &[u64; 7]| before.iter().zip(now).any(|(b, n)| n < b);
            if fell(&before.responses_received, &now.responses_received)
                || fell(&before.responses_sent, &now.responses_sent)
            {
                return Err(Broken::new("", "a counter of responses fell"));
            }
        }
        self.counted = Some(now);
        Ok(())
    }

    /// No INVITE of a phone rings for ever.
    fn all_phones_are_done(&self) -> Result<(), Broken> {
        // What a killed server knew, and what was said to a phone that was cut off, is lost.
        let heard = |phone: &&Phone| !phone.disturbed && !self.restarted;
        for phone in self.phones.iter().filter(heard) {
            // Nobody ends a branch that has no state (RFC 3261 §16.8). Its CANCEL finds nobody
            // where the phone has left meanwhile, and the caller gives up by itself (§9.1).
            let without_state = self.watch.without_state.contains(&phone.endpoint);
            let has_state = |(invite, cancelled): &(&Sip, bool)| {
                invite.all("Via").first().is_none_or(|via| !watch::passes(via))
                    && !(*cancelled && without_state)
            };
            if let Some((invite, _)) = phone.ringing().find(has_state) {
                let call_id = invite.get("Call-ID").unwrap_or_default();
                let what = format!("it rings for ever at {}", phone.name);
                return Err(Broken::new(call_id, what));
            }
        }
        Ok(())
    }

    /// The server remembers no more than what was asked of it by who may, and what it sent.
    fn tables_are_bounded(&self) -> Result<(), Broken> {
        let mut census = self.world.census();
        if self.flaws.keeps_strangers {
            census.server_transactions += self.unproved.datagrams();
        }
        let (asked, sent) = self.watch.counts();
        let is_too_much = census.server_transactions > asked
            || census.response_contexts > asked
            || census.client_transactions > sent
            || census.open_questions > 2 * asked;
        if is_too_much {
            let what = format!("more than {asked} requests and {sent} copies need: {census:?}");
            return Err(Broken::new("", what));
        }
        Ok(())
    }

    fn nothing_is_left(&self, calls_too: bool) -> Result<(), Broken> {
        let census = self.world.census();
        let mut left = census.server_transactions
            + census.client_transactions
            + census.response_contexts
            + census.open_questions;
        if calls_too {
            left += census.calls + census.timers;
        }
        if left > 0 {
            return Err(Broken::new("", format!("something is left in the server: {census:?}")));
        }
        Ok(())
    }

    fn ladder(&self, call_id: &str) -> String {
        let name = |message: &OnWire| {
            let phone = self.phones.iter().find(|phone| Some(phone.endpoint) == message.endpoint);
            let nobody = || message.flow.remote.to_string();
            phone.map_or_else(nobody, |phone| phone.name.clone())
        };
        let about = |sip: &Sip| sip.get("Call-ID") == Some(call_id);
        let all = || self.past.iter().filter_map(|message| Sip::read(&message.bytes));
        let user = all().find(about).filter(|sip| sip.method() == "REGISTER");
        let user = user.and_then(|sip| sip.get("To").map(uri_of).map(str::to_owned));
        let rung = |message: &OnWire| {
            let sip = Sip::read(&message.bytes)?;
            // Whoever registers for the same user has a part in it.
            let same = user.is_some() && sip.get("To").map(uri_of) == user.as_deref();
            if !(about(&sip) || same && sip.method() == "REGISTER") {
                return None;
            }
            let (phone, server) = (name(message), "server".to_owned());
            let (from, to) = if message.arrived { (phone, server) } else { (server, phone) };
            let at_ms = message.at.since(BEGINNING).as_millis();
            let mut rung = Rung::new(at_ms, (&from, &to), &sip);
            rung.what = format!("{}  {}", rung.what, sip.cseq());
            if sip.method() == "REGISTER" {
                rung.what = format!("{}  {}", rung.what, sip.joined("Contact"));
            }
            Some(rung)
        };
        draw(&self.past.iter().filter_map(rung).collect::<Vec<_>>())
    }
}
