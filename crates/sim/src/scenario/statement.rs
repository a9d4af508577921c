//! Statements: lines that change the world instead of sending something.

use crate::names::Host;
use crate::scenario::script::{Step, milliseconds};
use crate::scenario::sip::Sip;
use crate::scenario::stage::Stage;
use crate::world::{Noticed, World};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::Command;
use ringway_core::flow::Transport;
use ringway_core::identity::PeerLogin;
use ringway_core::snapshot::{Algorithm, Peer};
use ringway_core::time::Duration;
use std::net::SocketAddr;

/// Words that are no names.
const FLAGS: [&str; 7] =
    ["v6", "by-hand", "stranger", "may-register", "trust-identity", "tcp-only", "by-digest"];

impl Stage {
    /// Plays a statement.
    pub(crate) fn play_statement(&mut self, step: &Step) -> Result<(), String> {
        let argument = step.words.get(1).map(String::as_str);
        match (step.words[0].as_str(), argument) {
            ("domain", Some(domain)) => self.serve(domain, step)?,
            ("route", Some(name)) => self.route(name, step)?,
            ("account", Some(aor)) => self.account(aor, step)?,
            ("phone" | "peer", Some(name)) => drop(self.declare(name, step)?),
            ("register", Some(user)) => self.set_up_registration(user, step)?,
            ("set", _) => self.set(step)?,
            ("resolve", Some(host)) => self.resolve(host, step)?,
            ("store", _) => self.store(step)?,
            ("network", _) => self.network(step)?,
            ("close", Some(name)) => {
                let phone = self.known(name)?;
                self.hang_up_all(phone);
            }
            ("gone", Some(name)) => self.gone(name, step)?,
            ("restart", None) => {
                self.world.restart();
                self.excuse(|_| true);
            }
            ("drain", None) => {
                let retry_after_s = number(step, "retry_after")?.unwrap_or(0);
                self.world.command_all(|| Command::Drain { retry_after_s });
            }
            (word, _) => return Err(format!("`{word}` is no statement, or lacks its argument")),
        }
        Ok(())
    }

    fn known(&self, name: &str) -> Result<usize, String> {
        self.find(name).ok_or_else(|| format!("there is no phone `{name}`"))
    }

    /// Their INVITEs need no final answer any more.
    fn excuse(&mut self, who: impl Fn(usize) -> bool) {
        for (_, phone) in self.phones.iter_mut().enumerate().filter(|(at, _)| who(*at)) {
            phone.sent.iter_mut().for_each(|sent| sent.over = true);
        }
    }

    fn gone(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let phone = self.known(name)?;
        if step.option("over").is_some() {
            let transport = transport(step)?;
            self.world.close(self.phones[phone].endpoint, transport, self.phones[phone].address);
            return Ok(());
        }
        self.excuse(|at| at == phone);
        self.hang_up_all(phone);
        for transport in [Transport::Udp, Transport::Tcp] {
            self.world.close(self.phones[phone].endpoint, transport, self.phones[phone].address);
        }
        Ok(())
    }

    /// Closes the connections of a phone, whoever opened them.
    fn hang_up_all(&mut self, phone: usize) {
        let phone = &mut self.phones[phone];
        phone.connection = None;
        for connection in self.world.connections_of(phone.endpoint) {
            self.world.hang_up(connection);
        }
    }

    fn account(&mut self, aor: &str, step: &Step) -> Result<(), String> {
        let name = AddressOfRecord::from_text(aor).ok_or("an account is user@domain")?;
        let domain = String::from_utf8_lossy(name.domain()).into_owned();
        self.add_domain(&domain);
        self.add_account(aor, step.option("password"));
        if step.says("disabled")
            && let Some(account) = self.snapshot.accounts.find(&name)
        {
            let mut account = account.clone();
            account.enabled = false;
            self.snapshot.accounts.put(account);
            self.publish();
        }
        Ok(())
    }

