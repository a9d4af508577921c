//! What a phone does of its own will: it registers, calls, talks, hangs up, writes, and vanishes.

use crate::random::client::Client;
use crate::random::phone::{Alarm, DOMAIN, ELSEWHERE, Kind, Phone, socket_named};
use crate::scenario::sip::{Sip, uri_of};
use crate::world::World;
use ringway_core::flow::{ConnectionId, SocketId};

/// One side of a dialog.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) call_id: String,
    /// Our From value.
    local: String,
    /// Our To value.
    remote: String,
    target: String,
    routes: Vec<String>,
    pub(crate) cseq: u32,
    /// The ACK for the last 2xx to an INVITE of ours, and the CSeq number it is for.
    ack: (u32, Vec<u8>),
    pub(crate) over: bool,
}

/// Whom phones call: those who may be there, those who are not, and somebody elsewhere.
const CALLED: [&str; 6] = ["anna", "bert", "anna", "bert", "nobody", "carl"];

impl Phone {
    /// Does something, and comes back for more.
    pub(crate) fn act(&mut self, world: &mut World) {
        if self.quiet {
            return;
        }
        match self.random.below(20) {
            0..=5 if self.kind != Kind::Peer => self.register(world),
            6..=13 => self.call(world),
            14 => self.request_outside(world, "MESSAGE"),
            15 => self.request_outside(world, "OPTIONS"),
            16 => self.request_outside(world, "DANCE"),
            17 => self.babble(world),
            18 => {
                let on = self.off;
                self.switch(world, on);
            }
            _ => self.register(world),
        }
        if self.off && self.may(60) {
            self.switch(world, true);
        }
        self.remind_within(world, 6_000, Alarm::Act);
    }

    fn outside(&mut self, method: &str, target: &str, call_id: String) -> Sip {
        let (user, domain) = (self.user.clone(), self.domain());
        let (branch, tag) = (self.word("z9hG4bK"), self.word("tag"));
        let mut sip = Sip { first: format!("{method} {target} SIP/2.0"), ..Sip::default() };
        sip.add("Via", self.via(self.home(), &branch));
        sip.add("Max-Forwards", "70");
        sip.add("From", format!("<sip:{user}@{domain}>;tag={tag}"));
        sip.add("To", format!("<{target}>"));
        sip.add("Call-ID", call_id);
        sip.add("CSeq", format!("1 {method}"));
        sip.add("Contact", format!("<{}>", self.contact()));
        sip
    }

    fn register(&mut self, world: &mut World) {
        self.register_cseq += 1;
        let call_id = format!("register-{}", self.name);
        let mut sip = self.outside("REGISTER", &format!("sip:{DOMAIN}"), call_id);
        let who = format!("<sip:{}@{DOMAIN}>", self.user);
        sip.replace("To", &[who]);
        sip.replace("CSeq", &[format!("{} REGISTER", self.register_cseq)]);
        let expires = [0, 60, 600, 3_600, 3_600, 3_600][self.random.below(6) as usize];
        let q = self.q.map_or(String::new(), |q| format!(";q={q}"));
        sip.replace("Contact", &[format!("<{}>{q};expires={expires}", self.contact())]);
        self.begin(world, (self.home(), None), sip, 0);
    }

    fn target(&mut self) -> String {
        let user = CALLED[self.random.below(CALLED.len() as u64) as usize];
        let domain = if user == "carl" { ELSEWHERE } else { DOMAIN };
        format!("sip:{user}@{domain}")
    }

    fn call(&mut self, world: &mut World) {
        let (target, call_id) = (self.target(), self.word("call"));
        let mut invite = self.outside("INVITE", &target, call_id);
        invite.body = format!("v=0\r\ns={}\r\n", self.name);
        let id = self.begin(world, (self.home(), None), invite, 0);
        self.be_patient(world, id);
    }

    fn request_outside(&mut self, world: &mut World, method: &str) {
        let (target, call_id) = (self.target(), self.word("once"));
        let mut sip = self.outside(method, &target, call_id);
        sip.body = format!("{method} of {}", self.name);
        self.begin(world, (self.home(), None), sip, 0);
    }

    /// Bytes that are no message, or half of one.
    fn babble(&mut self, world: &mut World) {
        let home = self.home();
        let call_id = self.word("half");
        let whole = self.outside("INVITE", "sip:anna@example.org", call_id).to_bytes();
        let keep = self.random.below(whole.len() as u64) as usize;
        self.transmit(world, (home, ConnectionId::NONE), &whole[..keep]);
        // What came after it on a stream would be read as its rest.
        if let Some(connection) = self.connections.remove(&home) {
            world.hang_up(connection);
            // What the server has written to it by then is lost.
            self.away.push(world.now());
        }
    }

    /// The call that a request belongs to.
    pub(crate) fn call_of(&self, request: &Sip) -> Option<u64> {
        let (call_id, tag) = (request.get("Call-ID")?, request.tag("To")?);
        let mine = |call: &Call| call.call_id == call_id && call.local.ends_with(&tag);
        self.calls.iter().find(|(_, call)| mine(call)).map(|(&id, _)| id)
    }

