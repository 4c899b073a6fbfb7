//! Objects in a bucket of S3, or of a store that speaks its protocol.
//!
//! The bucket's rules are not this store's to check: versioning, replication and lifecycle are `setup`'s and `doctor`'s.
//! What the store answers is converted at this edge: no type of the SDK leaves it.

#![allow(
    clippy::result_large_err,
    reason = "an error is made once, when a request has failed"
)]

mod get;
mod list;
mod multipart;
mod put;
mod versions;
mod whole;

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{
    Builder, ConfigBag, Intercept, Region, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::types::ServerSideEncryption;

use super::{
    Delete, Deleted, Denial, ETag, Encryption, ErrorKind, Get, HeldVersion, List, Object, Operation, Page, Payload,
    Put, RetryPolicy, Store, StoreError, Stored, Which,
};
use crate::aws::{Asked, Aws, checked_region, from_sdk};
use crate::time::Timestamp;

/// The name of the metadata that marks version bytes as ours.
const MARK: &str = "microsecrets";

/// A bucket.
pub struct S3Store {
    aws: Aws,
    bucket: String,
    owner: Option<String>,
    follows: bool,
    home: OnceLock<Client>,
    /// Where the bucket turned out to be, for reads.
    followed: OnceLock<(String, Client)>,
}

impl S3Store {
    /// A bucket by its name. No request is made.
    ///
    /// Every request says that it expects the `owner`, an account's number, when there is one; and so does it for a
    /// bucket in an account's own namespace, whose name ends in `-ACCOUNT-REGION-an`.
    pub fn new(aws: Aws, bucket: impl Into<String>, owner: Option<String>) -> Self {
        let bucket = bucket.into();
        let owner = owner.or_else(|| owner_in_name(&bucket).map(str::to_owned));
        Self {
            aws,
            bucket,
            owner,
            follows: true,
            home: OnceLock::new(),
            followed: OnceLock::new(),
        }
    }

    /// Does not follow the bucket to another region. For writers: what is not written there need not be read there, and
    /// the keys of the wrong region are not asked about.
    pub fn staying(mut self) -> Self {
        self.follows = false;
        self
    }

    /// The region that the bucket turned out to be in, when it is not the configured one and a read went there.
    pub fn region_followed(&self) -> Option<String> {
        self.followed.get().map(|(region, _)| region.clone())
    }

    /// The client for the configured region.
    fn home(&self) -> &Client {
        self.home.get_or_init(|| self.client(None))
    }

    /// The client that reads: for the region where the bucket is, once that is known.
    fn reader(&self) -> &Client {
        self.followed.get().map_or_else(|| self.home(), |(_, client)| client)
    }

    fn client(&self, region: Option<Region>) -> Client {
        let mut builder = Builder::from(self.aws.config())
            .force_path_style(self.aws.has_s3_endpoint())
            // What is sent is in memory, so that its checksum is a header. What comes back is compared with a SHA-256
            // that S3 has no part in.
            .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        if let Some(region) = region {
            builder.set_region(Some(region));
        }
        Client::from_conf(builder.build())
    }

    /// Runs a read, and once more where the bucket is when it is in another region.
    async fn read<T, F>(&self, asked: &Asked, attempt: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.aws.authenticate(asked).await?;
        let policy = self.aws.retry();
        let describe = || asked.error(ErrorKind::Unavailable);
        let followed = self.region_followed();
        let result = policy.run(describe(), || attempt(self.reader().clone())).await;
        match result.map_err(|error| self.placed(error, followed.as_deref())) {
            Err(error) if self.follows && followed.is_none() && self.follow(&error.kind) => {
                let result = policy.run(describe(), || attempt(self.reader().clone())).await;
                result.map_err(|error| self.placed(error, self.region_followed().as_deref()))
            }
            result => result,
        }
    }

    /// Runs a change, in the configured region only.
    async fn change<T, F>(
        &self,
        asked: &Asked,
        policy: RetryPolicy,
        mut attempt: impl FnMut(Client) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.aws.authenticate(asked).await?;
        let result = policy
            .run(asked.error(ErrorKind::Unavailable), || attempt(self.home().clone()))
            .await;
        result.map_err(|error| self.placed(error, None))
    }

    /// The policy for bodies that take the time they need, as long as their bytes move.
    fn patient(&self) -> RetryPolicy {
        RetryPolicy {
            timeout: Duration::MAX,
            ..self.aws.retry()
        }
    }

    /// An error that blames the region, though the request went there: a HEAD has no body to say what is wrong. And one
    /// that does not say what is denied.
    fn placed(&self, error: StoreError, followed: Option<&str>) -> StoreError {
        let here = followed.unwrap_or_else(|| self.aws.region());
        match &error.kind {
            ErrorKind::WrongRegion { region: Some(region) } if region == here => StoreError {
                kind: ErrorKind::Unexpected { status: None },
                ..error
            },
            ErrorKind::NoSuchBucket => StoreError {
                subject: format!("s3://{}/{}", self.bucket, error.subject),
                ..error
            },
            // To other accounts S3 says no more than no.
            ErrorKind::Denied(denial) if denial.resource.is_none() => {
                let asked_for = match error.operation {
                    Operation::List | Operation::ListVersions => String::new(),
                    _ => format!("/{}", error.subject),
                };
                let resource = Some(format!("arn:aws:s3:::{}{asked_for}", self.bucket));
                let kind = ErrorKind::Denied(Denial {
                    resource,
                    ..denial.clone()
                });
                StoreError { kind, ..error }
            }
            _ => error,
        }
    }

    /// Whether an object's ETag is its alone: so says AWS of SSE-KMS, and nobody of the stores that stand in for it.
    fn has_unique_etags(&self, encryption: &Encryption) -> bool {
        matches!(encryption, Encryption::Kms(_) | Encryption::KmsDsse(_)) && !self.aws.has_s3_endpoint()
    }

    /// Remembers the region that an error names, if it is one.
    fn follow(&self, kind: &ErrorKind) -> bool {
        let ErrorKind::WrongRegion { region: Some(name) } = kind else {
            return false;
        };
        let Ok(region) = checked_region(name) else {
            return false;
        };
        self.followed.get_or_init(|| (name.clone(), self.client(Some(region))));
        true
    }
}

/// The id of a version that is this object's alone: `null` is what every object gets while versioning is suspended.
fn own_version(id: Option<String>) -> Option<String> {
    id.filter(|id| id != "null")
}

#[async_trait]
impl Store for S3Store {
    fn bucket(&self) -> &str {
        &self.bucket
    }

    fn location(&self) -> String {
        format!("s3://{}", self.bucket)
    }

    async fn get(&self, request: Get) -> Result<Object, StoreError> {
        self.get_object(request).await
    }

    async fn put(&self, request: Put) -> Result<Stored, StoreError> {
        let Put {
            key,
            payload,
            condition,
            encryption,
            mark,
            content_type,
        } = request;
        let head = put::Head::new(key, condition, encryption, mark, content_type)?;
        match payload {
            Payload::Bytes(bytes) => self.put_bytes(&head, bytes).await,
            Payload::Source(source) => self.put_source(&head, source).await,
        }
    }

    async fn list(&self, request: List) -> Result<Page, StoreError> {
        self.list_page(request).await
    }

    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError> {
        let asked = Asked::new(Operation::Delete, request.key.as_str());
        let (etag, version) = match request.which {
            Which::Any => (None, None),
            Which::WithETag(etag) => (Some(etag.as_str().to_owned()), None),
            Which::WithVersionId(version) => (None, Some(version)),
        };
        let deleted = self
            .change(&asked, self.aws.retry(), |client| {
                let request = client
                    .delete_object()
                    .bucket(&self.bucket)
                    .key(&request.key)
                    .set_if_match(etag.clone())
                    .set_version_id(version.clone())
                    .set_expected_bucket_owner(self.owner.clone());
                let asked = &asked;
                async move { request.send().await.map_err(|error| from_sdk(asked, error)) }
            })
            .await;
        match deleted {
            Ok(output) => Ok(Deleted {
                marker: output.delete_marker.unwrap_or(false),
            }),
            // What is not there need not be deleted.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Deleted::default()),
            Err(error) => Err(error),
        }
    }

    async fn versions(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError> {
        self.versions_of(key).await
    }
}

/// The account in the name of a bucket in an account's own namespace: `PREFIX-ACCOUNT-REGION-an`. Nobody else can
/// create a bucket with such a name.
fn owner_in_name(bucket: &str) -> Option<&str> {
    let rest = bucket.strip_suffix("-an")?;
    let parts: Vec<&str> = rest.split('-').collect();
    let is_account = |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_digit());
    // A region is three parts or more, and a prefix comes before the account. The last account counts: a prefix may
    // hold twelve digits, a region's name cannot.
    let at = parts.iter().rposition(|part| is_account(part))?;
    (at >= 1 && parts.len() - at > 3).then(|| parts[at])
}

/// Notes the `Date` of an answer, which the SDK's outputs leave out.
#[derive(Clone, Debug, Default)]
struct Clock(Arc<OnceLock<Option<Timestamp>>>);

impl Clock {
    fn read(&self, asked: &Asked) -> Result<Timestamp, StoreError> {
        self.0
            .get()
            .copied()
            .flatten()
            .ok_or_else(|| asked.malformed("it has no date"))
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        self.0.get_or_init(|| date.and_then(Timestamp::parse_http_date));
        Ok(())
    }
}

/// A time that S3 says.
fn timestamp(time: Option<&aws_sdk_s3::primitives::DateTime>) -> Option<Timestamp> {
    Timestamp::from_unix(time?.secs())
}

/// An ETag that S3 says.
fn etag(asked: &Asked, etag: Option<String>) -> Result<ETag, StoreError> {
    match etag {
        Some(etag) if !etag.is_empty() => Ok(ETag::new(etag)),
        _ => Err(asked.malformed("it has no ETag")),
    }
}

/// How S3 says that an object is encrypted.
fn encryption(algorithm: Option<ServerSideEncryption>, key: Option<String>, customer: Option<&str>) -> Encryption {
    if customer.is_some() {
        return Encryption::Other("SSE-C".to_owned());
    }
    match (algorithm, key) {
        (None, _) => Encryption::None,
        (Some(ServerSideEncryption::Aes256), _) => Encryption::Aes256,
        (Some(ServerSideEncryption::AwsKms), Some(key)) => Encryption::Kms(key),
        (Some(ServerSideEncryption::AwsKmsDsse), Some(key)) => Encryption::KmsDsse(key),
        (Some(algorithm @ (ServerSideEncryption::AwsKms | ServerSideEncryption::AwsKmsDsse)), None) => {
            Encryption::Other(format!("{} under a key that is not said", algorithm.as_str()))
        }
        (Some(other), _) => Encryption::Other(crate::aws::clean(other.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_in_an_accounts_namespace_names_its_owner() {
        for (bucket, owner) in [
            ("secrets-111122223333-eu-central-1-an", Some("111122223333")),
            ("my-secrets-111122223333-us-gov-west-1-an", Some("111122223333")),
            ("a-999999999999-111122223333-us-east-1-an", Some("111122223333")),
            ("secrets-111122223333-eu-central-1", None),
            ("secrets-11112222333-eu-central-1-an", None),
            ("111122223333-eu-central-1-an", None),
            ("secrets-111122223333-an", None),
            ("urban", None),
        ] {
            assert_eq!(owner_in_name(bucket), owner, "{bucket}");
        }
    }

    #[test]
    fn encryption_is_what_the_answer_says() {
        let arn = || Some("arn:aws:kms:eu-west-1:111122223333:key/1".to_owned());
        let kms = ServerSideEncryption::AwsKms;
        assert_eq!(encryption(None, None, None), Encryption::None);
        assert_eq!(
            encryption(Some(ServerSideEncryption::Aes256), None, None),
            Encryption::Aes256
        );
        assert_eq!(
            encryption(Some(kms.clone()), arn(), None),
            Encryption::Kms(arn().unwrap_or_default())
        );
        assert_eq!(
            encryption(Some(ServerSideEncryption::AwsKmsDsse), arn(), None),
            Encryption::KmsDsse(arn().unwrap_or_default())
        );
        assert!(matches!(
            encryption(Some(kms.clone()), None, None),
            Encryption::Other(_)
        ));
        assert_eq!(
            encryption(Some(kms), arn(), Some("AES256")),
            Encryption::Other("SSE-C".to_owned())
        );
        assert_eq!(
            encryption(Some(ServerSideEncryption::from("rot13")), None, None),
            Encryption::Other("rot13".to_owned())
        );
    }
}
