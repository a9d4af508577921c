mod flows;

use super::*;
use crate::flow::{CertifiedName, ConnectionId, SocketId, Transport};
use alloc::format;
use alloc::string::{String, ToString};
use ringway_wire::{Framing, Index, parse};

fn at(s: u64) -> Instant {
    Instant::from_secs(1_000_000 + s)
}

fn watson() -> AddressOfRecord {
    AddressOfRecord::from_text("watson@example.com").expect("valid")
}

/// A registrar with nothing but the bindings of one user.
struct Desk {
    settings: Settings,
    bindings: Vec<Binding>,
    now: u64,
    transaction: u64,
}

/// A REGISTER, as much of it as matters here.
#[derive(Clone, Copy)]
struct Try<'a> {
    call_id: &'a str,
    cseq: u32,
    headers: &'a [&'a str],
}

fn desk() -> Desk {
    let settings = Settings { expires_spread_percent: 0, ..Settings::default() };
    Desk { settings, bindings: Vec::new(), now: 0, transaction: 0 }
}

impl Desk {
    /// What a request would do.
    fn ask(&self, Try { call_id, cseq, headers }: Try<'_>) -> Result<Registration, Reject> {
        let headers: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
             From: <sip:watson@example.com>;tag=1\r\nTo: <sip:watson@example.com>\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} REGISTER\r\nMax-Forwards: 70\r\n{headers}\
             Content-Length: 0\r\n\r\n"
        );
        let mut index = Index::new();
        let request = parse(text.as_bytes(), &mut index, Framing::Datagram).expect("SIP");
        let flow = Flow {
            socket: SocketId(0),
            transport: Transport::Udp,
            connection: ConnectionId::NONE,
            remote: "192.0.2.1:5060".parse().expect("an address"),
            certified: CertifiedName::NONE,
        };
        let arrival = Arrival { now: at(self.now), flow, transaction: self.transaction };
        register(&self.settings, &watson(), &self.bindings, &request, arrival)
    }

    /// The same, committed; the Contact lines of the 200, or the name of the refusal.
    fn register(&mut self, request: Try<'_>) -> Vec<String> {
        match self.ask(request) {
            Err(reject) => alloc::vec![reject.to_string()],
            Ok(registration) => {
                let mut committed = self.bindings.clone();
                committed.retain(|binding| binding.expires > at(self.now));
                apply(&mut committed, &registration.writes);
                sort(&mut committed);
                assert_eq!(committed, registration.bindings, "writes and result agree");
                self.bindings = committed;
                self.transaction += 1;
                self.lines()
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |binding| {
            let mut out = Vec::new();
            write_contact(binding, at(self.now), &mut out);
            String::from_utf8(out).expect("text")
        };
        self.bindings.iter().map(line).collect()
    }
}

fn apply(bindings: &mut Vec<Binding>, writes: &[Write]) {
    for write in writes {
        match write {
            Write::PutBinding(_, binding) => {
                bindings.retain(|old| old.key() != binding.key());
                bindings.push(binding.clone());
            }
            Write::DropBinding(_, key) => {
                let before = bindings.len();
                bindings.retain(|old| *old.key() != **key);
                assert_eq!(bindings.len() + 1, before, "what is dropped was there");
            }
            other => panic!("{other:?} is nothing a registrar writes"),
        }
    }
}

fn with<'a>(cseq: u32, headers: &'a [&'a str]) -> Try<'a> {
    Try { call_id: "1@phone", cseq, headers }
}

const NONE: [&str; 0] = [];

#[test]
//= RFC 3261 10.3 type=test
fn binding_times() {
    // The defaults are an hour if nothing is asked, at least one minute, at most an hour.
    for (headers, granted) in [
        (&["Contact: <sip:w@a>"][..], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>", "Expires: 600"], "<sip:w@a>;expires=600"),
        (&["Contact: <sip:w@a>;expires=300", "Expires: 600"], "<sip:w@a>;expires=300"),
        (&["Contact: sip:w@a;EXPIRES=300"], "<sip:w@a>;expires=300"),
        (&["Contact: <sip:w@a>;expires=60"], "<sip:w@a>;expires=60"),
        (&["Contact: <sip:w@a>;expires=59"], "interval_too_brief"),
        (&["Contact: <sip:w@a>;expires=1"], "interval_too_brief"),
        (&["Contact: <sip:w@a>", "Expires: 59"], "interval_too_brief"),
        (&["Contact: <sip:w@a>;expires=100", "Expires: 5"], "<sip:w@a>;expires=100"),
        (&["Contact: <sip:w@a>;expires=3600"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>;expires=3601"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>;expires=4294967295"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>;expires=99999999999999999999"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>;expires=soon"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>;expires"], "<sip:w@a>;expires=3600"),
        (&["Contact: <sip:w@a>", "Expires: -1"], "<sip:w@a>;expires=3600"),
    ] {
        assert_eq!(desk().register(with(1, headers)), [granted], "{headers:?}");
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn only_times_below_an_hour_are_too_brief() {
    let mut desk = desk();
    (desk.settings.expires_min_s, desk.settings.expires_max_s) = (5_000, 7_200);
    for (asked, answer) in [
        ("3599", "interval_too_brief"),
        ("3600", "<sip:w@a>;expires=3600"),
        ("4999", "<sip:w@a>;expires=4999"),
    ] {
        let contact = format!("Contact: <sip:w@a>;expires={asked}");
        let answers = desk.register(Try { call_id: asked, cseq: 1, headers: &[&contact] });
        assert_eq!(answers, [answer], "never lengthened");
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn one_contact_too_brief_spoils_all() {
    let mut desk = desk();
    let two = ["Contact: <sip:w@a>;expires=600, <sip:w@b>;expires=10"];
    assert_eq!(desk.register(with(1, &two)), ["interval_too_brief"]);
    assert_eq!(desk.lines(), NONE);
}

#[test]
//= RFC 3261 10.2.1.2 type=test
fn several_contacts_in_order_of_preference() {
    let mut desk = desk();
    let headers = [
        "Contact: <sip:w@a>;q=0.5;expires=100, \"W, at home\" <sip:w@b;transport=tcp>",
        "m: sip:w@c;q=0.75, <tel:+15550100>;q=0, <mailto:w@d>;q=0.125",
        "Expires: 200",
    ];
    let all = [
        "<sip:w@b;transport=tcp>;expires=200",
        "<sip:w@c>;expires=200;q=0.75",
        "<sip:w@a>;expires=100;q=0.5",
        "<mailto:w@d>;expires=200;q=0.125",
        "<tel:+15550100>;expires=200;q=0.0",
    ];
    assert_eq!(desk.register(with(1, &headers)), all);
    //= RFC 3261 10.2.3 type=test
    assert_eq!(desk.register(with(2, &[])), all, "a fetch shows all and changes none");
    desk.now = 100;
    let left = desk.register(with(3, &["Expires: 5"]));
    assert_eq!(left.len(), 4, "one is over");
    assert_eq!(left[0], "<sip:w@b;transport=tcp>;expires=100", "and the others go down");
}

#[test]
//= RFC 3261 25.1 type=test
fn preferences_are_in_thousandths() {
    for (text, value) in [
        ("1", Some(1_000)),
        ("1.000", Some(1_000)),
        ("1.", Some(1_000)),
        ("0", Some(0)),
        ("0.", Some(0)),
        ("0.7", Some(700)),
        ("0.07", Some(70)),
        ("0.007", Some(7)),
        ("0.999", Some(999)),
        ("1.001", None),
        ("0.0001", None),
        ("2", None),
        (".5", None),
        ("0.x", None),
        ("9e999", None),
        ("-1", None),
        ("", None),
    ] {
        assert_eq!(thousandths(text.as_bytes()), value, "{text}");
    }
    let bad = desk().register(with(1, &["Contact: <sip:w@a>;q=9e999"]));
    assert_eq!(bad, ["malformed: Contact"]);
}

#[test]
//= RFC 3261 10.2.2 type=test
fn removing_one_contact() {
    let mut desk = desk();
    desk.register(with(1, &["Contact: <sip:w@a>, <sip:w@b>, <sip:w@c>"]));
    let rest = desk.register(with(2, &["Contact: <sip:w@B>;expires=0"]));
    assert_eq!(rest, ["<sip:w@a>;expires=3600", "<sip:w@c>;expires=3600"]);
    let rest = desk.register(with(3, &["Contact: <sip:w@a>", "Expires: 0"]));
    assert_eq!(rest, ["<sip:w@c>;expires=3600"]);
    let rest = desk.register(with(4, &["Contact: <sip:nobody@x>;expires=0"]));
    assert_eq!(rest, ["<sip:w@c>;expires=3600"], "what is not there is gone already");
    let other = Try { call_id: "2@phone", cseq: 1, headers: &["Contact: <sip:w@c>;expires=0"] };
    assert_eq!(desk.register(other), NONE, "another Call-ID has no order");
}

#[test]
//= RFC 3261 10.3 type=test
fn removing_all_contacts() {
    for (headers, answer) in [
        (&["Contact: *", "Expires: 0"][..], None),
        (&["Contact:  * ", "Expires: 0"], None),
        (&["Contact: *", "Expires: 1"], Some("malformed: Contact")),
        (&["Contact: *", "Expires: x"], Some("malformed: Contact")),
        (&["Contact: *"], Some("malformed: Contact")),
        (&["Contact: *, <sip:w@c>", "Expires: 0"], Some("malformed: Contact")),
        (&["Contact: <sip:w@c>, *", "Expires: 0"], Some("malformed: Contact")),
        (&["Contact: <sip:w@c>", "Contact: *", "Expires: 0"], Some("malformed: Contact")),
        (&["Contact: *;expires=0"], Some("malformed: Contact")),
    ] {
        let mut desk = desk();
        desk.register(with(1, &["Contact: <sip:w@a>, <sip:w@b>"]));
        let expected: Vec<_> = answer.into_iter().map(String::from).collect();
        assert_eq!(desk.register(with(2, headers)), expected, "{headers:?}");
        assert_eq!(desk.bindings.is_empty(), answer.is_none(), "all or nothing");
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn a_star_obeys_the_order_of_requests() {
    let star = ["Contact: *", "Expires: 0"];
    for (call_id, cseq, answer) in [
        ("1@phone", 6, None),
        ("1@phone", 5, Some("out_of_order")),
        ("1@phone", 4, Some("out_of_order")),
        ("2@phone", 1, None),
    ] {
        let mut desk = desk();
        desk.register(with(5, &["Contact: <sip:w@a>"]));
        let third = Try { call_id: "3@x", cseq: 1, headers: &["Contact: <sip:w@b>"] };
        desk.register(third);
        let expected: Vec<_> = answer.into_iter().map(String::from).collect();
        let answers = desk.register(Try { call_id, cseq, headers: &star });
        assert_eq!(answers, expected, "{call_id} {cseq}");
        assert_eq!(desk.bindings.len(), if answer.is_some() { 2 } else { 0 });
    }
}

#[test]
//= RFC 3261 10.3 type=test
fn older_requests_change_nothing() {
    for (call_id, cseq, contact, answer) in [
        ("1@phone", 6, "<sip:w@a>;expires=60", "<sip:w@a>;expires=60"),
        ("1@phone", 5, "<sip:w@a>;expires=60", "out_of_order"),
        ("1@phone", 4, "<sip:w@a>;expires=60", "out_of_order"),
        ("1@phone", 4, "<sip:w@a>;expires=0", "out_of_order"),
        ("1@PHONE", 4, "<sip:w@a>;expires=60", "<sip:w@a>;expires=60"),
        ("2@phone", 1, "<sip:w@a>;expires=60", "<sip:w@a>;expires=60"),
    ] {
        let mut desk = desk();
        desk.register(with(5, &["Contact: <sip:w@a>"]));
        let header = format!("Contact: {contact}");
        let answers = desk.register(Try { call_id, cseq, headers: &[&header] });
        assert_eq!(answers, [answer], "{call_id} {cseq} {contact}");
    }
    let mut desk = desk();
    desk.register(with(5, &["Contact: <sip:w@a>"]));
    let mixed = ["Contact: <sip:w@new>, <sip:w@a>;expires=60"];
    assert_eq!(desk.register(with(4, &mixed)), ["out_of_order"]);
    assert_eq!(desk.lines(), ["<sip:w@a>;expires=3600"], "all or nothing");
}

#[test]
fn a_retransmission_changes_nothing_and_succeeds() {
    let mut desk = desk();
    let contacts = ["Contact: <sip:w@a>, <sip:w@b>;expires=0, <sip:w@c>;expires=100"];
    let first = desk.ask(with(5, &contacts)).expect("accepted");
    assert!(!first.retransmission && first.writes.len() == 2);
    desk.bindings = first.bindings;
    desk.now = 1;
    let again = desk.ask(with(5, &contacts)).expect("accepted");
    assert!(again.retransmission && again.writes.is_empty() && again.changes.is_empty());
    assert_eq!(again.bindings, desk.bindings, "not even refreshed");
    assert!(!desk.ask(with(5, &[])).expect("a fetch").retransmission);
    desk.transaction += 1;
    let stale = desk.ask(with(5, &contacts)).map(|_| ());
    assert_eq!(stale, Err(Reject::OutOfOrder), "another request with the same number");
}

#[test]
//= RFC 3261 19.1.4 type=test
fn contacts_are_found_by_comparing_uris() {
    for (first, second, one) in [
        ("<sip:w@a>", "<sip:w@A>", true),
        ("<sip:%77@a>", "<sip:w@a>", true),
        ("<sip:w@a;x=1>", "<sip:w@a>", true),
        ("<sip:w@[2001:db8::1]>", "<sip:w@[2001:DB8:0::1]>", true),
        ("<sip:w@a>", "<sip:W@a>", false),
        ("<sip:w@a>", "<sip:w@a:5060>", false),
        ("<sip:w@a>", "<sips:w@a>", false),
        ("<sip:w@a;x=1>", "<sip:w@a;x=2>", false),
    ] {
        let mut desk = desk();
        desk.register(with(1, &[&format!("Contact: {first}")]));
        let both = desk.register(with(2, &[&format!("Contact: {second}")]));
        assert_eq!(both.len(), if one { 1 } else { 2 }, "{first} {second}");
        let written = format!("{second};expires=3600");
        assert!(both.contains(&written), "the new words count: {both:?}");
    }
}

#[test]
fn the_same_words_come_before_an_equal_uri() {
    let mut desk = desk();
    desk.register(with(1, &["Contact: <sip:w@a;x=1>, <sip:w@a;x=2>"]));
    let lines = desk.register(with(2, &["Contact: <sip:w@a;x=2>;expires=100"]));
    assert_eq!(lines, ["<sip:w@a;x=1>;expires=3600", "<sip:w@a;x=2>;expires=100"]);
    let lines = desk.register(with(3, &["Contact: <sip:w@a>;expires=0"]));
    assert_eq!(lines.len(), 1, "equal to both, but one was meant");
}

#[test]
// RFC 4475 §3.3.12 and §3.3.13, one after the other.
fn torture_cparam() {
    let mut desk = desk();
    let uri = "sip:+19725552222@gw1.example.net";
    let first = format!("Contact: {uri};unknownparam");
    let one = Try { call_id: "cparam01", cseq: 2, headers: &[&first] };
    assert_eq!(desk.register(one), [format!("<{uri}>;expires=3600;unknownparam")]);
    let second = format!("Contact: <{uri};unknownparam>");
    let two = Try { call_id: "cparam02", cseq: 3, headers: &[&second] };
    assert_eq!(desk.register(two), [format!("<{uri};unknownparam>;expires=3600")]);
    let escaped = "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>";
    let three = desk.register(Try { call_id: "regescrt", cseq: 1, headers: &[escaped] });
    assert_eq!(three.len(), 2, "RFC 4475 §3.3.14: a header in a contact is kept");
}

#[test]
fn a_contact_twice_in_one_request_counts_as_it_was_said_last() {
    let mut desk = desk();
    for (cseq, contacts, left) in [
        (1, "<sip:w@a>;expires=100, <sip:w@A>;expires=200", &["<sip:w@A>;expires=200"][..]),
        (2, "<sip:w@a>;expires=0, <sip:w@a>;expires=300", &["<sip:w@a>;expires=300"]),
        (3, "<sip:w@a>;expires=300, <sip:w@a>;expires=0", &[]),
        (4, "<sip:w@a>;expires=300, <sip:w@a>;expires=0", &[]),
        (5, "<sip:w@b>;expires=0, <sip:w@b>;expires=60", &["<sip:w@b>;expires=60"]),
    ] {
        let header = format!("Contact: {contacts}");
        assert_eq!(desk.register(with(cseq, &[&header])), left, "{contacts}");
    }
}

#[test]
fn parameters_are_kept_as_they_are() {
    let mut desk = desk();
    let header = "Contact: \"Q=\" <sip:w@a;q=9> ;Q=0.5; reg-id=1;\
                  +sip.instance=\"<urn:uuid:f81d-7d>\" ; methods=\"INVITE,\r\n ACK\";x;Expires=90";
    let kept = "<sip:w@a;q=9>;expires=90;q=0.5;reg-id=1;\
                +sip.instance=\"<urn:uuid:f81d-7d>\";methods=\"INVITE,   ACK\";x";
    assert_eq!(desk.register(with(1, &[header, "User-Agent: a\r\n b"])), [kept]);
    assert_eq!(*desk.bindings[0].user_agent, *b"a   b");
    let long = format!("User-Agent: {}", "x".repeat(300));
    desk.register(with(2, &["Contact: <sip:w@a>", &long]));
    assert_eq!(desk.bindings[0].user_agent.len(), limits::USER_AGENT_BYTES);
    let long = format!("Contact: <sip:w@{}>", ["a"; 40].join(";x="));
    assert_eq!(desk.register(with(3, &[&long])).len(), 1, "a long one is fine");
    let too_long = format!("Contact: <sip:w@b;x={}>", "y".repeat(limits::CONTACT_BYTES));
    assert_eq!(desk.register(with(4, &[&too_long])), ["too_large"]);
}

#[test]
fn contacts_that_are_no_uris_are_malformed() {
    for bad in ["<>", "nothing", "<sip:>", "<sip:w@a", "\"w\" sip:w@a", "sip:w@a?x=y"] {
        let header = format!("Contact: {bad}");
        let answers = desk().register(with(1, &["Contact: <sip:w@ok>", &header]));
        assert_eq!(answers, ["malformed: Contact"], "{bad}");
    }
}

#[test]
fn the_limit_stops_growth_only() {
    let mut desk = desk();
    desk.settings.contacts_per_aor = 2;
    let three = ["Contact: <sip:w@a>, <sip:w@b>, <sip:w@c>"];
    assert_eq!(desk.register(with(1, &three)), ["too_many_contacts"]);
    assert_eq!(desk.lines(), NONE);
    assert_eq!(desk.register(with(1, &["Contact: <sip:w@a>, <sip:w@b>"])).len(), 2);
    assert_eq!(desk.register(with(2, &["Contact: <sip:w@c>"])), ["too_many_contacts"]);
    let swap = ["Contact: <sip:w@c>, <sip:w@a>;expires=0"];
    assert_eq!(desk.register(with(3, &swap)).len(), 2, "counted after the update");
    desk.settings.contacts_per_aor = 1;
    assert_eq!(desk.register(with(4, &["Contact: <sip:w@c>"])).len(), 2, "a refresh");
    assert_eq!(desk.register(with(5, &["Contact: <sip:w@c>;expires=0"])).len(), 1);
    desk.now = 4_000;
    assert_eq!(desk.register(with(6, &["Contact: <sip:w@d>"])).len(), 1, "the others are over");
}

#[test]
fn changes_are_told_by_name() {
    let mut desk = desk();
    desk.register(with(1, &["Contact: <sip:w@a>, <sip:w@b>, <sip:w@c>"]));
    let headers = ["Contact: <sip:w@A>, <sip:w@b>;expires=0, <sip:w@d>"];
    let registration = desk.ask(with(2, &headers)).expect("accepted");
    use RegistrationChange::{Added, Refreshed, Removed};
    let told: Vec<_> = registration
        .changes
        .iter()
        .map(|(contact, change)| (core::str::from_utf8(contact).expect("text"), *change))
        .collect();
    assert_eq!(told, [("sip:w@A", Refreshed), ("sip:w@b", Removed), ("sip:w@d", Added)]);
    let writes = &registration.writes;
    assert!(matches!(&writes[0], Write::DropBinding(_, contact) if **contact == *b"sip:w@a"));
    assert!(matches!(&writes[1], Write::DropBinding(_, contact) if **contact == *b"sip:w@b"));
    assert_eq!(writes.len(), 4, "two puts");
}

#[test]
fn what_is_left_is_rounded_up() {
    let mut desk = desk();
    desk.register(with(1, &["Contact: <sip:w@a>;expires=60"]));
    let ends = desk.bindings[0].expires;
    for (left_us, said) in
        [(60_000_000, "60"), (59_999_999, "60"), (1_000_000, "1"), (1, "1"), (0, "1")]
    {
        let mut out = Vec::new();
        write_contact(&desk.bindings[0], ends - Duration::from_micros(left_us), &mut out);
        assert_eq!(out, format!("<sip:w@a>;expires={said}").into_bytes());
    }
}

// D8: what is granted is at most what was asked for, and rarely the same for two phones.
#[test]
//= RFC 3261 10.3 type=test
fn d8_binding_times_are_spread_and_never_longer() {
    let settings = Settings::default();
    let granted = |transaction| {
        let desk = Desk { settings: settings.clone(), transaction, ..desk() };
        let done = desk.ask(with(1, &["Contact: <sip:w@a>;expires=1000"])).expect("registered");
        done.bindings[0].expires.since(at(0)).as_millis() / 1_000
    };
    // A keyed hash of its branch stands for a request.
    let keys = crate::keys::Keys::new(&[3; 32]);
    let all: Vec<u64> =
        (0..1_000u32).map(|n| granted(keys.hash64(b"register", &[&n.to_be_bytes()]))).collect();
    assert!(all.iter().all(|seconds| (900..=1_000).contains(seconds)));
    for ten in (900..1_000).step_by(10) {
        let there = all.iter().filter(|seconds| (ten..ten + 10).contains(*seconds)).count();
        assert!((60..140).contains(&there), "{there} of 1,000 end in second {ten} and after");
    }
    assert_eq!(granted(77), granted(77), "a retransmission is told the same");
}
