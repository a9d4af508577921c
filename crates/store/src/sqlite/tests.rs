//! What goes wrong around a file, and what an administrator may do with it.

use super::*;
use crate::GroupCommit;
use ringway_core::account::Ha1;
use std::sync::mpsc;
use std::time::Duration;

fn open(folder: &Path) -> Result<Sqlite, StoreError> {
    Sqlite::open(folder, [].into())
}

fn beside(folder: &Path) -> Connection {
    Connection::open(folder.join("ringway.db")).expect("anybody with the right may open it")
}

fn put(user: &str) -> Write {
    Write::PutAccount(Account {
        aor: AddressOfRecord::new(user.as_bytes(), b"example.org").expect("a name"),
        ha1: Ha1 { md5: Some([0xAB; 16]), sha256: None, sha512_256: None },
        display_name: "x".repeat(1_000),
        enabled: true,
    })
}

fn users(store: &mut Sqlite) -> Vec<String> {
    let mut users = Vec::new();
    let each = &mut |account: Account| users.push(account.aor.to_string());
    store.accounts(each).expect("they can be read");
    users
}

#[test]
fn every_commit_reaches_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("it opens");
    let text = |name| {
        let value = store.connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0));
        value.expect("it tells")
    };
    assert_eq!(text("journal_mode"), Value::Text("wal".into()));
    assert_eq!(text("synchronous"), Value::Integer(2), "FULL");
}

#[test]
fn a_second_owner_is_told_who_has_the_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path()).expect("it opens");
    let second = open(folder.path()).expect_err("only one may have it");
    let in_use =
        StoreError::InUse { path: folder.path().to_owned(), process: Some(std::process::id()) };
    assert_eq!(second, in_use);
    drop(first);
    open(folder.path()).expect("it is free again");
}

#[test]
fn only_the_owner_can_read_it() {
    let above = tempfile::tempdir().expect("a folder");
    let folder = above.path().join("a/b");
    let mode = |path: &Path| {
        let metadata = fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    let mut store = open(&folder).expect("it makes the folder");
    store.write(&[put("bob")]).expect("it is kept");
    assert_eq!(mode(&folder), 0o700);
    for file in fs::read_dir(&folder).expect("a folder") {
        let file = file.expect("a file").path();
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    drop(store);
    let file = folder.join("ringway.db");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("ours");
    drop(open(&folder).expect("it opens"));
    assert_eq!(mode(&file), 0o600, "closed again");
}

#[test]
fn an_administrator_can_read_it_while_it_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).expect("it opens");
    store.write(&[put("bob")]).expect("it is kept");
    let sql = "SELECT account, algorithms FROM accounts WHERE account = 'bob@example.org'";
    let read = || {
        let connection = beside(folder.path());
        let both = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>("account")?, row.get::<_, String>("algorithms")?))
        };
        connection.query_row(sql, [], both).expect("bob is there")
    };
    assert_eq!(read(), ("bob@example.org".into(), "MD5".into()));
    let reader = beside(folder.path());
    reader.execute_batch("BEGIN; SELECT * FROM accounts").expect("it reads on");
    store.write(&[put("carol")]).expect("readers do not hinder it");
}

#[test]
fn who_locks_the_file_by_hand_is_named_as_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).expect("it opens");
    store.connection.busy_timeout(Duration::ZERO).expect("the test is impatient");
    let other = beside(folder.path());
    other.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let error = store.write(&[put("bob")]).expect_err("it is locked");
    assert_eq!(error, StoreError::Busy { path: folder.path().join("ringway.db") });
    other.execute_batch("ROLLBACK").expect("it unlocks");
    store.write(&[put("bob")]).expect("it goes on");
    assert_eq!(users(&mut store), ["bob@example.org"]);
}

