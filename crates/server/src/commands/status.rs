//! `ringway status`: how the server is, on one screen.

use crate::commands::table::{number, span, visible};
use crate::commands::{Format, Screen};
use crate::control::doors::ListenerView;
use crate::control::views::StatusView;
use crate::control::{Failure, Far, Kind, Reply, Request};
use std::collections::BTreeMap;

/// Shows it.
///
/// # Errors
/// If the server cannot be reached; [`Kind::Failed`] if its store keeps nothing, after all is
/// shown.
pub fn show(far: &mut dyn Far, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let mut status = None;
    far.ask(Request::Status, &mut |reply| {
        if let Reply::Status(told) = reply {
            status = Some(told);
        }
        Ok(())
    })?;
    let status = status.ok_or_else(|| Failure::new(Kind::Failed, "the server told nothing"))?;
    match screen.format() {
        Format::Json => screen.json(&status)?,
        Format::Table => write(&status, screen)?,
    }
    match status.store.trouble {
        Some(trouble) => Err(Failure::new(Kind::Failed, format!("the store: {trouble}"))),
        None => Ok(()),
    }
}

fn write(status: &StatusView, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let up = span(status.uptime_s);
    screen.line(&format!("ringway {}, up {up}, process {}", status.version, status.process))?;
    let listeners = status.listeners.iter().map(|listener| {
        let behind = listener.advertised.map_or(String::new(), |a| format!(", announced as {a}"));
        let ListenerView { transport, address, open_to, .. } = listener;
        format!("{transport} {address} (open to {open_to}{behind})")
    });
    let certificates = status.certificates.iter().map(|certificate| {
        let domains = certificate.domains.join(" ");
        let domains = if domains.is_empty() { "no domain" } else { &domains };
        format!("{domains} ({})", certificate.left)
    });
    let unproved = match status.connections_unproved {
        0 => String::new(),
        some => format!(" ({} of strangers)", number(some)),
    };
    let store = if status.store.ok {
        format!("ok, a commit takes {} ms", status.store.commit_ms)
    } else {
        "keeps nothing".into()
    };
    let transactions = status.transactions;
    let counters = &status.counters;
    for (title, items) in [
        ("domains", status.domains.clone()),
        ("listens on", listeners.collect()),
        ("accounts", vec![number(status.accounts)]),
        ("registrations", vec![number(status.registrations)]),
        ("calls", vec![number(status.calls)]),
        (
            "transactions",
            vec![
                format!("{} as server", number(transactions.server)),
                format!("{} as client", number(transactions.client)),
            ],
        ),
        ("connections", vec![number(status.connections) + &unproved]),
        ("certificates", certificates.collect()),
        ("store", vec![store]),
        ("requests", counts(&counters.requests)),
        ("received", counts(&counters.responses_received)),
        ("sent", counts(&counters.responses_sent)),
        ("refused", counts(&counters.refused)),
        ("dropped", counts(&counters.dropped)),
        ("auth failures", counts(&counters.auth_failures)),
        ("peer logins", counts(&counters.peer_logins)),
        ("registered", counts(&counters.registrations)),
        ("calls so far", counts(&counters.calls)),
        ("so far", counts(&counters.connections)),
    ] {
        for line in wrap(title, &items, screen.width()) {
            screen.line(&line)?;
        }
    }
    Ok(())
}

/// What was counted at all.
fn counts(table: &BTreeMap<String, u64>) -> Vec<String> {
    let counted = table.iter().filter(|(_, count)| **count > 0);
    counted.map(|(name, count)| format!("{name} {}", number(*count))).collect()
}

/// A title and items after it, in as many lines as they need.
fn wrap(title: &str, items: &[String], width: usize) -> Vec<String> {
    const INDENT: usize = 15;
    let mut lines = vec![format!("{title:<INDENT$}")];
    for (at, item) in items.iter().enumerate() {
        let item = visible(item);
        let comma = if at + 1 < items.len() { "," } else { "" };
        let last = lines.len() - 1;
        let is_first = lines[last].trim_end().len() <= title.len();
        let used = lines[last].chars().count();
        if !is_first && used + 1 + item.chars().count() + comma.len() > width {
            lines.push(format!("{:<INDENT$}{item}{comma}", ""));
        } else {
            let gap = if is_first { "" } else { " " };
            lines[last].push_str(&format!("{gap}{item}{comma}"));
        }
    }
    if items.is_empty() {
        lines[0].push('-');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_go_on_below_themselves() {
        let items: Vec<String> = (0..12).map(|n| format!("udp 192.0.2.{n}:5060")).collect();
        let lines = wrap("listens on", &items, 60);
        assert!(lines.iter().all(|line| line.chars().count() <= 60), "{lines:#?}");
        assert!(lines[0].starts_with("listens on     udp 192.0.2.0:5060, udp"), "{lines:#?}");
        assert!(lines[1].starts_with("               udp "), "{lines:#?}");
        assert_eq!(wrap("dropped", &[], 80), ["dropped        -"]);
        assert_eq!(wrap("calls", &["3".into()], 80), ["calls          3"]);
    }
}
