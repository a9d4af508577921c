//! `ringway check`: is the configuration valid, and what would it do?

use super::exit::Trouble;
use super::{Form, Global, print};
use crate::config::printed;
use crate::listen::planned;
use clap::Args;
use std::fmt::Write;

/// What `check` takes.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Print an example file with all settings and their defaults instead
    #[arg(long, conflicts_with = "reference")]
    print_defaults: bool,
    /// Print the reference of all settings as Markdown instead
    #[arg(long)]
    reference: bool,
}

pub(crate) fn run(global: &Global, options: Options) -> Result<(), Trouble> {
    if options.print_defaults {
        return print(printed::example().as_bytes());
    }
    if options.reference {
        return print(printed::reference().as_bytes());
    }
    let config = global.load()?;
    if global.quiet {
        return Ok(());
    }
    let listeners = planned(&config.listen, config.advertise);
    let listen: Vec<_> = listeners.iter().map(|l| format!("{} {}", l.transport, l.local)).collect();
    let (data, control) = (config.data.display(), config.control());
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let text = match global.output {
        Form::Json => {
            let told = serde_json::json!({
                "valid": true,
                "file": file,
                "domains": config.domains,
                "listen": listen,
                "data": config.data,
                "control": control,
            });
            format!("{told}\n")
        }
        Form::Table => {
            let mut text = match file {
                Some(file) => format!("{file} is valid\n"),
                None => "no configuration file, and none is needed\n".to_owned(),
            };
            let domains = match config.domains.as_slice() {
                [] => "those of the accounts".to_owned(),
                some => format!("{}, and those of the accounts", some.join(", ")),
            };
            // Writing to memory cannot fail.
            let _ = writeln!(text, "domains  {domains}");
            for (at, listener) in listen.iter().enumerate() {
                let title = if at == 0 { "listen" } else { "" };
                let _ = writeln!(text, "{title:<8} {listener}");
            }
            let _ = writeln!(text, "data     {data}\ncontrol  {}", control.display());
            text
        }
    };
    print(text.as_bytes())
}
