//! The protocol: how an item is read in one request, and how a version is committed by compare-and-swap.
//!
//! `read` finds a version and checks it; `publish` makes one, and `commit` commits it; `settle` finds out how a commit
//! ended whose answer was lost; `listing` looks for what lies beyond the head; `adopt` takes over what 0.3.4 wrote, and
//! `again` puts a head again for the same version, to end that or to sign it anew. `signing` signs what is written, and
//! `verify` walks the chain of records. `history` tells what there was (`newest` walks keys downwards), `select` finds the version that a
//! person means, `edits` changes single variables, and `prune` removes bytes. Nothing leaves this module unverified: bytes in memory have the checksum that record and key say,
//! and a [`FileStream`] ends with an error when it does not.

#![allow(
    clippy::result_large_err,
    reason = "an error is made once, when a read or a write has failed"
)]

mod adopt;
mod again;
mod ailment;
mod change;
mod commit;
mod edits;
mod error;
mod examine;
mod history;
mod inspect;
mod large;
mod listing;
mod newest;
mod prune;
mod publish;
mod read;
mod repair;
mod select;
mod settle;
mod signing;
mod verify;

use bytes::Bytes;

pub use self::ailment::{Ailment, Examination};
pub use self::change::{Base, Change, Committed, Content, Decision, FileBytes, OnConflict, Outcome};
pub use self::commit::Writer;
pub use self::edits::{Applied, Edits};
pub use self::error::{ItemError, Rival, Why};
pub use self::history::{Cursor, HistoryPage, Presence, Row, Signed};
use self::listing::first_key;
pub use self::listing::{Listed, items_of, services, survey};
pub use self::prune::PrunePolicy;
pub use self::read::{Reader, Selector};
pub use self::repair::{MayWrite, Restorable};
pub use self::select::{VersionSpec, VersionSpecError};
pub use self::signing::Unsigned;
pub use self::verify::{BadLink, Broken, Chain};
use crate::checksum::{Checksum, Digest, DigestHasher, Hasher};
use crate::document::Document;
use crate::layout::Item;
use crate::name::{Number, VersionName};
use crate::record::{ChangeKind, Head, Record, SignedRecord, State};
use crate::secret::SecretBytes;
use crate::store::{
    Body, Condition, Denial, ETag, Encryption, ErrorKind, Get, List, Object, Pieces, Store, StoreError,
};
use crate::time::{MAX_AHEAD, Timestamp};
use crate::trust::{Checks, Distrust, RequiredEncryption};

/// How often a read or write is tried while others keep changing the item.
const MAX_ATTEMPTS: usize = 100;

/// What every operation on an item needs: the item, where it lives and what is demanded of it.
#[derive(Clone, Copy)]
#[allow(
    clippy::exhaustive_structs,
    reason = "a bundle of references that callers put together"
)]
pub struct Access<'a> {
    /// Where it lives.
    pub store: &'a dyn Store,
    /// What is demanded of what the store answers.
    pub checks: &'a Checks,
    /// Which item.
    pub item: &'a Item,
}

/// A head as it was fetched: in its place, encrypted as demanded, its bytes matching its record.
pub(crate) struct FetchedHead {
    pub(crate) head: Head,
    pub(crate) etag: ETag,
    pub(crate) encryption: Encryption,
    pub(crate) date: Timestamp,
    pub(crate) document: Option<Document>,
}

impl FetchedHead {
    pub(crate) fn record(&self) -> &Record {
        self.head.record()
    }
}

/// Whether a head must be signed, if that is demanded at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Vouching {
    Demanded,
    Waived,
}

impl<'a> Access<'a> {
    /// Fetches the head and verifies all that is demanded of it; `None` only when its absence is certain.
    pub(crate) async fn head(&self) -> Result<Option<FetchedHead>, ItemError> {
        let head = self.head_by(Vouching::Demanded).await?;
        if let Some(head) = &head {
            let number = Some(head.record().number);
            let recent = self.checks.check_number(number);
            recent.map_err(|source| self.distrust(&self.item.head_key(), source))?;
        }
        Ok(head)
    }

    /// Fetches the head, whoever signed it and however old it is: for the history, and for who looks how a commit ended.
    pub(crate) async fn head_by_anybody(&self) -> Result<Option<FetchedHead>, ItemError> {
        self.head_by(Vouching::Waived).await
    }

