//! RFC 3261 §16.7 to §16.10 on a whole node: which answers of the branches go back, and when.

mod world;

use world::{EDGE, Sent, World, invite, read, request, route_set, statuses, world};

const PHONES: [&str; 3] = ["192.0.2.21:5060", "192.0.2.22:5060", "192.0.2.23:5060"];

/// Bob's phones, each with its preference, and a call to him: what each phone got.
fn ringing(preferences: &[&str], more: &str) -> (World, Vec<Sent>) {
    let mut world = world();
    for (phone, q) in PHONES.iter().zip(preferences) {
        let ip = phone.split(':').next().expect("an address");
        world.register(phone, "bob", &format!("<sip:bob@{ip}>;q={q}"));
    }
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", more));
    assert_eq!(sent[0].status(), 100, "{sent:?}");
    (world, sent[1..].to_vec())
}

/// A phone answers.
fn answers(world: &mut World, copy: &Sent, status: u16, more: &str) -> Vec<Sent> {
    let from = copy.to.strip_prefix("udp ").expect("a datagram");
    world.receive(from, &copy.answer(status, more))
}

/// What came back to the caller.
fn back(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|sent| sent.status() > 0).collect()
}

fn methods(sent: &[Sent]) -> Vec<String> {
    let requests = sent.iter().filter(|sent| sent.status() == 0);
    let method = |s: &Sent| s.first_line().split(' ').next().unwrap_or_default().to_owned();
    requests.map(|s| format!("{} {}", s.to, method(s))).collect()
}

#[test]
//= RFC 3261 16.7 type=test
fn the_best_of_all_answers_goes_back_when_all_are_there() {
    for (given, best) in [
        ([486, 480, 404], 486),
        ([486, 302, 404], 302),
        ([486, 500, 404], 486),
        ([500, 503, 504], 500),
        ([503, 503, 503], 500),
        ([503, 503, 504], 504),
        ([503, 408, 487], 408),
        ([603, 486, 302], 603),
        ([486, 484, 404], 484),
        ([415, 486, 404], 415),
        ([420, 486, 404], 420),
        ([486, 487, 408], 486),
    ] {
        for turn in 0..3 {
            let (mut world, copies) = ringing(&["1", "1", "1"], "");
            let mut heard = Vec::new();
            for at in 0..3 {
                let at = (at + turn) % 3;
                let sent = answers(&mut world, &copies[at], given[at], "");
                assert!(methods(&sent).iter().any(|m| m.ends_with("ACK")), "{given:?} is acked");
                heard.extend(back(&sent).iter().map(|sent| sent.status()));
            }
            assert_eq!(heard, [best], "{given:?} from {turn}");
        }
    }
}

#[test]
//= RFC 3261 16.7 type=test
//= RFC 8760 2.5 type=test
fn challenges_of_all_branches_are_merged_and_stay_in_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let (mut world, copies) = ringing(&["1", "1", "1"], "");
        let more = [
            "WWW-Authenticate: Digest realm=\"a\", algorithm=SHA-256|WWW-Authenticate: Digest \
             realm=\"a\", algorithm=MD5|",
            "",
            "Proxy-Authenticate: Digest realm=\"p1\"|Proxy-Authenticate: Digest realm=\"p2\"|\
             WWW-Authenticate: Digest realm=\"b\"|",
        ];
        let mut last = Vec::new();
        for at in order {
            last = answers(&mut world, &copies[at], [401, 486, 407][at], more[at]);
        }
        let answer = back(&last)[0].clone();
        assert!([401, 407].contains(&answer.status()), "{answer:?}");
        let mut www = answer.all("WWW-Authenticate");
        let of_a: Vec<&str> = www.iter().filter(|v| v.contains("\"a\"")).copied().collect();
        assert_eq!(
            of_a,
            ["Digest realm=\"a\", algorithm=SHA-256", "Digest realm=\"a\", algorithm=MD5"]
        );
        www.retain(|value| value.contains("\"b\""));
        assert_eq!(www.len(), 1);
        let proxy = answer.all("Proxy-Authenticate");
        assert_eq!(proxy, ["Digest realm=\"p1\"", "Digest realm=\"p2\""]);
    }
}

