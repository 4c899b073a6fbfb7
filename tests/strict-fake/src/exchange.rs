//! One request and what becomes known of it on its way through: for the log, and for failures on demand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use hyper::{HeaderMap, Method, Uri};

use crate::clock::iso_date;
use crate::fault::Failure;
use crate::iam::{Context, Principal};
use crate::log::LoggedRequest;
use crate::sigv4::Scope;

/// A request as it came, and what its handlers noted of it.
pub(crate) struct Exchange {
    pub(crate) request_id: String,
    pub(crate) service: &'static str,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// The headers as they came: s3s changes its own copy.
    pub(crate) headers: HeaderMap,
    pub(crate) time: SystemTime,
    pub(crate) tls: bool,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    operation: String,
    bucket: Option<String>,
    key: Option<String>,
    access_key: Option<String>,
    region: Option<String>,
    error: Option<String>,
    failure: Option<Failure>,
}

impl Exchange {
    pub(crate) fn new(
        parts: &hyper::http::request::Parts,
        service: &'static str,
        (request_id, time, tls): (String, SystemTime, bool),
    ) -> Self {
        Self {
            request_id,
            service,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            time,
            tls,
            noted: Mutex::default(),
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn set_operation(&self, operation: &str, bucket: Option<&str>, key: Option<&str>) {
        let mut noted = self.noted();
        noted.operation = operation.to_owned();
        noted.bucket = bucket.map(str::to_owned);
        noted.key = key.map(str::to_owned);
    }

    pub(crate) fn set_scope(&self, scope: &Scope) {
        let mut noted = self.noted();
        noted.access_key = Some(scope.access_key.clone());
        noted.region = Some(scope.region.clone());
    }

    pub(crate) fn set_error(&self, code: &str) {
        self.noted().error = Some(code.to_owned());
    }

    /// Takes an order to fail; true when the operation must not be done.
    pub(crate) fn order_failure(&self, failure: Option<Failure>) -> bool {
        let before = failure.as_ref().is_some_and(Failure::comes_before);
        self.noted().failure = failure;
        before
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.noted().failure.clone()
    }

    pub(crate) fn bucket(&self) -> Option<String> {
        self.noted().bucket.clone()
    }

    /// The condition keys that every request has.
    pub(crate) fn add_global_conditions(&self, principal: &Principal, context: &mut Context) {
        context.set("aws:SecureTransport", self.tls.to_string());
        context.set("aws:PrincipalArn", principal.arn());
        context.set("aws:PrincipalAccount", &principal.account);
        context.set("aws:username", &principal.name);
    }

    /// The log's entry when all is over.
    pub(crate) fn log(&self, status: u16, bytes_in: u64, bytes_out: u64) -> LoggedRequest {
        let noted = self.noted();
        let secret = ["authorization", "x-amz-security-token"];
        let headers = self.headers.iter().filter(|(name, _)| !secret.contains(&name.as_str()));
        let headers = headers.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
        LoggedRequest {
            request_id: self.request_id.clone(),
            service: self.service,
            operation: noted.operation.clone(),
            method: self.method.to_string(),
            target: self
                .uri
                .path_and_query()
                .map(|p| p.as_str().to_owned())
                .unwrap_or_default(),
            bucket: noted.bucket.clone(),
            key: noted.key.clone(),
            status,
            error: noted.error.clone().filter(|_| status != 0),
            failure: noted.failure.as_ref().map(Failure::name),
            access_key: noted.access_key.clone(),
            region: noted.region.clone(),
            headers: headers.collect(),
            bytes_in,
            bytes_out,
            time: iso_date(self.time),
        }
    }
}
