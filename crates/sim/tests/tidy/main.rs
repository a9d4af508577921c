//! The numbers and invariants of this project, checked. Each rule is a function from a file (or
//! from all of them) to what is wrong; each is tried on samples that are bad and that are good.

mod source;
mod size;
mod words;
mod rooms;
mod status;
mod files;
mod threats;

use source::{Source, Tree};

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    /// The path from the root of the project, and the line.
    place: String,
    what: String,
}

impl Finding {
    pub(crate) fn new(source: &Source, line: usize, what: impl Into<String>) -> Self {
        Self { place: format!("{}:{}", source.path, line + 1), what: what.into() }
    }
}

type Rule = fn(&Source) -> Vec<Finding>;
type TreeRule = fn(&Tree) -> Vec<Finding>;

/// Rules for each file by itself.
const RULES: &[(&str, Rule)] = &[
    ("lines", size::lines),
    ("file lengths", size::file),
    ("function lengths", size::functions),
    ("parameters", size::parameters),
    ("unfinished", words::unfinished),
    ("reasons", words::reasons),
    ("machines", words::machines),
    ("names", words::names),
    ("citations", words::citations),
    ("locks", rooms::locks),
    ("clocks", rooms::clocks),
    ("panics", rooms::panics),
    ("limits", rooms::limits),
    ("no_std", rooms::no_std),
    ("imports", rooms::imports),
    ("statuses in the server", status::server),
    ("statuses in the core", status::core),
    ("links", files::links),
];

/// Rules for all files together.
const TREE_RULES: &[(&str, TreeRule)] = &[
    ("edges", rooms::edges),
    ("lints", rooms::lints),
    ("unused files", files::unused),
    ("scenarios", files::scenarios),
    ("threats", threats::rows),
    ("README", files::readme),
];

#[test]
fn the_project_is_tidy() {
    let tree = Tree::read();
    assert!(tree.sources.len() > 100, "the files are found");
    let mut found = Vec::new();
    for (rule, check) in RULES {
        let all = tree.sources.iter().flat_map(check);
        found.extend(all.map(|f| format!("{}: {} ({rule})", f.place, f.what)));
    }
    for (rule, check) in TREE_RULES {
        found.extend(check(&tree).into_iter().map(|f| format!("{}: {} ({rule})", f.place, f.what)));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// Tries a rule on samples: what it must find something in, and what it must let pass.
#[cfg(test)]
pub(crate) fn tried(rule: fn(&Source) -> Vec<Finding>, path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        assert_ne!(rule(&Source::new(path, text)), [], "this must be found: {text}");
    }
    for text in good {
        assert_eq!(rule(&Source::new(path, text)), [], "this must pass: {text}");
    }
}
