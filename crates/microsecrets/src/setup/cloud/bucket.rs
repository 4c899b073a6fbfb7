//! How a bucket is set up: each part is looked at and put right by itself.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketNamespace,
    BucketVersioningStatus, CreateBucketConfiguration, ExpirationStatus, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, ServerSideEncryption, VersioningConfiguration,
};
use serde_json::Value;

use super::{Cloud, action, if_there};
use crate::setup::{MULTIPART_DAYS, NONCURRENT_DAYS};
use crate::store::{ErrorKind, StoreError};

/// The id of our lifecycle rule.
const RULE: &str = "microsecrets";

/// A part of how a bucket is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BucketPart {
    /// Object versioning: what was overwritten or deleted can be looked at, and put back.
    Versioning,
    /// Nothing in it can be made public.
    PublicAccess,
    /// Objects belong to the bucket's owner, and ACLs mean nothing.
    Ownership,
    /// What is put without a key is not under a KMS key, so that every reader refuses it.
    Encryption,
    /// Old versions and unfinished uploads go away by themselves.
    Lifecycle,
}

impl BucketPart {
    /// All of them but the policy, in the order they are put right in.
    pub const ALL: [Self; 5] = [
        Self::Versioning,
        Self::PublicAccess,
        Self::Ownership,
        Self::Encryption,
        Self::Lifecycle,
    ];

    /// What it shall be.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Versioning => "versioning is on",
            Self::PublicAccess => "all public access is blocked",
            Self::Ownership => "object ownership is enforced (no ACLs)",
            Self::Encryption => "default encryption is SSE-S3",
            Self::Lifecycle => "noncurrent versions are kept 90 days, unfinished multipart uploads aborted after 7",
        }
    }

    /// Why it matters.
    pub fn why(self) -> &'static str {
        match self {
            Self::Versioning => "without it a head that was overwritten or removed cannot be put back",
            Self::PublicAccess => "a policy or an ACL could open the bucket to everybody",
            Self::Ownership => "with ACLs an object can belong to somebody else, and be opened to others",
            Self::Encryption => {
                "with SSE-KMS by default, what somebody puts without a key lands under a KMS key, and readers that pin none believe it"
            }
            Self::Lifecycle => "old versions and parts of uploads are kept, and paid for, for ever",
        }
    }

    /// The setting's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Versioning => "versioning",
            Self::PublicAccess => "public-access",
            Self::Ownership => "ownership",
            Self::Encryption => "encryption",
            Self::Lifecycle => "lifecycle",
        }
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Found {
    /// It is as it shall be.
    Right,
    /// It is something else, which this says.
    Wrong(String),
}

impl Found {
    fn of(right: bool, otherwise: impl Into<String>) -> Self {
        match right {
            true => Self::Right,
            false => Self::Wrong(otherwise.into()),
        }
    }
}

impl Cloud {
    /// The region of a bucket; `None` when there is none with this name.
    ///
    /// # Errors
    ///
    /// One that is somebody else's is denied.
    pub async fn bucket_region(&self, bucket: &str, owner: &str) -> Result<Option<String>, StoreError> {
        let asked = action("s3:ListBucket", bucket);
        let head = self
            .ask(&asked, || {
                self.s3.head_bucket().bucket(bucket).expected_bucket_owner(owner).send()
            })
            .await;
        match head {
            Ok(output) => Ok(Some(output.bucket_region.unwrap_or_else(|| self.region().to_owned()))),
            Err(error) => match &error.kind {
                ErrorKind::NoSuchBucket => Ok(None),
                ErrorKind::Unexpected { status: Some(404) } => Ok(None),
                ErrorKind::WrongRegion { region: Some(region) } => Ok(Some(region.clone())),
                _ => Err(error),
            },
        }
    }

