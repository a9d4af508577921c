//! `ringway demo`: the real server, two small phones, and one call between them.
//!
//! ```text
//! stage (server, accounts) ─┐
//! story ── phone ── line ───┴─> server      trace -> drawing -> people
//!     └─── media ── tone                     verdict ─┘    └─> programs
//! ```
//!
//! The phones are ours and small, but nothing in here is played: they send and receive real
//! messages, and what is shown is what they noted, with the time it took.

mod trace;
mod failure;
mod repeats;
mod line;
mod request;
mod dialog;
mod phone;
mod tone;
mod media;
mod verdict;
mod drawing;
mod stage;
mod story;
mod report;
mod watch;

pub use crate::ladder::{Style, Tone};
pub use dialog::{Answered, Dialog, Incoming, Outgoing};
pub use drawing::Drawing;
pub use failure::{Cause, Failure};
pub use line::Link;
pub use media::{Media, Talk, place_of};
pub use phone::{Body, Phone, Profile};
pub use request::Draft;
pub use stage::{CannotStage, DOMAIN, Stage, USERS};
pub use story::play;
pub use trace::{Entry, Trace, Way};
pub use verdict::{OneWay, Registered, Sound, Verdict};

use ringway_core::flow::Transport;
use std::fmt;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use watch::Watch;

/// How the demo shall run.
#[derive(Clone, Copy, Debug)]
pub struct Demo {
    /// End after the call, instead of serving on.
    pub once: bool,
    /// What to print.
    pub print: Print,
    /// How it looks.
    pub style: Style,
}

/// What to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Print {
    /// The call as it happens, and the verdict.
    Everything,
    /// The verdict, as JSON.
    Json,
    /// Failures only.
    Failures,
}

/// How the demo ended.
#[derive(Debug)]
pub enum Ended {
    /// All went well.
    Well,
    /// Something failed, and this sentence says what.
    Badly(String),
    /// It was interrupted during the call.
    Interrupted,
}

/// Why there was no demo.
#[derive(Debug)]
pub enum CannotDemo {
    /// The server could not be started.
    Stage(CannotStage),
    /// The system refused something, output perhaps.
    System(io::Error),
}

impl fmt::Display for CannotDemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage(error) => error.fmt(f),
            Self::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CannotDemo {}

impl From<io::Error> for CannotDemo {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Calls of the user's own phones end with the demo: it waits no longer for them.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the demo waits for.
enum News {
    Done(Box<Verdict>),
    Interrupted,
}

/// Runs the demo, and tells how it ended. Nothing of it is left behind.
///
/// # Errors
/// If the server cannot be started, or the system refuses something.
pub fn run(demo: Demo) -> Result<Ended, CannotDemo> {
    let (tell, news) = sync_channel(4);
    listen_for_signals(tell.clone())?;
    let watch = Watch::listen();
    let stage = Stage::set().map_err(CannotDemo::Stage)?;
    let ended = play_and_serve(demo, &stage, &watch, (tell, &news));
    // One who reads what was printed may be gone, but the data must go too.
    stage.clear(FAREWELL)?;
    Ok(ended?)
}

fn play_and_serve(
    demo: Demo,
    stage: &Stage,
    watch: &Watch,
    (tell, news): (SyncSender<News>, &Receiver<News>),
) -> io::Result<Ended> {
    let first = stage.profile(0, Transport::Udp, false);
    let second = stage.profile(1, Transport::Tcp, true);
    let (Some(first), Some(second)) = (first, second) else {
        return Err(io::Error::other("the server does not listen"));
    };
    let mut out = demo.output();
    report::beginning(&mut *out, demo.style, stage)?;
    thread::Builder::new().name("demo".into()).spawn(move || {
        let mut drawing = Drawing::new(&mut *out, demo.style, USERS[0]);
        let verdict = play([first, second], &mut drawing);
        // Who was interrupted waits for nothing.
        let _ = tell.try_send(News::Done(Box::new(verdict)));
    })?;
    let Ok(News::Done(verdict)) = news.recv() else { return Ok(Ended::Interrupted) };
    let serves_on = !demo.once && verdict.is_good();
    match demo.print {
        Print::Everything => report::verdict(&mut io::stdout(), demo.style, &verdict)?,
        Print::Json => report::json(&mut io::stdout(), &verdict, serves_on.then_some(stage))?,
        Print::Failures => {}
    }
    if let Some(failure) = verdict.failure {
        return Ok(Ended::Badly(failure));
    }
    if serves_on {
        report::attach(&mut *demo.output(), demo.style, stage)?;
        watch.begin(demo.output(), demo.style);
        // An error means that nobody can interrupt us any more: then it is over, too.
        while let Ok(News::Done(_)) = news.recv() {}
    }
    Ok(Ended::Well)
}

impl Demo {
    /// Where what is for people goes.
    fn output(&self) -> Box<dyn Write + Send> {
        match self.print {
            Print::Everything => Box::new(io::stdout()),
            Print::Json | Print::Failures => Box::new(io::sink()),
        }
    }
}

/// From now on SIGINT, SIGTERM and the end of the terminal are news.
fn listen_for_signals(tell: SyncSender<News>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let [mut terminate, mut interrupt, mut hang_up] = {
        let _inside = runtime.enter();
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [terminate, interrupt, hang_up] = kinds.map(signal);
        [terminate?, interrupt?, hang_up?]
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {},
                    _ = interrupt.recv() => {},
                    _ = hang_up.recv() => {},
                }
                if tell.try_send(News::Interrupted).is_err() {
                    break;
                }
            }
        });
    })?;
    Ok(())
}
