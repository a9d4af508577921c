//! RFC 3263: from the host of a URI to addresses that can be tried one after another.

use crate::flow::Transport;
use alloc::boxed::Box;
use alloc::format;
use core::net::SocketAddr;

/// A next hop that is known by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// TARGET in the words of RFC 3263 §4: a host name, or an address as text.
    pub host: Box<[u8]>,
    /// The port, if the URI gives one.
    pub port: Option<u16>,
    /// The transport, if the URI gives one; for a SIPS URI already a secure one.
    pub transport: Option<Transport>,
    /// Whether it must be reached over a secure transport.
    pub secure: bool,
}

impl NextHop {
    /// An address of which only our own side is not known yet.
    pub(crate) fn numeric(remote: SocketAddr, transport: Transport) -> Self {
        let host = format!("{}", remote.ip()).into_bytes().into();
        let (port, transport) = (Some(remote.port()), Some(transport));
        Self { host, port, transport, secure: false }
    }
}
