//! The non-INVITE client transaction: RFC 3261 §17.1.2.
//!
//! ```text
//!   request sent     E: send again, doubled up to T2
//!        v         ─┐
//!   ┌────────┐  <───┘           1xx          E: send again every T2
//!   │ Trying │ ───────────────> ┌────────────┐ ─┐
//!   └────────┘                  │ Proceeding │ <┘
//!        │ 200-699: told        └────────────┘
//!        v                            │ 200-699: told
//!   ┌───────────┐ <───────────────────┘         F, or no transport, from both: report
//!   │ Completed │ ── K ──> Terminated
//!   └───────────┘
//! ```

use crate::time::{Duration, Instant};
use crate::transaction::{T1, T1_64, T2, T4};

/// Where the transaction is, with the timers that run there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing heard yet.
    Trying {
        /// Timer E, over unreliable transports.
        resend: Option<Instant>,
        /// What E is set to next.
        interval: Duration,
        /// Timer F.
        give_up: Instant,
    },
    /// A provisional response came.
    Proceeding {
        /// Timer E, over unreliable transports; now always T2.
        resend: Option<Instant>,
        /// Timer F.
        give_up: Instant,
    },
    /// A final response came.
    Completed {
        /// Timer K.
        linger: Instant,
    },
    /// Over.
    Terminated,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Send the request, or send it again.
    Send,
    /// Hand the response to the transaction user.
    PassUp,
    /// Tell the transaction user that nobody answered.
    ReportTimeout,
    /// Tell the transaction user that it could not be sent.
    ReportTransportError,
}

impl State {
    /// The request is sent.
    //= RFC 3261 17.1.2.2
    // "The request MUST be passed to the transport layer for transmission."
    // "transport is in use, the client transaction MUST set timer E to fire in T1 seconds."
    pub fn start(now: Instant, reliable: bool) -> (Self, Action) {
        let resend = (!reliable).then_some(now + T1);
        (Self::Trying { resend, interval: T1.times(2), give_up: now + T1_64 }, Action::Send)
    }

    /// A response came.
    //= RFC 3261 17.1.2.2
    // "while in the \"Trying\" state, the response MUST be passed to the TU, and then the"
    // "while in the \"Trying\" state, the response MUST be passed to the TU, and the client"
    // "while in the \"Proceeding\" state, the response MUST be passed to the TU, and the client"
    // "client transaction enters the \"Completed\" state, it MUST set Timer K to fire in T4"
    pub fn on_response(self, now: Instant, reliable: bool, status: u16) -> (Self, Action) {
        match (self, status) {
            (Self::Trying { resend, give_up, .. }, 100..=199) => {
                (Self::Proceeding { resend, give_up }, Action::PassUp)
            }
            (Self::Proceeding { .. }, 100..=199) => (self, Action::PassUp),
            (Self::Trying { .. } | Self::Proceeding { .. }, 200..) => {
                //= RFC 3261 17.1.2.2
                // "Timer K to fire in T4 seconds for unreliable transports, and zero seconds for"
                let done =
                    if reliable { Self::Terminated } else { Self::Completed { linger: now + T4 } };
                (done, Action::PassUp)
            }
            (
                Self::Trying { .. }
                | Self::Proceeding { .. }
                | Self::Completed { .. }
                | Self::Terminated,
                _,
            ) => (self, Action::Nothing),
        }
    }

