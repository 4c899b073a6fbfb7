//! Reading and deleting objects.

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use s3s::dto::*;
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::conditions::{check_delete, no_such_key, precondition_failed};
use super::{Ask, answers, bucket, bucket_mut, not_implemented, version_id};
use crate::clock::http_date;
use crate::errors::s3_error;
use crate::state::{StoredObject, Version, Versioning};

/// What GET and HEAD have in common.
struct Read<'a> {
    bucket: &'a str,
    key: &'a str,
    version: Option<&'a str>,
    if_match: Option<&'a ETagCondition>,
    if_none_match: Option<&'a ETagCondition>,
    with_sums: bool,
}

/// A version that may be answered.
struct Found {
    version: Version,
    object: StoredObject,
    versioned: bool,
}

impl Ask {
    /// Finds what is to be read and checks the conditions.
    fn find(&self, read: &Read<'_>) -> S3Result<Found> {
        let state = self.shared.state();
        let bucket = bucket(&state, read.bucket)?;
        let versions = bucket.objects.get(read.key);
        let version = match read.version {
            None => versions.and_then(|v| v.last()),
            Some(id) => versions.and_then(|v| v.iter().find(|v| v.id == id)),
        };
        let versioned = bucket.versioning != Versioning::Never;
        let version = version.cloned();
        drop(state);
        let Some(version) = version else {
            return Err(self.missing(read, None));
        };
        let Some(object) = version.object.clone() else {
            return Err(self.missing(read, Some(&version)));
        };
        check_read(read, &version, &object)?;
        Ok(Found {
            version,
            object,
            versioned,
        })
    }

    /// Who may not list doesn't learn that an object isn't there.
    fn missing(&self, read: &Read<'_>, marker: Option<&Version>) -> S3Error {
        let context = self.conditions(Some(read.bucket), "");
        let listing = format!("arn:aws:s3:::{}", read.bucket);
        if let Err(denied) = self.authorise("s3:ListBucket", &listing, Some(read.bucket), &context) {
            return denied;
        }
        let mut error = match (read.version, marker) {
            (Some(_), Some(_)) => {
                let message = "The specified method is not allowed against this resource.";
                s3_error(405, "MethodNotAllowed", message)
            }
            (Some(_), None) => s3_error(404, "NoSuchVersion", "The specified version does not exist."),
            (None, _) => no_such_key(),
        };
        if let Some(marker) = marker {
            let id = HeaderValue::from_str(&marker.id).unwrap_or(HeaderValue::from_static("null"));
            error.set_headers(xml_headers([
                ("x-amz-delete-marker", HeaderValue::from_static("true")),
                ("x-amz-version-id", id),
            ]));
        }
        error
    }
}

fn xml_headers<const N: usize>(more: [(&'static str, HeaderValue); N]) -> HeaderMap {
    let mut headers: HeaderMap = more
        .into_iter()
        .map(|(n, v)| (hyper::header::HeaderName::from_static(n), v))
        .collect();
    headers.insert("content-type", HeaderValue::from_static("application/xml"));
    headers
}

fn check_read(read: &Read<'_>, version: &Version, object: &StoredObject) -> S3Result<()> {
    let fits = |condition: &ETagCondition| match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    };
    if read.if_match.is_some_and(|c| !fits(c)) {
        return Err(precondition_failed());
    }
    if read.if_none_match.is_some_and(fits) {
        let mut error = s3_error(304, "NotModified", "Not Modified");
        let etag = HeaderValue::from_str(&format!("\"{}\"", object.etag));
        let modified = HeaderValue::from_str(&http_date(version.modified));
        let empty = || HeaderValue::from_static("");
        error.set_headers(xml_headers([
            ("etag", etag.unwrap_or_else(|_| empty())),
            ("last-modified", modified.unwrap_or_else(|_| empty())),
        ]));
        return Err(error);
    }
    Ok(())
}

pub(super) async fn get(ask: &Ask, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let input = request.input;
    if input.part_number.is_some() {
        return Err(not_implemented("partNumber"));
    }
    if input.if_modified_since.is_some() || input.if_unmodified_since.is_some() {
        return Err(not_implemented("conditions on times"));
    }
    let enabled = input
        .checksum_mode
        .as_ref()
        .is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let read = Read {
        bucket: &input.bucket,
        key: &input.key,
        version: input.version_id.as_deref(),
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        // A part of the bytes has no stored checksum.
        with_sums: enabled && input.range.is_none(),
    };
    let found = ask.find(&read)?;
    ask.use_key("Decrypt", &input.bucket, &input.key, &found.object.attributes)?;
    let total = found.object.body.len();
    let mut output = answers::get(answers::head(
        &found.version,
        &found.object,
        found.versioned,
        read.with_sums,
    ));
    let (start, len) = match &input.range {
        None => (0, total),
        Some(range) => {
            let invalid = |_| s3_error(416, "InvalidRange", "The requested range is not satisfiable");
            let range = range.check(total).map_err(invalid)?;
            output.content_range = Some(format!("bytes {}-{}/{total}", range.start, range.end - 1));
            (range.start, range.end - range.start)
        }
    };
    output.content_length = Some(i64::try_from(len).unwrap_or(i64::MAX));
    output.body = Some(StreamingBlob::from(found.object.body.to_answer(start, len)));
    Ok(S3Response::new(output))
}

pub(super) async fn head(ask: &Ask, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = request.input;
    if input.part_number.is_some() || input.range.is_some() {
        return Err(not_implemented("a part of an object in HeadObject"));
    }
    let read = Read {
        bucket: &input.bucket,
        key: &input.key,
        version: input.version_id.as_deref(),
        if_match: input.if_match.as_ref(),
        if_none_match: input.if_none_match.as_ref(),
        with_sums: input
            .checksum_mode
            .as_ref()
            .is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED),
    };
    let found = ask.find(&read)?;
    if read.with_sums {
        // The checksum is stored encrypted like the bytes.
        ask.use_key("Decrypt", &input.bucket, &input.key, &found.object.attributes)?;
    }
    Ok(S3Response::new(answers::head(
        &found.version,
        &found.object,
        found.versioned,
        read.with_sums,
    )))
}

pub(super) async fn delete(
    ask: &Ask,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let input = request.input;
    if input.if_match_size.is_some() || input.if_match_last_modified_time.is_some() {
        return Err(not_implemented("conditions of directory buckets"));
    }
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &input.bucket)?;
    check_delete(input.if_match.as_ref(), bucket, &input.key)?;
    let mut output = DeleteObjectOutput::default();
    if let Some(id) = input.version_id {
        let removed = bucket.remove_version(&input.key, &id);
        output.delete_marker = removed.filter(|v| v.object.is_none()).map(|_| true);
        output.version_id = Some(id);
    } else if bucket.versioning == Versioning::Never {
        bucket.objects.remove(&input.key);
    } else {
        let id = version_id(ask.shared.next());
        let marker = Version {
            id,
            modified: ask.shared.clock.now(),
            object: None,
        };
        output.version_id = bucket.add(&input.key, marker);
        output.delete_marker = Some(true);
    }
    Ok(S3Response::new(output))
}
