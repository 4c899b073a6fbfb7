//! KMS as tests see it, past all checks.

use std::sync::Arc;

use super::{KeyState, NewKey, Usage};
use crate::state::Shared;

/// The keys of one account in one region; see [`Handle::kms`](crate::Handle::kms).
///
/// Aliases may be given with or without `alias/`. A key that doesn't exist is the test's mistake: these panic.
#[derive(Clone)]
pub struct Kms {
    shared: Arc<Shared>,
    account: String,
    region: String,
}

impl Kms {
    pub(crate) fn new(shared: Arc<Shared>, account: String, region: String) -> Self {
        Self {
            shared,
            account,
            region,
        }
    }

    /// Makes a symmetric key with this alias; returns its ARN.
    pub fn create_key(&self, alias: &str) -> String {
        self.create(alias, Usage::EncryptDecrypt)
    }

    /// Makes a multi-Region key with this alias; returns its ARN. It has no replicas.
    pub fn create_multi_region_key(&self, alias: &str) -> String {
        let arn = self.create_key(alias);
        let arn = self
            .shared
            .state()
            .keys
            .make_multi_region(&arn)
            .expect("the key exists");
        self.set_alias(alias, &arn);
        arn
    }

    /// Makes an `ECC_NIST_P256` key with this alias; returns its ARN.
    pub fn create_signing_key(&self, alias: &str) -> String {
        self.create(alias, Usage::SignVerify)
    }

    fn create(&self, alias: &str, usage: Usage) -> String {
        let (account, region) = (self.account.as_str(), self.region.as_str());
        let new = NewKey {
            account,
            region,
            usage,
            created: self.shared.clock.now(),
        };
        let arn = self.shared.state().keys.create(&new, self.shared.next()).arn.clone();
        self.set_alias(alias, &arn);
        arn
    }

    /// Points an alias at a key, whether it existed or not, and whatever the kinds of the keys.
    pub fn set_alias(&self, alias: &str, key_arn: &str) {
        self.shared
            .state()
            .keys
            .aliases
            .insert(self.alias(alias), key_arn.to_owned());
    }

    /// Removes an alias.
    pub fn remove_alias(&self, alias: &str) {
        self.shared.state().keys.aliases.remove(&self.alias(alias));
    }

    /// The ARNs of all keys that were made here, those of AWS's own left out.
    pub fn keys(&self) -> Vec<String> {
        let state = self.shared.state();
        let here = state
            .keys
            .all()
            .filter(|key| key.account == self.account && key.region == self.region);
        here.filter(|key| !key.aws_managed).map(|key| key.arn.clone()).collect()
    }

    /// The ARN of the key that an alias points at.
    pub fn resolve(&self, alias: &str) -> Option<String> {
        self.shared.state().keys.aliases.get(&self.alias(alias)).cloned()
    }

    fn alias(&self, alias: &str) -> (String, String, String) {
        let name = alias.strip_prefix("alias/").unwrap_or(alias);
        (self.account.clone(), self.region.clone(), format!("alias/{name}"))
    }

    /// Disables a key: S3 can't read or write under it any more.
    pub fn disable_key(&self, key_arn: &str) {
        self.set_state(key_arn, KeyState::Disabled);
    }

    /// Enables a key again, also one that was to be deleted.
    pub fn enable_key(&self, key_arn: &str) {
        self.set_state(key_arn, KeyState::Enabled);
    }

    /// Schedules a key's deletion.
    pub fn schedule_key_deletion(&self, key_arn: &str) {
        self.set_state(key_arn, KeyState::PendingDeletion);
    }

    fn set_state(&self, key_arn: &str, state: KeyState) {
        self.shared
            .state()
            .keys
            .by_arn_mut(key_arn)
            .expect("the key exists")
            .state = state;
    }

    /// Turns a key's yearly rotation on or off.
    pub fn set_rotation(&self, key_arn: &str, on: bool) {
        let mut state = self.shared.state();
        let key = state.keys.by_arn_mut(key_arn).expect("the key exists");
        key.rotation_days = on.then_some(365);
    }

    /// A key's policy.
    pub fn key_policy(&self, key_arn: &str) -> String {
        let state = self.shared.state();
        state.keys.by_arn(key_arn).expect("the key exists").policy.clone()
    }

    /// Replaces a key's policy.
    pub fn set_key_policy(&self, key_arn: &str, policy: &str) {
        let mut state = self.shared.state();
        policy.clone_into(&mut state.keys.by_arn_mut(key_arn).expect("the key exists").policy);
    }

    /// The public half of a signing key, DER `SubjectPublicKeyInfo`.
    pub fn public_key(&self, key_arn: &str) -> Vec<u8> {
        let state = self.shared.state();
        let key = state.keys.by_arn(key_arn).expect("the key exists");
        key.material.public_key().expect("the key is a signing key")
    }

    /// Signs as `Sign` would (`ECDSA_SHA_256`, `RAW`): a DER signature.
    pub fn sign(&self, key_arn: &str, message: &[u8]) -> Vec<u8> {
        let state = self.shared.state();
        let key = state.keys.by_arn(key_arn).expect("the key exists");
        key.material.sign(message).expect("the key is a signing key")
    }

    /// The ARN of the account's AWS managed key `aws/s3`.
    pub fn aws_s3_key(&self) -> String {
        let (account, region) = (self.account.as_str(), self.region.as_str());
        let created = self.shared.clock.now();
        let new = NewKey {
            account,
            region,
            usage: Usage::EncryptDecrypt,
            created,
        };
        self.shared.state().keys.aws_s3(&new, self.shared.next())
    }
}

impl std::fmt::Debug for Kms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kms")
            .field("account", &self.account)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}
