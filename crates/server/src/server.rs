//! The running server: from a description of what to do to sockets, threads and partitions, and
//! back to nothing without losing what was promised.

use crate::accounts;
use crate::balancer::Balancers;
use crate::clock::Clock;
use crate::config::routing::Routing;
use crate::control::running::{ADMINISTRATOR, Pending, Running as Administration};
use crate::control::socket::{self as control, CannotControl, ControlSocket};
use crate::descriptors;
use crate::engine::{Engine, Parts, Work};
use crate::exposure::Reach;
use crate::limits;
use crate::listen::{self, CannotListen, Endpoint};
use crate::metrics::{Metrics, count};
use crate::resolver::Resolver;
use crate::tcp::{self, StreamLimits, Streams};
use crate::tls::{Names, Tls, TlsError, TlsSetup};
use crate::trace::{self, Tap};
use crate::udp::{self, Sockets};
use crate::ws::Origins;
use ringway_core::account::Account;
use ringway_core::boundary::{Answer, AskId, Command, CommitToken};
use ringway_core::flow::{Listener, SocketId};
use ringway_core::keys::Keys;
use ringway_core::snapshot::{Peer, Settings, Snapshot};
use ringway_store::{GroupCommit, Memory, Sqlite, Store, StoreError, Ticket};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle as Task;
use tracing::{error, info, warn};

/// What a server is started with; already checked.
#[derive(Clone, Debug)]
pub struct Startup {
    /// The domains we serve; the first is what our own addresses stand for.
    pub domains: Vec<String>,
    /// Where to listen.
    pub listen: Vec<Endpoint>,
    /// The address to announce instead of our own, behind address translation.
    pub advertise: Option<IpAddr>,
    /// Where accounts and bindings are kept.
    pub data: Data,
    /// Accounts known besides those in the store.
    pub accounts: Vec<Account>,
    /// Worker threads; 0 is one per processor.
    pub workers: usize,
    /// Numbers and choices of the core.
    pub settings: Settings,
    /// Who needs no password.
    pub peers: Vec<Peer>,
    /// Name servers to ask; none: those of the system.
    pub dns: Vec<SocketAddr>,
    /// How domains are served, and where other requests go.
    pub routing: Routing,
    /// What a stream connection may do.
    pub streams: StreamLimits,
    /// What is kept of the messages that pass, and where else they go.
    pub trace: trace::Settings,
    /// The load balancers before us, as address and prefix length: their connections begin with a
    /// PROXY header.
    pub balancers: Vec<(IpAddr, u8)>,
    /// Certificates, keys and trust.
    pub tls: TlsSetup,
    /// Pages of which origins may open a WebSocket besides those of our own domains.
    pub origins: Origins,
    /// Where the control socket stands; `None` is nowhere.
    pub control: Option<PathBuf>,
}

/// Where accounts and bindings are kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// In a folder, and there after a crash.
    Folder(PathBuf),
    /// In memory: nothing survives the process.
    Memory,
}

/// Why a server did not start.
#[derive(Debug)]
pub enum CannotStart {
    /// An address could not be had.
    Listen(CannotListen),
    /// The data could not be opened or read.
    Store(StoreError),
    /// The control socket could not be had.
    Control(CannotControl),
    /// A certificate or a key could not be had.
    Tls(TlsError),
    /// The system gave no thread, or no randomness.
    System(io::Error),
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Control(error) => error.fmt(f),
            Self::Tls(error) => write!(f, "no certificate for TLS: {error}"),
            Self::System(error) => write!(f, "the system refused to start us: {error}"),
        }
    }
}

impl std::error::Error for CannotStart {}

impl From<CannotListen> for CannotStart {
    fn from(error: CannotListen) -> Self {
        Self::Listen(error)
    }
}

impl From<CannotControl> for CannotStart {
    fn from(error: CannotControl) -> Self {
        Self::Control(error)
    }
}

