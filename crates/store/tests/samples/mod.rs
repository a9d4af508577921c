//! Accounts and bindings to try stores with.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::Write;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, Listener, SocketId, Transport};
use ringway_core::time::Instant;
use ringway_store::{Listeners, Store};
use std::collections::BTreeMap;

/// The listeners that stores under test are opened with.
pub(crate) fn listeners() -> Listeners {
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

pub(crate) fn name(user: impl AsRef<[u8]>) -> AddressOfRecord {
    AddressOfRecord::new(user.as_ref(), b"example.org").expect("a name")
}

pub(crate) fn account(user: impl AsRef<[u8]>) -> Account {
    Account {
        aor: name(user),
        ha1: Ha1 { md5: Some([1; 16]), sha256: Some([2; 32]), sha512_256: None },
        display_name: "Nguyễn Thị Lan".into(),
        enabled: true,
    }
}

/// A binding that ends at this second, as a phone behind IPv6 would leave it.
pub(crate) fn binding(contact: impl AsRef<[u8]>, expires_s: u64) -> Binding {
    Binding {
        contact: contact.as_ref().into(),
        params: (*b";+sip.instance=\"<urn:uuid:0d1c>\"").into(),
        instance: [].into(),
        reg_id: 0,
        path: [].into(),
        gruus_since: Instant::from_secs(1),
        q: 700,
        expires: Instant::from_secs(expires_s),
        lease_until: Instant::from_secs(expires_s),
        refreshed: Instant::from_micros(5_000_001),
        call_id: (*b"843817637684230@998sdasdh09").into(),
        cseq: u32::MAX / 2,
        transaction: u64::MAX - 1,
        flow: Flow {
            socket: SocketId(2),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: "[::1]:40000".parse().expect("an address"),
            certified: CertifiedName::NONE,
        },
        user_agent: (*b"Phone/1.0").into(),
    }
}

pub(crate) fn put(user: impl AsRef<[u8]>, contact: impl AsRef<[u8]>) -> Write {
    Write::PutBinding(name(user), binding(contact, 1_000))
}

pub(crate) fn drop_contact(user: impl AsRef<[u8]>, contact: impl AsRef<[u8]>) -> Write {
    Write::DropBinding(name(user), contact.as_ref().into())
}

pub(crate) type Contacts = BTreeMap<(AddressOfRecord, Box<[u8]>), Binding>;

/// Everything alive at this second.
pub(crate) fn bindings(store: &mut dyn Store, now_s: u64) -> Contacts {
    let mut all = Contacts::new();
    let read = store.bindings(now_s, &mut |aor, binding| {
        let before = all.insert((aor, binding.key().into()), binding);
        assert_eq!(before, None, "given out twice");
    });
    read.expect("bindings can be read");
    all
}

pub(crate) fn accounts(store: &mut dyn Store) -> Vec<Account> {
    let mut all = Vec::new();
    store.accounts(&mut |account| all.push(account)).expect("accounts can be read");
    all.sort_by(|a, b| a.aor.cmp(&b.aor));
    all
}
