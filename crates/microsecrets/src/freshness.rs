//! What was seen before: a file that remembers the highest number of each item, so that an older version put back is
//! noticed, whoever signed it.
//!
//! The idea is The Update Framework's (TUF 1.0, 5.3.5 and 1.5.2, rollback attacks): a client that has seen version N
//! never goes back behind it. The file is one line of JSON:
//!
//! ```json
//! {"format":1,"seen":{"example-microsecrets/api/environment":{"number":12,"sha256":"e3b0c442..."}}}
//! ```
//!
//! The first time, an item is believed: there is nothing to compare it with.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::checksum::Checksum;
use crate::layout::Item;
use crate::name::Number;
use crate::ownfile::{self, FileRefused, Rule};
use crate::unnamed::folder_of;

/// More than the items of a thousand services take.
const MAX_FILE: u64 = 4 << 20;
const FORMAT: u64 = 1;

/// A version of an item that is about to be used.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The store that it was read from.
    pub bucket: String,
    /// Whose version it is.
    pub item: Item,
    /// Its number; 0.3.4's versions have none.
    pub number: Option<Number>,
    /// Its checksum.
    pub checksum: Checksum,
}

impl Seen {
    /// A version of an item.
    pub fn new(bucket: &str, item: &Item, number: Option<Number>, checksum: Checksum) -> Self {
        Self {
            bucket: bucket.to_owned(),
            item: item.clone(),
            number,
            checksum,
        }
    }

    /// What the file calls the item. None of its parts holds a slash, but the last.
    fn key(&self) -> String {
        format!("{}/{}/{}", self.bucket, self.item.service(), self.item.kind())
    }
}

/// The file that remembers.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    format: u64,
    seen: BTreeMap<String, Known>,
}

/// What is remembered of an item.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    number: u64,
    sha256: String,
}

