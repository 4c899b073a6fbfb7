//! `signing-key`: the key that signs a service's versions, and its public key, which readers pin.

use clap::{Args, Subcommand};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;
use microsecrets::trust::VerifyKey;

use crate::args::{Format, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::ui;

/// Make a key that signs, or print its public key
#[derive(Args)]
pub(crate) struct SigningKeyArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    Create(CreateArgs),
    Export(ExportArgs),
}

/// Make the key that signs for a folder store, beside its identity
#[derive(Args)]
struct CreateArgs {
    #[command(flatten)]
    service: ServiceArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Print the public key in PEM, for --verify-key, and its fingerprint
#[derive(Args)]
struct ExportArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// KMS key by ARN, id or alias [default: alias/microsecrets-signing/SERVICE]
    #[arg(long, value_name = "KEY")]
    sign_with: Option<String>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    store: StoreArgs,
}

impl SigningKeyArgs {
    /// What the contract has a say in.
    pub(crate) fn parts(&mut self) -> (&mut StoreArgs, &mut Option<ServiceName>) {
        match &mut self.action {
            Action::Create(args) => (&mut args.store, &mut args.service.service),
            Action::Export(args) => (&mut args.store, &mut args.service.service),
        }
    }
}

/// Makes a key, or prints it.
pub(crate) async fn run(args: &SigningKeyArgs) -> Result<(), CliError> {
    match &args.action {
        Action::Create(args) => create(args).await,
        Action::Export(args) => export(args).await,
    }
}

async fn create(args: &CreateArgs) -> Result<(), CliError> {
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let Some(keys) = &opened.folder_keys else {
        return Err(CliError::usage("a KMS key is not made by this command").hint(
            "aws kms create-key --key-spec ECC_NIST_P256 --key-usage SIGN_VERIFY, then aws kms create-alias --alias-name alias/microsecrets-signing/SERVICE",
        ));
    };
    let path = ui::shown_path(keys.signing_key_path());
    match keys.create_signing_key()? {
        true => ui::note(format_args!(
            "made {path}; back it up, and pin its public key (`microsecrets signing-key export`)"
        )),
        false => ui::note(format_args!("there is a key already: {path}")),
    }
    Ok(())
}

async fn export(args: &ExportArgs) -> Result<(), CliError> {
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    if opened.folder_keys.is_some() && args.sign_with.is_some() {
        return Err(CliError::usage("a folder has one key that signs").hint("leave out --sign-with"));
    }
    let in_contract = args
        .store
        .contract
        .as_ref()
        .and_then(|contract| contract.sign_with.clone());
    let name = match args.sign_with.clone().or(in_contract) {
        _ if opened.folder_keys.is_some() => String::new(),
        Some(name) => name,
        None => opened.default_signing_key(&Item::environment(args.service.named()?.clone()))?,
    };
    let spki = opened.keys.public_key(&name).await?;
    let key = VerifyKey::from_spki(&spki).map_err(|error| {
        CliError::new(Status::Failure, format!("{name} is no key to sign with"))
            .caused_by(&error)
            .hint("it must be an asymmetric KMS key, ECC_NIST_P256 for SIGN_VERIFY")
    })?;
    match args.format {
        Format::Json => ui::print_line(serde_json::json!({
            "fingerprint": key.fingerprint().to_string(),
            "base64": key.to_base64(),
            "pem": key.to_pem(),
        })),
        Format::Text => {
            ui::print(key.to_pem().as_bytes())?;
            ui::note(format_args!(
                "its fingerprint (SHA-256 of the key in DER) is {}",
                key.fingerprint()
            ));
            Ok(())
        }
    }
}
