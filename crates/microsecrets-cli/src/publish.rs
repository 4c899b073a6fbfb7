//! What the commands that write have in common: their options, the write, and how its result is printed.

use clap::Args;
use microsecrets::checksum::Checksum;
use microsecrets::document::Variables;
use microsecrets::item::{
    Applied, Base, Change, Content, Decision, Edits, FileBytes, ItemError, OnConflict, Outcome, Version, VersionContent,
};
use microsecrets::layout::Item;
use microsecrets::pairs::{self, PairsError, is_exportable};
use microsecrets::record::{ChangeKind, SignedRecord, State, VersionRef};
use microsecrets::secret::SecretBytes;
use microsecrets::source::SharedSource;
use microsecrets::spill::{Collected, Spool};
use microsecrets::store::Payload;

use crate::args::{Format, StoreArgs, lifetime};
use crate::config::{Opened, Purpose};
use crate::error::{CliError, Status};
use crate::signing::SignArgs;
use crate::{progress, ui};

/// Options of every command that writes a version.
#[derive(Args, Clone)]
pub(crate) struct PublishArgs {
    /// Say why, for those who look at the history
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Write only when the current version has this number; 0 when there must be none
    #[arg(long, value_name = "N")]
    pub(crate) if_version: Option<u64>,
    /// Accept another KMS key than the current version's
    #[arg(long)]
    pub(crate) new_key: bool,
    /// End the version's life after this time: 90d, 12h, 30m, 60s. Then nobody reads it any more
    #[arg(long, value_name = "AGE", value_parser = lifetime)]
    pub(crate) expires: Option<i64>,
    #[command(flatten)]
    pub(crate) sign: SignArgs,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print only the checksum
    #[arg(short, long, conflicts_with = "format")]
    pub(crate) quiet: bool,
    /// How to print the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

impl PublishArgs {
    /// Refuses a base that is not the one the caller expects.
    pub(crate) fn check(&self, base: &Base<'_>, item: &Item) -> Result<(), ItemError> {
        let current = base.record().map_or(0, |record| record.number.get());
        match self.if_version {
            Some(wanted) if wanted != current => Err(ItemError::OtherVersion {
                item: item.clone(),
                wanted,
                current,
                deleted: base.record().is_some_and(|record| record.state == State::Deleted),
            }),
            _ => Ok(()),
        }
    }

    /// A change with the caller's message.
    pub(crate) fn change(&self, kind: ChangeKind, content: Content) -> Decision {
        let change = Change::new(kind, content);
        Decision::Commit(change.message(self.message.clone()).lifetime(self.expires))
    }

    /// Lets `decide` say what shall be on a base that is the expected one, and publishes that; who comes too late is told.
    /// `doing` is the verb for errors.
    pub(crate) async fn write(
        &self,
        opened: &Opened,
        item: &Item,
        doing: &str,
        mut decide: impl FnMut(&Base<'_>) -> Result<Decision, ItemError>,
    ) -> Result<Published, CliError> {
        let failed = |error| CliError::from(error).context_for_store(format!("cannot {doing} the {item}"));
        let outcome = self.outcome(opened, item, OnConflict::Report, &mut decide).await?;
        Published::of(outcome.map_err(failed)?, item, opened)
    }

    /// The same, for who has something to do about a failure of the protocol.
    pub(crate) async fn outcome(
        &self,
        opened: &Opened,
        item: &Item,
        on_conflict: OnConflict,
        decide: &mut impl FnMut(&Base<'_>) -> Result<Decision, ItemError>,
    ) -> Result<Result<Outcome, ItemError>, CliError> {
        let mut writer = self.sign.writer(opened, item, self.yes).await?;
        writer.new_key = self.new_key;
        let decide = |base: &Base<'_>| {
            self.check(base, item)?;
            let decision = decide(base)?;
            opened.keep_contract(item, base, &decision)?;
            Ok(decision)
        };
        Ok(writer.write(on_conflict, decide).await)
    }

    /// Prints what was published, as the options say.
    pub(crate) fn print(&self, published: &Published, done: &str) -> Result<(), CliError> {
        let number = published.entry.record().number;
        published
            .print(done, self.quiet, self.format)
            .map_err(|error| error.hint(format!("it is published nevertheless, as version {number}")))
    }
}

/// What was published, or is there already.
pub(crate) struct Published {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) entry: SignedRecord,
    pub(crate) unchanged: bool,
}

impl Published {
    /// What an outcome comes to; what the library noticed is told on the way.
    pub(crate) fn of(outcome: Outcome, item: &Item, opened: &Opened) -> Result<Self, CliError> {
        let bucket = opened.shown_bucket.clone();
        match outcome {
            Outcome::Committed(committed) => {
                ui::notes(&committed.notes);
                Ok(Self {
                    bucket,
                    key: committed.key,
                    entry: committed.entry,
                    unchanged: false,
                })
            }
            Outcome::Kept {
                entry: Some(entry),
                notes,
            } => {
                ui::notes(&notes);
                Ok(Self {
                    bucket,
                    key: item.version_key(&entry.record().name),
                    entry,
                    unchanged: true,
                })
            }
            _ => Err(CliError::new(Status::NotFound, format!("there is no {item} to change"))),
        }
    }

