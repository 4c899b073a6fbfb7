//! Files and folders below the store's folder, reached one opened folder at a time.
//!
//! Whoever may write into the folder must not lead this program out of it: no symbolic link is followed below it, and
//! nothing but regular files is read. Working from opened folders (`openat` and its kin) leaves no moment between a
//! check and its use.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::FolderError;

/// The folder of the store's own files. No key begins with it.
pub(super) const OWN: &str = ".microsecrets";

/// The most bytes of a key: S3's limit.
const KEY_LIMIT: usize = 1024;
/// The most names in a key. Ours have six at most; each takes an open folder while a listing is in it.
const DEPTH_LIMIT: usize = 32;

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const FOLDER_MODE: Mode = Mode::RWXU;

/// The key of an object, which is its path below the store's folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a>(&'a str);

impl<'a> Key<'a> {
    /// Refuses what would lead out of the folder, into the store's own files, or nowhere.
    pub(super) fn parse(text: &'a str) -> Result<Self, FolderError> {
        if text.len() > KEY_LIMIT {
            return Err(FolderError::Key("more than 1,024 bytes"));
        }
        if text.split('/').count() > DEPTH_LIMIT {
            return Err(FolderError::Key("more than 32 names"));
        }
        if !text.split('/').all(is_segment) {
            return Err(FolderError::Key(
                "it has to be names with single slashes between, none of them '.' or '..'",
            ));
        }
        let key = Self(text);
        if is_own(key.segments().next().unwrap_or_default()) {
            return Err(FolderError::Key("the store's own files lie there"));
        }
        Ok(key)
    }

    pub(super) fn as_str(self) -> &'a str {
        self.0
    }

    /// The folders that its file lies in, outermost first.
    pub(super) fn folders(self) -> impl Iterator<Item = &'a str> {
        let count = self.segments().count() - 1;
        self.segments().take(count)
    }

    /// The name of its file.
    pub(super) fn name(self) -> &'a str {
        self.0.rsplit_once('/').map_or(self.0, |(_, name)| name)
    }

    fn segments(self) -> impl Iterator<Item = &'a str> {
        self.0.split('/')
    }
}

/// Whether a path, which may end in a slash, can be one of a key or lead to one.
pub(super) fn may_lead_to_key(path: &str) -> bool {
    path.len() <= KEY_LIMIT && path.trim_end_matches('/').split('/').count() <= DEPTH_LIMIT
}

/// Whether a text may stand between the slashes of a key.
pub(super) fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && !text.contains(['/', '\0'])
}

/// Whether a name at the top is that of the store's own folder, also where the file system ignores case.
pub(super) fn is_own(name: &str) -> bool {
    name.eq_ignore_ascii_case(OWN)
}

/// A folder that is held open, and its path for messages.
#[derive(Debug)]
pub(super) struct Folder {
    handle: File,
    path: PathBuf,
}

impl Folder {
    /// Opens the store's folder; the path to it may lead over symbolic links, since its user chose it.
    pub(super) fn open(path: PathBuf) -> Result<Option<Self>, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self {
                handle: handle.into(),
                path,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open", path, error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path that a key or name has below this folder.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A folder below this one; `None` when there is none, also when a file lies there.
    pub(super) fn below<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Option<Self>, FolderError> {
        let mut folder = self.duplicate()?;
        for name in names {
            match folder.folder(name)? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }

    /// A folder below this one, made with all above it where it is missing.
    pub(super) fn make_below<'a>(&self, names: impl Iterator<Item = &'a str>) -> Result<Self, FolderError> {
        let mut folder = self.duplicate()?;
        for name in names {
            folder = folder.make_folder(name)?;
        }
        Ok(folder)
    }

    /// A folder in this one.
    pub(super) fn folder(&self, name: &str) -> Result<Option<Self>, FolderError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => Ok(Some(Self {
                handle: handle.into(),
                path: self.path_of(name),
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => match self.kind_of(name)? {
                None | Some(FileType::RegularFile) => Ok(None),
                Some(FileType::Directory) => Err(failed("open", self.path_of(name), error)),
                Some(kind) => Err(self.in_the_way(name, kind)),
            },
        }
    }

    /// A folder in this one, made (for its owner only) where it is missing.
    pub(super) fn make_folder(&self, name: &str) -> Result<Self, FolderError> {
        if let Some(folder) = self.folder(name)? {
            return Ok(folder);
        }
        match rustix::fs::mkdirat(&self.handle, name, FOLDER_MODE) {
            Ok(()) => {
                // Whatever the umask says: its owner must be able to open it.
                let mode = rustix::fs::chmodat(&self.handle, name, FOLDER_MODE, AtFlags::empty());
                mode.map_err(|error| failed("make the folder", self.path_of(name), error))?;
                self.sync()?;
            }
            // Somebody else was faster, or a file is there: opening it will tell.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make the folder", self.path_of(name), error)),
        }
        match self.folder(name)? {
            Some(folder) => Ok(folder),
            None => Err(failed("make the folder", self.path_of(name), Errno::NOTDIR)),
        }
    }

    /// A regular file in this folder, opened for reading; `None` when there is none, also when a folder lies there.
    pub(super) fn file(&self, name: &str) -> Result<Option<File>, FolderError> {
        self.open_file(name, OFlags::RDONLY)
    }

    /// A regular file in this folder, opened for reading and writing.
    pub(super) fn file_to_write(&self, name: &str) -> Result<Option<File>, FolderError> {
        self.open_file(name, OFlags::RDWR)
    }

    /// A regular file in this folder, made (for its owner only) when it is missing.
    pub(super) fn file_or_new(&self, name: &str) -> Result<File, FolderError> {
        match self.open_file(name, OFlags::RDWR | OFlags::CREATE)? {
            Some(file) => Ok(file),
            None => Err(failed("open", self.path_of(name), Errno::ISDIR)),
        }
    }

    /// A file that was not there before, for its owner only.
    pub(super) fn new_file(&self, name: &str) -> Result<File, FolderError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, FILE_MODE) {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(failed("create", self.path_of(name), error)),
        }
    }

