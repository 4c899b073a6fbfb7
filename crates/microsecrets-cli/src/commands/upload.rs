//! `upload`: publishes an environment or a file.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::diff::Difference;
use microsecrets::document::{DocumentError, Variables, parse_flat_object};
use microsecrets::item::{Base, Content, Decision, ItemError, Reader, Selector};
use microsecrets::layout::Item;
use microsecrets::name::Label;
use microsecrets::record::{ChangeKind, State};
use microsecrets::source::SharedSource;
use microsecrets::{dotenv, pairs, spill};

use crate::args::{ServiceArgs, StoreArgs};
use crate::commands::diff;
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::publish::{self, Bytes, PublishArgs, Published};
use crate::{exec, input, progress, ui, versions};

/// A file shorter than this has a checksum that can be guessed: it is not salted, and stands in the key.
const GUESSABLE: u64 = 64;

const DETAILS: &str = "\
The environment is read as NAME=value pairs, one a line: white space around a line is dropped, lines that are empty or \
begin with # are skipped, and everything else is taken literally, quotes and $ too.

Printed are bucket, path and checksum, which `with-env -c` pins, and the version's number. Content that is current \
already is not published again.

Examples:
  microsecrets upload -b file:secrets -s api env.txt
  microsecrets upload -b my-bucket -s api -f tls.pem -m 'renewed' /etc/ssl/private/api.pem";

/// Publish an environment, or a file
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct UploadArgs {
    /// Where to read from [default: standard input]
    #[arg(value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Read a JSON object of strings instead of pairs
    #[arg(short, long, conflicts_with_all = ["file", "dotenv"])]
    pub(crate) json: bool,
    /// Read the file as dotenv tools do: quotes, escapes and `export` mean something
    #[arg(long, conflicts_with = "file")]
    pub(crate) dotenv: bool,
    /// Publish the bytes as the service's file LABEL
    #[arg(short, long, value_name = "LABEL")]
    pub(crate) file: Option<Label>,
    /// Allow names that no shell can export
    #[arg(long, conflicts_with = "file")]
    pub(crate) any_name: bool,
    /// Publish also what is current already
    #[arg(long)]
    pub(crate) force: bool,
    /// Show which variables would change, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) publish: PublishArgs,
    /// An environment without variables is published, as 0.3.4 did.
    #[arg(skip)]
    pub(crate) may_be_empty: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// What was read, before it is published.
enum Input {
    Environment(Variables),
    File {
        bytes: Bytes,
        checksum: Checksum,
        size: u64,
        mode: Option<u32>,
    },
}

/// Publishes and prints what was.
pub(crate) async fn run(args: UploadArgs) -> Result<(), CliError> {
    if args.dry_run {
        return dry_run(&args).await;
    }
    let published = publish(&args).await?;
    let done = match (published.unchanged, published.bucket.starts_with("file:")) {
        (true, _) => "Nothing uploaded, this is the current version already:",
        (false, true) => "Successfully uploaded data:",
        (false, false) => "Successfully uploaded data to S3:",
    };
    args.publish.print(&published, done)
}

/// Reads the input and publishes it.
pub(crate) async fn publish(args: &UploadArgs) -> Result<Published, CliError> {
    let (item, input) = read(args).await?;
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let decide = |base: &Base<'_>| {
        // The same content with another life is a new version.
        let lives_on = args.publish.expires.is_none() && base.record().is_none_or(|record| record.expires.is_none());
        Ok(match !args.force && lives_on && is_current(base, &input) {
            true => Decision::Keep,
            false => args.publish.change(ChangeKind::Upload, input.content()),
        })
    };
    args.publish.write(&opened, &item, "upload", decide).await
}

