//! `ringway demo` as a newcomer runs it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use ringway_core::flow::Transport;
use ringway_server::demo::{Drawing, Phone, Profile, Stage, Style, Trace, Verdict, play};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The demo, with its temporary data in a folder of the test.
fn demo(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("demo").args(arguments).env("TMPDIR", folder.path()).env("LC_ALL", "C.UTF-8");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn once(locale: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(&folder, arguments).arg("--once").env("LC_ALL", locale).output().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    output
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn a_call_is_shown_as_it_happens_and_judged() {
    let output = once("C.UTF-8", &[]);
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{shown}{errors}");
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!shown.contains('\x1b'), "no colours where no terminal is");
    let mut rest = shown;
    for step in [
        "alice and bob register",
        "─ REGISTER ─",
        "─ 401 Unauthorized ─",
        "─ REGISTER · digest ─",
        "─ 200 OK ─",
        "alice calls bob",
        "─ INVITE · SDP ─",
        "─ 407 Proxy Authentication… ─",
        "─ ACK ─",
        "─ INVITE · digest · SDP ─",
        "─ 180 Ringing ─",
        "─ 200 OK · SDP ─",
        "─ ACK · digest ─",
        "═ RTP · 75 packets sent, ",
        "═ RTP · 75 packets sent, ",
        "─ BYE ─",
        "─ 200 OK ─",
        "both take their registrations back",
        "─ REGISTER · digest ─",
        "✔ registered   alice over UDP/IPv4 in ",
        "✔ ringing      ",
        "✔ answered     ",
        "✔ talked       ",
        "✔ ended        by bob",
        "✔ unregistered both",
    ] {
        let Some(at) = rest.find(step) else { panic!("no {step:?} in {rest}\nof {shown}") };
        rest = &rest[at + step.len()..];
    }
    assert!(!shown.contains("✘"), "{shown}");
}

#[test]
fn plain_terminals_get_plain_text() {
    let output = once("C", &[]);
    let shown = text(&output.stdout);
    assert!(output.status.success() && shown.is_ascii(), "{shown}");
    assert!(shown.contains("- INVITE + SDP -") && shown.contains(" ok ended"), "{shown}");
}

#[test]
fn programs_get_the_verdict_as_json() {
    let output = once("C", &["-o", "json"]);
    let verdict: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(verdict["ok"], true, "{verdict}");
    let registered = verdict["registered"].as_array().unwrap();
    let kinds: Vec<_> = registered.iter().map(|phone| phone["transport"].as_str()).collect();
    assert_eq!(kinds, [Some("udp"), Some("tcp")]);
    let ringing = verdict["ringing_after_ms"].as_f64().unwrap();
    let answered = verdict["answered_after_ms"].as_f64().unwrap();
    assert!(ringing > 0.0 && answered >= ringing + 400.0, "bob lets it ring: {verdict}");
    for (way, (from, to)) in [("alice", "bob"), ("bob", "alice")].into_iter().enumerate() {
        let sound = &verdict["sound"][way];
        assert_eq!((&sound["from"], &sound["to"]), (&from.into(), &to.into()));
        assert_eq!((&sound["packets_sent"], &sound["tone_heard"]), (&75.into(), &true.into()));
    }
    assert_eq!(verdict["ended_by"], "bob");
    assert_eq!(verdict["failure"], Value::Null);
    assert_eq!(verdict["serving"], Value::Null);
}

#[test]
fn the_quiet_hear_of_failures_only() {
    let output = once("C", &["-q"]);
    assert!(output.status.success());
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn without_a_place_for_data_there_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let output = demo(&folder, &["--once"]).env("TMPDIR", &nowhere).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = text(&output.stderr);
    assert!(
        errors.contains("no place for temporary data") && errors.lines().count() == 1,
        "{errors}"
    );
}

/// Plays the story with what a newcomer may get wrong.
fn play_with(change: impl Fn(&mut [Profile; 2])) -> (Verdict, String) {
    let stage = Stage::set().unwrap();
    let profile = |nth, transport| stage.profile(nth, transport, false).unwrap();
    let mut profiles = [profile(0, Transport::Udp), profile(1, Transport::Tcp)];
    change(&mut profiles);
    let mut shown = Vec::new();
    let style = Style { unicode: false, colour: false };
    let verdict = play(profiles, &mut Drawing::new(&mut shown, style, "alice"));
    stage.clear(Duration::ZERO).unwrap();
    (verdict, String::from_utf8(shown).unwrap())
}

#[test]
fn what_fails_is_said_and_how_far_it_came_is_shown() {
    let (verdict, shown) = play_with(|[_, bob]| bob.password = "guessed".into());
    assert!(!verdict.is_good());
    let failure = verdict.failure.as_deref().unwrap();
    assert!(failure.starts_with("bob was refused: 401 Unauthorized to REGISTER, "), "{failure}");
    assert!(failure.ends_with(" s after it was switched on"), "{failure}");
    let registered: Vec<_> = verdict.registered.iter().map(|phone| &*phone.user).collect();
    assert_eq!(registered, ["alice"]);
    assert!(verdict.ringing.is_none() && verdict.sound.is_none() && !verdict.unregistered);
    assert_eq!(shown.matches("401 Unauthorized").count(), 3, "{shown}");

    // Nobody is called mallory.
    let (verdict, shown) = play_with(|[alice, _]| alice.user = "mallory".into());
    assert!(verdict.failure.unwrap().starts_with("mallory was refused: 401 "));
    assert!(!shown.contains("200 OK"), "{shown}");
}

/// A demo that serves on, and what it says.
struct Serving {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Serving {
    fn start(folder: &TempDir) -> Self {
        let mut child = demo(folder, &[]).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads up to a line with this text in it, and hands it out.
    fn read_to(&mut self, wanted: &str) -> String {
        let mut lines = self.lines.by_ref().map(|line| line.unwrap());
        lines.find(|line| line.contains(wanted)).unwrap_or_else(|| panic!("no {wanted:?}"))
    }

    /// The two words behind a name in the table.
    fn read_row(&mut self, name: &str) -> [String; 2] {
        let line = self.read_to(&format!("     {name} "));
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        [words[1].clone(), words.last().unwrap().clone()]
    }

    /// Sends a signal, and tells how it ended.
    fn signal(mut self, name: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let mut errors = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(errors, "");
        status.code()
    }
}

#[test]
fn ones_own_phones_attach_as_it_says_and_ctrl_c_ends_it_without_a_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut serving = Serving::start(&folder);
    let users = serving.read_row("user");
    let passwords = serving.read_row("password");
    let [v4, v6] = serving.read_row("server").map(|text| text.parse::<SocketAddr>().unwrap());
    for command in [["account", "add"].as_slice(), &["serve"]] {
        let line = serving.read_to(&format!(" {}", command.join(" ")));
        assert!(line.contains("ringway "), "{line}");
        let known =
            Command::new(env!("CARGO_BIN_EXE_ringway")).args(command).arg("--help").output();
        assert!(known.unwrap().status.success(), "what it says to type exists: {line}");
    }
    serving.read_to("What your phones do");
    let trace = Trace::default();
    let attach = |nth: usize, (transport, server): (_, SocketAddr), domain: &str| {
        let (user, password) = (users[nth].clone(), passwords[nth].clone());
        let profile = Profile { user, password, domain: domain.into(), server, transport };
        let mut phone = Phone::switch_on(profile, &trace).unwrap();
        phone.register(60).unwrap();
        phone
    };
    let mut alice = attach(0, (Transport::Tcp, v4), &v4.to_string());
    serving.read_to("alice registered a phone at 127.0.0.1:");
    let mut bob = attach(1, (Transport::Udp, v6), "demo.test");
    serving.read_to("bob registered a phone at ");
    let outgoing = alice.invite(&format!("sip:bob@{v4}"), None).unwrap();
    let incoming = bob.hear_call().unwrap();
    serving.read_to("alice calls bob");
    let bobs = bob.accept(&incoming, None).unwrap();
    let alices = alice.hear_answer(outgoing).unwrap().dialog;
    bob.hear_ack(&bobs).unwrap();
    let bye = alice.hang_up(&alices).unwrap();
    bob.hear_hang_up(&bobs).unwrap();
    alice.hear_farewell(&bye).unwrap();
    serving.read_to("alice calls bob: the caller hung up");

    assert_ne!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(serving.signal("-INT"), Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn whoever_ends_it_during_the_call_leaves_nothing_behind_either() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut serving = Serving::start(&folder);
        serving.read_to("180 Ringing");
        assert_eq!(serving.signal(signal), Some(130), "{signal}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
    }
}
