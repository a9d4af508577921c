//! Saying things again until they are heard, and hearing things once: RFC 3261 §17 and §13.3.1.4,
//! reduced to what one phone with one server needs. Time is an argument.

use ringway_wire::{Framing, Index, Message, Method, parse, write_ack};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The estimate of a round trip (RFC 3261 §17.1.1.1).
const T1: Duration = Duration::from_millis(500);
/// The longest pause between two copies (§17.1.2.2).
const T2: Duration = Duration::from_secs(4);
/// After so long nobody listens any more (64·T1).
const GIVE_UP: Duration = Duration::from_secs(32);
/// Messages remembered of each kind: a phone has one call and one registration at a time.
const REMEMBERED: usize = 64;

/// What one phone remembers of what it said and heard.
#[derive(Debug)]
pub(super) struct Repeats {
    reliable: bool,
    saying: Vec<Saying>,
    /// Our requests: an ACK is made of an INVITE.
    asked: VecDeque<Asked>,
    reactions: VecDeque<Reaction>,
}

/// A request of ours.
#[derive(Debug)]
struct Asked {
    branch: Box<[u8]>,
    bytes: Box<[u8]>,
}

/// A message that is repeated.
#[derive(Debug)]
struct Saying {
    until: Until,
    bytes: Box<[u8]>,
    next: Instant,
    pause: Duration,
    longest: Duration,
    end: Instant,
}

#[derive(PartialEq, Eq, Debug)]
enum Until {
    /// A response to this branch and method.
    Response(Key),
    /// The ACK of the INVITE with this Call-ID and CSeq number.
    Ack(Box<[u8]>, u32),
}

/// A branch, a method, and whether it is the request or the response to it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Key {
    branch: Box<[u8]>,
    method: Box<[u8]>,
    is_request: bool,
}

/// What was heard before, and what is said when it is heard again.
#[derive(Debug)]
struct Reaction {
    to: Key,
    call: (Box<[u8]>, u32),
    bytes: Option<Box<[u8]>>,
}

/// What follows from a message that was heard.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Outcome {
    /// Whether the phone shall see it: it is new and meant for us.
    pub(super) deliver: bool,
    /// Whether it was heard before.
    pub(super) again: bool,
    /// What is said at once.
    pub(super) say: Option<Box<[u8]>>,
}

impl Repeats {
    /// Nothing said yet. A reliable transport repeats for us.
    pub(super) fn new(reliable: bool) -> Self {
        let (asked, reactions) = (VecDeque::new(), VecDeque::new());
        Self { reliable, saying: Vec::new(), asked, reactions }
    }

    /// Takes note of a message that is being sent.
    pub(super) fn sending(&mut self, now: Instant, message: &Message<'_>) {
        let Some(key) = key_of(message) else { return };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let call = (message.call_id().into(), number);
        let is_invite = message.method() == Method::Invite;
        if !message.is_request() {
            let to = Key { is_request: true, ..key };
            self.reactions
                .iter_mut()
                .filter(|reaction| reaction.to == to)
                .for_each(|reaction| reaction.bytes = Some(message.bytes().into()));
            //= RFC 3261 13.3.1.4
            // "the 2xx response is passed to the transport with an"
            let success = (200..300).contains(&message.status());
            if is_invite && message.status() >= 200 && (success || !self.reliable) {
                self.say(now, Until::Ack(call.0, call.1), message, T2);
            }
        } else if message.method() == Method::Ack {
            self.reactions
                .iter_mut()
                .filter(|reaction| !reaction.to.is_request && reaction.call == call)
                .for_each(|reaction| reaction.bytes = Some(message.bytes().into()));
        } else {
            let bytes = message.bytes().into();
            remember(&mut self.asked, Asked { branch: key.branch.clone(), bytes });
            if !self.reliable {
                //= RFC 3261 17.1.2.2
                // "the timer is reset, but this time with a value of MIN(2*T1, T2)."
                let longest = if is_invite { GIVE_UP } else { T2 };
                let to = Key { is_request: false, ..key };
                self.say(now, Until::Response(to), message, longest);
            }
        }
    }

