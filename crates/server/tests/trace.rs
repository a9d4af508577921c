//! `ringway trace`, the capture file and the HEP exporter, on a server with a real call.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_server::commands::trace::{Form, Told, show};
use ringway_server::control::client::Client;
use ringway_server::control::{Failure, Kind, TraceMode, TraceRequest};
use ringway_server::ladder::Style;
use ringway_server::server::{Running, Startup};
use ringway_server::trace::{Collector, Settings};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::*;

const ASCII: Style = Style { unicode: false, colour: false };
const PROOF: &str = "6629fae49393a05397450978507c4ef1";

struct Scene {
    folder: TempDir,
    server: Running,
    alice: UdpSocket,
    bob: UdpSocket,
    calls: AtomicU32,
}

impl Scene {
    /// A server on which bob is registered.
    fn set(trace: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = Some(folder.path().join("c"));
        let server = serve(&Startup { control, trace, ..startup() });
        let to = address(&server, Transport::Udp, V4);
        let (alice, bob) = (udp_to(to), udp_to(to));
        let contact = bob.local_addr().unwrap();
        assert!(ask(&bob, &request("REGISTER", "UDP", contact, 1)).starts_with("SIP/2.0 200 "));
        Self { folder, server, alice, bob, calls: AtomicU32::new(0) }
    }

    fn control(&self) -> PathBuf {
        self.folder.path().join("c")
    }

    /// Alice calls, says it twice, and bob declines.
    fn call(&self) {
        let (from, contact) = (self.alice.local_addr().unwrap(), self.bob.local_addr().unwrap());
        let proof = format!("Proxy-Authorization: Digest response=\"{PROOF}\"\r\nContent-Length");
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let own = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            match number {
                0 => text,
                _ => text
                    .replace("-2;", &format!("-2-{number};"))
                    .replace("call-2", &format!("call-2-{number}")),
            }
        };
        let invite = own(invite(from)).replace("Content-Length", &proof);
        self.alice.send(invite.as_bytes()).unwrap();
        let offer = receive(&self.bob, "INVITE ");
        self.alice.send(invite.as_bytes()).unwrap();
        // Each is answered, so both have been noted: bob is served by another thread.
        receive(&self.alice, "SIP/2.0 100");
        receive(&self.alice, "SIP/2.0 100");
        self.bob.send(answer(&offer, "180 Ringing", contact).as_bytes()).unwrap();
        receive(&self.alice, "SIP/2.0 180");
        self.bob.send(answer(&offer, "486 Busy \u{202e}Here", contact).as_bytes()).unwrap();
        receive(&self.bob, "ACK ");
        let busy = receive(&self.alice, "SIP/2.0 486");
        let to = busy.lines().find(|line| line.starts_with("To:")).unwrap();
        let ack = own(request("ACK", "UDP", from, 2));
        let ack = ack.replace("ACK sip:example.org", "ACK sip:bob@example.org");
        let ack = ack.replace("To: <sip:bob@example.org>", to);
        self.alice.send(ack.as_bytes()).unwrap();
        // Behind the ACK, so that it has been noted.
        ask(&self.alice, &request("OPTIONS", "UDP", from, 99));
    }

    fn show(&self, request: TraceRequest, form: Form) -> (String, Told) {
        shown(&self.control(), request, form, None).unwrap()
    }
}

fn shown(
    control: &Path,
    request: TraceRequest,
    form: Form,
    capture: Option<Box<dyn Write>>,
) -> Result<(String, Told), ringway_server::commands::trace::Trouble> {
    let (mut out, mut told) = (Vec::new(), Told::default());
    let mut client = Client::connect(control).unwrap();
    show(&mut client, request, (form, &mut out), capture, &mut told)?;
    Ok((String::from_utf8(out).unwrap(), told))
}

fn past() -> TraceRequest {
    TraceRequest { mode: TraceMode::Past, ..TraceRequest::default() }
}

fn stand_in_order(text: &str, all: &[&str]) -> bool {
    let mut rest = text;
    all.iter().all(|wanted| {
        let found = rest.split_once(wanted);
        rest = found.map_or(rest, |(_, behind)| behind);
        found.is_some()
    })
}

/// That this stands in the text, in this order.
fn assert_in_order(text: &str, all: &[&str]) {
    let mut rest = text;
    for wanted in all {
        let Some(at) = rest.find(wanted) else { panic!("no {wanted:?} in {rest}\nof {text}") };
        rest = &rest[at + wanted.len()..];
    }
}

