//! Streams from their listeners, and those that we open: up to the point where SIP messages can
//! pass ([`stream`] goes on from there).

use crate::balancer::{Balancers, Refused};
use crate::connections::{Dial, Feed};
use crate::engine::Engine;
use crate::limits;
use crate::metrics::count;
use crate::stream::{self, Codec};
use crate::tls::{Proof, Tls};
use crate::ws::{self, Origins};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{debug, warn};

/// What stream connections may do.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Of these, connections of whom nobody knows who is behind them.
    pub unproved_per_address: usize,
    /// Handshakes under way.
    pub handshakes: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long a connection that we took may be without a whole message.
    pub first_message: Duration,
    /// How long nothing at all may arrive.
    pub idle: Duration,
    /// The same where nobody knows who is behind it.
    pub unproved_idle: Duration,
    /// How long a message may take from its first byte to its last.
    pub partial: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            unproved_per_address: limits::UNPROVED_PER_ADDRESS,
            handshakes: limits::HANDSHAKES,
            handshake: limits::HANDSHAKE,
            first_message: limits::FIRST_MESSAGE,
            idle: limits::IDLE,
            unproved_idle: limits::UNPROVED_IDLE,
            partial: limits::PARTIAL,
        }
    }
}

/// What connections need besides the engine.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) engine: Arc<Engine>,
    /// There is none where nobody listens for TLS.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) origins: Origins,
    pub(crate) balancers: Balancers,
}

/// Bytes both ways, in clear or not.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

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
pub(crate) async fn accept(streams: Arc<Streams>, socket: SocketId, listener: TcpListener) {
    let engine = &streams.engine;
    let Some(listens) = engine.listeners().get(usize::from(socket.0)) else { return };
    let transport = listens.transport;
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Out of descriptors or memory: others must finish first.
            count(&engine.metrics.accepts_failed);
            engine.connections.are_too_many();
            tokio::time::sleep(limits::ACCEPT_AGAIN).await;
            continue;
        };
        let (connection, certified) = (ConnectionId::NONE, CertifiedName::NONE);
        let flow = Flow { socket, transport, connection, remote, certified };
        if streams.balancers.hold(remote.ip()) {
            tokio::spawn(behind(Arc::clone(&streams), flow, stream));
        } else {
            begin(&streams, flow, stream);
        }
    }
}

/// A connection of a balancer says first for whom it is.
async fn behind(streams: Arc<Streams>, mut flow: Flow, mut stream: TcpStream) {
    match streams.balancers.introduced(&mut stream).await {
        Ok(client) => {
            flow.remote = client.unwrap_or(flow.remote);
            begin(&streams, flow, stream);
        }
        Err(Refused::Silent) => {}
        Err(reason) => {
            count(&streams.engine.metrics.proxy_headers_refused);
            warn!(event = "proxy_header_refused", src = %flow.remote, %reason);
        }
    }
}

fn begin(streams: &Arc<Streams>, flow: Flow, stream: TcpStream) {
    let snapshot = streams.engine.snapshot();
    let is_peer = snapshot.peers.iter().any(|peer| peer.is_behind(&flow));
    if let Some((flow, feed)) = streams.engine.connections.accept(flow, is_peer) {
        tokio::spawn(taken(Arc::clone(streams), flow, stream, feed));
    }
}

/// Opens the connections that are asked for.
pub(crate) async fn dial(streams: Arc<Streams>, mut dials: mpsc::Receiver<Dial>) {
    while let Some(Dial { flow, feed }) = dials.recv().await {
        tokio::spawn(opened(Arc::clone(&streams), flow, feed));
    }
}

/// The life of a connection that we took.
async fn taken(streams: Arc<Streams>, mut flow: Flow, stream: TcpStream, feed: Feed) {
    let engine = &streams.engine;
    prepare(engine, &stream);
    if flow.transport == Transport::Tcp {
        let (reader, writer) = stream.into_split();
        return stream::serve(engine, (flow, true), (reader, writer), feed, Codec::stream()).await;
    }
    let (hang_up, patience) = (Arc::clone(&feed.hang_up), engine.connections.limits.handshake);
    engine.connections.handshake_begins(&flow);
    let shaken = tokio::select! {
        shaken = timeout(patience, streams.shake_hands(&mut flow, stream)) => Some(shaken),
        () = hang_up.notified() => None,
    };
    engine.connections.handshake_ended(&flow);
    let (stream, codec) = match shaken {
        Some(Ok(Ok(ready))) => ready,
        Some(Ok(Err(reason))) => {
            count(&engine.metrics.handshakes_failed);
            let (src, transport) = (flow.remote, flow.transport);
            debug!(event = "handshake_failed", %src, %transport, %reason);
            return stream::give_up(engine, flow, feed);
        }
        Some(Err(_)) => {
            count(&engine.metrics.handshakes_timed_out);
            return stream::give_up(engine, flow, feed);
        }
        // It made room for others.
        None => return stream::give_up(engine, flow, feed),
    };
    stream::serve(engine, (flow, true), tokio::io::split(stream), feed, codec).await;
}

