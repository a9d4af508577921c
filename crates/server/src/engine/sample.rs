//! What the log says of an input that met a panic.

use ringway_core::boundary::Input;

/// What a log may show of an input that we failed at: nothing of what people said.
pub(super) struct Sample {
    pub(super) kind: &'static str,
    pub(super) length: usize,
}

impl Sample {
    pub(super) fn of(input: &Input<'_>) -> Self {
        let (kind, length) = match input {
            Input::Message { message, .. } if message.is_request() => {
                ("request", message.bytes().len())
            }
            Input::Message { message, .. } => ("response", message.bytes().len()),
            Input::KeptAlive(..) => ("keep-alive", 0),
            Input::FlowClosed(_) => ("flow closed", 0),
            Input::Unreachable { .. } => ("unreachable", 0),
            Input::Undelivered(_) => ("undelivered", 0),
            Input::Asked { .. } => ("asked", 0),
            Input::Answered { .. } => ("answered", 0),
            Input::Commanded(_) => ("commanded", 0),
            Input::TimeIsUp => ("time is up", 0),
        };
        Self { kind, length }
    }
}
