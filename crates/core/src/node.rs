//! One partition of the server: the life of a request.

use crate::boundary::{Input, Outbox};
use crate::flow::Listener;
use crate::keys::Keys;
use crate::snapshot::Snapshot;
use crate::time::Instant;
use alloc::sync::Arc;

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The keys of the installation, the same in all partitions.
    pub keys: Arc<Keys>,
    /// All listening sockets; [`SocketId`](crate::flow::SocketId) counts into them.
    pub listeners: Arc<[Listener]>,
    /// The number of this partition …
    pub partition: u32,
    /// … of so many.
    pub partitions: u32,
    /// From which tags and branches are made; never the same twice in one installation.
    pub seed: u64,
}

/// One partition: its transactions and calls, and the bindings it owns.
#[derive(Debug)]
pub struct Node {
    setup: Setup,
    snapshot: Arc<Snapshot>,
}

impl Node {
    /// An empty partition.
    pub fn new(setup: Setup, snapshot: Arc<Snapshot>) -> Self {
        Self { setup, snapshot }
    }

    /// Takes one input and puts all that follows into `out`; answers when it wants to be woken
    /// with [`Input::TimeIsUp`] at the latest.
    pub fn handle(&mut self, now: Instant, input: Input<'_>, out: &mut Outbox) -> Option<Instant> {
        let _ = (now, input, out, &self.setup, &self.snapshot);
        None
    }
}
