//! What the demo plays: two phones register, one calls the other, they talk, the other one hangs
//! up, and both take their registrations back.

use super::dialog::Dialog;
use super::drawing::Drawing;
use super::failure::{Cause, Failure};
use super::media::{Media, Talk, place_of};
use super::phone::{Phone, Profile, RINGING};
use super::trace::Trace;
use super::verdict::{Registered, Sound, Verdict};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

/// How long it rings before it is answered, so that people see the difference.
const RINGING_TIME: Duration = Duration::from_millis(400);
/// For how long the phones register, in seconds.
const EXPIRES_S: u32 = 300;
/// What a session description is called in Content-Type.
const SDP: &str = "application/sdp";

/// Why the story did not end well.
enum Trouble {
    Phone(Failure),
    Output(io::Error),
    Sound(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(failure) => failure.fmt(f),
            Self::Output(error) => write!(f, "what happened could not be shown: {error}"),
            Self::Sound(what) => f.write_str(what),
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Phone(failure)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// The players and what is noted about them.
struct Play<'a, 'w> {
    ladder: &'a mut Drawing<'w>,
    trace: Trace,
    verdict: Verdict,
}

/// Plays it with the phones of two users, the first of whom calls the second.
pub fn play(profiles: [Profile; 2], ladder: &mut Drawing<'_>) -> Verdict {
    let started = Instant::now();
    let mut play = Play { ladder, trace: Trace::default(), verdict: Verdict::default() };
    let result = play.all(profiles);
    // What was said last explains what went wrong.
    let shown = play.show();
    let Play { mut verdict, .. } = play;
    verdict.took = started.elapsed();
    let trouble = result.err().or_else(|| shown.err().map(Trouble::Output));
    verdict.failure = trouble.map(|trouble| trouble.to_string());
    verdict
}

impl Play<'_, '_> {
    fn all(&mut self, [alice, bob]: [Profile; 2]) -> Result<(), Trouble> {
        let title = format!("{} and {} register", alice.user, bob.user);
        let mut alice = Phone::switch_on(alice, &self.trace)?;
        let mut bob = Phone::switch_on(bob, &self.trace)?;
        let detail = |phone: &Phone| format!("{} {}", phone.profile().transport, phone.local());
        self.ladder.lanes(
            [&alice.profile().user, "ringway", &bob.profile().user],
            [&detail(&alice), "", &detail(&bob)],
        )?;
        self.ladder.part(&title)?;
        self.register(&mut alice)?;
        self.register(&mut bob)?;
        self.call(&mut alice, &mut bob)?;
        self.ladder.part("both take their registrations back")?;
        alice.register(0)?;
        bob.register(0)?;
        self.show()?;
        self.verdict.unregistered = true;
        Ok(())
    }

    /// Draws what was said since the last time.
    fn show(&mut self) -> io::Result<()> {
        self.ladder.messages(&self.trace.take())
    }

    fn register(&mut self, phone: &mut Phone) -> Result<(), Trouble> {
        let after = phone.register(EXPIRES_S)?;
        self.show()?;
        self.verdict.registered.push(Registered {
            user: phone.profile().user.clone(),
            transport: phone.profile().transport,
            address: phone.local(),
            after,
        });
        Ok(())
    }

    fn call(&mut self, alice: &mut Phone, bob: &mut Phone) -> Result<(), Trouble> {
        let (caller, callee) = (alice.profile().user.clone(), bob.profile().user.clone());
        let [at_alice, at_bob] = [open_media(alice)?, open_media(bob)?];
        let title = format!("{caller} calls {callee}");
        let offer = at_alice.description();
        self.ladder.part(&title)?;
        let outgoing = alice.invite(&bob.uri(), Some((SDP, offer.as_bytes())))?;
        let zero = outgoing.started;
        let incoming = bob.hear_call()?;
        bob.respond(&incoming, RINGING, None)?;
        let ringing = alice.hear_ringing(&outgoing)?;
        self.verdict.ringing = Some(ringing.saturating_duration_since(zero));
        self.show()?;
        thread::sleep(RINGING_TIME);
        let to_alice = place(bob, incoming.request().body())?;
        let answer = at_bob.description();
        let bobs = bob.accept(&incoming, Some((SDP, answer.as_bytes())))?;
        let answered = alice.hear_answer(outgoing)?;
        bob.hear_ack(&bobs)?;
        self.verdict.answered = Some(answered.at.saturating_duration_since(zero));
        self.show()?;
        let to_bob = place(alice, &answered.body)?;
        let talks = talk([(alice, &at_alice, to_bob), (bob, &at_bob, to_alice)])?;
        self.judge(Sound { users: [caller, callee], talks })?;
        self.end(alice, bob, [&answered.dialog, &bobs])
    }

    /// Draws the sound, and says what is wrong with it.
    fn judge(&mut self, sound: Sound) -> Result<(), Trouble> {
        let (ways, users) = (sound.ways(), sound.users.clone());
        let started = [sound.talks[0].started, sound.talks[1].started];
        self.verdict.sound = Some(sound);
        for (nth, way) in ways.into_iter().enumerate() {
            self.ladder.sound(started[nth], way, nth == 0)?;
        }
        let [alice, bob] = users;
        for (way, from, to) in [(ways[0], &alice, &bob), (ways[1], &bob, &alice)] {
            if !way.is_heard() {
                let (sent, heard, tones) = (way.sent, way.heard, way.tones);
                return Err(Trouble::Sound(format!(
                    "of {sent} packets of {from} {to} heard {heard}, and the tone in {tones}, \
                     within {:.1} s",
                    started[0].elapsed().as_secs_f64()
                )));
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        alice: &mut Phone,
        bob: &mut Phone,
        [alices, bobs]: [&Dialog; 2],
    ) -> Result<(), Trouble> {
        let bye = bob.hang_up(bobs)?;
        alice.hear_hang_up(alices)?;
        bob.hear_farewell(&bye)?;
        self.verdict.ended_by = Some(bob.profile().user.clone());
        self.show()?;
        Ok(())
    }
}

/// Phones of both kinds of addresses meet in IPv4 sound: nothing between them translates it.
fn open_media(phone: &Phone) -> Result<Media, Failure> {
    let media = Media::open(IpAddr::V4(Ipv4Addr::LOCALHOST));
    media.map_err(|error| phone.failure(Cause::System(error)))
}

fn place(phone: &Phone, description: &[u8]) -> Result<SocketAddr, Failure> {
    let what = "a session description without PCMU";
    place_of(description).ok_or_else(|| phone.failure(Cause::Unusable(what)))
}

/// Both talk at the same time.
fn talk(sides: [(&Phone, &Media, SocketAddr); 2]) -> Result<[Talk; 2], Failure> {
    let [first, second] = sides;
    let (here, there) = thread::scope(|scope| {
        let there = scope.spawn(|| second.1.talk(second.2));
        (first.1.talk(first.2), there.join())
    });
    let system = |phone: &Phone, error| phone.failure(Cause::System(error));
    let here = here.map_err(|error| system(first.0, error))?;
    let there = there.unwrap_or_else(|_| Err(io::Error::other("a thread ended too soon")));
    let there = there.map_err(|error| system(second.0, error))?;
    Ok([here, there])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ladder::Style;

    #[test]
    fn a_tone_that_does_not_come_through_is_a_failure() {
        let talk = |heard, tones| Talk { started: Instant::now(), sent: 75, heard, tones };
        for (alice, bob, failure) in [
            (talk(75, 75), talk(75, 75), None),
            (talk(70, 69), talk(68, 68), None),
            (
                talk(75, 75),
                talk(50, 49),
                Some("of 75 packets of alice bob heard 50, and the tone in 49, within "),
            ),
            (
                talk(75, 0),
                talk(75, 75),
                Some("of 75 packets of bob alice heard 75, and the tone in 0, within "),
            ),
        ] {
            let mut shown = Vec::new();
            let style = Style { unicode: false, colour: false };
            let mut ladder = Drawing::new(&mut shown, style, "alice");
            let (trace, verdict) = (Trace::default(), Verdict::default());
            let mut play = Play { ladder: &mut ladder, trace, verdict };
            let sound = Sound { users: ["alice".into(), "bob".into()], talks: [alice, bob] };
            let judged = play.judge(sound).map_err(|trouble| trouble.to_string());
            match failure {
                None => assert_eq!(judged, Ok(())),
                Some(failure) => {
                    let said = judged.expect_err("a failure");
                    assert!(said.starts_with(failure), "{said}");
                }
            }
        }
    }
}
