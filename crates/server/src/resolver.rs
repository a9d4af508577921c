//! Host names to flows, for partitions that ask. Addresses are answered on the spot; names go to
//! the system's resolver, off the workers, with a deadline.

use crate::engine::{Engine, Work};
use crate::limits;
use ringway_core::boundary::{Answer, AskId};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::locate::NextHop;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Asks the system for addresses.
#[derive(Debug)]
pub struct Resolver {
    engine: Weak<Engine>,
    listeners: Arc<[Listener]>,
    runtime: Handle,
    under_way: Arc<Semaphore>,
}

impl Resolver {
    /// Answers go to `engine`.
    pub(crate) fn new(engine: &Arc<Engine>, runtime: Handle) -> Self {
        Self {
            engine: Arc::downgrade(engine),
            listeners: Arc::clone(engine.listeners()),
            runtime,
            under_way: Arc::new(Semaphore::new(limits::LOOKUPS)),
        }
    }

    /// Begins a look-up. The error is an answer that is known already.
    pub(crate) fn ask(&self, (partition, ask): (u32, AskId), hop: &NextHop) -> Result<(), Answer> {
        let unnamed = if hop.secure { Transport::Tls } else { Transport::Udp };
        let transport = hop.transport.unwrap_or(unnamed);
        let port = hop.port.unwrap_or(transport.default_port());
        let host = std::str::from_utf8(&hop.host).map_err(|_| Answer::Failed)?;
        if let Ok(ip) = host.parse::<IpAddr>() {
            let flows = flow_to(&self.listeners, transport, SocketAddr::new(ip, port));
            return Err(Answer::Resolved(flows.into_iter().collect()));
        }
        let permit = Arc::clone(&self.under_way).try_acquire_owned().map_err(|_| Answer::Failed)?;
        let (engine, listeners) = (self.engine.clone(), Arc::clone(&self.listeners));
        let host = host.to_owned();
        self.runtime.spawn(async move {
            let found = timeout(limits::LOOKUP, tokio::net::lookup_host((host, port))).await;
            let flows = match found {
                Ok(Ok(addresses)) => {
                    addresses.filter_map(|remote| flow_to(&listeners, transport, remote)).collect()
                }
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            drop(permit);
            if let Some(engine) = engine.upgrade() {
                let mut work = Work::default();
                engine.answered(partition, ask, Answer::Resolved(flows), &mut work);
                engine.flush(&mut work);
            }
        });
        Ok(())
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
