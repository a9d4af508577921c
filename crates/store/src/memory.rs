//! A store in memory, for tests, the simulator, and those who want nothing kept. It can be told
//! to fail and to be slow.

use crate::limits::{SWEEP_GRACE_S, SWEEP_ROWS};
use crate::{Store, StoreError, moment};
use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The store. Clones share their facts, as processes share a disk: keep one to open "the same
/// data" again after a restart, or to steer the failures of the one that was given away.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    facts: Arc<Mutex<Facts>>,
}

type Contacts = BTreeMap<Box<[u8]>, Binding>;

#[derive(Debug, Default)]
struct Facts {
    accounts: BTreeMap<AddressOfRecord, Account>,
    bindings: BTreeMap<AddressOfRecord, Contacts>,
    secret: Option<[u8; 32]>,
    commits: u64,
    is_failing: bool,
    delay: Duration,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every write fails as on a full disk, or none.
    pub fn set_failing(&self, fails: bool) {
        self.facts().is_failing = fails;
    }

    /// From now on each write takes at least so long, as a slow disk would.
    pub fn set_delay(&self, delay: Duration) {
        self.facts().delay = delay;
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.facts().commits
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        // No code below leaves the facts half changed, whatever panicked elsewhere.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn apply(&mut self, write: &Write) {
        match write {
            Write::PutBinding(aor, binding) => {
                let contacts = self.bindings.entry(aor.clone()).or_default();
                contacts.insert(binding.key().into(), binding.clone());
            }
            Write::DropBinding(aor, key) => {
                if let Some(contacts) = self.bindings.get_mut(aor) {
                    contacts.remove(key);
                }
            }
            Write::PutAccount(account) => {
                self.accounts.insert(account.aor.clone(), account.clone());
            }
            Write::DropAccount(aor) => {
                self.accounts.remove(aor);
                self.bindings.remove(aor);
            }
        }
    }
}

impl Store for Memory {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        let delay = self.facts().delay;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        let mut facts = self.facts();
        if facts.is_failing {
            return Err(StoreError::DiskFull { path: "memory".into() });
        }
        for write in batch {
            facts.apply(write);
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
        let now = moment(now_s);
        for (aor, contacts) in &self.facts().bindings {
            for binding in contacts.values().filter(|binding| binding.lease_until > now) {
                each(aor.clone(), binding.clone().after_restart());
            }
        }
        Ok(())
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        let mut facts = self.facts();
        let secret = match facts.secret {
            Some(secret) => secret,
            None => new_secret()?,
        };
        facts.secret = Some(secret);
        Ok(secret)
    }

    fn sweep(&mut self, now_s: u64) -> Result<usize, StoreError> {
        let limit = moment(now_s.saturating_sub(SWEEP_GRACE_S));
        let mut swept = 0;
        self.facts().bindings.retain(|_, contacts| {
            contacts.retain(|_, binding| {
                let goes = swept < SWEEP_ROWS && binding.lease_until <= limit;
                swept += usize::from(goes);
                !goes
            });
            !contacts.is_empty()
        });
        Ok(swept)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A new secret from the system's source of randomness.
pub(crate) fn new_secret() -> Result<[u8; 32], StoreError> {
    let mut secret = [0; 32];
    match getrandom::fill(&mut secret) {
        Ok(()) => Ok(secret),
        Err(error) => Err(StoreError::Io { path: "/dev/urandom".into(), cause: error.to_string() }),
    }
}
