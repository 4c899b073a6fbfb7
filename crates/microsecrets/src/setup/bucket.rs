//! What nobody may do with the bucket: its policy, beside the statements of others that are in it already.

use std::fmt;

use serde_json::{Map, Value, json};

use super::policy::policy;
use super::{Bucket, SetupError};
use crate::layout::SERVICES;

/// The most bytes that S3 takes.
const MAX_POLICY: usize = 20 * 1024;

const TLS_ONLY: &str = "MicrosecretsTlsOnly";
const OWN_ACCOUNT_ONLY: &str = "MicrosecretsOwnAccountOnly";
const NO_COPIES: &str = "MicrosecretsNoCopies";
const NO_REENCRYPTION: &str = "MicrosecretsNoReencryption";
const WRITE_ONCE: &str = "MicrosecretsWriteOnce";
const COMPARE_AND_SWAP: &str = "MicrosecretsCompareAndSwap";

/// By what our statements are known again. One that is here no more would stay in the policies that have it.
const OURS: [&str; 6] = [
    TLS_ONLY,
    OWN_ACCOUNT_ONLY,
    NO_COPIES,
    NO_REENCRYPTION,
    WRITE_ONCE,
    COMPARE_AND_SWAP,
];

/// The policy of a bucket: what is denied to everybody, whatever they are allowed elsewhere, for all services alike.
///
/// * `MicrosecretsTlsOnly`: what does not come over TLS.
/// * `MicrosecretsOwnAccountOnly`: what principals of other accounts ask, and anonymous ones. AWS's own services are
///   not among them; a bucket that another account replicates into cannot have it.
/// * `MicrosecretsNoCopies`: `CopyObject`, which would give old bytes a new place and a new time. (Since October 2025
///   it takes conditions as a write does, so to demand one, as the last two do, does not stop it.)
/// * `MicrosecretsNoReencryption`: `UpdateObjectEncryption`, which moves an object under another key without writing
///   it.
/// * `MicrosecretsWriteOnce`: version bytes and log entries without `If-None-Match`, so that nothing is overwritten.
///   Parts of an upload are no objects yet and carry no condition; its completion does.
/// * `MicrosecretsCompareAndSwap`: heads with neither `If-None-Match` nor `If-Match`.
///
/// 0.3.4 writes without conditions: during a `migration` the last two are left out.
pub fn bucket_policy(bucket: &Bucket, migration: bool) -> Value {
    let (partition, account) = (bucket.partition.to_string(), bucket.account.as_str());
    bucket_policy_of(&partition, account, bucket.name.as_str(), migration)
}

pub(super) fn bucket_policy_of(partition: &str, account: &str, bucket: &str, migration: bool) -> Value {
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let objects = |pattern: &str| format!("{arn}/{SERVICES}{pattern}");
    let without = |conditions: &[&str]| {
        let absent: Map<_, _> = conditions.iter().map(|&key| (key.to_owned(), json!("true"))).collect();
        json!({"Null": absent, "Bool": {"s3:ObjectCreationOperation": "true"}})
    };
    let everything = json!([arn, format!("{arn}/*")]);
    let versions_and_log = json!([objects("*/environment/*"), objects("*/files/*"), objects("*/log/*")]);
    let mut statements = vec![
        deny(
            TLS_ONLY,
            "s3:*",
            &everything,
            Some(json!({"Bool": {"aws:SecureTransport": "false"}})),
        ),
        deny(
            OWN_ACCOUNT_ONLY,
            "s3:*",
            &everything,
            Some(json!({
                "StringNotEquals": {"aws:PrincipalAccount": account},
                "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
            })),
        ),
        deny(
            NO_COPIES,
            "s3:PutObject",
            &json!(objects("*")),
            Some(json!({"Null": {"s3:x-amz-copy-source": "false"}})),
        ),
        deny(NO_REENCRYPTION, "s3:UpdateObjectEncryption", &json!(objects("*")), None),
    ];
    if !migration {
        statements.extend([
            deny(
                WRITE_ONCE,
                "s3:PutObject",
                &versions_and_log,
                Some(without(&["s3:if-none-match"])),
            ),
            deny(
                COMPARE_AND_SWAP,
                "s3:PutObject",
                &json!(objects("*/head/*")),
                Some(without(&["s3:if-match", "s3:if-none-match"])),
            ),
        ]);
    }
    policy(statements)
}