    async fn head_by(&self, vouching: Vouching) -> Result<Option<FetchedHead>, ItemError> {
        let request = Get::whole(self.item.head_key(), crate::record::MAX_HEAD);
        // What only KMS knows about the demands is asked beside it.
        let (object, required) = tokio::join!(self.store.get(request), self.checks.required_encryption());
        match object {
            Ok(object) => self.check_head(object, &required?, vouching).map(Some),
            Err(error) => self.absent_head(error).await.map(|()| None),
        }
    }

    /// Whether a failure to get the head means that there is certainly none: it is what the failure means, if not.
    ///
    /// A 403 alone never does: S3 answers it for a missing object to who may not list, but a head under a foreign key
    /// must not send readers to what lies there without one. The listing of the head's own key knows.
    async fn absent_head(&self, error: StoreError) -> Result<(), ItemError> {
        match &error.kind {
            ErrorKind::NotFound => return Ok(()),
            ErrorKind::Denied(_) => {}
            _ => return Err(error.into()),
        }
        let key = self.item.head_key();
        match first_key(self.store, List::prefix(&key)).await {
            Ok(first) if first.as_ref() == Some(&key) => Err(error.into()),
            Ok(_) => Ok(()),
            Err(listing) if matches!(listing.kind, ErrorKind::Denied(_)) => Err(self.denied_or_absent(error)),
            Err(listing) => Err(listing.into()),
        }
    }

    fn denied_or_absent(&self, source: StoreError) -> ItemError {
        if may_be_absent(&source) {
            let item = self.item.clone();
            ItemError::DeniedOrAbsent { item, source }
        } else {
            source.into()
        }
    }

    /// Whether the head is no longer the one with this ETag; `None` stands for no head.
    pub(crate) async fn head_changed(&self, before: Option<&ETag>) -> Result<bool, ItemError> {
        let mut request = Get::attributes(self.item.head_key());
        if let Some(etag) = before {
            request = request.if_none_match(etag.clone());
        }
        match self.store.get(request).await {
            Ok(object) => Ok(before != Some(&object.etag)),
            Err(error) if error.kind == ErrorKind::NotModified => Ok(false),
            Err(error) => self.absent_head(error).await.map(|()| before.is_some()),
        }
    }

    fn check_head(
        &self,
        object: Object,
        required: &RequiredEncryption,
        vouching: Vouching,
    ) -> Result<FetchedHead, ItemError> {
        let key = self.item.head_key();
        let distrust = |source| self.distrust(&key, source);
        required.check(&object.encryption).map_err(distrust)?;
        let Body::Whole(bytes) = object.body else {
            return Err(malformed(&key, "the store did not answer the bytes"));
        };
        let head = Head::parse(bytes.expose()).map_err(|source| ItemError::Record {
            key: key.clone(),
            source,
        })?;
        let record = head.record();
        self.checks
            .check_place(record, self.item, self.store)
            .map_err(distrust)?;
        if vouching == Vouching::Demanded {
            self.checks.check_signature(head.entry()).map_err(distrust)?;
        }
        let mut document = None;
        if record.inline {
            check_checksum(head.bytes().expose(), record.checksum()).map_err(distrust)?;
            document = self.document(&key, head.bytes(), Some(record))?;
        }
        Ok(FetchedHead {
            head,
            etag: object.etag,
            encryption: object.encryption,
            date: object.date,
            document,
        })
    }

    /// Fetches a log entry, which must be signed if that is demanded; `None` when there is none.
    pub(crate) async fn vouched_entry(&self, number: Number) -> Result<Option<SignedRecord>, ItemError> {
        let entry = self.log_entry(number).await?;
        if let Some(entry) = &entry {
            let signed = self.checks.check_signature(entry);
            signed.map_err(|source| self.distrust(&self.item.log_key(number), source))?;
        }
        Ok(entry)
    }

