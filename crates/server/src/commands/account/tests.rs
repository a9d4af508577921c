use super::*;
use crate::control::client::Place;
use crate::control::stopped::Stopped;
use tempfile::TempDir;

/// The data of a server that does not run.
struct Data {
    folder: TempDir,
}

impl Data {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn place(&self) -> Place {
        Place {
            control: self.folder.path().join("control.sock"),
            data: self.folder.path().into(),
            domains: Vec::new(),
            listen: Vec::new(),
            advertise: None,
            ring_s: 60,
            peers: Vec::new(),
            routing: crate::config::routing::Routing::default(),
        }
    }

    fn open(&self) -> Stopped {
        Stopped::open(&self.place()).expect("nobody has it")
    }
}

/// What a command writes, and what comes of it.
fn run(
    format: Format,
    command: impl FnOnce(&mut Screen<'_>) -> Result<(), Failure>,
) -> (String, Result<(), Failure>) {
    let mut out = Vec::new();
    let result = command(&mut Screen::new(&mut out, format));
    (String::from_utf8(out).expect("text"), result)
}

fn given(password: &str, allow_weak: bool) -> Wanted {
    let password = Password::from_bytes(password.as_bytes()).expect("a password");
    Wanted::Given { password, allow_weak }
}

#[test]
fn a_made_password_is_shown_once_and_is_the_one() {
    let data = Data::new();
    let mut far = data.open();
    let (text, result) = run(Format::Table, |screen| {
        add(&mut far, ("Alice@Example.org", "Alice A."), Wanted::Made, screen)
    });
    assert_eq!(result, Ok(()));
    let password = text.lines().find_map(|line| line.strip_prefix("password: ")).expect("shown");
    assert!(text.starts_with("created Alice@example.org\n"), "{text}");
    let aor = address("Alice@example.org").expect("a name");
    let expected = Password::from_bytes(password.as_bytes()).expect("a password").ha1(&aor);
    drop(far);
    let mut kept = Vec::new();
    use ringway_store::Store;
    let mut store = ringway_store::Sqlite::open(data.folder.path(), [].into()).expect("opened");
    store.accounts(&mut |account| kept.push(account)).expect("read");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].ha1, expected);
    assert_eq!(kept[0].display_name, "Alice A.");
    drop(store);
    for file in std::fs::read_dir(data.folder.path()).expect("a folder") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("read");
        let found = bytes.windows(password.len()).any(|bytes| bytes == password.as_bytes());
        assert!(!found, "the password itself is nowhere");
    }
}

#[test]
fn a_given_password_is_not_shown_and_must_not_be_weak() {
    let data = Data::new();
    let mut far = data.open();
    let (text, result) = run(Format::Json, |screen| {
        add(&mut far, ("alice@x", ""), given("k7mPq2xW9zRt", false), screen)
    });
    assert_eq!((text.as_str(), result), ("{\n  \"account\": \"alice@x\"\n}\n", Ok(())));
    let (_, result) =
        run(Format::Table, |screen| add(&mut far, ("bob@x", ""), given("1234", false), screen));
    let failure = result.expect_err("weak");
    assert!(failure.message.contains("fewer than 12") && !failure.message.contains("1234"));
    let (_, result) =
        run(Format::Table, |screen| add(&mut far, ("bob@x", ""), given("1234", true), screen));
    assert_eq!(result, Ok(()));
    let (_, result) =
        run(Format::Table, |screen| passwd(&mut far, "bob@x", given("12345", false), screen));
    assert!(result.is_err());
    let (text, result) =
        run(Format::Json, |screen| passwd(&mut far, "bob@x", Wanted::Made, screen));
    assert_eq!(result, Ok(()));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["password"].as_str().map(str::len), Some(26));
}

