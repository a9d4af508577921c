//! RFC 3261 §16.3 to §16.6 on a whole node: what is refused, where a request goes, and how the
//! copy looks.

mod world;

use ringway_core::boundary::{Answer, Input, Question};
use ringway_core::flow::Transport;
use world::dialog::{call, in_dialog, tag_of_callee};
use world::{BOB, EDGE, Sent, flow, invite, lines, request, route_set, statuses, with_bob, world};

#[test]
//= RFC 5393 5.3.3 type=test
fn breadth_is_shared_out_and_never_exceeded() {
    let fork = |phones: &[(&str, &str)], more: &str| {
        let mut world = world();
        for (phone, q) in phones {
            let ip = phone.split(':').next().expect("an address");
            world.register(phone, "bob", &format!("<sip:bob@{ip}>;q={q}"));
        }
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", more));
        (world, sent)
    };
    let three = [(BOB, "1"), ("192.0.2.22:5060", "1"), ("192.0.2.23:5060", "1")];
    for (more, shares) in [
        ("", [20, 20, 20]),
        ("Max-Breadth: 60|", [20, 20, 20]),
        ("Max-Breadth: 7|", [3, 2, 2]),
        ("Max-Breadth: 3|", [1, 1, 1]),
        ("Max-Breadth: 4000000000|", [20, 20, 20]),
        ("Max-Breadth: x|", [20, 20, 20]),
    ] {
        let (_, sent) = fork(&three, more);
        let mut given: Vec<u32> =
            sent[1..].iter().map(|s| s.one("Max-Breadth").parse().expect("a number")).collect();
        given.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(given, shares, "{more}");
    }
    for more in ["Max-Breadth: 2|", "Max-Breadth: 0|"] {
        let (_, sent) = fork(&three, more);
        assert_eq!(statuses(&sent), [100, 440], "{more}");
    }
    // One after another needs one only, and what a branch gives back is used again.
    let (mut world, sent) = fork(&[(BOB, "1"), ("192.0.2.22:5060", "0.5")], "Max-Breadth: 1|");
    assert_eq!(sent[1].one("Max-Breadth"), "1");
    let sent = world.receive(BOB, &sent[1].answer(486, ""));
    assert_eq!(sent[1].one("Max-Breadth"), "1", "{sent:?}");
}

#[test]
//= RFC 5393 4.2.2 type=test
fn a_loop_is_found_and_a_spiral_is_not() {
    // Bob's contact is another server, and that sends everything back.
    let mut world = with_bob("198.51.100.9:5060", "<sip:bob@mirror.example>");
    world.receive(EDGE, &invite("sip:bob@example.org", ""));
    let copy = world.answer(Answer::Resolved(vec![flow("198.51.100.9:5060")]))[0].text.clone();
    let copy = copy.replace("sip:bob@mirror.example", "sip:bob@example.org");
    assert_eq!(statuses(&world.receive("198.51.100.9:5060", &copy)), [482]);
    // Another method on the same way is the same loop.
    let other = copy.replace("INVITE", "MESSAGE");
    assert_eq!(statuses(&world.receive("198.51.100.9:5060", &other)), [482]);
    // Another target, or another route: a spiral.
    world.register(BOB, "carol", "<sip:carol@192.0.2.21>");
    let spiral = copy.replace("INVITE sip:bob@", "INVITE sip:carol@");
    let sent = world.receive("198.51.100.9:5060", &spiral);
    assert_eq!(lines(&sent)[1], "udp 192.0.2.21:5060 <- INVITE sip:carol@192.0.2.21 SIP/2.0");
    let routed = copy.replace("|Max-Forwards", "|Route: <sip:192.0.2.50;lr>|Max-Forwards");
    let sent = world.receive("198.51.100.9:5060", &routed.replace("=z9hG4bK0", "=z9hG4bK1"));
    assert_eq!(sent.last().map(|s| &*s.to), Some("udp 192.0.2.50:5060"), "{sent:?}");
}

