//! ListObjectVersions, for one key: what a bucket with versioning still holds of it.

use super::S3Store;
use super::whole::Whole;
use crate::aws::{Asked, from_sdk};
use crate::store::{HeldVersion, Operation, StoreError};

/// The most pages that are asked for: a store that never ends its list is no S3.
const MAX_PAGES: usize = 100;

/// Where the next page begins, as S3 says it.
#[derive(Clone, Default, PartialEq, Eq)]
struct Markers {
    key: Option<String>,
    version_id: Option<String>,
}

impl S3Store {
    pub(super) async fn versions_of(&self, key: &str) -> Result<Vec<HeldVersion>, StoreError> {
        let asked = Asked::new(Operation::ListVersions, key);
        let (mut held, mut markers) = (Vec::new(), Markers::default());
        for _ in 0..MAX_PAGES {
            let next = self.page_of_versions(&asked, key, &markers, &mut held).await?;
            match next {
                Some(next) if next != markers => markers = next,
                Some(_) => break,
                None => return Ok(held),
            }
        }
        Err(asked.malformed("the list of versions does not end"))
    }

    /// Adds what a page has; answers where the next one begins, if it can hold more of this key.
    async fn page_of_versions(
        &self,
        asked: &Asked,
        key: &str,
        markers: &Markers,
        held: &mut Vec<HeldVersion>,
    ) -> Result<Option<Markers>, StoreError> {
        let whole = &Whole::ending_with("ListVersionsResult");
        let request = |client: aws_sdk_s3::Client| async move {
            client
                .list_object_versions()
                .bucket(&self.bucket)
                .prefix(key)
                .set_key_marker(markers.key.clone())
                .set_version_id_marker(markers.version_id.clone())
                .set_expected_bucket_owner(self.owner.clone())
                .customize()
                .interceptor(whole.clone())
                .send()
                .await
                .map_err(|error| from_sdk(asked, error))
        };
        let page = self.read(asked, request).await?;
        whole.check(asked)?;
        // Other keys may begin with this one. Keys of versions hold nothing that XML or URLs would have to escape.
        let versions = page.versions.unwrap_or_default().into_iter();
        let versions = versions.map(|version| (version.key, version.version_id, false));
        let markers = page.delete_markers.unwrap_or_default().into_iter();
        let markers = markers.map(|marker| (marker.key, marker.version_id, true));
        let of_key = versions
            .chain(markers)
            .filter(|(found, ..)| found.as_deref() == Some(key));
        held.extend(of_key.filter_map(|(_, id, marker)| Some(HeldVersion { id: id?, marker })));
        let more = page.is_truncated.unwrap_or(false) && page.next_key_marker.as_deref() == Some(key);
        Ok(more.then_some(Markers {
            key: page.next_key_marker,
            version_id: page.next_version_id_marker,
        }))
    }
}
