//! Whether a listing came to its end: the SDK's reader of XML takes one that was cut off for a shorter one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use crate::aws::Asked;
use crate::store::StoreError;

/// Looks at the end of an answer, as an interceptor of its request.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    element: &'static str,
    seen: Arc<AtomicBool>,
}

impl Whole {
    /// Of an answer whose outermost element has this name.
    pub(super) fn ending_with(element: &'static str) -> Self {
        let seen = Arc::default();
        Self { element, seen }
    }

    /// Refuses the answer unless that element ended it.
    pub(super) fn check(&self, asked: &Asked) -> Result<(), StoreError> {
        if self.seen.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(asked.malformed("it ends in the middle"))
        }
    }
}

impl Intercept for Whole {
    fn name(&self) -> &'static str {
        "Whole"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let end = format!("</{}>", self.element);
        self.seen
            .store(body.trim_ascii_end().ends_with(end.as_bytes()), Ordering::SeqCst);
        Ok(())
    }
}
