//! What phones do of their own accord: register, call, talk, hang up, send this and that.

use crate::random::client::State;
use crate::random::identity;
use crate::random::ledger::victim;
use crate::random::phone::{Alarm, DOMAIN, ELSEWHERE, Kind, Phone, SERVER, socket, socket_named};
use crate::scenario::sip::{Sip, uri_of};
use crate::world::World;
use ringway_core::flow::{ConnectionId, SocketId, Transport};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The longest time in which a phone does nothing.
const PAUSE_MS: u64 = 4_000;

/// Everything with one Call-ID and one tag of ours.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) local: String,
    pub(crate) remote: String,
    pub(crate) local_tag: String,
    pub(crate) cseq: u32,
    pub(crate) target: String,
    /// One for each tag of the far side; the first one is spoken to, the others were ended.
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) over: bool,
}

/// A dialog (RFC 3261 §12).
#[derive(Debug)]
pub(crate) struct Dialog {
    pub(crate) remote_tag: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    /// The ACKs for its 2xx, by the number in CSeq.
    pub(crate) acks: BTreeMap<u32, (SocketId, Vec<u8>)>,
}

impl Dialog {
    pub(crate) fn of_request(invite: &Sip) -> Self {
        let owned = |value: &&str| (*value).to_owned();
        Self {
            remote_tag: invite.tag("From").unwrap_or_default(),
            target: invite.get("Contact").map(uri_of).unwrap_or_default().to_owned(),
            routes: invite.all("Record-Route").iter().map(owned).collect(),
            acks: BTreeMap::new(),
        }
    }

    fn of_response(response: &Sip) -> Self {
        let mut dialog = Self::of_request(response);
        dialog.remote_tag = response.tag("To").unwrap_or_default();
        dialog.routes.reverse();
        dialog
    }
}

impl Phone {
    /// Does something, and will do something else later.
    pub(crate) fn act(&mut self, world: &mut World) {
        if self.quiet {
            return;
        }
        self.remind_within(world, PAUSE_MS, Alarm::Act);
        if self.off {
            if self.may(40) {
                self.switch(world, true);
            }
            return;
        }
        let first = self.register_cseq == 0 && self.kind == Kind::Account;
        match if first { 0 } else { self.random.below(100) } {
            0..25 => self.register(world),
            72..86 if self.kind == Kind::Stranger => self.spoof(world),
            25..70 => self.invite(world),
            70..82 => self.say(world),
            82..86 => self.ask_server(world),
            86..91 if self.kind == Kind::Stranger => self.forge(world),
            86..91 => self.babble(world),
            91..94 => self.switch(world, false),
            // Its connections end; it makes others.
            94..97 => {
                self.disturbed = true;
                self.drop_connections(world);
            }
            _ => self.abandon_address(world),
        }
    }

    /// The socket is gone and another one is there, without a word.
    fn abandon_address(&mut self, world: &mut World) {
        self.switch(world, false);
        let port = 5_060 + (self.address.port() - 5_060 + 2) % 200;
        self.address.set_port(port);
        self.switch(world, true);
    }

    /// Somebody to talk to.
    fn somebody(&mut self) -> String {
        match self.random.below(20) {
            0 => format!("sip:ghost@{DOMAIN}"),
            1 => format!("sip:friend@{ELSEWHERE}"),
            2 => "sip:friend@nowhere.example".into(),
            n => format!("sip:user{}@{DOMAIN}", n % 4),
        }
    }

    fn register(&mut self, world: &mut World) {
        // RFC 3261 §10.2: none before the last one is answered or has timed out.
        let open = |client: &super::client::Client| {
            client.request.method() == "REGISTER" && client.waits()
        };
        if self.clients.values().any(open) {
            return;
        }
        let way = self.home();
        let mut sip =
            Sip { first: format!("REGISTER sip:{} SIP/2.0", self.domain()), ..Sip::default() };
        let branch = self.word("z9hG4bK");
        sip.add("Via", self.via(way, &branch));
        sip.add("Max-Forwards", "70");
        let aor = format!("<sip:{}@{}>", self.user, self.domain());
        sip.add("From", format!("{aor};tag=r{}", self.made));
        sip.add("To", aor);
        sip.add("Call-ID", format!("register-{}", self.name));
        self.register_cseq += 1;
        sip.add("CSeq", format!("{} REGISTER", self.register_cseq));
        let contact = self.contact();
        let q = self.q.map(|q| format!(";q={q}")).unwrap_or_default();
        match if self.register_cseq == 1 { 9 } else { self.random.below(20) } {
            0..3 => sip.add("Contact", format!("<{contact}>;expires=0")),
            3 => {
                sip.add("Contact", "*");
                sip.add("Expires", "0");
            }
            4 => {}
            5 => sip.add("Contact", format!("<{contact}>;expires=1")),
            _ => {
                let expires = [10, 60, 600, 3_600][self.random.below(4) as usize];
                sip.add("Contact", format!("<{contact}>{q};expires={expires}"));
            }
        }
        self.begin(world, (way, None), sip, 0);
    }

