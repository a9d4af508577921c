//! What RFC 3261 demands of a message before anyone acts on it, and on the way where its parts
//! stand.

use crate::class;
use crate::error::{Fault, Malformed};
use crate::facts::Facts;
use crate::header::address::{AddressMarks, Tags};
use crate::header::params::skip_blanks;
use crate::header::via::ViaMarks;
use crate::limits;
use crate::message::{Contacts, Framing, Header, Message};
use crate::name::{Method, Name};
use crate::scan::{Index, is_token, number};

/// Cuts the body to what Content-Length says, or notes that it cannot (RFC 3261 §18.3).
pub(crate) fn content_length(bytes: &[u8], index: &mut Index, framing: Framing) {
    let first = index.names.first(Name::ContentLength);
    let Some(place) = first.and_then(|at| index.places.get(at)) else {
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

/// Judges a message, and leaves in its index what was found.
pub(crate) fn judge(bytes: &[u8], index: &mut Index) {
    if index.fault.is_some() {
        return;
    }
    let mut facts = index.facts;
    index.fault = message(&Message::of(bytes, index), &mut facts).err();
    index.facts = facts;
}

fn message(message: &Message<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    if message.is_request() {
        request_line(message, facts)?;
    } else if message.status() == 0 {
        return Err(Malformed::grammar("status"));
    }
    singles(message)?;
    //= RFC 3261 8.1.1
    // "A valid SIP request formulated by a UAC MUST, at a minimum, contain"
    let call_id = message.header(Name::CallId);
    let call_id = call_id.ok_or(Malformed::new("Call-ID", Fault::Missing))?;
    if call_id.is_empty() || class::find_below(call_id, 0, b' ' + 1).is_some() {
        return Err(Malformed::grammar("Call-ID"));
    }
    vias(message, facts)?;
    facts.from = Some(address(message, Name::From)?);
    facts.to = Some(address(message, Name::To)?);
    let cseq = message.cseq()?;
    if message.is_request() && cseq.method != message.method() {
        return Err(Malformed::new("CSeq", Fault::MethodMismatch));
    }
    facts.cseq = Method::known(cseq.method.as_bytes()).map(|method| (cseq.number, method));
    addresses(message, Name::Route, limits::ROUTES)?;
    addresses(message, Name::RecordRoute, limits::ROUTES)?;
    addresses(message, Name::Path, limits::PATHS)?;
    match message.contact_kind() {
        Contacts::List => {
            facts.contact = addresses(message, Name::Contact, limits::CONTACTS)?;
            Ok(())
        }
        Contacts::None | Contacts::Star => Ok(()),
    }
}

fn request_line(message: &Message<'_>, facts: &Facts) -> Result<(), Malformed> {
    if !is_token(message.method().as_bytes()) {
        return Err(Malformed::grammar("start line"));
    }
    //= RFC 3261 19.1.1
    // "Table 1: Use and default values of URI components"
    // Headers are not allowed in a Request-URI (RFC 4475 §3.1.2.11).
    match facts.uri {
        Some(uri) if !uri.has_headers() => Ok(()),
        _ => Err(Malformed::grammar("Request-URI")),
    }
}

/// A7: what may stand in a message once stands there once, or says the same each time.
fn singles(message: &Message<'_>) -> Result<(), Malformed> {
    if message.index().names.repeated & Name::SINGLES == 0 {
        return Ok(());
    }
    let again = |header: &Header<'_>| {
        header.name.is_single() && message.header(header.name) != Some(header.value)
    };
    match message.headers().find(again) {
        Some(header) => Err(Malformed::new(header.name.as_str(), Fault::Repeated)),
        None => Ok(()),
    }
}

/// Reads the elements of the comma list of each line of this name, one after another. Each is
/// handed to `each` with its number and what was read of it.
fn elements<'a, M>(
    message: &Message<'a>,
    name: Name,
    read: impl Fn(&'a [u8]) -> Option<(M, usize)>,
    mut each: impl FnMut(usize, &'a [u8], Option<M>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut nth = 0;
    for mut rest in message.all(name).filter(|value| !value.is_empty()) {
        loop {
            let text = &rest[skip_blanks(rest, 0)..];
            let found = read(text).filter(|&(_, end)| matches!(text.get(end), None | Some(b',')));
            let end = found.as_ref().map_or(0, |&(_, end)| end);
            each(nth, &text[..end], found.map(|(marks, _)| marks))?;
            nth += 1;
            match text.get(end) {
                None => break,
                Some(_) => rest = &text[end + 1..],
            }
        }
    }
    Ok(())
}

fn vias(message: &Message<'_>, facts: &mut Facts) -> Result<(), Malformed> {
    elements(message, Name::Via, ViaMarks::read, |nth, text, marks| {
        if nth >= limits::VIAS {
            return Err(Malformed::new("Via", Fault::TooLarge));
        }
        let marks = marks.ok_or(Malformed::grammar("Via"))?;
        if marks.repeats_branch {
            return Err(Malformed::new("Via", Fault::Repeated));
        }
        if nth == 0 {
            facts.via = Some((message.span_of(text), marks));
        }
        Ok(())
    })?;
    if facts.via.is_none() { Err(Malformed::new("Via", Fault::Missing)) } else { Ok(()) }
}

/// From or To: a URI of any scheme, and one tag at most, so that nobody reads another one.
fn address(message: &Message<'_>, name: Name) -> Result<AddressMarks, Malformed> {
    let what = name.as_str();
    let value = message.header(name).ok_or(Malformed::new(what, Fault::Missing))?;
    let marks = AddressMarks::read(value).filter(|&(_, end)| end == value.len());
    let (marks, _) = marks.filter(|(marks, _)| marks.has_uri()).ok_or(Malformed::grammar(what))?;
    match marks.tags() {
        Tags::Several => Err(Malformed::new(what, Fault::Repeated)),
        Tags::WithoutValue => Err(Malformed::grammar(what)),
        Tags::None | Tags::One => Ok(marks),
    }
}

/// A list of addresses, each with a URI of any scheme; hands out the first.
fn addresses(
    message: &Message<'_>,
    name: Name,
    most: usize,
) -> Result<Option<AddressMarks>, Malformed> {
    if message.index().names.first(name).is_none() {
        return Ok(None);
    }
    let mut first = None;
    elements(message, name, AddressMarks::read, |nth, _, marks| {
        if nth >= most {
            return Err(Malformed::new(name.as_str(), Fault::TooLarge));
        }
        let marks = marks.filter(AddressMarks::has_uri);
        let marks = marks.ok_or(Malformed::grammar(name.as_str()))?;
        if nth == 0 {
            first = Some(marks);
        }
        Ok(())
    })?;
    Ok(first)
}
