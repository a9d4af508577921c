//! A thousand random worlds, and proof that those who watch them see what is wrong.
//!
//! `RINGWAY_SEEDS=7` plays one world, `RINGWAY_SEEDS=0..100000` many.
#![allow(clippy::expect_used, reason = "what fails here fails the test")]

use ringway_core::flow::Flow;
use ringway_sim::random::{Breakage, Outcome, play};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

const WORLDS: Range<u64> = 0..1_000;

fn seeds() -> Range<u64> {
    let Ok(said) = std::env::var("RINGWAY_SEEDS") else { return WORLDS };
    let number = |text: &str| text.parse().expect("RINGWAY_SEEDS is N or FROM..TO");
    match said.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&said)..number(&said) + 1,
    }
}

#[test]
fn all_that_must_hold_holds_in_every_world() {
    let seeds = seeds();
    let next = AtomicU64::new(seeds.start);
    let (total, broken) = (Mutex::new(Outcome::default()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            match play(seed, Breakage::default()) {
                Ok(outcome) => {
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.messages += outcome.messages;
                    total.answered += outcome.answered;
                    total.restarts += outcome.restarts;
                }
                Err(violation) => {
                    broken.lock().unwrap_or_else(PoisonError::into_inner).push(violation);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let first = broken.iter().min_by_key(|violation| violation.seed);
    assert!(
        first.is_none(),
        "{} worlds are broken; the first:\n{}",
        broken.len(),
        first.expect("one")
    );
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{seeds:?}: {total:?}");
    if seeds == WORLDS {
        // A world in which nothing happens shows nothing.
        assert!(total.answered > 5_000 && total.restarts > 500, "{total:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    let outcome = |seed| play(seed, Breakage::default()).map_err(|broken| broken.to_string());
    for seed in 0..5 {
        assert_eq!(outcome(seed), outcome(seed));
        assert_ne!(outcome(seed), outcome(seed + 1));
    }
}

type Sent = Vec<(Flow, Vec<u8>)>;

fn is(bytes: &[u8], method: &str, status: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let cseq = text.lines().find(|line| line.starts_with("CSeq:")).unwrap_or_default();
    text.starts_with(status) && cseq.ends_with(method)
}

fn replaced(bytes: Vec<u8>, from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(&bytes).replacen(from, to, 1).into_bytes()
}

/// The first violation in some worlds with this breakage.
fn what_is_seen(breakage: Breakage) -> String {
    let seen = (0..60).find_map(|seed| play(seed, breakage).err());
    seen.map_or("nothing".into(), |violation| violation.what)
}

#[test]
fn a_server_that_is_broken_on_purpose_is_seen() {
    let with = |sabotage| Breakage { sabotage: Some(sabotage), lying: false };
    let no_cancels = |flow, bytes: Vec<u8>| -> Sent {
        if is(&bytes, "CANCEL", "CANCEL") { Vec::new() } else { vec![(flow, bytes)] }
    };
    let no_refusals = |flow, bytes: Vec<u8>| -> Sent {
        let refusal = ["SIP/2.0 486", "SIP/2.0 487", "SIP/2.0 408", "SIP/2.0 480"];
        let lost = refusal.iter().any(|status| is(&bytes, "INVITE", status));
        if lost { Vec::new() } else { vec![(flow, bytes)] }
    };
    let doubled = |flow, bytes: Vec<u8>| -> Sent {
        let twice = is(&bytes, "INVITE", "SIP/2.0 200");
        if twice { vec![(flow, bytes.clone()), (flow, bytes)] } else { vec![(flow, bytes)] }
    };
    let other_body = |flow, bytes: Vec<u8>| vec![(flow, replaced(bytes, "v=0", "v=1"))];
    let hops = |flow, bytes: Vec<u8>| {
        vec![(flow, replaced(bytes, "Max-Forwards: 69", "Max-Forwards: 70"))]
    };
    let strange =
        |flow, bytes: Vec<u8>| vec![(flow, replaced(bytes, "branch=z9hG4bK-", "branch=x"))];
    let vias = |flow, bytes: Vec<u8>| -> Sent {
        let more = "SIP/2.0 180 Chance\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n";
        vec![(flow, replaced(bytes, "SIP/2.0 180 Chance\r\n", more))]
    };
    for (breakage, seen) in [
        (Breakage { lying: true, ..Breakage::default() }, "was acknowledged and is not kept"),
        (with(no_refusals), "waits for ever: INVITE"),
        (with(no_cancels), "rings for ever"),
        (with(doubled), "a 2xx that nobody sent, or sent less often"),
        (with(other_body), "the body of a INVITE was changed"),
        (with(hops), "Max-Forwards is Some(70) after 70"),
        (with(strange), "to what nobody asked"),
        (with(vias), "to what nobody asked"),
    ] {
        let what = what_is_seen(breakage);
        assert!(what.contains(seen), "{seen}: {what}");
    }
}
