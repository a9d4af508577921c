//! WebSocket (RFC 6455) as a transport of SIP (RFC 7118): the handshake, and the frames.

pub mod frame;
mod handshake;
mod origin;

pub(crate) use handshake::upgrade;
pub use origin::Origins;
pub(crate) use origin::Place;
