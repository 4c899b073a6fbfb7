//! What can go wrong at a store, in words that every store shares.

use std::error::Error;
use std::fmt;

use super::Encryption;

/// An operation on a store or on keys that failed: what was asked, of what, and how it ended.
///
/// Holds no value and no type of an SDK. `Display` says what happened without its source.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoreError {
    /// What was asked.
    pub operation: Operation,
    /// Of what: a key, a prefix, a KMS key's name.
    pub subject: String,
    /// How it ended.
    pub kind: ErrorKind,
    /// The service's own error code, for example `SlowDown`.
    pub code: Option<String>,
    /// The service's id of the request, for its support.
    pub request_id: Option<String>,
    /// Whether a put or delete may have happened all the same: an answer was lost.
    pub maybe_applied: bool,
    /// What lies beneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An operation that ended in one way, with nothing more known.
    pub fn new(operation: Operation, subject: impl Into<String>, kind: ErrorKind) -> Self {
        Self {
            operation,
            subject: subject.into(),
            kind,
            code: None,
            request_id: None,
            maybe_applied: false,
            source: None,
        }
    }

    /// Adds what lies beneath.
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.operation, self.subject)?;
        match &self.kind {
            // It was reached: it answered.
            ErrorKind::Unavailable if self.code.is_some() => f.write_str("the service failed")?,
            kind => kind.fmt(f)?,
        }
        match (&self.code, &self.request_id) {
            (Some(code), Some(id)) => write!(f, " ({code}, request {id})"),
            (Some(code), None) => write!(f, " ({code})"),
            (None, Some(id)) => write!(f, " (request {id})"),
            (None, None) => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What was asked of a store or of keys, by the name that IAM and CloudTrail use for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// Something that `setup` and `doctor` ask for, by the name of the right to it.
    Administer(&'static str),
    /// `DeleteObject`.
    Delete,
    /// KMS `DescribeKey`.
    DescribeKey,
    /// `GetObject`.
    Get,
    /// KMS `GetPublicKey`.
    GetPublicKey,
    /// `HeadObject`: IAM calls the right to it `s3:GetObject`.
    Head,
    /// `ListObjectsV2`: IAM calls the right to it `s3:ListBucket`.
    List,
    /// `ListObjectVersions`: IAM calls the right to it `s3:ListBucketVersions`.
    ListVersions,
    /// Opening the store.
    Open,
    /// `PutObject` and the multipart calls.
    Put,
    /// KMS `Sign`.
    Sign,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Administer(action) => return write!(f, "{action} of"),
            Self::Delete => "delete",
            Self::DescribeKey => "look up key",
            Self::Get => "get",
            Self::GetPublicKey => "get the public key of",
            Self::Head => "head",
            Self::List => "list",
            Self::ListVersions => "list versions of",
            Self::Open => "open",
            Self::Put => "put",
            Self::Sign => "sign with",
        })
    }
}

