//! What a dialog that was let through opens, and for whom: the sides of the dialog may reach each
//! other, and that is all (rows B5, E1, F1, F2 of the threat list; docs/decisions/0005).

mod world;

use ringway_core::node::Census;
use world::{
    EDGE, STRANGER, Sent, World, invite, lines, request, route_set, statuses, with_login, world,
};

const ALICE: &str = "203.0.113.5:5060";
const BOB: &str = "192.0.2.21:5060";
/// Behind address translation: only the flow leads there.
const BOB_BEHIND_NAT: &str = "192.0.2.77:1025";

/// Where nobody of this call may send anything.
const ELSEWHERE: [&str; 8] = [
    "sip:+1900@198.51.100.1",
    "sip:x@127.0.0.1",
    "sip:x@10.0.0.1:5060;transport=tcp",
    "sip:x@[::1]",
    "sip:x@192.0.2.21:5061",
    "sip:x@far.example",
    "sip:bob@192.0.2.21;maddr=127.0.0.1",
    "sip:carol@example.org",
];

struct Call {
    world: World,
    /// The INVITE as the callee got it, and the 200 as the caller did.
    invite: Sent,
    ok: Sent,
    number: u32,
}

/// A call of a user who proved who it is to one who registered from `callee`.
fn call(callee: &'static str) -> Call {
    let mut world = world();
    world.register(callee, "bob", "<sip:bob@192.0.2.21>");
    let text = invite("sip:bob@example.org", "")
        .replace("Contact: <sip:alice@198.51.100.1>", "Contact: <sip:alice@203.0.113.5>");
    let sent = world.log_in(ALICE, "alice", &text);
    let invite = sent.iter().find(|sent| sent.first_line().starts_with("INVITE"));
    let invite = invite.expect("it passed").clone();
    let ok = world.receive(callee, &invite.answer(200, "Contact: <sip:bob@192.0.2.21>|"));
    assert_eq!(statuses(&ok), [200]);
    let ok = ok[0].clone();
    Call { world, invite, ok, number: 0 }
}

impl Call {
    fn request(&mut self, method: &str, uri: &str, by_caller: bool, more: &str) -> String {
        self.number += 1;
        let (routes, from, to) = match by_caller {
            true => {
                (route_set(&self.ok, true), "<sip:alice@example.org>;tag=caller", self.ok.one("To"))
            }
            false => (
                route_set(&self.invite, false),
                self.ok.one("To"),
                "<sip:alice@example.org>;tag=caller",
            ),
        };
        let text = request(method, "sip:x@x", &format!("{routes}{more}"));
        text.replacen("sip:x@x", uri, 1)
            .replace("From: <sip:alice@example.org>;tag=caller", &format!("From: {from}"))
            .replace("To: <sip:x@x>", &format!("To: {to}"))
            .replace("z9hG4bKcall", &format!("z9hG4bK{}", self.number))
    }
}

#[test]
//= RFC 3261 16.7 type=test
// "The new URI provided by the proxy MUST satisfy the same constraints on URIs placed in"
fn the_sides_of_a_dialog_reach_each_other_and_are_not_asked() {
    for callee in [BOB, BOB_BEHIND_NAT] {
        for method in ["BYE", "INVITE", "UPDATE", "INFO", "NOTIFY", "FROB", "ACK"] {
            let mut call = call(callee);
            let text = call.request(method, "sip:bob@192.0.2.21", true, "");
            let sent = call.world.receive(ALICE, &text);
            let last = sent.last().expect("it passes");
            assert_eq!(last.to, format!("udp {callee}"), "{method}");
            assert!(last.all("Route").is_empty(), "{}", last.text);
            let text = call.request(method, "sip:alice@203.0.113.5", false, "");
            let sent = call.world.receive(callee, &text);
            assert_eq!(sent.last().expect("it passes").to, format!("udp {ALICE}"), "{method}");
        }
    }
}

