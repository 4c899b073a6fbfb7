//! The same version under a new head: the end of a migration, and a signature by another key.
//!
//! It keeps its number, its name, and its nonce, by which its writer may still have to find it. Its log entry stays as it
//! was committed.

use super::change::{Committed, Outcome};
use super::commit::{Attempt, Ground, SoFar, Writer, was_refused};
use super::{FetchedHead, ItemError, MAX_ATTEMPTS};
use crate::record::{Head, Record};

impl Writer<'_> {
    /// Ends the migration: readers stop looking for what 0.3.4 may have written. What it wrote last is adopted first.
    pub async fn finish_migration(&self) -> Result<Outcome, ItemError> {
        self.again(async |base| {
            if !base.record().migration {
                return Ok(None);
            }
            let record = Record {
                migration: false,
                signer: self.expected_signer(),
                ..base.record().clone()
            };
            let head = self.new_head(record, base.head.bytes().duplicate())?;
            self.sign(head).await.map(Some)
        })
        .await
    }

    /// Signs the current version again, unless the key that signs has signed it already.
    pub async fn re_sign(&self) -> Result<Outcome, ItemError> {
        self.again(async |base| {
            let record = Record {
                signer: self.expected_signer(),
                ..base.record().clone()
            };
            let head = self.sign(self.new_head(record, base.head.bytes().duplicate())?).await?;
            let is_new = self.signer_of(base.head.entry()) != self.signer_of(head.entry());
            Ok(is_new.then_some(head))
        })
        .await
    }

    /// Replaces the head by what `renew` makes of it, again and again until nobody comes between; keeps it when that is
    /// nothing.
    async fn again(
        &self,
        renew: impl AsyncFn(&FetchedHead) -> Result<Option<Head>, ItemError>,
    ) -> Result<Outcome, ItemError> {
        self.check_signing()?;
        let mut so_far = SoFar::default();
        for _ in 0..MAX_ATTEMPTS {
            let Attempt::Done(ground) = self.ground(&mut so_far).await? else {
                continue;
            };
            let renewed = match &ground.head {
                Some(base) => renew(base).await?,
                None => None,
            };
            let Some(head) = renewed else {
                return Ok(Outcome::Kept {
                    entry: ground.head.map(|base| base.head.into_parts().0),
                    notes: so_far.notes,
                });
            };
            // The log entry of this number is the record as it was committed.
            if let Attempt::Done(()) = self.complete(&ground).await?
                && self.replaced(&ground, &head).await?
            {
                let name = &head.record().name;
                so_far.notes.extend(self.raced_by(&ground, name).await);
                return Ok(Outcome::Committed(Committed {
                    key: self.access.item.version_key(name),
                    entry: head.into_parts().0,
                    notes: so_far.notes,
                }));
            }
        }
        Err(self.access.changing())
    }

    /// Puts a head in the place of the base's; whether it was the base's still.
    async fn replaced(&self, ground: &Ground, head: &Head) -> Result<bool, ItemError> {
        match self.access.store.put(self.head_put(ground, head)).await {
            Ok(_) => Ok(true),
            // Somebody was first, or it was us and the answer was lost: the next look at the head shows it.
            Err(error) if was_refused(&error) => Ok(false),
            Err(error) if error.maybe_applied => Err(self.unknown(head.record(), error)),
            Err(error) => Err(error.into()),
        }
    }
}
