//! Who somebody is said to be, and who may say it: RFC 3323, RFC 3325, RFC 5876, and the rows B1
//! and B3 of the threat list as tables.

mod world;

use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::snapshot::Peer;
use world::{Sent, World, account, read, request, route_set, world};

const BOB: &str = "192.0.2.21:5060";
const ALICE: &str = "203.0.113.5:5060";
/// A peer that need not log in, and is not believed.
const CARRIER: &str = "198.18.0.5:5060";
/// A peer of the trust domain.
const TRUNK: &str = "198.51.100.1:5060";

/// As others may write what they must not say: forty ways.
const SPELLINGS: [&str; 40] = [
    "P-Asserted-Identity",
    "p-asserted-identity",
    "P-ASSERTED-IDENTITY",
    "p-Asserted-iDENTITY",
    "P-Asserted-Identity ",
    "P-Asserted-Identity\t",
    "P-ASSERTED-IDENTITY \t ",
    "P-Asserted-Service",
    "p-asserted-service ",
    "P-Asserted-Anything",
    "P-Preferred-Identity",
    "p-preferred-identity\t",
    "P-PREFERRED-IDENTITY",
    "P-Preferred-Service",
    "Remote-Party-ID",
    "remote-party-id",
    "REMOTE-PARTY-ID ",
    "Remote-Party-Id\t",
    "RPID-Privacy",
    "Diversion",
    "DIVERSION",
    "diversion  ",
    "CC-Diversion",
    "History-Info",
    "history-info",
    "HISTORY-INFO\t",
    "P-Charging-Vector",
    "p-charging-vector ",
    "P-Charging-Function-Addresses",
    "P-CHARGING-FUNCTION-ADDRESSES",
    "P-Charge-Info",
    "P-DCS-Billing-Info",
    "P-Served-User",
    "P-Profile-Key",
    "P-User-Database",
    "P-Called-Party-ID",
    "P-Associated-URI",
    "Additional-Identity",
    "Attestation-Info",
    "Origination-ID ",
];

fn with_peers() -> World {
    let mut world = world();
    let mut alice = account("alice");
    alice.display_name = "Alice \"A\" \\".into();
    world.snapshot.accounts.put(alice);
    world.snapshot.peers.push(Peer {
        name: "carrier".into(),
        networks: vec![("198.18.0.0".parse().expect("an address"), 24)],
        trust_udp: true,
        ..Peer::default()
    });
    world.use_snapshot();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    world
}

/// The copy of a request that went on.
fn copy<'s>(sent: &'s [Sent], method: &str) -> Option<&'s Sent> {
    sent.iter().find(|sent| sent.first_line().starts_with(method))
}

/// A request of the dialog that `ok` began.
fn in_dialog(method: &str, uri: &str, routes: &str, tags: (&str, &str)) -> String {
    format!(
        "{method} {uri} SIP/2.0|Via: SIP/2.0/UDP far.example;branch=z9hG4bK{method};rport|\
         {routes}Max-Forwards: 70|From: <sip:x@example.org>;tag={}|To: <sip:y@example.org>;\
         tag={}|Call-ID: call|CSeq: 2 {method}|Content-Length: 0||",
        tags.0, tags.1
    )
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}: <sip:boss@example.org>|")).collect()
}

// The value stands on a line of its own, and in a list; folded; the header once, twice, and last.
#[test]
//= RFC 3325 5 type=test
fn b1_forty_spellings_of_a_forged_identity_from_whoever_is_not_believed() {
    for name in SPELLINGS {
        for forged in [
            format!("{name}: <sip:boss@example.org>|"),
            format!("{name}:sip:boss@example.org|"),
            format!("{name}: \"B\" <sip:boss@example.org>, <tel:+1;boss=1>|"),
            format!("{name}:| <sip:boss@example.org>|"),
            format!("{name}: <sip:boss@example.org>|X: y|{name}: <sip:boss@example.org>|"),
        ] {
            let text = request("MESSAGE", "sip:bob@example.org", &forged);
            for from in [CARRIER, ALICE] {
                let mut world = with_peers();
                let sent = world.log_in(from, "alice", &text);
                let copy = copy(&sent, "MESSAGE").expect("it went on").clone();
                assert!(!copy.text.contains("boss"), "{from} {forged}: {}", copy.text);
                // And of the one who answers, to either side.
                let sent = world.receive(BOB, &copy.answer(200, &forged));
                assert_eq!(sent[0].status(), 200);
                assert!(!sent[0].text.contains("boss"), "{from} {forged}: {}", sent[0].text);
            }
        }
    }
}

