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
            let has_tag = NameAddr::parse(to).map_or(true, |to| to.params.get(b"tag").is_some());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Framing, Index, parse};
    use alloc::string::String;

    /// The answer to a request in which `|` is a line end.
    fn answer(text: &str, status: u16, source: &str) -> String {
        let bytes = text.replace('|', "\r\n").into_bytes();
        let mut index = Index::new();
        let request = parse(&bytes, &mut index, Framing::Datagram).expect("a request");
        let mut out = Vec::new();
        let source = source.parse().expect("an address");
        let range = ResponseWriter::new(&mut out, &request, (status, "R"), Some(b"t"), source)
            .header("Allow", b"A")
            .header_with("X", |value| value.extend_from_slice(b"y"))
            .record_routes(&request)
            .finish(None);
        assert_eq!(range, 0..out.len());
        let text = String::from_utf8_lossy(&out).replace("\r\n", "|");
        assert!(!text.contains(['\r', '\n']), "{text}");
        text
    }

    const TAIL: &str = "Allow: A|X: y|Content-Length: 0||";

    #[test]
    //= RFC 3261 8.2.6.2 type=test
    //= RFC 3581 4 type=test
    fn what_a_response_copies() {
        let request = "A sip:b SIP/2.0|f: <sip:a>;tag=1|v: SIP/2.0/UDP h;rport, SIP/2.0/TCP i|\
                       t: <sip:b>|Subject: x|i: c|CSeq: 1 A|v: SIP/2.0/UDP j|\
                       Record-Route: <sip:p;lr>,| <sip:q;lr>||body";
        let vias = "Via: SIP/2.0/UDP h;received=192.0.2.1;rport=9, SIP/2.0/TCP i|\
                    Via: SIP/2.0/UDP j|";
        for (status, to) in [(200, "<sip:b>;tag=t"), (100, "<sip:b>")] {
            assert_eq!(
                answer(request, status, "192.0.2.1:9"),
                alloc::format!(
                    "SIP/2.0 {status} R|{vias}From: <sip:a>;tag=1|To: {to}|Call-ID: c|CSeq: 1 A|\
                     Allow: A|X: y|Record-Route: <sip:p;lr>, <sip:q;lr>|Content-Length: 0||"
                )
            );
        }
        let tagged = answer("A b SIP/2.0|To: <sip:b>;tag=own||", 200, "192.0.2.1:9");
        assert_eq!(tagged, alloc::format!("SIP/2.0 200 R|To: <sip:b>;tag=own|{TAIL}"));
    }

    #[test]
    //= RFC 4475 3.3.1 type=test
    fn what_is_broken_or_missing_is_answered_too() {
        for (text, copied) in [
            ("A b SIP/2.0||", ""),
            // Nobody can add a tag behind an open quote.
            ("A b SIP/2.0|To: \"x <sip:b>||", "To: \"x <sip:b>|"),
            ("A b SIP/2.0|v: ,;|CSeq: x||", "Via: ,;|CSeq: x|"),
            ("A b SIP/2.0|To: <sip:b>| ;x||", "To: <sip:b> ;x;tag=t|"),
            ("A b SIP/2.0|To: \r<sip:b>\n||", "To: <sip:b>;tag=t|"),
            ("A b SIP/2.0|i: a\rX: y||", "Call-ID: a X: y|"),
            ("A b SIP/2.0|i: a|no header||", "Call-ID: a|"),
            ("A b SIP/2.0|i: a|Cut o", "Call-ID: a|"),
        ] {
            let answer = answer(text, 400, "192.0.2.1:9");
            assert_eq!(answer, alloc::format!("SIP/2.0 400 R|{copied}{TAIL}"), "{text:?}");
        }
    }

    #[test]
    fn a_body_has_its_type_and_length() {
        let mut index = Index::new();
        let request = parse(b"A b SIP/2.0\r\n\r\n", &mut index, Framing::Datagram).expect("one");
        let mut out = Vec::new();
        let source = "192.0.2.1:9".parse().expect("an address");
        ResponseWriter::new(&mut out, &request, (200, "OK"), None, source)
            .finish(Some(("text/plain", b"hi\r\n")));
        let text = "SIP/2.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nhi\r\n";
        assert_eq!(out, text.as_bytes());
    }
}
