//! Clients of the fake, and what the tests ask of answers.

use aws_sdk_kms::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use strict_fake::{Bucket, Principal, StrictFake};

pub(crate) use aws_sdk_s3::Client as S3;

pub(crate) const BUCKET: &str = "example-microsecrets";
pub(crate) const ACCOUNT: &str = "111122223333";

/// A fake with the usual bucket, and an administrator.
pub(crate) fn fake() -> (StrictFake, Principal) {
    let fake = StrictFake::builder().bucket(BUCKET, Bucket::default()).start();
    let admin = fake.admin("AKIAADMIN", "the administrator's secret", ACCOUNT);
    (fake, admin)
}

fn http() -> aws_sdk_s3::config::SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

fn credentials(who: &Principal) -> Credentials {
    Credentials::new(&who.access_key, &who.secret_key, None, None, "test")
}

/// S3 as this principal. Without retries, so that each failure is seen.
pub(crate) fn s3(fake: &StrictFake, who: &Principal) -> S3 {
    s3_in(fake, who, "us-east-1")
}

pub(crate) fn s3_in(fake: &StrictFake, who: &Principal, region: &str) -> S3 {
    S3::from_conf(s3_config(fake, credentials(who), region).build())
}

pub(crate) fn s3_with_token(fake: &StrictFake, who: &Principal, token: &str) -> S3 {
    let credentials = Credentials::new(&who.access_key, &who.secret_key, Some(token.into()), None, "test");
    S3::from_conf(s3_config(fake, credentials, "us-east-1").build())
}

pub(crate) fn s3_config(fake: &StrictFake, credentials: Credentials, region: &str) -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http())
        .credentials_provider(credentials)
        .region(Region::new(region.to_owned()))
        .endpoint_url(fake.endpoint())
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
}

pub(crate) fn kms(fake: &StrictFake, who: &Principal) -> aws_sdk_kms::Client {
    let config = aws_sdk_kms::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http())
        .credentials_provider(credentials(who))
        .region(Region::new("us-east-1"))
        .endpoint_url(fake.endpoint())
        .retry_config(RetryConfig::disabled());
    aws_sdk_kms::Client::from_conf(config.build())
}

pub(crate) fn sts(fake: &StrictFake, who: &Principal) -> aws_sdk_sts::Client {
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http())
        .credentials_provider(credentials(who))
        .region(Region::new("us-east-1"))
        .endpoint_url(fake.endpoint())
        .retry_config(RetryConfig::disabled());
    aws_sdk_sts::Client::from_conf(config.build())
}

/// Status, code and message of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn brief(&self) -> (u16, &str) {
        (self.status, &self.code)
    }
}

/// The refusal that an operation ended with.
pub(crate) fn refusal<T, E>(result: Result<T, SdkError<E>>) -> Refusal
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let Err(error) = result else {
        panic!("the operation was to be refused")
    };
    let Some(response) = error.raw_response() else {
        panic!("no answer: {error:?}")
    };
    Refusal {
        status: response.status().as_u16(),
        code: error.code().unwrap_or_default().to_owned(),
        message: error.message().unwrap_or_default().to_owned(),
    }
}

/// The code alone.
pub(crate) fn code<T, E>(result: Result<T, SdkError<E>>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    refusal(result).code
}

/// Whether an operation ended without any answer.
pub(crate) fn unanswered<T, E>(result: Result<T, SdkError<E>>) -> bool {
    result.is_err_and(|e| e.raw_response().is_none())
}

/// Puts an object and returns its ETag.
pub(crate) async fn put(client: &S3, key: &str, body: &[u8]) -> String {
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .body(ByteStream::from(body.to_vec()));
    put.send().await.expect("put").e_tag.expect("an ETag")
}

/// Gets an object's bytes.
pub(crate) async fn get(client: &S3, key: &str) -> Vec<u8> {
    let got = client.get_object().bucket(BUCKET).key(key).send().await.expect("get");
    got.body.collect().await.expect("the body").to_vec()
}
