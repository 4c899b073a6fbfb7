//! The service's objects, and mending them.

use std::time::{Duration, SystemTime};

use strict_fake::{Raw, Sse};

use crate::fake::BUCKET;
use crate::{HEAD, LOG, VERSIONS, Ward, humane, name_of};

#[test]
fn interrupted_writes_are_completed() {
    let ward = Ward::healthy();
    for prefix in [LOG, VERSIONS] {
        let gone = ward.newest(prefix);
        let before = ward.place.fake.object(BUCKET, &gone).unwrap();
        ward.place.fake.remove(BUCKET, &gone);
        let fix = format!("microsecrets doctor -b {BUCKET} -r us-east-1 -s api --fix");
        ward.look(&[]).only("warning", "interrupted").is_mended_by(&fix);
        ward.fix(&[]).are_ok();
        let after = ward.place.fake.object(BUCKET, &gone).unwrap();
        assert_eq!(
            (after.body, after.attributes.metadata),
            (before.body, before.attributes.metadata)
        );
        assert_eq!(after.attributes.sse, before.attributes.sse);
    }
    // Also by who has no key's name: it is the head's.
    ward.without_line("kms-key");
    ward.place.fake.kms().remove_alias("microsecrets-api");
    ward.place.fake.remove(BUCKET, &ward.newest(LOG));
    ward.fix(&[]).is_ok("head").is_ok("log");
}

#[test]
fn a_head_that_is_gone_or_refused_is_put_back() {
    let ward = Ward::healthy();
    let before = ward.place.fake.object(BUCKET, HEAD).unwrap();
    let garbage = || {
        ward.place.fake.put_raw(BUCKET, HEAD, "garbage", ward.raw(None));
    };
    let unencrypted = || {
        let bytes = before.body.clone();
        ward.place.fake.put_raw(BUCKET, HEAD, bytes, Raw::default());
    };
    let gone = || assert!(ward.place.fake.remove(BUCKET, HEAD));
    let breaks: [&dyn Fn(); 3] = [&gone, &garbage, &unencrypted];
    for breaks in breaks {
        breaks();
        let findings = ward.look(&[]);
        findings
            .one("failure", "head")
            .is_mended_by("--fix makes version 2 the current one again");
        let used = ward.place.microsecrets(&["with-env", "-a", "--", "true"]).run();
        assert!(!used.status.success());
        assert!(
            used.stderr.contains("`microsecrets doctor`") || used.stderr.contains("hint: "),
            "{}",
            used.stderr
        );
        ward.fix(&[]).are_ok();
        let after = ward.place.fake.object(BUCKET, HEAD).unwrap();
        assert_eq!(
            (&after.body, &after.attributes.sse),
            (&before.body, &before.attributes.sse)
        );
    }
}

