//! Stores beside a contract, and what they refuse.

#![allow(unreachable_pub, missing_docs)]

use crate::common::Run;
use crate::trust::Trust;

pub const FILE: &str = "microsecrets.toml";

/// A store with an environment of these variables, each with the secret, and a contract.
pub fn with(names: &[&str], contract: &str) -> Trust {
    let trust = Trust::empty();
    let pairs: String = names
        .iter()
        .map(|name| format!("{name}={}\n", trust.canary.text))
        .collect();
    trust.does(&["upload", "-q"], &[], &pairs);
    trust.machine.write(FILE, contract);
    trust
}

/// It is refused with this status, after it has said this; nothing is written, and no secret shown.
#[track_caller]
pub fn refuses(trust: &Trust, run: Run, status: i32, said: &str) {
    let before = trust.machine.store();
    let outcome = run.run();
    assert!(outcome.stderr().ends_with(said), "{}", outcome.stderr());
    outcome.ends(status);
    trust.canary.is_not_in(&outcome);
    assert!(trust.machine.store() == before, "something was written");
}
