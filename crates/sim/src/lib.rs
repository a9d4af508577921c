//! A world in which the shipping server runs on simulated time.
//!
//! ```text
//! scenario (a *.sip file) ─┬─ phones ──┐
//!                          └─ expected  ├─ World ─┬─ net ── server: the real Nodes
//! random (a seed) ─────────┬─ phones ──┤         ├─ disk
//!                          ├─ fate ────┘         └─ names
//!                          └─ watch
//! ```
//!
//! [`world`] is the machine, [`scenario`] reads call flows and plays them on it, [`random`] lets
//! chance play and says what must hold.
pub mod clock;
pub mod net;
pub mod disk;
pub mod names;
pub mod server;
pub mod world;
pub mod scenario;
pub mod random;
