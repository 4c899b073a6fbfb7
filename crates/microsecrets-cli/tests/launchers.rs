//! `microsecrets-upload`, `microsecrets-download` and `microsecrets-with-env`: the commands of 0.3.4.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{Outcome, TestEnvironment, install, mode_of};
use test_support::golden::Golden;

/// Runs a launcher with exactly these arguments.
fn raw(environment: &TestEnvironment, name: &str, arguments: &[&str]) -> Outcome {
    environment.program(program(name), arguments).run()
}

fn program(name: &str) -> &'static str {
    match name {
        "microsecrets-upload" => env!("CARGO_BIN_EXE_microsecrets-upload"),
        "microsecrets-download" => env!("CARGO_BIN_EXE_microsecrets-download"),
        _ => env!("CARGO_BIN_EXE_microsecrets-with-env"),
    }
}

const NAMES: [&str; 3] = ["microsecrets-upload", "microsecrets-download", "microsecrets-with-env"];

fn upload(environment: &TestEnvironment, arguments: &[&str], stdin: &str) -> Outcome {
    environment
        .launcher("microsecrets-upload", arguments)
        .stdin(stdin)
        .run()
}

/// What 0.3.4 printed, typed and ended with on Python 2.7, line for line, in the order in which it was recorded. The
/// folder stands for the bucket; checksums and times of environments differ, as they did between two runs of 0.3.4.
#[test]
fn every_recorded_command_line_has_the_same_status_and_the_same_output() {
    let environment = TestEnvironment::new();
    let golden = Golden::load();
    let blob = golden
        .objects
        .iter()
        .find(|object| object.key.contains("/files/blob/"))
        .unwrap();
    let certificate = golden
        .objects
        .iter()
        .find(|object| object.key.contains("/files/tls.pem/"))
        .unwrap();
    environment.write("blob.bin", &blob.body);
    environment.write("cert.pem", &certificate.body);
    let bucket = format!("file:{}", environment.path("store").display());

    assert_eq!(golden.transcript.len(), 18);
    for typed in &golden.transcript {
        let arguments: Vec<&str> = typed.arguments.iter().map(String::as_str).collect();
        let run = environment.launcher(&typed.tool, &arguments).stdin(&typed.stdin).run();
        let context = format!("{} {arguments:?}\n{}", typed.tool, run.stderr);
        assert_eq!(run.status.code(), Some(typed.status), "{context}");
        let recorded = String::from_utf8(typed.stdout.clone())
            .unwrap()
            .replace(&golden.bucket, &bucket);
        let redacted = common::redact::redact(&recorded, &environment.path(""));
        assert_eq!(run.stdout(), redacted.replace("[DIR]store", "[DIR]/store"), "{context}");
        let checksum = |text: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix("  checksum: ").map(str::to_owned))
        };
        if arguments.contains(&"-f") && typed.tool == "microsecrets-upload" {
            assert_eq!(checksum(&run.raw_stdout()), checksum(&recorded), "files have no salt");
        }
    }
}

#[test]
fn an_upload_prints_four_lines_also_when_nothing_has_changed() {
    let environment = TestEnvironment::new();
    for _ in 0..2 {
        upload(&environment, &["-s", "api"], "A=1\n").prints(
            "Successfully uploaded data to S3:\n  bucket: file:[DIR]/store\n  \
             path: services/api/environment/[TIME].[CHECKSUM].json\n  checksum: [CHECKSUM]\n",
        );
    }
    // As in 0.3.4, each of them is a version of its own.
    let list = environment.microsecrets(&["list", "api"]).run().raw_stdout();
    assert!(list.contains("environment  2"), "{list}");
}