impl From<StoreError> for CannotStart {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TlsError> for CannotStart {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for CannotStart {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A server that runs until it is shut down.
#[derive(Debug)]
pub struct Running {
    engine: Arc<Engine>,
    runtime: Runtime,
    accepting: Vec<Task<()>>,
    workers: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    control: Option<ControlSocket>,
    tls: Option<Arc<Tls>>,
}

/// Starts the server. When it returns, messages are answered.
///
/// # Errors
/// If an address, the data or a thread cannot be had; then nothing is left running.
pub fn start(startup: &Startup) -> Result<Running, CannotStart> {
    let clock = Clock::start();
    let workers = match startup.workers {
        0 => thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let bound = listen::bind(&startup.listen, startup.advertise, workers)?;
    let listeners: Arc<[Listener]> = bound.listeners.into();
    let mut store: Box<dyn Store> = match &startup.data {
        Data::Folder(folder) => Box::new(Sqlite::open(folder, Arc::clone(&listeners))?),
        Data::Memory => Box::new(Memory::new()),
    };
    let metrics = Arc::new(Metrics::default());
    let tap = Tap::open(&startup.trace, &listeners, &metrics)?;
    let keys = Keys::new(&store.secret()?);
    let snapshot = snapshot(startup, &mut *store, &keys)?;
    let engine = Arc::new(Engine::new(Parts {
        keys,
        seed: getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?,
        listeners,
        snapshot,
        sockets: Sockets::new(bound.udp),
        streams: descriptors::room_for(startup.streams),
        clock,
        metrics,
        tap,
        partitions: limits::PARTITIONS,
    }));
    let restored = restore(&engine, &mut *store)?;
    let tls = begin_tls(startup, &engine)?;
    // After the data: who has them is the one who may take the place of a stale socket.
    let control = startup.control.as_deref().map(control::bind).transpose()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("streams")
        .enable_all()
        .build()?;
    let pending = Arc::new(Pending::default());
    let answers = answers(&engine, &pending);
    let commits = GroupCommit::start(store, move || clock.now().as_secs(), answers)?;
    let resolver = Resolver::new(&engine, runtime.handle().clone(), &startup.dns)?;
    engine.connect(commits, resolver);
    let stop = Arc::new(AtomicBool::new(false));
    let administration =
        Administration::new(Arc::clone(&engine), pending, &startup.domains, tls.clone());
    let (accepting, threads) = (Vec::new(), Vec::new());
    let mut running = Running { engine, runtime, accepting, workers: threads, stop, control, tls };
    running.accepting = running.begin_streams(bound.tcp, startup)?;
    if let Err(error) = running.begin_workers(workers) {
        running.shutdown(Duration::ZERO);
        return Err(error.into());
    }
    running.begin_control(administration)?;
    running.tell_doors();
    info!(event = "ready", restored, workers, listeners = running.listeners().len());
    Ok(running)
}

fn snapshot(startup: &Startup, store: &mut dyn Store, keys: &Keys) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot {
        settings: startup.settings.clone(),
        peers: startup.peers.clone(),
        ..Snapshot::default()
    };
    store.accounts(&mut |account| snapshot.accounts.put(account))?;
    for account in &startup.accounts {
        snapshot.accounts.put(account.clone());
    }
    startup.routing.apply(&mut snapshot);
    accounts::set_domains(&mut snapshot, &startup.domains);
    snapshot.certify_peers(keys);
    Ok(snapshot)
}

/// Certificates, where somebody listens for TLS.
fn begin_tls(startup: &Startup, engine: &Engine) -> Result<Option<Arc<Tls>>, TlsError> {
    if !engine.listeners().iter().any(|listener| listener.transport.is_secure()) {
        return Ok(None);
    }
    let folder = match &startup.data {
        Data::Folder(folder) => Some(folder.clone()),
        Data::Memory => None,
    };
    let tls = Tls::new(&startup.tls, folder, &own_names(engine))?;
    tell_certificates(&tls);
    Ok(Some(Arc::new(tls)))
}

/// What a certificate of our own making vouches for.
fn own_names(engine: &Engine) -> Names {
    let snapshot = engine.snapshot();
    let first = snapshot.default_domain.iter();
    let domains = first.chain(&snapshot.domains);
    let mut names = Names::default();
    for domain in domains.filter_map(|domain| std::str::from_utf8(domain).ok()) {
        match domain.parse::<IpAddr>() {
            Ok(_) => {}
            Err(_) if names.domains.iter().any(|known| known == domain) => {}
            Err(_) => names.domains.push(domain.to_owned()),
        }
    }
    for listener in engine.listeners().iter().filter(|l| l.transport.is_secure()) {
        for ip in [listener.local.ip(), listener.public().ip()] {
            if !names.addresses.contains(&ip) {
                names.addresses.push(ip);
            }
        }
    }
    names
}

/// Says in the log until when our certificates are good.
fn tell_certificates(tls: &Tls) {
    let now = SystemTime::now();
    for said in &tls.current().certificates {
        let (names, days) = (said.names.join(" "), said.days_left(now));
        if said.needs_care(now) {
            warn!(event = "certificate", names, days, "it ends soon, or has ended");
        } else {
            info!(event = "certificate", names, days);
        }
    }
}

/// Reads certificates anew where they have changed; what is in force stays if that fails.
fn refresh_tls(engine: &Engine, tls: &Tls, always: bool) {
    match tls.refresh(&own_names(engine), always) {
        Ok(false) => {}
        Ok(true) => tell_certificates(tls),
        Err(reason) => {
            count(&engine.metrics.certificates_failed);
            error!(event = "certificate_failed", %reason, "what was loaded before stays in use");
        }
    }
}

/// Looks at the files of certificates for ever.
async fn watch_tls(engine: Arc<Engine>, tls: Arc<Tls>) {
    loop {
        tokio::time::sleep(limits::CERTIFICATE_WATCH).await;
        let (engine, tls) = (Arc::clone(&engine), Arc::clone(&tls));
        let looked = tokio::task::spawn_blocking(move || refresh_tls(&engine, &tls, false));
        if looked.await.is_err() {
            return;
        }
    }
}

/// Gives the partitions the bindings that are kept, but for those of nobody: one that was under
/// way when its account was removed may have been kept after it. Tells how many.
fn restore(engine: &Engine, store: &mut dyn Store) -> Result<u64, StoreError> {
    let (mut work, mut restored) = (Work::default(), 0);
    let now_s = engine.clock.now().as_secs();
    let snapshot = engine.snapshot();
    store.bindings(now_s, &mut |aor, binding| {
        if snapshot.accounts.find(&aor).is_none() {
            return;
        }
        restored += 1;
        let owner = aor.clone();
        engine.command_owner(&owner, Command::Restore(aor, Box::new(binding)), &mut work);
    })?;
    engine.flush(&mut work);
    Ok(restored)
}

/// What came of one request to the store.
type Outcome = (Ticket, Result<CommitToken, StoreError>);

/// What the thread of the store does with its results: tells the partitions that wait, and the
/// administrators.
fn answers(
    engine: &Arc<Engine>,
    pending: &Arc<Pending>,
) -> impl FnMut(Vec<Outcome>) + Send + 'static {
    let (engine, pending) = (Arc::downgrade(engine), Arc::clone(pending));
    let mut work = Work::default();
    move |results| {
        let Some(engine) = engine.upgrade() else { return };
        for ((partition, ask), result) in results {
            if partition == ADMINISTRATOR {
                pending.resolve(ask, result);
                continue;
            }
            let answer = match result {
                Ok(token) => Answer::Kept(token),
                Err(cause) => {
                    count(&engine.metrics.store_failures);
                    error!(event = "store_failed", reason = %cause);
                    Answer::Failed
                }
            };
            engine.answered(partition, AskId(ask), answer, &mut work);
        }
        engine.flush(&mut work);
    }
}

impl Running {
    fn begin_streams(
        &self,
        listeners: Vec<(u16, std::net::TcpListener)>,
        startup: &Startup,
    ) -> io::Result<Vec<Task<()>>> {
        let _inside = self.runtime.enter();
        let streams = Arc::new(Streams {
            engine: Arc::clone(&self.engine),
            tls: self.tls.clone(),
            origins: startup.origins.clone(),
            balancers: Balancers::new(
                startup.balancers.clone(),
                self.engine.connections.limits.connections,
            ),
        });
        if let Some(dials) = self.engine.connections.take_dials() {
            self.runtime.spawn(tcp::dial(Arc::clone(&streams), dials));
        }
        if let Some(tls) = &self.tls {
            self.runtime.spawn(watch_tls(Arc::clone(&self.engine), Arc::clone(tls)));
        }
        let begin = |(socket, listener)| {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let accept = tcp::accept(Arc::clone(&streams), SocketId(socket), listener);
            Ok(self.runtime.spawn(accept))
        };
        listeners.into_iter().map(begin).collect()
    }

