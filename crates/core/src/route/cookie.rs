//! What we write into the user part of our own Record-Route URIs: a signed note to ourselves.
//!
//! Later requests of the dialog bring it back as Route. It proves that the dialog was let
//! through here (so that its requests are not challenged again), and may carry the flow to the
//! far side, so that the dialog outlives a restart without anything being remembered. It is
//! bound to the Call-ID: a cookie of one call opens no door for another.
//!
//! It opens one way only (E1, F1, F2 of the threat list): it says from which address its requests
//! come and which next hop they may name, so that who holds the cookie of one call cannot send
//! anything to anybody else with it.
//!
//! Layout before base64url: one byte of kind, the source (4) and the hop (4), the peer (4) if the
//! kind says that there is one, then for a flow
//! cookie the transport, the connection (8), over TLS the name that was certified (8), the port
//! (2) and the address (4 or 16); then 16 bytes of MAC.

use crate::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use crate::keys::Keys;
use crate::route::base64url;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use ringway_wire::{Host, Uri};

/// What a cookie of ours says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cookie {
    /// From where requests with this cookie come; 0 where they may come from anywhere.
    pub(crate) source: Tag,
    /// Where they go if not over the flow; 0 where they go nowhere else.
    pub(crate) hop: Tag,
    /// The peer that the dialog leads to, where we may be asked who we are; 0 for all others.
    pub(crate) peer: Tag,
    /// The way to the side of the dialog that this Record-Route entry faces, where the
    /// Request-URI alone may not lead there. The socket is that of the entry itself.
    pub(crate) flow: Option<Flow>,
}

/// A short keyed hash of an address or a host: what has the same one may be taken for the same by
/// who cannot choose it, and whoever brings a cookie back cannot.
pub(crate) type Tag = u32;

