//! Requests and verdicts, by `@cloud-copilot/iam-simulate`, which shares no code with what made the policies.
//!
//! Each row is a request: who asks, which action, on what, and what is to be known of it besides the usual; and the
//! verdict that was written down before anybody was asked. The usual is what is true of an ordinary request: it comes
//! over TLS, from a principal and not a service of AWS's, to a bucket of this account, about a key through S3.

use microsecrets::setup::{Place, Role, bucket_policy, key_policy, role_policy, signing_key_policy};
use serde_json::{Map, Value, json};
use test_support::node::Simulator;

use crate::{ACCOUNT, BUCKET, bucket, place, role};

const OTHER_ACCOUNT: &str = "444455556666";
const KEY_API: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-00000000000a";
const KEY_WEB: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-00000000000b";
const KEY_OTHER: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-00000000000c";
const SIGN_API: &str = "arn:aws:kms:us-east-1:111122223333:key/5162d2ee-0000-4000-8000-00000000000a";
const SIGN_WEB: &str = "arn:aws:kms:us-east-1:111122223333:key/5162d2ee-0000-4000-8000-00000000000b";
const ALIAS_API: &str = "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api";
const ALIAS_WEB: &str = "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-web";

pub(crate) fn api() -> Place {
    place("api", KEY_API, SIGN_API)
}

fn web() -> Place {
    place("web", KEY_WEB, SIGN_WEB)
}

/// Who asks.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Who {
    Reader,
    Lister,
    Writer,
    Pruner,
    Purger,
    Signer,
    Admin,
    /// The reader and the writer of another service.
    WebReader,
    WebWriter,
    /// A role of the account that may do everything, as far as identity policies go.
    Operator,
    /// The account's root user.
    Root,
    /// A role that has the reader's identity policy, and that no key's policy names.
    Unnamed,
    /// Somebody of another account who may do everything there.
    Stranger,
    /// A service of AWS's.
    Service,
    /// Who signs nothing.
    Nobody,
}

use Who::{
    Admin, Lister, Nobody, Operator, Pruner, Purger, Reader, Root, Service, Signer, Stranger, Unnamed, WebReader,
    WebWriter, Writer,
};

impl Who {
    fn arn(self) -> Value {
        match self {
            Nobody => Value::Null,
            Root => json!(format!("arn:aws:iam::{ACCOUNT}:root")),
            Stranger => json!(format!("arn:aws:iam::{OTHER_ACCOUNT}:role/Stranger")),
            Service => json!("logging.s3.amazonaws.com"),
            _ => json!(role(&format!("{self:?}")).as_str()),
        }
    }

    fn account(self) -> Option<&'static str> {
        match self {
            Nobody | Service => None,
            Stranger => Some(OTHER_ACCOUNT),
            _ => Some(ACCOUNT),
        }
    }

    /// The identity policy, as it is printed.
    fn policy(self) -> Option<Value> {
        let printed = |role, place| Some(role_policy(role, &place).unwrap());
        match self {
            Reader | Unnamed => printed(Role::Reader, api()),
            Lister => printed(Role::Lister, api()),
            Writer => printed(Role::Writer, api()),
            Pruner => printed(Role::Pruner { purge: false }, api()),
            Purger => printed(Role::Pruner { purge: true }, api()),
            Signer => printed(Role::Signer, api()),
            Admin => printed(Role::Admin, api()),
            WebReader => printed(Role::Reader, web()),
            WebWriter => printed(Role::Writer, web()),
            Operator | Root | Stranger => Some(json!({
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
            })),
            Service | Nobody => None,
        }
    }
}

/// The policy of what is asked for, as it is printed.
fn resource_policy(resource: &str, migration: bool) -> Option<Value> {
    let named = |who: &[Who]| -> Vec<_> { who.iter().map(|who| role(&format!("{who:?}"))).collect() };
    let admins = named(&[Admin]);
    let readers = named(&[Reader, Lister, Pruner, Purger]);
    match resource {
        KEY_API => Some(key_policy(&api(), &readers, &named(&[Writer]), &admins)),
        KEY_WEB => Some(key_policy(&web(), &named(&[WebReader]), &named(&[WebWriter]), &[])),
        SIGN_API => Some(signing_key_policy(&api(), &named(&[Signer]), &readers, &admins)),
        SIGN_WEB => Some(signing_key_policy(&web(), &[], &[], &[])),
        // What KMS gives a key when it is not told otherwise: identity policies decide.
        KEY_OTHER => Some(json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
            "Action": "kms:*",
            "Resource": "*",
        }]})),
        _ if resource.starts_with("arn:aws:s3:") => Some(bucket_policy(&bucket(), migration)),
        _ => None,
    }
}

