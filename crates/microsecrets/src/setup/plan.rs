//! What setting up comes to: what is there, what is missing, and one step after the other to put it right.
//!
//! A plan is made by looking, and carried out step by step. Whoever is interrupted makes a new plan, which has what is left
//! to do: each step is done or not done, and a key that has no alias yet is found by its tag.

use std::fmt;

use serde_json::Value;

use super::cloud::{BucketPart, Caller, Cloud, Found, KeyPurpose};
use super::{
    Bucket, BucketName, Place, Principal, SetupError, bucket_policy, bucket_policy_differences, demands_conditions,
    key_policy, merge_bucket_policy, merge_key_policy, same_policy, signing_key_policy,
};
use crate::name::ServiceName;
use crate::store::StoreError;

/// What shall be there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Wish {
    /// The bucket.
    pub bucket: BucketName,
    /// Make the bucket in the account's own namespace.
    pub account_regional: bool,
    /// Whether 0.3.4 may still write to the bucket.
    pub migration: Migration,
    /// A service, if it is not only the bucket.
    pub service: Option<ServiceWish>,
}

impl Wish {
    /// A bucket alone, that 0.3.4 does not write to.
    pub fn bucket(bucket: BucketName) -> Self {
        Self {
            bucket,
            account_regional: false,
            migration: Migration::No,
            service: None,
        }
    }
}

/// What a service shall have.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceWish {
    /// Its name.
    pub service: ServiceName,
    /// Who reads its secrets.
    pub readers: Vec<Principal>,
    /// Who writes them.
    pub writers: Vec<Principal>,
    /// Who administers its keys, besides the account.
    pub admins: Vec<Principal>,
    /// Whether it has a key that signs.
    pub signing: bool,
}

impl ServiceWish {
    /// A service that nobody may read yet.
    pub fn new(service: ServiceName) -> Self {
        Self {
            service,
            readers: Vec::new(),
            writers: Vec::new(),
            admins: Vec::new(),
            signing: false,
        }
    }
}

/// Whether 0.3.4 may still write to a bucket: it sends ACLs, and no conditions.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Migration {
    /// It may not.
    No,
    /// To these items.
    Of(Vec<String>),
    /// Whoever is asking may not read the heads that say so.
    Unknown,
}

/// One thing to do.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Make the bucket.
    CreateBucket(BucketName),
    /// Put a part of the bucket right.
    MendBucket(BucketPart, String),
    /// Put our statements into the bucket's policy.
    PutBucketPolicy(Vec<String>),
    /// Make a key.
    CreateKey(KeyPurpose),
    /// Give a key its alias: this one, or the one that was just made.
    CreateAlias(KeyPurpose, String, Option<String>),
    /// Have the key's material replaced every year.
    Rotate(KeyPurpose),
    /// Let those use a key who shall.
    PutKeyPolicy(KeyPurpose),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = |purpose: &KeyPurpose| match purpose {
            KeyPurpose::Encrypt => "the key that encrypts",
            KeyPurpose::Sign => "the key that signs",
        };
        match self {
            Self::CreateBucket(name) => write!(f, "create the bucket {}", name.as_str()),
            Self::MendBucket(part, found) if found.is_empty() => write!(f, "see to it that {}", part.wanted()),
            Self::MendBucket(part, found) => write!(f, "see to it that {} (now {found})", part.wanted()),
            Self::PutBucketPolicy(statements) => write!(f, "put into the bucket's policy: {}", statements.join(", ")),
            Self::CreateKey(purpose) => write!(f, "create {}", key(purpose)),
            Self::CreateAlias(purpose, alias, None) => write!(f, "give {} the alias {alias}", key(purpose)),
            Self::CreateAlias(purpose, alias, Some(arn)) => {
                write!(
                    f,
                    "give {} the alias {alias}: {arn}, which was made and never named",
                    key(purpose)
                )
            }
            Self::Rotate(purpose) => write!(f, "turn on the yearly rotation of {}", key(purpose)),
            Self::PutKeyPolicy(purpose) => write!(f, "put those who may use it into the policy of {}", key(purpose)),
        }
    }
}

