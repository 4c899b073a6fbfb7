//! The variables that `microsecrets.toml` requires and allows: for `with-env`, for what is written, and for `check`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/contract.rs"]
mod contract;
#[path = "common/trust.rs"]
mod trust;

use common::Outcome;
use common::api::rows;
use contract::{FILE, refuses, with};
use serde_json::json;
use trust::{PIN, SIGN};

const LIST: &str = "require = ['A', 'B']\noptional = ['LOG_*']\n";

#[test]
fn are_allowed_by_it_without_another_word() {
    let trust = with(&["A", "B", "LOG_LEVEL"], LIST);
    let script = "test -n \"$A$B\" && echo $LOG_LEVEL";
    for options in [&[][..], &["-a"], &["-w", "A B LOG_*"], &["-i"]] {
        let arguments = [&["with-env"], options, &["--", "sh", "-c", script]].concat();
        trust
            .run(&arguments, &[])
            .run()
            .prints(&format!("{}\n", trust.canary.text));
    }
    trust
        .run(&["check"], &[])
        .run()
        .prints_and_says("", "note: the environment of api keeps its contract\n");
    let run = trust.does(&["check", "--format", "json"], &[], "");
    assert_eq!(rows(&run.raw_stdout()), [json!({"kept": true, "breaches": []})]);
}

#[test]
fn that_are_missing_or_not_expected_are_all_named() {
    let error = "error: the environment breaks its contract: ";
    for (names, why, hint) in [
        (
            &["A", "C", "D"][..],
            "B is required, and missing; C is not allowed; D is not allowed",
            "change the environment, or `require` and `optional` in microsecrets.toml",
        ),
        (
            &["A", "B", "C"],
            "C is not allowed",
            "unset what is not allowed, or change `optional` in microsecrets.toml; --ignore-extra leaves it out",
        ),
        (
            &["LOG_LEVEL"],
            "A is required, and missing; B is required, and missing",
            "set what is missing (`microsecrets set`), or change `require` in microsecrets.toml",
        ),
    ] {
        let trust = with(names, LIST);
        let checksum = trust.machine.history(&[])[0]["checksum"].as_str().unwrap().to_owned();
        let said = format!("{error}{why}\nhint: {hint}\n");
        for options in [
            &[][..],
            &["-a"],
            &["-w", "A B C D LOG_LEVEL"],
            &["-w", "*"],
            &["-c", &checksum],
        ] {
            trust.fails(trust.with_env(options), 122, &said);
        }
        // 0.3.4's command is held to it too, with its own status.
        let launcher = ["-s", "api", "-a", "--", "touch", "started"];
        trust.fails(trust.machine.launcher("microsecrets-with-env", &launcher), 1, &said);
    }
}

#[test]
fn that_are_not_expected_can_be_left_out_and_what_is_missing_cannot() {
    let trust = with(&["A", "B", "C"], LIST);
    let script = "test -n \"$A$B\" && echo ${C-unset}";
    for options in [&["-i"][..], &["-i", "-a"], &["-i", "-w", "A B C"]] {
        let arguments = [&["with-env"], options, &["--", "sh", "-c", script]].concat();
        trust.run(&arguments, &[]).run().prints("unset\n");
    }
    let outcome = trust.does(&["with-env", "-i", "-v", "--", "true"], &[], "");
    assert!(outcome.stderr.ends_with("note: left out C\n"), "{}", outcome.stderr);
    let trust = with(&["A", "C"], LIST);
    for options in [&["-i"][..], &["-i", "-a"], &["-i", "-w", "A"]] {
        trust.fails(
            trust.with_env(options),
            122,
            "error: the environment breaks its contract: B is required, and missing\n\
             hint: set what is missing (`microsecrets set`), or change `require` in microsecrets.toml\n",
        );
    }
}

#[test]
fn that_can_run_code_must_be_named() {
    let trust = with(&["A", "LD_PRELOAD"], "optional = ['*']\n");
    trust.fails(
        trust.with_env(&["-a"]),
        122,
        "error: the environment breaks its contract: LD_PRELOAD is not allowed\n\
         hint: unset what is not allowed, or name LD_PRELOAD in microsecrets.toml, because no glob matches what can \
         run code; --ignore-extra leaves it out\n",
    );
    let hint =
        "hint: change the variables, or name LD_PRELOAD in the contract, because no glob matches what can run code\n";
    let said = "error: the new version of the environment of api would break its contract: LD_PRELOAD is not allowed\n";
    refuses(
        &trust,
        trust.run(&["upload", "--force"], &[]).stdin("LD_PRELOAD=/x\n"),
        2,
        &format!("{said}{hint}"),
    );
    trust.machine.write(FILE, "optional = ['*', 'LD_PRELOAD']\n");
    trust.does(&["check"], &[], "");
}

