//! What a scripted phone remembers, so that a scenario need not say it: calls with their tags,
//! route sets and CSeq numbers, the requests it has to answer, and its password.

use crate::scenario::digest::Challenge;
use crate::scenario::sip::{Sip, uri_of};
use crate::world::EndpointId;
use ringway_core::flow::{ConnectionId, Flow, SocketId, Transport};
use std::net::SocketAddr;

/// A phone, or whoever else talks to the server.
#[derive(Debug)]
pub(crate) struct Phone {
    pub(crate) name: String,
    pub(crate) endpoint: EndpointId,
    pub(crate) transport: Transport,
    /// Where it receives.
    pub(crate) address: SocketAddr,
    /// The listener it sends to, and that listener's address.
    pub(crate) socket: SocketId,
    pub(crate) proxy: SocketAddr,
    /// Its connection, on streams.
    pub(crate) connection: Option<ConnectionId>,
    /// `user@domain`: who it says it is.
    pub(crate) aor: String,
    pub(crate) password: String,
    /// Algorithms it can do; empty: all.
    pub(crate) algorithms: Vec<String>,
    /// Whether it answers challenges without being told.
    pub(crate) answers_challenges: bool,
    pub(crate) challenge: Option<Challenge>,
    pub(crate) calls: Vec<Call>,
    /// The call that lines without `call=` speak of.
    pub(crate) current: usize,
    pub(crate) sent: Vec<Sent>,
    /// All that arrived, oldest first.
    pub(crate) received: Vec<Sip>,
    /// Makes tags, branches and Call-IDs.
    pub(crate) made: u32,
}

/// A message that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) message: Sip,
    pub(crate) bytes: Vec<u8>,
    pub(crate) flow: Option<Flow>,
    /// A final response came, or none can come any more.
    pub(crate) over: bool,
}

/// Everything with one Call-ID.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) label: String,
    pub(crate) id: String,
    pub(crate) local: String,
    pub(crate) local_tag: String,
    pub(crate) remote: String,
    pub(crate) cseq: u32,
    /// One for each tag of the far side; the last one is spoken to.
    pub(crate) dialogs: Vec<Dialog>,
    /// The last request that was sent with it: its place in [`Phone::sent`].
    pub(crate) last_request: Option<usize>,
    /// The last INVITE that was sent with it.
    pub(crate) invite: Option<usize>,
    /// The last final response to it.
    pub(crate) final_response: Option<Sip>,
    pub(crate) requests: Vec<Received>,
}

/// A dialog (RFC 3261 §12).
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialog {
    pub(crate) remote_tag: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
}

/// A request that arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) message: Sip,
    pub(crate) flow: Flow,
    pub(crate) answered: bool,
}

