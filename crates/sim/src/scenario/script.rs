//! The text of a scenario as data. The grammar is told in `scenarios/README.md`.

use std::collections::BTreeMap;
use std::fmt;

/// A scenario.
#[derive(Clone, Debug)]
pub struct Script {
    /// What is there before the clock starts.
    pub before: Vec<Step>,
    /// What happens, in order of time.
    pub steps: Vec<Step>,
}

/// One line with what is indented below it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its number in the file.
    pub line: usize,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// As written.
    pub text: String,
    /// What.
    pub action: Action,
    /// Who, or the words of a statement.
    pub words: Vec<String>,
    /// Its `name=value` words.
    pub options: BTreeMap<String, String>,
    /// What is indented below.
    pub details: Vec<Detail>,
}

/// What kind of line it is; see [`Step::words`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `NAME -> proxy …`: a phone sends.
    Send(String),
    /// `proxy -> NAME …`: this must arrive at a phone.
    Expect(String),
    /// Anything else changes the world.
    Change,
}

/// A line indented below another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Detail {
    /// `Name: value`.
    Is(String, String),
    /// `Name ~ text`.
    Holds(String, String),
    /// `Name !~ text`.
    Lacks(String, String),
    /// `Name xN`.
    Count(String, usize),
    /// `+ Name`.
    There(String),
    /// `- Name`.
    Without(String),
    /// `| text`.
    Body(String),
}

/// What is wrong with the text, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The line.
    pub line: usize,
    /// What.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl Script {
    /// Reads a scenario.
    ///
    /// # Errors
    /// The first line that cannot be understood.
    pub fn read(text: &str) -> Result<Self, Mistake> {
        let mut script = Self { before: Vec::new(), steps: Vec::new() };
        for (number, text) in text.lines().enumerate() {
            let line = number + 1;
            let mistake = |what: &str| Mistake { line, what: what.to_owned() };
            if text.trim().is_empty() || text.trim_start().starts_with('#') {
                continue;
            }
            if text.starts_with([' ', '\t']) {
                let last = script.steps.last_mut().or(script.before.last_mut());
                let step = last.ok_or_else(|| mistake("nothing stands above this detail"))?;
                step.details.push(Detail::read(text).map_err(mistake)?);
                continue;
            }
            let text = text.split(" # ").next().unwrap_or("").trim_end();
            let (at, step) = Step::read(line, text).map_err(mistake)?;
            match at {
                None if script.steps.is_empty() => script.before.push(step),
                None => return Err(mistake("a line without a time stands after one with a time")),
                Some(at) if script.steps.last().is_some_and(|last| last.at_ms > at) => {
                    return Err(mistake("this is earlier than the line above"));
                }
                Some(_) => script.steps.push(step),
            }
        }
        if script.steps.is_empty() {
            let what = "nothing happens in this scenario".to_owned();
            return Err(Mistake { line: text.lines().count(), what });
        }
        script.check_details()?;
        Ok(script)
    }

    /// Only messages have details, and what is sent has no assertions.
    fn check_details(&self) -> Result<(), Mistake> {
        for step in self.before.iter().chain(&self.steps) {
            for detail in &step.details {
                let fits = match (&step.action, detail) {
                    (Action::Send(_), Detail::Is(..) | Detail::Without(_) | Detail::Body(_)) => {
                        true
                    }
                    (Action::Expect(_), _) => true,
                    (Action::Send(_) | Action::Change, _) => false,
                };
                if !fits {
                    let what = format!("{detail:?} means nothing below this line");
                    return Err(Mistake { line: step.line, what });
                }
            }
        }
        Ok(())
    }
}

impl Step {
    fn read(line: usize, text: &str) -> Result<(Option<u64>, Self), &'static str> {
        let mut all = text.split_whitespace().peekable();
        let at = all.peek().and_then(|word| milliseconds(word));
        if at.is_some() {
            all.next();
        }
        let mut words: Vec<String> = Vec::new();
        let mut options = BTreeMap::new();
        for word in all {
            match word.split_once('=').filter(|(name, _)| is_option(name)) {
                Some((name, value)) => {
                    if options.insert(name.to_owned(), value.to_owned()).is_some() {
                        return Err("an option is given twice");
                    }
                }
                None => words.push(word.to_owned()),
            }
        }
        let mut action = Action::Change;
        if words.get(1).is_some_and(|word| word == "->") {
            let rest = words.split_off(3.min(words.len()));
            let Some(to) = words.get(2) else { return Err("an arrow leads to nobody") };
            action = match (words[0].as_str(), to.as_str()) {
                ("proxy", name) if name != "proxy" => Action::Expect(name.to_owned()),
                (name, "proxy") if name != "proxy" => Action::Send(name.to_owned()),
                _ => return Err("messages go from or to `proxy`"),
            };
            words = rest;
            if words.is_empty() || at.is_none() {
                return Err("a message needs a time and a method or status");
            }
        }
        if words.is_empty() {
            return Err("no statement");
        }
        let (at_ms, text) = (at.unwrap_or(0), text.to_owned());
        Ok((at, Self { line, at_ms, text, action, words, options, details: Vec::new() }))
    }

    /// Whether this word stands in the line.
    pub fn says(&self, word: &str) -> bool {
        self.words.iter().any(|w| w == word)
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

impl Detail {
    fn read(text: &str) -> Result<Self, &'static str> {
        let text = text.trim_start();
        if let Some(body) = text.strip_prefix('|') {
            return Ok(Self::Body(body.strip_prefix(' ').unwrap_or(body).to_owned()));
        }
        let text = text.trim_end();
        let owned = |(a, b): (&str, &str)| (a.trim().to_owned(), b.trim().to_owned());
        if let Some(name) = text.strip_prefix("- ") {
            return Ok(Self::Without(name.trim().to_owned()));
        }
        if let Some(name) = text.strip_prefix("+ ") {
            return Ok(Self::There(name.trim().to_owned()));
        }
        let name_ends = text.find([':', ' ']).unwrap_or(text.len());
        if text[name_ends..].starts_with(':') {
            let (name, value) = owned((&text[..name_ends], &text[name_ends + 1..]));
            return Ok(Self::Is(name, value));
        }
        let (name, rest) = owned((&text[..name_ends], &text[name_ends..]));
        if let Some(text) = rest.strip_prefix("!~ ") {
            return Ok(Self::Lacks(name, text.trim().to_owned()));
        }
        if let Some(text) = rest.strip_prefix("~ ") {
            return Ok(Self::Holds(name, text.trim().to_owned()));
        }
        let count = rest.strip_prefix('x').and_then(|n| n.parse().ok());
        count.map(|count| Self::Count(name, count)).ok_or("no detail that could be understood")
    }
}

fn is_option(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.')
}

/// `5ms`, `32s`.
pub(crate) fn milliseconds(word: &str) -> Option<u64> {
    if let Some(ms) = word.strip_suffix("ms") {
        return ms.parse().ok();
    }
    word.strip_suffix('s')?.parse::<u64>().ok()?.checked_mul(1_000)
}
