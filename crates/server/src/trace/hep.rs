//! HEP3, the Homer Encapsulation Protocol: a copy of each message, with where it passed and when,
//! for a collector elsewhere. A packet is `HEP3`, its length, and chunks: vendor, type, length,
//! value; the vendor of all that we write is 0, the generic one. Numbers are big-endian.

use super::{Record, Way, mask};
use crate::limits;
use crate::metrics::{Metrics, count};
use ringway_core::flow::{Listener, Transport};
use ringway_wire::{Framing, Index, parse};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tracing::warn;

/// The types of chunks, in the order in which we write them.
mod chunk {
    pub(super) const FAMILY: u16 = 0x01;
    pub(super) const PROTOCOL: u16 = 0x02;
    pub(super) const SOURCE_V4: u16 = 0x03;
    pub(super) const DESTINATION_V4: u16 = 0x04;
    pub(super) const SOURCE_V6: u16 = 0x05;
    pub(super) const DESTINATION_V6: u16 = 0x06;
    pub(super) const SOURCE_PORT: u16 = 0x07;
    pub(super) const DESTINATION_PORT: u16 = 0x08;
    pub(super) const SECONDS: u16 = 0x09;
    pub(super) const MICROSECONDS: u16 = 0x0a;
    pub(super) const TYPE: u16 = 0x0b;
    pub(super) const AGENT: u16 = 0x0c;
    pub(super) const KEY: u16 = 0x0e;
    pub(super) const PAYLOAD: u16 = 0x0f;
    pub(super) const CORRELATION: u16 = 0x11;
}

/// Families and protocols as the system numbers them, and the type of payload that SIP is.
const FAMILY_V4: u8 = 2;
const FAMILY_V6: u8 = 10;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
const TYPE_SIP: u8 = 1;

/// A collector.
#[derive(Clone, PartialEq, Eq)]
pub struct Collector {
    /// Where it listens, over UDP.
    pub to: SocketAddr,
    /// What we are called there.
    pub id: u32,
    /// What it wants to see of us; empty: nothing.
    pub password: String,
    /// Send what proves passwords, and keys of media, unmasked.
    pub secrets: bool,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("to", &self.to).finish_non_exhaustive()
    }
}

/// Why a message cannot be exported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cannot {
    /// Its packet would have more than 65,535 bytes.
    TooLong,
}

/// A message as a packet; `local` is the address of the listener that it passed.
///
/// # Errors
/// If it does not fit.
pub fn packet(
    record: &Record,
    local: SocketAddr,
    collector: &Collector,
) -> Result<Vec<u8>, Cannot> {
    let remote = record.flow.remote;
    let (source, destination) = match record.way {
        Way::In => (remote, local),
        Way::Out => (local, remote),
    };
    let protocol = match record.flow.transport {
        Transport::Udp => PROTOCOL_UDP,
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => PROTOCOL_TCP,
    };
    let at = record.at.as_micros();
    let mut out = b"HEP3\0\0".to_vec();
    let mut put = |kind: u16, value: &[u8]| -> Result<(), Cannot> {
        let length = u16::try_from(value.len() + 6).map_err(|_| Cannot::TooLong)?;
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
        Ok(())
    };
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            put(chunk::FAMILY, &[FAMILY_V4])?;
            put(chunk::PROTOCOL, &[protocol])?;
            put(chunk::SOURCE_V4, &source.octets())?;
            put(chunk::DESTINATION_V4, &destination.octets())?;
        }
        (source, destination) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            put(chunk::FAMILY, &[FAMILY_V6])?;
            put(chunk::PROTOCOL, &[protocol])?;
            put(chunk::SOURCE_V6, &octets(source))?;
            put(chunk::DESTINATION_V6, &octets(destination))?;
        }
    }
    put(chunk::SOURCE_PORT, &source.port().to_be_bytes())?;
    put(chunk::DESTINATION_PORT, &destination.port().to_be_bytes())?;
    put(chunk::SECONDS, &((at / 1_000_000) as u32).to_be_bytes())?;
    put(chunk::MICROSECONDS, &((at % 1_000_000) as u32).to_be_bytes())?;
    put(chunk::TYPE, &[TYPE_SIP])?;
    put(chunk::AGENT, &collector.id.to_be_bytes())?;
    if !collector.password.is_empty() {
        put(chunk::KEY, collector.password.as_bytes())?;
    }
    let mut index = Index::new();
    if let Ok(message) = parse(&record.bytes, &mut index, Framing::Datagram) {
        put(chunk::CORRELATION, message.call_id())?;
    }
    match collector.secrets {
        true => put(chunk::PAYLOAD, &record.bytes)?,
        false => put(chunk::PAYLOAD, &mask(&record.bytes))?,
    }
    let length = u16::try_from(out.len()).map_err(|_| Cannot::TooLong)?;
    out[4..6].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// Sends messages to a collector, from a thread of its own.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Option<SyncSender<Record>>,
    thread: Option<JoinHandle<()>>,
    metrics: Arc<Metrics>,
}

impl Exporter {
    pub(super) fn start(
        collector: Collector,
        listeners: Arc<[Listener]>,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let any = if collector.to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(collector.to)?;
        let (queue, records) = sync_channel(limits::HEP_QUEUE);
        let sender = Sender { collector, socket, listeners, metrics: Arc::clone(&metrics) };
        let thread =
            thread::Builder::new().name("hep".into()).spawn(move || sender.serve(&records))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), metrics })
    }

    /// Hands over a message; what does not fit into the queue is lost.
    pub(super) fn export(&self, record: &Record) {
        let taken = self.queue.as_ref().map(|queue| queue.try_send(record.clone()).is_ok());
        if taken == Some(false) {
            count(&self.metrics.hep_lost);
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // What is queued is still sent.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            let _ = thread.join();
        }
    }
}

