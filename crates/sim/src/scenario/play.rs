//! Plays a script line by line and holds what arrives against it.

use crate::scenario::expect::difference;
use crate::scenario::ladder::{Rung, draw};
use crate::scenario::script::{Action, Script, Step};
use crate::scenario::sip::Sip;
use crate::scenario::stage::Stage;
use crate::world::{Notice, Noticed};
use ringway_core::flow::Flow;
use ringway_core::time::{Duration, Instant};
use ringway_wire::{Framing, Index, parse};
use std::fmt;

/// Longer than any transaction lives after its last message: Timer C and what follows it.
const QUIET: Duration = Duration::from_secs(300);

/// How a scenario failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The line of the script that speaks of it; 0: none does.
    pub line: usize,
    /// What is wrong, the ladder as it was, and the message that is wrong.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

/// Reads a scenario and plays it.
///
/// # Errors
/// The first thing that is not as the script says, with what happened until then.
pub fn play(text: &str) -> Result<(), Failure> {
    let script = Script::read(text).map_err(|m| Failure { line: m.line, what: m.what })?;
    let mut play = Play { stage: Stage::new(), waiting: Vec::new(), rungs: Vec::new() };
    let result = play.all(&script);
    result.map_err(|Failure { line, what }| {
        let expected: String = script.steps.iter().map(|step| mark(step, line)).collect();
        let actual = draw(&play.rungs);
        Failure {
            line,
            what: format!("{what}\n\nthe script:\n{expected}\nthis happened:\n{actual}"),
        }
    })
}

fn mark(step: &Step, failed: usize) -> String {
    let mark = if step.line == failed { "!!" } else { "  " };
    format!("{mark} {:>3} {}\n", step.line, step.text)
}

struct Play<'s> {
    stage: Stage,
    /// Lines that say what arrives, and that are still to come true.
    waiting: Vec<&'s Step>,
    rungs: Vec<Rung>,
}

impl<'s> Play<'s> {
    fn all(&mut self, script: &'s Script) -> Result<(), Failure> {
        self.stage.default_domain_of(script);
        for step in &script.before {
            self.stage.play_statement(step).map_err(|what| Failure { line: step.line, what })?;
        }
        for step in &script.steps {
            if let Action::Expect(_) = &step.action {
                self.waiting.push(step);
                continue;
            }
            self.run_until(Stage::at(step.at_ms))?;
            self.nothing_waits()?;
            match &step.action {
                Action::Send(name) => self.send(name, step),
                Action::Expect(_) => Ok(()),
                Action::Change => self.stage.play_statement(step),
            }
            .map_err(|what| Failure { line: step.line, what })?;
        }
        let last = script.steps.last().map_or(0, |step| step.at_ms);
        self.run_until(Stage::at(last))?;
        self.nothing_waits()?;
        self.run_until(Stage::at(last) + QUIET)?;
        self.all_is_quiet()
    }

    fn send(&mut self, name: &str, step: &Step) -> Result<(), String> {
        self.stage.play_send(name, step)?;
        let what = step.words.join(" ");
        let (from, to) = (name.to_owned(), "proxy".to_owned());
        self.rungs.push(Rung { at_ms: self.stage.ms(), from, to, what });
        Ok(())
    }

