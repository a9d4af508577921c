//! What a phone does with requests: server transactions (RFC 3261 §17.2), and what chance lets
//! it answer.

use crate::random::client::{T1, T2};
use crate::random::identity;
use crate::random::phone::{Alarm, Phone, is_stream};
use crate::random::talk::Dialog;
use crate::scenario::sip::{Sip, uri_of};
use crate::world::World;
use ringway_core::flow::{ConnectionId, Flow, SocketId};

/// A server transaction.
#[derive(Debug)]
pub(crate) struct Served {
    asked: Sip,
    way: (SocketId, ConnectionId),
    state: State,
    last: Vec<u8>,
    interval: u64,
    tag: String,
    call: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// A final response went out; a 2xx to an INVITE until its ACK came.
    Answered,
    /// The ACK came, or none is wanted.
    Over,
}

impl Phone {
    /// A request.
    pub(crate) fn take_request(&mut self, world: &mut World, flow: Flow, sip: Sip) {
        if sip.method() == "ACK" {
            return self.take_ack(&sip);
        }
        let method = if sip.method() == "CANCEL" { "INVITE" } else { sip.method() };
        let branch = sip.branch();
        let same = |(_, served): &(&u64, &Served)| {
            served.asked.branch() == branch && served.asked.method() == method
        };
        let known = self.served.iter().find(same).map(|(id, _)| *id);
        if sip.method() == "CANCEL" {
            return self.take_cancel(world, flow, known, sip);
        }
        if let Some(id) = known {
            // A repeated request is answered as before.
            let served = &self.served[&id];
            let (way, last) = (served.way, served.last.clone());
            if !last.is_empty() {
                self.transmit(world, way, &last);
            }
            return;
        }
        let call = self.call_of(&sip);
        let tag = match call.and_then(|call| self.calls.get(&call)) {
            Some(call) => call.local_tag.clone(),
            None => self.word("tag"),
        };
        let id = self.serve(flow, sip, tag, call);
        self.choose_answer(world, id);
    }

    fn serve(&mut self, flow: Flow, asked: Sip, tag: String, call: Option<u64>) -> u64 {
        let id = self.fresh();
        let way = (flow.socket, flow.connection);
        let (state, last, interval) = (State::Open, Vec::new(), T1);
        self.served.insert(id, Served { asked, way, state, last, interval, tag, call });
        id
    }

    /// The call that a request inside of one belongs to.
    fn call_of(&self, sip: &Sip) -> Option<u64> {
        let (id, tag) = (sip.get("Call-ID")?, sip.tag("To")?);
        let mine = self.calls.iter().find(|(_, call)| call.id == id && call.local_tag == tag);
        mine.map(|(id, _)| *id)
    }

    fn take_cancel(&mut self, world: &mut World, flow: Flow, known: Option<u64>, sip: Sip) {
        let tag = match known {
            Some(id) => self.served[&id].tag.clone(),
            None => self.word("tag"),
        };
        let cancel = self.serve(flow, sip, tag, None);
        self.answer(world, cancel, if known.is_some() { 200 } else { 481 });
        let Some(invite) = known else { return };
        // Some answer at the very moment of the CANCEL.
        let crossing = self.may(15);
        let after = if crossing { self.random.below(200) } else { 0 };
        self.remind(world, after, Alarm::Answer(invite, if crossing { 200 } else { 487 }));
    }

    fn take_ack(&mut self, ack: &Sip) {
        let (id, cseq, branch) = (ack.get("Call-ID"), ack.cseq(), ack.branch());
        for served in self.served.values_mut() {
            let asked = &served.asked;
            let same = asked.branch() == branch
                || ack.tag("To").as_deref() == Some(served.tag.as_str()) && asked.cseq() == cseq;
            if asked.method() == "INVITE"
                && asked.get("Call-ID") == id
                && same
                && served.state == State::Answered
            {
                served.state = State::Over;
            }
        }
    }

    /// What comes of a new request.
    fn choose_answer(&mut self, world: &mut World, id: u64) {
        let served = &self.served[&id];
        let (method, call) = (served.asked.method().to_owned(), served.call);
        let inside = served.asked.tag("To").is_some();
        match method.as_str() {
            _ if inside && call.is_none() => self.answer(world, id, 481),
            "BYE" => {
                self.answer(world, id, 200);
                if let Some(call) = call.and_then(|call| self.calls.get_mut(&call)) {
                    call.over = true;
                }
            }
            "INVITE" if inside => {
                let status = if self.may(85) { 200 } else { 488 };
                self.remind_within(world, 300, Alarm::Answer(id, status));
            }
            "INVITE" => self.ring(world, id),
            _ => {
                let statuses = [200, 200, 200, 200, 405, 480, 408, 603];
                let status = statuses[self.random.below(8) as usize];
                if self.may(90) {
                    let most = if self.may(10) { 20_000 } else { 300 };
                    self.remind_within(world, most, Alarm::Answer(id, status));
                }
            }
        }
    }

