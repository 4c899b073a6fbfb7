//! `microsecrets rollback`, `promote` and `delete`: what a version held, again or elsewhere, and nothing at all.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::fs;

use common::{Outcome, TestEnvironment, mode_of, set_mode, terminal};

fn grown() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload("A=1\nB=1\n");
    environment.upload("A=2\nC=2\n");
    environment
}

/// What is printed when a version was made: the first line, and its number.
fn printed(first: &str, number: u32) -> String {
    format!(
        "{first}\n\
         \x20 bucket: file:[DIR]/store\n\
         \x20 path: services/api/environment/[TIME].[CHECKSUM].json\n\
         \x20 checksum: [CHECKSUM]\n\
         \x20 version: {number}\n"
    )
}

const NOT_CONFIRMED: &str =
    "error: nothing was done: it was not confirmed\nhint: say --yes to do it without being asked\n";

/// What was said, its lines sorted: those of a difference have no order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

mod rollback {
    use super::*;

    #[test]
    fn is_a_new_version_with_the_old_content() {
        let environment = grown();
        let run = environment.api(&["rollback", "1", "--yes", "-m", "it broke"]).run();
        assert_eq!(run.stdout(), printed("Successfully rolled back to 1:", 3));
        assert_eq!(sorted(&run.stderr), ["+ B", "- C", "~ A"]);
        run.ends(0);
        assert_eq!(environment.variables(), "A=1\nB=1\n");
        let rows = environment.history(&[]);
        assert_eq!((rows.len(), &rows[0]["message"]), (3, &"it broke".into()));
        assert_eq!(rows[0]["kind"], "rollback to 1");
    }

    #[test]
    fn can_be_rolled_back() {
        let environment = grown();
        environment.did(&["rollback", "previous", "--yes"]);
        environment.did(&["rollback", "previous", "--yes"]);
        assert_eq!(environment.variables(), "A=2\nC=2\n");
        let kinds: Vec<_> = environment.history(&[]).iter().map(|row| row["kind"].clone()).collect();
        assert_eq!(kinds, ["rollback to 2", "rollback to 1", "upload", "upload"]);
    }

    #[test]
    fn without_a_terminal_and_without_a_word_does_nothing() {
        let environment = grown();
        let before = environment.store();
        // Neither does a yes that is piped in.
        let run = environment.api(&["rollback", "1"]).stdin("y\n").run();
        assert_eq!(run.raw_stdout(), "");
        assert!(run.stderr.ends_with(NOT_CONFIRMED), "{}", run.stderr);
        assert_eq!(
            sorted(&run.stderr)[..3],
            ["+ B", "- C", NOT_CONFIRMED.lines().next().unwrap()]
        );
        run.ends(1);
        assert!(environment.store() == before);
    }

    #[test]
    fn shows_what_changes_and_asks_at_a_terminal() {
        if !terminal::is_there() {
            return;
        }
        let environment = grown();
        let question = "Roll the environment of api back to 1? [y/N] ";
        for no in ["n\n", "\n", "\u{4}"] {
            let before = environment.store();
            let run = environment.api(&["rollback", "1"]).typed(&[(question, no)]);
            let shown = run.shown();
            let (changes, answer) = shown.split_once(question).unwrap();
            assert_eq!(sorted(changes), ["+ B", "- C", "~ A"]);
            assert!(answer.ends_with(NOT_CONFIRMED), "{shown}");
            run.ends(1);
            assert!(environment.store() == before);
        }
        let run = environment.api(&["rollback", "1"]).typed(&[(question, "y\n")]);
        assert!(
            run.shown().ends_with(&printed("Successfully rolled back to 1:", 3)),
            "{}",
            run.shown()
        );
        run.ends(0);
        assert_eq!(environment.variables(), "A=1\nB=1\n");
    }

    #[test]
    fn to_the_same_content_says_so() {
        let environment = grown();
        let run = environment.api(&["rollback", "2"]).run();
        assert_eq!(
            run.stderr(),
            format!("note: the current version has the same variables\n{NOT_CONFIRMED}")
        );
    }