    fn print(&self, done: &str, quiet: bool, format: Format) -> Result<(), CliError> {
        let record = self.entry.record();
        let (checksum, number) = (record.checksum().to_string(), record.number);
        if record.state == State::Deleted {
            return self.print_deletion(done, quiet, format);
        }
        if format == Format::Json {
            return ui::print_line(serde_json::json!({
                "bucket": self.bucket,
                "path": self.key,
                "checksum": checksum,
                "version": number.get(),
                "unchanged": self.unchanged,
            }));
        }
        if quiet {
            return ui::print_line(checksum);
        }
        let (bucket, key) = (&self.bucket, &self.key);
        ui::print(
            format!("{done}\n  bucket: {bucket}\n  path: {key}\n  checksum: {checksum}\n  version: {number}\n")
                .as_bytes(),
        )
    }

    /// A deletion has neither bytes nor a place for them.
    fn print_deletion(&self, done: &str, quiet: bool, format: Format) -> Result<(), CliError> {
        let (bucket, number) = (&self.bucket, self.entry.record().number);
        match format {
            Format::Json => ui::print_line(serde_json::json!({
                "bucket": bucket,
                "version": number.get(),
                "unchanged": self.unchanged,
            })),
            Format::Text if quiet => Ok(()),
            Format::Text => ui::print(format!("{done}\n  bucket: {bucket}\n  version: {number}\n").as_bytes()),
        }
    }
}

/// Applies changes of single variables to whatever base there is.
pub(crate) async fn apply_edits(
    opened: &Opened,
    args: &PublishArgs,
    item: &Item,
    kind: &ChangeKind,
    edits: &mut Edits,
) -> Result<Result<Outcome, ItemError>, CliError> {
    let mut revives = None;
    let mut decide = |base: &Base<'_>| {
        if *kind == ChangeKind::Unset && base.record().is_none() {
            return Err(opened.absent(item));
        }
        let variables = match (edits.apply(base)?, base.document()) {
            (Applied::Variables(variables), _) => variables,
            // The same variables with another life are a new version.
            (_, Some(document)) if args.expires.is_some() => document.variables.duplicate(),
            _ => return Ok(Decision::Keep),
        };
        let deletion = base.record().filter(|record| record.state == State::Deleted);
        revives = deletion.map(|record| record.number);
        Ok(args.change(kind.clone(), Content::Environment(variables)))
    };
    let outcome = args.outcome(opened, item, OnConflict::Reapply, &mut decide).await?;
    if let Some(number) = revives {
        ui::note(format_args!(
            "the {item} was deleted by version {number}; this begins a new one"
        ));
    }
    Ok(outcome)
}

/// Applies changes of single variables, and prints what came of it.
pub(crate) async fn edits(
    store: &StoreArgs,
    args: &PublishArgs,
    item: &Item,
    kind: ChangeKind,
    mut edits: Edits,
) -> Result<(), CliError> {
    let opened = Opened::open(store, Purpose::Write).await?;
    let outcome = apply_edits(&opened, args, item, &kind, &mut edits).await?;
    let outcome =
        outcome.map_err(|error| CliError::from(error).context_for_store(format!("cannot change the {item}")))?;
    let published = Published::of(outcome, item, &opened)?;
    args.print(&published, changed(&published))
}

