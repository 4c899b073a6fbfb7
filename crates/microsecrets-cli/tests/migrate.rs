//! `microsecrets migrate`: heads for what 0.3.4 wrote, and the end of that time.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{TestEnvironment, has, skip};

/// A store in which 0.3.4 wrote an environment twice and a file.
fn written_by_0_3_4() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "first"));
    environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "second"));
    let file = b"-----BEGIN X-----\n".repeat(10);
    let checksum = microsecrets::checksum::Checksum::of(&file);
    environment.put(
        &format!("services/api/files/tls.pem/2016-06-05.04-03-02.{checksum}"),
        file,
    );
    environment
}

fn downloaded(environment: &TestEnvironment) -> String {
    environment.microsecrets(&["download", "-s", "api"]).run().stdout()
}

#[test]
fn what_0_3_4_wrote_is_read_without_a_migration() {
    let environment = written_by_0_3_4();
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"second\"\n}\n");
    environment
        .microsecrets(&["download", "-s", "api", "-f", "tls.pem"])
        .run()
        .prints(&"-----BEGIN X-----\n".repeat(10));
    let arguments = [
        "with-env",
        "-s",
        "api",
        "-w",
        "A",
        "--",
        "printenv",
        "A",
        "MICROSECRETS_METADATA",
    ];
    environment
        .microsecrets(&arguments)
        .run()
        .prints("second\n{\"timestamp\": [NUMBER], \"user\": \"bob@old\"}\n");
    let list = environment.microsecrets(&["list", "api"]).run();
    assert!(
        list.raw_stdout()
            .contains("environment   -        2017-05-04T03:02:01Z  "),
        "{}",
        list.raw_stdout()
    );
}

#[test]
fn without_a_word_nothing_is_changed() {
    let environment = written_by_0_3_4();
    let before = environment.store();
    let run = environment.microsecrets(&["migrate", "-s", "api"]).run();
    assert_eq!(
        run.raw_stdout(),
        "ITEM          HEAD  LAST WRITE BY 0.3.4\n\
         environment   none  2017-05-04T03:02:01Z\n\
         file/tls.pem  none  2016-06-05T04:03:02Z\n"
    );
    assert_eq!(
        run.stderr,
        "note: nothing was changed; --apply takes over what 0.3.4 wrote, --finish ends the migration\n"
    );
    run.ends(0);
    assert!(environment.store() == before);
}

#[test]
fn it_is_taken_over_and_newer_uploads_of_0_3_4_are_still_seen() {
    let environment = written_by_0_3_4();
    let apply = environment.microsecrets(&["migrate", "-s", "api", "--apply"]).run();
    assert_eq!(
        apply.stderr,
        "note: environment: version 1 is its head\nnote: file/tls.pem: version 1 is its head\n"
    );
    apply.ends(0);
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"second\"\n}\n");
    let migrate = environment.microsecrets(&["migrate", "-s", "api"]).run();
    assert_eq!(
        migrate.raw_stdout(),
        "ITEM          HEAD                     LAST WRITE BY 0.3.4\n\
         environment   version 1, in migration  2017-05-04T03:02:01Z\n\
         file/tls.pem  version 1, in migration  2016-06-05T04:03:02Z\n"
    );

    environment.put_by_0_3_4("api", "2018-05-04.03-02-01", ("A", "third"));
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"third\"\n}\n");
}

#[test]
fn an_upload_takes_it_over_by_itself() {
    let environment = written_by_0_3_4();
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin("A=fourth\n")
        .run();
    assert!(upload.stdout().ends_with("  version: 2\n"), "{}", upload.stdout());
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"fourth\"\n}\n");
    environment
        .microsecrets(&["download", "-s", "api", "--at", "1"])
        .run()
        .prints("{\n  \"A\": \"second\"\n}\n");
}

#[test]
fn an_upload_of_what_0_3_4_wrote_last_is_that_version() {
    let environment = written_by_0_3_4();
    let upload = environment
        .microsecrets(&["upload", "-s", "api"])
        .stdin("A=second\n")
        .run();
    assert!(
        upload
            .raw_stdout()
            .starts_with("Nothing uploaded, this is the current version already:\n")
    );
    assert!(
        upload.raw_stdout().contains("/2017-05-04.03-02-01."),
        "{}",
        upload.raw_stdout()
    );
    assert!(upload.stdout().ends_with("  version: 1\n"), "{}", upload.stdout());
}

