//! What to do: transactions, roles, routing, proxy. No socket, clock, thread or disk.
//!
//! ```text
//! Input -> Node -> check -> transaction -> role ─┬─ registrar -> location -> Question::Keep
//!                                                └─ route -> Plan -> proxy -> transaction
//! ```
//!
//! Read [`boundary`] for what the world can say and hear, then [`node`] for the life of a
//! request; every step it names is a file.
#![no_std]
extern crate alloc;

pub mod boundary;
pub mod overload;
pub mod node;
mod waiting;
mod check;
pub mod transaction;
mod servers;
mod clients;
mod answers;
pub mod identity;
mod role;
pub mod registrar;
pub mod location;
pub mod keep_alive;
pub mod route;
pub mod locate;
mod proxy;
pub mod calls;
pub mod counters;
pub mod reject;
mod status;
pub mod snapshot;
pub mod keys;
pub mod account;
pub mod binding;
pub mod address_of_record;
pub mod flow;
pub mod origin;
pub mod timers;
mod arena;
pub mod time;
pub mod limits;
