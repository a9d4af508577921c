//! Messages of 65,535 bytes on streams, in and out; and what is longer.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod links;
mod world;

use links::{Duplex, secure_to, trusting, web_socket_over};
use ringway_core::flow::Transport;
use ringway_server::listen::Endpoint;
use ringway_server::server::{Data, Running};
use ringway_wire::limits::MESSAGE;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::{Message, WebSocket};
use world::{V4, address, is_closed, read_messages, request, serve, startup, tcp_to, write};

/// Bob's connection, registered, and Alice's.
fn phones(server: &Running) -> [TcpStream; 2] {
    let mut bob = tcp_to(address(server, Transport::Tcp, V4));
    let from = bob.local_addr().unwrap();
    write(&mut bob, &request("REGISTER", "TCP", from, 1));
    assert!(read_messages(&mut bob, 1).starts_with("SIP/2.0 200 "));
    [bob, tcp_to(address(server, Transport::Tcp, V4))]
}

/// A MESSAGE of exactly so many bytes.
fn of_length(alice: &TcpStream, length: usize) -> Vec<u8> {
    over(Transport::Tcp, alice.local_addr().unwrap(), length)
}

fn over(transport: Transport, from: SocketAddr, length: usize) -> Vec<u8> {
    let name = transport.via_name();
    let make = |body: usize| {
        let mut bytes = format!(
            "MESSAGE sip:bob@example.org SIP/2.0\r\n\
             Via: SIP/2.0/{name} {from};branch=z9hG4bKlong\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@example.org>;tag=1\r\n\
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
fn read_one(stream: &mut impl Read) -> (String, Vec<u8>) {
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

/// A 200 of the greatest length.
fn answer_to(head: &str) -> String {
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
    answer
}

/// A phone's side of a connection.
enum Phone {
    Stream(Box<dyn Duplex>),
    Web(Box<WebSocket<Box<dyn Duplex>>>),
}

impl Phone {
    fn connect(server: &Running, transport: Transport, certificate: &Path) -> Self {
        let to = address(server, transport, V4);
        let stream: Box<dyn Duplex> = match transport {
            Transport::Tls | Transport::Wss => {
                Box::new(secure_to(to, "example.org", &trusting(certificate, None)).unwrap())
            }
            _ => Box::new(tcp_to(to)),
        };
        match transport {
            Transport::Ws | Transport::Wss => {
                Self::Web(Box::new(web_socket_over(stream, None).unwrap()))
            }
            _ => Self::Stream(stream),
        }
    }

    fn local(&self) -> SocketAddr {
        let stream = match self {
            Self::Stream(stream) => stream.socket(),
            Self::Web(web) => web.get_ref().socket(),
        };
        stream.local_addr().unwrap()
    }

    fn say(&mut self, bytes: &[u8]) {
        match self {
            Self::Stream(stream) => {
                stream.write_all(bytes).unwrap();
                stream.flush().unwrap();
            }
            Self::Web(web) => {
                web.send(Message::text(String::from_utf8_lossy(bytes).into_owned())).unwrap()
            }
        }
    }

    /// One message: its head, and its body.
    fn hear(&mut self) -> (String, Vec<u8>) {
        let Self::Web(web) = self else {
            let Self::Stream(stream) = self else { unreachable!("there are two") };
            return read_one(stream);
        };
        loop {
            match web.read().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => {
                    let mut bytes = message.into_data().to_vec();
                    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
                    let body = bytes.split_off(end);
                    return (String::from_utf8(bytes).unwrap(), body);
                }
            }
        }
    }
}

#[test]
//= RFC 3261 18.1.1 type=test
fn the_longest_message_passes_over_tls_and_web_sockets() {
    let streams = [Transport::Tls, Transport::Ws, Transport::Wss];
    let folder = TempDir::new().unwrap();
    let mut startup = startup();
    let ip = Some(V4.parse().unwrap());
    let endpoints = streams.map(|transport| Endpoint { transport, address: ip, port: 0 });
    startup.listen.extend(endpoints);
    startup.data = Data::Folder(folder.path().into());
    let server = serve(&startup);
    let certificate = folder.path().join("tls.crt");
    for (one, other) in streams.into_iter().zip([Transport::Wss, Transport::Tls, Transport::Ws]) {
        let mut bob = Phone::connect(&server, one, &certificate);
        let register = request("REGISTER", one.via_name(), bob.local(), 1);
        let register = String::from_utf8(register).unwrap();
        // The next one takes its place.
        let number = bob.local().port();
        let register = register.replace("Call-ID: call-1", &format!("Call-ID: of-{number}"));
        bob.say(register.replace("expires=3600", "expires=60").as_bytes());
        assert!(bob.hear().0.starts_with("SIP/2.0 200 "), "{one}");
        let mut alice = Phone::connect(&server, other, &certificate);
        let sent = over(other, alice.local(), MESSAGE);
        assert_eq!(sent.len(), MESSAGE);
        alice.say(&sent);
        let (head, body) = bob.hear();
        assert!(head.starts_with("MESSAGE ") && sent.ends_with(&body), "{other} to {one}: {head}");
        let answer = answer_to(&head);
        bob.say(answer.as_bytes());
        let (head, body) = alice.hear();
        let answer = answer.into_bytes();
        assert!(head.starts_with("SIP/2.0 200 OK\r\n") && answer.ends_with(&body), "{head}");
        bob.say(
            register
                .replace("expires=3600", "expires=0")
                .replace("CSeq: 1", "CSeq: 2")
                .replace("z9hG4bK-1", "z9hG4bK-2")
                .as_bytes(),
        );
        assert!(bob.hear().0.starts_with("SIP/2.0 200 "), "{one}");
    }
    server.shutdown(Duration::ZERO);
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
    let answer = answer_to(&head);
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
