//! Whoever looks at messages as they pass. Each has a queue with an end: who is too slow loses
//! some, and is told how many.

use super::Record;
use crate::limits;
use crate::metrics::{Metrics, count};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Listeners {
    /// So many there are: asked for each message, without a lock.
    count: AtomicUsize,
    inboxes: RwLock<Vec<Arc<Inbox>>>,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Inbox {
    queue: Mutex<Queue>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<Record>,
    bytes: usize,
    lost: u64,
    is_closed: bool,
}

/// What came for a listener.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages, in order.
    pub records: Vec<Record>,
    /// How many were lost since the last batch, because there was no room.
    pub lost: u64,
    /// There is no more to come: the server stops.
    pub is_closed: bool,
}

/// The place of a listener; given back when it is dropped.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
    listeners: Arc<Listeners>,
}

impl Listeners {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { count: AtomicUsize::new(0), inboxes: RwLock::default(), metrics }
    }

    pub(super) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(super) fn join(listeners: &Arc<Self>) -> Option<Subscription> {
        let mut inboxes = listeners.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        if inboxes.len() >= limits::TRACE_LISTENERS {
            return None;
        }
        let inbox = Arc::new(Inbox::default());
        inboxes.push(Arc::clone(&inbox));
        listeners.count.store(inboxes.len(), Ordering::Relaxed);
        drop(inboxes);
        Some(Subscription { inbox, listeners: Arc::clone(listeners) })
    }

    pub(super) fn tell(&self, record: &Record) {
        for inbox in self.inboxes.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if !inbox.push(record) {
                count(&self.metrics.trace_lost);
            }
        }
    }

    pub(super) fn close(&self) {
        for inbox in self.inboxes.read().unwrap_or_else(PoisonError::into_inner).iter() {
            inbox.queue().is_closed = true;
            inbox.filled.notify_all();
        }
    }
}

impl Inbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under this lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: there was no room.
    fn push(&self, record: &Record) -> bool {
        let mut queue = self.queue();
        let bytes = queue.bytes + record.bytes.len();
        if queue.records.len() >= limits::TRACE_QUEUE || bytes > limits::TRACE_QUEUE_BYTES {
            queue.lost += 1;
            return false;
        }
        queue.bytes = bytes;
        queue.records.push_back(record.clone());
        if queue.records.len() == 1 {
            self.filled.notify_one();
        }
        true
    }
}

impl Subscription {
    /// What came since the last time; waits at most so long for something.
    pub fn wait(&self, patience: Duration) -> Batch {
        let is_empty = |queue: &mut Queue| queue.records.is_empty() && !queue.is_closed;
        let queue = self.inbox.queue();
        let waited = self.inbox.filled.wait_timeout_while(queue, patience, is_empty);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        queue.bytes = 0;
        Batch {
            records: std::mem::take(&mut queue.records).into(),
            lost: std::mem::take(&mut queue.lost),
            is_closed: queue.is_closed,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut inboxes = self.listeners.inboxes.write().unwrap_or_else(PoisonError::into_inner);
        inboxes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
        self.listeners.count.store(inboxes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Way;
    use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
    use ringway_core::time::Instant;

    fn record(number: u64, length: usize) -> Record {
        let flow = Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: ([192, 0, 2, 1], 1).into(),
            certified: CertifiedName::NONE,
        };
        let (at, way, bytes) = (Instant::from_secs(1), Way::In, vec![b'x'; length].into());
        Record { number, at, way, flow, again: false, bytes }
    }

    #[test]
    fn who_is_slow_loses_some_and_is_told_how_many() {
        let listeners = Arc::new(Listeners::new(Arc::default()));
        let (slow, fast) = (Listeners::join(&listeners), Listeners::join(&listeners));
        let (slow, fast) = (slow.expect("room"), fast.expect("room"));
        for number in 0..limits::TRACE_QUEUE as u64 + 7 {
            listeners.tell(&record(number, 1));
            assert_eq!(fast.wait(Duration::ZERO).records.len(), 1);
        }
        let batch = slow.wait(Duration::ZERO);
        assert_eq!((batch.records.len(), batch.lost), (limits::TRACE_QUEUE, 7));
        assert_eq!(batch.records[0].number, 0, "the first are there, the last are lost");
        let batch = slow.wait(Duration::ZERO);
        assert_eq!((batch.records.len(), batch.lost), (0, 0));
        let large = limits::TRACE_QUEUE_BYTES / 4;
        (0..5).for_each(|number| listeners.tell(&record(number, large)));
        let batch = slow.wait(Duration::ZERO);
        assert_eq!((batch.records.len(), batch.lost), (4, 1), "bytes are bounded as well");
        assert_eq!(listeners.metrics.trace_lost.load(Ordering::Relaxed), 8 + 1);
    }

    #[test]
    fn places_are_limited_and_given_back() {
        let listeners = Arc::new(Listeners::new(Arc::default()));
        let mut all: Vec<_> =
            (0..limits::TRACE_LISTENERS).map(|_| Listeners::join(&listeners)).collect();
        assert!(all.iter().all(Option::is_some) && Listeners::join(&listeners).is_none());
        all.pop();
        assert!(Listeners::join(&listeners).is_some());
        all.clear();
        assert!(!listeners.any());
    }

    #[test]
    fn the_end_wakes_who_waits() {
        let listeners = Arc::new(Listeners::new(Arc::default()));
        let listener = Listeners::join(&listeners).expect("room");
        let waiting = std::thread::spawn(move || listener.wait(Duration::from_secs(60)));
        listeners.close();
        assert!(waiting.join().expect("no panic").is_closed);
    }
}
