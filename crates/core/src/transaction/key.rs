//! How messages find their transactions: RFC 3261 §17.1.3 and §17.2.3.

use crate::keys::Keys;
use core::fmt;
use ringway_wire::{Host, Message, Method, Via};

/// The key of a server transaction: a keyed hash, so nobody outside can make two collide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ServerKey(u128);

/// What every branch that follows RFC 3261 begins with (§8.1.1.7).
const COOKIE: &[u8] = b"z9hg4bk";

impl ServerKey {
    /// The key of a request. ACK finds the INVITE's; give `Method::Invite` as `method` to find
    /// the INVITE that a CANCEL means.
    pub fn of(keys: &Keys, request: &Message<'_>, method: &Method<'_>) -> Option<Self> {
        let method = if *method == Method::Ack { &Method::Invite } else { method };
        let via = request.top_via().ok()?;
        let port = via.port.unwrap_or(0).to_be_bytes();
        let mut space = [0; 256];
        let host = host_bytes(&via, &mut space);
        match via.branch() {
            //= RFC 3261 17.2.3
            // "the branch parameter in the request is equal to the one in the"
            Some(branch) if is_unique(branch) => {
                let parts = [branch, host, &port, method.as_bytes()];
                Some(Self(keys.hash128(b"transaction", &parts)))
            }
            _ => Some(Self::of_old(keys, request, method, (host, &port))),
        }
    }

    /// RFC 2543 matching: the fields that make such a request what it is (§17.2.3). The To tag
    /// of an ACK is that of our response, so it is left out.
    fn of_old(
        keys: &Keys,
        request: &Message<'_>,
        method: &Method<'_>,
        (host, port): (&[u8], &[u8]),
    ) -> Self {
        let from_tag = request.from().ok().and_then(|from| from.tag()).unwrap_or_default();
        let number = request.cseq().map_or(0, |cseq| cseq.number).to_be_bytes();
        let branch = request.top_via().ok().and_then(|via| via.branch()).unwrap_or_default();
        Self(keys.hash128(
            b"old transaction",
            &[
                request.request_uri(),
                from_tag,
                request.call_id(),
                &number,
                method.as_bytes(),
                branch,
                host,
                port,
            ],
        ))
    }
}

/// Whether a branch is one of RFC 3261, of which there is no second one.
pub(crate) fn is_unique(branch: &[u8]) -> bool {
    branch.len() > COOKIE.len() && branch[..COOKIE.len()].eq_ignore_ascii_case(COOKIE)
}

/// The host of a Via, the same for all who write it differently.
pub(crate) fn host_bytes<'s>(via: &Via<'_>, space: &'s mut [u8; 256]) -> &'s [u8] {
    let len = match via.host {
        Host::V4(v4) => put(space, &v4.octets()),
        Host::V6(v6) => put(space, &v6.octets()),
        Host::Name(name) => {
            let len = put(space, name);
            space[..len].make_ascii_lowercase();
            len
        }
    };
    &space[..len]
}

fn put(space: &mut [u8; 256], bytes: &[u8]) -> usize {
    let len = bytes.len().min(space.len());
    space[..len].copy_from_slice(&bytes[..len]);
    len
}

/// The branch parameter of requests that we send: names the client transaction and carries the
/// loop hash (RFC 5393 §4.2.1). Written as the magic cookie and 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientBranch {
    /// The client transaction.
    pub client: u64,
    /// Makes it one that nobody can guess.
    pub random: u32,
    /// What routing depended on.
    pub loop_hash: u64,
}

const PREFIX: &[u8] = b"z9hG4bK";
const DIGITS: usize = 40;

impl ClientBranch {
    /// Reads a branch; `None` if it is none of this form.
    pub fn parse(branch: &[u8]) -> Option<Self> {
        let digits = branch.strip_prefix(PREFIX).filter(|digits| digits.len() == DIGITS)?;
        let hex = |range: core::ops::Range<usize>| hex(&digits[range]).map(|number| number as u64);
        Some(Self { client: hex(0..16)?, random: hex(16..24)? as u32, loop_hash: hex(24..40)? })
    }

    /// That of a request of ours of which somebody quotes the first bytes; `None` if they are of
    /// something else, or too few.
    pub fn quoted(datagram: &[u8]) -> Option<Self> {
        let mut lines = datagram.split(|byte| *byte == b'\n');
        // A response begins with the version, and carries the branches of others.
        lines.next().filter(|first| !first.starts_with(b"SIP/"))?;
        // As we write it; a line that the quote cuts off has no end.
        let via = lines.find_map(|line| line.strip_prefix(b"Via: "))?.strip_suffix(b"\r")?;
        Self::parse(Via::parse(via).ok()?.branch()?)
    }
}

/// The branch parameter of requests that pass without state (RFC 3261 §16.11): the same whenever
/// the same transaction comes by. Written as the magic cookie and 48 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatelessBranch {
    /// Nobody can guess it, and no two transactions have the same.
    pub hash: u128,
    /// What routing depended on.
    pub loop_hash: u64,
}

