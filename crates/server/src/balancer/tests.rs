use super::*;
use tokio::io::AsyncWriteExt;

const BEHIND: &[u8] = b"OPTIONS sip:x SIP/2.0\r\n";

/// What comes next on a stream.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Whatever is wanted.
    More,
    /// Nothing, for longer than anybody waits.
    Silence,
    /// Its end.
    End,
}

/// What comes of a stream that brings these bytes in pieces of this length; and what is left on
/// it.
fn read_in(
    pieces: usize,
    bytes: &[u8],
    then: Then,
) -> (Result<Option<SocketAddr>, Refused>, Vec<u8>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let bytes = bytes.to_vec();
    runtime.block_on(async move {
        let (mut near, mut far) = tokio::io::duplex(pieces);
        let writing = tokio::spawn(async move {
            let written = far.write_all(&bytes).await;
            if then != Then::End && written.is_ok() {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        });
        let mut balancers = Balancers::new(Vec::new(), limits::CONNECTIONS);
        if then == Then::Silence {
            balancers.patience = Duration::from_millis(2);
        }
        let result = balancers.introduced(&mut near).await;
        let mut left = vec![0; BEHIND.len()];
        let behind = match &result {
            Ok(_) => near.read_exact(&mut left).await.map_or(Vec::new(), |_| left),
            Err(_) => Vec::new(),
        };
        drop(near);
        writing.abort();
        (result, behind)
    })
}

fn version_2_bytes(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [&SIGNATURE, &[version, family][..], &length, rest].concat()
}

const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x13, 0xc4];

fn v6() -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    [&octets("2001:db8::7")[..], &octets("2001:db8::1"), &[0xc3, 0x50, 0x13, 0xc4]].concat()
}

// Every form, in one piece and byte by byte; what follows is left where it is.
#[test]
fn who_is_behind_a_balancer() {
    let tls = [&[0x20, 0, 5, 1, 0, 0, 0, 0, 4, 0, 0][..], &[b'x'; 300]].concat();
    for (header, expected) in [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 5060\r\n".to_vec(), Some("192.0.2.7:50000")),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 5060\r\n".to_vec(), Some("[2001:db8::7]:1")),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 9 5060\r\n".to_vec(), Some("192.0.2.7:9")),
        (
            b"PROXY TCP6 ffff:f1ff:ffff:ffff:ffff:ffff:ffff:ffff \
              ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
                .to_vec(),
            None,
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), None),
        (b"PROXY UNKNOWN and whatever 1 2 3 4 5\r\n".to_vec(), None),
        (version_2_bytes(0x21, 0x11, V4), Some("192.0.2.7:50000")),
        (version_2_bytes(0x21, 0x11, &[V4, &tls].concat()), Some("192.0.2.7:50000")),
        (version_2_bytes(0x21, 0x21, &v6()), Some("[2001:db8::7]:50000")),
        (version_2_bytes(0x21, 0x21, &[&v6()[..], &tls].concat()), Some("[2001:db8::7]:50000")),
        (version_2_bytes(0x20, 0x00, b""), None),
        (version_2_bytes(0x20, 0x11, V4), None),
        (version_2_bytes(0x20, 0xff, b"zzz"), None),
        (version_2_bytes(0x21, 0x00, b"zzz"), None),
        (version_2_bytes(0x21, 0x31, &[0; 216]), None),
    ] {
        if header.starts_with(b"PROXY TCP6 ffff") {
            // The longest line there can be is read; who it names is a group of listeners.
            assert_eq!(header.len(), 104);
            let (result, _) = read_in(4_096, &header, Then::End);
            assert!(matches!(result, Err(Refused::Malformed("nobody can be there"))));
            continue;
        }
        for pieces in [1, 3, 4_096] {
            let (result, left) = read_in(pieces, &[&header, BEHIND].concat(), Then::More);
            let expected = expected.map(|text| text.parse().expect("an address"));
            assert_eq!(result.expect("a header"), expected, "{header:?}");
            assert_eq!(left, BEHIND, "{header:?}");
        }
    }
}

