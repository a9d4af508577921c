//! Words that may not stand here, and words that must.

use crate::Finding;
use crate::source::{Source, words};

/// Nothing here is half done. (The words are put together so that they do not find themselves.)
pub(crate) fn unfinished(source: &Source) -> Vec<Finding> {
    let marks = ["TO_DO", "FIX_ME", "to_do!", "un_implemented!", "d_bg!"];
    let marks = marks.map(|mark| mark.replace('_', ""));
    let mut found = Vec::new();
    for (n, line) in source.text.lines().enumerate() {
        for mark in marks.iter().filter(|mark| line.contains(mark.as_str())) {
            found.push(Finding::new(source, n, format!("{mark} is no way to leave it")));
        }
    }
    found
}

/// Whoever silences a lint says why.
pub(crate) fn reasons(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for attribute in ["allow(", "expect("] {
        for (at, _) in source.code.match_indices(attribute) {
            let line_start = source.code[..at].rfind('\n').map_or(0, |n| n + 1);
            let before = source.code[line_start..at].trim_start();
            if !(before.starts_with("#[") || before.starts_with("#![")) {
                continue;
            }
            let end = source.code[at..].find(']').map_or(source.code.len(), |n| at + n);
            if !source.code[at..end].contains("reason =") {
                let line = source.code[..at].matches('\n').count();
                found.push(Finding::new(source, line, "a lint is silenced without a reason"));
            }
        }
    }
    found
}

/// Paths and names of the machine on which something was written mean nothing elsewhere.
pub(crate) fn machines(source: &Source) -> Vec<Finding> {
    let paths = ["/wo_rk/", "/ro_ot/", "/tmp/te_am", "/ho_me/"].map(|path| path.replace('_', ""));
    let mut found = Vec::new();
    for (n, line) in source.text.lines().enumerate() {
        for path in paths.iter().filter(|path| line.contains(path.as_str())) {
            found.push(Finding::new(source, n, format!("{path} is a place on one machine")));
        }
    }
    found
}

/// Names say what a thing is, in the words of the RFCs (habit 18).
pub(crate) fn names(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let vague = ["Manager", "Helper", "Controller", "Handler2"];
    let file = source.path.rsplit('/').next().unwrap_or_default();
    let drawers = ["helper.rs", "helpers.rs", "util.rs", "utils.rs", "common.rs", "misc.rs"];
    if drawers.contains(&file) {
        found.push(Finding::new(source, 0, "a drawer, not a name"));
    }
    for (n, line) in source.code.lines().enumerate() {
        let mut before = "";
        for (_, word) in words(line) {
            let defines = ["struct", "enum", "trait", "type", "mod", "fn"].contains(&before);
            let banned = matches!(word, "ctx" | "tsx")
                || (defines && vague.iter().any(|vague| word.contains(vague)))
                || (before == "fn" && word.starts_with("get_"));
            if banned {
                found.push(Finding::new(source, n, format!("{word} is a name that says little")));
            }
            before = word;
        }
    }
    found
}

/// `//= RFC 3261 17.1.1.2` and, unless it is a test, one sentence from there in quotes.
pub(crate) fn citations(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    if !source.is_rust() {
        return found;
    }
    let lines: Vec<&str> = source.text.lines().map(str::trim_start).collect();
    for (n, line) in lines.iter().enumerate() {
        let Some(citation) = line.strip_prefix("//=") else { continue };
        let words: Vec<&str> = citation.split_whitespace().collect();
        let section = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
        let quoted = lines.get(n + 1).is_some_and(|next| next.starts_with("// \""));
        let right = match words.as_slice() {
            ["RFC", number, place] => number.parse::<u16>().is_ok() && section(place) && quoted,
            ["RFC", number, place, "type=test"] => number.parse::<u16>().is_ok() && section(place),
            _ => false,
        };
        if !right {
            found.push(Finding::new(source, n, "not a citation with its quotation"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tried;

    #[test]
    fn words_out_of_place_are_found() {
        let path = "crates/core/src/a.rs";
        let half = ["// TO_DO: x", "to_do!()", "/* FIX_ME */", "d_bg!(x)", "un_implemented!()"];
        let half = half.map(|text| text.replace('_', ""));
        let half: Vec<&str> = half.iter().map(String::as_str).collect();
        tried(unfinished, path, &half, &["fn a() {}", "// to do"]);
        tried(
            reasons,
            path,
            &["#[allow(dead_code)]", "#![allow(\n  a,\n  b\n)]", "  #[expect(unused)]"],
            &["#[allow(dead_code, reason = \"b\")]", "x.expect(\"y\")", "// #[allow(z)]"],
        );
        let there = "see /wo_rk/x".replace('_', "");
        tried(machines, path, &[&there], &["/var/lib/ringway"]);
    }

    #[test]
    fn bad_names_and_citations_are_found() {
        let path = "crates/core/src/a.rs";
        tried(
            names,
            path,
            &["struct TimerManager;", "fn get_x() {}", "let ctx = 1;", "fn f(tsx: T) {}"],
            &["struct Timers;", "fn x() {}", "// ctx", "let ctxt = widget_y();", "map.get(x)"],
        );
        tried(names, "crates/core/src/utils.rs", &["fn a() {}"], &[]);
        tried(
            citations,
            path,
            &["//= RFC 3261 9.1\nfn a() {}", "//= RFC3261 9.1\n// \"x\"", "//= RFC x 1 type=test"],
            &["//= RFC 3261 9.1\n// \"x\"", "    //= RFC 5389 15.4 type=test\n#[test]"],
        );
    }
}