/// The encryption context is what this evaluator passes over: `contexts` looks at it.
fn without_encryption_context(mut policy: Value) -> Value {
    let operators = policy["Statement"].as_array_mut().unwrap().iter_mut();
    for condition in operators.filter_map(|statement| statement.get_mut("Condition")?.as_object_mut()) {
        for keys in condition.values_mut().filter_map(Value::as_object_mut) {
            keys.retain(|key, _| !key.starts_with("kms:EncryptionContext:"));
        }
        condition.retain(|_, keys| keys.as_object().is_none_or(|keys| !keys.is_empty()));
    }
    policy
}

/// What is known of a request besides the usual. An empty value: what is usually known is not.
type Known = &'static [(&'static str, &'static str)];

const USUAL: Known = &[];
const ONCE: Known = &[("s3:if-none-match", "*"), ("s3:ObjectCreationOperation", "true")];
const SWAP: Known = &[("s3:if-match", "\"0f\""), ("s3:ObjectCreationOperation", "true")];
const OVERWRITE: Known = &[("s3:ObjectCreationOperation", "true")];
const PART: Known = &[("s3:ObjectCreationOperation", "false")];
const COPY: Known = &[
    (
        "s3:x-amz-copy-source",
        "example-microsecrets/services/api/head/environment",
    ),
    ("s3:ObjectCreationOperation", "true"),
];
const COPY_ONCE: Known = &[
    (
        "s3:x-amz-copy-source",
        "example-microsecrets/services/api/head/environment",
    ),
    ("s3:if-none-match", "*"),
    ("s3:ObjectCreationOperation", "true"),
];
const COPY_PART: Known = &[
    (
        "s3:x-amz-copy-source",
        "example-microsecrets/services/api/head/environment",
    ),
    ("s3:ObjectCreationOperation", "false"),
];
const HTTP: Known = &[("aws:SecureTransport", "false")];
const HTTP_ONCE: Known = &[
    ("aws:SecureTransport", "false"),
    ("s3:if-none-match", "*"),
    ("s3:ObjectCreationOperation", "true"),
];
/// The bucket is one of the same name that somebody else has made.
const SNIPED: Known = &[("s3:ResourceAccount", OTHER_ACCOUNT)];
const SNIPED_ONCE: Known = &[
    ("s3:ResourceAccount", OTHER_ACCOUNT),
    ("s3:if-none-match", "*"),
    ("s3:ObjectCreationOperation", "true"),
];
const OF_API: Known = &[("s3:prefix", "services/api/environment/")];
const OF_API_HEAD: Known = &[("s3:prefix", "services/api/head/environment")];
const OF_API_AT_ALL: Known = &[("s3:prefix", "services/api/")];
const OF_WEB: Known = &[("s3:prefix", "services/web/environment/")];
const OF_API_V2: Known = &[("s3:prefix", "services/api-v2/environment/")];
const OF_ALL: Known = &[("s3:prefix", "services/")];
/// Somebody asks KMS themselves, or through another service or region.
const DIRECT: Known = &[("kms:ViaService", "")];
const THROUGH_EC2: Known = &[("kms:ViaService", "ec2.us-east-1.amazonaws.com")];
const THROUGH_S3_ELSEWHERE: Known = &[("kms:ViaService", "s3.eu-west-1.amazonaws.com")];
const RECORD: Known = &[
    ("kms:ViaService", ""),
    ("kms:SigningAlgorithm", "ECDSA_SHA_256"),
    ("kms:MessageType", "RAW"),
];
const DIGEST: Known = &[
    ("kms:ViaService", ""),
    ("kms:SigningAlgorithm", "ECDSA_SHA_256"),
    ("kms:MessageType", "DIGEST"),
];
const OTHER_ALGORITHM: Known = &[
    ("kms:ViaService", ""),
    ("kms:SigningAlgorithm", "ECDSA_SHA_384"),
    ("kms:MessageType", "RAW"),
];
const HERE: Known = &[("aws:RequestedRegion", "us-east-1"), ("kms:ViaService", "")];
const ELSEWHERE: Known = &[("aws:RequestedRegion", "eu-west-1"), ("kms:ViaService", "")];
const OWN_TAG: Known = &[
    ("aws:RequestTag/microsecrets", "api"),
    ("aws:TagKeys", "microsecrets"),
    ("kms:ViaService", ""),
];
const TAG_OF_WEB: Known = &[
    ("aws:RequestTag/microsecrets", "web"),
    ("aws:TagKeys", "microsecrets"),
    ("kms:ViaService", ""),
];
const OTHER_TAG: Known = &[
    ("aws:RequestTag/team", "x"),
    ("aws:TagKeys", "team"),
    ("kms:ViaService", ""),
];