// The reason for it: whoever takes part in a call holds its cookie.
#[test]
fn f1_a_dialog_is_no_way_to_anybody_else() {
    for (callee, by_caller) in [(BOB, true), (BOB, false), (BOB_BEHIND_NAT, false)] {
        for method in ["BYE", "INVITE", "MESSAGE", "REFER", "FROB", "ACK"] {
            for uri in ELSEWHERE {
                let mut call = call(callee);
                let before = call.world.census();
                let from = if by_caller { ALICE } else { callee };
                let text = call.request(method, uri, by_caller, "");
                let sent = call.world.receive(from, &text);
                if callee == BOB_BEHIND_NAT {
                    // Where the flow alone leads, a Request-URI says nothing.
                    assert_eq!(sent.last().expect("it passes").to, format!("udp {ALICE}"));
                    continue;
                }
                let expected: &[u16] = if method == "ACK" { &[] } else { &[407] };
                assert_eq!(statuses(&sent), expected, "{method} {uri}");
                assert!(call.world.asks.is_empty(), "nothing is looked up");
                assert_eq!(call.world.census(), before);
            }
        }
    }
}

#[test]
fn f2_a_further_route_leads_only_where_the_dialog_went() {
    for (callee, by_caller) in
        [(BOB, true), (BOB, false), (BOB_BEHIND_NAT, true), (BOB_BEHIND_NAT, false)]
    {
        for uri in ELSEWHERE {
            let route = format!("Route: <{uri};lr>|");
            let mut call = call(callee);
            let from = if by_caller { ALICE } else { callee };
            let target = if by_caller { "sip:bob@192.0.2.21" } else { "sip:alice@203.0.113.5" };
            let text = call.request("INVITE", target, by_caller, &route);
            let sent = call.world.receive(from, &text);
            if uri.contains("example.org") {
                // It names ourselves, and nobody here signed it.
                assert_eq!(statuses(&sent), [403]);
                continue;
            }
            assert_eq!(statuses(&sent), [407], "{uri} {by_caller} {callee}");
            let ack = call.request("ACK", target, by_caller, &route);
            assert!(call.world.receive(from, &ack).is_empty(), "{uri}");
            assert!(call.world.asks.is_empty());
        }
    }
    // And before any dialog, Route or not, a stranger is asked who it is.
    for uri in ELSEWHERE {
        for more in [format!("Route: <{uri};lr>|"), String::new()] {
            let mut world = world();
            let sent = world.receive(STRANGER, &invite(uri, &more));
            // A Route to ourselves that nobody here signed is forged.
            let expected = if more.contains("example.org") { 403 } else { 407 };
            assert_eq!(statuses(&sent), [expected], "{uri}");
            assert_eq!(world.census(), Census::default());
            assert!(world.asks.is_empty());
        }
    }
}

// Somebody knows everything of the call, and sends from elsewhere.
#[test]
fn e1_who_is_no_side_of_a_dialog_ends_and_changes_nothing() {
    for callee in [BOB, BOB_BEHIND_NAT] {
        for (by_caller, uri) in [(true, "sip:bob@192.0.2.21"), (false, "sip:alice@203.0.113.5")] {
            for method in ["BYE", "INVITE", "UPDATE", "INFO", "NOTIFY", "PRACK", "ACK", "CANCEL"] {
                for from in [STRANGER, "tcp#9 203.0.113.1:40000"] {
                    let mut call = call(callee);
                    let text = call.request(method, uri, by_caller, "");
                    let sent = call.world.receive(from, &text);
                    let to_sides =
                        |sent: &Sent| sent.to.contains(callee) || sent.to.contains(ALICE);
                    assert!(!sent.iter().any(to_sides), "{method}: {:?}", lines(&sent));
                    match method {
                        "ACK" => assert!(sent.is_empty()),
                        "CANCEL" => assert!(sent.iter().all(|sent| sent.status() == 481)),
                        _ => assert_eq!(statuses(&sent), [407], "{method}"),
                    }
                }
            }
        }
    }
}

#[test]
//= RFC 3261 22.1 type=test
fn e1_a_cancel_comes_from_where_its_invite_came_from() {
    let mut world = world();
    world.register(BOB, "bob", "<sip:bob@192.0.2.21>");
    let text = invite("sip:bob@example.org", "");
    let sent = world.receive(EDGE, &text);
    world.receive(BOB, &sent[1].answer(180, ""));
    let cancel = text.replace("INVITE", "CANCEL");
    assert!(world.receive(STRANGER, &cancel).is_empty());
    let sent = world.receive("tcp#9 203.0.113.1:40000", &cancel);
    assert_eq!(statuses(&sent), [481]);
    let sent = world.receive(EDGE, &cancel);
    assert_eq!(
        lines(&sent).last().map(String::as_str),
        Some("udp 192.0.2.21:5060 <- CANCEL sip:bob@192.0.2.21 SIP/2.0")
    );
}

