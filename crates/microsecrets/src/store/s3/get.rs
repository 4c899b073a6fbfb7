//! GetObject and HeadObject.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::{Clock, MARK, S3Store, encryption, etag, timestamp};
use crate::aws::{Asked, Unlimited, from_body, from_sdk};
use crate::secret::SecretBytes;
use crate::store::{Body, ErrorKind, Get, Mark, Object, Operation, Pieces, StoreError, Want};
use crate::time::Timestamp;

impl S3Store {
    pub(super) async fn get_object(&self, request: Get) -> Result<Object, StoreError> {
        let operation = match request.want {
            Want::Attributes => Operation::Head,
            Want::Stream | Want::Whole { .. } => Operation::Get,
        };
        let asked = Asked::new(operation, request.key.as_str());
        let (request, asked) = (&request, &asked);
        self.read(asked, |client| async move {
            match request.want {
                Want::Attributes => self.head(asked, &client, request).await,
                Want::Stream | Want::Whole { .. } => self.fetch(asked, &client, request).await,
            }
        })
        .await
    }

    async fn head(&self, asked: &Asked, client: &Client, request: &Get) -> Result<Object, StoreError> {
        let clock = Clock::default();
        let output = client
            .head_object()
            .bucket(&self.bucket)
            .key(&request.key)
            .set_if_none_match(request.if_none_match.as_ref().map(|etag| etag.as_str().to_owned()))
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .interceptor(clock.clone())
            .send()
            .await
            .map_err(|error| from_sdk(asked, error))?;
        attributes_of_head(asked, output, clock.read(asked)?)
    }

    async fn fetch(&self, asked: &Asked, client: &Client, request: &Get) -> Result<Object, StoreError> {
        let clock = Clock::default();
        let mut output = client
            .get_object()
            .bucket(&self.bucket)
            .key(&request.key)
            .set_if_none_match(request.if_none_match.as_ref().map(|etag| etag.as_str().to_owned()))
            .set_expected_bucket_owner(self.owner.clone())
            .customize()
            .interceptor(clock.clone())
            .interceptor(Unlimited)
            .send()
            .await
            .map_err(|error| from_sdk(asked, error))?;
        let body = std::mem::take(&mut output.body);
        let mut object = attributes_of_get(asked, output, clock.read(asked)?)?;
        object.body = match request.want {
            Want::Whole { limit } => {
                if object.size > limit {
                    return Err(asked.error(ErrorKind::TooLarge { limit }));
                }
                Body::Whole(collect(asked, body, object.size).await?)
            }
            Want::Stream | Want::Attributes => Body::Stream(Box::new(S3Pieces {
                asked: asked.clone(),
                body,
                left: object.size,
                timeout: self.aws.retry().timeout,
            })),
        };
        Ok(object)
    }
}

fn attributes_of_head(asked: &Asked, output: HeadObjectOutput, date: Timestamp) -> Result<Object, StoreError> {
    Ok(Object {
        etag: etag(asked, output.e_tag)?,
        size: size(asked, output.content_length)?,
        encryption: encryption(
            output.server_side_encryption,
            output.ssekms_key_id,
            output.sse_customer_algorithm.as_deref(),
        ),
        mark: mark(output.metadata),
        modified: timestamp(output.last_modified.as_ref()).ok_or_else(|| asked.malformed("it has no Last-Modified"))?,
        date,
        body: Body::None,
    })
}

fn attributes_of_get(asked: &Asked, output: GetObjectOutput, date: Timestamp) -> Result<Object, StoreError> {
    Ok(Object {
        etag: etag(asked, output.e_tag)?,
        size: size(asked, output.content_length)?,
        encryption: encryption(
            output.server_side_encryption,
            output.ssekms_key_id,
            output.sse_customer_algorithm.as_deref(),
        ),
        mark: mark(output.metadata),
        modified: timestamp(output.last_modified.as_ref()).ok_or_else(|| asked.malformed("it has no Last-Modified"))?,
        date,
        body: Body::None,
    })
}

fn size(asked: &Asked, length: Option<i64>) -> Result<u64, StoreError> {
    length
        .and_then(|length| u64::try_from(length).ok())
        .ok_or_else(|| asked.malformed("it has no Content-Length"))
}

fn mark(metadata: Option<HashMap<String, String>>) -> Option<Mark> {
    let nonce = metadata?.remove(MARK)?;
    Some(nonce.parse().map_or(Mark::Malformed, Mark::Ours))
}

/// Reads a body into memory of just its size, so that no copy of a secret is left behind by growing.
async fn collect(asked: &Asked, mut body: ByteStream, size: u64) -> Result<SecretBytes, StoreError> {
    let size = usize::try_from(size).map_err(|_| asked.malformed("its Content-Length is beyond this machine"))?;
    let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(size));
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| from_body(asked, &error))?;
        if piece.len() > size - bytes.len() {
            return Err(asked.malformed("it is longer than its Content-Length"));
        }
        bytes.extend_from_slice(&piece);
    }
    if bytes.len() < size {
        return Err(asked.error(ErrorKind::Unavailable));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}

/// The bytes of an object, as they arrive.
struct S3Pieces {
    asked: Asked,
    body: ByteStream,
    left: u64,
    timeout: Duration,
}

#[async_trait]
impl Pieces for S3Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let piece = tokio::time::timeout(self.timeout, self.body.next())
            .await
            .map_err(|_| {
                self.asked.error(ErrorKind::TimedOut {
                    seconds: self.timeout.as_secs(),
                })
            })?;
        match piece {
            Some(Ok(piece)) => {
                self.left = self
                    .left
                    .checked_sub(piece.len() as u64)
                    .ok_or_else(|| self.asked.malformed("it is longer than its Content-Length"))?;
                Ok(Some(piece))
            }
            Some(Err(error)) => Err(from_body(&self.asked, &error)),
            None if self.left > 0 => Err(self.asked.error(ErrorKind::Unavailable)),
            None => Ok(None),
        }
    }
}
