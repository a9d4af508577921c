//! Status codes have names. A refusal is a `Reject`, which knows its number; the few others that
//! we send are in `core/src/status.rs`. Whole classes (`200..=299`, `>= 600`) may be compared.

use crate::Finding;
use crate::source::{Source, words};

/// Where numbers are given to names, and where numbers are other things (the calendar).
const NAMED: [&str; 4] = [
    "crates/core/src/reject.rs",
    "crates/core/src/status.rs",
    "crates/core/src/limits.rs",
    "crates/core/src/time.rs",
];

/// The codes of RFC 3261 §21 and its extensions.
const CODES: &[u16] = &[
    100, 180, 181, 182, 183, 199, 200, 202, 204, 300, 301, 302, 305, 380, 400, 401, 402, 403, 404,
    405, 406, 407, 408, 410, 412, 413, 414, 415, 416, 420, 421, 422, 423, 424, 425, 428, 429, 430,
    433, 436, 437, 438, 439, 440, 469, 470, 480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491,
    493, 494, 500, 501, 502, 503, 504, 505, 513, 555, 580, 600, 603, 604, 606, 607, 608,
];

/// The server takes no SIP decision, so it has no code to write. Its test phones do.
pub(crate) fn server(source: &Source) -> Vec<Finding> {
    let exempt = ["/demo/", "/limits.rs"].iter().any(|part| source.path.contains(part));
    if !source.is_in(&["server"]) || exempt {
        return Vec::new();
    }
    let mut found = bare(source, |_, _| false);
    for (n, line) in source.text.lines().enumerate().take(source.tests_from) {
        if line.contains("\"SIP/2.0 ") && !line.trim_start().starts_with("//") {
            found.push(Finding::new(source, n, "a status line in the server"));
        }
    }
    found
}

pub(crate) fn core(source: &Source) -> Vec<Finding> {
    if !source.is_in(&["core"]) || NAMED.contains(&source.path.as_str()) {
        return Vec::new();
    }
    bare(source, |before, after| {
        let compared = ["..=", "..", ">=", "<=", ">", "<"];
        let range = after.starts_with("..") || compared.iter().any(|c| before.ends_with(c));
        range || is_arithmetic(before, after)
    })
}

/// Numbers that are divided by or counted with are no codes.
fn is_arithmetic(before: &str, after: &str) -> bool {
    let operator = |text: Option<char>| text.is_some_and(|c| "/%*+".contains(c));
    let digits = after.starts_with(", 10,");
    operator(before.chars().last()) || operator(after.chars().next()) || digits
}

/// Numbers that are codes, but for those that `fine` says are not; it sees what stands before
/// and behind them.
fn bare(source: &Source, fine: impl Fn(&str, &str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (n, line) in source.shipped() {
        for (at, word) in words(line) {
            let Some(code) = word.parse().ok().filter(|code| CODES.contains(code)) else {
                continue;
            };
            let (before, after) = (line[..at].trim_end(), line[at + word.len()..].trim_start());
            // `Duration::from_millis(500)` and its like, `x.500` and `100.0`.
            let inside = before.ends_with('(');
            let duration = inside
                && words(before).last().is_some_and(|(_, word)| {
                    word.starts_with("from_") || word.starts_with("with_")
                });
            let fraction = before.ends_with('.') || after.starts_with(".0");
            if !duration && !fraction && !fine(before, after) {
                found.push(Finding::new(source, n, format!("{code} is written as a number")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tried;

    #[test]
    fn bare_codes_are_found() {
        let path = "crates/core/src/proxy/a.rs";
        tried(
            core,
            path,
            &["self.answer(now, id, 487, out)", "if status == 503 {", "401 | 407 => 0,"],
            &[
                "200..=299 => {}",
                "if status >= 600 {",
                "101.. => {}",
                "(true, 300..) => x,",
                "Duration::from_millis(500)",
                "status / 100",
                "Vec::with_capacity(200)",
                "// 487",
                "\"487\"",
                "#[cfg(test)]\nmod tests { fn a() { f(487) } }",
            ],
        );
        tried(core, "crates/core/src/reject.rs", &[], &["Self::Busy => 486,"]);
        let path = "crates/server/src/a.rs";
        tried(
            server,
            path,
            &["if status >= 200 {", "f(486)", "write(b\"SIP/2.0 200 OK\")"],
            &["Duration::from_millis(200)", "// \"SIP/2.0 200", "let n = 7;", "x * 100.0"],
        );
        tried(server, "crates/server/src/demo/phone.rs", &[], &["f(486)"]);
    }
}
