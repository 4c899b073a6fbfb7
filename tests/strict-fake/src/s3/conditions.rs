//! The `If-` headers of writes and deletions. (Those of reads are in `objects`.)

use s3s::S3Result;
use s3s::dto::ETagCondition;

use super::not_implemented;
use crate::errors::s3_error;
use crate::state::Bucket;

/// What a write wants to find in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriteCondition {
    None,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: ETAG`
    Is(String),
}

impl WriteCondition {
    /// S3 knows these two forms, and not both at once.
    pub(super) fn new(if_match: Option<&ETagCondition>, if_none_match: Option<&ETagCondition>) -> S3Result<Self> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (None, Some(ETagCondition::Any)) => Ok(Self::Absent),
            (Some(ETagCondition::ETag(etag)), None) => Ok(Self::Is(etag.value().to_owned())),
            (Some(_), Some(_)) => Err(not_implemented("If-Match together with If-None-Match")),
            (None, Some(_)) => Err(not_implemented("If-None-Match with another value than *")),
            (Some(_), None) => Err(not_implemented("If-Match: *")),
        }
    }

    /// To be asked in the same breath as the write itself. A delete marker counts as nothing.
    pub(super) fn check(&self, bucket: &Bucket, key: &str) -> S3Result<()> {
        match (self, bucket.current(key)) {
            (Self::None, _) | (Self::Absent, None) => Ok(()),
            (Self::Absent, Some(_)) => Err(precondition_failed()),
            (Self::Is(_), None) => Err(no_such_key()),
            (Self::Is(etag), Some((_, object))) if *etag == object.etag => Ok(()),
            (Self::Is(_), Some(_)) => Err(precondition_failed()),
        }
    }
}

/// `If-Match` of a deletion: an ETag of something that is gone is 404, `*` is 412.
pub(super) fn check_delete(condition: Option<&ETagCondition>, bucket: &Bucket, key: &str) -> S3Result<()> {
    match (condition, bucket.current(key)) {
        (None, _) | (Some(ETagCondition::Any), Some(_)) => Ok(()),
        (Some(ETagCondition::Any), None) => Err(precondition_failed()),
        (Some(ETagCondition::ETag(_)), None) => Err(no_such_key()),
        (Some(ETagCondition::ETag(etag)), Some((_, object))) if etag.value() == object.etag => Ok(()),
        (Some(ETagCondition::ETag(_)), Some(_)) => Err(precondition_failed()),
    }
}

pub(super) fn precondition_failed() -> s3s::S3Error {
    let message = "At least one of the pre-conditions you specified did not hold";
    s3_error(412, "PreconditionFailed", message)
}

pub(super) fn no_such_key() -> s3s::S3Error {
    s3_error(404, "NoSuchKey", "The specified key does not exist.")
}
