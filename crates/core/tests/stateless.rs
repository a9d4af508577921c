//! RFC 3261 §16.11: what leaves no state.

mod world;

use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{Answer, Event, Question};
use ringway_core::flow::CertifiedName;
use ringway_core::node::Census;
use ringway_core::reject::Reject;
use ringway_core::route::explain::explain;
use ringway_core::route::rules::{Action, Redirection, Route, Service, Upstream};
use ringway_core::snapshot::Peer;
use world::{EDGE, STRANGER, Sent, World, flow, world};

const NEXT: &str = "203.0.113.9:5060";

fn route(action: Action) -> Route {
    let (domain, prefix, methods) = (None, (*b"").into(), Vec::new());
    Route { name: "out".into(), domain, prefix, methods, action, stateless: true }
}

fn stateless_world() -> World {
    let mut world = world();
    world.snapshot.routes = vec![route(Action::Onward)];
    world.use_snapshot();
    world
}

fn request(method: &str, uri: &str, via: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0|Via: {via}|Max-Forwards: 70|From: <sip:a@far.example>;tag=f|\
         To: <sip:bob@far.example>|Call-ID: one|CSeq: 1 {method}|Content-Length: 0||"
    )
}

const VIA: &str = "SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKone;rport";

fn branch(sent: &Sent) -> String {
    let top = sent.all("Via")[0].split("branch=").nth(1).expect("a branch");
    top.split(';').next().expect("one").to_owned()
}

fn only(sent: Vec<Sent>) -> Sent {
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.into_iter().next().expect("one")
}

#[test]
//= RFC 3261 16.11 type=test
fn what_belongs_together_has_one_branch_and_leaves_nothing() {
    let mut world = stateless_world();
    let uri = "sip:bob@203.0.113.9";
    let first = only(world.receive(EDGE, &request("INVITE", uri, VIA)));
    assert_eq!(first.to, format!("udp {NEXT}"));
    assert_eq!(first.one("Max-Forwards"), "69");
    assert_eq!(first.on_failure, None);
    let again = only(world.receive(EDGE, &request("INVITE", uri, VIA)));
    assert_eq!(again, first, "byte for byte");
    for method in ["CANCEL", "ACK"] {
        let follower = only(world.receive(EDGE, &request(method, uri, VIA)));
        assert_eq!((&*follower.to, branch(&follower)), (&*first.to, branch(&first)), "{method}");
    }
    for (via, from) in [
        ("SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bKtwo;rport", EDGE),
        ("SIP/2.0/UDP 198.51.100.1:5061;branch=z9hG4bKone;rport", EDGE),
    ] {
        let other = only(world.receive(from, &request("INVITE", uri, via)));
        assert_ne!(branch(&other), branch(&first), "{via}");
    }
    let other = only(world.receive(EDGE, &request("INVITE", "sip:carol@203.0.113.9", VIA)));
    assert_ne!(branch(&other), branch(&first), "another target is another way");
    assert_eq!(world.census(), Census::default());
    assert_eq!(world.wake, None, "nobody waits for anything");
    world.restart();
    let later = only(world.receive(EDGE, &request("INVITE", uri, VIA)));
    assert_eq!(later, first, "a restart changes nothing");
}

#[test]
fn a_cancel_over_a_new_connection_belongs_to_its_invite() {
    let mut world = stateless_world();
    let uri = "sip:bob@203.0.113.9";
    let via = "SIP/2.0/TCP 198.51.100.1:5060;branch=z9hG4bKone";
    let invite = only(world.receive("tcp#3 198.51.100.1:40000", &request("INVITE", uri, via)));
    let cancel = only(world.receive("tcp#4 198.51.100.1:40001", &request("CANCEL", uri, via)));
    assert_eq!(branch(&invite), branch(&cancel));
    let back = only(world.receive(NEXT, &cancel.answer(200, "")));
    assert_eq!(back.flow.connection, flow("tcp#4 198.51.100.1:40001").connection);
    let back = only(world.receive(NEXT, &invite.answer(487, "")));
    assert_eq!(back.flow.connection, flow("tcp#3 198.51.100.1:40000").connection);
}

