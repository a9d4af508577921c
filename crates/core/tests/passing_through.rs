//! What a proxy has no business with leaves it as it came: to the byte, in its order, and however
//! much it is. What does change is taken back here by a hand of its own, and nothing may be left.

mod world;

use ringway_core::boundary::{Input, Outbox, Output};
use ringway_core::flow::Transport;
use ringway_wire::{Framing, Index, limits, parse};
use world::{World, flow, statuses, world};

/// Alice's connection, and Bob's.
const ALICE: &str = "tcp#1 198.51.100.1:40000";
const BOB: &str = "tcp#2 192.0.2.21:50000";

fn with_bob() -> World {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21:50000;transport=tcp>");
    world
}

/// All that leaves when these bytes arrive, to Alice or Bob.
fn pass(world: &mut World, from: &str, bytes: &[u8]) -> Vec<(Transport, Vec<u8>)> {
    let mut index = Index::new();
    let message = parse(bytes, &mut index, Framing::Stream).expect("a message");
    let mut out = Outbox::default();
    world.wake =
        world.node.handle(world.now, Input::Message { flow: flow(from), message }, &mut out);
    let Outbox { bytes, outputs } = out;
    let sent = outputs.into_iter().filter_map(|output| match output {
        Output::Send { flow, bytes: at, .. } => Some((flow.transport, bytes[at].to_vec())),
        Output::Ask { .. } | Output::Answer { .. } => None,
        Output::Avoid { .. } | Output::Proved { .. } | Output::Expect { .. } | Output::Event(_) => {
            None
        }
    });
    sent.collect()
}

/// A stream of numbers (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) % end as u64) as usize
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const METHODS: [&str; 12] = [
    "INVITE",
    "MESSAGE",
    "SUBSCRIBE",
    "PUBLISH",
    "REFER",
    "INFO",
    "UPDATE",
    "NOTIFY",
    "PRACK",
    "OPTIONS",
    "DANCE",
    "x-%!'",
];

/// Fields in many spellings that nobody here has anything to do with.
const FIELDS: [&str; 30] = [
    "RAck: 776656 1 INVITE",
    "RSeq: 1",
    "Session-Expires: 1800;refresher=uac",
    "x: 90;refresher=uas",
    "Min-SE:90",
    "Refer-To: <sip:c@example.org?Replaces=a%3Bto-tag%3D1&Require=replaces>",
    "r: <sip:c@example.org>",
    "Referred-By:  <sip:a@example.org>;cid=\"1@x\"",
    "Replaces: 1@2;to-tag=3;from-tag=4;early-only",
    "Require: precondition, 100rel",
    "Supported: timer,100rel , replaces",
    "k: norefersub",
    "Event: presence;id=1",
    "o: refer",
    "Subscription-State: active;expires=60",
    "Info-Package: x;y=\"a , b\"",
    "Accept: application/sdp;level=1, application/x-private, text/html",
    "Accept-Encoding:",
    "Allow: INVITE, ACK",
    "Allow:\tFOO",
    "Date: the day after tomorrow",
    "Subject: \u{fe0f}\u{1f980} na\u{ef}ve",
    "s:   ",
    "X-Folded: one\r\n two\r\n\tthree",
    "Unknown~Name*: a:b:c ,, ;; \"",
    "User-Agent: a (comment \\) there)",
    "Organization : with a blank before the colon",
    "Warning: 307 a \"b\", 399 c \"d\"",
    "Proxy-Authorization: Digest realm=\"elsewhere\", nonce=\"1\"",
    "Identity: eyJhbGciOi.JFUzI1N.iIsInR5cCI;info=<https://example.org/c.pem>",
];

/// Header fields by chance, with those that every message has somewhere among them.
fn fields(dice: &mut Dice, own: &[String]) -> String {
    let mut lines: Vec<String> = own.to_vec();
    for _ in 0..dice.below(12) {
        let at = dice.below(lines.len() + 1);
        lines.insert(at, dice.one(&FIELDS).to_owned());
    }
    lines.iter().map(|line| format!("{line}\r\n")).collect()
}

fn body(dice: &mut Dice) -> Vec<u8> {
    let length = [0, 3, 1_400, 9_000][dice.below(4)];
    (0..length).map(|_| dice.below(256) as u8).collect()
}

