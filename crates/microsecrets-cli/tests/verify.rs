//! `microsecrets verify` and `re-sign`: what is signed, by which key, and what the history says of it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/trust.rs"]
mod trust;

use std::fs;

use common::api::rows;
use microsecrets::time::Timestamp;
use serde_json::json;
use trust::{HEAD, PIN, SIGN, Trust};

mod another_key {
    use super::*;

    const OTHERS: &str = "error: services/api/head/environment is not trusted\n\
        \x20 caused by: it is signed by another key than the pinned: by [CHECKSUM], as it says\n\
        hint: if the key was changed on purpose, pin that public key too, with --verify-key\n";
    const BOTH: [&str; 3] = ["--sign", "--verify-key", "key.pem,new.pem"];
    const NEW: [&str; 2] = ["--verify-key", "new.pem"];

    #[test]
    fn signs_the_current_version_while_both_are_pinned() {
        let trust = Trust::signed();
        let before = trust.machine.history(&PIN);
        trust.change_key("old.key", "new.pem");
        trust.fails(trust.run(&["re-sign", "--sign"], &NEW), 6, OTHERS);
        trust
            .run(&["re-sign"], &BOTH)
            .run()
            .prints_and_says("", "note: version 1 of the environment of api is signed\n");
        trust.run(&["re-sign"], &BOTH).run().prints_and_says(
            "",
            "note: version 1 of the environment of api is signed with this key already\n",
        );
        trust.run(&["get", "A"], &NEW).run().prints(&trust.canary.text);
        trust.fails(trust.run(&["get", "A"], &PIN), 6, OTHERS);
        let after = trust.machine.history(&NEW);
        assert_eq!((after.len(), &after[0]["name"]), (1, &before[0]["name"]));
        let signer = trust.public_key("new.pem").fingerprint().to_string();
        assert!(
            trust
                .does(&["show"], &[], "")
                .raw_stdout()
                .contains(&format!("signer:      {signer} (not verified: no key is pinned)\n"))
        );
    }

    /// What the log says was signed when it was committed, and stays as it was.
    #[test]
    fn does_not_sign_what_is_past() {
        let trust = Trust::signed();
        trust.change_key("old.key", "new.pem");
        trust.does(&["re-sign"], &BOTH, "");
        trust
            .run(&["get", "A", "--at", "1"], &NEW)
            .run()
            .prints(&trust.canary.text);
        trust.does(
            &["set", "-q", "B"],
            &["--sign", "--verify-key", "new.pem"],
            &trust.canary.text,
        );
        let said = OTHERS.replace("head/environment", "log/environment/00000001");
        trust.fails(trust.run(&["get", "A", "--at", "1"], &NEW), 6, &said);
        trust.does(&["verify", "--all"], &BOTH[1..], "");
    }

    #[test]
    fn needs_something_to_sign() {
        let trust = Trust::signed();
        let hint = "hint: check bucket and service, or publish it first with `microsecrets upload`\n";
        trust.fails(
            trust.run(&["re-sign", "-f", "nosuch"], &SIGN),
            3,
            &format!("error: there is no file nosuch of api in file:[DIR]/store\n{hint}"),
        );
        trust.fails(
            trust.run(&["re-sign", "-s", "nosuch", "--adopt"], &SIGN),
            3,
            &format!("error: there is no environment of nosuch in file:[DIR]/store\n{hint}"),
        );
    }
}

mod verifying {
    use super::*;

    /// Versions 1 to 3, all signed.
    fn three() -> Trust {
        let trust = Trust::signed();
        trust.does(&["set", "-q", "B"], &SIGN, &trust.canary.text);
        trust.does(&["set", "-q", "C"], &SIGN, &trust.canary.text);
        trust
    }

    #[test]
    fn of_one_version_says_who_signed_it() {
        let trust = three();
        let signer = trust.public_key("key.pem").fingerprint().to_string();
        for (arguments, number) in [(&[][..], 3), (&["--at", "1"], 1), (&["--at", "previous"], 2)] {
            let run = trust.does(&[&["verify"], arguments].concat(), &PIN, "");
            let said = format!("version {number} of the environment of api is signed by {signer}\n");
            assert_eq!((run.raw_stdout(), &*run.stderr), (said, ""));
        }
        let run = trust.does(&["verify", "--format", "json"], &PIN, "");
        let checksum = &trust.machine.history(&[])[0]["checksum"];
        assert_eq!(
            rows(&run.raw_stdout()),
            [json!({"version": 3, "checksum": checksum, "signer": signer})]
        );
    }