    #[test]
    fn of_a_file_shows_sizes_and_keeps_bytes_and_mode() {
        let environment = TestEnvironment::new();
        let old = environment.write("old", [b'x'; 100]);
        set_mode(&old, 0o640);
        environment.did(&["upload", "-q", "-f", "f", "old"]);
        environment.upload_file("f", vec![b'y'; 1_500_000]);
        environment
            .api(&["rollback", "1", "-f", "f", "--yes", "-q"])
            .run()
            .prints_and_says(
                "[CHECKSUM]\n",
                "- 1500000 bytes, sha256 [CHECKSUM]\n+ 100 bytes, sha256 [CHECKSUM]\n",
            );
        assert_eq!(environment.did(&["download", "-f", "f"]), "x".repeat(100));
        assert!(environment.did(&["show", "-f", "f"]).ends_with("mode:        0640\n"));
        // And the large one again.
        environment.did(&["rollback", "2", "-f", "f", "--yes"]);
        assert_eq!(environment.did(&["download", "-f", "f"]), "y".repeat(1_500_000));
    }

    #[test]
    fn to_what_0_3_4_wrote_names_it() {
        let environment = TestEnvironment::new();
        environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "first"));
        environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "second"));
        environment.upload("A=third\n");
        let run = environment.api(&["rollback", "@2016-12-31", "--yes", "-q"]).run();
        run.prints_and_says("[CHECKSUM]\n", "~ A\n");
        assert_eq!(environment.value("A"), "first");
        let kind = environment.history(&[])[0]["kind"].as_str().unwrap().to_owned();
        assert!(kind.starts_with("rollback to 2016-05-04.03-02-01."), "{kind}");
    }

    #[test]
    fn of_what_is_not_there_is_not_found() {
        let environment = grown();
        let run = environment.api(&["rollback", "9", "--yes"]).run();
        assert!(
            run.ends(3)
                .stderr
                .starts_with("error: the environment of api has no version 9\n")
        );
        environment
            .api(&["rollback", "1", "--yes", "-f", "nosuch"])
            .run()
            .ends(3);
        environment
            .microsecrets(&["rollback", "1", "--yes", "-s", "nosuch"])
            .run()
            .ends(3);
        let run = environment.api(&["rollback"]).run();
        assert!(
            run.ends(2).stderr.starts_with("error: this also needs VERSION\n"),
            "{}",
            run.stderr
        );
    }
}

mod promote {
    use super::*;

    fn of(environment: &TestEnvironment, service: &str) -> String {
        environment.did(&["download", "-s", service])
    }

    #[test]
    fn publishes_the_current_version_for_another_service() {
        let environment = grown();
        environment
            .api(&["promote", "--to", "web", "-m", "tested"])
            .run()
            .prints(
                "Successfully promoted to web:\n\
             \x20 bucket: file:[DIR]/store\n\
             \x20 path: services/web/environment/[TIME].[CHECKSUM].json\n\
             \x20 checksum: [CHECKSUM]\n\
             \x20 version: 1\n",
            );
        assert_eq!(of(&environment, "web"), of(&environment, "api"));
        let row = &environment.history(&["-s", "web"])[0];
        assert_eq!(
            (&row["kind"], &row["message"]),
            (&"promote from api#2".into(), &"tested".into())
        );
        assert_eq!(environment.number(), 2, "the source stays as it is");
    }

    #[test]
    fn publishes_a_new_version_over_what_is_there() {
        let environment = grown();
        environment.upload_with(&["-s", "web"], "OLD=1\n");
        environment.did(&["promote", "--to", "web", "--at", "1", "--if-version", "1"]);
        assert_eq!(of(&environment, "web"), "{\n  \"A\": \"1\",\n  \"B\": \"1\"\n}\n");
        let row = &environment.history(&["-s", "web"])[0];
        assert_eq!(
            (&row["version"], &row["kind"]),
            (&2.into(), &"promote from api#1".into())
        );
        environment
            .api(&["promote", "--to", "web", "--if-version", "1"])
            .run()
            .ends(4);
    }

    #[test]
    fn into_another_folder_seals_it_for_the_keys_there() {
        let environment = grown();
        let other = format!("file:{}", environment.path("other").display());
        let run = environment.api(&["promote", "--to", &format!("web@{other}")]).run();
        assert!(
            run.stdout().contains("\n  bucket: file:[DIR]/other\n"),
            "{}",
            run.stdout()
        );
        let run = environment.api(&["download", "-s", "web", "-b", &other]).run();
        run.prints("{\n  \"A\": \"2\",\n  \"C\": \"2\"\n}\n");
        environment.api(&["download", "-s", "web"]).run().ends(3);
        // The same service in another folder is another place, too.
        environment.did(&["promote", "--to", &format!("api@{other}")]);
        assert_eq!(environment.did(&["get", "A", "-b", &other]), "2");
        // It can be read without the first store.
        fs::remove_dir_all(environment.path("store")).unwrap();
        environment.api(&["get", "A", "-b", &other]).run().prints("2");
    }

