//! Taking bytes in: PutObject, and what UploadPart shares with it.

use std::collections::BTreeMap;

use s3s::dto::*;
use s3s::{Body, S3Error, S3Request, S3Response, S3Result, StdError, TrailingHeaders};

use super::answers::{self, Encryption, set_sums};
use super::conditions::WriteCondition;
use super::encryption::Wanted;
use super::{Ask, bucket, bucket_mut, etag, needs_md5, version_id};
use crate::body::{Intake, Stored};
use crate::digest::{ChecksumAlgorithm, Digests, Finished, announced, base64, stated, unbase64};
use crate::errors::s3_error;
use crate::exchange::Exchange;
use crate::object::{Attributes, Checksum, Sse};
use crate::state::{StoredObject, Version};

/// User metadata may be so long: names without their prefix, and values.
const MAX_METADATA: usize = 2 * 1024;

/// A body that is all there and fits everything that was stated of it.
pub(super) struct Taken {
    pub(super) body: Stored,
    pub(super) finished: Finished,
    /// The checksum that the client stated.
    pub(super) stated: Option<ChecksumAlgorithm>,
}

/// Reads and verifies a body.
pub(super) async fn take(
    ask: &Ask,
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    md5: bool,
) -> S3Result<Taken> {
    let headers = &ask.exchange.headers;
    let content_md5 = headers.get("content-md5").and_then(|v| v.to_str().ok());
    let digests = Digests::new(md5 || content_md5.is_some(), announced(headers));
    let intake = Intake::new(digests, ask.shared.settings.spill_over);
    let body = body.map_or_else(Body::empty, Body::from);
    let (body, finished) = intake.read(body).await.map_err(|e| broken_body(&e))?;
    let length = ask
        .exchange
        .header("x-amz-decoded-content-length")
        .and_then(|v| v.parse().ok());
    if length.is_some_and(|length: u64| length != body.len()) {
        return Err(incomplete());
    }
    let mut stated = stated(headers);
    if let Some(trailers) = trailers.and_then(|t| t.take()) {
        stated.extend(self::stated(&trailers));
    }
    check_announced(&ask.exchange, &stated)?;
    for (algorithm, value) in &stated {
        let name = algorithm.name();
        let value = unbase64(value);
        let value = value.ok_or_else(|| {
            let message = format!("Value for {} header is invalid.", algorithm.header());
            s3_error(400, "InvalidRequest", message)
        })?;
        if finished.sum(*algorithm) != Some(&value) {
            let message = format!("The {name} you specified did not match the calculated checksum.");
            return Err(s3_error(400, "BadDigest", message));
        }
    }
    check_md5(content_md5, &finished)?;
    Ok(Taken {
        body,
        finished,
        stated: stated.first().map(|(a, _)| *a),
    })
}

/// A trailer that was announced has to come, and only one checksum may.
fn check_announced(exchange: &Exchange, stated: &[(ChecksumAlgorithm, String)]) -> S3Result<()> {
    if stated.len() > 1 {
        let message = "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.";
        return Err(s3_error(400, "InvalidRequest", message));
    }
    if announced(&exchange.headers).len() > stated.len() {
        let message = "The request contained trailing data that was not well-formed or did not conform to our \
                       published schema.";
        return Err(s3_error(400, "MalformedTrailerError", message));
    }
    Ok(())
}

fn check_md5(content_md5: Option<&str>, finished: &Finished) -> S3Result<()> {
    let Some(content_md5) = content_md5 else { return Ok(()) };
    let Some(value) = unbase64(content_md5).filter(|v| v.len() == 16) else {
        return Err(s3_error(
            400,
            "InvalidDigest",
            "The Content-MD5 you specified is not valid.",
        ));
    };
    if finished.md5.as_ref() == Some(&value) {
        return Ok(());
    }
    Err(s3_error(
        400,
        "BadDigest",
        "The Content-MD5 you specified did not match what we received.",
    ))
}

/// s3s verifies the payload's hash and the chunks' signatures while the body is read; its errors say so in words.
fn broken_body(error: &StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        s3_error(400, "XAmzContentSHA256Mismatch", message)
    } else if text.contains("SignatureMismatch") {
        s3_error(403, "SignatureDoesNotMatch", "A chunk's signature does not match.")
    } else {
        incomplete()
    }
}

fn incomplete() -> S3Error {
    let message = "You did not provide the number of bytes specified by the Content-Length HTTP header";
    s3_error(400, "IncompleteBody", message)
}

/// What a new object's headers come from, in PutObject and CreateMultipartUpload.
pub(super) struct NewObject {
    pub(super) bucket: String,
    pub(super) metadata: Option<Metadata>,
    pub(super) acl: Option<ObjectCannedACL>,
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) storage_class: Option<StorageClass>,
    pub(super) encryption: Wanted,
}

