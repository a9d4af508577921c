//! The open stream connections, and how bytes get to them.

use crate::limits;
use crate::metrics::{Metrics, count};
use crate::tcp::StreamLimits;
use ringway_core::boundary::TransactionRef;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId};
use ringway_core::time::Instant;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc};

/// Messages waiting for one connection; their bytes have a limit of their own.
const QUEUE: usize = 4_096;

/// One message for a connection.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) bytes: Box<[u8]>,
    /// Who is told if it cannot be delivered, and in which partition.
    pub(crate) on_failure: (u32, Option<TransactionRef>),
}

impl Parcel {
    pub(crate) fn new(bytes: &[u8], on_failure: (u32, Option<TransactionRef>)) -> Self {
        Self { bytes: bytes.into(), on_failure }
    }
}

/// What a connection's task is fed with.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) parcels: mpsc::Receiver<Parcel>,
    pub(crate) queued: Arc<AtomicUsize>,
    /// Somebody else decided that the connection ends.
    pub(crate) hang_up: Arc<Notify>,
}

/// Asks the runtime to open a connection.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) flow: Flow,
    pub(crate) feed: Feed,
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
    by_id: HashMap<ConnectionId, Line>,
    by_remote: HashMap<Far, ConnectionId>,
    per_address: HashMap<IpAddr, usize>,
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
struct Line {
    flow: Flow,
    parcels: mpsc::Sender<Parcel>,
    queued: Arc<AtomicUsize>,
    hang_up: Arc<Notify>,
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

    /// Notes a connection that was accepted; `None` at a limit.
    pub(crate) fn accept(&self, flow: Flow) -> Option<(Flow, Feed)> {
        let mut table = self.table();
        let ip = flow.remote.ip().to_canonical();
        let from_there = table.per_address.get(&ip).copied().unwrap_or(0);
        if table.by_id.len() >= self.limits.connections
            || from_there >= self.limits.connections_per_address
        {
            count(&self.metrics.connections_refused);
            return None;
        }
        count(&self.metrics.connections_accepted);
        Some(self.note(&mut table, flow))
    }

    fn note(&self, table: &mut Table, flow: Flow) -> (Flow, Feed) {
        let connection = ConnectionId(self.next.fetch_add(1, Ordering::Relaxed));
        let flow = Flow { connection, ..flow };
        let (sender, parcels) = mpsc::channel(QUEUE);
        let queued = Arc::new(AtomicUsize::new(0));
        let hang_up = Arc::new(Notify::new());
        let (queue, end) = (Arc::clone(&queued), Arc::clone(&hang_up));
        let line = Line { flow, parcels: sender, queued: queue, hang_up: end };
        table.by_id.insert(connection, line);
        table.by_remote.insert(far(&flow), connection);
        *table.per_address.entry(flow.remote.ip().to_canonical()).or_default() += 1;
        (flow, Feed { parcels, queued, hang_up })
    }

    /// Notes whom the certificate of a connection that we took speaks for.
    pub(crate) fn certify(&self, flow: &mut Flow, certified: CertifiedName) {
        let mut table = self.table();
        let before = far(flow);
        flow.certified = certified;
        if let Some(line) = table.by_id.get_mut(&flow.connection) {
            line.flow = *flow;
            if table.by_remote.get(&before) == Some(&flow.connection) {
                table.by_remote.remove(&before);
            }
            table.by_remote.insert(far(flow), flow.connection);
        }
    }

    /// Forgets a connection that has ended.
    pub(crate) fn ended(&self, flow: &Flow) {
        let mut table = self.table();
        if table.by_id.remove(&flow.connection).is_none() {
            return;
        }
        let key = far(flow);
        if table.by_remote.get(&key) == Some(&flow.connection) {
            table.by_remote.remove(&key);
        }
        let ip = flow.remote.ip().to_canonical();
        if let Some(open) = table.per_address.get_mut(&ip) {
            *open -= 1;
            if *open == 0 {
                table.per_address.remove(&ip);
            }
        }
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

    /// Queues a message for a connection, or has one opened for it. `false`: it cannot be
    /// delivered.
    pub(crate) fn send(&self, flow: &Flow, parcel: Parcel) -> bool {
        let mut table = self.table();
        let id = if flow.connection == ConnectionId::NONE {
            table.by_remote.get(&far(flow)).copied()
        } else {
            Some(flow.connection)
        };
        if let Some(line) = id.and_then(|id| table.by_id.get(&id)) {
            return line.push(parcel, &self.metrics);
        }
        if flow.connection != ConnectionId::NONE || !may_dial(flow) {
            return false;
        }
        let now = std::time::Instant::now();
        let key = far(flow);
        if table.dead.get(&key).is_some_and(|until| *until > now)
            || table.by_id.len() >= self.limits.connections
        {
            return false;
        }
        table.dead.remove(&key);
        let (flow, feed) = self.note(&mut table, *flow);
        let taken =
            table.by_id.get(&flow.connection).is_some_and(|l| l.push(parcel, &self.metrics));
        drop(table);
        if !taken || self.dial.try_send(Dial { flow, feed }).is_err() {
            self.ended(&flow);
            return false;
        }
        true
    }

    /// Ends all connections, as a server does that stops.
    pub(crate) fn close_all(&self) {
        let mut table = self.table();
        table.by_id.clear();
        table.by_remote.clear();
        table.per_address.clear();
    }

    /// The flows of all open connections.
    pub fn flows(&self) -> Vec<Flow> {
        self.table().by_id.values().map(|line| line.flow).collect()
    }
}

/// Browsers are never called, and over TLS nobody is whose certificate has nothing to prove:
/// what it is worth could not be told (RFC 5922 §7.3).
fn may_dial(flow: &Flow) -> bool {
    let proves = flow.certified != CertifiedName::NONE;
    flow.transport.may_be_opened() && (proves || !flow.transport.is_secure())
}

impl Line {
    fn push(&self, parcel: Parcel, metrics: &Metrics) -> bool {
        let length = parcel.bytes.len();
        if self.queued.load(Ordering::Relaxed) + length > limits::WRITE_QUEUE {
            count(&metrics.connections_too_slow);
            self.hang_up.notify_one();
            return false;
        }
        let taken = self.parcels.try_send(parcel).is_ok();
        if taken {
            self.queued.fetch_add(length, Ordering::Relaxed);
        }
        taken
    }
}
