//! Large files: their bytes are put before the commit, because no head can carry them.

use std::io;

use super::commit::{Candidate, Ground, Writer};
use super::{ItemError, MAX_ATTEMPTS, check_checksum};
use crate::checksum::{Checksum, Hasher};
use crate::name::{Nonce, VersionName};
use crate::record::{Head, Record};
use crate::secret::SecretBytes;
use crate::source::SharedSource;
use crate::spill::into_memory;
use crate::store::{
    Condition, Delete, ErrorKind, Get, Mark, Operation, Payload, Put, Source, StoreError, Stored, Which,
};

impl Writer<'_> {
    /// Puts the bytes of a large file, which no head can carry, before the commit. No two writers share an object: when
    /// there is one already that is not ours, the next name is taken.
    pub(super) async fn put_large(
        &self,
        ground: &Ground,
        mut head: Head,
        payload: Payload,
    ) -> Result<Candidate, ItemError> {
        let large = Large::new(payload);
        for _ in 0..MAX_ATTEMPTS {
            let record = head.record();
            let (key, payload) = (
                self.access.item.version_key(&record.name),
                large.lend(record.checksum())?,
            );
            let put = Put::new(&key, payload, Condition::Absent, ground.encryption.clone()).marked(record.nonce);
            let stored = match self.access.store.put(put).await {
                Ok(stored) => Some(stored),
                Err(error) if error.kind == ErrorKind::PreconditionFailed => self.is_ours(&key, record.nonce).await?,
                Err(error) => return Err(error.into()),
            };
            if stored.is_some() {
                return Ok(Candidate { head, large: stored });
            }
            head = self.renamed(ground, record)?;
        }
        Err(self.access.changing())
    }

    /// The same head under the next name.
    fn renamed(&self, ground: &Ground, record: &Record) -> Result<Head, ItemError> {
        let exhausted = || ItemError::Exhausted {
            item: self.access.item.clone(),
            what: "names in this second",
        };
        let name = VersionName::after(Some(&record.name), ground.beyond.date, record.checksum());
        let name = name.ok_or_else(exhausted)?;
        let record = Record { name, ..record.clone() };
        self.new_head(record, SecretBytes::new(Vec::new()))
    }

    /// The object at a key, when it carries our nonce: an answer was lost.
    async fn is_ours(&self, key: &str, nonce: Nonce) -> Result<Option<Stored>, ItemError> {
        match self.access.store.get(Get::attributes(key)).await {
            Ok(object) if object.mark == Some(Mark::Ours(nonce)) => Ok(Some(Stored {
                etag: object.etag,
                version_id: None,
                etag_is_unique: false,
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the bytes of a large file whose commit has certainly failed: exactly the object that was put, or none.
    pub(super) async fn remove_large(&self, name: &VersionName, stored: Option<&Stored>) {
        let Some(stored) = stored else { return };
        let which = match (&stored.version_id, stored.etag_is_unique) {
            (Some(version_id), _) => Which::WithVersionId(version_id.clone()),
            (None, true) => Which::WithETag(stored.etag.clone()),
            // Equal bytes may have an equal ETag here, and another writer may have put them since.
            (None, false) => return,
        };
        let key = self.access.item.version_key(name);
        // Failing leaves bytes that no head names; `doctor` offers them.
        self.access.store.delete(Delete { key, which }).await.ok();
    }
}

/// Reads a source that fits into a head, and checks that it is what was announced.
pub(super) fn read_small(source: &mut dyn Source, checksum: Checksum) -> Result<SecretBytes, ItemError> {
    source.rewind().map_err(unreadable)?;
    let bytes = into_memory(source).map_err(unreadable)?;
    check_bytes(&bytes, checksum)?;
    Ok(bytes)
}

/// Checks that bytes are what was announced.
pub(super) fn check_bytes(bytes: &SecretBytes, checksum: Checksum) -> Result<(), ItemError> {
    check_checksum(bytes.expose(), checksum).map_err(|_| unreadable(changed()))
}

fn changed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "other bytes than announced")
}

fn unreadable(error: io::Error) -> ItemError {
    ItemError::Store(StoreError::new(Operation::Put, "file", ErrorKind::UnreadableSource).with_source(error))
}

/// Bytes that may have to be put under more than one name.
enum Large {
    Bytes(SecretBytes),
    Source(SharedSource),
}

impl Large {
    fn new(payload: Payload) -> Self {
        match payload {
            Payload::Bytes(bytes) => Self::Bytes(bytes),
            Payload::Source(source) => Self::Source(SharedSource::new(source)),
        }
    }

    /// The bytes from their beginning, where every store begins to read.
    fn lend(&self, checksum: Checksum) -> Result<Payload, ItemError> {
        let source = match self {
            Self::Bytes(bytes) => return Ok(Payload::Bytes(bytes.duplicate())),
            Self::Source(source) => source.clone(),
        };
        let hasher = None;
        let mut again = HashedAgain {
            source,
            checksum,
            hasher,
        };
        again.rewind().map_err(unreadable)?;
        Ok(Payload::Source(Box::new(again)))
    }
}

/// A source that is hashed again while it is sent, and fails at its end when it is not what was announced.
struct HashedAgain {
    source: SharedSource,
    checksum: Checksum,
    /// Gone after the end.
    hasher: Option<Hasher>,
}

impl Source for HashedAgain {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        if read > 0 {
            let hasher = self.hasher.as_mut().ok_or_else(changed)?;
            hasher.update(&buffer[..read]);
        } else if !buffer.is_empty()
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.checksum
        {
            return Err(changed());
        }
        Ok(read)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.hasher = Some(Hasher::new());
        self.source.rewind()
    }
}
