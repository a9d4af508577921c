//! What the core says happened, as log lines. Each kind has a budget per second, so that a
//! flood of bad messages fills neither disk nor eyes; what is left out is counted.

use crate::limits;
use crate::metrics::{Metrics, count};
use ringway_core::boundary::{CallChange, CallEnd, Event, LoginOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{debug, info, warn};

/// Turns events into log lines.
#[derive(Debug)]
pub struct Events {
    metrics: Arc<Metrics>,
    budgets: [Budget; KINDS],
}

const KINDS: usize = 6;

/// Lines written in the second that is now.
#[derive(Debug, Default)]
struct Budget {
    /// The second in the upper 32 bits, the lines in the lower.
    used: AtomicU64,
}

impl Budget {
    fn take(&self, second: u64) -> bool {
        let fresh = second << 32;
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            if used >> 32 == second & 0xffff_ffff {
                let lines = used & 0xffff_ffff;
                (lines < limits::LOG_LINES_PER_SECOND).then_some(used + 1)
            } else {
                Some(fresh + 1)
            }
        });
        taken.is_ok()
    }
}

impl Events {
    /// Counts what it leaves out in `metrics`.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, budgets: Default::default() }
    }

    /// Logs one event; `now_s` is the second it happened in.
    pub fn log(&self, now_s: u64, partition: u32, event: &Event) {
        let kind = match event {
            Event::Refused { .. } => 0,
            Event::Dropped { .. } => 1,
            Event::AuthFailed { .. } => 2,
            Event::Registration { .. } => 3,
            Event::Call { .. } => 4,
            Event::Login { .. } => 5,
        };
        if !self.budgets[kind].take(now_s) {
            return count(&self.metrics.log_lines_dropped);
        }
        match event {
            Event::Refused { reject, source } => {
                debug!(event = "refused", src = %source, code = reject.status(), reason = %reject);
            }
            Event::Dropped { reason, source } => {
                debug!(event = "dropped", src = %source, reason = reason.name());
            }
            // The form of this line is fixed: programs that ban read it.
            Event::AuthFailed { user, source, reason } => {
                let user = printable(user);
                let (src, reason) = (source.ip(), reason.name());
                warn!(event = "auth_failed", %src, %user, reason);
            }
            Event::Login { peer, outcome: LoginOutcome::Answered } => {
                debug!(event = "peer_login", peer, outcome = "answered");
            }
            Event::Login { peer, outcome } => {
                warn!(event = "peer_login", peer, outcome = outcome.name());
            }
            Event::Registration { aor, contact, change } => {
                let contact = printable(contact);
                let change = change.name();
                info!(event = "registration", %aor, %contact, change);
            }
            Event::Call { call, change } => log_call(partition, *call, change),
        }
    }
}

fn log_call(partition: u32, call: u64, change: &CallChange) {
    let call = format!("{partition}-{call}");
    match change {
        CallChange::Started { call_id, from, to } => {
            let (call_id, from, to) = (printable(call_id), printable(from), printable(to));
            info!(event = "call", call, change = "started", %call_id, %from, %to);
        }
        CallChange::Ringing => info!(event = "call", call, change = "ringing"),
        CallChange::Answered => info!(event = "call", call, change = "answered"),
        CallChange::Ended { end: CallEnd::Failed(code) } => {
            info!(event = "call", call, change = "ended", reason = "failed", code);
        }
        CallChange::Ended { end } => {
            info!(event = "call", call, change = "ended", reason = end.name());
        }
    }
}

/// Text from outside that can stand in a log line: no controls, no quotes, at most 256 bytes
/// (B11).
pub fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(256)]);
    let safe = |c: char| if c.is_control() || "\"\\\u{202e}\u{202d}".contains(c) { '?' } else { c };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b11_text_from_outside_cannot_forge_a_line() {
        let forged = printable(b"x\r\nevent=\"auth_failed\" src=1.2.3.4\x1b[2J");
        assert_eq!(forged, "x??event=?auth_failed? src=1.2.3.4?[2J");
        assert!(printable(&[b'a'; 1000]).len() <= 256);
    }

    #[test]
    fn a_kind_has_a_budget_per_second() {
        let budget = Budget::default();
        let taken = (0..1_000).filter(|_| budget.take(77)).count() as u64;
        assert_eq!(taken, limits::LOG_LINES_PER_SECOND);
        assert!(budget.take(78));
    }
}
