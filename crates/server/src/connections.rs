//! The open stream connections, and how bytes get to them.

mod crowd;
mod line;
mod pipe;
mod web;

pub(crate) use line::{Glance, Line, Sender, bit_of};
pub(crate) use pipe::Pipe;
pub(crate) use web::Silent;

use crate::limits;
use crate::metrics::{Metrics, count};
use crate::tcp::StreamLimits;
use crowd::Crowd;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId};
use ringway_core::time::Instant;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Asks the runtime to open a connection.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) flow: Flow,
    pub(crate) line: Arc<Line>,
}

/// All connections.
#[derive(Debug)]
pub struct Connections {
    table: Mutex<Table>,
    next: AtomicU64,
    metrics: Arc<Metrics>,
    pub(crate) limits: StreamLimits,
    dial: mpsc::Sender<Dial>,
    dials: Mutex<Option<mpsc::Receiver<Dial>>>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<ConnectionId, Entry>,
    by_remote: HashMap<Far, ConnectionId>,
    crowd: Crowd,
    /// Stream targets that did not answer, and until when they are left alone.
    dead: HashMap<Far, std::time::Instant>,
}

/// Where a connection leads: two names at one address are two places, for the certificate that
/// proves one says nothing of the other (G8, RFC 5923 §9).
type Far = (SocketId, SocketAddr, CertifiedName);

fn far(flow: &Flow) -> Far {
    (flow.socket, flow.remote, flow.certified)
}

#[derive(Debug)]
struct Entry {
    flow: Flow,
    line: Arc<Line>,
    /// What most have none of.
    identity: Option<Box<Identity>>,
}

/// Whom the certificate of the far side speaks for.
#[derive(Debug)]
struct Identity {
    /// What it proves; the name in the flow is one of these.
    names: Vec<CertifiedName>,
    /// Where else the connection stands in `by_remote` (RFC 5923).
    aliases: Vec<Far>,
}

impl Connections {
    /// None yet. Numbers never repeat, not even those of an earlier process: a cookie may bring
    /// one back.
    pub(crate) fn new(metrics: Arc<Metrics>, started: Instant, limits: StreamLimits) -> Self {
        let (dial, dials) = mpsc::channel(1_024);
        Self {
            table: Mutex::default(),
            next: AtomicU64::new(started.as_millis() << 20),
            metrics,
            limits,
            dial,
            dials: Mutex::new(Some(dials)),
        }
    }

    /// The requests to open connections; taken once, by the runtime.
    pub(crate) fn take_dials(&self) -> Option<mpsc::Receiver<Dial>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.table().by_id.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many are open of those of which nobody knows who is behind them.
    pub fn unproved(&self) -> usize {
        self.table().crowd.unproved()
    }

    /// Notes a connection that was accepted, `is_proved` if it is known from whom. `None`: there
    /// is no room, and nobody who could make some.
    pub(crate) fn accept(&self, flow: Flow, is_proved: bool) -> Option<(Flow, Arc<Line>)> {
        let mut table = self.table();
        let ip = flow.remote.ip();
        let (open, unproved) = table.crowd.from(ip);
        let full_there = !is_proved && unproved >= self.limits.unproved_per_address;
        let has_room = open < self.limits.connections_per_address
            && (!full_there || self.make_room(&mut table, Some(ip)))
            && (table.by_id.len() < self.limits.connections || self.make_room(&mut table, None));
        if !has_room {
            count(&self.metrics.connections_refused);
            return None;
        }
        count(&self.metrics.connections_accepted);
        Some(self.note(&mut table, flow, is_proved))
    }

    /// Whoever has had the most time to show who it is, and has not, leaves for others from its
    /// address, or for anybody. `false`: there is nobody, or too many are leaving already.
    fn make_room(&self, table: &mut Table, ip: Option<IpAddr>) -> bool {
        let oldest = table.crowd.oldest_unproved(ip);
        let leaves = oldest.is_some_and(|id| self.dismiss(table, id));
        if leaves {
            count(&self.metrics.connections_displaced);
        }
        leaves
    }

    /// Ends a connection so that others have room. Not more than some at a time: they go as fast
    /// as they can.
    fn dismiss(&self, table: &mut Table, id: ConnectionId) -> bool {
        let Some(Entry { flow, line, .. }) = table.by_id.get(&id) else { return false };
        let part = self.limits.connections / limits::LEAVING_PART;
        if table.crowd.leaving() >= limits::LEAVING.min(part).max(1) {
            return false;
        }
        table.crowd.leaves(id, flow.remote.ip());
        line.hang_up();
        true
    }

    /// The system has no descriptor left for another connection: one that is open makes room.
    pub(crate) fn are_too_many(&self) {
        self.make_room(&mut self.table(), None);
    }

    /// A handshake begins. If too many are under way, the one that takes longest ends.
    pub(crate) fn handshake_begins(&self, flow: &Flow) {
        let mut table = self.table();
        table.crowd.shakes_hands(flow.connection, true);
        if table.crowd.handshakes() > self.limits.handshakes
            && let Some(oldest) = table.crowd.oldest_handshake()
            && self.dismiss(&mut table, oldest)
        {
            count(&self.metrics.handshakes_displaced);
        }
    }

    /// A handshake is over, one way or the other.
    pub(crate) fn handshake_ended(&self, flow: &Flow) {
        self.table().crowd.shakes_hands(flow.connection, false);
    }

