//! What people see when AWS says no, or nothing: what was asked of what, the code and the request, and what to do.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use strict_fake::{Bucket, Failure, Fault};

use crate::common::Run;
use crate::common::canary::Canary;
use crate::{BUCKET, Place, WITH_ENV};

/// Reading and writing fail alike: with the status of a kind of failure, its status of `with-env`, and these words after
/// the first line. Nothing is started, printed or written.
#[track_caller]
fn everything_fails(place: &Place, equip: impl Fn(Run) -> Run, [status, status_with_env]: [i32; 2], said: &str) {
    let before = place.fake.keys(BUCKET);
    let outcome = equip(place.microsecrets(&WITH_ENV)).run();
    let reading = format!("error: cannot read the environment of api\n{said}");
    place.assert_fails(&outcome, status_with_env, &reading);
    assert!(!place.started());
    place.assert_fails(&equip(place.microsecrets(&["download"])).run(), status, &reading);
    let writing = format!("error: cannot upload the environment of api\n{said}");
    let outcome = equip(place.microsecrets(&["upload"])).stdin("A=2\n").run();
    place.assert_fails(&outcome, status, &writing);
    assert_eq!(place.fake.keys(BUCKET), before);
}

fn unchanged(run: Run) -> Run {
    run
}

mod credentials {
    use super::*;

    #[test]
    fn are_not_found() {
        let place = Place::with_environment();
        everything_fails(
            &place,
            |run| run.without_env("AWS_ACCESS_KEY_ID"),
            [5, 123],
            "  caused by: get services/api/head/environment: no AWS credentials found\n  \
               caused by: tried Environment (environment variable not set), \
             Profile (not configured), \
             WebIdentityToken ($AWS_WEB_IDENTITY_TOKEN_FILE was not set), \
             EcsContainer (ECS provider not configured), \
             Ec2InstanceMetadata (IMDS disabled by AWS_EC2_METADATA_DISABLED env var set to `true`)\n\
             hint: sign in (`aws sso login`, `aws login`), name a profile with --profile, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY; without AWS use a folder: -b file:DIR\n",
        );
        assert!(place.fake.requests().is_empty());
    }

