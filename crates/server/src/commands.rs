//! The commands that ask or change a server: what they say, to people and to programs.
//!
//! Each is a function of what was asked, of [`Far`](crate::control::Far), who answers, and of a
//! [`Screen`]. None of them knows how the command line was written.

pub mod screen;
pub mod table;
pub mod account;
pub mod registrations;
pub mod calls;
pub mod status;
pub mod route;
pub mod trace;

pub use screen::{Format, Screen};