struct Sender {
    collector: Collector,
    socket: UdpSocket,
    listeners: Arc<[Listener]>,
    metrics: Arc<Metrics>,
}

impl Sender {
    fn serve(&self, records: &Receiver<Record>) {
        let mut told: Option<Instant> = None;
        while let Ok(record) = records.recv() {
            let listener = self.listeners.get(usize::from(record.flow.socket.0));
            let Some(local) = listener.map(|listener| listener.local) else { continue };
            let sent = match packet(&record, local, &self.collector) {
                Ok(packet) => self.socket.send(&packet),
                Err(Cannot::TooLong) => Err(io::ErrorKind::FileTooLarge.into()),
            };
            match sent {
                Ok(_) => count(&self.metrics.hep_sent),
                Err(reason) => {
                    count(&self.metrics.hep_unsent);
                    if told.is_none_or(|told| told.elapsed() > limits::HEP_SILENCE) {
                        told = Some(Instant::now());
                        warn!(event = "hep_failed", to = %self.collector.to, %reason);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId};

    const TEXT: &[u8] =
        b"BYE sip:b SIP/2.0\r\ni: c7\r\nAuthorization: Digest response=\"ab\"\r\n\r\n";

    fn record(transport: Transport, remote: &str, bytes: &[u8]) -> Record {
        let flow = Flow {
            socket: SocketId(0),
            transport,
            connection: ConnectionId::NONE,
            remote: remote.parse().expect("an address"),
            certified: CertifiedName::NONE,
        };
        let at = ringway_core::time::Instant::from_micros(0x0102_0304 * 1_000_000 + 0x0a0b0);
        Record { number: 1, at, way: Way::In, flow, again: false, bytes: bytes.into() }
    }

    fn collector(password: &str, secrets: bool) -> Collector {
        let to = ([127, 0, 0, 1], 9060).into();
        Collector { to, id: 0x07d1, password: password.into(), secrets }
    }

    #[test]
    fn a_packet_byte_by_byte() {
        let record = record(Transport::Udp, "198.51.100.9:5062", TEXT);
        let local = ([192, 0, 2, 1], 5060).into();
        let packet = packet(&record, local, &collector("pw", true)).expect("short");
        let expected: Vec<u8> = [
            &b"HEP3"[..],
            &[0x00, 0xb4],
            &[0, 0, 0, 0x01, 0, 7, 2],
            &[0, 0, 0, 0x02, 0, 7, 17],
            &[0, 0, 0, 0x03, 0, 10, 198, 51, 100, 9],
            &[0, 0, 0, 0x04, 0, 10, 192, 0, 2, 1],
            &[0, 0, 0, 0x07, 0, 8, 0x13, 0xc6],
            &[0, 0, 0, 0x08, 0, 8, 0x13, 0xc4],
            &[0, 0, 0, 0x09, 0, 10, 1, 2, 3, 4],
            &[0, 0, 0, 0x0a, 0, 10, 0, 0, 0xa0, 0xb0],
            &[0, 0, 0, 0x0b, 0, 7, 1],
            &[0, 0, 0, 0x0c, 0, 10, 0, 0, 0x07, 0xd1],
            &[0, 0, 0, 0x0e, 0, 8, b'p', b'w'],
            &[0, 0, 0, 0x11, 0, 8, b'c', b'7'],
            &[0, 0, 0, 0x0f, 0, 6 + TEXT.len() as u8],
            TEXT,
        ]
        .concat();
        assert_eq!(packet, expected);
    }

    #[test]
    fn v6_streams_and_what_goes_out() {
        let mut record = record(Transport::Wss, "[2001:db8::9]:40000", TEXT);
        record.way = Way::Out;
        let local = "[2001:db8::1]:443".parse().expect("an address");
        let packet = packet(&record, local, &collector("", true)).expect("short");
        let has = |chunk: &[u8]| packet.windows(chunk.len()).any(|window| window == chunk);
        assert!(has(&[0, 0, 0, 0x01, 0, 7, 10]) && has(&[0, 0, 0, 0x02, 0, 7, 6]));
        let source =
            [0, 0, 0, 0x05, 0, 22, 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(has(&source) && has(&[0, 0, 0, 0x07, 0, 8, 0x01, 0xbb]));
        assert!(!has(&[0, 0, 0, 0x0e, 0]), "no key where no password is");
    }

    #[test]
    fn j11_secrets_do_not_leave_unless_they_are_asked_for() {
        let record = record(Transport::Udp, "198.51.100.9:5062", TEXT);
        let local = ([192, 0, 2, 1], 5060).into();
        let has = |secrets, text: &[u8]| {
            let packet = packet(&record, local, &collector("pw", secrets)).expect("short");
            packet.windows(text.len()).any(|window| window == text)
        };
        assert!(has(true, b"response=\"ab\"") && !has(false, b"response=\"ab\""));
        assert!(has(false, b"response=\"**\""));
        assert!(!format!("{:?}", collector("canary", true)).contains("canary"));
    }

    #[test]
    fn what_does_not_fit_is_not_cut() {
        let bytes = [b"BYE sip:b SIP/2.0\r\n\r\n".as_slice(), &vec![b'x'; 65_500]].concat();
        let record = record(Transport::Tcp, "198.51.100.9:5062", &bytes);
        let local = ([192, 0, 2, 1], 5060).into();
        assert_eq!(packet(&record, local, &collector("pw", true)), Err(Cannot::TooLong));
    }
}
