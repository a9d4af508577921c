//! RFC 3261 §16.3 to §16.6 on a whole node: what is refused, where a request goes, and how the
//! copy looks.

mod world;

use ringway_core::boundary::{Answer, Input, Question};
use ringway_core::flow::Transport;
use world::{EDGE, Sent, World, flow, invite, lines, read, request, route_set, statuses, world};

const BOB: &str = "192.0.2.21:5060";

fn with_bob(at: &str, contact: &str) -> World {
    let mut world = world();
    world.register(at, "bob", contact);
    world
}

/// A call that is answered: the INVITE that arrived, and the 200 that went back.
fn call(world: &mut World, from: &str, more: &str) -> (Sent, Sent) {
    let sent = world.receive(from, &invite("sip:bob@example.org", more));
    let copy = sent[1].clone();
    let phone = copy.to.strip_prefix("udp ").unwrap_or(&copy.to).to_owned();
    let contact = if phone.contains("2001") { "[2001:db8:9::9]" } else { "192.0.2.21" };
    let ok = copy.answer(200, &format!("Contact: <sip:bob@{contact}>|"));
    let sent = world.receive(&phone, &ok);
    assert_eq!(statuses(&sent), [200], "{sent:?}");
    (copy, sent[0].clone())
}

fn in_dialog(method: &str, uri: &str, routes: &str, tags: (&str, &str)) -> String {
    format!(
        "{method} {uri} SIP/2.0|Via: SIP/2.0/UDP far.example;branch=z9hG4bK{method}{uri};rport|\
         {routes}Max-Forwards: 70|From: <sip:x@example.org>;tag={}|To: <sip:y@example.org>;\
         tag={}|Call-ID: call|CSeq: 2 {method}|Content-Length: 0||",
        tags.0, tags.1
    )
}

fn tag_of_callee(ok: &Sent) -> String {
    read(ok, |ok| String::from_utf8_lossy(ok.to().expect("To").tag().expect("a tag")).into_owned())
}

#[test]
//= RFC 3261 16.12.1.1 type=test
fn a_dialog_finds_its_way_by_its_route_set_even_after_a_restart() {
    for (caller, callee, contact) in [
        (EDGE, BOB, "<sip:bob@192.0.2.21>"),
        ("tcp#3 198.51.100.1:40000", BOB, "<sip:bob@192.0.2.21>"),
        (EDGE, "tcp#9 192.0.2.21:40001", "<sip:bob@192.0.2.21;transport=tcp>"),
        (EDGE, "[2001:db8:9::9]:5060", "<sip:bob@[2001:db8:9::9]>"),
        ("198.51.100.7:1024", "192.0.2.77:1025", "<sip:bob@10.0.0.1>"),
    ] {
        let mut world = with_bob(callee, contact);
        let (copy, ok) = call(&mut world, caller, "");
        // Behind address translation a contact leads nowhere; the route does.
        let direct = copy.all("Record-Route").len() == 1;
        let (theirs, mine) = match direct {
            true => ("sip:bob@192.0.2.21", "sip:alice@198.51.100.1"),
            false => ("sip:bob@10.0.0.1", "sip:alice@10.0.0.2"),
        };
        let callee_tag = tag_of_callee(&ok);
        for restart in [false, true] {
            if restart {
                world.pass(60_000);
                world.restart();
            }
            let routes = route_set(&ok, true);
            for method in ["ACK", "INVITE", "BYE"] {
                let text = in_dialog(method, theirs, &routes, ("caller", &callee_tag));
                let sent = world.receive(caller, &text);
                let passed = sent.last().unwrap_or_else(|| panic!("{method} {caller} {callee}"));
                assert_eq!(passed.to.trim_start_matches("udp "), callee, "{method}");
                assert_eq!(passed.first_line(), format!("{method} {theirs} SIP/2.0"));
                assert!(passed.all("Route").is_empty() && passed.all("Via").len() == 2);
                assert_eq!(passed.one("Max-Forwards"), "69");
            }
            let routes = route_set(&copy, false);
            let text = in_dialog("BYE", mine, &routes, (&callee_tag, "caller"));
            let sent = world.receive(callee, &text);
            assert_eq!(sent[0].to.trim_start_matches("udp "), caller, "{sent:?}");
            assert_eq!(sent[0].first_line(), format!("BYE {mine} SIP/2.0"));
        }
    }
}

