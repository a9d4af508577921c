//! The INVITE client transaction: RFC 3261 §17.1.1 with RFC 6026 §7.2.
//!
//! ```text
//!            INVITE sent
//!                 v      A: send again, interval doubled
//!            ┌─────────┐ ─┐
//!      ┌─────│ Calling │ <┘  B, or no transport: report ──────────────┐
//!      │ 2xx └─────────┘                                              │
//!      │          │ 1xx          3xx-6xx: ACK ┌───────────┐ D         v
//!      │     ┌────v───────┐ ─────────────────>│ Completed │ ───> Terminated
//!      │ 2xx │ Proceeding │                   └───────────┘           ^
//!      ├─────└────────────┘       again: ACK, told nobody             │
//!      v        cancelled, and nothing for 64·T1: report ─────────────┤
//! ┌──────────┐  2xx again: told                            M          │
//! │ Accepted │ ───────────────────────────────────────────────────────┘
//! └──────────┘
//! ```

use crate::time::{Duration, Instant};
use crate::transaction::{T1, T1_64, TIMER_D};

/// Where the transaction is, with the timers that run there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing heard yet.
    Calling {
        /// Timer A, over unreliable transports.
        resend: Option<Instant>,
        /// What A is set to next.
        interval: Duration,
        /// Timer B.
        give_up: Instant,
    },
    /// A provisional response came.
    Proceeding {
        /// Set by a CANCEL: how long to wait for what follows it (RFC 3261 §9.1).
        give_up: Option<Instant>,
    },
    /// A final response other than 2xx came.
    Completed {
        /// Timer D.
        linger: Instant,
    },
    /// A 2xx came.
    Accepted {
        /// Timer M.
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
    /// Send the INVITE, or send it again.
    Send,
    /// Hand the response to the transaction user.
    PassUp,
    /// Send an ACK, and hand the response to the transaction user.
    AckAndPassUp,
    /// Send an ACK; the transaction user knows already.
    Ack,
    /// Tell the transaction user that nobody answered.
    ReportTimeout,
    /// Tell the transaction user that it could not be sent.
    ReportTransportError,
}

impl State {
    /// The INVITE is sent.
    //= RFC 3261 17.1.1.2
    // "The initial state, \"calling\", MUST be entered when the TU initiates a new client"
    // "The client transaction MUST pass the request to the transport layer for transmission"
    // "transport is being used, the client transaction MUST start timer A with a value of T1."
    // "For any transport, the client transaction MUST start timer B with a value of 64*T1"
    pub fn start(now: Instant, reliable: bool) -> (Self, Action) {
        //= RFC 3261 17.1.1.2
        // "the client transaction MUST start timer A with a value of T1"
        let resend = (!reliable).then_some(now + T1);
        (Self::Calling { resend, interval: T1.times(2), give_up: now + T1_64 }, Action::Send)
    }

    /// A response came.
    //= RFC 3261 17.1.1.2
    // "Furthermore, the provisional response MUST be passed to the TU."
    // "Any further provisional responses MUST be passed up to the TU while in the"
    // "a response with status code from 300-699 MUST cause the client transaction to"
    // "The client transaction MUST pass the received response up to the TU, and the client"
    // "are received while in the \"Completed\" state MUST cause the ACK to be re-passed to the"
    // "\"Proceeding\" states, reception of a 2xx response MUST cause the client transaction to"
    pub fn on_response(self, now: Instant, reliable: bool, status: u16) -> (Self, Action) {
        match (self, status) {
            (Self::Calling { .. }, 100..=199) => {
                (Self::Proceeding { give_up: None }, Action::PassUp)
            }
            (Self::Proceeding { give_up }, 100..=199) => {
                (Self::Proceeding { give_up }, Action::PassUp)
            }
            //= RFC 6026 7.2
            // "the client transaction MUST transition to the \"Accepted\""
            (Self::Calling { .. } | Self::Proceeding { .. }, 200..=299) => {
                (Self::Accepted { linger: now + T1_64 }, Action::PassUp)
            }
            (Self::Calling { .. } | Self::Proceeding { .. }, 300..) => {
                //= RFC 3261 17.1.1.2
                // "a value of zero seconds for reliable transports"
                let done = if reliable {
                    Self::Terminated
                } else {
                    Self::Completed { linger: now + TIMER_D }
                };
                (done, Action::AckAndPassUp)
            }
            (Self::Completed { .. }, 300..) => (self, Action::Ack),
            (Self::Accepted { .. }, 200..=299) => (self, Action::PassUp),
            (
                Self::Calling { .. }
                | Self::Proceeding { .. }
                | Self::Completed { .. }
                | Self::Accepted { .. }
                | Self::Terminated,
                _,
            ) => (self, Action::Nothing),
        }
    }

