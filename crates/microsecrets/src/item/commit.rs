//! Writing: one compare-and-swap of the head is the commit; everything else completes it.
//!
//! 1. *Base*: get the head and list what lies beyond it. What 0.3.4 wrote there is adopted first, by a commit of its
//!    own; so the base always is the head, and nothing is numbered or logged but what was committed.
//! 2. *Complete the base*: put its bytes and its log entry, if a crash left them out. 412 is the normal answer; a 200
//!    must become a 412 when repeated, or the store cannot compare-and-swap.
//! 3. *Commit*: put the head under the condition that the base still is the head.
//! 4. *Complete the new version*: put its bytes and its log entry. Failing here is only a warning.

use super::change::{Base, Committed, Decision, OnConflict, Outcome};
use super::examine::is_of_content;
use super::listing::{Beyond, WrittenBy};
use super::settle::Settled;
use super::{Access, FetchedHead, ItemError, MAX_ATTEMPTS, Note, Rival, is_live, replacing};
use crate::checksum::Checksum;
use crate::keys::Keys;
use crate::name::VersionName;
use crate::record::{ChangeKind, Head, Record};
use crate::secret::SecretBytes;
use crate::store::{Condition, ContentType, ETag, Encryption, ErrorKind, Payload, Put, StoreError, Stored};
use crate::trust::{Distrust, RequiredEncryption};

/// Publishes versions of an item.
#[non_exhaustive]
pub struct Writer<'a> {
    /// The item, where it lives and what is demanded of the base.
    pub access: Access<'a>,
    /// The keys beside the store.
    pub keys: &'a dyn Keys,
    /// The name of the key to encrypt under: an alias, an id or an ARN.
    pub key_name: String,
    /// Accept another key than the current version's.
    pub new_key: bool,
    /// Who writes, `name@host`.
    pub user: String,
    /// The name of the key that signs new versions: an alias, an id or an ARN.
    pub sign_with: Option<String>,
    /// Take as a base what no pinned key vouches for, if it is exactly this: what [`Unsigned`](super::Unsigned) says.
    pub adopt: Vec<Checksum>,
}

/// A base: the head, what lies beyond it, and how to encrypt.
pub(super) struct Ground {
    pub(super) head: Option<FetchedHead>,
    pub(super) beyond: Beyond,
    pub(super) encryption: Encryption,
}

/// What a write knows from one attempt to the next.
#[derive(Default)]
pub(super) struct SoFar {
    /// How to encrypt, resolved once.
    encryption: Option<Encryption>,
    /// What the user should be told in the end.
    pub(super) notes: Vec<Note>,
}

/// A version about to be committed.
pub(super) struct Candidate {
    pub(super) head: Head,
    /// The bytes of a large file, as they were put before the commit.
    pub(super) large: Option<Stored>,
}

/// How an attempt ended.
pub(super) enum Attempt<T> {
    Done(T),
    Lost(Box<Rival>),
    Again,
}

impl<'a> Writer<'a> {
    /// A writer that keeps the current version's key.
    pub fn new(access: Access<'a>, keys: &'a dyn Keys, key_name: &str, user: &str) -> Self {
        Self {
            access,
            keys,
            key_name: key_name.to_owned(),
            new_key: false,
            user: user.to_owned(),
            sign_with: None,
            adopt: Vec::new(),
        }
    }

