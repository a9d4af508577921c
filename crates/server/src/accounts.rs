//! Accounts: what a change of them comes to, wherever they are kept. Passwords are text only in
//! the command that makes or reads them; everybody else sees their hashes.

pub mod password;
pub mod weakness;
pub mod import;

use crate::control::views::NewAccount;
use crate::control::{Change, Failure, Kind, Reply};
use crate::limits;
use ringway_core::account::Account;
use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::Write;
use ringway_core::snapshot::{Accounts, Snapshot};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;

/// A change that was found to be possible: what must be written, and what to say then.
#[derive(Debug)]
pub(crate) struct Decided {
    /// What must be kept, all or nothing.
    pub(crate) writes: Vec<Write>,
    /// What to say when it is.
    pub(crate) reply: Option<Reply>,
}

/// What a change comes to.
///
/// # Errors
/// If it cannot be done with the accounts there are.
pub(crate) fn decide(known: &Accounts, change: &Change) -> Result<Decided, Failure> {
    match change {
        Change::Add { accounts } => add(known, accounts),
        Change::SetPassword { account, secrets } => {
            let changed = Account { ha1: secrets.to_ha1()?, ..find(known, account)?.clone() };
            Ok(Decided { writes: vec![Write::PutAccount(changed)], reply: None })
        }
        Change::Remove { account } => {
            let aor = find(known, account)?.aor.clone();
            Ok(Decided { writes: vec![Write::DropAccount(aor)], reply: None })
        }
    }
}

fn add(known: &Accounts, wanted: &[NewAccount]) -> Result<Decided, Failure> {
    if wanted.len() > limits::ACCOUNTS_PER_REQUEST {
        let message = format!("more than {} accounts at once", limits::ACCOUNTS_PER_REQUEST);
        return Err(Failure::new(Kind::Invalid, message));
    }
    let (mut writes, mut exist, mut new) = (Vec::new(), Vec::new(), BTreeSet::new());
    for wanted in wanted {
        let aor = address(&wanted.account)?;
        if known.find(&aor).is_some() || !new.insert(aor.clone()) {
            exist.push(aor.to_string());
            continue;
        }
        let display_name = checked_name(&wanted.name)?.to_owned();
        let ha1 = wanted.secrets.to_ha1()?;
        // Whoever had this name before leaves nothing to its new owner: a registration that was
        // under way when the old account was removed may have been kept after it.
        writes.push(Write::DropAccount(aor.clone()));
        writes.push(Write::PutAccount(Account { aor, ha1, display_name, enabled: true }));
    }
    let added = new.len() as u64;
    Ok(Decided { writes, reply: Some(Reply::Added { added, exist }) })
}

/// The account of this name.
///
/// # Errors
/// If it is no name, or nobody's.
pub(crate) fn find<'a>(known: &'a Accounts, text: &str) -> Result<&'a Account, Failure> {
    let aor = address(text)?;
    let none = || Failure::new(Kind::NotFound, format!("there is no account {aor}"));
    known.find(&aor).ok_or_else(none)
}

/// Reads `user@domain` as an administrator types it, and brings the domain into the form in
/// which requests are compared with it: an address without brackets, a name without final dot.
///
/// # Errors
/// If it is no such thing.
pub fn address(text: &str) -> Result<AddressOfRecord, Failure> {
    let shown = || text.chars().take(80).collect::<String>().escape_debug().to_string();
    let wrong = || {
        let message = format!("\"{}\" is no account; write user@domain", shown());
        Failure::new(Kind::Invalid, message)
    };
    let aor = AddressOfRecord::from_text(text).ok_or_else(wrong)?;
    let domain = std::str::from_utf8(aor.domain()).map_err(|_| wrong())?;
    let domain = match domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
        None if domain.contains(['[', ']']) => return Err(wrong()),
        None if domain.contains(':') => {
            domain.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string()
        }
        None => domain.strip_suffix('.').unwrap_or(domain).to_owned(),
    };
    AddressOfRecord::new(aor.user(), domain.as_bytes()).ok_or_else(wrong)
}

/// A display name without control characters, which would forge lines where it is shown.
///
/// # Errors
/// If it has some, or is too long.
pub(crate) fn checked_name(name: &str) -> Result<&str, Failure> {
    let name = name.trim();
    if name.chars().any(char::is_control) {
        return Err(Failure::new(Kind::Invalid, "a name may have no control characters"));
    }
    if name.len() > limits::NAME_BYTES {
        let message = format!("a name may have at most {} bytes", limits::NAME_BYTES);
        return Err(Failure::new(Kind::Invalid, message));
    }
    Ok(name)
}

/// Makes the changes in a snapshot, and sets its domains anew where they may have changed.
pub(crate) fn apply(snapshot: &mut Snapshot, writes: &[Write], configured: &[String]) {
    let mut domains_change = false;
    for write in writes {
        match write {
            Write::PutAccount(account) => {
                domains_change |= !snapshot.domains.contains(account.aor.domain());
                snapshot.accounts.put(account.clone());
            }
            Write::DropAccount(aor) => {
                domains_change |= snapshot.accounts.remove(aor);
            }
            Write::PutBinding(..) | Write::DropBinding(..) => {}
        }
    }
    if domains_change {
        set_domains(snapshot, configured);
    }
}

/// Our domains are the configured ones and those of all accounts. Our own addresses stand for
/// the first that is configured, else for the domain of the accounts if it is the only one.
pub(crate) fn set_domains(snapshot: &mut Snapshot, configured: &[String]) {
    let lower = |domain: &String| domain.to_ascii_lowercase().into_bytes().into_boxed_slice();
    let mut domains: BTreeSet<Box<[u8]>> = configured.iter().map(lower).collect();
    for account in snapshot.accounts.all() {
        if !domains.contains(account.aor.domain()) {
            domains.insert(account.aor.domain().into());
        }
    }
    snapshot.default_domain = match (configured.first(), domains.first()) {
        (Some(first), _) => Some(lower(first)),
        (None, Some(only)) if domains.len() == 1 => Some(only.clone()),
        (None, _) => None,
    };
    snapshot.domains = domains;
}

#[cfg(test)]
mod tests;
