//! Those who hold a key that signs, in memory, and one whom nobody trusts.

use std::sync::OnceLock;

use async_trait::async_trait;
use microsecrets::checksum::Checksum;
use microsecrets::keys::Keys;
use microsecrets::record::SignedRecord;
use microsecrets::store::{Encryption, StoreError};
use microsecrets::trust::VerifyKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};

/// A key that signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signer {
    /// Which everybody signs with at first.
    Old,
    /// Which they change to.
    New,
    /// A key that nobody pins.
    Stranger,
}

/// What everybody pins while keys are changed.
pub(crate) const BOTH: [Signer; 2] = [Signer::Old, Signer::New];

/// What a public key on P-256 begins with as a SubjectPublicKeyInfo (RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

struct Pair {
    signs: EcdsaKeyPair,
    verifies: VerifyKey,
    fingerprint: Checksum,
}

impl Pair {
    fn new() -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let signs = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, made.as_ref(), &random).unwrap();
        let spki = [&SPKI_PREFIX[..], signs.public_key().as_ref()].concat();
        let verifies = VerifyKey::from_spki(&spki).unwrap();
        let fingerprint = verifies.fingerprint();
        Self {
            signs,
            verifies,
            fingerprint,
        }
    }
}

impl Signer {
    fn pair(self) -> &'static Pair {
        static PAIRS: OnceLock<[Pair; 3]> = OnceLock::new();
        &PAIRS.get_or_init(|| [(); 3].map(|()| Pair::new()))[self as usize]
    }

    /// What the key is called.
    pub(crate) fn name(self) -> &'static str {
        ["old", "new", "stranger"][self as usize]
    }

    pub(crate) fn public(self) -> VerifyKey {
        self.pair().verifies.clone()
    }

    pub(crate) fn fingerprint(self) -> Checksum {
        self.pair().fingerprint
    }

    pub(crate) fn sign(self, message: &[u8]) -> Vec<u8> {
        let signature = self.pair().signs.sign(&SystemRandom::new(), message).unwrap();
        signature.as_ref().to_vec()
    }

    /// Which of those who are trusted has signed a record.
    pub(crate) fn of(entry: &SignedRecord) -> Option<Self> {
        let signature = entry.signature()?;
        let verifies = |signer: &Self| signer.pair().verifies.verifies(entry.line(), signature);
        // What the record says of its signer is only where to look first.
        let said = |signer: &Self| Some(signer.pair().fingerprint) == entry.record().signer;
        let mut signers = BOTH;
        signers.sort_by_key(|signer| !said(signer));
        signers.into_iter().find(verifies)
    }
}

/// The keys, by their names.
pub(crate) struct SigningKeys;

#[async_trait]
impl Keys for SigningKeys {
    async fn resolve(&self, _: &str) -> Result<Encryption, StoreError> {
        Ok(Encryption::Store)
    }

    async fn sign(&self, name: &str, record: &[u8]) -> Result<Vec<u8>, StoreError> {
        let all = [Signer::Old, Signer::New, Signer::Stranger];
        let signer = all.into_iter().find(|signer| signer.name() == name);
        Ok(signer.unwrap().sign(record))
    }

    async fn public_key(&self, _: &str) -> Result<Vec<u8>, StoreError> {
        unreachable!("nobody asks KMS for what is pinned")
    }
}
