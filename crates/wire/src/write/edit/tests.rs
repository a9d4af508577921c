use super::*;
use crate::{Framing, Index, parse};
use alloc::string::String;

/// The message after these changes; `|` in `text` is a line end.
fn edited(text: &str, change: impl FnOnce(&mut Editor<'_>)) -> String {
    let bytes = text.replace('|', "\r\n").into_bytes();
    let mut index = Index::new();
    let message = parse(&bytes, &mut index, Framing::Datagram).expect("a message");
    let mut edit = Editor::new(&message);
    change(&mut edit);
    let mut out = b"before".to_vec();
    let range = edit.finish(&mut out);
    assert_eq!((range.start, range.end), (6, out.len()));
    String::from_utf8_lossy(&out[range]).replace("\r\n", "|")
}

#[test]
fn nothing_changed_is_the_same_bytes_without_excess() {
    let text = "A sip:b SIP/2.0|v: SIP/2.0/UDP h|Subject:  x| y|l:2||ab";
    assert_eq!(edited(text, |_| ()), text);
    assert_eq!(edited(&alloc::format!("||{text}excess"), |_| ()), text);
}

#[test]
//= RFC 3261 16.6 type=test
fn a_via_goes_on_top_of_all_others() {
    for (text, after) in [
        ("A b SIP/2.0|To: x|Via: a|v: c||", "A b SIP/2.0|To: x|Via: N|Via: a|v: c||"),
        ("A b SIP/2.0|v: a, c||", "A b SIP/2.0|Via: N|v: a, c||"),
        ("A b SIP/2.0|To: x||", "A b SIP/2.0|Via: N|To: x||"),
        ("A b SIP/2.0||", "A b SIP/2.0|Via: N||"),
    ] {
        assert_eq!(edited(text, |edit| edit.push_via(b"N")), after);
    }
}

#[test]
//= RFC 3261 16.7 type=test
fn the_topmost_via_is_taken_off_in_any_form() {
    for (text, after) in [
        ("A b SIP/2.0|Via: a|Via: c||", "A b SIP/2.0|Via: c||"),
        ("A b SIP/2.0|v: a, c||", "A b SIP/2.0|v: c||"),
        ("A b SIP/2.0|v: a ,| c , d||", "A b SIP/2.0|v: c , d||"),
        ("A b SIP/2.0|VIA : a| ;branch=x| ;y|v: c||", "A b SIP/2.0|v: c||"),
        ("A b SIP/2.0|Via: a||", "A b SIP/2.0||"),
        ("A b SIP/2.0|v: \"x,y\";a, c||", "A b SIP/2.0|v: c||"),
    ] {
        assert_eq!(edited(text, |edit| edit.pop_via()), after);
    }
    let both = |edit: &mut Editor<'_>| (edit.pop_via(), edit.pop_via()).0;
    assert_eq!(edited("A b SIP/2.0|v: a, c|v: d||", both), "A b SIP/2.0|v: d||");
    let swap = |edit: &mut Editor<'_>| (edit.pop_via(), edit.push_via(b"N")).0;
    assert_eq!(edited("A b SIP/2.0|v: a, c||", swap), "A b SIP/2.0|Via: N|v: c||");
}

#[test]
//= RFC 3261 16.4 type=test
fn routes_are_taken_off_from_both_ends() {
    let text = "A b SIP/2.0|Route: <a>, <b>|To: x|Route: <c>,| <d>||";
    for (front, last, routes) in [
        (0, false, "Route: <a>, <b>|To: x|Route: <c>,| <d>|"),
        (1, false, "Route: <b>|To: x|Route: <c>,| <d>|"),
        (2, false, "To: x|Route: <c>,| <d>|"),
        (3, false, "To: x|Route: <d>|"),
        (4, false, "To: x|"),
        (9, false, "To: x|"),
        (0, true, "Route: <a>, <b>|To: x|Route: <c>|"),
        (2, true, "To: x|Route: <c>|"),
        (3, true, "To: x|"),
        (4, true, "To: x|"),
    ] {
        let after = edited(text, |edit| {
            // What a strict router needs asks twice.
            edit.pop_routes(front.min(1));
            edit.pop_routes(front);
            if last {
                edit.pop_last_route();
            }
        });
        assert_eq!(after, alloc::format!("A b SIP/2.0|{routes}|"), "{front} {last}");
    }
    let mixed = edited(text, |edit| {
        edit.append_route(b"<z>");
        edit.push_route(b"<y>");
        edit.pop_routes(4);
    });
    assert_eq!(mixed, "A b SIP/2.0|Route: <y>|To: x|Route: <z>||");
    let none = "A b SIP/2.0|v: a|To: x||";
    let push = |edit: &mut Editor<'_>| (edit.push_route(b"<y>"), edit.pop_last_route()).0;
    assert_eq!(edited(none, push), "A b SIP/2.0|v: a|Route: <y>|To: x||");
}

#[test]
//= RFC 3261 16.6 type=test
fn a_record_route_goes_before_others_or_behind_the_vias() {
    let push = |edit: &mut Editor<'_>| edit.push_record_route(b"<N>");
    for (text, after) in [
        ("A b SIP/2.0|v: a|v: c|To: x||", "A b SIP/2.0|v: a|v: c|Record-Route: <N>|To: x||"),
        (
            "A b SIP/2.0|To: x|RECORD-ROUTE: <a>|v: a||",
            "A b SIP/2.0|To: x|Record-Route: <N>|RECORD-ROUTE: <a>|v: a||",
        ),
        ("A b SIP/2.0||", "A b SIP/2.0|Record-Route: <N>||"),
    ] {
        assert_eq!(edited(text, push), after);
    }
}

#[test]
fn headers_are_set_once_whatever_was_there() {
    for (text, after) in [
        ("A b SIP/2.0|To: x||", "A b SIP/2.0|To: x|Max-Forwards: 69||"),
        ("A b SIP/2.0|max-forwards :  7 |To: x||", "A b SIP/2.0|max-forwards :  69 |To: x||"),
        ("A b SIP/2.0|Max-Forwards:||", "A b SIP/2.0|Max-Forwards:69||"),
        (
            "A b SIP/2.0|Max-Forwards: 7| 8|To: x|Max-Forwards: 7||",
            "A b SIP/2.0|Max-Forwards: 69|To: x||",
        ),
    ] {
        let twice = |edit: &mut Editor<'_>| {
            edit.set_max_forwards(255);
            edit.set_max_forwards(69);
        };
        assert_eq!(edited(text, twice), after);
    }
    for (hops, text) in [(0, "0"), (9, "9"), (10, "10"), (255, "255")] {
        let after = edited("A b SIP/2.0||", |edit| edit.set_max_forwards(hops));
        assert_eq!(after, alloc::format!("A b SIP/2.0|Max-Forwards: {text}||"));
    }
    let compact = "A b SIP/2.0|l: 0|m: <sip:a@b>||";
    let set = |edit: &mut Editor<'_>| edit.set(Name::Contact, b"<sip:c@d>");
    assert_eq!(edited(compact, set), "A b SIP/2.0|l: 0|m: <sip:c@d>||");
    let gone = |edit: &mut Editor<'_>| edit.remove(Name::Contact);
    assert_eq!(edited(compact, gone), "A b SIP/2.0|l: 0||");
    let second = "A b SIP/2.0|m: a|Contact: b| c|m: d||";
    let gone = |edit: &mut Editor<'_>| edit.remove_nth(Name::Contact, 1);
    assert_eq!(edited(second, gone), "A b SIP/2.0|m: a|m: d||");
}

