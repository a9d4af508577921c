//! The connections of the world: bytes in order and in pieces, messages cut out of them, and ends
//! that the other side hears of, or does not.

use crate::world::{EndpointId, Happening, Notice, Noticed, World};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId};
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Frame, Framer, Framing, Index, parse};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

/// How soon what did not come through is sent again; each time it takes twice as long.
const RETRY: Duration = Duration::from_secs(1);
/// It never takes longer than this.
const RETRY_MAX: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    pub(super) endpoint: EndpointId,
    pub(super) server: End,
    pub(super) phone: End,
    /// A box on the way has forgotten it: nothing comes through any more, and nobody is told.
    pub(super) lost: bool,
    /// How long it is tried to bring something over, before its sender gives up.
    patience: Duration,
    /// When the server last heard something.
    heard: Instant,
    /// After how much silence it closes.
    expected: Option<Duration>,
}

/// One end of a connection, and what is on its way there.
#[derive(Debug)]
pub(super) struct End {
    pub(super) open: bool,
    framer: Framer,
    /// When the last that is on its way arrives.
    last: Instant,
    /// What does not come through now, in order.
    parked: VecDeque<Part>,
}

impl End {
    fn new(now: Instant) -> Self {
        Self { open: true, framer: Framer::new(), last: now, parked: VecDeque::new() }
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// The sender closes.
    End,
}

/// One side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Server,
    Phone,
}

impl Connection {
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Server => &mut self.server,
            Side::Phone => &mut self.phone,
        }
    }

    pub(super) fn retime(&mut self, set: impl Fn(Instant) -> Instant) {
        for end in [&mut self.server, &mut self.phone] {
            end.last = set(end.last);
        }
        self.heard = set(self.heard);
    }

    /// The side that sends what comes to this one.
    fn sender(&mut self, to: Side) -> &mut End {
        match to {
            Side::Server => &mut self.phone,
            Side::Phone => &mut self.server,
        }
    }
}

impl World {
    /// Opens a connection from an endpoint's address to a stream listener.
    pub fn connect(&mut self, endpoint: EndpointId, from: SocketAddr, to: SocketId) -> Flow {
        let seen = self.seen_from_outside(endpoint, from, to);
        self.add_connection(endpoint, to, seen)
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
        let certified = CertifiedName::NONE;
        let flow = Flow { socket, transport, connection, remote, certified };
        let connection = Connection {
            flow,
            endpoint,
            server: End::new(self.now),
            phone: End::new(self.now),
            lost: false,
            patience: self.network.patience(),
            heard: self.now,
            expected: None,
        };
        self.connections.insert(flow.connection, connection);
        flow
    }

    /// Writes to a connection; `false` if the endpoint knows that it is closed.
    pub fn send_stream(&mut self, id: ConnectionId, bytes: &[u8]) -> bool {
        let open = self.connections.get(&id).is_some_and(|line| line.phone.open);
        if open {
            self.put(id, Side::Server, Part::Bytes(bytes.to_vec()));
        }
        open
    }

