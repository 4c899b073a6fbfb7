//! The keys of a folder store: its own identity encrypts, and a key beside that identity will sign.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::Keys;
use crate::store::{Encryption, ErrorKind, Operation, StoreError};

/// The keys of a store in a folder.
#[derive(Clone, Debug)]
pub struct FolderKeys {
    signing: PathBuf,
}

impl FolderKeys {
    /// The keys of the store with this id, where this user's identities are.
    pub fn new(identities: &Path, store: &str) -> Self {
        Self {
            signing: identities.join(format!("{store}.signing-key.pem")),
        }
    }

    /// Where the key that signs is looked for: NIST P-256, PKCS#8, PEM.
    pub fn signing_key_path(&self) -> &Path {
        &self.signing
    }
}

#[async_trait]
impl Keys for FolderKeys {
    /// A folder store has one identity, whatever name is asked for.
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        Ok(Encryption::Store)
    }

    /// Fails: nothing makes such a key yet.
    async fn sign(&self, _: &str, _: &[u8]) -> Result<Vec<u8>, StoreError> {
        let kind = match self.signing.try_exists() {
            Ok(true) => ErrorKind::KeyUnusable,
            _ => ErrorKind::KeyNotFound,
        };
        Err(StoreError::new(
            Operation::Sign,
            self.signing.display().to_string(),
            kind,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn any_name_is_the_stores_own_encryption() {
        let keys = FolderKeys::new(Path::new("/nowhere"), "folder-0");
        assert_eq!(keys.resolve("alias/x").await.ok(), Some(Encryption::Store));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_a_key_nothing_is_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = FolderKeys::new(folder.path(), "folder-0");
        let error = keys.sign("any", b"record").await.expect_err("no key");
        assert_eq!((error.operation, error.kind), (Operation::Sign, ErrorKind::KeyNotFound));
        assert!(
            error.subject.ends_with("/folder-0.signing-key.pem"),
            "{}",
            error.subject
        );
        std::fs::write(keys.signing_key_path(), "").expect("a file");
        let error = keys.sign("any", b"record").await.expect_err("not yet");
        assert_eq!(error.kind, ErrorKind::KeyUnusable);
    }
}
