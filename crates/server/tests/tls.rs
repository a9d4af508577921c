//! TLS towards others: whom we believe, whom we take somebody for, and certificates that change.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;
mod links;
mod zone;
mod far;

use far::{Authority, Far};
use hickory_proto::rr::RecordType;
use links::{Secure, secure_to, trusting};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_core::snapshot::Peer;
use ringway_server::listen::Endpoint;
use ringway_server::server::Startup;
use ringway_server::tls::TlsSetup;
use rustls::HandshakeKind;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use world::{LONG, V4, address, ask, serve, udp_to};
use zone::{Reply, Zone};

/// A server that trusts what this authority says, and nothing else.
fn startup(authority: &Authority) -> Startup {
    let mut startup = world::startup();
    let address = Some(V4.parse().unwrap());
    startup.listen.push(Endpoint { transport: Transport::Tls, address, port: 0 });
    startup.tls = TlsSetup {
        ca: Some(authority.file.clone()),
        system_roots: false,
        ask_clients: true,
        ..TlsSetup::default()
    };
    startup
}

/// Every name under `.test` is this machine.
fn zone() -> Zone {
    Zone::start(|name, kind| match kind {
        RecordType::A if name.ends_with(".test") => Reply::Say(vec![zone::address(name, V4)]),
        _ => Reply::Say(Vec::new()),
    })
}

static NUMBER: AtomicU32 = AtomicU32::new(1);

fn message(uri: &str, via: &str) -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!(
        "MESSAGE {uri} SIP/2.0\r\nVia: SIP/2.0/{via};branch=z9hG4bK-tls-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@example.org>;tag=a{number}\r\nTo: <{uri}>\r\n\
         Call-ID: tls-{number}\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
    )
}

