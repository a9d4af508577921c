//! Everything at once, in one thread: the clock, the network, the server, its store and names.
//!
//! Whoever plays in this world opens [endpoints](World::open), [sends](World::send_datagram)
//! bytes, and calls [`World::step`], which moves the clock to whatever happens next and tells
//! what of it an endpoint notices.

use crate::clock::Agenda;
use crate::disk::Disk;
use crate::names::Names;
use crate::net::Network;
use crate::server::{Server, Wish};
use crate::world::nat::Nat;
use crate::world::streams::{Connection, Part, Side};
use ringway_core::boundary::{Answer, AskId, Command, Event, Question, TransactionRef, Write};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::keep_alive::KeepAlive;
use ringway_core::locate::Avoided;
use ringway_core::node::Census;
use ringway_core::snapshot::Snapshot;
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Framing, Index, parse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

mod nat;
mod streams;

pub use nat::NatKind;

/// When the world begins.
pub const BEGINNING: Instant = Instant::from_secs(1_800_000_000);

/// Somebody with network addresses: a phone, another server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u32);

/// What an endpoint notices.
#[derive(Debug)]
pub struct Notice {
    /// Who.
    pub endpoint: EndpointId,
    /// What.
    pub what: Noticed,
}

/// See [`Notice`].
#[derive(Debug)]
pub enum Noticed {
    /// A message arrived. The flow is the server's; its `remote` is the endpoint's address.
    Message(Flow, Vec<u8>),
    /// The server closed a connection.
    Closed(Flow),
    /// The alarm with this number, set with [`World::wake`].
    Alarm(u64),
}

/// A message at the server's door.
#[derive(Clone, Debug)]
pub struct OnWire {
    /// When.
    pub at: Instant,
    /// Between whom: `remote` is the address that the server sees.
    pub flow: Flow,
    /// Who sent it, or who will receive it as things are now.
    pub endpoint: Option<EndpointId>,
    /// Whether it arrived; else the server sent it, or tried to.
    pub arrived: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// What a server that is broken on purpose sends in place of a message: to try those who watch.
pub type Sabotage = fn(Flow, Vec<u8>) -> Vec<(Flow, Vec<u8>)>;

#[derive(Debug)]
enum Happening {
    AtServer(EndpointId, Flow, Vec<u8>),
    AtEndpoint(EndpointId, Flow, Vec<u8>),
    Arrives(ConnectionId, Side, Part),
    Retry {
        id: ConnectionId,
        to: Side,
        since: Instant,
        after: Duration,
    },
    Alarm(EndpointId, u64),
    /// The server looks whether it has heard anything.
    Silence(ConnectionId),
    Commit {
        life: u32,
        asker: (u32, AskId),
        writes: Vec<Write>,
    },
    Answered {
        life: u32,
        partition: u32,
        ask: AskId,
        answer: Answer,
    },
    Undelivered {
        life: u32,
        partition: u32,
        transaction: TransactionRef,
    },
}

/// The world.
#[derive(Debug)]
pub struct World {
    /// The network.
    pub network: Network,
    /// The store.
    pub disk: Disk,
    /// The name service.
    pub names: Names,
    /// What the server told of in this life and those before: when, and which partition.
    pub events: Vec<(Instant, u32, Event)>,
    /// All that passed the server's door, if somebody wants to know.
    pub wire: Option<Vec<OnWire>>,
    /// The connections that have ended for the server, if somebody wants to know.
    pub ended: Option<Vec<ConnectionId>>,
    /// What is done to messages of the server.
    pub sabotage: Option<Sabotage>,
    now: Instant,
    agenda: Agenda<Happening>,
    noticed: VecDeque<Notice>,
    server: Server,
    /// Counts the starts of the server.
    life: u32,
    seed: u64,
    addresses: BTreeMap<(Transport, SocketAddr), EndpointId>,
    /// Addresses behind boxes: the same one may be behind several.
    inside: BTreeSet<(EndpointId, Transport, SocketAddr)>,
    nats: Vec<Nat>,
    behind: BTreeMap<EndpointId, usize>,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    endpoints: u32,
    /// When the store ends the last commit that it was given.
    committed_until: Instant,
}

impl World {
    /// A server with these listeners and partitions, and nobody else.
    pub fn new(listeners: Vec<Listener>, partitions: u32, snapshot: Snapshot, seed: u64) -> Self {
        let server = Server::new(listeners, partitions, snapshot, (seed, BEGINNING));
        Self {
            network: Network::new(seed),
            disk: Disk::default(),
            names: Names::default(),
            events: Vec::new(),
            wire: None,
            ended: None,
            sabotage: None,
            now: BEGINNING,
            agenda: Agenda::default(),
            noticed: VecDeque::new(),
            server,
            life: 0,
            seed,
            addresses: BTreeMap::new(),
            inside: BTreeSet::new(),
            nats: Vec::new(),
            behind: BTreeMap::new(),
            connections: BTreeMap::new(),
            opened: 0,
            endpoints: 0,
            committed_until: BEGINNING,
        }
    }

