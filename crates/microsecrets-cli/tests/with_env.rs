//! `microsecrets with-env`: why an environment is believed, and what the command gets.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Outcome, TestEnvironment};
use microsecrets::checksum::Digest;
use microsecrets::document::Document;

/// Runs `with-env -s api OPTIONS -- sh -c SCRIPT`.
fn with_env(environment: &TestEnvironment, options: &[&str], script: &str) -> Outcome {
    let arguments = [&["with-env", "-s", "api"], options, &["--", "sh", "-c", script]].concat();
    environment.microsecrets(&arguments).run()
}

/// A refusal: the exact message, and the command was not started.
#[track_caller]
fn refuses(environment: &TestEnvironment, options: &[&str], status: i32, said: &str) {
    with_env(environment, options, "touch started").fails(status, said);
    assert!(!environment.exists("started"));
}

#[test]
fn the_command_gets_the_variables() {
    let environment = TestEnvironment::new();
    environment.upload("DB_URL=db://user:pass@example.com:123\nDOLLAR=$2a$10$abc\nEMPTY=\n");
    with_env(&environment, &["-a"], r#"echo "$DB_URL|$DOLLAR|${EMPTY-unset}""#)
        .prints("db://user:pass@example.com:123|$2a$10$abc|\n");
}

#[test]
fn run_is_another_name_for_it() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment
        .microsecrets(&["run", "-s", "api", "-w", "A", "--", "printenv", "A"])
        .run()
        .prints("1\n");
}

#[test]
fn the_arguments_reach_the_command_as_they_are() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let arguments = [
        "with-env", "-s", "api", "-a", "--", "printf", "[%s]", "-a", "--", "", "a b", "--help", "ü\n",
    ];
    environment
        .microsecrets(&arguments)
        .run()
        .prints("[-a][--][][a b][--help][ü\n]");
}

#[test]
fn somebody_has_to_say_why_it_may_be_believed() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    refuses(
        &environment,
        &[],
        125,
        "error: nothing says why the environment may be believed\n\
         hint: say -w 'VAR VAR' for the variables you expect, -c CHECKSUM for the exact content, --verify-key KEY for who \
         signed it, or -a for anything\n",
    );
}

mod whitelist {
    use super::*;

