//! Next hops by name, against a name server on loopback that is slow, wrong, empty, enormous,
//! poisoned or gone.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod zone;

use hickory_proto::rr::RecordType;
use ringway_core::flow::Transport;
use ringway_server::config;
use ringway_server::server::{Running, Startup};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{LONG, V4, V6, address as listener, serve, udp_to};
use zone::{Reply, Zone, address, alias, lasting, naptr, srv, weighted};

const NOTHING: Reply = Reply::Say(Vec::new());
/// What needs no waiting takes less, also on a busy machine.
const FAST: Duration = Duration::from_millis(1_500);
/// All of a look-up, and some time for a busy machine.
const IN_TIME: Duration = Duration::from_millis(5_500);
const SERVER_ERROR: u16 = 500;
const OK: u16 = 200;
const FORBIDDEN: u16 = 403;
const BUSY: u16 = 486;
const UNAVAILABLE: u16 = 503;

/// A server that asks this name server.
fn serve_with(zone: &Zone) -> Running {
    serve(&Startup { dns: vec![zone.address], ..world::startup() })
}

/// Another SIP server: it answers every request in the same way.
struct Far {
    at: SocketAddr,
    heard: Arc<AtomicUsize>,
}

impl Far {
    fn answering(status: u16) -> Self {
        Self::on(V4, Some(status))
    }

    /// One on which everything is lost.
    fn silent() -> Self {
        Self::on(V4, None)
    }

    fn on(ip: &str, status: Option<u16>) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let (at, heard) = (socket.local_addr().unwrap(), Arc::<AtomicUsize>::default());
        let counter = Arc::downgrade(&heard);
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 65_535];
            loop {
                let Some(counter) = counter.upgrade() else { return };
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if text.starts_with("ACK ") {
                    continue;
                }
                counter.fetch_add(1, Ordering::Relaxed);
                if let Some(status) = status {
                    socket.send_to(answer(&text, status).as_bytes(), from).unwrap();
                }
            }
        });
        Self { at, heard }
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

fn answer(request: &str, status: u16) -> String {
    let kept = ["Via:", "From:", "Call-ID:", "CSeq:"];
    let lines = request.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    let mut text = format!("SIP/2.0 {status} Said\r\n");
    lines.for_each(|line| text += &format!("{line}\r\n"));
    let to = request.lines().find(|line| line.starts_with("To:")).unwrap();
    text + &format!("{to};tag=far\r\nContent-Length: 0\r\n\r\n")
}

/// A phone that the server trusts.
struct Phone(UdpSocket);

static NUMBER: AtomicU32 = AtomicU32::new(1);

impl Phone {
    fn of(server: &Running) -> Self {
        Self(udp_to(listener(server, Transport::Udp, V4)))
    }

    fn send(&self, method: &str, uri: &str) {
        self.0.send(self.text(method, uri).as_bytes()).unwrap();
    }

