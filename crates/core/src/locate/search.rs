//! The search itself: RFC 3263 §4.1 and §4.2, with RFC 7984 §3.1.

use super::order::{Dice, by_preference, by_weight};
use super::{Kind, Naptr, NextHop, Query, Records, Srv};
use crate::flow::{Listener, Transport};
use crate::limits;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Where a request can be sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where to.
    pub remote: SocketAddr,
}

/// Over which transports we can send, and in which families.
#[derive(Clone, Debug)]
pub struct Usable(Vec<(Transport, bool)>);

impl FromIterator<(Transport, bool)> for Usable {
    /// Pairs of a transport and whether it is over IPv4.
    fn from_iter<I: IntoIterator<Item = (Transport, bool)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Usable {
    /// What sockets are there for.
    pub fn of(listeners: &[Listener]) -> Self {
        listeners.iter().map(|l| (l.transport, l.local.is_ipv4())).collect()
    }

    fn has(&self, transport: Transport) -> bool {
        self.0.iter().any(|(t, _)| *t == transport)
    }

    fn over(&self, transport: Transport, v4: bool) -> bool {
        self.0.contains(&(transport, v4))
    }
}

/// One search for a next hop.
#[derive(Debug)]
pub struct Search {
    usable: Usable,
    dice: Dice,
    hop: Hop,
    step: Step,
    wanted: Vec<Query>,
    targets: Vec<Target>,
}

/// What is sought, in its canonical form.
#[derive(Debug)]
struct Hop {
    name: Box<str>,
    port: Option<u16>,
    transport: Option<Transport>,
    secure: bool,
}

#[derive(Debug)]
enum Step {
    /// Which transports, and where their SRV records are.
    Transports,
    /// Which hosts, one service after another being better than the next.
    Services(Vec<Transport>),
    /// Which addresses.
    Addresses(Vec<Place>),
    Done,
}

/// A host to look up.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Place {
    name: Box<str>,
    port: u16,
    transport: Transport,
}

impl Search {
    /// Begins. `random` decides among SRV records of the same priority: the same number gives the
    /// same order (RFC 3263 §4.4).
    pub fn new(hop: &NextHop, usable: &Usable, random: u64) -> Self {
        let mut search = Self {
            usable: usable.clone(),
            dice: Dice(random),
            hop: Hop {
                name: Box::default(),
                port: hop.port,
                transport: hop.transport,
                secure: hop.secure,
            },
            step: Step::Done,
            wanted: Vec::new(),
            targets: Vec::new(),
        };
        let Ok(host) = core::str::from_utf8(&hop.host) else { return search };
        if let Some(ip) = numeric(host) {
            search.add_numeric(ip);
        } else if let Some(name) = name_of(host) {
            search.hop.name = name;
            search.begin();
        }
        search
    }

    /// What is to be asked now, all of it at the same time if possible; nothing more: it is done.
    pub fn wanted(&self) -> &[Query] {
        &self.wanted
    }

    /// The answers to all that was [`wanted`](Self::wanted), in its order. Missing ones count as
    /// [`Records::Nothing`].
    pub fn answer(&mut self, answers: Vec<Records>) {
        let asked = core::mem::take(&mut self.wanted);
        match core::mem::replace(&mut self.step, Step::Done) {
            Step::Transports => self.take_transports(answers),
            Step::Services(transports) => self.take_services(&transports, answers),
            Step::Addresses(places) => self.take_addresses(&places, &asked, &answers),
            Step::Done => {}
        }
    }

    /// Where the request can be sent, best first; complete when nothing is wanted any more.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    //= RFC 3263 4.2
    // "If TARGET is a numeric IP address, the client uses that address.  If"
    fn add_numeric(&mut self, ip: IpAddr) {
        let transport = self.hop.transport.unwrap_or(self.unnamed());
        let port = self.hop.port.unwrap_or(transport.default_port());
        self.add(transport, SocketAddr::new(ip, port));
    }

