//! Where nobody may make us send: an address is looked at as it will be used, in whatever form it
//! was written (F3, F7).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// A machine like others, in the Internet or in a private network.
    Ordinary,
    /// This machine.
    Loopback,
    /// The wire it hangs on, and what sits there to serve it: metadata of clouds.
    LinkLocal,
    /// No single machine, or none at all.
    Nobody,
}

/// What kind of place this is; an IPv4 address inside an IPv6 address counts as itself.
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => match reach_v6(v6) {
            Reach::Ordinary => embedded(v6).map_or(Reach::Ordinary, reach_v4),
            special => special,
        },
    }
}

/// Metadata of a cloud, in the middle of what others use for carrier-grade NAT.
const METADATA: Ipv4Addr = Ipv4Addr::from_bits(0x6464_64c8);

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        _ if ip == METADATA => Reach::LinkLocal,
        [127, ..] => Reach::Loopback,
        // RFC 3927, and the addresses that clouds use for their metadata besides.
        [169, 254, ..] | [192, 0, 0, _] => Reach::LinkLocal,
        // "This network", multicast, reserved, broadcast (RFC 6890).
        [0, ..] | [224..=255, ..] => Reach::Nobody,
        _ => Reach::Ordinary,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Loopback,
        [0, 0, 0, 0, 0, 0, 0, 0] => Reach::Nobody,
        [0xff00..=0xffff, ..] => Reach::Nobody,
        [0xfe80..=0xfebf, ..] => Reach::LinkLocal,
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254] => Reach::LinkLocal,
        _ => Reach::Ordinary,
    }
}

/// The IPv4 address that a packet to this address ends at, or may end at.
pub fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        // Compatible, mapped (RFC 4291 §2.5.5), translated (RFC 2765 §2.1).
        [0, 0, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] => of(g, h),
        // NAT64, for all and for one network (RFC 6052 §2.1, RFC 8215).
        [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, ..] => of(g, h),
        // 6to4 (RFC 3056 §2), Teredo (RFC 4380 §4), ISATAP (RFC 5214 §6.1).
        [0x2002, high, low, ..] => of(high, low),
        [0x2001, 0, ..] => of(!g, !h),
        [_, _, _, _, 0 | 0x200, 0x5efe] => of(g, h),
        _ => None,
    }
}
