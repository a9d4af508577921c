//! What the commands show of a server with a registration and a call, and of its data after it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use ringway_server::commands::{Format, Screen, account, calls, registrations, route, status};
use ringway_server::control::client::Place;
use ringway_server::control::{Failure, Far, Kind};
use ringway_server::server::{Data, Running, Startup};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use world::*;

fn place(folder: &Path, startup: &Startup) -> Place {
    Place {
        control: folder.join("c"),
        data: folder.into(),
        domains: startup.domains.clone(),
        listen: startup.listen.clone(),
        advertise: None,
        ring_s: 60,
        peers: Vec::new(),
        routing: ringway_server::config::routing::Routing::default(),
    }
}

fn startup_in(folder: &TempDir) -> Startup {
    let (data, control) = (Data::Folder(folder.path().into()), Some(folder.path().join("c")));
    // What is kept is found again without a server, accounts from elsewhere are not.
    Startup { data, control, accounts: Vec::new(), ..startup() }
}

type Command<'a> = &'a dyn Fn(&mut dyn Far, &mut Screen<'_>) -> Result<(), Failure>;

fn text(place: &Place, command: Command<'_>) -> String {
    let mut out = Vec::new();
    let mut far = place.reach().unwrap();
    command(&mut *far, &mut Screen::new(&mut out, Format::Table)).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "80 columns: {line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    text
}

fn json(place: &Place, command: Command<'_>) -> Value {
    let mut out = Vec::new();
    let mut far = place.reach().unwrap();
    command(&mut *far, &mut Screen::new(&mut out, Format::Json)).unwrap();
    let value = serde_json::from_slice(&out).unwrap();
    assert_documented(&value);
    value
}

fn add(place: &Place, accounts: &[&str]) {
    for name in accounts {
        text(place, &|far, screen| account::add(far, (name, ""), account::Wanted::Made, screen));
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// That docs/cli.md names every key of an answer.
fn assert_documented(value: &Value) {
    static DOCUMENTED: &str = include_str!("../../../docs/cli.md");
    match value {
        Value::Array(items) => items.iter().for_each(assert_documented),
        Value::Object(members) => {
            for (key, value) in members {
                assert!(
                    DOCUMENTED.contains(&format!("`{key}`")),
                    "docs/cli.md does not name {key}"
                );
                // What is counted is named by what was counted.
                if key != "counters" {
                    assert_documented(value);
                } else {
                    value.as_object().unwrap().keys().for_each(|key| {
                        assert!(DOCUMENTED.contains(&format!("`{key}`")), "counters: {key}");
                    });
                }
            }
        }
        _ => {}
    }
}

/// A REGISTER of bob with everything that could spoil a table.
fn register(from: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8(request("REGISTER", "UDP", from, 1)).unwrap();
    let agent = "User-Agent: Télé\u{202e}phone with quite a long name that says nothing at all\r\n";
    text.replace("Content-Length", &format!("{agent}Content-Length")).into_bytes()
}

#[test]
fn a_call_is_followed_from_the_first_ring_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let startup = startup_in(&folder);
    let server = serve(&startup);
    let place = place(folder.path(), &startup);
    assert_eq!(text(&place, &|far, screen| calls::list(far, screen)), "no calls\n");
    add(&place, &["alice@example.org", "bob@example.org"]);
    let to = address(&server, Transport::Udp, V4);
    let (alice, bob) = (udp_to(to), udp_to(to));
    let (from, contact) = (alice.local_addr().unwrap(), bob.local_addr().unwrap());
    assert!(ask(&bob, &register(contact)).starts_with("SIP/2.0 200 "));

    alice.send(&invite(from)).unwrap();
    let offer = receive(&bob, "INVITE ");
    let now = |state: &str| {
        let table = text(&place, &|far, screen| calls::list(far, screen));
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 2, "{table}");
        assert!(lines[0].starts_with("FROM"), "{table}");
        let row: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(row[..3], ["alice@example.org", "bob@example.org", state], "{table}");
        let all = json(&place, &|far, screen| calls::list(far, screen));
        assert_eq!(all[0]["state"], state);
        assert_eq!(all[0]["from"], "sip:alice@example.org");
        assert_eq!(all[0]["call_id"], "call-2");
        all[0].clone()
    };
    let call = now("trying");
    let expected =
        ["answered_at_s", "call_id", "duration_s", "from", "started_at_s", "state", "to"];
    assert_eq!(keys(&call), expected, "these keys are documented");
    assert_eq!(call["answered_at_s"], Value::Null);
    bob.send(answer(&offer, "180 Ringing", contact).as_bytes()).unwrap();
    receive(&alice, "SIP/2.0 180");
    now("ringing");
    bob.send(answer(&offer, "200 OK", contact).as_bytes()).unwrap();
    let accepted = receive(&alice, "SIP/2.0 200");
    assert!(now("answered")["answered_at_s"].as_u64().is_some());

    let record = accepted.lines().find_map(|l| l.strip_prefix("Record-Route: ")).unwrap();
    let bye = format!(
        "BYE sip:bob@{contact} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK-bye;rport\r\n\
         Route: {record}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@example.org>;tag=a2\r\nTo: <sip:bob@example.org>;tag=bob\r\n\
         Call-ID: call-2\r\nCSeq: 3 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    alice.send(bye.as_bytes()).unwrap();
    receive(&bob, "BYE ");
    assert_eq!(json(&place, &|far, screen| calls::list(far, screen)), json!([]));
    // Nobody answers the BYE.
    server.shutdown(Duration::ZERO);
}

#[test]
fn registrations_and_status_for_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let startup = startup_in(&folder);
    let server = serve(&startup);
    let place = place(folder.path(), &startup);
    let all: Command<'_> = &|far, screen| registrations::list(far, None, screen);
    assert_eq!(text(&place, all), "nobody is registered\n");
    add(&place, &["bob@example.org", "carol@example.org"]);
    let bob = udp_to(address(&server, Transport::Udp, V4));
    let contact = bob.local_addr().unwrap();
    assert!(ask(&bob, &register(contact)).starts_with("SIP/2.0 200 "));

    let table = text(&place, all);
    assert!(table.starts_with("ACCOUNT"), "{table}");
    assert!(table.contains(&format!("udp {contact}")), "{table}");
    assert!(table.contains("bob@example.org") && !table.contains('\u{202e}'), "{table}");
    let rows = json(&place, all);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    let row = &rows[0];
    let expected = [
        "account",
        "contact",
        "device",
        "expires_at_s",
        "expires_in_s",
        "flow",
        "path",
        "q",
        "refreshed_at_s",
        "source",
        "transport",
        "user_agent",
    ];
    assert_eq!(keys(row), expected, "these keys are documented");
    assert_eq!(row["contact"], format!("sip:bob@{contact}"));
    assert_eq!(row["source"], contact.to_string());
    assert!((3_200..=3_600).contains(&row["expires_in_s"].as_u64().unwrap()), "{row}");
    assert!(row["user_agent"].as_str().unwrap().starts_with("Télé\u{202e}phone"), "{row}");
    let of = |name: &'static str| {
        json(&place, &move |far, screen| registrations::list(far, Some(name), screen))
    };
    assert_eq!(of("bob@example.org"), rows);
    let shown = json(&place, &|far, screen| account::show(far, "bob@example.org", screen));
    assert_eq!(keys(&shown), ["account", "algorithms", "enabled", "name", "registrations"]);
    assert_eq!(shown["registrations"], rows);
    assert_eq!(of("carol@example.org"), json!([]));
    let mut far = place.reach().unwrap();
    let mut nothing = Vec::new();
    let mut screen = Screen::new(&mut nothing, Format::Table);
    let failure = registrations::list(&mut *far, Some("eve@example.org"), &mut screen);
    assert_eq!(failure.map_err(|failure| failure.kind), Err(Kind::NotFound));

    status_tells(&server, &place);
    server.shutdown(LONG);

    let failure = place.running().map(|_| ()).expect_err("it has stopped");
    assert_eq!(failure.kind, Kind::Unreachable);
    let rows = json(&place, all);
    assert_eq!(rows[0]["source"], contact.to_string(), "what the server will know again");
}

