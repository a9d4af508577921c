//! A random world: phones that do as chance says, a network that loses, and a server that is
//! killed in between. All of it follows from one seed.
//!
//! ```text
//! seed -> Play ─┬─ phones (act, call, cancel, vanish)
//!               ├─ trouble (loss, restarts, a store that is slow, failing or silent)
//!               └─ witness: what must hold after each step, and at the end
//! ```

mod phone;
mod client;
mod answer;
mod talk;
mod witness;

use crate::clock::Random;
use crate::names::Host;
use crate::net::Conditions;
use crate::scenario::ladder::{Rung, draw};
use crate::scenario::sip::Sip;
use crate::world::{BEGINNING, Notice, Sabotage, World};
use phone::{DOMAIN, ELSEWHERE, Kind, Phone};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{Answer, Command, Write};
use ringway_core::flow::Transport;
use ringway_core::snapshot::{Peer, Snapshot};
use ringway_core::time::{Duration, Instant};
use std::fmt;
use witness::Witness;

/// How long phones do things.
const ACTIVE: Duration = Duration::from_secs(60);
/// How long they are left alone after that: Timer C, and what follows from it.
const SETTLING: Duration = Duration::from_secs(400);
const PARTITIONS: u32 = 4;

/// What is broken on purpose, to try the witness.
#[derive(Clone, Copy, Default, Debug)]
pub struct Breakage {
    /// Done to each message that the server sends.
    pub sabotage: Option<Sabotage>,
    /// The store says that it keeps what it does not.
    pub lying: bool,
}

/// What came of a world in which all held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// A hash of all that passed the server's door: the same for the same seed.
    pub hash: u64,
    /// Messages that passed it.
    pub messages: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Restarts of the server.
    pub restarts: u64,
}

/// Something that must hold did not.
#[derive(Clone, Debug)]
pub struct Violation {
    /// In which world.
    pub seed: u64,
    /// When, since the beginning.
    pub at: Duration,
    /// What.
    pub what: String,
    /// What passed the server's door of the call concerned.
    pub ladder: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what, ladder } = self;
        writeln!(f, "{what}, {} ms after the beginning\n{ladder}", at.as_micros() / 1_000)?;
        write!(f, "RINGWAY_SEEDS={seed} cargo test -p ringway-sim --test seeds")
    }
}

/// Plays the world of a seed.
///
/// # Errors
/// The first thing that did not hold.
pub fn play(seed: u64, breakage: Breakage) -> Result<Outcome, Box<Violation>> {
    let mut play = Play::new(seed, breakage);
    let end = BEGINNING + ACTIVE;
    play.go_on(end)?;
    play.calm_down();
    play.go_on(end + SETTLING)?;
    play.finish()
}

struct Play {
    seed: u64,
    random: Random,
    world: World,
    phones: Vec<Phone>,
    witness: Witness,
    trouble: Instant,
    calm: bool,
    restarts: u64,
}

impl Play {
    fn new(seed: u64, breakage: Breakage) -> Self {
        let mut random = Random::new(seed ^ 0x5eed);
        let snapshot = snapshot(&[]);
        let mut world = World::new(phone::listeners(), PARTITIONS, snapshot, seed);
        world.wire = Some(Vec::new());
        world.sabotage = breakage.sabotage;
        world.disk.lying = breakage.lying;
        let milliseconds = Duration::from_millis;
        world.network.default = Conditions {
            delay: milliseconds(random.below(40)),
            jitter: milliseconds([0, 20, 200][random.below(3) as usize]),
            loss: [0, 20, 120][random.below(3) as usize],
            duplicates: [0, 20, 100][random.below(3) as usize],
            cut: false,
        };
        let who = [
            ("anna", Kind::Account),
            ("anna", Kind::Account),
            ("bert", Kind::Account),
            ("bert", Kind::Account),
            ("cleo", Kind::Account),
            ("bert", Kind::WrongPassword),
            ("eve", Kind::Stranger),
            ("carl", Kind::Peer),
        ];
        let phones: Vec<Phone> = (0..)
            .zip(who)
            .map(|(n, who)| Phone::new(n, who, Random::new(random.next()), &mut world))
            .collect();
        let peer = phones[PEER].address;
        world.use_snapshot(self::snapshot(&[peer.ip()]));
        let places = vec![(Transport::Udp, peer), (Transport::Tcp, peer)];
        let host = Host { places, delay: milliseconds(random.below(300)), silent: false };
        world.names.hosts.insert(ELSEWHERE.into(), host);
        let witness = Witness::new(&phones);
        let trouble = BEGINNING + Duration::from_secs(3);
        Self { seed, random, world, phones, witness, trouble, calm: false, restarts: 0 }
    }

    /// Lets the world go on, and watches it.
    fn go_on(&mut self, until: Instant) -> Result<(), Box<Violation>> {
        loop {
            if !self.calm && self.world.now() >= self.trouble {
                self.make_trouble();
            }
            let went_on = self.world.advance(until);
            while let Some(notice) = self.world.notice() {
                self.tell(notice);
            }
            let seen = self.witness.look(&mut self.world);
            seen.map_err(|(what, call_id)| self.violation(what, &call_id))?;
            let complaint = self.phones.iter_mut().find_map(|phone| phone.complaints.pop());
            if let Some((call_id, what)) = complaint {
                return Err(self.violation(what, &call_id));
            }
            if !went_on {
                return Ok(());
            }
        }
    }

