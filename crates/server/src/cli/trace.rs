//! `ringway trace`, as it is typed.

use super::exit::{Exit, Trouble};
use super::{Form, Global};
use crate::commands::trace::{self, Told};
use crate::control::{Failure, TraceMode, TraceRequest};
use crate::ladder::Style;
use crate::signals::Signals;
use clap::{Args, ValueHint};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// What can be said after `trace`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only calls with this number, user, address or Call-ID; all of several
    ///
    /// A Call-ID of a call that is kept shows that call, and nothing else.
    #[arg(value_name = "FILTER")]
    words: Vec<String>,
    /// Only the call whose Call-ID begins so, from what is kept
    #[arg(long, value_name = "CALL-ID")]
    call: Option<String>,
    /// Only calls from or to this number or user
    #[arg(short, long, value_name = "NUMBER")]
    number: Option<String>,
    /// Only calls with messages from or to this address, with a port or without
    #[arg(short, long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Show the last so many calls that are kept
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Show the calls that are kept of so long ago: 90s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    since: Option<u64>,
    /// List the calls that are kept instead of drawing them
    #[arg(short, long, conflicts_with_all = ["follow", "raw", "pcap"])]
    list: bool,
    /// Go on with what passes from now on
    #[arg(short, long)]
    follow: bool,
    /// Registrations and OPTIONS, too
    #[arg(long)]
    all: bool,
    /// Show messages whole instead of a ladder
    #[arg(long)]
    raw: bool,
    /// Write a capture file for Wireshark, too; - is standard output, and nothing else
    #[arg(short = 'w', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pcap: Option<PathBuf>,
    /// Show what proves passwords, and keys of media, as they are
    #[arg(long)]
    secrets: bool,
}

/// A time such as `90s`, `5m` or `1h`, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit_s = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("a time is a number with s, m, h or d".into()),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_s));
    number.ok_or_else(|| "a time is a number with s, m, h or d".into())
}

impl Options {
    fn request(&self) -> TraceRequest {
        let is_past =
            self.list || self.call.is_some() || self.last.is_some() || self.since.is_some();
        let mode = match (is_past, self.follow) {
            (true, false) => TraceMode::Past,
            (true, true) => TraceMode::Both,
            (false, true) => TraceMode::Live,
            (false, false) => TraceMode::Auto,
        };
        TraceRequest {
            mode,
            call: self.call.clone(),
            number: self.number.clone(),
            address: self.address.clone(),
            words: self.words.clone(),
            all: self.all,
            last: self.last,
            since_s: self.since,
            secrets: self.secrets,
        }
    }

    fn form(&self, global: &Global) -> trace::Form {
        let is_captured = self.pcap.as_deref() == Some(Path::new("-"));
        match (global.output, self.list) {
            _ if is_captured || global.quiet && self.pcap.is_some() => trace::Form::Nothing,
            (form, true) => trace::Form::List { json: form == Form::Json },
            (Form::Json, false) => trace::Form::Json,
            (Form::Table, false) if self.raw => trace::Form::Raw,
            (Form::Table, false) => {
                let mut style = Style::of_stdout();
                style.colour &= !global.no_color;
                let size = terminal_size::terminal_size().filter(|_| io::stdout().is_terminal());
                trace::Form::Ladder(style, size.map_or(80, |(width, _)| usize::from(width.0)))
            }
        }
    }
}

pub(crate) fn run(global: &Global, options: &Options) -> Result<(), Trouble> {
    let place = global.load()?.place();
    let mut client = place.running().map_err(said)?;
    let capture = options.pcap.as_deref().map(open).transpose()?;
    let stopped = Arc::new(AtomicBool::new(false));
    end_at_signal(&stopped, client.hang_up()).map_err(|error| {
        Trouble::new(Exit::Failed, format!("ringway: cannot wait for signals: {error}"))
    })?;
    let (request, form) = (options.request(), options.form(global));
    let is_past = request.mode == TraceMode::Past;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut told = Told::default();
    let shown = trace::show(&mut client, request, (form, &mut out), capture, &mut told);
    let ended = match shown {
        Err(trace::Trouble::Server(_)) if stopped.load(Ordering::Relaxed) => Ok(()),
        Err(trace::Trouble::Server(failure)) => Err(said(failure)),
        // Nobody reads any more.
        Err(trace::Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Err(Trouble::new(Exit::Failed, ""));
        }
        Err(trace::Trouble::Output(error)) => {
            Err(Trouble::new(Exit::Failed, format!("ringway: cannot write: {error}")))
        }
        Ok(()) if is_past && told.messages == 0 && !options.list => {
            let message = "ringway: no such call is kept; `ringway trace --list` shows those that \
                           are, and [trace] in the configuration says for how long";
            Err(Trouble::new(Exit::NotFound, message))
        }
        Ok(()) => Ok(()),
    };
    // What a reader does not take any more is no trouble.
    let _ = out.flush();
    ended
}

fn said(failure: Failure) -> Trouble {
    let trouble = Trouble::from(failure);
    Trouble { message: format!("ringway: {}", trouble.message), ..trouble }
}

/// A new file that nobody else may read: there are private messages in it.
fn open(path: &Path) -> Result<Box<dyn Write>, Trouble> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let made: io::Result<File> =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(file) => Ok(Box::new(BufWriter::new(file))),
        Err(error) => {
            let exit = match error.kind() {
                io::ErrorKind::AlreadyExists => Exit::Conflict,
                io::ErrorKind::PermissionDenied => Exit::Denied,
                _ => Exit::Failed,
            };
            let message = format!("ringway: cannot make {}: {error}", path.display());
            Err(Trouble::new(exit, message))
        }
    }
}

/// The first signal ends the connection, and with it the trace; what was shown stays whole.
fn end_at_signal(
    stopped: &Arc<AtomicBool>,
    hang_up: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let signals = Signals::listen()?;
    let stopped = Arc::clone(stopped);
    thread::Builder::new().name("end".into()).spawn(move || {
        signals.wait();
        stopped.store(true, Ordering::Relaxed);
        hang_up();
    })?;
    Ok(())
}
