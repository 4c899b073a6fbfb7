//! `verify`: whether versions are signed by a pinned key, and whether their records are a chain.

use clap::Args;
use microsecrets::item::VersionContent;
use microsecrets::name::Number;

use crate::args::{AtArgs, Format, ItemArgs, StoreArgs, number};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::{exec, ui, versions};

const DETAILS: &str = "\
One version is verified with its bytes. --all verifies every record up to the current version: that it is signed by a \
pinned key, and that it names the version before it. The oldest one that does not hold is told, and the status is 6.

Examples:
  microsecrets verify -b my-bucket -s api --verify-key signing-key.pem
  microsecrets verify -b my-bucket -s api --verify-key signing-key.pem --all --since 12";

/// Verify the signature of a version, or of the whole history
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    at: AtArgs,
    /// Verify all records, and that they are a chain
    #[arg(long, conflicts_with = "at")]
    all: bool,
    /// Begin with this version: the first that was signed
    #[arg(long, value_name = "N", requires = "all", value_parser = number)]
    since: Option<Number>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Verifies.
pub(crate) async fn run(args: &VerifyArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    if !opened.checks.demand_signatures() {
        return Err(CliError::usage("nothing says whose signature is believed")
            .hint("pin a public key: --verify-key FILE, or `verify-keys` in microsecrets.toml"));
    }
    if args.all {
        return verify_all(args, &opened).await;
    }
    let version = versions::read_past(&opened, &item, &args.at.at).await?;
    ui::notes(&version.notes);
    if let VersionContent::Stream(mut stream) = version.content {
        // Its bytes are right only when the last of them were seen.
        while stream.next().await?.is_some() {}
    }
    let (number, record) = (version.facts.number(), version.facts.entry.as_ref());
    let signer = record
        .and_then(|entry| entry.record().signer)
        .map(|signer| signer.to_string());
    match args.format {
        Format::Json => ui::print_line(serde_json::json!({
            "version": number.map(Number::get),
            "checksum": version.facts.name.checksum().to_string(),
            "signer": signer,
        })),
        Format::Text => {
            let number = number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let by = signer.map_or_else(String::new, |signer| format!(" by {signer}"));
            ui::print_line(format_args!("version {number} of the {item} is signed{by}"))
        }
    }
}

async fn verify_all(args: &VerifyArgs, opened: &Opened) -> Result<(), CliError> {
    let item = args.item.item()?;
    let first = args.since.unwrap_or(Number::FIRST);
    let verified = opened.access(&item).verify_chain(first).await;
    let verified =
        verified.map_err(|error| CliError::from(error).context_for_store(format!("cannot verify the {item}")))?;
    match verified {
        Ok(chain) => match args.format {
            Format::Json => ui::print_line(serde_json::json!({"first": chain.first.get(), "last": chain.last.get()})),
            Format::Text => ui::print_line(format_args!(
                "versions {} to {} of the {item} are signed, and each names the one before it",
                chain.first, chain.last
            )),
        },
        Err(bad) => {
            let message = format!("the history of the {item} does not hold at version {}", bad.number);
            let error = CliError::new(Status::NotTrusted, message).caused_by(&bad.broken);
            let hint = "look who wrote there; versions from before the first signature are left out with --since";
            Err(error.hint(hint))
        }
    }
}
