//! What every store must do. Each check starts with an empty store.

use crate::samples::{account, accounts, binding, bindings, drop_contact, listeners, name, put};
use ringway_core::account::Ha1;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::Write;
use ringway_core::flow::{ConnectionId, Transport};
use ringway_core::time::Instant;
use ringway_store::{Store, limits};

/// Opens the same facts, as after a restart. The store opened before must be gone.
pub(crate) type Open<'a> = &'a dyn Fn() -> Box<dyn Store>;

type Check = fn(Open<'_>);

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("what is written is read", what_is_written_is_read),
    ("everything is there after a restart", everything_is_there_after_a_restart),
    ("a put replaces all of what was there", a_put_replaces_all),
    ("changes take effect in order", changes_take_effect_in_order),
    ("a dropped binding stays away", a_dropped_binding_stays_away),
    ("flows of one device are kept apart", flows_of_one_device_are_kept_apart),
    ("an account takes its bindings along", an_account_takes_its_bindings_along),
    ("dropping what is not there is no error", dropping_nothing_is_fine),
    ("names that begin alike are kept apart", names_that_begin_alike_are_kept_apart),
    ("any byte survives", any_byte_survives),
    ("large values survive", large_values_survive),
    ("numbers survive to their ends", numbers_survive),
    ("every transport survives", every_transport_survives),
    ("connections do not survive", connections_do_not_survive),
    ("a binding lives to the end of its lease", a_binding_lives_to_the_end_of_its_lease),
    ("what has ended is not given out", what_has_ended_is_not_given_out),
    ("what ended long ago is swept", what_ended_long_ago_is_swept),
    ("a large batch is one commit", a_large_batch_is_one_commit),
    ("commits are numbered upwards", commits_are_numbered_upwards),
    ("many small commits all stay", many_small_commits_all_stay),
    ("the secret stays", the_secret_stays),
];

/// Writes, reads, opens again, reads again.
fn kept(open: Open<'_>, batch: &[Write]) -> Box<dyn Store> {
    let mut store = open();
    store.write(batch).expect("it is kept");
    let before = (accounts(store.as_mut()), bindings(store.as_mut(), 0));
    drop(store);
    let mut store = open();
    let after = (accounts(store.as_mut()), bindings(store.as_mut(), 0));
    assert_eq!(before, after, "the same after a restart");
    store.check().expect("it is whole");
    store
}

fn what_is_written_is_read(open: Open<'_>) {
    let mut store = open();
    assert!(accounts(store.as_mut()).is_empty() && bindings(store.as_mut(), 0).is_empty());
    let phone = binding(b"sip:bob@[::1]:40000", 1_000);
    let batch = [Write::PutAccount(account("bob")), Write::PutBinding(name("bob"), phone.clone())];
    store.write(&batch).expect("it is kept");
    assert_eq!(accounts(store.as_mut()), [account("bob")]);
    assert_eq!(bindings(store.as_mut(), 0).into_values().collect::<Vec<_>>(), [phone]);
}

fn everything_is_there_after_a_restart(open: Open<'_>) {
    let phone = binding(b"sip:bob@[::1]:40000", 1_000);
    let batch = [Write::PutAccount(account("bob")), Write::PutBinding(name("bob"), phone.clone())];
    let mut store = kept(open, &batch);
    assert_eq!(accounts(store.as_mut()), [account("bob")]);
    let found = bindings(store.as_mut(), 0);
    assert_eq!(found.get(&(name("bob"), phone.contact.clone())), Some(&phone));
}

fn a_put_replaces_all(open: Open<'_>) {
    let mut other = account("bob");
    other.ha1 = Ha1 { md5: None, sha256: None, sha512_256: Some([9; 32]) };
    other.display_name = String::new();
    other.enabled = false;
    let phone = Binding {
        params: [].into(),
        q: 1,
        cseq: 7,
        call_id: (*b"other").into(),
        user_agent: [].into(),
        transaction: 0,
        refreshed: Instant::from_secs(9),
        ..binding(b"sip:bob@[::1]:40000", 2_000)
    };
    open().write(&[Write::PutAccount(account("bob")), put("bob", &phone.contact)]).expect("kept");
    let batch = [Write::PutAccount(other.clone()), Write::PutBinding(name("bob"), phone.clone())];
    let mut store = kept(open, &batch);
    assert_eq!(accounts(store.as_mut()), [other]);
    assert_eq!(bindings(store.as_mut(), 0).into_values().collect::<Vec<_>>(), [phone]);
}

