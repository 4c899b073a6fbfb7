//! Multipart uploads.

use std::collections::BTreeMap;

use s3s::dto::*;
use s3s::{S3Error, S3Request, S3Response, S3Result};

use super::answers::{self, Encryption, set_sums};
use super::conditions::WriteCondition;
use super::encryption::Wanted;
use super::upload::{NewObject, Taken, take};
use super::{Ask, bucket, bucket_mut, etag_digest, needs_md5, version_id};
use crate::body::{Spool, Stored};
use crate::digest::{ChecksumAlgorithm as Algorithm, base64, hex, sha256, unbase64};
use crate::errors::s3_error;
use crate::object::{Attributes, Checksum, Sse};
use crate::state::{Bucket, EtagStyle, Part, StoredObject, Upload, Version};

/// All parts but the last have to be this long.
const MIN_PART: u64 = 5 * 1024 * 1024;

fn no_such_upload() -> S3Error {
    let message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been \
                   aborted or completed.";
    s3_error(404, "NoSuchUpload", message)
}

fn upload<'a>(bucket: &'a Bucket, key: &str, id: &str) -> S3Result<&'a Upload> {
    bucket
        .uploads
        .get(id)
        .filter(|upload| upload.key == key)
        .ok_or_else(no_such_upload)
}

/// The checksum that the whole will have: algorithm, and whether it is one of all bytes (else of the parts' sums).
fn checksum_kind(input: &CreateMultipartUploadInput) -> S3Result<(Option<Algorithm>, bool)> {
    let full = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        None => None,
        Some(ChecksumType::FULL_OBJECT) => Some(true),
        Some(ChecksumType::COMPOSITE) => Some(false),
        Some(_) => {
            return Err(s3_error(
                400,
                "InvalidRequest",
                "Value for x-amz-checksum-type header is invalid.",
            ));
        }
    };
    let Some(name) = &input.checksum_algorithm else {
        return match full {
            None => Ok((None, true)),
            Some(_) => {
                let message =
                    "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";
                Err(s3_error(400, "InvalidRequest", message))
            }
        };
    };
    let algorithm = Algorithm::from_name(name.as_str());
    let algorithm = algorithm.ok_or_else(|| {
        s3_error(
            400,
            "InvalidRequest",
            "Checksum algorithm provided is unsupported by the fake.",
        )
    })?;
    let full = full.unwrap_or(algorithm == Algorithm::Crc64nvme);
    if full && !algorithm.combines() || !full && algorithm == Algorithm::Crc64nvme {
        let kind = if full { "FULL_OBJECT" } else { "COMPOSITE" };
        let message = format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            algorithm.name()
        );
        return Err(s3_error(400, "InvalidRequest", message));
    }
    Ok((Some(algorithm), full))
}

pub(super) async fn create(
    ask: &Ask,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let input = request.input;
    let (algorithm, full_object) = checksum_kind(&input)?;
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
    let encryption = Encryption::of(&attributes.sse);
    let id = version_id(ask.shared.next());
    let upload = Upload {
        key: input.key.clone(),
        initiated: ask.shared.clock.now(),
        initiator: ask.caller.principal.arn(),
        attributes,
        algorithm,
        full_object,
        parts: BTreeMap::new(),
        spool: Spool::default(),
    };
    bucket_mut(&mut ask.shared.state(), &input.bucket)?
        .uploads
        .insert(id.clone(), upload);
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        bucket_key_enabled: encryption.bucket_key,
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: algorithm.map(|_| {
            ChecksumType::from_static(if full_object {
                ChecksumType::FULL_OBJECT
            } else {
                ChecksumType::COMPOSITE
            })
        }),
        key: Some(input.key),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        upload_id: Some(id),
        ..CreateMultipartUploadOutput::default()
    }))
}

pub(super) async fn upload_part(
    ask: &Ask,
    request: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let input = request.input;
    if !(1..=10_000).contains(&input.part_number) {
        let message = "Part number must be an integer between 1 and 10000, inclusive";
        return Err(s3_error(400, "InvalidArgument", message));
    }
    let attributes = {
        let state = ask.shared.state();
        upload(bucket(&state, &input.bucket)?, &input.key, &input.upload_id)?
            .attributes
            .clone()
    };
    // S3 encrypts the part, and has to read it again when the upload is completed.
    ask.use_key("GenerateDataKey", &input.bucket, &input.key, &attributes)?;
    ask.use_key("Decrypt", &input.bucket, &input.key, &attributes)?;
    let style = ask.shared.settings.etags;
    let md5 = needs_md5(style, &attributes.sse);
    let taken = take(ask, input.body, request.trailing_headers, md5).await?;
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &input.bucket)?;
    upload(bucket, &input.key, &input.upload_id)?;
    let upload = bucket.uploads.get_mut(&input.upload_id).ok_or_else(no_such_upload)?;
    check_kind(upload.algorithm, taken.stated)?;
    let sum = taken.stated.and_then(|a| {
        Some(Checksum {
            algorithm: a,
            value: base64(taken.finished.sum(a)?),
            composite: false,
        })
    });
    let part = part(ask, &attributes, taken, style, &mut upload.spool)?;
    let encryption = Encryption::of(&attributes.sse);
    let mut output = UploadPartOutput {
        bucket_key_enabled: encryption.bucket_key,
        e_tag: Some(answers::etag(&part.etag)),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        ..UploadPartOutput::default()
    };
    let _full = set_sums!(output, sum.as_ref());
    upload.parts.insert(input.part_number, part);
    Ok(S3Response::new(output))
}

