//! Messages of 65,535 bytes on streams, in and out; and what is longer.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_wire::limits::MESSAGE;
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;
use world::{V4, address, is_closed, read_messages, request, serve, startup, tcp_to, write};

/// Bob's connection, registered, and Alice's.
fn phones(server: &ringway_server::server::Running) -> [TcpStream; 2] {
    let mut bob = tcp_to(address(server, Transport::Tcp, V4));
    let from = bob.local_addr().unwrap();
    write(&mut bob, &request("REGISTER", "TCP", from, 1));
    assert!(read_messages(&mut bob, 1).starts_with("SIP/2.0 200 "));
    [bob, tcp_to(address(server, Transport::Tcp, V4))]
}

/// A MESSAGE of exactly so many bytes.
fn of_length(alice: &TcpStream, length: usize) -> Vec<u8> {
    let from = alice.local_addr().unwrap();
    let make = |body: usize| {
        let mut bytes = format!(
            "MESSAGE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TCP {from};branch=z9hG4bKlong\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1\r\n\
             To: <sip:bob@example.org>\r\nCall-ID: long\r\nCSeq: 1 MESSAGE\r\n\
             Content-Length: {body:06}\r\n\r\n"
        )
        .into_bytes();
        bytes.extend((0..body).map(|at| b'a' + (at % 26) as u8));
        bytes
    };
    make(length - make(0).len())
}

/// Reads one message with its body.
fn read_one(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut all = Vec::new();
    let mut buffer = [0; 8_192];
    loop {
        let head = all.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&all[..head]).into_owned();
            let length = text.split("Content-Length: ").nth(1).unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            if all.len() == head + length {
                return (text, all.split_off(head));
            }
        }
        let length = stream.read(&mut buffer).expect("more of it");
        assert!(length > 0, "closed after {} bytes", all.len());
        all.extend_from_slice(&buffer[..length]);
    }
}

#[test]
//= RFC 3261 18.1.1 type=test
fn the_longest_message_passes_both_ways() {
    let server = serve(&startup());
    let [mut bob, mut alice] = phones(&server);
    let sent = of_length(&alice, MESSAGE);
    assert_eq!(sent.len(), MESSAGE);
    // In pieces, so that it is put together on the way.
    for piece in sent.chunks(10_007) {
        write(&mut alice, piece);
    }
    let (head, body) = read_one(&mut bob);
    assert!(head.starts_with("MESSAGE ") && sent.ends_with(&body), "{head}");
    let vias: String =
        head.lines().filter(|l| l.starts_with("Via")).map(|l| format!("{l}\r\n")).collect();
    let answer = |body: &str| {
        format!(
            "SIP/2.0 200 OK\r\n{vias}From: <sip:alice@example.org>;tag=1\r\n\
             To: <sip:bob@example.org>;tag=2\r\nCall-ID: long\r\nCSeq: 1 MESSAGE\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let room = MESSAGE - answer(&"r".repeat(10_000)).len();
    let answer = answer(&"r".repeat(10_000 + room));
    assert_eq!(answer.len(), MESSAGE);
    write(&mut bob, answer.as_bytes());
    let (head, body) = read_one(&mut alice);
    assert!(head.starts_with("SIP/2.0 200 OK\r\n") && answer.as_bytes().ends_with(&body));
    server.shutdown(Duration::ZERO);
}

#[test]
fn a4_longer_ones_are_refused_and_the_connection_ends() {
    let server = serve(&startup());
    for length in [MESSAGE + 1, 10 * MESSAGE] {
        let [_bob, mut alice] = phones(&server);
        let sent = of_length(&alice, length);
        // It is enough to have heard how long it will be.
        write(&mut alice, &sent[..1_000]);
        assert!(read_messages(&mut alice, 1).starts_with("SIP/2.0 513 "));
        assert!(is_closed(&mut alice), "{length}");
    }
    // Nor does a header without an end find more room.
    let [_bob, mut alice] = phones(&server);
    let mut endless = of_length(&alice, 2_000);
    endless.truncate(endless.windows(9).position(|nine| nine == b"Content-L").unwrap());
    endless.extend(b"X: y\r\n".repeat(MESSAGE / 6 + 1));
    write(&mut alice, &endless);
    let mut said = Vec::new();
    // What it says may be lost where it closes with bytes unread; that it closes is not.
    let ended = alice.read_to_end(&mut said).is_ok() || said.is_empty();
    assert!(ended && (said.is_empty() || said.starts_with(b"SIP/2.0 400 ")), "{said:?}");
    server.shutdown(Duration::ZERO);
}
