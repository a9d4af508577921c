//! Where a datagram cannot have come from: an answer to there would hit somebody else, or
//! ourselves.

use crate::flow::{Listener, Transport};
use core::net::{IpAddr, SocketAddr};

/// Services that answer whatever comes, so that two of them talk for ever: echo, discard,
/// quotes, characters, and the name service. No phone sends from their ports.
const CHATTERERS: [u16; 5] = [7, 9, 17, 19, 53];

/// Whether a datagram from `remote` can be what it says, and may be answered (row G12).
pub fn is_believable(remote: SocketAddr, listeners: &[Listener]) -> bool {
    let port = remote.port();
    if port == 0 || CHATTERERS.contains(&port) {
        return false;
    }
    let ip = remote.ip().to_canonical();
    let is_one = match ip {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_broadcast() && !v4.is_multicast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    };
    let ourselves = |listener: &Listener| {
        let at = |own: SocketAddr| own.port() == port && own.ip().to_canonical() == ip;
        listener.transport == Transport::Udp && (at(listener.local) || at(listener.public()))
    };
    is_one && !listeners.iter().any(ourselves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g12_impossible_sources_are_known() {
        let listener = |local: &str, advertised: Option<&str>| Listener {
            transport: Transport::Udp,
            local: local.parse().expect("an address"),
            advertised: advertised.map(|a| a.parse().expect("an address")),
        };
        let listeners = [
            listener("10.0.0.1:5060", Some("192.0.2.1:5060")),
            listener("[2001:db8::1]:5060", None),
        ];
        for (remote, believable) in [
            ("192.0.2.7:5060", true),
            ("10.0.0.1:5061", true),
            ("[2001:db8::7]:1024", true),
            ("127.0.0.1:40000", true),
            ("10.0.0.1:5060", false),
            ("192.0.2.1:5060", false),
            ("[::ffff:10.0.0.1]:5060", false),
            ("[2001:db8::1]:5060", false),
            ("192.0.2.7:0", false),
            ("192.0.2.7:7", false),
            ("192.0.2.7:9", false),
            ("192.0.2.7:19", false),
            ("[2001:db8::7]:53", false),
            ("0.0.0.0:5060", false),
            ("[::]:5060", false),
            ("255.255.255.255:5060", false),
            ("224.0.1.75:5060", false),
            ("[::ffff:224.0.1.75]:5060", false),
            ("[ff02::1]:5060", false),
        ] {
            let remote = remote.parse().expect("an address");
            assert_eq!(is_believable(remote, &listeners), believable, "{remote}");
        }
    }
}
