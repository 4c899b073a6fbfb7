//! How objects must be encrypted, and under which key.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::Distrust;
use crate::keys::Keys;
use crate::store::{Encryption, ErrorKind, Operation, StoreError};

/// How objects must be encrypted to be believed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RequiredEncryption {
    /// With SSE-S3: for S3-compatible stores without KMS, where it proves nothing about the writer.
    Aes256,
    /// With SSE-KMS, under the pinned key if one is pinned. Without a pin it proves only that the object is encrypted:
    /// a plain PutObject can name the key `aws/s3`.
    Kms(Option<KeyPin>),
    /// By the store itself (folder, memory).
    Store,
}

impl RequiredEncryption {
    /// Checks how an object is encrypted.
    pub(crate) fn check(&self, found: &Encryption) -> Result<(), Distrust> {
        let matches = match (self, found) {
            (Self::Store, Encryption::Store) => true,
            (Self::Aes256, Encryption::Aes256) => true,
            (Self::Kms(None), Encryption::Kms(_) | Encryption::KmsDsse(_)) => true,
            (Self::Kms(Some(pin)), Encryption::Kms(key) | Encryption::KmsDsse(key)) => {
                if !pin.matches(key) {
                    return Err(Distrust::OtherKey {
                        found: key.clone(),
                        wanted: pin.to_string(),
                    });
                }
                true
            }
            _ => false,
        };
        if matches {
            Ok(())
        } else {
            Err(Distrust::Encryption {
                found: found.clone(),
                wanted: self.clone(),
            })
        }
    }
}

impl fmt::Display for RequiredEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aes256 => f.write_str("SSE-S3 (AES256)"),
            Self::Kms(None) => f.write_str("SSE-KMS"),
            Self::Kms(Some(pin)) => write!(f, "SSE-KMS under {pin}"),
            Self::Store => f.write_str("the store's own encryption"),
        }
    }
}

/// A KMS key that is pinned, by ARN or by id.
///
/// A multi-Region key (`mrk-...`) is one key in several regions: its ARN's region is not compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPin(String);

impl KeyPin {
    /// Whether an ARN, as S3 answers it, is of the pinned key.
    pub fn matches(&self, arn: &str) -> bool {
        let (Some(found), true) = (KeyArn::parse(arn), arn.len() < 512) else {
            return false;
        };
        match KeyArn::parse(&self.0) {
            None => found.id == self.0,
            Some(wanted) if wanted.id.starts_with("mrk-") => (found.account, found.id) == (wanted.account, wanted.id),
            Some(_) => arn == self.0,
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of a key's ARN that are compared.
struct KeyArn<'a> {
    account: &'a str,
    id: &'a str,
}

impl<'a> KeyArn<'a> {
    /// `arn:<partition>:kms:<region>:<account>:key/<id>`
    fn parse(arn: &'a str) -> Option<Self> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        match parts[..] {
            ["arn", _, "kms", _, account, resource] => Some(Self {
                account,
                id: resource.strip_prefix("key/")?,
            }),
            _ => None,
        }
    }
}

impl FromStr for KeyPin {
    type Err = KeyPinError;

    fn from_str(text: &str) -> Result<Self, KeyPinError> {
        let is_key = KeyArn::parse(text).map_or_else(|| is_key_id(text), |arn| !arn.id.is_empty());
        if is_key {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyPinError)
        }
    }
}

/// Whether a text is a key's id as KMS makes them, a UUID or `mrk-` and 32 hex digits, and not the name of anything else.
fn is_key_id(text: &str) -> bool {
    let (digits, lengths): (&str, &[usize]) = match text.strip_prefix("mrk-") {
        Some(digits) => (digits, &[32]),
        None => (text, &[8, 4, 4, 4, 12]),
    };
    let groups = || digits.split('-');
    groups().map(str::len).eq(lengths.iter().copied())
        && groups().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for KeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Neither a KMS key's ARN nor its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a KMS key's ARN or id")]
pub struct KeyPinError;

/// A KMS key that is pinned by an alias, or by another name that only KMS knows.
///
/// The alias is resolved once, beside the first request that needs the answer. It does not bind who may move it: pin an
/// ARN against them.
pub(super) struct AliasPin {
    keys: Arc<dyn Keys>,
    name: String,
    pin: OnceCell<KeyPin>,
}

impl AliasPin {
    pub(super) fn new(keys: Arc<dyn Keys>, name: &str) -> Self {
        Self {
            keys,
            name: name.to_owned(),
            pin: OnceCell::new(),
        }
    }

    /// The key that the name stood for when it was first asked for.
    pub(super) async fn resolved(&self) -> Result<&KeyPin, StoreError> {
        self.pin.get_or_try_init(|| self.resolve()).await
    }

    async fn resolve(&self) -> Result<KeyPin, StoreError> {
        let malformed = |what: &str| {
            let kind = ErrorKind::Malformed(what.to_owned());
            StoreError::new(Operation::DescribeKey, &self.name, kind)
        };
        match self.keys.resolve(&self.name).await? {
            Encryption::Kms(arn) => arn.parse().map_err(|_| malformed("it answers no key's ARN")),
            _ => Err(malformed("it answers no key")),
        }
    }
}

impl fmt::Debug for AliasPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AliasPin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/0d5eb2d7-0000-4000-8000-6f1d3f7c1a11";

    #[test]
    fn only_an_arn_or_an_id_is_a_pin() {
        let id = "mrk-0d5eb2d7000040008000";
        for name in [
            "production-key",
            "alias/microsecrets-api",
            "0d5eb2d7",
            id,
            "arn:aws:kms:::alias/x",
            "",
        ] {
            assert!(name.parse::<KeyPin>().is_err(), "{name} has to be looked up");
        }
    }

    #[test]
    fn only_the_pinned_key_matches() {
        let id = &ARN[ARN.len() - 36..];
        for (pin, matching) in [(ARN, true), (id, true), ("0d5eb2d7-0000-4000-8000-6f1d3f7c1a12", false)] {
            assert_eq!(pin.parse::<KeyPin>().expect("a pin").matches(ARN), matching, "{pin}");
        }
        let pin: KeyPin = ARN.parse().expect("a pin");
        for other in [
            ARN.replace("us-east-1", "us-east-2"),
            ARN.replace("111122223333", "111122223334"),
            ARN.replace(":key/", ":alias/"),
            id.to_owned(),
            String::new(),
        ] {
            assert!(!pin.matches(&other), "{other}");
        }
    }

    #[test]
    fn a_multi_region_key_is_one_key_in_every_region() {
        let arn = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab";
        let pin: KeyPin = arn.parse().expect("a pin");
        assert!(pin.matches(&arn.replace("us-east-1", "eu-west-1")));
        assert!(!pin.matches(&arn.replace("111122223333", "111122223334")));
    }

    #[test]
    fn an_alias_is_no_pin() {
        for bad in [
            "",
            "alias/x",
            "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api",
            "arn:aws:s3:::bucket",
        ] {
            assert_eq!(bad.parse::<KeyPin>(), Err(KeyPinError), "{bad}");
        }
    }
}
