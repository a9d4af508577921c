//! What is forwarded without state asks for no memory (RFC 3261 §16.11).
//!
//! A program of its own, without the threads of a test harness: memory is counted for the whole
//! process.

use ringway_core::boundary::{Input, Outbox, Output};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::keys::Keys;
use ringway_core::node::{Node, Setup, home_of};
use ringway_core::route::rules::{Action, Route, Upstream};
use ringway_core::snapshot::{Peer, Snapshot};
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Framing, Index, parse};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const START: Instant = Instant::from_secs(1_700_000_000);

fn flow(socket: u16, remote: &str) -> Flow {
    let transport = [Transport::Udp, Transport::Tcp][usize::from(socket)];
    Flow {
        socket: SocketId(socket),
        transport,
        connection: ConnectionId(u64::from(socket) * 7),
        remote: remote.parse().expect("an address"),
        certified: CertifiedName::NONE,
    }
}

fn setup() -> Setup {
    let listener = |transport| Listener {
        transport,
        local: "192.0.2.1:5060".parse().expect("an address"),
        advertised: None,
    };
    Setup {
        keys: Arc::new(Keys::new(&[7; 32])),
        listeners: [listener(Transport::Udp), listener(Transport::Tcp)].into(),
        partition: 0,
        partitions: 1,
        seed: 1,
        started: START,
    }
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.domains.insert((*b"example.org").into());
    snapshot.default_domain = Some((*b"example.org").into());
    snapshot.peers = vec![Peer {
        name: "edge".into(),
        networks: vec![("198.51.100.0".parse().expect("an address"), 24)],
        trust_identity: true,
        trust_udp: true,
        ..Peer::default()
    }];
    let route = |prefix: &[u8], action| Route {
        name: "out".into(),
        domain: None,
        prefix: prefix.into(),
        methods: Vec::new(),
        action,
        stateless: true,
    };
    let gateway =
        |name: &str| Upstream { peer: name.into(), address: (*b"sip:203.0.113.9:5070").into() };
    let to = Action::Forward(vec![gateway("one"), gateway("two")]);
    snapshot.routes = vec![route(b"", Action::Onward), route(b"+", to)];
    snapshot
}

/// A server with all the memory that it uses again.
struct Server {
    node: Node,
    setup: Setup,
    snapshot: Snapshot,
    index: Index,
    out: Outbox,
    now: Instant,
}

impl Server {
    fn new() -> Self {
        let (setup, snapshot) = (setup(), snapshot());
        let node = Node::new(setup.clone(), Arc::new(snapshot.clone()));
        let (index, out) = (Index::new(), Outbox::default());
        Self { node, setup, snapshot, index, out, now: START }
    }

    /// Takes one message as the program does, and leaves what is sent in the outbox.
    fn take(&mut self, flow: Flow, framing: Framing, bytes: &[u8]) {
        self.out.clear();
        self.now = self.now + Duration::from_millis(1);
        let message = parse(bytes, &mut self.index, framing).expect("a message");
        home_of(&self.setup, &self.snapshot, &message);
        self.node.handle(self.now, Input::Message { flow, message }, &mut self.out);
    }

    /// The one message that was sent.
    fn sent(&self) -> String {
        let sent = self.out.outputs.iter().filter_map(|output| match output {
            Output::Send { bytes, .. } => Some(bytes.clone()),
            _ => None,
        });
        let sent: Vec<_> = sent.collect();
        assert_eq!(sent.len(), 1, "{:?}", self.out.outputs);
        String::from_utf8_lossy(&self.out.bytes[sent[0].clone()]).into_owned()
    }
}

fn request((method, uri): (&str, &str), transport: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} client.example:5062;branch=z9hG4bKa1;rport\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:alice@far.example>;tag=f\r\n\
         To: <sip:bob@203.0.113.9>\r\nCall-ID: one@far.example\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:alice@client.example>\r\nUser-Agent: x\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

/// The answer of who got this request.
fn answer(request: &str, status: &str) -> String {
    let kept = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
    let is_kept = |line: &&str| kept.iter().any(|name| line.starts_with(&format!("{name}: ")));
    let lines: Vec<&str> = request.split("\r\n").filter(is_kept).collect();
    let head = lines.join("\r\n").replace("To: <sip:bob@203.0.113.9>", "To: <sip:b@h>;tag=t");
    let contact = "Contact: <sip:bob@203.0.113.9:5070>\r\nPrivacy: none\r\n";
    format!("SIP/2.0 {status}\r\n{head}\r\n{contact}Content-Length: 0\r\n\r\n")
}

fn main() {
    let (datagram, stream) = (Framing::Datagram, Framing::Stream);
    let next = flow(0, "203.0.113.9:5070");
    let direct = "sip:bob@203.0.113.9:5070";
    for (method, socket, transport, framing, more) in [
        ("OPTIONS", 0, "UDP", datagram, ""),
        ("OPTIONS", 1, "TCP", stream, "Privacy: id\r\nP-Preferred-Identity: <sip:x@y>\r\n"),
        ("MESSAGE", 0, "UDP", datagram, "Route: <sip:192.0.2.1;lr>, <sip:203.0.113.9:5070;lr>\r\n"),
        ("INVITE", 0, "UDP", datagram, ""),
        ("INVITE", 0, "UDP", datagram, "P-Asserted-Identity: <sip:a@far.example>\r\n"),
        ("ACK", 0, "UDP", datagram, ""),
        ("CANCEL", 0, "UDP", datagram, ""),
    ] {
        let mut server = Server::new();
        let from = flow(socket, "198.51.100.7:5062");
        // What has a Route goes there, and a number to one of the peers.
        let uri = match (more.starts_with("Route"), method) {
            (true, _) => "sip:bob@far.example",
            (false, "ACK" | "CANCEL") => "sip:+4930@far.example",
            (false, _) => direct,
        };
        let request = request((method, uri), transport, more);
        server.take(from, framing, request.as_bytes());
        let passed = server.sent();
        assert!(passed.starts_with(&format!("{method} {uri} SIP/2.0\r\n")), "{passed}");
        let answers = ["180 Ringing", "200 OK"].map(|status| answer(&passed, status));
        // Counters of a kind are made when it first comes.
        for answer in &answers {
            server.take(next, datagram, answer.as_bytes());
            assert!(server.sent().starts_with(&answer[..11]), "{}", server.sent());
        }
        let region = Region::new(ALLOCATOR);
        for _ in 0..1_000 {
            server.take(from, framing, request.as_bytes());
            for answer in &answers {
                server.take(next, datagram, answer.as_bytes());
            }
        }
        let asked = region.change();
        assert_eq!((asked.allocations, asked.reallocations), (0, 0), "{method} {more}");
        assert!(server.sent().starts_with("SIP/2.0 200"));
        server.take(from, framing, request.as_bytes());
        assert_eq!(server.sent(), passed);
        println!("{method} over {transport}, with its answers: no memory asked for");
    }
}
