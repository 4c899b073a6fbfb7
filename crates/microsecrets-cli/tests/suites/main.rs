//! Two public collections of hard inputs, JSONTestSuite and the Big List of Naughty Strings, through `upload` and
//! `with-env`: what comes out is what went in, byte for byte, or nothing was ever written; and nothing is shown.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;

mod json;
mod naughty;
mod words;

use std::collections::BTreeMap;

use common::{Outcome, TestEnvironment};

/// The variables that a command is started with.
fn started_with(environment: &TestEnvironment, service: &str) -> BTreeMap<String, String> {
    let with_env = environment.microsecrets(&["with-env", "-s", service, "-a", "--", "env", "-0"]);
    let outcome = with_env.run();
    assert_eq!(outcome.status.code(), Some(0), "{service}: {}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    let pairs = text.split_terminator('\0').map(|pair| pair.split_once('=').unwrap());
    let inherited = ["HOME", "LOGNAME", "PATH", "XDG_CONFIG_HOME"];
    let is_secret = |name: &str| !name.starts_with("MICROSECRETS_") && !inherited.contains(&name);
    let pairs = pairs.filter(|(name, _)| is_secret(name));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// It was refused in words of ours: nothing printed, nothing that moves a cursor, turns a line or hides in it.
#[track_caller]
fn is_refused(outcome: &Outcome, what: &str) {
    assert!(
        !outcome.status.success() && outcome.stdout.is_empty(),
        "{what}: accepted"
    );
    outcome.is_well_formed();
    is_harmless(&outcome.stderr);
}

#[track_caller]
fn is_harmless(said: &str) {
    let hides = |c: char| {
        matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}')
    };
    let is_plain = |c: char| c == '\n' || !c.is_control() && !hides(c);
    assert!(said.chars().all(is_plain), "{said:?}");
}

/// Eight bytes in a row of a content are as bad as all of it.
#[track_caller]
fn shows_nothing_of(content: &[u8], said: &str) {
    let shown = content
        .windows(8)
        .find(|piece| said.as_bytes().windows(8).any(|said| said == *piece));
    assert!(shown.is_none(), "{said}");
}