#[test]
//= RFC 3261 16.3 type=test
fn hops_run_out() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let zero = |text: String| text.replace("Max-Forwards: 70", "Max-Forwards: 0");
    let sent = world.receive(EDGE, &zero(invite("sip:bob@example.org", "")));
    assert_eq!(statuses(&sent), [483]);
    // What is for ourselves needs no further hop.
    let sent = world.receive(EDGE, &zero(request("OPTIONS", "sip:example.org", "")));
    assert_eq!(statuses(&sent), [200]);
    let sent = world.receive(EDGE, &zero(request("OPTIONS", "sip:bob@example.org", "")));
    assert_eq!(statuses(&sent), [483]);
    let register = request("REGISTER", "sip:example.org", "")
        .replace("To: <sip:example.org>", "To: <sip:alice@example.org>");
    assert_eq!(statuses(&world.receive(EDGE, &zero(register))), [200]);
    for (given, sent_on) in [("1", "0"), ("255", "254"), ("256", "70"), ("-1", "70")] {
        let text = invite("sip:bob@example.org", "").replace("call", &format!("c{given}"));
        let text = text.replace("Max-Forwards: 70", &format!("Max-Forwards: {given}"));
        let sent = world.receive(EDGE, &text);
        assert_eq!(sent[1].one("Max-Forwards"), sent_on, "{given}");
    }
    let text = invite("sip:bob@example.org", "").replace("Max-Forwards: 70|", "");
    assert_eq!(world.receive(EDGE, &text)[1].one("Max-Forwards"), "70");
}

#[test]
//= RFC 3261 16.3 type=test
//= RFC 3261 20.40 type=test
fn unknown_extensions_are_named_and_only_those_that_count() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let more = "Proxy-Require: foo, bar|Require: 100rel|proxy-require: baz|";
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", more));
    assert_eq!(statuses(&sent), [420]);
    assert_eq!(sent[0].all("Unsupported").join(", "), "foo, bar, baz");
    // What the end points require of each other is theirs.
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", "Require: 100rel|"));
    assert_eq!(sent[1].one("Require"), "100rel");
    for text in [
        request("OPTIONS", "sip:example.org", "Require: x|Proxy-Require: y|"),
        request("REGISTER", "sip:example.org", "Require: x|Proxy-Require: y|")
            .replace("To: <sip:example.org>", "To: <sip:alice@example.org>"),
    ] {
        let sent = world.receive(EDGE, &text);
        assert_eq!((sent[0].status(), sent[0].one("Unsupported")), (420, "x"), "{text}");
    }
}

#[test]
//= RFC 3261 10.3 type=test
//= RFC 3261 19.1.4 type=test
fn users_are_found_in_any_spelling() {
    for (uri, user) in [
        ("sip:%62ob@example.org", "bob"),
        ("sip:b%6Fb@EXAMPLE.org:5060;transport=tcp;user=phone", "bob"),
        ("sip:bob:pw@192.0.2.1", "bob"),
        ("sip:bob@[2001:db8::1]:5060", "bob"),
        ("tel:+12015550123", "+12015550123"),
        ("tel:+1-201-555-0123", "+12015550123"),
        ("tel:+1(201)555.0123;ext=5", "+12015550123"),
        ("sip:%2b12015550123@example.org", "+12015550123"),
        ("sip:what?ever@example.org", "what?ever"),
        ("sip:what%3fever@example.org", "what?ever"),
    ] {
        let mut world = world();
        world.register(BOB, user, "<sip:phone@192.0.2.21>");
        let sent = world.receive(EDGE, &invite(uri, ""));
        assert_eq!(
            lines(&sent).last().map(String::as_str),
            Some("udp 192.0.2.21:5060 <- INVITE sip:phone@192.0.2.21 SIP/2.0"),
            "{uri}"
        );
    }
    for (uri, status) in [
        ("sip:nobody@example.org", 404),
        ("sip:BOB@example.org", 404),
        ("sip:carol@example.org", 480),
        ("isbn:0-13-110362-8", 416),
        ("mailto:bob@example.org", 416),
        ("sip:bob@example.org?x=y", 400),
    ] {
        let sent = world().receive(EDGE, &invite(uri, ""));
        assert_eq!(sent.last().map(Sent::status), Some(status), "{uri}");
    }
}

