//! One writer at a time, and the temporary files that writers prepare.
//!
//! Both rest on `flock`, which the kernel gives back when a process dies, however it dies. The writers' lock is held
//! for a check and a rename, never while bytes are encrypted. A temporary file is locked for as long as its writer
//! lives: one that is not locked was left by a process that was killed.

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::time::Duration;

use super::FolderError;
use super::error::Fault;
use super::tree::Folder;
use crate::name::Nonce;
use crate::ownfile;

const LOCK: &str = "lock";
const TEMPORARY: &str = "tmp";

/// The right to write, until dropped.
pub(super) struct Lock(
    /// Closing it unlocks it.
    #[expect(dead_code, reason = "held for what its being open means")]
    File,
);

impl Lock {
    /// Waits for the lock in the store's own folder, at most this long.
    pub(super) async fn acquire(own: &Folder, timeout: Duration) -> Result<Self, Fault> {
        let file = own.file_or_new(LOCK)?;
        let path = own.path_of(LOCK);
        match ownfile::lock(&file, timeout).await {
            Ok(true) => Ok(Self(file)),
            Ok(false) => Err(Fault::locked(path, timeout.as_secs())),
            Err(source) => {
                let action = "lock";
                Err(FolderError::Io { action, path, source }.into())
            }
        }
    }
}

/// A file that is being written, in the same file system as the place it is meant for. Dropped, it is removed.
pub(super) struct Temporary {
    folder: Folder,
    name: String,
    file: File,
    moved: bool,
}

impl Temporary {
    /// A new file in the folder for them, which is made when it is missing.
    pub(super) fn create(own: &Folder) -> Result<Self, Fault> {
        let mut folder = own.make_folder(TEMPORARY)?;
        for _ in 0..16 {
            let name = Nonce::random().to_string();
            let temporary = Self {
                file: folder.new_file(&name)?,
                folder,
                name,
                moved: false,
            };
            if temporary.is_ours()? {
                return Ok(temporary);
            }
            folder = own.make_folder(TEMPORARY)?;
        }
        Err(FolderError::InTheWay {
            path: own.path_of(TEMPORARY),
            found: "emptied by somebody all the time",
        }
        .into())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its place. The folder is not synced.
    pub(super) fn persist(mut self, target: &Folder, name: &str) -> Result<(), FolderError> {
        self.folder.rename(&self.name, target, name)?;
        self.moved = true;
        Ok(())
    }

    /// Removes what killed processes have left. What cannot be removed is left to the next one.
    pub(super) fn sweep(own: &Folder) {
        let Ok(Some(folder)) = own.folder(TEMPORARY) else {
            return;
        };
        for (name, _) in folder.entries().unwrap_or_default() {
            if let Ok(Some(file)) = folder.file_to_write(&name)
                && file.try_lock().is_ok()
            {
                // Still locked while it is removed: its writer, if it is just being created, sees one or the other.
                folder.remove(&name).ok();
            }
        }
    }

    /// Locks the file. A sweep of another process may have come between its creation and this.
    fn is_ours(&self) -> Result<bool, FolderError> {
        use std::os::unix::fs::MetadataExt as _;

        let failed = |source| FolderError::Io {
            action: "lock",
            path: self.path(),
            source,
        };
        match self.file.try_lock() {
            Ok(()) => Ok(self.file.metadata().map_err(failed)?.nlink() > 0),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path_of(&self.name)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.moved {
            self.folder.remove(&self.name).ok();
        }
    }
}
