//! Counters of the program itself, and all counters as Prometheus text.

use ringway_core::counters::Counters;
use ringway_core::node::Census;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the shell counts; the partitions count for themselves.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Datagrams received.
    pub datagrams_received: AtomicU64,
    /// Datagrams sent.
    pub datagrams_sent: AtomicU64,
    /// Datagrams that the kernel did not take.
    pub datagrams_unsent: AtomicU64,
    /// Datagrams that cannot have come from where they say, and were dropped.
    pub impossible_sources: AtomicU64,
    /// Datagrams that did not arrive, as somebody on the way said.
    pub datagrams_unreachable: AtomicU64,
    /// Bytes that are no SIP message.
    pub not_sip: AtomicU64,
    /// Connections accepted.
    pub connections_accepted: AtomicU64,
    /// Connections refused at a limit.
    pub connections_refused: AtomicU64,
    /// Connections of balancers closed because their PROXY header was missing or wrong.
    pub proxy_headers_refused: AtomicU64,
    /// Connections closed because nothing, or nothing whole, came.
    pub connections_timed_out: AtomicU64,
    /// Connections closed because the far side read too slowly.
    pub connections_too_slow: AtomicU64,
    /// Connections that could not be accepted or prepared: descriptors or memory were short.
    pub accepts_failed: AtomicU64,
    /// Connections closed to make room: nobody knew who was behind them.
    pub connections_displaced: AtomicU64,
    /// Handshakes ended before their time because too many were under way.
    pub handshakes_displaced: AtomicU64,
    /// Handshakes of TLS or WebSocket that failed.
    pub handshakes_failed: AtomicU64,
    /// Handshakes that were not done in time.
    pub handshakes_timed_out: AtomicU64,
    /// Connections of ours that ended because the certificate there was not believed.
    pub certificates_refused: AtomicU64,
    /// Certificates or keys of ours that could not be loaded.
    pub certificates_failed: AtomicU64,
    /// HTTP requests that did not become a WebSocket.
    pub websockets_refused: AtomicU64,
    /// WebSockets closed because they broke a rule.
    pub websockets_broken: AtomicU64,
    /// WebSockets closed because they did not answer a ping.
    pub websockets_silent: AtomicU64,
    /// Messages lost to a panic.
    pub panics: AtomicU64,
    /// Inputs from which more followed than is allowed.
    pub steps_cut: AtomicU64,
    /// Log lines left out to keep the log bounded.
    pub log_lines_dropped: AtomicU64,
    /// Writes that the store could not keep.
    pub store_failures: AtomicU64,
    /// Questions to name servers.
    pub dns_questions: AtomicU64,
    /// Questions that nobody answered usefully.
    pub dns_failures: AtomicU64,
    /// Questions that were not asked because too many are under way.
    pub dns_refused: AtomicU64,
    /// Answers taken from before because nobody answers now.
    pub dns_stale: AtomicU64,
    /// Domains whose NAPTR records named TLS, and then did not.
    pub dns_tls_withdrawn: AtomicU64,
    /// Look-ups that were not begun because too many are under way.
    pub lookups_refused: AtomicU64,
    /// Next hops that failed, so that others are tried before them.
    pub next_hops_failed: AtomicU64,
    /// Messages that somebody who traces did not get, because he read too slowly.
    pub trace_lost: AtomicU64,
    /// Messages sent to the HEP collector.
    pub hep_sent: AtomicU64,
    /// Messages that could not be sent to it.
    pub hep_unsent: AtomicU64,
    /// Messages for which its queue had no room.
    pub hep_lost: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds several.
pub(crate) fn count_many(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

/// Everything that is shown of the running server in numbers.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// What the partitions counted.
    pub counters: Counters,
    /// How full their tables are.
    pub census: Census,
    /// Bindings now.
    pub registrations: u64,
    /// Open connections now.
    pub connections: u64,
    /// Seconds since the start.
    pub uptime_s: u64,
}

/// The Prometheus text exposition format 0.0.4.
pub fn render_prometheus(numbers: &Numbers, shell: &Metrics) -> String {
    let mut text = String::with_capacity(4_096);
    let counters = &numbers.counters;
    labelled(&mut text, "ringway_sip_requests_total", "method", &counters.requests);
    for (direction, classes) in
        [("in", &counters.responses_received), ("out", &counters.responses_sent)]
    {
        for (class, count) in classes.iter().enumerate().skip(1) {
            let name = "ringway_sip_responses_total";
            line(
                &mut text,
                &format!("{name}{{class=\"{class}xx\",direction=\"{direction}\"}}"),
                *count,
            );
        }
    }
    labelled(&mut text, "ringway_refused_total", "reason", &counters.refused);
    labelled(&mut text, "ringway_dropped_total", "reason", &counters.dropped);
    labelled(&mut text, "ringway_auth_failures_total", "reason", &counters.auth_failures);
    labelled(&mut text, "ringway_peer_logins_total", "outcome", &counters.logins);
    labelled(&mut text, "ringway_register_total", "result", &counters.registrations);
    labelled(&mut text, "ringway_calls_total", "result", &counters.calls);
    let census = &numbers.census;
    for (name, value) in [
        ("ringway_registrations", numbers.registrations),
        ("ringway_calls_active", census.calls as u64),
        ("ringway_connections", numbers.connections),
        ("ringway_uptime_seconds", numbers.uptime_s),
        ("ringway_sip_transactions{type=\"server\"}", census.server_transactions as u64),
        ("ringway_sip_transactions{type=\"client\"}", census.client_transactions as u64),
        ("ringway_open_questions", census.open_questions as u64),
    ] {
        line(&mut text, name, value);
    }
    for (name, counter) in shell_counters(shell) {
        line(&mut text, name, counter);
    }
    text
}

