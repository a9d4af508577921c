//! Calls as ladders. Those of the past come one after another, each with lanes of its own; those
//! that pass now share lanes, and a letter tells whose an arrow is.

use crate::commands::table::visible;
use crate::control::{MessageView, WayView};
use crate::ladder::{Arrow, Ladder, Lane, Style, Tone, label};
use ringway_core::time::{Date, Instant};
use ringway_wire::{Framing, Index, NameAddr, Uri, parse};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::SocketAddr;

/// The lane of the server.
const SERVER: usize = 1;
/// Lanes beyond which nobody sees anything.
const MOST: usize = 8;
/// Traces that go on at one time whose letters are remembered.
const TRACES: usize = 1_024;

pub(super) struct Drawing<'w> {
    ladder: Ladder<'w>,
    style: Style,
    room: usize,
    width: usize,
    is_live: bool,
    /// What there is so far of a trace of the past.
    whole: Vec<MessageView>,
    /// Lanes that are drawn, whether anybody has them or not.
    lanes: usize,
    /// Who has the lanes that are not the server's.
    seats: Vec<Seat>,
    traces: HashMap<u64, Trace>,
    began: usize,
    /// Messages drawn.
    drawn: u64,
}

/// A lane that is taken.
struct Seat {
    remote: SocketAddr,
    lane: Lane,
    /// The number of the last message on it.
    used: u64,
}

struct Trace {
    zero: u64,
    mark: char,
}

impl<'w> Drawing<'w> {
    pub(super) fn new(out: &'w mut dyn Write, style: Style, width: usize) -> Self {
        let room = Ladder::room(width).min(MOST);
        let ladder = Ladder::new(out, style, width);
        Self {
            ladder,
            style,
            room,
            width,
            is_live: false,
            whole: Vec::new(),
            lanes: room,
            seats: Vec::new(),
            traces: HashMap::new(),
            began: 0,
            drawn: 0,
        }
    }

