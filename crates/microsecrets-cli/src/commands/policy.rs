//! `policy`: the rights that a role needs, as policies to give it.

use std::str::FromStr as _;

use clap::{Args, ValueEnum};
use microsecrets::name::ServiceName;
use microsecrets::setup::cloud::{Caller, Cloud, KeyPurpose};
use microsecrets::setup::{
    Bucket as OwnBucket, BucketName, KeyArn, Partition, Place, Principal, Role, SetupError, Stack, bucket_policy,
    key_statements, role_policy, template,
};

use crate::args::{Bucket, ServiceArgs, StoreArgs, account};
use crate::config::Opened;
use crate::error::{CliError, Status};
use crate::ui;

const DETAILS: &str = "\
Prints JSON. Account, region and keys are looked up, unless they are said: --account, --region, and --kms-key and \
--sign-with as ARNs. A writer needs s3:GetObject and kms:Decrypt: compare-and-swap reads what it replaces.

Examples:
  microsecrets policy -b my-bucket -s api --role reader --principal arn:aws:iam::111122223333:role/api
  microsecrets policy -b my-bucket -s api --format cloudformation --reader arn:aws:iam::111122223333:role/api";

/// Print the least rights that a role needs, the bucket's policy, or all of `setup` for CloudFormation
#[derive(Args)]
#[command(after_help = DETAILS)]
pub(crate) struct PolicyArgs {
    #[command(flatten)]
    pub(crate) service: ServiceArgs,
    /// Whose rights: reader, lister, writer, pruner, signer or admin
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// With the rights of `prune --purge`
    #[arg(long, requires = "role")]
    purge: bool,
    /// Who has the role, for the statement in the key's policy: the ARN of an IAM role or user
    #[arg(long, value_name = "ARN", value_parser = principal, requires = "role")]
    principal: Vec<Principal>,
    /// Print the policy of the bucket, which is the same for all services
    #[arg(long, conflicts_with_all = ["role", "service"])]
    bucket_policy: bool,
    /// What to print: policies as JSON, or a CloudFormation template that sets up all of it
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    format: PolicyFormat,
    #[command(flatten)]
    roles: RoleArgs,
    /// While 0.3.4 still writes there: without the statements that demand conditions, which it does not know
    #[arg(long)]
    migration: bool,
    /// The account that owns the bucket [default: the one of these credentials]
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    account: Option<String>,
    /// The key that signs, by ARN [default: the one with the alias microsecrets-signing/SERVICE]
    #[arg(long, value_name = "ARN")]
    sign_with: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

/// Who has which role.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Roles")]
pub(crate) struct RoleArgs {
    /// Lets this IAM role or user read the service's secrets
    #[arg(long, value_name = "ARN", value_parser = principal)]
    pub(crate) reader: Vec<Principal>,
    /// Lets this IAM role or user read and write them, and sign what is written
    #[arg(long, value_name = "ARN", value_parser = principal)]
    pub(crate) writer: Vec<Principal>,
    /// Lets this IAM role or user administer the keys, without using them
    #[arg(long, value_name = "ARN", value_parser = principal)]
    pub(crate) admin: Vec<Principal>,
    /// With a key that signs: alias/microsecrets-signing/SERVICE
    #[arg(long)]
    pub(crate) signing: bool,
}

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum PolicyFormat {
    // Policies.
    Json,
    // A template.
    #[value(name = "cloudformation")]
    CloudFormation,
}

fn role(text: &str) -> Result<Role, String> {
    Role::from_str(text).map_err(|error| error.to_string())
}

fn principal(text: &str) -> Result<Principal, String> {
    text.parse().map_err(|error: SetupError| error.to_string())
}

/// The name of a bucket that is in S3.
pub(crate) fn bucket_name(store: &StoreArgs) -> Result<BucketName, CliError> {
    match &store.bucket {
        Some(Bucket::S3(name)) => name.parse().map_err(refused),
        Some(Bucket::Folder(_)) => Err(CliError::usage("a folder has no policies").hint("name a bucket with -b")),
        None => Err(CliError::usage("no bucket is named").hint("say -b BUCKET or set MICROSECRETS_BUCKET")),
    }
}

/// The error for what no policy can be made of.
pub(crate) fn refused(error: SetupError) -> CliError {
    let hint = match error {
        SetupError::Bucket => "check the bucket's name (-b)",
        SetupError::Elsewhere | SetupError::Region => "check the region (-r) and the key's ARN",
        SetupError::LargePolicy(_) => "take statements that are not needed out of it first",
        SetupError::NoKey => "say its ARN with --kms-key",
        SetupError::NoSigningKey => "say its ARN with --sign-with",
        SetupError::Partition => "in other partitions set the bucket and the keys up by hand",
        SetupError::Policy => "look at the bucket's policy with `aws s3api get-bucket-policy`",
        _ => return CliError::usage(error.to_string()),
    };
    CliError::usage(error.to_string()).hint(hint)
}

/// Prints the policy.
pub(crate) async fn run(args: &PolicyArgs) -> Result<(), CliError> {
    let bucket = bucket_name(&args.store)?;
    if args.format == PolicyFormat::CloudFormation {
        let mut stack = Stack::new(bucket, args.service.named()?.clone());
        stack.readers.clone_from(&args.roles.reader);
        stack.writers.clone_from(&args.roles.writer);
        stack.admins.clone_from(&args.roles.admin);
        stack.signing = args.roles.signing;
        if stack.signing {
            stack.signers.clone_from(&args.roles.writer);
        }
        stack.migration = args.migration;
        return print(&template(&stack));
    }
    let owner = owner(args, bucket).await?;
    let Some(role) = args.role else {
        return match args.bucket_policy {
            true => print(&bucket_policy(&owner.bucket, args.migration)),
            false => Err(CliError::usage("nothing says whose rights")
                .hint("say --role reader (or lister, writer, pruner, signer, admin), --bucket-policy, or --format cloudformation")),
        };
    };
    let role = match role {
        Role::Pruner { .. } => Role::Pruner { purge: args.purge },
        role => role,
    };
    let place = owner.place(args, role).await?;
    let policy = role_policy(role, &place).map_err(refused)?;
    print(&serde_json::json!({
        "identity-policy": policy,
        "key-policy-statements": key_statements(role, &args.principal, &place),
    }))
}

fn print(policy: &serde_json::Value) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(policy);
    ui::print_line(text.map_err(|error| CliError::new(Status::Failure, "cannot print the policy").caused_by(&error))?)
}

