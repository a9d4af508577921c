//! The whole contract between what decides and what does. Read this first.
//!
//! A [`Node`](crate::node::Node) is one partition of the server: plain `&mut self` code. It is
//! handed an [`Input`] and the time, and everything that follows lands in an [`Outbox`].
//! Transactions and calls live in the partition of their Call-ID; the bindings of an
//! address-of-record, and its digest replay windows, live in the partition of that address
//! ([`Keys::partition_of`](crate::keys::Keys)). A partition that needs what another one owns,
//! or what only the world knows, asks ([`Output::Ask`]) and goes on when it is
//! [`Input::Answered`], or when the deadline passes.

use crate::account::Account;
use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::flow::Flow;
use crate::keep_alive::{Guard, KeepAlive};
use crate::keys::Keys;
use crate::locate::NextHop;
use crate::reject::Reject;
use crate::snapshot::Snapshot;
use crate::time::{Duration, Instant};
use crate::transaction::key::ClientBranch;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::Range;
use ringway_wire::Message;

/// Everything the world can tell a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A message arrived. It belongs to the partition that [`home_of`](crate::node::home_of)
    /// names.
    Message {
        /// Where it came from, and so where answers go.
        flow: Flow,
        /// What it says.
        message: Message<'a>,
    },
    /// A datagram that says nothing but that a flow lives. It belongs to the partition that
    /// [`home_of_flow`](crate::node::home_of_flow) names.
    KeptAlive(Flow, KeepAlive),
    /// A connection ended: told to every partition that received anything over it, or sent
    /// anything there.
    FlowClosed(Flow),
    /// Something sent with [`Output::Send::on_failure`] could not be sent.
    Undelivered(TransactionRef),
    /// A request did not arrive, and somebody on the way says so: told to every partition.
    Unreachable {
        /// Where it was sent to.
        remote: SocketAddr,
        /// Its branch, by [`ClientBranch::quoted`].
        branch: ClientBranch,
    },
    /// Another partition asks.
    Asked {
        /// To whom the answer goes.
        asker: Asker,
        /// What is asked.
        question: Question,
    },
    /// The answer to an [`Output::Ask`].
    Answered {
        /// Which one.
        ask: AskId,
        /// What came of it.
        answer: Answer,
    },
    /// The administrator, or the program itself, wants something.
    Commanded(Command),
    /// A wake-up time has come.
    TimeIsUp,
}

/// Everything a node can do.
#[derive(Debug)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to. A stream flow without a connection may be opened.
        flow: Flow,
        /// Where they stand in [`Outbox::bytes`].
        bytes: Range<usize>,
        /// Who wants to hear that it failed (the flow is gone, no route, queue full).
        on_failure: Option<TransactionRef>,
    },
    /// Find this out, and come back with [`Input::Answered`].
    Ask {
        /// To be handed back.
        ask: AskId,
        /// What is asked.
        question: Question,
    },
    /// The answer to an [`Input::Asked`], for the partition that asked.
    Answer {
        /// Who asked.
        asker: Asker,
        /// The answer.
        answer: Answer,
    },
    /// A next hop that was looked up did not serve (RFC 3263 §4.3): for a while others are to be
    /// tried before it.
    Avoid {
        /// Which one.
        flow: Flow,
        /// For how long it asked to be left alone, if it said so, in seconds (RFC 3261 §20.33).
        retry_after_s: Option<u32>,
    },
    /// Who is behind a connection has shown who it is: it is not among those that are closed to
    /// make room for others.
    Proved {
        /// Over which connection.
        flow: Flow,
        /// The port of its own address for which this connection may stand: what goes there, to
        /// a name that its certificate proves, may go over it (RFC 5923 §8.2).
        alias: Option<u16>,
    },
    /// Whoever opened this connection was asked to say something at least so often (RFC 5626
    /// §5.4): if nothing at all is heard for so long, the connection ends.
    Expect {
        /// Which connection.
        flow: Flow,
        /// The longest silence; the last one that is named counts.
        within: Duration,
    },
    /// Something worth knowing happened: for logs, counters, call records, the live view.
    Event(Event),
}

