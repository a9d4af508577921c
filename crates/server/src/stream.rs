//! The life of a connection that carries SIP messages: one task reads, runs the partitions
//! itself, and writes what is queued for it.

mod pulse;

use crate::connections::{Feed, Parcel, Silence};
use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::count;
use crate::tcp::StreamLimits;
use pulse::{Beat, Pulse};
use ringway_core::boundary::TransactionRef;
use ringway_core::flow::Flow;
use ringway_wire::web_socket::{self, Event, Frames, Violation};
use ringway_wire::{Frame, FrameError, Framer, Framing, Index, parse};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

thread_local! {
    /// The connections that a thread serves have none of their own: most are idle.
    static WORK: RefCell<Work> = RefCell::default();
}

/// How messages are told apart.
pub(crate) enum Codec {
    /// By their lengths (RFC 3261 §18.3).
    Stream(Framer),
    /// By the frames of WebSocket (RFC 7118 §5).
    WebSocket(Frames),
}

impl Codec {
    /// For TCP and TLS.
    pub(crate) fn stream() -> Self {
        Self::Stream(Framer::new())
    }

    /// For a WebSocket, of which this much was read already.
    pub(crate) fn web_socket(read: &[u8]) -> Self {
        let mut frames = Frames::default();
        frames.push(read);
        Self::WebSocket(frames)
    }

    fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Stream(framer) => framer.push(bytes),
            Self::WebSocket(frames) => frames.push(bytes),
        }
    }

    fn is_partial(&self) -> bool {
        match self {
            Self::Stream(framer) => framer.is_partial(),
            Self::WebSocket(frames) => frames.is_partial(),
        }
    }
}

/// What the reading half wants written besides messages.
struct Aside {
    bytes: Vec<u8>,
    /// Nothing may follow.
    is_last: bool,
}

/// What both halves know of a connection.
struct Shared {
    begun: Instant,
    /// When something arrived last, in nanoseconds since it began: a pong may come at once.
    heard: AtomicU64,
    /// It was pinged: the writing half wants to know when it answers, for its next ping.
    pinged: AtomicBool,
    answered: Notify,
    /// The last message came in a binary frame.
    binary: AtomicBool,
    /// The stream is broken: nothing more is read.
    broken: AtomicBool,
}

