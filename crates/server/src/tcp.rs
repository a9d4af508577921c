//! Streams: each connection is a task that frames what comes, runs the partitions itself, and
//! writes what is queued for it.

use crate::balancer::{Balancers, Refused};
use crate::connections::{Dial, Feed, Parcel};
use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::count;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use ringway_wire::{Frame, FrameError, Framer, Framing, Index, parse};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

/// What stream connections may do.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// How long nothing at all may arrive.
    pub idle: Duration,
    /// How long a message may take from its first byte to its last.
    pub partial: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            idle: limits::IDLE,
            partial: limits::PARTIAL,
        }
    }
}

thread_local! {
    /// The connections that a thread serves have none of their own: most are idle.
    static WORK: RefCell<Work> = RefCell::default();
}

/// Binds a listener. Port 0 takes a free one.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1_024)?;
    Ok(socket.into())
}

/// Accepts connections for ever.
pub(crate) async fn accept(
    engine: Arc<Engine>,
    balancers: Arc<Balancers>,
    socket: SocketId,
    listener: TcpListener,
) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of descriptors or memory: others must finish first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = ConnectionId::NONE;
        let flow = Flow {
            socket,
            transport: Transport::Tcp,
            connection,
            remote,
            certified: CertifiedName::NONE,
        };
        if balancers.hold(remote.ip()) {
            tokio::spawn(behind(Arc::clone(&engine), Arc::clone(&balancers), flow, stream));
        } else {
            begin(&engine, flow, stream);
        }
    }
}

/// A connection of a balancer says first for whom it is.
async fn behind(
    engine: Arc<Engine>,
    balancers: Arc<Balancers>,
    mut flow: Flow,
    mut stream: TcpStream,
) {
    match balancers.introduced(&mut stream).await {
        Ok(client) => {
            flow.remote = client.unwrap_or(flow.remote);
            begin(&engine, flow, stream);
        }
        Err(Refused::Silent) => {}
        Err(reason) => {
            count(&engine.metrics.proxy_headers_refused);
            warn!(event = "proxy_header_refused", src = %flow.remote, %reason);
        }
    }
}

fn begin(engine: &Arc<Engine>, flow: Flow, stream: TcpStream) {
    if let Some((flow, feed)) = engine.connections.accept(flow) {
        tokio::spawn(serve(Arc::clone(engine), flow, stream, feed));
    }
}

/// Opens the connections that are asked for.
pub(crate) async fn dial(engine: Arc<Engine>, mut dials: mpsc::Receiver<Dial>) {
    while let Some(Dial { flow, feed }) = dials.recv().await {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            match timeout(limits::CONNECT, open(&engine, &flow)).await {
                Ok(Ok(stream)) => serve(engine, flow, stream, feed).await,
                Ok(Err(_)) | Err(_) => {
                    engine.connections.is_dead(&flow);
                    give_up(&engine, flow, feed);
                }
            }
        });
    }
}

async fn open(engine: &Engine, flow: &Flow) -> io::Result<TcpStream> {
    let local = engine.listeners().get(usize::from(flow.socket.0)).map(|l| l.local.ip());
    let socket = if flow.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(ip) = local {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(flow.remote).await
}

/// The life of a connection.
async fn serve(engine: Arc<Engine>, flow: Flow, stream: TcpStream, mut feed: Feed) {
    let patience = engine.connections.limits;
    // A message is one write: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    let (pongs, mut pings) = mpsc::channel::<()>(4);
    let broken = AtomicBool::new(false);
    let reading = {
        let (engine, broken) = (Arc::clone(&engine), &broken);
        async move {
            let is_broken = read(&engine, flow, &mut reader, &pongs, patience).await;
            broken.store(is_broken, Ordering::Relaxed);
        }
    };
    let queued = Arc::clone(&feed.queued);
    let writing = async {
        let mut is_reading = true;
        loop {
            let parcel = tokio::select! {
                parcel = feed.parcels.recv() => parcel,
                ping = pings.recv(), if is_reading => match ping {
                    Some(()) => Some(Parcel::new(b"\r\n", (0, None))),
                    // Nothing more is read: what is queued already may still leave. Where we
                    // stop reading, the far side still waits for answers to what came before.
                    None => {
                        is_reading = false;
                        if !broken.load(Ordering::Relaxed) {
                            feed.parcels.close();
                        }
                        continue;
                    }
                },
            };
            // No more parcels: the connection ends, or the server stops.
            let Some(parcel) = parcel else { break };
            let written = timeout(patience.partial, writer.write_all(&parcel.bytes)).await;
            if parcel.bytes.len() > 2 {
                queued.fetch_sub(parcel.bytes.len(), Ordering::Relaxed);
            }
            if !matches!(written, Ok(Ok(()))) {
                report(&engine, parcel.on_failure);
                break;
            }
        }
    };
    {
        tokio::pin!(writing);
        tokio::select! {
            () = reading => drop(timeout(limits::LAST_WORDS, &mut writing).await),
            () = &mut writing => {}
        }
    }
    give_up(&engine, flow, feed);
}

/// Ends a connection, and tells of all that was still to be written.
fn give_up(engine: &Engine, flow: Flow, mut feed: Feed) {
    engine.connections.ended(&flow);
    feed.parcels.close();
    while let Ok(parcel) = feed.parcels.try_recv() {
        report(engine, parcel.on_failure);
    }
    engine.flow_closed(flow, &mut Work::default());
}

fn report(
    engine: &Engine,
    (partition, failed): (u32, Option<ringway_core::boundary::TransactionRef>),
) {
    if let Some(failed) = failed {
        engine.undelivered(partition, failed, &mut Work::default());
    }
}

/// Reads to the end; tells whether it ends because the stream is broken.
async fn read(
    engine: &Engine,
    flow: Flow,
    reader: &mut (impl AsyncReadExt + Unpin),
    pongs: &mpsc::Sender<()>,
    patience: StreamLimits,
) -> bool {
    let mut framer = Framer::new();
    let mut buffer = vec![0; 4_096];
    let mut index = Index::new();
    let mut partial_since: Option<Instant> = None;
    loop {
        let deadline = match partial_since {
            Some(since) => since + patience.partial,
            None => Instant::now() + patience.idle,
        };
        let length = match timeout_at(deadline, reader.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => length,
            Ok(_) => return false,
            Err(_) => {
                count(&engine.metrics.connections_timed_out);
                return false;
            }
        };
        framer.push(&buffer[..length]);
        let some_whole = WORK.with_borrow_mut(|work| {
            let (framer, index) = (&mut framer, &mut index);
            run(engine, flow, (framer, index, &mut *work), pongs)
        });
        let Ok(some_whole) = some_whole else { return true };
        partial_since = match (framer.is_partial(), partial_since) {
            // A message that ended makes room for the next, which has its own time.
            (true, Some(since)) if !some_whole => Some(since),
            (true, _) => Some(Instant::now()),
            (false, _) => None,
        };
    }
}

/// Runs all that is complete; tells whether anything was. The error ends the connection.
fn run(
    engine: &Engine,
    flow: Flow,
    (framer, index, work): (&mut Framer, &mut Index, &mut Work),
    pongs: &mpsc::Sender<()>,
) -> Result<bool, FrameError> {
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
            // More pings than can be queued are a flood: one answer serves them all.
            Some(Ok(Frame::Ping)) => drop(pongs.try_send(())),
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
    engine.flush(work);
    broken.map_or(Ok(whole), Err)
}
