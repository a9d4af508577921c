//! A store in memory that can be slow, fail or fall silent, and that a restart does not empty.

use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{Answer, CommitToken, Write};
use ringway_core::time::Duration;
use std::collections::BTreeMap;

/// How a store can be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// It says that it keeps, and does not.
    Lies,
    /// It does not drop bindings.
    Hoards,
    /// It gives nothing back to a server that starts.
    Forgets,
}

/// The bindings that were committed, and how the store behaves.
#[derive(Debug, Default)]
pub struct Disk {
    /// How long a commit takes.
    pub delay: Duration,
    /// Whether commits fail.
    pub failing: bool,
    /// Whether commits never end.
    pub silent: bool,
    /// How it is broken on purpose, to try those who watch.
    pub flaw: Option<Flaw>,
    bindings: BTreeMap<(AddressOfRecord, Box<[u8]>), Binding>,
    commits: u64,
}

impl Disk {
    /// Ends a commit.
    pub fn commit(&mut self, writes: Vec<Write>) -> Answer {
        if self.failing {
            return Answer::Failed;
        }
        if self.flaw != Some(Flaw::Lies) {
            self.keep(writes);
        }
        self.commits += 1;
        Answer::Kept(CommitToken::committed(self.commits))
    }

    /// Keeps this, however the store behaves towards the server.
    pub fn keep(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::PutBinding(aor, binding) => {
                    self.bindings.insert((aor, binding.key().into()), binding);
                }
                Write::DropBinding(..) if self.flaw == Some(Flaw::Hoards) => {}
                Write::DropBinding(aor, key) => {
                    self.bindings.remove(&(aor, key));
                }
                Write::DropAccount(aor) => self.bindings.retain(|(owner, _), _| *owner != aor),
                // Accounts are part of the world's snapshot.
                Write::PutAccount(_) => {}
            }
        }
    }

    /// What a server finds when it starts.
    pub fn bindings(&self) -> impl Iterator<Item = (&AddressOfRecord, &Binding)> {
        self.bindings.iter().map(|((aor, _), binding)| (aor, binding))
    }
}
