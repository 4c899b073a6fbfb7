//! Least privilege: what readers and writers need, no more, and what they are told when it is less.

use strict_fake::Principal;

use crate::common::Run;
use crate::{BUCKET, Place, WITH_ENV};

const GET: &str = "s3:GetObject BUCKET/services/api/*";
const DECRYPT: &str = "kms:Decrypt KEY";
const LIST: &str = "s3:ListBucket BUCKET";

/// What a writer needs.
const WRITER: [&str; 6] = [
    GET,
    "s3:PutObject BUCKET/services/api/*",
    LIST,
    "kms:DescribeKey KEY",
    "kms:GenerateDataKey KEY",
    DECRYPT,
];

/// A service with two versions of its environment, and files in and beside their heads.
struct Service {
    place: Place,
    first: String,
}

impl Service {
    fn new() -> Self {
        let place = Place::new();
        let first = place.upload("A=1\n");
        place.upload("A=2\n");
        place.upload_file("small", &[1; 100]);
        place.upload_file("large", &vec![2; (1 << 20) + 1]);
        Self { place, first }
    }

    fn run(&self, who: &Principal, arguments: &[&str]) -> Run {
        self.place.microsecrets_of(who, arguments)
    }
}

fn statement(action: &str, resource: &str) -> String {
    format!(r#"the statement that is missing: {{"Action":"{action}","Effect":"Allow","Resource":"{resource}"}}"#)
}

fn statement_to_list() -> String {
    format!(
        r#"the statement that is missing: {{"Action":"s3:ListBucket","Condition":{{"StringLike":{{"s3:prefix":"services/api/*"}}}},"Effect":"Allow","Resource":"arn:aws:s3:::{BUCKET}"}}"#
    )
}

mod a_reader {
    use super::*;

    #[test]
    fn needs_to_get_objects_and_to_decrypt() {
        let service = Service::new();
        let reader = service.place.somebody(&[GET, DECRYPT]);
        for arguments in [
            &WITH_ENV[..],
            &["with-env", "-a", "-f", "small:a", "-f", "large:b", "--", "true"],
            &["with-env", "-a", "--at", "1", "--", "true"],
            &["download"],
            &["download", "-f", "small:c"],
            &["download", "-f", "large:d"],
        ] {
            let outcome = service.run(&reader, arguments).run();
            assert_eq!(outcome.stderr, "", "{arguments:?}");
            outcome.ends(0);
        }
        for name in ["started", "a", "b", "c", "d"] {
            assert!(service.place.machine.exists(name), "{name}");
        }
    }

    #[test]
    fn that_may_not_get_objects_is_told_so() {
        let service = Service::new();
        let reader = service.place.somebody(&[DECRYPT]);
        let outcome = service.run(&reader, &WITH_ENV).run();
        let get = statement("s3:GetObject", &format!("arn:aws:s3:::{BUCKET}/services/api/*"));
        service.place.assert_fails(
            &outcome,
            123,
            &format!(
                "error: the environment of api is denied, or not there\n  \
                   caused by: get services/api/head/environment: access denied: s3:GetObject on \
                 arn:aws:s3:::{BUCKET}/services/api/head/environment (AccessDenied, request [REQUEST])\n\
                 hint: without s3:ListBucket S3 does not say which; {get}\n"
            ),
        );
        assert!(!service.place.started());
        // To who may list, it is clear that the environment is there.
        let reader = service.place.somebody(&[DECRYPT, LIST]);
        let outcome = service.run(&reader, &WITH_ENV).run();
        service.place.assert_fails(
            &outcome,
            123,
            &format!(
                "error: cannot read the environment of api\n  \
                   caused by: get services/api/head/environment: access denied: s3:GetObject on \
                 arn:aws:s3:::{BUCKET}/services/api/head/environment (AccessDenied, request [REQUEST])\n\
                 hint: {get}\n"
            ),
        );
    }

    #[test]
    fn that_may_not_decrypt_is_told_so() {
        let service = Service::new();
        let reader = service.place.somebody(&[GET]);
        let outcome = service.run(&reader, &WITH_ENV).run();
        let decrypt = statement("kms:Decrypt", "[KEY]");
        let said = |item: &str, key: &str| {
            format!(
                "error: cannot read the {item} of api\n  \
                   caused by: get services/api/{key}: access denied: kms:Decrypt on [KEY] \
                 (AccessDenied, request [REQUEST])\n\
                 hint: {decrypt}\n"
            )
        };
        service
            .place
            .assert_fails(&outcome, 123, &said("environment", "head/environment"));
        assert!(!service.place.started());
        let outcome = service.run(&reader, &["download", "-f", "small:x"]).run();
        service
            .place
            .assert_fails(&outcome, 5, &said("file small", "head/file/small"));
        assert!(!service.place.machine.exists("x"));
    }

    #[test]
    fn needs_to_list_for_what_is_not_current_by_its_checksum() {
        let service = Service::new();
        let pinned = ["with-env", "-c", &service.first, "--", "printenv", "A"];
        let reader = service.place.somebody(&[GET, DECRYPT]);
        let outcome = service.run(&reader, &pinned).run();
        service.place.assert_fails(
            &outcome,
            123,
            &format!(
                "error: cannot read the environment of api\n  \
                   caused by: list services/api/environment/: access denied: s3:ListBucket on arn:aws:s3:::{BUCKET} \
                 (AccessDenied, request [REQUEST])\n\
                 hint: {}\n",
                statement_to_list()
            ),
        );
        let reader = service.place.somebody(&[GET, DECRYPT, LIST]);
        assert_eq!(service.run(&reader, &pinned).run().ends(0).raw_stdout(), "1\n");
        // By its name it needs no list.
        let mut keys = service.place.fake.keys(BUCKET).into_iter();
        let key = keys.find(|key| key.contains(&service.first)).unwrap();
        let by_name = ["with-env", "-c", key.rsplit('/').next().unwrap(), "--", "printenv", "A"];
        let reader = service.place.somebody(&[GET, DECRYPT]);
        assert_eq!(service.run(&reader, &by_name).run().ends(0).raw_stdout(), "1\n");
    }

    #[test]
    fn needs_to_list_for_what_only_034_wrote() {
        let place = Place::new();
        let bytes = br#"{"environment": {"A": "1"}, "metadata": {}}"#;
        let checksum = microsecrets::checksum::Checksum::of(bytes);
        let name = format!("2020-01-01.00-00-00.{checksum}.json");
        place.put_raw(&format!("services/api/environment/{name}"), *bytes);
        let reader = place.somebody(&[GET, DECRYPT]);
        let outcome = place.microsecrets_of(&reader, &WITH_ENV).run();
        place.assert_fails(
            &outcome,
            123,
            &format!(
                "error: the environment of api is denied, or not there\n  \
                   caused by: get services/api/head/environment: access denied: s3:ListBucket on arn:aws:s3:::{BUCKET} \
                 (AccessDenied, request [REQUEST])\n\
                 hint: without s3:ListBucket S3 does not say which; {}\n",
                statement_to_list()
            ),
        );
        let reader = place.somebody(&[GET, DECRYPT, LIST]);
        place.microsecrets_of(&reader, &WITH_ENV).run().prints("");
        assert!(place.started());
    }

    #[test]
    fn needs_to_list_for_lists() {
        let service = Service::new();
        let reader = service.place.somebody(&[GET, DECRYPT]);
        let to_list = statement_to_list();
        let everything = statement("s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"));
        for (arguments, prefix, statement) in [
            (&["list"][..], "services/", &everything),
            (&["list", "api"], "services/api/environment/", &to_list),
            (&["download", "--list"], "services/api/environment/", &to_list),
            (&["migrate"], "services/api/environment/", &to_list),
        ] {
            let outcome = service.run(&reader, arguments).run();
            let said = format!(
                "error: list {prefix}: access denied: s3:ListBucket on arn:aws:s3:::{BUCKET} \
                 (AccessDenied, request [REQUEST])\n\
                 hint: {statement}\n"
            );
            service.place.assert_fails(&outcome, 5, &said);
        }
        // With the condition that is proposed, what is the service's own works.
        let prefix = strict_fake::Condition::string_like("s3:prefix", &["services/api/*"]);
        service
            .place
            .fake
            .allow_if(&reader, "s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"), &[prefix]);
        service.run(&reader, &["list", "api"]).run().ends(0);
        service.run(&reader, &["download", "--list"]).run().ends(0);
        service.run(&reader, &["list"]).run().ends(5);
    }

    #[test]
    fn of_one_service_can_do_nothing_with_another() {
        let service = Service::new();
        let place = &service.place;
        let other = place.fake.kms().create_key("microsecrets-web");
        let web = place.somebody(&["s3:* BUCKET/services/web/*"]);
        place.fake.allow(&web, "kms:*", &other);
        let before = place.fake.keys(BUCKET);
        for (arguments, status) in [
            (&WITH_ENV[..], 123),
            (&["with-env", "-a", "--at", "1", "--", "touch", "started"], 123),
            (&["with-env", "-c", &service.first, "--", "touch", "started"], 123),
            (&["download"], 5),
            (&["download", "-f", "small:placed"], 5),
            (&["download", "-f", "large:placed"], 5),
            (&["download", "--list"], 5),
            (&["list", "api"], 5),
            (&["upload"], 5),
            (&["upload", "-f", "small"], 5),
            (&["migrate", "--apply"], 5),
        ] {
            let outcome = service.run(&web, arguments).stdin("A=3\n").run();
            outcome.ends(status);
            assert_eq!(outcome.raw_stdout(), "", "{arguments:?}");
        }
        assert!(!place.started() && !place.machine.exists("placed"));
        assert_eq!(place.fake.keys(BUCKET), before);
        let mut uses = place.fake.kms_uses().into_iter();
        assert!(!uses.any(|key_use| key_use.principal.contains("somebody")));
    }
}

