//! Runs the partitions: hands them inputs, and does what comes out.
//!
//! Each partition is behind one lock. The thread that brings an input runs it, and works off
//! what follows: a question whose answer another partition owns is answered on the spot, the
//! first lock released before the second is taken.

mod look;
mod sample;

use crate::clock::Clock;
use crate::connections::{Connections, bit_of};
use crate::events::Events;
use crate::limits;
use crate::metrics::{Metrics, count, count_many};
use crate::resolver::Resolver;
use crate::tcp::StreamLimits;
use crate::tls::CertifiedNames;
use crate::trace::{Tap, Way};
use crate::udp::Sockets;
use ringway_core::boundary::{
    Answer, AskId, Asker, Command, Input, Outbox, Output, Question, TransactionRef, Write,
};
use ringway_core::counters::Counters;
use ringway_core::flow::{ConnectionId, Flow, Listener, Transport};
use ringway_core::keep_alive::KeepAlive;
use ringway_core::keys::Keys;
use ringway_core::locate::NextHop;
use ringway_core::node::{Node, Setup, home_of, home_of_flow};
use ringway_core::snapshot::Snapshot;
use ringway_core::time::Instant;
use ringway_core::transaction::key::ClientBranch;
use ringway_store::{Counts, GroupCommit, Refused, Ticket};
use ringway_wire::Message;
use sample::Sample;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use tracing::error;

/// The partitions and everything they reach the world with.
#[derive(Debug)]
pub struct Engine {
    partitions: Vec<Partition>,
    setup: Setup,
    snapshot: RwLock<Arc<Snapshot>>,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    events: Events,
    pub(crate) sockets: Sockets,
    pub(crate) connections: Connections,
    pub(crate) tap: Tap,
    /// What certificates prove, by the hashes in flows.
    pub(crate) certified: Arc<CertifiedNames>,
    /// What partitions had counted that were given up: counters never go back.
    given_up: Mutex<Counters>,
    store: OnceLock<GroupCommit>,
    resolver: OnceLock<Resolver>,
}

#[derive(Debug)]
struct Partition {
    node: Mutex<Node>,
    /// When it wants to be woken, in microseconds since the Unix epoch.
    due: AtomicU64,
    /// Panics since it was made.
    panics: AtomicU32,
}

/// What an engine is made of.
pub(crate) struct Parts {
    pub(crate) keys: Keys,
    pub(crate) seed: u64,
    pub(crate) listeners: Arc<[Listener]>,
    pub(crate) snapshot: Snapshot,
    pub(crate) sockets: Sockets,
    pub(crate) streams: StreamLimits,
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tap: Tap,
    pub(crate) partitions: u32,
}

/// What one thread needs to run partitions; used again for every batch.
#[derive(Debug, Default)]
pub struct Work {
    outbox: Outbox,
    queue: VecDeque<(u32, Owned)>,
    sends: Vec<Send>,
    /// Whose sockets are written to; threads that are no worker use those of the first.
    worker: usize,
    /// The partitions that received a message, a bit for each; for whoever empties it.
    pub(crate) receivers: u64,
}

impl Work {
    pub(crate) fn of_worker(worker: usize) -> Self {
        Self { worker, ..Self::default() }
    }
}

/// An input that borrows nothing.
#[derive(Debug)]
enum Owned {
    Asked(Asker, Question),
    Answered(AskId, Answer),
    Undelivered(TransactionRef),
}

/// A message to be sent, its bytes in the outbox.
#[derive(Debug)]
pub(crate) struct Send {
    pub(crate) flow: Flow,
    pub(crate) bytes: Range<usize>,
    partition: u32,
    on_failure: Option<TransactionRef>,
}

