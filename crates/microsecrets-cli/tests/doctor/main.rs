//! `microsecrets doctor` on a folder: its objects, its signatures, and the files that open it.

#![allow(clippy::unwrap_used, missing_docs)]

mod by_hand;
#[path = "../common/mod.rs"]
mod common;
mod files;
#[path = "../common/findings.rs"]
mod findings;
mod fixed;
#[path = "../common/trust.rs"]
mod trust;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::canary::Canary;
use common::{Outcome, TestEnvironment};
use findings::Findings;
use microsecrets::time::Timestamp;

const HEAD: &str = "services/api/head/environment";
const LOG: &str = "services/api/log/environment/";
const VERSIONS: &str = "services/api/environment/";

/// A folder store with two versions of an environment, and a secret in them.
struct Ward {
    machine: TestEnvironment,
    canary: Canary,
}

impl Ward {
    #[track_caller]
    fn healthy() -> Self {
        let ward = Self {
            machine: TestEnvironment::new(),
            canary: Canary::new(),
        };
        ward.upload(1);
        ward.upload(2);
        ward
    }

    #[track_caller]
    fn upload(&self, number: u32) {
        self.machine.upload(&format!("A={}\nN={number}\n", self.canary.text));
    }

    /// Runs it: nothing is written, and no secret shown.
    #[track_caller]
    fn run(&self, options: &[&str]) -> Outcome {
        let before = self.machine.store();
        let outcome = self.machine.api(&[&["doctor"], options].concat()).run();
        self.canary.is_not_in(&outcome);
        assert!(self.machine.store() == before, "something was written");
        outcome
    }

    #[track_caller]
    fn look(&self) -> Findings {
        let outcome = self.run(&["--format", "json"]);
        assert_eq!(outcome.stderr, "");
        Findings::of(&outcome)
    }

    #[track_caller]
    fn fix(&self, options: &[&str]) -> Outcome {
        let outcome = self
            .machine
            .api(&[&["doctor", "--fix", "--yes"], options].concat())
            .run();
        self.canary.is_not_in(&outcome);
        outcome
    }

    /// Runs the command that a finding says, as a shell would.
    #[track_caller]
    fn does(&self, mend: &str) {
        let mut command = mend.to_owned();
        if let Some(own) = mend.strip_prefix("microsecrets ") {
            command = format!("{} {own} --yes", env!("CARGO_BIN_EXE_microsecrets"));
        }
        let run = self.machine.program("/bin/sh", &["-c", &command]).run();
        run.ends(0);
    }

    /// The greatest key that begins so.
    fn newest(&self, prefix: &str) -> String {
        let root = self.machine.path("store");
        let paths = self.machine.store().into_iter().map(|(path, _)| path);
        let keys = paths.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
        keys.filter(|key| key.starts_with(prefix)).max().unwrap()
    }

    fn path(&self, key: &str) -> PathBuf {
        self.machine.path(&format!("store/{key}"))
    }

    fn read(&self, key: &str) -> Vec<u8> {
        fs::read(self.path(key)).unwrap()
    }

    /// Takes an object away; answers it, as the folder has it.
    fn take(&self, key: &str) -> Vec<u8> {
        let sealed = self.read(key);
        fs::remove_file(self.path(key)).unwrap();
        sealed
    }

    fn put(&self, key: &str, sealed: impl AsRef<[u8]>) {
        fs::write(self.path(key), sealed).unwrap();
    }

    /// Puts the folder's time of a file back, as if it had been written then.
    fn age(&self, key: &str, seconds: u64) {
        let file = fs::File::options().append(true).open(self.path(key)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }
}

/// The beginning of the name of a version of so many seconds ago; of the future when negative.
fn time_of(age: i64) -> String {
    let at = Timestamp::now().plus(-age).to_string();
    let (date, time) = at.trim_end_matches('Z').split_once('T').unwrap();
    format!("{date}.{}", time.replace(':', "-"))
}

// Nothing is wrong.

#[test]
fn a_healthy_service_of_every_kind_is_healthy() {
    let ward = Ward::healthy();
    ward.machine.upload_file("big", vec![7; (1 << 20) + 1]);
    ward.machine.upload_file("gone", b"0123456789");
    ward.machine.did(&["delete", "-q", "-f", "gone", "--yes"]);
    ward.run(&[]).prints(
        "ok       store: file:[DIR]/store opens\n\
         ok       head: the environment of api is version 2 of [TIME]\n\
         ok       log: 2 records of the environment of api in a chain, 2 objects as they say\n\
         ok       head: the file big of api is version 1 of [TIME]\n\
         ok       log: 1 record of the file big of api in a chain, 1 object as they say\n\
         ok       head: the file gone of api is version 2, a deletion of [TIME]\n\
         ok       log: 2 records of the file gone of api in a chain, 1 object as they say\n\
         ok       signatures: no public key is pinned, so nobody's signature is demanded\n\
         ok       identity: [DIR]/config/microsecrets/folder-[ID].age-identity is this user's or root's alone (mode 600)\n",
    );
    ward.look().are_ok();
    // Pruned, rolled back, set again.
    ward.machine.did(&["rollback", "-q", "1", "--yes"]);
    ward.machine.did(&["prune", "--keep", "1", "--yes"]);
    ward.look().are_ok();
    ward.fix(&[]).ends(0);
}

#[test]
fn only_what_is_asked_for_is_looked_at() {
    let ward = Ward::healthy();
    ward.machine.upload_file("one", b"0123456789");
    ward.take(&ward.newest(LOG));
    let one = Findings::of(&ward.run(&["-f", "one", "--format", "json"]));
    one.are_ok();
    assert_eq!(one.checks(), ["store", "head", "log", "signatures", "identity"]);
    let run = ward.machine.microsecrets(&["doctor", "--format", "json"]).run();
    assert_eq!(Findings::of(&run).are_ok().checks(), ["store", "identity"]);
    // A service that is not there may be a slip of the keyboard.
    let run = ward
        .machine
        .microsecrets(&["doctor", "-s", "apu", "--format", "json"])
        .run();
    let findings = Findings::of(&run);
    findings
        .only("warning", "objects")
        .says("nothing of the service apu")
        .is_mended_by("microsecrets upload -b file:");
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let ward = Ward::healthy();
    ward.run(&["--yes"]).ends(2);
    ward.run(&["--role", "admin"]).ends(2);
    let none = "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n";
    for options in [&["--fix"][..], &["-f", "x"]] {
        ward.machine
            .microsecrets(&[&["doctor"], options].concat())
            .run()
            .fails(2, none);
    }
    ward.machine
        .api(&["doctor"])
        .without_env("MICROSECRETS_BUCKET")
        .run()
        .fails(
            2,
            "error: no bucket is named\n\
         hint: say -b BUCKET or set MICROSECRETS_BUCKET; a folder is looked at with -b file:DIR\n",
        );
}

#[test]
fn a_folder_that_is_no_store_is_not_made_one() {
    let machine = TestEnvironment::new();
    for options in [&[][..], &["--fix", "--yes"]] {
        let run = machine.api(&[&["doctor"], options].concat()).run();
        assert_eq!(
            run.stdout(),
            "failure  store: open file:[DIR]/store: no such folder, or no store in it: there is no folder [DIR]/store\n         \
             why: nothing in it can be read or written\n         \
             mend: check the folder's path; the first upload makes a store of a folder that is empty or not there\n"
        );
        run.ends(1);
        assert!(!machine.exists("store") && !machine.exists("config"));
    }
}
