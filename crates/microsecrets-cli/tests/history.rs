//! `microsecrets history` and `show`: what was committed, when, by whom and why.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;

use common::TestEnvironment;
use common::api::rows;
use serde_json::{Value, json};

/// An environment with a version of each kind that a person makes.
fn grown() -> TestEnvironment {
    let environment = TestEnvironment::new();
    environment.upload_with(&["-s", "api", "-m", "the first"], "A=1\n");
    environment.set("B", "2");
    environment.did(&["unset", "A", "-m", "not used\tany more"]);
    environment.did(&["rollback", "1", "--yes"]);
    environment
}

#[test]
fn every_version_is_a_row_newest_first() {
    let environment = grown();
    let run = environment.api(&["history"]).run();
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n\
         4  [TIME]  [SHORT]  [SIZE]  rollback to 1  ann@[HOST]\n\
         3  [TIME]  [SHORT]  [SIZE]  unset  ann@[HOST]  not used\\u{9}any more\n\
         2  [TIME]  [SHORT]  [SIZE]  set  ann@[HOST]\n\
         1  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]  the first\n"
    );
    assert_eq!(run.stderr, "");
    // The columns stand under their titles.
    let text = run.raw_stdout();
    let lines: Vec<&str> = text.lines().collect();
    let kind = lines[0].find("KIND").unwrap();
    assert_eq!(&lines[1][kind..kind + 13], "rollback to 1");
    assert_eq!(&lines[4][kind..kind + 6], "upload");
}

#[test]
fn as_json_each_version_is_an_object_on_a_line() {
    let environment = TestEnvironment::new();
    let first = environment.upload_with(&["-s", "api", "-m", "why\nnot"], "A=1\n");
    let second = environment.upload("A=2\n");
    let rows = environment.history(&[]);
    assert_eq!(rows.len(), 2);
    for (row, version, checksum, message, bytes) in [
        (&rows[0], 2, &second, Value::Null, "current"),
        (&rows[1], 1, &first, json!("why\nnot"), "kept"),
    ] {
        assert_eq!(row["version"], version);
        assert_eq!(row["checksum"], **checksum);
        assert_eq!(row["message"], message);
        assert_eq!(row["bytes"], bytes);
        assert_eq!(row["kind"], "upload");
        assert!(row["size"].as_u64().unwrap() > 100, "{row}");
        assert!(row["user"].as_str().unwrap().starts_with("ann@"), "{row}");
        let (name, time) = (row["name"].as_str().unwrap(), row["time"].as_str().unwrap());
        assert!(name.ends_with(&format!(".{checksum}")), "{row}");
        assert_eq!(name[..10], time[..10]);
        assert!(time.ends_with('Z'), "{row}");
    }
}

#[test]
fn a_limit_shows_the_newest_and_says_that_there_are_more() {
    let environment = grown();
    let run = environment.api(&["history", "--limit", "2"]).run();
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n\
         4  [TIME]  [SHORT]  [SIZE]  rollback to 1  ann@[HOST]\n\
         3  [TIME]  [SHORT]  [SIZE]  unset  ann@[HOST]  not used\\u{9}any more\n"
    );
    assert_eq!(
        run.stderr,
        "note: there are older versions: --limit N or --all shows them\n"
    );
    // Those who read JSON count for themselves.
    let run = environment.api(&["history", "--limit", "2", "--format", "json"]).run();
    assert_eq!((rows(&run.raw_stdout()).len(), run.stderr.as_str()), (2, ""));
    // Nothing is older than all of them.
    let run = environment.api(&["history", "--limit", "4"]).run();
    assert_eq!((run.raw_stdout().lines().count(), run.stderr.as_str()), (5, ""));
}

#[test]
fn twenty_are_shown_unless_all_are_asked_for_whatever_the_pages() {
    let environment = TestEnvironment::new();
    // More than two pages, of a file: there is nothing to merge.
    for number in 0..205 {
        environment.upload_file("f", format!("{number:0100}"));
    }
    let run = environment.api(&["history", "-f", "f"]).run();
    let text = run.raw_stdout();
    let numbers: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let wanted: Vec<String> = (186..=205).rev().map(|number: u32| number.to_string()).collect();
    assert_eq!(numbers, wanted);
    assert_eq!(
        run.stderr,
        "note: there are older versions: --limit N or --all shows them\n"
    );

    let all: Vec<u64> = environment
        .history(&["-f", "f"])
        .iter()
        .map(|row| row["version"].as_u64().unwrap())
        .collect();
    assert_eq!(all, (1..=205).rev().collect::<Vec<u64>>());
    let text = environment.did(&["history", "-f", "f", "--all"]);
    assert_eq!(text.lines().count(), 206, "one line of titles, whatever the pages");
    let rows = rows(&environment.did(&["history", "-f", "f", "--limit", "150", "--format", "json"]));
    assert_eq!((rows.len(), &rows[149]["version"]), (150, &json!(56)));
}

