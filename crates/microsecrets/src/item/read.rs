//! Reading: one request for the current version; more only for what 0.3.4 wrote, for large files and for old versions.

use super::error::Why;
use super::listing::{Listed, WrittenBy};
use super::{
    Access, Facts, FetchedHead, FileStream, ItemError, MAX_ATTEMPTS, Note, Pinned, Version, VersionContent,
    check_checksum, check_life, check_not_ahead, is_live, malformed, may_be_absent, note_if_ahead,
};
use crate::checksum::{Checksum, Digest, Hasher};
use crate::document::MAX_DOCUMENT;
use crate::name::{Number, VersionName};
use crate::record::{MAX_INLINE_FILE, Record, SignedRecord};
use crate::store::{Body, Encryption, ErrorKind, Get, Object, StoreError};
use crate::time::{MAX_AHEAD, Timestamp};
use crate::trust::Distrust;

/// How often a read starts again because bytes are not there.
const MAX_RESTARTS: usize = 3;

/// Which version to read.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Selector {
    /// The current one.
    Current,
    /// The current one, if it has exactly this content.
    CurrentWith(Digest),
    /// The one with exactly this content: the current one, or, for SHA-256, an older one.
    Digest(Digest),
    /// The one with this name.
    Name(VersionName),
    /// The one with this number.
    Number(Number),
}

/// Reads versions of an item.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Reader<'a> {
    /// The item, where it lives and what is demanded.
    pub access: Access<'a>,
    /// Also look for versions of 0.3.4 that are newer than the head, as readers of an item in migration always do.
    pub scan: bool,
    /// Read versions however old they are: for who looks at the past, or brings it back.
    pub past: bool,
    /// Find the record of a version that is pinned by its content, too: for who compares its number.
    pub with_record: bool,
}

/// A version that was found, its head's or 0.3.4's, before its bytes are complete.
struct Found {
    facts: Facts,
    payload: Payload,
    notes: Vec<Note>,
}

/// Where the bytes of a found version are.
enum Payload {
    /// In the head, checked.
    Head(Box<FetchedHead>),
    /// At the version's key, in what was answered already.
    Fetched(Box<Object>),
    /// At the version's key.
    AtKey,
}

/// How one attempt ended.
enum Step<T> {
    Done(T),
    /// Start again, and say this when that does not help.
    Again(Obstacle),
}

/// What stood in the way of an attempt.
enum Obstacle {
    /// The item changed under us.
    Changed,
    /// Something is not there: it was pruned under us, or a crash left it out.
    Missing,
    /// The same, or it is denied: to who may not list S3 does not say which.
    Denied(Box<StoreError>),
}