    fn text(&self, method: &str, uri: &str) -> String {
        let (number, from) = (NUMBER.fetch_add(1, Ordering::Relaxed), self.0.local_addr().unwrap());
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {from};branch=z9hG4bK-dns-{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=a{number}\r\nTo: <{uri}>\r\n\
             Call-ID: dns-{number}\r\nCSeq: 1 {method}\r\nContact: <sip:alice@{from}>\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }

    /// The next final answer, and how long it took.
    fn hear(&self) -> (u16, Duration) {
        let (start, mut buffer) = (Instant::now(), [0; 65_535]);
        self.0.set_read_timeout(Some(LONG * 2)).unwrap();
        loop {
            let length = self.0.recv(&mut buffer).expect("an answer");
            let text = String::from_utf8_lossy(&buffer[..length]);
            let status = text.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
            if status >= OK {
                return (status, start.elapsed());
            }
        }
    }

    fn ask(&self, method: &str, uri: &str) -> (u16, Duration) {
        self.send(method, uri);
        self.hear()
    }

    /// A message that must arrive at once.
    fn reaches(&self, uri: &str) {
        let (status, after) = self.ask("MESSAGE", uri);
        assert!(status == OK && after < FAST, "{uri}: {status} after {after:?}");
    }

    /// A message that cannot be delivered, and fails in time.
    fn fails(&self, uri: &str) -> Duration {
        let (status, after) = self.ask("MESSAGE", uri);
        assert!(status == SERVER_ERROR && after < IN_TIME, "{uri}: {status} after {after:?}");
        after
    }
}

/// A domain whose NAPTR, SRV and address records lead to `port` on this machine.
fn whole(name: &str, kind: RecordType, port: u16) -> Reply {
    match (name, kind) {
        ("a.test", RecordType::NAPTR) => {
            Reply::Say(vec![naptr("a.test", "SIP+D2U", "_sip._udp.b.test")])
        }
        ("_sip._udp.b.test", RecordType::SRV) => {
            Reply::Say(vec![srv("_sip._udp.b.test", 1, port, "h.test")])
        }
        ("h.test", RecordType::A) => Reply::Say(vec![address("h.test", V4)]),
        _ => NOTHING,
    }
}

#[test]
fn naptr_srv_and_addresses_lead_to_the_next_hop() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| whole(name, kind, port));
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@a.test");
    phone.reaches("sip:bob@A.TEST.");
    phone.reaches(&format!("sip:bob@h.test:{port}"));
    assert_eq!(far.heard(), 3);
    for (name, kind) in [("a.test", RecordType::NAPTR), ("h.test", RecordType::A)] {
        assert_eq!(zone.asked(name, kind), 1, "{name} {kind} is remembered");
    }
    server.shutdown(Duration::ZERO);
}

// RFC 3263 §7: who forges an answer may take TLS off a domain, and somebody shall hear of it.
#[test]
fn a_domain_that_names_tls_no_more_raises_an_alarm() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = |is_forged: bool| {
        move |name: &str, kind| match (name, kind) {
            ("a.test", RecordType::NAPTR) => {
                let plain = naptr("a.test", "SIP+D2U", "_sip._udp.b.test");
                let secure = naptr("a.test", "sips+D2T", "_sips._tcp.b.test");
                let all = if is_forged { vec![plain] } else { vec![plain, secure] };
                Reply::Say(all.into_iter().map(|record| lasting(record, 0)).collect())
            }
            _ => whole(name, kind, port),
        }
    };
    let name_server = Zone::start(zone(false));
    let server = serve_with(&name_server);
    let phone = Phone::of(&server);
    let alarms = || server.engine().metrics().dns_tls_withdrawn.load(Ordering::Relaxed);
    for (is_forged, expected) in [(false, 0), (true, 1), (true, 1)] {
        name_server.say(zone(is_forged));
        phone.reaches("sip:bob@a.test");
        assert_eq!(alarms(), expected);
        // What it said counts for at least so long.
        thread::sleep(Duration::from_millis(2_050));
    }
    assert_eq!(name_server.asked("a.test", RecordType::NAPTR), 3);
    server.shutdown(Duration::ZERO);
}

// RFC 3263 §4.2, without NAPTR and without SRV, and over an alias that the server does not follow.
#[test]
fn every_step_may_be_missing() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.b.test", RecordType::SRV) => {
            Reply::Say(vec![alias("_sip._udp.b.test", "_sip._udp.provider.test")])
        }
        ("_sip._udp.provider.test", RecordType::SRV) => {
            Reply::Say(vec![srv("_sip._udp.provider.test", 1, port, "h.test")])
        }
        ("h.test", RecordType::A) => Reply::Say(vec![alias("h.test", "i.test")]),
        ("i.test", RecordType::A) => Reply::Say(vec![address("i.test", V4)]),
        _ => Reply::NoName,
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@b.test");
    phone.reaches(&format!("sip:bob@h.test:{port}"));
    let after = phone.fails("sip:bob@nobody.test");
    assert!(after < FAST, "what does not exist fails at once: {after:?}");
    let asked = zone.asked("nobody.test", RecordType::A);
    phone.fails("sip:bob@nobody.test");
    assert_eq!(zone.asked("nobody.test", RecordType::A), asked, "that there is nothing is known");
    server.shutdown(Duration::ZERO);
}

