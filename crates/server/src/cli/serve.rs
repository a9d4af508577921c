//! `ringway serve`: the server itself, until it is told to stop.

use super::Global;
use super::exit::{Exit, Trouble};
use crate::config::Config;
use crate::listen::CannotListen;
use crate::log;
use crate::server::{CannotStart, start};
use ringway_store::StoreError;
use std::io;
use tracing::{info, warn};

pub(crate) fn run(global: &Global, config: &Config) -> Result<(), Trouble> {
    let level = std::env::var("RINGWAY_LOG").ok();
    let level = log::level(level.as_deref(), config.log.level, global.verbose)
        .map_err(|message| Trouble::new(Exit::Usage, message))?;
    log::begin(level, config.log.form, global.colours());
    let running = start(&config.startup()).map_err(|error| cannot_start(config, &error))?;
    for listener in running.listeners() {
        info!(event = "listening", transport = %listener.transport, address = %listener.local);
    }
    if running.engine().snapshot().accounts.is_empty() {
        warn!(event = "no_accounts", hint = "ringway account add USER@DOMAIN makes one");
    }
    running
        .until_signalled()
        .map_err(|error| Trouble::new(Exit::Failed, format!("cannot wait for signals: {error}")))
}

/// What a person is told, and the exit code that says it to a program.
fn cannot_start(config: &Config, error: &CannotStart) -> Trouble {
    let exit = match error {
        CannotStart::Listen(CannotListen { cause, .. }) => match cause.kind() {
            io::ErrorKind::AddrInUse => Exit::Conflict,
            io::ErrorKind::PermissionDenied => Exit::Denied,
            _ => Exit::Failed,
        },
        CannotStart::Store(StoreError::NotWritable { .. }) => Exit::Denied,
        CannotStart::Store(StoreError::InUse { .. }) => Exit::Conflict,
        CannotStart::Control(_) => Exit::Conflict,
        CannotStart::Store(_) | CannotStart::System(_) => Exit::Failed,
    };
    let hint = match error {
        CannotStart::Listen(CannotListen { cause, .. })
            if cause.kind() == io::ErrorKind::AddrInUse =>
        {
            "; stop it, or set `listen` under [server] to another port"
        }
        CannotStart::Store(StoreError::NotWritable { .. }) if config.file.is_none() => {
            "; --data DIR names another one"
        }
        _ => "",
    };
    Trouble::new(exit, format!("ringway: cannot start: {error}{hint}"))
}
