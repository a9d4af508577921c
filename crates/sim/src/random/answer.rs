//! The server transactions of a phone: RFC 3261 §17.2 and §13.3.1.4. Written apart from the
//! server's.

use crate::random::client::{T1, T2};
use crate::random::phone::{Alarm, Phone, is_stream};
use crate::scenario::sip::Sip;
use crate::world::World;
use ringway_core::flow::{ConnectionId, Flow, SocketId};
use ringway_core::time::Instant;

/// A request that a phone serves.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) request: Sip,
    /// The tag of this phone in the dialog.
    pub(crate) tag: String,
    /// When it came.
    pub(crate) begun: Instant,
    way: (SocketId, ConnectionId),
    /// The last response.
    kept: Vec<u8>,
    status: u16,
    interval: u64,
    acknowledged: bool,
}

impl Served {
    /// Whether it is an INVITE for which this phone has rung, and nothing came of it.
    pub(crate) fn rings(&self) -> bool {
        self.request.method() == "INVITE" && (101..200).contains(&self.status)
    }
}

impl Phone {
    /// A request: a new one, one that came again, or one that belongs to another.
    pub(crate) fn take_request(&mut self, world: &mut World, flow: Flow, sip: Sip) {
        match sip.method() {
            "ACK" => return self.take_ack(&sip),
            "CANCEL" => self.take_cancel(world, &sip),
            _ => {}
        }
        let (branch, method) = (sip.branch(), sip.method());
        let same = |served: &&Served| {
            served.request.branch() == branch && served.request.method() == method
        };
        if let Some(served) = self.served.values().find(same) {
            if !served.kept.is_empty() {
                let (way, bytes) = (served.way, served.kept.clone());
                self.transmit(world, way, &bytes);
            }
            return;
        }
        let id = self.fresh();
        let tag = sip.tag("To").unwrap_or_else(|| self.word("tag"));
        let served = Served {
            request: sip,
            tag,
            begun: world.now(),
            way: (flow.socket, flow.connection),
            kept: Vec::new(),
            status: 0,
            interval: T1,
            acknowledged: false,
        };
        let statuses = self.decide(&served);
        self.served.insert(id, served);
        let mut after = 0;
        for (most_ms, status) in statuses {
            after += 1 + self.random.below(most_ms);
            self.remind(world, after, Alarm::Answer(id, status));
        }
    }

    /// What it will answer, each so many milliseconds at most after the one before.
    fn decide(&mut self, served: &Served) -> Vec<(u64, u16)> {
        let known = self.call_of(&served.request);
        let inside = served.request.tag("To").is_some();
        match served.request.method() {
            "INVITE" if inside => vec![(50, if known.is_some() { 200 } else { 481 })],
            "INVITE" => match self.random.below(12) {
                0..=4 => vec![(300, 180), (8_000, 200)],
                5 => vec![(300, 183), (500, 180), (30_000, 200)],
                6 => vec![(100, 200)],
                7 => vec![(2_000, 486)],
                8 => vec![(300, 180), (4_000, 603)],
                9 => vec![(300, 180), (900, 480)],
                10 => vec![(300, 180)],
                _ => vec![(400, [404, 302, 500, 503, 407][self.random.below(5) as usize])],
            },
            "BYE" => {
                if let Some(call) = known.and_then(|call| self.calls.get_mut(&call)) {
                    call.over = true;
                }
                vec![(20, if known.is_some() { 200 } else { 481 })]
            }
            "CANCEL" => vec![(1, 200)],
            _ if self.may(10) => Vec::new(),
            _ => vec![(3_000, [200, 200, 200, 405, 488][self.random.below(5) as usize])],
        }
    }

    fn take_ack(&mut self, ack: &Sip) {
        let (branch, call_id, cseq) = (ack.branch(), ack.get("Call-ID"), ack.cseq());
        for served in self.served.values_mut() {
            let of_failure = served.request.branch() == branch;
            let of_success = served.status / 100 == 2
                && served.request.get("Call-ID") == call_id
                && served.request.cseq() == cseq
                && ack.tag("To").as_deref() == Some(&served.tag);
            if served.request.method() == "INVITE" && (of_failure || of_success) {
                served.acknowledged = true;
            }
        }
    }

    fn take_cancel(&mut self, world: &mut World, cancel: &Sip) {
        let (branch, cseq) = (cancel.branch(), cancel.cseq());
        let invite = self.served.iter().find(|(_, served)| {
            let request = &served.request;
            request.method() == "INVITE" && request.branch() == branch && request.cseq() == cseq
        });
        if let Some((&id, _)) = invite.filter(|(_, served)| served.status < 200) {
            self.remind(world, 5, Alarm::Answer(id, 487));
        }
    }

    /// Sends a response, unless a final one was sent before.
    pub(crate) fn answer(&mut self, world: &mut World, id: u64, status: u16) {
        let (contact, body) = (self.contact(), "v=0\r\n");
        let Some(served) = self.served.get_mut(&id).filter(|served| served.status < 200) else {
            return;
        };
        let (request, tag) = (&served.request, &served.tag);
        let invite = request.method() == "INVITE";
        let mut sip = Sip { first: format!("SIP/2.0 {status} Chance"), ..Sip::default() };
        request.all("Via").iter().for_each(|via| sip.add("Via", *via));
        if invite && status < 300 {
            request.all("Record-Route").iter().for_each(|route| sip.add("Record-Route", *route));
            sip.add("Contact", format!("<{contact}>"));
        }
        sip.add("From", request.get("From").unwrap_or_default());
        let to = request.get("To").unwrap_or_default();
        let known = request.tag("To").is_some();
        sip.add("To", if known { to.to_owned() } else { format!("{to};tag={tag}") });
        for name in ["Call-ID", "CSeq"] {
            sip.add(name, request.get(name).unwrap_or_default());
        }
        match status {
            407 => {
                sip.add("Proxy-Authenticate", "Digest realm=\"phone\", nonce=\"n\", qop=\"auth\"")
            }
            302 => sip.add("Contact", "<sip:elsewhere@192.0.2.250>"),
            200 if invite => body.clone_into(&mut sip.body),
            _ => {}
        }
        (served.kept, served.status) = (sip.to_bytes(), status);
        let (way, bytes) = (served.way, served.kept.clone());
        self.transmit(world, way, &bytes);
        if status < 200 {
            return;
        }
        if invite && (status < 300 || !is_stream(way.0)) {
            self.remind(world, T1, Alarm::Repeat(id));
        }
        self.remind(world, 64 * T1, Alarm::Forget(id));
        if invite && status < 300 && !known {
            self.pick_up(world, id);
        }
    }

    /// Timer G, and the repetitions of a 2xx (§13.3.1.4).
    pub(crate) fn repeat(&mut self, world: &mut World, id: u64) {
        let Some(served) = self.served.get_mut(&id).filter(|served| !served.acknowledged) else {
            return;
        };
        served.interval = (served.interval * 2).min(T2);
        let (way, bytes, interval) = (served.way, served.kept.clone(), served.interval);
        self.transmit(world, way, &bytes);
        self.remind(world, interval, Alarm::Repeat(id));
    }

    /// Timers H, I and J.
    pub(crate) fn forget(&mut self, id: u64) {
        self.served.remove(&id);
    }
}
