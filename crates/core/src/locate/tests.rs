mod spellings;

use super::*;
use crate::flow::{CertifiedName, ConnectionId, Flow, SocketId, Transport};
use crate::limits;
use crate::time::{Duration, Instant};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// A zone, one record a line: `NAME KIND DATA`.
struct Zone(Vec<(String, String, Vec<String>)>);

impl Zone {
    fn new(text: &str) -> Self {
        let record = |line: &str| {
            let mut words = line.split_whitespace().map(str::to_string);
            Some((words.next()?, words.next()?, words.collect()))
        };
        Self(text.lines().filter_map(record).collect())
    }

    fn answer(&self, query: &Query) -> Records {
        let kind = match query.kind {
            Kind::Naptr => "NAPTR",
            Kind::Srv => "SRV",
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
        };
        let found = self.0.iter().filter(|(name, k, _)| **name == *query.name && k == kind);
        let data: Vec<&[String]> = found.map(|(_, _, data)| &data[..]).collect();
        let number = |text: &String| text.parse::<u16>().expect("a number");
        if data.is_empty() {
            return Records::Nothing;
        }
        match query.kind {
            Kind::Naptr => Records::Naptr(
                data.iter()
                    .map(|d| Naptr {
                        order: number(&d[0]),
                        preference: number(&d[1]),
                        flags: d[2].as_str().into(),
                        service: d[3].as_str().into(),
                        regexp: if d[4] == "-" { "".into() } else { d[4].as_str().into() },
                        replacement: d[5].as_str().into(),
                    })
                    .collect(),
            ),
            Kind::Srv => Records::Srv(
                data.iter()
                    .map(|d| Srv::new(number(&d[0]), number(&d[1]), number(&d[2]), &d[3]))
                    .collect(),
            ),
            Kind::A | Kind::Aaaa => {
                Records::Addresses(data.iter().map(|d| d[0].parse().expect("an ip")).collect())
            }
        }
    }
}

const ALL: [(Transport, bool); 6] = [
    (Transport::Udp, true),
    (Transport::Udp, false),
    (Transport::Tcp, true),
    (Transport::Tcp, false),
    (Transport::Tls, true),
    (Transport::Tls, false),
];

/// A hop as in a URI: `sips:host:port;transport`, the port and the transport being optional.
fn hop(uri: &str) -> NextHop {
    let (rest, transport) = uri.split_once(';').map_or((uri, None), |(r, t)| (r, Some(t)));
    let (scheme, rest) = rest.split_once(':').expect("a scheme");
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, Some(port.parse().expect("a port")))
        }
        _ => (rest, None),
    };
    NextHop {
        host: host.as_bytes().into(),
        port,
        transport: transport.map(|t| Transport::from_name(t.as_bytes()).expect("a transport")),
        secure: scheme == "sips",
        seed: None,
    }
}

/// What is asked, in rounds, and what is found.
fn search(uri: &str, usable: &[(Transport, bool)], zone: &Zone) -> (Vec<String>, Vec<String>) {
    let usable = Usable::from_iter(usable.iter().copied());
    let mut search = Search::new(&hop(uri), &usable, 1);
    let mut rounds = Vec::new();
    while !search.wanted().is_empty() {
        let asked = search.wanted().iter().map(|q| format!("{:?} {}", q.kind, q.name));
        rounds.push(asked.collect::<Vec<_>>().join(", "));
        let answers = search.wanted().iter().map(|query| zone.answer(query)).collect();
        search.answer(answers);
        assert!(rounds.len() <= 3, "{uri} goes on and on: {rounds:?}");
    }
    let targets = search.targets().iter().map(|t| format!("{} {}", t.transport, t.remote));
    (rounds, targets.collect())
}

fn found(uri: &str, zone: &Zone) -> Vec<String> {
    search(uri, &ALL, zone).1
}

// The example of RFC 3263 §4.1, and a host of both families behind it.
const EXAMPLE: &str = "
    example.com NAPTR 50 50 s SIPS+D2T - _sips._tcp.example.com.
    example.com NAPTR 90 50 s SIP+D2T - _sip._tcp.example.com
    example.com NAPTR 100 50 s SIP+D2U - _sip._udp.example.com.
    _sips._tcp.example.com SRV 0 1 5061 server1.example.com
    _sip._tcp.example.com SRV 0 1 5060 server1.example.com
    _sip._tcp.example.com SRV 1 2 5070 server2.example.com.
    _sip._udp.example.com SRV 0 1 5060 server2.example.com
    server1.example.com A 192.0.2.1
    server1.example.com AAAA 2001:db8::1
    server2.example.com A 192.0.2.2
    example.com A 192.0.2.9";