fn registration(user: &str, via: &str) -> String {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let place = via.strip_prefix("TLS ").unwrap();
    format!(
        "REGISTER sip:example.org SIP/2.0\r\n\
         Via: SIP/2.0/{via};branch=z9hG4bK-tls-{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}@example.org>;tag=a{number}\r\n\
         To: <sip:{user}@example.org>\r\nCall-ID: tls-{number}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:{user}@{place};transport=tls>;expires=0\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What comes of a message that a trusted phone sends over UDP: the status.
fn send(phone: &UdpSocket, uri: &str) -> u16 {
    let via = format!("UDP {}", phone.local_addr().unwrap());
    let mut answer = ask(phone, message(uri, &via).as_bytes());
    let mut buffer = [0; 4_096];
    while answer.starts_with("SIP/2.0 1") {
        let length = phone.recv(&mut buffer).expect("a final answer");
        answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
    }
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn status(stream: &mut Secure, request: &str) -> u16 {
    stream.write_all(request.as_bytes()).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4_096]);
    while !text.contains("\r\n\r\n") {
        let length = stream.read(&mut buffer).expect("an answer");
        assert!(length > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn g7_nothing_is_sent_to_whom_the_certificate_does_not_vouch_for() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let far = Far::start(&authority.issue(&["far.test", "*.wild.test", "127.0.0.1"]));
    let server = serve(&Startup { dns: vec![zone.address], ..startup(&authority) });
    let phone = udp_to(address(&server, Transport::Udp, V4));
    let port = far.at.port();
    assert_eq!(send(&phone, &format!("sip:bob@far.test:{port};transport=tls")), 200);
    assert_eq!(send(&phone, &format!("sips:bob@far.test:{port}")), 200);
    for uri in [
        format!("sip:bob@other.test:{port};transport=tls"),
        format!("sips:bob@other.test:{port}"),
        format!("sips:bob@a.wild.test:{port}"),
        format!("sips:bob@127.0.0.1:{port}"),
    ] {
        assert_eq!(send(&phone, &uri), 500, "{uri}");
    }
    let heard = far.heard();
    assert_eq!(heard.len(), 2, "nothing but what it may hear: {heard:?}");
    //= RFC 5922 7.3 type=test
    // "If the server is not authenticated, the client MUST close the"
    assert!(far.names().iter().all(|name| name == "far.test"), "{:?}", far.names());
    assert!(server.engine().metrics().certificates_refused.load(Ordering::Relaxed) >= 2);
    server.shutdown(LONG);
}

#[test]
fn g8_a_connection_is_used_again_for_the_name_it_proved_and_no_other() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let far = Far::start(&authority.issue(&["a.test", "b.test"]));
    let server = serve(&Startup { dns: vec![zone.address], ..startup(&authority) });
    let phone = udp_to(address(&server, Transport::Udp, V4));
    let port = far.at.port();
    for name in ["a.test", "a.test", "b.test", "A.TEST", "b.test"] {
        assert_eq!(send(&phone, &format!("sips:bob@{name}:{port}")), 200, "{name}");
    }
    assert_eq!(far.heard().len(), 5);
    // One connection for each: what proves one name says nothing of the other.
    assert_eq!(far.names(), ["a.test", "b.test"]);
    // An address that is reached over TLS by one name is not thereby reached by another.
    assert_eq!(send(&phone, &format!("sips:bob@c.test:{port}")), 500);
    assert_eq!(far.heard().len(), 5);
    server.shutdown(LONG);
}

#[test]
fn g9_a_sips_request_never_leaves_in_clear() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let server = serve(&Startup { dns: vec![zone.address], ..startup(&authority) });
    let phone = udp_to(address(&server, Transport::Udp, V4));
    // It would take them in clear, over both.
    let udp = UdpSocket::bind((V4, 0)).unwrap();
    let at = udp.local_addr().unwrap();
    let tcp = std::net::TcpListener::bind(at).unwrap();
    for uri in [
        format!("sips:bob@{at}"),
        format!("sips:bob@clear.test:{}", at.port()),
        format!("sips:bob@clear.test:{};transport=tcp", at.port()),
        format!("sips:bob@clear.test:{};transport=udp", at.port()),
        format!("sip:bob@clear.test:{};transport=tls", at.port()),
    ] {
        let status = send(&phone, &uri);
        assert!(status >= 400, "{uri}: {status}");
    }
    udp.set_nonblocking(true).unwrap();
    assert!(udp.recv(&mut [0; 9]).is_err(), "a datagram came");
    tcp.set_nonblocking(true).unwrap();
    while let Ok((mut stream, _)) = tcp.accept() {
        stream.set_read_timeout(Some(LONG)).unwrap();
        let mut first = [0; 1];
        // A handshake may be tried; SIP does not come.
        if stream.read(&mut first).is_ok_and(|length| length > 0) {
            assert_eq!(first, [0x16]);
        }
    }
    server.shutdown(LONG);
}

/// One message without a body that comes over a connection.
fn hear(stream: &mut Secure) -> String {
    let (mut text, mut byte) = (String::new(), [0; 1]);
    while !text.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a message");
        text.push(char::from(byte[0]));
    }
    text
}

