//! What the phones of the demo noted, on the ladder: a lane for each phone, and the server's
//! between them.

use super::trace::{Entry, Way};
use super::verdict::OneWay;
use crate::ladder::{Arrow, Ladder, Lane, Style, Tone, label};
use ringway_wire::{Framing, Index, parse};
use std::io::{self, Write};
use std::time::Instant;

/// Columns of a drawing; a demo is shown in any terminal.
const WIDTH: usize = 80;
/// The lane of the server.
const SERVER: usize = 1;

/// Draws what happens, as it happens.
pub struct Drawing<'w> {
    ladder: Ladder<'w>,
    began: Instant,
    /// The user whose lane is on the left; the other lanes are the server's and everybody
    /// else's.
    left: String,
}

impl<'w> Drawing<'w> {
    /// Begins a drawing; nothing is drawn yet.
    pub fn new(out: &'w mut dyn Write, style: Style, left: &str) -> Self {
        let ladder = Ladder::new(out, style, WIDTH);
        Self { ladder, began: Instant::now(), left: left.into() }
    }

    /// Names the three lanes, and what there is to say about each.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn lanes(&mut self, names: [&str; 3], details: [&str; 3]) -> io::Result<()> {
        let lane = |at: usize| Lane { name: names[at].into(), detail: details[at].into() };
        self.ladder.lanes(&[lane(0), lane(1), lane(2)])
    }

    /// Begins a new part, in which times count from its first message.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn part(&mut self, title: &str) -> io::Result<()> {
        self.ladder.part(title, "(times from the first message)")
    }

    /// Draws messages.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn messages(&mut self, entries: &[Entry]) -> io::Result<()> {
        for entry in entries {
            let mut index = Index::new();
            let Ok(message) = parse(&entry.bytes, &mut index, Framing::Datagram) else { continue };
            let (mut label, tone) = label(&message, self.ladder.style);
            if entry.again {
                label.push_str(" (again)");
            }
            let phone = if *entry.phone == *self.left { 0 } else { 2 };
            let (from, to) = match entry.way {
                Way::Sent => (phone, SERVER),
                Way::Heard => (SERVER, phone),
            };
            let arrow = Arrow { from, to, label: &label, tone, double: false };
            self.ladder.arrow(self.micros(entry.at), arrow)?;
        }
        self.ladder.flush()
    }

    /// Draws sound that went from phone to phone, past the server.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn sound(&mut self, at: Instant, way: OneWay, to_the_right: bool) -> io::Result<()> {
        let dot = self.ladder.style.pick("·", "+");
        let OneWay { sent, heard, .. } = way;
        let tone = if way.is_heard() { "440 Hz heard" } else { "no tone heard" };
        let label = format!("RTP {dot} {sent} packets sent, {heard} arrived {dot} {tone}");
        let tone = if way.is_heard() { Tone::Good } else { Tone::Bad };
        let (from, to) = if to_the_right { (0, 2) } else { (2, 0) };
        let arrow = Arrow { from, to, label: &label, tone, double: true };
        self.ladder.arrow(self.micros(at), arrow)?;
        self.ladder.flush()
    }

    fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_micros() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn phones_are_drawn_around_the_server() {
        let mut out = Vec::new();
        let style = Style { unicode: false, colour: false };
        let mut drawing = Drawing::new(&mut out, style, "alice");
        let zero = drawing.began + Duration::from_secs(1);
        drawing.lanes(["alice", "ringway", "bob"], ["udp x:1", "", "tcp y:2"]).expect("memory");
        drawing.part("A call").expect("memory");
        let invite = "INVITE sip:b SIP/2.0\r\nProxy-Authorization: Digest x";
        let long = "SIP/2.0 407 Proxy Authentication Required";
        let entries = [
            entry(zero, 0, ("alice", Way::Sent), invite),
            entry(zero, 840, ("alice", Way::Heard), long),
            entry(zero, 12_345, ("bob", Way::Heard), "INVITE sip:b SIP/2.0"),
            entry(zero, 1_234_560, ("bob", Way::Sent), "SIP/2.0 180 Ringing"),
        ];
        drawing.messages(&entries).expect("memory");
        let way = OneWay { sent: 75, heard: 74, tones: 74 };
        drawing.sound(zero, way, true).expect("memory");
        drawing.sound(zero, OneWay { tones: 7, ..way }, false).expect("memory");
        let drawn = String::from_utf8(out).expect("text");
        let expected = "
            alice                         ringway                           bob
            udp x:1                                                     tcp y:2
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
}
