//! The non-INVITE server transaction: RFC 3261 §17.2.2 with RFC 4320.
//!
//! ```text
//!    request
//!       v    again: swallowed            again: the 100 again
//!  ┌────────┐ ── 100: sent ──> ┌────────────┐
//!  │ Trying │                  │ Proceeding │
//!  └────────┘                  └────────────┘
//!       │ 200-699: sent              │ 200-699: sent
//!       v                            │
//!  ┌───────────┐ <───────────────────┘   again: the response again
//!  │ Completed │ ── J ──> Terminated
//!  └───────────┘
//! ```

use crate::time::{Duration, Instant};
use crate::transaction::{T1, T1_64, T2};

/// Where the transaction is, with the timers that run there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing sent yet.
    Trying {
        /// When a 100 must go out (RFC 4320 §4.1).
        trying: Instant,
        /// When nobody can want an answer any more.
        give_up: Instant,
    },
    /// A 100 was sent.
    Proceeding {
        /// When nobody can want an answer any more.
        give_up: Instant,
    },
    /// A final response was sent.
    Completed {
        /// Timer J.
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
    /// Send the response that is handed down, and keep it for repetition.
    SendAndKeep,
    /// Send the last response kept.
    Resend,
    /// Send a 100.
    SendTrying,
    /// Tell the transaction user that it is too late for any answer.
    ReportTooLate,
}

/// When timer E of the client reaches T2, counted from the first request: 0.5 + 1 + 2 s later.
const UNTIL_E_IS_T2: Duration = T1.times(7);

impl State {
    /// A request came.
    pub fn start(now: Instant) -> Self {
        //= RFC 4320 4.1
        // "MUST NOT send any provisional response with a Status-Code other than 100 to a non-INVITE request"
        // The 100 is due "after the amount of time it takes a client transaction's Timer E to
        // be reset to T2" on every transport.
        Self::Trying { trying: now + UNTIL_E_IS_T2, give_up: now + T1_64 }
    }

    /// The request came again.
    //= RFC 3261 17.2.2
    // "state, the most recently sent provisional response MUST be passed to the transport"
    // "in the \"Completed\" state, the server transaction MUST pass the final response to the"
    pub fn on_request(self) -> (Self, Action) {
        match self {
            Self::Trying { .. } | Self::Terminated => (self, Action::Nothing),
            Self::Proceeding { .. } | Self::Completed { .. } => (self, Action::Resend),
        }
    }

    /// The transaction user wants to send a final response.
    //= RFC 3261 17.2.2
    // "the TU while in the \"Proceeding\" state MUST be passed to the transport layer for"
    // "while in the \"Proceeding\" state, the transaction MUST enter the \"Completed\" state, and"
    // "server transaction enters the \"Completed\" state, it MUST set Timer J to fire in 64*T1"
    // "by the TU to the server transaction MUST be discarded while in the \"Completed\" state."
    pub fn on_send(self, now: Instant, reliable: bool, status: u16) -> (Self, Action) {
        match (self, status) {
            // RFC 4320 §4.1: the only provisional response is a 100, and it has its time.
            (_, 0..=199) => (self, Action::Nothing),
            (Self::Trying { .. } | Self::Proceeding { .. }, _) => {
                //= RFC 3261 17.2.2
                // "it MUST set Timer J to fire in 64*T1 seconds for unreliable transports"
                let state = if reliable {
                    Self::Terminated
                } else {
                    Self::Completed { linger: now + T1_64 }
                };
                (state, Action::SendAndKeep)
            }
            (Self::Completed { .. } | Self::Terminated, _) => (self, Action::Nothing),
        }
    }

    /// A timer's time has come.
    //= RFC 3261 17.2.2
    // "to the server transaction, the server transaction MUST enter the \"Proceeding\" state."
    // "The response MUST be passed to the transport layer for transmission."
    // "Timer J fires, at which point it MUST transition to the \"Terminated\" state."
    pub fn on_timeout(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Trying { give_up, .. } | Self::Proceeding { give_up } if now >= give_up => {
                (Self::Terminated, Action::ReportTooLate)
            }
            Self::Trying { trying, give_up } if now >= trying => {
                (Self::Proceeding { give_up }, Action::SendTrying)
            }
            Self::Completed { linger } if now >= linger => (Self::Terminated, Action::Nothing),
            early => (early, Action::Nothing),
        }
    }

    /// When to come back with [`State::on_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match *self {
            Self::Trying { trying, give_up } => Some(trying.min(give_up)),
            Self::Proceeding { give_up } => Some(give_up),
            Self::Completed { linger } => Some(linger),
            Self::Terminated => None,
        }
    }

    /// Whether it is over.
    pub const fn is_over(&self) -> bool {
        matches!(self, Self::Terminated)
    }
}

const _: () = assert!(UNTIL_E_IS_T2.as_micros() < T2.as_micros(), "E is reset to T2 before T2");

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    //= RFC 4320 4.1 type=test
    //= RFC 3261 17.2.2 type=test
    // "to the server transaction, the server transaction MUST enter the \"Proceeding\" state."
    // "The response MUST be passed to the transport layer for transmission."
    // "the TU while in the \"Proceeding\" state MUST be passed to the transport layer for"
    // "state, the most recently sent provisional response MUST be passed to the transport"
    fn no_provisional_response_but_a_late_100() {
        let tx = State::start(at(0));
        assert_eq!(tx.on_send(at(0), false, 180), (tx, Action::Nothing));
        assert_eq!(tx.on_send(at(0), false, 100), (tx, Action::Nothing));
        assert_eq!(tx.on_request(), (tx, Action::Nothing));
        assert_eq!(tx.next_timeout(), Some(at(3_500)));
        let (tx, action) = tx.on_timeout(at(3_500));
        assert_eq!(action, Action::SendTrying);
        assert_eq!(tx.on_request(), (tx, Action::Resend));
        assert_eq!(tx.next_timeout(), Some(at(32_000)));
        assert_eq!(tx.on_timeout(at(32_000)), (State::Terminated, Action::ReportTooLate));
    }

    #[test]
    //= RFC 3261 17.2.2 type=test
    // "while in the \"Proceeding\" state, the transaction MUST enter the \"Completed\" state, and"
    // "server transaction enters the \"Completed\" state, it MUST set Timer J to fire in 64*T1"
    // "in the \"Completed\" state, the server transaction MUST pass the final response to the"
    // "by the TU to the server transaction MUST be discarded while in the \"Completed\" state."
    // "Timer J fires, at which point it MUST transition to the \"Terminated\" state."
    fn a_final_response_is_repeated_on_request_until_timer_j() {
        let (tx, action) = State::start(at(0)).on_send(at(50), false, 200);
        assert_eq!(action, Action::SendAndKeep);
        assert_eq!(tx.on_request(), (tx, Action::Resend));
        assert_eq!(tx.on_send(at(60), false, 500), (tx, Action::Nothing));
        assert_eq!(tx.next_timeout(), Some(at(32_050)));
        assert_eq!(tx.on_timeout(at(32_050)), (State::Terminated, Action::Nothing));
        let (tx, action) = State::start(at(0)).on_send(at(50), true, 200);
        assert_eq!((tx, action), (State::Terminated, Action::SendAndKeep));
    }
}