/// A statement allows it and none denies it.
const YES: &str = "Allowed";
/// Nothing allows it.
const NO: &str = "ImplicitlyDenied";
/// A statement denies it, whatever allows it.
const NEVER: &str = "ExplicitlyDenied";

/// Keys of objects, beginning with the service.
const HEAD: &str = "api/head/environment";
const FILE_HEAD: &str = "api/head/file/tls.pem";
const VERSION: &str = "api/environment/2026-11-23.07-58-01.e3b0c442.json";
const FILE: &str = "api/files/tls.pem/2026-11-23.07-58-01.e3b0c442";
const LOG: &str = "api/log/environment/00000012";
const FILE_LOG: &str = "api/log/file/tls.pem/00000012";
const WEB_HEAD: &str = "web/head/environment";
const WEB_VERSION: &str = "web/environment/2026-11-23.07-58-01.e3b0c442.json";
const WEB_FILE: &str = "web/files/tls.pem/2026-11-23.07-58-01.e3b0c442";
const V2_HEAD: &str = "api-v2/head/environment";
/// Of a service and a label that look like the layout.
const HEAD_OF_LOG: &str = "log/head/environment";
const FILE_CALLED_HEAD: &str = "api/files/head/2026-11-23.07-58-01.e3b0c442";
const THE_BUCKET: &str = "";

