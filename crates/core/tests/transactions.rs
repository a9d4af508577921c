//! Transactions, calls and registrations as phones see them, over time (RFC 3261 §9, §10, §17;
//! RFC 6026).

mod world;

use ringway_core::boundary::{
    CallChange, CallEnd, Event, Input, Question, RegistrationChange, Write,
};
use ringway_core::node::Census;
use world::{
    EDGE, STRANGER, Sent, World, flow, invite, lines, read, request, route_set, statuses,
    with_login, world,
};

const BOB: &str = "192.0.2.21:5060";

fn call(from: &str) -> (World, Sent) {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    let sent = world.receive(from, &invite("sip:bob@example.org", ""));
    assert_eq!(statuses(&sent), [100, 0]);
    assert!(!sent[0].one("To").contains("tag"), "a 100 has no tag");
    (world, sent[1].clone())
}

fn times(passed: &[(u64, Sent)]) -> Vec<(u64, u16)> {
    passed.iter().map(|(ms, sent)| (*ms, sent.status())).collect()
}

#[test]
//= RFC 3261 17.2.1 type=test
fn an_invite_that_comes_again_is_answered_as_before() {
    let (mut world, copy) = call(EDGE);
    let again = invite("sip:bob@example.org", "");
    assert_eq!(statuses(&world.receive(EDGE, &again)), [100]);
    let ringing = world.receive(BOB, &copy.answer(180, ""));
    assert_eq!(world.receive(EDGE, &again), ringing, "the last provisional answer");
    let busy = world.receive(BOB, &copy.answer(486, ""));
    let busy = busy.iter().find(|sent| sent.status() == 486).expect("it").clone();
    assert_eq!(world.receive(EDGE, &again), std::slice::from_ref(&busy));
    // It is sent again until its ACK comes, and that goes no further.
    let passed = world.pass(8_000);
    assert_eq!(times(&passed), [(500, 486), (1_500, 486), (3_500, 486), (7_500, 486)]);
    let ack = again
        .replace("INVITE", "ACK")
        .replace("To: <sip:bob@example.org>", &format!("To: {}", busy.one("To")));
    assert!(world.receive(EDGE, &ack).is_empty());
    assert!(world.pass(4_900).is_empty());
    assert!(world.receive(EDGE, &ack).is_empty(), "again");
    assert!(world.receive(EDGE, &again).is_empty(), "confirmed");
    world.pass(32_000);
    assert_eq!(world.census(), Census::default());
}

#[test]
//= RFC 3261 17.1.1.3 type=test
fn each_negative_answer_is_acknowledged_again() {
    let (mut world, copy) = call(EDGE);
    for _ in 0..3 {
        let sent = world.receive(BOB, &copy.answer(486, ""));
        let ack = sent.iter().find(|s| s.first_line().starts_with("ACK")).expect("an ACK");
        assert_eq!(ack.first_line(), "ACK sip:bob@192.0.2.21 SIP/2.0");
        assert_eq!(ack.one("Via"), copy.all("Via")[0]);
        assert!(ack.one("To").ends_with(";tag=callee19"));
        assert_eq!(ack.one("CSeq"), "1 ACK");
    }
}

#[test]
//= RFC 3261 17.2.1 type=test
fn over_a_stream_nothing_is_sent_again() {
    let (mut world, copy) = call("tcp#3 198.51.100.1:40000");
    world.receive(BOB, &copy.answer(486, ""));
    assert!(world.pass(31_900).is_empty());
}

#[test]
//= RFC 6026 7.1 type=test
fn an_invite_that_comes_again_after_a_2xx_is_swallowed() {
    let (mut world, copy) = call(EDGE);
    world.receive(BOB, &copy.answer(200, ""));
    assert!(world.receive(EDGE, &invite("sip:bob@example.org", "")).is_empty());
    assert!(world.pass(31_000).is_empty(), "the phone repeats its 2xx, not we");
    let sent = world.receive(BOB, &copy.answer(200, ""));
    assert_eq!(statuses(&sent), [200]);
}

