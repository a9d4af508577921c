//! Call flows as text files, played on the [`World`](crate::world::World).
//!
//! ```text
//! script (the text) -> play (line by line) ─┬─ stage: the world, the phones, statements
//!                                           ├─ send: what phones write
//!                                           ├─ expect: is this what the script says?
//!                                           └─ ladder: what happened, for people
//! ```
pub mod sip;
pub mod digest;
pub mod script;
mod phone;
mod stage;
mod statement;
mod routing;
mod send;
mod expect;
pub(crate) mod ladder;
mod play;

pub use play::{Failure, play};
