//! The files of the project, and Rust with its comments and strings taken out.

use std::fs;
use std::path::Path;

/// One text file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text of a Rust file in which comments and the insides of strings and characters are
    /// blanks; empty for others. It is as long as the text, in characters.
    pub(crate) code: String,
    /// The first line of `#[cfg(test)] mod tests`, or of the whole file if it is a test.
    pub(crate) tests_from: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { without_comments(text) } else { String::new() };
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        let tests_from = if is_test { 0 } else { tests_from(&code) };
        Self { path: path.to_owned(), text: text.to_owned(), code, tests_from }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines of code that ship, with their numbers from 0.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().take(self.tests_from)
    }

    /// Whether it belongs to one of these crates.
    pub(crate) fn is_in(&self, crates: &[&str]) -> bool {
        self.is_rust() && crates.iter().any(|c| self.path.starts_with(&format!("crates/{c}/src/")))
    }
}

fn tests_from(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let begins = |at: usize| {
        lines[at].trim() == "#[cfg(test)]"
            && lines.get(at + 1).is_some_and(|next| next.trim_start().starts_with("mod tests"))
    };
    (0..lines.len()).find(|&at| begins(at)).unwrap_or(lines.len())
}

/// All files of the project.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
}

impl Tree {
    /// Reads the project that this test belongs to.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tree = Self::default();
        tree.add(&root, "");
        tree.sources.sort_by(|a, b| a.path.cmp(&b.path));
        tree
    }

    fn add(&mut self, root: &Path, folder: &str) {
        for entry in fs::read_dir(root.join(folder)).expect("a folder of the project") {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            if entry.file_type().expect("a type").is_dir() {
                let theirs = ["target", ".git", "node_modules", ".venv"].contains(&&*name);
                if !theirs && !path.ends_with("tests/torture") {
                    self.add(root, &path);
                }
            } else if name == ".git" {
                // A worktree says where it belongs to.
            } else if let Ok(text) = fs::read_to_string(root.join(&path)) {
                self.sources.push(Source::new(&path, &text));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let sources = files.iter().map(|(path, text)| Source::new(path, text));
        Self { sources: sources.collect() }
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.path == path)
    }
}

/// Blanks out comments, and what stands in strings and characters.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => line_end(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => block_end(&chars, at),
            '"' => string_end(&chars, at),
            'r' | 'b' if starts_raw(&chars, at) => raw_end(&chars, at),
            '\'' => char_end(&chars, at),
            _ => at,
        };
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let comment = chars[at] == '/';
        for (nth, &c) in chars[at..end].iter().enumerate() {
            let quote = !comment && (nth == 0 || nth == end - at - 1);
            out.push(if c == '\n' || quote { c } else { ' ' });
        }
        at = end;
    }
    out
}

fn line_end(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |n| at + n)
}

fn block_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here < chars.len() {
        match (chars[here], chars.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => {
                (depth, here) = (depth - 1, here + 2);
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while here < chars.len() {
        match chars[here] {
            '\\' => here += 2,
            '"' => return here + 1,
            _ => here += 1,
        }
    }
    chars.len()
}

/// `r"`, `r#"`, `br"` … that begins a word.
fn starts_raw(chars: &[char], at: usize) -> bool {
    let begins_word = at == 0 || !(chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    let after_b = at + usize::from(chars[at] == 'b');
    let hashes = after_b + 1;
    let quote = chars[hashes.min(chars.len())..].iter().find(|&&c| c != '#');
    begins_word && chars.get(after_b) == Some(&'r') && quote == Some(&'"')
}

fn raw_end(chars: &[char], at: usize) -> usize {
    let quote = at + chars[at..].iter().position(|&c| c == '"').unwrap_or_default();
    let hashes = chars[at..quote].iter().filter(|&&c| c == '#').count();
    let closes = |here: &usize| {
        chars[*here] == '"' && chars[here + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
    };
    (quote + 1..chars.len()).find(closes).map_or(chars.len(), |here| here + 1 + hashes)
}

/// The end of a character, or `at` if this is a lifetime.
fn char_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let close = chars.iter().skip(at + 3).position(|&c| c == '\'');
            close.map_or(at, |n| at + 3 + n + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The words of a line of code, with where they begin.
pub(crate) fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + line[rest..].find(is_word)?;
        let end = line[start..].find(|c| !is_word(c)).map_or(line.len(), |n| start + n);
        rest = end;
        Some((start, &line[start..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked() {
        for (text, code) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ */ d", "a                 d"),
            (r#"f("x \" y") + 1"#, r#"f("        ") + 1"#),
            ("r#\"a\"b\"# c", "r         # c"),
            ("'a' 'b '\\'' '\\u{1}' c", "' ' 'b '  ' '     ' c"),
            ("br\"x\" bar\"x\"", "b    \" bar\" \""),
        ] {
            assert_eq!(without_comments(text).chars().count(), text.chars().count(), "{text}");
            let kept: String = without_comments(text).replace(['"', '\'', '#', 'r', 'b'], "");
            let expected = code.replace(['"', '\'', '#', 'r', 'b'], "");
            assert_eq!(
                kept.split_whitespace().collect::<Vec<_>>().join(" ").trim(),
                expected.split_whitespace().collect::<Vec<_>>().join(" ").trim(),
                "{text}"
            );
        }
    }

    #[test]
    fn tests_are_told_from_what_ships() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::new("crates/x/src/a.rs", text).tests_from, 1);
        assert_eq!(Source::new("crates/x/src/a.rs", "fn a() {}\n").tests_from, 1);
        assert_eq!(Source::new("crates/x/src/a/tests.rs", "fn a() {}\n").tests_from, 0);
        assert_eq!(Source::new("crates/x/tests/a.rs", "fn a() {}\n").tests_from, 0);
    }

    #[test]
    fn words_are_found() {
        let found: Vec<_> = words("let a_b = c.d(7);").map(|(_, word)| word).collect();
        assert_eq!(found, ["let", "a_b", "c", "d", "7"]);
    }
}
