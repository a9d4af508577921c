//! The client transactions of a phone: RFC 3261 §17.1, with RFC 6026's Accepted. Written apart
//! from the server's.

use crate::random::phone::{Alarm, Kind, Phone, is_stream};
use crate::scenario::digest::Challenge;
use crate::scenario::sip::Sip;
use crate::world::World;
use ringway_core::flow::{ConnectionId, SocketId};

/// The round-trip estimate, and the longest interval between repetitions, in milliseconds.
pub(crate) const T1: u64 = 500;
pub(crate) const T2: u64 = 4_000;

/// A client transaction.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) request: Sip,
    pub(crate) bytes: Vec<u8>,
    pub(crate) way: SocketId,
    pub(crate) state: State,
    /// The call it belongs to.
    pub(crate) call: Option<u64>,
    interval: u64,
    /// How often it was sent with credentials.
    logins: u8,
    /// It wants a CANCEL as soon as somebody answers provisionally.
    cancel: bool,
    pub(crate) cancelled: bool,
    /// The ACK for its final response.
    ack: Vec<u8>,
}

/// How far a client transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Calling,
    Proceeding,
    Completed,
    Accepted,
    /// It ended without a response.
    TimedOut,
}

impl Client {
    pub(crate) fn is_invite(&self) -> bool {
        self.request.method() == "INVITE"
    }

    /// Whether it still waits for a final response.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }
}

impl Phone {
    /// Sends a request with a transaction of its own, with credentials if there was a challenge.
    pub(crate) fn begin(
        &mut self,
        world: &mut World,
        (way, call): (SocketId, Option<u64>),
        mut request: Sip,
        logins: u8,
    ) -> u64 {
        if request.method() != "CANCEL" {
            self.log_in(&mut request);
        }
        let id = self.fresh();
        let bytes = request.to_bytes();
        self.transmit(world, (way, ConnectionId::NONE), &bytes);
        if !is_stream(way) {
            self.remind(world, T1, Alarm::Resend(id));
        }
        self.remind(world, 64 * T1, Alarm::GiveUp(id));
        let client = Client {
            request,
            bytes,
            way,
            state: State::Calling,
            call,
            interval: T1,
            logins,
            cancel: false,
            cancelled: false,
            ack: Vec::new(),
        };
        self.clients.insert(id, client);
        id
    }

    /// Timers A and E.
    pub(crate) fn resend(&mut self, world: &mut World, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let again = match client.state {
            State::Calling => true,
            State::Proceeding => !client.is_invite(),
            State::Completed | State::Accepted | State::TimedOut => false,
        };
        if !again {
            return;
        }
        client.interval *= 2;
        if !client.is_invite() {
            client.interval = client.interval.min(T2);
            if client.state == State::Proceeding {
                client.interval = T2;
            }
        }
        let (interval, way, bytes) = (client.interval, client.way, client.bytes.clone());
        self.transmit(world, (way, ConnectionId::NONE), &bytes);
        self.remind(world, interval, Alarm::Resend(id));
    }

    /// Timers B, D, F, K, and the end of waiting after a CANCEL.
    pub(crate) fn give_up(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let rings = client.is_invite() && client.state == State::Proceeding;
        if client.waits() && !rings {
            client.state = State::TimedOut;
        }
        if !client.is_invite() && !client.waits() {
            self.clients.remove(&id);
        }
    }

    /// A response: to what, and is it one that can be?
    pub(crate) fn take_response(&mut self, world: &mut World, status: u16, response: &Sip) {
        let (branch, method) = (response.branch(), response.method().to_owned());
        let mine = |(_, client): &(&u64, &Client)| {
            client.request.branch() == branch && client.request.method() == method
        };
        let Some(id) = self.clients.iter().find(mine).map(|(id, _)| *id) else { return };
        let vias = response.all("Via").len();
        if vias != 1 {
            let call_id = response.get("Call-ID").unwrap_or_default().to_owned();
            self.complaints.push((call_id, format!("{} got {vias} Vias", self.name)));
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        let before = client.state;
        match (client.state, status) {
            (State::TimedOut, _) => return,
            (State::Calling, 100..=199) => client.state = State::Proceeding,
            (State::Calling | State::Proceeding, 200..=299) if client.is_invite() => {
                client.state = State::Accepted;
            }
            (State::Calling | State::Proceeding, 200..) => client.state = State::Completed,
            (State::Completed, 300..) if client.is_invite() => {
                let (way, ack) = (client.way, client.ack.clone());
                return self.transmit(world, (way, ConnectionId::NONE), &ack);
            }
            _ => {}
        }
        if client.state == State::Completed && client.is_invite() && before != State::Completed {
            self.acknowledge_failure(world, id, response);
        }
        self.go_on(world, id, (status, before), response);
    }

    fn acknowledge_failure(&mut self, world: &mut World, id: u64, response: &Sip) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let mut ack = like(&client.request, "ACK");
        ack.replace("To", &[response.get("To").unwrap_or_default().to_owned()]);
        client.ack = ack.to_bytes();
        let (way, bytes) = (client.way, client.ack.clone());
        self.transmit(world, (way, ConnectionId::NONE), &bytes);
    }

