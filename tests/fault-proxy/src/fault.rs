//! What goes wrong, and with which request.

use std::time::Duration;

/// What happens to a request or to its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Everything as usual, after this long.
    Delay(Duration),
    /// The request doesn't arrive; the connection is closed.
    Close,
    /// The request doesn't arrive; the connection is reset (RST).
    Reset,
    /// The request is answered, and the connection closed before a byte of the answer has come.
    LoseAnswer,
    /// The connection is closed in the middle of the answer's head.
    CutHead,
    /// The connection is reset in the middle of the answer's body.
    ResetInBody,
    /// The connection is closed in the middle of the answer's body.
    Truncate,
    /// The answer's body ends in the middle, and its `Content-Length` says so.
    TruncateFitting,
    /// Sixteen bytes in the middle of the body are inverted; no header contradicts the body any more.
    Corrupt,
    /// The answer comes a byte at a time, with this long between two.
    Drip(Duration),
    /// The request doesn't arrive; the answer is this status with this error code.
    Answer(u16, &'static str),
    /// `Content-Length` says so much more (or less) than there is; then the connection is closed.
    Length(i64),
    /// `Content-Length` says that there is nothing.
    LengthZero,
    /// `Content-Length` stands there twice, with two values.
    LengthTwice,
    /// The answer's body has no end: its `Content-Length` is 10 GiB, and so much comes.
    Endless,
    /// The connection is reset as soon as it is made; with TLS, once the client has said hello. Counts connections.
    ResetHandshake,
}

/// What a fault counts, to find the n-th.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Requests.
    Requests,
    /// Answers that have a body: of the others there is nothing to damage.
    Bodies,
    /// Connections.
    Connections,
}

impl Fault {
    /// What it counts.
    pub fn counts(&self) -> Counts {
        match self {
            Self::Delay(_) | Self::Close | Self::Reset | Self::LoseAnswer | Self::CutHead | Self::Answer(..) => {
                Counts::Requests
            }
            Self::ResetInBody
            | Self::Truncate
            | Self::TruncateFitting
            | Self::Corrupt
            | Self::Drip(_)
            | Self::Length(_)
            | Self::LengthZero
            | Self::LengthTwice
            | Self::Endless => Counts::Bodies,
            Self::ResetHandshake => Counts::Connections,
        }
    }
}

/// When a fault happens: from the n-th on, so many times.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What happens.
    pub fault: Fault,
    /// From which one on, counted from 1.
    pub nth: usize,
    /// How often.
    pub times: usize,
}

/// How much came by since the proxy was told its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests.
    pub requests: usize,
    /// Answers with a body.
    pub bodies: usize,
    /// Connections.
    pub connections: usize,
    /// How often the fault happened.
    pub fired: usize,
}

impl Seen {
    /// How many there were of what a fault counts.
    pub fn of(&self, counts: Counts) -> usize {
        match counts {
            Counts::Requests => self.requests,
            Counts::Bodies => self.bodies,
            Counts::Connections => self.connections,
        }
    }

    pub(crate) fn count(&mut self, counts: Counts) {
        match counts {
            Counts::Requests => self.requests += 1,
            Counts::Bodies => self.bodies += 1,
            Counts::Connections => self.connections += 1,
        }
    }
}