#[test]
fn an_upload_takes_what_0_3_4_took() {
    let environment = TestEnvironment::new();
    let uploaded = |arguments: &[&str], stdin: &str| {
        let run = upload(&environment, &[&["-s", "api"], arguments].concat(), stdin);
        assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
        environment.microsecrets(&["download", "-s", "api"]).run().stdout()
    };
    assert_eq!(uploaded(&[], "export A=1\n"), "{\n  \"export A\": \"1\"\n}\n");
    assert_eq!(uploaded(&[], "# nothing\n"), "{}\n");
    assert_eq!(uploaded(&["--json"], r#"{"a-b": "1"}"#), "{\n  \"a-b\": \"1\"\n}\n");
    environment.write("env.txt", "FILE=1\n");
    assert_eq!(uploaded(&["env.txt"], ""), "{\n  \"FILE\": \"1\"\n}\n");
    // Beside --file, --json meant nothing.
    let run = upload(&environment, &["-s", "api", "-j", "-f", "label"], &"x".repeat(64));
    assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
}

mod options {
    use super::*;

    /// As Python's `optparse` understands them.
    #[test]
    fn can_be_abbreviated_joined_clustered_and_come_last() {
        let environment = TestEnvironment::new();
        upload(&environment, &["-s", "api"], "A=1\n");
        let bucket = format!("file:{}", environment.path("store").display());
        let expected = "services/api/environment/[TIME].[CHECKSUM].json\n";
        for arguments in [
            &["-b", &bucket, "-s", "api", "-l"][..],
            &["-b", &bucket, "-sapi", "-l"],
            &["--bucket", &bucket, "--service", "api", "--list"],
            &["--buck", &bucket, "--serv=api", "--li"],
            &[&format!("--b={bucket}"), "--s", "api", "--l"],
            &["-lb", &bucket, "-s", "api"],
            &["-s", "other", "-b", "xyz", "-s", "api", "-l", "-b", &bucket],
            &["-b", &bucket, "-s", "api", "-l", "--region=eu-west-1", "--"],
        ] {
            let run = raw(&environment, "microsecrets-download", arguments);
            run.prints(expected);
        }
        // -v and -d tell more, and print the same.
        for verbose in ["-vd", "-v", "--verb", "-dv"] {
            let run = raw(
                &environment,
                "microsecrets-download",
                &[verbose, "-b", &bucket, "-s", "api", "-l"],
            );
            assert_eq!(
                (run.stdout().as_str(), run.status.code()),
                (expected, Some(0)),
                "{}",
                run.stderr
            );
        }
    }

    #[test]
    fn end_at_two_hyphens() {
        let environment = TestEnvironment::new();
        upload(&environment, &["-s", "api"], "A=1\n");
        let run = |arguments: &[&str]| environment.launcher("microsecrets-with-env", arguments).run();
        run(&["-s", "api", "-a", "--", "printf", "%s|", "-a", "--", "-x"]).prints("-a|--|-x|");
        run(&["-s", "api", "-a", "printf", "%s", "x"]).prints("x");
        run(&["printf", "%s", "x", "-s", "api", "-a"]).prints("x");
        environment.write("-odd-", "B=1\n");
        upload(&environment, &["-s", "api", "--", "-odd-"], "").ends(0);
    }

    #[test]
    fn that_0_3_4_did_not_understand_end_with_2() {
        let environment = TestEnvironment::new();
        let usage = "hint: usage: microsecrets-with-env [-v] [-d] [-r REGION] -b BUCKET -s SERVICE (-c HASH | -w VARS | -a) \
                     [-i] [-P] [-D VARS] [-f NAME:PATH[:HASH]]... -- COMMAND...\n";
        for (arguments, said) in [
            (&["-x"][..], "no such option: -x"),
            (&["-vx"], "no such option: -x"),
            (&["-v-"], "no such option: --"),
            (&["--nope"], "no such option: --nope"),
            (&["--nope=canary"], "no such option: --nope"),
            (&["---"], "no such option: ---"),
            (&["--ver"], "ambiguous option: --ver (--verbose, --version?)"),
            (
                &["--white", "A"],
                "ambiguous option: --white (--whitelist, --whitelist-all?)",
            ),
            (&["--no-path=1"], "--no-path option does not take a value"),
            (&["-s"], "-s option requires an argument"),
            (&["--serv"], "--service option requires an argument"),
            (&["-vs"], "-s option requires an argument"),
            (&["-\u{1b}[31m"], "no such option: -\\u{1b}"),
        ] {
            let run = raw(&environment, "microsecrets-with-env", arguments);
            run.fails(2, &format!("error: {said}\n{usage}"));
        }
        let run = raw(
            &environment,
            "microsecrets-with-env",
            &["-b", "xyz", "-s", "api", "-a", "-w", "A", "--", "true"],
        );
        run.fails(2, "error: --whitelist and --whitelist-all are mutually exclusive\n");
    }

    #[test]
    fn for_help_and_version_end_everything() {
        let environment = TestEnvironment::new();
        for name in NAMES {
            let help = raw(&environment, name, &["-h", "--nope"]);
            let printed = help.raw_stdout();
            assert!(
                printed.starts_with(&format!("Usage: {name} [-v] [-d] [-r REGION] -b BUCKET -s SERVICE ")),
                "{printed}"
            );
            help.ends(0);
            for help in [&["--help"][..], &["-vhx"], &["--he"], &["a", "--help"]] {
                raw(&environment, name, help).prints(&printed);
            }
            for version in ["--version", "--vers"] {
                raw(&environment, name, &[version]).prints(&format!("microsecrets {}\n", env!("CARGO_PKG_VERSION")));
            }
        }
    }

    #[test]
    fn that_are_missing_end_with_1() {
        let environment = TestEnvironment::new();
        for name in NAMES {
            let command = ["true"];
            let command = if name == "microsecrets-with-env" {
                &command[..]
            } else {
                &[]
            };
            let run = raw(
                &environment,
                name,
                &[&["-a", "-s", "api"][usize::from(command.is_empty())..], command].concat(),
            );
            // -a exists for one of them only, and is left out for the others: the service is then an argument.
            assert!(matches!(run.status.code(), Some(1)), "{name}: {}", run.stderr);
            assert!(run.stdout.is_empty());
        }
        let usage = "hint: usage: microsecrets-download [-v] [-d] [-r REGION] -b BUCKET -s SERVICE [-c HASH] \
                     [-f NAME[:PATH[:HASH]]]... [-l]\n";
        let download = |arguments: &[&str]| raw(&environment, "microsecrets-download", arguments);
        download(&["-s", "api"]).fails(1, &format!("error: must provide -b / --bucket\n{usage}"));
        download(&["-b", "xyz"]).fails(1, &format!("error: must provide -s / --service\n{usage}"));
        download(&["-b", "xyz", "-s", "api", "x"]).fails(1, &format!("error: unexpected extra arguments\n{usage}"));
    }

    /// Variables that the program of today obeys are not a bucket for those who never said one.
    #[test]
    fn come_from_the_command_line_only() {
        let environment = TestEnvironment::new();
        upload(&environment, &["-s", "api"], "A=1\n");
        let run = environment.program(program("microsecrets-download"), &["-l"]);
        let run = run.env("MICROSECRETS_SERVICE", "api");
        let run = run
            .env(
                "MICROSECRETS_BUCKET",
                format!("file:{}", environment.path("store").display()),
            )
            .run();
        run.ends(1);
    }
}

mod failures {
    use super::*;

    #[test]
    fn of_an_upload_end_with_1() {
        let environment = TestEnvironment::new();
        upload(&environment, &["-s", "api"], "no equals sign\n").fails(
            1,
            "error: standard input: line 1: no `=`\n\
             hint: write NAME=value; if this line is part of a value, use --json or --dotenv; to upload a whole file, \
             use -f LABEL\n",
        );
        upload(&environment, &["-s", "api", "-j"], r#"{"A": 1}"#).ends(1);
        upload(&environment, &["-s", "api", "nosuch.txt"], "").ends(1);
        upload(&environment, &["-s", "api", "a", "b"], "").ends(1);
        upload(&environment, &["-s", "a/b"], "A=1\n").fails(
            1,
            "error: --service cannot be 'a/b': a service's name begins with a letter or digit and may hold A-Z, a-z, 0-9 \
             and . _ -\nhint: `microsecrets-upload --help` shows what can be said\n",
        );
        assert!(!environment.exists("store"));
    }

    #[test]
    fn of_with_env_end_with_1_and_start_nothing() {
        let environment = TestEnvironment::new();
        upload(&environment, &["-s", "api"], "A=1\nB=2\n");
        for arguments in [
            &["-s", "api"][..],
            &["-s", "nosuch", "-a"],
            &["-s", "api", "-w", "A"],
            &["-s", "api", "-c", "abc"],
            &[
                "-s",
                "api",
                "-c",
                "0000000000000000000000000000000000000000000000000000000000000000",
            ],
            &["-s", "api", "-a", "-f", "nosuch:x"],
            &["-s", "api", "-a", "-f", "no-path"],
            &["-s", "api", "-a", "-f", "a:b:c:d"],
        ] {
            let arguments = [arguments, &["--", "touch", "started"]].concat();
            let run = environment.launcher("microsecrets-with-env", &arguments).run();
            run.ends(1);
            assert!(
                run.stdout.is_empty() && run.stderr.starts_with("error: "),
                "{arguments:?} {}",
                run.stderr
            );
        }
        environment
            .launcher("microsecrets-with-env", &["-s", "api", "-a"])
            .run()
            .ends(1);
        environment
            .launcher("microsecrets-with-env", &["-s", "api", "-a", "--", "nosuch"])
            .run()
            .ends(1);
        assert!(!environment.exists("started"));
    }

    /// 0.3.4 compared a checksum with the latest version only.
    #[test]
    fn an_old_pinned_checksum_is_refused() {
        let environment = TestEnvironment::new();
        let old = environment.upload("A=1\n");
        let new = environment.upload("A=2\n");
        let old_file = environment.upload_file("tls.pem", "1".repeat(64));
        environment.upload_file("tls.pem", "2".repeat(64));
        let said = |item: &str| {
            format!(
                "error: {item}'s current version does not have the pinned checksum\n\
                 hint: pin the checksum that upload printed; only SHA-256 pins are also looked up among older versions\n"
            )
        };
        let run = |checksum: &str| {
            let arguments = ["-s", "api", "-c", checksum, "--", "printenv", "A"];
            environment.launcher("microsecrets-with-env", &arguments).run()
        };
        run(&new).prints("2\n");
        run(&old).fails(1, &said("the environment of api"));
        let download = |arguments: &[&str]| environment.launcher("microsecrets-download", arguments).run();
        download(&["-s", "api", "-c", &new]).prints("{\n  \"A\": \"2\"\n}\n");
        download(&["-s", "api", "-c", &old]).fails(1, &said("the environment of api"));
        download(&["-s", "api", "-f", &format!("tls.pem:here:{old_file}")]).fails(1, &said("the file tls.pem of api"));
        assert!(!environment.exists("here"));
        // To list, it was never looked at.
        download(&["-s", "api", "-c", &old, "-l"]).ends(0);
    }
}

#[test]
fn a_download_gives_the_files_and_then_the_environment() {
    let environment = TestEnvironment::new();
    upload(&environment, &["-s", "api"], "A=1\n");
    upload(&environment, &["-s", "api", "-f", "one"], &"1".repeat(64));
    upload(&environment, &["-s", "api", "-f", "two"], &"2".repeat(64));
    let download = |arguments: &[&str]| environment.launcher("microsecrets-download", arguments).run();
    let (one, two, json) = ("1".repeat(64), "2".repeat(64), "{\n  \"A\": \"1\"\n}\n");
    let run = download(&["-s", "api", "-f", "two", "-f", "one"]);
    assert_eq!(run.raw_stdout(), format!("{two}{one}{json}"));
    download(&["-s", "api", "-f", "two:here"]).prints(json);
    assert_eq!(
        (environment.read("here"), mode_of(&environment.path("here"))),
        (two.into_bytes(), 0o600)
    );
    // All of them are understood before the first is printed.
    download(&["-s", "api", "-f", "one", "-f", "a:b:c:d"]).ends(1);
    assert_eq!(download(&["-s", "api", "-f", "one", "-f", "a:b:c:d"]).raw_stdout(), "");
}

#[test]
fn with_env_does_what_it_did() {
    let environment = TestEnvironment::new();
    upload(&environment, &["-s", "api"], "A=1\nB=2\n");
    upload(&environment, &["-s", "api", "-f", "blob"], &"b".repeat(64));
    let run = |arguments: &[&str]| environment.launcher("microsecrets-with-env", arguments).run();
    run(&["-s", "api", "-w", "A", "-w", "B", "--", "sh", "-c", "echo $A$B"]).prints("12\n");
    run(&["-s", "api", "-w", "A", "-i", "--", "sh", "-c", "echo $A${B-unset}"]).prints("1unset\n");
    run(&[
        "-s",
        "api",
        "-a",
        "-D",
        "A HOME",
        "--",
        "sh",
        "-c",
        "echo ${A-unset}${HOME-unset}",
    ])
    .prints("unsetunset\n");
    run(&["-s", "api", "-a", "-P", "--", "sh"]).ends(1);
    run(&["-s", "api", "-a", "-f", "blob:here", "--", "wc", "-c", "here"]).prints("64 here\n");
    run(&["-s", "api", "-a", "--", "sh", "-c", "exit 42"]).ends(42);
    run(&["-s", "api", "-a", "--", "sh", "-c", "echo $MICROSECRETS_SOURCE"])
        .prints("services/api/environment/[TIME].[CHECKSUM].json\n");
}

#[test]
fn the_command_is_still_the_same_process() {
    let environment = TestEnvironment::new();
    upload(&environment, &["-s", "api"], "A=1\n");
    let child = environment
        .launcher(
            "microsecrets-with-env",
            &["-s", "api", "-a", "--", "sh", "-c", "echo $$"],
        )
        .spawn();
    let id = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{id}\n"));
}

mod the_program_beside_it {
    use super::*;

    /// A folder with the launchers, and another one, in PATH, with a `microsecrets` that must never be run.
    fn installed(environment: &TestEnvironment) {
        for folder in ["bin", "evil"] {
            fs::create_dir(environment.path(folder)).unwrap();
        }
        install(
            Path::new(program("microsecrets-with-env")),
            &environment.path("bin/microsecrets-with-env"),
        );
        environment.script("evil/microsecrets", "#!/bin/sh\ntouch run\n");
    }

    #[test]
    fn is_never_looked_for_in_path() {
        let environment = TestEnvironment::new();
        installed(&environment);
        let path = format!(
            "{}:{}",
            environment.path("evil").display(),
            environment.path("bin").display()
        );
        let run = environment
            .program("bin/microsecrets-with-env", &["--version"])
            .env("PATH", &path)
            .run();
        run.fails(
            1,
            "error: cannot run [DIR]/bin/microsecrets\n\
             \x20 caused by: No such file or directory (os error 2)\n\
             hint: install all four commands in one folder\n",
        );
        assert!(!environment.exists("run"));
    }

    #[test]
    fn is_beside_the_launcher_itself_and_not_beside_a_link_to_it() {
        let environment = TestEnvironment::new();
        installed(&environment);
        environment.script("bin/microsecrets", "#!/bin/sh\necho \"$@\"\n");
        symlink(
            "../bin/microsecrets-with-env",
            environment.path("evil/microsecrets-with-env"),
        )
        .unwrap();
        let run = environment
            .program("evil/microsecrets-with-env", &["-s", "api", "--", "x y"])
            .run();
        run.prints("launcher with-env -s api -- x y\n");
        assert!(!environment.exists("run"));
    }
}