#[test]
//= RFC 3261 16.7 type=test
fn a_6xx_cancels_the_others_and_waits_for_them() {
    let (mut world, copies) = ringing(&["1", "1", "0.5"], "");
    assert_eq!(copies.len(), 2, "the third comes later");
    answers(&mut world, &copies[1], 180, "");
    let sent = answers(&mut world, &copies[0], 603, "");
    assert_eq!(methods(&sent), ["udp 192.0.2.21:5060 ACK", "udp 192.0.2.22:5060 CANCEL"]);
    assert!(back(&sent).is_empty(), "not before all have ended");
    let sent = answers(&mut world, &copies[1], 487, "");
    assert_eq!(statuses(&back(&sent).into_iter().cloned().collect::<Vec<_>>()), [603]);
    assert_eq!(methods(&sent), ["udp 192.0.2.22:5060 ACK"], "and nobody else is asked");
}

#[test]
//= RFC 3261 16.7 type=test
fn a_2xx_after_a_6xx_is_forwarded() {
    let (mut world, copies) = ringing(&["1", "1"], "");
    answers(&mut world, &copies[1], 180, "");
    answers(&mut world, &copies[0], 603, "");
    let sent = answers(&mut world, &copies[1], 200, "");
    assert_eq!(back(&sent)[0].status(), 200);
}

#[test]
//= RFC 3261 16.7 type=test
fn every_2xx_goes_back_even_late_and_from_several() {
    let (mut world, copies) = ringing(&["1", "1"], "");
    answers(&mut world, &copies[1], 180, "");
    let sent = answers(&mut world, &copies[0], 200, "");
    assert_eq!(back(&sent)[0].status(), 200);
    assert_eq!(methods(&sent), ["udp 192.0.2.22:5060 CANCEL"]);
    let sent = answers(&mut world, &copies[1], 200, "");
    assert_eq!(back(&sent)[0].status(), 200, "the second one too");
    world.pass(31_000);
    for copy in &copies {
        let sent = answers(&mut world, copy, 200, "");
        assert_eq!(back(&sent).len(), 1, "and each repetition");
    }
    world.pass(2_000);
    for copy in &copies {
        assert!(answers(&mut world, copy, 200, "").is_empty(), "a stray one is dropped");
    }
    assert_eq!(world.census().response_contexts, 0);
}

#[test]
//= RFC 3261 16.7 type=test
fn provisional_answers_go_back_but_no_100() {
    let (mut world, copies) = ringing(&["1", "1"], "");
    assert!(answers(&mut world, &copies[0], 100, "").is_empty());
    for (copy, status) in [(0, 180), (1, 183), (0, 180), (0, 199)] {
        let sent = answers(&mut world, &copies[copy], status, "X: y|");
        assert_eq!(statuses(&sent), [status]);
        assert_eq!(sent[0].one("X"), "y");
        assert_eq!(sent[0].all("Via").len(), 1, "our Via is gone");
    }
}

#[test]
//= RFC 3261 9.1 type=test
fn a_cancel_waits_for_a_provisional_answer() {
    let (mut world, copies) = ringing(&["1", "1"], "");
    answers(&mut world, &copies[0], 180, "");
    let cancel = invite("sip:bob@example.org", "").replace("INVITE", "CANCEL");
    let sent = world.receive(EDGE, &cancel);
    assert_eq!(statuses(&sent)[0], 200, "the CANCEL is answered at once");
    assert_eq!(methods(&sent), ["udp 192.0.2.21:5060 CANCEL"]);
    // It is sent again until it is answered.
    let again = world.pass(600);
    let cancels = again.iter().filter(|(_, s)| s.first_line().starts_with("CANCEL"));
    assert_eq!(
        cancels.map(|(ms, sent)| (*ms, &*sent.to)).collect::<Vec<_>>(),
        [(500, "udp 192.0.2.21:5060")]
    );
    let cancel_copy = &sent[1];
    assert_eq!(cancel_copy.one("Via"), copies[0].all("Via")[0], "the branch of the INVITE");
    assert_eq!(cancel_copy.one("CSeq"), "1 CANCEL");
    assert!(answers(&mut world, cancel_copy, 200, "").is_empty(), "this answer is ours");
    let sent = answers(&mut world, &copies[1], 100, "");
    assert_eq!(methods(&sent), ["udp 192.0.2.22:5060 CANCEL"], "now it may be cancelled");
    assert!(back(&answers(&mut world, &copies[0], 487, "")).is_empty());
    let sent = answers(&mut world, &copies[1], 487, "");
    assert_eq!(statuses(&back(&sent).into_iter().cloned().collect::<Vec<_>>()), [487]);
}

