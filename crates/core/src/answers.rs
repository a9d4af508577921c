//! Answers of our own: refusals, challenges, and what needs no transaction.

use crate::boundary::{AuthFailure, Event, Outbox, Output};
use crate::flow::Flow;
use crate::identity::{Authentication, Verdict};
use crate::limits;
use crate::node::Node;
use crate::reject::Reject;
use crate::servers::reply_flow;
use crate::time::Instant;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use ringway_wire::{Message, Method, Name, ResponseWriter, reason_phrase};

/// What we serve ourselves (RFC 3261 §20.5).
const ALLOW: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, PRACK, UPDATE, INFO, SUBSCRIBE, \
    NOTIFY, REFER, MESSAGE, PUBLISH";

impl Node {
    /// Begins a response of our own.
    pub(crate) fn respond<'o>(
        &self,
        out: &'o mut Vec<u8>,
        request: &Message<'_>,
        status: u16,
        source: SocketAddr,
    ) -> ResponseWriter<'o> {
        let tag = self.to_tag(request);
        let line = (status, reason_phrase(status));
        ResponseWriter::new(out, request, line, Some(&tag), source)
    }

    /// The tag we put into To: the same for the same request, and for its CANCEL, without
    /// anything being remembered (RFC 3261 §8.2.7, §9.2).
    fn to_tag(&self, request: &Message<'_>) -> [u8; 16] {
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let number = request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
        let parts = [request.call_id(), from_tag, &number];
        let hash = self.setup.keys.hash64(b"to tag", &parts);
        let mut tag = [0; 16];
        for (i, digit) in tag.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(hash >> (60 - 4 * i) & 15) as usize];
        }
        tag
    }

    /// Answers without a transaction, and without keeping anything.
    pub(crate) fn send_stateless(
        &mut self,
        flow: Flow,
        request: &Message<'_>,
        status: u16,
        out: &mut Outbox,
    ) {
        let mut response = self.respond(&mut out.bytes, request, status, flow.remote);
        if matches!(request.method(), Method::Options) {
            response.header("Accept", b"application/sdp").header("Allow", ALLOW);
        }
        let bytes = response.finish(None);
        self.send_back_to(flow, request, (status, bytes), out);
    }

    pub(crate) fn send_back_to(
        &mut self,
        flow: Flow,
        request: &Message<'_>,
        (status, bytes): (u16, Range<usize>),
        out: &mut Outbox,
    ) {
        let flow = reply_flow(flow, request);
        out.outputs.push(Output::Send { flow, bytes, on_failure: None });
        self.counters.sent(status);
    }

    /// Refuses a request that has no transaction.
    pub(crate) fn refuse(
        &mut self,
        flow: Flow,
        request: &Message<'_>,
        reject: Reject,
        out: &mut Outbox,
    ) {
        let bytes = self.write_refusal(&mut out.bytes, request, reject, flow.remote);
        self.send_back_to(flow, request, (reject.status(), bytes), out);
        out.event(Event::Refused { reject, source: flow.remote });
    }

    pub(crate) fn write_refusal(
        &self,
        out: &mut Vec<u8>,
        request: &Message<'_>,
        reject: Reject,
        source: SocketAddr,
    ) -> Range<usize> {
        let mut response = self.respond(out, request, reject.status(), source);
        match reject {
            Reject::BadExtension => {
                for header in [Name::ProxyRequire, Name::Require] {
                    for value in request.all(header) {
                        response.header("Unsupported", value);
                    }
                }
            }
            Reject::MethodNotAllowed => {
                response.header("Allow", b"OPTIONS, REGISTER");
            }
            Reject::IntervalTooBrief => {
                let least = self.snapshot.settings.expires_min_s;
                response.header("Min-Expires", alloc::format!("{least}").as_bytes());
            }
            Reject::Overloaded => {
                let after = limits::RETRY_AFTER_S;
                response.header("Retry-After", alloc::format!("{after}").as_bytes());
            }
            Reject::Malformed(what) => {
                let value = alloc::format!("399 ringway \"{what}\"");
                response.header("Warning", value.as_bytes());
            }
            _ => {}
        }
        response.finish(None)
    }

    /// Asks for credentials: 401 or 407, the same for known and unknown users.
    pub(crate) fn challenge(
        &self,
        now: Instant,
        (flow, gate): (Flow, &Authentication<'_>),
        request: &Message<'_>,
        verdict: Verdict,
        out: &mut Outbox,
    ) -> Result<(), Reject> {
        let source = flow.remote;
        let reject = gate.side.reject();
        let stale = verdict == Verdict::Stale;
        if let Verdict::Wrong { user, failure } = verdict {
            out.event(Event::AuthFailed { user, source, reason: failure });
            if failure == AuthFailure::Malformed {
                return Err(Reject::Malformed("credentials"));
            }
        }
        let bytes = self.write_challenge(now, (flow, gate), request, stale, &mut out.bytes);
        let flow = reply_flow(flow, request);
        out.outputs.push(Output::Send { flow, bytes, on_failure: None });
        out.event(Event::Refused { reject, source });
        Ok(())
    }

    pub(crate) fn write_challenge(
        &self,
        now: Instant,
        (flow, gate): (Flow, &Authentication<'_>),
        request: &Message<'_>,
        stale: bool,
        out: &mut Vec<u8>,
    ) -> Range<usize> {
        let status = gate.side.reject().status();
        let challenge = gate.challenge(now, &flow, request, stale);
        let mut response = self.respond(out, request, status, flow.remote);
        for &algorithm in challenge.algorithms {
            response.header_with(gate.side.challenge(), |out| challenge.write(algorithm, out));
        }
        response.finish(None)
    }
}
