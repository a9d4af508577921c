//! What a terminal can show: signs beyond ASCII, colours.

use std::io::IsTerminal;

/// How to write for who reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    /// Lines, arrows and marks as single signs.
    pub unicode: bool,
    /// Colours.
    pub colour: bool,
}

/// What a piece of text is, and so how it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Tone {
    Plain,
    Faint,
    Strong,
    Good,
    Doubtful,
    Bad,
}

impl Style {
    /// That of our own output: by its terminal, `NO_COLOR` (any value but an empty one), and
    /// the locale.
    pub fn of_stdout() -> Self {
        let wanted = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = std::io::stdout().is_terminal() && !wanted("NO_COLOR") && !dumb;
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(text);
        Self { unicode: is_utf8(locale.as_deref().unwrap_or_default()), colour }
    }

    /// The first where it can be shown, else the second.
    pub const fn pick<'a>(self, unicode: &'a str, ascii: &'a str) -> &'a str {
        if self.unicode { unicode } else { ascii }
    }

    /// Text as it looks.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Plain => return text.into(),
            Tone::Faint => "2",
            Tone::Strong => "1",
            Tone::Good => "32",
            Tone::Doubtful => "33",
            Tone::Bad => "31",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_and_colours() {
        for (locale, utf8) in [
            ("en_US.UTF-8", true),
            ("C.utf8", true),
            ("vi_VN.UTF-8@x", true),
            ("C", false),
            ("POSIX", false),
            ("de_DE.ISO-8859-1", false),
            ("", false),
        ] {
            assert_eq!(is_utf8(locale), utf8, "{locale}");
        }
        let plain = Style { unicode: false, colour: false };
        assert_eq!(plain.paint(Tone::Bad, "no"), "no");
        assert_eq!(plain.pick("→", "->"), "->");
        let rich = Style { unicode: true, colour: true };
        assert_eq!(rich.paint(Tone::Bad, "no"), "\x1b[31mno\x1b[0m");
        assert_eq!(rich.pick("→", "->"), "→");
    }
}
