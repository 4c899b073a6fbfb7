//! Setting up on AWS: for each role the policies that give what it needs and no more, and a CloudFormation template.
//!
//! Three kinds of policies stand together, and each is made here as JSON; nothing here asks AWS anything.
//!
//! * What a role may do is its identity policy: [`role_policy`].
//! * Who may use a key is the key's policy: [`key_policy`] and [`signing_key_policy`]. A service's readers and writers
//!   may, through S3 and for the service's objects; everybody else may not, the account's root user and whoever
//!   administers the key included. Who administers a key may change its policy, though: CloudTrail shows
//!   `PutKeyPolicy`.
//! * What nobody may do with the bucket is the bucket's policy: [`bucket_policy`]. It is the same for all services,
//!   since a bucket policy holds 20 KB and has no compare-and-swap, and it only denies. [`merge_bucket_policy`] puts it
//!   beside the statements of others, and [`bucket_policy_differences`] says what of it is missing.
//!
//! [`template`] is all of that, the bucket and the keys in one.

mod bucket;
pub mod cloud;
mod cloudformation;
mod grants;
mod key;
mod names;
mod plan;
mod policy;

use std::fmt;
use std::str::FromStr;

pub use self::bucket::{Difference, bucket_policy, bucket_policy_differences, demands_conditions, merge_bucket_policy};
pub use self::cloudformation::{Stack, template};
pub use self::grants::{merge_key_policy, same_policy};
pub use self::key::{key_policy, key_statements, signing_key_policy};
pub use self::names::{Account, BucketName, KeyArn, Partition, Principal, Region};
pub use self::plan::{Done, Migration, Plan, ServiceWish, Setup, SetupFailure, Step, Wish};
pub use self::policy::role_policy;
use crate::name::ServiceName;

/// For how many days `setup` keeps what was replaced or deleted.
pub const NONCURRENT_DAYS: u32 = 90;
/// After how many days `setup` has uploads aborted that were never completed.
pub const MULTIPART_DAYS: u32 = 7;
/// The tag that `setup` gives a service's keys; its value is the service's name.
pub const TAG: &str = "microsecrets";

/// Whose rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Role {
    /// Reads current versions, and older ones by their number or name.
    Reader,
    /// Reads, and lists: for `list` and `history`, for checksums that are not current ones, and for what 0.3.4 wrote.
    Lister,
    /// Lists and writes.
    Writer,
    /// Lists, and deletes the bytes of old versions.
    Pruner {
        /// And, with `--purge`, what a bucket with versioning keeps of them.
        purge: bool,
    },
    /// Signs records, and does nothing else.
    Signer,
    /// Sets up, and mends what `doctor` finds. Reads no secret.
    Admin,
}

impl Role {
    /// Every role; the pruner without `--purge`.
    pub const ALL: [Self; 6] = [
        Self::Reader,
        Self::Lister,
        Self::Writer,
        Self::Pruner { purge: false },
        Self::Signer,
        Self::Admin,
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Lister => "lister",
            Self::Writer => "writer",
            Self::Pruner { .. } => "pruner",
            Self::Signer => "signer",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = SetupError;

    fn from_str(text: &str) -> Result<Self, SetupError> {
        let found = Self::ALL.into_iter().find(|role| role.to_string() == text);
        found.ok_or(SetupError::Role)
    }
}

/// A bucket, and whose it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    partition: Partition,
    account: Account,
    name: BucketName,
}

impl Bucket {
    /// A bucket of an account.
    pub fn new(partition: Partition, account: Account, name: BucketName) -> Self {
        Self {
            partition,
            account,
            name,
        }
    }
}

/// Where a service's secrets are: what its policies are made of.
///
/// A key need not be there yet: its policy is written before it has an ARN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    bucket: Bucket,
    region: Region,
    service: ServiceName,
    key: Option<KeyArn>,
    signing_key: Option<KeyArn>,
}

impl Place {
    /// A service in a bucket, which is in a region.
    ///
    /// # Errors
    ///
    /// [`SetupError::Elsewhere`]: the region is of another partition.
    pub fn new(bucket: Bucket, region: Region, service: ServiceName) -> Result<Self, SetupError> {
        if Partition::of_region(region.as_str()) != Some(bucket.partition) {
            return Err(SetupError::Elsewhere);
        }
        Ok(Self {
            bucket,
            region,
            service,
            key: None,
            signing_key: None,
        })
    }

