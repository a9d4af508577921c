//! Who has shown who it is, and for which addresses its connection may stand (RFC 5923).

mod world;

use ringway_core::boundary::Input;
use ringway_core::flow::{CertifiedName, Flow, Transport};
use ringway_wire::{Framing, Index, parse};
use world::{Sent, World, flow, request, statuses, world};

const PHONE: &str = "tcp#1 192.0.2.21:40001";
/// Of the network of a peer.
const PEER: &str = "tcp#2 198.51.100.1:40002";

fn proved(world: &mut World) -> Vec<(Flow, Option<u16>)> {
    std::mem::take(&mut world.proved)
}

#[test]
fn g2_a_password_a_peer_or_a_dialog_of_ours_proves_a_connection_and_nothing_else_does() {
    let mut world = world();
    let options = request("OPTIONS", "sip:example.org", "");
    let message = request("MESSAGE", "sip:bob@example.org", "");
    assert_eq!(statuses(&world.receive(PHONE, &options)), [200]);
    assert_eq!(statuses(&world.receive(PHONE, &message)), [407]);
    assert_eq!(proved(&mut world), [], "whoever sends these may be anybody");
    world.log_in(PHONE, "alice", &message.replace("branch=z9hG4bK", "branch=z9hG4bKsecond"));
    assert_eq!(proved(&mut world), [(flow(PHONE), None)]);
    world.register(PHONE, "bob", "<sip:bob@192.0.2.21:40001;transport=tcp>");
    assert_eq!(proved(&mut world), [(flow(PHONE), None)]);
    world.receive(PEER, &options.replace("z9hG4bK", "z9hG4bKpeer"));
    assert_eq!(proved(&mut world), [(flow(PEER), None)]);
    // A datagram has no connection that could be kept.
    world.receive("198.51.100.1:5060", &message.replace("z9hG4bK", "z9hG4bKudp"));
    assert_eq!(proved(&mut world), []);
}

/// A request of a peer over TLS, whose Via says this.
fn over_tls(world: &mut World, certified: CertifiedName, via: &str) -> Vec<Sent> {
    let number = world.next_number();
    let text = request("OPTIONS", "sip:example.org", "");
    let via = format!("Via: SIP/2.0/TLS {via};branch=z9hG4bKtls{number}|");
    let text = text.replace("Via: SIP/2.0/UDP caller.example;branch=z9hG4bKcall;rport|", &via);
    let bytes = text.replace('|', "\r\n").into_bytes();
    let mut index = Index::new();
    let message = parse(&bytes, &mut index, Framing::Stream).expect("a message");
    let flow = Flow { transport: Transport::Tls, certified, ..flow(PEER) };
    world.handle(Input::Message { flow, message })
}

#[test]
//= RFC 5923 8.2 type=test
// "port is the destination port."
//= RFC 5923 9.2 type=test
// "as if the \"alias\" header field parameter was not present in the"
fn g8_an_alias_needs_a_name_that_a_certificate_proves() {
    let mut world = world();
    let named = CertifiedName(7);
    for (certified, via, alias) in [
        (named, "peer.example;alias", Some(5061)),
        (named, "peer.example:5099;alias", Some(5099)),
        (named, "peer.example:5099;ALIAS;rport", Some(5099)),
        (named, "peer.example:5099", None),
        (CertifiedName::NONE, "peer.example:5099;alias", None),
    ] {
        let sent = over_tls(&mut world, certified, via);
        //= RFC 5923 8.2 type=test
        // "request to proceed as though the \"alias\" header field parameter was"
        assert_eq!(statuses(&sent), [200], "{via}");
        let found: Vec<_> = proved(&mut world).into_iter().map(|(_, alias)| alias).collect();
        assert_eq!(found, [alias], "{via}");
    }
}
