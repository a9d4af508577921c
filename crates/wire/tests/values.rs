//! Part A of the threat list from A11 on, without what is about cost: what values may be, and
//! what they mean.

mod judge;

use judge::{instead, judged, with};
use ringway_wire::{Contacts, Fault, Framing, Index, Message, Uri, equal, parse, unescape};

#[test]
//= RFC 3261 19.1.4 type=test
fn a11_escapes_are_decoded_once_and_only_to_compare() {
    let mut out = Vec::new();
    unescape(b"%2541%0d%0a%00%4%zz%", &mut out);
    assert_eq!(out, b"%41\r\n\0%4%zz%");
    let uri = |text: &'static str| Uri::parse(text.as_bytes()).expect(text);
    assert!(equal(&uri("sip:%61@h"), &uri("sip:a@h")));
    assert!(!equal(&uri("sip:%2561@h"), &uri("sip:a@h")));
    assert!(!equal(&uri("sip:a%40h@h"), &uri("sip:a@h")));
    assert!(!equal(&uri("sip:%00@h"), &uri("sip:%00%00@h")));
}

#[test]
//= RFC 4475 3.1.2.6 type=test
fn a12_quotes_and_brackets_that_do_not_close() {
    for bad in [
        "\"a\\",
        "\"a\\\"",
        "\"",
        "\"a <sip:b@h>",
        "<",
        "<sip:b@h",
        "sip:b@h>",
        "\"a\" sip:b@h",
        "<sip:b@h>;x=\"",
        "<sip:b@h>;x=\"a\\\"",
        "<sip:b@h>;x=\"a\"b",
        "<sip:b@h>;x=\"a\"\"b\"",
        "<<sip:b@h>>",
        "a, b <sip:b@h>",
        "<sip:b@h> x",
        "<sip:b@h>, <sip:c@h>",
        "",
    ] {
        assert_eq!(judged(&instead(&format!("To: {bad}"))), Some(("To", Fault::Grammar)), "{bad}");
    }
    for good in ["\"a\\\\\" <sip:b@h>", "\"<,;\\\"\" <sip:b@h>;x=\";,\\\"\"", "<sip:b@h>;x=\"\""] {
        assert_eq!(judged(&instead(&format!("To: {good}"))), None, "{good}");
    }
}

#[test]
//= RFC 3261 10.2.2 type=test
fn a_star_stands_alone() {
    let kind = |header: &str| {
        let text = with(header).replace('|', "\r\n");
        let mut index = Index::new();
        let message = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("a message");
        (message.contact_kind(), message.check().is_ok())
    };
    assert_eq!(kind("X: y"), (Contacts::None, true));
    assert_eq!(kind("m: *"), (Contacts::Star, true));
    assert_eq!(kind("m: <sip:a@b>|Contact: sip:c@d"), (Contacts::List, true));
    for mixed in ["m: *, <sip:a@b>", "m: <sip:a@b>|Contact: *", "m: *|m: *", "m: *;expires=0"] {
        assert_eq!(kind(mixed), (Contacts::List, false), "{mixed}");
    }
}

#[test]
//= RFC 4475 3.3.4 type=test
fn a13_other_schemes_are_legal() {
    for uri in ["isbn:1", "http://h/x?y", "tel:+1;x=y", "name:a_b", "a.b-c+d:e"] {
        assert_eq!(judged(&instead(&format!("To: <{uri}>"))), None, "{uri}");
        assert_eq!(judged(&with(&format!("Contact: <{uri}>"))), None, "{uri}");
        assert_eq!(judged(&with("X: y").replace("sip:b@h", uri)), None, "{uri}");
    }
    for uri in ["b", ":b", "1a:b", "sip:", "sip:@h", "sip:b@", "a b:c", "s%69p:b@h"] {
        assert_eq!(
            judged(&instead(&format!("To: <{uri}>"))),
            Some(("To", Fault::Grammar)),
            "{uri}"
        );
    }
}

