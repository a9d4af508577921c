//! Reads all that can be read of a message.

use ringway_wire::{CSeq, Contacts, Message, Name, NameAddr, Params, Sdp, Uri, Via, equal};

/// What was found while the message was judged is what its headers say when they are read.
pub(crate) fn facts_agree(message: &Message<'_>) {
    let value = |name| message.header(name).unwrap_or_default();
    assert_eq!(message.from().ok(), NameAddr::parse(value(Name::From)).ok(), "From");
    assert_eq!(message.to().ok(), NameAddr::parse(value(Name::To)).ok(), "To");
    assert_eq!(message.cseq().ok(), CSeq::parse(value(Name::CSeq)).ok(), "CSeq");
    assert_eq!(message.uri().ok(), Uri::parse(message.request_uri()).ok(), "Request-URI");
    let contacts = message.values(Name::Contact).map(|value| NameAddr::parse(value).ok());
    assert!(message.contacts().map(Result::ok).eq(contacts), "Contact");
    let top = message.values(Name::Via).next().and_then(|value| Via::parse(value).ok());
    assert_eq!(message.top_via().ok(), top, "Via");
    for via in message.vias().flatten() {
        assert_eq!(via.branch(), via.params.get(b"branch").flatten(), "branch");
    }
    for address in [message.from(), message.to()].into_iter().flatten() {
        let tag = address.params.get(b"tag").flatten().filter(|tag| !tag.is_empty());
        assert_eq!(address.tag(), tag, "tag");
    }
}

/// Reads everything, and counts it so that nothing is left out by the compiler.
pub(crate) fn everything(message: &Message<'_>) -> usize {
    let mut seen = message.bytes().len() + message.body().len() + message.reason().len();
    seen += usize::from(message.status()) + message.method().as_bytes().len();
    seen += message.call_id().len() + message.request_uri().len();
    seen += message.max_forwards().map_or(0, usize::from);
    seen += message.expires().map_or(0, |expires| expires as usize & 1);
    seen += message.cseq().map_or(0, |cseq| cseq.number as usize & 1);
    seen += message.from().map_or(0, |from| address(&from));
    seen += message.to().map_or(0, |to| address(&to));
    seen += message.top_via().map_or(0, |top| via(&top));
    seen += usize::from(message.contact_kind() == Contacts::Star);
    for header in message.headers() {
        assert!(!header.raw_name.is_empty(), "a header has a name");
        seen += header.value.len();
    }
    seen += message.vias().flatten().map(|each| via(&each)).sum::<usize>();
    seen += message.contacts().flatten().map(|each| address(&each)).sum::<usize>();
    for name in [Name::Route, Name::RecordRoute, Name::Path, Name::Allow, Name::Other] {
        seen += message.values(name).map(<[u8]>::len).sum::<usize>();
    }
    for name in [Name::Route, Name::RecordRoute, Name::Path] {
        seen += message.values(name).flat_map(NameAddr::parse).map(|a| address(&a)).sum::<usize>();
    }
    if let Some(sdp) = Sdp::new(message.body()) {
        seen +=
            sdp.media().map(|media| media.formats.len() + usize::from(media.port)).sum::<usize>();
        seen += usize::from(sdp.connection().is_some());
    }
    seen + message.uri().map_or(0, |target| uri(&target))
}

fn via(via: &Via<'_>) -> usize {
    let numbers = (via.received().is_some(), via.rport().is_some(), via.ttl().is_some());
    let texts = via.branch().map_or(0, <[u8]>::len) + via.maddr().map_or(0, <[u8]>::len);
    texts + params(&via.params) + usize::from(numbers.0 || numbers.1 || numbers.2)
}

fn address(address: &NameAddr<'_>) -> usize {
    let text = address.tag().map_or(0, <[u8]>::len) + address.display.map_or(0, <[u8]>::len);
    text + params(&address.params) + address.uri().map_or(0, |read| uri(&read))
}

/// Reads a URI; whatever it is, it equals itself.
pub(crate) fn uri(uri: &Uri<'_>) -> usize {
    assert!(equal(uri, uri), "{uri:?} equals itself");
    match uri {
        Uri::Sip(sip) => params(&sip.params) + sip.headers.len(),
        Uri::Tel(tel) => params(&tel.params) + tel.number.len(),
        Uri::Other { scheme, rest } => scheme.len() + rest.len(),
    }
}

fn params(params: &Params<'_>) -> usize {
    params.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len)).sum()
}