#[test]
//= RFC 3261 9.2 type=test
fn a_cancel_of_what_is_answered_changes_nothing() {
    let (mut world, copies) = ringing(&["1"], "");
    answers(&mut world, &copies[0], 180, "");
    answers(&mut world, &copies[0], 200, "");
    let cancel = invite("sip:bob@example.org", "").replace("INVITE", "CANCEL");
    let sent = world.receive(EDGE, &cancel);
    assert_eq!(statuses(&sent), [200], "answered, and nothing sent on");
}

#[test]
//= RFC 3261 9.1 type=test
fn who_does_not_react_to_a_cancel_is_given_up() {
    let (mut world, copies) = ringing(&["1"], "");
    answers(&mut world, &copies[0], 180, "");
    world.receive(EDGE, &invite("sip:bob@example.org", "").replace("INVITE", "CANCEL"));
    let passed = world.pass(33_000);
    let finals: Vec<_> = passed.iter().filter(|(_, s)| s.status() >= 200).collect();
    assert_eq!((finals[0].0, finals[0].1.status()), (32_000, 487));
}

#[test]
//= RFC 3261 16.8 type=test
fn timer_c_cancels_and_each_provisional_answer_sets_it_again() {
    let (mut world, copies) = ringing(&["1"], "");
    answers(&mut world, &copies[0], 180, "");
    world.pass(100_000);
    answers(&mut world, &copies[0], 100, "");
    world.pass(50_000);
    let sent = answers(&mut world, &copies[0], 183, "");
    assert_eq!(statuses(&sent), [183]);
    let passed = world.pass(184_900);
    assert!(passed.is_empty(), "{passed:?}");
    let passed = world.pass(200);
    assert_eq!(passed.len(), 1);
    assert!(passed[0].1.first_line().starts_with("CANCEL"), "{passed:?}");
    // A 100 alone does not: only 101 to 199 do.
    let (mut world, copies) = ringing(&["1"], "");
    answers(&mut world, &copies[0], 180, "");
    world.pass(100_000);
    answers(&mut world, &copies[0], 100, "");
    let passed = world.pass(85_100);
    assert!(passed.iter().any(|(_, s)| s.first_line().starts_with("CANCEL")), "{passed:?}");
}

#[test]
//= RFC 3261 16.8 type=test
fn nobody_answers_is_a_408_and_says_less_than_any_answer() {
    let (mut world, _) = ringing(&["1"], "");
    let passed = world.pass(32_100);
    let finals: Vec<_> = passed.iter().filter(|(_, s)| s.status() >= 200).collect();
    assert_eq!((finals[0].0, finals[0].1.status()), (32_000, 408));
    let (mut world, copies) = ringing(&["1", "1"], "");
    answers(&mut world, &copies[0], 503, "");
    let passed = world.pass(32_100);
    let finals: Vec<_> = passed.iter().filter(|(_, s)| s.status() >= 200).collect();
    assert_eq!(finals[0].1.status(), 500, "what a phone said comes before our guess");
}

#[test]
fn groups_are_tried_one_after_another() {
    let (mut world, copies) = ringing(&["0.1", "0.9", "0.9"], "");
    assert_eq!(copies.len(), 2);
    answers(&mut world, &copies[0], 486, "");
    let sent = answers(&mut world, &copies[1], 480, "");
    assert_eq!(methods(&sent)[1], "udp 192.0.2.21:5060 INVITE");
    assert!(back(&sent).is_empty());
    let next = sent.iter().find(|s| s.first_line().starts_with("INVITE")).expect("it");
    let sent = answers(&mut world, next, 404, "");
    assert_eq!(back(&sent)[0].status(), 486, "the first of the best class");
}

#[test]
//= RFC 4320 4.2 type=test
fn a_408_never_answers_anything_but_an_invite() {
    let mut world = world();
    world.register(PHONES[0], "bob", "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:bob@example.org", ""));
    assert_eq!(sent.len(), 1, "no 100: {sent:?}");
    let copy = sent[0].clone();
    let sent = answers(&mut world, &copy, 408, "");
    assert!(sent.is_empty(), "{sent:?}");
    world.pass(33_000);
    let left = world.census();
    assert_eq!((left.server_transactions, left.response_contexts), (0, 0));
}

