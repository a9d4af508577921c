//! `docs/compliance.md` is written from the citations in code, tests and scenarios, and every
//! MUST of RFC 3261 §16 and §17 has code and a test, or a reason why not.
//!
//! `RINGWAY_COMPLIANCE=write cargo test -p ringway-sim --test compliance` writes it anew.

#[path = "../tidy/source.rs"]
#[allow(dead_code, reason = "the tidy test uses all of it")]
mod source;
mod citations;
mod page;

use citations::{Citation, Kind};
use page::Requirement;
use source::Tree;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn requirements() -> Vec<Requirement> {
    Requirement::read(include_str!("rfc3261.txt"))
}

#[test]
fn every_must_has_code_and_a_test_or_a_reason() {
    let all = citations::of(&Tree::read());
    let requirements = requirements();
    assert!(requirements.len() > 150, "the list is read");
    let without: Vec<String> = requirements.iter().filter_map(|one| one.lacks(&all)).collect();
    let mut text = without.join("\n");
    text.push_str("\nCite each where it is done, and in its test; or say in rfc3261.txt why not.");
    assert!(without.is_empty(), "\n{text}");
}

#[test]
fn the_page_is_what_the_citations_say() {
    let all = citations::of(&Tree::read());
    let text = page::write(&requirements(), &all);
    let file = root().join("docs/compliance.md");
    if std::env::var_os("RINGWAY_COMPLIANCE").is_some_and(|what| what == "write") {
        fs::write(&file, &text).expect("docs can be written");
    }
    let page = fs::read_to_string(&file).unwrap_or_default();
    let differs = page.lines().zip(text.lines()).find(|(old, new)| old != new);
    assert!(
        page == text,
        "docs/compliance.md is out of date: {differs:?}; write it anew:\n    \
        RINGWAY_COMPLIANCE=write cargo test -p ringway-sim --test compliance"
    );
}

#[test]
fn what_no_rfc_says_is_not_quoted_from_the_two_sections() {
    // A quotation that fits no sentence with a MUST is one of another sentence: there are many.
    // One that is nearly that of a MUST is a slip.
    let requirements = requirements();
    let slips = citations::of(&Tree::read()).into_iter().filter(|citation| {
        let of_must = citation.quotes.iter().any(|quote| quote.contains("MUST"));
        let checked = citation.rfc == 3261
            && (citation.section.starts_with("16.") || citation.section.starts_with("17."));
        let of_section: Vec<_> =
            requirements.iter().filter(|one| one.section == citation.section).collect();
        let known = |quote: &String| {
            !quote.contains("MUST") || of_section.iter().any(|one| one.is_met_by(quote))
        };
        checked && of_must && !citation.quotes.iter().all(known)
    });
    let slips: Vec<String> =
        slips.map(|c| format!("{} {}: {:?}", c.place, c.section, c.quotes)).collect();
    assert!(
        slips.is_empty(),
        "not the words of the RFC, or another section:\n{}",
        slips.join("\n")
    );
}

#[test]
fn citations_are_read_in_all_their_forms() {
    let code = "fn a() {\n    //= RFC 3261 16.6\n    // \"one two\"\n    // \"three\"\n    b();\n\
        }\n#[cfg(test)]\nmod tests {\n#[test]\n//= RFC 3261 17.2.1 type=test\nfn c() {}\n}\n";
    let scenario = "# RFC 3261 16.7 step 7: \"a b\n# c\" and \"d\". RFC 5393 4.2: \"e\" or so.\n\
        0ms a\n# RFC 1 1: \"later\"\n";
    let tree = Tree::of(&[("crates/core/src/x.rs", code), ("scenarios/a/b.sip", scenario)]);
    let found = citations::of(&tree);
    let short =
        |c: &Citation| (c.rfc, c.section.clone(), c.quotes.clone(), c.kind, c.place.clone());
    let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let (code, scenario) = ("core/src/x.rs", "a/b.sip");
    let all: Vec<_> = found.iter().map(short).collect();
    assert_eq!(
        all,
        [
            (3261, "16.6".into(), texts(&["one two", "three"]), Kind::Code, code.into()),
            (3261, "17.2.1".into(), texts(&[]), Kind::Test, "core/src/x.rs: c".into()),
            (3261, "16.7".into(), texts(&["a b c", "d"]), Kind::Test, scenario.into()),
            (5393, "4.2".into(), texts(&["e"]), Kind::Test, scenario.into()),
        ]
    );
}

#[test]
fn a_must_without_code_or_test_is_found() {
    let text =
        "# x\n\n16.6 The proxy MUST do one thing and another.\n16.6 It MUST not.\n  no: so\n";
    let [first, second] = &Requirement::read(text)[..] else { panic!("two") };
    let citation = |kind, quote: &str| Citation {
        rfc: 3261,
        section: "16.6".into(),
        quotes: vec![quote.into()],
        kind,
        place: "x".into(),
    };
    let code = citation(Kind::Code, "MUST do one thing");
    let test = citation(Kind::Test, "it is so.  The proxy MUST do one thing and");
    assert!(first.lacks(std::slice::from_ref(&code)).is_some_and(|what| what.contains("no test")));
    assert!(first.lacks(std::slice::from_ref(&test)).is_some_and(|what| what.contains("no code")));
    assert_eq!(first.lacks(&[code.clone(), test.clone()]), None);
    let elsewhere = Citation { section: "16.7".into(), ..test };
    assert!(first.lacks(&[code, elsewhere]).is_some(), "another section");
    assert_eq!(second.lacks(&[]), None, "there is a reason");
}