    /// Reads the base, lets `decide` say what shall be, and commits that.
    pub async fn write(
        &self,
        on_conflict: OnConflict,
        mut decide: impl FnMut(&Base<'_>) -> Result<Decision, ItemError>,
    ) -> Result<Outcome, ItemError> {
        self.check_signing()?;
        let mut so_far = SoFar::default();
        for _ in 0..MAX_ATTEMPTS {
            let Attempt::Done(ground) = self.ground(&mut so_far).await? else {
                continue;
            };
            let mut decide = |has_bytes| {
                let head = ground.head.as_ref();
                decide(&Base { head, has_bytes })
            };
            let mut decision = decide(true)?;
            // Asked for only when it matters: what is replaced need not be there.
            if matches!(decision, Decision::Keep) && !self.has_bytes(&ground).await? {
                decision = decide(false)?;
            }
            let Decision::Commit(change) = decision else {
                let entry = ground.head.map(|head| head.head.into_parts().0);
                let notes = so_far.notes;
                return Ok(Outcome::Kept { entry, notes });
            };
            match self.publish(&ground, change).await? {
                Attempt::Done(mut committed) => {
                    committed.notes.splice(..0, so_far.notes);
                    return Ok(Outcome::Committed(committed));
                }
                Attempt::Again => {}
                Attempt::Lost(_) if on_conflict == OnConflict::Reapply => {}
                Attempt::Lost(by) => {
                    let item = self.access.item.clone();
                    return Err(ItemError::Conflict { item, by });
                }
            }
        }
        Err(self.access.changing())
    }

    /// Whether the bytes of the base are there: only those of a large file may have been lost.
    async fn has_bytes(&self, ground: &Ground) -> Result<bool, ItemError> {
        match ground.head.as_ref().map(FetchedHead::record) {
            Some(record) if is_live(record) && !record.inline => {
                let key = self.access.item.version_key(&record.name);
                Ok(self.access.author(&key).await? != WrittenBy::Nobody)
            }
            _ => Ok(true),
        }
    }

    pub(super) fn unknown(&self, record: &Record, source: StoreError) -> ItemError {
        ItemError::Unknown {
            item: self.access.item.clone(),
            number: record.number,
            name: record.name.clone(),
            source,
        }
    }

    /// Step 1: the base. `Again` after adopting what 0.3.4 wrote, and when the head changed under us.
    pub(super) async fn ground(&self, so_far: &mut SoFar) -> Result<Attempt<Ground>, ItemError> {
        let (head, encryption) = tokio::join!(self.base(), self.encryption(so_far.encryption.take()));
        let (head, encryption) = (head?, encryption?);
        so_far.encryption = Some(encryption.clone());
        let record = head.as_ref().map(FetchedHead::record);
        let (name, number) = (record.map(|record| &record.name), record.map(|record| record.number));
        let beyond = self.access.beyond(name, number).await?;
        let sorted = self.access.sort_out(name, &beyond).await?;
        if let Some(key) = sorted.ours {
            let etag = head.as_ref().map(|head| &head.etag);
            if self.access.head_changed(etag).await? {
                return Ok(Attempt::Again);
            }
            let item = self.access.item.clone();
            return Err(ItemError::HeadOutdated { item, key });
        }
        if head.is_none() {
            self.check_may_begin()?;
        }
        if let Some(head) = &head {
            self.check_accepted(head, sorted.legacy.as_ref())?;
            self.check_base(head, &encryption)?;
        }
        let ground = Ground {
            head,
            beyond,
            encryption,
        };
        let Some(listed) = sorted.legacy else {
            return Ok(Attempt::Done(ground));
        };
        match self.adopt(&ground, &listed).await {
            Ok(notes) => so_far.notes.extend(notes),
            // A newer head may have passed over what is refused here.
            Err(error) => {
                let etag = ground.head.as_ref().map(|head| &head.etag);
                if !(is_of_content(&error) && self.access.head_changed(etag).await?) {
                    return Err(error);
                }
            }
        }
        Ok(Attempt::Again)
    }

    /// What a reader may believe but nobody may write over: a replica's head, since compare-and-swap does not reach
    /// across replication, and one under another key.
    pub(super) fn check_base(&self, head: &FetchedHead, next: &Encryption) -> Result<(), ItemError> {
        let (found, wanted) = (&head.record().bucket, self.access.store.bucket());
        if found != wanted {
            let (found, wanted) = (found.clone(), wanted.to_owned());
            let source = Distrust::OtherBucket { found, wanted };
            return Err(self.access.distrust(&self.access.item.head_key(), source));
        }
        self.check_key(&head.encryption, next)
    }

    /// How to encrypt: the alias is resolved once, and what is sent is the ARN, which must be the pinned one.
    async fn encryption(&self, known: Option<Encryption>) -> Result<Encryption, ItemError> {
        let encryption = match (known, &self.access.checks.encryption) {
            (Some(encryption), _) => return Ok(encryption),
            (None, RequiredEncryption::Aes256) => Encryption::Aes256,
            (None, RequiredEncryption::Store) => Encryption::Store,
            (None, RequiredEncryption::Kms(_)) => self.keys.resolve(&self.key_name).await?,
        };
        self.access.check_encryption(&self.key_name, &encryption).await?;
        Ok(encryption)
    }

    /// A key that is not the current version's is noticed before anything is written under it.
    pub(super) fn check_key(&self, current: &Encryption, next: &Encryption) -> Result<(), ItemError> {
        match (current, next) {
            (Encryption::Kms(current) | Encryption::KmsDsse(current), Encryption::Kms(next))
                if current != next && !self.new_key =>
            {
                let (current, next) = (current.clone(), next.clone());
                Err(ItemError::KeyMoved {
                    item: self.access.item.clone(),
                    current,
                    next,
                })
            }
            _ => Ok(()),
        }
    }

    /// Steps 3 and 4.
    pub(super) async fn commit(&self, ground: &Ground, candidate: Candidate) -> Result<Attempt<Committed>, ItemError> {
        let name = &candidate.head.record().name;
        let mut notes = match self.swap(ground, &candidate).await {
            Ok(Attempt::Done(notes)) => notes,
            Ok(failed) => {
                self.remove_large(name, candidate.large.as_ref()).await;
                return Ok(match failed {
                    Attempt::Lost(by) => Attempt::Lost(by),
                    _ => Attempt::Again,
                });
            }
            Err(error) => {
                // Only who has certainly lost may delete; what may be committed stays.
                if !matches!(error, ItemError::Unknown { .. } | ItemError::NoCompareAndSwap { .. }) {
                    self.remove_large(name, candidate.large.as_ref()).await;
                }
                return Err(error);
            }
        };
        let (put, raced) = tokio::join!(self.put_version(ground, &candidate.head), self.raced_by(ground, name));
        notes.extend(put);
        notes.extend(raced);
        Ok(Attempt::Done(Committed {
            key: self.access.item.version_key(name),
            entry: candidate.head.into_parts().0,
            notes,
        }))
    }

    /// Step 2: puts the base's bytes and log entry, if a crash left them out, and finds out whether the store keeps its
    /// word about conditions.
    pub(super) async fn complete(&self, ground: &Ground) -> Result<Attempt<()>, ItemError> {
        let Some(base) = &ground.head else {
            return Ok(Attempt::Done(()));
        };
        let (bytes, log) = tokio::join!(
            self.put_twice(|| self.bytes_put(ground, &base.head)),
            self.put_twice(|| Some(self.log_put(ground, &base.head)))
        );
        let (bytes, log) = (bytes?, log?);
        if !bytes && !log {
            Ok(Attempt::Done(()))
        } else if self.access.head_changed(Some(&base.etag)).await? {
            Ok(Attempt::Again)
        } else {
            Err(self.no_compare_and_swap())
        }
    }

    /// Puts what a crash may have left out: 412 is the normal answer. Whether a 200 was no 412 when it was repeated.
    async fn put_twice(&self, put: impl Fn() -> Option<Put>) -> Result<bool, StoreError> {
        Ok(self.put_if_absent(put()).await? && self.put_if_absent(put()).await?)
    }

    fn no_compare_and_swap(&self) -> ItemError {
        ItemError::NoCompareAndSwap {
            location: self.access.store.location(),
        }
    }

    /// Whether a put under `If-None-Match: *` wrote anything.
    async fn put_if_absent(&self, put: Option<Put>) -> Result<bool, StoreError> {
        let Some(put) = put else { return Ok(false) };
        match self.access.store.put(put).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == ErrorKind::PreconditionFailed => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The put of a version's bytes, when its head carries them.
    fn bytes_put(&self, ground: &Ground, head: &Head) -> Option<Put> {
        let (record, item) = (head.record(), self.access.item);
        if !record.inline || !is_live(record) {
            return None;
        }
        let content_type = if item.is_file() {
            ContentType::Binary
        } else {
            ContentType::Json
        };
        let put = new_object(ground, item.version_key(&record.name), head.bytes().duplicate());
        Some(put.marked(record.nonce).content_type(content_type))
    }

    /// The put of a version's log entry.
    fn log_put(&self, ground: &Ground, head: &Head) -> Put {
        let key = self.access.item.log_key(head.record().number);
        new_object(ground, key, SecretBytes::new(head.entry().to_bytes()))
    }

    /// The put of a head in the place of the base's.
    pub(super) fn head_put(&self, ground: &Ground, head: &Head) -> Put {
        let (key, payload) = (self.access.item.head_key(), Payload::Bytes(head.to_bytes()));
        let condition = replacing(ground.head.as_ref().map(|base| &base.etag));
        Put::new(key, payload, condition, ground.encryption.clone())
    }

    /// Step 3: the commit point.
    async fn swap(&self, ground: &Ground, candidate: &Candidate) -> Result<Attempt<Vec<Note>>, ItemError> {
        let record = candidate.head.record();
        let put = || self.head_put(ground, &candidate.head);
        let error = match self.access.store.put(put()).await {
            Ok(_) if ground.head.is_none() => return self.probe_first(put).await.map(Attempt::Done),
            Ok(_) => return Ok(Attempt::Done(Vec::new())),
            Err(error) => error,
        };
        if !was_refused(&error) && !error.maybe_applied {
            return Err(error.into());
        }
        let settled = self.access.settle(record, ground.head.as_ref(), error.maybe_applied);
        match settled.await {
            Settled::Won => {
                let mut notes = Vec::from_iter(complaint(&error));
                if ground.head.is_none() {
                    notes.extend(self.probe_first(put).await?);
                }
                Ok(Attempt::Done(notes))
            }
            Settled::WonAndSuperseded => Ok(Attempt::Done(vec![Note::Superseded])),
            Settled::Lost(by) => Ok(Attempt::Lost(by)),
            Settled::BasePutAgain => Ok(Attempt::Again),
            Settled::Unknown => Err(self.unknown(record, error)),
        }
    }

    /// A first write has no base to try the store's word on, so it repeats its head under both conditions, which must
    /// fail now. (Where one does not, the head is written over by itself.)
    async fn probe_first(&self, put: impl Fn() -> Put) -> Result<Vec<Note>, ItemError> {
        let nobodys = Put {
            condition: Condition::Is(ETag::new("\"00000000000000000000000000000000\"")),
            ..put()
        };
        let (absent, matching) = tokio::join!(self.put_if_absent(Some(put())), self.put_if_absent(Some(nobodys)));
        match absent.and_then(|absent| Ok(absent || matching?)) {
            Ok(false) => Ok(Vec::new()),
            Ok(true) => Err(self.no_compare_and_swap()),
            Err(error) => Ok(vec![Note::Unfinished {
                what: format!("whether the store can compare-and-swap: {error}"),
            }]),
        }
    }

    /// Step 4: puts the new version's bytes and log entry. An adopted version's bytes are 0.3.4's, in their place.
    async fn put_version(&self, ground: &Ground, head: &Head) -> Vec<Note> {
        let bytes = self.bytes_put(ground, head);
        let bytes = bytes.filter(|_| head.record().kind != ChangeKind::Adopted);
        let log = self.log_put(ground, head);
        let (bytes, log) = tokio::join!(self.put_if_absent(bytes), self.put_if_absent(Some(log)));
        let failed = [bytes, log].into_iter().filter_map(Result::err);
        failed.map(|error| unfinished(&error)).collect()
    }

    /// Beside step 4: versions of 0.3.4 that step 1 did not see, so that none is passed over in silence.
    pub(super) async fn raced_by(&self, ground: &Ground, own: &VersionName) -> Vec<Note> {
        let base = ground.head.as_ref().map(|head| &head.record().name);
        match self.unseen_legacy(ground, base, own).await {
            Ok(keys) => keys.into_iter().map(|key| Note::RacedBy { key }).collect(),
            Err(error) => vec![unfinished(&format!("looking for writes of 0.3.4: {error}"))],
        }
    }

    async fn unseen_legacy(
        &self,
        ground: &Ground,
        base: Option<&VersionName>,
        own: &VersionName,
    ) -> Result<Vec<String>, ItemError> {
        let own = self.access.item.version_key(own);
        let before = &ground.beyond.versions;
        let seen = |key: &String| *key == own || before.binary_search_by(|before| before.key.cmp(key)).is_ok();
        let (listed, _) = self.access.versions_after(base).await?;
        let unseen: Vec<_> = listed.into_iter().filter(|listed| !seen(&listed.key)).collect();
        let authors = self.access.written_by(&unseen).await?;
        let legacy = unseen.into_iter().zip(authors);
        let legacy = legacy.filter(|(_, author)| *author == WrittenBy::Legacy);
        Ok(legacy.map(|(listed, _)| listed.key).collect())
    }
}

/// Whether a put failed because its condition did not hold: 412, or 404 for `If-Match` on a missing key.
pub(super) fn was_refused(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::PreconditionFailed | ErrorKind::NotFound)
}

/// What to say of a head that is there though the store says more than that its answer was lost.
fn complaint(error: &StoreError) -> Option<Note> {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::Throttled | ErrorKind::TimedOut { .. } => None,
        _ if was_refused(error) => None,
        _ => Some(Note::Complained {
            what: error.to_string(),
        }),
    }
}

/// The put of an object that is written once.
fn new_object(ground: &Ground, key: String, bytes: SecretBytes) -> Put {
    Put::new(key, Payload::Bytes(bytes), Condition::Absent, ground.encryption.clone())
}

fn unfinished(what: &impl std::fmt::Display) -> Note {
    Note::Unfinished { what: what.to_string() }
}