#[test]
fn there_and_not_there() {
    let data = Data::new();
    let mut far = data.open();
    let kind = |result: Result<(), Failure>| result.map_err(|failure| failure.kind);
    let mut add_one = |account: &str| {
        run(Format::Table, |screen| add(&mut far, (account, ""), Wanted::Made, screen)).1
    };
    assert_eq!(add_one("a@x"), Ok(()));
    assert_eq!(kind(add_one("a@x")), Err(Kind::Exists));
    assert_eq!(kind(add_one("a")), Err(Kind::Invalid));
    assert_eq!(kind(add_one("a\n@x")), Ok(()), "any byte may be in a user part");
    for (account, expected) in [("a@x", Ok(())), ("a@x", Err(Kind::NotFound))] {
        assert_eq!(kind(run(Format::Table, |screen| rm(&mut far, account, screen)).1), expected);
    }
    assert_eq!(
        kind(run(Format::Table, |screen| passwd(&mut far, "a@x", Wanted::Made, screen)).1),
        Err(Kind::NotFound)
    );
    assert_eq!(
        kind(run(Format::Table, |screen| show(&mut far, "a@x", screen)).1),
        Err(Kind::NotFound)
    );
    let (text, _) = run(Format::Table, |screen| list(&mut far, screen));
    assert!(text.contains("a%0A@x"), "{text}");
}

#[test]
fn lists_for_people_and_programs() {
    let data = Data::new();
    let mut far = data.open();
    let (text, _) = run(Format::Table, |screen| list(&mut far, screen));
    assert!(text.starts_with("no accounts"), "{text}");
    for (account, name) in [("bob@example.org", "Bob"), ("alice@example.org", "Nguyễn Thị Lan")]
    {
        let (_, result) =
            run(Format::Table, |screen| add(&mut far, (account, name), Wanted::Made, screen));
        assert_eq!(result, Ok(()));
    }
    let (text, _) = run(Format::Table, |screen| list(&mut far, screen));
    assert_eq!(
        text,
        "ACCOUNT            NAME            ALGORITHMS               STATE\n\
         alice@example.org  Nguyễn Thị Lan  MD5 SHA-256 SHA-512-256\n\
         bob@example.org    Bob             MD5 SHA-256 SHA-512-256\n"
    );
    let (text, _) = run(Format::Json, |screen| list(&mut far, screen));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json[1]["account"], "bob@example.org");
    assert_eq!(json[1]["algorithms"][2], "SHA-512-256");
    assert_eq!(json[1]["enabled"], true);
    let (text, _) = run(Format::Json, |screen| show(&mut far, "alice@example.org", screen));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["name"], "Nguyễn Thị Lan");
    assert_eq!(json["registrations"], serde_json::json!([]));
}

fn import_into(data: &Data, format: Format, text: &str) -> (String, Result<(), Failure>) {
    run(format, |screen| {
        import(text.as_bytes(), false, || data.place().reach(), (screen, &mut Progress::none()))
    })
}

#[test]
fn an_import_makes_what_is_good_and_names_the_rest() {
    let data = Data::new();
    let text = "a@x,k7mPq2xW9zRt\nb@x,1234\na@x,k7mPq2xW9zRu\nc@x,k7mPq2xW9zRv\n";
    let (report, result) = import_into(&data, Format::Table, text);
    assert_eq!(
        report,
        "line 2: b@x: the password is weak: it has fewer than 12 characters\n\
         line 3: a@x: the account stands in line 1 already\n\
         2 accounts made\n"
    );
    let failure = result.expect_err("refused lines");
    assert_eq!((failure.kind, &*failure.message), (Kind::Failed, "2 of 4 lines were refused"));
    let (report, result) = import_into(&data, Format::Json, "c@x,k7mPq2xW9zRv\nd@x,k7mPq2xW9zRw");
    assert!(result.is_err());
    let json: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let expected = serde_json::json!({
        "lines": 2, "added": 1, "refused": 1,
        "refusals": [{"line": 1, "account": "c@x", "reason": "the account exists already"}],
    });
    assert_eq!(json, expected);
    assert_eq!(import_into(&data, Format::Table, "# nothing\n").1, Ok(()));
}

#[test]
fn a_command_waits_for_another_that_has_the_data() {
    let data = Data::new();
    let other = data.open();
    std::thread::scope(|scope| {
        let place = data.place();
        let command = scope.spawn(move || place.reach().map(|_| ()));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!command.is_finished(), "it waits");
        drop(other);
        assert_eq!(command.join().expect("no panic"), Ok(()));
    });
}
