//! What happened, drawn for people.

use crate::scenario::sip::Sip;

/// One line of a ladder: when, who, and what.
#[derive(Clone, Debug)]
pub(crate) struct Rung {
    pub(crate) at_ms: u64,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) what: String,
}

impl Rung {
    /// A message, in short.
    pub(crate) fn new(at_ms: u64, (from, to): (&str, &str), message: &Sip) -> Self {
        let what = match message.status() {
            Some(status) => format!("{status} {}", message.method()),
            None => format!("{} {}", message.method(), message.uri()),
        };
        Self { at_ms, from: from.to_owned(), to: to.to_owned(), what }
    }
}

/// The rungs below one another.
pub(crate) fn draw(rungs: &[Rung]) -> String {
    let width = |part: fn(&Rung) -> usize| rungs.iter().map(part).max().unwrap_or(0);
    let (from, to) = (width(|r| r.from.len()), width(|r| r.to.len()));
    let line =
        |r: &Rung| format!("  {:>7}ms  {:<from$} -> {:<to$}  {}\n", r.at_ms, r.from, r.to, r.what);
    rungs.iter().map(line).collect()
}
