//! KMS: the keys and aliases of all accounts and regions, and what can go wrong with them.
//!
//! `api` speaks the protocol, `ops` are the operations, `crypto` does the cryptography, `handle` is what tests use.
//! Key policies are stored and not evaluated: rights come from the callers' identity-based policies alone.

mod api;
mod crypto;
mod handle;
mod ops;

use std::collections::BTreeMap;
use std::time::SystemTime;

pub(crate) use api::{is_request, serve};
pub use handle::Kms;

use crate::iam::Context;

/// `KeyState`, as far as the fake knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    PendingDeletion,
}

impl KeyState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    EncryptDecrypt,
    SignVerify,
}

impl Usage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "ENCRYPT_DECRYPT",
            Self::SignVerify => "SIGN_VERIFY",
        }
    }

    pub(crate) fn spec(self) -> &'static str {
        match self {
            Self::EncryptDecrypt => "SYMMETRIC_DEFAULT",
            Self::SignVerify => "ECC_NIST_P256",
        }
    }
}

/// A key.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) usage: Usage,
    pub(crate) state: KeyState,
    pub(crate) description: String,
    pub(crate) created: SystemTime,
    pub(crate) deletion: Option<SystemTime>,
    /// `aws/s3` and its like: usable by everyone in the account through their service, and not directly.
    pub(crate) aws_managed: bool,
    pub(crate) multi_region: bool,
    pub(crate) rotation_days: Option<u64>,
    pub(crate) policy: String,
    pub(crate) tags: BTreeMap<String, String>,
    material: crypto::Material,
}

/// What `create` needs to know.
pub(crate) struct NewKey<'a> {
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) usage: Usage,
    pub(crate) created: SystemTime,
}

/// Why a key can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    NotFound(String),
    Disabled(String),
    InvalidState(String),
    InvalidUsage(String),
}

/// All keys and aliases.
#[derive(Default)]
pub(crate) struct Keys {
    /// By ARN.
    keys: BTreeMap<String, Key>,
    /// By account, region and name; the value is the key's ARN.
    aliases: BTreeMap<(String, String, String), String>,
}

impl Keys {
    /// All keys, by their ARNs.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Key> {
        self.keys.values()
    }

    /// Makes a key. `serial` makes its id, so that ids are the same in every run.
    pub(crate) fn create(&mut self, new: &NewKey<'_>, serial: u64) -> &mut Key {
        let id = format!(
            "{serial:08x}-5ec2-4e75-8000-{:012x}",
            serial.wrapping_mul(0x9e37_79b9) & 0xffff_ffff_ffff
        );
        let arn = format!("arn:aws:kms:{}:{}:key/{id}", new.region, new.account);
        let policy = format!(
            "{{\n  \"Version\" : \"2012-10-17\",\n  \"Id\" : \"key-default-1\",\n  \"Statement\" : [ {{\n    \"Sid\" : \
             \"Enable IAM User Permissions\",\n    \"Effect\" : \"Allow\",\n    \"Principal\" : {{\n      \"AWS\" : \
             \"arn:aws:iam::{}:root\"\n    }},\n    \"Action\" : \"kms:*\",\n    \"Resource\" : \"*\"\n  }} ]\n}}",
            new.account
        );
        let key = Key {
            id,
            arn: arn.clone(),
            account: new.account.to_owned(),
            region: new.region.to_owned(),
            usage: new.usage,
            state: KeyState::Enabled,
            description: String::new(),
            created: new.created,
            deletion: None,
            aws_managed: false,
            multi_region: false,
            rotation_days: None,
            policy,
            tags: BTreeMap::new(),
            material: crypto::Material::new(new.usage),
        };
        self.keys.entry(arn).or_insert(key)
    }

    /// Makes a key a multi-Region one: its id, and so its ARN, is another then.
    pub(crate) fn make_multi_region(&mut self, arn: &str) -> Option<String> {
        let mut key = self.keys.remove(arn)?;
        let id = format!("mrk-{}", key.id.replace('-', ""));
        (key.arn, key.multi_region) = (arn.replace(&key.id, &id), true);
        key.id = id;
        let arn = key.arn.clone();
        self.keys.insert(arn.clone(), key);
        Some(arn)
    }

    /// The account's `aws/s3` key in a region, made when it is first needed, as AWS does.
    pub(crate) fn aws_s3(&mut self, new: &NewKey<'_>, serial: u64) -> String {
        let alias = (new.account.to_owned(), new.region.to_owned(), "alias/aws/s3".to_owned());
        if let Some(arn) = self.aliases.get(&alias) {
            return arn.clone();
        }
        let key = self.create(new, serial);
        key.aws_managed = true;
        key.description = "Default key that protects my S3 objects when no other key is defined".into();
        let arn = key.arn.clone();
        self.aliases.insert(alias, arn.clone());
        arn
    }

    pub(crate) fn by_arn(&self, arn: &str) -> Option<&Key> {
        self.keys.get(arn)
    }

    pub(crate) fn by_arn_mut(&mut self, arn: &str) -> Option<&mut Key> {
        self.keys.get_mut(arn)
    }

    /// Finds a key by its id, its ARN, an alias or an alias's ARN. What names no account is looked up in `account`,
    /// which is the caller's, wherever the bucket may live.
    pub(crate) fn find(&self, account: &str, region: &str, name: &str) -> Result<&Key, KeyError> {
        let missing = |name: &str| KeyError::NotFound(format!("Key '{name}' does not exist"));
        if let Some((prefix, resource)) = name.strip_prefix("arn:aws:kms:").and_then(|rest| {
            let mut fields = rest.splitn(3, ':');
            Some(((fields.next()?, fields.next()?), fields.next()?))
        }) {
            // A region answers only for its own keys.
            if prefix.0 != region {
                return Err(KeyError::NotFound(format!("Invalid arn {}", prefix.0)));
            }
            return match resource.strip_prefix("key/") {
                Some(_) => self.keys.get(name).ok_or_else(|| missing(name)),
                None => self.by_alias(prefix.1, prefix.0, resource),
            };
        }
        if name.starts_with("alias/") {
            return self.by_alias(account, region, name);
        }
        let arn = format!("arn:aws:kms:{region}:{account}:key/{name}");
        self.keys.get(&arn).ok_or_else(|| missing(&arn))
    }

    fn by_alias(&self, account: &str, region: &str, alias: &str) -> Result<&Key, KeyError> {
        let key = self
            .aliases
            .get(&(account.to_owned(), region.to_owned(), alias.to_owned()));
        key.and_then(|arn| self.keys.get(arn))
            .ok_or_else(|| KeyError::NotFound(format!("Alias arn:aws:kms:{region}:{account}:{alias} is not found.")))
    }

    /// The names of a key's aliases.
    pub(crate) fn aliases_of(&self, arn: &str) -> Vec<String> {
        self.aliases
            .iter()
            .filter(|(_, a)| *a == arn)
            .map(|((_, _, name), _)| name.clone())
            .collect()
    }
}

