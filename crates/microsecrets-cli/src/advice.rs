//! What to do about a failure of AWS or of a folder: one line, and for a missing right the statement that grants it.

use std::io;

use microsecrets::store::folder::FolderError;
use microsecrets::store::{Denial, ErrorKind, Operation, StoreError};
use microsecrets::text::shown;

/// The hint for a failure of a store.
pub(crate) fn of(error: &StoreError) -> Option<String> {
    match folder_error(error) {
        _ if error.subject.ends_with(".signing-key.pem") => of_signing_key(error).map(ToOwned::to_owned),
        Some(source) => of_folder(source).map(ToOwned::to_owned),
        None => of_service(error),
    }
}

/// Whether it is a folder that failed, and no service.
pub(crate) fn is_of_folder(error: &StoreError) -> bool {
    folder_error(error).is_some()
}

fn folder_error(error: &StoreError) -> Option<&FolderError> {
    error.source.as_ref()?.downcast_ref()
}

/// The hint for a failure of a folder; its cause says what and where.
fn of_folder(error: &FolderError) -> Option<&'static str> {
    Some(match error {
        FolderError::Damaged { .. } => "restore it from a backup of the folder",
        FolderError::IdentityInside { .. } => "set XDG_CONFIG_HOME to a folder outside of the store",
        FolderError::IdentityMissing { .. } | FolderError::IdentityWrong { .. } => {
            "nothing else opens this store; if the identity is lost, upload again into another folder"
        }
        FolderError::IdentityOpen { .. } => {
            "`chmod 600` it; if others may have read it, upload again into another folder, with other secrets"
        }
        FolderError::InTheWay { .. } => "remove it, or restore the folder from a backup",
        FolderError::Io { source, .. } if is_denial(source) => "check who owns it, and the rights of this user",
        FolderError::Locked { .. } => "another microsecrets is writing, or is stopped; --timeout waits longer",
        FolderError::Missing { .. } | FolderError::NotAStore { .. } => {
            "check the folder's path; the first upload makes a store of a folder that is empty or not there"
        }
        FolderError::Newer { .. } => "upgrade microsecrets",
        _ => return None,
    })
}

/// The hint for a folder's key that signs.
fn of_signing_key(error: &StoreError) -> Option<&'static str> {
    Some(match (&error.kind, folder_error(error)) {
        (_, Some(FolderError::IdentityOpen { .. })) => {
            "`chmod 600` it; if others may have read it, make another key, and pin that one"
        }
        (ErrorKind::KeyNotFound, _) => "make one with `microsecrets signing-key create`, and pin its public key",
        (ErrorKind::KeyUnusable, None) => {
            "it holds no private key on NIST P-256 (PKCS#8, PEM): restore it from a backup, or move it away and make another"
        }
        (_, Some(source)) => return of_folder(source),
        _ => return None,
    })
}

/// The hint for a failure of the system.
pub(crate) fn of_io(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::NotFound => "check its path",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check who owns it, and the rights of this user"
        }
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "make room, or raise the limit (`ulimit -f`, quota)"
        }
        io::ErrorKind::InvalidFilename => "shorten its name",
        _ => return None,
    })
}

