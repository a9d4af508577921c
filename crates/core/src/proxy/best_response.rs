//! RFC 3261 §16.7 steps 6 to 9: the best of all answers goes back when all are there.

use crate::arena::Id;
use crate::boundary::Outbox;
use crate::node::Node;
use crate::proxy::response_context::{BranchState, Outcome, ResponseContext};
use crate::proxy::session_id;
use crate::reject::Reject;
use crate::servers::Outgoing;
use crate::status;
use crate::time::Instant;
use ringway_wire::{Editor, Framing, Index, Name, parse};

impl Node {
    /// Sends back the response of one branch.
    //= RFC 3261 16.7
    // "The forwarded response MUST be processed as described in steps \"Aggregate"
    // "or 407 (Proxy Authentication Required), the proxy MUST collect any WWW- Authenticate"
    pub(crate) fn send_best(
        &mut self,
        now: Instant,
        id: Id<ResponseContext>,
        at: usize,
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        let best = &context.branches[at].state;
        let BranchState::Done(Outcome::Response { status, bytes }) = best else { return };
        //= RFC 5626 11.5
        // "AOR.  Endpoints should never receive a 430 response.  If an endpoint"
        if *status == status::FLOW_FAILED {
            return self.refuse_context(now, id, Reject::FlowFailed, out);
        }
        if *status == status::SERVICE_UNAVAILABLE {
            //= RFC 3261 16.7
            // "the proxy SHOULD generate a 500 response and forward that upstream"
            return self.answer(now, id, status::SERVER_INTERNAL_ERROR, out);
        }
        let mut index = Index::new();
        let Ok(response) = parse(bytes, &mut index, Framing::Datagram) else { return };
        let mut edit = Editor::new(&response);
        if status::is_challenge(*status) {
            //= RFC 3261 16.7
            // "the proxy MUST collect any WWW-Authenticate and Proxy-Authenticate"
            let mut is_aggregated = false;
            for (other, branch) in context.branches.iter().enumerate() {
                if let BranchState::Done(Outcome::Response { status, bytes }) = &branch.state
                    && status::is_challenge(*status)
                    && other != at
                {
                    collect_challenges(bytes, &mut edit);
                    is_aggregated = true;
                }
            }
            if is_aggregated {
                session_id::of_nobody(&response, &mut edit);
            }
        }
        if context.flow.transport.is_reliable() {
            edit.complete_content_length();
        }
        let (server, status) = (context.server, *status);
        let bytes = edit.finish(&mut out.bytes);
        self.reply(now, (id, server), Outgoing { status, bytes }, out);
    }
}

fn collect_challenges(response: &[u8], edit: &mut Editor<'_>) {
    let mut index = Index::new();
    let Ok(response) = parse(response, &mut index, Framing::Datagram) else { return };
    for name in [Name::WwwAuthenticate, Name::ProxyAuthenticate] {
        for value in response.all(name) {
            edit.append(name.as_str(), value);
        }
    }
}
