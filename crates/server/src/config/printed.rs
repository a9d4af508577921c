//! All settings as an example file, and as the reference in `docs/configuration.md`.

use super::peer::PEER;
use super::routing::{DOMAIN, ROUTE};
use super::settings::{SECTIONS, Section, Setting};
use std::fmt::Write;

/// An example file: every setting with what it means and its default, which is not needed.
pub fn example() -> String {
    let mut text = String::from(
        "# The configuration of Ringway. What is commented out is as it would be anyway.\n",
    );
    for section in SECTIONS {
        put_example(&mut text, &format!("[{}]", section.name), section);
    }
    put_example(&mut text, "#[[peer]]", &PEER);
    put_example(&mut text, "#[[domain]]", &DOMAIN);
    put_example(&mut text, "#[[route]]", &ROUTE);
    text
}

fn put_example<T>(text: &mut String, title: &str, section: &Section<T>) {
    // Writing to memory cannot fail.
    text.push('\n');
    for line in wrapped(section.about, 76) {
        let _ = writeln!(text, "# {line}");
    }
    let _ = writeln!(text, "{title}");
    for setting in section.settings {
        for line in wrapped(setting.means, 76) {
            let _ = writeln!(text, "# {line}");
        }
        let default = if setting.default.is_empty() { "..." } else { setting.default };
        let _ = writeln!(text, "#{} = {default}", setting.key);
    }
}

/// The reference as Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        put_reference(&mut text, &format!("[{}]", section.name), section);
    }
    put_reference(&mut text, "[[peer]]", &PEER);
    put_reference(&mut text, "[[domain]]", &DOMAIN);
    put_reference(&mut text, "[[route]]", &ROUTE);
    text
}

fn put_reference<T>(text: &mut String, title: &str, section: &Section<T>) {
    let _ = write!(text, "## {title}\n{}.\n\n", section.about);
    text.push_str("| setting | takes | default | meaning |\n|---|---|---|---|\n");
    for Setting { key, what, default, means, .. } in section.settings {
        let default = if default.is_empty() { "must be given" } else { &format!("`{default}`") };
        let _ = writeln!(text, "| `{key}` | {what} | {default} | {means} |");
    }
    text.push('\n');
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + word.len() >= width {
            lines.push(word.to_owned());
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] = format!("{}{gap}{word}", lines[last]);
        }
    }
    lines
}
