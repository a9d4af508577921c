//! Refreshes that are answered without a commit (decision 0024), and all that are not.

mod world;

use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{Answer, Command, CommitToken, Input, Question, Write};
use ringway_core::flow::ConnectionId;
use ringway_core::keep_alive::KeepAlive;
use ringway_wire::stun;
use world::{EDGE, Sent, World, flow, statuses, world};

fn bob() -> AddressOfRecord {
    AddressOfRecord::from_text("bob@example.org").expect("a user of ours")
}

fn text(cseq: u32, contact: &str, more: &str) -> String {
    format!(
        "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP p;branch=z9hG4bK{cseq};rport|\
         From: <sip:bob@example.org>;tag=r|To: <sip:bob@example.org>|Call-ID: a|\
         CSeq: {cseq} REGISTER|Contact: {contact}|{more}Content-Length: 0||"
    )
}

const PHONE: &str = "<sip:bob@10.0.0.7>;expires=600";

/// A world whose store answers when it is told to, in which bob's phone has registered.
fn registered() -> World {
    let mut world = world();
    assert_eq!(statuses(&world.receive(EDGE, &text(1, PHONE, ""))), [200]);
    world.keeps = false;
    world
}

/// The writes of the only question to the store.
fn told(world: &World) -> &[Write] {
    match &world.asks[..] {
        [(_, Question::Keep(writes))] => writes,
        other => panic!("{other:?}"),
    }
}

fn kept(world: &mut World) -> Vec<Sent> {
    world.answer(Answer::Kept(CommitToken::committed(7)))
}