/// The life of a connection that we open.
async fn opened(streams: Arc<Streams>, flow: Flow, feed: Feed) {
    let engine = &streams.engine;
    let codec = Codec::stream();
    let failed = match timeout(limits::CONNECT, streams.open(&flow)).await {
        Ok(Ok((stream, None))) => {
            let halves = stream.into_split();
            return stream::serve(engine, (flow, false), halves, feed, codec).await;
        }
        Ok(Ok((stream, Some(domain)))) => {
            match timeout(limits::HANDSHAKE, streams.secure(&domain, stream)).await {
                Ok(Ok(stream)) => {
                    let halves = tokio::io::split(stream);
                    return stream::serve(engine, (flow, false), halves, feed, codec).await;
                }
                Ok(Err(reason)) => {
                    // Nothing was sent, and it is not tried in clear (G7).
                    count(&engine.metrics.certificates_refused);
                    let remote = flow.remote;
                    warn!(event = "tls_failed", domain, %remote, %reason);
                    Some(reason)
                }
                Err(_) => None,
            }
        }
        Ok(Err(reason)) => Some(reason),
        Err(_) => None,
    };
    let (remote, transport) = (flow.remote, flow.transport);
    debug!(event = "unreachable", %remote, %transport, reason = ?failed);
    engine.connections.is_dead(&flow);
    stream::give_up(engine, flow, feed);
}

/// What all connections have in common.
fn prepare(engine: &Engine, stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    let alive = socket2::TcpKeepalive::new()
        .with_time(limits::KEEP_ALIVE)
        .with_interval(limits::KEEP_ALIVE_PROBE);
    // A message is one write: there is nothing to wait for.
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(limits::USER_TIMEOUT)))
        .and_then(|()| socket.set_tcp_keepalive(&alive));
    if set.is_err() {
        // It is gone already, as the first read will tell.
        count(&engine.metrics.accepts_failed);
    }
}

impl Streams {
    /// From an accepted connection to one that carries messages: TLS, then WebSocket, as the
    /// transport wants.
    async fn shake_hands(
        &self,
        flow: &mut Flow,
        stream: TcpStream,
    ) -> io::Result<(Box<dyn Duplex>, Codec)> {
        let local = stream.local_addr().ok().map(|local| local.ip().to_canonical());
        let is_web = matches!(flow.transport, Transport::Ws | Transport::Wss);
        let mut stream: Box<dyn Duplex> = if flow.transport.is_secure() {
            let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.current();
            let config = if is_web { &tls.web } else { &tls.server };
            let stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
            let chain = stream.get_ref().1.peer_certificates();
            if let Some(proof) = chain.and_then(|chain| tls.clients.proof(chain)) {
                self.certify(flow, &proof);
            }
            Box::new(stream)
        } else {
            Box::new(stream)
        };
        if !is_web {
            return Ok((stream, Codec::stream()));
        }
        let snapshot = self.engine.snapshot();
        let (secure, domains) = (flow.transport.is_secure(), &snapshot.domains);
        let place = ws::Place { secure, local, domains };
        match ws::upgrade(&mut stream, (&self.origins, &place)).await? {
            Ok(rest) => Ok((stream, Codec::web_socket(&rest))),
            Err(refused) => {
                count(&self.engine.metrics.websockets_refused);
                Err(io::Error::other(refused.reason()))
            }
        }
    }

    /// Notes whom a client's certificate speaks for: of several names the one that a peer of
    /// ours has, of several users one whom we know.
    //= RFC 5922 7.4
    // "domain identities from the client certificate as described in"
    fn certify(&self, flow: &mut Flow, proof: &Proof) {
        let snapshot = self.engine.snapshot();
        let names = match proof {
            Proof::Domains(names) => names,
            Proof::Users(users) => {
                let ours = users.iter().find(|user| snapshot.accounts.find(user).is_some());
                if let Some(user) = ours {
                    let certified = self.engine.certified.account(user);
                    self.engine.connections.certify(flow, vec![certified]);
                }
                return;
            }
        };
        let known =
            |name: &CertifiedName| snapshot.peers.iter().any(|peer| peer.certified.contains(name));
        let hashes = names.iter().take(limits::CERTIFICATE_NAMES);
        let mut hashes: Vec<_> = hashes.map(|name| self.engine.certified.note(name)).collect();
        if let Some(chosen) = hashes.iter().position(known) {
            hashes.swap(0, chosen);
        }
        if !hashes.is_empty() {
            self.engine.connections.certify(flow, hashes);
        }
    }

    /// Connects; over TLS it says, too, what must be certified.
    async fn open(&self, flow: &Flow) -> io::Result<(TcpStream, Option<String>)> {
        let domain = match flow.transport.is_secure() {
            true => {
                let known = self.engine.certified.find(flow.certified);
                Some(known.ok_or_else(|| io::Error::other("its name was forgotten"))?)
            }
            false => None,
        };
        let listeners = self.engine.listeners();
        let local = listeners.get(usize::from(flow.socket.0)).map(|l| l.local.ip());
        let socket = match flow.remote.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        if let Some(ip) = local {
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        let stream = socket.connect(flow.remote).await?;
        prepare(&self.engine, &stream);
        Ok((stream, domain))
    }

    async fn secure(&self, domain: &str, stream: TcpStream) -> io::Result<impl Duplex + use<>> {
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.current();
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&tls.client)).connect(name, stream).await
    }
}
