//! SIPS in Record-Route (RFC 3261 §16.6 step 4), where the two sides of a call differ.

mod world;

use ringway_core::flow::{Listener, Transport};
use ringway_core::time::Instant;
use world::{EDGE, Sent, World, invite, world_with};

const BOB: &str = "tls#1 192.0.2.21:40001";
const ALICE: &str = "tls#2 198.51.100.1:40002";

/// UDP and TLS; Bob is registered over TLS with a SIPS URI.
fn world() -> World {
    let listener = |transport, local: &str| Listener {
        transport,
        local: local.parse().expect("an address"),
        advertised: None,
    };
    let listeners = vec![
        listener(Transport::Udp, "192.0.2.1:5060"),
        listener(Transport::Tls, "192.0.2.1:5061"),
    ];
    let mut world = world_with(listeners, Instant::from_secs(1_700_000_000));
    world.register(BOB, "bob", "<sips:bob@192.0.2.21:5061>");
    world
}

/// Where the Record-Route entries of the INVITE that Bob gets lead, the topmost first.
fn entries(sent: &[Sent]) -> Vec<String> {
    let invite = sent.iter().find(|sent| sent.first_line().starts_with("INVITE "));
    let invite = invite.unwrap_or_else(|| panic!("{sent:?}"));
    let without_cookie = |value: &&str| {
        let (scheme, rest) = value.split_once(':').expect("a URI");
        format!("{scheme}:{}", rest.split_once('@').expect("a cookie").1)
    };
    invite.all("Record-Route").iter().map(without_cookie).collect()
}

#[test]
//= RFC 3261 16.6 type=test
// "Request-URI contains a SIPS URI, or the topmost Route header"
fn each_side_of_a_secure_call_gets_an_entry_that_it_can_reach() {
    let mut world = world();
    let sips = invite("sips:bob@example.org", "");
    // Both are over TLS: SIPS for both.
    let sent = world.receive(ALICE, &sips.replace("SIP/2.0/UDP", "SIP/2.0/TLS"));
    assert_eq!(entries(&sent), ["<sips:192.0.2.1:5061;lr>", "<sips:192.0.2.1:5061;lr>"]);
    // A caller that came over UDP could not send to a SIPS URI of that socket: it has no TLS.
    let again = sips.replace("z9hG4bKcall", "z9hG4bKother").replace("Call-ID: call", "Call-ID: b");
    let sent = world.receive(EDGE, &again);
    assert_eq!(entries(&sent), ["<sips:192.0.2.1:5061;lr>", "<sip:192.0.2.1:5060;lr>"]);
}

#[test]
//= RFC 3261 16.6 type=test
// "(after the post processing of bullet 6), MUST insert a Record-Route header field that"
fn a_call_that_asks_for_no_secrecy_gets_no_sips() {
    let mut world = world();
    world.register("192.0.2.21:5060", "carol", "<sip:carol@192.0.2.21:5060>");
    let text = invite("sip:carol@example.org", "").replace("SIP/2.0/UDP", "SIP/2.0/TLS");
    let sent = world.receive(ALICE, &text);
    let expected = ["<sip:192.0.2.1:5060;lr>", "<sip:192.0.2.1:5061;transport=tls;lr>"];
    assert_eq!(entries(&sent), expected);
}
