//! RFC 3261 §18.4: a datagram did not arrive, and the far machine or a router on the way says so.

use crate::arena::Id;
use crate::boundary::Outbox;
use crate::flow::Transport;
use crate::node::Node;
use crate::time::Instant;
use crate::transaction::key::ClientBranch;
use core::net::SocketAddr;

impl Node {
    /// Fails the request that a notice names. Anybody can write one, but nobody knows our branches:
    /// one that names none of them, or another address, says nothing. Nor does one of a request
    /// that the far side has answered by now: another copy of it has arrived.
    //= RFC 3261 18.4
    // "unreachable errors, or parameter problem errors SHOULD cause the"
    pub(crate) fn on_unreachable(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        branch: ClientBranch,
        out: &mut Outbox,
    ) {
        let id = Id::from_bits(branch.client);
        let is_it = self.clients.find(id).is_some_and(|client| {
            let flow = client.flow();
            let is_there = flow.transport == Transport::Udp && flow.remote == remote;
            is_there && client.branch == Some(branch) && client.heard_nothing()
        });
        if is_it {
            self.request_undelivered(now, id, out);
        }
    }
}
