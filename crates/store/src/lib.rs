//! Facts that survive.
