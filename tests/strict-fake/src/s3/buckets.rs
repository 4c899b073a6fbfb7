//! Buckets and their configuration.

use s3s::dto::*;
use s3s::{S3Request, S3Response, S3Result};

use super::listing::owner;
use super::{Ask, bucket, bucket_mut, not_implemented};
use crate::errors::s3_error;
use crate::policy;
use crate::state::{self, Versioning};

type Answer<T> = S3Result<S3Response<T>>;

fn answer<T>(output: T) -> Answer<T> {
    Ok(S3Response::new(output))
}

fn missing(code: &str, message: &str) -> s3s::S3Error {
    s3_error(404, code, message)
}

/// A name of the account's own namespace ends so: nobody else can make that bucket.
fn account_regional(account: &str, region: &str) -> String {
    format!("-{account}-{region}-an")
}

fn is_account_regional(name: &str) -> bool {
    // -111122223333-us-east-1-an
    name.strip_suffix("-an").is_some_and(|rest| {
        let account = rest.split('-').rev().find(|part| part.len() == 12);
        account.is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    })
}

pub(super) async fn create(ask: &Ask, request: S3Request<CreateBucketInput>) -> Answer<CreateBucketOutput> {
    let input = request.input;
    let account = &ask.caller.principal.account;
    let scope = request
        .region
        .map(|r| r.to_string())
        .unwrap_or_else(|| ask.shared.settings.region.clone());
    let constraint = input.create_bucket_configuration.and_then(|c| c.location_constraint);
    let constraint = constraint.map(|c| c.as_str().to_owned()).filter(|c| !c.is_empty());
    let region = check_location(&scope, constraint)?;
    check_namespace(ask, &input.bucket, &region)?;
    let mut state = ask.shared.state();
    if let Some(existing) = state.buckets.get(&input.bucket) {
        if existing.owner != *account {
            let message = "The requested bucket name is not available. The bucket namespace is shared by all users of \
                           the system. Please select a different name and try again.";
            return Err(s3_error(409, "BucketAlreadyExists", message));
        }
        // In us-east-1 S3 still answers 200 to the owner, as it always did.
        if region != "us-east-1" {
            let message = "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(s3_error(409, "BucketAlreadyOwnedByYou", message));
        }
    } else {
        let ownership = input.object_ownership.as_ref().map(ObjectOwnership::as_str);
        let enforced = ownership.is_none_or(|o| o == ObjectOwnership::BUCKET_OWNER_ENFORCED);
        let made = state::Bucket {
            owner: account.clone(),
            region,
            enforced_ownership: enforced,
            created: Some(ask.shared.clock.now()),
            ..state::Bucket::default()
        };
        state.buckets.insert(input.bucket.clone(), made);
    }
    answer(CreateBucketOutput {
        location: Some(format!("/{}", input.bucket)),
    })
}

/// The region of a new bucket: said twice, by the signature and by the constraint, but for us-east-1.
fn check_location(scope: &str, constraint: Option<String>) -> S3Result<String> {
    match constraint {
        None if scope == "us-east-1" => Ok(scope.to_owned()),
        Some(constraint) if constraint == "us-east-1" => Err(s3_error(
            400,
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
        )),
        Some(constraint) if constraint == scope => Ok(constraint),
        other => {
            let constraint = other.unwrap_or_else(|| "unspecified".into());
            let message = format!(
                "The {constraint} location constraint is incompatible for the region specific endpoint this request \
                 was sent to."
            );
            Err(s3_error(400, "IllegalLocationConstraintException", message))
        }
    }
}

fn check_namespace(ask: &Ask, name: &str, region: &str) -> S3Result<()> {
    let asked = ask.exchange.header("x-amz-bucket-namespace") == Some("account-regional");
    let fits = name.ends_with(&account_regional(&ask.caller.principal.account, region));
    if asked && !fits || !asked && is_account_regional(name) {
        return Err(s3_error(400, "InvalidBucketName", "The specified bucket is not valid."));
    }
    Ok(())
}

pub(super) async fn delete(ask: &Ask, request: S3Request<DeleteBucketInput>) -> Answer<DeleteBucketOutput> {
    let name = request.input.bucket;
    let mut state = ask.shared.state();
    if !bucket(&state, &name)?.objects.is_empty() {
        return Err(s3_error(
            409,
            "BucketNotEmpty",
            "The bucket you tried to delete is not empty",
        ));
    }
    state.buckets.remove(&name);
    answer(DeleteBucketOutput {})
}

pub(super) async fn list(ask: &Ask, _: S3Request<ListBucketsInput>) -> Answer<ListBucketsOutput> {
    let account = &ask.caller.principal.account;
    let state = ask.shared.state();
    let own = state.buckets.iter().filter(|(_, bucket)| bucket.owner == *account);
    let buckets = own.map(|(name, bucket)| Bucket {
        name: Some(name.clone()),
        creation_date: bucket.created.map(Timestamp::from),
        bucket_region: Some(bucket.region.clone()),
    });
    let buckets = Some(buckets.collect());
    answer(ListBucketsOutput {
        buckets,
        owner: Some(owner(account)),
        ..ListBucketsOutput::default()
    })
}

