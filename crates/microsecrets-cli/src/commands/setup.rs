//! `setup`: bucket, keys and rights, in one command that can be run again at any time.

use std::fs;
use std::path::Path;

use clap::Args;
use microsecrets::contract::{Contract, FILE_NAME};
use microsecrets::item::{Access, items_of, services};
use microsecrets::layout::Item;
use microsecrets::setup::cloud::{Caller, Cloud, KeyPurpose};
use microsecrets::setup::{BucketName, Done, Migration, Plan, ServiceWish, Setup, SetupFailure, Step, Wish};
use microsecrets::store::{ErrorKind, Store, StoreError};
use microsecrets::trust::{Checks, RequiredEncryption, VerifyKey};

use crate::args::{Bucket, ServiceArgs, StoreArgs};
use crate::commands::policy::{RoleArgs, bucket_name, refused};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::ui;
use crate::ui::confirmed;

const DETAILS: &str = "\
Shows what there is and what it would create or change, asks, and does it. Run again, it only repairs: who may use a key \
already still may. In the end it writes microsecrets.toml with the keys' ARNs, and prints it.

The bucket: versioning, no public access, object ownership enforced, default encryption SSE-S3, old versions kept 90 days, \
a policy that denies what nobody shall do (no TLS, other accounts, overwriting versions). The service: a KMS key that only \
its readers and writers can use, through S3, for the service's objects.

Examples:
  microsecrets setup -b my-bucket --bucket-only
  microsecrets setup -b my-bucket -s api --reader arn:aws:iam::111122223333:role/api --writer arn:aws:iam::111122223333:role/deploy";

/// Set up a bucket, and a service in it: keys, and who may use them
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Set up only the bucket
    #[arg(long)]
    pub(crate) bucket_only: bool,
    /// Make the bucket in the account's own namespace: BUCKET-ACCOUNT-REGION-an, which nobody else can ever have
    #[arg(long)]
    account_regional: bool,
    #[command(flatten)]
    roles: RoleArgs,
    /// Show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Sets up.
pub(crate) async fn run(args: &SetupArgs) -> Result<(), CliError> {
    if let Some(Bucket::Folder(_)) = &args.store.bucket {
        return folder(args).await;
    }
    let service = match args.bucket_only {
        true => None,
        false => Some(args.service.named()?.clone()),
    };
    let cloud = Opened::cloud(&args.store).await?;
    let caller = cloud.caller().await?;
    let bucket = full_name(args, &cloud, &caller)?;
    let mut wish = Wish::bucket(bucket);
    wish.account_regional = args.account_regional;
    wish.migration = migration(args, &wish.bucket, &cloud, &caller).await?;
    wish.service = service.map(|service| {
        let mut wish = ServiceWish::new(service);
        wish.readers.clone_from(&args.roles.reader);
        wish.writers.clone_from(&args.roles.writer);
        wish.admins.clone_from(&args.roles.admin);
        wish.signing = args.roles.signing;
        wish
    });
    let setup = Setup::new(&cloud, &caller, &wish).map_err(refused)?;
    let plan = setup
        .plan()
        .await
        .map_err(|error| failed(error, "look at what there is"))?;
    show(&plan, &caller, &cloud, &args.roles);
    if args.dry_run {
        ui::note("nothing was changed");
        return Ok(());
    }
    if !plan.steps.is_empty() {
        confirmed(args.yes, &format!("Do that in the account {}?", caller.account))?;
    }
    let done = setup
        .carry_out(&plan, |step| ui::tell(format_args!("done: {step}")))
        .await;
    let done = done.map_err(|error| {
        failed(error, "set up all of it").hint_unless_any("run it again: it goes on where it stopped")
    })?;
    finish(&wish, &done, &cloud, &caller).await
}

