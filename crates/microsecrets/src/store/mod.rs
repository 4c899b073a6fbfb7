//! The seam to where objects live: four operations on keys, each atomic for its key, none across keys.
//!
//! What is asked of a store, and what everything above the seam relies on:
//!
//! * A put is atomic: a reader sees the old object or the new one, whole.
//! * Reads and listings see every put and delete that was answered before they began.
//! * [`Condition`]s are decided by the store, in the same atomic step as the put. [`Condition::Is`] on a key that is not
//!   there fails (with 412 or 404).
//! * An [`ETag`] speaks of the object's *content* only: the same bytes may have the same ETag. (Heads hold a nonce, so
//!   no two of them have the same bytes.)
//! * Each listing says the store's own clock, because nobody else's is believed.
//!
//! A store answers as a hostile one might; whatever it says is checked above the seam, in [`crate::item`].

mod error;
pub mod folder;
pub mod memory;
mod retry;
pub mod s3;

use std::fmt;
use std::io;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::error::{Denial, ErrorKind, Operation, StoreError};
pub use self::retry::RetryPolicy;
use crate::name::Nonce;
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// Where objects live.
#[async_trait]
pub trait Store: Send + Sync {
    /// The name that records give this store: the bucket's, or a folder's random id.
    fn bucket(&self) -> &str;

    /// How the store is called in messages: `s3://bucket`, `file:/path`.
    fn location(&self) -> String;

    /// Reads an object.
    async fn get(&self, request: Get) -> Result<Object, StoreError>;

    /// Writes an object, whole or not at all.
    async fn put(&self, request: Put) -> Result<Stored, StoreError>;

    /// Lists keys in their (byte) order, one page at a time.
    async fn list(&self, request: List) -> Result<Page, StoreError>;

    /// Deletes an object. A key that is not there is no error.
    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError>;

    /// What a bucket with versioning holds of a key, in no order. A store without versioning holds nothing.
    async fn versions(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError>;
}

/// What to read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Get {
    /// The object's key.
    pub key: String,
    /// How much of it.
    pub want: Want,
    /// Answer [`ErrorKind::NotModified`] when the object still has this ETag.
    pub if_none_match: Option<ETag>,
}

impl Get {
    /// Reads a whole object into memory, if it has at most `limit` bytes.
    pub fn whole(key: impl Into<String>, limit: u64) -> Self {
        Self {
            key: key.into(),
            want: Want::Whole { limit },
            if_none_match: None,
        }
    }

    /// Reads an object piece by piece.
    pub fn stream(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            want: Want::Stream,
            if_none_match: None,
        }
    }

    /// Reads what the store knows about an object, not its bytes.
    pub fn attributes(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            want: Want::Attributes,
            if_none_match: None,
        }
    }

    /// Only when the object does not have this ETag any more.
    pub fn if_none_match(mut self, etag: ETag) -> Self {
        self.if_none_match = Some(etag);
        self
    }
}

/// How much of an object to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Want {
    /// No bytes.
    Attributes,
    /// The bytes one piece after the other; nothing is retried once the first piece was handed over.
    Stream,
    /// All bytes at once; an object with more than `limit` is [`ErrorKind::TooLarge`].
    Whole {
        /// The most bytes to accept.
        limit: u64,
    },
}

/// An object, as a store answered it.
#[non_exhaustive]
pub struct Object {
    /// What it says of the object's content.
    pub etag: ETag,
    /// How many bytes the store says there are.
    pub size: u64,
    /// How the store says it is encrypted.
    pub encryption: Encryption,
    /// The mark of an object that we wrote: the nonce of the commit that it belongs to. `Err` when there is a mark that
    /// is no nonce, which nobody but an enemy writes.
    pub mark: Option<Mark>,
    /// When the store last wrote it.
    pub modified: Timestamp,
    /// The store's clock when it answered.
    pub date: Timestamp,
    /// The bytes, as far as they were wanted.
    pub body: Body,
}

/// What an object's metadata says about who wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Mark {
    /// We did, in the commit with this nonce.
    Ours(Nonce),
    /// It says that we did, but names no commit.
    Malformed,
}

/// The bytes of an answer.
#[non_exhaustive]
pub enum Body {
    /// None were wanted.
    None,
    /// All of them.
    Whole(SecretBytes),
    /// One piece after the other.
    Stream(Box<dyn Pieces>),
}

/// The bytes of an object, one piece after the other.
#[async_trait]
pub trait Pieces: Send {
    /// The next piece; `None` after the last.
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError>;
}

/// An entity tag, with its quotes, as the store spells it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ETag(String);

impl ETag {
    /// An ETag as a store spells it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the store spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How an object is encrypted at rest.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Encryption {
    /// SSE-S3: under a key of S3's, that every reader of the object may use.
    Aes256,
    /// SSE-KMS under this key (an ARN in what S3 answers).
    Kms(String),
    /// Two layers of SSE-KMS (DSSE-KMS) under this key.
    KmsDsse(String),
    /// Not said.
    None,
    /// SSE-C or something this program does not know, by its name.
    Other(String),
    /// The store encrypts every object by itself, and offers no choice (folder, memory).
    Store,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aes256 => f.write_str("SSE-S3 (AES256)"),
            Self::Kms(key) => write!(f, "SSE-KMS under {key}"),
            Self::KmsDsse(key) => write!(f, "DSSE-KMS under {key}"),
            Self::None => f.write_str("no server-side encryption"),
            Self::Other(name) => f.write_str(name),
            Self::Store => f.write_str("the store's own encryption"),
        }
    }
}

