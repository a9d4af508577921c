//! Tables for people: aligned in columns of the terminal, cut where they do not fit, and safe to
//! look at whatever phones and users call themselves.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Between two columns.
const GAP: usize = 2;

/// How a column takes its room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fit {
    /// Never cut.
    Whole,
    /// Cut to so few columns if need be.
    Cut(usize),
    /// Never cut, and aligned to the right.
    Right,
}

/// A table with its title line.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(&'static str, Fit)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub fn new(columns: &[(&'static str, Fit)]) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row; what could trick a terminal is made visible.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        assert_eq!(N, self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.iter().map(|cell| visible(cell)).collect());
    }

    /// As lines of at most `width` columns; `None` if there is no row. A narrow terminal may be
    /// too narrow for what is never cut.
    pub fn render(&self, width: usize) -> Option<String> {
        if self.rows.is_empty() {
            return None;
        }
        let widths = self.widths(width);
        let titles: Vec<&str> = self.columns.iter().map(|(title, _)| *title).collect();
        let mut text = String::new();
        self.write_row(&titles, &widths, &mut text);
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.write_row(&cells, &widths, &mut text);
        }
        Some(text)
    }

    fn widths(&self, width: usize) -> Vec<usize> {
        let widest = |(at, (title, _)): (usize, &(&str, Fit))| {
            let cells = self.rows.iter().map(|row| row[at].width());
            cells.max().unwrap_or(0).max(title.width())
        };
        let mut widths: Vec<usize> = self.columns.iter().enumerate().map(widest).collect();
        let gaps = GAP * (widths.len().max(1) - 1);
        loop {
            let used = widths.iter().sum::<usize>() + gaps;
            if used <= width {
                return widths;
            }
            // The widest of those that may be cut gives way, so that they end up alike.
            let room = |at: &usize| match self.columns[*at].1 {
                Fit::Cut(least) => widths[*at].saturating_sub(least),
                Fit::Whole | Fit::Right => 0,
            };
            let cut = (0..widths.len()).filter(|at| room(at) > 0).max_by_key(|at| widths[*at]);
            let Some(cut) = cut else { return widths };
            widths[cut] -= 1;
        }
    }

    fn write_row(&self, cells: &[&str], widths: &[usize], text: &mut String) {
        let begin = text.len();
        for (at, cell) in cells.iter().enumerate() {
            let cell = cut(cell, widths[at]);
            let padding = " ".repeat(widths[at] - cell.width().min(widths[at]));
            if at > 0 {
                text.push_str(&" ".repeat(GAP));
            }
            if self.columns[at].1 == Fit::Right {
                text.push_str(&padding);
                text.push_str(&cell);
            } else {
                text.push_str(&cell);
                text.push_str(&padding);
            }
        }
        text.truncate(begin + text[begin..].trim_end().len());
        text.push('\n');
    }
}

/// The text, or its beginning and `…`, in at most `width` columns.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// The text with what could trick a terminal or an eye as escapes: control characters, and those
/// that turn the direction of text or take no room.
pub fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let unseen = matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        );
        if c.is_control() || unseen {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A time span as people say it: `59s`, `4m12s`, `2h03m`, `3d4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

/// A number with its thousands apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [
            ("ACCOUNT", Fit::Cut(12)),
            ("PHONE", Fit::Cut(8)),
            ("Q", Fit::Right),
            ("VIA", Fit::Whole),
        ];
        Table::new(&columns)
    }

    #[test]
    fn columns_are_aligned_whatever_the_script() {
        let mut table = table();
        table.row(["alice@example.org", "Yealink", "1", "udp"]);
        table.row(["Nguyễn@example.org", "電話", "0.5", "tcp"]);
        let text = table.render(80).expect("rows");
        assert_eq!(
            text,
            "ACCOUNT             PHONE      Q  VIA\n\
             alice@example.org   Yealink    1  udp\n\
             Nguyễn@example.org  電話     0.5  tcp\n"
        );
        assert_eq!(Table::new(&[("A", Fit::Whole)]).render(80), None);
    }

    #[test]
    fn what_does_not_fit_is_cut_where_it_may_be() {
        let mut table = table();
        let long = format!("{}@example.org", "電話".repeat(40));
        table.row([&long, &"x".repeat(200), "1", "udp"]);
        table.row(["bob@x", "y", "1", "udp"]);
        for width in [40, 60, 80, 120] {
            let text = table.render(width).expect("rows");
            for line in text.lines() {
                assert!(line.width() <= width, "{width}: {line}");
            }
            assert!(text.contains('…') && text.contains("  1  udp"), "{text}");
        }
        let narrow = table.render(10).expect("rows");
        assert!(narrow.lines().all(|line| line.width() <= 12 + 8 + 1 + 3 + 6), "{narrow}");
    }

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        let mut table = Table::new(&[("ACCOUNT", Fit::Whole)]);
        table.row(["a\u{1b}[31mb\nc\u{202e}d\u{9b}e\u{7f}f\u{200b}"]);
        let text = table.render(80).expect("rows");
        assert_eq!(text, "ACCOUNT\na\\u{1b}[31mb\\nc\\u{202e}d\\u{9b}e\\u{7f}f\\u{200b}\n");
    }

    #[test]
    fn spans_and_numbers() {
        let spans = [0, 59, 60, 252, 3_600, 7_380, 86_400, 273_600].map(span);
        assert_eq!(spans, ["0s", "59s", "1m00s", "4m12s", "1h00m", "2h03m", "1d0h", "3d4h"]);
        let numbers = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
    }
}
