//! No output has a secret in it: none of the service's, none of AWS's, whatever is asked and however it ends.

use std::fs;

use strict_fake::{Failure, Fault};

use crate::common::Run;
use crate::common::canary::Canary;
use crate::{ACCOUNT, Place};

/// Tells all that can be told.
fn talkative(run: Run) -> Run {
    run.env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .env("AWS_LOG_LEVEL", "trace")
}

/// What may happen to a request, or to all of them.
fn failures() -> Vec<Failure> {
    let page = b"<html>please log in</html>".to_vec();
    vec![
        Failure::Status(403, "AccessDenied"),
        Failure::Status(400, "ExpiredToken"),
        Failure::Status(412, "PreconditionFailed"),
        Failure::TruncateBody(600),
        Failure::CorruptBody {
            at: 700,
            strip_checksums: false,
        },
        Failure::CorruptBody {
            at: 700,
            strip_checksums: true,
        },
        Failure::Answer {
            status: 200,
            content_type: "text/html",
            body: page,
        },
    ]
}

#[test]
fn a_secret_is_in_no_output() {
    let (secret, key, token) = (Canary::new(), Canary::new(), Canary::new());
    let place = Place::new();
    let ann = place.fake.admin("AKIAANN", &key.text, ACCOUNT);
    place.fake.set_session_token(&ann, &token.text);
    let pairs = format!("SECRET={}\n", secret.text);
    place.machine.write("pairs", &pairs);
    place.machine.write("file", secret.text.repeat(40_000));
    let run = |arguments: &[&str]| {
        let run = place
            .microsecrets_of(&ann, arguments)
            .env("AWS_SESSION_TOKEN", &token.text);
        let outcome = talkative(run).stdin(&pairs).run();
        for canary in [&secret, &key, &token] {
            canary.is_not_in(&outcome);
        }
        for word in ["AWS4-HMAC-SHA256", "Signature="] {
            assert!(!outcome.stderr.contains(word), "{}", outcome.stderr);
        }
        outcome
    };
    let commands: [&[&str]; 7] = [
        &["upload", "-v", "-d"],
        &["upload", "-v", "--force", "pairs"],
        &["upload", "-v", "-f", "large", "file"],
        &["with-env", "-v", "-a", "--", "true"],
        &["download", "-v", "-f", "large:copy", "--force"],
        &["list", "-v", "api"],
        &["migrate", "-v"],
    ];
    for arguments in commands {
        run(arguments).ends(0);
    }
    for failure in failures() {
        for every in [false, true] {
            for arguments in commands {
                place.fake.clear_faults();
                let fault = Fault::on("*", failure.clone());
                place.fake.fail(if every { fault.always() } else { fault.nth(3) });
                fs::remove_file(place.machine.path("copy")).ok();
                run(arguments);
            }
        }
    }
}

/// Where the answer is what the document should be: what is not one is not quoted.
#[test]
fn a_secret_in_a_bad_document_is_in_no_output() {
    let secret = Canary::new();
    let place = Place::new();
    for bad in [
        format!(r#"{{"environment": {{"A": "{}"}}, "metadata": []}}"#, secret.text),
        format!(r#"{{"environment": {{"A": ["{}"]}}, "metadata": {{}}}}"#, secret.text),
        format!(r#"{{"environment": {{"A": "{}""#, secret.text),
        format!(
            r#"{{"environment": {{"A": "{0}", "A": "{0}"}}, "metadata": {{}}}}"#,
            secret.text
        ),
        format!(r#"{{"environment": "{}", "metadata": {{}}}}"#, secret.text),
        format!("\"{}\"", secret.text),
        secret.text.clone(),
    ] {
        let checksum = microsecrets::checksum::Checksum::of(bad.as_bytes());
        let key = format!("services/api/environment/2020-01-01.00-00-00.{checksum}.json");
        place.put_raw(&key, bad.as_bytes());
        for arguments in [
            &["with-env", "-a", "--", "touch", "started"][..],
            &["download", "-v"],
            &["upload", "-v"],
            &["list", "api"],
        ] {
            let outcome = talkative(place.microsecrets(arguments)).stdin("A=1\n").run();
            secret.is_not_in(&outcome);
            assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        }
        assert!(!place.started(), "{bad}");
        place.fake.remove(crate::BUCKET, &key);
    }
}
