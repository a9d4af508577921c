//! Next hops by name: the servers that are called, and the phone that calls.

#![allow(dead_code, reason = "each test file uses its part")]

use crate::world::{self, LONG, V4, address as listener, serve, udp_to};
use crate::zone::{Reply, Zone, address, naptr, srv};
use hickory_proto::rr::RecordType;
use ringway_core::flow::Transport;
use ringway_server::server::{Running, Startup};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const NOTHING: Reply = Reply::Say(Vec::new());
/// What needs no waiting takes less, also on a busy machine.
pub(crate) const FAST: Duration = Duration::from_millis(1_500);
/// All of a look-up, and some time for a busy machine.
pub(crate) const IN_TIME: Duration = Duration::from_millis(5_500);
pub(crate) const SERVER_ERROR: u16 = 500;
pub(crate) const OK: u16 = 200;
pub(crate) const FORBIDDEN: u16 = 403;
pub(crate) const BUSY: u16 = 486;
pub(crate) const UNAVAILABLE: u16 = 503;

/// A server that asks this name server.
pub(crate) fn serve_with(zone: &Zone) -> Running {
    serve(&Startup { dns: vec![zone.address], ..world::startup() })
}

/// Another SIP server: it answers every request in the same way.
pub(crate) struct Far {
    pub(crate) at: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Far {
    pub(crate) fn answering(status: u16) -> Self {
        Self::on(V4, Some(status))
    }

    /// One on which everything is lost.
    pub(crate) fn silent() -> Self {
        Self::on(V4, None)
    }

    pub(crate) fn on(ip: &str, status: Option<u16>) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let (at, heard) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counter = Arc::downgrade(&heard);
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 65_535];
            loop {
                let Some(counter) = counter.upgrade() else { return };
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with("ACK ") {
                    continue;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                if let Some(status) = status {
                    socket.send_to(answer(&text, status).as_bytes(), from).unwrap();
                }
            }
        });
        Self { at, heard }
    }

    pub(crate) fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

pub(crate) fn answer(request: &str, status: u16) -> String {
    let kept = ["Via:", "From:", "Call-ID:", "CSeq:"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let mut text = format!("SIP/2.0 {status} Said\r\n");
    lines.for_each(|line| text += &format!("{line}\r\n"));
    let to = request.lines().find(|line| line.starts_with("To:")).unwrap();
    text + &format!("{to};tag=far\r\nContent-Length: 0\r\n\r\n")
}

/// A phone that the server trusts.
pub(crate) struct Phone(pub(crate) UdpSocket);

static NUMBER: AtomicU32 = AtomicU32::new(1);

impl Phone {
    pub(crate) fn of(server: &Running) -> Self {
        Self(udp_to(listener(server, Transport::Udp, V4)))
    }

    pub(crate) fn send(&self, method: &str, uri: &str) {
        self.0.send(self.text(method, uri).as_bytes()).unwrap();
    }

    pub(crate) fn text(&self, method: &str, uri: &str) -> String {
        let (number, from) = (NUMBER.fetch_add(1, Ordering::Relaxed), self.0.local_addr().unwrap());
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK-dns-{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=a{number}\r\nTo: <{uri}>\r\n\
             Call-ID: dns-{number}\r\nCSeq: 1 {method}\r\nContact: <sip:alice@{from}>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// The next final answer, and how long it took.
    pub(crate) fn hear(&self) -> (u16, Duration) {
        let (start, mut buffer) = (Instant::now(), [0; 65_535]);
        self.0.set_read_timeout(Some(LONG * 2)).unwrap();
        loop {
            let length = self.0.recv(&mut buffer).expect("an answer");
            let text = String::from_utf8_lossy(&buffer[..length]);
            let status = text.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
            if status >= OK {
                return (status, start.elapsed());
            }
        }
    }

    pub(crate) fn ask(&self, method: &str, uri: &str) -> (u16, Duration) {
        self.send(method, uri);
        self.hear()
    }

    /// A message that must arrive at once.
    pub(crate) fn reaches(&self, uri: &str) {
        let (status, after) = self.ask("MESSAGE", uri);
        assert!(status == OK && after < FAST, "{uri}: {status} after {after:?}");
    }

    /// A message that cannot be delivered, and fails in time.
    pub(crate) fn fails(&self, uri: &str) -> Duration {
        let (status, after) = self.ask("MESSAGE", uri);
        assert!(status == SERVER_ERROR && after < IN_TIME, "{uri}: {status} after {after:?}");
        after
    }
}

/// A domain whose NAPTR, SRV and address records lead to `port` on this machine.
pub(crate) fn whole(name: &str, kind: RecordType, port: u16) -> Reply {
    match (name, kind) {
        ("a.test", RecordType::NAPTR) => {
            Reply::Say(vec![naptr("a.test", "SIP+D2U", "_sip._udp.b.test")])
        }
        ("_sip._udp.b.test", RecordType::SRV) => {
            Reply::Say(vec![srv("_sip._udp.b.test", 1, port, "h.test")])
        }
        ("h.test", RecordType::A) => Reply::Say(vec![address("h.test", V4)]),
        _ => NOTHING,
    }
}
