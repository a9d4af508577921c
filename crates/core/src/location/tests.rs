use super::*;
use crate::flow::{CertifiedName, Flow, SocketId, Transport};
use alloc::boxed::Box;
use alloc::string::{String, ToString};

fn at(s: u64) -> Instant {
    Instant::from_secs(s)
}

fn aor(name: &str) -> AddressOfRecord {
    AddressOfRecord::from_text(name).expect("valid")
}

fn binding(contact: &str, expires: u64, connection: u64) -> Binding {
    Binding {
        contact: contact.as_bytes().into(),
        params: Box::default(),
        instance: [].into(),
        reg_id: 0,
        path: [].into(),
        gruus_since: Instant::from_secs(1),
        q: 1_000,
        expires: at(expires),
        lease_until: at(expires),
        refreshed: at(0),
        call_id: Box::default(),
        cseq: 1,
        transaction: 0,
        flow: Flow {
            socket: SocketId(0),
            transport: Transport::Tcp,
            connection: ConnectionId(connection),
            remote: "192.0.2.1:5060".parse().expect("an address"),
            certified: CertifiedName::NONE,
        },
        user_agent: Box::default(),
    }
}

fn location() -> Location {
    Location::new(Arc::new(Keys::new(&[7; 32])))
}

fn put(location: &mut Location, name: &str, binding: Binding) {
    let proposal = location.propose(aor(name), 0, [Write::PutBinding(aor(name), binding)].into());
    location.commit(proposal);
}

fn live(location: &Location, name: &str, now: u64) -> Vec<String> {
    let mut contacts: Vec<_> = location.live(&aor(name), at(now)).iter().map(contact).collect();
    contacts.sort();
    contacts
}

fn contact(binding: &Binding) -> String {
    String::from_utf8_lossy(&binding.contact).to_string()
}

/// All that is derived must say the same as the bindings themselves.
fn check(location: &Location) {
    let all = location.sorted();
    assert_eq!(location.users(), all.len());
    assert_eq!(location.contacts(), all.iter().map(|(_, b)| b.len()).sum::<usize>());
    assert_eq!(location.expiries.len(), all.len());
    let first = all.iter().flat_map(|(_, b)| *b).map(|b| b.expires).min();
    assert_eq!(location.next_expiry(), first);
    assert!(all.iter().all(|(_, b)| !b.is_empty()), "users without bindings are gone");
    let mut connections = BTreeSet::new();
    for (user, bindings) in all {
        for binding in bindings.iter().filter(|b| b.flow.connection != ConnectionId::NONE) {
            connections.insert((binding.flow.connection, location.slot(user).expect("there")));
        }
    }
    assert_eq!(location.connections, connections);
    assert!(location.proposed_over.len() <= location.proposals.len());
}

#[test]
//= RFC 3261 10.3 type=test
fn what_is_proposed_is_seen_when_it_is_committed() {
    let mut location = location();
    let alice = aor("alice@x");
    let write = |b| [Write::PutBinding(aor("alice@x"), b)].into();
    let first = location.propose(alice.clone(), 71, write(binding("sip:1@a", 10, 1)));
    let second = location.propose(alice.clone(), 72, write(binding("sip:2@a", 20, 2)));
    let pending = |location: &Location| [71, 72, 73].map(|n| location.is_pending(&alice, n));
    assert_eq!(pending(&location), [true, true, false]);
    assert!(!location.is_pending(&aor("bob@x"), 71), "of another user");
    assert_eq!(live(&location, "alice@x", 0), [""; 0]);
    assert_eq!(location.expected(&alice, at(0)).len(), 2, "the registrar knows");
    location.commit(second);
    assert_eq!(live(&location, "alice@x", 0), ["sip:2@a"]);
    location.withdraw(first, at(0));
    assert_eq!(live(&location, "alice@x", 0), ["sip:2@a"]);
    assert_eq!(location.expected(&alice, at(0)).len(), 1);
    assert_eq!(pending(&location), [false; 3]);
    location.commit(first);
    assert_eq!(live(&location, "alice@x", 0), ["sip:2@a"], "withdrawn for good");
    check(&location);
}

