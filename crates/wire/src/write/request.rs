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
//= RFC 3261 17.1.1.3
// "ACK request constructed by the client transaction MUST contain values for the Call-ID,"
// "The To header field in the ACK MUST equal the To header field in the response being"
// "The ACK MUST contain a single Via header field, and this MUST be equal to the top Via"
// "The CSeq header field in the ACK MUST contain the same value for the sequence number"
// "had Route header fields, those header fields MUST appear in the ACK."
pub fn write_ack(out: &mut Vec<u8>, invite: &Message<'_>, response: &Message<'_>) -> Range<usize> {
    //= RFC 3261 17.1.1.3
    // "The To header field in the ACK MUST equal the To header field in the response"
    hop_request(out, invite, b"ACK", response.header(Name::To)).finish(None)
}

/// Writes the CANCEL for an INVITE (RFC 3261 §9.1).
pub fn write_cancel(out: &mut Vec<u8>, invite: &Message<'_>) -> Range<usize> {
    //= RFC 3261 9.1
    // "the numeric part of CSeq, and From header fields in the CANCEL request MUST be identical"
    let mut cancel = hop_request(out, invite, b"CANCEL", invite.header(Name::To));
    //= RFC 7989 7
    // "be identical to the Session-ID header field value included in the"
    if let Some(session) = invite.header(Name::SessionId) {
        cancel.header("Session-ID", session);
    }
    cancel.finish(None)
}

fn hop_request<'o>(
    out: &'o mut Vec<u8>,
    invite: &Message<'_>,
    method: &[u8],
    to: Option<&[u8]>,
) -> RequestWriter<'o> {
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
    request
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Index, parse};
    use alloc::string::String;

    const INVITE: &[u8] = b"INVITE sip:b@h SIP/2.0\r\n\
        v: SIP/2.0/UDP us;branch=z9hG4bKx;rport, SIP/2.0/UDP them\r\n\
        Route: <sip:p;lr>,\r\n <sip:q>\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\ni: c\r\n\
        CSeq: 0007\r\n INVITE\r\nContact: <sip:a@i>\r\nProxy-Authorization: Digest x\r\n\
        Route: <sip:r>\r\nsession-id: x;remote=y\r\nl: 2\r\n\r\nab";

    fn hop(write: impl FnOnce(&mut Vec<u8>, &Message<'_>) -> Range<usize>) -> String {
        let mut index = Index::new();
        let invite = parse(INVITE, &mut index, Framing::Datagram).expect("an INVITE");
        invite.check().expect("a good one");
        let mut out = b"before".to_vec();
        let range = write(&mut out, &invite);
        let mut index = Index::new();
        let written = parse(&out[range.clone()], &mut index, Framing::Stream).expect("a request");
        written.check().expect("a good one");
        String::from_utf8_lossy(&out[range]).replace("\r\n", "|")
    }

    #[test]
    //= RFC 3261 17.1.1.3 type=test
    // "ACK request constructed by the client transaction MUST contain values for the Call-ID,"
    // "The To header field in the ACK MUST equal the To header field in the response being"
    // "The ACK MUST contain a single Via header field, and this MUST be equal to the top Via"
    // "The CSeq header field in the ACK MUST contain the same value for the sequence number"
    // "had Route header fields, those header fields MUST appear in the ACK."
    fn an_ack_has_the_to_of_the_response() {
        let response = b"SIP/2.0 486 Busy\r\nv: SIP/2.0/UDP us\r\nt: <sip:b@h>;tag=9\r\n\r\n";
        let ack = hop(|out, invite| {
            let mut index = Index::new();
            let response = parse(response, &mut index, Framing::Datagram).expect("a response");
            write_ack(out, invite, &response)
        });
        assert_eq!(
            ack,
            "ACK sip:b@h SIP/2.0|Via: SIP/2.0/UDP us;branch=z9hG4bKx;rport|\
             Route: <sip:p;lr>, <sip:q>|Route: <sip:r>|From: <sip:a@h>;tag=1|\
             To: <sip:b@h>;tag=9|Call-ID: c|CSeq: 7 ACK|Max-Forwards: 70|Content-Length: 0||"
        );
    }

    #[test]
    //= RFC 3261 9.1 type=test
    fn a_cancel_is_the_invite_but_for_its_method() {
        assert_eq!(
            hop(write_cancel),
            "CANCEL sip:b@h SIP/2.0|Via: SIP/2.0/UDP us;branch=z9hG4bKx;rport|\
             Route: <sip:p;lr>, <sip:q>|Route: <sip:r>|From: <sip:a@h>;tag=1|\
             To: <sip:b@h>|Call-ID: c|CSeq: 7 CANCEL|Max-Forwards: 70|\
             Session-ID: x;remote=y|Content-Length: 0||"
        );
    }

    #[test]
    fn a11_no_value_ends_its_header() {
        let mut out = Vec::new();
        RequestWriter::new(&mut out, b"A", b"sip:b").header("X", b"a\r\n\r\nB: c\n").finish(None);
        assert_eq!(out, b"A sip:b SIP/2.0\r\nX: a B: c \r\nContent-Length: 0\r\n\r\n");
    }
}
