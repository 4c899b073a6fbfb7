//! The rights of each role.

use serde_json::Value;
use strict_fake::Principal;

use crate::Ward;
use crate::fake::BUCKET;

#[test]
fn each_right_of_a_role_is_tried_and_named_when_it_is_missing() {
    let ward = Ward::healthy();
    let objects = format!("arn:aws:s3:::{BUCKET}/services/api/*");
    let bucket = format!("arn:aws:s3:::{BUCKET}");
    for (role, sid, check, action, resource) in [
        ("reader", "ReadObjects", "right-get", "s3:GetObject", &objects),
        ("reader", "DecryptObjects", "right-get", "kms:Decrypt", &ward.key),
        ("lister", "ListObjects", "right-list", "s3:ListBucket", &bucket),
        ("writer", "ReadObjects", "right-get", "s3:GetObject", &objects),
        ("writer", "WriteObjects", "right-put", "s3:PutObject", &objects),
        ("writer", "ListObjects", "right-list", "s3:ListBucket", &bucket),
        (
            "writer",
            "EncryptAndDecryptObjects",
            "right-get",
            "kms:Decrypt",
            &ward.key,
        ),
        (
            "writer",
            "LookUpKey",
            "right-describe-key",
            "kms:DescribeKey",
            &ward.key,
        ),
        ("pruner", "DeleteBytes", "right-delete", "s3:DeleteObject", &objects),
    ] {
        let somebody = ward.somebody(role);
        let findings = ward.look_as(&somebody, &["--role", role]);
        findings.is_ok(check);
        assert!(
            !findings.sick().iter().any(|(level, _)| *level == "failure"),
            "{role}: {:?}",
            findings.sick()
        );
        ward.place.fake.deny(&somebody, action, "*");
        ward.look_as(&somebody, &["--role", role])
            .one("failure", check)
            .lacks(action, resource);
        // And by silence, which is how rights are missing as a rule.
        let printed = ward.place.microsecrets(&["policy", "--role", role]).run();
        let mut policy: Value = serde_json::from_str(&printed.raw_stdout()).unwrap();
        let statements = policy["identity-policy"]["Statement"].as_array_mut().unwrap();
        let all = statements.len();
        statements.retain(|statement| statement["Sid"] != sid);
        assert_eq!(statements.len(), all - 1, "{sid}");
        let poorer = ward.place.fake.principal("AKIAPOORER", "a secret", "111122223333");
        ward.place
            .fake
            .attach_policy(&poorer, &policy["identity-policy"].to_string())
            .unwrap();
        ward.look_as(&poorer, &["--role", role])
            .one("failure", check)
            .lacks(action, resource);
    }
}

#[test]
fn the_rights_of_who_signs_are_tried() {
    let ward = Ward::healthy();
    std::fs::remove_file(ward.place.machine.path("microsecrets.toml")).unwrap();
    ward.setup(&["--signing"]);
    let key = ward.place.fake.kms().resolve("microsecrets-signing/api").unwrap();
    let somebody = ward.somebody("signer");
    let findings = ward.look_as(&somebody, &["--role", "signer"]);
    findings.is_ok("right-sign").is_ok("right-get-public-key");
    for (check, action) in [("right-sign", "kms:Sign"), ("right-get-public-key", "kms:GetPublicKey")] {
        let somebody = ward.somebody("signer");
        ward.place.fake.deny(&somebody, action, "*");
        ward.look_as(&somebody, &["--role", "signer"])
            .one("failure", check)
            .lacks(action, &key);
    }
}

#[test]
fn what_a_direct_try_of_the_key_proves_is_said() {
    let ward = Ward::healthy();
    let outcome = |who: &Principal| {
        let run = ward.place.microsecrets_as(who, &["doctor", "--role", "writer"]);
        ward.run(run).raw_stdout()
    };
    // The rights of a writer are for requests through S3 only.
    let said = outcome(&ward.somebody("writer"));
    assert!(
        said.contains(
            "ok       right-decrypt: kms:Decrypt is denied to who asks directly, as it may be: that the head was read \
             proves it for requests through S3\n"
        ) && said.contains(
            "ok       right-generate-data-key: kms:GenerateDataKey is denied to who asks directly, as it may be: for \
             requests through S3 (kms:ViaService) only a write would show it\n"
        ),
        "{said}"
    );
    let admin = ward.place.fake.admin("AKIAADMIN2", "a secret", "111122223333");
    let said = outcome(&admin);
    assert!(
        said.contains("right-decrypt: kms:Decrypt is allowed (DryRun)\n"),
        "{said}"
    );
    // It was only S3 that used the key.
    let uses = ward.place.fake.kms_uses();
    assert!(
        !uses.is_empty() && uses.iter().all(|used| used.via.is_some()),
        "{uses:?}"
    );
}

#[test]
fn without_a_head_rights_cannot_be_tried() {
    let ward = Ward::healthy();
    ward.remove_all();
    let findings = ward.look(&["--role", "writer"]);
    findings.one("warning", "objects").says("nothing of the service api");
    findings.one("warning", "right-get").says("no head");
    findings.one("warning", "right-put").says("no head");
    ward.upload(5);
    ward.look(&["--role", "writer"]).are_ok();
}
