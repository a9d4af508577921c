//! Responses of our own (RFC 3261 §8.2.6).

use crate::header::address::NameAddr;
use crate::message::Message;
use crate::name::Name;
use crate::write::{Text, put_header, put_value, write_received};
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use core::ops::Range;

/// Writes one response behind what is in a buffer. What the request lacks is left out, so that
/// a malformed request can be answered too.
#[derive(Debug)]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> ResponseWriter<'o> {
    /// Status line, Vias (the topmost with `received` and `rport` filled in from where the
    /// request came), From, To (with `to_tag` if it has none yet and this is no 100), Call-ID
    /// and CSeq.
    pub fn new(
        out: &'o mut Vec<u8>,
        request: &Message<'_>,
        (status, reason): (u16, &str),
        to_tag: Option<&[u8]>,
        source: SocketAddr,
    ) -> Self {
        let start = out.len();
        // Writing to memory cannot fail.
        let _ = write!(Text(out), "SIP/2.0 {status} {reason}\r\n");
        let mut writer = Self { out, start };
        let mut top = true;
        for value in request.all(Name::Via) {
            writer.out.extend_from_slice(b"Via: ");
            if core::mem::take(&mut top) {
                let first = crate::message::split(value).next().unwrap_or_default();
                write_received(first, source, writer.out);
                put_value(&value[first.len()..], writer.out);
            } else {
                put_value(value, writer.out);
            }
            writer.out.extend_from_slice(b"\r\n");
        }
        if let Some(from) = request.header(Name::From) {
            writer.header("From", from);
        }
        if let Some(to) = request.header(Name::To) {
            writer.out.extend_from_slice(b"To: ");
            put_value(to, writer.out);
            let has_tag = NameAddr::parse(to).map_or(true, |to| to.tag().is_some());
            //= RFC 3261 8.2.6.2
            // "the UAS MUST add a tag to the To header field in the response"
            if let Some(tag) = to_tag.filter(|_| status != 100 && !has_tag) {
                writer.out.extend_from_slice(b";tag=");
                writer.out.extend_from_slice(tag);
            }
            writer.out.extend_from_slice(b"\r\n");
        }
        for (name, header) in [("Call-ID", Name::CallId), ("CSeq", Name::CSeq)] {
            if let Some(value) = request.header(header) {
                writer.header(name, value);
            }
        }
        writer
    }

    /// Adds a header. Line ends in `value` become blanks.
    pub fn header(&mut self, name: &str, value: &[u8]) -> &mut Self {
        put_header(name.as_bytes(), value, self.out);
        self
    }

    /// Adds a header whose value is written piece by piece, without line ends.
    pub fn header_with(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        value(self.out);
        self.out.extend_from_slice(b"\r\n");
        self
    }

    /// Copies the Record-Route headers of the request (RFC 3261 §12.1.1).
    pub fn record_routes(&mut self, request: &Message<'_>) -> &mut Self {
        for value in request.all(Name::RecordRoute) {
            self.header("Record-Route", value);
        }
        self
    }

    /// Ends the response, with a body of this type if there is one; tells where it stands.
    pub fn finish(&mut self, body: Option<(&str, &[u8])>) -> Range<usize> {
        write_body(self.out, body);
        self.start..self.out.len()
    }
}

/// Content headers, the empty line, and the body.
pub(crate) fn write_body(out: &mut Vec<u8>, body: Option<(&str, &[u8])>) {
    if let Some((content_type, _)) = body {
        let _ = write!(Text(out), "Content-Type: {content_type}\r\n");
    }
    let body = body.map_or(&b""[..], |(_, body)| body);
    let _ = write!(Text(out), "Content-Length: {}\r\n\r\n", body.len());
    out.extend_from_slice(body);
}