fn only(world: &World) -> Binding {
    let mut found = world.node.locate(&bob(), world.now);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_refresh_within_the_lease_is_answered_at_once_and_one_beyond_it_is_committed() {
    let mut world = registered();
    let first = only(&world);
    for cseq in [2, 3] {
        world.pass(300_000);
        let sent = world.receive(EDGE, &text(cseq, PHONE, ""));
        assert_eq!(sent[0].one("Contact"), PHONE);
        assert!(world.asks.is_empty(), "the store hears nothing");
        let binding = only(&world);
        assert_eq!((binding.refreshed, binding.cseq), (world.now, cseq));
        assert!(binding.expires <= first.lease_until);
        assert_eq!(binding.lease_until, first.lease_until, "only a commit moves it");
        let again = world.receive(EDGE, &text(cseq, PHONE, ""));
        assert_eq!(again[0].one("Contact"), PHONE, "a repeated request");
    }
    world.pass(1);
    assert!(world.receive(EDGE, &text(4, PHONE, "")).is_empty());
    assert!(matches!(told(&world), [Write::PutBinding(_, binding)] if binding.cseq == 4));
    assert_eq!(statuses(&kept(&mut world)), [200]);
    assert!(only(&world).lease_until > first.lease_until);
}

#[test]
fn all_that_is_more_than_a_refresh_is_committed() {
    for (from, contact, more) in [
        (EDGE, "<sip:bob@10.0.0.8>;expires=600", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=600;q=0.5", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=600;x=y", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=599", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=0", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=600;+sip.instance=\"<urn:x:1>\"", ""),
        (EDGE, "<sip:bob@10.0.0.7:5060>;expires=600", ""),
        (EDGE, "<sip:bob@10.0.0.7>;expires=1300", ""),
        (EDGE, PHONE, "User-Agent: another|"),
        (EDGE, PHONE, "Supported: path|Path: <sip:edge.example;lr>|"),
        ("198.51.100.1:5062", PHONE, ""),
        ("198.51.100.2:5060", PHONE, ""),
        ("tcp#3 198.51.100.1:5060", PHONE, ""),
    ] {
        let mut world = registered();
        assert!(world.receive(from, &text(2, contact, more)).is_empty(), "{from} {contact}");
        assert!(!told(&world).is_empty(), "{from} {contact} {more}");
        assert_eq!(statuses(&kept(&mut world)), [200]);
    }
    let mut world = registered();
    let another = text(2, PHONE, "").replace("Call-ID: a", "Call-ID: b");
    assert!(world.receive(EDGE, &another).is_empty());
    assert!(!told(&world).is_empty());
}

#[test]
fn nothing_is_leased_while_the_store_is_behind() {
    let mut world = registered();
    assert!(world.receive(EDGE, &text(2, "<sip:bob@10.0.0.8>", "")).is_empty());
    assert!(world.receive(EDGE, &text(3, PHONE, "")).is_empty(), "a change is under way");
    assert_eq!(world.asks.len(), 2);
    world.answer(Answer::Failed);
    world.answer(Answer::Failed);
    assert_eq!(world.asks.len(), 2, "the store is told the truth");
    assert!(world.receive(EDGE, &text(4, PHONE, "")).is_empty(), "and may not have it");
    while !world.asks.is_empty() {
        kept(&mut world);
    }
    assert_eq!(statuses(&world.receive(EDGE, &text(5, PHONE, ""))), [200], "it has");
}

#[test]
fn what_is_told_again_says_the_lease_as_it_is() {
    let mut world = registered();
    let lease_until = only(&world).lease_until;
    world.pass(300_000);
    assert_eq!(statuses(&world.receive(EDGE, &text(2, PHONE, ""))), [200]);
    // A change that fails: the store is told what was before.
    assert!(world.receive(EDGE, &text(3, "<sip:bob@10.0.0.7>;q=0.5", "")).is_empty());
    world.answer(Answer::Failed);
    let [Write::PutBinding(_, truth)] = told(&world) else { panic!("{:?}", world.asks) };
    assert_eq!((truth.expires, truth.cseq), (only(&world).expires, 2));
    assert_eq!(truth.lease_until, lease_until);
}

#[test]
fn what_ends_before_its_lease_is_taken_out_of_the_store() {
    let mut world = registered();
    world.pass(600_000);
    assert_eq!(world.node.locate(&bob(), world.now), []);
    assert!(matches!(told(&world), [Write::DropBinding(owner, _)] if *owner == bob()));
    let gone = "<sip:bob@10.0.0.7>;expires=0";
    assert!(world.receive(EDGE, &text(2, gone, "")).is_empty(), "not before the store has it");
    kept(&mut world);
    assert_eq!(statuses(&kept(&mut world)), [200]);
}

// The commit that is under way when the older binding ends is not undone by that end.
#[test]
fn an_end_does_not_undo_what_is_under_way() {
    let mut world = registered();
    world.pass(599_000);
    assert!(world.receive(EDGE, &text(2, "<sip:bob@10.0.0.7>;q=0.5", "")).is_empty());
    world.pass(1_000);
    let drops = |(_, question): &_| match question {
        Question::Keep(writes) => writes.iter().any(|w| matches!(w, Write::DropBinding(..))),
        _ => false,
    };
    assert!(!world.asks.iter().any(drops), "{:?}", world.asks);
}

#[test]
fn after_a_restart_a_binding_stands_until_the_end_of_its_lease() {
    let mut world = registered();
    let stored = only(&world);
    world.pass(300_000);
    world.receive(EDGE, &text(2, PHONE, ""));
    let acknowledged = only(&world).expires;
    world.restart();
    let restored = stored.clone().after_restart();
    assert!(restored.expires >= acknowledged);
    assert_eq!(restored.flow.connection, ConnectionId::NONE);
    world.handle(Input::Commanded(Command::Restore(bob(), restored.into())));
    assert_eq!(only(&world).expires, stored.lease_until);
    // Its lease is used up: the first refresh that needs more is committed.
    world.pass(600_001);
    assert!(world.receive(EDGE, &text(3, PHONE, "")).is_empty());
    assert_eq!(statuses(&kept(&mut world)), [200]);
}

#[test]
fn a_lease_from_another_time_covers_nothing() {
    let mut world = registered();
    let mut stored = only(&world);
    world.restart();
    stored.lease_until = stored.lease_until + ringway_core::time::Duration::from_secs(86_400);
    world.handle(Input::Commanded(Command::Restore(bob(), stored.after_restart().into())));
    assert!(world.receive(EDGE, &text(2, PHONE, "")).is_empty());
    // What it asks for is shorter than what the store gives back, and is committed.
    assert_eq!(statuses(&kept(&mut world)), [200]);
    assert_eq!(only(&world).expires.since(world.now).as_secs(), 600);
}

// A18: what was in doubt dies with a node that is given up, so nobody may lean on it.
#[test]
fn a_node_that_takes_over_leases_only_what_the_store_is_known_to_have() {
    for in_doubt in [false, true] {
        let mut world = registered();
        if in_doubt {
            assert!(world.receive(EDGE, &text(2, "<sip:bob@10.0.0.8>", "")).is_empty());
            world.answer(Answer::Failed);
            assert!(!told(&world).is_empty(), "the store is told the truth");
        }
        let survivors = world.node.survivors();
        let survivors: Vec<_> = survivors.map(|(aor, binding)| (aor.clone(), binding)).collect();
        assert_eq!(survivors.len(), 1);
        world.restart();
        for (aor, binding) in survivors {
            world.handle(Input::Commanded(Command::Restore(aor, binding.into())));
        }
        world.pass(1_000);
        let sent = world.receive(EDGE, &text(3, PHONE, ""));
        assert_eq!((sent.is_empty(), world.asks.is_empty()), (in_doubt, !in_doubt));
    }
}

#[test]
fn a_flow_is_guarded_as_long_as_it_was_acknowledged() {
    let probe = |world: &mut World| {
        let stun = KeepAlive::Stun(stun::TransactionId::default());
        world.handle(Input::KeptAlive(flow(EDGE), stun)).len()
    };
    let mut world = registered();
    for cseq in 2..50 {
        world.pass(12_000);
        assert_eq!(statuses(&world.receive(EDGE, &text(cseq, PHONE, ""))), [200]);
    }
    world.pass(599_000);
    assert_eq!(probe(&mut world), 1, "until its end");
    world.pass(60_000);
    assert_eq!(probe(&mut world), 0, "and not for ever");
}

// RFC 5627: a temporary GRUU that came with a leased 200 is as good as any other.
#[test]
fn temporary_gruus_of_leased_refreshes_differ_and_outlive_a_restart() {
    let contact = format!("{PHONE};+sip.instance=\"<urn:uuid:1>\"");
    let gruu = |sent: &[Sent]| {
        let value = sent[0].one("Contact").to_owned();
        value.split_once("temp-gruu=").map(|(_, gruu)| gruu.to_owned()).expect("one")
    };
    let mut world = world();
    let first = gruu(&world.receive(EDGE, &text(1, &contact, "Supported: gruu|")));
    let stored = only(&world);
    world.keeps = false;
    world.pass(60_000);
    let leased = world.receive(EDGE, &text(2, &contact, "Supported: gruu|"));
    assert!(world.asks.is_empty());
    let second = gruu(&leased);
    assert_ne!(first, second, "each refresh brings another");
    world.restart();
    world.handle(Input::Commanded(Command::Restore(bob(), stored.after_restart().into())));
    for (n, gruu) in [first, second].iter().enumerate() {
        let uri = gruu.trim_matches('"').split('"').next().expect("a URI");
        let sent =
            world.receive(EDGE, &world::invite(uri, "").replace("call", &format!("call{n}")));
        assert!(sent.iter().any(|sent| sent.first_line().starts_with("INVITE")), "{sent:?}");
    }
}
