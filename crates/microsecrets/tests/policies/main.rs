//! The policies that `setup` and `policy` print, put to others than those who made them.
//!
//! `requests` asks an independent evaluator of IAM about two hundred requests, with the identity policy, the
//! bucket's and the key's together, and what it has to answer beside each. What that one passes over, the encryption
//! context, is in `contexts`. `protocol` has the real reader and writer work with nothing but these rights, on the
//! strict fake, and `stack` has the CloudFormation template checked by cfn-lint.
#![allow(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "a test ends where its expectation does"
)]

mod contexts;
mod protocol;
mod requests;
mod stack;

use microsecrets::setup::{Bucket, KeyArn, Partition, Place, Principal, Role, role_policy};
use serde_json::Value;

pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const BUCKET: &str = "example-microsecrets";
pub(crate) const REGION: &str = "us-east-1";

pub(crate) fn bucket() -> Bucket {
    Bucket::new(Partition::Aws, ACCOUNT.parse().unwrap(), BUCKET.parse().unwrap())
}

/// The place of a service.
pub(crate) fn place(service: &str, key: &str, signing_key: &str) -> Place {
    let arn = |text: &str| text.parse::<KeyArn>().unwrap();
    let place = Place::new(bucket(), REGION.parse().unwrap(), service.parse().unwrap()).unwrap();
    place
        .with_key(arn(key))
        .unwrap()
        .with_signing_key(arn(signing_key))
        .unwrap()
}

/// A role of the account, by its name.
pub(crate) fn role(name: &str) -> Principal {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}").parse().unwrap()
}

pub(crate) fn statements(policy: &Value) -> &[Value] {
    policy["Statement"].as_array().unwrap()
}

/// All roles, the pruner with and without `--purge`.
pub(crate) fn roles() -> Vec<Role> {
    let mut roles = Role::ALL.to_vec();
    roles.push(Role::Pruner { purge: true });
    roles
}

/// Nothing that lets somebody use a key names every key, and no condition is one that a missing value fulfils; the tags
/// of a new key are counted, and one of them must be there.
#[test]
fn no_policy_is_wide_where_it_hurts() {
    let place = requests::api();
    for role in roles() {
        for statement in statements(&role_policy(role, &place).unwrap()) {
            let text = statement.to_string();
            let sid = &statement["Sid"];
            if ["Decrypt", "GenerateDataKey", "kms:Sign", "Object"]
                .iter()
                .any(|used| text.contains(used))
            {
                assert_ne!(statement["Resource"], "*", "{sid}");
            }
            if text.contains("ForAllValues") || text.contains("IfExists") {
                assert_eq!(
                    (sid.as_str(), text.contains("aws:RequestTag/microsecrets")),
                    (Some("TagKeys"), true)
                );
            }
        }
    }
}

/// A managed policy holds 6,144 characters, a key's policy 32 KB, a bucket's 20 KB.
#[test]
fn the_policies_fit() {
    let place = requests::api();
    for role in roles() {
        assert!(
            role_policy(role, &place).unwrap().to_string().len() < 6144 / 2,
            "{role}"
        );
    }
    let many: Vec<_> = (0..100)
        .map(|number| role(&format!("a-role-with-a-long-name-{number}")))
        .collect();
    let key = microsecrets::setup::key_policy(&place, &many, &many, &many);
    assert!(key.to_string().len() < 32 * 1024);
    let bucket = microsecrets::setup::bucket_policy(&bucket(), false);
    assert!(bucket.to_string().len() < 20 * 1024 / 4);
}
