//! The contract, `microsecrets.toml`: found, read, and put where the command line and the environment say nothing.

use std::path::Path;
use std::sync::Arc;

use microsecrets::contract::{Contract, FILE_NAME};
use microsecrets::name::ServiceName;

use crate::args::{Bucket, StoreArgs};
use crate::cli::Command;
use crate::error::CliError;
use crate::ui;

/// Whose demands a command makes.
enum Scope<'a> {
    /// Those of the service, which the contract may name.
    Service(&'a mut Option<ServiceName>),
    /// Nobody's: only the places in a contract count.
    Places,
}

impl Command {
    /// The command with what its contract says.
    pub(crate) fn with_contract(mut self) -> Result<Self, CliError> {
        let (store, mut scope) = match &mut self {
            Self::Check(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Delete(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::Diff(args) => {
                args.other_store = other(&args.store, args.with.as_ref())?;
                (&mut args.store, Scope::Service(&mut args.service.service))
            }
            Self::Doctor(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Download(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Edit(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Get(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::History(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::List(args) if args.service.is_none() => (&mut args.store, Scope::Places),
            Self::List(args) => (&mut args.store, Scope::Service(&mut args.service)),
            Self::Migrate(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Policy(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Promote(args) => {
                let target = args.target_store();
                args.target = other(&target, Some(&args.to.service))?;
                (&mut args.store, Scope::Service(&mut args.item.service.service))
            }
            Self::Prune(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::ReSign(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::Rollback(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::Set(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Setup(args) if args.bucket_only => (&mut args.store, Scope::Places),
            Self::Setup(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Show(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::SigningKey(args) => {
                let (store, service) = args.parts();
                (store, Scope::Service(service))
            }
            Self::Unset(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Upload(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::Verify(args) => (&mut args.store, Scope::Service(&mut args.item.service.service)),
            Self::WhoAmI(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
            Self::WithEnv(args) => (&mut args.store, Scope::Service(&mut args.service.service)),
        };
        if let Some(contract) = read(store)? {
            apply(&contract, store, &mut scope)?;
        }
        match &mut self {
            Self::Diff(args) => beside(args.other_store.as_mut(), &args.store),
            Self::Promote(args) => beside(args.target.as_mut(), &args.store),
            _ => {}
        }
        Ok(self)
    }
}

/// The store of another service, with what the contract says of that one.
fn other(store: &StoreArgs, service: Option<&ServiceName>) -> Result<Option<StoreArgs>, CliError> {
    let Some(service) = service else { return Ok(None) };
    let mut store = store.clone();
    if let Some(contract) = read(&store)? {
        apply(&contract, &mut store, &mut Scope::Service(&mut Some(service.clone())))?;
    }
    Ok(Some(store))
}

/// The other service is where this one is, unless something says another place.
fn beside(other: Option<&mut StoreArgs>, store: &StoreArgs) {
    let Some(other) = other else { return };
    other.region = other.region.take().or_else(|| store.region.clone());
    other.profile = other.profile.take().or_else(|| store.profile.clone());
    if other.bucket.is_none() {
        other.bucket.clone_from(&store.bucket);
        other.bucket_owner = other.bucket_owner.take().or_else(|| store.bucket_owner.clone());
    }
}

/// The contract that the command line names, or that lies here.
fn read(store: &StoreArgs) -> Result<Option<Contract>, CliError> {
    let path = match &store.config {
        Some(path) => path,
        // Whatever lies there by that name: what cannot be used is no reason to go on without it.
        None if Path::new(FILE_NAME).symlink_metadata().is_ok() => Path::new(FILE_NAME),
        None => return Ok(None),
    };
    Ok(Some(Contract::read(path)?))
}

fn apply(contract: &Contract, store: &mut StoreArgs, scope: &mut Scope<'_>) -> Result<(), CliError> {
    let verbose = store.verbose || store.debug;
    let path = ui::shown_path(&contract.path);
    if let Scope::Service(service) = scope {
        if service.is_none() {
            service.clone_from(&contract.service);
        }
        if let Some(named) = service.as_ref().filter(|named| !contract.covers(named)) {
            if verbose {
                ui::note(format_args!(
                    "the contract {path} is for another service than {named}, and not used"
                ));
            }
            return Ok(());
        }
    }
    if verbose {
        ui::note(format_args!("the contract is {path}"));
    }
    apply_places(contract, store)?;
    if matches!(scope, Scope::Places) {
        return Ok(());
    }
    store.kms_key = store.kms_key.take().or_else(|| contract.kms_key.clone());
    store.min_version = store.min_version.max(contract.min_version);
    if store.replica.is_empty() {
        store.replica.clone_from(&contract.replicas);
    }
    store.contract = Some(Arc::new(contract.clone()));
    Ok(())
}

/// Where the contract says that things are.
fn apply_places(contract: &Contract, store: &mut StoreArgs) -> Result<(), CliError> {
    store.region = store.region.take().or_else(|| contract.region.clone());
    store.profile = store.profile.take().or_else(|| contract.aws_profile.clone());
    let bucket = contract.bucket.as_ref().map(|bucket| bucket.parse()).transpose();
    let bucket = bucket.map_err(|why| {
        let path = ui::shown_path(&contract.path);
        CliError::usage(format!("the contract {path} names a bucket that cannot be: {why}"))
    })?;
    let bucket = bucket.map(|bucket| match bucket {
        Bucket::Folder(folder) => Bucket::Folder(contract.path.with_file_name(folder)),
        bucket => bucket,
    });
    // The owner is that bucket's.
    let is_another = store.bucket.is_some() && bucket.is_some() && store.bucket != bucket;
    if store.bucket_owner.is_none() && !is_another {
        store.bucket_owner.clone_from(&contract.bucket_owner);
    }
    store.bucket = store.bucket.take().or(bucket);
    Ok(())
}
