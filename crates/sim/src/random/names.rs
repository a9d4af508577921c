//! The records of the domain that the peers serve, as chance wants them (RFC 3263).

use crate::clock::Random;
use crate::random::phone::ELSEWHERE;
use ringway_core::locate::{Kind, Naptr, Query, Records, Srv};
use std::net::{IpAddr, SocketAddr};

/// A zone that leads to some of these places.
pub(crate) fn zone(random: &mut Random, places: &[SocketAddr]) -> Vec<(Query, Records)> {
    let query = |name: &str, kind| Query { name: name.into(), kind };
    let mut zone = Vec::new();
    let some: Vec<SocketAddr> = places.iter().copied().filter(|_| random.permille(600)).collect();
    let kind = random.below(8);
    if kind == 0 {
        return zone;
    }
    if kind == 1 {
        // The host itself, at the usual port.
        zone.extend(addresses(ELSEWHERE, &some));
        return zone;
    }
    let mut services = Vec::new();
    for (transport, service) in [("udp", "SIP+D2U"), ("tcp", "SIP+D2T")] {
        if random.permille(700) {
            services.push((format!("_sip._{transport}.{ELSEWHERE}"), service));
        }
    }
    for (name, _) in &services {
        let mut records = Vec::new();
        for (at, place) in some.iter().enumerate() {
            let host = format!("h{at}.{ELSEWHERE}");
            let priority = random.below(3) as u16;
            let weight = [0, 1, 50][random.below(3) as usize];
            // Now and then a port that is none.
            let port = if random.permille(50) { 0 } else { place.port() };
            records.push(Srv::new(priority, weight, port, &host));
        }
        if kind == 2 {
            records = vec![Srv::new(0, 0, 0, ".")];
        }
        zone.push((query(name, Kind::Srv), Records::Srv(records)));
    }
    for (at, place) in some.iter().enumerate() {
        // Now and then a name that leads nowhere.
        if random.permille(900) {
            zone.extend(addresses(&format!("h{at}.{ELSEWHERE}"), &[*place]));
        }
    }
    if kind > 4 {
        let naptr = |(name, service): &(String, &str)| Naptr {
            order: random.below(2) as u16,
            preference: random.below(2) as u16,
            flags: "s".into(),
            service: (*service).into(),
            regexp: "".into(),
            // One that names itself is no way.
            replacement: if kind == 5 { ELSEWHERE.into() } else { name.as_str().into() },
        };
        let records = services.iter().map(naptr).collect();
        zone.push((query(ELSEWHERE, Kind::Naptr), Records::Naptr(records)));
    }
    zone
}

/// The addresses of a host, by family.
fn addresses(name: &str, places: &[SocketAddr]) -> [(Query, Records); 2] {
    [(Kind::A, true), (Kind::Aaaa, false)].map(|(kind, v4)| {
        let ips: Vec<IpAddr> =
            places.iter().map(SocketAddr::ip).filter(|ip| ip.is_ipv4() == v4).collect();
        (Query { name: name.into(), kind }, Records::Addresses(ips))
    })
}
