//! What can go wrong with an item: every way in which the protocol ends without doing what was asked.

use crate::contract::Breach;
use crate::document::DocumentError;
use crate::layout::Item;
use crate::name::{Number, VersionName};
use crate::record::RecordError;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::trust::Distrust;

/// Why an item could not be read or written. Absent, denied, not trusted and unavailable are different errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// There is no such item.
    #[error("there is no {item} in {location}")]
    Absent {
        /// What was asked for.
        item: Item,
        /// Where.
        location: String,
    },
    /// More than one version is meant by what was said.
    #[error("the {item} has more than one version with {what}")]
    Ambiguous {
        /// Which item.
        item: Item,
        /// What was asked for.
        what: String,
        /// The names of those versions, oldest first, or the first of them.
        candidates: Vec<VersionName>,
    },
    /// The new environment is not what its contract says.
    #[error("the new version of the {item} would break its contract: {}", listed(breaches))]
    BreaksContract {
        /// Which item.
        item: Item,
        /// What breaks it.
        breaches: Vec<Breach>,
    },
    /// It kept changing while it was read or written.
    #[error("given up on the {item} after {attempts} attempts: {why}")]
    Busy {
        /// Which item.
        item: Item,
        /// How often it was tried.
        attempts: usize,
        /// What stood in the way.
        why: Why,
    },
    /// Somebody else gave a variable another value than the one that was to be written.
    #[error("{} of the {item} was changed by this command and, to another value, by somebody else{}", shown_variable(name), last_change(by.as_deref()))]
    Clash {
        /// Which item.
        item: Item,
        /// Which variable.
        name: String,
        /// The last change there was.
        by: Option<Box<Rival>>,
    },
    /// Somebody else committed first.
    #[error("the {item} was changed by somebody else: {by}")]
    Conflict {
        /// Which item.
        item: Item,
        /// What was committed instead.
        by: Box<Rival>,
    },
    /// The current version's bytes are not to be removed.
    #[error("version {number} of the {item} is the current one")]
    CurrentVersion {
        /// Which item.
        item: Item,
        /// Its number.
        number: Number,
    },
    /// The current version is a deletion.
    #[error("the {item} was deleted at {time}{}", by_user(user.as_deref()))]
    Deleted {
        /// Which item.
        item: Item,
        /// The number of the deletion.
        number: Number,
        /// When.
        time: Timestamp,
        /// By whom, as the record says.
        user: Option<String>,
    },
    /// Without the right to list, S3 does not say whether an object is missing.
    #[error("the {item} is denied, or not there")]
    DeniedOrAbsent {
        /// Which item.
        item: Item,
        /// What the store said.
        source: StoreError,
    },
    /// An environment's document is not valid.
    #[error("{key} is not a valid environment")]
    Document {
        /// Where it lies.
        key: String,
        /// Why.
        source: DocumentError,
    },
    /// Something was believed wrongly by its writer, or is a forgery.
    #[error("{key} is not trusted")]
    Distrusted {
        /// Where it lies.
        key: String,
        /// Why.
        source: Distrust,
    },
    /// A listed name is ahead of the store's clock.
    #[error("{key} is dated {seconds} s ahead of the store's clock")]
    FutureDated {
        /// Where it lies.
        key: String,
        /// By how much.
        seconds: i64,
    },
    /// Our version bytes are there, but no head.
    #[error("the head of the {item} is missing, though {key} was written by this tool")]
    HeadMissing {
        /// Which item.
        item: Item,
        /// The bytes that were found.
        key: String,
    },
    /// The head is older than versions that were committed after it.
    #[error("the head of the {item} is missing or older than {key}")]
    HeadOutdated {
        /// Which item.
        item: Item,
        /// What was found beyond it.
        key: String,
    },
    /// The KMS key that would be written under is not the one that the current version is under.
    #[error("the {item} is encrypted under {current}, but would now be under {next}")]
    KeyMoved {
        /// Which item.
        item: Item,
        /// The key of the current version.
        current: String,
        /// The key that was resolved for writing.
        next: String,
    },
    /// Numbers or names have run out.
    #[error("the {item} has no {0} left", .what)]
    Exhausted {
        /// Which item.
        item: Item,
        /// What ran out.
        what: &'static str,
    },
    /// The store does not keep its word about conditions.
    #[error("{location} cannot compare-and-swap: it overwrote what was written under If-None-Match")]
    NoCompareAndSwap {
        /// Which store.
        location: String,
    },
    /// Only 0.3.4 wrote it, so its versions have no numbers.
    #[error("only microsecrets 0.3.4 has written the {item}: its versions have no numbers yet")]
    NeverAdopted {
        /// Which item.
        item: Item,
    },
    /// There is no head, and only what is signed is believed.
    #[error("there is no signed {item} in {location}")]
    NeverSigned {
        /// Which item.
        item: Item,
        /// Where.
        location: String,
    },
    /// There is nothing before the current version.
    #[error("the {item} has no version before the current one")]
    NoPrevious {
        /// Which item.
        item: Item,
    },
    /// A variable that was to be removed is not there.
    #[error("the {item} {}", does_not_have(name))]
    NoSuchVariable {
        /// Which item.
        item: Item,
        /// Which variable.
        name: String,
    },
    /// The item's versions do not go up to this number.
    #[error("the {item} has no version {number}")]
    NoSuchNumber {
        /// Which item.
        item: Item,
        /// What was asked for.
        number: Number,
    },
    /// No version has this checksum or name.
    #[error("the {item} has no version with {what}")]
    NoSuchVersion {
        /// Which item.
        item: Item,
        /// What was asked for.
        what: String,
    },
    /// The current version is not the one that the writer expects.
    #[error("the {item} is expected at version {wanted}, but {}", current_is(*current, *deleted))]
    OtherVersion {
        /// Which item.
        item: Item,
        /// The number that was expected; 0 for no version.
        wanted: u64,
        /// The current version's number; 0 for none.
        current: u64,
        /// Whether the current version is a deletion.
        deleted: bool,
    },
    /// The greatest key is outside the grammar, so what 0.3.4 would take for the latest version is unknown.
    #[error("{key} is no version's key, but the greatest")]
    OutsideGrammar {
        /// The key.
        key: String,
    },
    /// The current version does not have the pinned checksum.
    #[error("the {item}'s current version does not have the pinned checksum")]
    PinMismatch {
        /// Which item.
        item: Item,
    },
    /// The version's bytes were removed.
    #[error("version {number} of the {item} was pruned")]
    Pruned {
        /// Which item.
        item: Item,
        /// Which version.
        number: Number,
    },
    /// A record, log entry or head is not valid.
    #[error("{key} is not valid")]
    Record {
        /// Where it lies.
        key: String,
        /// Why.
        source: RecordError,
    },
    /// The new version would not be signed, but who reads it demands that.
    #[error("the new version of the {item} would not be signed, but a signature is required")]
    SignatureNeeded {
        /// Which item.
        item: Item,
    },
    /// The key that signs is none of those that are pinned.
    #[error("what {key} signs would not be believed: its public key is not pinned")]
    SignerNotPinned {
        /// The key that signs.
        key: String,
    },
    /// The version to be written cannot be.
    #[error("the new version cannot be written")]
    NewRecord {
        /// Why.
        source: RecordError,
    },
    /// The document to be written cannot be.
    #[error("the new environment cannot be written")]
    NewDocument {
        /// Why.
        source: DocumentError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whether it is committed is not known.
    #[error("the {item} may or may not be committed, as version {number} with checksum {}", name.checksum())]
    Unknown {
        /// Which item.
        item: Item,
        /// The number it would have.
        number: Number,
        /// The name it would have.
        name: VersionName,
        /// What the store said at last.
        source: StoreError,
    },
    /// A deletion was asked for as if it had content.
    #[error("version {number} of the {item} is a deletion")]
    VersionDeleted {
        /// Which item.
        item: Item,
        /// Which version.
        number: Number,
    },
}

