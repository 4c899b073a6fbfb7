//! `microsecrets get`, `set` and `unset`: one variable at a time.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Outcome, TestEnvironment, terminal};

const DROPPED: &str = "note: the newline at the value's end was dropped; --exact keeps it\n";

/// `set ARGUMENTS` for the service `api`, reading this.
fn set(environment: &TestEnvironment, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
    environment.api(&[&["set"], arguments].concat()).stdin(input).run()
}

/// It is refused with this status and nothing is written.
#[track_caller]
fn refuses(environment: &TestEnvironment, arguments: &[&str], input: impl AsRef<[u8]>, status: i32, said: &str) {
    let before = environment.store();
    set(environment, arguments, input).fails(status, said);
    assert!(environment.store() == before, "something was written");
}

mod get {
    use super::*;

    #[test]
    fn prints_the_exact_bytes() {
        let environment = TestEnvironment::new();
        for value in [
            "",
            "plain",
            "line 1\nline 2\n",
            " blanks ",
            "\u{fc}ml\u{e4}ut \u{1f600}",
            "\u{1b}[31m\r\n",
        ] {
            set(&environment, &["--exact", "A"], value).ends(0);
            let got = environment.api(&["get", "A"]).run();
            assert_eq!((got.stdout.as_slice(), got.stderr.as_str()), (value.as_bytes(), ""));
            got.ends(0);
        }
    }

    #[test]
    fn adds_a_newline_only_at_a_terminal() {
        if !terminal::is_there() {
            return;
        }
        let environment = TestEnvironment::new();
        environment.upload("A=value\n");
        assert_eq!(environment.api(&["get", "A"]).typed(&[]).shown(), "value\n");
        assert_eq!(environment.value("A"), "value");
    }

    #[test]
    fn of_a_variable_that_is_not_there_is_not_found() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment.api(&["get", "B"]).run().fails(
            3,
            "error: the environment of api has no variable B\n\
             hint: `microsecrets show` lists the names there are\n",
        );
        // Names are not folded.
        environment.api(&["get", "a"]).run().ends(3);
        environment.microsecrets(&["get", "A", "-s", "nosuch"]).run().fails(
            3,
            "error: there is no environment of nosuch in file:[DIR]/store\n\
             hint: check bucket and service, or publish it first with `microsecrets upload`\n",
        );
    }

    /// It may be a secret that was typed into the wrong place.
    #[test]
    fn does_not_repeat_a_name_that_no_shell_can_export() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let run = environment.api(&["get", "hunter2/secret"]).run();
        run.ends(3);
        run.is_well_formed();
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
}

#[test]
fn a_value_is_read_from_standard_input() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    set(&environment, &["B"], "two").prints(
        "Successfully changed:\n\
         \x20 bucket: file:[DIR]/store\n\
         \x20 path: services/api/environment/[TIME].[CHECKSUM].json\n\
         \x20 checksum: [CHECKSUM]\n\
         \x20 version: 2\n",
    );
    set(&environment, &["A", "-q"], "one").prints("[CHECKSUM]\n");
    assert_eq!(environment.variables(), "A=one\nB=two\n");
    let row = &environment.history(&[])[0];
    assert_eq!((row["kind"].as_str(), row["version"].as_u64()), (Some("set"), Some(3)));
}

#[test]
fn the_result_as_json_and_the_message() {
    let environment = TestEnvironment::new();
    let run = set(&environment, &["A", "--format", "json", "-m", "why"], "1");
    let result: serde_json::Value = serde_json::from_str(&run.raw_stdout()).unwrap();
    assert_eq!((&result["version"], &result["unchanged"]), (&1.into(), &false.into()));
    assert_eq!(result["checksum"], environment.history(&[])[0]["checksum"]);
    assert_eq!(environment.history(&[])[0]["message"], "why");
    let run = set(&environment, &["A", "--format", "json"], "1");
    let result: serde_json::Value = serde_json::from_str(&run.raw_stdout()).unwrap();
    assert_eq!((&result["version"], &result["unchanged"]), (&1.into(), &true.into()));
}

