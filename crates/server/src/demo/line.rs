//! A phone's way to its server: one socket, and one thread that listens to it and says again
//! what must be said again.

use super::repeats::Repeats;
use super::trace::{Entry, Trace, Way};
use ringway_core::flow::Transport;
use ringway_wire::{Frame, Framer, Framing, Index, StoredMessage, parse};
use std::io::ErrorKind::{ConnectionRefused, Interrupted, TimedOut, WouldBlock};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long the thread listens before it looks at the time: how late a repetition can be.
const TICK: Duration = Duration::from_millis(50);
/// A connection must be there by then.
const CONNECT: Duration = Duration::from_secs(4);
/// Messages heard but not looked at yet; what is more is lost, as on a network.
const WAITING: usize = 256;

/// A message that was heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) at: Instant,
    pub(crate) message: StoredMessage,
}

/// A line to one server.
#[derive(Debug)]
pub(crate) struct Line {
    shared: Arc<Shared>,
    heard: Receiver<Heard>,
    thread: Option<JoinHandle<()>>,
    /// Our own address.
    pub(crate) local: SocketAddr,
    /// Where the server is.
    pub(crate) server: SocketAddr,
}

#[derive(Debug)]
struct Shared {
    wire: Wire,
    /// Locked for each message, so that no two are mixed on a stream.
    repeats: Mutex<Repeats>,
    name: Arc<str>,
    trace: Trace,
    stop: AtomicBool,
}

/// A way to the server that somebody else has opened: over TLS, or as a WebSocket.
pub trait Link: Send + Sync + std::fmt::Debug {
    /// How it talks to the server.
    fn transport(&self) -> Transport;
    /// Our own address.
    fn local(&self) -> SocketAddr;
    /// Sends a message.
    ///
    /// # Errors
    /// What the connection says.
    fn say(&self, message: &[u8]) -> io::Result<()>;
    /// The next whole message; an empty one is the end.
    ///
    /// # Errors
    /// `WouldBlock` or `TimedOut` within a tenth of a second if there is none, or what the
    /// connection says.
    fn hear(&self) -> io::Result<Vec<u8>>;
}

#[derive(Debug)]
enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Link(Box<dyn Link>),
}

impl Line {
    /// Opens a line; what passes over it is noted under the phone's name.
    pub(crate) fn open(
        name: &str,
        (transport, server): (Transport, SocketAddr),
        trace: Trace,
    ) -> io::Result<Self> {
        let wire = match transport {
            Transport::Udp => {
                let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(server)?;
                socket.set_read_timeout(Some(TICK))?;
                Wire::Udp(socket)
            }
            Transport::Tcp => {
                let stream = TcpStream::connect_timeout(&server, CONNECT)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TICK))?;
                stream.set_write_timeout(Some(CONNECT))?;
                Wire::Tcp(stream)
            }
            Transport::Tls | Transport::Ws | Transport::Wss => {
                return Err(io::ErrorKind::Unsupported.into());
            }
        };
        Self::begin(name, (wire, server), trace)
    }

    /// A line over a link that is open.
    pub(crate) fn over(
        name: &str,
        (link, server): (Box<dyn Link>, SocketAddr),
        trace: Trace,
    ) -> io::Result<Self> {
        Self::begin(name, (Wire::Link(link), server), trace)
    }

    fn begin(name: &str, (wire, server): (Wire, SocketAddr), trace: Trace) -> io::Result<Self> {
        let local = match &wire {
            Wire::Udp(socket) => socket.local_addr()?,
            Wire::Tcp(stream) => stream.local_addr()?,
            Wire::Link(link) => link.local(),
        };
        let repeats = Mutex::new(Repeats::new(wire.transport().is_reliable()));
        let (name, stop) = (name.into(), AtomicBool::new(false));
        let shared = Arc::new(Shared { wire, repeats, name, trace, stop });
        let (hear, heard) = sync_channel(WAITING);
        let listening = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name(format!("phone {}", shared.name))
            .spawn(move || listening.listen(&hear))?;
        Ok(Self { shared, heard, thread: Some(thread), local, server })
    }

    /// How it talks to the server.
    pub(crate) fn transport(&self) -> Transport {
        self.shared.wire.transport()
    }

    /// Sends a message, and sees to it that it is heard. Tells when.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<Instant> {
        let mut repeats = self.shared.repeats();
        let mut index = Index::new();
        if let Ok(message) = parse(bytes, &mut index, Framing::Datagram) {
            repeats.sending(Instant::now(), &message);
        }
        self.shared.say(bytes, false)
    }

    /// The next message, if one comes in time.
    pub(crate) fn hear(&self, until: Instant) -> Result<Heard, RecvTimeoutError> {
        self.heard.recv_timeout(until.saturating_duration_since(Instant::now()))
    }
}

