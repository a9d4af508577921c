//! What each room may do, and whom it may know: the invariants of `ARCHITECTURE.md`.

use crate::Finding;
use crate::source::{Source, Tree, words};

/// What decides: no clock, no socket, no thread, no lock, no file.
const PURE: [&str; 2] = ["wire", "core"];

/// Its name, which crates of ours it may need, and which others.
type Room = (&'static str, &'static [&'static str], Option<&'static [&'static str]>);

/// Which crates of ours each one may name in its `[dependencies]`, and which others, where that
/// is fixed: `wire <- core <- store <- server`.
const EDGES: &[Room] = &[
    ("wire", &[], Some(&["memchr"])),
    ("core", &["wire"], Some(CORE_NEEDS)),
    ("store", &["core"], None),
    ("sim", &["wire", "core"], None),
    ("server", &["wire", "core", "store"], None),
];

/// Hashes and maps; none of them has a procedural macro, a build script that does anything, or
/// `std`.
const CORE_NEEDS: &[&str] =
    &["hashbrown", "foldhash", "sha2", "md-5", "hmac", "subtle", "siphasher"];

/// State is not shared behind locks in what decides, no lock is held across a wait, and no queue
/// grows without end.
pub(crate) fn locks(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (n, line) in source.shipped() {
        let mut before = "";
        for (_, word) in words(line) {
            let lock = ["Mutex", "RwLock", "RefCell", "Rc", "AtomicU64"].contains(&word);
            let waits = line.contains("tokio::sync") && ["Mutex", "RwLock"].contains(&word);
            let endless = word == "channel" && line.contains("channel()");
            let queue = word.starts_with("unbounded") || endless;
            if (lock && source.is_in(&PURE))
                || waits
                || queue
                || (before, word) == ("static", "mut")
            {
                found.push(Finding::new(source, n, format!("{word} has no place here")));
            }
            before = word;
        }
    }
    found
}

/// What runs on simulated time does not look at the real one, nor at anything else outside.
pub(crate) fn clocks(source: &Source) -> Vec<Finding> {
    if !source.is_in(&["wire", "core", "sim"]) {
        return Vec::new();
    }
    let outside = ["std::time", "std::thread", "std::net::Udp", "std::net::Tcp", "std::env"];
    let lines = source.shipped().flat_map(|(n, line)| {
        let seen = outside.iter().filter(|outside| line.contains(*outside));
        seen.map(move |what| (n, *what))
    });
    lines.map(|(n, what)| Finding::new(source, n, format!("{what} is the real world"))).collect()
}

/// No input makes what decides give up. (`expect` may say why something cannot happen.)
pub(crate) fn panics(source: &Source) -> Vec<Finding> {
    if !source.is_in(&PURE) {
        return Vec::new();
    }
    let gives_up = ["panic!", "unreachable!", ".unwrap()", "println!", "print!", "eprintln!"];
    let lines = source.shipped().flat_map(|(n, line)| {
        let seen = gives_up.iter().filter(|what| line.contains(*what));
        seen.map(move |what| (n, *what))
    });
    lines.map(|(n, what)| Finding::new(source, n, format!("{what} in what decides"))).collect()
}

/// Every limit says why it is what it is.
pub(crate) fn limits(source: &Source) -> Vec<Finding> {
    if !source.path.ends_with("/limits.rs") {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let bare = lines.iter().enumerate().filter(|(n, line)| {
        let is_limit = line.starts_with("pub const ") || line.starts_with("pub(crate) const ");
        is_limit && !(*n > 0 && lines[n - 1].starts_with("///"))
    });
    bare.map(|(n, _)| Finding::new(source, n, "a limit without its reason")).collect()
}

/// The compiler proves that the pure crates are pure, as long as this line is there.
pub(crate) fn no_std(source: &Source) -> Vec<Finding> {
    let root = PURE.iter().any(|room| source.path == format!("crates/{room}/src/lib.rs"));
    if root && !source.code.lines().any(|line| line.trim() == "#![no_std]") {
        return vec![Finding::new(source, 0, "this crate must be no_std")];
    }
    Vec::new()
}

/// A file names only the crates that its room may know.
pub(crate) fn imports(source: &Source) -> Vec<Finding> {
    let room = source.path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
    let Some((room, _)) = room else { return Vec::new() };
    let Some((_, known, _)) = EDGES.iter().find(|(name, ..)| *name == room) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (n, line) in source.shipped() {
        for (_, word) in words(line) {
            let Some(other) = word.strip_prefix("ringway_") else { continue };
            let is_room = EDGES.iter().any(|(name, ..)| *name == other);
            if is_room && other != room && !known.contains(&other) {
                found.push(Finding::new(source, n, format!("{room} does not know {other}")));
            }
        }
    }
    found
}

/// The same in the manifests.
pub(crate) fn edges(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (room, known, others) in EDGES {
        let Some(manifest) = tree.find(&format!("crates/{room}/Cargo.toml")) else { continue };
        for (n, name) in dependencies(&manifest.text) {
            let ours = name.strip_prefix("ringway-");
            let fits = match ours {
                Some(other) => known.contains(&other),
                None => others.is_none_or(|others| others.contains(&name.as_str())),
            };
            if !fits {
                found.push(Finding::new(manifest, n, format!("{room} may not need {name}")));
            }
        }
    }
    found
}

/// The names in `[dependencies]` and `[build-dependencies]`, with their lines.
fn dependencies(manifest: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (n, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = ["[dependencies]", "[build-dependencies]"].contains(&line.trim());
        } else if let (true, Some((name, _))) = (inside, line.split_once(['=', '.'])) {
            found.push((n, name.trim().to_owned()));
        }
    }
    found
}

/// Every crate has the lints of the workspace, and those forbid unsafe code.
pub(crate) fn lints(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for manifest in &tree.sources {
        let path = manifest.path.as_str();
        let room = path.starts_with("crates/") && path.ends_with("/Cargo.toml");
        if room && !manifest.text.contains("[lints]\nworkspace = true") {
            found.push(Finding::new(manifest, 0, "the lints of the workspace are not taken over"));
        }
        if path == "Cargo.toml" && !manifest.text.contains("unsafe_code = \"forbid\"") {
            found.push(Finding::new(manifest, 0, "unsafe code is not forbidden"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tried;

    const CORE: &str = "crates/core/src/a.rs";
    const SERVER: &str = "crates/server/src/a.rs";

    #[test]
    fn a_room_that_does_too_much_is_found() {
        tried(
            locks,
            CORE,
            &["use alloc::rc::Rc;", "let x: Mutex<u8>;", "static mut X: u8 = 0;"],
            &["// Mutex", "let x = 1;", "#[cfg(test)]\nmod tests { use std::sync::Mutex; }"],
        );
        tried(
            locks,
            SERVER,
            &[
                "use tokio::sync::{Mutex, watch};",
                "let (a, b) = mpsc::unbounded_channel();",
                "let (a, b) = crossbeam::unbounded();",
                "let (a, b) = std::sync::mpsc::channel();",
            ],
            &["use std::sync::Mutex;", "mpsc::sync_channel(4)", "tokio::sync::mpsc::channel(4)"],
        );
        tried(clocks, CORE, &["use std::time::Instant;"], &["use crate::time::Instant;"]);
        tried(panics, CORE, &["x.unwrap()", "panic!(\"x\")"], &["x.expect(\"y\")", "// panic!"]);
        tried(panics, SERVER, &[], &["println!(\"x\")"]);
        let file = "crates/core/src/limits.rs";
        tried(limits, file, &["pub const A: u8 = 1;"], &["/// Why.\npub const A: u8 = 1;"]);
        tried(no_std, "crates/core/src/lib.rs", &["//! #![no_std]"], &["#![no_std]"]);
    }

    #[test]
    fn a_room_that_knows_too_much_is_found() {
        let good = ["use ringway_wire::Uri;", "// ringway_store"];
        tried(imports, CORE, &["use ringway_store::Store;", "ringway_server::x()"], &good);
        tried(imports, "crates/store/src/a.rs", &["use ringway_wire::Message;"], &[]);
        tried(imports, SERVER, &["use ringway_sim::World;"], &["use ringway_wire::Message;"]);
        let tree = |needs: &str| {
            let manifest = format!("[dependencies]\n{needs}\n\n[lints]\nworkspace = true\n");
            Tree::of(&[("crates/core/Cargo.toml", &manifest)])
        };
        for needs in
            ["serde = \"1\"", "ringway-store.workspace = true", "tokio = { version = \"1\" }"]
        {
            assert_eq!(edges(&tree(needs)).len(), 1, "{needs}");
        }
        assert_eq!(edges(&tree("ringway-wire.workspace = true\nsha2.workspace = true")), []);
        assert_eq!(lints(&tree("")), []);
        let bare = Tree::of(&[("crates/x/Cargo.toml", "[package]"), ("Cargo.toml", "[lints]")]);
        assert_eq!(lints(&bare).len(), 2);
    }
}