#[test]
//= RFC 3261 16.11 type=test
fn responses_go_where_the_via_below_says() {
    for (from, via, to) in [
        (EDGE, VIA, "udp 198.51.100.1:5060"),
        ("198.51.100.1:7", "SIP/2.0/UDP h.example:9;branch=z9hG4bKa;rport", "udp 198.51.100.1:7"),
        ("198.51.100.1:7", "SIP/2.0/UDP h.example:9;branch=z9hG4bKa", "udp 198.51.100.1:9"),
        ("198.51.100.1:7", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa", "udp 198.51.100.1:5060"),
        // What it says of itself is not believed, and no third address is answered.
        (
            "198.51.100.1:7",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa;received=192.0.2.66;maddr=192.0.2.66",
            "udp 198.51.100.1:5060",
        ),
        (
            "[2001:db8:5::1]:7",
            "SIP/2.0/UDP [2001:db8::9]:8;branch=z9hG4bKa",
            "udp [2001:db8:5::1]:8",
        ),
        (
            "tcp#5 198.51.100.1:40000",
            "SIP/2.0/TCP 198.51.100.1:5070;branch=z9hG4bKa;rport",
            // Over the connection, or else to the port where it listens.
            "tcp#5 198.51.100.1:5070",
        ),
    ] {
        let mut world = stateless_world();
        let passed = only(world.receive(from, &request("OPTIONS", "sip:bob@203.0.113.9", via)));
        for status in [100, 200] {
            let back = only(world.receive(NEXT, &passed.answer(status, "Server: x|")));
            assert_eq!((back.status(), &*back.to), (status, to), "{via}");
            assert_eq!((back.all("Via").len(), back.one("Server")), (1, "x"), "{via}");
        }
        assert_eq!(world.census(), Census::default(), "{via}");
    }
}

#[test]
//= RFC 3261 16.11 type=test
fn e2_f1_a_response_whose_request_did_not_pass_goes_nowhere() {
    let mut world = stateless_world();
    let passed = only(world.receive(EDGE, &request("OPTIONS", "sip:bob@203.0.113.9", VIA)));
    let answer = passed.answer(200, "");
    assert_eq!(world.receive(NEXT, &answer).len(), 1, "as it is");
    let flow = passed.all("Via")[0].split("flow=").nth(1).expect("one")[..22].to_owned();
    let other_flow = flow.replacen('0', "1", 1);
    let other_count = format!("{}1{}", &flow[..5], &flow[6..]);
    let other_proof =
        format!("{}{:x}", &flow[..21], 15 - u8::from_str_radix(&flow[21..], 16).expect("a digit"));
    let other_connection = format!("{flow}0000000000000007");
    let whole = branch(&passed);
    let (one, loops) = whole.split_at(whole.len() - 1);
    let other_branch = format!("{one}{}", if loops == "0" { "1" } else { "0" });
    for (what, by) in [
        ("rport=5060", "rport=5061".to_owned()),
        ("received=198.51.100.1", "received=192.0.2.66".to_owned()),
        ("UDP 198.51.100.1:5060", "UDP 198.51.100.2:5060".to_owned()),
        ("branch=z9hG4bKone", "branch=z9hG4bKtwo".to_owned()),
        ("Call-ID: one", "Call-ID: two".to_owned()),
        (&branch(&passed), other_branch),
        ("UDP 192.0.2.1:5060", "UDP 192.0.2.2:5060".to_owned()),
        (&flow, other_flow),
        (&flow, other_count),
        (&flow, other_proof),
        (&flow, other_connection),
        (&flow, "7".to_owned()),
        (&format!("flow={flow}"), "x".to_owned()),
    ] {
        let forged = answer.replacen(what, &by, 1);
        assert_ne!(forged, answer, "{what}");
        assert_eq!(world.receive(NEXT, &forged), [], "{what} {by}");
    }
    // A Via that is not ours on top, and none below.
    let end = answer.find("Via: SIP/2.0/UDP 198").expect("a Via");
    let alone = format!("{}{}", &answer[..end], answer[end..].split_once('|').expect("a line").1);
    assert_eq!(world.receive(NEXT, &alone), []);
    let dropped = world.events.iter().filter(|event| matches!(event, Event::Dropped { .. }));
    assert_eq!(dropped.count(), 14);
}

#[test]
fn f1_nobody_but_peers_is_served_without_state() {
    let mut world = stateless_world();
    let uri = "sip:bob@203.0.113.9";
    let from_us = |method| request(method, uri, VIA).replace("sip:a@far", "sip:alice@example");
    let challenge =
        only(world.receive(STRANGER, &from_us("INVITE").replace("example.example", "example.org")));
    assert!([403, 407].contains(&challenge.status()), "{challenge:?}");
    assert_eq!(world.receive(STRANGER, &from_us("ACK")), []);
    assert_eq!(world.receive(STRANGER, &from_us("CANCEL")), []);
    assert_eq!(world.census(), Census::default());
    // Who answers a challenge spends a nonce count, and has state.
    let text = request("MESSAGE", uri, VIA).replace("sip:a@far.example", "sip:alice@example.org");
    let sent = world.log_in(STRANGER, "alice", &text);
    assert_eq!(sent.last().map(Sent::first_line), Some("MESSAGE sip:bob@203.0.113.9 SIP/2.0"));
    assert_eq!(world.census().client_transactions, 1);
}

#[test]
fn names_are_looked_up_with_a_seed_of_the_call() {
    let mut world = stateless_world();
    let uri = "sip:bob@many.example";
    let mut seeds = Vec::new();
    for method in ["INVITE", "INVITE", "CANCEL", "ACK"] {
        assert_eq!(world.receive(EDGE, &request(method, uri, VIA)), []);
        let (_, Question::Resolve(hop)) = &world.asks[0] else { panic!("{:?}", world.asks) };
        seeds.push(hop.seed.expect("a seed"));
        let flows = vec![flow("127.0.0.1:5099"), flow(NEXT), flow("203.0.113.10:5060")];
        let sent = only(world.answer(Answer::Resolved(flows)));
        assert_eq!(
            (&*sent.to, sent.first_line()),
            ("udp 203.0.113.9:5060", &*format!("{method} {uri} SIP/2.0"),)
        );
    }
    assert!(seeds.iter().all(|seed| *seed == seeds[0]), "{seeds:?}");
    let other = request("INVITE", uri, VIA).replace("Call-ID: one", "Call-ID: two");
    world.receive(EDGE, &other);
    assert!(matches!(&world.asks[0].1, Question::Resolve(hop) if hop.seed != Some(seeds[0])));
    world.answer(Answer::Resolved(Vec::new()));
    // Who has state is given what chance gives, and what failed lately last.
    world.snapshot.routes.clear();
    world.use_snapshot();
    world.receive(EDGE, &other.replace("z9hG4bKone", "z9hG4bKother"));
    assert!(matches!(&world.asks[0].1, Question::Resolve(hop) if hop.seed.is_none()));
}

#[test]
fn what_cannot_be_sent_on_is_refused_without_state() {
    let mut world = stateless_world();
    let mut ask = |uri: &str, answer: Option<Answer>| {
        let mut sent = world.receive(EDGE, &request("OPTIONS", uri, VIA));
        if let Some(answer) = answer {
            sent.extend(world.answer(answer));
        }
        assert_eq!(world.census(), Census::default(), "{uri}");
        only(sent).status()
    };
    assert_eq!(ask("sip:bob@no.example", Some(Answer::Resolved(Vec::new()))), 500);
    assert_eq!(ask("sip:bob@no.example", Some(Answer::Failed)), 500);
    let ours = vec![flow("192.0.2.1:5060")];
    assert_eq!(ask("sip:bob@us.example", Some(Answer::Resolved(ours))), 403);
    assert_eq!(ask("sip:bob@127.0.0.1", None), 403);
    assert_eq!(ask("sip:nobody@example.org", None), 404);
    assert_eq!(ask("sip:bob@x.invalid", None), 403);
    // Of an ACK nothing comes back.
    assert_eq!(world.receive(EDGE, &request("ACK", "sip:bob@127.0.0.1", VIA)), []);
    assert_eq!(world.receive(EDGE, &request("ACK", "sip:bob@no.example", VIA)), []);
    assert_eq!(world.answer(Answer::Resolved(Vec::new())), []);
}

#[test]
fn a_question_that_nobody_answers_has_an_end() {
    let mut world = stateless_world();
    world.receive(EDGE, &request("OPTIONS", "sip:bob@slow.example", VIA));
    assert_eq!(world.census().open_questions, 1);
    let sent = world.pass(5_000);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(sent[0].1.status(), Reject::NoAnswerInside.status());
    assert_eq!(world.census(), Census::default());
}

#[test]
fn a_domain_without_state_chooses_among_equal_contacts_by_call() {
    let mut world = world();
    world.snapshot.services.insert((*b"example.org").into(), Service::Stateless);
    world.use_snapshot();
    for n in 10..14 {
        world.register(EDGE, "bob", &format!("<sip:bob@203.0.113.{n}>"));
    }
    let mut to = |call: &str, method| {
        let text = request(method, "sip:bob@example.org", VIA);
        let sent = only(world.receive(EDGE, &text.replace("Call-ID: one", call)));
        assert_eq!(sent.all("Via").len(), 2);
        sent.to
    };
    let mut chosen = std::collections::BTreeSet::new();
    for n in 0..64 {
        let call = format!("Call-ID: {n}");
        let one = to(&call, "INVITE");
        assert_eq!(one, to(&call, "INVITE"));
        assert_eq!(one, to(&call, "CANCEL"));
        assert_eq!(one, to(&call, "ACK"));
        chosen.insert(one);
    }
    assert_eq!(chosen.len(), 4, "all are called at times");
    let (now, aor) = (world.now, AddressOfRecord::from_text("bob@example.org").expect("valid"));
    let here = (&world.setup, &world.snapshot);
    let told = explain(here, ("alice@example.org", "bob"), |_| world.node.locate(&aor, now));
    assert!(told.to_string().contains("for peers without state, at one of these"), "{told}");
}

#[test]
fn a_route_without_state_says_so_and_redirections_stay_as_they_are() {
    let mut world = stateless_world();
    let here = (&world.setup, &world.snapshot);
    let told = explain(here, ("alice@example.org", "sip:x@203.0.113.9"), |_| Vec::new());
    assert!(told.to_string().contains("for peers without state"), "{told}");
    let contacts = vec![(*b"sip:elsewhere@far.example").into()];
    for (action, status) in
        [(Action::Redirect(Redirection::Temporary, contacts), 302), (Action::Refuse, 403)]
    {
        world.snapshot.routes = vec![route(action)];
        world.use_snapshot();
        let text =
            request("OPTIONS", "sip:bob@203.0.113.9", VIA).replace("Kone", &status.to_string());
        assert_eq!(only(world.receive(EDGE, &text)).status(), status);
    }
}

#[test]
fn a_methods_route_takes_the_followers_of_its_method() {
    let mut world = world();
    let gateway = Peer { address: Some((*b"sip:203.0.113.9").into()), ..Peer::default() };
    let to = Upstream::of(&gateway).expect("an address");
    let mut only_invites = route(Action::Forward(vec![to]));
    only_invites.methods = vec![(*b"INVITE").into()];
    only_invites.prefix = (*b"+").into();
    world.snapshot.routes = vec![only_invites];
    world.use_snapshot();
    for method in ["INVITE", "CANCEL", "ACK"] {
        let sent = only(world.receive(EDGE, &request(method, "sip:+4930@far.example", VIA)));
        assert_eq!(&*sent.to, "udp 203.0.113.9:5060", "{method}");
        assert_eq!(sent.first_line(), format!("{method} sip:+4930@far.example SIP/2.0"));
    }
    // Another method is not meant, and has state.
    world.receive(EDGE, &request("OPTIONS", "sip:+4930@far.example", VIA));
    assert_eq!(world.census().server_transactions, 1);
}

#[test]
fn a_transaction_that_has_state_keeps_it_when_the_configuration_changes() {
    let mut world = world();
    let uri = "sip:bob@203.0.113.9";
    let sent = world.receive(EDGE, &request("INVITE", uri, VIA));
    assert_eq!(sent.len(), 2, "100 and the INVITE");
    world.snapshot.routes = vec![route(Action::Onward)];
    world.use_snapshot();
    assert_eq!(only(world.receive(EDGE, &request("INVITE", uri, VIA))).status(), 100);
    assert_eq!(only(world.receive(EDGE, &request("CANCEL", uri, VIA))).status(), 200);
}

#[test]
fn a_peer_that_its_certificate_names_is_known_when_the_answer_comes() {
    let mut world = stateless_world();
    let name = world.setup.keys.certified_name(b"gw.example");
    world.snapshot.peers.push(Peer {
        name: "certified".into(),
        certified: vec![name],
        trust_identity: true,
        ..Peer::default()
    });
    let trusted = Peer {
        name: "next".into(),
        networks: vec![("203.0.113.9".parse().expect("an address"), 32)],
        trust_identity: true,
        trust_udp: true,
        ..Peer::default()
    };
    world.snapshot.peers.push(trusted);
    world.use_snapshot();
    let via = "SIP/2.0/TCP gw.example;branch=z9hG4bKone";
    let text = request("OPTIONS", "sip:bob@203.0.113.9", via);
    let source = ringway_core::flow::Flow { certified: name, ..flow("tcp#5 192.0.2.77:40000") };
    let passed = only(world.receive_over(source, &text));
    let answer = passed.answer(200, "P-Asserted-Identity: <sip:bob@far.example>|Privacy: id|");
    let back = only(world.receive(NEXT, &answer));
    assert_eq!((back.flow.certified, back.flow.connection), (name, source.connection));
    assert_eq!(back.one("P-Asserted-Identity"), "<sip:bob@far.example>");
    let unnamed = ringway_core::flow::Flow { certified: CertifiedName::NONE, ..source };
    assert_ne!(only(world.receive_over(unnamed, &text)).status(), 0, "a stranger");
}

/// A phone that is known by its certificate is a user's, and users have state.
#[test]
fn a_certified_phone_has_state_and_is_named() {
    let mut world = stateless_world();
    let bob = AddressOfRecord::from_text("bob@example.org").expect("a user");
    let certified = world.setup.keys.certified_account(&bob);
    let source = ringway_core::flow::Flow { certified, ..flow("tcp#7 192.0.2.21:40000") };
    world.snapshot.peers.push(Peer {
        name: "next".into(),
        networks: vec![("203.0.113.9".parse().expect("an address"), 32)],
        trust_identity: true,
        trust_udp: true,
        ..Peer::default()
    });
    world.use_snapshot();
    let via = "SIP/2.0/TCP 192.0.2.21;branch=z9hG4bKone";
    let text = request("MESSAGE", "sip:far@203.0.113.9", via);
    let text = text.replace("sip:a@far.example", "sip:bob@example.org");
    let passed = only(world.receive_over(source, &text));
    assert_eq!(passed.one("P-Asserted-Identity"), "<sip:bob@example.org>");
    assert!(passed.on_failure.is_some(), "a transaction");
    // Nobody else's certificate says that, nor does bob's say that he is somebody else.
    let alice = text.replace("sip:bob@example.org", "sip:alice@example.org");
    assert_eq!(only(world.receive_over(source, &alice.replace("one", "two"))).status(), 407);
    let stranger = ringway_core::flow::Flow { certified: CertifiedName::NONE, ..source };
    assert_eq!(only(world.receive_over(stranger, &text.replace("one", "three"))).status(), 407);
}