fn changes_take_effect_in_order(open: Open<'_>) {
    let put = |q| {
        let phone = Binding { q, ..binding(b"sip:c", 1_000) };
        Write::PutBinding(name("carol"), phone)
    };
    let mut store = kept(open, &[put(1), drop_contact("carol", "sip:c"), put(2)]);
    let q = |store: &mut dyn Store| bindings(store, 0).into_values().map(|b| b.q).next();
    assert_eq!(q(store.as_mut()), Some(2));
    store.write(&[put(3)]).expect("it is kept");
    store.write(&[put(4)]).expect("it is kept");
    assert_eq!(q(store.as_mut()), Some(4));
    drop(store);
    let mut store = kept(open, &[put(5), Write::DropAccount(name("carol")), put(6), put(7)]);
    assert_eq!(q(store.as_mut()), Some(7));
}

fn a_dropped_binding_stays_away(open: Open<'_>) {
    open().write(&[put("carol", "sip:1"), put("carol", "sip:2")]).expect("it is kept");
    let mut store = kept(open, &[drop_contact("carol", "sip:1")]);
    let found: Vec<_> = bindings(store.as_mut(), 0).into_keys().collect();
    assert_eq!(found, [(name("carol"), (*b"sip:2").into())]);
    store.write(&[put("carol", "sip:3"), drop_contact("carol", "sip:3")]).expect("it is kept");
    drop(store);
    assert_eq!(bindings(open().as_mut(), 0).len(), 1);
}

fn flows_of_one_device_are_kept_apart(open: Open<'_>) {
    let flow = |reg_id| Binding {
        instance: (*b"urn:uuid:0d1c").into(),
        reg_id,
        path: (*b"<sip:p1;lr>, <sip:p2;lr>").into(),
        gruus_since: Instant::from_micros(4_000_001),
        ..binding("sip:x@a.invalid", 1_000)
    };
    let [first, second] = [flow(1), flow(u32::MAX / 2)];
    let plain = binding("sip:x@a.invalid", 1_000);
    let put = |phone: &Binding| Write::PutBinding(name("carol"), phone.clone());
    let mut store = kept(open, &[put(&first), put(&second), put(&plain)]);
    let all = |store: &mut dyn Store| {
        let mut all = Vec::new();
        store.bindings(0, &mut |_, binding| all.push(binding)).expect("they can be read");
        all.sort_by_key(|binding| binding.reg_id);
        all
    };
    assert_eq!(all(store.as_mut()), [plain.clone(), first.clone(), second.clone()]);
    let gone = Write::DropBinding(name("carol"), first.key().into());
    store.write(&[gone, put(&Binding { q: 5, ..second.clone() })]).expect("it is kept");
    assert_eq!(all(store.as_mut()), [plain, Binding { q: 5, ..second }]);
}

fn an_account_takes_its_bindings_along(open: Open<'_>) {
    let (dan, dave) = (account("dan"), account("dave"));
    let batch = [
        Write::PutAccount(dan.clone()),
        Write::PutAccount(dave),
        put("dave", "sip:1"),
        put("dan", "sip:1"),
        put("dave", "sip:2"),
    ];
    open().write(&batch).expect("it is kept");
    let mut store = kept(open, &[Write::DropAccount(name("dave"))]);
    assert_eq!(accounts(store.as_mut()), [dan]);
    let found: Vec<_> = bindings(store.as_mut(), 0).into_keys().map(|(aor, _)| aor).collect();
    assert_eq!(found, [name("dan")]);
}

fn dropping_nothing_is_fine(open: Open<'_>) {
    let batch = [drop_contact("eve", "sip:1"), Write::DropAccount(name("eve"))];
    let mut store = kept(open, &batch);
    assert!(accounts(store.as_mut()).is_empty());
    store.write(&[]).expect("nothing can be kept too");
}

