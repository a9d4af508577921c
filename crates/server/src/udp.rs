//! Datagrams: one socket per listener and worker on the same address, read and written in
//! batches.

mod unreachable;

use crate::engine::{Engine, Send, Work};
use crate::limits;
use crate::metrics::{count, count_many};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg,
};
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use ringway_core::keep_alive::KeepAlive;
use ringway_core::origin::is_believable;
use ringway_wire::{Framing, Index, parse};
use socket2::{Domain, Protocol, Socket, Type};
use std::array;
use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The UDP sockets of all listeners: for each listener one per worker, none for streams.
#[derive(Debug)]
pub struct Sockets {
    by_listener: Vec<Vec<UdpSocket>>,
}

impl Sockets {
    /// Takes the sockets in the order of the listeners.
    pub fn new(by_listener: Vec<Vec<UdpSocket>>) -> Self {
        Self { by_listener }
    }

    fn of_worker(&self, worker: usize) -> Vec<(SocketId, &UdpSocket)> {
        let own = |(at, sockets): (usize, &'_ Vec<UdpSocket>)| {
            sockets.get(worker).map(|_| (SocketId(at as u16), at))
        };
        let places: Vec<_> = self.by_listener.iter().enumerate().filter_map(own).collect();
        places.into_iter().map(|(id, at)| (id, &self.by_listener[at][worker])).collect()
    }

    /// Sends datagrams that all go through one socket, as many as possible with one call. Tells
    /// how many the kernel took: a datagram may be lost.
    pub(crate) fn send(&self, worker: usize, run: &[Send], bytes: &[u8]) -> usize {
        let Some(first) = run.first() else { return 0 };
        let listener = self.by_listener.get(usize::from(first.flow.socket.0));
        let Some(socket) = listener.and_then(|all| all.get(worker).or(all.first())) else {
            return 0;
        };
        if let [one] = run {
            let send = || socket.send_to(&bytes[one.bytes.clone()], one.flow.remote);
            // A full buffer may have room a moment later; an ICMP error was for an earlier one.
            return usize::from(send().or_else(|_| send()).is_ok());
        }
        ROOM.with_borrow_mut(|room| {
            run.chunks(limits::BATCH).map(|batch| room.send(socket, batch, bytes)).sum()
        })
    }
}

thread_local! {
    /// Used again for every batch. The headers point into themselves, as the kernel wants it, and
    /// stay on their thread.
    static ROOM: RefCell<Room> = RefCell::new(Room {
        headers: MultiHeaders::preallocate(limits::BATCH, None),
        addresses: Vec::with_capacity(limits::BATCH),
    });
}

/// What is handed to the kernel with a batch to send.
struct Room {
    headers: MultiHeaders<SockaddrStorage>,
    addresses: Vec<Option<SockaddrStorage>>,
}

impl Room {
    /// Sends at most [`limits::BATCH`] datagrams.
    fn send(&mut self, socket: &UdpSocket, batch: &[Send], bytes: &[u8]) -> usize {
        let text = |at: usize| batch.get(at).map_or(&[][..], |send| &bytes[send.bytes.clone()]);
        let slices: [_; limits::BATCH] = array::from_fn(|at| [IoSlice::new(text(at))]);
        self.addresses.clear();
        self.addresses.extend(batch.iter().map(|send| Some(send.flow.remote.into())));
        let none: [ControlMessage<'_>; 0] = [];
        let (mut at, mut sent, mut retried) = (0, 0, false);
        while at < batch.len() {
            let (slices, addresses) = (&slices[at..batch.len()], &self.addresses[at..]);
            let (fd, flags) = (socket.as_raw_fd(), MsgFlags::MSG_DONTWAIT);
            match sendmmsg(fd, &mut self.headers, slices, addresses, none, flags) {
                Ok(results) => {
                    let more = results.count().max(1);
                    (at, sent, retried) = (at + more, sent + more, false);
                }
                Err(Errno::EINTR) => {}
                Err(_) if !retried => retried = true,
                // The first one cannot be sent (no route, buffer full): it is lost, the others
                // need not be.
                Err(_) => (at, retried) = (at + 1, false),
            }
        }
        sent
    }
}

fn from_kernel(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
}

/// Binds one socket for each worker to the same address. Port 0 takes a free one for all.
///
/// # Errors
/// What the system says, with nothing bound.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let mut sockets: Vec<UdpSocket> = Vec::with_capacity(workers);
    for _ in 0..workers {
        let address = match sockets.first() {
            Some(first) => first.local_addr()?,
            None => address,
        };
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The first takes the port without sharing, or a second server would silently get half of
        // our messages; only then it is opened for our other workers.
        socket.set_reuse_port(!sockets.is_empty())?;
        // A smaller buffer than wished for is no reason not to start.
        let _ = socket.set_recv_buffer_size(limits::SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(limits::SOCKET_BUFFER);
        unreachable::listen(&socket, address.is_ipv4())?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.set_reuse_port(workers > 1)?;
        sockets.push(socket.into());
    }
    Ok(sockets)
}

/// The buffers of one worker.
struct Buffers {
    datagrams: Vec<Vec<u8>>,
    /// For each socket its own: the kernel leaves the length of the last address in them, and an
    /// IPv4 one is too short for the IPv6 one of another socket.
    headers: Vec<MultiHeaders<SockaddrStorage>>,
    lengths: Vec<(usize, Option<SocketAddr>)>,
}

impl Buffers {
    fn new(sockets: usize) -> Self {
        // Pages that no datagram reaches are never touched.
        let datagram = || vec![0; ringway_wire::limits::MESSAGE];
        Self {
            datagrams: (0..limits::BATCH).map(|_| datagram()).collect(),
            headers: (0..sockets).map(|_| MultiHeaders::preallocate(limits::BATCH, None)).collect(),
            lengths: Vec::with_capacity(limits::BATCH),
        }
    }