/// What there is, and what is to be done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// What is as it shall be.
    pub kept: Vec<String>,
    /// What is not, and stays so, and why.
    pub left: Vec<String>,
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
}

/// What was done.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Done {
    /// The ARN of the service's key.
    pub key: Option<String>,
    /// The ARN of its signing key.
    pub signing_key: Option<String>,
    /// Keys that somebody else's set-up was faster with: they are not used.
    pub unused: Vec<String>,
}

/// Why setting up failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupFailure {
    /// AWS said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A policy cannot be made.
    #[error(transparent)]
    Policy(#[from] SetupError),
    /// The bucket is in another region than the one that is worked in.
    #[error("the bucket is in {found}, not in {wanted}")]
    OtherRegion {
        /// Where it is.
        found: String,
        /// Where it was looked for.
        wanted: String,
    },
    /// A key with the service's alias cannot be used.
    #[error("the key {alias} cannot be used: {why}")]
    Key {
        /// The alias.
        alias: String,
        /// Why.
        why: String,
    },
    /// The service's name allows no alias.
    #[error("no key alias follows from the service's name {0}, which has a dot")]
    NoAlias(ServiceName),
}

/// Setting up, by somebody.
pub struct Setup<'a> {
    cloud: &'a Cloud,
    caller: &'a Caller,
    wish: &'a Wish,
    /// Whose bucket it is.
    owner: Bucket,
}

impl<'a> Setup<'a> {
    /// Set-up of what is wished for, in the account of who asks.
    ///
    /// # Errors
    ///
    /// An account or partition that is not known.
    pub fn new(cloud: &'a Cloud, caller: &'a Caller, wish: &'a Wish) -> Result<Self, SetupError> {
        let owner = Bucket::new(
            caller.partition().parse()?,
            caller.account.parse()?,
            wish.bucket.clone(),
        );
        Ok(Self {
            cloud,
            caller,
            wish,
            owner,
        })
    }

    /// Looks at what there is.
    pub async fn plan(&self) -> Result<Plan, SetupFailure> {
        let mut plan = Plan {
            kept: Vec::new(),
            left: Vec::new(),
            steps: Vec::new(),
        };
        self.plan_bucket(&mut plan).await?;
        if let Some(wish) = &self.wish.service {
            self.plan_key(&mut plan, wish, KeyPurpose::Encrypt).await?;
            if wish.signing {
                self.plan_key(&mut plan, wish, KeyPurpose::Sign).await?;
            }
        }
        Ok(plan)
    }

    async fn plan_bucket(&self, plan: &mut Plan) -> Result<(), SetupFailure> {
        let (bucket, owner) = (self.wish.bucket.as_str(), self.caller.account.as_str());
        let region = self.cloud.bucket_region(bucket, owner).await?;
        let is_new = region.is_none();
        match region {
            None => plan.steps.push(Step::CreateBucket(self.wish.bucket.clone())),
            Some(found) if found == self.cloud.region() => plan.kept.push(format!("the bucket {bucket} is there")),
            Some(found) => {
                let wanted = self.cloud.region().to_owned();
                return Err(SetupFailure::OtherRegion { found, wanted });
            }
        }
        for part in BucketPart::ALL {
            let found = match is_new {
                true => Found::Wrong(String::new()),
                false => self.cloud.look_at_bucket(bucket, owner, part).await?,
            };
            match found {
                Found::Right => plan.kept.push(part.wanted().to_owned()),
                // A new bucket has these by itself.
                Found::Wrong(_) if is_new && matches!(part, BucketPart::Ownership | BucketPart::Encryption) => {}
                Found::Wrong(found) if part == BucketPart::Ownership && self.wish.migration != Migration::No => {
                    plan.left.push(format!(
                        "ownership: {found}, and 0.3.4 needs that: {}",
                        self.still_writes()
                    ));
                }
                Found::Wrong(found) => plan.steps.push(Step::MendBucket(part, found)),
            }
        }
        let existing = match is_new {
            true => None,
            false => self.cloud.bucket_policy(bucket, owner).await?,
        };
        let differences = bucket_policy_differences(existing.as_ref(), &self.statements(existing.as_ref()))?;
        match differences.is_empty() {
            true => plan.kept.push("the bucket's policy has our statements".to_owned()),
            false => {
                let named = differences.iter().map(ToString::to_string).collect();
                plan.steps.push(Step::PutBucketPolicy(named));
            }
        }
        if self.wish.migration != Migration::No {
            plan.left.push(format!(
                "the statement that demands If-None-Match is neither put into the policy nor taken out: {}",
                self.still_writes()
            ));
        }
        Ok(())
    }