/// What `status` says of a server on which two have accounts and one is registered.
fn status_tells(server: &Running, place: &Place) {
    let table = text(place, &|far, screen| status::show(far, screen));
    for line in [
        "domains        example.org",
        "accounts       2",
        "registrations  1",
        "requests       REGISTER 1",
    ] {
        assert!(table.lines().any(|l| l == line), "{line} in\n{table}");
    }
    assert!(table.contains(&format!("udp {}", address(server, Transport::Udp, V6))), "{table}");
    let told = json(place, &|far, screen| status::show(far, screen));
    assert_eq!(told["registrations"], 1);
    assert_eq!(told["store"]["ok"], true);
    assert_eq!(told["listeners"].as_array().map(Vec::len), Some(4));
    assert_eq!(told["counters"]["requests"]["REGISTER"], 1);
    assert_eq!(told["counters"]["responses_sent"]["2xx"], 1);
}

#[test]
fn a_route_is_explained_alike_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let startup = startup_in(&folder);
    let place = place(folder.path(), &startup);
    add(&place, &["alice@example.org", "bob@example.org"]);
    let server = serve(&startup);
    let bob = udp_to(address(&server, Transport::Udp, V4));
    let contact = bob.local_addr().unwrap();
    assert!(ask(&bob, &register(contact)).starts_with("SIP/2.0 200 "));
    let ways = [
        ("alice@example.org", "bob"),
        ("alice@example.org", "eve"),
        ("alice@example.org", "alice@example.org"),
        ("alice@example.org", "sip:x@198.51.100.7;transport=tcp"),
        ("mallory@example.org", "bob"),
    ];
    let explain = |way: (&'static str, &'static str)| {
        json(&place, &move |far, screen| route::explain(far, way, screen))
    };
    let running = ways.map(explain);
    let shown = text(&place, &|far, screen| route::explain(far, ways[0], screen));
    let line = format!("   sip:bob@{contact} over udp to {contact}  [registered, q=1.000]");
    assert!(shown.lines().any(|l| l == line), "{line} in\n{shown}");
    assert!(shown.ends_with("RESULT: would try one place\n"), "{shown}");
    let shown = text(&place, &|far, screen| route::explain(far, ways[1], screen));
    assert!(shown.ends_with("RESULT: refused with 404 (no_such_user)\n"), "{shown}");
    let branch = &running[0]["groups"][0]["branches"][0];
    assert_eq!(branch["remote"], contact.to_string());
    assert_eq!((&branch["rule"], &branch["q"]), (&json!("registered"), &json!(1000)));
    assert_eq!(running[1]["refusal"], json!({"status": 404, "reason": "no_such_user"}));
    assert_eq!(running[2]["refusal"]["status"], 480);
    assert_eq!(running[3]["groups"][0]["branches"][0]["rule"], "request_uri");
    assert_eq!(running[4]["refusal"]["status"], 407);
    server.shutdown(LONG);
    assert_eq!(ways.map(explain), running);
}
