//! Where a command writes: text for people, or one JSON document for programs.

use crate::commands::table::Table;
use crate::control::{Failure, Kind};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// For whom a command writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Columns where nobody tells how wide the terminal is.
const WIDTH: usize = 80;

/// Where a command writes.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    format: Format,
    width: usize,
    is_quiet: bool,
}

impl std::fmt::Debug for Screen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("format", &self.format).finish_non_exhaustive()
    }
}

impl<'a> Screen<'a> {
    /// Tables fit into 80 columns.
    pub fn new(out: &'a mut dyn Write, format: Format) -> Self {
        Self { out, format, width: WIDTH, is_quiet: false }
    }

    /// Tables fit the terminal that standard output is, if it is one.
    pub fn of_terminal(self) -> Self {
        let terminal = io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
        match terminal {
            Some((width, _)) => Self { width: usize::from(width.0).max(40), ..self },
            None => self,
        }
    }

    /// With `true`, what only tells that all went well is left out.
    pub fn quiet(self, is_quiet: bool) -> Self {
        Self { is_quiet, ..self }
    }

    /// Whether what only tells that all went well is left out.
    pub fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// For whom it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Columns there are.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One JSON document.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Kind::Failed, error.to_string()))?;
        self.line(&text)
    }

    /// A table, or `none` if it has no rows.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn table(&mut self, table: &Table, none: &str) -> Result<(), Failure> {
        match table.render(self.width) {
            Some(text) => written(self.out.write_all(text.as_bytes())),
            None => self.line(none),
        }
    }

    /// One line of text.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        written(writeln!(self.out, "{text}"))
    }
}

/// Whoever reads no further, as `head` does, has what it wanted.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Kind::Failed, format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}
