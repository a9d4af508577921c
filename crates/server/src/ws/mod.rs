//! WebSocket (RFC 6455) as a transport of SIP (RFC 7118): the handshake, and who may. The frames
//! are in [`ringway_wire::web_socket`].

mod handshake;
mod origin;

pub(crate) use handshake::upgrade;
pub use origin::Origins;
pub(crate) use origin::Place;
