//! One partition with phones around it: what is handed in as text comes out as text.

// Each test file uses a part of this.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod dialog;

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{
    Answer, AskId, Command, CommitToken, Event, Input, Outbox, Output, Question, TransactionRef,
};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::identity::{Asked, Login};
use ringway_core::keys::Keys;
use ringway_core::node::{Census, Node, Setup};
use ringway_core::snapshot::{Algorithm, Peer, Snapshot};
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Framing, Index, Message, Name, parse};
use std::sync::Arc;

/// Requests from here are not challenged.
pub(crate) const EDGE: &str = "198.51.100.1:5060";
/// Requests from here are, as from everywhere else.
pub(crate) const STRANGER: &str = "203.0.113.1:5060";

/// What a node sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// `udp 192.0.2.9:5060`, or `tcp#1 …` over a connection.
    pub(crate) to: String,
    /// The message, its line ends written as `|`.
    pub(crate) text: String,
    pub(crate) flow: Flow,
    pub(crate) on_failure: Option<TransactionRef>,
}

impl Sent {
    pub(crate) fn first_line(&self) -> &str {
        self.text.split('|').next().unwrap_or_default()
    }

    /// The values of all headers of this name as it is written, one after another.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let head = self.text.split("||").next().unwrap_or_default();
        let lines = head.split('|').skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(n, _)| *n == name).map(|(_, value)| value).collect()
    }

    /// The only header of this name.
    pub(crate) fn one(&self, name: &str) -> &str {
        let all = self.all(name);
        assert_eq!(all.len(), 1, "one {name} in {}", self.text);
        all[0]
    }

    pub(crate) fn status(&self) -> u16 {
        let line = self.first_line().strip_prefix("SIP/2.0 ").unwrap_or_default();
        line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.text.replace('|', "\r\n").into_bytes()
    }

    /// A response to this request, as its receiver would send it.
    pub(crate) fn answer(&self, status: u16, more: &str) -> String {
        let head = self.text.split("||").next().unwrap_or_default();
        let wanted = ["Via", "v", "From", "f", "Call-ID", "i", "CSeq", "Record-Route"];
        let mut out = format!("SIP/2.0 {status} Because|");
        for line in head.split('|').skip(1) {
            let name = line.split(':').next().unwrap_or_default().trim();
            if wanted.contains(&name) {
                out.push_str(&format!("{line}|"));
            }
            if name == "To" || name == "t" {
                let tag = if status == 100 || line.contains("tag=") {
                    String::new()
                } else {
                    format!(";tag=callee{}", self.to.len())
                };
                out.push_str(&format!("{line}{tag}|"));
            }
        }
        out.push_str(&format!("{more}Content-Length: 0||"));
        out
    }
}

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) now: Instant,
    pub(crate) setup: Setup,
    pub(crate) snapshot: Snapshot,
    pub(crate) wake: Option<Instant>,
    /// Questions to the world that wait for [`World::answer`].
    pub(crate) asks: Vec<(AskId, Question)>,
    pub(crate) events: Vec<Event>,
    /// Next hops that others are to be tried before.
    pub(crate) avoided: Vec<Flow>,
    /// Connections whose far side has shown who it is, and for which port of it they may stand.
    pub(crate) proved: Vec<(Flow, Option<u16>)>,
    /// Over which connections something must be heard, and how often.
    pub(crate) expected: Vec<(String, Duration)>,
    /// Whether the store keeps at once what it is given.
    pub(crate) keeps: bool,
    commits: u64,
    number: u32,
}

/// UDP and TCP, v4 and v6.
pub(crate) fn world() -> World {
    let listener = |transport, local: &str| Listener {
        transport,
        local: local.parse().expect("an address"),
        advertised: None,
    };
    world_with(
        vec![
            listener(Transport::Udp, "192.0.2.1:5060"),
            listener(Transport::Tcp, "192.0.2.1:5060"),
            listener(Transport::Udp, "[2001:db8::1]:5060"),
            listener(Transport::Tcp, "[2001:db8::1]:5060"),
        ],
        Instant::from_secs(1_700_000_000),
    )
}

pub(crate) fn world_with(listeners: Vec<Listener>, now: Instant) -> World {
    let setup = Setup {
        keys: Arc::new(Keys::new(&[7; 32])),
        listeners: listeners.into(),
        partition: 0,
        partitions: 1,
        seed: 11,
        started: now,
    };
    let mut snapshot = Snapshot::default();
    snapshot.domains.insert((*b"example.org").into());
    snapshot.default_domain = Some((*b"example.org").into());
    snapshot.settings.expires_spread_percent = 0;
    snapshot.settings.nat_ping_s = 0;
    snapshot.settings.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    for user in ["alice", "bob", "carol", "+12015550123", "what?ever"] {
        snapshot.accounts.put(account(user));
    }
    let networks = ["198.51.100.0", "2001:db8:5::"].map(|n| n.parse().expect("an address"));
    snapshot.peers = vec![Peer {
        name: "edge".into(),
        networks: networks.into_iter().zip([24, 48]).collect(),
        may_register: true,
        trust_identity: true,
        trust_udp: true,
        ..Peer::default()
    }];
    let node = Node::new(setup.clone(), Arc::new(snapshot.clone()));
    World {
        node,
        now,
        setup,
        snapshot,
        wake: None,
        asks: Vec::new(),
        events: Vec::new(),
        avoided: Vec::new(),
        proved: Vec::new(),
        expected: Vec::new(),
        keeps: true,
        commits: 0,
        number: 0,
    }
}