    fn tell(&mut self, notice: Notice) {
        let at = self.phones.iter().position(|phone| phone.endpoint == notice.endpoint);
        if let Some(at) = at {
            self.phones[at].notice(&mut self.world, notice);
        }
    }

    /// What goes wrong, or right again.
    fn make_trouble(&mut self) {
        self.trouble = self.world.now() + Duration::from_millis(500 + self.random.below(6_000));
        match self.random.below(12) {
            0 if self.restarts < 2 => {
                self.restarts += 1;
                self.witness.restarted(self.world.now());
                self.world.restart();
            }
            1 => self.world.disk.delay = Duration::from_millis(self.random.below(300)),
            2 => self.world.disk.failing = self.random.permille(500),
            3 => self.world.disk.silent = self.random.permille(300),
            4 | 5 => {
                let which = self.random.below(self.phones.len() as u64) as usize;
                let cut = self.random.permille(500);
                let endpoint = self.phones[which].endpoint;
                let conditions = Conditions { cut, ..self.world.network.default };
                let now = self.world.now();
                self.phones[which].away.push(now);
                self.world.network.set(endpoint, conditions);
            }
            6 => {
                let aor = address(["anna", "cleo"][self.random.below(2) as usize]);
                let gone = self.world.disk.commit(vec![Write::DropAccount(aor.clone())]);
                if matches!(gone, Answer::Kept(_)) {
                    self.world.command_all(|| Command::Forget(aor.clone()));
                }
            }
            7 => {
                if let Some(host) = self.world.names.hosts.get_mut(ELSEWHERE) {
                    host.silent = self.random.permille(400);
                }
            }
            _ => {
                (self.world.disk.failing, self.world.disk.silent) = (false, false);
            }
        }
    }

    /// From now on nothing new begins, and nothing goes wrong.
    fn calm_down(&mut self) {
        self.calm = true;
        (self.world.disk.failing, self.world.disk.silent) = (false, false);
        self.world.disk.delay = Duration::ZERO;
        if let Some(host) = self.world.names.hosts.get_mut(ELSEWHERE) {
            host.silent = false;
        }
        let conditions = self.world.network.default;
        for phone in &mut self.phones {
            if self.world.network.conditions(phone.endpoint).cut {
                phone.away.push(self.world.now());
            }
            self.world.network.set(phone.endpoint, conditions);
            phone.quiet = true;
        }
    }

    fn finish(self) -> Result<Outcome, Box<Violation>> {
        let ended = self.witness.end(&self.world, &self.phones);
        ended.map_err(|(what, call_id)| self.violation(what, &call_id))?;
        Ok(Outcome { restarts: self.restarts, ..self.witness.outcome() })
    }

    fn violation(&self, what: String, call_id: &str) -> Box<Violation> {
        let at = self.world.now().since(BEGINNING);
        let rungs: Vec<Rung> = self
            .witness
            .of_call(call_id)
            .filter_map(|message| {
                let at_ms = message.at.since(BEGINNING).as_micros() / 1_000;
                let phone = self.name_of(message.flow.remote.ip());
                let way = if message.arrived { (phone, "proxy") } else { ("proxy", phone) };
                Some(Rung::new(at_ms, way, &Sip::read(&message.bytes)?))
            })
            .collect();
        let ladder = if rungs.is_empty() { self.witness.last() } else { draw(&rungs) };
        Box::new(Violation { seed: self.seed, at, what, ladder })
    }
}

impl Play {
    fn name_of(&self, ip: std::net::IpAddr) -> &str {
        let phone = self.phones.iter().find(|phone| phone.address.ip() == ip);
        phone.map_or("nobody", |phone| phone.name.as_str())
    }
}

/// Which of the phones is the trusted server.
const PEER: usize = 7;

fn address(user: &str) -> AddressOfRecord {
    AddressOfRecord::new(user.as_bytes(), DOMAIN.as_bytes()).expect("a user and a domain")
}

fn snapshot(peers: &[std::net::IpAddr]) -> Snapshot {
    let mut snapshot = Snapshot {
        domains: [DOMAIN.as_bytes().into()].into(),
        default_domain: Some(DOMAIN.as_bytes().into()),
        ..Snapshot::default()
    };
    snapshot.settings.ring_s = 20;
    for user in ["anna", "bert", "cleo"] {
        let ha1 = Ha1::from_password(user.as_bytes(), DOMAIN.as_bytes(), b"a-good-password");
        let (aor, display_name) = (address(user), String::new());
        snapshot.accounts.put(Account { aor, ha1, display_name, enabled: true });
    }
    let host = |ip: &std::net::IpAddr| (*ip, if ip.is_ipv4() { 32 } else { 128 });
    let networks = peers.iter().map(host).collect();
    snapshot.peers.push(Peer { name: "peer".into(), networks, may_register: false });
    snapshot
}
