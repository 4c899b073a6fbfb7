//! Files of this machine that decide something: read only when nobody else could have written, or read, them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::unnamed::{Unnamed, folder_of};

/// Who else may have a hand in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// Nobody: it is a secret.
    Secret,
    /// Everybody may read it; only its owner, who is this user or root, may write.
    Trusted,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileRefused {
    /// The system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a folder, a pipe or the like.
    #[error("it is no regular file")]
    NotRegular,
    /// Others may write it, or read it though it is secret.
    #[error("it is open to others (mode {mode:03o})")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It is another user's.
    #[error("it belongs to the user with the number {owner}")]
    OtherOwner {
        /// Whose it is.
        owner: u32,
    },
    /// It is larger than any such file.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
}

/// Reads a file of at most `limit` bytes, in a buffer that never moves and is wiped.
///
/// What is looked at is the file that was opened: a link is followed, and a pipe is not waited for.
pub(crate) fn read(path: &Path, rule: Rule, limit: u64) -> Result<Zeroizing<Vec<u8>>, FileRefused> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileRefused::NotRegular);
    }
    let mode = metadata.mode() & 0o777;
    let others = if rule == Rule::Secret { 0o077 } else { 0o022 };
    if mode & others != 0 {
        return Err(FileRefused::Open { mode });
    }
    let owner = metadata.uid();
    if rule == Rule::Trusted && owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(FileRefused::OtherOwner { owner });
    }
    if metadata.len() > limit {
        return Err(FileRefused::TooLarge { limit });
    }
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(metadata.len()).unwrap_or_default()]);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a new file that is its owner's alone, to outlive a power failure; there must be none yet. It has its name only
/// when it is whole: what is half there would be in the way of the next attempt.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = Unnamed::create(folder_of(path))?;
    new.file().write_all(bytes).and_then(|()| new.file().sync_all())?;
    new.name(path, false)?;
    let synced = File::open(folder_of(path)).and_then(|folder| folder.sync_all());
    if synced.is_err() {
        std::fs::remove_file(path).ok();
    }
    synced
}

/// Waits for the lock on a file, at most this long: whether it was had. Closing the file gives it back.
pub(crate) async fn lock(file: &File, timeout: Duration) -> io::Result<bool> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begin.elapsed() >= timeout => return Ok(false),
            // Polled, since a blocked thread could not be given up at the time-out.
            Err(TryLockError::WouldBlock) => tokio::time::sleep(jitter()).await,
        }
    }
}

/// A random short wait, so that those who wait do not all wake at once.
fn jitter() -> Duration {
    let mut random = [0];
    // Without random bytes they do, which is only slower.
    getrandom::fill(&mut random).ok();
    Duration::from_micros(500 + 40 * u64::from(random[0]))
}
