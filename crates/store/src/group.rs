//! Group commit: one thread owns the store and commits together what waits together.
//!
//! Nothing waits for a clock. While one batch is being committed the next one gathers: an idle
//! store commits at once, a busy one commits hundreds of changes with one flush of the disk,
//! and no change waits longer than for the commit under way and its own.

use crate::limits::{QUEUED_WRITES, SWEEP_EVERY, WRITES_PER_COMMIT};
use crate::{Store, StoreError};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{CommitToken, Write};
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Names a request: chosen by the caller, handed back with the result.
pub type Ticket = (u32, u64);

/// What came of each request of a batch, in the order in which they were submitted.
type Results = Vec<(Ticket, Result<CommitToken, StoreError>)>;

/// Why a request was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// Too many wait; say 503.
    Full,
    /// The store is being closed.
    Closed,
}

/// What the thread has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Batches committed.
    pub commits: u64,
    /// Changes committed.
    pub writes: u64,
    /// Changes that a later one of the same batch made needless.
    pub superseded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests not taken because too many waited.
    pub refused: u64,
    /// Panics caught in the store, or in what is called when it is done.
    pub panics: u64,
    /// Ended bindings forgotten.
    pub swept: u64,
    /// Changes that wait now.
    pub waiting: u64,
}

/// The thread that owns a store. Closing it commits all that waits.
pub struct GroupCommit {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<Box<dyn Store>>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    counters: Counters,
}

#[derive(Default)]
struct Queue {
    requests: VecDeque<Request>,
    writes: usize,
    is_closed: bool,
}

type Request = (Ticket, Vec<Write>);

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    writes: AtomicU64,
    superseded: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
    swept: AtomicU64,
}

impl GroupCommit {
    /// Starts the thread. `done` is called on it after each batch; a panic in it loses the
    /// answers of that batch and nothing else. `now_s` tells the time in seconds since the Unix
    /// epoch, by which ended bindings are swept.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        store: Box<dyn Store>,
        now_s: impl Fn() -> u64 + Send + 'static,
        done: impl FnMut(Vec<(Ticket, Result<CommitToken, StoreError>)>) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let next_sweep = Instant::now() + SWEEP_EVERY;
        let worker = Worker { shared: Arc::clone(&shared), store, done, now_s, next_sweep };
        let thread = thread::Builder::new().name("store".into()).spawn(move || worker.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Queues the changes of one request, which are kept all or none. Never waits.
    ///
    /// # Errors
    /// If too many wait already, or the store is closed; then `done` will not hear of it.
    pub fn submit(&self, ticket: Ticket, writes: Vec<Write>) -> Result<(), Refused> {
        let mut queue = self.shared.queue();
        if queue.is_closed {
            return Err(Refused::Closed);
        }
        // A large request is taken by an empty queue, or it would never be.
        if !queue.requests.is_empty() && queue.writes + writes.len() > QUEUED_WRITES {
            count(&self.shared.counters.refused, 1);
            return Err(Refused::Full);
        }
        let was_empty = queue.requests.is_empty();
        queue.writes += writes.len();
        queue.requests.push_back((ticket, writes));
        drop(queue);
        if was_empty {
            self.shared.filled.notify_one();
        }
        Ok(())
    }

    /// Takes no more requests, commits all that wait, and hands back the
    /// store; `None` if that was done before, or if called from `done`.
    pub fn close(&self) -> Option<Box<dyn Store>> {
        self.shared.queue().is_closed = true;
        self.shared.filled.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        if thread.thread().id() == thread::current().id() {
            // It cannot wait for its own end; it ends when the queue is empty.
            return None;
        }
        thread.join().ok()
    }

    /// What the thread has done so far.
    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.shared.counters;
        Counts {
            commits: of(&counters.commits),
            writes: of(&counters.writes),
            superseded: of(&counters.superseded),
            failed: of(&counters.failed),
            refused: of(&counters.refused),
            panics: of(&counters.panics),
            swept: of(&counters.swept),
            waiting: self.shared.queue().writes as u64,
        }
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupCommit").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker<N, D> {
    shared: Arc<Shared>,
    store: Box<dyn Store>,
    now_s: N,
    done: D,
    next_sweep: Instant,
}

impl<N: Fn() -> u64, D: FnMut(Results)> Worker<N, D> {
    fn run(mut self) -> Box<dyn Store> {
        while let Some(requests) = self.gather() {
            if !requests.is_empty() {
                self.commit(requests);
            }
            self.sweep_when_due();
        }
        self.store
    }

    /// Waits for requests. Comes back with none when it is time to sweep, and with `None` when
    /// there are none left and will be none.
    fn gather(&self) -> Option<Vec<Request>> {
        let mut queue = self.shared.queue();
        while queue.requests.is_empty() {
            if queue.is_closed {
                return None;
            }
            let wait = self.next_sweep.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Some(Vec::new());
            }
            let waited = self.shared.filled.wait_timeout(queue, wait);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut writes = 0;
        let mut taken = 0;
        for (_, more) in &queue.requests {
            if taken > 0 && writes + more.len() > WRITES_PER_COMMIT {
                break;
            }
            writes += more.len();
            taken += 1;
        }
        queue.writes -= writes;
        Some(queue.requests.drain(..taken).collect())
    }

