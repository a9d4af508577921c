//! An authoritative name server on loopback that says what it is told to say, or worse.

#![allow(dead_code, reason = "each test file uses its part")]

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NAPTR, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it does with a question.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// These records, and nothing else.
    Say(Vec<Record>),
    /// The name does not exist.
    NoName,
    /// It fails.
    Fail,
    /// Nothing, ever.
    Silence,
    /// The same after a while.
    Late(Duration, Vec<Record>),
    /// An answer to a question with another number.
    WrongId(Vec<Record>),
    /// An answer to another question.
    WrongQuestion(Vec<Record>),
    /// By datagram nothing but that there is more.
    Truncated(Vec<Record>),
    /// Records in all sections.
    Stuffed(Vec<Record>, Vec<Record>),
    /// These bytes behind the number of the question.
    Bytes(Vec<u8>),
}

type Script = Arc<Mutex<Box<dyn Fn(&str, RecordType) -> Reply + Send>>>;

/// The server.
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    script: Script,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    stop: Arc<AtomicBool>,
}

impl Zone {
    pub(crate) fn start(script: impl Fn(&str, RecordType) -> Reply + Send + 'static) -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let script: Script = Arc::new(Mutex::new(Box::new(script)));
        let (asked, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let zone = Self { address, script, asked, stop };
        let (datagrams, streams) = (zone.copy(), zone.copy());
        thread::spawn(move || datagrams.serve_datagrams(&udp));
        thread::spawn(move || streams.serve_streams(&tcp));
        zone
    }

    fn copy(&self) -> Self {
        Self {
            address: self.address,
            script: Arc::clone(&self.script),
            asked: Arc::clone(&self.asked),
            stop: Arc::clone(&self.stop),
        }
    }

    /// From now on it says this.
    pub(crate) fn say(&self, script: impl Fn(&str, RecordType) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// How often it was asked this.
    pub(crate) fn asked(&self, name: &str, kind: RecordType) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(n, k)| n == name && *k == kind).count()
    }

    fn serve_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4_096];
        while !self.stop.load(Ordering::Relaxed) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            let Some((question, reply)) = self.reply(&buffer[..length]) else { continue };
            let (socket, is_late) = (socket.try_clone().unwrap(), matches!(reply, Reply::Late(..)));
            let send = move || {
                if let Some(bytes) = bytes_of(&question, reply, false) {
                    let _ = socket.send_to(&bytes, from);
                }
            };
            if is_late {
                thread::spawn(send);
            } else {
                send();
            }
        }
    }

    fn serve_streams(&self, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let zone = self.copy();
            thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
                    let Ok(()) = stream.read_exact(&mut buffer) else { return };
                    let Some((question, reply)) = zone.reply(&buffer) else { continue };
                    let Some(bytes) = bytes_of(&question, reply, true) else { continue };
                    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &bytes].concat());
                }
            });
        }
    }

    fn reply(&self, bytes: &[u8]) -> Option<(Message, Reply)> {
        let question = Message::from_vec(bytes).ok()?;
        let query = question.queries.first()?;
        let name = query.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.').to_owned();
        self.asked.lock().unwrap().push((name.clone(), query.query_type()));
        let reply = (self.script.lock().unwrap())(&name, query.query_type());
        Some((question, reply))
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        // The copies that serve end when the one that was handed out does.
        if Arc::strong_count(&self.stop) > 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// A datagram socket and a listener on the same free port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            udp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            return (udp, tcp);
        }
    }
    panic!("no port that is free for both");
}

fn bytes_of(question: &Message, reply: Reply, is_stream: bool) -> Option<Vec<u8>> {
    let query = question.queries.first()?.clone();
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.recursion_available = true;
    message.add_query(query.clone());
    let records = match reply {
        Reply::Say(records) => records,
        Reply::Silence => return None,
        Reply::NoName => {
            message.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(name("ns.test"), name("root.test"), 1, 2, 3, 4, 60);
            message.add_authority(Record::from_rdata(name("test"), 60, RData::SOA(soa)));
            Vec::new()
        }
        Reply::Fail => {
            message.metadata.response_code = ResponseCode::ServFail;
            Vec::new()
        }
        Reply::Late(after, records) => {
            thread::sleep(after);
            records
        }
        Reply::WrongId(records) => {
            message.metadata.id = question.id.wrapping_add(1);
            records
        }
        Reply::WrongQuestion(records) => {
            message.queries.clear();
            let mut other = query;
            other.set_name(name("other.test"));
            message.add_query(other);
            records
        }
        Reply::Truncated(_) if !is_stream => {
            message.metadata.truncation = true;
            Vec::new()
        }
        Reply::Truncated(records) => records,
        Reply::Stuffed(records, more) => {
            more.iter().cloned().for_each(|record| {
                message.add_additional(record.clone());
                message.add_authority(record);
            });
            records
        }
        Reply::Bytes(bytes) => return Some([&question.id.to_be_bytes()[..], &bytes].concat()),
    };
    records.into_iter().for_each(|record| {
        message.add_answer(record);
    });
    message.to_vec().ok()
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

/// Good for one minute.
const TTL: u32 = 60;

pub(crate) fn address(owner: &str, ip: &str) -> Record {
    let data = match ip.parse().unwrap() {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name(owner), TTL, data)
}

pub(crate) fn alias(owner: &str, to: &str) -> Record {
    Record::from_rdata(name(owner), TTL, RData::CNAME(CNAME(name(to))))
}

pub(crate) fn srv(owner: &str, priority: u16, port: u16, host: &str) -> Record {
    weighted(owner, (priority, 0), port, host)
}

/// The same with a weight.
pub(crate) fn weighted(owner: &str, rank: (u16, u16), port: u16, host: &str) -> Record {
    let data = SRV::new(rank.0, rank.1, port, name(host));
    Record::from_rdata(name(owner), TTL, RData::SRV(data))
}

pub(crate) fn naptr(owner: &str, service: &str, replacement: &str) -> Record {
    let (flags, service) = (b"s".to_vec(), service.as_bytes().to_vec());
    let data = NAPTR::new(1, 1, flags.into(), service.into(), [].into(), name(replacement));
    Record::from_rdata(name(owner), TTL, RData::NAPTR(data))
}

/// The same record, good for so many seconds.
pub(crate) fn lasting(mut record: Record, ttl_s: u32) -> Record {
    record.ttl = ttl_s;
    record
}
