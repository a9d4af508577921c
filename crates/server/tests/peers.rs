//! Two servers that are peers by password: whole programs, each with its file.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use ringway_core::flow::Transport;
use ringway_server::demo::{Cause, Failure, Phone, Profile, Trace};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

/// What nobody is to read anywhere.
const SECRET: &str = "canary-7f3b-of-the-trunk";
const PASSWORD: &str = "correct-horse-9-battery";

/// A server that runs.
struct Serving {
    child: Child,
    log: BufReader<ChildStderr>,
    said: String,
    address: SocketAddr,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Serving {
    /// All it said, once it was asked to stop.
    fn end(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.log.read_to_string(&mut self.said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.said);
        self.said.clone()
    }
}

fn ringway(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringway"));
    for name in ["RINGWAY_CONFIG", "RINGWAY_DATA_DIR"] {
        command.env_remove(name);
    }
    command.env("RINGWAY_LOG", "trace").arg("-c").arg(folder.join("ringway.toml")).args(words);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn add(folder: &Path, account: &str, password: &str) {
    let words = ["account", "add", account, "--password-stdin"];
    let mut child = ringway(folder, &words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}

/// A server of one domain, with these accounts, on a free port.
fn serve(folder: PathBuf, (domain, more): (&str, &str), accounts: &[(&str, &str)]) -> Serving {
    std::fs::create_dir(&folder).unwrap();
    let data = folder.join("data");
    let config = format!(
        "[server]\ndomains = [\"{domain}\"]\nlisten = [\"udp:127.0.0.1:0\"]\ndata = {data:?}\n\
         [routing]\nreach = [\"127.0.0.0/8\"]\n{more}"
    );
    std::fs::write(folder.join("ringway.toml"), config).unwrap();
    for (account, password) in accounts {
        add(&folder, account, password);
    }
    let mut child = ringway(&folder, &["serve"]).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let (mut said, mut address) = (String::new(), None);
    while !said.lines().last().unwrap_or_default().contains("ready") {
        assert!(log.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        let last = said.lines().last().unwrap_or_default();
        let word = last.split_whitespace().find_map(|word| word.strip_prefix("address="));
        address = word.and_then(|word| word.parse().ok()).or(address);
    }
    Serving { child, log, said, address: address.expect("it listens") }
}

/// A server of `a.example` that logs in at another with this password.
fn caller(folder: PathBuf, password: &str, other: &Serving) -> Serving {
    let file = folder.with_extension("secret");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!(
        "[[peer]]\nname = \"b\"\naddress = \"sip:{}\"\nusername = \"trunk\"\n\
         password = \"${{file:{}}}\"\nrealm = \"b.example\"\n\
         [[route]]\nname = \"b\"\ndomain = \"b.example\"\nto = [\"b\"]\n",
        other.address,
        file.display()
    );
    serve(folder, ("a.example", &more), &[("alice@a.example", PASSWORD)])
}

fn phone(server: &Serving, user: &str, domain: &str) -> Phone {
    let profile = Profile {
        user: user.into(),
        password: PASSWORD.into(),
        domain: domain.into(),
        server: server.address,
        transport: Transport::Udp,
    };
    let mut phone = Phone::switch_on(profile, &Trace::default()).unwrap();
    phone.register(300).unwrap();
    phone
}

fn call(alice: &mut Phone, bob: &mut Phone) -> Result<(), Failure> {
    let outgoing = alice.invite("sip:bob@b.example", None)?;
    let incoming = bob.hear_call()?;
    let bobs = bob.accept(&incoming, None)?;
    let alices = alice.hear_answer(outgoing)?.dialog;
    bob.hear_ack(&bobs)?;
    let bye = bob.hang_up(&bobs)?;
    alice.hear_hang_up(&alices)?;
    bob.hear_farewell(&bye)?;
    Ok(())
}

#[test]
fn check_looks_for_passwords_and_shows_none() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    let check = |password: &str| {
        let config = format!(
            "[[peer]]\nname = \"b\"\naddress = \"b.example\"\nusername = \"u\"\n\
             password = \"{password}\"\n"
        );
        std::fs::write(folder.path().join("ringway.toml"), config).unwrap();
        let output = ringway(folder.path(), &["check"]).env("THE_SECRET", SECRET).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!said.contains(SECRET), "{said}");
        (output.status.code().unwrap(), said)
    };
    let file = format!("${{file:{}}}", secret.display());
    let (code, said) = check(&file);
    assert!(code == 3 && said.contains("no password for the peer \"b\" in /"), "{code} {said}");
    std::fs::write(&secret, SECRET).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, said) = check(&file);
    assert!(code == 3 && said.contains("chmod 600 helps"), "{code} {said}");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(check(&file).0, 0);
    assert_eq!(check("${env:THE_SECRET}").0, 0);
    assert_eq!(check("${env:NO_SUCH_SECRET}").0, 3);
    let (code, said) = check(SECRET);
    assert!(code == 3 && said.contains("does not stand in this file itself"), "{code} {said}");
}

#[test]
fn j11_a_server_logs_in_at_another_and_a_call_passes_both() {
    let folder = tempfile::tempdir().unwrap();
    let peer = "[[peer]]\nname = \"a\"\naccount = \"trunk@b.example\"\n";
    let accounts = [("bob@b.example", PASSWORD), ("trunk@b.example", SECRET)];
    let b = serve(folder.path().join("b"), ("b.example", peer), &accounts);
    let mut bob = phone(&b, "bob", "b.example");

    let a = caller(folder.path().join("a"), SECRET, &b);
    let mut alice = phone(&a, "alice", "a.example");
    call(&mut alice, &mut bob).unwrap();
    let said = a.end();
    assert!(said.contains("peer_login") && said.contains("answered"), "{said}");
    assert!(!said.contains(SECRET), "a secret in the log");

    let wrong = caller(folder.path().join("wrong"), "another-secret-4711", &b);
    let mut alice = phone(&wrong, "alice", "a.example");
    let outgoing = alice.invite("sip:bob@b.example", None).unwrap();
    let failure = alice.hear_answer(outgoing).expect_err("it is refused");
    let Cause::Refused { status, .. } = failure.cause else { panic!("{failure}") };
    assert_eq!(status, 500, "what b says of the password is not for alice");
    let said = wrong.end();
    assert!(said.contains("peer_login") && said.contains("refused"), "{said}");
    let said = b.end();
    assert!(said.contains("auth_failed") && !said.contains(SECRET), "{said}");
}
