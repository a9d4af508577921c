//! Where responses go (RFC 3261 §18.2.2), on real sockets of the loopback interface.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use world::*;

//= RFC 3261 18.2.2 type=test
// "If that connection is no longer open, the server SHOULD open a"
#[test]
fn a_caller_whose_connection_ended_is_answered_where_its_via_says() {
    let server = serve(&startup());
    let bob = udp_to(address(&server, Transport::Udp, V4));
    let at = bob.local_addr().unwrap();
    let answer = ask(&bob, &request("REGISTER", "UDP", at, 1));
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");

    let alice = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connection = tcp_to(address(&server, Transport::Tcp, V4));
    write(&mut connection, &invite(alice.local_addr().unwrap()));
    read_messages(&mut connection, 1);
    let mut buffer = [0; 4_096];
    let length = bob.recv(&mut buffer).unwrap();
    let offer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    assert!(offer.starts_with("INVITE "), "{offer}");
    drop(connection);
    eventually("the connection that ended is forgotten", || {
        server.engine().connections().is_empty()
    });
    bob.send(busy(&offer).as_bytes()).unwrap();

    let mut again = accept(&alice);
    let told = read_messages(&mut again, 1);
    assert!(told.starts_with("SIP/2.0 486 "), "{told}");
    absorb(&bob);
    server.shutdown(Duration::ZERO);
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            return stream;
        }
        assert!(begun.elapsed() < LONG, "nobody connected");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn invite(from: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8(request("INVITE", "TCP", from, 7)).unwrap();
    text.replacen("sip:example.org", "sip:bob@example.org", 1).into_bytes()
}

/// The answer of somebody who is busy.
fn busy(offer: &str) -> String {
    let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
    let mut answer = String::from("SIP/2.0 486 Busy Here\r\n");
    for line in offer.lines().filter(|line| copied.iter().any(|name| line.starts_with(name))) {
        answer.push_str(line);
        answer.push_str(if line.starts_with("To:") { ";tag=bob\r\n" } else { "\r\n" });
    }
    answer + "Content-Length: 0\r\n\r\n"
}

/// The ACK that the server sends for a refusal.
fn absorb(bob: &UdpSocket) {
    let mut buffer = [0; 4_096];
    let length = bob.recv(&mut buffer).unwrap();
    assert!(buffer[..length].starts_with(b"ACK "), "{}", String::from_utf8_lossy(&buffer));
}
