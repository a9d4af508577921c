//! Streams from their listeners, and those that we open: up to the point where SIP messages can
//! pass ([`stream`] goes on from there).

use crate::balancer::{Balancers, Refused};
use crate::connections::{Dial, Line, Pipe};
use crate::engine::Engine;
use crate::limits;
use crate::metrics::count;
use crate::stream::{self, Codec, Life};
use crate::tls::{Proof, Tls};
use crate::ws::{self, Origins};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use rustls::Connection;
use rustls::pki_types::ServerName;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
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

/// A connection over which messages can pass.
struct Ready {
    reader: OwnedReadHalf,
    pipe: Pipe,
    is_secure: bool,
    codec: Codec,
}

impl Ready {
    fn clear(stream: TcpStream, codec: Codec) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, pipe: Pipe::clear(writer), is_secure: false, codec }
    }

    fn secure((stream, tls): (TcpStream, impl Into<Connection>), codec: Codec) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader, pipe: Pipe::secure(writer, tls), is_secure: true, codec }
    }

    /// From here on the connection is a task that is no larger than it must be.
    fn begin(self, engine: &Arc<Engine>, (flow, taken): (Flow, bool), line: Arc<Line>) {
        let Self { reader, pipe, is_secure, codec } = self;
        line.attach(flow, pipe, codec.is_web());
        tokio::spawn(Life::new(engine, (reader, is_secure, codec), line, taken));
    }
}

/// Binds a listener. Port 0 takes a free one.
///
/// # Errors
/// What the system says.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    prepare(&socket)?;
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
    let Some((flow, line)) = streams.engine.connections.accept(flow, is_peer) else { return };
    if flow.transport == Transport::Tcp {
        return Ready::clear(stream, Codec::stream()).begin(&streams.engine, (flow, true), line);
    }
    tokio::spawn(taken(Arc::clone(streams), flow, stream, line));
}

/// Opens the connections that are asked for.
pub(crate) async fn dial(streams: Arc<Streams>, mut dials: mpsc::Receiver<Dial>) {
    while let Some(Dial { flow, line }) = dials.recv().await {
        tokio::spawn(opened(Arc::clone(&streams), flow, line));
    }
}

/// A connection that we took, until messages can pass.
async fn taken(streams: Arc<Streams>, mut flow: Flow, stream: TcpStream, line: Arc<Line>) {
    match streams.welcome(&mut flow, stream, &line).await {
        Some(ready) => ready.begin(&streams.engine, (flow, true), line),
        None => stream::give_up(&streams.engine, flow, &line, 0),
    }
}

/// A connection that we open, until messages can pass.
async fn opened(streams: Arc<Streams>, flow: Flow, line: Arc<Line>) {
    let engine = &streams.engine;
    let failed = match streams.reach(&flow).await {
        Ok(ready) => return ready.begin(engine, (flow, false), line),
        Err(failed) => failed,
    };
    let (remote, transport) = (flow.remote, flow.transport);
    debug!(event = "unreachable", %remote, %transport, reason = ?failed);
    engine.connections.is_dead(&flow);
    stream::give_up(engine, flow, &line, 0);
}

/// What all connections have in common; those that are taken have it from their listener.
fn prepare(socket: &Socket) -> io::Result<()> {
    let alive =
        TcpKeepalive::new().with_time(limits::KEEP_ALIVE).with_interval(limits::KEEP_ALIVE_PROBE);
    // A message is one write: there is nothing to wait for.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(limits::USER_TIMEOUT))?;
    socket.set_tcp_keepalive(&alive)
}

impl Streams {
    /// Shakes hands, unless that fails, takes too long, or others need the room.
    async fn welcome(&self, flow: &mut Flow, stream: TcpStream, line: &Line) -> Option<Ready> {
        let engine = &self.engine;
        engine.connections.handshake_begins(flow);
        let patience = engine.connections.limits.handshake;
        let shaken = tokio::select! {
            shaken = timeout(patience, self.shake_hands(flow, stream)) => Some(shaken),
            () = poll_fn(|task| line.poll_over(task)) => None,
        };
        engine.connections.handshake_ended(flow);
        match shaken? {
            Ok(Ok(ready)) => Some(ready),
            Ok(Err(reason)) => {
                count(&engine.metrics.handshakes_failed);
                let (src, transport) = (flow.remote, flow.transport);
                debug!(event = "handshake_failed", %src, %transport, %reason);
                None
            }
            Err(_) => {
                count(&engine.metrics.handshakes_timed_out);
                None
            }
        }
    }

    /// From an accepted connection to one that carries messages: TLS, then WebSocket, as the
    /// transport wants.
    async fn shake_hands(&self, flow: &mut Flow, mut stream: TcpStream) -> io::Result<Ready> {
        let local = stream.local_addr().ok().map(|local| local.ip().to_canonical());
        let is_web = matches!(flow.transport, Transport::Ws | Transport::Wss);
        if !flow.transport.is_secure() {
            let codec = self.upgrade(&mut stream, (false, local)).await?;
            return Ok(Ready::clear(stream, codec));
        }
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.current();
        let config = if is_web { &tls.web } else { &tls.server };
        let mut stream = TlsAcceptor::from(Arc::clone(config)).accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates();
        if let Some(proof) = chain.and_then(|chain| tls.clients.proof(chain)) {
            self.certify(flow, &proof);
        }
        let codec = match is_web {
            true => self.upgrade(&mut stream, (true, local)).await?,
            false => Codec::stream(),
        };
        Ok(Ready::secure(stream.into_inner(), codec))
    }

    async fn upgrade(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        (secure, local): (bool, Option<IpAddr>),
    ) -> io::Result<Codec> {
        let snapshot = self.engine.snapshot();
        let place = ws::Place { secure, local, domains: &snapshot.domains };
        match ws::upgrade(stream, (&self.origins, &place)).await? {
            Ok(rest) => Ok(Codec::web_socket(&rest)),
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
        let (domain_of, tcp) = (Domain::for_address(flow.remote), Some(Protocol::TCP));
        let socket = Socket::new(domain_of, Type::STREAM.nonblocking(), tcp)?;
        prepare(&socket)?;
        if let Some(ip) = local {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        let stream = TcpSocket::from_std_stream(socket.into()).connect(flow.remote).await?;
        Ok((stream, domain))
    }

    /// Connects, and shakes hands over TLS.
    ///
    /// # Errors
    /// Why there is no connection; `None` if that took too long.
    async fn reach(&self, flow: &Flow) -> Result<Ready, Option<io::Error>> {
        let opened = timeout(limits::CONNECT, self.open(flow)).await.map_err(|_| None)?;
        let (stream, domain) = opened.map_err(Some)?;
        let Some(domain) = domain else { return Ok(Ready::clear(stream, Codec::stream())) };
        match timeout(limits::HANDSHAKE, self.secure(&domain, stream)).await.map_err(|_| None)? {
            Ok(stream) => Ok(Ready::secure(stream.into_inner(), Codec::stream())),
            Err(reason) => {
                // Nothing was sent, and it is not tried in clear (G7).
                count(&self.engine.metrics.certificates_refused);
                warn!(event = "tls_failed", domain, remote = %flow.remote, %reason);
                Err(Some(reason))
            }
        }
    }

    async fn secure(&self, domain: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?.current();
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::clone(&tls.client)).connect(name, stream).await
    }
}
