//! A thousand random worlds, and that it is noticed when the server is broken.
//!
//! `RINGWAY_SEEDS=17` lives through one world, `RINGWAY_SEEDS=1000..20000` through many.

use ringway_core::counters::Counters;
use ringway_core::flow::{Flow, Transport};
use ringway_sim::disk::Flaw;
use ringway_sim::random::{Failure, Flaws, Report, live};
use ringway_sim::scenario::sip::Sip;
use ringway_sim::world::Sabotage;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What is lived through if nobody wants others.
const SEEDS: Range<u64> = 0..1_000;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("RINGWAY_SEEDS") else { return SEEDS };
    let number = |text: &str| text.trim().parse().expect("RINGWAY_SEEDS is `from..to` or a number");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

/// One world; whoever panics in it is told of like anything else that does not hold.
fn one(seed: u64) -> Result<Report, Box<Failure>> {
    let lived = panic::catch_unwind(|| live(seed, Flaws::default()));
    lived.unwrap_or_else(|_| Err(Box::new(Failure::panicked(seed))))
}

#[test]
fn worlds() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let live_on = || {
        let mut failures: Vec<Box<Failure>> = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) || failures.len() >= 5 {
                return failures;
            }
            failures.extend(one(seed).err());
        }
    };
    let mut failures: Vec<_> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(live_on)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    failures.sort_by_key(|failure| failure.seed);
    let all: String = failures.iter().map(|failure| format!("{failure}\n")).collect();
    assert!(failures.is_empty(), "\n{all}");
}

#[test]
fn the_same_seed_is_the_same_world() {
    let report = |seed| live(seed, Flaws::default()).expect("nothing is broken");
    for seed in [1, 2, 3] {
        assert_eq!(report(seed), report(seed));
    }
    assert_ne!(report(1).hash, report(2).hash);
}

#[test]
fn much_happens_in_them() {
    let (mut all, mut seen) = (Counters::default(), BTreeMap::new());
    for seed in 0..60 {
        let report = live(seed, Flaws::default()).expect("it holds");
        all.add(&report.counters);
        for (name, count) in report.seen {
            *seen.entry(name).or_default() += count;
        }
    }
    for (table, names) in [
        (&all.requests, &["INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "MESSAGE", "other"][..]),
        (&all.registrations, &["added", "refreshed", "removed", "expired", "flow_closed"]),
        (&all.calls, &["started", "ringing", "answered", "by_caller", "by_callee", "cancelled"]),
        (&all.calls, &["failed", "forgotten"]),
        (
            &seen,
            &[
                "a fork",
                "a request without state",
                "a re-INVITE",
                "a CANCEL",
                "a second 2xx",
                "a 2xx after a CANCEL",
                "a lost connection",
                "an asserted identity",
                "a leased refresh",
            ],
        ),
        (&all.auth_failures, &["wrong_password", "unknown_user", "replay"]),
        (&all.refused, &["not_kept", "too_many_hops", "malformed", "no_such_user", "overloaded"]),
    ] {
        for name in names {
            assert!(table.get(name).is_some_and(|n| *n > 0), "no {name} in {table:?}");
        }
    }
}

/// What is said of a server with this flaw, in the first of these worlds that notices it.
fn noticed(flaws: Flaws) -> String {
    let failure = (0..40).find_map(|seed| live(seed, flaws).err());
    failure.expect("somebody notices").broken.what
}

fn tamper(sabotage: Sabotage) -> String {
    noticed(Flaws { sabotage: Some(sabotage), ..Flaws::default() })
}

/// A sabotage of messages with this method, requests or responses with this status.
fn change(
    (flow, bytes): (Flow, Vec<u8>),
    (method, status): (&str, Option<u16>),
    how: fn(&mut Sip),
) -> Vec<(Flow, Vec<u8>)> {
    match Sip::read(&bytes) {
        Some(mut sip) if sip.method() == method && sip.status() == status => {
            how(&mut sip);
            vec![(flow, sip.to_bytes())]
        }
        _ => vec![(flow, bytes)],
    }
}

fn is(bytes: &[u8], method: &str, status: Option<u16>) -> bool {
    Sip::read(bytes).is_some_and(|sip| sip.method() == method && sip.status() == status)
}

#[test]
fn a_cancel_that_is_not_sent() {
    let lost = tamper(|flow, bytes| match is(&bytes, "CANCEL", None) {
        true => Vec::new(),
        false => vec![(flow, bytes)],
    });
    assert!(lost.contains("was left ringing"), "{lost}");
}

#[test]
fn final_responses_that_are_not_sent() {
    let lost = tamper(|flow, bytes| match Sip::read(&bytes).and_then(|sip| sip.status()) {
        Some(486 | 487 | 480 | 408) => Vec::new(),
        _ => vec![(flow, bytes)],
    });
    assert!(lost.contains("an INVITE that never ended"), "{lost}");
}

#[test]
fn a_2xx_sent_twice() {
    let twice = tamper(|flow, bytes| match is(&bytes, "INVITE", Some(200)) {
        true => vec![(flow, bytes.clone()), (flow, bytes)],
        false => vec![(flow, bytes)],
    });
    assert!(twice.contains("more often than it came"), "{twice}");
}

#[test]
fn a_2xx_that_nobody_said() {
    let invented = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", Some(486)), |sip| {
            sip.first = "SIP/2.0 200 OK".into();
        })
    });
    assert!(invented.contains("it was invented"), "{invented}");
}

