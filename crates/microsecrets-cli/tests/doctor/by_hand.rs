//! What other commands mend, or people by hand.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use microsecrets::checksum::Checksum;

use crate::common::TestEnvironment;
use crate::common::canary::Canary;
use crate::{HEAD, LOG, VERSIONS, Ward, time_of};

#[test]
fn what_belongs_to_no_item_is_named_and_can_be_removed() {
    let ward = Ward::healthy();
    for key in [
        "services/api/notes.txt",
        "services/api/log/other",
        "services/api/it's a file",
    ] {
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
    assert!(
        sick.stdout()
            .contains("foreign: services/api/\\u{1b}[31m$(touch pwned) belongs"),
        "{}",
        sick.stdout()
    );
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
    let mend = findings
        .one("failure", "future-dated")
        .says("ahead of the store's clock")
        .mend();
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
        findings
            .one("failure", "untrusted")
            .says(&log)
            .is_mended_by(&format!("restore {}", ward.path(&log).display()));
    }
    ward.put(&log, &good);
    ward.look().are_ok();
    let version = ward.newest(VERSIONS);
    let good = ward.read(&version);
    ward.put(&version, ward.read(HEAD));
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
    ward.look()
        .one("warning", "log")
        .says("lacks 2 entries, the first of version 1");
    ward.put(&first, good);
    ward.put(&format!("{LOG}00000002"), second);
    ward.look().are_ok();
    ward.machine.upload_file("big", vec![7; (1 << 20) + 1]);
    let key = ward.newest("services/api/files/big/");
    let bytes = ward.take(&key);
    let findings = ward.look();
    findings
        .only("failure", "bytes")
        .says(&key)
        .is_mended_by("restore ")
        .is_mended_by("-s api -f big < FILE");
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
    let found = findings
        .only("warning", "migration")
        .says("has not written it for 40 days");
    old.does(found.mend());
    old.look().are_ok();
    // An upload that default readers do not see.
    std::thread::sleep(Duration::from_secs(1));
    let key = ward.machine.put_by_0_3_4("api", &time_of(0), ("A", "1"));
    let findings = ward.look();
    ward.does(findings.only("warning", "unseen").says(&key).mend());
    ward.look().are_ok().is_ok("migration");
}
