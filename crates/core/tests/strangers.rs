//! What nobody we know can make of us: no state, one answer at most, no third address, and no
//! word about who exists (rows B4 to C9 and D of the threat list; RFC 3261 §8.2.7, §26.3.2.4).

mod world;

use ringway_core::boundary::{AuthFailure, Event};
use ringway_core::node::Census;
use world::{
    EDGE, STRANGER, Sent, World, invite, lines, request, route_set, statuses, with_login, world,
};

const METHODS: [&str; 15] = [
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "REGISTER",
    "OPTIONS",
    "PRACK",
    "UPDATE",
    "INFO",
    "SUBSCRIBE",
    "NOTIFY",
    "REFER",
    "MESSAGE",
    "PUBLISH",
    "FROB",
];

/// Nothing is left of what a stranger sent, and it got one answer at most, to its own address.
fn leaves_nothing(world: &mut World, from: &str, text: &str) -> Option<Sent> {
    let sent = world.receive(from, text);
    assert!(sent.len() <= 1, "{:?} for {text}", lines(&sent));
    assert_eq!(world.census(), Census::default(), "{text}");
    assert_eq!(world.node.registrations(), 0, "{text}");
    assert!(world.asks.is_empty(), "{text}");
    let answer = sent.into_iter().next()?;
    assert!(answer.status() >= 200, "no provisional answer: {}", answer.text);
    let ip = |address: &str| {
        address.rsplit(' ').next().map(|a| a.rsplit_once(':').map(|b| b.0.to_owned()))
    };
    assert_eq!(ip(&answer.to), ip(from), "no third address");
    if !from.starts_with("tcp") {
        let (got, gave) = (text.replace('|', "\r\n").len(), answer.bytes().len());
        assert!(gave <= 3 * got, "{gave} bytes for {got}: {}", answer.text);
    }
    Some(answer)
}

#[test]
//= RFC 3261 22.1 type=test
fn b4_e16_every_method_is_challenged_and_leaves_nothing() {
    for method in METHODS {
        for uri in ["sip:bob@example.org", "sip:example.org", "sip:x@far.example", "tel:+1"] {
            for from in [STRANGER, "tcp#5 203.0.113.1:40000", "[2001:db8:7::1]:5060"] {
                let text = request(method, uri, "");
                let mut world = world();
                let answer = leaves_nothing(&mut world, from, &text);
                let status = answer.map(|answer| answer.status());
                match method {
                    "ACK" => assert_eq!(status, None, "an ACK is never answered"),
                    "CANCEL" if from.starts_with("tcp") => assert_eq!(status, Some(481)),
                    "CANCEL" => assert_eq!(status, None, "nor is a CANCEL of nothing"),
                    "OPTIONS" if uri == "sip:example.org" => assert_eq!(status, Some(200)),
                    "REGISTER" if !uri.contains("far") && uri != "tel:+1" => {
                        assert_eq!(status, Some(401), "{uri}");
                    }
                    _ => assert_eq!(status, Some(407), "{method} {uri}"),
                }
            }
        }
    }
}

#[test]
fn b5_a_tag_alone_is_no_dialog() {
    let mut world = world();
    for n in 0..2_000_u32 {
        for method in ["BYE", "INVITE", "NOTIFY"] {
            let text = request(method, "sip:bob@example.org", "")
                .replace("To: <sip:bob@example.org>", &format!("To: <sip:bob@x>;tag={n:x}"));
            let answer = leaves_nothing(&mut world, STRANGER, &text);
            assert_eq!(answer.map(|a| a.status()), Some(407));
        }
    }
}

