//! The redirect server (RFC 3261 §8.3): who asks for a user is told where else to ask.

use crate::arena::Id;
use crate::binding::Binding;
use crate::boundary::Outbox;
use crate::node::Node;
use crate::proxy::response_context::ResponseContext;
use crate::reject::Reject;
use crate::route::plan::{Place, Plan, Redirect, devices_of};
use crate::route::rules::Redirection;
use crate::servers::Outgoing;
use crate::status;
use crate::time::Instant;
use alloc::format;
use alloc::vec::Vec;
use ringway_wire::{Uri, equal};

impl Redirection {
    /// The redirection with this status code.
    pub fn of_status(status: u16) -> Option<Self> {
        let all = [Self::Permanent, Self::Temporary, Self::UseProxy, Self::Alternative];
        all.into_iter().find(|redirection| redirection.status() == status)
    }

    /// Its status code (RFC 3261 §21.3).
    pub const fn status(self) -> u16 {
        match self {
            Self::Permanent => status::MOVED_PERMANENTLY,
            Self::Temporary => status::MOVED_TEMPORARILY,
            Self::UseProxy => status::USE_PROXY,
            Self::Alternative => status::ALTERNATIVE_SERVICE,
        }
    }
}

impl Redirect {
    /// A redirection to these places, but for the one that was asked for.
    //= RFC 3261 8.3
    // "redirect servers MUST NOT redirect a request to a URI equal"
    pub(crate) fn plan(how: Redirection, places: Vec<Place>, asked: &[u8]) -> Plan {
        let asked = Uri::parse(asked).ok();
        let is_asked = |place: &Place| {
            let uri = Uri::parse(&place.uri).ok();
            uri.zip(asked).is_some_and(|(uri, asked)| equal(&uri, &asked))
        };
        let nobody = places.is_empty();
        let ends_early = |place: &Place| place.uri.iter().any(|byte| b"<>\r\n".contains(byte));
        let fits = |place: &Place| !is_asked(place) && !ends_early(place);
        let places: Vec<Place> = places.into_iter().filter(fits).collect();
        match (nobody, places.is_empty()) {
            (true, _) => Plan::refuse(Reject::TemporarilyUnavailable),
            (false, true) => Plan::refuse(Reject::NoSuchUser),
            (false, false) => Plan::redirect(Self { how, places }),
        }
    }
}

/// The contacts of a user as places to ask, the preferred one first, and each device once.
pub(crate) fn places_of(bindings: &[Binding]) -> Vec<Place> {
    let devices = devices_of(bindings);
    let mut order: Vec<&Binding> = devices.iter().filter_map(|d| d.first().copied()).collect();
    order.sort_by(|a, b| b.q.cmp(&a.q).then(b.refreshed.cmp(&a.refreshed)));
    let place =
        |b: &&Binding| Place { uri: b.contact.clone(), q: Some(b.q), expires: Some(b.expires) };
    order.iter().map(place).collect()
}

impl Node {
    /// Answers the request of a context with a redirection.
    pub(crate) fn redirect(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        redirect: &Redirect,
        out: &mut Outbox,
    ) {
        self.shut(id);
        let Some(context) = self.contexts.find(id) else { return };
        let (server, source) = (context.server, context.flow.remote);
        let Some(request) = context.request() else { return };
        let status = redirect.how.status();
        let mut response = self.respond(&mut out.bytes, &request, status, source);
        let left_s = |expires: Instant| expires.since(now).as_secs();
        for Place { uri, q, expires } in &redirect.places {
            response.header_with("Contact", |out| {
                out.push(b'<');
                out.extend_from_slice(uri);
                out.push(b'>');
                if let Some(q) = q {
                    out.extend_from_slice(format!(";q={}.{:03}", q / 1000, q % 1000).as_bytes());
                }
                //= RFC 3261 8.3
                // "field values may also be supplied to indicate the lifetime of the"
                if let Some(expires) = expires {
                    out.extend_from_slice(format!(";expires={}", left_s(*expires)).as_bytes());
                }
            });
        }
        let soonest = redirect.places.iter().filter_map(|place| place.expires).min();
        if let Some(soonest) = soonest {
            response.header("Expires", format!("{}", left_s(soonest)).as_bytes());
        }
        let bytes = response.finish(None);
        self.reply(now, (id, server), Outgoing { status, bytes }, out);
    }
}
