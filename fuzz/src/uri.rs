//! Two texts, separated by a line end: read as URIs, as addresses, as Vias, and compared.

use crate::read;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_wire::{Host, NameAddr, SipUri, Uri, Via, equal, unescape};

pub(crate) fn check(input: &[u8]) {
    let mut texts = input.splitn(2, |&b| b == b'\n');
    let (a, b) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
    for text in [a, b] {
        other_readers(text);
    }
    let (Ok(first), Ok(second)) = (Uri::parse(a), Uri::parse(b)) else {
        if let Ok(uri) = Uri::parse(a) {
            alone(a, &uri);
        }
        return;
    };
    alone(a, &first);
    let same = equal(&first, &second);
    assert_eq!(same, equal(&second, &first), "it does not matter who is compared with whom");
    if let (true, Uri::Sip(first), Uri::Sip(second)) = (same, &first, &second) {
        means_the_same(first, second);
    }
}

/// Nothing that reads text trips over any.
fn other_readers(text: &[u8]) {
    if let Ok(address) = NameAddr::parse(text) {
        assert!(!address.uri.is_empty());
    }
    if let Ok(via) = Via::parse(text) {
        assert!(!via.transport.is_empty());
    }
    if let Some((Host::Name(name), _)) = Host::parse_with_port(text) {
        assert!(!name.is_empty());
    }
    if let Some(aor) = std::str::from_utf8(text).ok().and_then(AddressOfRecord::from_text) {
        let again = AddressOfRecord::from_text(&aor.to_string());
        assert_eq!(again.as_ref(), Some(&aor), "what is shown can be typed");
    }
}

fn alone(text: &[u8], uri: &Uri<'_>) {
    read::uri(uri);
    let Uri::Sip(sip) = uri else { return };
    //= RFC 3261 19.1.4
    // "Comparison of the userinfo of SIP and SIPS URIs is case-sensitive"
    // All but the user part may be written in any case.
    let start = text.iter().position(|&b| b == b'@').map_or(0, |at| at + 1);
    let mut shouted = text.to_vec();
    shouted[start..].make_ascii_uppercase();
    let loud = Uri::parse(&shouted);
    // The header part of a URI keeps its case where it is the value of a header.
    if sip.headers.is_empty() {
        let heard = loud.is_ok_and(|loud| equal(uri, &loud));
        assert!(heard, "case means nothing behind the user part");
    }
    escaped(text, sip, uri);
}

/// RFC 3261 §19.1.4: letters are equivalent to their escapes.
fn escaped(text: &[u8], sip: &SipUri<'_>, uri: &Uri<'_>) {
    let Some(user) = sip.user else { return };
    let colon = text.iter().position(|&b| b == b':').map_or(0, |at| at + 1);
    let first = user.iter().position(|b| b.is_ascii_alphabetic() || *b == b'%');
    let Some(at) = first.filter(|&at| user[at] != b'%') else { return };
    let place = colon + at;
    let escape = format!("%{:02x}", text[place]);
    let other = [&text[..place], escape.as_bytes(), &text[place + 1..]].concat();
    let same = Uri::parse(&other).is_ok_and(|other| equal(uri, &other));
    assert!(same, "an escaped letter is that letter");
}

/// URIs that are equal name the same user at the same place.
fn means_the_same(first: &SipUri<'_>, second: &SipUri<'_>) {
    let user = |uri: &SipUri<'_>| {
        uri.user.map(|user| {
            let mut plain = Vec::new();
            unescape(user, &mut plain);
            plain
        })
    };
    assert_eq!(user(first), user(second));
    assert_eq!((first.secure, first.port), (second.secure, second.port));
    assert!(first.host.same(&second.host));
    for name in [&b"user"[..], b"ttl", b"method", b"maddr", b"transport"] {
        let present = |uri: &SipUri<'_>| uri.params.get(name).is_some();
        assert_eq!(present(first), present(second), "RFC 3261 19.1.4 names it");
    }
}