    fn still_writes(&self) -> String {
        match &self.wish.migration {
            Migration::Of(items) => format!("in migration: {}", items.join(", ")),
            _ => "whether a service is in migration cannot be read".to_owned(),
        }
    }

    /// Our statements; in a migration the one that demands conditions only if it is there.
    fn statements(&self, existing: Option<&Value>) -> Value {
        let is_left_out = self.wish.migration != Migration::No && !demands_conditions(existing);
        bucket_policy(&self.owner, is_left_out)
    }

    async fn plan_key(&self, plan: &mut Plan, wish: &ServiceWish, purpose: KeyPurpose) -> Result<(), SetupFailure> {
        let alias = purpose.alias(&wish.service);
        let alias = alias.ok_or_else(|| SetupFailure::NoAlias(wish.service.clone()))?;
        let Some(key) = self.cloud.key(&alias, purpose).await? else {
            match self.cloud.unnamed_key(&wish.service, purpose).await? {
                Some(arn) => {
                    plan.steps.push(Step::CreateAlias(purpose, alias, Some(arn.clone())));
                    return self.plan_key_settings(plan, wish, purpose, &arn).await;
                }
                None => {
                    plan.steps.push(Step::CreateKey(purpose));
                    plan.steps.push(Step::CreateAlias(purpose, alias, None));
                    if purpose == KeyPurpose::Encrypt {
                        plan.steps.push(Step::Rotate(purpose));
                    }
                    return Ok(());
                }
            }
        };
        if let Some(why) = key.unusable {
            return Err(SetupFailure::Key { alias, why });
        }
        plan.kept.push(format!("{alias} is {}", key.arn));
        self.plan_key_settings(plan, wish, purpose, &key.arn).await
    }

    async fn plan_key_settings(
        &self,
        plan: &mut Plan,
        wish: &ServiceWish,
        purpose: KeyPurpose,
        arn: &str,
    ) -> Result<(), SetupFailure> {
        if purpose == KeyPurpose::Encrypt && !self.cloud.rotates(arn).await? {
            plan.steps.push(Step::Rotate(purpose));
        }
        let existing = self.cloud.key_policy(arn).await?;
        if !same_policy(&self.policy_of(wish, purpose, Some(&existing))?, &existing) {
            plan.steps.push(Step::PutKeyPolicy(purpose));
        }
        Ok(())
    }

    /// The policy of a key: whoever may use it already still may.
    fn policy_of(
        &self,
        wish: &ServiceWish,
        purpose: KeyPurpose,
        existing: Option<&Value>,
    ) -> Result<Value, SetupError> {
        let place = Place::new(self.owner.clone(), self.cloud.region().parse()?, wish.service.clone())?;
        let ours = match purpose {
            KeyPurpose::Encrypt => key_policy(&place, &wish.readers, &wish.writers, &wish.admins),
            KeyPurpose::Sign => signing_key_policy(&place, &wish.writers, &wish.readers, &wish.admins),
        };
        match existing {
            Some(existing) => merge_key_policy(existing, &ours),
            None => Ok(ours),
        }
    }

