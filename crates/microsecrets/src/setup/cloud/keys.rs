//! KMS keys: which there are, how they are set up, and what may be done with them.

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{
    DataKeySpec, DryRunModifierType, KeySpec, KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec, Tag,
};
use serde_json::Value;

use super::{Cloud, action, if_there, with_resource};
use crate::aws::from_sdk;
use crate::name::ServiceName;
use crate::setup::TAG;
use crate::store::{ErrorKind, StoreError};

/// How often a key is tried to be made.
const MAX_ATTEMPTS: usize = 4;
/// The most pages of keys that are looked through.
const MAX_PAGES: usize = 1_000;

/// What a service's key is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyPurpose {
    /// Encrypts the service's objects: symmetric.
    Encrypt,
    /// Signs the service's records: ECC_NIST_P256.
    Sign,
}

impl KeyPurpose {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Sign => "sign",
        }
    }

    /// The alias of a service's key; `None` where a dot in the name forbids it.
    pub fn alias(self, service: &ServiceName) -> Option<String> {
        match self {
            Self::Encrypt => service.default_key_alias(),
            Self::Sign => service.default_signing_alias(),
        }
    }

    fn usage(self) -> KeyUsageType {
        match self {
            Self::Encrypt => KeyUsageType::EncryptDecrypt,
            Self::Sign => KeyUsageType::SignVerify,
        }
    }

    fn spec(self) -> KeySpec {
        match self {
            Self::Encrypt => KeySpec::SymmetricDefault,
            Self::Sign => KeySpec::EccNistP256,
        }
    }
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyFacts {
    /// Its ARN.
    pub arn: String,
    /// Why it cannot be used for its purpose; `None` when it can.
    pub unusable: Option<String>,
    /// Whether it is the account's own, and not one of AWS's.
    pub customer_managed: bool,
}

/// Something that a role may do with a key, tried without doing it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Trial {
    /// `kms:Decrypt`.
    Decrypt,
    /// `kms:GenerateDataKey`.
    GenerateDataKey,
    /// `kms:Sign`.
    Sign,
}

impl Trial {
    /// The right's name.
    pub fn action(self) -> &'static str {
        match self {
            Self::Decrypt => "kms:Decrypt",
            Self::GenerateDataKey => "kms:GenerateDataKey",
            Self::Sign => "kms:Sign",
        }
    }
}

impl Cloud {
    /// The key with a name (an alias, an id or an ARN); `None` when there is none.
    pub async fn key(&self, name: &str, purpose: KeyPurpose) -> Result<Option<KeyFacts>, StoreError> {
        let asked = action("kms:DescribeKey", name);
        let describe = || self.kms.describe_key().key_id(name).send();
        let found = if_there(self.ask(&asked, describe).await, &["NotFoundException"])?;
        let Some(output) = found else { return Ok(None) };
        // Not the same as no key: `setup` would make another.
        let metadata = output
            .key_metadata
            .ok_or_else(|| asked.malformed("it describes no key"))?;
        let is_right = metadata.key_state == Some(KeyState::Enabled)
            && metadata.key_usage == Some(purpose.usage())
            && metadata.key_spec == Some(purpose.spec());
        let said = |text: Option<&str>| crate::aws::clean(text.unwrap_or("unknown"));
        let unusable = (!is_right).then(|| {
            format!(
                "its state is {}, its use {}, its spec {}",
                said(metadata.key_state.as_ref().map(KeyState::as_str)),
                said(metadata.key_usage.as_ref().map(KeyUsageType::as_str)),
                said(metadata.key_spec.as_ref().map(KeySpec::as_str)),
            )
        });
        let customer_managed = metadata
            .key_manager
            .is_none_or(|manager| manager.as_str() == "CUSTOMER");
        let arn = metadata.arn.ok_or_else(|| asked.malformed("the key has no ARN"))?;
        Ok(Some(KeyFacts {
            arn,
            unusable,
            customer_managed,
        }))
    }