fn names_that_begin_alike_are_kept_apart(open: Open<'_>) {
    let users: [&[u8]; 6] = [b"a", b"a\0", b"ab", b"a@b", b"A", b"\xC3\xA1"];
    let mut batch: Vec<_> = users.iter().map(|user| put(user, "sip:x")).collect();
    batch.extend(users.iter().map(|user| Write::PutAccount(account(user))));
    let other = AddressOfRecord::new(b"a", b"example.com").expect("a name");
    batch.push(Write::PutBinding(other, binding("sip:x", 1_000)));
    let mut store = kept(open, &batch);
    assert_eq!(accounts(store.as_mut()).len(), 6);
    assert_eq!(bindings(store.as_mut(), 0).len(), 7);
    store.write(&[Write::DropAccount(name("a")), drop_contact("ab", "sip:x")]).expect("kept");
    assert_eq!(accounts(store.as_mut()).len(), 5);
    assert_eq!(bindings(store.as_mut(), 0).len(), 5);
}

fn any_byte_survives(open: Open<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    let mut odd = binding(&all, 1_000);
    odd.params.clone_from(&odd.contact);
    odd.call_id.clone_from(&odd.contact);
    odd.user_agent.clone_from(&odd.contact);
    let mut batch = vec![
        Write::PutAccount(account(&all)),
        Write::PutBinding(name(&all), odd.clone()),
        put("%ff' OR 1=1 --", "sip:%61;x=\"<>'\""),
    ];
    // Each byte alone, as a user and as a contact.
    batch.extend((0..=255u8).map(|byte| put([byte], [byte])));
    let mut store = kept(open, &batch);
    assert_eq!(accounts(store.as_mut()), [account(&all)]);
    let found = bindings(store.as_mut(), 0);
    assert_eq!(found.len(), 258);
    assert_eq!(found.get(&(name(&all), odd.contact.clone())), Some(&odd));
    let gone: Vec<_> = (0..=255u8).map(|byte| drop_contact([byte], [byte])).collect();
    store.write(&gone).expect("it is kept");
    assert_eq!(bindings(store.as_mut(), 0).len(), 2);
}

fn large_values_survive(open: Open<'_>) {
    let large = Binding {
        params: vec![b'p'; 65_536].into(),
        call_id: vec![0xFF; 65_536].into(),
        user_agent: vec![b'u'; 65_536].into(),
        ..binding(vec![b'c'; 65_536], 1_000)
    };
    let user = vec![b'n'; 1_000];
    let mut store = kept(open, &[Write::PutBinding(name(&user), large.clone())]);
    assert_eq!(bindings(store.as_mut(), 0).into_values().collect::<Vec<_>>(), [large]);
}

fn numbers_survive(open: Open<'_>) {
    let ends = |contact: &str, cseq, transaction, micros| Binding {
        cseq,
        transaction,
        q: (transaction % 1_001) as u16,
        expires: Instant::from_micros(micros),
        lease_until: Instant::from_micros(micros),
        refreshed: Instant::from_micros(micros / 3),
        ..binding(contact, 0)
    };
    let phones = [
        ends("sip:1", 0, 0, 1),
        ends("sip:2", u32::MAX, u64::MAX, 4_102_444_800_123_456),
        ends("sip:3", 1 << 31, 1 << 63, u64::MAX >> 1),
    ];
    let batch = phones.clone().map(|phone| Write::PutBinding(name("frank"), phone));
    let mut store = kept(open, &batch);
    assert_eq!(bindings(store.as_mut(), 0).into_values().collect::<Vec<_>>(), phones);
}

fn every_transport_survives(open: Open<'_>) {
    use Transport::{Tcp, Tls, Udp, Ws, Wss};
    let flows = listeners();
    let mut phones = Vec::new();
    for transport in [Udp, Tcp, Tls, Ws, Wss] {
        let mut phone = binding(format!("sip:{transport}"), 1_000);
        phone.flow.transport = transport;
        phone.flow.remote = "198.51.100.7:1024".parse().expect("an address");
        let listener = flows.iter().position(|l| l.transport == transport).unwrap_or(0);
        phone.flow.socket.0 = listener as u16;
        phones.push(phone);
    }
    let put = |phone: &Binding| Write::PutBinding(name("grace"), phone.clone());
    let mut store = kept(open, &phones.iter().map(put).collect::<Vec<_>>());
    let mut found: Vec<_> = bindings(store.as_mut(), 0).into_values().collect();
    found.sort_by_key(|phone| phone.flow.transport);
    assert_eq!(found, phones);
}

