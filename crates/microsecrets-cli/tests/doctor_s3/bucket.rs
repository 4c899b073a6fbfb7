//! How the bucket is set up, and who may see that.

use std::time::Duration;

use serde_json::Value;

use crate::fake::BUCKET;
use crate::{HEAD, VERSIONS, Ward, name_of};

#[test]
fn each_setting_of_the_bucket_is_looked_at_and_mended_by_setup() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let breaks: [(&str, &str, &dyn Fn()); 6] = [
        ("failure", "versioning", &|| fake.set_versioning(BUCKET, false)),
        ("failure", "public-access", &|| fake.unblock_public_access(BUCKET)),
        ("failure", "ownership", &|| fake.enforce_ownership(BUCKET, false)),
        ("failure", "encryption", &|| fake.encrypt_under_kms_by_default(BUCKET)),
        ("warning", "lifecycle", &|| fake.clear_lifecycle(BUCKET)),
        ("failure", "bucket-policy", &|| {
            fake.set_bucket_policy(BUCKET, None).unwrap();
        }),
    ];
    let setup = format!("microsecrets setup -b {BUCKET} -r us-east-1 --bucket-only");
    for (level, check, breaks) in breaks {
        breaks();
        let findings = ward.look(&[]);
        assert_eq!(findings.only(level, check).mend(), setup);
        ward.does(&setup);
        ward.look(&[]).are_ok();
    }
}

#[test]
fn a_bucket_policy_that_says_less_is_no_better_than_none() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let policy = fake.bucket_policy(BUCKET).unwrap();
    for (from, to, named) in [
        ("MicrosecretsTlsOnly", "Theirs", "MicrosecretsTlsOnly (missing)"),
        (
            "/services/*/log/*",
            "/services/*/lag/*",
            "MicrosecretsWriteOnce (changed)",
        ),
    ] {
        assert!(policy.contains(from));
        fake.set_bucket_policy(BUCKET, Some(&policy.replace(from, to))).unwrap();
        let findings = ward.look(&[]);
        let mend = findings.only("failure", "bucket-policy").says(named).mend().to_owned();
        ward.does(&mend);
        ward.look(&[]).are_ok();
    }
    // What others have put beside it stays, and is no finding.
    let mut theirs: Value = serde_json::from_str(&policy).unwrap();
    let statement = serde_json::json!({"Sid": "Theirs", "Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket",
        "Resource": format!("arn:aws:s3:::{BUCKET}")});
    theirs["Statement"].as_array_mut().unwrap().push(statement);
    fake.set_bucket_policy(BUCKET, Some(&theirs.to_string())).unwrap();
    ward.look(&[]).are_ok();
}

#[test]
fn while_0_3_4_writes_there_it_is_not_asked_for_what_it_cannot_do() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    // What 0.3.4 wrote a month and more ago, taken over.
    let document = r#"{"environment": {"A": "1"}, "metadata": {"timestamp": 1.5, "user": "bob@old"}}"#;
    let put = |age: u64| {
        let key = format!("{VERSIONS}{}.json", name_of(age, document.as_bytes()));
        fake.put_raw(BUCKET, &key, document.to_owned(), ward.raw(None));
    };
    ward.remove_all();
    put(40 * 86_400);
    // Not taken over yet, it has no head.
    fake.enforce_ownership(BUCKET, false);
    fake.set_bucket_policy(BUCKET, None).unwrap();
    ward.setup(&[]);
    let findings = ward.look(&[]);
    findings.is_ok("head");
    assert_eq!(
        findings.sick(),
        [
            ("warning", "ownership"),
            ("warning", "bucket-policy"),
            ("warning", "right-get")
        ]
    );
    ward.upload(3);
    let findings = ward.look(&[]);
    assert_eq!(
        findings.sick(),
        [
            ("warning", "ownership"),
            ("warning", "bucket-policy"),
            ("warning", "migration")
        ]
    );
    let finish = format!("microsecrets migrate -b {BUCKET} -r us-east-1 -s api --finish");
    findings.one("warning", "bucket-policy").is_mended_by(&finish);
    assert_eq!(findings.one("warning", "migration").says("40 days").mend(), finish);
    // One that was written lately goes on.
    fake.enforce_ownership(BUCKET, true);
    put(0);
    std::thread::sleep(Duration::from_secs(1));
    ward.upload(4);
    let findings = ward.look(&[]);
    findings.is_ok("migration").only("warning", "bucket-policy");
    ward.does(&finish);
    let findings = ward.look(&[]);
    let mend = findings.only("failure", "bucket-policy").mend().to_owned();
    ward.does(&mend);
    ward.look(&[]).are_ok();
}

