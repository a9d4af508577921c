//! Devices, their flows and their URIs: RFC 5626 §6, RFC 3327 §5.3, RFC 5627 §5.

use super::*;

const DEVICE: &str = "+sip.instance=\"<urn:uuid:1>\"";

/// Contacts as the 200 shows them, without what is the same in all.
fn flows(lines: &[String]) -> Vec<String> {
    let short =
        |line: &String| line.replace(&format!(";{DEVICE}"), "").replace(";expires=3600", "");
    let mut all: Vec<String> = lines.iter().map(short).collect();
    all.sort();
    all
}

#[test]
//= RFC 5626 6 type=test
fn a_flow_is_bound_to_device_and_number() {
    let mut desk = desk();
    let flow = |cseq: u32, uri: &str, reg_id: &str| {
        let contact = format!("Contact: <{uri}>;{DEVICE};reg-id={reg_id}");
        (cseq, contact)
    };
    let mut register = |(cseq, contact): (u32, String), more: &str| {
        let headers = [contact.as_str(), more, "Supported: outbound"];
        flows(&desk.register(Try { call_id: "1@phone", cseq, headers: &headers }))
    };
    let first = register(flow(1, "sip:w@a", "1"), "X: y");
    assert_eq!(first, ["<sip:w@a>;reg-id=1"]);
    let again = register(flow(2, "sip:w@b", "1"), "X: y");
    assert_eq!(again, ["<sip:w@b>;reg-id=1"], "replaced, not added");
    let second = register(flow(3, "sip:w@b", "2"), "X: y");
    assert_eq!(second, ["<sip:w@b>;reg-id=1", "<sip:w@b>;reg-id=2"], "the same contact");
    let gone = register(flow(4, "sip:w@b", "2"), "Expires: 0");
    assert_eq!(gone, ["<sip:w@b>;reg-id=1"]);
}

#[test]
fn a_flow_takes_the_place_of_the_same_contact_without_one() {
    let mut desk = desk();
    desk.register(with(1, &["Contact: <sip:w@a>"]));
    let contact = format!("Contact: <sip:w@a>;{DEVICE};reg-id=1");
    assert_eq!(flows(&desk.register(with(2, &[&contact]))), ["<sip:w@a>;reg-id=1"]);
    // What names no flow goes by its contact, so that a phone can take back what it has made.
    let none = desk.register(with(3, &["Contact: <sip:w@a>;expires=0"]));
    assert!(none.is_empty(), "{none:?}");
}

#[test]
//= RFC 5626 6 type=test
//= RFC 5626 10 type=test
fn what_a_reg_id_may_be() {
    let second_via = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK0";
    let edge = "Path: <sip:p2;lr>, <sip:tok@p1;lr;ob>";
    for (contact, more, expected) in [
        ("reg-id=1", &[][..], Ok((1, true))),
        ("reg-id=2147483647", &[], Ok((2_147_483_647, true))),
        ("reg-id=0", &[], Err("malformed: reg-id")),
        ("reg-id=2147483648", &[], Err("malformed: reg-id")),
        ("reg-id=-1", &[], Err("malformed: reg-id")),
        ("reg-id", &[], Err("malformed: reg-id")),
        ("reg-id=1", &[second_via, edge], Ok((1, true))),
        ("reg-id=1", &[second_via], Err("first_hop_lacks_outbound")),
        ("reg-id=1", &[second_via, "Path: <sip:p1;lr>"], Err("first_hop_lacks_outbound")),
        ("reg-id=1", &[second_via, "Path: <sip:p2;lr;ob>, <sip:p1;lr>"], {
            Err("first_hop_lacks_outbound")
        }),
        ("x=y", &[second_via], Ok((0, false))),
    ] {
        let contact = format!("Contact: <sip:w@a>;{DEVICE};{contact}");
        let headers = [&[contact.as_str(), "Supported: path, outbound"], more].concat();
        let result = desk().ask(Try { call_id: "c", cseq: 1, headers: &headers });
        let result = result.map(|r| (r.bindings[0].reg_id, r.outbound));
        assert_eq!(
            result.map_err(|r| r.to_string()),
            expected.map_err(String::from),
            "{headers:?}"
        );
    }
    // Who does not know of outbound is not told of it; a device that is not named has no flows.
    let contact = format!("Contact: <sip:w@a>;{DEVICE};reg-id=1");
    for (headers, expected) in [
        (&[contact.as_str()][..], (1, false)),
        (&[contact.as_str(), second_via], (0, false)),
        (&["Contact: <sip:w@a>;reg-id=1", "Supported: outbound"], (0, false)),
    ] {
        let done = desk().ask(Try { call_id: "c", cseq: 1, headers }).expect("registered");
        assert_eq!((done.bindings[0].reg_id, done.outbound), expected, "{headers:?}");
    }
}

