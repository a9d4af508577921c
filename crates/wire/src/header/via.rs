//! Via (RFC 3261 §20.42, RFC 3581).

use crate::error::Malformed;
use crate::header::params::{Params, skip_blanks};
use crate::scan::{is_blank, is_token_byte, number, trim};
use crate::uri::{Host, parse_v4, parse_v6};
use core::net::IpAddr;

/// One Via value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Via<'a> {
    /// The transport as written.
    pub transport: &'a [u8],
    /// The host of sent-by.
    pub host: Host<'a>,
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'a>,
}

const WRONG: Malformed = Malformed::grammar("Via");

impl<'a> Via<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// If it is against the grammar.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        let mut at = 0;
        let name = word(value, &mut at)?;
        slash(value, &mut at)?;
        let version = word(value, &mut at)?;
        slash(value, &mut at)?;
        let transport = word(value, &mut at)?;
        if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return Err(WRONG);
        }
        let rest = &value[at..];
        if !rest.first().is_some_and(|&b| is_blank(b)) {
            return Err(WRONG);
        }
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (host, port) = sent_by(trim(&rest[..end])).ok_or(WRONG)?;
        let params = Params::parse_header(&rest[end..]).ok_or(WRONG)?;
        Ok(Self { transport, host, port, params })
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.params.get(b"branch").flatten()
    }

    /// The address in `received`, with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.params.get(b"received").flatten()?;
        let bare = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(text);
        parse_v4(bare).map(IpAddr::V4).or_else(|| parse_v6(bare).map(IpAddr::V6))
    }

    /// The `rport` parameter: `None` if it is not there, `Some(None)` without a value.
    pub fn rport(&self) -> Option<Option<u16>> {
        let value = self.params.get(b"rport")?;
        Some(value.and_then(|text| number(text, 65_535)).map(|port| port as u16))
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<&'a [u8]> {
        self.params.get(b"maddr").flatten()
    }

    /// The `ttl` parameter; one out of range counts as none.
    pub fn ttl(&self) -> Option<u8> {
        number(self.params.get(b"ttl").flatten()?, 255).map(|ttl| ttl as u8)
    }
}

/// Host and port, blanks allowed around the colon.
fn sent_by(text: &[u8]) -> Option<(Host<'_>, Option<u16>)> {
    if !text.iter().any(|&b| is_blank(b)) {
        return Host::parse_with_port(text);
    }
    let host_end = if text.first() == Some(&b'[') {
        memchr::memchr(b']', text)? + 1
    } else {
        text.iter().position(|&b| is_blank(b) || b == b':').unwrap_or(text.len())
    };
    let (host, _) = Host::parse_with_port(&text[..host_end])?;
    let port = trim(&text[host_end..]).strip_prefix(b":")?;
    Some((host, Some(number(trim(port), 65_535).filter(|&port| port > 0)? as u16)))
}

fn word<'a>(text: &'a [u8], at: &mut usize) -> Result<&'a [u8], Malformed> {
    let start = skip_blanks(text, *at);
    let len = text[start..].iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len() - start);
    *at = start + len;
    if len == 0 { Err(WRONG) } else { Ok(&text[start..start + len]) }
}

fn slash(text: &[u8], at: &mut usize) -> Result<(), Malformed> {
    let start = skip_blanks(text, *at);
    *at = start + 1;
    if text.get(start) == Some(&b'/') { Ok(()) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_via() {
        let via = Via::parse(b"SIP /\t2.0 / UDP  [2001:db8::1] : 5061 ;branch=z9hG4bKx ;rport")
            .expect("a Via");
        assert_eq!((via.transport, via.port), (&b"UDP"[..], Some(5061)));
        assert_eq!(via.branch(), Some(&b"z9hG4bKx"[..]));
        assert_eq!(via.rport(), Some(None));
        let via = Via::parse(b"SIP/2.0/TCP h;received=[2001:db8::9:255];rport=9").expect("a Via");
        assert_eq!(via.received(), Some("2001:db8::9:255".parse().expect("an address")));
        assert_eq!(via.rport(), Some(Some(9)));
        let via = Via::parse(b"SIP/2.0/UDP h;maddr=224.2.0.1;ttl=16;rport=x").expect("a Via");
        assert_eq!((via.maddr(), via.ttl()), (Some(&b"224.2.0.1"[..]), Some(16)));
        assert_eq!((via.rport(), via.received(), via.branch()), (Some(None), None, None));
        assert_eq!(Via::parse(b"SIP/2.0/UDP h;ttl=256").expect("a Via").ttl(), None);
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP h;;branch=x",
            "SIP/2.0/UDP h;",
            "SIP/2.0/UDPh",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0/UDP h:0",
            "SIP/2.0/UDP h : 0",
            "SIP/2.0/UDP h i",
            "SIP/2.0/UDP [::1] i",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP 2001:db8::1",
        ] {
            assert!(Via::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
