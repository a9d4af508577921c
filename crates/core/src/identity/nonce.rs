//! Nonces that cost no memory (RFC 7616 §3.3): the time, a tag of the source and a MAC, so that
//! a flood of challenges leaves nothing behind, and only what we made ourselves is accepted.
//!
//! ```text
//! | issued, µs: 7 | salt: 3 | source tag: 4 | MAC of all that and the realm: 16 |
//! together 40 characters
//! ```

use crate::flow::Flow;
use crate::keys::Keys;
use crate::limits;
use crate::time::Instant;
use core::net::IpAddr;
use subtle::ConstantTimeEq;

/// The length of a nonce as text.
pub(crate) const TEXT_LEN: usize = BYTES * 4 / 3;

/// A nonce as it stands in a header: letters, digits, `-` and `_`.
pub(crate) type Text = [u8; TEXT_LEN];

/// A nonce of ours that came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Nonce {
    /// When it was made.
    issued: Instant,
    /// Whether it came from where it was sent to.
    pub(crate) from_its_source: bool,
}

impl Nonce {
    /// When it ends.
    pub(crate) fn ends(self) -> Instant {
        self.issued + limits::NONCE_LIFE
    }

    /// Whether it may be used at this time. One from the future was made under another clock.
    pub(crate) fn is_fresh(self, now: Instant) -> bool {
        self.issued <= now && now < self.ends()
    }
}

/// Makes a nonce for whoever is at the other end of `flow`. `salt` tells requests of the same
/// microsecond apart: their nonce counts are kept separately.
pub(crate) fn issue(keys: &Keys, now: Instant, realm: &[u8], flow: &Flow, salt: u64) -> Text {
    let mut bytes = [0; BYTES];
    bytes[..SALT].copy_from_slice(&now.as_micros().to_be_bytes()[1..]);
    bytes[SALT..SOURCE].copy_from_slice(&salt.to_be_bytes()[..SOURCE - SALT]);
    bytes[SOURCE..MAC].copy_from_slice(&source_tag(keys, flow));
    let mac = keys.mac(b"nonce", &[&bytes[..MAC], realm]);
    bytes[MAC..].copy_from_slice(&mac);
    to_text(&bytes)
}

/// Reads a nonce that came back; `None` if it is not one of ours for this realm.
pub(crate) fn read(keys: &Keys, text: &[u8], realm: &[u8], flow: &Flow) -> Option<Nonce> {
    let bytes = from_text(text.try_into().ok()?)?;
    let mac = keys.mac(b"nonce", &[&bytes[..MAC], realm]);
    if !bool::from(mac.ct_eq(&bytes[MAC..])) {
        return None;
    }
    let mut issued = [0; 8];
    issued[1..].copy_from_slice(&bytes[..SALT]);
    Some(Nonce {
        issued: Instant::from_micros(u64::from_be_bytes(issued)),
        from_its_source: bytes[SOURCE..MAC] == source_tag(keys, flow),
    })
}

const SALT: usize = 7;
const SOURCE: usize = 10;
const MAC: usize = 14;
const BYTES: usize = 30;

/// What a nonce is bound to besides its realm. A datagram proves its source only by what comes
/// back, so there the port counts; a connection proved itself, and the next one of the same
/// phone has another port.
fn source_tag(keys: &Keys, flow: &Flow) -> [u8; 4] {
    let port = if flow.transport.is_reliable() { 0 } else { flow.remote.port() };
    let kind = [u8::from(flow.transport.is_reliable())];
    let hash = |ip: &[u8]| keys.hash64(b"nonce source", &[ip, &port.to_be_bytes(), &kind]);
    let hash = match flow.remote.ip().to_canonical() {
        IpAddr::V4(v4) => hash(&v4.octets()),
        IpAddr::V6(v6) => hash(&v6.octets()),
    };
    (hash as u32).to_be_bytes()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url of RFC 4648 §5. Thirty bytes fill forty characters, so nothing is padded and each
/// text stands for exactly one value.
fn to_text(bytes: &[u8; BYTES]) -> Text {
    let mut text = [0; TEXT_LEN];
    for (three, four) in bytes.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for (at, letter) in four.iter_mut().enumerate() {
            *letter = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
        }
    }
    text
}

