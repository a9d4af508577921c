//! The command line: what can be typed, and which module does it.
//!
//! ```text
//! words -> Cli -> config::load -> one module a command -> Exit
//! ```

pub mod exit;
mod serve;
mod demo;
mod check;
mod admin;
mod trace;

use crate::config::{self, Config};
use crate::log;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use exit::{Exit, Trouble};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use tracing::level_filters::LevelFilter;

/// A SIP server: registrar, location service and proxy in one program.
///
/// Without a command it serves.
#[derive(Parser, Debug)]
#[command(name = "ringway", version, max_term_width = 80, args_conflicts_with_subcommands = false)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 configuration not valid, \
    4 server not reachable, 5 not allowed, 6 not found, 7 exists or in use, 75 try again, \
    130 interrupted.")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// The configuration file [env: RINGWAY_CONFIG]
    ///
    /// Without it /etc/ringway/ringway.toml is read if it exists; without any, the server
    /// listens on port 5060 and keeps its data in a default folder.
    #[arg(short, long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The folder for accounts and registrations [env: RINGWAY_DATA_DIR]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data: Option<PathBuf>,
    /// How results are printed
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORM")]
    pub output: Form,
    /// Print nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more; twice logs every message's fate
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No colours
    #[arg(long, global = true)]
    no_color: bool,
}

/// How results are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// What can be done.
#[derive(Subcommand, Debug)]
enum Command {
    /// Run the server
    Serve,
    /// Try it: a server, two phones and a call, here and now
    Demo(demo::Options),
    /// Make, change and list accounts: who may register and call
    #[command(subcommand)]
    Account(admin::Account),
    /// List who is registered, and where
    Registrations(admin::Registrations),
    /// List the calls that pass now
    Calls,
    /// Show how the running server is
    Status,
    /// Show calls as ladders: those that pass now, and those of the last minutes
    Trace(trace::Options),
    /// Explain where calls go
    #[command(subcommand)]
    Route(admin::Route),
    /// Check the configuration and say what it would do
    Check(check::Options),
    /// Print a script that completes commands in a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Runs the program with these words, the first being its name.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Exit {
    let cli = match Cli::try_parse_from(words) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // Where nobody reads, nothing can be said.
            let _ = error.print();
            return exit;
        }
    };
    let Cli { global, command } = cli;
    match dispatch(&global, command.unwrap_or(Command::Serve)) {
        Ok(()) => Exit::Ok,
        Err(Trouble { exit, message }) => {
            if !message.is_empty() {
                let _ = writeln!(io::stderr(), "{}", message.trim_end());
            }
            exit
        }
    }
}

fn dispatch(global: &Global, command: Command) -> Result<(), Trouble> {
    match command {
        Command::Serve => serve::run(global, &global.load()?),
        Command::Demo(options) => demo::run(global, &options),
        Command::Account(command) => admin::account(global, command),
        Command::Registrations(wanted) => admin::registrations(global, wanted),
        Command::Calls => admin::calls(global),
        Command::Status => admin::status(global),
        Command::Trace(options) => trace::run(global, &options),
        Command::Route(command) => admin::route(global, command),
        Command::Check(options) => check::run(global, options),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ringway", &mut script);
            print(&script)
        }
    }
}

impl Global {
    /// The configuration, with what the command line says put over it.
    pub(crate) fn load(&self) -> Result<Config, Trouble> {
        let file = self.config.clone().or_else(|| environment("RINGWAY_CONFIG"));
        let mut config = config::load(file.as_deref())
            .map_err(|error| Trouble::new(Exit::Config, error.to_string()))?;
        if let Some(data) = self.data.clone().or_else(|| environment("RINGWAY_DATA_DIR")) {
            config.data = std::path::absolute(&data).map_err(|error| {
                let message = format!("ringway: no folder {}: {error}", data.display());
                Trouble::new(Exit::Usage, message)
            })?;
        }
        Ok(config)
    }

    /// What is logged, where the configuration says `configured`.
    pub(crate) fn level(&self, configured: LevelFilter) -> Result<LevelFilter, Trouble> {
        if self.quiet {
            return Ok(LevelFilter::ERROR);
        }
        let said = std::env::var("RINGWAY_LOG").ok();
        log::level(said.as_deref(), configured, self.verbose)
            .map_err(|message| Trouble::new(Exit::Usage, format!("ringway: {message}")))
    }

    /// Whether coloured text is welcome on standard error.
    pub(crate) fn colours(&self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        !self.no_color && !unwanted && io::IsTerminal::is_terminal(&io::stderr())
    }
}

/// A path that the environment gives; an empty one is none.
fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Writes to standard output. A reader that has enough (`| head`) ends the program quietly.
pub(crate) fn print(text: &[u8]) -> Result<(), Trouble> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Trouble::new(Exit::Failed, ""))
        }
        Err(error) => Err(Trouble::new(Exit::Failed, format!("cannot print: {error}"))),
    }
}
