//! What is asked of the name service, and what it says.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// One question to the name service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Query {
    /// A whole name in lower case, without a final dot.
    pub name: Box<str>,
    /// What is asked about it.
    pub kind: Kind,
}

/// Which records are asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Transports (RFC 3263 §4.1).
    Naptr,
    /// Hosts and ports (RFC 2782).
    Srv,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
}

/// The answer to a [`Query`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Records {
    /// NAPTR records, in any order.
    Naptr(Vec<Naptr>),
    /// SRV records, in any order.
    Srv(Vec<Srv>),
    /// Addresses, in the order of the answer.
    Addresses(Vec<IpAddr>),
    /// There are none, or they cannot be had.
    Nothing,
}

impl Records {
    /// Whether this answer, which comes after `earlier` to the same question, no longer says that
    /// the domain is reached over TLS as well.
    //= RFC 3263 7
    // "such records were present, but in later queries cease to appear, it is a"
    pub fn withdraws_tls(&self, earlier: &Self) -> bool {
        earlier.offers_tls() && !self.offers_tls()
    }

    fn offers_tls(&self) -> bool {
        let is_secure = |record: &Naptr| {
            record.service.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("SIPS+"))
        };
        matches!(self, Self::Naptr(records) if records.iter().any(is_secure))
    }
}

/// A NAPTR record (RFC 3403 §4.1), as far as RFC 3263 §4.1 makes use of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Naptr {
    /// Lower ones must be taken first.
    pub order: u16,
    /// Of the same order, lower ones are preferred.
    pub preference: u16,
    /// `s`: the replacement has SRV records.
    pub flags: Box<str>,
    /// `SIPS+D2T` and the like.
    pub service: Box<str>,
    /// Empty in every record that is for us.
    pub regexp: Box<str>,
    /// Where to go on.
    pub replacement: Box<str>,
}

/// An SRV record (RFC 2782).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Srv {
    /// Lower ones first.
    pub priority: u16,
    /// Share of the requests among those of the same priority.
    pub weight: u16,
    /// The port there.
    pub port: u16,
    /// A host name; `.` or nothing at all: the service is decidedly not there.
    pub target: Box<str>,
}

impl Srv {
    /// A record with these values.
    pub fn new(priority: u16, weight: u16, port: u16, target: &str) -> Self {
        Self { priority, weight, port, target: target.into() }
    }
}
