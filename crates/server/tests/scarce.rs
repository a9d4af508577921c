//! The program with few descriptors (row G2), what it listens on (G15), and what it says of
//! certificates before it starts.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod far;
mod links;
mod world;

use far::Authority;
use ringway_core::flow::Transport;
use ringway_server::demo::{Phone, Profile, Trace};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{LONG, call, connect_from};

struct Home(TempDir);

/// A server process; it is killed when this is dropped.
struct Server {
    process: Child,
    status: Value,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Home {
    fn new(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ringway.toml"), config).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program, started by `sh` after what is said there.
    fn command(&self, before: &str, words: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("{before} exec \"$0\" \"$@\""));
        command.arg(env!("CARGO_BIN_EXE_ringway")).args(words).env_clear();
        command.env("RINGWAY_CONFIG", self.path("ringway.toml"));
        command.env("RINGWAY_DATA_DIR", self.path("data")).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command("", words).output().unwrap()
    }

    /// The output of a command that must succeed, as JSON.
    fn json(&self, words: &[&str]) -> Value {
        let done = self.run(&[&["-o", "json"], words].concat());
        assert!(done.status.success(), "{words:?}: {done:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    fn serve(&self, before: &str) -> Server {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(before, &["serve", "-v"]);
        let mut process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let end = Instant::now() + LONG;
        loop {
            let status = self.run(&["status", "-o", "json"]);
            if status.status.success() {
                let status = serde_json::from_slice(&status.stdout).unwrap();
                return Server { process, status };
            }
            let ended = process.try_wait().unwrap();
            let log = std::fs::read_to_string(self.path("log")).unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{ended:?}: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Server {
    fn address(&self, transport: &str) -> SocketAddr {
        let listeners = self.status["listeners"].as_array().unwrap().iter();
        let mut found = listeners.filter(|listener| listener["transport"] == transport);
        found.next().unwrap()["address"].as_str().unwrap().parse().unwrap()
    }

    fn phone(&self, user: &str, password: &str) -> Phone {
        let profile = Profile {
            user: user.into(),
            password: password.into(),
            domain: "example.org".into(),
            server: self.address("tcp"),
            transport: Transport::Tcp,
        };
        let mut phone = Phone::switch_on(profile, &Trace::default()).unwrap();
        phone.register(300).unwrap();
        phone
    }
}

const ALL: &str = "[server]\ndomains = [\"example.org\"]\nlisten = [\"udp:127.0.0.1:0\", \
    \"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\", \"ws:127.0.0.1:0\", \"wss:[::1]:0\"]\n";

#[test]
fn g2_with_256_descriptors_users_the_store_and_administrators_have_theirs() {
    let home = Home::new(ALL);
    let password = |user: &str| {
        let made = home.json(&["account", "add", &format!("{user}@example.org")]);
        made["password"].as_str().unwrap().to_owned()
    };
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(password);
    let server = home.serve("ulimit -n 256;");
    let mut alice = server.phone("alice", &alice);
    let to = server.address("tcp");
    let flood: Vec<_> =
        (0..600u32).map(|n| connect_from([127, 0, 20, (n / 40) as u8], to)).collect();
    let connections = |name: &str| {
        let status = home.json(&["status"]);
        status["counters"]["connections"][name].as_u64().unwrap()
    };
    let end = Instant::now() + LONG;
    while connections("accepted") + connections("refused") < 601 {
        assert!(Instant::now() < end, "all are seen");
    }
    // All of these need one: a connection, a commit, the control socket.
    let mut bob = server.phone("bob", &bob);
    call(&mut alice, &mut bob);
    alice.register(300).unwrap();
    let status = home.json(&["status"]);
    let connections = status["connections"].as_u64().unwrap();
    assert!((100..=256 - 256 / 5).contains(&connections), "{connections}");
    let displaced = status["counters"]["connections"]["displaced"].as_u64().unwrap();
    let refused = status["counters"]["connections"]["refused"].as_u64().unwrap();
    assert!(displaced + refused >= 600 - connections, "{displaced} {refused}");
    assert_eq!(status["counters"]["connections"]["without a descriptor"], 0);
    assert_eq!(status["store"]["ok"], true);
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.process.id())).unwrap().count();
    assert!(open <= 256, "{open}");
    drop(flood);
    server.phone("carol", &carol);
}

/// The local addresses of a process's sockets that take in what anybody sends, from the tables of
/// the system.
fn listening(process: u32) -> BTreeSet<(bool, SocketAddr)> {
    let folder = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let links = folder.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let inodes: BTreeSet<String> = links
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect();
    let mut found = BTreeSet::new();
    // A listening TCP socket is in state 0A, and a UDP socket without a far side in 07.
    for (table, state) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")] {
        let text = std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap();
        for line in text.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words[3] == state && inodes.contains(words[9]) {
                found.insert((table.starts_with("udp"), address_of(words[1])));
            }
        }
    }
    found
}

/// `0100007F:13C4`: each four bytes in the order of the machine.
fn address_of(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let port = u16::from_str_radix(port, 16).unwrap();
    let words = (0..ip.len() / 8).map(|n| u32::from_str_radix(&ip[n * 8..n * 8 + 8], 16).unwrap());
    let bytes: Vec<u8> = words.flat_map(u32::to_ne_bytes).collect();
    match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(four) => SocketAddr::from((four, port)),
        Err(_) => SocketAddr::from((<[u8; 16]>::try_from(&bytes[..]).unwrap(), port)),
    }
}

