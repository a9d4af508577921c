//! Nothing lies around unused, and what the documents point at is there.

use crate::Finding;
use crate::source::{Source, Tree, words};
use std::collections::BTreeSet;

/// A Rust file that no `mod` leads to is dead, and nobody notices.
pub(crate) fn unused(tree: &Tree) -> Vec<Finding> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Source> = tree.sources.iter().filter(|s| is_root(&s.path)).collect();
    while let Some(source) = next.pop() {
        if !reached.insert(source.path.clone()) {
            continue;
        }
        for place in modules(source) {
            next.extend(tree.find(&place));
        }
    }
    let dead = tree.sources.iter().filter(|s| s.is_rust() && !reached.contains(&s.path));
    dead.map(|source| Finding::new(source, 0, "no module leads here")).collect()
}

/// Where the compiler begins.
fn is_root(path: &str) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    let parent = folder.rsplit('/').next().unwrap_or_default();
    match parent {
        "src" => matches!(file, "lib.rs" | "main.rs"),
        "bin" | "tests" | "benches" | "examples" | "fuzz_targets" => file.ends_with(".rs"),
        _ => file == "build.rs" || (file == "main.rs" && folder.contains("/tests/")),
    }
}

/// The files that the modules of a file may be in.
fn modules(source: &Source) -> Vec<String> {
    let path = source.path.as_str();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let own = matches!(file, "lib.rs" | "main.rs" | "mod.rs") || is_root(path);
    let base = match own {
        true => folder.to_owned(),
        false => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    let mut places = Vec::new();
    for (n, line) in source.code.lines().enumerate() {
        let found: Vec<&str> = words(line).map(|(_, word)| word).collect();
        if let Some(at) = found.iter().position(|word| *word == "mod")
            && let (Some(name), true) = (found.get(at + 1), line.contains(';'))
        {
            if let Some(path) = above(source, n) {
                places.push(format!("{folder}/{path}"));
            }
            places.push(format!("{base}/{name}.rs"));
            places.push(format!("{base}/{name}/mod.rs"));
        }
    }
    places
}

/// What `#[path = "…"]` in the line above says.
fn above(source: &Source, line: usize) -> Option<&str> {
    let above = source.text.lines().nth(line.checked_sub(1)?)?;
    above.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")
}

/// Every scenario is run: the test that runs them walks the whole folder, so all that is needed
/// is that it is there, and that no scenario lies where it does not look.
pub(crate) fn scenarios(tree: &Tree) -> Vec<Finding> {
    let all = tree.sources.iter().filter(|source| source.path.ends_with(".sip"));
    let runner = tree.sources.iter().any(|source| {
        source.path.starts_with("crates/sim/tests/")
            && source.text.contains("scenarios")
            && source.text.contains("read_dir")
    });
    let lost = all.filter(|source| !source.path.starts_with("scenarios/") || !runner);
    lost.map(|source| Finding::new(source, 0, "no test runs this scenario")).collect()
}

/// What a document points at is there.
pub(crate) fn links(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    for (n, line) in source.text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.contains('@');
            if !elsewhere && !root.join(folder).join(target).exists() {
                found.push(Finding::new(source, n, format!("{target} is not there")));
            }
        }
    }
    found
}

/// A newcomer is shown two commands, and they are these.
pub(crate) fn readme(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.find("README.md") else { return Vec::new() };
    let start = readme.text.split("\n## ").find(|part| part.starts_with("Two commands"));
    let block = start.and_then(|start| start.split("```").nth(1)).unwrap_or_default();
    let commands: Vec<&str> = block
        .lines()
        .filter(|line| !line.trim().is_empty() && *line != "sh")
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .collect();
    if commands == ["cargo run --release -- demo", "./test"] {
        return Vec::new();
    }
    vec![Finding::new(readme, 0, format!("not the two commands: {commands:?}"))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tried;

    #[test]
    fn files_without_a_use_are_found() {
        let tree = Tree::of(&[
            ("crates/x/src/lib.rs", "mod a;\npub mod b;\n// mod dead;\nmod inline { }"),
            ("crates/x/src/a.rs", "#[cfg(test)]\nmod tests;"),
            ("crates/x/src/a/tests.rs", ""),
            ("crates/x/src/b/mod.rs", "pub(crate) mod c;"),
            ("crates/x/src/b/c.rs", ""),
            ("crates/x/src/dead.rs", ""),
            ("crates/x/tests/world/mod.rs", ""),
            ("crates/x/tests/live.rs", "mod world;\n#[path = \"live/far.rs\"]\nmod near;"),
            ("crates/x/tests/live/far.rs", ""),
            ("crates/x/tests/big/main.rs", "mod part;"),
            ("crates/x/tests/big/part.rs", ""),
        ]);
        let places: Vec<String> = unused(&tree).into_iter().map(|found| found.place).collect();
        assert_eq!(places, ["crates/x/src/dead.rs:1"]);
        let runner = ("crates/sim/tests/scenarios.rs", "fs::read_dir(\"scenarios\")");
        let scenario = ("scenarios/a/b.sip", "");
        assert_eq!(scenarios(&Tree::of(&[scenario])).len(), 1);
        assert_eq!(scenarios(&Tree::of(&[scenario, runner])), []);
        assert_eq!(scenarios(&Tree::of(&[("elsewhere/b.sip", ""), runner])).len(), 1);
    }

    #[test]
    fn documents_that_mislead_are_found() {
        let good = ["[a](crates)", "[a](https://example.org)", "[a](#b)", "no link"];
        tried(links, "x.md", &["see [a](nowhere.md)", "[a](crates) [b](b/c)"], &good);
        let tree = |text: &str| Tree::of(&[("README.md", text)]);
        let good =
            "# A\n\n## Two commands\n\n```sh\ncargo run --release -- demo   # x\n./test\n```\n";
        assert_eq!(readme(&tree(good)), []);
        assert_eq!(readme(&tree(&good.replace("./test", "make"))).len(), 1);
        assert_eq!(readme(&tree("# A\n")).len(), 1);
    }
}