#[test]
//= RFC 3261 16.5 type=test
fn a_maddr_that_is_not_ours_is_the_target() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    for (uri, to) in [
        ("sip:bob@example.org;maddr=192.0.2.30", "udp 192.0.2.30:5060"),
        ("sip:bob@example.org:5080;maddr=192.0.2.30", "udp 192.0.2.30:5080"),
        ("sip:bob@far.example;maddr=[2001:db8::30]", "udp [2001:db8::30]:5060"),
        ("sip:bob@example.org;maddr=192.0.2.1", "udp 192.0.2.21:5060"),
        ("sip:bob@example.org;maddr=example.org", "udp 192.0.2.21:5060"),
    ] {
        let text = invite(uri, "").replace("call", &format!("c{}", uri.len()));
        let sent = world.receive(EDGE, &text);
        assert_eq!(sent.last().map(|s| &*s.to), Some(to), "{uri}");
    }
}

#[test]
//= RFC 3261 18.1.1 type=test
fn a_large_request_goes_over_tcp_or_back_to_a_datagram() {
    let big = format!("Subject: {}|", "x".repeat(1_300));
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", &big));
    let over_tcp = sent[1].clone();
    assert_eq!(over_tcp.to, "tcp 192.0.2.21:5060");
    assert!(over_tcp.all("Via")[0].starts_with("SIP/2.0/TCP 192.0.2.1:5060;"));
    let sent = world.handle(Input::Undelivered(over_tcp.on_failure.expect("someone asks")));
    let over_udp = sent[0].clone();
    assert_eq!(over_udp.to, "udp 192.0.2.21:5060");
    assert!(over_udp.all("Via")[0].starts_with("SIP/2.0/UDP 192.0.2.1:5060;"));
    let branch = |s: &Sent| {
        let via = s.all("Via")[0];
        via[via.find("branch").expect("one")..].to_owned()
    };
    assert_eq!(branch(&over_udp), branch(&over_tcp), "the same transaction");
    // From then on the dialog keeps to datagrams.
    let sent = world.receive(BOB, &over_udp.answer(200, "Contact: <sip:bob@192.0.2.21>|"));
    let ok = sent[0].clone();
    let bye = in_dialog(
        "BYE",
        "sip:bob@192.0.2.21",
        &route_set(&ok, true),
        ("caller", &tag_of_callee(&ok)),
    );
    assert_eq!(world.receive(EDGE, &bye)[0].to, "udp 192.0.2.21:5060");
    // A second failure is one.
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", &big));
    let failed = sent[1].on_failure.expect("someone asks");
    world.handle(Input::Undelivered(failed));
    assert_eq!(statuses(&world.handle(Input::Undelivered(failed))), [480]);
    // Nobody wants it any more by the time the stream fails.
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let call = invite("sip:bob@example.org", &big);
    let failed = world.receive(EDGE, &call)[1].on_failure.expect("someone asks");
    let cancel = call.replace("INVITE", "CANCEL");
    assert_eq!(statuses(&world.receive(EDGE, &cancel)), [200]);
    assert_eq!(statuses(&world.handle(Input::Undelivered(failed))), [487]);
    // Or another phone has answered.
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    world.register("192.0.2.22:5060", "bob", "<sip:bob@192.0.2.22>");
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:bob@example.org", &big));
    let failed = sent[1].on_failure.expect("someone asks");
    assert_eq!(statuses(&world.receive(BOB, &sent[0].answer(200, ""))), [200]);
    assert_eq!(world.handle(Input::Undelivered(failed)), []);
    // Who is behind address translation hears nothing but its flow.
    let mut world = with_bob("192.0.2.77:1025", "<sip:bob@10.0.0.1>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", &big));
    assert_eq!(sent[1].to, "udp 192.0.2.77:1025");
}

