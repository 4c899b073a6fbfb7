//! Fields that many answers have in common.

use std::collections::HashMap;

use s3s::dto::{ChecksumType, ETag, GetObjectOutput, HeadObjectOutput, ServerSideEncryption, Timestamp};

use crate::digest::ChecksumAlgorithm;
use crate::object::{Checksum, Sse};
use crate::state::{StoredObject, Version};

/// The three headers of server-side encryption.
pub(super) struct Encryption {
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

impl Encryption {
    /// `bucket-key-enabled` is only said when it is true, as S3 does.
    pub(super) fn of(sse: &Sse) -> Self {
        let (algorithm, key, bucket_key) = match sse {
            Sse::Absent => (None, None, false),
            Sse::Aes256 => (Some("AES256".to_owned()), None, false),
            Sse::Kms { key, bucket_key, dsse } => {
                let algorithm = if *dsse { "aws:kms:dsse" } else { "aws:kms" };
                (Some(algorithm.to_owned()), Some(key.clone()), *bucket_key)
            }
            Sse::Forged { algorithm, key } => (Some(algorithm.clone()), key.clone(), false),
        };
        Self {
            algorithm: algorithm.map(ServerSideEncryption::from),
            key,
            bucket_key: bucket_key.then_some(true),
        }
    }
}

/// The checksum fields; at most one is set.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) crc32: Option<String>,
    pub(super) crc32c: Option<String>,
    pub(super) crc64nvme: Option<String>,
    pub(super) sha1: Option<String>,
    pub(super) sha256: Option<String>,
    pub(super) kind: Option<ChecksumType>,
}

impl Sums {
    pub(super) fn of(checksum: Option<&Checksum>) -> Self {
        let Some(checksum) = checksum else {
            return Self::default();
        };
        let kind = if checksum.composite {
            ChecksumType::COMPOSITE
        } else {
            ChecksumType::FULL_OBJECT
        };
        let mut sums = Self {
            kind: Some(ChecksumType::from_static(kind)),
            ..Self::default()
        };
        let field = match checksum.algorithm {
            ChecksumAlgorithm::Crc32 => &mut sums.crc32,
            ChecksumAlgorithm::Crc32c => &mut sums.crc32c,
            ChecksumAlgorithm::Crc64nvme => &mut sums.crc64nvme,
            ChecksumAlgorithm::Sha1 => &mut sums.sha1,
            ChecksumAlgorithm::Sha256 => &mut sums.sha256,
        };
        *field = Some(checksum.value.clone());
        sums
    }
}

/// Puts the checksums into the fields of an answer.
macro_rules! set_sums {
    ($output:expr, $checksum:expr) => {{
        let sums = $crate::s3::answers::Sums::of($checksum);
        $output.checksum_crc32 = sums.crc32;
        $output.checksum_crc32c = sums.crc32c;
        $output.checksum_crc64nvme = sums.crc64nvme;
        $output.checksum_sha1 = sums.sha1;
        $output.checksum_sha256 = sums.sha256;
        sums.kind
    }};
}
pub(super) use set_sums;

pub(super) fn etag(value: &str) -> ETag {
    ETag::Strong(value.to_owned())
}

/// What GET and HEAD say of an object. The body and its length are added by GET.
pub(super) fn head(version: &Version, object: &StoredObject, versioned: bool, with_sums: bool) -> HeadObjectOutput {
    let attributes = &object.attributes;
    let encryption = Encryption::of(&attributes.sse);
    let metadata: HashMap<_, _> = attributes.metadata.clone().into_iter().collect();
    let mut output = HeadObjectOutput {
        accept_ranges: Some("bytes".into()),
        bucket_key_enabled: encryption.bucket_key,
        cache_control: attributes.cache_control.clone(),
        content_disposition: attributes.content_disposition.clone(),
        content_encoding: attributes.content_encoding.clone(),
        content_length: Some(i64::try_from(object.body.len()).unwrap_or(i64::MAX)),
        content_type: Some(
            attributes
                .content_type
                .clone()
                .unwrap_or_else(|| "binary/octet-stream".into()),
        ),
        e_tag: Some(etag(&object.etag)),
        last_modified: Some(Timestamp::from(version.modified)),
        metadata: Some(metadata),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        storage_class: attributes.storage_class.clone().map(Into::into),
        version_id: versioned.then(|| version.id.clone()),
        ..HeadObjectOutput::default()
    };
    let kind = set_sums!(output, object.checksum.as_ref().filter(|_| with_sums));
    output.checksum_type = kind;
    output
}

/// The same for GET.
pub(super) fn get(head: HeadObjectOutput) -> GetObjectOutput {
    GetObjectOutput {
        accept_ranges: head.accept_ranges,
        bucket_key_enabled: head.bucket_key_enabled,
        cache_control: head.cache_control,
        checksum_crc32: head.checksum_crc32,
        checksum_crc32c: head.checksum_crc32c,
        checksum_crc64nvme: head.checksum_crc64nvme,
        checksum_sha1: head.checksum_sha1,
        checksum_sha256: head.checksum_sha256,
        checksum_type: head.checksum_type,
        content_disposition: head.content_disposition,
        content_encoding: head.content_encoding,
        content_length: head.content_length,
        content_type: head.content_type,
        e_tag: head.e_tag,
        last_modified: head.last_modified,
        metadata: head.metadata,
        server_side_encryption: head.server_side_encryption,
        ssekms_key_id: head.ssekms_key_id,
        storage_class: head.storage_class,
        version_id: head.version_id,
        ..GetObjectOutput::default()
    }
}
