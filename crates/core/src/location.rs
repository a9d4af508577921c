//! The location service: who can be reached where, for the addresses-of-record that this
//! partition owns (RFC 3261 §6, §10).
//!
//! What is looked up here is what the store has committed. A registration is first *proposed*:
//! the registrar sees it, so that requests take effect in the order they came; callers do not,
//! until it is *committed*.

mod lease;

pub use lease::{AtRest, Lease};

use crate::address_of_record::AddressOfRecord;
use crate::binding::Binding;
use crate::boundary::Write;
use crate::flow::ConnectionId;
use crate::keys::Keys;
use crate::time::Instant;
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use hashbrown::HashTable;

/// The bindings of one partition.
#[derive(Debug)]
pub struct Location {
    keys: Arc<Keys>,
    users: Vec<User>,
    free: Vec<u32>,
    by_name: HashTable<u32>,
    /// When the first binding of each user ends.
    expiries: BTreeSet<(Instant, u32)>,
    /// Which users have bindings over which connection.
    connections: BTreeSet<(ConnectionId, u32)>,
    contacts: usize,
    proposals: BTreeMap<Proposal, Proposed>,
    /// Which of them bring bindings over which connection.
    proposed_over: BTreeSet<(ConnectionId, Proposal)>,
    last_proposal: u64,
    /// Bindings, by their keys, of which the store may believe something else than is true here,
    /// because it never said that it kept what came last; with the moment, counted like proposals.
    doubts: BTreeMap<(AddressOfRecord, Box<[u8]>), u64>,
}

/// What a registration that is being committed will write.
#[derive(Debug)]
struct Proposed {
    aor: AddressOfRecord,
    /// Of the REGISTER, as in [`Binding::transaction`].
    transaction: u64,
    writes: Vec<Write>,
}

/// A user with at least one binding; its slot is free when there is none.
#[derive(Debug)]
struct User {
    aor: AddressOfRecord,
    bindings: Vec<Binding>,
    /// The first end among them, as it stands in `expiries`.
    ends: Instant,
}

/// Names changes that were not committed yet. Those of one user stand together, oldest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Proposal {
    user: u64,
    number: u64,
}

