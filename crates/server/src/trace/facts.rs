//! What a message tells about itself, as far as it is needed to find it.

use ringway_wire::{Framing, Host, Index, Message, Method, Name, NameAddr, SessionId, Uri, parse};

/// An identifier of one end of a session.
pub(super) type Uuid = [u8; 32];

/// What a message tells.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) call_id: Box<[u8]>,
    /// It is about neither a registration nor a ping.
    pub(super) is_call: bool,
    /// `user@host` of Request-URI, To and From, as far as they have a user.
    pub(super) users: Vec<String>,
    /// The ends of its session (RFC 7989), as far as they are known.
    pub(super) ends: Vec<Uuid>,
}

impl Facts {
    /// `None` if it has no Call-ID.
    pub(super) fn read(bytes: &[u8], index: &mut Index) -> Option<Self> {
        let message = parse(bytes, index, Framing::Datagram).ok()?;
        let call_id: Box<[u8]> = message.header(Name::CallId)?.into();
        let session = message.header(Name::SessionId).map(SessionId::parse);
        let ends = match session {
            Some(Ok(session)) => session.known().filter_map(|uuid| uuid.try_into().ok()).collect(),
            _ => Vec::new(),
        };
        let is_call = !matches!(message.method(), Method::Register | Method::Options);
        Some(Self { call_id, is_call, users: users(&message), ends })
    }
}

fn users(message: &Message<'_>) -> Vec<String> {
    let addresses = [message.to().ok(), message.from().ok()];
    let uris = addresses.iter().flatten().filter_map(|address: &NameAddr<'_>| address.uri().ok());
    let all = message.uri().ok().filter(|_| message.is_request()).into_iter().chain(uris);
    all.filter_map(|uri| user(&uri)).collect()
}

/// `user@host`, or the number of a `tel:` URI.
fn user(uri: &Uri<'_>) -> Option<String> {
    match uri {
        Uri::Sip(sip) => {
            let user = String::from_utf8_lossy(sip.user?).into_owned();
            Some(match sip.host {
                Host::V4(ip) => format!("{user}@{ip}"),
                Host::V6(ip) => format!("{user}@[{ip}]"),
                Host::Name(name) => format!("{user}@{}", String::from_utf8_lossy(name)),
            })
        }
        Uri::Tel(tel) => Some(String::from_utf8_lossy(tel.number).into_owned()),
        Uri::Other { .. } => None,
    }
}

/// `user@host` of everybody a message names.
pub fn named_in(bytes: &[u8]) -> Vec<String> {
    let facts = Facts::read(bytes, &mut Index::new());
    facts.map(|facts| facts.users).unwrap_or_default()
}
