//! `ringway registrations`: who can be reached, and where.

use crate::commands::table::{Fit, Table, span};
use crate::commands::{Format, Screen};
use crate::control::views::RegistrationView;
use crate::control::{Failure, Far, Reply, Request};

/// Shows the registrations of one account, or all.
///
/// # Errors
/// If they cannot be had.
pub fn list(
    far: &mut dyn Far,
    account: Option<&str>,
    screen: &mut Screen<'_>,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let request = Request::Registrations { account: account.map(str::to_owned) };
    far.ask(request, &mut |reply| {
        if let Reply::Registrations(some) = reply {
            rows.extend(some);
        }
        Ok(())
    })?;
    rows.sort();
    match screen.format() {
        Format::Json => screen.json(&rows),
        Format::Table => screen.table(&table(&rows), "nobody is registered"),
    }
}

pub(super) fn table(rows: &[RegistrationView]) -> Table {
    let mut table = Table::new(&[
        ("ACCOUNT", Fit::Cut(14)),
        ("CONTACT", Fit::Cut(14)),
        ("VIA", Fit::Whole),
        ("ENDS IN", Fit::Right),
        ("PHONE", Fit::Cut(8)),
    ]);
    for row in rows {
        let mut via = format!("{} {}", row.transport, row.source);
        if row.flow > 0 {
            via.push_str(&format!(" flow {}", row.flow));
        }
        if !row.path.is_empty() {
            via.push_str(" along a path");
        }
        let ends = span(row.expires_in_s);
        table.row([&row.account, &row.contact, &via, &ends, &row.user_agent]);
    }
    table
}
