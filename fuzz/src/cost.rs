//! What an input may cost. A parser that is asked for a megabyte of memory, or a second of time,
//! by one datagram is broken like one that crashes (A17 of the threat list).

use cpu_time::ThreadTime;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What one input may cost: something to begin with, and something for each of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// Bytes of memory asked for in all, given back or not.
    pub bytes: usize,
    /// The same, for each byte of input.
    pub bytes_each: usize,
    /// Microseconds of processor time.
    pub us: u64,
    /// Nanoseconds for each byte of input.
    pub ns_each: u64,
}

/// The processor is not ours alone: only what is too slow each time is too slow.
const TRIES: usize = 3;

/// Runs something and looks at what it cost.
///
/// # Panics
/// If it panics, or costs more than is allowed for an input of this length.
pub fn within(allowance: Allowance, length: usize, run: impl Fn()) {
    // Memory is counted for the whole process, so one at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let most_bytes = allowance.bytes + length * allowance.bytes_each;
    let most_ns = allowance.us * 1_000 + length as u64 * allowance.ns_each;
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let region = Region::new(ALLOCATOR);
        let started = ThreadTime::now();
        run();
        best = best.min(started.elapsed());
        let bytes = region.change().bytes_allocated;
        assert!(bytes <= most_bytes, "{bytes} bytes of memory for {length} bytes of input");
        if best.as_nanos() <= u128::from(most_ns) {
            return;
        }
    }
    panic!("{best:?} for {length} bytes of input");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    // Other tests that end meanwhile need a little memory too.
    const LITTLE: Allowance =
        Allowance { bytes: 100_000, bytes_each: 10_000, us: 50_000, ns_each: 0 };

    #[test]
    fn what_is_within_its_allowance_passes() {
        within(LITTLE, 10, || drop(black_box(vec![0_u8; 150_000])));
    }

    #[test]
    #[should_panic(expected = "bytes of memory for 10 bytes of input")]
    fn too_much_memory_is_noticed() {
        within(LITTLE, 10, || drop(black_box(vec![0_u8; 200_001])));
    }

    #[test]
    #[should_panic(expected = "for 10 bytes of input")]
    fn too_much_time_is_noticed() {
        within(LITTLE, 10, || {
            let started = ThreadTime::now();
            while started.elapsed() < Duration::from_millis(60) {
                black_box(());
            }
        });
    }
}
