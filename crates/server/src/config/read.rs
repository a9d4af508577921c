//! Walks through the file: finds the setting for each key, and notes all that is wrong.

use super::Config;
use super::peer::{PEER, PeerText};
use super::problem::{Lines, Problem, floor_char_boundary};
use super::routing::{DOMAIN, DomainText, ROUTE, RouteText};
use super::settings::{SECTIONS, Section, Setting};
use super::value::{Value, spoken};
use ringway_core::snapshot::Peer;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

type Span = Range<usize>;

/// Puts what the text says into `config`; hands back all that is wrong.
pub(crate) fn read(text: &str, config: &mut Config) -> Vec<Problem> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut statements = Vec::new();
    list_statements(table.get_ref(), &mut statements);
    let broken = syntax(text, &errors, &statements);
    let lines = Lines::of(text);
    let mut reader = Reader {
        config,
        places: BTreeMap::new(),
        problems: Vec::new(),
        domains: Vec::new(),
        routes: Vec::new(),
    };
    for (name, value) in table.get_ref() {
        reader.top(name, value);
    }
    if reader.problems.is_empty() {
        reader.resolve();
        reader.together();
    }
    let mut problems = reader.problems;
    problems.retain(|problem| broken.iter().all(|b| !b.explains(&lines, &problem.span)));
    problems.extend(broken.into_iter().map(|broken| broken.problem));
    problems
}

/// A slip of syntax, and what it makes meaningless.
struct Broken {
    problem: Problem,
    statement: Span,
    line: usize,
    /// Under a broken `[title]` are settings of nobody knows what: from where.
    lost: Option<usize>,
}

impl Broken {
    fn of(problem: Problem, statement: Span, (text, lines): (&str, &Lines)) -> Self {
        let at = problem.span.start.min(text.len());
        let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let lost = text[begin..].trim_start().starts_with('[').then_some(begin);
        Self { line: lines.number(at), problem, statement, lost }
    }

    /// Whether something that is wrong there may be wrong only because of the slip.
    fn explains(&self, lines: &Lines, span: &Span) -> bool {
        (self.statement.start..=self.statement.end).contains(&span.start)
            || self.lost.is_some_and(|lost| span.start >= lost)
            || self.line == lines.number(span.start)
    }
}

/// Of each statement the first slip: the others follow from it.
fn syntax(text: &str, errors: &[toml::de::Error], statements: &[Span]) -> Vec<Broken> {
    let place = |error: &toml::de::Error| {
        let span = error.span().unwrap_or(text.len()..text.len());
        let span = floor_char_boundary(text, span.start)..floor_char_boundary(text, span.end);
        // Where something is missing, it is missing behind what is there.
        let there = text[..span.start].trim_end().len();
        let elsewhere = text[there..span.start].contains('\n') || text[..there].ends_with('=');
        if span.is_empty() && elsewhere { there..there } else { span }
    };
    let mut errors: Vec<_> = errors.iter().map(|error| (place(error), error)).collect();
    errors.sort_by_key(|(span, _)| span.start);
    let lines = Lines::of(text);
    let mut broken: Vec<Broken> = Vec::new();
    for (span, error) in errors {
        if broken.iter().any(|before| before.explains(&lines, &span)) {
            continue;
        }
        let mut around = statements.iter();
        let around = around.find(|s| s.start <= span.start && span.start <= s.end);
        let statement = around.cloned().unwrap_or_else(|| span.clone());
        let said = match error.message() {
            // The parser takes nothing for a text without quotes.
            _ if span.is_empty() && text[..span.start].ends_with('=') => {
                "a value is missing".into()
            }
            message => message.lines().collect::<Vec<_>>().join("; "),
        };
        let problem = Problem::syntax(span, said);
        broken.push(Broken::of(problem, statement, (text, &lines)));
    }
    broken
}

/// From where to where each `key = value` goes.
fn list_statements(table: &DeTable<'_>, statements: &mut Vec<Span>) {
    for (key, value) in table {
        let (key, span) = (key.span(), value.span());
        match value.get_ref() {
            DeValue::Table(inner) if span.start <= key.start => list_statements(inner, statements),
            _ => statements.push(key.start.min(span.start)..key.end.max(span.end)),
        }
    }
}

struct Reader<'c> {
    config: &'c mut Config,
    /// Where each setting stands that was read.
    places: BTreeMap<String, Span>,
    problems: Vec<Problem>,
    /// Names of domains, and routes, that wait until all is read.
    domains: Vec<String>,
    routes: Vec<(Span, RouteText)>,
}

