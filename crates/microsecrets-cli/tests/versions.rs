//! Every way to say a version, in every command that takes one.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::TestEnvironment;

/// What `A` is in each version, and each way to say that version.
struct Said {
    value: &'static str,
    ways: Vec<String>,
}

/// 0.3.4 wrote two versions and this program two more: the second of 0.3.4 was taken over as version 1.
fn grown() -> (TestEnvironment, Vec<Said>) {
    let environment = TestEnvironment::new();
    environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "oldest"));
    environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "old"));
    environment.upload("A=newer\n");
    environment.upload("A=newest\n");
    let rows = environment.history(&[]);
    let values = ["newest", "newer", "old", "oldest"];
    let times = [
        &["@2099-01-01T00:00Z", "@2099-01-01T00:00:00Z", "@2099-01-01", "current"][..],
        &["previous"],
        &["@2017-05-04T03:02:01Z", "@2017-05-04T03:03Z", "@2018-01-01"],
        &["@2016-05-04T03:02:01Z", "@2017-05-04T03:02:00Z", "@2017-05-04"],
    ];
    let said = rows.iter().zip(values).zip(times).map(|((row, value), times)| {
        let (name, checksum) = (row["name"].as_str().unwrap(), row["checksum"].as_str().unwrap());
        let mut ways = vec![
            format!("sha:{:.8}", checksum),
            format!("sha:{:.20}", checksum),
            format!("sha:{checksum}"),
            checksum.to_owned(),
            name.to_owned(),
            format!("{name}.json"),
        ];
        ways.extend(row["version"].as_u64().map(|number| number.to_string()));
        ways.extend(times.iter().map(|time| (*time).to_owned()));
        Said { value, ways }
    });
    let said = said.collect();
    (environment, said)
}

/// Each version is what each command reads, however it is said; `value` has the command tell what `A` is.
#[track_caller]
fn every_way(value: impl Fn(&TestEnvironment, &str) -> String) {
    let (environment, all) = grown();
    for said in &all {
        for way in &said.ways {
            assert_eq!(value(&environment, way), said.value, "{way}");
        }
    }
    assert_eq!(all.iter().map(|said| said.ways.len()).sum::<usize>(), 24 + 3 + 11);
}

#[test]
fn get_takes_every_way() {
    every_way(|environment, way| environment.did(&["get", "A", "--at", way]));
}

#[test]
fn with_env_takes_every_way() {
    every_way(|environment, way| {
        let value = environment.did(&["with-env", "-w", "A", "--at", way, "--", "printenv", "A"]);
        value.trim_end().to_owned()
    });
}

#[test]
fn download_takes_every_way() {
    every_way(|environment, way| {
        let json: serde_json::Value = serde_json::from_str(&environment.did(&["download", "--at", way])).unwrap();
        json["A"].as_str().unwrap().to_owned()
    });
}

#[test]
fn show_takes_every_way() {
    every_way(|environment, way| {
        let text = environment.did(&["show", "--values", "--at", way]);
        text.rsplit_once("  A=").unwrap().1.trim_end().to_owned()
    });
}

#[test]
fn diff_takes_every_way() {
    let (environment, all) = grown();
    for said in &all {
        for way in &said.ways {
            let text = environment.did(&["diff", way, "current", "--values"]);
            let wanted = match said.value {
                "newest" => String::new(),
                value => format!("- A={value}\n+ A=newest\n"),
            };
            assert_eq!(text, wanted, "{way}");
            // The second version is said the same way.
            let text = environment.did(&["diff", "current", way, "--values"]);
            assert_eq!(text.is_empty(), said.value == "newest", "{way} {text}");
        }
    }
}

#[test]
fn promote_takes_every_way() {
    every_way(|environment, way| {
        environment.did(&["promote", "--at", way, "--to", "web"]);
        environment.did(&["get", "A", "-s", "web"])
    });
}

