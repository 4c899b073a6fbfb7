//! How the bucket is set up, by each thing that `setup` puts right.

use microsecrets::setup::cloud::{BucketPart, Cloud, Found};
use microsecrets::setup::{
    Bucket as OwnBucket, Difference, bucket_policy, bucket_policy_differences, demands_conditions,
};
use microsecrets::text::shown;

use super::{Commands, Finding, word};

/// A bucket, and whose it is.
pub(crate) struct Looked<'a> {
    pub(crate) cloud: &'a Cloud,
    pub(crate) bucket: &'a str,
    /// The account that it must be of.
    pub(crate) owner: &'a str,
    pub(crate) partition: &'a str,
    /// Whether 0.3.4 may still write to it.
    pub(crate) migrating: bool,
    pub(crate) commands: Commands<'a>,
}

impl Commands<'_> {
    /// The command that puts the bucket right, or makes it.
    pub(crate) fn setup_of_bucket(&self) -> String {
        let bucket = Commands { service: None, ..*self };
        bucket.own("setup", "--bucket-only")
    }
}

/// Whether somebody else's bucket of this name would be noticed.
pub(crate) fn owner(commands: &Commands<'_>, bucket: &str, caller: Option<&str>) -> Finding {
    let is_in_name = bucket.ends_with("-an") && caller.is_some_and(|account| bucket.contains(&format!("-{account}-")));
    match &commands.store.bucket_owner {
        Some(owner) => Finding::ok(
            "bucket-owner",
            bucket,
            format!("only a bucket of the account {owner} is used"),
        ),
        None if is_in_name => Finding::ok("bucket-owner", bucket, "the bucket's name says whose it must be"),
        None => {
            let why = "once this bucket is deleted, somebody else can make one of its name, and is believed";
            let account = caller.unwrap_or("ACCOUNT");
            Finding::warning("bucket-owner", bucket, "nothing says whose bucket it must be", why).mend(format!(
                "`bucket-owner = \"{account}\"` in microsecrets.toml, or --bucket-owner"
            ))
        }
    }
}

/// Looks at all of it.
pub(crate) async fn posture(looked: &Looked<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in BucketPart::ALL {
        findings.push(looked.part(part).await);
    }
    findings.push(looked.policy().await);
    findings
}

impl Looked<'_> {
    async fn part(&self, part: BucketPart) -> Finding {
        let (check, bucket) = (part.name(), self.bucket);
        let found = match self.cloud.look_at_bucket(bucket, self.owner, part).await {
            Ok(Found::Right) => return Finding::ok(check, bucket, part.wanted()),
            Ok(Found::Wrong(found)) => found,
            Ok(_) => return Finding::ok(check, bucket, part.wanted()),
            Err(error) => return Finding::not_seen(check, bucket, error),
        };
        let says = format!("{found}; it shall be: {}", part.wanted());
        match part {
            BucketPart::Ownership if self.migrating => {
                let why = format!("0.3.4 still writes here, and sends ACLs; {}", part.why());
                Finding::warning(check, bucket, says, why).mend(self.after_migration())
            }
            BucketPart::Lifecycle => {
                Finding::warning(check, bucket, says, part.why()).mend(self.commands.setup_of_bucket())
            }
            _ => Finding::failure(check, bucket, says, part.why()).mend(self.commands.setup_of_bucket()),
        }
    }

    fn after_migration(&self) -> String {
        let finish = self.commands.own("migrate", "--finish");
        format!(
            "when 0.3.4 writes no more: {finish}, and then {}",
            self.commands.setup_of_bucket()
        )
    }

    async fn policy(&self) -> Finding {
        const CHECK: &str = "bucket-policy";
        let existing = match self.cloud.bucket_policy(self.bucket, self.owner).await {
            Ok(existing) => existing,
            Err(error) => return Finding::not_seen(CHECK, self.bucket, error),
        };
        let (Ok(partition), Ok(account), Ok(name)) = (self.partition.parse(), self.owner.parse(), self.bucket.parse())
        else {
            let why = "what nobody may do with the bucket is not known";
            let says = "no policy can be made for a bucket of this name or place";
            return Finding::warning(CHECK, self.bucket, says, why).mend(self.by_hand());
        };
        // Conditions are demanded only once 0.3.4, which does not know them, writes no more.
        let is_left_out = self.migrating && !demands_conditions(existing.as_ref());
        let wanted = bucket_policy(&OwnBucket::new(partition, account, name), is_left_out);
        let why = "without these, who has rights of their own may write without conditions, over plain HTTP, or from \
                   another account";
        match bucket_policy_differences(existing.as_ref(), &wanted) {
            Ok(differences) if differences.is_empty() && is_left_out => {
                let says = "our statements are in the policy, but those that 0.3.4 does not keep to";
                Finding::warning(CHECK, self.bucket, says, why).mend(self.after_migration())
            }
            Ok(differences) if differences.is_empty() => {
                Finding::ok(CHECK, self.bucket, "our statements are in the bucket's policy")
            }
            Ok(differences) => {
                let named: Vec<_> = differences.iter().map(said).collect();
                let says = format!("not as they shall be: {}", named.join(", "));
                Finding::failure(CHECK, self.bucket, says, why).mend(self.commands.setup_of_bucket())
            }
            Err(error) => Finding::failure(CHECK, self.bucket, shown(&error.to_string()), why).mend(self.by_hand()),
        }
    }

    /// How to look at the policy.
    fn by_hand(&self) -> String {
        let look = format!("s3api get-bucket-policy --bucket {}", word(self.bucket));
        format!("look at it: {}", self.commands.aws(&look))
    }
}

fn said(difference: &Difference) -> String {
    match difference {
        Difference::Missing(sid) => format!("{sid} (missing)"),
        Difference::Changed(sid) => format!("{sid} (changed)"),
        other => other.to_string(),
    }
}
