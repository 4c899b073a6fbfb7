//! What the SDK says went wrong, in the store's words. Nothing of the SDK's own texts about answers passes: its `Debug`
//! holds headers and bodies, its `Display` says nothing.

use std::error::Error;

use aws_config::meta::ProviderChainError;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};

use super::credentials::{Overdue, Unusable};
use super::http::Insecure;
use crate::store::{Denial, ErrorKind, Operation, StoreError};

/// The most that is kept of any text of a service's or a provider's.
const LONGEST: usize = 400;
/// The most that is kept of why a provider has no credentials.
const LONGEST_OF_A_PROVIDER: usize = 100;

/// What was asked, of what.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) operation: Operation,
    pub(crate) subject: String,
    /// Whether the answer matters: the request changes something, once it arrives.
    pub(crate) changes: bool,
}

impl Asked {
    pub(crate) fn new(operation: Operation, subject: impl Into<String>) -> Self {
        Self {
            operation,
            subject: subject.into(),
            changes: matches!(operation, Operation::Put | Operation::Delete),
        }
    }

    /// A request that has to do with a change but makes none itself.
    pub(crate) fn changing_nothing(mut self) -> Self {
        self.changes = false;
        self
    }

    pub(crate) fn error(&self, kind: ErrorKind) -> StoreError {
        StoreError::new(self.operation, self.subject.as_str(), kind)
    }

    /// An answer that breaks the protocol. A change that it answered may have been made.
    pub(crate) fn malformed(&self, what: impl Into<String>) -> StoreError {
        StoreError {
            maybe_applied: self.changes,
            ..self.error(ErrorKind::Malformed(what.into()))
        }
    }
}

/// Converts what the SDK says.
pub(crate) fn from_sdk<E>(asked: &Asked, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match &error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            from_answer(asked, service.raw(), meta.code(), meta.message())
        }
        SdkError::ResponseError(response) => {
            let cause = error.source();
            if broke_off(cause) {
                let request_id = request_id(response.raw());
                let lost = asked.error(ErrorKind::Unavailable);
                StoreError {
                    maybe_applied: asked.changes,
                    request_id,
                    ..attach(lost, cause)
                }
            } else {
                from_answer(asked, response.raw(), None, None)
            }
        }
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => from_network(asked, error.source()),
        _ => attach(asked.error(ErrorKind::Unexpected { status: None }), error.source()),
    }
}

/// An answer that is none of those the operation has.
fn from_answer(asked: &Asked, raw: &HttpResponse, code: Option<&str>, message: Option<&str>) -> StoreError {
    let status = raw.status().as_u16();
    let kind = match region(raw, status, code) {
        Some(region) => ErrorKind::WrongRegion { region },
        None => classify(asked.operation, status, code, message),
    };
    // Who slows us down or does not know the operation did nothing.
    let definite = matches!(kind, ErrorKind::Throttled) && code.is_some() || status == 501;
    StoreError {
        code: code.map(clean),
        request_id: request_id(raw),
        maybe_applied: asked.changes && (status >= 500 || raw.status().is_success()) && !definite,
        ..asked.error(kind)
    }
}