    #[test]
    fn of_a_file_goes_to_its_last_byte() {
        let trust = Trust::signed();
        for (label, size) in [("small", 4), ("large", 50_000)] {
            let bytes = trust.canary.text.repeat(size);
            trust.does(&["upload", "-q", "-f", label], &SIGN, &bytes);
            trust.run(&["verify", "-f", label], &PIN).run().prints(&format!(
                "version 1 of the file {label} of api is signed by [CHECKSUM]\n"
            ));
        }
        let name = trust.machine.history(&["-f", "large"])[0]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        trust.rewrite(&format!("services/api/files/large/{name}"), |mut bytes| {
            *bytes.last_mut().unwrap() ^= 1;
            bytes
        });
        trust.fails(
            trust.run(&["verify", "-f", "large"], &PIN),
            6,
            "error: services/api/files/large/[TIME].[CHECKSUM] is not trusted\n\
             \x20 caused by: its bytes do not match their checksum [CHECKSUM]\n\
             hint: it was changed or copied by other means; look who may write there, and upload it again\n",
        );
    }

    #[test]
    fn of_all_says_from_where_to_where() {
        let trust = three();
        let said = |first| {
            format!("versions {first} to 3 of the environment of api are signed, and each names the one before it\n")
        };
        trust.run(&["verify", "--all"], &PIN).run().prints(&said(1));
        trust
            .run(&["verify", "--all", "--since", "2"], &PIN)
            .run()
            .prints(&said(2));
        let run = trust.does(&["verify", "--all", "--since", "3", "--format", "json"], &PIN, "");
        assert_eq!(rows(&run.raw_stdout()), [json!({"first": 3, "last": 3})]);
        // A deletion has no bytes, but a record like any other.
        trust.does(&["delete", "--yes"], &SIGN, "");
        trust.run(&["verify", "--all"], &PIN).run().ends(0);
        trust.fails(
            trust.run(&["verify", "--all", "--since", "5"], &PIN),
            3,
            "error: the environment of api has no version 5\nhint: `microsecrets history` shows what there is\n",
        );
    }

    /// The oldest link that does not hold is named.
    #[track_caller]
    fn breaks_at(trust: &Trust, number: u32, why: &str) {
        trust.fails(
            trust.run(&["verify", "--all"], &PIN),
            6,
            &format!(
                "error: the history of the environment of api does not hold at version {number}\n{why}\
                 hint: look who wrote there; versions from before the first signature are left out with --since\n"
            ),
        );
    }

    #[test]
    fn of_all_names_what_was_taken_out_changed_or_put_in() {
        let log = |number: u32| format!("services/api/log/environment/0000000{number}");
        let trust = three();
        fs::remove_file(trust.machine.path(&format!("store/{}", log(2)))).unwrap();
        breaks_at(&trust, 2, "  caused by: it has no log entry\n");
        trust.does(&["verify", "--all", "--since", "3"], &PIN, "");
        let trust = three();
        trust.replace(&log(2), "\"kind\":\"set\"", "\"kind\":\"edit\"");
        let why = "  caused by: services/api/log/environment/00000002 is not trusted\n  caused by: its signature is not valid\n";
        breaks_at(&trust, 2, why);
        let trust = Trust::with_key();
        trust.upload(&[]);
        trust.does(&["re-sign", "--adopt", "--yes"], &SIGN, "");
        trust.does(&["set", "-q", "B"], &SIGN, &trust.canary.text);
        let why = "  caused by: services/api/log/environment/00000001 is not trusted\n\
                   \x20 caused by: it is not signed, but a signature is required\n";
        breaks_at(&trust, 1, why);
        trust.fails(
            trust.run(&["get", "A", "--at", "1"], &PIN),
            6,
            "error: services/api/log/environment/00000001 is not trusted\n\
                 \x20 caused by: it is not signed, but a signature is required\n\
                 hint: look who wrote it; if it is meant, `rollback` and `promote` take it with --adopt, after showing what \
                 it changes\n",
        );
    }

