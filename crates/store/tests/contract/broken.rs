//! Stores that break one promise each. A contract that does not notice is worth nothing.

use crate::checks::CHECKS;
use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use ringway_store::{Memory, Store, StoreError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    LosesOneWriteInFifty,
    KeepsHalfABatch,
    ForgetsAtRestart,
    RevivesDroppedBindings,
    LeavesBindingsOfDroppedAccounts,
    DropsNeighbours,
    ReversesABatch,
    KeepsTheOldValue,
    ForgetsFlows,
    ForgetsLeases,
    CutsAtZero,
    CutsLargeValues,
    GivesOutWhatHasEnded,
    GivesOutOldConnections,
    NeverSweeps,
    SweepsAtOnce,
    RepeatsCommitNumbers,
    NewSecretEachTime,
}

const FAULTS: [Fault; 18] = [
    Fault::LosesOneWriteInFifty,
    Fault::KeepsHalfABatch,
    Fault::ForgetsAtRestart,
    Fault::RevivesDroppedBindings,
    Fault::LeavesBindingsOfDroppedAccounts,
    Fault::DropsNeighbours,
    Fault::ReversesABatch,
    Fault::KeepsTheOldValue,
    Fault::ForgetsFlows,
    Fault::ForgetsLeases,
    Fault::CutsAtZero,
    Fault::CutsLargeValues,
    Fault::GivesOutWhatHasEnded,
    Fault::GivesOutOldConnections,
    Fault::NeverSweeps,
    Fault::SweepsAtOnce,
    Fault::RepeatsCommitNumbers,
    Fault::NewSecretEachTime,
];

struct Broken {
    inner: Memory,
    fault: Fault,
    writes: Arc<AtomicU64>,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    /// What this store makes of one change.
    fn change(&mut self, write: &Write) -> Option<Write> {
        let count = self.writes.fetch_add(1, Ordering::Relaxed);
        match (self.fault, write) {
            (Fault::LosesOneWriteInFifty, _) if count % 50 == 49 => None,
            (Fault::RevivesDroppedBindings, Write::DropBinding(..)) => None,
            (Fault::LeavesBindingsOfDroppedAccounts, Write::DropAccount(aor)) => {
                Some(Write::PutAccount(Account {
                    aor: aor.clone(),
                    ha1: Default::default(),
                    display_name: String::new(),
                    enabled: false,
                }))
            }
            (Fault::DropsNeighbours, Write::DropAccount(aor)) => {
                let length = aor.user().len();
                self.drop_all(|other| other.user().get(..length) == Some(aor.user()));
                None
            }
            (Fault::KeepsTheOldValue, Write::PutBinding(aor, binding)) => {
                let mut is_there = false;
                let found = self.inner.bindings(0, &mut |other, there| {
                    is_there |= other == *aor && there.contact == binding.contact;
                });
                found.expect("memory can be read");
                (!is_there).then(|| write.clone())
            }
            (Fault::ForgetsFlows, Write::PutBinding(aor, binding)) => {
                let plain = Binding { reg_id: 0, ..binding.clone() };
                Some(Write::PutBinding(aor.clone(), plain))
            }
            (Fault::ForgetsLeases, Write::PutBinding(aor, binding)) => {
                let alone = Binding { lease_until: binding.expires, ..binding.clone() };
                Some(Write::PutBinding(aor.clone(), alone))
            }
            (Fault::CutsAtZero, Write::PutBinding(aor, binding)) => {
                let length = binding.contact.iter().position(|&byte| byte == 0);
                let contact = &binding.contact[..length.unwrap_or(binding.contact.len())];
                let cut = Binding { contact: contact.into(), ..binding.clone() };
                Some(Write::PutBinding(aor.clone(), cut))
            }
            (Fault::CutsLargeValues, Write::PutBinding(aor, binding)) => {
                let params = binding.params.iter().copied().take(65_535).collect();
                Some(Write::PutBinding(aor.clone(), Binding { params, ..binding.clone() }))
            }
            _ => Some(write.clone()),
        }
    }

    fn drop_all(&mut self, goes: impl Fn(&AddressOfRecord) -> bool) {
        let mut gone = Vec::new();
        self.inner
            .bindings(0, &mut |aor, _| gone.push(Write::DropAccount(aor)))
            .expect("memory can be read");
        gone.retain(|write| matches!(write, Write::DropAccount(aor) if goes(aor)));
        self.inner.write(&gone).expect("memory can be written");
    }
}

impl Store for Broken {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        let mut kept: Vec<Write> = batch.iter().filter_map(|write| self.change(write)).collect();
        if self.is(Fault::KeepsHalfABatch) && batch.len() > 1 {
            kept.truncate(batch.len() / 2);
        }
        if self.is(Fault::ReversesABatch) {
            kept.reverse();
        }
        let token = self.inner.write(&kept)?;
        Ok(if self.is(Fault::RepeatsCommitNumbers) { CommitToken::committed(1) } else { token })
    }

    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        self.inner.accounts(each)
    }

    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        let now_s = if self.is(Fault::GivesOutWhatHasEnded) { 0 } else { now_s };
        let old = self.is(Fault::GivesOutOldConnections);
        self.inner.bindings(now_s, &mut |aor, mut binding| {
            if old {
                binding.flow.connection.0 = 77;
            }
            each(aor, binding);
        })
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        match self.fault {
            Fault::NewSecretEachTime => Memory::new().secret(),
            _ => self.inner.secret(),
        }
    }

    fn sweep(&mut self, now_s: u64) -> Result<usize, StoreError> {
        let grace = ringway_store::limits::SWEEP_GRACE_S;
        match self.fault {
            Fault::NeverSweeps => Ok(0),
            Fault::SweepsAtOnce => self.inner.sweep(now_s + grace),
            _ => self.inner.sweep(now_s),
        }
    }

    fn check(&mut self) -> Result<(), StoreError> {
        self.inner.check()
    }
}

/// The checks that notice this fault.
fn noticed_by(fault: Fault) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, check) in CHECKS {
        let (disk, writes) = (Memory::new(), Arc::new(AtomicU64::new(0)));
        let open = || {
            let forgets = fault == Fault::ForgetsAtRestart;
            let inner = if forgets { Memory::new() } else { disk.clone() };
            Box::new(Broken { inner, fault, writes: Arc::clone(&writes) }) as Box<dyn Store>
        };
        if catch_unwind(AssertUnwindSafe(|| check(&open))).is_err() {
            names.push(*name);
        }
    }
    names
}

#[test]
fn every_broken_store_is_caught() {
    for fault in FAULTS {
        let names = noticed_by(fault);
        println!("{fault:?}: {names:?}");
        assert!(!names.is_empty(), "{fault:?} was not noticed");
    }
}