    fn begin(&mut self) {
        match (self.hop.transport, self.hop.port) {
            //= RFC 3263 4.2
            // "If the TARGET was not a numeric IP address, but a port is present in"
            (_, Some(_)) => self.look_up_host(),
            (Some(transport), None) => self.look_up_services([transport].into()),
            (None, None) => {
                //= RFC 3263 4.1
                // "target is not a numeric IP address, the client SHOULD perform a NAPTR"
                self.wanted.push(Query { name: self.hop.name.clone(), kind: Kind::Naptr });
                self.step = Step::Transports;
            }
        }
    }

    /// The transport where none is named.
    //= RFC 3263 4.1
    // "client SHOULD use UDP for a SIP URI, and TCP for a SIPS URI"
    fn unnamed(&self) -> Transport {
        if self.hop.secure {
            return Transport::Tls;
        }
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        all.into_iter().find(|t| self.usable.has(*t)).unwrap_or(Transport::Udp)
    }

    fn may_use(&self, transport: Transport) -> bool {
        self.usable.has(transport) && (transport.is_secure() || !self.hop.secure)
    }

    fn take_transports(&mut self, answers: Vec<Records>) {
        let mut records = match answers.into_iter().next() {
            Some(Records::Naptr(records)) => records,
            _ => Vec::new(),
        };
        by_preference(&mut records);
        let fitting = records.iter().filter_map(|r| Some((self.service_of(r)?, r)));
        let fitting = fitting.take(limits::SERVICES_PER_NAME);
        let (services, names): (Vec<Transport>, Vec<&Naptr>) = fitting.unzip();
        if services.is_empty() {
            //= RFC 3263 4.1
            // "If no NAPTR records are found, the client constructs SRV queries for"
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
            let plain = |t: &Transport| self.hop.secure == t.is_secure();
            let services = all.into_iter().filter(plain).filter(|t| self.may_use(*t)).collect();
            return self.look_up_services(services);
        }
        let query =
            |record: &Naptr| Some(Query { name: name_of(&record.replacement)?, kind: Kind::Srv });
        self.wanted = names.into_iter().filter_map(query).collect();
        self.step = Step::Services(services);
    }

    /// The transport that a NAPTR record is for; `None` if it is not for us.
    fn service_of(&self, record: &Naptr) -> Option<Transport> {
        //= RFC 3263 4.1
        // "NAPTR services field.  The resource record will contain an empty"
        let leads_on = record.regexp.is_empty()
            && record.flags.eq_ignore_ascii_case("s")
            && name_of(&record.replacement).is_some();
        let services = [
            ("SIP+D2U", Transport::Udp),
            ("SIP+D2T", Transport::Tcp),
            ("SIPS+D2T", Transport::Tls),
            ("SIP+D2W", Transport::Ws),
            ("SIPS+D2W", Transport::Wss),
        ];
        let named = services.iter().find(|(name, _)| record.service.eq_ignore_ascii_case(name));
        //= RFC 3263 4.1
        // "First, a client resolving a SIPS URI MUST discard any services that"
        named.map(|(_, transport)| *transport).filter(|t| leads_on && self.may_use(*t))
    }

    fn look_up_services(&mut self, services: Vec<Transport>) {
        let name = &self.hop.name;
        let query = |&transport: &Transport| {
            //= RFC 3263 4.2
            // "identifier \"_sips\" for that specific transport, otherwise, it uses"
            let service = match transport {
                Transport::Udp => "_sip._udp",
                Transport::Tcp => "_sip._tcp",
                Transport::Tls => "_sips._tcp",
                // RFC 7118 §6 knows their NAPTR records only.
                Transport::Ws | Transport::Wss => return None,
            };
            let name = name_of(&format!("{service}.{name}"))?;
            Some((transport, Query { name, kind: Kind::Srv }))
        };
        let (services, wanted): (Vec<_>, Vec<_>) = services.iter().filter_map(query).unzip();
        if wanted.is_empty() {
            return self.look_up_host();
        }
        self.wanted = wanted;
        self.step = Step::Services(services);
    }

