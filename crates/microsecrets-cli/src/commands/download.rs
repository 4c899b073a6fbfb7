//! `download`: the environment as JSON, or a file.

use clap::Args;
use microsecrets::document::Document;
use microsecrets::item::{Reader, Selector, Version, VersionContent, VersionSpec, items_of};
use microsecrets::layout::Item;

use crate::args::{FileSpec, Pin, ServiceArgs, StoreArgs};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::fresh::StateArgs;
use crate::place::{Placement, TooLarge, check_distinct, in_memory};
use crate::{ui, versions};

/// The most bytes of a file that are checked before the first of them is printed.
pub(crate) const PRINTED_WHOLE: u64 = 8 << 20;

const DETAILS: &str = "\
A file is placed whole or not at all, under a name that must be free unless --force is given. One that is printed is \
checked before its first byte, if it has at most 8 MiB.

Examples:
  microsecrets download -b file:secrets -s api
  microsecrets download -b my-bucket -s api -f tls.pem:/run/api/tls.pem";

/// Print an environment as JSON, or print or place a file
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Demand the environment with this SHA-256 (or SHA-1, SHA-384, SHA-512 of the current one, or a version's name)
    #[arg(short, long, value_name = "HASH", conflicts_with = "file")]
    pub(crate) checksum: Option<Pin>,
    /// Print the file NAME, or place it at PATH, mode 0600; demand HASH of it
    #[arg(short, long, value_name = "NAME[:PATH[:HASH]]")]
    pub(crate) file: Vec<FileSpec>,
    /// Replace files that are there already
    #[arg(long, requires = "file")]
    pub(crate) force: bool,
    /// Print a file of more than 8 MiB before all of it is checked; the status says at the end whether it was right
    #[arg(long, requires = "file")]
    pub(crate) stream: bool,
    /// Print the keys of the current versions of all items instead
    #[arg(short, long, conflicts_with_all = ["file", "checksum", "at"])]
    pub(crate) list: bool,
    /// Use this version: a number, `current`, `previous`, sha:PREFIX, a checksum, a name, or @TIME for the one that was
    /// current then
    #[arg(long, value_name = "VERSION", conflicts_with = "checksum")]
    pub(crate) at: Option<VersionSpec>,
    /// Also look for newer uploads of 0.3.4, as for a service in migration
    #[arg(long)]
    pub(crate) scan: bool,
    /// A checksum pins the current version only, as in 0.3.4.
    #[arg(skip)]
    pub(crate) current_only: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Prints or places what was asked for.
pub(crate) async fn run(args: &DownloadArgs) -> Result<(), CliError> {
    let service = args.service.named()?;
    check_distinct(&args.file)?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    if args.list {
        for key in current_keys(args, &opened).await? {
            ui::print_line(key)?;
        }
        return Ok(());
    }
    if args.file.is_empty() {
        let document = environment(args, &opened).await?;
        return ui::print(versions::json(&document.variables).as_bytes());
    }
    let mut placements = Vec::new();
    for spec in &args.file {
        let version = read(args, &opened, &spec.item(service), spec.pin.as_ref()).await?;
        ui::notes(&version.notes);
        match &spec.path {
            Some(path) => {
                let mut placement = Placement::begin(path, args.force)?;
                placement.fill(version.content).await?;
                placements.push(placement);
            }
            None => print_file(args, spec, version.content).await?,
        }
    }
    placements.into_iter().try_for_each(Placement::finish)
}

/// A version of an item, verified.
pub(crate) async fn read(
    args: &DownloadArgs,
    opened: &Opened,
    item: &Item,
    pin: Option<&Pin>,
) -> Result<Version, CliError> {
    let reader = Reader::new(opened.access(item)).scan(args.scan);
    let reader = reader.with_record(args.state.remembers());
    let read = match (pin, &args.at) {
        (None, Some(at)) => versions::read_with(reader, at).await,
        (pin, _) => {
            let selector = pin.map_or(Selector::Current, |pin| pin.selector(args.current_only));
            let failed = |error| CliError::from(error).context_for_store(format!("cannot read the {item}"));
            reader.read(&selector).await.map_err(failed)
        }
    };
    args.state.seen(opened, item, read).await
}

/// The environment, verified.
pub(crate) async fn environment(args: &DownloadArgs, opened: &Opened) -> Result<Document, CliError> {
    let item = Item::environment(args.service.named()?.clone());
    let version = read(args, opened, &item, args.checksum.as_ref()).await?;
    ui::notes(&version.notes);
    versions::document(version.content)
}

/// The keys of the current versions, the environment's first.
pub(crate) async fn current_keys(args: &DownloadArgs, opened: &Opened) -> Result<Vec<String>, CliError> {
    let service = args.service.named()?;
    let mut keys = Vec::new();
    for item in items_of(&*opened.store, service).await? {
        let reader = Reader::new(opened.access(&item)).scan(args.scan);
        match reader.read(&Selector::Current).await {
            Ok(version) => keys.push(version.facts.key),
            Err(microsecrets::item::ItemError::Deleted { .. }) => {}
            Err(error) => return Err(CliError::from(error).context_for_store(format!("cannot read the {item}"))),
        }
    }
    Ok(keys)
}

async fn print_file(args: &DownloadArgs, spec: &FileSpec, content: VersionContent) -> Result<(), CliError> {
    if ui::stdout_is_terminal() {
        return Err(
            CliError::usage(format!("the file {} is not printed on a terminal", spec.label))
                .hint(format!("place it: -f {}:PATH, or pipe it to a program", spec.label)),
        );
    }
    match content {
        VersionContent::Stream(mut stream) if args.stream => {
            while let Some(piece) = stream.next().await? {
                print_piece(&piece)?;
            }
            Ok(())
        }
        content => match in_memory(content, PRINTED_WHOLE).await {
            Ok(bytes) => print_piece(&bytes),
            Err(TooLarge::Failed(error)) => Err((*error).into()),
            Err(TooLarge::Yes) => {
                let message = format!(
                    "the file {} has more than 8 MiB, too many to check before printing",
                    spec.label
                );
                Err(CliError::new(Status::Failure, message).hint(format!(
                    "place it: -f {}:PATH, or accept unchecked bytes with --stream",
                    spec.label
                )))
            }
        },
    }
}

/// Half a file is no success, even for a reader that has seen enough.
fn print_piece(bytes: &[u8]) -> Result<(), CliError> {
    ui::print(bytes).map_err(|error| error.with_status(Status::Failure))
}
