//! RFC 5626 §5.1, RFC 3327 §5.2: a REGISTER that goes on to another registrar tells it the way
//! back: to us, and from here over the flow that the client opened.

use crate::flow::Flow;
use crate::proxy::record_route::end_route;
use crate::registrar::supports;
use crate::route::cookie::Cookie;
use crate::route::ours::Ours;
use alloc::vec::Vec;
use ringway_wire::{Message, Method, Name};

/// The Path values to be put above those it has, the topmost first: none if it is no REGISTER, if
/// another proxy has it from the client, or if the client knows no Path.
//= RFC 3327 5.2
// "Intermediate proxies SHOULD NOT add a Path header field to a request"
pub(crate) fn path(
    ours: Ours<'_>,
    request: &Message<'_>,
    (client, registrar): (&Flow, &Flow),
) -> Option<Vec<u8>> {
    let is_first_hop = request.values(Name::Via).nth(1).is_none();
    if request.method() != Method::Register || !is_first_hop || !supports(request, b"path") {
        return None;
    }
    let mut out = Vec::with_capacity(160);
    // Two where sides differ, as with Record-Route: the registrar may not reach the client's side.
    if client.socket != registrar.socket {
        out.extend_from_slice(b"<sip:");
        end_route(ours.listener(registrar)?, false, &mut out);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(b"<sip:");
    let cookie = Cookie { flow: Some(*client), ..Cookie::default() };
    cookie.write(&ours.setup.keys, Cookie::OF_PATH, &mut out);
    out.push(b'@');
    //= RFC 5626 5.1
    // "addition, the first node MUST include an"
    end_route(ours.listener(client)?, false, &mut out);
    out.pop();
    out.extend_from_slice(b";ob>");
    Some(out)
}
