//! What a panic costs, and what a datagram that cannot be sent.

use super::*;
use crate::listen::Endpoint;
use crate::server::{Data, Running, Startup, start};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::{CertifiedName, ConnectionId, SocketId};
use ringway_core::snapshot::{Peer, Settings};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream, UdpSocket};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

/// Panics for requests with a method that only tests know.
pub(super) fn panic_if_asked(input: &Input<'_>) {
    if let Input::Message { message, .. } = input {
        assert!(message.method().as_bytes() != b"PANIC", "asked to");
    }
}

fn user(name: &str) -> AddressOfRecord {
    AddressOfRecord::from_text(&format!("{name}@example.org")).unwrap()
}

fn running() -> (Running, UdpSocket) {
    let running = serving(Transport::Udp, &["bob".to_owned()]);
    let phone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    phone.connect(running.listeners()[0].local).unwrap();
    phone.set_read_timeout(Some(LONG)).unwrap();
    (running, phone)
}

fn serving(transport: Transport, users: &[String]) -> Running {
    let loopback = Ipv4Addr::LOCALHOST.into();
    let account = |name: &String| {
        let (ha1, display_name) = (Ha1::default(), "".into());
        Account { aor: user(name), ha1, display_name, enabled: true }
    };
    start(&Startup {
        domains: vec!["example.org".into()],
        listen: vec![Endpoint { transport, address: Some(loopback), port: 0 }],
        advertise: None,
        data: Data::Memory,
        accounts: users.iter().map(account).collect(),
        workers: 1,
        settings: Settings::default(),
        peers: vec![Peer {
            name: "loopback".into(),
            networks: vec![(loopback, 8)],
            may_register: true,
            trust_udp: true,
            ..Peer::default()
        }],
        dns: Vec::new(),
        routing: crate::config::routing::Routing::default(),
        streams: StreamLimits::default(),
        trace: crate::trace::Settings::default(),
        balancers: Vec::new(),
        tls: crate::tls::TlsSetup::default(),
        origins: crate::ws::Origins::default(),
        control: None,
    })
    .unwrap()
}

