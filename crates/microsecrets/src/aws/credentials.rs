//! Credentials by the SDK's chain, which is built only when the environment has none, and asked before a request's time
//! begins to run.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use super::{AwsSettings, Client};

/// Credentials that expire this soon are asked for again.
const MARGIN: Duration = Duration::from_secs(60);

/// The credentials that all requests are signed with. Clones are the same.
#[derive(Clone)]
pub(super) struct Credentials(Arc<Inner>);

struct Inner {
    /// Named by the caller: its credentials and no others.
    profile: Option<String>,
    http: Client,
    place: OnceLock<Place>,
    held: Mutex<Held>,
}

/// What the providers that ask AWS need to know.
struct Place {
    region: Option<Region>,
    fips: Option<bool>,
    dual_stack: Option<bool>,
}

struct Held {
    credentials: Option<aws_credential_types::Credentials>,
    chain: Option<SharedCredentialsProvider>,
}

impl Credentials {
    pub(super) fn new(settings: &AwsSettings, http: Client) -> Self {
        let given = settings.access_key.as_ref().map(|key| {
            let token = key.session_token.as_ref().map(|token| token.expose().to_owned());
            aws_credential_types::Credentials::new(key.id.as_str(), key.secret.expose(), token, None, "settings")
        });
        Self(Arc::new(Inner {
            profile: settings.profile.clone(),
            http,
            place: OnceLock::new(),
            held: Mutex::new(Held {
                credentials: given,
                chain: None,
            }),
        }))
    }

    /// Says where AWS is, which is known only once the configuration was loaded. The first call counts.
    pub(super) fn set_up(&self, region: Option<Region>, fips: Option<bool>, dual_stack: Option<bool>) {
        self.0.place.get_or_init(|| Place {
            region,
            fips,
            dual_stack,
        });
    }

    /// The credentials, from the environment or, once, from the chain.
    pub(super) async fn load(&self) -> provider::Result {
        let mut held = self.0.held.lock().await;
        if let Some(credentials) = held.credentials.as_ref().filter(|credentials| is_fresh(credentials)) {
            return Ok(credentials.clone());
        }
        let credentials = match &held.chain {
            Some(chain) => chain.provide_credentials().await?,
            None => match self.environment().await {
                // The chain's other links build clients for four services, which most programs never need.
                Err(CredentialsError::CredentialsNotLoaded(_)) => {
                    let chain = self.chain().await;
                    let found = chain.provide_credentials().await;
                    held.chain = Some(chain);
                    found.map_err(|error| self.name_profile(error))?
                }
                found => found?,
            },
        };
        held.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    /// Says which profile it is that has none: the SDK does not when there is no configuration at all.
    fn name_profile(&self, error: CredentialsError) -> CredentialsError {
        match (&self.0.profile, &error) {
            (Some(name), CredentialsError::CredentialsNotLoaded(_)) if error.source().is_none() => {
                CredentialsError::not_loaded(format!("there is no profile {name}, or nothing in it"))
            }
            _ => error,
        }
    }

    async fn environment(&self) -> provider::Result {
        match self.0.profile {
            Some(_) => Err(CredentialsError::not_loaded_no_source()),
            None => {
                EnvironmentVariableCredentialsProvider::new()
                    .provide_credentials()
                    .await
            }
        }
    }

    async fn chain(&self) -> SharedCredentialsProvider {
        let mut config = ProviderConfig::without_region().with_http_client(self.0.http.clone());
        if let Some(place) = self.0.place.get() {
            config = config
                .with_region(place.region.clone())
                .with_use_fips(place.fips)
                .with_use_dual_stack(place.dual_stack);
        }
        match &self.0.profile {
            Some(name) => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder()
                    .configure(&config)
                    .profile_name(name)
                    .build(),
            ),
            None => {
                let mut builder = DefaultCredentialsChain::builder().configure(config);
                if let Some(place) = self.0.place.get() {
                    builder.set_region(place.region.clone());
                }
                SharedCredentialsProvider::new(builder.build().await)
            }
        }
    }
}

fn is_fresh(credentials: &aws_credential_types::Credentials) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| expiry > SystemTime::now() + MARGIN)
}

impl ProvideCredentials for Credentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}
