//! Buckets and their configuration.

use aws_sdk_s3::types::*;
use strict_fake::{Bucket as NewBucket, StrictFake};

use crate::common::*;

async fn owned(s3: &S3) -> aws_sdk_s3::operation::create_bucket::builders::CreateBucketFluentBuilder {
    s3.create_bucket().bucket("new-bucket")
}

#[tokio::test]
async fn a_bucket_is_made_once() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    owned(&s3).await.send().await.expect("created");
    owned(&s3).await.send().await.expect("in us-east-1 S3 says yes again");
    let stranger = crate::common::s3(&fake, &fake.admin("AKIASTRANGER", "secret", "999988887777"));
    assert_eq!(
        refusal(owned(&stranger).await.send().await).brief(),
        (409, "BucketAlreadyExists")
    );
    let head = s3.head_bucket().bucket("new-bucket").send().await.expect("there");
    assert_eq!(head.bucket_region(), Some("us-east-1"));
    assert_eq!(
        refusal(s3.head_bucket().bucket("no-such-bucket").send().await).status,
        404
    );
    let names = s3.list_buckets().send().await.expect("list");
    assert_eq!(
        names.buckets().iter().filter_map(|b| b.name()).collect::<Vec<_>>(),
        [BUCKET, "new-bucket"]
    );
    put(&s3, "a", b"1").await;
    assert_eq!(
        refusal(s3.delete_bucket().bucket(BUCKET).send().await).brief(),
        (409, "BucketNotEmpty")
    );
    s3.delete_bucket().bucket("new-bucket").send().await.expect("deleted");
    assert_eq!(fake.buckets(), [BUCKET]);
}

#[tokio::test]
async fn a_buckets_region_is_said_twice() {
    let (fake, admin) = fake();
    let s3 = s3_in(&fake, &admin, "eu-west-1");
    let create = |region: Option<&str>| {
        let constraint = region.map(BucketLocationConstraint::from);
        let configuration = CreateBucketConfiguration::builder()
            .set_location_constraint(constraint)
            .build();
        s3.create_bucket()
            .bucket("european")
            .create_bucket_configuration(configuration)
            .send()
    };
    assert_eq!(code(create(None).await), "IllegalLocationConstraintException");
    assert_eq!(
        code(create(Some("eu-central-1")).await),
        "IllegalLocationConstraintException"
    );
    create(Some("eu-west-1")).await.expect("created");
    assert_eq!(code(create(Some("eu-west-1")).await), "BucketAlreadyOwnedByYou");
    let location = |bucket: &str| {
        crate::common::s3(&fake, &admin)
            .get_bucket_location()
            .bucket(bucket)
            .send()
    };
    let european = location("european").await.expect("a location");
    assert_eq!(european.location_constraint().map(|c| c.as_str()), Some("eu-west-1"));
    let american = location(BUCKET).await.expect("a location");
    assert!(american.location_constraint().is_none_or(|c| c.as_str().is_empty()));
}

#[tokio::test]
async fn names_of_an_account_are_the_accounts() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let create = |name: &str| s3.create_bucket().bucket(name);
    let regional = |name: &str| create(name).bucket_namespace(BucketNamespace::AccountRegional);
    let (own, theirs) = ("secrets-111122223333-us-east-1-an", "secrets-999988887777-us-east-1-an");
    assert_eq!(code(create(own).send().await), "InvalidBucketName");
    assert_eq!(code(regional(theirs).send().await), "InvalidBucketName");
    assert_eq!(code(regional("secrets").send().await), "InvalidBucketName");
    assert!(regional(own).send().await.is_ok());
}

#[tokio::test]
async fn versioning_is_stored_and_works() {
    let fake = StrictFake::builder()
        .bucket(
            BUCKET,
            NewBucket {
                versioning: false,
                ..NewBucket::default()
            },
        )
        .start();
    let s3 = s3(&fake, &fake.admin("AKIAADMIN", "secret", ACCOUNT));
    let get = || s3.get_bucket_versioning().bucket(BUCKET).send();
    let set = |status: BucketVersioningStatus| {
        let configuration = VersioningConfiguration::builder().status(status).build();
        s3.put_bucket_versioning()
            .bucket(BUCKET)
            .versioning_configuration(configuration)
            .send()
    };
    assert_eq!(get().await.expect("get").status(), None);
    put(&s3, "a", b"0").await;
    set(BucketVersioningStatus::Enabled).await.expect("put");
    assert_eq!(
        get().await.expect("get").status(),
        Some(&BucketVersioningStatus::Enabled)
    );
    put(&s3, "a", b"1").await;
    set(BucketVersioningStatus::Suspended).await.expect("put");
    put(&s3, "a", b"2").await;
    put(&s3, "a", b"3").await;
    // The null version is overwritten, the one with an id stays.
    let versions: Vec<_> = fake.versions(BUCKET, "a").into_iter().map(|v| v.body).collect();
    assert_eq!(versions, ["1", "3"]);
}

