//! From a message of the name service to what it says about the question, and nothing else.

use crate::limits;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use ringway_core::locate::{Kind, Naptr, Records, Srv};
use std::net::IpAddr;
use std::time::Duration;

/// What a response comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// These records, good for so long.
    Records(Records, Duration),
    /// The name is another one's alias, and its records are not here.
    Alias(Name, Duration),
}

pub(crate) const fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::Naptr => RecordType::NAPTR,
        Kind::Srv => RecordType::SRV,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
    }
}

/// Reads a response to the question for `name`. `None`: the server failed, it says nothing.
/// Records of other names, and all sections but the answer, are not looked at (K1).
pub(crate) fn read(response: &Message, name: &Name, kind: Kind) -> Option<Said> {
    if !matches!(response.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    let answers = || response.answers.iter().take(limits::DNS_RECORDS);
    let (mut owner, mut ttl, mut aliases) = (name.clone(), u32::MAX, 0);
    while let Some((next, its_ttl)) = answers().find_map(|record| alias_of(record, &owner)) {
        aliases += 1;
        if aliases > limits::DNS_ALIASES {
            return None;
        }
        (owner, ttl) = (next, ttl.min(its_ttl));
    }
    let wanted = record_type(kind);
    let fits = |record: &&Record| record.name == owner && record.record_type() == wanted;
    let found: Vec<&Record> = answers().filter(fits).collect();
    let ttl = found.iter().map(|record| record.ttl).chain([ttl]).min().unwrap_or(ttl);
    if !found.is_empty() {
        let ttl = Duration::from_secs(ttl.into());
        return Some(Said::Records(records(kind, &found), ttl));
    }
    if aliases > 0 && response.response_code == ResponseCode::NoError {
        return Some(Said::Alias(owner, Duration::from_secs(ttl.into())));
    }
    let negative = response.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    let ttl = Duration::from_secs(negative.unwrap_or(0).into());
    Some(Said::Records(Records::Nothing, ttl))
}

fn alias_of(record: &Record, owner: &Name) -> Option<(Name, u32)> {
    match &record.data {
        RData::CNAME(CNAME(next)) if record.name == *owner => Some((next.clone(), record.ttl)),
        _ => None,
    }
}

fn records(kind: Kind, found: &[&Record]) -> Records {
    let data = found.iter().map(|record| &record.data);
    match kind {
        Kind::Naptr => Records::Naptr(
            data.filter_map(|data| match data {
                RData::NAPTR(naptr) => Some(Naptr {
                    order: naptr.order,
                    preference: naptr.preference,
                    flags: text(&naptr.flags),
                    service: text(&naptr.services),
                    regexp: text(&naptr.regexp),
                    replacement: naptr.replacement.to_ascii().into(),
                }),
                _ => None,
            })
            .collect(),
        ),
        Kind::Srv => Records::Srv(
            data.filter_map(|data| match data {
                RData::SRV(srv) => {
                    Some(Srv::new(srv.priority, srv.weight, srv.port, &srv.target.to_ascii()))
                }
                _ => None,
            })
            .collect(),
        ),
        Kind::A | Kind::Aaaa => Records::Addresses(
            data.filter_map(|data| match data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect(),
        ),
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{OpCode, Query};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, SOA, SRV};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    fn response(answers: &[(&str, u32, RData)]) -> Message {
        let mut message = Message::response(7, OpCode::Query);
        message.add_query(Query::query(name("a.example."), RecordType::A));
        for (owner, ttl, data) in answers {
            message.add_answer(Record::from_rdata(name(owner), *ttl, data.clone()));
        }
        message
    }

    fn a(last: u8) -> RData {
        RData::A(A::new(192, 0, 2, last))
    }

    fn alias(to: &str) -> RData {
        RData::CNAME(CNAME(name(to)))
    }

    fn addresses(lasts: &[u8], ttl_s: u64) -> Option<Said> {
        let ips = lasts.iter().map(|&last| IpAddr::from([192, 0, 2, last])).collect();
        Some(Said::Records(Records::Addresses(ips), Duration::from_secs(ttl_s)))
    }

    fn nothing(ttl_s: u64) -> Option<Said> {
        Some(Said::Records(Records::Nothing, Duration::from_secs(ttl_s)))
    }

    fn said(message: &Message) -> Option<Said> {
        read(message, &name("a.example."), Kind::A)
    }

    // K1: what nobody asked for is not taken, wherever it stands.
    #[test]
    fn k1_only_what_was_asked_for_is_taken() {
        let mut message = response(&[
            ("bank.example.", 60, a(66)),
            ("a.example.", 60, a(1)),
            ("A.EXAMPLE.", 30, a(2)),
            ("a.example.", 9, RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
            ("sub.a.example.", 60, a(67)),
        ]);
        let elsewhere = Record::from_rdata(name("a.example."), 60, a(68));
        message.add_additional(elsewhere.clone());
        message.add_authority(elsewhere.clone());
        assert_eq!(said(&message), addresses(&[1, 2], 30));
        let mut empty = response(&[]);
        empty.add_additional(elsewhere);
        assert_eq!(said(&empty), nothing(0));
    }

    #[test]
    fn aliases_are_followed_within_the_answer() {
        let chain = response(&[
            ("c.example.", 60, a(3)),
            ("b.example.", 20, alias("c.example.")),
            ("a.example.", 60, alias("b.example.")),
            ("b.example.", 60, a(66)),
        ]);
        assert_eq!(said(&chain), addresses(&[3], 20));
        let open = response(&[("a.example.", 60, alias("b.example."))]);
        let on = Said::Alias(name("b.example."), Duration::from_secs(60));
        assert_eq!(said(&open), Some(on));
    }

    #[test]
    fn k1_aliases_in_a_circle_are_no_answer() {
        for circle in [
            &[("a.example.", 60, alias("a.example."))][..],
            &[("a.example.", 60, alias("b.example.")), ("b.example.", 60, alias("a.example."))],
        ] {
            assert_eq!(said(&response(circle)), None);
        }
        let links: Vec<_> =
            (0..20).map(|n| (format!("{n}.example."), format!("{}.example.", n + 1))).collect();
        let mut long: Vec<_> =
            links.iter().map(|(from, to)| (from.as_str(), 60, alias(to))).collect();
        long.push(("a.example.", 60, alias("0.example.")));
        assert_eq!(said(&response(&long)), None, "too long");
    }

    #[test]
    fn nothing_and_no_answer_are_not_the_same() {
        let mut message = response(&[]);
        let soa = SOA::new(name("ns.example."), name("root.example."), 1, 2, 3, 4, 30);
        let soa = Record::from_rdata(name("example."), 300, RData::SOA(soa));
        message.add_authority(soa);
        assert_eq!(said(&message), nothing(30));
        message.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(said(&message), nothing(30));
        for failed in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::FormErr] {
            message.metadata.response_code = failed;
            assert_eq!(said(&message), None, "{failed}");
        }
    }

    // K1: bytes that begin as an answer and end as anything: read or refused, in no time, and
    // never with more than was asked for.
    #[test]
    fn k1_mangled_answers_are_read_or_refused() {
        let srv = |n: u16| RData::SRV(SRV::new(n, 0, 5060, name(&format!("h{n}.example."))));
        let samples = [
            response(&[("a.example.", 60, a(1)), ("b.example.", 60, alias("c.example."))]),
            response(&(0..20).map(|n| ("a.example.", 60, srv(n))).collect::<Vec<_>>()),
            response(&[("a.example.", 60, alias("b.example.")), ("b.example.", 60, a(2))]),
        ];
        let samples = samples.map(|sample| sample.to_vec().expect("bytes"));
        let (mut state, mut taken, mut refused) = (7_u64, 0, 0);
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            (state >> 33) as usize % end
        };
        for round in 0..30_000 {
            let mut bytes = samples[round % samples.len()].clone();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                match below(3) {
                    0 => bytes[at] = below(256) as u8,
                    // Where names point to.
                    1 => bytes[at] = 0xc0,
                    _ => bytes.truncate(at.max(1)),
                }
            }
            let Ok(message) = Message::from_vec(&bytes) else {
                refused += 1;
                continue;
            };
            for kind in [Kind::A, Kind::Srv, Kind::Naptr] {
                match read(&message, &name("a.example."), kind) {
                    Some(Said::Records(Records::Addresses(ips), _)) => {
                        assert!(kind == Kind::A && ips.len() <= message.answers.len());
                        taken += 1;
                    }
                    Some(Said::Records(Records::Srv(records), _)) => {
                        assert!(kind == Kind::Srv && records.len() <= message.answers.len());
                        taken += 1;
                    }
                    Some(_) | None => {}
                }
            }
        }
        assert!(taken > 1_000 && refused > 1_000, "{taken} taken, {refused} refused");
    }

    #[test]
    fn k1_of_a_thousand_records_some_are_taken() {
        let srv = |n: u16| RData::SRV(SRV::new(n, 0, 5060, name(&format!("h{n}.example."))));
        let all: Vec<_> = (0..1_000).map(|n| ("a.example.", 60, srv(n))).collect();
        let read = read(&response(&all), &name("a.example."), Kind::Srv);
        let Some(Said::Records(Records::Srv(records), _)) = read else {
            panic!("no records: {read:?}")
        };
        assert_eq!(records.len(), limits::DNS_RECORDS);
        assert_eq!(&*records[0].target, "h0.example.");
    }
}
