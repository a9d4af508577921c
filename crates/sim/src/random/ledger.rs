//! What must hold of strangers, and of what the server tells of calls.

use crate::random::watch::Broken;
use crate::world::OnWire;
use ringway_core::boundary::{CallChange, Event};
use ringway_core::flow::Transport;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// The addresses that are only ever written into datagrams that come from elsewhere.
pub(crate) const fn victim(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 18, 0, number))
}

/// How many times longer than the question an answer to an unproved datagram may be.
const AMPLIFICATION: u64 = 3;

/// Who has not proved an address hears one answer to a datagram, and no other word (E8).
#[derive(Debug, Default)]
pub(crate) struct Unproved {
    /// Whose address nobody has proved.
    pub(crate) strangers: BTreeSet<IpAddr>,
    /// Datagrams and bytes that came in, and those that went out.
    sums: BTreeMap<IpAddr, [u64; 4]>,
}

impl Unproved {
    /// Whether nobody has proved this address.
    pub(crate) fn is_stranger(&self, ip: IpAddr) -> bool {
        self.strangers.contains(&ip)
            || matches!(ip, IpAddr::V4(v4) if v4.octets()[..2] == [198, 18])
    }

    /// How many datagrams came from strangers.
    pub(crate) fn datagrams(&self) -> usize {
        self.sums.values().map(|[packets, ..]| *packets as usize).sum()
    }

    /// Looks at one message.
    pub(crate) fn look(&mut self, wire: &OnWire, is_request: bool) -> Result<(), Broken> {
        let ip = wire.flow.remote.ip();
        if !self.is_stranger(ip) {
            return Ok(());
        }
        if !wire.arrived && is_request {
            return Err(Broken::new("", format!("{ip} is a stranger, and was sent a request")));
        }
        // Who opened a connection has proved its address.
        if wire.flow.transport != Transport::Udp {
            return Ok(());
        }
        let [packets, bytes, answers, said] = self.sums.entry(ip).or_default();
        let length = wire.bytes.len() as u64;
        if wire.arrived {
            (*packets, *bytes) = (*packets + 1, *bytes + length);
        } else {
            (*answers, *said) = (*answers + 1, *said + length);
        }
        if answers > packets {
            return Err(Broken::new("", format!("{ip} is a stranger, and is answered twice")));
        }
        if *said > AMPLIFICATION * *bytes {
            let what = format!("{ip} is a stranger, and gets {said} bytes for {bytes}");
            return Err(Broken::new("", what));
        }
        Ok(())
    }
}

/// Each call that is told of begins once and ends once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By partition and number: the Call-ID, and whether it has ended.
    calls: BTreeMap<(u32, u64), (String, bool)>,
}

impl Told {
    /// The server, in this partition, tells something.
    pub(crate) fn hear(&mut self, partition: u32, event: &Event) -> Result<(), Broken> {
        let Event::Call { call, change } = event else { return Ok(()) };
        let known = self.calls.get_mut(&(partition, *call));
        match (change, known) {
            (CallChange::Started { call_id, .. }, None) => {
                let call_id = String::from_utf8_lossy(call_id).into_owned();
                self.calls.insert((partition, *call), (call_id, false));
            }
            (CallChange::Started { .. }, Some((call_id, _))) => {
                return Err(Broken::new(call_id, "a call began twice"));
            }
            (_, None) => return Err(Broken::new("", "a call that never began")),
            (_, Some((call_id, true))) => {
                return Err(Broken::new(
                    call_id,
                    format!("a call went on after its end: {change:?}"),
                ));
            }
            (CallChange::Ended { .. }, Some((_, ended))) => *ended = true,
            (CallChange::Ringing | CallChange::Answered, Some(_)) => {}
        }
        Ok(())
    }

    /// Longer than any call can be silent has passed.
    pub(crate) fn all_ended(&self) -> Result<(), Broken> {
        match self.calls.values().find(|(_, ended)| !ended) {
            Some((call_id, _)) => Err(Broken::new(call_id, "a call was never told to end")),
            None => Ok(()),
        }
    }

    /// The server starts anew: it knows nothing of what was before.
    pub(crate) fn forget(&mut self) {
        self.calls.clear();
    }
}
