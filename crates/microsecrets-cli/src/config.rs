//! From what was typed to what it means: the store, the keys beside it, and what is demanded of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use microsecrets::aws::{Aws, AwsSettings, Proxy};
use microsecrets::contract::{Breach, Contract};
use microsecrets::document::Variables;
use microsecrets::item::{Access, Base, Content, Decision, ItemError, Writer};
use microsecrets::keys::{FolderKeys, Keys, KmsKeys};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;
use microsecrets::record::ChangeKind;
use microsecrets::setup::cloud::Cloud;
use microsecrets::store::folder::{self, FolderSettings, FolderStore};
use microsecrets::store::s3::S3Store;
use microsecrets::store::{RetryPolicy, Store};
use microsecrets::trust::{Checks, RequiredEncryption, VerifyKey};

use crate::args::{Bucket, Sse, StoreArgs};
use crate::error::{CliError, Status};
use crate::exec;
use crate::trace::Traced;
use crate::user;

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    Read,
    Write,
}

/// An open store, with the keys beside it and what is demanded of it.
pub(crate) struct Opened {
    pub(crate) store: Box<dyn Store>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) checks: Checks,
    /// What `--kms-key` says.
    key_name: Option<String>,
    /// What results call the bucket: its name, or the folder.
    pub(crate) shown_bucket: String,
    /// Whether it is a folder, with its own key that signs.
    pub(crate) folder_keys: Option<FolderKeys>,
    /// What the service requires and allows.
    pub(crate) contract: Option<Arc<Contract>>,
    /// How long to wait for other processes.
    pub(crate) patience: Duration,
}

impl Opened {
    /// Opens the store that the command line names.
    pub(crate) async fn open(args: &StoreArgs, purpose: Purpose) -> Result<Self, CliError> {
        if purpose == Purpose::Write {
            exec::survive_full_files();
        }
        match args.bucket.as_ref() {
            None => Err(CliError::usage("no bucket is named")
                .hint("say -b BUCKET or set MICROSECRETS_BUCKET; without AWS, -b file:DIR keeps secrets in a folder")),
            Some(Bucket::Folder(dir)) => Self::open_folder(args, dir.clone(), purpose).await,
            Some(Bucket::S3(bucket)) => Self::open_s3(args, bucket, purpose).await,
        }
    }

    async fn open_folder(args: &StoreArgs, dir: PathBuf, purpose: Purpose) -> Result<Self, CliError> {
        let identities = identities()?;
        let settings = FolderSettings::new(&dir, &identities).policy(policy(args));
        let access = if purpose == Purpose::Write {
            folder::Access::Write
        } else {
            folder::Access::Read
        };
        let store = FolderStore::open(settings, access).await?;
        let keys = FolderKeys::new(&identities, store.bucket());
        Ok(Self {
            store: Traced::wrap(store, args),
            keys: Arc::new(keys.clone()),
            folder_keys: Some(keys),
            checks: demands(Checks::new(RequiredEncryption::Store), args)?,
            key_name: None,
            shown_bucket: format!("file:{}", dir.display()),
            contract: args.contract.clone(),
            patience: Duration::from_secs(args.timeout),
        })
    }

    async fn open_s3(args: &StoreArgs, bucket: &str, purpose: Purpose) -> Result<Self, CliError> {
        let aws = Aws::open(aws_settings(args)).await?;
        let keys: Arc<dyn Keys> = Arc::new(KmsKeys::new(aws.clone()));
        let checks = match (args.sse, &args.kms_key) {
            (Sse::Aes256, None) => Checks::new(RequiredEncryption::Aes256),
            (Sse::Aes256, Some(_)) => {
                return Err(CliError::usage("--kms-key makes no sense with --sse AES256").hint("leave one of them out"));
            }
            (Sse::Kms, None) => Checks::new(RequiredEncryption::Kms(None)),
            (Sse::Kms, Some(name)) => match name.parse() {
                Ok(pin) => Checks::new(RequiredEncryption::Kms(Some(pin))),
                Err(_) => Checks::with_alias(Arc::clone(&keys), name),
            },
        };
        let checks = demands(checks, args)?;
        let store = S3Store::new(aws, bucket, args.bucket_owner.clone());
        let store = match purpose {
            Purpose::Read => store,
            Purpose::Write => store.staying(),
        };
        Ok(Self {
            store: Traced::wrap_bucket(store, args),
            keys,
            checks,
            key_name: args.kms_key.clone(),
            shown_bucket: bucket.to_owned(),
            folder_keys: None,
            contract: args.contract.clone(),
            patience: Duration::from_secs(args.timeout),
        })
    }

    /// The account beneath a bucket, for who sets it up or looks at it. No request is made.
    pub(crate) async fn cloud(args: &StoreArgs) -> Result<Cloud, CliError> {
        Ok(Cloud::new(Aws::open(aws_settings(args)).await?))
    }

    /// What reads and writes of an item need.
    pub(crate) fn access<'a>(&'a self, item: &'a Item) -> Access<'a> {
        Access {
            store: &*self.store,
            checks: &self.checks,
            item,
        }
    }

    /// The error for an item that is not there.
    pub(crate) fn absent(&self, item: &Item) -> ItemError {
        ItemError::Absent {
            item: item.clone(),
            location: self.store.location(),
        }
    }