impl Shared {
    fn hear(&self) {
        self.heard.store(self.begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        if self.pinged.swap(false, Ordering::Relaxed) {
            self.answered.notify_one();
        }
    }

    fn ping(&self) -> Vec<u8> {
        self.pinged.store(true, Ordering::Relaxed);
        web_socket::ping()
    }

    fn heard(&self) -> Instant {
        self.begun + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// The time now, and that at which something arrived last, since it began.
    fn times(&self) -> (Duration, Duration) {
        (self.begun.elapsed(), self.heard() - self.begun)
    }
}

/// The life of a connection; `taken` if the far side opened it.
pub(crate) async fn serve(
    engine: &Arc<Engine>,
    (flow, taken): (Flow, bool),
    (mut reader, mut writer): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut feed: Feed,
    codec: Codec,
) {
    let (asides, wanted) = mpsc::channel(limits::ASIDES);
    let is_web = matches!(codec, Codec::WebSocket(_));
    let shared = Shared {
        begun: Instant::now(),
        heard: AtomicU64::new(0),
        pinged: AtomicBool::new(false),
        answered: Notify::new(),
        binary: AtomicBool::new(false),
        broken: AtomicBool::new(false),
    };
    let (hang_up, shared) = (Arc::clone(&feed.hang_up), &shared);
    let (proved, silence) = (Arc::clone(&feed.proved), Arc::clone(&feed.silence));
    let pings = Pings::default();
    let mut reading = Reading { engine, flow, codec, asides, shared, proved, silence, pings };
    let reading = async move {
        let first = taken.then_some(engine.connections.limits.first_message);
        let is_broken = reading.read(&mut reader, first).await;
        shared.broken.store(is_broken, Ordering::Relaxed);
    };
    let pulse = is_web.then(Pulse::default);
    let feeding = &mut feed;
    let half = Writing { engine, feed: feeding, asides: wanted, is_reading: true, pulse, shared };
    let writing = half.write(&mut writer);
    {
        tokio::pin!(writing);
        tokio::select! {
            () = reading => drop(timeout(limits::LAST_WORDS, &mut writing).await),
            () = &mut writing => {}
            () = hang_up.notified() => {}
        }
    }
    // Over TLS the far side hears that this is the end, and nobody cut it short.
    drop(timeout(limits::LAST_WORDS, writer.shutdown()).await);
    give_up(engine, flow, feed);
}

/// Ends a connection, and tells of all that was still to be written.
pub(crate) fn give_up(engine: &Engine, flow: Flow, mut feed: Feed) {
    let alias = engine.connections.ended(&flow);
    feed.parcels.close();
    while let Ok(parcel) = feed.parcels.try_recv() {
        report(engine, parcel.on_failure);
    }
    for flow in [Some(flow), alias.map(|remote| Flow { remote, ..flow })].into_iter().flatten() {
        engine.flow_closed(flow, &mut Work::default());
    }
}

fn report(engine: &Engine, (partition, failed): (u32, Option<TransactionRef>)) {
    if let Some(failed) = failed {
        engine.undelivered(partition, failed, &mut Work::default());
    }
}

/// The writing half.
struct Writing<'a> {
    engine: &'a Engine,
    feed: &'a mut Feed,
    asides: mpsc::Receiver<Aside>,
    /// Whether more asides may come.
    is_reading: bool,
    pulse: Option<Pulse>,
    shared: &'a Shared,
}

/// What is to be written.
enum Next {
    Message(Parcel),
    Aside(Aside),
    Nothing,
    End,
}

impl Writing<'_> {
    /// Writes what is queued, until nothing more will be or nothing more can be.
    async fn write(mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        let patience = self.engine.connections.limits.partial;
        loop {
            let (parcel, aside) = match self.next().await {
                Next::Message(parcel) => {
                    let frame = self.framed(&parcel);
                    (Some(parcel), Aside { bytes: frame, is_last: false })
                }
                Next::Aside(aside) => (None, aside),
                Next::Nothing => continue,
                Next::End => return,
            };
            let whole = match &parcel {
                Some(parcel) if self.pulse.is_none() => &parcel.bytes,
                _ => &aside.bytes[..],
            };
            let written = timeout(patience, async {
                writer.write_all(whole).await?;
                writer.flush().await
            });
            let written = written.await;
            let is_written = matches!(written, Ok(Ok(())));
            if let Some(parcel) = parcel {
                self.feed.queued.fetch_sub(parcel.bytes.len(), Ordering::Relaxed);
                if !is_written {
                    report(self.engine, parcel.on_failure);
                }
            }
            if written.is_err() {
                count(&self.engine.metrics.connections_too_slow);
            }
            if !is_written || aside.is_last {
                return;
            }
        }
    }