    /// Moves a file of this folder, over any file that is there.
    pub(super) fn rename(&self, name: &str, target: &Self, target_name: &str) -> Result<(), FolderError> {
        rustix::fs::renameat(&self.handle, name, &target.handle, target_name)
            .map_err(|error| failed("write", target.path_of(target_name), error))
    }

    /// Removes a file; one that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> Result<(), FolderError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("delete", self.path_of(name), error)),
        }
    }

    /// Makes what was created, renamed and removed in this folder outlive a power failure.
    pub(super) fn sync(&self) -> Result<(), FolderError> {
        match self.handle.sync_all() {
            Ok(()) => Ok(()),
            // What file systems answer that keep folders in order by themselves, or cannot.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
            Err(source) => Err(FolderError::Io {
                action: "sync",
                path: self.path.clone(),
                source,
            }),
        }
    }

    /// The names in this folder that are UTF-8, in no order, and what kind of file each is.
    pub(super) fn entries(&self) -> Result<Vec<(String, FileType)>, FolderError> {
        let failed = |error| failed("list", self.path.clone(), error);
        let mut entries = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            // A name of ours is ASCII, so others cannot be keys.
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            if !is_segment(name) {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind_of(name)?,
                kind => Some(kind),
            };
            entries.extend(kind.map(|kind| (name.to_owned(), kind)));
        }
        Ok(entries)
    }

    /// Whether the folder holds anything but the store's own files.
    pub(super) fn is_foreign(&self) -> Result<bool, FolderError> {
        let failed = |error| failed("list", self.path.clone(), error);
        for entry in Dir::read_from(&self.handle).map_err(failed)? {
            if ![&b"."[..], b"..", OWN.as_bytes()].contains(&entry.map_err(failed)?.file_name().to_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn duplicate(&self) -> Result<Self, FolderError> {
        match self.handle.try_clone() {
            Ok(handle) => Ok(Self {
                handle,
                path: self.path.clone(),
            }),
            Err(source) => Err(FolderError::Io {
                action: "open",
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn open_file(&self, name: &str, flags: OFlags) -> Result<Option<File>, FolderError> {
        // Without NONBLOCK, opening a FIFO waits for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, name, flags, FILE_MODE) {
            Ok(handle) => {
                let stat = rustix::fs::fstat(&handle).map_err(|error| failed("open", self.path_of(name), error))?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::RegularFile => Ok(Some(handle.into())),
                    FileType::Directory => Ok(None),
                    kind => Err(self.in_the_way(name, kind)),
                }
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => match self.kind_of(name)? {
                None | Some(FileType::Directory) => Ok(None),
                Some(FileType::RegularFile) => Err(failed("open", self.path_of(name), error)),
                Some(kind) => Err(self.in_the_way(name, kind)),
            },
        }
    }

    fn kind_of(&self, name: &str) -> Result<Option<FileType>, FolderError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open", self.path_of(name), error)),
        }
    }

    fn in_the_way(&self, name: &str, kind: FileType) -> FolderError {
        FolderError::InTheWay {
            path: self.path_of(name),
            found: match kind {
                FileType::Symlink => "a symbolic link",
                _ => "neither a file nor a folder",
            },
        }
    }
}

fn failed(action: &'static str, path: PathBuf, error: Errno) -> FolderError {
    FolderError::Io {
        action,
        path,
        source: error.into(),
    }
}
