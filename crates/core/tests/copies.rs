//! RFC 3261 §16.6 on a whole node: how the copy that is sent on looks, and what passes as it is.

mod world;

use world::dialog::{call, in_dialog, tag_of_callee};
use world::{BOB, EDGE, invite, lines, request, route_set, with_bob, world};

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
