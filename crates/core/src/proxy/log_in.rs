//! A peer that asks who we are (RFC 3261 §22.2, §22.3) hears the credentials that the administrator
//! gave us for it, and the caller hears nothing of it: `docs/decisions/0019-peers-by-digest.md`.
//!
//! They go to nobody else (C10 of the threat list). What may be asked about is a request that a
//! route sent to that peer, or one of a dialog that such a request or the peer began and that leads
//! to an address of the peer. The question must come from there, and the answer goes there.

use crate::arena::Id;
use crate::boundary::{Event, LoginOutcome, Outbox};
use crate::flow::Flow;
use crate::identity::{Asked, Offer, PeerLogin, Side, realm_is};
use crate::keys::Keys;
use crate::limits;
use crate::node::Node;
use crate::proxy::response_context::{Branch, BranchState, Outcome, ResponseContext};
use crate::reject::Reject;
use crate::route::cookie::{Tag, peer_tag};
use crate::route::plan::PlannedBranch;
use crate::snapshot::{Peer, Snapshot};
use crate::time::Instant;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ringway_wire::{Editor, Message, Name};

/// What a branch needs to be sent once more with credentials.
#[derive(Debug)]
pub(crate) struct BranchLogin {
    peer: Box<str>,
    planned: PlannedBranch,
    flow: Flow,
    share: u32,
    /// The Request-URI that it was sent with.
    uri: Box<[u8]>,
    /// The realm of the credentials.
    realm: Box<[u8]>,
    /// The credentials that it goes with, each with the header they stand in.
    credentials: Vec<(Side, Vec<u8>)>,
    /// How often challenges were answered.
    logins: usize,
    /// Their nonces, as hashes.
    nonces: Vec<u64>,
}

impl BranchLogin {
    /// The tag of the peer where the branch goes.
    pub(crate) fn tag(&self, keys: &Keys) -> Tag {
        peer_tag(keys, &self.peer, self.flow.remote.ip())
    }

    /// Puts the credentials into a copy. Others for the same realm would only be in their way.
    pub(crate) fn edit(&self, request: &Message<'_>, edit: &mut Editor<'_>) {
        for (side, value) in &self.credentials {
            let name = side.credentials();
            for (at, other) in request.all(name).enumerate() {
                if realm_is(other, &self.realm) {
                    edit.remove_nth(name, at);
                }
            }
            edit.append(name.as_str(), value);
        }
    }
}

/// How often the last nonce of each peer was answered: who gives the same one to several requests
/// wants to see it counted.
#[derive(Debug, Default)]
pub(crate) struct NonceCounts(BTreeMap<Box<str>, (u64, u32)>);

impl NonceCounts {
    fn next(&mut self, snapshot: &Snapshot, peer: &str, nonce: u64) -> u32 {
        self.0.retain(|name, _| snapshot.peers.iter().any(|peer| *peer.name == **name));
        let (last, count) = self.0.entry(peer.into()).or_insert((nonce, 0));
        if *last != nonce {
            (*last, *count) = (nonce, 0);
        }
        *count = count.saturating_add(1);
        *count
    }
}

impl Node {
    /// A branch was sent: notes what will be needed if its next hop is a peer that may ask who we
    /// are.
    pub(crate) fn note_login(
        &mut self,
        (id, at): (Id<ResponseContext>, usize),
        (planned, flow, share): (&PlannedBranch, Flow, u32),
        sent: &[u8],
    ) {
        let Some(context) = self.contexts.find(id) else { return };
        if context.branches.get(at).is_none_or(|branch| branch.login.is_some()) {
            return;
        }
        let Some((peer, login)) = self.peer_at(context, (planned, &flow)) else { return };
        let uri = sent.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let login = BranchLogin {
            peer: peer.name.as_str().into(),
            planned: planned.clone(),
            flow,
            share,
            uri: uri.into(),
            realm: login.realm.clone(),
            credentials: Vec::new(),
            logins: 0,
            nonces: Vec::new(),
        };
        if let Some(branch) = self.contexts.find_mut(id).and_then(|c| c.branches.get_mut(at)) {
            branch.login = Some(Box::new(login));
        }
    }

    /// The peer that a request is sent to, if we have credentials for it.
    fn peer_at(
        &self,
        context: &ResponseContext,
        (planned, flow): (&PlannedBranch, &Flow),
    ) -> Option<(&Peer, &PeerLogin)> {
        let mut peers =
            self.snapshot.peers.iter().filter_map(|peer| Some((peer, peer.login.as_ref()?)));
        if let Some(name) = &planned.peer {
            return peers.find(|(peer, _)| *peer.name == **name);
        }
        let mut peers = peers.peekable();
        peers.peek()?;
        let keys = &self.setup.keys;
        let ahead = context.route.peer_ahead(keys, &context.request()?)?;
        let ip = flow.remote.ip();
        peers.find(|(peer, _)| peer.is_at(flow) || ahead == peer_tag(keys, &peer.name, ip))
    }