    /// A CANCEL was sent for it.
    pub fn on_cancelled(self, now: Instant) -> Self {
        match self {
            //= RFC 3261 9.1
            // "the client SHOULD then consider the original transaction cancelled"
            Self::Proceeding { give_up: None } => Self::Proceeding { give_up: Some(now + T1_64) },
            other => other,
        }
    }

    /// A timer's time has come.
    //= RFC 3261 17.1.1.2
    // "When timer A fires, the client transaction MUST retransmit the request by passing it"
    // "A fires 2*T1 seconds later, the request MUST be retransmitted again (assuming the"
    // "This process MUST continue so that the request is retransmitted with intervals that"
    // "backoffs on retransmissions described in this section MUST be used."
    // "The client transaction MUST NOT generate an ACK."
    // "in the \"Completed\" state, the client transaction MUST move to the terminated state."
    pub fn on_timeout(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Calling { give_up, .. } if now >= give_up => {
                (Self::Terminated, Action::ReportTimeout)
            }
            Self::Calling { resend: Some(at), interval, give_up } if now >= at => {
                let resend = Some(at + interval);
                (Self::Calling { resend, interval: interval.times(2), give_up }, Action::Send)
            }
            Self::Proceeding { give_up: Some(at) } if now >= at => {
                (Self::Terminated, Action::ReportTimeout)
            }
            Self::Completed { linger } | Self::Accepted { linger } if now >= linger => {
                (Self::Terminated, Action::Nothing)
            }
            early => (early, Action::Nothing),
        }
    }

    /// The transport could not send.
    pub fn on_transport_error(self) -> (Self, Action) {
        match self {
            Self::Calling { .. } | Self::Proceeding { .. } => {
                (Self::Terminated, Action::ReportTransportError)
            }
            // An ACK could not be sent: the far side will ask for it again, or give up.
            Self::Completed { .. } | Self::Accepted { .. } | Self::Terminated => {
                (self, Action::Nothing)
            }
        }
    }

    /// When to come back with [`State::on_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match *self {
            Self::Calling { resend, give_up, .. } => {
                Some(resend.map_or(give_up, |at| at.min(give_up)))
            }
            Self::Proceeding { give_up } => give_up,
            Self::Completed { linger } | Self::Accepted { linger } => Some(linger),
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
    //= RFC 3261 17.1.1.2 type=test
    // "The initial state, \"calling\", MUST be entered when the TU initiates a new client"
    // "The client transaction MUST pass the request to the transport layer for transmission"
    // "transport is being used, the client transaction MUST start timer A with a value of T1."
    // "For any transport, the client transaction MUST start timer B with a value of 64*T1"
    // "When timer A fires, the client transaction MUST retransmit the request by passing it"
    // "A fires 2*T1 seconds later, the request MUST be retransmitted again (assuming the"
    // "This process MUST continue so that the request is retransmitted with intervals that"
    // "backoffs on retransmissions described in this section MUST be used."
    // "The client transaction MUST NOT generate an ACK."
    fn resends_at_doubling_intervals_until_timer_b() {
        let (mut tx, action) = State::start(at(0), false);
        assert_eq!(action, Action::Send);
        for ms in [500, 1_500, 3_500, 7_500, 15_500, 31_500] {
            assert_eq!(tx.next_timeout(), Some(at(ms)));
            let (next, action) = tx.on_timeout(at(ms));
            assert_eq!(action, Action::Send, "at {ms}");
            tx = next;
        }
        assert_eq!(tx.next_timeout(), Some(at(32_000)));
        assert_eq!(tx.on_timeout(at(32_000)), (State::Terminated, Action::ReportTimeout));
    }

    #[test]
    fn a_reliable_transport_repeats_nothing() {
        let (tx, _) = State::start(at(0), true);
        assert_eq!(tx.next_timeout(), Some(at(32_000)));
        let (tx, action) = tx.on_response(at(10), true, 486);
        assert_eq!((tx, action), (State::Terminated, Action::AckAndPassUp));
    }

    #[test]
    //= RFC 3261 17.1.1.2 type=test
    // "Furthermore, the provisional response MUST be passed to the TU."
    // "Any further provisional responses MUST be passed up to the TU while in the"
    fn a_provisional_response_stops_timers_a_and_b() {
        let (tx, _) = State::start(at(0), false);
        let (tx, action) = tx.on_response(at(100), false, 180);
        assert_eq!((action, tx.next_timeout()), (Action::PassUp, None));
        let (tx, action) = tx.on_response(at(200), false, 183);
        assert_eq!((action, tx.next_timeout()), (Action::PassUp, None));
        let tx = tx.on_cancelled(at(1_000));
        assert_eq!(tx.next_timeout(), Some(at(33_000)));
        let (tx, _) = tx.on_response(at(1_001), false, 180);
        assert_eq!(tx.next_timeout(), Some(at(33_000)), "a late 180 does not stop it");
        assert_eq!(tx.on_timeout(at(33_000)), (State::Terminated, Action::ReportTimeout));
    }

    #[test]
    //= RFC 3261 17.1.1.2 type=test
    // "a response with status code from 300-699 MUST cause the client transaction to"
    // "The client transaction MUST pass the received response up to the TU, and the client"
    // "are received while in the \"Completed\" state MUST cause the ACK to be re-passed to the"
    // "in the \"Completed\" state, the client transaction MUST move to the terminated state."
    fn completed_acknowledges_again_for_timer_d() {
        let (tx, _) = State::start(at(0), false);
        let (tx, action) = tx.on_response(at(100), false, 404);
        assert_eq!(action, Action::AckAndPassUp);
        assert_eq!(tx.on_response(at(600), false, 404), (tx, Action::Ack));
        assert_eq!(tx.on_response(at(700), false, 200), (tx, Action::Nothing));
        assert_eq!(tx.on_response(at(700), false, 180), (tx, Action::Nothing));
        assert_eq!(tx.next_timeout(), Some(at(32_100)));
        assert_eq!(tx.on_timeout(at(32_099)), (tx, Action::Nothing));
        assert_eq!(tx.on_timeout(at(32_100)), (State::Terminated, Action::Nothing));
    }

    #[test]
    //= RFC 6026 7.2 type=test
    //= RFC 3261 17.1.1.2 type=test
    // "\"Proceeding\" states, reception of a 2xx response MUST cause the client transaction to"
    fn accepted_passes_every_2xx_up_until_timer_m() {
        for reliable in [false, true] {
            let (tx, _) = State::start(at(0), reliable);
            let (tx, action) = tx.on_response(at(100), reliable, 200);
            assert_eq!(action, Action::PassUp);
            assert_eq!(tx.on_response(at(600), reliable, 200), (tx, Action::PassUp));
            assert_eq!(tx.on_response(at(600), reliable, 486), (tx, Action::Nothing));
            assert_eq!(tx.on_response(at(600), reliable, 180), (tx, Action::Nothing));
            assert_eq!(tx.on_transport_error(), (tx, Action::Nothing));
            assert_eq!(tx.next_timeout(), Some(at(32_100)));
            assert_eq!(tx.on_timeout(at(32_100)), (State::Terminated, Action::Nothing));
        }
    }

    #[test]
    fn a_transport_error_ends_what_is_unanswered() {
        let (tx, _) = State::start(at(0), false);
        assert_eq!(tx.on_transport_error(), (State::Terminated, Action::ReportTransportError));
        assert_eq!(State::Terminated.on_response(at(1), false, 200).1, Action::Nothing);
        assert_eq!(State::Terminated.next_timeout(), None);
    }
}