const STATELESS_DIGITS: usize = 48;

impl StatelessBranch {
    /// The branch for what has this topmost Via and this Call-ID; `None` if the branch there is
    /// one of RFC 2543, which others may have, too.
    //= RFC 3261 16.11
    // "request.  If it begins with the magic cookie, the first"
    pub fn of(keys: &Keys, (via, call_id): (&Via<'_>, &[u8]), loop_hash: u64) -> Option<Self> {
        let branch = via.branch().filter(|branch| is_unique(branch))?;
        let port = via.port.unwrap_or(0).to_be_bytes();
        let mut space = [0; 256];
        let parts = [branch, host_bytes(via, &mut space), &port, call_id];
        Some(Self { hash: keys.hash128(b"stateless transaction", &parts), loop_hash })
    }

    /// Reads a branch; `None` if it is none of this form.
    pub fn parse(branch: &[u8]) -> Option<Self> {
        let digits = branch.strip_prefix(PREFIX).filter(|d| d.len() == STATELESS_DIGITS)?;
        let (hash, loop_hash) = digits.split_at(32);
        Some(Self { hash: hex(hash)?, loop_hash: hex(loop_hash)? as u64 })
    }
}

impl fmt::Display for StatelessBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "z9hG4bK{:032x}{:016x}", self.hash, self.loop_hash)
    }
}

/// What routing depended on when we made this branch; `None` if we did not.
pub(crate) fn loop_hash_in(branch: &[u8]) -> Option<u64> {
    let stateful = ClientBranch::parse(branch).map(|branch| branch.loop_hash);
    stateful.or_else(|| StatelessBranch::parse(branch).map(|branch| branch.loop_hash))
}

/// A number in lower-case hexadecimal digits, 32 at most.
pub(crate) fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

impl fmt::Display for ClientBranch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "z9hG4bK{:016x}{:08x}{:016x}", self.client, self.random, self.loop_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use ringway_wire::{Framing, Index, parse};

    #[test]
    fn a_branch_comes_back_as_it_was() {
        let branch = ClientBranch { client: 0x0102_0304, random: u32::MAX, loop_hash: 7 << 60 };
        let text = branch.to_string();
        assert_eq!(ClientBranch::parse(text.as_bytes()), Some(branch));
        for bad in ["", "z9hG4bK", "z9hG4bK1", &text[1..], &text[..46], &text.to_uppercase()] {
            assert_eq!(ClientBranch::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_stateless_branch_comes_back_as_it_was() {
        let branch = StatelessBranch { hash: u128::MAX >> 7, loop_hash: 9 };
        let text = branch.to_string();
        assert_eq!(StatelessBranch::parse(text.as_bytes()), Some(branch));
        assert_eq!(loop_hash_in(text.as_bytes()), Some(9));
        assert_eq!(ClientBranch::parse(text.as_bytes()), None);
        for bad in ["", "z9hG4bK", &text[1..], &text[..54], &text.to_uppercase()] {
            assert_eq!(StatelessBranch::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    fn key(via: &str, method: &str, to_tag: &str) -> ServerKey {
        let text = alloc::format!(
            "{method} sip:b@example.org SIP/2.0\r\nVia: {via}\r\nFrom: <sip:a@x>;tag=1\r\n\
             To: <sip:b@x>{to_tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
        );
        let bytes = String::leak(text).as_bytes();
        let mut index = Index::new();
        let message = parse(bytes, &mut index, Framing::Datagram).expect("a request");
        ServerKey::of(&Keys::new(&[1; 32]), &message, &message.method()).expect("a Via")
    }

    #[test]
    //= RFC 3261 17.2.3 type=test
    fn requests_find_their_transaction() {
        let via = "SIP/2.0/UDP host.example;branch=z9hG4bKabc";
        let invite = key(via, "INVITE", "");
        assert_eq!(key("SIP/2.0/UDP HOST.example ;branch=z9hG4bKabc", "INVITE", ""), invite);
        assert_eq!(key(via, "ACK", ";tag=ours"), invite);
        assert_ne!(key(via, "CANCEL", ""), invite);
        assert_ne!(key("SIP/2.0/UDP host.example:5061;branch=z9hG4bKabc", "INVITE", ""), invite);
        assert_ne!(key("SIP/2.0/UDP host2.example;branch=z9hG4bKabc", "INVITE", ""), invite);
        assert_ne!(key("SIP/2.0/UDP host.example;branch=z9hG4bKabd", "INVITE", ""), invite);
        let old = key("SIP/2.0/UDP host.example", "INVITE", "");
        assert_eq!(key("SIP/2.0/UDP host.example", "ACK", ";tag=ours"), old);
        assert_ne!(key("SIP/2.0/UDP other.example", "INVITE", ""), old);
    }
}