#[test]
//= RFC 4320 4.1 type=test
fn a_100_for_others_than_invite_comes_late_and_no_other_1xx_at_all() {
    let mut world = world();
    world.register(PHONES[0], "bob", "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:bob@example.org", ""));
    let copy = sent[0].clone();
    assert!(answers(&mut world, &copy, 180, "").is_empty());
    let passed = world.pass(3_600);
    let own: Vec<_> = passed.iter().filter(|(_, s)| s.status() > 0).collect();
    assert_eq!((own.len(), own[0].0, own[0].1.status()), (1, 3_500, 100));
    let sent = answers(&mut world, &copy, 202, "");
    assert_eq!(statuses(&sent), [202]);
    assert!(answers(&mut world, &copy, 200, "").is_empty());
}

#[test]
//= RFC 3261 17.1.3 type=test
//= RFC 3261 18.1.2 type=test
fn forged_responses_find_nothing() {
    let (mut world, copies) = ringing(&["1"], "");
    let good = copies[0].answer(180, "");
    let via = copies[0].all("Via")[0];
    let (head, branch) = via.split_once("branch=").expect("a branch");
    let branch = &branch[..branch.find(';').unwrap_or(branch.len())];
    for bad in [
        good.replace("1 INVITE", "1 OPTIONS"),
        good.replace("1 INVITE", "1 BYE"),
        // Not one of our addresses: not for us.
        good.replace(head, "SIP/2.0/UDP 192.0.2.99:5060;"),
        good.replace(head, "SIP/2.0/UDP 192.0.2.1:5070;"),
        good.replace(head, "SIP/2.0/UDP example.com;"),
        // The last Via would be ours.
        good.replace("Via: SIP/2.0/UDP caller.example", "X-Via: SIP/2.0/UDP caller.example"),
    ] {
        assert_ne!(bad, good);
        assert_eq!(world.receive(PHONES[0], &bad), [], "{bad}");
    }
    for at in 7..branch.len() {
        let digit = if &branch[at..=at] == "0" { "1" } else { "0" };
        let forged = format!("{}{digit}{}", &branch[..at], &branch[at + 1..]);
        let bad = good.replace(branch, &forged);
        assert_eq!(world.receive(PHONES[0], &bad), [], "digit {at} of the branch");
    }
    assert_eq!(statuses(&world.receive(PHONES[0], &good)), [180]);
}

#[test]
//= RFC 3261 18.3 type=test
fn what_goes_over_a_stream_has_a_length() {
    let mut world = world();
    world.register(PHONES[0], "bob", "<sip:bob@192.0.2.21>");
    let caller = "tcp#3 198.51.100.1:40000";
    let sent = world.receive(caller, &invite("sip:bob@example.org", ""));
    let copy = sent[1].clone();
    for status in [180, 486] {
        let bare = copy.answer(status, "").replace("Content-Length: 0|", "");
        let sent = world.receive(PHONES[0], &bare);
        let answer = back(&sent)[0].clone();
        assert_eq!(answer.to, caller);
        assert_eq!(answer.one("Content-Length"), "0", "{status}");
    }
    let sent = world.receive(caller, &invite("sip:bob@example.org", "").replace("call", "c2"));
    let ok = sent[1].answer(200, "").replace("Content-Length: 0|", "");
    let sent = world.receive(PHONES[0], &ok);
    assert_eq!(back(&sent)[0].one("Content-Length"), "0");
    read(back(&sent)[0], |message| assert_eq!(message.status(), 200));
}

#[test]
//= RFC 3261 16.6 type=test
// Linphone 5.1 sends an ACK without a length over UDP; a phone on TCP never saw its end.
fn requests_that_go_on_over_a_stream_get_a_length() {
    let (mut world, phone) = (world(), "tcp#7 192.0.2.21:40001");
    world.register(phone, "bob", "<sip:bob@192.0.2.21;transport=tcp>");
    let bare = |text: String| text.replace("Content-Length: 0|", "");
    let sent = world.receive(EDGE, &bare(invite("sip:bob@example.org", "")));
    let copy = sent[1].clone();
    assert_eq!((&*copy.to, copy.one("Content-Length")), (phone, "0"));
    let contact = "Contact: <sip:bob@192.0.2.21;transport=tcp>|";
    let sent = world.receive(phone, &copy.answer(200, contact));
    let routes = route_set(back(&sent)[0], true);
    for method in ["ACK", "BYE"] {
        let within = request(method, "sip:bob@192.0.2.21;transport=tcp", &routes);
        let within =
            within.replace("bKcall", &format!("bK{method}")).replace("|Call-ID", ";tag=b|Call-ID");
        let sent = world.receive(EDGE, &bare(within));
        let passed = &sent[0];
        assert_eq!((&*passed.to, passed.one("Content-Length")), (phone, "0"), "{method}");
    }
}