/// The tag of an address that requests come from.
pub(crate) fn source_tag(keys: &Keys, source: IpAddr) -> Tag {
    // The bit that is set keeps 0 for "anybody".
    let bits = match source.to_canonical() {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    keys.hash64(b"cookie source", &[&bits.to_be_bytes()]) as u32 | 1
}

/// The tag of a peer at one of its addresses.
pub(crate) fn peer_tag(keys: &Keys, name: &str, address: IpAddr) -> Tag {
    let source = source_tag(keys, address).to_be_bytes();
    keys.hash64(b"cookie peer", &[name.as_bytes(), &source]) as u32 | 1
}

/// The tag of the host and port that a URI sends a request to, or `None` if it names none. Of a
/// GRUU it is that of the one device.
pub(crate) fn hop_tag(keys: &Keys, uri: &Uri<'_>) -> Option<Tag> {
    let Uri::Sip(sip) = uri else { return None };
    let port = sip.port.unwrap_or(0).to_be_bytes();
    let gruu = sip.params.get(b"gr").map(|gr| [sip.user, gr].map(Option::unwrap_or_default));
    let hash = |kind: &[u8], host: &[u8]| match gruu {
        None => keys.hash64(b"cookie hop", &[kind, host, &port]),
        Some([user, gr]) => keys.hash64(b"cookie hop gruu", &[kind, host, &port, user, gr]),
    };
    let hash = match sip.maddr().unwrap_or(sip.host) {
        Host::V4(v4) => hash(b"4", &v4.octets()),
        Host::V6(v6) => hash(b"6", &v6.octets()),
        Host::Name(name) => {
            let mut space = [0; 255];
            match space.get_mut(..name.len()) {
                Some(lower) => {
                    lower.copy_from_slice(name);
                    lower.make_ascii_lowercase();
                    hash(b"n", lower)
                }
                // Longer than a name can be (RFC 1035 §2.3.4), but it has a tag of its own.
                None => hash(b"n", &name.to_ascii_lowercase()),
            }
        }
    };
    Some(hash as u32 | 1)
}

const LABEL: &[u8] = b"record-route 3";
const MAC_LEN: usize = 16;
const PLAIN: u8 = 1;
const FLOW_V4: u8 = 2;
const FLOW_V6: u8 = 3;
/// The bit of the kind that says that there is a peer.
const PEER: u8 = 0x80;
/// The longest cookie before encoding: kind, source, hop, peer, transport, connection, name, port,
/// IPv6 address, MAC.
const RAW_MAX: usize = 1 + 4 + 4 + 4 + 1 + 8 + 8 + 2 + 16 + MAC_LEN;
/// The same after encoding, four characters for three bytes.
pub(crate) const TEXT_MAX: usize = RAW_MAX.div_ceil(3) * 4;

impl Cookie {
    /// In place of a Call-ID, for the flow token of a Path (RFC 5626 §5.2): it is for all calls to
    /// the client. No Call-ID is empty.
    pub(crate) const OF_PATH: &[u8] = b"";

    /// Writes the cookie for the dialog of this Call-ID.
    pub(crate) fn write(self, keys: &Keys, call_id: &[u8], out: &mut Vec<u8>) {
        let mut raw = Raw { bytes: [0; RAW_MAX], len: 0 };
        let kind = match self.flow {
            None => PLAIN,
            Some(flow) if flow.remote.is_ipv4() => FLOW_V4,
            Some(_) => FLOW_V6,
        };
        raw.put(&[if self.peer == 0 { kind } else { kind | PEER }]);
        raw.put(&self.source.to_be_bytes());
        raw.put(&self.hop.to_be_bytes());
        if self.peer != 0 {
            raw.put(&self.peer.to_be_bytes());
        }
        match self.flow {
            None => {}
            Some(flow) => {
                raw.put(&[transport_code(flow.transport)]);
                raw.put(&flow.connection.0.to_be_bytes());
                if flow.transport.is_secure() {
                    raw.put(&flow.certified.0.to_be_bytes());
                }
                raw.put(&flow.remote.port().to_be_bytes());
                match flow.remote.ip() {
                    IpAddr::V4(v4) => raw.put(&v4.octets()),
                    IpAddr::V6(v6) => raw.put(&v6.octets()),
                }
            }
        }
        let mac = keys.mac(LABEL, &[call_id, raw.so_far()]);
        raw.put(&mac);
        base64url::encode(raw.so_far(), out);
    }

    /// Reads a cookie back; `None` if it is not ours, was changed, or belongs to another call.
    /// `socket` is the listener that the Route entry names.
    pub(crate) fn read(keys: &Keys, call_id: &[u8], text: &[u8], socket: SocketId) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let mut raw = Raw { bytes: [0; RAW_MAX], len: 0 };
        base64url::decode(text, |bytes| raw.put_if_it_fits(bytes))?;
        let (said, mac) = raw.so_far().split_at_checked(raw.len.checked_sub(MAC_LEN)?)?;
        let expected = keys.mac(LABEL, &[call_id, said]);
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&expected[..], mac)) {
            return None;
        }
        let (&kind, rest) = said.split_first()?;
        let (source, rest) = rest.split_first_chunk::<4>()?;
        let (hop, rest) = rest.split_first_chunk::<4>()?;
        let (source, hop) = (Tag::from_be_bytes(*source), Tag::from_be_bytes(*hop));
        let (peer, rest) = match kind & PEER {
            0 => (&[0; 4], rest),
            _ => rest.split_first_chunk::<4>()?,
        };
        let (peer, kind) = (Tag::from_be_bytes(*peer), kind & !PEER);
        if kind == PLAIN {
            return Some(Self { source, hop, peer, flow: None });
        }
        let (&transport, rest) = rest.split_first()?;
        let transport = transport_of(transport)?;
        let (connection, rest) = rest.split_first_chunk::<8>()?;
        let (certified, rest) = match transport.is_secure() {
            true => rest.split_first_chunk::<8>()?,
            false => (&[0; 8], rest),
        };
        let (port, address) = rest.split_first_chunk::<2>()?;
        let ip = match kind {
            FLOW_V4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?)),
            FLOW_V6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?)),
            _ => return None,
        };
        let flow = Flow {
            socket,
            transport,
            connection: ConnectionId(u64::from_be_bytes(*connection)),
            remote: SocketAddr::new(ip, u16::from_be_bytes(*port)),
            certified: CertifiedName(u64::from_be_bytes(*certified)),
        };
        Some(Self { source, hop, peer, flow: Some(flow) })
    }
}

