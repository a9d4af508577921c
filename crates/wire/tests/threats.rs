//! Part A of the threat list, row by row: what a hostile message may not do to the grammar.

mod judge;

use judge::{instead, judged, judged_bytes, with};
use ringway_wire::{Editor, Fault, Framing, Index, Message, Name, equal, limits, parse};
use std::time::{Duration, Instant};

#[test]
//= RFC 3261 8.1.1 type=test
fn what_must_be_there_is_missed() {
    assert_eq!(judged(&with("X: y")), None);
    for (name, what) in
        [("Via", "Via"), ("From", "From"), ("To", "To"), ("Call-ID", "Call-ID"), ("CSeq", "CSeq")]
    {
        let text = with("X: y").replace(&format!("|{name}:"), "|Y:");
        assert_eq!(judged(&text), Some((what, Fault::Missing)), "{name}");
    }
    // RFC 2543 knew no Max-Forwards (RFC 4475 §3.4.1).
    assert_eq!(judged(&with("X: y").replace("Max-Forwards", "Y")), None);
}

#[test]
//= RFC 3261 18.3 type=test
fn a1_a2_content_length_that_does_not_fit() {
    let wrong = Some(("Content-Length", Fault::Length));
    let body = "0123456789";
    for length in ["11", "100", "2147483648", "4294967328", "-1", "+5", "0x10", "", "1 0", "1,1"] {
        assert_eq!(judged(&(with(&format!("l: {length}")) + body)), wrong, "{length:?}");
    }
    let long = format!("l: 1{}", "0".repeat(30));
    assert_eq!(judged(&(with(&long) + body)), wrong);
    for length in ["10", "0", "3", "0000000000000000000010"] {
        assert_eq!(judged(&(with(&format!("l: {length}")) + body)), None, "{length}");
    }
    let text = with("X: y").replace('|', "\r\n");
    let missing = Some(("Content-Length", Fault::Missing));
    assert_eq!(judged_bytes(text.as_bytes(), Framing::Stream), missing);
    assert_eq!(judged_bytes(text.as_bytes(), Framing::Datagram), None);
}

#[test]
//= RFC 4475 3.3.8 type=test
//= RFC 4475 3.3.9 type=test
fn a3_a7_single_values_stand_once_or_say_the_same() {
    for (long, compact, what, value, other) in [
        ("From", "f", "From", "<sip:a@h>;tag=1", "<sip:a@h>;tag=2"),
        ("To", "t", "To", "<sip:b@h>", "<sip:c@h>"),
        ("Call-ID", "i", "Call-ID", "c", "d"),
        ("CSeq", "CSEQ", "CSeq", "1 INVITE", "2 INVITE"),
        ("Max-Forwards", "MAX-forwards", "Max-Forwards", "70", "69"),
        ("Expires", "expires", "Expires", "60", "61"),
        ("Content-Length", "l", "Content-Length", "0", "00"),
        ("Content-Type", "c", "Content-Type", "a/b", "a/c"),
    ] {
        for second in [long, compact] {
            let twice = |value_two: &str| {
                let one = format!("{long}: {value}");
                instead(&one).replace(&one, &format!("{one}|{second}: {value_two}"))
            };
            assert_eq!(judged(&twice(value)), None, "{second}");
            assert_eq!(judged(&twice(other)), Some((what, Fault::Repeated)), "{second}");
        }
    }
    let tags = Some(("From", Fault::Repeated));
    assert_eq!(judged(&instead("From: <sip:a@h>;tag=1;TAG=2")), tags);
    let branches = Some(("Via", Fault::Repeated));
    assert_eq!(judged(&instead("Via: SIP/2.0/UDP h;branch=1;branch=1")), branches);
    for empty in ["To: <sip:b@h>;tag=", "To: <sip:b@h>;tag", "To: <sip:b@h>;Tag;x"] {
        assert_eq!(judged(&instead(empty)), Some(("To", Fault::Grammar)), "{empty}");
    }
}