#[test]
//= RFC 3261 16.4 type=test
fn a_strict_router_before_us_is_understood() {
    let mut world = with_bob("192.0.2.77:1025", "<sip:bob@10.0.0.1>");
    let (_, ok) = call(&mut world, "198.51.100.7:1024", "");
    let tag = tag_of_callee(&ok);
    let routes: Vec<String> = read(&ok, |ok| {
        let all = ok.values(ringway_wire::Name::RecordRoute);
        all.map(|r| String::from_utf8_lossy(r).trim_matches(['<', '>']).to_owned()).collect()
    });
    assert_eq!(routes.len(), 2, "one for each side");
    // The strict router puts its next hop, us, into the Request-URI.
    let rest = format!("Route: <{}>|Route: <sip:bob@10.0.0.1>|", routes[0]);
    for method in ["ACK", "BYE"] {
        let text = in_dialog(method, &routes[1], &rest, ("caller", &tag));
        let sent = world.receive("198.51.100.7:1024", &text);
        assert_eq!(
            lines(&sent),
            [format!("udp 192.0.2.77:1025 <- {method} sip:bob@10.0.0.1 SIP/2.0")]
        );
        assert!(sent[0].all("Route").is_empty(), "{sent:?}");
    }
    // Behind us another one: it goes on as it came, one hop further.
    let rest = format!(
        "Route: <{}>|Route: <sip:192.0.2.50>, <sip:192.0.2.51;lr>|Route: <sip:bob@10.0.0.1>|",
        routes[0]
    );
    for method in ["ACK", "BYE"] {
        let text = in_dialog(method, &routes[1], &rest, ("caller", &tag)).replace("far.", "f.");
        let sent = world.receive("198.51.100.7:1024", &text);
        let wanted = format!("udp 192.0.2.50:5060 <- {method} sip:192.0.2.50 SIP/2.0");
        assert_eq!(lines(&sent), [wanted]);
        let routes = sent[0].all("Route");
        assert_eq!(routes, ["<sip:192.0.2.51;lr>", "<sip:bob@10.0.0.1>"], "{sent:?}");
    }
}

#[test]
//= RFC 3261 16.6 type=test
fn a_strict_router_behind_us_finds_itself_in_the_request_uri() {
    let mut world = world();
    let more = "Route: <sip:192.0.2.1;lr>, <sip:192.0.2.50>|Route: <sip:192.0.2.51;lr>|";
    let sent = world.receive(EDGE, &invite("sip:bob@far.example", more));
    assert_eq!(lines(&sent)[1], "udp 192.0.2.50:5060 <- INVITE sip:192.0.2.50 SIP/2.0");
    assert_eq!(sent[1].all("Route"), ["<sip:192.0.2.51;lr>", "<sip:bob@far.example>"]);
    // An ACK of a call obeys the same rule.
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let (_, ok) = call(&mut world, EDGE, "");
    let routes = route_set(&ok, true) + "Route: <sip:192.0.2.50>|";
    let text = in_dialog("ACK", "sip:bob@10.0.0.1", &routes, ("caller", &tag_of_callee(&ok)));
    let sent = world.receive(EDGE, &text);
    assert_eq!(lines(&sent), ["udp 192.0.2.50:5060 <- ACK sip:192.0.2.50 SIP/2.0"]);
    assert_eq!(sent[0].all("Route"), ["<sip:bob@10.0.0.1>"]);
}

