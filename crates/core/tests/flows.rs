//! RFC 5626 §7 and RFC 3327 §5.4 on a whole node: which flow of a device a request takes, and along
//! which Path.

mod world;

use ringway_core::boundary::Input;
use ringway_core::time::Duration;
use world::{EDGE, Sent, World, flow, invite, request, route_set, statuses, world};

const FIRST: &str = "tcp#1 192.0.2.21:40001";
const SECOND: &str = "tcp#2 192.0.2.21:40002";

/// The contact of one flow of a device; the same for both, as a browser's is.
fn contact(device: u32, reg_id: u32) -> String {
    let instance = format!("+sip.instance=\"<urn:uuid:{device}>\"");
    format!("<sip:x{device}@a.invalid;transport=ws>;{instance};reg-id={reg_id}")
}

/// Bob has one device with two flows; the second is the newer one.
fn two_flows() -> World {
    let mut world = world();
    world.register(FIRST, "bob", &contact(1, 1));
    world.pass(10);
    world.register(SECOND, "bob", &contact(1, 2));
    world
}

fn requests(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|sent| sent.status() == 0 && !sent.text.starts_with("ACK")).collect()
}

fn to(sent: &[Sent]) -> Vec<&str> {
    requests(sent).iter().map(|sent| sent.to.as_str()).collect()
}

/// Bob's device answers, over the flow that it was asked on.
fn answer(world: &mut World, copy: &Sent, status: u16) -> Vec<Sent> {
    world.receive(&copy.to, &copy.answer(status, ""))
}

#[test]
//= RFC 5626 7 type=test
fn a_device_is_asked_over_one_flow_at_a_time() {
    for status in [430, 408] {
        let mut world = two_flows();
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
        assert_eq!(to(&sent), [SECOND], "one branch, over the newer flow");
        let copy = requests(&sent)[0].clone();
        let sent = answer(&mut world, &copy, status);
        assert_eq!(to(&sent), [FIRST], "{status} leads to the other");
        let again = requests(&sent)[0].clone();
        assert_ne!(again.all("Via")[0], copy.all("Via")[0]);
        let sent = answer(&mut world, &again, status);
        assert_eq!(statuses(&sent).into_iter().max(), Some(if status == 430 { 480 } else { 408 }));
        assert!(to(&sent).is_empty(), "there is no third");
    }
    for status in [486, 480, 503, 404, 600] {
        let mut world = two_flows();
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
        let copy = requests(&sent)[0].clone();
        let sent = answer(&mut world, &copy, status);
        assert!(to(&sent).is_empty(), "{status}: the device has answered");
    }
}

#[test]
//= RFC 5626 7 type=test
fn a_flow_that_ends_or_is_silent_gives_way_to_another() {
    for how in ["closed", "closed while it rings", "undelivered", "silent"] {
        let mut world = two_flows();
        let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
        let copy = requests(&sent)[0].clone();
        let sent = match how {
            "undelivered" => {
                let failed = copy.on_failure.expect("someone wants to know");
                world.handle(Input::Undelivered(failed))
            }
            "silent" => world.pass(32_000).into_iter().map(|(_, sent)| sent).collect(),
            _ => {
                if how == "closed while it rings" {
                    answer(&mut world, &copy, 180);
                }
                world.handle(Input::FlowClosed(flow(SECOND)))
            }
        };
        assert_eq!(to(&sent), [FIRST], "{how}");
        let again = requests(&sent)[0].clone();
        let sent = answer(&mut world, &again, 486);
        assert!(statuses(&sent).contains(&486), "{how}");
    }
}

#[test]
fn a_device_that_was_cancelled_is_not_asked_again() {
    let mut world = two_flows();
    let text = invite("sip:bob@example.org", "");
    let sent = world.receive(EDGE, &text);
    let copy = requests(&sent)[0].clone();
    answer(&mut world, &copy, 180);
    world.receive(EDGE, &text.replace("INVITE", "CANCEL"));
    assert_eq!(statuses(&world.handle(Input::FlowClosed(flow(SECOND)))), [487]);
}

#[test]
//= RFC 5626 7 type=test
fn other_devices_ring_meanwhile() {
    let mut world = two_flows();
    world.register("192.0.2.31:5060", "bob", "<sip:bob@192.0.2.31>");
    world.register("tcp#7 192.0.2.32:40000", "bob", &contact(2, 1));
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    let mut all = to(&sent);
    all.sort_unstable();
    assert_eq!(all, [SECOND, "tcp#7 192.0.2.32:40000", "udp 192.0.2.31:5060"]);
}

