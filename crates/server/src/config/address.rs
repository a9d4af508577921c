//! Addresses, networks, domains and places to listen, as they are written in the file.

use super::problem::Problem;
use super::value::Value;
use crate::listen::Endpoint;
use ringway_core::flow::Transport;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A domain in the form in which requests are compared with it: lower case, no final dot, an
/// IPv6 address without brackets.
pub(crate) fn domain(value: &Value<'_>) -> Result<String, Problem> {
    let lower = value.text()?.to_ascii_lowercase();
    if let Some((_, host)) = lower.split_once('@') {
        return Err(value.wrong(format!("what is behind the @ is the domain: \"{host}\"")));
    }
    if let Some(rest) = lower.strip_prefix("sip:").or(lower.strip_prefix("sips:")) {
        return Err(value.wrong(format!("write it without scheme: \"{rest}\"")));
    }
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    if let Ok(ip) = without_brackets(name).parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    if let Some((host, port)) = name.rsplit_once(':')
        && port.parse::<u16>().is_ok()
    {
        return Err(value.wrong(format!("write it without port: \"{host}\"")));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(name.to_owned());
    }
    Err(value.wrong(match name.is_ascii() {
        true => "a domain is a name like example.org, or an address",
        false => "write it as DNS has it, in ASCII: \"xn--...\"",
    }))
}

/// An address that others can reach.
pub(crate) fn host(value: &Value<'_>) -> Result<IpAddr, Problem> {
    let address = address(value, value.text()?)?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(value.wrong("this is not the address of one machine"));
    }
    Ok(address)
}

/// The origin of a page (RFC 6454 §6.1), `null` for those that have none, `*` for all.
pub(crate) fn origin(value: &Value<'_>) -> Result<String, Problem> {
    let text = value.text()?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ', ',']);
    if ["*", "null"].contains(&text) || host.is_some_and(is_host) {
        return Ok(text.to_owned());
    }
    Err(value.wrong("an origin is like \"https://phone.example.org\", without a path"))
}

/// Where to listen, as `udp:*:5060` or `tcp:[::1]:5060`.
pub(crate) fn endpoint(value: &Value<'_>) -> Result<Endpoint, Problem> {
    let text = value.text()?;
    let (name, rest) = text.split_once(':').unwrap_or(("", text));
    let transport = match name.to_ascii_lowercase().as_str() {
        "udp" => Transport::Udp,
        "tcp" => Transport::Tcp,
        "tls" => Transport::Tls,
        "ws" => Transport::Ws,
        "wss" => Transport::Wss,
        _ => {
            let wrong = "it begins with udp:, tcp:, tls:, ws: or wss:, like \"udp:*:5060\"";
            return Err(value.wrong(wrong));
        }
    };
    let Some((host, port)) = rest.rsplit_once(':').filter(|_| !rest.ends_with(']')) else {
        return Err(value.wrong("a port is missing, like \"udp:*:5060\""));
    };
    let address = match host {
        "*" => None,
        host if host.starts_with('[') == host.contains(':') => Some(address(value, host)?),
        _ => return Err(value.wrong("an IPv6 address stands in [brackets]: \"udp:[::1]:5060\"")),
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits);
    let port = port.ok_or_else(|| value.wrong("a port is a number from 0 to 65535"))?;
    match address {
        Some(IpAddr::V6(v6)) if v6.is_unicast_link_local() => Err(value
            .wrong("link-local addresses mean nothing in a SIP message: phones could not answer")),
        Some(address) if address.is_multicast() => {
            Err(value.wrong("this is not the address of one machine"))
        }
        address => Ok(Endpoint { transport, address, port }),
    }
}

/// A name server, as `192.0.2.53` or `[2001:db8::53]:5353`.
pub(crate) fn name_server(value: &Value<'_>) -> Result<SocketAddr, Problem> {
    let text = value.text()?;
    let whole = text.parse::<SocketAddr>().ok();
    let at = match whole {
        Some(at) => at,
        None => SocketAddr::new(address(value, text)?, 53),
    };
    if at.port() == 0 || at.ip().is_unspecified() || at.ip().is_multicast() {
        return Err(value.wrong("nobody can be asked there"));
    }
    Ok(at)
}

/// The first two places of a list of which one takes the socket of the other.
pub(crate) fn overlap(endpoints: &[Endpoint]) -> Option<(usize, usize)> {
    let covers = |one: &Endpoint, two: &Endpoint| match (one.address, two.address) {
        (None, _) => true,
        (Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), Some(two)) => two.is_ipv4(),
        (Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), Some(two)) => two.is_ipv6(),
        (one, two) => one == two,
    };
    let clash = |one: &Endpoint, two: &Endpoint| {
        let datagrams = |endpoint: &Endpoint| endpoint.transport == Transport::Udp;
        let same = datagrams(one) == datagrams(two) && one.port == two.port && one.port != 0;
        same && (covers(one, two) || covers(two, one))
    };
    let pairs = (0..endpoints.len()).flat_map(|b| (0..b).map(move |a| (a, b)));
    pairs.into_iter().find(|&(a, b)| clash(&endpoints[a], &endpoints[b]))
}

/// A network, as `192.0.2.0/24`; an address alone is a network of one.
pub(crate) fn network(value: &Value<'_>) -> Result<(IpAddr, u8), Problem> {
    let text = value.text()?;
    let (host, prefix) = text.split_once('/').map_or((text, None), |(h, p)| (h, Some(p)));
    let ip = address(value, host)?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let digits = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let prefix = match prefix {
        None => Some(most),
        Some(prefix) => {
            Some(prefix).filter(digits).and_then(|p| p.parse().ok()).filter(|bits| *bits <= most)
        }
    };
    let wrong = || value.wrong(format!("the prefix after / is a number from 0 to {most}"));
    let prefix = prefix.ok_or_else(wrong)?;
    let begin = beginning(ip, prefix);
    if begin != ip {
        return Err(value.wrong(format!("did you mean \"{begin}/{prefix}\"?")));
    }
    Ok((ip, prefix))
}

/// The first address of a network.
fn beginning(ip: IpAddr, prefix: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn address(value: &Value<'_>, text: &str) -> Result<IpAddr, Problem> {
    let address = without_brackets(text).parse::<IpAddr>();
    address.map_err(|_| value.wrong("an address like 192.0.2.1 or 2001:db8::1 is needed"))
}

fn without_brackets(text: &str) -> &str {
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text)
}
