//! Credentials by the SDK's chain, which is built only when the environment has none, and asked before a request's time
//! begins to run, for as long as a request may take. What it answers is checked here: the SDK panics on some of it.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;

use super::{AwsSettings, Client};

/// Credentials that expire this soon are asked for again.
const MARGIN: Duration = Duration::from_secs(60);

/// Credentials with a character that no request can carry, or that none ever has. Says which part, never what it is.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the {part} holds a character that {fault}")]
pub(super) struct Unusable {
    part: &'static str,
    fault: &'static str,
}

/// Credentials that did not come in time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("credentials were waited for")]
pub(super) struct Overdue {
    pub(super) waited: Duration,
}

/// Where credentials come from, as the SDK marks them; the last mark is of the provider that was asked last. That they were
/// configured in a profile is said only when it holds them itself.
pub(super) fn provider(credentials: &aws_credential_types::Credentials) -> &'static str {
    use AwsCredentialFeature as Mark;
    let marks = credentials.get_property::<Vec<Mark>>();
    let known = |mark: &Mark| {
        Some(match mark {
            Mark::CredentialsCode => "given",
            Mark::CredentialsEnvVars => "environment variables",
            Mark::CredentialsEnvVarsStsWebIdToken
            | Mark::CredentialsStsAssumeRoleWebId
            | Mark::CredentialsProfileStsWebIdToken => "web identity",
            Mark::CredentialsStsAssumeRole | Mark::CredentialsStsAssumeRoleSaml => "an assumed role",
            Mark::CredentialsProfile
            | Mark::CredentialsProfileSourceProfile
            | Mark::CredentialsProfileNamedProvider => "a profile",
            Mark::CredentialsProfileSso | Mark::CredentialsSso => "SSO",
            Mark::CredentialsProfileProcess | Mark::CredentialsProcess => "a process",
            Mark::CredentialsHttp => "a container",
            Mark::CredentialsImds => "the instance",
            _ => return None,
        })
    };
    let marks = marks.map(Vec::as_slice).unwrap_or_default();
    let named = |of_profiles: bool| {
        let marks = marks
            .iter()
            .rev()
            .filter(|mark| of_profiles || **mark != Mark::CredentialsProfile);
        marks.filter_map(known).next()
    };
    named(false).or_else(|| named(true)).unwrap_or("the AWS configuration")
}

/// The credentials that all requests are signed with. Clones are the same.
#[derive(Clone)]
pub(super) struct Credentials(Arc<Inner>);

struct Inner {
    /// Named by the caller: its credentials and no others.
    profile: Option<String>,
    http: Client,
    /// How long they may take to come.
    patience: Duration,
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
            patience: settings.retry.timeout,
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

    /// The credentials, and nothing that cannot be sent, before the time is up.
    ///
    /// The time is all that bounds a `credential_process`: it is not killed when the time is up, and one that floods its
    /// output fills the memory until then.
    pub(super) async fn load(&self) -> provider::Result {
        let waited = self.0.patience;
        match tokio::time::timeout(waited, self.find()).await {
            Ok(found) => found,
            Err(_) => Err(CredentialsError::provider_error(Overdue { waited })),
        }
    }

    /// The credentials, from the environment or, once, from the chain.
    async fn find(&self) -> provider::Result {
        let mut held = self.0.held.lock().await;
        if let Some(credentials) = held.credentials.as_ref().filter(|credentials| is_fresh(credentials)) {
            return checked(credentials.clone());
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
        let credentials = checked(credentials)?;
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

/// Refuses what the SDK panics on, or sends again and again. A secret is not sent, but one with a line's end is as wrong.
fn checked(credentials: aws_credential_types::Credentials) -> provider::Result {
    let fits = |text: &str| http::HeaderValue::from_str(text).is_ok();
    let no_header = "no header can carry";
    let unusable = if !fits(credentials.access_key_id()) {
        Some(("access key", no_header))
    } else if !credentials.session_token().is_none_or(fits) {
        Some(("session token", no_header))
    } else if credentials.secret_access_key().contains(char::is_control) {
        Some(("secret access key", "none ever has"))
    } else {
        None
    };
    match unusable {
        Some((part, fault)) => Err(CredentialsError::invalid_configuration(Unusable { part, fault })),
        None => Ok(credentials),
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
