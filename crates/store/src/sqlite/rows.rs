//! Accounts and bindings as rows, and back.

use crate::Listeners;
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use ringway_core::time::Instant;
use rusqlite::types::{FromSqlError, ToSqlOutput, Type, ValueRef};
use rusqlite::{CachedStatement, Result, Row, ToSql, params};
use std::net::SocketAddr;

/// Bytes in a column: TEXT where they read as text, a BLOB where they do not. Equal bytes
/// always give the same of the two.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl ToSql for Bytes<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let is_text = !self.0.contains(&0) && std::str::from_utf8(self.0).is_ok();
        let value = if is_text { ValueRef::Text(self.0) } else { ValueRef::Blob(self.0) };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

pub(super) const PUT_ACCOUNT: &str = "REPLACE INTO account VALUES (?1,?2,?3,?4,?5,?6,?7)";
pub(super) const PUT_BINDING: &str = "REPLACE INTO binding
     VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20)";
pub(super) const ACCOUNTS: &str =
    "SELECT user, domain, display_name, enabled, ha1_md5, ha1_sha256, ha1_sha512_256 FROM account";
pub(super) const BINDINGS: &str =
    "SELECT user, domain, contact, params, q, expires, refreshed, call_id, cseq, txn, transport,
            local, remote, user_agent, instance, reg_id, path, gruus_since, kept_until
     FROM binding WHERE kept_until > ?1";

pub(super) fn put_account(into: &mut CachedStatement<'_>, account: &Account) -> Result<()> {
    into.execute(params![
        Bytes(account.aor.user()),
        Bytes(account.aor.domain()),
        account.display_name,
        account.enabled,
        account.ha1.md5,
        account.ha1.sha256,
        account.ha1.sha512_256,
    ])?;
    Ok(())
}

pub(super) fn put_binding(
    into: &mut CachedStatement<'_>,
    listeners: &Listeners,
    aor: &AddressOfRecord,
    binding: &Binding,
) -> Result<()> {
    let listener = listeners.get(usize::from(binding.flow.socket.0));
    into.execute(params![
        Bytes(aor.user()),
        Bytes(aor.domain()),
        Bytes(&binding.key()),
        Bytes(&binding.contact),
        Bytes(&binding.params),
        binding.q,
        micros(binding.expires),
        micros(binding.refreshed),
        Bytes(&binding.call_id),
        binding.cseq,
        binding.transaction.cast_signed(),
        transport_name(binding.flow.transport),
        listener.map_or_else(String::new, |listener| listener.local.to_string()),
        binding.flow.remote.to_string(),
        Bytes(&binding.user_agent),
        Bytes(&binding.instance),
        binding.reg_id,
        Bytes(&binding.path),
        micros(binding.gruus_since),
        micros(binding.lease_until),
    ])?;
    Ok(())
}

pub(super) fn read_account(row: &Row<'_>) -> Result<Account> {
    Ok(Account {
        aor: read_name(row)?,
        display_name: row.get(2)?,
        enabled: row.get(3)?,
        ha1: Ha1 { md5: row.get(4)?, sha256: row.get(5)?, sha512_256: row.get(6)? },
    })
}

/// `None` for a binding that no listener can reach.
pub(super) fn read_binding(
    row: &Row<'_>,
    listeners: &Listeners,
) -> Result<Option<(AddressOfRecord, Binding)>> {
    let transport = Transport::from_name(bytes(row, 10)?);
    let transport = transport.ok_or_else(|| unreadable(10, "an unknown transport"))?;
    let remote: SocketAddr =
        text(row, 12)?.parse().map_err(|_| unreadable(12, "not an address"))?;
    let Some(socket) = socket_of(listeners, transport, text(row, 11)?, remote) else {
        return Ok(None);
    };
    let binding = Binding {
        contact: bytes(row, 2)?.into(),
        params: bytes(row, 3)?.into(),
        instance: bytes(row, 14)?.into(),
        reg_id: row.get(15)?,
        path: bytes(row, 16)?.into(),
        gruus_since: instant(row, 17)?,
        q: row.get(4)?,
        expires: instant(row, 5)?,
        refreshed: instant(row, 6)?,
        lease_until: instant(row, 18)?,
        call_id: bytes(row, 7)?.into(),
        cseq: row.get(8)?,
        transaction: row.get::<_, i64>(9)?.cast_unsigned(),
        flow: Flow {
            socket,
            transport,
            connection: ConnectionId::NONE,
            remote,
            certified: CertifiedName::NONE,
        },
        user_agent: bytes(row, 13)?.into(),
    };
    Ok(Some((read_name(row)?, binding.after_restart())))
}

