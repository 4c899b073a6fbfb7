//! From what was typed to what it means: the store, the keys beside it, and what is demanded of them.

use std::path::PathBuf;
use std::time::Duration;

use microsecrets::aws::{Aws, AwsSettings, Proxy};
use microsecrets::item::{Access, ItemError, Writer};
use microsecrets::keys::{FolderKeys, Keys, KmsKeys};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;
use microsecrets::store::folder::{self, FolderSettings, FolderStore};
use microsecrets::store::s3::S3Store;
use microsecrets::store::{Encryption, RetryPolicy, Store};
use microsecrets::trust::{Checks, KeyPin, RequiredEncryption};

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
    pub(crate) keys: Box<dyn Keys>,
    pub(crate) checks: Checks,
    /// What `--kms-key` says.
    key_name: Option<String>,
    /// What results call the bucket: its name, or the folder.
    pub(crate) shown_bucket: String,
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
            keys: Box::new(keys),
            checks: checks(RequiredEncryption::Store, args),
            key_name: None,
            shown_bucket: format!("file:{}", dir.display()),
        })
    }

    async fn open_s3(args: &StoreArgs, bucket: &str, purpose: Purpose) -> Result<Self, CliError> {
        let aws = Aws::open(aws_settings(args)).await?;
        let keys = KmsKeys::new(aws.clone());
        let required = match (args.sse, &args.kms_key) {
            (Sse::Aes256, None) => RequiredEncryption::Aes256,
            (Sse::Aes256, Some(_)) => {
                return Err(CliError::usage("--kms-key makes no sense with --sse AES256").hint("leave one of them out"));
            }
            (Sse::Kms, None) => RequiredEncryption::Kms(None),
            (Sse::Kms, Some(name)) => RequiredEncryption::Kms(Some(pin(&keys, name).await?)),
        };
        let store = S3Store::new(aws, bucket, args.bucket_owner.clone());
        let store = match purpose {
            Purpose::Read => store,
            Purpose::Write => store.staying(),
        };
        Ok(Self {
            store: Traced::wrap_bucket(store, args),
            keys: Box::new(keys),
            checks: checks(required, args),
            key_name: args.kms_key.clone(),
            shown_bucket: bucket.to_owned(),
        })
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
}

fn checks(encryption: RequiredEncryption, args: &StoreArgs) -> Checks {
    let mut checks = Checks::new(encryption);
    checks.replicas.clone_from(&args.replica);
    checks
}

fn policy(args: &StoreArgs) -> RetryPolicy {
    RetryPolicy::with_timeout(Duration::from_secs(args.timeout))
}

/// The key that is demanded. An alias costs one look-up, and does not stop who may move it.
async fn pin(keys: &KmsKeys, name: &str) -> Result<KeyPin, CliError> {
    if let Ok(pin) = name.parse() {
        return Ok(pin);
    }
    let Encryption::Kms(arn) = keys.resolve(name).await? else {
        return Err(CliError::new(
            Status::Failure,
            format!("KMS answered no key for {name}"),
        ));
    };
    arn.parse()
        .map_err(|_| CliError::new(Status::Failure, format!("KMS answered {arn}, which is no key's ARN")))
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
fn identities() -> Result<PathBuf, CliError> {
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
