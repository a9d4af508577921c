//! The one clock: the wall's when the process started, and from then on one that never runs
//! backwards.

use ringway_core::time::Instant;
use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};

/// Tells the time as the core wants it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    monotonic: Monotonic,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        // A clock before 1970 is as good as one in 1970.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::from_micros(wall.as_micros() as u64), monotonic: Monotonic::now() }
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        let passed = self.monotonic.elapsed().as_micros() as u64;
        Instant::from_micros(self.started.as_micros() + passed)
    }

    /// When the process started.
    pub const fn started(&self) -> Instant {
        self.started
    }
}
