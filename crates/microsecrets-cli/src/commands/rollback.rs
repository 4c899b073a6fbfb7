//! `rollback`: publishes an old version's content again. The history only grows.

use clap::Args;
use microsecrets::diff::Difference;
use microsecrets::item::{Base, ItemError, Reader, Selector, Version, VersionContent, VersionSpec};
use microsecrets::layout::Item;
use microsecrets::record::ChangeKind;
use microsecrets::trust::Distrust;

use crate::args::{ItemArgs, StoreArgs};
use crate::commands::diff;
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::publish::{Again, PublishArgs, reference};
use crate::ui::confirmed;
use crate::{exec, signing, ui};

const DETAILS: &str = "\
Shows first what changes, by names, and asks. The history only grows: the versions between stay, and a rollback can be \
rolled back.

Examples:
  microsecrets rollback -b my-bucket -s api previous
  microsecrets rollback -b my-bucket -s api @2026-11-23T08:00Z";

/// Make a new version with an old one's content
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct RollbackArgs {
    /// The version: a number, `previous`, sha:PREFIX, a checksum, a name, or @TIME for the one that was current then
    #[arg(value_name = "VERSION")]
    version: VersionSpec,
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Rolls back.
pub(crate) async fn run(args: &RollbackArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let sign = &args.publish.sign;
    let version = signing::source(&opened, &item, &args.version, sign, args.publish.yes).await?;
    let target = reference(&version);
    match show(&opened, &item, &version).await {
        // What is there is shown when it is asked whether to build on it.
        Err(error) if error.is_of_signature() && sign.adopts() => {}
        shown => shown?,
    }
    confirmed(args.publish.yes, &format!("Roll the {item} back to {target}?"))?;
    let again = Again::of(version).await?;
    let kind = ChangeKind::Rollback(target.clone());
    let decide = |_: &Base<'_>| Ok(args.publish.change(kind.clone(), again.content()));
    let published = args.publish.write(&opened, &item, "roll back", decide).await?;
    args.publish
        .print(&published, &format!("Successfully rolled back to {target}:"))
}

/// Shows what the rollback changes, on standard error.
async fn show(opened: &Opened, item: &Item, old: &Version) -> Result<(), CliError> {
    let current = match Reader::new(opened.access(item)).read(&Selector::Current).await {
        Ok(version) => version,
        Err(ItemError::Deleted { number, .. }) => {
            ui::note(format_args!(
                "the {item} was deleted by version {number}, and comes back"
            ));
            return Ok(());
        }
        // It is what is rolled back from, so that it is over is no reason against it.
        Err(ItemError::Distrusted {
            source: Distrust::Expired { at },
            ..
        }) => {
            ui::note(format_args!(
                "the current version expired at {at}, so what changes is not shown"
            ));
            return Ok(());
        }
        Err(error) => return Err(CliError::from(error).context_for_store(format!("cannot read the {item}"))),
    };
    match (&current.content, &old.content) {
        (VersionContent::Environment(before), VersionContent::Environment(after)) => {
            diff::tell(&Difference::between(&before.variables, &after.variables));
        }
        _ => diff::tell_file(Some(&current.facts), &old.facts),
    }
    Ok(())
}