/// What became of connections and handshakes.
pub fn connection_counters(shell: &Metrics) -> [(&'static str, u64); 12] {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [
        ("accepted", read(&shell.connections_accepted)),
        ("refused", read(&shell.connections_refused)),
        ("displaced", read(&shell.connections_displaced)),
        ("timed out", read(&shell.connections_timed_out)),
        ("too slow", read(&shell.connections_too_slow)),
        ("without a descriptor", read(&shell.accepts_failed)),
        ("handshakes failed", read(&shell.handshakes_failed)),
        ("handshakes timed out", read(&shell.handshakes_timed_out)),
        ("handshakes displaced", read(&shell.handshakes_displaced)),
        ("certificates refused", read(&shell.certificates_refused)),
        ("websockets refused", read(&shell.websockets_refused)),
        ("websockets silent", read(&shell.websockets_silent)),
    ]
}

fn shell_counters(shell: &Metrics) -> [(&'static str, u64); 36] {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    [
        ("ringway_datagrams_received_total", read(&shell.datagrams_received)),
        ("ringway_datagrams_sent_total", read(&shell.datagrams_sent)),
        ("ringway_datagrams_unsent_total", read(&shell.datagrams_unsent)),
        ("ringway_datagrams_unreachable_total", read(&shell.datagrams_unreachable)),
        ("ringway_sip_parse_errors_total", read(&shell.not_sip)),
        ("ringway_impossible_sources_total", read(&shell.impossible_sources)),
        ("ringway_connections_accepted_total", read(&shell.connections_accepted)),
        ("ringway_connections_refused_total", read(&shell.connections_refused)),
        ("ringway_proxy_headers_refused_total", read(&shell.proxy_headers_refused)),
        ("ringway_connections_timed_out_total", read(&shell.connections_timed_out)),
        ("ringway_connections_too_slow_total", read(&shell.connections_too_slow)),
        ("ringway_accepts_failed_total", read(&shell.accepts_failed)),
        ("ringway_connections_displaced_total", read(&shell.connections_displaced)),
        ("ringway_handshakes_displaced_total", read(&shell.handshakes_displaced)),
        ("ringway_handshakes_failed_total", read(&shell.handshakes_failed)),
        ("ringway_handshakes_timed_out_total", read(&shell.handshakes_timed_out)),
        ("ringway_certificates_refused_total", read(&shell.certificates_refused)),
        ("ringway_certificates_failed_total", read(&shell.certificates_failed)),
        ("ringway_websockets_refused_total", read(&shell.websockets_refused)),
        ("ringway_websockets_broken_total", read(&shell.websockets_broken)),
        ("ringway_websockets_silent_total", read(&shell.websockets_silent)),
        ("ringway_panics_total", read(&shell.panics)),
        ("ringway_steps_cut_total", read(&shell.steps_cut)),
        ("ringway_log_lines_dropped_total", read(&shell.log_lines_dropped)),
        ("ringway_store_failures_total", read(&shell.store_failures)),
        ("ringway_dns_questions_total", read(&shell.dns_questions)),
        ("ringway_dns_failures_total", read(&shell.dns_failures)),
        ("ringway_dns_refused_total", read(&shell.dns_refused)),
        ("ringway_dns_stale_total", read(&shell.dns_stale)),
        ("ringway_dns_tls_withdrawn_total", read(&shell.dns_tls_withdrawn)),
        ("ringway_lookups_refused_total", read(&shell.lookups_refused)),
        ("ringway_next_hops_failed_total", read(&shell.next_hops_failed)),
        ("ringway_trace_lost_total", read(&shell.trace_lost)),
        ("ringway_hep_sent_total", read(&shell.hep_sent)),
        ("ringway_hep_unsent_total", read(&shell.hep_unsent)),
        ("ringway_hep_lost_total", read(&shell.hep_lost)),
    ]
}

fn labelled(
    text: &mut String,
    name: &str,
    label: &str,
    table: &std::collections::BTreeMap<&'static str, u64>,
) {
    for (value, count) in table {
        line(text, &format!("{name}{{{label}=\"{value}\"}}"), *count);
    }
}

fn line(text: &mut String, name: &str, value: u64) {
    // Writing to memory cannot fail.
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let mut numbers = Numbers { registrations: 3, ..Numbers::default() };
        numbers.counters.requests.insert("INVITE", 7);
        let shell = Metrics::default();
        count(&shell.panics);
        let text = render_prometheus(&numbers, &shell);
        for line in [
            "ringway_sip_requests_total{method=\"INVITE\"} 7",
            "ringway_sip_responses_total{class=\"2xx\",direction=\"in\"} 0",
            "ringway_registrations 3",
            "ringway_panics_total 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        for line in text.lines() {
            let (name, value) = line.rsplit_once(' ').expect("a name and a value");
            assert!(name.starts_with("ringway_") && value.parse::<u64>().is_ok(), "{line}");
        }
    }
}
