//! Requests of our own: free ones, and the two that follow from an INVITE that was sent.

use crate::message::Message;
use crate::name::Name;
use crate::write::response::write_body;
use crate::write::{Text, put_header};
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::Range;

/// Writes one request behind what is in a buffer.
#[derive(Debug)]
pub struct RequestWriter<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
}

impl<'o> RequestWriter<'o> {
    /// The request line.
    pub fn new(out: &'o mut Vec<u8>, method: &[u8], uri: &[u8]) -> Self {
        let start = out.len();
        for part in [method, b" ", uri, b" SIP/2.0\r\n"] {
            out.extend_from_slice(part);
        }
        Self { out, start }
    }

    /// Adds a header. Line ends in `value` become blanks.
    pub fn header(&mut self, name: &str, value: &[u8]) -> &mut Self {
        put_header(name.as_bytes(), value, self.out);
        self
    }

    /// Ends the request, with a body of this type if there is one; tells where it stands.
    pub fn finish(&mut self, body: Option<(&str, &[u8])>) -> Range<usize> {
        write_body(self.out, body);
        self.start..self.out.len()
    }
}

/// Writes the ACK for a final response other than 2xx (RFC 3261 §17.1.1.3).
pub fn write_ack(out: &mut Vec<u8>, invite: &Message<'_>, response: &Message<'_>) -> Range<usize> {
    //= RFC 3261 17.1.1.3
    // "The To header field in the ACK MUST equal the To header field in the response"
    hop_request(out, invite, b"ACK", response.header(Name::To))
}

/// Writes the CANCEL for an INVITE (RFC 3261 §9.1).
pub fn write_cancel(out: &mut Vec<u8>, invite: &Message<'_>) -> Range<usize> {
    //= RFC 3261 9.1
    // "the numeric part of CSeq, and From header fields in the CANCEL request MUST be identical"
    hop_request(out, invite, b"CANCEL", invite.header(Name::To))
}

fn hop_request(
    out: &mut Vec<u8>,
    invite: &Message<'_>,
    method: &[u8],
    to: Option<&[u8]>,
) -> Range<usize> {
    let mut request = RequestWriter::new(out, method, invite.request_uri());
    request.header("Via", invite.values(Name::Via).next().unwrap_or_default());
    for value in invite.all(Name::Route) {
        request.header("Route", value);
    }
    request.header("From", invite.header(Name::From).unwrap_or_default());
    request.header("To", to.unwrap_or_default());
    request.header("Call-ID", invite.call_id());
    let number = invite.cseq().map_or(0, |cseq| cseq.number);
    let _ = write!(Text(request.out), "CSeq: {number} ");
    request.out.extend_from_slice(method);
    request.out.extend_from_slice(b"\r\n");
    request.header("Max-Forwards", b"70");
    request.finish(None)
}