    /// A 2xx came for an INVITE: it is acknowledged each time, and only one call goes on.
    pub(crate) fn answered(&mut self, world: &mut World, id: u64, response: &Sip) {
        let Some(Client { request, .. }) = self.clients.get(&id) else { return };
        let (request, to) = (request.clone(), response.get("To").unwrap_or_default().to_owned());
        let call_id = request.get("Call-ID").unwrap_or_default().to_owned();
        let same = |call: &Call| call.call_id == call_id && call.remote == to;
        if let Some(number) = self.calls.iter().find(|(_, call)| same(call)).map(|(&n, _)| n) {
            return self.acknowledge(world, number, request.cseq());
        }
        let another = self.calls.values().any(|call| call.call_id == call_id && !call.over);
        let contact = response.all("Contact").first().map(|c| uri_of(c).to_owned());
        let routes: Vec<String> =
            response.all("Record-Route").iter().rev().map(|r| (*r).to_owned()).collect();
        let local = request.get("From").unwrap_or_default().to_owned();
        let (target, cseq) = (contact.unwrap_or_default(), request.cseq());
        let (ack, over) = ((0, Vec::new()), false);
        let call = Call { call_id, local, remote: to, target, routes, cseq, ack, over };
        let number = self.fresh();
        self.calls.insert(number, call);
        self.acknowledge(world, number, cseq);
        if another {
            return self.hang_up(world, number);
        }
        self.remind_within(world, 20_000, Alarm::Talk(number));
    }

    /// Sends the ACK for a 2xx; the same one for each repetition.
    fn acknowledge(&mut self, world: &mut World, number: u64, cseq: u32) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        if call.ack.0 != cseq {
            call.ack = (cseq, self.inside(&call, "ACK", cseq).to_bytes());
        }
        self.transmit(world, (self.way_of(&call), ConnectionId::NONE), &call.ack.1);
        self.calls.insert(number, call);
    }

    /// This phone answered: the dialog as the called side sees it.
    pub(crate) fn pick_up(&mut self, world: &mut World, id: u64) {
        let Some(served) = self.served.get(&id) else { return };
        let request = &served.request;
        let value = |name: &str| request.get(name).unwrap_or_default().to_owned();
        let routes = request.all("Record-Route").iter().map(|r| (*r).to_owned()).collect();
        let target = request.all("Contact").first().map(|c| uri_of(c).to_owned());
        let call = Call {
            call_id: value("Call-ID"),
            local: format!("{};tag={}", value("To"), served.tag),
            remote: value("From"),
            target: target.unwrap_or_default(),
            routes,
            cseq: 0,
            ack: (0, Vec::new()),
            over: false,
        };
        let number = self.fresh();
        self.calls.insert(number, call);
        self.remind_within(world, 30_000, Alarm::Talk(number));
    }

    /// Something happens in a call: it goes on, or ends.
    pub(crate) fn talk(&mut self, world: &mut World, number: u64) {
        if self.off || self.calls.get(&number).is_none_or(|call| call.over) {
            return;
        }
        if self.quiet || self.may(50) {
            return self.hang_up(world, number);
        }
        let method = if self.may(50) { "INVITE" } else { "INFO" };
        self.send_inside(world, number, method);
        self.remind_within(world, 15_000, Alarm::Talk(number));
    }

    fn hang_up(&mut self, world: &mut World, number: u64) {
        if let Some(call) = self.calls.get_mut(&number) {
            call.over = true;
            self.send_inside(world, number, "BYE");
        }
    }

    fn send_inside(&mut self, world: &mut World, number: u64, method: &str) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        call.cseq += 1;
        let (sip, way) = (self.inside(&call, method, call.cseq), self.way_of(&call));
        self.calls.insert(number, call);
        self.begin(world, (way, Some(number)), sip, 0);
    }

    fn inside(&mut self, call: &Call, method: &str, cseq: u32) -> Sip {
        let (way, branch) = (self.way_of(call), self.word("z9hG4bK"));
        let mut sip = Sip { first: format!("{method} {} SIP/2.0", call.target), ..Sip::default() };
        sip.add("Via", self.via(way, &branch));
        sip.add("Max-Forwards", "70");
        call.routes.iter().for_each(|route| sip.add("Route", route));
        sip.add("From", &call.local);
        sip.add("To", &call.remote);
        sip.add("Call-ID", &call.call_id);
        sip.add("CSeq", format!("{cseq} {method}"));
        if method == "INVITE" {
            sip.add("Contact", format!("<{}>", self.contact()));
            sip.body = "v=0\r\n".into();
        }
        sip
    }

    /// The listener that the first Route names.
    fn way_of(&self, call: &Call) -> SocketId {
        call.routes.first().and_then(|route| socket_named(route)).unwrap_or_else(|| self.home())
    }
}
