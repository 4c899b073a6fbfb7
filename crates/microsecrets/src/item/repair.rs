//! Mending what `examine` finds: for `doctor`.
//!
//! What is changed is what a write would change too: what a crash left out is completed, a head is put back that readers
//! refuse, and bytes are removed that can no longer become a version. Each looks again before it changes anything, so
//! whoever was first wins.

use super::ailment::Ailment;
use super::commit::{Attempt, Ground, Writer, was_refused};
use super::examine::{Examined, HeadState, is_of_content, is_of_record};
use super::listing::{Beyond, Listed};
use super::{Access, ItemError, MAX_ATTEMPTS, check_checksum, is_live};
use crate::record::{Head, MAX_HEAD, Record, SignedRecord};
use crate::secret::SecretBytes;
use crate::store::{Body, Condition, Delete, Encryption, ErrorKind, Get, Payload, Put, Which};
use crate::time::Timestamp;

/// A head that can be put in the place of one that is missing, refused, or older than the log.
#[non_exhaustive]
pub struct Restorable {
    head: Head,
    encryption: Encryption,
    /// What it takes the place of.
    state: HeadState,
    /// The key of something newer that was committed too, and cannot be put back: writers will refuse this head.
    pub newer: Option<String>,
}

impl Restorable {
    /// The record of the version that becomes current again.
    pub fn record(&self) -> &Record {
        self.head.record()
    }
}

/// Whether a head may be written over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MayWrite {
    /// It may.
    Yes,
    /// It was: the store ignores conditions. The bytes are the same as before.
    ConditionIgnored,
    /// There is no head to try it on.
    NoHead,
}

