//! The keys of a folder store: its own identity encrypts, and a P-256 key beside that identity signs.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::Keys;
use crate::ownfile::{self, FileRefused, Rule};
use crate::store::folder::{FolderError, secret_refused};
use crate::store::{Encryption, ErrorKind, Operation, StoreError};
use crate::trust::VerifyKey;

/// More than such a key takes with comments around it.
const MAX_FILE: u64 = 64 * 1024;

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

    /// Makes the key that signs, unless there is one; whether it was made.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create_signing_key(&self) -> Result<bool, StoreError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let made = made.map_err(|_| self.error(Operation::Sign, ErrorKind::KeyUnusable))?;
        match ownfile::create(&self.signing, pem(made.as_ref()).as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => {
                let (action, path) = ("write", self.signing.clone());
                let error = self.error(Operation::Sign, ErrorKind::Io);
                Err(error.with_source(FolderError::Io { action, path, source }))
            }
        }
    }

    fn key(&self, operation: Operation) -> Result<EcdsaKeyPair, StoreError> {
        let text = ownfile::read(&self.signing, Rule::Secret, MAX_FILE);
        let text = text.map_err(|refused| self.refused(operation, refused))?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).ok();
        let pair = der.and_then(|mut der| {
            let pair = EcdsaKeyPair::from_pkcs8(
                &ECDSA_P256_SHA256_ASN1_SIGNING,
                der.secret_pkcs8_der(),
                &SystemRandom::new(),
            );
            der.zeroize();
            pair.ok()
        });
        pair.ok_or_else(|| self.error(operation, ErrorKind::KeyUnusable))
    }

    fn refused(&self, operation: Operation, refused: FileRefused) -> StoreError {
        let kind = match &refused {
            FileRefused::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.error(operation, ErrorKind::KeyNotFound);
            }
            FileRefused::Io(_) => ErrorKind::Io,
            _ => ErrorKind::KeyUnusable,
        };
        let source = secret_refused(&self.signing, refused);
        self.error(operation, kind).with_source(source)
    }

    fn error(&self, operation: Operation, kind: ErrorKind) -> StoreError {
        StoreError::new(operation, self.signing.display().to_string(), kind)
    }
}

/// PKCS#8 in PEM (RFC 7468), built in one piece, so that no copy is left behind by a buffer that grew.
fn pem(pkcs8: &[u8]) -> Zeroizing<String> {
    let encoded = Zeroizing::new(BASE64.encode(pkcs8));
    let mut text = Zeroizing::new(String::with_capacity(2 * encoded.len() + 128));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        rest = after;
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

#[async_trait]
impl Keys for FolderKeys {
    /// A folder store has one identity, whatever name is asked for.
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        Ok(Encryption::Store)
    }

    /// A folder store has one key that signs, whatever name is asked for.
    async fn sign(&self, _: &str, record: &[u8]) -> Result<Vec<u8>, StoreError> {
        let signature = self.key(Operation::Sign)?.sign(&SystemRandom::new(), record);
        let signature = signature.map_err(|_| self.error(Operation::Sign, ErrorKind::KeyUnusable))?;
        Ok(signature.as_ref().to_vec())
    }

    async fn public_key(&self, _: &str) -> Result<Vec<u8>, StoreError> {
        let key = self.key(Operation::GetPublicKey)?;
        let public = VerifyKey::from_point(key.public_key().as_ref());
        public
            .map(|key| key.to_spki())
            .map_err(|_| self.error(Operation::GetPublicKey, ErrorKind::KeyUnusable))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::record::Signature;

    #[tokio::test(flavor = "current_thread")]
    async fn any_name_is_the_stores_own_encryption() {
        let keys = FolderKeys::new(Path::new("/nowhere"), "folder-0");
        assert_eq!(keys.resolve("alias/x").await.ok(), Some(Encryption::Store));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_key_that_was_made_signs_what_its_public_key_verifies() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = FolderKeys::new(folder.path(), "folder-0");
        assert_eq!(keys.create_signing_key().ok(), Some(true));
        let mode = fs::metadata(keys.signing_key_path())
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let public = keys.public_key("any").await.expect("a key");
        let signature = keys.sign("any", b"record").await.expect("a signature");
        let public = VerifyKey::from_spki(&public).expect("a public key");
        assert!(public.verifies(b"record", &Signature::new(signature)));
        // A second one would make the first one's signatures worthless.
        let before = fs::read(keys.signing_key_path()).expect("a file");
        assert_eq!(keys.create_signing_key().ok(), Some(false));
        assert_eq!(fs::read(keys.signing_key_path()).expect("a file"), before);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn without_a_key_that_is_nobody_elses_nothing_is_signed() {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = FolderKeys::new(folder.path(), "folder-0");
        let failed = async || {
            let error = keys.sign("any", b"record").await.expect_err("no signature");
            assert_eq!(error.operation, Operation::Sign);
            assert!(
                error.subject.ends_with("/folder-0.signing-key.pem"),
                "{}",
                error.subject
            );
            error.kind
        };
        assert_eq!(failed().await, ErrorKind::KeyNotFound);
        fs::write(keys.signing_key_path(), "").expect("a file");
        let mode = |mode| fs::set_permissions(keys.signing_key_path(), fs::Permissions::from_mode(mode));
        mode(0o600).expect("a mode");
        assert_eq!(failed().await, ErrorKind::KeyUnusable);
        fs::remove_file(keys.signing_key_path()).expect("removed");
        assert_eq!(keys.create_signing_key().ok(), Some(true));
        mode(0o640).expect("a mode");
        assert_eq!(failed().await, ErrorKind::KeyUnusable);
        mode(0o600).expect("a mode");
        keys.sign("any", b"record").await.expect("a signature");
    }
}