    /// The first service that has records is the one.
    fn take_services(&mut self, transports: &[Transport], answers: Vec<Records>) {
        let mut is_closed = false;
        for (&transport, answer) in transports.iter().zip(answers) {
            let Records::Srv(records) = answer else { continue };
            //= RFC 2782 0
            // "A Target of \".\" means that the service is decidedly not"
            is_closed |= !records.is_empty();
            let place = |Srv { port, target, .. }: Srv| {
                let name = name_of(&target).filter(|_| port != 0)?;
                Some(Place { name, port, transport })
            };
            let most = limits::HOSTS_PER_SERVICE;
            let ordered = by_weight(records, &mut self.dice, most).into_iter().filter_map(place);
            let places: Vec<Place> = ordered.collect();
            if !places.is_empty() {
                return self.look_up(places);
            }
        }
        if !is_closed {
            //= RFC 3263 4.2
            // "If no SRV records were found, the client performs an A or AAAA record"
            self.look_up_host();
        }
    }

    /// The host itself, at the port that is given or usual.
    fn look_up_host(&mut self) {
        let transport = self.hop.transport.unwrap_or(self.unnamed());
        let port = self.hop.port.unwrap_or(transport.default_port());
        self.look_up([Place { name: self.hop.name.clone(), port, transport }].into());
    }

    //= RFC 7984 3.1
    // "The dual-stack client SHOULD look up address records for all"
    fn look_up(&mut self, places: Vec<Place>) {
        let mut wanted: Vec<Query> = Vec::new();
        for Place { name, transport, .. } in &places {
            for (kind, v4) in [(Kind::Aaaa, false), (Kind::A, true)] {
                let query = Query { name: name.clone(), kind };
                if self.usable.over(*transport, v4) && !wanted.contains(&query) {
                    wanted.push(query);
                }
            }
        }
        if !wanted.is_empty() {
            self.wanted = wanted;
            self.step = Step::Addresses(places);
        }
    }

    fn take_addresses(&mut self, places: &[Place], asked: &[Query], answers: &[Records]) {
        for place in places {
            let found = |kind| {
                let same = |query: &&Query| query.name == place.name && query.kind == kind;
                let at = asked.iter().position(|query| same(&query));
                match at.and_then(|at| answers.get(at)) {
                    Some(Records::Addresses(ips)) => &ips[..],
                    _ => &[],
                }
            };
            let most = limits::ADDRESSES_PER_HOST;
            for ip in taking_turns(found(Kind::Aaaa), found(Kind::A)).take(most) {
                self.add(place.transport, SocketAddr::new(ip, place.port));
            }
        }
    }

    /// One target more, if it can be used and is new.
    fn add(&mut self, transport: Transport, remote: SocketAddr) {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let target = Target { transport, remote };
        //= RFC 7984 3.1
        // "such records MUST be ignored as unusable and the supported addresses"
        let fits = self.usable.over(transport, remote.is_ipv4()) && self.may_use(transport);
        let room = self.targets.len() < limits::TARGETS_PER_HOP;
        if fits && room && !self.targets.contains(&target) {
            self.targets.push(target);
        }
    }
}

/// Addresses of both families of one host, IPv6 first as RFC 6724 §2.1 has it, then in turn: a
/// family that leads nowhere must not use up all tries (RFC 8305 §4).
fn taking_turns<'a>(v6: &'a [IpAddr], v4: &'a [IpAddr]) -> impl Iterator<Item = IpAddr> + 'a {
    let pairs = (0..v6.len().max(v4.len())).map(move |at| [v6.get(at), v4.get(at)]);
    pairs.flatten().flatten().copied()
}

/// The address in a TARGET that is one.
fn numeric(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// A host name in its canonical form; `None` for what is none. What ends in a number is an address
/// in one of its many spellings (`127.1`, `0x7f000001`), never a name (F7).
fn name_of(host: &str) -> Option<Box<str>> {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = name.len() <= 253 && name.split('.').all(label) && !is_number;
    is_name.then(|| name.into())
}
