//! Keys in AWS KMS.

#![allow(
    clippy::result_large_err,
    reason = "an error is made once, when a request has failed"
)]

use std::sync::OnceLock;

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Builder;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyState, KeyUsageType, MessageType, SigningAlgorithmSpec};

use super::Keys;
use crate::aws::{Asked, Aws, checked_region};
use crate::store::{Encryption, ErrorKind, Operation, StoreError};

/// The longest message that KMS signs as it is.
const LONGEST_RECORD: usize = 4_096;

/// The keys of an account's KMS. No client is made before it is needed.
pub struct KmsKeys {
    aws: Aws,
    home: OnceLock<Client>,
}

impl KmsKeys {
    /// The keys in the region of a connection, and by ARN in any other.
    pub fn new(aws: Aws) -> Self {
        Self {
            aws,
            home: OnceLock::new(),
        }
    }

    /// The client for a key: in the region of its ARN, when it is one.
    fn client(&self, asked: &Asked, name: &str) -> Result<Client, StoreError> {
        match Arn::parse(name) {
            Some(arn) if arn.region != self.aws.region() => {
                let region = checked_region(arn.region).map_err(|error| StoreError {
                    operation: asked.operation,
                    ..error
                })?;
                Ok(Client::from_conf(
                    Builder::from(self.aws.config()).region(region).build(),
                ))
            }
            _ => Ok(self.home.get_or_init(|| Client::new(self.aws.config())).clone()),
        }
    }
}

#[async_trait]
impl Keys for KmsKeys {
    async fn resolve(&self, name: &str) -> Result<Encryption, StoreError> {
        if Arn::parse(name).is_some_and(|arn| arn.is_key()) {
            return Ok(Encryption::Kms(name.to_owned()));
        }
        let asked = &Asked::new(Operation::DescribeKey, name);
        let client = self.client(asked, name)?;
        let describe = || client.describe_key().key_id(name).send();
        let output = self.aws.ask(asked, describe).await?;
        let key = output
            .key_metadata
            .ok_or_else(|| asked.malformed("it describes no key"))?;
        let usable = key.key_state.as_ref().is_none_or(|state| *state == KeyState::Enabled)
            && key
                .key_usage
                .as_ref()
                .is_none_or(|usage| *usage == KeyUsageType::EncryptDecrypt);
        if !usable {
            let state = key.key_state.map(|state| crate::aws::clean(state.as_str()));
            let usage = key.key_usage.map(|usage| crate::aws::clean(usage.as_str()));
            let why = format!(
                "its state is {}, its use {}",
                state.as_deref().unwrap_or("unknown"),
                usage.as_deref().unwrap_or("unknown")
            );
            return Err(asked.error(ErrorKind::KeyUnusable).with_source(why));
        }
        match key.arn {
            Some(arn) if Arn::parse(&arn).is_some_and(|arn| arn.is_key()) => Ok(Encryption::Kms(arn)),
            _ => Err(asked.malformed("the key has no ARN")),
        }
    }

    async fn sign(&self, name: &str, record: &[u8]) -> Result<Vec<u8>, StoreError> {
        let asked = &Asked::new(Operation::Sign, name);
        if record.len() > LONGEST_RECORD {
            let why = format!("KMS signs at most {LONGEST_RECORD} bytes");
            return Err(asked.error(ErrorKind::InvalidSetting(why)));
        }
        let client = self.client(asked, name)?;
        let sign = || {
            client
                .sign()
                .key_id(name)
                .message(Blob::new(record))
                .message_type(MessageType::Raw)
                .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256)
                .send()
        };
        let output = self.aws.ask(asked, sign).await?;
        match output.signature {
            Some(signature) if !signature.as_ref().is_empty() => Ok(signature.into_inner()),
            _ => Err(asked.malformed("it holds no signature")),
        }
    }

    async fn public_key(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let asked = &Asked::new(Operation::GetPublicKey, name);
        let client = self.client(asked, name)?;
        let get = || client.get_public_key().key_id(name).send();
        let output = self.aws.ask(asked, get).await?;
        let key = output.public_key.ok_or_else(|| asked.malformed("it holds no key"))?;
        Ok(key.into_inner())
    }
}

/// `arn:PARTITION:kms:REGION:ACCOUNT:KIND/ID`.
struct Arn<'a> {
    region: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_one = arn == "arn" && partition.starts_with("aws") && service == "kms" && !region.is_empty();
        (is_one && is_account).then_some(Self { region, resource })
    }

    fn is_key(&self) -> bool {
        self.resource
            .strip_prefix("key/")
            .is_some_and(|id| !id.is_empty() && !id.contains('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_arn_of_a_key_is_a_key() {
        for (name, is_key) in [
            ("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab", true),
            ("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/mrk-1", true),
            ("arn:aws:kms:eu-west-1:111122223333:alias/microsecrets-api", false),
            ("arn:aws:iam::111122223333:role/x", false),
            ("arn:aws:kms:eu-west-1:1:key/x", false),
            ("arn:aws:kms:eu-west-1:111122223333:key/", false),
            ("alias/microsecrets-api", false),
            ("1234abcd-12ab", false),
        ] {
            assert_eq!(Arn::parse(name).is_some_and(|arn| arn.is_key()), is_key, "{name}");
        }
    }
}
