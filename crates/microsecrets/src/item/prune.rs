//! Pruning: removes the bytes of old versions, never the current one's, oldest first. Records stay, so that the history
//! still says what there was.

use std::collections::BTreeSet;

use super::examine::check_mark;
use super::listing::WrittenBy;
use super::{Access, FetchedHead, ItemError, MAX_ATTEMPTS, is_live};
use crate::checksum::Checksum;
use crate::name::{Number, VersionName};
use crate::record::Record;
use crate::store::{Delete, ErrorKind, Get, HeldVersion, Which};
use crate::time::Timestamp;

/// Which versions to prune: those that every part allows. Without a part, all below the current one.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PrunePolicy {
    /// Keep the newest so many versions, the current one included.
    pub keep: Option<u64>,
    /// Keep what was committed since then.
    pub older_than: Option<Timestamp>,
    /// Keep versions with these checksums.
    pub protect: Vec<Checksum>,
    /// Only this version.
    pub only: Option<Number>,
    /// Also versions whose bytes were removed already: a bucket with versioning may still hold them.
    pub removed_too: bool,
}

impl PrunePolicy {
    /// What a record tells beside its number.
    fn allows(&self, record: &Record) -> bool {
        let is_old = self.older_than.is_none_or(|then| record.name.second() < then);
        is_old && !self.protect.contains(&record.checksum())
    }
}

impl Access<'_> {
    /// The versions whose bytes a policy would remove, oldest first: the candidates are below the current version, have
    /// a record, and have bytes. What 0.3.4 wrote and nobody adopted is left alone.
    ///
    /// # Errors
    ///
    /// Without a head nobody knows which version is current: [`ItemError::HeadMissing`], [`ItemError::NeverAdopted`]. And
    /// [`ItemError::CurrentVersion`], [`ItemError::NoSuchNumber`]; those of the store.
    pub async fn prunable(&self, policy: &PrunePolicy) -> Result<Vec<Record>, ItemError> {
        let head = self.head_to_prune_below().await?;
        let current = head.record();
        if let Some(number) = policy.only.filter(|number| *number >= current.number) {
            let item = self.item.clone();
            return Err(if number == current.number {
                ItemError::CurrentVersion { item, number }
            } else {
                ItemError::NoSuchNumber { item, number }
            });
        }
        let kept = self.kept_names().await?;
        let mut numbers = self.numbers_to_prune(&head, policy, &kept).await?;
        // The one above them stays, and tells up to where names may go.
        let above = numbers.last().and_then(|last| last.next());
        numbers.extend(above);
        let entries = self.entries(Some(&head), &numbers).await?;
        let mut records: Vec<_> = entries
            .into_iter()
            .map(|entry| entry.map(|entry| entry.record().clone()))
            .collect();
        let above = above.and_then(|_| records.pop()).flatten();
        let mut below = above.map_or_else(|| current.name.clone(), |record| record.name.min(current.name.clone()));
        let mut chosen = Vec::new();
        for record in records.into_iter().rev().flatten() {
            // Names grow with numbers. A log entry that says otherwise is not ours, and may point at bytes that stay.
            if record.name >= below {
                continue;
            }
            below = record.name.clone();
            if is_live(&record) && policy.allows(&record) && (policy.removed_too || kept.contains(&record.name)) {
                chosen.push(record);
            }
        }
        chosen.reverse();
        Ok(chosen)
    }

    /// The head, without which nobody knows what is current.
    async fn head_to_prune_below(&self) -> Result<FetchedHead, ItemError> {
        for _ in 0..MAX_ATTEMPTS {
            if let Some(head) = self.head().await? {
                return Ok(head);
            }
            let (greatest, _) = self.greatest_version(|_| true).await?;
            let item = self.item.clone();
            let Some(listed) = greatest else {
                return Err(self.absent());
            };
            match self.author(&listed.key).await? {
                WrittenBy::Legacy => return Err(ItemError::NeverAdopted { item }),
                // The first head may have come meanwhile.
                _ if self.head_changed(None).await? => {}
                _ => return Err(ItemError::HeadMissing { item, key: listed.key }),
            }
        }
        Err(self.changing())
    }

    /// The names of the versions whose bytes are there.
    async fn kept_names(&self) -> Result<BTreeSet<VersionName>, ItemError> {
        let (versions, _) = self.versions_after(None).await?;
        Ok(versions.into_iter().filter_map(|listed| listed.name).collect())
    }

    /// The numbers that a policy allows to go, as far as numbers tell, in order.
    async fn numbers_to_prune(
        &self,
        head: &FetchedHead,
        policy: &PrunePolicy,
        kept: &BTreeSet<VersionName>,
    ) -> Result<Vec<Number>, ItemError> {
        let current = head.record().number.get();
        if let Some(only) = policy.only {
            return Ok(vec![only]);
        }
        let first = match kept.first() {
            _ if policy.removed_too => 1,
            None => return Ok(Vec::new()),
            Some(oldest) => {
                let before = self.last_entry(head, |name| name < oldest).await?;
                before.map_or(1, |entry| entry.record().number.get() + 1)
            }
        };
        // Below a deletion lies what a rollback brings back.
        let least = if is_live(head.record()) { 1 } else { 2 };
        let mut last = current.saturating_sub(policy.keep.unwrap_or(least).max(least));
        if let Some(then) = policy.older_than {
            let before = self.last_entry(head, |name| name.second() < then).await?;
            last = last.min(before.map_or(0, |entry| entry.record().number.get()));
        }
        Ok((first..=last).filter_map(Number::new).collect())
    }

    /// Removes a version's bytes, if they are the ones that its record is about. Whether a bucket with versioning still
    /// holds them, under a delete marker.
    pub async fn remove_bytes(&self, record: &Record) -> Result<bool, ItemError> {
        let key = self.item.version_key(&record.name);
        let object = match self.store.get(Get::attributes(&key)).await {
            Ok(object) => object,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        check_mark(record, object.mark).map_err(|source| self.distrust(&key, source))?;
        Ok(self.store.delete(Delete::new(key, Which::Any)).await?.marker)
    }

    /// Removes for good what a bucket with versioning still holds of a version's bytes.
    pub async fn purge_bytes(&self, record: &Record) -> Result<(), ItemError> {
        let key = self.item.version_key(&record.name);
        // The delete marker hides the bytes beneath it until the last of them is gone.
        let (markers, bytes): (Vec<HeldVersion>, Vec<_>) = self
            .store
            .versions(&key)
            .await?
            .into_iter()
            .partition(|held| held.marker);
        for held in bytes.into_iter().chain(markers) {
            self.store
                .delete(Delete::new(&key, Which::WithVersionId(held.id)))
                .await?;
        }
        Ok(())
    }
}