    /// Fetches a log entry, whoever signed it; `None` when there is none.
    pub(crate) async fn log_entry(&self, number: Number) -> Result<Option<SignedRecord>, ItemError> {
        let key = self.item.log_key(number);
        let object = match self.store.get(Get::whole(&key, crate::record::MAX_LOG_ENTRY)).await {
            Ok(object) => object,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.check_encryption(&key, &object.encryption).await?;
        let Body::Whole(bytes) = object.body else {
            return Err(malformed(&key, "the store did not answer the bytes"));
        };
        let entry = SignedRecord::parse(bytes.expose()).map_err(|source| ItemError::Record {
            key: key.clone(),
            source,
        })?;
        self.checks
            .check_place(entry.record(), self.item, self.store)
            .map_err(|source| self.distrust(&key, source))?;
        let found = entry.record().number;
        if found != number {
            return Err(self.distrust(&key, Distrust::OtherNumber { found, wanted: number }));
        }
        Ok(Some(entry))
    }

    /// Checks how an object is encrypted.
    pub(crate) async fn check_encryption(&self, key: &str, found: &Encryption) -> Result<(), ItemError> {
        let required = self.checks.required_encryption().await?;
        required.check(found).map_err(|source| self.distrust(key, source))
    }

    /// Parses an environment's bytes and checks what they say of themselves; `None` for a file.
    fn document(&self, key: &str, bytes: &SecretBytes, record: Option<&Record>) -> Result<Option<Document>, ItemError> {
        if self.item.is_file() {
            return Ok(None);
        }
        // What 0.3.4 wrote says no number, or one that was another version's: it is given by adoption.
        let ours = record.filter(|record| record.kind != ChangeKind::Adopted);
        let number = ours.map(|record| record.number);
        let document = Document::parse(bytes.expose());
        document
            .and_then(|document| document.agrees_with(self.item, number).map(|()| Some(document)))
            .map_err(|source| ItemError::Document {
                key: key.to_owned(),
                source,
            })
    }

    fn distrust(&self, key: &str, source: Distrust) -> ItemError {
        ItemError::Distrusted {
            key: key.to_owned(),
            source,
        }
    }

    fn absent(&self) -> ItemError {
        ItemError::Absent {
            item: self.item.clone(),
            location: self.store.location(),
        }
    }

    /// There is no head, and what is not signed is not believed.
    fn never_signed(&self) -> ItemError {
        ItemError::NeverSigned {
            item: self.item.clone(),
            location: self.store.location(),
        }
    }

    /// It kept changing while it was looked at.
    fn changing(&self) -> ItemError {
        ItemError::Busy {
            item: self.item.clone(),
            attempts: MAX_ATTEMPTS,
            why: Why::Changed,
        }
    }

    fn deleted(&self, record: &Record) -> ItemError {
        deleted(self.item, record)
    }
}

fn deleted(item: &Item, record: &Record) -> ItemError {
    ItemError::Deleted {
        item: item.clone(),
        number: record.number,
        time: record.time,
        user: record.user.clone(),
    }
}

/// Whether what was denied may in truth be missing. KMS says no only for what is there.
fn may_be_absent(error: &StoreError) -> bool {
    match &error.kind {
        ErrorKind::Denied(Denial { action, .. }) => !action.as_deref().is_some_and(|action| action.starts_with("kms:")),
        _ => false,
    }
}

fn malformed(key: &str, what: &str) -> ItemError {
    StoreError::new(crate::store::Operation::Get, key, ErrorKind::Malformed(what.to_owned())).into()
}

fn check_checksum(bytes: &[u8], wanted: Checksum) -> Result<(), Distrust> {
    if Checksum::of(bytes) == wanted {
        Ok(())
    } else {
        Err(Distrust::Checksum {
            wanted: wanted.to_string(),
        })
    }
}

/// Refuses a listed name that is too far ahead of the clock of the listing it was seen in.
fn check_not_ahead(key: &str, name: &VersionName, date: Timestamp, tolerance: i64) -> Result<(), ItemError> {
    let seconds = name.second().as_unix() - date.as_unix();
    if seconds > tolerance {
        Err(ItemError::FutureDated {
            key: key.to_owned(),
            seconds,
        })
    } else {
        Ok(())
    }
}

/// A version, verified.
#[non_exhaustive]
pub struct Version {
    /// What is known about it.
    pub facts: Facts,
    /// Its content.
    pub content: VersionContent,
    /// What a user should be told.
    pub notes: Vec<Note>,
}

/// What is known about a version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Facts {
    /// Its name.
    pub name: VersionName,
    /// Where its bytes lie, or will once the next write completes what a crash left out.
    pub key: String,
    /// How many bytes it has.
    pub size: u64,
    /// Its record; 0.3.4's versions have none until they are adopted.
    pub entry: Option<SignedRecord>,
    /// How it is encrypted.
    pub encryption: Encryption,
}

