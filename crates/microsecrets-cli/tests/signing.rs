//! Who signed a version: the key, what is written with it, and what readers who pin it believe.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/trust.rs"]
mod trust;

use std::fs;

use common::{TestEnvironment, mode_of, set_mode};
use microsecrets::checksum::Checksum;
use serde_json::{Value, json};
use trust::{HEAD, PIN, SIGN, Trust};

/// What no pinned key has signed.
const UNSIGNED: &str = "error: services/api/head/environment is not trusted\n\
    \x20 caused by: it is not signed, but a signature is required\n\
    hint: look who wrote it; if it is meant, `microsecrets re-sign --adopt` signs it, after showing what it changes\n";

/// What was changed after it was signed.
const BAD: &str = "error: services/api/head/environment is not trusted\n\
    \x20 caused by: its signature is not valid\n\
    hint: it was changed after it was signed, or is a forgery; look who may write there\n";

/// What was signed by somebody else.
const OTHERS: &str = "error: services/api/head/environment is not trusted\n\
    \x20 caused by: it is signed by another key than the pinned: by [CHECKSUM], as it says\n\
    hint: if the key was changed on purpose, pin that public key too, with --verify-key\n";

mod a_key {
    use super::*;

    #[test]
    fn is_made_once_and_is_its_owners_alone() {
        let trust = Trust::empty();
        trust.machine.api(&["signing-key", "create"]).run().prints_and_says(
            "",
            "note: made [DIR]/config/microsecrets/folder-[ID].signing-key.pem; back it up, and pin its public key \
             (`microsecrets signing-key export`)\n",
        );
        let path = trust.private_key();
        let made = fs::read(&path).unwrap();
        assert_eq!(mode_of(&path), 0o600);
        // A second one would make the first one's signatures worthless.
        trust.machine.api(&["signing-key", "create"]).run().prints_and_says(
            "",
            "note: there is a key already: [DIR]/config/microsecrets/folder-[ID].signing-key.pem\n",
        );
        assert_eq!(fs::read(&path).unwrap(), made);
    }

    #[test]
    fn shows_its_public_half_and_never_the_private_one() {
        let trust = Trust::with_key();
        let text = trust.does(&["signing-key", "export"], &[], "");
        assert!(
            text.raw_stdout().starts_with("-----BEGIN PUBLIC KEY-----\nMFkw"),
            "{}",
            text.raw_stdout()
        );
        let key = trust.public_key("key.pem");
        assert_eq!(
            text.stderr,
            format!(
                "note: its fingerprint (SHA-256 of the key in DER) is {}\n",
                key.fingerprint()
            )
        );
        let json = trust.does(&["signing-key", "export", "--format", "json"], &[], "");
        let json: Value = serde_json::from_str(&json.raw_stdout()).unwrap();
        assert_eq!(
            json,
            json!({
                "pem": text.raw_stdout(),
                "base64": key.to_base64(),
                "fingerprint": Checksum::of(&key.to_spki()).to_string(),
            })
        );
    }

    #[test]
    fn must_be_there_to_sign_and_be_exported() {
        let trust = Trust::signed();
        fs::remove_file(trust.private_key()).unwrap();
        let hint = "hint: make one with `microsecrets signing-key create`, and pin its public key\n";
        let key = "[DIR]/config/microsecrets/folder-[ID].signing-key.pem: there is no such key";
        trust.fails(
            trust.run(&["signing-key", "export"], &[]),
            3,
            &format!("error: get the public key of {key}\n{hint}"),
        );
        trust.fails(
            trust.run(&["set", "B"], &SIGN).stdin(&trust.canary.text),
            3,
            &format!("error: cannot change the environment of api\n  caused by: sign with {key}\n{hint}"),
        );
        // The bytes of a large file are put before the record that is signed, and taken away again.
        trust.fails(
            trust
                .run(&["upload", "-f", "f"], &SIGN)
                .stdin(trust.canary.text.repeat(50_000)),
            3,
            &format!("error: cannot upload the file f of api\n  caused by: sign with {key}\n{hint}"),
        );
    }

