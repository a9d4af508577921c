//! A phone that does as chance says, but speaks SIP as it should: who it is, how it sends, and
//! what it is reminded of.

use crate::clock::Random;
use crate::random::answer::Served;
use crate::random::client::Client;
use crate::random::talk::Call;
use crate::scenario::digest::Challenge;
use crate::scenario::sip::Sip;
use crate::world::{EndpointId, NatKind, Notice, Noticed, World};
use ringway_core::flow::{ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the server listens, over UDP and TCP each.
pub(crate) const SERVER: [SocketAddr; 3] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 5060),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 5060),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5060),
];
/// The domain of all accounts.
pub(crate) const DOMAIN: &str = "example.org";
/// A domain that the trusted peer serves.
pub(crate) const ELSEWHERE: &str = "peer.example";

/// The server's sockets; [`SocketId`] counts into them.
pub(crate) fn listeners() -> Vec<Listener> {
    let listen = |transport, local| Listener { transport, local, advertised: None };
    let both = |at| [listen(Transport::Udp, at), listen(Transport::Tcp, at)];
    SERVER.into_iter().flat_map(both).collect()
}

/// Which socket this is: at this one of the server's addresses.
pub(crate) const fn socket(server: usize, transport: Transport) -> SocketId {
    SocketId(server as u16 * 2 + !matches!(transport, Transport::Udp) as u16)
}

/// What the server knows of a phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The phone of an account, with the right password.
    Account,
    /// It has a wrong password.
    WrongPassword,
    /// Nobody knows it.
    Stranger,
    /// A server whose address is trusted.
    Peer,
}

/// What a phone wants to be reminded of.
#[derive(Clone, Debug)]
pub(crate) enum Alarm {
    /// To do something.
    Act,
    /// To send a request again (timers A and E).
    Resend(u64),
    /// That nobody answered (timers B and F), or that all is over (D, K, and 9.1's 64*T1).
    GiveUp(u64),
    /// That it waited long enough for somebody to answer.
    Impatient(u64),
    /// To answer.
    Answer(u64, u16),
    /// To send a response again (timer G; 13.3.1.4).
    Repeat(u64),
    /// That no ACK came (timer H; 13.3.1.4), or that all is over (I, J).
    Forget(u64),
    /// To do something with a call.
    Talk(u64),
    /// To keep its mapping in the box before it.
    KeepAlive,
}

/// A phone.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) name: String,
    /// The user part of its address-of-record.
    pub(crate) user: String,
    pub(crate) kind: Kind,
    pub(crate) password: String,
    pub(crate) q: Option<&'static str>,
    pub(crate) endpoint: EndpointId,
    pub(crate) transport: Transport,
    pub(crate) address: SocketAddr,
    /// Which one of the server's addresses it was told.
    server: usize,
    /// The box before it forgets what is silent for so long.
    nat_life: Option<Duration>,
    pub(crate) random: Random,
    /// Its connections to the server, by listener.
    pub(crate) connections: BTreeMap<SocketId, ConnectionId>,
    pub(crate) challenges: BTreeMap<&'static str, Challenge>,
    pub(crate) clients: BTreeMap<u64, Client>,
    pub(crate) served: BTreeMap<u64, Served>,
    pub(crate) calls: BTreeMap<u64, Call>,
    /// The CSeq number of its last REGISTER.
    pub(crate) register_cseq: u32,
    /// It is switched off: it neither hears nor says anything.
    pub(crate) off: bool,
    /// It was switched off, moved or lost its connections: what it waits for may never come.
    pub(crate) disturbed: bool,
    /// It has sent what is no message.
    pub(crate) babbled: bool,
    /// It begins nothing new.
    pub(crate) quiet: bool,
    /// What it heard that nobody may say to it.
    pub(crate) complaints: Vec<(String, String)>,
    pub(crate) made: u64,
    alarms: BTreeMap<u64, Alarm>,
}

