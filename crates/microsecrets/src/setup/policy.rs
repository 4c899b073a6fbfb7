//! What a role may do.

use serde_json::{Value, json};

use super::{KeyArn, Place, Role, SetupError, TAG};
use crate::layout::SERVICES;
use crate::name::ServiceName;

/// The version of the policy language.
const LANGUAGE: &str = "2012-10-17";

/// What may be done with the bucket's configuration when setting up.
const CONFIGURATION: [&str; 13] = [
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:ListBucket",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketVersioning",
    "s3:PutEncryptionConfiguration",
    "s3:PutLifecycleConfiguration",
];

/// What may be done with a key when setting up: nothing that uses it, and nothing that is the end of it.
pub(super) const KEY_SETUP: [&str; 6] = [
    "kms:CreateAlias",
    "kms:EnableKeyRotation",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetPublicKey",
    "kms:PutKeyPolicy",
];

/// What policies are made of, as text: of a place, or as CloudFormation will fill it in.
pub(super) struct Names<'a> {
    pub(super) partition: String,
    pub(super) account: String,
    pub(super) region: String,
    /// What the names of AWS's services end with.
    pub(super) suffix: String,
    pub(super) bucket: String,
    pub(super) service: &'a ServiceName,
    pub(super) key: Option<String>,
    pub(super) signing_key: Option<String>,
}