    /// Off EC2 the metadata service is an address that nobody answers. This ends, and says that it was asked.
    #[test]
    fn are_not_found_where_nobody_answers_for_the_instance() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let metadata = format!("http://{}", silent.local_addr().unwrap());
        let place = Place::with_environment();
        let run = place.microsecrets(&WITH_ENV).without_env("AWS_ACCESS_KEY_ID");
        let run = run
            .without_env("AWS_EC2_METADATA_DISABLED")
            .without_env("MICROSECRETS_REGION");
        let outcome = run.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata).run();
        outcome.ends(123);
        let said = place.said(&outcome);
        assert!(
            said.contains("no AWS credentials found") && said.contains("Ec2InstanceMetadata ("),
            "{said}"
        );
    }

    #[test]
    fn of_a_profile_are_not_found() {
        let place = Place::with_environment();
        let outcome = place.microsecrets(&["download", "--profile", "team"]).run();
        place.assert_fails(
            &outcome,
            5,
            "error: cannot read the environment of api\n  \
               caused by: get services/api/head/environment: no AWS credentials found\n  \
               caused by: there is no profile team, or nothing in it\n\
             hint: sign in (`aws sso login`, `aws login`), name a profile with --profile, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY; without AWS use a folder: -b file:DIR\n",
        );
    }

    #[test]
    fn have_expired() {
        let place = Place::with_environment();
        place.fake.expire(&place.admin);
        everything_fails(
            &place,
            |run| run.env("AWS_SESSION_TOKEN", "a token of yesterday's"),
            [5, 123],
            "  caused by: get services/api/head/environment: the credentials have expired (ExpiredToken, request [REQUEST])\n\
             hint: sign in again (`aws sso login`, `aws login`) or renew the credentials\n",
        );
    }

    #[test]
    fn are_wrong() {
        let place = Place::with_environment();
        let said = |code: &str| {
            format!(
                "  caused by: get services/api/head/environment: the credentials are not valid ({code}, request [REQUEST])\n\
                 hint: check the access key and its secret; `aws sts get-caller-identity` tells whether they work\n"
            )
        };
        let wrong_secret = |run: Run| run.env("AWS_SECRET_ACCESS_KEY", "a wrong secret");
        everything_fails(&place, wrong_secret, [5, 123], &said("SignatureDoesNotMatch"));
        let unknown = |run: Run| run.env("AWS_ACCESS_KEY_ID", "AKIANOBODY");
        everything_fails(&place, unknown, [5, 123], &said("InvalidAccessKeyId"));
        place.fake.set_session_token(&place.admin, "the token");
        let wrong_token = |run: Run| run.env("AWS_SESSION_TOKEN", "another token");
        everything_fails(&place, wrong_token, [5, 123], &said("InvalidToken"));
    }

    /// As from a file with CRLF line ends. The SDK itself leaves out those of a session token, but none within.
    #[test]
    fn cannot_be_sent() {
        let place = Place::with_environment();
        for (variable, fault) in [
            (
                "AWS_ACCESS_KEY_ID",
                "access key holds a character that no header can carry",
            ),
            (
                "AWS_SESSION_TOKEN",
                "session token holds a character that no header can carry",
            ),
            (
                "AWS_SECRET_ACCESS_KEY",
                "secret access key holds a character that none ever has",
            ),
        ] {
            everything_fails(
                &place,
                |run| run.env(variable, "AKIA\rA"),
                [5, 123],
                &format!(
                    "  caused by: get services/api/head/environment: the credentials are not valid\n  \
                       caused by: the {fault}\n\
                     hint: look at the line ends of the file that the variables come from: with CRLF, each value ends \
                     with a carriage return\n"
                ),
            );
        }
        assert!(place.fake.requests().is_empty());
    }

    /// A run whose credentials are a program's.
    fn of_a_program(place: &Place, run: Run, program: &str) -> Run {
        let config = place
            .machine
            .write("config", format!("[default]\ncredential_process = {program}\n"));
        run.without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .env("AWS_CONFIG_FILE", config)
    }

    #[test]
    fn are_waited_for_no_longer_than_said() {
        let place = Place::with_environment();
        let began = Instant::now();
        for (arguments, status) in [
            (&["with-env", "--timeout", "1", "-a", "--", "touch", "started"][..], 124),
            (&["download", "--timeout", "1"], 7),
        ] {
            let run = of_a_program(
                &place,
                place.microsecrets(arguments),
                "exec sleep 9 2>&1 <&- >/dev/null",
            );
            place.assert_fails(
                &run.run(),
                status,
                "error: cannot read the environment of api\n  \
                   caused by: get services/api/head/environment: no answer for 1 s\n  \
                   caused by: credentials were waited for\n\
                 hint: check the network, or wait longer with --timeout\n",
            );
        }
        assert!(!place.started());
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    }

    #[test]
    fn of_a_program_that_fails_are_not_shown() {
        let place = Place::with_environment();
        let canary = Canary::new();
        let program = format!("sh -c \"echo '{}' >&2; exit 3\"", canary.text);
        let outcome = of_a_program(&place, place.microsecrets(&["download", "-v"]), &program).run();
        canary.is_not_in(&outcome);
        outcome.ends(5);
        let said = place.said(&outcome);
        assert!(said.contains("exited with code exit status: 3\nhint: "), "{said}");
    }

    #[test]
    fn are_of_a_machine_with_a_wrong_clock() {
        let place = Place::with_environment();
        for offset in [3_600, -3_600] {
            place.fake.set_clock(offset);
            everything_fails(
                &place,
                unchanged,
                [5, 123],
                "  caused by: get services/api/head/environment: this machine's clock is too far from the store's \
                 (RequestTimeTooSkewed, request [REQUEST])\n\
                 hint: set this machine's clock; the store accepts 15 minutes\n",
            );
        }
    }
}

mod settings {
    use super::*;

    /// They are refused before anything is sent.
    #[track_caller]
    fn are_refused(equip: impl Fn(Run) -> Run, said: &str) {
        let place = Place::with_environment();
        place.assert_fails(&equip(place.microsecrets(&WITH_ENV)).run(), 125, said);
        place.assert_fails(&equip(place.microsecrets(&["upload"])).stdin("A=2\n").run(), 2, said);
        assert!(!place.started() && place.fake.requests().is_empty());
    }

