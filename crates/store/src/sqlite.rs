//! The embedded store: one SQLite file that an administrator can look into.
//!
//! Write-ahead log with `synchronous = FULL`: a commit that has returned is on disk. One
//! process at a time: the file is locked as long as the store is open.

use crate::memory::new_secret;
use crate::{Listeners, Store, StoreError};
use ringway_core::account::{Account, Ha1};
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use ringway_core::flow::{ConnectionId, Flow, SocketId, Transport};
use ringway_core::time::Instant;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The newest format this program knows.
const FORMAT: i64 = 1;

/// A store in a file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    listeners: Listeners,
    commits: u64,
}

impl Sqlite {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder cannot be written, the file is damaged, of a newer version, or in use.
    pub fn open(folder: &Path, listeners: Listeners) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let file = folder.join("ringway.db");
        make_file(&file)?;
        let connection = Connection::open(&file)?;
        prepare(&connection).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                StoreError::InUse(folder.to_owned())
            }
            Some(rusqlite::ErrorCode::ReadOnly) => not_writable(&file, &error),
            _ => error.into(),
        })?;
        let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            0 => {
                let schema = include_str!("schema.sql");
                connection.execute_batch(&format!(
                    "BEGIN;{schema}PRAGMA user_version = {FORMAT};COMMIT;"
                ))?;
            }
            FORMAT => {}
            found => return Err(StoreError::TooNew { found, known: FORMAT }),
        }
        Ok(Self { connection, listeners, commits: 0 })
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    // Exclusive before the log is opened: then no shared memory is needed, and a second process
    // is told at once.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 8_000)?;
    connection.pragma_update(None, "cache_size", -65_536)?;
    connection.set_prepared_statement_cache_capacity(32);
    // Takes the lock now rather than with the first write.
    connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")
}

fn not_writable(path: &Path, cause: &dyn std::fmt::Display) -> StoreError {
    StoreError::NotWritable { path: path.to_owned(), cause: cause.to_string() }
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt;
    let mut builder = fs::DirBuilder::new();
    // What is in it opens every account: nobody else's business.
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|error| not_writable(folder, &error))
}

fn make_file(file: &PathBuf) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    options.open(file).map(drop).map_err(|error| not_writable(file, &error))
}

impl Store for Sqlite {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        let transaction = self.connection.transaction()?;
        for write in batch {
            apply(&transaction, &self.listeners, write)?;
        }
        transaction.commit()?;
        self.commits += 1;
        Ok(CommitToken::committed(self.commits))
    }

    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        let mut query = self.connection.prepare(
            "SELECT user, domain, display_name, enabled, ha1_md5, ha1_sha256, ha1_sha512_256
             FROM account",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            each(read_account(row)?);
        }
        Ok(())
    }

    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        let mut query = self.connection.prepare(
            "SELECT aor, contact, params, q, expires, refreshed, call_id, cseq, txn, transport,
                    local, remote, user_agent
             FROM binding WHERE expires > ?1",
        )?;
        let mut rows = query.query([now_s as i64])?;
        while let Some(row) = rows.next()? {
            // A binding over a transport that is no longer served leads nowhere.
            if let Some((aor, binding)) = read_binding(row, &self.listeners)? {
                each(aor, binding);
            }
        }
        Ok(())
    }

    fn purge(&mut self, now_s: u64) -> Result<(), StoreError> {
        self.connection.execute("DELETE FROM binding WHERE expires <= ?1", [now_s as i64])?;
        Ok(())
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        let query = "SELECT value FROM meta WHERE key = 'secret'";
        let found: Option<Vec<u8>> =
            self.connection.query_row(query, [], |row| row.get(0)).optional()?;
        if let Some(found) = found {
            let wrong = |_| StoreError::Damaged("the secret has a wrong length".into());
            return found.try_into().map_err(wrong);
        }
        let secret = new_secret()?;
        let insert = "INSERT INTO meta (key, value) VALUES ('secret', ?1)";
        self.connection.execute(insert, [&secret[..]])?;
        Ok(secret)
    }
}

fn apply(
    transaction: &Transaction<'_>,
    listeners: &Listeners,
    write: &Write,
) -> Result<(), StoreError> {
    match write {
        Write::PutBinding(aor, binding) => put_binding(transaction, listeners, aor, binding),
        Write::DropBinding(aor, contact) => {
            let sql = "DELETE FROM binding WHERE aor = ?1 AND contact = ?2";
            transaction.prepare_cached(sql)?.execute(params![aor.as_bytes(), &contact[..]])?;
            Ok(())
        }
        Write::PutAccount(account) => put_account(transaction, account),
        Write::DropAccount(aor) => {
            for sql in ["DELETE FROM account WHERE aor = ?1", "DELETE FROM binding WHERE aor = ?1"]
            {
                transaction.prepare_cached(sql)?.execute([aor.as_bytes()])?;
            }
            Ok(())
        }
    }
}

