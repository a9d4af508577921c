//! Hosts with or without a port (RFC 3261 §25.1 hostport; RFC 5954).

use crate::class::{self, HOST};
use core::net::{Ipv4Addr, Ipv6Addr};

/// A host: an address or a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Host<'a> {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; in text it stands in brackets.
    V6(Ipv6Addr),
    /// A name.
    Name(&'a [u8]),
}

/// Where a host and its port stand in a text, and what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct HostMarks {
    kind: Kind,
    pub(crate) start: u16,
    end: u16,
    /// 0 if none is written.
    port: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Kind {
    #[default]
    Name,
    V4([u8; 4]),
    V6,
}

impl HostMarks {
    /// Reads `host[:port]` from `start` on, as far as the grammar goes; says where it ends.
    #[inline]
    pub(crate) fn read(text: &[u8], start: usize) -> Option<(Self, usize)> {
        let (host, end) = Self::read_host(text, start)?;
        if text.get(end) != Some(&b':') {
            return Some((host, end));
        }
        let (port, end) = read_port(text, end + 1)?;
        Some((host.with_port(port), end))
    }

    /// The same without a port.
    #[inline]
    pub(crate) fn read_host(text: &[u8], start: usize) -> Option<(Self, usize)> {
        let (kind, end) = match text.get(start)? {
            b'[' => {
                let inner = text.get(start + 1..)?;
                let close = inner.iter().position(|&b| b == b']')?;
                parse_v6(&inner[..close])?;
                (Kind::V6, start + close + 2)
            }
            _ => {
                let end = class::run(text, start, HOST);
                (kind_of(&text[start..end])?, end)
            }
        };
        Some((Self { kind, start: start as u16, end: end as u16, port: 0 }, end))
    }

    /// The host, of the text that was read.
    pub(crate) fn host<'a>(&self, text: &'a [u8]) -> Host<'a> {
        let host = &text[self.start.into()..self.end.into()];
        match self.kind {
            Kind::Name => Host::Name(host),
            Kind::V4(octets) => Host::V4(octets.into()),
            Kind::V6 => {
                let bare = host.get(1..host.len() - 1).unwrap_or_default();
                parse_v6(bare).map_or(Host::Name(host), Host::V6)
            }
        }
    }

    /// The port, if one is written.
    pub(crate) fn port(&self) -> Option<u16> {
        (self.port > 0).then_some(self.port)
    }

    /// The same host with this port.
    pub(crate) fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }
}

impl<'a> Host<'a> {
    /// Reads `host[:port]`, an IPv6 address being in brackets.
    pub fn parse_with_port(text: &'a [u8]) -> Option<(Self, Option<u16>)> {
        let fits = text.len() <= usize::from(u16::MAX);
        let (marks, end) = HostMarks::read(text, 0).filter(|_| fits)?;
        (end == text.len()).then(|| (marks.host(text), marks.port()))
    }

    /// Whether two hosts are the same: names in any case, addresses by value (RFC 5954 §4.2).
    pub fn same(&self, other: &Host<'_>) -> bool {
        match (self, other) {
            (Self::Name(a), Host::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Host::V4(b)) => a == b,
            (Self::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

/// The port that begins at `start`, at least one digit of it, and where it ends.
#[inline]
pub(crate) fn read_port(text: &[u8], start: usize) -> Option<(u16, usize)> {
    let (mut port, mut at) = (0u32, start);
    while let Some(&digit @ b'0'..=b'9') = text.get(at) {
        port = port * 10 + u32::from(digit - b'0');
        if port > 65_535 {
            return None;
        }
        at += 1;
    }
    (port > 0).then_some((port as u16, at))
}

/// What a host without brackets is; `None` if it is none.
#[inline]
fn kind_of(host: &[u8]) -> Option<Kind> {
    // F7: a name that ends like a number would be taken for an address by some resolvers.
    let rooted = host.strip_suffix(b".").unwrap_or(host);
    let may_be_number = rooted.last().is_some_and(|b| b.is_ascii_hexdigit() || b | 0x20 == b'x');
    if may_be_number {
        let last_label = rooted.rsplit(|&b| b == b'.').next().unwrap_or_default();
        if looks_like_number(last_label) {
            return parse_v4(host).map(|address| Kind::V4(address.octets()));
        }
    }
    (1..=255).contains(&host.len()).then_some(Kind::Name)
}

/// Decimal, octal, or hexadecimal with `0x`.
fn looks_like_number(label: &[u8]) -> bool {
    match label {
        [] => false,
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        _ => label.iter().all(u8::is_ascii_digit),
    }
}

pub(crate) fn parse_v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let (mut nth, mut value, mut digits) = (0, 0u16, 0);
    for &byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 => {
                value = value * 10 + u16::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && nth < 3 => {
                octets[nth] = u8::try_from(value).ok()?;
                (nth, value, digits) = (nth + 1, 0, 0);
            }
            _ => return None,
        }
    }
    octets[3] = u8::try_from(value).ok()?;
    (nth == 3 && digits > 0).then(|| octets.into())
}

pub(crate) fn parse_v6(text: &[u8]) -> Option<Ipv6Addr> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_four_numbers() {
        for (text, address) in [
            ("192.0.2.1", Some([192, 0, 2, 1])),
            ("0.0.0.0", Some([0; 4])),
            ("255.255.255.255", Some([255; 4])),
            ("010.001.0.9", Some([10, 1, 0, 9])),
            ("256.0.0.1", None),
            ("1.2.3.256", None),
            ("1.2.3.999", None),
            ("1.2.3", None),
            ("1.2.3.", None),
            (".1.2.3", None),
            ("1..2.3", None),
            ("1.2.3.4.", None),
            ("1.2.3.4.5", None),
            ("0001.2.3.4", None),
            ("1.2.3.4a", None),
            ("", None),
        ] {
            assert_eq!(parse_v4(text.as_bytes()), address.map(Ipv4Addr::from), "{text}");
        }
    }
}
