//! That a version is not an older one: `--min-version` and `--state`.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/trust.rs"]
mod trust;

use std::fs;
use std::os::unix::fs::symlink;

use common::canary::Canary;
use common::{TestEnvironment, mode_of, set_mode};
use serde_json::{Value, json};
use trust::{HEAD, Trust};

const LOOK: &str = "hint: an older version may have been put back: look with `microsecrets history`; one that is meant \
    comes back with `microsecrets rollback`\n";

/// Versions 1 to 3, each with the secret, and the head of the second.
fn three() -> (Trust, Vec<u8>) {
    let trust = Trust::empty();
    trust.upload(&[]);
    trust.upload(&[]);
    let head = trust.sealed(HEAD);
    trust.upload(&[]);
    (trust, head)
}

mod the_least_number {
    use super::*;

    #[test]
    fn holds_for_what_is_current_and_what_is_built_on_it() {
        let (trust, _) = three();
        let said = format!(
            "error: services/api/head/environment is not trusted\n\
             \x20 caused by: it is version 3, but 4 is the least that is accepted\n{LOOK}"
        );
        trust
            .run(&["get", "A", "--min-version", "3"], &[])
            .run()
            .prints(&trust.canary.text);
        trust.is_not_used(&["--min-version", "4"], &said);
        for arguments in [
            &["show"][..],
            &["set", "B"],
            &["upload"],
            &["rollback", "2", "--yes"],
            &["delete", "--yes"],
        ] {
            let run = trust.run(arguments, &["--min-version", "4"]);
            trust.fails(run.stdin(trust.pair().trim_end()), 6, &said);
        }
        // From the environment too, where the command line says nothing.
        let get = |options: &[&str], least| trust.run(&["get", "A"], options).env("MICROSECRETS_MIN_VERSION", least);
        trust.fails(get(&[], "4"), 6, &said);
        get(&["--min-version", "3"], "4").run().ends(0);
        get(&[], "2").run().ends(0);
        for (least, said) in [("0", " cannot be '0'"), ("x", " cannot be 'x'"), ("", "")] {
            let said = format!(
                "error: --min-version{said}: a version's number is 1 or more\n\
                 hint: `microsecrets get --help` shows what can be said\n"
            );
            trust.fails(get(&[], least), 2, &said);
        }
    }

    /// All of it may have been removed: what is begun anew would be refused by who demands a number.
    #[test]
    fn lets_nothing_begin_below_it() {
        let (trust, _) = three();
        let upload = trust.run(&["upload", "-f", "new"], &["--min-version", "4"]);
        trust.fails(
            upload.stdin(trust.pair().repeat(9)),
            3,
            "error: the file new of api has no version 4\nhint: `microsecrets history` shows what there is\n",
        );
        let first = trust.run(&["upload", "-q", "-f", "new"], &["--min-version", "1"]);
        first.stdin(trust.pair()).run().ends(0);
    }

    #[test]
    fn holds_for_an_older_one_that_would_be_used() {
        let (trust, _) = three();
        let said = format!(
            "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n\
             \x20 caused by: it is version 2, but 3 is the least that is accepted\n{LOOK}"
        );
        for at in ["2", "previous"] {
            trust.is_not_used(&["--at", at, "--min-version", "3"], &said);
        }
        let second = trust.machine.history(&[])[1]["checksum"].as_str().unwrap().to_owned();
        let name = trust.machine.history(&[])[1]["name"].as_str().unwrap().to_owned();
        for pin in [&second, &name] {
            trust.fails(trust.with_env(&["-c", pin, "--min-version", "3"]), 122, &said);
            trust.fails(trust.run(&["download", "-c", pin, "--min-version", "3"], &[]), 6, &said);
            // It is the number that counts, and not that a newer one is current.
            let arguments = ["with-env", "-c", pin, "--min-version", "2", "--", "printenv", "A"];
            trust.run(&arguments, &[]).run().prints_and_says(
                &format!("{}\n", trust.canary.text),
                "warning: the pinned version is not the current one, which is 3, [TIME].[CHECKSUM]\n",
            );
        }
    }

    #[test]
    fn does_not_hold_for_the_past_that_is_looked_at_or_brought_back() {
        let (trust, _) = three();
        let least = ["--min-version", "3"];
        for arguments in [
            &["show", "--at", "2"][..],
            &["diff", "1", "2"],
            &["diff"],
            &["history"],
            &["promote", "-q", "--to", "web", "--at", "1"],
            &["rollback", "-q", "1", "--yes"],
        ] {
            trust.does(arguments, &least, "");
        }
        // What came back is a new version.
        trust
            .run(&["get", "A", "--min-version", "4"], &[])
            .run()
            .prints(&trust.canary.text);
    }

