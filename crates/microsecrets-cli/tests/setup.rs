//! `setup`, `policy` and `whoami`, as people see them.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use common::TestEnvironment;
use fake::{BUCKET, Place};
use serde_json::Value;

const READER: &str = "arn:aws:iam::111122223333:role/api";
const WRITER: &str = "arn:aws:iam::111122223333:role/deploy";

/// A setup of a service that has nothing yet.
fn arguments(service: &str) -> Vec<&str> {
    vec![
        "setup",
        "-b",
        "new-bucket",
        "-s",
        service,
        "--reader",
        READER,
        "--writer",
        WRITER,
    ]
}

#[test]
fn a_plan_is_shown_and_nothing_is_done_unless_it_is_confirmed() {
    let place = Place::new();
    let buckets = place.fake.buckets();
    let keys = place.fake.kms().keys();
    let dry = place
        .microsecrets(&[&arguments("web")[..], &["--dry-run"]].concat())
        .run();
    dry.ends(0);
    assert_eq!(
        dry.stderr,
        "as arn:aws:iam::111122223333:user/akiaadmin in us-east-1\n  \
           to do   create the bucket new-bucket\n  \
           to do   see to it that versioning is on\n  \
           to do   see to it that all public access is blocked\n  \
           to do   see to it that noncurrent versions are kept 90 days, unfinished multipart uploads aborted after 7\n  \
           to do   put into the bucket's policy: MicrosecretsTlsOnly, MicrosecretsOwnAccountOnly, MicrosecretsNoCopies, \
         MicrosecretsNoReencryption, MicrosecretsWriteOnce, MicrosecretsCompareAndSwap\n  \
           to do   create the key that encrypts\n  \
           to do   give the key that encrypts the alias alias/microsecrets-web\n  \
           to do   turn on the yearly rotation of the key that encrypts\n\
         note: nothing was changed\n"
    );
    // Without a terminal it must have been said.
    let asked = place.microsecrets(&arguments("web")).run();
    asked.ends(1);
    assert!(
        asked
            .stderr
            .ends_with("error: nothing was done: it was not confirmed\nhint: say --yes to do it without being asked\n")
    );
    assert_eq!((place.fake.buckets(), place.fake.kms().keys()), (buckets, keys));
    assert!(!place.machine.exists("microsecrets.toml"));
}

#[test]
fn what_was_set_up_works_with_the_contract_that_was_written() {
    let place = Place::new();
    let setup = [&arguments("web")[..], &["--signing", "--yes"]].concat();
    let done = place.microsecrets(&setup).run();
    let contract = String::from_utf8(place.machine.read("microsecrets.toml")).unwrap();
    assert_eq!(done.ends(0).raw_stdout(), contract);
    let kms = place.fake.kms();
    let (key, signing) = (
        kms.resolve("alias/microsecrets-web").unwrap(),
        kms.resolve("alias/microsecrets-signing/web").unwrap(),
    );
    for line in [
        "bucket = \"new-bucket\"",
        "service = \"web\"",
        "region = \"us-east-1\"",
        "bucket-owner = \"111122223333\"",
        &format!("kms-key = \"{key}\""),
        &format!("sign-with = \"{signing}\""),
    ] {
        assert!(contract.lines().any(|own| own == line), "{line}\n{contract}");
    }
    // The contract is all that the other commands need.
    let plain = |arguments: &[&str]| {
        let mut run = place.microsecrets(arguments);
        run.command
            .env_remove("MICROSECRETS_BUCKET")
            .env_remove("MICROSECRETS_SERVICE");
        run
    };
    plain(&["upload", "-q"]).stdin("A=1\n").run().ends(0);
    let started = plain(&["with-env", "--", "printenv", "A"]).run();
    assert_eq!(
        (started.ends(0).raw_stdout().as_str(), started.stderr.as_str()),
        ("1\n", "")
    );
    plain(&["verify", "--all"]).run().ends(0);
    // Again, it has nothing to do, and leaves the contract as it is.
    let again = plain(&["setup", "--signing", "--yes"]).run();
    again.ends(0);
    assert!(
        again.stderr.contains("note: there is nothing to do\n"),
        "{}",
        again.stderr
    );
    assert!(
        again.stderr.contains("note: microsecrets.toml says that already\n"),
        "{}",
        again.stderr
    );
    place
        .machine
        .write("microsecrets.toml", "service = \"web\"\nrequire = [\"A\"]\n");
    let kept = place
        .microsecrets(&["setup", "-b", "new-bucket", "--signing", "--yes", "-s", "web"])
        .run();
    assert!(
        kept.ends(0).stderr.contains(
            "warning: microsecrets.toml is there already and was left as it is; it does not say the same of: bucket, \
             region, bucket-owner, kms-key, verify-keys, sign-with\n"
        ),
        "{}",
        kept.stderr
    );
}

