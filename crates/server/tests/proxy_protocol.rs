//! Behind a load balancer: who opened a connection is who the balancer says, and who else says so
//! is not believed.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_server::listen::Endpoint;
use ringway_server::server::{Data, Running};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{LONG, V4, address, is_closed, read_messages, request, serve, startup, tcp_to, write};

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
    server.shutdown(LONG);
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
    server.shutdown(LONG);
}

#[test]
fn g14_a_proxy_header_from_elsewhere_is_no_sip() {
    let server = behind("10.0.0.0/8");
    for header in [LINE.to_vec(), version_2("[2001:db8::7]:50000")] {
        let mut stream = connect(&server);
        send(&mut stream, &header);
        let mut text = String::new();
        // A reset is an end as well.
        let _ = stream.read_to_string(&mut text);
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
    server.shutdown(LONG);
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
    server.shutdown(LONG);
}

/// Whom an answer takes the far side for.
fn received(answer: &str) -> &str {
    answer.split(";received=").nth(1).and_then(|rest| rest.split(';').next()).unwrap_or_default()
}

/// TLS over a connection that is there.
fn secure(stream: TcpStream, certificate: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("example.org").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Opens a WebSocket on a stream, as one that says of itself that it came from elsewhere, and
/// sends an OPTIONS over it; what comes back.
fn over_websocket(stream: &mut TcpStream) -> String {
    let handshake = "GET /ws HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
        Origin: https://example.org\r\nX-Forwarded-For: 192.0.2.9\r\nX-Real-IP: 192.0.2.9\r\n\
        Forwarded: for=192.0.2.9;proto=https\r\n\r\n";
    write(stream, handshake.as_bytes());
    assert!(read_messages(stream, 1).starts_with("HTTP/1.1 101"));
    let text = request("OPTIONS", "WS", stream.local_addr().unwrap(), 1);
    // A text frame of up to 65,535 bytes, with a mask that changes nothing (RFC 6455 §5.2).
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    write(stream, &[&[0x81, 0x80 | 126][..], &length, &[0; 4], &text].concat());
    let mut frame = [0; 4_096];
    let length = stream.read(&mut frame).unwrap();
    String::from_utf8_lossy(&frame[..length]).into_owned()
}

#[test]
fn tls_and_websocket_begin_behind_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let mut startup = startup();
    startup.balancers = vec![("127.0.0.0".parse().unwrap(), 8)];
    startup.data = Data::Folder(folder.path().into());
    startup.listen = [Transport::Tls, Transport::Ws]
        .map(|transport| Endpoint { transport, address: Some(V4.parse().unwrap()), port: 0 })
        .into();
    let server = serve(&startup);
    for header in [LINE.to_vec(), version_2("[2001:db8::7]:50000")] {
        let client = if header == LINE { "192.0.2.7" } else { "2001:db8::7" };
        let mut stream = tcp_to(address(&server, Transport::Tls, V4));
        write(&mut stream, &header);
        let bytes = request("OPTIONS", "TLS", stream.local_addr().unwrap(), 1);
        let mut stream = secure(stream, &folder.path().join("tls.crt"));
        stream.write_all(&bytes).unwrap();
        let mut buffer = [0; 4_096];
        let length = stream.read(&mut buffer).unwrap();
        assert_eq!(received(&String::from_utf8_lossy(&buffer[..length])), client);

        let mut stream = tcp_to(address(&server, Transport::Ws, V4));
        write(&mut stream, &header);
        assert_eq!(received(&over_websocket(&mut stream)), client);
    }
    server.shutdown(LONG);
}

#[test]
fn g14_what_http_says_of_the_way_of_a_websocket_means_nothing() {
    let mut startup = startup();
    startup.listen.truncate(1);
    startup.listen[0].transport = Transport::Ws;
    let server = serve(&startup);
    let mut stream = tcp_to(address(&server, Transport::Ws, V4));
    assert_eq!(received(&over_websocket(&mut stream)), V4);
    server.shutdown(LONG);
}
