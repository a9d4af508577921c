//! RFC 3261 §16.9, §17.1.4; RFC 5626 §5.3: a connection ends, and all that waited on it hears so
//! at once.

mod world;

use ringway_core::boundary::{Answer, Input};
use ringway_core::transaction::key::ClientBranch;
use world::{EDGE, Sent, World, flow, invite, request, route_set, statuses, world};

const PHONE: &str = "tcp#9 192.0.2.21:40001";
const CONTACT: &str = "<sip:bob@192.0.2.21;transport=tcp>";

/// Bob's phone is registered over a connection.
fn connected() -> World {
    let mut world = world();
    world.register(PHONE, "bob", CONTACT);
    world
}

fn closed(world: &mut World, which: &str) -> Vec<Sent> {
    world.handle(Input::FlowClosed(flow(which)))
}

fn nothing_is_left(world: &mut World) {
    world.pass(40_000);
    let census = world.census();
    assert_eq!((census.client_transactions, census.response_contexts), (0, 0), "{census:?}");
}

// G4, E14: the phone dies before it rings, while it rings, and when it was cancelled.
#[test]
//= RFC 3261 16.9 type=test
fn g4_a_caller_hears_at_once_that_the_connection_of_the_phone_is_gone() {
    for said in [None, Some(100), Some(180)] {
        let mut world = connected();
        let copy = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
        if let Some(status) = said {
            world.receive(PHONE, &copy.answer(status, ""));
        }
        world.pass(700);
        assert!(closed(&mut world, "tcp#8 192.0.2.21:40001").is_empty(), "another connection");
        assert_eq!(statuses(&closed(&mut world, PHONE)), [480], "after {said:?}");
        let answer = copy.answer(200, "Contact: <sip:bob@192.0.2.21>|");
        assert!(world.receive(PHONE, &answer).is_empty(), "it is over");
        nothing_is_left(&mut world);
    }
}

#[test]
fn e14_a_cancelled_call_ends_with_487_when_the_phone_dies() {
    let mut world = connected();
    let text = invite("sip:bob@example.org", "");
    let copy = world.receive(EDGE, &text)[1].clone();
    world.receive(PHONE, &copy.answer(180, ""));
    let sent = world.receive(EDGE, &text.replace("INVITE", "CANCEL"));
    assert!(sent.iter().any(|sent| sent.first_line().starts_with("CANCEL")), "{sent:?}");
    assert_eq!(statuses(&closed(&mut world, PHONE)), [487]);
    nothing_is_left(&mut world);
}

#[test]
//= RFC 3261 17.1.4 type=test
fn e14_a_request_that_waits_for_its_answer_fails_with_its_connection() {
    for said in [None, Some(100)] {
        let mut world = connected();
        let text = request("MESSAGE", "sip:bob@example.org", "");
        let copy = world.receive(EDGE, &text)[0].clone();
        if let Some(status) = said {
            world.receive(PHONE, &copy.answer(status, ""));
        }
        assert_eq!(statuses(&closed(&mut world, PHONE)), [480]);
        nothing_is_left(&mut world);
    }
}

#[test]
fn e14_only_the_branch_of_the_lost_connection_ends() {
    let mut world = connected();
    world.register("192.0.2.22:5060", "bob", "<sip:bob@192.0.2.22>");
    world.register("192.0.2.23:5060", "bob", "<sip:bob@192.0.2.23>;q=0.5");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    let desk = sent.iter().find(|sent| sent.to == "udp 192.0.2.22:5060").expect("forked").clone();
    assert!(closed(&mut world, PHONE).is_empty(), "the other phone may answer yet");
    let sent = world.receive("192.0.2.22:5060", &desk.answer(486, ""));
    let lines: Vec<_> = sent.iter().map(Sent::first_line).collect();
    assert!(lines.iter().any(|line| line.starts_with("INVITE sip:bob@192.0.2.23")), "{lines:?}");
}

// A request inside a call whose flow is gone.
#[test]
//= RFC 5626 5.3 type=test
fn e14_a_request_of_a_call_fails_with_its_connection() {
    let mut world = connected();
    let copy = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
    let contact = "Contact: <sip:bob@192.0.2.21:5060;transport=tcp>|";
    let answer = world.receive(PHONE, &copy.answer(200, contact))[0].clone();
    let bye = request("BYE", "sip:bob@192.0.2.21:5060;transport=tcp", &route_set(&answer, true))
        .replace(
            "To: <sip:bob@192.0.2.21:5060;transport=tcp>",
            &format!("To: {}", answer.one("To")),
        )
        .replace("CSeq: 1", "CSeq: 2")
        .replace("z9hG4bKcall", "z9hG4bKbye");
    let sent = world.receive(EDGE, &bye);
    assert_eq!(sent[0].to, PHONE, "{sent:?}");
    assert_eq!(statuses(&closed(&mut world, PHONE)), [480]);
    nothing_is_left(&mut world);
}

