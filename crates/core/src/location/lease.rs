//! Refreshes that need no commit of their own (`docs/decisions/0024-lease.md`).
//!
//! What the store has of a binding is good until the end of its lease, one interval after the
//! binding itself: should the process end without a word, the binding comes back until then. So
//! a refresh that ends no later promises nothing that a crash could take back.

use super::Location;
use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::keep_alive::Guard;
use alloc::boxed::Box;

/// The proof that nothing about a user is on its way to the store, or in doubt. Only
/// [`Location::at_rest`] makes it.
#[derive(Debug)]
pub struct AtRest(());

/// The proof that what the store has of a binding is good for as long as its refresh promises.
/// Only [`Location::lease`] makes it.
#[derive(Debug)]
pub struct Lease {
    /// What the guard of its flow must hear, if it does not know that the binding lives so long.
    pub(crate) guard: Option<Guard>,
}

impl Location {
    /// Whether the store is known to have all that is visible of a user.
    pub fn at_rest(&self, aor: &AddressOfRecord) -> Option<AtRest> {
        let doubtful = || {
            let mut later = self.doubts.range((aor.clone(), Box::default())..);
            later.next().is_some_and(|((owner, _), _)| owner == aor)
        };
        let doubtful = !self.doubts.is_empty() && doubtful();
        let under_way = || self.proposed(aor).any(|(_, proposed)| !proposed.writes.is_empty());
        let under_way = !self.proposals.is_empty() && under_way();
        (!doubtful && !under_way).then_some(AtRest(()))
    }

    /// Makes a refresh visible at once, if the lease of the binding reaches as far. The lease stays
    /// what it was: only a commit moves it.
    pub fn lease(&mut self, aor: &AddressOfRecord, new: &Binding, _: AtRest) -> Option<Lease> {
        let known = self.bindings(aor).iter().find(|known| new.refreshes(known));
        let (lease_until, guarded_until) = (known?.lease_until, known?.guarded_until());
        // What a crash may leave behind is bounded, whatever the clock said when it was committed.
        let bound = new.expires.since(new.refreshed).times(2);
        if new.expires > lease_until || lease_until.since(new.expires) > bound {
            return None;
        }
        let new = Binding { lease_until, ..new.clone() };
        let outlives = new.expires > guarded_until;
        let guard = outlives.then(|| Guard::of(&new, false)).flatten();
        self.alter(aor, |bindings| {
            let known = bindings.iter_mut().find(|known| new.refreshes(known));
            if let Some(known) = known {
                *known = new;
            }
        });
        Some(Lease { guard })
    }
}
