//! Logs: one event a line on standard error, as text or as JSON, with keys that stay the same.
//!
//! As text: `2026-02-17T20:00:00.000000Z warn event=auth_failed src=203.0.113.9 user=101
//! reason=bad_password`, in one line; programs that ban read it. As JSON: the same keys, and `ts`
//! and `level` for the first two words. `event` says what happened, `msg` what a person should
//! know besides; every event has keys of its own between them.

use std::fmt::{self, Write};
use std::io;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The names of the levels, from silence to every message.
pub const LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

/// The level of this name.
pub fn named(name: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, level)| *level)
}

/// The level that counts: what `RINGWAY_LOG` says, else the configuration's; one step more for
/// each `-v`.
///
/// # Errors
/// If `RINGWAY_LOG` names no level.
pub fn level(
    said: Option<&str>,
    configured: LevelFilter,
    verbose: u8,
) -> Result<LevelFilter, String> {
    let base = match said.filter(|name| !name.is_empty()) {
        Some(name) => named(name).ok_or_else(|| {
            let known: Vec<_> = LEVELS.iter().map(|(name, _)| *name).collect();
            format!("RINGWAY_LOG is {name:?}, which is none of {}", known.join(", "))
        })?,
        None => configured,
    };
    let at = LEVELS.iter().position(|(_, level)| *level == base).unwrap_or(0);
    Ok(LEVELS[(at + usize::from(verbose)).min(LEVELS.len() - 1)].1)
}

/// From now on events are logged. The first call counts; a process has one log.
pub fn begin(level: LevelFilter, form: Form, colours: bool) {
    let layer = tracing_subscriber::fmt::layer()
        .event_format(Line { form, colours })
        .with_writer(io::stderr)
        // Where standard error is gone there is nobody to tell, and no reason to panic.
        .log_internal_errors(false);
    let subscriber = tracing_subscriber::registry().with(level).with(layer);
    // It was begun before: the log that there is goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// How one event is written.
struct Line {
    form: Form,
    colours: bool,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut ts = String::new();
        SystemTime.format_time(&mut Writer::new(&mut ts))?;
        let level = *event.metadata().level();
        match self.form {
            Form::Text => {
                let name = level_name(level);
                match colour_of(level).filter(|_| self.colours) {
                    Some(code) => write!(writer, "{ts} \x1b[{code}m{name}\x1b[0m")?,
                    None => write!(writer, "{ts} {name}")?,
                }
                fields.write_text(&mut writer)?;
            }
            Form::Json => fields.write_json((&ts, level_name(level)), &mut writer)?,
        }
        writeln!(writer)
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

const fn colour_of(level: Level) -> Option<&'static str> {
    match level {
        Level::ERROR => Some("31"),
        Level::WARN => Some("33"),
        _ => None,
    }
}

/// The fields of one event, in their order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Content)>);

enum Content {
    Text(String),
    /// Numbers and truth, which JSON writes without quotes.
    Plain(String),
}

impl Fields {
    fn put(&mut self, field: &Field, content: Content) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.push((name, content));
    }

    fn write_text(&self, out: &mut impl Write) -> fmt::Result {
        for (name, content) in self.in_order() {
            match content {
                Content::Plain(text) => write!(out, " {name}={text}")?,
                Content::Text(text) if is_word(text) => write!(out, " {name}={text}")?,
                Content::Text(text) => write!(out, " {name}=\"{}\"", text.escape_debug())?,
            }
        }
        Ok(())
    }

    fn write_json(&self, (ts, level): (&str, &str), out: &mut impl Write) -> fmt::Result {
        write!(out, "{{\"ts\":\"{ts}\",\"level\":\"{level}\"")?;
        for (name, content) in self.in_order() {
            match content {
                Content::Plain(text) => write!(out, ",\"{name}\":{text}")?,
                Content::Text(text) => {
                    let quoted = serde_json::to_string(text).map_err(|_| fmt::Error)?;
                    write!(out, ",\"{name}\":{quoted}")?;
                }
            }
        }
        out.write_char('}')
    }

    /// The event first, the words for people last.
    fn in_order(&self) -> impl Iterator<Item = &(&'static str, Content)> {
        let rank = |name: &str| match name {
            "event" => 0,
            "msg" => 2,
            _ => 1,
        };
        let of_rank = move |wanted| self.0.iter().filter(move |(name, _)| rank(name) == wanted);
        (0..3).flat_map(of_rank)
    }
}

/// What can stand in a line without quotes.
fn is_word(text: &str) -> bool {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'=\\".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Content::Text(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Content::Text(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Content::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Content::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no words for what is no number.
        let text = value.to_string();
        self.put(field, if value.is_finite() { Content::Plain(text) } else { Content::Text(text) });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Content::Plain(value.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_file_and_v_adds_to_both() {
        let of = |said, verbose| level(said, LevelFilter::WARN, verbose);
        assert_eq!(of(None, 0), Ok(LevelFilter::WARN));
        assert_eq!(of(None, 1), Ok(LevelFilter::INFO));
        assert_eq!(of(Some("Error"), 2), Ok(LevelFilter::INFO));
        assert_eq!(of(Some(""), 9), Ok(LevelFilter::TRACE));
        let wrong = of(Some("loud"), 0).expect_err("no level");
        assert_eq!(
            wrong,
            "RINGWAY_LOG is \"loud\", which is none of off, error, warn, info, debug, trace"
        );
    }
    /// What a subscriber would write of these events.
    fn written(form: Form, events: impl FnOnce()) -> String {
        use std::sync::{Arc, Mutex, PoisonError};
        #[derive(Clone, Default)]
        struct Page(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Page {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                page.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let page = Page::default();
        let writer = page.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(Line { form, colours: false })
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(LevelFilter::INFO).with(layer);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = page.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("text")
    }

    fn some_events() {
        let (src, user) = ("203.0.113.9", "101");
        tracing::warn!(event = "auth_failed", %src, %user, reason = "bad_password");
        tracing::debug!(event = "not_seen");
        let user = "a b\n\"c\u{1b}[2J";
        tracing::error!(src = %user, code = 404_u16, good = true, event = "x", "said {}", "so");
        tracing::info!(event = "empty", reason = "", half = 0.5);
    }

    #[test]
    fn b11_lines_have_the_form_that_programs_read_and_cannot_be_forged() {
        let text = written(Form::Text, some_events);
        let lines: Vec<_> =
            text.lines().map(|line| line.split_once(' ').expect("a time")).collect();
        assert!(lines[0].0.ends_with('Z') && lines[0].0.len() == 27, "{}", lines[0].0);
        let lines: Vec<_> = lines.into_iter().map(|(_, rest)| rest).collect();
        assert_eq!(
            lines,
            [
                "warn event=auth_failed src=203.0.113.9 user=101 reason=bad_password",
                "error event=x src=\"a b\\n\\\"c\\u{1b}[2J\" code=404 good=true msg=\"said so\"",
                "info event=empty reason=\"\" half=0.5",
            ]
        );
    }

    #[test]
    fn json_lines_are_json_with_the_same_keys() {
        let text = written(Form::Json, some_events);
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0]["level"], "warn");
        assert_eq!(lines[0]["event"], "auth_failed");
        assert_eq!(lines[1]["src"], "a b\n\"c\u{1b}[2J");
        assert_eq!((&lines[1]["code"], &lines[1]["good"]), (&404.into(), &true.into()));
        assert_eq!(lines[1]["msg"], "said so");
        assert_eq!(lines[2]["half"], 0.5);
        assert!(text.lines().all(|line| line.starts_with("{\"ts\":\"2")), "{text}");
    }
}
