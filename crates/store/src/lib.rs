//! Facts that survive: accounts, bindings, and the secret of the installation.
//!
//! ```text
//! partition -- Question::Keep --> GroupCommit (one thread) --> Store::write --> disk
//!     ^                                                             |
//!     └------------- Answer::Kept(CommitToken) <--------------------┘
//! ```
//!
//! A store never sees a SIP message. What [`Store::write`] has returned `Ok` for is there after a
//! `kill -9` and after a power cut; only from that comes the token without which no 200 to a
//! REGISTER is built. [`Sqlite`] is the default, [`Memory`] is for tests and the simulator; one
//! set of checks (`tests/contract`) runs on both.

pub mod limits;
mod error;
mod memory;
mod sqlite;
mod group;

pub use error::StoreError;
pub use group::{Counts, GroupCommit, Refused, Ticket};
pub use memory::Memory;
pub use sqlite::Sqlite;

use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use ringway_core::flow::Listener;
use ringway_core::time::Instant;
use std::sync::Arc;

/// The listeners of this process, in the order in which
/// [`SocketId`](ringway_core::flow::SocketId) counts them. A binding is kept with the address
/// of the one it came in on, and found again by it. May be empty where no binding is touched.
pub type Listeners = Arc<[Listener]>;

/// A place that keeps facts, and has one owner at a time.
///
/// Changes take effect in the order of the calls and, within a batch, in its order: the last
/// one to touch a fact decides. A binding is named by the exact bytes of
/// its [key](Binding::key).
pub trait Store: Send {
    /// Makes all these changes, for good. An empty batch is a commit too.
    ///
    /// # Errors
    /// If they could not be kept. Then nothing has changed, and the store can be tried again.
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError>;

    /// Hands out every account, in no order.
    ///
    /// # Errors
    /// If they cannot be read.
    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError>;

    /// Hands out, in no order, every binding whose lease has not ended at `now_s`, in seconds since
    /// the Unix epoch. It ends with its lease: nobody knows how much of that was used
    /// ([`Binding::after_restart`]). Its flow has no connection: those ended with the process that
    /// had them. Its socket is the listener it came in on; where that is gone, one of the same
    /// transport and address family, else one of the same family; a binding that none of them can
    /// reach is passed over.
    ///
    /// # Errors
    /// If they cannot be read.
    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError>;

    /// The secret of the installation: made once from the system's source of randomness, and
    /// then always the same.
    ///
    /// # Errors
    /// If it can be neither read nor made and kept.
    fn secret(&mut self) -> Result<[u8; 32], StoreError>;

    /// Looks through a part of the bindings for those whose lease ended
    /// [`limits::SWEEP_GRACE_S`] before `now_s` or earlier, and forgets them; tells how many.
    /// Called again and again it comes to all of them.
    ///
    /// # Errors
    /// If it could not; then nothing is forgotten.
    fn sweep(&mut self, now_s: u64) -> Result<usize, StoreError>;

    /// Reads everything there is and tells whether it is whole. Takes seconds for a million
    /// bindings.
    ///
    /// # Errors
    /// If something is damaged or cannot be read.
    fn check(&mut self) -> Result<(), StoreError>;
}

/// No time of ours is so far away that it does not fit.
fn moment(at_s: u64) -> Instant {
    Instant::from_micros(at_s.saturating_mul(1_000_000))
}