#[test]
//= RFC 3325 5 type=test
fn b1_forged_identities_in_refusals_and_inside_of_dialogs() {
    let forged = lines(&SPELLINGS);
    let mut world = with_peers();
    let sent = world.receive(CARRIER, &request("INVITE", "sip:bob@example.org", &forged));
    let invite = copy(&sent, "INVITE").expect("it went on").clone();
    assert!(!invite.text.contains("boss"), "{}", invite.text);
    for status in [183, 200] {
        let more = format!("Contact: <sip:bob@192.0.2.21>|{forged}");
        let sent = world.receive(BOB, &invite.answer(status, &more));
        assert!(!sent[0].text.contains("boss"), "{}", sent[0].text);
        if status == 200 {
            let ok = sent[0].clone();
            let to_bob = route_set(&ok, true) + &forged;
            let callee = read(&ok, |ok| ok.to().expect("To").tag().expect("a tag").to_vec());
            let callee = String::from_utf8(callee).expect("text");
            let ack = in_dialog("ACK", "sip:bob@192.0.2.21", &to_bob, ("caller", &callee));
            let ack = ack.replace("CSeq: 2", "CSeq: 1");
            let sent = world.receive(CARRIER, &ack);
            assert!(!copy(&sent, "ACK").expect("it went on").text.contains("boss"));
            let to_carrier = route_set(&invite, false) + &forged;
            let bye = in_dialog("BYE", "sip:alice@198.51.100.1", &to_carrier, (&callee, "caller"));
            let sent = world.receive(BOB, &bye);
            let passed = copy(&sent, "BYE").expect("it went on");
            assert!(!passed.text.contains("boss"), "{}", passed.text);
        }
    }
    let again = request("INVITE", "sip:bob@example.org", "").replace("call", "c2");
    let sent = world.receive(CARRIER, &again);
    let invite = copy(&sent, "INVITE").expect("it went on").clone();
    let sent = world.receive(BOB, &invite.answer(486, &forged));
    let busy = sent.iter().find(|sent| sent.status() == 486).expect("it went back");
    assert!(!busy.text.contains("boss"), "{}", busy.text);
}

// What a number has gone through is for networks that we trust to say; the rest of From stays.
#[test]
fn b1_nobody_but_a_trusted_side_says_that_a_number_was_verified() {
    for (said, left) in [
        ("<tel:+12;verstat=TN-Validation-Passed>", "<tel:+12>"),
        ("<tel:+12;cpc=x;VerStat=No;ext=5>", "<tel:+12;cpc=x;ext=5>"),
        ("<tel:+12;%76erstat=TN-Validation-Passed>", "<tel:+12>"),
        ("<sip:+12;verstat=x@h;user=phone;verstat>", "<sip:+12@h;user=phone>"),
        (
            "\"a;verstat=\\\";verstat=\" <sip:a@h;verstat=x?b=c>",
            "\"a;verstat=\\\";verstat=\" <sip:a@h?b=c>",
        ),
        ("sip:a@h;x=y ; verstat=x", "sip:a@h;x=y "),
        ("<sip:verstat@verstat;verstats=1>", "<sip:verstat@verstat;verstats=1>"),
    ] {
        for (from, passes) in [(CARRIER, left), (TRUNK, said)] {
            let mut world = with_peers();
            let text = request("INVITE", "sip:bob@example.org", "")
                .replace("<sip:alice@example.org>;tag", &format!("{said};tag"));
            let sent = world.receive(from, &text);
            let copy = copy(&sent, "INVITE").expect("it went on");
            assert_eq!(copy.one("From"), format!("{passes};tag=caller"), "{from}");
        }
    }
}

#[test]
//= RFC 3325 7 type=test
fn what_a_trusted_side_says_and_who_hears_it() {
    // What is said, whether a trusted side hears it, whether others do, and with `Privacy: id`.
    for (said, trusted, others, private) in [
        ("P-Asserted-Identity: <tel:+1>", true, true, false),
        ("Remote-Party-ID: <sip:+1@x>", true, true, false),
        ("Remote-Party-ID: <sip:+1@x>;privacy=full", true, false, false),
        ("Remote-Party-ID: <sip:+1@x>;Privacy=OFF", true, true, false),
        ("Diversion: <tel:+1>;reason=user-busy", true, true, true),
        ("Diversion: <tel:+1>;privacy=\"full\"", true, false, false),
        ("History-Info: <sip:+1@x?Privacy=history>;index=1", true, false, false),
        ("History-Info: <sip:+1@x>;index=1", true, true, true),
        ("P-Called-Party-ID: <sip:+1@x>", true, true, true),
        ("P-Charging-Vector: icid-value=1", true, false, false),
        ("P-Asserted-Service: urn:x", true, false, false),
        ("P-Access-Network-Info: 3GPP-GERAN", true, false, false),
        ("P-Preferred-Identity: <tel:+1>", false, false, false),
    ] {
        for (to, asked, passes) in [
            ("sip:x@198.51.100.9", "", trusted),
            ("sip:x@198.51.100.9", "Privacy: id|", trusted),
            ("sip:x@198.18.0.9", "", others),
            ("sip:x@198.18.0.9", "Privacy: none|", others),
            ("sip:x@198.18.0.9", "Privacy: user ;ID|", private),
            ("sip:x@192.0.2.99", "Privacy: id|", private),
        ] {
            let mut world = with_peers();
            let more = format!("{asked}{said}|");
            let sent = world.receive(TRUNK, &request("MESSAGE", to, &more));
            let copy = copy(&sent, "MESSAGE").expect("it went on");
            assert_eq!(copy.text.contains(said), passes, "{asked}{said} to {to}: {}", copy.text);
            assert!(copy.text.contains(asked), "{}", copy.text);
        }
    }
    for asked in ["header", "session", "history"] {
        let mut world = with_peers();
        let more = format!("Privacy: {asked}|History-Info: <sip:+1@x>;index=1|");
        let sent = world.receive(TRUNK, &request("MESSAGE", "sip:bob@example.org", &more));
        assert!(!copy(&sent, "MESSAGE").expect("it went on").text.contains("History-Info"));
    }
}

