//! The world of one scenario with its phones.

use crate::scenario::phone::{Phone, Sent};
use crate::scenario::script::{Script, Step};
use crate::scenario::sip::Sip;
use crate::world::{BEGINNING, EndpointId, World};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::{Flow, Listener, SocketId, Transport};
use ringway_core::snapshot::Snapshot;
use ringway_core::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the server listens, over UDP and TCP.
pub(crate) const PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060);
/// The same for IPv6.
pub(crate) const PROXY6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 5060);

/// Where it listens for browsers.
const WEB_PORT: u16 = 80;
/// The partitions of the server.
const PARTITIONS: u32 = 4;
/// What the passwords are that nobody chose.
pub(crate) const PASSWORD: &str = "a-good-password";

/// The world, its phones, and what the server knows of accounts.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) phones: Vec<Phone>,
    pub(crate) snapshot: Snapshot,
}

impl Stage {
    /// A server that knows no domain, and nobody else.
    pub(crate) fn new() -> Self {
        let listen = |transport, local| Listener { transport, local, advertised: None };
        let both = [PROXY, PROXY6].into_iter();
        let usual = both.clone().flat_map(|at| [Transport::Udp, Transport::Tcp].map(|t| (t, at)));
        let web = both.map(|at| (Transport::Ws, SocketAddr::new(at.ip(), WEB_PORT)));
        let listeners = usual.chain(web).map(|(transport, at)| listen(transport, at)).collect();
        let mut snapshot = Snapshot::default();
        snapshot.settings.expires_spread_percent = 0;
        snapshot.settings.nat_ping_s = 0;
        snapshot.settings.flow_grace_s = 3_600;
        let world = World::new(listeners, PARTITIONS, snapshot.clone(), 1);
        Self { world, phones: Vec::new(), snapshot }
    }

    /// Milliseconds since the beginning.
    pub(crate) fn ms(&self) -> u64 {
        self.world.now().since(BEGINNING).as_millis()
    }

    /// The moment so many milliseconds after the beginning.
    pub(crate) fn at(ms: u64) -> Instant {
        BEGINNING + Duration::from_millis(ms)
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.phones.iter().position(|phone| phone.name == name)
    }

    pub(crate) fn by_endpoint(&self, endpoint: EndpointId) -> Option<usize> {
        self.phones.iter().position(|phone| phone.endpoint == endpoint)
    }

    /// The phone of this name; one that nobody spoke of yet is made, for the account of its name.
    pub(crate) fn phone(&mut self, name: &str) -> usize {
        match self.find(name) {
            Some(at) => at,
            None => {
                let domain = self.default_domain();
                self.add_account(&format!("{name}@{domain}"), None);
                self.add_phone(name, &format!("{name}@{domain}"), (Transport::Udp, None, false))
            }
        }
    }