impl Ask {
    /// Checks a new object's headers, and chooses its encryption.
    pub(super) fn attributes(&self, new: NewObject) -> S3Result<Attributes> {
        self.check_acl(&new.bucket, new.acl.as_ref())?;
        if self
            .exchange
            .headers
            .contains_key("x-amz-server-side-encryption-customer-algorithm")
        {
            return Err(s3_error(
                403,
                "AccessDenied",
                "SSE-C is off by default for new buckets.",
            ));
        }
        let metadata: BTreeMap<_, _> = new.metadata.unwrap_or_default().into_iter().collect();
        let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if size > MAX_METADATA {
            let message = "Your metadata headers exceed the maximum allowed metadata size";
            return Err(s3_error(400, "MetadataTooLarge", message));
        }
        let (sse, encryption_context) = self.choose_encryption(&new.bucket, new.encryption)?;
        Ok(Attributes {
            metadata,
            content_type: new.content_type,
            content_encoding: new.content_encoding.and_then(|e| without_aws_chunked(&e)),
            cache_control: new.cache_control,
            content_disposition: new.content_disposition,
            sse,
            encryption_context,
            acl: new.acl.map(|acl| acl.as_str().to_owned()),
            storage_class: new
                .storage_class
                .map(|c| c.as_str().to_owned())
                .filter(|c| c != "STANDARD"),
        })
    }

    fn check_acl(&self, bucket_name: &str, acl: Option<&ObjectCannedACL>) -> S3Result<()> {
        let grants = self
            .exchange
            .headers
            .keys()
            .any(|name| name.as_str().starts_with("x-amz-grant-"));
        let other = acl.is_some_and(|acl| acl.as_str() != ObjectCannedACL::BUCKET_OWNER_FULL_CONTROL);
        if (grants || other) && bucket(&self.shared.state(), bucket_name)?.enforced_ownership {
            return Err(s3_error(
                400,
                "AccessControlListNotSupported",
                "The bucket does not allow ACLs",
            ));
        }
        Ok(())
    }
}

/// `aws-chunked` is how the request was coded, not the object.
fn without_aws_chunked(encoding: &str) -> Option<String> {
    let rest: Vec<_> = encoding
        .split(',')
        .map(str::trim)
        .filter(|e| *e != "aws-chunked" && !e.is_empty())
        .collect();
    (!rest.is_empty()).then(|| rest.join(","))
}

/// The checksum that is stored: the stated one, else S3's own.
pub(super) fn stored_checksum(taken: &Taken) -> Checksum {
    let algorithm = taken.stated.unwrap_or(ChecksumAlgorithm::Crc64nvme);
    let value = taken.finished.sum(algorithm).map(base64).unwrap_or_default();
    Checksum {
        algorithm,
        value,
        composite: false,
    }
}

pub(super) async fn put(ask: &Ask, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
    let input = request.input;
    if input.write_offset_bytes.is_some() {
        return Err(super::not_implemented("x-amz-write-offset-bytes"));
    }
    let condition = WriteCondition::new(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let attributes = ask.attributes(NewObject {
        bucket: input.bucket.clone(),
        metadata: input.metadata,
        acl: input.acl,
        content_type: input.content_type,
        content_encoding: input.content_encoding,
        cache_control: input.cache_control,
        content_disposition: input.content_disposition,
        storage_class: input.storage_class,
        encryption: Wanted {
            algorithm: input.server_side_encryption,
            key: input.ssekms_key_id,
            bucket_key: input.bucket_key_enabled,
            context: input.ssekms_encryption_context,
        },
    })?;
    ask.use_key("GenerateDataKey", &input.bucket, &input.key, &attributes)?;
    let style = ask.shared.settings.etags;
    let taken = take(
        ask,
        input.body,
        request.trailing_headers,
        needs_md5(style, &attributes.sse),
    )
    .await?;
    let checksum = stored_checksum(&taken);
    let mut output = stored_output(&attributes.sse, &taken, style);
    let kind = set_sums!(output, Some(&checksum));
    output.checksum_type = kind;
    let etag = etag(style, &attributes.sse, &taken.finished);
    let object = StoredObject {
        body: taken.body,
        etag,
        checksum: Some(checksum),
        attributes,
        parts: vec![],
    };
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &input.bucket)?;
    condition.check(bucket, &input.key)?;
    let id = version_id(ask.shared.next());
    let version = Version {
        id,
        modified: ask.shared.clock.now(),
        object: Some(object),
    };
    output.version_id = bucket.add(&input.key, version);
    Ok(S3Response::new(output))
}

fn stored_output(sse: &Sse, taken: &Taken, style: crate::state::EtagStyle) -> PutObjectOutput {
    let encryption = Encryption::of(sse);
    PutObjectOutput {
        bucket_key_enabled: encryption.bucket_key,
        e_tag: Some(answers::etag(&etag(style, sse, &taken.finished))),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        ..PutObjectOutput::default()
    }
}
