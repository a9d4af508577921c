//! What group commit promises, on stores that block, fail and panic when told.

use super::*;
use crate::Memory;
use ringway_core::account::Account;
use ringway_core::binding::Binding;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use std::sync::mpsc::{self, Receiver, Sender};

/// A store that writes down its batches. Each write first takes a word from the test: what
/// shall happen; without a test that listens any more, it just succeeds.
struct Scripted {
    started: Sender<usize>,
    script: Receiver<Step>,
    batches: Arc<Mutex<Vec<Vec<Write>>>>,
    commits: u64,
}

#[derive(Clone, Copy)]
enum Step {
    Commit,
    Fail,
    Panic,
}

struct Test {
    started: Receiver<usize>,
    script: Sender<Step>,
    batches: Arc<Mutex<Vec<Vec<Write>>>>,
    told: Receiver<(u64, Result<CommitToken, StoreError>)>,
    group: GroupCommit,
}

/// The ticket that makes the callback panic.
const PANICS: u64 = u64::MAX;

fn failure() -> StoreError {
    StoreError::DiskFull { path: "/data".into() }
}

fn start() -> Test {
    let (tell_started, started) = mpsc::channel();
    let (script, steps) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let batches = Arc::new(Mutex::new(Vec::new()));
    let store = Scripted {
        started: tell_started,
        script: steps,
        batches: Arc::clone(&batches),
        commits: 0,
    };
    let done = move |results: Results| {
        for ((_, ticket), result) in results {
            assert_ne!(ticket, PANICS, "as the test wants");
            tell.send((ticket, result)).expect("the test listens");
        }
    };
    let group = GroupCommit::start(Box::new(store), || 0, done);
    Test { started, script, batches, told, group: group.expect("a thread") }
}

impl Test {
    fn step(&self, step: Step) {
        self.script.send(step).expect("the store listens");
    }

    fn let_commit(&self, times: usize) {
        (0..times).for_each(|_| self.step(Step::Commit));
    }

    /// Blocks the store in a first commit, queues these, and lets the first commit end.
    fn queue_behind_a_commit(&self, requests: Vec<(u64, Vec<Write>)>) {
        self.group.submit((0, 0), vec![put("first", "sip:0", 0)]).expect("there is room");
        assert_eq!(self.started.recv(), Ok(1), "an idle store starts at once");
        for (ticket, writes) in requests {
            self.group.submit((0, ticket), writes).expect("there is room");
        }
        self.step(Step::Commit);
        assert_eq!(
            self.told.recv().map(|(ticket, result)| (ticket, result.is_ok())),
            Ok((0, true))
        );
    }

    fn told(&self, count: usize) -> Vec<(u64, Result<u64, StoreError>)> {
        let next = || self.told.recv().expect("the store lives");
        let one = |_| {
            let (ticket, result) = next();
            (ticket, result.map(CommitToken::sequence))
        };
        (0..count).map(one).collect()
    }

    fn last_batch(&self) -> Vec<Write> {
        self.batches.lock().expect("whole").last().cloned().expect("there was one")
    }
}