/// The parts' checksums have to be of the kind that the upload was created with.
fn check_kind(wanted: Option<Algorithm>, given: Option<Algorithm>) -> S3Result<()> {
    match (wanted, given) {
        (Some(wanted), Some(given)) if wanted != given => {
            let (wanted, given) = (wanted.name().to_ascii_lowercase(), given.name().to_ascii_lowercase());
            let message = format!(
                "Checksum Type mismatch occurred, expected checksum Type: {wanted}, actual checksum Type: {given}"
            );
            Err(s3_error(400, "InvalidRequest", message))
        }
        _ => Ok(()),
    }
}

fn part(ask: &Ask, attributes: &Attributes, taken: Taken, style: EtagStyle, spool: &mut Spool) -> S3Result<Part> {
    let digest = etag_digest(style, &attributes.sse, &taken.finished);
    let failed = |e| {
        s3_error(
            500,
            "InternalError",
            format!("the temporary file can't be written: {e}"),
        )
    };
    let body = spool.keep(taken.body, ask.shared.settings.spill_over).map_err(failed)?;
    Ok(Part {
        body,
        etag: hex(&digest),
        digest,
        sums: taken.finished.sums,
    })
}

pub(super) async fn complete(
    ask: &Ask,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = request.input;
    let condition = WriteCondition::new(input.if_match.as_ref(), input.if_none_match.as_ref())?;
    let attributes = {
        let state = ask.shared.state();
        upload(bucket(&state, &input.bucket)?, &input.key, &input.upload_id)?
            .attributes
            .clone()
    };
    ask.use_key("Decrypt", &input.bucket, &input.key, &attributes)?;
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &input.bucket)?;
    let upload = upload(bucket, &input.key, &input.upload_id)?;
    let parts = chosen_parts(upload, input.multipart_upload.as_ref())?;
    let object = assemble(ask, upload, &parts, &input)?;
    condition.check(bucket, &input.key)?;
    let encryption = Encryption::of(&object.attributes.sse);
    let mut output = CompleteMultipartUploadOutput {
        bucket_key_enabled: encryption.bucket_key,
        e_tag: Some(answers::etag(&object.etag)),
        location: Some(format!(
            "https://s3.{}.amazonaws.com/{}/{}",
            bucket.region, input.bucket, input.key
        )),
        server_side_encryption: encryption.algorithm,
        ssekms_key_id: encryption.key,
        ..CompleteMultipartUploadOutput::default()
    };
    let kind = set_sums!(output, object.checksum.as_ref());
    output.checksum_type = kind;
    bucket.uploads.remove(&input.upload_id);
    let version = Version {
        id: version_id(ask.shared.next()),
        modified: ask.shared.clock.now(),
        object: Some(object),
    };
    output.version_id = bucket.add(&input.key, version);
    output.bucket = Some(input.bucket);
    output.key = Some(input.key);
    Ok(S3Response::new(output))
}

/// The parts that the request names, in the order it must name them in.
fn chosen_parts<'a>(upload: &'a Upload, named: Option<&CompletedMultipartUpload>) -> S3Result<Vec<&'a Part>> {
    let named = named.and_then(|n| n.parts.as_deref()).unwrap_or_default();
    if named.is_empty() {
        let message = "The XML you provided was not well-formed or did not validate against our published schema";
        return Err(s3_error(400, "MalformedXML", message));
    }
    if !named.is_sorted_by(|a, b| a.part_number < b.part_number) {
        let message = "The list of parts was not in ascending order. Parts must be ordered by part number.";
        return Err(s3_error(400, "InvalidPartOrder", message));
    }
    let parts: S3Result<Vec<_>> = named.iter().map(|named| chosen_part(upload, named)).collect();
    let parts = parts?;
    if parts.iter().rev().skip(1).any(|part| part.body.len() < MIN_PART) {
        let message = "Your proposed upload is smaller than the minimum allowed size";
        return Err(s3_error(400, "EntityTooSmall", message));
    }
    Ok(parts)
}

