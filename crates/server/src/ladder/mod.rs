//! A call as people draw it on a whiteboard: a lane for each host, an arrow for each message, and
//! the time in front. It fits the width it is given as long as lanes have [`LEAST`] columns.

mod label;
mod style;

pub use label::label;
pub use style::{Style, Tone};

use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns in front of the first lane: the time.
const MARGIN: usize = 12;
/// Columns between two lanes: no more than this …
const MOST: usize = 32;
/// … and no fewer.
const LEAST: usize = 20;
/// Columns of an arrow that its text leaves free.
const AROUND: usize = 4;

/// A lane: who it is, and what there is to say about it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Its address, say.
    pub detail: String,
}

/// An arrow from one lane to another one.
#[derive(Clone, Copy, Debug)]
pub struct Arrow<'a> {
    /// The lane where it begins, counted from 0 at the left.
    pub from: usize,
    /// The lane where it ends.
    pub to: usize,
    /// What stands on it.
    pub label: &'a str,
    /// How that looks.
    pub tone: Tone,
    /// Drawn with two lines, over whatever is between: sound.
    pub double: bool,
}

/// Draws what happens, as it happens.
pub struct Ladder<'w> {
    out: &'w mut dyn Write,
    /// How it looks.
    pub style: Style,
    width: usize,
    lanes: usize,
    /// When the first message of this part was sent.
    zero: Option<u64>,
}

impl<'w> Ladder<'w> {
    /// Begins a drawing of so many columns; nothing is drawn yet.
    pub fn new(out: &'w mut dyn Write, style: Style, width: usize) -> Self {
        Self { out, style, width, lanes: 2, zero: None }
    }

    /// How many lanes fit into so many columns; two at least.
    pub const fn room(width: usize) -> usize {
        let lanes = 1 + width.saturating_sub(MARGIN + 1) / (LEAST + 1);
        if lanes < 2 { 2 } else { lanes }
    }

    fn gap(&self) -> usize {
        let room = self.width.saturating_sub(MARGIN + self.lanes);
        (room / (self.lanes - 1)).clamp(LEAST, MOST)
    }

