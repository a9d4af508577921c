//! Which addresses and domains are ours (RFC 3261 §16.4, §16.5).

use crate::address_of_record::AddressOfRecord;
use crate::flow::{Flow, Listener, SocketId, Transport};
use crate::node::Setup;
use crate::route::rules::Service;
use crate::snapshot::Snapshot;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ringway_wire::{Host, Message, Name, NameAddr, SipUri, Uri, unescape};

/// The addresses of this installation, for questions of the kind "is this us?".
#[derive(Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) setup: &'a Setup,
    pub(crate) snapshot: &'a Snapshot,
}

impl<'a> Ours<'a> {
    /// Whether a URI of this host and port leads to one of our sockets or domains. A host name
    /// or an address without a port stands for the domain, with one it must be a listener's.
    pub(crate) fn is_here(self, uri: &SipUri<'_>) -> bool {
        match address_of(&uri.host) {
            Some(ip) => self.listens(ip, uri.port),
            None => {
                let ports_fit = uri.port.is_none_or(|port| {
                    self.setup.listeners.iter().any(|l| l.public().port() == port)
                });
                ports_fit && self.domain(&uri.host).is_some()
            }
        }
    }

    /// Whether a Route names us: an address without a port stands for the default port here, for
    /// another server may listen there.
    pub(crate) fn is_our_route(self, uri: &SipUri<'_>) -> bool {
        match address_of(&uri.host) {
            Some(ip) => {
                let default = || transport_of(uri).unwrap_or(Transport::Udp).default_port();
                self.listens(ip, Some(uri.port.unwrap_or_else(default)))
            }
            None => self.is_here(uri),
        }
    }

    /// Whether a host, as a `maddr` names it, stands for us.
    pub(crate) fn answers_to(self, host: &Host<'_>) -> bool {
        match address_of(host) {
            Some(ip) => self.listens(ip, None),
            None => self.domain(host).is_some(),
        }
    }

    /// Whether one of our sockets has this address.
    pub(crate) fn is_our_address(self, ip: IpAddr) -> bool {
        self.listens(ip, None)
    }

    fn listens(self, ip: IpAddr, port: Option<u16>) -> bool {
        let ip = ip.to_canonical();
        let fits =
            |a: SocketAddr| a.ip().to_canonical() == ip && port.is_none_or(|port| port == a.port());
        self.setup.listeners.iter().any(|l| fits(l.local) || fits(l.public()))
    }

    /// The domain of ours that a host stands for: itself, or the default domain for one of our
    /// addresses.
    pub(crate) fn domain(self, host: &Host<'_>) -> Option<&'a [u8]> {
        match host {
            Host::Name(name) => {
                // A final dot makes a name absolute and changes nothing else.
                let name = name.strip_suffix(b".").unwrap_or(name);
                // No name is longer (RFC 1035 §2.3.4).
                let mut space = [0; 255];
                let lower = space.get_mut(..name.len())?;
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                self.snapshot.domains.get(&*lower).map(|d| &**d)
            }
            Host::V4(_) | Host::V6(_) => {
                let ip = address_of(host)?;
                let mut text = [0; 48];
                let text = write_ip(&mut text, ip);
                let own = self.snapshot.domains.get(text).map(|d| &**d);
                let ours = || self.listens(ip, None).then_some(self.default_domain()).flatten();
                own.or_else(ours)
            }
        }
    }

    /// The domain for those who name none.
    pub(crate) fn default_domain(self) -> Option<&'a [u8]> {
        self.snapshot.default_domain.as_deref()
    }