#[test]
fn its_end_is_asked_for() {
    let environment = written_by_0_3_4();
    environment
        .microsecrets(&["migrate", "-s", "api", "--apply"])
        .run()
        .ends(0);
    let finish = environment.microsecrets(&["migrate", "-s", "api", "--finish"]).run();
    assert_eq!(
        finish.stderr,
        "error: the migration was not ended\nhint: say --yes to end it without being asked\n"
    );
    finish.ends(1);

    let finish = environment
        .microsecrets(&["migrate", "-s", "api", "--finish", "--yes"])
        .run();
    assert_eq!(
        finish.stderr,
        "note: environment: its migration has ended\nnote: file/tls.pem: its migration has ended\n"
    );
    finish.ends(0);
    environment.put_by_0_3_4("api", "2018-05-04.03-02-01", ("A", "too late"));
    assert_eq!(downloaded(&environment), "{\n  \"A\": \"second\"\n}\n");
    // Unless somebody looks for it.
    let scan = environment.microsecrets(&["download", "-s", "api", "--scan"]).run();
    scan.prints("{\n  \"A\": \"too late\"\n}\n");
}

#[test]
fn its_end_is_asked_for_at_a_terminal() {
    if !has("script") {
        return skip("there is no script(1)");
    }
    let environment = written_by_0_3_4();
    environment
        .microsecrets(&["migrate", "-s", "api", "--apply"])
        .run()
        .ends(0);
    let answered = |answer: &str| {
        let run = environment
            .microsecrets(&["migrate", "-s", "api", "--finish"])
            .at_a_terminal();
        run.stdin(answer).run().raw_stdout().replace('\r', "")
    };
    let question = "End the migration of api? Later uploads of 0.3.4 will not be seen. [y/N] ";
    for no in ["n\n", "\n", "\u{4}"] {
        let said = answered(no);
        assert!(
            said.contains(question) && said.contains("error: the migration was not ended\n"),
            "{said}"
        );
    }
    let said = answered("y\n");
    assert!(
        said.contains(question) && said.ends_with("note: file/tls.pem: its migration has ended\n"),
        "{said}"
    );
}

#[test]
fn of_a_service_that_0_3_4_never_wrote_there_is_nothing_to_do() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    let run = environment.microsecrets(&["migrate", "-s", "api"]).run();
    assert_eq!(
        run.stdout(),
        "ITEM         HEAD       LAST WRITE BY 0.3.4\nenvironment  version 1  -\n"
    );
    let finish = environment
        .microsecrets(&["migrate", "-s", "api", "--finish", "--yes"])
        .run();
    assert_eq!(finish.stderr, "note: environment: it was not in migration\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let environment = written_by_0_3_4();
    environment.microsecrets(&["migrate", "-s", "nosuch"]).run().fails(
        3,
        "error: there is no service nosuch in file:[DIR]/store\n\
         hint: `microsecrets list` shows the services there are\n",
    );
    environment
        .microsecrets(&["migrate", "-s", "api", "--apply", "--finish"])
        .run()
        .fails(
            2,
            "error: --apply and --finish exclude each other\nhint: leave one of them out\n",
        );
    environment
        .microsecrets(&["migrate", "-s", "api", "--yes"])
        .run()
        .fails(
            2,
            "error: this also needs --finish\nhint: `microsecrets migrate --help` shows what can be said\n",
        );
    environment.microsecrets(&["migrate"]).run().fails(
        2,
        "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n",
    );
}

#[test]
fn a_version_of_the_future_is_refused_and_named() {
    let environment = written_by_0_3_4();
    environment.put_by_0_3_4("api", "2999-01-01.00-00-00", ("A", "for ever"));
    for arguments in [&["download", "-s", "api"][..], &["upload", "-s", "api"]] {
        let run = environment.microsecrets(arguments).stdin("A=1\n").run();
        let said = run.stderr();
        assert!(
            said.starts_with("error: services/api/environment/[TIME].[CHECKSUM].json is dated ")
                && said.ends_with(
                    " s ahead of the store's clock\n\
                     hint: it was written by a machine with a wrong clock, or to outlast all others; \
                     `microsecrets doctor` says what mends it\n"
                ),
            "{said}"
        );
        run.is_well_formed();
        run.ends(6);
    }
}

