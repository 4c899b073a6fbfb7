//! Who may use a key: its policy.

use serde_json::{Value, json};

use super::policy::{KEY_SETUP, Names, add_condition, of_records, one_or_many, policy};
use super::{Place, Principal, Role};

/// What the key's account keeps: every action on a key but those that use it or let somebody use it (`CreateGrant`,
/// `ReplicateKey`), and those for imported material and several regions, which no key here has. They are listed so that
/// one that AWS adds is not among them.
const KEY_MANAGEMENT: [&str; 25] = [
    "kms:CancelKeyDeletion",
    "kms:CreateAlias",
    "kms:DeleteAlias",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:GetKeyLastUsage",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateKeyDescription",
];

/// The statements for some principals of a role, to put into the policy of the key that the role uses: the service's
/// key, or for the signer the signing key. Without principals there are none.
///
/// Whoever lists or prunes needs of the key what a reader needs, and has the reader's statement.
pub fn key_statements(role: Role, principals: &[Principal], place: &Place) -> Vec<Value> {
    grants(role, principals, &Names::of(place))
}

fn grants(role: Role, principals: &[Principal], names: &Names<'_>) -> Vec<Value> {
    let to = |sid, actions: &[&str], condition| {
        let arns: Vec<_> = principals.iter().map(Principal::as_str).collect();
        grant(sid, &json!(arns), actions, condition)
    };
    if principals.is_empty() {
        return Vec::new();
    }
    match role {
        Role::Reader | Role::Lister | Role::Pruner { .. } => {
            vec![to("MicrosecretsReaders", &["kms:Decrypt"], Some(names.through_s3()))]
        }
        Role::Writer => vec![
            to(
                "MicrosecretsWriters",
                &["kms:Decrypt", "kms:GenerateDataKey"],
                Some(names.through_s3()),
            ),
            to("MicrosecretsWritersLookUp", &["kms:DescribeKey"], None),
        ],
        Role::Signer => vec![
            to("MicrosecretsSigners", &["kms:Sign"], Some(of_records())),
            to("MicrosecretsSignersLookUp", &["kms:GetPublicKey"], None),
        ],
        Role::Admin => vec![to("MicrosecretsAdmins", &KEY_SETUP, None)],
    }
}

/// The account's administrators, by their own identity policies, and the root user may administer the key and not use
/// it.
fn management(names: &Names<'_>) -> Value {
    let root = json!(format!("arn:{}:iam::{}:root", names.partition, names.account));
    grant("MicrosecretsAccount", &root, &KEY_MANAGEMENT, None)
}

/// The policy of a service's key, which is in the bucket's account.
///
/// The account administers it and cannot use it: no right to decrypt, to encrypt or to grant is left to the root user
/// or to identity policies, so a role that is not named here does nothing with the key, whatever its own policy says.
/// `readers` are whoever reads, lists or prunes and writes nothing; `writers` read too. `admins` set up and mend; for
/// what else there is to administer (to delete the key, say), the account's own administrators are there.
pub fn key_policy(place: &Place, readers: &[Principal], writers: &[Principal], admins: &[Principal]) -> Value {
    service_key_policy(&Names::of(place), readers, writers, admins)
}

pub(super) fn service_key_policy(
    names: &Names<'_>,
    readers: &[Principal],
    writers: &[Principal],
    admins: &[Principal],
) -> Value {
    let mut statements = vec![management(names)];
    statements.extend(grants(Role::Admin, admins, names));
    statements.extend(grants(Role::Reader, readers, names));
    statements.extend(grants(Role::Writer, writers, names));
    policy(statements)
}

/// The policy of a service's signing key.
///
/// `signers` sign records; `readers` may ask for the public key, which is no secret and which they pin. The account
/// administers the key and signs nothing.
pub fn signing_key_policy(place: &Place, signers: &[Principal], readers: &[Principal], admins: &[Principal]) -> Value {
    record_key_policy(&Names::of(place), signers, readers, admins)
}

pub(super) fn record_key_policy(
    names: &Names<'_>,
    signers: &[Principal],
    readers: &[Principal],
    admins: &[Principal],
) -> Value {
    let mut statements = vec![management(names)];
    statements.extend(grants(Role::Admin, admins, names));
    statements.extend(grants(Role::Signer, signers, names));
    if !readers.is_empty() {
        let arns: Vec<_> = readers.iter().map(Principal::as_str).collect();
        let actions = ["kms:GetPublicKey"];
        statements.push(grant("MicrosecretsVerifiers", &json!(arns), &actions, None));
    }
    policy(statements)
}

