//! The page, and what it must hold.

use crate::citations::{Citation, Kind, plain};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Words that a quotation and a sentence must share where neither holds the other: quotations are
/// lines of the RFC, and may end in the next sentence.
const SHARED: usize = 5;

/// One sentence with a MUST.
pub(crate) struct Requirement {
    pub(crate) section: String,
    text: String,
    reason: Option<String>,
}

impl Requirement {
    pub(crate) fn read(list: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match (line.strip_prefix(' '), all.last_mut()) {
                (Some(reason), Some(last)) => {
                    let before = last.reason.take().map_or(String::new(), |text| text + " ");
                    last.reason = Some(before + reason.trim());
                }
                _ => {
                    let (section, text) = line.split_once(' ').unwrap_or((line, ""));
                    let (section, text) = (section.to_owned(), text.to_owned());
                    all.push(Self { section, text, reason: None });
                }
            }
        }
        all
    }

    /// Whether a quotation is of this sentence.
    pub(crate) fn is_met_by(&self, quote: &str) -> bool {
        let text = plain(&self.text);
        if text.contains(quote) || quote.contains(&text) {
            return true;
        }
        let (quote, text): (Vec<&str>, Vec<&str>) =
            (quote.split(' ').collect(), text.split(' ').collect());
        let most = quote.len().min(text.len());
        let begins = (SHARED..most).any(|n| quote[quote.len() - n..] == text[..n]);
        let ends = (SHARED..most).any(|n| quote[..n] == text[text.len() - n..]);
        begins || ends
    }

    fn places<'c>(&self, all: &'c [Citation], kind: Kind) -> BTreeSet<&'c str> {
        let fits = all.iter().filter(|citation| {
            let here = citation.rfc == 3261 && citation.section == self.section;
            here && citation.kind == kind && citation.quotes.iter().any(|q| self.is_met_by(q))
        });
        fits.map(|citation| citation.place.as_str()).collect()
    }

    /// What there is not, in a line.
    pub(crate) fn lacks(&self, all: &[Citation]) -> Option<String> {
        let (code, test) = (self.places(all, Kind::Code), self.places(all, Kind::Test));
        let lacks = match (code.is_empty(), test.is_empty(), &self.reason) {
            (_, _, Some(_)) | (false, false, None) => return None,
            (true, false, None) => "no code",
            (false, true, None) => "no test",
            (true, true, None) => "no code, no test",
        };
        Some(format!("{lacks}: {} {}", self.section, self.text))
    }
}

const HEAD: &str = "# Compliance

Written by `RINGWAY_COMPLIANCE=write cargo test -p ringway-sim --test compliance` from the citations
next to the code, in tests and at the head of scenarios; do not edit it. A test fails if it is out
of date, and if a MUST of RFC 3261 §16 or §17 has neither code and a test nor a reason here.

Code is a file in `crates`. A test is a function in a file there, or a file in `scenarios`.

";

/// The whole page.
pub(crate) fn write(requirements: &[Requirement], all: &[Citation]) -> String {
    let mut text = HEAD.to_owned();
    let met = requirements.iter().filter(|one| {
        !one.places(all, Kind::Code).is_empty() && !one.places(all, Kind::Test).is_empty()
    });
    let (met, count) = (met.count(), requirements.len());
    // Writing to memory cannot fail.
    let _ = writeln!(text, "## Every MUST of RFC 3261 §16 and §17\n");
    let _ = writeln!(text, "{met} of {count} have code and a test of their own.\n");
    let _ =
        writeln!(text, "| § | requirement | code | tests, or why there is none |\n|--|--|--|--|");
    for one in requirements {
        let code = list(&one.places(all, Kind::Code));
        let mut test = list(&one.places(all, Kind::Test));
        if let Some(reason) = &one.reason {
            let gap = if test.is_empty() { "" } else { "; " };
            let _ = write!(test, "{gap}{reason}");
        }
        let sentence = one.text.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {sentence} | {code} | {test} |", one.section);
    }
    let mut by_rfc: BTreeMap<u32, Vec<&Citation>> = BTreeMap::new();
    for citation in all {
        by_rfc.entry(citation.rfc).or_default().push(citation);
    }
    let _ = writeln!(text, "\n## Every citation\n");
    for (rfc, citations) in by_rfc {
        let _ = writeln!(text, "### RFC {rfc}\n\n| § | code | tests |\n|--|--|--|");
        let mut sections: BTreeMap<Vec<u32>, (&str, [BTreeSet<&str>; 2])> = BTreeMap::new();
        for citation in citations {
            let number = citation.section.split('.').map(|n| n.parse().unwrap_or(u32::MAX));
            let row = sections.entry(number.collect()).or_default();
            row.0 = &citation.section;
            row.1[usize::from(citation.kind == Kind::Test)].insert(&citation.place);
        }
        for (section, [code, test]) in sections.into_values() {
            let _ = writeln!(text, "| {section} | {} | {} |", list(&code), list(&test));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn list(places: &BTreeSet<&str>) -> String {
    let places: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
    places.join(", ")
}
