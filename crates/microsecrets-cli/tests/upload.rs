//! `microsecrets upload`: environments.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::File;
use std::process::Stdio;

use common::{TestEnvironment, has, skip};

const UPLOADED: &str = "\
Successfully uploaded data:
  bucket: file:[DIR]/store
  path: services/api/environment/[TIME].[CHECKSUM].json
  checksum: [CHECKSUM]
  version: 1
";

/// The environment of `api`, as JSON.
fn downloaded(environment: &TestEnvironment) -> String {
    environment.microsecrets(&["download", "-s", "api"]).run().stdout()
}

#[test]
fn pairs_are_read_from_standard_input() {
    let environment = TestEnvironment::new();
    let pairs = "# a comment\n\n  DB_URL = db://user:pass@example.com:123  \nPASSWORD=a=b=c \nEMPTY=\n\tTAB=\tx\r\n";
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "--any-name"])
        .stdin(pairs)
        .run();
    upload.prints_and_says(
        UPLOADED,
        "warning: line 3: the white space beside the `=` is kept; --dotenv removes it\n\
         warning: line 6: the white space beside the `=` is kept; --dotenv removes it\n",
    );
    assert_eq!(
        downloaded(&environment),
        "{\n  \"DB_URL \": \" db://user:pass@example.com:123\",\n  \"PASSWORD\": \"a=b=c\",\n  \"EMPTY\": \"\",\n  \
         \"TAB\": \"\\tx\"\n}\n"
    );
}

#[test]
fn pairs_are_read_from_a_file() {
    let environment = TestEnvironment::new();
    environment.write("env.txt", "DB_URL=db://example.com\nKEY=a b $c #d 'e'\n");
    environment
        .microsecrets(&["upload", "-s", "api", "env.txt"])
        .run()
        .prints(UPLOADED);
    assert_eq!(
        downloaded(&environment),
        "{\n  \"DB_URL\": \"db://example.com\",\n  \"KEY\": \"a b $c #d 'e'\"\n}\n"
    );
}

#[test]
fn json_is_a_flat_object_of_strings() {
    let environment = TestEnvironment::new();
    let json = r#"{"MULTI": "line1\nline2", "DOLLAR": "$2a$10$abc", "GREETING": "grüß dich 🔑"}"#;
    environment
        .microsecrets(&["upload", "-s", "api", "--json"])
        .stdin(json)
        .run()
        .prints(UPLOADED);
    assert_eq!(
        downloaded(&environment),
        "{\n  \"MULTI\": \"line1\\nline2\",\n  \"DOLLAR\": \"$2a$10$abc\",\n  \"GREETING\": \"grüß dich 🔑\"\n}\n"
    );
}

#[test]
fn dotenv_knows_quotes_escapes_comments_and_export() {
    let environment = TestEnvironment::new();
    let dotenv = "export A='single $A' # a comment\nB=\"two\\nlines\"\nC = bare # a comment\n";
    environment
        .microsecrets(&["upload", "-s", "api", "--dotenv"])
        .stdin(dotenv)
        .run()
        .prints(UPLOADED);
    assert_eq!(
        downloaded(&environment),
        "{\n  \"A\": \"single $A\",\n  \"B\": \"two\\nlines\",\n  \"C\": \"bare\"\n}\n"
    );
}

#[test]
fn what_may_not_be_meant_is_warned_of_with_its_line() {
    let environment = TestEnvironment::new();
    let pairs = "export A=1\nB=\"quoted\"\nC='quoted'\nD=\"no\n";
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "--any-name"])
        .stdin(pairs)
        .run();
    upload.prints_and_says(
        UPLOADED,
        "warning: line 1: `export ` is part of the name; --dotenv removes it\n\
         warning: line 2: the quotes are part of the value; --dotenv removes them\n\
         warning: line 3: the quotes are part of the value; --dotenv removes them\n",
    );
}

#[test]
fn a_value_that_no_program_can_be_started_with_is_warned_of() {
    let environment = TestEnvironment::new();
    let name_and_value = |size: usize| format!("BIG={}\n", "x".repeat(size - "BIG=\0".len()));
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin(name_and_value(131_072))
        .run();
    upload.prints(UPLOADED);
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin(name_and_value(131_073))
        .run();
    upload.prints_and_says(
        &UPLOADED.replace("version: 1", "version: 2"),
        "warning: BIG has 131073 bytes with its name: Linux starts no program with more than 131072\n",
    );
}