    /// A new call, or a request outside of calls.
    fn outside(&mut self, world: &mut World, method: &str, target: &str) -> u64 {
        let local = format!("<sip:{}@{}>", self.user, self.domain());
        let call = Call {
            id: self.word("call"),
            local,
            remote: format!("<{target}>"),
            local_tag: self.word("tag"),
            cseq: 0,
            target: target.to_owned(),
            dialogs: Vec::new(),
            over: false,
        };
        let number = self.fresh();
        self.calls.insert(number, call);
        self.request(world, (number, 0), method)
    }

    /// A request of a call, in this of its dialogs.
    fn request(&mut self, world: &mut World, (number, dialog): (u64, usize), method: &str) -> u64 {
        if let Some(call) = self.calls.get_mut(&number) {
            call.cseq += 1;
        }
        let cseq = self.calls[&number].cseq;
        let (way, sip) = self.compose((number, dialog), method, cseq);
        self.begin(world, (way, Some(number)), sip, 0)
    }

    fn compose(
        &mut self,
        (number, dialog): (u64, usize),
        method: &str,
        cseq: u32,
    ) -> (SocketId, Sip) {
        let branch = self.word("z9hG4bK");
        let hops = if self.may(95) { 70 } else { self.random.below(3) };
        let large = self.may(8);
        let call = &self.calls[&number];
        let dialog = call.dialogs.get(dialog);
        let routes = dialog.map_or(&[][..], |dialog| &dialog.routes);
        let way = routes.first().and_then(|route| socket_named(route)).unwrap_or(self.home());
        let target = dialog.map_or(&call.target, |dialog| &dialog.target);
        let mut sip = Sip { first: format!("{method} {target} SIP/2.0"), ..Sip::default() };
        sip.add("Via", self.via(way, &branch));
        sip.add("Max-Forwards", hops.to_string());
        routes.iter().for_each(|route| sip.add("Route", route.clone()));
        sip.add("From", format!("{};tag={}", call.local, call.local_tag));
        let tag = dialog.map(|dialog| format!(";tag={}", dialog.remote_tag)).unwrap_or_default();
        sip.add("To", format!("{}{tag}", call.remote));
        sip.add("Call-ID", call.id.clone());
        sip.add("CSeq", format!("{cseq} {method}"));
        if method == "INVITE" {
            sip.add("Contact", format!("<{}>", self.contact()));
        }
        if matches!(method, "INVITE" | "MESSAGE") {
            sip.add("Content-Type", "text/plain");
            let size = if large { 1_200 } else { 40 };
            sip.body = format!("{} {cseq} {}\r\n", call.id, "x".repeat(size));
        }
        identity::claim(&mut self.random, &mut sip);
        let mine = dialog.is_none() || routes.first().is_some_and(|r| socket_named(r).is_some());
        let reachable = SERVER[usize::from(way.0 / 2)].is_ipv4() == self.address.is_ipv4();
        if !mine || !reachable {
            let what = format!("{} cannot use the route {routes:?}", self.name);
            self.complaints.push((self.calls[&number].id.clone(), what));
        }
        (way, sip)
    }

    fn invite(&mut self, world: &mut World) {
        let target = self.somebody();
        let client = self.outside(world, "INVITE", &target);
        self.be_patient(world, client);
    }

    fn say(&mut self, world: &mut World) {
        let target = self.somebody();
        let method = ["MESSAGE", "MESSAGE", "OPTIONS", "INFO", "DANCE"];
        let method = method[self.random.below(5) as usize];
        self.outside(world, method, &target);
    }

    fn ask_server(&mut self, world: &mut World) {
        let target = format!("sip:{}", if self.may(50) { DOMAIN } else { "192.0.2.1" });
        self.outside(world, "OPTIONS", &target);
    }

    /// A request that looks as if a dialog had been let through before.
    fn forge(&mut self, world: &mut World) {
        let home = usize::from(self.home().0 / 2);
        let call = self.outside(world, "OPTIONS", &format!("sip:{DOMAIN}"));
        let Some(number) = self.clients[&call].call else { return };
        let dialog = Dialog {
            remote_tag: self.word("tag"),
            target: format!("sip:user{}@{DOMAIN}", self.random.below(4)),
            routes: vec![format!("<sip:0badc0de@{};lr>", SERVER[home])],
            acks: BTreeMap::new(),
        };
        if let Some(call) = self.calls.get_mut(&number) {
            call.dialogs.push(dialog);
        }
        let method = ["INVITE", "BYE", "MESSAGE"][self.random.below(3) as usize];
        self.request(world, (number, 0), method);
    }

