//! What RFC 3261 demands of a message before anyone acts on it.

use crate::error::{Fault, Malformed};
use crate::header::address::NameAddr;
use crate::header::via::Via;
use crate::limits;
use crate::message::{Contacts, Framing, Message};
use crate::name::Name;
use crate::scan::{Index, is_token, number};
use crate::uri::Uri;

/// Cuts the body to what Content-Length says, or notes that it cannot (RFC 3261 §18.3).
pub(crate) fn content_length(bytes: &[u8], index: &mut Index, framing: Framing) {
    let first = usize::from(index.first[Name::ContentLength as usize]);
    let Some(place) = first.checked_sub(1).and_then(|at| index.places.get(at)) else {
        if framing == Framing::Stream {
            index.note(Malformed::new("Content-Length", Fault::Missing));
        }
        return;
    };
    let value = &bytes[usize::from(place.value)..usize::from(place.value_end)];
    let have = u64::from(index.body_end - index.body);
    match number(value, u64::MAX) {
        //= RFC 3261 18.3
        // "they MUST be discarded"
        Some(said) if said <= have => index.body_end = index.body + said as u16,
        // On a stream the rest could still come, and would be too much.
        Some(said)
            if framing == Framing::Stream
                && said > limits::MESSAGE as u64 - u64::from(index.body) =>
        {
            index.note(Malformed::new("Content-Length", Fault::TooLarge));
        }
        //= RFC 3261 18.3
        // "this is considered an error"
        _ => index.note(Malformed::new("Content-Length", Fault::Length)),
    }
}

pub(crate) fn message(message: &Message<'_>) -> Result<(), Malformed> {
    if let Some(fault) = message.index().fault {
        return Err(fault);
    }
    if message.is_request() {
        request_line(message)?;
    } else if message.status() == 0 {
        return Err(Malformed::grammar("status"));
    }
    singles(message)?;
    //= RFC 3261 8.1.1
    // "A valid SIP request formulated by a UAC MUST, at a minimum, contain"
    let call_id = message.header(Name::CallId);
    let call_id = call_id.ok_or(Malformed::new("Call-ID", Fault::Missing))?;
    if call_id.is_empty() || call_id.iter().any(|b| *b <= b' ') {
        return Err(Malformed::grammar("Call-ID"));
    }
    vias(message)?;
    address(message.from()?, "From")?;
    address(message.to()?, "To")?;
    let cseq = message.cseq()?;
    if message.is_request() && cseq.method != message.method() {
        return Err(Malformed::new("CSeq", Fault::MethodMismatch));
    }
    routes(message, Name::Route, "Route", limits::ROUTES)?;
    routes(message, Name::RecordRoute, "Record-Route", limits::ROUTES)?;
    routes(message, Name::Path, "Path", limits::PATHS)?;
    contacts(message)
}

fn request_line(message: &Message<'_>) -> Result<(), Malformed> {
    if !is_token(message.method().as_bytes()) {
        return Err(Malformed::grammar("start line"));
    }
    match message.uri() {
        Ok(Uri::Sip(sip)) => {
            //= RFC 3261 19.1.1
            // "Table 1: Use and default values of URI components"
            // Headers are not allowed in a Request-URI (RFC 4475 §3.1.2.11).
            if sip.headers.is_empty() { Ok(()) } else { Err(Malformed::grammar("Request-URI")) }
        }
        Ok(_) => Ok(()),
        Err(_) => Err(Malformed::grammar("Request-URI")),
    }
}

/// A7: what may stand in a message once stands there once, or says the same each time.
fn singles(message: &Message<'_>) -> Result<(), Malformed> {
    let index = message.index();
    let mut seen: [u16; Name::COUNT] = [0; Name::COUNT];
    for (at, header) in message.headers().enumerate() {
        if !header.name.is_single() {
            continue;
        }
        let first = usize::from(core::mem::replace(
            &mut seen[header.name as usize],
            index.first[header.name as usize],
        ));
        if first != 0 && first != at + 1 && message.header(header.name) != Some(header.value) {
            return Err(Malformed::new(header.name.as_str(), Fault::Repeated));
        }
    }
    Ok(())
}

fn vias(message: &Message<'_>) -> Result<(), Malformed> {
    let mut count = 0;
    for value in message.values(Name::Via) {
        if count >= limits::VIAS {
            return Err(Malformed::new("Via", Fault::TooLarge));
        }
        if Via::parse(value)?.params.repeats(b"branch") {
            return Err(Malformed::new("Via", Fault::Repeated));
        }
        count += 1;
    }
    if count == 0 { Err(Malformed::new("Via", Fault::Missing)) } else { Ok(()) }
}

/// From or To: a URI of any scheme, and one tag at most, so that nobody reads another one.
fn address(address: NameAddr<'_>, what: &'static str) -> Result<(), Malformed> {
    address.uri().map_err(|_| Malformed::grammar(what))?;
    if address.params.repeats(b"tag") {
        return Err(Malformed::new(what, Fault::Repeated));
    }
    // RFC 3261 §25.1 tag-param: a tag has a value.
    match address.params.get(b"tag") {
        Some(None) => Err(Malformed::grammar(what)),
        _ => Ok(()),
    }
}

fn routes(
    message: &Message<'_>,
    name: Name,
    what: &'static str,
    most: usize,
) -> Result<(), Malformed> {
    for (at, value) in message.values(name).enumerate() {
        if at >= most {
            return Err(Malformed::new(what, Fault::TooLarge));
        }
        let address = NameAddr::parse(value).map_err(|_| Malformed::grammar(what))?;
        address.uri().map_err(|_| Malformed::grammar(what))?;
    }
    Ok(())
}

fn contacts(message: &Message<'_>) -> Result<(), Malformed> {
    if message.contact_kind() == Contacts::Star {
        return Ok(());
    }
    for (at, contact) in message.contacts().enumerate() {
        if at >= limits::CONTACTS {
            return Err(Malformed::new("Contact", Fault::TooLarge));
        }
        contact?.uri().map_err(|_| Malformed::grammar("Contact"))?;
    }
    Ok(())
}
