//! The scenario reader tests itself: what is wrong must fail, and at the right line.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use ringway_sim::scenario::{Failure, play};

const CALL: &str = "\
register bob
0ms    alice -> proxy   INVITE sip:bob@example.org
0ms    proxy -> alice   100
0ms    proxy -> bob     INVITE {bob.contact}
    Via x2
    Max-Forwards: 69
    Contact ~ sip:alice@
    Contact !~ sip:bob@
    + Record-Route
    - Route
5ms    bob   -> proxy   486
5ms    proxy -> bob     ACK
5ms    proxy -> alice   486 INVITE
    | x
5ms    alice -> proxy   ACK
";

fn good() -> String {
    CALL.replace("    | x\n", "")
}

/// Plays the good scenario with one thing changed.
fn fails(from: &str, to: &str) -> Failure {
    let text = good();
    assert!(text.contains(from), "{from:?} is not in the scenario");
    play(&text.replacen(from, to, 1)).expect_err(&format!("{from:?} became {to:?}"))
}

#[test]
fn the_good_one_passes() {
    play(&good()).unwrap();
}

#[test]
fn every_kind_of_expectation_can_fail() {
    for (from, to, line) in [
        ("alice   100", "alice   180", 3),
        ("0ms    proxy -> alice   100", "1ms    proxy -> alice   100", 4),
        ("{bob.contact}", "sip:bob@192.0.2.99", 4),
        ("Via x2", "Via x1", 4),
        ("Forwards: 69", "Forwards: 70", 4),
        ("~ sip:alice@", "~ sip:carol@", 4),
        ("!~ sip:bob@", "!~ sip:alice@", 4),
        ("+ Record-Route", "+ Route", 4),
        ("- Route", "- Via", 4),
        ("486 INVITE", "486 BYE", 13),
        ("proxy -> bob     ACK", "proxy -> bob     ACK again", 12),
        ("proxy -> bob     ACK", "proxy -> bob     ACK over=tcp", 12),
    ] {
        let failure = fails(from, to);
        assert_eq!(failure.line, line, "{from:?} became {to:?}: {failure}");
    }
}

#[test]
fn a_body_is_compared() {
    let failure = play(CALL).expect_err("there is no body");
    assert_eq!(failure.line, 13, "{failure}");
}

#[test]
fn what_arrives_and_is_not_in_the_script_fails() {
    let failure = fails("5ms    proxy -> bob     ACK\n", "");
    assert!(failure.what.contains("arrived at bob; the script does not say so"), "{failure}");
    // Without its ACK the 486 is sent again.
    let failure = fails("5ms    alice -> proxy   ACK\n", "");
    assert!(failure.what.starts_with("at 505 ms this arrived at alice"), "{failure}");
}

#[test]
fn what_does_not_arrive_fails() {
    let failure =
        fails("5ms    alice -> proxy   ACK\n", "5ms    alice -> proxy   ACK\n9ms proxy -> bob BYE");
    assert_eq!((failure.line, &failure.what[..19]), (15, "this did not arrive"));
}

#[test]
fn a_retransmission_must_be_named() {
    let text = "register bob\n0ms alice -> proxy INVITE sip:bob@example.org\n\
                0ms proxy -> alice 100\n0ms proxy -> bob INVITE\n500ms proxy -> bob INVITE\n";
    let failure = play(text).expect_err("it is the same INVITE");
    assert!(failure.line == 5 && failure.what.contains("`again`"), "{failure}");
}

#[test]
fn a_call_without_an_end_fails() {
    let text = "network cut\n0ms alice -> proxy INVITE sip:bob@example.org\n";
    let failure = play(text).expect_err("nobody answers");
    assert!(failure.what.contains("alice never got a final response"), "{failure}");
}

#[test]
fn the_failure_shows_the_ladder_and_the_message() {
    let failure = fails("alice   100", "alice   180").to_string();
    for part in ["!!   3 0ms    proxy -> alice   180", "0ms  proxy -> alice  100 INVITE", "CSeq:"] {
        assert!(failure.contains(part), "{part:?} is missing in {failure}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    for (text, line) in [
        ("", 0),
        ("register bob\n", 1),
        ("    Via x1\n0ms a -> proxy BYE", 1),
        ("5ms a -> proxy ACK\n4ms a -> proxy ACK", 2),
        ("5ms a -> proxy ACK\nregister bob", 2),
        ("0ms a -> b INVITE", 1),
        ("a -> proxy INVITE", 1),
        ("0ms a ->", 1),
        ("0ms a -> proxy BYE sip:b@c\n    Via x2", 1),
        ("0ms a -> proxy BYE sip:b@c\n    what is this", 2),
        ("registre bob\n0ms restart", 1),
        ("set ring=5\n0ms restart", 1),
        ("phone bob\nphone bob\n0ms restart", 2),
        ("0ms a -> proxy BYE", 1),
        ("0ms a -> proxy ACK", 1),
        ("0ms a -> proxy 200", 1),
        ("0ms a -> proxy OPTIONS {b.contact}", 1),
        ("register bob password=x q=9 q=8\n0ms restart", 1),
        ("account bob@example.org password=y\nregister bob password=x\n0ms restart", 2),
    ] {
        let failure = play(text).expect_err(text);
        assert_eq!(failure.line, line, "{text:?}: {failure}");
    }
}