    #[test]
    fn names_are_separated_by_white_space_and_given_several_times() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\nB=2\nC=3\n");
        with_env(&environment, &["-w", "A\tB\n D", "-w", "C"], "echo $A$B$C").prints("123\n");
    }

    #[test]
    fn a_variable_that_nobody_named_is_refused() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\nB=2\n");
        let said = "error: the environment has a variable that is not allowed: B\n\
                    hint: to allow it, say -w B; to leave it out, --ignore-extra\n";
        refuses(&environment, &["-w", "A"], 122, said);
        refuses(&environment, &["-w", "A b"], 122, said);
        let said = "error: the environment has 2 variables that are not allowed: A, B\n\
                    hint: to allow them, add -w 'A B'; to leave them out, --ignore-extra\n";
        refuses(&environment, &["-w", ""], 122, said);
    }

    #[test]
    fn what_nobody_named_can_be_left_out() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\nB=2\n");
        let script = "echo $A ${B-unset}";
        with_env(&environment, &["-w", "A", "-i"], script).prints("1 unset\n");
        let verbose = with_env(&environment, &["-w", "A", "--ignore-extra", "-v"], script);
        assert!(verbose.stderr.ends_with("note: left out B\n"), "{}", verbose.stderr);
    }

    #[test]
    fn a_variable_that_is_left_out_keeps_the_value_it_had() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\nB=2\n");
        let arguments = ["with-env", "-s", "api", "-w", "A", "-i", "--", "printenv", "B"];
        environment
            .microsecrets(&arguments)
            .env("B", "inherited")
            .run()
            .prints("inherited\n");
    }

    #[test]
    fn globs_match_whole_names() {
        let environment = TestEnvironment::new();
        environment.upload("DB_URL=1\nDB_PASSWORD=2\nKEY1=3\n");
        with_env(&environment, &["-w", "DB_* KEY[0-9]"], "echo $DB_URL$DB_PASSWORD$KEY1").prints("123\n");
        refuses(
            &environment,
            &["-w", "DB_? KEY?"],
            122,
            "error: the environment has 2 variables that are not allowed: DB_URL, DB_PASSWORD\n\
             hint: to allow them, add -w 'DB_URL DB_PASSWORD'; to leave them out, --ignore-extra\n",
        );
    }

    #[test]
    fn a_glob_never_matches_a_name_that_can_run_code() {
        let environment = TestEnvironment::new();
        environment.upload("LD_PRELOAD=/tmp/evil.so\n");
        for glob in ["*", "LD_*", "LD_PRELOA[D]"] {
            refuses(
                &environment,
                &["-w", glob],
                122,
                &format!(
                    "error: LD_PRELOAD is matched by {glob} only, and loads libraries into the program (LD_PRELOAD, \
                     LD_AUDIT, LD_LIBRARY_PATH)\nhint: to allow it, say -w LD_PRELOAD\n"
                ),
            );
        }
        with_env(&environment, &["-w", "*", "-i"], "echo ${LD_PRELOAD-unset}").prints("unset\n");
    }

    #[test]
    fn a_name_that_can_run_code_is_allowed_when_it_is_named() {
        let environment = TestEnvironment::new();
        environment.upload("BASH_ENV=/dev/null\nOTHER=1\n");
        with_env(&environment, &["-w", "* BASH_ENV"], "echo $BASH_ENV").prints("/dev/null\n");
    }

    #[test]
    fn a_glob_that_is_malformed_is_refused() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        for (glob, said) in [
            ("A[", "the `[` is never closed\nhint: close it; [[] matches a ["),
            (
                "[^A]",
                "`[^` has no meaning\nhint: write [!...] for any other character; [...^] holds a ^",
            ),
            (
                "[z-a]",
                "a range in `[...]` ends before it begins\nhint: write the lower character first, such as [A-Z]",
            ),
            (
                "[[:alpha:]]",
                "classes such as `[:alpha:]` are not understood\nhint: write the characters themselves, such as [A-Z0-9]",
            ),
        ] {
            refuses(
                &environment,
                &["-w", glob],
                125,
                &format!("error: glob {glob}: {said}\n"),
            );
        }
    }

    #[test]
    fn a_name_that_no_shell_can_export_may_be_a_secret_and_is_told_by_its_place() {
        let environment = TestEnvironment::new();
        environment.upload_with(&["-s", "api", "--any-name"], "A=1\ncana/ry=\nLD_cana/ry=x\n");
        refuses(
            &environment,
            &["-w", "A"],
            122,
            "error: the environment has 2 variables that are not allowed: variable 2, variable 3\n\
             hint: to leave them out, --ignore-extra\n",
        );
        refuses(
            &environment,
            &["-w", "*"],
            122,
            "error: variable 3 is matched by * only, and loads libraries into the program (LD_PRELOAD, LD_AUDIT, \
             LD_LIBRARY_PATH)\n\
             hint: to leave it out, --ignore-extra, or allow everything with -a\n",
        );
        with_env(&environment, &["-w", "A cana/ry LD_cana/ry"], "echo $A").prints("1\n");
        // Not by way of a shell, which drops such names.
        let arguments = [
            "with-env",
            "-s",
            "api",
            "-a",
            "-D",
            "MICROSECRETS_METADATA",
            "--pristine",
            "--",
            "env",
        ];
        environment.microsecrets(&arguments).run().prints_and_says(
            "A=1\nLD_cana/ry=x\nMICROSECRETS_SOURCE=services/api/environment/[TIME].[CHECKSUM].json\ncana/ry=\n",
            "warning: variable 3 is set: loads libraries into the program (LD_PRELOAD, LD_AUDIT, LD_LIBRARY_PATH)\n",
        );
    }

    #[test]
    fn a_whitelist_and_everything_exclude_each_other() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        refuses(
            &environment,
            &["-w", "A", "-a"],
            125,
            "error: --whitelist and --whitelist-all exclude each other\nhint: leave one of them out\n",
        );
    }
}

#[test]
fn everything_means_everything_and_what_can_run_code_is_warned_of() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nNODE_OPTIONS=x\nAWS_PROFILE=y\n");
    with_env(&environment, &["-a"], "echo $A$NODE_OPTIONS$AWS_PROFILE").prints_and_says(
        "1xy\n",
        "warning: NODE_OPTIONS is set: options of node; --require runs a file\n\
         warning: AWS_PROFILE is set: chooses whose account is used; AWS_CONFIG_FILE can run commands \
         (credential_process)\n",
    );
}

mod checksum {
    use super::*;