/// The bucket's whole name.
fn full_name(args: &SetupArgs, cloud: &Cloud, caller: &Caller) -> Result<BucketName, CliError> {
    let name = bucket_name(&args.store)?;
    let own = format!("-{}-{}-an", caller.account, cloud.region());
    match args.account_regional && !name.as_str().ends_with(&own) {
        true => format!("{}{own}", name.as_str()).parse().map_err(refused),
        false => Ok(name),
    }
}

/// Whether 0.3.4 may still write there: no head is there yet, or it says so.
async fn migration(
    args: &SetupArgs,
    bucket: &BucketName,
    cloud: &Cloud,
    caller: &Caller,
) -> Result<Migration, CliError> {
    if cloud.bucket_region(bucket.as_str(), &caller.account).await?.is_none() {
        return Ok(Migration::No);
    }
    let mut store = args.store.clone();
    store.bucket = Some(Bucket::S3(bucket.as_str().to_owned()));
    store.kms_key = None;
    store.contract = None;
    store.verify_key = Vec::new();
    let opened = Opened::open(&store, Purpose::Read).await?;
    match in_migration(&*opened.store).await {
        Ok(items) if items.is_empty() => Ok(Migration::No),
        Ok(items) => Ok(Migration::Of(items)),
        Err(error) if matches!(error.kind, ErrorKind::Denied(_)) => Ok(Migration::Unknown),
        Err(error) => Err(error.into()),
    }
}

async fn in_migration(store: &dyn Store) -> Result<Vec<String>, StoreError> {
    let checks = Checks::new(RequiredEncryption::Kms(None));
    let mut found = Vec::new();
    for service in services(store).await? {
        for item in items_of(store, &service).await? {
            if may_be_written_by_0_3_4(store, &checks, &item).await? {
                found.push(item.to_string());
            }
        }
    }
    Ok(found)
}

async fn may_be_written_by_0_3_4(store: &dyn Store, checks: &Checks, item: &Item) -> Result<bool, StoreError> {
    let access = Access { store, checks, item };
    match access.head_record().await {
        Ok(record) => Ok(record.is_none_or(|record| record.migration)),
        Err(microsecrets::item::ItemError::Store(error)) => Err(error),
        Err(microsecrets::item::ItemError::DeniedOrAbsent { source, .. }) => Err(source),
        // A head of ours, whatever is wrong with it: `doctor` says.
        Err(_) => Ok(false),
    }
}

fn show(plan: &Plan, caller: &Caller, cloud: &Cloud, roles: &RoleArgs) {
    ui::tell(format_args!("as {} in {}", caller.arn, cloud.region()));
    plan.kept
        .iter()
        .for_each(|kept| ui::tell(format_args!("  ok      {kept}")));
    plan.left
        .iter()
        .for_each(|left| ui::tell(format_args!("  left    {left}")));
    plan.steps
        .iter()
        .for_each(|step| ui::tell(format_args!("  to do   {step}")));
    if plan.steps.is_empty() {
        ui::note("there is nothing to do");
    }
    if plan.steps.contains(&Step::CreateKey(KeyPurpose::Encrypt)) && roles.reader.is_empty() && roles.writer.is_empty()
    {
        ui::warn("nobody will be able to use the key, nor you: say who may with --reader and --writer, now or later");
    }
}

fn failed(error: SetupFailure, doing: &str) -> CliError {
    match error {
        SetupFailure::Store(error) => CliError::from(error).context_for_store(format!("cannot {doing}")),
        SetupFailure::Policy(error) => refused(error),
        error @ SetupFailure::OtherRegion { .. } => {
            CliError::usage(error.to_string()).hint("say the bucket's region with -r")
        }
        error @ SetupFailure::Key { .. } => CliError::new(Status::Denied, error.to_string())
            .hint("enable it, cancel its deletion, or give the alias to another key, in KMS"),
        error => CliError::usage(error.to_string()).hint("a service that is set up has no dot in its name"),
    }
}