type Row = (Who, &'static str, &'static str, Known, &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // A reader reads, through S3, and nothing else.
    (Reader, "s3:GetObject", HEAD, USUAL, YES),
    (Reader, "s3:GetObject", FILE_HEAD, USUAL, YES),
    (Reader, "s3:GetObject", VERSION, USUAL, YES),
    (Reader, "s3:GetObject", FILE, USUAL, YES),
    (Reader, "s3:GetObject", LOG, USUAL, YES),
    (Reader, "s3:GetObject", HEAD, HTTP, NEVER),
    (Reader, "s3:GetObject", HEAD, SNIPED, NO),
    (Reader, "s3:GetObjectVersion", HEAD, USUAL, NO),
    (Reader, "s3:PutObject", HEAD, SWAP, NO),
    (Reader, "s3:PutObject", VERSION, ONCE, NO),
    (Reader, "s3:DeleteObject", VERSION, USUAL, NO),
    (Reader, "s3:ListBucket", THE_BUCKET, OF_API, NO),
    (Reader, "s3:GetBucketPolicy", THE_BUCKET, USUAL, NO),
    (Reader, "s3:PutBucketPolicy", THE_BUCKET, USUAL, NO),
    (Reader, "kms:Decrypt", KEY_API, USUAL, YES),
    (Reader, "kms:Decrypt", KEY_API, DIRECT, NO),
    (Reader, "kms:Decrypt", KEY_API, THROUGH_EC2, NO),
    (Reader, "kms:Decrypt", KEY_API, THROUGH_S3_ELSEWHERE, NO),
    (Reader, "kms:GenerateDataKey", KEY_API, USUAL, NO),
    (Reader, "kms:Encrypt", KEY_API, USUAL, NO),
    (Reader, "kms:ReEncryptFrom", KEY_API, USUAL, NO),
    (Reader, "kms:CreateGrant", KEY_API, DIRECT, NO),
    (Reader, "kms:PutKeyPolicy", KEY_API, DIRECT, NO),
    (Reader, "kms:Sign", SIGN_API, RECORD, NO),
    (Reader, "kms:GetPublicKey", SIGN_API, DIRECT, YES),
    // Of one service it can do nothing with another, nor with one whose name begins alike.
    (Reader, "s3:GetObject", WEB_HEAD, USUAL, NO),
    (Reader, "s3:GetObject", WEB_VERSION, USUAL, NO),
    (Reader, "s3:GetObject", WEB_FILE, USUAL, NO),
    (Reader, "s3:GetObject", V2_HEAD, USUAL, NO),
    (Reader, "kms:Decrypt", KEY_WEB, USUAL, NO),
    (Reader, "kms:Decrypt", KEY_OTHER, USUAL, NO),
    (Reader, "kms:GetPublicKey", SIGN_WEB, DIRECT, NO),
    (WebReader, "s3:GetObject", WEB_HEAD, USUAL, YES),
    (WebReader, "kms:Decrypt", KEY_WEB, USUAL, YES),
    (WebReader, "s3:GetObject", HEAD, USUAL, NO),
    (WebReader, "s3:GetObject", FILE, USUAL, NO),
    (WebReader, "kms:Decrypt", KEY_API, USUAL, NO),
    (WebReader, "kms:GetPublicKey", SIGN_API, DIRECT, NO),
    // An identity policy alone opens no key.
    (Unnamed, "s3:GetObject", HEAD, USUAL, YES),
    (Unnamed, "kms:Decrypt", KEY_API, USUAL, NO),
    // A lister lists what is the service's.
    (Lister, "s3:ListBucket", THE_BUCKET, OF_API, YES),
    (Lister, "s3:ListBucket", THE_BUCKET, OF_API_HEAD, YES),
    (Lister, "s3:ListBucket", THE_BUCKET, OF_API_AT_ALL, YES),
    (Lister, "s3:ListBucket", THE_BUCKET, OF_WEB, NO),
    (Lister, "s3:ListBucket", THE_BUCKET, OF_API_V2, NO),
    (Lister, "s3:ListBucket", THE_BUCKET, OF_ALL, NO),
    (Lister, "s3:ListBucket", THE_BUCKET, USUAL, NO),
    (Lister, "s3:ListBucket", THE_BUCKET, HTTP, NEVER),
    (Lister, "s3:ListBucketVersions", THE_BUCKET, OF_API, NO),
    (Lister, "s3:GetObject", HEAD, USUAL, YES),
    (Lister, "s3:PutObject", VERSION, ONCE, NO),
    (Lister, "kms:Decrypt", KEY_API, USUAL, YES),
    // A writer writes under conditions, and overwrites nothing.
    (Writer, "s3:GetObject", HEAD, USUAL, YES),
    (Writer, "s3:ListBucket", THE_BUCKET, OF_API, YES),
    (Writer, "s3:ListBucket", THE_BUCKET, OF_WEB, NO),
    (Writer, "s3:PutObject", VERSION, ONCE, YES),
    (Writer, "s3:PutObject", VERSION, OVERWRITE, NEVER),
    (Writer, "s3:PutObject", VERSION, SWAP, NEVER),
    (Writer, "s3:PutObject", FILE, ONCE, YES),
    (Writer, "s3:PutObject", FILE, OVERWRITE, NEVER),
    (Writer, "s3:PutObject", FILE_CALLED_HEAD, ONCE, YES),
    (Writer, "s3:PutObject", FILE_CALLED_HEAD, SWAP, NEVER),
    (Writer, "s3:PutObject", LOG, ONCE, YES),
    (Writer, "s3:PutObject", LOG, OVERWRITE, NEVER),
    (Writer, "s3:PutObject", LOG, SWAP, NEVER),
    (Writer, "s3:PutObject", FILE_LOG, ONCE, YES),
    (Writer, "s3:PutObject", FILE_LOG, OVERWRITE, NEVER),
    (Writer, "s3:PutObject", HEAD, ONCE, YES),
    (Writer, "s3:PutObject", HEAD, SWAP, YES),
    (Writer, "s3:PutObject", HEAD, OVERWRITE, NEVER),
    (Writer, "s3:PutObject", FILE_HEAD, SWAP, YES),
    (Writer, "s3:PutObject", FILE_HEAD, OVERWRITE, NEVER),
    // Parts of a large file carry no condition; its completion does (it is a row above: ONCE).
    (Writer, "s3:PutObject", FILE, PART, YES),
    (Writer, "s3:AbortMultipartUpload", FILE, USUAL, YES),
    (Writer, "s3:AbortMultipartUpload", WEB_FILE, USUAL, NO),
    (Writer, "s3:PutObject", FILE, COPY, NEVER),
    (Writer, "s3:PutObject", FILE, COPY_ONCE, NEVER),
    (Writer, "s3:PutObject", FILE, COPY_PART, NEVER),
    (Writer, "s3:PutObject", HEAD, COPY_ONCE, NEVER),
    (Writer, "s3:UpdateObjectEncryption", HEAD, USUAL, NEVER),
    (Writer, "s3:PutObject", VERSION, HTTP_ONCE, NEVER),
    (Writer, "s3:PutObject", VERSION, SNIPED_ONCE, NO),
    (Writer, "s3:PutObject", WEB_VERSION, ONCE, NO),
    (Writer, "s3:PutObject", WEB_HEAD, SWAP, NO),
    (Writer, "s3:PutObject", V2_HEAD, ONCE, NO),
    (Writer, "s3:PutObjectAcl", HEAD, USUAL, NO),
    (Writer, "s3:DeleteObject", VERSION, USUAL, NO),
    (Writer, "s3:DeleteObject", HEAD, USUAL, NO),
    (Writer, "kms:GenerateDataKey", KEY_API, USUAL, YES),
    (Writer, "kms:Decrypt", KEY_API, USUAL, YES),
    (Writer, "kms:DescribeKey", KEY_API, DIRECT, YES),
    (Writer, "kms:GenerateDataKey", KEY_API, DIRECT, NO),
    (Writer, "kms:Decrypt", KEY_API, DIRECT, NO),
    (Writer, "kms:GenerateDataKey", KEY_WEB, USUAL, NO),
    (Writer, "kms:DescribeKey", KEY_WEB, DIRECT, NO),
    (Writer, "kms:UpdateAlias", ALIAS_API, DIRECT, NO),
    (Writer, "kms:UpdateAlias", KEY_API, DIRECT, NO),
    (Writer, "kms:Sign", SIGN_API, RECORD, NO),
    (WebWriter, "s3:PutObject", VERSION, ONCE, NO),
    (WebWriter, "kms:GenerateDataKey", KEY_API, USUAL, NO),
    (WebWriter, "s3:PutObject", WEB_VERSION, ONCE, YES),
    // Who prunes deletes bytes of versions, and no head and no record.
    (Pruner, "s3:DeleteObject", VERSION, USUAL, YES),
    (Pruner, "s3:DeleteObject", FILE, USUAL, YES),
    (Pruner, "s3:DeleteObject", HEAD, USUAL, NO),
    (Pruner, "s3:DeleteObject", FILE_HEAD, USUAL, NO),
    (Pruner, "s3:DeleteObject", LOG, USUAL, NO),
    (Pruner, "s3:DeleteObject", WEB_VERSION, USUAL, NO),
    (Pruner, "s3:DeleteObject", VERSION, SNIPED, NO),
    (Pruner, "s3:DeleteObjectVersion", VERSION, USUAL, NO),
    (Pruner, "s3:ListBucketVersions", THE_BUCKET, OF_API, NO),
    (Pruner, "s3:ListBucket", THE_BUCKET, OF_API, YES),
    (Pruner, "s3:PutObject", VERSION, ONCE, NO),
    (Pruner, "kms:Decrypt", KEY_API, USUAL, YES),
    (Purger, "s3:DeleteObject", VERSION, USUAL, YES),
    (Purger, "s3:DeleteObjectVersion", VERSION, USUAL, YES),
    (Purger, "s3:DeleteObjectVersion", FILE, USUAL, YES),
    (Purger, "s3:DeleteObjectVersion", HEAD, USUAL, NO),
    (Purger, "s3:DeleteObjectVersion", LOG, USUAL, NO),
    (Purger, "s3:ListBucketVersions", THE_BUCKET, OF_API, YES),
    (Purger, "s3:ListBucketVersions", THE_BUCKET, OF_WEB, NO),
    // A signer signs records.
    (Signer, "kms:Sign", SIGN_API, RECORD, YES),
    (Signer, "kms:Sign", SIGN_API, DIGEST, NO),
    (Signer, "kms:Sign", SIGN_API, OTHER_ALGORITHM, NO),
    (Signer, "kms:Sign", SIGN_API, DIRECT, NO),
    (Signer, "kms:Sign", SIGN_WEB, RECORD, NO),
    (Signer, "kms:GetPublicKey", SIGN_API, DIRECT, YES),
    (Signer, "kms:DescribeKey", SIGN_API, DIRECT, NO),
    (Signer, "kms:Decrypt", KEY_API, USUAL, NO),
    (Signer, "s3:GetObject", HEAD, USUAL, NO),
    // An administrator sets up and reads no secret.
    (Admin, "s3:CreateBucket", THE_BUCKET, USUAL, YES),
    (Admin, "s3:PutBucketPolicy", THE_BUCKET, USUAL, YES),
    (Admin, "s3:PutBucketPolicy", THE_BUCKET, SNIPED, NO),
    (Admin, "s3:PutBucketVersioning", THE_BUCKET, USUAL, YES),
    (Admin, "s3:PutLifecycleConfiguration", THE_BUCKET, USUAL, YES),
    (Admin, "s3:DeleteBucket", THE_BUCKET, USUAL, NO),
    (Admin, "s3:DeleteBucketPolicy", THE_BUCKET, USUAL, NO),
    (Admin, "s3:GetObject", HEAD, USUAL, NO),
    (Admin, "s3:PutObject", HEAD, SWAP, NO),
    (Admin, "kms:CreateKey", "*", HERE, YES),
    (Admin, "kms:CreateKey", "*", ELSEWHERE, NO),
    (Admin, "kms:ListKeys", "*", HERE, YES),
    (Admin, "kms:TagResource", KEY_OTHER, OWN_TAG, YES),
    (Admin, "kms:TagResource", KEY_OTHER, TAG_OF_WEB, NO),
    (Admin, "kms:TagResource", KEY_OTHER, OTHER_TAG, NO),
    (Admin, "kms:CreateAlias", ALIAS_API, DIRECT, YES),
    (Admin, "kms:CreateAlias", ALIAS_WEB, DIRECT, NO),
    (Admin, "kms:CreateAlias", KEY_API, DIRECT, YES),
    (Admin, "kms:CreateAlias", KEY_OTHER, DIRECT, NO),
    (Admin, "kms:PutKeyPolicy", KEY_API, DIRECT, YES),
    (Admin, "kms:PutKeyPolicy", SIGN_API, DIRECT, YES),
    (Admin, "kms:PutKeyPolicy", KEY_WEB, DIRECT, NO),
    (Admin, "kms:PutKeyPolicy", KEY_OTHER, DIRECT, NO),
    (Admin, "kms:EnableKeyRotation", KEY_API, DIRECT, YES),
    (Admin, "kms:GetPublicKey", SIGN_API, DIRECT, YES),
    (Admin, "kms:Decrypt", KEY_API, USUAL, NO),
    (Admin, "kms:Decrypt", KEY_API, DIRECT, NO),
    (Admin, "kms:GenerateDataKey", KEY_API, DIRECT, NO),
    (Admin, "kms:Sign", SIGN_API, RECORD, NO),
    (Admin, "kms:CreateGrant", KEY_API, DIRECT, NO),
    (Admin, "kms:ScheduleKeyDeletion", KEY_API, DIRECT, NO),
    // Who may do everything by identity policy administers keys and uses none; the bucket's policy holds for them too.
    (Operator, "kms:ScheduleKeyDeletion", KEY_API, DIRECT, YES),
    (Operator, "kms:PutKeyPolicy", KEY_API, DIRECT, YES),
    (Operator, "kms:DisableKey", KEY_API, DIRECT, YES),
    (Operator, "kms:Decrypt", KEY_API, USUAL, NO),
    (Operator, "kms:Decrypt", KEY_API, DIRECT, NO),
    (Operator, "kms:Encrypt", KEY_API, DIRECT, NO),
    (Operator, "kms:GenerateDataKey", KEY_API, USUAL, NO),
    (Operator, "kms:GenerateDataKeyWithoutPlaintext", KEY_API, DIRECT, NO),
    (Operator, "kms:ReEncryptFrom", KEY_API, DIRECT, NO),
    (Operator, "kms:ReEncryptTo", KEY_API, DIRECT, NO),
    (Operator, "kms:CreateGrant", KEY_API, DIRECT, NO),
    (Operator, "kms:ReplicateKey", KEY_API, DIRECT, NO),
    (Operator, "kms:Sign", SIGN_API, RECORD, NO),
    (Operator, "kms:GetPublicKey", SIGN_API, DIRECT, YES),
    (Operator, "s3:PutObject", VERSION, OVERWRITE, NEVER),
    (Operator, "s3:PutObject", FILE, COPY, NEVER),
    (Operator, "s3:UpdateObjectEncryption", VERSION, USUAL, NEVER),
    (Operator, "s3:GetObject", HEAD, HTTP, NEVER),
    (Operator, "s3:PutBucketPolicy", THE_BUCKET, USUAL, YES),
    (Operator, "s3:PutObject", HEAD_OF_LOG, SWAP, YES),
    (Operator, "s3:PutObject", HEAD_OF_LOG, OVERWRITE, NEVER),
    (Root, "kms:Decrypt", KEY_API, USUAL, NO),
    (Root, "kms:Decrypt", KEY_API, DIRECT, NO),
    (Root, "kms:GenerateDataKey", KEY_API, DIRECT, NO),
    (Root, "kms:CreateGrant", KEY_API, DIRECT, NO),
    (Root, "kms:Sign", SIGN_API, RECORD, NO),
    (Root, "kms:PutKeyPolicy", KEY_API, DIRECT, YES),
    (Root, "kms:CancelKeyDeletion", KEY_API, DIRECT, YES),
    (Root, "s3:PutBucketPolicy", THE_BUCKET, USUAL, YES),
    // Nobody of another account is let in, whatever is allowed there; AWS's own services are not meant by that.
    (Stranger, "s3:GetObject", HEAD, USUAL, NEVER),
    (Stranger, "s3:PutObject", VERSION, ONCE, NEVER),
    (Stranger, "s3:ListBucket", THE_BUCKET, OF_API, NEVER),
    (Stranger, "s3:PutBucketPolicy", THE_BUCKET, USUAL, NEVER),
    (Stranger, "kms:Decrypt", KEY_API, USUAL, NO),
    (Stranger, "kms:Sign", SIGN_API, RECORD, NO),
    (Nobody, "s3:GetObject", HEAD, USUAL, NEVER),
    (Nobody, "s3:ListBucket", THE_BUCKET, OF_API, NEVER),
    (Service, "s3:PutObject", VERSION, ONCE, NO),
];