#[test]
fn an_empty_environment_has_to_be_said() {
    let environment = TestEnvironment::new();
    environment
        .microsecrets(&["upload", "-s", "api", "--json"])
        .stdin("{}")
        .run()
        .prints(UPLOADED);
    assert_eq!(downloaded(&environment), "{}\n");
}

#[test]
fn a_closed_standard_input_replaces_nothing() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .through(r#"exec "$@" <&-"#)
        .run();
    upload.fails(
        2,
        "error: standard input holds no variables\n\
         hint: to publish an environment without variables, say so: {} with --json\n",
    );
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"1\"\n}\n");
}

#[test]
fn an_input_that_cannot_be_read_is_named() {
    let environment = TestEnvironment::new();
    environment
        .microsecrets(&["upload", "-s", "api", "nosuch.txt"])
        .run()
        .fails(
            1,
            "error: cannot read nosuch.txt\n\
         \x20 caused by: No such file or directory (os error 2)\nhint: check its path\n",
        );
    environment.microsecrets(&["upload", "-s", "api", "."]).run().fails(
        1,
        "error: cannot read .\n\
         \x20 caused by: Is a directory (os error 21)\nhint: name a file in it\n",
    );
    let folder = File::open(environment.path("")).unwrap();
    environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin_from(folder)
        .run()
        .fails(
            1,
            "error: cannot read standard input\n\
         \x20 caused by: Is a directory (os error 21)\nhint: it is a folder: give a file\n",
        );
}

#[test]
fn equal_content_writes_nothing_and_says_so() {
    let environment = TestEnvironment::new();
    let first = environment.upload("A=1\nB=2\n");
    let before = environment.store();
    let again = environment
        .microsecrets(&["upload", "-s", "api", "-m", "why"])
        .stdin("B=2\nA=1\n")
        .run();
    again.prints(&UPLOADED.replace(
        "Successfully uploaded data",
        "Nothing uploaded, this is the current version already",
    ));
    assert!(again.raw_stdout().contains(&first));
    assert!(environment.store() == before);

    let other = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin("A=1\nB=3\n")
        .run();
    other.prints(&UPLOADED.replace("version: 1", "version: 2"));
}

#[test]
fn equal_content_is_published_again_with_force_and_has_another_checksum() {
    let environment = TestEnvironment::new();
    let first = environment.upload("A=1\n");
    let again = environment
        .microsecrets(&["upload", "-s", "api", "--force"])
        .stdin("A=1\n")
        .run();
    again.prints(&UPLOADED.replace("version: 1", "version: 2"));
    assert!(!again.raw_stdout().contains(&first), "a salt makes them differ");
}

#[test]
fn quiet_prints_the_checksum_alone() {
    let environment = TestEnvironment::new();
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "-q"])
        .stdin("A=1\n")
        .run();
    upload.prints("[CHECKSUM]\n");
    let again = environment
        .microsecrets(&["upload", "-s", "api", "-q"])
        .stdin("A=1\n")
        .run();
    assert_eq!(again.raw_stdout(), upload.raw_stdout());
}

#[test]
fn json_is_printed_for_programs() {
    let environment = TestEnvironment::new();
    let upload = || {
        environment
            .microsecrets(&["upload", "-s", "api", "--format", "json"])
            .stdin("A=1\n")
            .run()
    };
    let expected = "{\"bucket\":\"file:[DIR]/store\",\"checksum\":\"[CHECKSUM]\",\
                    \"path\":\"services/api/environment/[TIME].[CHECKSUM].json\",\"unchanged\":false,\"version\":1}\n";
    upload().prints(expected);
    upload().prints(&expected.replace("\"unchanged\":false", "\"unchanged\":true"));
}

