//! What fuzzing found once, and what it starts from: all of it must hold for ever.

use ringway_fuzz::{TARGETS, seeds};
use std::fs;
use std::path::{Path, PathBuf};

fn run_all(folder: &Path) -> usize {
    let mut count = 0;
    for target in TARGETS {
        let Ok(entries) = fs::read_dir(folder.join(target.name)) else { continue };
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let input = fs::read(&path).expect("a readable file");
            let ran = std::panic::catch_unwind(|| target.run(&input));
            assert!(ran.is_ok(), "{} fails {}", path.display(), target.name);
            count += 1;
        }
    }
    count
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn what_was_found_once_does_not_come_back() {
    run_all(&here().join("regressions"));
}

#[test]
fn the_seeds_hold() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds");
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an old folder goes");
    }
    let written = seeds::write(&folder).expect("seeds");
    assert_eq!(run_all(&folder), written);
    assert!(written > 300, "{written} seeds");
}
