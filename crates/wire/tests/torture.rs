//! The messages of RFC 4475 and RFC 5118, byte for byte: what is valid passes the check, what
//! is not is refused for the right reason, whole and in pieces.

use ringway_wire::{Fault, Frame, FrameError, Framer, Framing, Index, Message, Name, Uri, parse};
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

/// Name, class (`valid`, `invalid`, `lenient`) and bytes of all 61 messages.
fn messages() -> Vec<(String, String, Vec<u8>)> {
    let table = fs::read_to_string(folder().join("expect.tsv")).expect("the table");
    let read = |name: &str| {
        let forms = [
            format!("rfc4475/{name}.wire.dat"),
            format!("rfc4475/{name}.dat"),
            format!("rfc5118/{name}.dat"),
        ];
        let form = forms.iter().find(|form| folder().join(form).exists());
        fs::read(folder().join(form.expect("a file for each row"))).expect("a readable file")
    };
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|row| {
        let fields: Vec<&str> = row.split('\t').collect();
        (fields[0].to_owned(), fields[2].to_owned(), read(fields[0]))
    })
    .collect()
}

/// What is wrong with the messages that we refuse, by name.
const REFUSED: &[(&str, &str, Fault)] = &[
    ("badinv01", "Via", Fault::Grammar),
    ("clerr", "Content-Length", Fault::Length),
    ("ncl", "Content-Length", Fault::Length),
    ("scalar02", "CSeq", Fault::Range),
    ("scalarlg", "CSeq", Fault::Range),
    ("quotbal", "To", Fault::Grammar),
    ("ltgtruri", "Request-URI", Fault::Grammar),
    ("lwsruri", "start line", Fault::Grammar),
    ("lwsstart", "start line", Fault::Grammar),
    ("trws", "start line", Fault::Grammar),
    ("escruri", "Request-URI", Fault::Grammar),
    ("regbadct", "Contact", Fault::Grammar),
    ("badaspec", "To", Fault::Grammar),
    ("baddn", "From", Fault::Grammar),
    ("badvers", "start line", Fault::Version),
    ("mismatch01", "CSeq", Fault::MethodMismatch),
    ("mismatch02", "CSeq", Fault::MethodMismatch),
    ("bigcode", "status", Fault::Grammar),
    ("insuf", "Call-ID", Fault::Missing),
    ("multi01", "CSeq", Fault::Repeated),
    ("mcl01", "Content-Length", Fault::Repeated),
    ("ipv6-bad", "Request-URI", Fault::Grammar),
    // RFC 5954 withdrew the grammar that allowed a third colon.
    ("ipv6-bug-abnf-3-colons", "Request-URI", Fault::Grammar),
];

