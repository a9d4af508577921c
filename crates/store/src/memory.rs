//! A store in memory, for tests and for those who want nothing kept. It can be told to fail.

use crate::{Store, StoreError};
use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store; clones share their facts, as two processes would share a disk.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    facts: Arc<Mutex<Facts>>,
}

#[derive(Debug, Default)]
struct Facts {
    accounts: BTreeMap<AddressOfRecord, Account>,
    bindings: BTreeMap<(AddressOfRecord, Box<[u8]>), Binding>,
    secret: Option<[u8; 32]>,
    commits: u64,
    fails: bool,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every write fails, or none.
    pub fn set_failing(&self, fails: bool) {
        self.facts().fails = fails;
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for Memory {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        let mut facts = self.facts();
        if facts.fails {
            return Err(StoreError::Other("told to fail".into()));
        }
        for write in batch {
            match write.clone() {
                Write::PutBinding(aor, binding) => {
                    facts.bindings.insert((aor, binding.contact.clone()), binding);
                }
                Write::DropBinding(aor, contact) => {
                    facts.bindings.remove(&(aor, contact));
                }
                Write::PutAccount(account) => {
                    facts.accounts.insert(account.aor.clone(), account);
                }
                Write::DropAccount(aor) => {
                    facts.accounts.remove(&aor);
                    facts.bindings.retain(|(owner, _), _| *owner != aor);
                }
            }
        }
        facts.commits += 1;
        Ok(CommitToken::committed(facts.commits))
    }

    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        self.facts().accounts.values().cloned().for_each(each);
        Ok(())
    }

    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        let facts = self.facts();
        let alive = facts.bindings.iter().filter(|(_, b)| b.expires.as_secs() > now_s);
        alive.for_each(|((aor, _), binding)| each(aor.clone(), binding.clone()));
        Ok(())
    }

    fn purge(&mut self, now_s: u64) -> Result<(), StoreError> {
        self.facts().bindings.retain(|_, binding| binding.expires.as_secs() > now_s);
        Ok(())
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        let mut facts = self.facts();
        if let Some(secret) = facts.secret {
            return Ok(secret);
        }
        let secret = new_secret()?;
        facts.secret = Some(secret);
        Ok(secret)
    }
}

pub(crate) fn new_secret() -> Result<[u8; 32], StoreError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Other(error.to_string()))?;
    Ok(secret)
}