    /// A call comes in.
    fn ring(&mut self, world: &mut World, id: u64) {
        let call_id = self.served[&id].asked.get("Call-ID").map(str::to_owned);
        let merged = |served: &Served| {
            served.asked.method() == "INVITE"
                && served.asked.get("Call-ID") == call_id.as_deref()
                && served.asked.tag("To").is_none()
        };
        if self.served.values().filter(|served| merged(served)).count() > 1 {
            return self.answer(world, id, 482);
        }
        if self.may(40) {
            self.remind_within(world, 50, Alarm::Answer(id, 100));
        }
        let mut after = 0;
        for _ in 0..self.random.below(3) {
            after += self.random.below(800) + 20;
            let status = [180, 180, 183, 181][self.random.below(4) as usize];
            self.remind(world, after, Alarm::Answer(id, status));
        }
        let finals =
            [200, 200, 200, 200, 200, 200, 486, 486, 603, 302, 404, 480, 503, 600, 401, 408];
        let status = finals[self.random.below(finals.len() as u64) as usize];
        let most = if self.may(20) { 25_000 } else { 2_500 };
        after += self.random.below(most);
        if self.may(85) {
            self.remind(world, after, Alarm::Answer(id, status));
        }
    }

    /// Answers, unless that was done.
    pub(crate) fn answer(&mut self, world: &mut World, id: u64, status: u16) {
        let Some(served) = self.served.get(&id).filter(|served| served.state == State::Open) else {
            return;
        };
        let (invite, way) = (served.asked.method() == "INVITE", served.way);
        let response = self.response(id, status);
        let bytes = response.to_bytes();
        self.transmit(world, way, &bytes);
        let Some(served) = self.served.get_mut(&id) else { return };
        served.last = bytes;
        if status < 200 {
            return;
        }
        served.state = State::Answered;
        if invite && (status < 300 || !is_stream(way.0)) {
            self.remind(world, T1, Alarm::Repeat(id));
        }
        self.remind(world, 64 * T1, Alarm::Forget(id));
        if invite && status < 300 {
            self.pick_up(world, id);
        }
    }

    fn response(&self, id: u64, status: u16) -> Sip {
        let (contact, served) = (self.contact(), &self.served[&id]);
        let (asked, tag) = (&served.asked, &served.tag);
        let mut sip = Sip { first: format!("SIP/2.0 {status} Whatever"), ..Sip::default() };
        asked.all("Via").iter().for_each(|via| sip.add("Via", *via));
        let makes_dialog = asked.method() == "INVITE" && (101..300).contains(&status);
        if makes_dialog {
            asked.all("Record-Route").iter().for_each(|route| sip.add("Record-Route", *route));
            sip.add("Contact", format!("<{contact}>"));
        }
        if status == 302 {
            sip.add("Contact", format!("<sip:elsewhere@{}>", self.address));
        }
        if status == 401 {
            sip.add("WWW-Authenticate", "Digest realm=\"phone\", nonce=\"1\", algorithm=MD5");
        }
        sip.add("From", asked.get("From").unwrap_or_default());
        let to = asked.get("To").unwrap_or_default();
        match status == 100 || asked.tag("To").is_some() {
            true => sip.add("To", to),
            false => sip.add("To", format!("{to};tag={tag}")),
        }
        sip.add("Call-ID", asked.get("Call-ID").unwrap_or_default());
        sip.add("CSeq", asked.get("CSeq").unwrap_or_default());
        if id.is_multiple_of(4) {
            identity::claim_all(&mut sip);
        }
        if status > 100 && asked.method() != "CANCEL" {
            sip.body = format!("answer {status} of {}\r\n", self.name);
        }
        sip
    }

    /// A dialog begins, or goes on.
    fn pick_up(&mut self, world: &mut World, id: u64) {
        let served = &self.served[&id];
        if served.call.is_some() {
            return;
        }
        let (asked, tag) = (served.asked.clone(), served.tag.clone());
        let dialog = Dialog::of_request(&asked);
        let (from, to) = (asked.get("From").unwrap_or_default(), asked.get("To"));
        let call = crate::random::talk::Call {
            id: asked.get("Call-ID").unwrap_or_default().to_owned(),
            local: format!("<{}>", uri_of(to.unwrap_or_default())),
            remote: format!("<{}>", uri_of(from)),
            local_tag: tag,
            cseq: 0,
            target: dialog.target.clone(),
            dialogs: vec![dialog],
            over: false,
        };
        let number = self.fresh();
        self.calls.insert(number, call);
        if let Some(served) = self.served.get_mut(&id) {
            served.call = Some(number);
        }
        if self.may(60) {
            self.remind_within(world, 15_000, Alarm::Talk(number));
        }
    }

    /// A final response again, until the ACK is there.
    pub(crate) fn repeat(&mut self, world: &mut World, id: u64) {
        let Some(served) = self.served.get_mut(&id) else { return };
        if served.state != State::Answered {
            return;
        }
        served.interval = (served.interval * 2).min(T2);
        let (way, last, interval) = (served.way, served.last.clone(), served.interval);
        self.transmit(world, way, &last);
        self.remind(world, interval, Alarm::Repeat(id));
    }

    /// A transaction is over. A 2xx without an ACK ends its call (RFC 3261 §13.3.1.4).
    pub(crate) fn forget(&mut self, world: &mut World, id: u64) {
        let Some(served) = self.served.remove(&id) else { return };
        let answered = served.asked.method() == "INVITE" && served.state == State::Answered;
        if let (true, Some(call)) = (answered, served.call) {
            self.hang_up(world, call, 0);
        }
    }
}