#[test]
//= RFC 5923 8.2 type=test
// "can reuse this connection."
//= RFC 5923 9.2 type=test
// "If the client does not present a certificate, the server MUST proceed"
fn g8_a_connection_stands_for_an_address_of_its_peer_by_the_names_it_proved() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let far = Far::start(&authority.issue(&["carrier.test", "second.test", "third.test"]));
    let mut startup = Startup { dns: vec![zone.address], ..startup(&authority) };
    startup.tls.certificates = vec![authority.issue(&["example.org"])];
    let server = serve(&startup);
    let (to, port) = (address(&server, Transport::Tls, V4), far.at.port());
    let phone = || udp_to(address(&server, Transport::Udp, V4));
    let own = authority.issue(&["second.test", "carrier.test"]);
    let over = |own: Option<(&Path, &Path)>| {
        secure_to(to, "example.org", &trusting(&authority.file, own)).unwrap()
    };
    let via = |port: u16, more: &str| format!("TLS proxy.test:{port}{more}");
    let says = |stream: &mut Secure, via: &str| {
        assert_eq!(status(stream, &message("sip:bob@example.org", via)), 480);
    };

    // No alias is wished for, or none was proved.
    let mut plain = over(Some((&own.0, &own.1)));
    says(&mut plain, &via(port, ""));
    let mut nameless = over(None);
    says(&mut nameless, &via(port, ";alias"));
    assert_eq!(send(&phone(), &format!("sips:bob@carrier.test:{port}")), 200);
    assert_eq!((far.heard().len(), far.names()), (1, vec!["carrier.test".to_owned()]));

    // From now on it stands for that address, by each of its names.
    let mut stream = over(Some((&own.0, &own.1)));
    says(&mut stream, &via(port, ";alias"));
    for name in ["carrier.test", "second.test"] {
        let uri = format!("sips:bob@{name}:{port}");
        let asks = std::thread::spawn({
            let (phone, uri) = (phone(), uri.clone());
            move || send(&phone, &uri)
        });
        let request = hear(&mut stream);
        assert!(request.starts_with(&format!("MESSAGE {uri} SIP/2.0")), "{request}");
        stream.write_all(far::answer(&request).as_bytes()).unwrap();
        assert_eq!(asks.join().unwrap(), 200);
    }
    assert_eq!(far.heard().len(), 1, "nothing went elsewhere");

    // Not by another name, nor for another port.
    assert_eq!(send(&phone(), &format!("sips:bob@third.test:{port}")), 200);
    assert_eq!(far.names(), ["carrier.test", "third.test"]);
    says(&mut stream, &via(port + 1, ";alias"));
    assert_eq!(send(&phone(), &format!("sips:bob@second.test:{port}")), 200);
    assert_eq!(far.names(), ["carrier.test", "third.test", "second.test"]);
    server.shutdown(LONG);
}

#[test]
//= RFC 5923 8.2 type=test
// "the server MUST open a new connection to the resolved address and the"
fn g8_when_such_a_connection_ends_what_waits_on_it_fails_and_another_is_opened() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let identity = authority.issue(&["carrier.test"]);
    let far = Far::start(&identity);
    let mut startup = Startup { dns: vec![zone.address], ..startup(&authority) };
    startup.tls.certificates = vec![authority.issue(&["example.org"])];
    let server = serve(&startup);
    let to = address(&server, Transport::Tls, V4);
    let config = trusting(&authority.file, Some((&identity.0, &identity.1)));
    let mut stream = secure_to(to, "example.org", &config).unwrap();
    let port = far.at.port();
    let via = format!("TLS carrier.test:{port};alias");
    assert_eq!(status(&mut stream, &message("sip:bob@example.org", &via)), 480);
    let (phone, uri) =
        (udp_to(address(&server, Transport::Udp, V4)), format!("sips:bob@carrier.test:{port}"));
    let asks = std::thread::spawn({
        let (phone, uri) = (phone.try_clone().unwrap(), uri.clone());
        move || (Instant::now(), send(&phone, &uri))
    });
    assert!(hear(&mut stream).starts_with("MESSAGE "));
    drop(stream);
    let (begun, status) = asks.join().unwrap();
    assert!(status >= 400 && begun.elapsed() < Duration::from_secs(5), "{status}");
    assert_eq!(send(&phone, &uri), 200);
    assert_eq!(far.names(), ["carrier.test"]);
    server.shutdown(LONG);
}