    #[test]
    fn must_be_nobody_elses_to_sign() {
        let trust = Trust::signed();
        set_mode(&trust.private_key(), 0o640);
        trust.fails(
            trust.run(&["set", "B"], &SIGN).stdin(&trust.canary.text),
            5,
            "error: cannot change the environment of api\n\
             \x20 caused by: sign with [DIR]/config/microsecrets/folder-[ID].signing-key.pem: the key is disabled or not \
             usable\n\
             \x20 caused by: [DIR]/config/microsecrets/folder-[ID].signing-key.pem is open to others (mode 640): make it \
             600, and think whether it was read\n\
             hint: `chmod 600` it; if others may have read it, make another key, and pin that one\n",
        );
        fs::write(trust.private_key(), &trust.canary.text).unwrap();
        set_mode(&trust.private_key(), 0o600);
        trust.fails(
            trust.run(&["signing-key", "export"], &[]),
            5,
            "error: get the public key of [DIR]/config/microsecrets/folder-[ID].signing-key.pem: the key is disabled or \
             not usable\n\
             hint: it holds no private key on NIST P-256 (PKCS#8, PEM): restore it from a backup, or move it away and \
             make another\n",
        );
    }

    #[test]
    fn is_the_only_one_of_a_folder() {
        let trust = Trust::signed();
        let said = "error: a folder has one key that signs\nhint: say --sign without a key\n";
        let options = ["--sign-with", "alias/x", "--verify-key", "key.pem"];
        for arguments in [&["set", "B"][..], &["upload"], &["re-sign"]] {
            trust.fails(trust.run(arguments, &options).stdin(trust.pair().trim_end()), 2, said);
        }
        trust.fails(
            trust.run(&["signing-key", "export", "--sign-with", "alias/x"], &[]),
            2,
            "error: a folder has one key that signs\nhint: leave out --sign-with\n",
        );
        trust.fails(
            trust.run(&["set", "B", "--sign", "--sign-with", "x"], &PIN),
            2,
            "error: --sign and --sign-with exclude each other\nhint: leave one of them out\n",
        );
    }
}

mod writing {
    use super::*;

    /// An editor that adds a variable.
    fn editor(machine: &TestEnvironment) {
        machine.script("editor", "#!/bin/sh\necho C=3 >> \"$1\"\n");
    }