    /// The time.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The server, to look at.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// How full the tables of all partitions are.
    pub fn census(&self) -> Census {
        self.server.census()
    }

    /// A new endpoint without an address.
    pub const fn endpoint(&mut self) -> EndpointId {
        self.endpoints += 1;
        EndpointId(self.endpoints - 1)
    }

    /// From now on an endpoint receives what is sent to this address.
    pub fn open(&mut self, endpoint: EndpointId, transport: Transport, address: SocketAddr) {
        if self.is_behind_nat(endpoint) {
            self.inside.insert((endpoint, transport, address));
        } else {
            self.addresses.insert((transport, address), endpoint);
        }
    }

    /// The address leads nowhere any more: datagrams are lost, connections refused.
    pub fn close(&mut self, endpoint: EndpointId, transport: Transport, address: SocketAddr) {
        if self.is_behind_nat(endpoint) {
            self.inside.remove(&(endpoint, transport, address));
        } else {
            self.addresses.remove(&(transport, address));
        }
    }

    /// Wakes an endpoint with a number of its choice.
    pub fn wake(&mut self, endpoint: EndpointId, at: Instant, number: u64) {
        self.agenda.add(at, Happening::Alarm(endpoint, number));
    }

    /// Sends a datagram from an endpoint's address to a listener.
    pub fn send_datagram(
        &mut self,
        endpoint: EndpointId,
        from: SocketAddr,
        to: SocketId,
        bytes: &[u8],
    ) {
        let flow = Flow {
            socket: to,
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: self.seen_from_outside(endpoint, from, to),
            certified: CertifiedName::NONE,
        };
        for at in self.network.datagram(endpoint, self.now) {
            self.agenda.add(at, Happening::AtServer(endpoint, flow, bytes.to_vec()));
        }
    }

    /// Tells every partition something.
    pub fn command_all(&mut self, command: impl Fn() -> Command) {
        let wishes = self.server.command_all(self.now, command);
        self.fulfil(wishes);
    }

    /// Replaces accounts, domains and settings.
    pub fn use_snapshot(&mut self, snapshot: Snapshot) {
        let wishes = self.server.use_snapshot(self.now, snapshot);
        self.fulfil(wishes);
    }

    /// Kills the server and starts it again with what the store has: transactions are lost,
    /// connections end, commits under way never were.
    pub fn restart(&mut self) {
        self.life += 1;
        self.names.avoided = Avoided::default();
        let seed = self.seed ^ u64::from(self.life).rotate_left(40);
        let wishes = self.server.restart((seed, self.now), &self.disk);
        self.fulfil(wishes);
        let ids: Vec<_> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close_at_server(id));
    }

