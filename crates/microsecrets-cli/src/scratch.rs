//! A private file for an editor: 0600 in a folder of its own, on tmpfs where there is one, removed on every way out but
//! SIGKILL.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use microsecrets::secret::SecretBytes;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Status};
use crate::{input, ui};

/// The type of a tmpfs in `statfs(2)` (Linux, `linux/magic.h`).
#[cfg(target_os = "linux")]
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

/// The signals that ask this process to end. Once this exists they do nothing by themselves, so that files can be
/// removed first: somebody must wait for them.
pub(crate) struct Signals {
    /// The terminal's own, which its other programs get as well.
    keyboard: [Signal; 2],
    others: [Signal; 2],
}

impl Signals {
    pub(crate) fn take() -> Result<Self, CliError> {
        let take = |kind| signal(kind).map_err(|error| failed("cannot wait for signals", &error));
        Ok(Self {
            keyboard: [take(SignalKind::interrupt())?, take(SignalKind::quit())?],
            others: [take(SignalKind::hangup())?, take(SignalKind::terminate())?],
        })
    }

    /// Waits for any of them.
    pub(crate) async fn any(&mut self) {
        let ([interrupt, quit], [hangup, terminate]) = (&mut self.keyboard, &mut self.others);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
        }
    }

    /// Waits for one that is not meant for a program that has the terminal.
    async fn any_but_keyboard(&mut self) {
        let ([interrupt, quit], [hangup, terminate]) = (&mut self.keyboard, &mut self.others);
        loop {
            tokio::select! {
                _ = hangup.recv() => return,
                _ = terminate.recv() => return,
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
        }
    }
}

/// The failure of a command that was asked to end.
pub(crate) fn interrupted(effect: &str) -> CliError {
    CliError::new(Status::Failure, format!("ended by a signal; {effect}"))
}

/// The file, as long as it is needed.
pub(crate) struct Scratch {
    folder: TempDir,
    path: PathBuf,
}

impl Scratch {
    /// A file with these bytes.
    pub(crate) fn create(name: &str, bytes: &[u8]) -> Result<Self, CliError> {
        let failed = |error: io::Error| failed("cannot make a private file", &error);
        let folder = tempfile::Builder::new()
            .prefix("microsecrets-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(base())
            .map_err(failed)?;
        remove_on_panic(folder.path().to_owned());
        let path = folder.path().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(bytes)).map_err(failed)?;
        Ok(Self { folder, path })
    }

    /// Runs the user's editor on the file and waits for it.
    pub(crate) async fn edit(&self, signals: &mut Signals) -> Result<(), CliError> {
        let failed = |error: io::Error| failed("cannot run the editor", &error);
        let mut child = editor(&self.path).spawn().map_err(failed)?;
        tokio::select! {
            status = child.wait() => check(status.map_err(failed)?),
            () = signals.any_but_keyboard() => {
                child.kill().await.ok();
                Err(interrupted("nothing was changed"))
            }
        }
    }

    /// What the editor left.
    pub(crate) fn read(&self) -> Result<SecretBytes, CliError> {
        let read = File::open(&self.path).and_then(input::read_whole).map_err(|error| {
            CliError::new(Status::Failure, "cannot read the edited file")
                .hint("the editor must save to the file that it was given")
                .caused_by(&error)
        })?;
        read.ok_or_else(|| CliError::usage("the edited file has more than 4 MiB"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Editors leave copies beside the file; the whole folder goes.
        if let Err(error) = fs::remove_dir_all(self.folder.path()) {
            ui::warn(format_args!(
                "{} could not be removed, and holds secrets: {error}",
                self.folder.path().display()
            ));
        }
    }
}

fn failed(what: &str, error: &io::Error) -> CliError {
    CliError::new(Status::Failure, what).caused_by(error)
}

/// The user's editor with a file. It may be said with options, so a shell takes it apart, as git does it.
fn editor(path: &Path) -> Command {
    let named = ["VISUAL", "EDITOR"].iter().filter_map(std::env::var_os);
    let mut script: OsString = named
        .into_iter()
        .find(|editor| !editor.is_empty())
        .unwrap_or_else(|| "vi".into());
    script.push(" \"$@\"");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg("microsecrets-edit").arg(path);
    command
}

fn check(status: ExitStatus) -> Result<(), CliError> {
    if status.success() {
        return Ok(());
    }
    Err(CliError::new(
        Status::Failure,
        format!("the editor failed ({status}); nothing was changed"),
    )
    .hint("set VISUAL or EDITOR to your editor"))
}

/// A folder in memory, if there is one.
fn base() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let in_memory = [runtime, Some("/dev/shm".into())]
        .into_iter()
        .flatten()
        .find(|folder| is_tmpfs(folder));
    in_memory.unwrap_or_else(|| {
        let folder = std::env::temp_dir();
        if !is_tmpfs(&folder) {
            ui::warn(format_args!(
                "there is no folder in memory: the file is in {} while it is edited",
                folder.display()
            ));
        }
        folder
    })
}

#[cfg(target_os = "linux")]
fn is_tmpfs(folder: &Path) -> bool {
    rustix::fs::statfs(folder).is_ok_and(|found| found.f_type == TMPFS_MAGIC)
}

#[cfg(not(target_os = "linux"))]
fn is_tmpfs(_: &Path) -> bool {
    false
}

/// A panic aborts the process, and runs no destructor.
fn remove_on_panic(folder: PathBuf) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        fs::remove_dir_all(&folder).ok();
        before(info);
    }));
}
