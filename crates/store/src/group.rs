//! Group commit: one thread owns the store and commits together what waits together.
//!
//! Nothing waits for a clock: as long as one batch is being committed, the next gathers. An idle
//! store commits at once, a busy one commits hundreds at a time, and none waits longer than two
//! commits take.

use crate::{Store, StoreError};
use ringway_core::boundary::{CommitToken, Write};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Named by the caller, handed back with the result.
pub type Ticket = (u32, u64);

/// The queue is full, or closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueFull;

/// Requests that may wait: some seconds' worth, then the caller must say 503.
const QUEUE: usize = 65_536;
/// Requests committed together; more would make the first of them wait too long.
const BATCH: usize = 4_096;
/// How often ended bindings are removed.
const PURGE_EVERY: Duration = Duration::from_secs(60);

type Request = (Ticket, Vec<Write>);

/// The thread that owns a store.
#[derive(Debug)]
pub struct GroupCommit {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    requests: VecDeque<Request>,
    closed: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GroupCommit {
    /// Starts the thread. `done` is called on it for every request, in the order they came;
    /// `now_s` tells the time in seconds since the Unix epoch.
    ///
    /// # Errors
    /// If no thread can be had.
    pub fn start(
        store: Box<dyn Store>,
        now_s: impl Fn() -> u64 + Send + 'static,
        done: impl FnMut(Vec<(Ticket, Result<CommitToken, StoreError>)>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let run = move || run(&theirs, store, &now_s, done);
        let thread = thread::Builder::new().name("store".into()).spawn(run)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Queues changes.
    ///
    /// # Errors
    /// If too many wait already.
    pub fn submit(&self, ticket: Ticket, writes: Vec<Write>) -> Result<(), QueueFull> {
        let mut queue = self.shared.queue();
        if queue.closed || queue.requests.len() >= QUEUE {
            return Err(QueueFull);
        }
        queue.requests.push_back((ticket, writes));
        self.shared.filled.notify_one();
        Ok(())
    }

    /// Commits all that waits, and ends the thread.
    pub fn close(&mut self) {
        self.shared.queue().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.close();
    }
}

fn run(
    shared: &Shared,
    mut store: Box<dyn Store>,
    now_s: &dyn Fn() -> u64,
    mut done: impl FnMut(Vec<(Ticket, Result<CommitToken, StoreError>)>),
) {
    let mut purged = now_s();
    while let Some(batch) = gather(shared) {
        if !batch.is_empty() {
            done(commit(store.as_mut(), batch));
        }
        let now = now_s();
        if now >= purged + PURGE_EVERY.as_secs() {
            purged = now;
            // What stays is skipped when it is read, and tried again in a minute.
            let _ = store.purge(now);
        }
    }
}

/// Waits for work; `None` when there is none left and there will be none.
fn gather(shared: &Shared) -> Option<Vec<Request>> {
    let mut queue = shared.queue();
    while queue.requests.is_empty() && !queue.closed {
        let waited = shared.filled.wait_timeout(queue, PURGE_EVERY);
        let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        queue = again;
        if timeout.timed_out() {
            return Some(Vec::new());
        }
    }
    let count = queue.requests.len().min(BATCH);
    if count == 0 {
        return None;
    }
    Some(queue.requests.drain(..count).collect())
}

fn commit(
    store: &mut dyn Store,
    batch: Vec<Request>,
) -> Vec<(Ticket, Result<CommitToken, StoreError>)> {
    let writes: Vec<Write> = batch.iter().flat_map(|(_, writes)| writes.iter().cloned()).collect();
    if let Ok(token) = store.write(&writes) {
        return batch.into_iter().map(|(ticket, _)| (ticket, Ok(token))).collect();
    }
    // One bad change must not fail those of others.
    batch.into_iter().map(|(ticket, writes)| (ticket, store.write(&writes))).collect()
}