#[test]
fn a_body_that_was_changed() {
    let changed = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", None), |sip| sip.body = sip.body.replace('x', "y"))
    });
    assert!(changed.contains("the body was changed"), "{changed}");
    let changed = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", Some(180)), |sip| sip.body = sip.body.replace('0', "1"))
    });
    assert!(changed.contains("invented, or changed"), "{changed}");
}

#[test]
fn an_identity_that_is_believed() {
    let believed = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", None), |sip| {
            sip.add("Remote-Party-ID", "<sip:the.boss@example.org>");
        })
    });
    assert!(believed.contains("a claim was believed: Remote-Party-ID"), "{believed}");
    let another = tamper(|flow, bytes| {
        change((flow, bytes), ("MESSAGE", None), |sip| {
            sip.add("P-Asserted-Identity", "<sip:user9@example.org>");
        })
    });
    assert!(another.contains("it asserts"), "{another}");
}

#[test]
fn hops_that_are_not_counted() {
    let uncounted = tamper(|flow, bytes| {
        change((flow, bytes), ("MESSAGE", None), |sip| {
            sip.replace("Max-Forwards", &["70".into()]);
        })
    });
    assert!(uncounted.contains("Max-Forwards was"), "{uncounted}");
}

#[test]
fn a_via_too_many() {
    let many = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", Some(180)), |sip| {
            sip.headers.push(("Via".into(), "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx".into()));
        })
    });
    assert!(many.contains("the Vias are not those of the request"), "{many}");
}

#[test]
fn a_response_to_somebody_else() {
    let elsewhere = tamper(|mut flow, bytes| {
        if is(&bytes, "INVITE", Some(180)) {
            flow.remote.set_ip("192.0.2.99".parse().expect("an address"));
        }
        vec![(flow, bytes)]
    });
    assert!(elsewhere.contains("it goes to somebody else"), "{elsewhere}");
    let foreign = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", Some(180)), |sip| {
            let via = sip.all("Via")[0].replace("z9hG4bK", "z9hG4bKanother");
            sip.replace("Via", &[via]);
        })
    });
    assert!(foreign.contains("nobody asked"), "{foreign}");
}

#[test]
fn a_request_that_nobody_sent() {
    let invented = tamper(|flow, bytes| {
        let mut sent = vec![(flow, bytes.clone())];
        if let Some(mut sip) = Sip::read(&bytes).filter(|_| is(&bytes, "INVITE", None)) {
            let lower = sip.all("Via")[1].replace("z9hG4bK", "z9hG4bKanother");
            let vias = [sip.all("Via")[0].to_owned(), lower];
            sip.replace("Via", &vias);
            sent.push((flow, sip.to_bytes()));
        }
        sent
    });
    assert!(invented.contains("it was invented: nobody sent it"), "{invented}");
}

#[test]
fn a_cancel_too_early() {
    let early = tamper(|flow, bytes| {
        let mut sent = vec![(flow, bytes.clone())];
        if let Some(mut sip) = Sip::read(&bytes).filter(|_| is(&bytes, "INVITE", None)) {
            sip.first = sip.first.replace("INVITE", "CANCEL");
            let (via, cseq) = (sip.all("Via")[0].to_owned(), sip.cseq());
            sip.replace("Via", &[via]);
            sip.replace("CSeq", &[format!("{cseq} CANCEL")]);
            sent.push((flow, sip.to_bytes()));
        }
        sent
    });
    assert!(early.contains("before any provisional response"), "{early}");
}