impl Access<'_> {
    /// The newest version that is whole, of those that the log has a record of, if the head needs one: it is missing,
    /// readers refuse it, or it is older than the log. `None` when there is no such version, or nothing wrong with the
    /// head.
    ///
    /// A head that is not signed by a pinned key gives way to a version that is, and no older one.
    pub async fn restorable(&self) -> Result<Option<Restorable>, ItemError> {
        let look = self.look().await?;
        let least = match &look.head {
            None => None,
            Some(head) => match (self.checks.check_signature(head.head.entry()), look.logged_beyond()) {
                (Ok(()), None) => return Ok(None),
                (Ok(()), Some(_)) => head.record().number.next(),
                (Err(_), _) => Some(head.record().number),
            },
        };
        let entries = look.entries.iter().rev();
        let entries = entries.take_while(|entry| least.is_none_or(|least| entry.record().number >= least));
        for entry in entries.filter(|entry| self.checks.check_signature(entry).is_ok()) {
            if let Some((head, encryption)) = self.rebuilt(entry.clone()).await? {
                return Ok(Some(Restorable {
                    newer: look.beyond(self, head.record()),
                    state: look.state,
                    head,
                    encryption,
                }));
            }
        }
        Ok(None)
    }

    /// Puts a head back in the place of what was there when it was found. Whether it is there now: `false` when somebody
    /// has put another one meanwhile.
    pub async fn put_back(&self, restorable: &Restorable) -> Result<bool, ItemError> {
        let key = self.item.head_key();
        let condition = match &restorable.state {
            HeadState::Absent => Condition::Absent,
            HeadState::Is(etag) => Condition::Is(etag.clone()),
            // It has no ETag, so it can only be removed first.
            HeadState::Unreadable if self.head_state().await?.0 == HeadState::Unreadable => {
                self.store.delete(Delete::new(&key, Which::Any)).await?;
                Condition::Absent
            }
            HeadState::Unreadable => return Ok(false),
        };
        let payload = Payload::Bytes(restorable.head.to_bytes());
        let put = Put::new(key, payload, condition, restorable.encryption.clone());
        match self.store.put(put).await {
            Ok(_) => Ok(true),
            // It may have been us, and the answer was lost.
            Err(error) if was_refused(&error) => match self.head_by_anybody().await {
                Ok(head) => Ok(head.is_some_and(|head| head.head.entry() == restorable.head.entry())),
                Err(error) if is_of_content(&error) => Ok(false),
                Err(error) => Err(error),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// The head of a version, made of its log entry and its bytes; `None` when they are not there, or readers would
    /// refuse it as well.
    async fn rebuilt(&self, entry: SignedRecord) -> Result<Option<(Head, Encryption)>, ItemError> {
        let record = entry.record();
        let key = match is_live(record) {
            true => self.item.version_key(&record.name),
            false => self.item.log_key(record.number),
        };
        let request = match record.inline {
            true => Get::whole(&key, MAX_HEAD),
            false => Get::attributes(&key),
        };
        let object = match self.store.get(request).await.map_err(ItemError::from) {
            Ok(object) => object,
            Err(ItemError::Store(error)) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) if is_of_content(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = match object.body {
            Body::Whole(bytes) => bytes,
            _ => SecretBytes::new(Vec::new()),
        };
        let found = Examined {
            listed: Listed {
                name: Some(record.name.clone()),
                key: key.clone(),
                size: object.size,
                modified: object.modified,
            },
            mark: object.mark,
            encryption: object.encryption.clone(),
        };
        let is_right = self.check_encryption(&key, &object.encryption).await.is_ok()
            && (!is_live(record) || is_of_record(record, &found).is_ok())
            && (!record.inline
                || check_checksum(bytes.expose(), record.checksum()).is_ok()
                    && self.document(&key, &bytes, Some(record)).is_ok());
        let head = is_right.then(|| Head::new(entry, bytes).ok()).flatten();
        Ok(head.map(|head| (head, object.encryption)))
    }

    /// Removes bytes that can no longer become a version, after looking again whether they cannot; whether they were
    /// removed. Nobody who puts bytes at their key can win either, because its name says a time before the head's.
    pub async fn remove_orphan(&self, key: &str) -> Result<bool, ItemError> {
        let again = self.examine().await?.ailments;
        let mut orphans = again.iter().filter_map(|ailment| match ailment {
            Ailment::Orphan { key, .. } => Some(key.as_str()),
            _ => None,
        });
        if !orphans.any(|orphan| orphan == key) {
            return Ok(false);
        }
        self.store.delete(Delete::new(key, Which::Any)).await?;
        Ok(true)
    }

    /// Whether the head may be written over, tried by putting exactly what is there under a condition that cannot hold.
    pub async fn may_write(&self) -> Result<MayWrite, ItemError> {
        let Some(head) = self.head_by_anybody().await? else {
            return Ok(MayWrite::NoHead);
        };
        let (key, payload) = (self.item.head_key(), Payload::Bytes(head.head.to_bytes()));
        let put = Put::new(key, payload, Condition::Absent, head.encryption);
        match self.store.put(put).await {
            Ok(_) => Ok(MayWrite::ConditionIgnored),
            Err(error) if error.kind == ErrorKind::PreconditionFailed => Ok(MayWrite::Yes),
            Err(error) => Err(error.into()),
        }
    }
}

impl Writer<'_> {
    /// Puts what an interrupted write has left out: the current version's bytes and log entry, under the head's own key.
    /// `false` when there is no head. Adopts nothing and commits nothing.
    pub async fn complete_interrupted(&self) -> Result<bool, ItemError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(head) = self.access.head().await? else {
                return Ok(false);
            };
            let encryption = head.encryption.clone();
            self.check_base(&head, &encryption)?;
            let nothing = Beyond {
                versions: Vec::new(),
                date: Timestamp::now(),
                log: None,
            };
            let ground = Ground {
                head: Some(head),
                beyond: nothing,
                encryption,
            };
            if let Attempt::Done(()) = self.complete(&ground).await? {
                return Ok(true);
            }
        }
        Err(self.access.changing())
    }
}
