//! `diff`: what differs between two versions, by names.

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::diff::{Change, Difference};
use microsecrets::item::{Facts, VersionSpec};
use microsecrets::layout::Item;
use microsecrets::name::ServiceName;
use microsecrets::secret::SecretString;
use microsecrets::text::escaped;
use zeroize::Zeroizing;

use crate::args::{Format, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::{exec, ui, versions};

const DETAILS: &str = "\
Compares the version before the current one with the current one, unless versions are said: a number, `previous`, \
sha:PREFIX, a checksum, a name, or @TIME for the one that was current then.

Examples:
  microsecrets diff -b my-bucket -s api 11 12
  microsecrets diff -b my-bucket -s api --with api-staging";

/// Show which variables differ between two versions, or two services
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct DiffArgs {
    /// The version to compare [default: previous; with --with: current]
    #[arg(value_name = "A")]
    before: Option<VersionSpec>,
    /// The version to compare it with [default: current]
    #[arg(value_name = "B")]
    after: Option<VersionSpec>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Compare with this service's environment instead
    #[arg(long, value_name = "SERVICE")]
    pub(crate) with: Option<ServiceName>,
    /// Show the values as well
    #[arg(long)]
    values: bool,
    /// End with status 1 when there are differences
    #[arg(long)]
    exit_code: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Where the other service's environment is, and what is demanded of it.
    #[arg(skip)]
    pub(crate) other_store: Option<StoreArgs>,
}

/// Prints the differences.
pub(crate) async fn run(args: &DiffArgs) -> Result<(), CliError> {
    exec::hide_memory();
    let service = args.service.named()?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let other = args.with.as_ref().unwrap_or(service);
    let default = if args.with.is_some() {
        VersionSpec::Current
    } else {
        VersionSpec::Previous
    };
    let (service, other) = (Item::environment(service.clone()), Item::environment(other.clone()));
    let before = versions::environment_past(&opened, &service, args.before.as_ref().unwrap_or(&default)).await?;
    let other_opened = match &args.other_store {
        Some(store) => Opened::open(store, Purpose::Read).await?,
        None => opened,
    };
    let after = versions::environment_past(
        &other_opened,
        &other,
        args.after.as_ref().unwrap_or(&VersionSpec::Current),
    )
    .await?;
    let difference = Difference::between(&before.variables, &after.variables);
    print(&difference, args.format, args.values)?;
    if args.exit_code && !difference.is_empty() {
        return Err(CliError::quiet(Status::Failure));
    }
    Ok(())
}

/// Prints a difference: `+` added, `-` removed, `~` changed.
pub(crate) fn print(difference: &Difference<'_>, format: Format, values: bool) -> Result<(), CliError> {
    if format == Format::Json {
        return print_json(difference, values);
    }
    for (position, (name, change)) in difference.changes().enumerate() {
        let name = ui::variable_at(name, position);
        let shown = |value: &SecretString| match values {
            true => Zeroizing::new(format!("={}", escaped(value.expose()))),
            false => Zeroizing::new(String::new()),
        };
        match change {
            Change::Added(value) => ui::print(format!("+ {name}{}\n", *shown(value)).as_bytes())?,
            Change::Removed(value) => ui::print(format!("- {name}{}\n", *shown(value)).as_bytes())?,
            Change::Changed(before, after) if values => {
                ui::print(format!("- {name}{}\n+ {name}{}\n", *shown(before), *shown(after)).as_bytes())?;
            }
            Change::Changed(..) => ui::print_line(format_args!("~ {name}"))?,
            _ => {}
        }
    }
    Ok(())
}

fn print_json(difference: &Difference<'_>, values: bool) -> Result<(), CliError> {
    let value = |value: &SecretString| match values {
        true => serde_json::Value::from(value.expose()),
        false => serde_json::Value::Null,
    };
    let rows: Vec<_> = difference
        .changes()
        .map(|(name, change)| match change {
            Change::Added(after) => serde_json::json!({"name": name, "change": "added", "after": value(after)}),
            Change::Removed(before) => serde_json::json!({"name": name, "change": "removed", "before": value(before)}),
            Change::Changed(before, after) => {
                serde_json::json!({"name": name, "change": "changed", "before": value(before), "after": value(after)})
            }
            _ => serde_json::Value::Null,
        })
        .collect();
    ui::print_line(serde_json::Value::from(rows))
}

/// Tells a difference by names, on standard error: what is about to change.
pub(crate) fn tell(difference: &Difference<'_>) {
    if difference.is_empty() {
        ui::note("the current version has the same variables");
    }
    for (position, (name, change)) in difference.changes().enumerate() {
        let sign = match change {
            Change::Added(_) => '+',
            Change::Removed(_) => '-',
            _ => '~',
        };
        ui::tell(format_args!("{sign} {}", ui::variable_at(name, position)));
    }
}

/// Prints how a file would change.
pub(crate) fn print_file(before: Option<&Facts>, after: Checksum, size: u64, format: Format) -> Result<(), CliError> {
    let old = before.map(|facts| (facts.name.checksum(), facts.size));
    if format == Format::Json {
        let said =
            |(checksum, size): (Checksum, u64)| serde_json::json!({"checksum": checksum.to_string(), "size": size});
        let change = match old {
            None => "added",
            Some((old, _)) if old == after => "none",
            Some(_) => "changed",
        };
        let row = serde_json::json!({"change": change, "before": old.map(said), "after": said((after, size))});
        return ui::print_line(row);
    }
    match old {
        Some((old, _)) if old == after => Ok(()),
        Some((old, before)) => ui::print_line(format_args!("- {}\n+ {}", one_file(old, before), one_file(after, size))),
        None => ui::print_line(format_args!("+ {}", one_file(after, size))),
    }
}

/// Tells how a file is about to change, on standard error.
pub(crate) fn tell_file(before: Option<&Facts>, after: &Facts) {
    if before.is_some_and(|before| before.name.checksum() == after.name.checksum()) {
        return ui::note("the current version has the same bytes");
    }
    if let Some(before) = before {
        ui::tell(format_args!("- {}", one_file(before.name.checksum(), before.size)));
    }
    ui::tell(format_args!("+ {}", one_file(after.name.checksum(), after.size)));
}

fn one_file(checksum: Checksum, size: u64) -> String {
    format!("{size} bytes, sha256 {checksum}")
}