#[test]
//= RFC 5626 6 type=test
fn one_request_registers_one_flow() {
    let flow = format!("Contact: <sip:w@a>;{DEVICE};reg-id=1");
    let old = "Contact: <sip:w@old>;expires=0";
    assert_eq!(desk().register(with(1, &[&flow, "Contact: <sip:w@b>"])), ["malformed: Contact"]);
    assert_eq!(flows(&desk().register(with(1, &[&flow, old]))), ["<sip:w@a>;reg-id=1"]);
}

#[test]
//= RFC 3327 5.3 type=test
fn a_path_is_kept_in_order() {
    let headers = ["Contact: <sip:w@a>", "Path: <sip:p3;lr>", "Path: <sip:p2;lr> , <sip:p1;lr>"];
    let done = desk().ask(with(1, &headers)).expect("registered");
    assert_eq!(*done.bindings[0].path, *b"<sip:p3;lr>, <sip:p2;lr>, <sip:p1;lr>");
    let long = format!("Path: <sip:{}@p;lr>", "x".repeat(limits::PATH_BYTES));
    for (path, reject) in [
        ("Path: <sip:p1>", "malformed: Path"),
        ("Path: <tel:+1;lr>", "malformed: Path"),
        (&long, "too_large"),
    ] {
        assert_eq!(desk().register(with(1, &["Contact: <sip:w@a>", path])), [reject]);
    }
}

#[test]
//= RFC 5627 5.1 type=test
fn temporary_gruus_end_with_their_call_id() {
    let mut desk = desk();
    let since = |desk: &Desk| {
        let mut all: Vec<_> = desk
            .bindings
            .iter()
            .map(|b| (b.reg_id, b.gruus_since.since(at(0)).as_millis()))
            .collect();
        all.sort_unstable();
        all
    };
    let mut register = |now, call_id: &'static str, cseq, reg_id: u32| {
        desk.now = now;
        let contact = format!("Contact: <sip:w@a>;{DEVICE};reg-id={reg_id}");
        desk.register(Try { call_id, cseq, headers: &[&contact] });
        since(&desk)
    };
    assert_eq!(register(1, "a", 1, 1), [(1, 1_000)]);
    assert_eq!(register(2, "a", 2, 1), [(1, 1_000)], "a refresh");
    assert_eq!(register(3, "b", 1, 2), [(1, 1_000), (2, 1_000)], "another flow has its own");
    assert_eq!(register(4, "b", 2, 2), [(1, 1_000), (2, 1_000)]);
    assert_eq!(register(5, "c", 1, 1), [(1, 5_000), (2, 5_000)], "all are void");
    // When none of its bindings is left, they are gone, whatever comes after.
    let contact = format!("Contact: <sip:w@a>;{DEVICE};reg-id=1");
    for (now, call_id, cseq, headers) in
        [(6, "d", 1, &["Contact: *", "Expires: 0"][..]), (7, "c", 9, &[contact.as_str()])]
    {
        desk.now = now;
        desk.register(Try { call_id, cseq, headers });
    }
    assert_eq!(since(&desk), [(1, 7_000)]);
}

#[test]
//= RFC 5627 5.1 type=test
fn a_client_cannot_name_its_own_gruu() {
    let contact = format!("Contact: <sip:w@a>;pub-gruu=\"sip:x@y\";{DEVICE};temp-gruu=\"sip:z\"");
    let lines = desk().register(with(1, &[&contact]));
    assert_eq!(flows(&lines), ["<sip:w@a>"]);
    let contact = format!("Contact: <tel:+1>;{DEVICE}");
    assert_eq!(desk().register(with(1, &[&contact])), ["contact_not_allowed"]);
}
