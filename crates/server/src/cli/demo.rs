//! `ringway demo`: how it is asked for, and how the program ends.

use super::exit::{Exit, Trouble};
use super::{Form, Global};
use crate::demo::{CannotDemo, Demo, Ended, Print, Style, run as play};
use crate::log;
use clap::Args;
use std::io;
use tracing::level_filters::LevelFilter;

/// What can be said after `demo`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// End after the call, instead of serving on for your own phones
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(global: &Global, options: &Options) -> Result<(), Trouble> {
    if global.verbose > 0 {
        let level = log::level(None, LevelFilter::WARN, global.verbose);
        let level = level.map_err(|message| Trouble::new(Exit::Usage, message))?;
        log::begin(level, log::Form::Text, global.colours());
    }
    let print = match (global.quiet, global.output) {
        (true, _) => Print::Failures,
        (false, Form::Json) => Print::Json,
        (false, Form::Table) => Print::Everything,
    };
    let mut style = Style::of_stdout();
    style.colour &= !global.no_color;
    match play(Demo { once: options.once, print, style }) {
        Ok(Ended::Well) => Ok(()),
        Ok(Ended::Badly(failure)) => {
            Err(Trouble::new(Exit::Failed, format!("ringway demo: {failure}")))
        }
        Ok(Ended::Interrupted) => Err(Trouble::new(Exit::Interrupted, "")),
        // Nobody reads any more.
        Err(CannotDemo::System(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Trouble::new(Exit::Failed, ""))
        }
        Err(error) => Err(Trouble::new(Exit::Failed, format!("ringway demo: {error}"))),
    }
}
