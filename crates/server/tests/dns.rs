//! Next hops by name, against a name server on loopback that is slow, wrong, empty, enormous,
//! poisoned or gone.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod zone;
mod hops;

use hickory_proto::rr::RecordType;
use hops::{FAST, FORBIDDEN, Far, IN_TIME, NOTHING, OK, Phone, SERVER_ERROR, serve_with, whole};
use ringway_core::flow::Transport;
use ringway_server::server::Startup;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use world::{V4, address as listener, serve};
use zone::{Reply, Zone, address, alias, lasting, naptr, srv};

#[test]
fn naptr_srv_and_addresses_lead_to_the_next_hop() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| whole(name, kind, port));
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@a.test");
    phone.reaches("sip:bob@A.TEST.");
    phone.reaches(&format!("sip:bob@h.test:{port}"));
    assert_eq!(far.heard(), 3);
    for (name, kind) in [("a.test", RecordType::NAPTR), ("h.test", RecordType::A)] {
        assert_eq!(zone.asked(name, kind), 1, "{name} {kind} is remembered");
    }
    server.shutdown(Duration::ZERO);
}

// RFC 3263 §7: who forges an answer may take TLS off a domain, and somebody shall hear of it.
#[test]
fn a_domain_that_names_tls_no_more_raises_an_alarm() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = |is_forged: bool| {
        move |name: &str, kind| match (name, kind) {
            ("a.test", RecordType::NAPTR) => {
                let plain = naptr("a.test", "SIP+D2U", "_sip._udp.b.test");
                let secure = naptr("a.test", "sips+D2T", "_sips._tcp.b.test");
                let all = if is_forged { vec![plain] } else { vec![plain, secure] };
                Reply::Say(all.into_iter().map(|record| lasting(record, 0)).collect())
            }
            _ => whole(name, kind, port),
        }
    };
    let name_server = Zone::start(zone(false));
    let server = serve_with(&name_server);
    let phone = Phone::of(&server);
    let alarms = || server.engine().metrics().dns_tls_withdrawn.load(Ordering::Relaxed);
    for (is_forged, expected) in [(false, 0), (true, 1), (true, 1)] {
        name_server.say(zone(is_forged));
        phone.reaches("sip:bob@a.test");
        assert_eq!(alarms(), expected);
        // What it said counts for at least so long.
        thread::sleep(Duration::from_millis(2_050));
    }
    assert_eq!(name_server.asked("a.test", RecordType::NAPTR), 3);
    server.shutdown(Duration::ZERO);
}

// RFC 3263 §4.2, without NAPTR and without SRV, and over an alias that the server does not follow.
#[test]
fn every_step_may_be_missing() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.b.test", RecordType::SRV) => {
            Reply::Say(vec![alias("_sip._udp.b.test", "_sip._udp.provider.test")])
        }
        ("_sip._udp.provider.test", RecordType::SRV) => {
            Reply::Say(vec![srv("_sip._udp.provider.test", 1, port, "h.test")])
        }
        ("h.test", RecordType::A) => Reply::Say(vec![alias("h.test", "i.test")]),
        ("i.test", RecordType::A) => Reply::Say(vec![address("i.test", V4)]),
        _ => Reply::NoName,
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@b.test");
    phone.reaches(&format!("sip:bob@h.test:{port}"));
    let after = phone.fails("sip:bob@nobody.test");
    assert!(after < FAST, "what does not exist fails at once: {after:?}");
    let asked = zone.asked("nobody.test", RecordType::A);
    phone.fails("sip:bob@nobody.test");
    assert_eq!(zone.asked("nobody.test", RecordType::A), asked, "that there is nothing is known");
    server.shutdown(Duration::ZERO);
}

// K1: whatever the name server says, it costs its own caller five seconds at most, and nobody else
// anything.
#[test]
fn k1_a_hostile_name_server_costs_its_own_caller_only() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let good = || vec![address("x.test", V4)];
    let pointer_to_itself = vec![0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
    let circle = vec![alias("x.test", "y.test"), alias("y.test", "x.test")];
    for (what, reply) in [
        ("silence", Reply::Silence),
        ("failure", Reply::Fail),
        ("another number", Reply::WrongId(good())),
        ("another question", Reply::WrongQuestion(good())),
        ("garbage", Reply::Bytes(vec![0xff; 300])),
        ("nothing", Reply::Bytes(Vec::new())),
        ("a name that points to itself", Reply::Bytes(pointer_to_itself)),
        ("aliases in a circle", Reply::Say(circle)),
        ("an alias of itself", Reply::Say(vec![alias("x.test", "x.test")])),
        ("later than anybody waits", Reply::Late(Duration::from_secs(6), good())),
    ] {
        let zone = Zone::start(move |name, kind| match (name, kind) {
            ("x.test", RecordType::A) => reply.clone(),
            _ => whole(name, kind, port),
        });
        let server = serve_with(&zone);
        let (caller, other) = (Phone::of(&server), Phone::of(&server));
        caller.send("MESSAGE", &format!("sip:bob@x.test:{port}"));
        other.reaches("sip:bob@a.test");
        let (status, after) = caller.hear();
        assert!(status == SERVER_ERROR && after < IN_TIME, "{what}: {status} after {after:?}");
        other.reaches("sip:bob@a.test");
        server.shutdown(Duration::ZERO);
    }
}

// K1: records that nobody asked for go nowhere, and do not stay.
#[test]
fn k1_poison_is_not_taken() {
    let (far, thief) = (Far::answering(OK), Far::on("127.0.0.66", Some(OK)));
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("evil.test", RecordType::A) => {
            let poison = vec![address("h.test", "127.0.0.66"), address("evil.test", "127.0.0.66")];
            Reply::Stuffed(vec![address("h.test", "127.0.0.66")], poison)
        }
        _ => whole(name, kind, port),
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.fails(&format!("sip:bob@evil.test:{}", thief.at.port()));
    phone.reaches("sip:bob@a.test");
    assert_eq!((far.heard(), thief.heard()), (1, 0));
    server.shutdown(Duration::ZERO);
}