#[test]
fn a_contact_is_replaced_and_dropped_by_its_text() {
    let mut location = location();
    put(&mut location, "alice@x", binding("sip:1@a", 10, 1));
    put(&mut location, "alice@x", binding("sip:2@a", 20, 1));
    put(&mut location, "alice@x", binding("sip:1@a", 30, 2));
    assert_eq!((location.users(), location.contacts()), (1, 2));
    assert_eq!(location.next_expiry(), Some(at(20)));
    check(&location);
    let drop = [Write::DropBinding(aor("alice@x"), (*b"sip:2@a").into())];
    let proposal = location.propose(aor("alice@x"), 0, drop.into());
    location.commit(proposal);
    assert_eq!(live(&location, "alice@x", 0), ["sip:1@a"]);
    assert_eq!(location.next_expiry(), Some(at(30)));
    check(&location);
    assert_eq!(location.forget(&aor("alice@x")).len(), 1);
    assert_eq!(location.forget(&aor("alice@x")).len(), 0);
    check(&location);
}

#[test]
fn bindings_end_on_time() {
    let mut location = location();
    for (name, contact, expires) in [
        ("alice@x", "sip:1@a", 10),
        ("alice@x", "sip:2@a", 20),
        ("bob@x", "sip:3@a", 15),
        ("carol@x", "sip:4@a", 10),
    ] {
        put(&mut location, name, binding(contact, expires, 0));
    }
    assert_eq!(live(&location, "alice@x", 9), ["sip:1@a", "sip:2@a"]);
    assert_eq!(live(&location, "alice@x", 10), ["sip:2@a"], "over, swept or not");
    for (now, ended, next) in [
        (9, &[][..], Some(10)),
        (10, &["alice@x sip:1@a", "carol@x sip:4@a"], Some(15)),
        (10, &[], Some(15)),
        (20, &["bob@x sip:3@a", "alice@x sip:2@a"], None),
    ] {
        let mut seen = Vec::new();
        location.expire(at(now), |aor, binding| {
            seen.push(alloc::format!("{aor} {}", contact(&binding)));
        });
        assert_eq!(seen, ended, "{now}");
        assert_eq!(location.next_expiry(), next.map(at));
        check(&location);
    }
    assert_eq!((location.users(), location.contacts()), (0, 0));
}

#[test]
fn a_closed_connection_takes_its_bindings_along() {
    let mut location = location();
    put(&mut location, "alice@x", binding("sip:1@a", 10, 1));
    put(&mut location, "alice@x", binding("sip:2@a", 10, 2));
    put(&mut location, "bob@x", binding("sip:3@a", 10, 1));
    put(&mut location, "carol@x", binding("sip:4@a", 10, 0));
    let late = [Write::PutBinding(aor("dave@x"), binding("sip:5@a", 10, 1))];
    let late = location.propose(aor("dave@x"), 0, late.into());
    let mut seen = Vec::new();
    location.flow_closed(ConnectionId(1), |aor, _| seen.push(aor.to_string()));
    seen.sort();
    assert_eq!(seen, ["alice@x", "bob@x"]);
    location.commit(late);
    assert_eq!(live(&location, "dave@x", 0), [""; 0], "its connection was gone before");
    assert_eq!(live(&location, "alice@x", 0), ["sip:2@a"]);
    check(&location);
    assert!(location.proposals.is_empty());
    location.flow_closed(ConnectionId::NONE, |_, _| panic!("datagrams have no connection"));
    assert_eq!(live(&location, "carol@x", 0), ["sip:4@a"]);
}

