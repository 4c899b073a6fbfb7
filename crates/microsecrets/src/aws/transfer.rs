//! Bodies on the move: a transfer has all the time it needs, as long as bytes move, and an answer that is to be read
//! whole has an end.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::Asked;
use crate::store::{ErrorKind, StoreError};

/// The bytes that are handed to the connection at once: small, so that each step of a slow one counts.
const STEP: usize = 64 << 10;

/// When a byte of a request or of its answer last moved.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Mutex<Instant>>);

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Progress {
    /// Runs a request for as long as its bytes move.
    pub(crate) async fn watch<T>(
        &self,
        asked: &Asked,
        idle: Duration,
        request: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        let stall = async {
            loop {
                let ends = self.last() + idle;
                if ends <= Instant::now() {
                    return;
                }
                tokio::time::sleep_until(ends).await;
            }
        };
        tokio::select! {
            biased;
            result = request => Ok(result),
            () = stall => Err(StoreError {
                maybe_applied: asked.changes,
                ..asked.error(ErrorKind::TimedOut { seconds: idle.as_secs() })
            }),
        }
    }

    /// A body whose bytes count when they move.
    pub(super) fn count(&self, body: SdkBody) -> SdkBody {
        SdkBody::from_body_1_x(Counted {
            body,
            held: Bytes::new(),
            progress: self.clone(),
        })
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Intercept for Progress {
    fn name(&self) -> &'static str {
        "Progress"
    }

    /// Travels with the request to the connector, the one place where its body is on the move.
    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().add_extension(self.clone());
        Ok(())
    }
}

/// The most bytes of an answer that the SDK reads into memory: a page of a thousand keys of the longest kind has half as
/// many.
const LONGEST_ANSWER: u64 = 8 << 20;

/// Says that the body of an answer is an object's, which the SDK hands on as it arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlimited;

impl Intercept for Unlimited {
    fn name(&self) -> &'static str {
        "Unlimited"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().add_extension(*self);
        Ok(())
    }
}

/// A body that fails before it fills the memory.
pub(super) fn limit(body: SdkBody) -> SdkBody {
    SdkBody::from_body_1_x(Limited {
        body,
        left: LONGEST_ANSWER,
    })
}

struct Limited {
    body: SdkBody,
    left: u64,
}

impl Body for Limited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return Poll::Ready(Some(Err("the answer does not end".into()))),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

struct Counted {
    body: SdkBody,
    held: Bytes,
    progress: Progress,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.held.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                other => return Poll::Ready(other),
            };
            self.progress.touch();
            match frame.into_data() {
                Ok(data) => self.held = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        self.progress.touch();
        let length = self.held.len().min(STEP);
        Poll::Ready(Some(Ok(Frame::data(self.held.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.body.size_hint();
        let held = self.held.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