    #[test]
    fn that_are_no_endpoint() {
        for endpoint in [
            "ftp://x",
            "http://[::1",
            "127.0.0.1:1",
            "http://127.0.0.1:99999",
            "http://127.0.0.1:1/path?x=1#y",
        ] {
            are_refused(
                |run| run.env("MICROSECRETS_ENDPOINT", endpoint),
                "error: open endpoint: it is not https://HOST or https://HOST:PORT\n\
                 hint: say https://HOST or https://HOST:PORT; http:// only for this machine\n",
            );
        }
        let place = Place::with_environment();
        let outcome = place.microsecrets(&["list", "--endpoint", ""]).run();
        outcome.ends(2);
        let said = place.said(&outcome);
        assert!(said.contains("hint: say https://HOST or"), "{said}");
    }

    #[test]
    fn that_are_no_region() {
        are_refused(
            |run| run.env("MICROSECRETS_REGION", "x/y"),
            "error: open region: a region's name has lower-case letters, digits and hyphens\n\
             hint: say a region such as eu-west-1\n",
        );
        are_refused(
            |run| run.without_env("MICROSECRETS_REGION").env("AWS_REGION", "us-east-1\r"),
            "error: open region of AWS_REGION or AWS_DEFAULT_REGION: a region's name has lower-case letters, digits and \
             hyphens\n\
             hint: say a region such as eu-west-1; from a file with CRLF line ends, a variable ends with a carriage \
             return\n",
        );
    }

    #[test]
    fn that_are_no_proxy() {
        are_refused(
            |run| run.env("HTTPS_PROXY", "socks5://ann:hunter2@proxy:1080"),
            "error: open proxy: its URL is not http://HOST:PORT or https://HOST:PORT\nhint: check HTTPS_PROXY\n",
        );
    }

    #[test]
    fn that_are_no_bundle_of_certificates() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        are_refused(
            |run| run.env("AWS_CA_BUNDLE", file),
            &format!(
                "error: open {file}: the file of certificates to trust holds none that can be used\n\
                 hint: check AWS_CA_BUNDLE: it names a file of certificates in PEM\n"
            ),
        );
    }
}

mod buckets {
    use super::*;

    #[test]
    fn are_not_there() {
        let place = Place::with_environment();
        everything_fails(
            &place,
            |run| run.env("MICROSECRETS_BUCKET", "no-such-bucket"),
            [3, 123],
            "  caused by: get s3://no-such-bucket/services/api/head/environment: no such bucket (NoSuchBucket, request [REQUEST])\n\
             hint: check the bucket's name (-b) and region (-r)\n",
        );
    }

    /// S3 says no more than no; whose bucket it is, is nobody else's business.
    #[test]
    fn are_somebody_elses() {
        let place = Place::with_environment();
        let said = "error: the environment of api is denied, or not there\n  \
                      caused by: get services/api/head/environment: access denied (AccessDenied, request [REQUEST])\n\
                    hint: without s3:ListBucket S3 does not say which; the statement that is missing: \
                    {\"Action\":\"s3:GetObject\",\"Effect\":\"Allow\",\
                    \"Resource\":\"arn:aws:s3:::example-microsecrets/services/api/*\"}\n";
        let other = |run: Run| run.env("MICROSECRETS_BUCKET_OWNER", "999999999999");
        place.assert_fails(&other(place.microsecrets(&WITH_ENV)).run(), 123, said);
        place.assert_fails(&other(place.microsecrets(&["upload"])).stdin("A=2\n").run(), 5, said);
        assert!(!place.started());
        let right = |run: Run| run.env("MICROSECRETS_BUCKET_OWNER", crate::ACCOUNT);
        right(place.microsecrets(&WITH_ENV)).run().prints("");
    }

    #[test]
    fn in_another_region_are_read_there_and_with_v_it_is_said_where() {
        let place = Place::with_environment();
        let there = |run: Run| run.env("MICROSECRETS_REGION", "eu-west-1");
        there(place.microsecrets(&WITH_ENV)).run().prints("");
        let outcome = there(place.microsecrets(&["download", "-v"])).run();
        assert_eq!(
            place.said(&outcome),
            "get services/api/head/environment in s3://example-microsecrets: ok ([TIME])\n\
             the bucket is in region us-east-1: -r us-east-1 saves a request\n"
        );
        outcome.ends(0);
    }

    #[test]
    fn in_another_region_are_not_written_to() {
        let place = Place::with_environment();
        let before = place.fake.keys(BUCKET);
        let run = place.microsecrets(&["upload"]).stdin("A=2\n");
        let outcome = run.env("MICROSECRETS_REGION", "eu-west-1").run();
        place.assert_fails(
            &outcome,
            1,
            "error: cannot upload the environment of api\n  \
               caused by: get services/api/head/environment: the bucket is in region us-east-1 \
             (PermanentRedirect, request [REQUEST])\n\
             hint: say -r us-east-1\n",
        );
        assert_eq!(place.fake.keys(BUCKET), before);
    }