fn put_binding(
    transaction: &Transaction<'_>,
    listeners: &Listeners,
    aor: &AddressOfRecord,
    binding: &Binding,
) -> Result<(), StoreError> {
    let local = listeners.get(usize::from(binding.flow.socket.0));
    let local = local.map_or_else(String::new, |listener| listener.local.to_string());
    transaction
        .prepare_cached("REPLACE INTO binding VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13)")?
        .execute(params![
            aor.as_bytes(),
            &binding.contact[..],
            &binding.params[..],
            binding.q,
            binding.expires.as_secs() as i64,
            binding.refreshed.as_secs() as i64,
            &binding.call_id[..],
            binding.cseq,
            binding.transaction as i64,
            binding.flow.transport.to_string(),
            local,
            binding.flow.remote.to_string(),
            &binding.user_agent[..],
        ])?;
    Ok(())
}

fn put_account(transaction: &Transaction<'_>, account: &Account) -> Result<(), StoreError> {
    transaction.prepare_cached("REPLACE INTO account VALUES (?1,?2,?3,?4,?5,?6,?7,?8)")?.execute(
        params![
            account.aor.as_bytes(),
            account.aor.user(),
            String::from_utf8_lossy(account.aor.domain()),
            account.display_name,
            account.enabled,
            account.ha1.md5.as_ref().map(|h| &h[..]),
            account.ha1.sha256.as_ref().map(|h| &h[..]),
            account.ha1.sha512_256.as_ref().map(|h| &h[..]),
        ],
    )?;
    Ok(())
}

fn read_account(row: &Row<'_>) -> Result<Account, StoreError> {
    let damaged = || StoreError::Damaged("an account that cannot be read".into());
    let (user, domain): (Vec<u8>, String) = (row.get(0)?, row.get(1)?);
    let aor = AddressOfRecord::new(&user, domain.as_bytes()).ok_or_else(damaged)?;
    Ok(Account {
        aor,
        display_name: row.get(2)?,
        enabled: row.get(3)?,
        ha1: Ha1 { md5: row.get(4)?, sha256: row.get(5)?, sha512_256: row.get(6)? },
    })
}

fn read_binding(
    row: &Row<'_>,
    listeners: &Listeners,
) -> Result<Option<(AddressOfRecord, Binding)>, StoreError> {
    let damaged = || StoreError::Damaged("a binding that cannot be read".into());
    let aor: Vec<u8> = row.get(0)?;
    let at = aor.iter().rposition(|&b| b == b'@').ok_or_else(damaged)?;
    let aor = AddressOfRecord::new(&aor[..at], &aor[at + 1..]).ok_or_else(damaged)?;
    let transport: String = row.get(9)?;
    let transport = Transport::from_name(transport.as_bytes()).ok_or_else(damaged)?;
    let (local, remote): (String, String) = (row.get(10)?, row.get(11)?);
    let remote: SocketAddr = remote.parse().map_err(|_| damaged())?;
    let Some(socket) = socket_of(listeners, transport, &local, remote) else { return Ok(None) };
    let bytes = |column| row.get::<_, Vec<u8>>(column).map(Vec::into_boxed_slice);
    let binding = Binding {
        contact: bytes(1)?,
        params: bytes(2)?,
        q: row.get(3)?,
        expires: Instant::from_secs(row.get::<_, i64>(4)? as u64),
        refreshed: Instant::from_secs(row.get::<_, i64>(5)? as u64),
        call_id: bytes(6)?,
        cseq: row.get(7)?,
        transaction: row.get::<_, i64>(8)? as u64,
        flow: Flow { socket, transport, connection: ConnectionId::NONE, remote },
        user_agent: bytes(12)?,
    };
    Ok(Some((aor, binding)))
}

/// The listener with the same address, else one of the same transport and family.
fn socket_of(
    listeners: &Listeners,
    transport: Transport,
    local: &str,
    remote: SocketAddr,
) -> Option<SocketId> {
    let fits = |same: bool| {
        listeners.iter().position(|l| {
            l.transport == transport
                && l.local.is_ipv4() == remote.is_ipv4()
                && (!same || l.local.to_string() == local)
        })
    };
    fits(true).or_else(|| fits(false)).map(|at| SocketId(at as u16))
}
