//! The shipping [`Node`]s of one server, and the questions they ask one another.

use crate::disk::{Disk, Flaw};
use ringway_core::boundary::{
    Answer, AskId, Asker, Command, Event, Input, Outbox, Output, Question, TransactionRef,
};
use ringway_core::flow::{Flow, Listener};
use ringway_core::keep_alive::KeepAlive;
use ringway_core::keys::Keys;
use ringway_core::node::{Census, Node, Setup, home_of, home_of_flow};
use ringway_core::snapshot::Snapshot;
use ringway_core::time::{Duration, Instant};
use ringway_wire::Message;
use std::collections::VecDeque;
use std::sync::Arc;

/// What the server wants the world to do.
#[derive(Debug)]
pub enum Wish {
    /// Send these bytes.
    Send {
        /// Where to.
        flow: Flow,
        /// What.
        bytes: Vec<u8>,
        /// Which partition wants it.
        partition: u32,
        /// Who wants to hear of a failure.
        on_failure: Option<TransactionRef>,
    },
    /// Ask the store or the name service.
    Ask {
        /// Which partition asks.
        partition: u32,
        /// Its ask.
        ask: AskId,
        /// What.
        question: Question,
    },
    /// Name others before this next hop for a while.
    Avoid {
        /// Which one failed.
        flow: Flow,
        /// For how long it asked to be left alone, in seconds.
        retry_after_s: Option<u32>,
    },
    /// End this connection after so much silence.
    Expect {
        /// Which one.
        flow: Flow,
        /// The longest silence.
        within: Duration,
    },
    /// Note this, from this partition.
    Event(u32, Event),
}

/// All partitions of one server.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    snapshot: Arc<Snapshot>,
    nodes: Vec<Node>,
    due: Vec<Option<Instant>>,
}

enum Owned {
    Asked(Asker, Question),
    Answered(AskId, Answer),
}

impl Server {
    /// Partitions that have nothing yet.
    pub fn new(
        listeners: Vec<Listener>,
        partitions: u32,
        snapshot: Snapshot,
        (seed, started): (u64, Instant),
    ) -> Self {
        let setup = Setup {
            keys: Arc::new(Keys::new(&[0x52; 32])),
            listeners: listeners.into(),
            partition: 0,
            partitions,
            seed,
            started,
        };
        let mut server =
            Self { setup, snapshot: Arc::new(snapshot), nodes: Vec::new(), due: Vec::new() };
        server.make_nodes();
        server
    }

    fn make_nodes(&mut self) {
        let setup = &self.setup;
        let node = |n: u32| {
            let seed = setup.seed ^ u64::from(n);
            let setup = Setup { partition: n, seed, ..setup.clone() };
            Node::new(setup, Arc::clone(&self.snapshot))
        };
        self.nodes = (0..setup.partitions).map(node).collect();
        self.due = vec![None; self.nodes.len()];
    }

    /// Starts anew with what the store has; what comes of that are events.
    pub fn restart(&mut self, (seed, started): (u64, Instant), disk: &Disk) -> Vec<Wish> {
        let mut told = Vec::new();
        self.setup.seed = seed;
        self.setup.started = started;
        self.make_nodes();
        let forgets = disk.flaw == Some(Flaw::Forgets);
        for (aor, binding) in disk.bindings().filter(|_| !forgets) {
            let owner = self.place(self.setup.keys.partition_of(aor));
            let restore = Command::Restore(aor.clone(), Box::new(binding.clone().after_restart()));
            told.extend(self.run(started, owner, Input::Commanded(restore)));
        }
        let events = told.iter().all(|wish| matches!(wish, Wish::Event(..)));
        assert!(events, "restoring asks for nothing");
        told
    }

    /// The listening sockets.
    pub fn listeners(&self) -> &[Listener] {
        &self.setup.listeners
    }