// K1: whatever the name server says, it costs its own caller five seconds at most, and nobody else
// anything.
#[test]
fn k1_a_hostile_name_server_costs_its_own_caller_only() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let good = || vec![address("x.test", V4)];
    let pointer_to_itself = vec![0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1];
    let circle = vec![alias("x.test", "y.test"), alias("y.test", "x.test")];
    for (what, reply) in [
        ("silence", Reply::Silence),
        ("failure", Reply::Fail),
        ("another number", Reply::WrongId(good())),
        ("another question", Reply::WrongQuestion(good())),
        ("garbage", Reply::Bytes(vec![0xff; 300])),
        ("nothing", Reply::Bytes(Vec::new())),
        ("a name that points to itself", Reply::Bytes(pointer_to_itself)),
        ("aliases in a circle", Reply::Say(circle)),
        ("an alias of itself", Reply::Say(vec![alias("x.test", "x.test")])),
        ("later than anybody waits", Reply::Late(Duration::from_secs(6), good())),
    ] {
        let zone = Zone::start(move |name, kind| match (name, kind) {
            ("x.test", RecordType::A) => reply.clone(),
            _ => whole(name, kind, port),
        });
        let server = serve_with(&zone);
        let (caller, other) = (Phone::of(&server), Phone::of(&server));
        caller.send("MESSAGE", &format!("sip:bob@x.test:{port}"));
        other.reaches("sip:bob@a.test");
        let (status, after) = caller.hear();
        assert!(status == SERVER_ERROR && after < IN_TIME, "{what}: {status} after {after:?}");
        other.reaches("sip:bob@a.test");
        server.shutdown(Duration::ZERO);
    }
}

// K1: records that nobody asked for go nowhere, and do not stay.
#[test]
fn k1_poison_is_not_taken() {
    let (far, thief) = (Far::answering(OK), Far::on("127.0.0.66", Some(OK)));
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("evil.test", RecordType::A) => {
            let poison = vec![address("h.test", "127.0.0.66"), address("evil.test", "127.0.0.66")];
            Reply::Stuffed(vec![address("h.test", "127.0.0.66")], poison)
        }
        _ => whole(name, kind, port),
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.fails(&format!("sip:bob@evil.test:{}", thief.at.port()));
    phone.reaches("sip:bob@a.test");
    assert_eq!((far.heard(), thief.heard()), (1, 0));
    server.shutdown(Duration::ZERO);
}

// K1: a thousand SRV records, by stream because they fit no datagram.
#[test]
fn k1_an_enormous_answer_is_cut() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.big.test", RecordType::SRV) => {
            let record = |n| srv("_sip._udp.big.test", n, port, &format!("h{n}.test"));
            Reply::Truncated((0..1_000).map(record).collect())
        }
        (host, RecordType::A) if host.starts_with('h') => Reply::Say(vec![address(host, V4)]),
        _ => NOTHING,
    });
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@big.test");
    let asked: usize = (0..1_000).map(|n| zone.asked(&format!("h{n}.test"), RecordType::A)).sum();
    assert!((1..=8).contains(&asked), "{asked} hosts were looked up");
    assert_eq!(far.heard(), 1);
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_hundred_callers_ask_once() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("h.test", RecordType::A) => {
            Reply::Late(Duration::from_millis(300), vec![address("h.test", V4)])
        }
        _ => whole(name, kind, port),
    });
    let server = serve_with(&zone);
    let phones: Vec<_> = (0..100).map(|_| Phone::of(&server)).collect();
    phones.iter().for_each(|phone| phone.send("MESSAGE", "sip:bob@a.test"));
    phones.iter().for_each(|phone| assert_eq!(phone.hear().0, OK));
    assert_eq!(far.heard(), 100);
    assert_eq!(zone.asked("h.test", RecordType::A), 1);
    server.shutdown(Duration::ZERO);
}

