//! What S3 and KMS share: settings, region, credentials and one HTTP client, all by the AWS SDK for Rust.
//!
//! Microsecrets reads no environment variable here: what a caller wants said is in [`AwsSettings`]. The SDK's own chain
//! does read `AWS_*` and the shared configuration files, for credentials, the region and endpoints; and the system's
//! certificates are found by `SSL_CERT_FILE` and `SSL_CERT_DIR` when they are set.
//!
//! Needs a Tokio runtime with its time and input/output drivers enabled.

#![allow(
    clippy::result_large_err,
    reason = "an error is made once, when a request has failed"
)]

mod credentials;
mod error;
mod http;
mod transfer;

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_config::BehaviorVersion;
use aws_config::Region;
use aws_config::SdkConfig;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::service_config::ServiceConfigKey;

use self::credentials::Credentials;
pub(crate) use self::error::{Asked, clean, from_body, from_sdk};
use self::http::{Http, Reach};
pub(crate) use self::transfer::{Progress, Unlimited};
use crate::secret::SecretString;
use crate::store::{ErrorKind, Operation, RetryPolicy, StoreError};

/// The region when nobody says one: what microsecrets 0.3.4 used.
pub const DEFAULT_REGION: &str = "us-east-1";

/// How to reach AWS, or what stands in for it.
#[derive(Default)]
#[non_exhaustive]
pub struct AwsSettings {
    /// The region; otherwise what the SDK's chain says, otherwise [`DEFAULT_REGION`].
    pub region: Option<String>,
    /// A profile of the shared configuration, whose credentials are then used and no others.
    pub profile: Option<String>,
    /// Credentials to use, and none that are found anywhere.
    pub access_key: Option<AccessKey>,
    /// Where requests to S3 and KMS go instead of AWS; S3's buckets are then in the path. `http://` is refused unless it
    /// is loopback or [`AwsSettings::insecure_endpoint`] is set.
    pub endpoint: Option<String>,
    /// Accept an `http://` endpoint that is not loopback: whoever is on the way reads and changes everything.
    pub insecure_endpoint: bool,
    /// Use FIPS endpoints. When not set here, `AWS_USE_FIPS_ENDPOINT` and the profile still may.
    pub fips: bool,
    /// Use dual-stack endpoints. When not set here, `AWS_USE_DUALSTACK_ENDPOINT` and the profile still may.
    pub dual_stack: bool,
    /// How often and how long to try.
    pub retry: RetryPolicy,
    /// A file of PEM certificates to trust instead of the system's (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<PathBuf>,
    /// The proxy for `https://` requests (`HTTPS_PROXY`). Requests to `http://` (loopback, instance metadata) use none.
    pub proxy: Option<Proxy>,
}

/// Credentials of AWS.
pub struct AccessKey {
    /// Which: no secret.
    pub id: String,
    /// The secret that goes with it.
    pub secret: SecretString,
    /// The token that goes with temporary ones.
    pub session_token: Option<SecretString>,
}

/// An HTTP proxy, through which TLS is tunnelled.
#[derive(Clone)]
pub struct Proxy {
    /// Its URL, `http://` or `https://`, with user name and password when it needs them.
    pub url: String,
    /// Which hosts to reach without it, comma-separated (`NO_PROXY`).
    pub exceptions: Option<String>,
}

/// A connection to AWS that S3 and KMS share. Clones are the same connection.
#[derive(Clone)]
pub struct Aws(Arc<Inner>);

struct Inner {
    config: SdkConfig,
    credentials: Credentials,
    retry: RetryPolicy,
}

