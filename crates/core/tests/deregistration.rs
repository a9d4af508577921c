//! D2 of the threat list: nobody ends the registrations of others, not even with what they said
//! themselves a while ago.

mod world;

use ringway_core::address_of_record::AddressOfRecord;
use world::{STRANGER, World, statuses, with_login, world};

const PHONE: &str = "192.0.2.21:5060";

/// Bob's phone says this, all in one Call-ID.
fn register(cseq: u32, contact: &str) -> String {
    format!(
        "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/UDP {PHONE};branch=z9hG4bKr{cseq};rport|\
         From: <sip:bob@example.org>;tag=r|To: <sip:bob@example.org>|Call-ID: bob|\
         CSeq: {cseq} REGISTER|Contact: {contact}|Content-Length: 0||"
    )
}

fn contacts(world: &World) -> usize {
    let bob = AddressOfRecord::from_text("bob@example.org").expect("a user of ours");
    world.node.locate(&bob, world.now).len()
}

#[test]
//= RFC 3261 10.3 type=test
fn d2_a_star_that_is_said_again_ends_nothing() {
    let mut world = world();
    let first = world.log_in(PHONE, "bob", &register(1, "<sip:bob@192.0.2.21>"));
    assert_eq!(first.last().map(|sent| sent.status()), Some(200));
    // He ends it, somebody hears that, and he comes back.
    let star = register(3, "*|Expires: 0");
    let challenge = world.receive(PHONE, &star);
    let star = with_login(&star, &challenge[0], "bob", "secret").expect("a challenge");
    assert_eq!(statuses(&world.receive(PHONE, &star)), [200]);
    assert_eq!(contacts(&world), 0);
    let back = world.log_in(PHONE, "bob", &register(5, "<sip:bob@192.0.2.21>"));
    assert_eq!(back.last().map(|sent| sent.status()), Some(200));
    // The same bytes, from his address and from another one, now and when the nonce has ended.
    for _ in 0..2 {
        for from in [PHONE, STRANGER] {
            assert_eq!(statuses(&world.receive(from, &star)), [401], "{from}");
            assert_eq!(contacts(&world), 1, "{from}");
        }
        world.pass(400_000);
    }
    // With credentials of now, what is older changes nothing, and a star must be alone.
    for (old, status) in [
        (register(2, "*|Expires: 0"), 500),
        (register(4, "<sip:bob@192.0.2.21>;expires=0"), 500),
        (register(8, "*|Expires: 60"), 400),
        (register(8, "*, <sip:bob@192.0.2.21>|Expires: 0"), 400),
    ] {
        let sent = world.log_in(PHONE, "bob", &old);
        assert_eq!(sent.last().map(|sent| sent.status()), Some(status), "{old}");
        assert_eq!(contacts(&world), 1, "{old}");
    }
}