/// How an operation ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A key with this name or alias does not exist.
    KeyNotFound,
    /// The key cannot be used: disabled, pending deletion, pending import; or, for a file, damaged or open to others.
    KeyUnusable,
    /// The store's clock and this machine's differ by more than the store accepts.
    ClockSkew,
    /// The process was killed here (only in tests).
    Crashed,
    /// What is kept is not as this program wrote it; says how.
    Damaged(String),
    /// Not allowed.
    Denied(Denial),
    /// The credentials are not valid any more.
    ExpiredCredentials,
    /// The identity that opens a folder store is missing, another one, or open to others.
    IdentityUnusable,
    /// An `http://` endpoint that is not loopback.
    InsecureEndpoint,
    /// The credentials are not known to the service, or their secret is wrong.
    InvalidCredentials,
    /// A setting that cannot be used; says why.
    InvalidSetting(String),
    /// An error of the local system.
    Io,
    /// The answer is not what the protocol allows.
    Malformed(String),
    /// Written in a format that is newer than this program: it has to be upgraded.
    NewerFormat,
    /// No credentials were found.
    NoCredentials,
    /// There is no object at the key.
    NotFound,
    /// The object is as it was.
    NotModified,
    /// There is no such bucket.
    NoSuchBucket,
    /// There is no such folder, or no store in it.
    NoSuchFolder,
    /// The condition does not hold.
    PreconditionFailed,
    /// The store asks to slow down, and still did after all retries.
    Throttled,
    /// No progress for this many seconds.
    TimedOut {
        /// The time-out, in seconds.
        seconds: u64,
    },
    /// More bytes than the caller accepts.
    TooLarge {
        /// The most that was accepted.
        limit: u64,
    },
    /// The store could not be reached, broke off, or failed, and still did after all retries.
    Unavailable,
    /// The bytes to be written could not be read.
    UnreadableSource,
    /// The server's certificate is not one to trust; nothing was sent to it.
    UntrustedServer,
    /// The store says that it encrypted otherwise than asked. The object is written when `maybe_applied` is set.
    WrongEncryption {
        /// How it says that it did.
        used: Encryption,
    },
    /// The bucket is in another region.
    WrongRegion {
        /// Which, when the store said so.
        region: Option<String>,
    },
    /// Anything else that the service said.
    Unexpected {
        /// The HTTP status, when there was one.
        status: Option<u16>,
    },
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyNotFound => f.write_str("there is no such key"),
            Self::KeyUnusable => f.write_str("the key is disabled or not usable"),
            Self::ClockSkew => f.write_str("this machine's clock is too far from the store's"),
            Self::Crashed => f.write_str("killed"),
            Self::Damaged(how) => f.write_str(how),
            Self::Denied(denial) => denial.fmt(f),
            Self::ExpiredCredentials => f.write_str("the credentials have expired"),
            Self::IdentityUnusable => f.write_str("the store's identity cannot be used"),
            Self::InsecureEndpoint => f.write_str("the endpoint is neither https nor loopback"),
            Self::InvalidCredentials => f.write_str("the credentials are not valid"),
            Self::InvalidSetting(why) => f.write_str(why),
            Self::Io => f.write_str("input/output error"),
            Self::Malformed(what) => write!(f, "malformed answer: {what}"),
            Self::NewerFormat => f.write_str("written by a newer version of this program"),
            Self::NoCredentials => f.write_str("no AWS credentials found"),
            Self::NotFound => f.write_str("not found"),
            Self::NotModified => f.write_str("not modified"),
            Self::NoSuchBucket => f.write_str("no such bucket"),
            Self::NoSuchFolder => f.write_str("no such folder, or no store in it"),
            Self::PreconditionFailed => f.write_str("somebody else wrote it first"),
            Self::Throttled => f.write_str("asked to slow down"),
            Self::TimedOut { seconds } => write!(f, "no answer for {seconds} s"),
            Self::TooLarge { limit } => write!(f, "more than {limit} bytes"),
            Self::Unavailable => f.write_str("not reachable"),
            Self::UnreadableSource => f.write_str("the bytes to be written cannot be read"),
            Self::UntrustedServer => f.write_str("the server's certificate is not trusted"),
            Self::WrongEncryption { used } => write!(f, "encrypted otherwise than asked: {used}"),
            Self::WrongRegion { region: Some(region) } => write!(f, "the bucket is in region {region}"),
            Self::WrongRegion { region: None } => f.write_str("the bucket is in another region"),
            Self::Unexpected { status: Some(status) } => write!(f, "unexpected answer {status}"),
            Self::Unexpected { status: None } => f.write_str("unexpected answer"),
        }
    }
}

/// What the service said about a right that is missing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Denial {
    /// The action that is not allowed, when the service said so, for example `kms:Decrypt`.
    pub action: Option<String>,
    /// The resource it is not allowed on, as the service said, or else what was asked for in a bucket.
    pub resource: Option<String>,
    /// Who is not allowed, when the service said so.
    pub principal: Option<String>,
    /// Why, when the service said so, for example `no identity-based policy allows the kms:Decrypt action`.
    pub reason: Option<String>,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.action, &self.resource) {
            (Some(action), Some(resource)) => write!(f, "access denied: {action} on {resource}"),
            (Some(action), None) => write!(f, "access denied: {action}"),
            _ => f.write_str("access denied"),
        }
    }
}