    fn commit(&mut self, requests: Vec<Request>) {
        let mut tickets = Vec::with_capacity(requests.len());
        let mut writes = Vec::with_capacity(requests.len());
        for (ticket, own) in requests {
            tickets.push((ticket, own.len()));
            writes.extend(own);
        }
        let results = self.keep(&tickets, Batch::new(writes));
        let failed = results.iter().filter(|(_, result)| result.is_err()).count();
        count(&self.shared.counters.failed, failed as u64);
        let told = catch_unwind(AssertUnwindSafe(|| (self.done)(results)));
        count(&self.shared.counters.panics, u64::from(told.is_err()));
    }

    /// Commits a batch; `tickets` tell how many of its changes belong to whom.
    fn keep(&mut self, tickets: &[(Ticket, usize)], batch: Batch) -> Results {
        let result = self.write(&batch.writes);
        if result.is_ok() || tickets.len() == 1 {
            if result.is_ok() {
                count(&self.shared.counters.superseded, batch.superseded.len() as u64);
            }
            return tickets.iter().map(|&(ticket, _)| (ticket, result.clone())).collect();
        }
        // One bad change must not fail those of others.
        let writes = batch.into_all();
        let mut rest = &writes[..];
        let mut alone = |&(ticket, length): &(Ticket, usize)| {
            let (own, others) = rest.split_at(length);
            rest = others;
            (ticket, self.write(own))
        };
        tickets.iter().map(&mut alone).collect()
    }

    fn write(&mut self, writes: &[Write]) -> Result<CommitToken, StoreError> {
        let written = catch_unwind(AssertUnwindSafe(|| self.store.write(writes)));
        let counters = &self.shared.counters;
        let result = written.unwrap_or_else(|_| {
            count(&counters.panics, 1);
            Err(StoreError::Broken { what: "it panicked while writing".into() })
        });
        if result.is_ok() {
            count(&counters.commits, 1);
            count(&counters.writes, writes.len() as u64);
        }
        result
    }

    fn sweep_when_due(&mut self) {
        let now = Instant::now();
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + SWEEP_EVERY;
        let swept = catch_unwind(AssertUnwindSafe(|| self.store.sweep((self.now_s)())));
        let counters = &self.shared.counters;
        count(&counters.panics, u64::from(swept.is_err()));
        // What could not be swept is passed over when it is read, and tried again later.
        count(&counters.swept, swept.ok().and_then(Result::ok).unwrap_or(0) as u64);
    }
}

/// The changes of several requests, in order, without those that a later one makes needless.
struct Batch {
    writes: Vec<Write>,
    /// The needless ones, with their places among all.
    superseded: Vec<(usize, Write)>,
}

impl Batch {
    fn new(all: Vec<Write>) -> Self {
        let mut places = superseded(&all).into_iter().peekable();
        if places.peek().is_none() {
            return Self { writes: all, superseded: Vec::new() };
        }
        let mut batch = Self { writes: Vec::with_capacity(all.len()), superseded: Vec::new() };
        for (place, write) in all.into_iter().enumerate() {
            match places.next_if_eq(&place) {
                Some(place) => batch.superseded.push((place, write)),
                None => batch.writes.push(write),
            }
        }
        batch
    }

    /// All of them again, in order.
    fn into_all(self) -> Vec<Write> {
        let mut all = Vec::with_capacity(self.writes.len() + self.superseded.len());
        let mut others = self.writes.into_iter();
        for (place, write) in self.superseded {
            all.extend(others.by_ref().take(place - all.len()));
            all.push(write);
        }
        all.extend(others);
        all
    }
}

/// What a change is about.
#[derive(PartialEq, Eq, Hash)]
enum Fact<'a> {
    Account(&'a AddressOfRecord),
    Binding(&'a AddressOfRecord, Cow<'a, [u8]>),
}

/// The places, in order, of changes to facts that a later change decides.
fn superseded(writes: &[Write]) -> Vec<usize> {
    if writes.len() < 2 {
        return Vec::new();
    }
    let mut decided = HashSet::with_capacity(writes.len());
    let mut places = Vec::new();
    for (place, write) in writes.iter().enumerate().rev() {
        let fact = match write {
            Write::PutBinding(aor, binding) => Fact::Binding(aor, binding.key()),
            Write::DropBinding(aor, key) => Fact::Binding(aor, Cow::Borrowed(&**key)),
            Write::PutAccount(account) => Fact::Account(&account.aor),
            Write::DropAccount(aor) => Fact::Account(aor),
        };
        let is_decided = !decided.insert(fact);
        // The end of an account is also the end of bindings that no later change names.
        if is_decided && !matches!(write, Write::DropAccount(_)) {
            places.push(place);
        }
    }
    places.reverse();
    places
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests;