#[test]
fn a_call_of_the_past_is_a_ladder() {
    let scene = Scene::set(Settings::default());
    scene.call();
    let (text, told) = scene.show(past(), Form::Ladder(ASCII, 80));
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 80), "{text}");
    let steps = [
        " alice calls bob ",
        "loopback",
        "ringway",
        "bob@example.org",
        "0.0 ms |------- INVITE + digest ------->|",
        "- 100 Trying -",
        "INVITE + digest",
        "- INVITE again -",
        "180 Ringing",
        "180 Ringing",
        // Nothing reaches the terminal as a command.
        "486 Busy \\u{202e}Here",
        "ACK",
        "486 Busy",
        "ACK",
    ];
    assert_in_order(&text, &steps);
    assert_eq!(told.traces, 1, "{text}");
    assert!(!text.contains("REGISTER") && !text.contains("OPTIONS"), "{text}");
    let (all, _) = scene.show(TraceRequest { all: true, ..past() }, Form::Ladder(ASCII, 80));
    assert!(all.contains("REGISTER") && all.contains("OPTIONS"), "{all}");

    for (request, found) in [
        (TraceRequest { call: Some("call-2".into()), ..past() }, true),
        (TraceRequest { call: Some("call-3".into()), ..past() }, false),
        (TraceRequest { number: Some("bob".into()), ..past() }, true),
        (TraceRequest { number: Some("carol".into()), ..past() }, false),
        (
            TraceRequest { address: Some(scene.bob.local_addr().unwrap().to_string()), ..past() },
            true,
        ),
        (TraceRequest { address: Some("192.0.2.1".into()), ..past() }, false),
        (TraceRequest { words: vec!["alice".into(), "127.0.0.1".into()], ..past() }, true),
        (TraceRequest { words: vec!["alice".into(), "127.0.0.2".into()], ..past() }, false),
        (TraceRequest { last: Some(1), ..past() }, true),
        (TraceRequest { last: Some(0), ..past() }, false),
        (TraceRequest { since_s: Some(60), ..past() }, true),
        // The Call-ID alone names the call, and nothing is waited for.
        (TraceRequest { words: vec!["call-2".into()], ..TraceRequest::default() }, true),
    ] {
        let (_, told) = scene.show(request.clone(), Form::Nothing);
        assert_eq!(told.messages > 0, found, "{request:?}");
    }
    let wrong = TraceRequest { address: Some("somewhere".into()), ..past() };
    let refused = shown(&scene.control(), wrong, Form::Nothing, None).expect_err("no address");
    let text = format!("{refused:?}");
    assert!(text.contains("Invalid") && text.contains("is no address"), "{text}");
    scene.server.shutdown(LONG);
}

#[test]
fn j11_secrets_are_masked_unless_they_are_asked_for() {
    let scene = Scene::set(Settings::default());
    scene.call();
    for form in [Form::Raw, Form::Json] {
        let (text, _) = scene.show(past(), form);
        assert!(text.contains("Proxy-Authorization: Digest response="), "{text}");
        assert!(!text.contains(PROOF), "{text}");
        assert!(text.contains(&"*".repeat(PROOF.len())), "{text}");
        let (text, _) = scene.show(TraceRequest { secrets: true, ..past() }, form);
        assert!(text.contains(PROOF), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
    scene.server.shutdown(LONG);
}

#[test]
fn programs_get_an_object_a_line_and_a_list() {
    static DOCUMENTED: &str = include_str!("../../../docs/cli.md");
    let scene = Scene::set(Settings::default());
    scene.call();
    let (text, told) = scene.show(past(), Form::Json);
    assert_eq!(text.lines().count(), told.messages);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["way"], &first["transport"]), (&"in".into(), &"udp".into()));
    assert_eq!((&first["call_id"], &first["again"]), (&"call-2".into(), &false.into()));
    assert_eq!(first["remote"], scene.alice.local_addr().unwrap().to_string());
    assert!(first["message"].as_str().unwrap().starts_with("INVITE sip:bob@example.org SIP/2.0"));
    let (text, _) = scene.show(past(), Form::List { json: true });
    let rows: Value = serde_json::from_str(&text).unwrap();
    let row = &rows[0];
    assert_eq!(
        (&row["from"], &row["to"], &row["status"]),
        (&"alice".into(), &"bob".into(), &486.into())
    );
    assert_eq!(row["messages"], told.messages);
    assert_eq!(row["again"], 2, "the INVITE, and the 100 that answers it again: {row}");
    for value in [&first, row] {
        for key in value.as_object().unwrap().keys() {
            assert!(DOCUMENTED.contains(&format!("`{key}`")), "docs/cli.md does not name {key}");
        }
    }
    let (text, _) = scene.show(past(), Form::List { json: false });
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert_in_order(&text, &["BEGAN", "alice", "bob", "INVITE", "486", "call-2"]);
    scene.server.shutdown(LONG);
}

