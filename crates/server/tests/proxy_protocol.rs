//! Behind a load balancer: who opened a connection is who the balancer says, and who else says so
//! is not believed.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_server::server::Running;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{V4, address, is_closed, read_messages, request, serve, startup, tcp_to, write};

const CLIENT: &str = "192.0.2.7:50000";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 5060\r\n";

/// A server behind balancers in these networks.
fn behind(balancers: &str) -> Running {
    let (ip, bits) = balancers.split_once('/').unwrap();
    let mut startup = startup();
    startup.balancers = vec![(ip.parse().unwrap(), bits.parse().unwrap())];
    startup.peers.clear();
    serve(&startup)
}

fn connect(server: &Running) -> TcpStream {
    tcp_to(address(server, Transport::Tcp, V4))
}

/// A header and an OPTIONS, as they go down this stream.
fn with_options(stream: &TcpStream, header: &[u8]) -> Vec<u8> {
    [header, &request("OPTIONS", "TCP", stream.local_addr().unwrap(), 1)].concat()
}

fn send(stream: &mut TcpStream, header: &[u8]) {
    let bytes = with_options(stream, header);
    write(stream, &bytes);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Version 2, TCP over IPv6, with a TLV.
fn version_2(client: &str) -> Vec<u8> {
    let client: std::net::SocketAddrV6 = client.parse().unwrap();
    let (from, to) = (client.ip().octets(), [0; 16]);
    let ports = [client.port().to_be_bytes(), 5060_u16.to_be_bytes()].concat();
    let tlv = [0x04, 0, 2, b'x', b'y'];
    let head = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29";
    [&head[..], &from, &to, &ports, &tlv].concat()
}

#[test]
fn a_balancer_says_who_is_behind_it() {
    let server = behind("127.0.0.0/8");
    for (header, client) in
        [(LINE.to_vec(), CLIENT), (version_2("[2001:db8::7]:50000"), "[2001:db8::7]:50000")]
    {
        for piece in [1, 1_000] {
            let mut stream = connect(&server);
            stream.set_nodelay(true).unwrap();
            let bytes = with_options(&stream, &header);
            bytes.chunks(piece).for_each(|piece| write(&mut stream, piece));
            let answer = read_messages(&mut stream, 1);
            assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
            let (ip, port) = client.rsplit_once(':').unwrap();
            let ip = ip.trim_matches(['[', ']']);
            assert!(answer.contains(&format!(";received={ip};rport={port}")), "{answer}");
        }
    }
    // Where it speaks for itself it is who it is.
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut stream = connect(&server);
        send(&mut stream, header);
        let answer = read_messages(&mut stream, 1);
        assert!(answer.contains(";received=127.0.0.1;"), "{answer}");
    }
    assert_eq!(read(&server.engine().metrics().proxy_headers_refused), 0);
    server.shutdown(world::LONG);
}

#[test]
fn a_balancer_that_does_not_say_it_is_not_served() {
    let server = behind("127.0.0.0/8");
    let refused = &server.engine().metrics().proxy_headers_refused;
    for (n, wrong) in
        (1..).zip([&b""[..], b"PROXY TCP4 192.0.2.7\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31"])
    {
        let mut stream = connect(&server);
        send(&mut stream, wrong);
        assert!(is_closed(&mut stream));
        assert_eq!(read(refused), n);
    }
    // A probe says nothing at all, and is nothing wrong.
    drop(connect(&server));
    let mut stream = connect(&server);
    send(&mut stream, LINE);
    read_messages(&mut stream, 1);
    assert_eq!(read(refused), 3);
    server.shutdown(world::LONG);
}

#[test]
fn g14_a_proxy_header_from_elsewhere_is_no_sip() {
    let server = behind("10.0.0.0/8");
    for header in [LINE.to_vec(), version_2("[2001:db8::7]:50000")] {
        let mut stream = connect(&server);
        send(&mut stream, &header);
        let mut text = String::new();
        // A reset is an end as well.
        let _ = std::io::Read::read_to_string(&mut stream, &mut text);
        assert!(!text.contains("200 OK"), "{text}");
        assert!(!text.contains("received=192.0.2.7") && !text.contains("2001:db8::7"), "{text}");
    }
    let mut stream = connect(&server);
    send(&mut stream, b"");
    let answer = read_messages(&mut stream, 1);
    assert!(answer.starts_with("SIP/2.0 200"), "{answer}");
    let local = stream.local_addr().unwrap();
    assert!(answer.contains(&format!(";received={};rport={}", local.ip(), local.port())));
    assert_eq!(read(&server.engine().metrics().proxy_headers_refused), 0);
    server.shutdown(world::LONG);
}

#[test]
fn limits_and_peers_go_by_who_is_behind_the_balancer() {
    let mut startup = startup();
    startup.balancers = vec![("127.0.0.0".parse().unwrap(), 8)];
    startup.streams.connections_per_address = 1;
    startup.peers[0].networks = vec![("192.0.2.7".parse().unwrap(), 32)];
    let server = serve(&startup);
    let open = |client: &str| {
        let mut stream = connect(&server);
        write(&mut stream, format!("PROXY TCP4 {client} 198.51.100.1 50000 5060\r\n").as_bytes());
        let text = request("MESSAGE", "TCP", stream.local_addr().unwrap(), 1);
        write(
            &mut stream,
            String::from_utf8(text)
                .unwrap()
                .replace("example.org SIP", "example.org;x SIP")
                .as_bytes(),
        );
        stream
    };
    let mut peer = open("192.0.2.7");
    let answer = read_messages(&mut peer, 1);
    assert!(!answer.starts_with("SIP/2.0 407"), "{answer}");
    let mut other = open("192.0.2.8");
    let answer = read_messages(&mut other, 1);
    assert!(answer.starts_with("SIP/2.0 407"), "{answer}");
    assert!(is_closed(&mut open("192.0.2.8")), "one connection each");
    assert_eq!(read(&server.engine().metrics().connections_refused), 1);
    server.shutdown(world::LONG);
}
