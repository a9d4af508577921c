//! The messages of RFC 4475 and RFC 5118 sent to the running server, byte for byte but for the
//! address in one Route, over UDP and over TCP. What it does is compared with
//! `wire/tests/torture/expect.tsv`, and after each of them it answers an OPTIONS.
//!
//! The table's column `must` is what is expected, `may` what the RFC leaves to us. Their words:
//! a status; `FWD` for a copy that reaches the phone; `N400` for anything that takes the message
//! as well-formed; `DROP` for nothing at all.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_server::server::Startup;
use std::fs;
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};
use world::*;

/// Where we do what `may` allows, and why.
const CHOICES: &[(&str, u16)] = &[
    // They go to hosts and addresses that a server on loopback, with IPv4 alone, cannot reach.
    ("mult-ip-in-header", 500),
    ("ipv6-good", 500),
    ("port-ambiguous", 500),
    ("port-unambiguous", 500),
    ("via-received-param-with-delim", 500),
    ("via-received-param-no-delim", 500),
    ("ipv6-in-sdp", 500),
    ("mult-ip-in-sdp", 500),
    ("ipv6-correct-abnf-2-colons", 500),
    // RFC 5954 has withdrawn that grammar.
    ("ipv6-bug-abnf-3-colons", 400),
    // Over a stream, framing is lost without a Content-Length (RFC 3261 §18.3).
    ("inv2543", 400),
    // It comes from a peer that needs no password.
    ("regaut01", 200),
];

/// Accounts that the messages are for.
const USERS: &[&str] = &[
    "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com",
    "UserB@example.com",
    "kumiko@example.org",
    "remote-target@example.com",
    "sips%3Auser%40example.com@example.net",
    "t.watson@example.org",
    "user@example.com",
    "user@example.org",
    "user;par=u%40example.net@example.com",
    "null-%00-null@example.com",
    "watson@example.com",
    "j.user@example.com",
];

struct Row {
    name: String,
    must: String,
    bytes: Vec<u8>,
}

fn rows() -> Vec<Row> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/torture");
    let table = fs::read_to_string(folder.join("expect.tsv")).unwrap();
    let rows = table.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let name = columns[0];
        let files = ["rfc4475/*.wire.dat", "rfc4475/*.dat", "rfc5118/*.dat"];
        let file = files.iter().map(|file| folder.join(file.replace('*', name)));
        let bytes = fs::read(file.into_iter().find(|file| file.exists()).unwrap()).unwrap();
        Row { name: name.to_owned(), must: columns[4].to_owned(), bytes }
    })
    .collect()
}

/// A loopback address of this process, with sockets where answers may arrive: they go to the
/// port of the Via, whatever the source port was.
struct Place {
    sockets: Vec<UdpSocket>,
}

/// The messages come from the first port; what comes to a phone's port or a later one was
/// forwarded: `mpart01` has a Route to 5080, `ipv4-mapped-ipv6` is answered at 19823.
const PORTS: [u16; 6] = [5060, 5050, 6050, 5070, 5080, 19_823];
const PHONE: usize = 3;

impl Place {
    fn new(last: u8) -> Self {
        let pid = std::process::id();
        let ip = Ipv4Addr::new(127, 64 + (pid >> 8) as u8 % 64, pid as u8, last);
        // Another program may have 5060 of all addresses for a moment.
        let sockets = PORTS.map(|port| {
            let mut socket = None;
            until(|| {
                socket = UdpSocket::bind((ip, port)).ok();
                socket.is_some()
            });
            socket.unwrap_or_else(|| panic!("{ip}:{port} is taken"))
        });
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        Self { sockets: sockets.into() }
    }

    fn address(&self, at: usize) -> SocketAddr {
        self.sockets[at].local_addr().unwrap()
    }

    /// What has arrived from this server: requests and responses, at which socket.
    fn arrived(&self, server: SocketAddr) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        let mut buffer = [0; 65_535];
        for (at, socket) in self.sockets.iter().enumerate() {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                if from == server {
                    all.push((at, String::from_utf8_lossy(&buffer[..length]).into_owned()));
                }
            }
        }
        all
    }

    fn send(&self, server: SocketAddr, bytes: &[u8]) {
        self.sockets[0].send_to(bytes, server).unwrap();
    }
}

/// What became of a message.
#[derive(Default, Debug)]
struct Outcome {
    statuses: Vec<u16>,
    forwarded: bool,
    alive: bool,
}

impl Outcome {
    fn take(&mut self, at: usize, text: &str) {
        match status(text) {
            None => self.forwarded |= at >= PHONE,
            Some(200) if text.contains("Call-ID: alive") => self.alive = true,
            Some(100..=199) => {}
            Some(status) => self.statuses.push(status),
        }
    }

    /// Whether it is what these words of the table say.
    fn fits(&self, words: &str) -> bool {
        words.split(',').any(|word| match word {
            "FWD" => self.forwarded,
            "DROP" => self.statuses.is_empty() && !self.forwarded,
            "N400" => {
                let refusals = [400, 416, 420, 500, 505];
                self.forwarded || self.statuses.iter().any(|status| !refusals.contains(status))
            }
            status => self.statuses.contains(&status.parse().unwrap()),
        })
    }

