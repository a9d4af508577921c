//! RFC 5626 §5.4, §8: STUN on the SIP port, and phones that do not keep their flows alive.

mod world;

use ringway_core::boundary::{Command, DropReason, Event, Input};
use ringway_core::keep_alive::KeepAlive;
use ringway_wire::stun;
use world::{EDGE, STRANGER, Sent, World, flow, invite, statuses, world};

const BOB: &str = "192.0.2.21:5060";
const ID: [u8; 12] = *b"a-stun-probe";

fn probe(world: &mut World, from: &str) -> Vec<Sent> {
    world.handle(Input::KeptAlive(flow(from), KeepAlive::Stun(ID)))
}

fn unanswered(world: &World, reason: DropReason) -> usize {
    let is_it = |event: &&Event| matches!(event, Event::Dropped { reason: r, .. } if *r == reason);
    world.events.iter().filter(is_it).count()
}

#[test]
fn what_is_a_keep_alive() {
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], &ID[..]].concat();
    assert_eq!(KeepAlive::read(&request), Some(KeepAlive::Stun(ID)));
    for silent in [&b"\r\n\r\n"[..], b"\r\n", b"\0\0\0\0", b"\0", b""] {
        assert_eq!(KeepAlive::read(silent), Some(KeepAlive::Silent), "{silent:?}");
    }
    for other in [&b"\r\n\r\n\r\n"[..], b"OPTIONS sip:x SIP/2.0\r\n\r\n", &request[..19]] {
        assert_eq!(KeepAlive::read(other), None, "{other:?}");
    }
}

// I6: no answer to who has not registered over this very flow, nor after that has ended.
#[test]
//= RFC 5626 5.4 type=test
//= RFC 5626 8 type=test
fn i6_stun_is_answered_where_somebody_is_registered() {
    for from in [BOB, "[2001:db8::21]:5060"] {
        let mut world = world();
        world.register(from, "bob", "<sip:bob@10.0.0.7:5060>;expires=60");
        let sent = probe(&mut world, from);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].flow, flow(from));
        let mut expected = Vec::new();
        stun::write_binding_response(&ID, flow(from).remote, &mut expected);
        assert_eq!(sent[0].text, String::from_utf8_lossy(&expected).replace("\r\n", "|"));
        let neighbour = from.replace(":5060", ":5061");
        for stranger in [STRANGER, EDGE, &neighbour] {
            assert!(probe(&mut world, stranger).is_empty(), "{stranger}");
        }
        assert_eq!(unanswered(&world, DropReason::UnknownFlow), 3);
        world.pass(60_000);
        assert!(probe(&mut world, from).is_empty(), "it is over");
    }
}

#[test]
fn i6_who_asks_too_often_is_not_answered() {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    let answers = |world: &mut World| (0..20).map(|_| probe(world, BOB).len()).sum::<usize>();
    assert_eq!(answers(&mut world), 4);
    assert_eq!(unanswered(&world, DropReason::Overload), 16);
    world.pass(1_000);
    assert_eq!(answers(&mut world), 4);
}

/// When a phone was pinged, in milliseconds, within this time.
fn pings(world: &mut World, ms: u64) -> Vec<u64> {
    let sent = world.pass(ms);
    let ping = |sent: &Sent| sent.first_line().starts_with("OPTIONS ") && sent.to.contains(BOB);
    sent.into_iter().filter(|(_, sent)| ping(sent)).map(|(at, _)| at).collect()
}

fn translated() -> World {
    let mut world = world();
    world.snapshot.settings.nat_ping_s = 25;
    world.use_snapshot();
    world.register(BOB, "bob", "<sip:bob@10.0.0.7:5062;x=y>;expires=3600");
    world
}

