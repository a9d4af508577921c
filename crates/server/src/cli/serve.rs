//! `ringway serve`: the server itself, until it is told to stop.

use super::Global;
use super::exit::{Exit, Trouble};
use crate::config::secret::NoSecret;
use crate::config::{self, Config};
use crate::control::socket::CannotControl;
use crate::listen::CannotListen;
use crate::server::{CannotStart, start};
use crate::signals::{Signals, Told};
use crate::tls::TlsError;
use crate::{limits, log};
use ringway_store::StoreError;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tracing::{info, warn};

pub(crate) fn run(global: &Global, config: &Config) -> Result<(), Trouble> {
    log::begin(global.level(config.log.level)?, config.log.form, global.colours());
    // Whoever is told that we are ready may tell us to stop.
    let signals = Signals::listen().map_err(|error| {
        Trouble::new(Exit::Failed, format!("ringway: cannot wait for signals: {error}"))
    })?;
    make_run_folder(&config.control())?;
    let startup = config.startup().map_err(no_secret)?;
    let running = start(&startup).map_err(|error| cannot_start(config, &error))?;
    let file = config.file.as_ref().map(|file| file.display().to_string());
    info!(
        event = "serving",
        version = env!("CARGO_PKG_VERSION"),
        config = file.as_deref().unwrap_or("none"),
        data = %config.data.display(),
        control = %config.control().display(),
    );
    if running.engine().snapshot().accounts.is_empty() {
        warn!(event = "no_accounts", hint = "ringway account add USER@DOMAIN makes one");
    }
    while signals.wait() == Told::Reload {
        running.reload();
    }
    running.shutdown(limits::DRAIN);
    Ok(())
}

/// The folder of the usual control socket is ours to make; any other is its owner's.
fn make_run_folder(control: &Path) -> Result<(), Trouble> {
    let Some(folder) = control.parent().filter(|_| control == Path::new(config::CONTROL)) else {
        return Ok(());
    };
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            let exit = match error.kind() {
                io::ErrorKind::PermissionDenied => Exit::Denied,
                _ => Exit::Failed,
            };
            let message = format!(
                "ringway: cannot start: cannot make {} for the control socket: {error}; make it, \
                 or set `control` under [server]",
                folder.display()
            );
            Err(Trouble::new(exit, message))
        }
        _ => Ok(()),
    }
}

/// The same for a password that cannot be had.
pub(super) fn no_secret(error: NoSecret) -> Trouble {
    let exit = match error.cause.kind() {
        io::ErrorKind::PermissionDenied => Exit::Denied,
        _ => Exit::Config,
    };
    Trouble::new(exit, format!("ringway: {error}"))
}

/// What a person is told, and the exit code that says it to a program.
fn cannot_start(config: &Config, error: &CannotStart) -> Trouble {
    let exit = match error {
        CannotStart::Listen(CannotListen { cause, .. }) => match cause.kind() {
            io::ErrorKind::AddrInUse => Exit::Conflict,
            io::ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Failed,
        },
        CannotStart::Store(error) => match error {
            StoreError::NotWritable { .. } => Exit::Denied,
            StoreError::InUse { .. } => Exit::Conflict,
            StoreError::DiskFull { .. } | StoreError::Busy { .. } => Exit::Temporary,
            _ => Exit::Failed,
        },
        CannotStart::Control(CannotControl::InUse(_) | CannotControl::NoSocket(_)) => {
            Exit::Conflict
        }
        CannotStart::Control(CannotControl::Io(_, cause))
            if cause.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Denied
        }
        CannotStart::Tls(TlsError::Io { cause, .. })
            if cause.kind() == io::ErrorKind::PermissionDenied =>
        {
            Exit::Denied
        }
        CannotStart::Tls(TlsError::Content { .. }) => Exit::Config,
        CannotStart::Control(_) | CannotStart::System(_) | CannotStart::Tls(_) => Exit::Failed,
    };
    let hint = match error {
        CannotStart::Listen(CannotListen { cause, .. }) => match cause.kind() {
            io::ErrorKind::AddrInUse => "; stop it, or set `listen` under [server] to another port",
            io::ErrorKind::AddrNotAvailable => "; set `listen` under [server] to one that is",
            io::ErrorKind::PermissionDenied => "; `listen` under [server] sets another one",
            _ => "",
        },
        CannotStart::Store(StoreError::NotWritable { .. }) if config.file.is_none() => {
            "; --data DIR names another one"
        }
        _ => "",
    };
    Trouble::new(exit, format!("ringway: cannot start: {error}{hint}"))
}
