//! Next hops to flows, for partitions that ask (RFC 3263). What is known is answered on the spot;
//! what is not is asked for on the runtime, off the workers, with a deadline.
//!
//! ```text
//! Question::Resolve -> core::locate::Search <-> names: cache, hosts file <-> name servers
//!                           └─> targets -> a listener for each -> those that failed lately last
//! ```

mod cache;
mod names;
mod records;

use crate::engine::{Engine, Work};
use crate::limits;
use crate::metrics::{Metrics, count};
use crate::tls::CertifiedNames;
use names::Names;
use ringway_core::boundary::{Answer, AskId};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::locate::{Avoided, NextHop, Records, Search, Target, Usable};
use ringway_core::snapshot::Snapshot;
use ringway_core::time::Instant as Now;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Finds next hops.
#[derive(Debug)]
pub struct Resolver {
    engine: Weak<Engine>,
    finder: Arc<Finder>,
    runtime: Handle,
    under_way: Arc<Semaphore>,
}

/// What a search needs, whoever waits for it.
#[derive(Debug)]
struct Finder {
    listeners: Arc<[Listener]>,
    usable: Usable,
    /// What certificates must prove.
    certified: Arc<CertifiedNames>,
    names: Arc<Names>,
    avoided: Mutex<Avoided>,
    metrics: Arc<Metrics>,
}

impl Resolver {
    /// Answers go to `engine`. Without `servers` the system's own are asked.
    ///
    /// # Errors
    /// If names cannot be looked up at all.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        runtime: Handle,
        servers: &[SocketAddr],
    ) -> io::Result<Self> {
        let metrics = Arc::clone(&engine.metrics);
        let listeners = Arc::clone(engine.listeners());
        // Only a client opens a WebSocket.
        let opens = |l: &&Listener| l.transport.may_be_opened();
        let pairs = listeners.iter().filter(opens).map(|l| (l.transport, l.local.is_ipv4()));
        let usable = Usable::from_iter(pairs);
        let names = {
            let _inside = runtime.enter();
            Arc::new(Names::new(servers, Arc::clone(&metrics))?)
        };
        let certified = Arc::clone(&engine.certified);
        let avoided = Mutex::default();
        let finder = Arc::new(Finder { listeners, usable, certified, names, avoided, metrics });
        let under_way = Arc::new(Semaphore::new(limits::LOOKUPS));
        Ok(Self { engine: Arc::downgrade(engine), finder, runtime, under_way })
    }

    /// Begins a look-up. The error is an answer that is known already.
    pub(crate) fn ask(
        &self,
        now: Now,
        (partition, ask): (u32, AskId),
        hop: NextHop,
    ) -> Result<(), Answer> {
        let random = hop.seed.map_or_else(getrandom::u64, Ok).map_err(|_| Answer::Failed)?;
        if let Some(flows) = self.finder.known(now, &hop, random) {
            return Err(Answer::Resolved(flows));
        }
        let Ok(permit) = Arc::clone(&self.under_way).try_acquire_owned() else {
            count(&self.finder.metrics.lookups_refused);
            return Err(Answer::Failed);
        };
        let (engine, finder) = (self.engine.clone(), Arc::clone(&self.finder));
        self.runtime.spawn(async move {
            let targets = finder.search(&hop, random).await;
            drop(permit);
            if let Some(engine) = engine.upgrade() {
                let flows = finder.flows(engine.clock.now(), &hop, &targets);
                let mut work = Work::default();
                engine.answered(partition, ask, Answer::Resolved(flows), &mut work);
                engine.flush(&mut work);
            }
        });
        Ok(())
    }

    /// Looks a next hop up for a person. The thread waits.
    pub(crate) fn explain(&self, now: Now, snapshot: &Snapshot, hop: &NextHop) -> Vec<String> {
        let finder = &self.finder;
        let targets = self.runtime.block_on(finder.search(hop, 0));
        let flows = finder.flows(now, hop, &targets);
        if flows.is_empty() {
            return vec![format!("{} leads nowhere", String::from_utf8_lossy(&hop.host))];
        }
        let shown = |flow: &Flow| {
            let note = match () {
                () if !snapshot.may_reach(flow.remote.ip()) => ", which may not be called",
                () if finder.avoided().is_avoided(now, flow) => ", which failed lately",
                () => "",
            };
            format!("{} {}{note}", flow.transport, flow.remote)
        };
        flows.iter().map(shown).collect()
    }

    /// A next hop failed (RFC 3263 §4.3): all partitions try others first.
    pub(crate) fn avoid(&self, now: Now, flow: &Flow, retry_after_s: Option<u32>) {
        count(&self.finder.metrics.next_hops_failed);
        self.finder.avoided().note(now, flow, retry_after_s);
    }
}

impl Finder {
    fn avoided(&self) -> MutexGuard<'_, Avoided> {
        self.avoided.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The flows for a next hop, if nobody has to be asked for them.
    fn known(&self, now: Now, hop: &NextHop, random: u64) -> Option<Vec<Flow>> {
        let mut search = Search::new(hop, &self.usable, random);
        while !search.wanted().is_empty() {
            let known: Option<Vec<Records>> =
                search.wanted().iter().map(|query| self.names.known(query)).collect();
            search.answer(known?);
        }
        Some(self.flows(now, hop, search.targets()))
    }

    /// Searches, within [`limits::LOOKUP`].
    async fn search(&self, hop: &NextHop, random: u64) -> Vec<Target> {
        let end = Instant::now() + limits::LOOKUP;
        let mut search = Search::new(hop, &self.usable, random);
        for steps_left in (1..=limits::LOOKUP_STEPS).rev() {
            if search.wanted().is_empty() {
                break;
            }
            // One step may not use up the time of those that follow.
            let left = end.saturating_duration_since(Instant::now());
            let patience = left / steps_left;
            let answers = self.names.ask(search.wanted(), Instant::now() + patience).await;
            search.answer(answers);
        }
        search.targets().to_vec()
    }

    /// Flows to targets, over the listeners that fit, those that failed lately last.
    fn flows(&self, now: Now, hop: &NextHop, targets: &[Target]) -> Vec<Flow> {
        let to = |target: &Target| {
            let flow = flow_to(&self.listeners, target.transport, target.remote)?;
            let certified = match target.transport.is_secure() {
                true => self.certified.note(&String::from_utf8_lossy(&hop.host)),
                false => CertifiedName::NONE,
            };
            Some(Flow { certified, ..flow })
        };
        let mut flows: Vec<Flow> = targets.iter().filter_map(to).collect();
        if hop.seed.is_none() {
            self.avoided().put_last(now, &mut flows);
        }
        flows
    }
}

/// The flow to a far address, over the listener that the kernel's routes lead through.
fn flow_to(listeners: &[Listener], transport: Transport, remote: SocketAddr) -> Option<Flow> {
    let fits = |l: &&Listener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
    let first = listeners.iter().position(|l| fits(&l))?;
    // The kernel is asked only where there is a choice.
    let has_choice = listeners[first + 1..].iter().any(|l| fits(&l));
    let local = if has_choice { source_for(remote) } else { None };
    let by_route = listeners.iter().position(|l| fits(&l) && Some(l.local.ip()) == local);
    let socket = by_route.unwrap_or(first);
    let socket = SocketId(socket as u16);
    Some(Flow {
        socket,
        transport,
        connection: ConnectionId::NONE,
        remote,
        certified: CertifiedName::NONE,
    })
}

/// The address that the kernel would send from. Connecting a datagram socket sends nothing.
fn source_for(remote: SocketAddr) -> Option<IpAddr> {
    let any = if remote.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