    async fn next(&mut self) -> Next {
        let due = self.pulse.as_ref().map(|pulse| pulse.due(self.shared.times().1));
        let beat = async {
            match due {
                Some(due) => sleep_until(self.shared.begun + due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Without one the connection ends, or the server stops.
            parcel = self.feed.parcels.recv() => parcel.map_or(Next::End, Next::Message),
            aside = self.asides.recv(), if self.is_reading => match aside {
                Some(aside) => Next::Aside(aside),
                // Nothing more is read: what is queued already may still leave. Where we stop
                // reading, the far side still waits for answers to what came before.
                None => {
                    self.is_reading = false;
                    if !self.shared.broken.load(Ordering::Relaxed) {
                        self.feed.parcels.close();
                    }
                    Next::Nothing
                }
            },
            () = self.shared.answered.notified() => Next::Nothing,
            () = beat => self.beat(),
        }
    }

    fn beat(&mut self) -> Next {
        let (now, heard) = self.shared.times();
        match self.pulse.as_mut().map_or(Beat::Rest, |pulse| pulse.beat(now, heard)) {
            Beat::Rest => Next::Nothing,
            Beat::Ping => Next::Aside(Aside { bytes: self.shared.ping(), is_last: false }),
            Beat::Stop => {
                count(&self.engine.metrics.websockets_silent);
                Next::End
            }
        }
    }

    /// A message in its frame, and a ping behind it if nobody knows whether anybody is there.
    fn framed(&mut self, parcel: &Parcel) -> Vec<u8> {
        let Some(pulse) = &mut self.pulse else { return Vec::new() };
        let binary = self.shared.binary.load(Ordering::Relaxed);
        let mut bytes = web_socket::message(&parcel.bytes, binary);
        let is_request = matches!(parcel.on_failure.1, Some(TransactionRef::Client(_)));
        let (now, heard) = self.shared.times();
        if pulse.on_message(now, heard, is_request) {
            bytes.extend(self.shared.ping());
        }
        bytes
    }
}

/// Pings of the far side in the second that is now.
#[derive(Default)]
struct Pings {
    since: Option<Instant>,
    count: u32,
}

impl Pings {
    fn are_too_many(&mut self) -> bool {
        let second = Duration::from_secs(1);
        if self.since.is_none_or(|since| since.elapsed() >= second) {
            (self.since, self.count) = (Some(Instant::now()), 0);
        }
        self.count += 1;
        self.count > limits::WS_PINGS_PER_SECOND
    }
}

/// The reading half.
struct Reading<'a> {
    engine: &'a Engine,
    flow: Flow,
    codec: Codec,
    asides: mpsc::Sender<Aside>,
    shared: &'a Shared,
    /// Whether it is known who is behind the connection.
    proved: Arc<AtomicBool>,
    silence: Arc<Silence>,
    pings: Pings,
}

/// The connection ends here: the boundary between messages is lost, or a rule was broken.
struct Broken;

impl Reading<'_> {
    /// Reads to the end; tells whether it ends because the stream is broken.
    async fn read(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        first: Option<Duration>,
    ) -> bool {
        let StreamLimits { idle, unproved_idle, partial, .. } = self.engine.connections.limits;
        let mut index = Index::new();
        let mut buffer = vec![0; 4_096];
        let mut partial_since: Option<Instant> = None;
        // Who says nothing whole is in the way of others.
        let mut first = first.map(|patience| Instant::now() + patience);
        loop {
            let some_whole = WORK.with_borrow_mut(|work| self.run(&mut index, work));
            let Ok(some_whole) = some_whole else { return true };
            if some_whole {
                first = None;
            }
            partial_since = match (self.codec.is_partial(), partial_since) {
                // A message that ended makes room for the next, which has its own time.
                (true, Some(since)) if !some_whole => Some(since),
                (true, _) => Some(Instant::now()),
                (false, _) => None,
            };
            let deadline = match partial_since {
                Some(since) => since + partial,
                None if self.proved.load(Ordering::Relaxed) => {
                    self.shared.heard() + self.silence.longest(idle)
                }
                None => self.shared.heard() + unproved_idle.min(idle),
            };
            let deadline = first.map_or(deadline, |first| first.min(deadline));
            let read = tokio::select! {
                read = timeout_at(deadline, reader.read(&mut buffer)) => read,
                () = self.silence.changed() => continue,
            };
            let length = match read {
                Ok(Ok(length)) if length > 0 => length,
                Ok(_) => return false,
                Err(_) => {
                    count(&self.engine.metrics.connections_timed_out);
                    return false;
                }
            };
            self.shared.hear();
            self.codec.push(&buffer[..length]);
        }
    }

    /// Runs all that is complete; tells whether anything was.
    fn run(&mut self, index: &mut Index, work: &mut Work) -> Result<bool, Broken> {
        let Self { engine, flow, codec, asides, .. } = self;
        let done = match codec {
            Codec::Stream(framer) => run_stream(engine, *flow, (framer, index, work), asides),
            Codec::WebSocket(frames) => {
                let pings = &mut self.pings;
                let run = run_frames((engine, *flow), (frames, index, work), asides, pings);
                run.map(|(whole, binary)| {
                    if let Some(binary) = binary {
                        self.shared.binary.store(binary, Ordering::Relaxed);
                    }
                    whole
                })
            }
        };
        engine.flush(work);
        done
    }
}

