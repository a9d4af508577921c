//! What reading a message costs, to be counted by callgrind: reads one message so many times.
//!
//! `cost invite|register|ok peek|index|check|fields COUNT`; the difference of two counts, divided
//! by the difference of their instructions, is the cost of one.

use ringway_wire::{Framing, Index, Message, Name, Peek, Uri, parse};
use std::hint::black_box;

const REGISTER: &str = "REGISTER sip:bench.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:40070;branch=z9hG4bK6a1f.1f.2b3.17;rport\r\n\
    Max-Forwards: 70\r\n\
    From: <sip:u0000042@bench.test>;tag=f1f.2b3\r\n\
    To: <sip:u0000042@bench.test>\r\n\
    Call-ID: r6a1f-2a@loadgen\r\n\
    CSeq: 17 REGISTER\r\n\
    Contact: <sip:u0000042@127.0.0.1:40070>;expires=3600\r\n\
    User-Agent: loadgen\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE\r\n\
    Supported: replaces, outbound\r\n\
    Content-Length: 0\r\n\r\n";

const SDP: &str = "v=0\r\no=- 3724394400 3724394400 IN IP4 127.0.0.1\r\ns=-\r\n\
    c=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
    a=sendrecv\r\na=mid:0\r\n";

const INVITE: &str = "INVITE sip:u0000042@bench.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK-524287-1---8f3c2a1b;rport\r\n\
    Max-Forwards: 70\r\n\
    Contact: <sip:caller@192.0.2.17:5060;transport=udp>\r\n\
    To: <sip:u0000042@bench.test>\r\n\
    From: \"A. Caller\" <sip:caller@bench.test>;tag=7f3d2c1a\r\n\
    Call-ID: 98237NjQ4ZDhiYmQ0ZTJhMWFkNGI2@loadgen\r\n\
    CSeq: 1 INVITE\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO\r\n\
    Content-Type: application/sdp\r\n\
    Supported: replaces, outbound, 100rel, timer\r\n\
    User-Agent: loadgen with a name of middling length of a version 1.2.3-45\r\n\
    Allow-Events: presence, kpml, talk, and others, too: x\r\n\
    Session-Expires: 1800\r\n\
    Content-Length: ";

const OK: &str = "SIP/2.0 200 OK\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef;rport\r\n\
    Via: SIP/2.0/UDP 192.0.2.17:5060;branch=z9hG4bK6a1f.1f.2b3.1;rport=5060;received=192.0.2.17\r\n\
    Record-Route: <sip:192.0.2.1:5060;lr;c=0123456789abcdef0123456789abcdef>\r\n\
    From: <sip:caller@bench.test>;tag=f1f.2b3\r\n\
    To: <sip:u0000042@bench.test>;tag=t1f.2b3\r\n\
    Call-ID: c6a1f-1f-2b3@loadgen\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:u0000042@192.0.2.18:5060>\r\n\
    User-Agent: loadgen\r\n\
    Content-Length: 0\r\n\r\n";

/// All that a proxy reads of a message.
fn fields(message: &Message<'_>) -> usize {
    let mut seen = usize::from(message.max_forwards().unwrap_or(0)) + message.call_id().len();
    if let Ok(via) = message.top_via() {
        seen += via.branch().map_or(0, <[u8]>::len) + usize::from(via.port.unwrap_or(0));
        seen += usize::from(via.rport().is_some()) + usize::from(via.received().is_some());
        black_box(via.host);
    }
    seen += message.from().ok().and_then(|from| from.tag()).map_or(0, <[u8]>::len);
    seen += message.to().ok().and_then(|to| to.tag()).map_or(0, <[u8]>::len);
    if let Ok(cseq) = message.cseq() {
        seen += cseq.number as usize + cseq.method.as_bytes().len();
    }
    if let Ok(Uri::Sip(sip)) = message.uri() {
        seen += sip.user.map_or(0, <[u8]>::len);
        black_box(sip.host);
    }
    if let Some(Ok(contact)) = message.contacts().next() {
        seen += usize::from(matches!(contact.uri(), Ok(Uri::Sip(sip)) if sip.port.is_some()));
    }
    seen + usize::from(message.header(Name::Route).is_some()) + message.method().as_bytes().len()
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let text = match words[0].as_str() {
        "invite" => format!("{INVITE}{}\r\n\r\n{SDP}", SDP.len()),
        "register" => REGISTER.to_owned(),
        _ => OK.to_owned(),
    };
    let count: usize = words[2].parse().expect("a count");
    let mut index = Index::new();
    let mut seen = 0;
    for _ in 0..count {
        if words[1] == "peek" {
            black_box(Peek::at(black_box(text.as_bytes())));
            continue;
        }
        let message = parse(black_box(text.as_bytes()), &mut index, Framing::Datagram);
        let message = message.expect("a message");
        if words[1] != "index" {
            assert_eq!(message.check(), Ok(()));
        }
        if words[1] == "fields" {
            seen += fields(&message);
        }
        if words[1] == "stored" {
            seen += message.to_stored().message().body().len();
        }
        black_box(&message);
    }
    println!("{} bytes, {} headers, {seen}", text.len(), text.split("\r\n").count());
}