impl Store for Scripted {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        // The test may be over: then nobody wants to know, and everything succeeds.
        let _ = self.started.send(batch.len());
        self.batches.lock().expect("whole").push(batch.to_vec());
        match self.script.recv().unwrap_or(Step::Commit) {
            Step::Commit => {
                self.commits += 1;
                Ok(CommitToken::committed(self.commits))
            }
            Step::Fail => Err(failure()),
            Step::Panic => panic!("as the test wants"),
        }
    }

    fn accounts(&mut self, _: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        Ok(())
    }

    fn bindings(
        &mut self,
        _: u64,
        _: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        Ok([1; 32])
    }

    fn sweep(&mut self, _: u64) -> Result<usize, StoreError> {
        Ok(0)
    }

    fn check(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn name(user: &str) -> AddressOfRecord {
    AddressOfRecord::new(user.as_bytes(), b"x").expect("a name")
}

fn put(user: &str, contact: &str, cseq: u64) -> Write {
    let flow = Flow {
        socket: SocketId(0),
        transport: Transport::Udp,
        connection: ConnectionId::NONE,
        remote: "192.0.2.1:5060".parse().expect("an address"),
        certified: CertifiedName::NONE,
    };
    let binding = Binding {
        contact: contact.as_bytes().into(),
        params: [].into(),
        instance: [].into(),
        reg_id: 0,
        path: [].into(),
        gruus_since: crate::moment(1),
        q: 1_000,
        expires: crate::moment(9),
        lease_until: crate::moment(9),
        refreshed: crate::moment(1),
        call_id: [].into(),
        cseq: cseq as u32,
        transaction: 0,
        flow,
        user_agent: [].into(),
    };
    Write::PutBinding(name(user), binding)
}

fn account(user: &str) -> Write {
    Write::PutAccount(Account {
        aor: name(user),
        ha1: Default::default(),
        display_name: String::new(),
        enabled: true,
    })
}

fn drop_contact(user: &str, contact: &str) -> Write {
    Write::DropBinding(name(user), contact.as_bytes().into())
}

#[test]
fn what_waits_is_committed_together_and_told_in_order() {
    let test = start();
    let requests = (1..=100).map(|n| (n, vec![put(&format!("u{n}"), "sip:x", n)])).collect();
    test.queue_behind_a_commit(requests);
    assert_eq!(test.started.recv(), Ok(100));
    test.step(Step::Commit);
    assert_eq!(test.told(100), (1..=100).map(|n| (n, Ok(2))).collect::<Vec<_>>());
    let counts = test.group.counts();
    assert_eq!((counts.commits, counts.writes, counts.waiting), (2, 101, 0));
}

#[test]
fn a_failed_batch_is_tried_one_by_one() {
    let test = start();
    let requests = vec![
        (1, vec![put("a", "sip:x", 1)]),
        (2, vec![put("b", "sip:x", 1), put("b", "sip:y", 1)]),
        (3, vec![put("a", "sip:x", 2)]),
    ];
    test.queue_behind_a_commit(requests);
    // The batch without the first write, which the third supersedes; then each alone.
    for step in [Step::Fail, Step::Commit, Step::Fail, Step::Commit] {
        test.step(step);
    }
    assert_eq!(test.told(3), [(1, Ok(2)), (2, Err(failure())), (3, Ok(3))]);
    let batches = test.batches.lock().expect("whole").clone();
    let alone = [
        vec![put("a", "sip:x", 1)],
        vec![put("b", "sip:x", 1), put("b", "sip:y", 1)],
        vec![put("a", "sip:x", 2)],
    ];
    assert_eq!(batches[1].len(), 3);
    assert_eq!(batches[2..], alone);
    let counts = test.group.counts();
    assert_eq!((counts.commits, counts.failed, counts.superseded), (3, 1, 0));
}

#[test]
fn only_the_last_change_of_a_fact_is_written() {
    let test = start();
    let requests = vec![
        (1, vec![put("a", "sip:x", 1), put("a", "sip:y", 1)]),
        (2, vec![put("a", "sip:x", 2), account("b")]),
        (3, vec![drop_contact("a", "sip:y"), put("b", "sip:x", 1)]),
        (4, vec![Write::DropAccount(name("b")), account("b"), put("a", "sip:x", 3)]),
        (5, vec![put("b", "sip:z", 1)]),
    ];
    test.queue_behind_a_commit(requests);
    test.step(Step::Commit);
    assert_eq!(test.told(5).last(), Some(&(5, Ok(2))));
    let expected = [
        drop_contact("a", "sip:y"),
        put("b", "sip:x", 1),
        Write::DropAccount(name("b")),
        account("b"),
        put("a", "sip:x", 3),
        put("b", "sip:z", 1),
    ];
    assert_eq!(test.last_batch(), expected);
    assert_eq!(test.group.counts().superseded, 4);
}

#[test]
fn leaving_out_superseded_changes_changes_nothing() {
    let mut seed = 1u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for _ in 0..500 {
        let length = random(30);
        let all: Vec<_> = (0..length)
            .map(|n| {
                let user = ["a", "b", "c"][random(3) as usize];
                let contact = ["sip:x", "sip:y"][random(2) as usize];
                match random(8) {
                    0 => Write::DropAccount(name(user)),
                    1 | 2 => account(user),
                    3 | 4 => drop_contact(user, contact),
                    _ => put(user, contact, n),
                }
            })
            .collect();
        let batch = Batch::new(all.clone());
        let facts = |writes: &[Write]| {
            let mut store = Memory::new();
            store.write(writes).expect("memory keeps it");
            let (mut accounts, mut bindings) = (Vec::new(), Vec::new());
            store.accounts(&mut |account| accounts.push(account)).expect("readable");
            let each = &mut |aor, binding| bindings.push((aor, binding));
            store.bindings(0, each).expect("readable");
            (accounts, bindings)
        };
        assert_eq!(facts(&batch.writes), facts(&all), "{all:?}");
        assert_eq!(batch.into_all(), all);
    }
}

#[test]
fn too_many_waiting_are_refused_at_once() {
    let test = start();
    let large = |n: usize| vec![drop_contact("a", "sip:x"); n];
    test.group.submit((0, 0), vec![account("first")]).expect("there is room");
    assert_eq!(test.started.recv(), Ok(1));
    test.group.submit((0, 1), large(QUEUED_WRITES + 1)).expect("an empty queue takes it");
    assert_eq!(test.group.submit((0, 2), large(1)), Err(Refused::Full));
    assert_eq!(test.group.counts().refused, 1);
    test.step(Step::Commit);
    assert_eq!(test.started.recv(), Ok(1), "one change of many is left");
    test.group.submit((0, 3), large(QUEUED_WRITES)).expect("there is room again");
    assert_eq!(test.group.submit((0, 4), large(1)), Err(Refused::Full));
    test.let_commit(2);
    let tickets: Vec<_> = test.told(3).into_iter().map(|(ticket, _)| ticket).collect();
    assert_eq!(tickets, [0, 1, 3]);
}

#[test]
fn no_commit_grows_without_limit() {
    let test = start();
    let requests = (1..=5_000).map(|n| (n, vec![put(&format!("u{n}"), "sip:x", n)])).collect();
    test.queue_behind_a_commit(requests);
    let commits = 5_000usize.div_ceil(WRITES_PER_COMMIT);
    test.let_commit(commits);
    let mut sizes: Vec<_> = test.started.iter().take(commits).collect();
    assert_eq!(sizes.pop(), Some(5_000 - (commits - 1) * WRITES_PER_COMMIT));
    assert_eq!(sizes, vec![WRITES_PER_COMMIT; commits - 1]);
    assert_eq!(test.told(5_000).len(), 5_000);
}

#[test]
fn closing_commits_all_that_waits_and_takes_no_more() {
    let test = start();
    test.group.submit((0, 0), vec![account("first")]).expect("there is room");
    assert_eq!(test.started.recv(), Ok(1));
    for n in 1..=3_000 {
        test.group.submit((0, n), vec![put(&format!("u{n}"), "sip:x", n)]).expect("there is room");
    }
    test.let_commit(1 + 3_000usize.div_ceil(WRITES_PER_COMMIT));
    assert!(test.group.close().is_some(), "the store is handed back");
    assert_eq!(test.told.try_iter().count(), 3_001);
    assert_eq!(test.group.submit((0, 9), vec![account("late")]), Err(Refused::Closed));
    assert!(test.group.close().is_none());
}

#[test]
fn a_panic_while_answering_loses_the_rest_of_that_batch_only() {
    let test = start();
    let requests = [1, PANICS, 3].map(|n| (n, vec![put("u", "sip:x", n)])).to_vec();
    test.queue_behind_a_commit(requests);
    test.step(Step::Commit);
    assert_eq!(test.told(1), [(1, Ok(2))]);
    test.group.submit((0, 4), vec![account("a")]).expect("there is room");
    test.step(Step::Commit);
    assert_eq!(test.told(1), [(4, Ok(3))]);
    assert_eq!(test.group.counts().panics, 1);
}

#[test]
fn a_panic_in_the_store_is_a_failure_like_others() {
    let test = start();
    test.step(Step::Panic);
    test.group.submit((0, 1), vec![account("a")]).expect("there is room");
    let told = test.told(1);
    assert!(matches!(told[0], (1, Err(StoreError::Broken { .. }))), "{told:?}");
    test.step(Step::Commit);
    test.group.submit((0, 2), vec![account("a")]).expect("there is room");
    assert_eq!(test.told(1), [(2, Ok(1))]);
}

/// As the server has it: what is told owns what owns the group.
#[test]
fn the_last_owner_may_be_the_thread_itself() {
    let (tell, told) = mpsc::channel();
    let (own, owned) = mpsc::channel::<GroupCommit>();
    let done = move |results: Results| {
        let group = owned.recv().expect("the test sends it");
        assert!(group.close().is_none(), "it does not wait for itself");
        drop(group);
        tell.send(results.len()).expect("the test listens");
    };
    let group = GroupCommit::start(Box::new(Memory::new()), || 0, done).expect("a thread");
    group.submit((0, 7), vec![account("a")]).expect("there is room");
    own.send(group).expect("the thread listens");
    assert_eq!(told.recv(), Ok(1));
    assert!(told.recv().is_err(), "the thread has ended");
}

#[test]
fn a_full_disk_fails_all_until_there_is_room() {
    let (tell, told) = mpsc::channel();
    let done = move |results: Results| tell.send(results).expect("the test listens");
    let disk = Memory::new();
    let group = GroupCommit::start(Box::new(disk.clone()), || 0, done).expect("a thread");
    for is_full in [true, false] {
        disk.set_failing(is_full);
        group.submit((3, 4), vec![account("a")]).expect("there is room");
        let results = told.recv().expect("the store lives");
        assert_eq!(results.len(), 1);
        assert_eq!((results[0].0, results[0].1.is_err()), ((3, 4), is_full));
    }
    assert_eq!((group.counts().failed, group.counts().commits), (1, disk.commits()));
}