#[test]
fn one_newline_at_the_end_is_dropped_and_said_so() {
    let environment = TestEnvironment::new();
    for (input, value) in [("x\n", "x"), ("x\n\n", "x\n"), ("x\r\n", "x\r")] {
        set(&environment, &["-q", "A"], input).prints_and_says("[CHECKSUM]\n", DROPPED);
        assert_eq!(environment.value("A"), value);
    }
    set(&environment, &["-q", "A"], "a\nb").prints("[CHECKSUM]\n");
    assert_eq!(environment.value("A"), "a\nb");
}

#[test]
fn exact_keeps_the_newline() {
    let environment = TestEnvironment::new();
    set(&environment, &["-q", "--exact", "A"], "x\n").prints("[CHECKSUM]\n");
    assert_eq!(environment.value("A"), "x\n");
}

/// More likely a program that failed before its pipe than a wish.
#[test]
fn an_empty_value_must_be_meant() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    refuses(
        &environment,
        &["A"],
        "",
        2,
        "error: the value is empty\nhint: to set an empty value, say --exact\n",
    );
    set(&environment, &["A"], "\n").ends(2);
    let before = environment.store();
    let run = set(&environment, &["--pairs"], "# nothing\n");
    assert!(
        run.ends(2)
            .stderr
            .starts_with("error: standard input holds no variables\n"),
        "{}",
        run.stderr
    );
    assert!(environment.store() == before);
    set(&environment, &["-q", "--exact", "A"], "").prints("[CHECKSUM]\n");
    assert_eq!(environment.value("A"), "");
}

#[test]
fn a_value_is_read_from_a_file() {
    let environment = TestEnvironment::new();
    environment.write("secret", "from a file\n");
    set(&environment, &["-q", "A", "--from-file", "secret"], "not this").prints_and_says("[CHECKSUM]\n", DROPPED);
    assert_eq!(environment.value("A"), "from a file");
    set(&environment, &["-q", "A", "--from-file", "secret", "--exact"], "").prints("[CHECKSUM]\n");
    assert_eq!(environment.value("A"), "from a file\n");
    refuses(
        &environment,
        &["A", "--from-file", "nosuch"],
        "",
        1,
        "error: cannot read nosuch\n  caused by: No such file or directory (os error 2)\nhint: check its path\n",
    );
}