fn is_denial(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// The hint for any other failure.
fn of_service(error: &StoreError) -> Option<String> {
    Some(match &error.kind {
        ErrorKind::Denied(denial) => missing_statement(error, denial),
        ErrorKind::ExpiredCredentials => {
            "sign in again (`aws sso login`, `aws login`) or renew the credentials".to_owned()
        }
        ErrorKind::InsecureEndpoint => {
            "use https://, or say --insecure-endpoint if the way there is trusted".to_owned()
        }
        // No service said so: they were not sent.
        ErrorKind::InvalidCredentials if error.code.is_none() => {
            "look at the line ends of the file that the variables come from: with CRLF, each value ends with a carriage return".to_owned()
        }
        ErrorKind::InvalidCredentials => {
            "check the access key and its secret; `aws sts get-caller-identity` tells whether they work".to_owned()
        }
        ErrorKind::NoCredentials => {
            "sign in (`aws sso login`, `aws login`), name a profile with --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; without AWS use a folder: -b file:DIR".to_owned()
        }
        ErrorKind::KeyNotFound if matches!(error.operation, Operation::Sign | Operation::GetPublicKey) => {
            "check the key's name and the region".to_owned()
        }
        ErrorKind::KeyNotFound => {
            format!("check --kms-key and the region; for a new service, create the key and its alias ({})", shown(&error.subject))
        }
        _ if is_for_something_else(error) => {
            "it must be an asymmetric KMS key, ECC_NIST_P256 for SIGN_VERIFY".to_owned()
        }
        ErrorKind::KeyUnusable => "enable the key, or cancel its deletion, in KMS".to_owned(),
        ErrorKind::ClockSkew => "set this machine's clock; the store accepts 15 minutes".to_owned(),
        ErrorKind::NewerFormat => "upgrade microsecrets".to_owned(),
        ErrorKind::NoSuchBucket => "check the bucket's name (-b) and region (-r)".to_owned(),
        ErrorKind::Throttled => "try again later, or ask AWS for a higher request rate".to_owned(),
        ErrorKind::TimedOut { .. } => "check the network, or wait longer with --timeout".to_owned(),
        ErrorKind::Unavailable if error.code.is_some() => "try again later".to_owned(),
        ErrorKind::Unavailable => "check the network, the endpoint and the region".to_owned(),
        ErrorKind::UntrustedServer => {
            "install the system's certificate authorities (ca-certificates), or name the server's with AWS_CA_BUNDLE or SSL_CERT_FILE, if it is yours".to_owned()
        }
        ErrorKind::Damaged(_) => {
            "it was changed by other means: restore it from a backup, or remove it and upload again".to_owned()
        }
        ErrorKind::Malformed(_) => {
            "something else may have answered in the store's place: check the endpoint and the proxy".to_owned()
        }
        ErrorKind::WrongRegion { region: Some(region) } => format!("say -r {}", shown(region)),
        ErrorKind::WrongRegion { region: None } => "say the bucket's region with -r".to_owned(),
        ErrorKind::InvalidSetting(_) => return of_setting(error).map(ToOwned::to_owned),
        // An error of the service's own has a code.
        ErrorKind::Unexpected { status: Some(_) } if error.code.is_none() => {
            "something else may have answered: look whether the endpoint is an S3 service, and at the proxy".to_owned()
        }
        ErrorKind::WrongEncryption { .. } => {
            "the store did not encrypt as it was asked to; for a store without KMS use --sse AES256".to_owned()
        }
        _ => return None,
    })
}

/// Whether a KMS key that was to sign is of another kind.
fn is_for_something_else(error: &StoreError) -> bool {
    matches!(error.operation, Operation::Sign | Operation::GetPublicKey)
        && matches!(
            error.code.as_deref(),
            Some("InvalidKeyUsageException" | "UnsupportedOperationException")
        )
}

/// The hint for a setting that cannot be used.
fn of_setting(error: &StoreError) -> Option<&'static str> {
    Some(match error.subject.as_str() {
        "endpoint" => "say https://HOST or https://HOST:PORT; http:// only for this machine",
        "proxy" => "check HTTPS_PROXY",
        "region" => "say a region such as eu-west-1",
        subject if subject.starts_with("region of ") => {
            "say a region such as eu-west-1; from a file with CRLF line ends, a variable ends with a carriage return"
        }
        // The only file there is to open.
        _ if error.operation == Operation::Open => "check AWS_CA_BUNDLE: it names a file of certificates in PEM",
        _ => return None,
    })
}

/// The IAM statement that is missing, as far as the service or the operation says which.
fn missing_statement(error: &StoreError, denial: &Denial) -> String {
    let action = denial
        .action
        .clone()
        .unwrap_or_else(|| action_of(error.operation).to_owned());
    let resource = match &denial.resource {
        Some(resource) => whole_service(resource),
        None => "the key's ARN".to_owned(),
    };
    let mut statement = serde_json::json!({"Effect": "Allow", "Action": shown(&action), "Resource": shown(&resource)});
    if action == "s3:ListBucket"
        && let Some(prefix) = service_prefix(&error.subject)
    {
        statement["Condition"] = serde_json::json!({"StringLike": {"s3:prefix": shown(&prefix)}});
    }
    format!("the statement that is missing: {statement}")
}

fn action_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Administer(action) => action,
        Operation::Delete => "s3:DeleteObject",
        Operation::DescribeKey => "kms:DescribeKey",
        Operation::GetPublicKey => "kms:GetPublicKey",
        Operation::List => "s3:ListBucket",
        Operation::ListVersions => "s3:ListBucketVersions",
        Operation::Put => "s3:PutObject",
        Operation::Sign => "kms:Sign",
        _ => "s3:GetObject",
    }
}

/// What a statement says for an object: all of its service's, because the next request will be for another one.
fn whole_service(resource: &str) -> String {
    let parts = resource
        .split_once('/')
        .filter(|(bucket, _)| bucket.starts_with("arn:aws:s3:::"));
    match parts.and_then(|(bucket, key)| Some((bucket, service_prefix(key)?))) {
        Some((bucket, prefix)) => format!("{bucket}/{prefix}"),
        None => resource.to_owned(),
    }
}

/// `services/<service>/*` of any of the service's keys.
fn service_prefix(key: &str) -> Option<String> {
    match key.splitn(3, '/').collect::<Vec<_>>()[..] {
        [services, service, _] => Some(format!("{services}/{service}/*")),
        _ => None,
    }
}
