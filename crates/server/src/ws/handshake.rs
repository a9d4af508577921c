//! RFC 6455 §4.2: from an HTTP request to a WebSocket that carries SIP, or to an HTTP answer
//! that says why not.

use super::Origins;
use super::origin::Place;
use crate::limits;
use sha1::{Digest, Sha1};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Why there is no WebSocket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// No HTTP request, or a broken one.
    Malformed,
    /// An HTTP request that wants something else, or another version of the protocol.
    NoWebSocket,
    /// The sub-protocol `sip` is not among those it offers.
    NoSip,
    /// A page of somebody else.
    Origin,
}

impl Refused {
    /// For the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "no HTTP request for a WebSocket",
            Self::NoWebSocket => "an HTTP request that asks for no WebSocket",
            Self::NoSip => "no sub-protocol sip",
            Self::Origin => "a page of another origin",
        }
    }

    /// The whole HTTP answer: a person may read it in a browser.
    fn response(self) -> String {
        let (status, text) = match self {
            Self::Malformed => ("400 Bad Request", "This is no WebSocket handshake."),
            Self::NoWebSocket => (
                "426 Upgrade Required",
                "This port speaks SIP over WebSocket (RFC 7118). Browsers open it with the \
                 sub-protocol sip: new WebSocket(url, 'sip').",
            ),
            Self::NoSip => {
                ("400 Bad Request", "The sub-protocol sip must be offered (RFC 7118 4.1).")
            }
            Self::Origin => (
                "403 Forbidden",
                "Pages of this origin may not connect; [websocket] origins allows more.",
            ),
        };
        let upgrade = match self {
            Self::NoWebSocket => "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            _ => "",
        };
        let length = text.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{upgrade}Connection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n{text}\n"
        )
    }
}

/// Reads the request and answers it. What was read behind it comes back.
///
/// # Errors
/// What the connection says, or why it was refused; then the answer is written already.
pub(crate) async fn upgrade(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    (origins, place): (&Origins, &Place<'_>),
) -> io::Result<Result<Vec<u8>, Refused>> {
    let mut head = Vec::with_capacity(1_024);
    let judged = loop {
        if stream.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match judge(&head, origins, place) {
            Ok(None) if head.len() > limits::WS_HANDSHAKE => break Err(Refused::Malformed),
            Ok(None) => {}
            Ok(Some((response, used))) => {
                stream.write_all(response.as_bytes()).await?;
                stream.flush().await?;
                break Ok(head.split_off(used));
            }
            Err(refused) => break Err(refused),
        }
    };
    if let Err(refused) = judged {
        stream.write_all(refused.response().as_bytes()).await?;
        stream.shutdown().await?;
    }
    Ok(judged)
}

/// The answer that opens the WebSocket, and how long the request was; `None`: there is more to
/// come.
fn judge(
    head: &[u8],
    origins: &Origins,
    place: &Place<'_>,
) -> Result<Option<(String, usize)>, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; limits::WS_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let used = match request.parse(head) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Refused::Malformed),
    };
    let values = |name: &str| {
        let named = request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name));
        named.filter_map(|h| std::str::from_utf8(h.value).ok()).collect::<Vec<_>>()
    };
    let tokens = |name: &str| {
        let lists = values(name).into_iter().flat_map(|value| value.split(','));
        lists.map(str::trim).collect::<Vec<_>>()
    };
    let has = |name: &str, token: &str| tokens(name).iter().any(|t| t.eq_ignore_ascii_case(token));
    let asks = request.method == Some("GET")
        && request.version == Some(1)
        && has("Upgrade", "websocket")
        && has("Connection", "upgrade");
    if !asks || values("Sec-WebSocket-Version") != ["13"] {
        return Err(Refused::NoWebSocket);
    }
    let (keys, hosts) = (values("Sec-WebSocket-Key"), values("Host"));
    let ([key], [host]) = (&keys[..], &hosts[..]) else { return Err(Refused::Malformed) };
    if !is_key(key.trim()) {
        return Err(Refused::Malformed);
    }
    match &values("Origin")[..] {
        [] => {}
        [origin] if origins.allow(origin, host, place) => {}
        _ => return Err(Refused::Origin),
    }
    //= RFC 7118 4.1
    // "include the value \"sip\" in the Sec-WebSocket-Protocol header in its"
    if !has("Sec-WebSocket-Protocol", "sip") {
        return Err(Refused::NoSip);
    }
    let accept = accept_for(key.trim());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    );
    Ok(Some((response, used)))
}

/// Sixteen bytes in base64.
fn is_key(key: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(sign)
}

/// RFC 6455 §4.2.2 step 5.4.
fn accept_for(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(&hash.finalize())
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let sign = ALPHABET[(word >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(sign) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const REQUEST: &str = "GET /ws HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Origin: http://www.example.com\r\nSec-WebSocket-Protocol: sip\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n";

    fn judged(request: &str) -> Result<Option<(String, usize)>, Refused> {
        let origins = Origins::new(&["http://www.example.com".into()]);
        let place = Place { secure: false, local: None, domains: &BTreeSet::new() };
        judge(request.as_bytes(), &origins, &place)
    }

    #[test]
    fn the_handshake_of_the_rfc() {
        let (response, used) = judged(REQUEST).expect("good").expect("whole");
        assert_eq!(used, REQUEST.len());
        assert_eq!(
            response,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: sip\r\n\r\n"
        );
        for cut in 1..REQUEST.len() {
            assert_eq!(judged(&REQUEST[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        for (was, is, refused) in [
            ("GET", "POST", Refused::NoWebSocket),
            ("Upgrade: websocket\r\n", "", Refused::NoWebSocket),
            ("Connection: Upgrade", "Connection: close", Refused::NoWebSocket),
            ("HTTP/1.1", "HTTP/1.0", Refused::NoWebSocket),
            ("Version: 13", "Version: 8", Refused::NoWebSocket),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", Refused::Malformed),
            ("Sec-WebSocket-Protocol: sip", "Sec-WebSocket-Protocol: msrp", Refused::NoSip),
            ("Sec-WebSocket-Protocol: sip\r\n", "", Refused::NoSip),
            ("http://www.example.com", "http://evil.example", Refused::Origin),
            ("GET /ws HTTP/1.1", "OPTIONS sip:x@h SIP/2.0", Refused::Malformed),
            ("Host: sip-ws.example.com\r\n", "", Refused::Malformed),
        ] {
            let request = REQUEST.replacen(was, is, 1);
            assert_eq!(judged(&request), Err(refused), "{is}");
        }
        let several = REQUEST.replace("Protocol: sip", "Protocol: msrp, sip");
        let keeps = several.replace("Connection: Upgrade", "Connection: keep-alive, Upgrade");
        assert!(matches!(judged(&keeps), Ok(Some(_))));
        // Who is no browser names no origin.
        let bare = REQUEST.replace("Origin: http://www.example.com\r\n", "");
        assert!(matches!(judged(&bare), Ok(Some(_))));
    }
}