    #[test]
    fn of_files_keeps_bytes_and_mode_whatever_their_size() {
        let environment = TestEnvironment::new();
        for (label, size, mode) in [
            ("small", 100, 0o640),
            ("large", (1 << 20) + 1, 0o755),
            ("parts", 9 << 20, 0o600),
        ] {
            let bytes: Vec<u8> = (0..size).map(|at: usize| (at * at / 7) as u8).collect();
            set_mode(&environment.write(label, &bytes), mode);
            environment.did(&["upload", "-q", "-f", label, label]);
            environment.did(&["promote", "-f", label, "--to", "web"]);
            let copy = format!("{label}:{label}.copy");
            environment.did(&["download", "-s", "web", "-f", &copy]);
            assert!(environment.read(&format!("{label}.copy")) == bytes, "{label}");
            // What is placed is private; the record says what it was.
            assert_eq!(mode_of(&environment.path(&format!("{label}.copy"))), 0o600);
            let shown = environment.did(&["show", "-s", "web", "-f", label]);
            assert!(shown.ends_with(&format!("mode:        {mode:04o}\n")), "{shown}");
        }
    }

    #[test]
    fn in_a_bucket_is_encrypted_under_the_other_services_key() {
        let place = fake::Place::new();
        let key = place.fake.kms().create_key("microsecrets-web");
        place.upload("A=1\n");
        place
            .microsecrets(&["upload", "-q", "-f", "f"])
            .stdin([b'x'; 1_200_000].as_slice())
            .run()
            .ends(0);
        place.microsecrets(&["promote", "--to", "web"]).run().ends(0);
        place.microsecrets(&["promote", "--to", "web", "-f", "f"]).run().ends(0);
        let keys = place.fake.keys(fake::BUCKET);
        let of_web: Vec<_> = keys.iter().filter(|key| key.starts_with("services/web/")).collect();
        assert_eq!(of_web.len(), 6, "{of_web:?}");
        for name in keys {
            let object = place.fake.object(fake::BUCKET, &name).unwrap();
            let expected = if name.starts_with("services/web/") {
                &key
            } else {
                &place.key
            };
            let strict_fake::Sse::Kms { key, .. } = object.attributes.sse else {
                panic!("{name} is not under a key")
            };
            assert_eq!(key, *expected, "{name}");
        }
        place.microsecrets(&["get", "A", "-s", "web"]).run().prints("1");
    }

    #[test]
    fn to_itself_or_nowhere_makes_no_sense() {
        let environment = grown();
        environment.api(&["promote", "--to", "api"]).run().fails(
            2,
            "error: a version is promoted to another service or bucket\n\
             hint: `microsecrets rollback VERSION` makes an old version of the same item current again\n",
        );
        environment.api(&["promote"]).run().fails(
            2,
            "error: this also needs --to\nhint: `microsecrets promote --help` shows what can be said\n",
        );
        for to in ["", "bad/name", "web@x", "@file:x"] {
            environment.api(&["promote", "--to", to]).run().ends(2);
        }
        environment
            .api(&["promote", "--to", "web", "-f", "nosuch"])
            .run()
            .fails(
                3,
                "error: there is no file nosuch of api in file:[DIR]/store\n\
             hint: check bucket and service, or publish it first with `microsecrets upload`\n",
            );
    }
}

mod delete {
    use super::*;

    fn with_env(environment: &TestEnvironment) -> Outcome {
        environment.api(&["with-env", "-a", "--", "touch", "started"]).run()
    }

    const GONE: &str = "error: the environment of api was deleted at [TIME] by ann@[HOST]\n\
        hint: `microsecrets rollback 2` brings it back\n";

    #[test]
    fn is_said_by_every_reader_with_when_and_by_whom() {
        let environment = grown();
        environment.api(&["delete", "--yes", "-m", "retired"]).run().prints(
            "Successfully deleted (`microsecrets rollback previous` brings it back):\n\
             \x20 bucket: file:[DIR]/store\n\
             \x20 version: 3\n",
        );
        with_env(&environment).fails(123, GONE);
        assert!(!environment.exists("started"));
        for reader in [&["download"][..], &["get", "A"], &["show"], &["promote", "--to", "web"]] {
            environment.api(reader).run().fails(3, GONE);
        }
        let row = &environment.history(&[])[0];
        assert_eq!((&row["kind"], &row["message"]), (&"delete".into(), &"retired".into()));
        // Its versions are still there.
        assert_eq!(environment.did(&["get", "A", "--at", "2"]), "2");
    }