struct Raw {
    bytes: [u8; RAW_MAX],
    len: usize,
}

impl Raw {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn put_if_it_fits(&mut self, bytes: &[u8]) -> Option<()> {
        (self.len + bytes.len() <= RAW_MAX).then(|| self.put(bytes))
    }

    fn so_far(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const fn transport_code(transport: Transport) -> u8 {
    match transport {
        Transport::Udp => 0,
        Transport::Tcp => 1,
        Transport::Tls => 2,
        Transport::Ws => 3,
        Transport::Wss => 4,
    }
}

fn transport_of(code: u8) -> Option<Transport> {
    [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
        .into_iter()
        .find(|t| transport_code(*t) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(&[7; 32])
    }

    fn flow(remote: &str) -> Flow {
        Flow {
            socket: SocketId(3),
            transport: Transport::Tcp,
            connection: ConnectionId(0x0102_0304_0506_0708),
            remote: remote.parse().expect("an address"),
            certified: CertifiedName::NONE,
        }
    }

    #[test]
    fn a_cookie_comes_back_as_it_was() {
        let over = |transport, certified| {
            let certified = CertifiedName(certified);
            Some(Flow { transport, certified, ..flow("[2001:db8::7]:5060") })
        };
        let secure = [
            over(Transport::Tls, 0xfedc_ba98_7654_3210),
            over(Transport::Wss, u64::MAX),
            over(Transport::Ws, 0),
        ];
        let plain = [None, Some(flow("192.0.2.7:40000")), Some(flow("[2001:db8::7]:5060"))];
        for flow in plain.into_iter().chain(secure) {
            let mut text = Vec::new();
            for peer in [0, 9, u32::MAX] {
                text.clear();
                let cookie = Cookie { source: 7, hop: u32::MAX, peer, flow };
                cookie.write(&keys(), b"call-1", &mut text);
                assert!(text.len() <= TEXT_MAX);
                let read = Cookie::read(&keys(), b"call-1", &text, SocketId(3));
                assert_eq!(read, Some(cookie));
            }
        }
    }

    #[test]
    fn tags_tell_hosts_and_addresses_apart() {
        let tag = |uri: &str| hop_tag(&keys(), &Uri::parse(uri.as_bytes()).expect("a URI"));
        let same = tag("sip:a@Host.example;x=y");
        assert!(same.is_some());
        assert_eq!(tag("sip:b@hOST.example"), same);
        assert_eq!(tag("sip:other.example;maddr=host.example"), same);
        for other in ["sip:host.example:5060", "sip:host2.example", "sip:192.0.2.1", "tel:+1"] {
            assert_ne!(tag(other), same, "{other}");
        }
        assert_ne!(tag("sip:192.0.2.1"), tag("sip:[::ffff:192.0.2.1]"));
        let source = |ip: &str| source_tag(&keys(), ip.parse().expect("an address"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_ne!(source("::1"), 0);
    }

    // B6: any changed bit, another call, another key: refused.
    #[test]
    fn b6_a_changed_cookie_is_refused() {
        let mut text = Vec::new();
        let cookie = Cookie { source: 1, hop: 2, peer: 3, flow: Some(flow("192.0.2.7:40000")) };
        cookie.write(&keys(), b"call-1", &mut text);
        assert_eq!(Cookie::read(&keys(), b"call-2", &text, SocketId(3)), None);
        assert_eq!(Cookie::read(&Keys::new(&[8; 32]), b"call-1", &text, SocketId(3)), None);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut changed = text.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(Cookie::read(&keys(), b"call-1", &changed, SocketId(3)), None);
            }
        }
        for cut in 0..text.len() {
            assert_eq!(Cookie::read(&keys(), b"call-1", &text[..cut], SocketId(3)), None);
        }
    }
}
