//! Handshakes of TLS as they should not be (row G6), and the versions that are spoken.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod links;

use links::{Secure, secure_to, trusting};
use ringway_core::flow::Transport;
use ringway_server::listen::Endpoint;
use ringway_server::server::{Data, Running};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{LONG, V4, address, request, serve, tcp_to};

/// Sooner than a handshake may take: the end is no time-out.
const AT_ONCE: Duration = Duration::from_secs(4);
const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const FATAL: u8 = 2;
/// RFC 8446 §6.
const PROTOCOL_VERSION: u8 = 70;

/// A server with a certificate of its own making, which lies in this file.
fn server(folder: &TempDir) -> (Running, PathBuf) {
    let mut startup = world::startup();
    let address = Some(V4.parse().unwrap());
    startup.listen.push(Endpoint { transport: Transport::Tls, address, port: 0 });
    startup.data = Data::Folder(folder.path().into());
    (serve(&startup), folder.path().join("tls.crt"))
}

fn speaking(certificate: &Path, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn is_served(stream: &mut Secure) -> bool {
    let from = stream.sock.local_addr().unwrap();
    stream.write_all(&request("OPTIONS", "TLS", from, 1)).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    &answer == b"SIP/2.0 200 "
}

/// What the server says to these bytes until it closes, which it does at once.
fn answer_to(to: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = tcp_to(to);
    let begun = Instant::now();
    // It may have heard enough before the end.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    if let Err(error) = stream.read_to_end(&mut said) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it waits for more");
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    said
}

fn client(config: &Arc<ClientConfig>) -> (ClientConnection, Vec<u8>) {
    let name = "example.org".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    (client, hello)
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [&[kind, 3, 1], &length[..], content].concat()
}

/// A ClientHello that knows nothing newer than this (RFC 4346 §7.4.1.2), but a signature that we
/// could make.
fn old_hello(minor: u8) -> Vec<u8> {
    let suites = [0x00, 0x2f, 0xc0, 0x13];
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3];
    let mut body = [&[3, minor][..], &[7; 32], &[0, 0, suites.len() as u8], &suites].concat();
    body.extend([&[1, 0, 0, signatures.len() as u8], &signatures[..]].concat());
    let length = body.len() as u8;
    record(HANDSHAKE, &[&[1, 0, 0, length], &body[..]].concat())
}

#[test]
//= RFC 8996 4 type=test
// "TLS 1.0 MUST NOT be used."
//= RFC 8996 5 type=test
// "TLS 1.1 MUST NOT be used."
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let folder = TempDir::new().unwrap();
    let (server, certificate) = server(&folder);
    let to = address(&server, Transport::Tls, V4);
    for (version, spoken) in
        [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)]
    {
        let config = Arc::new(speaking(&certificate, version));
        let mut stream = secure_to(to, "example.org", &config).unwrap();
        assert_eq!(stream.conn.protocol_version(), Some(spoken));
        assert!(is_served(&mut stream), "{spoken:?}");
    }
    for minor in [0, 1, 2] {
        let said = answer_to(to, &old_hello(minor));
        assert_eq!(said.first(), Some(&ALERT), "3.{minor}: {said:?}");
        assert_eq!(said[5..], [FATAL, PROTOCOL_VERSION], "3.{minor}");
    }
    server.shutdown(LONG);
}

#[test]
fn g6_a_hello_in_pieces_is_put_together() {
    let folder = TempDir::new().unwrap();
    let (server, certificate) = server(&folder);
    let to = address(&server, Transport::Tls, V4);
    let config = trusting(&certificate, None);
    let in_records = |size: usize, hello: &[u8]| -> Vec<u8> {
        hello[5..].chunks(size).flat_map(|piece| record(HANDSHAKE, piece)).collect()
    };
    for (size, chunk) in [(usize::MAX, 1), (1, usize::MAX), (7, 3), (64, 1_000)] {
        let (mut client, hello) = client(&config);
        let bytes = in_records(size.min(hello.len()), &hello);
        let mut socket = tcp_to(to);
        socket.set_nodelay(true).unwrap();
        for piece in bytes.chunks(chunk.min(bytes.len())) {
            socket.write_all(piece).unwrap();
        }
        while client.is_handshaking() {
            client.complete_io(&mut socket).unwrap();
        }
        assert!(is_served(&mut StreamOwned::new(client, socket)), "{size} {chunk}");
    }
    server.shutdown(LONG);
}

