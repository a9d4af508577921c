//! The control socket of a running server: what it takes, what it refuses, and what it changes.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::account::Ha1;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use ringway_core::time::Instant;
use ringway_server::control::client::Client;
use ringway_server::control::views::{NewAccount, Secrets};
use ringway_server::control::{Change, Failure, Far, Kind, Reply, Request};
use ringway_server::limits;
use ringway_server::server::{CannotStart, Data, Running, Startup, start};
use ringway_store::{Sqlite, Store};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use tempfile::TempDir;
use world::*;

/// A server with its data and its socket in a folder.
fn controlled() -> (Running, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut startup = startup();
    startup.data = Data::Folder(folder.path().into());
    startup.control = Some(folder.path().join("c"));
    (serve(&startup), folder)
}

fn client(folder: &TempDir) -> Client {
    Client::connect(&folder.path().join("c")).expect("the server runs")
}

fn ask_for(far: &mut impl Far, request: Request) -> Result<Vec<Reply>, Failure> {
    let mut replies = Vec::new();
    far.ask(request, &mut |reply| {
        replies.push(reply);
        Ok(())
    })?;
    Ok(replies)
}

fn add(accounts: &[&str]) -> Request {
    let new = |name: &&str| {
        let user = name.split('@').next().unwrap();
        let ha1 = Ha1::from_password(user.as_bytes(), b"example.org", b"secret");
        NewAccount { account: (*name).into(), name: String::new(), secrets: Secrets::from(&ha1) }
    };
    Request::Change(Change::Add { accounts: accounts.iter().map(new).collect() })
}

/// What comes back for these bytes until the server closes or has answered `lines` lines.
fn say(path: &Path, bytes: &[u8], lines: usize) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // A server that has heard enough closes while we still talk.
    let _ = stream.write_all(bytes);
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while text.matches('\n').count() < lines {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => text.push_str(&String::from_utf8_lossy(&buffer[..length])),
        }
    }
    text
}

#[test]
fn bad_input_is_answered_and_harms_nobody() {
    let (server, folder) = controlled();
    let path = folder.path().join("c");
    for (bytes, said) in [
        (&b"\n"[..], "no request"),
        (b"{\n", "no request"),
        (b"\xff\xfe\x00\n", "no request"),
        (b"GET / HTTP/1.1\r\n", "no request"),
        (b"{\"version\":99}\n", "speaks version 1, not 99"),
        (b"{\"version\":1,\"request\":{\"do\":\"reboot\"}}\n", "unknown variant `reboot`"),
        (b"{\"version\":1,\"request\":{\"do\":\"account\",\"account\":\"\"}}\n", "user@domain"),
    ] {
        let answer = say(&path, bytes, 1);
        assert!(answer.contains("\"failure\"") && answer.contains(said), "{bytes:?}: {answer}");
    }
    // The connection goes on after a line that was no request.
    let two = b"what\n{\"version\":1,\"request\":{\"do\":\"calls\"}}\n";
    assert!(say(&path, two, 2).ends_with("{\"version\":1,\"end\":true}\n"));

    let deep = [&b"{\"version\":1,\"request\":{\"x\":"[..], &vec![b'['; 100_000], b"\n"].concat();
    let answer = say(&path, &deep, 1);
    assert!(answer.contains("recursion limit"), "{answer}");
    let long = vec![b' '; limits::CONTROL_LINE + 4_096];
    let answer = say(&path, &long, 1);
    assert!(answer.contains("a line may have at most"), "{answer}");

    assert!(matches!(
        &ask_for(&mut client(&folder), Request::Status).unwrap()[..],
        [Reply::Status(_)]
    ));
    assert_eq!(server.engine().metrics().panics.load(std::sync::atomic::Ordering::Relaxed), 0);
    server.shutdown(LONG);
    assert!(!path.exists(), "the socket goes with its server");
}

#[test]
fn too_many_clients_are_told_and_room_is_given_back() {
    let (server, folder) = controlled();
    let path = folder.path().join("c");
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..limits::CONTROL_CLIENTS {
        let mut client = client(&folder);
        ask_for(&mut client, Request::Calls).unwrap();
        clients.push(client);
    }
    let failure = ask_for(&mut client(&folder), Request::Calls).expect_err("it is full");
    assert_eq!(failure.kind, Kind::Busy);
    // Those that are in are served.
    ask_for(&mut clients[0], Request::Calls).unwrap();
    drop(clients);
    eventually("there is room again", || ask_for(&mut client(&folder), Request::Calls).is_ok());
    drop(say(&path, b"", 0));
    server.shutdown(LONG);
}