#[test]
fn a_phone_that_cannot_keep_its_flow_alive_is_pinged() {
    let mut world = translated();
    let times = pings(&mut world, 3_600_000);
    assert!((140..=180).contains(&times.len()), "{}", times.len());
    let gaps = || times.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(times[0] >= 20_000 && gaps().all(|gap| (20_000..=25_000).contains(&gap)), "{times:?}");
    // None is like the one before it: what began together does not stay together.
    assert!(gaps().any(|gap| gap < 21_500) && gaps().any(|gap| gap > 23_500), "{times:?}");
    assert!(pings(&mut world, 3_600_000).is_empty(), "its registration is over");
}

#[test]
fn an_answer_to_a_ping_is_taken_and_nothing_comes_of_it() {
    let mut world = translated();
    let sent = world.pass(25_000);
    let (_, ping) = &sent[0];
    assert!(ping.text.starts_with("OPTIONS sip:bob@10.0.0.7:5062;x=y SIP/2.0|"), "{ping:?}");
    world::read(ping, |message| assert_eq!(message.max_forwards(), Some(70)));
    for (from, strays) in [(BOB, 0), (STRANGER, 1)] {
        assert!(world.receive(from, &ping.answer(404, "")).is_empty());
        assert_eq!(unanswered(&world, DropReason::StrayResponse), strays, "from {from}");
    }
    assert_eq!(world.node.registrations(), 1, "a phone that says no is there");
    world.pass(200_000);
    assert_eq!(world.node.registrations(), 1, "and so is one that says nothing");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    assert_eq!(sent[1].to, format!("udp {BOB}"));
}

#[test]
fn a_phone_that_keeps_its_flow_alive_is_left_alone() {
    for what in [KeepAlive::Silent, KeepAlive::Stun(ID)] {
        let mut world = translated();
        let mut asked = 0;
        for _ in 0..40 {
            asked += pings(&mut world, 15_000).len();
            world.handle(Input::KeptAlive(flow(BOB), what));
            asked += pings(&mut world, 14_000).len();
        }
        assert_eq!(asked, 0, "{what:?} every 29 s");
        assert!(!pings(&mut world, 80_000).is_empty(), "until it stops doing so");
    }
}

#[test]
fn only_translated_phones_with_datagrams_are_pinged() {
    let mut world = world();
    world.snapshot.settings.nat_ping_s = 25;
    world.use_snapshot();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21:5060>;expires=3600");
    world.register("tcp#3 192.0.2.21:40000", "bob", "<sip:x@a.invalid>;expires=3600");
    assert!(world.pass(300_000).is_empty());
    world.register(BOB, "bob", "<sip:bob@192.0.2.21:5062>;expires=3600");
    assert!(!world.pass(25_000).is_empty(), "another port is another address");
}

// After a start a thousand phones are pinged within the interval, and never many at once.
#[test]
fn pings_do_not_come_in_bursts() {
    let mut world = translated();
    let (aor, bindings) = {
        let all = world.node.bindings();
        (all[0].0.clone(), all[0].1.to_vec())
    };
    world.restart();
    for n in 0..1_000u16 {
        let mut binding = bindings[0].clone();
        binding.flow.remote.set_port(10_000 + n);
        binding.contact = format!("sip:bob@10.0.0.7:{n}").into_bytes().into();
        world.handle(Input::Commanded(Command::Restore(aor.clone(), binding.into())));
    }
    let mut per_second = [0; 25];
    for (at, sent) in world.pass(24_999) {
        assert!(sent.first_line().starts_with("OPTIONS "));
        per_second[at as usize / 1_000] += 1;
    }
    assert!(per_second.iter().all(|count| (15..80).contains(count)), "{per_second:?}");
}

#[test]
fn a_flow_whose_registration_was_refused_is_not_guarded() {
    let mut world = world();
    let text = world::request("REGISTER", "sip:example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:bob@example.org>");
    assert_eq!(statuses(&world.receive(STRANGER, &text)), [401]);
    assert!(probe(&mut world, STRANGER).is_empty());
}