/// Over TLS, from loopback which is no peer here: who is it?
#[test]
fn a_peer_is_known_by_its_certificate_and_by_nothing_less() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path());
    let mut startup = startup(&authority);
    let (name, tls_names) = ("carrier".into(), vec!["carrier.test".into()]);
    startup.peers = vec![Peer { name, tls_names, ..Peer::default() }];
    let (certificate, key) = authority.issue(&["example.org"]);
    startup.tls.certificates = vec![(certificate, key)];
    let server = serve(&startup);
    let to = address(&server, Transport::Tls, V4);
    let over = |own: Option<(&Path, &Path)>| {
        let config = trusting(&authority.file, own);
        secure_to(to, "example.org", &config)
    };
    let ask = |own: Option<(&Path, &Path)>| {
        let mut stream = over(own).unwrap();
        let via = format!("TLS {}", stream.sock.local_addr().unwrap());
        // Nobody is registered, which only those hear who are let through.
        status(&mut stream, &message("sip:bob@example.org", &via))
    };
    let carrier = authority.issue(&["x.test", "carrier.test"]);
    let other = authority.issue(&["other.test"]);
    let wild = authority.issue(&["*.test"]);
    assert_eq!(ask(Some((&carrier.0, &carrier.1))), 480);
    assert_eq!(ask(Some((&other.0, &other.1))), 407);
    assert_eq!(ask(Some((&wild.0, &wild.1))), 407);
    assert_eq!(ask(None), 407);
    server.shutdown(LONG);
}

/// A phone without a password registers and calls as the user of its certificate, and as nobody
/// else; only who certifies devices can make such a certificate, and it makes no other.
#[test]
fn a_device_is_known_by_its_certificate() {
    let [trusted, makers] = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let (authority, maker) = (Authority::new(trusted.path()), Authority::new(makers.path()));
    let mut startup = startup(&authority);
    let account = |user: &str| Account {
        aor: AddressOfRecord::from_text(&format!("{user}@example.org")).unwrap(),
        ha1: Ha1::from_password(user.as_bytes(), b"example.org", b"opensesame"),
        display_name: String::new(),
        enabled: user != "eve",
    };
    startup.accounts = ["alice", "bob", "eve"].map(account).into();
    let (name, tls_names) = ("carrier".into(), vec!["carrier.test".into()]);
    startup.peers = vec![Peer { name, tls_names, ..Peer::default() }];
    startup.tls.certificates = vec![authority.issue(&["example.org"])];
    startup.tls.devices = Some(maker.file.clone());
    let server = serve(&startup);
    let to = address(&server, Transport::Tls, V4);
    let ask = |(certificate, key): &(PathBuf, PathBuf), request: &dyn Fn(&str) -> String| {
        let config = trusting(&authority.file, Some((certificate, key)));
        let mut stream = secure_to(to, "example.org", &config).unwrap();
        let via = format!("TLS {}", stream.sock.local_addr().unwrap());
        status(&mut stream, &request(&via))
    };
    let calls = |via: &str| message("sip:bob@example.org", via);
    let registers = |user: &'static str| move |via: &str| registration(user, via);
    let phone = maker.issue(&["sip:alice@example.org"]);
    assert_eq!(ask(&phone, &registers("alice")), 200);
    assert_eq!(ask(&phone, &calls), 480, "let through, and nobody is there");
    assert_eq!(ask(&phone, &registers("bob")), 401);
    let another = maker.issue(&["sip:bob@example.org"]);
    assert_eq!(ask(&another, &calls), 407, "it says that it is alice");
    let spare = maker.issue(&["sip:nobody@example.org", "sip:alice@example.org"]);
    assert_eq!(ask(&spare, &registers("alice")), 200, "of two users the one who is ours");
    let ended = maker.issue(&["sip:eve@example.org"]);
    assert_eq!(ask(&ended, &registers("eve")), 401, "an account that is switched off");
    let self_made = authority.issue(&["sip:alice@example.org"]);
    assert_eq!(ask(&self_made, &registers("alice")), 401, "by who certifies servers");
    assert_eq!(ask(&maker.issue(&["carrier.test"]), &calls), 407, "by who certifies devices");
    assert_eq!(ask(&authority.issue(&["carrier.test"]), &calls), 480);
    server.shutdown(LONG);
}