#[test]
//= RFC 3261 16.9 type=test
fn what_cannot_be_sent_counts_as_a_503() {
    let mut world = world();
    let text = invite("sip:x@192.0.2.77;transport=tcp", "");
    let sent = world.receive(EDGE, &text);
    let failed = sent[1].on_failure.expect("someone wants to know");
    let sent = world.handle(ringway_core::boundary::Input::Undelivered(failed));
    assert_eq!(statuses(&sent), [500]);
}

#[test]
//= RFC 5626 5.3 type=test
fn a_contact_whose_connection_is_gone_is_not_available() {
    let mut world = world();
    world.register("tcp#9 192.0.2.21:40001", "bob", "<sip:bob@192.0.2.21;transport=tcp>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    assert_eq!(sent[1].to, "tcp#9 192.0.2.21:40001");
    let failed = sent[1].on_failure.expect("someone wants to know");
    let sent = world.handle(ringway_core::boundary::Input::Undelivered(failed));
    assert_eq!(statuses(&sent), [480]);
    world.handle(ringway_core::boundary::Input::FlowClosed(world::flow("tcp#9 192.0.2.21:40001")));
    let again = invite("sip:bob@example.org", "").replace("call", "c2");
    assert_eq!(statuses(&world.receive(EDGE, &again)), [100, 480]);
}

// B1: who answers is no more to be believed than who calls.
#[test]
//= RFC 3325 5 type=test
fn b1_identities_that_a_phone_asserts_stay_here() {
    for status in [180, 200, 486] {
        let (mut world, copies) = ringing(&["1"], "");
        let more = "P-Asserted-Identity: <sip:boss@example.org>|Remote-Party-ID: <sip:boss@x>|";
        let sent = answers(&mut world, &copies[0], status, more);
        let answer = back(&sent)[0];
        assert!(!answer.text.contains("boss"), "{}", answer.text);
    }
}

#[test]
//= RFC 4320 4.2 type=test
fn an_answer_that_comes_too_late_is_counted_and_goes_nowhere() {
    let mut world = world();
    world.receive(EDGE, &request("MESSAGE", "sip:x@far.example", ""));
    world.pass(3_000);
    let found = world::flow("192.0.2.60:5060");
    let copy = world.answer(ringway_core::boundary::Answer::Resolved(vec![found]))[0].clone();
    world.pass(30_000);
    assert!(world.receive("192.0.2.60:5060", &copy.answer(200, "")).is_empty());
    let late = ringway_core::boundary::DropReason::LateResponse;
    assert!(world.events.iter().any(|event| {
        matches!(event, ringway_core::boundary::Event::Dropped { reason, .. } if *reason == late)
    }));
    world.pass(6_000);
    assert_eq!(world.census().client_transactions, 0);
}

#[test]
//= RFC 3261 16.7 type=test
fn who_has_rung_long_enough_is_cancelled_and_the_next_is_tried() {
    let mut world = world();
    world.snapshot.settings.ring_s = 5;
    world.use_snapshot();
    for (phone, q) in PHONES.iter().zip(["1", "0.5"]) {
        let ip = phone.split(':').next().expect("an address");
        world.register(phone, "bob", &format!("<sip:bob@{ip}>;q={q}"));
    }
    let first = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
    answers(&mut world, &first, 180, "");
    assert!(world.pass(4_999).is_empty());
    let passed: Vec<Sent> = world.pass(1).into_iter().map(|(_, sent)| sent).collect();
    assert_eq!(methods(&passed), ["udp 192.0.2.21:5060 CANCEL"]);
    answers(&mut world, &passed[0], 200, "");
    let sent = answers(&mut world, &first, 487, "");
    assert_eq!(methods(&sent), ["udp 192.0.2.21:5060 ACK", "udp 192.0.2.22:5060 INVITE"]);
    // The last one rings until the caller gives up, or Timer C does.
    answers(&mut world, &sent[1], 180, "");
    assert!(world.pass(100_000).is_empty());
    // A late answer of the first would have been as good.
    let sent = answers(&mut world, &sent[1], 200, "");
    assert_eq!(back(&sent)[0].status(), 200);
}
