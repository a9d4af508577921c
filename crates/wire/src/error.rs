//! What was malformed, and where.

use core::fmt;

/// Something is wrong with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// The part: a header's name, or `start line`, `message`.
    pub what: &'static str,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// It does not follow the grammar (RFC 3261 §25).
    Grammar,
    /// It is missing and must be there (RFC 3261 §8.1.1).
    Missing,
    /// It is there twice, with different values.
    Repeated,
    /// A number outside its range.
    Range,
    /// Not SIP/2.0.
    Version,
    /// The method in CSeq is not that of the request line.
    MethodMismatch,
    /// Longer or more than we take.
    TooLarge,
    /// More content is announced than there is, or none on a stream.
    Length,
}

impl Malformed {
    pub(crate) const fn grammar(what: &'static str) -> Self {
        Self { what, fault: Fault::Grammar }
    }

    pub(crate) const fn new(what: &'static str, fault: Fault) -> Self {
        Self { what, fault }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Grammar => "malformed",
            Fault::Missing => "missing",
            Fault::Repeated => "repeated",
            Fault::Range => "out of range",
            Fault::Version => "not SIP/2.0",
            Fault::MethodMismatch => "another method than the request line",
            Fault::TooLarge => "too large",
            Fault::Length => "a length that does not fit",
        };
        write!(f, "{}: {fault}", self.what)
    }
}
