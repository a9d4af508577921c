//! Whether the far side of a WebSocket is still there. A browser that dies says nothing, and
//! whoever calls it shall not wait for the end of a timer.

use crate::limits;
use std::time::Duration;

/// All times are those since the connection began.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// When it was asked for a sign of life, unless it has given one.
    pinged: Option<Duration>,
    /// Somebody may wait until then for what it says to a request.
    awaited: Duration,
}

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Beat {
    Rest,
    Ping,
    /// Nobody is there.
    Stop,
}

impl Pulse {
    /// When to look again, if something arrived at `heard` last.
    pub(super) fn due(&self, heard: Duration) -> Duration {
        match self.pinged {
            Some(at) if heard < at => at + limits::WS_PONG,
            _ if heard + limits::WS_SILENT <= self.awaited => heard + limits::WS_SILENT,
            _ => heard + limits::WS_PING,
        }
    }

    /// Looks at what was heard since. Anything proves that it lives.
    pub(super) fn beat(&mut self, now: Duration, heard: Duration) -> Beat {
        if now < self.due(heard) {
            return Beat::Rest;
        }
        if self.pinged.is_some_and(|at| heard < at) {
            return Beat::Stop;
        }
        self.pinged = Some(now);
        Beat::Ping
    }

    /// A message goes to it. Tells whether a ping is to follow, for nobody knows whether it lives.
    pub(super) fn on_message(&mut self, now: Duration, heard: Duration, is_request: bool) -> bool {
        if is_request {
            self.awaited = now + limits::WS_AWAITED;
        }
        let asks = self.pinged.is_none_or(|at| heard >= at) && heard + limits::WS_SILENT <= now;
        if asks {
            self.pinged = Some(now);
        }
        asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When a browser that says nothing more after this time is given up, if somebody looks
    /// whenever it is due; and when it was pinged.
    fn given_up(pulse: &mut Pulse, heard: Duration) -> (Vec<Duration>, Duration) {
        let mut pings = Vec::new();
        loop {
            let now = pulse.due(heard);
            match pulse.beat(now, heard) {
                Beat::Ping => pings.push(now),
                Beat::Stop => return (pings, now),
                Beat::Rest => unreachable!("it was due"),
            }
        }
    }

    #[test]
    fn who_is_not_called_is_pinged_now_and_then() {
        let mut pulse = Pulse::default();
        for heard in [ms(0), ms(25_001), ms(50_002)] {
            assert_eq!(pulse.due(heard), heard + ms(25_000));
            assert_eq!(pulse.beat(heard + ms(24_999), heard), Beat::Rest);
            assert_eq!(pulse.beat(heard + ms(25_000), heard), Beat::Ping);
        }
        // A response to what it asked is no reason to ask whether it lives.
        assert!(!pulse.on_message(ms(75_004), ms(75_003), false));
        assert_eq!(given_up(&mut pulse, ms(75_003)), (vec![ms(100_003)], ms(105_003)));
    }

    // G4: whatever it said last, and whenever that was.
    #[test]
    fn g4_a_called_browser_that_freezes_is_found_out_within_eight_seconds() {
        for (called, heard) in [
            // Silent for long, for two seconds, for a moment before it is called.
            (30_000, 10_000),
            (30_000, 28_000),
            (30_000, 29_999),
            // It rang, answered, or answered pings, and fell silent while somebody may wait.
            (30_000, 30_100),
            (30_000, 45_000),
            (30_000, 88_000),
        ] {
            let (called, heard) = (ms(called), ms(heard));
            let mut pulse = Pulse::default();
            let pinged = pulse.on_message(called, heard.min(called), true);
            assert_eq!(pinged, heard + ms(2_000) <= called);
            let (_, at) = given_up(&mut pulse, heard);
            let took = at - called.max(heard);
            assert!(took <= ms(7_000), "called at {called:?}, heard at {heard:?}: {took:?}");
        }
    }

    #[test]
    fn nobody_waits_for_longer_than_a_phone_rings() {
        let mut pulse = Pulse::default();
        pulse.on_message(ms(30_000), ms(29_999), true);
        assert_eq!(pulse.due(ms(88_000)), ms(90_000));
        assert_eq!(pulse.due(ms(88_001)), ms(113_001));
    }

    #[test]
    fn one_ping_is_asked_at_a_time() {
        let mut pulse = Pulse::default();
        assert!(pulse.on_message(ms(5_000), ms(0), true));
        assert!(!pulse.on_message(ms(8_000), ms(0), true));
        assert_eq!(pulse.due(ms(0)), ms(10_000));
        // What was asked is answered, at whatever moment.
        assert_eq!(pulse.beat(ms(10_000), ms(5_000)), Beat::Ping);
    }
}