#[test]
fn a_full_disk_keeps_nothing_by_half_and_recovers() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).expect("it opens");
    store.write(&[put("first")]).expect("it is kept");
    let limit = |store: &Sqlite, pages: i64| {
        let set =
            store.connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                row.get::<_, i64>(0)
            });
        set.expect("it is set")
    };
    let pages = limit(&store, 1);
    limit(&store, pages + 2);
    let many: Vec<_> = (0..100).map(|n| put(&format!("user{n:03}"))).collect();
    let error = store.write(&many).expect_err("it is full");
    assert_eq!(error, StoreError::DiskFull { path: folder.path().join("ringway.db") });
    assert_eq!(users(&mut store), ["first@example.org"]);
    store.write(&[put("second")]).expect("there is room for one");
    limit(&store, 1_000_000);
    store.write(&many).expect("there is room again");
    assert_eq!(users(&mut store).len(), 102);
    store.check().expect("it is whole");
}

#[test]
fn one_request_that_cannot_be_kept_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path()).expect("it opens");
    store
        .connection
        .execute_batch(
            "CREATE TEMP TRIGGER t BEFORE INSERT ON account WHEN new.user = 'bad'
             BEGIN SELECT RAISE(ABORT, 'as the test wants'); END",
        )
        .expect("a trigger");
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let done = move |results: Vec<((u32, u64), Result<_, _>)>| {
        for ((_, number), result) in results {
            tell.send((number, result.is_ok())).expect("the test listens");
        }
        // The first time, the rest is queued meanwhile; later nobody sends any more.
        let _ = wait.recv();
    };
    let group = GroupCommit::start(Box::new(store), || 0, done).expect("a thread");
    group.submit((0, 0), vec![put("zero")]).expect("there is room");
    assert_eq!(told.recv(), Ok((0, true)));
    group.submit((0, 1), vec![put("one")]).expect("there is room");
    group.submit((0, 2), vec![put("two"), put("bad")]).expect("there is room");
    group.submit((0, 3), vec![put("three")]).expect("there is room");
    drop(go);
    group.close().expect("the store");
    assert_eq!(told.iter().collect::<Vec<_>>(), [(1, true), (2, false), (3, true)]);
    drop(group);
    let mut found = users(&mut open(folder.path()).expect("it opens"));
    found.sort();
    assert_eq!(found, ["one@example.org", "three@example.org", "zero@example.org"]);
}

#[test]
fn files_of_others_and_of_newer_versions_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ringway.db");
    let other = beside(folder.path());
    other.execute_batch("CREATE TABLE recipes (name TEXT)").expect("a file of another program");
    drop(other);
    assert_eq!(open(folder.path()).err(), Some(StoreError::Foreign { path: path.clone() }));
    fs::remove_file(&path).expect("ours");
    drop(open(folder.path()).expect("it opens"));
    beside(folder.path()).execute_batch("PRAGMA user_version = 7").expect("a newer one");
    let newer = StoreError::TooNew { path, found: 7, known: MIGRATIONS.len() as i64 };
    assert_eq!(open(folder.path()).err(), Some(newer));
}

#[test]
fn damage_is_told_and_not_repaired_by_guessing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ringway.db");
    fs::write(&path, [b'x'; 8_192]).expect("a file");
    let error = open(folder.path()).expect_err("it is no database");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    fs::remove_file(&path).expect("ours");
    let mut store = open(folder.path()).expect("it opens");
    let many: Vec<_> = (0..1_000).map(|n| put(&format!("user{n:04}"))).collect();
    store.write(&many).expect("it is kept");
    store.check().expect("it is whole");
    drop(store);
    let mut bytes = fs::read(&path).expect("ours");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4_096].fill(0x5A);
    fs::write(&path, bytes).expect("ours");
    let error = open(folder.path()).and_then(|mut store| store.check());
    assert!(matches!(error, Err(StoreError::Damaged { .. })), "{error:?}");
}