impl<'a> Names<'a> {
    pub(super) fn of(place: &'a Place) -> Self {
        let key = |arn: &Option<KeyArn>| arn.as_ref().map(|arn| arn.as_str().to_owned());
        Self {
            partition: place.bucket.partition.to_string(),
            account: place.bucket.account.as_str().to_owned(),
            region: place.region.as_str().to_owned(),
            suffix: place.bucket.partition.suffix().to_owned(),
            bucket: place.bucket.name.as_str().to_owned(),
            service: &place.service,
            key: key(&place.key),
            signing_key: key(&place.signing_key),
        }
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.partition, self.bucket)
    }

    /// Objects of the service, by the pattern of their keys: `*`, or `files/*`.
    fn objects(&self, pattern: &str) -> String {
        format!("{}/{}", self.bucket_arn(), self.prefix(pattern))
    }

    fn prefix(&self, pattern: &str) -> String {
        format!("{SERVICES}{}/{pattern}", self.service)
    }

    fn in_kms(&self, resource: &str) -> String {
        format!("arn:{}:kms:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    /// The names that the service's keys have by default; none when a dot in its name forbids it.
    fn aliases(&self) -> Vec<String> {
        let aliases = [self.service.default_key_alias(), self.service.default_signing_alias()];
        aliases.into_iter().flatten().map(|alias| self.in_kms(&alias)).collect()
    }

    fn key(&self) -> Result<&str, SetupError> {
        self.key.as_deref().ok_or(SetupError::NoKey)
    }

    fn signing_key(&self) -> Result<&str, SetupError> {
        self.signing_key.as_deref().ok_or(SetupError::NoSigningKey)
    }

    /// The bucket is not somebody else's of the same name.
    fn own_bucket(&self) -> Value {
        json!({"StringEquals": {"s3:ResourceAccount": self.account}})
    }

    fn own_listing(&self) -> Value {
        json!({
            "StringEquals": {"s3:ResourceAccount": self.account},
            "StringLike": {"s3:prefix": self.prefix("*")},
        })
    }

    /// S3 asks on the caller's behalf, about an object of the service: what S3 gives KMS as encryption context is the
    /// object's ARN. (With a bucket key it would be the bucket's: none is ever used.)
    pub(super) fn through_s3(&self) -> Value {
        json!({
            "StringEquals": {"kms:ViaService": format!("s3.{}.{}", self.region, self.suffix)},
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": self.objects("*")},
        })
    }
}

/// A signature is one of a record, never of a digest that somebody else made.
pub(super) fn of_records() -> Value {
    json!({"StringEquals": {"kms:SigningAlgorithm": "ECDSA_SHA_256", "kms:MessageType": "RAW"}})
}

/// The rights of a role, as an identity policy to attach to an IAM role or user.
///
/// What is narrowed is said in each statement: objects to the service's prefix, listings by `s3:prefix`, buckets to
/// those of the account (`s3:ResourceAccount`: a bucket of the same name that somebody else has made is not used), the
/// key's use to S3's requests for the service's objects (`kms:ViaService`, `kms:EncryptionContext:aws:s3:arn`).
///
/// For the `admin`, who reads no secret, keys may be missing. A key that is yet to be made has no ARN to name here: its
/// own policy lets an administrator in, when [`key_policy`](super::key_policy) is given one. Trying a right with KMS's
/// `DryRun` needs that right itself, so an administrator has none for it.
///
/// # Errors
///
/// [`SetupError::NoKey`] and [`SetupError::NoSigningKey`]: the role is about a key that the place does not name.
pub fn role_policy(role: Role, place: &Place) -> Result<Value, SetupError> {
    identity_policy(role, &Names::of(place))
}

pub(super) fn identity_policy(role: Role, names: &Names<'_>) -> Result<Value, SetupError> {
    Ok(policy(rights(role, names)?))
}

fn rights(role: Role, names: &Names<'_>) -> Result<Vec<Value>, SetupError> {
    let on_objects = |sid, actions: &[&str], patterns: &[&str]| {
        let objects: Vec<_> = patterns.iter().map(|pattern| names.objects(pattern)).collect();
        allow(sid, actions, &objects, Some(names.own_bucket()))
    };
    let read = || on_objects("ReadObjects", &["s3:GetObject"], &["*"]);
    let list = |sid, action| allow(sid, &[action], &[names.bucket_arn()], Some(names.own_listing()));
    let use_key = |sid, actions: &[&str]| -> Result<Value, SetupError> {
        Ok(allow(
            sid,
            actions,
            &[names.key()?.to_owned()],
            Some(names.through_s3()),
        ))
    };
    Ok(match role {
        Role::Reader => vec![read(), use_key("DecryptObjects", &["kms:Decrypt"])?],
        Role::Lister => {
            let mut statements = rights(Role::Reader, names)?;
            statements.push(list("ListObjects", "s3:ListBucket"));
            statements
        }
        Role::Writer => vec![
            read(),
            on_objects("WriteObjects", &["s3:PutObject"], &["*"]),
            on_objects("AbortUploads", &["s3:AbortMultipartUpload"], &["files/*"]),
            list("ListObjects", "s3:ListBucket"),
            use_key("EncryptAndDecryptObjects", &["kms:Decrypt", "kms:GenerateDataKey"])?,
            allow("LookUpKey", &["kms:DescribeKey"], &[names.key()?.to_owned()], None),
        ],
        Role::Pruner { purge } => {
            let versions = ["environment/*", "files/*"];
            let mut statements = rights(Role::Lister, names)?;
            statements.push(on_objects("DeleteBytes", &["s3:DeleteObject"], &versions));
            if purge {
                statements.push(on_objects("DeleteWhatIsKept", &["s3:DeleteObjectVersion"], &versions));
                statements.push(list("ListWhatIsKept", "s3:ListBucketVersions"));
            }
            statements
        }
        Role::Signer => {
            let key = [names.signing_key()?.to_owned()];
            vec![
                allow("SignRecords", &["kms:Sign"], &key, Some(of_records())),
                allow("LookUpSigningKey", &["kms:GetPublicKey"], &key, None),
            ]
        }
        Role::Admin => administration(names),
    })
}

fn administration(names: &Names<'_>) -> Vec<Value> {
    let bucket = [names.bucket_arn()];
    let any = ["*".to_owned()];
    let here = json!({"StringEquals": {"aws:RequestedRegion": names.region}});
    let own_tag = json!({
        "StringEquals": {format!("aws:RequestTag/{TAG}"): names.service.as_str()},
        "ForAllValues:StringEquals": {"aws:TagKeys": TAG},
    });
    let any_key = [names.in_kms("key/*")];
    let mut statements = vec![
        allow("CreateBucket", &["s3:CreateBucket"], &bucket, None),
        allow("ConfigureBucket", &CONFIGURATION, &bucket, Some(names.own_bucket())),
        allow("CreateKeys", &["kms:CreateKey", "kms:ListKeys"], &any, Some(here)),
        allow("FindKeys", &["kms:DescribeKey", "kms:ListResourceTags"], &any_key, None),
        allow("TagKeys", &["kms:TagResource"], &any_key, Some(own_tag)),
    ];
    let aliases = names.aliases();
    if !aliases.is_empty() {
        statements.push(allow("NameKeys", &["kms:CreateAlias"], &aliases, None));
    }
    let keys: Vec<_> = [&names.key, &names.signing_key]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    if !keys.is_empty() {
        statements.push(allow("AdministerKeys", &KEY_SETUP, &keys, None));
    }
    statements
}

/// A policy of these statements.
pub(super) fn policy(statements: Vec<Value>) -> Value {
    json!({"Version": LANGUAGE, "Statement": statements})
}

fn allow(sid: &str, actions: &[&str], resources: &[String], condition: Option<Value>) -> Value {
    let mut statement = json!({
        "Sid": sid,
        "Effect": "Allow",
        "Action": one_or_many(actions),
        "Resource": one_or_many(resources),
    });
    add_condition(&mut statement, condition);
    statement
}

pub(super) fn add_condition(statement: &mut Value, condition: Option<Value>) {
    if let Some(condition) = condition {
        statement["Condition"] = condition;
    }
}

pub(super) fn one_or_many<T: serde::Serialize>(values: &[T]) -> Value {
    match values {
        [one] => json!(one),
        many => json!(many),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Bucket, Partition};

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/0d5eb2d7-0000-4000-8000-6f1d3f7c1a11";
    const SIGNING_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/5162d2ee-0000-4000-8000-6f1d3f7c1a11";

    /// A place without keys.
    fn bare(service: &str) -> Place {
        let account = "111122223333".parse().expect("an account");
        let bucket = Bucket::new(Partition::Aws, account, "b-1".parse().expect("a bucket"));
        let region = "eu-west-1".parse().expect("a region");
        Place::new(bucket, region, service.parse().expect("a service")).expect("a place")
    }

    fn place() -> Place {
        let place = bare("api").with_key(KEY.parse().expect("a key")).expect("it is there");
        place
            .with_signing_key(SIGNING_KEY.parse().expect("a key"))
            .expect("it is there")
    }

    /// Every action that a policy allows.
    fn actions(policy: &Value) -> Vec<String> {
        let statements = policy["Statement"].as_array().expect("a list");
        let of = |statement: &Value| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            one => vec![one.clone()],
        };
        let mut actions: Vec<_> = statements
            .iter()
            .flat_map(of)
            .filter_map(|a| a.as_str().map(str::to_owned))
            .collect();
        actions.sort();
        actions.dedup();
        actions
    }

    #[test]
    fn a_reader_has_two_rights() {
        assert_eq!(
            role_policy(Role::Reader, &place()),
            Ok(json!({"Version": "2012-10-17", "Statement": [
                {"Sid": "ReadObjects", "Effect": "Allow", "Action": "s3:GetObject",
                 "Resource": "arn:aws:s3:::b-1/services/api/*",
                 "Condition": {"StringEquals": {"s3:ResourceAccount": "111122223333"}}},
                {"Sid": "DecryptObjects", "Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY,
                 "Condition": {
                    "StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"},
                    "StringLike": {"kms:EncryptionContext:aws:s3:arn": "arn:aws:s3:::b-1/services/api/*"}}},
            ]}))
        );
    }

    #[test]
    fn each_role_has_what_it_needs_and_no_more() {
        let reader = ["kms:Decrypt", "s3:GetObject"];
        let lister = [&reader[..], &["s3:ListBucket"]].concat();
        let pruner = [&lister[..], &["s3:DeleteObject"]].concat();
        let more = [
            "kms:DescribeKey",
            "kms:GenerateDataKey",
            "s3:AbortMultipartUpload",
            "s3:PutObject",
        ];
        for (role, expected) in [
            (Role::Reader, reader.to_vec()),
            (Role::Lister, lister.clone()),
            (Role::Writer, [&lister[..], &more].concat()),
            (Role::Pruner { purge: false }, pruner.clone()),
            (
                Role::Pruner { purge: true },
                [&pruner[..], &["s3:DeleteObjectVersion", "s3:ListBucketVersions"]].concat(),
            ),
            (Role::Signer, vec!["kms:GetPublicKey", "kms:Sign"]),
        ] {
            let policy = role_policy(role, &place()).expect("the keys are said");
            let (mut expected, found) = (expected, actions(&policy));
            expected.sort_unstable();
            assert_eq!(found, expected, "{role}");
            assert!(!policy.to_string().contains(r#""Resource":"*""#), "{role}");
        }
    }

    #[test]
    fn an_administrator_uses_no_key_and_touches_no_object() {
        for place in [bare("api"), bare("a.b"), place()] {
            let policy = role_policy(Role::Admin, &place).expect("it needs no key");
            for action in actions(&policy) {
                let uses = [
                    "Decrypt",
                    "kms:Encrypt",
                    "GenerateData",
                    "Sign",
                    "CreateGrant",
                    "Object",
                    "Delete",
                ];
                assert!(!uses.iter().any(|used| action.contains(used)), "{action}");
            }
        }
        let sids = |place: &Place| role_policy(Role::Admin, place).expect("it needs no key").to_string();
        assert!(sids(&place()).contains("AdministerKeys") && !sids(&bare("api")).contains("AdministerKeys"));
        assert!(
            sids(&bare("api")).contains(":alias/microsecrets-signing/api\"") && !sids(&bare("a.b")).contains("alias/")
        );
    }

    #[test]
    fn a_key_that_is_not_said_is_missed() {
        for (role, error) in [
            (Role::Reader, SetupError::NoKey),
            (Role::Writer, SetupError::NoKey),
            (Role::Pruner { purge: true }, SetupError::NoKey),
            (Role::Signer, SetupError::NoSigningKey),
        ] {
            assert_eq!(role_policy(role, &bare("api")), Err(error));
        }
    }
}