    /// A datagram that names somebody else as its sender: what comes of it hits that one.
    fn spoof(&mut self, world: &mut World) {
        let method = ["INVITE", "REGISTER", "MESSAGE", "OPTIONS", "BYE", "ACK", "CANCEL"];
        let method = method[self.random.below(7) as usize];
        let user = format!("user{}", self.random.below(4));
        let from = SocketAddr::new(victim(self.random.below(4) as u8), 5_060);
        let branch = self.word("z9hG4bK");
        let way = socket(usize::from(self.home().0 / 2), Transport::Udp);
        let text = format!(
            "{method} sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch={branch}\r\n\
             From: <sip:{user}@{DOMAIN}>;tag=1\r\nTo: <sip:{user}@{DOMAIN}>\r\n\
             Call-ID: {branch}\r\nCSeq: 1 {method}\r\nContact: <sip:{user}@{from}>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        for _ in 0..=self.random.below(3) {
            world.send_datagram(self.endpoint, from, way, text.as_bytes());
        }
    }

    /// Something that is no message, or only a part of one.
    fn babble(&mut self, world: &mut World) {
        self.babbled = true;
        let way = self.home();
        let branch = self.word("z9hG4bKbroken");
        let text = format!(
            "INVITE sip:user1@{DOMAIN} SIP/2.0\r\nVia: {}\r\nFrom: <sip:a@{DOMAIN}>;tag=1\r\n\
             To: <sip:user1@{DOMAIN}>\r\nCall-ID: {branch}\r\nCSeq: 1 INVITE\r\n\
             Content-Length: 4000\r\n\r\nshort",
            self.via(way, &branch)
        );
        let cut = self.random.below(text.len() as u64 + 1) as usize;
        let mut bytes = text.into_bytes();
        bytes.truncate(cut);
        if self.may(40) {
            bytes = (0..cut).map(|_| self.random.next() as u8).collect();
        }
        self.transmit(world, (way, ConnectionId::NONE), &bytes);
    }

    /// A 2xx for an INVITE: it is acknowledged, each time it comes; and only one is kept.
    pub(crate) fn answered(&mut self, world: &mut World, client: u64, response: &Sip) {
        let sent = &self.clients[&client];
        let (Some(number), outside) = (sent.call, sent.request.tag("To").is_none()) else { return };
        let cseq = response.cseq();
        let Some(call) = self.calls.get_mut(&number) else { return };
        let tag = response.tag("To").unwrap_or_default();
        let known = call.dialogs.iter().position(|dialog| dialog.remote_tag == tag);
        let at = known.unwrap_or_else(|| {
            call.dialogs.push(Dialog::of_response(response));
            call.dialogs.len() - 1
        });
        let again = call.dialogs[at].acks.get(&cseq).cloned();
        if let Some((way, ack)) = &again {
            return self.transmit(world, (*way, ConnectionId::NONE), ack);
        }
        let (way, ack) = self.compose((number, at), "ACK", cseq);
        let bytes = ack.to_bytes();
        self.transmit(world, (way, ConnectionId::NONE), &bytes);
        if let Some(call) = self.calls.get_mut(&number) {
            call.dialogs[at].acks.insert(cseq, (way, bytes));
        }
        if !outside {
            return;
        }
        // What was not wanted any more, and what a fork brought besides, ends at once.
        let unwanted = at > 0 || self.clients.values().any(|other| cancels(other, client, self));
        if unwanted {
            self.request(world, (number, at), "BYE");
        } else if self.may(80) {
            self.remind_within(world, 12_000, Alarm::Talk(number));
        }
    }

    /// Something happens in a call: it goes on for a while, or it ends.
    pub(crate) fn talk(&mut self, world: &mut World, number: u64) {
        let Some(call) = self.calls.get(&number).filter(|call| !call.over) else { return };
        let busy = |client: &super::client::Client| {
            client.call == Some(number) && client.is_invite() && client.waits()
        };
        if call.dialogs.is_empty() || self.clients.values().any(busy) {
            return;
        }
        let chance = self.random.below(100);
        match chance {
            0..30 => {
                let client = self.request(world, (number, 0), "INVITE");
                self.be_patient(world, client);
            }
            30..40 => drop(self.request(world, (number, 0), "INFO")),
            40..90 => return self.hang_up(world, number, 0),
            // It forgets.
            _ => return,
        }
        self.remind_within(world, 10_000, Alarm::Talk(number));
    }

    /// Ends a call from this side.
    pub(crate) fn hang_up(&mut self, world: &mut World, number: u64, dialog: usize) {
        let Some(call) = self.calls.get_mut(&number).filter(|call| !call.over) else { return };
        call.over = true;
        self.request(world, (number, dialog), "BYE");
    }

    /// INVITEs that ring and will never end, and whether they were cancelled.
    pub(crate) fn ringing(&self) -> impl Iterator<Item = (&Sip, bool)> {
        let rings = |client: &&super::client::Client| {
            client.is_invite() && client.state == State::Proceeding
        };
        self.clients.values().filter(rings).map(|client| (&client.request, client.cancelled))
    }
}

/// Whether a transaction is the CANCEL of an INVITE of this phone.
fn cancels(other: &super::client::Client, invite: u64, phone: &Phone) -> bool {
    other.request.method() == "CANCEL"
        && other.request.branch() == phone.clients[&invite].request.branch()
        && phone.kind != Kind::Stranger
}