// A phone changed its network, or its contact: it says who it is, and goes on.
#[test]
//= RFC 3261 13.2.2.4 type=test
fn a_side_that_moved_proves_who_it_is() {
    for (callee, from, uri) in [
        (BOB, "203.0.113.99:5060", "sip:bob@192.0.2.21"),
        (BOB_BEHIND_NAT, "203.0.113.99:5060", "sip:bob@192.0.2.21"),
        (BOB, ALICE, "sip:bob@192.0.2.88"),
    ] {
        let mut call = call(callee);
        // Another nonce than that of the call.
        call.world.pass(1_000);
        let text = call.request("INVITE", uri, true, "");
        let challenge = call.world.receive(from, &text);
        assert_eq!(statuses(&challenge), [407]);
        let again = with_login(&text, &challenge[0], "alice", "secret").expect("a challenge");
        let sent = call.world.receive(from, &again);
        let to = if uri.contains("88") { "udp 192.0.2.88:5060" } else { &format!("udp {callee}") };
        assert_eq!(sent.last().map(|sent| sent.to.as_str()), Some(to));
        // Its ACK has the same credentials, and is not asked for any.
        let ack = again.replace("INVITE sip", "ACK sip").replace("1 INVITE", "1 ACK");
        let ack = ack.replace("z9hG4bKagain", "z9hG4bKack");
        let passed = call.world.receive(from, &ack);
        assert_eq!(passed.last().map(|sent| sent.to.as_str()), Some(to), "{ack}");
        let wrong = ack.replace("response=\"", "response=\"0");
        assert!(call.world.receive(from, &wrong).is_empty());
    }
}

#[test]
fn b5_a_dialog_of_another_call_is_none() {
    let mut call = call(BOB_BEHIND_NAT);
    for method in ["BYE", "INVITE", "NOTIFY", "MESSAGE"] {
        for to in [ALICE, STRANGER] {
            let text = call.request(method, "sip:bob@192.0.2.21", true, "");
            let text = text.replace("Call-ID: call", "Call-ID: other");
            assert_eq!(statuses(&call.world.receive(to, &text)), [403], "{method}");
        }
    }
}

// The server holds no secrets of its own for others: what a phone or a gateway asks for goes to
// who can answer it, and nothing else is sent because of it.
#[test]
fn c10_whoever_challenges_gets_no_credentials_of_ours() {
    for challenge in [
        "407 Proxy-Authenticate: Digest realm=\"example.org\", nonce=\"x\", qop=\"auth\"",
        "401 WWW-Authenticate: Digest realm=\"carrier.example\", nonce=\"x\", qop=\"auth\"",
    ] {
        let (status, header) = challenge.split_once(' ').expect("a header");
        let status: u16 = status.parse().expect("a status");
        for method in ["BYE", "INVITE", "MESSAGE"] {
            let mut call = call(BOB);
            let text = call.request(method, "sip:bob@192.0.2.21", true, "");
            let copy = call.world.receive(ALICE, &text);
            let copy = copy.last().expect("it passes").clone();
            assert!(copy.all("Proxy-Authorization").is_empty());
            let sent = call.world.receive(BOB, &copy.answer(status, &format!("{header}|")));
            let back: Vec<&Sent> = sent.iter().filter(|sent| sent.status() == status).collect();
            assert_eq!(back.len(), 1, "{:?}", lines(&sent));
            assert_eq!(back[0].to, format!("udp {ALICE}"));
            assert!(back[0].text.contains(header), "as it came: {}", back[0].text);
            // But for the ACK nothing goes to who asked, now or later.
            let later = call.world.pass(120_000);
            let later = later.iter().map(|(_, sent)| sent);
            for sent in sent.iter().chain(later).filter(|sent| sent.to.contains(BOB)) {
                assert!(sent.first_line().starts_with("ACK"), "{}", sent.text);
                assert!(!sent.text.contains("Authorization"), "{}", sent.text);
            }
        }
    }
}