    /// The same, after somebody has set the clock by so many seconds. It is what a process reads
    /// when it starts; later it counts for itself (K4), so that nothing else can come of it.
    pub fn restart_after_a_clock_jump(&mut self, seconds: i64) {
        let set = |at: Instant| {
            Instant::from_micros(at.as_micros().saturating_add_signed(seconds * 1_000_000))
        };
        self.now = set(self.now);
        self.agenda.retime(set);
        for event in self.agenda.events() {
            if let Happening::Retry { since, .. } = event {
                *since = set(*since);
            }
        }
        self.committed_until = set(self.committed_until);
        self.nats.iter_mut().for_each(|nat| nat.retime(set));
        self.connections.values_mut().for_each(|line| line.retime(set));
        self.restart();
    }

    /// Goes to the next thing that an endpoint notices, but no further than `until`. `None`: it
    /// is `until` now, and nothing more happens by then.
    pub fn step(&mut self, until: Instant) -> Option<Notice> {
        loop {
            let notice = self.notice();
            if notice.is_some() || !self.advance(until) {
                return notice;
            }
        }
    }

    /// What an endpoint has to notice of all that has happened.
    pub fn notice(&mut self) -> Option<Notice> {
        self.noticed.pop_front()
    }

    /// Lets the next thing happen, but none after `until`. `false`: there was none by then, and
    /// it is `until` now.
    pub fn advance(&mut self, until: Instant) -> bool {
        let happening = self.agenda.next_due();
        let timer = self.server.next_due().map(|at| at.max(self.now));
        let next = [happening, timer].into_iter().flatten().min().filter(|at| *at <= until);
        let Some(next) = next else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = next;
        if timer == Some(next) {
            // What is due in the server comes before what reaches it at the same moment.
            let wishes = self.server.tick(next);
            self.fulfil(wishes);
        } else if let Some((_, happening)) = self.agenda.pop_due(next) {
            self.happen(happening);
        }
        true
    }

    fn on_wire(
        &mut self,
        flow: Flow,
        (endpoint, arrived): (Option<EndpointId>, bool),
        bytes: &[u8],
    ) {
        if let Some(wire) = &mut self.wire {
            wire.push(OnWire { at: self.now, flow, endpoint, arrived, bytes: bytes.to_vec() });
        }
    }

    fn happen(&mut self, happening: Happening) {
        let wishes = match happening {
            Happening::AtServer(endpoint, flow, bytes) => {
                self.on_wire(flow, (Some(endpoint), true), &bytes);
                let mut index = Index::new();
                match (KeepAlive::read(&bytes), parse(&bytes, &mut index, Framing::Datagram)) {
                    (Some(what), _) => self.server.kept_alive(self.now, flow, what),
                    (None, Ok(message)) => self.server.receive(self.now, flow, message),
                    (None, Err(_)) => Vec::new(),
                }
            }
            Happening::AtEndpoint(endpoint, flow, bytes) => {
                return self.at_endpoint(endpoint, flow, bytes);
            }
            Happening::Arrives(id, to, part) => return self.arrives(id, to, part),
            Happening::Retry { id, to, since, after } => return self.retry(id, to, since, after),
            Happening::Silence(id) => return self.silence(id),
            Happening::Alarm(endpoint, number) => {
                let what = Noticed::Alarm(number);
                self.noticed.push_back(Notice { endpoint, what });
                Vec::new()
            }
            Happening::Commit { life, asker, writes } => {
                if life != self.life || self.disk.silent {
                    return;
                }
                let (partition, ask) = asker;
                let answer = self.disk.commit(writes);
                self.server.answered(self.now, partition, ask, answer)
            }
            Happening::Answered { life, partition, ask, answer } if life == self.life => {
                self.server.answered(self.now, partition, ask, answer)
            }
            Happening::Undelivered { life, partition, transaction } if life == self.life => {
                self.server.undelivered(self.now, partition, transaction)
            }
            Happening::Answered { .. } | Happening::Undelivered { .. } => Vec::new(),
        };
        self.fulfil(wishes);
    }

    fn at_endpoint(&mut self, endpoint: EndpointId, flow: Flow, bytes: Vec<u8>) {
        if self.receiver(&flow) == Some(endpoint) {
            self.came_in(&flow);
            let what = Noticed::Message(flow, bytes);
            self.noticed.push_back(Notice { endpoint, what });
        }
    }