impl Wire {
    fn transport(&self) -> Transport {
        match self {
            Self::Udp(_) => Transport::Udp,
            Self::Tcp(_) => Transport::Tcp,
            Self::Link(link) => link.transport(),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Wire::Tcp(stream) = &self.shared.wire {
            // One that is closed already is as good.
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn repeats(&self) -> std::sync::MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: Instant, way: Way, again: bool, bytes: &[u8]) {
        let (phone, bytes) = (Arc::clone(&self.name), bytes.into());
        self.trace.note(Entry { at, phone, way, again, bytes });
    }

    fn say(&self, bytes: &[u8], again: bool) -> io::Result<Instant> {
        let at = Instant::now();
        match &self.wire {
            Wire::Udp(socket) => socket.send(bytes).map(|_| ()),
            Wire::Tcp(stream) => {
                let mut stream = stream;
                stream.write_all(bytes)
            }
            Wire::Link(link) => link.say(bytes),
        }?;
        self.note(at, Way::Sent, again, bytes);
        Ok(at)
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.wire {
            Wire::Udp(socket) => socket.recv(buffer),
            Wire::Tcp(stream) => {
                let mut stream = stream;
                stream.read(buffer)
            }
            Wire::Link(link) => {
                let message = link.hear()?;
                let length = message.len().min(buffer.len());
                buffer[..length].copy_from_slice(&message[..length]);
                Ok(length)
            }
        }
    }

    fn listen(&self, hear: &SyncSender<Heard>) {
        let mut buffer = vec![0; 65_535];
        let mut framer = Framer::new();
        while !self.stop.load(Ordering::Relaxed) {
            let read = self.read(&mut buffer);
            let at = Instant::now();
            match (&self.wire, read) {
                (Wire::Udp(_), Ok(length)) => {
                    self.take(at, &buffer[..length], Framing::Datagram, hear);
                }
                (Wire::Tcp(_) | Wire::Link(_), Ok(0)) => return,
                (Wire::Link(_), Ok(length)) => {
                    self.take(at, &buffer[..length], Framing::Datagram, hear);
                }
                (Wire::Tcp(_), Ok(length)) => {
                    framer.push(&buffer[..length]);
                    loop {
                        match framer.next() {
                            Some(Ok(Frame::Message(bytes))) => {
                                self.take(at, bytes, Framing::Stream, hear);
                            }
                            Some(Ok(Frame::Ping | Frame::Pong)) => {}
                            Some(Err(_)) => return,
                            None => break,
                        }
                    }
                }
                // Nobody there yet, or no more: a datagram can be sent again.
                (Wire::Udp(_), Err(error)) if error.kind() == ConnectionRefused => {}
                (_, Err(error)) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
                (_, Err(_)) => return,
            }
            let mut repeats = self.repeats();
            for bytes in repeats.due(Instant::now()) {
                // What cannot be said now is said again later.
                let _ = self.say(&bytes, true);
            }
        }
    }

    fn take(&self, at: Instant, bytes: &[u8], framing: Framing, hear: &SyncSender<Heard>) {
        let mut index = Index::new();
        let Ok(message) = parse(bytes, &mut index, framing) else { return };
        if message.check().is_err() {
            return;
        }
        let mut repeats = self.repeats();
        let outcome = repeats.heard(&message);
        self.note(at, Way::Heard, outcome.again, message.bytes());
        if let Some(bytes) = outcome.say {
            // What is lost will be asked for again.
            let _ = self.say(&bytes, outcome.again);
        }
        if outcome.deliver {
            let _ = hear.try_send(Heard { at, message: message.to_stored() });
        }
    }
}
