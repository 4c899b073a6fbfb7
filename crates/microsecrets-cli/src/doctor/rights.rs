//! The rights that a role needs, each tried without changing anything.
//!
//! A right to a key can be tried with KMS's `DryRun`, but only directly: where the key's policy demands that S3 asks
//! (`kms:ViaService`, as `setup` has it), a direct try is denied to everybody.

use microsecrets::item::{Access, ItemError, MayWrite};
use microsecrets::layout::{Item, SERVICES};
use microsecrets::setup::Role;
use microsecrets::setup::cloud::{Cloud, KeyPurpose, Trial};
use microsecrets::store::{Delete, ETag, Encryption, ErrorKind, List, StoreError, Which};

use super::Finding;
use crate::error::CliError;

/// A role's rights on a service, tried on one of its items.
pub(crate) struct Rights<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) access: Access<'a>,
    pub(crate) role: Role,
    /// What the names of AWS's things begin with: `arn:aws`.
    pub(crate) partition: &'a str,
    /// The name of the service's key, and of the key that signs.
    pub(crate) key_name: Option<&'a str>,
    pub(crate) signing_key_name: Option<&'a str>,
    /// How the head is encrypted.
    pub(crate) head: Option<&'a Encryption>,
}

impl Rights<'_> {
    /// Tries each of them.
    pub(crate) async fn all(&self) -> Vec<Finding> {
        if self.role == Role::Signer {
            return self.to_sign().await;
        }
        let (get, has_read) = self.to_get().await;
        let mut findings = vec![get];
        findings.extend(self.to_use_key(Trial::Decrypt, has_read).await);
        if self.role != Role::Reader {
            findings.push(self.to_list().await);
        }
        match self.role {
            Role::Writer => {
                findings.push(self.to_put().await);
                findings.extend(self.to_use_key(Trial::GenerateDataKey, has_read).await);
                findings.extend(self.to_look_up().await);
            }
            Role::Pruner { .. } => findings.push(self.to_delete().await),
            _ => {}
        }
        findings
    }

    /// `s3:GetObject` and, through S3, `kms:Decrypt`: gets the head. And whether that was possible.
    async fn to_get(&self) -> (Finding, bool) {
        const CHECK: &str = "right-get";
        let head = self.access.item.head_key();
        match self.access.head_record().await {
            Ok(Some(_)) => {
                let says = "s3:GetObject and, through S3, kms:Decrypt are allowed: the head was read";
                (Finding::ok(CHECK, head, says), true)
            }
            Ok(None) => {
                let says = "there is no head to try s3:GetObject on";
                let why = "whether what is published will be readable is not known";
                let mend = "publish something, and run it again";
                (Finding::warning(CHECK, head, says, why).mend(mend), false)
            }
            Err(ItemError::Store(error)) => {
                let is_denied = matches!(error.kind, ErrorKind::Denied(_));
                (self.failed(CHECK, head, error.into(), is_denied), false)
            }
            Err(error @ ItemError::DeniedOrAbsent { .. }) => (self.failed(CHECK, head, error.into(), true), false),
            // It was read, and is not believed: that is no question of rights.
            Err(_) => (
                Finding::ok(CHECK, head, "s3:GetObject is allowed: the head was read"),
                true,
            ),
        }
    }

    async fn to_list(&self) -> Finding {
        const CHECK: &str = "right-list";
        let prefix = format!("{SERVICES}{}/", self.access.item.service());
        match self.access.store.list(List::prefix(&prefix).limit(1)).await {
            Ok(_) => Finding::ok(CHECK, prefix, "s3:ListBucket is allowed"),
            Err(error) => self.of_store(CHECK, prefix, error),
        }
    }

    async fn to_put(&self) -> Finding {
        const CHECK: &str = "right-put";
        let head = self.access.item.head_key();
        match self.access.may_write().await {
            Ok(MayWrite::Yes) => {
                let says = "s3:PutObject is allowed: the head was put where it is, under a condition that cannot hold";
                Finding::ok(CHECK, head, says)
            }
            Ok(MayWrite::ConditionIgnored) => {
                let says = "the store wrote though If-None-Match: * did not hold (the same bytes as before)";
                let why = "of two writers both may win, and one version is lost";
                Finding::failure(CHECK, head, says, why).mend("use a store that keeps to conditions, as Amazon S3 does")
            }
            Ok(_) => {
                let says = "there is no head to try s3:PutObject on";
                let why = "whether something can be published is not known";
                Finding::warning(CHECK, head, says, why).mend("publish something: microsecrets upload")
            }
            Err(ItemError::Store(error)) => self.of_store(CHECK, head, error),
            Err(error) => self.failed(CHECK, head, error.into(), false),
        }
    }

    /// Removes what is not there, if it is what it is not: whatever is allowed, nothing is removed.
    async fn to_delete(&self) -> Finding {
        const CHECK: &str = "right-delete";
        let key = format!("{}nothing", self.access.item.versions_prefix());
        let nobodys = Which::WithETag(ETag::new("\"00000000000000000000000000000000\""));
        match self.access.store.delete(Delete::new(&key, nobodys)).await {
            Ok(_) => Finding::ok(CHECK, key, "s3:DeleteObject is allowed"),
            Err(error) if error.kind == ErrorKind::PreconditionFailed => {
                Finding::ok(CHECK, key, "s3:DeleteObject is allowed")
            }
            Err(error) => self.of_store(CHECK, key, error),
        }
    }

    /// A right to the key, tried directly.
    async fn to_use_key(&self, trial: Trial, has_read: bool) -> Option<Finding> {
        let check = match trial {
            Trial::Decrypt => "right-decrypt",
            _ => "right-generate-data-key",
        };
        let (Encryption::Kms(arn) | Encryption::KmsDsse(arn)) = self.head? else {
            return None;
        };
        let (bucket, head) = (self.access.store.bucket(), self.access.item.head_key());
        let object = format!("arn:{}:s3:::{bucket}/{head}", self.partition);
        let action = trial.action();
        Some(match self.cloud.may(trial, arn, &object).await {
            Ok(()) => Finding::ok(check, arn, format!("{action} is allowed (DryRun)")),
            Err(error) if has_read && matches!(error.kind, ErrorKind::Denied(_)) => {
                let proved = match trial {
                    Trial::Decrypt => "that the head was read proves it for requests through S3",
                    _ => "for requests through S3 (kms:ViaService) only a write would show it",
                };
                let says = format!("{action} is denied to who asks directly, as it may be: {proved}");
                Finding::ok(check, arn, says)
            }
            Err(error) => self.of_store(check, arn.clone(), error),
        })
    }

    /// `kms:DescribeKey`.
    async fn to_look_up(&self) -> Option<Finding> {
        const CHECK: &str = "right-describe-key";
        let name = self.key_name?;
        Some(match self.cloud.key(name, KeyPurpose::Encrypt).await {
            Ok(_) => Finding::ok(CHECK, name, "kms:DescribeKey is allowed"),
            Err(error) => self.of_store(CHECK, name.to_owned(), error),
        })
    }

    /// What who signs needs, which no service other than KMS has a part in.
    async fn to_sign(&self) -> Vec<Finding> {
        const CHECK: &str = "right-sign";
        let Some(name) = self.signing_key_name else {
            return Vec::new();
        };
        let sign = match self.cloud.may(Trial::Sign, name, "").await {
            Ok(()) => Finding::ok(CHECK, name, "kms:Sign is allowed (DryRun)"),
            Err(error) => self.of_store(CHECK, name.to_owned(), error),
        };
        let export = match self.cloud.public_key(name).await {
            Ok(_) => Finding::ok("right-get-public-key", name, "kms:GetPublicKey is allowed"),
            Err(error) => self.of_store("right-get-public-key", name.to_owned(), error),
        };
        vec![sign, export]
    }

    fn of_store(&self, check: &'static str, subject: String, error: StoreError) -> Finding {
        let is_denied = matches!(error.kind, ErrorKind::Denied(_));
        self.failed(check, subject, error.into(), is_denied)
    }

    /// What was tried in vain. Who may not do it has not the role.
    fn failed(&self, check: &'static str, subject: String, error: CliError, is_denied: bool) -> Finding {
        let (told, hint) = error.told();
        let why = match is_denied {
            true => format!("a {} needs this right", self.role),
            false => format!("whether a {} may do this is not known", self.role),
        };
        Finding::failure(check, subject, told, why).mend_if(hint)
    }
}

/// The item that rights are tried on: the one that was named, or the first there is.
pub(crate) fn tried_on(named: Item, items: &[Item]) -> Item {
    match items.contains(&named) {
        true => named,
        false => items.first().cloned().unwrap_or(named),
    }
}
