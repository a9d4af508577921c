//! What two phones share while they talk (RFC 3261 §12), and what each has before that.

use super::request::Draft;
use ringway_wire::{Message, Name, NameAddr, StoredMessage};
use std::time::Instant;

/// A call that was made and is not answered yet.
#[derive(Debug)]
pub struct Outgoing {
    pub(crate) draft: Draft,
    /// When the first INVITE was sent.
    pub started: Instant,
}

/// A call that came in and is not answered yet.
#[derive(Debug)]
pub struct Incoming {
    /// When its INVITE came.
    pub at: Instant,
    pub(crate) request: StoredMessage,
    /// Our tag.
    pub(crate) tag: String,
}

impl Incoming {
    /// The INVITE.
    pub fn request(&self) -> Message<'_> {
        self.request.message()
    }
}

/// A call that was answered by the other side.
#[derive(Debug)]
pub struct Answered {
    /// The dialog that was made.
    pub dialog: Dialog,
    /// When the answer came.
    pub at: Instant,
    /// Its body.
    pub body: Box<[u8]>,
}

/// A dialog, seen from one side.
#[derive(Debug)]
pub struct Dialog {
    call_id: String,
    /// From and To of the requests of this side.
    local: String,
    remote: String,
    /// The route set (§12.1.1, §12.1.2).
    routes: Vec<String>,
    /// The remote target.
    target: String,
    /// The last CSeq number of this side.
    cseq: u32,
}

impl Dialog {
    /// The caller's side, from its INVITE and the 2xx.
    pub(crate) fn of_caller(invite: &Draft, answer: &Message<'_>) -> Result<Self, &'static str> {
        //= RFC 3261 12.1.2
        // "header field from the response, taken in reverse order and preserving"
        let mut routes = routes_of(answer);
        routes.reverse();
        Ok(Self {
            call_id: invite.call_id.clone(),
            local: invite.from.clone(),
            remote: text(answer.header(Name::To).ok_or("an answer without To")?),
            routes,
            target: target_of(answer)?,
            cseq: invite.cseq,
        })
    }

    /// The callee's side, from the INVITE.
    pub(crate) fn of_callee(call: &Incoming) -> Result<Self, &'static str> {
        let invite = call.request.message();
        let to = text(invite.header(Name::To).ok_or("an INVITE without To")?);
        Ok(Self {
            call_id: text(invite.call_id()),
            local: format!("{to};tag={}", call.tag),
            remote: text(invite.header(Name::From).ok_or("an INVITE without From")?),
            //= RFC 3261 12.1.1
            // "header field from the request, taken in order and preserving all URI"
            routes: routes_of(&invite),
            target: target_of(&invite)?,
            cseq: 0,
        })
    }

    /// A request inside the dialog. All routers on the way are loose: the server's own.
    pub(crate) fn draft(&self, method: &'static str, cseq: u32) -> Draft {
        Draft {
            from: self.local.clone(),
            to: self.remote.clone(),
            call_id: self.call_id.clone(),
            cseq,
            routes: self.routes.clone(),
            ..Draft::new(method, self.target.clone())
        }
    }

    pub(crate) const fn next_cseq(&self) -> u32 {
        self.cseq + 1
    }

    /// Whether a request of the other side belongs to it (§12.2.2).
    pub(crate) fn holds(&self, request: &Message<'_>) -> bool {
        let tag = |value: Option<&[u8]>| -> Option<Vec<u8>> {
            Some(NameAddr::parse(value?).ok()?.tag()?.to_vec())
        };
        request.call_id() == self.call_id.as_bytes()
            && tag(request.header(Name::To)) == tag(Some(self.local.as_bytes()))
            && tag(request.header(Name::From)) == tag(Some(self.remote.as_bytes()))
    }
}

fn routes_of(message: &Message<'_>) -> Vec<String> {
    message.values(Name::RecordRoute).map(text).collect()
}

fn target_of(message: &Message<'_>) -> Result<String, &'static str> {
    let contact = message.contacts().next().and_then(Result::ok);
    contact.map(|contact| text(contact.uri)).ok_or("a message without Contact")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
