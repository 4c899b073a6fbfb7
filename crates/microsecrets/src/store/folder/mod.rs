//! A store in a folder, for a laptop, CI, or one machine without AWS.
//!
//! An object lies in the file that its key names below the folder, encrypted with [age](https://age-encryption.org) to
//! the one identity of the store, which lies elsewhere: whoever has the folder but not the identity learns names, sizes
//! and times, and can make or change nothing that is accepted, though old files can be put back and files removed.
//! `age -d -i IDENTITY FILE` opens any object.
//!
//! ```text
//! DIR/services/...                            objects, by their keys; files 0600, folders 0700
//! DIR/.microsecrets/store                     format, random id, and what tells the right identity
//! DIR/.microsecrets/lock                      the writers' lock
//! DIR/.microsecrets/tmp/                      files that are being written
//! <identities>/<id>.age-identity              what opens them; 0600
//! ```
//!
//! Writers take turns by `flock`; a condition is checked, and the finished and synced file renamed into place, within
//! one turn. Readers take no lock and need no right to write. What this needs of the file system: locks that all
//! writers see, and a rename that replaces in one step. Local file systems have both, and NFS from version 4 on. What
//! copies folders between machines (Dropbox, Syncthing and their like) has neither: there two writers may both win.
//! Where the file system ignores the case of names, keys that differ only in it are one file, and the second of them is
//! refused.
//!
//! The library that encrypts keeps up to 64 KiB of an object in a buffer that it does not wipe.

mod error;
mod home;
mod list;
mod lock;
mod seal;
#[cfg(test)]
mod tests;
mod tree;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use age::stream::StreamWriter;
use async_trait::async_trait;
use bytes::Bytes;
use zeroize::Zeroizing;

use self::error::Fault;
pub use self::error::FolderError;
use self::home::Home;
pub(crate) use self::home::secret_refused;
use self::lock::{Lock, Temporary};
use self::seal::{Binding, CHUNK, Opened, Sealed};
use self::tree::{Folder, Key, OWN};
use super::{
    Body, Condition, Delete, Deleted, ETag, Encryption, ErrorKind, Get, HeldVersion, List, Object, Operation, Page,
    Payload, Pieces, Put, RetryPolicy, Source, Store, StoreError, Stored, Want, Which,
};
use crate::time::Timestamp;

/// Where a folder store is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FolderSettings {
    /// The folder with the objects.
    pub dir: PathBuf,
    /// The folder with the identities of this user's stores, outside of every store.
    pub identities: PathBuf,
    /// How long to wait for other writers (only the time-out counts: a folder needs no second attempt).
    pub policy: RetryPolicy,
}

impl FolderSettings {
    /// A folder, and where its identity is, with the default time-out.
    pub fn new(dir: impl Into<PathBuf>, identities: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            identities: identities.into(),
            policy: RetryPolicy::default(),
        }
    }

    /// With other time-outs.
    pub fn policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }
}

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Access {
    /// Only reading: nothing is ever made, and writing fails.
    Read,
    /// Reading and writing. A folder that is missing or empty becomes a store.
    Write,
}

/// Objects in a folder.
pub struct FolderStore {
    root: Folder,
    identities: PathBuf,
    access: Access,
    timeout: Duration,
    /// Empty as long as the folder is: a store that was opened for reading may see it made.
    home: OnceLock<Home>,
    swept: AtomicBool,
}

impl FolderStore {
    /// Opens the store in a folder.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoSuchFolder`] when there is no folder (to read), or files but no store in it;
    /// [`ErrorKind::IdentityUnusable`] when its identity is missing, another one, open to others, or would lie in the
    /// folder itself; [`ErrorKind::NewerFormat`] when this program is too old for it; [`ErrorKind::TimedOut`] when
    /// others held its lock all the time. The source is a [`FolderError`].
    pub async fn open(settings: FolderSettings, access: Access) -> Result<Self, StoreError> {
        let subject = format!("file:{}", settings.dir.display());
        Self::try_open(settings, access)
            .await
            .map_err(|fault| fault.at(Operation::Open, &subject))
    }

    /// Where this store's identity lies; `None` while the folder is empty.
    pub fn identity_path(&self) -> Option<PathBuf> {
        let home = self.home.get()?;
        Some(home::identity_path(&self.identities, &home.id))
    }

