//! The commands that ask or change a server, as they are typed: `ringway account` and its kin.

use super::exit::{Exit, Trouble};
use super::{Form, Global};
use crate::accounts::password::Password;
use crate::commands::account::{Progress, Wanted};
use crate::commands::{Format, Screen, account, calls, registrations, route, status};
use crate::control::Failure;
use crate::control::client::Place;
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

/// `ringway account`
#[derive(Subcommand, Debug)]
pub(crate) enum Account {
    /// Make an account; its password is made too, and shown once
    Add {
        #[command(flatten)]
        named: Named,
        /// A name for people
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        source: Source,
    },
    /// List all accounts
    #[command(visible_alias = "ls")]
    List,
    /// Show one account and where it is registered
    Show(Named),
    /// Give an account another password; it is made, and shown once
    Passwd {
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        source: Source,
    },
    /// Remove an account and its registrations
    Rm(Named),
    /// Make many accounts from lines like user@domain,password
    ///
    /// Instead of the password a line may have its hash: user@domain,HA1=... with 32
    /// hexadecimal digits for MD5 or 64 for SHA-256. Empty lines and lines that begin with #
    /// are passed over. Lines that cannot be used are reported; all others are imported.
    Import {
        /// The file, or - for standard input
        #[arg(value_name = "FILE|-")]
        file: PathBuf,
        /// Take passwords that are easily guessed
        #[arg(long)]
        allow_weak: bool,
    },
}

/// One account.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The account, like alice@example.org
    #[arg(value_name = "USER@DOMAIN")]
    account: String,
}

/// Where a password comes from.
#[derive(Args, Debug)]
pub(crate) struct Source {
    /// Read the password from standard input instead of making one
    #[arg(long)]
    password_stdin: bool,
    /// Take a password that is easily guessed
    #[arg(long, requires = "password_stdin")]
    allow_weak: bool,
}

/// `ringway registrations`
#[derive(Args, Debug)]
pub(crate) struct Registrations {
    /// Only this account
    #[arg(value_name = "USER@DOMAIN")]
    account: Option<String>,
}

/// `ringway route`
#[derive(Subcommand, Debug)]
pub(crate) enum Route {
    /// Explain where a call would go, and why
    Explain {
        /// Who calls
        #[arg(long, value_name = "USER@DOMAIN")]
        from: String,
        /// Who is called: a user of the caller's domain, user@domain, or a URI
        #[arg(long, value_name = "TARGET")]
        to: String,
    },
}

impl Source {
    fn wanted(&self) -> Result<Wanted, Trouble> {
        if !self.password_stdin {
            return Ok(Wanted::Made);
        }
        let password = Password::read(io::stdin().lock())
            .map_err(|error| Trouble::new(Exit::Failed, error.to_string()))?;
        Ok(Wanted::Given { password, allow_weak: self.allow_weak })
    }
}

pub(crate) fn account(global: &Global, command: Account) -> Result<(), Trouble> {
    let place = global.load()?.place();
    on_screen(global, |screen| {
        let done = match command {
            Account::Add { named, name, source } => {
                // Read before the server is asked: it does not wait for somebody who types.
                let wanted = source.wanted()?;
                account::add(&mut *place.reach()?, (&named.account, &name), wanted, screen)
            }
            Account::List => account::list(&mut *place.reach()?, screen),
            Account::Show(named) => account::show(&mut *place.reach()?, &named.account, screen),
            Account::Passwd { named, source } => {
                let wanted = source.wanted()?;
                account::passwd(&mut *place.reach()?, &named.account, wanted, screen)
            }
            Account::Rm(named) => account::rm(&mut *place.reach()?, &named.account, screen),
            Account::Import { file, allow_weak } => import(&place, &file, allow_weak, screen),
        };
        Ok(done?)
    })
}

fn import(
    place: &Place,
    file: &Path,
    allow_weak: bool,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    use crate::control::Kind;
    let (text, size): (Box<dyn BufRead>, _) = if file == Path::new("-") {
        (Box::new(io::stdin().lock()), None)
    } else {
        let cannot = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Failed,
            };
            Failure::new(kind, format!("cannot read {}: {error}", file.display()))
        };
        let open = File::open(file).map_err(cannot)?;
        let size = open.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len());
        (Box::new(BufReader::with_capacity(1 << 16, open)), size)
    };
    let mut progress =
        if screen.is_quiet() { Progress::none() } else { Progress::of_terminal(size) };
    account::import(text, allow_weak, || place.reach(), (screen, &mut progress))
}

pub(crate) fn registrations(global: &Global, wanted: Registrations) -> Result<(), Trouble> {
    let place = global.load()?.place();
    on_screen(global, |screen| {
        Ok(registrations::list(&mut *place.reach()?, wanted.account.as_deref(), screen)?)
    })
}

pub(crate) fn calls(global: &Global) -> Result<(), Trouble> {
    let place = global.load()?.place();
    on_screen(global, |screen| Ok(calls::list(&mut place.running()?, screen)?))
}

pub(crate) fn status(global: &Global) -> Result<(), Trouble> {
    let place = global.load()?.place();
    on_screen(global, |screen| Ok(status::show(&mut place.running()?, screen)?))
}

pub(crate) fn route(global: &Global, command: Route) -> Result<(), Trouble> {
    let Route::Explain { from, to } = command;
    let place = global.load()?.place();
    on_screen(global, |screen| Ok(route::explain(&mut *place.reach()?, (&from, &to), screen)?))
}

fn on_screen(
    global: &Global,
    command: impl FnOnce(&mut Screen<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let format = match global.output {
        Form::Table => Format::Table,
        Form::Json => Format::Json,
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = command(&mut Screen::new(&mut out, format).of_terminal().quiet(global.quiet));
    let flushed = match io::Write::flush(&mut out) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Trouble::new(Exit::Failed, format!("cannot print: {error}")))
        }
        _ => Ok(()),
    };
    done.and(flushed)
        .map_err(|trouble| Trouble { message: format!("ringway: {}", trouble.message), ..trouble })
}