#[test]
fn an_answer_before_the_commit() {
    let lie = noticed(Flaws { store: Some(Flaw::Lies), ..Flaws::default() });
    assert!(lie.contains("is not in the store"), "{lie}");
}

#[test]
fn another_binding_time_than_the_one_that_is_kept() {
    let other = tamper(|flow, bytes| {
        change((flow, bytes), ("REGISTER", Some(200)), |sip| {
            let longer: Vec<String> =
                sip.all("Contact").iter().map(|c| c.replace("expires=", "expires=9")).collect();
            sip.replace("Contact", &longer);
        })
    });
    assert!(other.contains("s here, not"), "{other}");
}

#[test]
fn a_binding_that_is_forgotten() {
    let lost = noticed(Flaws { store: Some(Flaw::Forgets), ..Flaws::default() });
    assert!(lost.contains("was acknowledged, and there is None"), "{lost}");
}

#[test]
fn a_binding_that_comes_back() {
    let back = noticed(Flaws { store: Some(Flaw::Hoards), ..Flaws::default() });
    assert!(back.contains("was taken back and is still there"), "{back}");
}

#[test]
fn a_copy_to_where_nobody_registered() {
    let elsewhere = tamper(|mut flow, bytes| {
        if is(&bytes, "INVITE", None) {
            flow.remote.set_port(flow.remote.port() ^ 1);
        }
        vec![(flow, bytes)]
    });
    assert!(elsewhere.contains("which is not where it registered"), "{elsewhere}");
}

#[test]
fn a_registered_phone_that_is_not_tried() {
    let refused = tamper(|flow, bytes| {
        change((flow, bytes), ("INVITE", Some(407)), |sip| {
            sip.first = "SIP/2.0 480 Temporarily Unavailable".into();
        })
    });
    assert!(refused.contains("is registered, and nobody was tried"), "{refused}");
}

#[test]
fn requests_to_strangers() {
    let reflected = tamper(|mut flow, bytes| {
        let mut sent = vec![(flow, bytes.clone())];
        if is(&bytes, "MESSAGE", None) && flow.transport == Transport::Udp {
            flow.remote = "198.18.0.1:5060".parse().expect("an address");
            sent.push((flow, bytes));
        }
        sent
    });
    assert!(reflected.contains("is a stranger, and was sent a request"), "{reflected}");
}

#[test]
fn answers_to_strangers_that_are_repeated_or_long() {
    let twice = tamper(|flow, bytes| {
        let stranger = flow.remote.to_string().starts_with("198.18.");
        vec![(flow, bytes); if stranger { 2 } else { 1 }]
    });
    assert!(twice.contains("is a stranger, and is answered twice"), "{twice}");
    let long = tamper(|flow, bytes| {
        let stranger = flow.remote.to_string().starts_with("198.18.");
        match Sip::read(&bytes) {
            Some(mut sip) if stranger => {
                sip.add("X-Long", "x".repeat(2_000));
                vec![(flow, sip.to_bytes())]
            }
            _ => vec![(flow, bytes)],
        }
    });
    assert!(long.contains("is a stranger, and gets"), "{long}");
}

#[test]
fn state_for_strangers() {
    let keeps = noticed(Flaws { keeps_strangers: true, ..Flaws::default() });
    assert!(keeps.starts_with("more than"), "{keeps}");
}

#[test]
fn a_second_address_that_is_not_tried() {
    let lazy = noticed(Flaws { one_address: true, ..Flaws::default() });
    assert!(lazy.contains("was not tried"), "{lazy}");
}

#[test]
fn a_call_whose_end_is_not_told() {
    let hidden = noticed(Flaws { hides_ends: true, ..Flaws::default() });
    assert!(hidden.contains("a call was never told to end"), "{hidden}");
}

#[test]
fn strangers_that_get_through() {
    let stranger = noticed(Flaws { trusts_all: true, ..Flaws::default() });
    assert!(stranger.contains("it is from a stranger"), "{stranger}");
}