    #[test]
    fn in_another_region_are_listed_there() {
        let place = Place::with_environment();
        place.fake.add_bucket(
            "elsewhere",
            Bucket {
                region: "eu-west-1".to_owned(),
                ..Bucket::default()
            },
        );
        let run = place.microsecrets(&["list"]).env("MICROSECRETS_BUCKET", "elsewhere");
        run.run().prints("");
    }
}

mod keys {
    use super::*;

    #[test]
    fn are_disabled_or_will_be_deleted() {
        let place = Place::with_environment();
        for code in ["KMS.DisabledException", "KMS.KMSInvalidStateException"] {
            match code {
                "KMS.DisabledException" => place.fake.kms().disable_key(&place.key),
                _ => place.fake.kms().schedule_key_deletion(&place.key),
            }
            everything_fails(
                &place,
                unchanged,
                [5, 123],
                &format!(
                    "  caused by: get services/api/head/environment: the key is disabled or not usable \
                     ({code}, request [REQUEST])\n\
                     hint: enable the key, or cancel its deletion, in KMS\n"
                ),
            );
        }
    }

    #[test]
    fn are_disabled_before_the_first_upload() {
        let place = Place::new();
        place.fake.kms().disable_key(&place.key);
        let outcome = place.microsecrets(&["upload"]).stdin("A=1\n").run();
        place.assert_fails(
            &outcome,
            5,
            "error: cannot upload the environment of api\n  \
               caused by: look up key alias/microsecrets-api: the key is disabled or not usable\n  \
               caused by: its state is Disabled, its use ENCRYPT_DECRYPT\n\
             hint: enable the key, or cancel its deletion, in KMS\n",
        );
    }

    #[test]
    fn have_no_such_alias() {
        let place = Place::with_environment();
        place.fake.kms().remove_alias("microsecrets-api");
        let outcome = place.microsecrets(&["upload"]).stdin("A=2\n").run();
        place.assert_fails(
            &outcome,
            3,
            "error: cannot upload the environment of api\n  \
               caused by: look up key alias/microsecrets-api: there is no such key (NotFoundException, request [REQUEST])\n\
             hint: check --kms-key and the region; for a new service, create the key and its alias (alias/microsecrets-api)\n",
        );
        place.microsecrets(&["download"]).run().ends(0);
    }

    #[test]
    fn have_moved() {
        let place = Place::with_environment();
        let other = place.fake.kms().create_key("other");
        place.fake.kms().set_alias("microsecrets-api", &other);
        let before = place.fake.keys(BUCKET);
        let outcome = place.microsecrets(&["upload"]).stdin("A=2\n").run();
        place.assert_fails(
            &outcome,
            6,
            &format!(
                "error: the environment of api is encrypted under [KEY], but would now be under {other}\n\
                 hint: if the key was changed on purpose, say so once with --new-key\n"
            ),
        );
        assert_eq!(place.fake.keys(BUCKET), before);
        place
            .microsecrets(&["upload", "--new-key"])
            .stdin("A=2\n")
            .run()
            .ends(0);
        place.microsecrets(&["upload"]).stdin("A=3\n").run().ends(0);
    }

    #[test]
    fn are_not_the_pinned_one() {
        let place = Place::with_environment();
        let other = place.fake.kms().create_key("other");
        let pinned = |run: Run| run.env("MICROSECRETS_KMS_KEY", &other);
        let said = format!(
            "error: services/api/head/environment is not trusted\n  \
               caused by: it is encrypted under [KEY], but {other} is pinned\n\
             hint: if the key was changed on purpose, pin [KEY] instead\n"
        );
        place.assert_fails(&pinned(place.microsecrets(&WITH_ENV)).run(), 122, &said);
        assert!(!place.started());
        let before = place.fake.keys(BUCKET);
        place.assert_fails(&pinned(place.microsecrets(&["upload"])).stdin("A=2\n").run(), 6, &said);
        assert_eq!(place.fake.keys(BUCKET), before);
        let right = |run: Run| run.env("MICROSECRETS_KMS_KEY", &place.key);
        right(place.microsecrets(&WITH_ENV)).run().prints("");
    }