/// The first line of a result of changed variables.
pub(crate) fn changed(published: &Published) -> &'static str {
    if published.unchanged {
        "Nothing changed, this is the current version already:"
    } else {
        "Successfully changed:"
    }
}

/// The bytes of a file: every attempt to publish them gets them anew.
pub(crate) enum Bytes {
    Memory(SecretBytes),
    Source(SharedSource),
}

impl Bytes {
    /// Bytes that were collected; a progress bar shows how far a large file is.
    pub(crate) fn of(collected: Collected) -> Result<Self, CliError> {
        match collected.into_payload() {
            Payload::Bytes(bytes) => Ok(Self::Memory(bytes)),
            Payload::Source(source) => Ok(Self::Source(SharedSource::new(progress::shown(source)))),
            _ => Err(CliError::new(Status::Failure, "the bytes were not kept")),
        }
    }

    /// The bytes, for one attempt to publish them.
    pub(crate) fn lend(&self) -> FileBytes {
        match self {
            Self::Memory(bytes) => FileBytes::Memory(bytes.duplicate()),
            Self::Source(source) => FileBytes::Source(Box::new(source.clone())),
        }
    }
}

/// A version's content, to be published again.
pub(crate) enum Again {
    Environment(Variables),
    File {
        bytes: Bytes,
        checksum: Checksum,
        mode: Option<u32>,
    },
}

impl Again {
    /// Takes a verified version; a large file is kept in an encrypted temporary file meanwhile.
    pub(crate) async fn of(version: Version) -> Result<Self, CliError> {
        let failed =
            |error: std::io::Error| CliError::new(Status::Failure, "cannot keep the file's bytes").caused_by(&error);
        let mode = version.facts.entry.as_ref().and_then(|entry| entry.record().mode);
        let checksum = version.facts.name.checksum();
        let bytes = match version.content {
            VersionContent::Environment(document) => return Ok(Self::Environment(document.variables)),
            VersionContent::File(bytes) => Bytes::Memory(bytes),
            VersionContent::Stream(mut stream) => {
                let mut spool = Spool::new();
                while let Some(piece) = stream.next().await? {
                    spool.write(&piece).map_err(failed)?;
                }
                Bytes::of(spool.finish().map_err(failed)?)?
            }
            _ => return Err(CliError::new(Status::Failure, "the version has no content")),
        };
        Ok(Self::File { bytes, checksum, mode })
    }

    /// The content, for one attempt to publish it.
    pub(crate) fn content(&self) -> Content {
        match self {
            Self::Environment(variables) => Content::Environment(variables.duplicate()),
            Self::File { bytes, checksum, mode } => Content::File {
                bytes: bytes.lend(),
                checksum: *checksum,
                mode: *mode,
            },
        }
    }
}

/// Names in JSON are held to what pairs are; a name that no shell can export is told by its place only.
pub(crate) fn check_names(variables: &Variables, any_name: bool) -> Result<(), CliError> {
    let bad = variables.iter().position(|(name, _)| !is_exportable(name));
    match bad {
        Some(position) if !any_name => Err(CliError::usage(format!(
            "variable {} has a name that no shell can export",
            position + 1
        ))
        .hint(NAME_HINT)),
        _ => Ok(()),
    }
}

/// Reads pairs for a command that, unlike `upload`, reads nothing else.
pub(crate) fn parse_pairs(bytes: &[u8], source: &str, any_name: bool) -> Result<pairs::Parsed, CliError> {
    pairs::parse(bytes, pairs::Options { any_name }).map_err(|error| {
        let hint = match error {
            PairsError::NotExportable { .. } => NAME_HINT,
            PairsError::DuplicateName { .. } => error.hint(),
            _ => "a line is NAME=value; what follows the first = is the value",
        };
        CliError::usage(format!("{source}: {error}")).hint(hint)
    })
}

/// What a name may be.
pub(crate) const NAME_HINT: &str =
    "a name may hold A-Z, a-z, 0-9 and _, and not begin with a digit; --any-name allows others";

/// How a record says a version.
pub(crate) fn reference(version: &Version) -> VersionRef {
    let by_name = || VersionRef::Name(version.facts.name.clone());
    version.facts.number().map_or_else(by_name, VersionRef::Number)
}
