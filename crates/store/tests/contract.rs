//! Both stores keep the contract; stores that break it are caught.

use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use ringway_store::contract::{account, binding, check, listeners};
use ringway_store::{Memory, Sqlite, Store, StoreError};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn folder(name: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(name).tempdir().expect("a folder")
}

#[test]
fn memory_keeps_the_contract() {
    let store = Memory::new();
    check(&mut || Box::new(store.clone()));
}

#[test]
fn sqlite_keeps_the_contract() {
    let folder = folder("contract");
    check(&mut || Box::new(Sqlite::open(folder.path(), listeners()).expect("it opens")));
}

#[test]
fn sqlite_is_for_one_process_and_nobody_elses_eyes() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("private");
    let data = folder.path().join("data");
    let _open = Sqlite::open(&data, listeners()).expect("it opens");
    let second = Sqlite::open(&data, listeners());
    assert!(matches!(second, Err(StoreError::InUse(_))), "{second:?}");
    let mode = |path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(data.clone()), 0o700);
    assert_eq!(mode(data.join("ringway.db")), 0o600);
}

#[test]
fn sqlite_says_what_is_wrong_with_its_file() {
    let folder = folder("wrong");
    std::fs::write(folder.path().join("ringway.db"), [b'x'; 4096]).expect("a file");
    let damaged = Sqlite::open(folder.path(), listeners());
    assert!(matches!(damaged, Err(StoreError::Damaged(_))), "{damaged:?}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let inside = Sqlite::open(&file.join("x"), listeners());
    assert!(matches!(inside, Err(StoreError::NotWritable { .. })), "{inside:?}");
}

#[test]
fn a_batch_is_kept_whole_or_not_at_all() {
    let folder = folder("whole");
    let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens");
    drop(store.write(&[Write::PutAccount(account(b"a"))]));
    let outside = rusqlite::Connection::open(folder.path().join("ringway.db"));
    drop(outside);
    // The table is taken away under the store: the second change of the batch must fail.
    drop(store);
    let raw = rusqlite::Connection::open(folder.path().join("ringway.db")).expect("it opens");
    raw.execute_batch("ALTER TABLE binding RENAME TO gone").expect("renamed");
    drop(raw);
    let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens");
    let (b, put) = (account(b"b"), binding(b"sip:x", 9));
    let failed = store.write(&[Write::PutAccount(b.clone()), Write::PutBinding(b.aor, put)]);
    assert!(failed.is_err());
    let mut names = Vec::new();
    store.accounts(&mut |a| names.push(a.aor.to_string())).expect("readable");
    assert_eq!(names, ["a@example.org"]);
}

/// A store that breaks one promise.
struct Broken {
    inner: Memory,
    how: How,
    writes: u32,
}

#[derive(Clone, Copy, Debug)]
enum How {
    LosesSome,
    HalfABatch,
    KeepsDroppedBindings,
    GivesOutWhatHasEnded,
    NewSecretEachTime,
    ForgetsAccountsOnly,
}

impl Store for Broken {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        self.writes += 1;
        let kept: Vec<Write> = match self.how {
            How::LosesSome if self.writes.is_multiple_of(2) => Vec::new(),
            How::HalfABatch => batch[..batch.len().div_ceil(2)].to_vec(),
            How::KeepsDroppedBindings => {
                let stays = |w: &&Write| !matches!(w, Write::DropBinding(..));
                batch.iter().filter(stays).cloned().collect()
            }
            How::ForgetsAccountsOnly => {
                let put = |w: &Write| match w {
                    Write::DropAccount(aor) => {
                        Write::PutAccount(Account { aor: aor.clone(), ..account(b"x") })
                    }
                    other => other.clone(),
                };
                batch.iter().map(put).collect()
            }
            _ => batch.to_vec(),
        };
        self.inner.write(&kept)
    }

    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        self.inner.accounts(each)
    }

    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        let now_s = if matches!(self.how, How::GivesOutWhatHasEnded) { 0 } else { now_s };
        self.inner.bindings(now_s, each)
    }

    fn purge(&mut self, now_s: u64) -> Result<(), StoreError> {
        self.inner.purge(now_s)
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        match self.how {
            How::NewSecretEachTime => Memory::new().secret(),
            _ => self.inner.secret(),
        }
    }
}

#[test]
fn broken_stores_are_caught() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let caught: Vec<_> = [
        How::LosesSome,
        How::HalfABatch,
        How::KeepsDroppedBindings,
        How::GivesOutWhatHasEnded,
        How::NewSecretEachTime,
        How::ForgetsAccountsOnly,
    ]
    .into_iter()
    .map(|how| {
        let inner = Memory::new();
        let mut reopen =
            || Box::new(Broken { inner: inner.clone(), how, writes: 0 }) as Box<dyn Store>;
        (how, catch_unwind(AssertUnwindSafe(|| check(&mut reopen))).is_err())
    })
    .collect();
    std::panic::set_hook(hook);
    for (how, caught) in caught {
        assert!(caught, "{how:?} was not noticed");
    }
}
