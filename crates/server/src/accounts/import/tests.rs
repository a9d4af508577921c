use super::*;
use crate::control::Each;
use crate::control::Kind;

fn read(text: &[u8]) -> Import {
    Import::read(text, false, &mut |_| {}).expect("memory can be read")
}

fn names(import: &Import) -> Vec<(u64, String)> {
    import.accounts.iter().map(|entry| (entry.line, entry.aor.to_string())).collect()
}

fn refusals(import: &Import) -> Vec<(u64, Option<&str>, String)> {
    let all = import.refusals.iter();
    all.map(|r| (r.line, r.account.as_deref(), r.reason.to_string())).collect()
}

fn ha1(user: &str, password: &str) -> Ha1 {
    Ha1::from_password(user.as_bytes(), b"example.org", password.as_bytes())
}

#[test]
fn all_forms_of_a_line() {
    let md5 = "543E1AEC5D3614F03141652D6ADA51B2";
    let sha256 = "e".repeat(64);
    let text = format!(
        "\u{feff}# comment\r\n\
         \r\n\
         a@example.org,k7mPq2xW9zRt\r\n\
         \x20 b@example.org , k7mP,q2xW,9zRt \n\
         \"c@example.org\",\"say \"\"k7mPq2xW9z\"\", ok \"\n\
         d@example.org,HA1={md5}\n\
         e@example.org,ha1={sha256}\n\
         f@example.org,HA1-SHA-512-256={sha256}, HA1-MD5={md5}\n\
         \t# not an account\n\
         g@Example.org,\"HA1={md5}\"\n\
         h@example.org,HA1-is-no-hash-9x\n\
         sip:%69@example.org,k7mPq2xW9z=t"
    );
    let import = read(text.as_bytes());
    assert_eq!(refusals(&import), []);
    let lines: Vec<u64> = import.accounts.iter().map(|entry| entry.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 10, 11, 12]);
    assert_eq!((import.lines, import.len()), (9, 9));
    let md5: [u8; 16] = from_hex(md5.as_bytes()).expect("digits");
    let sha256 = from_hex(sha256.as_bytes());
    for (entry, expected) in import.accounts.iter().zip([
        ha1("a", "k7mPq2xW9zRt"),
        ha1("b", "k7mP,q2xW,9zRt"),
        ha1("c", "say \"k7mPq2xW9z\", ok "),
        Ha1 { md5: Some(md5), ..Ha1::default() },
        Ha1 { sha256, ..Ha1::default() },
        Ha1 { md5: Some(md5), sha512_256: sha256, ..Ha1::default() },
        Ha1 { md5: Some(md5), ..Ha1::default() },
        ha1("h", "HA1-is-no-hash-9x"),
        ha1("i", "k7mPq2xW9z=t"),
    ]) {
        assert_eq!(Secrets::from(&entry.ha1), Secrets::from(&expected), "{}", entry.aor);
    }
}