#[test]
fn a_message_is_kept_in_any_language() {
    let environment = TestEnvironment::new();
    for message in [
        "renewed",
        "Schlüssel erneuert – grüß 🔑",
        "更新されたキー",
        "\u{1b}]8;;x\u{7}\nerror: no",
        "",
    ] {
        let upload = environment
            .microsecrets(&["upload", "-s", "api", "--force", "-m", message])
            .stdin("A=1\n")
            .run();
        upload.ends(0);
    }
}

#[test]
fn a_message_has_to_fit_into_the_record() {
    let environment = TestEnvironment::new();
    let long = "ü".repeat(2000);
    let upload = environment
        .microsecrets(&["upload", "-s", "api", "-m", &long])
        .stdin("A=1\n")
        .run();
    let said = upload.stderr();
    // How long the record is depends on this machine's name.
    let without_digits: String = said.chars().filter(|c| !c.is_ascii_digit()).collect();
    assert_eq!(
        without_digits,
        "error: the new version cannot be written\n  caused by: its record has  bytes, and , are the most\n\
         hint: shorten the message\n"
    );
    upload.ends(2);
}

#[test]
fn bucket_and_service_are_asked_for_before_anything_is_read() {
    let environment = TestEnvironment::new();
    // Nobody ever writes into this pipe.
    let upload = environment.microsecrets(&["upload"]).stdin_from(Stdio::inherit());
    upload.run().fails(
        2,
        "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
    );
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .without_env("MICROSECRETS_BUCKET");
    upload.stdin_from(Stdio::inherit()).run().fails(
        2,
        "error: no bucket is named\n\
         hint: say -b BUCKET or set MICROSECRETS_BUCKET; without AWS, -b file:DIR keeps secrets in a folder\n",
    );
}

#[test]
fn the_service_can_come_from_the_environment() {
    let environment = TestEnvironment::new();
    let upload = environment
        .microsecrets(&["upload"])
        .env("MICROSECRETS_SERVICE", "api")
        .stdin("A=1\n")
        .run();
    upload.prints(UPLOADED);
}

#[test]
fn a_result_that_cannot_be_printed_is_published_nevertheless() {
    let environment = TestEnvironment::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin("A=1\n")
        .run_into(full);
    upload.fails(
        1,
        "error: cannot write to standard output\n\
         \x20 caused by: No space left on device (os error 28)\n\
         hint: it is published nevertheless, as version 1\n",
    );
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"1\"\n}\n");
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let environment = TestEnvironment::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let run = environment.microsecrets(&["upload", "-s", "api"]).stdin("A=1\n");
    let mut command = run.command;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"A=1\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap()),
        (Some(0), String::new())
    );
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"1\"\n}\n");
}

#[test]
fn at_a_terminal_it_says_what_it_waits_for_and_how_to_end_it() {
    if !has("script") {
        return skip("there is no script(1)");
    }
    let environment = TestEnvironment::new();
    for (options, what, typed) in [
        (&[][..], "NAME=value pairs", "A=1\n\u{4}"),
        (&["--dotenv"], "NAME=value pairs", "A=1\n\u{4}"),
        (&["--json"], "a JSON object of strings", "{\"A\": \"1\"}\n\u{4}"),
        (&["-f", "label"], "data", "typed\n\u{4}"),
    ] {
        let arguments = [&["upload", "-s", "api", "-q"], options].concat();
        let run = environment.microsecrets(&arguments).at_a_terminal().stdin(typed).run();
        let said = run.raw_stdout();
        assert!(
            said.contains(&format!("note: reading {what} from the terminal, end with Ctrl-D\r\n")),
            "{said}"
        );
        run.ends(0);
    }
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"1\"\n}\n");
}

#[test]
fn what_is_asked_of_the_store_is_told_when_it_is_wanted() {
    let environment = TestEnvironment::new();
    for option in ["-v", "-d", "--verbose", "--debug", "-vd"] {
        let upload = environment
            .microsecrets(&["upload", "-s", "api", "-q", "--force", option])
            .stdin("A=1\n")
            .run();
        let said = upload.stderr();
        let first = said.lines().next().unwrap();
        assert!(
            first.starts_with("get services/api/head/environment in file:[DIR]/store: "),
            "{said}"
        );
        assert!(first.ends_with(" ms)"), "{said}");
        upload.ends(0);
    }
}
