//! What can go wrong in a folder: the source of the [`StoreError`]s of this store.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::store::{Denial, ErrorKind, Operation, StoreError};

/// What a folder store has to say about a failure, as the source of its [`StoreError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The store's description is not what this program writes.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The description's path.
        path: PathBuf,
    },
    /// Objects of a folder are encrypted with age, and with nothing else.
    #[error("a folder store cannot encrypt otherwise than to its own identity")]
    Encryption,
    /// The identity would lie in the folder that it opens.
    #[error("{} lies in the folder itself: the identity must be kept apart from what it opens", path.display())]
    IdentityInside {
        /// The folder of identities that was given.
        path: PathBuf,
    },
    /// There is a store, and its identity is not on this machine.
    #[error("there is no {}: copy it from the machine that made the store", path.display())]
    IdentityMissing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The identity is open to other users of this machine.
    #[error("{} is open to others (mode {mode:03o}): make it 600, and think whether it was read", path.display())]
    IdentityOpen {
        /// The identity's path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds no identity that this store's objects are encrypted to.
    #[error("{} holds another identity, or none: copy it from the machine that made the store", path.display())]
    IdentityWrong {
        /// The identity's path.
        path: PathBuf,
    },
    /// Something that is not of the store lies where one of its files or folders would.
    #[error("{} is {found}: this store does not follow or replace it", path.display())]
    InTheWay {
        /// Its path.
        path: PathBuf,
        /// What it is: "a symbolic link", "neither a file nor a folder".
        found: &'static str,
    },
    /// A call of the operating system failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// How it ended.
        source: io::Error,
    },
    /// The text cannot be the key of an object in a folder.
    #[error("not a key: {0}")]
    Key(&'static str),
    /// Another process holds the lock, or is stopped while it does.
    #[error("another process holds the lock {}", path.display())]
    Locked {
        /// The lock's path.
        path: PathBuf,
    },
    /// There is no folder.
    #[error("there is no folder {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Written by a version of this program that is newer than this one.
    #[error("{} is of a newer format ({format}): upgrade", path.display())]
    Newer {
        /// What is of that format.
        path: PathBuf,
        /// Which format.
        format: u64,
    },
    /// The folder has files, and no store.
    #[error("{} is not empty, and no store is in it", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
    },
    /// The store was opened with [`Access::Read`](super::Access::Read).
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// A source gave more or fewer bytes than it announced.
    #[error("{announced} bytes were announced, and {read} came")]
    SourceSize {
        /// How many it announced.
        announced: u64,
        /// How many were read until its end, or until there were too many.
        read: u64,
    },
    /// A folder keeps one object a key, and no versions by id.
    #[error("a folder store has no version ids")]
    VersionId,
}

impl FolderError {
    /// How the operation ended, in words that every store shares.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::IdentityInside { .. }
            | Self::IdentityMissing { .. }
            | Self::IdentityOpen { .. }
            | Self::IdentityWrong { .. } => ErrorKind::IdentityUnusable,
            Self::Damaged { .. } => ErrorKind::Damaged("the store's description is damaged".into()),
            Self::Io { source, .. } if is_denial(source) => ErrorKind::Denied(Denial::default()),
            Self::Missing { .. } | Self::NotAStore { .. } => ErrorKind::NoSuchFolder,
            Self::Newer { .. } => ErrorKind::NewerFormat,
            Self::SourceSize { .. } => ErrorKind::UnreadableSource,
            Self::Encryption
            | Self::InTheWay { .. }
            | Self::Io { .. }
            | Self::Key(_)
            | Self::Locked { .. }
            | Self::ReadOnly
            | Self::VersionId => ErrorKind::Io,
        }
    }
}

fn is_denial(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A failure before it is known which operation on which key it ends.
#[derive(Debug)]
pub(super) struct Fault {
    kind: ErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
    maybe_applied: bool,
}

impl Fault {
    /// An object that is not as this program writes it.
    pub(super) fn malformed(what: &str) -> Self {
        ErrorKind::Damaged(what.to_owned()).into()
    }

    /// The lock was not to be had in time.
    pub(super) fn locked(path: PathBuf, seconds: u64) -> Self {
        Self {
            kind: ErrorKind::TimedOut { seconds },
            ..FolderError::Locked { path }.into()
        }
    }

    /// The bytes to be written cannot be read.
    pub(super) fn unreadable(source: io::Error) -> Self {
        Self {
            source: Some(source.into()),
            ..ErrorKind::UnreadableSource.into()
        }
    }

    /// With what lies beneath.
    pub(super) fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }

    /// A rename that failed. Where the system says that it was not allowed or had no room, nothing has happened; any other
    /// error does not prove that: NFS may repeat a rename whose answer was lost.
    pub(super) fn of_rename(error: FolderError) -> Self {
        let is_certain = matches!(&error, FolderError::Io { source, .. } if is_denial(source) || is_no_room(source));
        let fault = Self::from(error);
        if is_certain { fault } else { fault.after_the_fact() }
    }

    /// What was asked for has happened, but a power failure may still undo it.
    pub(super) fn after_the_fact(self) -> Self {
        Self {
            maybe_applied: true,
            ..self
        }
    }

    /// Says which operation it ends.
    pub(super) fn at(self, operation: Operation, subject: &str) -> StoreError {
        let error = StoreError {
            maybe_applied: self.maybe_applied,
            ..StoreError::new(operation, subject, self.kind)
        };
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

impl From<ErrorKind> for Fault {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            source: None,
            maybe_applied: false,
        }
    }
}

impl From<FolderError> for Fault {
    fn from(error: FolderError) -> Self {
        Self {
            kind: error.kind(),
            source: Some(error.into()),
            maybe_applied: false,
        }
    }
}
