//! Something goes wrong at every single request of a command, in turn: it is tried again, or the command fails as a
//! whole. Nothing is started on less than everything, no file is there in part, no version twice.

use microsecrets::document::Document;
use strict_fake::{Failure, Fault};

use crate::common::Outcome;
use crate::{BUCKET, Place};

/// What can happen to a request.
fn failures() -> [Failure; 5] {
    [
        Failure::Status(503, "ServiceUnavailable"),
        Failure::Reset,
        Failure::LoseAnswer,
        Failure::TruncateBody(10),
        Failure::CorruptBody {
            at: 800,
            strip_checksums: false,
        },
    ]
}

/// Lets the n-th request of a command fail, for every n until there are no more requests.
fn at_every_request(place: &Place, failure: &Failure, mut command: impl FnMut(&str)) {
    for nth in 1.. {
        place.fake.clear_faults();
        let fault = place.fake.fail(Fault::on("*", failure.clone()).nth(nth));
        command(&format!("{failure:?} at request {nth}"));
        if fault.fired() == 0 {
            assert!(nth > 1, "nothing was asked at all");
            return;
        }
    }
    place.fake.clear_faults();
}

/// A failure that is one: a message, and a status that tells what to do about it.
#[track_caller]
fn assert_clean_failure(outcome: &Outcome, statuses: &[i32], what: &str) {
    let status = outcome.status.code().unwrap_or(-1);
    assert!(
        statuses.contains(&status),
        "{what}: status {status}: {}",
        outcome.stderr
    );
    assert!(outcome.stderr.starts_with("error: "), "{what}: {}", outcome.stderr);
    assert_eq!(outcome.raw_stdout(), "", "{what}");
}

#[test]
fn with_env_starts_its_command_on_everything_or_not_at_all() {
    let place = Place::new();
    let value = "v".repeat(2_000);
    place.upload(&format!("A={value}\nB=2\n"));
    place.upload_file("large", &vec![7; (1 << 20) + 1]);
    let complete = format!("test \"$A$B\" = {value}2 && test $(wc -c < large) = 1048577 && touch started");
    let arguments = ["with-env", "-a", "-f", "large:large", "--", "sh", "-c", &complete];
    for failure in failures() {
        at_every_request(&place, &failure, |what| {
            for name in ["started", "large"] {
                std::fs::remove_file(place.machine.path(name)).ok();
            }
            let outcome = place.microsecrets(&arguments).run();
            if outcome.status.success() {
                assert!(place.started(), "{what}");
            } else {
                // What is corrupt is not trusted. What may pass was tried again, but for a body that has begun.
                assert_clean_failure(&outcome, &[122, 124], what);
                assert!(
                    matches!(failure, Failure::CorruptBody { .. } | Failure::TruncateBody(_)),
                    "{what}"
                );
                assert!(!place.started() && !place.machine.exists("large"), "{what}");
            }
        });
    }
}

#[test]
fn a_file_is_placed_whole_or_not_at_all() {
    let place = Place::new();
    for (label, size) in [("small", 2_000), ("large", 3 << 20)] {
        let bytes = vec![7; size];
        place.upload_file(label, &bytes);
        let spec = format!("{label}:placed/file");
        for failure in failures() {
            at_every_request(&place, &failure, |what| {
                std::fs::remove_dir_all(place.machine.path("placed")).ok();
                std::fs::create_dir(place.machine.path("placed")).unwrap();
                let outcome = place.microsecrets(&["download", "-f", &spec]).run();
                let files = std::fs::read_dir(place.machine.path("placed")).unwrap().count();
                if outcome.status.success() {
                    assert!(place.machine.read("placed/file") == bytes, "{what}");
                    assert_eq!(files, 1, "{what}");
                } else {
                    assert_clean_failure(&outcome, &[6, 7], what);
                    assert_eq!(files, 0, "{what}");
                }
            });
        }
    }
}