impl Key {
    /// Whether the key can do this now.
    pub(crate) fn usable(&self, usage: Usage, operation: &str) -> Result<(), KeyError> {
        match self.state {
            KeyState::Disabled => return Err(KeyError::Disabled(format!("{} is disabled.", self.arn))),
            KeyState::PendingDeletion => {
                return Err(KeyError::InvalidState(format!("{} is pending deletion.", self.arn)));
            }
            KeyState::Enabled => {}
        }
        if self.usage != usage {
            let (arn, usage) = (&self.arn, self.usage.name());
            return Err(KeyError::InvalidUsage(format!(
                "{arn} key usage is {usage} which is not valid for {operation}."
            )));
        }
        Ok(())
    }
}

/// The condition keys of a use of a key.
pub(crate) fn context(keys: &Keys, arn: &str, account: &str, encryption: &[(String, String)]) -> Context {
    let mut context = Context::default();
    context.set("kms:CallerAccount", account);
    context.set_all("kms:ResourceAliases", keys.aliases_of(arn));
    for (name, value) in encryption {
        context.set(&format!("kms:EncryptionContext:{name}"), value);
    }
    context.set_all(
        "kms:EncryptionContextKeys",
        encryption.iter().map(|(name, _)| name.clone()).collect(),
    );
    if let Some(key) = keys.by_arn(arn) {
        context.set("kms:KeySpec", key.usage.spec());
        context.set("kms:KeyUsage", key.usage.name());
        context.set("aws:ResourceAccount", &key.account);
    }
    context
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(account: &'static str) -> NewKey<'static> {
        NewKey {
            account,
            region: "us-east-1",
            usage: Usage::EncryptDecrypt,
            created: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_key_has_four_names() {
        let mut keys = Keys::default();
        let (id, arn) = {
            let key = keys.create(&new("111122223333"), 1);
            (key.id.clone(), key.arn.clone())
        };
        let alias = (
            "111122223333".to_owned(),
            "us-east-1".to_owned(),
            "alias/microsecrets-api".to_owned(),
        );
        keys.aliases.insert(alias, arn.clone());
        let find = |account: &str, name: &str| keys.find(account, "us-east-1", name).map(|k| k.arn.clone());
        let alias_arn = "arn:aws:kms:us-east-1:111122223333:alias/microsecrets-api";
        for name in [&id, &arn, "alias/microsecrets-api", alias_arn] {
            assert_eq!(find("111122223333", name), Ok(arn.clone()), "{name}");
        }
        // From another account, only names that carry the account work.
        for (name, works) in [
            (&*id, false),
            (&*arn, true),
            ("alias/microsecrets-api", false),
            (alias_arn, true),
        ] {
            assert_eq!(find("999988887777", name).is_ok(), works, "{name}");
        }
        assert!(keys.find("111122223333", "eu-west-1", &arn).is_err());
    }

    #[test]
    fn the_managed_key_is_made_once() {
        let mut keys = Keys::default();
        let first = keys.aws_s3(&new("111122223333"), 1);
        assert_eq!(keys.aws_s3(&new("111122223333"), 2), first);
        assert_ne!(keys.aws_s3(&new("999988887777"), 3), first);
        assert!(keys.by_arn(&first).is_some_and(|k| k.aws_managed));
    }
}