    /// The domain of ours whose accounts the sender of a request may be of: that of its From. Who
    /// gives no name may hint at it (RFC 3325 §6), or is of the default domain.
    pub(crate) fn realm_of(self, request: &Message<'_>) -> Option<&'a [u8]> {
        let from = request.from().ok().and_then(|from| from.uri().ok());
        let Some(uri) = from else { return self.default_domain() };
        let named = match &uri {
            Uri::Sip(sip) => self.domain(&sip.host),
            Uri::Tel(_) | Uri::Other { .. } => self.default_domain(),
        };
        let hinted = || {
            let mut others = request.headers().filter(|header| header.name == Name::Other);
            let hint = others
                .find(|header| header.raw_name.eq_ignore_ascii_case(b"P-Preferred-Identity"))?;
            match NameAddr::parse(hint.value).ok()?.uri().ok()? {
                Uri::Sip(sip) => self.domain(&sip.host),
                Uri::Tel(_) | Uri::Other { .. } => None,
            }
        };
        let nameless = || hinted().or_else(|| self.default_domain());
        named.or_else(|| is_anonymous(&uri).then(nameless).flatten())
    }

    /// The domain whose accounts are asked for the sender of a request: that of [`Ours::realm_of`],
    /// else the domain that the request is for, else the default one. Whoever calls from another
    /// domain, as a trunk does, is known to the one that it calls.
    pub(crate) fn realm_for(self, request: &Message<'_>) -> Option<&'a [u8]> {
        let called = || match request.uri() {
            Ok(Uri::Sip(sip)) => self.domain(&sip.host),
            _ => None,
        };
        self.realm_of(request).or_else(called).or_else(|| self.default_domain())
    }

    /// The address-of-record that a URI names here, or `None` if it names nobody of ours.
    //= RFC 3261 10.3
    // "all URI parameters MUST be removed"
    //= RFC 3261 16.5
    // "service constructed by a registrar, the Request-URI MUST first be canonicalized as"
    pub(crate) fn address_of_record(self, uri: &Uri<'_>) -> Option<AddressOfRecord> {
        match uri {
            Uri::Sip(sip) => AddressOfRecord::new(&unescaped(sip.user?), self.domain(&sip.host)?),
            Uri::Tel(tel) => {
                //= RFC 3966 4
                // "equal, after removing all visual separators."
                let digits = tel.number.iter().filter(|byte| !b"-.()".contains(byte));
                let digits: Vec<u8> = digits.copied().collect();
                AddressOfRecord::new(&digits, self.default_domain()?)
            }
            Uri::Other { .. } => None,
        }
    }

    /// Whether a request is for a domain of ours that only redirects.
    //= RFC 3261 8.3
    // "Redirect servers MUST ignore features that are not understood"
    pub(crate) fn redirects(self, request: &Message<'_>) -> bool {
        let Ok(Uri::Sip(uri)) = request.uri() else { return false };
        let service = self.domain(&uri.host).map(|domain| self.snapshot.service(domain));
        matches!(service, Some(Service::Redirect(_)))
    }

    /// One of our sockets for this transport and far address: `first` if it fits, else the one
    /// with the same address, else the only one there is. `None`: the kernel must be asked.
    pub(crate) fn socket_for(
        self,
        transport: Transport,
        remote: SocketAddr,
        first: SocketId,
    ) -> Option<SocketId> {
        let fits = |l: &Listener| l.transport == transport && l.local.is_ipv4() == remote.is_ipv4();
        let listeners = &self.setup.listeners;
        let wanted = listeners.get(usize::from(first.0))?;
        if fits(wanted) {
            return Some(first);
        }
        let ip = wanted.local.ip();
        let same = listeners.iter().position(|l| fits(l) && l.local.ip() == ip);
        let mut fitting = listeners.iter().enumerate().filter(|(_, l)| fits(l)).map(|(at, _)| at);
        let only = fitting.next().filter(|_| fitting.next().is_none());
        same.or(only).map(|at| SocketId(at as u16))
    }

    /// Whether somebody's URI may have us send there, however it was written or looked up: not to
    /// ourselves, and not where only the administrator may (F3).
    pub(crate) fn may_send_to(self, remote: SocketAddr) -> bool {
        !self.listens(remote.ip(), Some(remote.port())) && self.snapshot.may_reach(remote.ip())
    }

    /// The listener that a URI of ours names.
    pub(crate) fn socket_of(self, uri: &SipUri<'_>) -> Option<SocketId> {
        let ip = address_of(&uri.host)?;
        let transport = transport_of(uri)?;
        let port = uri.port.unwrap_or(transport.default_port());
        let fits = |l: &Listener| {
            let same_kind = l.transport.uri_name() == transport.uri_name();
            same_kind && [l.local, l.public()].contains(&SocketAddr::new(ip, port))
        };
        self.setup.listeners.iter().position(fits).map(|at| SocketId(at as u16))
    }

    /// The listener behind a flow.
    pub(crate) fn listener(self, flow: &Flow) -> Option<&'a Listener> {
        self.setup.listeners.get(usize::from(flow.socket.0))
    }
}

/// Whether a URI is what those write into From who do not say who they are.
//= RFC 3323 4.1.1.3
// "For these reasons, the hostname value 'anonymous.invalid' SHOULD be"
pub(crate) fn is_anonymous(uri: &Uri<'_>) -> bool {
    let Uri::Sip(sip) = uri else { return false };
    let Host::Name(host) = sip.host else { return false };
    host.eq_ignore_ascii_case(b"anonymous.invalid")
        && sip.user.is_none_or(|user| user.eq_ignore_ascii_case(b"anonymous"))
}

/// Whether a URI says that somebody has verified the number in it: only networks may say so
/// (`verstat` of 3GPP TS 24.229).
pub(crate) fn claims_to_be_verified(uri: &Uri<'_>) -> bool {
    match uri {
        Uri::Sip(sip) => sip.params.get(b"verstat").is_some(),
        Uri::Tel(tel) => tel.params.get(b"verstat").is_some(),
        Uri::Other { .. } => false,
    }
}

/// The transport that a URI stands for.
fn transport_of(uri: &SipUri<'_>) -> Option<Transport> {
    let named = match uri.params.get(b"transport").flatten() {
        Some(name) => Some(Transport::from_name(name)?),
        None => None,
    };
    Transport::of_uri(named, uri.secure)
}

/// A user part with its escapes decoded.
pub(crate) fn unescaped(user: &[u8]) -> Cow<'_, [u8]> {
    if user.contains(&b'%') {
        let mut out = Vec::with_capacity(user.len());
        unescape(user, &mut out);
        Cow::Owned(out)
    } else {
        Cow::Borrowed(user)
    }
}

/// The address in a host, if it is one.
pub(crate) fn address_of(host: &Host<'_>) -> Option<IpAddr> {
    match host {
        Host::V4(v4) => Some(IpAddr::V4(*v4)),
        Host::V6(v6) => Some(IpAddr::V6(*v6)),
        Host::Name(_) => None,
    }
}

/// An address as text.
pub(crate) fn write_ip(out: &mut [u8; 48], ip: IpAddr) -> &[u8] {
    use core::fmt::Write;
    struct Cursor<'o>(&'o mut [u8; 48], usize);
    impl Write for Cursor<'_> {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            let end = self.1 + s.len();
            self.0.get_mut(self.1..end).ok_or(core::fmt::Error)?.copy_from_slice(s.as_bytes());
            self.1 = end;
            Ok(())
        }
    }
    let mut cursor = Cursor(out, 0);
    // An address is at most 45 characters long.
    let written = write!(cursor, "{ip}").map_or(0, |()| cursor.1);
    &out[..written]
}
