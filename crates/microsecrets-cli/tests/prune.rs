//! `microsecrets prune`: the bytes of old versions go, what is said of them stays.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/fake.rs"]
mod fake;

use common::{Outcome, TestEnvironment, terminal};
use fake::{BUCKET, Place};
use serde_json::Value;

/// An environment with versions 1 to so many.
fn grown(versions: u32) -> TestEnvironment {
    let environment = TestEnvironment::new();
    for number in 1..=versions {
        environment.upload(&format!("A={number}\n"));
    }
    environment
}

fn prune(environment: &TestEnvironment, arguments: &[&str]) -> Outcome {
    environment.api(&[&["prune"], arguments].concat()).run()
}

/// The numbers whose bytes are there, oldest first.
fn kept(environment: &TestEnvironment) -> Vec<u64> {
    let rows = environment.history(&[]);
    let kept = rows.iter().rev().filter(|row| row["bytes"] != "pruned");
    kept.map(|row| row["version"].as_u64().unwrap()).collect()
}

const NOTE_OF_2: &str = "note: removed the bytes of 2 versions\n";
const NOTHING: &str = "note: no version of the environment of api is to be removed\n";

#[test]
fn the_newest_are_kept() {
    let environment = grown(4);
    let run = prune(&environment, &["--keep", "2", "--yes"]);
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE\n1  [TIME]  [SHORT]  [SIZE]\n2  [TIME]  [SHORT]  [SIZE]\n"
    );
    assert_eq!(run.stderr, NOTE_OF_2);
    run.ends(0);
    assert_eq!(kept(&environment), [3, 4]);
    prune(&environment, &["--keep", "2", "--yes"]).prints_and_says("", NOTHING);
}

#[test]
fn the_current_version_always_stays() {
    let environment = grown(3);
    prune(&environment, &["--keep", "1", "--yes"]).ends(0);
    assert_eq!(kept(&environment), [3]);
    assert_eq!(environment.value("A"), "3");
    prune(&environment, &["--older-than", "0s", "--yes"]).prints_and_says("", NOTHING);
    prune(&environment, &["--number", "3", "--yes"])
        .fails(2, "error: version 3 of the environment of api is the current one\n");
    prune(&environment, &["--keep", "0", "--yes"]).ends(2);
    assert_eq!(environment.value("A"), "3");
}

#[test]
fn a_version_that_was_put_back_by_its_content_stays_as_well() {
    let environment = TestEnvironment::new();
    for byte in [b'1', b'2', b'1'] {
        environment.upload_file("f", [byte; 100]);
    }
    prune(&environment, &["-f", "f", "--number", "1", "--yes"]).ends(0);
    // The same bytes have a key of their own.
    assert_eq!(environment.did(&["download", "-f", "f"]), "1".repeat(100));
}

#[test]
fn only_what_is_older_goes() {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "0"));
    environment.upload("A=2\n");
    environment.upload("A=3\n");
    // Version 1 is 0.3.4's, taken over.
    let run = prune(&environment, &["--older-than", "365d", "--yes"]);
    assert_eq!(run.table().lines().count(), 2, "{}", run.table());
    run.ends(0);
    assert_eq!(kept(&environment), [2, 3]);
    for age in ["1d", "12h", "30m", "3600s"] {
        prune(&environment, &["--older-than", age, "--yes"]).prints_and_says("", NOTHING);
    }
    for age in ["", "d", "1", "1w", "-1d", "1.5d"] {
        let run = prune(&environment, &[&format!("--older-than={age}"), "--yes"]);
        run.ends(2);
    }
}

#[test]
fn both_together_remove_what_both_allow() {
    let environment = grown(4);
    prune(&environment, &["--keep", "2", "--older-than", "1d", "--yes"]).prints_and_says("", NOTHING);
    assert_eq!(kept(&environment), [1, 2, 3, 4]);
}

#[test]
fn a_protected_version_is_kept() {
    let environment = grown(4);
    let rows = environment.history(&[]);
    let checksum = |number: usize| rows[4 - number]["checksum"].as_str().unwrap();
    let arguments = [
        "--keep",
        "1",
        "--protect",
        checksum(1),
        "--protect",
        checksum(3),
        "--yes",
    ];
    prune(&environment, &arguments).ends(0);
    assert_eq!(kept(&environment), [1, 3, 4]);
    let run = prune(&environment, &["--keep", "1", "--protect", "abc"]);
    assert!(
        run.ends(2)
            .stderr
            .starts_with("error: --protect cannot be 'abc': not a checksum: "),
        "{}",
        run.stderr
    );
}

