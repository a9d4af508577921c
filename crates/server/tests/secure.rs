//! Calls over TLS and WebSocket, with clients made of libraries that know nothing of ours.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod far;
mod links;

use far::Authority;
use links::{link, secure_to, trusting};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_server::demo::{Body, Dialog, Failure, Phone, Profile, Trace};
use ringway_server::listen::Endpoint;
use ringway_server::server::{Data, Running, Startup};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use world::{LONG, V4, V6, address, serve};

const SDP: Body<'static> = Some(("application/sdp", b"v=0\r\nm=audio 9 RTP/AVP 0\r\n"));
const RINGING: u16 = 180;
const TRANSPORTS: [Transport; 5] =
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

/// A server on all transports and both loopback addresses that knows alice and bob.
fn startup(folder: &TempDir) -> Startup {
    let account = |user: &str| Account {
        aor: AddressOfRecord::from_text(&format!("{user}@example.org")).unwrap(),
        ha1: Ha1::from_password(user.as_bytes(), b"example.org", b"opensesame"),
        display_name: String::new(),
        enabled: true,
    };
    let listen = TRANSPORTS.into_iter().flat_map(|transport| {
        [V4, V6].map(|ip| Endpoint { transport, address: Some(ip.parse().unwrap()), port: 0 })
    });
    Startup {
        listen: listen.collect(),
        accounts: vec![account("alice"), account("bob")],
        peers: Vec::new(),
        data: Data::Folder(folder.path().into()),
        ..world::startup()
    }
}

fn profile(user: &str, (transport, server): (Transport, SocketAddr)) -> Profile {
    Profile {
        user: user.into(),
        password: "opensesame".into(),
        domain: "example.org".into(),
        server,
        transport,
    }
}

/// A phone that is registered.
fn phone(
    (server, folder): (&Running, &TempDir),
    user: &str,
    (transport, ip): (Transport, &str),
    trace: &Trace,
) -> Phone {
    let to = address(server, transport, ip);
    let profile = profile(user, (transport, to));
    let mut phone = match transport {
        Transport::Udp | Transport::Tcp => Phone::switch_on(profile, trace).unwrap(),
        _ => {
            let config = trusting(&folder.path().join("tls.crt"), None);
            Phone::over(link((transport, to), Some(&config)), profile, trace).unwrap()
        }
    };
    phone.register(300).unwrap();
    phone
}

/// Alice calls, bob answers.
fn connect(alice: &mut Phone, bob: &mut Phone) -> Result<[Dialog; 2], Failure> {
    let outgoing = alice.invite("sip:bob@example.org", SDP)?;
    let incoming = bob.hear_call()?;
    bob.respond(&incoming, RINGING, None)?;
    alice.hear_ringing(&outgoing)?;
    let bobs = bob.accept(&incoming, SDP)?;
    let answered = alice.hear_answer(outgoing)?;
    assert_eq!(&*answered.body, SDP.unwrap().1);
    bob.hear_ack(&bobs)?;
    Ok([answered.dialog, bobs])
}

fn end(
    (one, ones): (&mut Phone, &Dialog),
    (other, others): (&mut Phone, &Dialog),
) -> Result<(), Failure> {
    let bye = one.hang_up(ones)?;
    other.hear_hang_up(others)?;
    one.hear_farewell(&bye).map(|_| ())
}

#[test]
fn every_transport_calls_every_other_over_both_families() {
    let folder = TempDir::new().unwrap();
    let server = serve(&startup(&folder));
    for (nth, caller) in TRANSPORTS.into_iter().enumerate() {
        for (mth, callee) in TRANSPORTS.into_iter().enumerate() {
            let trace = Trace::default();
            let ips = if (nth + mth) % 2 == 0 { [V4, V6] } else { [V6, V6] };
            let mut alice = phone((&server, &folder), "alice", (caller, ips[0]), &trace);
            let mut bob = phone((&server, &folder), "bob", (callee, ips[1]), &trace);
            let result = connect(&mut alice, &mut bob).and_then(|[alices, bobs]| {
                let (alice, bob) = ((&mut alice, &alices), (&mut bob, &bobs));
                if nth % 2 == 0 { end(alice, bob) } else { end(bob, alice) }
            });
            result.unwrap_or_else(|failure| panic!("{caller} calls {callee}: {failure}"));
            alice.register(0).unwrap();
            bob.register(0).unwrap();
        }
    }
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_call_outlives_its_certificate() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path());
    let identity = authority.issue(&["example.org"]);
    let mut startup = startup(&folder);
    startup.tls.certificates = vec![identity.clone()];
    let server = serve(&startup);
    // What a client of a new session is shown, who trusts the authority.
    let shown = || {
        let to = address(&server, Transport::Tls, V4);
        let stream = secure_to(to, "example.org", &trusting(&authority.file, None)).unwrap();
        stream.conn.peer_certificates().unwrap()[0].to_vec()
    };
    let trace = Trace::default();
    let phone = |user: &str, transport| {
        let to = address(&server, transport, V4);
        let link = link((transport, to), Some(&trusting(&authority.file, None)));
        let mut phone = Phone::over(link, profile(user, (transport, to)), &trace).unwrap();
        phone.register(300).unwrap();
        phone
    };
    let (mut alice, mut bob) = (phone("alice", Transport::Tls), phone("bob", Transport::Wss));
    let [alices, bobs] = connect(&mut alice, &mut bob).unwrap();
    let before = shown();
    authority.issue(&["example.org"]);
    server.reload();
    let after = shown();
    assert_ne!(before, after);
    // Both still have the connections they had, in both directions.
    end((&mut bob, &bobs), (&mut alice, &alices)).unwrap();
    let [alices, bobs] = connect(&mut alice, &mut bob).unwrap();
    std::fs::write(&identity.1, "no key any more").unwrap();
    server.reload();
    assert_eq!(shown(), after);
    end((&mut alice, &alices), (&mut bob, &bobs)).unwrap();
    // A third and a fourth connection showed what is in force; no phone ever came again.
    let accepted = server.engine().metrics().connections_accepted.load(Ordering::Relaxed);
    assert_eq!(accepted, 5);
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_fresh_server_has_a_key_of_its_own_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    serve(&startup(&folder)).shutdown(Duration::ZERO);
    let key = folder.path().join("tls.key");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let first = std::fs::read(&key).unwrap();
    let server = serve(&startup(&folder));
    assert_eq!(std::fs::read(&key).unwrap(), first, "it is kept");
    let config = trusting(&folder.path().join("tls.crt"), None);
    for name in ["example.org", V4, V6] {
        secure_to(address(&server, Transport::Tls, V4), name, &config).unwrap();
    }
    server.shutdown(LONG);
    let other = TempDir::new().unwrap();
    serve(&startup(&other)).shutdown(Duration::ZERO);
    assert_ne!(std::fs::read(other.path().join("tls.key")).unwrap(), first, "no two are the same");
}
