//! The embedded store: one SQLite file that an administrator can look into while it is used.
//!
//! It is kept as a write-ahead log with `synchronous = FULL`: a commit that has returned is on
//! disk (`docs/decisions/0003-sqlite.md`: what was measured). A lock file in the folder keeps a
//! second process from writing; the kernel lets go of it however the process ends.

mod rows;

use crate::memory::new_secret;
use crate::{Listeners, Store, StoreError, limits, moment};
use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::binding::Binding;
use ringway_core::boundary::{CommitToken, Write};
use rows::Bytes;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What brings a file from each format to the next; the first one makes it.
const MIGRATIONS: [&str; 3] = [
    include_str!("sqlite/format-1.sql"),
    include_str!("sqlite/format-2.sql"),
    include_str!("sqlite/format-3.sql"),
];
/// "Ring", in the header of the file.
const APPLICATION: i64 = 0x5269_6e67;
const DELETE_BINDING: &str = "DELETE FROM binding WHERE user = ?1 AND domain = ?2 AND key = ?3";

/// A store in a folder.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    file: PathBuf,
    listeners: Listeners,
    commits: u64,
    /// The key after which the next sweep goes on.
    swept_to: [Value; 3],
    /// Held as long as the store is open.
    _lock: File,
}

impl Sqlite {
    /// Opens the store in a folder, which is made if it is not there. `ringway.db` in it is the
    /// database, readable for its owner only.
    ///
    /// # Errors
    /// If the folder cannot be written or is in use by another process, or the file is damaged,
    /// foreign, or of a newer version.
    pub fn open(folder: &Path, listeners: Listeners) -> Result<Self, StoreError> {
        make_folder(folder)?;
        let lock = lock(folder)?;
        let file = folder.join("ringway.db");
        make_private_file(folder, &file)?;
        let connection = connect(&file).map_err(|error| explain(&file, &error))?;
        let known = MIGRATIONS.len() as i64;
        match found_format(&connection).map_err(|error| explain(&file, &error))? {
            None => return Err(StoreError::Foreign { path: file }),
            Some(found) if found > known => {
                return Err(StoreError::TooNew { path: file, found, known });
            }
            Some(found) => migrate(&connection, &MIGRATIONS, found as usize)
                .map_err(|error| explain(&file, &error))?,
        }
        Ok(Self { connection, file, listeners, commits: 0, swept_to: start(), _lock: lock })
    }