// Who has an address, and the request, may answer over another connection; who may not have got
// it is taken for lost, and the next address is tried.
#[test]
//= RFC 3261 18.2.2 type=test
//= RFC 3263 4.3 type=test
fn a_next_hop_with_an_address_may_answer_over_a_new_connection() {
    let first = "tcp#0 192.0.2.60:5060";
    for heard in [false, true] {
        let mut world = world();
        world.receive(EDGE, &invite("sip:x@far.example;transport=tcp", ""));
        let found = [first, "tcp#0 192.0.2.61:5060"].map(flow);
        let copy = world.answer(Answer::Resolved(found.to_vec()))[0].clone();
        assert_eq!(copy.to, "tcp 192.0.2.60:5060");
        if heard {
            world.receive("tcp#4 192.0.2.60:5060", &copy.answer(180, ""));
        }
        let sent = closed(&mut world, "tcp#4 192.0.2.60:5060");
        let to: Vec<_> = sent.iter().map(|sent| sent.to.as_str()).collect();
        if !heard {
            assert_eq!(to, ["tcp 192.0.2.61:5060"]);
            continue;
        }
        assert!(to.is_empty(), "{to:?}");
        let sent = world.receive("tcp#5 192.0.2.60:40000", &copy.answer(486, ""));
        assert!(statuses(&sent).contains(&486));
    }
}

// E14: the caller goes. A browser cannot be answered any more, so nothing rings for it; a phone
// with an address can.
#[test]
//= RFC 3261 16.10 type=test
//= RFC 7118 5.3 type=test
fn e14_what_a_lost_browser_called_is_cancelled() {
    for (caller, cancelled) in
        [("ws#5 198.51.100.1:50000", true), ("tcp#5 198.51.100.1:50000", false)]
    {
        let mut world = connected();
        let copy = world.receive(caller, &invite("sip:bob@example.org", ""))[1].clone();
        world.receive(PHONE, &copy.answer(180, ""));
        assert!(closed(&mut world, "ws#6 198.51.100.1:50000").is_empty(), "another one");
        let sent = closed(&mut world, caller);
        let lines: Vec<_> = sent.iter().map(Sent::first_line).collect();
        assert_eq!(lines.iter().any(|line| line.starts_with("CANCEL")), cancelled, "{lines:?}");
        if cancelled {
            world.receive(PHONE, &copy.answer(487, ""));
            nothing_is_left(&mut world);
        }
    }
}

const DESK: &str = "192.0.2.22:5060";

/// Bob's phone takes datagrams; somebody sends him a request. What arrived there.
fn sent_to_desk(method: &str) -> (World, Sent) {
    let mut world = world();
    world.register(DESK, "bob", "<sip:bob@192.0.2.22>");
    let text = match method {
        "INVITE" => invite("sip:bob@example.org", ""),
        _ => request(method, "sip:bob@example.org", ""),
    };
    let copy = world.receive(EDGE, &text).pop().expect("a copy");
    (world, copy)
}

/// Somebody says that a datagram to this address did not arrive, and quotes it.
fn notice(world: &mut World, remote: &str, quoted: &str) -> Vec<u16> {
    let Some(branch) = ClientBranch::quoted(quoted.replace('|', "\r\n").as_bytes()) else {
        return Vec::new();
    };
    statuses(&world.handle(Input::Unreachable { remote: flow(remote).remote, branch }))
}

#[test]
//= RFC 3261 18.4 type=test
fn a_datagram_that_did_not_arrive_fails_its_request() {
    for method in ["INVITE", "MESSAGE"] {
        let (mut world, copy) = sent_to_desk(method);
        let most = copy.text.len().min(400);
        assert_eq!(notice(&mut world, DESK, &copy.text[..most]), [480]);
        assert!(notice(&mut world, DESK, &copy.text[..most]).is_empty(), "it is over");
        nothing_is_left(&mut world);
    }
}

// Anybody can send a notice, and only who has seen the request can write a true one.
#[test]
fn a_notice_that_is_forged_or_late_fails_nothing() {
    let (mut world, copy) = sent_to_desk("INVITE");
    let cut = copy.text.find(";rport").expect("our Via");
    let other = |digit: usize| {
        let at = copy.text.find("z9hG4bK").expect("our branch") + "z9hG4bK".len() + digit;
        let with = if &copy.text[at..=at] == "1" { "2" } else { "1" };
        format!("{}{with}{}", &copy.text[..at], &copy.text[at + 1..])
    };
    // Another transaction, another random part, another loop hash.
    let others = [other(15), other(20), other(30)];
    let response = copy.answer(486, "");
    for (remote, quoted) in [
        ("192.0.2.99:5060", &*copy.text),
        ("192.0.2.22:5061", &copy.text),
        (DESK, &others[0]),
        (DESK, &others[1]),
        (DESK, &others[2]),
        (DESK, &response),
        (DESK, &copy.text[..cut]),
        (DESK, ""),
        (DESK, "INVITE|Via: |"),
    ] {
        assert!(notice(&mut world, remote, quoted).is_empty(), "{remote}: {quoted}");
    }
    // It rings: whatever got lost, another copy has arrived.
    assert_eq!(statuses(&world.receive(DESK, &copy.answer(180, ""))), [180]);
    assert!(notice(&mut world, DESK, &copy.text).is_empty(), "late");
    assert!(statuses(&world.receive(DESK, &copy.answer(486, ""))).contains(&486));
}

// What went down a stream cannot have been lost as a datagram.
#[test]
fn a_notice_says_nothing_of_streams() {
    let mut world = connected();
    let copy = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
    assert!(notice(&mut world, "192.0.2.21:40001", &copy.text).is_empty());
    assert!(!closed(&mut world, PHONE).is_empty(), "it was still waited for");
}