/// Says what there is now, as a contract.
async fn finish(wish: &Wish, done: &Done, cloud: &Cloud, caller: &Caller) -> Result<(), CliError> {
    for arn in &done.unused {
        ui::warn(format_args!(
            "another set-up was faster, and {arn} is not used: aws kms schedule-key-deletion --key-id {arn}"
        ));
    }
    let Some(service) = &wish.service else { return Ok(()) };
    let mut lines = vec![
        ("bucket", quoted(wish.bucket.as_str())),
        ("service", quoted(service.service.as_str())),
        ("region", quoted(cloud.region())),
        ("bucket-owner", quoted(&caller.account)),
    ];
    lines.extend(done.key.as_deref().map(|arn| ("kms-key", quoted(arn))));
    if let Some(arn) = &done.signing_key {
        let key = cloud.public_key(arn).await?;
        let key = VerifyKey::from_spki(&key)
            .map_err(|error| CliError::new(Status::Failure, "KMS answered no public key").caused_by(&error))?;
        lines.push(("verify-keys", format!("[{}]", quoted(&key.to_base64()))));
        lines.push(("sign-with", quoted(arn)));
    }
    contract(&lines)?;
    if done.signing_key.is_some() {
        ui::note("what is published already has no signature: `microsecrets re-sign --adopt` signs it");
    }
    Ok(())
}

/// A string of TOML. Nothing in these needs an escape.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Prints the contract, and writes it where there is none.
fn contract(lines: &[(&str, String)]) -> Result<(), CliError> {
    let text: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let path = Path::new(FILE_NAME);
    ui::print(text.as_bytes())?;
    let failed = |error: std::io::Error| {
        CliError::new(Status::Failure, format!("cannot write {FILE_NAME}"))
            .caused_by(&error)
            .hint("everything is set up; put what was printed where the contract shall be")
    };
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            std::io::Write::write_all(&mut file, text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed)?;
            ui::note(format_args!("wrote {FILE_NAME}; keep it beside the code"));
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let existing = fs::read_to_string(path).map_err(failed)?;
            let says =
                |(key, value): &(&str, String)| existing.lines().any(|line| line.trim() == format!("{key} = {value}"));
            let missing: Vec<&str> = lines.iter().filter(|line| !says(line)).map(|(key, _)| *key).collect();
            match missing.is_empty() && Contract::read(path).is_ok() {
                true => ui::note(format_args!("{FILE_NAME} says that already")),
                false => ui::warn(format_args!(
                    "{FILE_NAME} is there already and was left as it is; it does not say the same of: {}",
                    missing.join(", ")
                )),
            }
            Ok(())
        }
        Err(error) => Err(failed(error)),
    }
}

/// A folder needs itself, an identity, and a key that signs.
async fn folder(args: &SetupArgs) -> Result<(), CliError> {
    if args.dry_run {
        ui::tell("  to do   make the folder a store, with an identity and a key that signs, unless it is one");
        ui::note("nothing was changed");
        return Ok(());
    }
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let Some(keys) = &opened.folder_keys else { return Ok(()) };
    let made = keys.create_signing_key()?;
    let path = ui::shown_path(keys.signing_key_path());
    let identity = path.replace(".signing-key.pem", ".age-identity");
    ui::tell(format_args!("  ok      {} is a store", opened.shown_bucket));
    ui::tell(format_args!("  ok      {identity} opens it"));
    ui::tell(format_args!("  {}    {path} signs", if made { "made" } else { "ok  " }));
    ui::note(
        "back up both files: without the first the folder is noise, without the second nobody signs what readers believe",
    );
    let mut lines = vec![("bucket", quoted(&opened.shown_bucket))];
    lines.extend(
        args.service
            .service
            .as_ref()
            .map(|service| ("service", quoted(service.as_str()))),
    );
    let key = VerifyKey::from_spki(&opened.keys.public_key("").await?)
        .map_err(|error| CliError::new(Status::Failure, "there is no public key").caused_by(&error))?;
    lines.push(("verify-keys", format!("[{}]", quoted(&key.to_base64()))));
    lines.push(("sign-with", quoted("the folder's signing key")));
    contract(&lines)
}
