//! One open connection, as those see it who have something for it. Whoever brings a message
//! writes it; only what the socket has no room for waits, for the connection's own task.

use super::pipe::Pipe;
use super::web::Web;
use crate::limits;
use crate::metrics::{Metrics, count};
use ringway_core::boundary::TransactionRef;
use ringway_core::flow::Flow;
use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// Messages waiting for one connection; their bytes have a limit of their own.
const QUEUE: usize = 4_096;

/// Who is told if a message cannot be delivered, and in which partition.
pub(crate) type Sender = (u32, Option<TransactionRef>);

/// Partitions, a bit for each.
pub(crate) const fn bit_of(partition: u32) -> u64 {
    1 << (partition % u64::BITS)
}

/// See above. No other lock is taken while that of a line is held.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    flow: Flow,
    /// Where messages go, once the connection is there.
    pipe: Option<Pipe>,
    /// How a WebSocket carries them.
    web: Option<Box<Web>>,
    waiting: VecDeque<Parcel>,
    /// The bytes of those.
    queued: usize,
    /// Since when the first of them has been waiting for room.
    stuck: Option<Instant>,
    /// Whether it is known who is behind it.
    is_proved: bool,
    /// The longest silence; `None`: as long as over any.
    silence: Option<Duration>,
    /// The partitions that sent something.
    senders: u64,
    /// The connection's own task.
    task: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// Messages are taken.
    Open,
    /// None are, and it ends when those that wait are written.
    Closing,
    /// It ends at once.
    Over,
}

/// What waits, of which so much is written.
#[derive(Debug)]
struct Parcel {
    bytes: Box<[u8]>,
    written: usize,
    /// `None`: it is no message.
    sender: Option<Sender>,
}

/// What a connection's task looks at.
pub(crate) struct Glance {
    /// Somebody else decided that the connection ends, or the socket is broken.
    pub(crate) is_over: bool,
    pub(crate) is_proved: bool,
    pub(crate) silence: Option<Duration>,
    /// Since when something has been waiting to be written.
    pub(crate) stuck: Option<Instant>,
    /// When the far side of a WebSocket is to be asked for a sign of life.
    pub(crate) beat: Option<Instant>,
}