    /// Makes a bucket in the region that is worked in. One that is ours already is no error.
    pub async fn create_bucket(&self, bucket: &str, account_regional: bool) -> Result<(), StoreError> {
        let asked = action("s3:CreateBucket", bucket);
        // us-east-1 is the one region that must not be said.
        let place = (self.region() != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region()))
                .build()
        });
        let namespace = account_regional.then_some(BucketNamespace::AccountRegional);
        let create = || {
            self.s3
                .create_bucket()
                .bucket(bucket)
                .set_create_bucket_configuration(place.clone())
                .set_bucket_namespace(namespace.clone())
                .send()
        };
        if_there(self.ask(&asked, create).await, &["BucketAlreadyOwnedByYou"]).map(drop)
    }

    /// Looks at a part.
    pub async fn look_at_bucket(&self, bucket: &str, owner: &str, part: BucketPart) -> Result<Found, StoreError> {
        match part {
            BucketPart::Versioning => self.versioning(bucket, owner).await,
            BucketPart::PublicAccess => self.public_access(bucket, owner).await,
            BucketPart::Ownership => self.ownership(bucket, owner).await,
            BucketPart::Encryption => self.default_encryption(bucket, owner).await,
            BucketPart::Lifecycle => {
                let rules = self.lifecycle(bucket, owner).await?;
                let (kept, aborted) = (rules.iter().any(expires_noncurrent), rules.iter().any(aborts));
                Ok(Found::of(kept && aborted, "no rule does that for all of it"))
            }
        }
    }

    async fn versioning(&self, bucket: &str, owner: &str) -> Result<Found, StoreError> {
        let asked = action("s3:GetBucketVersioning", bucket);
        let get = || {
            self.s3
                .get_bucket_versioning()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let status = self.ask(&asked, get).await?.status;
        Ok(match status {
            Some(BucketVersioningStatus::Enabled) => Found::Right,
            Some(_) => Found::Wrong("suspended".to_owned()),
            None => Found::Wrong("off".to_owned()),
        })
    }

    async fn public_access(&self, bucket: &str, owner: &str) -> Result<Found, StoreError> {
        let asked = action("s3:GetBucketPublicAccessBlock", bucket);
        let get = || {
            self.s3
                .get_public_access_block()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let found = if_there(self.ask(&asked, get).await, &["NoSuchPublicAccessBlockConfiguration"])?;
        let block = found.and_then(|output| output.public_access_block_configuration);
        let all = block.is_some_and(|block| {
            [
                block.block_public_acls,
                block.ignore_public_acls,
                block.block_public_policy,
                block.restrict_public_buckets,
            ]
            .iter()
            .all(|part| *part == Some(true))
        });
        Ok(Found::of(all, "not all of it"))
    }

    async fn ownership(&self, bucket: &str, owner: &str) -> Result<Found, StoreError> {
        let asked = action("s3:GetBucketOwnershipControls", bucket);
        let get = || {
            self.s3
                .get_bucket_ownership_controls()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let found = if_there(self.ask(&asked, get).await, &["OwnershipControlsNotFoundError"])?;
        let rules = found
            .and_then(|output| output.ownership_controls)
            .map(|controls| controls.rules);
        let enforced = rules.is_some_and(|rules| {
            rules
                .iter()
                .any(|rule| rule.object_ownership == ObjectOwnership::BucketOwnerEnforced)
        });
        Ok(Found::of(enforced, "ACLs are in force"))
    }

    async fn default_encryption(&self, bucket: &str, owner: &str) -> Result<Found, StoreError> {
        let asked = action("s3:GetEncryptionConfiguration", bucket);
        let get = || {
            self.s3
                .get_bucket_encryption()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let absent = &["ServerSideEncryptionConfigurationNotFoundError"];
        let found = if_there(self.ask(&asked, get).await, absent)?;
        let rules = found.and_then(|output| output.server_side_encryption_configuration);
        let rules = rules.map(|configuration| configuration.rules).unwrap_or_default();
        let other = rules
            .iter()
            .filter_map(|rule| rule.apply_server_side_encryption_by_default.as_ref())
            .find(|default| default.sse_algorithm != ServerSideEncryption::Aes256);
        Ok(match other {
            None => Found::Right,
            Some(other) => Found::Wrong(crate::aws::clean(other.sse_algorithm.as_str())),
        })
    }

    async fn lifecycle(&self, bucket: &str, owner: &str) -> Result<Vec<LifecycleRule>, StoreError> {
        let asked = action("s3:GetLifecycleConfiguration", bucket);
        let get = || {
            self.s3
                .get_bucket_lifecycle_configuration()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let found = if_there(self.ask(&asked, get).await, &["NoSuchLifecycleConfiguration"])?;
        Ok(found.and_then(|output| output.rules).unwrap_or_default())
    }

    /// Puts a part right.
    pub async fn mend_bucket(&self, bucket: &str, owner: &str, part: BucketPart) -> Result<(), StoreError> {
        match part {
            BucketPart::Versioning => {
                let asked = action("s3:PutBucketVersioning", bucket);
                let on = VersioningConfiguration::builder()
                    .status(BucketVersioningStatus::Enabled)
                    .build();
                let put = || {
                    let put = self
                        .s3
                        .put_bucket_versioning()
                        .bucket(bucket)
                        .expected_bucket_owner(owner);
                    put.versioning_configuration(on.clone()).send()
                };
                self.ask(&asked, put).await.map(drop)
            }
            BucketPart::PublicAccess => {
                let asked = action("s3:PutBucketPublicAccessBlock", bucket);
                let all = PublicAccessBlockConfiguration::builder()
                    .block_public_acls(true)
                    .ignore_public_acls(true)
                    .block_public_policy(true)
                    .restrict_public_buckets(true)
                    .build();
                let put = || {
                    let put = self
                        .s3
                        .put_public_access_block()
                        .bucket(bucket)
                        .expected_bucket_owner(owner);
                    put.public_access_block_configuration(all.clone()).send()
                };
                self.ask(&asked, put).await.map(drop)
            }
            BucketPart::Ownership => self.enforce_ownership(bucket, owner).await,
            BucketPart::Encryption => {
                let asked = action("s3:PutEncryptionConfiguration", bucket);
                // Without a configuration of its own a bucket has SSE-S3.
                let delete = || {
                    self.s3
                        .delete_bucket_encryption()
                        .bucket(bucket)
                        .expected_bucket_owner(owner)
                        .send()
                };
                self.ask(&asked, delete).await.map(drop)
            }
            BucketPart::Lifecycle => self.add_lifecycle(bucket, owner).await,
        }
    }

    async fn enforce_ownership(&self, bucket: &str, owner: &str) -> Result<(), StoreError> {
        let asked = action("s3:PutBucketOwnershipControls", bucket);
        let rule = OwnershipControlsRule::builder()
            .object_ownership(ObjectOwnership::BucketOwnerEnforced)
            .build();
        let controls = rule.and_then(|rule| OwnershipControls::builder().rules(rule).build());
        let controls = controls.map_err(|error| asked.malformed("the request cannot be made").with_source(error))?;
        let put = || {
            let put = self
                .s3
                .put_bucket_ownership_controls()
                .bucket(bucket)
                .expected_bucket_owner(owner);
            put.ownership_controls(controls.clone()).send()
        };
        self.ask(&asked, put).await.map(drop)
    }

    /// Adds our rule to those there are; the whole configuration is replaced by S3.
    async fn add_lifecycle(&self, bucket: &str, owner: &str) -> Result<(), StoreError> {
        let asked = action("s3:PutLifecycleConfiguration", bucket);
        let mut rules = self.lifecycle(bucket, owner).await?;
        rules.retain(|rule| rule.id() != Some(RULE));
        let ours = LifecycleRule::builder()
            .id(RULE)
            .filter(LifecycleRuleFilter::builder().prefix("").build())
            .status(ExpirationStatus::Enabled)
            .noncurrent_version_expiration(
                NoncurrentVersionExpiration::builder()
                    .noncurrent_days(days(NONCURRENT_DAYS))
                    .build(),
            )
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder()
                    .days_after_initiation(days(MULTIPART_DAYS))
                    .build(),
            )
            .build();
        let malformed = |error| asked.malformed("the request cannot be made").with_source(error);
        rules.push(ours.map_err(malformed)?);
        let all = BucketLifecycleConfiguration::builder()
            .set_rules(Some(rules))
            .build()
            .map_err(malformed)?;
        let put = || {
            let put = self
                .s3
                .put_bucket_lifecycle_configuration()
                .bucket(bucket)
                .expected_bucket_owner(owner);
            put.lifecycle_configuration(all.clone()).send()
        };
        self.ask(&asked, put).await.map(drop)
    }

    /// The bucket's policy; `None` when it has none.
    pub async fn bucket_policy(&self, bucket: &str, owner: &str) -> Result<Option<Value>, StoreError> {
        let asked = action("s3:GetBucketPolicy", bucket);
        let get = || {
            self.s3
                .get_bucket_policy()
                .bucket(bucket)
                .expected_bucket_owner(owner)
                .send()
        };
        let found = if_there(self.ask(&asked, get).await, &["NoSuchBucketPolicy"])?;
        let Some(text) = found.and_then(|output| output.policy) else {
            return Ok(None);
        };
        let parsed = serde_json::from_str(&text);
        parsed.map(Some).map_err(|_| asked.malformed("the policy is not JSON"))
    }

    /// Replaces the bucket's policy.
    pub async fn put_bucket_policy(&self, bucket: &str, owner: &str, policy: &Value) -> Result<(), StoreError> {
        let asked = action("s3:PutBucketPolicy", bucket);
        let put = || {
            let put = self.s3.put_bucket_policy().bucket(bucket).expected_bucket_owner(owner);
            put.policy(policy.to_string()).send()
        };
        self.ask(&asked, put).await.map(drop)
    }
}

/// Days, as S3's protocol counts them.
fn days(days: u32) -> i32 {
    i32::try_from(days).unwrap_or(i32::MAX)
}

/// Whether a rule is in force for every object.
fn is_for_all(rule: &LifecycleRule) -> bool {
    #[allow(deprecated, reason = "what older tools wrote")]
    let own = rule.prefix();
    let filtered = rule.filter().is_some_and(|filter| {
        filter.tag.is_some()
            || filter.and.is_some()
            || filter.object_size_greater_than.is_some()
            || filter.object_size_less_than.is_some()
            || filter.prefix.as_deref().is_some_and(|prefix| !prefix.is_empty())
    });
    *rule.status() == ExpirationStatus::Enabled && own.is_none_or(str::is_empty) && !filtered
}

/// Whether a rule keeps noncurrent versions long enough, and not for ever.
fn expires_noncurrent(rule: &LifecycleRule) -> bool {
    let days = rule
        .noncurrent_version_expiration()
        .and_then(|expiration| expiration.noncurrent_days);
    is_for_all(rule) && days.is_some_and(|days| days >= self::days(NONCURRENT_DAYS))
}

fn aborts(rule: &LifecycleRule) -> bool {
    is_for_all(rule) && rule.abort_incomplete_multipart_upload().is_some()
}
