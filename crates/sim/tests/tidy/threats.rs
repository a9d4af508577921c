//! Every row of the threat list has tests of its name, or says why it has none.

use crate::Finding;
use crate::source::{Source, Tree};
use std::collections::BTreeSet;

const PAGE: &str = "docs/threats.md";

/// Groups that must be there whole, and how many rows each has.
const GROUPS: &[(char, usize)] =
    &[('A', 20), ('C', 14), ('D', 8), ('E', 16), ('F', 10), ('G', 15), ('K', 3)];

/// Holds the page of threats to the tests that there are.
pub(crate) fn rows(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.find(PAGE) else { return Vec::new() };
    let tested: BTreeSet<String> = tree.sources.iter().flat_map(tested_rows).collect();
    let mut listed = BTreeSet::new();
    let mut found = Vec::new();
    for (n, line) in page.text.lines().enumerate() {
        let Some(row) = row_of(line) else { continue };
        let excused = line.contains("*no test*: ");
        match (tested.contains(&row), excused) {
            (false, false) => {
                found.push(Finding::new(page, n, format!("no test begins with {row}_")))
            }
            (true, true) => {
                found.push(Finding::new(page, n, format!("{row} has a test after all")))
            }
            (true, false) | (false, true) => {}
        }
        listed.insert(row);
    }
    for (group, rows) in GROUPS {
        let all = (1..=*rows).map(|row| format!("{}{row}", group.to_ascii_lowercase()));
        let missing = all.filter(|row| !listed.contains(row));
        found.extend(missing.map(|row| Finding::new(page, 0, format!("{row} is not listed"))));
    }
    found
}

/// The row that a line of the table is about, in lower case.
fn row_of(line: &str) -> Option<String> {
    let cell = line.strip_prefix("| ")?.split(' ').next()?;
    is_row(&cell.to_ascii_lowercase()).then(|| cell.to_ascii_lowercase())
}

/// A letter of a group, and a number.
fn is_row(word: &str) -> bool {
    let mut chars = word.chars();
    let group = chars.next().is_some_and(|c| ('a'..='k').contains(&c));
    let digits = chars.as_str();
    group && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// The rows that the names of a file's tests begin with. A scenario is one test, and may bear its
/// rows anywhere in its name, for it is named after its RFC.
fn tested_rows(source: &Source) -> Vec<String> {
    let name = source.path.rsplit('/').next().unwrap_or_default();
    if let Some(name) = name.strip_suffix(".sip") {
        return name.split('-').filter(|word| is_row(word)).map(str::to_owned).collect();
    }
    let functions = source.text.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ").or_else(|| line.strip_prefix("def "))
    });
    functions.flat_map(rows_in).collect()
}

/// `a1_a2_what_happens` is about A1 and A2.
fn rows_in(name: &str) -> Vec<String> {
    name.split(['_', '-']).take_while(|word| is_row(word)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> String {
        let row = |(group, rows): &(char, usize)| {
            (1..=*rows).map(|n| format!("| {group}{n} | x | y |\n")).collect::<String>()
        };
        GROUPS.iter().map(row).collect()
    }

    fn tests() -> String {
        let row = |(group, rows): &(char, usize)| {
            let group = group.to_ascii_lowercase();
            (1..=*rows).map(|n| format!("fn {group}{n}_x() {{}}\n")).collect::<String>()
        };
        GROUPS.iter().map(row).collect()
    }

    #[test]
    fn rows_without_tests_and_excuses_without_need_are_found() {
        let findings = |page: &str, tests: &str| {
            let tree = Tree::of(&[(PAGE, page), ("crates/x/tests/t.rs", tests)]);
            rows(&tree).into_iter().map(|found| found.what).collect::<Vec<_>>()
        };
        assert_eq!(findings(&whole(), &tests()), [] as [&str; 0]);
        let none = tests().replace("fn g3_x", "fn x_g3");
        assert_eq!(findings(&whole(), &none), ["no test begins with g3_"]);
        assert_eq!(
            findings(&whole().replace("| G3 | x | y |", ""), &tests()),
            ["g3 is not listed"]
        );
        let excused = whole().replace("| G3 | x |", "| G3 | *no test*: there is none");
        assert_eq!(findings(&excused, &none), [] as [&str; 0]);
        assert_eq!(findings(&excused, &tests()), ["g3 has a test after all"]);
    }

    #[test]
    fn names_begin_with_their_rows() {
        assert_eq!(rows_in("a1_a2_b"), ["a1", "a2"]);
        assert_eq!(rows_in("x_a1"), [] as [&str; 0]);
        let scenario = |path: &str| tested_rows(&Source::new(path, ""));
        assert_eq!(scenario("scenarios/rfc5393/4-loop-e5.sip"), ["e5"]);
        assert_eq!(scenario("scenarios/ringway/b3-spoofed-from.sip"), ["b3"]);
        assert_eq!(scenario("scenarios/rfc3261/16.11-ack-branch.sip"), [] as [&str; 0]);
        assert_eq!(row_of("| A14 | x |"), Some("a14".to_owned()));
        assert_eq!(row_of("| row | attack |"), None);
    }
}