#[test]
fn b6_a_route_of_ours_that_was_changed_opens_nothing() {
    let mut world = world();
    world.register("192.0.2.77:1025", "bob", "<sip:bob@10.0.0.1>");
    let sent = world.receive(EDGE, &invite("sip:bob@example.org", ""));
    let ok = sent[1].answer(200, "Contact: <sip:bob@10.0.0.1>|");
    let ok = world.receive("192.0.2.77:1025", &ok)[0].clone();
    let routes = route_set(&ok, true);
    let bye = |method: &str, routes: &str, call: &str, to: &str| {
        request(method, "sip:bob@10.0.0.1", routes)
            .replace("Call-ID: call", &format!("Call-ID: {call}"))
            .replace("To: <sip:bob@10.0.0.1>", to)
            .replace("z9hG4bKcall", "z9hG4bKother")
    };
    let tagged = "To: <sip:bob@x>;tag=1";
    world.restart();
    let passed = world.receive(STRANGER, &bye("BYE", &routes, "call", tagged));
    assert_eq!(lines(&passed), ["udp 192.0.2.77:1025 <- BYE sip:bob@10.0.0.1 SIP/2.0"]);
    world.restart();
    // Any changed character, another call, or no dialog.
    let letters: Vec<usize> = routes
        .match_indices("<sip:")
        .flat_map(|(at, _)| at + 5..at + routes[at..].find('@').expect("a user part"))
        .collect();
    assert!(letters.len() > 60, "two cookies");
    for at in letters {
        for other in ["A", "B", "C", "D", "x", "0", "_", "%41"] {
            if routes[at..=at] == *other {
                continue;
            }
            let changed = format!("{}{other}{}", &routes[..at], &routes[at + 1..]);
            let answer =
                leaves_nothing(&mut world, STRANGER, &bye("BYE", &changed, "call", tagged));
            assert_eq!(answer.map(|a| a.status()), Some(403), "{changed}");
            let ack = bye("ACK", &changed, "call", tagged);
            assert!(leaves_nothing(&mut world, STRANGER, &ack).is_none());
        }
    }
    let answer = leaves_nothing(&mut world, STRANGER, &bye("BYE", &routes, "other", tagged));
    assert_eq!(answer.map(|a| a.status()), Some(403), "of another call");
    let invite = bye("INVITE", &routes, "call", "To: <sip:bob@x>");
    let answer = leaves_nothing(&mut world, STRANGER, &invite);
    assert_eq!(answer.map(|a| a.status()), Some(407), "outside a dialog it proves nothing");
}

/// The answer without what differs from nonce to nonce.
fn masked(answer: &Sent) -> String {
    let mut text = answer.text.clone();
    while let Some(at) = text.find("nonce=\"") {
        let end = at + 7 + text[at + 7..].find('"').expect("a quote");
        text.replace_range(at..=end, "<nonce of 40>");
        assert_eq!(end - at, 47);
    }
    text
}

#[test]
fn c3_unknown_and_disabled_users_are_answered_like_known_ones() {
    for method in ["REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "OPTIONS"] {
        let answers: Vec<Vec<String>> = ["alice", "nobod", "carol"]
            .iter()
            .map(|user| {
                let mut world = world();
                let mut gone = world::account("carol");
                gone.enabled = false;
                world.snapshot.accounts.put(gone);
                world.use_snapshot();
                let text = request(method, "sip:dave@example.org", "")
                    .replace("sip:alice@example.org", &format!("sip:{user}@example.org"))
                    .replace("To: <sip:dave@", &format!("To: <sip:{user}@"));
                let first = leaves_nothing(&mut world, STRANGER, &text).expect("a challenge");
                let wrong = with_login(&text, &first, user, "wrong").expect("a challenge");
                let second = leaves_nothing(&mut world, STRANGER, &wrong).expect("another");
                [first, second].iter().map(|a| masked(a).replace(user, "user5")).collect()
            })
            .collect();
        assert_eq!(answers[0], answers[1], "{method}");
        assert_eq!(answers[0], answers[2], "{method}");
        assert!(answers[0][1].contains(" 401 ") || answers[0][1].contains(" 407 "));
        assert!(!answers[0][1].contains("stale"), "a failure is no stale nonce");
    }
    // The one who is called is no secret only to who may call.
    for callee in ["bob", "nobody", "carol"] {
        let mut world = world();
        let text = invite(&format!("sip:{callee}@example.org"), "");
        let answer = leaves_nothing(&mut world, STRANGER, &text).expect("a challenge");
        assert_eq!(answer.status(), 407);
    }
}

#[test]
//= RFC 3261 8.2.7 type=test
fn c6_the_same_request_gets_the_same_tag_and_nothing_is_kept() {
    let mut world = world();
    let text = invite("sip:bob@example.org", "");
    let first = leaves_nothing(&mut world, STRANGER, &text).expect("a challenge");
    world.pass(5_000);
    world.restart();
    let second = leaves_nothing(&mut world, STRANGER, &text).expect("a challenge");
    assert_eq!(first.one("To"), second.one("To"));
    let ack = text.replace("INVITE", "ACK");
    assert!(leaves_nothing(&mut world, STRANGER, &ack).is_none());
    assert!(world.pass(60_000).is_empty(), "nothing is sent again");
    // A flood of them, and of everything around them, is as if it had not been.
    for n in 0..20_000_u32 {
        let method = METHODS[n as usize % METHODS.len()];
        let text = request(method, "sip:bob@example.org", "").replace("call", &format!("{n}"));
        leaves_nothing(&mut world, &format!("203.0.113.{}:{}", n % 256, 1024 + n % 999), &text);
    }
    assert!(world.wake.is_none(), "no timer runs");
}