#[test]
fn each_object_that_is_not_as_it_shall_be_is_named() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let other = fake.kms().create_key("other");
    let theirs = Sse::kms(other);
    let bytes = r#"{"environment": {}, "metadata": {}}"#;
    let past = format!("{VERSIONS}{}.json", name_of(86_400, bytes.as_bytes()));
    let future = {
        let at = humane(SystemTime::now() + Duration::from_secs(86_400));
        let (date, time) = at.trim_end_matches('Z').split_once('T').unwrap();
        format!(
            "{VERSIONS}{date}.{}.{}.json",
            time.replace(':', "-"),
            microsecrets::checksum::Checksum::of(bytes.as_bytes())
        )
    };
    let under = |sse: Sse| {
        let mut raw = ward.raw(None);
        raw.attributes.sse = sse;
        raw
    };
    for (level, check, key, raw) in [
        ("warning", "foreign", "services/api/notes.txt", ward.raw(None)),
        (
            "failure",
            "outside-grammar",
            "services/api/environment/notes.txt",
            ward.raw(None),
        ),
        ("failure", "encryption", &past, under(Sse::Aes256)),
        ("failure", "encryption", &past, under(theirs)),
        ("failure", "untrusted", &past, ward.raw(Some("not a nonce"))),
        (
            "warning",
            "unnamed",
            &past,
            ward.raw(Some("00000000000000000000000000000009")),
        ),
    ] {
        fake.put_raw(BUCKET, key, bytes, raw);
        let findings = ward.look(&[]);
        let found = findings.only(level, check).says(key);
        match check {
            "untrusted" => found.is_mended_by(&format!("--prefix {key}")),
            _ => found.is_mended_by(&format!("s3 rm s3://{BUCKET}/{key} --region us-east-1")),
        };
        // What the command would do.
        fake.remove(BUCKET, key);
        ward.look(&[]).are_ok();
    }
    fake.put_raw(BUCKET, &future, bytes, ward.raw(None));
    let findings = ward.look(&[]);
    assert_eq!(findings.sick(), [("failure", "future-dated"), ("warning", "unseen")]);
    findings
        .one("failure", "future-dated")
        .is_mended_by(&format!("s3 rm s3://{BUCKET}/{future}"));
    fake.remove(BUCKET, &future);
    ward.look(&[]).are_ok();
}

#[test]
fn an_upload_of_0_3_4_that_nobody_sees_is_taken_over() {
    let ward = Ward::healthy();
    std::thread::sleep(Duration::from_secs(1));
    let document = r#"{"environment": {"A": "1"}, "metadata": {"timestamp": 1.5, "user": "bob@old"}}"#;
    let key = format!("{VERSIONS}{}.json", name_of(0, document.as_bytes()));
    ward.place.fake.put_raw(BUCKET, &key, document, ward.raw(None));
    let findings = ward.look(&[]);
    let mend = findings.one("warning", "unseen").says(&key).mend();
    assert_eq!(
        mend,
        format!("microsecrets migrate -b {BUCKET} -r us-east-1 -s api --apply")
    );
    ward.does(mend);
    ward.look(&[]).are_ok().is_ok("migration");
}

#[test]
fn what_a_dead_writer_left_is_removed() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let file = |bytes: &[u8]| {
        let run = ward
            .place
            .microsecrets(&["upload", "-q", "-f", "big"])
            .stdin(bytes)
            .run();
        run.ends(0);
    };
    file(&[1; 100]);
    let bytes = vec![7_u8; (1 << 20) + 1];
    let orphan = format!("services/api/files/big/{}", name_of(60, &bytes));
    let mut raw = ward.raw(Some("00000000000000000000000000000009"));
    // Put after the head: it may still be committed.
    fake.put_raw(BUCKET, &orphan, bytes.clone(), raw.clone());
    ward.look(&[])
        .only("warning", "unnamed")
        .says(&orphan)
        .is_mended_by("removes what a dead writer left");
    ward.fix(&[]).only("warning", "unnamed");
    // Put long before it.
    fake.remove(BUCKET, &orphan);
    raw.last_modified = Some(SystemTime::now() - Duration::from_secs(60));
    fake.put_raw(BUCKET, &orphan, bytes, raw);
    let fix = format!("microsecrets doctor -b {BUCKET} -r us-east-1 -s api -f big --fix");
    let findings = ward.look(&[]);
    assert_eq!(findings.only("warning", "orphan").says(&orphan).mend(), fix);
    // Of one item only what is of it is looked at.
    ward.place
        .microsecrets(&["doctor", "-f", "big", "--format", "json"])
        .run()
        .ends(0);
    let kept: Vec<_> = ward.objects().into_iter().filter(|(key, ..)| *key != orphan).collect();
    ward.fix(&["-f", "big"]).are_ok();
    assert!(ward.objects() == kept, "something else was removed");
    ward.look(&[]).are_ok();
}

