//! A received message: its bytes, and where in them things stand.

use crate::check;
use crate::error::{Fault, Malformed};
use crate::header::address::{AddressMarks, NameAddr};
use crate::header::cseq::CSeq;
use crate::header::via::Via;
use crate::limits;
use crate::name::{Method, Name};
use crate::scan::{Index, Place, Span, element_end, number, trim};
use crate::uri::Uri;
use alloc::boxed::Box;
use core::ops::Range;

/// How a message was cut out of what was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// One datagram, or one WebSocket message: its end is known without Content-Length.
    Datagram,
    /// Part of a stream: Content-Length is what ended it.
    Stream,
}

/// A message. It is a view: cheap to copy. What is wrong with it is said by [`Message::check`].
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    index: &'a Index,
}

/// Finds the parts of a message. What is wrong with it is said by [`Message::check`], so that
/// it can be answered.
///
/// # Errors
/// Only if the bytes are nothing like SIP, or more than a message may be.
pub fn parse<'a>(
    bytes: &'a [u8],
    index: &'a mut Index,
    framing: Framing,
) -> Result<Message<'a>, Malformed> {
    index.scan(bytes)?;
    check::content_length(bytes, index, framing);
    check::judge(bytes, index);
    Ok(Message { bytes, index })
}

/// A message without its body. What it then lacks is a fault that [`Message::check`] tells of; its
/// headers can be read.
pub fn head_of(bytes: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
    &bytes[..end.unwrap_or(bytes.len())]
}

/// One header as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// Which one.
    pub name: Name,
    /// Its name as written.
    pub raw_name: &'a [u8],
    /// Its value, blanks around it left off, folds still inside.
    pub value: &'a [u8],
}

/// The Contact headers of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contacts {
    /// No Contact at all.
    None,
    /// `*`, and nothing else.
    Star,
    /// One or more addresses.
    List,
}

impl<'a> Message<'a> {
    pub(crate) const fn of(bytes: &'a [u8], index: &'a Index) -> Self {
        Self { bytes, index }
    }