/// What a node does in answer to one or more inputs; owned by the caller and used again.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The bytes of all messages to send, one after another.
    pub bytes: Vec<u8>,
    /// What to do, in order.
    pub outputs: Vec<Output>,
}

impl Outbox {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.outputs.clear();
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }
}

/// Names one wait of one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskId(pub u64);

/// Who asked: a partition and its ask. The program fills in the partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Asker {
    /// The number of the partition.
    pub partition: u32,
    /// Its ask.
    pub ask: AskId,
}

/// Names a transaction of a partition; one that has ended is no longer found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TransactionRef {
    /// A request was sent.
    Client(u64),
    /// A response was sent.
    Server(u64),
    /// There is none, and nobody is told. If the connection has ended, the program sends the same
    /// over the one that leads to this address, or a new one (RFC 3261 §18.2.2).
    Elsewhere(SocketAddr),
}

/// What a node may ask. [`Question::owner`] tells who knows.
#[derive(Debug)]
pub enum Question {
    /// Where can this address-of-record be reached now? → [`Answer::Located`]
    Locate(AddressOfRecord),
    /// Has this nonce count been used by this account before? → [`Answer::Spent`]
    Spend {
        /// The account that answered the challenge.
        account: AddressOfRecord,
        /// The nonce, as its keyed hash.
        nonce: u64,
        /// The nonce count sent with it (RFC 7616 §3.4); 0 for a response without `qop`.
        nc: u32,
        /// When the nonce ends, and with it the need to remember.
        ends: Instant,
    },
    /// A phone is reached over this flow of datagrams: see to it that the flow lives.
    /// → [`Answer::Guarded`]
    Guard(Box<Guard>),
    /// Keep these changes, for good. → [`Answer::Kept`]
    Keep(Vec<Write>),
    /// Which flows lead to this host, best first? → [`Answer::Resolved`]
    Resolve(NextHop),
}

impl Question {
    /// The hash of the partition that answers, to be taken modulo their number, or `None` where
    /// the program does.
    pub fn owner(&self, keys: &Keys) -> Option<u64> {
        match self {
            Self::Locate(aor) | Self::Spend { account: aor, .. } => Some(keys.partition_of(aor)),
            Self::Guard(guard) => Some(keys.home_of_flow(&guard.flow)),
            Self::Keep(_) | Self::Resolve(_) => None,
        }
    }
}

/// The answers to [`Question`]s.
#[derive(Debug)]
pub enum Answer {
    /// The live bindings, in no order.
    Located(Vec<Binding>),
    /// Whether the count was new.
    Spent(bool),
    /// It is seen to.
    Guarded,
    /// The changes are on disk.
    Kept(CommitToken),
    /// Ways to try in this order; may be empty.
    Resolved(Vec<Flow>),
    /// It could not be found out.
    Failed,
}

/// One change of what survives a restart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// This is now the binding of this address-of-record with this [key](Binding::key).
    PutBinding(AddressOfRecord, Binding),
    /// The binding with this key is gone.
    DropBinding(AddressOfRecord, Box<[u8]>),
    /// This account is new, or has changed.
    PutAccount(Account),
    /// This account is gone, with all its bindings.
    DropAccount(AddressOfRecord),
}

/// The proof that a store has committed something. Only stores make them: an answer that
/// promises durability cannot be built without one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitToken(u64);

impl CommitToken {
    /// For stores: the commit with this sequence number is on disk.
    pub const fn committed(sequence: u64) -> Self {
        Self(sequence)
    }

    /// The number of the commit.
    pub const fn sequence(self) -> u64 {
        self.0
    }
}

/// What the administrator or the program may want of a partition.
#[derive(Debug)]
pub enum Command {
    /// From now on these are the accounts, domains and rules.
    UseSnapshot(Arc<Snapshot>),
    /// At start: this binding is known from the store.
    Restore(AddressOfRecord, Box<Binding>),
    /// Forget all bindings of this address-of-record; the store is told by the program.
    Forget(AddressOfRecord),
    /// Take no new calls and no new registrations, answer 503 (graceful stop).
    Drain {
        /// What to put into Retry-After.
        retry_after_s: u32,
    },
}

