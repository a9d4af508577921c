//! What fuzzing checks: for each target a function that takes any bytes, and panics where
//! something does not hold that must.
//!
//! ```text
//! bytes -> libfuzzer/fuzz_targets/*.rs ─┐
//! bytes -> regressions/*/* -> tests ────┴-> Target::run -> cost (memory, time) -> check
//! ```
//!
//! The fuzzer itself is in `libfuzzer/`, a workspace of its own; `fuzz/run` starts it. What it
//! finds is put into `regressions/` and stays there: `cargo test` runs it for ever.

pub mod cost;
pub mod seeds;
mod read;
mod datagram;
mod stream;
mod uri;
mod websocket;
mod node;

use cost::Allowance;

// The allowances are some ten times what the worst inputs cost that were ever found, with the
// fuzzer's own instructions in between: a cost that grows with the square of the input, or a
// table sized by a number in it, is far beyond.

/// One thing to be fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the binary and of the folders.
    pub name: &'static str,
    check: fn(&[u8]),
    allowance: Allowance,
}

impl Target {
    /// Runs one input.
    ///
    /// # Panics
    /// If something does not hold, or costs more than it may.
    pub fn run(&self, input: &[u8]) {
        cost::within(self.allowance, input.len(), || (self.check)(input));
    }
}

/// One datagram: parsed, judged, read, edited, answered.
pub const DATAGRAM: Target = Target {
    name: "datagram",
    check: datagram::check,
    allowance: Allowance { bytes: 64 << 10, bytes_each: 32, us: 2_000, ns_each: 1_000 },
};

/// A stream, cut into messages at any chunking.
pub const STREAM: Target = Target {
    name: "stream",
    check: stream::check,
    allowance: Allowance { bytes: 128 << 10, bytes_each: 32, us: 2_000, ns_each: 1_000 },
};

/// URIs and their comparison.
pub const URI: Target = Target {
    name: "uri",
    check: uri::check,
    allowance: Allowance { bytes: 32 << 10, bytes_each: 32, us: 2_000, ns_each: 1_000 },
};

/// The frames of a WebSocket.
pub const WEBSOCKET: Target = Target {
    name: "websocket",
    check: websocket::check,
    allowance: Allowance { bytes: 256 << 10, bytes_each: 64, us: 4_000, ns_each: 2_000 },
};

/// Two partitions that live through a script of messages, answers and time.
pub const NODE: Target = Target {
    name: "node",
    check: node::check,
    allowance: Allowance { bytes: 2 << 20, bytes_each: 2_048, us: 50_000, ns_each: 10_000 },
};

/// All of them.
pub const TARGETS: [Target; 5] = [DATAGRAM, STREAM, URI, WEBSOCKET, NODE];
