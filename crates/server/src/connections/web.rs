//! What is known of a WebSocket besides what any connection has.

mod pulse;

use pulse::{Beat, Pulse};
use ringway_wire::web_socket;
use std::time::Duration;
use tokio::time::Instant;

/// See above.
#[derive(Debug)]
pub(crate) struct Web {
    begun: Instant,
    /// When something arrived last, since it began.
    heard: Duration,
    /// The last message came in a binary frame.
    binary: bool,
    pulse: Pulse,
}

impl Default for Web {
    fn default() -> Self {
        let pulse = Pulse::default();
        Self { begun: Instant::now(), heard: Duration::ZERO, binary: false, pulse }
    }
}

impl Web {
    /// Something arrived.
    pub(crate) fn hear(&mut self, at: Instant) {
        self.heard = at - self.begun;
    }

    /// A message came in such a frame.
    pub(crate) fn speak(&mut self, binary: bool) {
        self.binary = binary;
    }

    /// A message in its frame, and a ping behind it if nobody knows whether anybody is there.
    pub(super) fn frame(&mut self, bytes: &[u8], is_request: bool) -> Vec<u8> {
        let mut framed = web_socket::message(bytes, self.binary);
        if self.pulse.on_message(self.begun.elapsed(), self.heard, is_request) {
            framed.extend(web_socket::ping());
        }
        framed
    }

    /// When to look whether anybody is there.
    pub(super) fn due(&self) -> Instant {
        self.begun + self.pulse.due(self.heard)
    }

    /// Looks whether anybody is there: a ping to be written, if it is time for one.
    ///
    /// # Errors
    /// Nobody is there.
    pub(crate) fn beat(&mut self) -> Result<Option<Vec<u8>>, Silent> {
        match self.pulse.beat(self.begun.elapsed(), self.heard) {
            Beat::Rest => Ok(None),
            Beat::Ping => Ok(Some(web_socket::ping())),
            Beat::Stop => Err(Silent),
        }
    }
}

/// Nobody has answered a ping.
#[derive(Debug)]
pub(crate) struct Silent;