#[test]
fn a_large_file_without_its_bytes_is_lost() {
    let ward = Ward::healthy();
    let bytes = vec![7_u8; (1 << 20) + 1];
    let upload = || {
        ward.place
            .microsecrets(&["upload", "-q", "-f", "big"])
            .stdin(&bytes)
            .run()
            .ends(0)
            .raw_stdout()
    };
    upload();
    let key = ward.newest("services/api/files/big/");
    ward.place.fake.remove(BUCKET, &key);
    let findings = ward.look(&[]);
    findings
        .only("failure", "bytes")
        .says(&key)
        .is_mended_by("microsecrets upload -b ")
        .is_mended_by("-s api -f big < FILE");
    ward.fix(&[]).only("failure", "bytes");
    upload();
    ward.look(&[]).are_ok();
}

#[test]
fn a_restored_bucket_is_brought_forward() {
    let ward = Ward::healthy();
    // The head is the one before; what came after it is still there.
    assert!(ward.place.fake.remove_newest(BUCKET, HEAD));
    let findings = ward.look(&[]);
    findings
        .only("failure", "head-outdated")
        .is_mended_by("--fix makes version 2 the current one again");
    ward.place.microsecrets(&["upload", "-q"]).stdin("A=1\n").run().ends(6);
    ward.fix(&[]).are_ok();
    ward.upload(6);
    ward.look(&[]).are_ok();
}

#[test]
fn gaps_and_changes_of_the_log_are_found() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let first = format!("{LOG}00000001");
    let entry = fake.object(BUCKET, &first).unwrap().body;
    let raw = || ward.raw(None);
    fake.remove(BUCKET, &first);
    let findings = ward.look(&[]);
    assert_eq!(findings.sick(), [("warning", "log"), ("warning", "unnamed")]);
    findings
        .one("warning", "log")
        .says("no entry of version 1")
        .is_mended_by(&format!("--prefix {first}"));
    fake.put_raw(BUCKET, &first, entry, raw());
    ward.look(&[]).are_ok();

    let second = format!("{LOG}00000002");
    let body = fake.object(BUCKET, &second).unwrap().body;
    let text = String::from_utf8(body.to_vec()).unwrap();
    let forged = text.replace("ann@", "eve@");
    fake.put_raw(BUCKET, &second, forged, raw());
    ward.look(&[])
        .only("failure", "log")
        .says("the head and the log say different things")
        .is_mended_by(&second);
    fake.put_raw(BUCKET, &second, "garbage", raw());
    ward.look(&[]).only("failure", "untrusted").says(&second);
    fake.put_raw(BUCKET, &second, text, raw());
    ward.look(&[]).are_ok();
}

#[test]
fn what_a_repair_may_not_do_is_told_with_the_statement() {
    let ward = Ward::healthy();
    let somebody = ward.place.fake.admin("AKIAADMIN2", "a secret", "111122223333");
    ward.place.fake.deny(&somebody, "s3:PutObject", "*");
    ward.place.fake.remove(BUCKET, &ward.newest(LOG));
    let findings = ward.look_as(&somebody, &["--fix", "--yes"]);
    findings
        .one("failure", "fix")
        .lacks("s3:PutObject", &format!("arn:aws:s3:::{BUCKET}/services/api/*"));
    findings.one("warning", "interrupted");
}

#[test]
fn a_store_without_kms_is_looked_at_as_far_as_it_goes() {
    let ward = Ward::healthy();
    ward.remove_all();
    ward.place.machine.write("microsecrets.toml", "service = \"api\"\n");
    ward.place
        .microsecrets(&["upload", "-q", "--sse", "AES256"])
        .stdin("A=1\n")
        .run()
        .ends(0);
    let findings = ward.look(&["--sse", "AES256", "--role", "writer"]);
    findings.are_ok();
    assert_eq!(
        findings.checks(),
        [
            "endpoint",
            "clock",
            "right-get",
            "right-list",
            "right-put",
            "head",
            "log",
            "signatures",
            "contract"
        ]
    );
    ward.look(&[]).one("failure", "head").says("SSE-KMS is required");
}