impl Phone {
    /// The phone with this number; what else it is follows from the rest.
    pub(crate) fn new(
        number: u16,
        (user, kind): (String, Kind),
        mut random: Random,
        world: &mut World,
    ) -> Self {
        let server = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2][random.below(10) as usize];
        let host = 11 + number;
        let mut ip: IpAddr = match SERVER[server].is_ipv6() {
            true => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host).into(),
            false => Ipv4Addr::new(192, 0, 2, host as u8).into(),
        };
        let transport = if random.permille(300) { Transport::Tcp } else { Transport::Udp };
        let endpoint = world.endpoint();
        let mut nat_life = None;
        if kind == Kind::Account && ip.is_ipv4() && random.permille(400) {
            let kind = nat(&mut random);
            let public = Ipv4Addr::new(203, 0, 113, host as u8).into();
            world.put_behind_nat(kind, public, &[endpoint]);
            nat_life = Some(kind.life);
            // Everybody has the same address at home.
            let inside = if random.permille(500) { 10 } else { host as u8 };
            ip = Ipv4Addr::new(192, 168, 1, inside).into();
        }
        let address = SocketAddr::new(ip, 5060);
        let q = [None, Some("1.0"), Some("0.5")][random.below(3) as usize];
        let mut phone = Self {
            name: format!("phone{number}"),
            user,
            kind,
            password: "a-good-password".into(),
            q,
            endpoint,
            transport,
            address,
            server,
            nat_life,
            random,
            connections: BTreeMap::new(),
            challenges: BTreeMap::new(),
            clients: BTreeMap::new(),
            served: BTreeMap::new(),
            calls: BTreeMap::new(),
            register_cseq: 0,
            off: false,
            disturbed: false,
            babbled: false,
            quiet: false,
            complaints: Vec::new(),
            made: 0,
            alarms: BTreeMap::new(),
        };
        if kind == Kind::WrongPassword {
            phone.password = "something-else".into();
        }
        phone.switch(world, true);
        phone.remind_within(world, 1_000, Alarm::Act);
        if nat_life.is_some() {
            match phone.may(75) {
                true => phone.remind(world, 1, Alarm::KeepAlive),
                // It may miss what is said to it.
                false => phone.disturbed = true,
            }
        }
        phone
    }

    /// A number that it has not used before.
    pub(crate) const fn fresh(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// A word that nobody has used before.
    pub(crate) fn word(&mut self, what: &str) -> String {
        let number = self.fresh();
        format!("{what}-{}-{number}", self.name)
    }

    /// Whether chance says yes, in so many of a hundred cases.
    pub(crate) const fn may(&mut self, percent: u32) -> bool {
        self.random.permille(percent * 10)
    }

    pub(crate) fn domain(&self) -> &'static str {
        if self.kind == Kind::Peer { ELSEWHERE } else { DOMAIN }
    }

    pub(crate) fn contact(&self) -> String {
        let over = if self.transport == Transport::Udp { "" } else { ";transport=tcp" };
        format!("sip:{}@{}{over}", self.user, self.address)
    }

    /// Its way to the server when no Route says another.
    pub(crate) const fn home(&self) -> SocketId {
        socket(self.server, self.transport)
    }

    pub(crate) fn via(&self, way: SocketId, branch: &str) -> String {
        let over = if is_stream(way) { "TCP" } else { "UDP" };
        format!("SIP/2.0/{over} {};branch={branch};rport", self.address)
    }

    /// Sets an alarm.
    pub(crate) fn remind(&mut self, world: &mut World, after_ms: u64, alarm: Alarm) {
        let number = self.fresh();
        self.alarms.insert(number, alarm);
        world.wake(self.endpoint, world.now() + Duration::from_millis(after_ms), number);
    }

    /// Sets an alarm at a time up to so much later.
    pub(crate) fn remind_within(&mut self, world: &mut World, most_ms: u64, alarm: Alarm) {
        let after = self.random.below(most_ms) + 1;
        self.remind(world, after, alarm);
    }

    /// Sends bytes to a listener; on streams over this connection, if it is still open.
    pub(crate) fn transmit(
        &mut self,
        world: &mut World,
        (way, connection): (SocketId, ConnectionId),
        bytes: &[u8],
    ) {
        if self.off {
            return;
        }
        if !is_stream(way) {
            return world.send_datagram(self.endpoint, self.address, way, bytes);
        }
        if world.send_stream(connection, bytes) {
            return;
        }
        let known = self.connections.get(&way).copied();
        if known.is_some_and(|known| world.send_stream(known, bytes)) {
            return;
        }
        let port = 49_152 + (self.fresh() % 16_000) as u16;
        let from = SocketAddr::new(self.address.ip(), port);
        let flow = world.connect(self.endpoint, from, way);
        self.connections.insert(way, flow.connection);
        world.send_stream(flow.connection, bytes);
    }

    /// Switches it on or off: its address leads nowhere any more, its connections end.
    pub(crate) fn switch(&mut self, world: &mut World, on: bool) {
        self.off = !on;
        for transport in [Transport::Udp, Transport::Tcp] {
            match on {
                true => world.open(self.endpoint, transport, self.address),
                false => world.close(self.endpoint, transport, self.address),
            }
        }
        if !on {
            self.disturbed = true;
            self.drop_connections(world);
        }
    }

    /// Its connections end; of a power failure the server is not told.
    pub(crate) fn drop_connections(&mut self, world: &mut World) {
        let without_a_word = self.may(30);
        for id in std::mem::take(&mut self.connections).into_values() {
            match without_a_word {
                true => world.vanish(id),
                false => world.hang_up(id),
            }
        }
    }

    /// Takes in what happened to it.
    pub(crate) fn notice(&mut self, world: &mut World, notice: Notice) {
        match notice.what {
            Noticed::Alarm(number) => {
                if let Some(alarm) = self.alarms.remove(&number) {
                    self.on_alarm(world, alarm);
                }
            }
            Noticed::Closed(flow) => {
                self.connections.retain(|_, id| *id != flow.connection);
                // Nobody can tell it any more that what rings is over.
                self.disturbed = true;
            }
            Noticed::Message(flow, bytes) => {
                // The pong of a keep-alive is no message.
                if let (false, Some(sip)) = (self.off, Sip::read(&bytes)) {
                    self.take(world, flow, sip);
                }
            }
        }
    }

    fn take(&mut self, world: &mut World, flow: Flow, sip: Sip) {
        match sip.status() {
            Some(status) => self.take_response(world, status, &sip),
            None => self.take_request(world, flow, sip),
        }
    }

    fn on_alarm(&mut self, world: &mut World, alarm: Alarm) {
        match alarm {
            Alarm::Act => self.act(world),
            Alarm::Resend(id) => self.resend(world, id),
            Alarm::GiveUp(id) => self.give_up(id),
            Alarm::Impatient(id) => self.cancel(world, id),
            Alarm::Answer(id, status) => self.answer(world, id, status),
            Alarm::Repeat(id) => self.repeat(world, id),
            Alarm::Forget(id) => self.forget(world, id),
            Alarm::Talk(id) => self.talk(world, id),
            Alarm::KeepAlive => self.keep_alive(world),
        }
    }

    /// RFC 6223, RFC 5626 §4.4.1: an empty line, before the box forgets.
    fn keep_alive(&mut self, world: &mut World) {
        let Some(life) = self.nat_life else { return };
        let way = self.home();
        self.transmit(world, (way, ConnectionId::NONE), b"\r\n\r\n");
        // Who has nothing more to do has nothing to keep.
        if !self.quiet || self.clients.values().any(Client::waits) {
            self.remind(world, life.as_millis() / 2, Alarm::KeepAlive);
        }
    }
}

/// A box as chance wants it.
fn nat(random: &mut Random) -> NatKind {
    NatKind {
        symmetric: random.permille(400),
        filters: random.permille(700),
        life: Duration::from_secs([4, 15, 30, 180][random.below(4) as usize]),
        kept_by_inbound: random.permille(500),
    }
}

/// Whether a listener takes connections.
pub(crate) const fn is_stream(way: SocketId) -> bool {
    way.0 % 2 == 1
}

/// The listener that a URI of the server's names.
pub(crate) fn socket_named(uri: &str) -> Option<SocketId> {
    let server = SERVER.iter().position(|at| uri.contains(&at.to_string()))?;
    let stream = uri.to_ascii_lowercase().contains("transport=tcp");
    Some(socket(server, if stream { Transport::Tcp } else { Transport::Udp }))
}