    /// The endpoint closes a connection.
    pub fn hang_up(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id).filter(|line| line.phone.open) else {
            return;
        };
        line.phone.open = false;
        self.put(id, Side::Server, Part::End);
    }

    /// The endpoint has forgotten a connection, as when its power failed: nobody is told.
    pub fn vanish(&mut self, id: ConnectionId) {
        if let Some(line) = self.connections.get_mut(&id) {
            line.phone.open = false;
        }
    }

    /// A box on the way has forgotten the connections of an endpoint: nobody is told.
    pub fn lose_connections(&mut self, endpoint: EndpointId) {
        let mine = self.connections.values_mut().filter(|line| line.endpoint == endpoint);
        mine.for_each(|line| line.lost = true);
    }

    /// Sends something on its way.
    fn put(&mut self, id: ConnectionId, to: Side, part: Part) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        let stuck = line.lost || self.network.conditions(line.endpoint).cut;
        let parked = &mut line.end(to).parked;
        if !stuck && parked.is_empty() {
            return self.carry(id, to, part);
        }
        if parked.is_empty() {
            let again = Happening::Retry { id, to, since: self.now, after: RETRY };
            self.agenda.add(self.now + RETRY, again);
        }
        parked.push_back(part);
    }

    /// What did not come through is tried again, until its sender gives up.
    pub(super) fn retry(&mut self, id: ConnectionId, to: Side, since: Instant, after: Duration) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        if !line.lost && !self.network.conditions(line.endpoint).cut {
            for part in std::mem::take(&mut line.end(to).parked) {
                self.carry(id, to, part);
            }
        } else if self.now.since(since) < line.patience {
            let after = after.times(2).at_most(RETRY_MAX);
            self.agenda.add(self.now + after, Happening::Retry { id, to, since, after });
        } else {
            line.end(to).parked.clear();
            let knows = line.sender(to).open;
            match to {
                _ if !knows => {}
                Side::Phone => self.ended_at_server(id),
                Side::Server => self.ended_at_phone(id),
            }
        }
    }

    /// The server wants to hear something over a connection at least so often.
    pub(super) fn expect(&mut self, id: ConnectionId, within: Duration) {
        if let Some(line) = self.connections.get_mut(&id) {
            line.expected = Some(within);
            self.agenda.add(line.heard + within, Happening::Silence(id));
        }
    }

    /// The server closes if it has heard nothing for too long, or looks again.
    pub(super) fn silence(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get(&id).filter(|line| line.server.open) else { return };
        let Some(within) = line.expected else { return };
        let due = line.heard + within;
        if due > self.now {
            self.agenda.add(due, Happening::Silence(id));
        } else {
            self.close_at_server(id);
        }
    }

    fn carry(&mut self, id: ConnectionId, to: Side, part: Part) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        let (endpoint, last) = (line.endpoint, line.end(to).last);
        let parts = match part {
            Part::Bytes(bytes) => self.network.pieces(endpoint, bytes),
            Part::End => vec![Vec::new()],
        };
        let mut at = last.max(self.network.stream(endpoint, self.now));
        for piece in parts {
            let part = if piece.is_empty() { Part::End } else { Part::Bytes(piece) };
            self.agenda.add(at, Happening::Arrives(id, to, part));
            line.end(to).last = at;
            at = at.max(self.network.stream(endpoint, self.now));
        }
    }

    pub(super) fn arrives(&mut self, id: ConnectionId, to: Side, part: Part) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        let (endpoint, flow) = (line.endpoint, line.flow);
        match (to, part, line.end(to).open) {
            (Side::Server, Part::Bytes(bytes), true) => {
                line.heard = self.now;
                self.stream_at_server(flow, &bytes);
            }
            (Side::Phone, Part::Bytes(bytes), true) => self.stream_at_phone(flow, &bytes),
            (Side::Server, Part::End, true) => self.ended_at_server(id),
            (Side::Phone, Part::End, true) => self.ended_at_phone(id),
            // Whoever does not know a connection says so (RFC 9293 §3.10.7.1).
            (Side::Server, Part::Bytes(_), false) => self.put(id, Side::Phone, Part::End),
            (Side::Phone, Part::Bytes(_), false) if self.is_on(endpoint) => {
                self.put(id, Side::Server, Part::End);
            }
            (_, _, false) => {}
        }
    }

    fn stream_at_phone(&mut self, flow: Flow, bytes: &[u8]) {
        let Some(line) = self.connections.get_mut(&flow.connection) else { return };
        let endpoint = line.endpoint;
        let framer = &mut line.phone.framer;
        framer.push(bytes);
        let mut heard: Vec<Vec<u8>> = Vec::new();
        let broken = loop {
            match framer.next() {
                None => break false,
                Some(Ok(Frame::Message(bytes))) => heard.push(bytes.to_vec()),
                Some(Ok(Frame::Ping)) => heard.push(b"\r\n\r\n".to_vec()),
                Some(Ok(Frame::Pong)) => heard.push(b"\r\n".to_vec()),
                Some(Err(_)) => break true,
            }
        };
        // A pong that is all there is; and what is no message, as whoever looks at it shall see.
        if broken || framer.rest() == b"\r\n" {
            heard.push(framer.rest().to_vec());
            *framer = Framer::new();
        }
        for bytes in heard {
            self.noticed.push_back(Notice { endpoint, what: Noticed::Message(flow, bytes) });
        }
    }

    fn stream_at_server(&mut self, flow: Flow, bytes: &[u8]) {
        let Some(line) = self.connections.get_mut(&flow.connection) else { return };
        let who = (Some(line.endpoint), true);
        let mut framer = std::mem::take(&mut line.server.framer);
        framer.push(bytes);
        let mut index = Index::new();
        let mut whole = false;
        let broken = loop {
            match framer.next() {
                None => break false,
                Some(Ok(Frame::Message(bytes))) => {
                    whole = true;
                    self.on_wire(flow, who, bytes);
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
            self.on_wire(flow, who, framer.rest());
            if let (false, Ok(message)) = (whole, parse(framer.rest(), &mut index, Framing::Stream))
            {
                let wishes = self.server.receive(self.now, flow, message);
                self.fulfil(wishes);
            }
            self.close_at_server(flow.connection);
        } else if let Some(line) = self.connections.get_mut(&flow.connection) {
            line.server.framer = framer;
        }
    }

    /// The server closes.
    pub(super) fn close_at_server(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(|line| line.server.open) {
            self.put(id, Side::Phone, Part::End);
            self.ended_at_server(id);
        }
    }

    /// The server hears of the end.
    fn ended_at_server(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        line.server.open = false;
        let flow = line.flow;
        self.ended.iter_mut().for_each(|ended| ended.push(id));
        let wishes = self.server.flow_closed(self.now, flow);
        self.fulfil(wishes);
    }

    /// The endpoint hears of the end.
    fn ended_at_phone(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        line.phone.open = false;
        let what = Noticed::Closed(line.flow);
        self.noticed.push_back(Notice { endpoint: line.endpoint, what });
    }

    pub(super) fn write_stream(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        self.put(id, Side::Phone, Part::Bytes(bytes));
    }

    /// An open connection to this address, or a new one if somebody listens there.
    pub(super) fn connection_to(&mut self, flow: Flow) -> Option<ConnectionId> {
        let fits = |line: &&Connection| {
            line.server.open && (line.flow.socket, line.flow.remote) == (flow.socket, flow.remote)
        };
        if let Some(line) = self.connections.values().rev().find(fits) {
            return Some(line.flow.connection);
        }
        let endpoint = *self.addresses.get(&(flow.transport, flow.remote))?;
        Some(self.add_connection(endpoint, flow.socket, flow.remote).connection)
    }

    /// The open connections of an endpoint.
    pub fn connections_of(&self, endpoint: EndpointId) -> Vec<ConnectionId> {
        let lines = self.connections.values();
        let its = lines.filter(|line| line.endpoint == endpoint && line.phone.open);
        its.map(|line| line.flow.connection).collect()
    }

    /// Endpoints that hold an open connection.
    pub fn connected(&self) -> BTreeSet<EndpointId> {
        let open = self.connections.values().filter(|line| line.phone.open);
        open.map(|line| line.endpoint).collect()
    }
}
