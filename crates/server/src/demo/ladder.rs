//! A call as people draw it on a whiteboard: three lanes, an arrow for each message, and the
//! time in front. It is 80 columns wide.

use super::style::{Style, Tone};
use super::trace::{Entry, Way};
use super::verdict::OneWay;
use ringway_wire::{Framing, Index, Message, Name, parse};
use std::io::{self, Write};
use std::time::Instant;

/// Columns in front of the first lane: the time.
const MARGIN: usize = 12;
/// Columns between two lanes.
const GAP: usize = 32;
/// The longest text in an arrow.
const LABEL: usize = GAP - 4;

/// Draws what happens, as it happens.
pub struct Ladder<'w> {
    out: &'w mut dyn Write,
    /// How it looks.
    pub style: Style,
    /// When the first message of this part was sent.
    zero: Option<Instant>,
    /// The user whose lane is on the left; the other lanes are the server's and everybody
    /// else's.
    left: String,
}

impl<'w> Ladder<'w> {
    /// Begins a drawing; nothing is drawn yet.
    pub fn new(out: &'w mut dyn Write, style: Style, left: &str) -> Self {
        Self { out, style, zero: None, left: left.into() }
    }

    /// Names the three lanes, and what there is to say about each.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn lanes(&mut self, names: [&str; 3], details: [&str; 3]) -> io::Result<()> {
        for (texts, tone) in [(names, Tone::Strong), (details, Tone::Faint)] {
            let line = place(texts);
            writeln!(self.out, "{}", self.style.paint(tone, line.trim_end()))?;
        }
        Ok(())
    }

    /// Begins a new part, in which times count from its first message.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn part(&mut self, title: &str) -> io::Result<()> {
        self.zero = None;
        let lane = self.lane();
        let gap = " ".repeat(GAP);
        let lanes = format!("{}{lane}{gap}{lane}{gap}{lane}", " ".repeat(MARGIN));
        writeln!(self.out, "{lanes}")?;
        let title = self.style.paint(Tone::Strong, title);
        let hint = self.style.paint(Tone::Faint, "(times from the first message)");
        writeln!(self.out, " {title} {hint}")
    }

    /// Draws messages.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn messages(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let mut index = Index::new();
            let Ok(message) = parse(&entry.bytes, &mut index, Framing::Datagram) else { continue };
            let (mut label, tone) = label(&message, self.style);
            if entry.again {
                label.push_str(" (again)");
            }
            let is_left = *entry.phone == *self.left;
            let to_the_right = is_left == (entry.way == Way::Sent);
            let arrow = self.arrow((&label, tone), GAP, to_the_right, "─");
            let (time, lane) = (self.time(entry.at), self.lane());
            let empty = " ".repeat(GAP);
            let (first, second) = if is_left { (&arrow, &empty) } else { (&empty, &arrow) };
            writeln!(self.out, "{time}{lane}{first}{lane}{second}{lane}")?;
        }
        self.out.flush()
    }

    /// Draws sound that went from phone to phone, past the server.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sound(&mut self, at: Instant, way: OneWay, to_the_right: bool) -> io::Result<()> {
        let dot = self.style.pick("·", "+");
        let OneWay { sent, heard, .. } = way;
        let tone = if way.is_heard() { "440 Hz heard" } else { "no tone heard" };
        let label = format!("RTP {dot} {sent} packets sent, {heard} arrived {dot} {tone}");
        let looks = if way.is_heard() { Tone::Good } else { Tone::Bad };
        let arrow = self.arrow((&label, looks), 2 * GAP + 1, to_the_right, "═");
        let (time, lane) = (self.time(at), self.lane());
        writeln!(self.out, "{time}{lane}{arrow}{lane}")?;
        self.out.flush()
    }

    fn time(&mut self, at: Instant) -> String {
        let zero = *self.zero.get_or_insert(at);
        let passed = at.saturating_duration_since(zero).as_secs_f64() * 1_000.0;
        self.style.paint(Tone::Faint, &format!("{passed:>8.1} ms "))
    }

    fn lane(&self) -> String {
        self.style.paint(Tone::Faint, self.style.pick("│", "|"))
    }

    /// An arrow with a text in its middle.
    fn arrow(
        &self,
        (label, tone): (&str, Tone),
        width: usize,
        to_the_right: bool,
        line: &str,
    ) -> String {
        let ascii = if line == "═" { "=" } else { "-" };
        let line = self.style.pick(line, ascii);
        let label = shorten(label, width - (GAP - LABEL), self.style);
        let rest = width - 3 - label.chars().count();
        let (before, after) = (line.repeat(rest / 2), line.repeat(rest - rest / 2));
        let label = self.style.paint(tone, &label);
        if to_the_right {
            format!("{before} {label} {after}{}", self.style.pick("▶", ">"))
        } else {
            format!("{}{after} {label} {before}", self.style.pick("◀", "<"))
        }
    }
}