#[test]
fn wrong_headers_close_the_connection() {
    let line = |rest: &str| format!("PROXY {rest}\r\n").into_bytes();
    let long = line(&format!("UNKNOWN {}", "x".repeat(92)));
    assert_eq!(long.len(), limits::PROXY_V1 + 1);
    for wrong in [
        BEHIND.to_vec(),
        b"\r\n\r\n\r\n\r\n\r\n\r\n".to_vec(),
        b"proxy TCP4 192.0.2.7 198.51.100.1 50000 5060\r\n".to_vec(),
        b"PROXY\tTCP4 192.0.2.7 198.51.100.1 50000 5060\r\n".to_vec(),
        long,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 5060\n\r\n".to_vec(),
        line("TCP4 192.0.2.7 198.51.100.1 50000"),
        line("TCP4 192.0.2.7 198.51.100.1 50000 5060 "),
        line("TCP4  192.0.2.7 198.51.100.1 50000 5060"),
        line("TCP4 2001:db8::7 198.51.100.1 50000 5060"),
        line("TCP6 2001:db8::7 198.51.100.1 50000 5060"),
        line("TCP4 192.0.2 198.51.100.1 50000 5060"),
        line("TCP4 192.0.2.7 198.51.100.1 +5000 5060"),
        line("TCP4 192.0.2.7 198.51.100.1 65536 5060"),
        line("TCP4 192.0.2.7 198.51.100.1 50000 x"),
        line("TCP4 192.0.2.7 198.51.100.1 0 5060"),
        line("TCP4 0.0.0.0 198.51.100.1 50000 5060"),
        line("TCP4 224.0.0.1 198.51.100.1 50000 5060"),
        line("UDP4 192.0.2.7 198.51.100.1 50000 5060"),
        line("TCP4 192.0.2.7\u{e4} 198.51.100.1 50000 5060"),
        version_2_bytes(0x11, 0x11, V4),
        version_2_bytes(0x22, 0x11, V4),
        version_2_bytes(0x31, 0x11, V4),
        version_2_bytes(0x21, 0x11, &V4[..11]),
        version_2_bytes(0x21, 0x21, V4),
        version_2_bytes(0x21, 0x31, &[0; 215]),
        version_2_bytes(0x21, 0x12, V4),
        version_2_bytes(0x21, 0x22, &v6()),
        version_2_bytes(0x21, 0x01, b""),
        version_2_bytes(0x21, 0x41, V4),
        version_2_bytes(0x21, 0x11, &[0; 12]),
        version_2_bytes(0x20, 0x00, &vec![0; limits::PROXY_V2 + 1]),
    ] {
        for pieces in [1, 4_096] {
            let (result, _) = read_in(pieces, &wrong, Then::More);
            assert!(matches!(result, Err(Refused::Malformed(_))), "{wrong:?}: {result:?}");
        }
    }
}

#[test]
fn a_header_that_does_not_end_ends_the_connection() {
    let whole = version_2_bytes(0x21, 0x11, V4);
    let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 5060\r\n";
    for header in [&whole[..], line] {
        for length in 0..header.len() {
            let (late, _) = read_in(1, &header[..length], Then::Silence);
            assert!(matches!(late, Err(Refused::Late)), "{length}: {late:?}");
            let (ended, _) = read_in(1, &header[..length], Then::End);
            match ended {
                Err(Refused::Silent) => assert_eq!(length, 0),
                Err(Refused::Ended(_)) => assert!(length > 0),
                other => panic!("{length}: {other:?}"),
            }
        }
    }
}

#[test]
fn only_so_many_wait_for_their_header() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let balancers =
        Balancers::new(vec![("10.0.0.0".parse().expect("an address"), 8)], limits::CONNECTIONS);
    assert!(balancers.hold("10.1.2.3".parse().expect("an address")));
    assert!(balancers.hold("::ffff:10.1.2.3".parse().expect("an address")));
    assert!(!balancers.hold("11.1.2.3".parse().expect("an address")));
    assert!(!balancers.hold("::1".parse().expect("an address")));
    let all = balancers.room.try_acquire_many(limits::PROXY_HEADERS as u32).expect("room");
    let refused = runtime.block_on(balancers.introduced(&mut &b"PROXY UNKNOWN\r\n"[..]));
    assert!(matches!(refused, Err(Refused::NoRoom)));
    drop(all);
}
