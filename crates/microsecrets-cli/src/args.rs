//! What commands have in common on the command line. The doc comment of each flag is its help.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use microsecrets::checksum::Digest;
use microsecrets::contract::Contract;
use microsecrets::item::{Selector, VersionSpec};
use microsecrets::layout::Item;
use microsecrets::name::{Label, Number, ServiceName, VersionName};

use crate::error::CliError;

/// Where the secrets are, and what is demanded of the store.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// S3 bucket, or file:DIR for a folder on this machine
    #[arg(
        short,
        long,
        env = "MICROSECRETS_BUCKET",
        hide_env_values = true,
        value_name = "BUCKET"
    )]
    pub(crate) bucket: Option<Bucket>,
    /// AWS region [default: what the AWS configuration says, else us-east-1]
    #[arg(
        short,
        long,
        env = "MICROSECRETS_REGION",
        hide_env_values = true,
        value_name = "REGION"
    )]
    pub(crate) region: Option<String>,
    /// AWS profile whose credentials to use
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// URL of an S3-compatible store
    #[arg(long, env = "MICROSECRETS_ENDPOINT", hide_env_values = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Accept an http:// endpoint that is not this machine: everybody on the way can read and change everything
    #[arg(long)]
    pub(crate) insecure_endpoint: bool,
    /// KMS key by ARN or id: demanded of what is read, used for what is written [default of writers:
    /// alias/microsecrets-SERVICE]. An alias can be said too: it costs a request, and whoever may move it decides
    #[arg(long, env = "MICROSECRETS_KMS_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) kms_key: Option<String>,
    /// Account that must own the bucket
    #[arg(long, env = "MICROSECRETS_BUCKET_OWNER", hide_env_values = true, value_name = "ACCOUNT", value_parser = account)]
    pub(crate) bucket_owner: Option<String>,
    /// Server-side encryption, demanded of what is read and used for what is written; AES256 is for S3-compatible
    /// stores without KMS
    #[arg(long, value_name = "KIND", default_value = "aws:kms")]
    pub(crate) sse: Sse,
    /// Also believe what was committed to this bucket: the one that is read is its replica
    #[arg(long, value_name = "BUCKET")]
    pub(crate) replica: Vec<String>,
    /// Believe only what is signed with this key: a public key in a file (PEM) or as base64. Several may be given; one of
    /// them must have signed
    #[arg(
        long,
        env = "MICROSECRETS_VERIFY_KEY",
        hide_env_values = true,
        value_name = "FILE|BASE64",
        value_delimiter = ','
    )]
    pub(crate) verify_key: Vec<String>,
    /// Refuse versions with a smaller number: an older one that was put back
    #[arg(long, env = "MICROSECRETS_MIN_VERSION", hide_env_values = true, value_name = "N", value_parser = number)]
    pub(crate) min_version: Option<Number>,
    /// The contract of the service [default: microsecrets.toml in this folder, if it is there]
    #[arg(long, env = "MICROSECRETS_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The contract, once it was read.
    #[arg(skip)]
    pub(crate) contract: Option<Arc<Contract>>,
    /// Seconds to wait for the store without progress
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: u64,
    /// Use FIPS endpoints
    #[arg(long)]
    pub(crate) fips: bool,
    /// Use dual-stack (IPv6) endpoints
    #[arg(long)]
    pub(crate) dual_stack: bool,
    /// Say what is asked of the store, on standard error
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// The same as --verbose
    #[arg(short, long)]
    pub(crate) debug: bool,
}

/// Whose secrets they are.
#[derive(Args, Clone, Default)]
pub(crate) struct ServiceArgs {
    /// Name of the service
    #[arg(
        short,
        long,
        env = "MICROSECRETS_SERVICE",
        hide_env_values = true,
        value_name = "SERVICE"
    )]
    pub(crate) service: Option<ServiceName>,
}

impl ServiceArgs {
    /// The service that the command line names.
    pub(crate) fn named(&self) -> Result<&ServiceName, CliError> {
        self.service
            .as_ref()
            .ok_or_else(|| CliError::usage("no service is named").hint("say -s SERVICE or set MICROSECRETS_SERVICE"))
    }
}

/// Which item: the environment, or a file.
#[derive(Args, Clone)]
pub(crate) struct ItemArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// The service's file LABEL instead of its environment
    #[arg(short, long, value_name = "LABEL")]
    pub(crate) file: Option<Label>,
}

