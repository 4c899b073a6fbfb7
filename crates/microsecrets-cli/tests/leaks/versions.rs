//! A random secret is in many versions; no command on versions shows it, but those that are asked to.

use crate::common::canary::Canary;
use crate::common::{Outcome, TestEnvironment, terminal};
use crate::worlds::talkative;

/// A service `api` in whose versions the secret is a value, a part of one, a name that must not be shown, and the bytes
/// of a file.
struct Place {
    canary: Canary,
    environment: TestEnvironment,
}

impl Place {
    fn new() -> Self {
        let (canary, environment) = (Canary::new(), TestEnvironment::new());
        let secret = &canary.text;
        for json in [
            format!(r#"{{"A": "{secret}", "B": "x{secret}y"}}"#),
            format!(r#"{{"A": "1", "C": "{secret}\n", "{secret}/": "2"}}"#),
            format!(r#"{{"A": "2{secret}", "C": "{secret}\n", "D": "", "{secret}/": "{secret}"}}"#),
        ] {
            environment.upload_with(&["-s", "api", "--json", "--any-name"], json);
        }
        environment.upload_with(&["-s", "web"], format!("A={secret}!\n"));
        environment.upload_file("f", secret.repeat(20));
        environment.upload_file("f", secret.repeat(100_000));
        Self { canary, environment }
    }

    fn run(&self, arguments: &[&str], input: &str) -> Outcome {
        let arguments = [arguments, &["-v", "-d"]].concat();
        talkative(self.environment.api(&arguments)).stdin(input).run()
    }

    /// It shows the secret nowhere.
    #[track_caller]
    fn hides(&self, arguments: &[&str], input: &str) -> Outcome {
        let outcome = self.run(arguments, input);
        assert!(
            outcome.stderr.lines().any(|line| !line.starts_with("error: ")),
            "it has told nothing: {}",
            outcome.stderr
        );
        self.canary.is_not_in(&outcome);
        outcome
    }
}

#[test]
fn what_is_asked_for_is_shown_as_the_result_only() {
    let place = Place::new();
    for arguments in [
        &["get", "A"][..],
        &["get", "B", "--at", "1"],
        &["show", "--values"],
        &["show", "--values", "--format", "json"],
        &["diff", "--values"],
        &["diff", "--values", "--format", "json", "1", "2"],
        &["diff", "--values", "--with", "web"],
        &["download"],
        &["download", "--at", "previous"],
        &["download", "-f", "f", "--at", "1"],
    ] {
        let outcome = place.run(arguments, "");
        outcome.ends(0);
        assert!(place.canary.is_in(&outcome.stdout), "{arguments:?}");
        assert!(!place.canary.is_in(outcome.stderr.as_bytes()), "{}", outcome.stderr);
    }
}

#[test]
fn commands_that_read_versions_show_names_at_most() {
    let place = Place::new();
    for arguments in [
        &["history"][..],
        &["history", "--all", "--format", "json"],
        &["history", "-f", "f"],
        &["show", "--at", "1"],
        &["show", "--at", "sha:00000000"],
        &["show", "-f", "f"],
        &["show", "-f", "f", "--values"],
        &["show", "--at", "1", "--format", "json"],
        &["diff", "1", "1", "--exit-code"],
        &["diff", "--exit-code"],
        &["diff", "1"],
        &["diff", "--with", "web"],
        &["diff", "1", "9"],
        &["get", "NOSUCH"],
        &["get", "A", "--at", "9"],
        &["prune", "--keep", "1", "--dry-run"],
        &["prune", "--keep", "1", "--dry-run", "--format", "json"],
        &["upload", "--dry-run", "--any-name"],
    ] {
        place.hides(arguments, &format!("A={}\n", place.canary.text));
    }
    // As JSON a name is a result, with which programs go on; on standard error it is nowhere.
    for arguments in [&["show", "--format", "json"][..], &["diff", "--format", "json"]] {
        let outcome = place.run(arguments, "");
        assert!(!place.canary.is_in(outcome.stderr.as_bytes()), "{}", outcome.stderr);
    }
}

#[test]
fn commands_that_write_versions_show_names_at_most() {
    let place = Place::new();
    let secret = place.canary.text.clone();
    let pair = format!("A={secret}");
    let odd = format!("{secret}/");
    let (mut written, mut refused) = (0, 0);
    for (arguments, input) in [
        (&["set", "A"][..], format!("{secret}3\n")),
        (&["set", "E", "--exact"], format!("{secret}\n")),
        (&["set", "--any-name", &odd], format!("{secret}4")),
        (&["set", &odd], secret.clone()),
        (&["set", &pair], secret.clone()),
        (&["set", &pair, &secret], secret.clone()),
        (&["set", "A", &odd], secret.clone()),
        (&["set", "--insecure-argv", &pair], String::new()),
        (&["set", "--insecure-argv", &pair, &pair], String::new()),
        (&["set", "--insecure-argv", &odd], String::new()),
        (&["set", "--pairs"], format!("A={secret}5\nF={secret}\n")),
        (&["set", "--pairs"], format!("A={secret}\nA={secret}\n")),
        (&["set", "--pairs"], secret.clone()),
        (&["set", "--pairs"], format!("{odd}={secret}\n")),
        (&["set", "A"], format!("{secret}\0")),
        (&["set", "A", "--if-version", "1"], secret.clone()),
        (&["set", "A"], secret.repeat(200_000)),
        (&["unset", &odd], String::new()),
        (&["unset", &odd], String::new()),
        (&["unset", "A", "--if-version", "1"], String::new()),
        (&["unset", "E", "F"], String::new()),
        (&["rollback", "2"], String::new()),
        (&["rollback", "2", "--yes"], String::new()),
        (&["rollback", "previous", "--yes", "--format", "json"], String::new()),
        (&["rollback", "1", "--yes", "-f", "f"], String::new()),
        (&["promote", "--to", "web"], String::new()),
        (&["promote", "--to", "web", "-f", "f", "--at", "2"], String::new()),
        (&["prune", "--keep", "3", "--yes"], String::new()),
        (&["show", "--at", "1"], String::new()),
        (&["delete", "--yes"], String::new()),
        (&["get", "A"], String::new()),
        (&["set", "A"], secret.clone()),
        (&["delete", "--yes", "-f", "f"], String::new()),
        (&["rollback", "previous", "--yes", "-f", "f"], String::new()),
    ] {
        let outcome = place.run(arguments, &input);
        place.canary.is_not_in(&outcome);
        if outcome.status.success() {
            written += 1;
        } else {
            refused += 1;
        }
    }
    assert!(
        written >= 15 && refused >= 10,
        "{written} succeeded, {refused} were refused"
    );
    let outcome = place.hides(&["set", "NEW", "--generate", "40"], "");
    let value = place.environment.value("NEW");
    assert!(!outcome.stderr.contains(&value) && !outcome.raw_stdout().contains(&value));
}

#[test]
fn an_edit_shows_names_at_most_however_it_ends() {
    let place = Place::new();
    let secret = place.canary.text.clone();
    let write = |text: String| format!("cat > \"$1\" <<'END'\n{text}\nEND\n");
    let rival = format!("printf 'x{secret}' | \"$MS\" set -q A > /dev/null\n");
    for script in [
        "true\n".to_owned(),
        format!("exit 1 # {secret}\n"),
        write(format!(r#"{{"A": "{secret}6"}}"#)),
        write(format!(r#"{{"A": "{secret}", "A": "{secret}"}}"#)),
        write(format!("A={secret}")),
        write(secret.clone()),
        write(format!("{{\"{secret}/\": \"{secret}\"}}")),
        write(format!("{{\"A\": \"{secret}\\u0000\"}}")),
        format!("{}{rival}", write(format!(r#"{{"A": "{secret}7"}}"#))),
        format!("{}{rival}", write(format!("A={secret}8"))),
    ] {
        place.environment.did(&["rollback", "1", "--yes"]);
        place.environment.script("editor", format!("#!/bin/sh\n{script}"));
        for options in [&[][..], &["--json"], &["--any-name"]] {
            let arguments = [&["edit", "-v", "-d"], options].concat();
            let run = talkative(place.environment.api(&arguments))
                .env("EDITOR", "./editor")
                .env("MS", env!("CARGO_BIN_EXE_microsecrets"));
            place.canary.is_not_in(&run.run());
        }
    }
}

#[test]
fn a_terminal_does_not_show_what_is_typed_there() {
    if !terminal::is_there() {
        return;
    }
    let place = Place::new();
    let typed = format!("{}\n", place.canary.text);
    let run = talkative(place.environment.api(&["set", "A", "-v", "-d"]));
    let outcome = run.typed(&[("hidden:value of A: ", &typed)]);
    outcome.ends(0);
    place.canary.is_not_in(&outcome);
    assert_eq!(place.environment.value("A"), place.canary.text);
}