    /// A timer's time has come.
    //= RFC 3261 17.1.2.2
    // "while in the \"Proceeding\" state, the request MUST be passed to the transport layer for"
    // "while in the \"Proceeding\" state, the TU MUST be informed of a timeout, and the client"
    // "while in this state, the client transaction MUST transition to the \"Terminated\" state."
    pub fn on_timeout(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Trying { give_up, .. } | Self::Proceeding { give_up, .. } if now >= give_up => {
                (Self::Terminated, Action::ReportTimeout)
            }
            //= RFC 3261 17.1.2.2
            // "the timer is reset, but this time with a value of MIN(2*T1, T2)"
            Self::Trying { resend: Some(at), interval, give_up } if now >= at => {
                let resend = Some(at + interval);
                let interval = interval.times(2).at_most(T2);
                (Self::Trying { resend, interval, give_up }, Action::Send)
            }
            //= RFC 3261 17.1.2.2
            // "Timer E MUST be reset with a value of T2 seconds"
            Self::Proceeding { resend: Some(at), give_up } if now >= at => {
                (Self::Proceeding { resend: Some(at + T2), give_up }, Action::Send)
            }
            Self::Completed { linger } if now >= linger => (Self::Terminated, Action::Nothing),
            early => (early, Action::Nothing),
        }
    }

    /// The transport could not send.
    pub fn on_transport_error(self) -> (Self, Action) {
        match self {
            Self::Trying { .. } | Self::Proceeding { .. } => {
                (Self::Terminated, Action::ReportTransportError)
            }
            Self::Completed { .. } | Self::Terminated => (self, Action::Nothing),
        }
    }

    /// When to come back with [`State::on_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match *self {
            Self::Trying { resend, give_up, .. } | Self::Proceeding { resend, give_up } => {
                Some(resend.map_or(give_up, |at| at.min(give_up)))
            }
            Self::Completed { linger } => Some(linger),
            Self::Terminated => None,
        }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    //= RFC 3261 17.1.2.2 type=test
    // "The request MUST be passed to the transport layer for transmission."
    // "transport is in use, the client transaction MUST set timer E to fire in T1 seconds."
    fn resends_at_intervals_capped_at_t2_until_timer_f() {
        let (mut tx, _) = State::start(at(0), false);
        for ms in [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500] {
            assert_eq!(tx.next_timeout(), Some(at(ms)));
            let (next, action) = tx.on_timeout(at(ms));
            assert_eq!(action, Action::Send, "at {ms}");
            tx = next;
        }
        assert_eq!(tx.on_timeout(at(32_000)), (State::Terminated, Action::ReportTimeout));
    }

    #[test]
    //= RFC 3261 17.1.2.2 type=test
    // "while in the \"Trying\" state, the response MUST be passed to the TU, and then the"
    // "while in the \"Proceeding\" state, the request MUST be passed to the transport layer for"
    // "while in the \"Proceeding\" state, the TU MUST be informed of a timeout, and the client"
    fn a_provisional_response_slows_it_down_but_timer_f_runs_on() {
        let (tx, _) = State::start(at(0), false);
        let (mut tx, action) = tx.on_response(at(100), false, 100);
        assert_eq!(action, Action::PassUp);
        for ms in [500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500] {
            assert_eq!(tx.next_timeout(), Some(at(ms)));
            let (next, action) = tx.on_timeout(at(ms));
            assert_eq!(action, Action::Send, "at {ms}");
            tx = next;
        }
        assert_eq!(tx.next_timeout(), Some(at(32_000)));
        assert_eq!(tx.on_timeout(at(32_000)), (State::Terminated, Action::ReportTimeout));
    }

    #[test]
    //= RFC 3261 17.1.2.2 type=test
    // "while in the \"Trying\" state, the response MUST be passed to the TU, and the client"
    // "while in the \"Proceeding\" state, the response MUST be passed to the TU, and the client"
    // "client transaction enters the \"Completed\" state, it MUST set Timer K to fire in T4"
    // "while in this state, the client transaction MUST transition to the \"Terminated\" state."
    fn completed_swallows_repetitions_for_timer_k() {
        let (tx, _) = State::start(at(0), false);
        let (tx, action) = tx.on_response(at(100), false, 200);
        assert_eq!(action, Action::PassUp);
        assert_eq!(tx.on_response(at(600), false, 200), (tx, Action::Nothing));
        assert_eq!(tx.next_timeout(), Some(at(5_100)));
        assert_eq!(tx.on_timeout(at(5_100)), (State::Terminated, Action::Nothing));
        let (tx, _) = State::start(at(0), true);
        assert_eq!(tx.next_timeout(), Some(at(32_000)));
        assert_eq!(tx.on_response(at(9), true, 404), (State::Terminated, Action::PassUp));
    }

    #[test]
    fn a_transport_error_is_reported_once() {
        let (tx, _) = State::start(at(0), false);
        let (tx, action) = tx.on_transport_error();
        assert_eq!((tx, action), (State::Terminated, Action::ReportTransportError));
        assert_eq!(tx.on_transport_error(), (tx, Action::Nothing));
    }
}
