//! What `--fix` mends.

use microsecrets::checksum::Checksum;

use crate::common::terminal;
use crate::findings::Findings;
use crate::{HEAD, LOG, VERSIONS, Ward, time_of};

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
        let mend = findings
            .only("warning", "interrupted")
            .mend()
            .split_once(';')
            .unwrap()
            .0
            .to_owned();
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
        ward.look()
            .only("failure", "head")
            .says("readers refuse the head")
            .is_mended_by("makes version 2 the current");
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
        .is_mended_by("look for a newer head first: restore ");
    let asked = ward.machine.api(&["doctor", "--fix"]).run();
    assert!(
        asked.stderr().contains(".json is newer, and cannot be put back.\n"),
        "{}",
        asked.stderr()
    );
    ward.fix(&[]).ends(1);
    let findings = ward.look();
    findings
        .one("failure", "head-outdated")
        .says(&newest)
        .is_mended_by(&format!("rm {}", ward.path(&newest).display()));
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
    let others: Vec<_> = ward
        .machine
        .store()
        .into_iter()
        .filter(|(path, _)| *path != ward.path(&orphan))
        .collect();
    let fixed = ward.fix(&[]);
    assert_eq!(
        fixed.stderr(),
        "note: removed services/api/files/big/[TIME].[CHECKSUM]\n"
    );
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
        [
            ("failure", "head"),
            ("failure", "head"),
            ("warning", "unnamed"),
            ("warning", "unnamed")
        ]
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
