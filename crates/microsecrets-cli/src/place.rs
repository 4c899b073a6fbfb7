//! Placing a file: complete or absent. It has no name until all of it is there and checked.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use microsecrets::item::{ItemError, VersionContent};
use microsecrets::unnamed::Unnamed;

use crate::args::FileSpec;
use crate::error::{CliError, Status};
use crate::exec;
use crate::ui::{self, shown_path};

/// A file that is being written and has no name yet.
pub(crate) struct Placement {
    path: PathBuf,
    force: bool,
    unnamed: Unnamed,
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
        placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                failed(&path, "is there already").hint("remove it first, or let `microsecrets` replace it with --force")
            }
            _ => cannot_write(&path, &error),
        })?;
        // It is there, and whole: to fail now would leave it in the way of the next attempt.
        if let Err(error) = File::open(folder_of(&path)).and_then(|folder| folder.sync_all()) {
            ui::warn(format_args!(
                "{} may be lost in a power failure: {error}",
                shown_path(&path)
            ));
        }
        Ok(())
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