    fn is_as_expected(&self, row: &Row) -> bool {
        let chosen = |&(name, status): &(&str, u16)| {
            name == row.name && self.statuses == [status] && !self.forwarded
        };
        self.fits(&row.must) || CHOICES.iter().any(chosen)
    }
}

fn status(text: &str) -> Option<u16> {
    text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
}

/// A request of our own, answered at the first port.
fn own(method: &str, uri: &str, to: &str, (call, place): (&str, &Place)) -> Vec<u8> {
    let (here, phone) = (place.address(0), place.address(PHONE));
    let user = to.rsplit_once('@').map_or("x", |(user, _)| user);
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bK{call};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{to}>;tag=t\r\nTo: <sip:{to}>\r\nCall-ID: {call}\r\n\
         CSeq: 1 {method}\r\nContact: <sip:{user}@{phone}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// IPv4 alone, so that what goes to documentation addresses of IPv6 stays here.
fn torture_startup() -> Startup {
    let mut startup = startup();
    startup.listen.retain(|endpoint| endpoint.address.is_some_and(|ip| ip.is_ipv4()));
    // The hosts are served too, or the system's resolver would be asked for them.
    let hosts = ["example.com", "example.org", "example.net"];
    let more = ["services.example.com", "chair-dnrc.example.com", "registrar.example.com"];
    startup.domains = hosts.iter().chain(&more).map(ToString::to_string).collect();
    let account = |user: &&str| Account {
        aor: AddressOfRecord::from_text(user).unwrap(),
        ha1: Ha1::default(),
        display_name: String::new(),
        enabled: true,
    };
    startup.accounts = USERS.iter().map(account).collect();
    startup
}

/// Sends one message to a server of its own and watches what becomes of it.
fn torture(row: &Row, over: Transport, place: &Place) -> Outcome {
    let server = serve(&torture_startup());
    let to = address(&server, Transport::Udp, V4);
    for (nth, user) in USERS.iter().enumerate() {
        let (_, domain) = user.rsplit_once('@').unwrap();
        let call = (&*format!("reg{nth}"), place);
        place.send(to, &own("REGISTER", &format!("sip:{domain}"), user, call));
    }
    let mut registered = 0;
    until(|| {
        registered += place.arrived(to).iter().filter(|(_, t)| status(t) == Some(200)).count();
        registered == USERS.len()
    });
    let route = format!("{}", place.address(PHONE + 1));
    let bytes = replaced(&row.bytes, b"127.0.0.1:5080", route.as_bytes());
    let mut outcome = Outcome::default();
    let mut stream = None;
    if over == Transport::Tcp {
        let mut connection = TcpStream::connect(address(&server, over, V4)).unwrap();
        write(&mut connection, &bytes);
        connection.set_nonblocking(true).unwrap();
        stream = Some(connection);
    } else {
        place.send(to, &bytes);
    }
    // From the same socket, so that it is handled after a datagram before it.
    place.send(to, &own("OPTIONS", &format!("sip:{to}"), "x@example.com", ("alive", place)));
    let mut text = String::new();
    until(|| {
        for (at, text) in place.arrived(to) {
            outcome.take(at, &text);
        }
        if let Some(stream) = &mut stream {
            for message in read(stream, &mut text) {
                outcome.take(0, &message);
            }
        }
        outcome.alive && outcome.is_as_expected(row)
    });
    server.shutdown(Duration::ZERO);
    outcome
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    match bytes.windows(old.len()).position(|window| window == old) {
        Some(at) => [&bytes[..at], new, &bytes[at + old.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// Reads what is there, and takes the whole messages off; none of ours here has a body.
fn read(stream: &mut TcpStream, text: &mut String) -> Vec<String> {
    let mut buffer = [0; 4_096];
    match stream.read(&mut buffer) {
        Ok(length) => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
        Err(error) => assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionReset),
            "{error}"
        ),
    }
    let mut messages = Vec::new();
    while let Some((message, rest)) = text.split_once("\r\n\r\n") {
        // A CRLF before it answers a ping (RFC 5626 §4.4.1).
        messages.push(message.trim_start().to_owned());
        *text = rest.to_owned();
    }
    messages
}

/// Looks again and again, for a while.
fn until(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !done() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn torture_all(over: Transport, last: u8) {
    let place = Place::new(last);
    let mut rows = rows();
    assert_eq!(rows.len(), 61);
    let mut wrong = Vec::new();
    for row in &mut rows {
        // On a stream, the rest of a message that is too short is waited for (RFC 3261 §18.3).
        if over == Transport::Tcp && row.name == "clerr" {
            row.must = "DROP".to_owned();
        }
        let outcome = torture(row, over, &place);
        if !outcome.alive || !outcome.is_as_expected(row) {
            wrong.push(format!("{}: {outcome:?}, not {}", row.name, row.must));
        }
    }
    assert!(wrong.is_empty(), "over {over}:\n{}", wrong.join("\n"));
}

#[test]
fn torture_messages_over_udp() {
    torture_all(Transport::Udp, 66);
}

#[test]
fn torture_messages_over_tcp() {
    torture_all(Transport::Tcp, 67);
}
