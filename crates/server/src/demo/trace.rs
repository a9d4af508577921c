//! What the phones sent and heard, each message with its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Which way a message went, seen from the phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// The phone sent it.
    Sent,
    /// The phone received it.
    Heard,
}

/// One message of one phone.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it was handed to the system, or taken from it.
    pub at: Instant,
    /// The phone's user name.
    pub phone: Arc<str>,
    /// Which way it went.
    pub way: Way,
    /// Whether the same message went this way before: a retransmission.
    pub again: bool,
    /// The message.
    pub bytes: Box<[u8]>,
}

/// Where phones note what they send and hear. Clones share one list.
#[derive(Clone, Default, Debug)]
pub struct Trace {
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// Entries kept while nobody takes them; a demo makes about fifty.
const ENTRIES: usize = 4_096;

impl Trace {
    /// Adds a message; over the limit it is left out.
    pub(crate) fn note(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() < ENTRIES {
            entries.push(entry);
        }
    }

    /// Takes what was noted since the last time, in order of time.
    pub fn take(&self) -> Vec<Entry> {
        let entries = &mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = std::mem::take(entries);
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}