    #[test]
    fn is_more_than_what_0_3_4_can_say() {
        let trust = Trust::empty();
        trust
            .machine
            .put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", &trust.canary.text));
        let said = format!(
            "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n\
             \x20 caused by: it has no number, but 1 is the least that is accepted\n{LOOK}"
        );
        trust.is_not_used(&["--min-version", "1"], &said);
    }
}

mod a_memory {
    use super::*;

    const STATE: [&str; 2] = ["--state", "state"];
    const BACK: &str = "error: the environment of api is version 2, but version 3 was seen before\n\
        hint: an older version may have been put back: look with `microsecrets history`; if it is meant, say \
        --allow-rollback once\n";

    /// What the file remembers, by service and item.
    #[track_caller]
    fn seen(machine: &TestEnvironment) -> Value {
        let text = String::from_utf8(machine.read("state")).unwrap();
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((all.as_object().unwrap().len(), &all["format"]), (2, &1.into()));
        let rows = all["seen"].as_object().unwrap().iter();
        rows.map(|(key, row)| (key.split_once('/').unwrap().1.to_owned(), row["number"].clone()))
            .collect()
    }

    #[test]
    fn is_one_line_of_json_that_is_its_owners_alone() {
        let (trust, _) = three();
        for arguments in [&["get", "A"][..], &["download"]] {
            trust.does(arguments, &STATE, "");
            assert_eq!(seen(&trust.machine), json!({"api/environment": 3}));
        }
        assert_eq!(mode_of(&trust.machine.path("state")), 0o600);
        let text = String::from_utf8(trust.machine.read("state")).unwrap();
        let checksum = &trust.machine.history(&[])[0]["checksum"];
        let end = format!("/api/environment\":{{\"number\":3,\"sha256\":{checksum}}}}}}}\n");
        assert!(
            text.starts_with("{\"format\":1,\"seen\":{\"folder-") && text.ends_with(&end),
            "{text}"
        );
        assert!(!trust.canary.is_in(text.as_bytes()));
        // Each service and item is remembered on its own.
        trust.does(&["promote", "-q", "--to", "web"], &[], "");
        trust.does(&["get", "A", "-s", "web"], &STATE, "");
        assert_eq!(
            seen(&trust.machine),
            json!({"api/environment": 3, "web/environment": 1})
        );
        // What is only looked at is not remembered.
        for command in ["show", "diff", "history", "list"] {
            let said = format!(
                "error: there is no option --state\nhint: `microsecrets {command} --help` shows what can be said\n"
            );
            trust.fails(trust.run(&[command], &STATE), 2, &said);
        }
    }

    #[test]
    fn does_not_go_back() {
        for first in [&["get", "A"][..], &["download"], &["with-env", "-a", "--", "true"]] {
            let (trust, older) = three();
            let with_state = |arguments: &[&str]| {
                let (command, rest) = arguments.split_first().unwrap();
                trust.run(&[&[*command], &STATE[..], rest].concat(), &[])
            };
            with_state(first).run().ends(0);
            // Asked for by number, pinned by content or put back: it is older.
            trust.is_not_used(&["--state", "state", "--at", "2"], BACK);
            let second = trust.machine.history(&[])[1]["checksum"].as_str().unwrap().to_owned();
            trust.fails(trust.with_env(&["--state", "state", "-c", &second]), 122, BACK);
            trust.fails(trust.run(&["download", "-c", &second], &STATE), 6, BACK);
            trust.put_back(HEAD, &older);
            trust.is_not_used(&STATE, BACK);
            assert_eq!(seen(&trust.machine), json!({"api/environment": 3}));
            // Accepted once, it is what is remembered.
            trust.does(&["get", "A", "--allow-rollback"], &STATE, "");
            assert_eq!(seen(&trust.machine), json!({"api/environment": 2}));
            trust.does(&["get", "A"], &STATE, "");
            trust.fails(
                trust.run(&["get", "A", "--allow-rollback"], &[]),
                2,
                "error: this also needs --state\nhint: `microsecrets get --help` shows what can be said\n",
            );
        }
    }