// A phone that has started anew has two contacts and no flows: the newest is meant.
#[test]
//= RFC 5626 7 type=test
fn a_device_without_flows_is_asked_at_its_newest_contact() {
    let mut world = world();
    let instance = "+sip.instance=\"<urn:uuid:9>\"";
    for (n, port) in [(1, 5070), (2, 5080)] {
        let from = format!("192.0.2.33:{port}");
        world.register(&from, "bob", &format!("<sip:bob@{from}>;{instance};q=0.{}", 9 - n));
        world.pass(10);
    }
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    assert_eq!(to(&sent), ["udp 192.0.2.33:5080"]);
    let copy = requests(&sent)[0].clone();
    let sent = world.receive("192.0.2.33:5080", &copy.answer(408, ""));
    assert_eq!(to(&sent), ["udp 192.0.2.33:5070"]);
}

// 430 is for a proxy, that may have another flow; an end point hears 480.
#[test]
//= RFC 5626 5.3.1 type=test
//= RFC 5626 11.5 type=test
fn only_a_proxy_hears_that_a_flow_has_failed() {
    for (below, status) in [("", 480), ("Via: SIP/2.0/UDP ua.example;branch=z9hG4bKua|", 430)] {
        let mut world = world();
        world.register(FIRST, "bob", &contact(1, 1));
        let copy = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
        let accept = copy.answer(200, "Contact: <sip:bob@192.0.2.21>|");
        let accept = world.receive(FIRST, &accept)[0].clone();
        world.handle(Input::FlowClosed(flow(FIRST)));
        let target = "sip:bob@192.0.2.21";
        let bye = request("BYE", target, &format!("{below}{}", route_set(&accept, true)))
            .replace(&format!("To: <{target}>"), &format!("To: {}", accept.one("To")))
            .replace("CSeq: 1", "CSeq: 2");
        let sent = world.receive(EDGE, &bye);
        let failed = sent[0].on_failure.expect("someone wants to know");
        assert_eq!(statuses(&world.handle(Input::Undelivered(failed))), [status]);
    }
}

/// A REGISTER of Bob's that came along these proxies.
fn register_along(world: &mut World, contact: &str, path: &str) {
    let n = world.next_number();
    let text = format!(
        "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP e;branch=z9hG4bKe{n};rport|Via: \
         SIP/2.0/UDP p;branch=z9hG4bKp{n}|From: <sip:bob@example.org>;tag=r|To: \
         <sip:bob@example.org>|Call-ID: reg{n}|CSeq: 1 REGISTER|Supported: path, outbound|Path: \
         {path}|Contact: {contact}|Content-Length: 0||"
    );
    let sent = world.receive(EDGE, &text);
    assert_eq!(statuses(&sent), [200], "{sent:?}");
    assert_eq!(sent[0].all("Path"), [path]);
}

#[test]
//= RFC 3327 5.4 type=test
fn a_path_becomes_the_route_of_its_branch_and_of_no_other() {
    let mut world = world();
    let path = "<sip:198.51.100.9;lr>, <sip:tok@198.51.100.8:5070;transport=tcp;lr;ob>";
    register_along(&mut world, "<sip:bob@10.0.0.7:5060>", path);
    world.register("192.0.2.31:5060", "bob", "<sip:bob@192.0.2.31>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    let branch = |to: &str| {
        let found = requests(&sent).into_iter().find(|sent| sent.to == to);
        found.unwrap_or_else(|| panic!("nothing went to {to}: {sent:?}")).clone()
    };
    let along = branch("udp 198.51.100.9:5060");
    assert_eq!(along.all("Route"), [path]);
    assert!(along.text.starts_with("INVITE sip:bob@10.0.0.7:5060 SIP/2.0|"), "{along:?}");
    assert!(branch("udp 192.0.2.31:5060").all("Route").is_empty());
    // A proxy on the way says that its flow is gone, and another of the device is taken.
    let direct = contact(4, 1);
    register_along(&mut world, &direct, "<sip:tok@198.51.100.8:5070;lr;ob>");
    world.pass(10);
    register_along(&mut world, &contact(4, 2), "<sip:tok@198.51.100.7:5070;lr;ob>");
    let text = invite("sip:bob@example.org", "").replace("call", "c2");
    let sent = world.receive(EDGE, &text);
    let all = to(&sent);
    assert!(all.contains(&"udp 198.51.100.7:5070") && all.len() == 3, "{all:?}");
    let copy = sent.iter().find(|s| s.to == "udp 198.51.100.7:5070").expect("sent").clone();
    let sent = world.receive("198.51.100.7:5070", &copy.answer(430, ""));
    assert_eq!(to(&sent), ["udp 198.51.100.8:5070"]);
}