#[test]
//= RFC 3261 16.4 type=test
fn a_route_that_names_us_goes_in_any_form_and_no_other() {
    for ours in [
        "<sip:example.org;lr>",
        "<sip:EXAMPLE.ORG.:5060;lr>",
        "<sip:192.0.2.1;lr>",
        "<sip:192.0.2.1:5060;transport=TCP;lr>",
        "<sip:192.0.2.1:5060;lr;x=y>;z",
        "\"Us\" <sip:[2001:db8::1]:5060;lr>",
        "<sip:[2001:DB8:0:0::1];lr>",
        "<sip:192.0.2.1;lr>, <sip:example.org;lr>",
    ] {
        let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
        let more = format!("Route: {ours}|");
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", &more));
        assert_eq!(lines(&sent)[1], "udp 192.0.2.21:5060 <- INVITE sip:bob@192.0.2.21 SIP/2.0");
        assert!(sent[1].all("Route").is_empty(), "{ours}");
    }
    for (other, to) in [
        ("<sip:192.0.2.1:5070;lr>", "udp 192.0.2.1:5070"),
        ("<sip:192.0.2.2;lr>", "udp 192.0.2.2:5060"),
        ("<sip:[2001:db8::1]:5070;lr>", "udp [2001:db8::1]:5070"),
        ("<sip:192.0.2.2;transport=tcp;lr>", "tcp 192.0.2.2:5060"),
        ("<sip:far.example;maddr=192.0.2.3;lr>", "udp 192.0.2.3:5060"),
    ] {
        let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
        let more = format!("Route: {other}|");
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", &more));
        assert_eq!(sent[1].to, to, "{other}");
        assert_eq!(sent[1].all("Route"), [other]);
    }
    // We listen at 5070 only: who names no port does not name us.
    let listener = ringway_core::flow::Listener {
        transport: Transport::Udp,
        local: "192.0.2.1:5070".parse().expect("an address"),
        advertised: None,
    };
    let mut world = world::world_with(vec![listener], ringway_core::time::Instant::from_secs(9));
    let sent = world.receive(EDGE, &invite("sip:b@example.org", "Route: <sip:192.0.2.1;lr>|"));
    assert_eq!(sent[1].to, "udp 192.0.2.1:5060");
}

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
//= RFC 3261 16.3 type=test
//= RFC 3261 7.3.3 type=test
fn unknown_methods_and_headers_pass_byte_for_byte() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let text = "FROB sip:bob@example.org SIP/2.0|v: SIP/2.0/UDP a;branch=z9hG4bKc1;rport,|  \
                SIP/2.0/TCP b|f: \"A\\\" <x>, B\" <mailto:a@b>;tag=1|t: <urn:x:y>|i: call|\
                CSeq: 7 FROB|X-Odd  :   kept,  as |\t it is|MAX-FORWARDS: 9|k: a|k: b|l: 2|\
                Max-Breadth: 9|c: x/y||hi";
    let sent = world.receive(EDGE, text);
    assert_eq!(lines(&sent), ["udp 192.0.2.21:5060 <- FROB sip:bob@192.0.2.21 SIP/2.0"]);
    for part in [
        "f: \"A\\\" <x>, B\" <mailto:a@b>;tag=1|t: <urn:x:y>|i: call|CSeq: 7 FROB|",
        "|X-Odd  :   kept,  as |\t it is|MAX-FORWARDS: 8|k: a|k: b|l: 2|Max-Breadth: 9|c: x/y||hi",
        "SIP/2.0/TCP b|",
    ] {
        assert!(sent[0].text.contains(part), "{part} in {}", sent[0].text);
    }
    assert!(!sent[0].text.contains("Max-Forwards: 70"));
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
//= RFC 3261 16.6 type=test
//= RFC 3261 19.1.1 type=test
fn a_request_uri_holds_what_it_may_hold() {
    for (contact, uri) in [
        ("<sip:bob@192.0.2.21;ob;x=y>", "sip:bob@192.0.2.21;ob;x=y"),
        ("<sip:bob@192.0.2.21?Subject=x>", "sip:bob@192.0.2.21"),
        ("<sip:a?b@192.0.2.21;method=BYE?Subject=x>", "sip:a?b@192.0.2.21"),
        ("<sip:bob@192.0.2.21;Method=BYE;ob>", "sip:bob@192.0.2.21;ob"),
    ] {
        let mut world = with_bob(BOB, contact);
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
        assert_eq!(sent[1].first_line(), format!("INVITE {uri} SIP/2.0"), "{contact}");
    }
    let mut world = world();
    let sent = world.receive(EDGE, &invite("sip:a?b@192.0.2.30", ""));
    assert_eq!(lines(&sent)[1], "udp 192.0.2.30:5060 <- INVITE sip:a?b@192.0.2.30 SIP/2.0");
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
//= RFC 3261 20.14 type=test
fn an_ack_from_a_datagram_has_a_length_on_a_stream() {
    let mut world = with_bob("tcp#9 192.0.2.21:40001", "<sip:bob@192.0.2.21;transport=tcp>");
    let (_, ok) = call(&mut world, EDGE, "");
    let text = in_dialog(
        "ACK",
        "sip:bob@192.0.2.21",
        &route_set(&ok, true),
        ("caller", &tag_of_callee(&ok)),
    );
    let sent = world.receive(EDGE, &text.replace("Content-Length: 0|", ""));
    assert_eq!(sent[0].to, "tcp#9 192.0.2.21:40001");
    assert_eq!(sent[0].one("Content-Length"), "0");
}

#[test]
//= RFC 3261 22.3 type=test
fn our_own_credentials_stay_here_and_others_pass() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let more = "Proxy-Authorization: Digest realm=\"other\", username=\"x\"|";
    let sent = world.log_in("203.0.113.5:5060", "alice", &invite("sip:bob@example.org", more));
    let copy = sent.iter().find(|s| s.first_line().starts_with("INVITE")).expect("it passed");
    assert_eq!(copy.one("Proxy-Authorization"), "Digest realm=\"other\", username=\"x\"");
}