#[test]
//= RFC 4475 3 type=test
fn each_message_is_judged_right() {
    let all = messages();
    assert_eq!(all.len(), 61);
    let mut wrong = Vec::new();
    for (name, class, bytes) in &all {
        let mut index = Index::new();
        let message = parse(bytes, &mut index, Framing::Datagram).expect(name);
        let found = message.check().err().map(|m| (m.what, m.fault));
        let expected = REFUSED.iter().find(|(n, ..)| n == name).map(|&(_, what, f)| (what, f));
        if found != expected {
            wrong.push(format!("{name} ({class}): {found:?}, expected {expected:?}"));
        }
        if class == "valid" && found.is_some() && name != "ipv6-bug-abnf-3-colons" {
            wrong.push(format!("{name} is valid and was refused: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn read(name: &str, look: impl FnOnce(Message<'_>)) {
    let all = messages();
    let (_, _, bytes) = all.iter().find(|(n, ..)| n == name).expect("a message of this name");
    let mut index = Index::new();
    look(parse(bytes, &mut index, Framing::Datagram).expect("it parses"));
}

#[test]
fn values_are_read_right() {
    read("wsinv", |m| {
        assert_eq!(
            m.header(Name::To).map(<[u8]>::len),
            Some(b"sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n".len())
        );
        assert_eq!(m.to().expect("To").tag(), Some(&b"1918181833n"[..]));
        assert_eq!(m.max_forwards(), Some(68));
        assert_eq!(m.cseq().expect("CSeq").number, 9);
        assert_eq!(m.vias().count(), 3);
        assert_eq!(m.values(Name::Route).count(), 1);
        assert_eq!(m.body().len(), 150);
    });
    read("esc02", |m| {
        assert_eq!(m.method().as_bytes(), b"RE%47IST%45R");
        assert_eq!(m.contacts().count(), 2);
    });
    read("longreq", |m| assert_eq!(m.vias().count(), 34));
    read("dblreq", |m| {
        assert!(m.body().is_empty());
        assert!(!m.bytes().windows(6).any(|w| w == b"INVITE"));
    });
    read("cparam01", |m| {
        let contact = m.contacts().next().expect("one").expect("an address");
        assert_eq!(contact.uri, b"sip:+19725552222@gw1.example.net");
        assert_eq!(contact.params.get(b"unknownparam"), Some(None));
    });
    read("port-ambiguous", |m| match m.uri() {
        Ok(Uri::Sip(uri)) => assert_eq!(uri.port, None),
        other => panic!("{other:?}"),
    });
    read("port-unambiguous", |m| match m.uri() {
        Ok(Uri::Sip(uri)) => assert_eq!(uri.port, Some(5070)),
        other => panic!("{other:?}"),
    });
    read("via-received-param-with-delim", |m| {
        let via = m.top_via().expect("a Via");
        assert_eq!(via.received(), "2001:db8::9:255".parse().ok());
    });
}

fn frames(chunks: &[&[u8]]) -> Vec<Result<Vec<u8>, FrameError>> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    for chunk in chunks {
        framer.push(chunk);
        while let Some(frame) = framer.next() {
            match frame {
                Ok(Frame::Message(bytes)) => found.push(Ok(bytes.to_vec())),
                Ok(Frame::Ping | Frame::Pong) => found.push(Ok(Vec::new())),
                Err(error) => {
                    found.push(Err(error));
                    return found;
                }
            }
        }
    }
    found
}

#[test]
fn streams_cut_anywhere_give_the_same_messages() {
    for (name, _, bytes) in messages() {
        let whole = frames(&[&bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(frames(&single), whole, "{name}");
        for cut in 0..bytes.len() {
            assert_eq!(frames(&[&bytes[..cut], &bytes[cut..]]), whole, "{name} cut at {cut}");
        }
        match name.as_str() {
            "dblreq" => {
                let messages = whole.iter().filter(|m| m.as_ref().is_ok_and(|m| !m.is_empty()));
                assert_eq!(messages.count(), 2, "{name}");
            }
            "ncl" | "mcl01" | "inv2543" => {
                assert_eq!(whole, [Err(FrameError::NoLength)], "{name}");
            }
            "clerr" => assert!(whole.is_empty(), "{name} waits for more"),
            _ => assert!(!whole.is_empty(), "{name}"),
        }
    }
}

/// What is read of each message that passes the check: one line per message, as `values.tsv`
/// has it.
fn summary(name: &str, message: Message<'_>) -> String {
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or(b"-")).into_owned();
    let via = message.top_via().expect("a Via");
    let hops = message.max_forwards().map_or("-".to_owned(), |hops| hops.to_string());
    [
        name.to_owned(),
        text(Some(message.method().as_bytes())),
        message.status().to_string(),
        message.cseq().expect("CSeq").number.to_string(),
        text(message.from().expect("From").tag()),
        text(message.to().expect("To").tag()),
        text(via.branch()),
        message.vias().count().to_string(),
        message.contacts().count().to_string(),
        message.body().len().to_string(),
        hops,
    ]
    .join("\t")
}

#[test]
fn the_usual_fields_of_all_messages_are_read_right() {
    let table = fs::read_to_string(folder().join("values.tsv")).expect("the table");
    let mut rows = table.lines().filter(|line| !line.starts_with('#'));
    for (name, _, bytes) in messages() {
        let mut index = Index::new();
        let message = parse(&bytes, &mut index, Framing::Datagram).expect(&name);
        if message.check().is_ok() {
            assert_eq!(summary(&name, message), rows.next().unwrap_or("no row"), "{name}");
        }
    }
    assert_eq!(rows.next(), None, "a row without a message that passes");
}
