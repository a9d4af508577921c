//! RFC 3261 §16.4 and §16.12 on a whole node: Route, and what a dialog's route set does.

mod world;

use ringway_core::flow::Transport;
use world::dialog::{call, in_dialog, tag_of_callee};
use world::{BOB, EDGE, invite, lines, read, route_set, with_bob, world};

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
