//! Via (RFC 3261 §20.42, RFC 3581).

use crate::class::{self, BLANK, TOKEN};
use crate::error::Malformed;
use crate::header::params::{self, Params, is_named, skip_blanks};
use crate::host::{Host, HostMarks, parse_v4, parse_v6, read_port};
use crate::limits;
use crate::scan::{Span, number, trim};
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
    branch: Option<&'a [u8]>,
    received: Option<&'a [u8]>,
    rport: Option<Option<u16>>,
}

/// Where the parts of a Via stand in its value: what reading it leaves behind, to look at it again
/// without reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ViaMarks {
    transport: Span,
    host: HostMarks,
    params: Span,
    /// Values of parameters; empty if there is none, or it has none.
    branch: Span,
    received: Span,
    rport: Option<Option<u16>>,
    /// Whether there are several branches, so that two readers could see two of them.
    pub(crate) repeats_branch: bool,
}

const WRONG: Malformed = Malformed::grammar("Via");

impl<'a> Via<'a> {
    /// Reads one value.
    ///
    /// # Errors
    /// If it is against the grammar.
    pub fn parse(value: &'a [u8]) -> Result<Self, Malformed> {
        match ViaMarks::read(value) {
            Some((marks, end)) if end == value.len() => Ok(marks.via(value)),
            _ => Err(WRONG),
        }
    }

    /// The `branch` parameter.
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }

    /// The address in `received`, with or without brackets (RFC 5118 §4.5).
    pub fn received(&self) -> Option<IpAddr> {
        let text = self.received?;
        let bare = text.strip_prefix(b"[").and_then(|t| t.strip_suffix(b"]")).unwrap_or(text);
        parse_v4(bare).map(IpAddr::V4).or_else(|| parse_v6(bare).map(IpAddr::V6))
    }

    /// The `rport` parameter: `None` if it is not there, `Some(None)` without a value.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.rport
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

impl ViaMarks {
    /// Reads the value at the start of `text`, as far as the grammar goes; says where it ends.
    pub(crate) fn read(text: &[u8]) -> Option<(Self, usize)> {
        if text.len() > limits::MESSAGE {
            return None;
        }
        let start = match text {
            [b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', ..] => 8,
            _ => read_protocol(text)?,
        };
        let start = skip_blanks(text, start);
        let end = class::run(text, start, TOKEN);
        let blank = text.get(end).is_some_and(|&b| class::is(b, BLANK));
        if end == start || !blank {
            return None;
        }
        let mut marks = Self { transport: Span::new(start, end), ..Self::default() };
        let (host, at) = read_sent_by(text, skip_blanks(text, end))?;
        marks.host = host;
        let end = marks.read_params(text, at)?;
        Some((marks, end))
    }

    fn read_params(&mut self, text: &[u8], start: usize) -> Option<usize> {
        let (mut branches, mut received) = (0, false);
        let end = params::read_header(text, start, |name, value| {
            if is_named(name, b"branch") {
                if branches == 0 {
                    self.branch = value;
                }
                branches += 1;
            } else if is_named(name, b"rport") {
                let port = number(value.of(text), 65_535).map(|port| port as u16);
                self.rport = self.rport.or(Some(port));
            } else if is_named(name, b"received") && !received {
                (self.received, received) = (value, true);
            }
        })?;
        self.repeats_branch = branches > 1;
        self.params = Span::new(start, start + trim(&text[start..end]).len());
        Some(end)
    }

    /// The Via, of the text that was read.
    pub(crate) fn via<'a>(&self, text: &'a [u8]) -> Via<'a> {
        Via {
            transport: self.transport.of(text),
            host: self.host.host(text),
            port: self.host.port(),
            params: Params::of(self.params.of(text)),
            branch: self.branch.filled(text),
            received: self.received.filled(text),
            rport: self.rport,
        }
    }
}

/// The end of `SIP/2.0/`, blanks around the slashes.
fn read_protocol(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut word = || {
        let start = skip_blanks(text, at);
        let end = class::run(text, start, TOKEN);
        let slash = skip_blanks(text, end);
        at = slash + 1;
        (text.get(slash) == Some(&b'/')).then(|| &text[start..end])
    };
    let (name, version) = (word()?, word()?);
    (name.eq_ignore_ascii_case(b"SIP") && version == b"2.0").then_some(at)
}

/// Host and port, blanks allowed around the colon and behind them. Says where they end.
fn read_sent_by(text: &[u8], start: usize) -> Option<(HostMarks, usize)> {
    let (host, end) = HostMarks::read_host(text, start)?;
    let at = skip_blanks(text, end);
    if text.get(at) != Some(&b':') {
        return Some((host, at));
    }
    let (port, end) = read_port(text, skip_blanks(text, at + 1))?;
    Some((host.with_port(port), skip_blanks(text, end)))
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