    fn go_on(
        &mut self,
        world: &mut World,
        id: u64,
        (status, before): (u16, State),
        response: &Sip,
    ) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if status < 200 {
            if std::mem::take(&mut client.cancel) {
                self.cancel(world, id);
            }
            return;
        }
        let first = matches!(before, State::Calling | State::Proceeding);
        match status {
            200..=299 if client.is_invite() => self.answered(world, id, response),
            401 | 407 if first => self.challenged(world, id, response),
            _ => {}
        }
    }

    fn challenged(&mut self, world: &mut World, id: u64, response: &Sip) {
        let (asks, answers) = match response.status() {
            Some(401) => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let all = response.all(asks).into_iter();
        let Some(challenge) = all.filter_map(|value| Challenge::read(answers, value)).next() else {
            return;
        };
        self.challenges.insert(answers, challenge);
        let Some(client) = self.clients.get(&id) else { return };
        if client.logins >= 2 || client.cancelled || client.cancel || self.kind == Kind::Peer {
            return;
        }
        let (way, call, logins) = (client.way, client.call, client.logins + 1);
        let mut request = client.request.clone();
        let cseq = match call.and_then(|call| self.calls.get_mut(&call)) {
            Some(call) => {
                call.cseq += 1;
                call.cseq
            }
            None if request.method() == "REGISTER" => {
                self.register_cseq += 1;
                self.register_cseq
            }
            None => request.cseq() + 1,
        };
        request.replace("CSeq", &[format!("{cseq} {}", client.request.method())]);
        let branch = self.word("z9hG4bK");
        let via = self.via(way, &branch);
        request.replace("Via", &[via]);
        let new = self.begin(world, (way, call), request, logins);
        if self.clients[&new].is_invite() {
            self.be_patient(world, new);
        }
    }

    /// Adds credentials for the challenges that are known.
    fn log_in(&mut self, request: &mut Sip) {
        let (method, uri) = (request.method().to_owned(), request.uri().to_owned());
        let registers = method == "REGISTER";
        for (name, challenge) in &mut self.challenges {
            if registers != (*name == "Authorization") {
                continue;
            }
            challenge.used += 1;
            let who = (self.user.as_str(), self.password.as_str());
            if let Some(value) = challenge.answer(who, (&method, &uri), challenge.used) {
                request.replace(name, &[value]);
            }
        }
    }

    /// Decides how long an INVITE may go on.
    pub(crate) fn be_patient(&mut self, world: &mut World, id: u64) {
        // Some wait for ever: then the server has to end it (Timer C).
        if self.may(10) {
            return;
        }
        let most = if self.may(25) { 400 } else { 40_000 };
        self.remind_within(world, most, Alarm::Impatient(id));
    }

    /// Gives an INVITE up: with a CANCEL at once, or after the first provisional response.
    pub(crate) fn cancel(&mut self, world: &mut World, id: u64) {
        let hasty = self.may(30);
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !client.waits() || client.cancelled {
            return;
        }
        if client.state == State::Calling && !hasty {
            client.cancel = true;
            return;
        }
        client.cancelled = true;
        let (cancel, way, call) = (like(&client.request, "CANCEL"), client.way, client.call);
        self.begin(world, (way, call), cancel, 9);
    }
}

/// A request with the Via, Request-URI, Route and CSeq number of an INVITE (RFC 3261 §9.1,
/// §17.1.1.3).
fn like(invite: &Sip, method: &str) -> Sip {
    let mut sip = Sip { first: format!("{method} {} SIP/2.0", invite.uri()), ..Sip::default() };
    sip.add("Via", invite.all("Via")[0]);
    sip.add("Max-Forwards", "70");
    invite.all("Route").iter().for_each(|route| sip.add("Route", *route));
    for name in ["From", "To", "Call-ID"] {
        sip.add(name, invite.get(name).unwrap_or_default());
    }
    sip.add("CSeq", format!("{} {method}", invite.cseq()));
    sip
}