    /// An older head that is put back says another current version than the log has records for.
    #[test]
    fn of_all_does_not_believe_an_older_head_that_was_put_back() {
        let trust = three();
        let head = trust.sealed(HEAD);
        trust.does(&["set", "-q", "D"], &SIGN, &trust.canary.text);
        trust.put_back(HEAD, &head);
        trust.fails(
            trust.run(&["verify", "--all"], &PIN),
            6,
            "error: the history of the environment of api does not hold at version 4\n  \
               caused by: it is in the log, but the head is an older one\n\
             hint: look who wrote there; versions from before the first signature are left out with --since\n",
        );
        trust.fails(
            trust.run(&["set", "E"], &SIGN).stdin(&trust.canary.text),
            6,
            "error: the head of the environment of api is missing or older than \
             services/api/environment/[TIME].[CHECKSUM].json\n\
             hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n",
        );
    }

    #[test]
    fn needs_a_pin_and_a_version() {
        let trust = three();
        for arguments in [&["verify"][..], &["verify", "--all"], &["verify", "-s", "nosuch"]] {
            trust.fails(
                trust.run(arguments, &[]),
                2,
                "error: nothing says whose signature is believed\n\
                 hint: pin a public key: --verify-key FILE, or `verify-keys` in microsecrets.toml\n",
            );
        }
        let hint = "hint: `microsecrets verify --help` shows what can be said\n";
        trust.fails(
            trust.run(&["verify", "--since", "2"], &PIN),
            2,
            &format!("error: this also needs --all\n{hint}"),
        );
        trust.fails(
            trust.run(&["verify", "--all", "--since", "0"], &PIN),
            2,
            &format!("error: --since cannot be '0': a version's number is 1 or more\n{hint}"),
        );
        trust.fails(
            trust.run(&["verify", "--all", "--at", "2"], &PIN),
            2,
            "error: --all and --at exclude each other\nhint: leave one of them out\n",
        );
    }
}

#[test]
fn the_history_says_what_each_signature_is_worth_to_who_pins_a_key() {
    let trust = Trust::signed();
    trust.upload(&[]);
    trust.does(&["set", "-q", "B", "--adopt", "--yes"], &SIGN, &trust.canary.text);
    trust.change_key("old.key", "new.pem");
    trust.does(
        &["set", "-q", "C"],
        &["--sign", "--verify-key", "new.pem,key.pem"],
        &trust.canary.text,
    );
    let table = |pins: &[&str]| trust.does(&["history"], pins, "").table();
    assert_eq!(
        table(&PIN),
        "VERSION  TIME  CHECKSUM  SIZE  KIND  BY  SIGNED  MESSAGE\n\
         4  [TIME]  [SHORT]  [SIZE]  set  ann@[HOST]  BAD\n\
         3  [TIME]  [SHORT]  [SIZE]  set  ann@[HOST]  verified\n\
         2  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]  no\n\
         1  [TIME]  [SHORT]  [SIZE]  upload  ann@[HOST]  verified\n"
    );
    // Nobody's signature is believed, so none is shown.
    assert!(table(&[]).starts_with("VERSION  TIME  CHECKSUM  SIZE  KIND  BY  MESSAGE\n"));
    let signed = |pins: &[&str]| {
        trust
            .machine
            .history(pins)
            .iter()
            .map(|row| row["signed"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(signed(&PIN), ["BAD", "verified", "no", "verified"]);
    assert_eq!(signed(&[]), ["not verified", "not verified", "no", "not verified"]);
}

#[test]
fn a_version_shows_its_signer_and_its_end() {
    let trust = Trust::with_key();
    trust.does(&["upload", "-q", "--expires", "90d"], &SIGN, &trust.pair());
    let run = trust.does(&["show"], &PIN, "");
    assert!(
        run.stdout()
            .ends_with("by:          ann@[HOST]\nexpires:     [TIME]\nsigner:      [CHECKSUM]\n  A\n"),
        "{}",
        run.stdout()
    );
    let shown = &rows(&trust.does(&["show", "--format", "json"], &PIN, "").raw_stdout())[0];
    assert_eq!(shown["signer"], trust.public_key("key.pem").fingerprint().to_string());
    let seconds = |field: &str| {
        Timestamp::parse_loosely(shown[field].as_str().unwrap())
            .unwrap()
            .as_unix()
    };
    assert_eq!(seconds("expires") - seconds("time"), 90 * 86_400);
}
