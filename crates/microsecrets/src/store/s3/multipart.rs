//! Multipart uploads: a source is read once from its beginning to its end, a few parts at a time are under way, and the
//! object is there as a whole when the last request succeeds, or not at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::task::{JoinError, JoinSet};
use zeroize::Zeroizing;

use super::put::{Head, fill, finish, unreadable};
use super::{S3Store, encryption, etag, own_version};
use crate::aws::{Asked, Progress, from_sdk};
use crate::secret::SecretBytes;
use crate::store::{Encryption, ErrorKind, Get, Mark, RetryPolicy, Source, Store as _, StoreError, Stored};

/// The least bytes in a part; S3's own limit is 5 MiB.
const LEAST: u64 = 8 << 20;
/// The most parts of an upload: S3's limit.
const MOST_PARTS: u64 = 10_000;
/// The most parts under way, and the most bytes in them (one part when it is larger).
const UNDER_WAY: u64 = 3;
const MOST_UNDER_WAY: u64 = 24 << 20;
/// How often an upload is begun.
const ATTEMPTS: u32 = 3;

/// How an upload ended, when it did not fail for good.
enum Ended {
    Stored(Stored),
    /// Somebody wrote to the key meanwhile, and S3 wants all parts again.
    Conflict(StoreError),
}

/// An upload under way.
struct Upload {
    client: Client,
    bucket: String,
    key: String,
    owner: Option<String>,
    id: String,
    asked: Asked,
    /// Without its time-out: a part has all the time it needs, as long as its bytes move.
    policy: RetryPolicy,
    idle: Duration,
    unique_etags: bool,
}