#[test]
fn a4_a5_there_is_a_limit_to_everything() {
    let list = |name: &str, value: &str, n| format!("{name}: {}", vec![value; n].join(", "));
    let vias = |n| instead(&list("Via", "SIP/2.0/UDP h;branch=z", n));
    let routes = |name: &str, n| with(&list(name, "<sip:p;lr>", n));
    let contacts = |n| with(&list("m", "<sip:p>", n));
    let lines = |n| with(&vec!["X: y"; n].join("|"));
    let long = |n| with(&format!("X: {}", "y".repeat(n)));
    let uri = |n: usize| with("X: y").replacen("sip:b@h", &format!("sip:{}@h", "b".repeat(n)), 1);
    type Maker<'a> = &'a dyn Fn(usize) -> String;
    let makers: [(Maker<'_>, usize, &str); 8] = [
        (&vias, limits::VIAS, "Via"),
        (&|n| routes("Route", n), limits::ROUTES, "Route"),
        (&|n| routes("Record-Route", n), limits::ROUTES, "Record-Route"),
        (&|n| routes("Path", n), limits::PATHS, "Path"),
        (&contacts, limits::CONTACTS, "Contact"),
        (&lines, limits::HEADERS - 6, "header"),
        (&long, limits::HEADER_LINE - 3, "header"),
        (&uri, limits::START_LINE - 21, "start line"),
    ];
    for (make, most, what) in makers {
        assert_eq!(judged(&make(most)), None, "{what}");
        assert_eq!(judged(&make(most + 1)), Some((what, Fault::TooLarge)), "{what}");
    }
    let folded = format!("X: y{}", "|  z".repeat(limits::HEADER_LINE / 4));
    assert_eq!(judged(&with(&folded)), Some(("header", Fault::TooLarge)));
    let too_large = vec![b'a'; limits::MESSAGE + 1];
    let found = parse(&too_large, &mut Index::new(), Framing::Datagram).map(|_| ());
    assert_eq!(found.map_err(|malformed| malformed.fault), Err(Fault::TooLarge));
    let body = "x".repeat(limits::MESSAGE - with("X: y").replace('|', "\r\n").len());
    assert_eq!(judged(&(with("X: y") + &body)), None, "RFC 3261 §18.1.1: 65,535 bytes");
    let params = |n| instead(&format!("To: <sip:b@h{}>", numbered(n)));
    assert_eq!(judged(&params(limits::URI_PARAMS)), None);
    assert_eq!(judged(&params(limits::URI_PARAMS + 1)), Some(("To", Fault::Grammar)));
}

fn numbered(n: usize) -> String {
    (0..n).map(|n| format!(";p{n}")).collect()
}

/// A word of any length in any place is read, or refused for its line's length or for a number
/// out of range; nothing of it is cut off and passed on as if it were the whole.
#[test]
fn a6_overlong_words_are_kept_whole_or_refused() {
    type Place = (&'static str, fn(&str) -> String, fn(&Message<'_>) -> usize);
    let places: [Place; 7] = [
        ("method", |w| with("X: y").replace("INVITE", w), |m| m.method().as_bytes().len()),
        (
            "user",
            |w| with("X: y").replacen("sip:b@h", &format!("sip:{w}@h"), 1),
            |m| m.request_uri().len() - "sip:@h".len(),
        ),
        (
            "branch",
            |w| instead(&format!("Via: SIP/2.0/UDP h;branch={w}")),
            |m| m.top_via().map_or(0, |via| via.branch().unwrap_or_default().len()),
        ),
        (
            "From tag",
            |w| instead(&format!("From: <sip:a@h>;tag={w}")),
            |m| m.from().map_or(0, |from| from.tag().unwrap_or_default().len()),
        ),
        (
            "To tag",
            |w| instead(&format!("To: <sip:a@h>;tag={w}")),
            |m| m.to().map_or(0, |to| to.tag().unwrap_or_default().len()),
        ),
        ("Call-ID", |w| instead(&format!("Call-ID: {w}")), |m| m.call_id().len()),
        (
            "name",
            |w| with(&format!("{w}: y")),
            |m| m.headers().map(|header| header.raw_name.len()).max().unwrap_or(0),
        ),
    ];
    for (what, make, length) in places {
        for n in [1_024, 4_096, 8_000, 8_193, 16_384, 32_768, 60_000] {
            let text = make(&"z".repeat(n)).replace('|', "\r\n");
            let mut index = Index::new();
            let read = parse(text.as_bytes(), &mut index, Framing::Datagram);
            match read.and_then(|message| message.check().map(|()| length(&message))) {
                Ok(length) => assert_eq!(length, n, "{what} of {n}"),
                Err(malformed) => {
                    // No name is as long as that; any other word may be.
                    let is_name = what == "name" && malformed.fault == Fault::Grammar;
                    let is_long = malformed.fault == Fault::TooLarge && n > 8_000;
                    assert!(is_name || is_long, "{what} of {n}: {malformed:?}");
                }
            }
        }
    }
    for digits in [6, 1_024, 8_000] {
        let digits = "9".repeat(digits);
        let uri = with("X: y").replacen("sip:b@h", &format!("sip:b@h:{digits}"), 1);
        assert_eq!(judged(&uri), Some(("Request-URI", Fault::Grammar)));
        let via = instead(&format!("Via: SIP/2.0/UDP h:{digits};branch=z"));
        assert_eq!(judged(&via), Some(("Via", Fault::Grammar)));
        let number = instead(&format!("CSeq: {digits}99999 INVITE"));
        assert_eq!(judged(&number), Some(("CSeq", Fault::Range)));
    }
}