pub(super) async fn head(ask: &Ask, request: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
    let state = ask.shared.state();
    let bucket_region = Some(bucket(&state, &request.input.bucket)?.region.clone());
    answer(HeadBucketOutput {
        bucket_region,
        ..HeadBucketOutput::default()
    })
}

pub(super) async fn location(ask: &Ask, request: S3Request<GetBucketLocationInput>) -> Answer<GetBucketLocationOutput> {
    let state = ask.shared.state();
    let region = &bucket(&state, &request.input.bucket)?.region;
    // us-east-1 is said by saying nothing.
    let location_constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region.clone()));
    answer(GetBucketLocationOutput { location_constraint })
}

pub(super) async fn acl(ask: &Ask, request: S3Request<GetBucketAclInput>) -> Answer<GetBucketAclOutput> {
    let state = ask.shared.state();
    let owner = owner(&bucket(&state, &request.input.bucket)?.owner);
    let grantee = Grantee {
        display_name: None,
        email_address: None,
        id: owner.id.clone(),
        type_: Type::from_static(Type::CANONICAL_USER),
        uri: None,
    };
    let permission = Some(Permission::from_static(Permission::FULL_CONTROL));
    let grants = Some(vec![Grant {
        grantee: Some(grantee),
        permission,
    }]);
    answer(GetBucketAclOutput {
        grants,
        owner: Some(owner),
    })
}

pub(super) async fn get_versioning(
    ask: &Ask,
    request: S3Request<GetBucketVersioningInput>,
) -> Answer<GetBucketVersioningOutput> {
    let state = ask.shared.state();
    let status = match bucket(&state, &request.input.bucket)?.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
        Versioning::Suspended => Some(BucketVersioningStatus::from_static(BucketVersioningStatus::SUSPENDED)),
    };
    answer(GetBucketVersioningOutput {
        mfa_delete: None,
        status,
    })
}

pub(super) async fn put_versioning(
    ask: &Ask,
    request: S3Request<PutBucketVersioningInput>,
) -> Answer<PutBucketVersioningOutput> {
    let configuration = request.input.versioning_configuration;
    if configuration.mfa_delete.is_some() {
        return Err(not_implemented("MfaDelete"));
    }
    let versioning = match configuration.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
        Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
        _ => {
            let message = "The Versioning element must be specified";
            return Err(s3_error(400, "IllegalVersioningConfigurationException", message));
        }
    };
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?.versioning = versioning;
    answer(PutBucketVersioningOutput {})
}

pub(super) async fn get_access_block(
    ask: &Ask,
    request: S3Request<GetPublicAccessBlockInput>,
) -> Answer<GetPublicAccessBlockOutput> {
    let state = ask.shared.state();
    let block = bucket(&state, &request.input.bucket)?
        .config
        .public_access_block
        .clone();
    let block = block.ok_or_else(|| {
        missing(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
        )
    })?;
    answer(GetPublicAccessBlockOutput {
        public_access_block_configuration: Some(block),
    })
}

pub(super) async fn put_access_block(
    ask: &Ask,
    request: S3Request<PutPublicAccessBlockInput>,
) -> Answer<PutPublicAccessBlockOutput> {
    let block = request.input.public_access_block_configuration;
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?
        .config
        .public_access_block = Some(block);
    answer(PutPublicAccessBlockOutput {})
}

pub(super) async fn get_ownership(
    ask: &Ask,
    request: S3Request<GetBucketOwnershipControlsInput>,
) -> Answer<GetBucketOwnershipControlsOutput> {
    let state = ask.shared.state();
    let bucket = bucket(&state, &request.input.bucket)?;
    let object_ownership = match bucket.enforced_ownership {
        true => ObjectOwnership::from_static(ObjectOwnership::BUCKET_OWNER_ENFORCED),
        false => match bucket.config.ownership.as_ref().and_then(|o| o.rules.first()) {
            Some(rule) => rule.object_ownership.clone(),
            None => {
                return Err(missing(
                    "OwnershipControlsNotFoundError",
                    "The bucket ownership controls were not found",
                ));
            }
        },
    };
    let ownership_controls = Some(OwnershipControls {
        rules: vec![OwnershipControlsRule { object_ownership }],
    });
    answer(GetBucketOwnershipControlsOutput { ownership_controls })
}

pub(super) async fn put_ownership(
    ask: &Ask,
    request: S3Request<PutBucketOwnershipControlsInput>,
) -> Answer<PutBucketOwnershipControlsOutput> {
    let controls = request.input.ownership_controls;
    let mut state = ask.shared.state();
    let bucket = bucket_mut(&mut state, &request.input.bucket)?;
    let rule = controls.rules.first().map(|r| r.object_ownership.as_str());
    bucket.enforced_ownership = rule == Some(ObjectOwnership::BUCKET_OWNER_ENFORCED);
    bucket.config.ownership = Some(controls);
    answer(PutBucketOwnershipControlsOutput {})
}

