//! RFC 3261 §18.4: a datagram did not arrive, and the far machine or a router on the way says so.

use crate::arena::Id;
use crate::boundary::Outbox;
use crate::node::Node;
use crate::time::Instant;
use crate::transaction::key::ClientBranch;
use core::net::SocketAddr;
use ringway_wire::Via;

impl Node {
    /// Fails the request whose beginning is quoted. Anybody can write such a notice, but nobody
    /// knows our branches: one that names none of them, or another address, says nothing.
    //= RFC 3261 18.4
    // "unreachable errors, or parameter problem errors SHOULD cause the"
    pub(crate) fn on_unreachable(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        quoted: &[u8],
        out: &mut Outbox,
    ) {
        let Some(branch) = top_via(quoted).and_then(|via| ClientBranch::parse(via.branch()?))
        else {
            return;
        };
        let id = Id::from_bits(branch.client);
        let is_it = self
            .clients
            .find(id)
            .is_some_and(|client| client.branch == Some(branch) && client.flow().remote == remote);
        if is_it {
            self.request_undelivered(now, id, out);
        }
    }
}

/// The topmost Via of a request of ours, if the quote reaches so far.
fn top_via(quoted: &[u8]) -> Option<Via<'_>> {
    let mut lines = quoted.split(|byte| *byte == b'\n').skip(1);
    let line = lines.find(|line| line.starts_with(b"Via: "))?;
    // A line that the quote cuts off has no end.
    Via::parse(line.strip_prefix(b"Via: ")?.strip_suffix(b"\r")?).ok()
}
