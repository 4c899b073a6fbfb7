//! `--adopt`: what nobody has signed is shown, asked about, and then built on or signed, this time.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/trust.rs"]
mod trust;

use common::{Run, terminal};
use trust::{PIN, SIGN, Trust};

const UNSIGNED: &str = "error: services/api/head/environment is not trusted\n\
    \x20 caused by: it is not signed, but a signature is required\n\
    hint: look who wrote it; if it is meant, `microsecrets re-sign --adopt` signs it, after showing what it changes\n";
const NOT_CONFIRMED: &str =
    "error: nothing was done: it was not confirmed\nhint: say --yes to do it without being asked\n";

/// It fails after having told what would be adopted; nothing is written, and no secret shown.
#[track_caller]
fn is_not_done(trust: &Trust, run: Run, told: &str) {
    let before = trust.machine.store();
    let outcome = run.run();
    assert_eq!(outcome.stderr(), format!("{told}{NOT_CONFIRMED}"));
    outcome.ends(1);
    trust.canary.is_not_in(&outcome);
    assert!(trust.machine.store() == before, "something was written");
}

const SHOWN: &str = "warning: no pinned key has signed version 1 of the environment of api; no signed version is \
    left; it has:\n+ A\n";

#[test]
fn what_nobody_signed_is_shown_and_must_be_meant() {
    let trust = Trust::with_key();
    trust.upload(&[]);
    trust.fails(trust.run(&["re-sign"], &SIGN), 6, UNSIGNED);
    // Neither does a yes that is piped in.
    is_not_done(&trust, trust.run(&["re-sign", "--adopt"], &SIGN).stdin("y\n"), SHOWN);
    let before = trust.machine.history(&[]);
    let run = trust.does(&["re-sign", "--adopt", "--yes"], &SIGN, "");
    assert_eq!(
        run.stderr(),
        format!("{SHOWN}note: version 1 of the environment of api is signed\n")
    );
    // It is the same version, by number, name and content.
    let after = trust.machine.history(&PIN);
    assert_eq!(
        (&after[0]["name"], &after[0]["version"]),
        (&before[0]["name"], &1.into())
    );
    assert_eq!(after[0]["signed"], "verified");
    trust.run(&["get", "A"], &PIN).run().prints(&trust.canary.text);
    // Then there is nothing to ask.
    trust.run(&["re-sign", "--adopt"], &SIGN).run().prints_and_says(
        "",
        "note: version 1 of the environment of api is signed with this key already\n",
    );
}

#[test]
fn a_person_at_a_terminal_is_asked() {
    if !terminal::is_there() {
        return;
    }
    let trust = Trust::with_key();
    trust.upload(&[]);
    let question = "Build on this version of the environment of api, though it is not signed? [y/N] ";
    let asked = |answer| trust.run(&["re-sign", "--adopt"], &SIGN).typed(&[(question, answer)]);
    for no in ["n\n", "\n"] {
        let before = trust.machine.store();
        let run = asked(no);
        assert!(
            run.shown().starts_with(&format!("{SHOWN}{question}")),
            "{}",
            run.shown()
        );
        run.ends(1);
        trust.canary.is_not_in(&run);
        assert!(trust.machine.store() == before);
    }
    asked("y\n").ends(0);
    trust.does(&["verify"], &PIN, "");
}

#[test]
fn it_is_compared_with_the_newest_signed_version() {
    let trust = Trust::signed();
    let mallory = format!("A=2{}\nLD_PRELOAD=/x\n", trust.canary.text);
    trust.does(&["upload", "-q"], &[], &mallory);
    let told = "warning: no pinned key has signed version 2 of the environment of api; compared with version 1, the \
                newest signed one, it changes:\n~ A\n+ LD_PRELOAD\n";
    for (arguments, input) in [
        (&["re-sign"][..], ""),
        (&["set", "B"], "2"),
        (&["unset", "A"], ""),
        (&["upload"], "B=2\n"),
    ] {
        let run = trust.run(arguments, &[&SIGN[..], &["--adopt"]].concat());
        is_not_done(&trust, run.stdin(input), told);
    }
    // What was signed may come back without adopting anything but what it replaces.
    let run = trust.does(&["rollback", "1", "-q", "--adopt", "--yes"], &SIGN, "");
    assert_eq!(run.stderr(), told);
    trust.run(&["get", "A"], &PIN).run().prints(&trust.canary.text);
    trust.does(&["verify", "--all", "--since", "3"], &PIN, "");
}

