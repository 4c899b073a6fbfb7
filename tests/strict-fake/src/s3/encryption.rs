//! Server-side encryption: which key S3 takes, and whether the caller may use it.

use s3s::dto::ServerSideEncryption;
use s3s::{S3Error, S3Result};

use super::{Ask, bucket};
use crate::digest::unbase64;
use crate::errors::s3_error;
use crate::iam::{Decision, refusal};
use crate::kms::{self, KeyError, NewKey, Usage};
use crate::log::KmsUse;
use crate::object::{Attributes, Sse};

/// What a write says of encryption.
pub(super) struct Wanted {
    pub(super) algorithm: Option<ServerSideEncryption>,
    pub(super) key: Option<String>,
    pub(super) bucket_key: Option<bool>,
    pub(super) context: Option<String>,
}

impl Ask {
    /// The encryption of a new object: what the request says, else the bucket's default, else SSE-S3.
    /// The right to use the key is not asked for here.
    pub(super) fn choose_encryption(&self, bucket_name: &str, wanted: Wanted) -> S3Result<(Sse, Option<String>)> {
        let mut wanted = wanted;
        if wanted.algorithm.is_none() {
            if wanted.key.is_some() || wanted.context.is_some() {
                let message = "The header x-amz-server-side-encryption must be present with a key or context.";
                return Err(s3_error(400, "InvalidArgument", message));
            }
            self.apply_default(bucket_name, &mut wanted)?;
        }
        let dsse = match wanted.algorithm.as_ref().map(ServerSideEncryption::as_str) {
            None | Some("AES256") => {
                if wanted.key.is_some() {
                    let message = "Server Side Encryption with AWS KMS managed key requires HTTP header \
                                   x-amz-server-side-encryption : aws:kms";
                    return Err(s3_error(400, "InvalidArgument", message));
                }
                return Ok((Sse::Aes256, None));
            }
            Some("aws:kms") => false,
            Some("aws:kms:dsse") => true,
            Some(_) => {
                let message = "The encryption method specified is not supported";
                return Err(s3_error(400, "InvalidEncryptionAlgorithmError", message));
            }
        };
        let key = self.resolve_key(bucket_name, wanted.key.as_deref())?;
        let bucket_key = wanted.bucket_key.unwrap_or_default();
        Ok((Sse::Kms { key, bucket_key, dsse }, wanted.context))
    }

    fn apply_default(&self, bucket_name: &str, wanted: &mut Wanted) -> S3Result<()> {
        let state = self.shared.state();
        let config = &bucket(&state, bucket_name)?.config;
        let rule = config.encryption.as_ref().and_then(|c| c.rules.first());
        if let Some(rule) = rule {
            let default = rule.apply_server_side_encryption_by_default.as_ref();
            wanted.algorithm = default.map(|d| d.sse_algorithm.clone());
            wanted.key = default.and_then(|d| d.kms_master_key_id.clone());
            wanted.bucket_key = wanted.bucket_key.or(rule.bucket_key_enabled);
        }
        Ok(())
    }

    /// The ARN of a key by whatever name it was given. The account is the caller's, the region the bucket's.
    fn resolve_key(&self, bucket_name: &str, name: Option<&str>) -> S3Result<String> {
        let mut state = self.shared.state();
        let region = bucket(&state, bucket_name)?.region.clone();
        let account = self.caller.principal.account.as_str();
        let Some(name) = name else {
            let created = self.shared.clock.now();
            let new = NewKey {
                account,
                region: &region,
                usage: Usage::EncryptDecrypt,
                created,
            };
            return Ok(state.keys.aws_s3(&new, self.shared.next()));
        };
        Ok(state.keys.find(account, &region, name).map_err(key_error)?.arn.clone())
    }

    /// Asks KMS for a data key (`GenerateDataKey`) or to open one (`Decrypt`), as S3 does on the caller's behalf.
    pub(super) fn use_key(
        &self,
        operation: &str,
        bucket_name: &str,
        key: &str,
        attributes: &Attributes,
    ) -> S3Result<()> {
        let Sse::Kms {
            key: arn, bucket_key, ..
        } = &attributes.sse
        else {
            return Ok(());
        };
        let state = self.shared.state();
        let principal = &self.caller.principal;
        let resource = match bucket_key {
            true => format!("arn:aws:s3:::{bucket_name}"),
            false => format!("arn:aws:s3:::{bucket_name}/{key}"),
        };
        let encryption_context = encryption_context(attributes, resource)?;
        let kms_key = state.keys.by_arn(arn);
        let kms_key = kms_key.ok_or_else(|| key_error(KeyError::NotFound(format!("Key '{arn}' does not exist"))))?;
        let via = format!("s3.{}.amazonaws.com", kms_key.region);
        if kms_key.aws_managed {
            // The key's policy lets everybody in the account use it through S3, and nobody else.
            if kms_key.account != principal.account {
                let message = "The ciphertext refers to a customer master key that does not exist, does not exist in \
                               this region, or you are not allowed to access.";
                return Err(s3_error(403, "AccessDenied", message));
            }
        } else {
            let action = format!("kms:{operation}");
            let mut context = kms::context(&state.keys, arn, &principal.account, &encryption_context);
            context.set("kms:ViaService", &via);
            self.exchange.add_global_conditions(principal, &mut context);
            let (decision, kind) = self.caller.may(&action, arn, &context);
            if decision != Decision::Allowed {
                let message = refusal(&principal.arn(), &action, arn, decision, kind);
                return Err(s3_error(403, "AccessDenied", message));
            }
        }
        kms_key.usable(Usage::EncryptDecrypt, operation).map_err(key_error)?;
        self.shared.log.add_kms(KmsUse {
            operation: operation.to_owned(),
            key_arn: arn.clone(),
            principal: principal.arn(),
            encryption_context,
            via: Some(via),
            object: Some(key.to_owned()),
        });
        Ok(())
    }
}

/// S3's own pair, and what the request added.
fn encryption_context(attributes: &Attributes, resource: String) -> S3Result<Vec<(String, String)>> {
    let mut context = vec![("aws:s3:arn".to_owned(), resource)];
    if let Some(added) = &attributes.encryption_context {
        let pairs = unbase64(added).and_then(|json| serde_json::from_slice::<serde_json::Value>(&json).ok());
        let pairs = pairs.as_ref().and_then(serde_json::Value::as_object);
        let pairs = pairs.ok_or_else(|| {
            s3_error(
                400,
                "InvalidArgument",
                "The header x-amz-server-side-encryption-context is not valid.",
            )
        })?;
        context.extend(
            pairs
                .iter()
                .map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())),
        );
    }
    Ok(context)
}

/// KMS's errors as S3 hands them on.
fn key_error(error: KeyError) -> S3Error {
    let (code, message) = match error {
        KeyError::NotFound(message) => ("KMS.NotFoundException", message),
        KeyError::Disabled(message) => ("KMS.DisabledException", message),
        KeyError::InvalidState(message) => ("KMS.KMSInvalidStateException", message),
        KeyError::InvalidUsage(message) => ("KMS.InvalidKeyUsageException", message),
    };
    s3_error(400, code, message)
}