#[test]
//= RFC 3261 17.2.2 type=test
fn other_requests_that_come_again_are_swallowed_until_there_is_an_answer() {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    let text = request("MESSAGE", "sip:bob@example.org", "");
    let copy = world.receive(EDGE, &text)[0].clone();
    assert!(world.receive(EDGE, &text).is_empty());
    let ok = world.receive(BOB, &copy.answer(200, ""));
    assert_eq!(statuses(&ok), [200]);
    assert_eq!(world.receive(EDGE, &text), ok);
    world.pass(31_900);
    assert_eq!(world.receive(EDGE, &text), ok, "as long as Timer J runs");
    world.pass(200);
    assert_eq!(world.census(), Census::default());
}

#[test]
//= RFC 3261 9.2 type=test
fn a_cancel_and_what_it_cancels_are_answered_with_one_tag() {
    let mut world = world();
    let text = invite("sip:x@far.example", "");
    world.receive(EDGE, &text);
    let sent = world.receive(EDGE, &text.replace("INVITE", "CANCEL"));
    assert_eq!(statuses(&sent), [200, 487]);
    assert_eq!(sent[0].one("To"), sent[1].one("To"));
    assert_eq!((sent[0].one("CSeq"), sent[1].one("CSeq")), ("1 CANCEL", "1 INVITE"));
    assert!(sent[0].one("To").contains(";tag="));
}

#[test]
//= RFC 3261 16.3 type=test
fn an_ack_has_hops_too() {
    let (mut world, copy) = call(EDGE);
    let ok = world.receive(BOB, &copy.answer(200, ""))[0].clone();
    let ack = request("ACK", "sip:bob@192.0.2.21", &route_set(&ok, true))
        .replace("To: <sip:bob@192.0.2.21>", &format!("To: {}", ok.one("To")))
        .replace("z9hG4bKcall", "z9hG4bKack");
    let last = ack.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert!(world.receive(EDGE, &last).is_empty());
    let sent = world.receive(EDGE, &ack);
    assert_eq!(lines(&sent), ["udp 192.0.2.21:5060 <- ACK sip:bob@192.0.2.21 SIP/2.0"]);
    assert_eq!(world.receive(EDGE, &ack), sent, "the same ACK gets the same branch");
}

#[test]
//= RFC 3261 18.2.2 type=test
fn the_answer_to_a_closed_connection_goes_to_the_port_that_via_names() {
    let (mut world, copy) = call("tcp#3 198.51.100.1:40000");
    let sent = world.receive(BOB, &copy.answer(486, ""));
    let busy = sent.iter().find(|sent| sent.status() == 486).expect("it");
    let sent = world.handle(Input::Undelivered(busy.on_failure.expect("someone asks")));
    assert_eq!(lines(&sent), ["tcp 198.51.100.1:5060 <- SIP/2.0 486 Because"]);
    // And no further.
    assert!(sent[0].on_failure.is_none());
}

fn ends(world: &World) -> Vec<CallEnd> {
    let end = |event: &Event| match event {
        Event::Call { change: CallChange::Ended { end }, .. } => Some(*end),
        _ => None,
    };
    world.events.iter().filter_map(end).collect()
}

