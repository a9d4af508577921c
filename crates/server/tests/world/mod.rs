//! What the live tests share: a server on free loopback ports, and messages for it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]
#![allow(dead_code, reason = "each test file uses its part")]

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_core::snapshot::{Peer, Settings};
use ringway_server::demo::Phone;
use ringway_server::listen::Endpoint;
use ringway_server::server::{Data, Running, Startup, start};
use ringway_server::tcp::StreamLimits;
use ringway_server::tls::TlsSetup;
use ringway_server::trace;
use ringway_server::ws::Origins;
use socket2::{Domain, Socket, Type};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(10);
pub(crate) const V4: &str = "127.0.0.1";
pub(crate) const V6: &str = "::1";

/// UDP and TCP on both loopback addresses; whoever calls from there is trusted.
pub(crate) fn startup() -> Startup {
    let endpoint =
        |transport, ip: &str| Endpoint { transport, address: Some(ip.parse().unwrap()), port: 0 };
    let peer = Peer {
        name: "loopback".into(),
        networks: vec![(V4.parse().unwrap(), 8), (V6.parse().unwrap(), 128)],
        may_register: true,
        trust_udp: true,
        ..Peer::default()
    };
    let account = Account {
        aor: AddressOfRecord::from_text("bob@example.org").unwrap(),
        ha1: Ha1::default(),
        display_name: String::new(),
        enabled: true,
    };
    Startup {
        domains: vec!["example.org".into()],
        listen: [Transport::Udp, Transport::Tcp]
            .into_iter()
            .flat_map(|transport| [endpoint(transport, V4), endpoint(transport, V6)])
            .collect(),
        advertise: None,
        data: Data::Memory,
        accounts: vec![account],
        workers: 2,
        settings: Settings::default(),
        peers: vec![peer],
        dns: Vec::new(),
        routing: ringway_server::config::routing::Routing::default(),
        streams: StreamLimits::default(),
        trace: trace::Settings::default(),
        balancers: Vec::new(),
        tls: TlsSetup::default(),
        origins: Origins::default(),
        control: None,
    }
}

pub(crate) fn serve(startup: &Startup) -> Running {
    start(startup).expect("free loopback ports")
}

pub(crate) fn address(server: &Running, transport: Transport, ip: &str) -> SocketAddr {
    let ip: IpAddr = ip.parse().unwrap();
    let fits = |l: &&ringway_core::flow::Listener| l.transport == transport && l.local.ip() == ip;
    server.listeners().iter().find(fits).expect("listened on").local
}

pub(crate) fn udp_to(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

pub(crate) fn tcp_to(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// A request to the server itself.
pub(crate) fn request(method: &str, transport: &str, from: SocketAddr, number: u32) -> Vec<u8> {
    format!(
        "{method} sip:example.org SIP/2.0\r\n\
         Via: SIP/2.0/{transport} {from};branch=z9hG4bK-{number};rport\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:alice@example.org>;tag=a{number}\r\n\
         To: <sip:bob@example.org>\r\n\
         Call-ID: call-{number}\r\n\
         CSeq: {number} {method}\r\n\
         Contact: <sip:bob@{from}>;expires=3600\r\n\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

pub(crate) fn ask(socket: &UdpSocket, bytes: &[u8]) -> String {
    socket.send(bytes).unwrap();
    let mut buffer = [0; 65_535];
    let length = socket.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Reads until there are `count` whole messages without a body.
pub(crate) fn read_messages(stream: &mut TcpStream, count: usize) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while text.matches("\r\n\r\n").count() < count {
        let length = stream.read(&mut buffer).expect("an answer");
        assert!(length > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

/// Whether the far side closes without a word.
pub(crate) fn is_closed(stream: &mut TcpStream) -> bool {
    // A reset is an end as well.
    stream.read(&mut [0; 1]).map_or(true, |length| length == 0)
}

pub(crate) fn write(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}

/// An INVITE to bob.
pub(crate) fn invite(from: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8(request("INVITE", "UDP", from, 2)).unwrap();
    text.replace("INVITE sip:example.org", "INVITE sip:bob@example.org").into_bytes()
}

/// Answers an INVITE as a phone does.
pub(crate) fn answer(invite: &str, status: &str, contact: SocketAddr) -> String {
    let mut response = format!("SIP/2.0 {status}\r\n");
    for line in invite.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "Call-ID", "CSeq", "Record-Route"].contains(&name) {
            response += &format!("{line}\r\n");
        } else if name == "To" {
            response += &format!("{line};tag=bob\r\n");
        }
    }
    response + &format!("Contact: <sip:bob@{contact}>\r\nContent-Length: 0\r\n\r\n")
}

pub(crate) fn receive(socket: &UdpSocket, begin: &str) -> String {
    let mut buffer = [0; 65_535];
    loop {
        let length = socket.recv(&mut buffer).expect("a message");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.starts_with(begin) {
            return text;
        }
    }
}

/// Looks until it is so, for as long as anything takes.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A connection from another address of this machine.
pub(crate) fn connect_from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Alice calls bob, who answers, and hangs up.
pub(crate) fn call(alice: &mut Phone, bob: &mut Phone) {
    let sdp = Some(("application/sdp", &b"v=0\r\nm=audio 9 RTP/AVP 0\r\n"[..]));
    let outgoing = alice.invite("sip:bob@example.org", sdp).unwrap();
    let incoming = bob.hear_call().unwrap();
    let bobs = bob.accept(&incoming, sdp).unwrap();
    let alices = alice.hear_answer(outgoing).unwrap().dialog;
    bob.hear_ack(&bobs).unwrap();
    let bye = alice.hang_up(&alices).unwrap();
    bob.hear_hang_up(&bobs).unwrap();
    alice.hear_farewell(&bye).unwrap();
}
