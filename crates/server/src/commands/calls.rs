//! `ringway calls`: who talks, and who rings.

use crate::commands::table::{Fit, Table, span};
use crate::commands::{Format, Screen};
use crate::control::views::CallView;
use crate::control::{Failure, Far, Reply, Request};

/// Shows the calls that pass now, oldest first.
///
/// # Errors
/// If they cannot be had.
pub fn list(far: &mut dyn Far, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut rows = Vec::new();
    far.ask(Request::Calls, &mut |reply| {
        if let Reply::Calls(some) = reply {
            rows.extend(some);
        }
        Ok(())
    })?;
    rows.sort_by(|a: &CallView, b| (a.started_at_s, &a.call_id).cmp(&(b.started_at_s, &b.call_id)));
    match screen.format() {
        Format::Json => screen.json(&rows),
        Format::Table => screen.table(&table(&rows), "no calls"),
    }
}

fn table(rows: &[CallView]) -> Table {
    let mut table = Table::new(&[
        ("FROM", Fit::Cut(14)),
        ("TO", Fit::Cut(14)),
        ("STATE", Fit::Whole),
        ("TIME", Fit::Right),
        ("CALL-ID", Fit::Cut(8)),
    ]);
    for row in rows {
        let time = span(row.duration_s);
        table.row([short(&row.from), short(&row.to), &row.state, &time, &row.call_id]);
    }
    table
}

/// A URI without what all of them begin with.
fn short(uri: &str) -> &str {
    uri.strip_prefix("sip:").unwrap_or(uri)
}
