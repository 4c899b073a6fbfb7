//! Who may do what in S3, and everything else that is checked before an operation starts.

use std::sync::Arc;

use hyper::HeaderMap;
use hyper::header::HeaderValue;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::path::S3Path;
use s3s::{S3Error, S3Result};

use super::{Ask, bucket, host, not_implemented};
use crate::clock::{MAX_SKEW, distance, parse_amz_date};
use crate::digest::ChecksumAlgorithm;
use crate::errors::s3_error;
use crate::exchange::Exchange;
use crate::fault::{Subject, strike};
use crate::iam::{Context, Decision, PolicyKind, decide, refusal};
use crate::sigv4::{AuthError, Scope, check_session};
use crate::state::{Shared, WrongRegion};

/// Secrets for s3s, which verifies the signatures.
pub(crate) struct Auth(pub(crate) Arc<Shared>);

#[async_trait::async_trait]
impl S3Auth for Auth {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match self.0.state().callers.get(access_key) {
            Some(caller) => Ok(SecretKey::from(caller.principal.secret_key.as_str())),
            None => {
                let message = "The AWS Access Key Id you provided does not exist in our records.";
                Err(s3_error(403, "InvalidAccessKeyId", message))
            }
        }
    }
}

/// Lets requests in, or not.
pub(crate) struct Access(pub(crate) Arc<Shared>);

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = cx.s3_op().name().to_owned();
        let (bucket, key) = match cx.s3_path() {
            S3Path::Root => (None, None),
            S3Path::Bucket { bucket } => (Some(bucket.to_string()), None),
            S3Path::Object { bucket, key } => (Some(bucket.to_string()), Some(key.to_string())),
        };
        let credentials = cx.credentials().cloned();
        let exchange = cx.extensions_mut().get::<Arc<Exchange>>().cloned();
        let exchange = exchange.ok_or_else(|| s3_error(500, "InternalError", "The request came past the front."))?;
        let prefix = query(&exchange, "prefix");
        exchange.set_operation(&operation, bucket.as_deref(), key.as_deref().or(prefix.as_deref()));
        let ask = Ask::new(&self.0, credentials.as_ref(), cx.extensions_mut())?;
        let gate = Gate {
            ask: &ask,
            operation: &operation,
            bucket: bucket.as_deref(),
            key: key.as_deref(),
        };
        gate.fire_faults(prefix.as_deref())?;
        gate.check_request()?;
        gate.check_bucket()?;
        gate.check_rights()
    }
}

struct Gate<'a> {
    ask: &'a Ask,
    operation: &'a str,
    bucket: Option<&'a str>,
    key: Option<&'a str>,
}

