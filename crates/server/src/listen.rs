//! From "listen on 5060" to sockets on exact addresses.
//!
//! A wildcard is expanded into the addresses of all interfaces. A socket on an exact address
//! knows what to write into Via and Record-Route, and answers from the address that was asked.

use crate::{tcp, udp};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use ringway_core::flow::{Listener, Transport};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One entry of `listen`: a transport and an address, or all addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The transport.
    pub transport: Transport,
    /// The address; `None` is all of them.
    pub address: Option<IpAddr>,
    /// The port; 0 takes a free one.
    pub port: u16,
}

/// Sockets that are bound, and what the core calls them.
#[derive(Debug, Default)]
pub struct Bound {
    /// For the core.
    pub listeners: Vec<Listener>,
    /// In the same order: sockets per worker, none for streams.
    pub udp: Vec<Vec<std::net::UdpSocket>>,
    /// Stream listeners with their place among `listeners`.
    pub tcp: Vec<(u16, std::net::TcpListener)>,
}

/// An address could not be had.
#[derive(Debug)]
pub struct CannotListen {
    /// Which.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub cause: io::Error,
}

impl fmt::Display for CannotListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, address) = (self.transport, self.address);
        match self.cause.kind() {
            io::ErrorKind::AddrInUse => {
                write!(f, "another program already listens on {transport} {address}")
            }
            io::ErrorKind::PermissionDenied => {
                write!(
                    f,
                    "not allowed to listen on {transport} {address}: ports below 1024 need root or \
                     CAP_NET_BIND_SERVICE"
                )
            }
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "{} is no address of this machine", address.ip())
            }
            _ => write!(f, "cannot listen on {transport} {address}: {}", self.cause),
        }
    }
}

impl std::error::Error for CannotListen {}

/// Binds all endpoints, or none.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(
    endpoints: &[Endpoint],
    advertise: Option<IpAddr>,
    workers: usize,
) -> Result<Bound, CannotListen> {
    // The number that is free for the first of two transports may be in use for the second.
    let free = endpoints.iter().any(|endpoint| endpoint.port == 0);
    patiently(if free { TRIES } else { 1 }, || bind_once(endpoints, advertise, workers))
}

/// Tries again where an address was in use, as often as this.
fn patiently<T>(
    tries: usize,
    mut bind: impl FnMut() -> Result<T, CannotListen>,
) -> Result<T, CannotListen> {
    for _ in 1..tries {
        match bind() {
            Err(error) if error.cause.kind() == io::ErrorKind::AddrInUse => {}
            done => return done,
        }
    }
    bind()
}

/// How often free ports are looked for.
const TRIES: usize = 16;

fn bind_once(
    endpoints: &[Endpoint],
    advertise: Option<IpAddr>,
    workers: usize,
) -> Result<Bound, CannotListen> {
    let mut bound = Bound::default();
    for endpoint in endpoints {
        for ip in expand(endpoint.address) {
            let transport = endpoint.transport;
            // UDP and TCP on one free port: the second asks for what the first got.
            let pair = [Transport::Udp, Transport::Tcp];
            let twin = bound.listeners.iter().find(|l| {
                let both = pair.contains(&transport) && pair.contains(&l.transport);
                endpoint.port == 0 && l.local.ip() == ip && l.transport != transport && both
            });
            let port = twin.map_or(endpoint.port, |twin| twin.local.port());
            let address = SocketAddr::new(ip, port);
            let cannot = |cause| CannotListen { transport, address, cause };
            let local = match transport {
                Transport::Udp => {
                    let sockets = udp::bind(address, workers).map_err(cannot)?;
                    let local = sockets.first().map(|s| s.local_addr()).transpose();
                    bound.udp.push(sockets);
                    local.map_err(cannot)?.unwrap_or(address)
                }
                _ => {
                    let listener = tcp::bind(address).map_err(cannot)?;
                    let local = listener.local_addr().map_err(cannot)?;
                    bound.udp.push(Vec::new());
                    bound.tcp.push((bound.listeners.len() as u16, listener));
                    local
                }
            };
            let advertised = advertised(local, advertise);
            bound.listeners.push(Listener { transport, local, advertised });
        }
    }
    Ok(bound)
}

/// The listeners that [`bind`] would give, without binding anything.
pub fn planned(endpoints: &[Endpoint], advertise: Option<IpAddr>) -> Vec<Listener> {
    let mut planned = Vec::new();
    for endpoint in endpoints {
        for ip in expand(endpoint.address) {
            let (transport, local) = (endpoint.transport, SocketAddr::new(ip, endpoint.port));
            let advertised = advertised(local, advertise);
            planned.push(Listener { transport, local, advertised });
        }
    }
    planned
}

fn advertised(local: SocketAddr, advertise: Option<IpAddr>) -> Option<SocketAddr> {
    advertise
        .filter(|to| to.is_ipv4() == local.is_ipv4() && !local.ip().is_loopback())
        .map(|to| SocketAddr::new(to, local.port()))
}

/// The addresses of all interfaces that are up. IPv6 link-local ones are left out: they mean
/// nothing without an interface, and a SIP URI cannot name one.
fn expand(address: Option<IpAddr>) -> Vec<IpAddr> {
    match address {
        Some(IpAddr::V4(v4)) if v4.is_unspecified() => interfaces(|ip| ip.is_ipv4()),
        Some(IpAddr::V6(v6)) if v6.is_unspecified() => interfaces(|ip| ip.is_ipv6()),
        Some(exact) => vec![exact],
        None => interfaces(|_| true),
    }
}

fn interfaces(wanted: impl Fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for interface in getifaddrs().into_iter().flatten() {
        if !interface.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let Some(address) = interface.address else { continue };
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            (None, None) => continue,
        };
        let link_local = matches!(ip, IpAddr::V6(v6) if v6.segments()[0] & 0xffc0 == 0xfe80);
        if wanted(&ip) && !link_local && !found.contains(&ip) {
            found.push(ip);
        }
    }
    if found.is_empty() {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        found.extend(loopback.into_iter().filter(|ip| wanted(ip)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `tries`, where the first binds fail like this, and how often was bound.
    fn after(failures: &[io::ErrorKind], tries: usize) -> (Option<io::ErrorKind>, usize) {
        let mut bound = 0;
        let result = patiently(tries, || {
            bound += 1;
            let cause = failures.get(bound - 1).map(|&kind| io::Error::from(kind));
            cause.map_or(Ok(()), |cause| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                Err(CannotListen { transport: Transport::Tcp, address, cause })
            })
        });
        (result.err().map(|error| error.cause.kind()), bound)
    }

    #[test]
    fn a_free_port_that_is_not_free_for_both_is_followed_by_another() {
        use io::ErrorKind::{AddrInUse, PermissionDenied};
        assert_eq!(after(&[], 16), (None, 1));
        assert_eq!(after(&[AddrInUse; 3], 16), (None, 4));
        assert_eq!(after(&[AddrInUse; 3], 1), (Some(AddrInUse), 1));
        assert_eq!(after(&[AddrInUse; 99], 16), (Some(AddrInUse), 16));
        assert_eq!(after(&[PermissionDenied], 16), (Some(PermissionDenied), 1));
    }
}