    /// The bytes of the current version, which only `download` in this test's own words would show: they are put
    /// together again from what it prints, and are right when they have the checksum.
    fn document(environment: &TestEnvironment, checksum: &str) -> Vec<u8> {
        let metadata = with_env(environment, &["-a"], r#"printf %s "$MICROSECRETS_METADATA""#).raw_stdout();
        let json = format!(r#"{{"environment": {{"A": "1"}}, "metadata": {metadata}}}"#);
        assert!(checksum.parse::<Digest>().unwrap().matches(json.as_bytes()), "{json}");
        assert!(Document::parse(json.as_bytes()).is_ok());
        json.into_bytes()
    }

    fn digest(environment: &TestEnvironment, function: &str, bytes: &[u8]) -> String {
        environment.write("document", bytes);
        let sum = environment.program(function, &["document"]).run();
        sum.raw_stdout().split(' ').next().unwrap().to_owned()
    }

    #[test]
    fn the_exact_content_is_pinned_by_any_sha() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload("A=1\n");
        let document = document(&environment, &checksum);
        for function in ["sha256sum", "sha384sum", "sha512sum"] {
            let digest = digest(&environment, function, &document);
            with_env(&environment, &["-c", &digest], "echo $A").prints("1\n");
            with_env(&environment, &["-c", &digest.to_uppercase()], "echo $A").prints("1\n");
        }
        let sha1 = digest(&environment, "sha1sum", &document);
        with_env(&environment, &["-c", &sha1], "echo $A")
            .prints_and_says("1\n", "warning: SHA-1 is broken: pin the SHA-256 that upload prints\n");
    }

    #[test]
    fn it_allows_all_variables_without_a_warning() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload("NODE_OPTIONS=x\n");
        with_env(&environment, &["-c", &checksum], "echo $NODE_OPTIONS").prints("x\n");
    }

    #[test]
    fn a_whitelist_beside_it_counts_as_well() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload("A=1\nB=2\n");
        refuses(
            &environment,
            &["-c", &checksum, "-w", "A"],
            122,
            "error: the environment has a variable that is not allowed: B\n\
             hint: to allow it, say -w B; to leave it out, --ignore-extra\n",
        );
    }

    #[test]
    fn an_older_version_is_found_and_the_newer_one_told() {
        let environment = TestEnvironment::new();
        let checksum = environment.upload("A=1\n");
        environment.upload("A=2\n");
        with_env(&environment, &["-c", &checksum], "echo $A").prints_and_says(
            "1\n",
            "warning: the pinned version is not the current one, which is 2, [TIME].[CHECKSUM]\n",
        );
    }

    #[test]
    fn a_version_can_be_said_by_its_name() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let keys = environment
            .microsecrets(&["download", "-s", "api", "--list"])
            .run()
            .raw_stdout();
        environment.upload("A=2\n");
        let name = keys.trim_end().rsplit('/').next().unwrap();
        for name in [name, name.strip_suffix(".json").unwrap()] {
            with_env(&environment, &["-c", name], "echo $A").prints_and_says(
                "1\n",
                "warning: the pinned version is not the current one, which is 2, [TIME].[CHECKSUM]\n",
            );
        }
    }

    #[test]
    fn an_unknown_one_is_refused() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let hint = "hint: `microsecrets history` shows what there is\n";
        refuses(
            &environment,
            &["-c", &"0".repeat(64)],
            123,
            &format!("error: the environment of api has no version with checksum [CHECKSUM]\n{hint}"),
        );
        let name = format!("2026-11-23.07-58-01.{}", "0".repeat(64));
        refuses(
            &environment,
            &["-c", &name],
            123,
            &format!("error: the environment of api has no version with the name [TIME].[CHECKSUM]\n{hint}"),
        );
        for digits in [40, 96, 128] {
            refuses(
                &environment,
                &["-c", &"0".repeat(digits)],
                122,
                "error: the environment of api's current version does not have the pinned checksum\n\
                 hint: pin the checksum that upload printed; only SHA-256 pins are also looked up among older versions\n",
            );
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        for (pin, why) in [
            (
                "abc",
                "not a checksum: 40, 64, 96 or 128 hex digits are needed (SHA-1, SHA-256, SHA-384, SHA-512)",
            ),
            (
                "2026-11-23",
                "not a checksum: 40, 64, 96 or 128 hex digits are needed (SHA-1, SHA-256, SHA-384, SHA-512)",
            ),
            (
                "2026.abc",
                "not a version's name: YYYY-MM-DD.HH-MM-SS.<checksum> is needed",
            ),
        ] {
            let said = format!(
                "error: --checksum cannot be '{pin}': {why}\nhint: `microsecrets with-env --help` shows what can be said\n"
            );
            refuses(&environment, &["-c", pin], 125, &said);
        }
    }
}

#[test]
fn a_version_can_be_said_by_its_number() {
    let environment = TestEnvironment::new();
    for value in ["A=1\n", "A=2\n", "A=3\n"] {
        environment.upload(value);
    }
    for (at, value) in [("1", "1\n"), ("2", "2\n"), ("3", "3\n"), ("current", "3\n")] {
        with_env(&environment, &["-a", "--at", at], "echo $A").prints(value);
    }
    refuses(
        &environment,
        &["-a", "--at", "4"],
        123,
        "error: the environment of api has no version 4\n\
         hint: there is 3 (sha:[SHORT], [TIME]), 2 (sha:[SHORT], [TIME]), 1 (sha:[SHORT], [TIME])\n",
    );
    for none in ["0", "-1", "x", "1.5", "99999999999999999999"] {
        refuses(
            &environment,
            &["-a", &format!("--at={none}")],
            125,
            &format!(
                "error: --at cannot be '{none}': a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a \
                 name, or @TIME\n\
                 hint: `microsecrets with-env --help` shows what can be said\n"
            ),
        );
    }
    refuses(
        &environment,
        &["--at", "1", "-c", &"0".repeat(64)],
        125,
        "error: --at and --checksum exclude each other\nhint: leave one of them out\n",
    );
}