impl Facts {
    /// Its number, if it has one.
    pub fn number(&self) -> Option<Number> {
        self.entry.as_ref().map(|entry| entry.record().number)
    }
}

/// The content of a version.
#[non_exhaustive]
pub enum VersionContent {
    /// Of an environment.
    Environment(Document),
    /// Of a file that is in memory.
    File(SecretBytes),
    /// Of a large file.
    Stream(FileStream),
}

/// A large file, piece by piece. Its checksum is known to be right only when the last piece was followed by `None`: keep
/// what you make of it apart until then.
pub struct FileStream {
    key: String,
    pieces: Box<dyn Pieces>,
    hasher: Hasher,
    wanted: Checksum,
    pinned: Option<Box<Pinned>>,
    left: u64,
}

/// A digest that the bytes must have beside their checksum.
struct Pinned {
    pin: Digest,
    hasher: DigestHasher,
    item: Item,
}

impl FileStream {
    /// The next piece; `None` after the last one, when all of them had the right checksum.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ItemError> {
        let Some(piece) = self.pieces.next().await? else {
            return self.finish().map(|()| None);
        };
        self.hasher.update(&piece);
        if let Some(pinned) = &mut self.pinned {
            pinned.hasher.update(&piece);
        }
        self.left = self.left.checked_sub(piece.len() as u64).ok_or_else(|| self.wrong())?;
        Ok(Some(piece))
    }

    fn finish(&mut self) -> Result<(), ItemError> {
        if std::mem::take(&mut self.hasher).finish() != self.wanted {
            return Err(self.wrong());
        }
        let Some(Pinned { pin, hasher, item }) = self.pinned.take().map(|pinned| *pinned) else {
            return Ok(());
        };
        if hasher.finish() == pin {
            Ok(())
        } else {
            Err(ItemError::PinMismatch { item })
        }
    }

    fn wrong(&self) -> ItemError {
        let source = Distrust::Checksum {
            wanted: self.wanted.to_string(),
        };
        ItemError::Distrusted {
            key: self.key.clone(),
            source,
        }
    }
}

/// What a user should be told of a read or a write that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// Committed, though the store said that something went wrong.
    Complained {
        /// What it said.
        what: String,
    },
    /// Most of its life is over.
    ExpiresSoon {
        /// When it ends.
        at: Timestamp,
    },
    /// The head's name is ahead of the store's clock.
    HeadAhead {
        /// By how many seconds.
        seconds: i64,
    },
    /// A newer version than the pinned one is current.
    NewerExists {
        /// Its number, if it has one.
        number: Option<Number>,
        /// Its name.
        name: VersionName,
    },
    /// 0.3.4 wrote a version while this one was committed: it is not part of it.
    RacedBy {
        /// Its key.
        key: String,
    },
    /// A SHA-1 pin is weak.
    Sha1Pin,
    /// Somebody else has committed on top already.
    Superseded,
    /// Committed, but something that the next write completes was left out.
    Unfinished {
        /// What, and why.
        what: String,
    },
}

fn note_if_ahead(record: &Record, date: Timestamp) -> Option<Note> {
    let seconds = record.name.second().as_unix() - date.as_unix();
    (seconds > MAX_AHEAD).then_some(Note::HeadAhead { seconds })
}

fn is_live(record: &Record) -> bool {
    record.state == State::Live
}

/// Refuses a version whose life has ended, by the store's clock; from 80 % of it on, that is said.
fn check_life(record: &Record, now: Timestamp) -> Result<Option<Note>, Distrust> {
    let Some(at) = record.expires else { return Ok(None) };
    let (lived, life) = (
        now.as_unix() - record.time.as_unix(),
        at.as_unix() - record.time.as_unix(),
    );
    if now >= at {
        Err(Distrust::Expired { at })
    } else {
        Ok((lived * 10 >= life * 8).then_some(Note::ExpiresSoon { at }))
    }
}

/// The condition under which a head may be replaced.
fn replacing(etag: Option<&ETag>) -> Condition {
    etag.map_or(Condition::Absent, |etag| Condition::Is(etag.clone()))
}