pub(crate) fn account(user: &str) -> Account {
    Account {
        aor: AddressOfRecord::new(user.as_bytes(), b"example.org").expect("valid"),
        ha1: Ha1::from_password(user.as_bytes(), b"example.org", b"secret"),
        display_name: String::new(),
        enabled: true,
    }
}

/// `192.0.2.9:5060` is a datagram; `tcp#7 192.0.2.9:40000` a connection, and so is `ws#7 …`.
pub(crate) fn flow(from: &str) -> Flow {
    let (how, remote) = from.split_once(' ').unwrap_or(("udp", from));
    let remote: std::net::SocketAddr = remote.parse().expect("an address");
    let (name, connection) = how.split_once('#').unwrap_or((how, "0"));
    let transport = Transport::from_name(name.as_bytes()).expect("a transport");
    Flow {
        socket: SocketId(u16::from(transport.is_reliable()) + 2 * u16::from(remote.is_ipv6())),
        transport,
        connection: ConnectionId(connection.parse().expect("a number")),
        remote,
        certified: CertifiedName::NONE,
    }
}

fn name_of(flow: &Flow) -> String {
    match flow.connection {
        ConnectionId::NONE => format!("{} {}", flow.transport, flow.remote),
        ConnectionId(n) => format!("{}#{n} {}", flow.transport, flow.remote),
    }
}

impl World {
    /// Makes another node of the same installation, as after a restart.
    pub(crate) fn restart(&mut self) {
        self.setup.started = self.now;
        self.setup.seed += 1;
        self.node = Node::new(self.setup.clone(), Arc::new(self.snapshot.clone()));
        self.asks.clear();
    }

    pub(crate) fn use_snapshot(&mut self) {
        let snapshot = Arc::new(self.snapshot.clone());
        self.handle(Input::Commanded(Command::UseSnapshot(snapshot)));
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) -> Vec<Sent> {
        let mut out = Outbox::default();
        self.wake = self.node.handle(self.now, input, &mut out);
        let mut sent = Vec::new();
        let mut kept = Vec::new();
        for output in out.outputs {
            match output {
                Output::Send { flow, bytes, on_failure } => {
                    let text = String::from_utf8_lossy(&out.bytes[bytes]).replace("\r\n", "|");
                    sent.push(Sent { to: name_of(&flow), text, flow, on_failure });
                }
                Output::Ask { ask, question: Question::Keep(_) } if self.keeps => {
                    self.commits += 1;
                    kept.push((ask, self.commits));
                }
                Output::Ask { ask, question } => self.asks.push((ask, question)),
                Output::Answer { .. } => panic!("there is one partition only"),
                Output::Event(event) => self.events.push(event),
                Output::Avoid { flow, .. } => self.avoided.push(flow),
                Output::Proved { flow, alias } => self.proved.push((flow, alias)),
                Output::Expect { flow, within } => self.expected.push((name_of(&flow), within)),
            }
        }
        for (ask, commit) in kept {
            let answer = Answer::Kept(CommitToken::committed(commit));
            sent.extend(self.handle(Input::Answered { ask, answer }));
        }
        sent
    }

    /// A message arrives, its line ends written as `|`.
    pub(crate) fn receive(&mut self, from: &str, text: &str) -> Vec<Sent> {
        let bytes = text.replace('|', "\r\n").into_bytes();
        self.receive_bytes(from, &bytes)
    }

    pub(crate) fn receive_bytes(&mut self, from: &str, bytes: &[u8]) -> Vec<Sent> {
        self.receive_bytes_over(flow(from), bytes)
    }

    /// The same over a flow that no text describes.
    pub(crate) fn receive_over(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        self.receive_bytes_over(flow, text.replace('|', "\r\n").as_bytes())
    }

    fn receive_bytes_over(&mut self, flow: Flow, bytes: &[u8]) -> Vec<Sent> {
        let mut index = Index::new();
        let framing =
            if flow.transport.is_reliable() { Framing::Stream } else { Framing::Datagram };
        let Ok(message) = parse(bytes, &mut index, framing) else { return Vec::new() };
        self.handle(Input::Message { flow, message })
    }