#[test]
fn one_number_is_revoked() {
    let environment = grown(4);
    let run = prune(&environment, &["--number", "2", "--yes"]);
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE\n2  [TIME]  [SHORT]  [SIZE]\n"
    );
    assert_eq!(run.stderr, "note: removed the bytes of 1 version\n");
    assert_eq!(kept(&environment), [1, 3, 4]);
    prune(&environment, &["--number", "2", "--yes"]).prints_and_says("", NOTHING);
    let run = prune(&environment, &["--number", "9", "--yes"]);
    assert!(
        run.ends(3)
            .stderr
            .starts_with("error: the environment of api has no version 9\n"),
        "{}",
        run.stderr
    );
    prune(&environment, &["--number", "2", "--keep", "1"]).ends(2);
}

#[test]
fn a_dry_run_removes_nothing() {
    let environment = grown(3);
    let before = environment.store();
    let run = prune(&environment, &["--keep", "1", "--dry-run"]);
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE\n1  [TIME]  [SHORT]  [SIZE]\n2  [TIME]  [SHORT]  [SIZE]\n"
    );
    assert_eq!(run.stderr, "note: nothing was removed\n");
    run.ends(0);
    assert!(environment.store() == before);
}

#[test]
fn as_json_the_versions_are_a_list() {
    let environment = grown(3);
    let run = prune(&environment, &["--keep", "1", "--dry-run", "--format", "json"]);
    let rows: Value = serde_json::from_str(&run.raw_stdout()).unwrap();
    let history = environment.history(&[]);
    for (row, of_history) in rows.as_array().unwrap().iter().zip([&history[2], &history[1]]) {
        for field in ["version", "time", "checksum", "size"] {
            assert_eq!(row[field], of_history[field]);
        }
    }
    assert_eq!(rows.as_array().unwrap().len(), 2);
    prune(&environment, &["--keep", "3", "--format", "json"]).prints_and_says("[]\n", NOTHING);
}

#[test]
fn without_a_terminal_and_without_a_word_nothing_is_removed() {
    let environment = grown(3);
    let before = environment.store();
    let run = environment.api(&["prune", "--keep", "1"]).stdin("y\n").run();
    assert_eq!(
        run.stderr,
        "error: nothing was done: it was not confirmed\nhint: say --yes to do it without being asked\n"
    );
    run.ends(1);
    assert!(environment.store() == before);
}

#[test]
fn at_a_terminal_it_is_asked_for() {
    if !terminal::is_there() {
        return;
    }
    let environment = grown(3);
    let question = "Remove the bytes of 2 versions of the environment of api? [y/N] ";
    let run = environment.api(&["prune", "--keep", "1"]).typed(&[(question, "n\n")]);
    run.ends(1);
    assert_eq!(kept(&environment), [1, 2, 3]);
    let run = environment.api(&["prune", "--keep", "1"]).typed(&[(question, "y\n")]);
    assert!(run.shown().ends_with(NOTE_OF_2), "{}", run.shown());
    assert_eq!(kept(&environment), [3]);
}

#[test]
fn which_ones_must_be_said() {
    let environment = grown(2);
    prune(&environment, &["--yes"]).fails(
        2,
        "error: nothing says which versions\n\
         hint: say --keep N for the newest that stay, --older-than 90d for the age of those that go, or --number N \
         for one\n",
    );
}

#[test]
fn what_was_pruned_is_said_to_be() {
    let environment = grown(3);
    prune(&environment, &["--number", "2", "--yes"]).ends(0);
    let table = environment.api(&["history"]).run().table();
    assert!(
        table.contains("\n2  [TIME]  [SHORT]  pruned  upload  ann@[HOST]\n"),
        "{table}"
    );
    assert_eq!(environment.history(&[])[1]["bytes"], "pruned");
    let said = "error: version 2 of the environment of api was pruned\n\
        hint: `microsecrets history` shows which versions have bytes\n";
    let run = environment
        .api(&["with-env", "-a", "--at", "2", "--", "touch", "started"])
        .run();
    run.fails(123, said);
    assert!(!environment.exists("started"));
    environment.api(&["get", "A", "--at", "2"]).run().fails(3, said);
    environment.api(&["rollback", "2", "--yes"]).run().fails(3, said);
    // Its neighbours are not.
    assert_eq!(environment.did(&["get", "A", "--at", "1"]), "1");
}

