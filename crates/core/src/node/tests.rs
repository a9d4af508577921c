//! What is left of a call when it is over.

use super::*;
use crate::account::{Account, Ha1};
use crate::boundary::{CommitToken, Question};
use crate::flow::{CertifiedName, ConnectionId, SocketId, Transport};
use crate::snapshot::Peer;
use crate::time::Duration;
use alloc::format;
use alloc::string::String;
use core::net::SocketAddr;
use ringway_wire::{Framing, Index, parse};

const CALLER: &str = "192.0.2.7:5060";
const CALLEE: &str = "192.0.2.9:5060";
const CALL: &str = "From: <sip:alice@example.org>;tag=a\r\nCall-ID: call-1\r\n";

/// A partition with one user, whose phone and caller are trusted for their address.
struct World {
    node: Node,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let local = "192.0.2.1:5060".parse().expect("an address");
        let setup = Setup {
            keys: Arc::new(Keys::new(&[1; 32])),
            listeners: [Listener { transport: Transport::Udp, local, advertised: None }].into(),
            partition: 0,
            partitions: 1,
            seed: 1,
            started: Instant::from_secs(1),
        };
        let mut snapshot = Snapshot::default();
        snapshot.domains.insert((*b"example.org").into());
        snapshot.accounts.put(Account {
            aor: AddressOfRecord::from_text("bob@example.org").expect("valid"),
            ha1: Ha1::default(),
            display_name: String::new(),
            enabled: true,
        });
        let networks = [("192.0.2.0".parse().expect("an address"), 24)].to_vec();
        snapshot.peers = [Peer {
            name: "edge".into(),
            networks,
            may_register: true,
            trust_udp: true,
            ..Peer::default()
        }]
        .to_vec();
        Self { node: Node::new(setup, Arc::new(snapshot)), now: Instant::from_secs(9) }
    }

    /// Hands in a datagram; everything is committed at once. What goes out comes back as text.
    fn receive(&mut self, from: &str, text: &str) -> Vec<(SocketAddr, String)> {
        let remote = from.parse().expect("an address");
        let (socket, transport) = (SocketId(0), Transport::Udp);
        let flow = Flow {
            socket,
            transport,
            connection: ConnectionId::NONE,
            remote,
            certified: CertifiedName::NONE,
        };
        let mut index = Index::new();
        let message = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("a message");
        self.handle(Input::Message { flow, message })
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<(SocketAddr, String)> {
        let mut out = Outbox::default();
        self.node.handle(self.now, input, &mut out);
        let mut sent = Vec::new();
        for output in core::mem::take(&mut out.outputs) {
            match output {
                Output::Send { flow, bytes, .. } => {
                    let text = String::from_utf8(out.bytes[bytes].to_vec()).expect("text");
                    sent.push((flow.remote, text));
                }
                Output::Ask { ask, question: Question::Keep(_) } => {
                    let answer = Answer::Kept(CommitToken::committed(1));
                    sent.extend(self.handle(Input::Answered { ask, answer }));
                }
                Output::Event(_)
                | Output::Ask { .. }
                | Output::Answer { .. }
                | Output::Avoid { .. }
                | Output::Proved { .. }
                | Output::Expect { .. } => {}
            }
        }
        sent
    }

    fn register(&mut self) {
        let register = request("REGISTER", "sip:example.org", "1 REGISTER", CALLEE)
            + "From: <sip:bob@example.org>;tag=b\r\nTo: <sip:bob@example.org>\r\n\
               Call-ID: reg-1\r\nContact: <sip:bob@192.0.2.9:5060>\r\n\r\n";
        assert!(self.receive(CALLEE, &register)[0].1.starts_with("SIP/2.0 200"));
    }
}

fn request(method: &str, uri: &str, cseq: &str, from: &str) -> String {
    let branch = cseq.replace(' ', "-");
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK-{branch}\r\n\
         Max-Forwards: 70\r\nCSeq: {cseq}\r\n"
    )
}

/// The phone's response to a request that was sent on to it.
fn response(status: &str, request: &str) -> String {
    let kept = |line: &&str| {
        ["Via:", "Record-Route:", "From:", "Call-ID:", "CSeq:"].iter().any(|n| line.starts_with(n))
    };
    let headers: Vec<&str> = request.lines().filter(kept).collect();
    let to = "To: <sip:bob@example.org>;tag=b\r\nContact: <sip:bob@192.0.2.9:5060>\r\n\r\n";
    format!("SIP/2.0 {status}\r\n{}\r\n{to}", headers.join("\r\n"))
}

// "A completed transaction shrinks to what its retransmissions need": thousands of calls a
// second linger for 32 s each.
#[test]
fn an_ended_call_keeps_what_repetitions_need_and_then_nothing() {
    let mut world = World::new();
    world.register();
    let contact = "Contact: <sip:alice@192.0.2.7:5060>\r\n\r\n";
    let invite = request("INVITE", "sip:bob@example.org", "1 INVITE", CALLER)
        + CALL
        + "To: <sip:bob@example.org>\r\n"
        + contact;
    let sent = world.receive(CALLER, &invite);
    assert_eq!(sent.len(), 2, "a 100 back and the INVITE on: {sent:?}");
    let on = sent[1].1.clone();
    assert_eq!(world.node.calls().len(), 1);
    assert!(world.node.is_busy(), "it rings");
    assert_eq!(world.receive(CALLEE, &response("180 Ringing", &on)).len(), 1);
    assert_eq!(world.receive(CALLEE, &response("200 OK", &on)).len(), 1);
    let route = on.lines().find(|line| line.starts_with("Record-Route:")).expect("a route");
    let route = route.replace("Record-Route", "Route") + "\r\n";
    let bye = request("BYE", "sip:bob@192.0.2.9:5060", "2 BYE", CALLER)
        + CALL
        + &route
        + "To: <sip:bob@example.org>;tag=b\r\n\r\n";
    let sent = world.receive(CALLER, &bye);
    let ended = world.receive(CALLEE, &response("200 OK", &sent[0].1));
    assert_eq!((ended.len(), ended[0].0), (1, CALLER.parse().expect("an address")));
    let node = &world.node;
    assert!(!node.is_busy(), "a stop need not wait for repetitions");
    assert_eq!(node.calls().len(), 0);
    let requests = node.contexts.iter().filter(|context| context.request.is_some()).count();
    assert_eq!((node.contexts.len(), requests), (2, 0), "contexts, and requests still in them");
    assert_eq!(node.clients.kept_bytes(), 0, "nothing is sent on again");
    assert_eq!(node.servers.kept_bytes(), ended[0].1.len(), "the 200 to BYE, for its repetition");
    assert_eq!(world.receive(CALLER, &bye), ended, "and it is repeated");
    // Servers of INVITE and BYE (L, J), clients of INVITE and BYE (M, K), and no timer of the
    // call itself.
    assert_eq!(world.node.census().timers, 4);
    world.now = world.now + Duration::from_secs(33);
    assert_eq!(world.handle(Input::TimeIsUp), []);
    assert_eq!(world.node.census(), Census::default());
}
