//! What to do: transactions, roles, routing, proxy. No socket, clock, thread or disk.
#![no_std]
extern crate alloc;

pub mod boundary;
pub mod node;
pub mod identity;
pub mod registrar;
pub mod location;
pub mod reject;
pub mod snapshot;
pub mod transaction;
pub mod timers;
pub mod keys;
pub mod account;
pub mod binding;
pub mod address_of_record;
pub mod flow;
pub mod time;
pub mod limits;