fn from_text(text: &Text) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    for (four, three) in text.chunks_exact(4).zip(bytes.chunks_exact_mut(3)) {
        let mut bits = 0;
        for &letter in four {
            bits = bits << 6 | six_bits(letter)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Some(bytes)
}

const fn six_bits(letter: u8) -> Option<u32> {
    let value = match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    };
    Some(value as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{CertifiedName, ConnectionId, SocketId, Transport};
    use crate::time::Duration;

    fn flow(transport: Transport, remote: &str) -> Flow {
        Flow {
            socket: SocketId(0),
            transport,
            connection: ConnectionId::NONE,
            remote: remote.parse().expect("an address"),
            certified: CertifiedName::NONE,
        }
    }

    fn at(s: u64) -> Instant {
        Instant::from_secs(1_700_000_000 + s)
    }

    #[test]
    fn comes_back_as_it_went_out() {
        let keys = Keys::new(&[7; 32]);
        let udp = flow(Transport::Udp, "192.0.2.1:5060");
        let text = issue(&keys, at(0), b"example.org", &udp, 1);
        assert!(text.iter().all(|b| ALPHABET.contains(b)));
        let nonce = read(&keys, &text, b"example.org", &udp).expect("ours");
        assert_eq!(nonce.issued, at(0));
        assert!(nonce.from_its_source);
        assert_ne!(text, issue(&keys, at(0), b"example.org", &udp, 1 << 63), "salted");
    }

    #[test]
    fn lives_exactly_its_life() {
        let keys = Keys::new(&[7; 32]);
        let udp = flow(Transport::Udp, "192.0.2.1:5060");
        let text = issue(&keys, at(10), b"example.org", &udp, 1);
        let nonce = read(&keys, &text, b"example.org", &udp).expect("ours");
        let end = at(10) + limits::NONCE_LIFE;
        let moment = Duration::from_micros(1);
        for (now, fresh) in
            [(at(10) - moment, false), (at(10), true), (end - moment, true), (end, false)]
        {
            assert_eq!(nonce.is_fresh(now), fresh, "{now:?}");
        }
    }

    #[test]
    fn is_bound_to_its_source() {
        let keys = Keys::new(&[7; 32]);
        use Transport::{Tcp, Tls, Udp};
        for (sent, came, same) in [
            ((Udp, "192.0.2.1:5060"), (Udp, "192.0.2.1:5060"), true),
            ((Udp, "192.0.2.1:5060"), (Udp, "[::ffff:192.0.2.1]:5060"), true),
            ((Udp, "192.0.2.1:5060"), (Udp, "192.0.2.1:5061"), false),
            ((Udp, "192.0.2.1:5060"), (Udp, "192.0.2.2:5060"), false),
            ((Udp, "192.0.2.1:5060"), (Tcp, "192.0.2.1:5060"), false),
            ((Tcp, "[2001:db8::1]:40000"), (Tls, "[2001:db8::1]:40001"), true),
            ((Tcp, "[2001:db8::1]:40000"), (Tcp, "[2001:db8::2]:40000"), false),
        ] {
            let text = issue(&keys, at(0), b"r", &flow(sent.0, sent.1), 1);
            let nonce = read(&keys, &text, b"r", &flow(came.0, came.1)).expect("ours");
            assert_eq!(nonce.from_its_source, same, "{sent:?} {came:?}");
        }
    }

    #[test]
    fn any_changed_character_makes_it_foreign() {
        let keys = Keys::new(&[7; 32]);
        let udp = flow(Transport::Udp, "192.0.2.1:5060");
        let text = issue(&keys, at(0), b"r", &udp, 1);
        for at in 0..text.len() {
            for other in *b"Aa0-_+/= \x00\xff" {
                let mut changed = text;
                changed[at] = other;
                let known = read(&keys, &changed, b"r", &udp).is_some();
                assert_eq!(known, changed == text, "{at} {other}");
            }
        }
        assert_eq!(read(&keys, &text[1..], b"r", &udp), None, "shorter");
        assert_eq!(read(&keys, b"", b"r", &udp), None, "empty");
        assert_eq!(read(&keys, &text, b"other", &udp), None, "another realm");
        assert_eq!(read(&Keys::new(&[8; 32]), &text, b"r", &udp), None, "another secret");
    }
}