    /// Accounts, domains and settings as they are now.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The partitions.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// How full the tables of all partitions are.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        self.nodes.iter().for_each(|node| census.add(&node.census()));
        census
    }

    /// When the first timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.due.iter().copied().flatten().min()
    }

    /// Wakes the first partition whose time has come.
    pub fn tick(&mut self, now: Instant) -> Vec<Wish> {
        let due = self.due.iter().position(|due| due.is_some_and(|at| at <= now));
        due.map_or_else(Vec::new, |n| self.run(now, n as u32, Input::TimeIsUp))
    }

    /// A message arrived.
    pub fn receive(&mut self, now: Instant, flow: Flow, message: Message<'_>) -> Vec<Wish> {
        let partition = self.place(home_of(&self.setup, &self.snapshot, &message));
        self.run(now, partition, Input::Message { flow, message })
    }

    /// A datagram that says that its flow lives.
    pub fn kept_alive(&mut self, now: Instant, flow: Flow, what: KeepAlive) -> Vec<Wish> {
        let partition = self.place(home_of_flow(&self.setup, &flow));
        self.run(now, partition, Input::KeptAlive(flow, what))
    }

    /// A connection ended.
    pub fn flow_closed(&mut self, now: Instant, flow: Flow) -> Vec<Wish> {
        let all = 0..self.nodes.len() as u32;
        all.flat_map(|n| self.run(now, n, Input::FlowClosed(flow))).collect()
    }

    /// An answer from the world.
    pub fn answered(
        &mut self,
        now: Instant,
        partition: u32,
        ask: AskId,
        answer: Answer,
    ) -> Vec<Wish> {
        self.run(now, partition, Input::Answered { ask, answer })
    }

    /// Something could not be sent.
    pub fn undelivered(
        &mut self,
        now: Instant,
        partition: u32,
        transaction: TransactionRef,
    ) -> Vec<Wish> {
        self.run(now, partition, Input::Undelivered(transaction))
    }

    /// Tells every partition something.
    pub fn command_all(&mut self, now: Instant, command: impl Fn() -> Command) -> Vec<Wish> {
        let all = 0..self.nodes.len() as u32;
        all.flat_map(|n| self.run(now, n, Input::Commanded(command()))).collect()
    }

    /// Replaces accounts, domains and settings.
    pub fn use_snapshot(&mut self, now: Instant, snapshot: Snapshot) -> Vec<Wish> {
        self.snapshot = Arc::new(snapshot);
        let snapshot = Arc::clone(&self.snapshot);
        self.command_all(now, || Command::UseSnapshot(Arc::clone(&snapshot)))
    }

    fn place(&self, hash: u64) -> u32 {
        (hash % self.nodes.len() as u64) as u32
    }

    /// Runs one input and all that follows from it among the partitions.
    fn run(&mut self, now: Instant, partition: u32, input: Input<'_>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        let mut queue = VecDeque::new();
        self.run_one(now, partition, input, (&mut wishes, &mut queue));
        while let Some((partition, owned)) = queue.pop_front() {
            let input = match owned {
                Owned::Asked(asker, question) => Input::Asked { asker, question },
                Owned::Answered(ask, answer) => Input::Answered { ask, answer },
            };
            self.run_one(now, partition, input, (&mut wishes, &mut queue));
        }
        wishes
    }

    fn run_one(
        &mut self,
        now: Instant,
        partition: u32,
        input: Input<'_>,
        (wishes, queue): (&mut Vec<Wish>, &mut VecDeque<(u32, Owned)>),
    ) {
        let mut out = Outbox::default();
        let node = &mut self.nodes[partition as usize];
        self.due[partition as usize] = node.handle(now, input, &mut out);
        let census = node.census();
        assert!(census.timers >= census.open_questions, "a question without a deadline");
        let Outbox { bytes: all, outputs } = out;
        for output in outputs {
            match output {
                Output::Send { flow, bytes, on_failure } => {
                    let bytes = all[bytes].to_vec();
                    wishes.push(Wish::Send { flow, bytes, partition, on_failure });
                }
                Output::Ask { ask, question } => match question.owner(&self.setup.keys) {
                    Some(home) => {
                        let owner = self.place(home);
                        queue.push_back((owner, Owned::Asked(Asker { partition, ask }, question)));
                    }
                    None => wishes.push(Wish::Ask { partition, ask, question }),
                },
                Output::Answer { asker, answer } => {
                    queue.push_back((asker.partition, Owned::Answered(asker.ask, answer)));
                }
                Output::Avoid { flow, retry_after_s } => {
                    wishes.push(Wish::Avoid { flow, retry_after_s });
                }
                // Nothing is scarce here.
                Output::Proved { .. } => {}
                Output::Expect { flow, within } => wishes.push(Wish::Expect { flow, within }),
                Output::Event(event) => wishes.push(Wish::Event(partition, event)),
            }
        }
    }
}