/// Each command, over what somebody else wrote without a signature, and over it again.
#[test]
fn it_is_for_this_time_and_for_every_command_that_writes() {
    let trust = Trust::signed();
    trust.machine.script("editor", "#!/bin/sh\necho C=3 >> \"$1\"\n");
    for (arguments, input) in [
        (&["set", "-q", "B"][..], "2"),
        (&["upload", "-q"], "A=2\n"),
        (&["unset", "-q", "A"], ""),
        (&["edit", "-q"], ""),
        (&["rollback", "-q", "1"], ""),
        (&["delete", "-q"], ""),
        (&["re-sign"], ""),
        (&["migrate", "--apply"], ""),
    ] {
        trust.upload(&[]);
        let run = |options: &[&str]| {
            let run = trust.run(arguments, &[&SIGN[..], options].concat());
            run.env("EDITOR", "./editor").stdin(input).run()
        };
        let refused = run(&["--yes"]);
        refused.ends(6);
        assert!(
            refused.stderr().ends_with(UNSIGNED),
            "{arguments:?} {}",
            refused.stderr()
        );
        trust.canary.is_not_in(&refused);
        let adopted = run(&["--yes", "--adopt"]);
        assert!(adopted.status.success(), "{arguments:?} {}", adopted.stderr());
        let warning = "warning: no pinned key has signed version ";
        assert!(adopted.stderr.starts_with(warning), "{arguments:?} {}", adopted.stderr);
        trust.canary.is_not_in(&adopted);
        let rows = trust.machine.history(&PIN);
        let is_current_signed = rows[0]["signed"] == "verified";
        // Taking over what 0.3.4 wrote finds nothing of it here.
        assert!(
            is_current_signed || arguments == ["migrate", "--apply"],
            "{arguments:?} {}",
            rows[0]
        );
    }
}

#[test]
fn a_deletion_and_a_file_are_told_by_what_they_are() {
    let trust = Trust::signed();
    trust.does(&["delete", "--yes"], &[], "");
    let run = trust.run(&["set", "B", "--adopt"], &SIGN).stdin("2");
    let told = "warning: no pinned key has signed the deletion of the environment of api\n";
    is_not_done(&trust, run, told);
    trust.does(&["set", "-q", "B", "--adopt", "--yes"], &SIGN, "2");
    for bytes in [trust.canary.text.repeat(4), trust.canary.text.repeat(50_000)] {
        trust.does(&["upload", "-q", "--force", "-f", "f"], &[], &bytes);
        let run = trust.run(&["re-sign", "-f", "f", "--adopt"], &SIGN);
        let told = format!(
            "warning: no pinned key has signed version {} of the file f of api; no signed version is left; it has:\n\
             + {} bytes, sha256 [CHECKSUM]\n",
            if bytes.len() > 1000 { 2 } else { 1 },
            bytes.len()
        );
        is_not_done(&trust, run, &told);
    }
    trust.does(&["re-sign", "-f", "f", "--adopt", "--yes"], &SIGN, "");
    trust.does(&["verify", "-f", "f"], &PIN, "");
}

#[test]
fn what_0_3_4_wrote_is_signed_when_it_is_taken_over() {
    for (arguments, input) in [
        (&["migrate", "--apply"][..], ""),
        (&["set", "-q", "B"], "2"),
        (&["upload", "-q"], "B=2\n"),
        (&["re-sign"], ""),
    ] {
        let trust = Trust::with_key();
        trust
            .machine
            .put_by_0_3_4("api", "2016-05-04.03-02-01", ("A", &trust.canary.text));
        let run = |options: &[&str]| trust.run(arguments, &[&SIGN[..], options].concat()).stdin(input).run();
        let refused = run(&["--yes"]);
        assert_eq!(
            refused.stderr(),
            "error: services/api/environment/[TIME].[CHECKSUM].json is not trusted\n\
             \x20 caused by: it is not signed, but a signature is required\n\
             hint: look who wrote it; if it is meant, `microsecrets re-sign --adopt` signs it, after showing what it \
             changes\n"
        );
        refused.ends(6);
        let adopted = run(&["--adopt", "--yes"]);
        let told = "warning: no pinned key has signed the last upload of 0.3.4 to the environment of api; no signed \
                    version is left; it has:\n+ A\n";
        assert!(adopted.stderr().starts_with(told), "{}", adopted.stderr());
        adopted.ends(0);
        trust.canary.is_not_in(&adopted);
        trust.does(&["verify", "--all"], &PIN, "");
    }
}

