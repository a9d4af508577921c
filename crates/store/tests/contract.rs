//! One contract: memory and SQLite keep it, and stores that break it are caught.

#[path = "contract/checks.rs"]
mod checks;
#[path = "contract/broken.rs"]
mod broken;
mod samples;

use checks::CHECKS;
use ringway_store::{Memory, Sqlite};

#[test]
fn memory_keeps_the_contract() {
    for (name, check) in CHECKS {
        println!("{name}");
        let store = Memory::new();
        check(&|| Box::new(store.clone()));
    }
}

#[test]
fn sqlite_keeps_the_contract() {
    for (name, check) in CHECKS {
        println!("{name}");
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Sqlite::open(folder.path(), samples::listeners());
        check(&|| Box::new(open().expect("it opens")));
    }
}
