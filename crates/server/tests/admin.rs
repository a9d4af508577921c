//! The program as an administrator runs it: commands as processes, a server as a process, phones
//! that log in with digest, and kill -9.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use ringway_core::identity::{Asked, Login};
use serde_json::Value;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// A folder with a configuration and data.
struct Home {
    folder: TempDir,
}

/// A server process; it is killed when this is dropped.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How a command ended.
struct Done {
    code: i32,
    out: String,
    said: String,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = "[server]\nlisten = [\"udp:127.0.0.1:0\"]\n";
        std::fs::write(folder.path().join("ringway.toml"), config).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
        command.env_clear().env("RINGWAY_CONFIG", self.path("ringway.toml"));
        command.env("RINGWAY_DATA_DIR", self.path("data")).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Done {
        self.run_with(words, "")
    }

    fn run_with(&self, words: &[&str], input: &str) -> Done {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut stdin = process.stdin.take().unwrap();
        let output = thread::scope(|scope| {
            // One that refuses what it is told does not read to the end.
            scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
            process.wait_with_output().unwrap()
        });
        Done {
            code: output.status.code().expect("not killed"),
            out: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The output of a command that must succeed, as JSON.
    fn json(&self, words: &[&str]) -> Value {
        let done = self.run(&[&["-o", "json"], words].concat());
        assert_eq!(done.code, 0, "{words:?}: {}", done.said);
        serde_json::from_str(&done.out).unwrap()
    }

    /// Makes an account, and hands out its password.
    fn add(&self, account: &str) -> String {
        self.json(&["account", "add", account])["password"].as_str().unwrap().into()
    }

    fn serve(&self) -> Server {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log"));
        let mut command = self.command(&["serve", "-v"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
        let mut process = command.spawn().unwrap();
        let end = Instant::now() + LONG;
        loop {
            let status = self.run(&["status", "-o", "json"]);
            if status.code == 0 {
                let status: Value = serde_json::from_str(&status.out).unwrap();
                if status["process"] == process.id() {
                    let address = status["listeners"][0]["address"].as_str().unwrap();
                    return Server { process, address: address.parse().unwrap() };
                }
            }
            let ended = process.try_wait().unwrap();
            let log = || std::fs::read_to_string(self.path("log")).unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{ended:?}: {}", log());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Server {
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A phone that registers as a person would have it do.
struct Phone {
    socket: UdpSocket,
    server: SocketAddr,
    requests: u32,
    expires: u32,
}

impl Phone {
    fn of(server: &Server) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        Self { socket, server: server.address, requests: 0, expires: 3_600 }
    }

    fn contact(&self) -> String {
        format!("sip:phone@{}", self.socket.local_addr().unwrap())
    }

    /// The status that a REGISTER with this password gets in the end.
    fn register(&mut self, user: &str, password: &str) -> u16 {
        let uri = format!("sip:{}", user.split('@').nth(1).unwrap());
        let challenge = self.ask(user, &uri, "");
        assert_eq!(status_of(&challenge), 401, "{challenge}");
        let values = challenge.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
        let name = user.split('@').next().unwrap();
        let login = Login { user: name.as_bytes(), password: password.as_bytes() };
        let asked = Asked { method: b"REGISTER", uri: uri.as_bytes(), cnonce: b"0a4f", nc: 1 };
        let answer = login.respond(values.map(str::as_bytes), asked).expect("a known algorithm");
        let answer = format!("Authorization: {}\r\n", String::from_utf8(answer).unwrap());
        status_of(&self.ask(user, &uri, &answer))
    }

    fn ask(&mut self, user: &str, uri: &str, authorization: &str) -> String {
        self.requests += 1;
        let (number, local) = (self.requests, self.socket.local_addr().unwrap());
        let text = format!(
            "REGISTER {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {local};branch=z9hG4bK{number};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}>;tag=t\r\nTo: <sip:{user}>\r\n\
             Call-ID: {local}\r\nCSeq: {number} REGISTER\r\n\
             Contact: <{}>;expires={}\r\n{authorization}Content-Length: 0\r\n\r\n",
            self.contact(),
            self.expires
        );
        self.socket.send_to(text.as_bytes(), self.server).unwrap();
        let mut buffer = [0; 4_096];
        let (length, _) = self.socket.recv_from(&mut buffer).expect("an answer");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }
}

fn status_of(response: &str) -> u16 {
    response.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
}

#[test]
fn changes_of_accounts_take_effect_at_once() {
    let home = Home::new();
    let server = home.serve();
    let mut phone = Phone::of(&server);
    let first = home.add("alice@example.org");
    assert_eq!(phone.register("alice@example.org", &first), 200);
    let rows = home.json(&["registrations"]);
    assert_eq!(rows[0]["contact"], phone.contact());
    assert_eq!(rows.as_array().map(Vec::len), Some(1));

    let second = home.json(&["account", "passwd", "alice@example.org"]);
    let second = second["password"].as_str().unwrap().to_owned();
    assert_eq!(phone.register("alice@example.org", &first), 401, "the old one is no good");
    assert_eq!(phone.register("alice@example.org", &second), 200);
    let own = "an own-password:9x";
    let words = ["account", "passwd", "alice@example.org", "--password-stdin"];
    let done = home.run_with(&words, &format!("{own}\n"));
    assert_eq!((done.code, &*done.out), (0, "changed alice@example.org\n"));
    assert_eq!(phone.register("alice@example.org", &second), 401);
    assert_eq!(phone.register("alice@example.org", own), 200);

    let done = home.run(&["account", "rm", "alice@example.org"]);
    assert_eq!((done.code, &*done.out), (0, "removed alice@example.org\n"));
    assert_eq!(home.json(&["registrations"]), serde_json::json!([]));
    // The domain went with its only account.
    assert_eq!(status_of(&phone.ask("alice@example.org", "sip:example.org", "")), 403);
    let third = home.add("alice@example.org");
    assert_eq!(home.json(&["registrations"]), serde_json::json!([]), "nothing came back");
    assert_eq!(phone.register("alice@example.org", own), 401);
    assert_eq!(phone.register("alice@example.org", &third), 200);

    drop(server);
    for file in ["log", "data/ringway.db", "data/ringway.db-wal"] {
        let bytes = std::fs::read(home.path(file)).unwrap_or_default();
        for secret in [&first, &second, own, &third] {
            let found = bytes.windows(secret.len()).any(|some| some == secret.as_bytes());
            assert!(!found, "a password is in {file}");
        }
    }
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    for event in ["account_added", "password_changed", "account_removed"] {
        let told = log.lines().any(|line| line.contains(event) && line.contains("alice@example"));
        assert!(told, "{event} in\n{log}");
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9() {
    let home = Home::new();
    let mut passwords: Vec<(String, String)> = Vec::new();
    for round in 0..8 {
        let server = home.serve();
        let rows = home.json(&["registrations"]);
        let names: Vec<&str> =
            rows.as_array().unwrap().iter().map(|row| row["account"].as_str().unwrap()).collect();
        let expected: Vec<&str> = passwords.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, expected, "round {round}");
        if let Some((name, password)) = passwords.first() {
            assert_eq!(Phone::of(&server).register(name, password), 200, "it knows its accounts");
            let rm = home.run(&["account", "rm", name]);
            assert_eq!(rm.code, 0, "{}", rm.said);
            passwords.remove(0);
        }
        for n in 0..2 {
            let name = format!("u{round}-{n}@example.org");
            let password = home.add(&name);
            assert_eq!(Phone::of(&server).register(&name, &password), 200);
            passwords.push((name, password));
        }
        // Nothing lies between the 200 and the end.
        server.kill();
        assert!(home.path("data/ringway.sock").exists(), "what the crash left is no obstacle");
    }
}

// Decision 0024: a refresh needs no commit of its own, and what it was told holds all the same.
#[test]
fn a_refresh_without_a_commit_holds_after_kill_9() {
    let home = Home::new();
    let password = home.add("bob@example.org");
    let server = home.serve();
    let mut phone = Phone::of(&server);
    phone.expires = 1_800;
    assert_eq!(phone.register("bob@example.org", &password), 200);
    let end = || home.json(&["registrations"])[0]["expires_at_s"].as_u64().unwrap();
    let committed = end();
    let log = || std::fs::read(home.path("data/ringway.db-wal")).unwrap();
    let before = log();
    // Later than the end that is on disk, and still within its lease.
    phone.expires = 2_700;
    assert_eq!(phone.register("bob@example.org", &password), 200);
    assert!(log() == before, "nothing was written for it");
    let acknowledged = end();
    assert!(acknowledged > committed + 300, "{committed} {acknowledged}");
    server.kill();
    let server = home.serve();
    let rows = home.json(&["registrations"]);
    assert_eq!(rows[0]["contact"], phone.contact());
    assert!(rows[0]["expires_at_s"].as_u64().unwrap() >= acknowledged, "{rows}");
    // It takes itself back, which is committed: nothing comes back after that.
    phone.server = server.address;
    phone.expires = 0;
    assert_eq!(phone.register("bob@example.org", &password), 200);
    server.kill();
    let _server = home.serve();
    assert_eq!(home.json(&["registrations"]), serde_json::json!([]));
}

#[test]
fn accounts_are_made_without_a_server_and_known_to_it_later() {
    let home = Home::new();
    let password = home.add("bob@example.org");
    assert_eq!(home.run(&["status"]).code, 4);
    assert_eq!(home.run(&["calls"]).code, 4);
    let told = home.json(&["route", "explain", "--from", "bob@example.org", "--to", "bob"]);
    assert_eq!(told["refusal"]["status"], 480);
    let server = home.serve();
    let mut phone = Phone::of(&server);
    assert_eq!(phone.register("bob@example.org", &password), 200);
    let told = home.json(&["route", "explain", "--from", "bob@example.org", "--to", "bob"]);
    assert_eq!(told["groups"][0]["branches"][0]["target"], phone.contact());
    assert_eq!(home.json(&["calls"]), serde_json::json!([]));
}

#[test]
fn two_administrators_at_once_lose_nothing() {
    let home = Home::new();
    let both = |round: &str| {
        thread::scope(|scope| {
            for admin in ["a", "b"] {
                let home = &home;
                scope.spawn(move || {
                    for n in 0..8 {
                        home.add(&format!("{round}-{admin}{n}@example.org"));
                    }
                });
            }
        });
    };
    both("stopped");
    let server = home.serve();
    both("running");
    assert_eq!(home.json(&["account", "list"]).as_array().map(Vec::len), Some(32));
    drop(server);
    assert_eq!(home.json(&["account", "list"]).as_array().map(Vec::len), Some(32));
}

#[test]
fn an_import_tells_what_it_refused() {
    let home = Home::new();
    let good = "k7mPq2xW9zRt";
    let text = format!(
        "\u{feff}# ours\r\n\r\nalice@example.org,{good}\r\nbob@example.org,1234\r\n\
         carol@example.org,HA1=543e1aec5d3614f03141652d6ada51b2\r\nalice@example.org,{good}\r\n"
    );
    let done = home.run_with(&["account", "import", "-"], &text);
    assert_eq!(
        done.out,
        "line 4: bob@example.org: the password is weak: it has fewer than 12 characters\n\
         line 6: alice@example.org: the account stands in line 3 already\n\
         2 accounts made\n"
    );
    assert_eq!((done.code, &*done.said), (1, "ringway: 2 of 4 lines were refused\n"));
    let server = home.serve();
    std::fs::write(home.path("more.csv"), &text).unwrap();
    let file = home.path("more.csv");
    let done = home.run(&["account", "import", file.to_str().unwrap(), "--allow-weak"]);
    assert!(done.out.contains("line 3: alice@example.org: the account exists already"));
    assert!(done.out.ends_with("1 accounts made\n"), "{}", done.out);
    assert!(!done.said.contains('#'), "no bar where there is no terminal: {}", done.said);
    assert_eq!(Phone::of(&server).register("alice@example.org", good), 200);
    assert_eq!(Phone::of(&server).register("bob@example.org", "1234"), 200);
    let done = home.run(&["account", "import", "none.csv"]);
    assert_eq!(done.code, 6, "{}", done.said);
}

#[test]
fn exit_codes_are_as_documented() {
    let home = Home::new();
    home.add("alice@example.org");
    for (words, code, said) in [
        (&["account", "add", "alice@example.org"][..], 7, "there is an account"),
        (&["account", "rm", "eve@example.org"], 6, "there is no account eve@example.org"),
        (&["account", "show", "eve@example.org"], 6, "there is no account"),
        (&["registrations", "eve@example.org"], 6, "there is no account"),
        (&["account", "add", "alice"], 2, "is no account; write user@domain"),
        (&["account", "add", "a@x", "--allow-weak"], 2, "--password-stdin"),
        (&["account", "add", "a@x", "--password-stdin"], 1, "the password is empty"),
        (&["account", "eat"], 2, "unrecognized subcommand"),
        (&["status"], 4, "no server runs at"),
        (&["--data", "/proc/none", "account", "list"], 5, "cannot write to"),
    ] {
        let done = home.run(words);
        assert_eq!(done.code, code, "{words:?}: {}", done.said);
        assert!(done.said.contains(said), "{words:?}: {}", done.said);
        assert_eq!(done.out, "", "{words:?}");
    }
    // The data of a server whose control socket is somewhere else.
    let server = home.serve();
    let config = "[server]\nlisten = [\"udp:127.0.0.1:0\"]\ncontrol = \"/nowhere/c\"\n";
    std::fs::write(home.path("other.toml"), config).unwrap();
    let other = home.path("other.toml");
    let done = home.run(&["-c", other.to_str().unwrap(), "account", "list"]);
    assert_eq!(done.code, 4, "{}", done.said);
    let process = format!("in use by process {}", server.process.id());
    assert!(done.said.contains(&process), "{}", done.said);
}

#[test]
fn whoever_reads_only_the_beginning_is_no_trouble() {
    let home = Home::new();
    for n in 0..3 {
        home.add(&format!("u{n}@example.org"));
    }
    let mut command = home.command(&["account", "list"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}