/// It may be a secret that was taken for a name.
#[test]
fn with_names_that_no_shell_can_export_are_told_by_their_place() {
    let trust = with(&["A"], "require = ['A']\n");
    let odd = format!("A=1\n{}/=2\n", trust.canary.text);
    let run = trust.run(&["upload", "--any-name"], &[]).stdin(&odd);
    let why = "would break its contract: variable 2 is not allowed\nhint: change the variables, or the contract\n";
    refuses(&trust, run, 2, why);
    trust.machine.write("none.toml", "");
    trust.does(&["upload", "-q", "--any-name", "--config", "none.toml"], &[], &odd);
    refuses(
        &trust,
        trust.with_env(&[]),
        122,
        "error: the environment breaks its contract: variable 2 is not allowed\n\
         hint: unset what is not allowed, or change `optional` in microsecrets.toml; --ignore-extra leaves it out\n",
    );
}

#[test]
fn are_held_to_it_by_every_command_that_writes() {
    let trust = with(&["A", "B", "C"], "");
    trust.does(&["upload", "-q"], &[], "A=1\nB=2\n");
    trust.does(&["promote", "-q", "--at", "1", "--to", "web"], &[], "");
    trust.machine.script("editor", "#!/bin/sh\necho C=3 >> \"$1\"\n");
    trust.machine.write(FILE, LIST);
    let broken = |item: &str, why: &str| {
        format!(
            "error: the new version of the environment of {item} would break its contract: {why}\n\
             hint: change the variables, or the contract\n"
        )
    };
    let pair = format!("C={}\n", trust.canary.text);
    for (arguments, input, why) in [
        (
            &["upload"][..],
            &*pair,
            "A is required, and missing; B is required, and missing; C is not allowed",
        ),
        (
            &["upload", "--dry-run"],
            &pair,
            "A is required, and missing; B is required, and missing; C is not allowed",
        ),
        (&["set", "C"], &trust.canary.text, "C is not allowed"),
        (&["set", "--pairs"], &pair, "C is not allowed"),
        (&["unset", "B"], "", "B is required, and missing"),
        (&["edit"], "", "C is not allowed"),
        (&["rollback", "1", "--yes"], "", "C is not allowed"),
    ] {
        let run = trust.run(arguments, &[]).env("EDITOR", "./editor").stdin(input);
        refuses(&trust, run, 2, &broken("api", why));
    }
    let run = trust.run(&["promote", "-s", "web", "--to", "api"], &[]);
    refuses(&trust, run, 2, &broken("api", "C is not allowed"));
    // Files and deletions are no environments.
    trust.does(&["upload", "-q", "-f", "f"], &[], &trust.canary.text.repeat(4));
    trust.does(&["set", "-q", "LOG_X"], &[], "1");
    trust.does(&["delete", "--yes"], &[], "");
}

/// Whoever changes one variable did not make what was broken before, and whoever mends it is not held up.
#[test]
fn that_break_it_already_may_stay_while_others_change() {
    let trust = with(&["A", "C", "D"], LIST);
    trust.does(&["set", "-q", "A"], &[], "1");
    trust.does(&["unset", "-q", "D"], &[], "");
    let broken = |run: Outcome| {
        assert!(run.stderr.contains("would break its contract: "), "{}", run.stderr);
        run.ends(2);
    };
    broken(trust.run(&["set", "E"], &[]).stdin("1").run());
    broken(trust.run(&["unset", "A"], &[]).run());
    // What is published whole is held to all of it.
    broken(trust.run(&["upload"], &[]).stdin("A=1\nC=1\n").run());
    trust.does(&["set", "-q", "B"], &[], "2");
    trust.does(&["unset", "-q", "C"], &[], "");
    trust.does(&["check"], &[], "");
}

#[test]
fn are_checked_by_name() {
    let trust = with(&["A", "C"], LIST);
    let end = "error: the environment of api breaks its contract\nhint: change the variables, or the contract\n";
    let run = trust.run(&["check"], &[]).run();
    assert_eq!(run.stdout(), "B is required, and missing\nC is not allowed\n");
    assert_eq!(run.stderr(), end);
    run.ends(6);
    trust.canary.is_not_in(&run);
    let run = trust.run(&["check", "--format", "json"], &[]).run();
    let breaches = ["B is required, and missing", "C is not allowed"];
    assert_eq!(rows(&run.raw_stdout()), [json!({"kept": false, "breaches": breaches})]);
    run.ends(6);
    trust.machine.write(FILE, "service = 'api'\n");
    let hint = "hint: say which variables there must and may be: `require` and `optional` in microsecrets.toml\n";
    let said = format!("error: the contract microsecrets.toml lists no variables\n{hint}");
    trust.fails(trust.run(&["check"], &[]), 2, &said);
    let said = format!("error: there is no contract for the environment of web\n{hint}");
    trust.fails(trust.run(&["check", "-s", "web"], &[]), 2, &said);
    // It reads as every reader does: what is not signed is not checked.
    trust.make_key("key.pem");
    trust.machine.write(FILE, LIST);
    let outcome = trust.run(&["check"], &PIN).run();
    assert!(
        outcome.stderr.contains("it is not signed, but a signature is required"),
        "{}",
        outcome.stderr
    );
    outcome.ends(6);
    trust.does(&["re-sign", "--adopt", "--yes"], &SIGN, "");
    trust.run(&["check"], &PIN).run().ends(6);
}