#[test]
fn c5_credentials_are_good_once_from_one_place_and_in_one_life() {
    let mut world = world();
    world.register("192.0.2.21:5060", "bob", "<sip:bob@192.0.2.21>");
    let text = invite("sip:bob@example.org", "");
    let challenge = world.receive(STRANGER, &text)[0].clone();
    let good = with_login(&text, &challenge, "alice", "secret").expect("a challenge");
    // From another port: right, but not from where the nonce went to. No failure.
    let moved = world.receive("203.0.113.1:5061", &good);
    assert!(
        moved[0].all("Proxy-Authenticate").iter().all(|c| c.ends_with("stale=true")),
        "{moved:?}"
    );
    assert_eq!(world.census().server_transactions, 0);
    let sent = world.receive(STRANGER, &good);
    assert_eq!(lines(&sent)[1], "udp 192.0.2.21:5060 <- INVITE sip:bob@192.0.2.21 SIP/2.0");
    // The very same again is a repetition, with another branch it is a replay.
    assert_eq!(statuses(&world.receive(STRANGER, &good)), [100]);
    let replay = good.replace("z9hG4bKagain", "z9hG4bKreplay");
    let sent = world.receive(STRANGER, &replay);
    assert_eq!(sent.last().map(Sent::status), Some(407));
    assert!(sent.last().expect("it").all("Proxy-Authenticate")[0].ends_with("stale=true"));
    assert!(!sent.iter().any(|s| s.first_line().starts_with("INVITE")), "nothing passed");
    let replays = world
        .events
        .iter()
        .filter(|e| matches!(e, Event::AuthFailed { reason: AuthFailure::Replay, .. }));
    assert_eq!(replays.count(), 1);
    // After a restart its windows are gone, so its nonces are.
    world.pass(1_000);
    world.restart();
    let later = good.replace("z9hG4bKagain", "z9hG4bKlater").replace("nc=00000001", "nc=00000002");
    let sent = world.receive(STRANGER, &later);
    assert_eq!(sent.last().map(Sent::status), Some(407));
    // Five minutes are the life of a nonce.
    world.pass(1_000);
    let challenge = world.receive(STRANGER, &text)[0].clone();
    let good = with_login(&text, &challenge, "alice", "secret").expect("a challenge");
    world.pass(300_000);
    let sent = world.receive(STRANGER, &good.replace("again", "old"));
    assert_eq!(statuses(&sent), [407]);
    assert!(sent[0].all("Proxy-Authenticate")[0].ends_with("stale=true"));
    let failures = world.events.iter().filter(|e| matches!(e, Event::AuthFailed { .. }));
    assert_eq!(failures.count(), 2, "two replays, and what is old is no failure");
}

#[test]
//= RFC 3261 22.3 type=test
fn b3_nobody_calls_in_another_name() {
    for method in ["INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "OPTIONS"] {
        for from in [
            "<sip:bob@example.org>",
            "<sip:alice@far.example>",
            "<tel:+12015550123>",
            "<mailto:alice@example.org>",
            "<sip:example.org>",
            "\"alice\" <sip:ALICE@example.org>",
        ] {
            let mut world = world();
            let text = request(method, "sip:bob@example.org", "")
                .replace("From: <sip:alice@example.org>", &format!("From: {from}"));
            let sent = world.log_in(STRANGER, "alice", &text);
            assert_eq!(statuses(&sent), [403], "{method} {from}");
            assert_eq!(world.census(), Census::default());
        }
        for from in [
            "<sip:alice@example.org>",
            "<sips:%61lice@EXAMPLE.org:5060;x=y>",
            "sip:alice@192.0.2.1",
        ] {
            let mut world = world();
            let text = request(method, "sip:bob@example.org", "")
                .replace("From: <sip:alice@example.org>", &format!("From: {from}"));
            let sent = world.log_in(STRANGER, "alice", &text);
            assert_eq!(sent.last().map(Sent::status), Some(480), "{method} {from}");
        }
    }
}

