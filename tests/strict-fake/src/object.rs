//! What a test sees and sets of objects and buckets, without going through HTTP.

use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;

use crate::digest::ChecksumAlgorithm;

/// A bucket to start with.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The account that owns it: what `x-amz-expected-bucket-owner` is compared with.
    pub owner: String,
    /// The region it is in: what requests must be signed for.
    pub region: String,
    /// Object ownership "bucket owner enforced": ACLs are refused.
    pub enforced_ownership: bool,
    /// Whether versioning is enabled.
    pub versioning: bool,
}

impl Default for Bucket {
    /// As S3 makes them now, but versioned.
    fn default() -> Self {
        Self {
            owner: crate::DEFAULT_ACCOUNT.into(),
            region: crate::DEFAULT_REGION.into(),
            enforced_ownership: true,
            versioning: true,
        }
    }
}

/// How an object is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sse {
    /// `AES256`, SSE-S3.
    #[default]
    Aes256,
    /// `aws:kms` under a key of the fake: a GET needs `kms:Decrypt` on it, and fails when it is disabled.
    Kms {
        /// The key's ARN.
        key: String,
        /// `x-amz-server-side-encryption-bucket-key-enabled`; the encryption context is then the bucket's ARN.
        bucket_key: bool,
        /// Whether it is `aws:kms:dsse`.
        dsse: bool,
    },
    /// No header at all, as some stores that are no S3 answer.
    Absent,
    /// These header values and no check at all: for a bucket that lies.
    Forged {
        /// `x-amz-server-side-encryption`
        algorithm: String,
        /// `x-amz-server-side-encryption-aws-kms-key-id`
        key: Option<String>,
    },
}

impl Sse {
    /// As Microsecrets has it: `aws:kms` under a key, without a bucket key.
    pub fn kms(key: impl Into<String>) -> Self {
        Self::Kms {
            key: key.into(),
            bucket_key: false,
            dsse: false,
        }
    }
}

/// The headers of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// User metadata, without `x-amz-meta-`.
    pub metadata: BTreeMap<String, String>,
    /// `Content-Type`
    pub content_type: Option<String>,
    /// `Content-Encoding`
    pub content_encoding: Option<String>,
    /// `Cache-Control`
    pub cache_control: Option<String>,
    /// `Content-Disposition`
    pub content_disposition: Option<String>,
    /// How it is encrypted.
    pub sse: Sse,
    /// What `x-amz-server-side-encryption-context` said, as it was sent (Base64 of JSON).
    pub encryption_context: Option<String>,
    /// The `x-amz-acl` it was put with.
    pub acl: Option<String>,
    /// Its storage class, unless `STANDARD`.
    pub storage_class: Option<String>,
}

/// How a test puts an object past all checks.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// Its headers.
    pub attributes: Attributes,
    /// Another ETag than the computed one, without quotation marks.
    pub etag: Option<String>,
    /// Another time than the clock's.
    pub last_modified: Option<SystemTime>,
    /// Whether no checksum is stored with it.
    pub no_checksum: bool,
}

impl Raw {
    /// Encrypted like this, and nothing else said.
    pub fn encrypted(sse: Sse) -> Self {
        let attributes = Attributes {
            sse,
            ..Attributes::default()
        };
        Self {
            attributes,
            ..Self::default()
        }
    }
}

/// A checksum that is stored with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// The algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// The value as headers carry it: Base64, for a composite one followed by `-` and the number of parts.
    pub value: String,
    /// Whether it is a checksum of the parts' checksums.
    pub composite: bool,
}

/// An object as it is stored.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub body: Bytes,
    /// Its ETag, without quotation marks.
    pub etag: String,
    /// Its version id; `null` where the bucket has no versioning.
    pub version_id: String,
    /// When it was put, by the fake's clock.
    pub last_modified: SystemTime,
    /// Its headers.
    pub attributes: Attributes,
    /// Its stored checksum.
    pub checksum: Option<Checksum>,
    /// In how many parts it came; 0 for a plain PUT.
    pub parts: usize,
}
