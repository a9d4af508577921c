//! Two partitions that live through a script: messages from strangers, peers and phones, answers
//! of stores and resolvers, broken connections, and time.
//!
//! A script is a row of records, separated by the byte `0x1e`. The first byte of a record says
//! what happens, the second one with whom or which, the rest is text:
//!
//! | | |
//! |--|--|
//! | `M` | a message arrives on this flow |
//! | `E` | a message that arrived before arrives again |
//! | `R` | the far side answers this request of ours: a status, and header lines |
//! | `Q` | a request inside the dialog of this message of ours: a method, and header lines |
//! | `A` | this open question is answered; the text says how |
//! | `T` | so much time passes |
//! | `C` | this connection ends |
//! | `U` | this message of ours could not be sent |
//! | `S` | new accounts and domains; 2 and 3: forwarding without state |
//! | `D` | the server is told to stop |
//! | `F` | a user is forgotten |
//!
//! Which one is a digit, or a byte that is none. In a text `{auth}` gives way to credentials that
//! are right.

mod oracle;
mod phone;
mod world;

use world::World;

/// The longest script; it is there so that one input cannot take for ever.
const STEPS: usize = 48;

pub(crate) fn check(input: &[u8]) {
    let first = live(input);
    // Nothing but its inputs decides what a node does.
    if input.len().is_multiple_of(4) {
        assert_eq!(live(input), first, "the same again");
    }
}

/// Runs a script to its end, and until nothing is left of it; hands back what was sent, hashed.
fn live(input: &[u8]) -> u64 {
    let mut world = World::new();
    for record in input.split(|&b| b == 0x1e).take(STEPS) {
        if let [what, which, text @ ..] = record {
            step(&mut world, *what, which.wrapping_sub(b'0').into(), text);
        }
    }
    world.end();
    world.transcript()
}

fn step(world: &mut World, what: u8, which: usize, text: &[u8]) {
    match what {
        b'M' => world.arrives(which, text),
        b'E' => world.arrives_again(which),
        b'R' => phone::answers(world, which, text),
        b'Q' => phone::asks(world, which, text),
        b'A' => world.answer(which, text),
        b'T' => world.passes(TIMES_MS[which % TIMES_MS.len()]),
        b'C' => world.closes(which),
        b'U' => world.fails(which),
        b'S' => world.new_snapshot(which),
        b'D' => world.drains(),
        b'F' => world.forgets(which),
        _ => {}
    }
}

/// Milliseconds: below and above the timers of RFC 3261, and beyond everything.
const TIMES_MS: [u64; 12] =
    [1, 100, 200, 500, 1_000, 4_000, 5_000, 32_000, 60_000, 185_000, 3_600_000, 90_000_000];

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script leads to, as the first lines of the messages that were sent.
    fn sent(script: &str) -> Vec<String> {
        let mut world = World::new();
        for record in script.replace('|', "\r\n").split('\x1e') {
            let (head, text) = record.as_bytes().split_at(2);
            step(&mut world, head[0], usize::from(head[1] - b'0'), text);
        }
        let lines = world.sent.iter().map(|sent| {
            let end = sent.bytes.iter().position(|&b| b == b'\r').unwrap_or_default();
            String::from_utf8_lossy(&sent.bytes[..end]).into_owned()
        });
        let lines = lines.collect();
        world.end();
        lines
    }

    const INVITE: &str = "INVITE sip:bob@example.org SIP/2.0|\
        Via: SIP/2.0/UDP h;rport;branch=z9hG4bK1|\
        From: <sip:alice@example.org>;tag=1|To: <sip:bob@example.org>|Call-ID: c|CSeq: 1 INVITE|\
        Max-Forwards: 70|Contact: <sip:alice@h>|";

    #[test]
    fn a_script_plays_a_whole_call() {
        let script = format!("M0{INVITE}|\x1eR0180\x1eR0200\x1eQ0ACK\x1eQ0BYE\x1eR0200");
        let sent = sent(&script);
        let expected = [
            "SIP/2.0 100 Trying",
            "INVITE sip:bob@192.0.2.20:5060 SIP/2.0",
            "SIP/2.0 180 Fuzzed",
            "SIP/2.0 200 Fuzzed",
            "ACK sip:callee@192.0.2.20:5060 SIP/2.0",
            "BYE sip:callee@192.0.2.20:5060 SIP/2.0",
            "SIP/2.0 200 Fuzzed",
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_stranger_with_the_right_password_is_let_through() {
        let proof = "Proxy-Authorization: {auth}|";
        let again = INVITE.replace("z9hG4bK1", "z9hG4bK2").replace("1 INVITE", "2 INVITE");
        let script = format!("M1{INVITE}|\x1eM1{again}{proof}|");
        let sent = sent(&script);
        assert_eq!(sent[0], "SIP/2.0 407 Proxy Authentication Required");
        assert_eq!(sent[1], "SIP/2.0 100 Trying");
        assert_eq!(sent[2], "INVITE sip:bob@192.0.2.20:5060 SIP/2.0");
    }

    #[test]
    #[should_panic(expected = "Remote-Party-ID")]
    fn a_borrowed_identity_is_noticed() {
        let text = "SIP/2.0 200 OK\r\nRemote-Party-ID : <sip:boss@example.org>\r\n\r\n";
        oracle::no_borrowed_identity(text.as_bytes());
    }

    #[test]
    //= RFC 3261 21.5.4 type=test
    fn e8_an_answer_is_no_weapon() {
        let short = "REGISTER sip:example.org SIP/2.0|v:SIP/2.0/UDP h|f:<a:b>|\
            t:<sip:a@example.org>|i:1|CSeq:1 REGISTER|";
        let longer = format!("{short}X: {}|", "x".repeat(40));
        assert_eq!(sent(&format!("M1{short}|")), [""; 0]);
        assert_eq!(sent(&format!("M1{longer}|")), ["SIP/2.0 401 Unauthorized"]);
        let connection = format!("M2{short}l:0||");
        assert_eq!(sent(&connection), ["SIP/2.0 401 Unauthorized"], "who connects is there");
    }

    #[test]
    fn a_registration_is_kept_and_then_found() {
        let register = "REGISTER sip:example.org SIP/2.0|Via: SIP/2.0/TCP h;branch=z9hG4bK2|\
            From: <sip:alice@example.org>;tag=1|To: <sip:alice@example.org>|Call-ID: r|\
            CSeq: 1 REGISTER|Contact: <sip:alice@192.0.2.11;transport=tcp>|l: 0||";
        let call = INVITE.replace("sip:bob@", "sip:alice@");
        let sent = sent(&format!("M4{register}\x1eA0\x1eM0{call}|\x1eC0"));
        let expected = [
            "SIP/2.0 200 OK",
            "SIP/2.0 100 Trying",
            "INVITE sip:alice@192.0.2.11;transport=tcp SIP/2.0",
        ];
        assert_eq!(sent, expected);
    }
}
