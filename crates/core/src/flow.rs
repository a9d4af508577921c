//! Where messages come from and go to: sockets, connections and the far address.

use core::fmt;
use core::net::SocketAddr;

/// The transports of SIP (RFC 3261 §18, RFC 7118).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Plain streams.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// Whether the transport itself repeats what is lost (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Whether nobody on the way can read what it carries (RFC 3261 §26.2.2).
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether we may open a connection ourselves: only a client opens a WebSocket.
    pub const fn may_be_opened(self) -> bool {
        !matches!(self, Self::Ws | Self::Wss)
    }

    /// The port of a URI that names none (RFC 3261 §19.1.2, RFC 7118 §5.5).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// What a SIP URI with this transport, or none, stands for: one that is `secure` (a SIPS URI,
    /// or on the way of one) has the same over TLS. `None`: there is no such thing.
    //= RFC 3261 26.2.2
    // "note that UDP is not a valid transport for SIPS).  The use of"
    pub const fn of_uri(named: Option<Self>, secure: bool) -> Option<Self> {
        match (named, secure) {
            (Some(Self::Udp), true) => None,
            (Some(Self::Tcp | Self::Tls) | None, true) => Some(Self::Tls),
            (Some(Self::Ws | Self::Wss), true) => Some(Self::Wss),
            (Some(named), false) => Some(named),
            //= RFC 3263 4.1
            // "SHOULD use UDP for a SIP URI, and TCP for a SIPS URI"
            (None, false) => Some(Self::Udp),
        }
    }

    /// The name in a Via header (RFC 3261 §20.42).
    pub const fn via_name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The name in a `transport` URI parameter (RFC 3261 §19.1.1, RFC 7118 §5.2).
    pub const fn uri_name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }

    /// The transport with this name, in any case (`udp`, `TCP` …).
    pub fn from_name(name: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss]
            .into_iter()
            .find(|t| t.via_name().as_bytes().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

/// One of our listening sockets: its place in the list of listeners the node was made with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SocketId(pub u16);

/// One connection of a stream transport, numbered by the program in the order they open.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// No connection: a datagram, or "use any open connection to the remote, or open one".
    pub const NONE: Self = Self(0);
}

/// A name that a certificate proves, as its keyed hash
/// ([`Keys::certified_name`](crate::keys::Keys::certified_name)): the program keeps the name
/// itself, the core only compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct CertifiedName(pub u64);

impl CertifiedName {
    /// No certificate speaks for the far side.
    pub const NONE: Self = Self(0);
}

/// A way between us and one far address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// Our side: the listener that received, or that shall send.
    pub socket: SocketId,
    /// How.
    pub transport: Transport,
    /// Which connection, on stream transports. [`ConnectionId::NONE`] in what we send lets the
    /// program reuse or open a connection to `remote`.
    pub connection: ConnectionId,
    /// The far side.
    pub remote: SocketAddr,
    /// Over TLS, the domain or the account that the far side's certificate proves (it called us;
    /// [`Keys::certified_account`](crate::keys::Keys::certified_account)), or the domain it must
    /// prove before anything is sent (we call it; RFC 5922 §7.3: the domain of the URI).
    pub certified: CertifiedName,
}

/// A listening socket as the core knows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listener {
    /// How it receives.
    pub transport: Transport,
    /// The exact address it is bound to, never a wildcard.
    pub local: SocketAddr,
    /// What others shall use to reach it, where that differs (address translation).
    pub advertised: Option<SocketAddr>,
}

impl Listener {
    /// The address to write into Via and Record-Route.
    pub fn public(&self) -> SocketAddr {
        self.advertised.unwrap_or(self.local)
    }
}
