//! The life of a connection that carries SIP messages: one task reads, and runs the partitions
//! itself. What it has to say is written by whoever has it ([`crate::connections`]).

mod codec;

pub(crate) use codec::Codec;

use crate::connections::{Glance, Line, Silent};
use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::count;
use crate::tcp::StreamLimits;
use codec::{Desk, Way};
use ringway_core::boundary::TransactionRef;
use ringway_core::flow::Flow;
use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::error;

thread_local! {
    /// The connections that a thread serves have none of their own: most are idle.
    static ROOM: RefCell<Room> = RefCell::new(Room {
        desk: Desk::default(),
        received: vec![0; limits::READ].into(),
        plain: Vec::new(),
    });
}

/// What one thread needs to serve connections, one after the other.
struct Room {
    desk: Desk,
    /// What came from a socket.
    received: Box<[u8]>,
    /// What TLS made of it.
    plain: Vec<u8>,
}

/// How a connection ends.
enum End {
    /// The far side ended it, or was silent for too long: what waits may still leave.
    Gone,
    /// Nothing more is read; but the far side still waits for answers to what came before.
    Broken,
    /// Nothing more can be written, or nothing more shall be.
    Cut,
}

/// How far a connection is.
enum Stage {
    /// What came before it was one is still to be looked at.
    Begun,
    Open,
    /// What is written already may still leave until then.
    LastWords(Instant),
    /// Until then the far side is told that this is the end.
    Leaving(Instant),
    Over,
}

/// Ends a connection over which these partitions received something, and tells of all that was
/// still to be written.
pub(crate) fn give_up(engine: &Engine, flow: Flow, line: &Line, receivers: u64) {
    let alias = engine.connections.ended(&flow);
    let (undelivered, senders) = line.end();
    ROOM.with_borrow_mut(|Room { desk: Desk { work, .. }, .. }| {
        for (partition, failed) in undelivered {
            report(engine, (partition, failed), work);
        }
        for flow in [Some(flow), alias.map(|remote| Flow { remote, ..flow })].into_iter().flatten()
        {
            engine.flow_closed(flow, receivers | senders, work);
        }
    });
}

fn report(engine: &Engine, (partition, failed): (u32, Option<TransactionRef>), work: &mut Work) {
    if let Some(failed) = failed {
        engine.undelivered(partition, failed, work);
    }
}

/// The life of a connection, as a task. Nothing here is large: there are many, and most are idle.
pub(crate) struct Life {
    engine: Arc<Engine>,
    line: Arc<Line>,
    reader: OwnedReadHalf,
    is_secure: bool,
    stage: Stage,
    codec: Codec,
    /// When something arrived last.
    heard: Instant,
    partial_since: Option<Instant>,
    /// When the first whole message must be there, until it is.
    first: Option<Instant>,
    /// The partitions that received something, a bit for each.
    receivers: u64,
    sleep: Pin<Box<Sleep>>,
}

/// What is to be done if nothing happens before.
enum Due {
    /// Nothing, or nothing whole, has come.
    Silent,
    /// What waits is not read.
    TooSlow,
    Beat,
}

impl Future for Life {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        let life = &mut *self;
        // A18: a panic costs this connection and no other; what is left of it must go.
        let lived = catch_unwind(AssertUnwindSafe(|| life.live(task)));
        lived.unwrap_or_else(|_| {
            count(&life.engine.metrics.panics);
            let flow = life.line.flow();
            error!(event = "panic", src = %flow.remote, "a connection is lost to a bug");
            life.line.cut();
            give_up(&life.engine, flow, &life.line, u64::MAX);
            Poll::Ready(())
        })
    }
}