    /// A deploy pins its secrets, and newer ones for the next deploy are there already.
    #[test]
    fn goes_forward_by_pins_that_are_not_the_current_one() {
        let (trust, _) = three();
        let rows = trust.machine.history(&[]);
        for (row, number) in [(2, 1), (1, 2), (1, 2), (0, 3)] {
            let pin = rows[row]["checksum"].as_str().unwrap();
            trust.does(&["download", "-c", pin], &STATE, "");
            assert_eq!(seen(&trust.machine), json!({"api/environment": number}));
        }
    }

    #[test]
    fn does_not_go_sideways() {
        let (trust, older) = three();
        trust.does(&["get", "A"], &STATE, "");
        // Somebody takes the third version away, and another third one is written.
        let name = trust.machine.history(&[])[0]["name"].as_str().unwrap().to_owned();
        fs::remove_file(
            trust
                .machine
                .path(&format!("store/services/api/environment/{name}.json")),
        )
        .unwrap();
        fs::remove_file(trust.machine.path("store/services/api/log/environment/00000003")).unwrap();
        trust.put_back(HEAD, &older);
        trust.upload(&[]);
        trust.is_not_used(
            &STATE,
            "error: version 3 of the environment of api has another checksum than when it was seen before\n\
             hint: an older version may have been put back: look with `microsecrets history`; if it is meant, say \
             --allow-rollback once\n",
        );
    }

    #[test]
    fn keeps_an_environment_and_its_files_together() {
        let (trust, older) = three();
        let tls = "services/api/head/file/tls";
        trust.machine.upload_file("tls", trust.canary.text.repeat(3));
        let old_file = trust.sealed(tls);
        trust.machine.upload_file("tls", trust.canary.text.repeat(4));
        let options = [
            "with-env",
            "-a",
            "--state",
            "state",
            "--force",
            "-f",
            "tls:placed",
            "--",
            "true",
        ];
        trust.does(&options, &[], "");
        assert_eq!(seen(&trust.machine), json!({"api/environment": 3, "api/file/tls": 2}));
        // A newer environment with an older file: neither is used, neither is remembered, and none is placed.
        trust.upload(&[]);
        trust.put_back(tls, &old_file);
        fs::remove_file(trust.machine.path("placed")).unwrap();
        trust.fails(
            trust.run(&options, &[]),
            122,
            &BACK.replace(
                "environment of api is version 2, but version 3",
                "file tls of api is version 1, but version 2",
            ),
        );
        assert_eq!(seen(&trust.machine), json!({"api/environment": 3, "api/file/tls": 2}));
        assert!(!trust.machine.exists("placed"));
        trust.fails(
            trust.run(&["download", "-f", "tls"], &STATE),
            6,
            &BACK.replace(
                "environment of api is version 2, but version 3",
                "file tls of api is version 1, but version 2",
            ),
        );
        trust.put_back(HEAD, &older);
        trust.fails(trust.run(&["get", "A"], &STATE), 6, BACK);
    }

    /// What was deleted is not taken for new when it is put back.
    #[test]
    fn knows_a_deletion() {
        let (trust, _) = three();
        let live = trust.sealed(HEAD);
        let file = trust.canary.text.repeat(3);
        trust.machine.upload_file("tls", &file);
        let live_file = trust.sealed("services/api/head/file/tls");
        trust.does(&["delete", "--yes"], &[], "");
        trust.does(&["delete", "--yes", "-f", "tls"], &[], "");
        let deleted = "error: the environment of api was deleted at [TIME] by ann@[HOST]\n\
                       hint: `microsecrets rollback 3` brings it back\n";
        trust.fails(trust.run(&["get", "A"], &STATE), 3, deleted);
        assert_eq!(seen(&trust.machine), json!({"api/environment": 4}));
        trust.put_back(HEAD, &live);
        let back = BACK.replace("version 2, but version 3", "version 3, but version 4");
        trust.is_not_used(&STATE, &back);
        // Of a file too, beside an environment that is there.
        trust.does(&["get", "A", "--allow-rollback"], &STATE, "");
        let with_file = ["-a", "--state", "state", "-f", "tls:placed"];
        let deleted = "error: the file tls of api was deleted at [TIME] by ann@[HOST]\n\
                       hint: `microsecrets rollback -f tls 1` brings it back\n";
        trust.fails(trust.with_env(&with_file), 123, deleted);
        trust.put_back("services/api/head/file/tls", &live_file);
        let back = "the file tls of api is version 1, but version 2";
        let said = BACK.replace("the environment of api is version 2, but version 3", back);
        trust.fails(trust.with_env(&with_file), 122, &said);
        assert!(!trust.machine.exists("placed"));
    }

