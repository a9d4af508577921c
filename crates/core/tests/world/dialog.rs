//! A call that is up, and requests inside of it.

use super::{Sent, World, invite, read, statuses};

/// A call that is answered: the INVITE that arrived, and the 200 that went back.
pub(crate) fn call(world: &mut World, from: &str, more: &str) -> (Sent, Sent) {
    let sent = world.receive(from, &invite("sip:bob@example.org", more));
    let copy = sent[1].clone();
    let phone = copy.to.strip_prefix("udp ").unwrap_or(&copy.to).to_owned();
    let contact = if phone.contains("2001") { "[2001:db8:9::9]" } else { "192.0.2.21" };
    let ok = copy.answer(200, &format!("Contact: <sip:bob@{contact}>|"));
    let sent = world.receive(&phone, &ok);
    assert_eq!(statuses(&sent), [200], "{sent:?}");
    (copy, sent[0].clone())
}

/// A request inside of a dialog, with the tags of From and To.
pub(crate) fn in_dialog(method: &str, uri: &str, routes: &str, tags: (&str, &str)) -> String {
    format!(
        "{method} {uri} SIP/2.0|Via: SIP/2.0/UDP far.example;branch=z9hG4bK{method}{uri};rport|\
         {routes}Max-Forwards: 70|From: <sip:x@example.org>;tag={}|To: <sip:y@example.org>;\
         tag={}|Call-ID: call|CSeq: 2 {method}|Content-Length: 0||",
        tags.0, tags.1
    )
}

/// The tag with which the callee began the dialog.
pub(crate) fn tag_of_callee(ok: &Sent) -> String {
    read(ok, |ok| String::from_utf8_lossy(ok.to().expect("To").tag().expect("a tag")).into_owned())
}
