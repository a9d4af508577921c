//! What holds for any message: random bytes, torn and mixed torture messages, and messages of
//! our own, each made from a seed that a failure prints.

use ringway_wire::{
    CSeq, Editor, Frame, Framer, Framing, Index, Message, Name, NameAddr, Peek, RequestWriter,
    ResponseWriter, Sdp, StoredMessage, Uri, Via, equal, parse, write_ack, write_cancel,
};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// A small generator of random numbers (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

fn torture() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let mut paths: Vec<_> = ["rfc4475", "rfc5118"]
        .iter()
        .flat_map(|part| fs::read_dir(folder.join(part)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// Pieces that a grammar trips over.
const PIECES: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "\n",
    "\r",
    "\0",
    "\"",
    "\\",
    "<",
    ">",
    ",",
    ";",
    ":",
    "=",
    "@",
    "?",
    "%",
    "%00",
    "%4",
    "[",
    "]",
    "[::1]",
    "*",
    " ",
    "\t",
    "SIP/2.0",
    " SIP/2.0\r\n",
    "sip:",
    "tel:+1",
    ";tag=",
    ";branch=z9hG4bK",
    ";rport",
    ";lr",
    "l: 3\r\n",
    "Content-Length: 0\r\n",
    "Route: <sip:p;lr>\r\n",
    "v: SIP/2.0/UDP h\r\n",
    "m: *\r\n",
    "4294967296",
    "\u{e9}",
    "-1",
];

/// A torture message with a few bytes changed, torn out, doubled, or put in.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(40)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.drain(at..to)),
            2 => {
                let twice = bytes[at..to].to_vec();
                bytes.splice(at..at, twice);
            }
            3 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let part = &other[from..(from + random.below(90)).min(other.len())];
                bytes.splice(at..at, part.iter().copied());
            }
            4 => bytes.truncate(at.max(12)),
            _ => drop(bytes.splice(at..at, random.pick(PIECES).bytes())),
        }
    }
    bytes
}

/// Reads all that can be read; says how much there was, so that nothing is left out.
fn read_all(message: &Message<'_>) -> usize {
    let mut seen = message.bytes().len() + message.body().len() + message.reason().len();
    seen += usize::from(message.status()) + message.method().as_bytes().len();
    seen += message.call_id().len() + message.request_uri().len();
    seen += usize::from(message.max_forwards().unwrap_or(1));
    seen += message.expires().map_or(0, |_| 1) + message.cseq().map_or(0, |_| 1);
    seen += Sdp::new(message.body()).map_or(0, |sdp| sdp.media().count());
    for header in message.headers() {
        assert!(!header.raw_name.is_empty());
        seen += header.value.len();
        // Whatever a header is, nothing that reads values trips over it.
        seen += Via::parse(header.value).map_or(0, |via| read_via(&via));
        seen += NameAddr::parse(header.value).map_or(0, |address| read_address(&address));
        seen += message.values(header.name).take(99).map(<[u8]>::len).sum::<usize>();
    }
    seen += message.vias().take(99).flatten().map(|via| read_via(&via)).sum::<usize>();
    seen += message.contacts().take(99).flatten().map(|c| read_address(&c)).sum::<usize>();
    seen += message.uri().map_or(0, |uri| read_uri(&uri));
    seen + usize::from(message.contact_kind() == ringway_wire::Contacts::Star)
}

/// What was found while the message was judged is what its headers say when they are read.
fn facts_agree(message: &Message<'_>, context: &str) {
    let value = |name| message.header(name).unwrap_or_default();
    let address = |name| NameAddr::parse(value(name)).ok();
    assert_eq!(message.from().ok(), address(Name::From), "{context}");
    assert_eq!(message.to().ok(), address(Name::To), "{context}");
    assert_eq!(message.cseq().ok(), CSeq::parse(value(Name::CSeq)).ok(), "{context}");
    assert_eq!(message.uri().ok(), Uri::parse(message.request_uri()).ok(), "{context}");
    let contacts = message.values(Name::Contact).map(|value| NameAddr::parse(value).ok());
    assert!(message.contacts().map(Result::ok).eq(contacts), "{context}");
    let top = message.values(Name::Via).next().and_then(|value| Via::parse(value).ok());
    assert_eq!(message.top_via().ok(), top, "{context}");
    if message.is_request() && message.check().is_ok() {
        assert_eq!(message.method(), message.cseq().expect("checked").method, "{context}");
    }
    let branch = |via: &Via<'_>| via.branch().map(<[u8]>::to_vec);
    let slow = |via: &Via<'_>| via.params.get(b"branch").flatten().map(<[u8]>::to_vec);
    assert_eq!(top.as_ref().map(branch), top.as_ref().map(slow), "{context}");
    for address in [message.from(), message.to()].into_iter().flatten() {
        let tag = address.params.get(b"tag").flatten();
        assert_eq!(address.tag(), tag.filter(|tag| !tag.is_empty()), "{context}");
        assert_eq!(address.uri(), Uri::parse(address.uri), "{context}");
    }
}

