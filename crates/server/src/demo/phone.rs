//! A small phone: it registers, calls, is called, talks and hangs up, over one line to one
//! server. What it shall do is said step by step; in between it listens on its own.

use super::dialog::{Answered, Dialog, Incoming, Outgoing};
use super::failure::{Cause, Failure};
use super::line::{Heard, Line, Link};
use super::request::Draft;
use super::trace::Trace;
use ringway_core::flow::Transport;
use ringway_core::identity::{Asked, Login, Side};
use ringway_wire::{Message, Method, ResponseWriter, reason_phrase};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// The status codes that phones send and wait for (RFC 3261 §21).
pub(crate) const RINGING: u16 = 180;
pub(crate) const OK: u16 = 200;
const UNAUTHORIZED: u16 = 401;
const PROXY_AUTHENTICATION_REQUIRED: u16 = 407;

/// How long a phone waits for what must come soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Messages set aside while waiting for another one.
const ASIDE: usize = 64;

/// A body: its type and its bytes.
pub type Body<'a> = Option<(&'a str, &'a [u8])>;

/// What is typed into a phone.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
    /// The domain of the account.
    pub domain: String,
    /// Where the server is.
    pub server: SocketAddr,
    /// How to talk to it: UDP or TCP.
    pub transport: Transport,
}

/// A phone that is switched on.
#[derive(Debug)]
pub struct Phone {
    profile: Profile,
    line: Line,
    switched_on: Instant,
    /// Where it wants to be reached: its Contact.
    contact: String,
    registration: String,
    cseq: u32,
    aside: VecDeque<Heard>,
    patience: Duration,
}

impl Phone {
    /// Switches a phone on. What it sends and hears is noted in `trace`.
    ///
    /// # Errors
    /// If it gets no socket, or no connection.
    pub fn switch_on(profile: Profile, trace: &Trace) -> Result<Self, Failure> {
        let switched_on = Instant::now();
        let way = (profile.transport, profile.server);
        let line = Line::open(&profile.user, way, trace.clone());
        Self::begin(profile, switched_on, line)
    }

    /// The same over a link that is open, which says how it talks to the server.
    ///
    /// # Errors
    /// If it gets no thread.
    pub fn over(link: Box<dyn Link>, profile: Profile, trace: &Trace) -> Result<Self, Failure> {
        let line = Line::over(&profile.user, (link, profile.server), trace.clone());
        Self::begin(profile, Instant::now(), line)
    }

    fn begin(
        profile: Profile,
        switched_on: Instant,
        line: io::Result<Line>,
    ) -> Result<Self, Failure> {
        let user = &profile.user;
        let line = line.map_err(|error| Failure {
            phone: user.clone(),
            cause: Cause::System(error),
            after: switched_on.elapsed(),
        })?;
        let contact = match line.transport() {
            Transport::Udp => format!("<sip:{user}@{}>", line.local),
            // A browser does not know its own address (RFC 7118 §8.1).
            Transport::Ws | Transport::Wss => {
                format!("<sip:{user}@{}.invalid;transport=ws>", token())
            }
            other => format!("<sip:{user}@{};transport={}>", line.local, other.uri_name()),
        };
        Ok(Self {
            contact,
            registration: token(),
            profile,
            line,
            switched_on,
            cseq: 0,
            aside: VecDeque::new(),
            patience: PATIENCE,
        })
    }

    /// Waits no longer than this for what must come soon.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What was typed into it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Its own address.
    pub fn local(&self) -> SocketAddr {
        self.line.local
    }

