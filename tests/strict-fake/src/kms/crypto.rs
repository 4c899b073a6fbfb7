//! What is inside a key: AES-256-GCM for symmetric ones, ECDSA on P-256 for signing ones.

use std::collections::BTreeMap;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::Usage;

/// What comes before the point in the `SubjectPublicKeyInfo` of a P-256 key (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const NONCE_LEN: usize = 12;

pub(crate) enum Material {
    Symmetric(Box<LessSafeKey>),
    Signing(Box<EcdsaKeyPair>),
}

impl Material {
    pub(crate) fn new(usage: Usage) -> Self {
        let random = SystemRandom::new();
        match usage {
            Usage::EncryptDecrypt => {
                let key = UnboundKey::new(&AES_256_GCM, &random_bytes::<32>()).expect("32 bytes are an AES-256 key");
                Self::Symmetric(Box::new(LessSafeKey::new(key)))
            }
            Usage::SignVerify => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
                    .expect("the system has random numbers");
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random)
                    .expect("ring reads what ring wrote");
                Self::Signing(Box::new(pair))
            }
        }
    }

    /// DER `SubjectPublicKeyInfo`.
    pub(crate) fn public_key(&self) -> Option<Vec<u8>> {
        match self {
            Self::Symmetric(_) => None,
            Self::Signing(pair) => Some([&P256_SPKI, pair.public_key().as_ref()].concat()),
        }
    }

    /// A DER signature of SHA-256 of the message.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Symmetric(_) => None,
            Self::Signing(pair) => {
                let signature = pair
                    .sign(&SystemRandom::new(), message)
                    .expect("the system has random numbers");
                Some(signature.as_ref().to_vec())
            }
        }
    }

    /// The encryption context is authenticated, whatever the order it was given in.
    pub(crate) fn encrypt(&self, plaintext: &[u8], context: &[(String, String)]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = plaintext.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad(context), &mut sealed)
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn decrypt(&self, ciphertext: &[u8], context: &[(String, String)]) -> Option<Vec<u8>> {
        let Self::Symmetric(key) = self else { return None };
        let (nonce, sealed) = ciphertext.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = sealed.to_vec();
        let plaintext = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), aad(context), &mut opened)
            .ok()?;
        Some(plaintext.to_vec())
    }
}

pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system has random numbers");
    bytes
}

fn aad(context: &[(String, String)]) -> Aad<Vec<u8>> {
    let sorted: BTreeMap<_, _> = context.iter().map(|(k, v)| (k, v)).collect();
    Aad::from(serde_json::to_vec(&sorted).expect("strings are JSON"))
}

#[cfg(test)]
mod tests {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signatures_verify_under_the_public_key() {
        let key = Material::new(Usage::SignVerify);
        let spki = key.public_key().expect("a signing key has one");
        let signature = key.sign(b"record").expect("a signing key signs");
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[P256_SPKI.len()..]);
        assert!(public.verify(b"record", &signature).is_ok());
        assert!(public.verify(b"other", &signature).is_err());
    }

    #[test]
    fn the_encryption_context_must_be_the_same() {
        let key = Material::new(Usage::EncryptDecrypt);
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let sealed = key
            .encrypt(b"secret", &[pair("a", "1"), pair("b", "2")])
            .expect("a symmetric key encrypts");
        assert_eq!(
            key.decrypt(&sealed, &[pair("b", "2"), pair("a", "1")]),
            Some(b"secret".to_vec())
        );
        assert_eq!(key.decrypt(&sealed, &[pair("a", "1")]), None);
    }
}