#[test]
fn a_bucket_of_somebody_elses_is_not_set_up() {
    let place = Place::new();
    let theirs = strict_fake::Bucket {
        owner: "999988887777".to_owned(),
        ..strict_fake::Bucket::default()
    };
    place.fake.add_bucket("theirs", theirs);
    let outcome = place
        .microsecrets(&["setup", "-b", "theirs", "--bucket-only", "--yes"])
        .run();
    outcome.ends(5);
    assert!(outcome.stderr.starts_with("error: "), "{}", outcome.stderr);
    let changed = place.fake.operations();
    assert!(
        !changed
            .iter()
            .any(|operation| operation.starts_with("Put") || operation.starts_with("Create"))
    );
}

#[test]
fn a_bucket_in_the_accounts_own_namespace_is_nobody_elses() {
    let place = Place::new();
    let setup = ["setup", "-b", "secrets", "--bucket-only", "--account-regional", "--yes"];
    place.microsecrets(&setup).run().ends(0);
    assert!(
        place
            .fake
            .buckets()
            .contains(&"secrets-111122223333-us-east-1-an".to_owned())
    );
}

#[test]
fn nobody_is_locked_out_while_0_3_4_may_write() {
    let place = Place::new();
    let document = br#"{"environment": {"A": "1"}, "metadata": {}}"#;
    let name = format!("2020-01-01.00-00-00.{}", microsecrets::checksum::Checksum::of(document));
    let raw = strict_fake::Raw::default();
    place.fake.put_raw(
        BUCKET,
        &format!("services/old/environment/{name}.json"),
        document.as_slice(),
        raw,
    );
    let outcome = place.microsecrets(&["setup", "--bucket-only", "--yes"]).run();
    assert!(
        outcome.ends(0).stderr.contains(
            "  left    the statement that demands If-None-Match is neither put into the policy nor taken out: in migration: \
             environment of old\n"
        ),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_denied_right_is_named_and_what_was_done_is_gone_on_with() {
    let place = Place::new();
    let somebody = place.fake.principal("AKIASOMEBODY", "secret", "111122223333");
    for right in ["s3:*", "kms:DescribeKey", "kms:ListKeys"] {
        place.fake.allow(&somebody, right, "*");
    }
    let setup = [&arguments("web")[..], &["--yes"]].concat();
    let outcome = place.microsecrets_as(&somebody, &setup).run();
    outcome.ends(5);
    assert!(
        outcome.stderr.ends_with(
            "hint: the statement that is missing: {\"Action\":\"kms:CreateKey\",\"Effect\":\"Allow\",\"Resource\":\"*\"}\n"
        ),
        "{}",
        outcome.stderr
    );
    place.microsecrets(&setup).run().ends(0);
}

#[test]
fn a_folder_gets_an_identity_and_a_key_that_signs() {
    let environment = TestEnvironment::new();
    let setup = environment.api(&["setup", "--yes"]).run();
    setup.ends(0);
    let kept: Vec<_> = std::fs::read_dir(environment.path("config/microsecrets"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 2);
    assert!(setup.stderr.contains("note: back up both files"), "{}", setup.stderr);
    environment.api(&["upload", "-q"]).stdin("A=1\n").run().ends(0);
    environment
        .api(&["with-env", "--", "printenv", "A"])
        .run()
        .prints("1\n");
    environment.api(&["verify", "--all"]).run().ends(0);
}

mod policy {
    use super::*;

    fn printed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_role_is_printed_without_asking_anybody_when_all_of_it_is_said() {
        let environment = TestEnvironment::new();
        let key = "arn:aws:kms:eu-west-1:111122223333:key/1234";
        let said = [
            "policy",
            "--role",
            "reader",
            "-b",
            "my-bucket",
            "--account",
            "111122223333",
            "-r",
            "eu-west-1",
            "--kms-key",
            key,
            "--principal",
            READER,
        ];
        let outcome = environment.api(&said).run();
        let policy = printed(&outcome.ends(0).raw_stdout());
        assert_eq!(outcome.stderr, "");
        let identity = policy["identity-policy"].to_string();
        assert!(identity.contains("arn:aws:s3:::my-bucket/services/api/*") && identity.contains(key));
        assert!(policy["key-policy-statements"].to_string().contains(READER));
    }

    #[test]
    fn a_key_that_is_not_there_is_told() {
        let place = Place::new();
        place.microsecrets(&["policy", "--role", "signer"]).run().fails(
            3,
            "error: the key alias/microsecrets-signing/api is not known\n\
             hint: say its ARN with --sign-with; `microsecrets setup` makes it\n",
        );
    }

    #[test]
    fn what_cannot_be_is_told() {
        let environment = TestEnvironment::new();
        for (arguments, told) in [
            (
                &["policy", "-b", "my-bucket", "--role", "owner"][..],
                "error: --role cannot be 'owner': the roles are reader, lister, writer, pruner, signer and admin\n\
                 hint: `microsecrets policy --help` shows what can be said\n",
            ),
            (
                &[
                    "policy",
                    "-b",
                    "My_Bucket",
                    "--bucket-policy",
                    "--account",
                    "111122223333",
                    "-r",
                    "eu-west-1",
                ],
                "error: a bucket's name is 3 to 63 lower-case letters, digits, hyphens and dots\n\
                 hint: check the bucket's name (-b)\n",
            ),
            (
                &["policy", "--role", "reader"],
                "error: a folder has no policies\nhint: name a bucket with -b\n",
            ),
        ] {
            let mut run = environment.microsecrets(arguments);
            if arguments.contains(&"--role") && !arguments.contains(&"-b") {
                run = run.env("MICROSECRETS_SERVICE", "api");
            }
            run.run().fails(2, told);
        }
    }

    #[test]
    fn all_of_it_is_a_template_for_cloudformation() {
        let environment = TestEnvironment::new();
        let template = [
            "policy",
            "-b",
            "my-bucket",
            "--format",
            "cloudformation",
            "--signing",
            "--reader",
            READER,
        ];
        let outcome = environment.api(&template).run();
        let template = printed(&outcome.ends(0).raw_stdout());
        let resources = template["Resources"].as_object().unwrap();
        let kinds: Vec<&str> = resources
            .values()
            .map(|resource| resource["Type"].as_str().unwrap())
            .collect();
        for kind in [
            "AWS::S3::Bucket",
            "AWS::S3::BucketPolicy",
            "AWS::KMS::Key",
            "AWS::KMS::Alias",
        ] {
            assert!(kinds.contains(&kind), "{kind}");
        }
    }
}

mod whoami {
    use super::*;

    #[test]
    fn says_who_asks_and_what_would_be_worked_on() {
        let place = Place::new();
        let outcome = place.microsecrets(&["whoami"]).run();
        let said = outcome.ends(0).raw_stdout();
        let expected = format!(
            "account:   111122223333\narn:       arn:aws:iam::111122223333:user/akiaadmin\n\
             provider:  environment variables\nregion:    us-east-1\nbucket:    {BUCKET}\nservice:   api\n\
             key:       {} (alias/microsecrets-api)\n",
            place.key
        );
        assert_eq!(said, expected);
        let json = place
            .microsecrets(&["whoami", "--format", "json"])
            .run()
            .ends(0)
            .raw_stdout();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["account"], "111122223333");
    }

    /// What may not be looked up does not matter for the rest.
    #[test]
    fn says_what_it_may_find_out() {
        let place = Place::new();
        let nobody = place.fake.principal("AKIANOBODY", "secret", "111122223333");
        let outcome = place.microsecrets_as(&nobody, &["whoami"]).run();
        assert!(
            outcome
                .ends(0)
                .raw_stdout()
                .contains("key:       alias/microsecrets-api (kms:DescribeKey of ")
        );
    }

    #[test]
    fn of_a_folder_is_this_machines_user() {
        let environment = TestEnvironment::new();
        let said = environment.api(&["whoami"]).run();
        assert!(
            said.ends(0).raw_stdout().starts_with("user:     ann@"),
            "{}",
            said.raw_stdout()
        );
    }
}