/// A name as it may be shown: one that no shell can export may be a misplaced secret.
fn shown_variable(name: &str) -> String {
    if crate::pairs::is_exportable(name) {
        crate::text::shown(name)
    } else {
        "a variable whose name no shell can export".to_owned()
    }
}

fn listed(breaches: &[Breach]) -> String {
    breaches.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn last_change(by: Option<&Rival>) -> String {
    by.map(|rival| format!("; the last change is {rival}"))
        .unwrap_or_default()
}

fn current_is(number: u64, deleted: bool) -> String {
    match number {
        0 => "there is none".to_owned(),
        number if deleted => format!("version {number}, a deletion, is current"),
        number => format!("version {number} is current"),
    }
}

fn does_not_have(variable: &str) -> String {
    if crate::pairs::is_exportable(variable) {
        format!("has no variable {}", crate::text::shown(variable))
    } else {
        "does not have that variable, whose name no shell can export".to_owned()
    }
}

fn by_user(user: Option<&str>) -> String {
    user.map(|user| format!(" by {}", crate::text::shown(user)))
        .unwrap_or_default()
}

/// What stands in the way of a read or write that starts again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The bytes of the current version are not at its key.
    BytesMissing,
    /// Somebody else keeps changing it.
    Changed,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BytesMissing => "the bytes of its current version are missing",
            Self::Changed => "it keeps changing",
        })
    }
}

/// Who committed first, as far as its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rival {
    /// The number of the version that was committed instead.
    pub number: Number,
    /// When.
    pub time: Timestamp,
    /// By whom.
    pub user: Option<String>,
    /// What kind of change.
    pub kind: String,
}

impl std::fmt::Display for Rival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = by_user(self.user.as_deref());
        write!(f, "version {}{by} at {} ({})", self.number, self.time, self.kind)
    }
}
