//! Every limit of the stores, each with its reason.

use std::time::Duration;

/// Changes that may wait for the store: at ten thousand a second this is six seconds, longer
/// than a question may take; beyond it, saying no at once is kinder.
pub const QUEUED_WRITES: usize = 65_536;
/// Changes committed together: spread over a million bindings they take ten milliseconds. Twice
/// as many would take twice as long and be no faster in all.
pub const WRITES_PER_COMMIT: usize = 512;
/// How often a part of the bindings is swept while the store is used.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Bindings looked at in one sweep: some milliseconds, so that no commit waits long for it.
pub const SWEEP_ROWS: usize = 5_000;
/// How long an ended binding is kept. A clock that was wrong when the machine started must
/// not destroy what was acknowledged: until then, setting it right brings everything back.
pub const SWEEP_GRACE_S: u64 = 24 * 3_600;
/// How long a commit waits for an administrator who is writing to the file by hand.
pub const BUSY_WAIT: Duration = Duration::from_secs(2);
/// Pages of the log after which they are moved into the main file, by the commit that finds so
/// many: 4 MB. With 32 MB a commit now and then took 100 ms instead of 20, and none was faster.
pub const LOG_PAGES: u32 = 1_000;
/// What the log may keep of its size once a reader who held it up has gone: 16 MB.
pub const LOG_KEPT_BYTES: u32 = 16 << 20;
/// Memory for pages in KiB; the inner pages of a million bindings fit many times.
pub const PAGE_CACHE_KIB: i64 = 65_536;