// Each method outside of dialogs, for each way to name oneself.
#[test]
//= RFC 3325 6 type=test
fn b3_an_account_speaks_for_itself_in_every_method() {
    let methods = [
        "INVITE",
        "MESSAGE",
        "SUBSCRIBE",
        "PUBLISH",
        "REFER",
        "NOTIFY",
        "INFO",
        "UPDATE",
        "OPTIONS",
        "PRACK",
        "BYE",
        "NEWMETHOD",
    ];
    let own = "\"Alice \\\"A\\\" \\\\\" <sip:alice@example.org>";
    for method in methods {
        for (from, heard) in [
            ("<sip:alice@example.org>", Some(own)),
            ("\"Boss\" <sip:%61lice@EXAMPLE.ORG;x=y>", Some(own)),
            ("<sip:anonymous@anonymous.invalid>", None),
            ("\"Anonymous\" <sip:Anonymous.Invalid>", None),
        ] {
            let sent = says(method, from, "P-Preferred-Identity: <sip:boss@example.org>|");
            let copy = copy(&sent, method).unwrap_or_else(|| panic!("{method} {from}: {sent:?}"));
            assert_eq!(copy.all("P-Asserted-Identity"), Vec::from_iter(heard), "{}", copy.text);
            assert!(!copy.text.contains("boss"), "{}", copy.text);
        }
        for from in [
            "<sip:bob@example.org>",
            "<sip:nobody@example.org>",
            "<sip:ALICE@example.org>",
            "<sip:alice@example.com>",
            "<sip:boss@anonymous.invalid>",
            "<sip:anonymous@example.org>",
            "<sip:example.org>",
            "<tel:+12015550123>",
            "<sip:alice@example.org;verstat=TN-Validation-Passed>",
            "<mailto:alice@example.org>",
        ] {
            let sent = says(method, from, "");
            assert!(copy(&sent, method).is_none(), "{method} {from}: {sent:?}");
            assert_eq!(sent.last().map(Sent::status), Some(403), "{method} {from}");
        }
    }
}

/// What follows when Alice, who knows her password, calls herself `from`.
fn says(method: &str, from: &str, more: &str) -> Vec<Sent> {
    let mut world = with_peers();
    let text = request(method, "sip:bob@example.org", more)
        .replace("<sip:alice@example.org>;tag", &format!("{from};tag"));
    world.log_in(ALICE, "alice", &text)
}

#[test]
//= RFC 3325 5 type=test
fn an_account_is_named_to_trusted_peers_and_to_users_of_ours_alone() {
    for (to, named) in [
        ("sip:bob@example.org", true),
        ("sip:x@198.51.100.9", true),
        ("sip:x@198.18.0.9", false),
        ("sip:x@192.0.2.99", false),
    ] {
        let mut world = with_peers();
        let sent = world.log_in(ALICE, "alice", &request("MESSAGE", to, ""));
        let copy = copy(&sent, "MESSAGE").expect("it went on");
        assert_eq!(copy.text.contains("P-Asserted-Identity"), named, "{to}: {}", copy.text);
    }
    let odd = AddressOfRecord::from_text("what?ever@example.org").expect("valid");
    let mut world = with_peers();
    let text =
        request("MESSAGE", "sip:bob@example.org", "").replace("sip:alice@", "sip:what?ever@");
    let sent = world.log_in(ALICE, "what?ever", &text);
    let said = copy(&sent, "MESSAGE").expect("it went on").one("P-Asserted-Identity");
    assert_eq!(said, format!("<sip:{odd}>"));
}