#[test]
fn c9_bombs_of_credentials_cost_an_answer() {
    let digest = "Digest username=\"alice\", realm=\"example.org\", nonce=\"x\", uri=\"sip:b\", \
                  response=\"00\", qop=auth, nc=1, cnonce=\"y\"";
    let long = format!("Digest {}realm=\"example.org\"", "a=b, ".repeat(1_000));
    for more in [
        format!("Authorization: {digest}|").repeat(100),
        format!("Authorization: {long}|"),
        "Authorization: Digest|".to_owned(),
        "Authorization: Digest username=\"alice\"|".to_owned(),
        "Authorization: Digest realm=\"example.org\"|".to_owned(),
        format!("Authorization: Digest realm=\"{}|", "\\".repeat(4_000)),
        format!("Authorization: Digest realm=\"example.org\", nonce=\"{}\"|", "A".repeat(4_000)),
        "Authorization: Basic YWxpY2U6c2VjcmV0|".to_owned(),
        "Authorization: |".to_owned(),
    ] {
        for method in ["REGISTER", "INVITE"] {
            let (uri, more) = match method {
                "REGISTER" => ("sip:example.org", more.clone()),
                _ => ("sip:bob@example.org", more.replace("Auth", "Proxy-Auth")),
            };
            let text = request(method, uri, &more)
                .replace("To: <sip:example.org>", "To: <sip:alice@example.org>");
            let answer = leaves_nothing(&mut world(), STRANGER, &text).expect("an answer");
            assert!([400, 401, 407].contains(&answer.status()), "{}", answer.text);
        }
    }
    // Only the first few are looked at: the right one behind them is too late.
    let mut world = world();
    let text = request("MESSAGE", "sip:bob@example.org", "");
    let challenge = world.receive(STRANGER, &text)[0].clone();
    let good = with_login(&text, &challenge, "alice", "secret").expect("a challenge");
    for (others, status) in [(3, 480), (4, 407)] {
        let bombs = "Proxy-Authorization: Digest realm=\"x\"|".repeat(others);
        let text = good.replacen("|Proxy-Auth", &format!("|{bombs}Proxy-Auth"), 1);
        let text = text.replace("again", &format!("a{others}"));
        assert_eq!(world.receive(STRANGER, &text).last().map(Sent::status), Some(status));
    }
}

#[test]
fn what_names_no_way_back_is_dropped() {
    for from in [STRANGER, EDGE] {
        let mut world = world();
        let text = format!("INVITE sip:a@example.org SIP/2.0|X: {}||", "x".repeat(500));
        assert!(world.receive(from, &text).is_empty(), "{from}");
        assert_eq!(world.node.counters().dropped["not_sip"], 1, "{from}");
    }
}

#[test]
fn e8_small_questions_get_no_large_answers() {
    let mut small = 0;
    for text in [
        "A b SIP/2.0||",
        "OPTIONS sip:example.org SIP/2.0||",
        "OPTIONS sip:example.org SIP/2.0|v:SIP/2.0/UDP h;branch=z9hG4bKa|f:<sip:a@a>;tag=1|\
         t:<sip:a>|i:a|CSeq:1 OPTIONS||",
        "REGISTER sip:example.org SIP/2.0|v:SIP/2.0/UDP h;branch=z9hG4bKa|\
         f:<sip:a@example.org>;tag=1|t:<sip:a@example.org>|i:a|CSeq:1 REGISTER||",
        "INVITE sip:a@example.org SIP/2.0|v:SIP/2.0/UDP h|f:<sip:a>;tag=1|t:<sip:a>|i:a|\
         CSeq:1 INVITE||",
        "INVITE sip:a@example.org SIP/3.0|v:SIP/2.0/UDP h;rport||",
        "SUBSCRIBE sip:a@a SIP/2.0|v:SIP/2.0/UDP h;rport|f:sip:a@a|t:sip:a@a|i:a|CSeq:1 X||",
    ] {
        let mut world = world();
        if leaves_nothing(&mut world, STRANGER, text).is_none() {
            small += 1;
        }
        let over_tcp = world.receive("tcp#5 203.0.113.1:40000", text);
        assert_eq!(over_tcp.len(), 1, "who proved its address is answered: {text}");
    }
    assert!(small > 0, "some questions are too small for any answer");
}