// K1: a thousand SRV records, by stream because they fit no datagram.
#[test]
fn k1_an_enormous_answer_is_cut() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.big.test", RecordType::SRV) => {
            let record = |n| srv("_sip._udp.big.test", n, port, &format!("h{n}.test"));
            Reply::Truncated((0..1_000).map(record).collect())
        }
        (host, RecordType::A) if host.starts_with('h') => Reply::Say(vec![address(host, V4)]),
        _ => NOTHING,
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@big.test");
    let asked: usize = (0..1_000).map(|n| zone.asked(&format!("h{n}.test"), RecordType::A)).sum();
    assert!((1..=8).contains(&asked), "{asked} hosts were looked up");
    assert_eq!(far.heard(), 1);
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_hundred_callers_ask_once() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("h.test", RecordType::A) => {
            Reply::Late(Duration::from_millis(300), vec![address("h.test", V4)])
        }
        _ => whole(name, kind, port),
    });
    let server = serve_with(&zone);
    let phones: Vec<_> = (0..100).map(|_| Phone::of(&server)).collect();
    phones.iter().for_each(|phone| phone.send("MESSAGE", "sip:bob@a.test"));
    phones.iter().for_each(|phone| assert_eq!(phone.hear().0, OK));
    assert_eq!(far.heard(), 100);
    assert_eq!(zone.asked("h.test", RecordType::A), 1);
    server.shutdown(Duration::ZERO);
}

// K2: what was known still is when the name service goes; who asks for something new hears so in
// time, and nobody waits for it.
#[test]
fn k2_a_name_service_that_is_gone_stops_nobody_else() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let short = move |name: &str, kind| match whole(name, kind, port) {
        Reply::Say(records) => {
            Reply::Say(records.into_iter().map(|record| lasting(record, 1)).collect())
        }
        other => other,
    };
    let zone = Zone::start(short);
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@a.test");
    zone.say(|_, _| Reply::Silence);
    thread::sleep(Duration::from_millis(2_100));
    // More than the server has threads, many times over.
    let waiting: Vec<_> = (0..100).map(|_| Phone::of(&server)).collect();
    for (n, waiting) in waiting.iter().enumerate() {
        waiting.send("MESSAGE", &format!("sip:bob@new{n}.test"));
    }
    for _ in 0..50 {
        phone.reaches(&format!("sip:bob@{}", far.at));
    }
    // What is over serves on: the first one waits for the name service, the others no more.
    let (status, after) = phone.ask("MESSAGE", "sip:bob@a.test");
    assert!(status == OK && after < IN_TIME, "{status} after {after:?}");
    phone.reaches("sip:bob@a.test");
    for waiting in &waiting {
        let (status, after) = waiting.hear();
        assert!(status == SERVER_ERROR && after < IN_TIME, "{status} after {after:?}");
    }
    // Back again.
    zone.say(move |name, kind| whole(name, kind, port));
    phone.reaches(&format!("sip:bob@{}", far.at));
    server.shutdown(Duration::ZERO);
}

// K3, F3: each use is checked, whatever the name service said before.
#[test]
fn k3_an_answer_that_changes_outruns_no_check() {
    let (open, inside) = (Far::on("127.0.0.2", Some(OK)), Far::on("127.0.0.9", Some(OK)));
    // The port of the canary answers at its own address only.
    let [open_port, inside_port] = [open.at.port(), inside.at.port()];
    let turn = AtomicUsize::new(0);
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.rebind.test", RecordType::SRV) => {
            let n = turn.fetch_add(1, Ordering::Relaxed);
            let (port, host) = [(open_port, "open.test"), (inside_port, "inside.test")][n % 2];
            Reply::Say(vec![lasting(srv(name, 1, port, host), 0)])
        }
        ("open.test", RecordType::A) => Reply::Say(vec![address(name, "127.0.0.2")]),
        ("inside.test", RecordType::A) => Reply::Say(vec![address(name, "127.0.0.9")]),
        ("both.test", RecordType::A) => {
            Reply::Say(vec![address(name, "127.0.0.9"), address(name, "127.0.0.2")])
        }
        _ => NOTHING,
    });
    let mut startup = Startup { dns: vec![zone.address], ..world::startup() };
    // The phone alone is trusted; of this machine one address may be called.
    let phone = UdpSocket::bind((V4, 0)).unwrap();
    startup.peers[0].networks = vec![(V4.parse().unwrap(), 32)];
    startup.settings.reach = vec![("127.0.0.2".parse().unwrap(), 32)];
    let server = serve(&startup);
    phone.connect(listener(&server, Transport::Udp, V4)).unwrap();
    let phone = Phone(phone);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(phone.ask("MESSAGE", "sip:bob@rebind.test").0);
        // Longer than any answer counts that shall count for no time.
        thread::sleep(Duration::from_millis(2_100));
    }
    assert_eq!(statuses, [OK, FORBIDDEN]);
    phone.reaches(&format!("sip:bob@both.test:{open_port}"));
    for host in ["127.0.0.9", "inside.test", "[::ffff:127.0.0.9]"] {
        let (status, _) = phone.ask("MESSAGE", &format!("sip:bob@{host}:{inside_port}"));
        assert_eq!(status, FORBIDDEN, "{host}");
    }
    assert_eq!((open.heard(), inside.heard()), (2, 0));
    server.shutdown(Duration::ZERO);
}