#[test]
fn a_head_that_is_refused_is_no_sign_of_a_migration() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    fake.set_bucket_policy(BUCKET, None).unwrap();
    fake.put_raw(BUCKET, HEAD, "garbage", ward.raw(None));
    let findings = ward.look(&[]);
    findings.one("failure", "head");
    findings
        .one("failure", "bucket-policy")
        .says("MicrosecretsWriteOnce (missing)");
}

#[test]
fn whose_bucket_it_must_be_can_be_pinned() {
    let ward = Ward::healthy();
    let line = ward.without_line("bucket-owner");
    assert_eq!(line, "bucket-owner = \"111122223333\"");
    let findings = ward.look(&[]);
    findings
        .only("warning", "bucket-owner")
        .is_mended_by(&format!("`{line}`"));
    ward.add_line(&line);
    ward.look(&[]).are_ok();
    // Somebody else's bucket of this name.
    ward.without_line("bucket-owner");
    ward.add_line("bucket-owner = \"999988887777\"");
    let findings = ward.look(&[]);
    findings
        .one("warning", "region")
        .lacks("s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"));
    findings.one("failure", "right-get");
}

#[test]
fn each_request_that_is_denied_names_its_statement_and_the_rest_goes_on() {
    let ward = Ward::healthy();
    let bucket = format!("arn:aws:s3:::{BUCKET}");
    for (check, action, resource) in [
        ("region", "s3:ListBucket", &bucket),
        ("versioning", "s3:GetBucketVersioning", &bucket),
        ("public-access", "s3:GetBucketPublicAccessBlock", &bucket),
        ("ownership", "s3:GetBucketOwnershipControls", &bucket),
        ("encryption", "s3:GetEncryptionConfiguration", &bucket),
        ("lifecycle", "s3:GetLifecycleConfiguration", &bucket),
        ("bucket-policy", "s3:GetBucketPolicy", &bucket),
        ("key", "kms:DescribeKey", &ward.key),
        ("key-rotation", "kms:GetKeyRotationStatus", &ward.key),
        ("key-policy", "kms:GetKeyPolicy", &ward.key),
        ("objects", "s3:ListBucket", &bucket),
    ] {
        let somebody = ward.place.fake.admin("AKIAADMIN2", "a secret", "111122223333");
        ward.place.fake.deny(&somebody, action, "*");
        let findings = ward.look_as(&somebody, &[]);
        findings
            .one("warning", check)
            .says("access denied")
            .lacks(action, resource);
        findings.is_ok("right-get").is_ok("contract");
    }
}

#[test]
fn a_reader_learns_what_a_reader_may_see() {
    let ward = Ward::healthy();
    let somebody = ward.somebody("reader");
    let findings = ward.look_as(&somebody, &[]);
    findings
        .is_ok("right-get")
        .is_ok("right-decrypt")
        .is_ok("caller")
        .is_ok("clock");
    assert!(
        findings.sick().iter().all(|(level, _)| *level == "warning"),
        "{:?}",
        findings.sick()
    );
    findings
        .one("warning", "objects")
        .lacks("s3:ListBucket", &format!("arn:aws:s3:::{BUCKET}"));
}
