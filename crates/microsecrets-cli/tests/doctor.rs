//! `microsecrets doctor` on a folder: its objects, its signatures, and the files that open it.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/findings.rs"]
mod findings;
#[path = "common/trust.rs"]
mod trust;

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::canary::Canary;
use common::{Outcome, TestEnvironment, set_mode, skip, terminal};
use findings::Findings;
use microsecrets::checksum::Checksum;
use microsecrets::time::Timestamp;
use trust::Trust;

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
        let outcome = self.machine.api(&[&["doctor", "--fix", "--yes"], options].concat()).run();
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
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
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
    let run = ward.machine.microsecrets(&["doctor", "-s", "apu", "--format", "json"]).run();
    let findings = Findings::of(&run);
    findings.only("warning", "objects").says("nothing of the service apu").is_mended_by("microsecrets upload -b file:");
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    let ward = Ward::healthy();
    ward.run(&["--yes"]).ends(2);
    ward.run(&["--role", "admin"]).ends(2);
    let none = "error: no service is named\nhint: say -s SERVICE or set MICROSECRETS_SERVICE\n";
    for options in [&["--fix"][..], &["-f", "x"]] {
        ward.machine.microsecrets(&[&["doctor"], options].concat()).run().fails(2, none);
    }
    ward.machine.api(&["doctor"]).without_env("MICROSECRETS_BUCKET").run().fails(
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

// What is mended by `--fix`.

#[test]
fn an_interrupted_write_is_told_of_and_completed() {
    let ward = Ward::healthy();
    for (prefix, what) in [(LOG, "log entry"), (VERSIONS, "bytes")] {
        let key = ward.newest(prefix);
        ward.take(&key);
        let sick = ward.run(&[]);
        sick.ends(0);
        let said = format!(
            "warning  interrupted: version 2 of the environment of api has no {what}: a write was interrupted, or is under \
             way\n         \
             why: only the head has it, so it is lost when the head is\n         \
             mend: microsecrets doctor -b file:[DIR]/store -s api --fix; the next write does it too\n"
        );
        assert!(sick.stdout().contains(&said), "{}", sick.stdout());
        let findings = ward.look();
        let mend = findings.only("warning", "interrupted").mend().split_once(';').unwrap().0.to_owned();
        ward.does(&mend);
        assert!(ward.path(&key).exists());
        ward.look().are_ok();
    }
}

#[test]
fn a_head_that_readers_refuse_is_told_of_and_put_back() {
    let ward = Ward::healthy();
    ward.take(HEAD);
    let sick = ward.run(&[]);
    assert!(
        sick.stdout().contains(
            "failure  head: the environment of api has no head, though services/api/log/environment/00000002 is ours\n         \
             why: nobody can read or write it; somebody removed or changed the head, or its first upload is under way\n         \
             mend: microsecrets doctor -b file:[DIR]/store -s api --fix makes version 2 the current one again\n"
        ),
        "{}",
        sick.stdout()
    );
    sick.ends(1);
    ward.does("microsecrets doctor -s api -b file:store --fix");
    ward.look().are_ok();

    let (good, first) = (ward.read(HEAD), ward.read(&format!("{LOG}00000001")));
    let version = ward.read(&ward.newest(VERSIONS));
    let mut cut = good.clone();
    cut.truncate(good.len() - 1);
    for bad in [&b"garbage"[..], b"", &cut, &first, &version] {
        ward.put(HEAD, bad);
        ward.look().only("failure", "head").says("readers refuse the head").is_mended_by("makes version 2 the current");
        let fixed = ward.fix(&["--format", "json"]);
        assert_eq!(
            fixed.stderr(),
            "note: version 2 of [TIME] is the current one of the environment of api again\n"
        );
        Findings::of(&fixed).are_ok();
        assert_eq!(ward.machine.value("N"), "2");
    }
    ward.upload(3);
    ward.look().are_ok();
}

#[test]
fn a_rollback_by_repair_is_named() {
    let ward = Ward::healthy();
    // The head and the newest record are gone, and the newest bytes are not.
    ward.take(HEAD);
    ward.take(&ward.newest(LOG));
    let newest = ward.newest(VERSIONS);
    let findings = ward.look();
    assert_eq!(findings.sick(), [("failure", "head"), ("warning", "unnamed")]);
    findings
        .one("failure", "head")
        .is_mended_by("makes version 1 the current one again, though")
        .is_mended_by(&newest)
        .is_mended_by("restore [DIR]".split(' ').next().unwrap());
    let asked = ward.machine.api(&["doctor", "--fix"]).run();
    assert!(asked.stderr().contains(".json is newer, and cannot be put back.\n"), "{}", asked.stderr());
    ward.fix(&[]).ends(1);
    let findings = ward.look();
    findings.one("failure", "head-outdated").says(&newest).is_mended_by(&format!("rm {}", ward.path(&newest).display()));
    assert_eq!(ward.machine.value("N"), "1");
    ward.machine.api(&["upload"]).stdin("N=3\n").run().ends(6);
    ward.take(&newest);
    ward.upload(3);
    ward.look().are_ok();
}

#[test]
fn a_restored_folder_is_brought_forward() {
    let ward = Ward::healthy();
    let old = ward.read(HEAD);
    ward.upload(3);
    ward.put(HEAD, old);
    let sick = ward.run(&[]);
    assert!(
        sick.stdout().contains(
            "failure  head-outdated: the head of the environment of api is older than \
             services/api/log/environment/00000003\n         \
             why: writers refuse it, and readers believe an old version: an older state was put back\n         \
             mend: microsecrets doctor -b file:[DIR]/store -s api --fix makes version 3 the current one again\n"
        ),
        "{}",
        sick.stdout()
    );
    ward.fix(&[]).ends(0);
    assert_eq!(ward.machine.value("N"), "3");
    ward.look().are_ok();
}

/// A file of which a dead writer has left bytes, and a version that was committed long after.
fn with_orphan(ward: &Ward) -> String {
    ward.machine.upload_file("big", b"0123456789");
    let bytes = vec![7; (1 << 20) + 1];
    let key = format!("services/api/files/big/{}.{}", time_of(60), Checksum::of(&bytes));
    ward.machine.put_marked(&key, bytes);
    key
}

#[test]
fn bytes_that_were_never_committed_are_told_of_and_removed() {
    let ward = Ward::healthy();
    let orphan = with_orphan(&ward);
    ward.look()
        .only("warning", "unnamed")
        .says(&orphan)
        .is_mended_by("when a later write is done, microsecrets doctor -b file:")
        .is_mended_by("-s api -f big --fix removes what a dead writer left");
    ward.fix(&[]).ends(0);
    assert!(ward.path(&orphan).exists(), "it could still have been committed");
    ward.age(&orphan, 60);
    let sick = ward.run(&[]);
    assert!(
        sick.stdout().contains(
            "warning  orphan: services/api/files/big/[TIME].[CHECKSUM]: 1048577 bytes that were never committed, and cannot \
             be any more\n         \
             why: readers with 0.3.4 may take them for a version, and they are paid for\n         \
             mend: microsecrets doctor -b file:[DIR]/store -s api -f big --fix\n"
        ),
        "{}",
        sick.stdout()
    );
    let others: Vec<_> = ward.machine.store().into_iter().filter(|(path, _)| *path != ward.path(&orphan)).collect();
    let fixed = ward.fix(&[]);
    assert_eq!(fixed.stderr(), "note: removed services/api/files/big/[TIME].[CHECKSUM]\n");
    assert!(ward.machine.store() == others, "something else was removed");
    ward.look().are_ok();
}

#[test]
fn all_that_can_be_mended_is_mended_in_one_go() {
    let ward = Ward::healthy();
    let orphan = with_orphan(&ward);
    ward.age(&orphan, 60);
    ward.take(&ward.newest("services/api/log/file/big/"));
    // Without a head it is not known what was interrupted, nor what is an orphan.
    let head = "services/api/head/file/big";
    let good = ward.read(head);
    ward.put(head, "garbage");
    ward.take(HEAD);
    let findings = ward.look();
    assert_eq!(
        findings.sick(),
        [("failure", "head"), ("failure", "head"), ("warning", "unnamed")]
            .into_iter()
            .chain([("warning", "unnamed")])
            .collect::<Vec<_>>()
    );
    // Of the file no record is left.
    ward.fix(&["--format", "json"]).ends(1);
    ward.put(head, good);
    let fixed = ward.fix(&["--format", "json"]);
    assert_eq!(
        fixed.stderr(),
        "note: completed the interrupted write of the file big of api\n\
         note: removed services/api/files/big/[TIME].[CHECKSUM]\n"
    );
    Findings::of(&fixed).are_ok();
    ward.look().are_ok();
}

#[test]
fn what_is_not_confirmed_is_not_done() {
    let ward = Ward::healthy();
    ward.take(&ward.newest(LOG));
    let before = ward.machine.store();
    let asked = ward.machine.api(&["doctor", "--fix"]).run();
    assert_eq!(
        asked.stderr(),
        "note: not done without being asked; --yes does it: Put what an interrupted write of the environment of api left \
         out (log entry)?\n"
    );
    asked.ends(0);
    assert!(asked.stdout().contains("warning  interrupted: "));
    assert!(ward.machine.store() == before);
    if !terminal::is_there() {
        return;
    }
    let question = "left out (log entry)? [y/N] ";
    let no = ward.machine.api(&["doctor", "--fix"]).typed(&[(question, "n\n")]);
    assert!(no.shown().contains("warning  interrupted: "), "{}", no.shown());
    assert!(ward.machine.store() == before);
    let yes = ward.machine.api(&["doctor", "--fix"]).typed(&[(question, "y\n")]);
    assert!(!yes.shown().contains("warning"), "{}", yes.shown());
    ward.look().are_ok();
}

// What is mended by other commands, or by hand.

#[test]
fn what_belongs_to_no_item_is_named_and_can_be_removed() {
    let ward = Ward::healthy();
    for key in ["services/api/notes.txt", "services/api/log/other", "services/api/it's a file"] {
        ward.put(key, "anything");
        let findings = ward.look();
        let found = findings.only("warning", "foreign").says(key);
        assert!(found.mend().starts_with("rm "));
        ward.does(found.mend());
        ward.look().are_ok();
    }
    // A name that would move the cursor.
    let hostile = std::ffi::OsStr::from_bytes(b"services/api/\x1b[31m$(touch pwned)");
    fs::write(ward.machine.path("store").join(hostile), "anything").unwrap();
    let sick = ward.run(&[]);
    assert!(sick.stdout().contains("foreign: services/api/\\u{1b}[31m$(touch pwned) belongs"), "{}", sick.stdout());
    ward.does(ward.look().only("warning", "foreign").mend());
    assert!(!ward.machine.exists("pwned"));
    ward.look().are_ok();
}

#[test]
fn objects_that_readers_refuse_are_named() {
    let ward = Ward::healthy();
    let document = br#"{"environment": {}, "metadata": {}}"#;
    // Outside of the grammar.
    let odd = format!("{VERSIONS}notes.txt");
    ward.machine.put(&odd, document.to_vec());
    let findings = ward.look();
    let found = findings.only("failure", "outside-grammar").says(&odd);
    ward.does(found.mend().split_once("remove it: ").unwrap().1);
    ward.look().are_ok();
    // From the future.
    let future = format!("{VERSIONS}{}.{}.json", time_of(-86_400), Checksum::of(document));
    ward.machine.put(&future, document.to_vec());
    let findings = ward.look();
    assert_eq!(findings.sick(), [("failure", "future-dated"), ("warning", "unseen")]);
    let mend = findings.one("failure", "future-dated").says("ahead of the store's clock").mend();
    let (_, rest) = mend.split_once('(').unwrap();
    ward.does(rest.split_once(')').unwrap().0);
    ward.look().are_ok();
    // Moved to the place of another, and damaged.
    let log = format!("{LOG}00000001");
    let good = ward.read(&log);
    for bad in [&ward.read(&format!("{LOG}00000002"))[..], b"garbage"] {
        ward.put(&log, bad);
        let findings = ward.look();
        assert_eq!(findings.sick(), [("failure", "untrusted"), ("warning", "unnamed")]);
        findings.one("failure", "untrusted").says(&log).is_mended_by(&format!("restore {}", ward.path(&log).display()));
    }
    ward.put(&log, &good);
    ward.look().are_ok();
    let version = ward.newest(VERSIONS);
    let good = ward.read(&version);
    ward.put(&version, &ward.read(HEAD));
    let findings = ward.look();
    assert_eq!(findings.sick(), [("failure", "untrusted"), ("warning", "interrupted")]);
    ward.put(&version, good);
    ward.look().are_ok();
}

#[test]
fn gaps_and_lost_bytes_are_named() {
    let ward = Ward::healthy();
    ward.upload(3);
    let first = format!("{LOG}00000001");
    let good = ward.take(&first);
    let sick = ward.run(&[]);
    assert!(
        sick.stdout().contains(
            "warning  log: the log of the environment of api has no entry of version 1\n         \
             why: what those versions were, and who wrote them, is not known any more\n         \
             mend: restore [DIR]/store/services/api/log/environment/00000001 from a backup of the folder\n"
        ),
        "{}",
        sick.stdout()
    );
    let second = ward.take(&format!("{LOG}00000002"));
    ward.look().one("warning", "log").says("lacks 2 entries, the first of version 1");
    ward.put(&first, good);
    ward.put(&format!("{LOG}00000002"), second);
    ward.look().are_ok();
    ward.machine.upload_file("big", vec![7; (1 << 20) + 1]);
    let key = ward.newest("services/api/files/big/");
    let bytes = ward.take(&key);
    let findings = ward.look();
    findings.only("failure", "bytes").says(&key).is_mended_by("restore ").is_mended_by("-s api -f big < FILE");
    ward.put(&key, bytes);
    ward.look().are_ok();
}

#[test]
fn what_0_3_4_wrote_is_taken_over_and_its_time_ended() {
    let ward = Ward::healthy();
    let month_ago = time_of(40 * 86_400);
    let machine = TestEnvironment::new();
    machine.upload_with(&["-s", "other"], "A=1\n");
    machine.put_by_0_3_4("api", &month_ago, ("A", "1"));
    let old = Ward {
        machine,
        canary: Canary::new(),
    };
    old.look().are_ok().is_ok("head");
    old.upload(1);
    let findings = old.look();
    let found = findings.only("warning", "migration").says("has not written it for 40 days");
    old.does(found.mend());
    old.look().are_ok();
    // An upload that default readers do not see.
    std::thread::sleep(Duration::from_secs(1));
    let key = ward.machine.put_by_0_3_4("api", &time_of(0), ("A", "1"));
    let findings = ward.look();
    ward.does(findings.only("warning", "unseen").says(&key).mend());
    ward.look().are_ok().is_ok("migration");
}

// Signatures.

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
    look(&[]).are_ok().is_ok("signatures").is_ok("verify-key").is_ok("signing-key");
    trust.upload(&[]);
    let findings = look(&[]);
    let found = findings.only("failure", "signatures").says("it is not signed");
    let adopt = found.mend().split_once("if it is meant: microsecrets ").unwrap().1;
    let arguments: Vec<&str> = adopt.split(' ').chain(["--verify-key", "key.pem", "--yes"]).collect();
    trust.machine.microsecrets(&arguments).run().ends(0);
    look(&[]).are_ok();
    // Signed over, the log keeps that it was not.
    trust.upload(&["--sign", "--verify-key", "key.pem"]);
    look(&[]).only("warning", "signatures").says("version 2 of the environment of api cannot be verified");

    // A head that somebody has changed gives way to the record that was signed.
    let forged = Trust::signed();
    forged.replace(HEAD, "ann@", "eve@");
    let arguments = ["doctor", "--format", "json", "--verify-key", "key.pem"];
    let findings = Findings::of(&forged.machine.api(&arguments).run());
    assert_eq!(findings.sick(), [("failure", "signatures"), ("failure", "log")]);
    findings.one("failure", "signatures").is_mended_by("--fix puts the signed record of version 1 back");
    let fixed = forged.machine.api(&[&arguments[..], &["--fix", "--yes"]].concat()).run();
    Findings::of(&fixed).are_ok();
}

// Files of this machine.

#[test]
fn files_that_are_open_to_others_are_named() {
    let trust = Trust::signed();
    let look = || Findings::of(&trust.machine.api(&["doctor", "--format", "json", "--verify-key", "key.pem"]).run());
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
            let found = findings.one("failure", check).says(&format!("is open to others (mode {mode:03o})"));
            assert_eq!(found.mend(), format!("chmod 600 {}", path.display()));
            // Without its identity the store does not open.
            assert_eq!(findings.sick().iter().any(|(_, check)| *check == "store"), check == "identity");
            trust.machine.program("/bin/sh", &["-c", found.mend()]).run().ends(0);
            look().are_ok();
        }
        if !rustix::process::geteuid().is_root() {
            skip("only root can give a file away");
            continue;
        }
        chown(path, Some(65534), None).unwrap();
        let owned = look();
        owned.one("failure", check).says("belongs to the user with the number 65534").is_mended_by("sudo chown 0 ");
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
