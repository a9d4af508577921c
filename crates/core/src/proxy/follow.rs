//! RFC 3261 §16.7 step 4: a phone of ours says to ask elsewhere, and we ask there ourselves, if the
//! administrator allows it. Only users of ours are asked, and each once: nobody makes us call
//! anybody else (E12 of the threat list), and users who point at each other end the search (F8).

use crate::address_of_record::AddressOfRecord;
use crate::arena::Id;
use crate::binding::Binding;
use crate::boundary::{Outbox, Question};
use crate::limits;
use crate::node::Node;
use crate::proxy::response_context::{BranchState, Outcome, ResponseContext};
use crate::registrar::thousandths;
use crate::reject::Reject;
use crate::route::ours::Ours;
use crate::route::plan::{Group, Plan, PlannedBranch};
use crate::status;
use crate::time::Instant;
use crate::waiting::Waiting;
use alloc::boxed::Box;
use alloc::vec::Vec;
use ringway_wire::{Message, Uri};

/// Users that a phone named, while they are located one after another.
#[derive(Debug)]
pub(crate) struct Following {
    context: Id<ResponseContext>,
    branch: usize,
    /// The preferred one last.
    rest: Vec<AddressOfRecord>,
    /// What was found so far.
    groups: Vec<Group>,
}

impl Node {
    /// Takes up a redirection of a registered phone. `false`: it is an answer like others.
    //= RFC 3261 16.7
    // "If the proxy chooses to recurse on any contacts in a 3xx"
    pub(crate) fn follow(
        &mut self,
        now: Instant,
        (id, at): (Id<ResponseContext>, usize),
        response: &Message<'_>,
        out: &mut Outbox,
    ) -> bool {
        let followed =
            [status::MOVED_PERMANENTLY, status::MOVED_TEMPORARILY].contains(&response.status());
        if !self.snapshot.settings.follow_redirects || !followed {
            return false;
        }
        let ours = Ours { setup: &self.setup, snapshot: &self.snapshot };
        let Some(context) = self.contexts.find(id).filter(|context| !context.closed) else {
            return false;
        };
        let Some(named) = users_named(ours, response) else { return false };
        let Some(request) = context.request() else { return false };
        let asked = context.route.strict_target.as_deref().unwrap_or(request.request_uri());
        let asked = Uri::parse(asked).ok().and_then(|uri| ours.address_of_record(&uri));
        //= RFC 3261 16.5
        // "if the Request-URI of the original request indicates a resource this"
        let Some(asked) = asked else { return false };
        let known = |aor: &AddressOfRecord| *aor == asked || context.followed.contains(aor);
        let mut rest: Vec<AddressOfRecord> = Vec::new();
        for aor in named {
            if !known(&aor) && !rest.contains(&aor) {
                rest.push(aor);
            }
        }
        if rest.is_empty() {
            self.branch_done(id, at, Outcome::Local(Reject::LoopDetected));
            self.conclude(now, id, out);
            return true;
        }
        if context.followed.len() + rest.len() > limits::FOLLOWED_PER_REQUEST {
            return false;
        }
        let Some(context) = self.contexts.find_mut(id) else { return false };
        context.followed.extend(rest.iter().cloned());
        let Some(branch) = context.branches.get_mut(at) else { return false };
        if let Some(timer) = branch.timer_c.take() {
            self.timers.cancel(timer);
        }
        branch.state = BranchState::Locating;
        rest.reverse();
        self.locate_next(now, Following { context: id, branch: at, rest, groups: Vec::new() }, out);
        true
    }

    fn locate_next(&mut self, now: Instant, mut following: Following, out: &mut Outbox) {
        if let Some(aor) = following.rest.pop() {
            let waiting = Waiting::Following(Box::new(following));
            return self.ask(now, Question::Locate(aor), waiting, out);
        }
        let Following { context: id, branch, groups, .. } = following;
        let Some(context) = self.contexts.find_mut(id).filter(|context| !context.closed) else {
            return;
        };
        let tried = context.branches.len();
        let waiting: usize = context.groups.iter().map(|group| group.branches.len()).sum();
        let mut room = limits::BRANCHES_PER_REQUEST.saturating_sub(tried + waiting);
        let mut found = false;
        for mut group in groups.into_iter().rev() {
            // The user who was called first has none of these contacts.
            group.looks_again = false;
            //= RFC 3261 16.5
            // "As above, any given URI MUST NOT be added to the set more than once."
            let waiting = context.groups.iter().flat_map(|group| &group.branches);
            let known: Vec<&PlannedBranch> = context.tried.iter().chain(waiting).collect();
            group.branches.retain(|new| !known.iter().any(|known| known.is_same_target(new)));
            group.branches.truncate(room);
            room -= group.branches.len();
            if !group.branches.is_empty() {
                context.groups.push_front(group);
                found = true;
            }
        }
        //= RFC 3261 16.7
        // "the proxy recurses on all of the contacts in a 3xx response,"
        let outcome = match found {
            true => Outcome::Followed,
            false => Outcome::Local(Reject::TemporarilyUnavailable),
        };
        self.branch_done(id, branch, outcome);
        self.conclude(now, id, out);
    }

    /// One of the users is located, or could not be.
    pub(crate) fn on_followed(
        &mut self,
        now: Instant,
        mut following: Following,
        bindings: &[Binding],
        out: &mut Outbox,
    ) {
        let Some(context) = self.contexts.find(following.context) else { return };
        let Some(request) = context.request() else { return };
        //= RFC 3261 16.7
        // "context.  However, a proxy SHOULD NOT recurse to a non-SIPS URI"
        let secure = matches!(request.uri(), Ok(Uri::Sip(uri)) if uri.secure);
        following.groups.extend(Plan::for_user(bindings, &self.snapshot, secure).groups);
        self.locate_next(now, following, out);
    }
}

/// The users that a redirection names, the preferred ones first; `None` if it names anybody
/// else.
fn users_named(ours: Ours<'_>, response: &Message<'_>) -> Option<Vec<AddressOfRecord>> {
    let mut named: Vec<(u16, AddressOfRecord)> = Vec::new();
    for contact in response.contacts() {
        let contact = contact.ok()?;
        let uri = contact.uri().ok()?;
        let here = match &uri {
            Uri::Sip(sip) => ours.is_here(sip) && sip.maddr().is_none(),
            Uri::Tel(_) => true,
            Uri::Other { .. } => false,
        };
        let aor = ours.address_of_record(&uri).filter(|_| here)?;
        ours.snapshot.accounts.find(&aor).filter(|account| account.enabled)?;
        let q = contact.params.get(b"q").flatten().and_then(thousandths);
        named.push((q.unwrap_or(1_000), aor));
    }
    named.sort_by_key(|(q, _)| core::cmp::Reverse(*q));
    (!named.is_empty()).then(|| named.into_iter().map(|(_, aor)| aor).collect())
}
