//! Messages as a capture file that Wireshark and tcpdump read: the classic format, each message in
//! IP packets made for it. Bytes are those that passed, headers and checksums of the packets are
//! made up; what was encrypted on the wire is not in the file.

use etherparse::PacketBuilder;
use ringway_core::flow::Transport;
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// The file begins with this, in the byte order of its numbers; times are in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
const VERSION: [u16; 2] = [2, 4];
/// The longest packet that may follow.
const SNAP_LENGTH: u32 = 262_144;
/// Packets begin with their IP header (LINKTYPE_RAW).
const LINK_TYPE: u32 = 101;
/// Hops that are left of a packet, as a host would send it.
const HOPS: u8 = 64;
/// Bytes of a message in one packet of a stream; longer ones come in several.
const SEGMENT: usize = 32_768;
/// What a receiver says it has room for.
const WINDOW: u16 = 65_535;

/// Writes a capture file.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    /// The next sequence number of each direction of a stream.
    sent: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&MAGIC.to_le_bytes())?;
        for number in VERSION {
            out.write_all(&number.to_le_bytes())?;
        }
        // Times are in UTC, to the microsecond.
        out.write_all(&[0; 8])?;
        out.write_all(&SNAP_LENGTH.to_le_bytes())?;
        out.write_all(&LINK_TYPE.to_le_bytes())?;
        Ok(Self { out, sent: HashMap::new() })
    }

    /// Adds a message, at a time in microseconds since the Unix epoch.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn message(
        &mut self,
        at_us: u64,
        transport: Transport,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) -> io::Result<()> {
        let invalid = |error: etherparse::err::packet::BuildWriteError| {
            io::Error::new(io::ErrorKind::InvalidInput, error.to_string())
        };
        if transport == Transport::Udp {
            let mut packet = Vec::with_capacity(bytes.len() + 64);
            let builder = ip(from, to).udp(from.port(), to.port());
            builder.write(&mut packet, bytes).map_err(invalid)?;
            return self.packet(at_us, &packet);
        }
        for segment in bytes.chunks(SEGMENT) {
            let acknowledged = self.sent.get(&(to, from)).copied().unwrap_or(1);
            let number = self.sent.entry((from, to)).or_insert(1);
            let builder = ip(from, to).tcp(from.port(), to.port(), *number, WINDOW);
            *number = number.wrapping_add(segment.len() as u32);
            let mut packet = Vec::with_capacity(segment.len() + 64);
            let builder = builder.psh().ack(acknowledged);
            builder.write(&mut packet, segment).map_err(invalid)?;
            self.packet(at_us, &packet)?;
        }
        Ok(())
    }

    fn packet(&mut self, at_us: u64, packet: &[u8]) -> io::Result<()> {
        let length = packet.len() as u32;
        let (seconds, micros) = ((at_us / 1_000_000) as u32, (at_us % 1_000_000) as u32);
        for number in [seconds, micros, length, length] {
            self.out.write_all(&number.to_le_bytes())?;
        }
        self.out.write_all(packet)
    }

    /// Has all that was added written.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn ip(from: SocketAddr, to: SocketAddr) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            PacketBuilder::ipv6(octets(from), octets(to), HOPS)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// The packets of a file, each with its time.
    fn read(file: &[u8]) -> Vec<(u64, &[u8])> {
        assert_eq!((number(file, 0), number(file, 20)), (MAGIC, LINK_TYPE));
        assert_eq!(file[4..8], [2, 0, 4, 0]);
        let (mut at, mut packets) = (24, Vec::new());
        while at < file.len() {
            let time = u64::from(number(file, at)) * 1_000_000 + u64::from(number(file, at + 4));
            let length = number(file, at + 8) as usize;
            assert_eq!(length, number(file, at + 12) as usize);
            packets.push((time, &file[at + 16..at + 16 + length]));
            at += 16 + length;
        }
        packets
    }

    /// The sum over 16-bit words, as of a header with its checksum in it: all ones.
    fn sum(bytes: &[u8]) -> u32 {
        let words =
            bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
        let mut sum: u32 = words.sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum
    }

    #[test]
    fn datagrams_of_both_families() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).expect("memory");
        for (from, to) in
            [("192.0.2.1:5060", "198.51.100.9:5062"), ("[2001:db8::1]:5060", "[2001:db8::9]:5062")]
        {
            let way = (from.parse().expect("one"), to.parse().expect("one"));
            writer.message(1_700_000_000_123_456, Transport::Udp, way, b"hello").expect("memory");
        }
        let packets = read(&file);
        assert_eq!(packets.len(), 2);
        assert!(packets.iter().all(|(time, _)| *time == 1_700_000_000_123_456));
        let v4 = packets[0].1;
        assert_eq!((v4[0], v4[9], v4.len()), (0x45, 17, 20 + 8 + 5));
        assert_eq!((sum(&v4[..20]), &v4[12..20]), (0xffff, &[192, 0, 2, 1, 198, 51, 100, 9][..]));
        assert_eq!(&v4[20..26], [0x13, 0xc4, 0x13, 0xc6, 0, 13]);
        assert_eq!(&v4[28..], b"hello");
        let pseudo = [&v4[12..20], &[0, 17, 0, 13], &v4[20..]].concat();
        assert_eq!(sum(&pseudo), 0xffff, "the checksum over addresses and datagram");
        let v6 = packets[1].1;
        assert_eq!((v6[0] >> 4, v6[6], v6.len()), (6, 17, 40 + 8 + 5));
        assert_eq!(&v6[48..], b"hello");
    }

    #[test]
    fn a_stream_goes_on_where_it_was() {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file).expect("memory");
        let (a, b) = (([192, 0, 2, 1], 5060).into(), ([192, 0, 2, 2], 40_000).into());
        let long: Vec<u8> = (0..70_000_u32).map(|n| n as u8).collect();
        for (way, text) in [((a, b), &b"one"[..]), ((b, a), b"two!"), ((a, b), &long)] {
            writer.message(7, Transport::Tls, way, text).expect("memory");
        }
        let packets = read(&file);
        let numbers: Vec<_> = packets
            .iter()
            .map(|(_, packet)| {
                let word =
                    |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().expect("4"));
                (word(24), word(28), packet[33], packet.len() - 40)
            })
            .collect();
        let ack_psh = 0x18;
        let expected = [
            (1, 1, ack_psh, 3),
            (1, 4, ack_psh, 4),
            (4, 5, ack_psh, SEGMENT),
            (4 + SEGMENT as u32, 5, ack_psh, SEGMENT),
            (4 + 2 * SEGMENT as u32, 5, ack_psh, 70_000 - 2 * SEGMENT),
        ];
        assert_eq!(numbers, expected);
        let carried: Vec<u8> = packets[2..].iter().flat_map(|(_, p)| p[40..].to_vec()).collect();
        assert!(carried == long);
    }
}
