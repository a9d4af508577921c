//! RFC 3261 §16.11: how responses find their way back when nothing was remembered of the request.
//!
//! What we have to know stands in our own Via: the branch, and a parameter `flow` that says over
//! which socket and connection the request came, and how many Record-Route values it had. Both
//! hang on the secret of the installation and on the Via below, so that a response passes only
//! if its request has passed, and only to where that came from (rows E2, F1 of the threat list).
//!
//! The parameter, in hexadecimal digits: the socket (4), the number of Record-Route values and
//! one more, or 0 if we added none (2), the proof (16); over a stream the connection (16), and the
//! name that was certified (16) if there is one.

use crate::boundary::{DropReason, Event, Outbox, Output, TransactionRef};
use crate::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use crate::keys::Keys;
use crate::node::Node;
use crate::proxy::border::Crossing;
use crate::proxy::record_route;
use crate::proxy::session_id;
use crate::route::ours::{Ours, address_of};
use crate::transaction::key::{StatelessBranch, hex, host_bytes};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use ringway_wire::{Editor, Message, Via};

const PARAM: &[u8] = b"flow";

/// What a response has to know of its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WayBack {
    /// Where the request came from; in a response, where that goes.
    pub(crate) flow: Flow,
    /// How many Record-Route values the request had when it came, if it got one of ours.
    pub(crate) before: Option<usize>,
}

/// The branch of a request that passes, with what belongs to it.
pub(crate) struct Marked<'a> {
    pub(crate) branch: StatelessBranch,
    pub(crate) back: &'a WayBack,
    pub(crate) proof: u64,
}

impl fmt::Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { branch, back, proof } = self;
        let flow = &back.flow;
        write!(f, "{branch};flow={:04x}{:02x}{proof:016x}", flow.socket.0, back.count())?;
        if flow.transport.is_reliable() {
            write!(f, "{:016x}", flow.connection.0)?;
            if flow.certified != CertifiedName::NONE {
                write!(f, "{:016x}", flow.certified.0)?;
            }
        }
        Ok(())
    }
}

impl WayBack {
    fn count(&self) -> u8 {
        // Behind more than that our entry is not looked for.
        self.before.and_then(|before| u8::try_from(before + 1).ok()).unwrap_or(0)
    }

    /// The proof for a request with this topmost Via and this Call-ID.
    pub(crate) fn proof_for(
        &self,
        keys: &Keys,
        (via, call_id): (&Via<'_>, &[u8]),
        branch: &StatelessBranch,
    ) -> u64 {
        let port = match via.rport() {
            Some(_) if !self.flow.transport.is_reliable() => self.flow.remote.port(),
            _ => via.port.unwrap_or(5060),
        };
        let remote = SocketAddr::new(self.flow.remote.ip(), port);
        self.proof(keys, (via, call_id), (branch, remote))
    }

    fn proof(
        &self,
        keys: &Keys,
        (via, call_id): (&Via<'_>, &[u8]),
        (branch, remote): (&StatelessBranch, SocketAddr),
    ) -> u64 {
        let ip = match remote.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let mut space = [0; 256];
        let parts = [
            &branch.hash.to_be_bytes()[..],
            &branch.loop_hash.to_be_bytes(),
            &self.flow.socket.0.to_be_bytes(),
            &[self.count()],
            &self.flow.connection.0.to_be_bytes(),
            &self.flow.certified.0.to_be_bytes(),
            &ip.octets(),
            &remote.port().to_be_bytes(),
            via.branch().unwrap_or_default(),
            host_bytes(via, &mut space),
            &via.port.unwrap_or(0).to_be_bytes(),
            call_id,
        ];
        keys.hash64(b"stateless way back", &parts)
    }

    /// What stands in the topmost Via of a response; `None` if it does not fit the Via below.
    fn read(ours: Ours<'_>, response: &Message<'_>, branch: &StatelessBranch) -> Option<Self> {
        let mut vias = response.vias();
        let (own, below) = (vias.next()?.ok()?, vias.next()?.ok()?);
        let keys = &ours.setup.keys;
        let call_id = response.call_id();
        if StatelessBranch::of(keys, (&below, call_id), branch.loop_hash)? != *branch {
            return None;
        }
        let digits = own.params.get(PARAM).flatten()?;
        let number = |range| digits.get(range).and_then(hex);
        let socket = SocketId(number(0..4)? as u16);
        let before = usize::try_from(number(4..6)?).ok()?.checked_sub(1);
        let proof = number(6..22)? as u64;
        let connection = ConnectionId(number(22..38).unwrap_or(0) as u64);
        let certified = CertifiedName(number(38..54).unwrap_or(0) as u64);
        let transport = ours.setup.listeners.get(usize::from(socket.0))?.transport;
        //= RFC 3261 18.2.2
        // "If the Via header field value contains a \"received\" parameter"
        let ip = below.received().or_else(|| address_of(&below.host))?;
        let rport = below.rport().flatten().filter(|_| !transport.is_reliable());
        let port = rport.or(below.port).unwrap_or(5060);
        let remote = SocketAddr::new(ip, port);
        let flow = Flow { socket, transport, connection, remote, certified };
        let back = Self { flow, before };
        (back.proof(keys, (&below, call_id), (branch, remote)) == proof).then_some(back)
    }
}

impl Node {
    /// A response to a request that passed without state.
    //= RFC 3261 16.11
    // "proxy, the proxy MUST inspect the sent-by value in the first"
    //= RFC 3261 16.11
    // "the proxy MUST remove that header field value from the response and"
    //= RFC 3261 16.11
    // "field value.  The proxy MUST NOT add to, modify, or remove the"
    //= RFC 3261 16.11
    // "message body.  Unless specified otherwise, the proxy MUST NOT remove"
    //= RFC 3261 16.11
    // "proxy, the message MUST be silently discarded."
    pub(crate) fn pass_back(
        &mut self,
        (response, source): (&Message<'_>, &Flow),
        branch: &StatelessBranch,
        out: &mut Outbox,
    ) {
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let is_ours = response.top_via().is_ok_and(|via| self.is_sent_by(&via));
        let back = is_ours.then(|| WayBack::read(ours, response, branch)).flatten();
        let Some(WayBack { flow, before }) = back else {
            let (reason, source) = (DropReason::StrayResponse, source.remote);
            return out.event(Event::Dropped { reason, source });
        };
        let mut edit = Editor::reusing(core::mem::take(&mut self.scratch), response);
        edit.pop_via();
        if let Some(before) = before {
            record_route::face_callee(ours, response, (&flow, before, 0), &mut edit);
        }
        let crossing = Crossing::between(source, &flow);
        crossing.edit(&self.snapshot, response, &mut edit);
        session_id::drop_malformed(response, &mut edit);
        if flow.transport.is_reliable() {
            edit.complete_content_length();
        }
        let (bytes, scratch) = edit.finish_and_return(&mut out.bytes);
        self.scratch = scratch;
        //= RFC 3261 18.2.2
        // "If that connection is no longer open, the server SHOULD open a"
        let elsewhere = TransactionRef::Elsewhere(flow.remote);
        let on_failure = (flow.transport == Transport::Tcp).then_some(elsewhere);
        out.outputs.push(Output::Send { flow, bytes, on_failure });
    }
}