/// Messages with lengths.
fn run_stream(
    engine: &Engine,
    flow: Flow,
    (framer, index, work): (&mut Framer, &mut Index, &mut Work),
    asides: &mpsc::Sender<Aside>,
) -> Result<bool, Broken> {
    let snapshot = engine.snapshot();
    let mut whole = false;
    let broken = loop {
        match framer.next() {
            None => break None,
            Some(Ok(Frame::Message(bytes))) => {
                whole = true;
                match parse(bytes, index, Framing::Stream) {
                    Ok(message) => engine.receive(&snapshot, flow, message, work),
                    // What is no SIP at all has lost its way, and so has what follows.
                    Err(_) => {
                        count(&engine.metrics.not_sip);
                        break Some(FrameError::NoLength);
                    }
                }
            }
            //= RFC 5626 5.4
            // "When a server receives a double CRLF sequence between SIP messages on"
            Some(Ok(Frame::Ping)) => put(asides, b"\r\n".to_vec()),
            Some(Ok(Frame::Pong)) => {}
            Some(Err(error)) => break Some(error),
        }
    };
    if broken.is_some() && !whole {
        // The boundary is lost, but whoever wrote this may be told so before we hang up.
        let rest = framer.rest();
        let rest = &rest[..rest.len().min(ringway_wire::limits::MESSAGE)];
        if let Ok(message) = parse(rest, index, Framing::Stream) {
            engine.receive(&snapshot, flow, message, work);
        }
    }
    broken.map_or(Ok(whole), |_| Err(Broken))
}

/// More answers than can be queued are those to a flood: one serves several.
fn put(asides: &mpsc::Sender<Aside>, bytes: Vec<u8>) {
    drop(asides.try_send(Aside { bytes, is_last: false }));
}

/// Messages in frames; tells, too, whether the last one was binary.
fn run_frames(
    (engine, flow): (&Engine, Flow),
    (frames, index, work): (&mut Frames, &mut Index, &mut Work),
    asides: &mpsc::Sender<Aside>,
    pings: &mut Pings,
) -> Result<(bool, Option<bool>), Broken> {
    let snapshot = engine.snapshot();
    let (mut whole, mut kind) = (false, None);
    while let Some(event) = frames.take().transpose() {
        let violation = match event {
            Ok(Event::Message { bytes: b"\r\n\r\n", binary }) => {
                put(asides, web_socket::message(b"\r\n", binary));
                None
            }
            Ok(Event::Message { bytes: b"\r\n" | b"", .. }) | Ok(Event::Pong) => None,
            Ok(Event::Message { bytes, binary }) => {
                (whole, kind) = (true, Some(binary));
                //= RFC 7118 5
                // "of the Content-Length header in SIP messages is not necessary when"
                match parse(bytes, index, Framing::Datagram) {
                    Ok(message) => {
                        engine.receive(&snapshot, flow, message, work);
                        None
                    }
                    Err(_) => {
                        count(&engine.metrics.not_sip);
                        Some(Violation::Policy("no SIP message"))
                    }
                }
            }
            Ok(Event::Ping(_)) if pings.are_too_many() => Some(Violation::Policy("too many pings")),
            Ok(Event::Ping(content)) => {
                put(asides, web_socket::pong(content));
                None
            }
            Ok(Event::Close) => {
                let bytes = web_socket::close(CLOSE_NORMAL);
                drop(asides.try_send(Aside { bytes, is_last: true }));
                return Err(Broken);
            }
            Err(violation) => Some(violation),
        };
        if let Some(violation) = violation {
            count(&engine.metrics.websockets_broken);
            debug!(event = "websocket", src = %flow.remote, reason = violation.reason());
            let bytes = web_socket::close(violation.close_code());
            drop(asides.try_send(Aside { bytes, is_last: true }));
            return Err(Broken);
        }
    }
    Ok((whole, kind))
}

/// Everything went well (RFC 6455 §7.4.1).
const CLOSE_NORMAL: u16 = 1000;
