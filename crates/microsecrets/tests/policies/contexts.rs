//! The encryption context: which objects a key is opened for. `iam-simulate` passes it over, so the conditions are read
//! here, as IAM's documents have it: each key of each operator must fit, a key that is missing fits nothing, `*` is any
//! run of characters.

use microsecrets::setup::{Role, key_policy, role_policy};
use serde_json::{Map, Value};

use crate::requests::api;
use crate::{BUCKET, role, statements};

const THROUGH_S3: &str = "s3.us-east-1.amazonaws.com";

/// What S3 gives KMS as encryption context for an object; without one, what is given is nothing.
struct Asked {
    via: Option<&'static str>,
    object: Option<String>,
}

/// The object, whether it is through S3, and whether the key is to be used.
const ROWS: &[(Option<&str>, Option<&str>, bool)] = &[
    (Some("services/api/head/environment"), Some(THROUGH_S3), true),
    (
        Some("services/api/environment/2026-11-23.07-58-01.e3b0c442.json"),
        Some(THROUGH_S3),
        true,
    ),
    (
        Some("services/api/files/tls.pem/2026-11-23.07-58-01.e3b0c442"),
        Some(THROUGH_S3),
        true,
    ),
    (Some("services/api/log/file/tls.pem/00000012"), Some(THROUGH_S3), true),
    // Another service, one whose name begins alike, and places beside.
    (Some("services/web/head/environment"), Some(THROUGH_S3), false),
    (Some("services/api-v2/head/environment"), Some(THROUGH_S3), false),
    (Some("services/ap"), Some(THROUGH_S3), false),
    (Some("services/api"), Some(THROUGH_S3), false),
    (Some("services/API/head/environment"), Some(THROUGH_S3), false),
    (Some("x/services/api/head/environment"), Some(THROUGH_S3), false),
    (Some("services/"), Some(THROUGH_S3), false),
    // An object under a bucket key, where the context is the bucket's ARN, or under none.
    (Some(""), Some(THROUGH_S3), false),
    (None, Some(THROUGH_S3), false),
    // Who asks KMS themselves says whatever context they like.
    (Some("services/api/head/environment"), None, false),
    (
        Some("services/api/head/environment"),
        Some("s3.eu-west-1.amazonaws.com"),
        false,
    ),
    (
        Some("services/api/head/environment"),
        Some("s3.us-east-1.amazonaws.com.cn"),
        false,
    ),
    (
        Some("services/api/head/environment"),
        Some("ec2.us-east-1.amazonaws.com"),
        false,
    ),
    (None, None, false),
];

/// IAM's `StringLike`.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| like(after, &rest[at..]))
        }),
    }
}

fn holds(condition: &Value, asked: &Asked) -> bool {
    let operators: &Map<_, _> = condition.as_object().unwrap();
    operators.iter().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, wanted)| {
            let found = match key.as_str() {
                "kms:ViaService" => asked.via.map(str::to_owned),
                "kms:EncryptionContext:aws:s3:arn" => asked.object.clone(),
                other => panic!("a key that is not looked at here: {other}"),
            };
            let wanted = wanted.as_str().unwrap();
            found.is_some_and(|found| match operator.as_str() {
                "StringEquals" => wanted == found,
                "StringLike" => like(wanted, &found),
                other => panic!("an operator that is not looked at here: {other}"),
            })
        })
    })
}

/// The statements that let somebody use the service's key.
fn uses(policy: &Value) -> Vec<&Value> {
    let uses = |statement: &&Value| {
        let actions = statement["Action"].to_string();
        actions.contains("kms:Decrypt") || actions.contains("kms:GenerateDataKey")
    };
    statements(policy).iter().filter(uses).collect()
}

#[test]
fn a_key_is_used_for_the_objects_of_its_service_alone() {
    let (readers, writers) = ([role("reader")], [role("writer")]);
    let mut policies = vec![(key_policy(&api(), &readers, &writers, &[role("admin")]), 2)];
    for (role, uses) in [
        (Role::Reader, 1),
        (Role::Lister, 1),
        (Role::Writer, 1),
        (Role::Pruner { purge: true }, 1),
        (Role::Signer, 0),
        (Role::Admin, 0),
    ] {
        policies.push((role_policy(role, &api()).unwrap(), uses));
    }
    for (policy, count) in policies {
        assert_eq!(uses(&policy).len(), count, "{policy}");
        for statement in uses(&policy) {
            for &(key, via, expected) in ROWS {
                let object = key.map(|key| match key {
                    "" => format!("arn:aws:s3:::{BUCKET}"),
                    key => format!("arn:aws:s3:::{BUCKET}/{key}"),
                });
                let asked = Asked { via, object };
                let sid = &statement["Sid"];
                assert_eq!(
                    holds(&statement["Condition"], &asked),
                    expected,
                    "{sid} {key:?} {via:?}"
                );
            }
            let other_bucket = Asked {
                via: Some(THROUGH_S3),
                object: Some("arn:aws:s3:::example-microsecrets-2/services/api/head/environment".to_owned()),
            };
            assert!(!holds(&statement["Condition"], &other_bucket));
        }
    }
}

#[test]
fn a_pattern_fits_as_iam_has_it() {
    for (pattern, text, expected) in [
        ("a/*", "a/b/c", true),
        ("a/*", "a/", true),
        ("a/*", "a", false),
        ("*a*b", "xaxxb", true),
        ("*a*b", "xaxxbc", false),
        ("a", "a", true),
        ("a", "ab", false),
    ] {
        assert_eq!(like(pattern, text), expected, "{pattern} {text}");
    }
}