    fn apply(&mut self, batch: &[Write]) -> rusqlite::Result<()> {
        let behavior = TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior)?;
        {
            let mut put_binding = transaction.prepare_cached(rows::PUT_BINDING)?;
            let mut drop_binding = transaction.prepare_cached(DELETE_BINDING)?;
            for write in batch {
                match write {
                    Write::PutBinding(aor, binding) => {
                        rows::put_binding(&mut put_binding, &self.listeners, aor, binding)?;
                    }
                    Write::DropBinding(aor, key) => {
                        let key = params![Bytes(aor.user()), Bytes(aor.domain()), Bytes(key)];
                        drop_binding.execute(key)?;
                    }
                    Write::PutAccount(account) => {
                        let mut put = transaction.prepare_cached(rows::PUT_ACCOUNT)?;
                        rows::put_account(&mut put, account)?;
                    }
                    Write::DropAccount(aor) => {
                        for sql in [
                            "DELETE FROM account WHERE user = ?1 AND domain = ?2",
                            "DELETE FROM binding WHERE user = ?1 AND domain = ?2",
                        ] {
                            let key = params![Bytes(aor.user()), Bytes(aor.domain())];
                            transaction.prepare_cached(sql)?.execute(key)?;
                        }
                    }
                }
            }
        }
        transaction.commit()
    }

    fn find_or_make_secret(&self) -> rusqlite::Result<Result<Vec<u8>, StoreError>> {
        let query = "SELECT value FROM meta WHERE key = 'secret'";
        let found = self.connection.query_row(query, [], |row| row.get(0)).optional()?;
        if let Some(found) = found {
            return Ok(Ok(found));
        }
        let secret = match new_secret() {
            Ok(secret) => secret,
            Err(error) => return Ok(Err(error)),
        };
        let insert = "INSERT INTO meta (key, value) VALUES ('secret', ?1)";
        self.connection.execute(insert, [&secret[..]])?;
        Ok(Ok(secret.to_vec()))
    }

    /// Looks at the next rows, and forgets those that ended by `limit`.
    fn sweep_some(&mut self, limit: i64) -> rusqlite::Result<usize> {
        let mut last = start();
        let mut seen = 0;
        let mut ended = Vec::new();
        {
            let mut query = self.connection.prepare_cached(
                "SELECT user, domain, key, kept_until FROM binding
                 WHERE (user, domain, key) > (?1, ?2, ?3)
                 ORDER BY user, domain, key LIMIT ?4",
            )?;
            let [user, domain, key] = &self.swept_to;
            let mut rows = query.query(params![user, domain, key, limits::SWEEP_ROWS as i64])?;
            while let Some(row) = rows.next()? {
                seen += 1;
                let is_last = seen == limits::SWEEP_ROWS;
                let has_ended = row.get::<_, i64>(3)? <= limit;
                if !is_last && !has_ended {
                    continue;
                }
                let key: [Value; 3] = [row.get(0)?, row.get(1)?, row.get(2)?];
                if has_ended {
                    ended.push(key.clone());
                }
                if is_last {
                    last = key;
                }
            }
        }
        if !ended.is_empty() {
            let behavior = TransactionBehavior::Immediate;
            let transaction = self.connection.transaction_with_behavior(behavior)?;
            for [user, domain, key] in &ended {
                let key = params![user, domain, key];
                transaction.prepare_cached(DELETE_BINDING)?.execute(key)?;
            }
            transaction.commit()?;
        }
        self.swept_to = last;
        Ok(ended.len())
    }
}

impl Store for Sqlite {
    fn write(&mut self, batch: &[Write]) -> Result<CommitToken, StoreError> {
        self.apply(batch).map_err(|error| explain(&self.file, &error))?;
        self.commits += 1;
        Ok(CommitToken::committed(self.commits))
    }

    fn accounts(&mut self, each: &mut dyn FnMut(Account)) -> Result<(), StoreError> {
        let mut read = || {
            let mut query = self.connection.prepare_cached(rows::ACCOUNTS)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                each(rows::read_account(row)?);
            }
            Ok(())
        };
        read().map_err(|error| explain(&self.file, &error))
    }

    fn bindings(
        &mut self,
        now_s: u64,
        each: &mut dyn FnMut(AddressOfRecord, Binding),
    ) -> Result<(), StoreError> {
        let mut read = || {
            let mut query = self.connection.prepare_cached(rows::BINDINGS)?;
            let mut rows = query.query([rows::micros(moment(now_s))])?;
            while let Some(row) = rows.next()? {
                if let Some((aor, binding)) = rows::read_binding(row, &self.listeners)? {
                    each(aor, binding);
                }
            }
            Ok(())
        };
        read().map_err(|error| explain(&self.file, &error))
    }

    fn secret(&mut self) -> Result<[u8; 32], StoreError> {
        let found = self.find_or_make_secret().map_err(|error| explain(&self.file, &error))??;
        found.try_into().map_err(|_| StoreError::Damaged {
            path: self.file.clone(),
            what: "the secret in table meta is not 32 bytes long".into(),
        })
    }

    fn sweep(&mut self, now_s: u64) -> Result<usize, StoreError> {
        let limit = moment(now_s.saturating_sub(limits::SWEEP_GRACE_S));
        self.sweep_some(rows::micros(limit)).map_err(|error| explain(&self.file, &error))
    }

    fn check(&mut self) -> Result<(), StoreError> {
        let sql = "PRAGMA quick_check(1)";
        let said = self.connection.query_row(sql, [], |row| row.get::<_, String>(0));
        let said = said.map_err(|error| explain(&self.file, &error))?;
        if said != "ok" {
            return Err(StoreError::Damaged { path: self.file.clone(), what: said });
        }
        self.accounts(&mut |_| {})?;
        self.bindings(0, &mut |_, _| {})
    }
}

