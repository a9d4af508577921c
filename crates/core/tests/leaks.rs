//! Whatever callers and phones do, in whatever order: each INVITE gets one final answer, or
//! several that are all 2xx, and in the end nothing is left.

mod world;

use ringway_core::boundary::{Answer, Input, TransactionRef};
use ringway_core::time::Instant;
use std::collections::BTreeMap;
use world::{EDGE, Sent, World, flow, world};

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % n
    }
}

const PHONES: [&str; 4] =
    ["192.0.2.21:5060", "192.0.2.22:5060", "tcp#7 192.0.2.23:40000", "[2001:db8:9::9]:5060"];

/// What happens around one node, and what the caller has heard so far.
struct Play {
    world: World,
    random: Random,
    /// Requests that arrived at phones.
    copies: Vec<Sent>,
    undelivered: Vec<TransactionRef>,
    /// Final answers by the branch of the caller's INVITE.
    finals: BTreeMap<String, Vec<u16>>,
    /// The INVITEs sent, and when.
    made: Vec<(Instant, String)>,
}

impl Play {
    fn note(&mut self, sent: Vec<Sent>) {
        for sent in sent {
            self.undelivered.extend(sent.on_failure);
            if sent.status() == 0 {
                self.copies.push(sent);
            } else if sent.status() >= 200 && sent.one("CSeq").ends_with("INVITE") {
                let call = sent.one("Call-ID").to_owned();
                self.finals.entry(call).or_default().push(sent.status());
            }
        }
        let keep = self.copies.len().saturating_sub(40);
        self.copies.drain(..keep);
        let keep = self.undelivered.len().saturating_sub(10);
        self.undelivered.drain(..keep);
    }

    fn invite(&mut self) {
        let n = self.world.next_number();
        let target = ["bob@example.org", "x@far.example", "x@192.0.2.60", "carol@example.org"];
        let target = target[[0, 0, 0, 1, 2, 3][self.random.below(6)]];
        let big = if self.random.below(4) == 0 { "x".repeat(1_300) } else { String::new() };
        let text = format!(
            "INVITE sip:{target} SIP/2.0|Via: SIP/2.0/UDP c;branch=z9hG4bKi{n};rport|From: \
             <sip:a@example.org>;tag=c|To: <sip:{target}>|Call-ID: i{n}|CSeq: 1 INVITE|Contact: \
             <sip:a@198.51.100.1>|Subject: {big}|Max-Forwards: 9|Content-Length: 0||"
        );
        self.made.push((self.world.now, text));
        self.send(self.made.len() - 1);
    }

    /// One of the last requests comes again.
    fn again(&mut self) {
        let Some(at) = self.made.len().checked_sub(1 + self.random.below(5)) else { return };
        // Later its transaction may be over, and it would be a new request.
        if self.world.now.since(self.made[at].0).as_secs() < 31 {
            self.send(at);
        }
    }

    fn send(&mut self, at: usize) {
        let text = self.made[at].1.clone();
        let from = [EDGE, "tcp#3 198.51.100.1:40000"][at % 2];
        let sent = self.world.receive(from, &text);
        self.note(sent);
    }

    fn cancel(&mut self) {
        let Some(at) = self.made.len().checked_sub(1 + self.random.below(5)) else { return };
        let text = self.made[at].1.replace("INVITE", "CANCEL");
        let sent = self.world.receive([EDGE, "tcp#3 198.51.100.1:40000"][at % 2], &text);
        self.note(sent);
    }

    fn answer(&mut self) {
        if self.copies.is_empty() {
            return;
        }
        let copy = self.copies[self.random.below(self.copies.len())].clone();
        if copy.first_line().starts_with("ACK") {
            return;
        }
        let all = [100, 180, 183, 200, 200, 302, 401, 407, 408, 486, 487, 500, 503, 603, 604];
        let status = all[self.random.below(all.len())];
        let more = if status == 401 { "WWW-Authenticate: Digest realm=\"x\"|" } else { "" };
        let text = copy.answer(status, more);
        let from = copy.to.strip_prefix("udp ").unwrap_or(&copy.to).replace("tcp ", "tcp#99 ");
        let sent = self.world.receive(&from, &text);
        self.note(sent);
    }

    fn fail(&mut self) {
        if self.undelivered.is_empty() {
            return;
        }
        let which = self.random.below(self.undelivered.len());
        let failed = self.undelivered.swap_remove(which);
        let sent = self.world.handle(Input::Undelivered(failed));
        self.note(sent);
    }

    fn resolve(&mut self) {
        if self.world.asks.is_empty() {
            return;
        }
        let answer = match self.random.below(3) {
            0 => Answer::Failed,
            1 => Answer::Resolved(vec![flow("192.0.2.60:5060")]),
            _ => Answer::Resolved(Vec::new()),
        };
        let sent = self.world.answer(answer);
        self.note(sent);
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=3 => self.invite(),
            4 => self.again(),
            5 => self.cancel(),
            6..=13 => self.answer(),
            14 => self.fail(),
            15 => self.resolve(),
            16 => {
                let closed = Input::FlowClosed(flow("tcp#7 192.0.2.23:40000"));
                let sent = self.world.handle(closed);
                self.note(sent);
            }
            17 => {
                let phone = PHONES[self.random.below(PHONES.len())];
                let q = ["1", "0.5", "0.9"][self.random.below(3)];
                let host = phone.rsplit(' ').next().expect("an address");
                self.world.register(phone, "bob", &format!("<sip:bob@{host}>;q={q}"));
            }
            _ => {
                let ms = [1, 90, 700, 5_000, 33_000][self.random.below(5)] as u64;
                let passed = self.world.pass(ms);
                self.note(passed.into_iter().map(|(_, sent)| sent).collect());
            }
        }
    }
}

#[test]
fn every_invite_ends_once_and_nothing_is_left() {
    for seed in 1..=60 {
        let mut play = Play {
            world: world(),
            random: Random(0x9E37_79B9_7F4A_7C15 ^ (seed << 20)),
            copies: Vec::new(),
            undelivered: Vec::new(),
            finals: BTreeMap::new(),
            made: Vec::new(),
        };
        for _ in 0..300 {
            play.step();
        }
        play.world.asks.clear();
        for _ in 0..10 {
            let passed = play.world.pass(100_000);
            play.note(passed.into_iter().map(|(_, sent)| sent).collect());
        }
        let census = play.world.census();
        let left = census.server_transactions
            + census.client_transactions
            + census.response_contexts
            + census.open_questions;
        assert_eq!(left, 0, "seed {seed}: {census:?}");
        assert_eq!(census.timers, census.calls, "seed {seed}: one for each silent call");
        for (_, text) in &play.made {
            let call = text.split("Call-ID: ").nth(1).and_then(|t| t.split('|').next());
            let mut got = play.finals.get(call.expect("one")).cloned().unwrap_or_default();
            assert!(!got.is_empty(), "seed {seed}: {call:?} was never answered");
            // Repetitions are the same; after a 2xx only others may follow.
            got.dedup();
            let two_hundreds = got.iter().all(|status| (200..300).contains(status));
            assert!(got.len() == 1 || two_hundreds, "seed {seed}: {call:?} got {got:?}");
        }
    }
}