/// A REGISTER of Bob's device with a Call-ID of its choice; the temporary GRUU that it is given.
fn temporary(world: &mut World, from: &str, (call_id, cseq): (&str, u32), more: &str) -> String {
    let n = world.next_number();
    let text = format!(
        "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/TCP p;branch=z9hG4bKt{n};rport|From: \
         <sip:bob@example.org>;tag=r|To: <sip:bob@example.org>|Call-ID: {call_id}|CSeq: {cseq} \
         REGISTER|Supported: gruu, outbound|{more}Contact: {}|Content-Length: 0||",
        contact(1, 1),
    );
    let sent = world.log_in(from, "bob", &text);
    let ok = sent.last().expect("an answer");
    assert_eq!(ok.status(), 200, "{ok:?}");
    let value = ok.all("Contact").first().map(|value| value.to_string()).unwrap_or_default();
    let gruu = value.split_once("temp-gruu=\"").and_then(|(_, rest)| rest.split_once('"'));
    gruu.map(|(gruu, _)| gruu.to_owned()).unwrap_or_default()
}

/// What comes of a MESSAGE to this URI.
fn message(world: &mut World, uri: &str) -> String {
    let n = world.next_number();
    let text = request("MESSAGE", uri, "").replace("call", &format!("m{n}"));
    let sent = world.receive(EDGE, &text);
    let first = sent.first().expect("something");
    if first.status() > 0 { first.status().to_string() } else { first.to.clone() }
}

#[test]
//= RFC 5627 5.1 type=test
//= RFC 5627 5.3 type=test
fn temporary_gruus_last_as_long_as_their_call_id() {
    let mut world = world();
    let first = temporary(&mut world, FIRST, ("a", 1), "");
    world.pass(1_000);
    let second = temporary(&mut world, FIRST, ("a", 10), "");
    assert_ne!(first, second, "a new one each time");
    for gruu in [&first, &second] {
        assert_eq!(message(&mut world, gruu), FIRST, "{gruu}");
    }
    // Another user's bindings are no answer to it.
    world.register("192.0.2.44:5060", "carol", "<sip:carol@192.0.2.44>");
    world.pass(1_000);
    let third = temporary(&mut world, SECOND, ("b", 1), "");
    for gruu in [&first, &second] {
        assert_eq!(message(&mut world, gruu), "404", "void with a new Call-ID");
    }
    assert_eq!(message(&mut world, &third), SECOND);
    world.handle(Input::FlowClosed(flow(SECOND)));
    assert_eq!(message(&mut world, &third), "404", "its last contact is gone");
    world.pass(1_000);
    temporary(&mut world, FIRST, ("b", 10), "");
    assert_eq!(message(&mut world, &third), "404", "and stays so");
    assert_eq!(message(&mut world, "sip:bob@example.org;gr=urn:uuid:1"), FIRST);
}

#[test]
//= RFC 5627 6.1 type=test
fn a_request_in_a_dialog_to_a_gruu_keeps_the_rest_of_its_route() {
    let mut world = two_flows();
    let copy = world.receive(EDGE, &invite("sip:bob@example.org", ""))[1].clone();
    let gruu = "sip:bob@example.org;gr=urn:uuid:1";
    let accept = copy.answer(200, &format!("Contact: <{gruu}>|"));
    let accept = world.receive(SECOND, &accept)[0].clone();
    let routes = route_set(&accept, true);
    let inside = |method: &str, cseq: u32, more: &str| {
        request(method, gruu, more)
            .replace(&format!("To: <{gruu}>"), &format!("To: {}", accept.one("To")))
            .replace("CSeq: 1", &format!("CSeq: {cseq}"))
            .replace("z9hG4bKcall", &format!("z9hG4bK{cseq}"))
    };
    let sent = world.receive(EDGE, &inside("ACK", 1, &routes));
    assert_eq!(to_all(&sent), [SECOND]);
    assert!(sent[0].text.starts_with("ACK sip:x1@a.invalid;transport=ws SIP/2.0|"), "{sent:?}");
    // Its flow ends, and the device is reached over the other one.
    world.handle(Input::FlowClosed(flow(SECOND)));
    let sent = world.receive(EDGE, &inside("INFO", 2, &routes));
    assert_eq!(to(&sent), [FIRST]);
    // A proxy behind us in the route set stays in it.
    let routes = format!("{routes}Route: <sip:192.0.2.99;lr>|");
    let sent = world.receive(EDGE, &inside("INFO", 3, &routes));
    assert_eq!(to(&sent), ["udp 192.0.2.99:5060"]);
    assert_eq!(sent[0].all("Route"), ["<sip:192.0.2.99;lr>"]);
    assert!(sent[0].text.starts_with("INFO sip:x1@a.invalid;transport=ws SIP/2.0|"), "{sent:?}");
}

fn to_all(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| sent.to.as_str()).collect()
}

