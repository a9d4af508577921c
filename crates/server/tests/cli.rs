//! The program as a person meets it: what it says, and how it ends.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use world::LONG;

fn ringway(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    for name in ["RINGWAY_CONFIG", "RINGWAY_DATA_DIR", "RINGWAY_LOG"] {
        command.env_remove(name);
    }
    command.args(["--data".as_ref(), folder.join("data").as_os_str()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Writes a configuration and runs `serve` on it until it ends by itself.
fn serve_and_fail(folder: &Path, config: &str) -> Output {
    let file = folder.join("ringway.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = ringway(folder);
    command.arg("-c").arg(&file);
    finish(command.spawn().unwrap())
}

fn finish(mut child: Child) -> Output {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > LONG {
            child.kill().unwrap();
            panic!("it runs on: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

/// A server that runs, with its log read as far as needed.
struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Serving {
    fn start(folder: &Path, config: &str) -> Self {
        let file = folder.join("ringway.toml");
        std::fs::write(&file, config).unwrap();
        let mut child = ringway(folder).arg("-c").arg(&file).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The next log line that holds this.
    fn wait_for(&mut self, what: &str) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "it ended without saying {what}");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

#[test]
fn help_fits_a_terminal_and_mistakes_are_usage() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["--help"][..], &["-h"], &["check", "--help"], &["serve", "--help"]] {
        let output = ringway(folder.path()).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Usage: ringway"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    let output = ringway(folder.path()).arg("chekc").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("similar subcommand exists: 'check'"), "{}", said(&output));
    let output = ringway(folder.path()).env("RINGWAY_LOG", "loud").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    for shell in ["bash", "zsh", "fish"] {
        let output = ringway(folder.path()).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("ringway") && script.contains("completions"), "{shell}");
    }
}

#[test]
fn check_says_what_is_wrong_or_what_would_be_done() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.toml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let mut command = ringway(folder.path());
        command.args(["check", "-c"]).arg(&file).args(more).output().unwrap()
    };
    let wrong = check("[server]\nlisen = 1\n", &[]);
    assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(3), 0));
    assert!(said(&wrong).contains("r.toml:2:1"), "{}", said(&wrong));
    assert!(said(&wrong).contains("did you mean \"listen\"?"), "{}", said(&wrong));

    let good = "[server]\ndomains = [\"example.org\"]\nlisten = [\"udp:[::1]:5060\"]\n";
    let told = check(good, &[]);
    assert_eq!((told.status.code(), said(&told).as_str()), (Some(0), ""));
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("udp [::1]:5060") && text.contains("example.org"), "{text}");
    let told = check(good, &["-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(json["listen"][0], "udp [::1]:5060");
    assert_eq!(check(good, &["-q"]).stdout, b"");

    let none = ringway(folder.path()).args(["check", "-c", "/nowhere.toml"]).output().unwrap();
    assert_eq!(none.status.code(), Some(3));
    assert_eq!(
        said(&none),
        "error: cannot read the configuration /nowhere.toml: there is no such file"
    );
}

#[test]
fn without_a_free_port_or_folder_it_says_so_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = |port: u16| format!("[server]\nlisten = [\"udp:127.0.0.1:{port}\"]\n");
    let output = serve_and_fail(folder.path(), &listen(port));
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        said(&output),
        format!(
            "ringway: cannot start: another program already listens on udp 127.0.0.1:{port}; \
             stop it, or set `listen` under [server] to another port"
        )
    );
    let output = serve_and_fail(folder.path(), "[server]\nlisten = [\"udp:192.0.2.99:5060\"]\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        said(&output).lines().last().unwrap(),
        "ringway: cannot start: 192.0.2.99 is no address of this machine; set `listen` under \
         [server] to one that is"
    );

    let mut first = Serving::start(folder.path(), &listen(0));
    first.wait_for("event=ready");
    let output = serve_and_fail(folder.path(), &listen(0));
    assert_eq!(output.status.code(), Some(7));
    assert!(said(&output).contains("in use by another ringway"), "{output:?}");
    assert_eq!(said(&output).lines().count(), 1, "{output:?}");
    first.signal("-TERM");
    assert_eq!(first.end().0, Some(0));
}

/// Runs `serve` as the user nobody where the tests run as root, else as who runs them. The error
/// is that nobody may not even start it: the folder of the build is closed.
fn serve_as_nobody(file: &Path, data: &Path) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    command.arg("--data").arg(data).arg("-c").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if nix::unistd::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    command.spawn().map(finish)
}

#[test]
fn without_rights_it_says_so_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = folder.path().join("r.toml");
    std::fs::write(&file, "[server]\nlisten = [\"udp:127.0.0.1:0\"]\n").unwrap();
    let output = match serve_as_nobody(&file, Path::new("/proc/none")) {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return eprintln!("skipped: the folder of the build is closed to the user nobody");
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(said(&output).starts_with("ringway: cannot start: cannot write to /proc/none"));
    assert_eq!(said(&output).lines().count(), 1, "{output:?}");

    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if lowest.trim().parse::<u16>().unwrap() <= 99 {
        return eprintln!("skipped in part: here everybody may listen on low ports");
    }
    std::fs::write(&file, "[server]\nlisten = [\"udp:127.0.0.1:99\"]\n").unwrap();
    let output = serve_as_nobody(&file, &folder.path().join("low")).unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert_eq!(
        said(&output),
        "ringway: cannot start: not allowed to listen on udp 127.0.0.1:99: ports below 1024 \
         need root or CAP_NET_BIND_SERVICE; `listen` under [server] sets another one"
    );
}

#[test]
fn a_signal_stops_it_gracefully_and_a_second_one_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[server]\nlisten = [\"udp:127.0.0.1:0\"]\n[log]\nformat = \"json\"\n\
                  [[peer]]\nname = \"test\"\nnetworks = [\"127.0.0.0/8\"]\ntrust_udp = true\n";
    for signal in ["-TERM", "-INT"] {
        let mut serving = Serving::start(folder.path(), config);
        serving.wait_for("\"ready\"");
        serving.signal(signal);
        let (code, log) = serving.end();
        assert_eq!(code, Some(0));
        assert!(log.contains("\"stopped\""), "{log}");
    }

    let mut serving = Serving::start(folder.path(), config);
    let line = serving.wait_for("\"listening\"");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let server = line["address"].as_str().unwrap();
    assert_eq!((&line["level"], &line["transport"]), (&"info".into(), &"udp".into()));
    assert!(line["ts"].is_string());
    // A request to somebody who does not answer is under way for a while.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(LONG)).unwrap();
    let caller = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (from, to) = (caller.local_addr().unwrap(), silent.local_addr().unwrap());
    let request = String::from_utf8(world::request("OPTIONS", "UDP", from, 1)).unwrap();
    let request = request.replacen("sip:example.org", &format!("sip:x@{to}"), 1);
    caller.send_to(request.as_bytes(), server).unwrap();
    let mut buffer = [0; 2_048];
    silent.recv(&mut buffer).expect("forwarded");
    serving.signal("-TERM");
    serving.wait_for("\"stopping\"");
    serving.signal("-TERM");
    assert_eq!(serving.end().0, Some(130));
}