#[test]
fn refused_lines_are_named_with_their_reason_and_without_their_passwords() {
    let long = format!("x@example.org,{}", "s3cr3t-".repeat(1_000));
    let text = [
        &b"no account at all\n"[..],
        b"alice@example.org\n",
        b"alice@example.org,\n",
        b"alice@example.org,short\n",
        b"alice@example.org,alice-example.org\n",
        b"alice@example.org,HA1=123\n",
        b"alice@example.org,HA1-SHA-256=543e1aec5d3614f03141652d6ada51b2\n",
        b"alice@example.org,HA1=g43e1aec5d3614f03141652d6ada51b2\n",
        b"alice@example.org,\"k7mPq2xW9zRt\n",
        b"alice@example.org,\"k7mPq2xW9zRt\" x\n",
        b"alice@example.org,\"k7mPq2xW9zRt\",\"and more\"\n",
        b"\"alice@example.org,k7mPq2xW9zRt\n",
        b"alice@example.org,k7mPq2x\x00W9zRt\n",
        b"alice@example.org,k7mPq2x\xffW9zRt\n",
        b"k7mPq2xW9zRt,alice@example.org\n",
        long.as_bytes(),
        b"\nalice@example.org,k7mPq2xW9zRt\n",
        b"ALICE@example.org,k7mPq2xW9zRt\n",
        b"sip:alice@EXAMPLE.org,k7mPq2xW9zRu\n",
    ]
    .concat();
    let import = read(&text);
    let alice = Some("alice@example.org");
    let expected = [
        (1, None, "it does not begin with user@domain and a comma"),
        (2, None, "it does not begin with user@domain and a comma"),
        (3, alice, "the password is empty"),
        (4, alice, "the password is weak: it has fewer than 12 characters"),
        (5, alice, "the password is weak: it is little more than the name of the account"),
        (6, alice, "no HA1: it has 32"),
        (7, alice, "no HA1: it has 32"),
        (8, alice, "no HA1: it has 32"),
        (9, alice, "its quotes do not match"),
        (10, alice, "its quotes do not match"),
        (11, alice, "its quotes do not match"),
        (12, None, "its quotes do not match"),
        (13, alice, "the password has control characters"),
        (14, None, "it is not UTF-8"),
        (15, None, "it does not begin with user@domain and a comma"),
        (16, None, "the line is longer than 4096 bytes"),
        (19, alice, "the account stands in line 17 already"),
    ];
    let refusals = refusals(&import);
    for (refused, (line, account, reason)) in refusals.iter().zip(expected) {
        assert!(refused.2.starts_with(reason), "{refused:?}");
        assert_eq!((refused.0, refused.1), (line, account), "{refused:?}");
        assert!(!refused.2.contains("k7mPq2x"), "{refused:?}");
    }
    assert_eq!(refusals.len(), expected.len());
    assert_eq!(import.refused, 17);
    // The user part is case-sensitive (RFC 3261 §19.1.4).
    let good = [(17, "alice@example.org".into()), (18, "ALICE@example.org".into())];
    assert_eq!(names(&import), good);
}

#[test]
fn weak_ones_are_taken_where_that_is_asked_for() {
    let import = Import::read(&b"a@x,1234\nb@x,\n"[..], true, &mut |_| {}).expect("read");
    assert_eq!(names(&import), [(1, "a@x".into())]);
    assert_eq!(import.refused, 1, "an empty one is none at all");
}

#[test]
fn a_file_of_another_kind_costs_little() {
    let mut noise = vec![0_u8; 3 << 20];
    for (n, byte) in noise.iter_mut().enumerate() {
        *byte = (n as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
    }
    let mut told = 0;
    let import = Import::read(&noise[..], false, &mut |bytes| told = bytes).expect("read");
    assert_eq!((import.len(), told), (0, 3 << 20));
    assert!(import.refused > import.refusals.len() as u64, "the report is bounded");
    assert_eq!(import.refusals.len(), limits::IMPORT_REFUSALS);
}

/// Has one account; fails at the third request.
struct Fails {
    requests: u32,
}

impl Far for Fails {
    fn ask(&mut self, request: Request, each: Each<'_>) -> Result<(), Failure> {
        let Request::Change(Change::Add { accounts }) = request else { panic!("{request:?}") };
        self.requests += 1;
        if self.requests == 3 {
            return Err(Failure::new(Kind::Failed, "the disk is full"));
        }
        let exist = accounts.iter().filter(|new| new.account == "u7@x");
        let exist: Vec<String> = exist.map(|new| new.account.clone()).collect();
        each(Reply::Added { added: (accounts.len() - exist.len()) as u64, exist })
    }
}

#[test]
fn a_failure_on_the_way_is_told_with_what_was_done() {
    let text: String = (0..1_400).map(|n| format!("u{n}@x,k7mPq2xW9zRt\n")).collect();
    let mut import = read(text.as_bytes());
    let mut done = 0;
    let failure = import.make(&mut Fails { requests: 0 }, &mut |lines| done = lines);
    assert_eq!(failure, Err(Failure::new(Kind::Failed, "the disk is full")));
    assert_eq!((import.added, import.refused, done), (999, 1, 1_000));
    let refused = &import.refusals[0];
    assert_eq!((refused.line, refused.account.as_deref()), (8, Some("u7@x")));
    assert_eq!(refused.reason.to_string(), "the account exists already");
}