    #[test]
    fn is_undone_by_a_rollback() {
        let environment = grown();
        environment.did(&["delete", "--yes"]);
        let run = environment.api(&["rollback", "previous", "--yes"]).run();
        run.prints_and_says(
            &printed("Successfully rolled back to 2:", 4),
            "note: the environment of api was deleted by version 3, and comes back\n",
        );
        with_env(&environment).prints("");
        assert!(environment.exists("started"));
        assert_eq!(environment.variables(), "A=2\nC=2\n");
    }

    #[test]
    fn twice_changes_nothing() {
        let environment = grown();
        environment.did(&["delete", "--yes"]);
        let before = environment.store();
        environment.api(&["delete", "--yes"]).run().prints(
            "Nothing changed, it is deleted already:\n\
             \x20 bucket: file:[DIR]/store\n\
             \x20 version: 3\n",
        );
        assert!(environment.store() == before);
    }

    #[test]
    fn of_what_is_not_there_is_not_found() {
        let environment = grown();
        let hint = "hint: check bucket and service, or publish it first with `microsecrets upload`\n";
        environment
            .microsecrets(&["delete", "--yes", "-s", "nosuch"])
            .run()
            .fails(
                3,
                &format!("error: there is no environment of nosuch in file:[DIR]/store\n{hint}"),
            );
        environment.api(&["delete", "--yes", "-f", "nosuch"]).run().fails(
            3,
            &format!("error: there is no file nosuch of api in file:[DIR]/store\n{hint}"),
        );
        assert!(!environment.exists("store/services/nosuch"));
    }

    #[test]
    fn without_a_terminal_and_without_a_word_does_nothing() {
        let environment = grown();
        let before = environment.store();
        environment.api(&["delete"]).stdin("y\n").run().fails(1, NOT_CONFIRMED);
        assert!(environment.store() == before);
    }

    #[test]
    fn asks_at_a_terminal() {
        if !terminal::is_there() {
            return;
        }
        let environment = grown();
        let question = "Delete the environment of api? [y/N] ";
        let run = environment.api(&["delete"]).typed(&[(question, "n\n")]);
        assert!(run.shown().ends_with(NOT_CONFIRMED), "{}", run.shown());
        assert_eq!(environment.number(), 2);
        environment.api(&["delete"]).typed(&[(question, "yes\n")]).ends(0);
        assert_eq!(environment.number(), 3);
    }

    #[test]
    fn of_a_file_leaves_the_environment() {
        let environment = grown();
        environment.upload_file("f", [b'x'; 100]);
        environment.did(&["delete", "-f", "f", "--yes"]);
        let gone = "error: the file f of api was deleted at [TIME] by ann@[HOST]\n\
            hint: `microsecrets rollback -f f 1` brings it back\n";
        environment.api(&["download", "-f", "f"]).run().fails(3, gone);
        let run = environment.api(&["with-env", "-a", "-f", "f:here", "--", "true"]).run();
        run.fails(123, gone);
        assert!(!environment.exists("here"));
        assert_eq!(environment.value("A"), "2");
        let run = environment
            .api(&["rollback", "previous", "-f", "f", "--yes", "-q"])
            .run();
        run.prints_and_says(
            "[CHECKSUM]\n",
            "note: the file f of api was deleted by version 2, and comes back\n",
        );
        assert_eq!(environment.did(&["download", "-f", "f"]), "x".repeat(100));
    }

    #[test]
    fn in_a_migration_warns_of_what_0_3_4_does() {
        let environment = TestEnvironment::new();
        environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "old"));
        environment.upload("A=new\n");
        let run = environment.api(&["delete", "--yes", "-q"]).run();
        assert_eq!(
            run.stderr,
            "warning: 0.3.4 does not know deletions: it keeps starting the last version there is\n"
        );
        run.ends(0);
        with_env(&environment).ends(123);
        environment.did(&["rollback", "previous", "--yes"]);
        environment.did(&["migrate", "--finish", "--yes"]);
        let run = environment.api(&["delete", "--yes", "-q"]).run();
        assert_eq!(run.stderr, "");
    }
}
