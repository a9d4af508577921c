use super::*;
use crate::trace::Way;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};

const A: &str = "ab30317f1a784dc48ff824d0d3715d86";
const B: &str = "47755a9de7794ba387653f2099600ef2";

/// A message of a call, from or to the host with this last number.
fn record(number: u64, host: u8, text: &str) -> Record {
    let flow = Flow {
        socket: SocketId(0),
        transport: Transport::Udp,
        connection: ConnectionId::NONE,
        remote: ([192, 0, 2, host], 5060).into(),
        certified: CertifiedName::NONE,
    };
    let (way, at) = (Way::In, Instant::from_secs(number));
    Record { number, at, way, flow, again: false, bytes: text.as_bytes().into() }
}

fn invite(number: u64, host: u8, call: &str, session: &str) -> Record {
    let session = match session {
        "" => String::new(),
        session => format!("Session-ID: {session}\r\n"),
    };
    let text = format!(
        "INVITE sip:bob@192.0.2.9 SIP/2.0\r\nFrom: <sip:+84-903123456@example.org>;tag=1\r\n\
         To: \"Bob\" <sip:Bob@example.com>\r\nCall-ID: {call}\r\n{session}CSeq: 1 INVITE\r\n\r\n"
    );
    record(number, host, &text)
}

fn shown(sorter: &mut Sorter, record: Record) -> Vec<(u64, u64)> {
    sorter.take(record).into_iter().map(|(group, record)| (group, record.number)).collect()
}

#[test]
fn a_call_is_wanted_for_what_it_has() {
    for (word, wanted) in [
        ("bob", true),
        ("BOB@example.com", true),
        ("bob@example.org", false),
        ("bo", false),
        ("0903123456", true),
        ("3456", true),
        ("456", false),
        ("192.0.2.1", true),
        ("192.0.2.1:5060", true),
        ("192.0.2.1:5061", false),
        ("[::ffff:192.0.2.1]", true),
        ("192.0.2.2", false),
        ("call-", true),
        ("call-2", false),
    ] {
        let mut sorter = Sorter::new(vec![Criterion::word(word)], false);
        assert_eq!(!sorter.take(invite(1, 1, "call-1", "")).is_empty(), wanted, "{word}");
    }
    // All criteria must be met, by whichever message.
    let both = ["bob", "192.0.2.2"].map(Criterion::word).to_vec();
    let mut sorter = Sorter::new(both, false);
    assert_eq!(shown(&mut sorter, invite(1, 1, "x", "")), []);
    assert_eq!(shown(&mut sorter, invite(2, 1, "y", "")), []);
    assert_eq!(shown(&mut sorter, invite(3, 2, "x", "")), [(1, 1), (1, 3)], "what was before, too");
    assert_eq!(shown(&mut sorter, invite(4, 1, "x", "")), [(1, 4)]);
    assert_eq!(shown(&mut sorter, invite(5, 1, "y", "")), []);
}

#[test]
fn registrations_and_pings_are_shown_if_asked_for() {
    let text = "REGISTER sip:a SIP/2.0\r\nCall-ID: r\r\nCSeq: 1 REGISTER\r\n\r\n";
    let answer = "SIP/2.0 200 OK\r\nCall-ID: r\r\nCSeq: 1 OPTIONS\r\n\r\n";
    for text in [text, answer] {
        assert_eq!(shown(&mut Sorter::new(vec![], false), record(1, 1, text)), []);
        assert_eq!(shown(&mut Sorter::new(vec![], true), record(1, 1, text)), [(1, 1)]);
        let named = vec![Criterion::Call("r".into())];
        assert_eq!(shown(&mut Sorter::new(named, false), record(1, 1, text)), [(1, 1)]);
    }
    assert_eq!(shown(&mut Sorter::new(vec![], true), record(1, 1, "what?")), []);
}

#[test]
fn legs_with_an_end_in_common_are_one() {
    let nil = "0".repeat(32);
    let records = || {
        vec![
            invite(1, 1, "one", &format!("{A};remote={nil}")),
            invite(2, 2, "two", &format!("{B};remote={nil}")),
            invite(3, 3, "three", ""),
            // Only now it is known that the two are one.
            invite(4, 1, "one", &format!("{B};remote={A}")),
        ]
    };
    let groups = Sorter::new(vec![], false).past(records());
    let numbers = |records: &[Record]| records.iter().map(|r| r.number).collect::<Vec<_>>();
    let all: Vec<_> = groups.iter().map(|(group, records)| (*group, numbers(records))).collect();
    assert_eq!(all, [(1, vec![1, 2, 4]), (3, vec![3])]);
    let one = Sorter::new(vec![Criterion::Call("two".into())], false).past(records());
    assert_eq!(one.iter().map(|(_, records)| numbers(records)).collect::<Vec<_>>(), [[1, 2, 4]]);
    let mut live = Sorter::new(vec![Criterion::word("192.0.2.2")], false);
    let all: Vec<_> = records().into_iter().map(|record| shown(&mut live, record)).collect();
    assert_eq!(all, [vec![], vec![(2, 2)], vec![], vec![(1, 1), (1, 4)]]);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut sorter = Sorter::new(vec![Criterion::word("nobody")], false);
    for number in 0..3 * limits::TRACE_CALLS as u64 {
        let ends = format!("{number:032x};remote={:032x}", number + 1_000_000);
        sorter.take(invite(number, 1, &format!("call {number}"), &ends));
        assert!(sorter.calls.len() <= limits::TRACE_CALLS);
        assert!(sorter.ends.len() <= 2 * limits::TRACE_CALLS + 2);
    }
    assert!(sorter.calls.contains_key(format!("call {}", 3 * limits::TRACE_CALLS - 1).as_bytes()));
    for number in 0..2 * limits::TRACE_PENDING as u64 {
        sorter.take(invite(number + 1_000_000, 1, "one", ""));
    }
    assert_eq!(sorter.calls[&b"one"[..]].pending.len(), limits::TRACE_PENDING);
}
