//! Facts that survive: accounts, bindings, and the secret of the installation.
//!
//! ```text
//! partition -> Question::Keep -> GroupCommit (one thread) -> Store::write -> disk
//!     ^                                                           |
//!     └──────────── Answer::Kept(CommitToken) <───────────────────┘
//! ```
//!
//! A store never sees a SIP message. What [`Store::write`] has returned `Ok` for is there after
//! a power cut; only from that comes the token without which no 200 is built.

mod error;
mod memory;
mod sqlite;
mod group;
#[cfg(any(test, feature = "__contract"))]
pub mod contract;

pub use error::StoreError;
pub use group::{GroupCommit, QueueFull, Ticket};
pub use memory::Memory;
pub use sqlite::Sqlite;

use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use ringway_core::flow::Listener;
use std::sync::Arc;

/// A place that keeps facts. One owner at a time.
pub trait Store: Send {
    /// Makes all these changes, or none, in this order, for good.
    ///
    /// # Errors
    /// If they could not be kept; then nothing has changed.
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError>;

    /// Hands out every account.
    ///
    /// # Errors
    /// If they cannot be read.
    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError>;

    /// Hands out every binding that has not ended at `now_s` (seconds since the Unix epoch).
    ///
    /// # Errors
    /// If they cannot be read.
    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError>;

    /// Removes bindings that ended before `now_s`.
    ///
    /// # Errors
    /// If they cannot be removed.
    fn purge(&mut self, now_s: u64) -> Result<(), StoreError>;

    /// The secret of the installation: made once, and then always the same.
    ///
    /// # Errors
    /// If it can be neither read nor made.
    fn secret(&mut self) -> Result<[u8; 32], StoreError>;
}

/// The listeners of this process: a binding is kept with the address of the one it came in on,
/// and found again by it.
pub type Listeners = Arc<[Listener]>;
