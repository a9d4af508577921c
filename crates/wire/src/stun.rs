//! As much of STUN as a SIP server needs beside SIP (RFC 5626 §8, RFC 8489): Binding requests that
//! want to know whether a flow still lives, and their answer.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_RESPONSE: [u8; 2] = [0x01, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];

/// What tells one request from another (RFC 8489 §5).
pub type TransactionId = [u8; 12];

/// Whether a datagram is STUN and not SIP.
//= RFC 5626 8
// "Note: It is easy to distinguish STUN and SIP packets sent over"
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0 | 1)) && datagram.get(4..8) == Some(&COOKIE)
}

/// The transaction of a Binding request; `None` for everything else, and for one with an attribute
/// that would have to be understood: keep-alives have none (RFC 5626 §8).
pub fn binding_request(datagram: &[u8]) -> Option<TransactionId> {
    let (head, mut attributes) = datagram.split_first_chunk::<20>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if head[..2] != BINDING_REQUEST || head[4..8] != COOKIE || length != attributes.len() {
        return None;
    }
    while !attributes.is_empty() {
        let (head, rest) = attributes.split_first_chunk::<4>()?;
        // Types below 0x8000 must be understood (RFC 8489 §14).
        if head[0] < 0x80 {
            return None;
        }
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    head.last_chunk::<12>().copied()
}

/// Appends the answer: from where the request came.
//= RFC 5626 8
// "that MUST include the XOR-MAPPED-ADDRESS attribute."
pub fn write_binding_response(id: &TransactionId, source: SocketAddr, out: &mut Vec<u8>) {
    let length: u8 = if source.is_ipv4() { 8 } else { 20 };
    out.extend_from_slice(&BINDING_RESPONSE);
    out.extend_from_slice(&[0, length + 4]);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(id);
    out.extend_from_slice(&XOR_MAPPED_ADDRESS);
    out.extend_from_slice(&[0, length, 0, if source.is_ipv4() { 1 } else { 2 }]);
    let key = || COOKIE.iter().chain(id);
    let mut hide = |bytes: &[u8]| out.extend(bytes.iter().zip(key()).map(|(byte, key)| byte ^ key));
    hide(&source.port().to_be_bytes());
    match source.ip() {
        IpAddr::V4(v4) => hide(&v4.octets()),
        IpAddr::V6(v6) => hide(&v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transaction of the samples of RFC 5769.
    const ID: TransactionId =
        [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut out = BINDING_REQUEST.to_vec();
        out.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
        out.extend_from_slice(&COOKIE);
        out.extend_from_slice(&ID);
        out.extend_from_slice(attributes);
        out
    }

    // The attributes of the samples of RFC 5769, sections 2.2 and 2.3.
    #[test]
    //= RFC 8489 14.2 type=test
    fn i6_the_answer_holds_the_address_and_nothing_else() {
        for (source, attribute) in [
            ("192.0.2.1:32853", &[0x00, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43][..]),
            (
                "[2001:db8:1234:5678:11:2233:4455:6677]:32853",
                &[
                    0x00, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1,
                    0x79, 0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
                ],
            ),
        ] {
            let mut out = Vec::new();
            write_binding_response(&ID, source.parse().expect("an address"), &mut out);
            assert_eq!(out[..2], BINDING_RESPONSE);
            assert_eq!(usize::from(out[3]), attribute.len());
            assert_eq!((&out[4..8], &out[8..20]), (&COOKIE[..], &ID[..]));
            assert_eq!(&out[20..], attribute, "{source}");
            // I6: 1.6 times as long as what asked, 2.2 with IPv6.
            let most = if attribute.len() == 12 { 32 } else { 44 };
            assert_eq!((out.len(), request(&[]).len()), (most, 20));
        }
    }

    #[test]
    fn only_plain_binding_requests_are_answered() {
        let software = [0x80, 0x22, 0, 3, b'a', b'b', b'c', b' '];
        assert_eq!(binding_request(&request(&[])), Some(ID));
        assert_eq!(binding_request(&request(&software)), Some(ID));
        let username = [0x00, 0x06, 0, 1, b'a', b' ', b' ', b' '];
        assert_eq!(binding_request(&request(&username)), None, "to be understood");
        let good = request(&software);
        for cut in 0..good.len() {
            assert_eq!(binding_request(&good[..cut]), None, "{cut} bytes");
        }
        for at in 0..8 {
            let mut changed = good.clone();
            changed[at] ^= 4;
            assert_eq!(binding_request(&changed), None, "byte {at}");
        }
        let mut longer = good.clone();
        longer[20 + 3] = 200;
        assert_eq!(binding_request(&longer), None, "an attribute that is longer than its message");
        assert!(is_stun(&good) && !is_stun(b"OPTIONS sip:x") && !is_stun(b"\0\0\0\0"));
        assert!(!is_stun(&good[..7]));
    }
}
