//! `list`: services, or the items of one.

use clap::Args;
use microsecrets::item::{Facts, ItemError, Reader, Selector, items_of, services};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;

use crate::args::{Format, StoreArgs};
use crate::config::{self, Opened, Purpose};
use crate::error::CliError;
use crate::ui;

/// List services, or a service's items
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Whose items to list, with number, time and size of the current version
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<ServiceName>,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints the list.
pub(crate) async fn run(args: &ListArgs) -> Result<(), CliError> {
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    match &args.service {
        None => list_services(args, &opened).await,
        Some(service) => list_items(args, &opened, service).await,
    }
}

async fn list_services(args: &ListArgs, opened: &Opened) -> Result<(), CliError> {
    let names: Vec<String> = services(&*opened.store)
        .await?
        .iter()
        .map(ToString::to_string)
        .collect();
    match args.format {
        Format::Json => ui::print_line(serde_json::json!(names)),
        Format::Text => names.iter().try_for_each(ui::print_line),
    }
}

/// The current version of an item, or why there is none.
struct Row {
    item: Item,
    current: Result<Facts, ItemError>,
}

async fn list_items(args: &ListArgs, opened: &Opened, service: &ServiceName) -> Result<(), CliError> {
    let items = items_of(&*opened.store, service).await?;
    if items.is_empty() {
        return Err(config::no_such_service(opened, service));
    }
    let mut rows = Vec::new();
    for item in items {
        let current = Reader::new(opened.access(&item))
            .read(&Selector::Current)
            .await
            .map(|version| version.facts);
        rows.push(Row { item, current });
    }
    match args.format {
        Format::Json => {
            let rows: Vec<_> = rows.iter().map(Row::json).collect();
            ui::print_line(serde_json::json!(rows))
        }
        Format::Text => {
            let header = ["ITEM", "VERSION", "TIME", "SIZE", "CHECKSUM"]
                .map(str::to_owned)
                .to_vec();
            let rows: Vec<_> = std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
            ui::print(ui::table(&rows).as_bytes())
        }
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let item = self.item.kind().to_string();
        match &self.current {
            Ok(facts) => vec![
                item,
                facts
                    .number()
                    .map_or_else(|| "-".to_owned(), |number| number.to_string()),
                facts.name.second().to_string(),
                facts.size.to_string(),
                facts.name.checksum().short(),
            ],
            Err(ItemError::Deleted { number, time, .. }) => {
                vec![item, number.to_string(), time.to_string(), "deleted".to_owned()]
            }
            Err(error) => vec![item, "-".to_owned(), "-".to_owned(), format!("({error})")],
        }
    }

    fn json(&self) -> serde_json::Value {
        let item = self.item.kind().to_string();
        match &self.current {
            Ok(facts) => serde_json::json!({
                "item": item,
                "state": "live",
                "version": facts.number().map(|number| number.get()),
                "time": facts.name.second().to_string(),
                "size": facts.size,
                "checksum": facts.name.checksum().to_string(),
            }),
            Err(ItemError::Deleted { number, time, .. }) => serde_json::json!({
                "item": item, "state": "deleted", "version": number.get(), "time": time.to_string(),
            }),
            Err(error) => serde_json::json!({"item": item, "state": "unreadable", "error": error.to_string()}),
        }
    }
}
