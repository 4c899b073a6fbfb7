//! Rights: exactly what was given.

use aws_sdk_s3::primitives::ByteStream;
use strict_fake::{Condition, Principal, Raw, StrictFake};

use crate::common::*;

const OBJECTS: &str = "arn:aws:s3:::example-microsecrets/services/api/*";
const THE_BUCKET: &str = "arn:aws:s3:::example-microsecrets";
const KEY: &str = "services/api/a";

/// A fake with one object, and somebody without rights.
fn with_user() -> (StrictFake, Principal) {
    let (fake, _) = fake();
    fake.put_raw(BUCKET, KEY, "secret", Raw::default());
    let user = fake.principal("AKIAUSER", "secret", ACCOUNT);
    (fake, user)
}

#[tokio::test]
async fn without_grants_everything_is_refused_in_awss_words() {
    let (fake, user) = with_user();
    let refused = refusal(s3(&fake, &user).get_object().bucket(BUCKET).key(KEY).send().await);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
    let expected = "User: arn:aws:iam::111122223333:user/akiauser is not authorized to perform: s3:GetObject on \
                    resource: \"arn:aws:s3:::example-microsecrets/services/api/a\" because no identity-based policy \
                    allows the s3:GetObject action";
    assert_eq!(refused.message, expected);
}

#[tokio::test]
async fn a_grant_is_for_its_action_and_resource() {
    let (fake, user) = with_user();
    fake.allow(&user, "s3:GetObject", OBJECTS);
    let s3 = s3(&fake, &user);
    assert_eq!(get(&s3, KEY).await, b"secret");
    let elsewhere = s3.get_object().bucket(BUCKET).key("services/web/a").send().await;
    assert_eq!(code(elsewhere), "AccessDenied");
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key(KEY)
        .body(ByteStream::from_static(b"1"))
        .send()
        .await;
    assert_eq!(code(put), "AccessDenied");
    fake.deny(&user, "s3:Get*", "*");
    let refused = refusal(s3.get_object().bucket(BUCKET).key(KEY).send().await);
    assert!(
        refused
            .message
            .ends_with("with an explicit deny in an identity-based policy"),
        "{}",
        refused.message
    );
    fake.revoke_all(&user);
    assert_eq!(
        code(s3.get_object().bucket(BUCKET).key(KEY).send().await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn a_missing_object_is_403_to_who_may_not_list() {
    let (fake, user) = with_user();
    fake.allow(&user, "s3:GetObject", OBJECTS);
    let s3 = s3(&fake, &user);
    let get = || s3.get_object().bucket(BUCKET).key("services/api/missing").send();
    let refused = refusal(get().await);
    assert_eq!(refused.brief(), (403, "AccessDenied"));
    assert!(
        refused
            .message
            .contains("s3:ListBucket on resource: \"arn:aws:s3:::example-microsecrets\"")
    );
    let head = s3.head_object().bucket(BUCKET).key("services/api/missing").send().await;
    assert_eq!(refusal(head).status, 403);
    // A right to list under a prefix doesn't help: a GET has no prefix.
    let condition = Condition::string_like("s3:prefix", &["services/api/*"]);
    fake.allow_if(&user, "s3:ListBucket", THE_BUCKET, &[condition]);
    assert_eq!(refusal(get().await).status, 403);
    fake.allow(&user, "s3:ListBucket", THE_BUCKET);
    assert_eq!(refusal(get().await).brief(), (404, "NoSuchKey"));
}

#[tokio::test]
async fn lists_can_be_allowed_by_prefix() {
    let (fake, user) = with_user();
    let condition = Condition::string_like("s3:prefix", &["services/api/*"]);
    fake.allow_if(&user, "s3:ListBucket", THE_BUCKET, &[condition]);
    let s3 = s3(&fake, &user);
    let list = || s3.list_objects_v2().bucket(BUCKET);
    assert!(list().prefix("services/api/environment/").send().await.is_ok());
    assert_eq!(code(list().prefix("services/").send().await), "AccessDenied");
    assert_eq!(code(list().send().await), "AccessDenied");
}

#[tokio::test]
async fn comparing_needs_the_right_to_read() {
    let (fake, user) = with_user();
    let etag = fake.object(BUCKET, KEY).expect("there").etag;
    fake.allow(&user, "s3:PutObject", OBJECTS);
    let s3 = s3(&fake, &user);
    let put = || {
        s3.put_object()
            .bucket(BUCKET)
            .key(KEY)
            .body(ByteStream::from_static(b"1"))
    };
    assert!(put().send().await.is_ok());
    assert_eq!(code(put().if_none_match("*").send().await), "PreconditionFailed");
    let refused = refusal(put().if_match(&etag).send().await);
    assert!(refused.message.contains("s3:GetObject"), "{}", refused.message);
    fake.allow(&user, "s3:GetObject", OBJECTS);
    assert_eq!(code(put().if_match(&etag).send().await), "PreconditionFailed");
}

#[tokio::test]
async fn versions_have_rights_of_their_own() {
    let (fake, user) = with_user();
    let version = fake.object(BUCKET, KEY).expect("there").version_id;
    let s3 = s3(&fake, &user);
    fake.allow(&user, "s3:GetObject", OBJECTS);
    let get = || s3.get_object().bucket(BUCKET).key(KEY).version_id(&version).send();
    assert!(refusal(get().await).message.contains("s3:GetObjectVersion"));
    fake.allow(&user, "s3:GetObjectVersion", OBJECTS);
    assert!(get().await.is_ok());
    let delete = || s3.delete_object().bucket(BUCKET).key(KEY);
    fake.allow(&user, "s3:DeleteObject", OBJECTS);
    assert!(
        refusal(delete().version_id(&version).send().await)
            .message
            .contains("s3:DeleteObjectVersion")
    );
    assert!(delete().send().await.is_ok());
    assert!(
        refusal(s3.list_object_versions().bucket(BUCKET).send().await)
            .message
            .contains("s3:ListBucketVersions")
    );
}

#[tokio::test]
async fn a_policy_document_can_be_attached() {
    let (fake, user) = with_user();
    let policy = r#"{ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::example-microsecrets",
          "arn:aws:s3:::example-microsecrets/*"] },
        { "Effect": "Deny", "Action": "*", "Resource": "*",
          "Condition": { "StringNotEquals": { "s3:ResourceAccount": "111122223333" } } }
    ] }"#;
    fake.attach_policy(&user, policy).expect("understood");
    assert_eq!(get(&s3(&fake, &user), KEY).await, b"secret");
    let other = strict_fake::Bucket {
        owner: "999988887777".into(),
        ..strict_fake::Bucket::default()
    };
    fake.add_bucket(BUCKET, other);
    let refused = refusal(s3(&fake, &user).get_object().bucket(BUCKET).key(KEY).send().await);
    assert!(refused.message.contains("explicit deny"), "{}", refused.message);
    assert!(fake.attach_policy(&user, "{}").is_err());
}