/// A statement of a key's policy, where the resource `*` is the key.
fn grant(sid: &str, principals: &Value, actions: &[&str], condition: Option<Value>) -> Value {
    let mut statement = json!({
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": principals},
        "Action": one_or_many(actions),
        "Resource": "*",
    });
    add_condition(&mut statement, condition);
    statement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Bucket, Partition};

    /// A place whose keys are not there yet.
    fn place() -> Place {
        place_in(Partition::Aws, "eu-west-1")
    }

    fn place_in(partition: Partition, region: &str) -> Place {
        let account = "111122223333".parse().expect("an account");
        let bucket = Bucket::new(partition, account, "b-1".parse().expect("a bucket"));
        let region = region.parse().expect("a region");
        Place::new(bucket, region, "api".parse().expect("a service")).expect("a place")
    }

    fn principal(name: &str) -> Principal {
        format!("arn:aws:iam::111122223333:role/{name}")
            .parse()
            .expect("a role")
    }

    #[test]
    fn a_key_policy_names_who_may_use_the_key() {
        // It is written before the key has an ARN.
        let (readers, writers) = ([principal("app"), principal("cron")], [principal("ci")]);
        let policy = key_policy(&place(), &readers, &writers, &[principal("ops")]);
        assert_eq!(
            policy["Statement"][2],
            json!({"Sid": "MicrosecretsReaders", "Effect": "Allow",
                   "Principal": {"AWS": [readers[0].as_str(), readers[1].as_str()]},
                   "Action": "kms:Decrypt", "Resource": "*",
                   "Condition": {
                       "StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"},
                       "StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::b-1/services/api/*"}}})
        );
        assert_eq!(policy["Statement"][3]["Sid"], "MicrosecretsWriters");
        assert_eq!(policy["Statement"][3]["Condition"], policy["Statement"][2]["Condition"]);
        assert_eq!(
            policy["Statement"][2],
            key_statements(Role::Lister, &readers, &place())[0]
        );
        let nobody = key_policy(&place(), &[], &[], &[]);
        assert_eq!(nobody["Statement"], json!([management(&Names::of(&place()))]));
        assert!(key_statements(Role::Writer, &[], &place()).is_empty());
    }

    #[test]
    fn a_signing_key_policy_names_who_signs() {
        let policy = signing_key_policy(&place(), &[principal("ci")], &[principal("app")], &[]);
        let sids: Vec<_> = policy["Statement"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|s| s["Sid"].clone())
            .collect();
        assert_eq!(
            sids,
            [
                "MicrosecretsAccount",
                "MicrosecretsSigners",
                "MicrosecretsSignersLookUp",
                "MicrosecretsVerifiers"
            ]
        );
        assert_eq!(
            policy["Statement"][1]["Condition"],
            json!({"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}})
        );
    }

    #[test]
    fn what_the_account_keeps_uses_no_key() {
        for action in KEY_MANAGEMENT.iter().chain(&KEY_SETUP) {
            let uses = [
                "Decrypt",
                "Encrypt",
                "GenerateData",
                "Sign",
                "Verify",
                "CreateGrant",
                "Mac",
                "DeriveShared",
            ];
            assert!(!uses.iter().any(|used| action.contains(used)), "{action}");
        }
        assert!(KEY_MANAGEMENT.is_sorted() && KEY_SETUP.is_sorted());
        assert!(KEY_SETUP.iter().all(|action| KEY_MANAGEMENT.contains(action)));
    }

    #[test]
    fn in_china_services_have_other_names() {
        let place = place_in(Partition::China, "cn-north-1");
        let policy = key_policy(&place, &[principal("app")], &[], &[]).to_string();
        assert!(policy.contains(r#""s3.cn-north-1.amazonaws.com.cn""#), "{policy}");
        assert!(policy.contains(r#""arn:aws-cn:s3:::b-1/services/api/*""#), "{policy}");
        assert!(policy.contains(r#""arn:aws-cn:iam::111122223333:root""#), "{policy}");
    }
}
