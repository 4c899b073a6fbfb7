//! The end of a migration: readers stop looking for what 0.3.4 may have written.

use super::ItemError;
use super::change::{Committed, Outcome};
use super::commit::{Attempt, SoFar, Writer, was_refused};
use crate::record::Record;

impl Writer<'_> {
    /// Ends the migration. What 0.3.4 wrote last is adopted first; the version and its number stay.
    pub async fn finish_migration(&self) -> Result<Outcome, ItemError> {
        let mut so_far = SoFar::default();
        for _ in 0..super::MAX_ATTEMPTS {
            let Attempt::Done(ground) = self.ground(&mut so_far).await? else {
                continue;
            };
            let Some(base) = &ground.head else {
                return Ok(Outcome::Kept {
                    entry: None,
                    notes: so_far.notes,
                });
            };
            if !base.record().migration {
                return Ok(Outcome::Kept {
                    entry: Some(base.head.entry().clone()),
                    notes: so_far.notes,
                });
            }
            // The log entry of this number is the record as it was committed.
            if let Attempt::Again = self.complete(&ground).await? {
                continue;
            }
            // It stays the same version, so it keeps the nonce, by which its writer may still have to find it.
            let record = Record {
                migration: false,
                ..base.record().clone()
            };
            let head = self.new_head(record, base.head.bytes().duplicate())?;
            match self.access.store.put(self.head_put(&ground, &head)).await {
                Ok(_) => {
                    let name = &head.record().name;
                    so_far.notes.extend(self.raced_by(&ground, name).await);
                    return Ok(Outcome::Committed(Committed {
                        key: self.access.item.version_key(name),
                        entry: head.into_parts().0,
                        notes: so_far.notes,
                    }));
                }
                // Somebody was first, or it was us and the answer was lost: the next look at the head shows it.
                Err(error) if was_refused(&error) => {}
                Err(error) if error.maybe_applied => return Err(self.unknown(head.record(), error)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.access.changing())
    }
}