    fn say(&mut self, now: Instant, until: Until, message: &Message<'_>, longest: Duration) {
        let bytes = message.bytes().into();
        let (next, end) = (now + T1, now + GIVE_UP);
        self.saying.push(Saying { until, bytes, next, pause: T1, longest, end });
    }

    /// What is to be said again by now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Box<[u8]>> {
        self.saying.retain(|saying| saying.end > now);
        let mut due = Vec::new();
        for saying in self.saying.iter_mut().filter(|saying| saying.next <= now) {
            saying.pause = (saying.pause * 2).min(saying.longest);
            saying.next = now + saying.pause;
            due.push(saying.bytes.clone());
        }
        due
    }

    /// Judges a message that was heard.
    pub(super) fn heard(&mut self, message: &Message<'_>) -> Outcome {
        let Some(key) = key_of(message) else { return Outcome::default() };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let call = (message.call_id().into(), number);
        let is_final = message.is_request() || message.status() >= 200;
        if message.is_request() {
            if message.method() == Method::Ack {
                let until = Until::Ack(message.call_id().into(), number);
                self.saying.retain(|saying| saying.until != until);
            }
        } else {
            if !self.asked.iter().any(|asked| asked.branch == key.branch) {
                return Outcome::default();
            }
            //= RFC 3261 17.1.1.1
            // "receiving a 1xx response, any retransmissions cease altogether, and"
            if is_final || message.method() == Method::Invite {
                let until = Until::Response(key.clone());
                self.saying.retain(|saying| saying.until != until);
            }
        }
        if let Some(reaction) = self.reactions.iter().find(|reaction| reaction.to == key) {
            return Outcome { deliver: false, again: true, say: reaction.bytes.clone() };
        }
        let say = self.ack(message);
        if is_final {
            let bytes = say.clone();
            remember(&mut self.reactions, Reaction { to: key, call, bytes });
        }
        Outcome { deliver: true, again: false, say }
    }

    /// The ACK for a failure, which belongs to the transaction (§17.1.1.3).
    fn ack(&self, response: &Message<'_>) -> Option<Box<[u8]>> {
        if response.status() < 300 || response.method() != Method::Invite {
            return None;
        }
        let branch = response.top_via().ok()?.branch()?;
        let asked = self.asked.iter().find(|asked| *asked.branch == *branch)?;
        let mut index = Index::new();
        let invite = parse(&asked.bytes, &mut index, Framing::Datagram).ok()?;
        let mut out = Vec::new();
        write_ack(&mut out, &invite, response);
        Some(out.into())
    }
}

fn key_of(message: &Message<'_>) -> Option<Key> {
    let branch = message.top_via().ok()?.branch()?.into();
    let method = message.method().as_bytes().into();
    Some(Key { branch, method, is_request: message.is_request() })
}