#[test]
fn restored_bindings_have_no_connection() {
    let mut location = location();
    location.restore(&aor("alice@x"), binding("sip:1@a", 10, 1));
    let restored = location.live(&aor("alice@x"), at(0));
    assert_eq!(restored[0].flow.connection, ConnectionId::NONE);
    location.flow_closed(ConnectionId(1), |_, _| panic!("another process's connection"));
    check(&location);
}

#[test]
fn forgetting_a_user_stops_what_is_under_way() {
    let mut location = location();
    let write = [Write::PutBinding(aor("alice@x"), binding("sip:1@a", 10, 1))];
    let proposal = location.propose(aor("alice@x"), 0, write.into());
    location.forget(&aor("alice@x"));
    location.commit(proposal);
    assert_eq!((location.users(), location.contacts()), (0, 0));
    check(&location);
}

#[test]
fn users_are_listed_by_name() {
    let mut location = location();
    for name in ["carol@x", "alice@y", "bob@x", "alice@x"] {
        put(&mut location, name, binding("sip:1@a", 10, 0));
    }
    let names: Vec<_> = location.sorted().iter().map(|(aor, _)| aor.to_string()).collect();
    assert_eq!(names, ["alice@x", "alice@y", "bob@x", "carol@x"]);
}

#[test]
fn a_model_agrees() {
    let mut location = location();
    let mut model: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    let mut seed = 7u64;
    let mut random = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
        (seed >> 33) % n
    };
    for now in 0..3_000 {
        let user = alloc::format!("u{}@x", random(40));
        let contact_text = alloc::format!("sip:{}@a", random(3));
        let key = (user.clone(), contact_text.clone());
        match random(10) {
            0..6 => {
                let (expires, connection) = (now + 1 + random(200), random(5));
                put(&mut location, &user, binding(&contact_text, expires, connection));
                model.insert(key, (expires, connection));
            }
            6..8 => {
                let contact = contact_text.into_bytes().into();
                let write = [Write::DropBinding(aor(&user), contact)];
                let proposal = location.propose(aor(&user), 0, write.into());
                location.commit(proposal);
                model.remove(&key);
            }
            8 => {
                let closed = 1 + random(4);
                location.flow_closed(ConnectionId(closed), |user, binding| {
                    let gone = model.remove(&(user.to_string(), contact(&binding)));
                    assert_eq!(gone.map(|(_, connection)| connection), Some(closed));
                });
                assert!(model.values().all(|&(_, connection)| connection != closed));
            }
            _ => {
                location.expire(at(now), |user, binding| {
                    let gone = model.remove(&(user.to_string(), contact(&binding)));
                    assert!(gone.is_some_and(|(expires, _)| expires <= now));
                });
                assert!(model.values().all(|&(expires, _)| expires > now));
            }
        }
        check(&location);
        assert_eq!(location.contacts(), model.len());
    }
}

/// The keys of these writes, and whether each is put.
fn told(writes: &[Write]) -> Vec<(&str, bool)> {
    let word = |write: &Write| matches!(write, Write::PutBinding(..));
    let text = |write| match key_of(write) {
        Some(Cow::Borrowed(key)) => core::str::from_utf8(key).expect("text"),
        _ => panic!("a contact"),
    };
    writes.iter().map(|write| (text(write), word(write))).collect()
}

#[test]
fn what_is_under_way_is_told_again() {
    let mut location = location();
    let alice = aor("alice@x");
    put(&mut location, "alice@x", binding("sip:1@a", 10, 1));
    assert!(location.unsettled(&alice, at(0)).is_empty());
    let drop = Write::DropBinding(alice.clone(), b"sip:1@a"[..].into());
    let first = location.propose(alice.clone(), 0, [drop].into());
    let add = Write::PutBinding(alice.clone(), binding("sip:2@a", 20, 1));
    let second = location.propose(alice.clone(), 0, [add].into());
    assert_eq!(told(&location.unsettled(&alice, at(0))), [("sip:1@a", false), ("sip:2@a", true)]);
    assert!(location.unsettled(&aor("bob@x"), at(0)).is_empty());
    let truth = location.withdraw(first, at(0));
    assert_eq!(told(&truth), [("sip:1@a", true)], "the store may have dropped it");
    assert!(location.commit(second));
    assert!(location.unsettled(&alice, at(0)).is_empty());
}