#[test]
fn a_deleted_environment_can_still_be_brought_back() {
    let environment = grown(3);
    environment.did(&["delete", "--yes"]);
    prune(&environment, &["--keep", "1", "--yes"]).ends(0);
    environment.did(&["rollback", "previous", "--yes"]);
    assert_eq!(environment.value("A"), "3");
    assert_eq!(kept(&environment), [3, 4, 5]);
}

#[test]
fn files_are_pruned_whatever_their_size() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    for (label, size) in [("small", 100), ("large", 1_500_000)] {
        for byte in [b'1', b'2'] {
            environment.upload_file(label, vec![byte; size]);
        }
        let objects = environment.store().len();
        prune(&environment, &["-f", label, "--keep", "1", "--yes"]).ends(0);
        assert_eq!(environment.store().len(), objects - 1);
        environment.api(&["download", "-f", label, "--at", "1"]).run().ends(3);
        assert_eq!(environment.did(&["download", "-f", label]).len(), size);
    }
}

#[test]
fn what_nobody_has_taken_over_stays() {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "first"));
    let before = environment.store();
    let run = prune(&environment, &["--keep", "1", "--yes"]);
    assert!(!run.status.success(), "only 0.3.4 wrote it");
    run.is_well_formed();
    assert!(environment.store() == before);

    environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "second"));
    environment.upload("A=third\n");
    prune(&environment, &["--keep", "1", "--yes"]).ends(0);
    // The second one is version 1 since the upload; the first one has no number.
    assert_eq!(environment.did(&["get", "A", "--at", "@2016-12-31"]), "first");
    environment.api(&["get", "A", "--at", "1"]).run().ends(3);
}

#[test]
fn of_what_is_not_there_is_not_found() {
    let environment = grown(1);
    let run = environment
        .microsecrets(&["prune", "--keep", "1", "-s", "nosuch"])
        .run();
    run.fails(
        3,
        "error: there is no environment of nosuch in file:[DIR]/store\n\
         hint: check bucket and service, or publish it first with `microsecrets upload`\n",
    );
}

mod in_a_bucket_with_versioning {
    use super::*;

    const WARNING: &str =
        "warning: the bucket has versioning and still holds the removed bytes; --purge removes them for good\n";

    /// Two versions of an environment, and the keys of their bytes, oldest first.
    fn two_versions() -> (Place, Vec<String>) {
        let place = Place::new();
        place.upload("A=1\n");
        place.upload("A=2\n");
        let keys = place.fake.keys(BUCKET).into_iter();
        let keys = keys
            .filter(|key| key.starts_with("services/api/environment/"))
            .collect();
        (place, keys)
    }

    fn held(place: &Place, key: &str) -> usize {
        place.fake.versions(BUCKET, key).len()
    }

    #[test]
    fn the_bytes_are_still_held_and_that_is_said() {
        let (place, keys) = two_versions();
        let run = place.microsecrets(&["prune", "--keep", "1", "--yes"]).run();
        assert_eq!(run.stderr, format!("{WARNING}note: removed the bytes of 1 version\n"));
        run.ends(0);
        assert!(place.fake.object(BUCKET, &keys[0]).is_none());
        assert_eq!(held(&place, &keys[0]), 1);
    }

    #[test]
    fn purge_removes_them_for_good() {
        let (place, keys) = two_versions();
        let run = place.microsecrets(&["prune", "--keep", "1", "--yes", "--purge"]).run();
        assert_eq!(run.stderr, "note: removed the bytes of 1 version\n");
        run.ends(0);
        assert_eq!((held(&place, &keys[0]), held(&place, &keys[1])), (0, 1));
        // Nothing is left of the key, not even a delete marker.
        assert!(!place.fake.remove_newest(BUCKET, &keys[0]));
        place.microsecrets(&["get", "A"]).run().prints("2");
        place.microsecrets(&["get", "A", "--at", "1"]).run().ends(3);
    }

    #[test]
    fn purge_also_removes_what_was_pruned_before() {
        let (place, keys) = two_versions();
        place.microsecrets(&["prune", "--number", "1", "--yes"]).run().ends(0);
        assert_eq!(held(&place, &keys[0]), 1);
        place
            .microsecrets(&["prune", "--number", "1", "--yes", "--purge"])
            .run()
            .ends(0);
        assert_eq!(held(&place, &keys[0]), 0);
    }

    #[test]
    fn a_dry_run_of_purge_removes_nothing() {
        let (place, keys) = two_versions();
        let run = place
            .microsecrets(&["prune", "--keep", "1", "--dry-run", "--purge"])
            .run();
        assert_eq!(run.stderr, "note: nothing was removed\n");
        assert!(place.fake.object(BUCKET, &keys[0]).is_some());
    }
}
