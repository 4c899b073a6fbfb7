//! Errors as people see them: what failed, why, and what to do; and the status each kind ends with.
//!
//! All `From` conversions are here, so that a kind of failure has one status and one hint wherever it comes from.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use microsecrets::contract::{Breach, ContractError, ContractFault};
use microsecrets::danger;
use microsecrets::document::DocumentError;
use microsecrets::freshness::StateError;
use microsecrets::item::{ItemError, Why};
use microsecrets::layout::{Item, ItemKind};
use microsecrets::name::Number;
use microsecrets::ownfile::FileRefused;
use microsecrets::record::RecordError;
use microsecrets::store::{Encryption, ErrorKind, StoreError};
use microsecrets::text::{escaped, shown};
use microsecrets::trust::{Distrust, PinnedKeyError, RequiredEncryption};

use crate::advice;

/// What a failure ends the process with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Status {
    Ok,
    Failure,
    Usage,
    NotFound,
    Conflict,
    Denied,
    NotTrusted,
    Unavailable,
    /// `with-env` only: the command cannot be run.
    CannotRun,
    /// `with-env` only: there is no such command.
    NoSuchCommand,
    /// 0.3.4's commands only: options that 0.3.4 did not understand either.
    Options,
}

impl Status {
    /// The exit status of every command but `with-env`.
    fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage | Self::Options => 2,
            Self::NotFound => 3,
            Self::Conflict => 4,
            Self::Denied => 5,
            Self::NotTrusted => 6,
            Self::Unavailable => 7,
            Self::CannotRun => 126,
            Self::NoSuchCommand => 127,
        }
    }

    /// The exit status of `with-env`, apart from those of the commands it becomes.
    fn code_with_env(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotTrusted => 122,
            Self::Denied | Self::NotFound => 123,
            Self::Unavailable => 124,
            Self::Failure | Self::Usage | Self::Options | Self::Conflict => 125,
            Self::CannotRun => 126,
            Self::NoSuchCommand => 127,
        }
    }

    /// The exit status of 0.3.4's commands: 2 for options that it did not understand, 1 for whatever else failed.
    fn code_of_launcher(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Options => 2,
            _ => 1,
        }
    }
}

/// Whose exit statuses count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Speaking {
    /// The commands of this program.
    Plain,
    /// `with-env`, whose command has statuses of its own.
    WithEnv,
    /// The commands of 0.3.4.
    Launcher,
}

/// A failure, ready to be shown.
#[derive(Debug)]
pub(crate) struct CliError {
    status: Status,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    from_store: bool,
    /// The number of the deletion that was found instead of a version.
    deletion: Option<Number>,
    /// Whether it is that no pinned key has signed something.
    unsigned: bool,
}

impl CliError {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            from_store: false,
            deletion: None,
            unsigned: false,
        }
    }

    /// A mistake in the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Status::Usage, message)
    }

    /// Ends the process without a word.
    pub(crate) fn quiet(status: Status) -> Self {
        Self::new(status, "")
    }

    pub(crate) fn with_status(self, status: Status) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint, where there is no better one.
    pub(crate) fn hint_unless_any(self, hint: &str) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// Adds why: the error's own text and those beneath it.
    pub(crate) fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next: Option<&dyn Error> = Some(error);
        if let (None, Some(error)) = (&self.hint, error.downcast_ref::<io::Error>()) {
            self.hint = advice::of_io(error).map(ToOwned::to_owned);
        }
        while let Some(error) = next {
            let text = error.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Says what was being done, above what the store said: "get KEY: access denied" alone does not tell.
    pub(crate) fn context_for_store(mut self, doing: impl Into<String>) -> Self {
        if self.from_store {
            let what = std::mem::replace(&mut self.message, doing.into());
            self.causes.insert(0, what);
            self.from_store = false;
        }
        self
    }

    /// The number of the deletion that was found instead of a version, if that is what failed.
    pub(crate) fn deletion(&self) -> Option<Number> {
        self.deletion
    }

    /// Whether what failed is that no pinned key has signed something.
    pub(crate) fn is_of_signature(&self) -> bool {
        self.unsigned
    }

    /// The failure with its causes in one line, and what to do: for who has more than one thing to tell.
    pub(crate) fn told(self) -> (String, Option<String>) {
        let texts: Vec<String> = std::iter::once(self.message).chain(self.causes).collect();
        (texts.join(": "), self.hint)
    }

    /// Shows the failure and answers the exit status.
    pub(crate) fn report(&self, speaking: Speaking) -> ExitCode {
        if !self.message.is_empty() {
            // Escaped whatever they come from: not every path and every word of a server was.
            let mut text = format!("error: {}\n", escaped(&self.message));
            for cause in &self.causes {
                let _: std::fmt::Result = writeln!(text, "  caused by: {}", escaped(cause));
            }
            if let Some(hint) = &self.hint {
                let _: std::fmt::Result = writeln!(text, "hint: {}", escaped(hint));
            }
            // There is nowhere to report a failing standard error to.
            io::Write::write_all(&mut io::stderr(), text.as_bytes()).ok();
        }
        ExitCode::from(match speaking {
            Speaking::Plain => self.status.code(),
            Speaking::WithEnv => self.status.code_with_env(),
            Speaking::Launcher => self.status.code_of_launcher(),
        })
    }
}