/// After a rollback `current` and `previous` mean others, so each of those begins anew.
#[test]
fn rollback_takes_every_way() {
    let (environment, all) = grown();
    let is_fixed = |way: &str| !["current", "previous"].contains(&way) && !way.starts_with("@2099");
    let mut number = 3;
    for said in &all {
        for way in said.ways.iter().filter(|way| is_fixed(way)) {
            environment.did(&["rollback", way, "--yes"]);
            number += 1;
            assert_eq!(environment.value("A"), said.value, "{way}");
            assert_eq!(environment.number(), number, "{way}");
        }
    }
    for (way, value) in [("current", "newest"), ("@2099-01-01", "newest"), ("previous", "newer")] {
        let (environment, _) = grown();
        environment.did(&["rollback", way, "--yes"]);
        assert_eq!(
            (environment.value("A").as_str(), environment.number()),
            (value, 4),
            "{way}"
        );
    }
}

#[test]
fn a_file_is_said_the_same_ways() {
    let environment = TestEnvironment::new();
    let first = environment.upload_file("f", [b'1'; 100]);
    environment.upload_file("f", [b'2'; 100]);
    for way in ["1", "previous", &format!("sha:{first:.8}"), &first] {
        let text = environment.did(&["download", "-f", "f", "--at", way]);
        assert_eq!(text, "1".repeat(100), "{way}");
    }
    // Bytes that were put back have one checksum: it means the newest of them.
    environment.upload_file("f", [b'1'; 100]);
    let shown = environment.did(&["show", "-f", "f", "--at", &first]);
    assert!(shown.contains("\nversion:     3\n"), "{shown}");
}

mod is_refused {
    use super::*;

    /// What the commands that read are asked, to say the same of a version.
    fn readers(way: &str) -> Vec<Vec<&str>> {
        vec![
            vec!["get", "A", "--at", way],
            vec!["download", "--at", way],
            vec!["show", "--at", way],
            vec!["diff", way],
            vec!["promote", "--at", way, "--to", "web"],
            vec!["rollback", "--yes", way],
        ]
    }

    #[track_caller]
    fn assert_all_say(environment: &TestEnvironment, way: &str, status: i32, status_with_env: i32, said: &[&str]) {
        let before = environment.store();
        let mut first = String::new();
        for arguments in readers(way) {
            let run = environment.api(&arguments).run();
            run.ends(status);
            run.is_well_formed();
            if first.is_empty() {
                first = run.told();
                for text in said {
                    assert!(first.contains(text), "{way}: {text:?} is not in {first}");
                }
            }
            assert_eq!(run.told(), first, "{arguments:?}");
        }
        let run = environment
            .api(&["with-env", "-a", "--at", way, "--", "touch", "started"])
            .run();
        run.ends(status_with_env);
        assert_eq!(run.told(), first);
        assert!(!environment.exists("started") && environment.store() == before);
    }

    #[test]
    fn when_it_is_not_there_and_what_is_there_is_listed() {
        let (environment, _) = grown();
        for (way, said) in [
            ("9", "error: the environment of api has no version 9\n"),
            (
                "sha:00000000",
                "error: the environment of api has no version with a checksum that begins with 00000000\n",
            ),
            (
                "@2016-05-04T03:02:00Z",
                "error: the environment of api has no version with a time up to [TIME]\n",
            ),
        ] {
            // The newest ones, each with what it can be said by.
            assert_all_say(&environment, way, 3, 123, &[said, "hint: there is 3", "sha:[SHORT]"]);
        }
        let zeros = "0".repeat(64);
        assert_all_say(
            &environment,
            &zeros,
            3,
            123,
            &[
                "error: the environment of api has no version with the checksum ",
                "hint: there is 3",
            ],
        );
        let name = format!("2016-05-04.03-02-01.{zeros}");
        assert_all_say(
            &environment,
            &name,
            3,
            123,
            &[
                "error: the environment of api has no version with the name [TIME]",
                "hint: there is 3",
            ],
        );
    }