/// Every bucket has a default: SSE-S3 unless told otherwise.
pub(super) async fn get_encryption(
    ask: &Ask,
    request: S3Request<GetBucketEncryptionInput>,
) -> Answer<GetBucketEncryptionOutput> {
    let state = ask.shared.state();
    let configuration = bucket(&state, &request.input.bucket)?.config.encryption.clone();
    let configuration = configuration.unwrap_or_else(|| ServerSideEncryptionConfiguration {
        rules: vec![ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                kms_master_key_id: None,
                sse_algorithm: ServerSideEncryption::from_static(ServerSideEncryption::AES256),
            }),
            bucket_key_enabled: Some(false),
        }],
    });
    answer(GetBucketEncryptionOutput {
        server_side_encryption_configuration: Some(configuration),
    })
}

pub(super) async fn put_encryption(
    ask: &Ask,
    request: S3Request<PutBucketEncryptionInput>,
) -> Answer<PutBucketEncryptionOutput> {
    let configuration = request.input.server_side_encryption_configuration;
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?
        .config
        .encryption = Some(configuration);
    answer(PutBucketEncryptionOutput {})
}

/// Without a configuration of its own, a bucket has SSE-S3.
pub(super) async fn delete_encryption(
    ask: &Ask,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> Answer<DeleteBucketEncryptionOutput> {
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?
        .config
        .encryption = None;
    answer(DeleteBucketEncryptionOutput {})
}

pub(super) async fn get_lifecycle(
    ask: &Ask,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> Answer<GetBucketLifecycleConfigurationOutput> {
    let state = ask.shared.state();
    let rules = bucket(&state, &request.input.bucket)?.config.lifecycle.clone();
    let rules = rules.ok_or_else(|| {
        missing(
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
        )
    })?;
    answer(GetBucketLifecycleConfigurationOutput {
        rules: Some(rules),
        ..GetBucketLifecycleConfigurationOutput::default()
    })
}

pub(super) async fn put_lifecycle(
    ask: &Ask,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> Answer<PutBucketLifecycleConfigurationOutput> {
    let rules = request
        .input
        .lifecycle_configuration
        .map(|c| c.rules)
        .unwrap_or_default();
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?
        .config
        .lifecycle = Some(rules);
    answer(PutBucketLifecycleConfigurationOutput::default())
}

pub(super) async fn get_policy(ask: &Ask, request: S3Request<GetBucketPolicyInput>) -> Answer<GetBucketPolicyOutput> {
    let state = ask.shared.state();
    let policy = bucket(&state, &request.input.bucket)?.config.policy.clone();
    let policy = policy.ok_or_else(|| missing("NoSuchBucketPolicy", "The bucket policy does not exist"))?;
    answer(GetBucketPolicyOutput { policy: Some(policy) })
}

/// The whole of it is kept; of it, the Deny statements for everybody are enforced from now on.
pub(super) async fn put_policy(ask: &Ask, request: S3Request<PutBucketPolicyInput>) -> Answer<PutBucketPolicyOutput> {
    let input = request.input;
    if input.policy.len() > 20 * 1024 {
        return Err(s3_error(
            400,
            "PolicyTooLarge",
            "Policy exceeds the maximum allowed document size.",
        ));
    }
    let statements = policy::parse_bucket_policy(&input.policy).map_err(|e| {
        s3_error(
            400,
            "MalformedPolicy",
            format!("Policies must be valid JSON and understood: {e}"),
        )
    })?;
    let mut state = ask.shared.state();
    let config = &mut bucket_mut(&mut state, &input.bucket)?.config;
    config.policy = Some(input.policy);
    config.policy_statements = statements;
    answer(PutBucketPolicyOutput {})
}

pub(super) async fn delete_policy(
    ask: &Ask,
    request: S3Request<DeleteBucketPolicyInput>,
) -> Answer<DeleteBucketPolicyOutput> {
    let mut state = ask.shared.state();
    let config = &mut bucket_mut(&mut state, &request.input.bucket)?.config;
    config.policy = None;
    config.policy_statements.clear();
    answer(DeleteBucketPolicyOutput {})
}

pub(super) async fn get_tagging(
    ask: &Ask,
    request: S3Request<GetBucketTaggingInput>,
) -> Answer<GetBucketTaggingOutput> {
    let state = ask.shared.state();
    let tag_set = bucket(&state, &request.input.bucket)?.config.tags.clone();
    let tag_set = tag_set.ok_or_else(|| missing("NoSuchTagSet", "The TagSet does not exist"))?;
    answer(GetBucketTaggingOutput { tag_set })
}

pub(super) async fn put_tagging(
    ask: &Ask,
    request: S3Request<PutBucketTaggingInput>,
) -> Answer<PutBucketTaggingOutput> {
    let tags = request.input.tagging.tag_set;
    bucket_mut(&mut ask.shared.state(), &request.input.bucket)?.config.tags = Some(tags);
    answer(PutBucketTaggingOutput {})
}
