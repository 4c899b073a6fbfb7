//! What a folder store promises. The other stores' common promises are tested in one suite with them.

#![allow(clippy::result_large_err, reason = "tests are not in a hurry")]

mod hostile;
mod identity;
mod listing;
mod objects;
mod turns;

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::secret::SecretBytes;
use crate::store::{Body, Page};

const KEY: &str = "services/api/head/environment";

/// A place for a store and its identity.
struct Place {
    top: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            top: TempDir::new().expect("a temporary folder"),
        }
    }

    fn dir(&self) -> PathBuf {
        self.top.path().join("secrets")
    }

    fn identities(&self) -> PathBuf {
        self.top.path().join("config/identities")
    }

    fn file(&self, key: &str) -> PathBuf {
        self.dir().join(key)
    }

    fn settings(&self) -> FolderSettings {
        FolderSettings::new(self.dir(), self.identities())
    }

    fn try_open(&self, access: Access) -> Result<FolderStore, StoreError> {
        run(FolderStore::open(self.settings(), access))
    }

    fn open(&self) -> FolderStore {
        self.try_open(Access::Write).expect("a store")
    }

    /// How opening it to read fails, in full.
    fn refusal(&self) -> (ErrorKind, String) {
        let Err(error) = self.try_open(Access::Read) else {
            panic!("it opens");
        };
        (error.kind.clone(), self.told(&error))
    }

    /// An error and what is beneath it, without this machine's paths.
    fn told(&self, error: &StoreError) -> String {
        told(error).replace(&self.top.path().display().to_string(), "TOP")
    }

    fn leftovers(&self) -> usize {
        fs::read_dir(self.dir().join(".microsecrets/tmp")).map_or(0, Iterator::count)
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn bytes(bytes: &[u8]) -> Payload {
    Payload::Bytes(SecretBytes::new(bytes.to_vec()))
}

fn new(key: &str, content: &[u8]) -> Put {
    Put::new(key, bytes(content), Condition::Absent, Encryption::Store)
}

fn over(key: &str, content: &[u8], etag: &ETag) -> Put {
    Put::new(key, bytes(content), Condition::Is(etag.clone()), Encryption::Store)
}

/// Puts a new object and gives its ETag.
fn put(store: &FolderStore, key: &str, content: &[u8]) -> ETag {
    run(store.put(new(key, content))).expect("it is stored").etag
}

fn get(store: &FolderStore, key: &str) -> Result<Vec<u8>, StoreError> {
    let object = run(store.get(Get::whole(key, 1 << 20)))?;
    match object.body {
        Body::Whole(bytes) => Ok(bytes.expose().to_vec()),
        _ => panic!("it was to be whole"),
    }
}

fn stream(store: &FolderStore, key: &str) -> Result<Vec<u8>, StoreError> {
    run(async {
        let Body::Stream(mut pieces) = store.get(Get::stream(key)).await?.body else {
            panic!("it was to be in pieces");
        };
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await? {
            assert!(!piece.is_empty());
            all.extend_from_slice(&piece);
        }
        Ok(all)
    })
}

fn kind<T>(result: Result<T, StoreError>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeds"),
        Err(error) => error.kind,
    }
}

fn delete(store: &FolderStore, key: &str, which: Which) -> Result<(), StoreError> {
    run(store.delete(Delete::new(key, which))).map(drop)
}

fn keys(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.key.as_str()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}