#[test]
fn changes_are_in_effect_and_on_disk_when_they_are_acknowledged() {
    let (server, folder) = controlled();
    let mut client = client(&folder);
    let replies = ask_for(&mut client, add(&["carol@example.org", "dave@new.example"])).unwrap();
    assert!(matches!(&replies[..], [Reply::Added { added: 2, exist }] if exist.is_empty()));
    let snapshot = server.engine().snapshot();
    assert!(snapshot.domains.contains(&b"new.example"[..]), "the domain of an account is ours");

    // Whoever is trusted may register her, now that she exists.
    let socket = udp_to(address(&server, Transport::Udp, V4));
    let from = socket.local_addr().unwrap();
    let register = |number| {
        let text = String::from_utf8(request("REGISTER", "UDP", from, number)).unwrap();
        text.replace("To: <sip:bob@", "To: <sip:carol@").into_bytes()
    };
    assert!(ask(&socket, &register(1)).starts_with("SIP/2.0 200 "));
    let account = || Request::Account { account: "carol@example.org".into() };
    let replies = ask_for(&mut client, account()).unwrap();
    assert!(
        matches!(&replies[..], [Reply::Accounts(a), Reply::Registrations(r)]
            if a.len() == 1 && r.len() == 1 && r[0].source == from.to_string()),
        "{replies:?}"
    );

    let remove = || Request::Change(Change::Remove { account: "carol@example.org".into() });
    ask_for(&mut client, remove()).unwrap();
    assert!(ask(&socket, &register(2)).starts_with("SIP/2.0 404 "));
    assert_eq!(ask_for(&mut client, remove()).expect_err("gone").kind, Kind::NotFound);
    assert_eq!(server.engine().numbers().registrations, 0, "her bindings went with her");
    ask_for(&mut client, add(&["carol@example.org"])).unwrap();
    let replies = ask_for(&mut client, account()).unwrap();
    assert!(matches!(&replies[1], Reply::Registrations(none) if none.is_empty()), "{replies:?}");
    server.shutdown(LONG);

    let mut startup = startup();
    startup.data = Data::Folder(folder.path().into());
    let again = serve(&startup);
    let snapshot = again.engine().snapshot();
    assert_eq!(snapshot.accounts.len(), 3, "bob, carol and dave");
    assert_eq!(again.engine().numbers().registrations, 0);
    again.shutdown(LONG);
}

#[test]
fn administrators_at_once_lose_nothing_and_win_once() {
    const ADMINISTRATORS: usize = 4;
    const ROUNDS: usize = 40;
    let (server, folder) = controlled();
    let start = Barrier::new(ADMINISTRATORS);
    let work = |number: usize| {
        let mut client = client(&folder);
        let mut won = 0;
        for round in 0..ROUNDS {
            // Twenty of its own, and one that all want.
            let mut names: Vec<String> =
                (0..20).map(|n| format!("u{round}-{number}-{n}@example.org")).collect();
            names.push(format!("all{round}@example.org"));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            start.wait();
            let replies = ask_for(&mut client, add(&names)).unwrap();
            let [Reply::Added { added, .. }] = replies[..] else { panic!("{replies:?}") };
            won += added - 20;
        }
        won
    };
    let won: u64 = thread::scope(|scope| {
        let work = &work;
        let all = (0..ADMINISTRATORS).map(|number| scope.spawn(move || work(number)));
        let all: Vec<_> = all.collect();
        all.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(won, ROUNDS as u64, "each name was given to one of them");
    let accounts = server.engine().snapshot().accounts.len();
    assert_eq!(accounts, 1 + ROUNDS * (ADMINISTRATORS * 20 + 1));
    server.shutdown(LONG);
}

/// As a REGISTER leaves it that was under way while its account was removed.
#[test]
fn a_binding_of_nobody_is_not_brought_back_by_a_new_account() {
    let folder = tempfile::tempdir().unwrap();
    let ghost = AddressOfRecord::from_text("ghost@example.org").unwrap();
    let binding = Binding {
        contact: (*b"sip:ghost@127.0.0.1:9").into(),
        params: [].into(),
        instance: [].into(),
        reg_id: 0,
        path: [].into(),
        gruus_since: Instant::from_secs(1),
        q: 1000,
        expires: Instant::from_secs(u64::from(u32::MAX)),
        lease_until: Instant::from_secs(u64::from(u32::MAX)),
        refreshed: Instant::from_secs(1),
        call_id: (*b"c").into(),
        cseq: 1,
        transaction: 1,
        flow: Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: "127.0.0.1:9".parse().unwrap(),
            certified: CertifiedName::NONE,
        },
        user_agent: [].into(),
    };
    let mut store = Sqlite::open(folder.path(), [].into()).unwrap();
    store.write(&[ringway_core::boundary::Write::PutBinding(ghost.clone(), binding)]).unwrap();
    drop(store);
    let startup = || {
        let (data, control) = (Data::Folder(folder.path().into()), Some(folder.path().join("c")));
        Startup { data, control, ..startup() }
    };
    let server = serve(&startup());
    assert_eq!(server.engine().locate(&ghost), [], "it is nobody's");
    ask_for(&mut client(&folder), add(&["ghost@example.org"])).unwrap();
    assert_eq!(server.engine().locate(&ghost), []);
    server.shutdown(LONG);
    let server = serve(&startup());
    assert_eq!(server.engine().locate(&ghost), [], "and it is gone for good");
    server.shutdown(LONG);
}

#[test]
fn one_socket_belongs_to_one_server() {
    let (server, folder) = controlled();
    let mut second = startup();
    second.control = Some(folder.path().join("c"));
    let refused = start(&second).map(|_| ()).expect_err("the socket is in use");
    assert!(matches!(refused, CannotStart::Control(_)), "{refused}");
    ask_for(&mut client(&folder), Request::Calls).expect("the first was not disturbed");
    server.shutdown(LONG);
}

#[test]
fn long_lists_come_whole() {
    let (server, folder) = controlled();
    let mut client = client(&folder);
    for part in 0..3 {
        let names: Vec<String> = (0..450).map(|n| format!("u{part}-{n}@example.org")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        ask_for(&mut client, add(&names)).unwrap();
    }
    let replies = ask_for(&mut client, Request::Accounts).unwrap();
    let mut names = Vec::new();
    for reply in &replies {
        let Reply::Accounts(accounts) = reply else { panic!("{reply:?}") };
        names.extend(accounts.iter().map(|account| account.account.clone()));
    }
    assert_eq!(names.len(), 1 + 3 * 450);
    assert!(names.is_sorted(), "in order of their names");
    assert!(replies.len() >= 3, "no line holds them all");
    server.shutdown(LONG);
}