impl Gate<'_> {
    /// A failure that was ordered. What is answered here never reaches the client.
    fn fire_faults(&self, prefix: Option<&str>) -> S3Result<()> {
        let subject = Subject {
            kms: false,
            operation: self.operation,
            bucket: self.bucket.unwrap_or_default(),
            key: self.key.or(prefix).unwrap_or_default(),
            access_key: &self.ask.caller.principal.access_key,
        };
        let exchange = &self.ask.exchange;
        if strike(&self.ask.shared, exchange, &subject) {
            return Err(s3_error(500, "InternalError", "ordered"));
        }
        Ok(())
    }

    /// The session token, the clock, and the headers.
    fn check_request(&self) -> S3Result<()> {
        let exchange = &self.ask.exchange;
        check_mechanism(exchange)?;
        match check_session(&self.ask.caller, &exchange.headers) {
            Ok(()) => {}
            Err(AuthError::Expired) => {
                return Err(s3_error(400, "ExpiredToken", "The provided token has expired."));
            }
            Err(_) => {
                let message = "The provided token is malformed or otherwise invalid.";
                return Err(s3_error(400, "InvalidToken", message));
            }
        }
        let at = exchange.header("x-amz-date").and_then(parse_amz_date);
        if at.is_some_and(|at| distance(at, self.ask.shared.clock.now()) > MAX_SKEW) {
            let message = "The difference between the request time and the current time is too large.";
            return Err(s3_error(403, "RequestTimeTooSkewed", message));
        }
        check_signed_headers(&exchange.headers)?;
        check_checksum_headers(&exchange.headers)
    }

    /// That the bucket is there, in the region the request was signed for, and of the owner it expects.
    fn check_bucket(&self) -> S3Result<()> {
        let Some(name) = self.bucket.filter(|_| self.operation != "CreateBucket") else {
            return Ok(());
        };
        let state = self.ask.shared.state();
        let bucket = bucket(&state, name)?;
        // Where a bucket is, is the one thing that may be asked from everywhere.
        let scope = Scope::parse(&self.ask.exchange.headers)
            .ok()
            .filter(|_| self.operation != "GetBucketLocation");
        if let Some(scope) = scope.filter(|scope| scope.region != bucket.region) {
            return Err(self.wrong_region(&scope.region, &bucket.region));
        }
        match self.ask.exchange.header("x-amz-expected-bucket-owner") {
            Some(expected) if expected != bucket.owner => Err(s3_error(403, "AccessDenied", "Access Denied")),
            _ => Ok(()),
        }
    }

    fn wrong_region(&self, given: &str, wanted: &str) -> S3Error {
        let virtual_hosted = self.ask.exchange.header("host").is_some_and(host::is_virtual_hosted);
        let malformed = self.ask.shared.settings.wrong_region == WrongRegion::AuthorizationHeaderMalformed;
        let mut error = if malformed || virtual_hosted {
            let message =
                format!("The authorization header is malformed; the region '{given}' is wrong; expecting '{wanted}'");
            s3_error(400, "AuthorizationHeaderMalformed", message)
        } else {
            let message = "The bucket you are attempting to access must be addressed using the specified endpoint. \
                           Please send all future requests to this endpoint.";
            s3_error(301, "PermanentRedirect", message)
        };
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(wanted) {
            headers.insert("x-amz-bucket-region", value);
        }
        headers.insert("content-type", HeaderValue::from_static("application/xml"));
        error.set_headers(headers);
        error
    }

    fn check_rights(&self) -> S3Result<()> {
        let context = self.ask.conditions(self.bucket, self.operation);
        let actions = actions(self.operation, &self.ask.exchange);
        // s3s knows more operations than the fake, and some it would carry out by others.
        let actions = actions.ok_or_else(|| not_implemented(self.operation))?;
        for (action, on_object) in actions {
            let resource = match (self.bucket, self.key) {
                (Some(bucket), Some(key)) if on_object => format!("arn:aws:s3:::{bucket}/{key}"),
                (Some(bucket), _) => format!("arn:aws:s3:::{bucket}"),
                (None, _) => "*".into(),
            };
            self.ask.authorise(action, &resource, self.bucket, &context)?;
        }
        Ok(())
    }
}

impl Ask {
    /// Asks the caller's policies, and then whether the bucket's denies it.
    pub(super) fn authorise(
        &self,
        action: &str,
        resource: &str,
        bucket: Option<&str>,
        context: &Context,
    ) -> S3Result<()> {
        let (mut decision, mut kind) = self.caller.may(action, resource, context);
        let state = self.shared.state();
        let denials = bucket
            .and_then(|name| state.buckets.get(name))
            .map(|bucket| &bucket.config.policy_statements);
        let denied = denials.is_some_and(|s| decide(s, action, resource, context) == Decision::Denied);
        if decision == Decision::Allowed && denied {
            (decision, kind) = (Decision::Denied, PolicyKind::Resource);
        }
        if decision == Decision::Allowed {
            return Ok(());
        }
        Err(s3_error(
            403,
            "AccessDenied",
            refusal(&self.caller.principal.arn(), action, resource, decision, kind),
        ))
    }

