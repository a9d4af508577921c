//! What to do when there is more to do than can be done (docs/decisions/0023-overload.md).
//!
//! ```text
//! how long messages wait ─> Throttle ─> how much of each class is shed
//! a look at a message ─> Class, Lots ┴─> Verdict
//! ```
//!
//! How long the oldest message has waited in the kernel's queue is the measure of load: it needs
//! no figure for how fast the machine is, or how much of it others take. Nothing here is looked
//! at while messages do not wait.

mod class;
mod doubt;
mod lot;
mod throttle;

pub use class::{CLASSES, Class};
pub use lot::Lots;
pub use throttle::{Queue, Throttle, Verdict};
