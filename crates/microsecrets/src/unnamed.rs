//! Files that get their name only when all of them is there: complete or absent, whenever the process is killed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use tempfile::NamedTempFile;

use crate::name::Nonce;

/// How a file is called that has no name yet, where it must have one: this, and a [`Nonce`].
const ASIDE: &str = ".microsecrets-";

/// A file that is being written, open to its owner only. It has no name yet (or, where the file system cannot do that, a
/// name nobody expects).
///
/// It is locked for as long as its process lives. One by such a name that is not locked was left by a process that was
/// killed, and is removed by the next one that replaces a file in that folder.
pub struct Unnamed(Held);

enum Held {
    /// Without a name (`O_TMPFILE`): a killed process leaves nothing.
    #[cfg(target_os = "linux")]
    Truly(File),
    Named(NamedTempFile),
}

impl Unnamed {
    /// An empty file, to be named in this folder.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create(folder: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Some(file) = linux::create(folder)? {
            // Where nothing can be locked, nothing is removed either.
            file.try_lock().ok();
            return Ok(Self(Held::Truly(file)));
        }
        aside(folder).map(Held::Named).map(Self)
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        match &mut self.0 {
            #[cfg(target_os = "linux")]
            Held::Truly(file) => file,
            Held::Named(file) => file.as_file_mut(),
        }
    }

    /// Gives the file its name, in its folder; over a file that is there only when it may replace it. The folder is not
    /// synced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], and what the system says.
    pub fn name(self, path: &Path, replace: bool) -> io::Result<()> {
        match self.0 {
            #[cfg(target_os = "linux")]
            Held::Truly(file) => linux::name(&file, path, replace),
            Held::Named(file) if replace => {
                sweep(folder_of(path));
                file.persist(path).map(drop).map_err(|error| error.error)
            }
            Held::Named(file) => file.persist_noclobber(path).map(drop).map_err(|error| error.error),
        }
    }
}

/// The folder that a path is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn aside_name() -> String {
    format!("{ASIDE}{}", Nonce::random())
}

/// A locked file by a name that nobody expects.
fn aside(folder: &Path) -> io::Result<NamedTempFile> {
    for _ in 0..16 {
        let name = aside_name();
        let file = tempfile::Builder::new()
            .prefix(&name)
            .rand_bytes(0)
            .tempfile_in(folder)?;
        // A sweep of another process may have come between its creation and this.
        let is_swept = matches!(file.as_file().try_lock(), Err(TryLockError::WouldBlock));
        if !is_swept && file.as_file().metadata()?.nlink() > 0 {
            return Ok(file);
        }
    }
    Err(io::Error::other("its folder is emptied by somebody all the time"))
}

/// Removes what killed processes of this user have left. What cannot be removed is left to the next one.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let nonce = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
        if nonce.is_some_and(|nonce| nonce.parse::<Nonce>().is_ok()) {
            let path = entry.path();
            let held = unlocked(&path);
            // Still locked while it is removed: its writer, if it is just being created, sees one or the other.
            if held.is_some() {
                fs::remove_file(&path).ok();
            }
        }
    }
}

/// A file of this user's that nobody has locked, locked.
fn unlocked(path: &Path) -> Option<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(i32::try_from(flags).ok()?);
    let file = options.open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let is_ours = metadata.is_file() && metadata.uid() == rustix::process::geteuid().as_raw();
    (is_ours && file.try_lock().is_ok()).then_some(file)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{self, File};
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags};
    use rustix::io::Errno;

    use super::{aside_name, folder_of, sweep};

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
    pub(super) fn name(file: &File, path: &Path, replace: bool) -> io::Result<()> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        let link = |to: &Path| rustix::fs::linkat(CWD, unnamed.as_str(), CWD, to, AtFlags::SYMLINK_FOLLOW);
        match link(path) {
            Err(Errno::EXIST) if replace => {}
            result => return result.map_err(io::Error::from),
        }
        sweep(folder_of(path));
        let aside = folder_of(path).join(aside_name());
        link(&aside)?;
        fs::rename(&aside, path).inspect_err(|_| {
            fs::remove_file(&aside).ok();
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn both(folder: &Path) -> [Unnamed; 2] {
        let named = aside(folder).map(Held::Named).map(Unnamed);
        [Unnamed::create(folder), named].map(|file| file.expect("a file"))
    }

    #[test]
    fn a_file_is_placed_whole_for_its_owner_alone_and_replaces_only_what_it_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for replace in [false, true] {
            for (round, mut file) in both(folder.path()).into_iter().enumerate() {
                file.file().write_all(b"whole").expect("room");
                let named = file.name(&path, replace).map_err(|error| error.kind());
                let is_there = round > 0 && !replace;
                assert_eq!(named.err(), is_there.then_some(io::ErrorKind::AlreadyExists));
                assert_eq!(fs::read(&path).ok().as_deref(), Some(&b"whole"[..]));
                let mode = fs::metadata(&path).expect("a file").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn who_replaces_a_file_removes_what_killed_processes_have_left_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str| fs::write(path(name), "secret").expect("room");
        let others = [".microsecrets-notes".to_owned(), "file".to_owned()];
        for round in 0..2 {
            let left = aside_name();
            for name in others.iter().chain([&left]) {
                write(name);
            }
            let living = aside(folder.path()).expect("a file");
            let living_name = living
                .path()
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let file = both(folder.path()).into_iter().nth(round).expect("two");
            file.name(&path("file"), true).expect("it is replaced");
            let mut expected = [&others[..], &[living_name]].concat();
            expected.sort();
            assert_eq!(names(folder.path()), expected);
        }
    }
}
