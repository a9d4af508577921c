//! RFC 3261 §16.4: the Route headers that name ourselves, and strict routers before us.

use crate::flow::{Flow, SocketId};
use crate::keys::Keys;
use crate::reject::Reject;
use crate::route::cookie::{Cookie, Tag, hop_tag, source_tag};
use crate::route::ours::Ours;
use alloc::boxed::Box;
use core::net::IpAddr;
use ringway_wire::{Message, Name, NameAddr, SipUri, Uri};

/// What the Route headers of a request told us about ourselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnRoute {
    /// How many Route values at the top are ours and go.
    pub(crate) pops: usize,
    /// A signed cookie of ours was among them, made for this Call-ID: the dialog was let
    /// through here before.
    pub(crate) signed: bool,
    /// The way to the other side, if the last of our cookies holds one.
    pub(crate) flow: Option<Flow>,
    /// What the last of our cookies allows.
    cookie: Cookie,
    /// The request came through a strict router: its Request-URI was ours, and this, the last
    /// Route value (which goes too), is the real one.
    pub(crate) strict_target: Option<Box<[u8]>>,
}

impl OwnRoute {
    /// Reads the Route headers. A cookie that was changed, or made for another call, is refused.
    //= RFC 3261 16.4
    // "header field indicates this proxy, the proxy MUST remove that value from the request."
    pub(crate) fn read(ours: Ours<'_>, request: &Message<'_>) -> Result<Self, Reject> {
        let mut found = Self::default();
        let last_is_target = found.fix_strict_route(ours, request)?;
        let mut routes = request.values(Name::Route).peekable();
        while let Some(value) = routes.next() {
            if last_is_target && routes.peek().is_none() {
                break;
            }
            let Some(Uri::Sip(sip)) = NameAddr::parse(value).ok().and_then(|a| a.uri().ok()) else {
                break;
            };
            //= RFC 3261 16.4
            // "If the first value in the Route header field indicates this proxy"
            if !ours.is_our_route(&sip) {
                break;
            }
            found.read_cookie(ours, request, &sip)?;
            found.pops += 1;
        }
        Ok(found)
    }

    /// The next hop that the Route headers name: what is left of them but for the target of a
    /// strict router.
    pub(crate) fn next<'m>(&self, request: &Message<'m>) -> Option<&'m [u8]> {
        let mut rest = request.values(Name::Route).skip(self.pops).peekable();
        let first = rest.next()?;
        (self.strict_target.is_none() || rest.peek().is_some()).then_some(first)
    }

    /// Whether a request from this address may go where it wants to go because of its dialog
    /// alone. What a dialog does not answer for is not refused, but its sender must be known.
    pub(crate) fn opens(&self, keys: &Keys, request: &Message<'_>, source: IpAddr) -> bool {
        if !self.signed {
            return false;
        }
        [0, source_tag(keys, source)].contains(&self.cookie.source) && self.leads_on(keys, request)
    }

    /// The peer that a request goes to because its dialog leads there, if we may be asked there who
    /// we are.
    pub(crate) fn peer_ahead(&self, keys: &Keys, request: &Message<'_>) -> Option<Tag> {
        let leads_there = self.cookie.peer != 0 && self.signed && self.leads_on(keys, request);
        leads_there.then_some(self.cookie.peer)
    }

    /// Whether a request goes where its dialog leads.
    fn leads_on(&self, keys: &Keys, request: &Message<'_>) -> bool {
        let next = self.next(request);
        let target = self.strict_target.as_deref().unwrap_or(request.request_uri());
        let target = Uri::parse(target).ok();
        // A GRUU goes to its device, wherever that is now.
        if next.is_none() && self.flow.is_some() && !target.as_ref().is_some_and(names_a_device) {
            return true;
        }
        let next = match next {
            Some(next) => NameAddr::parse(next).ok().and_then(|next| next.uri().ok()),
            None => target,
        };
        let hop = next.and_then(|next| hop_tag(keys, &next));
        hop == Some(self.cookie.hop)
    }

    /// A Request-URI that is one of our own Record-Route URIs was put there by a strict router.
    //= RFC 3261 16.4
    // "The proxy MUST inspect the Request-URI of the request."
    // "(see Section 16.6 item 4), the proxy MUST replace the Request-URI in the request with"
    // "The proxy MUST then proceed as if it received this modified request."
    fn fix_strict_route(&mut self, ours: Ours<'_>, request: &Message<'_>) -> Result<bool, Reject> {
        let Ok(Uri::Sip(uri)) = request.uri() else { return Ok(false) };
        let looks_ours = uri.params.get(b"lr").is_some() && ours.is_here(&uri);
        let last = request.values(Name::Route).last();
        let (true, Some(last)) = (looks_ours, last) else { return Ok(false) };
        //= RFC 3261 16.4
        // "the proxy MUST replace the Request-URI in the request with the last"
        let last = NameAddr::parse(last).map_err(|_| Reject::Malformed("Route"))?;
        self.read_cookie(ours, request, &uri)?;
        self.strict_target = Some(last.uri.into());
        Ok(true)
    }

    fn read_cookie(
        &mut self,
        ours: Ours<'_>,
        request: &Message<'_>,
        uri: &SipUri<'_>,
    ) -> Result<(), Reject> {
        let Some(text) = uri.user else { return Ok(()) };
        let socket = ours.socket_of(uri).unwrap_or(SocketId(0));
        let read = |call_id| Cookie::read(&ours.setup.keys, call_id, text, socket);
        let Some(cookie) = read(request.call_id()) else {
            // Not of a call: of the Path of a client, and nobody is let through because of it.
            //= RFC 5626 5.3.1
            // "the flow token has been tampered with, the proxy SHOULD send a 403"
            self.flow = read(Cookie::OF_PATH).ok_or(Reject::ForgedRoute)?.flow;
            return Ok(());
        };
        // Only a request inside a dialog may use what a dialog was allowed.
        self.signed = request.to().is_ok_and(|to| to.tag().is_some());
        self.flow = cookie.flow;
        self.cookie = cookie;
        Ok(())
    }
}

fn names_a_device(uri: &Uri<'_>) -> bool {
    matches!(uri, Uri::Sip(sip) if sip.params.get(b"gr").is_some())
}