fn send(phone: &UdpSocket, method: &str, call: &str, number: u32) {
    let from = phone.local_addr().unwrap();
    let text = format!(
        "{method} sip:example.org SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.org>;tag=a\r\nTo: <sip:bob@example.org>\r\n\
         Call-ID: {call}\r\nCSeq: {number} {method}\r\nContact: <sip:bob@{from}>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    phone.send(text.as_bytes()).unwrap();
}

fn answer(phone: &UdpSocket) -> String {
    let mut buffer = [0; 2_048];
    let length = phone.recv(&mut buffer).expect("an answer");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[test]
fn a18_a_panic_costs_its_message_and_nothing_else() {
    let (running, phone) = running();
    for number in 1..=1_000 {
        // The same Call-ID: the same partition.
        if number % 10 == 0 {
            send(&phone, "PANIC", "one", 5_000 + number);
        }
        send(&phone, "OPTIONS", "one", number);
        let answer = answer(&phone);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert!(answer.contains(&format!("CSeq: {number} OPTIONS")), "{answer}");
    }
    assert_eq!(running.engine().metrics().panics.load(Ordering::Relaxed), 100);
    running.shutdown(LONG);
}

#[test]
fn a18_a_partition_made_anew_keeps_its_bindings() {
    let (running, phone) = running();
    send(&phone, "REGISTER", "reg", 1);
    let first = answer(&phone);
    assert!(first.starts_with("SIP/2.0 200 "), "{first}");
    let bob = AddressOfRecord::from_text("bob@example.org").unwrap();
    let before = running.engine().locate(&bob);
    assert_eq!(before.len(), 1);
    let engine = running.engine();
    let home = engine.place(engine.setup.keys.partition_of(&bob));
    let is_home = |call: &String| {
        engine.place(engine.setup.keys.hash64(b"call-id", &[call.as_bytes()])) == home
    };
    let call = (0..10_000).map(|n| format!("c{n}")).find(is_home).expect("one in 64");
    for number in 2..4 {
        send(&phone, "PANIC", &call, number);
    }
    send(&phone, "OPTIONS", &call, 9);
    assert!(answer(&phone).contains("CSeq: 9 OPTIONS"));
    assert_eq!(engine.metrics().panics.load(Ordering::Relaxed), 2);
    // The new node has counted nothing yet but what came after.
    assert_eq!(lock(&engine.partitions[home as usize].node).counters().requests.len(), 1);
    assert_eq!(engine.numbers().counters.requests.get("REGISTER"), Some(&1));
    assert_eq!(engine.locate(&bob), before);
    running.shutdown(LONG);
}

#[test]
fn a18_a_panic_outside_of_the_partitions_costs_one_connection() {
    let running = serving(Transport::Tcp, &[]);
    let connect = || {
        let stream = TcpStream::connect(running.listeners()[0].local).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    };
    let (mut lost, mut other) = (connect(), connect());
    let mut byte = [0; 2];
    other.write_all(b"\r\n\r\n").unwrap();
    other.read_exact(&mut byte).unwrap();
    lost.write_all(b"PANIC").unwrap();
    assert_eq!(lost.read(&mut byte).unwrap(), 0, "its socket is closed");
    other.write_all(b"\r\n\r\n").unwrap();
    other.read_exact(&mut byte).unwrap();
    assert_eq!(running.engine().metrics().panics.load(Ordering::Relaxed), 1);
    let end = std::time::Instant::now() + LONG;
    while running.engine().connections.len() != 1 {
        assert!(std::time::Instant::now() < end, "it is forgotten");
        std::thread::yield_now();
    }
    running.shutdown(LONG);
}

/// Not all partitions are asked when a connection ends: those that know it must be.
#[test]
fn a_connection_that_ends_is_forgotten_by_every_partition_that_knew_it() {
    let users: Vec<String> = (0..400).map(|n| format!("user{n}")).collect();
    let running = serving(Transport::Tcp, &users);
    let engine = running.engine();
    let connect = || TcpStream::connect(running.listeners()[0].local).unwrap();
    // The last one stays, and what it registered.
    let streams: Vec<TcpStream> = (0..5).map(|_| connect()).collect();
    let mut homes = BTreeSet::new();
    for (number, (name, mut stream)) in users.iter().zip(streams.iter().cycle()).enumerate() {
        homes.insert(engine.place(engine.setup.keys.partition_of(&user(name))));
        let from = stream.local_addr().unwrap();
        let request = format!(
            "REGISTER sip:example.org SIP/2.0\r\n\
             Via: SIP/2.0/TCP {from};branch=z9hG4bK{number}\r\nMax-Forwards: 70\r\n\
             From: <sip:{name}@example.org>;tag=a\r\nTo: <sip:{name}@example.org>\r\n\
             Call-ID: {number}\r\nCSeq: 1 REGISTER\r\n\
             Contact: <sip:{name}@{from};transport=tcp>\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
    }
    let there = |name: &String| !engine.locate(&user(name)).is_empty();
    let until = |wanted: usize| {
        let end = std::time::Instant::now() + LONG;
        while users.iter().filter(|name| there(name)).count() != wanted {
            assert!(std::time::Instant::now() < end, "{wanted} are registered");
            std::thread::yield_now();
        }
    };
    until(400);
    assert!(homes.len() > 48, "the users are spread over the partitions");
    let [first @ .., _last] = &streams[..] else { panic!("there are five") };
    for (gone, stream) in first.iter().enumerate() {
        stream.shutdown(Shutdown::Both).unwrap();
        until(320 - 80 * gone);
    }
    assert!(users.iter().skip(4).step_by(5).all(there));
    running.shutdown(LONG);
}

#[test]
fn a_datagram_that_cannot_be_sent_costs_only_itself() {
    let free = "127.0.0.1:0".parse().expect("an address");
    let receiver = UdpSocket::bind(free).expect("a free port");
    receiver.set_read_timeout(Some(LONG)).expect("a socket");
    let near = receiver.local_addr().expect("an address");
    // Nothing can be sent to port 0.
    let remote = |at| if at == 70 { free } else { near };
    let send = |at: u8| Send {
        flow: Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: remote(at),
            certified: CertifiedName::NONE,
        },
        bytes: usize::from(at)..usize::from(at) + 1,
        partition: 0,
        on_failure: None,
    };
    let sends: Vec<Send> = (0..150).map(send).collect();
    let bytes: Vec<u8> = (0..150).collect();
    let sockets = Sockets::new(vec![crate::udp::bind(free, 1).expect("a free port")]);
    assert_eq!(sockets.send(0, &sends, &bytes), 149);
    for at in (0..150).filter(|&at| at != 70) {
        let mut byte = [0];
        receiver.recv(&mut byte).expect("a datagram");
        assert_eq!(byte, [at], "the others, in order");
    }
    assert_eq!(sockets.send(0, &sends[70..71], &bytes), 0);
}
