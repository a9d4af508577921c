//! REGISTER on a whole node: who may, what is refused, and when it is acknowledged (part D of the
//! threat list; RFC 3261 §10.3).

mod world;

use ringway_core::boundary::{Answer, CommitToken, Input};
use ringway_core::limits;
use std::collections::BTreeMap;
use world::{EDGE, STRANGER, World, account, read, request, statuses, with_login, world};

// D1, D2: whose bindings they are decides who changes them.
#[test]
//= RFC 3261 10.3 type=test
fn d1_nobody_registers_for_another() {
    let mut world = world();
    world.register("192.0.2.21:5060", "bob", "<sip:bob@192.0.2.21>");
    for (contact, expires) in
        [("<sip:eve@203.0.113.1>", "600"), ("*", "0"), ("<sip:bob@192.0.2.21>", "0")]
    {
        let text = format!(
            "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP e;branch=z9hG4bKeve{};rport|From: \
             <sip:bob@example.org>;tag=r|To: <sip:bob@example.org>|Call-ID: eve|CSeq: 1 REGISTER|\
             Contact: {contact}|Expires: {expires}|Content-Length: 0||",
            contact.len()
        );
        assert_eq!(statuses(&world.log_in(STRANGER, "alice", &text)), [403]);
        assert_eq!(world.node.registrations(), 1);
    }
    // Nobody of this name: only who may ask is told.
    let text = request("REGISTER", "sip:example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:nobody@example.org>");
    assert_eq!(statuses(&world.receive(STRANGER, &text)), [401]);
    assert_eq!(statuses(&world.log_in(STRANGER, "alice", &text)), [403]);
    assert_eq!(statuses(&world.receive(EDGE, &text)), [404]);
    // Nor for somebody whose account is disabled, whoever asks.
    let mut gone = account("carol");
    gone.enabled = false;
    world.snapshot.accounts.put(gone);
    world.use_snapshot();
    let text = text.replace("nobody", "carol");
    assert_eq!(statuses(&world.receive(EDGE, &text)), [404]);
}

#[test]
//= RFC 3261 10.3 type=test
fn a_registration_is_acknowledged_when_it_is_kept_and_not_before() {
    let mut world = world();
    world.keeps = false;
    let text = request("REGISTER", "sip:example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:alice@example.org>");
    let challenge = world.receive(STRANGER, &text)[0].clone();
    let good = with_login(&text, &challenge, "alice", "secret").expect("a challenge");
    assert!(world.receive(STRANGER, &good).is_empty(), "nothing before the commit");
    assert_eq!(world.node.registrations(), 0, "not visible either");
    assert!(world.receive(STRANGER, &good).is_empty(), "a repetition waits for the same commit");
    assert_eq!(world.asks.len(), 1);
    let token = CommitToken::committed(1);
    let sent = world.answer(Answer::Kept(token));
    assert_eq!(statuses(&sent), [200]);
    read(&sent[0], |ok| assert_eq!(ok.contacts().count(), 1));
    assert_eq!(statuses(&world.receive(STRANGER, &good)), [200], "a late repetition");
    assert_eq!(world.node.registrations(), 1);
    // A store that fails leaves everything as it was.
    let challenge = world.receive(STRANGER, &text.replace("call", "c2"))[0].clone();
    let fresh =
        with_login(&text.replace("call", "c2"), &challenge, "alice", "secret").expect("one");
    assert!(world.receive(STRANGER, &fresh).is_empty());
    assert_eq!(statuses(&world.answer(Answer::Failed)), [500]);
    assert_eq!(world.node.registrations(), 1);
    // So does one that never answers.
    let challenge = world.receive(STRANGER, &text.replace("call", "c3"))[0].clone();
    let fresh =
        with_login(&text.replace("call", "c3"), &challenge, "alice", "secret").expect("one");
    assert!(world.receive(STRANGER, &fresh).is_empty());
    let passed = world.pass(5_000);
    assert_eq!((passed[0].0, passed[0].1.status()), (5_000, 500));
}

// D6: a Path is followed if a trusted edge has put it there; else it is refused, never forgotten.
#[test]
//= RFC 3327 5.3 type=test
fn d6_a_path_counts_from_a_trusted_edge_only() {
    for (from, trusted) in [(STRANGER, false), (EDGE, true)] {
        for (more, status) in [
            ("Path: <sip:edge.example;lr>|", 420),
            ("Path: <sip:edge.example;lr>|Supported: outbound|", 420),
            ("Path: <sip:edge.example;lr>|k: outbound, path|", if trusted { 200 } else { 403 }),
        ] {
            let text = request("REGISTER", "sip:example.org", more)
                .replace("To: <sip:example.org>", "To: <sip:alice@example.org>");
            let mut world = world();
            let sent = world.receive(from, &text);
            assert_eq!(statuses(&sent), [status], "{more}");
            let unsupported = if status == 420 { vec!["path"] } else { vec![] };
            assert_eq!(sent[0].all("Unsupported"), unsupported);
            assert_eq!(world.node.registrations(), usize::from(status == 200));
            let path = if status == 200 { vec!["<sip:edge.example;lr>"] } else { vec![] };
            assert_eq!(sent[0].all("Path"), path, "the answer says so");
        }
    }
}