    /// Every command that writes a version, each with what it reads.
    fn commands(trust: &Trust) -> Vec<(&'static [&'static str], String)> {
        editor(&trust.machine);
        vec![
            (&["upload", "-q"], format!("{}B=2\n", trust.pair())),
            (&["upload", "-q", "-f", "f"], trust.canary.text.repeat(4)),
            (&["set", "-q", "D"], trust.canary.text.clone()),
            (&["unset", "-q", "B"], String::new()),
            (&["edit", "-q"], String::new()),
            (&["rollback", "-q", "--yes", "1"], String::new()),
            (&["promote", "-q", "--to", "web"], String::new()),
            (&["migrate", "--finish", "--yes"], String::new()),
            (&["delete", "--yes"], String::new()),
        ]
    }

    #[test]
    fn is_signed_by_every_command() {
        let trust = Trust::signed();
        for (arguments, input) in commands(&trust) {
            let run = trust.run(arguments, &SIGN).env("EDITOR", "./editor");
            run.stdin(input).run().ends(0);
        }
        let rows = trust.machine.history(&PIN);
        let made: Vec<_> = rows
            .iter()
            .map(|row| (row["kind"].clone(), row["signed"].clone()))
            .collect();
        let kinds = ["delete", "rollback to 1", "edit", "unset", "set", "upload", "upload"];
        assert_eq!(made, kinds.map(|kind| (kind.into(), "verified".into())));
        for item in [&["-s", "web"][..], &["-f", "f"]] {
            trust.does(&[&["verify"], item].concat(), &PIN, "");
        }
    }

    #[test]
    fn of_what_is_not_signed_is_refused_where_a_key_is_pinned() {
        let trust = Trust::signed();
        trust.does(&["upload", "-q"], &SIGN, &format!("{}B=2\n", trust.pair()));
        for (arguments, input) in commands(&trust) {
            let item = match arguments {
                [.., "web"] => "environment of web",
                [.., "f"] => "file f of api",
                _ => "environment of api",
            };
            let before = trust.machine.store();
            let outcome = trust.run(arguments, &PIN).env("EDITOR", "./editor").stdin(input).run();
            let said = format!(
                "error: the new version of the {item} would not be signed, but a signature is required\n\
                 hint: sign it: --sign, or --sign-with KEY\n"
            );
            // A rollback has told by then what it would change.
            assert!(outcome.stderr.ends_with(&said), "{}", outcome.stderr);
            outcome.ends(2);
            trust.canary.is_not_in(&outcome);
            assert!(trust.machine.store() == before);
        }
    }

    #[test]
    fn needs_a_pin_for_its_own_readers() {
        let trust = Trust::signed();
        let said = "error: what the folder's signing key signs would not be believed: its public key is not pinned\n\
                    hint: pin its public key with --verify-key; `microsecrets signing-key export` prints it\n";
        let pair = trust.pair();
        trust.fails(trust.run(&["upload", "--sign"], &[]).stdin(&pair), 2, said);
        trust.fails(trust.run(&["delete", "--yes", "--sign"], &[]), 2, said);
        trust.fails(trust.run(&["re-sign", "--sign"], &[]), 2, said);
        // Another key's is none.
        trust.change_key("old.pem", "new.pem");
        trust.fails(trust.run(&["upload", "--force"], &SIGN).stdin(&pair), 2, said);
        trust.fails(
            trust.run(&["re-sign"], &PIN),
            2,
            "error: no key to sign with is named\nhint: say --sign, or --sign-with KEY\n",
        );
    }

    #[test]
    fn builds_only_on_what_is_signed() {
        let trust = Trust::with_key();
        trust.upload(&[]);
        for (arguments, input) in [
            (&["upload", "-q"][..], "B=2\n"),
            (&["set", "B"], "2"),
            (&["unset", "A"], ""),
            (&["edit"], ""),
            (&["delete", "--yes"], ""),
            (&["migrate", "--finish", "--yes"], ""),
        ] {
            let outcome = trust.run(arguments, &SIGN).stdin(input).run();
            outcome.ends(6);
            assert_eq!(outcome.stderr(), UNSIGNED, "{arguments:?}");
        }
    }
}

mod reading {
    use super::*;

    #[test]
    fn pins_a_file_a_word_or_several_of_them() {
        let trust = Trust::signed();
        let word = trust.public_key("key.pem").to_base64();
        // A name that could be base64 itself is a file's if there is one.
        trust.machine.write("word", format!("{word}\n"));
        trust.change_key("old.pem", "new.pem");
        for pins in [
            &["--verify-key", "key.pem"][..],
            &["--verify-key", &word],
            &["--verify-key", "word"],
            &["--verify-key", "new.pem,key.pem"],
            &["--verify-key", "new.pem", "--verify-key", &word],
        ] {
            trust.run(&["get", "A"], pins).run().prints(&trust.canary.text);
        }
        for (value, status) in [("key.pem", 0), (&*word, 0), ("new.pem,word", 0), ("new.pem", 6)] {
            let run = trust.run(&["get", "A"], &[]).env("MICROSECRETS_VERIFY_KEY", value);
            run.run().ends(status);
        }
        // The command line comes first.
        let run = trust.run(&["get", "A"], &["--verify-key", "new.pem"]);
        trust.fails(run.env("MICROSECRETS_VERIFY_KEY", "key.pem"), 6, OTHERS);
    }