#[test]
fn a_certificate_of_somebody_else_is_no_certificate() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (authority, stranger) = (Authority::new(ours.path()), Authority::new(theirs.path()));
    let mut startup = startup(&authority);
    let identity = authority.issue(&["example.org"]);
    startup.tls.certificates = vec![identity];
    let server = serve(&startup);
    let (certificate, key) = stranger.issue(&["carrier.test"]);
    let config = trusting(&authority.file, Some((&certificate, &key)));
    let to = address(&server, Transport::Tls, V4);
    // With TLS 1.3 the refusal comes after the client believes to be done.
    let refused = secure_to(to, "example.org", &config).and_then(|mut stream| {
        stream.write_all(b"\r\n\r\n")?;
        stream.read_exact(&mut [0; 2])
    });
    assert!(refused.is_err());
    server.shutdown(LONG);
}

#[test]
fn certificates_change_while_calls_go_on() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new(folder.path());
    let mut startup = startup(&authority);
    let (certificate, key) = authority.issue(&["example.org"]);
    startup.tls.certificates = vec![(certificate.clone(), key.clone())];
    let server = serve(&startup);
    let to = address(&server, Transport::Tls, V4);
    let config = trusting(&authority.file, None);
    let shown = |stream: &Secure| stream.conn.peer_certificates().unwrap()[0].to_vec();
    let mut before = secure_to(to, "example.org", &config).unwrap();
    let via = format!("TLS {}", before.sock.local_addr().unwrap());
    assert_eq!(status(&mut before, &message("sip:bob@example.org", &via)), 480);

    let old = std::fs::read(&certificate).unwrap();
    authority.issue(&["example.org"]);
    assert_ne!(std::fs::read(&certificate).unwrap(), old);
    server.reload();
    // Nor do clients that were here before go on with what they were shown then.
    let mut after = secure_to(to, "example.org", &config).unwrap();
    assert_eq!(after.conn.handshake_kind(), Some(HandshakeKind::Full));
    assert_ne!(shown(&after), shown(&before));
    for stream in [&mut before, &mut after] {
        let via = format!("TLS {}", stream.sock.local_addr().unwrap());
        assert_eq!(status(stream, &message("sip:bob@example.org", &via)), 480);
    }

    // A bad file leaves what is in force, and is counted.
    std::fs::write(&key, "nothing").unwrap();
    server.reload();
    let third = secure_to(to, "example.org", &trusting(&authority.file, None)).unwrap();
    assert_eq!(shown(&third), shown(&after));
    assert_eq!(server.engine().metrics().certificates_failed.load(Ordering::Relaxed), 1);
    server.shutdown(LONG);
}

#[test]
fn as_a_client_the_server_shows_what_its_files_hold_and_keeps_what_is_open() {
    let (folder, zone) = (TempDir::new().unwrap(), zone());
    let authority = Authority::new(folder.path());
    let far = Far::asking(&authority.issue(&["a.test", "b.test"]), &authority);
    let mut startup = Startup { dns: vec![zone.address], ..startup(&authority) };
    startup.tls.certificates = vec![authority.issue(&["example.org"])];
    let server = serve(&startup);
    let phone = udp_to(address(&server, Transport::Udp, V4));
    let call = |name: &str| send(&phone, &format!("sips:bob@{name}:{}", far.at.port()));
    assert_eq!(call("a.test"), 200);
    authority.issue(&["example.org"]);
    server.reload();
    assert_eq!(call("a.test"), 200);
    assert_eq!(far.shown().len(), 1, "over the connection that was open");
    assert_eq!(call("b.test"), 200);
    let shown = far.shown();
    assert_eq!(shown.len(), 2);
    assert_ne!(shown[0], shown[1]);
    assert_eq!(server.engine().metrics().certificates_refused.load(Ordering::Relaxed), 0);
    server.shutdown(LONG);
}
