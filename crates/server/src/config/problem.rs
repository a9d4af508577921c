//! What is wrong with a configuration, said so that a person can mend it: the place, the cause,
//! and what was probably meant.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns of a line of the file that are shown.
const WINDOW: usize = 72;

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

    /// Whether it says what was probably meant.
    pub(crate) fn is_guess(&self) -> bool {
        self.label.starts_with("did you mean")
    }

    /// With the section it belongs to.
    #[must_use]
    pub(crate) fn belongs(self, section: &str) -> Self {
        Self { label: format!("it belongs under [{section}]"), ..self }
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
            io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => cause.to_string(),
        };
        let unreadable = Some(unreadable);
        Self { file: file.to_owned(), text: String::new(), problems: Vec::new(), unreadable }
    }

    /// What is wrong, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// Where the lines of a text end.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of this byte, counted from 0; of any beyond the end it is the last.
    pub(crate) fn number(&self, at: usize) -> usize {
        self.0.partition_point(|&end| end < at)
    }
}

/// A place in the text, and its line as it can be shown.
struct Excerpt {
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    shown: String,
    /// Columns of a terminal before the place, and under it.
    before: usize,
    under: usize,
}

impl Excerpt {
    fn of((text, lines): (&str, &Lines), span: &Range<usize>) -> Self {
        let at = floor_char_boundary(text, span.start);
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[begin..].lines().next().unwrap_or_default();
        let (before, rest) = line.split_at((at - begin).min(line.len()));
        let end = floor_char_boundary(text, span.end).saturating_sub(at);
        let marked = rest.get(..end.min(rest.len())).unwrap_or(rest);
        let column = before.chars().count() + 1;
        let number = lines.number(begin) + 1;
        let width = |text: &str| visible(text).width();
        let excerpt = Self {
            line: number,
            column,
            before: width(before),
            under: width(marked).max(1),
            shown: visible(&concealed(line)),
        };
        excerpt.cut()
    }

    /// The part of a long line around the place.
    fn cut(self) -> Self {
        if self.shown.width() <= WINDOW {
            return self;
        }
        let from = (self.before + self.under.min(WINDOW / 2)).saturating_sub(WINDOW * 3 / 4);
        let (mut shown, mut at, mut first) = (String::new(), 0, None);
        for c in self.shown.chars() {
            let width = c.width().unwrap_or(0);
            if at >= from && at + width <= from + WINDOW {
                first.get_or_insert(at);
                shown.push(c);
            }
            at += width;
        }
        let before = self.before.saturating_sub(first.unwrap_or(0));
        let under = self.under.min(WINDOW.saturating_sub(before)).max(1);
        Self { shown, before, under, ..self }
    }
}

/// A line without the password in it (J11): only where one stands is shown.
fn concealed(line: &str) -> String {
    let after = line.split_once("password").map_or("", |(_, after)| after.trim_start());
    let Some(value) = after.strip_prefix('=').filter(|value| !value.contains("${")) else {
        return line.to_owned();
    };
    let hidden = value.chars().map(|c| if c.is_whitespace() { c } else { '*' });
    line[..line.len() - value.len()].chars().chain(hidden).collect()
}

/// A line as it can be shown: what would move the cursor is one sign.
fn visible(line: &str) -> String {
    let sign = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c => c,
    };
    line.chars().map(sign).collect()
}

/// The last place up to `at` between two characters.
pub(crate) fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if let Some(cause) = &self.unreadable {
            return write!(f, "error: cannot read the configuration {file}: {cause}");
        }
        let lines = Lines::of(&self.text);
        for problem in &self.problems {
            let Excerpt { line, column, shown, before, under } =
                Excerpt::of((&self.text, &lines), &problem.span);
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            let (before, carets) = (" ".repeat(before), "^".repeat(under));
            let message = visible(&problem.message);
            let marks = format!("{before}{carets} {}", visible(&problem.label));
            writeln!(f, "error[E-CFG-{:03}]: {message}", problem.number)?;
            writeln!(f, "{margin} ┌─ {file}:{line}:{column}")?;
            writeln!(f, "{number} │ {}", shown.trim_end())?;
            writeln!(f, "{margin} │ {}", marks.trim_end())?;
        }
        let count = self.problems.len();
        let errors = if count == 1 { "error" } else { "errors" };
        write!(f, "{count} {errors}; ringway check --print-defaults shows all settings")
    }
}

impl std::error::Error for Invalid {}