    /// Messages of the past, those of one trace together, until there is nothing; then what
    /// passes now.
    pub(super) fn messages(&mut self, messages: Vec<MessageView>) -> io::Result<()> {
        if messages.is_empty() {
            self.whole()?;
            if !self.is_live {
                let hint = "Calls are drawn as they pass from now on; Ctrl-C ends it.";
                self.ladder.note(hint, "")?;
            }
            self.is_live = true;
        }
        for message in messages {
            if self.is_live {
                self.message(&message)?;
                continue;
            }
            if self.whole.last().is_some_and(|last| last.trace != message.trace) {
                self.whole()?;
            }
            self.whole.push(message);
        }
        self.ladder.flush()
    }

    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.ladder.note(&visible(text), "")
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        self.whole()?;
        self.ladder.flush()
    }

    /// Draws a trace of which all is known: it has no more lanes than it needs.
    fn whole(&mut self) -> io::Result<()> {
        let messages = std::mem::take(&mut self.whole);
        let Some(first) = messages.first() else { return Ok(()) };
        if self.began > 0 {
            self.ladder.gap_line()?;
        }
        self.seats.clear();
        for message in &messages {
            let has_room = self.seats.len() + 1 < self.room;
            let known = self.seats.iter_mut().find(|seat| seat.remote == message.remote);
            match known {
                Some(seat) => seat.lane = lane_of(message),
                None if has_room => {
                    let (remote, lane) = (message.remote, lane_of(message));
                    self.seats.push(Seat { remote, lane, used: 0 });
                }
                None => {}
            }
        }
        self.lanes = self.seats.len() + 1;
        self.begin(first)?;
        self.head()?;
        messages.iter().try_for_each(|message| self.message(message))?;
        (self.seats, self.lanes) = (Vec::new(), self.room);
        Ok(())
    }

    fn message(&mut self, message: &MessageView) -> io::Result<()> {
        self.drawn += 1;
        let lane = self.lane(message)?;
        if !self.traces.contains_key(&message.trace) {
            self.begin(message)?;
        }
        let (text, tone) = self.label(message);
        let (from, to) = match message.way {
            WayView::In => (lane, SERVER),
            WayView::Out => (SERVER, lane),
        };
        let Some(Trace { zero, mark }) = self.traces.get(&message.trace) else { return Ok(()) };
        let mark = if self.is_live { mark.to_string() } else { String::new() };
        let arrow = Arrow { from, to, label: &text, tone, double: false };
        self.ladder.arrow_since((*zero, &mark), message.at_us, arrow)
    }

    /// What stands on an arrow; of a retransmission only what it repeats.
    fn label(&self, view: &MessageView) -> (String, Tone) {
        let bytes = view.bytes();
        let mut index = Index::new();
        let Ok(message) = parse(&bytes, &mut index, Framing::Datagram) else {
            return ("no SIP".to_owned(), Tone::Bad);
        };
        let (text, tone) = label(&message, self.style);
        match text.split(' ').next() {
            Some(first) if view.again => (visible(&format!("{first} again")), Tone::Faint),
            _ => (visible(&text), tone),
        }
    }

    /// The lane of the host of a message; it may have to be made, and then all are named anew.
    fn lane(&mut self, message: &MessageView) -> io::Result<usize> {
        let lane = lane_of(message);
        let found = self.seats.iter().position(|seat| seat.remote == message.remote);
        let seat = found.unwrap_or_else(|| {
            let oldest = (0..self.seats.len()).min_by_key(|&seat| self.seats[seat].used);
            oldest.filter(|_| self.seats.len() + 1 >= self.room).unwrap_or(self.seats.len())
        });
        // Who registers is known from then on.
        let is_new =
            found.is_none() || message.host.is_some() && self.seats[seat].lane.name != lane.name;
        if is_new {
            let taken = Seat { remote: message.remote, lane, used: self.drawn };
            match self.seats.get_mut(seat) {
                Some(seat) => *seat = taken,
                None => self.seats.push(taken),
            }
            self.head()?;
        }
        self.seats[seat].used = self.drawn;
        Ok(if seat < SERVER { seat } else { seat + 1 })
    }

    fn head(&mut self) -> io::Result<()> {
        let mut lanes: Vec<Lane> = self.seats.iter().map(|seat| seat.lane.clone()).collect();
        lanes.insert(SERVER, Lane { name: "ringway".into(), detail: String::new() });
        lanes.resize(self.lanes.max(lanes.len()), Lane::default());
        self.ladder.lanes(&lanes)
    }

    /// Says whose arrows follow.
    fn begin(&mut self, message: &MessageView) -> io::Result<()> {
        if self.traces.len() >= TRACES {
            self.traces.clear();
        }
        let letters = ('a'..='z').nth(self.began % 26);
        let mark = letters.unwrap_or('a');
        self.began += 1;
        self.traces.insert(message.trace, Trace { zero: message.at_us, mark });
        let title = visible(&title(&message.bytes()));
        let title = if self.is_live { format!("{mark}  {title}") } else { title };
        let room = self.width.saturating_sub(title.chars().count() + 4);
        let hint = format!("{}, {}", date(message.at_us), visible(&message.call_id));
        let hint: String = hint.chars().take(room.max(29)).collect();
        self.ladder.note(&title, &hint)
    }
}

fn lane_of(message: &MessageView) -> Lane {
    let name = message.host.clone().unwrap_or_else(|| message.remote.ip().to_string());
    let detail = format!("{} {}", message.transport, message.remote);
    Lane { name: visible(&name), detail: visible(&detail) }
}

/// Who calls whom.
fn title(bytes: &[u8]) -> String {
    let mut index = Index::new();
    let Ok(message) = parse(bytes, &mut index, Framing::Datagram) else { return String::new() };
    let name =
        |address: Option<NameAddr<'_>>| address.map_or("?".to_owned(), |address| short(&address));
    let (from, to) = (name(message.from().ok()), name(message.to().ok()));
    let method = String::from_utf8_lossy(message.method().as_bytes()).into_owned();
    match method.as_str() {
        "INVITE" => format!("{from} calls {to}"),
        _ => format!("{from} to {to}, {method}"),
    }
}

