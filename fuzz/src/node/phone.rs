//! Far sides that play along: they answer requests, send requests inside dialogs, and know
//! passwords.

use super::world::{PASSWORD, World};
use ringway_wire::{Framing, Index, Message, Method, Name, RequestWriter, ResponseWriter, parse};
use sha2::{Digest, Sha256};

/// Answers one of the last requests that were sent; 0 is the last one.
pub(super) fn answers(world: &mut World, which: usize, text: &[u8]) {
    let request = |bytes: &[u8]| !bytes.starts_with(b"SIP/") && !bytes.starts_with(b"ACK ");
    let Some(sent) = world.last(which, |sent| request(&sent.bytes)) else { return };
    let (flow, bytes) = (sent.flow, sent.bytes.clone());
    let mut index = Index::new();
    let Ok(request) = parse(&bytes, &mut index, Framing::Datagram) else { return };
    let (digits, lines) = text.split_at(text.len().min(3));
    let status = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    let status = status.filter(|status| (100..700).contains(status)).unwrap_or(200);
    let contact = format!("<sip:callee@{}>", flow.remote);
    let mut out = Vec::new();
    let mut writer =
        ResponseWriter::new(&mut out, &request, (status, "Fuzzed"), Some(b"callee"), flow.remote);
    if request.method() == Method::Invite {
        writer.record_routes(&request).header("Contact", contact.as_bytes());
    }
    writer.finish(None);
    insert(&mut out, lines);
    world.receive(flow, &out);
}

/// Sends a request inside the dialog that one of the last messages began.
pub(super) fn asks(world: &mut World, which: usize, text: &[u8]) {
    let begins = |bytes: &[u8]| {
        let lines = bytes.split(|&b| b == b'\n');
        lines.take(30).any(|line| line.starts_with(b"Record-Route:"))
    };
    let Some(sent) = world.last(which, |sent| begins(&sent.bytes)) else { return };
    let (flow, bytes) = (sent.flow, sent.bytes.clone());
    let mut index = Index::new();
    let Ok(message) = parse(&bytes, &mut index, Framing::Datagram) else { return };
    let end = text.iter().position(|b| !b.is_ascii_uppercase()).unwrap_or(text.len());
    let (method, lines) = text.split_at(end);
    let mut out = Vec::new();
    let branch =
        format!("SIP/2.0/UDP {};rport;branch=z9hG4bK{}", flow.remote, world.now.as_micros());
    write_in_dialog(&mut out, &message, method, branch.as_bytes());
    insert(&mut out, lines);
    world.receive(flow, &out);
}

/// RFC 3261 §12.2.1.1: the caller turns the recorded route around, the callee does not.
fn write_in_dialog(out: &mut Vec<u8>, message: &Message<'_>, method: &[u8], via: &[u8]) {
    let from = message.header(Name::From).unwrap_or_default();
    let to = message.header(Name::To).unwrap_or_default();
    let contact = message.contacts().flatten().next();
    let target = contact.map_or(&b"sip:nobody@192.0.2.10"[..], |contact| contact.uri);
    let method = if method.is_empty() { b"BYE" } else { method };
    let mut routes: Vec<&[u8]> = message.values(Name::RecordRoute).collect();
    let mut request = RequestWriter::new(out, method, target);
    request.header("Via", via);
    if message.is_request() {
        let to = [to, b";tag=callee"].concat();
        request.header("From", &to).header("To", from);
    } else {
        routes.reverse();
        request.header("From", from).header("To", to);
    }
    for route in routes {
        request.header("Route", route);
    }
    let cseq = [b"2 ", method].concat();
    request.header("Call-ID", message.call_id()).header("CSeq", &cseq).finish(None);
}

/// Puts header lines, whatever they are, behind the first line.
fn insert(message: &mut Vec<u8>, lines: &[u8]) {
    let lines = lines.strip_prefix(b"\r\n").unwrap_or(lines);
    let lines = lines.strip_suffix(b"\r\n").unwrap_or(lines);
    if let Some(at) = message.iter().position(|&b| b == b'\n').filter(|_| !lines.is_empty()) {
        let lines = [lines, b"\r\n"].concat();
        message.splice(at + 1..at + 1, lines);
    }
}

/// The nonce of a challenge.
pub(super) fn nonce_of(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(b"SIP/2.0 40") {
        return None;
    }
    let start = find(bytes, b"nonce=\"")? + 7;
    let length = bytes[start..].iter().position(|&b| b == b'"')?;
    Some(bytes[start..start + length].to_vec())
}

/// Replaces `{auth}` by what alice answers to the last challenge.
pub(super) fn with_credentials(text: &[u8], nonce: &[u8]) -> Vec<u8> {
    let Some(at) = find(text, b"{auth}") else { return text.to_vec() };
    let mut words = text.split(|&b| b == b' ');
    let (method, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let ha1 = hash(&[b"alice:example.org:", PASSWORD]);
    let ha2 = hash(&[method, b":", uri]);
    let middle: &[u8] = b":00000001:c:auth:";
    let response = hash(&[ha1.as_bytes(), b":", nonce, middle, ha2.as_bytes()]);
    let start: &[u8] = b"Digest username=\"alice\",realm=\"example.org\",algorithm=SHA-256,\
        qop=auth,nc=00000001,cnonce=\"c\",nonce=\"";
    let end = format!("\",response=\"{response}\",uri=\"");
    [&text[..at], start, nonce, end.as_bytes(), uri, b"\"", &text[at + 6..]].concat()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
