//! `get`: one variable's value, exactly.

use clap::Args;
use microsecrets::item::ItemError;
use microsecrets::layout::Item;

use crate::args::{AtArgs, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::fresh::StateArgs;
use crate::{exec, ui, versions};

/// Print one variable's value: its exact bytes, with a newline only on a terminal
#[derive(Args)]
pub(crate) struct GetArgs {
    /// The variable
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints the value.
pub(crate) async fn run(args: &GetArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = Item::environment(args.service.named()?.clone());
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let version = versions::read(&opened, &item, &args.at.at).await;
    let version = args.state.seen(&opened, &item, version).await?;
    ui::notes(&version.notes);
    let document = versions::document(version.content)?;
    let Some(value) = document.variables.value(&args.name) else {
        let name = args.name.clone();
        return Err(ItemError::NoSuchVariable { item, name }.into());
    };
    ui::print(value.expose().as_bytes())?;
    if ui::stdout_is_terminal() {
        ui::print(b"\n")?;
    }
    Ok(())
}
