use super::*;
use crate::control::views::Secrets;
use ringway_core::account::Ha1;

fn new(account: &str) -> NewAccount {
    let secrets = Secrets::from(&Ha1::from_password(b"u", b"d", b"secret"));
    NewAccount { account: account.into(), name: String::new(), secrets }
}

fn add_to(snapshot: &mut Snapshot, configured: &[String], accounts: &[&str]) -> Reply {
    let accounts = accounts.iter().map(|account| new(account)).collect();
    let decided = decide(&snapshot.accounts, &Change::Add { accounts });
    let decided = decided.expect("possible");
    apply(snapshot, &decided.writes, configured);
    decided.reply.expect("a reply")
}

fn domains(snapshot: &Snapshot) -> Vec<String> {
    let text = |domain: &[u8]| String::from_utf8_lossy(domain).into_owned();
    let mut all: Vec<String> = snapshot.domains.iter().map(|domain| text(domain)).collect();
    all.push(snapshot.default_domain.as_deref().map_or("-".into(), text));
    all
}

#[test]
fn addresses_have_one_form() {
    for (text, shown) in [
        ("alice@Example.ORG", "alice@example.org"),
        ("sip:alice@example.org.", "alice@example.org"),
        ("%61lice@192.0.2.1", "alice@192.0.2.1"),
        ("bob@[2001:DB8:0::1]", "bob@2001:db8::1"),
        ("bob@2001:db8::1", "bob@2001:db8::1"),
        ("Nguyễn@example.org", "Nguy%E1%BB%85n@example.org"),
    ] {
        assert_eq!(address(text).map(|aor| aor.to_string()), Ok(shown.into()), "{text}");
    }
    for text in ["", "alice", "@example.org", "alice@", "a@[::1", "a@::g", "a@b c", "a@.", "a%@x"] {
        let failure = address(text).expect_err(text);
        assert_eq!(failure.kind, Kind::Invalid);
        assert!(failure.message.contains(&format!("\"{text}\"")), "{failure}");
    }
    let failure = address("a\u{1b}[31m\n").expect_err("control characters");
    assert!(!failure.message.chars().any(char::is_control), "{failure:?}");
}

#[test]
fn what_exists_is_told_and_not_touched() {
    let mut snapshot = Snapshot::default();
    let reply = add_to(&mut snapshot, &[], &["a@x", "b@x", "a@X"]);
    assert!(matches!(&reply, Reply::Added { added: 2, exist } if exist == &["a@x"]), "{reply:?}");
    let reply = add_to(&mut snapshot, &[], &["b@x", "c@x"]);
    assert!(matches!(&reply, Reply::Added { added: 1, exist } if exist == &["b@x"]), "{reply:?}");
    assert_eq!(snapshot.accounts.len(), 3);
}

#[test]
fn a_name_that_was_used_before_starts_without_bindings() {
    let request = Change::Add { accounts: vec![new("a@x")] };
    let decided = decide(&Accounts::default(), &request).expect("possible");
    assert!(matches!(&decided.writes[..], [Write::DropAccount(_), Write::PutAccount(_)]));
}

#[test]
fn one_impossible_account_fails_its_request_whole() {
    let forged = NewAccount { name: "Alice\nevent=auth_failed".into(), ..new("b@x") };
    let long = NewAccount { name: "x".repeat(limits::NAME_BYTES + 1), ..new("b@x") };
    for bad in [new("b"), forged, long] {
        let request = Change::Add { accounts: vec![new("a@x"), bad] };
        let failure = decide(&Accounts::default(), &request).expect_err("bad");
        assert_eq!(failure.kind, Kind::Invalid);
    }
    let accounts = vec![new("a@x"); limits::ACCOUNTS_PER_REQUEST + 1];
    let many = decide(&Accounts::default(), &Change::Add { accounts });
    assert!(many.is_err());
}

#[test]
fn who_is_not_there_cannot_be_changed() {
    let secrets = new("a@x").secrets;
    for request in [
        Change::Remove { account: "a@x".into() },
        Change::SetPassword { account: "a@x".into(), secrets },
    ] {
        let failure = decide(&Accounts::default(), &request).expect_err("none");
        assert_eq!((failure.kind, &*failure.message), (Kind::NotFound, "there is no account a@x"));
    }
}

#[test]
fn a_new_password_leaves_the_rest() {
    let mut snapshot = Snapshot::default();
    add_to(&mut snapshot, &[], &["a@x"]);
    let secrets = Secrets::from(&Ha1::from_password(b"a", b"x", b"other"));
    let request = Change::SetPassword { account: "A@x".replace('A', "a"), secrets };
    let decided = decide(&snapshot.accounts, &request).expect("possible");
    apply(&mut snapshot, &decided.writes, &[]);
    let account = find(&snapshot.accounts, "a@x").expect("it is there");
    assert_eq!(account.ha1, Ha1::from_password(b"a", b"x", b"other"));
    assert!(account.enabled);
}

#[test]
fn domains_follow_the_accounts() {
    let mut snapshot = Snapshot::default();
    set_domains(&mut snapshot, &[]);
    assert_eq!(domains(&snapshot), ["-"]);
    add_to(&mut snapshot, &[], &["a@x", "b@x"]);
    assert_eq!(domains(&snapshot), ["x", "x"], "the only one stands for our addresses");
    add_to(&mut snapshot, &[], &["a@y"]);
    assert_eq!(domains(&snapshot), ["x", "y", "-"], "neither of two does");
    apply(&mut snapshot, &[Write::DropAccount(address("b@x").expect("a name"))], &[]);
    assert_eq!(domains(&snapshot), ["x", "y", "-"]);
    apply(&mut snapshot, &[Write::DropAccount(address("a@x").expect("a name"))], &[]);
    assert_eq!(domains(&snapshot), ["y", "y"], "nobody is left in x");

    let configured = ["Example.org".to_owned(), "x".into()];
    set_domains(&mut snapshot, &configured);
    assert_eq!(domains(&snapshot), ["example.org", "x", "y", "example.org"]);
    apply(&mut snapshot, &[Write::DropAccount(address("a@y").expect("a name"))], &configured);
    assert_eq!(domains(&snapshot), ["example.org", "x", "example.org"]);
}