#[tokio::test]
async fn public_access_blocks_and_ownership_are_stored() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let get = || s3.get_public_access_block().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchPublicAccessBlockConfiguration");
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true)
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build();
    let put = s3
        .put_public_access_block()
        .bucket(BUCKET)
        .public_access_block_configuration(block.clone());
    put.send().await.expect("put");
    assert_eq!(
        get().await.expect("get").public_access_block_configuration(),
        Some(&block)
    );

    let get = || s3.get_bucket_ownership_controls().bucket(BUCKET).send();
    let rules = get().await.expect("get").ownership_controls.expect("controls").rules;
    assert_eq!(rules[0].object_ownership, ObjectOwnership::BucketOwnerEnforced);
    let rule = OwnershipControlsRule::builder()
        .object_ownership(ObjectOwnership::ObjectWriter)
        .build();
    let controls = OwnershipControls::builder()
        .rules(rule.expect("complete"))
        .build()
        .expect("complete");
    let put = s3
        .put_bucket_ownership_controls()
        .bucket(BUCKET)
        .ownership_controls(controls.clone());
    put.send().await.expect("put");
    assert_eq!(get().await.expect("get").ownership_controls(), Some(&controls));
    // ACLs work again.
    let with_acl = s3
        .put_object()
        .bucket(BUCKET)
        .key("a")
        .acl(ObjectCannedAcl::Private)
        .send()
        .await;
    assert!(with_acl.is_ok());
}

#[tokio::test]
async fn encryption_lifecycle_policy_and_tags_are_stored() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let encryption = s3
        .get_bucket_encryption()
        .bucket(BUCKET)
        .send()
        .await
        .expect("there is always one");
    let rules = encryption
        .server_side_encryption_configuration
        .expect("a configuration")
        .rules;
    let default = rules[0]
        .apply_server_side_encryption_by_default
        .as_ref()
        .expect("a default");
    assert_eq!(default.sse_algorithm, ServerSideEncryption::Aes256);

    let get = || s3.get_bucket_lifecycle_configuration().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchLifecycleConfiguration");
    let abort = AbortIncompleteMultipartUpload::builder()
        .days_after_initiation(7)
        .build();
    let rule = LifecycleRule::builder()
        .id("uploads")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("services/").build())
        .abort_incomplete_multipart_upload(abort)
        .build()
        .expect("complete");
    let configuration = BucketLifecycleConfiguration::builder()
        .rules(rule.clone())
        .build()
        .expect("complete");
    let put = s3
        .put_bucket_lifecycle_configuration()
        .bucket(BUCKET)
        .lifecycle_configuration(configuration);
    put.send().await.expect("put");
    assert_eq!(get().await.expect("get").rules(), [rule]);

    let get = || s3.get_bucket_policy().bucket(BUCKET).send();
    assert_eq!(refusal(get().await).brief(), (404, "NoSuchBucketPolicy"));
    let policy = "{\"Version\":\"2012-10-17\",\"Statement\":[]}";
    s3.put_bucket_policy()
        .bucket(BUCKET)
        .policy(policy)
        .send()
        .await
        .expect("put");
    assert_eq!(get().await.expect("get").policy(), Some(policy));
    let long = format!("{{\"Statement\":[],\"Id\":\"{}\"}}", "x".repeat(20 * 1024));
    let too_long = s3.put_bucket_policy().bucket(BUCKET).policy(long).send().await;
    assert_eq!(code(too_long), "PolicyTooLarge");

    let get = || s3.get_bucket_tagging().bucket(BUCKET).send();
    assert_eq!(code(get().await), "NoSuchTagSet");
    let tag = Tag::builder().key("owner").value("me").build().expect("complete");
    let tagging = Tagging::builder().tag_set(tag.clone()).build().expect("complete");
    s3.put_bucket_tagging()
        .bucket(BUCKET)
        .tagging(tagging)
        .send()
        .await
        .expect("put");
    assert_eq!(get().await.expect("get").tag_set(), [tag]);
}

#[tokio::test]
async fn the_acl_is_the_owners() {
    let (fake, admin) = fake();
    let acl = s3(&fake, &admin)
        .get_bucket_acl()
        .bucket(BUCKET)
        .send()
        .await
        .expect("get");
    assert!(
        acl.owner()
            .and_then(|o| o.id())
            .is_some_and(|id| id.ends_with(ACCOUNT) && id.len() == 64)
    );
    assert_eq!(acl.grants()[0].permission(), Some(&Permission::FullControl));
}

#[tokio::test]
async fn the_unknown_is_not_implemented() {
    let (fake, admin) = fake();
    let s3 = s3(&fake, &admin);
    let copy = s3
        .copy_object()
        .bucket(BUCKET)
        .key("b")
        .copy_source("example-microsecrets/a")
        .send()
        .await;
    assert_eq!(refusal(copy).brief(), (501, "NotImplemented"));
    assert_eq!(
        code(s3.get_bucket_website().bucket(BUCKET).send().await),
        "NotImplemented"
    );
}