impl Engine {
    /// Partitions that have nothing yet.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { keys, seed, listeners, snapshot, sockets, streams, clock, .. } = parts;
        let Parts { metrics, tap, partitions, .. } = parts;
        let setup = Setup {
            keys: Arc::new(keys),
            listeners,
            partition: 0,
            partitions,
            seed,
            started: clock.started(),
        };
        let snapshot = Arc::new(snapshot);
        let partition = |n: u32| {
            let setup = Setup { partition: n, seed: setup.seed ^ u64::from(n), ..setup.clone() };
            let node = Mutex::new(Node::new(setup, Arc::clone(&snapshot)));
            Partition { node, due: AtomicU64::new(u64::MAX), panics: AtomicU32::new(0) }
        };
        Self {
            partitions: (0..partitions).map(partition).collect(),
            events: Events::new(Arc::clone(&metrics)),
            certified: Arc::new(CertifiedNames::new(setup.keys.as_ref().clone())),
            connections: Connections::new(Arc::clone(&metrics), clock.started(), streams),
            metrics,
            snapshot: RwLock::new(snapshot),
            setup,
            clock,
            sockets,
            tap,
            given_up: Mutex::default(),
            store: OnceLock::new(),
            resolver: OnceLock::new(),
        }
    }

    /// Gives it the store and the resolver, which themselves need it to answer.
    pub(crate) fn connect(&self, store: GroupCommit, resolver: Resolver) {
        assert!(self.store.set(store).is_ok(), "an engine is connected once");
        assert!(self.resolver.set(resolver).is_ok(), "an engine is connected once");
    }

    /// What the program itself counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The open stream connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// What all partitions are made with.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The listening sockets.
    pub fn listeners(&self) -> &Arc<[Listener]> {
        &self.setup.listeners
    }

    /// Accounts, domains and rules as they are now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces accounts, domains and rules in all partitions.
    pub fn use_snapshot(&self, snapshot: Snapshot, work: &mut Work) {
        let snapshot = Arc::new(snapshot);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        self.command_all(|| Command::UseSnapshot(Arc::clone(&snapshot)), work);
    }

    /// Tells every partition the same.
    pub fn command_all(&self, command: impl Fn() -> Command, work: &mut Work) {
        for partition in 0..self.partitions.len() as u32 {
            self.run(partition, Input::Commanded(command()), work);
        }
        self.flush(work);
    }

    /// Tells the partition that owns an address-of-record something.
    pub fn command_owner(
        &self,
        aor: &ringway_core::address_of_record::AddressOfRecord,
        command: Command,
        work: &mut Work,
    ) {
        let partition = self.place(self.setup.keys.partition_of(aor));
        self.run(partition, Input::Commanded(command), work);
    }

    fn place(&self, hash: u64) -> u32 {
        (hash % self.partitions.len() as u64) as u32
    }

    /// A message arrived.
    pub fn receive(&self, snapshot: &Snapshot, flow: Flow, message: Message<'_>, work: &mut Work) {
        let partition = self.place(home_of(&self.setup, snapshot, &message));
        work.receivers |= bit_of(partition);
        if self.tap.is_on() {
            self.tap.note(partition, self.clock.now(), Way::In, (flow, message.bytes()));
        }
        self.run(partition, Input::Message { flow, message }, work);
    }

    /// A datagram that says that its flow lives.
    pub(crate) fn keep_alive(&self, flow: Flow, what: KeepAlive, work: &mut Work) {
        let partition = self.place(home_of_flow(&self.setup, &flow));
        self.run(partition, Input::KeptAlive(flow, what), work);
    }

    /// A connection ended, as those partitions hear that had to do with it, a bit for each.
    pub(crate) fn flow_closed(&self, flow: Flow, users: u64, work: &mut Work) {
        for partition in (0..self.partitions.len() as u32).filter(|&n| users & bit_of(n) != 0) {
            self.run(partition, Input::FlowClosed(flow), work);
        }
        self.flush(work);
    }

    /// Something could not be sent.
    pub(crate) fn undelivered(&self, partition: u32, failed: TransactionRef, work: &mut Work) {
        self.run(partition, Input::Undelivered(failed), work);
        self.flush(work);
    }

    /// A request did not arrive: whoever sent it knows its branch.
    pub(crate) fn unreachable(&self, remote: SocketAddr, branch: ClientBranch, work: &mut Work) {
        for partition in 0..self.partitions.len() as u32 {
            self.run(partition, Input::Unreachable { remote, branch }, work);
        }
        self.flush(work);
    }

    /// An answer from the store or the resolver.
    pub(crate) fn answered(&self, partition: u32, ask: AskId, answer: Answer, work: &mut Work) {
        self.run(partition, Input::Answered { ask, answer }, work);
    }

    /// Wakes the partitions whose time has come, of those that this worker looks after.
    pub(crate) fn tick(&self, worker: usize, workers: usize, work: &mut Work) {
        let now = self.clock.now().as_micros();
        for (n, partition) in self.partitions.iter().enumerate().skip(worker).step_by(workers) {
            if partition.due.load(Ordering::Relaxed) <= now {
                self.run(n as u32, Input::TimeIsUp, work);
            }
        }
        self.tap.expire(self.clock.now());
        self.flush(work);
    }

    /// Runs one input and all that follows from it at once.
    fn run(&self, partition: u32, input: Input<'_>, work: &mut Work) {
        self.step(partition, input, work);
        let mut steps = 0;
        while let Some((partition, owned)) = work.queue.pop_front() {
            let input = match owned {
                Owned::Asked(asker, question) => Input::Asked { asker, question },
                Owned::Answered(ask, answer) => Input::Answered { ask, answer },
                Owned::Undelivered(transaction) => Input::Undelivered(transaction),
            };
            self.step(partition, input, work);
            steps += 1;
            if steps >= limits::STEPS {
                count(&self.metrics.steps_cut);
                work.queue.clear();
            }
        }
    }

    fn step(&self, number: u32, input: Input<'_>, work: &mut Work) {
        let partition = &self.partitions[number as usize];
        let now = self.clock.now();
        let outbox = &mut work.outbox;
        let (outputs, bytes) = (outbox.outputs.len(), outbox.bytes.len());
        let ran = {
            let what = Sample::of(&input);
            let mut node = lock(&partition.node);
            // A17, A18: a panic costs this message and nothing else. What the node had done for
            // it so far stays; its timers clear it away.
            let ran = catch_unwind(AssertUnwindSafe(|| {
                #[cfg(test)]
                tests::panic_if_asked(&input);
                node.handle(now, input, outbox)
            }));
            if ran.is_err() {
                self.on_panic(number, &mut node, &what);
            }
            ran
        };
        match ran {
            Ok(due) => {
                let due = due.map_or(u64::MAX, Instant::as_micros);
                partition.due.store(due, Ordering::Relaxed);
            }
            Err(_) => {
                // Whatever timers it set are asked for at the next tick.
                partition.due.store(now.as_micros(), Ordering::Relaxed);
                outbox.outputs.truncate(outputs);
                outbox.bytes.truncate(bytes);
            }
        }
        self.take_outputs(number, now, work);
    }

    /// One panic may have hurt only the message that met it. The second one in a partition is
    /// taken for a torn state: it is made anew with its bindings; its transactions are lost, its
    /// calls go on, for their routes are in their messages.
    fn on_panic(&self, number: u32, node: &mut Node, what: &Sample) {
        count(&self.metrics.panics);
        let partition = &self.partitions[number as usize];
        let panics = partition.panics.fetch_add(1, Ordering::Relaxed) + 1;
        let Sample { kind, length } = what;
        error!(event = "panic", partition = number, panics, kind, length, "lost to a bug");
        if panics < limits::PANICS_PER_PARTITION {
            return;
        }
        partition.panics.store(0, Ordering::Relaxed);
        let now = self.clock.now();
        // Branches must not repeat those of the node that is given up.
        let seed = self.setup.seed ^ u64::from(number) ^ now.as_micros().rotate_left(32);
        let setup = Setup { partition: number, seed, ..self.setup.clone() };
        let fresh = catch_unwind(AssertUnwindSafe(|| {
            let mut fresh = Node::new(setup, self.snapshot());
            let mut nothing = Outbox::default();
            for (aor, binding) in node.survivors() {
                let restore = Command::Restore(aor.clone(), Box::new(binding));
                fresh.handle(now, Input::Commanded(restore), &mut nothing);
            }
            fresh
        }));
        match fresh {
            Ok(fresh) => {
                self.given_up().add(node.counters());
                *node = fresh;
            }
            Err(_) => error!(event = "partition_kept", partition = number, "it cannot be read"),
        }
    }

    fn given_up(&self) -> MutexGuard<'_, Counters> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_outputs(&self, number: u32, now: Instant, work: &mut Work) {
        for output in work.outbox.outputs.drain(..) {
            match output {
                Output::Send { flow, bytes, on_failure } => {
                    work.sends.push(Send { flow, bytes, partition: number, on_failure });
                }
                Output::Ask { ask, question } => match question.owner(&self.setup.keys) {
                    Some(home) => {
                        let owner = self.place(home);
                        let asker = Asker { partition: number, ask };
                        work.queue.push_back((owner, Owned::Asked(asker, question)));
                    }
                    None => {
                        if let Err(failed) = self.ask_world(number, ask, question) {
                            work.queue.push_back((number, Owned::Answered(ask, failed)));
                        }
                    }
                },
                Output::Answer { asker, answer } => {
                    work.queue.push_back((asker.partition, Owned::Answered(asker.ask, answer)));
                }
                Output::Avoid { flow, retry_after_s } => {
                    if let Some(resolver) = self.resolver.get() {
                        resolver.avoid(now, &flow, retry_after_s);
                    }
                }
                Output::Proved { flow, alias } => self.connections.prove(&flow, alias),
                Output::Expect { flow, within } => self.connections.expect(&flow, within),
                Output::Event(event) => self.events.log(now.as_secs(), number, &event),
            }
        }
    }

    /// Looks a next hop up, and tells in words what was found, a line for each place.
    /// For threads that may wait.
    pub(crate) fn explain_next_hop(&self, hop: &NextHop) -> Vec<String> {
        match self.resolver.get() {
            Some(resolver) => resolver.explain(self.clock.now(), &self.snapshot(), hop),
            None => Vec::new(),
        }
    }

    /// Passes a question to the store or the resolver; hands back the answer if neither can.
    fn ask_world(&self, partition: u32, ask: AskId, question: Question) -> Result<(), Answer> {
        match (question, self.store.get(), self.resolver.get()) {
            (Question::Keep(writes), Some(store), _) => {
                store.submit((partition, ask.0), writes).map_err(|_| Answer::Failed)
            }
            (Question::Resolve(hop), _, Some(resolver)) => {
                resolver.ask(self.clock.now(), (partition, ask), hop)
            }
            _ => Err(Answer::Failed),
        }
    }

    /// Sends all that was written, and works off what comes of failures.
    pub(crate) fn flush(&self, work: &mut Work) {
        while !work.sends.is_empty() {
            let mut sends = std::mem::take(&mut work.sends);
            self.show(&sends, &work.outbox.bytes);
            // In the order in which they were written: whoever is asked over one transport may
            // answer before a 100 leaves over another.
            for run in sends.chunk_by(|a, b| a.flow.socket == b.flow.socket) {
                if run.iter().all(|send| send.flow.transport == Transport::Udp) {
                    let sent = self.sockets.send(work.worker, run, &work.outbox.bytes);
                    count_many(&self.metrics.datagrams_sent, sent);
                    count_many(&self.metrics.datagrams_unsent, run.len() - sent);
                } else {
                    run.iter().for_each(|send| self.queue(send, work));
                }
            }
            sends.clear();
            work.outbox.bytes.clear();
            while let Some((partition, Owned::Undelivered(failed))) = work.queue.pop_front() {
                self.run(partition, Input::Undelivered(failed), work);
            }
            sends.append(&mut work.sends);
            work.sends = sends; // Its memory is for the next batch.
        }
        work.outbox.bytes.clear();
    }

    /// Shows what is about to leave.
    fn show(&self, sends: &[Send], bytes: &[u8]) {
        if self.tap.is_on() {
            let now = self.clock.now();
            for Send { flow, bytes: range, partition, .. } in sends {
                self.tap.note(*partition, now, Way::Out, (*flow, &bytes[range.clone()]));
            }
        }
    }

    /// Gives a message to its connection; without one, its transaction is told.
    fn queue(&self, send: &Send, work: &mut Work) {
        let bytes = &work.outbox.bytes[send.bytes.clone()];
        if self.connections.send(&send.flow, bytes, (send.partition, send.on_failure)) {
            return;
        }
        match send.on_failure {
            Some(TransactionRef::Elsewhere(remote)) => {
                let flow = Flow { remote, connection: ConnectionId::NONE, ..send.flow };
                self.connections.send(&flow, bytes, (send.partition, None));
            }
            Some(failed) => work.queue.push_back((send.partition, Owned::Undelivered(failed))),
            None => {}
        }
    }

    /// Has the store keep changes that no partition asked for; the ticket comes back with the
    /// result, as those of partitions do.
    pub(crate) fn keep(&self, ticket: Ticket, writes: Vec<Write>) -> Result<(), Refused> {
        self.store.get().map_or(Err(Refused::Closed), |store| store.submit(ticket, writes))
    }

    /// What the store has done so far.
    pub(crate) fn store_counts(&self) -> Counts {
        self.store.get().map(GroupCommit::counts).unwrap_or_default()
    }

    /// Commits what waits, and keeps nothing more.
    pub(crate) fn close_store(&self) {
        if let Some(store) = self.store.get() {
            // The store itself is let go of here, and with it its lock on the folder.
            drop(store.close());
        }
    }
}

/// What a panic left behind is still a node: see [`Engine::step`].
fn lock(node: &Mutex<Node>) -> MutexGuard<'_, Node> {
    node.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
