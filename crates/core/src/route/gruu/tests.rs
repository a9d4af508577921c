use super::*;
use crate::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use crate::node::Setup;
use crate::snapshot::Snapshot;
use alloc::string::String;
use alloc::sync::Arc;

fn setup() -> Setup {
    let local = "192.0.2.1:5060".parse().expect("an address");
    Setup {
        keys: Arc::new(Keys::new(&[1; 32])),
        listeners: [Listener { transport: Transport::Udp, local, advertised: None }].into(),
        partition: 0,
        partitions: 1,
        seed: 1,
        started: Instant::from_secs(0),
    }
}

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for domain in [&b"example.org"[..], b"example.net"] {
        snapshot.domains.insert(domain.into());
    }
    snapshot
}

fn at(s: u64) -> Instant {
    Instant::from_secs(1_700_000_000 + s)
}

fn aor(name: &str) -> AddressOfRecord {
    AddressOfRecord::from_text(name).expect("a name")
}

fn binding(instance: &str, gruus_since: u64) -> Binding {
    Binding {
        contact: (*b"sip:x@a.invalid").into(),
        params: [].into(),
        instance: instance.as_bytes().into(),
        reg_id: 1,
        path: [].into(),
        gruus_since: at(gruus_since),
        q: 1_000,
        expires: at(3_600),
        lease_until: at(3_600),
        refreshed: at(gruus_since),
        call_id: [].into(),
        cseq: 1,
        transaction: 0,
        flow: Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: "192.0.2.9:5060".parse().expect("an address"),
            certified: CertifiedName::NONE,
        },
        user_agent: [].into(),
    }
}

/// The public and the temporary one of a device that registered at this second.
fn pair(user: &str, instance: &str, made: u64) -> [String; 2] {
    let mut out = Vec::new();
    let binding = binding(instance, 0);
    write_params(&setup().keys, (&aor(user), &binding), at(made), &mut out);
    let text = String::from_utf8(out).expect("text");
    let both = text.strip_prefix(";pub-gruu=\"").and_then(|rest| rest.strip_suffix('"'));
    let (public, temporary) =
        both.and_then(|both| both.split_once("\";temp-gruu=\"")).expect("two of them");
    [public.into(), temporary.into()]
}

fn read(text: &str) -> Option<Option<Gruu>> {
    let (setup, snapshot) = (setup(), snapshot());
    let ours = Ours { setup: &setup, snapshot: &snapshot };
    Gruu::read(ours, &Uri::parse(text.as_bytes()).expect("a URI"))
}

fn names(text: &str, binding: &Binding) -> bool {
    read(text).flatten().is_some_and(|gruu| gruu.names(&setup().keys, binding))
}

#[test]
//= RFC 5627 5.4 type=test
fn both_lead_back_to_user_and_device() {
    for (user, instance) in [
        ("bob@example.org", "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("+12015550123@example.net", "urn:uuid:1"),
        ("what%3Fe%20ver;x@example.org", "a b;c=\"d\""),
        ("a-name-that-is-much-longer-than-a-block-of-sixteen@example.org", "urn:uuid:1"),
    ] {
        for text in pair(user, instance, 5) {
            let gruu = read(&text).flatten().unwrap_or_else(|| panic!("{text} is ours"));
            assert_eq!(gruu.aor, aor(user), "{text}");
            assert!(names(&text, &binding(instance, 5)), "{text}");
            assert!(!names(&text, &binding("urn:uuid:2", 5)), "{text}");
            assert!(!names(&text, &binding("", 5)), "{text}");
        }
    }
    let [public, _] = pair("bob@example.org", "urn:uuid:1", 5);
    assert_eq!(public, "sip:bob@example.org;gr=urn:uuid:1");
    // In another spelling it is the same.
    assert!(names("sip:bob@EXAMPLE.org;gr=URN%3auuid:1", &binding("urn:uuid:1", 5)));
}

#[test]
//= RFC 5627 5.1 type=test
//= RFC 5627 5.3 type=test
fn a_temporary_one_is_good_until_its_device_begins_anew() {
    let [public, temporary] = pair("bob@example.org", "urn:uuid:1", 10);
    for (since, good) in [(9, true), (10, true), (11, false)] {
        assert_eq!(names(&temporary, &binding("urn:uuid:1", since)), good, "since {since}");
        assert!(names(&public, &binding("urn:uuid:1", since)));
    }
}

#[test]
//= RFC 5627 5.1 type=test
fn nobody_can_tell_whose_a_temporary_one_is() {
    let made = |user, device, at| pair(user, device, at)[1].clone();
    let first = made("bob@example.org", "urn:uuid:1", 10);
    let mut all: Vec<String> = (0..200).map(|n| made("bob@example.org", "urn:uuid:1", n)).collect();
    all.push(made("amy@example.org", "urn:uuid:1", 10));
    all.push(made("bob@example.org", "urn:uuid:2", 10));
    assert!(all.iter().all(|one| one.len() == first.len()), "short names look alike");
    // What two of them have in common is what two of different users have in common: chance.
    let common = |a: &str, b: &str| a.bytes().zip(b.bytes()).filter(|(a, b)| a == b).count();
    let fixed = "sip:@example.org;gr".len();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            assert!(common(one, other) < fixed + 16, "{one} {other}");
        }
    }
    assert!(!first.contains("bob"));
}

// D6: what was changed, or is of another domain or installation, leads nowhere.
#[test]
fn d6_a_changed_temporary_gruu_is_refused() {
    let [_, temporary] = pair("bob@example.org", "urn:uuid:1", 10);
    let user = &temporary["sip:".len()..temporary.find('@').expect("a host")];
    for at in 0..user.len() {
        for letter in ['A', 'x', '7', '_'] {
            let mut changed = String::from(user);
            changed.replace_range(at..=at, &alloc::format!("{letter}"));
            if changed != user {
                let text = alloc::format!("sip:{changed}@example.org;gr");
                assert_eq!(read(&text), Some(None), "{text}");
            }
        }
        let text = alloc::format!("sip:{}@example.org;gr", &user[..at]);
        assert!(at == 0 || read(&text) == Some(None), "{text}");
    }
    assert_eq!(read(&alloc::format!("sip:{user}@example.net;gr")), Some(None));
    assert_eq!(read("sip:bob@example.org;gr"), Some(None));
    assert_eq!(read("sip:bob@elsewhere.example;gr=urn:uuid:1"), None);
    assert_eq!(read("sip:bob@example.org"), None);
    let other = Keys::new(&[2; 32]);
    assert!(!read(&temporary).flatten().expect("ours").names(&other, &binding("urn:uuid:1", 5)));
}