#[test]
fn a_secret_replaces_an_inherited_variable() {
    let environment = TestEnvironment::new();
    environment.upload("A=secret\n");
    let arguments = ["with-env", "-s", "api", "-a", "--", "env"];
    let run = environment
        .microsecrets(&arguments)
        .env("A", "inherited")
        .env("B", "inherited")
        .run();
    let lines: Vec<String> = run.raw_stdout().lines().map(ToOwned::to_owned).collect();
    assert!(
        lines.contains(&"A=secret".to_owned()) && lines.contains(&"B=inherited".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.iter().filter(|line| line.starts_with("A=")).count(), 1);
}

#[test]
fn pristine_leaves_out_what_is_inherited() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let arguments = ["with-env", "-s", "api", "-a", "--pristine", "--", "env"];
    environment.microsecrets(&arguments).env("INHERITED", "1").run().prints(
        "A=1\n\
         MICROSECRETS_METADATA={\"timestamp\": [NUMBER], \"user\": \"ann@[HOST]\", \"service\": \"api\", \"number\": 1, \
         \"salt\": \"[ID]\"}\n\
         MICROSECRETS_SOURCE=services/api/environment/[TIME].[CHECKSUM].json\n",
    );
}

#[test]
fn variables_can_be_removed() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=2\n");
    let arguments = [
        "with-env",
        "-s",
        "api",
        "-a",
        "-D",
        "B INHERITED\tNOSUCH",
        "-D",
        "MICROSECRETS_METADATA",
        "--",
        "env",
    ];
    let run = environment.microsecrets(&arguments).env("INHERITED", "1").run();
    let names: Vec<String> = run
        .raw_stdout()
        .lines()
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "A",
            "HOME",
            "LOGNAME",
            "MICROSECRETS_BUCKET",
            "MICROSECRETS_SOURCE",
            "PATH",
            "XDG_CONFIG_HOME"
        ]
    );
}

#[test]
fn the_version_is_told_to_the_command_and_no_secret_can_pretend_to_be_it() {
    let environment = TestEnvironment::new();
    environment.upload("MICROSECRETS_SOURCE=forged\nMICROSECRETS_METADATA=forged\n");
    let arguments = ["-w", "MICROSECRETS_SOURCE MICROSECRETS_METADATA"];
    with_env(&environment, &arguments, r#"echo "$MICROSECRETS_SOURCE"; echo "$MICROSECRETS_METADATA""#).prints(
        "services/api/environment/[TIME].[CHECKSUM].json\n\
         {\"timestamp\": [NUMBER], \"user\": \"ann@[HOST]\", \"service\": \"api\", \"number\": 1, \"salt\": \"[ID]\"}\n",
    );
}

#[test]
fn what_is_not_there_is_said() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let run = environment
        .microsecrets(&["with-env", "-s", "nosuch", "-a", "--", "touch", "started"])
        .run();
    run.fails(
        123,
        "error: there is no environment of nosuch in file:[DIR]/store\n\
         hint: check bucket and service, or publish it first with `microsecrets upload`\n",
    );
    let run = environment
        .microsecrets(&["with-env", "-a", "--", "touch", "started"])
        .run();
    run.fails(
        125,
        "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
    );
    for arguments in [
        &["with-env", "-s", "api", "-a"][..],
        &["with-env", "-s", "api", "-a", "--"],
    ] {
        environment.microsecrets(arguments).run().fails(
            125,
            "error: no command is given\nhint: put it after --: microsecrets with-env ... -- COMMAND\n",
        );
    }
    assert!(!environment.exists("started"));
}

#[test]
fn a_command_without_the_two_hyphens_is_explained() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let hint = "hint: the command comes after --: microsecrets with-env [OPTIONS] -- COMMAND...\n";
    let run = environment
        .microsecrets(&["with-env", "-s", "api", "-a", "touch", "started"])
        .run();
    run.fails(125, &format!("error: unexpected argument 'touch'\n{hint}"));
    let run = environment
        .microsecrets(&["with-env", "-s", "api", "-a", "B=canary", "touch", "started"])
        .run();
    run.fails(125, &format!("error: unexpected argument\n{hint}"));
    assert!(!environment.exists("started"));
}