/// While 0.3.4 writes yet.
#[rustfmt::skip]
const MIGRATION: &[Row] = &[
    (Writer, "s3:PutObject", VERSION, OVERWRITE, YES),
    (Writer, "s3:PutObject", FILE, OVERWRITE, YES),
    (Writer, "s3:PutObject", FILE_CALLED_HEAD, OVERWRITE, YES),
    (Writer, "s3:PutObject", VERSION, ONCE, YES),
    (Writer, "s3:PutObject", HEAD, SWAP, YES),
    (Writer, "s3:PutObject", FILE, COPY, NEVER),
    (Writer, "s3:PutObject", FILE, COPY_ONCE, NEVER),
    (Writer, "s3:UpdateObjectEncryption", HEAD, USUAL, NEVER),
    (Reader, "s3:GetObject", HEAD, HTTP, NEVER),
    (Stranger, "s3:GetObject", HEAD, USUAL, NEVER),
];

fn resource(name: &str) -> String {
    match name {
        THE_BUCKET => format!("arn:aws:s3:::{BUCKET}"),
        "*" => name.to_owned(),
        _ if name.starts_with("arn:") => name.to_owned(),
        key => format!("arn:aws:s3:::{BUCKET}/services/{key}"),
    }
}

fn context(&(who, action, _, known, _): &Row) -> Map<String, Value> {
    let mut context = Map::new();
    let mut set = |key: &str, value: &str| context.insert(key.to_owned(), json!(value));
    set("aws:SecureTransport", "true");
    if let Some(account) = who.account() {
        set("aws:PrincipalAccount", account);
    }
    if who != Nobody {
        set(
            "aws:PrincipalIsAWSService",
            if who == Service { "true" } else { "false" },
        );
    }
    if action.starts_with("s3:") {
        set("s3:ResourceAccount", ACCOUNT);
    } else {
        set("kms:ViaService", "s3.us-east-1.amazonaws.com");
    }
    for &(key, value) in known {
        match value {
            "" => context.remove(key),
            _ if key == "aws:TagKeys" => context.insert(key.to_owned(), json!([value])),
            _ => context.insert(key.to_owned(), json!(value)),
        };
    }
    context
}