/// Whatever passes is seen as what it is before it is read.
fn peek_agrees(message: &Message<'_>, context: &str) {
    if !message.is_request() || message.check().is_err() {
        return;
    }
    let peek = Peek::at(message.bytes()).expect(context);
    assert_eq!(peek.method, message.method().as_bytes(), "{context}");
    assert_eq!(peek.uri, message.request_uri(), "{context}");
    assert_eq!(peek.call_id, message.call_id(), "{context}");
    assert_eq!(peek.to_tag, message.to().expect(context).tag(), "{context}");
    assert_eq!(Some(peek.via), message.header(Name::Via), "{context}");
    let credentials = [Name::Authorization, Name::ProxyAuthorization];
    let brought = credentials.iter().any(|name| message.header(*name).is_some());
    assert_eq!(peek.has_credentials, brought, "{context}");
    assert_eq!(peek.has_route, message.header(Name::Route).is_some(), "{context}");
}

fn read_via(via: &Via<'_>) -> usize {
    let numbers = (via.received(), via.rport(), via.ttl());
    via.branch().map_or(0, <[u8]>::len) + via.params.iter().count() + usize::from(numbers.2 > None)
}

fn read_address(address: &NameAddr<'_>) -> usize {
    let uri = address.uri().map_or(0, |uri| read_uri(&uri));
    address.tag().map_or(0, <[u8]>::len) + address.params.iter().count() + uri
}

fn read_uri(uri: &Uri<'_>) -> usize {
    assert!(equal(uri, uri), "{uri:?} equals itself");
    match uri {
        Uri::Sip(sip) => sip.params.iter().count() + sip.headers.len(),
        Uri::Tel(tel) => tel.params.iter().count() + tel.number.len(),
        Uri::Other { scheme, rest } => scheme.len() + rest.len(),
    }
}

fn source() -> SocketAddr {
    "192.0.2.99:5099".parse().expect("an address")
}

/// All headers but those a proxy changes on its way.
fn untouched(message: &Message<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    use Name::{MaxBreadth, MaxForwards, RecordRoute, Route, Via};
    let others = message
        .headers()
        .filter(|h| !matches!(h.name, Via | Route | RecordRoute | MaxForwards | MaxBreadth));
    others.map(|h| (h.raw_name.to_vec(), h.value.to_vec())).collect()
}

fn owned<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    values.map(<[u8]>::to_vec).collect()
}

/// Changes a message as a proxy does; what comes out is read again and must be what was meant.
fn forward(message: &Message<'_>, random: &mut Random, context: &str) {
    let pops = random.below(3);
    let last = random.below(4) == 0;
    let via_off = random.below(3) == 0;
    let mut edit = Editor::new(message);
    edit.set_max_forwards(9);
    edit.set(Name::MaxBreadth, b"60");
    edit.push_record_route(b"<sip:us;lr>");
    if random.below(2) == 0 {
        edit.set_received(source());
    }
    edit.pop_routes(pops.min(1));
    edit.pop_routes(pops);
    if last {
        edit.pop_last_route();
    }
    if via_off {
        edit.pop_via();
    }
    edit.push_via(b"SIP/2.0/UDP us;branch=z9hG4bKus");
    edit.complete_content_length();
    let mut out = Vec::new();
    let range = edit.finish(&mut out);
    assert_eq!(range, 0..out.len());
    let mut index = Index::new();
    let written = parse(&out, &mut index, Framing::Stream).expect(context);
    if message.check().is_err() {
        return;
    }
    let mut routes = owned(message.values(Name::Route));
    if last {
        routes.pop();
    }
    let routes: Vec<_> = routes.into_iter().skip(pops).collect();
    assert_eq!(owned(written.values(Name::Route)), routes, "{context}");
    assert_eq!(written.vias().count(), message.vias().count() + 1 - usize::from(via_off));
    let below = owned(message.values(Name::Via).skip(1));
    assert_eq!(owned(written.values(Name::Via).skip(2 - usize::from(via_off))), below);
    assert_eq!(written.max_forwards(), Some(9), "{context}");
    assert_eq!(
        written.values(Name::RecordRoute).count(),
        message.values(Name::RecordRoute).count() + 1
    );
    let mut before = untouched(message);
    if message.header(Name::ContentLength).is_none() {
        let length = message.body().len().to_string().into_bytes();
        before.push((b"Content-Length".to_vec(), length));
    }
    assert_eq!(untouched(&written), before, "{context}");
    assert_eq!(written.body(), message.body(), "{context}");
    assert_eq!(written.request_uri(), message.request_uri());
    let full = message.vias().count() >= 70 || message.values(Name::RecordRoute).count() >= 32;
    let full = full || message.headers().count() + 5 > 256;
    assert!(full || written.check().is_ok(), "{context}: {:?}", written.check());
}

