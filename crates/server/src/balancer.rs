//! PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): before all else, a load
//! balancer says for whom it has opened a connection. Only configured balancers are listened to,
//! and they must speak; from others the same bytes are no SIP (G14).

use crate::limits;
use ringway_core::snapshot::contains;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The first bytes of version 2 (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The balancers that stand before us.
#[derive(Debug)]
pub(crate) struct Balancers {
    networks: Vec<(IpAddr, u8)>,
    /// Room for connections that have not yet said for whom they are: they are in no other table.
    room: Semaphore,
    /// How long each may wait.
    patience: Duration,
}

/// Why a connection of a balancer is closed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It ended before its first byte, as a probe of a balancer does.
    Silent,
    /// What came is no PROXY header, or a wrong one.
    Malformed(&'static str),
    /// It ended, or failed, within the header.
    Ended(io::Error),
    /// The header did not come in time.
    Late,
    /// Too many wait for theirs.
    NoRoom,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("nothing was sent"),
            Self::Malformed(what) => write!(f, "no PROXY header: {what}"),
            Self::Ended(error) => write!(f, "ended within the PROXY header: {error}"),
            Self::Late => f.write_str("no PROXY header in time"),
            Self::NoRoom => f.write_str("too many connections wait for their PROXY header"),
        }
    }
}

impl Balancers {
    /// Those in these networks, as address and prefix length, of a server that has room for so
    /// many connections.
    pub(crate) fn new(networks: Vec<(IpAddr, u8)>, connections: usize) -> Self {
        let part = connections / limits::PROXY_HEADERS_PART;
        let room = Semaphore::new(limits::PROXY_HEADERS.min(part).max(1));
        Self { networks, room, patience: limits::PROXY_HEADER }
    }

    /// Whether one is at this address.
    pub(crate) fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|&(network, prefix)| contains(network, prefix, address))
    }

    /// Reads the header from the stream of a balancer, and nothing behind it; tells who is behind
    /// the balancer, or `None` if it speaks for itself.
    ///
    /// # Errors
    /// If the connection must be closed.
    pub(crate) async fn introduced(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
    ) -> Result<Option<SocketAddr>, Refused> {
        let Ok(_permit) = self.room.try_acquire() else { return Err(Refused::NoRoom) };
        let header = timeout(self.patience, read(stream));
        header.await.unwrap_or(Err(Refused::Late))
    }
}

/// The shortest header of either version is longer than the signature of the second, so this
/// never reads too much.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Refused> {
    let mut start = [0; SIGNATURE.len()];
    if stream.read(&mut start[..1]).await.map_err(Refused::Ended)? == 0 {
        return Err(Refused::Silent);
    }
    stream.read_exact(&mut start[1..]).await.map_err(Refused::Ended)?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        stream.read_exact(&mut head).await.map_err(Refused::Ended)?;
        let length = u16::from_be_bytes([head[2], head[3]]);
        if usize::from(length) > limits::PROXY_V2 {
            return Err(Refused::Malformed("it is too long"));
        }
        let mut rest = vec![0; length.into()];
        stream.read_exact(&mut rest).await.map_err(Refused::Ended)?;
        return version_2(head[0], head[1], &rest).map_err(Refused::Malformed);
    }
    if !start.starts_with(b"PROXY ") {
        return Err(Refused::Malformed("it begins otherwise"));
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= limits::PROXY_V1 {
            return Err(Refused::Malformed("it is too long"));
        }
        line.push(stream.read_u8().await.map_err(Refused::Ended)?);
    }
    version_1(&line[..line.len() - 2]).map_err(Refused::Malformed)
}

/// §2.1: a line of text, given without its end.
fn version_1(line: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "it is no text")?;
    let words: Vec<&str> = line.split(' ').collect();
    let (family, addresses, ports) = match words[..] {
        [_, "UNKNOWN", ..] => return Ok(None),
        [_, family, from, to, from_port, to_port] => (family, [from, to], [from_port, to_port]),
        _ => return Err("words are missing, or too many"),
    };
    let [from, to] = addresses.map(|text| text.parse::<IpAddr>());
    let [Ok(from), Ok(to)] = [from, to] else { return Err("an address is none") };
    let fits = match family {
        "TCP4" => from.is_ipv4() && to.is_ipv4(),
        "TCP6" => from.is_ipv6() && to.is_ipv6(),
        _ => return Err("the family is unknown"),
    };
    let digits = |port: &&str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let [port, to_port] = ports.map(|port| Some(port).filter(digits)?.parse::<u16>().ok());
    match (fits, port, to_port) {
        (true, Some(port), Some(_)) => possible(from, port),
        (false, ..) => Err("an address is of another family"),
        _ => Err("a port is none"),
    }
}

/// §2.2: a header of bytes, given without signature and length. What follows the addresses
/// (TLVs) says nothing that we need.
fn version_2(version: u8, family: u8, rest: &[u8]) -> Result<Option<SocketAddr>, &'static str> {
    match version {
        // LOCAL: a probe of the balancer itself, whatever else it says.
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err("the version or the command is unknown"),
    }
    let short = "it is too short for its addresses";
    match family {
        0x00 => Ok(None),
        // TCP over IPv4: two addresses, two ports.
        0x11 => {
            let (from, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
            let (_, ports) = rest.split_first_chunk::<4>().ok_or(short)?;
            let port = ports.get(..4).and_then(|ports| ports.first_chunk::<2>()).ok_or(short)?;
            possible(Ipv4Addr::from(*from).into(), u16::from_be_bytes(*port))
        }
        // TCP over IPv6.
        0x21 => {
            let (from, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
            let (_, ports) = rest.split_first_chunk::<16>().ok_or(short)?;
            let port = ports.get(..4).and_then(|ports| ports.first_chunk::<2>()).ok_or(short)?;
            possible(Ipv6Addr::from(*from).into(), u16::from_be_bytes(*port))
        }
        // A socket of a file system: nobody has an address.
        0x31 if rest.len() >= 216 => Ok(None),
        0x31 => Err(short),
        0x12 | 0x22 | 0x32 => Err("datagrams do not come down a stream"),
        _ => Err("the family is unknown"),
    }
}

/// An address that somebody can have.
fn possible(ip: IpAddr, port: u16) -> Result<Option<SocketAddr>, &'static str> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() || port == 0 {
        return Err("nobody can be there");
    }
    Ok(Some(SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests;