    /// With the key that its objects are encrypted under, which may be of another account.
    ///
    /// # Errors
    ///
    /// [`SetupError::Elsewhere`]: S3 uses only keys in the bucket's own region.
    pub fn with_key(mut self, key: KeyArn) -> Result<Self, SetupError> {
        if (key.partition, &key.region) != (self.bucket.partition, &self.region) {
            return Err(SetupError::Elsewhere);
        }
        self.key = Some(key);
        Ok(self)
    }

    /// With the key that its records are signed with, in whatever region.
    ///
    /// # Errors
    ///
    /// [`SetupError::Elsewhere`]: the key is in another partition.
    pub fn with_signing_key(mut self, key: KeyArn) -> Result<Self, SetupError> {
        if key.partition != self.bucket.partition {
            return Err(SetupError::Elsewhere);
        }
        self.signing_key = Some(key);
        Ok(self)
    }
}

/// Why no policy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not an account.
    #[error("an AWS account is 12 digits")]
    Account,
    /// Not a bucket's name.
    #[error("a bucket's name is 3 to 63 lower-case letters, digits, hyphens and dots")]
    Bucket,
    /// A region or a key is not where the bucket is.
    #[error("the key or the region is not where the bucket is")]
    Elsewhere,
    /// Not the ARN of a key.
    #[error("not the ARN of a KMS key: arn:<partition>:kms:<region>:<account>:key/<id> is needed, and no alias")]
    KeyArn,
    /// The bucket's policy would be larger than S3 takes.
    #[error("the bucket's policy would have {0} bytes, and S3 takes 20,480")]
    LargePolicy(usize),
    /// The role needs the key's ARN.
    #[error("the rights of this role are about a KMS key, and which is not said")]
    NoKey,
    /// The role needs the signing key's ARN.
    #[error("the rights of this role are about a signing key, and which is not said")]
    NoSigningKey,
    /// Not a partition whose names are known.
    #[error("the partitions that are known are aws, aws-cn and aws-us-gov")]
    Partition,
    /// What should be a policy is none.
    #[error("the bucket's policy is no list of statements")]
    Policy,
    /// Neither a role nor a user.
    #[error("not the ARN of a role or user: arn:<partition>:iam::<account>:role/<name> is needed, without wildcards")]
    Principal,
    /// Not a region.
    #[error("not the name of a region, as eu-west-1 is one")]
    Region,
    /// Not one of the roles.
    #[error("the roles are reader, lister, writer, pruner, signer and admin")]
    Role,
    /// The ARN of a session.
    #[error("a session ends, so a key's policy names its role: arn:<partition>:iam::<account>:role/<name>")]
    Session,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(partition: Partition) -> Bucket {
        let account = "111122223333".parse().expect("an account");
        Bucket::new(partition, account, "example-microsecrets".parse().expect("a bucket"))
    }

    fn place(partition: Partition, region: &str) -> Result<Place, SetupError> {
        let region = region.parse().expect("a region");
        Place::new(bucket(partition), region, "api".parse().expect("a service"))
    }

    #[test]
    fn a_role_is_said_by_its_name() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        for bad in ["", "Reader", "purger", "reader "] {
            assert_eq!(bad.parse::<Role>(), Err(SetupError::Role), "{bad:?}");
        }
    }

    #[test]
    fn a_place_is_in_one_partition_and_its_key_in_its_region() {
        for (partition, good, bad) in [
            (Partition::Aws, "eu-west-1", "cn-north-1"),
            (Partition::China, "cn-north-1", "us-gov-west-1"),
            (Partition::UsGov, "us-gov-west-1", "us-east-1"),
            (Partition::Aws, "us-east-1", "us-iso-east-1"),
            (Partition::Aws, "us-east-1", "eusc-de-east-1"),
        ] {
            assert_eq!(partition.to_string().parse(), Ok(partition));
            assert!(place(partition, good).is_ok(), "{good}");
            assert_eq!(place(partition, bad), Err(SetupError::Elsewhere), "{bad}");
        }
        assert_eq!("aws-iso".parse::<Partition>(), Err(SetupError::Partition));

        let key = |region: &str| -> KeyArn {
            let partition = Partition::of_region(region).expect("a known one");
            format!("arn:{partition}:kms:{region}:444455556666:key/1")
                .parse()
                .expect("a key")
        };
        let here = || place(Partition::Aws, "eu-west-1").expect("a place");
        assert!(here().with_key(key("eu-west-1")).is_ok());
        for elsewhere in ["eu-west-2", "cn-north-1"] {
            assert_eq!(here().with_key(key(elsewhere)), Err(SetupError::Elsewhere));
        }
        assert!(here().with_signing_key(key("eu-west-2")).is_ok());
        assert_eq!(here().with_signing_key(key("cn-north-1")), Err(SetupError::Elsewhere));
    }
}