#[test]
fn a_random_value_is_made_and_not_shown() {
    let environment = TestEnvironment::new();
    let mut seen = Vec::new();
    for length in ["8", "40", "4096"] {
        let run = set(&environment, &["A", "--generate", length], "not this");
        assert_eq!(run.stderr, "");
        let value = environment.value("A");
        assert_eq!(value.len().to_string(), length);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{value}");
        assert!(!run.raw_stdout().contains(&value));
        seen.push(value);
    }
    // All 62 are used: the chance that 4096 random ones lack one is below 10^-26.
    let mut letters: Vec<u8> = seen[2].bytes().collect();
    letters.sort_unstable();
    letters.dedup();
    assert_eq!(letters.len(), 62);
    assert!(
        !seen[2].starts_with(&seen[0]) && !seen[1].starts_with(&seen[0]),
        "it is random"
    );
    for length in ["7", "4097", "x"] {
        let run = set(&environment, &["A", "--generate", length], "");
        run.ends(2);
        assert!(
            run.stderr
                .starts_with(&format!("error: --generate cannot be '{length}'")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn several_are_set_at_once_from_pairs() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=2\n");
    set(&environment, &["-q", "--pairs"], "# more\nB=two\n\n  C=3 \nD=\n").prints("[CHECKSUM]\n");
    assert_eq!(environment.did(&["get", "B"]), "two");
    assert_eq!(environment.number(), 2);
    let names = environment.did(&["show"]);
    assert!(names.ends_with("\n  A\n  B\n  C\n  D\n"), "{names}");
}

#[test]
fn pairs_that_are_wrong_write_nothing_and_are_not_shown() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    for (input, said) in [
        ("B=1\nhunter2\n", "error: standard input: line 2: no `=`\n"),
        (
            "B=1\nB=hunter2\n",
            "error: standard input: lines 1 and 2 give the same name: B\n",
        ),
        ("1B=hunter2\n", "error: standard input: line 1: "),
    ] {
        let before = environment.store();
        let run = set(&environment, &["--pairs"], input);
        run.ends(2);
        run.is_well_formed();
        assert!(
            run.stderr.starts_with(said) && !run.stderr.contains("hunter2"),
            "{}",
            run.stderr
        );
        assert!(environment.store() == before);
    }
}

mod on_the_command_line {
    use super::*;

    #[test]
    fn a_value_is_refused_and_never_shown() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        for arguments in [&["A=hunter2"][..], &["A=hunter2", "-q"], &["A="], &["=hunter2"]] {
            refuses(
                &environment,
                arguments,
                "",
                2,
                "error: a value on the command line is seen by others and kept in the shell's history\n\
                 hint: pipe it in: printf %s \"$VALUE\" | microsecrets set NAME; or say --insecure-argv\n",
            );
        }
        for arguments in [
            &["A=hunter2", "B=hunter2"][..],
            &["A", "hunter2"],
            &["hunter2/x"],
            &["A", "hunter2", "--from-file", "x"],
            &["--generate", "40", "A=hunter2"],
        ] {
            let before = environment.store();
            let run = set(&environment, arguments, "x");
            run.ends(2);
            run.is_well_formed();
            assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
            assert!(environment.store() == before);
        }
    }

    #[test]
    fn it_is_taken_when_that_is_said_to_be_meant() {
        let environment = TestEnvironment::new();
        set(
            &environment,
            &["-q", "--insecure-argv", "A=1", "B=x=y", "C="],
            "not this",
        )
        .prints("[CHECKSUM]\n");
        assert_eq!(environment.variables(), "A=1\nB=x=y\nC=\n");
        assert_eq!(environment.number(), 1);
    }

    #[test]
    fn it_is_refused_when_it_is_no_pair() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        for arguments in [
            &["--insecure-argv", "hunter2"][..],
            &["--insecure-argv", "B=1", "hunter2"],
            &["--insecure-argv", "B hunter2=1"],
            &["--insecure-argv", "=hunter2"],
            &["--insecure-argv"],
            &["--insecure-argv", "B=1", "B=hunter2"],
        ] {
            let before = environment.store();
            let run = set(&environment, arguments, "");
            run.ends(2);
            run.is_well_formed();
            assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
            assert!(environment.store() == before);
        }
    }
}

#[test]
fn a_name_that_no_shell_can_export_is_refused_unless_allowed() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    for name in ["1A", "a-b", "a.b", "", "\u{e4}"] {
        refuses(
            &environment,
            &[name],
            "x",
            2,
            "error: the variable has a name that no shell can export\n\
             hint: a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; --any-name allows others\n",
        );
    }
    set(&environment, &["-q", "--any-name", "a-b"], "x").prints("[CHECKSUM]\n");
    assert_eq!(environment.value("a-b"), "x");
    environment.did(&["unset", "a-b"]);
    assert_eq!(environment.variables(), "A=1\n");
    let run = set(&environment, &["--any-name", ""], "x");
    run.ends(2);
    run.is_well_formed();
}

#[test]
fn a_value_that_no_environment_can_hold_is_refused() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    refuses(
        &environment,
        &["A"],
        b"hunter2\xff",
        2,
        "error: the value is not UTF-8\nhint: upload bytes as a file: microsecrets upload -f LABEL\n",
    );
    let before = environment.store();
    let run = set(&environment, &["A"], "hunter\0two");
    run.is_well_formed();
    assert!(
        run.stderr.contains("NUL") && !run.stderr.contains("hunter"),
        "{}",
        run.stderr
    );
    run.ends(2);
    assert!(environment.store() == before);
}

#[test]
fn what_is_too_big_is_refused() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    refuses(
        &environment,
        &["A"],
        vec![b'x'; (4 << 20) + 1],
        2,
        "error: standard input has more than 4 MiB\nhint: upload large values as a file with -f\n",
    );
    // The value alone would do, but not with what is around it.
    refuses(
        &environment,
        &["A"],
        vec![b'x'; 4 << 20],
        2,
        "error: the new environment cannot be written\n  caused by: more than 4 MiB\n\
         hint: keep large values in a file: upload it with -f\n",
    );
}

#[test]
fn the_same_value_again_is_no_new_version() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=2\n");
    let before = environment.store();
    let run = set(&environment, &["A"], "1");
    assert_eq!(
        run.raw_stdout().lines().next(),
        Some("Nothing changed, this is the current version already:")
    );
    assert!(run.raw_stdout().ends_with("  version: 1\n"));
    assert!(environment.store() == before);
}