impl From<ItemError> for CliError {
    fn from(error: ItemError) -> Self {
        let error = match error {
            ItemError::Store(error) => return error.into(),
            // A folder says which of the two it is.
            ItemError::DeniedOrAbsent { source, .. } if advice::is_of_folder(&source) => return source.into(),
            error => error,
        };
        let (status, hint): (_, Option<String>) = match &error {
            ItemError::Absent { .. } => (
                Status::NotFound,
                Some("check bucket and service, or publish it first with `microsecrets upload`".to_owned()),
            ),
            ItemError::Deleted { item, number, .. } => {
                (
                Status::NotFound,
                Some(format!("`microsecrets rollback {}{}` brings it back", file_option(item), number.get().saturating_sub(1))),
            )
            }
            ItemError::NoPrevious { .. } | ItemError::NoSuchNumber { .. } | ItemError::NoSuchVersion { .. } => {
                (Status::NotFound, Some("`microsecrets history` shows what there is".to_owned()))
            }
            ItemError::Pruned { .. } | ItemError::VersionDeleted { .. } => (
                Status::NotFound,
                Some("`microsecrets history` shows which versions have bytes".to_owned()),
            ),
            ItemError::DeniedOrAbsent { source, .. } => {
                let advice = advice::of(source).unwrap_or_default();
                let hint = format!("without s3:ListBucket S3 does not say which; {advice}");
                (Status::Denied, Some(hint.trim_end_matches("; ").to_owned()))
            }
            ItemError::Ambiguous { .. } | ItemError::CurrentVersion { .. } => (Status::Usage, None),
            ItemError::NoSuchVariable { .. } => {
                (Status::NotFound, Some("`microsecrets show` lists the names there are".to_owned()))
            }
            ItemError::Clash { .. } | ItemError::Conflict { .. } | ItemError::OtherVersion { .. } => (
                Status::Conflict,
                Some("look with `microsecrets history` and `microsecrets diff`, then decide again".to_owned()),
            ),
            ItemError::Unknown { .. } => (
                Status::Unavailable,
                Some("look with `microsecrets history` whether that version is there before you try again".to_owned()),
            ),
            ItemError::Busy { why: Why::BytesMissing, .. } => {
                (Status::NotFound, Some("upload it again, or put them back from a backup or an older object version".to_owned()))
            }
            ItemError::NeverSigned { .. } => (
                Status::NotFound,
                Some("publish it with --sign; what 0.3.4 wrote is signed when it is taken over: `microsecrets migrate --apply --sign --adopt`".to_owned()),
            ),
            ItemError::BreaksContract { breaches, .. } => (Status::Usage, Some(contract_hint(breaches))),
            ItemError::SignatureNeeded { .. } => (
                Status::Usage,
                Some("sign it: --sign, or --sign-with KEY".to_owned()),
            ),
            ItemError::SignerNotPinned { .. } => (
                Status::Usage,
                Some("pin its public key with --verify-key; `microsecrets signing-key export` prints it".to_owned()),
            ),
            ItemError::NeverAdopted { .. } => (
                Status::Failure,
                Some("take them over first: `microsecrets migrate --apply`".to_owned()),
            ),
            ItemError::Busy { .. } => (Status::Conflict, Some("try again".to_owned())),
            // What the log says stays as it is: it can only be published again.
            ItemError::Distrusted { source: Distrust::Unsigned, key } if key.contains("/log/") => (
                Status::NotTrusted,
                Some("look who wrote it; if it is meant, `rollback` and `promote` take it with --adopt, after showing what it changes".to_owned()),
            ),
            ItemError::Distrusted { source, .. } => (Status::NotTrusted, distrust_hint(source)),
            ItemError::PinMismatch { .. } => (
                Status::NotTrusted,
                Some("pin the checksum that upload printed; only SHA-256 pins are also looked up among older versions".to_owned()),
            ),
            ItemError::Document { .. } => (
                Status::NotTrusted,
                Some("whoever wrote it did not use microsecrets; upload it again".to_owned()),
            ),
            ItemError::FutureDated { .. } => (
                Status::NotTrusted,
                Some("it was written by a machine with a wrong clock, or to outlast all others; `microsecrets doctor` says what mends it".to_owned()),
            ),
            ItemError::HeadMissing { .. } | ItemError::HeadOutdated { .. } | ItemError::OutsideGrammar { .. } => {
                (Status::NotTrusted, Some(REPAIRS.to_owned()))
            }
            ItemError::Record { source: RecordError::Newer { .. }, .. } => {
                (Status::Failure, Some("upgrade microsecrets".to_owned()))
            }
            ItemError::Record { .. } => (Status::NotTrusted, Some(REPAIRS.to_owned())),
            ItemError::NewRecord { source: RecordError::TooLong { .. } } => {
                (Status::Usage, Some("shorten the message".to_owned()))
            }
            ItemError::NewDocument { source: DocumentError::TooLarge } => {
                (Status::Usage, Some("keep large values in a file: upload it with -f".to_owned()))
            }
            ItemError::KeyMoved { .. } => (
                Status::NotTrusted,
                Some("if the key was changed on purpose, say so once with --new-key".to_owned()),
            ),
            ItemError::NoCompareAndSwap { .. } => (
                Status::Failure,
                Some("use a store that keeps its word about If-None-Match and If-Match, as Amazon S3 does".to_owned()),
            ),
            _ => (Status::Failure, None),
        };
        let mut shown = Self::new(status, error.to_string());
        if let Some(source) = error.source() {
            shown = shown.caused_by(source);
        }
        shown.hint = hint;
        match error {
            ItemError::Deleted { number, .. } => shown.deletion = Some(number),
            ItemError::Distrusted { source, .. } => shown.unsigned = source.is_of_signature(),
            _ => {}
        }
        shown
    }
}

