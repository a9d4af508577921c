//! Logs: one event a line on standard error, as text or as JSON, with keys that stay the same.

use std::io;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

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
    let log = fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    let begun = match form {
        Form::Text => log.with_ansi(colours).finish().try_init(),
        Form::Json => log.json().flatten_event(true).with_ansi(false).finish().try_init(),
    };
    // It was begun before: the log that there is goes on.
    drop(begun);
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
}