fn connections_do_not_survive(open: Open<'_>) {
    let mut phone = binding("sip:tcp", 1_000);
    phone.flow.connection = ConnectionId(77);
    let mut store = kept(open, &[Write::PutBinding(name("heidi"), phone.clone())]);
    phone.flow.connection = ConnectionId::NONE;
    assert_eq!(bindings(store.as_mut(), 0).into_values().collect::<Vec<_>>(), [phone]);
}

fn a_binding_lives_to_the_end_of_its_lease(open: Open<'_>) {
    let lease_until = Instant::from_secs(2_000);
    let phone = Binding { lease_until, ..binding("sip:leased", 1_000) };
    let mut store = kept(open, &[Write::PutBinding(name("ivan"), phone)]);
    let found: Vec<_> = bindings(store.as_mut(), 1_999).into_values().collect();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].expires, found[0].lease_until), (lease_until, lease_until));
    assert!(bindings(store.as_mut(), 2_000).is_empty());
    let grace = limits::SWEEP_GRACE_S;
    assert_eq!(store.sweep(1_999 + grace).expect("it sweeps"), 0);
    assert_eq!(store.sweep(2_000 + grace).expect("it sweeps"), 1);
}

fn what_has_ended_is_not_given_out(open: Open<'_>) {
    let put = |contact: &str, ends| Write::PutBinding(name("ivan"), binding(contact, ends));
    let mut store = kept(open, &[put("sip:early", 1_000), put("sip:late", 2_000)]);
    let mut alive = |now_s| bindings(store.as_mut(), now_s).len();
    let counts = [999, 1_000, 1_999, 2_000].map(&mut alive);
    assert_eq!(counts, [2, 1, 1, 0]);
}

fn what_ended_long_ago_is_swept(open: Open<'_>) {
    let grace = limits::SWEEP_GRACE_S;
    let put = |n: u32, ends| Write::PutBinding(name(format!("u{n:05}")), binding("sip:x", ends));
    let count = limits::SWEEP_ROWS as u32 + 10;
    let mut batch: Vec<_> = (0..count).map(|n| put(n, 1_000 + u64::from(n % 2))).collect();
    batch.push(put(count, 5_000));
    let mut store = kept(open, &batch);
    let mut sweep = |now_s| (0..4).map(|_| store.sweep(now_s).expect("it sweeps")).sum::<usize>();
    assert_eq!(sweep(999 + grace), 0, "a clock may have been wrong");
    assert_eq!(sweep(1_000 + grace), count as usize / 2);
    assert_eq!(sweep(4_999 + grace), count as usize / 2);
    assert_eq!(sweep(4_999 + grace), 0);
    drop(store);
    let left: Vec<_> = bindings(open().as_mut(), 0).into_keys().map(|(aor, _)| aor).collect();
    assert_eq!(left, [name(format!("u{count:05}"))]);
}

fn a_large_batch_is_one_commit(open: Open<'_>) {
    let mut batch: Vec<_> =
        (0..10_000).map(|n| put(format!("user{n}"), format!("sip:user{n}@192.0.2.1"))).collect();
    batch.push(drop_contact("user0", "sip:user0@192.0.2.1"));
    let mut store = kept(open, &batch);
    let found = bindings(store.as_mut(), 0);
    assert_eq!(found.len(), 9_999);
    assert!(!found.contains_key(&(name("user0"), (*b"sip:user0@192.0.2.1").into())));
}

fn commits_are_numbered_upwards(open: Open<'_>) {
    let mut store = open();
    let mut commit = |contact: &str| store.write(&[put("judy", contact)]).expect("kept").sequence();
    let (first, second, third) = (commit("sip:1"), commit("sip:1"), commit("sip:2"));
    assert!(first < second && second < third, "{first} {second} {third}");
}

fn many_small_commits_all_stay(open: Open<'_>) {
    let mut store = open();
    for n in 0..200 {
        store.write(&[put(format!("user{n}"), "sip:x")]).expect("it is kept");
        if n % 50 == 49 {
            drop(store);
            store = open();
        }
    }
    assert_eq!(bindings(store.as_mut(), 0).len(), 200);
}

fn the_secret_stays(open: Open<'_>) {
    let mut store = open();
    let secret = store.secret().expect("a secret");
    assert_ne!(secret, [0; 32]);
    assert_eq!(store.secret().expect("the secret"), secret);
    store.write(&[Write::PutAccount(account("kate"))]).expect("it is kept");
    drop(store);
    assert_eq!(open().secret().expect("the secret"), secret);
}