    /// The message as received, without what follows it in its datagram.
    pub fn bytes(&self) -> &'a [u8] {
        &self.bytes[usize::from(self.index.start)..usize::from(self.index.body_end)]
    }

    /// All received bytes; positions count from their start.
    pub(crate) fn raw(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn index(&self) -> &'a Index {
        self.index
    }

    /// The body.
    pub fn body(&self) -> &'a [u8] {
        self.span(self.index.body, self.index.body_end)
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.index.is_request
    }

    /// The method of a request; of a response the method in its CSeq.
    pub fn method(&self) -> Method<'a> {
        if !self.is_request() {
            return self.cseq().map_or(Method::Other(b""), |cseq| cseq.method);
        }
        let other = || Method::Other(self.span(self.index.start, self.index.word_end));
        self.index.method.unwrap_or_else(other)
    }

    pub(crate) fn request_uri_range(&self) -> Range<usize> {
        usize::from(self.index.uri)..usize::from(self.index.uri_end)
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &'a [u8] {
        trim(&self.bytes[self.request_uri_range()])
    }

    /// The Request-URI.
    ///
    /// # Errors
    /// If it is none.
    pub fn uri(&self) -> Result<Uri<'a>, Malformed> {
        let text = self.request_uri();
        self.index.facts.uri.map_or_else(|| Uri::parse(text), |marks| Ok(marks.uri(text)))
    }

    /// The status code; 0 for a request, or if it is none.
    pub fn status(&self) -> u16 {
        if self.is_request() {
            return 0;
        }
        let rest = self.span(self.index.word_end, self.index.start_end);
        let code = rest.get(1..4).and_then(|code| number(code, 699)).unwrap_or(0);
        let ends = matches!(rest.get(4), None | Some(b' '));
        if ends && code >= 100 { code as u16 } else { 0 }
    }

    /// The reason phrase of a response; may be empty.
    pub fn reason(&self) -> &'a [u8] {
        let rest = self.span(self.index.word_end, self.index.start_end);
        if self.is_request() { b"" } else { rest.get(5..).unwrap_or_default() }
    }

    /// All headers, in order.
    pub fn headers(&self) -> impl Iterator<Item = Header<'a>> + use<'a> {
        let this = *self;
        this.index.places.iter().map(move |place| this.header_at(place))
    }

    fn header_at(&self, place: &Place) -> Header<'a> {
        let start = usize::from(place.start);
        Header {
            name: place.name,
            raw_name: &self.bytes[start..start + usize::from(place.name_len)],
            value: self.span(place.value, place.value_end),
        }
    }

    pub(crate) fn places(&self, name: Name) -> impl Iterator<Item = &'a Place> + use<'a> {
        let rest = match self.index.names.first(name) {
            None => &[][..],
            Some(first) if !self.index.names.is_repeated(name) => &self.index.places[first..=first],
            Some(first) => &self.index.places[first..],
        };
        rest.iter().filter(move |place| place.name == name)
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        let place = self.index.places.get(self.index.names.first(name)?)?;
        Some(self.span(place.value, place.value_end))
    }

    /// The value of each header line of this name.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let this = *self;
        self.places(name).map(move |place| this.span(place.value, place.value_end))
    }

    /// The values of all headers of this name, comma lists taken apart (RFC 3261 §7.3.1).
    pub fn values(&self, name: Name) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.all(name).flat_map(split)
    }

    /// The topmost Via.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn top_via(&self) -> Result<Via<'a>, Malformed> {
        if let Some((place, marks)) = self.index.facts.via {
            return Ok(marks.via(place.of(self.bytes)));
        }
        let value = self.values(Name::Via).next();
        Via::parse(value.ok_or(Malformed::new("Via", Fault::Missing))?)
    }

    /// All Vias, topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'a>, Malformed>> + use<'a> {
        self.values(Name::Via).map(Via::parse)
    }

    /// Who sent the request.
    ///
    /// # Errors
    /// If there is no From, or it is malformed.
    pub fn from(&self) -> Result<NameAddr<'a>, Malformed> {
        self.address(Name::From, &self.index.facts.from)
    }

    /// To whom the request was addressed at first.
    ///
    /// # Errors
    /// If there is no To, or it is malformed.
    pub fn to(&self) -> Result<NameAddr<'a>, Malformed> {
        self.address(Name::To, &self.index.facts.to)
    }

    fn address(&self, name: Name, marks: &Option<AddressMarks>) -> Result<NameAddr<'a>, Malformed> {
        let missing = || Malformed::new(name.as_str(), Fault::Missing);
        let value = self.header(name).ok_or_else(missing)?;
        match marks {
            Some(marks) => Ok(marks.address(value)),
            None => NameAddr::parse(value).map_err(|_| Malformed::grammar(name.as_str())),
        }
    }

    /// The Call-ID; empty if there is none.
    pub fn call_id(&self) -> &'a [u8] {
        self.header(Name::CallId).unwrap_or_default()
    }

    /// The CSeq.
    ///
    /// # Errors
    /// If there is none, or it is malformed.
    pub fn cseq(&self) -> Result<CSeq<'a>, Malformed> {
        if let Some((number, method)) = self.index.facts.cseq {
            return Ok(CSeq { number, method });
        }
        CSeq::parse(self.header(Name::CSeq).ok_or(Malformed::new("CSeq", Fault::Missing))?)
    }

    /// Max-Forwards. A value that is no number, or above 255, counts as none (RFC 4475 §3.1.2.4).
    pub fn max_forwards(&self) -> Option<u8> {
        number(self.header(Name::MaxForwards)?, 255).map(|n| n as u8)
    }

    /// The Expires header in seconds, by the rules of RFC 3261 §10.2.
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).map(delta_seconds)
    }

    /// What kind of Contact the message has.
    pub fn contact_kind(&self) -> Contacts {
        let mut lines = self.all(Name::Contact).filter(|value| !value.is_empty());
        match (lines.next(), lines.next()) {
            (None, _) => Contacts::None,
            (Some(b"*"), None) => Contacts::Star,
            _ => Contacts::List,
        }
    }

    /// The addresses in the Contact headers; a `*` is no address.
    pub fn contacts(&self) -> impl Iterator<Item = Result<NameAddr<'a>, Malformed>> + use<'a> {
        let first = self.index.facts.contact;
        self.values(Name::Contact).enumerate().map(move |(nth, value)| match first {
            Some(marks) if nth == 0 => Ok(marks.address(value)),
            _ => NameAddr::parse(value).map_err(|_| Malformed::grammar("Contact")),
        })
    }

    /// All that RFC 3261 demands of a message before anyone acts on it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), Malformed> {
        self.index.fault.map_or(Ok(()), Err)
    }

    /// A copy that owns its bytes.
    pub fn to_stored(&self) -> StoredMessage {
        let bytes = &self.bytes[..usize::from(self.index.body_end)];
        StoredMessage { bytes: bytes.into(), index: Box::new(self.index.clone()) }
    }

    /// The place of a part of this message.
    pub(crate) fn span_of(&self, part: &[u8]) -> Span {
        let start = part.as_ptr() as usize - self.bytes.as_ptr() as usize;
        Span::new(start, start + part.len())
    }

    fn span(&self, start: u16, end: u16) -> &'a [u8] {
        &self.bytes[usize::from(start)..usize::from(end)]
    }
}

/// A message that owns its bytes.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    bytes: Box<[u8]>,
    index: Box<Index>,
}

impl StoredMessage {
    /// The message.
    pub fn message(&self) -> Message<'_> {
        Message { bytes: &self.bytes, index: &self.index }
    }
}

/// The elements of a comma list.
pub fn split(mut list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut more = !list.is_empty();
    core::iter::from_fn(move || {
        if !more {
            return None;
        }
        let end = element_end(list);
        let element = trim(&list[..end]);
        more = end < list.len();
        list = list.get(end + 1..).unwrap_or_default();
        Some(element)
    })
}

/// An expiry in seconds.
//= RFC 3261 10.2
// "Malformed values SHOULD be treated as equivalent to 3600"
pub fn delta_seconds(text: &[u8]) -> u32 {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return 3_600;
    }
    number(text, u64::from(u32::MAX)).map_or(u32::MAX, |n| n as u32)
}

const _: () = assert!(limits::MESSAGE <= u16::MAX as usize, "positions are 16 bits wide");