/// Whose bucket it is, and the account to ask for what is not said.
struct Owner {
    bucket: OwnBucket,
    region: String,
    cloud: Option<Cloud>,
}

async fn owner(args: &PolicyArgs, name: BucketName) -> Result<Owner, CliError> {
    if let (Some(account), Some(region)) = (&args.account, &args.store.region) {
        let partition = partition_of(region)?;
        return Ok(Owner {
            bucket: OwnBucket::new(partition, account.parse().map_err(refused)?, name),
            region: region.clone(),
            cloud: None,
        });
    }
    let cloud = Opened::cloud(&args.store).await?;
    let caller: Caller = cloud.caller().await?;
    let partition: Partition = caller.partition().parse().map_err(refused)?;
    let account = args.account.as_ref().unwrap_or(&caller.account);
    Ok(Owner {
        bucket: OwnBucket::new(partition, account.parse().map_err(refused)?, name),
        region: cloud.region().to_owned(),
        cloud: Some(cloud),
    })
}

fn partition_of(region: &str) -> Result<Partition, CliError> {
    let name = match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    name.parse().map_err(refused)
}

impl Owner {
    /// The service's place, with the keys that the role is about.
    async fn place(self, args: &PolicyArgs, role: Role) -> Result<Place, CliError> {
        let service = args.service.named()?;
        let region = self.region.parse().map_err(refused)?;
        let mut place = Place::new(self.bucket, region, service.clone()).map_err(refused)?;
        let (encrypts, signs) = match role {
            Role::Signer => (false, true),
            Role::Admin => (true, true),
            _ => (true, false),
        };
        let cloud = self.cloud.as_ref();
        let needed = role != Role::Admin;
        if encrypts
            && let Some(key) = key(
                cloud,
                args.store.kms_key.as_deref(),
                service,
                KeyPurpose::Encrypt,
                needed,
            )
            .await?
        {
            place = place.with_key(key).map_err(refused)?;
        }
        if signs && let Some(key) = key(cloud, args.sign_with.as_deref(), service, KeyPurpose::Sign, needed).await? {
            place = place.with_signing_key(key).map_err(refused)?;
        }
        Ok(place)
    }
}

/// The ARN of a key: as it was said, or as KMS knows it.
async fn key(
    cloud: Option<&Cloud>,
    said: Option<&str>,
    service: &ServiceName,
    purpose: KeyPurpose,
    needed: bool,
) -> Result<Option<KeyArn>, CliError> {
    if let Some(Ok(arn)) = said.map(str::parse) {
        return Ok(Some(arn));
    }
    let Some(name) = said.map(str::to_owned).or_else(|| purpose.alias(service)) else {
        return Ok(None);
    };
    let found = match cloud {
        Some(cloud) => cloud.key(&name, purpose).await?,
        None => None,
    };
    match found {
        Some(key) => key.arn.parse().map(Some).map_err(refused),
        None if !needed => Ok(None),
        None => {
            let message = format!("the key {name} is not known");
            let flag = match purpose {
                KeyPurpose::Sign => "--sign-with",
                _ => "--kms-key",
            };
            Err(CliError::new(Status::NotFound, message)
                .hint(format!("say its ARN with {flag}; `microsecrets setup` makes it")))
        }
    }
}
