//! The service's keys.

use serde_json::Value;

use crate::fake::BUCKET;
use crate::{READER, WRITER, Ward};

#[test]
fn a_key_that_is_not_pinned_is_told_of() {
    let ward = Ward::healthy();
    let line = ward.without_line("kms-key");
    ward.look(&[])
        .only("warning", "key-pin")
        .is_mended_by(&format!("`{line}`"));
    ward.add_line("kms-key = \"alias/microsecrets-api\"");
    ward.look(&[])
        .only("warning", "key-pin")
        .says("by its alias")
        .is_mended_by(&format!("`{line}`"));
    ward.without_line("kms-key");
    ward.add_line(&line);
    ward.look(&[]).are_ok();
}

#[test]
fn a_key_that_is_missing_disabled_or_about_to_go_is_found() {
    let ward = Ward::healthy();
    let kms = ward.place.fake.kms();
    let breaks: [(&dyn Fn(), &str); 2] = [
        (&|| kms.disable_key(&ward.key), "aws kms enable-key --key-id "),
        (
            &|| kms.schedule_key_deletion(&ward.key),
            "aws kms cancel-key-deletion --key-id ",
        ),
    ];
    for (breaks, mend) in breaks {
        breaks();
        let findings = ward.look(&[]);
        findings
            .one("failure", "key")
            .is_mended_by(&format!("{mend}{}", ward.key));
        findings.one("failure", "right-get").is_mended_by("enable the key");
        kms.enable_key(&ward.key);
        ward.look(&[]).are_ok();
    }
    let line = ward.without_line("kms-key");
    kms.remove_alias("microsecrets-api");
    let findings = ward.look(&[]);
    let mend = findings
        .one("failure", "key")
        .says("no key alias/microsecrets-api")
        .mend();
    assert_eq!(mend, format!("microsecrets setup -b {BUCKET} -r us-east-1 -s api"));
    ward.does(mend);
    ward.add_line(&line);
    ward.look(&[]).are_ok();
}

#[test]
fn an_alias_that_means_another_key_is_found() {
    let ward = Ward::healthy();
    let kms = ward.place.fake.kms();
    let other = kms.create_key("other");
    kms.set_alias("microsecrets-api", &other);
    let moved = format!(
        "aws kms update-alias --alias-name alias/microsecrets-api --target-key-id {}",
        ward.key
    );
    ward.look(&[])
        .only("failure", "alias")
        .says("but the pinned key is")
        .is_mended_by(&moved);
    let line = ward.without_line("kms-key");
    let findings = ward.look(&[]);
    findings
        .one("failure", "alias")
        .says("but the head is under")
        .is_mended_by(&moved);
    ward.add_line(&line);
    kms.set_alias("microsecrets-api", &ward.key);
    ward.look(&[]).are_ok();
    // A key that is pinned needs no alias; AWS's own key is nobody's.
    kms.remove_alias("microsecrets-api");
    ward.look(&[]).are_ok();
    ward.without_line("kms-key");
    kms.set_alias("microsecrets-api", &kms.aws_s3_key());
    ward.look(&[]).one("failure", "key").says("AWS's own key");
}

#[test]
fn a_key_that_is_never_rotated_is_told_of() {
    let ward = Ward::healthy();
    ward.place.fake.kms().set_rotation(&ward.key, false);
    let findings = ward.look(&[]);
    findings
        .only("warning", "key-rotation")
        .is_mended_by(&format!("aws kms enable-key-rotation --key-id {}", ward.key));
    // By its alias, `setup` finds it.
    let line = ward.without_line("kms-key");
    let findings = ward.look(&[]);
    ward.does(findings.one("warning", "key-rotation").mend());
    ward.add_line(&line);
    ward.look(&[]).are_ok();
}

