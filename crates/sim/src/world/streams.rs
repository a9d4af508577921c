//! The connections of the world: bytes in order, messages cut out of them, ends on both sides.

use crate::world::{EndpointId, Happening, World};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId};
use ringway_core::time::Instant;
use ringway_wire::{Frame, Framer, Framing, Index, parse};
use std::collections::BTreeSet;
use std::net::SocketAddr;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) flow: Flow,
    pub(super) endpoint: EndpointId,
    pub(super) framer: Framer,
    pub(super) open_at_server: bool,
    pub(super) open_at_endpoint: bool,
    /// When the last bytes of each direction arrive.
    pub(super) last_at_server: Instant,
    pub(super) last_at_endpoint: Instant,
}

impl World {
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
        let flow = Flow { socket, transport, connection, remote, certified: CertifiedName::NONE };
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

    pub(super) fn stream_at_server(&mut self, flow: Flow, bytes: &[u8]) {
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
                    self.on_wire(flow, true, bytes);
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
            self.on_wire(flow, true, framer.rest());
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

    pub(super) fn close_at_server(&mut self, id: ConnectionId) {
        let Some(line) = self.connections.get_mut(&id).filter(|line| line.open_at_server) else {
            return;
        };
        line.open_at_server = false;
        let flow = line.flow;
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_endpoint) {
            self.agenda.add(at, Happening::ClosedAtEndpoint(id));
        }
        self.ended.iter_mut().for_each(|ended| ended.push(id));
        let wishes = self.server.flow_closed(self.now, flow);
        self.fulfil(wishes);
    }

    pub(super) fn write_stream(&mut self, id: ConnectionId, bytes: Vec<u8>) {
        let Some(line) = self.connections.get_mut(&id) else { return };
        if let Some(at) = self.network.stream(line.endpoint, self.now, line.last_at_endpoint) {
            line.last_at_endpoint = at;
            self.agenda.add(at, Happening::AtEndpoint(line.endpoint, line.flow, bytes));
        }
    }

    /// An open connection to this address, or a new one if somebody listens there.
    pub(super) fn connection_to(&mut self, flow: Flow) -> Option<ConnectionId> {
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

    /// The open connections of an endpoint.
    pub fn connections_of(&self, endpoint: EndpointId) -> Vec<ConnectionId> {
        let lines = self.connections.values();
        let its = lines.filter(|line| line.endpoint == endpoint && line.open_at_endpoint);
        its.map(|line| line.flow.connection).collect()
    }

    /// Endpoints that hold an open connection.
    pub fn connected(&self) -> BTreeSet<EndpointId> {
        let open = self.connections.values().filter(|line| line.open_at_endpoint);
        open.map(|line| line.endpoint).collect()
    }
}