/// As a column: no time of ours is 292,000 years away.
pub(super) fn micros(at: Instant) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// The listener with the same address, else one of the same transport and family, else one of
/// the same family.
fn socket_of(
    listeners: &Listeners,
    transport: Transport,
    local: &str,
    remote: SocketAddr,
) -> Option<SocketId> {
    let local: Option<SocketAddr> = local.parse().ok();
    let worth = |listener: &ringway_core::flow::Listener| {
        if listener.local.is_ipv4() != remote.is_ipv4() {
            return 0;
        }
        match (listener.transport == transport, Some(listener.local) == local) {
            (true, true) => 3,
            (true, false) => 2,
            (false, _) => 1,
        }
    };
    let mut best = (0, None);
    for (place, listener) in listeners.iter().enumerate() {
        let worth = worth(listener);
        if worth > best.0 {
            best = (worth, u16::try_from(place).ok().map(SocketId));
        }
    }
    best.1
}

fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

/// The name in the first two columns.
fn read_name(row: &Row<'_>) -> Result<AddressOfRecord> {
    AddressOfRecord::new(bytes(row, 0)?, bytes(row, 1)?)
        .ok_or_else(|| unreadable(0, "an impossible name"))
}

fn instant(row: &Row<'_>, column: usize) -> Result<Instant> {
    let micros: i64 = row.get(column)?;
    Ok(Instant::from_micros(u64::try_from(micros).unwrap_or(0)))
}

fn bytes<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8]> {
    row.get_ref(column)?.as_bytes().map_err(|_| unreadable(column, "not text"))
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|_| unreadable(column, "not text"))
}

fn unreadable(column: usize, what: &'static str) -> rusqlite::Error {
    let cause = FromSqlError::Other(what.into());
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::flow::Listener;

    #[test]
    fn a_binding_finds_its_listener_or_the_next_best() {
        let on = |transport, local: &str| Listener {
            transport,
            local: local.parse().expect("an address"),
            advertised: None,
        };
        let listeners: Listeners = [
            on(Transport::Tcp, "192.0.2.1:5060"),
            on(Transport::Udp, "192.0.2.2:5060"),
            on(Transport::Udp, "192.0.2.1:5060"),
            on(Transport::Tcp, "[2001:db8::1]:5060"),
        ]
        .into();
        let v4 = "198.51.100.7:40000".parse().expect("an address");
        let v6 = "[2001:db8::7]:40000".parse().expect("an address");
        for (transport, local, remote, expected) in [
            (Transport::Udp, "192.0.2.1:5060", v4, Some(2)),
            (Transport::Tcp, "192.0.2.1:5060", v4, Some(0)),
            (Transport::Udp, "192.0.2.9:5060", v4, Some(1)),
            (Transport::Udp, "", v4, Some(1)),
            (Transport::Tls, "192.0.2.1:5061", v4, Some(0)),
            (Transport::Udp, "[2001:db8::1]:5060", v6, Some(3)),
        ] {
            let found = socket_of(&listeners, transport, local, remote).map(|socket| socket.0);
            assert_eq!(found, expected, "{transport} {local} {remote}");
        }
        let none: Listeners = [].into();
        assert_eq!(socket_of(&none, Transport::Udp, "192.0.2.1:5060", v4), None);
        assert_eq!(socket_of(&listeners[..3].into(), Transport::Udp, "", v6), None);
    }
}
