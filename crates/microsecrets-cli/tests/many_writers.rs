//! 32 processes at once, each of which sets a variable of its own: nobody loses anything.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use common::TestEnvironment;
use common::api::rows;
use serde_json::Value;
use test_support::machine::Machine;
use test_support::moto::Moto;

const WRITERS: usize = 32;

/// Starts all of them, which read from pipes, then lets all of them go at once.
fn at_once(commands: Vec<Command>) -> Vec<Output> {
    let started: Vec<_> = commands
        .into_iter()
        .map(|mut command| {
            let (reader, writer) = std::io::pipe().unwrap();
            command.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::piped());
            (command.spawn().unwrap(), writer)
        })
        .collect();
    for (number, (_, writer)) in started.iter().enumerate() {
        std::io::Write::write_all(&mut &*writer, format!("value {number}").as_bytes()).unwrap();
    }
    // Only the end of its input lets one go on.
    let (children, writers): (Vec<_>, Vec<_>) = started.into_iter().unzip();
    drop(writers);
    // Whoever prints more than a pipe holds waits for its reader, so nobody is waited for who has one before them.
    let waiting = children
        .into_iter()
        .map(|child| std::thread::spawn(|| child.wait_with_output().unwrap()));
    let waiting: Vec<_> = waiting.collect();
    waiting.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// `run` runs a command that succeeds, and `command` makes one to be run with others.
fn everybody_is_there(run: impl Fn(&[&str]) -> String, command: impl Fn(&[&str]) -> Command) {
    let before = rows(&run(&["history", "--all", "--format", "json"])).len();
    let start = Instant::now();
    let names: Vec<String> = (0..WRITERS).map(|number| format!("WRITER_{number}")).collect();
    let arguments = |name| ["set", name, "--format", "json"];
    let outputs = at_once(names.iter().map(|name| command(&arguments(name))).collect());
    let took = start.elapsed();

    let mut acknowledged = BTreeSet::new();
    for (name, output) in names.iter().zip(&outputs) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{name} after {took:?}: {said}");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        acknowledged.insert(result["version"].as_u64().unwrap());
    }
    let wanted: BTreeSet<u64> = (before as u64 + 1..).take(WRITERS).collect();
    assert_eq!(acknowledged, wanted, "each was told a number of its own");

    let variables: Value = serde_json::from_str(&run(&["download"])).unwrap();
    for (number, name) in names.iter().enumerate() {
        assert_eq!(variables[name], format!("value {number}"));
    }
    assert_eq!(variables.as_object().unwrap().len(), WRITERS + before.min(1));
    let history = rows(&run(&["history", "--all", "--format", "json"]));
    let numbers: Vec<u64> = history.iter().map(|row| row["version"].as_u64().unwrap()).collect();
    let wanted: Vec<u64> = (1..=(before + WRITERS) as u64).rev().collect();
    assert_eq!(
        numbers, wanted,
        "exactly so many more versions, no number twice, none missing"
    );
    let names: BTreeSet<&str> = history.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), numbers.len(), "no name twice");
}

#[test]
fn in_a_folder() {
    let environment = TestEnvironment::new();
    environment.upload("BEFORE=1\n");
    everybody_is_there(
        |arguments| environment.did(arguments),
        |arguments| environment.api(&[arguments, &["--timeout", "120"]].concat()).command,
    );
}

#[test]
fn in_a_bucket() {
    let moto = Moto::shared();
    moto.bucket("many-writers");
    moto.key_for("api");
    let mut machine = Machine::with(moto);
    machine.set("MICROSECRETS_BUCKET", "many-writers");
    machine.set("MICROSECRETS_SERVICE", "api");
    let program = Path::new(env!("CARGO_BIN_EXE_microsecrets"));
    let run = |arguments: &[&str]| machine.run(program, arguments, b"1").text();
    run(&["set", "BEFORE"]);
    everybody_is_there(run, |arguments| {
        let mut command = machine.command(program);
        command.args(arguments).args(["--timeout", "120"]);
        command
    });
}
