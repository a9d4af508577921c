//! A bar that grows while a long command works, for people who look at a terminal.

use crate::commands::table::number;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is drawn anew: more often than the eye asks, rarely enough to cost nothing.
const EVERY: Duration = Duration::from_millis(100);
const WIDTH: usize = 30;

/// A progress bar on the error output, or nothing where that is no terminal.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    /// Bytes there are to read, if that is known.
    size: Option<u64>,
    drawn: Option<Instant>,
}

impl Progress {
    /// A bar if the error output is a terminal; `size` are the bytes of the file, if known.
    pub fn of_terminal(size: Option<u64>) -> Self {
        Self { is_shown: io::stderr().is_terminal(), size, drawn: None }
    }

    /// No bar, wherever the output goes.
    pub const fn none() -> Self {
        Self { is_shown: false, size: None, drawn: None }
    }

    pub(super) fn bytes_read(&mut self, bytes: u64) {
        if self.is_due() {
            match self.size {
                Some(size) => self.draw(&bar("reading", bytes, size)),
                None => self.draw(&format!("reading {} bytes", number(bytes))),
            }
        }
    }

    pub(super) fn made(&mut self, done: u64, total: u64) {
        if self.is_due() {
            self.draw(&bar("importing", done, total));
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if self.drawn.take().is_some() {
            self.draw("");
        }
    }

    fn is_due(&mut self) -> bool {
        let due = self.is_shown && self.drawn.is_none_or(|drawn| drawn.elapsed() >= EVERY);
        if due {
            self.drawn = Some(Instant::now());
        }
        due
    }

    fn draw(&self, text: &str) {
        // To the first column, the text, and nothing behind it. Who cannot see it misses nothing.
        let _ = write!(io::stderr(), "\r{text}\u{1b}[K");
    }
}

fn bar(what: &str, done: u64, total: u64) -> String {
    let total = total.max(1);
    let full = (done.min(total) * WIDTH as u64 / total) as usize;
    let (full, rest) = ("#".repeat(full), "-".repeat(WIDTH - full));
    format!("{what} [{full}{rest}] {} of {}", number(done), number(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_up() {
        let half = format!("reading [{}{}] 50 of 100", "#".repeat(15), "-".repeat(15));
        assert_eq!(bar("reading", 50, 100), half);
        assert!(bar("reading", 0, 0).contains(&"-".repeat(30)));
        assert!(bar("reading", 9, 3).contains(&"#".repeat(30)));
        let mut none = Progress::none();
        assert!(!none.is_due(), "nothing is drawn where nobody looks");
    }
}
