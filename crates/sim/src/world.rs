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
use ringway_core::boundary::{Answer, AskId, Command, Event, Question, TransactionRef, Write};
use ringway_core::flow::{ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::node::Census;
use ringway_core::snapshot::Snapshot;
use ringway_core::time::Instant;
use ringway_wire::{Frame, Framer, Framing, Index, parse};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

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

#[derive(Debug)]
enum Happening {
    AtServer(Flow, Vec<u8>),
    ClosedAtServer(ConnectionId),
    AtEndpoint(EndpointId, Flow, Vec<u8>),
    ClosedAtEndpoint(ConnectionId),
    Alarm(EndpointId, u64),
    Commit { life: u32, partition: u32, ask: AskId, writes: Vec<Write> },
    Answered { life: u32, partition: u32, ask: AskId, answer: Answer },
    Undelivered { life: u32, partition: u32, transaction: TransactionRef },
}

#[derive(Debug)]
struct Connection {
    flow: Flow,
    endpoint: EndpointId,
    framer: Framer,
    open_at_server: bool,
    open_at_endpoint: bool,
    /// When the last bytes of each direction arrive.
    last_at_server: Instant,
    last_at_endpoint: Instant,
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
    /// What the server told of in this life and those before, with times.
    pub events: Vec<(Instant, Event)>,
    now: Instant,
    agenda: Agenda<Happening>,
    noticed: VecDeque<Notice>,
    server: Server,
    /// Counts the starts of the server.
    life: u32,
    seed: u64,
    addresses: BTreeMap<(Transport, SocketAddr), EndpointId>,
    connections: BTreeMap<ConnectionId, Connection>,
    opened: u64,
    endpoints: u32,
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
            now: BEGINNING,
            agenda: Agenda::default(),
            noticed: VecDeque::new(),
            server,
            life: 0,
            seed,
            addresses: BTreeMap::new(),
            connections: BTreeMap::new(),
            opened: 0,
            endpoints: 0,
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
        self.addresses.insert((transport, address), endpoint);
    }

    /// The address leads nowhere any more: datagrams are lost, connections refused.
    pub fn close(&mut self, transport: Transport, address: SocketAddr) {
        self.addresses.remove(&(transport, address));
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
            remote: from,
        };
        for at in self.network.datagram(endpoint, self.now) {
            self.agenda.add(at, Happening::AtServer(flow, bytes.to_vec()));
        }
    }

    /// Opens a connection from an endpoint's address to a stream listener.
    pub fn connect(&mut self, endpoint: EndpointId, from: SocketAddr, to: SocketId) -> Flow {
        self.add_connection(endpoint, to, from)
    }

    fn add_connection(
        &mut self,
        endpoint: EndpointId,
        socket: SocketId,
        remote: SocketAddr,
    ) -> Flow {
        self.opened += 1;
        let connection = ConnectionId(self.opened);
        let transport = self.server.listeners()[usize::from(socket.0)].transport;
        let flow = Flow { socket, transport, connection, remote };
        let connection = Connection {
            flow,
            endpoint,
            framer: Framer::new(),
            open_at_server: true,
            open_at_endpoint: true,
            last_at_server: self.now,
            last_at_endpoint: self.now,
        };
        self.connections.insert(flow.connection, connection);
        flow
    }

    /// Writes to a connection; `false` if the endpoint knows that it is closed.
    pub fn send_stream(&mut self, id: ConnectionId, bytes: &[u8]) -> bool {
        let Some(line) = self.connections.get_mut(&id) else { return false };
        if !line.open_at_endpoint {
            return false;
        }
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_server) {
            line.last_at_server = at;
            self.agenda.add(at, Happening::AtServer(line.flow, bytes.to_vec()));
        }
        true
    }

    /// The endpoint closes a connection.
    pub fn hang_up(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        line.open_at_endpoint = false;
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_server) {
            self.agenda.add(at, Happening::ClosedAtServer(id));
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
        let seed = self.seed ^ u64::from(self.life).rotate_left(40);
        self.server.restart((seed, self.now), &self.disk);
        let ids: Vec<_> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.close_at_server(id));
    }

    /// Goes to the next thing that an endpoint notices, but no further than `until`. `None`: it
    /// is `until` now, and nothing more happens by then.
    pub fn step(&mut self, until: Instant) -> Option<Notice> {
        loop {
            if let Some(notice) = self.noticed.pop_front() {
                return Some(notice);
            }
            let happening = self.agenda.next_due();
            let timer = self.server.next_due().map(|at| at.max(self.now));
            let next = [happening, timer].into_iter().flatten().min().filter(|at| *at <= until);
            let Some(next) = next else {
                self.now = self.now.max(until);
                return None;
            };
            self.now = next;
            if timer == Some(next) {
                // What is due in the server comes before what reaches it at the same moment.
                let wishes = self.server.tick(next);
                self.fulfil(wishes);
            } else if let Some((_, happening)) = self.agenda.pop_due(next) {
                self.happen(happening);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        let wishes = match happening {
            Happening::AtServer(flow, bytes) if flow.connection == ConnectionId::NONE => {
                let mut index = Index::new();
                match parse(&bytes, &mut index, Framing::Datagram) {
                    Ok(message) => self.server.receive(self.now, flow, message),
                    Err(_) => Vec::new(),
                }
            }
            Happening::AtServer(flow, bytes) => return self.stream_at_server(flow, &bytes),
            Happening::ClosedAtServer(id) => match self.connections.get_mut(&id) {
                Some(line) if line.open_at_server => {
                    line.open_at_server = false;
                    self.server.flow_closed(self.now, line.flow)
                }
                _ => Vec::new(),
            },
            Happening::AtEndpoint(endpoint, flow, bytes) => {
                return self.at_endpoint(endpoint, flow, bytes);
            }
            Happening::ClosedAtEndpoint(id) => {
                if let Some(line) = self.connections.get_mut(&id).filter(|l| l.open_at_endpoint) {
                    line.open_at_endpoint = false;
                    let what = Noticed::Closed(line.flow);
                    self.noticed.push_back(Notice { endpoint: line.endpoint, what });
                }
                Vec::new()
            }
            Happening::Alarm(endpoint, number) => {
                let what = Noticed::Alarm(number);
                self.noticed.push_back(Notice { endpoint, what });
                Vec::new()
            }
            Happening::Commit { life, partition, ask, writes } => {
                if life != self.life || self.disk.silent {
                    return;
                }
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
        let hears = match flow.connection {
            ConnectionId::NONE => {
                self.addresses.get(&(flow.transport, flow.remote)) == Some(&endpoint)
            }
            id => self.connections.get(&id).is_some_and(|line| line.open_at_endpoint),
        };
        if hears {
            let what = Noticed::Message(flow, bytes);
            self.noticed.push_back(Notice { endpoint, what });
        }
    }

    fn stream_at_server(&mut self, flow: Flow, bytes: &[u8]) {
        let Some(line) = self.connections.get_mut(&flow.connection) else { return };
        if !line.open_at_server {
            return;
        }
        let mut framer = std::mem::take(&mut line.framer);
        framer.push(bytes);
        let mut index = Index::new();
        let mut whole = false;
        let broken = loop {
            match framer.next() {
                None => break false,
                Some(Ok(Frame::Message(bytes))) => {
                    whole = true;
                    let Ok(message) = parse(bytes, &mut index, Framing::Stream) else {
                        break true;
                    };
                    let wishes = self.server.receive(self.now, flow, message);
                    self.fulfil(wishes);
                }
                Some(Ok(Frame::Ping)) => self.write_stream(flow.connection, b"\r\n".to_vec()),
                Some(Ok(Frame::Pong)) => {}
                Some(Err(_)) => break true,
            }
        };
        if broken {
            if let (false, Ok(message)) = (whole, parse(framer.rest(), &mut index, Framing::Stream))
            {
                let wishes = self.server.receive(self.now, flow, message);
                self.fulfil(wishes);
            }
            self.close_at_server(flow.connection);
        } else if let Some(line) = self.connections.get_mut(&flow.connection) {
            line.framer = framer;
        }
    }

    fn close_at_server(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id).filter(|line| line.open_at_server) else {
            return;
        };
        line.open_at_server = false;
        let flow = line.flow;
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_endpoint) {
            self.agenda.add(at, Happening::ClosedAtEndpoint(id));
        }
        let wishes = self.server.flow_closed(self.now, flow);
        self.fulfil(wishes);
    }

    fn write_stream(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_endpoint) {
            line.last_at_endpoint = at;
            self.agenda.add(at, Happening::AtEndpoint(line.endpoint, line.flow, bytes));
        }
    }

    /// Does what the server wants done.
    fn fulfil(&mut self, wishes: Vec<Wish>) {
        let life = self.life;
        for wish in wishes {
            match wish {
                Wish::Send { flow, bytes, partition, on_failure } => {
                    if !self.send(flow, bytes)
                        && let Some(transaction) = on_failure
                    {
                        let failed = Happening::Undelivered { life, partition, transaction };
                        self.agenda.add(self.now, failed);
                    }
                }
                Wish::Ask { partition, ask, question } => self.ask(partition, ask, question),
                Wish::Event(event) => self.events.push((self.now, event)),
            }
        }
    }

    fn send(&mut self, flow: Flow, bytes: Vec<u8>) -> bool {
        if flow.transport == Transport::Udp {
            // A datagram to nobody is lost, and nobody knows.
            if let Some(&endpoint) = self.addresses.get(&(flow.transport, flow.remote)) {
                for at in self.network.datagram(endpoint, self.now) {
                    self.agenda.add(at, Happening::AtEndpoint(endpoint, flow, bytes.clone()));
                }
            }
            return true;
        }
        let id = match flow.connection {
            ConnectionId::NONE => self.connection_to(flow),
            id => self.connections.get(&id).filter(|line| line.open_at_server).map(|_| id),
        };
        if let Some(id) = id {
            self.write_stream(id, bytes);
        }
        id.is_some()
    }

    /// An open connection to this address, or a new one if somebody listens there.
    fn connection_to(&mut self, flow: Flow) -> Option<ConnectionId> {
        let fits = |line: &&Connection| {
            line.open_at_server
                && (line.flow.socket, line.flow.remote) == (flow.socket, flow.remote)
        };
        if let Some(line) = self.connections.values().rev().find(fits) {
            return Some(line.flow.connection);
        }
        let endpoint = *self.addresses.get(&(flow.transport, flow.remote))?;
        Some(self.add_connection(endpoint, flow.socket, flow.remote).connection)
    }

    fn ask(&mut self, partition: u32, ask: AskId, question: Question) {
        let life = self.life;
        let (after, happening) = match question {
            Question::Keep(writes) => {
                (self.disk.delay, Happening::Commit { life, partition, ask, writes })
            }
            Question::Resolve { host, port, transport } => {
                let listeners = self.server.listeners();
                let found = self.names.resolve(listeners, &host, port, transport);
                let Some((after, answer)) = found else { return };
                (after, Happening::Answered { life, partition, ask, answer })
            }
            Question::Locate(_) | Question::Spend { .. } => {
                unreachable!("the server asks its own partitions")
            }
        };
        self.agenda.add(self.now + after, happening);
    }

    /// Endpoints that hold an open connection.
    pub fn connected(&self) -> BTreeSet<EndpointId> {
        let open = self.connections.values().filter(|line| line.open_at_endpoint);
        open.map(|line| line.endpoint).collect()
    }
}
