//! What is believed of what a store answers: encryption and its key, signatures, checksums, and agreement of record, key
//! and place.
//!
//! The reader's settings decide, never the object. Unverified bytes stay inside [`crate::item`]; what leaves it has
//! passed these checks.

mod pin;
mod signature;

use std::sync::Arc;

use self::pin::AliasPin;
pub use self::pin::{KeyPin, KeyPinError, RequiredEncryption};
pub use self::signature::{PinnedKeyError, VerifyKey, VerifyKeyError};
use crate::checksum::Checksum;
use crate::keys::Keys;
use crate::layout::Item;
use crate::name::Number;
use crate::record::{Record, SignedRecord};
use crate::store::{Encryption, Store, StoreError};
use crate::time::Timestamp;

/// What a reader demands, and a writer of its base.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checks {
    /// How objects must be encrypted.
    pub encryption: RequiredEncryption,
    /// Names of buckets that records may also say: replicas hold what was committed elsewhere.
    pub replicas: Vec<String>,
    /// Public keys, one of which must have signed a record. Without any, no signature is demanded.
    pub verify_keys: Vec<VerifyKey>,
    /// The least number that the current version may have.
    pub min_version: Option<Number>,
    /// The key that is pinned by a name that only KMS knows.
    alias: Option<Arc<AliasPin>>,
}

impl Checks {
    /// Checks with one demand on encryption, and no replicas, keys to verify with or least number.
    pub fn new(encryption: RequiredEncryption) -> Self {
        Self {
            encryption,
            replicas: Vec::new(),
            verify_keys: Vec::new(),
            min_version: None,
            alias: None,
        }
    }

    /// Checks that demand the KMS key with an alias, which is looked up once, beside the first request.
    ///
    /// Whoever may move the alias decides what is believed: pin an ARN against them.
    pub fn with_alias(keys: Arc<dyn Keys>, name: &str) -> Self {
        Self {
            alias: Some(Arc::new(AliasPin::new(keys, name))),
            ..Self::new(RequiredEncryption::Kms(None))
        }
    }