#[test]
//= RFC 3261 18.2.2 type=test
//= RFC 3581 4 type=test
fn answers_go_to_the_address_that_asked() {
    let ask = |via: &str, from: &str| {
        let text = request("OPTIONS", "sip:example.org", "");
        let text = text.replace("SIP/2.0/UDP caller.example;branch=z9hG4bKcall;rport", via);
        let sent = world().receive(from, &text);
        (sent[0].to.clone(), sent[0].all("Via")[0].to_owned())
    };
    for (via, to, noted) in [
        (
            "SIP/2.0/UDP h;branch=z9hG4bKx;rport",
            "udp 203.0.113.1:5099",
            ";received=203.0.113.1;rport=5099",
        ),
        (
            "SIP/2.0/UDP h:7000;rport=9;branch=z9hG4bKx",
            "udp 203.0.113.1:5099",
            ";received=203.0.113.1;rport=5099",
        ),
        (
            "SIP/2.0/UDP 203.0.113.1:7000;rport;branch=z9hG4bKx",
            "udp 203.0.113.1:5099",
            ";received=203.0.113.1;rport=5099",
        ),
        ("SIP/2.0/UDP h:7000;branch=z9hG4bKx", "udp 203.0.113.1:7000", ";received=203.0.113.1"),
        ("SIP/2.0/UDP h;branch=z9hG4bKx", "udp 203.0.113.1:5060", ";received=203.0.113.1"),
        ("SIP/2.0/UDP 203.0.113.1:7000;branch=z9hG4bKx", "udp 203.0.113.1:7000", "z9hG4bKx"),
        (
            "SIP/2.0/UDP h;maddr=192.0.2.66;branch=z9hG4bKx",
            "udp 203.0.113.1:5060",
            ";received=203.0.113.1",
        ),
        (
            "SIP/2.0/UDP h;received=192.0.2.66;branch=z9hG4bKx",
            "udp 203.0.113.1:5060",
            "z9hG4bKx;received=203.0.113.1",
        ),
    ] {
        let (got, top) = ask(via, "203.0.113.1:5099");
        assert_eq!(got, to, "{via}");
        assert!(top.ends_with(noted), "{top}");
    }
    let (got, top) = ask("SIP/2.0/UDP [2001:db8:7::1]:7000;branch=z9hG4bKx", "[2001:db8:7::1]:9");
    assert_eq!(got, "udp [2001:db8:7::1]:7000");
    assert!(top.ends_with("z9hG4bKx"), "{top}");
    let (got, _) = ask("SIP/2.0/TCP h;branch=z9hG4bKx", "tcp#5 203.0.113.1:40000");
    assert_eq!(got, "tcp#5 203.0.113.1:40000");
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

#[test]
fn whatever_a_stranger_sends_leaves_nothing() {
    let pieces = [
        "|Route: <sip:AcEYdBao7xue7QuTP66YBmw@192.0.2.1:5060;lr>",
        ";tag=",
        "<sip:",
        ">",
        "\"",
        "|Proxy-Authorization: Digest realm=\"example.org\", nonce=\"",
        ",",
        ";lr",
        "@",
        "%00",
        "|Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK00000001000000001234567800000000000000ff",
        "|Contact: *",
        "|Expires: 0",
        "|Max-Forwards: 0",
        "SIP/2.0",
        " ",
        "|",
        "\\",
        "[::1]",
        "|Require: x",
        "|Content-Length: 9",
        "INVITE",
        "CANCEL",
        "ACK",
        "SIP/2.0 200 OK|",
        "sips:",
        "tel:+1",
        ":5060",
        "4294967296",
        "\u{0}",
        "|\t",
        "?x=y",
        "|Route: <sip:h>",
    ];
    let mut random = Random(7);
    let mut world = world();
    let mut answered = 0;
    for _ in 0..30_000 {
        let method = METHODS[random.below(METHODS.len())];
        let mut text = request(method, "sip:bob@example.org", "");
        for _ in 0..=random.below(4) {
            let mut at = random.below(text.len());
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            match random.below(3) {
                0 => text.insert_str(at, pieces[random.below(pieces.len())]),
                1 => text.truncate(at.max(20)),
                _ => {
                    let mut end = (at + random.below(12)).min(text.len());
                    while !text.is_char_boundary(end) {
                        end += 1;
                    }
                    text.replace_range(at..end, pieces[random.below(pieces.len())]);
                }
            }
        }
        let from = ["203.0.113.1:5060", "[2001:db8:7::1]:5060", "tcp#5 203.0.113.1:40000"];
        answered += usize::from(leaves_nothing(&mut world, from[random.below(3)], &text).is_some());
    }
    assert!(answered > 10_000, "{answered} were answered");
}
