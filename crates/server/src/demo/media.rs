//! The sound of a phone: PCMU in RTP (RFC 3550, RFC 3551), one packet every 20 ms.

use super::tone;
use ringway_wire::Sdp;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The time between two packets, and the sound in each.
const PACKET: Duration = Duration::from_millis(20);
/// Samples in a packet.
const SAMPLES: u32 = tone::RATE / 50;
/// Packets to send: one and a half seconds.
const PACKETS: u32 = 75;
/// What was sent last may take so long to arrive.
const LATE: Duration = Duration::from_millis(500);
/// The fixed part of an RTP header.
const HEADER: usize = 12;

/// Where a phone hears and from where it speaks.
#[derive(Debug)]
pub struct Media {
    socket: UdpSocket,
    local: SocketAddr,
}

/// One direction of a talk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Talk {
    /// When the first packet was sent.
    pub started: Instant,
    /// Packets that this phone sent.
    pub sent: u32,
    /// Packets that it heard from the other one.
    pub heard: u32,
    /// How many of these were the tone.
    pub tones: u32,
}

impl Media {
    /// Opens a port for sound on this address.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn open(ip: IpAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(SocketAddr::new(ip, 0))?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }

    /// Where it hears.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Its session description, an offer or an answer (RFC 8866, RFC 3264).
    pub fn description(&self) -> String {
        let (ip, port) = (self.local.ip(), self.local.port());
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        format!(
            "v=0\r\no=- {port} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n"
        )
    }

    /// Talks with the other side: says the tone for a while, and listens to what it says.
    ///
    /// # Errors
    /// If the system refuses to send.
    pub fn talk(&self, to: SocketAddr) -> io::Result<Talk> {
        let identity = getrandom::u32().unwrap_or_default();
        let started = Instant::now();
        let mut talk = Talk { started, sent: 0, heard: 0, tones: 0 };
        let mut ear = Ear { from: to, identity: None };
        while talk.sent < PACKETS {
            self.socket.send_to(&packet(talk.sent, identity), to)?;
            talk.sent += 1;
            self.listen(started + PACKET * talk.sent, &mut ear, &mut talk)?;
        }
        let end = Instant::now() + LATE;
        while talk.heard < PACKETS && Instant::now() < end {
            self.listen(end.min(Instant::now() + PACKET), &mut ear, &mut talk)?;
        }
        Ok(talk)
    }

    /// Listens until then.
    fn listen(&self, until: Instant, ear: &mut Ear, talk: &mut Talk) -> io::Result<()> {
        let mut buffer = [0; 2_048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.socket.set_read_timeout(Some(left))?;
            // Nothing came, or the far port is not open yet: that shows in the count.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer) else { continue };
            if let Some(sound) = ear.hear(from, &buffer[..length]) {
                talk.heard += 1;
                talk.tones += u32::from(tone::is_tone(sound));
            }
        }
    }
}

/// Where a session description wants PCMU to be sent to.
pub fn place_of(description: &[u8]) -> Option<SocketAddr> {
    let sdp = Sdp::new(description)?;
    let mut media = sdp.media();
    let audio = media.find(|media| {
        let pcmu = media.formats.split(|&b| b == b' ').any(|format| format == b"0");
        media.kind == b"audio" && media.protocol == b"RTP/AVP" && media.port > 0 && pcmu
    })?;
    Some(SocketAddr::new(audio.connection?, audio.port))
}

/// The n-th packet of the tone.
fn packet(nth: u32, identity: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + SAMPLES as usize);
    // Version 2, payload type 0, and a mark on the first packet (RFC 3551 §4.1).
    packet.extend([0x80, if nth == 0 { 0x80 } else { 0 }]);
    packet.extend((nth as u16).to_be_bytes());
    packet.extend((nth * SAMPLES).to_be_bytes());
    packet.extend(identity.to_be_bytes());
    packet.extend(tone::samples(nth * SAMPLES, SAMPLES));
    packet
}

/// Knows whom it listens to.
struct Ear {
    from: SocketAddr,
    identity: Option<[u8; 4]>,
}

impl Ear {
    /// The sound in a packet, if it is PCMU in RTP and comes from whom we talk with.
    fn hear<'p>(&mut self, from: SocketAddr, packet: &'p [u8]) -> Option<&'p [u8]> {
        let (header, rest) = packet.split_at_checked(HEADER)?;
        let is_pcmu = header[0] >> 6 == 2 && header[1] & 0x7f == 0;
        let has_padding_or_extension = header[0] & 0x30 != 0;
        let identity = [header[8], header[9], header[10], header[11]];
        if from != self.from || !is_pcmu || has_padding_or_extension {
            return None;
        }
        if *self.identity.get_or_insert(identity) != identity {
            return None;
        }
        rest.get(usize::from(header[0] & 0x0f) * 4..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn two_talk_and_hear_each_other() {
        let (a, b) = (Media::open(LOOPBACK).expect("a port"), Media::open(LOOPBACK).expect("one"));
        let to_a = place_of(a.description().as_bytes()).expect("a place");
        let to_b = place_of(b.description().as_bytes()).expect("a place");
        assert_eq!((to_a, to_b), (a.local(), b.local()));
        let talks = thread::scope(|scope| {
            let a = scope.spawn(|| a.talk(to_b));
            let b = scope.spawn(|| b.talk(to_a));
            [a, b].map(|talk| talk.join().expect("no panic").expect("a talk"))
        });
        for talk in talks {
            assert_eq!(talk.sent, PACKETS);
            // A busy machine may drop some; none of those that arrive sounds wrong.
            assert!(talk.heard * 10 >= PACKETS * 9, "{talk:?}");
            assert_eq!(talk.tones, talk.heard);
        }
    }

    #[test]
    fn an_ear_counts_only_whom_it_listens_to() {
        let from: SocketAddr = "127.0.0.1:4000".parse().expect("an address");
        let other: SocketAddr = "127.0.0.1:4002".parse().expect("an address");
        let mut ear = Ear { from, identity: None };
        let good = packet(0, 7);
        assert_eq!(ear.hear(from, &good).map(<[u8]>::len), Some(160));
        assert!(tone::is_tone(ear.hear(from, &packet(9, 7)).expect("sound")));
        assert_eq!(ear.hear(other, &good), None, "another port");
        assert_eq!(ear.hear(from, &packet(1, 8)), None, "another source");
        assert_eq!(ear.hear(from, &good[..11]), None);
        for (at, byte) in [(0, 0x40), (0, 0x90), (0, 0xa0), (1, 8)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(ear.hear(from, &bad), None, "{at} {byte:#x}");
        }
        let mut with_sources = good.clone();
        with_sources[0] |= 1;
        assert_eq!(ear.hear(from, &with_sources).map(<[u8]>::len), Some(156));
    }

    #[test]
    fn only_descriptions_of_pcmu_lead_somewhere() {
        let place =
            |media: &str| place_of(format!("v=0\r\nc=IN IP6 ::1\r\n{media}\r\n").as_bytes());
        assert_eq!(place("m=audio 8 RTP/AVP 8 0"), "[::1]:8".parse().ok());
        for bad in [
            "m=audio 0 RTP/AVP 0",
            "m=audio 8 RTP/AVP 8",
            "m=video 8 RTP/AVP 0",
            "m=audio 8 RTP/SAVP 0",
            "",
        ] {
            assert_eq!(place(bad), None, "{bad}");
        }
        assert_eq!(place_of(b"hello"), None);
    }
}
