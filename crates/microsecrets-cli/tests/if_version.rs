//! `--if-version N`: scripts that write only over the version that they have seen.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::TestEnvironment;

/// The commands that write, at version 2 of an environment where `A` is `2`.
const WRITERS: [&[&str]; 5] = [
    &["set", "A"],
    &["unset", "A"],
    &["upload"],
    &["rollback", "1", "--yes"],
    &["delete", "--yes"],
];

fn at_version_2() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload("A=2\n");
    environment
}

#[test]
fn writes_when_it_is_the_one() {
    for writer in WRITERS {
        let environment = at_version_2();
        let arguments = [writer, &["--if-version", "2"]].concat();
        environment.api(&arguments).stdin("A=3").run().ends(0);
        assert_eq!(environment.number(), 3, "{writer:?}");
    }
}

#[test]
fn writes_nothing_when_another_one_is_current() {
    let environment = at_version_2();
    let before = environment.store();
    for writer in WRITERS {
        for wanted in ["0", "1", "3"] {
            let arguments = [writer, &["--if-version", wanted]].concat();
            let run = environment.api(&arguments).stdin("A=3").run();
            run.ends(4);
            let said = format!(
                "error: the environment of api is expected at version {wanted}, but version 2 is current\n\
                 hint: look with `microsecrets history` and `microsecrets diff`, then decide again\n"
            );
            assert!(run.stderr.ends_with(&said), "{writer:?} {}", run.stderr);
            assert_eq!(run.raw_stdout(), "");
        }
    }
    assert!(environment.store() == before);
}

#[test]
fn of_zero_writes_only_the_first() {
    for writer in [&["set", "A"][..], &["upload"]] {
        let environment = TestEnvironment::new();
        let arguments = [writer, &["--if-version", "0"]].concat();
        environment.api(&arguments).stdin("A=1").run().ends(0);
        environment.api(&arguments).stdin("A=2").run().ends(4);
        assert_eq!(environment.number(), 1);
    }
    let environment = TestEnvironment::new();
    environment
        .api(&["set", "A", "--if-version", "1"])
        .stdin("1")
        .run()
        .fails(
            4,
            "error: the environment of api is expected at version 1, but there is none\n\
         hint: look with `microsecrets history` and `microsecrets diff`, then decide again\n",
        );
}

/// Two scripts that saw the same version: the one that comes second is told.
#[test]
fn lets_one_of_two_scripts_through() {
    let environment = at_version_2();
    environment
        .api(&["set", "B", "--if-version", "2"])
        .stdin("first")
        .run()
        .ends(0);
    environment
        .api(&["set", "C", "--if-version", "2"])
        .stdin("second")
        .run()
        .ends(4);
    assert_eq!(environment.variables(), "A=2\nB=first\n");
}

/// A deletion is a version, so there is a number to expect.
#[test]
fn over_a_deletion_expects_its_number() {
    let environment = at_version_2();
    environment.did(&["delete", "--yes"]);
    let run = environment.api(&["set", "A", "--if-version", "0"]).stdin("3").run();
    run.fails(
        4,
        "error: the environment of api is expected at version 0, but version 3, a deletion, is current\n\
         hint: look with `microsecrets history` and `microsecrets diff`, then decide again\n",
    );
    environment
        .api(&["set", "-q", "A", "--if-version", "3"])
        .stdin("3")
        .run()
        .ends(0);
    assert_eq!(environment.variables(), "A=3\n");
}
