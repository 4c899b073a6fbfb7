//! `prune`: removes the bytes of old versions. Their records stay.

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::item::PrunePolicy;
use microsecrets::name::Number;
use microsecrets::record::Record;
use microsecrets::time::Timestamp;

use crate::args::{Format, ItemArgs, StoreArgs, age, number};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::ui;
use crate::ui::confirmed;

const DETAILS: &str = "\
The records stay, so that the history still says what there was. The current version is never touched, nor what 0.3.4 \
wrote and nothing of ours has taken over.

Examples:
  microsecrets prune -b my-bucket -s api --keep 20 --older-than 90d
  microsecrets prune -b my-bucket -s api --number 7 --purge";

/// Remove the bytes of old versions, never the current one's
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    /// Keep the newest N versions
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    keep: Option<u64>,
    /// Keep what is not older than this: 90d, 12h, 30m, 60s
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<i64>,
    /// Remove only this version's bytes: it is revoked
    #[arg(long, value_name = "N", value_parser = number, conflicts_with_all = ["keep", "older_than"])]
    number: Option<Number>,
    /// Keep the version with this checksum
    #[arg(long, value_name = "CHECKSUM")]
    protect: Vec<Checksum>,
    /// Also remove what a bucket with versioning still holds of them, for good
    #[arg(long)]
    purge: bool,
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prunes.
pub(crate) async fn run(args: &PruneArgs) -> Result<(), CliError> {
    if args.keep.is_none() && args.older_than.is_none() && args.number.is_none() {
        return Err(CliError::usage("nothing says which versions").hint(
            "say --keep N for the newest that stay, --older-than 90d for the age of those that go, or --number N for one",
        ));
    }
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let access = opened.access(&item);
    let failed = |error| CliError::from(error).context_for_store(format!("cannot prune the {item}"));
    let mut policy = PrunePolicy::default();
    policy.keep = args.keep;
    policy.older_than = args.older_than.map(|age| Timestamp::now().plus(-age));
    policy.protect.clone_from(&args.protect);
    policy.only = args.number;
    policy.removed_too = args.purge;
    let records = access.prunable(&policy).await.map_err(failed)?;
    if records.is_empty() {
        ui::note(format_args!("no version of the {item} is to be removed"));
        return if args.format == Format::Json {
            ui::print_line("[]")
        } else {
            Ok(())
        };
    }
    print(&records, args)?;
    if args.dry_run {
        ui::note("nothing was removed");
        return Ok(());
    }
    confirmed(
        args.yes,
        &format!("Remove the bytes of {} of the {item}?", counted(records.len())),
    )?;
    let mut still_held = false;
    for record in &records {
        still_held |= access.remove_bytes(record).await.map_err(failed)?;
        if args.purge {
            access.purge_bytes(record).await.map_err(failed)?;
        }
    }
    if still_held && !args.purge {
        ui::warn("the bucket has versioning and still holds the removed bytes; --purge removes them for good");
    }
    ui::note(format_args!("removed the bytes of {}", counted(records.len())));
    Ok(())
}

fn print(records: &[Record], args: &PruneArgs) -> Result<(), CliError> {
    if args.format == Format::Json {
        let rows: Vec<_> = records
            .iter()
            .map(|record| {
                serde_json::json!({
                    "version": record.number.get(),
                    "time": record.name.second().to_string(),
                    "checksum": record.checksum().to_string(),
                    "size": record.size,
                })
            })
            .collect();
        return ui::print_line(serde_json::Value::from(rows));
    }
    let header = ["VERSION", "TIME", "CHECKSUM", "SIZE"].map(str::to_owned).to_vec();
    let cells = |record: &Record| {
        let time = record.name.second().to_string();
        vec![
            record.number.to_string(),
            time,
            record.checksum().short(),
            record.size.to_string(),
        ]
    };
    let rows: Vec<_> = std::iter::once(header).chain(records.iter().map(cells)).collect();
    ui::print(ui::table(&rows).as_bytes())
}

fn at_least_one(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| "at least 1 version is kept, the current one".to_owned())
}

fn counted(versions: usize) -> String {
    match versions {
        1 => "1 version".to_owned(),
        many => format!("{many} versions"),
    }
}