#[test]
//= RFC 3263 4.1 type=test
fn a_v4_phone_calls_a_v6_phone_and_back() {
    for (caller, callee) in [
        ("198.51.100.1:5060", "[2001:db8:9::9]:5060"),
        ("[2001:db8:5::1]:5060", "192.0.2.21:5060"),
        ("tcp#4 [2001:db8:5::1]:5060", "192.0.2.21:5060"),
    ] {
        let ip = callee.rsplit_once(':').expect("a port").0;
        let mut world = with_bob(callee, &format!("<sip:bob@{ip}>"));
        let (copy, ok) = call(&mut world, caller, "");
        let sockets: Vec<bool> = [&copy, &ok].iter().map(|sent| sent.flow.socket.0 >= 2).collect();
        assert_eq!(sockets, [callee.contains("2001"), caller.contains("2001")]);
        let us = if callee.contains("2001") { "[2001:db8::1]:5060" } else { "192.0.2.1:5060" };
        assert!(copy.all("Via")[0].contains(us), "{}", copy.text);
        // One for each side, each in a header of its own: Linphone 5.1 cannot copy a list.
        let entries = copy.all("Record-Route").into_iter().map(|entry| entry.matches("<sip:"));
        assert_eq!(entries.map(Iterator::count).collect::<Vec<_>>(), [1, 1]);
    }
}

#[test]
fn a_phone_on_our_own_address_is_no_part_of_us() {
    let listener = ringway_core::flow::Listener {
        transport: Transport::Udp,
        local: "127.0.0.1:5070".parse().expect("an address"),
        advertised: None,
    };
    let now = ringway_core::time::Instant::from_secs(9);
    let mut world = world::world_with(vec![listener], now);
    world.register("127.0.0.1:5060", "bob", "<sip:127.0.0.1>");
    let text = invite("sip:bob@example.org", "");
    let sent = world.receive(EDGE, &text);
    let ok = sent[1].answer(200, "Contact: <sip:127.0.0.1>|");
    let ok = world.receive("127.0.0.1:5060", &ok)[0].clone();
    let tags = ("caller", &*tag_of_callee(&ok));
    let bye = in_dialog("BYE", "sip:127.0.0.1", &route_set(&ok, true), tags);
    let sent = world.receive(EDGE, &bye);
    assert_eq!(lines(&sent), ["udp 127.0.0.1:5060 <- BYE sip:127.0.0.1 SIP/2.0"]);
}

#[test]
fn what_must_be_looked_up_waits_and_a_failure_is_a_500() {
    let mut world = world();
    let sent = world.receive(EDGE, &invite("sip:x@far.example", ""));
    assert_eq!((statuses(&sent), world.asks.len()), (vec![100], 1));
    let found = flow("192.0.2.60:5060");
    let sent = world.answer(Answer::Resolved(vec![found]));
    assert_eq!(lines(&sent), ["udp 192.0.2.60:5060 <- INVITE sip:x@far.example SIP/2.0"]);
    for answer in [Answer::Resolved(Vec::new()), Answer::Failed] {
        let mut world = world::world();
        world.receive(EDGE, &invite("sip:x@far.example", ""));
        assert_eq!(statuses(&world.answer(answer)), [500]);
    }
    // A CANCEL meanwhile ends it at once.
    let mut world = world::world();
    let text = invite("sip:x@far.example", "");
    world.receive(EDGE, &text);
    let sent = world.receive(EDGE, &text.replace("INVITE", "CANCEL"));
    assert_eq!(statuses(&sent), [200, 487]);
    assert!(world.answer(Answer::Resolved(vec![found])).is_empty());
}

