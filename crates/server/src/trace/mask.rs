//! Secrets are not shown: what proves a password, and the keys of media (J11).

use ringway_wire::{Framing, Index, Message, Name, parse};
use std::borrow::Cow;

/// What stands in place of a secret.
const MASK: u8 = b'*';
/// Parameters of credentials from which a password can be guessed, or with which one can log in.
const PROOFS: [&[u8]; 2] = [b"response", b"rspauth"];
/// The scheme whose credentials have parameters; all of any other one is masked.
const DIGEST: &[u8] = b"digest";
/// Before the key of a media stream in a session description (RFC 4568 §9.1).
const INLINE: &[u8] = b"inline:";

/// The message with its secrets masked. It stays as long as it is, and so a message.
pub fn mask(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index, Framing::Datagram) else {
        // Whatever it is, nobody knows where its secrets are.
        return Cow::Owned(vec![MASK; bytes.len()]);
    };
    let secrets = secrets(bytes, &message);
    if secrets.is_empty() {
        return Cow::Borrowed(bytes);
    }
    let mut masked = bytes.to_vec();
    for (begin, end) in secrets {
        masked[begin..end].fill(MASK);
    }
    Cow::Owned(masked)
}

/// From where to where secrets stand.
fn secrets(bytes: &[u8], message: &Message<'_>) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for header in message.headers() {
        let value = header.value;
        let at = place(bytes, value);
        match header.name {
            Name::Authorization | Name::ProxyAuthorization => {
                let scheme = value.iter().position(u8::is_ascii_whitespace).unwrap_or(value.len());
                if value[..scheme].eq_ignore_ascii_case(DIGEST) {
                    proofs(value, at, &mut found);
                } else {
                    found.push((at + scheme, at + value.len()));
                }
            }
            Name::AuthenticationInfo => proofs(value, at, &mut found),
            _ => {}
        }
    }
    let (body, mut from) = (message.body(), 0);
    let at = place(bytes, body);
    while let Some(next) = find(&body[from..], INLINE) {
        let begin = from + next + INLINE.len();
        let is_key = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        let length = body[begin..].iter().take_while(|b| is_key(b)).count();
        found.push((at + begin, at + begin + length));
        from = begin + length;
    }
    found
}

/// Where a part of a text begins in it.
fn place(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr().addr()).saturating_sub(whole.as_ptr().addr()).min(whole.len())
}

/// The values of parameters that prove a password; names in any case, blanks anywhere.
fn proofs(value: &[u8], at: usize, found: &mut Vec<(usize, usize)>) {
    for (nth, &byte) in value.iter().enumerate() {
        if byte != b'=' {
            continue;
        }
        let name = value[..nth].trim_ascii_end();
        let is_proof = PROOFS.iter().any(|proof| {
            let begin = name.len().checked_sub(proof.len());
            begin.is_some_and(|begin| name[begin..].eq_ignore_ascii_case(proof))
        });
        if is_proof {
            let rest = &value[nth + 1..];
            let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            let quoted = rest.get(blanks) == Some(&b'"');
            let begin = nth + 1 + blanks + usize::from(quoted);
            let is_end = |b: &u8| if quoted { *b == b'"' } else { b", \t\r\n".contains(b) };
            let length = value[begin..].iter().take_while(|b| !is_end(b)).count();
            found.push((at + begin, at + begin + length));
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let masked = mask(text.as_bytes());
        assert_eq!(masked.len(), text.len());
        String::from_utf8(masked.into_owned()).expect("text")
    }

    #[test]
    fn j11_what_proves_a_password_is_not_shown() {
        for (secret, header) in [
            (
                "6629fae49393",
                "Authorization: Digest username=\"a\", response=\"6629fae49393\", nc=1",
            ),
            ("6629fae49393", "Proxy-Authorization: dIGEST Response = 6629fae49393,nc=1"),
            (
                "6629fae49393",
                "AUTHORIZATION :\r\n Digest x=\"y\",\r\n response=\r\n \"6629fae49393\"",
            ),
            ("YWxpY2U6c2VjcmV0", "Authorization: Basic YWxpY2U6c2VjcmV0"),
            ("token.x.y", "Proxy-Authorization: Bearer token.x.y"),
            ("aabbcc", "Authentication-Info: nextnonce=\"n\", rspauth=\"aabbcc\""),
        ] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nX: 1\r\n{header}\r\nCall-ID: 7\r\n\r\n");
            let shown = masked(&text);
            assert!(!shown.contains(secret), "{shown}");
            assert!(shown.ends_with("\r\nCall-ID: 7\r\n\r\n") && shown.contains("X: 1"), "{shown}");
        }
        let keys = "INVITE sip:a SIP/2.0\r\n\r\nv=0\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGw+KCkge/=|2^20|1:4\r\n\
            a=crypto:2 AES_CM_128_HMAC_SHA1_32 inline:PS1uQCVeeCFCanVmcjkpPyw";
        let shown = masked(keys);
        assert!(!shown.contains("WVNf") && !shown.contains("PS1u"), "{shown}");
        assert!(shown.contains("|2^20|1:4\r\na=crypto:2 AES"), "{shown}");
        assert!(masked("what is this? response=\"x\"").chars().all(|c| c == '*'));
    }

    #[test]
    fn all_else_is_shown() {
        for text in [
            "SIP/2.0 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n",
            "INVITE sip:a SIP/2.0\r\nSubject: response=\"x\"\r\n\r\nresponse=\"y\"",
            "OPTIONS sip:a SIP/2.0\r\nAuthorization: Digest nonce=\"n\", nc=1\r\n\r\n",
        ] {
            assert!(matches!(mask(text.as_bytes()), Cow::Borrowed(_)), "{text}");
        }
    }
}