#[test]
fn who_may_use_the_key_is_looked_at() {
    let ward = Ward::healthy();
    let kms = ward.place.fake.kms();
    let policy = kms.key_policy(&ward.key);
    let put = |policy: &Value| kms.set_key_policy(&ward.key, &policy.to_string());
    let parsed = || serde_json::from_str::<Value>(&policy).unwrap();
    let find = |policy: &Value, sid: &str| {
        let statements = policy["Statement"].as_array().unwrap();
        statements.iter().position(|statement| statement["Sid"] == sid).unwrap()
    };
    let readers = format!("microsecrets setup -b {BUCKET} -r us-east-1 -s api --reader {READER} --writer {WRITER}");

    // Readers who may use it for everything, and an account that may.
    for (sid, field, value) in [
        ("MicrosecretsReaders", "Condition", Value::Null),
        ("MicrosecretsWriters", "Action", "kms:*".into()),
        ("MicrosecretsAccount", "Action", "kms:*".into()),
    ] {
        let mut wider = parsed();
        let at = find(&wider, sid);
        match value {
            Value::Null => drop(wider["Statement"][at].as_object_mut().unwrap().remove(field)),
            value => wider["Statement"][at][field] = value,
        }
        put(&wider);
        let findings = ward.look(&[]);
        assert_eq!(findings.only("failure", "key-policy").mend(), readers);
        ward.does(&readers);
        ward.look(&[]).are_ok();
    }
    // A statement of others.
    let mut more = parsed();
    let statement = serde_json::json!({"Sid": "Theirs", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*",
        "Principal": {"AWS": "arn:aws:iam::111122223333:root"}});
    more["Statement"].as_array_mut().unwrap().push(statement);
    put(&more);
    let look = format!("aws kms get-key-policy --key-id {} --policy-name default", ward.key);
    ward.look(&[])
        .only("warning", "key-policy")
        .says("Theirs")
        .is_mended_by(&look);
    put(&parsed());
    ward.look(&[]).are_ok();
    // Nobody.
    let mut nobody = parsed();
    nobody["Statement"]
        .as_array_mut()
        .unwrap()
        .retain(|statement| statement["Sid"] == "MicrosecretsAccount");
    put(&nobody);
    let findings = ward.look(&[]);
    let mend = findings.only("warning", "key-policy").says("nobody").mend();
    ward.does(&mend.replacen("ARN", READER, 1).replacen("ARN", WRITER, 1));
    ward.look(&[]).are_ok();
}

#[test]
fn the_key_that_signs_is_looked_at() {
    let ward = Ward::healthy();
    let fake = &ward.place.fake;
    let somebody = ward.look(&["--role", "signer"]);
    let mend = somebody
        .one("failure", "signing-key")
        .says("no key alias/microsecrets-signing/api")
        .mend();
    let setup = format!("microsecrets setup -b {BUCKET} -r us-east-1 -s api --signing");
    assert_eq!(mend, setup);
    std::fs::remove_file(ward.place.machine.path("microsecrets.toml")).unwrap();
    ward.setup(&["--signing"]);
    // What is there already is not signed yet.
    let findings = ward.look(&[]);
    let adopt = findings
        .only("failure", "signatures")
        .mend()
        .split_once("if it is meant: ")
        .unwrap()
        .1;
    assert_eq!(
        adopt,
        format!("microsecrets re-sign -b {BUCKET} -r us-east-1 -s api --sign --adopt")
    );
    ward.does(adopt);
    ward.look(&[]).are_ok();
    ward.upload(99);
    ward.look(&[]).are_ok();
    // An unsigned upload that is signed over was not meant.
    let unpinned = ward.place.machine.write("unpinned.toml", "");
    let unpinned = ["upload", "-q", "--config", unpinned.to_str().unwrap()];
    ward.place.microsecrets(&unpinned).stdin("A=evil\n").run().ends(0);
    ward.place
        .microsecrets(&["upload", "-q", "--adopt", "--yes"])
        .stdin("A=good\n")
        .run()
        .ends(0);
    ward.look(&[])
        .only("warning", "signatures")
        .says("version 4 ")
        .is_mended_by("look who wrote them");
    ward.remove_all();
    ward.upload(1);
    ward.look(&[]).are_ok();
    for role in ["signer", "writer"] {
        ward.look(&["--role", role])
            .are_ok()
            .is_ok("signing-key")
            .is_ok("signing-key-pin")
            .is_ok("signing-key-policy");
    }
    // Another key signs than the pinned one; and none can.
    let (kms, signing) = (fake.kms(), fake.kms().resolve("microsecrets-signing/api").unwrap());
    let other = kms.create_signing_key("other-signing");
    let line = ward.without_line("sign-with");
    ward.add_line(&format!("sign-with = \"{other}\""));
    ward.look(&[])
        .one("failure", "signing-key-pin")
        .is_mended_by("to `verify-keys`");
    ward.without_line("sign-with");
    ward.add_line(&line);
    kms.disable_key(&signing);
    ward.look(&[])
        .one("failure", "signing-key")
        .is_mended_by(&format!("aws kms enable-key --key-id {signing}"));
    kms.enable_key(&signing);
    let policy = kms.key_policy(&signing);
    kms.set_key_policy(&signing, &policy.replace("ECDSA_SHA_256", "RSASSA_PSS_SHA_256"));
    let findings = ward.look(&[]);
    ward.does(findings.only("failure", "signing-key-policy").mend());
    ward.look(&[]).are_ok();
}
