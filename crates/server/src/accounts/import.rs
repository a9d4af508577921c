//! Accounts in bulk: a text of lines `user@domain,password` or `user@domain,HA1=…`.
//!
//! ```text
//! # A comment. Empty lines are passed over, and so is a byte order mark.
//! alice@example.org,k7mPq2xW9zRt
//! "bob@example.org","a password with "" quotes, commas and blanks at its end "
//! carol@example.org,HA1=5f4dcc3b5aa765d61d8327deb882cf99
//! dave@example.org,HA1-SHA-256=…,HA1-MD5=…
//! ```
//!
//! Without quotes the password is all that stands behind the first comma, but for blanks around
//! it. `HA1` is `H(user:domain:password)` in hexadecimal digits: with 32 of them it is for MD5,
//! with 64 for SHA-256; `HA1-MD5`, `HA1-SHA-256` and `HA1-SHA-512-256` say which, and may stand
//! together.

use crate::accounts::address;
use crate::accounts::password::{NoPassword, Password};
use crate::accounts::weakness::{Weakness, weakness};
use crate::control::views::{NewAccount, Secrets, from_hex};
use crate::control::{Change, Failure, Far, Reply, Request};
use crate::limits;
use ringway_core::account::Ha1;
use ringway_core::address_of_record::AddressOfRecord;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Read};
use zeroize::{Zeroize, Zeroizing};

/// What was read, and later what became of it.
#[derive(Debug, Default)]
pub struct Import {
    /// Lines that name an account, good or not.
    pub lines: u64,
    /// How many accounts were made.
    pub added: u64,
    /// How many lines were refused.
    pub refused: u64,
    /// Which ones; of very many only the first.
    pub refusals: Vec<Refusal>,
    accounts: Vec<Entry>,
}

/// A line that was refused.
#[derive(Debug)]
pub struct Refusal {
    /// Its number, from 1.
    pub line: u64,
    /// The account it names, if it does.
    pub account: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why a line is refused. None of them shows what may be a password.
#[derive(Debug)]
pub enum Reason {
    /// More bytes than any account needs.
    TooLong,
    /// Not UTF-8.
    NotText,
    /// No comma, or no account before it.
    NoAccount,
    /// A quote that does not end, or something behind its end.
    Quotes,
    /// No usable password.
    NoPassword(NoPassword),
    /// A password that is too easy.
    Weak(Weakness),
    /// An HA1 of unknown name, or with too few or too many digits.
    NoHash,
    /// The account stands in an earlier line already.
    Twice(u64),
    /// The account was there before.
    Exists,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the line is longer than {} bytes", limits::IMPORT_LINE),
            Self::NotText => f.write_str("it is not UTF-8"),
            Self::NoAccount => f.write_str("it does not begin with user@domain and a comma"),
            Self::Quotes => f.write_str("its quotes do not match"),
            Self::NoPassword(error) => error.fmt(f),
            Self::Weak(weakness) => write!(f, "the password is weak: {weakness}"),
            Self::NoHash => f.write_str(
                "no HA1: it has 32 hexadecimal digits for MD5, 64 for SHA-256 and SHA-512-256",
            ),
            Self::Twice(line) => write!(f, "the account stands in line {line} already"),
            Self::Exists => f.write_str("the account exists already"),
        }
    }
}

/// A good line.
#[derive(Debug)]
struct Entry {
    line: u64,
    aor: AddressOfRecord,
    ha1: Ha1,
}

impl Import {
    /// Reads to the end; makes nothing yet. `progress` is told the bytes read so far.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(
        mut from: impl BufRead,
        allow_weak: bool,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Self> {
        let mut import = Self::default();
        let mut names: HashMap<AddressOfRecord, u64> = HashMap::new();
        let mut line = Zeroizing::new(Vec::with_capacity(limits::IMPORT_LINE + 1));
        let (mut number, mut bytes) = (0, 0);
        loop {
            line.zeroize();
            let limit = limits::IMPORT_LINE as u64 + 1;
            let mut length = Read::take(&mut from, limit).read_until(b'\n', &mut line)? as u64;
            if length == 0 {
                return Ok(import);
            }
            number += 1;
            let is_cut = length == limit && !line.ends_with(b"\n");
            if is_cut {
                length += from.skip_until(b'\n')? as u64;
            }
            bytes += length;
            progress(bytes);
            let start = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf") } else { None };
            let text = start.unwrap_or(&line).trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            import.lines += 1;
            let read = if is_cut { Err((None, Reason::TooLong)) } else { entry(text, allow_weak) };
            match read {
                Ok((aor, ha1)) => match names.get(&aor) {
                    Some(&first) => import.refuse(number, Some(&aor), Reason::Twice(first)),
                    None => {
                        names.insert(aor.clone(), number);
                        import.accounts.push(Entry { line: number, aor, ha1 });
                    }
                },
                Err((aor, reason)) => import.refuse(number, aor.as_ref(), reason),
            }
        }
    }