/// Answers a message, broken or not, and calls the answer good if the message was.
fn answer(message: &Message<'_>, context: &str) {
    let mut out = Vec::new();
    let line = (486, "Busy Here");
    ResponseWriter::new(&mut out, message, line, Some(b"ours"), source())
        .record_routes(message)
        .finish(Some(("text/plain", b"no")));
    let mut index = Index::new();
    let response = parse(&out, &mut index, Framing::Stream).expect(context);
    assert_eq!(response.body(), b"no", "{context}: one header section and no more");
    assert_eq!(response.status(), 486);
    if message.check().is_err() {
        return;
    }
    assert_eq!(response.check(), Ok(()), "{context}");
    assert_eq!(response.vias().count(), message.vias().count(), "{context}");
    assert_eq!(response.call_id(), message.call_id());
    assert_eq!(response.cseq(), message.cseq(), "{context}");
    let tag = message.to().expect("checked").tag().unwrap_or(b"ours").to_vec();
    assert_eq!(response.to().expect("checked").tag(), Some(&tag[..]));
    if message.is_request() {
        follow(message, &response, context);
    }
}

/// ACK and CANCEL of what was sent belong to it.
fn follow(sent: &Message<'_>, response: &Message<'_>, context: &str) {
    for method in ["ACK", "CANCEL"] {
        let mut out = Vec::new();
        match method {
            "ACK" => write_ack(&mut out, sent, response),
            _ => write_cancel(&mut out, sent),
        };
        let mut index = Index::new();
        let written = parse(&out, &mut index, Framing::Stream).expect(context);
        assert_eq!(written.check(), Ok(()), "{context}");
        assert_eq!(written.method().as_bytes(), method.as_bytes());
        assert_eq!(written.vias().count(), 1);
        assert_eq!(written.top_via().map(|v| v.branch().map(<[u8]>::to_vec)), {
            sent.top_via().map(|v| v.branch().map(<[u8]>::to_vec))
        });
        assert_eq!(written.values(Name::Route).count(), sent.values(Name::Route).count());
        assert_eq!(written.call_id(), sent.call_id());
    }
}

/// Does everything to a message; says whether it passed the check.
fn try_all(bytes: &[u8], random: &mut Random, index: &mut Index, context: &str) -> bool {
    let framing = if random.below(2) == 0 { Framing::Datagram } else { Framing::Stream };
    let Ok(message) = parse(bytes, index, framing) else { return false };
    let seen = read_all(&message);
    facts_agree(&message, context);
    peek_agrees(&message, context);
    forward(&message, random, context);
    answer(&message, context);
    let stored: StoredMessage = message.to_stored();
    assert_eq!(read_all(&stored.message()), seen, "{context}");
    assert_eq!(stored.message().bytes(), message.bytes());
    message.check().is_ok()
}

#[test]
fn nothing_panics_and_whatever_passes_is_written_as_meant() {
    let seeds = torture();
    // One index for all, as a server has it.
    let mut index = Index::new();
    let mut passed = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let bytes = mutated(&mut random, &seeds);
        passed += u32::from(try_all(&bytes, &mut random, &mut index, &format!("seed {seed}")));
    }
    assert!((3_000..17_000).contains(&passed), "good and bad ones are tried: {passed}");
}

