//! `whoami`: who is asking, and what would be worked on.

use clap::Args;
use microsecrets::setup::cloud::{Caller, KeyFacts, KeyPurpose};
use microsecrets::store::StoreError;
use microsecrets::text::shown;
use microsecrets::time::Timestamp;

use crate::args::{Bucket, Format, ServiceArgs, StoreArgs};
use crate::config::Opened;
use crate::error::CliError;
use crate::ui;

/// Show whose credentials are used, and which bucket, service and key
#[derive(Args)]
pub(crate) struct WhoAmIArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints it. What is not said is left out.
pub(crate) async fn run(args: &WhoAmIArgs) -> Result<(), CliError> {
    let service = args.service.service.as_ref();
    let mut lines: Vec<(&str, String)> = Vec::new();
    if let Some(Bucket::Folder(folder)) = &args.store.bucket {
        lines.push(("user", crate::user::name_at_host()));
        lines.push(("bucket", format!("file:{}", folder.display())));
        lines.extend(service.map(|service| ("service", service.to_string())));
        return print(lines, args.format);
    }
    let cloud = Opened::cloud(&args.store).await?;
    let failed =
        |error: StoreError| CliError::from(error).context_for_store("cannot find out whose credentials these are");
    let caller = cloud.caller().await.map_err(failed)?;
    lines.extend(of_caller(&caller));
    lines.push(("region", cloud.region().to_owned()));
    if let Some(Bucket::S3(bucket)) = &args.store.bucket {
        lines.push(("bucket", bucket.clone()));
    }
    if let Some(service) = service {
        lines.push(("service", service.to_string()));
        let alias = args
            .store
            .kms_key
            .clone()
            .or_else(|| KeyPurpose::Encrypt.alias(service));
        if let Some(alias) = alias {
            lines.push(("key", key(&alias, cloud.key(&alias, KeyPurpose::Encrypt).await)));
        }
    }
    print(lines, args.format)
}

fn of_caller(caller: &Caller) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("account", caller.account.clone()),
        ("arn", caller.arn.clone()),
        ("provider", caller.provider.to_owned()),
    ];
    let expires = caller.expires.and_then(Timestamp::from_unix);
    lines.extend(expires.map(|at| ("expires", at.to_string())));
    lines
}

/// A key's ARN, or why it is not known; it does not matter for the rest.
fn key(alias: &str, found: Result<Option<KeyFacts>, StoreError>) -> String {
    match found {
        Ok(Some(key)) if key.arn == alias => key.arn,
        Ok(Some(key)) => format!("{} ({})", key.arn, shown(alias)),
        Ok(None) => format!("{} (there is no such key)", shown(alias)),
        Err(error) => format!("{} ({error})", shown(alias)),
    }
}

fn print(lines: Vec<(&str, String)>, format: Format) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let fields = lines.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
            ui::print_line(serde_json::Value::Object(fields.collect()))
        }
        Format::Text => {
            let rows: Vec<_> = lines
                .into_iter()
                .map(|(name, value)| vec![format!("{name}:"), shown(&value)])
                .collect();
            ui::print(ui::table(&rows).as_bytes())
        }
    }
}