    fn run_until(&mut self, until: Instant) -> Result<(), Failure> {
        while let Some(notice) = self.stage.world.step(until) {
            self.notice(notice)?;
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice) -> Result<(), Failure> {
        let Some(phone) = self.stage.by_endpoint(notice.endpoint) else { return Ok(()) };
        match notice.what {
            Noticed::Message(flow, bytes) => self.arrived(phone, flow, &bytes),
            Noticed::Closed(flow) => {
                let phone = &mut self.stage.phones[phone];
                if phone.connection == Some(flow.connection) {
                    phone.connection = None;
                }
                let closed = Sip { first: "closed".to_owned(), ..Sip::default() };
                self.compare(phone_name(&self.stage, notice.endpoint), &closed, (&[], None))
            }
            Noticed::Alarm(_) => Ok(()),
        }
    }

    fn arrived(&mut self, phone: usize, flow: Flow, bytes: &[u8]) -> Result<(), Failure> {
        let name = self.stage.phones[phone].name.clone();
        if bytes == b"\r\n" {
            let pong = Sip { first: "pong".to_owned(), ..Sip::default() };
            return self.compare(name, &pong, (&[], Some(flow)));
        }
        if ringway_wire::stun::is_stun(bytes) {
            let stun = Sip { first: "stun".to_owned(), ..Sip::default() };
            return self.compare(name, &stun, (&[], Some(flow)));
        }
        well_formed(bytes)
            .map_err(|what| Failure { line: 0, what: format!("{name} got {what}") })?;
        let message = Sip::read(bytes).unwrap_or_default();
        let speaker = &mut self.stage.phones[phone];
        let previous = speaker.received.clone();
        let call = speaker.take(flow, &message);
        if matches!(message.status(), Some(401 | 407))
            && self.stage.answer_challenge(phone, &message)
        {
            return Ok(());
        }
        self.compare(name, &message, (&previous, Some(flow)))?;
        // The line that came true may name the call.
        let speaker = &mut self.stage.phones[phone];
        speaker.current = call;
        Ok(())
    }

    /// Holds what arrived against the next line for this phone.
    fn compare(
        &mut self,
        name: String,
        message: &Sip,
        (previous, flow): (&[Sip], Option<Flow>),
    ) -> Result<(), Failure> {
        let at_ms = self.stage.ms();
        self.rungs.push(Rung::new(at_ms, ("proxy", &name), message));
        let fail = |line: usize, what: String| {
            let text = String::from_utf8_lossy(&message.to_bytes()).replace('\r', "");
            Err(Failure { line, what: format!("{what}\n\n{text}") })
        };
        let at = self.waiting.iter().position(|step| step.action == Action::Expect(name.clone()));
        let Some(at) = at else {
            let what = format!("at {at_ms} ms this arrived at {name}; the script does not say so");
            return fail(0, what);
        };
        let step = self.waiting.remove(at);
        if step.at_ms != at_ms {
            let what = format!("this arrived at {name} at {at_ms} ms, not at {} ms", step.at_ms);
            return fail(step.line, what);
        }
        let fill = |text: &str| self.stage.fill(text);
        if let Some(what) = difference(step, message, previous, &fill) {
            return fail(step.line, format!("what arrived at {name} is wrong: {what}"));
        }
        let over = flow.map(|flow| flow.transport.uri_name());
        if step.option("over").is_some_and(|wanted| Some(wanted) != over) {
            return fail(step.line, format!("it came over {}", over.unwrap_or("nothing")));
        }
        self.name_call(&name, step).or_else(|what| fail(step.line, what))
    }

    fn name_call(&mut self, name: &str, step: &Step) -> Result<(), String> {
        let (Some(label), Some(at)) = (step.option("call"), self.stage.find(name)) else {
            return Ok(());
        };
        let phone = &mut self.stage.phones[at];
        let current = phone.current;
        let other = phone.calls.iter().position(|call| call.label == label);
        match other {
            Some(other) if other != current => {
                Err(format!("it belongs to another call than `{label}`"))
            }
            _ => {
                phone.calls[current].label = label.to_owned();
                Ok(())
            }
        }
    }

    /// All that should have arrived has.
    fn nothing_waits(&self) -> Result<(), Failure> {
        let now = self.stage.ms();
        match self.waiting.iter().find(|step| step.at_ms <= now) {
            Some(step) => Err(Failure { line: step.line, what: "this did not arrive".to_owned() }),
            None => Ok(()),
        }
    }

    /// What must hold when everything has come to rest.
    fn all_is_quiet(&self) -> Result<(), Failure> {
        let fail = |what: String| Err(Failure { line: 0, what });
        let census = self.stage.world.census();
        let left = census.server_transactions
            + census.client_transactions
            + census.response_contexts
            + census.open_questions;
        if left > 0 {
            return fail(format!("{} s after the end there is left: {census:?}", QUIET.as_secs()));
        }
        for phone in &self.stage.phones {
            let waits =
                phone.sent.iter().find(|s| !s.over && s.message.first.starts_with("INVITE"));
            if let Some(sent) = waits {
                let (name, first) = (&phone.name, &sent.message.first);
                return fail(format!("{name} never got a final response to {first}"));
            }
        }
        Ok(())
    }
}

fn phone_name(stage: &Stage, endpoint: crate::world::EndpointId) -> String {
    stage.by_endpoint(endpoint).map_or_else(String::new, |at| stage.phones[at].name.clone())
}

/// Every message that the server writes must be a good one.
fn well_formed(bytes: &[u8]) -> Result<(), String> {
    let mut index = Index::new();
    let judged = parse(bytes, &mut index, Framing::Stream).and_then(|message| message.check());
    judged.map_err(|malformed| {
        let text = String::from_utf8_lossy(bytes);
        format!("a malformed message: {malformed:?}\n{text}")
    })
}