// K2: what was known still is when the name service goes; who asks for something new hears so in
// time, and nobody waits for it.
#[test]
fn k2_a_name_service_that_is_gone_stops_nobody_else() {
    let far = Far::answering(OK);
    let port = far.at.port();
    let short = move |name: &str, kind| match whole(name, kind, port) {
        Reply::Say(records) => {
            Reply::Say(records.into_iter().map(|record| lasting(record, 1)).collect())
        }
        other => other,
    };
    let zone = Zone::start(short);
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    phone.reaches("sip:bob@a.test");
    zone.say(|_, _| Reply::Silence);
    thread::sleep(Duration::from_millis(2_100));
    // More than the server has threads, many times over.
    let waiting: Vec<_> = (0..100).map(|_| Phone::of(&server)).collect();
    for (n, waiting) in waiting.iter().enumerate() {
        waiting.send("MESSAGE", &format!("sip:bob@new{n}.test"));
    }
    for _ in 0..50 {
        phone.reaches(&format!("sip:bob@{}", far.at));
    }
    // What is over serves on: the first one waits for the name service, the others no more.
    let (status, after) = phone.ask("MESSAGE", "sip:bob@a.test");
    assert!(status == OK && after < IN_TIME, "{status} after {after:?}");
    phone.reaches("sip:bob@a.test");
    for waiting in &waiting {
        let (status, after) = waiting.hear();
        assert!(status == SERVER_ERROR && after < IN_TIME, "{status} after {after:?}");
    }
    // Back again.
    zone.say(move |name, kind| whole(name, kind, port));
    phone.reaches(&format!("sip:bob@{}", far.at));
    server.shutdown(Duration::ZERO);
}

/// Two servers for one domain.
fn pair(name: &str, kind: RecordType, ports: [u16; 2]) -> Reply {
    match (name, kind) {
        ("_sip._udp.pair.test", RecordType::SRV) => {
            let record = |(n, port)| srv(name, n, port, "h.test");
            Reply::Say((0..).zip(ports).map(record).collect())
        }
        ("h.test", RecordType::A) => Reply::Say(vec![address("h.test", V4)]),
        _ => NOTHING,
    }
}

// FT6: the first call finds out, within four seconds; those after it know, whichever partition
// they are in.
#[test]
fn ft6_a_dead_server_costs_the_first_call_four_seconds_and_the_next_nothing() {
    let (dead, far) = (Far::silent(), Far::answering(BUSY));
    let ports = [dead.at.port(), far.at.port()];
    let zone = Zone::start(move |name, kind| pair(name, kind, ports));
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    let (status, after) = phone.ask("INVITE", "sip:bob@pair.test");
    assert!(status == BUSY && after < Duration::from_secs(4), "{status} after {after:?}");
    assert!(after > Duration::from_secs(2), "the first one was tried: {after:?}");
    let heard = dead.heard();
    for _ in 0..20 {
        let (status, after) = phone.ask("INVITE", "sip:bob@pair.test");
        assert!(status == BUSY && after < FAST, "{status} after {after:?}");
    }
    // Repetitions of the first one only.
    assert!(dead.heard() <= heard + 2, "{heard}, then {}", dead.heard());
    server.shutdown(Duration::ZERO);
}

// A 503 is not waited for, and the ACK of it goes where it came from.
#[test]
fn an_overloaded_server_is_passed_over() {
    let (full, far) = (Far::answering(UNAVAILABLE), Far::answering(OK));
    let ports = [full.at.port(), far.at.port()];
    let zone = Zone::start(move |name, kind| pair(name, kind, ports));
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    (0..10).for_each(|_| phone.reaches("sip:bob@pair.test"));
    assert_eq!((full.heard(), far.heard()), (1, 10));
    server.shutdown(Duration::ZERO);
}