    /// A key that was made for a service and never got its alias: whoever made it was interrupted.
    ///
    /// Looks through the account's keys by their tags, so it is asked only when there is no alias.
    pub async fn unnamed_key(&self, service: &ServiceName, purpose: KeyPurpose) -> Result<Option<String>, StoreError> {
        let asked = action("kms:ListKeys", "*");
        let mut marker = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .ask(&asked, || self.kms.list_keys().set_marker(marker.clone()).send())
                .await?;
            for key in page.keys.unwrap_or_default() {
                let Some(arn) = key.key_arn else { continue };
                if self.is_tagged(&arn, service).await?
                    && self.key(&arn, purpose).await?.is_some_and(|key| key.unusable.is_none())
                {
                    return Ok(Some(arn));
                }
            }
            marker = page.next_marker;
            if !page.truncated || marker.is_none() {
                return Ok(None);
            }
        }
        Err(asked.malformed("its pages do not end"))
    }

    async fn is_tagged(&self, arn: &str, service: &ServiceName) -> Result<bool, StoreError> {
        let asked = action("kms:ListResourceTags", arn);
        let tags = match self
            .ask(&asked, || self.kms.list_resource_tags().key_id(arn).send())
            .await
        {
            Ok(output) => output.tags.unwrap_or_default(),
            // A key that its own policy hides is nobody's we look for.
            Err(error) if matches!(error.kind, ErrorKind::Denied(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(tags
            .iter()
            .any(|tag| tag.tag_key == TAG && tag.tag_value == service.as_str()))
    }

    /// Makes a key, tagged with whose it is, under a policy. Answers its ARN.
    ///
    /// When an answer is lost the key may be there all the same: it is looked for by its tag before another is made.
    pub async fn create_key(
        &self,
        service: &ServiceName,
        purpose: KeyPurpose,
        policy: &Value,
    ) -> Result<String, StoreError> {
        let mut attempts = 1;
        loop {
            match self.try_to_create_key(service, purpose, policy).await {
                Err(error) if was_lost(&error) => match self.unnamed_key(service, purpose).await? {
                    Some(arn) => return Ok(arn),
                    None if attempts >= MAX_ATTEMPTS => return Err(error),
                    None => attempts += 1,
                },
                created => return created,
            }
        }
    }

    async fn try_to_create_key(
        &self,
        service: &ServiceName,
        purpose: KeyPurpose,
        policy: &Value,
    ) -> Result<String, StoreError> {
        let asked = action("kms:CreateKey", "*");
        let tag = Tag::builder().tag_key(TAG).tag_value(service.as_str()).build();
        let tag = tag.map_err(|error| asked.malformed("the request cannot be made").with_source(error))?;
        self.aws.authenticate(&asked).await?;
        let sent = self
            .kms
            .create_key()
            .description(format!("microsecrets: {service}, to {}", purpose.name()))
            .key_usage(purpose.usage())
            .key_spec(purpose.spec())
            .policy(policy.to_string())
            .tags(tag)
            .send()
            .await;
        let output = sent.map_err(|error| with_resource(&asked, from_sdk(&asked, error)))?;
        let arn = output.key_metadata.and_then(|metadata| metadata.arn);
        arn.ok_or_else(|| asked.malformed("the key has no ARN"))
    }

    /// Gives a key its alias; `false` when the alias was given to another one meanwhile.
    pub async fn create_alias(&self, alias: &str, arn: &str) -> Result<bool, StoreError> {
        let asked = action("kms:CreateAlias", alias);
        let create = || self.kms.create_alias().alias_name(alias).target_key_id(arn).send();
        let created = if_there(self.ask(&asked, create).await, &["AlreadyExistsException"])?;
        Ok(created.is_some())
    }

    /// The public key of a key that signs, as a DER-encoded SubjectPublicKeyInfo.
    pub async fn public_key(&self, arn: &str) -> Result<Vec<u8>, StoreError> {
        let asked = action("kms:GetPublicKey", arn);
        let output = self
            .ask(&asked, || self.kms.get_public_key().key_id(arn).send())
            .await?;
        let key = output.public_key.ok_or_else(|| asked.malformed("it holds no key"))?;
        Ok(key.into_inner())
    }

    /// Whether a key's material is replaced every year by itself.
    pub async fn rotates(&self, arn: &str) -> Result<bool, StoreError> {
        let asked = action("kms:GetKeyRotationStatus", arn);
        let get = || self.kms.get_key_rotation_status().key_id(arn).send();
        Ok(self.ask(&asked, get).await?.key_rotation_enabled)
    }

    /// Has a key's material replaced every year.
    pub async fn rotate(&self, arn: &str) -> Result<(), StoreError> {
        let asked = action("kms:EnableKeyRotation", arn);
        let put = || self.kms.enable_key_rotation().key_id(arn).send();
        self.ask(&asked, put).await.map(drop)
    }

    /// A key's policy.
    pub async fn key_policy(&self, arn: &str) -> Result<Value, StoreError> {
        let asked = action("kms:GetKeyPolicy", arn);
        let get = || self.kms.get_key_policy().key_id(arn).policy_name("default").send();
        let text = self.ask(&asked, get).await?.policy.unwrap_or_default();
        serde_json::from_str(&text).map_err(|_| asked.malformed("the policy is not JSON"))
    }

    /// Replaces a key's policy.
    pub async fn put_key_policy(&self, arn: &str, policy: &Value) -> Result<(), StoreError> {
        let asked = action("kms:PutKeyPolicy", arn);
        let put = || {
            let put = self.kms.put_key_policy().key_id(arn).policy_name("default");
            put.policy(policy.to_string()).send()
        };
        self.ask(&asked, put).await.map(drop)
    }

    /// Whether something may be done with a key, without doing it (`DryRun`).
    ///
    /// The context is what S3 would send; that the request would come through S3 (`kms:ViaService`) cannot be tried.
    pub async fn may(&self, trial: Trial, arn: &str, object_arn: &str) -> Result<(), StoreError> {
        const CONTEXT: &str = "aws:s3:arn";
        let asked = action(trial.action(), arn);
        let answer = match trial {
            Trial::Decrypt => {
                let decrypt = || {
                    let decrypt = self.kms.decrypt().key_id(arn).encryption_context(CONTEXT, object_arn);
                    decrypt
                        .dry_run(true)
                        .dry_run_modifiers(DryRunModifierType::IgnoreCiphertext)
                        .send()
                };
                self.ask(&asked, decrypt).await.map(drop)
            }
            Trial::GenerateDataKey => {
                let generate = || {
                    let generate = self
                        .kms
                        .generate_data_key()
                        .key_id(arn)
                        .encryption_context(CONTEXT, object_arn);
                    generate.key_spec(DataKeySpec::Aes256).dry_run(true).send()
                };
                self.ask(&asked, generate).await.map(drop)
            }
            Trial::Sign => {
                let sign = || {
                    let sign = self.kms.sign().key_id(arn).message(Blob::new(b"nothing"));
                    let sign = sign
                        .message_type(MessageType::Raw)
                        .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
                    sign.dry_run(true).send()
                };
                self.ask(&asked, sign).await.map(drop)
            }
        };
        // "It would have succeeded" is said as an error.
        if_there(answer, &["DryRunOperationException"]).map(drop)
    }
}

/// Whether a request may have been carried out though there was no answer.
fn was_lost(error: &StoreError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Unavailable | ErrorKind::TimedOut { .. } | ErrorKind::Throttled
    )
}
