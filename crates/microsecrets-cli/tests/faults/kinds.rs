//! Everything that can go wrong, and what may come of it.

use std::time::Duration;

use fault_proxy::Fault;

/// A fault that happens so many times.
pub(crate) struct Disturbance {
    pub(crate) fault: Fault,
    pub(crate) times: usize,
    pub(crate) may: May,
}

/// How a command may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    /// It has to come through: what happened passes.
    Succeed,
    /// It may say that the store is unavailable.
    BeUnavailable,
    /// It may also say that what came can't be trusted.
    Distrust,
    /// It may also say that it was refused.
    BeRefused,
}

impl Disturbance {
    /// What the command is told in addition: not to wait for long.
    pub(crate) fn options(&self) -> [&'static str; 2] {
        match self.fault {
            Fault::Drip(_) | Fault::Length(_) => ["--timeout", "1"],
            _ => ["--timeout", "10"],
        }
    }
}

const FOR_EVER: usize = usize::MAX;

pub(crate) fn disturbances() -> Vec<Disturbance> {
    let all = |may: May, faults: Vec<(Fault, usize)>| {
        let of = move |(fault, times)| Disturbance { fault, times, may };
        faults.into_iter().map(of)
    };
    let passing = vec![
        (Fault::Delay(Duration::from_millis(150)), 1),
        (Fault::Close, 1),
        (Fault::Reset, 1),
        (Fault::LoseAnswer, 1),
        (Fault::CutHead, 1),
        (Fault::ResetHandshake, 1),
        (Fault::Answer(500, "InternalError"), 1),
        (Fault::Answer(503, "SlowDown"), 1),
        (Fault::Answer(400, "RequestTimeout"), 1),
    ];
    let unavailable = vec![
        (Fault::Answer(503, "ServiceUnavailable"), 2),
        (Fault::Answer(503, "SlowDown"), FOR_EVER),
        (Fault::Reset, FOR_EVER),
        (Fault::ResetInBody, 1),
        (Fault::Truncate, 1),
        (Fault::Drip(Duration::from_millis(1_500)), 1),
    ];
    let damaged = vec![
        (Fault::TruncateFitting, 1),
        (Fault::Corrupt, 1),
        (Fault::Length(1), 1),
        (Fault::Length(-1), 1),
        (Fault::Length(i64::MAX), 1),
        (Fault::LengthZero, 1),
        (Fault::LengthTwice, 1),
        (Fault::Endless, 1),
        (Fault::Answer(200, "InternalError"), 1),
    ];
    let refused = vec![(Fault::Answer(400, "InvalidRequest"), 1)];
    all(May::Succeed, passing)
        .chain(all(May::BeUnavailable, unavailable))
        .chain(all(May::Distrust, damaged))
        .chain(all(May::BeRefused, refused))
        .collect()
}