    #[test]
    fn with_a_pin_is_reason_enough_to_start_a_command() {
        let trust = Trust::signed();
        let arguments = ["with-env", "--verify-key", "key.pem", "--", "printenv", "A"];
        trust
            .run(&arguments, &[])
            .run()
            .prints(&format!("{}\n", trust.canary.text));
        // It narrows what else is said, and lifts none of it.
        trust.fails(
            trust.with_env(&[&PIN[..], &["-w", "B"]].concat()),
            122,
            "error: the environment has a variable that is not allowed: A\n\
             hint: to allow it, say -w A; to leave it out, --ignore-extra\n",
        );
    }

    /// Every command that reads content says the same.
    #[track_caller]
    fn nothing_is_read(trust: &Trust, pins: &[&str], said: &str) {
        trust.is_not_used(pins, said);
        trust.fails(trust.with_env(pins), 122, said);
        for arguments in [
            &["show"][..],
            &["diff", "current"],
            &["verify"],
            &["verify", "--all"],
            &["download", "-l"],
        ] {
            trust.fails(trust.run(arguments, pins), 6, said);
        }
    }

    #[test]
    fn does_not_believe_what_nobody_signed() {
        let trust = Trust::with_key();
        trust.upload(&[]);
        nothing_is_read(&trust, &PIN, UNSIGNED);
        // Nor by 0.3.4's commands, which know no such option.
        let launcher = ["-s", "api", "-a", "--", "touch", "started"];
        let run = trust.machine.launcher("microsecrets-with-env", &launcher);
        trust.fails(run.env("MICROSECRETS_VERIFY_KEY", "key.pem"), 1, UNSIGNED);
        // Nor once the signature was taken away.
        let trust = Trust::signed();
        trust.rewrite(HEAD, |bytes| {
            let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            lines[1] = b"-";
            lines.join(&b'\n')
        });
        nothing_is_read(&trust, &PIN, UNSIGNED);
    }

    #[test]
    fn does_not_believe_what_another_key_signed() {
        let trust = Trust::signed();
        trust.change_key("old.pem", "new.pem");
        nothing_is_read(&trust, &["--verify-key", "new.pem"], OTHERS);
    }

    #[test]
    fn does_not_believe_a_record_that_was_changed() {
        for (old, new) in [
            ("\"number\":1,", "\"number\":2,"),
            ("\"kind\":\"upload\"", "\"kind\":\"set\""),
            ("\"user\":\"ann@", "\"user\":\"bob@"),
            // Another who says that it was them: the pinned key decides, not the record.
            ("\"signer\":", "\"message\":\"x\",\"signer\":"),
        ] {
            let trust = Trust::signed();
            trust.replace(HEAD, old, new);
            nothing_is_read(&trust, &PIN, BAD);
        }
        // The content without the record it was signed with.
        let trust = Trust::signed();
        trust.replace(HEAD, "\"A\"", "\"B\"");
        nothing_is_read(
            &trust,
            &PIN,
            "error: services/api/head/environment is not trusted\n\
             \x20 caused by: its bytes do not match their checksum [CHECKSUM]\n\
             hint: it was changed or copied by other means; look who may write there, and upload it again\n",
        );
    }

    /// A signed deletion does not become the current version again, nor a version a deletion.
    #[test]
    fn does_not_believe_another_state() {
        let trust = Trust::signed();
        trust.does(&["delete", "--yes"], &SIGN, "");
        trust.replace(HEAD, "\"number\":2", "\"number\":3");
        trust.is_not_used(&PIN, BAD);
        let trust = Trust::signed();
        trust.replace(HEAD, "\"state\":\"live\"", "\"state\":\"deleted\"");
        trust.is_not_used(
            &PIN,
            "error: services/api/head/environment is not valid\n\
             \x20 caused by: its field inline is not valid\n\
             hint: look who wrote there; `microsecrets doctor` says what is wrong, and what mends it\n",
        );
    }