    #[test]
    fn do_not_answer() {
        let place = Place::with_environment();
        place.fake.fail(Fault::on("kms:*", Failure::Stall).always());
        let outcome = place.microsecrets(&["upload", "--timeout", "1"]).stdin("A=2\n").run();
        place.assert_fails(
            &outcome,
            7,
            "error: cannot upload the environment of api\n  \
               caused by: look up key alias/microsecrets-api: no answer for 1 s\n\
             hint: check the network, or wait longer with --timeout\n",
        );
    }
}

mod answers {
    use super::*;

    /// Every request fails like this.
    fn always(failure: Failure) -> Place {
        let place = Place::with_environment();
        place.fake.fail(Fault::on("*", failure).always());
        place
    }

    #[test]
    fn ask_to_slow_down_for_ever() {
        let place = always(Failure::Status(503, "SlowDown"));
        let said = "  caused by: get services/api/head/environment: asked to slow down (SlowDown, request [REQUEST])\n\
                    hint: try again later, or ask AWS for a higher request rate\n";
        let reading = format!("error: cannot read the environment of api\n{said}");
        place.assert_fails(&place.microsecrets(&WITH_ENV).run(), 124, &reading);
        assert!(!place.started());
        let writing = format!("error: cannot upload the environment of api\n{said}");
        place.assert_fails(&place.microsecrets(&["upload"]).stdin("A=2\n").run(), 7, &writing);
    }

    #[test]
    fn are_errors_of_the_service_for_ever() {
        let place = always(Failure::Status(500, "InternalError"));
        place.assert_fails(
            &place.microsecrets(&WITH_ENV).run(),
            124,
            "error: cannot read the environment of api\n  \
               caused by: get services/api/head/environment: the service failed (InternalError, request [REQUEST])\n\
             hint: try again later\n",
        );
        assert!(!place.started());
    }

    /// As the page of a proxy or of a hotel's network.
    #[test]
    fn are_a_page_of_html() {
        let page = Failure::Answer {
            status: 200,
            content_type: "text/html",
            body: b"<html>please log in</html>".to_vec(),
        };
        everything_fails(
            &always(page),
            unchanged,
            [6, 122],
            "  caused by: get services/api/head/environment: malformed answer: it has no ETag\n\
             hint: something else may have answered in the store's place: check the endpoint and the proxy\n",
        );
    }

    #[test]
    fn are_those_of_something_else() {
        for status in [302, 400, 404] {
            let answer = Failure::Answer {
                status,
                content_type: "text/html",
                body: b"<html>hello</html>".to_vec(),
            };
            everything_fails(
                &always(answer),
                unchanged,
                [1, 125],
                &format!(
                    "  caused by: get services/api/head/environment: unexpected answer {status} ( request [REQUEST])\n\
                     hint: something else may have answered: look whether the endpoint is an S3 service, and at the \
                     proxy\n"
                ),
            );
        }
    }

    #[test]
    fn are_errors_that_say_200() {
        let error = Failure::Answer {
            status: 200,
            content_type: "application/xml",
            body: b"<Error><Code>InternalError</Code><Message>Please try again.</Message></Error>".to_vec(),
        };
        let place = always(error);
        everything_fails(
            &place,
            unchanged,
            [6, 122],
            "  caused by: get services/api/head/environment: malformed answer: it has no ETag\n\
             hint: something else may have answered in the store's place: check the endpoint and the proxy\n",
        );
        place.assert_fails(
            &place.microsecrets(&["list"]).run(),
            7,
            "error: list services/: the service failed (InternalError, request [REQUEST])\n\
             hint: try again later\n",
        );
    }

    #[test]
    fn never_come() {
        let place = always(Failure::Stall);
        for (arguments, status, doing) in [
            (
                &["with-env", "--timeout", "1", "-a", "--", "touch", "started"][..],
                124,
                "read",
            ),
            (&["download", "--timeout", "1"], 7, "read"),
            (&["upload", "--timeout", "1"], 7, "upload"),
        ] {
            let outcome = place.microsecrets(arguments).stdin("A=2\n").run();
            let said = format!(
                "error: cannot {doing} the environment of api\n  \
                   caused by: get services/api/head/environment: no answer for 1 s\n\
                 hint: check the network, or wait longer with --timeout\n"
            );
            place.assert_fails(&outcome, status, &said);
        }
        assert!(!place.started());
    }
}