    /// The condition keys of this request.
    pub(super) fn conditions(&self, bucket: Option<&str>, operation: &str) -> Context {
        let mut context = Context::default();
        self.exchange
            .add_global_conditions(&self.caller.principal, &mut context);
        for (key, header) in [
            ("s3:x-amz-server-side-encryption", "x-amz-server-side-encryption"),
            (
                "s3:x-amz-server-side-encryption-aws-kms-key-id",
                "x-amz-server-side-encryption-aws-kms-key-id",
            ),
            ("s3:x-amz-acl", "x-amz-acl"),
            ("s3:x-amz-content-sha256", "x-amz-content-sha256"),
            ("s3:x-amz-storage-class", "x-amz-storage-class"),
            ("s3:if-match", "if-match"),
            ("s3:if-none-match", "if-none-match"),
        ] {
            if let Some(value) = self.exchange.header(header) {
                context.set(key, value);
            }
        }
        for (key, parameter) in [
            ("s3:prefix", "prefix"),
            ("s3:delimiter", "delimiter"),
            ("s3:max-keys", "max-keys"),
            ("s3:VersionId", "versionId"),
        ] {
            if let Some(value) = query(&self.exchange, parameter) {
                context.set(key, value);
            }
        }
        // A part of an upload creates no object yet; policies that demand conditions have to exempt them.
        match operation {
            "PutObject" | "CompleteMultipartUpload" => context.set("s3:ObjectCreationOperation", "true"),
            "CreateMultipartUpload" | "UploadPart" => context.set("s3:ObjectCreationOperation", "false"),
            _ => {}
        }
        if self.exchange.tls {
            context.set("s3:TlsVersion", "1.3");
        }
        let state = self.shared.state();
        if let Some(bucket) = bucket.and_then(|name| state.buckets.get(name)) {
            context.set("s3:ResourceAccount", &bucket.owner);
            context.set("aws:ResourceAccount", &bucket.owner);
        }
        context
    }
}

/// The actions that an operation needs, and whether on the object (else on the bucket). `None` if the fake doesn't know
/// the operation.
fn actions(operation: &str, exchange: &Exchange) -> Option<Vec<(&'static str, bool)>> {
    let has = |name: &str| exchange.headers.contains_key(name);
    let version = query(exchange, "versionId").is_some();
    let mut actions = vec![match operation {
        "GetObject" | "HeadObject" if version => ("s3:GetObjectVersion", true),
        "GetObject" | "HeadObject" => ("s3:GetObject", true),
        "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload" => ("s3:PutObject", true),
        "DeleteObject" if version => ("s3:DeleteObjectVersion", true),
        "DeleteObject" => ("s3:DeleteObject", true),
        "AbortMultipartUpload" => ("s3:AbortMultipartUpload", true),
        "ListObjects" | "ListObjectsV2" | "HeadBucket" => ("s3:ListBucket", false),
        "ListObjectVersions" => ("s3:ListBucketVersions", false),
        "ListMultipartUploads" => ("s3:ListBucketMultipartUploads", false),
        "ListBuckets" => ("s3:ListAllMyBuckets", false),
        "CreateBucket" => ("s3:CreateBucket", false),
        "DeleteBucket" => ("s3:DeleteBucket", false),
        "GetBucketLocation" => ("s3:GetBucketLocation", false),
        "GetBucketAcl" => ("s3:GetBucketAcl", false),
        "GetBucketVersioning" => ("s3:GetBucketVersioning", false),
        "PutBucketVersioning" => ("s3:PutBucketVersioning", false),
        "GetPublicAccessBlock" => ("s3:GetBucketPublicAccessBlock", false),
        "PutPublicAccessBlock" => ("s3:PutBucketPublicAccessBlock", false),
        "GetBucketOwnershipControls" => ("s3:GetBucketOwnershipControls", false),
        "PutBucketOwnershipControls" => ("s3:PutBucketOwnershipControls", false),
        "GetBucketEncryption" => ("s3:GetEncryptionConfiguration", false),
        // The right to do away with it is the one to set it.
        "DeleteBucketEncryption" => ("s3:PutEncryptionConfiguration", false),
        "PutBucketEncryption" => ("s3:PutEncryptionConfiguration", false),
        "GetBucketLifecycleConfiguration" => ("s3:GetLifecycleConfiguration", false),
        "PutBucketLifecycleConfiguration" => ("s3:PutLifecycleConfiguration", false),
        "GetBucketPolicy" => ("s3:GetBucketPolicy", false),
        "PutBucketPolicy" => ("s3:PutBucketPolicy", false),
        "DeleteBucketPolicy" => ("s3:DeleteBucketPolicy", false),
        "GetBucketTagging" => ("s3:GetBucketTagging", false),
        "PutBucketTagging" => ("s3:PutBucketTagging", false),
        _ => return None,
    }];
    let writes = matches!(
        operation,
        "PutObject" | "CreateMultipartUpload" | "CompleteMultipartUpload"
    );
    let compares = writes || operation == "DeleteObject" && exchange.header("if-match") != Some("*");
    if compares && has("if-match") {
        actions.push(("s3:GetObject", true));
    }
    if writes && has("x-amz-tagging") {
        actions.push(("s3:PutObjectTagging", true));
    }
    if writes && has("x-amz-acl") {
        actions.push(("s3:PutObjectAcl", true));
    }
    if operation == "CreateBucket" && has("x-amz-object-ownership") {
        actions.push(("s3:PutBucketOwnershipControls", false));
    }
    Some(actions)
}