fn chosen_part<'a>(upload: &'a Upload, named: &CompletedPart) -> S3Result<&'a Part> {
    let number = named.part_number.unwrap_or_default();
    let part = upload
        .parts
        .get(&number)
        .filter(|part| named.e_tag.as_ref().is_some_and(|e| e.value() == part.etag));
    let part = part.ok_or_else(|| {
        let message = "One or more of the specified parts could not be found. The part may not have been uploaded, or \
                       the specified entity tag may not match the part's entity tag.";
        s3_error(400, "InvalidPart", message)
    })?;
    for (algorithm, value) in named_sums(named) {
        let sum = part
            .sums
            .iter()
            .find(|(a, _)| *a == algorithm)
            .map(|(_, sum)| base64(sum));
        if sum.as_deref() != Some(value) {
            let message = format!("The {} of part {number} does not match.", algorithm.name());
            return Err(s3_error(400, "InvalidPart", message));
        }
    }
    match upload.algorithm.filter(|_| !upload.full_object) {
        Some(algorithm) if !named_sums(named).any(|(a, _)| a == algorithm) => {
            let name = algorithm.name().to_ascii_lowercase();
            let message = format!(
                "The upload was created using a {name} checksum. The complete request must include the checksum for \
                 each part. It was missing for part {number} in the request."
            );
            Err(s3_error(400, "InvalidRequest", message))
        }
        _ => Ok(part),
    }
}

fn named_sums(named: &CompletedPart) -> impl Iterator<Item = (Algorithm, &str)> {
    [
        (Algorithm::Crc32, named.checksum_crc32.as_deref()),
        (Algorithm::Crc32c, named.checksum_crc32c.as_deref()),
        (Algorithm::Crc64nvme, named.checksum_crc64nvme.as_deref()),
        (Algorithm::Sha1, named.checksum_sha1.as_deref()),
        (Algorithm::Sha256, named.checksum_sha256.as_deref()),
    ]
    .into_iter()
    .filter_map(|(algorithm, value)| Some((algorithm, value?)))
}

/// The object that the parts make.
fn assemble(
    ask: &Ask,
    upload: &Upload,
    parts: &[&Part],
    input: &CompleteMultipartUploadInput,
) -> S3Result<StoredObject> {
    let body = Stored::join(parts.iter().map(|part| part.body.clone()));
    if input
        .mpu_object_size
        .is_some_and(|size| u64::try_from(size).ok() != Some(body.len()))
    {
        let message = "The provided 'x-amz-mp-object-size' header does not match what was computed.";
        return Err(s3_error(400, "InvalidRequest", message));
    }
    let checksum = whole_checksum(upload, parts)?;
    for (algorithm, given) in [
        (Algorithm::Crc32, &input.checksum_crc32),
        (Algorithm::Crc32c, &input.checksum_crc32c),
        (Algorithm::Crc64nvme, &input.checksum_crc64nvme),
        (Algorithm::Sha1, &input.checksum_sha1),
        (Algorithm::Sha256, &input.checksum_sha256),
    ] {
        let fits = |given: &String| algorithm == checksum.algorithm && unbase64(given) == unbase64(&checksum.value);
        if given.as_ref().is_some_and(|given| !fits(given)) {
            let message = format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm.name()
            );
            return Err(s3_error(400, "BadDigest", message));
        }
    }
    let digests = parts
        .iter()
        .map(|part| part.digest.as_slice())
        .collect::<Vec<_>>()
        .concat();
    let style = ask.shared.settings.etags;
    Ok(StoredObject {
        body,
        etag: format!(
            "{}-{}",
            hex(&digest_of_digests(style, &upload.attributes.sse, &digests)),
            parts.len()
        ),
        checksum: Some(checksum),
        attributes: upload.attributes.clone(),
        parts: parts.iter().map(|part| part.body.len()).collect(),
    })
}

fn digest_of_digests(style: EtagStyle, sse: &Sse, digests: &[u8]) -> Vec<u8> {
    use s3s::crypto::Checksum as _;
    if needs_md5(style, sse) {
        s3s::crypto::Md5::checksum(digests).to_vec()
    } else {
        sha256(digests)[..16].to_vec()
    }
}

/// Of all bytes where that can be computed from the parts' sums and was asked for, or nothing was; else of the sums.
fn whole_checksum(upload: &Upload, parts: &[&Part]) -> S3Result<Checksum> {
    let algorithm = upload.algorithm.unwrap_or(Algorithm::Crc64nvme);
    let sums: Option<Vec<_>> = parts
        .iter()
        .map(|part| {
            part.sums
                .iter()
                .find(|(a, _)| *a == algorithm)
                .map(|(_, sum)| (sum.clone(), part.body.len()))
        })
        .collect();
    let sums = sums.ok_or_else(|| {
        let message = format!("A part has no {} checksum.", algorithm.name().to_ascii_lowercase());
        s3_error(400, "InvalidRequest", message)
    })?;
    let count = sums.len();
    if upload.full_object {
        let whole = algorithm.combine(sums.into_iter()).unwrap_or_default();
        return Ok(Checksum {
            algorithm,
            value: base64(&whole),
            composite: false,
        });
    }
    let of_sums = algorithm.of(&sums.into_iter().flat_map(|(sum, _)| sum).collect::<Vec<_>>());
    Ok(Checksum {
        algorithm,
        value: format!("{}-{count}", base64(&of_sums)),
        composite: true,
    })
}

pub(super) async fn abort(
    ask: &Ask,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let input = request.input;
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &input.bucket)?;
    upload(bucket, &input.key, &input.upload_id)?;
    bucket.uploads.remove(&input.upload_id);
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