impl Location {
    /// Nobody can be reached yet. The keys keep strangers from choosing names that collide.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            users: Vec::new(),
            free: Vec::new(),
            by_name: HashTable::new(),
            expiries: BTreeSet::new(),
            connections: BTreeSet::new(),
            contacts: 0,
            proposals: BTreeMap::new(),
            proposed_over: BTreeSet::new(),
            last_proposal: 0,
            doubts: BTreeMap::new(),
        }
    }

    /// The committed bindings that have not ended at `now`, in no order.
    pub fn live(&self, aor: &AddressOfRecord, now: Instant) -> Vec<Binding> {
        let kept = self.bindings(aor).iter().filter(|binding| binding.expires > now);
        kept.cloned().collect()
    }

    /// The bindings as they will be if all that is proposed is committed: what a registrar
    /// compares the next request with.
    pub fn expected(&self, aor: &AddressOfRecord, now: Instant) -> Vec<Binding> {
        let mut bindings = self.live(aor, now);
        for write in self.proposed(aor).flat_map(|(_, proposed)| &proposed.writes) {
            change(&mut bindings, write.clone());
        }
        bindings
    }

    /// What the store is to be told besides, whenever it is told something about this user: the
    /// truth about each binding whose last commit is under way or in doubt.
    pub fn unsettled(&self, aor: &AddressOfRecord, now: Instant) -> Vec<Write> {
        if self.doubts.is_empty() && self.proposals.is_empty() {
            return Vec::new();
        }
        let doubts = self.doubts.range((aor.clone(), Box::default())..);
        let doubts = doubts.take_while(|((owner, _), _)| owner == aor);
        let doubts = doubts.map(|((_, key), _)| Cow::Borrowed(&**key));
        let proposed = self.proposed(aor).flat_map(|(_, proposed)| &proposed.writes);
        let proposed = proposed.filter_map(key_of);
        self.truth(aor, doubts.chain(proposed).collect(), now)
    }

    /// What is true about these bindings of a user, or will be when all is committed that is under
    /// way.
    pub fn truth(
        &self,
        aor: &AddressOfRecord,
        keys: BTreeSet<Cow<'_, [u8]>>,
        now: Instant,
    ) -> Vec<Write> {
        if keys.is_empty() {
            return Vec::new();
        }
        let expected = self.expected(aor, now);
        let truth = |key: Cow<'_, [u8]>| match expected.iter().find(|b| b.key() == key) {
            Some(binding) => Write::PutBinding(aor.clone(), binding.clone()),
            None => Write::DropBinding(aor.clone(), key.into()),
        };
        keys.into_iter().map(truth).collect()
    }

    /// The store is told this without anybody waiting for it. Until it says that it has it, it
    /// is in doubt. The number is for [`Self::settled`].
    pub fn doubt(&mut self, writes: &[Write]) -> u64 {
        self.last_proposal += 1;
        for (aor, key) in writes.iter().filter_map(place_of) {
            self.doubts.insert((aor.clone(), key.into()), self.last_proposal);
        }
        self.last_proposal
    }

    /// The store has these writes, which it was told at the moment with this number.
    pub fn settled(&mut self, writes: &[Write], number: u64) {
        if self.doubts.is_empty() {
            return;
        }
        for (aor, key) in writes.iter().filter_map(place_of) {
            let place = (aor.clone(), key.into());
            if self.doubts.get(&place).is_some_and(|&since| since <= number) {
                self.doubts.remove(&place);
            }
        }
    }

    /// Whether what this very request asked for this user waits for its commit.
    pub fn is_pending(&self, aor: &AddressOfRecord, transaction: u64) -> bool {
        self.proposed(aor).any(|(_, proposed)| proposed.transaction == transaction)
    }

    /// How many registrations are being committed.
    pub fn under_way(&self) -> usize {
        self.proposals.len()
    }

    /// Takes the writes of a registration that is being committed.
    pub fn propose(
        &mut self,
        aor: AddressOfRecord,
        transaction: u64,
        writes: Vec<Write>,
    ) -> Proposal {
        self.last_proposal += 1;
        let proposal = Proposal { user: hash(&self.keys, &aor), number: self.last_proposal };
        let over = connections(&writes).map(|connection| (connection, proposal));
        self.proposed_over.extend(over);
        self.proposals.insert(proposal, Proposed { aor, transaction, writes });
        proposal
    }

    /// The store has it: from now on it is visible. `false`: the user was forgotten meanwhile.
    //= RFC 3261 10.3
    // "The binding updates MUST be committed (that is, made visible to"
    pub fn commit(&mut self, proposal: Proposal) -> bool {
        let Some(Proposed { aor, writes, .. }) = self.take(proposal) else { return false };
        self.settled(&writes, proposal.number);
        // What was proposed before it is part of it; should that never be answered, or late, it
        // does not undo what came after.
        let before = Proposal { user: proposal.user, number: 0 }..proposal;
        for (older, proposed) in self.proposals.range_mut(before) {
            if proposed.aor == aor {
                let writes = mem::take(&mut proposed.writes);
                for connection in connections(&writes) {
                    self.proposed_over.remove(&(connection, *older));
                }
            }
        }
        self.alter(&aor, |bindings| writes.into_iter().for_each(|write| change(bindings, write)));
        true
    }

    /// The store does not say that it has it: it never was. A store that was only slow may have
    /// it all the same, so it is to be told the truth about these bindings.
    pub fn withdraw(&mut self, proposal: Proposal, now: Instant) -> Vec<Write> {
        let Some(Proposed { aor, writes, .. }) = self.take(proposal) else { return Vec::new() };
        self.truth(&aor, writes.iter().filter_map(key_of).collect(), now)
    }

    /// At start: a binding known from the store. Its connection is gone with the process that
    /// had it; whoever has its number now is somebody else.
    pub fn restore(&mut self, aor: &AddressOfRecord, mut binding: Binding) {
        binding.flow.connection = ConnectionId::NONE;
        let write = Write::PutBinding(aor.clone(), binding);
        self.alter(aor, |bindings| change(bindings, write));
    }

    /// Forgets a user, and what was proposed for it; hands back what there was.
    pub fn forget(&mut self, aor: &AddressOfRecord) -> Vec<Binding> {
        let mine = self.proposed(aor).map(|(proposal, _)| *proposal);
        for proposal in mine.collect::<Vec<_>>() {
            self.take(proposal);
        }
        self.doubts.retain(|(owner, _), _| owner != aor);
        let mut forgotten = Vec::new();
        self.alter(aor, |bindings| forgotten = mem::take(bindings));
        forgotten
    }

    /// When the next binding ends.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(ends, _)| *ends)
    }

    /// Takes out all bindings that have ended at `now`, in order of their users' first ends.
    pub fn expire(&mut self, now: Instant, each: impl FnMut(&AddressOfRecord, Binding)) {
        let ended = self.expiries.iter().take_while(|(ends, _)| *ends <= now);
        let slots: Vec<u32> = ended.map(|&(_, slot)| slot).collect();
        self.drop_where(&slots, |binding| binding.expires <= now, each);
    }

    /// Takes out all bindings that were made over a connection that has ended. What is proposed
    /// over it will never be visible; the writes that undo it are handed back.
    pub fn flow_closed(
        &mut self,
        connection: ConnectionId,
        each: impl FnMut(&AddressOfRecord, Binding),
    ) -> Vec<Write> {
        let mut undone = Vec::new();
        if connection == ConnectionId::NONE {
            return undone;
        }
        let users = self.connections.range((connection, 0)..=(connection, u32::MAX));
        let slots: Vec<u32> = users.map(|&(_, slot)| slot).collect();
        self.drop_where(&slots, |binding| binding.flow.connection == connection, each);
        let first = Proposal { user: 0, number: 0 };
        let last = Proposal { user: u64::MAX, number: u64::MAX };
        let over = self.proposed_over.range((connection, first)..=(connection, last));
        for entry in over.copied().collect::<Vec<_>>() {
            self.proposed_over.remove(&entry);
            let proposed = self.proposals.get_mut(&entry.1).into_iter();
            proposed.for_each(|proposed| without(&mut proposed.writes, connection, &mut undone));
        }
        undone
    }

    /// How many users have bindings.
    pub fn users(&self) -> usize {
        self.by_name.len()
    }

    /// How many bindings there are.
    pub fn contacts(&self) -> usize {
        self.contacts
    }

    /// All users and their bindings, in order of their names.
    pub fn sorted(&self) -> Vec<(&AddressOfRecord, &[Binding])> {
        let user = |&slot: &u32| {
            let user = &self.users[slot as usize];
            (&user.aor, &user.bindings[..])
        };
        let mut all: Vec<_> = self.by_name.iter().map(user).collect();
        all.sort_unstable_by_key(|(aor, _)| *aor);
        all
    }

    /// The committed bindings, also those whose time is over until [`Self::expire`] is called.
    fn bindings(&self, aor: &AddressOfRecord) -> &[Binding] {
        self.slot(aor).map_or(&[], |slot| &self.users[slot as usize].bindings)
    }

    fn proposed(&self, aor: &AddressOfRecord) -> impl Iterator<Item = (&Proposal, &Proposed)> {
        let user = hash(&self.keys, aor);
        let all = Proposal { user, number: 0 }..=Proposal { user, number: u64::MAX };
        self.proposals.range(all).filter(move |(_, proposed)| proposed.aor == *aor)
    }

    fn take(&mut self, proposal: Proposal) -> Option<Proposed> {
        let proposed = self.proposals.remove(&proposal)?;
        for connection in connections(&proposed.writes) {
            self.proposed_over.remove(&(connection, proposal));
        }
        Some(proposed)
    }

    fn slot(&self, aor: &AddressOfRecord) -> Option<u32> {
        let same = |slot: &u32| self.users[*slot as usize].aor == *aor;
        self.by_name.find(hash(&self.keys, aor), same).copied()
    }

    /// Changes the bindings of a user and brings all that is ordered by them up to date.
    fn alter(&mut self, aor: &AddressOfRecord, change: impl FnOnce(&mut Vec<Binding>)) {
        match self.slot(aor) {
            Some(slot) => self.alter_slot(slot, change),
            None => {
                let mut bindings = Vec::new();
                change(&mut bindings);
                if !bindings.is_empty() {
                    let slot = self.new_slot(aor);
                    self.alter_slot(slot, |empty| *empty = bindings);
                }
            }
        }
    }

    fn alter_slot(&mut self, slot: u32, change: impl FnOnce(&mut Vec<Binding>)) {
        let user = &mut self.users[slot as usize];
        self.contacts -= user.bindings.len();
        for binding in &user.bindings {
            self.connections.remove(&(binding.flow.connection, slot));
        }
        self.expiries.remove(&(user.ends, slot));
        change(&mut user.bindings);
        self.contacts += user.bindings.len();
        for binding in &user.bindings {
            if binding.flow.connection != ConnectionId::NONE {
                self.connections.insert((binding.flow.connection, slot));
            }
        }
        if let Some(ends) = user.bindings.iter().map(|binding| binding.expires).min() {
            user.ends = ends;
            self.expiries.insert((ends, slot));
        } else {
            let (keys, name) = (&self.keys, &user.aor);
            if let Ok(entry) = self.by_name.find_entry(hash(keys, name), |s| *s == slot) {
                entry.remove();
            }
            user.bindings = Vec::new();
            self.free.push(slot);
        }
    }

    fn new_slot(&mut self, aor: &AddressOfRecord) -> u32 {
        let aor = aor.clone();
        let hashed = hash(&self.keys, &aor);
        let user = User { aor, bindings: Vec::new(), ends: Instant::default() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.users[slot as usize] = user;
                slot
            }
            None => {
                self.users.push(user);
                u32::try_from(self.users.len() - 1).expect("memory ends before")
            }
        };
        let rehash = |slot: &u32| hash(&self.keys, &self.users[*slot as usize].aor);
        self.by_name.insert_unique(hashed, slot, rehash);
        slot
    }

    fn drop_where(
        &mut self,
        slots: &[u32],
        unwanted: impl Fn(&Binding) -> bool,
        mut each: impl FnMut(&AddressOfRecord, Binding),
    ) {
        for &slot in slots {
            let mut dropped = Vec::new();
            self.alter_slot(slot, |bindings| {
                let (out, kept) = mem::take(bindings).into_iter().partition(&unwanted);
                (dropped, *bindings) = (out, kept);
            });
            // The slot may be free now, but nobody has taken it yet.
            let aor = &self.users[slot as usize].aor;
            dropped.into_iter().for_each(|binding| each(aor, binding));
        }
    }
}

