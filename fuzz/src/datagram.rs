//! One datagram. The first byte says what is done with it, the rest is what arrived.

use crate::read;
use ringway_wire::{
    Editor, Framing, Index, Message, Name, ResponseWriter, parse, write_ack, write_cancel,
};
use std::net::SocketAddr;

pub(crate) fn check(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let mut index = Index::new();
    let framing = if choice & 0x80 == 0 { Framing::Datagram } else { Framing::Stream };
    let Ok(message) = parse(bytes, &mut index, framing) else { return };
    let good = message.check().is_ok();
    read::everything(&message);
    read::facts_agree(&message);
    let stored = message.to_stored();
    assert_eq!(stored.message().bytes(), message.bytes(), "a copy is the same");
    assert_eq!(stored.message().check().is_ok(), good, "a copy is judged the same");
    let edited = edit(&message, choice);
    if good {
        came_out_as_meant(&message, &edited, choice);
    }
    if message.is_request() {
        answer(&message, good);
    }
}

fn source() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 99], 5_099))
}

/// Changes a message as a proxy does.
fn edit(message: &Message<'_>, choice: u8) -> Vec<u8> {
    let mut edit = Editor::new(message);
    edit.set_max_forwards(9);
    edit.push_record_route(b"<sip:us.example;lr>");
    if choice & 1 != 0 {
        edit.set_received(source());
    }
    if choice & 2 != 0 {
        edit.pop_routes(1);
    }
    if choice & 4 != 0 {
        edit.pop_last_route();
    }
    if choice & 8 != 0 {
        edit.pop_via();
    }
    if choice & 16 != 0 {
        edit.set_request_uri(b"sip:new@example.org");
    }
    if choice & 32 != 0 {
        edit.remove(Name::ProxyAuthorization);
    }
    edit.push_via(b"SIP/2.0/UDP us.example;branch=z9hG4bKus");
    edit.complete_content_length();
    let mut out = b"before".to_vec();
    let place = edit.finish(&mut out);
    assert_eq!(place, 6..out.len(), "the edited message is all that was written");
    out.split_off(6)
}

/// What went out is read again: it must be what was meant, and everything else as it was.
fn came_out_as_meant(before: &Message<'_>, edited: &[u8], choice: u8) {
    let mut index = Index::new();
    // Four headers were added; a message at its limits may now be beyond them.
    let Ok(after) = parse(edited, &mut index, Framing::Stream) else { return };
    let vias = before.vias().count() + 1 - usize::from(choice & 8 != 0);
    if let Err(fault) = after.check() {
        let grown = vias > 70 || before.headers().count() > 250 || edited.len() > 65_000;
        let routes = [Name::Route, Name::RecordRoute].map(|name| before.values(name).count());
        // `received` and `rport` make a line longer.
        let long = before.bytes().split(|&b| b == b'\n').any(|line| line.len() > 4_000);
        assert!(grown || routes.iter().any(|&n| n >= 32) || long, "an edit broke it: {fault:?}");
        return;
    }
    assert_eq!(after.body(), before.body(), "the body is untouched");
    assert_eq!(after.vias().count(), vias, "one Via came, and one went if it was asked for");
    assert_eq!(after.call_id(), before.call_id());
    assert_eq!(after.cseq(), before.cseq());
    assert_eq!(after.max_forwards(), Some(9));
    let tags = |m: &Message<'_>| {
        let tag =
            |a: Option<ringway_wire::NameAddr<'_>>| a.and_then(|a| a.tag()).map(<[u8]>::to_vec);
        (tag(m.from().ok()), tag(m.to().ok()))
    };
    assert_eq!(tags(&after), tags(before));
    let top = after.top_via().ok().and_then(|via| via.branch());
    assert_eq!(top, Some(&b"z9hG4bKus"[..]));
    assert_eq!(untouched(&after), untouched(before), "what was not meant is as it was");
}

/// All headers but those that an edit may change.
fn untouched(message: &Message<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let changed = [
        Name::Via,
        Name::Route,
        Name::RecordRoute,
        Name::MaxForwards,
        Name::ContentLength,
        Name::ProxyAuthorization,
    ];
    let others = message.headers().filter(|header| !changed.contains(&header.name));
    others.map(|header| (header.raw_name.to_vec(), header.value.to_vec())).collect()
}

/// Every request is answered, be it ever so broken, and the answer is well-formed if it was.
fn answer(request: &Message<'_>, good: bool) {
    let mut out = Vec::new();
    ResponseWriter::new(&mut out, request, (486, "Busy Here"), Some(b"ours"), source())
        .record_routes(request)
        .header("Warning", request.call_id())
        .finish(None);
    let mut index = Index::new();
    let Ok(response) = parse(&out, &mut index, Framing::Stream) else {
        assert!(request.bytes().len() > 60_000 || !good, "an answer that cannot be read");
        return;
    };
    assert!(!response.is_request() && response.status() == 486);
    if !good {
        return;
    }
    let long = request.bytes().split(|&b| b == b'\n').any(|line| line.len() > 4_000);
    assert!(response.check().is_ok() || long, "{:?}", response.check());
    assert_eq!(response.vias().count(), request.vias().count());
    assert_eq!(response.call_id(), request.call_id());
    let mut ours = Vec::new();
    for written in [write_ack(&mut ours, request, &response), write_cancel(&mut ours, request)] {
        let mut index = Index::new();
        let ours = parse(&ours[written], &mut index, Framing::Stream);
        let fits = ours.is_ok_and(|ours| ours.check().is_ok());
        assert!(fits || long, "an ACK or a CANCEL of ours is well-formed");
    }
}
