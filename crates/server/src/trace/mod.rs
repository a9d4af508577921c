//! Seeing messages pass, now and for a while afterwards.
//!
//! ```text
//! engine -> Tap ─┬─> Ring: what passed lately ──┬─> sort -> control socket -> `ringway trace`
//!                ├─> listeners: bounded queues ─┘
//!                └─> HEP: a collector elsewhere
//! ```
//!
//! Whoever handles messages never waits here: what does not fit into a queue is lost and counted.
//! Who may use the control socket may see everything; what proves passwords, and the keys of
//! media, are masked unless they are asked for ([`mod@mask`]).

mod facts;
mod hep;
mod listeners;
mod mask;
mod pcap;
mod ring;
mod sort;

pub use facts::named_in;
pub use hep::{Cannot as CannotExport, Collector, packet as hep_packet};
pub use listeners::{Batch, Subscription};
pub use mask::mask;
pub use pcap::Writer as PcapWriter;
pub use sort::{Criterion, Groups, Sorter};

use crate::metrics::Metrics;
use listeners::Listeners;
use ring::Ring;
use ringway_core::flow::{Flow, Listener};
use ringway_core::time::Instant;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is kept, and what goes elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Mebibytes of messages that are kept; 0 keeps none.
    pub keep_mib: usize,
    /// For how long.
    pub keep: Duration,
    /// A collector that gets a copy of everything.
    pub hep: Option<Collector>,
}

impl Default for Settings {
    fn default() -> Self {
        use crate::limits::{TRACE_KEEP, TRACE_KEEP_MIB};
        Self { keep_mib: TRACE_KEEP_MIB, keep: TRACE_KEEP, hep: None }
    }
}

/// Which way a message went, seen from the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    /// It came in.
    In,
    /// It went out.
    Out,
}

/// A message that passed.
#[derive(Clone, Debug)]
pub struct Record {
    /// In which order messages were noted.
    pub number: u64,
    /// When.
    pub at: Instant,
    /// Which way.
    pub way: Way,
    /// Between which addresses.
    pub flow: Flow,
    /// Whether the same message passed the same way before: a retransmission.
    pub again: bool,
    /// The message, nothing masked.
    pub bytes: Arc<[u8]>,
}

/// Where the engine shows every message.
#[derive(Debug)]
pub struct Tap {
    ring: Ring,
    listeners: Arc<Listeners>,
    hep: Option<hep::Exporter>,
    next: AtomicU64,
}

impl Tap {
    /// Begins to keep and to export.
    ///
    /// # Errors
    /// If the system gives no socket or no thread for the exporter.
    pub(crate) fn open(
        settings: &Settings,
        listeners: &Arc<[Listener]>,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let export = |to: &Collector| {
            hep::Exporter::start(to.clone(), Arc::clone(listeners), Arc::clone(metrics))
        };
        Ok(Self {
            ring: Ring::new(settings.keep_mib << 20, settings.keep),
            listeners: Arc::new(Listeners::new(Arc::clone(metrics))),
            hep: settings.hep.as_ref().map(export).transpose()?,
            next: AtomicU64::new(1),
        })
    }

    /// Whether anybody wants to see anything.
    pub(crate) fn is_on(&self) -> bool {
        self.ring.is_on() || self.listeners.any() || self.hep.is_some()
    }

    /// Shows a message of a partition.
    pub(crate) fn note(&self, partition: u32, at: Instant, way: Way, (flow, bytes): (Flow, &[u8])) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_heard = self.listeners.any() || self.hep.is_some();
        let again = self.ring.note(partition, (number, at), (way, flow), bytes);
        if !is_heard {
            return;
        }
        let record = Record { number, at, way, flow, again, bytes: bytes.into() };
        if let Some(hep) = &self.hep {
            hep.export(&record);
        }
        self.listeners.tell(&record);
    }

    /// What passed lately, oldest first.
    pub fn past(&self, now: Instant) -> Vec<Record> {
        self.ring.read(now)
    }

    /// Shows what passes from now on; `None` if too many look already.
    pub fn listen(&self) -> Option<Subscription> {
        Listeners::join(&self.listeners)
    }

    /// Forgets what is too old.
    pub(crate) fn expire(&self, now: Instant) {
        self.ring.expire(now);
    }

    /// Tells all listeners that there is no more to come.
    pub(crate) fn close(&self) {
        self.listeners.close();
    }
}
