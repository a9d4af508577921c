//! What happens to a world without anybody's will: the network, the store and the name service
//! get worse and better, the server is killed, accounts change.

use crate::clock::Random;
use crate::names::Told;
use crate::net::Conditions;
use crate::random::Life;
use crate::random::names;
use crate::random::phone::{DOMAIN, Kind};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{Command, Write};
use ringway_core::route::rules::{Action, Route, Service};
use ringway_core::snapshot::{Algorithm, Peer, Snapshot};
use ringway_core::time::Duration;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The users that have an account.
pub(crate) const USERS: u64 = 4;
/// The password of all accounts.
const PASSWORD: &[u8] = b"a-good-password";

/// The address-of-record of a user.
pub(crate) fn aor(user: &str) -> Option<AddressOfRecord> {
    AddressOfRecord::new(user.as_bytes(), DOMAIN.as_bytes())
}

/// An account with the usual password.
fn account(user: &str, enabled: bool) -> Option<Account> {
    let aor = aor(user)?;
    let ha1 = Ha1::from_password(aor.user(), aor.domain(), PASSWORD);
    Some(Account { aor, ha1, display_name: String::new(), enabled })
}

/// What the server knows at first.
pub(crate) fn snapshot(random: &mut Random) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let domain: Box<[u8]> = DOMAIN.as_bytes().into();
    snapshot.domains.insert(domain.clone());
    snapshot.default_domain = Some(domain);
    snapshot.settings.ring_s = 8;
    // Who watches takes every request that no phone sent for invented.
    snapshot.settings.nat_ping_s = 0;
    snapshot.settings.expires_min_s = 5;
    if random.permille(500) {
        snapshot.settings.algorithms = [Algorithm::Sha256, Algorithm::Md5].into();
    }
    // What trunks send passes without state.
    if random.permille(200) {
        snapshot.services.insert(DOMAIN.as_bytes().into(), Service::Stateless);
        snapshot.routes.push(Route {
            name: "onward".into(),
            domain: None,
            prefix: Box::default(),
            methods: Vec::new(),
            action: Action::Onward,
            stateless: true,
        });
    }
    for n in 0..USERS {
        account(&format!("user{n}"), true).into_iter().for_each(|a| snapshot.accounts.put(a));
    }
    snapshot
}

/// Conditions of a network that is as good or bad as chance wants.
pub(crate) fn conditions(random: &mut Random) -> Conditions {
    let rough = random.permille(700);
    let up_to = |random: &mut Random, most: u64| if rough { random.below(most) } else { 0 };
    Conditions {
        delay: Duration::from_millis(up_to(random, 80)),
        jitter: Duration::from_millis(up_to(random, 150)),
        loss: up_to(random, 200) as u32,
        duplicates: up_to(random, 100) as u32,
        pieces: up_to(random, 1_000) as u32,
        cut: false,
    }
}

impl Life {
    /// One blow of fate.
    pub(crate) fn strike(&mut self) {
        self.heal();
        if std::mem::take(&mut self.draining) {
            return self.restart();
        }
        match self.random.below(100) {
            0..10 => self.restart(),
            10..15 => self.reboot_nat(),
            15..20 => self.part(),
            20..30 => self.change_network(),
            30..55 => self.change_store(),
            55..70 => self.change_names(),
            70..82 => self.change_account(),
            82..86 => self.forget_account(),
            86..89 => self.drain(),
            _ => self.change_settings(),
        }
    }

    fn restart(&mut self) {
        self.before.add(&self.counters());
        self.counted = None;
        match self.random.below(4) {
            0 => self.restart_after_a_clock_jump(),
            _ => self.world.restart(),
        }
        let longest = u64::from(self.snapshot.settings.expires_max_s);
        let longest = self.world.now() + Duration::from_secs(longest);
        self.promises.restarted(&self.world, longest);
        if self.clock_jumped {
            self.promises.clock_was_set(&self.world, longest);
        }
        self.watch.forget();
        self.told.forget();
        self.restarted = true;
        // It reads accounts anew.
        self.world.use_snapshot(self.snapshot.clone());
    }

    /// By an hour, a day or ten years, forwards or backwards (D7, K4).
    fn restart_after_a_clock_jump(&mut self) {
        let by = [3_600, 86_400, 315_000_000][self.random.below(3) as usize];
        let by = if self.random.permille(500) { by } else { -by };
        self.promises.forget_ended(self.world.now());
        self.world.restart_after_a_clock_jump(by);
        self.clock_jumped = true;
        *self.watch.seen.entry("a clock jump").or_default() += 1;
    }

    /// A box before a phone loses its power, and has another address afterwards.
    fn reboot_nat(&mut self) {
        let at = self.random.below(self.phones.len() as u64) as usize;
        let moves = self.random.permille(500);
        let public = Ipv4Addr::new(198, 51, 100, 11 + at as u8).into();
        if self.world.is_behind_nat(self.phones[at].endpoint) {
            self.phones[at].disturbed = true;
            self.world.reboot_nat(self.phones[at].endpoint, moves.then_some(public));
        }
    }

    /// Half of the phones do not reach the server for a while, and it does not reach them.
    fn part(&mut self) {
        for at in 0..self.phones.len() {
            if self.random.permille(500) {
                self.phones[at].disturbed = true;
                self.cut(at, true);
                self.parted.push(at);
            }
        }
        *self.watch.seen.entry("a partition").or_default() += 1;
    }

