//! Peers that ask who we are, and what of ours goes where (row C10).

mod world;

use ringway_core::boundary::{Event, LoginOutcome};
use ringway_core::identity::PeerLogin;
use ringway_core::route::rules::{Action, Route, Upstream};
use ringway_core::snapshot::Peer;
use sha2::{Digest, Sha256};
use world::*;

const GATEWAY: &str = "198.51.200.7:5060";
const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"|";

/// A world with a route for numbers to a gateway that has its address and nothing else.
fn with_gateway() -> World {
    let mut world = world();
    let peer = Peer {
        name: "gateway".into(),
        address: Some((*b"sip:198.51.200.7").into()),
        login: Some(PeerLogin::new(b"ring", b"carrier", b"secret")),
        ..Peer::default()
    };
    world.snapshot.routes = vec![Route {
        name: "numbers".into(),
        domain: None,
        prefix: (*b"+49").into(),
        methods: Vec::new(),
        stateless: false,
        action: Action::Forward(Upstream::of(&peer).into_iter().collect()),
    }];
    world.snapshot.peers.push(peer);
    world.use_snapshot();
    world
}

/// Sends a request through to the gateway.
fn through(world: &mut World, method: &str) -> Sent {
    let sent = world.receive(EDGE, &request(method, "sip:+4989@example.org", ""));
    let copy = sent.last().expect("it passes").clone();
    assert_eq!(copy.to, format!("udp {GATEWAY}"));
    copy
}

fn outcomes(world: &World) -> Vec<LoginOutcome> {
    let outcome = |event: &Event| match event {
        Event::Login { outcome, .. } => Some(*outcome),
        _ => None,
    };
    world.events.iter().filter_map(outcome).collect()
}

fn hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A parameter of credentials.
fn param<'a>(value: &'a str, name: &str) -> &'a str {
    let after = value.split_once(&format!("{name}=")).expect(name).1;
    after.split(',').next().unwrap_or_default().trim_matches('"')
}

#[test]
fn the_answer_proves_the_password_for_the_uri_that_is_sent() {
    let mut world = with_gateway();
    let mut branches = Vec::new();
    for nc in 1..=3 {
        let copy = through(&mut world, "MESSAGE");
        let again = world.receive(GATEWAY, &copy.answer(401, CHALLENGE));
        assert_eq!(lines(&again), [format!("udp {GATEWAY} <- {}", copy.first_line())]);
        let value = again[0].one("Authorization");
        let uri = copy.first_line().split(' ').nth(1).expect("a URI");
        assert_eq!((param(value, "uri"), param(value, "username")), (uri, "ring"));
        let (count, cnonce) = (param(value, "nc"), param(value, "cnonce"));
        assert_eq!(count, format!("{nc:08x}"), "the same nonce is counted");
        let (a1, a2) = (hex("ring:carrier:secret"), hex(&format!("MESSAGE:{uri}")));
        let wanted = hex(&format!("{a1}:n1:{count}:{cnonce}:auth:{a2}"));
        assert_eq!(param(value, "response"), wanted);
        assert_eq!(again[0].one("CSeq"), copy.one("CSeq"));
        let via = |sent: &Sent| sent.all("Via")[0].to_owned();
        branches.extend([via(&copy), via(&again[0]), cnonce.to_owned()]);
        let done = world.receive(GATEWAY, &again[0].answer(200, ""));
        assert_eq!(statuses(&done), [200]);
        world.pass(40_000);
    }
    branches.sort();
    branches.dedup();
    assert_eq!(branches.len(), 9, "a branch and a cnonce are used once");
    assert_eq!(outcomes(&world), [LoginOutcome::Answered; 3]);
    assert_eq!(world.node.counters().logins.get("answered"), Some(&3));
}

// All who forwarded the request, and the phone at its end, have read our branch.
#[test]
fn c10_a_question_from_elsewhere_is_not_answered() {
    for from in [STRANGER, "tcp#9 198.51.200.7:5060"] {
        let mut world = with_gateway();
        let copy = through(&mut world, "INVITE");
        let sent = world.receive(from, &copy.answer(401, CHALLENGE));
        assert_eq!(sent.last().map(Sent::status), Some(500), "{:?}", lines(&sent));
        assert!(sent.iter().all(|sent| !sent.text.contains("Authorization: ")));
        assert_eq!(outcomes(&world), [LoginOutcome::Elsewhere]);
    }
}

// The credentials of a caller for the same realm are no use beside ours, those for others go on.
#[test]
fn credentials_for_the_same_realm_are_replaced() {
    let mut world = with_gateway();
    let digest = |realm: &str| format!("Authorization: Digest username=\"a\", realm=\"{realm}\"|");
    let more = [digest("carrier"), digest("far")].concat();
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:+4989@example.org", &more));
    let copy = sent.last().expect("it passes").clone();
    assert_eq!(copy.all("Authorization").len(), 2, "as it came");
    let again = world.receive(GATEWAY, &copy.answer(401, CHALLENGE));
    let all = again[0].all("Authorization");
    assert_eq!(all.len(), 2, "{}", again[0].text);
    assert_eq!((param(all[0], "realm"), param(all[1], "realm")), ("far", "carrier"));
    assert_eq!(param(all[1], "username"), "ring");
}

// What is not remembered could not be sent once more.
#[test]
fn a_peer_that_may_ask_is_never_served_without_state() {
    let mut world = with_gateway();
    world.snapshot.routes[0].stateless = true;
    world.use_snapshot();
    let copy = through(&mut world, "MESSAGE");
    let again = world.receive(GATEWAY, &copy.answer(401, CHALLENGE));
    assert_eq!(again.len(), 1);
    assert!(again[0].one("Authorization").contains("username=\"ring\""));
}

// A branch that nobody answers any more leaves nothing behind.
#[test]
fn a_peer_that_falls_silent_after_its_question() {
    let mut world = with_gateway();
    let copy = through(&mut world, "INVITE");
    world.receive(GATEWAY, &copy.answer(401, CHALLENGE));
    let later = world.pass(40_000);
    let first = later.iter().find(|(_, sent)| sent.status() > 0).expect("an answer");
    assert_eq!((first.0, first.1.status()), (32_000, 408));
    world.pass(400_000);
    let census = world.census();
    assert_eq!((census.response_contexts, census.client_transactions), (0, 0));
}