    /// A branch is asked who sends it. `false`: that is for the caller to answer.
    //= RFC 3261 22.2
    // "When a UAC resubmits a request with its credentials after receiving a"
    pub(crate) fn log_in(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        (response, source): (&Message<'_>, &Flow),
        out: &mut Outbox,
    ) -> bool {
        let snapshot = Arc::clone(&self.snapshot);
        let Some(context) = self.contexts.find(id) else { return false };
        let Some(branch) = context.branches.get(at) else { return false };
        let Some(known) = branch.login.as_deref() else { return false };
        let peer = snapshot.peers.iter().find(|peer| *peer.name == *known.peer);
        let Some((peer, login)) = peer.and_then(|peer| Some((peer, peer.login.as_ref()?))) else {
            return false;
        };
        let may_go_on = !context.closed
            && context.branches.len() < limits::BRANCHES_PER_REQUEST
            && self.servers.exists(context.server);
        let name = known.peer.clone();
        let asked = match offers(login, response) {
            Err(LoginOutcome::OtherRealm) if may_go_on => {
                out.event(Event::Login { peer: name, outcome: LoginOutcome::OtherRealm });
                return false;
            }
            Ok(_) if !self.came_from(branch, peer, source) => Err(LoginOutcome::Elsewhere),
            Ok(offers) if !known.may_answer(&self.setup.keys, &offers) => {
                Err(LoginOutcome::Refused)
            }
            other => other,
        };
        let outcome = asked.as_ref().err().copied().unwrap_or(LoginOutcome::Answered);
        if may_go_on {
            out.event(Event::Login { peer: name, outcome });
        }
        match asked {
            Ok(offers) if may_go_on => self.answer_peer(now, (id, at), (login, &offers), out),
            _ => self.branch_done(id, at, Outcome::Local(Reject::PeerLoginFailed)),
        }
        self.conclude(now, id, out);
        true
    }

    /// Whether a response came from where the request of a branch went. All who forwarded the
    /// request know its branch, and the phone at the end, too.
    fn came_from(&self, branch: &Branch, peer: &Peer, source: &Flow) -> bool {
        let client = branch.client.and_then(|client| self.clients.find(client));
        let ip = |flow: &Flow| flow.remote.ip().to_canonical();
        client.is_some_and(|client| {
            let to = client.flow();
            to.transport == source.transport && (ip(&to) == ip(source) || peer.is_at(source))
        })
    }

    /// The request of a branch goes to the same place once more, with credentials. It is the same
    /// request, so its CSeq stays, and nobody but us and the peer knows that there were two.
    fn answer_peer(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        (login, offers): (&PeerLogin, &[(Side, Offer<'_>)]),
        out: &mut Outbox,
    ) {
        self.branch_done(id, at, Outcome::Followed);
        let Some(context) = self.contexts.find_mut(id) else { return };
        let method = context.request().map(|request| request.method().as_bytes().to_vec());
        let next = context.branches.len();
        let Some(branch) = context.branches.get_mut(at) else { return };
        let (untried, known) = (branch.untried.take(), branch.login.take());
        let (Some(mut known), Some(method)) = (known, method) else { return };
        let (keys, seed) = (&self.setup.keys, self.setup.seed.to_be_bytes());
        known.credentials.clear();
        known.logins += 1;
        for (side, offer) in offers {
            let nonce = nonce_hash(keys, offer);
            known.nonces.push(nonce);
            let count = self.nonces.next(&self.snapshot, &known.peer, nonce);
            let place = [id.bits().to_be_bytes(), (next as u64).to_be_bytes()].concat();
            let cnonce = keys.hash128(b"cnonce", &[&seed, &place, offer.nonce()]);
            let cnonce = alloc::format!("{cnonce:032x}");
            let (cnonce, uri) = (cnonce.as_bytes(), &*known.uri);
            let asked = Asked { method: &method, uri, cnonce, nc: count };
            known.credentials.extend(login.answer(offer, asked).map(|value| (*side, value)));
        }
        let (planned, flow, share) = (known.planned.clone(), known.flow, known.share);
        let (state, login) = (BranchState::Locating, Some(known));
        context.branches.push(Branch { client: None, state, timer_c: None, untried, login });
        self.forward(now, (id, next), (&planned, flow, share), out);
    }
}

impl BranchLogin {
    /// Whether these challenges may be answered: the first ones, or such as say that only the nonce
    /// of the answer before was too old. No nonce is answered twice.
    //= RFC 7616 3.3
    // "true if it receives a request for which the nonce is invalid.  If"
    fn may_answer(&self, keys: &Keys, offers: &[(Side, Offer<'_>)]) -> bool {
        let is_new = |offer: &Offer<'_>| !self.nonces.contains(&nonce_hash(keys, offer));
        let again = |(_, offer): &(Side, Offer<'_>)| offer.stale && is_new(offer);
        self.credentials.is_empty()
            || self.logins < limits::LOGINS_PER_REQUEST && offers.iter().all(again)
    }
}

/// The challenges for our realm, at most one of each kind; else why none is answered.
fn offers<'m>(
    login: &PeerLogin,
    response: &Message<'m>,
) -> Result<Vec<(Side, Offer<'m>)>, LoginOutcome> {
    let (mut offers, mut for_us) = (Vec::new(), false);
    for (side, name) in
        [(Side::Server, Name::WwwAuthenticate), (Side::Proxy, Name::ProxyAuthenticate)]
    {
        match login.choose(response.all(name)) {
            Ok(offer) => offers.push((side, offer)),
            Err(ours) => for_us |= ours,
        }
    }
    match (offers.is_empty(), for_us) {
        (false, _) => Ok(offers),
        (true, true) => Err(LoginOutcome::NotUnderstood),
        (true, false) => Err(LoginOutcome::OtherRealm),
    }
}

fn nonce_hash(keys: &Keys, offer: &Offer<'_>) -> u64 {
    keys.hash64(b"nonce of a peer", &[offer.nonce()])
}