/// What to write.
#[non_exhaustive]
pub struct Put {
    /// The object's key.
    pub key: String,
    /// Its bytes.
    pub payload: Payload,
    /// When the store may write it.
    pub condition: Condition,
    /// How it shall be encrypted.
    pub encryption: Encryption,
    /// The nonce that marks the object as ours, on version bytes.
    pub mark: Option<Nonce>,
    /// Its media type.
    pub content_type: ContentType,
}

impl Put {
    /// Bytes for a key, under a condition.
    pub fn new(key: impl Into<String>, payload: Payload, condition: Condition, encryption: Encryption) -> Self {
        Self {
            key: key.into(),
            payload,
            condition,
            encryption,
            mark: None,
            content_type: ContentType::Binary,
        }
    }

    /// Marks the object as ours.
    pub fn marked(mut self, nonce: Nonce) -> Self {
        self.mark = Some(nonce);
        self
    }

    /// Says the object's media type.
    pub fn content_type(mut self, content_type: ContentType) -> Self {
        self.content_type = content_type;
        self
    }
}

/// The media types of our objects.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ContentType {
    /// `application/octet-stream`.
    Binary,
    /// `application/json`.
    Json,
}

impl ContentType {
    /// As in the header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "application/octet-stream",
            Self::Json => "application/json",
        }
    }
}

/// The bytes to write.
#[non_exhaustive]
pub enum Payload {
    /// In memory.
    Bytes(SecretBytes),
    /// Too many for memory.
    Source(Box<dyn Source>),
}

/// Bytes that are read from their beginning to their end, more than once when a store has to start over.
///
/// Whoever hands one to a store hands it over at its beginning; a store goes back only to start over.
///
/// A store reads until `read` answers 0, and abandons the write when it fails: the end is where a source notices that it
/// is not what was announced.
pub trait Source: Send {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Reads the next bytes; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Goes back to the beginning.
    fn rewind(&mut self) -> io::Result<()>;
}

/// When a put may happen.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Condition {
    /// Only when there is no object at the key (`If-None-Match: *`).
    Absent,
    /// Only when the object there has this ETag (`If-Match`).
    Is(ETag),
}

/// What a store answers to a put.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stored {
    /// The new object's ETag.
    pub etag: ETag,
    /// The version id that a bucket with versioning gave it.
    pub version_id: Option<String>,
    /// Whether no other object, of equal bytes, can ever have this ETag: it is no digest of the bytes.
    pub etag_is_unique: bool,
}

/// What to list.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct List {
    /// Only keys that begin so.
    pub prefix: String,
    /// Only keys after this one.
    pub start_after: Option<String>,
    /// Keys that hold this character after the prefix are rolled up into one name a group.
    pub delimiter: Option<char>,
    /// Where the page before ended.
    pub continuation: Option<String>,
    /// The most keys to answer at once; the store's own limit (1,000) when it is not said.
    pub limit: Option<u16>,
}

impl List {
    /// All keys under a prefix.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            start_after: None,
            delimiter: None,
            continuation: None,
            limit: None,
        }
    }

    /// Only those after a key.
    pub fn start_after(mut self, key: impl Into<String>) -> Self {
        self.start_after = Some(key.into());
        self
    }

    /// Rolled up at a character.
    pub fn delimiter(mut self, delimiter: char) -> Self {
        self.delimiter = Some(delimiter);
        self
    }

    /// At most so many at once.
    pub fn limit(mut self, limit: u16) -> Self {
        self.limit = Some(limit);
        self
    }
}

/// A page of a listing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The keys, in byte order.
    pub entries: Vec<Entry>,
    /// The groups that a delimiter rolled up: each ends in the delimiter.
    pub groups: Vec<String>,
    /// What to give [`List::continuation`] for the next page; `None` on the last.
    pub continuation: Option<String>,
    /// The store's clock when it answered.
    pub date: Timestamp,
}

/// One key of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The key.
    pub key: String,
    /// How many bytes its object has.
    pub size: u64,
    /// When the store last wrote it.
    pub modified: Timestamp,
}

/// What to delete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Delete {
    /// The object's key.
    pub key: String,
    /// Which object exactly.
    pub which: Which,
}

impl Delete {
    /// An object at a key.
    pub fn new(key: impl Into<String>, which: Which) -> Self {
        Self { key: key.into(), which }
    }
}

/// What a store answers to a delete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Deleted {
    /// A bucket with versioning has put a delete marker over the object, and still holds its bytes.
    pub marker: bool,
}

/// One of the objects that a bucket with versioning holds at a key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeldVersion {
    /// Its version id.
    pub id: String,
    /// Whether it is a delete marker, which hides what is beneath it.
    pub marker: bool,
}

/// Which object at a key to delete.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Which {
    /// The one there is.
    Any,
    /// Only the one with this ETag.
    WithETag(ETag),
    /// The one with this version id, for good, in a bucket with versioning.
    WithVersionId(String),
}