impl Line {
    /// One over which nothing can be written yet.
    pub(super) fn new(flow: Flow, is_proved: bool) -> Self {
        let state = State {
            stage: Stage::Open,
            flow,
            pipe: None,
            web: None,
            waiting: VecDeque::new(),
            queued: 0,
            stuck: None,
            is_proved,
            silence: None,
            senders: 0,
            task: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// Between whom, and by what name of the far side.
    pub(crate) fn flow(&self) -> Flow {
        self.state().flow
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it can be written.
    pub(crate) fn attach(&self, flow: Flow, pipe: Pipe, is_web: bool) {
        let mut state = self.state();
        state.flow = flow;
        state.pipe = Some(pipe);
        state.web = is_web.then(Box::default);
    }

    /// Writes a message, or queues it. `false`: it cannot be delivered.
    pub(super) fn send(&self, bytes: &[u8], sender: Sender, metrics: &Metrics) -> bool {
        let mut state = self.state();
        if state.stage != Stage::Open {
            return false;
        }
        state.senders |= bit_of(sender.0);
        let framed = state.web.as_mut().map(|web| {
            let is_request = matches!(sender.1, Some(TransactionRef::Client(_)));
            web.frame(bytes, is_request)
        });
        if framed.is_some() {
            // There may be less time now until the next ping.
            state.wake();
        }
        state.put(framed.as_deref().unwrap_or(bytes), Some(sender), metrics)
    }

    /// Writes what is no message, or queues it. Nothing follows the last. More than can be queued
    /// are those to a flood: one serves several.
    pub(crate) fn put_aside(&self, bytes: &[u8], is_last: bool, metrics: &Metrics) {
        let mut state = self.state();
        let asides = state.waiting.iter().filter(|parcel| parcel.sender.is_none()).count();
        if state.stage == Stage::Open && (asides < limits::ASIDES || is_last) {
            state.put(bytes, None, metrics);
            if is_last {
                state.stage = state.stage.max(Stage::Closing);
            }
        }
    }

    /// Somebody else decides that the connection ends.
    pub(super) fn hang_up(&self) {
        self.state().end();
    }

    /// No more messages are taken, and it ends when those that wait are written.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.stage = state.stage.max(Stage::Closing);
        state.wake();
    }

    /// It is known who is behind it. Tells whether that is new.
    pub(super) fn prove(&self) -> bool {
        !mem::replace(&mut self.state().is_proved, true)
    }

    /// Sets the longest silence.
    pub(super) fn expect(&self, within: Duration) {
        let mut state = self.state();
        state.silence = Some(within);
        state.wake();
    }

    /// What TLS makes of bytes that came is added to `plain`. Tells whether the far side has said
    /// its last word.
    pub(crate) fn open(&self, sealed: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let pipe = &mut self.state().pipe;
        pipe.as_mut().map_or(Ok(true), |pipe| pipe.open(sealed, plain))
    }

    /// Changes what is known of a WebSocket.
    pub(crate) fn with_web<T>(&self, change: impl FnOnce(&mut Web) -> T) -> Option<T> {
        self.state().web.as_deref_mut().map(change)
    }

    /// Writes what waits, as far as there is room, and tells how things are. The task is woken
    /// when they change.
    pub(crate) fn look(&self, task: &mut Context<'_>) -> Glance {
        let mut state = self.state();
        state.pump(task);
        let is_written = state.stage == Stage::Closing && state.waiting.is_empty();
        Glance {
            is_over: state.stage == Stage::Over || is_written,
            is_proved: state.is_proved,
            silence: state.silence,
            stuck: state.stuck,
            beat: state.web.as_deref().map(Web::due),
        }
    }

    /// Waits until somebody else has decided that the connection ends, or all is written and
    /// nothing more comes.
    pub(crate) fn poll_over(&self, task: &mut Context<'_>) -> Poll<()> {
        if self.look(task).is_over { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Takes leave of the far side; what it writes may still be read.
    pub(crate) fn poll_shut(&self, task: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        state.stage = Stage::Over;
        if let Some(pipe) = &mut state.pipe {
            pipe.say_goodbye();
            if matches!(pipe.drain(Some(task)), Ok(false)) {
                return Poll::Pending;
            }
        }
        // What is unread makes the system cut the far side short, unless it has our end by then.
        state.pipe = None;
        Poll::Ready(())
    }

    /// Lets go of the socket, whatever the far side has still to hear.
    pub(crate) fn cut(&self) {
        self.state().pipe = None;
    }

    /// Takes nothing more. Hands back whose messages were not delivered, and the partitions that
    /// sent any.
    pub(crate) fn end(&self) -> (Vec<Sender>, u64) {
        let mut state = self.state();
        state.stage = Stage::Over;
        let left = mem::take(&mut state.waiting);
        (left.into_iter().filter_map(|parcel| parcel.sender).collect(), state.senders)
    }
}

impl State {
    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    fn end(&mut self) {
        self.stage = Stage::Over;
        self.wake();
    }

    /// Writes, and queues what there is no room for.
    fn put(&mut self, bytes: &[u8], sender: Option<Sender>, metrics: &Metrics) -> bool {
        let mut written = 0;
        if let (true, Some(pipe)) = (self.waiting.is_empty(), &mut self.pipe) {
            let wrote = pipe.write(bytes, None).and_then(|n| Ok((n, pipe.drain(None)?)));
            match wrote {
                Ok((all, true)) if all == bytes.len() => return true,
                Ok((some, _)) => written = some,
                Err(_) => {
                    self.end();
                    return false;
                }
            }
        }
        if self.queued + bytes.len() > limits::WRITE_QUEUE {
            count(&metrics.connections_too_slow);
            self.end();
            return false;
        }
        if self.waiting.len() >= QUEUE {
            return false;
        }
        self.queued += bytes.len();
        self.waiting.push_back(Parcel { bytes: bytes.into(), written, sender });
        self.wake();
        true
    }

    /// Writes what waits, as far as there is room.
    fn pump(&mut self, task: &mut Context<'_>) {
        if !self.task.as_ref().is_some_and(|own| own.will_wake(task.waker())) {
            self.task = Some(task.waker().clone());
        }
        if let (Some(Err(_)), true) = (self.write_waiting(task), self.stage != Stage::Over) {
            self.stage = Stage::Over;
        }
    }

    fn write_waiting(&mut self, task: &mut Context<'_>) -> Option<io::Result<()>> {
        let pipe = self.pipe.as_mut()?;
        while let Some(parcel) = self.waiting.front_mut() {
            let rest = &parcel.bytes[parcel.written..];
            let (all, done) = (rest.len(), pipe.write(rest, Some(task)));
            let done = done.and_then(|n| Ok((n, n == all && pipe.drain(Some(task))?)));
            match done {
                Err(error) => return Some(Err(error)),
                Ok((some, false)) => {
                    parcel.written += some;
                    self.stuck.get_or_insert_with(Instant::now);
                    return None;
                }
                Ok((_, true)) => {
                    self.queued -= parcel.bytes.len();
                    self.stuck = None;
                    self.waiting.pop_front();
                }
            }
        }
        if self.waiting.capacity() > 0 {
            self.waiting = VecDeque::new();
        }
        Some(pipe.drain(Some(task)).map(drop))
    }
}