#[test]
//= RFC 3261 8.1.1.5 type=test
fn a15_sequence_numbers_and_ports_stay_in_their_range() {
    for (number, fault) in [
        ("0", None),
        ("2147483647", None),
        ("0000000000000000000000001", None),
        ("2147483648", Some(Fault::Range)),
        ("4294967296", Some(Fault::Range)),
        ("18446744073709551617", Some(Fault::Range)),
        ("-1", Some(Fault::Grammar)),
        ("+1", Some(Fault::Grammar)),
        ("0x1", Some(Fault::Grammar)),
        ("", Some(Fault::Grammar)),
    ] {
        let found = judged(&instead(&format!("CSeq: {number} INVITE")));
        assert_eq!(found, fault.map(|fault| ("CSeq", fault)), "{number}");
    }
    for port in ["0", "65536", "4294972356", "-1", "", "x"] {
        let uri = with("X: y").replacen("sip:b@h", &format!("sip:b@h:{port}"), 1);
        assert_eq!(judged(&uri), Some(("Request-URI", Fault::Grammar)), "{port}");
        let via = instead(&format!("Via: SIP/2.0/UDP h:{port};branch=z"));
        assert_eq!(judged(&via), Some(("Via", Fault::Grammar)), "{port}");
    }
}

#[test]
//= RFC 3261 10.2 type=test
//= RFC 4475 3.1.2.4 type=test
fn a15_numbers_that_make_no_sense_have_a_meaning() {
    let read = |header: &str, look: fn(&Message<'_>) -> Option<u32>| {
        let text = instead(header).replace('|', "\r\n");
        let mut index = Index::new();
        let message = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("a message");
        message.check().expect(header);
        look(&message)
    };
    for (text, hops) in [
        ("0", Some(0)),
        ("255", Some(255)),
        ("0070", Some(70)),
        ("256", None),
        ("-1", None),
        ("x", None),
        ("4294967366", None),
    ] {
        let found = read(&format!("Max-Forwards: {text}"), |m| m.max_forwards().map(u32::from));
        assert_eq!(found, hops, "{text}");
    }
    for (text, seconds) in [
        ("0", 0),
        ("7200", 7_200),
        ("4294967295", u32::MAX),
        ("4294967296", u32::MAX),
        ("99999999999999999999999", u32::MAX),
        ("-1", 3_600),
        ("", 3_600),
        ("1h", 3_600),
    ] {
        assert_eq!(read(&format!("Expires: {text}"), |m| m.expires()), Some(seconds), "{text}");
    }
}

#[test]
fn f7_an_address_has_one_spelling_or_is_refused() {
    for host in
        ["256.1.1.1", "1.2.3", "1.2.3.4.5", "2130706433", "0x7f.1", "0x7f000001", "1.2.3.4."]
    {
        assert!(Uri::parse(format!("sip:{host}").as_bytes()).is_err(), "{host}");
    }
    for host in ["3cx.example", "1.2.3.example", "4f2a9c", "h.", "a_b", "0xg"] {
        assert!(Uri::parse(format!("sip:{host}").as_bytes()).is_ok(), "{host}");
    }
}

#[test]
//= RFC 3261 7.1 type=test
fn start_lines_that_are_wrong_are_answered_and_other_protocols_are_not() {
    let line = |line: &str| with("X: y").replace("INVITE sip:b@h SIP/2.0", line);
    let grammar = Some(("start line", Fault::Grammar));
    for (text, fault) in [
        ("INVITE sip:b@h SIP/2.0 ", grammar),
        ("INVITE sip:b@h SIP/2.0 x", grammar),
        ("INVITE  sip:b@h SIP/2.0", grammar),
        ("INVITE SIP/2.0", grammar),
        ("INVITE  SIP/2.0", grammar),
        (" SIP/2.0", grammar),
        ("INV(ITE sip:b@h SIP/2.0", grammar),
        ("INVITE sip:b@h sip/2.0", None),
        ("INVITE sip:b@h SIP/7.0", Some(("start line", Fault::Version))),
        ("INVITE sip:b@h SIP/2", Some(("start line", Fault::Version))),
        ("SIP/3.0 200 OK", Some(("start line", Fault::Version))),
        ("SIP/2.0 99 x", Some(("status", Fault::Grammar))),
        ("SIP/2.0 700 x", Some(("status", Fault::Grammar))),
        ("SIP/2.0 2000 x", Some(("status", Fault::Grammar))),
        ("SIP/2.0 200x", Some(("status", Fault::Grammar))),
        ("SIP/2.0 200", None),
    ] {
        assert_eq!(judged(&line(text)), fault, "{text:?}");
    }
    for other in ["GET / HTTP/1.1", "INVITE", "\u{16}\u{3}\u{1}", "INVITE sip:b@h"] {
        let text = line(other).replace('|', "\r\n");
        let found = parse(text.as_bytes(), &mut Index::new(), Framing::Datagram).map(|_| ());
        assert!(found.is_err(), "{other}");
    }
}
