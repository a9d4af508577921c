//! A good message, what is done to it, and what is said of it then.

#![allow(dead_code, reason = "each test file uses a part of it")]

use ringway_wire::{Fault, Framing, Index, parse};

/// What `check` says of a message, as `(what, fault)`; `|` is a line end.
pub(crate) fn judged(text: &str) -> Option<(&'static str, Fault)> {
    judged_bytes(text.replace('|', "\r\n").as_bytes(), Framing::Datagram)
}

pub(crate) fn judged_bytes(bytes: &[u8], framing: Framing) -> Option<(&'static str, Fault)> {
    let mut index = Index::new();
    let message = parse(bytes, &mut index, framing).expect("something to answer");
    message.check().err().map(|malformed| (malformed.what, malformed.fault))
}

pub(crate) const HEADERS: [&str; 6] = [
    "Via: SIP/2.0/UDP h;branch=z9hG4bKx",
    "From: <sip:a@h>;tag=1",
    "To: <sip:b@h>",
    "Call-ID: c",
    "CSeq: 1 INVITE",
    "Max-Forwards: 70",
];

/// A good INVITE with one header more.
pub(crate) fn with(header: &str) -> String {
    format!("INVITE sip:b@h SIP/2.0|{}|{header}||", HEADERS.join("|"))
}

/// A good INVITE in which the header of this one's name is this one.
pub(crate) fn instead(header: &str) -> String {
    let name = header.split(':').next().unwrap_or_default();
    let others = HEADERS.iter().filter(|other| !other.starts_with(&format!("{name}:")));
    let others: Vec<&str> = others.copied().collect();
    format!("INVITE sip:b@h SIP/2.0|{}|{header}||", others.join("|"))
}