    #[test]
    fn when_more_are_there_than_the_newest_five() {
        let environment = TestEnvironment::new();
        for number in 0..6 {
            environment.upload(&format!("A={number}\n"));
        }
        let said = environment.api(&["get", "A", "--at", "7"]).run().stderr;
        assert!(said.contains("hint: there is 6"), "{said}");
        assert!(said.ends_with(", and older ones (`microsecrets history`)\n"), "{said}");
        assert_eq!(said.matches("sha:").count(), 5, "{said}");
    }

    /// These two of 0.3.4's documents were searched for: their checksums begin with the same 8 digits.
    #[test]
    fn when_it_is_ambiguous_and_the_candidates_are_listed() {
        let environment = TestEnvironment::new();
        environment.put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", "38295"));
        environment.put_by_0_3_4("api", "2017-05-04.03-02-01", ("A", "54854"));
        assert_all_say(
            &environment,
            "sha:4ad76d51",
            2,
            125,
            &[
                "error: the environment of api has more than one version with a checksum that begins with 4ad76d51\nhint: ",
            ],
        );
        let said = environment.api(&["get", "A", "--at", "sha:4ad76d51"]).run().stderr;
        for candidate in [
            "sha:4ad76d5100306a21 of 2016-05-04T03:02:01Z",
            "sha:4ad76d518cbb0fa3 of 2017-05-04T03:02:01Z",
        ] {
            assert!(said.contains(candidate), "{said}");
        }
        // A digit more, and it is clear.
        assert_eq!(environment.did(&["get", "A", "--at", "sha:4ad76d510"]), "38295");
        assert_eq!(environment.did(&["get", "A", "--at", "sha:4ad76d518"]), "54854");
    }

    #[test]
    fn when_it_is_no_way_to_say_a_version() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        for (way, why) in [
            (
                "0",
                "a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME",
            ),
            (
                "latest",
                "a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME",
            ),
            (
                "1.5",
                "a version is a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME",
            ),
            ("sha:1234567", "sha: needs 8 to 64 lower-case hex digits"),
            ("sha:ABCDEF01", "sha: needs 8 to 64 lower-case hex digits"),
            ("@yesterday", "@ needs a time in UTC, like 2026-11-23T08:00Z"),
            (
                "@2026-11-23T08:00+01:00",
                "@ needs a time in UTC, like 2026-11-23T08:00Z",
            ),
        ] {
            environment.api(&["show", "--at", way]).run().fails(
                2,
                &format!(
                    "error: --at cannot be '{way}': {why}\n\
                     hint: `microsecrets show --help` shows what can be said\n"
                ),
            );
            environment.api(&["diff", way]).run().ends(2);
            environment.api(&["rollback", "--yes", way]).run().ends(2);
            environment
                .api(&["with-env", "-a", "--at", way, "--", "true"])
                .run()
                .ends(125);
        }
    }

    #[test]
    fn when_there_is_nothing_before_the_first() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        let said = "error: the environment of api has no version before the current one\n";
        assert_all_say(&environment, "previous", 3, 123, &[said]);
    }

    #[test]
    fn when_it_was_pruned_or_is_a_deletion() {
        let environment = TestEnvironment::new();
        environment.upload("A=1\n");
        environment.did(&["delete", "--yes"]);
        environment.upload("A=3\n");
        environment.did(&["prune", "--number", "1", "--yes"]);
        for (way, said) in [
            ("1", "error: version 1 of the environment of api was pruned\n"),
            ("2", "error: version 2 of the environment of api is a deletion\n"),
            ("previous", "error: version 2 of the environment of api is a deletion\n"),
        ] {
            let hint = "hint: `microsecrets history` shows which versions have bytes\n";
            assert_all_say(&environment, way, 3, 123, &[said, hint]);
        }
    }
}
