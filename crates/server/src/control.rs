//! The control socket: how a command reaches the server that runs.
//!
//! ```text
//! cli -> Far ─┬─ Client ── JSON lines ── socket -> Running -> engine, store
//!             └─ Stopped -> store                              (nobody runs: the folder itself)
//! ```
//!
//! Every request can be answered by three: [`Running`](running::Running) inside the server,
//! [`Client`](client::Client) across the socket, and [`Stopped`](stopped::Stopped) on the data of
//! a server that does not run. All answer with any number of replies and then an end, or a
//! [`Failure`].
//!
//! A line from a client is `{"version":1,"request":{"do":"status"}}`. Lines back are
//! `{"version":1,"reply":{…}}`, as many as there are, and at last `{"version":1,"end":true}` or
//! `{"version":1,"failure":{"kind":"not_found","message":"…"}}`.

pub mod doors;
pub mod views;
pub mod running;
pub mod stopped;
pub mod socket;
pub mod client;
mod trace;

use serde::{Deserialize, Serialize};
use std::fmt;
pub use trace::{MessageView, TraceMode, TraceRequest, WayView};
use views::{AccountView, CallView, NewAccount, RegistrationView, RouteView, Secrets, StatusView};

/// The version of the protocol; another one is refused.
pub const VERSION: u32 = 1;

/// What can be asked. Names of accounts are written as `user@domain`.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How is the server? → one [`Reply::Status`]
    Status,
    /// All accounts. → [`Reply::Accounts`]
    Accounts,
    /// One account and its registrations. → one [`Reply::Accounts`], then
    /// [`Reply::Registrations`]
    Account {
        /// Whose.
        account: String,
    },
    /// Change accounts. Acknowledged when it is on disk and in effect.
    Change(Change),
    /// Who is registered. → [`Reply::Registrations`]
    Registrations {
        /// Only this account.
        account: Option<String>,
    },
    /// The calls that pass now. → [`Reply::Calls`]
    Calls,
    /// Messages that passed, or that pass from now on. → [`Reply::Traced`], at intervals one of
    /// nothing, and [`Reply::TraceLost`]
    Trace(TraceRequest),
    /// Where a call would go, and why. → one [`Reply::Route`]
    ExplainRoute {
        /// The caller, as `user@domain`.
        from: String,
        /// Who is called: a URI, `user@domain`, or a user of the caller's domain.
        to: String,
    },
}

/// How accounts can be changed.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Make those of these accounts that do not exist yet. → one [`Reply::Added`]
    Add {
        /// Which.
        accounts: Vec<NewAccount>,
    },
    /// From now on the account has this password.
    SetPassword {
        /// Whose.
        account: String,
        /// The hashes of the password; the text never leaves the command.
        secrets: Secrets,
    },
    /// The account is gone, with all its registrations.
    Remove {
        /// Whose.
        account: String,
    },
}

/// What comes back. Long lists come in several replies.
#[derive(Clone, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// How the server is.
    Status(Box<StatusView>),
    /// Accounts.
    Accounts(Vec<AccountView>),
    /// What became of accounts to be made.
    Added {
        /// How many were made.
        added: u64,
        /// Those that were there already; nothing of them was changed.
        exist: Vec<String>,
    },
    /// Registrations.
    Registrations(Vec<RegistrationView>),
    /// Calls.
    Calls(Vec<CallView>),
    /// A route.
    Route(RouteView),
    /// Messages, in order; those of a trace of the past together.
    Traced(Vec<MessageView>),
    /// So many messages were lost, because they were not read soon enough.
    TraceLost(u64),
}

/// What a reply is handed to; a failure of it ends the request.
pub type Each<'a> = &'a mut dyn FnMut(Reply) -> Result<(), Failure>;

/// Whoever answers requests.
pub trait Far {
    /// Answers one request: hands each reply to `each`.
    ///
    /// # Errors
    /// If it cannot be done. Then nothing has changed, unless the message says so.
    fn ask(&mut self, request: Request, each: Each<'_>) -> Result<(), Failure>;
}

/// Why a request was not done.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Failure {
    /// Which kind of trouble, for programs.
    pub kind: Kind,
    /// A sentence for people.
    pub message: String,
}

