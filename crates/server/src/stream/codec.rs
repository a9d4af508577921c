//! How messages are cut out of what a connection brings, and run.

use crate::connections::Line;
use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::count;
use ringway_core::flow::Flow;
use ringway_wire::web_socket::{self, Event, Frames, Violation};
use ringway_wire::{Frame, FrameError, Framer, Framing, Index, parse};
use std::mem;
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// How messages are told apart.
pub(crate) enum Codec {
    /// By their lengths (RFC 3261 §18.3). There is one while something has begun and not ended.
    Stream(Option<Box<Framer>>),
    /// By the frames of WebSocket (RFC 7118 §5).
    WebSocket(Box<(Frames, Pings)>),
}

/// What one thread has to cut and run messages with, for one connection after the other.
#[derive(Default)]
pub(super) struct Desk {
    /// Of a connection that has none of its own; between two of them it is empty.
    framer: Framer,
    index: Index,
    pub(super) work: Work,
}

impl Codec {
    /// For TCP and TLS.
    pub(crate) fn stream() -> Self {
        Self::Stream(None)
    }

    /// For a WebSocket, of which this much was read already.
    pub(crate) fn web_socket(read: &[u8]) -> Self {
        let mut web = Box::<(Frames, Pings)>::default();
        web.0.push(read);
        Self::WebSocket(web)
    }

    pub(crate) fn is_web(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Whether something has begun and not ended.
    pub(super) fn is_partial(&self) -> bool {
        match self {
            Self::Stream(begun) => begun.as_ref().is_some_and(|framer| framer.is_partial()),
            Self::WebSocket(web) => web.0.is_partial(),
        }
    }

    /// Runs all that is complete with these bytes; tells whether anything was.
    pub(super) fn run(
        &mut self,
        way: &Way<'_>,
        bytes: &[u8],
        desk: &mut Desk,
    ) -> Result<bool, Broken> {
        let Desk { framer, index, work } = desk;
        match self {
            Self::Stream(Some(begun)) => {
                begun.push(bytes);
                let ran = run_stream(way, begun, (index, work));
                if begun.is_empty() {
                    *self = Self::Stream(None);
                }
                ran
            }
            Self::Stream(begun) => {
                // It may hold something after all, if a panic passed through here.
                let mut empty = mem::take(framer);
                empty.push(bytes);
                let ran = run_stream(way, &mut empty, (index, work));
                *begun = empty.split_rest().map(Box::new);
                *framer = empty;
                ran
            }
            Self::WebSocket(web) => {
                web.0.push(bytes);
                run_frames(way, web, (index, work))
            }
        }
    }
}

/// Pings of the far side in the second that is now.
#[derive(Default)]
pub(crate) struct Pings {
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

/// The connection ends here: the boundary between messages is lost, or a rule was broken.
pub(super) struct Broken;

/// Where messages come from, and answers go to.
pub(super) struct Way<'a> {
    pub(super) engine: &'a Engine,
    pub(super) flow: Flow,
    pub(super) line: &'a Line,
}

impl Way<'_> {
    fn put_aside(&self, bytes: &[u8]) {
        self.line.put_aside(bytes, false, &self.engine.metrics);
    }

    fn put_last(&self, bytes: &[u8]) {
        self.line.put_aside(bytes, true, &self.engine.metrics);
    }
}

/// Messages with lengths.
fn run_stream(
    way: &Way<'_>,
    framer: &mut Framer,
    (index, work): (&mut Index, &mut Work),
) -> Result<bool, Broken> {
    let (engine, flow) = (way.engine, way.flow);
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
            Some(Ok(Frame::Ping)) => way.put_aside(b"\r\n"),
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

/// Messages in frames.
fn run_frames(
    way: &Way<'_>,
    (frames, pings): &mut (Frames, Pings),
    (index, work): (&mut Index, &mut Work),
) -> Result<bool, Broken> {
    let (engine, flow) = (way.engine, way.flow);
    let snapshot = engine.snapshot();
    let mut whole = false;
    while let Some(event) = frames.take().transpose() {
        let violation = match event {
            Ok(Event::Message { bytes: b"\r\n\r\n", binary }) => {
                way.put_aside(&web_socket::message(b"\r\n", binary));
                None
            }
            Ok(Event::Message { bytes: b"\r\n" | b"", .. }) | Ok(Event::Pong) => None,
            Ok(Event::Message { bytes, binary }) => {
                whole = true;
                way.line.with_web(|web| web.speak(binary));
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
                way.put_aside(&web_socket::pong(content));
                None
            }
            Ok(Event::Close) => {
                way.put_last(&web_socket::close(CLOSE_NORMAL));
                return Err(Broken);
            }
            Err(violation) => Some(violation),
        };
        if let Some(violation) = violation {
            count(&engine.metrics.websockets_broken);
            debug!(event = "websocket", src = %flow.remote, reason = violation.reason());
            way.put_last(&web_socket::close(violation.close_code()));
            return Err(Broken);
        }
    }
    Ok(whole)
}

/// Everything went well (RFC 6455 §7.4.1).
const CLOSE_NORMAL: u16 = 1000;
