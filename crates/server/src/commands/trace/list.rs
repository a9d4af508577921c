//! Calls as a list.

use super::drawing::{date, short};
use crate::commands::table::{Fit, Table};
use crate::control::MessageView;
use ringway_core::reject::Reject;
use ringway_wire::{Framing, Index, Message, parse};
use serde::Serialize;
use std::io::{self, Write};

/// Columns of a list.
const WIDTH: usize = 80;

/// One trace.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct CallRow {
    /// Its number; calls with an end in common are one (RFC 7989).
    pub trace: u64,
    /// The Call-IDs.
    pub call_ids: Vec<String>,
    /// When it began, in microseconds since the Unix epoch.
    pub at_us: u64,
    /// The user who began it.
    pub from: String,
    /// Who was called.
    pub to: String,
    /// The method of its first request.
    pub method: String,
    /// The last final response to that method that is no challenge; 0 if there was none.
    pub status: u16,
    /// Messages, retransmissions included.
    pub messages: u64,
    /// Retransmissions.
    pub again: u64,
}

#[derive(Default)]
pub(super) struct Rows {
    rows: Vec<CallRow>,
}

impl Rows {
    pub(super) fn add(&mut self, view: &MessageView) {
        let bytes = view.bytes();
        let mut index = Index::new();
        let Ok(message) = parse(&bytes, &mut index, Framing::Datagram) else { return };
        let row = match self.rows.iter().rposition(|row| row.trace == view.trace) {
            Some(at) => &mut self.rows[at],
            None => {
                let at = self.rows.len();
                self.rows.push(begun(view, &message));
                &mut self.rows[at]
            }
        };
        row.messages += 1;
        row.again += u64::from(view.again);
        if !row.call_ids.contains(&view.call_id) {
            row.call_ids.push(view.call_id.clone());
        }
        let is_challenge = [Reject::Unauthorized, Reject::ProxyAuthenticationRequired]
            .iter()
            .any(|challenge| challenge.status() == message.status());
        let is_final = !message.is_request() && !message.status().to_string().starts_with('1');
        let method = String::from_utf8_lossy(message.method().as_bytes());
        if is_final && !is_challenge && method == row.method {
            row.status = message.status();
        }
    }

    pub(super) fn write(self, json: bool, out: &mut dyn Write) -> io::Result<()> {
        if json {
            let text = serde_json::to_string_pretty(&self.rows).map_err(io::Error::other)?;
            return writeln!(out, "{text}");
        }
        let mut table = Table::new(&[
            ("BEGAN", Fit::Whole),
            ("FROM", Fit::Cut(10)),
            ("TO", Fit::Cut(10)),
            ("WHAT", Fit::Whole),
            ("END", Fit::Right),
            ("MESSAGES", Fit::Right),
            ("CALL-ID", Fit::Cut(12)),
        ]);
        for row in &self.rows {
            // Only the time of the day, which is the word before the last.
            let date = date(row.at_us);
            let time = date.split(' ').nth_back(1).unwrap_or_default();
            let end = if row.status == 0 { "-".to_owned() } else { row.status.to_string() };
            let call_id = row.call_ids.first().map_or("", String::as_str);
            let messages = row.messages.to_string();
            table.row([time, &row.from, &row.to, &row.method, &end, &messages, call_id]);
        }
        match table.render(WIDTH) {
            Some(text) => out.write_all(text.as_bytes()),
            None => writeln!(out, "no calls"),
        }
    }
}

fn begun(view: &MessageView, message: &Message<'_>) -> CallRow {
    CallRow {
        trace: view.trace,
        call_ids: Vec::new(),
        at_us: view.at_us,
        from: message.from().map_or(String::new(), |from| short(&from)),
        to: message.to().map_or(String::new(), |to| short(&to)),
        method: String::from_utf8_lossy(message.method().as_bytes()).into_owned(),
        status: 0,
        messages: 0,
        again: 0,
    }
}
