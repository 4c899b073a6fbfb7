//! `docs/COMMANDS.md` is what `--help` says. `UPDATE=1 cargo test -p microsecrets-cli --test reference` writes it anew.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use common::TestEnvironment;

const INTRODUCTION: &str = "\
# Commands

What `--help` says, command by command. This page is written by a test (`UPDATE=1 cargo test -p microsecrets-cli --test
reference`) and kept true by it.

Results go to standard output, everything for people to standard error. The exit status says how it ended:

| status | of `with-env` | |
|---|---|---|
| 0 | the command's own | success |
| 1 | 125 | failure |
| 2 | 125 | the command line or the input cannot be understood |
| 3 | 123 | not found |
| 4 | 125 | somebody else committed first |
| 5 | 123 | denied |
| 6 | 122 | not trusted |
| 7 | 124 | store unavailable |
| | 126 | the command cannot be run |
| | 127 | there is no such command |

`microsecrets-upload`, `microsecrets-download` and `microsecrets-with-env` have the statuses of 0.3.4: 2 for options that
they do not know, 1 for every other failure.
";

fn help(environment: &TestEnvironment, arguments: &[&str]) -> String {
    let run = environment.microsecrets(&[arguments, &["--help"]].concat()).run();
    run.ends(0);
    assert_eq!(run.stderr, "");
    run.raw_stdout()
}

/// The commands that the program's own help lists, each with its help.
fn commands(environment: &TestEnvironment) -> Vec<(String, String)> {
    let all = help(environment, &[]);
    let listed = all
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty());
    // A description that is wrapped goes on further to the right.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .map(|name| (name.clone(), help(environment, &[&name])))
        .collect()
}

#[test]
fn the_reference_is_what_help_says() {
    let environment = TestEnvironment::new();
    let mut reference = INTRODUCTION.to_owned();
    write!(
        reference,
        "\n## `microsecrets`\n\n```text\n{}```\n",
        help(&environment, &[])
    )
    .unwrap();
    for (name, help) in commands(&environment) {
        write!(reference, "\n## `microsecrets {name}`\n\n```text\n{help}```\n").unwrap();
    }
    for name in ["upload", "download", "with-env"] {
        let launcher = environment
            .launcher(&format!("microsecrets-{name}"), &["--help"])
            .run()
            .raw_stdout();
        write!(reference, "\n## `microsecrets-{name}`\n\n```text\n{launcher}```\n").unwrap();
    }

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMMANDS.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &reference).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "docs/COMMANDS.md is out of date: UPDATE=1 cargo test -p microsecrets-cli --test reference"
    );
}

#[test]
fn help_reads_well() {
    let environment = TestEnvironment::new();
    let commands = commands(&environment);
    assert!(commands.len() >= 5);
    for (name, help) in commands {
        let usage = help.lines().find(|line| line.starts_with("Usage: ")).unwrap();
        assert!(usage.starts_with(&format!("Usage: microsecrets {name}")), "{usage}");
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{name}: {line}");
            assert_eq!(line, line.trim_end(), "{name}");
        }
        assert_eq!(help, self::help(&environment, &[&name]), "the same on every machine");
        let short = environment.microsecrets(&[name.as_str(), "-h"]).run().raw_stdout();
        assert_eq!(short, help, "-h and --help say the same");
    }
}

#[test]
fn help_does_not_show_what_is_set() {
    let environment = TestEnvironment::new();
    let plain = help(&environment, &["upload"]);
    let run = environment
        .microsecrets(&["upload", "--help"])
        .env("MICROSECRETS_SERVICE", "canary");
    let run = run
        .env("MICROSECRETS_KMS_KEY", "canary")
        .env("MICROSECRETS_BUCKET", "file:canary")
        .run();
    run.prints(&plain);
}

#[test]
fn help_for_a_reader_that_has_gone_is_no_failure() {
    let environment = TestEnvironment::new();
    let run = environment
        .microsecrets(&["--help"])
        .through("exec \"$@\" | true")
        .run();
    assert_eq!(run.stderr, "");
}

/// What a page says that a test shows, a test shows.
#[test]
fn every_test_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut sources = String::new();
    for folder in [
        "crates/microsecrets/tests",
        "crates/microsecrets/src",
        "crates/microsecrets-cli/tests",
    ] {
        collect(&root.join(folder), &mut sources);
    }
    let is_test = |word: &&str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        word.matches('_').count() > 2 && word.bytes().all(plain)
    };
    let page = fs::read_to_string(root.join("docs/THREAT-MODEL.md")).unwrap();
    let named: Vec<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 30, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