// B1, B3: what a stranger says about who it is does not pass; what a peer says does.
#[test]
//= RFC 3325 5 type=test
fn b1_identities_that_others_assert_stay_here() {
    let said = [
        "P-Asserted-Identity",
        "p-asserted-identity",
        "P-ASSERTED-IDENTITY  ",
        "Remote-Party-ID",
        "remote-party-id\t",
        "Diversion",
        "History-Info",
        "P-Charging-Vector",
        "P-Charging-Function-Addresses",
        "P-Charge-Info",
        "P-Asserted-Service",
        "P-Served-User",
        "P-Profile-Key",
        "P-Preferred-Identity",
        "P-Preferred-Service",
        "p-preferred-identity ",
    ];
    let more: String = said.iter().map(|name| format!("{name}: <sip:boss@example.org>|")).collect();
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let sent = world.log_in("203.0.113.5:5060", "alice", &invite("sip:bob@example.org", &more));
    let copy = sent.iter().find(|s| s.first_line().starts_with("INVITE")).expect("it passed");
    assert!(!copy.text.contains("boss"), "{}", copy.text);
    // The peer is believed, but a preference is for the first proxy only.
    let text = invite("sip:bob@example.org", &more).replace("call", "c2");
    let sent = world.receive(EDGE, &text);
    assert!(sent[1].text.contains("P-Asserted-Identity: <sip:boss@"), "{}", sent[1].text);
    assert!(!sent[1].text.to_lowercase().contains("p-preferred"), "{}", sent[1].text);
    // Inside a dialog it is no other.
    let ok = world.receive(BOB, &sent[1].answer(200, "Contact: <sip:bob@192.0.2.21>|"));
    let ok = ok[0].clone();
    let routes = route_set(&sent[1], false) + &more;
    let bye = in_dialog("BYE", "sip:alice@198.51.100.1", &routes, (&tag_of_callee(&ok), "caller"))
        .replace("Call-ID: call", "Call-ID: c2");
    let sent = world.receive(BOB, &bye);
    assert_eq!(sent[0].to, "udp 198.51.100.1:5060");
    assert!(!sent[0].text.contains("boss"), "{}", sent[0].text);
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
//= RFC 3261 18.2.1 type=test
//= RFC 3581 4 type=test
fn each_copy_notes_where_it_came_from() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let (copy, ok) = call(&mut world, EDGE, "");
    let noted = ";received=198.51.100.1;rport=5060";
    assert!(copy.all("Via")[1].ends_with(noted), "{}", copy.text);
    let tags = ("caller", &*tag_of_callee(&ok));
    let ack = in_dialog("ACK", "sip:bob@192.0.2.21", &route_set(&ok, true), tags);
    let sent = world.receive(EDGE, &ack);
    assert!(sent[0].all("Via")[1].ends_with(noted), "{}", sent[0].text);
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

/// A body is somebody else's: it is neither opened nor mended, however wrong it is.
#[test]
fn a14_a_body_of_many_parts_passes_as_it_is() {
    let nested = |n: usize| "--b\r\nContent-Type: multipart/mixed;boundary=b\r\n\r\n".repeat(n);
    for body in [
        "--b\r\n\r\none\r\n--b--\r\n".to_owned(),
        "--b".to_owned(),
        "--a-boundary-that-is-longer-than-all-of-it".to_owned(),
        "--b\r\n\r\nx\r\n".repeat(1_000),
        nested(100),
        "\0\u{1}\u{7f}\r\n\r\n--b--".to_owned(),
    ] {
        let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
        let kind = "Content-Type: multipart/mixed;boundary=b|";
        let head = invite("sip:bob@example.org", kind).replace('|', "\r\n");
        let head = head.replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
        let sent = world.receive_bytes(EDGE, (head + &body).as_bytes());
        let copy = sent.last().expect("the copy").bytes();
        assert!(copy.ends_with(body.as_bytes()), "{} bytes", body.len());
        let length = copy.len() - body.len();
        assert!(copy[..length].ends_with(b"\r\n\r\n"), "the body begins where it did");
    }
}

/// What comes packed is passed on packed; to us nobody may send anything packed.
#[test]
//= RFC 3261 11.2 type=test
fn a20_nothing_is_unpacked_here() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let sent = world.receive(EDGE, &request("OPTIONS", "sip:example.org", ""));
    assert_eq!((sent[0].status(), sent[0].one("Accept-Encoding")), (200, "identity"));
    let packed = "Content-Encoding: gzip|";
    let sent = world.receive(EDGE, &request("MESSAGE", "sip:bob@example.org", packed));
    assert_eq!(sent.last().expect("the copy").one("Content-Encoding"), "gzip");
}

/// The numbers of a dialog are for its phones to judge; what is no number is refused.
#[test]
//= RFC 3261 8.1.1.5 type=test
fn e15_the_order_of_a_dialog_is_kept_by_its_phones() {
    let mut world = with_bob(BOB, "<sip:bob@192.0.2.21>");
    let (_, ok) = call(&mut world, EDGE, "");
    let (routes, tag) = (route_set(&ok, true), tag_of_callee(&ok));
    for (number, status) in [("1", None), ("2147483647", None), ("2147483648", Some(400))] {
        let text = in_dialog("INFO", "sip:bob@192.0.2.21", &routes, ("caller", &tag));
        let text = text.replace("CSeq: 2 ", &format!("CSeq: {number} "));
        let text = text.replace("z9hG4bKINFO", &format!("z9hG4bK{number}"));
        let sent = world.receive(EDGE, &text);
        let sent = sent.last().expect("one or the other");
        match status {
            Some(status) => assert_eq!(sent.status(), status),
            None => assert_eq!(sent.one("CSeq"), format!("{number} INFO")),
        }
    }
}
