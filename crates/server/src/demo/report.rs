//! What the demo says besides the ladder.

use super::stage::{DOMAIN, Stage, USERS};
use super::verdict::{OneWay, Registered, Sound, Verdict};
use crate::ladder::{Style, Tone};
use ringway_core::flow::Transport;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;

/// What is about to happen.
pub(super) fn beginning(out: &mut dyn Write, style: Style, stage: &Stage) -> io::Result<()> {
    let title = style.paint(Tone::Strong, "Ringway demo");
    let addresses = addresses(stage).join(" and ");
    writeln!(out, "\n {title}: a server and two phones, and all of it real.\n")?;
    writeln!(out, " The server listens on {addresses}, UDP and TCP.")?;
    writeln!(out, " What the phones send and receive, as they noted it:\n")?;
    out.flush()
}

fn addresses(stage: &Stage) -> Vec<String> {
    let both = [false, true].into_iter();
    both.filter_map(|v6| stage.address(Transport::Udp, v6)).map(|a| a.to_string()).collect()
}

/// What came of the call, up to where it failed.
pub(super) fn verdict(out: &mut dyn Write, style: Style, verdict: &Verdict) -> io::Result<()> {
    writeln!(out)?;
    for (step, result) in steps(verdict) {
        let Some(result) = result else {
            let mark = style.paint(Tone::Bad, style.pick("✘", "--"));
            writeln!(out, " {mark} {step:<13}no")?;
            break;
        };
        let mark = style.paint(Tone::Good, style.pick("✔", "ok"));
        writeln!(out, " {mark} {step:<13}{result}")?;
    }
    out.flush()
}