    async fn try_open(settings: FolderSettings, access: Access) -> Result<Self, Fault> {
        let FolderSettings {
            dir,
            identities,
            policy,
        } = settings;
        let identities = std::path::absolute(&identities).map_err(|source| FolderError::Io {
            action: "find",
            path: identities,
            source,
        })?;
        let root = match (open_root(&dir)?, access) {
            (Some(root), _) => root,
            (None, Access::Write) => make_root(&dir)?,
            (None, Access::Read) => return Err(FolderError::Missing { path: dir }.into()),
        };
        let store = Self {
            root,
            identities,
            access,
            timeout: policy.timeout,
            home: OnceLock::new(),
            swept: AtomicBool::new(false),
        };
        // A second look, since the store may have been made between the first and the look for files.
        if store.home()?.is_none() && store.root.is_foreign()? && store.home()?.is_none() {
            return Err(FolderError::NotAStore {
                path: store.root.path().to_owned(),
            }
            .into());
        }
        if access == Access::Write && store.home()?.is_none() {
            let home = Home::create(&store.root, &store.identities, store.timeout).await?;
            store.home.set(home).ok();
        }
        Ok(store)
    }

    fn home(&self) -> Result<Option<&Home>, Fault> {
        if let Some(home) = self.home.get() {
            return Ok(Some(home));
        }
        let loaded = Home::load(&self.root, &self.identities)?;
        Ok(loaded.map(|home| self.home.get_or_init(|| home)))
    }

    fn read(&self, request: &Get) -> Result<Object, Fault> {
        let key = Key::parse(&request.key)?;
        let home = self.home()?.ok_or(ErrorKind::NotFound)?;
        let sealed = self.sealed(key)?.ok_or(ErrorKind::NotFound)?;
        if request.if_none_match.as_ref() == Some(&sealed.etag) {
            return Err(ErrorKind::NotModified.into());
        }
        let (etag, size, modified) = (sealed.etag.clone(), sealed.size, sealed.modified);
        if let Want::Whole { limit } = request.want
            && size > limit
        {
            return Err(ErrorKind::TooLarge { limit }.into());
        }
        let opened = sealed.open(&home.identity, Binding::new(&home.id, key.as_str()))?;
        Ok(Object {
            etag,
            size,
            encryption: Encryption::Store,
            mark: opened.mark,
            modified,
            date: Timestamp::now(),
            body: match request.want {
                Want::Attributes => Body::None,
                Want::Stream => Body::Stream(Box::new(Stream {
                    opened,
                    key: request.key.clone(),
                })),
                Want::Whole { .. } => Body::Whole(opened.whole()?),
            },
        })
    }

    async fn write(&self, request: Put) -> Result<Stored, Fault> {
        let key = Key::parse(&request.key)?;
        let home = self.writable()?;
        if !matches!(request.encryption, Encryption::Store | Encryption::None) {
            return Err(FolderError::Encryption.into());
        }
        // Most conditional puts find what they must not replace: they need no encryption.
        self.check(key, &request.condition)?;
        let own = self.root.make_folder(OWN)?;
        if !self.swept.swap(true, Ordering::Relaxed) {
            Temporary::sweep(&own);
        }
        let temporary = Temporary::create(&own)?;
        let path = self.root.path_of(key.as_str());
        let failed = |source| FolderError::Io {
            action: "write",
            path: path.clone(),
            source,
        };
        let binding = Binding::new(&home.id, key.as_str());
        let mut writer =
            seal::seal(BufWriter::new(temporary.file()), &home.recipient, binding, request.mark).map_err(failed)?;
        match request.payload {
            Payload::Bytes(bytes) => writer.write_all(bytes.expose()).map_err(failed)?,
            Payload::Source(source) => copy(source, &mut writer, failed).await?,
        }
        writer
            .finish()
            .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        let etag = seal::etag(temporary.file(), path.clone())?;

        let lock = Lock::acquire(&own, self.timeout).await?;
        self.check(key, &request.condition)?;
        let folder = self.root.make_below(key.folders())?;
        temporary.persist(&folder, key.name()).map_err(Fault::of_rename)?;
        folder.sync().map_err(|error| Fault::from(error).after_the_fact())?;
        drop(lock);
        Ok(Stored {
            etag,
            version_id: None,
            etag_is_unique: true,
        })
    }

    async fn remove(&self, request: &Delete) -> Result<(), Fault> {
        let key = Key::parse(&request.key)?;
        self.writable()?;
        let own = self.root.make_folder(OWN)?;
        let _lock = Lock::acquire(&own, self.timeout).await?;
        let Some(folder) = self.root.below(key.folders())? else {
            return Ok(());
        };
        let Some(file) = folder.file(key.name())? else {
            return Ok(());
        };
        match &request.which {
            Which::Any => {}
            Which::WithETag(wanted) => {
                if seal::etag(&file, folder.path_of(key.name()))? != *wanted {
                    return Err(ErrorKind::PreconditionFailed.into());
                }
            }
            Which::WithVersionId(_) => return Err(FolderError::VersionId.into()),
        }
        folder.remove(key.name())?;
        folder.sync().map_err(|error| Fault::from(error).after_the_fact())
    }

