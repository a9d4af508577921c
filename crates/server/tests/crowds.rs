//! Many connections, slow ones, and ones that say nothing (rows G1, G2 and G5), while somebody
//! wants to talk.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod links;

use links::{link, secure_to, trusting};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_server::demo::{Phone, Profile, Trace};
use ringway_server::listen::Endpoint;
use ringway_server::metrics::Metrics;
use ringway_server::server::{Data, Running, Startup};
use ringway_server::tcp::StreamLimits;
use rustls::{ClientConfig, ClientConnection};
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{
    LONG, V4, address, call, connect_from, eventually, read_messages, request, serve, tcp_to, write,
};

const STREAMS: [Transport; 4] = [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
/// Sooner than any limit that is not set here.
const SOON: Duration = Duration::from_secs(4);

/// A server on all transports that knows alice and bob, and no peer.
fn startup(folder: &TempDir, streams: StreamLimits) -> Startup {
    let account = |user: &str| Account {
        aor: AddressOfRecord::from_text(&format!("{user}@example.org")).unwrap(),
        ha1: Ha1::from_password(user.as_bytes(), b"example.org", b"opensesame"),
        display_name: String::new(),
        enabled: true,
    };
    let listen = STREAMS.into_iter().chain([Transport::Udp]);
    let address = Some(V4.parse().unwrap());
    Startup {
        listen: listen.map(|transport| Endpoint { transport, address, port: 0 }).collect(),
        accounts: vec![account("alice"), account("bob")],
        peers: Vec::new(),
        data: Data::Folder(folder.path().into()),
        streams,
        ..world::startup()
    }
}

fn trust(folder: &TempDir) -> Arc<ClientConfig> {
    trusting(&folder.path().join("tls.crt"), None)
}

fn profile(server: &Running, user: &str, transport: Transport) -> Profile {
    Profile {
        user: user.into(),
        password: "opensesame".into(),
        domain: "example.org".into(),
        server: address(server, transport, V4),
        transport,
    }
}

/// A phone that is registered.
fn phone(server: &Running, folder: &TempDir, user: &str, transport: Transport) -> Phone {
    let (profile, trace) = (profile(server, user, transport), Trace::default());
    let mut phone = match transport {
        Transport::Udp | Transport::Tcp => Phone::switch_on(profile, &trace).unwrap(),
        _ => {
            let link = link((transport, profile.server), Some(&trust(folder)));
            Phone::over(link, profile, &trace).unwrap()
        }
    };
    phone.register(300).unwrap();
    phone
}

fn counted(server: &Running, which: fn(&Metrics) -> &AtomicU64) -> u64 {
    which(server.engine().metrics()).load(Ordering::Relaxed)
}

/// How long it took until the server closed.
fn closed_after(stream: &mut impl Read) -> Duration {
    let begun = Instant::now();
    loop {
        match stream.read(&mut [0; 1_024]) {
            Ok(0) => return begun.elapsed(),
            // What it says before the end, an alert or a page, is of no interest.
            Ok(_) => {}
            Err(error) => {
                assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it stays open");
                return begun.elapsed();
            }
        }
    }
}

/// What a client says first.
fn first_bytes(transport: Transport, config: &Arc<ClientConfig>) -> Vec<u8> {
    let mut bytes = Vec::new();
    match transport {
        Transport::Tls | Transport::Wss => {
            let name = "example.org".try_into().unwrap();
            let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
            client.write_tls(&mut bytes).unwrap();
        }
        Transport::Ws => bytes.extend(b"GET / HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket"),
        _ => bytes.extend(b"OPTIONS sip:example.org SIP/2.0\r\nMax-Forwards: 70\r\n"),
    }
    bytes
}

#[test]
fn g1_who_says_nothing_or_dribbles_is_closed_on_every_transport() {
    let (handshake, first_message) = (Duration::from_millis(300), Duration::from_millis(600));
    let limits = StreamLimits { handshake, first_message, ..StreamLimits::default() };
    let folder = TempDir::new().unwrap();
    let server = serve(&startup(&folder, limits));
    let config = trust(&folder);
    thread::scope(|scope| {
        for transport in STREAMS {
            let (server, config) = (&server, &config);
            let least = if transport == Transport::Tcp { first_message } else { handshake };
            let within = least / 2..SOON;
            scope.spawn(move || {
                let mut silent = tcp_to(address(server, transport, V4));
                let after = closed_after(&mut silent);
                assert!(within.contains(&after), "silent over {transport}: {after:?}");
            });
            scope.spawn(move || {
                let bytes = first_bytes(transport, config);
                let mut dribble = tcp_to(address(server, transport, V4));
                let begun = Instant::now();
                for byte in &bytes[..bytes.len().min(40)] {
                    if dribble.write_all(&[*byte]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(40));
                }
                closed_after(&mut dribble);
                assert!(begun.elapsed() < SOON, "dribble over {transport}");
            });
        }
        // The handshakes are done, and then there is nothing.
        for transport in [Transport::Tls, Transport::Ws, Transport::Wss] {
            let to = address(&server, transport, V4);
            let link = link((transport, to), Some(&config));
            scope.spawn(move || {
                let begun = Instant::now();
                let ended = loop {
                    match link.hear() {
                        Ok(bytes) if bytes.is_empty() => break begun.elapsed(),
                        Ok(bytes) => panic!("{bytes:?}"),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break begun.elapsed(),
                    }
                    assert!(begun.elapsed() < SOON, "{transport} stays open");
                };
                assert!(ended >= first_message / 2, "{transport}: {ended:?}");
            });
        }
    });
    assert!(counted(&server, |m| &m.handshakes_timed_out) >= 6);
    assert!(counted(&server, |m| &m.connections_timed_out) >= 5);
    server.shutdown(LONG);
}

#[test]
//= RFC 3261 18 type=test
fn g1_strangers_may_be_silent_for_35_seconds_and_users_for_longer() {
    let folder = TempDir::new().unwrap();
    let unproved_idle = Duration::from_millis(700);
    let limits = StreamLimits { unproved_idle, ..StreamLimits::default() };
    assert!(StreamLimits::default().unproved_idle >= Duration::from_secs(32), "64 times T1");
    let server = serve(&startup(&folder, limits));
    let mut alice = phone(&server, &folder, "alice", Transport::Tls);
    let mut bob = phone(&server, &folder, "bob", Transport::Ws);
    assert_eq!(server.engine().connections().unproved(), 0);
    let mut stranger = tcp_to(address(&server, Transport::Tcp, V4));
    let from = stranger.local_addr().unwrap();
    write(&mut stranger, &request("OPTIONS", "TCP", from, 1));
    assert!(read_messages(&mut stranger, 1).starts_with("SIP/2.0 200 "));
    assert_eq!(server.engine().connections().unproved(), 1);
    let after = closed_after(&mut stranger);
    assert!(after >= unproved_idle / 2 && after < SOON, "{after:?}");
    thread::sleep(unproved_idle);
    call(&mut alice, &mut bob);
    assert_eq!(counted(&server, |m| &m.connections_timed_out), 1);
    server.shutdown(LONG);
}

#[test]
fn g1_a_call_passes_among_a_thousand_slow_connections() {
    let folder = TempDir::new().unwrap();
    let server = serve(&startup(&folder, StreamLimits::default()));
    let mut alice = phone(&server, &folder, "alice", Transport::Tls);
    let mut bob = phone(&server, &folder, "bob", Transport::Wss);
    let time = |alice: &mut Phone, bob: &mut Phone| {
        let begun = Instant::now();
        (0..5).for_each(|_| call(alice, bob));
        begun.elapsed()
    };
    let alone = time(&mut alice, &mut bob);
    let config = trust(&folder);
    let mut slow = Vec::new();
    for n in 0..1_000u32 {
        let transport = STREAMS[n as usize % 4];
        let bytes = first_bytes(transport, &config);
        // No more from one address than may be unproved there.
        let mut stream = connect_from([127, 0, 9, (n / 50) as u8], address(&server, transport, V4));
        stream.write_all(&bytes[..bytes.len() / 2]).unwrap();
        slow.push(stream);
    }
    // All that shake no hands, and as many as may.
    let least = 250 + StreamLimits::default().handshakes;
    eventually("all are there", || server.engine().connections().unproved() >= least);
    let crowded = time(&mut alice, &mut bob);
    // Nothing was repeated, and nobody waited for them. Times vary where others use the machine.
    assert!(crowded < alone * 4 + SOON / 4, "{crowded:?}, alone {alone:?}");
    assert_eq!(counted(&server, |m| &m.connections_refused), 0);
    drop(slow);
    server.shutdown(LONG);
}

#[test]
fn g2_whoever_has_not_said_who_it_is_makes_room_the_oldest_first() {
    let folder = TempDir::new().unwrap();
    let limits = StreamLimits { unproved_per_address: 4, ..StreamLimits::default() };
    let server = serve(&startup(&folder, limits));
    let mut alice = phone(&server, &folder, "alice", Transport::Tcp);
    let mut bob = phone(&server, &folder, "bob", Transport::Tls);
    let to = address(&server, Transport::Tcp, V4);
    let mut strangers: Vec<_> = (0..4).map(|_| tcp_to(to)).collect();
    let unproved = || server.engine().connections().unproved();
    eventually("four are there", || unproved() == 4);
    let elsewhere = connect_from([127, 0, 8, 1], to);
    eventually("another place has its own room", || unproved() == 5);
    let fifth = tcp_to(to);
    assert!(closed_after(&mut strangers.remove(0)) < SOON, "the first leaves for the fifth");
    assert_eq!(counted(&server, |m| &m.connections_displaced), 1);
    for stream in &mut strangers {
        write(stream, b"\r\n\r\n");
        stream.read_exact(&mut [0; 2]).unwrap();
    }
    call(&mut alice, &mut bob);
    assert_eq!((unproved(), counted(&server, |m| &m.connections_refused)), (5, 0));
    drop((strangers, fifth, elsewhere));
    server.shutdown(LONG);
}

#[test]
fn g2_a_full_server_still_takes_a_phone_and_lets_no_user_go() {
    let folder = TempDir::new().unwrap();
    let limits =
        StreamLimits { connections: 20, connections_per_address: 20, ..StreamLimits::default() };
    let server = serve(&startup(&folder, limits));
    let mut alice = phone(&server, &folder, "alice", Transport::Wss);
    let to = address(&server, Transport::Tcp, V4);
    // From many addresses, so that none of them is too many.
    let flood: Vec<_> = (0..60).map(|n| connect_from([127, 0, 7, n], to)).collect();
    eventually("all were seen", || {
        counted(&server, |m| &m.connections_displaced)
            + counted(&server, |m| &m.connections_refused)
            >= 41
    });
    assert!(server.engine().connections().len() <= 20 + 41);
    eventually("those have left", || server.engine().connections().len() <= 20);
    let mut bob = phone(&server, &folder, "bob", Transport::Tls);
    call(&mut alice, &mut bob);
    eventually("no more than may be", || server.engine().connections().len() <= 20);
    drop(flood);
    server.shutdown(LONG);
}

#[test]
fn g2_users_are_never_sent_away_for_others() {
    let folder = TempDir::new().unwrap();
    let limits =
        StreamLimits { connections: 2, connections_per_address: 2, ..StreamLimits::default() };
    let server = serve(&startup(&folder, limits));
    let mut alice = phone(&server, &folder, "alice", Transport::Tcp);
    let mut bob = phone(&server, &folder, "bob", Transport::Tls);
    for n in 0..10 {
        let mut third = connect_from([127, 0, 6, n], address(&server, Transport::Tcp, V4));
        assert!(closed_after(&mut third) < SOON);
    }
    assert_eq!(counted(&server, |m| &m.connections_refused), 10);
    call(&mut alice, &mut bob);
    server.shutdown(LONG);
}

#[test]
fn g5_of_too_many_handshakes_the_oldest_ends_and_others_pass() {
    let folder = TempDir::new().unwrap();
    let limits = StreamLimits { handshakes: 16, ..StreamLimits::default() };
    let server = serve(&startup(&folder, limits));
    let config = trust(&folder);
    let mut alice = phone(&server, &folder, "alice", Transport::Tls);
    let to = address(&server, Transport::Tls, V4);
    let hello = first_bytes(Transport::Tls, &config);
    let mut flood: Vec<_> = (0..100u8)
        .map(|n| {
            let mut stream = connect_from([127, 0, 5, n / 4], to);
            stream.write_all(&hello[..hello.len() / 2]).unwrap();
            stream
        })
        .collect();
    eventually("84 have left", || counted(&server, |m| &m.handshakes_displaced) >= 84);
    assert!(closed_after(&mut flood[0]) < SOON);
    // All places are taken, and still there is one.
    for _ in 0..5 {
        let mut stream = secure_to(to, "example.org", &config).unwrap();
        let from = stream.sock.local_addr().unwrap();
        stream.write_all(&request("OPTIONS", "TLS", from, 1)).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"SIP/2.0 200 ");
    }
    let mut bob = phone(&server, &folder, "bob", Transport::Wss);
    call(&mut alice, &mut bob);
    server.shutdown(LONG);
}

#[test]
fn g5_whole_handshakes_by_the_hundred_hold_up_no_call() {
    let folder = TempDir::new().unwrap();
    let server = serve(&startup(&folder, StreamLimits::default()));
    let mut alice = phone(&server, &folder, "alice", Transport::Tls);
    let mut bob = phone(&server, &folder, "bob", Transport::Udp);
    let to = address(&server, Transport::Tls, V4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    // Each is a new client, which knows no session to resume.
                    drop(secure_to(to, "example.org", &trust(&folder)));
                }
            });
        }
        let begun = Instant::now();
        (0..10).for_each(|_| call(&mut alice, &mut bob));
        assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    });
    assert_eq!(counted(&server, |m| &m.handshakes_displaced), 0);
    server.shutdown(LONG);
}