/// Until the migration has ended, 0.3.4 may write, and nobody signs that.
#[test]
fn what_0_3_4_writes_later_is_not_believed_until_it_is_adopted_again() {
    let trust = Trust::with_key();
    let put = |time, value: &str| trust.machine.put_by_0_3_4("api", time, ("A", value));
    put("2016-05-04.03-02-01", &trust.canary.text);
    trust.does(&["migrate", "--apply", "--adopt", "--yes"], &SIGN, "");
    trust.run(&["get", "A"], &PIN).run().prints(&trust.canary.text);
    put("2017-05-04.03-02-01", &trust.canary.text);
    let said = UNSIGNED.replace("head/environment", "environment/[TIME].[CHECKSUM].json");
    trust.is_not_used(&PIN, &said);
    trust.fails(trust.run(&["set", "B"], &SIGN).stdin(&trust.canary.text), 6, &said);
    let told = "warning: no pinned key has signed the last upload of 0.3.4 to the environment of api; compared with \
                version 1, the newest signed one, it changes:\n(nothing)\n";
    is_not_done(&trust, trust.run(&["set", "B", "--adopt"], &SIGN).stdin("2"), told);
    trust.does(&["set", "-q", "B", "--adopt", "--yes"], &SIGN, "2");
    trust.does(&["migrate", "--finish", "--yes"], &SIGN, "");
    trust.does(&["verify", "--all"], &PIN, "");
}

/// What nobody signed is no source either: its content would be signed.
#[test]
fn a_version_that_is_published_again_is_shown_like_one_that_is_built_on() {
    let trust = Trust::with_key();
    trust.upload(&[]);
    trust.does(&["set", "-q", "B"], &[], &trust.canary.text);
    trust.does(&["set", "-q", "C", "--adopt", "--yes"], &SIGN, "3");
    let said = "error: services/api/log/environment/00000001 is not trusted\n\
                \x20 caused by: it is not signed, but a signature is required\n\
                hint: look who wrote it; if it is meant, `rollback` and `promote` take it with --adopt, after showing what \
                it changes\n";
    let told = "warning: no pinned key has signed version 1 of the environment of api; compared with version 3, the newest \
                signed one, it changes:\n";
    for arguments in [&["promote", "--at", "1", "--to", "web"][..], &["rollback", "1"]] {
        trust.fails(trust.run(arguments, &[&SIGN[..], &["--yes"]].concat()), 6, said);
        let before = trust.machine.store();
        let outcome = trust.run(arguments, &[&SIGN[..], &["--adopt"]].concat()).run();
        let shown = outcome.stderr();
        let (warning, changes) = shown.split_at(told.len());
        assert_eq!(warning, told);
        let mut changes: Vec<&str> = changes.strip_suffix(NOT_CONFIRMED).unwrap().lines().collect();
        changes.sort_unstable();
        assert_eq!(changes, ["- B", "- C"]);
        outcome.ends(1);
        trust.canary.is_not_in(&outcome);
        assert!(trust.machine.store() == before);
        trust.does(arguments, &[&SIGN[..], &["--adopt", "--yes"]].concat(), "");
    }
    for service in ["api", "web"] {
        trust
            .run(&["get", "A", "-s", service], &PIN)
            .run()
            .prints(&trust.canary.text);
    }
    // What is signed and over what is signed needs no word.
    trust.does(&["promote", "-q", "--to", "web"], &SIGN, "");
    trust.does(&["upload", "-q", "-s", "web"], &[], "A=2\n");
    trust.fails(
        trust.run(&["promote", "--to", "web"], &SIGN),
        6,
        &UNSIGNED.replace("/api/", "/web/"),
    );
    trust.does(&["promote", "-q", "--to", "web", "--adopt", "--yes"], &SIGN, "");
    trust.does(&["verify", "-s", "web"], &PIN, "");
}