// What comes again goes where it went before, whatever chance or others say.
#[test]
//= RFC 3263 4.4 type=test
fn without_state_the_call_chooses_among_equal_servers() {
    let fars = [Far::answering(UNAVAILABLE), Far::answering(UNAVAILABLE)];
    let ports = fars.each_ref().map(|far| far.at.port());
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.pair.test", RecordType::SRV) => {
            Reply::Say(ports.map(|port| weighted(name, (0, 10), port, "h.test")).into())
        }
        _ => pair(name, kind, ports),
    });
    let text = "[[route]]\nname = \"onward\"\nmethods = [\"MESSAGE\"]\nmode = \"stateless\"\n";
    let routing = config::parse(Path::new("r.toml"), text).unwrap().routing;
    let server = serve(&Startup { dns: vec![zone.address], routing, ..world::startup() });
    let phone = Phone::of(&server);
    let heard = || fars.each_ref().map(Far::heard);
    // Both have failed lately, one after the other.
    phone.ask("INVITE", "sip:bob@pair.test");
    assert_eq!(heard(), [1, 1]);
    let mut chosen = [false, false];
    for _ in 0..20 {
        let before = heard();
        let asked = phone.text("MESSAGE", "sip:bob@pair.test");
        for _ in 0..4 {
            phone.0.send(asked.as_bytes()).unwrap();
            assert_eq!(phone.hear().0, UNAVAILABLE, "it passes as it came");
        }
        let at = [0, 1].map(|at| heard()[at] - before[at]);
        assert!(at == [4, 0] || at == [0, 4], "{at:?}");
        chosen[usize::from(at[1] > 0)] = true;
    }
    assert_eq!(chosen, [true, true]);
    server.shutdown(Duration::ZERO);
}

// K3, F3: each use is checked, whatever the name service said before.
#[test]
fn k3_an_answer_that_changes_outruns_no_check() {
    let (open, inside) = (Far::on("127.0.0.2", Some(OK)), Far::on("127.0.0.9", Some(OK)));
    // The port of the canary answers at its own address only.
    let [open_port, inside_port] = [open.at.port(), inside.at.port()];
    let turn = AtomicUsize::new(0);
    let zone = Zone::start(move |name, kind| match (name, kind) {
        ("_sip._udp.rebind.test", RecordType::SRV) => {
            let n = turn.fetch_add(1, Ordering::Relaxed);
            let (port, host) = [(open_port, "open.test"), (inside_port, "inside.test")][n % 2];
            Reply::Say(vec![lasting(srv(name, 1, port, host), 0)])
        }
        ("open.test", RecordType::A) => Reply::Say(vec![address(name, "127.0.0.2")]),
        ("inside.test", RecordType::A) => Reply::Say(vec![address(name, "127.0.0.9")]),
        ("both.test", RecordType::A) => {
            Reply::Say(vec![address(name, "127.0.0.9"), address(name, "127.0.0.2")])
        }
        _ => NOTHING,
    });
    let mut startup = Startup { dns: vec![zone.address], ..world::startup() };
    // The phone alone is trusted; of this machine one address may be called.
    let phone = UdpSocket::bind((V4, 0)).unwrap();
    startup.peers[0].networks = vec![(V4.parse().unwrap(), 32)];
    startup.settings.reach = vec![("127.0.0.2".parse().unwrap(), 32)];
    let server = serve(&startup);
    phone.connect(listener(&server, Transport::Udp, V4)).unwrap();
    let phone = Phone(phone);
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(phone.ask("MESSAGE", "sip:bob@rebind.test").0);
        // Longer than any answer counts that shall count for no time.
        thread::sleep(Duration::from_millis(2_100));
    }
    assert_eq!(statuses, [OK, FORBIDDEN]);
    phone.reaches(&format!("sip:bob@both.test:{open_port}"));
    for host in ["127.0.0.9", "inside.test", "[::ffff:127.0.0.9]"] {
        let (status, _) = phone.ask("MESSAGE", &format!("sip:bob@{host}:{inside_port}"));
        assert_eq!(status, FORBIDDEN, "{host}");
    }
    assert_eq!((open.heard(), inside.heard()), (2, 0));
    server.shutdown(Duration::ZERO);
}

