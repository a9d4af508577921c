//! `ringway account`: who may register and call.

mod progress;

use crate::accounts::import::Import;
use crate::accounts::password::Password;
use crate::accounts::weakness::weakness;
use crate::accounts::{address, checked_name};
use crate::commands::table::{Fit, Table, number, visible};
use crate::commands::{Format, Screen, registrations};
use crate::control::views::{AccountView, NewAccount, RegistrationView, Secrets};
use crate::control::{Change, Failure, Far, Kind, Reply, Request};
use ringway_core::address_of_record::AddressOfRecord;
use serde::Serialize;
use std::io::BufRead;

pub use progress::Progress;

/// The password that an account shall have.
#[derive(Debug)]
pub enum Wanted {
    /// One that is made, and shown once.
    Made,
    /// This one.
    Given {
        /// The password.
        password: Password,
        /// Whether it may be weak.
        allow_weak: bool,
    },
}

#[derive(Serialize)]
struct Shown<'a> {
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

/// `account add`: makes an account.
///
/// # Errors
/// If there is one already ([`Kind::Exists`]), the password is weak, or it could not be kept.
pub fn add(
    far: &mut dyn Far,
    (account, name): (&str, &str),
    wanted: Wanted,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let aor = address(account)?;
    let name = checked_name(name)?.to_owned();
    let (password, is_made) = choose(wanted, &aor)?;
    let secrets = Secrets::from(&password.ha1(&aor));
    let account = aor.to_string();
    let new = NewAccount { account: account.clone(), name, secrets };
    let request = Request::Change(Change::Add { accounts: vec![new] });
    let mut is_added = false;
    far.ask(request, &mut |reply| {
        is_added |= matches!(reply, Reply::Added { added: 1, .. });
        Ok(())
    })?;
    if !is_added {
        let message = format!("there is an account {account} already");
        return Err(Failure::new(Kind::Exists, message));
    }
    told("created", &account, is_made.then_some(&password), screen)
}

/// `account passwd`: gives an account another password. Phones stay registered until they
/// register again.
///
/// # Errors
/// If there is no such account, the password is weak, or it could not be kept.
pub fn passwd(
    far: &mut dyn Far,
    account: &str,
    wanted: Wanted,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let aor = address(account)?;
    let (password, is_made) = choose(wanted, &aor)?;
    let secrets = Secrets::from(&password.ha1(&aor));
    let account = aor.to_string();
    let change = Change::SetPassword { account: account.clone(), secrets };
    far.ask(Request::Change(change), &mut |_| Ok(()))?;
    told("changed", &account, is_made.then_some(&password), screen)
}

/// `account rm`: removes an account, and ends its registrations.
///
/// # Errors
/// If there is no such account, or that could not be kept.
pub fn rm(far: &mut dyn Far, account: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let account = address(account)?.to_string();
    let change = Change::Remove { account: account.clone() };
    far.ask(Request::Change(change), &mut |_| Ok(()))?;
    told("removed", &account, None, screen)
}

/// The password to use, and whether it must be shown.
fn choose(wanted: Wanted, aor: &AddressOfRecord) -> Result<(Password, bool), Failure> {
    match wanted {
        Wanted::Made => {
            let made = Password::generate();
            let made = made.map_err(|error| Failure::new(Kind::Failed, error.to_string()))?;
            Ok((made, true))
        }
        Wanted::Given { password, allow_weak } => match weakness(password.reveal(), aor) {
            Some(weakness) if !allow_weak => {
                let message = format!(
                    "the password is weak: {weakness}; choose another, or add --allow-weak"
                );
                Err(Failure::new(Kind::Failed, message))
            }
            _ => Ok((password, false)),
        },
    }
}

fn told(
    done: &str,
    account: &str,
    password: Option<&Password>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let password = password.map(Password::reveal);
    match (screen.format(), password) {
        (Format::Json, _) => screen.json(&Shown { account, password }),
        // Nothing but the password, so that a script can take it.
        (Format::Table, Some(password)) if screen.is_quiet() => screen.line(password),
        (Format::Table, None) if screen.is_quiet() => Ok(()),
        (Format::Table, None) => screen.line(&format!("{done} {account}")),
        (Format::Table, Some(password)) => {
            screen.line(&format!("{done} {account}"))?;
            screen.line(&format!("password: {password}"))?;
            screen.line("This is the only time it is shown: nobody keeps it.")
        }
    }
}