#[test]
fn random_bytes_never_panic() {
    let mut index = Index::new();
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let mut bytes = b"A b SIP/2.0\r\n".to_vec();
        for _ in 0..random.below(60) {
            match random.below(4) {
                0 => bytes.push(random.below(256) as u8),
                1 => bytes
                    .extend_from_slice(random.pick(&["Via", "f", "TO", "Cseq", "l"]).as_bytes()),
                _ => bytes.extend_from_slice(random.pick(PIECES).as_bytes()),
            }
        }
        try_all(&bytes, &mut random, &mut index, &format!("seed {seed}"));
        let _ = Uri::parse(&bytes[13..]).map(|uri| read_uri(&uri));
        let _ = Via::parse(&bytes[13..]).map(|via| read_via(&via));
        let _ = NameAddr::parse(&bytes[13..]).map(|address| read_address(&address));
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let values: Vec<String> = (0..random.below(20))
            .map(|_| {
                let parts = ["a", "é", "\"x;,y\"", "<sip:a@b;c>", " ", "\t", ";", ",", "=", "\\"];
                (0..random.below(12)).map(|_| random.pick(&parts)).collect::<String>()
            })
            .collect();
        let body: Vec<u8> = (0..random.below(99)).map(|_| random.below(256) as u8).collect();
        let mut out = Vec::new();
        let mut writer = RequestWriter::new(&mut out, b"NEW", b"sip:a@b");
        for (n, value) in values.iter().enumerate() {
            writer.header(&format!("X-{n}"), value.as_bytes());
        }
        let range = writer.finish(Some(("a/b", &body)));
        let mut index = Index::new();
        let read = parse(&out[range], &mut index, Framing::Stream).expect("a request");
        assert_eq!(read.method().as_bytes(), b"NEW");
        assert_eq!(read.body(), body, "seed {seed}");
        let headers: Vec<_> = read.headers().collect();
        assert_eq!(headers.len(), values.len() + 2, "seed {seed}");
        for (header, value) in headers.iter().zip(&values) {
            assert_eq!(header.value, value.trim_matches([' ', '\t']).as_bytes(), "seed {seed}");
        }
    }
}

fn frames(bytes: &[u8], mut chunk: impl FnMut() -> usize) -> Vec<String> {
    let mut framer = Framer::new();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let to = (at + chunk()).min(bytes.len());
        framer.push(&bytes[at..to]);
        at = to;
        while let Some(frame) = framer.next() {
            let text = match frame {
                Ok(Frame::Message(message)) => format!("{message:?}"),
                other => format!("{other:?}"),
            };
            found.push(text);
            if frame.is_err() {
                return found;
            }
        }
    }
    found
}

#[test]
//= RFC 3261 18.3 type=test
fn a2_a_stream_is_cut_alike_however_it_arrives() {
    let seeds = torture();
    for seed in 0..1_500 {
        let mut random = Random::new(seed);
        let mut bytes = Vec::new();
        for _ in 0..=random.below(4) {
            bytes.extend(mutated(&mut random, &seeds));
        }
        let whole = frames(&bytes, || usize::MAX / 2);
        assert_eq!(frames(&bytes, || 1), whole, "seed {seed}, one by one");
        assert_eq!(frames(&bytes, || 1 + random.below(70)), whole, "seed {seed}");
    }
}

#[test]
//= RFC 3261 19.1.4 type=test
fn comparison_of_uris_is_the_same_both_ways() {
    let parts = [
        "sip:",
        "sips:",
        "tel:",
        "a",
        "A",
        "%61",
        "%",
        "@",
        "h",
        "H",
        ":",
        "5060",
        ";",
        "lr",
        "x=1",
        "X=%31",
        "x=2",
        "transport=udp",
        "Transport=UDP",
        "user=phone",
        "?",
        "&",
        "to=a",
        "+1",
        "-",
        ";x=1",
        ";lr",
        "[::1]",
        "[0::1]",
        "1.2.3.4",
    ];
    let mut same = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut make = || -> String {
            let scheme = random.pick(&["sip:a@h", "sip:h", "tel:+1", "sips:a@h:5061", "sip:"]);
            let tail: String = (0..random.below(4)).map(|_| random.pick(&parts)).collect();
            format!("{scheme}{tail}")
        };
        let (a, b) = (make(), make());
        let (Ok(a), Ok(b)) = (Uri::parse(a.as_bytes()), Uri::parse(b.as_bytes())) else { continue };
        assert!(equal(&a, &a) && equal(&b, &b), "seed {seed}: {a:?} {b:?}");
        assert_eq!(equal(&a, &b), equal(&b, &a), "seed {seed}: {a:?} {b:?}");
        same += usize::from(equal(&a, &b));
    }
    assert!(same > 100, "some were equal: {same}");
}