// A request and its answer meet in one partition.
#[test]
fn a_registration_elsewhere_lives_where_its_answers_come_to() {
    let world = world();
    let home = |text: &str| {
        let bytes = text.replace('|', "\r\n").into_bytes();
        let mut index = ringway_wire::Index::new();
        let framing = ringway_wire::Framing::Datagram;
        let message = ringway_wire::parse(&bytes, &mut index, framing).expect("a message");
        ringway_core::node::home_of(&world.setup, &world.snapshot, &message)
    };
    let register = |uri: &str, more: &str| {
        request("REGISTER", uri, more)
            .replace(&format!("To: <{uri}>"), "To: <sip:alice@example.org>")
    };
    let response = "SIP/2.0 200 OK|Via: SIP/2.0/UDP h|From: <sip:a@b>;tag=1|\
                    To: <sip:alice@example.org>;tag=2|Call-ID: call|CSeq: 1 REGISTER||";
    let here = home(&register("sip:example.org", ""));
    assert_ne!(here, home(response));
    assert_eq!(here, home(&register("sip:192.0.2.1:5060", "Route: <sip:example.org;lr>|")));
    assert_eq!(home(&register("sip:far.example", "")), home(response));
    let routed = register("sip:example.org", "Route: <sip:far.example;lr>|");
    assert_eq!(home(&routed), home(response));
    let other_call = register("sip:example.org", "").replace("Call-ID: call", "Call-ID: c2");
    assert_eq!(here, home(&other_call), "bindings of one user are together");
}

// D4: contacts that would lead back here, to nobody, or to everybody.
#[test]
//= RFC 5627 5.1 type=test
fn d4_contacts_that_lead_to_ourselves_or_nowhere_are_refused() {
    for (contact, from_anybody, from_edge) in [
        ("sip:alice@192.0.2.77", true, true),
        ("sip:alice@df7jal23ls0d.invalid;transport=ws", true, true),
        ("sip:alice@10.1.2.3:5062", true, true),
        ("sip:alice@example.org", false, false),
        ("sip:alice@example.org;gr=urn:uuid:1", false, false),
        ("sip:bob@example.org", false, false),
        ("sip:x@192.0.2.1", false, false),
        ("sip:x@192.0.2.1:5060;transport=tcp", false, false),
        ("sip:x@192.0.2.1:5099", true, true),
        ("sip:x@[2001:db8::1]", false, false),
        ("sip:x@[::ffff:192.0.2.1]", false, false),
        ("sip:x@224.0.1.75", false, false),
        ("sip:x@[ff02::1]", false, false),
        ("sip:x@255.255.255.255", false, false),
        ("sip:x@0.0.0.0", false, false),
        ("sip:x@[::]", false, false),
        ("sip:x@127.0.0.1:5062", true, false),
        ("sip:x@[::1]:5062", true, false),
        ("sip:x@169.254.1.1", true, false),
        ("sip:x@[fe80::1]", true, false),
    ] {
        for (from, taken) in [(STRANGER, from_anybody), (EDGE, from_edge)] {
            let mut world = world();
            let text = request("REGISTER", "sip:example.org", "")
                .replace("To: <sip:example.org>", "To: <sip:alice@example.org>")
                .replace("sip:alice@198.51.100.1", contact);
            let sent = world.log_in(from, "alice", &text);
            assert_eq!(statuses(&sent), [if taken { 200 } else { 403 }], "{contact} from {from}");
        }
    }
}

// D8: a store that all phones want at once keeps what it can in time; others come back later, and
// not together. Whoever only asks, and whoever is in a call, is served meanwhile.
#[test]
fn d8_phones_that_come_back_at_once_are_let_in_as_the_store_can_follow() {
    const ROOM: usize = limits::REGISTRATIONS_UNDER_WAY;
    const OVER: usize = 300;
    let mut world = world();
    world.register("192.0.2.21:5060", "bob", "<sip:bob@192.0.2.21>");
    (0..ROOM + OVER).for_each(|n| world.snapshot.accounts.put(account(&format!("u{n}"))));
    world.use_snapshot();
    world.keeps = false;
    let register = |n: usize, branch: &str| {
        format!(
            "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/TCP p;branch=z9hG4bK{branch}{n}|\
             From: <sip:u{n}@example.org>;tag=r|To: <sip:u{n}@example.org>|Call-ID: c{n}|\
             CSeq: 1 REGISTER|Contact: <sip:u@198.51.100.9>|Content-Length: 0||"
        )
    };
    let phone = "tcp#3 198.51.100.9:40000";
    let come =
        |world: &mut World, n, branch| world.log_in(phone, &format!("u{n}"), &register(n, branch));
    for n in 0..ROOM {
        assert!(come(&mut world, n, "a").is_empty(), "{n} waits for the store");
    }
    let mut times = BTreeMap::<u32, usize>::new();
    for n in ROOM..ROOM + OVER {
        let sent = come(&mut world, n, "a");
        assert_eq!(statuses(&sent), [503]);
        *times.entry(sent[0].one("Retry-After").parse().expect("seconds")).or_default() += 1;
    }
    assert!(times.len() > 25 && times.values().all(|&n| n < OVER / 8), "spread: {times:?}");
    let (first, last) = (times.keys().next(), times.keys().last());
    assert!(first >= Some(&5) && last <= Some(&35), "{times:?}");
    assert_eq!(world.asks.len(), ROOM, "the store is asked for no more");
    let fetch = register(3, "f").replace("Contact: <sip:u@198.51.100.9>|", "").replace("c3", "f3");
    assert!(world.log_in(phone, "u3", &fetch).is_empty(), "it hears what comes of its own");
    let sent = world.receive(EDGE, &request("INVITE", "sip:bob@example.org", ""));
    assert_eq!(sent[1].to, "udp 192.0.2.21:5060", "calls go on: {sent:?}");
    for (ask, _) in std::mem::take(&mut world.asks) {
        world.handle(Input::Answered { ask, answer: Answer::Kept(CommitToken::committed(1)) });
    }
    world.keeps = true;
    assert_eq!(statuses(&come(&mut world, ROOM, "b")), [200], "there is room again");
}
