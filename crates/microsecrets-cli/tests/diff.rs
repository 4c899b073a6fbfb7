//! `microsecrets diff`, and `upload --dry-run`: what changed, or would, by names.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Outcome, TestEnvironment};
use serde_json::{Value, json};

/// Three versions: `SAME` stays, `CHANGED` changes, `OLD` goes and `NEW` comes with version 2; version 3 is as the first.
fn grown() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("SAME=x\nCHANGED=before\nOLD=gone\n");
    environment.upload("SAME=x\nCHANGED=after\nNEW=come\n");
    environment
}

fn diff(environment: &TestEnvironment, arguments: &[&str]) -> Outcome {
    environment.api(&[&["diff"], arguments].concat()).run()
}

const NAMES: &str = "~ CHANGED\n- OLD\n+ NEW\n";

/// The lines without regard to their order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_version_before_is_compared_with_the_current_one_by_names() {
    let environment = grown();
    for arguments in [&[][..], &["previous"], &["1"], &["1", "2"], &["previous", "current"]] {
        let run = diff(&environment, arguments);
        assert_eq!(sorted(&run.raw_stdout()), sorted(NAMES), "{arguments:?}");
        assert_eq!(run.stderr, "");
        run.ends(0);
    }
}

#[test]
fn backwards_what_came_goes() {
    let environment = grown();
    let run = diff(&environment, &["2", "1"]);
    assert_eq!(sorted(&run.raw_stdout()), sorted("~ CHANGED\n+ OLD\n- NEW\n"));
}

#[test]
fn equal_versions_print_nothing() {
    let environment = grown();
    diff(&environment, &["2", "current"]).prints("");
    diff(&environment, &["2", "current", "--format", "json"]).prints("[]\n");
    environment.did(&["rollback", "1", "--yes"]);
    diff(&environment, &["1", "3"]).prints("");
}

#[test]
fn values_are_shown_when_asked_for() {
    let environment = grown();
    let run = diff(&environment, &["--values"]);
    assert_eq!(
        sorted(&run.raw_stdout()),
        ["+ CHANGED=after", "+ NEW=come", "- CHANGED=before", "- OLD=gone"]
    );
    // The two values of one variable stand together.
    assert!(
        run.raw_stdout().contains("- CHANGED=before\n+ CHANGED=after\n"),
        "{}",
        run.raw_stdout()
    );
}

fn json_of(environment: &TestEnvironment, arguments: &[&str]) -> Vec<Value> {
    let text = diff(environment, &[&["--format", "json"], arguments].concat()).raw_stdout();
    let mut rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    rows.sort_by_key(|row| row["name"].as_str().unwrap().to_owned());
    rows
}

#[test]
fn as_json_with_and_without_values() {
    let environment = grown();
    assert_eq!(
        json_of(&environment, &[]),
        [
            json!({"name": "CHANGED", "change": "changed", "before": null, "after": null}),
            json!({"name": "NEW", "change": "added", "after": null}),
            json!({"name": "OLD", "change": "removed", "before": null}),
        ]
    );
    assert_eq!(
        json_of(&environment, &["--values"]),
        [
            json!({"name": "CHANGED", "change": "changed", "before": "before", "after": "after"}),
            json!({"name": "NEW", "change": "added", "after": "come"}),
            json!({"name": "OLD", "change": "removed", "before": "gone"}),
        ]
    );
}

#[test]
fn the_status_tells_whether_they_differ_when_asked_to() {
    let environment = grown();
    let run = diff(&environment, &["--exit-code"]);
    assert_eq!((sorted(&run.raw_stdout()), run.stderr.as_str()), (sorted(NAMES), ""));
    run.ends(1);
    diff(&environment, &["--exit-code", "--format", "json"]).ends(1);
    diff(&environment, &["--exit-code", "2", "2"]).prints("");
    // A failure has another status.
    diff(&environment, &["--exit-code", "9"]).ends(3);
}

#[test]
fn another_services_environment_is_compared_with() {
    let environment = grown();
    environment.upload_with(&["-s", "staging"], "SAME=x\nONLY=there\n");
    environment.upload_with(&["-s", "staging"], "SAME=x\nCHANGED=there\n");
    let run = diff(&environment, &["--with", "staging"]);
    assert_eq!(sorted(&run.raw_stdout()), ["- NEW", "~ CHANGED"]);
    // The first version is this service's, the second one the other's.
    let run = diff(&environment, &["--with", "staging", "1", "1"]);
    assert_eq!(sorted(&run.raw_stdout()), ["+ ONLY", "- CHANGED", "- OLD"]);
    let run = diff(&environment, &["--with", "nosuch"]);
    assert!(
        run.ends(3)
            .stderr
            .starts_with("error: there is no environment of nosuch "),
        "{}",
        run.stderr
    );
}

/// It may be a secret that was taken for a name.
#[test]
fn a_name_that_no_shell_can_export_is_told_by_its_place() {
    let environment = TestEnvironment::new();
    environment.upload_with(&["-s", "api", "--any-name"], "A=1\n");
    environment.upload_with(&["-s", "api", "--any-name"], "A=1\nhunter2/x=1\n");
    diff(&environment, &[]).prints("+ variable 1\n");
}