    fn begin_control(&mut self, administration: Administration) -> io::Result<()> {
        if let Some(socket) = &self.control {
            let _inside = self.runtime.enter();
            let serve = control::serve(socket.listen()?, administration);
            self.accepting.push(self.runtime.spawn(serve));
        }
        Ok(())
    }

    fn begin_workers(&mut self, workers: usize) -> io::Result<()> {
        for worker in 0..workers {
            let (engine, stop) = (Arc::clone(&self.engine), Arc::clone(&self.stop));
            let work = move || udp::work(&engine, (worker, workers), &stop);
            let name = format!("worker {worker}");
            self.workers.push(thread::Builder::new().name(name).spawn(work)?);
        }
        Ok(())
    }

    /// Says in the log what listens where, and who can reach it.
    fn tell_doors(&self) {
        for listener in self.listeners() {
            let Listener { transport, local: address, advertised } = listener;
            let open_to = Reach::of(listener);
            match advertised {
                Some(to) => {
                    info!(event = "listening", %transport, %address, %open_to, advertised = %to)
                }
                None => info!(event = "listening", %transport, %address, %open_to),
            }
        }
        if let Some(control) = &self.control {
            let (path, open_to) = (control.path().display(), control.open_to());
            info!(event = "listening", transport = "control", %path, open_to);
        }
    }

    /// Reads certificates and keys anew; connections and calls go on with what they have.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            refresh_tls(&self.engine, tls, true);
        }
    }

    /// The sockets it listens on, with the ports it got.
    pub fn listeners(&self) -> &[Listener] {
        self.engine.listeners()
    }

    /// The partitions, to look at.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Takes nothing new, waits at most `patience` for what is under way, commits what waits and
    /// ends. Everything acknowledged is on disk when it returns.
    pub fn shutdown(self, patience: Duration) {
        info!(event = "stopping");
        for accepting in &self.accepting {
            accepting.abort();
        }
        drop(self.control);
        self.engine.tap.close();
        let drain = || Command::Drain { retry_after_s: limits::DRAIN_RETRY_S };
        self.engine.command_all(drain, &mut Work::default());
        let end = Instant::now() + patience;
        while Instant::now() < end && self.engine.is_busy() {
            thread::sleep(limits::TICK);
        }
        // The store first: what it commits last is still answered.
        self.engine.close_store();
        self.engine.connections.close_all();
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            // A worker that panicked has said so already.
            let _ = worker.join();
        }
        self.runtime.shutdown_timeout(limits::LAST_WORDS);
        info!(event = "stopped");
    }
}
