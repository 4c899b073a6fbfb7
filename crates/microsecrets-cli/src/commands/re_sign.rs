//! `re-sign`: signs the current version again, with another key or for the first time.

use clap::Args;
use microsecrets::item::Outcome;

use crate::args::{ItemArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::publish::Published;
use crate::signing::SignArgs;
use crate::ui;

const DETAILS: &str = "\
The version keeps its number, content and checksum; what older signatures are worth does not change. Pin both keys with \
--verify-key while readers move from the one to the other.

Example:
  microsecrets re-sign -b my-bucket -s api --sign-with alias/new --verify-key new.pem --verify-key old.pem";

/// Sign the current version again: with a new key, or for the first time (--adopt)
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct ReSignArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    sign: SignArgs,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Signs.
pub(crate) async fn run(args: &ReSignArgs) -> Result<(), CliError> {
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let writer = args.sign.writer(&opened, &item, args.yes).await?;
    if writer.sign_with.is_none() {
        return Err(CliError::usage("no key to sign with is named").hint("say --sign, or --sign-with KEY"));
    }
    let failed = |error| CliError::from(error).context_for_store(format!("cannot sign the {item}"));
    let outcome = writer.re_sign().await.map_err(failed)?;
    if matches!(outcome, Outcome::Kept { entry: None, .. }) {
        return Err(opened.absent(&item).into());
    }
    let published = Published::of(outcome, &item, &opened)?;
    let number = published.entry.record().number;
    match published.unchanged {
        true => ui::note(format_args!(
            "version {number} of the {item} is signed with this key already"
        )),
        false => ui::note(format_args!("version {number} of the {item} is signed")),
    }
    Ok(())
}