#[test]
fn a_stream_gets_a_content_length() {
    let ask = |edit: &mut Editor<'_>| edit.complete_content_length();
    assert_eq!(edited("A b SIP/2.0||abc", ask), "A b SIP/2.0|Content-Length: 3||abc");
    assert_eq!(edited("A b SIP/2.0|l: 2||abc", ask), "A b SIP/2.0|l: 2||ab");
}

#[test]
fn the_request_uri_is_replaced_and_a_status_line_left_alone() {
    let set = |edit: &mut Editor<'_>| {
        edit.set_request_uri(b"sip:x");
        edit.set_request_uri(b"sip:y");
    };
    assert_eq!(edited("A sip:b SIP/2.0|To: x||", set), "A sip:y SIP/2.0|To: x||");
    assert_eq!(edited("SIP/2.0 200 OK|To: x||", set), "SIP/2.0 200 OK|To: x||");
}

#[test]
//= RFC 3261 18.2.1 type=test
//= RFC 3581 4 type=test
fn where_it_came_from_is_noted() {
    for (via, source, after) in [
        ("192.0.2.1;branch=x", "192.0.2.1:9", "192.0.2.1;branch=x"),
        ("192.0.2.1 ;branch=x", "192.0.2.2:9", "192.0.2.1;branch=x;received=192.0.2.2"),
        ("h;branch=x", "192.0.2.2:9", "h;branch=x;received=192.0.2.2"),
        ("192.0.2.1;rport;x", "192.0.2.1:9", "192.0.2.1;x;received=192.0.2.1;rport=9"),
        ("192.0.2.1;rport=7", "192.0.2.1:9", "192.0.2.1;received=192.0.2.1;rport=9"),
        ("[2001:db8::1]", "[2001:db8::1]:9", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::2]:9", "[2001:db8::1];received=2001:db8::2"),
        // A dual-stack socket hands over a mapped address.
        ("192.0.2.1", "[::ffff:192.0.2.1]:9", "192.0.2.1"),
        // What the peer claims about itself counts for nothing.
        ("192.0.2.1;received=192.0.2.9", "192.0.2.1:9", "192.0.2.1"),
        ("h;Received = \"a;b\";c", "192.0.2.1:9", "h;c;received=192.0.2.1"),
    ] {
        let text = alloc::format!("A b SIP/2.0|v: SIP/2.0/UDP {via}, SIP/2.0/UDP z||");
        let source = source.parse().expect("an address");
        let note = |edit: &mut Editor<'_>| edit.set_received(source);
        let after = alloc::format!("A b SIP/2.0|v: SIP/2.0/UDP {after}, SIP/2.0/UDP z||");
        assert_eq!(edited(&text, note), after);
        let gone = |edit: &mut Editor<'_>| (edit.set_received(source), edit.pop_via()).0;
        assert_eq!(edited(&text, gone), "A b SIP/2.0|v: SIP/2.0/UDP z||");
    }
}