#[tokio::test]
async fn a_buckets_policy_can_deny() {
    let (fake, admin) = fake();
    let key = fake.kms().create_key("microsecrets-api");
    let s3 = s3(&fake, &admin);
    let policy = format!(
        r#"{{ "Version": "2012-10-17", "Statement": [
        {{ "Sid": "OnlyUnderTheKey", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
           "Resource": "arn:aws:s3:::example-microsecrets/services/api/*", "Condition": {{
             "StringNotEquals": {{ "s3:x-amz-server-side-encryption-aws-kms-key-id": "{key}" }} }} }},
        {{ "Sid": "NoOverwriting", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
           "Resource": "arn:aws:s3:::example-microsecrets/services/*/environment/*", "Condition": {{
             "Null": {{ "s3:if-none-match": "true" }}, "Bool": {{ "s3:ObjectCreationOperation": "true" }} }} }}
    ] }}"#
    );
    s3.put_bucket_policy()
        .bucket(BUCKET)
        .policy(&policy)
        .send()
        .await
        .expect("put");
    let put = |key: &str| {
        s3.put_object()
            .bucket(BUCKET)
            .key(key)
            .body(ByteStream::from_static(b"1"))
    };
    let refused = refusal(put(KEY).send().await);
    assert!(
        refused
            .message
            .ends_with("with an explicit deny in a resource-based policy"),
        "{}",
        refused.message
    );
    let under_key = |name| put(name).server_side_encryption("aws:kms".into()).ssekms_key_id(&key);
    assert!(under_key(KEY).send().await.is_ok());
    assert_eq!(
        code(under_key("services/api/environment/x").send().await),
        "AccessDenied"
    );
    assert!(
        under_key("services/api/environment/x")
            .if_none_match("*")
            .send()
            .await
            .is_ok()
    );
    // An upload in parts creates nothing before it is completed.
    let create = s3
        .create_multipart_upload()
        .bucket(BUCKET)
        .key("services/web/environment/x");
    assert!(create.send().await.is_ok());
    let malformed = s3.put_bucket_policy().bucket(BUCKET).policy("{").send().await;
    assert_eq!(refusal(malformed).brief(), (400, "MalformedPolicy"));
    s3.delete_bucket_policy().bucket(BUCKET).send().await.expect("delete");
    assert!(put(KEY).send().await.is_ok());
}

#[tokio::test]
async fn tags_and_acls_need_more() {
    let (fake, user) = with_user();
    fake.allow(&user, "s3:PutObject", OBJECTS);
    let s3 = s3(&fake, &user);
    let put = || {
        s3.put_object()
            .bucket(BUCKET)
            .key(KEY)
            .body(ByteStream::from_static(b"1"))
    };
    assert!(
        refusal(put().tagging("a=b").send().await)
            .message
            .contains("s3:PutObjectTagging")
    );
    let acl = put().acl("bucket-owner-full-control".into()).send().await;
    assert!(refusal(acl).message.contains("s3:PutObjectAcl"));
}