#[test]
//= RFC 3263 4.1 type=test
//= RFC 3263 4.2 type=test
fn every_form_of_a_next_hop() {
    let zone = Zone::new(EXAMPLE);
    for (uri, expected) in [
        // Numeric: nothing is asked.
        ("sip:192.0.2.7", &["udp 192.0.2.7:5060"][..]),
        ("sip:192.0.2.7:5080", &["udp 192.0.2.7:5080"]),
        ("sip:[2001:db8::7]", &["udp [2001:db8::7]:5060"]),
        ("sip:[::ffff:192.0.2.7]", &["udp 192.0.2.7:5060"]),
        ("sips:192.0.2.7", &["tls 192.0.2.7:5061"]),
        ("sip:192.0.2.7;tcp", &["tcp 192.0.2.7:5060"]),
        ("sip:192.0.2.7;tls", &["tls 192.0.2.7:5061"]),
        // A port: its addresses, both families, over the usual transport.
        ("sip:server1.example.com:5080", &["udp [2001:db8::1]:5080", "udp 192.0.2.1:5080"]),
        ("sip:example.com:5060", &["udp 192.0.2.9:5060"]),
        ("sip:example.com:5060;tcp", &["tcp 192.0.2.9:5060"]),
        ("sips:example.com:5070", &["tls 192.0.2.9:5070"]),
        // Nothing: NAPTR says which transport, SRV which host.
        ("sip:example.com", &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061"]),
        ("sip:EXAMPLE.com.", &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061"]),
        ("sips:example.com", &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061"]),
        // A transport: its SRV records, in their order.
        (
            "sip:example.com;tcp",
            &["tcp [2001:db8::1]:5060", "tcp 192.0.2.1:5060", "tcp 192.0.2.2:5070"],
        ),
        ("sip:example.com;udp", &["udp 192.0.2.2:5060"]),
        ("sips:example.com;tls", &["tls [2001:db8::1]:5061", "tls 192.0.2.1:5061"]),
        // No SRV records: the host itself at the usual port.
        ("sip:server2.example.com", &["udp 192.0.2.2:5060"]),
        ("sip:server2.example.com;tcp", &["tcp 192.0.2.2:5060"]),
        ("sips:server2.example.com", &["tls 192.0.2.2:5061"]),
        // Nobody, and no name.
        ("sip:nobody.example.com", &[]),
        ("sip:a..b", &[]),
        ("sip:exa mple.com", &[]),
    ] {
        assert_eq!(found(uri, &zone), expected, "{uri}");
    }
}

#[test]
fn what_is_asked_and_in_which_rounds() {
    let zone = Zone::new(EXAMPLE);
    for (uri, expected) in [
        ("sip:192.0.2.7", &[][..]),
        ("sip:server2.example.com:5060", &["Aaaa server2.example.com, A server2.example.com"]),
        (
            "sip:server2.example.com",
            &[
                "Naptr server2.example.com",
                "Srv _sip._udp.server2.example.com, Srv _sip._tcp.server2.example.com",
                "Aaaa server2.example.com, A server2.example.com",
            ],
        ),
        (
            "sips:server2.example.com",
            &[
                "Naptr server2.example.com",
                "Srv _sips._tcp.server2.example.com",
                "Aaaa server2.example.com, A server2.example.com",
            ],
        ),
        (
            "sip:example.com;udp",
            &["Srv _sip._udp.example.com", "Aaaa server2.example.com, A server2.example.com"],
        ),
    ] {
        assert_eq!(search(uri, &ALL, &zone).0, expected, "{uri}");
    }
}

// Records for a transport or a family that we do not have are passed over.
#[test]
//= RFC 7984 3.1 type=test
fn only_what_we_have_is_used() {
    let zone = Zone::new(EXAMPLE);
    for (uri, usable, expected) in [
        ("sip:example.com", &[(Transport::Udp, true)][..], &["udp 192.0.2.2:5060"][..]),
        ("sip:example.com", &[(Transport::Tcp, false)], &["tcp [2001:db8::1]:5060"]),
        ("sip:example.com", &[(Transport::Tls, true)], &["tls 192.0.2.1:5061"]),
        ("sips:example.com", &[(Transport::Udp, true), (Transport::Tcp, true)], &[]),
        ("sip:192.0.2.7", &[(Transport::Tcp, true)], &["tcp 192.0.2.7:5060"]),
        ("sip:192.0.2.7", &[(Transport::Udp, false)], &[]),
        ("sip:server2.example.com:5060", &[(Transport::Udp, false)], &[]),
    ] {
        assert_eq!(search(uri, usable, &zone).1, expected, "{uri} over {usable:?}");
    }
    let asked = search("sip:server1.example.com:5060", &[(Transport::Udp, false)], &zone).0;
    assert_eq!(asked, ["Aaaa server1.example.com"]);
}

#[test]
fn naptr_records_that_are_not_for_us() {
    let addresses = "
        _sip._udp.a.example SRV 0 0 5060 h.example
        _sip._tcp.a.example SRV 0 0 5061 h.example
        _elsewhere._tcp.b.example SRV 0 0 5070 h.example
        h.example A 192.0.2.1";
    for (records, expected) in [
        ("", "udp 192.0.2.1:5060"),
        // Another flag, a regular expression, an unknown service, no replacement.
        ("a.example NAPTR 1 1 u SIP+D2T - _elsewhere._tcp.b.example", "udp 192.0.2.1:5060"),
        ("a.example NAPTR 1 1 s SIP+D2T !^.*$!x! _elsewhere._tcp.b.example", "udp 192.0.2.1:5060"),
        ("a.example NAPTR 1 1 s E2U+sip - _elsewhere._tcp.b.example", "udp 192.0.2.1:5060"),
        ("a.example NAPTR 1 1 s SIP+D2S - _elsewhere._tcp.b.example", "udp 192.0.2.1:5060"),
        ("a.example NAPTR 1 1 s SIP+D2T - .", "udp 192.0.2.1:5060"),
        // One into another domain.
        ("a.example NAPTR 1 1 S sip+d2t - _elsewhere._tcp.b.example", "tcp 192.0.2.1:5070"),
        // One whose SRV records do not exist: the next one.
        (
            "a.example NAPTR 1 1 s SIP+D2U - _gone._udp.b.example
             a.example NAPTR 1 2 s SIP+D2T - _elsewhere._tcp.b.example",
            "tcp 192.0.2.1:5070",
        ),
        // By order, then by preference.
        (
            "a.example NAPTR 2 1 s SIP+D2U - _sip._udp.a.example
             a.example NAPTR 1 9 s SIP+D2U - _sip._udp.a.example
             a.example NAPTR 1 3 s SIP+D2T - _elsewhere._tcp.b.example",
            "tcp 192.0.2.1:5070",
        ),
    ] {
        let zone = Zone::new(&format!("{records}\n{addresses}"));
        assert_eq!(found("sip:a.example", &zone), [expected], "{records}");
    }
}

#[test]
//= RFC 3263 7 type=test
fn a_domain_withdraws_tls_if_it_named_it_before() {
    let zone = Zone::new(
        "plain NAPTR 1 1 s SIP+D2T - x.example
         tls NAPTR 1 1 s sips+D2T - x.example
         web NAPTR 1 1 s SIPS+D2W - x.example
         both NAPTR 1 1 s SIP+D2U - x.example
         both NAPTR 2 1 s SIPS+D2T - x.example
         other NAPTR 1 1 u E2U+sip !^.*$!sip:x@y! .",
    );
    let said = |name: &str| zone.answer(&Query { name: name.into(), kind: Kind::Naptr });
    for (earlier, later, expected) in [
        ("both", "plain", true),
        ("tls", "nothing", true),
        ("web", "other", true),
        ("both", "tls", false),
        ("tls", "both", false),
        ("plain", "nothing", false),
        ("nothing", "plain", false),
        ("plain", "tls", false),
    ] {
        assert_eq!(said(later).withdraws_tls(&said(earlier)), expected, "{earlier}, {later}");
    }
}

// RFC 7118 §6.
#[test]
fn websockets_are_found_by_naptr_alone() {
    let zone = Zone::new(
        "w.example NAPTR 1 1 s SIP+D2W - _sip._ws.w.example
         w.example NAPTR 2 1 s SIPS+D2W - _sips._ws.w.example
         _sip._ws.w.example SRV 0 0 8080 h.example
         _sips._ws.w.example SRV 0 0 8443 h.example
         h.example A 192.0.2.1",
    );
    let usable = [(Transport::Ws, true), (Transport::Wss, true)];
    assert_eq!(search("sip:w.example", &usable, &zone).1, ["ws 192.0.2.1:8080"]);
    assert_eq!(search("sips:w.example", &usable, &zone).1, ["wss 192.0.2.1:8443"]);
    assert_eq!(search("sip:h.example;ws", &usable, &zone).1, ["ws 192.0.2.1:80"]);
    assert_eq!(search("sip:h.example;wss", &usable, &zone).1, ["wss 192.0.2.1:443"]);
}

// G9: nothing that a zone says takes a SIPS URI off TLS.
#[test]
fn g9_a_sips_uri_stays_on_tls() {
    let plain = Zone::new(
        "a.example NAPTR 1 1 s SIP+D2T - _sip._tcp.a.example
         a.example NAPTR 1 2 s SIP+D2U - _sip._udp.a.example
         _sip._tcp.a.example SRV 0 0 5060 h.example
         _sip._udp.a.example SRV 0 0 5060 h.example
         h.example A 192.0.2.1
         a.example A 192.0.2.2",
    );
    assert_eq!(found("sips:a.example", &plain), ["tls 192.0.2.2:5061"]);
    let hop = NextHop { transport: Some(Transport::Udp), ..hop("sips:a.example") };
    let mut search = Search::new(&hop, &Usable::from_iter(ALL), 1);
    while !search.wanted().is_empty() {
        let answers = search.wanted().iter().map(|query| plain.answer(query)).collect();
        search.answer(answers);
    }
    assert_eq!(search.targets(), [], "over a transport that is not secure");
}

#[test]
//= RFC 2782 0 type=test
fn a_service_that_is_decidedly_not_there() {
    let zone = Zone::new(
        "_sip._udp.a.example SRV 0 0 0 .
         _sip._tcp.a.example SRV 0 0 5060 h.example
         _sip._udp.b.example SRV 0 0 0 .
         _sip._tcp.b.example SRV 0 0 0 .
         h.example A 192.0.2.1
         a.example A 192.0.2.2
         b.example A 192.0.2.3",
    );
    assert_eq!(found("sip:a.example", &zone), ["tcp 192.0.2.1:5060"]);
    assert_eq!(found("sip:a.example;udp", &zone), [""; 0], "its address is not asked instead");
    assert_eq!(found("sip:b.example", &zone), [""; 0]);
    assert_eq!(found("sip:b.example:5060", &zone), ["udp 192.0.2.3:5060"], "a port is given");
}

#[test]
fn families_take_turns_within_one_host() {
    let zone = Zone::new(
        "_sip._udp.a.example SRV 0 0 5060 one.example
         _sip._udp.a.example SRV 1 0 5060 two.example
         one.example A 192.0.2.1
         one.example A 192.0.2.2
         one.example A 192.0.2.3
         one.example AAAA 2001:db8::1
         one.example AAAA ::ffff:192.0.2.2
         two.example A 192.0.2.1
         two.example AAAA 2001:db8::2",
    );
    let expected = [
        "udp [2001:db8::1]:5060",
        "udp 192.0.2.1:5060",
        // Mapped, and what it is said already is not said again.
        "udp 192.0.2.2:5060",
        "udp 192.0.2.3:5060",
        "udp [2001:db8::2]:5060",
    ];
    assert_eq!(found("sip:a.example", &zone), expected);
}

// K1: a zone may be as large as it likes.
#[test]
fn k1_a_search_is_bounded_whatever_the_zone_says() {
    let mut text = String::new();
    for n in 0..1_000 {
        text += &format!("a.example NAPTR {n} 1 s SIP+D2U - _sip._udp.{n}.example\n");
        text += &format!("_sip._udp.a.example SRV {n} 0 5060 h{n}.example\n");
        text += &format!("_sip._udp.{n}.example SRV 0 {n} 5060 h{n}.example\n");
        for m in 0..40 {
            text += &format!("h{n}.example A 192.0.{}.{m}\n", n % 200);
        }
    }
    let zone = Zone::new(&text);
    for uri in ["sip:a.example", "sip:a.example;udp", "sip:h1.example:5060"] {
        let (rounds, targets) = search(uri, &ALL, &zone);
        let questions = rounds.iter().map(|round| round.split(", ").count()).max();
        assert!(questions <= Some(2 * limits::HOSTS_PER_SERVICE), "{uri}: {questions:?}");
        assert!(targets.len() <= limits::TARGETS_PER_HOP, "{uri}: {}", targets.len());
        assert!(!targets.is_empty(), "{uri}");
    }
}

#[test]
fn answers_of_the_wrong_kind_or_number_are_no_answers() {
    let usable = Usable::from_iter(ALL);
    for answers in [
        vec![],
        vec![Records::Addresses(vec![IpAddr::from([192, 0, 2, 1])])],
        vec![Records::Srv(vec![Srv::new(0, 0, 5060, "h.example")])],
    ] {
        let mut search = Search::new(&hop("sip:a.example"), &usable, 1);
        search.answer(answers);
        assert_eq!(search.wanted().len(), 2, "on to SRV");
        search.answer(vec![Records::Naptr(Vec::new())]);
        assert_eq!(search.wanted().len(), 2, "on to addresses");
        search.answer(Vec::new());
        assert_eq!((search.wanted(), search.targets()), (&[][..], &[][..]));
        search.answer(vec![Records::Nothing]);
        assert!(search.targets().is_empty(), "it was over");
    }
}

/// How often each of some records comes first, and that all come at some place.
fn shares(weights: &[u16], rounds: u64) -> Vec<u64> {
    let records: Vec<Srv> = weights
        .iter()
        .enumerate()
        .map(|(at, &weight)| Srv::new(1, weight, 5060, &format!("h{at:02}.example")))
        .collect();
    let mut first = vec![0; weights.len()];
    for seed in 0..rounds {
        let ordered = order::by_weight(records.clone(), &mut order::Dice(seed), records.len());
        let mut names: Vec<_> = ordered.iter().map(|record| &*record.target).collect();
        let at = names[0][1..3].parse::<usize>().expect("a number");
        first[at] += 1;
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), weights.len(), "each one once: {weights:?}");
    }
    first
}

#[test]
//= RFC 2782 0 type=test
fn weights_share_out_the_requests() {
    const ROUNDS: u64 = 20_000;
    for weights in [
        &[1_u16, 3][..],
        &[10, 20, 30, 40],
        &[65_535, 65_535],
        &[0, 0, 0],
        &[1, 1, 1, 1, 1, 1, 1, 1],
        &[100, 100, 200, 400],
    ] {
        let sum: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let first = shares(weights, ROUNDS);
        for (&weight, &times) in weights.iter().zip(&first) {
            // Numbers from 0 to the sum: the first record has one more of them than its weight.
            // With weights of 0 alone RFC 2782 leaves the order to us: it is the same always.
            if sum > 8 {
                let expected = ROUNDS * u64::from(weight) / sum;
                let off = times.abs_diff(expected);
                assert!(off < ROUNDS / 25, "{weights:?}: {first:?}");
            }
        }
    }
    let first = shares(&[0, 1_000], ROUNDS);
    assert!(first[0] > 0 && first[0] < ROUNDS / 200, "a very small chance: {first:?}");
}

#[test]
fn the_same_number_gives_the_same_order() {
    let mut records: Vec<Srv> =
        (0..20).map(|n| Srv::new(n % 3, n, 5060, &format!("h{n}.example"))).collect();
    let once = order::by_weight(records.clone(), &mut order::Dice(7), 99);
    records.reverse();
    assert_eq!(order::by_weight(records.clone(), &mut order::Dice(7), 99), once);
    assert_ne!(order::by_weight(records, &mut order::Dice(8), 99), once);
    assert!(once.is_sorted_by_key(|record| record.priority));
}

#[test]
//= RFC 3263 4.3 type=test
fn what_failed_comes_last_for_a_while() {
    let flow = |text: &str| Flow {
        socket: SocketId(0),
        transport: Transport::Udp,
        connection: ConnectionId::NONE,
        remote: text.parse::<SocketAddr>().expect("an address"),
        certified: CertifiedName::NONE,
    };
    let all = ["192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"].map(flow);
    let (mut avoided, start) = (Avoided::default(), Instant::from_secs(100));
    let order = |avoided: &Avoided, now| {
        let mut flows = all;
        avoided.put_last(now, &mut flows);
        flows.map(|flow| flow.remote.ip().to_string().pop().expect("a digit"))
    };
    assert_eq!(order(&avoided, start), ['1', '2', '3']);
    avoided.note(start, &all[0], None);
    avoided.note(start, &all[1], Some(5));
    assert_eq!(order(&avoided, start), ['3', '1', '2']);
    assert_eq!(order(&avoided, start + Duration::from_secs(5)), ['2', '3', '1']);
    assert_eq!(avoided.list(start).len(), 2);
    assert_eq!(order(&avoided, start + limits::AVOIDED), ['1', '2', '3']);
    // A Retry-After of years is cut.
    avoided.note(start, &all[2], Some(u32::MAX));
    assert!(!avoided.is_avoided(start + limits::AVOIDED_MAX, &all[2]));
    // Full: what is over makes room, and nothing else does.
    for n in 0..3 * limits::AVOIDED_TARGETS as u32 {
        let remote = SocketAddr::new(IpAddr::from((n + 1).to_be_bytes()), 5060);
        avoided.note(start, &Flow { remote, ..all[0] }, None);
    }
    assert_eq!(avoided.list(start).len(), limits::AVOIDED_TARGETS);
    let later = start + limits::AVOIDED_MAX;
    avoided.note(later, &all[0], None);
    assert_eq!(avoided.list(later).len(), 1);
}
