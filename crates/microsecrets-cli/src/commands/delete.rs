//! `delete`: commits a deletion. It is a version like any other, and `rollback` brings the content back.

use clap::Args;
use microsecrets::item::{Base, Content, Decision};
use microsecrets::record::{ChangeKind, State};

use crate::args::{ItemArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, file_option};
use crate::publish::PublishArgs;
use crate::ui;
use crate::ui::confirmed;

/// Delete an environment or a file; `rollback` brings it back
#[derive(Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    publish: PublishArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Deletes.
pub(crate) async fn run(args: &DeleteArgs) -> Result<(), CliError> {
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    confirmed(args.publish.yes, &format!("Delete the {item}?"))?;
    let mut in_migration = false;
    let decide = |base: &Base<'_>| match base.record() {
        None => Err(opened.absent(&item)),
        Some(record) if record.state == State::Deleted => Ok(Decision::Keep),
        Some(record) => {
            in_migration = record.migration;
            Ok(args.publish.change(ChangeKind::Delete, Content::Deletion))
        }
    };
    let published = args.publish.write(&opened, &item, "delete", decide).await?;
    if in_migration {
        ui::warn("0.3.4 does not know deletions: it keeps starting the last version there is");
    }
    let done = match published.unchanged {
        true => "Nothing changed, it is deleted already:".to_owned(),
        false => {
            let file = file_option(&item);
            format!("Successfully deleted (`microsecrets rollback {file}previous` brings it back):")
        }
    };
    args.publish.print(&published, &done)
}