    /// Whether a put may happen. Certain only while the lock is held.
    fn check(&self, key: Key<'_>, condition: &Condition) -> Result<(), Fault> {
        let current = match self.root.below(key.folders())? {
            Some(folder) => folder.file(key.name())?,
            None => None,
        };
        match (condition, current) {
            (Condition::Absent, None) => Ok(()),
            (Condition::Absent, Some(_)) => Err(ErrorKind::PreconditionFailed.into()),
            (Condition::Is(_), None) => Err(ErrorKind::NotFound.into()),
            (Condition::Is(wanted), Some(file)) => {
                let etag: ETag = seal::etag(&file, self.root.path_of(key.as_str()))?;
                if etag == *wanted {
                    Ok(())
                } else {
                    Err(ErrorKind::PreconditionFailed.into())
                }
            }
        }
    }

    fn sealed(&self, key: Key<'_>) -> Result<Option<Sealed>, Fault> {
        let Some(folder) = self.root.below(key.folders())? else {
            return Ok(None);
        };
        match folder.file(key.name())? {
            Some(file) => Sealed::read(file, folder.path_of(key.name())).map(Some),
            None => Ok(None),
        }
    }

    fn writable(&self) -> Result<&Home, Fault> {
        match (self.access, self.home()?) {
            (Access::Write, Some(home)) => Ok(home),
            _ => Err(FolderError::ReadOnly.into()),
        }
    }
}

#[async_trait]
impl Store for FolderStore {
    /// The store's random id: `folder-` and 32 hex digits. Empty while the folder is.
    fn bucket(&self) -> &str {
        self.home.get().map_or("", |home| &home.id)
    }

    fn location(&self) -> String {
        format!("file:{}", self.root.path().display())
    }

    async fn get(&self, request: Get) -> Result<Object, StoreError> {
        let operation = match request.want {
            Want::Attributes => Operation::Head,
            _ => Operation::Get,
        };
        self.read(&request).map_err(|fault| fault.at(operation, &request.key))
    }

    async fn put(&self, request: Put) -> Result<Stored, StoreError> {
        let key = request.key.clone();
        self.write(request)
            .await
            .map_err(|fault| fault.at(Operation::Put, &key))
    }

    async fn list(&self, request: List) -> Result<Page, StoreError> {
        list::list(&self.root, &request).map_err(|fault| fault.at(Operation::List, &request.prefix))
    }

    async fn delete(&self, request: Delete) -> Result<Deleted, StoreError> {
        let removed = self.remove(&request).await;
        removed.map_err(|fault| fault.at(Operation::Delete, &request.key))?;
        Ok(Deleted::default())
    }

    async fn versions(&self, _: &str) -> Result<Vec<HeldVersion>, StoreError> {
        Ok(Vec::new())
    }
}

/// The bytes of an object that is being read.
struct Stream {
    opened: Opened,
    key: String,
}

#[async_trait]
impl Pieces for Stream {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        match self.opened.piece() {
            // The owner wipes them once the last reader let them go.
            Ok(piece) => Ok(piece.map(Bytes::from_owner)),
            Err(fault) => Err(fault.at(Operation::Get, &self.key)),
        }
    }
}

/// Encrypts all bytes of a source, and lets other tasks of this thread have their turn.
async fn copy<W: Write>(
    mut source: Box<dyn Source>,
    writer: &mut StreamWriter<W>,
    failed: impl Fn(io::Error) -> FolderError,
) -> Result<(), Fault> {
    let announced = source.size();
    let mut buffer = Zeroizing::new(vec![0; CHUNK]);
    let mut read = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) if read == announced => return Ok(()),
            Ok(count) => {
                read += count as u64;
                if count == 0 || read > announced {
                    return Err(FolderError::SourceSize { announced, read }.into());
                }
                writer.write_all(&buffer[..count]).map_err(&failed)?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault::unreadable(error)),
        }
        tokio::task::yield_now().await;
    }
}

fn open_root(dir: &Path) -> Result<Option<Folder>, FolderError> {
    match dir.canonicalize() {
        Ok(path) => Folder::open(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::Io {
            action: "open",
            path: dir.to_owned(),
            source,
        }),
    }
}

fn make_root(dir: &Path) -> Result<Folder, FolderError> {
    let made = std::path::absolute(dir).and_then(|path| home::create_folders(&path));
    made.map_err(|source| FolderError::Io {
        action: "make the folder",
        path: dir.to_owned(),
        source,
    })?;
    open_root(dir)?.ok_or_else(|| FolderError::Missing { path: dir.to_owned() })
}