    /// Time passes; tells what was sent meanwhile, and after how many milliseconds.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<(u64, Sent)> {
        let (start, end) = (self.now, self.now + Duration::from_millis(ms));
        let mut all = Vec::new();
        while let Some(at) = self.wake.filter(|at| *at <= end) {
            self.now = at.max(self.now);
            let after = self.now.since(start).as_millis();
            let sent = self.handle(Input::TimeIsUp);
            all.extend(sent.into_iter().map(|sent| (after, sent)));
        }
        self.now = end;
        all
    }

    /// A question to the world is answered.
    pub(crate) fn answer(&mut self, answer: Answer) -> Vec<Sent> {
        let (ask, _) = self.asks.remove(0);
        self.handle(Input::Answered { ask, answer })
    }

    pub(crate) fn census(&self) -> Census {
        self.node.census()
    }

    pub(crate) fn next_number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    /// Registers a contact of a user of ours through the edge, which is believed; the contact is
    /// where it says, or at `from`.
    pub(crate) fn register(&mut self, from: &str, user: &str, contact: &str) {
        let n = self.next_number();
        let text = format!(
            "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP p;branch=z9hG4bKreg{n};rport|\
             From: <sip:{user}@example.org>;tag=r|To: <sip:{user}@example.org>|Call-ID: reg{n}|\
             CSeq: 1 REGISTER|Contact: {contact}|Content-Length: 0||"
        );
        let sent = self.log_in(from, user, &text);
        assert_eq!(sent.last().map(Sent::status), Some(200), "{sent:?}");
    }

    /// Sends a request, and once more with credentials if it is challenged.
    pub(crate) fn log_in(&mut self, from: &str, user: &str, text: &str) -> Vec<Sent> {
        let sent = self.receive(from, text);
        let Some(again) = sent.first().and_then(|sent| with_login(text, sent, user, "secret"))
        else {
            return sent;
        };
        self.receive(from, &again)
    }
}

/// The request with an answer to the challenge, and a new branch; `None` if it is no challenge.
pub(crate) fn with_login(
    text: &str,
    challenge: &Sent,
    user: &str,
    password: &str,
) -> Option<String> {
    let (asks, gives) = match challenge.status() {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => return None,
    };
    let mut words = text.split(' ');
    let (method, uri) = (words.next()?, words.next()?);
    let login = Login { user: user.as_bytes(), password: password.as_bytes() };
    let asked = Asked { method: method.as_bytes(), uri: uri.as_bytes(), cnonce: b"c0ffee", nc: 1 };
    let challenges = challenge.all(asks);
    let value = login.respond(challenges.iter().map(|value| value.as_bytes()), asked)?;
    let value = String::from_utf8(value).expect("text");
    let again = text.replacen("branch=z9hG4bK", "branch=z9hG4bKagain", 1);
    Some(again.replacen("|Via:", &format!("|{gives}: {value}|Via:"), 1))
}

/// An INVITE to a user of ours; `more` are further headers, each ending with `|`.
pub(crate) fn invite(uri: &str, more: &str) -> String {
    request("INVITE", uri, more)
}

pub(crate) fn request(method: &str, uri: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0|Via: SIP/2.0/UDP caller.example;branch=z9hG4bKcall;rport|\
         Max-Forwards: 70|From: <sip:alice@example.org>;tag=caller|To: <{to}>|Call-ID: call|\
         CSeq: 1 {method}|Contact: <sip:alice@198.51.100.1>|{more}Content-Length: 0||",
        to = if uri.starts_with("sip") { uri } else { "sip:bob@example.org" },
    )
}

/// Reads what a node sent as its receiver would.
pub(crate) fn read<T>(sent: &Sent, look: impl FnOnce(&Message<'_>) -> T) -> T {
    let bytes = sent.bytes();
    let mut index = Index::new();
    let framing =
        if sent.flow.transport.is_reliable() { Framing::Stream } else { Framing::Datagram };
    let message = parse(&bytes, &mut index, framing).expect("a message");
    message.check().unwrap_or_else(|wrong| panic!("{wrong:?} in {}", sent.text));
    look(&message)
}

/// The Route headers of a dialog's route set, as one header; `reversed` for the caller's side.
pub(crate) fn route_set(sent: &Sent, reversed: bool) -> String {
    let mut routes: Vec<String> = read(sent, |message| {
        let values = message.values(Name::RecordRoute);
        values.map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    });
    if reversed {
        routes.reverse();
    }
    routes.iter().map(|route| format!("Route: {route}|")).collect()
}

pub(crate) fn statuses(sent: &[Sent]) -> Vec<u16> {
    sent.iter().map(Sent::status).collect()
}

pub(crate) fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().map(|sent| format!("{} <- {}", sent.to, sent.first_line())).collect()
}

/// Where the phone of [`with_bob`] is, as a rule.
pub(crate) const BOB: &str = "192.0.2.21:5060";

/// A world in which bob has registered this contact from there.
pub(crate) fn with_bob(at: &str, contact: &str) -> World {
    let mut world = world();
    world.register(at, "bob", contact);
    world
}
