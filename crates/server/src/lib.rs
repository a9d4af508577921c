//! The program that does: sockets, threads, disk and people. No SIP decision is taken here.
//!
//! ```text
//! udp, tcp -> engine -> partition (core::Node) -> engine -> udp, tcp
//!               |  ^                                |
//!               v  └── store, resolver <────────────┘
//!            events -> log, metrics      cli -> control -> engine, store
//! ```

pub mod cli;
pub mod config;
pub mod log;
pub mod signals;
pub mod server;
pub mod listen;
pub mod udp;
pub mod tcp;
mod descriptors;
pub mod exposure;
mod balancer;
pub mod tls;
pub mod ws;
mod stream;
pub mod connections;
pub mod engine;
pub mod resolver;
pub mod trace;
pub mod events;
pub mod metrics;
pub mod clock;
pub mod control;
pub mod accounts;
pub mod commands;
pub mod limits;
pub mod ladder;
pub mod demo;