    /// Receives what is there, at most one batch.
    fn receive(&mut self, at: usize, socket: &UdpSocket) -> usize {
        self.lengths.clear();
        let mut buffers = self.datagrams.iter_mut();
        let mut buffer = || buffers.next().map_or(&mut [][..], |buffer| buffer);
        let mut slices: [_; limits::BATCH] = array::from_fn(|_| [IoSliceMut::new(buffer())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let received =
            recvmmsg(socket.as_raw_fd(), &mut self.headers[at], slices.iter_mut(), flags, None);
        // An error here is one of an earlier send (ICMP), or nothing to read.
        if let Ok(received) = received {
            for message in received {
                let from = message.address.as_ref().and_then(from_kernel);
                self.lengths.push((message.bytes, from));
            }
        }
        self.lengths.len()
    }
}

/// The life of a worker: receive, run, send, look at the clock.
pub fn work(engine: &Arc<Engine>, (worker, workers): (usize, usize), stop: &AtomicBool) {
    let sockets = engine.sockets.of_worker(worker);
    let mut buffers = Buffers::new(sockets.len());
    let mut work = Work::of_worker(worker);
    let mut index = Index::new();
    let timeout = PollTimeout::try_from(limits::TICK).unwrap_or(PollTimeout::ZERO);
    let mut polled: Vec<PollFd<'_>> =
        sockets.iter().map(|(_, socket)| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    while !stop.load(Ordering::Relaxed) {
        // Interrupted or not, what is readable is read below.
        let _ = poll(&mut polled, timeout);
        let snapshot = engine.snapshot();
        for (at, (polled, &(id, socket))) in polled.iter().zip(&sockets).enumerate() {
            if !polled.any().unwrap_or(false) {
                continue;
            }
            if polled.revents().is_some_and(|events| events.contains(PollFlags::POLLERR)) {
                unreachable::take(engine, socket, &mut work);
            }
            for _ in 0..limits::ROUNDS {
                let count = buffers.receive(at, socket);
                count_many(&engine.metrics.datagrams_received, count);
                for (datagram, &(length, from)) in buffers.datagrams.iter().zip(&buffers.lengths) {
                    let Some(remote) = from else { continue };
                    let flow = Flow {
                        socket: id,
                        transport: Transport::Udp,
                        connection: ConnectionId::NONE,
                        remote,
                        certified: CertifiedName::NONE,
                    };
                    take(engine, &snapshot, (flow, &datagram[..length]), (&mut index, &mut work));
                }
                engine.flush(&mut work);
                if count < limits::BATCH {
                    break;
                }
            }
        }
        engine.tick(worker, workers, &mut work);
    }
}

fn take(
    engine: &Engine,
    snapshot: &ringway_core::snapshot::Snapshot,
    (flow, datagram): (Flow, &[u8]),
    (index, work): (&mut Index, &mut Work),
) {
    if !is_believable(flow.remote, engine.listeners()) {
        return count(&engine.metrics.impossible_sources);
    }
    if let Some(what) = KeepAlive::read(datagram) {
        return engine.keep_alive(flow, what, work);
    }
    match parse(datagram, index, Framing::Datagram) {
        Ok(message) => engine.receive(snapshot, flow, message, work),
        Err(_) => count(&engine.metrics.not_sip),
    }
}
