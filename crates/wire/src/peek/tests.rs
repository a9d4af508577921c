use super::Peek;
use alloc::format;

fn at(text: &str) -> Option<(alloc::string::String, Option<alloc::string::String>)> {
    let bytes = text.replace('|', "\r\n").into_bytes();
    let text = |bytes: &[u8]| alloc::string::String::from_utf8_lossy(bytes).into_owned();
    let peek = Peek::at(&bytes)?;
    let marks = [(peek.has_credentials, "+"), (peek.is_urgent, "!"), (peek.has_route, ">")];
    let marks = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark);
    let marks: alloc::string::String = marks.collect();
    let seen = format!(
        "{} {} {} {}{marks}",
        text(peek.method),
        text(peek.uri),
        text(peek.call_id),
        text(peek.via)
    );
    Some((seen, peek.to_tag.map(text)))
}

#[test]
fn what_a_look_shows() {
    for (message, seen, tag) in [
        ("INVITE sip:b@h SIP/2.0|Via: v|To: <sip:b@h>|Call-ID: c||", "INVITE sip:b@h c v", None),
        ("A b SIP/2.0|t: <sip:b;tag=no>;x ; TAG = yes|i: c|v: w|v: x||", "A b c w", Some("yes")),
        ("|A b SIP/2.0|To: \"<;tag=a>\" <sip:b>;a=tag;tag=c;tag=d||", "A b  ", Some("c")),
        ("A b SIP/2.0|To: sip:b;tag=q|To: sip:b;tag=r||", "A b  ", Some("q")),
        ("A b SIP/2.0|To: <sip:b>|\t;tag| ;tag=z|Call-ID: c||To: x;tag=w", "A b c ", Some("z")),
        ("A b SIP/2.0|To: <sip:b>;tag=||", "A b  ", None),
        ("A b SIP/2.0|aUTHORIZATION : Digest x|Cut o", "A b  +", None),
        ("A b SIP/2.0|Proxy-Authorization:x|Priority: normal||", "A b  +", None),
        ("A b SIP/2.0|PRIORITY: Emergency||", "A b  !", None),
        ("A b SIP/2.0|resource-priority: esnet.1||", "A b  !", None),
        ("A b SIP/2.0|route :<sip:p;lr>||", "A b  >", None),
        ("A b SIP/2.0|Record-Route: <sip:p;lr>|Routes: x||", "A b  ", None),
        ("A b SIP/2.0|Priorities: emergency|Authorizations: x|Tos: ;tag=1||", "A b  ", None),
        ("A b SIP/2.0|||To: <sip:b>;tag=body||", "A b  ", None),
        ("A b c SIP/2.0|||", "A b c  ", None),
        ("SIP/2.0 200 OK|To: <sip:b>;tag=1|i: c||", "   ", None),
    ] {
        let expected = Some((seen.into(), tag.map(Into::into)));
        assert_eq!(at(message), expected, "{message}");
    }
    for nothing in ["", "||", "x", "A|", "A b SIP/2.0", "GET|||", "\0\0\0\0"] {
        assert_eq!(at(nothing), None, "{nothing}");
    }
}

#[test]
fn a_look_at_a_thousand_lines_ends() {
    let mut text = alloc::string::String::from("A b SIP/2.0|");
    (0..1_000).for_each(|_| text.push_str("x: y|"));
    text.push_str("To: <sip:b>;tag=1||");
    assert_eq!(at(&text), Some(("A b  ".into(), None)));
}