mod a_writer {
    use super::*;

    #[test]
    fn needs_six_rights() {
        let place = Place::new();
        let writer = place.somebody(&WRITER);
        for round in 0..3 {
            for arguments in [&["upload", "-q"][..], &["upload", "-q", "-f", "small"]] {
                let run = place.microsecrets_of(&writer, arguments);
                let outcome = run.stdin(format!("ROUND={round}\n{}", "#".repeat(100))).run();
                assert_eq!(outcome.stderr, "");
                outcome.ends(0);
            }
            place.machine.write("large", vec![round; 9 << 20]);
            let run = place.microsecrets_of(&writer, &["upload", "-q", "-f", "large", "large"]);
            assert_eq!(run.run().ends(0).stderr, "");
        }
        place
            .microsecrets_of(&writer, &["with-env", "-w", "ROUND", "--", "true"])
            .run()
            .prints("");
    }

    /// Each of them: without it nothing is written, and the statement that is missing is told.
    #[test]
    fn that_misses_one_of_them_is_told_which() {
        let service = Service::new();
        let place = &service.place;
        let head = format!("arn:aws:s3:::{BUCKET}/services/api/head/environment");
        let objects = format!("arn:aws:s3:::{BUCKET}/services/api/*");
        for (missing, what, denied_on, statement) in [
            (
                GET,
                "get services/api/head/environment",
                head.as_str(),
                statement("s3:GetObject", &objects),
            ),
            (WRITER[1], "put services/api/", "", statement("s3:PutObject", &objects)),
            (
                LIST,
                "list services/api/environment/",
                "arn:aws:s3:::example-microsecrets",
                statement_to_list(),
            ),
            (
                WRITER[3],
                "look up key alias/microsecrets-api",
                "[KEY]",
                statement("kms:DescribeKey", "[KEY]"),
            ),
            (
                WRITER[4],
                "put services/api/",
                "[KEY]",
                statement("kms:GenerateDataKey", "[KEY]"),
            ),
            (
                DECRYPT,
                "get services/api/head/environment",
                "[KEY]",
                statement("kms:Decrypt", "[KEY]"),
            ),
        ] {
            let rights: Vec<_> = WRITER.into_iter().filter(|right| *right != missing).collect();
            let writer = place.somebody(&rights);
            let before = place.fake.keys(BUCKET);
            let outcome = place.microsecrets_of(&writer, &["upload"]).stdin("A=3\n").run();
            outcome.ends(5);
            assert_eq!(outcome.raw_stdout(), "");
            assert_eq!(place.fake.keys(BUCKET), before, "without {missing}");
            let action = missing.split(' ').next().unwrap();
            let said = place.said(&outcome);
            let lines: Vec<_> = said.lines().collect();
            assert_eq!(lines.len(), 3, "{said}");
            assert_eq!(lines[0], "error: cannot upload the environment of api");
            assert!(lines[1].starts_with(&format!("  caused by: {what}")), "{said}");
            assert!(
                lines[1].contains(&format!(": access denied: {action} on {denied_on}")),
                "{said}"
            );
            assert_eq!(lines[2], format!("hint: {statement}"));
        }
        // And so can the next one who has all of them.
        let writer = place.somebody(&WRITER);
        place.microsecrets_of(&writer, &["upload"]).stdin("A=3\n").run().ends(0);
    }

    /// Bytes of a large file are put before the commit, so it is they that are refused.
    #[test]
    fn without_the_key_puts_no_large_file() {
        let service = Service::new();
        let place = &service.place;
        let rights: Vec<_> = WRITER
            .into_iter()
            .filter(|right| !right.starts_with("kms:Generate"))
            .collect();
        let writer = place.somebody(&rights);
        let before = place.fake.keys(BUCKET);
        for size in [(1 << 20) + 1, 9 << 20] {
            place.machine.write("file", vec![7; size]);
            let outcome = place.microsecrets_of(&writer, &["upload", "-f", "new", "file"]).run();
            outcome.ends(5);
            let said = place.said(&outcome);
            assert!(
                said.ends_with(&format!("hint: {}\n", statement("kms:GenerateDataKey", "[KEY]"))),
                "{said}"
            );
            assert_eq!(
                (place.fake.keys(BUCKET), place.fake.uploads(BUCKET).len()),
                (before.clone(), 0)
            );
        }
    }
}