/// `account list`: all accounts.
///
/// # Errors
/// If they cannot be had.
pub fn list(far: &mut dyn Far, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut rows: Vec<AccountView> = Vec::new();
    far.ask(Request::Accounts, &mut |reply| {
        if let Reply::Accounts(some) = reply {
            rows.extend(some);
        }
        Ok(())
    })?;
    if screen.format() == Format::Json {
        return screen.json(&rows);
    }
    let mut table = Table::new(&[
        ("ACCOUNT", Fit::Cut(20)),
        ("NAME", Fit::Cut(12)),
        ("ALGORITHMS", Fit::Whole),
        ("STATE", Fit::Whole),
    ]);
    for row in &rows {
        let state = if row.enabled { "" } else { "disabled" };
        table.row([&row.account, &row.name, &row.algorithms.join(" "), state]);
    }
    screen.table(&table, "no accounts; make one with: ringway account add USER@DOMAIN")
}

#[derive(Serialize)]
struct WithRegistrations<'a> {
    #[serde(flatten)]
    account: &'a AccountView,
    registrations: &'a [RegistrationView],
}

/// `account show`: one account and where it can be reached.
///
/// # Errors
/// If there is no such account, or it cannot be had.
pub fn show(far: &mut dyn Far, account: &str, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let (mut account, mut rows) = (account.to_owned(), Vec::new());
    let mut found: Option<AccountView> = None;
    far.ask(Request::Account { account: std::mem::take(&mut account) }, &mut |reply| {
        match reply {
            Reply::Accounts(some) => found = some.into_iter().next(),
            Reply::Registrations(some) => rows.extend(some),
            _ => {}
        }
        Ok(())
    })?;
    rows.sort();
    let found = found.ok_or_else(|| Failure::new(Kind::Failed, "the server told nothing"))?;
    if screen.format() == Format::Json {
        return screen.json(&WithRegistrations { account: &found, registrations: &rows });
    }
    let name = if found.name.is_empty() { "-" } else { &found.name };
    let state = if found.enabled { "enabled" } else { "disabled" };
    for (title, value) in [
        ("account", &*found.account),
        ("name", name),
        ("algorithms", &found.algorithms.join(" ")),
        ("state", state),
    ] {
        screen.line(&format!("{title:<12}{}", visible(value)))?;
    }
    screen.line("")?;
    screen.table(&registrations::table(&rows), "nobody is registered")
}

#[derive(Serialize)]
struct Report<'a> {
    lines: u64,
    added: u64,
    refused: u64,
    refusals: Vec<RefusedLine<'a>>,
}

#[derive(Serialize)]
struct RefusedLine<'a> {
    line: u64,
    account: Option<&'a str>,
    reason: String,
}

/// `account import`: makes the accounts of a text, see [`Import`], and reports the lines that
/// were refused. The text is read to its end before `reach` is called.
///
/// # Errors
/// If any line was refused, after all others were made; if the text cannot be read, before any
/// was; or if it failed on the way, and then the message tells how far it came.
pub fn import(
    text: impl BufRead,
    allow_weak: bool,
    reach: impl FnOnce() -> Result<Box<dyn Far>, Failure>,
    (screen, progress): (&mut Screen<'_>, &mut Progress),
) -> Result<(), Failure> {
    let read = Import::read(text, allow_weak, &mut |bytes| progress.bytes_read(bytes));
    let mut import = read.map_err(|error| {
        Failure::new(Kind::Failed, format!("the file cannot be read: {error}; nothing was changed"))
    })?;
    let made = if import.is_empty() {
        Ok(())
    } else {
        let total = import.len() as u64;
        reach().and_then(|mut far| import.make(&mut *far, &mut |done| progress.made(done, total)))
    };
    progress.end();
    report(&import, screen)?;
    if let Err(failure) = made {
        let message = format!(
            "stopped after {} accounts: {failure}; to go on, run it again: what was made is then \
             refused as existing",
            number(import.added)
        );
        return Err(Failure { message, ..failure });
    }
    if import.refused > 0 {
        let (refused, lines) = (number(import.refused), number(import.lines));
        let message = format!("{refused} of {lines} lines were refused");
        return Err(Failure::new(Kind::Failed, message));
    }
    Ok(())
}

fn report(import: &Import, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if screen.format() == Format::Json {
        let refusals = import.refusals.iter().map(|refusal| RefusedLine {
            line: refusal.line,
            account: refusal.account.as_deref(),
            reason: refusal.reason.to_string(),
        });
        return screen.json(&Report {
            lines: import.lines,
            added: import.added,
            refused: import.refused,
            refusals: refusals.collect(),
        });
    }
    for refusal in &import.refusals {
        let account = refusal.account.as_deref().map_or(String::new(), |a| format!(" {a}:"));
        screen.line(&format!("line {}:{account} {}", refusal.line, refusal.reason))?;
    }
    let more = import.refused - import.refusals.len() as u64;
    if more > 0 {
        screen.line(&format!("and {} more lines", number(more)))?;
    }
    if screen.is_quiet() {
        return Ok(());
    }
    screen.line(&format!("{} accounts made", number(import.added)))
}

#[cfg(test)]
mod tests;
