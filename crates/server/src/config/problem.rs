//! What is wrong with a configuration, said so that a person can mend it: the place, the cause,
//! and what was probably meant.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// `E-CFG-` and this number name the kind; docs/configuration.md lists them.
    pub number: u16,
    /// Which bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What stands under the carets; may be empty.
    pub label: String,
}

impl Problem {
    /// No TOML.
    pub fn syntax(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { number: 1, span, message: message.into(), label: String::new() }
    }

    /// A name that nothing has; `known` are those that are there.
    pub fn unknown(span: Range<usize>, what: String, name: &str, known: &[&str]) -> Self {
        let label = match nearest(name, known) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("known are {}", known.join(", ")),
        };
        Self { number: 2, span, message: what, label }
    }

    /// A value that cannot be.
    pub fn value(span: Range<usize>, message: impl Into<String>, label: impl Into<String>) -> Self {
        Self { number: 3, span, message: message.into(), label: label.into() }
    }
}

/// One problem, where several are possible.
impl From<Problem> for Vec<Problem> {
    fn from(problem: Problem) -> Self {
        vec![problem]
    }
}

/// The known word that is most like this one, if it is like it at all.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.to_lowercase());
    let best = known.iter().min_by_key(|known| distance(known))?;
    (distance(best) <= 1 + best.len() / 4).then_some(*best)
}

/// A configuration that cannot be used: everything that is wrong with it.
#[derive(Clone, Debug)]
pub struct Invalid {
    file: PathBuf,
    text: String,
    problems: Vec<Problem>,
    unreadable: Option<String>,
}

impl Invalid {
    /// These problems in this text.
    pub fn new(file: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        Self { file: file.to_owned(), text: text.to_owned(), problems, unreadable: None }
    }

    /// A file that cannot be read at all.
    pub fn unreadable(file: &Path, cause: &io::Error) -> Self {
        let unreadable = match cause.kind() {
            io::ErrorKind::NotFound => "there is no such file".to_owned(),
            io::ErrorKind::PermissionDenied => "not allowed to read it".to_owned(),
            _ => cause.to_string(),
        };
        let unreadable = Some(unreadable);
        Self { file: file.to_owned(), text: String::new(), problems: Vec::new(), unreadable }
    }

    /// What is wrong, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    fn place(&self, at: usize) -> (usize, usize, &str) {
        let at = floor_char_boundary(&self.text, at);
        let before = &self.text[..at];
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[begin..].lines().next().unwrap_or_default();
        (before.matches('\n').count() + 1, self.text[begin..at].chars().count() + 1, line)
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if let Some(cause) = &self.unreadable {
            return write!(f, "error: cannot read the configuration {file}: {cause}");
        }
        for problem in &self.problems {
            let (number, column, line) = self.place(problem.span.start);
            let end = floor_char_boundary(&self.text, problem.span.end);
            let marked = self.text.get(problem.span.start..end).unwrap_or_default();
            let marked = marked.lines().next().unwrap_or_default().chars().count().max(1);
            let room = line.chars().count().saturating_sub(column - 1).max(1);
            let margin = " ".repeat(number.to_string().len());
            writeln!(f, "error[E-CFG-{:03}]: {}", problem.number, problem.message)?;
            writeln!(f, "{margin} ┌─ {file}:{number}:{column}")?;
            // A tab would put the carets elsewhere.
            writeln!(f, "{number} │ {}", line.replace('\t', " "))?;
            let carets = "^".repeat(marked.min(room));
            let label = format!("{}{carets} {}", " ".repeat(column - 1), problem.label);
            writeln!(f, "{margin} │ {}", label.trim_end())?;
        }
        let count = self.problems.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} {errors}; docs/configuration.md lists all settings")
    }
}

impl std::error::Error for Invalid {}