impl Phone {
    /// A number that was not used before.
    pub(crate) fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("{what}-{}-{}", self.name, self.made)
    }

    /// Its Contact URI.
    pub(crate) fn contact(&self) -> String {
        let user = self.aor.split('@').next().unwrap_or("");
        let transport = match self.transport {
            Transport::Udp => "",
            Transport::Ws => ";transport=ws",
            _ => ";transport=tcp",
        };
        format!("sip:{user}@{}{transport}", self.place())
    }

    /// What it says of where it is: a browser does not know (RFC 7118 §5, appendix B).
    fn place(&self) -> String {
        match self.transport {
            Transport::Ws => format!("{}.invalid", self.name),
            _ => self.address.to_string(),
        }
    }

    /// The call with this label, or the current one.
    pub(crate) fn call(&mut self, label: Option<&str>) -> Result<usize, String> {
        let found = match label {
            Some(label) => self.calls.iter().rposition(|call| call.label == label),
            None => (self.current < self.calls.len()).then_some(self.current),
        };
        self.current = found.ok_or_else(|| match label {
            Some(label) => format!("{} has no call `{label}`", self.name),
            None => format!("{} has no call yet", self.name),
        })?;
        Ok(self.current)
    }

    /// A new call towards a URI.
    pub(crate) fn new_call(&mut self, label: &str, uri: &str) -> usize {
        let id = self.fresh("call");
        let local_tag = self.fresh("tag");
        let call = Call {
            label: label.to_owned(),
            id,
            local: format!("<sip:{}>", self.aor),
            local_tag,
            remote: format!("<{uri}>"),
            ..Call::default()
        };
        self.calls.push(call);
        self.current = self.calls.len() - 1;
        self.current
    }

    /// A request of a call: within its dialog, if there is one.
    pub(crate) fn request(&mut self, call: usize, method: &str, uri: Option<&str>) -> Sip {
        let branch = self.fresh("z9hG4bK");
        let via = self.via(&branch);
        let contact = self.contact();
        let call = &mut self.calls[call];
        if method != "ACK" {
            call.cseq += 1;
        }
        let dialog = call.dialogs.last().cloned().unwrap_or_default();
        let target = uri.map_or_else(|| dialog.target.clone(), str::to_owned);
        let mut sip = Sip { first: format!("{method} {target} SIP/2.0"), ..Sip::default() };
        sip.add("Via", via);
        sip.add("Max-Forwards", "70");
        dialog.routes.iter().for_each(|route| sip.add("Route", route.clone()));
        sip.add("From", format!("{};tag={}", call.local, call.local_tag));
        let tag = &dialog.remote_tag;
        let tag = if tag.is_empty() { String::new() } else { format!(";tag={tag}") };
        sip.add("To", format!("{}{tag}", call.remote));
        sip.add("Call-ID", call.id.clone());
        sip.add("CSeq", format!("{} {method}", call.cseq));
        if ["INVITE", "UPDATE", "SUBSCRIBE", "REFER", "REGISTER"].contains(&method) {
            sip.add("Contact", format!("<{contact}>"));
        }
        sip
    }

    pub(crate) fn via(&self, branch: &str) -> String {
        format!("SIP/2.0/{} {};branch={branch};rport", self.transport.via_name(), self.place())
    }

    /// The ACK of the last INVITE (RFC 3261 §13.2.2.4, §17.1.1.3).
    pub(crate) fn ack(&mut self, call: usize) -> Result<Sip, String> {
        let no_answer = || "there is no final response to acknowledge".to_owned();
        let response = self.calls[call].final_response.clone().ok_or_else(no_answer)?;
        if response.status() >= Some(300) {
            let mut ack = self.like_invite(call, "ACK")?;
            ack.replace("To", &[response.get("To").unwrap_or("").to_owned()]);
            return Ok(ack);
        }
        let cseq = response.cseq();
        let mut ack = self.request(call, "ACK", None);
        ack.replace("CSeq", &[format!("{cseq} ACK")]);
        Ok(ack)
    }

    /// A request with the Via, Request-URI, Route and CSeq number of the last INVITE.
    pub(crate) fn like_invite(&self, call: usize, method: &str) -> Result<Sip, String> {
        let invite = self.calls[call].invite.and_then(|at| self.sent.get(at));
        let invite = &invite.ok_or("no INVITE was sent in this call")?.message;
        let mut sip = Sip { first: format!("{method} {} SIP/2.0", invite.uri()), ..Sip::default() };
        sip.add("Via", invite.all("Via")[0]);
        sip.add("Max-Forwards", "70");
        invite.all("Route").iter().for_each(|route| sip.add("Route", *route));
        for name in ["From", "To", "Call-ID"] {
            sip.add(name, invite.get(name).unwrap_or(""));
        }
        sip.add("CSeq", format!("{} {method}", invite.cseq()));
        Ok(sip)
    }

    /// A response to the last request that waits for one, or to the last one with this method.
    pub(crate) fn response(
        &mut self,
        call: usize,
        (status, method): (u16, Option<&str>),
    ) -> Result<(Sip, Flow), String> {
        let contact = self.contact();
        let found = {
            let requests = &self.calls[call].requests;
            let wanted = |r: &Received| method.is_none_or(|method| r.message.method() == method);
            let open = requests.iter().rposition(|r| !r.answered && wanted(r));
            let invite = |r: &Received| r.message.method() == "INVITE" || method.is_some();
            open.or_else(|| requests.iter().rposition(|r| wanted(r) && invite(r)))
        };
        let call = &mut self.calls[call];
        let request = found.and_then(|at| call.requests.get_mut(at));
        let request = request.ok_or_else(|| format!("{} has nothing to answer", self.name))?;
        request.answered |= status >= 200;
        let asked = &request.message;
        let mut sip =
            Sip { first: format!("SIP/2.0 {status} {}", reason(status)), ..Sip::default() };
        asked.all("Via").iter().for_each(|via| sip.add("Via", *via));
        if asked.method() == "INVITE" && (101..300).contains(&status) {
            asked.all("Record-Route").iter().for_each(|route| sip.add("Record-Route", *route));
        }
        sip.add("From", asked.get("From").unwrap_or(""));
        let mut to = asked.get("To").unwrap_or("").to_owned();
        if status > 100 && asked.tag("To").is_none() {
            to = format!("{to};tag={}", call.local_tag);
        }
        sip.add("To", to);
        sip.add("Call-ID", asked.get("Call-ID").unwrap_or(""));
        sip.add("CSeq", asked.get("CSeq").unwrap_or(""));
        if asked.method() == "INVITE" && (101..300).contains(&status) {
            sip.add("Contact", format!("<{contact}>"));
        }
        Ok((sip, request.flow))
    }

    /// Takes in what arrived; tells the place of its call.
    pub(crate) fn take(&mut self, flow: Flow, message: &Sip) -> usize {
        self.received.push(message.clone());
        let id = message.get("Call-ID").unwrap_or("").to_owned();
        let known = self.calls.iter().rposition(|call| call.id == id);
        let at = known.unwrap_or_else(|| {
            let local_tag = self.fresh("tag");
            self.calls.push(Call { id, local_tag, ..Call::default() });
            self.calls.len() - 1
        });
        self.current = at;
        match message.status() {
            Some(status) => self.take_response(at, status, message),
            None => self.calls[at].take_request(flow, message),
        }
        at
    }

    fn take_response(&mut self, call: usize, status: u16, message: &Sip) {
        let (branch, method) = (message.branch(), message.method());
        let sent = |sent: &Sent| sent.message.branch() == branch && sent.message.method() == method;
        if let Some(sent) = self.sent.iter_mut().rev().find(|s| sent(s)).filter(|_| status >= 200) {
            sent.over = true;
        }
        let call = &mut self.calls[call];
        if method != "INVITE" {
            return;
        }
        if status >= 200 {
            call.final_response = Some(message.clone());
        }
        let tag = message.tag("To").unwrap_or_default();
        if (101..300).contains(&status) && !tag.is_empty() {
            let mut routes: Vec<String> =
                message.all("Record-Route").iter().map(|r| (*r).to_owned()).collect();
            routes.reverse();
            let old = call.dialogs.iter().position(|dialog| dialog.remote_tag == tag);
            let mut dialog = old.map(|at| call.dialogs.remove(at)).unwrap_or_default();
            if let Some(contact) = message.all("Contact").first() {
                dialog.target = uri_of(contact).to_owned();
            }
            if dialog.routes.is_empty() {
                dialog.routes = routes;
            }
            dialog.remote_tag = tag;
            call.dialogs.push(dialog);
        }
    }
}