    /// Does what a plan says, telling each step when it was done.
    pub async fn carry_out(&self, plan: &Plan, mut tell: impl FnMut(&Step)) -> Result<Done, SetupFailure> {
        let mut done = Done::default();
        for step in &plan.steps {
            self.step(step, &mut done).await?;
            tell(step);
        }
        if let Some(wish) = &self.wish.service {
            done.key = self.arn(wish, KeyPurpose::Encrypt).await?;
            done.signing_key = match wish.signing {
                true => self.arn(wish, KeyPurpose::Sign).await?,
                false => None,
            };
        }
        Ok(done)
    }

    /// The ARN of the key that has the service's alias.
    async fn arn(&self, wish: &ServiceWish, purpose: KeyPurpose) -> Result<Option<String>, SetupFailure> {
        let Some(alias) = purpose.alias(&wish.service) else {
            return Ok(None);
        };
        Ok(self.cloud.key(&alias, purpose).await?.map(|key| key.arn))
    }

    async fn step(&self, step: &Step, done: &mut Done) -> Result<(), SetupFailure> {
        let (bucket, owner) = (self.wish.bucket.as_str(), self.caller.account.as_str());
        let wish = self.wish.service.as_ref();
        match (step, wish) {
            (Step::CreateBucket(_), _) => self.cloud.create_bucket(bucket, self.wish.account_regional).await?,
            (Step::MendBucket(part, _), _) => self.cloud.mend_bucket(bucket, owner, *part).await?,
            (Step::PutBucketPolicy(_), _) => {
                let existing = self.cloud.bucket_policy(bucket, owner).await?;
                let merged = merge_bucket_policy(existing.as_ref(), &self.statements(existing.as_ref()))?;
                self.cloud.put_bucket_policy(bucket, owner, &merged).await?;
            }
            (Step::CreateKey(purpose), Some(wish)) => {
                let policy = self.policy_of(wish, *purpose, None)?;
                let arn = self.cloud.create_key(&wish.service, *purpose, &policy).await?;
                *done.made(*purpose) = Some(arn);
            }
            (Step::CreateAlias(purpose, alias, named), Some(wish)) => {
                let arn = named.clone().or_else(|| done.made(*purpose).clone());
                let Some(arn) = arn else { return Ok(()) };
                if !self.cloud.create_alias(alias, &arn).await? {
                    // Somebody else was first, and the key that has the name now knows only those whom they named.
                    let named = self.put_key_policy(wish, *purpose).await?;
                    // It may be this very one, which they have found without a name.
                    if named.as_ref() != Some(&arn) {
                        done.unused.push(arn);
                    }
                }
            }
            (Step::Rotate(purpose), Some(wish)) => {
                if let Some(arn) = self.arn(wish, *purpose).await? {
                    self.cloud.rotate(&arn).await?;
                }
            }
            (Step::PutKeyPolicy(purpose), Some(wish)) => drop(self.put_key_policy(wish, *purpose).await?),
            (_, None) => {}
        }
        Ok(())
    }

    /// Puts those who may use it into the policy of the key that has the service's alias; answers which that is.
    async fn put_key_policy(&self, wish: &ServiceWish, purpose: KeyPurpose) -> Result<Option<String>, SetupFailure> {
        let Some(arn) = self.arn(wish, purpose).await? else {
            return Ok(None);
        };
        let existing = self.cloud.key_policy(&arn).await?;
        let policy = self.policy_of(wish, purpose, Some(&existing))?;
        self.cloud.put_key_policy(&arn, &policy).await?;
        Ok(Some(arn))
    }
}

impl Done {
    fn made(&mut self, purpose: KeyPurpose) -> &mut Option<String> {
        match purpose {
            KeyPurpose::Encrypt => &mut self.key,
            KeyPurpose::Sign => &mut self.signing_key,
        }
    }
}