/// A message: the first line, fields in some order, a body.
fn compose(dice: &mut Dice, first: &str, own: &[String]) -> Vec<u8> {
    let body = body(dice);
    let mut own = own.to_vec();
    own.push(format!("{}: {}", dice.one(&["Content-Length", "l", "CONTENT-length "]), body.len()));
    if !body.is_empty() {
        own.push("Content-Type: multipart/mixed;boundary=\"a b\"".into());
    }
    let head = format!("{first}\r\n{}\r\n", fields(dice, &own));
    [head.as_bytes(), &body].concat()
}

/// The lines of a head with their folds, and the body.
fn lines(message: &[u8]) -> (Vec<String>, Vec<u8>) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&message[..end - 4]).expect("text");
    let mut lines: Vec<String> = Vec::new();
    for line in head.split("\r\n") {
        match lines.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.push_str(&format!("\r\n{line}")),
            _ => lines.push(line.to_owned()),
        }
    }
    (lines, message[end..].to_vec())
}

fn is(line: &str, names: &[&str]) -> bool {
    let name = line.split(':').next().unwrap_or_default().trim();
    names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted))
}

/// Takes back what RFC 3261 §16.6 has a proxy do to a request.
fn as_it_came(copy: &[u8], before: &[u8]) -> Vec<u8> {
    let ((mut after, body), (before, _)) = (lines(copy), lines(before));
    after[0] = before[0].clone();
    let added = after.iter().position(|line| is(line, &["Via"])).expect("our Via");
    assert!(after[added].contains("192.0.2.1:5060"), "{}", after[added]);
    after.remove(added);
    after.retain(|line| !(line.starts_with("Record-Route: ") && line.contains("@192.0.2.1:")));
    after.retain(|line| !line.starts_with("Max-Breadth: "));
    let hops = |line: &&mut String| is(line, &["Max-Forwards"]);
    let hops_before = before.iter().find(|line| is(line, &["Max-Forwards"])).expect("hops");
    let line = after.iter_mut().find(hops).expect("hops");
    assert_eq!(*line, hops_before.replace("70", "69"));
    line.clone_from(hops_before);
    let via = after.iter_mut().find(|line| is(line, &["Via", "v"])).expect("a Via");
    *via = via.replacen(";received=198.51.100.1;rport=40000", ";rport", 1);
    [format!("{}\r\n\r\n", after.join("\r\n")).into_bytes(), body].concat()
}

#[test]
//= RFC 3261 16.6 type=test
//= RFC 3261 16.7 type=test
fn everything_else_passes_byte_for_byte_in_its_order() {
    let mut dice = Dice(7);
    let mut world = with_bob();
    for n in 0..1_500 {
        let method = dice.one(&METHODS);
        let via = dice.one(&["Via", "v", "VIA"]);
        let own = [
            format!("{via}: SIP/2.0/TCP a.example;branch=z9hG4bK{n};x;rport, SIP/2.0/UDP b;k=1"),
            format!("{}: \"A\\\" <x>\" <sip:alice@example.org>;tag=1", dice.one(&["From", "f"])),
            format!("{}: <sip:bob@example.org>", dice.one(&["To", "t"])),
            format!("{}: call{n}", dice.one(&["Call-ID", "i"])),
            format!("CSeq:  {n}   {method}"),
            format!("{}: 70", dice.one(&["Max-Forwards", "max-forwards"])),
            format!(
                "{}: <sip:alice@198.51.100.1:40000;transport=tcp>;x",
                dice.one(&["Contact", "m"])
            ),
        ];
        let request = compose(&mut dice, &format!("{method} sip:bob@example.org SIP/2.0"), &own);
        let sent = pass(&mut world, ALICE, &request);
        let copy = &sent.last().expect("a copy").1;
        let came = String::from_utf8_lossy(&request).into_owned();
        assert!(as_it_came(copy, &request) == request, "{came}\n{}", String::from_utf8_lossy(copy));
        // And what Bob says of it.
        let vias = lines(copy).0.into_iter().filter(|line| is(line, &["Via", "v"]));
        let mut own: Vec<String> = vias.collect();
        own.push("From: <sip:alice@example.org>;tag=1".into());
        own.push("To: <sip:bob@example.org>;tag=2".into());
        own.push(format!("i: call{n}"));
        own.push(format!("CSeq: {n} {method}"));
        own.push("Contact: <sip:bob@192.0.2.21>;expires=9".into());
        let status = ["200 OK", "299 \u{1f980}", "486 Busy", "606 "][dice.below(4)];
        let response = compose(&mut dice, &format!("SIP/2.0 {status}"), &own);
        let sent = pass(&mut world, BOB, &response);
        let back = sent.iter().map(|(_, bytes)| bytes).find(|bytes| bytes.starts_with(b"SIP/2.0"));
        let (mut expected, body) = lines(&response);
        let top = expected.iter().position(|line| is(line, &["Via", "v"])).expect("a Via");
        expected.remove(top);
        let expected = [format!("{}\r\n\r\n", expected.join("\r\n")).into_bytes(), body].concat();
        let back = back.expect("a response");
        assert!(*back == expected, "{}", String::from_utf8_lossy(back));
    }
}

