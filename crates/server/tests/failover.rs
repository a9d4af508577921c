//! Several next hops for one name: what is done when one of them is dead, full or refuses.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod zone;
mod hops;

use hickory_proto::rr::RecordType;
use hops::{BUSY, FAST, Far, NOTHING, OK, Phone, SERVER_ERROR, UNAVAILABLE, serve_with};
use ringway_server::config;
use ringway_server::server::Startup;
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{LONG, V4, V6, serve, udp_to};
use zone::{Reply, Zone, address, srv, weighted};

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
