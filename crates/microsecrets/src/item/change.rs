//! What a writer says: the change, the decision on a base, and how it ended.

use super::{FetchedHead, Note};
use crate::checksum::Checksum;
use crate::document::{Document, Variables};
use crate::record::{ChangeKind, Record, SignedRecord};
use crate::secret::SecretBytes;
use crate::store::Source;

/// What to publish.
#[non_exhaustive]
pub struct Change {
    /// What makes the version.
    pub kind: ChangeKind,
    /// Why, in the writer's words.
    pub message: Option<String>,
    /// How many seconds after its commit the version ends being valid.
    pub lifetime: Option<i64>,
    /// Its content.
    pub content: Content,
}

impl Change {
    /// A change with no message that never ends being valid.
    pub fn new(kind: ChangeKind, content: Content) -> Self {
        Self {
            kind,
            message: None,
            lifetime: None,
            content,
        }
    }

    /// Valid for so many seconds only.
    pub fn lifetime(mut self, seconds: Option<i64>) -> Self {
        self.lifetime = seconds;
        self
    }

    /// With a message.
    pub fn message(mut self, message: Option<String>) -> Self {
        self.message = message;
        self
    }
}

/// The content of a version to be published.
#[non_exhaustive]
pub enum Content {
    /// None: the item is deleted.
    Deletion,
    /// Names and values.
    Environment(Variables),
    /// A file.
    File {
        /// Its bytes.
        bytes: FileBytes,
        /// Their checksum.
        checksum: Checksum,
        /// Its permission bits where it comes from.
        mode: Option<u32>,
    },
}

/// The bytes of a file to be published.
#[non_exhaustive]
pub enum FileBytes {
    /// In memory.
    Memory(SecretBytes),
    /// Too many for memory.
    Source(Box<dyn Source>),
}

impl FileBytes {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Source(source) => source.size(),
        }
    }
}

/// What the current version is to who decides about the next one.
pub struct Base<'b> {
    pub(super) head: Option<&'b FetchedHead>,
    pub(super) has_bytes: bool,
}

impl Base<'_> {
    /// The current version's record, a deletion's too; `None` when the item is new.
    pub fn record(&self) -> Option<&Record> {
        self.head.map(FetchedHead::record)
    }

    /// The current environment; `None` for files, for a deletion and for a new item.
    pub fn document(&self) -> Option<&Document> {
        self.head.and_then(|head| head.document.as_ref())
    }

    /// Whether the current version's bytes are there, as far as is known. Those of a large file can be lost, which is
    /// looked at once the decision is to keep it, and decided again; others are in the head.
    pub fn has_bytes(&self) -> bool {
        self.has_bytes
    }
}

/// What to do with a base.
#[non_exhaustive]
pub enum Decision {
    /// Publish this.
    Commit(Change),
    /// Leave it as it is.
    Keep,
}

/// What to do when somebody else commits first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum OnConflict {
    /// Decide again, on the new base; 100 times at most.
    Reapply,
    /// Report it.
    Report,
}

/// How a write ended.
#[non_exhaustive]
pub enum Outcome {
    /// A new version is committed.
    Committed(Committed),
    /// The current version was kept.
    Kept {
        /// Its record; `None` when there is no version.
        entry: Option<SignedRecord>,
        /// What a user should be told.
        notes: Vec<Note>,
    },
}

/// A version that was committed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Committed {
    /// Its record.
    pub entry: SignedRecord,
    /// Where its bytes lie.
    pub key: String,
    /// What a user should be told.
    pub notes: Vec<Note>,
}
