//! What came of the demo: for people, and for programs.

use super::media::Talk;
use ringway_core::flow::Transport;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// What came of the demo. What was not reached is not there.
#[derive(Clone, Default, Debug)]
pub struct Verdict {
    /// The phones that registered.
    pub registered: Vec<Registered>,
    /// From the first INVITE to the ringing at the caller.
    pub ringing: Option<Duration>,
    /// From the first INVITE to the answer at the caller.
    pub answered: Option<Duration>,
    /// What the two said and heard.
    pub sound: Option<Sound>,
    /// Who hung up.
    pub ended_by: Option<String>,
    /// Whether both took their registrations back.
    pub unregistered: bool,
    /// What went wrong, in one sentence.
    pub failure: Option<String>,
    /// How long it took, all in all.
    pub took: Duration,
}

/// A phone that registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// Its user.
    pub user: String,
    /// How it talks to the server.
    pub transport: Transport,
    /// Its own address.
    pub address: SocketAddr,
    /// How long it took.
    pub after: Duration,
}

/// The talk, seen from both sides.
#[derive(Clone, Debug)]
pub struct Sound {
    /// The users.
    pub users: [String; 2],
    /// What the first one sent and heard, and what the second one did.
    pub talks: [Talk; 2],
}

/// One way of the talk: packets sent, heard, and heard as the tone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OneWay {
    /// Packets that one side sent.
    pub sent: u32,
    /// How many of them the other side heard.
    pub heard: u32,
    /// How many of these were the tone.
    pub tones: u32,
}

impl OneWay {
    /// Whether the tone came through: nine of ten packets, on a machine that may be busy.
    pub const fn is_heard(&self) -> bool {
        self.sent > 0 && self.tones * 10 >= self.sent * 9
    }
}

impl Sound {
    /// The way from the first to the second, and back.
    pub fn ways(&self) -> [OneWay; 2] {
        let way =
            |from: &Talk, to: &Talk| OneWay { sent: from.sent, heard: to.heard, tones: to.tones };
        let [first, second] = &self.talks;
        [way(first, second), way(second, first)]
    }
}

impl Verdict {
    /// Whether all went well.
    pub const fn is_good(&self) -> bool {
        self.failure.is_none()
    }

    /// For programs: times in milliseconds; what was not reached is null.
    pub fn to_json(&self) -> Value {
        let registered: Vec<_> = self
            .registered
            .iter()
            .map(|phone| {
                json!({
                    "user": phone.user,
                    "transport": phone.transport.uri_name(),
                    "address": phone.address.to_string(),
                    "after_ms": milliseconds(phone.after),
                })
            })
            .collect();
        json!({
            "ok": self.is_good(),
            "registered": registered,
            "ringing_after_ms": self.ringing.map(milliseconds),
            "answered_after_ms": self.answered.map(milliseconds),
            "sound": self.sound.as_ref().map(sound_to_json),
            "ended_by": self.ended_by,
            "unregistered": self.unregistered,
            "failure": self.failure,
            "took_ms": milliseconds(self.took),
        })
    }
}

fn sound_to_json(sound: &Sound) -> Value {
    let [first, second] = &sound.users;
    let users = [(first, second), (second, first)];
    let ways = sound.ways().into_iter().zip(users).map(|(way, (from, to))| {
        json!({
            "from": from,
            "to": to,
            "packets_sent": way.sent,
            "packets_heard": way.heard,
            "tone_heard": way.is_heard(),
        })
    });
    ways.collect()
}

/// With one digit behind the point: no clock of ours means more.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn talk(sent: u32, heard: u32, tones: u32) -> Talk {
        Talk { started: Instant::now(), sent, heard, tones }
    }

    fn sound(talks: [Talk; 2]) -> Sound {
        Sound { users: ["alice".into(), "bob".into()], talks }
    }

    #[test]
    fn a_way_is_what_one_sent_and_the_other_heard() {
        let ways = sound([talk(75, 70, 60), talk(74, 73, 72)]).ways();
        assert_eq!(ways[0], OneWay { sent: 75, heard: 73, tones: 72 });
        assert_eq!(ways[1], OneWay { sent: 74, heard: 70, tones: 60 });
        assert!(ways[0].is_heard() && !ways[1].is_heard());
        assert!(!OneWay { sent: 0, heard: 0, tones: 0 }.is_heard());
    }

    #[test]
    fn programs_read_what_was_reached_and_null_for_the_rest() {
        let mut verdict = Verdict {
            registered: vec![Registered {
                user: "alice".into(),
                transport: Transport::Tcp,
                address: "[::1]:9".parse().expect("an address"),
                after: Duration::from_micros(1_260),
            }],
            failure: Some("bob did not ring".into()),
            ..Verdict::default()
        };
        let read = verdict.to_json();
        assert_eq!(read["ok"], false);
        assert_eq!(read["registered"][0]["address"], "[::1]:9");
        assert_eq!(read["registered"][0]["after_ms"], 1.3);
        assert_eq!(read["ringing_after_ms"], Value::Null);
        assert_eq!(read["failure"], "bob did not ring");
        verdict.failure = None;
        verdict.sound = Some(sound([talk(75, 75, 75), talk(75, 75, 0)]));
        let read = verdict.to_json();
        assert_eq!(read["ok"], true);
        assert_eq!(read["sound"][0]["tone_heard"], false, "what bob heard of alice");
        assert_eq!(read["sound"][1]["tone_heard"], true);
    }
}