fn simulation(row: &Row, migration: bool) -> Value {
    let &(who, action, name, ..) = row;
    let resource = resource(name);
    let identity = who
        .policy()
        .map(|policy| json!({"name": "printed", "policy": without_encryption_context(policy)}));
    let mut simulation = json!({
        "request": {
            "principal": who.arn(),
            "action": action,
            "resource": {"resource": resource, "accountId": ACCOUNT},
            "contextVariables": context(row),
        },
        "identityPolicies": identity.into_iter().collect::<Vec<_>>(),
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
    });
    if let Some(policy) = resource_policy(&resource, migration) {
        simulation["resourcePolicy"] = without_encryption_context(policy);
    }
    simulation
}

fn check(rows: &[Row], migration: bool) {
    let Some(simulator) = Simulator::find() else { return };
    let simulations: Vec<_> = rows.iter().map(|row| simulation(row, migration)).collect();
    let verdicts = simulator.verdicts(&simulations);
    let differing: Vec<_> = rows
        .iter()
        .zip(&verdicts)
        .filter(|((.., expected), found)| found != expected)
        .map(|((who, action, name, known, expected), found)| {
            format!("{who:?} {action} {} {known:?}: {found}, not {expected}", resource(name))
        })
        .collect();
    assert!(
        differing.is_empty(),
        "{} of {}:\n{}",
        differing.len(),
        rows.len(),
        differing.join("\n")
    );
}