    /// The far side has shown who it is, and this connection may stand for a port of its address.
    pub(crate) fn prove(&self, flow: &Flow, alias: Option<u16>) {
        let mut table = self.table();
        let Table { by_id, by_remote, crowd, .. } = &mut *table;
        let Some(entry) = by_id.get_mut(&flow.connection) else { return };
        if entry.line.prove() {
            crowd.prove(flow.connection, flow.remote.ip());
        }
        let Some((identity, port)) = entry.identity.as_mut().zip(alias) else { return };
        //= RFC 5923 8.2
        // "in the alias table from the topmost Via header field (using the"
        let remote = SocketAddr::new(flow.remote.ip(), port);
        for key in identity.aliases.drain(..) {
            if by_remote.get(&key) == Some(&flow.connection) {
                by_remote.remove(&key);
            }
        }
        //= RFC 5923 8.2
        // "alias table the identity (or identities) of the client as they appear"
        for name in &identity.names {
            let key = (flow.socket, remote, *name);
            by_remote.insert(key, flow.connection);
            identity.aliases.push(key);
        }
    }

    fn note(&self, table: &mut Table, flow: Flow, is_proved: bool) -> (Flow, Arc<Line>) {
        let connection = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let flow = Flow { connection, ..flow };
        let line = Arc::new(Line::new(flow, is_proved));
        let entry = Entry { flow, line: Arc::clone(&line), identity: None };
        table.by_id.insert(connection, entry);
        table.by_remote.insert(far(&flow), connection);
        table.crowd.enter(connection, flow.remote.ip(), is_proved);
        (flow, line)
    }

    /// Notes whom the certificate of a connection that we took speaks for: the first of these
    /// names is the one that counts.
    pub(crate) fn certify(&self, flow: &mut Flow, names: Vec<CertifiedName>) {
        let mut table = self.table();
        let before = far(flow);
        flow.certified = names.first().copied().unwrap_or(CertifiedName::NONE);
        if let Some(entry) = table.by_id.get_mut(&flow.connection) {
            entry.flow = *flow;
            entry.identity = Some(Box::new(Identity { names, aliases: Vec::new() }));
            if table.by_remote.get(&before) == Some(&flow.connection) {
                table.by_remote.remove(&before);
            }
            table.by_remote.insert(far(flow), flow.connection);
        }
    }

    /// Forgets a connection that has ended. Tells for which other address it stood.
    pub(crate) fn ended(&self, flow: &Flow) -> Option<SocketAddr> {
        let mut table = self.table();
        let Entry { identity, .. } = table.by_id.remove(&flow.connection)?;
        let aliases = identity.map(|identity| identity.aliases).unwrap_or_default();
        let alias = aliases.first().map(|(_, remote, _)| *remote);
        for key in aliases.into_iter().chain([far(flow)]) {
            if table.by_remote.get(&key) == Some(&flow.connection) {
                table.by_remote.remove(&key);
            }
        }
        table.crowd.leave(flow.connection, flow.remote.ip());
        alias
    }

    /// Notes that a target could not be reached.
    pub(crate) fn is_dead(&self, flow: &Flow) {
        let mut table = self.table();
        let now = std::time::Instant::now();
        if table.dead.len() >= limits::DEAD_TARGETS {
            table.dead.retain(|_, until| *until > now);
        }
        if table.dead.len() < limits::DEAD_TARGETS {
            table.dead.insert(far(flow), now + limits::DEAD_TARGET);
        }
    }

    /// Writes a message to a connection, or queues it there, or has one opened for it. `false`: it
    /// cannot be delivered.
    pub(crate) fn send(&self, flow: &Flow, bytes: &[u8], sender: Sender) -> bool {
        let mut table = self.table();
        let id = if flow.connection == ConnectionId::NONE {
            table.by_remote.get(&far(flow)).copied()
        } else {
            Some(flow.connection)
        };
        if let Some(entry) = id.and_then(|id| table.by_id.get(&id)) {
            let line = Arc::clone(&entry.line);
            drop(table);
            return line.send(bytes, sender, &self.metrics);
        }
        if flow.connection != ConnectionId::NONE || !may_dial(flow) {
            return false;
        }
        let now = std::time::Instant::now();
        let key = far(flow);
        if table.dead.get(&key).is_some_and(|until| *until > now)
            || table.by_id.len() >= self.limits.connections && !self.make_room(&mut table, None)
        {
            return false;
        }
        table.dead.remove(&key);
        // It is we who want to speak there.
        let (flow, line) = self.note(&mut table, *flow, true);
        drop(table);
        let taken = line.send(bytes, sender, &self.metrics);
        if !taken || self.dial.try_send(Dial { flow, line }).is_err() {
            self.ended(&flow);
            return false;
        }
        true
    }

    /// From now on a connection on which nothing arrives for so long is closed.
    pub(crate) fn expect(&self, flow: &Flow, within: ringway_core::time::Duration) {
        if let Some(entry) = self.table().by_id.get(&flow.connection) {
            entry.line.expect(Duration::from_micros(within.as_micros()));
        }
    }

    /// Ends all connections, as a server does that stops.
    pub(crate) fn close_all(&self) {
        let mut table = self.table();
        table.by_id.drain().for_each(|(_, entry)| entry.line.close());
        table.by_remote.clear();
        table.crowd = Crowd::default();
    }

    /// The flows of all open connections.
    pub fn flows(&self) -> Vec<Flow> {
        self.table().by_id.values().map(|entry| entry.flow).collect()
    }
}

/// Browsers are never called, and over TLS nobody is whose certificate has nothing to prove:
/// what it is worth could not be told (RFC 5922 §7.3).
fn may_dial(flow: &Flow) -> bool {
    let proves = flow.certified != CertifiedName::NONE;
    flow.transport.may_be_opened() && (proves || !flow.transport.is_secure())
}
