//! D7 and K4 of the threat list: a process reads the wall's clock once, when it starts; here it was
//! set in between. While it lives nothing but its own counting moves its time.

mod world;

use ringway_core::address_of_record::AddressOfRecord;
use ringway_core::boundary::{Command, Input};
use ringway_core::time::Instant;
use world::{World, world, world_with};

/// The same installation, started when the clock is off by so much, with what the store has.
fn restarted(before: &World, bob: &AddressOfRecord, set_by_s: i64) -> World {
    let now = Instant::from_secs(before.now.as_secs().saturating_add_signed(set_by_s));
    let mut after = world_with(before.setup.listeners.to_vec(), now);
    for binding in before.node.locate(bob, before.now) {
        after.handle(Input::Commanded(Command::Restore(bob.clone(), binding.into())));
    }
    after
}

#[test]
fn d7_a_clock_that_was_set_makes_no_binding_live_longer_than_it_may() {
    let mut before = world();
    before.register("192.0.2.21:5060", "bob", "<sip:bob@192.0.2.21>;expires=3600");
    let bob = AddressOfRecord::from_text("bob@example.org").expect("a user of ours");
    // An hour, a day, ten years, and all the way to 1970.
    for (set_by_s, lives_s) in
        [(0, 3_600), (3_000, 600), (-3_600, 3_600), (-86_400, 3_600), (-2_000_000_000, 3_600)]
    {
        let mut after = restarted(&before, &bob, set_by_s);
        let found = after.node.locate(&bob, after.now);
        let left: Vec<u64> = found.iter().map(|b| b.expires.since(after.now).as_secs()).collect();
        assert!(left.len() == 1 && left[0] <= lives_s, "{left:?} after {set_by_s} s");
        after.pass(3_601_000);
        assert_eq!(after.node.locate(&bob, after.now), [], "{set_by_s}");
    }
    // Forwards, what has ended by the clock is not there, and nothing else happens.
    let mut after = restarted(&before, &bob, 86_400);
    assert_eq!(after.node.locate(&bob, after.now), []);
    assert_eq!(after.pass(60_000), []);
}