    /// Whether an endpoint is at any address: a machine that is off says nothing.
    fn is_on(&self, endpoint: EndpointId) -> bool {
        self.addresses.values().any(|at| *at == endpoint)
            || self.inside.iter().any(|(at, ..)| *at == endpoint)
    }

    /// Does what the server wants done.
    fn fulfil(&mut self, wishes: Vec<Wish>) {
        let life = self.life;
        for wish in wishes {
            match wish {
                Wish::Send { flow, bytes, partition, on_failure } => {
                    let messages = match self.sabotage {
                        None => vec![(flow, bytes)],
                        Some(sabotage) => sabotage(flow, bytes),
                    };
                    for (flow, bytes) in messages {
                        let flow = match on_failure {
                            Some(TransactionRef::Elsewhere(remote)) if !self.is_open(&flow) => {
                                Flow { remote, connection: ConnectionId::NONE, ..flow }
                            }
                            _ => flow,
                        };
                        let sent = self.send(flow, bytes);
                        if let (false, Some(transaction)) = (sent, on_failure) {
                            let failed = Happening::Undelivered { life, partition, transaction };
                            self.agenda.add(self.now, failed);
                        }
                    }
                }
                Wish::Ask { partition, ask, question } => self.ask(partition, ask, question),
                Wish::Avoid { flow, retry_after_s } => {
                    self.names.avoided.note(self.now, &flow, retry_after_s);
                }
                Wish::Expect { flow, within } => self.expect(flow.connection, within),
                Wish::Event(partition, event) => self.events.push((self.now, partition, event)),
            }
        }
    }

    fn is_open(&self, flow: &Flow) -> bool {
        self.connections.get(&flow.connection).is_some_and(|line| line.server.open)
    }

    fn send(&mut self, flow: Flow, bytes: Vec<u8>) -> bool {
        if flow.transport == Transport::Udp {
            // A datagram to nobody is lost, and nobody knows.
            let endpoint = self.receiver(&flow);
            self.on_wire(flow, (endpoint, false), &bytes);
            if let Some(endpoint) = endpoint {
                for at in self.network.datagram(endpoint, self.now) {
                    self.agenda.add(at, Happening::AtEndpoint(endpoint, flow, bytes.clone()));
                }
            }
            return true;
        }
        let id = match flow.connection {
            ConnectionId::NONE => self.connection_to(flow),
            id => self.connections.get(&id).filter(|line| line.server.open).map(|_| id),
        };
        let endpoint = id.and_then(|id| self.connections.get(&id)).map(|line| line.endpoint);
        self.on_wire(flow, (endpoint, false), &bytes);
        if let Some(connection) = id {
            self.write_stream(connection, bytes);
        }
        id.is_some()
    }

    fn ask(&mut self, partition: u32, ask: AskId, question: Question) {
        let life = self.life;
        let (after, happening) = match question {
            Question::Keep(writes) => return self.keep((partition, ask), writes),
            Question::Resolve(hop) => {
                let found = self.names.resolve(self.now, self.server.listeners(), &hop);
                let Some((after, answer)) = found else { return };
                (after, Happening::Answered { life, partition, ask, answer })
            }
            Question::Locate(_) | Question::Spend { .. } | Question::Guard(_) => {
                unreachable!("the server asks its own partitions")
            }
        };
        self.agenda.add(self.now + after, happening);
    }

    /// Gives the store something to keep, behind all that it was given before.
    fn keep(&mut self, asker: (u32, AskId), writes: Vec<Write>) {
        self.committed_until = (self.now + self.disk.delay).max(self.committed_until);
        let commit = Happening::Commit { life: self.life, asker, writes };
        self.agenda.add(self.committed_until, commit);
    }

    /// Whether no commit is under way.
    pub fn has_committed(&self) -> bool {
        self.committed_until <= self.now
    }
}
