//! Who signed a record: ECDSA on NIST P-256 with SHA-256 (FIPS 186-5), the signature in DER (RFC 3279, 2.2.3).
//!
//! A reader pins public keys. The pinned key decides the algorithm, never the object, and nothing is asked of KMS.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject as _;

use crate::checksum::Checksum;
use crate::ownfile::{self, FileRefused, Rule};
use crate::record::Signature;

/// What a public key on P-256 begins with as a SubjectPublicKeyInfo (RFC 5480): its algorithm, `id-ecPublicKey` with the
/// curve `secp256r1`, and a bit string of 65 bytes, the point without compression.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// More than a key takes with comments around it.
const MAX_FILE: u64 = 64 * 1024;
/// The bytes of a point: a 4, and two coordinates.
const POINT: usize = 65;

/// A public key that a reader pins: NIST P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyKey([u8; POINT]);

impl VerifyKey {
    /// A key as KMS answers it: a DER-encoded SubjectPublicKeyInfo.
    ///
    /// # Errors
    ///
    /// Whatever is not a point on P-256, spelled without compression.
    pub fn from_spki(der: &[u8]) -> Result<Self, VerifyKeyError> {
        let point = der.strip_prefix(&SPKI_PREFIX).ok_or(VerifyKeyError::OtherAlgorithm)?;
        Self::from_point(point)
    }

    /// A key from its point (SEC 1, 2.3.4), without compression.
    pub(crate) fn from_point(point: &[u8]) -> Result<Self, VerifyKeyError> {
        let point: [u8; POINT] = point.try_into().map_err(|_| VerifyKeyError::OtherAlgorithm)?;
        match point[0] {
            4 => Ok(Self(point)),
            _ => Err(VerifyKeyError::OtherAlgorithm),
        }
    }

    /// A key as people pin it: base64, or a file in PEM or base64, its path as seen from a folder. Nobody but this user
    /// and root may be able to write the file.
    ///
    /// # Errors
    ///
    /// See [`PinnedKeyError`].
    pub fn pinned(text: &str, folder: &Path) -> Result<Self, PinnedKeyError> {
        let spelled = match text.parse() {
            Ok(key) => return Ok(key),
            Err(error) => error,
        };
        if spelled == VerifyKeyError::Private {
            return Err(PinnedKeyError::Text { source: spelled });
        }
        // A file's name can be base64 too.
        let path = folder.join(text.trim());
        let bytes = match ownfile::read(&path, Rule::Trusted, MAX_FILE) {
            Ok(bytes) => bytes,
            // It may be a private key, or a part of one, which must not be shown as a path.
            Err(FileRefused::Io(_)) if looks_like_key(text) => return Err(PinnedKeyError::Text { source: spelled }),
            Err(source) => return Err(PinnedKeyError::File { path, source }),
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| VerifyKeyError::NoKey);
        let parsed = text.and_then(str::parse);
        parsed.map_err(|source| PinnedKeyError::Content { path, source })
    }

    /// The key as a DER-encoded SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// The key in PEM (RFC 7468), as OpenSSL reads it.
    pub fn to_pem(&self) -> String {
        let encoded = self.to_base64();
        let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let lines: String = lines.map(|line| format!("{line}\n")).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n")
    }

    /// The key in one word: its SubjectPublicKeyInfo in base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.to_spki())
    }

    /// What people compare, and records name their signer by: the SHA-256 of its SubjectPublicKeyInfo.
    pub fn fingerprint(&self) -> Checksum {
        Checksum::of(&self.to_spki())
    }

    /// Whether the holder of the private key signed these bytes.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(message, signature.der())
            .is_ok()
    }
}

/// Whether a text is rather a key, spelled wrongly, than the path of a file.
fn looks_like_key(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_whitespace();
    text.contains(['\n', '\r']) || text.contains("-----") || text.len() >= 40 && text.chars().all(is_base64)
}

impl FromStr for VerifyKey {
    type Err = VerifyKeyError;

    /// Reads PEM, or the base64 of a SubjectPublicKeyInfo.
    fn from_str(text: &str) -> Result<Self, VerifyKeyError> {
        let text = text.trim();
        if text.contains("PRIVATE KEY-----") {
            return Err(VerifyKeyError::Private);
        }
        if text.starts_with("-----BEGIN ") {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes()).map_err(|_| VerifyKeyError::NoKey)?;
            return Self::from_spki(&der);
        }
        let der = BASE64.decode(text).map_err(|_| VerifyKeyError::NoKey)?;
        Self::from_spki(&der)
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({})", self.fingerprint())
    }
}

/// Why a text is no key that can be pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyKeyError {
    /// Neither PEM nor base64.
    #[error("it holds no public key in PEM or base64")]
    NoKey,
    /// A key for something else, or on another curve.
    #[error("it is no public key on NIST P-256")]
    OtherAlgorithm,
    /// A private key.
    #[error("it is a private key: pin the public one")]
    Private,
}

/// Why a key that was to be pinned cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinnedKeyError {
    /// The file holds none.
    #[error("{} holds no key to verify with", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: VerifyKeyError,
    },
    /// The file cannot be used.
    #[error("{} cannot be used as a key to verify with", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: FileRefused,
    },
    /// The text is a key, but none to verify with.
    #[error("the key to verify with cannot be used")]
    Text {
        /// Why.
        source: VerifyKeyError,
    },
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