    /// Names the lanes, two at least, and draws those of a part that has not ended on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn lanes(&mut self, lanes: &[Lane]) -> io::Result<()> {
        self.lanes = lanes.len().max(2);
        let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
        let details: Vec<&str> = lanes.iter().map(|lane| lane.detail.as_str()).collect();
        for (texts, tone) in [(names, Tone::Strong), (details, Tone::Faint)] {
            let line = self.place(&texts);
            if !line.trim().is_empty() {
                writeln!(self.out, "{}", self.style.paint(tone, line.trim_end()))?;
            }
        }
        Ok(())
    }

    /// Begins a new part, in which times count from its first message.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn part(&mut self, title: &str, hint: &str) -> io::Result<()> {
        self.zero = None;
        let lane = self.lane();
        let gap = " ".repeat(self.gap());
        let lanes = vec![lane; self.lanes].join(&gap);
        writeln!(self.out, "{}{lanes}", " ".repeat(MARGIN))?;
        self.note(title, hint)
    }

    /// Leaves a line empty.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn gap_line(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A line of text between the arrows.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&mut self, title: &str, hint: &str) -> io::Result<()> {
        let title = self.style.paint(Tone::Strong, title);
        let hint = self.style.paint(Tone::Faint, hint);
        writeln!(self.out, " {title} {hint}")
    }

    /// Draws an arrow at a time in microseconds; times are shown since the first of the part.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn arrow(&mut self, at_us: u64, arrow: Arrow<'_>) -> io::Result<()> {
        let zero = *self.zero.get_or_insert(at_us);
        self.arrow_since((zero, ""), at_us, arrow)
    }

    /// Draws an arrow of one of several parts that go on at the same time: `mark` tells which, of
    /// one column, and `zero` when it began.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn arrow_since(
        &mut self,
        (zero, mark): (u64, &str),
        at_us: u64,
        arrow: Arrow<'_>,
    ) -> io::Result<()> {
        let time = time(at_us.saturating_sub(zero));
        let time = self.style.paint(Tone::Faint, &format!("{mark:<1}{time:>10} "));
        let lanes = self.across(arrow);
        writeln!(self.out, "{time}{lanes}")
    }

    /// Shows what was drawn.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn lane(&self) -> String {
        self.style.paint(Tone::Faint, self.style.pick("│", "|"))
    }

    /// All lanes, with an arrow over some of them. The text of a single line stands beside its
    /// outer end, where the lanes of other hosts are behind it.
    fn across(&self, arrow: Arrow<'_>) -> String {
        let gap = self.gap();
        let (first, last) = (arrow.from.min(arrow.to), arrow.from.max(arrow.to));
        let line = match (arrow.double, self.style.unicode) {
            (false, true) => "─",
            (false, false) => "-",
            (true, true) => "═",
            (true, false) => "=",
        };
        let mut text = self.lane();
        if arrow.double {
            for _ in 0..first {
                text += &format!("{}{}", " ".repeat(gap), self.lane());
            }
            text += &self.labelled(arrow, (last - first) * (gap + 1) - 1, line, true);
            text += &self.lane();
        } else {
            for at in 0..last {
                let ends = (at == first && arrow.to == first, at + 1 == last && arrow.to == last);
                text += &match (at >= first, at + 1 == last) {
                    (false, _) => " ".repeat(gap),
                    (true, true) => self.labelled(arrow, gap, line, at == first),
                    (true, false) if ends.0 => {
                        self.style.pick("◀", "<").to_owned() + &line.repeat(gap - 1)
                    }
                    (true, false) => line.repeat(gap),
                };
                text += &if at >= first && at + 1 < last {
                    self.style.pick("┼", "+").to_owned()
                } else {
                    self.lane()
                };
            }
        }
        for _ in last + 1..self.lanes {
            text += &format!("{}{}", " ".repeat(gap), self.lane());
        }
        text
    }

    /// The part of an arrow with its text in the middle; `whole` if the arrow begins and ends
    /// here.
    fn labelled(&self, arrow: Arrow<'_>, width: usize, line: &str, whole: bool) -> String {
        let label = shorten(arrow.label, width - AROUND, self.style);
        let rest = width - 3 - label.width();
        let (before, after) = (line.repeat(rest / 2), line.repeat(rest - rest / 2));
        let label = self.style.paint(arrow.tone, &label);
        if arrow.to > arrow.from {
            format!("{before} {label} {after}{}", self.style.pick("▶", ">"))
        } else {
            let head = if whole { self.style.pick("◀", "<") } else { line };
            format!("{head}{after} {label} {before}")
        }
    }

    /// Puts a text over each lane: the first one begins at it, the last one ends there, and those
    /// between are in its middle, as far as they let each other.
    fn place(&self, texts: &[&str]) -> String {
        let gap = self.gap();
        let room = (self.lanes - 1) * (gap + 1) + 1;
        let used: usize = texts.iter().map(|text| text.width().min(gap) + 1).sum();
        let longest = if used > room + 1 { room / texts.len() - 1 } else { gap };
        let mut placed: Vec<(usize, String)> = Vec::new();
        for (at, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
            let text = shorten(text, longest, self.style);
            let lane = at * (gap + 1);
            let begin = match at {
                0 => 0,
                _ if at + 1 == self.lanes => (lane + 1).saturating_sub(text.width()),
                _ => lane.saturating_sub(text.width() / 2),
            };
            placed.push((begin, text));
        }
        // Nothing stands so far to the right that what follows has no room …
        let mut end = room;
        for (begin, text) in placed.iter_mut().rev() {
            *begin = (*begin).min(end.saturating_sub(text.width()));
            end = begin.saturating_sub(1);
        }
        // … and nothing in what was before.
        let mut line = " ".repeat(MARGIN);
        for (begin, text) in placed {
            let least = usize::from(line.width() > MARGIN);
            let blanks = (MARGIN + begin).saturating_sub(line.width()).max(least);
            line.push_str(&" ".repeat(blanks));
            line.push_str(&text);
        }
        line
    }
}

/// A time span in ten columns at most.
fn time(us: u64) -> String {
    let ms = us as f64 / 1_000.0;
    if ms < 99_999.0 { format!("{ms:.1} ms") } else { format!("{:.1} s", ms / 1_000.0) }
}

fn shorten(text: &str, longest: usize, style: Style) -> String {
    if text.width() <= longest {
        return text.into();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > longest {
            break;
        }
        short.push(c);
    }
    // Half a word says less than none.
    if let Some(blank) = short.rfind(' ').filter(|&blank| blank > longest / 2) {
        short.truncate(blank);
    }
    // Neither does what stood between two of them.
    short.truncate(short.trim_end_matches([' ', '·', '+']).len());
    short.push_str(style.pick("…", "~"));
    short
}

#[cfg(test)]
mod tests;