#[test]
fn the_first_variable_makes_the_environment() {
    let environment = TestEnvironment::new();
    let run = set(&environment, &["A"], "1");
    assert!(run.raw_stdout().ends_with("  version: 1\n"), "{}", run.raw_stdout());
    assert_eq!(environment.variables(), "A=1\n");
}

#[test]
fn a_deleted_environment_begins_anew() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=2\n");
    environment.did(&["delete", "--yes"]);
    let run = set(&environment, &["C"], "3");
    assert_eq!(
        run.stderr,
        "note: the environment of api was deleted by version 2; this begins a new one\n"
    );
    assert!(run.raw_stdout().ends_with("  version: 3\n"), "{}", run.raw_stdout());
    // What was deleted stays deleted.
    assert_eq!(environment.variables(), "C=3\n");
}

#[test]
fn what_0_3_4_wrote_is_changed_as_well() {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "old"));
    set(&environment, &["-q", "B"], "new").prints("[CHECKSUM]\n");
    assert_eq!(environment.variables(), "A=old\nB=new\n");
    let kinds: Vec<_> = environment.history(&[]).iter().map(|row| row["kind"].clone()).collect();
    assert_eq!(kinds, ["set", "adopted"]);
}

mod at_a_terminal {
    use super::*;

    #[test]
    fn the_value_is_asked_for_and_not_shown() {
        if !terminal::is_there() {
            return;
        }
        let environment = TestEnvironment::new();
        let run = environment
            .api(&["set", "-q", "TOKEN"])
            .typed(&[("hidden:value of TOKEN: ", "hunter2\n")]);
        let shown = run.shown();
        assert!(
            shown.starts_with("value of TOKEN: \n") && shown.ends_with("[CHECKSUM]\n"),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        run.ends(0);
        assert_eq!(environment.value("TOKEN"), "hunter2");
    }

    #[test]
    fn ctrl_c_writes_nothing() {
        if !terminal::is_there() {
            return;
        }
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let before = environment.store();
        let run = environment
            .api(&["set", "A"])
            .typed(&[("hidden:value of A: ", "hun\u{3}")]);
        assert!(!run.status.success() && !run.shown().contains("hun"), "{}", run.shown());
        assert!(environment.store() == before);
    }
}

mod unset {
    use super::*;

    #[test]
    fn removes_variables_in_one_version() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\nB=2\nC=3\n");
        environment.api(&["unset", "A", "C", "-m", "old"]).run().prints(
            "Successfully changed:\n\
             \x20 bucket: file:[DIR]/store\n\
             \x20 path: services/api/environment/[TIME].[CHECKSUM].json\n\
             \x20 checksum: [CHECKSUM]\n\
             \x20 version: 2\n",
        );
        assert_eq!(environment.variables(), "B=2\n");
        let row = &environment.history(&[])[0];
        assert_eq!((&row["kind"], &row["message"]), (&"unset".into(), &"old".into()));
    }

    #[test]
    fn of_what_is_not_there_is_not_found_and_removes_nothing() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let before = environment.store();
        environment.api(&["unset", "A", "B"]).run().fails(
            3,
            "error: the environment of api has no variable B\n\
             hint: `microsecrets show` lists the names there are\n",
        );
        let run = environment.api(&["unset", "hunter2/x"]).run();
        run.ends(3);
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
        environment.microsecrets(&["unset", "A", "-s", "nosuch"]).run().fails(
            3,
            "error: there is no environment of nosuch in file:[DIR]/store\n\
             hint: check bucket and service, or publish it first with `microsecrets upload`\n",
        );
        assert!(environment.store() == before);
        environment.did(&["delete", "--yes"]);
        environment.api(&["unset", "A"]).run().fails(
            3,
            "error: the environment of api was deleted at [TIME] by ann@[HOST]\n\
             hint: `microsecrets rollback 1` brings it back\n",
        );
    }

    #[test]
    fn of_the_last_one_leaves_an_empty_environment() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment.did(&["unset", "A"]);
        assert_eq!(environment.did(&["download"]), "{}\n");
    }
}