impl ItemArgs {
    pub(crate) fn item(&self) -> Result<Item, CliError> {
        let service = self.service.named()?.clone();
        Ok(match &self.file {
            Some(label) => Item::file(service, label.clone()),
            None => Item::environment(service),
        })
    }
}

/// Which version.
#[derive(Args, Clone)]
pub(crate) struct AtArgs {
    /// Use this version: a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME for the one that was
    /// current then
    #[arg(long, value_name = "VERSION", default_value = "current", hide_default_value = true)]
    pub(crate) at: VersionSpec,
}

/// Where objects live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Bucket {
    S3(String),
    Folder(PathBuf),
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(folder) = text.strip_prefix("file:") {
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            if folder.starts_with('~') {
                return Err("the shell does not expand ~ there: say file:$HOME/...".to_owned());
            }
            return if folder.is_empty() {
                Err("file: needs a folder".to_owned())
            } else {
                Ok(Self::Folder(folder.into()))
            };
        }
        let name = text.strip_prefix("s3://").unwrap_or(text).trim_end_matches('/');
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if (3..=255).contains(&name.len()) && name.chars().all(allowed) {
            Ok(Self::S3(name.to_owned()))
        } else {
            Err("a bucket's name has 3 to 255 letters, digits, dots and hyphens; a folder is file:DIR".to_owned())
        }
    }
}

pub(crate) fn account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an AWS account is 12 digits".to_owned())
    }
}

/// A version's number.
pub(crate) fn number(text: &str) -> Result<Number, String> {
    text.parse()
        .ok()
        .and_then(Number::new)
        .ok_or_else(|| "a version's number is 1 or more".to_owned())
}

/// A time span, in seconds.
pub(crate) fn age(text: &str) -> Result<i64, String> {
    let wrong = || "an age is a number and one of d, h, m, s: 90d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        'd' => 86_400,
        'h' => 3_600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let count: u32 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    Ok(i64::from(count) * seconds)
}

/// How long a version lives, in seconds.
pub(crate) fn lifetime(text: &str) -> Result<i64, String> {
    match age(text)? {
        0 => Err("a version that nobody could ever read is not published".to_owned()),
        seconds => Ok(seconds),
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
    seconds.ok_or_else(|| "1 to 86400 seconds can be waited for".to_owned())
}

/// Server-side encryption.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Sse {
    // Under a KMS key.
    #[default]
    #[value(name = "aws:kms")]
    Kms,
    // Under the store's own key.
    #[value(name = "AES256")]
    Aes256,
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Format {
    // For people.
    #[default]
    Text,
    // For programs.
    Json,
}

/// A version that must be the one: by checksum, or by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Pin {
    Digest(Digest),
    Name(VersionName),
}

impl Pin {
    /// The version that is pinned; by a digest only when it is the current one, if that is asked for.
    pub(crate) fn selector(&self, current_only: bool) -> Selector {
        match self {
            Self::Digest(digest) if current_only => Selector::CurrentWith(digest.clone()),
            Self::Digest(digest) => Selector::Digest(digest.clone()),
            Self::Name(name) => Selector::Name(name.clone()),
        }
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('.') {
            let name = text.strip_suffix(".json").unwrap_or(text);
            return name.parse().map(Self::Name).map_err(|error| error.to_string());
        }
        text.parse().map(Self::Digest).map_err(|error| error.to_string())
    }
}

/// `NAME[:PATH[:HASH]]`: a file of the service, where to place it, and what it must be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FileSpec {
    pub(crate) label: Label,
    pub(crate) path: Option<PathBuf>,
    pub(crate) pin: Option<Pin>,
}

impl FileSpec {
    pub(crate) fn item(&self, service: &ServiceName) -> Item {
        Item::file(service.clone(), self.label.clone())
    }
}

impl FromStr for FileSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (label, path, hash) = match parts[..] {
            [label] => (label, None, None),
            [label, path] => (label, Some(path), None),
            [label, path, hash] => (label, Some(path), Some(hash)),
            _ => return Err("NAME:PATH:HASH has at most two colons".to_owned()),
        };
        if path == Some("") {
            return Err("the path is empty".to_owned());
        }
        Ok(Self {
            label: label
                .parse()
                .map_err(|error: microsecrets::name::NameError| error.to_string())?,
            path: path.map(PathBuf::from),
            pin: hash.map(str::parse).transpose()?,
        })
    }
}
