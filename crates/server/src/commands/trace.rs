//! `ringway trace`: calls as a ladder, as text, as JSON or as a capture file.

mod drawing;
mod list;

pub use list::CallRow;

use crate::commands::table::visible;
use crate::control::{Failure, Far, Kind, MessageView, Reply, Request, TraceRequest, WayView};
use crate::ladder::Style;
use crate::trace::PcapWriter;
use drawing::Drawing;
use list::Rows;
use ringway_core::flow::Transport;
use std::collections::HashSet;
use std::io::{self, Write};

/// How messages are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As a ladder of so many columns.
    Ladder(Style, usize),
    /// Each message whole.
    Raw,
    /// An object a line.
    Json,
    /// A line for each call; as JSON, an array.
    List {
        /// For programs.
        json: bool,
    },
    /// Not at all: what counts is the capture file.
    Nothing,
}

/// What was shown.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Told {
    /// Calls, those with an end in common counted once.
    pub traces: usize,
    /// Messages.
    pub messages: usize,
    /// Messages that were lost because we were too slow.
    pub lost: u64,
}

/// Why it ended before its time.
#[derive(Debug)]
pub enum Trouble {
    /// The server said why.
    Server(Failure),
    /// The output, or the capture file, takes no more.
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Shows what is asked for, until there is no more.
///
/// # Errors
/// If the server refuses it, or what is shown cannot be written.
pub fn show(
    far: &mut dyn Far,
    request: TraceRequest,
    (form, out): (Form, &mut dyn Write),
    capture: Option<Box<dyn Write + '_>>,
    told: &mut Told,
) -> Result<(), Trouble> {
    let mut capture = capture.map(PcapWriter::new).transpose()?;
    let mut traces = HashSet::new();
    let mut sink = Sink::new(form, out);
    let mut broken = None;
    let asked = far.ask(Request::Trace(request), &mut |reply| {
        let written = match reply {
            Reply::Traced(messages) => {
                told.messages += messages.len();
                traces.extend(messages.iter().map(|message| message.trace));
                told.traces = traces.len();
                let captured = capture.as_mut().map_or(Ok(()), |file| record(file, &messages));
                captured.and_then(|()| sink.messages(messages))
            }
            Reply::TraceLost(lost) => {
                told.lost += lost;
                sink.lost(lost)
            }
            _ => Ok(()),
        };
        written.map_err(|error| {
            broken = Some(error);
            Failure::new(Kind::Failed, "the output takes no more")
        })
    });
    let ended = if broken.is_none() { sink.end() } else { Ok(()) };
    match (broken, asked) {
        (Some(error), _) => Err(error.into()),
        (None, Err(failure)) => Err(Trouble::Server(failure)),
        (None, Ok(())) => Ok(ended?),
    }
}

/// Adds messages to a capture file.
fn record<W: Write>(file: &mut PcapWriter<W>, messages: &[MessageView]) -> io::Result<()> {
    for message in messages {
        let transport = Transport::from_name(message.transport.as_bytes());
        let way = match message.way {
            WayView::In => (message.remote, message.local),
            WayView::Out => (message.local, message.remote),
        };
        let transport = transport.unwrap_or(Transport::Udp);
        file.message(message.at_us, transport, way, &message.bytes())?;
    }
    file.flush()
}

/// Where messages go.
enum Sink<'w> {
    Ladder(Box<Drawing<'w>>),
    Raw(&'w mut dyn Write),
    Json(&'w mut dyn Write),
    List { rows: Rows, json: bool, out: &'w mut dyn Write },
    Nothing,
}

impl<'w> Sink<'w> {
    fn new(form: Form, out: &'w mut dyn Write) -> Self {
        match form {
            Form::Ladder(style, width) => Self::Ladder(Box::new(Drawing::new(out, style, width))),
            Form::Raw => Self::Raw(out),
            Form::Json => Self::Json(out),
            Form::List { json } => Self::List { rows: Rows::default(), json, out },
            Form::Nothing => Self::Nothing,
        }
    }

    fn messages(&mut self, messages: Vec<MessageView>) -> io::Result<()> {
        match self {
            Self::Ladder(drawing) => drawing.messages(messages),
            Self::Raw(out) => {
                messages.iter().try_for_each(|message| raw(message, out))?;
                out.flush()
            }
            Self::Json(out) => {
                for message in &messages {
                    writeln!(out, "{}", serde_json::to_string(message).map_err(io::Error::other)?)?;
                }
                out.flush()
            }
            Self::List { rows, .. } => {
                messages.iter().for_each(|message| rows.add(message));
                Ok(())
            }
            Self::Nothing => Ok(()),
        }
    }

    fn lost(&mut self, lost: u64) -> io::Result<()> {
        let said = format!("{lost} messages were lost: they came faster than they were read");
        match self {
            Self::Ladder(drawing) => drawing.note(&said),
            Self::Raw(out) => writeln!(out, "{said}\n"),
            Self::Json(out) => writeln!(out, "{{\"lost\":{lost}}}"),
            Self::List { .. } | Self::Nothing => Ok(()),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Ladder(mut drawing) => drawing.end(),
            Self::List { rows, json, out } => rows.write(json, out),
            Self::Raw(_) | Self::Json(_) | Self::Nothing => Ok(()),
        }
    }
}

/// A message whole, with nothing in it that a terminal would obey.
fn raw(message: &MessageView, out: &mut dyn Write) -> io::Result<()> {
    let MessageView { transport, local, remote, .. } = message;
    let arrow = match message.way {
        WayView::In => "->",
        WayView::Out => "<-",
    };
    let host = message.host.as_deref().map_or(String::new(), |host| format!(" ({host})"));
    let again = if message.again { ", again" } else { "" };
    let at = drawing::date(message.at_us);
    let micros = message.at_us % 1_000_000;
    let place = visible(&format!("{transport} {remote}{host} {arrow} {local}"));
    writeln!(out, "{at} + {micros} us, {place}{again}")?;
    for line in message.message.trim_end().lines() {
        writeln!(out, "    {}", visible(line))?;
    }
    writeln!(out)
}