impl StateFile {
    /// The file at a path, which is made when something is remembered for the first time.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Compares versions with what was seen before, and remembers them: all, or none when one of them is refused.
    ///
    /// `allow_rollback` accepts what is older and remembers that instead. Waits at most `timeout` for other processes.
    ///
    /// # Errors
    ///
    /// [`StateError::Back`], [`StateError::Sideways`] and [`StateError::NoNumber`] speak of a version; the others of the
    /// file.
    pub async fn observe(&self, versions: &[Seen], allow_rollback: bool, timeout: Duration) -> Result<(), StateError> {
        // A link is followed, so that what it leads to is replaced and not the link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| self.failed(source);
        let lock = beside(&path, "lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock);
        let file = file.map_err(failed)?;
        if !ownfile::lock(&file, timeout).await.map_err(failed)? {
            return Err(StateError::Locked { path: lock });
        }
        let mut content = self.read(&path)?;
        let before = content.seen.clone();
        for seen in versions {
            let known = content.seen.get(&seen.key());
            let now = check(known, seen).or_else(|(refused, now)| now.filter(|_| allow_rollback).ok_or(refused))?;
            content.seen.insert(seen.key(), now);
        }
        if content.seen == before {
            return Ok(());
        }
        self.write(&path, &content).map_err(failed)
    }

    fn read(&self, path: &Path) -> Result<Content, StateError> {
        let bytes = match ownfile::read(path, Rule::Trusted, MAX_FILE) {
            Ok(bytes) => bytes,
            Err(FileRefused::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                let seen = BTreeMap::new();
                return Ok(Content { format: FORMAT, seen });
            }
            Err(source) => return Err(self.refused(source)),
        };
        let content: Option<Content> = serde_json::from_slice(&bytes).ok();
        content
            .filter(|content| content.format == FORMAT && content.seen.values().all(Known::is_valid))
            .ok_or_else(|| StateError::Damaged {
                path: self.path.clone(),
            })
    }

    /// Replaces the file at once, or not at all.
    fn write(&self, path: &Path, content: &Content) -> io::Result<()> {
        let mut text = serde_json::to_vec(content)?;
        text.push(b'\n');
        // Nobody else has one: the lock is held. It may be left of a process that was killed.
        let new = beside(path, "new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        ownfile::create(&new, &text)?;
        fs::rename(&new, path)?;
        File::open(folder_of(path))?.sync_all()
    }

    fn failed(&self, source: io::Error) -> StateError {
        self.refused(source.into())
    }

    fn refused(&self, source: FileRefused) -> StateError {
        let path = self.path.clone();
        StateError::File { path, source }
    }
}

/// `path.extension`, whatever else the path's name ends with.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// What is to be remembered of a version, or why it is refused (and what would be remembered all the same).
fn check(known: Option<&Known>, seen: &Seen) -> Result<Known, (StateError, Option<Known>)> {
    let item = || seen.item.clone();
    let Some(number) = seen.number else {
        return Err((StateError::NoNumber { item: item() }, None));
    };
    let now = Known {
        number: number.get(),
        sha256: seen.checksum.to_string(),
    };
    match known {
        Some(known) if now.number < known.number => {
            let refused = StateError::Back {
                item: item(),
                found: now.number,
                seen: known.number,
            };
            Err((refused, Some(now)))
        }
        Some(known) if now.number == known.number && now.sha256 != known.sha256 => {
            let refused = StateError::Sideways {
                item: item(),
                number: now.number,
            };
            Err((refused, Some(now)))
        }
        _ => Ok(now),
    }
}

impl Known {
    fn is_valid(&self) -> bool {
        Number::new(self.number).is_some() && self.sha256.parse::<Checksum>().is_ok()
    }
}

/// Why a version is not used, or the file is not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Older than what was seen.
    #[error("the {item} is version {found}, but version {seen} was seen before")]
    Back {
        /// Which item.
        item: Item,
        /// Its number.
        found: u64,
        /// The number that was seen.
        seen: u64,
    },
    /// The file is not as this program wrote it.
    #[error("{} is damaged, or of a newer format", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be used to remember versions in", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: FileRefused,
    },
    /// Another process holds the lock.
    #[error("another process holds the lock {}", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// It has no number to compare.
    #[error("the {item} has no number: microsecrets 0.3.4 wrote it, and nobody can tell whether it is older")]
    NoNumber {
        /// Which item.
        item: Item,
    },
    /// Another version with the number that was seen.
    #[error("version {number} of the {item} has another checksum than when it was seen before")]
    Sideways {
        /// Which item.
        item: Item,
        /// The number.
        number: u64,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn seen(kind: &str, number: u64, content: &[u8]) -> Seen {
        let item = Item::new("api".parse().expect("a name"), kind.parse().expect("a kind"));
        Seen::new("bucket", &item, Number::new(number), Checksum::of(content))
    }

    async fn observe(state: &StateFile, versions: &[Seen], allow: bool) -> Result<(), String> {
        let observed = state.observe(versions, allow, Duration::from_secs(5)).await;
        observed.map_err(|error| error.to_string())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_goes_back_or_sideways() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateFile::new(folder.path().join("state"));
        let env = |number, content: &[u8]| seen("environment", number, content);
        for (number, content) in [(3, b"a"), (3, b"a"), (4, b"b")] {
            observe(&state, &[env(number, content)], false)
                .await
                .expect("not older");
        }
        let back = observe(&state, &[env(3, b"a")], false).await;
        assert_eq!(
            back.expect_err("older"),
            "the environment of api is version 3, but version 4 was seen before"
        );
        let sideways = observe(&state, &[env(4, b"c")], false).await;
        assert_eq!(
            sideways.expect_err("another"),
            "version 4 of the environment of api has another checksum than when it was seen before"
        );
        // Each item and each store on its own.
        observe(&state, &[seen("file/tls.pem", 1, b"a")], false)
            .await
            .expect("new");
        let replica = Seen {
            bucket: "replica".to_owned(),
            ..env(2, b"x")
        };
        observe(&state, &[replica], false).await.expect("new");
        // Accepted once, it is what is remembered.
        observe(&state, &[env(3, b"a")], true).await.expect("allowed");
        observe(&state, &[env(3, b"a")], false).await.expect("remembered");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn all_are_remembered_or_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateFile::new(folder.path().join("state"));
        observe(&state, &[seen("environment", 5, b"a")], false)
            .await
            .expect("new");
        let before = fs::read(folder.path().join("state")).expect("a file");
        let both = [seen("file/x", 1, b"x"), seen("environment", 4, b"b")];
        observe(&state, &both, false).await.expect_err("older");
        assert_eq!(fs::read(folder.path().join("state")).expect("a file"), before);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_has_no_number_is_refused_even_if_rollback_is_allowed() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = StateFile::new(folder.path().join("state"));
        let legacy = Seen {
            number: None,
            ..seen("environment", 1, b"a")
        };
        for allow in [false, true] {
            observe(&state, std::slice::from_ref(&legacy), allow)
                .await
                .expect_err("no number");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_file_that_is_damaged_or_others_can_write_is_no_fresh_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        let state = StateFile::new(&path);
        observe(&state, &[seen("environment", 5, b"a")], false)
            .await
            .expect("new");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let whole = fs::read(&path).expect("a file");
        let newer = br#"{"format":2,"seen":{}}"#.to_vec();
        for text in [b"".to_vec(), whole[..whole.len() - 2].to_vec(), b"{}".to_vec(), newer] {
            fs::write(&path, &text).expect("written");
            observe(&state, &[seen("environment", 6, b"b")], true)
                .await
                .expect_err("damaged");
            assert_eq!(fs::read(&path).expect("a file"), text);
        }
        fs::write(&path, &whole).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).expect("a mode");
        observe(&state, &[seen("environment", 6, b"b")], false)
            .await
            .expect_err("open to others");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_remembered_is_written_through_a_link_and_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("state"), folder.path().join("link"));
        observe(&StateFile::new(&path), &[seen("environment", 1, b"a")], false)
            .await
            .expect("new");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).expect("a file"));
        let before = inode(&path);
        observe(&StateFile::new(&link), &[seen("environment", 1, b"a")], false)
            .await
            .expect("the same");
        assert_eq!(inode(&path), before, "nothing changed");
        observe(&StateFile::new(&link), &[seen("environment", 2, b"b")], false)
            .await
            .expect("newer");
        assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
        observe(&StateFile::new(&path), &[seen("environment", 1, b"a")], false)
            .await
            .expect_err("older");
    }
}