/// Uploads with a fault at every request, over and over, each time the first version or the next one: it is one version
/// more or none, and the next upload works.
#[track_caller]
fn upload_at_every_request(item: &str, arguments: &[&str], failure: &Failure, first: bool) {
    let place = Place::new();
    let is_file = item != "environment";
    let (mut number, mut round) = (0, 0);
    at_every_request(&place, failure, |what| {
        if first {
            for key in place.fake.keys(BUCKET) {
                place.fake.remove(BUCKET, &key);
            }
            number = 0;
        }
        // A file of a size of its own, too large for a head.
        round += 1;
        let content = match is_file {
            true => vec![b'x'; LARGE + round],
            false => format!("ROUND={round}\n").into_bytes(),
        };
        place.machine.write("input", &content);
        let outcome = place.microsecrets(arguments).run();
        place.fake.clear_faults();
        if !outcome.status.success() {
            assert_clean_failure(&outcome, &[7], what);
            assert_eq!(place.version(item), number, "{what}: {}", outcome.stderr);
            // Nothing stands in the way of the next one.
            place.microsecrets(arguments).run().ends(0);
        }
        number += 1;
        assert_eq!(place.version(item), number, "{what}: {}", outcome.stderr);
        let head = place.head(item);
        if is_file {
            assert_eq!(head.record().size, content.len() as u64, "{what}");
            let key = format!("services/api/files/x/{}", head.record().name);
            assert!(place.fake.object(BUCKET, &key).unwrap().body == content, "{what}");
        } else {
            let document = Document::parse(head.bytes().expose()).unwrap();
            let value = document.variables.value("ROUND").unwrap().expose();
            assert_eq!(value, round.to_string(), "{what}");
        }
        // Every version is there, once: it has a number, a name, and bytes.
        let keys = place.fake.keys(BUCKET);
        let count = |part: &str| keys.iter().filter(|key| key.contains(part)).count() as u64;
        let counted = (count("/log/"), count("/environment/20") + count("/files/x/"));
        assert_eq!(counted, (number, number), "{what}: {}", outcome.stderr);
    });
    assert!(place.fake.uploads(BUCKET).is_empty());
}

const LARGE: usize = 1 << 20;

fn environments(failure: &Failure) {
    for first in [true, false] {
        upload_at_every_request("environment", &["upload", "input"], failure, first);
    }
}

#[test]
fn an_environment_is_one_version_more_or_none_when_the_service_fails() {
    environments(&Failure::Status(503, "ServiceUnavailable"));
}

#[test]
fn an_environment_is_one_version_more_or_none_when_the_connection_breaks() {
    environments(&Failure::Reset);
}

#[test]
fn an_environment_is_one_version_more_or_none_when_an_answer_is_lost() {
    environments(&Failure::LoseAnswer);
}

#[test]
fn an_environment_is_one_version_more_or_none_when_an_answer_is_cut_short() {
    environments(&Failure::TruncateBody(10));
}

#[test]
fn a_large_file_is_one_version_more_or_none() {
    for failure in [Failure::Status(503, "ServiceUnavailable"), Failure::LoseAnswer] {
        upload_at_every_request("file/x", &["upload", "-f", "x", "input"], &failure, false);
    }
}

/// From some request on, everything is refused: before the commit nothing has happened, after it only what the next
/// write completes is missing.
#[test]
fn rights_that_end_in_the_middle_of_an_upload_leave_the_old_version_or_the_new_one() {
    let place = Place::new();
    place.upload("ROUND=0\n");
    let (mut number, mut warned) = (1, 0);
    for nth in 1..=11 {
        place.fake.clear_faults();
        let denied = Failure::Status(403, "AccessDenied");
        place.fake.fail(Fault::on("*", denied).nth(nth).always());
        place.machine.write("input", format!("ROUND={nth}\n"));
        let outcome = place.microsecrets(&["upload", "input"]).run();
        place.fake.clear_faults();
        let what = format!("from request {nth} on: {}", outcome.stderr);
        if outcome.status.success() {
            number += 1;
            assert!(
                outcome.stderr.is_empty() || outcome.stderr.starts_with("warning: committed, but not complete"),
                "{what}"
            );
            warned += usize::from(!outcome.stderr.is_empty());
        } else {
            assert_clean_failure(&outcome, &[5], &what);
        }
        assert_eq!(place.version("environment"), number, "{what}");
        place.microsecrets(&["download"]).run().ends(0);
    }
    assert!(
        warned > 0 && number > 2,
        "some were refused after the commit, and the last ones not at all"
    );
    place.upload("ROUND=12\n");
    let logged = place.fake.keys(BUCKET).into_iter().filter(|key| key.contains("/log/"));
    assert_eq!(logged.count() as u64, number + 1);
}

/// The answer to the commit is lost, and nobody can be asked any more: it is neither success nor failure.
#[test]
fn a_commit_of_which_nothing_can_be_known_is_said_to_be_one() {
    let place = Place::with_environment();
    let key = "services/api/head/environment";
    place.fake.fail(Fault::on("PutObject", Failure::LoseAnswer).key(key));
    let denied = Failure::Status(403, "AccessDenied");
    place.fake.fail(Fault::on("GetObject", denied).key(key).nth(2).always());
    let outcome = place.microsecrets(&["upload"]).stdin("A=2\n").run();
    place.assert_fails(
        &outcome,
        7,
        "error: the environment of api may or may not be committed, as version 2 with checksum [CHECKSUM]\n  \
           caused by: put services/api/head/environment: somebody else wrote it first \
         (PreconditionFailed, request [REQUEST])\n\
         hint: look with `microsecrets history` whether that version is there before you try again\n",
    );
    place.fake.clear_faults();
    assert_eq!(place.version("environment"), 2);
}
