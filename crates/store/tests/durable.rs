//! What was acknowledged is there after `kill -9`, and there is enough of it per second.

use ringway_core::boundary::Write;
use ringway_store::contract::{account, binding, listeners};
use ringway_store::{GroupCommit, Memory, Sqlite, Store};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Instant;

const CHILD: &str = "RINGWAY_STORE_TEST_CHILD";

/// Not a test of its own: the process that is killed. Prints each acknowledged number.
#[test]
fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let store = Sqlite::open(Path::new(&folder), listeners()).expect("it opens");
    let mut out = std::io::stdout();
    let commits = GroupCommit::start(
        Box::new(store),
        || 0,
        move |done| {
            for ((_, number), result) in done {
                result.expect("kept");
                writeln!(out, "ack {number}").expect("the parent reads");
            }
            out.flush().expect("the parent reads");
        },
    )
    .expect("a thread");
    for number in 0u64.. {
        let aor = account(format!("u{}", number % 5_000).as_bytes()).aor;
        let put =
            Write::PutBinding(aor, binding(format!("sip:{number}").as_bytes(), 4_000_000_000));
        while commits.submit((0, number), vec![put.clone()]).is_err() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    for round in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["child_that_is_killed", "--exact", "--nocapture"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut acknowledged = BTreeSet::new();
        let mut note = |line: &str| {
            if let Some(number) = line.rsplit_once("ack ") {
                acknowledged.insert(number.1.parse::<u64>().expect("a number"));
            }
            acknowledged.len()
        };
        while note(&lines.next().expect("it runs").expect("text")) < 2_000 * (round + 1) {}
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        // What was in the pipe was acknowledged too; a line cut short was not.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        rest.iter().take(rest.len().saturating_sub(1)).for_each(|line| {
            note(line);
        });
        let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens again");
        let mut kept = BTreeSet::new();
        store
            .bindings(0, &mut |_, binding| {
                let text = String::from_utf8_lossy(&binding.contact).into_owned();
                kept.insert(text[4..].parse::<u64>().expect("a number"));
            })
            .expect("readable");
        let lost: Vec<_> = acknowledged.difference(&kept).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

/// Ten thousand durable registrations a second, with as many clients waiting as a full queue of
/// a server would have.
#[test]
fn ten_thousand_durable_registrations_a_second() {
    const COUNT: u64 = 60_000;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Sqlite::open(folder.path(), listeners()).expect("it opens");
    let kept = Arc::new(AtomicUsize::new(0));
    let (tell, told) = mpsc::channel();
    let counter = Arc::clone(&kept);
    let mut commits = GroupCommit::start(
        Box::new(store),
        || 0,
        move |done| {
            let count = done.iter().filter(|(_, result)| result.is_ok()).count();
            if counter.fetch_add(count, Ordering::Relaxed) + count == COUNT as usize {
                // The test waits for this.
                let _ = tell.send(());
            }
        },
    )
    .expect("a thread");
    let started = Instant::now();
    for number in 0..COUNT {
        let aor = account(format!("user{number}").as_bytes()).aor;
        let put =
            Write::PutBinding(aor, binding(format!("sip:user{number}@192.0.2.1").as_bytes(), 99));
        while commits.submit((0, number), vec![put.clone()]).is_err() {
            std::thread::yield_now();
        }
    }
    told.recv().expect("all are kept");
    let rate = COUNT as f64 / started.elapsed().as_secs_f64();
    commits.close();
    println!("{rate:.0} durable registrations a second");
    assert!(rate >= 10_000.0, "{rate:.0} durable registrations a second");
}

#[test]
fn one_bad_change_fails_alone_and_close_commits_all() {
    let memory = Memory::new();
    let (tell, told) = mpsc::channel();
    let mut commits = GroupCommit::start(
        Box::new(memory.clone()),
        || 0,
        move |done| {
            for ((_, number), result) in done {
                // The test counts them.
                let _ = tell.send((number, result.is_ok()));
            }
        },
    )
    .expect("a thread");
    for number in 0..100 {
        let put = Write::PutAccount(account(format!("u{number}").as_bytes()));
        commits.submit((0, number), vec![put]).expect("room");
    }
    commits.close();
    let results: Vec<_> = told.iter().collect();
    assert_eq!(results, (0..100).map(|n| (n, true)).collect::<Vec<_>>(), "in order");
    let put = Write::PutAccount(account(b"late"));
    assert!(commits.submit((0, 0), vec![put]).is_err(), "closed");
    let mut count = 0;
    let mut memory = memory;
    memory.accounts(&mut |_| count += 1).expect("readable");
    assert_eq!(count, 100);
}
