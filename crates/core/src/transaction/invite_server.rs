//! The INVITE server transaction: RFC 3261 §17.2.1 with RFC 6026 §7.1.
//!
//! ```text
//!     INVITE
//!        v       INVITE again: last provisional again
//!  ┌────────────┐ ─┐         300-699: sent   ┌───────────┐ G: sent again, doubled up to T2
//!  │ Proceeding │ <┘ ──────────────────────> │ Completed │ ─┐  INVITE again: sent again
//!  └────────────┘                            └───────────┘ <┘
//!        │ 2xx: sent                            │ ACK  │ H: report
//!        v        INVITE again: swallowed       v      │
//!  ┌──────────┐   2xx from above: sent    ┌───────────┐│
//!  │ Accepted │   ACK: told               │ Confirmed ││ ACK again: swallowed
//!  └──────────┘                           └───────────┘│
//!        │ L                                    │ I    v
//!        └──────────────────────────────────────┴──> Terminated
//! ```

use crate::time::{Duration, Instant};
use crate::transaction::{T1, T1_64, T2, T4};

/// Where the transaction is, with the timers that run there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// No final response yet.
    Proceeding {
        /// If no response is sent until then, a 100 must be.
        trying: Option<Instant>,
    },
    /// A final response other than 2xx was sent.
    Completed {
        /// Timer G, over unreliable transports.
        resend: Option<Instant>,
        /// What G is set to next.
        interval: Duration,
        /// Timer H.
        give_up: Instant,
    },
    /// Its ACK came.
    Confirmed {
        /// Timer I.
        linger: Instant,
    },
    /// A 2xx was sent.
    Accepted {
        /// Timer L.
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
    /// Send the response that is handed down; it is not repeated by the transaction.
    Send,
    /// Send the last response kept, if there is one.
    Resend,
    /// Send a 100.
    SendTrying,
    /// Hand the ACK to the transaction user.
    PassUp,
    /// Tell the transaction user that no ACK came.
    ReportTimeout,
}

impl State {
    /// An INVITE came.
    //= RFC 3261 17.2.1
    // "The server transaction MUST generate a 100 (Trying) response unless it knows that the"
    // "The request MUST be passed to the TU."
    pub fn start(now: Instant) -> Self {
        //= RFC 3261 17.2.1
        // "unless it knows that the TU will generate a provisional or final response within 200 ms"
        Self::Proceeding { trying: Some(now + Duration::from_millis(200)) }
    }

    /// The INVITE came again.
    //= RFC 3261 17.2.1
    // "response that was received from the TU MUST be passed to the transport layer for"
    pub fn on_request(self) -> (Self, Action) {
        match self {
            Self::Proceeding { .. } | Self::Completed { .. } => (self, Action::Resend),
            //= RFC 6026 7.1
            // "any retransmissions of the INVITE received will match this transaction"
            Self::Accepted { .. } | Self::Confirmed { .. } | Self::Terminated => {
                (self, Action::Nothing)
            }
        }
    }

    /// The transaction user wants to send a response.
    //= RFC 3261 17.2.1
    // "in the \"Proceeding\" state, each of these MUST be passed to the transport layer for"
    // "to the server transaction, the server transaction MUST pass this response to the"
    // "The server transaction MUST then transition to the \"Terminated\" state."
    // "699 to the server transaction, the response MUST be passed to the transport layer for"
    // "the \"Completed\" state is entered, timer H MUST be set to fire in 64*T1 seconds for all"
    pub fn on_send(self, now: Instant, reliable: bool, status: u16) -> (Self, Action) {
        match (self, status) {
            (Self::Proceeding { .. }, 100..=199) => {
                (Self::Proceeding { trying: None }, Action::SendAndKeep)
            }
            (Self::Proceeding { .. }, 200..=299) => {
                //= RFC 6026 7.1
                // "set Timer L to 64*T1"
                (Self::Accepted { linger: now + T1_64 }, Action::Send)
            }
            (Self::Proceeding { .. }, _) => {
                let resend = (!reliable).then_some(now + T1);
                let state = Self::Completed { resend, interval: T1.times(2), give_up: now + T1_64 };
                (state, Action::SendAndKeep)
            }
            //= RFC 6026 7.1
            // "A server transaction MUST NOT discard transaction state based only on"
            (Self::Accepted { .. }, 200..=299) => (self, Action::Send),
            (
                Self::Completed { .. }
                | Self::Confirmed { .. }
                | Self::Accepted { .. }
                | Self::Terminated,
                _,
            ) => (self, Action::Nothing),
        }
    }

    /// An ACK came.
    //= RFC 3261 17.2.1
    // "in the \"Completed\" state, the server transaction MUST transition to the \"Confirmed\""
    pub fn on_ack(self, now: Instant, reliable: bool) -> (Self, Action) {
        match self {
            Self::Completed { .. } => {
                //= RFC 3261 17.2.1
                // "set to fire in T4 seconds for unreliable transports, and zero seconds for"
                let state =
                    if reliable { Self::Terminated } else { Self::Confirmed { linger: now + T4 } };
                (state, Action::Nothing)
            }
            Self::Accepted { .. } => (self, Action::PassUp),
            Self::Proceeding { .. } | Self::Confirmed { .. } | Self::Terminated => {
                (self, Action::Nothing)
            }
        }
    }