impl Reader<'_> {
    fn top<'a>(&mut self, name: &Spanned<Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) {
        let text = name.get_ref().as_ref();
        match text {
            "peer" => return self.peers(value),
            "domain" => return self.domains(value),
            "route" => return self.routes(value),
            _ => {}
        }
        let Some(section) = SECTIONS.iter().find(|section| section.name == text) else {
            return self.problems.push(no_section(name, value));
        };
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("{text} is a section");
            let label = format!("write [{text}] on a line of its own, and its settings below");
            return self.problems.push(Problem::value(value.span(), message, label));
        };
        let (problems, places) = (&mut self.problems, &mut self.places);
        fill(section, table, self.config, (problems, places));
    }

    fn peers<'a>(&mut self, value: &'a Spanned<DeValue<'a>>) {
        for (at, text) in self.list(&PEER, value, PeerText::default) {
            let (peer, login) = match text.into_peer(at.clone()) {
                Ok(read) => read,
                Err(problem) => {
                    self.problems.push(problem);
                    continue;
                }
            };
            self.config.logins.extend(login);
            let other = |other: &&Peer| other.account.is_some() && other.account == peer.account;
            if let Some(other) = self.config.peers.iter().find(other) {
                let message = format!("\"{}\" and \"{}\" have one account", other.name, peer.name);
                let label = "give this one an account of its own";
                self.problems.push(Problem::value(at.clone(), message, label));
            }
            let namesake = self.config.peers.iter().any(|other| other.name == peer.name);
            self.push_named("peer", &peer.name, (at, namesake));
            self.config.peers.push(peer);
        }
    }

    fn domains<'a>(&mut self, value: &'a Spanned<DeValue<'a>>) {
        for (at, domain) in self.list(&DOMAIN, value, DomainText::default) {
            let services = &mut self.config.routing.services;
            let namesake = services.iter().any(|(other, _)| *other == domain.name);
            services.push((domain.name.clone(), domain.service()));
            self.push_named("domain", &domain.name, (at, namesake));
            self.domains.push(domain.name);
        }
    }

    fn routes<'a>(&mut self, value: &'a Spanned<DeValue<'a>>) {
        for (at, route) in self.list(&ROUTE, value, RouteText::default) {
            let namesake = self.routes.iter().any(|(_, other)| other.name == route.name);
            self.push_named("route", &route.name, (at.clone(), namesake));
            self.routes.push((at, route));
        }
    }

    /// Says that two of a kind have the same name.
    fn push_named(&mut self, what: &str, name: &str, (at, is_second): (Span, bool)) {
        if is_second {
            let message = format!("two {what}s are called \"{name}\"");
            self.problems.push(Problem::value(at, message, "give this one another name"));
        }
    }

    /// Reads a list of tables, each with its place: that of its name.
    fn list<'a, T>(
        &mut self,
        section: &Section<T>,
        value: &'a Spanned<DeValue<'a>>,
        empty: fn() -> T,
    ) -> Vec<(Span, T)> {
        let name = section.name;
        let Some(tables) = value.get_ref().as_array() else {
            let (message, label) =
                (format!("{name}s are a list"), format!("write [[{name}]], in two brackets"));
            self.problems.push(Problem::value(value.span(), message, label));
            return Vec::new();
        };
        let mut all = Vec::new();
        for table in tables.iter() {
            let Some(settings) = table.get_ref().as_table() else {
                let (message, label) =
                    (format!("a {name} is a table"), format!("write [[{name}]]"));
                self.problems.push(Problem::value(table.span(), message, label));
                continue;
            };
            let (mut read, mut places, before) = (empty(), BTreeMap::new(), self.problems.len());
            fill(section, settings, &mut read, (&mut self.problems, &mut places));
            if self.problems.len() > before {
                continue;
            }
            if let Some(lacking) = missing(section, settings) {
                let message = format!("a {name} without \"{}\"", lacking.key);
                self.problems.push(Problem::value(table.span(), message, lacking.what));
                continue;
            }
            let at = places.remove(&format!("{name}.name")).unwrap_or_else(|| table.span());
            all.push((at, read));
        }
        all
    }

    /// What needs all of the file: routes name peers, and domains stand in two places.
    fn resolve(&mut self) {
        for name in std::mem::take(&mut self.domains) {
            if !self.config.domains.contains(&name) {
                self.config.domains.push(name);
            }
        }
        for (at, route) in std::mem::take(&mut self.routes) {
            match route.into_route(at, &self.config.peers) {
                Ok(route) => self.config.routing.routes.push(route),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    /// What is only wrong together.
    fn together(&mut self) {
        let tls = &self.config.tls;
        let place = |one, two| self.places.get(one).or_else(|| self.places.get(two));
        if let Some(place) = place("tls.keys", "tls.certificates")
            && tls.certificates.len() != tls.keys.len()
        {
            let (certificates, keys) = (tls.certificates.len(), tls.keys.len());
            let message = format!("{certificates} tls.certificates need as many keys, not {keys}");
            let label = "name the key of each certificate, in the same order";
            self.problems.push(Problem::value(place.clone(), message, label));
        }
        if let Some(place) = self.places.get("tls.only_ca")
            && tls.only_ca
            && tls.ca.is_none()
        {
            let message = "with tls.only_ca and without tls.ca nobody is trusted";
            let label = "name the file with `ca`, or remove this";
            self.problems.push(Problem::value(place.clone(), message, label));
        }
        let settings = &self.config.settings;
        let (least, usual, most) =
            (settings.expires_min_s, settings.expires_default_s, settings.expires_max_s);
        let time = |seconds: u32| spoken(u64::from(seconds));
        let streams = &self.config.streams;
        let (each, all) = (streams.connections_per_address, streams.connections);
        for (wrong, (lower, low), (upper, high)) in [
            (
                least > usual,
                ("registrar.expires_min", time(least)),
                ("registrar.expires_default", time(usual)),
            ),
            (
                usual > most,
                ("registrar.expires_default", time(usual)),
                ("registrar.expires_max", time(most)),
            ),
            (
                each > all,
                ("streams.connections_per_address", each.to_string()),
                ("streams.connections", all.to_string()),
            ),
        ] {
            let place = self.places.get(lower).or_else(|| self.places.get(upper));
            if let (true, Some(place)) = (wrong, place) {
                let message = format!("{lower} ({low}) is more than {upper} ({high})");
                let label = "change one of the two";
                self.problems.push(Problem::value(place.clone(), message, label));
            }
        }
    }
}

/// Applies the settings of one table to `target`.
fn fill<'a, T>(
    section: &Section<T>,
    table: &'a DeTable<'a>,
    target: &mut T,
    (problems, places): (&mut Vec<Problem>, &mut BTreeMap<String, Span>),
) {
    for (key, value) in table {
        let text = key.get_ref().as_ref();
        let Some(setting) = section.settings.iter().find(|setting| setting.key == text) else {
            let known: Vec<_> = section.settings.iter().map(|setting| setting.key).collect();
            let message = format!("there is no setting {text:?} in [{}]", section.name);
            let problem = Problem::unknown(key.span(), message, text, &known);
            problems.push(match home(text) {
                Some(home) if !problem.is_guess() => problem.belongs(home),
                _ => problem,
            });
            continue;
        };
        let name = format!("{}.{}", section.name, setting.key);
        let applied = (setting.apply)(target, &Value::new(&name, value));
        problems.extend(applied.err().unwrap_or_default());
        places.insert(name, key.span().start..value.span().end);
    }
}

fn no_section<'a>(name: &Spanned<Cow<'a, str>>, value: &Spanned<DeValue<'a>>) -> Problem {
    let text = name.get_ref().as_ref();
    let mut known: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
    known.extend([PEER.name, DOMAIN.name, ROUTE.name]);
    let is_list = |list: &toml::de::DeArray<'_>| list.iter().any(|one| one.get_ref().is_table());
    if value.get_ref().is_table() || value.get_ref().as_array().is_some_and(is_list) {
        let message = format!("there is no section [{text}]");
        return Problem::unknown(name.span(), message, text, &known);
    }
    let message = format!("there is no setting {text:?} outside of the sections");
    let all: Vec<_> = SECTIONS.iter().flat_map(|s| s.settings).map(|setting| setting.key).collect();
    let problem = Problem::unknown(name.span(), message, text, &all);
    match home(text) {
        // A setting that lost its section is the most common slip.
        Some(home) => problem.belongs(home),
        None if problem.is_guess() => problem,
        None => Problem { label: format!("sections are {}", known.join(", ")), ..problem },
    }
}

/// The section that has a setting of this name.
fn home(key: &str) -> Option<&'static str> {
    let mut sections = SECTIONS.iter();
    let home = sections.find(|s| s.settings.iter().any(|setting| setting.key == key));
    home.map(|home| home.name)
}

/// The first setting that has no default and was not given.
fn missing<'s, T>(section: &'s Section<T>, table: &DeTable<'_>) -> Option<&'s Setting<T>> {
    let given = |key: &str| table.keys().any(|known| known.get_ref() == key);
    section.settings.iter().find(|setting| setting.default.is_empty() && !given(setting.key))
}