#[test]
fn each_call_has_one_beginning_and_one_end() {
    for (status, end) in [(486, CallEnd::Failed(486)), (487, CallEnd::Cancelled)] {
        let (mut world, copy) = call(EDGE);
        assert_eq!(world.node.calls().len(), 1);
        world.receive(BOB, &copy.answer(180, ""));
        world.receive(BOB, &copy.answer(status, ""));
        assert_eq!((ends(&world), world.census().calls), (vec![end], 0));
    }
    for from_callee in [false, true] {
        let (mut world, copy) = call(EDGE);
        let ok = world.receive(BOB, &copy.answer(200, ""))[0].clone();
        assert_eq!(world.node.calls().len(), 1);
        let to = ok.one("To").to_owned();
        let from = "<sip:alice@example.org>;tag=caller";
        let (a, b, flow, routes) = match from_callee {
            false => (from, &*to, EDGE, route_set(&ok, true)),
            true => (&*to, from, BOB, route_set(&copy, false)),
        };
        let bye = request("BYE", "sip:alice@198.51.100.1", &routes)
            .replace(&format!("From: {from}"), &format!("From: {a}"))
            .replace("To: <sip:alice@198.51.100.1>", &format!("To: {b}"));
        let sent = world.receive(flow, &bye);
        assert!(sent[0].first_line().starts_with("BYE"), "{sent:?}");
        let end = if from_callee { CallEnd::ByCallee } else { CallEnd::ByCaller };
        assert_eq!((ends(&world), world.census().calls), (vec![end], 0));
        world.pass(40_000);
        assert_eq!(world.census(), Census::default(), "and nothing is left of it");
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn a_binding_ends_on_time() {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>;expires=60");
    world.pass(59_900);
    assert_eq!(world.node.registrations(), 1);
    world.pass(200);
    assert_eq!(world.node.registrations(), 0);
    let expired = world.events.iter().any(|event| {
        matches!(event, Event::Registration { change: RegistrationChange::Expired, .. })
    });
    assert!(expired);
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    assert_eq!(statuses(&sent), [100, 480]);
}

#[test]
fn a_closed_connection_takes_its_bindings_from_the_store_too() {
    let mut world = world();
    world.register("tcp#9 192.0.2.21:40001", "bob", "<sip:bob@192.0.2.21;transport=tcp>");
    world.keeps = false;
    world.handle(Input::FlowClosed(flow("tcp#8 192.0.2.21:40001")));
    assert_eq!(world.node.registrations(), 1, "another connection");
    world.handle(Input::FlowClosed(flow("tcp#9 192.0.2.21:40001")));
    assert_eq!(world.node.registrations(), 0);
    let Some((_, Question::Keep(writes))) = world.asks.pop() else { panic!("the store is told") };
    assert!(
        matches!(&*writes, [Write::DropBinding(_, contact)] if contact.starts_with(b"sip:bob"))
    );
}

/// A REGISTER of Alice's phone, with credentials, and what comes of it.
struct Phone {
    world: World,
}

impl Phone {
    fn register(&mut self, call: &str, cseq: u32, more: &str) -> Sent {
        // Another microsecond, another nonce.
        self.world.pass(1);
        let n = self.world.next_number();
        let text = format!(
            "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP p;branch=z9hG4bKr{n};rport|From: \
             <sip:alice@example.org>;tag=r|To: <sip:alice@example.org>|Call-ID: {call}|CSeq: \
             {cseq} REGISTER|{more}Content-Length: 0||"
        );
        self.world.log_in(STRANGER, "alice", &text)[0].clone()
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn a_registrar_on_the_wire() {
    let mut phone = Phone { world: world() };
    let contacts = |sent: &Sent| -> Vec<String> {
        let mut all: Vec<String> = read(sent, |ok| {
            let text = |c: &[u8]| String::from_utf8_lossy(c).into_owned();
            ok.values(ringway_wire::Name::Contact).map(text).collect()
        });
        all.sort();
        all
    };
    let ok =
        phone.register("a", 1, "m: <sip:a@h1>;q=0.5, \"x, y\" <sip:a@h2>;expires=90|Expires: 600|");
    assert_eq!(ok.status(), 200, "{}", ok.text);
    assert_eq!(contacts(&ok), ["<sip:a@h1>;expires=600;q=0.5", "<sip:a@h2>;expires=90"]);
    assert!(ok.all("Record-Route").is_empty());
    phone.world.pass(10_000);
    let ok = phone.register("b", 1, "");
    assert_eq!(contacts(&ok), ["<sip:a@h1>;expires=590;q=0.5", "<sip:a@h2>;expires=80"]);
    // Too brief: all or nothing.
    let brief = phone.register("a", 2, "Contact: <sip:a@h3>|Contact: <sip:a@h1>;expires=59|");
    assert_eq!((brief.status(), brief.one("Min-Expires")), (423, "60"));
    assert_eq!(contacts(&phone.register("b", 2, "")).len(), 2);
    // Older than what is known.
    assert_eq!(phone.register("a", 1, "Contact: <sip:a@h1>|").status(), 500);
    assert_eq!(phone.register("a", 1, "Contact: *|Expires: 0|").status(), 500);
    for bad in [
        "Contact: *|Expires: 60|",
        "Contact: *|",
        "Contact: *, <sip:a@h1>|Expires: 0|",
        "Contact: <sip:a@h1>|Contact: *|Expires: 0|",
        "Contact: *;expires=0|",
        "Contact: <a>|",
        "Contact: <sip:a@h1>;q=2|",
        "Contact: <sip:a@h1|",
    ] {
        assert_eq!(phone.register("a", 9, bad).status(), 400, "{bad}");
    }
    assert_eq!(contacts(&phone.register("b", 3, "")).len(), 2, "nothing has changed");
    // A new Call-ID is a phone that was restarted.
    let ok = phone.register("c", 1, "Contact: <sip:%61@H1>|Expires: 3600|");
    assert_eq!(contacts(&ok), ["<sip:%61@H1>;expires=3600", "<sip:a@h2>;expires=80"]);
    let ok = phone.register("c", 2, "Contact: <sip:a@h2>;expires=0|");
    assert_eq!(contacts(&ok), ["<sip:%61@H1>;expires=3600"]);
    let ok = phone.register("c", 3, "Contact: *|Expires: 0|");
    assert_eq!((ok.status(), contacts(&ok).len()), (200, 0));
    // Sixteen contacts, and not one more.
    let many: String = (0..16).map(|n| format!("Contact: <sip:a@p{n}>|")).collect();
    assert_eq!(contacts(&phone.register("d", 1, &many)).len(), 16);
    assert_eq!(phone.register("d", 2, "Contact: <sip:a@p16>|").status(), 403);
    assert_eq!(phone.register("d", 3, "Contact: <sip:a@p3>|").status(), 200);
}

#[test]
//= RFC 7616 3.4 type=test
fn credentials_in_many_forms() {
    let text = request("MESSAGE", "sip:bob@example.org", "");
    let mut n = 0;
    let mut answer = |change: &dyn Fn(&str) -> String| {
        let mut world = world();
        n += 1;
        let text = text.replace("call", &format!("c{n}"));
        let challenge = world.receive(STRANGER, &text)[0].clone();
        let good = with_login(&text, &challenge, "alice", "secret").expect("a challenge");
        let sent = world.receive(STRANGER, &change(&good));
        sent.last().map_or(0, Sent::status)
    };
    // 480: the caller is known, and nobody is at home.
    assert_eq!(answer(&|good| good.to_owned()), 480);
    let hex = |good: &str| {
        let at = good.find("response=\"").expect("it") + 10;
        format!("{}{}{}", &good[..at], good[at..at + 64].to_uppercase(), &good[at + 64..])
    };
    assert_eq!(answer(&hex), 480, "hexadecimal digits in any case");
    let quoted = |good: &str| good.replace("username=\"alice\"", "username=\"al\\ice\"");
    assert_eq!(answer(&quoted), 480, "a quoted pair is what it quotes");
    let others = "|Proxy-Authorization: Digest realm=\"x\", username=\"y\"|Proxy-Auth";
    assert_eq!(answer(&|good| good.replace("|Proxy-Auth", others)), 480, "the one for us");
    let folded = |good: &str| good.replace(", nonce", ",| nonce");
    assert_eq!(answer(&folded), 480);
    for (old, new, status) in [
        ("realm=\"example.org\"", "realm=\"example.com\"", 407),
        ("algorithm=SHA-256", "algorithm=SHA-512-256", 407),
        ("algorithm=SHA-256", "algorithm=MD5", 400),
        ("qop=auth", "qop=auth-int", 400),
        (", qop=auth", "", 400),
        ("nc=00000001", "nc=00000000", 400),
        ("nc=00000001", "nc=1", 407),
        ("uri=\"sip:bob@example.org\"", "uri=\"sip:bob@far.example\"", 400),
        ("username=\"alice\"", "username=\"bob\"", 407),
        ("cnonce=\"c0ffee\"", "cnonce=\"c0ffef\"", 407),
    ] {
        let change = |good: &str| {
            assert!(good.contains(old), "{old}");
            good.replacen(old, new, 1)
        };
        assert_eq!(answer(&change), status, "{old} -> {new}");
    }
}

#[test]
fn a_call_that_several_answer_is_answered_once() {
    let (mut world, copy) = call(EDGE);
    for _ in 0..3 {
        world.receive(BOB, &copy.answer(200, ""));
    }
    let answered = world
        .events
        .iter()
        .filter(|event| matches!(event, Event::Call { change: CallChange::Answered, .. }));
    assert_eq!(answered.count(), 1);
}

// LD: over the limit there is a clear answer, and room again afterwards.
#[test]
fn a_full_table_is_a_503_and_empties_again() {
    let mut world = world();
    world.register("192.0.2.21:5060", "bob", "<sip:bob@192.0.2.21>");
    let message =
        |n: usize| request("MESSAGE", "sip:bob@example.org", "").replace("call", &format!("{n:x}"));
    // By hand, for it is done often: a number in the place of the branch, the tag and the call.
    let mut index = ringway_wire::Index::new();
    let mut out = ringway_core::boundary::Outbox::default();
    let template = message(0xffff_ffff).replace('|', "\r\n");
    for n in 0..ringway_core::limits::TRANSACTIONS {
        let bytes = template.replace("ffffffff", &format!("{n:08x}"));
        let framing = ringway_wire::Framing::Datagram;
        let message = ringway_wire::parse(bytes.as_bytes(), &mut index, framing).expect("one");
        out.clear();
        let flow = flow(EDGE);
        world.node.handle(world.now, Input::Message { flow, message }, &mut out);
        assert_eq!(out.outputs.len(), 1, "it goes on");
    }
    let sent = world.receive(EDGE, &message(ringway_core::limits::TRANSACTIONS));
    assert_eq!((statuses(&sent), sent[0].all("Retry-After").len()), (vec![503], 1));
    world.node.handle(
        world.now + ringway_core::time::Duration::from_secs(70),
        Input::TimeIsUp,
        &mut Default::default(),
    );
    assert_eq!(world.census(), Census::default());
}

/// How many client and server transactions there are after so many milliseconds more.
fn left_after(world: &mut World, ms: u64) -> (usize, usize) {
    world.pass(ms);
    let census = world.census();
    (census.client_transactions, census.server_transactions)
}

// What a transaction waits for is over at a certain time, and with it the transaction itself.
#[test]
//= RFC 3261 17.1.1.2 type=test
// "The client transaction MUST be destroyed the instant it enters the \"Terminated\" state."
//= RFC 3261 17.1.2.2 type=test
// "transaction is in the terminated state, it MUST be destroyed immediately."
//= RFC 3261 17.2.1 type=test
// "\"Terminated\" state, it MUST be destroyed immediately."
//= RFC 3261 17.2.2 type=test
// "The server transaction MUST be destroyed the instant it enters the"
fn transactions_end_with_their_timers() {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:bob@example.org", ""));
    world.receive(BOB, &sent[0].answer(200, ""));
    assert_eq!(left_after(&mut world, 4_990), (1, 1), "timers K and J run");
    assert_eq!(left_after(&mut world, 20), (0, 1), "K was 5 s");
    assert_eq!(left_after(&mut world, 26_980), (0, 1));
    assert_eq!(left_after(&mut world, 20), (0, 0), "J was 32 s");

    let text = invite("sip:bob@example.org", "").replace("call", "c2");
    let sent = world.receive(EDGE, &text);
    let sent = world.receive(BOB, &sent[1].answer(486, ""));
    let busy = sent.iter().find(|sent| sent.status() == 486).expect("it went back");
    let ack = text
        .replace("INVITE", "ACK")
        .replace("To: <sip:bob@example.org>", &format!("To: {}", busy.one("To")));
    assert!(world.receive(EDGE, &ack).is_empty());
    assert_eq!(left_after(&mut world, 4_990), (1, 1), "timers D and I run");
    assert_eq!(left_after(&mut world, 20), (1, 0), "I was 5 s");
    assert_eq!(left_after(&mut world, 26_980), (1, 0));
    assert_eq!(left_after(&mut world, 20), (0, 0), "D was 32 s");

    let text = invite("sip:bob@example.org", "").replace("call", "c3");
    let sent = world.receive(EDGE, &text);
    world.receive(BOB, &sent[1].answer(486, ""));
    assert_eq!(left_after(&mut world, 31_990), (1, 1), "there is no ACK");
    assert_eq!(left_after(&mut world, 20), (0, 0), "H was 32 s");
}
