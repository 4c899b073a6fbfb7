//! `promote`: publishes a version's content for another service, or in another bucket.

use std::str::FromStr;

use clap::Args;
use microsecrets::item::Base;
use microsecrets::layout::Item;
use microsecrets::name::{NameError, ServiceName};
use microsecrets::record::ChangeKind;

use crate::args::{AtArgs, Bucket, ItemArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::publish::{Again, PublishArgs, reference};
use crate::{exec, signing, ui};

const DETAILS: &str = "\
The content is read and verified as the one service's, and published as a new version of the other, under its key.

Example:
  microsecrets promote -b my-bucket -s api-staging --at 12 --to api";

/// Publish a version's content for another service, under that service's key
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    at: AtArgs,
    /// The service to publish it for, and the bucket if it is another one
    #[arg(long, value_name = "SERVICE[@BUCKET]")]
    pub(crate) to: Target,
    /// KMS key of the other service, by ARN, id or alias [default: alias/microsecrets-SERVICE]
    #[arg(long, value_name = "KEY")]
    to_kms_key: Option<String>,
    /// Account that must own the other bucket
    #[arg(long, value_name = "ACCOUNT", value_parser = crate::args::account)]
    to_bucket_owner: Option<String>,
    /// Believe, of what is replaced, only what is signed with this key, and sign for its readers [default: --verify-key]
    #[arg(long, value_name = "FILE|BASE64", value_delimiter = ',')]
    to_verify_key: Vec<String>,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The other service's store, with what the contract says of that service.
    #[arg(skip)]
    pub(crate) target: Option<StoreArgs>,
}

/// Where to publish.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    bucket: Option<Bucket>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, bucket) = text
            .split_once('@')
            .map_or((text, None), |(service, bucket)| (service, Some(bucket)));
        let service = service.parse().map_err(|error: NameError| error.to_string())?;
        let bucket = bucket.map(str::parse).transpose()?;
        Ok(Self { service, bucket })
    }
}

/// Promotes.
pub(crate) async fn run(args: &PromoteArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let from = args.item.service.named()?;
    let item = args.item.item()?;
    let target_item = Item::new(args.to.service.clone(), item.kind().clone());
    let target_store = args.target.clone().unwrap_or_else(|| args.target_store());
    if target_item == item && target_store.bucket == args.store.bucket {
        return Err(CliError::usage("a version is promoted to another service or bucket")
            .hint("`microsecrets rollback VERSION` makes an old version of the same item current again"));
    }
    let source = Opened::open(&args.store, Purpose::Read).await?;
    let version = signing::source(&source, &item, &args.at.at, &args.publish.sign, args.publish.yes).await?;
    ui::notes(&version.notes);
    let kind = ChangeKind::Promote(from.clone(), reference(&version));
    let target = Opened::open(&target_store, Purpose::Write).await?;
    let again = Again::of(version).await?;
    let decide = |_: &Base<'_>| Ok(args.publish.change(kind.clone(), again.content()));
    let published = args.publish.write(&target, &target_item, "publish", decide).await?;
    let done = format!("Successfully promoted to {}:", args.to.service);
    args.publish.print(&published, &done)
}

impl PromoteArgs {
    /// The other service has a key of its own, and the other bucket an owner: what is demanded of the source is not it.
    pub(crate) fn target_store(&self) -> StoreArgs {
        let mut store = self.store.clone();
        store.kms_key.clone_from(&self.to_kms_key);
        store.min_version = None;
        if let Some(bucket) = &self.to.bucket {
            store.bucket = Some(bucket.clone());
            store.bucket_owner = None;
        }
        if self.to_bucket_owner.is_some() {
            store.bucket_owner.clone_from(&self.to_bucket_owner);
        }
        if !self.to_verify_key.is_empty() {
            store.verify_key.clone_from(&self.to_verify_key);
        }
        store
    }
}