#[test]
fn a_greatest_key_that_is_no_versions_is_refused() {
    let environment = written_by_0_3_4();
    environment.put("services/api/environment/zzz.json", b"{}".to_vec());
    environment.microsecrets(&["download", "-s", "api"]).run().fails(
        6,
        "error: services/api/environment/zzz.json is no version's key, but the greatest\n\
         hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n",
    );
}

#[test]
fn documents_that_are_not_valid_are_refused_and_start_nothing() {
    for (document, why) in [
        ("", "it ends too early"),
        ("{}", "environment is missing"),
        (r#"{"environment": {}}"#, "metadata is missing"),
        (r#"{"metadata": {}}"#, "environment is missing"),
        (r#"[]"#, "an object is needed at line 1, column 0"),
        (
            r#"{"environment": [], "metadata": {}}"#,
            "an object is needed at line 1, column 16",
        ),
        (
            r#"{"environment": {"A": 48151623}, "metadata": {}}"#,
            "a value is not a string, at line 1, column 30",
        ),
        (
            r#"{"environment": {"A": null}, "metadata": {}}"#,
            "a value is not a string, at line 1, column 26",
        ),
        (
            r#"{"environment": {"A": {"B": "1"}}, "metadata": {}}"#,
            "a value is not a string, at line 1, column 22",
        ),
        (
            r#"{"environment": {"A": "1", "A": "2"}, "metadata": {}}"#,
            "a key is there twice, at line 1, column 36",
        ),
        (
            r#"{"environment": {}, "environment": {}, "metadata": {}}"#,
            "a key is there twice, at line 1, column 33",
        ),
        (
            r#"{"environment": {"": "1"}, "metadata": {}}"#,
            "variable 1 has an empty name",
        ),
        (
            r#"{"environment": {"A=B": "1"}, "metadata": {}}"#,
            "variable 1 has a name with = in it",
        ),
        (
            r#"{"environment": {"A\u0000": "1"}, "metadata": {}}"#,
            "variable 1 has a name with NUL in it",
        ),
        (
            r#"{"environment": {"A": "\u0000"}, "metadata": {}}"#,
            "variable 1 has a value with NUL in it",
        ),
        (
            r#"{"environment": {}, "metadata": {"a": null}}"#,
            "a metadata value is neither a string nor a number, at column 42",
        ),
        (
            r#"{"environment": {}, "metadata": {}} {}"#,
            "not JSON at line 1, column 37",
        ),
        (
            r#"{"environment": {}, "metadata": {}, "x": {}}"#,
            "a part that is neither environment nor metadata, at column 39",
        ),
        (r#"{"environment": {"A": "hunter2}"#, "it ends too early"),
        (
            r#"{"environment": {}, "metadata": {"service": "web"}}"#,
            "the document says another service",
        ),
    ] {
        let environment = TestEnvironment::new();
        let checksum = microsecrets::checksum::Checksum::of(document.as_bytes());
        environment.put(
            &format!("services/api/environment/2016-05-04.03-02-01.{checksum}.json"),
            document.into(),
        );
        let run = environment
            .microsecrets(&["with-env", "-s", "api", "-a", "--", "touch", "started"])
            .run();
        run.fails(
            122,
            &format!(
                "error: services/api/environment/[TIME].[CHECKSUM].json is not a valid environment\n\
                 \x20 caused by: {why}\n\
                 hint: whoever wrote it did not use microsecrets; upload it again\n"
            ),
        );
        assert!(!environment.exists("started"));
    }
}

#[test]
fn bytes_that_do_not_match_their_key_are_refused() {
    let environment = TestEnvironment::new();
    let key = format!("services/api/environment/2016-05-04.03-02-01.{}.json", "0".repeat(64));
    environment.put(&key, br#"{"environment": {}, "metadata": {}}"#.to_vec());
    let run = environment
        .microsecrets(&["with-env", "-s", "api", "-a", "--", "touch", "started"])
        .run();
    run.fails(
        122,
        "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n\
         \x20 caused by: its bytes do not match their checksum [CHECKSUM]\n\
         hint: it was changed or copied by other means; look who may write there, and upload it again\n",
    );
    assert!(!environment.exists("started"));
}
