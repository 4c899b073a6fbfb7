//! Placing a file: complete or absent. It has no name until all of it is there and checked.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use microsecrets::item::{ItemError, VersionContent};

use crate::args::FileSpec;
use crate::error::{CliError, Status};
use crate::exec;
use crate::ui::shown_path;

/// A file that is being written and has no name yet (or, where the file system cannot do that, a name nobody expects).
pub(crate) struct Placement {
    path: PathBuf,
    force: bool,
    unnamed: Unnamed,
}

enum Unnamed {
    /// Without a name (`O_TMPFILE`): a killed process leaves nothing.
    #[cfg(target_os = "linux")]
    Truly(File),
    Named(tempfile::NamedTempFile),
}

/// Refuses two files for one path before the first of them is placed.
pub(crate) fn check_distinct(files: &[FileSpec]) -> Result<(), CliError> {
    let mut seen = HashSet::new();
    // The same folder may be spelled in two ways; where it cannot be found, placing will say so.
    let resolved = |path: &Path| {
        let folder = fs::canonicalize(folder_of(path)).unwrap_or_else(|_| folder_of(path).to_owned());
        (folder, path.file_name().map(ToOwned::to_owned))
    };
    match files
        .iter()
        .filter_map(|spec| spec.path.as_deref())
        .find(|path| !seen.insert(resolved(path)))
    {
        Some(path) => Err(CliError::usage(format!("two files have the path {}", shown_path(path)))),
        None => Ok(()),
    }
}

impl Placement {
    /// Begins a file that will be at `path`, open to its owner only; over an existing one only when forced.
    pub(crate) fn begin(path: &Path, force: bool) -> Result<Self, CliError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => return Err(failed(path, "is a folder")),
            Ok(_) if !force => {
                return Err(failed(path, "is there already")
                    .hint("remove it first, or let `microsecrets` replace it with --force"));
            }
            // Not even by force: a pipe or /dev/null would become a file for everybody.
            Ok(metadata) if !metadata.is_file() && !metadata.is_symlink() => {
                return Err(failed(path, "is neither a file nor a link"));
            }
            _ => {}
        }
        exec::survive_full_files();
        let unnamed = Unnamed::create(folder_of(path)).map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            force,
            unnamed,
        })
    }

    /// Writes a verified version, whole.
    pub(crate) async fn fill(&mut self, content: VersionContent) -> Result<(), CliError> {
        match content {
            VersionContent::File(bytes) => self.write(bytes.expose()),
            VersionContent::Stream(mut stream) => {
                // The last piece is followed by `None` only when all of them were right.
                while let Some(piece) = stream.next().await.map_err(|error| self.not_read(error))? {
                    self.write(&piece)?;
                }
                Ok(())
            }
            _ => Err(CliError::new(Status::Failure, "an environment is no file")),
        }
    }

    fn not_read(&self, error: ItemError) -> CliError {
        CliError::from(error).context_for_store(format!("cannot place {}", shown_path(&self.path)))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.unnamed
            .file()
            .write_all(bytes)
            .map_err(|error| cannot_write(&self.path, &error))
    }

    /// Gives the file its name.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        let (path, force) = (self.path, self.force);
        let synced = self.unnamed.file().sync_all();
        let placed = synced.and_then(|()| self.unnamed.name(&path, force));
        let folder_synced = placed.and_then(|()| File::open(folder_of(&path)).and_then(|folder| folder.sync_all()));
        folder_synced.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(&path, "is there already").hint("remove it first, or let `microsecrets` replace it with --force")
            }
            _ => cannot_write(&path, &error),
        })
    }
}

impl Unnamed {
    fn create(folder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = linux::create(folder)? {
            return Ok(Self::Truly(file));
        }
        tempfile::Builder::new()
            .prefix(".microsecrets-")
            .tempfile_in(folder)
            .map(Self::Named)
    }

    fn file(&mut self) -> &mut File {
        match self {
            #[cfg(target_os = "linux")]
            Self::Truly(file) => file,
            Self::Named(file) => file.as_file_mut(),
        }
    }

    fn name(self, path: &Path, force: bool) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Truly(file) => linux::name(&file, path, force),
            Self::Named(file) if force => file.persist(path).map(drop).map_err(|error| error.error),
            Self::Named(file) => file.persist_noclobber(path).map(drop).map_err(|error| error.error),
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    /// A file without a name; `None` where the file system or the kernel has no such thing.
    pub(super) fn create(folder: &Path) -> io::Result<Option<File>> {
        if !Path::new("/proc/self/fd").exists() {
            return Ok(None); // it could not be named later
        }
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(CWD, folder, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Names it. Linking never replaces anything, so to replace, it is named aside and moved over.
    pub(super) fn name(file: &File, path: &Path, force: bool) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |to: &Path| rustix::fs::linkat(CWD, unnamed.as_str(), CWD, to, AtFlags::SYMLINK_FOLLOW);
        match link(path) {
            Err(Errno::EXIST) if force => {}
            result => return result.map_err(io::Error::from),
        }
        let nonce = microsecrets::name::Nonce::random();
        let aside = super::folder_of(path).join(format!(".microsecrets-{nonce}"));
        link(&aside)?;
        fs::rename(&aside, path).inspect_err(|_| {
            fs::remove_file(&aside).ok();
        })
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path, what: &str) -> CliError {
    CliError::new(Status::Failure, format!("{} {what}", shown_path(path)))
}

fn cannot_write(path: &Path, error: &io::Error) -> CliError {
    let failed = CliError::new(Status::Failure, format!("cannot write {}", shown_path(path))).caused_by(error);
    match error.kind() {
        io::ErrorKind::NotFound => failed.hint("make its folder first"),
        _ => failed,
    }
}

/// All of a file that fits into memory; larger ones are refused with what to do instead.
pub(crate) async fn in_memory(content: VersionContent, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, TooLarge> {
    // Never moved while it grows, so that nothing is left behind unwiped.
    let capacity = usize::try_from(limit).unwrap_or(0);
    let mut kept = zeroize::Zeroizing::new(Vec::with_capacity(capacity));
    match content {
        VersionContent::File(bytes) => kept.extend_from_slice(bytes.expose()),
        VersionContent::Stream(mut stream) => {
            while let Some(piece) = stream.next().await.map_err(|error| TooLarge::Failed(Box::new(error)))? {
                if kept.len() as u64 + piece.len() as u64 > limit {
                    return Err(TooLarge::Yes);
                }
                kept.extend_from_slice(&piece);
            }
        }
        _ => {}
    }
    Ok(kept)
}

/// Why a file is not in memory.
pub(crate) enum TooLarge {
    Yes,
    Failed(Box<ItemError>),
}
