//! Values as they stand in the file, read as what a setting wants.

use super::problem::{Problem, nearest};
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A value and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    /// Of which setting, for messages: `server.listen`.
    pub(crate) name: &'a str,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(crate) const fn new(name: &'a str, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self { name, value }
    }

    /// Which bytes of the text.
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// A value that cannot be, and why.
    pub(crate) fn wrong(&self, why: impl Into<String>) -> Problem {
        let message = format!("{} cannot be {}", self.name, self.shown());
        Problem::value(self.span(), message, why)
    }

    /// As it stands in the file, or what it is.
    pub(crate) fn shown(&self) -> String {
        match self.value.get_ref() {
            DeValue::String(text) => format!("{text:?}"),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(yes) => yes.to_string(),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            other => format!("of type {}", other.type_str()),
        }
    }

    fn is_no(&self, wanted: &str) -> Problem {
        let found = self.value.get_ref().type_str();
        let message = format!("{} is {wanted}, not of type {found}", self.name);
        Problem::value(self.span(), message, format!("{wanted} is needed here"))
    }

    /// Text.
    pub(crate) fn text(&self) -> Result<&'a str, Problem> {
        self.value.get_ref().as_str().ok_or_else(|| self.is_no("text in quotes"))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Result<bool, Problem> {
        self.value.get_ref().as_bool().ok_or_else(|| self.is_no("true or false"))
    }

    /// A whole number in a range.
    pub(crate) fn number(&self, least: u64, most: u64) -> Result<u64, Problem> {
        let Some(number) = self.value.get_ref().as_integer() else {
            return Err(self.is_no("a whole number"));
        };
        let read = i128::from_str_radix(number.as_str(), number.radix()).ok();
        read.and_then(|number| u64::try_from(number).ok())
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| self.wrong(format!("from {least} to {most} are possible")))
    }

    /// A list.
    pub(crate) fn list(&self) -> Result<Vec<Self>, Problem> {
        let Some(array) = self.value.get_ref().as_array() else {
            return Err(self.is_no("a list in brackets"));
        };
        Ok(array.iter().map(|value| Self::new(self.name, value)).collect())
    }

    /// A time such as `90s`, `5m`, `1h` or `1d`, in a range.
    pub(crate) fn duration(&self, least_s: u64, most_s: u64) -> Result<Duration, Problem> {
        let text = self.text().map_err(|_| self.is_no("a time like \"90s\", \"5m\" or \"1h\""))?;
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit_s = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(self.wrong("a time is a number with s, m, h or d: \"90s\"")),
        };
        let seconds = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_s));
        seconds
            .filter(|seconds| (least_s..=most_s).contains(seconds))
            .map(Duration::from_secs)
            .ok_or_else(|| {
                let (least, most) = (spoken(least_s), spoken(most_s));
                self.wrong(format!("from {least} to {most} are possible"))
            })
    }

    /// One of some words, in any case.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Problem> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            match nearest(text, &known) {
                Some(meant) => self.wrong(format!("did you mean \"{meant}\"?")),
                None => self.wrong(format!("possible are {}", known.join(", "))),
            }
        })
    }
}

/// Seconds in the largest unit that fits.
pub(crate) fn spoken(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or(format!("{seconds}s"), |(unit, name)| format!("{}{name}", seconds / unit))
}