impl From<ContractError> for CliError {
    fn from(error: ContractError) -> Self {
        let hint = match &error.fault {
            ContractFault::File(FileRefused::Open { .. }) => {
                "nobody but you and root may be able to write it: chmod go-w"
            }
            ContractFault::File(FileRefused::OtherOwner { .. }) => {
                "whoever owns it could change what is demanded: use one that is yours or root's, with --config"
            }
            ContractFault::File(FileRefused::Io(source)) => {
                advice::of_io(source).unwrap_or("check it, or name another with --config")
            }
            ContractFault::File(FileRefused::NotRegular) => "put a file in its place, or name another with --config",
            ContractFault::Pattern(error) => error.hint(),
            ContractFault::VerifyKey(error) => pinned_key_hint(error),
            _ => "docs/SEMANTICS.md, \"The contract\", says what it can hold",
        };
        Self::usage(error.to_string()).caused_by(&error.fault).hint(hint)
    }
}

impl From<PinnedKeyError> for CliError {
    fn from(error: PinnedKeyError) -> Self {
        let shown = Self::usage(error.to_string());
        let shown = match error.source() {
            Some(source) => shown.caused_by(source),
            None => shown,
        };
        shown.hint(pinned_key_hint(&error))
    }
}

fn pinned_key_hint(error: &PinnedKeyError) -> &'static str {
    match error {
        PinnedKeyError::File {
            source: FileRefused::Open { .. },
            ..
        } => "nobody but you and root may be able to write it: chmod go-w",
        PinnedKeyError::File {
            source: FileRefused::OtherOwner { .. },
            ..
        } => "whoever owns it could change what is believed: use one that is yours or root's, or base64",
        _ => "give the public key that `microsecrets signing-key export` prints, as a file or as base64",
    }
}