/// An INVITE of exactly so many bytes, most of them in its body or in its header.
fn of_length(length: usize, in_body: bool) -> Vec<u8> {
    let make = |filled: usize| {
        let (body, header) = if in_body { (filled, 0) } else { (0, filled) };
        let mut head = format!(
            "INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TCP a;branch=z9hG4bK{length}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=1\r\n\
             To: <sip:bob@example.org>\r\nCall-ID: {length}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:alice@198.51.100.1:40000;transport=tcp>\r\n\
             Content-Length: {body:05}\r\n"
        );
        // No line is longer than one may be.
        for at in (0..header).step_by(8_000) {
            let most = 8_000.min(header - at).max(6);
            head.push_str(&format!("X: {}\r\n", "x".repeat(most - 5)));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + body, b'b');
        bytes
    };
    let bytes = make(length - make(0).len());
    assert_eq!(bytes.len(), length);
    bytes
}

#[test]
//= RFC 3261 9.1 type=test
//= RFC 3261 17.1.1.3 type=test
fn the_longest_message_passes_and_can_be_cancelled_and_acknowledged() {
    for status in [487, 486] {
        let mut world = with_bob();
        let invite = of_length(limits::MESSAGE, true);
        let sent = pass(&mut world, ALICE, &invite);
        let (over, copy) = sent.last().expect("a copy");
        assert_eq!(*over, Transport::Tcp);
        assert!(copy.len() > limits::MESSAGE && copy.ends_with(&[b'b'; 65_000]), "{}", copy.len());
        let vias = lines(copy).0.into_iter().filter(|line| is(line, &["Via"]));
        let head: String = vias.map(|line| format!("{line}\r\n")).collect();
        let answer = |status: u16, length: usize| {
            let body = "b".repeat(length);
            format!(
                "SIP/2.0 {status} X\r\n{head}From: <sip:alice@example.org>;tag=1\r\n\
                 To: <sip:bob@example.org>;tag=2\r\nCall-ID: 65535\r\nCSeq: 1 INVITE\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes()
        };
        let sent = pass(&mut world, BOB, &answer(180, 0));
        assert_eq!(sent.len(), 1, "{sent:?}");
        if status == 487 {
            let cancel = String::from_utf8_lossy(&invite).replace("INVITE", "CANCEL");
            let cancel = cancel.split("Content-Length").next().expect("a head").to_owned();
            let cancel = cancel + "Content-Length: 0\r\n\r\n";
            let sent = pass(&mut world, ALICE, cancel.as_bytes());
            assert!(sent.iter().any(|(_, bytes)| bytes.starts_with(b"CANCEL ")), "{sent:?}");
        }
        let room = limits::MESSAGE - answer(status, 10_000).len();
        let longest = answer(status, 10_000 + room);
        assert_eq!(longest.len(), limits::MESSAGE);
        let sent = pass(&mut world, BOB, &longest);
        assert!(sent.iter().any(|(_, bytes)| bytes.starts_with(b"ACK ")), "{}", sent.len());
        let back = sent.iter().find(|(_, bytes)| bytes.starts_with(b"SIP/2.0 48")).expect("back");
        assert!(back.1.ends_with(&[b'b'; 65_000]));
    }
}

#[test]
fn a_header_that_leaves_no_room_for_ours_is_refused() {
    let mut world = with_bob();
    let text = String::from_utf8(of_length(limits::MESSAGE, false)).expect("text");
    let sent = world.receive(ALICE, &text.replace("\r\n", "|"));
    assert_eq!(statuses(&sent), [100, 513]);
}

#[test]
//= RFC 3261 21.5.7 type=test
fn a4_a_message_that_would_be_too_long_is_told_so() {
    let mut world = with_bob();
    let head = of_length(2_000, false);
    let text = String::from_utf8(head).expect("text").replace("\r\n", "|");
    let text = text.replace("Content-Length: 00000", "Content-Length: 65536");
    assert_eq!(statuses(&world.receive(ALICE, &text)), [513]);
}
