//! Descriptors: a connection takes one, and so does much else that must not stop when there are
//! many connections (G2).

use crate::limits;
use crate::tcp::StreamLimits;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// As many connections as are wanted and the system has room for, besides all else.
pub(crate) fn room_for(wanted: StreamLimits) -> StreamLimits {
    let allowed = allowed().and_then(|allowed| usize::try_from(allowed).ok());
    let Some(allowed) = allowed else { return wanted };
    let room = allowed - allowed / limits::DESCRIPTORS_KEPT;
    if room < wanted.connections {
        info!(event = "descriptors", allowed, connections = room);
    }
    StreamLimits { connections: wanted.connections.min(room), ..wanted }
}

/// How many the system allows, once all are asked for that may be had.
fn allowed() -> Option<u64> {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(both) => both,
        Err(reason) => {
            warn!(event = "descriptors", %reason, "nobody knows how many there are");
            return None;
        }
    };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Some(hard);
    }
    Some(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g2_connections_leave_descriptors_for_all_else() {
        let all = allowed().expect("a limit");
        assert_eq!(allowed(), Some(all), "more than all are not asked for");
        let few = StreamLimits { connections: 7, ..StreamLimits::default() };
        assert_eq!(room_for(few).connections, 7);
        let many = StreamLimits { connections: usize::MAX, ..few };
        let room = room_for(many).connections as u64;
        assert!(room < all && room >= all / 2, "{room} of {all}");
    }
}