impl Call {
    fn take_request(&mut self, flow: Flow, message: &Sip) {
        if self.local.is_empty() {
            let plain = |name: &str| {
                let value = message.get(name).unwrap_or("");
                let end = value.find('>').map_or(value.len(), |at| at + 1);
                value[..end].to_owned()
            };
            self.local = plain("To");
            self.remote = plain("From");
        }
        if message.method() == "INVITE" {
            let target = message.all("Contact").first().map(|contact| uri_of(contact).to_owned());
            let remote_tag = message.tag("From").unwrap_or_default();
            let old = self.dialogs.iter_mut().find(|dialog| dialog.remote_tag == remote_tag);
            match (old, target) {
                (Some(dialog), Some(target)) => dialog.target = target,
                (Some(_), None) => {}
                (None, target) => self.dialogs.push(Dialog {
                    remote_tag,
                    target: target.unwrap_or_default(),
                    routes: message.all("Record-Route").iter().map(|r| (*r).to_owned()).collect(),
                }),
            }
        }
        let answered = message.method() == "ACK";
        self.requests.push(Received { message: message.clone(), flow, answered });
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        404 => "Not Found",
        480 => "Temporarily Unavailable",
        486 => "Busy Here",
        487 => "Request Terminated",
        603 => "Decline",
        _ => "Scripted",
    }
}
