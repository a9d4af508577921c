//! What the user's own phones do while the demo serves on, in words: the server's log lines
//! about registrations, calls and refusals, read by a subscriber of our own.

use crate::ladder::{Style, Tone};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Calls whose names are remembered at one time; later ones are told without names.
const CALLS: usize = 64;
/// Challenges are no news: each phone gets some.
const CHALLENGES: [u16; 2] = [401, 407];

/// Tells what happens, from [`Watch::begin`] on.
#[derive(Clone)]
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Where to tell it, since when, and how it looks; nothing is told before that.
    telling: Option<(Box<dyn Write + Send>, Instant, Style)>,
    /// Who calls whom, by the number of the call.
    calls: HashMap<String, String>,
}

impl Watch {
    /// Listens to the log from now on, if nobody else does.
    pub(super) fn listen() -> Self {
        let state = State { telling: None, calls: HashMap::new() };
        let watch = Self { state: Arc::new(Mutex::new(state)) };
        // Who set up another log reads there what happens.
        let _ = tracing::subscriber::set_global_default(watch.clone());
        watch
    }

    /// Tells what happens from now on.
    pub(super) fn begin(&self, out: Box<dyn Write + Send>, style: Style) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.telling = Some((out, Instant::now(), style));
    }
}

impl Subscriber for Watch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "ringway_server::events"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let told = state.tell(&fields);
        // A reader who is gone misses it; the server serves on.
        let _ = told;
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl State {
    fn tell(&mut self, fields: &Fields) -> io::Result<()> {
        let Some((out, since, style)) = &mut self.telling else { return Ok(()) };
        let Some((tone, text)) = sentence(fields, &mut self.calls) else { return Ok(()) };
        let time = format!("{:>8.1} s  ", since.elapsed().as_secs_f64());
        let (time, text) = (style.paint(Tone::Faint, &time), style.paint(tone, &text));
        writeln!(out, "{time}{text}")?;
        out.flush()
    }
}

/// A log line in words, or nothing if it is no news.
fn sentence(fields: &Fields, calls: &mut HashMap<String, String>) -> Option<(Tone, String)> {
    let text = |name| fields.text(name);
    Some(match text("event") {
        "registration" => {
            let (user, place) = (user(text("aor")), place(text("contact")));
            match text("change") {
                "added" => (Tone::Good, format!("{user} registered a phone at {place}")),
                "removed" => (Tone::Plain, format!("{user} took back the phone at {place}")),
                "expired" => (Tone::Plain, format!("{user}'s phone at {place} was not renewed")),
                "flow_closed" => {
                    (Tone::Plain, format!("{user}'s phone at {place} closed its connection"))
                }
                _ => return None,
            }
        }
        "call" => call(fields, calls),
        "auth_failed" => {
            let reason = text("reason").replace('_', " ");
            (Tone::Bad, format!("{} was not let in: {reason}", text("user")))
        }
        "refused" if !CHALLENGES.iter().any(|code| code.to_string() == text("code")) => {
            let reason = text("reason").replace('_', " ");
            (Tone::Bad, format!("{} was refused: {} {reason}", text("src"), text("code")))
        }
        _ => return None,
    })
}

fn call(fields: &Fields, calls: &mut HashMap<String, String>) -> (Tone, String) {
    let text = |name| fields.text(name);
    let number = text("call");
    if text("change") == "started" {
        let who = format!("{} calls {}", user(text("from")), user(text("to")));
        if calls.len() < CALLS {
            calls.insert(number.into(), who.clone());
        }
        return (Tone::Strong, who);
    }
    let who = calls.get(number).cloned().unwrap_or_else(|| format!("call {number}"));
    match text("change") {
        "ringing" => (Tone::Plain, format!("{who}: it rings")),
        "answered" => (Tone::Good, format!("{who}: answered")),
        _ => {
            calls.remove(number);
            let (tone, how) = match text("reason") {
                "by_caller" => (Tone::Plain, "the caller hung up".into()),
                "by_callee" => (Tone::Plain, "the called side hung up".into()),
                "failed" => (Tone::Bad, format!("failed with {}", text("code"))),
                other => (Tone::Plain, other.into()),
            };
            (tone, format!("{who}: {how}"))
        }
    }
}

/// The user in a URI or an address-of-record; all of it if there is none.
fn user(uri: &str) -> &str {
    let name = uri.rsplit_once('@').map_or(uri, |(user, _)| user);
    name.rsplit_once(':').map_or(name, |(_, user)| user)
}

/// Host and port in a URI.
fn place(uri: &str) -> &str {
    let host = uri.rsplit_once('@').map_or(uri, |(_, host)| host);
    host.split(';').next().unwrap_or(host)
}

/// The fields of a log line, as text.
#[derive(Default)]
struct Fields {
    values: Vec<(&'static str, String)>,
}

impl Fields {
    /// The text of a field; empty if it is not there.
    fn text(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push((field.name(), value.into()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.values.push((field.name(), format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringway_core::boundary::{
        AuthFailure, CallChange, CallEnd, Event as Happening, RegistrationChange,
    };
    use ringway_core::reject::Reject;

    /// Where a test reads what was told.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_of_the_server_is_told_in_words() {
        let state = State { telling: None, calls: HashMap::new() };
        let watch = Watch { state: Arc::new(Mutex::new(state)) };
        let log = crate::events::Events::new(Arc::default());
        let registration = |change| Happening::Registration {
            aor: ringway_core::address_of_record::AddressOfRecord::from_text("bob@x").expect("one"),
            contact: (*b"sip:bob@[::1]:9;transport=tcp").into(),
            change,
        };
        let call = |change| Happening::Call { call: 7, change };
        let started = || CallChange::Started {
            call_id: [].into(),
            from: (*b"sip:a@x").into(),
            to: (*b"sip:b@x;transport=udp").into(),
        };
        let source = "127.0.0.1:5062".parse().expect("an address");
        let refused = |reject| Happening::Refused { reject, source };
        let failed = Happening::AuthFailed {
            user: (*b"bob").into(),
            source,
            reason: AuthFailure::WrongPassword,
        };
        let page = Page::default();
        tracing::subscriber::with_default(watch.clone(), || {
            log.log(0, 0, &registration(RegistrationChange::Added));
            watch.begin(Box::new(page.clone()), Style { unicode: true, colour: false });
            for event in [
                registration(RegistrationChange::Added),
                registration(RegistrationChange::Refreshed),
                call(started()),
                call(CallChange::Ringing),
                call(CallChange::Answered),
                call(CallChange::Ended { end: CallEnd::ByCallee }),
                call(CallChange::Ended { end: CallEnd::Failed(486) }),
                failed,
                refused(Reject::Unauthorized),
                refused(Reject::NoSuchUser),
            ] {
                log.log(0, 0, &event);
            }
        });
        let told = String::from_utf8(page.0.lock().expect("no panic").clone()).expect("text");
        let told: Vec<_> =
            told.lines().map(|line| line.split_once(" s  ").expect("a time").1).collect();
        assert_eq!(
            told,
            [
                "bob registered a phone at [::1]:9",
                "a calls b",
                "a calls b: it rings",
                "a calls b: answered",
                "a calls b: the called side hung up",
                "call 0-7: failed with 486",
                "bob was not let in: wrong password",
                "127.0.0.1:5062 was refused: 404 no such user",
            ]
        );
    }
}