#[test]
fn a_file_has_a_history_of_its_own() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload_file("tls.pem", [b'x'; 100]);
    environment.upload_file("tls.pem", vec![b'x'; 1_500_000]);
    let run = environment.api(&["history", "-f", "tls.pem"]).run();
    assert_eq!(
        run.table(),
        "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n\
         2  [TIME]  [SHORT]  1500000  upload  ann@[HOST]\n\
         1  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]\n"
    );
}

#[test]
fn deletions_and_pruned_versions_are_shown_as_such() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.upload("A=2\n");
    environment.did(&["delete", "--yes", "-m", "gone"]);
    environment.did(&["rollback", "2", "--yes"]);
    environment.did(&["prune", "--number", "1", "--yes"]);
    assert_eq!(
        environment.api(&["history"]).run().table(),
        "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n\
         4  [TIME]  [SHORT]  [SIZE]  rollback to 2  ann@[HOST]\n\
         3  [TIME]  -  -  delete  ann@[HOST]  gone\n\
         2  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]\n\
         1  [TIME]  [SHORT]  pruned  upload  ann@[HOST]\n"
    );
    let bytes: Vec<Value> = environment
        .history(&[])
        .into_iter()
        .map(|mut row| row["bytes"].take())
        .collect();
    assert_eq!(bytes, ["current", "deletion", "kept", "pruned"]);
}

#[test]
fn a_deletion_that_is_current_is_the_first_row() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.did(&["delete", "--yes"]);
    let rows = environment.history(&[]);
    assert_eq!(rows[0]["kind"], "delete");
    assert_eq!(rows[1]["kind"], "upload");
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_number_whose_record_is_missing_is_shown_as_such() {
    let environment = grown();
    let log = environment.path("store/services/api/log/environment");
    fs::remove_file(log.join("00000002")).unwrap();
    let run = environment.api(&["history"]).run();
    let table = run.ends(0).table();
    let line = table.lines().find(|line| line.starts_with("2 ")).unwrap();
    assert!(line.contains("(record missing)"), "{table}");
    assert_eq!(table.lines().count(), 5, "the others are there: {table}");
    let row = &environment.history(&[])[2];
    assert_eq!((&row["version"], &row["kind"]), (&json!(2), &json!("(record missing)")));
    assert_eq!((&row["bytes"], &row["user"]), (&json!("unknown"), &Value::Null));
}

#[test]
fn what_0_3_4_wrote_has_no_number_until_it_is_taken_over() {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "first"));
    environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "second"));
    let unnumbered = "-  2017-05-04T03:02:01Z  [SHORT]  83  0.3.4  -\n-  2016-05-04T03:02:01Z  [SHORT]  82  0.3.4  -\n";
    let run = environment.api(&["history"]).run();
    let times = |text: &str| {
        let text = text.replace("2017-05-04T03:02:01Z", "[TIME]");
        text.replace("2016-05-04T03:02:01Z", "[TIME]")
    };
    let title = "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n";
    assert_eq!(run.table(), format!("{title}{}", times(unnumbered)));

    // Ours comes on top, and the last one of 0.3.4 got a number; what was before has none.
    environment.upload("A=third\n");
    let run = environment.api(&["history"]).run();
    assert_eq!(
        run.table(),
        format!(
            "{title}2  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]\n\
             1  [TIME]  [SHORT]  83  adopted  ann@[HOST]\n\
             -  [TIME]  [SHORT]  82  0.3.4  -\n"
        )
    );
    let rows = environment.history(&[]);
    assert_eq!(rows[1]["time"], "2017-05-04T03:02:01Z");
    assert_eq!(
        (&rows[2]["version"], &rows[2]["time"]),
        (&Value::Null, &json!("2016-05-04T03:02:01Z"))
    );
}

#[test]
fn what_0_3_4_wrote_between_ours_stands_between_them() {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "old"));
    environment.upload("A=ours\n");
    for value in ["theirs", "theirs too"] {
        // A name later than what is there, and not of the future.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        let now = microsecrets::time::Timestamp::now().to_string();
        let now = now.trim_end_matches('Z').replace('T', ".").replace(':', "-");
        environment.put_by_0_3_4("api", &now, ("A", value));
    }
    assert_eq!(environment.value("A"), "theirs too");
    const OURS: &str = "2  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]\n1  [TIME]  [SHORT]  80  adopted  ann@[HOST]\n";
    let title = "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n";
    assert_eq!(
        environment.api(&["history"]).run().table(),
        format!("{title}-  [TIME]  [SHORT]  87  0.3.4  -\n-  [TIME]  [SHORT]  83  0.3.4  -\n{OURS}")
    );
    // The next write takes over what is current, and nothing else.
    environment.upload("A=ours again\n");
    assert_eq!(
        environment.api(&["history"]).run().table(),
        format!(
            "{title}4  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]\n\
             3  [TIME]  [SHORT]  87  adopted  ann@[HOST]\n\
             -  [TIME]  [SHORT]  83  0.3.4  -\n{OURS}"
        )
    );
    // A page that ends between them goes on where it ended.
    let limited = environment.api(&["history", "--limit", "3"]).run();
    assert!(
        limited.table().ends_with("\n-  [TIME]  [SHORT]  83  0.3.4  -\n"),
        "{}",
        limited.table()
    );
    assert_eq!(
        limited.stderr,
        "note: there are older versions: --limit N or --all shows them\n"
    );
}

