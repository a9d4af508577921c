//! The server on real sockets of the loopback interface.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_server::server::start;
use ringway_server::tcp::StreamLimits;
use std::io::Read;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use world::*;

#[test]
fn options_are_answered_over_udp_and_tcp_v4_and_v6() {
    let server = serve(&startup());
    for ip in [V4, V6] {
        let socket = udp_to(address(&server, Transport::Udp, ip));
        let from = socket.local_addr().unwrap();
        let answer = ask(&socket, &request("OPTIONS", "UDP", from, 1));
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        assert!(answer.contains(&format!("rport={}", from.port())), "{answer}");

        let mut stream = tcp_to(address(&server, Transport::Tcp, ip));
        let from = stream.local_addr().unwrap();
        write(&mut stream, &request("OPTIONS", "TCP", from, 2));
        let answer = read_messages(&mut stream, 1);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
    server.shutdown(LONG);
}

#[test]
fn v4_and_v6_datagrams_mixed_are_answered_to_where_they_came_from() {
    let server = serve(&startup());
    let sockets = [V4, V6].map(|ip| udp_to(address(&server, Transport::Udp, ip)));
    for number in 1..200 {
        let socket = &sockets[number as usize % 2];
        let from = socket.local_addr().unwrap();
        let answer = ask(socket, &request("OPTIONS", "UDP", from, number));
        assert!(answer.contains(&format!("CSeq: {number} ")), "{answer}");
    }
    server.shutdown(LONG);
}

#[test]
fn a_batch_of_datagrams_is_answered_whole() {
    let server = serve(&startup());
    let socket = udp_to(address(&server, Transport::Udp, V4));
    let from = socket.local_addr().unwrap();
    for number in 1..=150 {
        socket.send(&request("OPTIONS", "UDP", from, number)).unwrap();
    }
    let mut buffer = [0; 2_048];
    for _ in 1..=150 {
        assert!(socket.recv(&mut buffer).expect("an answer to each") > 0);
    }
    server.shutdown(LONG);
}

#[test]
fn the_largest_datagram_is_handled() {
    //= RFC 3261 18.1.1 type=test
    // "Implementations MUST be able to handle messages up to the maximum datagram packet size"
    let server = serve(&startup());
    let socket = udp_to(address(&server, Transport::Udp, V4));
    let from = socket.local_addr().unwrap();
    let small = String::from_utf8(request("OPTIONS", "UDP", from, 1)).unwrap();
    let body = 65_507 - small.len() - 4;
    let mut large = small.replace("h: 0", &format!("h: {body}")).into_bytes();
    large.resize(large.len() + body, b'x');
    assert_eq!(large.len(), 65_507);
    let answer = ask(&socket, &large);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    server.shutdown(LONG);
}

#[test]
fn pings_get_a_pong_and_messages_come_in_any_pieces() {
    let server = serve(&startup());
    let mut stream = tcp_to(address(&server, Transport::Tcp, V4));
    let from = stream.local_addr().unwrap();
    stream.set_nodelay(true).unwrap();
    write(&mut stream, b"\r\n\r\n");
    let mut pong = [0; 2];
    Read::read_exact(&mut stream, &mut pong).unwrap();
    assert_eq!(&pong, b"\r\n");

    let three: Vec<u8> = (1..=3).flat_map(|n| request("OPTIONS", "TCP", from, n)).collect();
    write(&mut stream, &three);
    assert_eq!(read_messages(&mut stream, 3).matches("SIP/2.0 200 ").count(), 3);
    for chunk in request("OPTIONS", "TCP", from, 4).chunks(7) {
        write(&mut stream, chunk);
    }
    assert!(read_messages(&mut stream, 1).contains("CSeq: 4 "));
    server.shutdown(LONG);
}

#[test]
fn a1_a_message_that_does_not_end_is_cut_off_and_a_busy_connection_is_not() {
    let mut startup = startup();
    startup.streams.partial = Duration::from_millis(300);
    let server = serve(&startup);
    let to = address(&server, Transport::Tcp, V4);
    let mut drip = tcp_to(to);
    write(&mut drip, b"OPTIONS sip:example.org SIP/2.0\r\n");

    // Its buffer always ends with the beginning of the next message.
    let mut busy = tcp_to(to);
    let from = busy.local_addr().unwrap();
    let end = Instant::now() + Duration::from_millis(900);
    let mut number = 1;
    write(&mut busy, &request("OPTIONS", "TCP", from, number)[..20]);
    while Instant::now() < end {
        let rest = request("OPTIONS", "TCP", from, number).split_off(20);
        number += 1;
        let next = request("OPTIONS", "TCP", from, number);
        write(&mut busy, &[&rest, &next[..20]].concat());
        read_messages(&mut busy, 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(is_closed(&mut drip));
    assert_eq!(server.engine().metrics().connections_timed_out.load(Ordering::Relaxed), 1);
    server.shutdown(LONG);
}

#[test]
fn idle_connections_are_closed() {
    let mut startup = startup();
    startup.streams.idle = Duration::from_millis(200);
    let server = serve(&startup);
    let mut stream = tcp_to(address(&server, Transport::Tcp, V4));
    assert!(is_closed(&mut stream));
    server.shutdown(LONG);
}

/// A phone that was told to say something every second, and does not, is taken for gone; one that
/// does stays, and so does one that was told nothing.
#[test]
fn g4_a_phone_that_keeps_no_promised_keep_alive_is_closed() {
    let mut startup = startup();
    (startup.settings.flow_timer_s, startup.settings.flow_grace_s) = (1, 0);
    let server = serve(&startup);
    let to = address(&server, Transport::Tcp, V4);
    let register = |number: u32, flow: &str| {
        let mut stream = tcp_to(to);
        let from = stream.local_addr().unwrap();
        let text = String::from_utf8(request("REGISTER", "TCP", from, number)).unwrap();
        let text = text.replace("expires=3600", &format!("expires=3600{flow}"));
        write(
            &mut stream,
            text.replace("Contact", "Supported: path, outbound\r\nContact").as_bytes(),
        );
        let ok = read_messages(&mut stream, 1);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        assert_eq!(ok.contains("Flow-Timer: 1\r\n"), !flow.is_empty(), "{ok}");
        stream
    };
    let mut told_nothing = register(1, "");
    let begun = Instant::now();
    let mut silent = register(2, ";+sip.instance=\"<urn:uuid:2>\";reg-id=1");
    let mut alive = register(3, ";+sip.instance=\"<urn:uuid:3>\";reg-id=1");
    // Now and then the other one says something.
    silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut byte = [0];
    while silent.read(&mut byte).is_err() {
        assert!(begun.elapsed() < LONG, "it stays open");
        write(&mut alive, b"\r\n\r\n");
        alive.read_exact(&mut [0; 2]).unwrap();
    }
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    for stream in [&mut told_nothing, &mut alive] {
        write(stream, b"\r\n\r\n");
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    let end = Instant::now() + LONG;
    while server.engine().numbers().registrations != 2 {
        assert!(Instant::now() < end, "its binding goes with it");
    }
    server.shutdown(LONG);
}

#[test]
fn a_flood_of_connections_is_limited_and_room_is_given_back() {
    let mut startup = startup();
    startup.streams = StreamLimits { connections_per_address: 3, ..startup.streams };
    let server = serve(&startup);
    let to = address(&server, Transport::Tcp, V4);
    let mut first: Vec<_> = (0..3).map(|_| tcp_to(to)).collect();
    for stream in &mut first {
        write(stream, b"\r\n\r\n");
        assert!(!is_closed(stream));
    }
    assert!(is_closed(&mut tcp_to(to)));
    assert_eq!(server.engine().metrics().connections_refused.load(Ordering::Relaxed), 1);
    drop(first);
    eventually("connections that ended are forgotten", || server.engine().connections().is_empty());
    let mut again = tcp_to(to);
    write(&mut again, b"\r\n\r\n");
    assert!(!is_closed(&mut again));
    server.shutdown(LONG);
}

#[test]
fn who_breaks_the_stream_is_told_before_it_ends() {
    let server = serve(&startup());
    let mut stream = tcp_to(address(&server, Transport::Tcp, V4));
    let from = stream.local_addr().unwrap();
    let good = String::from_utf8(request("OPTIONS", "TCP", from, 1)).unwrap();
    write(&mut stream, good.replace("h: 0", "h: none").as_bytes());
    let answer = read_messages(&mut stream, 1);
    assert!(answer.starts_with("SIP/2.0 400 "), "{answer}");
    assert!(is_closed(&mut stream));
    server.shutdown(LONG);
}

#[test]
fn a_port_in_use_is_refused_and_not_shared() {
    let server = serve(&startup());
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut second = startup();
        second.listen.truncate(0);
        second.listen.push(ringway_server::listen::Endpoint {
            transport,
            address: Some(V4.parse().unwrap()),
            port: address(&server, transport, V4).port(),
        });
        let refusal = start(&second).map(|_| ()).expect_err("the port is taken").to_string();
        assert!(refusal.starts_with("another program already listens on"), "{refusal}");
    }
    server.shutdown(LONG);
}

#[test]
fn a_wildcard_becomes_exact_addresses() {
    let mut startup = startup();
    for endpoint in &mut startup.listen {
        endpoint.address = None;
    }
    startup.listen.truncate(1);
    let server = serve(&startup);
    assert!(!server.listeners().is_empty());
    assert!(server.listeners().iter().all(|l| !l.local.ip().is_unspecified()));
    assert!(server.listeners().iter().all(|l| l.local.port() != 0));
    server.shutdown(LONG);
}

// I6: STUN on the SIP port, for those who have registered over this very flow.
#[test]
//= RFC 5626 8 type=test
fn i6_stun_is_answered_on_the_sip_port_where_somebody_is_registered() {
    let server = serve(&startup());
    for (number, ip, length) in [(1, V4, 32), (2, V6, 44)] {
        let to = address(&server, Transport::Udp, ip);
        let (phone, stranger) = (udp_to(to), udp_to(to));
        let from = phone.local_addr().unwrap();
        let answer = ask(&phone, &request("REGISTER", "UDP", from, number));
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let id = *b"a-stun-probe";
        let probe = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], &id[..]].concat();
        stranger.send(&probe).unwrap();
        phone.send(&probe).unwrap();
        let mut buffer = [0; 256];
        let got = phone.recv(&mut buffer).unwrap();
        let mut expected = Vec::new();
        ringway_wire::stun::write_binding_response(&id, from, &mut expected);
        assert_eq!((got, &buffer[..got]), (length, &expected[..]));
        // What comes next to the stranger is the answer to what it asks next.
        let from = stranger.local_addr().unwrap();
        let answer = ask(&stranger, &request("OPTIONS", "UDP", from, number + 10));
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
    server.shutdown(LONG);
}
