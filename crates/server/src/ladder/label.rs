//! What a message is called in a drawing, and how it looks.

use super::style::{Style, Tone};
use ringway_core::reject::Reject;
use ringway_wire::{Message, Name};

/// Challenges are neither good nor bad news.
const CHALLENGES: [Reject; 2] = [Reject::Unauthorized, Reject::ProxyAuthenticationRequired];

/// Its method or status, and what is remarkable about it.
pub fn label(message: &Message<'_>, style: Style) -> (String, Tone) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut label, tone) = if message.is_request() {
        (text(message.method().as_bytes()), Tone::Strong)
    } else {
        let status = message.status();
        let code = status.to_string();
        let tone = match code.as_bytes().first() {
            Some(b'1') => Tone::Plain,
            Some(b'2') => Tone::Good,
            _ if CHALLENGES.iter().any(|challenge| challenge.status() == status) => Tone::Doubtful,
            _ => Tone::Bad,
        };
        (format!("{code} {}", text(message.reason())), tone)
    };
    let proved = [Name::Authorization, Name::ProxyAuthorization];
    let dot = style.pick("·", "+");
    if proved.into_iter().any(|name| message.header(name).is_some()) {
        label = format!("{label} {dot} digest");
    }
    if message.body().starts_with(b"v=0") {
        label = format!("{label} {dot} SDP");
    }
    (label, tone)
}