fn deny(sid: &str, action: &str, resource: &Value, condition: Option<Value>) -> Value {
    let mut statement = json!({
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
    });
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
    statement
}

/// The policy that a bucket has, with our statements as `wanted` has them: those of ours that are there are replaced,
/// in whatever form they are, and those of others kept as they are, with the document's version and id.
///
/// Who puts it has read the policy first, and S3 has no compare-and-swap for it: two that do so at once may lose one
/// change, so look again afterwards.
///
/// # Errors
///
/// [`SetupError::Policy`]: what the bucket has is no policy. [`SetupError::LargePolicy`]: S3 would not take it.
pub fn merge_bucket_policy(existing: Option<&Value>, wanted: &Value) -> Result<Value, SetupError> {
    let mut statements = statements_of(existing)?;
    statements.retain(|statement| our_sid(statement).is_none());
    statements.extend(statements_of(Some(wanted))?);
    let merged = match existing {
        None => policy(statements),
        Some(existing) => {
            let mut merged = existing.clone();
            merged["Statement"] = statements.into();
            merged
        }
    };
    let bytes = merged.to_string().len();
    if bytes > MAX_POLICY {
        return Err(SetupError::LargePolicy(bytes));
    }
    Ok(merged)
}

/// How the policy that a bucket has differs from what is wanted, by one of our statements.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Difference {
    /// It is not there.
    Missing(&'static str),
    /// It is there, and says something else.
    Changed(&'static str),
    /// It is there and not wanted: the migration is not over.
    Surplus(&'static str),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(sid) => f.write_str(sid),
            Self::Changed(sid) => write!(f, "{sid} (changed)"),
            Self::Surplus(sid) => write!(f, "{sid} (to be taken out)"),
        }
    }
}

/// Which of our statements a bucket's policy lacks, has in another form, or has too many. None of it is about the order
/// of statements or values, or about a list of one value.
///
/// # Errors
///
/// [`SetupError::Policy`]: what the bucket has is no policy.
pub fn bucket_policy_differences(existing: Option<&Value>, wanted: &Value) -> Result<Vec<Difference>, SetupError> {
    let ours = |policy| -> Result<Vec<(&'static str, Value)>, SetupError> {
        let statements = statements_of(policy)?.into_iter();
        Ok(statements
            .filter_map(|statement| Some((our_sid(&statement)?, normal(statement))))
            .collect())
    };
    let (found, wanted) = (ours(existing)?, ours(Some(wanted))?);
    let of = |statements: &[(&'static str, Value)], sid| -> Vec<Value> {
        let with_sid = statements.iter().filter(|(own, _)| *own == sid);
        with_sid.map(|(_, statement)| statement.clone()).collect()
    };
    Ok(OURS
        .into_iter()
        .filter_map(|sid| match (of(&found, sid), of(&wanted, sid)) {
            (found, wanted) if found == wanted => None,
            (found, _) if found.is_empty() => Some(Difference::Missing(sid)),
            (_, wanted) if wanted.is_empty() => Some(Difference::Surplus(sid)),
            _ => Some(Difference::Changed(sid)),
        })
        .collect())
}

/// Whether a bucket's policy demands conditions of writers, which 0.3.4 does not know.
pub fn demands_conditions(policy: Option<&Value>) -> bool {
    let found = statements_of(policy).unwrap_or_default();
    found.iter().any(|statement| our_sid(statement) == Some(WRITE_ONCE))
}

fn our_sid(statement: &Value) -> Option<&'static str> {
    let sid = statement.get("Sid")?.as_str()?;
    OURS.into_iter().find(|own| *own == sid)
}

/// The statements of a policy, of which there may be one without a list.
pub(super) fn statements_of(policy: Option<&Value>) -> Result<Vec<Value>, SetupError> {
    let statements = match policy {
        None => return Ok(Vec::new()),
        Some(policy) => match policy.get("Statement") {
            Some(Value::Array(statements)) => statements.clone(),
            Some(one @ Value::Object(_)) => vec![one.clone()],
            _ => return Err(SetupError::Policy),
        },
    };
    if statements.iter().all(Value::is_object) {
        Ok(statements)
    } else {
        Err(SetupError::Policy)
    }
}

