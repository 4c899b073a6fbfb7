//! S3: s3s reads and writes the protocol, this is the store behind it.
//!
//! `access` decides who may (and answers for buckets, regions, owners and clocks), `objects`, `multipart`, `listing` and
//! `buckets` are the operations, `encryption` is where S3 asks KMS, `conditions` are the `If-` headers.

mod access;
mod answers;
mod buckets;
mod conditions;
mod encryption;
mod host;
mod listing;
mod multipart;
mod objects;
mod upload;

use std::sync::Arc;

use hyper::http::Extensions;
use s3s::auth::Credentials;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3Request, S3Response, S3Result};

use crate::digest::{Finished, hex};
use crate::errors::s3_error;
use crate::exchange::Exchange;
use crate::object::Sse;
use crate::state::{Bucket, Caller, EtagStyle, Shared, State};

/// The whole of S3 as a handler of requests.
pub(crate) fn service(shared: &Arc<Shared>) -> S3Service {
    let mut config = S3Config::default();
    // s3s compares with the real clock; the fake's own is checked in `access`.
    config.presigned_url_max_skew_time_secs = u32::MAX;
    let mut builder = S3ServiceBuilder::new(Backend {
        shared: Arc::clone(shared),
    });
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    builder.set_auth(access::Auth(Arc::clone(shared)));
    builder.set_access(access::Access(Arc::clone(shared)));
    builder.set_host(host::AwsHost);
    builder.build()
}

/// The store.
struct Backend {
    shared: Arc<Shared>,
}

/// Who asks, and with what request.
struct Ask {
    shared: Arc<Shared>,
    caller: Caller,
    exchange: Arc<Exchange>,
}

impl Backend {
    fn ask<T>(&self, request: &S3Request<T>) -> S3Result<Ask> {
        Ask::new(&self.shared, request.credentials.as_ref(), &request.extensions)
    }
}

impl Ask {
    fn new(shared: &Arc<Shared>, credentials: Option<&Credentials>, extensions: &Extensions) -> S3Result<Self> {
        let credentials = credentials.ok_or_else(|| s3_error(403, "AccessDenied", "Access Denied"))?;
        let caller = shared.state().callers.get(&credentials.access_key).cloned();
        let caller = caller.ok_or_else(|| s3_error(403, "InvalidAccessKeyId", "The access key was removed."))?;
        let exchange = extensions.get::<Arc<Exchange>>().cloned();
        let exchange = exchange.ok_or_else(|| s3_error(500, "InternalError", "The request came past the front."))?;
        Ok(Self {
            shared: Arc::clone(shared),
            caller,
            exchange,
        })
    }
}

/// The bucket of a request. It was there when the request was let in, but a test may have removed it since.
fn bucket<'a>(state: &'a State, name: &str) -> S3Result<&'a Bucket> {
    state.buckets.get(name).ok_or_else(no_such_bucket)
}

fn bucket_mut<'a>(state: &'a mut State, name: &str) -> S3Result<&'a mut Bucket> {
    state.buckets.get_mut(name).ok_or_else(no_such_bucket)
}

fn no_such_bucket() -> S3Error {
    s3_error(404, "NoSuchBucket", "The specified bucket does not exist")
}

fn not_implemented(what: &str) -> S3Error {
    let message = format!("A header you provided implies functionality that is not implemented: {what}");
    s3_error(501, "NotImplemented", message)
}

/// An id for a version, as opaque as AWS's.
pub(crate) fn version_id(serial: u64) -> String {
    format!("{:016x}{serial:016x}", serial.wrapping_mul(0xd1b5_4a32_d192_ed03))
}

/// Whether an ETag needs the MD5.
fn needs_md5(style: EtagStyle, sse: &Sse) -> bool {
    let kms = match sse {
        Sse::Kms { .. } => true,
        Sse::Forged { algorithm, .. } => algorithm.starts_with("aws:kms"),
        Sse::Aes256 | Sse::Absent => false,
    };
    style == EtagStyle::Md5 || !kms
}

/// What an ETag is made of: the MD5, or for SSE-KMS something else that depends on the bytes alone.
fn etag_digest(style: EtagStyle, sse: &Sse, finished: &Finished) -> Vec<u8> {
    match (&finished.md5, needs_md5(style, sse)) {
        (Some(md5), true) => md5.clone(),
        _ => finished.sha256[..16].to_vec(),
    }
}