/// A key before all others: numbers sort before text and bytes.
fn start() -> [Value; 3] {
    [Value::Integer(0), Value::Integer(0), Value::Integer(0)]
}

fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(file)?;
    connection.busy_timeout(limits::BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", limits::LOG_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", limits::LOG_KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -limits::PAGE_CACHE_KIB)?;
    Ok(connection)
}

/// The format of the file, 0 if it is new; `None` if another program made it.
fn found_format(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let sql = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    let is_new = application == 0 && format == 0 && tables == 0;
    Ok((is_new || application == APPLICATION).then_some(format))
}

fn migrate(connection: &Connection, steps: &[&str], found: usize) -> rusqlite::Result<()> {
    for (format, step) in steps.iter().enumerate().skip(found) {
        let format = format + 1;
        let result = connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {step}
             PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {format}; COMMIT;"
        ));
        if result.is_err() {
            // The first error is the one to tell.
            let _ = connection.execute_batch("ROLLBACK");
            return result;
        }
    }
    Ok(())
}

/// Only one process may have the folder. Others are told which one has it.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("ringway.lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(|error| not_writable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let process = io::read_to_string(&mut file).ok();
            let process = process.and_then(|text| text.trim().parse().ok());
            return Err(StoreError::InUse { path: folder.to_owned(), process });
        }
        Err(fs::TryLockError::Error(error)) => return Err(not_writable(&path, &error)),
    }
    // The number only helps people; if it cannot be written, the lock holds all the same.
    let _ = file.set_len(0);
    let _ = io::Write::write_all(&mut file, format!("{}\n", std::process::id()).as_bytes());
    Ok(file)
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    // What is in it opens every account: nobody else's business.
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(|error| not_writable(folder, &error))?;
    // The folder itself must be there after a power cut.
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_folder(parent.unwrap_or_else(|| Path::new(".")))
}

/// SQLite gives its log the permissions of the database.
fn make_private_file(folder: &Path, file: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let open = options.open(file).map_err(|error| not_writable(file, &error))?;
    let metadata = open.metadata().map_err(|error| not_writable(file, &error))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        let only_owner = fs::Permissions::from_mode(0o600);
        open.set_permissions(only_owner).map_err(|error| not_writable(file, &error))?;
    }
    if metadata.len() == 0 { sync_folder(folder) } else { Ok(()) }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let synced = File::open(folder).and_then(|open| open.sync_all());
    synced.map_err(|error| not_writable(folder, &error))
}

fn not_writable(path: &Path, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::StorageFull {
        return StoreError::DiskFull { path: path.to_owned() };
    }
    StoreError::NotWritable { path: path.to_owned(), cause: error.to_string() }
}

fn explain(file: &Path, error: &rusqlite::Error) -> StoreError {
    let path = file.to_owned();
    let cause = error.to_string();
    let extended = error.sqlite_error().map_or(0, |error| error.extended_code);
    match error.sqlite_error_code() {
        // The index of the log could not grow: SQLite has no better word for it.
        Some(_) if extended == SQLITE_IOERR_SHMSIZE => StoreError::DiskFull { path },
        Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::NotWritable { path, cause }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { path, what: cause }
        }
        Some(_) => StoreError::Io { path, cause },
        // A value in a row that we cannot understand.
        None => StoreError::Damaged { path, what: cause },
    }
}

#[cfg(test)]
mod tests;