#[test]
fn what_is_not_there_cannot_be_compared() {
    let environment = TestEnvironment::new();
    diff(&environment, &[]).ends(3);
    environment.upload("A=1\n");
    let run = diff(&environment, &[]);
    assert!(
        run.ends(3)
            .stderr
            .starts_with("error: the environment of api has no version before the current one\n"),
        "{}",
        run.stderr
    );
    environment.did(&["delete", "--yes"]);
    diff(&environment, &["1"]).fails(
        3,
        "error: the environment of api was deleted at [TIME] by ann@[HOST]\n\
         hint: `microsecrets rollback 1` brings it back\n",
    );
}

mod upload_dry_run {
    use super::*;

    const NOTE: &str = "note: nothing was written\n";

    fn dry_run(environment: &TestEnvironment, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
        let before = environment.store();
        let run = environment
            .api(&[&["upload", "--dry-run"], arguments].concat())
            .stdin(input)
            .run();
        assert!(environment.store() == before, "something was written");
        run
    }

    #[test]
    fn shows_what_would_change_and_writes_nothing() {
        let environment = grown();
        let run = dry_run(&environment, &[], "SAME=x\nCHANGED=again\nNEWER=1\n");
        assert_eq!(sorted(&run.raw_stdout()), ["+ NEWER", "- NEW", "~ CHANGED"]);
        assert_eq!(run.stderr, NOTE);
        run.ends(0);
        dry_run(&environment, &[], "SAME=x\nCHANGED=after\nNEW=come\n").prints_and_says("", NOTE);
    }

    #[test]
    fn as_json_has_no_values() {
        let environment = grown();
        let run = dry_run(
            &environment,
            &["--format", "json"],
            "SAME=hunter2\nCHANGED=after\nNEW=come\n",
        );
        let rows: Value = serde_json::from_str(&run.raw_stdout()).unwrap();
        assert_eq!(
            rows,
            json!([{"name": "SAME", "change": "changed", "before": null, "after": null}])
        );
    }

    #[test]
    fn of_the_first_version_makes_no_store() {
        let environment = TestEnvironment::new();
        environment.upload_with(&["-s", "web"], "A=1\n");
        dry_run(&environment, &[], "A=1\nB=2\n").prints_and_says("+ A\n+ B\n", NOTE);
        environment.did(&["list"]);
        assert!(!environment.exists("store/services/api"));
        // Where there is no store, nothing is made either.
        let environment = TestEnvironment::new();
        dry_run(&environment, &[], "A=1\n");
        assert!(!environment.exists("store") && !environment.exists("config"));
    }

    #[test]
    fn over_a_deletion_everything_is_new() {
        let environment = grown();
        environment.did(&["delete", "--yes"]);
        dry_run(&environment, &[], "A=1\n").prints_and_says("+ A\n", NOTE);
    }

    #[test]
    fn still_refuses_what_upload_refuses() {
        let environment = grown();
        dry_run(&environment, &[], "hunter2\n").ends(2);
        dry_run(&environment, &[], "").ends(2);
    }

    #[test]
    fn of_a_file_shows_sizes_and_checksums() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let new = dry_run(&environment, &["-f", "f"], [b'x'; 100]);
        new.prints_and_says("+ 100 bytes, sha256 [CHECKSUM]\n", NOTE);
        let checksum = environment.upload_file("f", [b'x'; 100]);
        assert_eq!(new.raw_stdout(), format!("+ 100 bytes, sha256 {checksum}\n"));
        dry_run(&environment, &["-f", "f"], [b'x'; 100]).prints_and_says("", NOTE);
        let run = dry_run(&environment, &["-f", "f"], vec![b'y'; 1_500_000]);
        run.prints_and_says(
            "- 100 bytes, sha256 [CHECKSUM]\n+ 1500000 bytes, sha256 [CHECKSUM]\n",
            NOTE,
        );
        assert!(
            run.raw_stdout()
                .starts_with(&format!("- 100 bytes, sha256 {checksum}\n"))
        );
    }

    #[test]
    fn of_a_file_as_json() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload_file("f", [b'x'; 100]);
        let json = |input: &[u8], label: &str| -> Value {
            let run = dry_run(&environment, &["-f", label, "--format", "json"], input);
            serde_json::from_str(&run.raw_stdout()).unwrap()
        };
        let x = json!({"checksum": checksum, "size": 100});
        assert_eq!(
            json(&[b'x'; 100], "f"),
            json!({"change": "none", "before": x, "after": x})
        );
        assert_eq!(
            json(&[b'x'; 100], "g"),
            json!({"change": "added", "before": null, "after": x})
        );
        let changed = json(&[b'y'; 101], "f");
        assert_eq!((&changed["change"], &changed["before"]), (&json!("changed"), &x));
        assert_eq!(changed["after"]["size"], 101);
    }
}
