//! SIP messages as bytes (RFC 3261 sections 7 and 25).
#![no_std]
extern crate alloc;

/// A received message.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// The bytes as received.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
