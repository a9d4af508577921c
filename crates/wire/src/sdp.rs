//! Session descriptions, read only (RFC 8866): what a relay and an observer must know.

use core::net::IpAddr;

/// A session description as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sdp<'a> {
    text: &'a [u8],
}

/// One media section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video` …
    pub kind: &'a [u8],
    /// The port; 0 means refused or not used (RFC 3264 §6).
    pub port: u16,
    /// `RTP/AVP` and its like.
    pub protocol: &'a [u8],
    /// The formats, separated by blanks.
    pub formats: &'a [u8],
    /// Where to send: the section's own `c=`, else the session's.
    pub connection: Option<IpAddr>,
    /// Which way media flows.
    pub direction: Direction,
}

/// Which way media flows (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl<'a> Sdp<'a> {
    /// Takes a body for a session description; `None` if it does not begin like one, or is
    /// larger than [`limits::SDP`](crate::limits::SDP).
    pub fn new(body: &'a [u8]) -> Option<Self> {
        let fits = body.starts_with(b"v=0") && body.len() <= crate::limits::SDP;
        fits.then_some(Self { text: body })
    }

    /// Where the session as a whole wants to be sent to, for sections that do not say.
    pub fn connection(&self) -> Option<IpAddr> {
        self.section(0).and_then(connection_of)
    }

    /// The media sections, in order. What cannot be read of one is left out.
    pub fn media(&self) -> impl Iterator<Item = Media<'a>> + use<'a> {
        let session = self.section(0);
        let connection = session.and_then(connection_of);
        let direction = session.and_then(direction_of).unwrap_or(Direction::SendRecv);
        let this = *self;
        (1..=crate::limits::SDP_MEDIA)
            .map_while(move |nth| this.section(nth))
            .filter_map(move |section| read_media(section, connection, direction))
    }

    /// The lines before the first `m=` (0), or those of the n-th media section.
    fn section(&self, nth: usize) -> Option<&'a [u8]> {
        let mut starts = core::iter::once(0)
            .chain(memchr::memmem::find_iter(self.text, b"\nm=").map(|at| at + 1));
        let start = starts.nth(nth)?;
        let end = starts.next().unwrap_or(self.text.len());
        Some(&self.text[start..end])
    }
}

fn lines(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    section.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

fn connection_of(section: &[u8]) -> Option<IpAddr> {
    let line = lines(section).find_map(|line| line.strip_prefix(b"c=IN IP"))?;
    let address = line.get(2..)?.split(|&b| b == b'/').next()?;
    core::str::from_utf8(address).ok()?.trim().parse().ok()
}

fn direction_of(section: &[u8]) -> Option<Direction> {
    lines(section).find_map(|line| match line {
        b"a=sendrecv" => Some(Direction::SendRecv),
        b"a=sendonly" => Some(Direction::SendOnly),
        b"a=recvonly" => Some(Direction::RecvOnly),
        b"a=inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

fn read_media<'a>(
    section: &'a [u8],
    connection: Option<IpAddr>,
    direction: Direction,
) -> Option<Media<'a>> {
    let line = lines(section).next()?.strip_prefix(b"m=")?;
    let mut words = line.splitn(4, |&b| b == b' ');
    let (kind, port, protocol) = (words.next()?, words.next()?, words.next()?);
    let port = port.split(|&b| b == b'/').next()?;
    Some(Media {
        kind,
        port: crate::scan::number(port, 65_535)? as u16,
        protocol,
        formats: words.next().unwrap_or_default(),
        connection: connection_of(section).or(connection),
        direction: direction_of(section).unwrap_or(direction),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn sections_inherit_from_the_session() {
        let sdp = Sdp::new(
            b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
              m=audio 4000 RTP/AVP 0 8\r\na=sendonly\r\nm=video 0/2 RTP/AVP 31\r\nc=IN IP6 ::1\r\n",
        )
        .expect("a description");
        let media: Vec<_> = sdp.media().collect();
        assert_eq!(media.len(), 2);
        assert_eq!((media[0].kind, media[0].port), (&b"audio"[..], 4000));
        assert_eq!(media[0].connection, "192.0.2.1".parse().ok());
        assert_eq!(media[0].direction, Direction::SendOnly);
        assert_eq!(media[1].connection, "::1".parse().ok());
        assert_eq!(media[1].direction, Direction::SendRecv);
        assert!(Sdp::new(b"x").is_none());
    }
    #[test]
    fn a19_what_is_odd_or_too_much_is_left_out() {
        let read = |text: &str| -> Vec<(u16, Option<IpAddr>, Direction)> {
            let text = text.replace('|', "\r\n");
            let sdp = Sdp::new(text.as_bytes()).expect("a description");
            sdp.media().map(|media| (media.port, media.connection, media.direction)).collect()
        };
        let v4: Option<IpAddr> = "192.0.2.1".parse().ok();
        let inherited = read("v=0|a=inactive|c=IN IP4 192.0.2.1|m=audio 4 RTP/AVP 0");
        assert_eq!(inherited, [(4, v4, Direction::Inactive)], "no line end at the end");
        let bare = read("v=0\nm=audio 4 RTP/AVP 0\nc=IN IP4 192.0.2.1/127\na=recvonly\n");
        assert_eq!(bare, [(4, v4, Direction::RecvOnly)]);
        for (line, found) in [
            ("m=audio 65535 RTP/AVP", 1),
            ("m=audio 65536 RTP/AVP 0", 0),
            ("m=audio -1 RTP/AVP 0", 0),
            ("m=audio 4", 0),
            ("m=", 0),
        ] {
            assert_eq!(read(&alloc::format!("v=0|{line}|")).len(), found, "{line}");
        }
        assert_eq!(
            read("v=0|c=IN IP4 host.example|m=audio 4 RTP/AVP 0"),
            [(4, None, Direction::SendRecv)]
        );
        let many = "m=audio 4 RTP/AVP 0|".repeat(99);
        assert_eq!(read(&alloc::format!("v=0|{many}")).len(), crate::limits::SDP_MEDIA);
        let large = alloc::format!("v=0\r\n{}", "a".repeat(crate::limits::SDP));
        assert_eq!(Sdp::new(large.as_bytes()), None);
        let session = Sdp::new(b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=x").expect("a description");
        assert_eq!(session.connection(), v4);
    }
}
