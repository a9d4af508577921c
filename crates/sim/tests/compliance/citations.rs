//! Where RFCs are cited: `//= RFC 3261 16.6` and quotations below it in code and tests, comments
//! with quotations at the head of scenarios.

use crate::source::{Source, Tree, words};

/// What cites.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Code,
    Test,
}

/// One place that cites one section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Citation {
    pub(crate) rfc: u32,
    pub(crate) section: String,
    /// In words with single blanks between; may be none.
    pub(crate) quotes: Vec<String>,
    pub(crate) kind: Kind,
    /// A file of `crates` with the name of the test, or of `scenarios`.
    pub(crate) place: String,
}

/// All of them, code and tests in the order of their files, scenarios last.
pub(crate) fn of(tree: &Tree) -> Vec<Citation> {
    let crates = tree.sources.iter().filter(|source| source.path.starts_with("crates/"));
    let crates = crates.filter(|source| source.is_rust() && !source.path.contains("/sim/tests/"));
    let scenarios = tree.sources.iter().filter(|source| source.path.ends_with(".sip"));
    crates.flat_map(in_rust).chain(scenarios.flat_map(in_scenario)).collect()
}

fn in_rust(source: &Source) -> Vec<Citation> {
    let lines: Vec<&str> = source.text.lines().map(str::trim).collect();
    let file = source.path.trim_start_matches("crates/");
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some(citation) = line.strip_prefix("//= RFC ") else { continue };
        let words: Vec<&str> = citation.split_whitespace().collect();
        let [rfc, section, rest @ ..] = &words[..] else { continue };
        let is_test = *rest == ["type=test"] || n >= source.tests_from;
        let quotes = lines[n + 1..].iter().map_while(|line| {
            let text = line.strip_prefix("// \"")?;
            Some(plain(text.strip_suffix('"').unwrap_or(text)))
        });
        let (kind, place) = match is_test {
            true => (Kind::Test, format!("{file}: {}", test_at(&lines, n))),
            false => (Kind::Code, file.to_owned()),
        };
        let (rfc, section) = (rfc.parse().unwrap_or(0), (*section).to_owned());
        found.push(Citation { rfc, section, quotes: quotes.collect(), kind, place });
    }
    found
}

/// The name of the function that begins below the citation, or else of the one around it.
fn test_at<'a>(lines: &[&'a str], at: usize) -> &'a str {
    let name = |line: &&'a str| {
        let mut found = words(line).skip_while(|(_, word)| *word != "fn");
        found.nth(1).map(|(_, name)| name)
    };
    let below =
        lines[at..].iter().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let next = lines[at..].get(below.count()).and_then(name);
    next.or_else(|| lines[..at].iter().rev().find_map(name)).unwrap_or_default()
}

fn in_scenario(source: &Source) -> Vec<Citation> {
    let head = source.text.lines().map_while(|line| line.strip_prefix('#'));
    let head = head.map(str::trim).collect::<Vec<_>>().join(" ");
    let place = source.path.trim_start_matches("scenarios/").to_owned();
    let mut found: Vec<Citation> = Vec::new();
    for (nth, part) in head.split('"').enumerate() {
        if nth % 2 == 1 {
            if let Some(last) = found.last_mut() {
                last.quotes.push(plain(part));
            }
            continue;
        }
        let words: Vec<&str> = part.split_whitespace().collect();
        for three in words.windows(3).filter(|three| three[0] == "RFC") {
            let Ok(rfc) = three[1].parse() else { continue };
            let section = three[2].trim_matches([',', ':', '.', ';']).to_owned();
            if section.starts_with(|c: char| c.is_ascii_digit()) {
                let (kind, place, quotes) = (Kind::Test, place.clone(), Vec::new());
                found.push(Citation { rfc, section, quotes, kind, place });
            }
        }
    }
    found
}

/// Words with single blanks between, without quotation marks.
pub(crate) fn plain(text: &str) -> String {
    let text = text.replace(['"', '\'', '\\'], "").replace("- ", "-");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
