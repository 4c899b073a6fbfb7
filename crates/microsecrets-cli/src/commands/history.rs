//! `history`: what was committed, when, by whom and why.

use clap::Args;
use microsecrets::item::{Presence, Row, Signed};
use microsecrets::text::shown;

use crate::args::{Format, ItemArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::ui;

/// Rows that are asked for at once with --all.
const PAGE: usize = 100;

const DETAILS: &str = "\
Versions that 0.3.4 wrote have a number once they were taken over by a write of ours; before that they are said by \
checksum or time. A version whose bytes were pruned is shown as such.

With --format json, each version is one JSON object on a line of its own.";

/// List an item's versions, newest first
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    /// How many versions to list
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// List all versions
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints the history, a page at a time.
pub(crate) async fn run(args: &HistoryArgs) -> Result<(), CliError> {
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let access = opened.access(&item);
    let mut left = if args.all { usize::MAX } else { usize::from(args.limit) };
    let (mut cursor, mut is_first) = (None, true);
    while left > 0 && (is_first || cursor.is_some()) {
        let page = access.history(cursor, left.min(PAGE)).await.map_err(|error| {
            CliError::from(error).context_for_store(format!("cannot read the history of the {item}"))
        })?;
        match args.format {
            Format::Text => {
                let signed = opened.checks.demand_signatures();
                ui::print(text(&page.rows, is_first, signed).as_bytes())?;
            }
            Format::Json => page.rows.iter().try_for_each(|row| ui::print_line(json(row)))?,
        }
        left -= page.rows.len();
        cursor = page.next;
        is_first = false;
    }
    if cursor.is_some() && args.format == Format::Text {
        ui::note("there are older versions: --limit N or --all shows them");
    }
    Ok(())
}

fn text(rows: &[Row], header: bool, signed: bool) -> String {
    let titles = ["VERSION", "TIME", "CHECKSUM", "SIZE", "KIND", "BY", "SIGNED", "MESSAGE"]
        .map(str::to_owned)
        .to_vec();
    let titles = header.then_some(titles);
    let mut rows: Vec<_> = titles.into_iter().chain(rows.iter().map(cells)).collect();
    if !signed {
        // Nobody's signature is believed, so none is shown.
        rows.iter_mut().for_each(|cells| drop(cells.remove(6)));
    }
    ui::table(&rows)
}

fn cells(row: &Row) -> Vec<String> {
    let dash = || "-".to_owned();
    let record = row.record();
    vec![
        row.number.map_or_else(dash, |number| number.to_string()),
        row.name.as_ref().map_or_else(dash, |name| name.second().to_string()),
        match (&row.name, row.bytes) {
            (Some(name), bytes) if bytes != Presence::Deletion => name.checksum().short(),
            _ => dash(),
        },
        match (row.bytes, row.size) {
            (Presence::Pruned, _) => "pruned".to_owned(),
            (Presence::Deletion, _) | (_, None) => dash(),
            (_, Some(size)) => size.to_string(),
        },
        kind(row),
        record
            .and_then(|record| record.user.as_deref())
            .map_or_else(dash, shown),
        signed(row).to_owned(),
        record
            .and_then(|record| record.message.as_deref())
            .map_or_else(String::new, shown),
    ]
}

fn signed(row: &Row) -> &'static str {
    match row.signed {
        Signed::Verified => "verified",
        Signed::NotVerified => "not verified",
        Signed::Bad => "BAD",
        _ => "no",
    }
}

fn kind(row: &Row) -> String {
    match (row.record(), row.number) {
        (Some(record), _) => record.kind.to_string(),
        (None, Some(_)) => "(record missing)".to_owned(),
        (None, None) => "0.3.4".to_owned(),
    }
}

fn json(row: &Row) -> serde_json::Value {
    let record = row.record();
    serde_json::json!({
        "version": row.number.map(|number| number.get()),
        "name": row.name.as_ref().map(ToString::to_string),
        "time": row.name.as_ref().map(|name| name.second().to_string()),
        "checksum": row.name.as_ref().map(|name| name.checksum().to_string()),
        "size": row.size,
        "bytes": match row.bytes {
            Presence::Current => "current",
            Presence::Deletion => "deletion",
            Presence::Kept => "kept",
            Presence::Pruned => "pruned",
            _ => "unknown",
        },
        "kind": kind(row),
        "signed": signed(row),
        "user": record.and_then(|record| record.user.clone()),
        "message": record.and_then(|record| record.message.clone()),
    })
}
