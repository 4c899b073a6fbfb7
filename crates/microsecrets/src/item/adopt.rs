//! Adoption: 0.3.4's greatest version becomes the head, by a commit of its own, before anything is built on it.

use super::commit::{Attempt, Candidate, Ground, Writer, was_refused};
use super::listing::Listed;
use super::{ItemError, Note};
use crate::checksum::{Checksum, Hasher};
use crate::document::{DocumentError, MAX_DOCUMENT};
use crate::name::VersionName;
use crate::record::{ChangeKind, MAX_INLINE_FILE, Record, State};
use crate::secret::SecretBytes;
use crate::store::{Body, ErrorKind, Get};
use crate::trust::Distrust;

impl Writer<'_> {
    /// Commits 0.3.4's greatest version as it is, by the same steps; whoever wins that, the write starts again. Answers
    /// what only who adopts can see: versions below the adopted one that came too late to be chosen, and what was left out.
    pub(super) async fn adopt(&self, ground: &Ground, listed: &Listed) -> Result<Vec<Note>, ItemError> {
        let name = listed.named()?.clone();
        // What is adopted gets our signature.
        self.check_adopted(&listed.key)?;
        let Some((bytes, size)) = self.legacy_bytes(ground, &listed.key, &name).await? else {
            return Ok(Vec::new());
        };
        let record = Record {
            name,
            size,
            inline: !self.access.item.is_file() || size <= MAX_INLINE_FILE,
            migration: true,
            ..self.record(ground, ChangeKind::Adopted, Checksum::of_nothing(), State::Live)?
        };
        let head = self.new_head(record, bytes)?;
        let (completed, head) = tokio::join!(self.complete(ground), self.sign(head));
        let (Attempt::Done(()), head) = (completed?, head?) else {
            return Ok(Vec::new());
        };
        match self.commit(ground, Candidate { head, large: None }).await {
            Ok(Attempt::Done(committed)) => {
                let notes = committed.notes.into_iter();
                let stays = |note: &Note| matches!(note, Note::RacedBy { .. } | Note::Unfinished { .. });
                Ok(notes.filter(stays).collect())
            }
            Ok(Attempt::Lost(_) | Attempt::Again) => Ok(Vec::new()),
            // It is not the writer's own version that may or may not be committed.
            Err(ItemError::Unknown { source, .. }) if was_refused(&source) => Ok(Vec::new()),
            Err(ItemError::Unknown { source, .. }) => Err(source.into()),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a version of 0.3.4, checked (only their size when they are too many for a head); `None` when they
    /// are gone.
    async fn legacy_bytes(
        &self,
        ground: &Ground,
        key: &str,
        name: &VersionName,
    ) -> Result<Option<(SecretBytes, u64)>, ItemError> {
        let distrust = |source| ItemError::Distrusted {
            key: key.to_owned(),
            source,
        };
        let mut object = match self.access.store.get(Get::stream(key)).await {
            Ok(object) => object,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.access.check_encryption(key, &object.encryption).await?;
        self.check_key(&object.encryption, &ground.encryption)?;
        let limit = if self.access.item.is_file() {
            MAX_INLINE_FILE
        } else {
            MAX_DOCUMENT
        };
        let too_large = || ItemError::Document {
            key: key.to_owned(),
            source: DocumentError::TooLarge,
        };
        if !self.access.item.is_file() && object.size > limit {
            return Err(too_large());
        }
        // Never moved while it grows, so that nothing is left behind unwiped.
        let capacity = usize::try_from(object.size.min(limit)).unwrap_or(0);
        let mut kept = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
        let (mut hasher, mut size) = (Hasher::new(), 0);
        if let Body::Stream(pieces) = &mut object.body {
            while let Some(piece) = pieces.next().await? {
                size += piece.len() as u64;
                hasher.update(&piece);
                if size <= limit {
                    kept.extend_from_slice(&piece);
                }
            }
        }
        if hasher.finish() != name.checksum() {
            return Err(distrust(Distrust::Checksum {
                wanted: name.checksum().to_string(),
            }));
        }
        if size > limit {
            if !self.access.item.is_file() {
                return Err(too_large());
            }
            kept.clear();
        }
        let bytes = SecretBytes::new(std::mem::take(&mut kept));
        self.access.document(key, &bytes, None)?;
        Ok(Some((bytes, size)))
    }
}
