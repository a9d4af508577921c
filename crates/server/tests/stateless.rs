//! Forwarding without state (RFC 3261 §16.11) on real sockets of the loopback interface.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_core::node::Census;
use ringway_server::config;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use world::*;

fn started() -> ringway_server::server::Running {
    let text = "[[route]]\nname = \"onward\"\nmode = \"stateless\"\n";
    let config = config::parse(Path::new("ringway.toml"), text).unwrap();
    let mut startup = startup();
    startup.routing = config.routing;
    serve(&startup)
}

fn options(transport: &str, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8(request("OPTIONS", transport, from, 3)).unwrap();
    text.replacen("sip:example.org", &format!("sip:carol@{to}"), 1).into_bytes()
}

fn receive(socket: &UdpSocket) -> (String, SocketAddr) {
    let mut buffer = [0; 4_096];
    let (length, from) = socket.recv_from(&mut buffer).expect("a message");
    (String::from_utf8_lossy(&buffer[..length]).into_owned(), from)
}

fn carol() -> UdpSocket {
    let carol = UdpSocket::bind((V4, 0)).unwrap();
    carol.set_read_timeout(Some(LONG)).unwrap();
    carol
}

/// The answer to a request that passed.
fn answered(request: &str) -> String {
    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let is_copied = |line: &&str| copied.iter().any(|name| line.starts_with(name));
    let lines: Vec<&str> = request.lines().filter(is_copied).collect();
    format!("SIP/2.0 200 Carol\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}

#[test]
//= RFC 3261 16.11 type=test
fn requests_and_responses_pass_over_udp_and_tcp() {
    let server = started();
    let carol = carol();
    let at = carol.local_addr().unwrap();

    let phone = udp_to(address(&server, Transport::Udp, V4));
    let asked = options("UDP", phone.local_addr().unwrap(), at);
    let mut passed = Vec::new();
    for _ in 0..2 {
        phone.send(&asked).unwrap();
        let (request, from) = receive(&carol);
        assert!(request.starts_with(&format!("OPTIONS sip:carol@{at} ")), "{request}");
        carol.send_to(answered(&request).as_bytes(), from).unwrap();
        let mut buffer = [0; 4_096];
        let length = phone.recv(&mut buffer).expect("an answer");
        assert!(buffer[..length].starts_with(b"SIP/2.0 200 Carol\r\n"));
        passed.push(request);
    }
    assert_eq!(passed[0], passed[1], "what comes again goes as it went");

    let mut connection = tcp_to(address(&server, Transport::Tcp, V4));
    let asked = options("TCP", connection.local_addr().unwrap(), at);
    write(&mut connection, &asked);
    let (request, from) = receive(&carol);
    carol.send_to(answered(&request).as_bytes(), from).unwrap();
    assert!(read_messages(&mut connection, 1).starts_with("SIP/2.0 200 Carol\r\n"));

    assert_eq!(server.engine().numbers().census, Census::default());
    server.shutdown(LONG);
}

#[test]
//= RFC 3261 18.2.2 type=test
fn a_response_whose_connection_has_ended_comes_over_a_new_one() {
    let (server, carol) = (started(), carol());
    let listens = TcpListener::bind((V4, 0)).unwrap();
    let mut connection = tcp_to(address(&server, Transport::Tcp, V4));
    let asked = options("TCP", listens.local_addr().unwrap(), carol.local_addr().unwrap());
    write(&mut connection, &asked);
    let (request, from) = receive(&carol);
    drop(connection);
    eventually("the connection that ended is forgotten", || {
        server.engine().connections().is_empty()
    });
    carol.send_to(answered(&request).as_bytes(), from).unwrap();
    let (mut again, _) = listens.accept().unwrap();
    again.set_read_timeout(Some(LONG)).unwrap();
    assert!(read_messages(&mut again, 1).starts_with("SIP/2.0 200 Carol\r\n"));
    server.shutdown(LONG);
}

#[test]
fn e2_a_response_with_another_way_back_is_counted_and_dropped() {
    let server = started();
    let carol = carol();
    let phone = udp_to(address(&server, Transport::Udp, V4));
    phone.send(&options("UDP", phone.local_addr().unwrap(), carol.local_addr().unwrap())).unwrap();
    let (request, from) = receive(&carol);
    let victim = udp_to(address(&server, Transport::Udp, V4)).local_addr().unwrap();
    let port = format!("rport={}", phone.local_addr().unwrap().port());
    let forged = answered(&request).replace(&port, &format!("rport={}", victim.port()));
    assert_ne!(forged, answered(&request));
    carol.send_to(forged.as_bytes(), from).unwrap();
    // What comes behind it passes, so it was looked at.
    carol.send_to(answered(&request).as_bytes(), from).unwrap();
    let mut buffer = [0; 4_096];
    phone.recv(&mut buffer).expect("an answer");
    assert_eq!(server.engine().numbers().counters.dropped.get("stray_response"), Some(&1));
    server.shutdown(LONG);
}