/// Says what would change.
async fn dry_run(args: &UploadArgs) -> Result<(), CliError> {
    let (item, input) = read(args).await?;
    let opened = Opened::open(&args.store, Purpose::Read).await?;
    let current = match Reader::new(opened.access(&item)).read(&Selector::Current).await {
        Ok(version) => Some(version),
        Err(ItemError::Absent { .. } | ItemError::Deleted { .. }) => None,
        Err(error) => return Err(CliError::from(error).context_for_store(format!("cannot read the {item}"))),
    };
    match &input {
        Input::Environment(after) => {
            let before = current.map(|version| versions::document(version.content)).transpose()?;
            let before = before.map(|document| document.variables).unwrap_or_default();
            diff::print(&Difference::between(&before, after), args.publish.format, false)?;
            opened.keep_contract_anew(&item, after)?;
        }
        Input::File { checksum, size, .. } => {
            let before = current.map(|version| version.facts);
            diff::print_file(before.as_ref(), *checksum, *size, args.publish.format)?;
        }
    }
    ui::note("nothing was written");
    Ok(())
}

/// Reads and checks what is to be published.
async fn read(args: &UploadArgs) -> Result<(Item, Input), CliError> {
    let service = args.service.named()?.clone();
    if args.store.bucket.is_none() {
        // Said before anything is read: a person may be about to type.
        return Err(Opened::open(&args.store, Purpose::Write)
            .await
            .err()
            .unwrap_or_else(|| CliError::quiet(Status::Usage)));
    }
    let item = match &args.file {
        Some(label) => Item::file(service, label.clone()),
        None => Item::environment(service),
    };
    let input = read_input(args)?;
    warn_about(&input);
    Ok((item, input))
}

/// Whether the current version has this content already.
fn is_current(base: &Base<'_>, input: &Input) -> bool {
    match input {
        Input::Environment(variables) => base
            .document()
            .is_some_and(|document| document.variables.same_as(variables)),
        // What is there is published again when its bytes were lost.
        Input::File { checksum, size, .. } => base.record().is_some_and(|record| {
            base.has_bytes() && record.state == State::Live && record.checksum() == *checksum && record.size == *size
        }),
    }
}

impl Input {
    /// The content, for one attempt to publish it.
    fn content(&self) -> Content {
        match self {
            Self::Environment(variables) => Content::Environment(variables.duplicate()),
            Self::File {
                bytes, checksum, mode, ..
            } => Content::File {
                bytes: bytes.lend(),
                checksum: *checksum,
                mode: *mode,
            },
        }
    }
}

fn read_input(args: &UploadArgs) -> Result<Input, CliError> {
    // What is too much for memory is kept in a file.
    exec::survive_full_files();
    if args.path.is_none() && ui::stdin_is_terminal() {
        let what = match (&args.file, args.json) {
            (Some(_), _) => "data",
            (None, true) => "a JSON object of strings",
            (None, false) => "NAME=value pairs",
        };
        ui::note(format_args!("reading {what} from the terminal, end with Ctrl-D"));
    }
    if args.file.is_some() {
        read_file(args.path.as_deref())
    } else {
        read_environment(args)
    }
}

fn open(path: &Path) -> Result<File, CliError> {
    File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound && path.as_os_str().as_bytes().contains(&b'=') {
            // Rather a variable with its value than a path, so it is not shown.
            return CliError::usage("the FILE to read from is not there, and looks like a variable")
                .hint(crate::usage::VALUES_HINT);
        }
        cannot_read(Some(path), &error)
    })
}

fn cannot_read(path: Option<&Path>, error: &io::Error) -> CliError {
    let what = input::name_of(path);
    let failed = CliError::new(Status::Failure, format!("cannot read {what}"));
    match (path, error.kind()) {
        // What can be open and not be read is a folder.
        (None, io::ErrorKind::IsADirectory) => failed.hint("it is a folder: give a file"),
        // Standard input is there: what is missing or closed is the folder for what is too large for memory.
        (None, io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::StorageFull) => {
            failed.hint("what is too large for memory is kept, encrypted, in a temporary file: check TMPDIR")
        }
        _ => failed,
    }
    .caused_by(error)
}

