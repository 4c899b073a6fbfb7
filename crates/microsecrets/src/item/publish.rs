//! From a change to a version that can be committed: its document, its record, its head.

use super::change::{Change, Committed, Content, FileBytes};
use super::commit::{Attempt, Candidate, Ground, Writer};
use super::large::{check_bytes, read_small};
use super::{FetchedHead, ItemError};
use crate::checksum::Checksum;
use crate::document::{Document, Metadata, Variables};
use crate::name::{Nonce, Number, VersionName};
use crate::record::{ChangeKind, Head, MAX_INLINE_FILE, Record, RecordError, SignedRecord, State};
use crate::secret::SecretBytes;
use crate::store::Payload;

/// What a change's content comes to.
struct Prepared {
    state: State,
    checksum: Checksum,
    size: u64,
    mode: Option<u32>,
    /// What the head carries.
    bytes: SecretBytes,
    /// What it cannot carry.
    large: Option<Payload>,
}

impl Prepared {
    fn live(checksum: Checksum, bytes: SecretBytes) -> Self {
        Self {
            state: State::Live,
            checksum,
            size: bytes.len() as u64,
            mode: None,
            bytes,
            large: None,
        }
    }
}

impl Writer<'_> {
    /// Steps 2 to 4 for a change.
    pub(super) async fn publish(&self, ground: &Ground, change: Change) -> Result<Attempt<Committed>, ItemError> {
        let prepared = self.prepare(ground, change.content)?;
        let record = Record {
            size: prepared.size,
            mode: prepared.mode,
            message: change.message,
            expires: change.lifetime.map(|seconds| ground.beyond.date.plus(seconds)),
            inline: prepared.state == State::Live && prepared.large.is_none(),
            ..self.record(ground, change.kind, prepared.checksum, prepared.state)?
        };
        // What cannot be written is refused before anything is put.
        let head = self.new_head(record, prepared.bytes)?;
        let candidate = match prepared.large {
            Some(payload) => {
                if let Attempt::Again = self.complete(ground).await? {
                    return Ok(Attempt::Again);
                }
                // Its name, which is signed, is not known before.
                let candidate = self.put_large(ground, head, payload).await?;
                self.sign_large(candidate).await?
            }
            None => {
                let (completed, head) = tokio::join!(self.complete(ground), self.sign(head));
                let (Attempt::Done(()), head) = (completed?, head?) else {
                    return Ok(Attempt::Again);
                };
                Candidate { head, large: None }
            }
        };
        self.commit(ground, candidate).await
    }

    fn prepare(&self, ground: &Ground, content: Content) -> Result<Prepared, ItemError> {
        let is_file = self.access.item.is_file();
        match content {
            Content::Deletion => Ok(Prepared {
                state: State::Deleted,
                ..Prepared::live(Checksum::of_nothing(), SecretBytes::new(Vec::new()))
            }),
            Content::Environment(variables) if !is_file => self.prepare_environment(ground, variables),
            Content::File { bytes, checksum, mode } if is_file => Ok(Prepared {
                mode,
                ..prepare_file(bytes, checksum)?
            }),
            Content::Environment(_) | Content::File { .. } => Err(ItemError::NewRecord {
                source: RecordError::Field("item"),
            }),
        }
    }

    fn prepare_environment(&self, ground: &Ground, variables: Variables) -> Result<Prepared, ItemError> {
        let (number, seconds) = (ground.number(&self.access)?, ground.beyond.date.as_unix());
        let document = Document {
            variables,
            metadata: Metadata::new(seconds as f64, &self.user, self.access.item, number),
        };
        let bytes = document
            .to_bytes()
            .map_err(|source| ItemError::NewDocument { source })?;
        Ok(Prepared::live(Checksum::of(bytes.expose()), bytes))
    }

    /// The record of a version over this base, for a change of one kind.
    pub(super) fn record(
        &self,
        ground: &Ground,
        kind: ChangeKind,
        checksum: Checksum,
        state: State,
    ) -> Result<Record, ItemError> {
        let now = ground.beyond.date;
        let exhausted = || ItemError::Exhausted {
            item: self.access.item.clone(),
            what: "names in this second",
        };
        let base = ground.head.as_ref().map(FetchedHead::record);
        Ok(Record {
            bucket: self.access.store.bucket().to_owned(),
            item: self.access.item.clone(),
            number: ground.number(&self.access)?,
            state,
            inline: false,
            name: VersionName::after(ground.greatest_name(), now, checksum).ok_or_else(exhausted)?,
            parent: base.map(|base| base.name.clone()),
            size: 0,
            mode: None,
            kind,
            user: Some(self.user.clone()),
            message: None,
            time: now,
            expires: None,
            migration: base.is_some_and(|base| base.migration),
            nonce: Nonce::random(),
            signer: self.expected_signer(),
        })
    }

    pub(super) fn new_head(&self, record: Record, bytes: SecretBytes) -> Result<Head, ItemError> {
        let entry = SignedRecord::new(record).map_err(|source| ItemError::NewRecord { source })?;
        Head::new(entry, bytes).map_err(|source| ItemError::NewRecord { source })
    }
}

impl Ground {
    fn number(&self, access: &super::Access<'_>) -> Result<Number, ItemError> {
        let Some(head) = &self.head else {
            return Ok(Number::FIRST);
        };
        let exhausted = || ItemError::Exhausted {
            item: access.item.clone(),
            what: "numbers",
        };
        head.record().number.next().ok_or_else(exhausted)
    }

    /// The greatest name there is, committed or not: the next one comes after it.
    fn greatest_name(&self) -> Option<&VersionName> {
        let listed = self.beyond.versions.iter().rev();
        let listed = listed.filter_map(|listed| listed.name.as_ref()).next();
        listed.max(self.head.as_ref().map(|head| &head.record().name))
    }
}

fn prepare_file(bytes: FileBytes, checksum: Checksum) -> Result<Prepared, ItemError> {
    let size = bytes.size();
    let (bytes, large) = match bytes {
        FileBytes::Memory(bytes) => {
            check_bytes(&bytes, checksum)?;
            if size <= MAX_INLINE_FILE {
                (bytes, None)
            } else {
                (SecretBytes::new(Vec::new()), Some(Payload::Bytes(bytes)))
            }
        }
        FileBytes::Source(mut source) if size <= MAX_INLINE_FILE => (read_small(&mut *source, checksum)?, None),
        FileBytes::Source(source) => (SecretBytes::new(Vec::new()), Some(Payload::Source(source))),
    };
    Ok(Prepared {
        size,
        large,
        ..Prepared::live(checksum, bytes)
    })
}
