//! Signature Version 4 for KMS and STS. (S3's own, with its chunked bodies, is verified by s3s.)

use std::time::SystemTime;

use hyper::HeaderMap;
use ring::hmac;

use crate::clock::{MAX_SKEW, distance, parse_amz_date};
use crate::digest::{hex, sha256};
use crate::exchange::Exchange;
use crate::state::{Caller, Session, Shared};

/// Why a request's signature isn't good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    Missing,
    Malformed,
    UnknownKey,
    BadToken,
    Expired,
    Skewed,
    Mismatch,
}

impl AuthError {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Missing => "Missing Authentication Token",
            Self::Malformed => "Authorization header is malformed.",
            Self::UnknownKey | Self::BadToken => "The security token included in the request is invalid.",
            Self::Expired => "The security token included in the request is expired",
            Self::Skewed => "Signature expired or not yet current: more than 15 minutes from the server's time.",
            Self::Mismatch => {
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method."
            }
        }
    }
}

/// What an `Authorization` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) access_key: String,
    date: String,
    pub(crate) region: String,
    service: String,
    pub(crate) signed_headers: Vec<String>,
    signature: String,
}

impl Scope {
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, AuthError> {
        let value = headers.get("authorization").ok_or(AuthError::Missing)?;
        let value = value.to_str().map_err(|_| AuthError::Malformed)?;
        let rest = value.strip_prefix("AWS4-HMAC-SHA256").ok_or(AuthError::Malformed)?;
        let field = |name: &str| {
            let mut fields = rest.split(',').filter_map(|f| f.trim().split_once('='));
            fields
                .find(|(n, _)| *n == name)
                .map(|(_, value)| value.to_owned())
                .ok_or(AuthError::Malformed)
        };
        let credential = field("Credential")?;
        let parts: Vec<_> = credential.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = parts[..] else {
            return Err(AuthError::Malformed);
        };
        Ok(Self {
            access_key: access_key.to_owned(),
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
            signed_headers: field("SignedHeaders")?.split(';').map(str::to_owned).collect(),
            signature: field("Signature")?,
        })
    }
}

/// Whether a request's `X-Amz-Date` is near enough to the fake's clock.
pub(crate) fn check_time(headers: &HeaderMap, now: SystemTime) -> Result<(), AuthError> {
    let date = headers
        .get("x-amz-date")
        .and_then(|v| v.to_str().ok())
        .ok_or(AuthError::Malformed)?;
    let at = parse_amz_date(date).ok_or(AuthError::Malformed)?;
    if distance(at, now) > MAX_SKEW {
        Err(AuthError::Skewed)
    } else {
        Ok(())
    }
}

/// Whether temporary credentials came with their token, and permanent ones with none.
pub(crate) fn check_session(caller: &Caller, headers: &HeaderMap) -> Result<(), AuthError> {
    let token = headers.get("x-amz-security-token").and_then(|v| v.to_str().ok());
    match (&caller.session, token) {
        (Session::Expired, _) => Err(AuthError::Expired),
        (Session::Permanent, None) => Ok(()),
        (Session::Token(wanted), Some(token)) if wanted == token => Ok(()),
        _ => Err(AuthError::BadToken),
    }
}

/// A request that is really from its caller.
pub(crate) struct Signed {
    pub(crate) caller: Caller,
    pub(crate) region: String,
}

/// Verifies a request whose path is `/` and whose query is empty.
pub(crate) fn verify(shared: &Shared, exchange: &Exchange, body: &[u8], service: &str) -> Result<Signed, AuthError> {
    let headers = &exchange.headers;
    let scope = Scope::parse(headers)?;
    let caller = shared
        .state()
        .callers
        .get(&scope.access_key)
        .cloned()
        .ok_or(AuthError::UnknownKey)?;
    check_session(&caller, headers)?;
    check_time(headers, shared.clock.now())?;
    let date = headers
        .get("x-amz-date")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    if scope.service != service || !date.starts_with(&scope.date) {
        return Err(AuthError::Mismatch);
    }
    let string_to_sign = string_to_sign(&scope, date, &canonical_request(exchange, &scope, body)?);
    let key = signing_key(&caller.principal.secret_key, &scope);
    let signature = hex(hmac::sign(&key, string_to_sign.as_bytes()).as_ref());
    if signature != scope.signature {
        return Err(AuthError::Mismatch);
    }
    Ok(Signed {
        caller,
        region: scope.region,
    })
}

fn canonical_request(exchange: &Exchange, scope: &Scope, body: &[u8]) -> Result<String, AuthError> {
    let mut headers = String::new();
    for name in &scope.signed_headers {
        let values: Vec<_> = exchange.headers.get_all(name).iter().collect();
        if values.is_empty() {
            return Err(AuthError::Mismatch);
        }
        let values: Result<Vec<_>, _> = values.into_iter().map(|v| v.to_str()).collect();
        let values = values.map_err(|_| AuthError::Malformed)?;
        let values: Vec<_> = values
            .into_iter()
            .map(|v| v.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        headers += &format!("{name}:{}\n", values.join(","));
    }
    let (method, path) = (&exchange.method, exchange.uri.path());
    let query = exchange.uri.query().unwrap_or_default();
    let (signed, payload) = (scope.signed_headers.join(";"), hex(&sha256(body)));
    Ok(format!("{method}\n{path}\n{query}\n{headers}\n{signed}\n{payload}"))
}

fn string_to_sign(scope: &Scope, date: &str, canonical_request: &str) -> String {
    let Scope {
        date: day,
        region,
        service,
        ..
    } = scope;
    let hash = hex(&sha256(canonical_request.as_bytes()));
    format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/{service}/aws4_request\n{hash}")
}

fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [&scope.date, &scope.region, &scope.service, "aws4_request"] {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes())
            .as_ref()
            .to_vec();
    }
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}