/// Output that another thread may look at.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until this stands in it, in this order.
    fn wait_for(&self, all: &[&str]) {
        let end = Instant::now() + LONG;
        while !stand_in_order(&self.text(), all) {
            assert!(Instant::now() < end, "{}", self.text());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn follow(control: PathBuf, request: TraceRequest) -> (Page, JoinHandle<Told>) {
    let page = Page::default();
    let mut out = page.clone();
    let tracing = thread::spawn(move || {
        let mut told = Told::default();
        let mut client = Client::connect(&control).unwrap();
        let form = Form::Ladder(ASCII, 80);
        show(&mut client, request, (form, &mut out), None, &mut told).unwrap();
        told
    });
    (page, tracing)
}

#[test]
fn calls_are_shown_as_they_pass_also_where_nothing_is_kept() {
    for keep_mib in [0, 16] {
        let scene = Scene::set(Settings { keep_mib, ..Settings::default() });
        let live = |words: &[&str]| {
            let words = words.iter().map(|word| (*word).into()).collect();
            TraceRequest { mode: TraceMode::Live, words, ..TraceRequest::default() }
        };
        let (all, tracing) = follow(scene.control(), live(&[]));
        let (none, idle) = follow(scene.control(), live(&["carol"]));
        let end = Instant::now() + LONG;
        while !all.text().contains("486 Busy") {
            assert!(Instant::now() < end, "a trace begins to listen");
            scene.call();
        }
        // It may have begun to listen in the middle of a call; this one it hears whole.
        scene.call();
        let steps = ["ringway", "alice calls bob", "INVITE", "180 Ringing", "486"];
        all.wait_for(&steps);
        let (text, told) = scene.show(past(), Form::Nothing);
        assert_eq!((told.messages > 0, text.as_str()), (keep_mib > 0, ""));
        // A server that stops ends its traces.
        scene.server.shutdown(LONG);
        assert!(tracing.join().unwrap().messages > 0);
        let hint = " Calls are drawn as they pass from now on; Ctrl-C ends it. \n";
        assert_eq!((idle.join().unwrap().messages, none.text().as_str()), (0, hint));
    }
}

#[test]
fn g3_one_who_reads_nothing_loses_messages_and_holds_up_nobody() {
    let scene = Scene::set(Settings { keep_mib: 0, ..Settings::default() });
    let mut deaf = UnixStream::connect(scene.control()).unwrap();
    let request = r#"{"version":1,"request":{"do":"trace","mode":"live","all":true}}"#;
    writeln!(deaf, "{request}").unwrap();
    let mut lines = BufReader::new(deaf.try_clone().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), r#"{"version":1,"reply":{"traced":[]}}"#);
    let from = scene.alice.local_addr().unwrap();
    let options = String::from_utf8(request_of_size(from, 30_000)).unwrap();
    let mut slowest = Duration::ZERO;
    for number in 0..2_000 {
        let begun = Instant::now();
        let text = options.replace("z9hG4bK-1;", &format!("z9hG4bK-x{number};"));
        assert!(ask(&scene.alice, text.as_bytes()).starts_with("SIP/2.0 200 "));
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let lost = scene.server.engine().metrics().trace_lost.load(Ordering::Relaxed);
    assert!(lost > 0, "60 MB do not fit into the queues");
    let told = lines.map_while(Result::ok).find(|line| line.contains("trace_lost"));
    assert!(told.is_some(), "and it is told");
    drop(deaf);
    scene.server.shutdown(LONG);
}

/// An OPTIONS with a body.
fn request_of_size(from: std::net::SocketAddr, body: usize) -> Vec<u8> {
    let small = String::from_utf8(request("OPTIONS", "UDP", from, 1)).unwrap();
    let mut large = small.replace("h: 0", &format!("h: {body}")).into_bytes();
    large.resize(large.len() + body, b'x');
    large
}

#[test]
fn too_many_traces_are_refused() {
    let scene = Scene::set(Settings::default());
    let live = || TraceRequest { mode: TraceMode::Live, ..TraceRequest::default() };
    let mut clients = Vec::new();
    for _ in 0..ringway_server::limits::TRACE_LISTENERS {
        let mut client = UnixStream::connect(scene.control()).unwrap();
        writeln!(client, r#"{{"version":1,"request":{{"do":"trace","mode":"live"}}}}"#).unwrap();
        let mut reader = BufReader::new(client);
        reader.read_line(&mut String::new()).unwrap();
        clients.push(reader);
    }
    let refused = shown(&scene.control(), live(), Form::Nothing, None).expect_err("no room");
    let ringway_server::commands::trace::Trouble::Server(Failure { kind, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(kind, Kind::Busy);
    drop(clients);
    scene.server.shutdown(LONG);
}

#[test]
fn the_capture_file_has_every_message() {
    let scene = Scene::set(Settings::default());
    scene.call();
    let file = scene.folder.path().join("call.pcap");
    let capture = Box::new(std::fs::File::create(&file).unwrap());
    let (_, told) = shown(&scene.control(), past(), Form::Nothing, Some(capture)).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
    let (mut at, mut texts) = (24, Vec::new());
    while at < bytes.len() {
        let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
        let packet = &bytes[at + 16..at + 16 + length];
        let ports = [20, 22].map(|at| u16::from_be_bytes([packet[at], packet[at + 1]]));
        texts.push((ports, String::from_utf8_lossy(&packet[28..]).into_owned()));
        at += 16 + length;
    }
    assert_eq!(texts.len(), told.messages);
    let server = address(&scene.server, Transport::Udp, V4).port();
    let alice = scene.alice.local_addr().unwrap().port();
    assert_eq!(texts[0].0, [alice, server]);
    assert!(texts[0].1.starts_with("INVITE ") && !texts[0].1.contains(PROOF));
    assert!(texts.iter().any(|(ports, text)| ports[1] == alice && text.contains(" 486 ")));
    scene.server.shutdown(LONG);
}

/// The chunks of a HEP3 packet.
fn chunks(packet: &[u8]) -> Vec<(u16, Vec<u8>)> {
    assert_eq!(&packet[..4], b"HEP3");
    assert_eq!(usize::from(u16::from_be_bytes([packet[4], packet[5]])), packet.len());
    let (mut at, mut chunks) = (6, Vec::new());
    while at < packet.len() {
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let length = usize::from(word(at + 4));
        assert_eq!(word(at), 0, "the generic vendor");
        chunks.push((word(at + 2), packet[at + 6..at + length].to_vec()));
        at += length;
    }
    chunks
}

#[test]
fn a_collector_gets_every_message() {
    let homer = UdpSocket::bind((V4, 0)).unwrap();
    homer.set_read_timeout(Some(LONG)).unwrap();
    let to = homer.local_addr().unwrap();
    let hep = Some(Collector { to, id: 2_001, password: "key".into(), secrets: false });
    let scene = Scene::set(Settings { keep_mib: 0, hep, ..Settings::default() });
    scene.call();
    let mut buffer = [0; 65_535];
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|text: &String| !text.contains("CSeq: 99 OPTIONS") || !text.starts_with("SIP"))
    {
        let length = homer.recv(&mut buffer).expect("a packet");
        let chunks = chunks(&buffer[..length]);
        let value = |kind: u16| &chunks.iter().find(|(k, _)| *k == kind).expect("a chunk").1;
        assert_eq!((value(0x01)[..] == [2], value(0x02)[..] == [17]), (true, true));
        assert_eq!((&value(0x0b)[..], &value(0x0e)[..]), (&[1][..], &b"key"[..]));
        assert_eq!(value(0x0c)[..], 2_001_u32.to_be_bytes());
        let text = String::from_utf8_lossy(value(0x0f)).into_owned();
        assert!(!text.contains(PROOF), "{text}");
        let call_id = String::from_utf8_lossy(value(0x11)).into_owned();
        assert!(text.contains(&format!("Call-ID: {call_id}\r\n")), "{text}");
        if text.starts_with("INVITE ") && text.matches("Via:").count() == 1 {
            let alice = scene.alice.local_addr().unwrap();
            assert_eq!(value(0x07)[..], alice.port().to_be_bytes());
            assert_eq!(value(0x03)[..], [127, 0, 0, 1]);
        }
        seen.push(text);
    }
    for begin in ["REGISTER ", "SIP/2.0 200", "INVITE ", "SIP/2.0 180", "SIP/2.0 486", "ACK "] {
        assert!(seen.iter().any(|text| text.starts_with(begin)), "{begin}");
    }
    scene.server.shutdown(LONG);
}

#[test]
fn ctrl_c_ends_a_trace_well() {
    let scene = Scene::set(Settings::default());
    let file = scene.folder.path().join("live.pcap");
    let config = scene.folder.path().join("r.toml");
    std::fs::write(&config, format!("[server]\ncontrol = {:?}\n", scene.control())).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ringway"))
        .args(["trace", "--follow", "-c"])
        .arg(&config)
        .arg("-w")
        .arg(&file)
        .env("LC_ALL", "C.UTF-8")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let calling = thread::spawn(move || {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) && !file_has_messages(&file) {
            scene.call();
            thread::sleep(Duration::from_millis(50));
        }
        scene
    });
    let shown = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("486 Busy")));
    assert!(shown.is_some_and(|line| line.unwrap().contains('│')));
    let scene = calling.join().unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let drained = thread::spawn(move || lines.count());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drained.join().unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    scene.server.shutdown(LONG);
}

fn file_has_messages(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.len() > 1_000)
}
