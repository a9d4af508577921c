//! CSeq (RFC 3261 §20.16).

use crate::error::{Fault, Malformed};
use crate::name::Method;
use crate::scan::{is_blank, is_token, number, trim};

/// Sequence number and method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CSeq<'a> {
    /// Less than 2³¹ (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Reads the value.
    ///
    /// # Errors
    /// If it is against the grammar or its number is too large.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let blank = value.iter().position(|&b| is_blank(b));
        let (digits, method) = value.split_at(blank.unwrap_or(value.len()));
        let method = trim(method);
        if !is_token(method) || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed::grammar("CSeq"));
        }
        //= RFC 3261 8.1.1.5
        // "The sequence number value MUST be expressible as a 32-bit unsigned"
        match number(digits, (1 << 31) - 1) {
            Some(number) => Ok(Self { number: number as u32, method: Method::from_bytes(method) }),
            None => Err(Malformed::new("CSeq", Fault::Range)),
        }
    }
}