fn read_environment(args: &UploadArgs) -> Result<Input, CliError> {
    let path = args.path.as_deref();
    let read = match path {
        Some(path) => input::read_whole(open(path)?),
        None => input::read_whole(io::stdin().lock()),
    };
    let name = input::name_of(path);
    let Some(bytes) = read.map_err(|error| cannot_read(path, &error))? else {
        return Err(CliError::usage(format!("{name} has more than 4 MiB"))
            .hint("keep large values in a file: upload it with -f"));
    };
    let bytes = bytes.expose();
    let bad = |reason: String, hint: &str| CliError::usage(format!("{name}: {reason}")).hint(hint);
    let options = pairs::Options {
        any_name: args.any_name,
    };
    let parsed = if args.json {
        let variables = parse_flat_object(bytes).map_err(|error| bad(error.to_string(), json_hint(&error)))?;
        publish::check_names(&variables, args.any_name)?;
        return Ok(Input::Environment(variables));
    } else if args.dotenv {
        dotenv::parse(bytes, options).map_err(|error| bad(error.to_string(), error.hint()))?
    } else {
        let looks_like_json = bytes.trim_ascii_start().starts_with(b"{");
        pairs::parse(bytes, options).map_err(|error| {
            let hint = if looks_like_json {
                "this looks like JSON: say --json"
            } else {
                error.hint()
            };
            bad(error.to_string(), hint)
        })?
    };
    for warning in &parsed.warnings {
        ui::warn(warning);
    }
    if parsed.variables.is_empty() && !args.may_be_empty {
        // More likely a program that failed before its pipe than a wish.
        return Err(CliError::usage(format!("{name} holds no variables"))
            .hint("to publish an environment without variables, say so: {} with --json"));
    }
    let variables = Variables::new(parsed.variables);
    variables
        .map(Input::Environment)
        .map_err(|error| bad(error.to_string(), "leave it out"))
}

fn json_hint(error: &DocumentError) -> &'static str {
    match error {
        DocumentError::DuplicateKey { .. } => "keep one of the two",
        DocumentError::NotUtf8 => "save the input as UTF-8; to upload raw bytes, use -f LABEL",
        DocumentError::Variable(_) => "no environment can hold it",
        _ => "a flat object of strings is needed: {\"NAME\": \"value\"}",
    }
}

fn read_file(path: Option<&Path>) -> Result<Input, CliError> {
    let failed = |error: io::Error| cannot_read(path, &error);
    if let Some(path) = path {
        let file = open(path)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_file() {
            let mode = Some(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777);
            let source = spill::file_source(file).map_err(failed)?;
            let (checksum, size) = (source.checksum(), source.size());
            let bytes = Bytes::Source(SharedSource::new(progress::shown(Box::new(source))));
            return Ok(Input::File {
                bytes,
                checksum,
                size,
                mode,
            });
        }
        return collected(spill::collect(file).map_err(failed)?);
    }
    collected(spill::collect(io::stdin().lock()).map_err(failed)?)
}

fn collected(collected: spill::Collected) -> Result<Input, CliError> {
    Ok(Input::File {
        checksum: collected.checksum(),
        size: collected.size(),
        bytes: Bytes::of(collected)?,
        mode: None,
    })
}

fn warn_about(input: &Input) {
    match input {
        Input::File { size, .. } if *size < GUESSABLE => ui::warn(format_args!(
            "a file of {size} bytes can be guessed by its checksum, which whoever lists the bucket can see; put short secrets into the environment"
        )),
        Input::Environment(variables) => {
            for (position, (name, value)) in variables.iter().enumerate() {
                let size = name.len() + value.expose().len() + 2;
                if size > exec::MOST_ONE {
                    let name = ui::variable_at(name, position);
                    ui::warn(format_args!(
                        "{name} has {size} bytes with its name: Linux starts no program with more than {}",
                        exec::MOST_ONE
                    ));
                }
            }
        }
        Input::File { .. } => {}
    }
}