    fn heal(&mut self) {
        for at in std::mem::take(&mut self.parted) {
            self.cut(at, false);
        }
    }

    fn cut(&mut self, phone: usize, cut: bool) {
        let endpoint = self.phones[phone].endpoint;
        let mut conditions = self.world.network.conditions(endpoint);
        conditions.cut = cut;
        self.world.network.set(endpoint, conditions);
    }

    /// A phone is cut off for a while, or has another network.
    fn change_network(&mut self) {
        let at = self.random.below(self.phones.len() as u64) as usize;
        let endpoint = self.phones[at].endpoint;
        self.phones[at].disturbed = true;
        let mut conditions = conditions(&mut self.random);
        conditions.cut = self.random.permille(500);
        self.world.network.set(endpoint, conditions);
    }

    fn change_store(&mut self) {
        let kind = self.random.below(10);
        self.world.disk.failing = kind == 0;
        self.world.disk.silent = kind == 1;
        let slow = if kind == 2 { 7_000 } else { 60 };
        self.world.disk.delay = Duration::from_millis(self.random.below(slow));
    }

    /// The zone of the other domain: records of every kind, good ones and bad ones.
    pub(crate) fn change_names(&mut self) {
        let peers = self.phones.iter().filter(|phone| phone.kind == Kind::Peer);
        let mut places: Vec<SocketAddr> = peers.map(|phone| phone.address).collect();
        // Nobody is there.
        places.extend([251, 252].map(|n| SocketAddr::from(([198, 51, 100, n], 5_060))));
        // Nobody may be sent there.
        places.push(SocketAddr::from(([127, 0, 0, 1], 5_060)));
        let delay = match self.random.below(8) {
            0 => 7_000,
            _ => self.random.below(400),
        };
        let silent = self.random.permille(80);
        let zone = names::zone(&mut self.random, &places);
        let told = |records| Told { records, delay: Duration::from_millis(delay), silent };
        let zone = zone.into_iter().map(|(query, records)| (query, told(records)));
        self.world.names.zone = zone.collect();
    }

    fn change_account(&mut self) {
        let user = format!("user{}", self.random.below(USERS));
        let enabled = self.random.permille(850);
        account(&user, enabled).into_iter().for_each(|a| self.snapshot.accounts.put(a));
        self.publish();
    }

    /// The administrator removes an account, to make it again later.
    fn forget_account(&mut self) {
        let user = format!("user{}", self.random.below(USERS));
        let Some(aor) = aor(&user).filter(|_| self.world.has_committed()) else { return };
        // As the program does it: first the store has it, then nobody registers any more.
        self.world.disk.keep(vec![Write::DropAccount(aor.clone())]);
        self.snapshot.accounts.remove(&aor);
        self.publish();
        self.world.command_all(|| Command::Forget(aor.clone()));
        self.promises.forget(&format!("{user}@{DOMAIN}"));
        self.removed.push(user);
    }

    /// A graceful stop; what comes next is a restart.
    fn drain(&mut self) {
        self.draining = true;
        self.world.command_all(|| Command::Drain { retry_after_s: 5 });
    }

    fn change_settings(&mut self) {
        let settings = &mut self.snapshot.settings;
        settings.contacts_per_aor = 1 + self.random.below(4) as usize;
        settings.ring_s = 2 + self.random.below(20) as u32;
        for user in std::mem::take(&mut self.removed) {
            account(&user, true).into_iter().for_each(|a| self.snapshot.accounts.put(a));
        }
        self.publish();
    }

    /// Tells the server, and the watch, who may do what.
    pub(crate) fn publish(&mut self) {
        self.watch.trusted.clear();
        let mut networks = Vec::new();
        for phone in &self.phones {
            let ip = phone.address.ip();
            let known = aor(&phone.user).and_then(|aor| self.snapshot.accounts.find(&aor));
            let trusted = match phone.kind {
                Kind::Account => known.is_some_and(|account| account.enabled),
                Kind::WrongPassword | Kind::Stranger => {
                    self.unproved.strangers.insert(ip);
                    self.watch.strangers.insert(ip);
                    false
                }
                Kind::Peer => {
                    if !self.snapshot.routes.is_empty() {
                        self.watch.without_state.insert(phone.endpoint);
                    }
                    networks.push((ip, if ip.is_ipv4() { 32 } else { 128 }));
                    true
                }
            };
            if trusted {
                self.watch.trusted.insert(phone.endpoint);
            }
        }
        if self.flaws.trusts_all {
            networks.extend([(Ipv4Addr::UNSPECIFIED.into(), 0), (Ipv6Addr::UNSPECIFIED.into(), 0)]);
        }
        self.snapshot.peers = vec![Peer {
            name: "peer".into(),
            networks,
            may_register: false,
            trust_udp: true,
            ..Peer::default()
        }];
        self.world.use_snapshot(self.snapshot.clone());
    }

    /// Everything works again, so that all can end.
    pub(crate) fn calm(&mut self) {
        self.world.disk.failing = false;
        self.world.disk.silent = false;
        self.world.disk.delay = Duration::from_millis(5);
        self.change_names();
        for at in 0..self.phones.len() {
            self.phones[at].quiet = true;
            self.cut(at, false);
        }
    }
}
