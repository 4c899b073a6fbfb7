//! `migrate`: heads for what 0.3.4 wrote, and the end of the migration.

use clap::Args;
use microsecrets::item::{Base, Decision, OnConflict, Outcome, Writer, items_of};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;

use crate::args::{ServiceArgs, StoreArgs};
use crate::config::{self, Opened, Purpose};
use crate::error::{CliError, Status};
use crate::signing::SignArgs;
use crate::ui;

const DETAILS: &str = "\
Without --apply and --finish it shows what there is. --apply gives each of the service's items a head; from then on \
readers look at the head, and for newer uploads of 0.3.4 as well, until --finish.";

/// Take over what microsecrets 0.3.4 wrote, or end the time in which it may still write
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Give each item that 0.3.4 wrote a head: readers then need two requests instead of four, and one after --finish
    #[arg(long)]
    apply: bool,
    /// End the migration: readers no longer look for uploads of 0.3.4
    #[arg(long, conflicts_with = "apply")]
    finish: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    sign: SignArgs,
    /// Accept another KMS key than the current version's
    #[arg(long)]
    new_key: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Migrates, or shows what that would do.
pub(crate) async fn run(args: &MigrateArgs) -> Result<(), CliError> {
    if args.yes && !args.apply && !args.finish {
        return Err(
            CliError::usage("this also needs --finish").hint("`microsecrets migrate --help` shows what can be said")
        );
    }
    let service = args.service.named()?;
    let purpose = if args.apply || args.finish {
        Purpose::Write
    } else {
        Purpose::Read
    };
    let opened = Opened::open(&args.store, purpose).await?;
    let items = items_of(&*opened.store, service).await?;
    if items.is_empty() {
        return Err(config::no_such_service(&opened, service));
    }
    let mut rows = vec![["ITEM", "HEAD", "LAST WRITE BY 0.3.4"].map(str::to_owned).to_vec()];
    for item in &items {
        rows.push(row(&opened, item).await?);
    }
    ui::print(ui::table(&rows).as_bytes())?;
    match (args.apply, args.finish) {
        (true, _) => apply(args, &opened, &items).await,
        (_, true) => finish(args, &opened, service, &items).await,
        _ => {
            ui::note("nothing was changed; --apply takes over what 0.3.4 wrote, --finish ends the migration");
            Ok(())
        }
    }
}

async fn row(opened: &Opened, item: &Item) -> Result<Vec<String>, CliError> {
    let access = opened.access(item);
    let head = access.head_record().await?;
    let state = match &head {
        None => "none".to_owned(),
        Some(record) if record.migration => format!("version {}, in migration", record.number),
        Some(record) => format!("version {}", record.number),
    };
    let last = access.last_legacy_write().await?;
    let last = last.map_or_else(|| "-".to_owned(), |name| name.second().to_string());
    Ok(vec![item.kind().to_string(), state, last])
}

async fn writer<'a>(args: &MigrateArgs, opened: &'a Opened, item: &'a Item) -> Result<Writer<'a>, CliError> {
    let mut writer = args.sign.writer(opened, item, args.yes).await?;
    writer.new_key = args.new_key;
    Ok(writer)
}

async fn apply(args: &MigrateArgs, opened: &Opened, items: &[Item]) -> Result<(), CliError> {
    for item in items {
        let outcome = writer(args, opened, item)
            .await?
            .write(OnConflict::Report, |_: &Base<'_>| Ok(Decision::Keep))
            .await;
        let outcome = outcome.map_err(|error| failed(error, item))?;
        if let Outcome::Kept {
            entry: Some(entry),
            notes,
        } = outcome
        {
            ui::notes(&notes);
            ui::note(format_args!(
                "{}: version {} is its head",
                item.kind(),
                entry.record().number
            ));
        }
    }
    Ok(())
}

async fn finish(args: &MigrateArgs, opened: &Opened, service: &ServiceName, items: &[Item]) -> Result<(), CliError> {
    if !args.yes
        && !ui::confirm(&format!(
            "End the migration of {service}? Later uploads of 0.3.4 will not be seen."
        ))
    {
        return Err(CliError::new(Status::Failure, "the migration was not ended")
            .hint("say --yes to end it without being asked"));
    }
    for item in items {
        let outcome = writer(args, opened, item)
            .await?
            .finish_migration()
            .await
            .map_err(|error| failed(error, item))?;
        match outcome {
            Outcome::Committed(committed) => {
                ui::notes(&committed.notes);
                ui::note(format_args!("{}: its migration has ended", item.kind()));
            }
            Outcome::Kept { notes, .. } => {
                ui::notes(&notes);
                ui::note(format_args!("{}: it was not in migration", item.kind()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn failed(error: microsecrets::item::ItemError, item: &Item) -> CliError {
    CliError::from(error).context_for_store(format!("cannot migrate the {item}"))
}
