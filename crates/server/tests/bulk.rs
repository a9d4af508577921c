//! Durable registrations by the thousand: from the datagram over the disk to the 200.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::flow::Transport;
use ringway_server::server::Data;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;
use world::*;

const PHONES: u32 = 4;
const USERS_OF_EACH: u32 = 7_500;
/// Requests each phone has under way: many, or commits would hold few; more answers than these
/// would not fit into its socket.
const WINDOW: u32 = 100;

/// What was asked of the store: 10,000 registrations a second, each committed before its 200.
#[test]
fn ten_thousand_durable_registrations_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut startup = startup();
    startup.data = Data::Folder(folder.path().to_owned());
    startup.accounts = (0..PHONES * USERS_OF_EACH).map(account).collect();
    let server = serve(&startup);
    let to = address(&server, Transport::Udp, V4);
    let begun = Instant::now();
    let phones: Vec<_> = (0..PHONES).map(|n| thread::spawn(move || register_all(to, n))).collect();
    let answered: u32 = phones.into_iter().map(|phone| phone.join().unwrap()).sum();
    let elapsed = begun.elapsed();
    assert_eq!(answered, PHONES * USERS_OF_EACH);
    let rate = f64::from(answered) / elapsed.as_secs_f64();
    println!("{answered} durable registrations in {elapsed:.2?}: {rate:.0} a second");
    assert!(rate >= 10_000.0, "{rate:.0} a second");
    server.shutdown(LONG);

    // Every one of them is there after a restart.
    let again = serve(&startup);
    assert_eq!(again.engine().numbers().registrations, u64::from(answered));
    again.shutdown(LONG);
}

fn account(n: u32) -> Account {
    let aor = AddressOfRecord::from_text(&format!("u{n}@example.org")).unwrap();
    Account { aor, ha1: Ha1::default(), display_name: String::new(), enabled: true }
}

/// Registers the users of one phone; tells how many got a 200.
fn register_all(server: SocketAddr, phone: u32) -> u32 {
    let socket = udp_to(server);
    let from = socket.local_addr().unwrap();
    let first = phone * USERS_OF_EACH;
    let (mut sent, mut answered) = (0, 0);
    let mut buffer = [0; 2_048];
    while answered < USERS_OF_EACH {
        while sent < USERS_OF_EACH && sent - answered < WINDOW {
            socket.send(&registration(first + sent, from)).unwrap();
            sent += 1;
        }
        let length = socket.recv(&mut buffer).expect("an answer to each");
        let answer = &buffer[..length];
        assert!(answer.starts_with(b"SIP/2.0 200 "), "{}", String::from_utf8_lossy(answer));
        answered += 1;
    }
    answered
}

fn registration(user: u32, from: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8(request("REGISTER", "UDP", from, user + 1)).unwrap();
    text.replace("sip:bob@", &format!("sip:u{user}@")).into_bytes()
}