    /// `phone NAME …` and `peer NAME …`.
    fn declare(&mut self, name: &str, step: &Step) -> Result<usize, String> {
        if self.find(name).is_some() {
            return Err(format!("there is a phone `{name}` already"));
        }
        let is_peer = step.words[0] == "peer";
        let by_digest = step.says("by-digest");
        let domain = self.default_domain();
        let aor = step.option("user").unwrap_or(name);
        let aor = if aor.contains('@') { aor.to_owned() } else { format!("{aor}@{domain}") };
        let at_home = AddressOfRecord::from_text(&aor)
            .is_some_and(|aor| self.snapshot.domains.contains(aor.domain()));
        if at_home && (!is_peer || by_digest) && !step.says("stranger") {
            self.add_account(&aor, None);
        }
        let transport = transport(step)?;
        let address = step.option("address").map(str::parse::<SocketAddr>).transpose();
        let address = address.map_err(|_| "an address is IP:PORT")?;
        let at = self.add_phone(name, &aor, (transport, address, step.says("v6")));
        let phone = &mut self.phones[at];
        phone.answers_challenges = !step.says("by-hand");
        if let Some(password) = step.option("password") {
            phone.password = password.to_owned();
        }
        if let Some(list) = step.option("algorithms") {
            phone.algorithms = list.split(',').map(str::to_owned).collect();
        }
        if is_peer {
            let ip = phone.address.ip();
            let network = (ip, if ip.is_ipv4() { 32 } else { 128 });
            let networks = Some(network).filter(|_| !by_digest).into_iter().collect();
            let account = AddressOfRecord::from_text(&aor).filter(|_| by_digest);
            let may_register = step.says("may-register");
            let trust_identity = step.says("trust-identity");
            let login = step.option("login").map(login).transpose()?;
            self.snapshot.peers.push(Peer {
                name: name.to_owned(),
                networks,
                account,
                may_register,
                trust_identity,
                address: Some(format!("sip:{}", self.phones[at].address).as_bytes().into()),
                trust_udp: !step.says("tcp-only"),
                login,
                ..Peer::default()
            });
            self.publish();
        }
        Ok(at)
    }

    /// `register USER PHONE …`: done before the clock starts; nothing of it is seen.
    fn set_up_registration(&mut self, user: &str, step: &Step) -> Result<(), String> {
        let name = step.words.get(2).filter(|word| !FLAGS.contains(&word.as_str()));
        let name = name.map_or(user, String::as_str);
        let phone = match self.find(name) {
            Some(phone) => phone,
            None => {
                let mut declaration = step.clone();
                declaration.words[0] = "phone".to_owned();
                declaration.options.insert("user".to_owned(), user.to_owned());
                self.declare(name, &declaration)?
            }
        };
        let (request, call) = self.phones[phone].register(None, step);
        let by_hand = !std::mem::replace(&mut self.phones[phone].answers_challenges, true);
        let sent = self.send(phone, None, request);
        self.phones[phone].calls[call].last_request = Some(sent);
        let now = self.world.now();
        let mut got = "no answer".to_owned();
        while let Some(notice) = self.world.step(now) {
            let Noticed::Message(flow, bytes) = notice.what else { continue };
            let message = Sip::read(&bytes).ok_or("an answer that cannot be read")?;
            self.phones[phone].take(flow, &message);
            got.clone_from(&message.first);
            if message.status() == Some(401) && !self.answer_challenge(phone, &message) {
                break;
            }
        }
        self.phones[phone].answers_challenges = !by_hand;
        let ok = got == "SIP/2.0 200 OK";
        if ok { Ok(()) } else { Err(format!("the registration ended with: {got}")) }
    }

    fn set(&mut self, step: &Step) -> Result<(), String> {
        let settings = &mut self.snapshot.settings;
        for (name, value) in &step.options {
            let number = || value.parse::<u32>().map_err(|_| format!("{name} is a number"));
            match name.as_str() {
                "ring_s" => settings.ring_s = number()?,
                "follow_redirects" => settings.follow_redirects = value == "true",
                "expires_min_s" => settings.expires_min_s = number()?,
                "expires_default_s" => settings.expires_default_s = number()?,
                "expires_max_s" => settings.expires_max_s = number()?,
                "expires_spread_percent" => settings.expires_spread_percent = number()?,
                "flow_timer_s" => settings.flow_timer_s = number()?,
                "flow_grace_s" => settings.flow_grace_s = number()?,
                "nat_ping_s" => settings.nat_ping_s = number()?,
                "service_route" => settings.service_route = number()? > 0,
                "contacts_per_aor" => settings.contacts_per_aor = number()? as usize,
                "algorithms" => settings.algorithms = algorithms(value)?,
                _ => return Err(format!("there is no setting `{name}`")),
            }
        }
        self.publish();
        Ok(())
    }