/// The ETag of a body, without quotation marks.
pub(crate) fn etag(style: EtagStyle, sse: &Sse, finished: &Finished) -> String {
    hex(&etag_digest(style, sse, finished))
}

/// Hands each operation to its function. What isn't here is `NotImplemented`, by s3s.
macro_rules! operations {
    ($($name:ident, $input:ident => $output:ident, $handler:path;)*) => {
        #[async_trait::async_trait]
        impl S3 for Backend {
            $(async fn $name(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                let ask = self.ask(&request)?;
                $handler(&ask, request).await
            })*
        }
    };
}

operations! {
    get_object, GetObjectInput => GetObjectOutput, objects::get;
    head_object, HeadObjectInput => HeadObjectOutput, objects::head;
    put_object, PutObjectInput => PutObjectOutput, upload::put;
    delete_object, DeleteObjectInput => DeleteObjectOutput, objects::delete;
    list_objects, ListObjectsInput => ListObjectsOutput, listing::objects;
    list_objects_v2, ListObjectsV2Input => ListObjectsV2Output, listing::objects_v2;
    list_object_versions, ListObjectVersionsInput => ListObjectVersionsOutput, listing::versions;
    list_multipart_uploads, ListMultipartUploadsInput => ListMultipartUploadsOutput, listing::uploads;
    create_multipart_upload, CreateMultipartUploadInput => CreateMultipartUploadOutput, multipart::create;
    upload_part, UploadPartInput => UploadPartOutput, multipart::upload_part;
    complete_multipart_upload, CompleteMultipartUploadInput => CompleteMultipartUploadOutput, multipart::complete;
    abort_multipart_upload, AbortMultipartUploadInput => AbortMultipartUploadOutput, multipart::abort;
    list_buckets, ListBucketsInput => ListBucketsOutput, buckets::list;
    create_bucket, CreateBucketInput => CreateBucketOutput, buckets::create;
    delete_bucket, DeleteBucketInput => DeleteBucketOutput, buckets::delete;
    head_bucket, HeadBucketInput => HeadBucketOutput, buckets::head;
    get_bucket_location, GetBucketLocationInput => GetBucketLocationOutput, buckets::location;
    get_bucket_acl, GetBucketAclInput => GetBucketAclOutput, buckets::acl;
    get_bucket_versioning, GetBucketVersioningInput => GetBucketVersioningOutput, buckets::get_versioning;
    put_bucket_versioning, PutBucketVersioningInput => PutBucketVersioningOutput, buckets::put_versioning;
    get_public_access_block, GetPublicAccessBlockInput => GetPublicAccessBlockOutput, buckets::get_access_block;
    put_public_access_block, PutPublicAccessBlockInput => PutPublicAccessBlockOutput, buckets::put_access_block;
    get_bucket_ownership_controls, GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput,
        buckets::get_ownership;
    put_bucket_ownership_controls, PutBucketOwnershipControlsInput => PutBucketOwnershipControlsOutput,
        buckets::put_ownership;
    get_bucket_encryption, GetBucketEncryptionInput => GetBucketEncryptionOutput, buckets::get_encryption;
    delete_bucket_encryption, DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput, buckets::delete_encryption;
    put_bucket_encryption, PutBucketEncryptionInput => PutBucketEncryptionOutput, buckets::put_encryption;
    get_bucket_lifecycle_configuration, GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput,
        buckets::get_lifecycle;
    put_bucket_lifecycle_configuration, PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput,
        buckets::put_lifecycle;
    get_bucket_policy, GetBucketPolicyInput => GetBucketPolicyOutput, buckets::get_policy;
    put_bucket_policy, PutBucketPolicyInput => PutBucketPolicyOutput, buckets::put_policy;
    delete_bucket_policy, DeleteBucketPolicyInput => DeleteBucketPolicyOutput, buckets::delete_policy;
    get_bucket_tagging, GetBucketTaggingInput => GetBucketTaggingOutput, buckets::get_tagging;
    put_bucket_tagging, PutBucketTaggingInput => PutBucketTaggingOutput, buckets::put_tagging;
}