#[test]
fn a11_no_value_ends_its_header() {
    for evil in ["a\r\nX: y", "a\r\n\r\nbody", "a\nX: y", "a\rX: y", "a\r\n X: y"] {
        let after = edited("A sip:b SIP/2.0|v: SIP/2.0/UDP h|To: x||", |edit| {
            edit.push_via(evil.as_bytes());
            edit.push_route(evil.as_bytes());
            edit.push_record_route(evil.as_bytes());
            edit.set(Name::To, evil.as_bytes());
            edit.set(Name::Subject, evil.as_bytes());
            edit.append("Z", evil.as_bytes());
        });
        assert_eq!(after.matches('|').count(), 9, "{after}");
        assert!(!after.contains(['\r', '\n']), "{after}");
    }
}

#[test]
fn a_message_that_was_cut_off_is_closed() {
    let append = |edit: &mut Editor<'_>| edit.append("X", b"y");
    assert_eq!(edited("A b SIP/2.0|To: x|", append), "A b SIP/2.0|To: x|X: y||");
    assert_eq!(edited("A b SIP/2.0|To: x|Subj", append), "A b SIP/2.0|To: x|X: y||");
    assert_eq!(edited("A b SIP/2.0|", append), "A b SIP/2.0|X: y||");
}

#[test]
fn many_changes_of_a_large_message_stay_in_order() {
    let mut text = String::from("A b SIP/2.0|");
    for n in 0..100 {
        text.push_str(&alloc::format!("m: {n}|Subject: {n}|"));
    }
    text.push('|');
    let after = edited(&text, |edit| edit.remove(Name::Contact));
    let subjects: String = (0..100).map(|n| alloc::format!("Subject: {n}|")).collect();
    assert_eq!(after, alloc::format!("A b SIP/2.0|{subjects}|"));
}

#[test]
fn memory_that_is_used_again_remembers_nothing() {
    let mut scratch = Scratch::default();
    for (text, after) in [
        ("A b SIP/2.0|v: a||", "A b SIP/2.0|Via: N|v: a|X: y||"),
        ("A c SIP/2.0|To: x||", "A c SIP/2.0|Via: N|To: x|X: y||"),
    ] {
        let bytes = text.replace('|', "\r\n").into_bytes();
        let mut index = Index::new();
        let message = parse(&bytes, &mut index, Framing::Datagram).expect("a message");
        let mut edit = Editor::reusing(scratch, &message);
        edit.append("X", b"y");
        edit.push_via_with(|value| value.extend_from_slice(b"N"));
        let mut out = Vec::new();
        let (range, memory) = edit.finish_and_return(&mut out);
        assert_eq!(String::from_utf8_lossy(&out[range]).replace("\r\n", "|"), after);
        scratch = memory;
    }
}

#[test]
fn of_a_part_that_goes_and_is_set_the_last_word_counts() {
    let text = "A b SIP/2.0|To: x|Max-Forwards: 5||";
    let gone_and_set = |edit: &mut Editor<'_>| {
        edit.append("One", b"1");
        edit.remove(Name::To);
        edit.set_number(Name::MaxForwards, 4);
        edit.append("Two", b"2");
        edit.set_number(Name::MaxForwards, 3);
    };
    assert_eq!(edited(text, gone_and_set), "A b SIP/2.0|Max-Forwards: 3|One: 1|Two: 2||");
}