/// s3s still verifies Signature Version 2, which S3 hasn't taken for new buckets since 2020.
fn check_mechanism(exchange: &Exchange) -> S3Result<()> {
    let by_header = exchange
        .header("authorization")
        .is_some_and(|a| a.starts_with("AWS4-HMAC-SHA256"));
    if by_header || query(exchange, "X-Amz-Signature").is_some() {
        return Ok(());
    }
    let message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    Err(s3_error(400, "InvalidRequest", message))
}

/// S3 wants every `x-amz-` header signed.
fn check_signed_headers(headers: &HeaderMap) -> S3Result<()> {
    let Ok(scope) = Scope::parse(headers) else {
        return Ok(());
    };
    let unsigned = headers.keys().find(|name| {
        name.as_str().starts_with("x-amz-") && !scope.signed_headers.iter().any(|signed| signed == name.as_str())
    });
    match unsigned {
        None => Ok(()),
        Some(name) => {
            let message = format!("There were headers present in the request which were not signed: {name}");
            Err(s3_error(403, "AccessDenied", message))
        }
    }
}

/// A checksum that can't be verified isn't accepted.
fn check_checksum_headers(headers: &HeaderMap) -> S3Result<()> {
    let known = |name: &str| {
        ["x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"].contains(&name)
            || ChecksumAlgorithm::ALL.iter().any(|a| a.header() == name)
    };
    let mut names = headers.keys().map(|name| name.as_str());
    match names.find(|name| name.starts_with("x-amz-checksum-") && !known(name)) {
        None => Ok(()),
        Some(name) => Err(s3_error(
            400,
            "InvalidRequest",
            format!("The fake can't verify {name}."),
        )),
    }
}

/// A parameter of the query.
pub(super) fn query(exchange: &Exchange, name: &str) -> Option<String> {
    exchange.uri.query()?.split('&').find_map(|pair| {
        let (n, value) = pair.split_once('=').unwrap_or((pair, ""));
        (n == name).then(|| percent_decode(value))
    })
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while place < bytes.len() {
        let escaped = text
            .get(place + 1..place + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[place], escaped) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                place += 2;
            }
            (b'+', _) => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        place += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