/// The user of an address, or what there is of it.
pub(super) fn short(address: &NameAddr<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match address.uri() {
        Ok(Uri::Sip(sip)) => sip.user.map_or_else(|| text(address.uri), text),
        Ok(Uri::Tel(tel)) => text(tel.number),
        _ => text(address.uri),
    }
}

/// A time in microseconds since the Unix epoch, to the second.
pub(super) fn date(at_us: u64) -> String {
    Date(Instant::from_micros(at_us)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(nth: u64, trace: u64, host: u8, way: WayView) -> MessageView {
        MessageView {
            trace,
            call_id: format!("call-{trace}"),
            at_us: 1_700_000_000_000_000 + nth * 10_000,
            way,
            transport: "udp".into(),
            local: ([192, 0, 2, 1], 5060).into(),
            remote: ([198, 51, 100, host], 5060).into(),
            host: (host == 1).then(|| "alice@example.org".into()),
            again: nth == 3,
            message: "INVITE sip:b@x SIP/2.0\r\nFrom: <sip:a\u{1b}@x>\r\nTo: sip:b@x\r\n\r\nv=0"
                .into(),
            hex: None,
        }
    }

    fn drawn(replies: Vec<Vec<MessageView>>) -> String {
        let mut out = Vec::new();
        let style = Style { unicode: false, colour: false };
        let mut drawing = Drawing::new(&mut out, style, 80);
        replies.into_iter().for_each(|reply| drawing.messages(reply).expect("memory"));
        drawing.end().expect("memory");
        let text = String::from_utf8(out).expect("text");
        assert!(text.is_ascii() && !text.contains('\x1b'), "{text}");
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        format!("\n{text}")
    }

    #[test]
    fn calls_of_the_past_have_lanes_of_their_own() {
        use WayView::{In, Out};
        let first = vec![message(0, 1, 1, In), message(1, 1, 2, Out)];
        let rest = vec![message(2, 1, 2, In), message(3, 1, 1, Out), message(0, 2, 3, In)];
        let text = drawn(vec![first, rest]);
        let expected = "
 sip:a\\u{1b}@x calls b Tue, 14 Nov 2023 22:13:20 GMT, call-1
            alice@example.org             ringway                  198.51.100.2
            udp 198.51.100.1:5060                         udp 198.51.100.2:5060
     0.0 ms |-------- INVITE + SDP --------->|                                |
    10.0 ms |                                |-------- INVITE + SDP --------->|
    20.0 ms |                                |<--------- INVITE + SDP --------|
    30.0 ms |<--------- INVITE again --------|                                |

 sip:a\\u{1b}@x calls b Tue, 14 Nov 2023 22:13:20 GMT, call-2
            198.51.100.3               ringway
            udp 198.51.100.3:5060
     0.0 ms |-------- INVITE + SDP --------->|
";
        assert_eq!(text, expected, "{text}{expected}");
    }

    #[test]
    fn calls_that_pass_share_lanes_and_the_one_longest_unused_is_given_away() {
        use WayView::{In, Out};
        let reply = vec![
            message(0, 1, 1, In),
            message(1, 1, 2, Out),
            message(2, 2, 3, In),
            message(4, 1, 1, Out),
            // There are three lanes besides the server's.
            message(5, 2, 4, Out),
            message(6, 1, 1, In),
        ];
        let text = drawn(vec![vec![], reply]);
        let expected = "
a   40.0 ms |<--- INVITE + SDP ---|                     |                     |
            alice@example.org  ringway            198.51.100.4     198.51.100.3
            udp 198.51.100.1:5060   udp 198.51.100.4:5060 udp 198.51.100.3:5060
b   30.0 ms |                     |--- INVITE + SDP --->|                     |
a   60.0 ms |--- INVITE + SDP --->|                     |                     |
";
        assert!(text.ends_with(expected), "{text}{expected}");
        let far =
            "b    0.0 ms |                     |<--------------------+---- INVITE + SDP ---|\n";
        assert!(text.contains(far), "{text}{far}");
    }
}