impl Life {
    /// Of a connection that is there; `taken` if the far side opened it.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        (reader, is_secure, codec): (OwnedReadHalf, bool, Codec),
        line: Arc<Line>,
        taken: bool,
    ) -> Self {
        let heard = Instant::now();
        let StreamLimits { first_message, idle, .. } = engine.connections.limits;
        Self {
            engine: Arc::clone(engine),
            line,
            reader,
            is_secure,
            stage: Stage::Begun,
            codec,
            heard,
            partial_since: None,
            // Who says nothing whole is in the way of others.
            first: taken.then(|| heard + first_message),
            receivers: 0,
            sleep: Box::pin(sleep_until(heard + idle)),
        }
    }

    fn live(&mut self, task: &mut Context<'_>) -> Poll<()> {
        loop {
            self.stage = match self.stage {
                Stage::Begun => match ROOM.with_borrow_mut(|room| self.take(room, 0)) {
                    Some(end) => self.end(&end),
                    None => Stage::Open,
                },
                Stage::Open => {
                    let end = ready!(self.go_on(task));
                    self.end(&end)
                }
                Stage::LastWords(until) => {
                    let over = self.line.poll_over(task);
                    ready!(self.or_late(over, until, task));
                    Stage::Leaving(Instant::now() + limits::LAST_WORDS)
                }
                Stage::Leaving(until) => {
                    let shut = self.line.poll_shut(task);
                    ready!(self.or_late(shut, until, task));
                    give_up(&self.engine, self.line.flow(), &self.line, self.receivers);
                    Stage::Over
                }
                Stage::Over => return Poll::Ready(()),
            }
        }
    }

    fn end(&self, end: &End) -> Stage {
        let until = Instant::now() + limits::LAST_WORDS;
        match end {
            End::Gone => self.line.close(),
            End::Broken => {}
            End::Cut => return Stage::Leaving(until),
        }
        Stage::LastWords(until)
    }

    fn or_late(&mut self, done: Poll<()>, until: Instant, task: &mut Context<'_>) -> Poll<()> {
        if done.is_ready() {
            return done;
        }
        if self.sleep.deadline() != until {
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(task)
    }

    /// Until it ends.
    fn go_on(&mut self, task: &mut Context<'_>) -> Poll<End> {
        loop {
            let glance = self.line.look(task);
            if glance.is_over {
                return Poll::Ready(End::Cut);
            }
            match self.read(task) {
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => continue,
                Poll::Pending => {}
            }
            let (at, due) = self.due(&glance);
            // A later time is set when the earlier one has come: messages need not move it.
            if at < self.sleep.deadline() || self.sleep.is_elapsed() {
                self.sleep.as_mut().reset(at);
            }
            ready!(self.sleep.as_mut().poll(task));
            if Instant::now() >= at
                && let Some(end) = self.on_time(&due)
            {
                return Poll::Ready(end);
            }
        }
    }

    /// Reads once, and runs all that is complete. Tells how the connection ends, if it does.
    fn read(&mut self, task: &mut Context<'_>) -> Poll<Option<End>> {
        ROOM.with_borrow_mut(|room| {
            let mut received = ReadBuf::new(&mut room.received);
            let read = ready!(Pin::new(&mut self.reader).poll_read(task, &mut received));
            let length = received.filled().len();
            if read.is_err() || length == 0 {
                return Poll::Ready(Some(End::Gone));
            }
            self.heard = Instant::now();
            let heard = self.heard;
            if self.codec.is_web() {
                self.line.with_web(|web| web.hear(heard));
            }
            Poll::Ready(self.take(room, length))
        })
    }

    /// Runs all that is complete with so many bytes that came. Tells how the connection ends, if
    /// it does.
    fn take(&mut self, room: &mut Room, length: usize) -> Option<End> {
        let Room { desk, received, plain } = room;
        let (mut bytes, mut is_last) = (&received[..length], false);
        if self.is_secure {
            plain.clear();
            match self.line.open(bytes, plain) {
                Ok(ended) => (bytes, is_last) = (plain, ended),
                Err(_) => return Some(End::Gone),
            }
        }
        let way = Way { engine: &self.engine, flow: self.line.flow(), line: &self.line };
        #[cfg(test)]
        assert!(bytes != b"PANIC", "asked to");
        let ran = self.codec.run(&way, bytes, desk);
        self.receivers |= mem::take(&mut desk.work.receivers);
        self.engine.flush(&mut desk.work);
        let Ok(some_whole) = ran else { return Some(End::Broken) };
        if some_whole {
            self.first = None;
        }
        self.partial_since = match (self.codec.is_partial(), self.partial_since) {
            // A message that ended makes room for the next, which has its own time.
            (true, Some(since)) if !some_whole => Some(since),
            (true, _) => Some(self.heard),
            (false, _) => None,
        };
        is_last.then_some(End::Gone)
    }

    /// When to do what if nothing arrives.
    fn due(&self, glance: &Glance) -> (Instant, Due) {
        let StreamLimits { idle, unproved_idle, partial, .. } = self.engine.connections.limits;
        let silent = match (self.partial_since, glance.is_proved) {
            (Some(since), _) => since + partial,
            (None, true) => self.heard + glance.silence.map_or(idle, |longest| longest.min(idle)),
            (None, false) => self.heard + unproved_idle.min(idle),
        };
        let silent = self.first.map_or(silent, |first| first.min(silent));
        let slow = glance.stuck.map(|since| (since + partial, Due::TooSlow));
        let beat = glance.beat.map(|at| (at, Due::Beat));
        let others = slow.into_iter().chain(beat);
        others.fold((silent, Due::Silent), |a, b| if b.0 < a.0 { b } else { a })
    }

    fn on_time(&self, due: &Due) -> Option<End> {
        let metrics = &self.engine.metrics;
        match due {
            Due::Silent => {
                count(&metrics.connections_timed_out);
                Some(End::Gone)
            }
            Due::TooSlow => {
                count(&metrics.connections_too_slow);
                Some(End::Cut)
            }
            Due::Beat => match self.line.with_web(|web| web.beat()) {
                Some(Err(Silent)) => {
                    count(&metrics.websockets_silent);
                    Some(End::Cut)
                }
                Some(Ok(Some(ping))) => {
                    self.line.put_aside(&ping, false, metrics);
                    None
                }
                Some(Ok(None)) | None => None,
            },
        }
    }
}