    /// A timer's time has come.
    //= RFC 3261 17.2.1
    // "In this case, the server transaction MUST transition to the \"Terminated\" state, and"
    // "Once timer I fires, the server MUST transition to the \"Terminated\" state."
    pub fn on_timeout(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Proceeding { trying: Some(at) } if now >= at => {
                (Self::Proceeding { trying: None }, Action::SendTrying)
            }
            Self::Completed { give_up, .. } if now >= give_up => {
                (Self::Terminated, Action::ReportTimeout)
            }
            Self::Completed { resend: Some(at), interval, give_up } if now >= at => {
                let resend = Some(at + interval);
                let interval = interval.times(2).at_most(T2);
                (Self::Completed { resend, interval, give_up }, Action::Resend)
            }
            Self::Confirmed { linger } | Self::Accepted { linger } if now >= linger => {
                (Self::Terminated, Action::Nothing)
            }
            early => (early, Action::Nothing),
        }
    }

    /// When to come back with [`State::on_timeout`].
    pub fn next_timeout(&self) -> Option<Instant> {
        match *self {
            Self::Proceeding { trying } => trying,
            Self::Completed { resend, give_up, .. } => {
                Some(resend.map_or(give_up, |at| at.min(give_up)))
            }
            Self::Confirmed { linger } | Self::Accepted { linger } => Some(linger),
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
    //= RFC 3261 17.2.1 type=test
    // "699 to the server transaction, the response MUST be passed to the transport layer for"
    // "the \"Completed\" state is entered, timer H MUST be set to fire in 64*T1 seconds for all"
    // "In this case, the server transaction MUST transition to the \"Terminated\" state, and"
    fn repeats_a_final_response_until_timer_h() {
        let (mut tx, action) = State::start(at(0)).on_send(at(100), false, 486);
        assert_eq!(action, Action::SendAndKeep);
        for ms in [600, 1_600, 3_600, 7_600, 11_600, 15_600, 19_600, 23_600, 27_600, 31_600] {
            assert_eq!(tx.next_timeout(), Some(at(ms)));
            let (next, action) = tx.on_timeout(at(ms));
            assert_eq!(action, Action::Resend, "at {ms}");
            tx = next;
        }
        assert_eq!(tx.on_request(), (tx, Action::Resend));
        assert_eq!(tx.on_timeout(at(32_100)), (State::Terminated, Action::ReportTimeout));
    }

    #[test]
    //= RFC 3261 17.2.1 type=test
    // "in the \"Completed\" state, the server transaction MUST transition to the \"Confirmed\""
    // "Once timer I fires, the server MUST transition to the \"Terminated\" state."
    fn an_ack_confirms_for_timer_i() {
        let (tx, _) = State::start(at(0)).on_send(at(0), false, 404);
        let (tx, action) = tx.on_ack(at(300), false);
        assert_eq!(action, Action::Nothing);
        assert_eq!(tx.next_timeout(), Some(at(5_300)));
        assert_eq!(tx.on_ack(at(400), false), (tx, Action::Nothing));
        assert_eq!(tx.on_request(), (tx, Action::Nothing));
        assert_eq!(tx.on_timeout(at(5_300)), (State::Terminated, Action::Nothing));
        let (tx, _) = State::start(at(0)).on_send(at(0), true, 404);
        assert_eq!(tx.next_timeout(), Some(at(32_000)), "no timer G");
        assert_eq!(tx.on_ack(at(1), true), (State::Terminated, Action::Nothing));
    }

    #[test]
    //= RFC 3261 17.2.1 type=test
    // "The server transaction MUST generate a 100 (Trying) response unless it knows that the"
    // "in the \"Proceeding\" state, each of these MUST be passed to the transport layer for"
    // "response that was received from the TU MUST be passed to the transport layer for"
    fn a_100_is_due_after_200_ms_unless_something_was_sent() {
        let tx = State::start(at(0));
        assert_eq!(tx.next_timeout(), Some(at(200)));
        let (tx, action) = tx.on_timeout(at(200));
        assert_eq!((action, tx.next_timeout()), (Action::SendTrying, None));
        let (tx, action) = State::start(at(0)).on_send(at(199), false, 180);
        assert_eq!((action, tx.next_timeout()), (Action::SendAndKeep, None));
        assert_eq!(tx.on_request(), (tx, Action::Resend));
    }

    #[test]
    //= RFC 6026 7.1 type=test
    //= RFC 3261 17.2.1 type=test
    // "to the server transaction, the server transaction MUST pass this response to the"
    // "The server transaction MUST then transition to the \"Terminated\" state."
    fn accepted_lets_2xx_and_ack_pass_until_timer_l() {
        for reliable in [false, true] {
            let (tx, action) = State::start(at(0)).on_send(at(100), reliable, 200);
            assert_eq!(action, Action::Send);
            assert_eq!(tx.on_request(), (tx, Action::Nothing));
            assert_eq!(tx.on_send(at(600), reliable, 200), (tx, Action::Send));
            assert_eq!(tx.on_send(at(600), reliable, 486), (tx, Action::Nothing));
            assert_eq!(tx.on_ack(at(700), reliable), (tx, Action::PassUp));
            assert_eq!(tx.next_timeout(), Some(at(32_100)));
            assert_eq!(tx.on_timeout(at(32_100)), (State::Terminated, Action::Nothing));
        }
    }

    #[test]
    fn what_comes_after_a_final_response_is_not_sent() {
        let (tx, _) = State::start(at(0)).on_send(at(0), false, 404);
        assert_eq!(tx.on_send(at(1), false, 180), (tx, Action::Nothing));
        assert_eq!(tx.on_send(at(1), false, 200), (tx, Action::Nothing));
        assert_eq!(State::Terminated.on_request(), (State::Terminated, Action::Nothing));
    }
}
