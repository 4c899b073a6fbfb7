//! How a bucket is set up, from behind: for tests of what looks at that and puts it right.

use s3s::dto::{ObjectOwnership, OwnershipControls, OwnershipControlsRule, ServerSideEncryptionRule};
use s3s::dto::{ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration};

use crate::handle::Handle;
use crate::policy;
use crate::state::Versioning;

/// The bucket's settings. The bucket must exist.
impl Handle {
    /// Turns versioning on, or suspends it.
    pub fn set_versioning(&self, bucket: &str, on: bool) {
        let versioning = if on { Versioning::Enabled } else { Versioning::Suspended };
        self.with_bucket(bucket, |bucket| bucket.versioning = versioning);
    }

    /// Takes away what keeps the bucket from being made public.
    pub fn unblock_public_access(&self, bucket: &str) {
        self.with_bucket(bucket, |bucket| bucket.config.public_access_block = None);
    }

    /// Lets ACLs be in force, or not.
    pub fn enforce_ownership(&self, bucket: &str, enforced: bool) {
        let object_ownership = ObjectOwnership::from_static(match enforced {
            true => ObjectOwnership::BUCKET_OWNER_ENFORCED,
            false => ObjectOwnership::OBJECT_WRITER,
        });
        let rules = vec![OwnershipControlsRule { object_ownership }];
        self.with_bucket(bucket, |bucket| {
            bucket.enforced_ownership = enforced;
            bucket.config.ownership = Some(OwnershipControls { rules });
        });
    }

    /// Puts what is put without a word about encryption under `aws/s3`.
    pub fn encrypt_under_kms_by_default(&self, bucket: &str) {
        let default = ServerSideEncryptionByDefault {
            kms_master_key_id: None,
            sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AWS_KMS),
        };
        let rules = vec![ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(default),
            bucket_key_enabled: Some(false),
        }];
        let configuration = ServerSideEncryptionConfiguration { rules };
        self.with_bucket(bucket, |bucket| bucket.config.encryption = Some(configuration));
    }

    /// Takes the rules of the bucket's lifecycle away.
    pub fn clear_lifecycle(&self, bucket: &str) {
        self.with_bucket(bucket, |bucket| bucket.config.lifecycle = None);
    }

    /// The bucket's policy.
    pub fn bucket_policy(&self, bucket: &str) -> Option<String> {
        self.with_bucket(bucket, |bucket| bucket.config.policy.clone())
    }

    /// Replaces the bucket's policy, or takes it away.
    ///
    /// # Errors
    /// What the fake doesn't understand in it: it evaluates everything or nothing.
    pub fn set_bucket_policy(&self, bucket: &str, policy: Option<&str>) -> Result<(), String> {
        let statements = policy.map(policy::parse_bucket_policy).transpose()?;
        self.with_bucket(bucket, |bucket| {
            bucket.config.policy = policy.map(str::to_owned);
            bucket.config.policy_statements = statements.unwrap_or_default();
        });
        Ok(())
    }
}