    /// `resolve HOST udp:IP:PORT … [delay=] [silent]`.
    fn resolve(&mut self, host: &str, step: &Step) -> Result<(), String> {
        let mut known = Host { silent: step.says("silent"), ..Host::default() };
        known.delay = duration(step, "delay")?.unwrap_or_default();
        for word in step.words.iter().skip(2).filter(|word| *word != "silent") {
            let place = word.split_once(':').and_then(|(transport, address)| {
                Some((Transport::from_name(transport.as_bytes())?, address.parse().ok()?))
            });
            known.places.push(place.ok_or("a place is udp:IP:PORT or tcp:IP:PORT")?);
        }
        self.world.names.hosts.insert(host.to_ascii_lowercase(), known);
        Ok(())
    }

    fn store(&mut self, step: &Step) -> Result<(), String> {
        let disk = &mut self.world.disk;
        match step.words.get(1).map(String::as_str) {
            Some("fails") => disk.failing = true,
            Some("silent") => disk.silent = true,
            Some("works") => (disk.failing, disk.silent) = (false, false),
            None => {}
            Some(other) => return Err(format!("a store is not `{other}`")),
        }
        disk.delay = duration(step, "delay")?.unwrap_or(disk.delay);
        Ok(())
    }

    /// `network [PHONE] [delay=] [cut]`.
    fn network(&mut self, step: &Step) -> Result<(), String> {
        let phone = match step.words.get(1).map(String::as_str) {
            None | Some("cut" | "works") => None,
            Some(name) => Some(self.known(name)?),
        };
        let World { network, .. } = &mut self.world;
        let endpoint = phone.map(|phone| self.phones[phone].endpoint);
        let mut conditions = endpoint.map_or(network.default, |e| network.conditions(e));
        conditions.delay = duration(step, "delay")?.unwrap_or(conditions.delay);
        let was_cut = std::mem::replace(&mut conditions.cut, step.says("cut"));
        match endpoint {
            Some(endpoint) => network.set(endpoint, conditions),
            None => network.default = conditions,
        }
        if conditions.cut || was_cut {
            self.excuse(|at| phone.is_none_or(|phone| phone == at));
        }
        Ok(())
    }
}

fn transport(step: &Step) -> Result<Transport, String> {
    match step.option("over") {
        None | Some("udp") => Ok(Transport::Udp),
        Some("tcp") => Ok(Transport::Tcp),
        Some("ws") => Ok(Transport::Ws),
        Some(other) => Err(format!("`{other}` is no transport here")),
    }
}

fn number(step: &Step, name: &str) -> Result<Option<u32>, String> {
    let value = step.option(name).map(str::parse).transpose();
    value.map_err(|_| format!("{name} is a number"))
}

fn duration(step: &Step, name: &str) -> Result<Option<Duration>, String> {
    let Some(value) = step.option(name) else { return Ok(None) };
    let ms = milliseconds(value).ok_or_else(|| format!("{name} is a time, as 20ms"))?;
    Ok(Some(Duration::from_millis(ms)))
}

/// `USER:PASSWORD@REALM`.
fn login(text: &str) -> Result<PeerLogin, String> {
    let parts = text.rsplit_once('@').and_then(|(who, realm)| Some((who.split_once(':')?, realm)));
    let ((user, password), realm) = parts.ok_or("a login is USER:PASSWORD@REALM")?;
    Ok(PeerLogin::new(user.as_bytes(), realm.as_bytes(), password.as_bytes()))
}

fn algorithms(list: &str) -> Result<Vec<Algorithm>, String> {
    let known = [Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5];
    let one = |name: &str| {
        let found = known.into_iter().find(|algorithm| algorithm.token() == name);
        found.ok_or_else(|| format!("`{name}` is no algorithm"))
    };
    list.split(',').map(one).collect()
}