#[test]
fn what_the_store_did_not_confirm_stays_in_doubt() {
    let mut location = location();
    let alice = aor("alice@x");
    let gone = |contact: &str| Write::DropBinding(alice.clone(), contact.as_bytes().into());
    let first = location.doubt(&[gone("sip:1@a"), gone("sip:2@a")]);
    let again = location.doubt(&[gone("sip:2@a")]);
    location.settled(&[gone("sip:1@a"), gone("sip:2@a")], first);
    assert_eq!(told(&location.unsettled(&alice, at(0))), [("sip:2@a", false)]);
    location.settled(&[gone("sip:2@a")], again);
    assert!(location.unsettled(&alice, at(0)).is_empty());
    location.doubt(&[gone("sip:3@a")]);
    let writes = location.unsettled(&alice, at(0));
    let proposal = location.propose(alice.clone(), 0, writes);
    location.commit(proposal);
    assert!(location.doubts.is_empty(), "what was written with it is settled by it");
    location.doubt(&[gone("sip:4@a")]);
    location.forget(&alice);
    assert!(location.doubts.is_empty(), "the store forgets the account with all it has");
}

#[test]
fn a_late_answer_does_not_undo_what_came_after() {
    let mut location = location();
    let write = |expires| [Write::PutBinding(aor("alice@x"), binding("sip:1@a", expires, 1))];
    let first = location.propose(aor("alice@x"), 0, write(10).into());
    let second = location.propose(aor("alice@x"), 0, write(99).into());
    location.commit(second);
    assert_eq!(location.expected(&aor("alice@x"), at(0))[0].expires, at(99));
    location.commit(first);
    assert_eq!(location.live(&aor("alice@x"), at(20)).len(), 1, "the later one counts");
    check(&location);
}

#[test]
fn a_closed_connection_undoes_what_was_proposed_over_it() {
    let mut location = location();
    let mut over = binding("sip:1@a", 10, 1);
    over.flow.connection = ConnectionId(7);
    let write = [Write::PutBinding(aor("alice@x"), over)];
    location.propose(aor("alice@x"), 0, write.into());
    let undone = location.flow_closed(ConnectionId(7), |_, _| panic!("it was not visible"));
    assert_eq!(told(&undone), [("sip:1@a", false)]);
}

// Both flows of a device may have the same contact, as those of a browser do.
#[test]
fn flows_of_one_device_are_bindings_of_their_own() {
    let mut location = location();
    let flow = |reg_id, connection| {
        let one = binding("sip:x@a.invalid", 100, connection);
        Binding { instance: b"urn:uuid:1"[..].into(), reg_id, ..one }
    };
    for (reg_id, connection) in [(1, 7), (2, 8), (1, 9)] {
        put(&mut location, "alice@x", flow(reg_id, connection));
    }
    put(&mut location, "alice@x", binding("sip:x@a.invalid", 100, 10));
    assert_eq!(location.contacts(), 3);
    let mut gone = Vec::new();
    let mut close = |location: &mut Location, connection| {
        location.flow_closed(ConnectionId(connection), |_, b| gone.push(b.reg_id));
        location.contacts()
    };
    assert_eq!(close(&mut location, 7), 3, "that flow was replaced");
    assert_eq!(close(&mut location, 9), 2);
    let drop = Write::DropBinding(aor("alice@x"), b"2 urn:uuid:1"[..].into());
    let proposal = location.propose(aor("alice@x"), 0, [drop].into());
    assert!(location.commit(proposal));
    assert_eq!(location.contacts(), 1, "that without a flow of its own");
    assert_eq!(gone, [1]);
}
