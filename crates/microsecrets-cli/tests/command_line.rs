//! Mistakes in the command line, told in one line with what to do, and without the values that may be secrets.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::TestEnvironment;

#[test]
fn mistakes_are_told_in_one_line_with_what_to_do() {
    let environment = TestEnvironment::new();
    let help = |command: &str| format!("hint: `microsecrets {command}--help` shows what can be said\n");
    let leave_out = "hint: leave one of them out\n".to_owned();
    for (arguments, said, hint) in [
        (&[][..], "no command is given", help("")),
        (
            &["uplod"],
            "there is no command 'uplod'",
            "hint: did you mean upload?\n".to_owned(),
        ),
        (&["xyz"], "there is no command 'xyz'", help("")),
        (
            &["-b", "x", "download"],
            "there is no option -b",
            "hint: options come after the command: microsecrets COMMAND [OPTIONS]\n".to_owned(),
        ),
        (
            &["upload", "--sevrice", "api"],
            "there is no option --sevrice",
            "hint: did you mean --service?\n".to_owned(),
        ),
        (&["upload", "--xyz"], "there is no option --xyz", help("upload ")),
        (&["upload", "-x"], "there is no option -x", help("upload ")),
        (&["upload", "-s"], "--service needs a value", help("upload ")),
        (
            &["upload", "--format"],
            "--format needs a value",
            "hint: it can be text or json\n".to_owned(),
        ),
        (
            &["upload", "--format="],
            "--format needs a value",
            "hint: it can be text or json\n".to_owned(),
        ),
        (
            &["upload", "--format", "xml"],
            "--format cannot be 'xml'",
            "hint: it can be text or json\n".to_owned(),
        ),
        (
            &["upload", "--sse", "x"],
            "--sse cannot be 'x'",
            "hint: it can be aws:kms or AES256\n".to_owned(),
        ),
        (&["upload", "--json=1"], "--json takes no value", help("upload ")),
        (
            &["upload", "-j", "--dotenv"],
            "--json and --dotenv exclude each other",
            leave_out.clone(),
        ),
        (
            &["upload", "-s", "a", "-s", "b"],
            "--service is given twice",
            leave_out.clone(),
        ),
        (
            &["upload", "-q", "--format", "json"],
            "--quiet and --format exclude each other",
            leave_out,
        ),
        (&["upload", "a", "b"], "unexpected argument 'b'", help("upload ")),
        (
            &["upload", "--timeout", "0"],
            "--timeout cannot be '0': 1 to 86400 seconds can be waited for",
            help("upload "),
        ),
        (
            &["upload", "--bucket-owner", "1234"],
            "--bucket-owner cannot be '1234': an AWS account is 12 digits",
            help("upload "),
        ),
        (
            &["upload", "-b", "a"],
            "--bucket cannot be 'a': a bucket's name has 3 to 255 letters, digits, dots and hyphens; a folder is file:DIR",
            help("upload "),
        ),
        (
            &["upload", "-b", "file:"],
            "--bucket cannot be 'file:': file: needs a folder",
            help("upload "),
        ),
        (
            &["list", "a/b"],
            "SERVICE cannot be 'a/b': a service's name begins with a letter or digit and may hold A-Z, a-z, 0-9 and . _ -",
            help("list "),
        ),
        (
            &["upload", "-s", ""],
            "--service: a service's name must not be empty",
            help("upload "),
        ),
        (
            &["upload", "-s", ".."],
            "--service cannot be '..': a service's name begins with a letter or digit and may hold A-Z, a-z, 0-9 and . _ -",
            help("upload "),
        ),
    ] {
        let run = environment.microsecrets(arguments).run();
        run.fails(2, &format!("error: {said}\n{hint}"));
    }
}

#[test]
fn values_are_not_echoed() {
    let environment = TestEnvironment::new();
    for arguments in [
        &["upload", "-s", "api", "NAME=canary", "extra"][..],
        &["upload", "-s", "api", "file", "NAME=canary"],
        &["upload", "-s", "api", "NAME=canary"],
        &["upload", "-s", "api", "--NAME=canary"],
        &["upload", "-s", "NAME=canary"],
        &["upload", "-s", "api", "--json=canary"],
        &["upload", "-s", "api", "-f", "NAME=canary"],
        &["NAME=canary"],
        &["NAME=canary", "upload"],
        &["download", "-s", "api", "NAME=canary"],
        &["list", "NAME=canary"],
        &["with-env", "-s", "api", "-a", "NAME=canary", "true"],
        &["with-env", "-s", "api", "-a", "--", "NAME=canary", "true"],
        &["with-env", "-s", "api", "-w", "NAME=canary", "NAME=canary"],
    ] {
        let run = environment.microsecrets(arguments).run();
        assert!(
            !run.status.success() && !run.stderr.contains("canary"),
            "{arguments:?} {}",
            run.stderr
        );
        run.is_well_formed();
    }
    environment
        .microsecrets(&["upload", "-s", "api", "NAME=canary"])
        .run()
        .fails(
            2,
            "error: the FILE to read from is not there, and looks like a variable\n\
         hint: variables are read from standard input or from a file, never from the command line, which others can \
         see\n",
        );
    environment
        .microsecrets(&["upload", "-s", "api", "file", "NAME=canary"])
        .run()
        .fails(
            2,
            "error: unexpected argument\n\
         hint: variables are read from standard input or from a file, never from the command line, which others can \
         see\n",
        );
}

#[test]
fn the_version_is_told() {
    let environment = TestEnvironment::new();
    let version = format!("microsecrets {}\n", env!("CARGO_PKG_VERSION"));
    environment.microsecrets(&["-V"]).run().prints(&version);
    environment.microsecrets(&["--version"]).run().prints(&version);
}
