//! From where a listening socket can be reached: nobody shall be open to everybody by mistake
//! (G15).

use ringway_core::flow::Listener;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who can reach a socket, as far as its address tells; a firewall may let fewer through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reach {
    /// Programs on this machine.
    Machine,
    /// Networks that are not routed on the Internet (RFC 1918, 6598, 4193).
    Private,
    /// Everybody.
    Anybody,
}

impl Reach {
    /// Of a listener; what it announces is where others will look for it.
    pub fn of(listener: &Listener) -> Self {
        let announced = listener.advertised.map(|to| Self::of_address(to.ip()));
        announced.into_iter().fold(Self::of_address(listener.local.ip()), Self::max)
    }

    fn of_address(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Machine,
            IpAddr::V4(v4) => {
                let shared = v4.to_bits() >> 22 == SHARED.to_bits() >> 22;
                let private = v4.is_private() || v4.is_link_local() || shared;
                if private { Self::Private } else { Self::Anybody }
            }
            IpAddr::V6(v6) if is_private(v6) => Self::Private,
            IpAddr::V6(_) => Self::Anybody,
        }
    }
}

/// 100.64.0.0/10, between customers and a network's translation of addresses (RFC 6598).
const SHARED: Ipv4Addr = Ipv4Addr::from_bits(0x6440_0000);

const fn is_private(v6: Ipv6Addr) -> bool {
    v6.is_unique_local() || v6.is_unicast_link_local()
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Machine => "this machine",
            Self::Private => "private networks",
            Self::Anybody => "anybody",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::flow::Transport;

    #[test]
    fn g15_an_address_tells_who_can_reach_it() {
        for (address, advertised, reach) in [
            ("127.0.0.1:5060", None, Reach::Machine),
            ("127.8.8.8:5060", None, Reach::Machine),
            ("[::1]:5060", None, Reach::Machine),
            ("[::ffff:127.0.0.1]:5060", None, Reach::Machine),
            ("10.1.2.3:5060", None, Reach::Private),
            ("172.31.0.1:5060", None, Reach::Private),
            ("172.32.0.1:5060", None, Reach::Anybody),
            ("100.64.0.1:5060", None, Reach::Private),
            ("100.128.0.1:5060", None, Reach::Anybody),
            ("[fd00::1]:5060", None, Reach::Private),
            ("[2001:db8::1]:5060", None, Reach::Anybody),
            ("192.0.2.1:5060", None, Reach::Anybody),
            ("0.0.0.0:5060", None, Reach::Anybody),
            ("[::]:5060", None, Reach::Anybody),
            ("10.1.2.3:5060", Some("192.0.2.1:5060"), Reach::Anybody),
        ] {
            let parse = |text: &str| text.parse().expect("an address");
            let (local, advertised) = (parse(address), advertised.map(parse));
            let listener = Listener { transport: Transport::Udp, local, advertised };
            assert_eq!(Reach::of(&listener), reach, "{address} {advertised:?}");
        }
    }
}