    #[test]
    fn has_no_number_of_0_3_4() {
        let trust = Trust::empty();
        trust
            .machine
            .put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", &trust.canary.text));
        let said = "error: the environment of api has no number: microsecrets 0.3.4 wrote it, and nobody can tell whether \
                    it is older\nhint: give it one with `microsecrets migrate --apply`\n";
        for options in [&STATE[..], &["--state", "state", "--allow-rollback"]] {
            trust.is_not_used(options, said);
        }
        trust.does(&["migrate", "--apply"], &[], "");
        trust.does(&["get", "A"], &STATE, "");
    }

    #[test]
    fn that_is_damaged_or_anybodys_is_no_fresh_start() {
        let (trust, _) = three();
        trust.does(&["get", "A"], &STATE, "");
        let whole = trust.machine.read("state");
        let damaged = "error: state is damaged, or of a newer format\n\
                       hint: look who wrote it; removed, it begins anew and believes what is current then\n";
        for text in [
            &b""[..],
            b"{}",
            &whole[..whole.len() - 3],
            br#"{"format":2,"seen":{}}"#,
            trust.canary.text.as_bytes(),
        ] {
            trust.machine.write("state", text);
            trust.is_not_used(&STATE, damaged);
            // Nor can it be told to accept that.
            trust.is_not_used(&["--state", "state", "--allow-rollback"], damaged);
            assert_eq!(trust.machine.read("state"), text);
        }
        trust.machine.write("state", whole);
        for mode in [0o620, 0o606] {
            set_mode(&trust.machine.path("state"), mode);
            trust.is_not_used(
                &STATE,
                &format!(
                    "error: state cannot be used to remember versions in\n\
                     \x20 caused by: it is open to others (mode {mode:o})\n\
                     hint: nobody but you and root may be able to write it; look who did, then chmod 600 or remove it\n"
                ),
            );
        }
    }

    #[test]
    fn that_cannot_be_kept_starts_nothing() {
        let (trust, _) = three();
        let hint = "hint: check its folder, and the rights of this user\n";
        fs::create_dir(trust.machine.path("folder")).unwrap();
        for (path, why) in [
            ("nosuch/state", "No such file or directory (os error 2)"),
            ("folder", "it is no regular file"),
        ] {
            let said = format!("error: {path} cannot be used to remember versions in\n  caused by: {why}\n{hint}");
            trust.fails(trust.run(&["get", "A", "--state", path], &[]), 1, &said);
            trust.fails(trust.with_env(&["-a", "--state", path]), 125, &said);
        }
        // A link is followed, so that what it leads to is kept.
        symlink("target", trust.machine.path("state")).unwrap();
        trust.machine.write("target", "{\"format\":1,\"seen\":{}}\n");
        set_mode(&trust.machine.path("target"), 0o600);
        trust.does(&["get", "A"], &STATE, "");
        assert!(fs::symlink_metadata(trust.machine.path("state")).unwrap().is_symlink());
        assert_eq!(seen(&trust.machine), json!({"api/environment": 3}));
    }

    #[test]
    fn that_another_process_holds_is_waited_for() {
        let (trust, _) = three();
        let lock = fs::File::create(trust.machine.path("state.lock")).unwrap();
        lock.lock().unwrap();
        let said = "error: another process holds the lock state.lock\n\
                    hint: another microsecrets is using it, or is stopped; --timeout waits longer\n";
        trust.fails(trust.run(&["get", "A", "--timeout", "1"], &STATE), 1, said);
        trust.fails(trust.with_env(&["-a", "--state", "state", "--timeout", "1"]), 125, said);
        let waiting = trust.run(&["get", "A"], &STATE).spawn();
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(lock);
        assert!(waiting.wait_with_output().unwrap().status.success());
        assert_eq!(seen(&trust.machine), json!({"api/environment": 3}));
    }

    #[test]
    fn in_a_folder_that_cannot_be_written_starts_nothing() {
        let (machine, canary) = (TestEnvironment::unprivileged(), Canary::new());
        machine.upload(&format!("A={}\n", canary.text));
        let folder = machine.path("closed");
        fs::create_dir(&folder).unwrap();
        set_mode(&folder, 0o555);
        let arguments = ["with-env", "-a", "--state", "closed/state", "--", "touch", "started"];
        let outcome = machine.api(&arguments).run();
        outcome.fails(
            125,
            "error: closed/state cannot be used to remember versions in\n\
             \x20 caused by: Permission denied (os error 13)\n\
             hint: check its folder, and the rights of this user\n",
        );
        canary.is_not_in(&outcome);
        assert!(!machine.exists("started"));
    }
}