    pub(crate) fn add_phone(
        &mut self,
        name: &str,
        aor: &str,
        (transport, address, v6): (Transport, Option<SocketAddr>, bool),
    ) -> usize {
        let number = 11 + self.phones.len() as u16;
        let address = address.unwrap_or_else(|| {
            let ip: IpAddr = if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number).into()
            } else {
                Ipv4Addr::new(192, 0, 2, number as u8).into()
            };
            SocketAddr::new(ip, 5060)
        });
        let mut proxy = if address.is_ipv4() { PROXY } else { PROXY6 };
        if transport == Transport::Ws {
            proxy.set_port(WEB_PORT);
        }
        let is_mine = |l: &Listener| l.transport == transport && l.local == proxy;
        let socket = self.world.server().listeners().iter().position(is_mine).unwrap_or(0);
        let endpoint = self.world.endpoint();
        // Nobody calls a browser.
        let reached = [Transport::Udp, Transport::Tcp].into_iter();
        for reached in reached.filter(|_| transport.may_be_opened()) {
            self.world.open(endpoint, reached, address);
        }
        self.phones.push(Phone {
            name: name.to_owned(),
            endpoint,
            transport,
            address,
            socket: SocketId(socket as u16),
            proxy,
            connection: None,
            aor: aor.to_owned(),
            password: PASSWORD.to_owned(),
            algorithms: Vec::new(),
            answers_challenges: true,
            challenge: None,
            calls: Vec::new(),
            current: 0,
            sent: Vec::new(),
            received: Vec::new(),
            made: 0,
        });
        self.phones.len() - 1
    }

    /// Makes the domain that names without one belong to: the first one that the script names.
    pub(crate) fn default_domain_of(&mut self, script: &Script) {
        let names = |step: &Step| (step.words[0] == "domain").then(|| step.words.get(1).cloned());
        match script.before.iter().find_map(names).flatten() {
            Some(domain) => self.add_domain(&domain),
            None => drop(self.default_domain()),
        }
    }

    /// The first domain; `example.org` where none was named.
    pub(crate) fn default_domain(&mut self) -> String {
        let none = self.snapshot.default_domain.is_none();
        if none {
            self.add_domain("example.org");
        }
        let domain = self.snapshot.default_domain.as_deref().unwrap_or_default();
        String::from_utf8_lossy(domain).into_owned()
    }

    pub(crate) fn add_domain(&mut self, domain: &str) {
        let domain: Box<[u8]> = domain.as_bytes().into();
        self.snapshot.default_domain.get_or_insert_with(|| domain.clone());
        self.snapshot.domains.insert(domain);
        self.publish();
    }

    /// Adds an account that is not there yet, or changes its password.
    pub(crate) fn add_account(&mut self, aor: &str, password: Option<&str>) {
        let Some(aor) = AddressOfRecord::from_text(aor) else { return };
        if password.is_none() && self.snapshot.accounts.find(&aor).is_some() {
            return;
        }
        let password = password.unwrap_or(PASSWORD).as_bytes();
        let ha1 = Ha1::from_password(aor.user(), aor.domain(), password);
        let display_name = String::new();
        self.snapshot.accounts.put(Account { aor, ha1, display_name, enabled: true });
        self.publish();
    }

    /// Gives the server what it shall know.
    pub(crate) fn publish(&mut self) {
        self.world.use_snapshot(self.snapshot.clone());
    }

    /// Sends bytes as a phone, on this flow or on its own way to the server.
    pub(crate) fn transmit(&mut self, phone: usize, flow: Option<Flow>, bytes: &[u8]) {
        let Self { world, phones, .. } = self;
        let phone = &mut phones[phone];
        let (transport, socket) =
            flow.map_or((phone.transport, phone.socket), |flow| (flow.transport, flow.socket));
        if transport == Transport::Udp {
            return world.send_datagram(phone.endpoint, phone.address, socket, bytes);
        }
        let open = |world: &mut World, id| world.send_stream(id, bytes);
        if flow.is_some_and(|flow| open(world, flow.connection)) {
            return;
        }
        if phone.connection.is_some_and(|id| open(world, id)) {
            return;
        }
        phone.made += 1;
        let port = 49_152 + phone.made as u16;
        let from = SocketAddr::new(phone.address.ip(), port);
        let flow = world.connect(phone.endpoint, from, phone.socket);
        phone.connection = Some(flow.connection);
        world.send_stream(flow.connection, bytes);
    }

    /// Sends a message as a phone and remembers it.
    pub(crate) fn send(&mut self, phone: usize, flow: Option<Flow>, message: Sip) -> usize {
        let bytes = message.to_bytes();
        self.transmit(phone, flow, &bytes);
        let phone = &mut self.phones[phone];
        phone.sent.push(Sent { message, bytes, flow, over: false });
        phone.sent.len() - 1
    }

    /// Puts values in place of `{…}`.
    pub(crate) fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("a `{` without `}`")?;
            filled.push_str(before);
            filled.push_str(&self.value(name)?);
            rest = after;
        }
        Ok(filled + rest)
    }

    fn value(&self, name: &str) -> Result<String, String> {
        let unknown = || format!("nothing is known as {{{name}}}");
        let (who, what) = name.split_once('.').unwrap_or((name, ""));
        let phone = match (who, what) {
            ("proxy", "") => return Ok(PROXY.to_string()),
            ("proxy6", "") => return Ok(PROXY6.to_string()),
            _ => &self.phones[self.find(who).ok_or_else(unknown)?],
        };
        let header = |message: Option<&Sip>, header: &str| {
            let message = message.ok_or_else(unknown)?;
            let Some((name, nth)) = header.split_once('.') else {
                return Ok(message.joined(header));
            };
            let nth = nth.parse::<usize>().ok().and_then(|nth| nth.checked_sub(1));
            let value = nth.and_then(|nth| message.all(name).get(nth).copied());
            value.map(str::to_owned).ok_or_else(unknown)
        };
        match what.split_once('.') {
            Some(("last", name)) => header(phone.received.last(), name),
            Some(("sent", name)) => header(phone.sent.last().map(|sent| &sent.message), name),
            Some(_) => Err(unknown()),
            None => match what {
                "contact" => Ok(phone.contact()),
                "address" => Ok(phone.address.to_string()),
                "ip" => Ok(phone.address.ip().to_string()),
                "aor" => Ok(phone.aor.clone()),
                _ => Err(unknown()),
            },
        }
    }
}
