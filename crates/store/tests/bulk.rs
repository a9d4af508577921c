//! Enough of it per second, on whatever machine runs this.

mod samples;

use ringway_core::binding::Binding;
use ringway_core::boundary::Write;
use ringway_store::{Counts, GroupCommit, Sqlite, Store};
use samples::{account, binding, listeners, name};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One at a time: they measure.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const USERS: u32 = 30_000;

fn open(folder: &Path) -> Sqlite {
    Sqlite::open(folder, listeners()).expect("it opens")
}

/// What a REGISTER of this user writes. Users come in no order of their names.
fn registration(n: u32, cseq: u32) -> Vec<Write> {
    let user = 1_000_000 + (u64::from(n) * 7_919 % u64::from(USERS));
    let contact = format!("sip:{user}@192.0.2.{}:{}", user % 250, 1_024 + user % 60_000);
    let phone = Binding {
        cseq,
        call_id: format!("{cseq:08x}-{user:016x}@192.0.2.1").into_bytes().into(),
        ..binding(contact, 4_000_000_000)
    };
    vec![Write::PutBinding(name(user.to_string()), phone)]
}

/// Registers everybody once; gives the rate per second.
fn register_all(folder: &Path, cseq: u32) -> (f64, Counts) {
    let done = |results: Vec<(_, Result<_, _>)>| {
        for (_, result) in results {
            result.expect("it is kept");
        }
    };
    let group = GroupCommit::start(Box::new(open(folder)), || 0, done).expect("a thread");
    let requests: Vec<_> = (0..USERS).map(|n| registration(n, cseq)).collect();
    let started = Instant::now();
    for (n, mut writes) in requests.into_iter().enumerate() {
        while group.submit((0, n as u64), std::mem::take(&mut writes)).is_err() {
            std::thread::yield_now();
        }
    }
    group.close().expect("the store");
    (f64::from(USERS) / started.elapsed().as_secs_f64(), group.counts())
}

#[test]
fn ten_thousand_durable_registrations_a_second() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    for (cseq, what) in [(1, "first registrations"), (2, "refreshes"), (3, "refreshes")] {
        let (rate, counts) = register_all(folder.path(), cseq);
        println!("{rate:.0} durable {what} a second, in {} commits", counts.commits);
        assert_eq!((counts.writes, counts.failed, counts.panics), (USERS.into(), 0, 0));
        assert!(rate >= 10_000.0, "only {rate:.0} durable {what} a second");
    }
    let all = samples::bindings(&mut open(folder.path()), 0);
    assert_eq!(all.len(), USERS as usize);
    assert!(all.values().all(|binding| binding.cseq == 3));
}

#[test]
fn a_hundred_thousand_accounts_are_imported_in_seconds() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let all: Vec<_> =
        (0..100_000).map(|n| Write::PutAccount(account(format!("user{n}")))).collect();
    let started = Instant::now();
    for batch in all.chunks(10_000) {
        store.write(batch).expect("it is kept");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("100,000 accounts in {seconds:.2} s");
    assert!(seconds < 10.0, "{seconds:.2} s");
    let mut count = 0;
    store.accounts(&mut |_| count += 1).expect("they can be read");
    assert_eq!(count, 100_000);
}

#[test]
fn bindings_are_read_quickly_at_the_start() {
    const COUNT: u32 = 200_000;
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let all: Vec<_> = (0..COUNT)
        .map(|n| Write::PutBinding(name(format!("user{n}")), binding(format!("sip:{n}"), 1_000)))
        .collect();
    for batch in all.chunks(20_000) {
        store.write(batch).expect("it is kept");
    }
    drop(store);
    let started = Instant::now();
    let mut count = 0;
    open(folder.path()).bindings(0, &mut |_, _| count += 1).expect("they can be read");
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    println!("{rate:.0} bindings read a second, opening included");
    assert_eq!(count, COUNT);
    assert!(rate > 100_000.0, "only {rate:.0} a second");
}

/// How it goes on with a million phones, and what one request alone waits for.
#[test]
#[ignore = "takes a minute; its figures are in docs/decisions"]
fn a_million_bindings() {
    const COUNT: u32 = 1_000_000;
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let put = |n: u32, cseq| {
        let contact = format!("sip:{n:07}@198.51.100.{}:{}", n % 250, 1_024 + n % 60_000);
        let phone = Binding { cseq, ..binding(contact, 4_000_000_000) };
        Write::PutBinding(name(format!("{n:07}")), phone)
    };
    let started = Instant::now();
    for first in (0..COUNT).step_by(20_000) {
        let batch: Vec<_> = (first..first + 20_000).map(|n| put(n, 1)).collect();
        store.write(&batch).expect("it is kept");
    }
    println!("written in order in {:.1} s", started.elapsed().as_secs_f64());
    let mut random = 17u64;
    for size in [1, 10, 100, 512, 1_024] {
        let mut longest = 0.0f64;
        let rounds = (30_000 / size).clamp(30, 2_000);
        let started = Instant::now();
        for _ in 0..rounds {
            let batch: Vec<_> = (0..size)
                .map(|_| {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    put((random >> 33) as u32 % COUNT, 2)
                })
                .collect();
            let before = Instant::now();
            store.write(&batch).expect("it is kept");
            longest = longest.max(before.elapsed().as_secs_f64());
        }
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "{size} a commit, spread over all: {:.0} a second, {:.2} ms a commit, longest {:.0} ms",
            f64::from(rounds * size) / seconds,
            seconds * 1_000.0 / f64::from(rounds),
            longest * 1_000.0
        );
    }
    let started = Instant::now();
    store.sweep(2_000).expect("it sweeps");
    println!("a sweep takes {:.1} ms", started.elapsed().as_secs_f64() * 1_000.0);
    drop(store);
    let size = std::fs::metadata(folder.path().join("ringway.db")).expect("a file").len();
    println!("the file has {} MB", size / 1_000_000);
    let started = Instant::now();
    let mut count = 0;
    open(folder.path()).bindings(0, &mut |_, _| count += 1).expect("they can be read");
    println!("all read in {:.2} s", started.elapsed().as_secs_f64());
    assert_eq!(count, COUNT);
}