    #[test]
    fn does_not_go_where_nothing_can_be_signed() {
        let trust = Trust::signed();
        let said = "error: there is no signed environment of api in file:[DIR]/store\n\
                    hint: publish it with --sign; what 0.3.4 wrote is signed when it is taken over: `microsecrets \
                    migrate --apply --sign --adopt`\n";
        fs::remove_file(trust.machine.path("store/services/api/head/environment")).unwrap();
        trust.fails(trust.run(&["get", "A"], &PIN), 3, said);
        trust.fails(trust.with_env(&PIN), 123, said);
        // What 0.3.4 wrote has no signature.
        let trust = Trust::with_key();
        trust
            .machine
            .put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", &trust.canary.text));
        trust.fails(trust.run(&["get", "A"], &PIN), 3, said);
        trust.fails(trust.with_env(&PIN), 123, said);
    }

    #[test]
    fn takes_only_what_can_be_a_pin() {
        let trust = Trust::signed();
        let private = fs::read_to_string(trust.private_key()).unwrap();
        trust.machine.write("private.pem", &private);
        trust.machine.write("open.pem", trust.machine.read("key.pem"));
        set_mode(&trust.machine.path("open.pem"), 0o664);
        trust.machine.write("secret", &trust.canary.text);
        trust.machine.write("large", "x".repeat(100_000));
        let hint = "hint: give the public key that `microsecrets signing-key export` prints, as a file or as base64\n";
        for (pin, said) in [
            (
                "nosuch.pem",
                "nosuch.pem cannot be used as a key to verify with\n  caused by: No such file or directory (os error 2)\n",
            ),
            (
                "secret",
                "secret holds no key to verify with\n  caused by: it is no public key on NIST P-256\n",
            ),
            (
                "private.pem",
                "private.pem holds no key to verify with\n  caused by: it is a private key: pin the public one\n",
            ),
            (
                "large",
                "large cannot be used as a key to verify with\n  caused by: it has more than 65536 bytes\n",
            ),
            (
                ".",
                ". cannot be used as a key to verify with\n  caused by: it is no regular file\n",
            ),
            (
                "MFkw",
                "MFkw cannot be used as a key to verify with\n  caused by: No such file or directory (os error 2)\n",
            ),
        ] {
            let said = format!("error: {said}{hint}");
            trust.fails(trust.run(&["get", "A", "--verify-key", pin], &[]), 2, &said);
            trust.fails(trust.with_env(&["--verify-key", pin]), 125, &said);
        }
        trust.fails(
            trust.run(&["get", "A", "--verify-key", "open.pem"], &[]),
            2,
            "error: open.pem cannot be used as a key to verify with\n\
             \x20 caused by: it is open to others (mode 664)\n\
             hint: nobody but you and root may be able to write it: chmod go-w\n",
        );
        // Set to nothing is not the same as not set: whoever wrote it meant a pin.
        for pin in ["", "key.pem,"] {
            trust.fails(
                trust.run(&["get", "A"], &[]).env("MICROSECRETS_VERIFY_KEY", pin),
                2,
                "error: a key to verify with is empty\n\
                 hint: leave out --verify-key and MICROSECRETS_VERIFY_KEY, or give them a public key\n",
            );
        }
    }

    /// A private key where a public one belongs is not repeated, however it is spelled.
    #[test]
    fn does_not_show_a_private_key() {
        let trust = Trust::signed();
        let private = fs::read_to_string(trust.private_key()).unwrap();
        let base64: Vec<&str> = private.lines().filter(|line| !line.starts_with('-')).collect();
        for (pin, why) in [
            (private.clone(), "it is a private key: pin the public one"),
            (base64.concat(), "it is no public key on NIST P-256"),
            (base64.join("\n"), "it holds no public key in PEM or base64"),
            (base64.join(" "), "it holds no public key in PEM or base64"),
            (
                base64.concat()[3..].to_owned(),
                "it holds no public key in PEM or base64",
            ),
        ] {
            let run = trust.run(&["get", "A"], &[]).env("MICROSECRETS_VERIFY_KEY", &pin);
            trust.fails(
                run,
                2,
                &format!(
                    "error: the key to verify with cannot be used\n\
                     \x20 caused by: {why}\n\
                     hint: give the public key that `microsecrets signing-key export` prints, as a file or as base64\n"
                ),
            );
        }
    }
}
