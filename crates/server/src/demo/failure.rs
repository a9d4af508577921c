//! Why a phone could not go on, in one sentence.

use std::fmt;
use std::io;
use std::time::Duration;

/// What went wrong with a phone, and how long after it was switched on.
#[derive(Debug)]
pub struct Failure {
    /// The phone's user name.
    pub phone: String,
    /// What went wrong.
    pub cause: Cause,
    /// How long after the phone was switched on.
    pub after: Duration,
}

/// What can go wrong with a phone.
#[derive(Debug)]
pub enum Cause {
    /// Nothing came of what was awaited (a name such as `INVITE`, or `an answer to REGISTER`).
    Silence(String),
    /// A request was answered with a failure.
    Refused {
        /// The method of the request.
        method: String,
        /// The status code.
        status: u16,
        /// The reason phrase.
        reason: String,
    },
    /// Something came that cannot be worked with.
    Unusable(&'static str),
    /// The server closed the connection.
    Closed,
    /// The system refused.
    System(io::Error),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence(awaited) => write!(f, "waited in vain for {awaited}"),
            Self::Refused { method, status, reason } => {
                write!(f, "was refused: {status} {reason} to {method}")
            }
            Self::Unusable(what) => write!(f, "got {what}"),
            Self::Closed => write!(f, "lost its connection to the server"),
            Self::System(error) => write!(f, "was refused by the system: {error}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { phone, cause, after } = self;
        write!(f, "{phone} {cause}, {:.1} s after it was switched on", after.as_secs_f64())
    }
}

impl std::error::Error for Failure {}
