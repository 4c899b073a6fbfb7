//! STS, of which only `GetCallerIdentity` is there.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::http::request::Parts;
use s3s::Body;

use crate::errors::verbatim;
use crate::exchange::Exchange;
use crate::fault::{Subject, strike};
use crate::sigv4::{self, AuthError};
use crate::state::Shared;

/// A form that is posted to `/` and signed for STS.
pub(crate) fn is_request(parts: &Parts) -> bool {
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    };
    parts.method == hyper::Method::POST
        && parts.uri.path() == "/"
        && header("content-type").starts_with("application/x-www-form-urlencoded")
        && !header("authorization").contains("/s3/aws4_request")
}

/// Answers a request to STS.
pub(crate) fn serve(shared: &Arc<Shared>, exchange: &Arc<Exchange>, body: &Bytes) -> Response<Body> {
    let signed = match sigv4::verify(shared, exchange, body, "sts") {
        Ok(signed) => signed,
        Err(error) => {
            let code = match error {
                AuthError::Missing => "MissingAuthenticationToken",
                AuthError::Malformed => "IncompleteSignature",
                AuthError::UnknownKey | AuthError::BadToken => "InvalidClientTokenId",
                AuthError::Expired => "ExpiredToken",
                AuthError::Skewed | AuthError::Mismatch => "SignatureDoesNotMatch",
            };
            return refuse(exchange, 403, code, error.message());
        }
    };
    let body = String::from_utf8_lossy(body);
    let operation = body
        .split('&')
        .find_map(|field| field.strip_prefix("Action="))
        .unwrap_or_default();
    exchange.set_operation(operation, None, None);
    let principal = signed.caller.principal;
    let subject = Subject {
        kms: false,
        operation,
        bucket: "",
        key: "",
        access_key: &principal.access_key,
    };
    if strike(shared, exchange, &subject) {
        return refuse(exchange, 500, "InternalFailure", "ordered");
    }
    if operation != "GetCallerIdentity" {
        return refuse(exchange, 400, "InvalidAction", "The fake knows only GetCallerIdentity.");
    }
    let answer = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>{}</Arn><UserId>AIDA{}</UserId><Account>{}</Account></GetCallerIdentityResult><ResponseMetadata>\
         <RequestId>{}</RequestId></ResponseMetadata></GetCallerIdentityResponse>",
        principal.arn(),
        principal.name.to_ascii_uppercase(),
        principal.account,
        exchange.request_id
    );
    verbatim(200, "text/xml", answer.as_bytes())
}

fn refuse(exchange: &Exchange, status: u16, code: &str, message: &str) -> Response<Body> {
    exchange.set_error(code);
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error><RequestId>{}</RequestId></ErrorResponse>",
        exchange.request_id
    );
    verbatim(status, "text/xml", body.as_bytes())
}