/// The steps of the call in their order, and what came of those that went well.
fn steps(verdict: &Verdict) -> [(&'static str, Option<String>); 6] {
    let both = verdict.registered.len() == USERS.len();
    let phones: Vec<_> = verdict.registered.iter().map(registration).collect();
    let since_invite = |after| format!("{} after the INVITE", time(after));
    let ways = verdict.sound.as_ref().map(Sound::ways);
    let heard = ways.filter(|ways| ways.iter().all(OneWay::is_heard));
    let talked = heard.map(|[there, back]| {
        let (there, back) = (there.heard, back.heard);
        format!("{there} packets one way, {back} the other; 440 Hz heard by both")
    });
    [
        ("registered", both.then(|| phones.join(", "))),
        ("ringing", verdict.ringing.map(since_invite)),
        ("answered", verdict.answered.map(since_invite)),
        ("talked", talked),
        ("ended", verdict.ended_by.as_ref().map(|user| format!("by {user}"))),
        ("unregistered", verdict.unregistered.then(|| "both".into())),
    ]
}

fn registration(phone: &Registered) -> String {
    let Registered { user, transport, address, after } = phone;
    let transport = transport.via_name();
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    format!("{user} over {transport}/{family} in {}", time(*after))
}

fn time(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}

/// The verdict for programs; with a stage also what one needs to attach phones to it.
pub(super) fn json(
    out: &mut dyn Write,
    verdict: &Verdict,
    stage: Option<&Stage>,
) -> io::Result<()> {
    let mut value = verdict.to_json();
    if let Some(stage) = stage {
        let phones = (0..USERS.len()).filter_map(|nth| stage.profile(nth, Transport::Udp, false));
        let accounts = phones.map(|p| json!({ "user": p.user, "password": p.password }));
        value["serving"] = json!({
            "addresses": addresses(stage),
            "transports": ["udp", "tcp"],
            "domain": DOMAIN,
            "accounts": accounts.collect::<Vec<_>>(),
        });
    }
    writeln!(out, "{value:#}")?;
    out.flush()
}

/// How one's own phones get to this server, and to one on the network.
pub(super) fn attach(out: &mut dyn Write, style: Style, stage: &Stage) -> io::Result<()> {
    let profiles = [0, 1].map(|nth| stage.profile(nth, Transport::Udp, false));
    let [Some(first), Some(second)] = profiles else { return Ok(()) };
    let addresses = addresses(stage).join(" or ");
    let title = style.paint(Tone::Strong, "Now your own phones.");
    writeln!(out, "\n {title} The server goes on; attach two softphones on this machine:\n")?;
    for (name, one, other) in
        [("user", &first.user, &second.user), ("password", &first.password, &second.password)]
    {
        let (one, other) = (style.paint(Tone::Strong, &format!("{one:<16}")), other);
        writeln!(out, "     {name:<12}{one}{}", style.paint(Tone::Strong, other))?;
    }
    writeln!(out, "     {:<12}{addresses}", "server")?;
    let domain = format!("the same, or {DOMAIN} with the server as outbound proxy");
    writeln!(out, "     {:<12}{domain}", "domain")?;
    writeln!(out, "     {:<12}UDP or TCP, no encryption\n", "transport")?;
    let (one, other) = (&first.user, &second.user);
    writeln!(out, " Then call {other} from {one}'s phone, or {one} from {other}'s.\n")?;
    writeln!(out, " Only programs on this machine reach this server. One for the network:\n")?;
    let program = program();
    writeln!(out, "     {program} account add you@your.domain")?;
    writeln!(out, "     {program} serve\n")?;
    writeln!(out, " Ctrl-C ends the demo and forgets the accounts. What your phones do:\n")?;
    out.flush()
}

/// How we were called, if it can be typed again.
fn program() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let fits = !called.is_empty() && called.len() <= 40 && !called.contains(char::is_whitespace);
    if fits { called } else { "ringway".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::media::Talk;
    use std::time::Instant;

    const PLAIN: Style = Style { unicode: true, colour: false };

    fn shown(of: &Verdict) -> String {
        let mut out = Vec::new();
        verdict(&mut out, PLAIN, of).expect("memory");
        String::from_utf8(out).expect("text")
    }

    fn registered(user: &str, address: &str, transport: Transport) -> Registered {
        let (user, address) = (user.into(), address.parse().expect("an address"));
        Registered { user, transport, address, after: Duration::from_micros(1_234_560) }
    }

    #[test]
    fn a_good_verdict_has_six_marks() {
        let talk = Talk { started: Instant::now(), sent: 75, heard: 74, tones: 73 };
        let good = Verdict {
            registered: vec![
                registered("alice", "127.0.0.1:9", Transport::Udp),
                registered("bob", "[::1]:9", Transport::Tcp),
            ],
            ringing: Some(Duration::from_micros(4_440)),
            answered: Some(Duration::from_micros(404_440)),
            sound: Some(Sound {
                users: ["alice".into(), "bob".into()],
                talks: [talk.clone(), talk],
            }),
            ended_by: Some("bob".into()),
            unregistered: true,
            ..Verdict::default()
        };
        let shown = shown(&good);
        let expected = "
 ✔ registered   alice over UDP/IPv4 in 1234.6 ms, bob over TCP/IPv6 in 1234.6 ms
 ✔ ringing      4.4 ms after the INVITE
 ✔ answered     404.4 ms after the INVITE
 ✔ talked       74 packets one way, 74 the other; 440 Hz heard by both
 ✔ ended        by bob
 ✔ unregistered both
";
        assert_eq!(shown, expected, "{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    }

    #[test]
    fn it_ends_where_something_failed() {
        let registered = vec![
            registered("alice", "127.0.0.1:9", Transport::Udp),
            registered("bob", "127.0.0.1:7", Transport::Tcp),
        ];
        let silence = Talk { started: Instant::now(), sent: 75, heard: 75, tones: 7 };
        let bad = Verdict {
            registered,
            ringing: Some(Duration::from_micros(4_440)),
            answered: Some(Duration::from_micros(5_550)),
            sound: Some(Sound {
                users: ["alice".into(), "bob".into()],
                talks: [silence.clone(), silence],
            }),
            failure: Some("of 75 packets".into()),
            ..Verdict::default()
        };
        let shown = shown(&bad);
        assert_eq!(shown.matches(" ✔ ").count(), 3, "{shown}");
        assert!(shown.ends_with("\n ✘ talked       no\n"), "{shown}");
    }
}