#[test]
fn a_row_that_makes_no_sense_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).expect("it opens");
    beside(folder.path())
        .execute_batch(
            "INSERT INTO binding VALUES ('bob','example.org','sip:b','sip:b','',1000,
             9000000000000000,1,'c',1,1,'udp','','not an address','','',0,'',1,
             9000000000000000)",
        )
        .expect("an administrator can do that");
    let error = store.bindings(0, &mut |_, _| {}).expect_err("nobody can be reached there");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("not an address"), "{error}");
    assert!(store.check().is_err());
}

#[test]
fn folders_that_cannot_be_written_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    for path in [folder.path().join("file"), folder.path().join("file/x"), "/proc/x/y".into()] {
        let error = open(&path).expect_err("no folder can be there");
        let StoreError::NotWritable { path: told, .. } = &error else { panic!("{error}") };
        assert!(told.starts_with(&path), "{error}");
        assert!(error.to_string().contains("choose another data folder"), "{error}");
    }
}

#[test]
fn older_files_are_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path()).expect("it opens");
    store.write(&[put("bob")]).expect("it is kept");
    let known = MIGRATIONS.len();
    let with = |step| MIGRATIONS.iter().copied().chain([step]).collect::<Vec<_>>();
    let steps = with("ALTER TABLE account ADD COLUMN note TEXT;");
    let broken = with("ALTER TABLE account ADD COLUMN note TEXT; nonsense;");
    let format = |store: &Sqlite| found_format(&store.connection).expect("it tells");
    migrate(&store.connection, &broken, known).expect_err("nonsense");
    assert_eq!(format(&store), Some(known as i64), "as if it had not been tried");
    migrate(&store.connection, &steps, known).expect("it is brought up to date");
    assert_eq!(format(&store), Some(known as i64 + 1));
    assert_eq!(users(&mut store), ["bob@example.org"]);
}

#[test]
fn a_file_of_the_first_format_keeps_its_bindings_and_accounts() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = beside(folder.path());
    migrate(&old, &MIGRATIONS[..1], 0).expect("the first format");
    old.execute_batch(
        "INSERT INTO account VALUES ('bob','example.org','Bob',1,NULL,NULL,NULL);
         INSERT INTO binding VALUES ('bob','example.org','sip:bob@192.0.2.9',';x=\"1\"',700,
         9000000000000000,8000000000000000,'call',7,-2,'udp','192.0.2.1:5060','192.0.2.9:5060',
         'P')",
    )
    .expect("rows of the first format");
    drop(old);
    let local = "192.0.2.1:5060".parse().expect("an address");
    let listener = ringway_core::flow::Listener {
        transport: ringway_core::flow::Transport::Udp,
        local,
        advertised: None,
    };
    for _ in 0..2 {
        let listeners: Listeners = [listener.clone()].into();
        let mut store = Sqlite::open(folder.path(), listeners).expect("it is brought up to date");
        assert_eq!(users(&mut store), ["bob@example.org"]);
        let mut found = Vec::new();
        store.bindings(0, &mut |_, binding| found.push(binding)).expect("they can be read");
        let [binding] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*binding.key(), *b"sip:bob@192.0.2.9");
        assert_eq!((&*binding.contact, binding.q), (&b"sip:bob@192.0.2.9"[..], 700));
        assert_eq!((&*binding.params, binding.transaction), (&b";x=\"1\""[..], u64::MAX - 1));
        assert_eq!((binding.reg_id, binding.instance.len(), binding.path.len()), (0, 0, 0));
        assert_eq!(binding.lease_until, binding.expires, "nothing was leased then");
        assert_eq!(binding.flow.remote, "192.0.2.9:5060".parse().expect("an address"));
        store.check().expect("it is whole");
    }
    let format: i64 = beside(folder.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("it tells");
    assert_eq!(format, MIGRATIONS.len() as i64);
    let sql = "SELECT contact FROM registrations WHERE account = 'bob@example.org'";
    let contact: String =
        beside(folder.path()).query_row(sql, [], |row| row.get(0)).expect("the view is there");
    assert_eq!(contact, "sip:bob@192.0.2.9");
}
