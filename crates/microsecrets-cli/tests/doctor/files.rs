//! Signatures, and the files of this machine that open a folder or decide what is believed.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};

use crate::common::{set_mode, skip};
use crate::findings::Findings;
use crate::trust::{HEAD, Trust};

#[test]
fn what_is_not_signed_is_told_of() {
    let trust = Trust::signed();
    let look = |options: &[&str]| {
        let before = trust.machine.store();
        let arguments = [&["doctor", "--format", "json", "--verify-key", "key.pem"], options].concat();
        let outcome = trust.machine.api(&arguments).run();
        trust.canary.is_not_in(&outcome);
        assert!(trust.machine.store() == before, "something was written");
        Findings::of(&outcome)
    };
    look(&[])
        .are_ok()
        .is_ok("signatures")
        .is_ok("verify-key")
        .is_ok("signing-key");
    trust.upload(&[]);
    let findings = look(&[]);
    let found = findings.only("failure", "signatures").says("it is not signed");
    let adopt = found.mend().split_once("if it is meant: microsecrets ").unwrap().1;
    let arguments: Vec<&str> = adopt.split(' ').chain(["--verify-key", "key.pem", "--yes"]).collect();
    trust.machine.microsecrets(&arguments).run().ends(0);
    look(&[]).are_ok();
    // Signed over, the log keeps that it was not.
    trust.upload(&["--sign", "--verify-key", "key.pem"]);
    look(&[])
        .only("warning", "signatures")
        .says("version 2 of the environment of api cannot be verified");

    // A head that somebody has changed gives way to the record that was signed.
    let forged = Trust::signed();
    forged.rewrite(HEAD, |bytes| {
        String::from_utf8(bytes)
            .unwrap()
            .replacen("ann@", "eve@", 1)
            .into_bytes()
    });
    let arguments = ["doctor", "--format", "json", "--verify-key", "key.pem"];
    let findings = Findings::of(&forged.machine.api(&arguments).run());
    assert_eq!(findings.sick(), [("failure", "signatures"), ("failure", "log")]);
    findings
        .one("failure", "signatures")
        .is_mended_by("--fix puts the signed record of version 1 back");
    let fixed = forged
        .machine
        .api(&[&arguments[..], &["--fix", "--yes"]].concat())
        .run();
    Findings::of(&fixed).are_ok();
}

#[test]
fn a_version_that_is_too_old_or_ends_soon_is_told_of() {
    let trust = Trust::with_key();
    let look = |options: &[&str]| {
        let arguments = [&["doctor", "--format", "json"], options].concat();
        Findings::of(&trust.machine.api(&arguments).run())
    };
    trust.upload(&["--expires", "1s"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let findings = look(&[]);
    findings
        .only("failure", "expires")
        .says("expired at ")
        .is_mended_by("with another --expires: microsecrets upload -b file:");
    trust.machine.api(&["get", "A"]).run().ends(6);
    trust.upload(&["--expires", "90d"]);
    look(&[]).are_ok();
    look(&["--min-version", "2"]).are_ok();
    let findings = look(&["--min-version", "3"]);
    findings
        .only("failure", "min-version")
        .says("3 is the least that is accepted");
}

#[test]
fn files_that_are_open_to_others_are_named() {
    let trust = Trust::signed();
    let look = || {
        Findings::of(
            &trust
                .machine
                .api(&["doctor", "--format", "json", "--verify-key", "key.pem"])
                .run(),
        )
    };
    let files = fs::read_dir(trust.machine.path("config/microsecrets")).unwrap();
    let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    assert_eq!(paths.len(), 2);
    for path in &paths {
        let check = match path.to_str().unwrap().ends_with(".age-identity") {
            true => "identity",
            false => "signing-key",
        };
        for mode in [0o644, 0o640, 0o602] {
            set_mode(path, mode);
            let findings = look();
            let found = findings
                .one("failure", check)
                .says(&format!("is open to others (mode {mode:03o})"));
            assert_eq!(found.mend(), format!("chmod 600 {}", path.display()));
            // Without its identity the store does not open.
            assert_eq!(
                findings.sick().iter().any(|(_, check)| *check == "store"),
                check == "identity"
            );
            trust.machine.program("/bin/sh", &["-c", found.mend()]).run().ends(0);
            look().are_ok();
        }
        if !rustix::process::geteuid().is_root() {
            skip("only root can give a file away");
            continue;
        }
        chown(path, Some(65534), None).unwrap();
        let owned = look();
        owned
            .one("failure", check)
            .says("belongs to the user with the number 65534")
            .is_mended_by("sudo chown 0 ");
        chown(path, Some(0), None).unwrap();
        look().are_ok();
    }
    // A contract that others can write is not used at all, so nothing is looked at.
    let contract = trust.machine.write("microsecrets.toml", "service = \"api\"\n");
    set_mode(&contract, 0o644);
    look().are_ok().is_ok("contract");
    set_mode(&contract, 0o666);
    trust.machine.api(&["doctor"]).run().fails(
        2,
        "error: the contract microsecrets.toml cannot be used\n  \
         caused by: it is open to others (mode 666)\n\
         hint: nobody but you and root may be able to write it: chmod go-w\n",
    );
    assert_eq!(fs::metadata(&contract).unwrap().permissions().mode() & 0o777, 0o666);
}
