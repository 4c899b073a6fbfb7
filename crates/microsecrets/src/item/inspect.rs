//! A look at an item without taking part in the protocol: for `migrate` and for people.

use super::listing::WrittenBy;
use super::{Access, ItemError};
use crate::name::VersionName;
use crate::record::Record;

impl Access<'_> {
    /// The record of the head; `None` when the store says that there is none.
    pub async fn head_record(&self) -> Result<Option<Record>, ItemError> {
        Ok(self.head_by_anybody().await?.map(|head| head.record().clone()))
    }

    /// The name of the last version that 0.3.4 wrote, whether or not it is current.
    pub async fn last_legacy_write(&self) -> Result<Option<VersionName>, ItemError> {
        let (versions, _) = self.versions_after(None).await?;
        for listed in versions.iter().rev() {
            if self.author(&listed.key).await? == WrittenBy::Legacy {
                return Ok(listed.name.clone());
            }
        }
        Ok(None)
    }
}