    /// Its address-of-record as a URI.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.profile.user, self.profile.domain)
    }

    /// Registers for so many seconds; 0 takes the registration back. Tells how long it took.
    ///
    /// # Errors
    /// If the server does not confirm it.
    pub fn register(&mut self, expires_s: u32) -> Result<Duration, Failure> {
        let own = format!("<{}>", self.uri());
        let mut draft = Draft::new("REGISTER", format!("sip:{}", self.profile.domain));
        draft.from = format!("{own};tag={}", token());
        draft.to = own;
        draft.call_id = self.registration.clone();
        draft.contact = Some(format!("{};expires={expires_s}", self.contact));
        let (started, heard) = self.ask(&mut draft)?;
        self.succeed(&heard)?;
        Ok(heard.at.saturating_duration_since(started))
    }

    /// Calls somebody: returns when the call is under way.
    ///
    /// # Errors
    /// If it is refused at once, or nothing comes back.
    pub fn invite(&mut self, target: &str, body: Body<'_>) -> Result<Outgoing, Failure> {
        let mut draft = Draft::new("INVITE", target.into());
        draft.from = format!("<{}>;tag={}", self.uri(), token());
        draft.to = format!("<{target}>");
        draft.call_id = token();
        draft.contact = Some(self.contact.clone());
        draft.body = body.map(|(kind, bytes)| (kind.into(), bytes.into()));
        let (started, heard) = self.ask(&mut draft)?;
        if heard.message.message().status() >= 300 {
            self.succeed(&heard)?;
        }
        self.aside.push_front(heard);
        Ok(Outgoing { draft, started })
    }

    /// Waits until it rings at the far side; tells when.
    ///
    /// # Errors
    /// If it does not ring.
    pub fn hear_ringing(&mut self, call: &Outgoing) -> Result<Instant, Failure> {
        let heard = self.hear("ringing", |message| {
            call.draft.is_answered_by(message) && message.status() > 100
        })?;
        let status = heard.message.message().status();
        let at = heard.at;
        if status >= 300 {
            self.succeed(&heard)?;
        }
        if status >= 200 {
            // It was answered without ringing.
            self.aside.push_front(heard);
            return Err(self.failure(Cause::Silence("ringing".into())));
        }
        Ok(at)
    }

    /// Waits until the far side answers, and acknowledges it (RFC 3261 §13.2.2.4).
    ///
    /// # Errors
    /// If it does not.
    pub fn hear_answer(&mut self, call: Outgoing) -> Result<Answered, Failure> {
        let heard = self.hear("an answer to INVITE", |message| {
            call.draft.is_answered_by(message) && message.status() >= 200
        })?;
        self.succeed(&heard)?;
        let dialog = Dialog::of_caller(&call.draft, &heard.message.message());
        let dialog = dialog.map_err(|what| self.failure(Cause::Unusable(what)))?;
        let mut ack = dialog.draft("ACK", call.draft.cseq);
        //= RFC 3261 13.2.2.4
        // "The ACK MUST contain the same credentials as the INVITE."
        ack.credentials = call.draft.credentials;
        self.send(&ack)?;
        let body = heard.message.message().body().into();
        Ok(Answered { dialog, at: heard.at, body })
    }

    /// Waits for somebody to call.
    ///
    /// # Errors
    /// If nobody does.
    pub fn hear_call(&mut self) -> Result<Incoming, Failure> {
        let heard = self.hear("an INVITE", |message| {
            message.is_request() && message.method() == Method::Invite
        })?;
        Ok(Incoming { at: heard.at, request: heard.message, tag: token() })
    }

    /// Answers a call that came in with this status, and with a Contact. Tells when.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn respond(
        &self,
        call: &Incoming,
        status: u16,
        body: Body<'_>,
    ) -> Result<Instant, Failure> {
        let contact = self.contact.clone();
        self.reply(&call.request.message(), (status, &call.tag), Some(&contact), body)
    }

    /// Accepts a call.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn accept(&self, call: &Incoming, body: Body<'_>) -> Result<Dialog, Failure> {
        let dialog = Dialog::of_callee(call);
        let dialog = dialog.map_err(|what| self.failure(Cause::Unusable(what)))?;
        self.respond(call, OK, body)?;
        Ok(dialog)
    }

    /// Waits for the acknowledgement of a call that was accepted; tells when it came.
    ///
    /// # Errors
    /// If it does not come.
    pub fn hear_ack(&mut self, dialog: &Dialog) -> Result<Instant, Failure> {
        let heard = self.hear("an ACK", |message| {
            message.is_request() && message.method() == Method::Ack && dialog.holds(message)
        })?;
        Ok(heard.at)
    }

    /// Hangs up: sends the BYE, and does not wait for its answer.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn hang_up(&self, dialog: &Dialog) -> Result<Draft, Failure> {
        let bye = dialog.draft("BYE", dialog.next_cseq());
        self.send(&bye)?;
        Ok(bye)
    }

    /// Waits for the answer to a BYE; tells when it came.
    ///
    /// # Errors
    /// If it does not come, or is a failure.
    pub fn hear_farewell(&mut self, bye: &Draft) -> Result<Instant, Failure> {
        let heard = self.hear("an answer to BYE", |message| {
            bye.is_answered_by(message) && message.status() >= 200
        })?;
        self.succeed(&heard)?;
        Ok(heard.at)
    }

    /// Waits until the other side hangs up, and confirms it; tells when the BYE came.
    ///
    /// # Errors
    /// If it does not hang up.
    pub fn hear_hang_up(&mut self, dialog: &Dialog) -> Result<Instant, Failure> {
        let heard = self.hear("a BYE", |message| {
            message.is_request() && message.method() == Method::Bye && dialog.holds(message)
        })?;
        self.reply(&heard.message.message(), (OK, ""), None, None)?;
        Ok(heard.at)
    }

    fn reply(
        &self,
        request: &Message<'_>,
        (status, tag): (u16, &str),
        contact: Option<&str>,
        body: Body<'_>,
    ) -> Result<Instant, Failure> {
        let mut out = Vec::new();
        let reason = reason_phrase(status);
        let (tag, source) = (Some(tag.as_bytes()).filter(|tag| !tag.is_empty()), self.line.server);
        let mut response = ResponseWriter::new(&mut out, request, (status, reason), tag, source);
        response.record_routes(request);
        if let Some(contact) = contact {
            response.header("Contact", contact.as_bytes());
        }
        response.finish(body);
        self.line.send(&out).map_err(|error| self.failure(Cause::System(error)))
    }

    /// Sends a request and waits for its first response; a challenge is answered once. Tells
    /// when it was sent at first.
    fn ask(&mut self, draft: &mut Draft) -> Result<(Instant, Heard), Failure> {
        self.cseq += 1;
        draft.cseq = self.cseq;
        let started = self.send(draft)?;
        let heard = self.hear_response(draft)?;
        let side = match heard.message.message().status() {
            UNAUTHORIZED => Side::Server,
            PROXY_AUTHENTICATION_REQUIRED => Side::Proxy,
            _ => return Ok((started, heard)),
        };
        let cnonce = token();
        let asked = Asked {
            method: draft.method.as_bytes(),
            uri: draft.uri.as_bytes(),
            cnonce: cnonce.as_bytes(),
            nc: 1,
        };
        let Profile { user, password, .. } = &self.profile;
        let login = Login { user: user.as_bytes(), password: password.as_bytes() };
        let response = heard.message.message();
        let challenges = response
            .headers()
            .filter(|header| header.raw_name.eq_ignore_ascii_case(side.challenge().as_bytes()));
        let answer = login.respond(challenges.map(|header| header.value), asked);
        let answer =
            answer.ok_or_else(|| self.failure(Cause::Unusable("a challenge it cannot answer")))?;
        draft.credentials = Some((side.credentials().as_str(), answer));
        //= RFC 3261 22.2
        // "it MUST increment the CSeq header field value as it would normally"
        self.cseq += 1;
        draft.cseq = self.cseq;
        self.send(draft)?;
        Ok((started, self.hear_response(draft)?))
    }

    fn hear_response(&mut self, draft: &Draft) -> Result<Heard, Failure> {
        let what = format!("an answer to {}", draft.method);
        let is_invite = draft.method == "INVITE";
        self.hear(&what, |message| {
            draft.is_answered_by(message) && (is_invite || message.status() >= 200)
        })
    }

    fn send(&self, draft: &Draft) -> Result<Instant, Failure> {
        let via = (self.line.transport(), self.line.local);
        let bytes = draft.write(via, &token());
        self.line.send(&bytes).map_err(|error| self.failure(Cause::System(error)))
    }

    /// The next message that is wanted; others stay for later.
    fn hear(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Message<'_>) -> bool,
    ) -> Result<Heard, Failure> {
        let place = self.aside.iter().position(|heard| wanted(&heard.message.message()));
        if let Some(heard) = place.and_then(|place| self.aside.remove(place)) {
            return Ok(heard);
        }
        let until = Instant::now() + self.patience;
        loop {
            match self.line.hear(until) {
                Ok(heard) if wanted(&heard.message.message()) => return Ok(heard),
                Ok(heard) => {
                    if self.aside.len() == ASIDE {
                        self.aside.pop_front();
                    }
                    self.aside.push_back(heard);
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failure(Cause::Silence(what.into())));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure(Cause::Closed)),
            }
        }
    }

    fn succeed(&self, heard: &Heard) -> Result<(), Failure> {
        let response = heard.message.message();
        let status = response.status();
        if (200..300).contains(&status) {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (method, reason) = (text(response.method().as_bytes()), text(response.reason()));
        Err(self.failure(Cause::Refused { method, status, reason }))
    }

    pub(crate) fn failure(&self, cause: Cause) -> Failure {
        let (phone, after) = (self.profile.user.clone(), self.switched_on.elapsed());
        Failure { phone, cause, after }
    }
}

/// A name that nobody else has: for tags, Call-IDs and branches.
pub(crate) fn token() -> String {
    // Without randomness a phone still works: no two names of one process are alike.
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let random = getrandom::u64().unwrap_or_default();
    format!("{random:016x}{count:x}")
}
