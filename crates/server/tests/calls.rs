//! Calls between the demo's phones through the server, over every mix of transports and
//! addresses.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_server::demo::{Body, Cause, Dialog, Entry, Failure, Phone, Profile, Trace, Way};
use ringway_server::server::{Running, Startup};
use ringway_wire::{Frame, Framer, Framing, Index, Message, ResponseWriter, parse};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};
use world::{LONG, V4, V6, address, eventually, serve};

const KINDS: [(Transport, &str); 4] =
    [(Transport::Udp, V4), (Transport::Udp, V6), (Transport::Tcp, V4), (Transport::Tcp, V6)];
const UDP: (Transport, &str) = KINDS[0];
const TCP: (Transport, &str) = KINDS[2];
const SDP: Body<'static> = Some(("application/sdp", b"v=0\r\nm=audio 9 RTP/AVP 0\r\n"));
const RINGING: u16 = 180;
const BUSY: u16 = 486;
/// What need not be waited for comes sooner than any time-out of SIP, the shortest being that of
/// a connection that does not open.
const FAST: Duration = Duration::from_secs(2);

/// A server that knows alice and bob, and trusts nobody.
fn startup() -> Startup {
    let account = |user: &str| Account {
        aor: AddressOfRecord::from_text(&format!("{user}@example.org")).unwrap(),
        ha1: Ha1::from_password(user.as_bytes(), b"example.org", b"opensesame"),
        display_name: String::new(),
        enabled: true,
    };
    let accounts = vec![account("alice"), account("bob")];
    Startup { accounts, peers: Vec::new(), ..world::startup() }
}

fn profile(server: &Running, user: &str, (transport, ip): (Transport, &str)) -> Profile {
    Profile {
        user: user.into(),
        password: "opensesame".into(),
        domain: "example.org".into(),
        server: address(server, transport, ip),
        transport,
    }
}

/// A phone that is registered.
fn phone(server: &Running, user: &str, kind: (Transport, &str), trace: &Trace) -> Phone {
    let mut phone = Phone::switch_on(profile(server, user, kind), trace).unwrap();
    phone.register(300).unwrap();
    phone
}

/// Alice calls, bob answers.
fn connect(alice: &mut Phone, bob: &mut Phone, offer: Body<'_>) -> Result<[Dialog; 2], Failure> {
    let outgoing = alice.invite("sip:bob@example.org", offer)?;
    let incoming = bob.hear_call()?;
    assert_eq!(incoming.request().body(), offer.unwrap().1);
    bob.respond(&incoming, RINGING, None)?;
    alice.hear_ringing(&outgoing)?;
    let bobs = bob.accept(&incoming, SDP)?;
    let answered = alice.hear_answer(outgoing)?;
    assert_eq!(&*answered.body, SDP.unwrap().1);
    bob.hear_ack(&bobs)?;
    Ok([answered.dialog, bobs])
}

fn end(
    (one, ones): (&mut Phone, &Dialog),
    (other, others): (&mut Phone, &Dialog),
) -> Result<(), Failure> {
    let bye = one.hang_up(ones)?;
    other.hear_hang_up(others)?;
    one.hear_farewell(&bye).map(|_| ())
}

/// The messages of one kind in a trace, as text.
fn texts(entries: &[Entry], phone: &str, way: Way, start: &str) -> Vec<String> {
    entries
        .iter()
        .filter(|entry| *entry.phone == *phone && entry.way == way)
        .map(|entry| String::from_utf8_lossy(&entry.bytes).into_owned())
        .filter(|text| text.starts_with(start))
        .collect()
}

fn status_of(failure: &Failure) -> u16 {
    match failure.cause {
        Cause::Refused { status, .. } => status,
        _ => panic!("not refused: {failure}"),
    }
}

