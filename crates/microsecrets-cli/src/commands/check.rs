//! `check`: whether the current version keeps the contract.

use clap::Args;
use microsecrets::item::VersionSpec;
use microsecrets::layout::Item;

use crate::args::{Format, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status, contract_hint};
use crate::{exec, ui, versions};

const DETAILS: &str = "\
Compares names only, so it can be run where nobody may see a value. Ends with status 6 when the contract is broken.";

/// Check the current environment against its contract, microsecrets.toml
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints what breaks the contract.
pub(crate) async fn run(args: &CheckArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = Item::environment(args.service.named()?.clone());
    let contract = args.store.contract.as_ref();
    let expected = contract
        .and_then(|contract| contract.variables.as_ref())
        .ok_or_else(|| {
            let what = match contract {
                None => format!("there is no contract for the {item}"),
                Some(contract) => format!("the contract {} lists no variables", ui::shown_path(&contract.path)),
            };
            CliError::usage(what)
                .hint("say which variables there must and may be: `require` and `optional` in microsecrets.toml")
        })?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let version = versions::read(&opened, &item, &VersionSpec::Current).await?;
    ui::notes(&version.notes);
    let document = versions::document(version.content)?;
    let breaches = expected.breaches(&document.variables);
    let told: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    match args.format {
        Format::Json => ui::print_line(serde_json::json!({"kept": told.is_empty(), "breaches": told}))?,
        Format::Text => told.iter().try_for_each(ui::print_line)?,
    }
    if breaches.is_empty() {
        ui::note(format_args!("the {item} keeps its contract"));
        return Ok(());
    }
    Err(CliError::new(Status::NotTrusted, format!("the {item} breaks its contract")).hint(contract_hint(&breaches)))
}
