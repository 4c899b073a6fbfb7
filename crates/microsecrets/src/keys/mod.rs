//! The seam to keys: which key encrypts, and who signs.

mod folder;
mod kms;

use async_trait::async_trait;

pub use self::folder::FolderKeys;
pub use self::kms::KmsKeys;
use crate::store::{Encryption, StoreError};

/// The keys beside a store.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Resolves the name of a key (an alias, an id or an ARN) to how a writer shall have its objects encrypted.
    ///
    /// For KMS the answer holds the key's ARN, never the alias: whoever may move an alias must not decide, between this
    /// look-up and the write, what an object is encrypted under.
    async fn resolve(&self, name: &str) -> Result<Encryption, StoreError>;

    /// Signs the exact bytes of a record: ECDSA on NIST P-256 with SHA-256, DER (FIPS 186-5, SEC 1).
    async fn sign(&self, name: &str, record: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// The public key of a key that signs, as a DER-encoded SubjectPublicKeyInfo.
    async fn public_key(&self, name: &str) -> Result<Vec<u8>, StoreError>;
}