#[test]
fn g15_it_listens_where_it_says_and_nowhere_else() {
    let home = Home::new(ALL);
    let server = home.serve("");
    let listeners = server.status["listeners"].as_array().unwrap();
    let said: BTreeSet<_> = listeners
        .iter()
        .map(|listener| {
            assert_eq!(listener["open_to"], "this machine", "{listener}");
            let address: SocketAddr = listener["address"].as_str().unwrap().parse().unwrap();
            (listener["transport"] == "udp", address)
        })
        .collect();
    assert_eq!(said.len(), 5);
    assert_eq!(listening(server.process.id()), said);
    let log = std::fs::read_to_string(home.path("log")).unwrap();
    for (_, address) in said {
        let line = log.lines().find(|line| line.contains(&format!("address={address} ")));
        let line = line.unwrap_or_else(|| panic!("{address} in {log}"));
        assert!(line.contains("listening") && line.contains("this machine"), "{line}");
    }
    let control = log.lines().find(|line| line.contains("transport=control")).unwrap();
    assert!(control.contains("its owner"), "{control}");
    let shown = home.run(&["status"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("(open to this machine)"), "{shown}");
    assert!(shown.contains("example.org (798 days left)"), "{shown}");
}

#[test]
fn g15_without_a_configuration_everything_is_told_before_the_start() {
    let home = Home::new("[server]\nlisten = [\"udp:*:5060\", \"tcp:127.0.0.1:5060\"]\n");
    let told = home.json(&["check"]);
    let listen = told["listen"].as_array().unwrap();
    let open_to = told["open_to"].as_array().unwrap();
    assert_eq!(listen.len(), open_to.len());
    for (at, reach) in listen.iter().zip(open_to) {
        let at: SocketAddr = at.as_str().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let own = at.ip().to_canonical();
        assert_eq!(reach == "this machine", own.is_loopback(), "{at} is open to {reach}");
    }
    assert_eq!(told["certificates"].as_array().unwrap().len(), 0);
}

fn with_certificate(certificate: &Path, key: &Path) -> String {
    let (certificate, key) = (certificate.display(), key.display());
    format!(
        "[server]\ndomains = [\"example.org\", \"example.net\"]\nlisten = [\"tls:127.0.0.1:0\"]\n\
         [tls]\ncertificates = [\"{certificate}\"]\nkeys = [\"{key}\"]\n"
    )
}

#[test]
fn check_says_what_is_wrong_with_certificates() {
    let home = Home::new("");
    let authority = Authority::new(home.0.path());
    let (good, key) = authority.issue(&["example.org"]);
    let (other, other_key) = authority.issue(&["other.test"]);
    let nowhere = home.path("nowhere.pem");
    let check = |certificate: &Path, key: &Path| {
        std::fs::write(home.path("ringway.toml"), with_certificate(certificate, key)).unwrap();
        let done = home.run(&["check"]);
        let said = [done.stdout, done.stderr].concat();
        (done.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = check(&good, &key);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{} for example.org: ", good.display())), "{said}");
    assert!(said.contains("none for example.net"), "{said}");
    for (certificate, key, wrong) in [
        (&nowhere, &key, "nowhere.pem: No such file"),
        (&good, &nowhere, "nowhere.pem: No such file"),
        (&good, &other_key, "is the key of another certificate"),
        (&key, &key, "holds no certificate"),
        (&good, &other, "holds no key"),
    ] {
        let (code, said) = check(certificate, key);
        assert_eq!(code, Some(3), "{wrong}: {said}");
        assert!(said.contains(wrong), "{wrong}: {said}");
    }
    for (begins, ends, words) in [(-20, -3, "ended "), (-9, 4, "3 days left"), (3, 9, "not good")] {
        let (certificate, key) = authority.issue_for("example.org", begins, ends);
        let (code, said) = check(&certificate, &key);
        assert_eq!(code, Some(0), "a server starts with it: {said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn status_tells_of_certificates_and_connections() {
    let home = Home::new("");
    let authority = Authority::new(home.0.path());
    let (certificate, key) = authority.issue_for("example.org", -1, 62);
    std::fs::write(home.path("ringway.toml"), with_certificate(&certificate, &key)).unwrap();
    let server = home.serve("");
    // One that says nothing of TLS.
    let mut stream = TcpStream::connect(server.address("tls")).unwrap();
    std::io::Write::write_all(&mut stream, b"OPTIONS sip:example.org SIP/2.0\r\n\r\n").unwrap();
    drop(stream.read_to_end(&mut Vec::new()));
    let _silent = TcpStream::connect(server.address("tls")).unwrap();
    let end = Instant::now() + LONG;
    let status = loop {
        let status = home.json(&["status"]);
        if status["counters"]["connections"]["accepted"] == 2 && status["connections"] == 1 {
            break status;
        }
        assert!(Instant::now() < end, "{status}");
        thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status["certificates"][0]["domains"][0], "example.org");
    assert_eq!(status["certificates"][0]["days_left"], 61);
    assert_eq!(status["certificates"][0]["left"], "61 days left");
    assert_eq!(status["connections_unproved"], 1);
    assert_eq!(status["counters"]["connections"]["handshakes failed"], 1);
    let shown = String::from_utf8(home.run(&["status"]).stdout).unwrap();
    assert!(shown.contains("example.org (61 days left)"), "{shown}");
    assert!(shown.contains("connections    1 (1 of strangers)"), "{shown}");
}