/// A body that did not arrive.
pub(crate) fn from_body(asked: &Asked, error: &(dyn Error + 'static)) -> StoreError {
    if broke_off(Some(error)) {
        attach(asked.error(ErrorKind::Unavailable), Some(error))
    } else {
        attach(asked.malformed("its body cannot be read"), Some(error))
    }
}

/// How an answer with an error reads.
fn classify(operation: Operation, status: u16, code: Option<&str>, message: Option<&str>) -> ErrorKind {
    // S3 passes the errors of KMS on with this in front.
    let code = code.map(|code| code.strip_prefix("KMS.").unwrap_or(code));
    match code.unwrap_or_default() {
        "NoSuchKey" | "NoSuchVersion" => return ErrorKind::NotFound,
        "NoSuchBucket" => return ErrorKind::NoSuchBucket,
        "PreconditionFailed" => return ErrorKind::PreconditionFailed,
        "NotFoundException" => return ErrorKind::KeyNotFound,
        "DisabledException"
        | "KMSInvalidStateException"
        | "InvalidStateException"
        | "InvalidKeyUsageException"
        | "KeyUnavailableException"
        | "InvalidKeyUsage" => return ErrorKind::KeyUnusable,
        "AccessDenied" | "AccessDeniedException" | "AllAccessDisabled" | "AccountProblem" => {
            return ErrorKind::Denied(denial(message.unwrap_or_default()));
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired" => {
            return ErrorKind::ExpiredCredentials;
        }
        "RequestTimeTooSkewed" | "RequestInTheFuture" => return ErrorKind::ClockSkew,
        "InvalidSignatureException" if message.is_some_and(tells_of_clocks) => return ErrorKind::ClockSkew,
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "NotSignedUp" => return ErrorKind::InvalidCredentials,
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "LimitExceededException"
        | "BandwidthLimitExceeded" => {
            return ErrorKind::Throttled;
        }
        // Neither was applied; the same request may be sent again.
        "ConditionalRequestConflict" | "OperationAborted" => return ErrorKind::Unavailable,
        "RequestTimeout"
        | "RequestTimeoutException"
        | "InternalError"
        | "KMSInternalException"
        | "DependencyTimeoutException"
        | "ServiceUnavailable" => return ErrorKind::Unavailable,
        _ => {}
    }
    match status {
        // The answer to a HEAD has no body, so no code.
        404 if operation == Operation::Head => ErrorKind::NotFound,
        304 => ErrorKind::NotModified,
        412 => ErrorKind::PreconditionFailed,
        401 | 403 => ErrorKind::Denied(denial(message.unwrap_or_default())),
        429 => ErrorKind::Throttled,
        500 | 502..=504 => ErrorKind::Unavailable,
        200..=299 => ErrorKind::Malformed("it is not an answer of this operation's".to_owned()),
        status => ErrorKind::Unexpected { status: Some(status) },
    }
}

/// How KMS says that a signature is too old or too young.
fn tells_of_clocks(message: &str) -> bool {
    message.starts_with("Signature expired") || message.starts_with("Signature not yet current")
}

/// Which region a bucket is in, when that is why the answer is an error. `Some(None)`: another one, not said which.
fn region(raw: &HttpResponse, status: u16, code: Option<&str>) -> Option<Option<String>> {
    let misdirected = match (status, code) {
        (301 | 307, _) => true,
        (400, Some("AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")) => true,
        // A HEAD answered without a body.
        (400, None) => raw.headers().contains_key("x-amz-bucket-region"),
        _ => false,
    };
    misdirected.then(|| {
        let said = raw.headers().get("x-amz-bucket-region").or_else(|| {
            let body = std::str::from_utf8(raw.body().bytes()?).ok()?;
            let (_, rest) = body.split_once("<Region>")?;
            rest.split_once("</Region>").map(|(region, _)| region)
        });
        said.map(clean)
    })
}

fn request_id(raw: &HttpResponse) -> Option<String> {
    ["x-amz-request-id", "x-amzn-requestid"]
        .into_iter()
        .find_map(|name| raw.headers().get(name))
        .map(clean)
}

/// Reads what AWS says about a missing right:
/// `User: ARN is not authorized to perform: ACTION on resource: ARN because REASON`.
fn denial(message: &str) -> Denial {
    let mut denial = Denial::default();
    let Some((user, rest)) = message.split_once(" is not authorized to perform: ") else {
        return denial;
    };
    denial.principal = user.strip_prefix("User: ").map(clean).filter(|text| !text.is_empty());
    let (action, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    denial.action = Some(clean(action)).filter(|text| !text.is_empty());
    let (what, why) = split_reason(rest);
    denial.resource = what
        .strip_prefix("on resource: ")
        .map(|resource| clean(resource.trim_matches('"')))
        .filter(|text| !text.is_empty());
    denial.reason = why.map(clean).filter(|text| !text.is_empty());
    denial
}

/// Splits a resource, which may hold spaces when it is quoted, from the reason after it.
fn split_reason(text: &str) -> (&str, Option<&str>) {
    let from = text
        .strip_prefix("on resource: \"")
        .and_then(|rest| rest.find('"'))
        .map_or(0, |end| end + "on resource: \"".len());
    let separators = [" because ", " with an explicit deny"];
    match separators
        .iter()
        .find_map(|separator| Some((text[from..].find(separator)? + from, separator)))
    {
        Some((at, &" because ")) => (&text[..at], Some(&text[at + " because ".len()..])),
        Some((at, _)) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// A request that got no answer, or was never sent.
fn from_network(asked: &Asked, cause: Option<&(dyn Error + 'static)>) -> StoreError {
    if find::<Insecure>(cause).is_some() {
        return attach(asked.error(ErrorKind::InsecureEndpoint), cause);
    }
    if let Some(error) = find::<CredentialsError>(cause) {
        return from_credentials(asked, error);
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = find(cause) {
        return attach(asked.error(ErrorKind::UntrustedServer), cause);
    }
    // Without a connection nothing was sent.
    let unsent = find::<hyper_util::client::legacy::Error>(cause).is_some_and(|error| error.is_connect());
    let unreachable = asked.error(ErrorKind::Unavailable);
    StoreError {
        maybe_applied: asked.changes && !unsent,
        ..attach(unreachable, cause)
    }
}

/// Credentials that could not be had.
pub(super) fn from_credentials(asked: &Asked, error: &CredentialsError) -> StoreError {
    let cause: Option<&(dyn Error + 'static)> = Some(error);
    if find::<Insecure>(cause).is_some() {
        return attach(asked.error(ErrorKind::InsecureEndpoint), cause);
    }
    if let Some(unusable) = find::<Unusable>(cause) {
        return attach(asked.error(ErrorKind::InvalidCredentials), Some(unusable));
    }
    if let Some(overdue) = find::<Overdue>(cause) {
        let seconds = overdue.waited.as_secs();
        return attach(asked.error(ErrorKind::TimedOut { seconds }), Some(overdue));
    }
    let unreachable = find::<ConnectorError>(cause).is_some_and(|error| error.is_io() || error.is_timeout());
    let kind = match error {
        CredentialsError::CredentialsNotLoaded(_) => ErrorKind::NoCredentials,
        // Also by what is not shown: a program's own words.
        _ if chain(cause).any(|error| tells_of_an_end(&said(error))) => ErrorKind::ExpiredCredentials,
        _ if unreachable => ErrorKind::Unavailable,
        _ => ErrorKind::NoCredentials,
    };
    attach(asked.error(kind), cause)
}

/// How the services and files behind a session say that it has ended: the types that would tell are not public.
fn tells_of_an_end(text: &str) -> bool {
    // The latter two are what the portal and the token service call a session that they do not know any more.
    ["expired", "UnauthorizedException", "InvalidGrantException"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Whether an answer ended before its end, so that another attempt may get it whole.
fn broke_off(cause: Option<&(dyn Error + 'static)>) -> bool {
    find::<hyper::Error>(cause).is_some() || find::<std::io::Error>(cause).is_some()
}

fn find<'a, E: Error + 'static>(cause: Option<&'a (dyn Error + 'static)>) -> Option<&'a E> {
    chain(cause).find_map(|error| error.downcast_ref())
}

/// An error and all that lies beneath it.
fn chain<'a>(cause: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(cause, |error| beneath(*error))
}

/// The next cause. An `io::Error` names its payload's cause and skips the payload.
fn beneath<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|payload| payload as _),
        None => error.source(),
    }
}

/// Puts the texts of a chain of causes beneath an error: texts only, so that no type of the SDK's comes along, each one
/// short and none twice.
fn attach(error: StoreError, cause: Option<&(dyn Error + 'static)>) -> StoreError {
    let mut beneath: Option<Cause> = None;
    for text in texts(cause).into_iter().rev() {
        beneath = Some(Cause {
            text,
            source: beneath.map(Box::new),
        });
    }
    match beneath {
        Some(cause) => error.with_source(cause),
        None => error,
    }
}

fn texts(cause: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for error in chain(cause) {
        let text = clean(without_secrets(&said(error)));
        if !text.is_empty() && !says_nothing(&text) && !texts.iter().any(|other| other.contains(&text)) {
            texts.push(text);
        }
    }
    texts
}

/// What one error says, which may hold more than is for people to see.
fn said(error: &(dyn Error + 'static)) -> String {
    if let Some(meta) = error.downcast_ref::<ErrorMetadata>() {
        match (meta.code(), meta.message()) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (code, message) => code.or(message).unwrap_or_default().to_owned(),
        }
    } else if let Some(chain) = error.downcast_ref::<ProviderChainError<CredentialsError>>() {
        providers_tried(chain)
    } else {
        error.to_string()
    }
}

/// A text up to where the SDK quotes what had credentials in hand, which may have said them: a `credential_process`'s
/// standard error, a piece of JSON that is not as it should be. Nor is it of use to people where to read about an error in
/// the documents of a library.
fn without_secrets(text: &str) -> &str {
    [". Stderr:", ", found: ", ": https://docs.rs"]
        .iter()
        .fold(text, |text, quotation| text.split(quotation).next().unwrap_or_default())
}

/// Every provider of credentials that was asked, and why it has none.
fn providers_tried(chain: &ProviderChainError<CredentialsError>) -> String {
    let tried = chain.attempts().iter().map(|attempt| {
        let why = texts(Some(attempt.error())).pop();
        let why = why.as_deref().unwrap_or("not configured").chars();
        let why: String = why.take(LONGEST_OF_A_PROVIDER).collect();
        format!("{} ({why})", attempt.name())
    });
    format!("tried {}", tried.collect::<Vec<_>>().join(", "))
}

/// Whether a layer of the SDK's or of the HTTP client's names only itself.
fn says_nothing(text: &str) -> bool {
    const NAMES: [&str; 13] = [
        "client error (Connect)",
        "client error (SendRequest)",
        "connection error",
        "dispatch failure",
        "error reading a body from connection",
        "io error",
        "other",
        "response error",
        "service error",
        "streaming error",
        "the credential provider was not enabled",
        "timeout",
        "user error",
    ];
    NAMES.contains(&text) || text.starts_with("unhandled error")
}

/// A text of somebody else's on one line, without control characters, and not without end.
pub(crate) fn clean(text: &str) -> String {
    let mut clean: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(LONGEST)
        .collect();
    clean.truncate(clean.trim_end().len());
    clean
}

/// A cause of which only the text is left.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    source: Option<Box<Self>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(message: &str) -> [Option<String>; 4] {
        let denial = denial(message);
        [denial.principal, denial.action, denial.resource, denial.reason]
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_denial_of_s3s_is_read() {
        let message = "User: arn:aws:sts::111122223333:assumed-role/app/i-0abc is not authorized to perform: \
                       s3:GetObject on resource: \"arn:aws:s3:::b/a key because of spaces\" because no identity-based \
                       policy allows the s3:GetObject action";
        assert_eq!(
            denied(message),
            [
                some("arn:aws:sts::111122223333:assumed-role/app/i-0abc"),
                some("s3:GetObject"),
                some("arn:aws:s3:::b/a key because of spaces"),
                some("no identity-based policy allows the s3:GetObject action"),
            ]
        );
    }

    #[test]
    fn a_denial_of_kmss_is_read() {
        let message = "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: kms:GenerateDataKey on \
                       resource: arn:aws:kms:eu-west-1:111122223333:key/1234 with an explicit deny in a resource-based \
                       policy";
        assert_eq!(
            denied(message),
            [
                some("arn:aws:iam::111122223333:user/ann"),
                some("kms:GenerateDataKey"),
                some("arn:aws:kms:eu-west-1:111122223333:key/1234"),
                some("with an explicit deny in a resource-based policy"),
            ]
        );
        let message = "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: kms:Decrypt on the \
                       resource associated with this ciphertext because the resource does not exist in this Region";
        assert_eq!(
            denied(message),
            [
                some("arn:aws:iam::111122223333:user/ann"),
                some("kms:Decrypt"),
                None,
                some("the resource does not exist in this Region"),
            ]
        );
    }

    #[test]
    fn a_denial_without_a_reason_is_only_a_denial() {
        for message in ["Access Denied", "", "User: x is not authorized to perform: "] {
            assert_eq!(denied(message)[1..], [None, None, None], "{message}");
        }
        assert_eq!(
            denied("User: x is not authorized to perform: s3:PutObject")[..3],
            [some("x"), some("s3:PutObject"), None]
        );
    }

    #[test]
    fn a_denial_is_clean_and_short() {
        let message = format!(
            "User: x is not authorized to perform: a on resource: b\u{1b}[31m{}",
            "c".repeat(9_999)
        );
        let resource = denial(&message).resource.unwrap_or_default();
        assert!(
            resource.starts_with("b [31mccc") && resource.len() == LONGEST,
            "{resource}"
        );
    }

    #[test]
    fn codes_count_before_statuses() {
        let get = |status, code| classify(Operation::Get, status, code, None);
        assert_eq!(get(404, Some("NoSuchKey")), ErrorKind::NotFound);
        assert_eq!(get(404, Some("NoSuchBucket")), ErrorKind::NoSuchBucket);
        assert_eq!(get(404, None), ErrorKind::Unexpected { status: Some(404) });
        assert_eq!(classify(Operation::Head, 404, None, None), ErrorKind::NotFound);
        assert_eq!(get(400, Some("ExpiredToken")), ErrorKind::ExpiredCredentials);
        assert_eq!(get(503, Some("SlowDown")), ErrorKind::Throttled);
        assert_eq!(get(503, None), ErrorKind::Unavailable);
        assert_eq!(get(409, Some("ConditionalRequestConflict")), ErrorKind::Unavailable);
        assert_eq!(
            get(409, Some("BucketAlreadyExists")),
            ErrorKind::Unexpected { status: Some(409) }
        );
        assert_eq!(get(400, Some("KMS.DisabledException")), ErrorKind::KeyUnusable);
        assert_eq!(get(400, Some("KMS.KMSInvalidStateException")), ErrorKind::KeyUnusable);
        assert_eq!(get(400, Some("KMS.ThrottlingException")), ErrorKind::Throttled);
        assert_eq!(get(403, None), ErrorKind::Denied(Denial::default()));
    }

    #[test]
    fn kms_tells_a_wrong_clock_in_words() {
        let sign = |message| classify(Operation::Sign, 400, Some("InvalidSignatureException"), Some(message));
        assert_eq!(
            sign("Signature expired: 20261123T075801Z is now earlier than 20261123T085801Z"),
            ErrorKind::ClockSkew
        );
        assert_eq!(sign("Signature not yet current: 20261123T"), ErrorKind::ClockSkew);
        assert_eq!(
            sign("The request signature we calculated does not match the signature you provided."),
            ErrorKind::InvalidCredentials
        );
    }

    #[test]
    fn causes_are_texts_each_once() {
        let io = std::io::Error::other(std::io::Error::other("the cause\nin two lines"));
        let error = attach(Asked::new(Operation::Get, "x").error(ErrorKind::Unavailable), Some(&io));
        let cause = error.source().map(ToString::to_string);
        assert_eq!(cause, some("the cause in two lines"));
        assert!(error.source().and_then(Error::source).is_none());
    }
}
