//! What was acknowledged is there after `kill -9`, and a log that is cut short anywhere gives a
//! state that once was.

mod samples;

use ringway_core::binding::Binding;
use ringway_core::boundary::Write;
use ringway_store::{GroupCommit, Sqlite, Store};
use samples::{binding, drop_contact, listeners, name};
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = "RINGWAY_TEST_STORE";
const FIRST: &str = "RINGWAY_TEST_FIRST";
const USERS: u32 = 300;
/// More than a child can have queued when it is killed.
const AHEAD: u32 = 200_000;

/// For each user the number of the request that last touched it, if it has a binding.
type State = Vec<Option<u32>>;

/// The changes of request `n`: both contacts of one user, always together.
fn request(n: u32) -> Vec<Write> {
    let user = format!("user{}", n % USERS);
    ["sip:desk@192.0.2.1", "sip:mobile@192.0.2.2"]
        .map(|contact| match takes_away(n) {
            true => drop_contact(&user, contact),
            false => {
                let phone = Binding { cseq: n, ..binding(contact, 4_000_000_000) };
                Write::PutBinding(name(&user), phone)
            }
        })
        .into()
}

fn takes_away(n: u32) -> bool {
    n % 7 == 6
}

fn after(state: &mut State, n: u32) {
    state[(n % USERS) as usize] = (!takes_away(n)).then_some(n);
}

/// What is in the store; fails if a request is there by half.
fn found(store: &mut dyn Store) -> State {
    let mut state = vec![None; USERS as usize];
    let mut contacts = vec![0; USERS as usize];
    for ((aor, _), binding) in samples::bindings(store, 0) {
        let user = String::from_utf8_lossy(&aor.user()[4..]).parse::<usize>().expect("a number");
        assert!(state[user].is_none_or(|n| n == binding.cseq), "half of a request");
        state[user] = Some(binding.cseq);
        contacts[user] += 1;
    }
    assert!(contacts.iter().all(|&count| count == 0 || count == 2), "half of a request");
    state
}

/// Goes on from `state`, in which the requests before `next` took effect, until it is what was
/// `found`; gives the number of the next request.
fn catch_up(state: &mut State, found: &State, next: u32) -> Option<u32> {
    let mut differing = state.iter().zip(found).filter(|(a, b)| a != b).count();
    for n in next..next + AHEAD {
        if differing == 0 {
            return Some(n);
        }
        let user = (n % USERS) as usize;
        let before = state[user] == found[user];
        after(state, n);
        let same = state[user] == found[user];
        differing = differing + usize::from(before) - usize::from(same);
    }
    None
}

#[test]
#[ignore = "it is the process that the next test kills"]
fn child() {
    let folder = std::env::var(FOLDER).expect("the parent sets it");
    let first: u32 = std::env::var(FIRST).expect("the parent sets it").parse().expect("a number");
    let store = Sqlite::open(Path::new(&folder), listeners()).expect("it opens");
    let done = |results: Vec<((u32, u64), Result<_, _>)>| {
        for (_, result) in &results {
            assert!(result.is_ok(), "{result:?}");
        }
        if let Some(((_, last), _)) = results.last() {
            let mut out = std::io::stdout();
            writeln!(out, "ack {last}").expect("the parent reads");
            out.flush().expect("the parent reads");
        }
    };
    let group = GroupCommit::start(Box::new(store), || 0, done).expect("a thread");
    for n in first.. {
        while group.submit((0, n.into()), request(n)).is_err() {
            std::thread::yield_now();
        }
    }
}

/// Runs a child until it has acknowledged `commits` times, kills it, and gives the number of
/// the last request that it acknowledged.
fn kill_after(folder: &Path, first: u32, commits: usize) -> u32 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["child", "--exact", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut last = None;
    let mut count = 0;
    let mut line = String::new();
    // What is left in the pipe after the end was acknowledged too; a line cut short was not.
    while out.read_line(&mut line).expect("text") > 0 {
        if let (Some((_, number)), true) = (line.rsplit_once("ack "), line.ends_with('\n')) {
            last = Some(number.trim().parse().expect("a number"));
            count += 1;
        }
        if count == commits {
            child.kill().expect("SIGKILL");
        }
        line.clear();
    }
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), None, "it was killed and did not end by itself");
    last.expect("it acknowledged something")
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = vec![None; USERS as usize];
    let mut next = 0;
    for round in 0..12 {
        let last = kill_after(folder.path(), next, 1 + round * 13 % 40);
        (next..=last).for_each(|n| after(&mut state, n));
        let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens again");
        store.check().expect("it is whole");
        let found = found(&mut store);
        let caught_up = catch_up(&mut state, &found, last + 1);
        println!("killed after request {last}, found all before {caught_up:?}");
        next = caught_up.expect("the state after the last acknowledged request, or a later one");
    }
}

#[test]
fn a_log_cut_short_gives_a_state_that_once_was() {
    const COMMITS: u32 = 60;
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens");
    for n in 0..COMMITS {
        store.write(&request(n)).expect("it is kept");
    }
    // As it lies on the disk now: the store is still open.
    let database = fs::read(folder.path().join("ringway.db")).expect("a file");
    let log = fs::read(folder.path().join("ringway.db-wal")).expect("a log");
    let reopened = |log: &[u8]| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ringway.db"), &database).expect("a copy");
        fs::write(folder.path().join("ringway.db-wal"), log).expect("a copy");
        let mut store = Sqlite::open(folder.path(), listeners()).expect("it opens");
        let found = found(&mut store);
        catch_up(&mut vec![None; USERS as usize], &found, 0).expect("a state that once was")
    };
    assert_eq!(reopened(&log), COMMITS, "nothing was lost");
    let mut before = 0;
    let mut states = std::collections::BTreeSet::new();
    for part in 0..=100 {
        let count = reopened(&log[..log.len() * part / 100]);
        assert!(count >= before && count <= COMMITS, "{before} then {count}");
        before = count;
        states.insert(count);
        // A block that never reached the disk.
        let mut torn = log.clone();
        let at = (torn.len() - 512) * part / 100;
        torn[at..at + 512].fill(0);
        assert!(reopened(&torn) <= COMMITS);
    }
    assert!(states.len() > 20, "the cuts went through the commits: {states:?}");
}