    /// How many accounts there are to be made.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Makes them, some hundred at a time, each time all or none. `progress` is told how many
    /// lines are done.
    ///
    /// # Errors
    /// If that fails on the way; [`Import::added`] tells how many there are by then.
    pub fn make(
        &mut self,
        far: &mut dyn Far,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let entries = std::mem::take(&mut self.accounts);
        let mut done = 0;
        for some in entries.chunks(limits::ACCOUNTS_PER_REQUEST) {
            let accounts = some.iter().map(|entry| NewAccount {
                account: entry.aor.to_string(),
                name: String::new(),
                secrets: Secrets::from(&entry.ha1),
            });
            let request = Request::Change(Change::Add { accounts: accounts.collect() });
            far.ask(request, &mut |reply| {
                if let Reply::Added { added, exist } = reply {
                    self.added += added;
                    self.note_existing(some, &exist);
                }
                Ok(())
            })?;
            done += some.len() as u64;
            progress(done);
        }
        self.refusals.sort_by_key(|refusal| refusal.line);
        Ok(())
    }

    fn note_existing(&mut self, entries: &[Entry], exist: &[String]) {
        if exist.is_empty() {
            return;
        }
        let known: HashMap<String, &Entry> =
            entries.iter().map(|entry| (entry.aor.to_string(), entry)).collect();
        for entry in exist.iter().filter_map(|name| known.get(name)) {
            self.refuse(entry.line, Some(&entry.aor), Reason::Exists);
        }
    }

    fn refuse(&mut self, line: u64, aor: Option<&AddressOfRecord>, reason: Reason) {
        self.refused += 1;
        if self.refusals.len() < limits::IMPORT_REFUSALS {
            let account = aor.map(ToString::to_string);
            self.refusals.push(Refusal { line, account, reason });
        }
    }
}

/// Reads a line without blanks around it.
fn entry(
    line: &[u8],
    allow_weak: bool,
) -> Result<(AddressOfRecord, Ha1), (Option<AddressOfRecord>, Reason)> {
    let line = std::str::from_utf8(line).map_err(|_| (None, Reason::NotText))?;
    let (account, rest) = field(line).map_err(|reason| (None, reason))?;
    let aor = address(account.trim()).map_err(|_| (None, Reason::NoAccount))?;
    let rest = rest.ok_or((None, Reason::NoAccount))?;
    match secret(rest, &aor, allow_weak) {
        Ok(ha1) => Ok((aor, ha1)),
        Err(reason) => Err((Some(aor), reason)),
    }
}

fn secret(rest: &str, aor: &AddressOfRecord, allow_weak: bool) -> Result<Ha1, Reason> {
    let rest = rest.trim_ascii();
    let text = if rest.starts_with('"') {
        match field(rest)? {
            (text, None) => Zeroizing::new(text.into_owned()),
            (_, Some(_)) => return Err(Reason::Quotes),
        }
    } else {
        Zeroizing::new(rest.to_owned())
    };
    if is_hash(&text) {
        return hashes(&text).ok_or(Reason::NoHash);
    }
    let password = Password::from_bytes(text.as_bytes()).map_err(Reason::NoPassword)?;
    match weakness(password.reveal(), aor) {
        Some(weakness) if !allow_weak => Err(Reason::Weak(weakness)),
        _ => Ok(password.ha1(aor)),
    }
}

/// The first field, and what stands behind its comma if there is one.
fn field(text: &str) -> Result<(Cow<'_, str>, Option<&str>), Reason> {
    let Some(quoted) = text.strip_prefix('"') else {
        return Ok(match text.split_once(',') {
            Some((field, rest)) => (field.into(), Some(rest)),
            None => (text.into(), None),
        });
    };
    let mut field = String::new();
    let mut rest = quoted;
    loop {
        let (piece, behind) = rest.split_once('"').ok_or(Reason::Quotes)?;
        field.push_str(piece);
        match behind.strip_prefix('"') {
            // Two quotes in quotes are one.
            Some(behind) => {
                field.push('"');
                rest = behind;
            }
            None => {
                let behind = behind.trim_ascii_start();
                return match (behind.strip_prefix(','), behind.is_empty()) {
                    (Some(rest), _) => Ok((field.into(), Some(rest))),
                    (None, true) => Ok((field.into(), None)),
                    (None, false) => Err(Reason::Quotes),
                };
            }
        }
    }
}

/// Whether this is meant as HA1; nobody's password begins so.
fn is_hash(text: &str) -> bool {
    let name = text.split('=').next().unwrap_or_default();
    text.contains('=') && HASHES.iter().any(|hash| hash.eq_ignore_ascii_case(name.trim()))
}

const HASHES: [&str; 4] = ["HA1", "HA1-MD5", "HA1-SHA-256", "HA1-SHA-512-256"];

fn hashes(text: &str) -> Option<Ha1> {
    let mut ha1 = Ha1::default();
    for part in text.split(',') {
        let (name, digits) = part.split_once('=')?;
        let (name, digits) = (name.trim().to_ascii_uppercase(), digits.trim().as_bytes());
        match (&*name, digits.len()) {
            ("HA1" | "HA1-MD5", 32) => ha1.md5 = Some(from_hex(digits)?),
            ("HA1" | "HA1-SHA-256", 64) => ha1.sha256 = Some(from_hex(digits)?),
            ("HA1-SHA-512-256", 64) => ha1.sha512_256 = Some(from_hex(digits)?),
            _ => return None,
        }
    }
    Some(ha1)
}

#[cfg(test)]
mod tests;