/// What a message is called, and how it looks: its method or status, and what is remarkable.
fn label(message: &Message<'_>, style: Style) -> (String, Tone) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut label, tone) = if message.is_request() {
        (text(message.method().as_bytes()), Tone::Strong)
    } else {
        let status = message.status();
        let tone = match status {
            100..200 => Tone::Plain,
            200..300 => Tone::Good,
            401 | 407 => Tone::Doubtful,
            _ => Tone::Bad,
        };
        (format!("{status} {}", text(message.reason())), tone)
    };
    let proved = [Name::Authorization, Name::ProxyAuthorization];
    let dot = style.pick("·", "+");
    if proved.into_iter().any(|name| message.header(name).is_some()) {
        label = format!("{label} {dot} digest");
    }
    if message.body().starts_with(b"v=0") {
        label = format!("{label} {dot} SDP");
    }
    (label, tone)
}

fn shorten(text: &str, longest: usize, style: Style) -> String {
    if text.chars().count() <= longest {
        return text.into();
    }
    let mut short: String = text.chars().take(longest - 1).collect();
    // Half a word says less than none.
    if let Some(blank) = short.rfind(' ').filter(|&blank| blank > longest / 2) {
        short.truncate(blank);
    }
    short.push_str(style.pick("…", "~"));
    short
}

/// Puts a text over each lane: the first one begins at it, the last one ends there.
fn place([left, middle, right]: [&str; 3]) -> String {
    let length = |text: &str| text.chars().count();
    let mut line = " ".repeat(MARGIN);
    line.push_str(left);
    let middle_at = MARGIN + 1 + GAP - length(middle) / 2;
    line.push_str(&" ".repeat(middle_at.saturating_sub(length(&line)).max(1)));
    line.push_str(middle);
    let right_at = MARGIN + 3 + 2 * GAP - length(right);
    line.push_str(&" ".repeat(right_at.saturating_sub(length(&line)).max(1)));
    line.push_str(right);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ASCII: Style = Style { unicode: false, colour: false };
    const UNICODE: Style = Style { unicode: true, colour: false };

    fn draw(style: Style, of: impl FnOnce(&mut Ladder<'_>, Instant)) -> String {
        let mut out = Vec::new();
        let zero = Instant::now();
        of(&mut Ladder::new(&mut out, style, "alice"), zero);
        String::from_utf8(out).expect("text")
    }

    fn entry(zero: Instant, us: u64, (phone, way): (&str, Way), start: &str) -> Entry {
        let text = format!("{start}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
        Entry {
            at: zero + Duration::from_micros(us),
            phone: phone.into(),
            way,
            again: us > 20_000,
            bytes: text.into_bytes().into(),
        }
    }

    fn ladder(style: Style) -> String {
        draw(style, |ladder, zero| {
            let lanes = [["alice", "ringway", "bob"], ["udp 127.0.0.1:1", "x", "tcp [::1]:54321"]];
            ladder.lanes(lanes[0], lanes[1]).expect("memory");
            ladder.part("A call").expect("memory");
            let invite = "INVITE sip:b SIP/2.0\r\nProxy-Authorization: Digest x";
            let long = "SIP/2.0 407 Proxy Authentication Required";
            let entries = [
                entry(zero, 0, ("alice", Way::Sent), invite),
                entry(zero, 840, ("alice", Way::Heard), long),
                entry(zero, 12_345, ("bob", Way::Heard), "INVITE sip:b SIP/2.0"),
                entry(zero, 1_234_560, ("bob", Way::Sent), "SIP/2.0 180 Ringing"),
            ];
            ladder.messages(&entries).expect("memory");
            let way = OneWay { sent: 75, heard: 74, tones: 74 };
            ladder.sound(zero, way, true).expect("memory");
            ladder.sound(zero, OneWay { tones: 7, ..way }, false).expect("memory");
        })
    }

    #[test]
    fn each_message_is_an_arrow_between_two_lanes() {
        let drawn = ladder(ASCII);
        let expected = "
            alice                         ringway                           bob
            udp 127.0.0.1:1                  x                  tcp [::1]:54321
            |                                |                                |
 A call (times from the first message)
     0.0 ms |------- INVITE + digest ------->|                                |
     0.8 ms |<-- 407 Proxy Authentication~ --|                                |
    12.3 ms |                                |----------- INVITE ------------>|
  1234.6 ms |                                |<----- 180 Ringing (again) -----|
     0.0 ms |======= RTP + 75 packets sent, 74 arrived + 440 Hz heard =======>|
     0.0 ms |<======= RTP + 75 packets sent, 74 arrived + no tone heard ======|
";
        let drawn = format!("\n{drawn}");
        assert_eq!(drawn, expected, "{drawn}{expected}");
    }

    #[test]
    fn it_is_eighty_columns_wide_at_most_and_ascii_where_that_is_all_there_is() {
        assert!(ladder(ASCII).is_ascii());
        for style in [ASCII, UNICODE] {
            for line in ladder(style).lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        assert!(ladder(UNICODE).contains("│◀── 407 Proxy Authentication… ──│"));
        let coloured = ladder(Style { unicode: true, colour: true });
        assert!(coloured.contains("\x1b[1mINVITE · digest\x1b[0m"), "{coloured}");
    }
}