#[test]
//= RFC 3261 25.1 type=test
fn a8_only_blanks_may_stand_before_the_colon() {
    for byte in 0..=255u8 {
        let token = byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
        let blank = matches!(byte, b' ' | b'\t');
        // A blank in front makes the line a fold, a colon inside ends the name early.
        for (at, legal) in [(0, token || blank), (4, token || byte == b':'), (7, token || blank)] {
            let legal = legal || (byte == b':' && at == 7);
            let mut name = b"Subject".to_vec();
            name.insert(at, byte);
            let text = with("X: y").replace('|', "\r\n").into_bytes();
            let place = text.windows(4).position(|w| w == b"X: y").expect("it is there");
            let (head, tail) = text.split_at(place);
            let text = [head, &name, b": z\r\n", tail].concat();
            assert_eq!(judged_bytes(&text, Framing::Datagram).is_none(), legal, "{byte} {at}");
        }
    }
    let mut index = Index::new();
    let text = with("X: y").replace("Max-Forwards:", "mAX-fORWARDS \t :").replace('|', "\r\n");
    let message = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("a message");
    assert_eq!(message.header(Name::MaxForwards), Some(&b"70"[..]));
}

#[test]
//= RFC 4475 3.1.1.2 type=test
fn a9_lines_end_with_cr_and_lf_and_nothing_else() {
    let ends = Some(("line end", Fault::Grammar));
    for bad in [
        "X: a\nb: c",
        "X: a\rb",
        "X: a\r",
        "X:\ra",
        "X: \r a",
        "X: a\r\r\n b",
        "X: \"\\\r\"",
        "X: a\n b",
        "\rX: a",
        "X\r: a",
    ] {
        assert_eq!(judged(&with(bad)), ends, "{bad:?}");
    }
    let header = Some(("header", Fault::Grammar));
    for bad in
        ["X: a\0b", "X: \0", "X: \\\0", "X: \"\0\"", "X: \"a\" \\\0", "X\0: a", "X: \0| a", "\0: a"]
    {
        assert_eq!(judged(&with(bad)), header, "{bad:?}");
    }
    for good in ["X: \"\\\0\"", "X: a| b|\tc", "X:| a", "X:", "X: a\x01\x7f\u{feff}"] {
        assert_eq!(judged(&with(good)), None, "{good:?}");
    }
    for bad in ["INVITE sip:b@h\0 SIP/2.0", "INVITE sip:b\r@h SIP/2.0", "INV\nITE sip:b@h SIP/2.0"]
    {
        let text = with("X: y").replace("INVITE sip:b@h SIP/2.0", bad).replace('|', "\r\n");
        let mut index = Index::new();
        let read = parse(text.as_bytes(), &mut index, Framing::Datagram);
        assert!(read.is_err() || read.is_ok_and(|message| message.check().is_err()), "{bad:?}");
    }
    let status = with("X: y").replace("INVITE sip:b@h SIP/2.0", "SIP/2.0 200 a\0b");
    assert_eq!(judged(&status), Some(("start line", Fault::Grammar)));
    assert_eq!(judged(&format!("||{}", with("X: y"))), None, "leading line ends are ignored");
    assert_eq!(judged(&format!("{}\0\r\n\n", with("X: y"))), None, "a body may hold anything");
    let cut = with("X: y");
    assert_eq!(judged(&cut[..cut.len() - 1]), Some(("message", Fault::Length)));
}

#[test]
fn a10_bytes_above_ascii_pass() {
    assert_eq!(judged(&instead("From: \"\u{202e}\u{200b}é\" <sip:a@h>;tag=1")), None);
    let text = with("X: y").replace('|', "\r\n").replace("X: y", "X: ?");
    let bytes: Vec<u8> = text.bytes().map(|b| if b == b'?' { 0xC0 } else { b }).collect();
    assert_eq!(judged_bytes(&bytes, Framing::Datagram), None);
}