/// A statement in a form in which those that say the same are equal.
pub(super) fn normal(statement: Value) -> Value {
    let Value::Object(fields) = statement else {
        return statement;
    };
    let field = |(name, value): (String, Value)| {
        let value = match (name.as_str(), value) {
            ("Action" | "NotAction", value) => lowered(listed(value)),
            ("Resource" | "NotResource", value) => listed(value),
            ("Principal", Value::String(anybody)) => json!({"AWS": [anybody]}),
            ("Principal" | "NotPrincipal", Value::Object(kinds)) => {
                Value::Object(kinds.into_iter().map(|(kind, who)| (kind, listed(who))).collect())
            }
            ("Condition", Value::Object(operators)) => Value::Object(operators.into_iter().map(operator).collect()),
            (_, value) => value,
        };
        (name, value)
    };
    Value::Object(fields.into_iter().map(field).collect())
}

/// The names of condition keys are compared without regard to case.
fn operator((name, keys): (String, Value)) -> (String, Value) {
    let keys = match keys {
        Value::Object(keys) => {
            let keys = keys.into_iter();
            Value::Object(keys.map(|(key, values)| (key.to_lowercase(), listed(values))).collect())
        }
        other => other,
    };
    (name, keys)
}

/// One value or several, as a sorted list of texts.
fn listed(value: Value) -> Value {
    let values = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut texts: Vec<_> = values.into_iter().map(text).collect();
    texts.sort();
    json!(texts)
}

