//! What a flood leaves behind in memory. Alone in its process: others would be counted with it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod world;

use ringway_core::flow::Transport;
use std::sync::atomic::Ordering;
use world::*;

#[test]
fn garbage_is_counted_and_costs_no_memory() {
    let server = serve(&startup());
    let to = address(&server, Transport::Udp, V4);
    let socket = udp_to(to);
    let from = socket.local_addr().unwrap();
    let flood = |count: usize| {
        for n in 0..count {
            // Lost ones do not matter, nor does what the kernel says about them.
            let _ = socket.send(format!("{n} this is not SIP \u{0}\r\n\r\n").as_bytes());
            if n % 500 == 0 {
                ask(&socket, &request("OPTIONS", "UDP", from, n as u32 + 1));
            }
        }
    };
    flood(5_000);
    let before = resident_kib();
    flood(100_000);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 8_192, "grew by {grown} KiB");
    assert!(server.engine().metrics().not_sip.load(Ordering::Relaxed) > 50_000);
    server.shutdown(LONG);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