#[test]
fn g6_what_is_no_handshake_ends_at_once_and_costs_nothing_else() {
    let folder = TempDir::new().unwrap();
    let (server, certificate) = server(&folder);
    let to = address(&server, Transport::Tls, V4);
    let config = trusting(&certificate, None);
    let (_, hello) = client(&config);
    let cut = |at: usize, byte: u8| {
        let mut hello = hello.clone();
        hello[at] = byte;
        hello
    };
    let broken: &[(&str, Vec<u8>)] = &[
        ("SIP in the clear", request("OPTIONS", "TLS", to, 1)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".to_vec()),
        ("a hello of SSL 2", b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10".repeat(5)),
        ("zeros", vec![0; 1_000]),
        ("an unknown record", record(99, b"x")),
        ("an empty piece of a handshake", record(HANDSHAKE, b"")),
        ("data before the hello", record(23, b"early")),
        ("an alert", record(ALERT, &[FATAL, 40])),
        ("a record of 20,000 bytes", [&[HANDSHAKE, 3, 1, 0x4e, 0x20][..], &[1; 20_000]].concat()),
        ("a hello of 16 MiB", record(HANDSHAKE, &[&[1, 0xff, 0xff, 0xff][..], &[3; 99]].concat())),
        ("another message first", cut(5, 2)),
        ("a session id too long", cut(43, 33)),
        ("lengths that do not fit", cut(8, hello[8].wrapping_add(9))),
        ("extensions that do not end", [&hello[..hello.len() - 4], &[0xff; 4]].concat()),
        ("two hellos", hello.repeat(2)),
        ("a hello, and then data", [&hello[..], &record(23, &[9; 99])].concat()),
    ];
    for (what, bytes) in broken {
        // One that waits for the rest of a message hears that there is none.
        let mut stream = tcp_to(to);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let (begun, mut said) = (Instant::now(), Vec::new());
        let ended = stream.read_to_end(&mut said);
        assert!(begun.elapsed() < AT_ONCE, "{what}: {ended:?}");
        assert!(!said.windows(8).any(|eight| eight == b"SIP/2.0 "), "{what}");
        assert!(is_served(&mut secure_to(to, "example.org", &config).unwrap()), "after {what}");
    }
    let metrics = server.engine().metrics();
    assert!(metrics.handshakes_failed.load(Ordering::Relaxed) >= broken.len() as u64);
    assert_eq!(metrics.panics.load(Ordering::Relaxed), 0);
    server.shutdown(LONG);
}

#[test]
fn g6_nothing_is_taken_before_the_handshake_is_done() {
    let folder = TempDir::new().unwrap();
    let (server, certificate) = server(&folder);
    let to = address(&server, Transport::Tls, V4);
    let mut config = speaking(&certificate, &TLS13);
    config.enable_early_data = true;
    let config = Arc::new(config);
    let mut first = secure_to(to, "example.org", &config).unwrap();
    // The ticket comes with what the server says.
    assert!(is_served(&mut first));
    drop(first);
    let name = "example.org".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
    assert!(client.early_data().is_none(), "the ticket allows none");
    let mut socket = TcpStream::connect(to).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).unwrap();
    }
    assert_eq!(client.handshake_kind(), Some(HandshakeKind::Resumed), "it costs no signature");
    assert!(!client.is_early_data_accepted());
    assert!(is_served(&mut StreamOwned::new(client, socket)));
    server.shutdown(LONG);
}