    /// The same, but for who signed: for what a person is shown and asked about.
    pub fn without_signatures(&self) -> Self {
        Self {
            verify_keys: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether only what is signed is believed.
    pub fn demand_signatures(&self) -> bool {
        !self.verify_keys.is_empty()
    }

    /// How objects must be encrypted, once the key that an alias stands for is known.
    pub(crate) async fn required_encryption(&self) -> Result<RequiredEncryption, StoreError> {
        Ok(match &self.alias {
            Some(alias) => RequiredEncryption::Kms(Some(alias.resolved().await?.clone())),
            None => self.encryption.clone(),
        })
    }

    /// Checks that a record is signed by a key that is pinned, if any is.
    pub(crate) fn check_signature(&self, entry: &SignedRecord) -> Result<(), Distrust> {
        if !self.demand_signatures() {
            return Ok(());
        }
        let signature = entry.signature().ok_or(Distrust::Unsigned)?;
        if self.verify_keys.iter().any(|key| key.verifies(entry.line(), signature)) {
            return Ok(());
        }
        // What an unverified record says of its signer is good for the message only.
        let is_pinned = |signer: &Checksum| self.verify_keys.iter().any(|key| key.fingerprint() == *signer);
        match entry.record().signer.filter(|signer| !is_pinned(signer)) {
            Some(found) => Err(Distrust::OtherSigner { found }),
            None => Err(Distrust::BadSignature),
        }
    }

    /// Checks that a version is not older than it may be.
    pub(crate) fn check_number(&self, found: Option<Number>) -> Result<(), Distrust> {
        match (found, self.min_version) {
            (_, None) => Ok(()),
            (Some(found), Some(wanted)) if found >= wanted => Ok(()),
            (found, Some(wanted)) => Err(Distrust::TooOld { found, wanted }),
        }
    }

    /// Checks that a record is about the item, in the place, that it was asked for.
    pub(crate) fn check_place(&self, record: &Record, item: &Item, store: &dyn Store) -> Result<(), Distrust> {
        let bucket_is_right = record.bucket == store.bucket() || self.replicas.contains(&record.bucket);
        if !bucket_is_right {
            Err(Distrust::OtherBucket {
                found: record.bucket.clone(),
                wanted: store.bucket().to_owned(),
            })
        } else if record.item != *item {
            Err(Distrust::OtherItem {
                found: record.item.clone(),
                wanted: item.clone(),
            })
        } else {
            Ok(())
        }
    }
}

/// Why what a store answered is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    /// Its signature is none of a pinned key.
    #[error("its signature is not valid")]
    BadSignature,
    /// The bytes do not have the checksum that record or key say.
    #[error("its bytes do not match their checksum {wanted}")]
    Checksum {
        /// What record or key say.
        wanted: String,
    },
    /// Not encrypted as demanded.
    #[error("it has {found}, but {wanted} is required")]
    Encryption {
        /// What the store says.
        found: Encryption,
        /// What is demanded.
        wanted: RequiredEncryption,
    },
    /// Its life has ended.
    #[error("it expired at {at}, by the store's clock")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The bytes carry the mark of another commit than their record's.
    #[error("it was put by another commit than its record says")]
    OtherCommit,
    /// Committed to another bucket.
    #[error("it was committed to the bucket {found}, not to {wanted}")]
    OtherBucket {
        /// What the record says.
        found: String,
        /// Where it was read.
        wanted: String,
    },
    /// About another item.
    #[error("it is the {found}, not the {wanted}")]
    OtherItem {
        /// What the record says.
        found: Item,
        /// What was asked for.
        wanted: Item,
    },
    /// Encrypted under another key than the pinned one.
    #[error("it is encrypted under {found}, but {wanted} is pinned")]
    OtherKey {
        /// The key that the store says.
        found: String,
        /// The key that is pinned.
        wanted: String,
    },
    /// A log entry of another version.
    #[error("its record is of version {found}, not of {wanted}")]
    OtherNumber {
        /// What the record says.
        found: Number,
        /// What was asked for.
        wanted: Number,
    },
    /// Signed, as the record says, by a key that is not pinned.
    #[error("it is signed by another key than the pinned: by {found}, as it says")]
    OtherSigner {
        /// The fingerprint that the record says.
        found: Checksum,
    },
    /// Older than the reader accepts.
    #[error("{}, but {wanted} is the least that is accepted", version(*found))]
    TooOld {
        /// Its number; 0.3.4's versions have none.
        found: Option<Number>,
        /// The least number that is accepted.
        wanted: Number,
    },
    /// Not signed, but a signature is demanded.
    #[error("it is not signed, but a signature is required")]
    Unsigned,
}

impl Distrust {
    /// Whether it is that no pinned key has signed it.
    pub fn is_of_signature(&self) -> bool {
        matches!(self, Self::BadSignature | Self::OtherSigner { .. } | Self::Unsigned)
    }
}

fn version(number: Option<Number>) -> String {
    match number {
        Some(number) => format!("it is version {number}"),
        None => "it has no number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-6f1d3f7c1a11";

    fn kms(pin: Option<&str>) -> Checks {
        Checks::new(RequiredEncryption::Kms(pin.map(|pin| pin.parse().expect("a pin"))))
    }

    #[test]
    fn the_readers_setting_decides_about_encryption() {
        let key = Encryption::Kms(ARN.to_owned());
        for (checks, accepted) in [
            (Checks::new(RequiredEncryption::Store), vec![Encryption::Store]),
            (Checks::new(RequiredEncryption::Aes256), vec![Encryption::Aes256]),
            (kms(None), vec![key.clone(), Encryption::KmsDsse(ARN.to_owned())]),
            (kms(Some(ARN)), vec![key.clone(), Encryption::KmsDsse(ARN.to_owned())]),
        ] {
            let all = [
                Encryption::Aes256,
                key.clone(),
                Encryption::KmsDsse(ARN.to_owned()),
                Encryption::None,
                Encryption::Other("SSE-C".to_owned()),
                Encryption::Store,
            ];
            for found in all {
                assert_eq!(
                    checks.encryption.check(&found).is_ok(),
                    accepted.contains(&found),
                    "{checks:?} {found:?}"
                );
            }
        }
    }
}
