//! What must hold after every input.

use super::world::{Sent, is_stranger};
use ringway_core::flow::{Flow, Transport};
use ringway_core::limits;
use ringway_core::node::Census;
use ringway_wire::{Framing, Index, Method, Name, parse};

/// How many messages one input may cause at most: all branches of one request, a CANCEL for
/// each, an answer, and one for each timer that may have been due.
pub(super) fn most_sends(census: &Census) -> usize {
    2 * limits::BRANCHES_PER_REQUEST + 4 + 2 * census.timers
}

/// What leaves the house can be read, and a request of ours is beyond reproach.
pub(super) fn well_formed(flow: &Flow, bytes: &[u8]) {
    let stream = flow.transport.is_reliable();
    let framing = if stream { Framing::Stream } else { Framing::Datagram };
    let mut index = Index::new();
    let message = parse(bytes, &mut index, framing);
    let message = message.unwrap_or_else(|fault| panic!("unreadable: {fault:?}"));
    let judged = message.check();
    // A refusal has of the request what was there, which may not be all.
    if message.is_request() || message.status() < 300 {
        assert!(judged.is_ok(), "{judged:?}: {}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(message.bytes(), bytes, "nothing hangs on behind it");
}

/// Nobody here is believed, so of who somebody is nothing leaves the house but what we found out:
/// that Alice knows her password (B1, B3).
pub(super) fn no_borrowed_identity(bytes: &[u8]) {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index, Framing::Datagram) else { return };
    for header in message.headers() {
        let name = header.raw_name.to_ascii_lowercase();
        let begins = |start: &&[u8]| name.starts_with(start);
        let said = header.name == Name::PAssertedIdentity;
        let ours = said && header.value == b"<sip:alice@example.org>" && message.is_request();
        assert!(ours || !BORROWED.iter().any(begins), "{}", String::from_utf8_lossy(bytes));
    }
}

const BORROWED: [&[u8]; 6] = [
    b"p-asserted-",
    b"p-preferred-",
    b"p-charg",
    b"remote-party-id",
    b"diversion",
    b"history-info",
];

/// What the caller of an INVITE is told: which caller, and the status.
pub(super) fn told(bytes: &[u8]) -> Option<(Vec<u8>, u16)> {
    let mut index = Index::new();
    let message = parse(bytes, &mut index, Framing::Datagram).ok()?;
    if message.is_request() || message.method() != Method::Invite {
        return None;
    }
    let via = message.values(Name::Via).next()?;
    let number = message.cseq().ok()?.number.to_string();
    let caller = [via, b" ", message.call_id(), b" ", number.as_bytes()].concat();
    Some((caller, message.status()))
}

/// Nothing for strangers: a request from a source that has proved nothing leaves no state, and
/// brings one answer at most, to where it came from and to nobody else.
pub(super) fn nothing_for_strangers(
    flow: Flow,
    bytes: &[u8],
    (before, after): (Census, Census),
    (old, new): (&[Sent], &[Sent]),
) {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index, Framing::Datagram) else { return };
    let passes_on = matches!(message.method(), Method::Ack | Method::Cancel);
    if !is_stranger(&flow) || flow.transport != Transport::Udp || !message.is_request() || passes_on
    {
        return;
    }
    assert!(total(&after) <= total(&before), "state for a stranger: {before:?} {after:?}");
    assert!(new.len() <= 1, "{} answers to a stranger", new.len());
    let (asked, answered) = (bytes.len(), new.iter().map(|sent| sent.bytes.len()).sum::<usize>());
    // Who knows the branch of another's request makes us repeat the answer, to that other one.
    let repeats = |sent: &Sent| old.iter().any(|o| o.flow == sent.flow && o.bytes == sent.bytes);
    let astray = |sent: &&Sent| sent.flow.remote.ip() != flow.remote.ip() && !repeats(sent);
    let weapon = answered > limits::AMPLIFICATION * asked && !new.iter().any(repeats);
    assert!(!weapon, "{answered} bytes for {asked}");
    let elsewhere = new.iter().find(astray);
    assert!(elsewhere.is_none(), "an answer to somebody else: {elsewhere:?}");
}

const fn total(census: &Census) -> usize {
    census.server_transactions
        + census.client_transactions
        + census.response_contexts
        + census.open_questions
        + census.timers
        + census.calls
}
