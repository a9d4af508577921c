//! What every store must do, as one set of checks run against each. A store that breaks a
//! promise must fail here: `tests/broken.rs` shows that it does.

use crate::Store;
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::Write;
use ringway_core::flow::{ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::time::Instant;
use std::collections::BTreeMap;

/// Opens the same facts again, as after a restart.
pub type Reopen<'a> = &'a mut dyn FnMut() -> Box<dyn Store>;

/// The listeners that stores under test are opened with.
pub fn listeners() -> crate::Listeners {
    let on = |transport, local: &str| Listener {
        transport,
        local: local.parse().expect("an address"),
        advertised: None,
    };
    [
        on(Transport::Udp, "127.0.0.1:5060"),
        on(Transport::Tcp, "127.0.0.1:5060"),
        on(Transport::Udp, "[::1]:5060"),
    ]
    .into()
}

/// An account of this user.
pub fn account(user: &[u8]) -> Account {
    Account {
        aor: AddressOfRecord::new(user, b"example.org").expect("a name"),
        ha1: Ha1 { md5: Some([1; 16]), sha256: Some([2; 32]), sha512_256: None },
        display_name: "Nguyễn Thị Lan".into(),
        enabled: true,
    }
}

/// A binding with this contact that ends at this second.
pub fn binding(contact: &[u8], expires_s: u64) -> Binding {
    Binding {
        contact: contact.into(),
        params: (*b";+sip.instance=\"<urn:x>\"").into(),
        q: 700,
        expires: Instant::from_secs(expires_s),
        refreshed: Instant::from_secs(5),
        call_id: (*b"call@1\xff").into(),
        cseq: u32::MAX / 2,
        transaction: u64::MAX - 1,
        flow: Flow {
            socket: SocketId(2),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: "[::1]:40000".parse().expect("an address"),
        },
        user_agent: (*b"phone").into(),
    }
}

type Kept = BTreeMap<(AddressOfRecord, Box<[u8]>), Binding>;

fn bindings(store: &mut dyn Store, now_s: u64) -> Kept {
    let mut all = Kept::new();
    let read = store.bindings(now_s, &mut |aor, binding| {
        assert!(all.insert((aor, binding.contact.clone()), binding).is_none(), "given out once");
    });
    read.expect("bindings can be read");
    all
}

fn accounts(store: &mut dyn Store) -> Vec<Account> {
    let mut all = Vec::new();
    store.accounts(&mut |account| all.push(account)).expect("accounts can be read");
    all.sort_by(|a, b| a.aor.cmp(&b.aor));
    all
}

/// Runs all checks. `reopen` first gives an empty store.
pub fn check(reopen: Reopen<'_>) {
    what_is_written_is_read_again(reopen);
    changes_take_effect_in_their_order(reopen);
    an_account_takes_its_bindings_along(reopen);
    any_byte_survives(reopen);
    what_has_ended_is_not_given_out(reopen);
    the_secret_stays(reopen);
}

fn what_is_written_is_read_again(reopen: Reopen<'_>) {
    let (bob, kept) = (account(b"bob"), binding(b"sip:bob@[::1]:40000", 100));
    let mut store = reopen();
    let put = [Write::PutAccount(bob.clone()), Write::PutBinding(bob.aor.clone(), kept.clone())];
    let first = store.write(&put).expect("a write");
    assert_eq!(accounts(store.as_mut()), std::slice::from_ref(&bob));
    let second = store.write(&[Write::PutAccount(bob.clone())]).expect("a write");
    assert!(second.sequence() > first.sequence(), "commits are numbered upwards");
    drop(store);
    let mut store = reopen();
    assert_eq!(accounts(store.as_mut()), std::slice::from_ref(&bob), "after a restart");
    let found = bindings(store.as_mut(), 99);
    assert_eq!(found.into_values().collect::<Vec<_>>(), [kept]);
}

fn changes_take_effect_in_their_order(reopen: Reopen<'_>) {
    let aor = account(b"carol").aor;
    let contact = || b"sip:c@192.0.2.1".to_vec().into_boxed_slice();
    let put = |q| {
        let binding = Binding { q, ..binding(&contact(), 100) };
        Write::PutBinding(aor.clone(), binding)
    };
    let drop_it = || Write::DropBinding(aor.clone(), contact());
    let mut store = reopen();
    store.write(&[put(1), drop_it(), put(2)]).expect("a write");
    store.write(&[put(3)]).expect("a write");
    drop(store);
    let mut store = reopen();
    let found = bindings(store.as_mut(), 0);
    assert_eq!(found.get(&(aor.clone(), contact())).map(|b| b.q), Some(3));
    store.write(&[put(4), drop_it()]).expect("a write");
    drop(store);
    let found = bindings(reopen().as_mut(), 0);
    assert_eq!(found.get(&(aor.clone(), contact())), None, "what was dropped stays away");
}

fn an_account_takes_its_bindings_along(reopen: Reopen<'_>) {
    let dave = account(b"dave");
    let mut store = reopen();
    store.write(&[Write::PutAccount(dave.clone())]).expect("a write");
    let put = |n: u8| Write::PutBinding(dave.aor.clone(), binding(&[b's', b':', n], 100));
    store.write(&[put(1), put(2)]).expect("a write");
    let before = bindings(store.as_mut(), 0).len();
    store.write(&[Write::DropAccount(dave.aor.clone())]).expect("a write");
    drop(store);
    let mut store = reopen();
    assert!(accounts(store.as_mut()).iter().all(|account| account.aor != dave.aor));
    assert_eq!(bindings(store.as_mut(), 0).len(), before - 2);
}

fn any_byte_survives(reopen: Reopen<'_>) {
    let all: Vec<u8> = (0..=255).collect();
    let odd = Account { enabled: false, ..account(&all) };
    let large = binding(&[b'x'; 60_000], 100);
    let mut store = reopen();
    let put = [Write::PutAccount(odd.clone()), Write::PutBinding(odd.aor.clone(), large.clone())];
    store.write(&put).expect("a write");
    drop(store);
    let mut store = reopen();
    assert!(accounts(store.as_mut()).contains(&odd));
    let found = bindings(store.as_mut(), 0);
    assert_eq!(found.get(&(odd.aor, large.contact.clone())), Some(&large));
}

fn what_has_ended_is_not_given_out(reopen: Reopen<'_>) {
    let aor = account(b"erin").aor;
    let mut store = reopen();
    let put = |contact: &[u8], ends| Write::PutBinding(aor.clone(), binding(contact, ends));
    store.write(&[put(b"sip:early", 1_000), put(b"sip:late", 2_000)]).expect("a write");
    let late = |store: &mut dyn Store| bindings(store, 1_000).len();
    assert_eq!(late(store.as_mut()), 1);
    store.purge(1_000).expect("a purge");
    assert_eq!(late(store.as_mut()), 1);
    drop(store);
    assert_eq!(bindings(reopen().as_mut(), 0).len(), 1, "purged for good");
}

fn the_secret_stays(reopen: Reopen<'_>) {
    let secret = reopen().secret().expect("a secret");
    assert_ne!(secret, [0; 32]);
    assert_eq!(reopen().secret().expect("the secret"), secret);
}