/// Kinds of failure. The exit codes of the program follow from them.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It went wrong.
    Failed,
    /// The request makes no sense: not JSON, an unknown field, an impossible name.
    Invalid,
    /// The server cannot be reached.
    Unreachable,
    /// Not allowed to talk to the server, or to touch its data.
    Denied,
    /// There is no such thing.
    NotFound,
    /// There is one already.
    Exists,
    /// Not now; trying again may help.
    Busy,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A line from a client.
#[derive(Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    version: u32,
    request: Request,
}

/// Only the version, from whatever else the line of another version holds.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Question {
    pub(crate) const fn new(request: Request) -> Self {
        Self { version: VERSION, request }
    }

    /// Reads a line.
    pub(crate) fn read(line: &[u8]) -> Result<Request, Failure> {
        let version = serde_json::from_slice::<Versioned>(line);
        if let Ok(Versioned { version }) = version
            && version != VERSION
        {
            let message = format!("this server speaks version {VERSION}, not {version}");
            return Err(Failure::new(Kind::Invalid, message));
        }
        match serde_json::from_slice::<Self>(line) {
            Ok(question) => Ok(question.request),
            Err(error) => Err(Failure::new(Kind::Invalid, format!("no request: {error}"))),
        }
    }
}

/// A line from the server: exactly one of the three is there.
#[derive(Serialize, Deserialize, Default, Debug)]
pub(crate) struct Answer {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    end: bool,
}

impl Answer {
    pub(crate) fn reply(reply: Reply) -> Self {
        Self { version: VERSION, reply: Some(reply), ..Self::default() }
    }

    pub(crate) fn end(result: Result<(), Failure>) -> Self {
        Self { version: VERSION, end: result.is_ok(), failure: result.err(), reply: None }
    }

    /// As a line, with its line end.
    pub(crate) fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_else(|error| {
            // Numbers, text and lists of them: there is nothing that JSON could not say.
            let failure = format!("{{\"kind\":\"failed\",\"message\":\"{error}\"}}");
            format!("{{\"version\":{VERSION},\"failure\":{failure}}}")
        });
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_documented() {
        let line = r#"{"version":1,"request":{"do":"explain_route","from":"a@b","to":"c"}}"#;
        let request = Question::read(line.as_bytes()).expect("as documented");
        assert_eq!(serde_json::to_string(&Question::new(request)).expect("JSON"), line);
        let line = r#"{"version":1,"request":{"do":"change","what":"remove","account":"alice@x"}}"#;
        let request = Question::read(line.as_bytes()).expect("as documented");
        assert_eq!(serde_json::to_string(&Question::new(request)).expect("JSON"), line);
        let failure = Failure::new(Kind::NotFound, "no");
        assert_eq!(
            Answer::end(Err(failure)).line(),
            "{\"version\":1,\"failure\":{\"kind\":\"not_found\",\"message\":\"no\"}}\n"
        );
        assert_eq!(Answer::end(Ok(())).line(), "{\"version\":1,\"end\":true}\n");
        assert_eq!(
            Answer::reply(Reply::Added { added: 1, exist: vec!["a@b".into()] }).line(),
            "{\"version\":1,\"reply\":{\"added\":{\"added\":1,\"exist\":[\"a@b\"]}}}\n"
        );
    }

    #[test]
    fn what_is_no_request_is_named() {
        for (line, said) in [
            ("", "no request"),
            ("{}", "missing field"),
            ("[1]", "no request"),
            (r#"{"version":1,"request":{"do":"stauts"}}"#, "unknown variant `stauts`"),
            (r#"{"version":1,"request":{"do":"account"}}"#, "missing field `account`"),
            (
                r#"{"version":1,"request":{"do":"change","what":"remove"}}"#,
                "missing field `account`",
            ),
            (r#"{"version":1,"request":{"do":"change","what":"eat","account":"a@b"}}"#, "`eat`"),
            (r#"{"version":1,"request":{"do":"status"},"x":1}"#, "unknown field `x`"),
            (r#"{"version":2,"anything":[]}"#, "speaks version 1, not 2"),
            ("{\"version\":1,\"request\":{\"do\":\"account\",\"account\":\"\u{0}", "no request"),
        ] {
            let failure = Question::read(line.as_bytes()).expect_err(line);
            assert!(failure.message.contains(said), "{line}: {failure}");
            assert_eq!(failure.kind, Kind::Invalid);
        }
        assert!(Question::read(b"\xff\xfe").is_err());
    }
}