impl Aws {
    /// Finds the region. Asks nobody but, on a machine where no region is configured, the instance's metadata service,
    /// for a second at most; credentials are looked for with the first request.
    pub async fn open(settings: AwsSettings) -> Result<Self, StoreError> {
        if let Some(endpoint) = &settings.endpoint {
            http::check_endpoint(endpoint, settings.insecure_endpoint)?;
        }
        let http = Http::new(&settings)?;
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http.client(Reach::Metadata))
            .region(region(&settings, &http).await?);
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if settings.fips {
            loader = loader.use_fips(true);
        }
        if settings.dual_stack {
            loader = loader.use_dual_stack(true);
        }
        let credentials = Credentials::new(&settings, http.client(Reach::Metadata));
        let config = loader
            .credentials_provider(credentials.clone())
            .identity_cache(IdentityCache::no_cache())
            .load()
            .await;
        credentials.set_up(config.region().cloned(), config.use_fips(), config.use_dual_stack());
        // The SDK's own retries and time-outs are off: they do not know which answers were lost, nor that the time for a
        // large body runs from its last byte. The store's retry policy does both.
        let config = config
            .into_builder()
            .http_client(http.client(Reach::Services))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Ok(Self(Arc::new(Inner {
            config,
            credentials,
            retry: settings.retry,
        })))
    }

    /// The region that requests go to.
    pub fn region(&self) -> &str {
        self.0.config.region().map_or(DEFAULT_REGION, AsRef::as_ref)
    }

    /// How often and how long to try.
    pub(crate) fn retry(&self) -> RetryPolicy {
        self.0.retry
    }

    /// What the SDK's clients are made from.
    pub(crate) fn config(&self) -> &SdkConfig {
        &self.0.config
    }

    /// Whether S3 requests go elsewhere than to AWS, by setting, environment or profile.
    pub(crate) fn has_s3_endpoint(&self) -> bool {
        self.0.config.endpoint_url().is_some()
            || self.0.config.service_config().is_some_and(|service| {
                ServiceConfigKey::builder()
                    .service_id("S3")
                    .env("AWS_ENDPOINT_URL")
                    .profile("endpoint_url")
                    .build()
                    .is_ok_and(|key| service.load_config(key).is_some())
            })
    }

    /// Where the credentials come from, and when they end being valid (seconds since 1970).
    pub(crate) async fn provider(&self, asked: &Asked) -> Result<(&'static str, Option<i64>), StoreError> {
        let loaded = self.0.credentials.load().await;
        let credentials = loaded.map_err(|error| error::from_credentials(asked, &error))?;
        let expires = credentials.expiry().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let expires = expires.and_then(|since| i64::try_from(since.as_secs()).ok());
        Ok((credentials::provider(&credentials), expires))
    }

    /// Has credentials at hand, so that no request's time-out runs while they are looked for: a `credential_process` may
    /// wait for a person, for as long as a request may take.
    pub(crate) async fn authenticate(&self, asked: &Asked) -> Result<(), StoreError> {
        match self.0.credentials.load().await {
            Ok(_) => Ok(()),
            Err(error) => Err(error::from_credentials(asked, &error)),
        }
    }

    /// Asks, and asks again as the retry policy says.
    pub(crate) async fn ask<T, E, F>(&self, asked: &Asked, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        self.authenticate(asked).await?;
        let attempt = || async { attempt().await.map_err(|error| from_sdk(asked, error)) };
        let retry = self.retry();
        retry.run(asked.error(ErrorKind::Unavailable), attempt).await
    }
}

/// Where the region comes from: a setting, the environment, the profile, the instance (which is waited for a second), or
/// else the one it always was.
async fn region(settings: &AwsSettings, http: &Http) -> Result<Region, StoreError> {
    if let Some(region) = &settings.region {
        return checked_region(region);
    }
    let config = ProviderConfig::without_region().with_http_client(http.client(Reach::Metadata));
    let mut profile = ProfileFileRegionProvider::builder().configure(&config);
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    let (region, whence) = if let Some(region) = EnvironmentVariableRegionProvider::new().region().await {
        (region, "AWS_REGION or AWS_DEFAULT_REGION")
    } else if let Some(region) = profile.build().region().await {
        (region, "the profile")
    } else if let Some(region) = ImdsRegionProvider::builder().configure(&config).build().region().await {
        (region, "the instance")
    } else {
        return Ok(Region::from_static(DEFAULT_REGION));
    };
    checked_region(region.as_ref()).map_err(|error| StoreError {
        subject: format!("region of {whence}"),
        ..error
    })
}

/// A region that can be a part of a host name, and nothing else.
pub(crate) fn checked_region(region: &str) -> Result<Region, StoreError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=32).contains(&region.len())
        && region.bytes().all(plain)
        && !region.starts_with('-')
        && !region.ends_with('-')
    {
        Ok(Region::new(region.to_owned()))
    } else {
        Err(StoreError::new(
            Operation::Open,
            "region",
            ErrorKind::InvalidSetting("a region's name has lower-case letters, digits and hyphens".to_owned()),
        ))
    }
}

/// How long a connection may take to come about: the SDK's own choice, or all the time there is when that is less.
fn connect_timeout(retry: &RetryPolicy) -> Duration {
    Duration::from_millis(3_100).min(retry.timeout)
}

/// An HTTP client for the SDK, over one set of connections.
type Client = SharedHttpClient;
