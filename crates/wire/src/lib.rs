//! SIP messages as bytes (RFC 3261 §7 and §25).
//!
//! ```text
//! web_socket ──────┐     peek (what is it worth?)
//! stream -> frame ─┤
//! datagram ────────┴-> scan -> check ─> Message ─┬-> what everybody reads: its place is known
//!                   (positions) (facts)          ├-> other headers, read on demand
//!                                                └-> write: edit the bytes, answer, ask
//! ```
//!
//! A received [`Message`] is its bytes and a table of positions. It is judged while they are
//! found, once; [`Message::check`] says what is wrong, so that it can be answered.
#![no_std]
extern crate alloc;

pub mod limits;
mod error;
mod class;
mod frame;
mod peek;
mod scan;
mod name;
mod message;
mod facts;
mod check;
mod header;
mod host;
mod uri;
mod write;
mod sdp;
pub mod stun;
pub mod web_socket;

pub use crate::error::{Fault, Malformed};
pub use crate::frame::{Frame, FrameError, Framer};
pub use crate::header::address::NameAddr;
pub use crate::header::cseq::CSeq;
pub use crate::header::params::{Iter as ParamsIter, Params};
pub use crate::header::session_id::SessionId;
pub use crate::header::via::Via;
pub use crate::host::Host;
pub use crate::message::{
    Contacts, Framing, Header, Message, StoredMessage, delta_seconds, head_of, parse, split,
};
pub use crate::name::{Method, Name};
pub use crate::peek::Peek;
pub use crate::scan::Index;
pub use crate::sdp::{Direction, Media, Sdp};
pub use crate::uri::{SipUri, TelUri, Uri, equal, unescape};
pub use crate::write::edit::{Editor, Scratch};
pub use crate::write::reason::reason_phrase;
pub use crate::write::request::{RequestWriter, write_ack, write_cancel};
pub use crate::write::response::ResponseWriter;
