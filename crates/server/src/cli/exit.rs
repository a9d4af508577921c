//! The exit codes of the program, the same for every command (docs/cli.md).

use crate::control::{Failure, Kind};
use std::process::ExitCode;

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: it went wrong.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: the configuration is not valid.
    Config,
    /// 4: the server cannot be reached.
    Unreachable,
    /// 5: not allowed.
    Denied,
    /// 6: there is no such thing.
    NotFound,
    /// 7: there is one already, or the port or folder is in use.
    Conflict,
    /// 75: not now; trying again may help (`EX_TEMPFAIL` of sysexits).
    Temporary,
    /// 130: interrupted while something was under way.
    Interrupted,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Config => 3,
            Self::Unreachable => 4,
            Self::Denied => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::Temporary => 75,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Failed => Self::Failed,
            Kind::Invalid => Self::Usage,
            Kind::Unreachable => Self::Unreachable,
            Kind::Denied => Self::Denied,
            Kind::NotFound => Self::NotFound,
            Kind::Exists => Self::Conflict,
            Kind::Busy => Self::Temporary,
        }
    }
}

/// A command that did not do what it was asked for: one sentence, and how the program ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong and what helps; may have several lines. Empty: it was said already.
    pub message: String,
}

impl Trouble {
    /// With this end and sentence.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self { exit: failure.kind.into(), message: failure.message }
    }
}
