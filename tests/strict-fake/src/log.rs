//! The request log, and the record of KMS uses (what CloudTrail would show).

use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// One request that came in.
#[derive(Clone, Debug, Default)]
pub struct LoggedRequest {
    /// `x-amz-request-id` of the answer.
    pub request_id: String,
    /// `s3`, `kms` or `sts`.
    pub service: &'static str,
    /// AWS's name of the operation, `GetObject`; empty when the request was refused before it was known.
    pub operation: String,
    /// `GET`
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// The bucket.
    pub bucket: Option<String>,
    /// The object's key; for lists the prefix; for KMS the key id as it was sent.
    pub key: Option<String>,
    /// The status that was answered, or would have been: see `failure`. 0 when there is none.
    pub status: u16,
    /// The error code that was answered.
    pub error: Option<String>,
    /// The failure that a test ordered for it.
    pub failure: Option<&'static str>,
    /// The access key it was signed with.
    pub access_key: Option<String>,
    /// The region it was signed for.
    pub region: Option<String>,
    /// Its headers by lower-case name, without `authorization` and `x-amz-security-token`.
    pub headers: Vec<(String, String)>,
    /// Bytes of its body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The time, by the fake's clock.
    pub time: String,
}

impl LoggedRequest {
    /// A header of the request, by lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    /// One line of JSON. `Null` values are left out.
    fn to_json(&self) -> Value {
        let headers: Map<String, Value> = self.headers.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
        let mut line = json!({
            "time": self.time, "request_id": self.request_id, "service": self.service,
            "operation": self.operation, "method": self.method, "target": self.target, "bucket": self.bucket,
            "key": self.key, "status": self.status, "error": self.error, "failure": self.failure,
            "access_key": self.access_key, "region": self.region, "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out, "headers": headers,
        });
        if let Some(fields) = line.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        line
    }
}

/// One use of a key, through KMS itself or through S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsUse {
    /// `GenerateDataKey`, `Decrypt`, `Sign`, ...
    pub operation: String,
    /// The key's ARN.
    pub key_arn: String,
    /// The ARN of the caller.
    pub principal: String,
    /// The encryption context.
    pub encryption_context: Vec<(String, String)>,
    /// The service that asked on the caller's behalf, `s3.us-east-1.amazonaws.com`.
    pub via: Option<String>,
    /// The key of the object it was used for.
    pub object: Option<String>,
}

/// Requests and KMS uses in the order in which they were answered.
#[derive(Default)]
pub(crate) struct Log(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    requests: Vec<LoggedRequest>,
    kms: Vec<KmsUse>,
    file: Option<File>,
    /// Whether requests are kept in memory too; a server that runs for hours would drown in them.
    forget: bool,
}

impl Log {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on each request is also a line in this file.
    pub(crate) fn write_to(&self, file: Option<File>, forget: bool) {
        let mut entries = self.entries();
        entries.file = file;
        entries.forget = forget;
    }

    pub(crate) fn add(&self, request: LoggedRequest) {
        let mut entries = self.entries();
        if let Some(file) = &mut entries.file {
            // A log that can't be written is no reason to fail the request.
            let _unwritten = writeln!(file, "{}", request.to_json());
        }
        if !entries.forget {
            entries.requests.push(request);
        }
    }

    pub(crate) fn add_kms(&self, used: KmsUse) {
        let mut entries = self.entries();
        if !entries.forget {
            entries.kms.push(used);
        }
    }

    pub(crate) fn requests(&self) -> Vec<LoggedRequest> {
        self.entries().requests.clone()
    }

    pub(crate) fn kms_uses(&self) -> Vec<KmsUse> {
        self.entries().kms.clone()
    }

    pub(crate) fn clear(&self) {
        let mut entries = self.entries();
        entries.requests.clear();
        entries.kms.clear();
    }
}