/// What happened, for whoever watches. A node counts all of them (`crate::counters`).
#[derive(Clone, Debug)]
pub enum Event {
    /// A message was answered with a refusal.
    Refused {
        /// Why.
        reject: Reject,
        /// Who sent it.
        source: SocketAddr,
    },
    /// Something was dropped without an answer.
    Dropped {
        /// Why.
        reason: DropReason,
        /// Who sent it.
        source: SocketAddr,
    },
    /// A response to a challenge was wrong. In logs this line has a fixed form.
    AuthFailed {
        /// The user name it was given for, cut to 64 bytes.
        user: Box<[u8]>,
        /// Who sent it.
        source: SocketAddr,
        /// What was wrong.
        reason: AuthFailure,
    },
    /// A peer asked who we are.
    Login {
        /// Its name.
        peer: Box<str>,
        /// What came of it.
        outcome: LoginOutcome,
    },
    /// A binding was made, refreshed or ended.
    Registration {
        /// Whose.
        aor: AddressOfRecord,
        /// The contact URI.
        contact: Box<[u8]>,
        /// What happened to it.
        change: RegistrationChange,
    },
    /// A call began, rang, was answered or ended.
    Call {
        /// Its number in this partition, the same in all its events.
        call: u64,
        /// What happened.
        change: CallChange,
    },
}

/// Why something was dropped without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// Not SIP, or nothing in it to answer to.
    NotSip,
    /// A malformed response.
    MalformedResponse,
    /// A response that no transaction of ours waits for (RFC 6026 §7.3).
    StrayResponse,
    /// An ACK that leads nowhere; it is never answered (RFC 3261 §17.2.1).
    StrayAck,
    /// A CANCEL of nothing, from a source that has not proved its address (RFC 3261 §8.2.7).
    StrayCancel,
    /// A datagram from a stranger, so short that our answer to it would be a weapon.
    TooShort,
    /// A keep-alive that wants an answer, over a flow that nobody has registered.
    UnknownFlow,
    /// A table is full, or somebody asks too often.
    Overload,
    /// A non-INVITE response came too late to be of use (RFC 4320 §4.2).
    LateResponse,
}

/// Why a response to a challenge was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AuthFailure {
    /// No such account, or a disabled one. The answer does not show it.
    UnknownUser,
    /// The hash does not fit the password.
    WrongPassword,
    /// The nonce is not ours.
    ForeignNonce,
    /// The nonce count was used before.
    Replay,
    /// A parameter is missing or does not fit the request.
    Malformed,
}

/// What came of the question of a peer who we are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoginOutcome {
    /// It was answered.
    Answered,
    /// It asked for another realm than ours there: the caller is asked instead.
    OtherRealm,
    /// It asked for what we cannot do: an unknown algorithm, or no `qop` that we know.
    NotUnderstood,
    /// The question came from elsewhere than the request went.
    Elsewhere,
    /// Our credentials were not taken.
    Refused,
}

/// What happened to a binding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegistrationChange {
    /// It is new.
    Added,
    /// It was there and lives on.
    Refreshed,
    /// The phone took it back.
    Removed,
    /// Its time was over.
    Expired,
    /// Its connection ended.
    FlowClosed,
}

/// What happened to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallChange {
    /// An INVITE was let through.
    Started {
        /// Call-ID.
        call_id: Box<[u8]>,
        /// The caller's URI.
        from: Box<[u8]>,
        /// The URI called.
        to: Box<[u8]>,
    },
    /// Somebody rings.
    Ringing,
    /// Somebody answered.
    Answered,
    /// It is over.
    Ended {
        /// How.
        end: CallEnd,
    },
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CallEnd {
    /// The caller hung up.
    ByCaller,
    /// The called side hung up.
    ByCallee,
    /// The caller gave up before an answer.
    Cancelled,
    /// It failed with this status.
    Failed(u16),
    /// Nothing was heard of it for so long that it is taken for over.
    Forgotten,
}
