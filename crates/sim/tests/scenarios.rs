//! Every file `scenarios/**/*.sip` is a test of its own.

use libtest_mimic::{Arguments, Trial};
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no scenarios in {}", root.display());
    let trial = |file: PathBuf| {
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        let shown = format!("scenarios/{name}");
        Trial::test(name, move || {
            let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
            ringway_sim::scenario::play(&text)
                .map_err(|failure| format!("{shown}:{}: {failure}", failure.line).into())
        })
    };
    let trials = files.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the scenarios can be listed");
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "sip") {
            files.push(path);
        }
    }
}
