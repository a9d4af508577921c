//! What a request wants of us: the registrar, our own options, or the proxy.

pub(crate) mod register;
pub(crate) mod redirect;

use crate::route::ours::Ours;
use crate::route::own_route::OwnRoute;
use ringway_wire::{Message, Method, Name, Uri};

/// What a request wants of us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// A REGISTER for one of our domains.
    Registrar,
    /// An OPTIONS for ourselves (RFC 3261 §11.2).
    Options,
    /// Another request for ourselves, not for one of our users.
    Ourselves,
    /// Everything that goes on to somebody else.
    Proxy,
}

impl Role {
    /// The role that a request asks for.
    pub(crate) fn of(ours: Ours<'_>, request: &Message<'_>, route: &OwnRoute) -> Self {
        if route.strict_target.is_some() || request.values(Name::Route).nth(route.pops).is_some() {
            return Self::Proxy;
        }
        let Ok(Uri::Sip(uri)) = request.uri() else { return Self::Proxy };
        let here = ours.is_here(&uri);
        match request.method() {
            //= RFC 3261 10.3
            // "The registrar inspects the Request-URI to determine whether it has access to bindings for the domain identified in the Request-URI"
            Method::Register if here => Self::Registrar,
            Method::Options if here && uri.user.is_none() => Self::Options,
            _ if here && uri.user.is_none() && route.flow.is_none() => Self::Ourselves,
            _ => Self::Proxy,
        }
    }
}
