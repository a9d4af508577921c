//! What is around the partitions, in small: it takes questions where they belong, keeps what was
//! sent, and lets time pass.

use super::{oracle, phone};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{
    Answer, AskId, Asker, Command, CommitToken, Input, Outbox, Output, Question, TransactionRef,
};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::keys::Keys;
use ringway_core::node::{Census, Node, Setup, home_of};
use ringway_core::route::rules::{Action, Route, Service};
use ringway_core::snapshot::{Algorithm, Peer, Snapshot};
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Framing, Index, parse};
use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) const PASSWORD: &[u8] = b"a password";
const PARTITIONS: u32 = 2;
/// Messages remembered, in each direction.
const REMEMBERED: usize = 256;

/// A message that a node sent.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) flow: Flow,
    pub(super) bytes: Vec<u8>,
    partition: u32,
    on_failure: Option<TransactionRef>,
}

pub(super) struct World {
    pub(super) now: Instant,
    nodes: Vec<Node>,
    setup: Setup,
    snapshot: Arc<Snapshot>,
    /// The last messages sent, oldest first.
    pub(super) sent: Vec<Sent>,
    arrived: Vec<(Flow, Vec<u8>)>,
    /// Questions to the store and the resolver, and those that were answered already.
    asked: Vec<(u32, AskId, Question)>,
    pub(super) nonce: Vec<u8>,
    /// Callers that were told to wait, and not what came of it.
    waiting: BTreeSet<Vec<u8>>,
    /// Somebody else tells them so: without state it passes, and what becomes of it is not ours.
    passes_trying: bool,
    commits: u64,
    transcript: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let now = Instant::from_secs(1_800_000_000);
        let setup = Setup {
            keys: Arc::new(Keys::new(&[7; 32])),
            listeners: listeners().into(),
            partition: 0,
            partitions: PARTITIONS,
            seed: 11,
            started: now,
        };
        let snapshot = Arc::new(snapshot(0));
        let node = |partition| {
            let setup = Setup { partition, seed: 11 + u64::from(partition), ..setup.clone() };
            Node::new(setup, Arc::clone(&snapshot))
        };
        let mut world = Self {
            now,
            nodes: (0..PARTITIONS).map(node).collect(),
            setup,
            snapshot,
            sent: Vec::new(),
            arrived: Vec::new(),
            asked: Vec::new(),
            nonce: Vec::new(),
            waiting: BTreeSet::new(),
            passes_trying: false,
            commits: 0,
            transcript: 0,
        };
        let bob = user("bob");
        let home = world.place(world.setup.keys.partition_of(&bob));
        let restore = Command::Restore(bob, binding(now).into());
        world.run(home, Input::Commanded(restore));
        world
    }

    fn place(&self, hash: u64) -> u32 {
        (hash % u64::from(PARTITIONS)) as u32
    }

    /// A message, with what stands for credentials replaced.
    pub(super) fn arrives(&mut self, which: usize, text: &[u8]) {
        let flow = flows()[which % flows().len()];
        let proved = text.windows(6).any(|window| window == b"{auth}");
        let bytes = phone::with_credentials(text, &self.nonce);
        self.passes(0);
        let before = (self.census(), self.sent.len());
        self.receive(flow, &bytes);
        if !proved {
            let census = (before.0, self.census());
            let (old, new) = self.sent.split_at(before.1.min(self.sent.len()));
            oracle::nothing_for_strangers(flow, &bytes, census, (old, new));
        }
    }

    pub(super) fn arrives_again(&mut self, which: usize) {
        if let Some((flow, bytes)) = pick(&self.arrived, which) {
            let (flow, bytes) = (*flow, bytes.clone());
            self.receive(flow, &bytes);
        }
    }

    /// Takes a message to the partition that owns it.
    pub(super) fn receive(&mut self, flow: Flow, bytes: &[u8]) {
        let stream = flow.transport.is_reliable();
        let framing = if stream { Framing::Stream } else { Framing::Datagram };
        let mut index = Index::new();
        let Ok(message) = parse(bytes, &mut index, framing) else { return };
        remember(&mut self.arrived, (flow, bytes.to_vec()));
        self.passes_trying = message.status() == 100;
        let home = self.place(home_of(&self.setup, &self.snapshot, &message));
        self.run(home, Input::Message { flow, message });
    }

    /// Runs one input and all that follows at once.
    fn run(&mut self, partition: u32, input: Input<'_>) {
        let mut outbox = Outbox::default();
        let most = oracle::most_sends(&self.census());
        let mut queue = VecDeque::new();
        self.step(partition, input, &mut outbox);
        let mut sends = self.take(partition, &mut outbox, &mut queue);
        let mut steps = 0;
        while let Some((partition, input)) = queue.pop_front() {
            steps += 1;
            assert!(steps < 1_000, "questions without end");
            self.step(partition, input, &mut outbox);
            sends += self.take(partition, &mut outbox, &mut queue);
        }
        assert!(sends <= most, "{sends} messages in answer to one input");
    }

    fn step(&mut self, partition: u32, input: Input<'_>, outbox: &mut Outbox) {
        let due = self.nodes[partition as usize].handle(self.now, input, outbox);
        assert!(due.is_none_or(|due| due > self.now), "it wants to be woken in the past");
    }

    fn take(
        &mut self,
        partition: u32,
        outbox: &mut Outbox,
        queue: &mut VecDeque<(u32, Input<'static>)>,
    ) -> usize {
        let mut sends = 0;
        for output in outbox.outputs.drain(..) {
            match output {
                Output::Send { flow, bytes, on_failure } => {
                    sends += 1;
                    let bytes = outbox.bytes[bytes].to_vec();
                    oracle::well_formed(&flow, &bytes);
                    oracle::no_borrowed_identity(&bytes);
                    self.note(&flow, &bytes);
                    remember(&mut self.sent, Sent { flow, bytes, partition, on_failure });
                }
                Output::Ask { ask, question } => match question.owner(&self.setup.keys) {
                    Some(home) => {
                        let owner = self.place(home);
                        let asker = Asker { partition, ask };
                        queue.push_back((owner, Input::Asked { asker, question }));
                    }
                    None => remember(&mut self.asked, (partition, ask, question)),
                },
                Output::Answer { asker, answer } => {
                    let input = Input::Answered { ask: asker.ask, answer };
                    queue.push_back((asker.partition, input));
                }
                Output::Avoid { .. } | Output::Proved { .. } | Output::Expect { .. } => {}
                Output::Event(event) => drop(format!("{event:?}")),
            }
        }
        outbox.bytes.clear();
        sends
    }

    fn note(&mut self, flow: &Flow, bytes: &[u8]) {
        if let Some(nonce) = phone::nonce_of(bytes) {
            self.nonce = nonce;
        }
        match oracle::told(bytes) {
            Some((_, 100)) if self.passes_trying => {}
            Some((caller, 100)) => drop(self.waiting.insert(caller)),
            Some((caller, 200..)) => drop(self.waiting.remove(&caller)),
            _ => {}
        }
        // FNV-1a: what matters is that the same is the same.
        let text = format!("{flow:?}");
        for &byte in text.as_bytes().iter().chain(bytes) {
            self.transcript = (self.transcript ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Answers one of the last questions, again if it was answered before.
    pub(super) fn answer(&mut self, which: usize, text: &[u8]) {
        let Some((partition, ask, question)) = pick(&self.asked, which) else { return };
        let (partition, ask) = (*partition, *ask);
        let answer = match (text.first(), question) {
            (Some(b'x'), _) => Answer::Failed,
            (Some(b'l'), _) => Answer::Located(Vec::new()),
            (Some(b's'), _) => Answer::Spent(true),
            (_, Question::Keep(_)) => {
                self.commits += 1;
                Answer::Kept(CommitToken::committed(self.commits))
            }
            (_, _) => {
                let ways = text.iter().map(|&b| usize::from(b) % flows().len());
                Answer::Resolved(ways.map(|way| open(flows()[way])).collect())
            }
        };
        self.run(partition, Input::Answered { ask, answer });
    }

    pub(super) fn passes(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(ms);
        for partition in 0..PARTITIONS {
            self.run(partition, Input::TimeIsUp);
        }
    }

    pub(super) fn closes(&mut self, which: usize) {
        let flow = flows()[which % flows().len()];
        for partition in 0..PARTITIONS {
            self.run(partition, Input::FlowClosed(flow));
        }
    }

    pub(super) fn fails(&mut self, which: usize) {
        let failed = pick(&self.sent, which).and_then(|s| Some((s.partition, s.on_failure?)));
        if let Some((partition, failed)) = failed {
            self.run(partition, Input::Undelivered(failed));
        }
    }

    pub(super) fn new_snapshot(&mut self, which: usize) {
        self.snapshot = Arc::new(snapshot(which));
        for partition in 0..PARTITIONS {
            let command = Command::UseSnapshot(Arc::clone(&self.snapshot));
            self.run(partition, Input::Commanded(command));
        }
    }

    pub(super) fn drains(&mut self) {
        for partition in 0..PARTITIONS {
            self.run(partition, Input::Commanded(Command::Drain { retry_after_s: 5 }));
        }
    }

    pub(super) fn forgets(&mut self, which: usize) {
        let user = user(["alice", "bob"][which % 2]);
        let home = self.place(self.setup.keys.partition_of(&user));
        self.run(home, Input::Commanded(Command::Forget(user)));
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        self.nodes.iter().for_each(|node| census.add(&node.census()));
        census
    }

    /// Nobody says anything any more: all that was begun must end by itself.
    pub(super) fn end(&mut self) {
        let mut wakes = 0;
        for partition in 0..PARTITIONS {
            self.run(partition, Input::TimeIsUp);
        }
        loop {
            let due =
                |node: &mut Node, now| node.handle(now, Input::TimeIsUp, &mut Outbox::default());
            let now = self.now;
            let dues = self.nodes.iter_mut().map(|node| due(node, now));
            // What came of looking is nothing: everything due was worked off before.
            let Some(next) = dues.flatten().min() else { break };
            self.now = next;
            for partition in 0..PARTITIONS {
                self.run(partition, Input::TimeIsUp);
            }
            wakes += 1;
            assert!(wakes < 20_000, "timers without end");
        }
        assert_eq!(self.census(), Census::default(), "something is left for ever");
        let waiting = self.waiting.first().map(|caller| String::from_utf8_lossy(caller));
        assert_eq!(waiting, None, "told to wait, and never what came of it");
        let bindings: usize = self.nodes.iter().map(Node::registrations).sum();
        assert_eq!(bindings, 0, "a binding outlives its time");
    }

    pub(super) fn transcript(&self) -> u64 {
        self.transcript
    }
}

fn remember<T>(row: &mut Vec<T>, new: T) {
    if row.len() == REMEMBERED {
        row.remove(0);
    }
    row.push(new);
}

/// Counts from the last one back.
fn pick<T>(row: &[T], which: usize) -> Option<&T> {
    row.get(row.len().checked_sub(1 + which % row.len().max(1))?)
}

impl World {
    /// The last requests, or responses, that were sent.
    pub(super) fn last(&self, which: usize, wanted: impl Fn(&Sent) -> bool) -> Option<&Sent> {
        let fitting: Vec<&Sent> = self.sent.iter().filter(|sent| wanted(sent)).collect();
        pick(&fitting, which).copied()
    }
}

fn listeners() -> Vec<Listener> {
    let listener = |transport, local: &str| {
        let local = local.parse().expect("an address");
        Listener { transport, local, advertised: None }
    };
    vec![
        listener(Transport::Udp, "203.0.113.1:5060"),
        listener(Transport::Tcp, "203.0.113.1:5060"),
        listener(Transport::Udp, "[2001:db8:1::1]:5060"),
    ]
}

/// 0 a peer, 1 a stranger, 2 a stranger's connection, 3 a peer by IPv6, 4 a peer's connection,
/// 5 a stranger by IPv6, 6 a phone behind a socket that is not ours.
fn flows() -> [Flow; 7] {
    let flow = |socket, transport, connection, remote: &str| {
        let remote: SocketAddr = remote.parse().expect("an address");
        Flow {
            socket: SocketId(socket),
            transport,
            connection: ConnectionId(connection),
            remote,
            certified: CertifiedName::NONE,
        }
    };
    [
        flow(0, Transport::Udp, 0, "192.0.2.10:5060"),
        flow(0, Transport::Udp, 0, "198.51.100.7:5062"),
        flow(1, Transport::Tcp, 5, "198.51.100.8:40000"),
        flow(2, Transport::Udp, 0, "[2001:db8:2::5]:5060"),
        flow(1, Transport::Tcp, 6, "192.0.2.11:40001"),
        flow(2, Transport::Udp, 0, "[2001:db8:3::6]:5060"),
        flow(0, Transport::Udp, 0, "192.0.2.20:5060"),
    ]
}

/// The flow as a resolver knows it.
fn open(flow: Flow) -> Flow {
    Flow { connection: ConnectionId::NONE, ..flow }
}

pub(super) fn is_stranger(flow: &Flow) -> bool {
    !snapshot(0).peers.iter().any(|peer| peer.holds(flow.remote.ip()))
}

pub(super) fn user(name: &str) -> AddressOfRecord {
    AddressOfRecord::new(name.as_bytes(), b"example.org").expect("a name")
}

/// With one account less if `which` is odd; from 2 to 3 what peers send is forwarded without state.
fn snapshot(which: usize) -> Snapshot {
    let mut snapshot = Snapshot {
        domains: [b"example.org".as_slice().into()].into(),
        default_domain: Some(b"example.org".as_slice().into()),
        ..Snapshot::default()
    };
    snapshot.settings.algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
    let network = |text: &str, prefix| (text.parse().expect("an address"), prefix);
    let networks = vec![network("192.0.2.0", 24), network("2001:db8:2::", 48)];
    snapshot.peers.push(Peer {
        name: "peer".to_owned(),
        networks,
        may_register: true,
        trust_udp: true,
        ..Peer::default()
    });
    if which % 4 >= 2 {
        snapshot.services.insert(b"example.org".as_slice().into(), Service::Stateless);
        snapshot.routes.push(Route {
            name: "onward".to_owned(),
            domain: None,
            prefix: Box::default(),
            methods: Vec::new(),
            action: Action::Onward,
            stateless: true,
        });
    }
    for name in if which.is_multiple_of(2) { &["alice", "bob", "carol"][..] } else { &["alice"] } {
        let ha1 = Ha1::from_password(name.as_bytes(), b"example.org", PASSWORD);
        let enabled = *name != "carol";
        snapshot.accounts.put(Account {
            aor: user(name),
            ha1,
            display_name: String::new(),
            enabled,
        });
    }
    snapshot
}

fn binding(now: Instant) -> Binding {
    Binding {
        contact: b"sip:bob@192.0.2.20:5060".as_slice().into(),
        params: Box::default(),
        instance: [].into(),
        reg_id: 0,
        path: [].into(),
        gruus_since: now,
        q: 1_000,
        expires: now + Duration::from_secs(7_200),
        lease_until: now + Duration::from_secs(7_200),
        refreshed: now,
        call_id: b"reg".as_slice().into(),
        cseq: 1,
        transaction: 1,
        flow: flows()[6],
        user_agent: Box::default(),
    }
}
