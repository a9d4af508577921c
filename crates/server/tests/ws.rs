//! SIP over WebSocket (RFC 7118), with a client that knows nothing of ours: tungstenite.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod links;

use links::web_socket_over;
use ringway_core::flow::Transport;
use ringway_server::listen::Endpoint;
use ringway_server::server::{Running, Startup};
use ringway_server::ws::Origins;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket};
use world::{LONG, V4, address, eventually, request, serve, tcp_to, udp_to};

type Web = WebSocket<TcpStream>;

fn startup() -> Startup {
    let mut startup = world::startup();
    let address = Some(V4.parse().unwrap());
    startup.listen.push(Endpoint { transport: Transport::Ws, address, port: 0 });
    startup
}

fn connect(server: &Running, origin: Option<&str>) -> Result<Web, Box<Error>> {
    web_socket_over(tcp_to(address(server, Transport::Ws, V4)), origin)
}

fn web(server: &Running) -> Web {
    connect(server, None).unwrap()
}

fn options(web: &Web, number: u32) -> String {
    let from = web.get_ref().local_addr().unwrap();
    String::from_utf8(request("OPTIONS", "WS", from, number)).unwrap()
}

/// The HTTP answer to a request in text.
fn http(server: &Running, request: &str) -> String {
    let mut stream = tcp_to(address(server, Transport::Ws, V4));
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// With which code the server ends a WebSocket on which these bytes were written as they are.
fn ended_by(server: &Running, bytes: &[u8]) -> CloseCode {
    let mut web = web(server);
    web.get_mut().write_all(bytes).unwrap();
    loop {
        match web.read().expect("a reason") {
            Message::Close(Some(frame)) => return frame.code,
            Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A frame as clients send it, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

#[test]
//= RFC 7118 4.2 type=test
// "SIP requests and responses.  Therefore, SIP WebSocket Clients and SIP"
fn text_is_answered_as_text_and_binary_as_binary() {
    let server = serve(&startup());
    let mut web = web(&server);
    for (number, binary) in [(1, false), (2, true), (3, false)] {
        let text = options(&web, number);
        let message = if binary { Message::binary(text) } else { Message::text(text) };
        web.send(message).unwrap();
        let answer = web.read().unwrap();
        assert_eq!(answer.is_binary(), binary);
        let answer = String::from_utf8(answer.into_data().to_vec()).unwrap();
        assert!(answer.starts_with("SIP/2.0 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains(&format!("CSeq: {number} ")), "one message in each: {answer}");
    }
    server.shutdown(LONG);
}

#[test]
//= RFC 7118 5 type=test
// "of the Content-Length header in SIP messages is not necessary when"
fn a_length_is_not_needed_and_keep_alives_are_answered() {
    let server = serve(&startup());
    let mut web = web(&server);
    let text = options(&web, 1);
    web.send(Message::text("\r\n\r\n")).unwrap();
    assert_eq!(web.read().unwrap(), Message::text("\r\n"));
    web.send(Message::text("\r\n")).unwrap();
    web.send(Message::Ping("x".into())).unwrap();
    assert_eq!(web.read().unwrap(), Message::Pong("x".into()));
    web.send(Message::text(text.replace("Content-Length: 0\r\n", ""))).unwrap();
    assert!(web.read().unwrap().to_text().unwrap().starts_with("SIP/2.0 200 "));
    // What has one that promises more than there is gets an answer, and stays connected.
    web.send(Message::text(text.replace("h: 0", "h: 9").replace("call-1", "call-2"))).unwrap();
    assert!(web.read().unwrap().to_text().unwrap().starts_with("SIP/2.0 400 "));
    web.close(None).unwrap();
    assert!(matches!(web.read(), Ok(Message::Close(_)) | Err(Error::ConnectionClosed)));
    server.shutdown(LONG);
}

#[test]
fn g10_a_page_of_somebody_else_does_not_connect() {
    let mut startup = startup();
    startup.origins = Origins::new(&["https://phone.example.net".into()]);
    let server = serve(&startup);
    for allowed in [
        None,
        Some("https://example.org"),
        Some("http://127.0.0.1:8000"),
        Some("http://localhost:8000"),
        Some("https://phone.example.net"),
    ] {
        assert!(connect(&server, allowed).is_ok(), "{allowed:?}");
    }
    for refused in ["https://evil.example", "null", "https://example.org.evil.example", "x"] {
        match *connect(&server, Some(refused)).unwrap_err() {
            Error::Http(answer) => assert_eq!(answer.status(), 403, "{refused}"),
            other => panic!("{refused}: {other}"),
        }
    }
    let refused = || server.engine().metrics().websockets_refused.load(Ordering::Relaxed);
    eventually("all four are counted", || refused() >= 4);
    server.shutdown(LONG);
}

#[test]
fn what_is_no_websocket_gets_an_http_answer() {
    let server = serve(&startup());
    let plain = http(&server, "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{plain}");
    assert!(plain.contains("SIP over WebSocket") && plain.contains("Version: 13"), "{plain}");
    let post = http(&server, "POST /x HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 426 "), "{post}");
    let sip = http(&server, "OPTIONS sip:example.org SIP/2.0\r\n\r\n");
    assert!(sip.starts_with("HTTP/1.1 400 "), "{sip}");
    let long = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(20_000));
    assert!(http(&server, &long).starts_with("HTTP/1.1 400 "));
    server.shutdown(LONG);
}

#[test]
fn g11_frames_that_break_a_rule_cost_their_connection_and_no_other() {
    let server = serve(&startup());
    let mut good = web(&server);
    let fragments = |count: usize| {
        let mut bytes = frame(0x01, b"x");
        (2..count).for_each(|_| bytes.extend(frame(0x00, b"x")));
        bytes.extend(frame(0x80, b"x"));
        bytes
    };
    for (what, bytes, code) in [
        ("not masked", vec![0x81, 0x01, b'x'], CloseCode::Protocol),
        ("reserved bits", frame(0xc1, b"x"), CloseCode::Protocol),
        ("2^63 bytes", [&[0x82, 0xff, 0x80][..], &[0; 11]].concat(), CloseCode::Size),
        ("too long", frame(0x82, &[b'x'; 70_000])[..14].to_vec(), CloseCode::Size),
        ("17 fragments", fragments(17), CloseCode::Policy),
        ("a flood of pings", frame(0x89, b"").repeat(50), CloseCode::Policy),
        ("no UTF-8", frame(0x81, &[0xff]), CloseCode::Invalid),
        ("no SIP", frame(0x81, b"hello"), CloseCode::Policy),
    ] {
        assert_eq!(ended_by(&server, &bytes), code, "{what}");
    }
    assert_eq!(server.engine().metrics().websockets_broken.load(Ordering::Relaxed), 8);
    let text = options(&good, 1);
    good.send(Message::text(text)).unwrap();
    assert!(good.read().unwrap().to_text().unwrap().starts_with("SIP/2.0 200 "));
    server.shutdown(LONG);
}

#[test]
fn the_largest_message_passes_in_sixteen_fragments() {
    let server = serve(&startup());
    let mut web = web(&server);
    let small = options(&web, 1);
    let body = 65_535 - small.len() - 4;
    let mut large = small.replace("h: 0", &format!("h: {body}")).into_bytes();
    large.resize(large.len() + body, b'x');
    assert_eq!(large.len(), 65_535);
    let pieces: Vec<&[u8]> = large.chunks(4_096).collect();
    assert_eq!(pieces.len(), 16);
    for (nth, piece) in pieces.iter().enumerate() {
        let (opcode, fin) = (u8::from(nth == 0), if nth == 15 { 0x80 } else { 0 });
        web.get_mut().write_all(&frame(fin | opcode, piece)).unwrap();
    }
    let answer = web.read().unwrap();
    assert!(answer.to_text().unwrap().starts_with("SIP/2.0 200 "), "{answer:?}");
    server.shutdown(LONG);
}

/// Bob in a browser, registered.
fn registered(server: &Running) -> (Web, String) {
    let mut bob = web(server);
    let from = bob.get_ref().local_addr().unwrap();
    let register = String::from_utf8(request("REGISTER", "WS", from, 1)).unwrap();
    let contact = format!("<sip:bob@{from}>");
    let invalid = register.replace(&contact, "<sip:bob@df7jal23ls0d.invalid;transport=ws>");
    bob.send(Message::text(invalid)).unwrap();
    assert!(bob.read().unwrap().to_text().unwrap().starts_with("SIP/2.0 200 "));
    (bob, register)
}

/// Alice calls him by UDP.
fn call(server: &Running) -> UdpSocket {
    let alice = udp_to(address(server, Transport::Udp, V4));
    let from = alice.local_addr().unwrap();
    let invite = String::from_utf8(request("INVITE", "UDP", from, 2)).unwrap();
    let invite = invite.replace("INVITE sip:example.org", "INVITE sip:bob@example.org");
    alice.send(invite.as_bytes()).unwrap();
    alice
}

/// A browser that dies says nothing: its machine is gone. The ping that follows a request finds
/// that out, and whoever called hears it.
#[test]
fn g4_the_caller_of_a_dead_browser_hears_of_it_within_eight_seconds() {
    let server = serve(&startup());
    let (_bob, register) = registered(&server);
    let begun = Instant::now();
    let alice = call(&server);
    let mut buffer = [0; 4_096];
    let last = loop {
        let length = alice.recv(&mut buffer).expect("a final answer");
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if !text.starts_with("SIP/2.0 1") {
            break text;
        }
    };
    assert!(last.starts_with("SIP/2.0 480 ") || last.starts_with("SIP/2.0 430 "), "{last}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!(server.engine().metrics().websockets_silent.load(Ordering::Relaxed), 1);
    assert_eq!(server.engine().numbers().registrations, 0);

    // The next one registers as if nothing had been.
    let mut again = web(&server);
    again.send(Message::text(register.replace("call-1", "call-9"))).unwrap();
    assert!(again.read().unwrap().to_text().unwrap().starts_with("SIP/2.0 200 "));
    server.shutdown(LONG);
}

/// Whoever answers pings may be silent otherwise, however soon the answer comes.
#[test]
fn g4_a_browser_that_answers_pings_stays() {
    let server = serve(&startup());
    let (mut bob, _) = registered(&server);
    let _alice = call(&server);
    assert!(bob.read().unwrap().to_text().unwrap().starts_with("INVITE "));
    let called = Instant::now();
    // Each is answered when the next is read, which follows two seconds later.
    for _ in 0..3 {
        assert!(bob.read().unwrap().is_ping());
    }
    assert!(called.elapsed() < Duration::from_secs(10), "{:?}", called.elapsed());
    assert_eq!(server.engine().metrics().websockets_silent.load(Ordering::Relaxed), 0);
    assert_eq!(server.engine().connections().len(), 1);
    server.shutdown(Duration::ZERO);
}