impl Obstacle {
    /// What a failure to get bytes or a log entry means, when they may be missing.
    fn of(error: StoreError) -> Result<Self, ItemError> {
        match error.kind {
            ErrorKind::NotFound => Ok(Self::Missing),
            _ if may_be_absent(&error) => Ok(Self::Denied(Box::new(error))),
            _ => Err(error.into()),
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader that believes the head.
    pub fn new(access: Access<'a>) -> Self {
        Self {
            access,
            scan: false,
            past: false,
            with_record: false,
        }
    }

    /// Also look beyond the head for versions of 0.3.4.
    pub fn scan(mut self, scan: bool) -> Self {
        self.scan = scan;
        self
    }

    /// Reads versions however old they are, as long as they are said: the current one is held to the least number.
    pub fn past(mut self, past: bool) -> Self {
        self.past = past;
        self
    }

    /// Also find the record of a version that is pinned by checksum or name.
    pub fn with_record(mut self, with_record: bool) -> Self {
        self.with_record = with_record;
        self
    }

    /// Reads a version and verifies it.
    pub async fn read(&self, selector: &Selector) -> Result<Version, ItemError> {
        let (mut attempts, mut missing) = (0, 0);
        loop {
            let step = match selector {
                Selector::Number(number) => self.numbered(*number).await?,
                Selector::Name(name) => self.named(name).await?,
                Selector::Current => self.current(None).await?,
                Selector::CurrentWith(digest) => self.current(Some(digest)).await?,
                Selector::Digest(digest) => self.pinned(digest).await?,
            };
            attempts += 1;
            let obstacle = match step {
                Step::Done(version) => return Ok(version),
                Step::Again(obstacle) => obstacle,
            };
            missing += usize::from(!matches!(obstacle, Obstacle::Changed));
            let why = match obstacle {
                Obstacle::Denied(error) if missing > MAX_RESTARTS => return Err(self.access.denied_or_absent(*error)),
                Obstacle::Missing if missing > MAX_RESTARTS => Why::BytesMissing,
                _ if attempts >= MAX_ATTEMPTS => Why::Changed,
                _ => continue,
            };
            let item = self.access.item.clone();
            return Err(ItemError::Busy { item, attempts, why });
        }
    }

    /// The current version, if it has the digest that is pinned.
    async fn current(&self, pin: Option<&Digest>) -> Result<Step<Version>, ItemError> {
        match self.find_current().await? {
            Step::Done(found) => self.complete(found, pin).await,
            Step::Again(obstacle) => Ok(Step::Again(obstacle)),
        }
    }

    /// The version that a digest pins: the current one, or, for SHA-256, another one.
    async fn pinned(&self, pin: &Digest) -> Result<Step<Version>, ItemError> {
        match (self.find_current().await?, pin) {
            (Step::Done(found), Digest::Sha256(wanted)) if found.facts.name.checksum() != *wanted => {
                self.other_with(*wanted, found).await
            }
            (Step::Done(found), _) => self.complete(found, Some(pin)).await,
            (Step::Again(obstacle), _) => Ok(Step::Again(obstacle)),
        }
    }

    /// Finds the current version: by the head, or as 0.3.4 would.
    async fn find_current(&self) -> Result<Step<Found>, ItemError> {
        let Some(head) = self.access.head().await? else {
            // What lies there without a head is not signed, whoever put it.
            if self.access.checks.demand_signatures() {
                return Err(self.access.never_signed());
            }
            return self.find_legacy().await;
        };
        if head.record().migration || self.scan {
            let (versions, date) = self.access.versions_after(Some(&head.record().name)).await?;
            if !versions.is_empty() {
                let newer = self.newest_legacy(&versions, date).await?;
                if self.access.head_changed(Some(&head.etag)).await? {
                    return Ok(Step::Again(Obstacle::Changed));
                }
                if let Some(name) = newer {
                    self.check_unrecorded(&name)?;
                    return Ok(Step::Done(self.at_key(name, None, Vec::new())));
                }
            }
        }
        if !is_live(head.record()) {
            return Err(self.access.deleted(head.record()));
        }
        Ok(Step::Done(self.head_found(head)))
    }

    /// The greatest of 0.3.4's versions, where there is no head.
    async fn find_legacy(&self) -> Result<Step<Found>, ItemError> {
        let (greatest, date) = self.access.greatest_version(|_| true).await?;
        let Some(listed) = greatest else {
            return Err(self.access.absent());
        };
        let name = listed.named()?;
        check_not_ahead(&listed.key, name, date, MAX_AHEAD)?;
        let object = match self.fetch(&listed.key).await {
            Ok(object) => object,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Step::Again(Obstacle::Missing)),
            Err(error) => return Err(error.into()),
        };
        if self.access.head_changed(None).await? {
            return Ok(Step::Again(Obstacle::Changed));
        }
        if object.mark.is_some() {
            let item = self.access.item.clone();
            return Err(ItemError::HeadMissing { item, key: listed.key });
        }
        Ok(Step::Done(Found {
            payload: Payload::Fetched(Box::new(object)),
            ..self.at_key(name.clone(), None, Vec::new())
        }))
    }

    /// The greatest of 0.3.4's versions among those beyond a head; ours there are not committed, or not any more.
    async fn newest_legacy(&self, versions: &[Listed], date: Timestamp) -> Result<Option<VersionName>, ItemError> {
        for listed in versions.iter().rev() {
            let name = listed.named()?;
            match self.access.author(&listed.key).await? {
                WrittenBy::Legacy => {
                    check_not_ahead(&listed.key, name, date, MAX_AHEAD)?;
                    return Ok(Some(name.clone()));
                }
                WrittenBy::Us | WrittenBy::Nobody => {}
            }
        }
        Ok(None)
    }

    /// Another version with a pinned checksum: the checksum is in its key.
    async fn other_with(&self, wanted: Checksum, current: Found) -> Result<Step<Version>, ItemError> {
        let has_checksum = |listed: &Listed| listed.name.as_ref().is_some_and(|name| name.checksum() == wanted);
        let (listed, date) = self.access.greatest_version(has_checksum).await?;
        let Some(listed) = listed else {
            return Err(self.no_such_version(format!("checksum {wanted}")));
        };
        let name = listed.named()?.clone();
        let newer = newer_than(&name, current.facts.number(), &current.facts.name);
        if let Some(found) = self.recorded(&name, newer.as_ref()).await? {
            return self.complete(found, None).await;
        }
        let object = match self.fetch(&listed.key).await {
            Ok(object) => object,
            Err(error) => return Obstacle::of(error).map(Step::Again),
        };
        if object.mark.is_none() {
            check_not_ahead(&listed.key, &name, date, MAX_AHEAD)?;
        }
        let found = Found {
            payload: Payload::Fetched(Box::new(object)),
            ..self.at_key(name, None, Vec::from_iter(newer))
        };
        self.complete(found, None).await
    }

    /// The version with a name: the current one, or what lies at its key.
    async fn named(&self, name: &VersionName) -> Result<Step<Version>, ItemError> {
        let mut newer = None;
        if let Some(head) = self.access.head().await? {
            let record = head.record();
            // In a migration, what 0.3.4 wrote after a deletion is no part of what was deleted.
            let is_later = record.migration && *name > record.name;
            if !is_live(record) && !is_later {
                return Err(self.access.deleted(record));
            }
            if record.name == *name && is_live(record) {
                return self.complete(self.head_found(head), None).await;
            }
            newer = newer_than(name, Some(record.number), &record.name);
        }
        if let Some(found) = self.recorded(name, newer.as_ref()).await? {
            // What a newer version was committed over was complete.
            let older = found.facts.number().filter(|_| newer.is_some());
            return match (self.complete(found, None).await?, older) {
                (Step::Again(Obstacle::Missing), Some(number)) => Err(ItemError::Pruned {
                    item: self.access.item.clone(),
                    number,
                }),
                (step, _) => Ok(step),
            };
        }
        let found = self.at_key(name.clone(), None, Vec::from_iter(newer));
        match self.complete(found, None).await? {
            Step::Again(Obstacle::Denied(error)) => Err(self.access.denied_or_absent(*error)),
            Step::Again(_) => Err(self.no_such_version(format!("the name {name}"))),
            done => Ok(done),
        }
    }

    /// The version with a name, by its record, where that is needed: it must vouch for the version, or say its number.
    /// `None` where it is not needed, and for what 0.3.4 wrote.
    async fn recorded(&self, name: &VersionName, note: Option<&Note>) -> Result<Option<Found>, ItemError> {
        let vouching = self.access.checks.demand_signatures();
        if !vouching && !self.with_record && self.access.checks.min_version.is_none() {
            return Ok(None);
        }
        let entry = match self.access.head().await? {
            Some(head) => self.access.entry_of(&head, name).await?,
            None if vouching => return Err(self.access.never_signed()),
            None => None,
        };
        let Some(entry) = entry else {
            return self.check_unrecorded(name).map(|()| None);
        };
        self.check_live(entry.record())?;
        let notes = Vec::from_iter(note.cloned());
        Ok(Some(self.at_key(name.clone(), Some(entry), notes)))
    }

    /// Whether a version that no record vouches for may be read at all.
    fn check_unrecorded(&self, name: &VersionName) -> Result<(), ItemError> {
        match self.access.checks.demand_signatures() {
            false => Ok(()),
            true => {
                let key = self.access.item.version_key(name);
                Err(self.access.distrust(&key, Distrust::Unsigned))
            }
        }
    }

    /// The version with a number: by its log entry, or by the head where a crash left the log entry or the bytes out.
    async fn numbered(&self, number: Number) -> Result<Step<Version>, ItemError> {
        let mut last = None;
        for _ in 0..2 {
            last = match self.logged(number).await {
                Ok(Step::Done(version)) => return Ok(Step::Done(version)),
                Ok(Step::Again(obstacle)) => Some(obstacle),
                // The head may have been signed again since.
                Err(ItemError::Distrusted { key, source }) if source.is_of_signature() => {
                    return self.signed_again(number, ItemError::Distrusted { key, source }).await;
                }
                Err(error) => return Err(error),
            };
            let head = self.access.head().await?;
            match head {
                Some(head) if head.record().number == number => {
                    self.check_live(head.record())?;
                    return self.complete(self.head_found(head), None).await;
                }
                Some(head) if head.record().number > number => {}
                None if self.access.log_entry(number).await.is_ok_and(|entry| entry.is_some()) => {
                    if self.access.head_changed(None).await? {
                        return Ok(Step::Again(Obstacle::Changed));
                    }
                    let (item, key) = (self.access.item.clone(), self.access.item.log_key(number));
                    return Err(ItemError::HeadMissing { item, key });
                }
                _ => {
                    let item = self.access.item.clone();
                    return Err(ItemError::NoSuchNumber { item, number });
                }
            }
        }
        match last {
            Some(Obstacle::Denied(error)) => Err(self.access.denied_or_absent(*error)),
            _ => {
                let item = self.access.item.clone();
                Err(ItemError::Pruned { item, number })
            }
        }
    }

    /// The current version, if it has this number: what the log says of it is not signed by a pinned key.
    async fn signed_again(&self, number: Number, error: ItemError) -> Result<Step<Version>, ItemError> {
        match self.access.head().await? {
            Some(head) if head.record().number == number => {
                self.check_live(head.record())?;
                self.complete(self.head_found(head), None).await
            }
            _ => Err(error),
        }
    }

    /// The version that a log entry is about.
    async fn logged(&self, number: Number) -> Result<Step<Version>, ItemError> {
        let entry = match self.access.vouched_entry(number).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Step::Again(Obstacle::Missing)),
            Err(ItemError::Store(error)) => return Obstacle::of(error).map(Step::Again),
            Err(error) => return Err(error),
        };
        self.check_live(entry.record())?;
        let found = self.at_key(entry.record().name.clone(), Some(entry), Vec::new());
        self.complete(found, None).await
    }

    fn check_live(&self, record: &Record) -> Result<(), ItemError> {
        if is_live(record) {
            return Ok(());
        }
        let (item, number) = (self.access.item.clone(), record.number);
        Err(ItemError::VersionDeleted { item, number })
    }

    fn no_such_version(&self, what: String) -> ItemError {
        let item = self.access.item.clone();
        ItemError::NoSuchVersion { item, what }
    }

    fn head_found(&self, head: FetchedHead) -> Found {
        let record = head.record();
        let facts = Facts {
            encryption: head.encryption.clone(),
            size: record.size,
            ..self.facts_at(record.name.clone(), Some(head.head.entry().clone()))
        };
        let notes = note_if_ahead(record, head.date).into_iter().collect();
        let payload = if record.inline {
            Payload::Head(Box::new(head))
        } else {
            Payload::AtKey
        };
        Found { facts, payload, notes }
    }

    /// What lies at a version's key.
    fn at_key(&self, name: VersionName, entry: Option<SignedRecord>, notes: Vec<Note>) -> Found {
        Found {
            facts: self.facts_at(name, entry),
            payload: Payload::AtKey,
            notes,
        }
    }

    fn facts_at(&self, name: VersionName, entry: Option<SignedRecord>) -> Facts {
        let size = entry.as_ref().map_or(0, |entry| entry.record().size);
        Facts {
            key: self.access.item.version_key(&name),
            name,
            size,
            entry,
            encryption: Encryption::None,
        }
    }

    /// Gets what is left of a version's bytes and checks them. `Again` when they are not there: pruned under us, or
    /// left out by a crash.
    async fn complete(&self, found: Found, pin: Option<&Digest>) -> Result<Step<Version>, ItemError> {
        let Found {
            mut facts,
            payload,
            mut notes,
        } = found;
        if !self.past {
            let recent = self.access.checks.check_number(facts.number());
            recent.map_err(|source| self.access.distrust(&facts.key, source))?;
        }
        let content = match payload {
            Payload::Head(head) => {
                notes.extend(self.check_life(&facts, head.date)?);
                self.content_of_head(*head, pin)?
            }
            Payload::Fetched(object) => self.content_of(*object, &mut facts, pin, &mut notes).await?,
            Payload::AtKey => match self.fetch(&facts.key).await {
                Ok(object) => self.content_of(object, &mut facts, pin, &mut notes).await?,
                Err(error) => return Obstacle::of(error).map(Step::Again),
            },
        };
        if matches!(pin, Some(Digest::Sha1(_))) {
            notes.push(Note::Sha1Pin);
        }
        Ok(Step::Done(Version { facts, content, notes }))
    }

    fn check_life(&self, facts: &Facts, now: Timestamp) -> Result<Option<Note>, ItemError> {
        let Some(entry) = &facts.entry else { return Ok(None) };
        check_life(entry.record(), now).map_err(|source| self.access.distrust(&facts.key, source))
    }

    fn content_of_head(&self, head: FetchedHead, pin: Option<&Digest>) -> Result<VersionContent, ItemError> {
        let (_, bytes) = head.head.into_parts();
        self.check_pin(bytes.expose(), pin)?;
        Ok(head
            .document
            .map_or_else(|| VersionContent::File(bytes), VersionContent::Environment))
    }

    fn check_pin(&self, bytes: &[u8], pin: Option<&Digest>) -> Result<(), ItemError> {
        match pin {
            Some(pin) if !pin.matches(bytes) => Err(ItemError::PinMismatch {
                item: self.access.item.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn pinned_by(&self, pin: &Digest) -> Pinned {
        Pinned {
            pin: pin.clone(),
            hasher: pin.hasher(),
            item: self.access.item.clone(),
        }
    }

    /// The object at a version's key.
    async fn fetch(&self, key: &str) -> Result<Object, StoreError> {
        // A file's size is not known from a listing that may be old, so files are streamed and small ones collected.
        let request = if self.access.item.is_file() {
            Get::stream(key)
        } else {
            Get::whole(key, MAX_DOCUMENT)
        };
        self.access.store.get(request).await
    }

    /// What a version's object holds, checked.
    async fn content_of(
        &self,
        object: Object,
        facts: &mut Facts,
        pin: Option<&Digest>,
        notes: &mut Vec<Note>,
    ) -> Result<VersionContent, ItemError> {
        notes.extend(self.check_life(facts, object.date)?);
        let (key, checksum) = (facts.key.clone(), facts.name.checksum());
        let record = facts.entry.as_ref().map(SignedRecord::record);
        let distrust = |source| self.access.distrust(&key, source);
        self.access.check_encryption(&key, &object.encryption).await?;
        if record.is_some_and(|record| record.size != object.size) {
            let wanted = checksum.to_string();
            return Err(distrust(Distrust::Checksum { wanted }));
        }
        let content = match object.body {
            Body::Whole(bytes) => {
                check_checksum(bytes.expose(), checksum).map_err(distrust)?;
                self.check_pin(bytes.expose(), pin)?;
                let document = self.access.document(&key, &bytes, record)?;
                document.map_or_else(|| VersionContent::File(bytes), VersionContent::Environment)
            }
            Body::Stream(pieces) => {
                let stream = FileStream {
                    key: key.clone(),
                    pieces,
                    hasher: Hasher::new(),
                    wanted: checksum,
                    pinned: pin.map(|pin| Box::new(self.pinned_by(pin))),
                    left: object.size,
                };
                if object.size > MAX_INLINE_FILE {
                    VersionContent::Stream(stream)
                } else {
                    VersionContent::File(stream.collect().await?)
                }
            }
            Body::None => return Err(malformed(&key, "the store did not answer the bytes")),
        };
        (facts.size, facts.encryption) = (object.size, object.encryption);
        Ok(content)
    }
}

/// What to say of a version that is older than the current one.
fn newer_than(name: &VersionName, number: Option<Number>, current: &VersionName) -> Option<Note> {
    let name = (current > name).then(|| current.clone())?;
    Some(Note::NewerExists { number, name })
}

impl FileStream {
    /// All pieces of a small file, checked.
    async fn collect(mut self) -> Result<crate::secret::SecretBytes, ItemError> {
        let size = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(MAX_INLINE_FILE as usize);
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(size));
        while let Some(piece) = self.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(crate::secret::SecretBytes::new(std::mem::take(&mut bytes)))
    }
}