impl From<StateError> for CliError {
    fn from(error: StateError) -> Self {
        let (status, hint) = match &error {
            StateError::Back { .. } | StateError::Sideways { .. } => (
                Status::NotTrusted,
                "an older version may have been put back: look with `microsecrets history`; if it is meant, say --allow-rollback once",
            ),
            StateError::NoNumber { .. } => (Status::NotTrusted, "give it one with `microsecrets migrate --apply`"),
            StateError::File {
                source: FileRefused::Open { .. } | FileRefused::OtherOwner { .. },
                ..
            } => (
                Status::NotTrusted,
                "nobody but you and root may be able to write it; look who did, then chmod 600 or remove it",
            ),
            StateError::Damaged { .. } => (
                Status::NotTrusted,
                "look who wrote it; removed, it begins anew and believes what is current then",
            ),
            StateError::Locked { .. } => (
                Status::Failure,
                "another microsecrets is using it, or is stopped; --timeout waits longer",
            ),
            _ => (Status::Failure, "check its folder, and the rights of this user"),
        };
        let shown = Self::new(status, error.to_string());
        let shown = match error.source() {
            Some(source) => shown.caused_by(source),
            None => shown,
        };
        shown.hint(hint)
    }
}

/// What to do about an environment that breaks its contract.
pub(crate) fn contract_hint(breaches: &[Breach]) -> String {
    match dangerous(breaches) {
        Some(name) => {
            format!("change the variables, or name {name} in the contract, because no glob matches what can run code")
        }
        None => "change the variables, or the contract".to_owned(),
    }
}

/// A variable that is not allowed, though a glob of the contract may match it.
pub(crate) fn dangerous(breaches: &[Breach]) -> Option<&str> {
    breaches.iter().find_map(|breach| match breach {
        Breach::NotAllowed(name) if danger::find(name).is_some() => Some(name.as_str()),
        _ => None,
    })
}

/// How an item is said on the command line, beside its service.
pub(crate) fn file_option(item: &Item) -> String {
    match item.kind() {
        ItemKind::Environment => String::new(),
        ItemKind::File(label) => format!("-f {label} "),
    }
}

/// What to do about a store that is not as this program leaves it.
const REPAIRS: &str = "look who wrote there; `microsecrets doctor` says what is wrong, and what mends it";

fn distrust_hint(distrust: &Distrust) -> Option<String> {
    Some(match distrust {
        Distrust::Encryption { found: Encryption::Kms(_), wanted: RequiredEncryption::Aes256 } => {
            "it is under a KMS key: leave out --sse AES256".to_owned()
        }
        Distrust::Encryption { .. } => {
            "an object without the required encryption was not written by microsecrets; for a store without KMS use --sse AES256".to_owned()
        }
        Distrust::OtherKey { found, .. } => format!("if the key was changed on purpose, pin {} instead", shown(found)),
        Distrust::Checksum { .. } | Distrust::OtherCommit | Distrust::OtherItem { .. } | Distrust::OtherNumber { .. } => {
            "it was changed or copied by other means; look who may write there, and upload it again".to_owned()
        }
        Distrust::BadSignature => {
            "it was changed after it was signed, or is a forgery; look who may write there".to_owned()
        }
        Distrust::Expired { .. } => "publish it again, with another --expires".to_owned(),
        Distrust::OtherSigner { .. } => {
            "if the key was changed on purpose, pin that public key too, with --verify-key".to_owned()
        }
        Distrust::TooOld { .. } => {
            "an older version may have been put back: look with `microsecrets history`; one that is meant comes back with `microsecrets rollback`".to_owned()
        }
        Distrust::Unsigned => {
            "look who wrote it; if it is meant, `microsecrets re-sign --adopt` signs it, after showing what it changes".to_owned()
        }
        Distrust::OtherBucket { found, .. } => format!("if this is a replica, allow it with --replica {}", shown(found)),
        _ => return None,
    })
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let status = match &error.kind {
            ErrorKind::NotFound | ErrorKind::NoSuchBucket | ErrorKind::NoSuchFolder | ErrorKind::KeyNotFound => {
                Status::NotFound
            }
            ErrorKind::Denied(_)
            | ErrorKind::ExpiredCredentials
            | ErrorKind::InvalidCredentials
            | ErrorKind::NoCredentials
            | ErrorKind::KeyUnusable
            | ErrorKind::ClockSkew => Status::Denied,
            ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::TimedOut { .. } => Status::Unavailable,
            ErrorKind::InsecureEndpoint | ErrorKind::InvalidSetting(_) => Status::Usage,
            ErrorKind::Damaged(_)
            | ErrorKind::Malformed(_)
            | ErrorKind::TooLarge { .. }
            | ErrorKind::UntrustedServer => Status::NotTrusted,
            _ => Status::Failure,
        };
        let mut shown = Self::new(status, error.to_string());
        if let Some(source) = error.source() {
            shown = shown.caused_by(source);
        }
        shown.hint = advice::of(&error);
        shown.from_store = true;
        shown
    }
}
