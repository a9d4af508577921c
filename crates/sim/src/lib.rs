//! A world in which the shipping server runs on simulated time.
//!
//! ```text
//! scenario (a *.sip file) ─┬─ phones ── World ─┬─ net ── server: the real Nodes
//!                          └─ expectations     ├─ disk
//!                                              └─ names
//! ```
//!
//! [`world`] is the machine, [`scenario`] reads call flows and plays them on it.
pub mod clock;
pub mod net;
pub mod disk;
pub mod names;
pub mod server;
pub mod world;
pub mod scenario;
pub mod random;