/// The program as a process; it is killed when this is dropped.
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    fn start(dns: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[server]\nlisten = [\"udp:127.0.0.1:0\"]\n[dns]\nservers = [\"{dns}\"]\n\
             [[peer]]\nname = \"phones\"\nnetworks = [\"127.0.0.0/8\"]\ntrust_udp = true\n"
        );
        std::fs::write(folder.path().join("ringway.toml"), config).unwrap();
        let mut command = command(&folder, &["serve"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), folder }
    }

    fn json(&self, words: &[&str]) -> Option<Value> {
        let output = command(&self.folder, &[&["-o", "json"], words].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).ok()
    }

    fn address(&self) -> SocketAddr {
        let end = Instant::now() + LONG;
        loop {
            let status = self.json(&["status"]).filter(|s| s["process"] == self.child.id());
            if let Some(status) = status {
                return status["listeners"][0]["address"].as_str().unwrap().parse().unwrap();
            }
            assert!(Instant::now() < end, "it does not start");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.env_clear().env("RINGWAY_CONFIG", folder.path().join("ringway.toml"));
    command.env("RINGWAY_DATA_DIR", folder.path().join("data")).args(words);
    command
}

// The program itself, from its configuration to what it tells about a route.
#[test]
fn ringway_serve_fails_over_and_explains_where_names_lead() {
    let (dead, far) = (Far::silent(), Far::answering(BUSY));
    let ports = [dead.at.port(), far.at.port()];
    let zone = Zone::start(move |name, kind| pair(name, kind, ports));
    let process = Process::start(zone.address);
    let phone = Phone(udp_to(process.address()));
    let add = command(&process.folder, &["account", "add", "alice@example.org"]).output().unwrap();
    assert!(add.status.success(), "{}", String::from_utf8_lossy(&add.stderr));
    let look_up = |to: &str| -> Vec<String> {
        let route = ["route", "explain", "--from", "alice@example.org", "--to", to];
        let route = process.json(&route).unwrap();
        let steps = route["steps"].as_array().unwrap().iter();
        let of_it = steps.filter(|step| step["step"] == "look-up");
        of_it.map(|step| step["found"].as_str().unwrap().to_owned()).collect()
    };
    let [first, second] = [dead.at, far.at].map(|at| format!("udp {at}"));
    assert_eq!(look_up("sip:bob@pair.test"), [first.clone(), second.clone()]);
    let (status, after) = phone.ask("INVITE", "sip:bob@pair.test");
    assert!(status == BUSY && after < Duration::from_secs(4), "{status} after {after:?}");
    let (status, after) = phone.ask("INVITE", "sip:bob@pair.test");
    assert!(status == BUSY && after < FAST, "{status} after {after:?}");
    let failed = format!("{first}, which failed lately");
    assert_eq!(look_up("sip:bob@pair.test"), [second, failed]);
    assert_eq!(look_up("sip:bob@nobody.test"), ["nobody.test leads nowhere"]);
}

/// A port of this machine where nobody listens.
fn closed(ip: &str) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

// RFC 3263 §4.3, "fatal ICMP errors": a machine that says that nobody listens is not waited for.
#[test]
fn a_datagram_that_is_refused_fails_over_at_once() {
    let (gone, far) = (closed(V4), Far::answering(BUSY));
    let ports = [gone.port(), far.at.port()];
    let zone = Zone::start(move |name, kind| pair(name, kind, ports));
    let server = serve_with(&zone);
    let phone = Phone::of(&server);
    for method in ["INVITE", "MESSAGE"] {
        let (status, after) = phone.ask(method, "sip:bob@pair.test");
        assert!(status == BUSY && after < FAST, "{method}: {status} after {after:?}");
    }
    for alone in [closed(V4), closed(V6)] {
        let (status, after) = phone.ask("INVITE", &format!("sip:bob@{alone}"));
        assert!(status == SERVER_ERROR && after < FAST, "{alone}: {status} after {after:?}");
    }
    server.shutdown(Duration::ZERO);
}