impl S3Store {
    pub(super) async fn put_parts(&self, head: &Head, mut source: Box<dyn Source>) -> Result<Stored, StoreError> {
        let mut lost = false;
        for attempt in 1.. {
            match self.put_parts_once(head, source.as_mut(), lost).await? {
                Ended::Stored(stored) => return Ok(stored),
                Ended::Conflict(error) if attempt >= ATTEMPTS => return Err(error),
                Ended::Conflict(error) => {
                    lost = error.maybe_applied;
                    source.rewind().map_err(|error| StoreError {
                        maybe_applied: lost,
                        ..unreadable(&head.asked, error)
                    })?;
                }
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// One upload. `lost` says that the answer to the end of one before it was.
    async fn put_parts_once(&self, head: &Head, source: &mut dyn Source, lost: bool) -> Result<Ended, StoreError> {
        let remember = |error: StoreError| StoreError {
            maybe_applied: error.maybe_applied || lost,
            ..error
        };
        let upload = Arc::new(self.begin(head).await.map_err(remember)?);
        let transferred = match upload.transfer(source).await {
            // The end of a source says whether it is what was announced: before anybody can see the object.
            Ok(parts) => finish(&head.asked, source).map(|()| parts),
            Err(error) => Err(error),
        };
        let parts = match transferred {
            Ok(parts) => parts,
            Err(error) => {
                upload.abort().await;
                return Err(remember(error));
            }
        };
        match upload.complete(head, source.size(), parts).await {
            Ok(Ended::Conflict(error)) => {
                upload.abort().await;
                Ok(Ended::Conflict(remember(error)))
            }
            Ok(stored) => Ok(stored),
            Err(error) => self.explain(head, &upload, remember(error)).await,
        }
    }

    async fn begin(&self, head: &Head) -> Result<Upload, StoreError> {
        // Nobody sees an upload that was begun, so an answer that is lost changes nothing.
        let asked = head.asked.clone().changing_nothing();
        let (id, algorithm, key) = self
            .change(&asked, self.aws.retry(), |client| {
                let mut request = client
                    .create_multipart_upload()
                    .bucket(&self.bucket)
                    .key(&head.key)
                    .content_type(head.content_type.as_str())
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .server_side_encryption(head.algorithm.clone())
                    .set_ssekms_key_id(head.kms_key.clone())
                    .set_bucket_key_enabled(head.bucket_key())
                    .set_expected_bucket_owner(self.owner.clone());
                if let Some(nonce) = head.mark {
                    request = request.metadata(super::MARK, nonce.to_string());
                }
                let asked = &asked;
                async move {
                    let output = request.send().await.map_err(|error| from_sdk(asked, error))?;
                    let id = output
                        .upload_id
                        .filter(|id| !id.is_empty())
                        .ok_or_else(|| asked.malformed("it has no upload id"))?;
                    Ok((id, output.server_side_encryption, output.ssekms_key_id))
                }
            })
            .await
            .map_err(|error| StoreError {
                maybe_applied: false,
                ..error
            })?;
        let upload = Upload {
            client: self.home().clone(),
            bucket: self.bucket.clone(),
            key: head.key.clone(),
            owner: self.owner.clone(),
            id,
            asked,
            policy: self.patient(),
            unique_etags: self.has_unique_etags(&head.encryption),
            idle: self.aws.retry().timeout,
        };
        // Some stores say it only at the end, where it is compared again.
        let used = encryption(algorithm, key, None);
        if used != Encryption::None && used != head.encryption {
            upload.abort().await;
            return Err(head.asked.error(ErrorKind::WrongEncryption { used }));
        }
        Ok(upload)
    }

    /// Finds out what a failure to complete means: the answer to an earlier attempt may have been lost.
    async fn explain(&self, head: &Head, upload: &Upload, error: StoreError) -> Result<Ended, StoreError> {
        let is_gone = error.code.as_deref() == Some("NoSuchUpload");
        let is_taken = error.kind == ErrorKind::PreconditionFailed;
        // What was completed cannot be aborted any more; but what still may be must not be.
        if is_taken || !error.maybe_applied {
            upload.abort().await;
        }
        if let Some(nonce) = head.mark
            && (is_gone || is_taken && error.maybe_applied)
        {
            return match self.get(Get::attributes(&head.key)).await {
                Ok(object) if object.mark == Some(Mark::Ours(nonce)) => {
                    if object.encryption != head.encryption {
                        return Err(StoreError {
                            maybe_applied: true,
                            ..head.asked.error(ErrorKind::WrongEncryption {
                                used: object.encryption,
                            })
                        });
                    }
                    Ok(Ended::Stored(Stored {
                        etag: object.etag,
                        version_id: None,
                        etag_is_unique: self.has_unique_etags(&head.encryption),
                    }))
                }
                Ok(_) => Err(StoreError {
                    kind: ErrorKind::PreconditionFailed,
                    ..error
                }),
                Err(_) => Err(error),
            };
        }
        Err(error)
    }
}

impl Upload {
    /// Sends all parts, in any order but read in theirs.
    async fn transfer(self: &Arc<Self>, source: &mut dyn Source) -> Result<Vec<CompletedPart>, StoreError> {
        let size = source.size();
        let part_size = part_size(size);
        let at_once = usize::try_from(under_way(part_size)).unwrap_or(1);
        let mut tasks: JoinSet<Result<CompletedPart, StoreError>> = JoinSet::new();
        let mut parts = Vec::new();
        let mut left = size;
        let mut number = 0;
        while left > 0 {
            // No buffer is filled before there is a place for it, so no more than these are in memory.
            if tasks.len() >= at_once
                && let Some(done) = tasks.join_next().await
            {
                parts.push(self.joined(done)?);
            }
            let length = left.min(part_size);
            left -= length;
            number += 1;
            let mut buffer = Zeroizing::new(vec![0; usize::try_from(length).unwrap_or(usize::MAX)]);
            fill(&self.asked, source, &mut buffer).await?;
            let bytes = Bytes::from_owner(SecretBytes::new(std::mem::take(&mut *buffer)));
            let upload = Arc::clone(self);
            tasks.spawn(async move { upload.send(number, bytes).await });
        }
        while let Some(done) = tasks.join_next().await {
            parts.push(self.joined(done)?);
        }
        parts.sort_by_key(|part| part.part_number);
        Ok(parts)
    }

    fn joined(&self, done: Result<Result<CompletedPart, StoreError>, JoinError>) -> Result<CompletedPart, StoreError> {
        done.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is being shut down.
            Err(_) => Err(self.asked.error(ErrorKind::Unavailable)),
        })
    }

    async fn send(&self, number: i32, bytes: Bytes) -> Result<CompletedPart, StoreError> {
        let asked = &self.asked;
        self.policy
            .run(asked.error(ErrorKind::Unavailable), || async {
                let progress = Progress::default();
                let request = self
                    .client
                    .upload_part()
                    .bucket(&self.bucket)
                    .key(&self.key)
                    .upload_id(&self.id)
                    .part_number(number)
                    .checksum_algorithm(ChecksumAlgorithm::Crc32)
                    .body(ByteStream::from(bytes.clone()))
                    .set_expected_bucket_owner(self.owner.clone())
                    .customize()
                    .interceptor(progress.clone());
                let output = progress
                    .watch(asked, self.idle, request.send())
                    .await?
                    .map_err(|error| from_sdk(asked, error))?;
                let etag = etag(asked, output.e_tag)?;
                Ok(CompletedPart::builder()
                    .part_number(number)
                    .e_tag(etag.as_str())
                    .set_checksum_crc32(output.checksum_crc32)
                    .build())
            })
            .await
    }

    async fn complete(&self, head: &Head, size: u64, parts: Vec<CompletedPart>) -> Result<Ended, StoreError> {
        let asked = &head.asked;
        let parts = &CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let lost = &AtomicBool::new(false);
        self.policy
            .run(asked.error(ErrorKind::Unavailable), || async move {
                // S3 may take minutes, and sends white space meanwhile.
                let progress = Progress::default();
                let request = self
                    .client
                    .complete_multipart_upload()
                    .bucket(&self.bucket)
                    .key(&self.key)
                    .upload_id(&self.id)
                    .multipart_upload(parts.clone())
                    .set_if_none_match(head.if_none_match.clone())
                    .set_if_match(head.if_match.clone())
                    .set_mpu_object_size(i64::try_from(size).ok())
                    .set_expected_bucket_owner(self.owner.clone())
                    .customize()
                    .interceptor(progress.clone());
                let sent = progress.watch(asked, self.idle, request.send()).await?;
                match sent.map_err(|error| from_sdk(asked, error)) {
                    Ok(output) => {
                        head.verify(output.server_side_encryption, output.ssekms_key_id)?;
                        Ok(Ended::Stored(Stored {
                            etag: etag(asked, output.e_tag)?,
                            version_id: own_version(output.version_id),
                            etag_is_unique: self.unique_etags,
                        }))
                    }
                    Err(error) if error.code.as_deref() == Some("ConditionalRequestConflict") => {
                        Ok(Ended::Conflict(StoreError {
                            maybe_applied: lost.load(Ordering::Relaxed),
                            ..error
                        }))
                    }
                    Err(error) => {
                        lost.fetch_or(error.maybe_applied, Ordering::Relaxed);
                        Err(error)
                    }
                }
            })
            .await
    }

    /// Gives the parts back; a store whose lifecycle rules remove old uploads does it in time by itself.
    async fn abort(&self) {
        let request = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .set_expected_bucket_owner(self.owner.clone());
        let sent = tokio::time::timeout(self.idle, request.send());
        if sent.await.is_err() {
            // It is best effort: what failed before is what the caller has to know.
        }
    }
}

/// How many bytes a part has: as few as S3's limit on the number of parts allows.
fn part_size(size: u64) -> u64 {
    size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(LEAST)
}

/// How many parts may be under way.
fn under_way(part_size: u64) -> u64 {
    (MOST_UNDER_WAY / part_size).clamp(1, UNDER_WAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_the_size_and_never_pass_the_limits() {
        const MIB: u64 = 1 << 20;
        for (size, part) in [
            (8 * MIB + 1, 8 * MIB),
            (2 << 30, 8 * MIB),
            (80_000 * MIB, 8 * MIB),
            (80_000 * MIB + 1, 9 * MIB),
            (5 << 40, 525 * MIB),
        ] {
            assert_eq!(part_size(size), part, "{size}");
            assert!(size.div_ceil(part) <= MOST_PARTS);
            assert!(under_way(part) == 1 || under_way(part) * part <= MOST_UNDER_WAY);
        }
        assert_eq!(under_way(8 * MIB), 3);
    }
}
