//! Error documents: S3's XML made complete, and answers that a test ordered.

use std::time::SystemTime;

use http_body_util::BodyExt as _;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use s3s::{Body, S3Error, S3ErrorCode};

use crate::clock::{MAX_SKEW, iso_date};
use crate::exchange::Exchange;

/// An S3 error with a status of its own.
pub(crate) fn s3_error(status: u16, code: &str, message: impl Into<String>) -> S3Error {
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, message.into());
    error.set_status_code(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    error
}

/// The same as an answer, for failures that a test ordered.
pub(crate) fn ordered(status: u16, code: &str, service: &str) -> Response<Body> {
    let message = "This failure was ordered by the test.";
    let (content_type, body) = match service {
        "kms" => (
            "application/x-amz-json-1.1",
            format!("{{\"__type\":\"{code}\",\"message\":\"{message}\"}}"),
        ),
        "sts" => (
            "text/xml",
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"),
        ),
        _ => (
            "application/xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message>\
                 </Error>"
            ),
        ),
    };
    verbatim(status, content_type, body.as_bytes())
}

/// Exactly these bytes.
pub(crate) fn verbatim(status: u16, content_type: &str, body: &[u8]) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_vec()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(value) = HeaderValue::from_str(content_type) {
        response.headers_mut().insert(CONTENT_TYPE, value);
    }
    response
}

/// Adds to an error document what s3s leaves out (message, resource, ids), and notes the code for the log.
pub(crate) async fn complete(response: Response<Body>, exchange: &Exchange, now: SystemTime) -> Response<Body> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error() || status.is_redirection();
    let is_xml = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes() == b"application/xml");
    if !is_error || !is_xml {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let document = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    let document = String::from_utf8_lossy(&document).into_owned();
    let Some((_, content)) = document.split_once("<Error>") else {
        return Response::from_parts(parts, Body::from(document));
    };
    let code = between(content, "<Code>", "</Code>").unwrap_or_default().to_owned();
    exchange.set_error(&code);
    parts.headers.remove(CONTENT_LENGTH);
    if status == StatusCode::NOT_MODIFIED {
        // A 304 has no body, and so no type of one.
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    let mut content = content.replace("</Error>", "");
    if !content.contains("<Message>") {
        content += &format!("<Message>{}</Message>", default_message(&code));
    }
    if code == "RequestTimeTooSkewed" {
        content += &skew(exchange, now);
    }
    if let Some(region) = parts.headers.get("x-amz-bucket-region").and_then(|v| v.to_str().ok()) {
        content += &match code.as_str() {
            "AuthorizationHeaderMalformed" => format!("<Region>{region}</Region>"),
            _ => format!(
                "<Endpoint>s3.{region}.amazonaws.com</Endpoint><Bucket>{}</Bucket>",
                exchange.bucket().unwrap_or_default()
            ),
        };
    }
    let id = &exchange.request_id;
    let resource = escape(exchange.uri.path());
    let document = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>{content}<Resource>{resource}</Resource>\
         <RequestId>{id}</RequestId><HostId>strict-fake/{id}</HostId></Error>"
    );
    Response::from_parts(parts, Body::from(document))
}

fn skew(exchange: &Exchange, now: SystemTime) -> String {
    let request = exchange.header("x-amz-date").unwrap_or_default();
    format!(
        "<RequestTime>{}</RequestTime><ServerTime>{}</ServerTime>\
         <MaxAllowedSkewMilliseconds>{}</MaxAllowedSkewMilliseconds>",
        escape(request),
        iso_date(now),
        MAX_SKEW.as_millis()
    )
}

/// The text between two others.
pub(crate) fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// What AWS says where s3s says nothing.
fn default_message(code: &str) -> &'static str {
    match code {
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing \
             method."
        }
        "RequestTimeTooSkewed" => "The difference between the request time and the current time is too large.",
        "NotImplemented" => "A header you provided implies functionality that is not implemented",
        "InvalidBucketName" => "The specified bucket is not valid.",
        "KeyTooLongError" => "Your key is too long",
        _ => "An error without a message.",
    }
}
