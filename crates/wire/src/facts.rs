//! Where the parts stand that everybody reads: found while a message is judged, so that nobody
//! reads them a second time.

use crate::header::address::AddressMarks;
use crate::header::via::ViaMarks;
use crate::name::Method;
use crate::scan::Span;
use crate::uri::UriMarks;

/// What was found. What is missing here is malformed, or was not reached because something else
/// is, and is read again by whoever asks for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// The Request-URI.
    pub(crate) uri: Option<UriMarks>,
    /// The topmost Via, and where it stands in the message.
    pub(crate) via: Option<(Span, ViaMarks)>,
    pub(crate) from: Option<AddressMarks>,
    pub(crate) to: Option<AddressMarks>,
    /// The first Contact.
    pub(crate) contact: Option<AddressMarks>,
    /// Of a method that we know.
    pub(crate) cseq: Option<(u32, Method<'static>)>,
}

impl Facts {
    /// Nothing is known.
    pub(crate) const NONE: Self =
        Self { uri: None, via: None, from: None, to: None, contact: None, cseq: None };
}