// The registrar is another server, and we are the edge: it hears of the flow, and comes back by it.
#[test]
//= RFC 5626 5.1 type=test
//= RFC 5626 5.3.1 type=test
//= RFC 3327 5.2 type=test
fn a_registrar_elsewhere_is_told_the_way_over_the_flow() {
    let mut world = world();
    let client = "tcp#5 198.51.100.77:40000";
    let register = |more: &str, via: &str| {
        request("REGISTER", "sip:198.51.100.20", more)
            .replace("To: <sip:198.51.100.20>", "To: <sip:zoe@far.example>")
            .replace("|Max-Forwards", &format!("{via}|Max-Forwards"))
    };
    let asked = world.receive(client, &register("Supported: path, outbound|", ""));
    assert_eq!(asked[0].to, "udp 198.51.100.20:5060");
    let path = asked[0].one("Path").to_owned();
    let routes: Vec<&str> = path.split(", ").collect();
    assert_eq!(routes[0], "<sip:192.0.2.1:5060;lr>", "the registrar's side");
    assert!(routes[1].ends_with("@192.0.2.1:5060;transport=tcp;lr;ob>"), "the client's: {path}");
    // Who knows no Path gets none, and neither does who is behind another proxy.
    let proxied = ("c3", "Supported: path|", "|Via: SIP/2.0/UDP ua;branch=z9hG4bKua");
    for (call, more, via) in [("c2", "", ""), proxied] {
        let sent = world.receive(client, &register(more, via).replace("call", call));
        assert!(sent[0].all("Path").is_empty(), "{more}{via}");
    }
    // The registrar's call comes along the Path, with another Call-ID.
    let call = |route: &str| {
        let more = format!("Via: SIP/2.0/UDP ua;branch=z9hG4bKua|Route: {route}|");
        invite("sip:zoe@10.0.0.9", &more)
            .replace("call", "c7")
            .replace("To: <sip:zoe@10.0.0.9>", "To: <sip:zoe@far.example>")
    };
    let sent = world.receive("198.51.100.20:5060", &call(&path));
    assert_eq!(sent[1].to, client, "{sent:?}");
    assert!(sent[1].all("Route").is_empty());
    world.handle(Input::FlowClosed(flow(client)));
    let again = call(&path).replace("c7", "c8").replace("z9hG4bKc7", "z9hG4bKc8");
    let sent = world.receive("198.51.100.20:5060", &again);
    let failed = sent[1].on_failure.expect("someone wants to know");
    assert_eq!(statuses(&world.handle(Input::Undelivered(failed))), [430], "for the proxy above");
    // D6: a token that was changed, and one in the hands of a stranger.
    let forged = path.replacen("sip:A", "sip:B", 1);
    assert_ne!(forged, path);
    let sent = world.receive("198.51.100.20:5060", &call(&forged).replace("c7", "c9"));
    assert_eq!(statuses(&sent), [403]);
    let sent = world.receive("203.0.113.1:5060", &call(&path).replace("c7", "c10"));
    assert_eq!(statuses(&sent), [407]);
}

// Whoever was told how often to say something is taken for gone when it does not; nobody else is.
#[test]
//= RFC 5626 5.4 type=test
// "are received, etc.).  The server MUST wait for an amount of time"
//= RFC 5626 6 type=test
// "(Section 5.4).  Registrars with a direct flow with a UA MAY include a"
fn a_flow_timer_is_waited_for_and_twenty_seconds_more() {
    const EDGES: &str = "Via: SIP/2.0/TCP ua;branch=z9hG4bKua|Path: <sip:t@198.51.100.1;lr;ob>|";
    let over_an_edge = "tcp#9 198.51.100.1:5060";
    for (from, more, reg_id, told) in [
        (FIRST, "", ";reg-id=1", true),
        (FIRST, "", "", false),
        ("192.0.2.21:5060", "", ";reg-id=1", false),
        (over_an_edge, EDGES, ";reg-id=1", false),
    ] {
        let mut world = world();
        let contact = format!("<sip:x@192.0.2.21>;+sip.instance=\"<urn:uuid:1>\"{reg_id}");
        let text = format!("{more}Supported: path, outbound|");
        let text = request("REGISTER", "sip:example.org", &text)
            .replace("<sip:alice@198.51.100.1>", &contact)
            .replace("To: <sip:example.org>", "To: <sip:bob@example.org>")
            .replace("From: <sip:alice@", "From: <sip:bob@");
        let sent = world.log_in(from, "bob", &text);
        let ok = sent.last().expect("an answer");
        assert_eq!(ok.status(), 200, "{sent:?}");
        assert_eq!(ok.all("Require").len(), usize::from(!reg_id.is_empty()), "{from}");
        let (timers, expected): (&[&str], Vec<_>) = match told {
            true => (&["120"], vec![(FIRST.to_owned(), Duration::from_secs(140))]),
            false => (&[], Vec::new()),
        };
        assert_eq!(ok.all("Flow-Timer"), timers, "{from}{more}");
        assert_eq!(world.expected, expected, "{from}{more}");
    }
}