/// Applies one write to the bindings of its user. A binding is found by its key; the registrar has
/// compared URIs and says which key goes.
fn change(bindings: &mut Vec<Binding>, write: Write) {
    let place = |bindings: &[Binding], key: &[u8]| {
        bindings.iter().position(|binding| *binding.key() == *key)
    };
    match write {
        Write::PutBinding(_, binding) => match place(bindings, &binding.key()) {
            Some(at) => bindings[at] = binding,
            None => bindings.push(binding),
        },
        Write::DropBinding(_, key) => {
            if let Some(at) = place(bindings, &key) {
                bindings.remove(at);
            }
        }
        Write::PutAccount(_) | Write::DropAccount(_) => {}
    }
}

/// What a write is about.
fn place_of(write: &Write) -> Option<(&AddressOfRecord, Cow<'_, [u8]>)> {
    match write {
        Write::PutBinding(aor, binding) => Some((aor, binding.key())),
        Write::DropBinding(aor, key) => Some((aor, Cow::Borrowed(&**key))),
        Write::PutAccount(_) | Write::DropAccount(_) => None,
    }
}

fn key_of(write: &Write) -> Option<Cow<'_, [u8]>> {
    place_of(write).map(|(_, key)| key)
}

/// The connections over which these writes bring bindings.
fn connections(writes: &[Write]) -> impl Iterator<Item = ConnectionId> {
    writes.iter().filter_map(|write| match write {
        Write::PutBinding(_, binding) => {
            Some(binding.flow.connection).filter(|connection| *connection != ConnectionId::NONE)
        }
        Write::DropBinding(..) | Write::PutAccount(_) | Write::DropAccount(_) => None,
    })
}

/// Turns what a closed connection would have brought into its end.
fn without(writes: &mut [Write], connection: ConnectionId, undone: &mut Vec<Write>) {
    for write in writes {
        let gone = match write {
            Write::PutBinding(aor, binding) if binding.flow.connection == connection => {
                Write::DropBinding(aor.clone(), binding.key().into())
            }
            _ => continue,
        };
        undone.push(gone.clone());
        *write = gone;
    }
}

/// The partition hash has the same remainder for all users of a partition, so it is no good here.
fn hash(keys: &Keys, aor: &AddressOfRecord) -> u64 {
    keys.hash64(b"location", &[aor.as_bytes()])
}

#[cfg(test)]
mod tests;