#[test]
fn what_is_not_there_has_no_history() {
    let environment = TestEnvironment::new();
    environment.upload("A=1\n");
    environment.microsecrets(&["history", "-s", "nosuch"]).run().fails(
        3,
        "error: there is no environment of nosuch in file:[DIR]/store\n\
         hint: check bucket and service, or publish it first with `microsecrets upload`\n",
    );
    environment.api(&["history", "-f", "nosuch"]).run().fails(
        3,
        "error: there is no file nosuch of api in file:[DIR]/store\n\
         hint: check bucket and service, or publish it first with `microsecrets upload`\n",
    );
    for (limit, why) in [("0", "0 is not in 1..=1000"), ("1001", "1001 is not in 1..=1000")] {
        let run = environment.api(&["history", "--limit", limit]).run();
        assert!(run.stderr.contains(why), "{}", run.stderr);
        run.ends(2);
    }
    environment.api(&["history", "--limit", "1", "--all"]).run().ends(2);
}

mod show {
    use super::*;

    #[test]
    fn tells_the_facts_and_the_names_but_no_values() {
        let environment = grown();
        environment.set("SECRET", "hunter2");
        environment.did(&["set", "-q", "--insecure-argv", "-m", "because", "Z=1"]);
        let run = environment.api(&["show"]).run();
        assert_eq!(
            run.table(),
            "item:  environment of api\n\
             version:  6\n\
             time:  [TIME]\n\
             checksum:  [CHECKSUM]\n\
             path:  services/api/environment/[TIME].[CHECKSUM].json\n\
             size:  [SIZE]\n\
             encryption:  the store's own encryption\n\
             kind:  set\n\
             by:  ann@[HOST]\n\
             message:  because\n\
             A\nSECRET\nZ\n"
        );
        assert_eq!(run.stderr, "");
    }

    #[test]
    fn tells_the_values_when_asked_to() {
        let environment = grown();
        let text = environment.did(&["show", "--values", "--at", "2"]);
        assert!(text.ends_with("\n  A=1\n  B=2\n"), "{text}");
        let shown: Value =
            serde_json::from_str(&environment.did(&["show", "--values", "--format", "json", "--at", "2"])).unwrap();
        assert_eq!(shown["variables"], json!({"A": "1", "B": "2"}));
    }

    #[test]
    fn as_json_has_names_without_values() {
        let environment = grown();
        let shown: Value = serde_json::from_str(&environment.did(&["show", "--format", "json"])).unwrap();
        assert_eq!(shown["variables"], json!({"A": null}));
        assert_eq!(shown["kind"], "rollback to 1");
        assert_eq!(shown["item"], "environment");
        // As `history` has them.
        let row = &environment.history(&[])[0];
        for field in ["version", "size", "time", "checksum"] {
            assert_eq!(shown[field], row[field], "{field}");
        }
    }

    #[test]
    fn of_a_file_tells_its_mode() {
        let environment = TestEnvironment::new();
        environment.write("key.pem", [b'x'; 100]);
        common::set_mode(&environment.path("key.pem"), 0o640);
        environment.did(&["upload", "-q", "-f", "key.pem", "key.pem"]);
        let table = environment.api(&["show", "-f", "key.pem"]).run().table();
        assert!(
            table.starts_with("item:  file key.pem of api\nversion:  1\n"),
            "{table}"
        );
        assert!(
            table.ends_with(
                "size:  [SIZE]\nencryption:  the store's own encryption\nkind:  upload\nby:  ann@[HOST]\nmode:  0640\n"
            ),
            "{table}"
        );
    }

    #[test]
    fn of_what_0_3_4_wrote_tells_what_is_known() {
        let environment = TestEnvironment::new();
        environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "first"));
        let text = environment.did(&["show"]);
        assert!(
            text.contains("version:     -\ntime:        2016-05-04T03:02:01Z\n"),
            "{text}"
        );
        assert!(text.ends_with("\n  A\n") && !text.contains("kind:"), "{text}");
    }
}
