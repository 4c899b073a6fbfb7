//! `upload`: publishes an environment or a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::document::{DocumentError, MAX_DOCUMENT, Variables, parse_flat_object};
use microsecrets::item::{Base, Change, Content, Decision, FileBytes, OnConflict, Outcome};
use microsecrets::layout::Item;
use microsecrets::name::Label;
use microsecrets::record::{ChangeKind, SignedRecord, State};
use microsecrets::secret::SecretBytes;
use microsecrets::source::SharedSource;
use microsecrets::store::Payload;
use microsecrets::{dotenv, pairs, spill};
use zeroize::Zeroizing;

use crate::args::{Format, ServiceArgs, StoreArgs};
use crate::config::{self, Opened, Purpose};
use crate::error::{CliError, Status};
use crate::place::shown_path;
use crate::{exec, progress, ui};

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
    /// Say why, for those who look at the history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Accept another KMS key than the current version's
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Print only the checksum
    #[arg(short, long, conflicts_with = "format")]
    pub(crate) quiet: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
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

/// The bytes of a file: every attempt to publish them gets them anew.
enum Bytes {
    Memory(SecretBytes),
    Source(SharedSource),
}

/// What was published.
pub(crate) struct Uploaded {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) entry: SignedRecord,
    pub(crate) unchanged: bool,
}

/// Publishes and prints what was.
pub(crate) async fn run(args: UploadArgs) -> Result<(), CliError> {
    let (format, quiet) = (args.format, args.quiet);
    let uploaded = publish(args).await?;
    let number = uploaded.entry.record().number;
    print(uploaded, format, quiet)
        .map_err(|error| error.hint(format!("it is published nevertheless, as version {number}")))
}

fn print(uploaded: Uploaded, format: Format, quiet: bool) -> Result<(), CliError> {
    let record = uploaded.entry.record();
    let (checksum, number) = (record.checksum().to_string(), record.number);
    if format == Format::Json {
        return ui::print_line(serde_json::json!({
            "bucket": uploaded.bucket,
            "path": uploaded.key,
            "checksum": checksum,
            "version": number.get(),
            "unchanged": uploaded.unchanged,
        }));
    }
    if quiet {
        return ui::print_line(checksum);
    }
    let first = if uploaded.unchanged {
        "Nothing uploaded, this is the current version already:"
    } else {
        "Successfully uploaded data to S3:"
    };
    let first = if uploaded.bucket.starts_with("file:") {
        first.replace(" to S3", "")
    } else {
        first.to_owned()
    };
    let (bucket, key) = (uploaded.bucket, uploaded.key);
    ui::print(
        format!("{first}\n  bucket: {bucket}\n  path: {key}\n  checksum: {checksum}\n  version: {number}\n").as_bytes(),
    )
}

/// Reads the input and publishes it.
pub(crate) async fn publish(args: UploadArgs) -> Result<Uploaded, CliError> {
    let service = config::service(&args.service)?.clone();
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
    let input = read_input(&args)?;
    warn_about(&input);
    let opened = Opened::open(&args.store, Purpose::Write).await?;
    let mut writer = opened.writer(&item)?;
    writer.new_key = args.new_key;
    let decide = |base: &Base<'_>| Ok(decide(base, &input, args.force, args.message.clone()));
    let outcome = writer.write(OnConflict::Report, decide).await;
    let outcome =
        outcome.map_err(|error| CliError::from(error).context_for_store(format!("cannot upload the {item}")))?;
    let bucket = opened.shown_bucket.clone();
    match outcome {
        Outcome::Committed(committed) => {
            ui::notes(&committed.notes);
            Ok(Uploaded {
                bucket,
                key: committed.key,
                entry: committed.entry,
                unchanged: false,
            })
        }
        Outcome::Kept(Some(entry)) => {
            let key = item.version_key(&entry.record().name);
            Ok(Uploaded {
                bucket,
                key,
                entry,
                unchanged: true,
            })
        }
        _ => Err(CliError::new(Status::Failure, "nothing was uploaded")),
    }
}

fn decide(base: &Base<'_>, input: &Input, force: bool, message: Option<String>) -> Decision {
    let live = base.record().filter(|record| record.state == State::Live);
    let content = match input {
        Input::Environment(variables) => {
            if !force
                && base
                    .document()
                    .is_some_and(|document| document.variables.same_as(variables))
            {
                return Decision::Keep;
            }
            Content::Environment(variables.duplicate())
        }
        Input::File {
            bytes,
            checksum,
            size,
            mode,
        } => {
            let same = |record: &&microsecrets::record::Record| record.checksum() == *checksum && record.size == *size;
            if !force && live.filter(same).is_some() {
                return Decision::Keep;
            }
            let bytes = match bytes {
                Bytes::Memory(bytes) => FileBytes::Memory(bytes.duplicate()),
                Bytes::Source(source) => FileBytes::Source(Box::new(source.clone())),
            };
            Content::File {
                bytes,
                checksum: *checksum,
                mode: *mode,
            }
        }
    };
    Decision::Commit(Change::new(ChangeKind::Upload, content).message(message))
}

fn read_input(args: &UploadArgs) -> Result<Input, CliError> {
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
    let what = path.map_or_else(|| "standard input".to_owned(), shown_path);
    CliError::new(Status::Failure, format!("cannot read {what}")).caused_by(error)
}

fn read_environment(args: &UploadArgs) -> Result<Input, CliError> {
    let path = args.path.as_deref();
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 << 10));
    let limit = MAX_DOCUMENT + 1;
    let read = match path {
        Some(path) => open(path)?.take(limit).read_to_end(&mut bytes),
        None => io::stdin().lock().take(limit).read_to_end(&mut bytes),
    };
    read.map_err(|error| cannot_read(path, &error))?;
    let name = path.map_or_else(|| "standard input".to_owned(), shown_path);
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(CliError::usage(format!("{name} has more than 4 MiB"))
            .hint("keep large values in a file: upload it with -f"));
    }
    let bad = |reason: String, hint: &str| CliError::usage(format!("{name}: {reason}")).hint(hint);
    let options = pairs::Options {
        any_name: args.any_name,
    };
    let parsed = if args.json {
        let variables = parse_flat_object(&bytes).map_err(|error| bad(error.to_string(), json_hint(&error)))?;
        check_names(&variables, args.any_name)?;
        return Ok(Input::Environment(variables));
    } else if args.dotenv {
        dotenv::parse(&bytes, options).map_err(|error| bad(error.to_string(), error.hint()))?
    } else {
        pairs::parse(&bytes, options).map_err(|error| bad(error.to_string(), error.hint()))?
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

/// Names in JSON are held to what pairs are; a name that no shell can export is told by its place only.
fn check_names(variables: &Variables, any_name: bool) -> Result<(), CliError> {
    let bad = variables.iter().position(|(name, _)| !pairs::is_exportable(name));
    match bad {
        Some(position) if !any_name => Err(CliError::usage(format!(
            "variable {} has a name that no shell can export",
            position + 1
        ))
        .hint("a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; --any-name allows others")),
        _ => Ok(()),
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
    let (checksum, size) = (collected.checksum(), collected.size());
    let bytes = match collected.into_payload() {
        Payload::Bytes(bytes) => Bytes::Memory(bytes),
        Payload::Source(source) => Bytes::Source(SharedSource::new(progress::shown(source))),
        _ => return Err(CliError::new(Status::Failure, "the input was not kept")),
    };
    Ok(Input::File {
        bytes,
        checksum,
        size,
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
