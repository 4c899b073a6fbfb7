//! `show`: one version's facts and the names of its variables.

use clap::Args;
use microsecrets::document::Variables;
use microsecrets::item::{Facts, VersionContent};
use microsecrets::layout::Item;
use microsecrets::secret::SecretString;
use microsecrets::text::{escaped, shown};

use crate::args::{AtArgs, Format, ItemArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::CliError;
use crate::{exec, ui, versions};

/// Show a version: its facts, and the names of its variables
#[derive(Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) item: ItemArgs,
    #[command(flatten)]
    at: AtArgs,
    /// Show the values as well
    #[arg(long)]
    values: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints the version.
pub(crate) async fn run(args: &ShowArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let item = args.item.item()?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let version = versions::read_past(&opened, &item, &args.at.at).await?;
    ui::notes(&version.notes);
    let variables = match &version.content {
        VersionContent::Environment(document) => Some(&document.variables),
        _ => None,
    };
    match args.format {
        Format::Json => ui::print_line(json(&item, &version.facts, variables, args.values)),
        Format::Text => {
            let verified = opened.checks.demand_signatures();
            print(&item, &version.facts, variables, args.values, verified)
        }
    }
}

fn print(
    item: &Item,
    facts: &Facts,
    variables: Option<&Variables>,
    values: bool,
    verified: bool,
) -> Result<(), CliError> {
    let record = facts.entry.as_ref().map(|entry| entry.record());
    let mut lines: Vec<(&str, String)> = vec![
        ("item", item.to_string()),
        (
            "version",
            facts
                .number()
                .map_or_else(|| "-".to_owned(), |number| number.to_string()),
        ),
        ("time", facts.name.second().to_string()),
        ("checksum", facts.name.checksum().to_string()),
        ("path", facts.key.clone()),
        ("size", facts.size.to_string()),
        ("encryption", facts.encryption.to_string()),
    ];
    if let Some(record) = record {
        lines.push(("kind", record.kind.to_string()));
        lines.extend(record.user.as_deref().map(|user| ("by", shown(user))));
        lines.extend(record.message.as_deref().map(|message| ("message", shown(message))));
        lines.extend(record.mode.map(|mode| ("mode", format!("{mode:04o}"))));
        lines.extend(record.expires.map(|at| ("expires", at.to_string())));
        let remark = if verified {
            ""
        } else {
            " (not verified: no key is pinned)"
        };
        lines.extend(record.signer.map(|signer| ("signer", format!("{signer}{remark}"))));
    }
    let rows: Vec<_> = lines
        .into_iter()
        .map(|(name, value)| vec![format!("{name}:"), value])
        .collect();
    ui::print(ui::table(&rows).as_bytes())?;
    for (position, (name, value)) in variables.iter().flat_map(|variables| variables.iter()).enumerate() {
        let name = ui::variable_at(name, position);
        match values {
            true => ui::print_line(zeroize::Zeroizing::new(format!("  {name}={}", escaped(value.expose()))).as_str())?,
            false => ui::print_line(format_args!("  {name}"))?,
        }
    }
    Ok(())
}

fn json(item: &Item, facts: &Facts, variables: Option<&Variables>, values: bool) -> serde_json::Value {
    let record = facts.entry.as_ref().map(|entry| entry.record());
    let value = |value: &SecretString| match values {
        true => serde_json::Value::from(value.expose()),
        false => serde_json::Value::Null,
    };
    let variables = variables.map(|variables| {
        let variables = variables.iter().map(|(name, text)| (name.to_owned(), value(text)));
        serde_json::Value::Object(variables.collect())
    });
    serde_json::json!({
        "item": item.kind().to_string(),
        "version": facts.number().map(|number| number.get()),
        "name": facts.name.to_string(),
        "time": facts.name.second().to_string(),
        "checksum": facts.name.checksum().to_string(),
        "path": facts.key,
        "size": facts.size,
        "encryption": facts.encryption.to_string(),
        "kind": record.map(|record| record.kind.to_string()),
        "user": record.and_then(|record| record.user.clone()),
        "message": record.and_then(|record| record.message.clone()),
        "mode": record.and_then(|record| record.mode).map(|mode| format!("{mode:04o}")),
        "expires": record.and_then(|record| record.expires).map(|at| at.to_string()),
        "signer": record.and_then(|record| record.signer).map(|signer| signer.to_string()),
        "variables": variables,
    })
}