    /// A writer of an item.
    pub(crate) fn writer<'a>(&'a self, item: &'a Item) -> Result<Writer<'a>, CliError> {
        let needs_key = matches!(self.checks.encryption, RequiredEncryption::Kms(_));
        let key_name = match self.key_name.clone().or_else(|| item.service().default_key_alias()) {
            Some(name) => name,
            None if !needs_key => String::new(),
            None => {
                let message = format!(
                    "no key alias follows from the service's name {}, which has a dot",
                    item.service()
                );
                return Err(CliError::usage(message).hint("name the KMS key with --kms-key"));
            }
        };
        Ok(Writer::new(
            self.access(item),
            &*self.keys,
            &key_name,
            &user::name_at_host(),
        ))
    }

    /// The key that signs for an item's service, unless another is named.
    pub(crate) fn default_signing_key(&self, item: &Item) -> Result<String, CliError> {
        item.service().default_signing_alias().ok_or_else(|| {
            let message = format!(
                "no key alias follows from the service's name {}, which has a dot",
                item.service()
            );
            CliError::usage(message).hint("name the key with --sign-with")
        })
    }

    /// Refuses a new environment that breaks the contract. What a change of single variables leaves as it was, it does
    /// not break.
    pub(crate) fn keep_contract(&self, item: &Item, base: &Base<'_>, decision: &Decision) -> Result<(), ItemError> {
        let expected = self.contract.as_ref().and_then(|contract| contract.variables.as_ref());
        let (Some(expected), Decision::Commit(change)) = (expected, decision) else {
            return Ok(());
        };
        let Content::Environment(variables) = &change.content else {
            return Ok(());
        };
        let mut breaches = expected.breaches(variables);
        if matches!(change.kind, ChangeKind::Set | ChangeKind::Unset | ChangeKind::Edit) {
            let none = Variables::default();
            let before = expected.breaches(base.document().map_or(&none, |document| &document.variables));
            breaches.retain(|breach| !before.contains(breach));
        }
        kept(item, breaches)
    }

    /// Refuses an environment that breaks the contract, whatever there was before.
    pub(crate) fn keep_contract_anew(&self, item: &Item, variables: &Variables) -> Result<(), ItemError> {
        let expected = self.contract.as_ref().and_then(|contract| contract.variables.as_ref());
        kept(
            item,
            expected.map_or_else(Vec::new, |expected| expected.breaches(variables)),
        )
    }
}

fn kept(item: &Item, breaches: Vec<Breach>) -> Result<(), ItemError> {
    match breaches.is_empty() {
        true => Ok(()),
        false => Err(ItemError::BreaksContract {
            item: item.clone(),
            breaches,
        }),
    }
}

/// What is demanded besides encryption.
fn demands(mut checks: Checks, args: &StoreArgs) -> Result<Checks, CliError> {
    checks.replicas.clone_from(&args.replica);
    checks.min_version = args.min_version;
    if args.verify_key.iter().any(|text| text.trim().is_empty()) {
        return Err(CliError::usage("a key to verify with is empty")
            .hint("leave out --verify-key and MICROSECRETS_VERIFY_KEY, or give them a public key"));
    }
    let pinned = args.verify_key.iter();
    let pinned = pinned.map(|text| VerifyKey::pinned(text, Path::new("")));
    checks.verify_keys = pinned.collect::<Result<_, _>>()?;
    if checks.verify_keys.is_empty()
        && let Some(contract) = &args.contract
    {
        checks.verify_keys.clone_from(&contract.verify_keys);
    }
    Ok(checks)
}

fn policy(args: &StoreArgs) -> RetryPolicy {
    RetryPolicy::with_timeout(Duration::from_secs(args.timeout))
}

fn aws_settings(args: &StoreArgs) -> AwsSettings {
    let mut settings = AwsSettings::default();
    settings.region.clone_from(&args.region);
    settings.profile.clone_from(&args.profile);
    settings.endpoint.clone_from(&args.endpoint);
    settings.insecure_endpoint = args.insecure_endpoint;
    settings.fips = args.fips;
    settings.dual_stack = args.dual_stack;
    settings.retry = policy(args);
    settings.ca_bundle = variable(&["AWS_CA_BUNDLE"]).map(PathBuf::from);
    settings.proxy = variable(&["HTTPS_PROXY", "https_proxy"]).map(|url| Proxy {
        url,
        exceptions: variable(&["NO_PROXY", "no_proxy"]),
    });
    settings
}

/// The first of these environment variables that is set and not empty.
fn variable(names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
}

/// The folder of this user's identities: `$XDG_CONFIG_HOME/microsecrets`, else `~/.config/microsecrets`.
pub(crate) fn identities() -> Result<PathBuf, CliError> {
    let configuration = variable(&["XDG_CONFIG_HOME"])
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || variable(&["HOME"]).map(|home| PathBuf::from(home).join(".config"));
    let folder = configuration.or_else(home).map(|folder| folder.join("microsecrets"));
    folder.ok_or_else(|| {
        CliError::new(Status::Failure, "there is no folder for the store's identity")
            .hint("set HOME, or XDG_CONFIG_HOME to an absolute path")
    })
}

/// The error for a service of which there is nothing.
pub(crate) fn no_such_service(opened: &Opened, service: &ServiceName) -> CliError {
    let location = opened.store.location();
    CliError::new(Status::NotFound, format!("there is no service {service} in {location}"))
        .hint("`microsecrets list` shows the services there are")
}
