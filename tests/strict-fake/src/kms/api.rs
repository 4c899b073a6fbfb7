//! The protocol of KMS: JSON 1.1 over POST, the operation in `X-Amz-Target`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::{KeyError, ops};
use crate::exchange::Exchange;
use crate::fault::{Subject, strike};
use crate::sigv4::{self, AuthError};
use crate::state::{Caller, Shared};

/// An error of KMS: its type and message. All have status 400 but those of the service itself.
#[derive(Debug)]
pub(crate) struct KmsError {
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl KmsError {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    fn response(&self) -> Response<s3s::Body> {
        let body = json!({ "__type": self.kind, "message": self.message });
        answer(StatusCode::BAD_REQUEST, &body)
    }
}

impl From<KeyError> for KmsError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotFound(message) => Self::new("NotFoundException", message),
            KeyError::Disabled(message) => Self::new("DisabledException", message),
            KeyError::InvalidState(message) => Self::new("KMSInvalidStateException", message),
            KeyError::InvalidUsage(message) => Self::new("InvalidKeyUsageException", message),
        }
    }
}

impl From<AuthError> for KmsError {
    fn from(error: AuthError) -> Self {
        let kind = match error {
            AuthError::Missing => "MissingAuthenticationTokenException",
            AuthError::Malformed => "IncompleteSignatureException",
            AuthError::UnknownKey | AuthError::BadToken => "UnrecognizedClientException",
            AuthError::Expired => "ExpiredTokenException",
            AuthError::Skewed | AuthError::Mismatch => "InvalidSignatureException",
        };
        Self::new(kind, error.message())
    }
}

/// One call: who, where, what.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) caller: Caller,
    /// The region that the request was signed for: keys and aliases are looked up there.
    pub(crate) region: String,
    pub(crate) input: Value,
    pub(crate) exchange: &'a Exchange,
}

impl Call<'_> {
    /// A string of the input.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.input.get(name)?.as_str()
    }

    /// A string that the operation can't do without.
    pub(crate) fn required(&self, name: &str) -> Result<&str, KmsError> {
        self.text(name).ok_or_else(|| {
            let message = format!("1 validation error detected: Value null at '{name}' failed to satisfy constraint");
            KmsError::new("ValidationException", message)
        })
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.input.get(name).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Answers a request to KMS.
pub(crate) fn serve(shared: &Arc<Shared>, exchange: &Arc<Exchange>, body: &Bytes) -> Response<s3s::Body> {
    match handle(shared, exchange, body) {
        Ok(output) => answer(StatusCode::OK, &output),
        Err(error) => {
            exchange.set_error(error.kind);
            error.response()
        }
    }
}

fn handle(shared: &Arc<Shared>, exchange: &Exchange, body: &Bytes) -> Result<Value, KmsError> {
    let operation = operation(&exchange.headers).unwrap_or_default();
    let signed = sigv4::verify(shared, exchange, body, "kms")?;
    let input: Value = serde_json::from_slice(body)
        .map_err(|_| KmsError::new("SerializationException", "The request body isn't JSON."))?;
    let key = ["KeyId", "TargetKeyId", "AliasName"]
        .into_iter()
        .find_map(|n| input.get(n)?.as_str());
    exchange.set_operation(operation, None, key);
    let subject = Subject {
        kms: true,
        operation,
        bucket: "",
        key: key.unwrap_or_default(),
        access_key: &signed.caller.principal.access_key,
    };
    if strike(shared, exchange, &subject) {
        return Err(KmsError::new("KMSInternalException", "ordered"));
    }
    ops::call(
        operation,
        &Call {
            shared,
            caller: signed.caller,
            region: signed.region,
            input,
            exchange,
        },
    )
}

/// Whether a request is for KMS.
pub(crate) fn is_request(headers: &HeaderMap) -> bool {
    operation(headers).is_some()
}

/// `X-Amz-Target: TrentService.OPERATION`
fn operation(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("x-amz-target")?
        .to_str()
        .ok()?
        .strip_prefix("TrentService.")
}

/// An answer in KMS's content type.
fn answer(status: StatusCode, body: &Value) -> Response<s3s::Body> {
    // Operations without output answer with no body at all.
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut response = Response::new(s3s::Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    response
}
