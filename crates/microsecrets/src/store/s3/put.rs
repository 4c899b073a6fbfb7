//! PutObject, and the choice between it and a multipart upload.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::{S3Store, encryption, etag, own_version};
use crate::aws::{Asked, Progress, from_sdk};
use crate::name::Nonce;
use crate::secret::SecretBytes;
use crate::store::{Condition, ContentType, Encryption, ErrorKind, Operation, Source, StoreError, Stored};

/// The most bytes of a source that are sent in one request.
pub(super) const ONE_REQUEST: u64 = 8 << 20;

/// All of a put but its bytes.
pub(super) struct Head {
    pub(super) asked: Asked,
    pub(super) key: String,
    pub(super) if_none_match: Option<String>,
    pub(super) if_match: Option<String>,
    pub(super) encryption: Encryption,
    pub(super) algorithm: ServerSideEncryption,
    pub(super) kms_key: Option<String>,
    pub(super) mark: Option<Nonce>,
    pub(super) content_type: ContentType,
}

impl Head {
    pub(super) fn new(
        key: String,
        condition: Condition,
        encryption: Encryption,
        mark: Option<Nonce>,
        content_type: ContentType,
    ) -> Result<Self, StoreError> {
        let asked = Asked::new(Operation::Put, key.as_str());
        let (algorithm, kms_key) = match &encryption {
            Encryption::Aes256 => (ServerSideEncryption::Aes256, None),
            Encryption::Kms(key) => (ServerSideEncryption::AwsKms, Some(key.clone())),
            Encryption::KmsDsse(key) => (ServerSideEncryption::AwsKmsDsse, Some(key.clone())),
            // A default of the bucket's would decide, and nobody could say that it was not as asked.
            Encryption::None | Encryption::Other(_) | Encryption::Store => {
                let why = "S3 has to be told how to encrypt: under which KMS key, or with AES256";
                return Err(asked.error(ErrorKind::InvalidSetting(why.to_owned())));
            }
        };
        let (if_none_match, if_match) = match condition {
            Condition::Absent => (Some("*".to_owned()), None),
            Condition::Is(etag) => (None, Some(etag.as_str().to_owned())),
        };
        Ok(Self {
            asked,
            key,
            if_none_match,
            if_match,
            encryption,
            algorithm,
            kms_key,
            mark,
            content_type,
        })
    }

    /// `false` for SSE-KMS: a bucket key would answer for a time after KMS said no, and in its log the bucket stands for
    /// the object.
    pub(super) fn bucket_key(&self) -> Option<bool> {
        matches!(self.encryption, Encryption::Kms(_)).then_some(false)
    }

    /// Compares what the answer says with what was asked for.
    pub(super) fn verify(
        &self,
        algorithm: Option<ServerSideEncryption>,
        key: Option<String>,
    ) -> Result<(), StoreError> {
        let used = encryption(algorithm, key, None);
        if used == self.encryption {
            Ok(())
        } else {
            Err(StoreError {
                maybe_applied: true,
                ..self.asked.error(ErrorKind::WrongEncryption { used })
            })
        }
    }
}

impl S3Store {
    /// Puts bytes that are in memory already, in the time that a request has.
    pub(super) async fn put_bytes(&self, head: &Head, bytes: SecretBytes) -> Result<Stored, StoreError> {
        let bytes = &Bytes::from_owner(bytes);
        self.change(&head.asked, self.aws.retry(), |client| async move {
            self.put_once(head, &client, bytes, Progress::default()).await
        })
        .await
    }

    /// Puts a file, in as much time as its bytes need.
    pub(super) async fn put_source(&self, head: &Head, mut source: Box<dyn Source>) -> Result<Stored, StoreError> {
        let size = source.size();
        if size > ONE_REQUEST {
            return self.put_parts(head, source).await;
        }
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(size).unwrap_or(usize::MAX)]);
        fill(&head.asked, source.as_mut(), &mut bytes).await?;
        finish(&head.asked, source.as_mut())?;
        let bytes = &Bytes::from_owner(SecretBytes::new(std::mem::take(&mut *bytes)));
        let idle = self.aws.retry().timeout;
        self.change(&head.asked, self.patient(), |client| async move {
            let progress = Progress::default();
            let put = self.put_once(head, &client, bytes, progress.clone());
            progress.watch(&head.asked, idle, put).await?
        })
        .await
    }

    async fn put_once(
        &self,
        head: &Head,
        client: &Client,
        bytes: &Bytes,
        progress: Progress,
    ) -> Result<Stored, StoreError> {
        let mut request = client
            .put_object()
            .bucket(&self.bucket)
            .key(&head.key)
            .body(ByteStream::from(bytes.clone()))
            .content_type(head.content_type.as_str())
            .server_side_encryption(head.algorithm.clone())
            .set_ssekms_key_id(head.kms_key.clone())
            .set_bucket_key_enabled(head.bucket_key())
            .set_if_none_match(head.if_none_match.clone())
            .set_if_match(head.if_match.clone())
            .set_expected_bucket_owner(self.owner.clone());
        if let Some(nonce) = head.mark {
            request = request.metadata(super::MARK, nonce.to_string());
        }
        let sent = request.customize().interceptor(progress).send().await;
        let output = sent.map_err(|error| from_sdk(&head.asked, error))?;
        head.verify(output.server_side_encryption, output.ssekms_key_id)?;
        Ok(Stored {
            etag: etag(&head.asked, output.e_tag)?,
            version_id: own_version(output.version_id),
            etag_is_unique: self.has_unique_etags(&head.encryption),
        })
    }
}

/// Fills a buffer, and lets other transfers move in between.
pub(super) async fn fill(asked: &Asked, source: &mut dyn Source, buffer: &mut [u8]) -> Result<(), StoreError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let end = buffer.len().min(filled + (1 << 20));
        match source.read(&mut buffer[filled..end]) {
            Ok(0) => return Err(unreadable(asked, "there are fewer bytes than announced")),
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(asked, error)),
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Reads to the end, where a source says whether it is what was announced.
pub(super) fn finish(asked: &Asked, source: &mut dyn Source) -> Result<(), StoreError> {
    loop {
        match source.read(&mut [0]) {
            Ok(0) => return Ok(()),
            Ok(_) => return Err(unreadable(asked, "there are more bytes than announced")),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(asked, error)),
        }
    }
}

pub(super) fn unreadable(asked: &Asked, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    asked.error(ErrorKind::UnreadableSource).with_source(why)
}