#[test]
fn every_kind_of_phone_calls_every_other() {
    let server = serve(&startup());
    for (nth, caller) in KINDS.into_iter().enumerate() {
        for callee in KINDS {
            let trace = Trace::default();
            let mut alice = phone(&server, "alice", caller, &trace);
            let mut bob = phone(&server, "bob", callee, &trace);
            let result = connect(&mut alice, &mut bob, SDP).and_then(|[alices, bobs]| {
                let (alice, bob) = ((&mut alice, &alices), (&mut bob, &bobs));
                if nth % 2 == 0 { end(alice, bob) } else { end(bob, alice) }
            });
            result.unwrap_or_else(|failure| panic!("{caller:?} calls {callee:?}: {failure}"));
            alice.register(0).unwrap();
            bob.register(0).unwrap();
            let entries = trace.take();
            let again = entries.iter().filter(|entry| entry.again).count();
            assert_eq!(again, 0, "{caller:?} calls {callee:?}: nothing was lost");
        }
    }
    assert_eq!(
        server.engine().metrics().store_failures.load(std::sync::atomic::Ordering::Relaxed),
        0
    );
    server.shutdown(Duration::ZERO);
}

#[test]
//= RFC 3261 22.3 type=test
fn nobody_else_sees_the_credentials() {
    let server = serve(&startup());
    let trace = Trace::default();
    let mut alice = phone(&server, "alice", UDP, &trace);
    let mut bob = phone(&server, "bob", TCP, &trace);
    let [alices, bobs] = connect(&mut alice, &mut bob, SDP).unwrap();
    end((&mut alice, &alices), (&mut bob, &bobs)).unwrap();
    let entries = trace.take();
    for method in ["INVITE", "ACK"] {
        let sent = texts(&entries, "alice", Way::Sent, method);
        assert!(sent.iter().any(|text| text.contains("Proxy-Authorization: ")), "{method}");
        let heard = texts(&entries, "bob", Way::Heard, method);
        assert_eq!(heard.len(), 1, "{method}");
        assert!(!heard[0].contains("Authorization"), "{}", heard[0]);
    }
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_wrong_password_is_refused_and_said_so() {
    let server = serve(&startup());
    let mut profile = profile(&server, "alice", UDP);
    profile.password = "guessed".into();
    let mut alice = Phone::switch_on(profile, &Trace::default()).unwrap();
    let failure = alice.register(300).expect_err("a wrong password");
    assert_eq!(status_of(&failure), 401);
    let said = failure.to_string();
    assert!(said.starts_with("alice was refused: 401 Unauthorized to REGISTER, "), "{said}");
    server.shutdown(Duration::ZERO);
}

/// An offer that makes an INVITE longer than a datagram may be where the path MTU is unknown.
fn large_offer() -> String {
    let mut offer = String::from("v=0\r\nm=audio 9 RTP/AVP 0\r\n");
    for nth in 0..60 {
        offer.push_str(&format!("a=x-attribute:{nth} of many\r\n"));
    }
    assert!(offer.len() > 1_300);
    offer
}

#[test]
//= RFC 3261 18.1.1 type=test
fn a_large_invite_goes_over_tcp_to_a_phone_that_registered_over_udp() {
    let server = serve(&startup());
    let trace = Trace::default();
    let mut alice = phone(&server, "alice", TCP, &trace);
    let bob = phone(&server, "bob", UDP, &trace);
    let listener = TcpListener::bind(bob.local()).unwrap();
    let offer = large_offer();
    let outgoing =
        alice.invite("sip:bob@example.org", Some(("application/sdp", offer.as_bytes()))).unwrap();

    let (mut stream, source) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let invite = read_message(&mut stream);
    let mut index = Index::new();
    let invite = parse(&invite, &mut index, Framing::Stream).unwrap();
    assert_eq!(invite.request_uri(), format!("sip:bob@{}", bob.local()).as_bytes());
    assert_eq!(invite.top_via().unwrap().transport, b"TCP");
    assert_eq!(invite.body(), offer.as_bytes());
    stream.write_all(&busy(&invite, source)).unwrap();
    let refused = alice.hear_answer(outgoing).expect_err("busy");
    assert_eq!(status_of(&refused), BUSY);
    let entries = trace.take();
    assert!(texts(&entries, "bob", Way::Heard, "INVITE").is_empty(), "nothing as a datagram");
    server.shutdown(Duration::ZERO);
}

fn read_message(stream: &mut impl Read) -> Vec<u8> {
    let mut framer = Framer::new();
    let mut buffer = [0; 4_096];
    loop {
        let length = stream.read(&mut buffer).expect("a message");
        assert!(length > 0, "closed too soon");
        framer.push(&buffer[..length]);
        if let Some(Ok(Frame::Message(bytes))) = framer.next() {
            return bytes.to_vec();
        }
    }
}

fn busy(invite: &Message<'_>, source: SocketAddr) -> Vec<u8> {
    let mut out = Vec::new();
    ResponseWriter::new(&mut out, invite, (BUSY, "Busy Here"), Some(b"b"), source).finish(None);
    out
}

#[test]
//= RFC 3261 18.1.1 type=test
fn a_large_invite_to_a_phone_without_tcp_goes_as_a_datagram() {
    let server = serve(&startup());
    let trace = Trace::default();
    let mut alice = phone(&server, "alice", TCP, &trace);
    let mut bob = phone(&server, "bob", UDP, &trace);
    let offer = large_offer();
    let begun = Instant::now();
    let offer = Some(("application/sdp", offer.as_bytes()));
    let [alices, bobs] = connect(&mut alice, &mut bob, offer).unwrap();
    assert!(begun.elapsed() < FAST, "{:?}", begun.elapsed());
    end((&mut bob, &bobs), (&mut alice, &alices)).unwrap();
    let invites = texts(&trace.take(), "bob", Way::Heard, "INVITE");
    assert!(invites.iter().all(|invite| invite.contains("\r\nVia: SIP/2.0/UDP ")), "{invites:?}");
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_phone_whose_connection_is_gone_is_known_to_be_gone_at_once() {
    let server = serve(&startup());
    let trace = Trace::default();
    let mut alice = phone(&server, "alice", UDP, &trace);
    let bob = phone(&server, "bob", TCP, &trace);
    drop(bob);
    let begun = Instant::now();
    let refused = alice
        .invite("sip:bob@example.org", SDP)
        .and_then(|outgoing| alice.hear_answer(outgoing).map(|_| ()))
        .expect_err("nobody is there");
    // Who calls before the server noticed is told that the flow failed (RFC 5626 §5.3.1).
    assert!([430, 480].contains(&status_of(&refused)), "{refused}");
    assert!(begun.elapsed() < FAST, "{:?}", begun.elapsed());

    eventually("the connection is forgotten", || server.engine().connections().is_empty());
    let begun = Instant::now();
    let refused = alice
        .invite("sip:bob@example.org", SDP)
        .and_then(|outgoing| alice.hear_answer(outgoing).map(|_| ()))
        .expect_err("nobody is there");
    assert_eq!(status_of(&refused), 480, "{refused}");
    assert!(begun.elapsed() < FAST, "{:?}", begun.elapsed());
    server.shutdown(Duration::ZERO);
}

#[test]
fn who_talks_to_a_phone_whose_connection_is_gone_can_hang_up_at_once() {
    let server = serve(&startup());
    let trace = Trace::default();
    let mut alice = phone(&server, "alice", UDP, &trace);
    let mut bob = phone(&server, "bob", TCP, &trace);
    let [alices, _] = connect(&mut alice, &mut bob, SDP).unwrap();
    drop(bob);
    eventually("the connection is forgotten", || server.engine().connections().is_empty());
    let begun = Instant::now();
    let bye = alice.hang_up(&alices).unwrap();
    let refused = alice.hear_farewell(&bye).expect_err("nobody is there");
    assert!([430, 480].contains(&status_of(&refused)), "{refused}");
    assert!(begun.elapsed() < FAST, "{:?}", begun.elapsed());
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_phone_tells_who_was_silent_and_for_how_long() {
    let silent = UdpSocket::bind((V4, 0)).unwrap();
    let profile = Profile {
        user: "alice".into(),
        password: "opensesame".into(),
        domain: "example.org".into(),
        server: silent.local_addr().unwrap(),
        transport: Transport::Udp,
    };
    let trace = Trace::default();
    let patience = Duration::from_millis(700);
    let alice = Phone::switch_on(profile.clone(), &trace).unwrap();
    let failure = alice.with_patience(patience).register(300).expect_err("silence");
    assert!(matches!(failure.cause, Cause::Silence(_)) && failure.after >= patience);
    assert!(failure.to_string().contains("in vain for an answer to REGISTER"), "{failure}");
    let again: Vec<_> = trace.take().iter().map(|entry| entry.again).collect();
    assert_eq!(again, [false, true], "it asked twice");

    let tcp = Profile { transport: Transport::Tcp, ..profile };
    let failure = Phone::switch_on(tcp, &trace).expect_err("nobody listens");
    assert!(matches!(failure.cause, Cause::System(_)), "{failure}");
}