fn remember<T>(list: &mut VecDeque<T>, entry: T) {
    if list.len() == REMEMBERED {
        list.pop_front();
    }
    list.push_back(entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, branch: &str) -> Vec<u8> {
        format!(
            "{method} sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    fn response(status: u16, method: &str, branch: &str) -> Vec<u8> {
        format!(
            "SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\nCall-ID: c\r\nCSeq: 7 {method}\r\n\
             Content-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }

    struct Bench {
        repeats: Repeats,
        start: Instant,
    }

    impl Bench {
        fn new(reliable: bool) -> Self {
            Self { repeats: Repeats::new(reliable), start: Instant::now() }
        }

        fn send(&mut self, bytes: &[u8]) {
            let mut index = Index::new();
            let message = parse(bytes, &mut index, Framing::Datagram).expect("a message");
            message.check().expect("a good one");
            self.repeats.sending(self.start, &message);
        }

        fn hear(&mut self, bytes: &[u8]) -> Outcome {
            let mut index = Index::new();
            self.repeats.heard(&parse(bytes, &mut index, Framing::Datagram).expect("a message"))
        }

        /// When something is said again within 40 s, in milliseconds.
        fn said_at(&mut self) -> Vec<u64> {
            let at = |ms| self.start + Duration::from_millis(ms);
            let mut said = Vec::new();
            for ms in (0..40_000).step_by(100) {
                said.extend(self.repeats.due(at(ms)).iter().map(|_| ms));
            }
            said
        }
    }

    const DOUBLING: [u64; 6] = [500, 1_500, 3_500, 7_500, 15_500, 31_500];
    const CAPPED: [u64; 10] =
        [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];

    #[test]
    //= RFC 3261 17.1.1.2 type=test
    //= RFC 3261 17.1.2.2 type=test
    fn requests_are_repeated_until_they_are_answered() {
        for (method, status, times) in [
            ("INVITE", None, &DOUBLING[..]),
            ("INVITE", Some(100), &[]),
            ("INVITE", Some(200), &[]),
            ("BYE", None, &CAPPED),
            ("BYE", Some(100), &CAPPED),
            ("BYE", Some(200), &[]),
        ] {
            let mut bench = Bench::new(false);
            bench.send(&request(method, "1"));
            if let Some(status) = status {
                assert!(bench.hear(&response(status, method, "1")).deliver);
            }
            assert_eq!(bench.said_at(), times, "{method} {status:?}");
        }
        let mut bench = Bench::new(true);
        bench.send(&request("INVITE", "1"));
        assert!(bench.said_at().is_empty(), "a stream repeats for us");
    }

    #[test]
    //= RFC 3261 13.3.1.4 type=test
    fn an_answer_to_an_invite_is_repeated_until_the_ack() {
        for (reliable, status, times) in [
            (false, 200, &CAPPED[..]),
            (true, 200, &CAPPED),
            (false, 486, &CAPPED),
            (true, 486, &[]),
        ] {
            for acked in [false, true] {
                let mut bench = Bench::new(reliable);
                assert!(bench.hear(&request("INVITE", "1")).deliver);
                bench.send(&response(status, "INVITE", "1"));
                if acked {
                    assert!(bench.hear(&request("ACK", "2")).deliver);
                }
                let times = if acked { &[] } else { times };
                assert_eq!(bench.said_at(), times, "{reliable} {status} {acked}");
            }
        }
    }

    #[test]
    fn what_is_heard_twice_is_answered_twice_and_delivered_once() {
        let mut bench = Bench::new(false);
        let bye = request("BYE", "1");
        assert!(bench.hear(&bye).deliver);
        let unanswered = Outcome { deliver: false, again: true, say: None };
        assert_eq!(bench.hear(&bye), unanswered);
        let ok = response(200, "BYE", "1");
        bench.send(&ok);
        let answered = Outcome { deliver: false, again: true, say: Some(ok.into()) };
        assert_eq!(bench.hear(&bye), answered);

        bench.send(&request("INVITE", "2"));
        assert!(bench.hear(&response(180, "INVITE", "2")).deliver);
        assert!(bench.hear(&response(180, "INVITE", "2")).deliver);
        assert!(bench.hear(&response(200, "INVITE", "2")).deliver);
        let ack = request("ACK", "3");
        bench.send(&ack);
        let acked = Outcome { deliver: false, again: true, say: Some(ack.into()) };
        assert_eq!(bench.hear(&response(200, "INVITE", "2")), acked);
        assert_eq!(bench.hear(&response(200, "INVITE", "9")), Outcome::default(), "a stray");
    }

    #[test]
    //= RFC 3261 17.1.1.3 type=test
    fn a_failure_is_acknowledged_at_once_and_each_time() {
        let mut bench = Bench::new(true);
        bench.send(&request("INVITE", "1"));
        let busy = response(486, "INVITE", "1");
        let first = bench.hear(&busy);
        let ack = first.say.expect("an ACK");
        assert!(first.deliver && ack.starts_with(b"ACK sip:b@h SIP/2.0\r\n"));
        assert_eq!(bench.hear(&busy), Outcome { deliver: false, again: true, say: Some(ack) });
    }
}