#[test]
fn who_may_do_what() {
    assert!(ROWS.len() >= 60);
    check(ROWS, false);
}

#[test]
fn during_a_migration_only_conditions_are_not_demanded() {
    check(MIGRATION, true);
}

/// Each right of a role is one without which something that the role does is refused: none is there for nothing.
#[test]
fn every_action_that_is_allowed_is_in_the_table() {
    for (who, role) in [
        (Reader, Role::Reader),
        (Lister, Role::Lister),
        (Writer, Role::Writer),
        (Pruner, Role::Pruner { purge: false }),
        (Purger, Role::Pruner { purge: true }),
        (Signer, Role::Signer),
    ] {
        for statement in crate::statements(&role_policy(role, &api()).unwrap()) {
            let actions = match &statement["Action"] {
                Value::Array(actions) => actions.clone(),
                one => vec![one.clone()],
            };
            for action in actions {
                let listed = |row: &&Row| row.1 == action && row.4 == YES && (row.0 == who || inherits(who, row.0));
                assert!(ROWS.iter().any(|row| listed(&row)), "{role} {action}");
            }
        }
    }
}

/// Whether the first has all the rights of the second.
fn inherits(who: Who, of: Who) -> bool {
    match who {
        Lister => of == Reader,
        Pruner => matches!(of, Reader | Lister),
        Purger => matches!(of, Reader | Lister | Pruner),
        _ => false,
    }
}