// F3: nothing answers an ACK, so one that would go inside is dropped.
#[test]
fn f3_an_ack_goes_nowhere_either_where_nobody_may_send() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let text = invite("sip:bob@example.org", "");
    let copy = world.receive(EDGE, &text).pop().expect("a copy");
    let ok = copy.answer(200, "Contact: <sip:bob@192.0.2.21>|");
    let ok = world.receive(BOB, &ok)[0].clone();
    let tag = tag_of_callee(&ok);
    let ack = |next: &str| {
        let routes = format!("{}Route: <sip:{next};lr>|", route_set(&ok, true));
        in_dialog("ACK", "sip:bob@192.0.2.21", &routes, ("caller", &tag))
    };
    let sent = world.receive(EDGE, &ack("192.0.2.60"));
    assert_eq!(lines(&sent), ["udp 192.0.2.60:5060 <- ACK sip:bob@192.0.2.21 SIP/2.0"]);
    for inside in ["127.0.0.1", "169.254.169.254:80"] {
        assert!(world.receive(EDGE, &ack(inside)).is_empty(), "{inside}");
        assert!(world.asks.is_empty(), "{inside}");
    }
    for (found, expected) in [
        (vec!["127.0.0.1:5060"], vec![]),
        (vec!["127.0.0.1:5060", "192.0.2.61:5060"], vec!["udp 192.0.2.61:5060"]),
    ] {
        assert!(world.receive(EDGE, &ack("far.example")).is_empty());
        let found = found.into_iter().map(flow).collect();
        let sent = world.answer(Answer::Resolved(found));
        assert_eq!(sent.iter().map(|sent| &*sent.to).collect::<Vec<_>>(), expected);
    }
}

#[test]
//= RFC 5630 5.3 type=test
//= RFC 3261 16.6 type=test
fn what_is_for_a_sips_uri_never_goes_over_an_open_transport() {
    let last = |contact: &str, uri: &str, more: &str| {
        let mut world = with_bob(BOB, contact);
        let sent = world.receive(EDGE, &invite(uri, more));
        (sent.last().expect("an answer").clone(), world.asks.pop())
    };
    let (answer, _) = last("<sip:bob@192.0.2.21>", "sips:bob@example.org", "");
    assert_eq!(answer.status(), 480);
    assert!(answer.one("Warning").starts_with("380 "), "{}", answer.text);
    // A SIPS contact is no better where its flow is open.
    for (uri, warning) in [("sips:bob@example.org", "380 "), ("sip:bob@example.org", "381 ")] {
        let (answer, _) = last("<sips:bob@192.0.2.21>", uri, "");
        assert_eq!(answer.status(), 480);
        assert!(answer.one("Warning").starts_with(warning), "{}", answer.text);
    }
    // Elsewhere, by name or address or a Route: over TLS, which has to be found first.
    for (uri, more) in [
        ("sips:x@192.0.2.30", ""),
        ("sips:x@far.example;transport=tcp", ""),
        ("sips:x@far.example", "Route: <sip:192.0.2.50;lr>|"),
    ] {
        let (answer, ask) = last("<sip:bob@192.0.2.21>", uri, more);
        let Some((_, Question::Resolve(hop))) = ask else {
            panic!("{uri} was sent: {}", answer.text)
        };
        let is_secure = hop.transport.map_or(hop.secure, Transport::is_secure);
        assert_eq!((answer.status(), is_secure), (100, true), "{uri}");
    }
    let (answer, ask) = last("<sip:bob@192.0.2.21>", "sips:x@192.0.2.30;transport=udp", "");
    assert!(answer.status() >= 400 && ask.is_none(), "{}", answer.text);
}

#[test]
//= RFC 3261 10.2 type=test
// RFC 4475 3.3.4: a registrar refuses it, before it asks for a password.
fn only_sip_users_can_register() {
    for from in [EDGE, world::STRANGER] {
        for (to, status) in [("isbn:2983792873", 400), ("http://example.org", 400)] {
            let text = request("REGISTER", "sip:example.org", "")
                .replace("To: <sip:example.org>", &format!("To: <{to}>"));
            assert_eq!(statuses(&world().receive(from, &text)), [status], "{to} from {from}");
        }
    }
}
