//! The requests of a phone: what goes into them, and the bytes.

use ringway_core::flow::Transport;
use ringway_wire::{Message, RequestWriter};
use std::net::SocketAddr;

/// A request, to be sent once or more.
#[derive(Clone, Default, Debug)]
pub struct Draft {
    pub(crate) method: &'static str,
    pub(crate) uri: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) call_id: String,
    pub(crate) cseq: u32,
    /// The values of Route.
    pub(crate) routes: Vec<String>,
    pub(crate) contact: Option<String>,
    /// The name and the value of the header with credentials.
    pub(crate) credentials: Option<(&'static str, Vec<u8>)>,
    pub(crate) body: Option<(String, Vec<u8>)>,
}

impl Draft {
    /// An empty request.
    pub(crate) fn new(method: &'static str, uri: String) -> Self {
        Self { method, uri, ..Self::default() }
    }

    /// Its bytes, for this way out and with this branch.
    pub(crate) fn write(
        &self,
        (transport, local): (Transport, SocketAddr),
        token: &str,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024);
        let mut request = RequestWriter::new(&mut out, self.method.as_bytes(), self.uri.as_bytes());
        let via = transport.via_name();
        //= RFC 3261 8.1.1.7
        // "The branch ID inserted by an element compliant with this"
        let via = format!("SIP/2.0/{via} {local};branch=z9hG4bK{token};rport");
        request.header("Via", via.as_bytes());
        request.header("Max-Forwards", b"70");
        for route in &self.routes {
            request.header("Route", route.as_bytes());
        }
        request.header("From", self.from.as_bytes());
        request.header("To", self.to.as_bytes());
        request.header("Call-ID", self.call_id.as_bytes());
        request.header("CSeq", format!("{} {}", self.cseq, self.method).as_bytes());
        if let Some(contact) = &self.contact {
            request.header("Contact", contact.as_bytes());
        }
        if let Some((name, value)) = &self.credentials {
            request.header(name, value);
        }
        request
            .header("User-Agent", concat!("ringway-demo/", env!("CARGO_PKG_VERSION")).as_bytes());
        request.finish(self.body.as_ref().map(|(kind, bytes)| (kind.as_str(), &bytes[..])));
        out
    }

    /// Whether this is a response to it, as it was sent last.
    pub(crate) fn is_answered_by(&self, message: &Message<'_>) -> bool {
        let cseq = message.cseq();
        !message.is_request()
            && message.call_id() == self.call_id.as_bytes()
            && cseq.is_ok_and(|cseq| {
                cseq.number == self.cseq && cseq.method.as_bytes() == self.method.as_bytes()
            })
    }
}