fn lowered(values: Value) -> Value {
    match values {
        Value::Array(values) => values
            .iter()
            .map(|value| value.as_str().map(str::to_lowercase))
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(migration: bool) -> Value {
        bucket_policy_of("aws", "111122223333", "example-microsecrets", migration)
    }

    fn foreign(sid: &str) -> Value {
        json!({"Sid": sid, "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:role/x"},
               "Action": "s3:GetObject", "Resource": "arn:aws:s3:::example-microsecrets/*"})
    }

    fn sids(policy: &Value) -> Vec<&str> {
        let statements = policy["Statement"].as_array().expect("a list");
        statements
            .iter()
            .filter_map(|statement| statement["Sid"].as_str())
            .collect()
    }

    #[test]
    fn all_statements_deny_something_to_everybody() {
        let policy = wanted(false);
        assert_eq!(sids(&policy), OURS);
        for statement in policy["Statement"].as_array().expect("a list") {
            assert_eq!(
                (&statement["Effect"], &statement["Principal"]),
                (&json!("Deny"), &json!("*"))
            );
        }
        assert!(policy.to_string().len() < MAX_POLICY / 4, "it leaves room for others");
    }

    #[test]
    fn it_demands_conditions_of_writes_as_aws_documents_them() {
        let policy = wanted(false);
        let write_once = &policy["Statement"][4];
        assert_eq!(
            *write_once,
            json!({
                "Sid": "MicrosecretsWriteOnce",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": [
                    "arn:aws:s3:::example-microsecrets/services/*/environment/*",
                    "arn:aws:s3:::example-microsecrets/services/*/files/*",
                    "arn:aws:s3:::example-microsecrets/services/*/log/*",
                ],
                "Condition": {
                    "Null": {"s3:if-none-match": "true"},
                    "Bool": {"s3:ObjectCreationOperation": "true"},
                },
            })
        );
    }

    #[test]
    fn a_migration_writes_without_conditions() {
        assert_eq!(sids(&wanted(true)), OURS[..4]);
        assert!(!wanted(true).to_string().contains("if-none-match"));
    }

    #[test]
    fn the_statements_of_others_stay() {
        let merged = merge_bucket_policy(None, &wanted(false)).expect("it is small");
        assert_eq!(merged, wanted(false));
        let existing = json!({
            "Version": "2008-10-17",
            "Id": "theirs",
            "Statement": [foreign("First"), {"Sid": "MicrosecretsTlsOnly", "Effect": "Allow"}, foreign("Second")],
        });
        let merged = merge_bucket_policy(Some(&existing), &wanted(false)).expect("it is small");
        assert_eq!(
            (&merged["Version"], &merged["Id"]),
            (&json!("2008-10-17"), &json!("theirs"))
        );
        assert_eq!(sids(&merged)[..2], ["First", "Second"]);
        assert_eq!(sids(&merged)[2..], OURS);
        assert_eq!(merged["Statement"][2], wanted(false)["Statement"][0]);
        let again = merge_bucket_policy(Some(&merged), &wanted(false)).expect("it is small");
        assert_eq!(again, merged);
        let migrating = merge_bucket_policy(Some(&merged), &wanted(true)).expect("it is small");
        assert_eq!(sids(&migrating)[2..], OURS[..4]);
        let one = json!({"Statement": foreign("One")});
        let merged = merge_bucket_policy(Some(&one), &wanted(true)).expect("it is small");
        assert_eq!(sids(&merged)[0], "One");
    }

    #[test]
    fn what_is_no_policy_or_too_large_is_refused() {
        for bad in [
            json!(null),
            json!([]),
            json!({}),
            json!({"Statement": "x"}),
            json!({"Statement": [1]}),
        ] {
            assert_eq!(merge_bucket_policy(Some(&bad), &wanted(false)), Err(SetupError::Policy));
            assert_eq!(
                bucket_policy_differences(Some(&bad), &wanted(false)),
                Err(SetupError::Policy)
            );
        }
        let many: Vec<_> = (0..200).map(|n| foreign(&n.to_string())).collect();
        let large = merge_bucket_policy(Some(&json!({"Statement": many})), &wanted(false));
        assert!(matches!(large, Err(SetupError::LargePolicy(bytes)) if bytes > MAX_POLICY));
    }

    #[test]
    fn what_is_missing_changed_or_too_much_is_named() {
        let differences = |existing: Option<&Value>, migration| {
            bucket_policy_differences(existing, &wanted(migration)).expect("a policy")
        };
        assert_eq!(
            differences(None, true),
            OURS[..4].iter().map(|sid| Difference::Missing(sid)).collect::<Vec<_>>()
        );
        assert_eq!(differences(Some(&wanted(false)), false), []);
        assert_eq!(
            differences(Some(&wanted(false)), true),
            [Difference::Surplus(WRITE_ONCE), Difference::Surplus(COMPARE_AND_SWAP)]
        );
        let mut weaker = wanted(false);
        weaker["Statement"][4]["Resource"] = json!(["arn:aws:s3:::example-microsecrets/services/*/log/*"]);
        weaker["Statement"][0] = foreign("Theirs");
        assert_eq!(
            differences(Some(&weaker), false),
            [Difference::Missing(TLS_ONLY), Difference::Changed(WRITE_ONCE)]
        );
        let mut twice = wanted(false);
        let copy = twice["Statement"][1].clone();
        twice["Statement"].as_array_mut().expect("a list").push(copy);
        assert_eq!(
            differences(Some(&twice), false),
            [Difference::Changed(OWN_ACCOUNT_ONLY)]
        );
    }

    #[test]
    fn other_words_for_the_same_are_no_difference() {
        let mut same = wanted(false);
        same["Statement"].as_array_mut().expect("a list").reverse();
        for statement in same["Statement"].as_array_mut().expect("a list") {
            statement["Principal"] = json!({"AWS": "*"});
            statement["Action"] = json!([statement["Action"].as_str().expect("one").to_uppercase()]);
            if let Some(resources) = statement["Resource"].as_array_mut() {
                resources.reverse();
            }
        }
        same["Statement"][5]["Condition"] = json!({"Bool": {"AWS:SecureTransport": [false]}});
        assert_eq!(bucket_policy_differences(Some(&same), &wanted(false)), Ok(Vec::new()));
        for (pointer, other) in [
            ("/Statement/5/Effect", json!("Allow")),
            (
                "/Statement/5/Principal",
                json!({"AWS": "arn:aws:iam::111122223333:root"}),
            ),
            (
                "/Statement/5/Condition",
                json!({"Bool": {"aws:SecureTransport": "true"}}),
            ),
        ] {
            let mut changed = same.clone();
            *changed.pointer_mut(pointer).expect("it is there") = other;
            assert_eq!(
                bucket_policy_differences(Some(&changed), &wanted(false)),
                Ok(vec![Difference::Changed(TLS_ONLY)]),
                "{pointer}"
            );
        }
    }
}
