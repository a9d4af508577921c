//! Walks through the file: finds the setting for each key, and notes all that is wrong.

use super::Config;
use super::problem::Problem;
use super::settings::{PEER, SECTIONS, Section, Setting, empty_peer};
use super::value::Value;
use ringway_core::snapshot::Peer;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Puts what the text says into `config`; hands back all that is wrong.
pub(crate) fn read(text: &str, config: &mut Config) -> Vec<Problem> {
    let (table, errors) = DeTable::parse_recoverable(text);
    // What follows after the first slip is guesswork, and so is what such a text would mean.
    if let Some(error) = errors.first() {
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        return vec![Problem::syntax(error.span().unwrap_or(0..0), message)];
    }
    let mut problems = Vec::new();
    for (name, value) in table.get_ref() {
        top(name, value, config, &mut problems);
    }
    if problems.is_empty() {
        problems.extend(together(config, text));
    }
    problems
}

fn top<'a>(
    name: &Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
    config: &mut Config,
    problems: &mut Vec<Problem>,
) {
    let text = name.get_ref().as_ref();
    if text == "peer" {
        return peers(value, config, problems);
    }
    let Some(section) = SECTIONS.iter().find(|section| section.name == text) else {
        let mut known: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
        known.push("peer");
        let message = if value.get_ref().is_table() {
            format!("there is no section [{text}]")
        } else {
            format!("there is no setting \"{text}\" outside of the sections")
        };
        // A setting that lost its section is the most common slip.
        let home = SECTIONS.iter().find(|s| s.settings.iter().any(|setting| setting.key == text));
        problems.push(match home {
            Some(home) => Problem {
                label: format!("it belongs under [{}]", home.name),
                ..Problem::unknown(name.span(), message, text, &known)
            },
            None => Problem::unknown(name.span(), message, text, &known),
        });
        return;
    };
    let Some(table) = value.get_ref().as_table() else {
        let message = format!("{text} is a section");
        let label = format!("write [{text}] on a line of its own, and its settings below");
        problems.push(Problem::value(value.span(), message, label));
        return;
    };
    fill(section, table, config, problems);
}

/// Applies the settings of one table to `target`.
fn fill<'a, T>(
    section: &Section<T>,
    table: &'a DeTable<'a>,
    target: &mut T,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in table {
        let text = key.get_ref().as_ref();
        let Some(setting) = section.settings.iter().find(|setting| setting.key == text) else {
            let known: Vec<_> = section.settings.iter().map(|setting| setting.key).collect();
            let message = format!("there is no setting \"{text}\" in [{}]", section.name);
            problems.push(Problem::unknown(key.span(), message, text, &known));
            continue;
        };
        let name = format!("{}.{}", section.name, setting.key);
        problems
            .extend((setting.apply)(target, &Value::new(&name, value)).err().unwrap_or_default());
    }
}

fn peers<'a>(value: &'a Spanned<DeValue<'a>>, config: &mut Config, problems: &mut Vec<Problem>) {
    let tables = value.get_ref().as_array().map(|array| array.iter());
    let Some(tables) = tables else {
        let message = "peers are a list";
        problems.push(Problem::value(value.span(), message, "write [[peer]], in two brackets"));
        return;
    };
    for table in tables {
        let Some(settings) = table.get_ref().as_table() else {
            problems.push(Problem::value(table.span(), "a peer is a table", "write [[peer]]"));
            continue;
        };
        let mut peer: Peer = empty_peer();
        let before = problems.len();
        fill(&PEER, settings, &mut peer, problems);
        if problems.len() > before {
            continue;
        }
        if let Some(lacking) = missing(&PEER, settings) {
            let message = format!("a peer without \"{}\"", lacking.key);
            problems.push(Problem::value(table.span(), message, lacking.what));
        }
        config.peers.push(peer);
    }
}

/// The first setting that has no default and was not given.
fn missing<'s, T>(section: &'s Section<T>, table: &DeTable<'_>) -> Option<&'s Setting<T>> {
    let given = |key: &str| table.keys().any(|known| known.get_ref() == key);
    section.settings.iter().find(|setting| setting.default.is_empty() && !given(setting.key))
}

/// What is only wrong together.
fn together(config: &Config, text: &str) -> Option<Problem> {
    let settings = &config.settings;
    let (least, most) = (settings.expires_min_s, settings.expires_max_s);
    let at = text.find("expires_").unwrap_or(0);
    let span = at..text[at..].find(['=', '\n']).map_or(text.len(), |end| at + end);
    let span = span.start..text[span.clone()].trim_end().len() + span.start;
    let usual = settings.expires_default_s;
    (!(least..=most).contains(&usual)).then(|| {
        let message = format!(
            "registrar.expires_default must lie between expires_min and expires_max: {least} s \
             <= {usual} s <= {most} s does not hold"
        );
        Problem::value(span, message, "change one of the three")
    })
}