/// Nothing calls itself for each byte or each level of what it reads: a small stack is enough for
/// whatever nests or repeats.
#[test]
fn a16_nothing_recurses_on_what_it_reads() {
    let deep = |open: &str, close: &str| open.repeat(3_000) + &close.repeat(3_000);
    let texts: Vec<Vec<u8>> = [
        with(&format!("X: {}", deep("(", ")"))),
        instead(&format!("To: {}", deep("<", ">"))),
        instead(&format!("To: \"{}\" <sip:a@h>", "\\\"".repeat(3_000))),
        instead(&format!("To: <sip:a@h?a={}>", "%3C".repeat(2_000))),
        with(&format!("Authorization: Digest x=\"{}\"", "\\\\".repeat(3_000))),
        with(&format!("Route: {}", "<sip:a;lr>,".repeat(600))),
        with(&format!("X: y{}", "| y".repeat(2_000))),
        with("X: y") + &deep("--b||", "[{"),
    ]
    .iter()
    .map(|text| text.replace('|', "\r\n").into_bytes())
    .collect();
    let reader = move || texts.iter().map(|text| cost(text)).collect::<Vec<_>>().len();
    let thread = std::thread::Builder::new().stack_size(64 * 1_024).spawn(reader);
    assert_eq!(thread.expect("a thread").join().ok(), Some(8));
}

/// What a message costs grows with its length and no faster. A quadratic step would take seconds
/// at this size, where a linear one takes a millisecond, so a loaded machine does not matter.
#[test]
fn a17_the_largest_messages_cost_little() {
    let room = limits::MESSAGE - 400;
    let line = limits::HEADER_LINE - 40;
    let fill = |unit: &str, n: usize| unit.repeat(n / unit.replace('|', "\r\n").len());
    for (what, text) in [
        ("headers", with(&fill("X:y|", room))),
        ("vias", with(&fill("v:SIP/2.0/UDP h|", room))),
        ("list", with(&format!("v: {}", fill("SIP/2.0/UDP h,", line)))),
        ("quotes", instead(&format!("To: {}", fill("\"", line)))),
        ("brackets", instead(&format!("To: {}", fill("<", line)))),
        ("params", instead(&format!("To: <sip:b@h>{}", fill(";a", line)))),
        ("uri params", instead(&format!("To: <sip:b@h{}>", fill(";a", line)))),
        ("uri headers", instead(&format!("To: <sip:b@h?{}>", fill("a&", line)))),
        ("blanks", instead(&format!("To: {}<sip:b@h>", fill(" ", line)))),
        ("folds", with(&format!("X: y{}", fill("| ", room)))),
        ("escapes", instead(&format!("To: <sip:{}@h>", fill("%41", line)))),
        ("commas", with(&format!("Route: {}", fill(",", line)))),
        ("line ends", fill("|", room) + &with("X: y")),
        ("zeros", instead(&format!("CSeq: {}1 INVITE", fill("0", line)))),
        ("words", with("X: y").replacen("sip:b@h", &fill("a ", line), 1)),
        ("versions", with("X: y").replacen("SIP/2.0", &fill(" SIP/ ", line), 1)),
        ("nuls", with(&format!("X: \"{}\"", fill("\\\0", line)))),
    ] {
        let bytes = text.replace('|', "\r\n").into_bytes();
        assert!(bytes.len() > 8_000 && bytes.len() <= limits::MESSAGE, "{what}: {}", bytes.len());
        let best = (0..3).map(|_| cost(&bytes)).min().expect("three tries");
        assert!(best < Duration::from_millis(250), "{what}: {best:?}");
    }
}

fn cost(bytes: &[u8]) -> Duration {
    let before = Instant::now();
    let mut index = Index::new();
    let message = parse(bytes, &mut index, Framing::Datagram).expect("something to answer");
    let judged = message.check();
    let read = message.vias().count() + message.contacts().count() + message.headers().count();
    assert!(judged.is_err() || read > 0);
    if let Ok(Ok(to)) = message.to().map(|to| to.uri()) {
        assert!(equal(&to, &to));
    }
    let mut edit = Editor::new(&message);
    edit.pop_via();
    edit.pop_routes(1);
    edit.pop_last_route();
    edit.push_via(b"SIP/2.0/UDP h");
    edit.set_received("192.0.2.1:9".parse().expect("an address"));
    edit.remove(Name::Contact);
    let mut out = Vec::new();
    edit.finish(&mut out);
    before.elapsed()
}
